//! Asks the sink before each session whether this replica may join the others.

use crate::asana::Accounts;
use crate::bridge::Plan;
use crate::config::{Checked, CheckpointCreate};
use crate::observe::{BridgeEvent, Observer};
use crate::sink::admission::Applicant;
use crate::sink::any::{AnyCommitter, Sink};
use crate::sink::{Ownership, SinkError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;

/// Whether this process has seen a checkpoint, or written one.
#[derive(Debug, Default)]
pub(super) struct HadCheckpoint(AtomicBool);

impl Observer for HadCheckpoint {
    fn notify(&self, event: &BridgeEvent<'_>) {
        if let BridgeEvent::Committed(_) = event {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// What is known of the sink and of this process.
pub(super) struct Admission {
    sink: Sink,
    plans: watch::Receiver<Arc<Plan<Accounts>>>,
    may_create: bool,
    had_checkpoint: Arc<HadCheckpoint>,
}

impl Admission {
    pub(super) fn new(
        checked: &Checked,
        plans: watch::Receiver<Arc<Plan<Accounts>>>,
        had_checkpoint: Arc<HadCheckpoint>,
    ) -> Self {
        let may_create = checked.checkpoint.create == CheckpointCreate::IfAbsent;
        Self { sink: Sink::new(checked), plans, may_create, had_checkpoint }
    }

    /// Opens a session of the sink, if this replica may join.
    pub(super) async fn open(&self) -> Result<(AnyCommitter, Ownership), SinkError> {
        let plan = Arc::clone(&self.plans.borrow());
        let applicant = Applicant {
            expected: self.sink.expected(),
            streams: plan.streams.iter().map(|stream| stream.id.clone()).collect(),
            all_known: plan.settings.all_known,
            may_create: self.may_create,
            had_checkpoint: self.had_checkpoint.0.load(Ordering::Relaxed),
        };
        if self.sink.admit(&applicant).await? {
            self.had_checkpoint.0.store(true, Ordering::Relaxed);
        }
        self.sink.open().await
    }
}
