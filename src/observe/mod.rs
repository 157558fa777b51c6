//! What happens in the bridge, as events that the log, metrics, traces and the status page match on.

mod folded;
mod log;

pub use log::LogObserver;

use crate::sink::{CommitError, SinkError};
use bridge_core::checkpoint::CheckpointError;
use bridge_core::engine::{AccountNotice, CommitSummary, Engine, Poll, RefreshNotice, StreamPlace};
use bridge_core::ids::{AccountName, ShardId};
use bridge_core::now::Now;
use bridge_core::outcome::poll::PollOutcome;
use bridge_core::record::batch::Batch;
use bridge_core::record::trace::Trace;
use bridge_core::stream::Notice;
use std::sync::Arc;
use std::time::Duration;

/// Something that happened.
#[derive(Debug)]
pub enum BridgeEvent<'a> {
    /// A changed configuration is in force, or was rejected.
    Configured {
        /// The problems of the rejected one, each with its path.
        rejected: Option<&'a str>,
    },
    /// The lists of one of the account's rules of discovery returned less than half of its streams.
    RuleShrank(&'a AccountName),
    /// The sink is open: a session begins.
    SessionOpened,
    /// The session ended, or the sink couldn't be opened.
    SessionEnded(&'a SessionEnd),
    /// The next session begins after a pause.
    Restarting {
        /// Why the last one ended.
        end: &'a SessionEnd,
        /// The pause.
        retry_in: Duration,
    },
    /// The session's loop turned: often, and at least once a second.
    Turned(&'a Engine, Now),
    /// A request to Asana was answered, or failed.
    Answered {
        /// The account that asked.
        account: &'a AccountName,
        /// The label of the outcome.
        outcome: &'static str,
        /// The duration of the request.
        took: Duration,
    },
    /// What happened while resources were read again.
    Refresh(&'a RefreshNotice),
    /// Asana changes its API, and reports that this account's requests are affected. Once for each change, from
    /// whichever task sent the request.
    ApiChange {
        /// The account whose requests are affected.
        account: &'a AccountName,
        /// The name of the change.
        change: &'a str,
    },
    /// A poll was answered, or failed.
    Polled {
        /// The poll.
        poll: &'a Poll,
        /// Its outcome.
        outcome: &'a PollOutcome,
        /// The duration of the request.
        took: Duration,
    },
    /// A request arrived at the webhook endpoint: its outcome.
    WebhookDelivered(&'static str),
    /// The webhooks of an account's streams on this replica.
    Webhooks {
        /// The account.
        account: &'a AccountName,
        /// The number of its webhooks that this replica has registered.
        registered: usize,
        /// The number of its streams that need one.
        wanted: usize,
    },
    /// A shard is this replica's, and its progress is restored.
    ShardAssigned(ShardId, Option<u64>),
    /// The shards that are owned changed.
    OwnershipChanged {
        /// The owned shards.
        shards: &'a [ShardId],
        /// The number of their streams.
        streams: usize,
    },
    /// A batch is on its way to the bus, with the trace of its commit.
    Committing(&'a Batch, Trace),
    /// The batch is on the bus.
    Committed(&'a CommitSummary),
    /// The commit failed; the bridge recovers by itself.
    CommitFailed(&'a CommitError),
    /// Something worth knowing happened to a stream.
    Stream(&'a StreamPlace<'a>, &'a Notice),
    /// Something worth knowing happened to an account.
    Account(&'a AccountName, AccountNotice),
}

/// Receives what happens.
pub trait Observer: Send + Sync {
    /// Called from the bridge's own task: it must not block.
    fn notify(&self, event: &BridgeEvent<'_>);
}

/// Several observers, which receive each event in this order.
#[derive(Clone)]
pub struct Observers(pub Vec<Arc<dyn Observer>>);

impl std::fmt::Debug for Observers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Observers({})", self.0.len())
    }
}

impl Observer for Observers {
    fn notify(&self, event: &BridgeEvent<'_>) {
        self.0.iter().for_each(|observer| observer.notify(event));
    }
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub enum SessionEnd {
    /// In order: all that was polled is on the bus.
    #[error("stopped")]
    Stopped,
    /// Start over: what is on the bus counts.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// Start over, or give up, by kind.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// A person has to look.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

impl SessionEnd {
    /// For metrics and logs.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Commit(error) => error.label(),
            Self::Sink(_) => "sink",
            Self::Checkpoint(_) => "checkpoint",
        }
    }
}
