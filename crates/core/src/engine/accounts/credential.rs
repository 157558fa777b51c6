//! Whether Asana accepts an account's credential, as far as it is known.

use crate::engine::polls::Poll;
use crate::ids::StreamId;
use crate::now::Now;
use crate::outcome::poll::{Denial, Polled};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long an account waits whose credential was rejected: somebody has to act, and a rotated token file is noticed by
/// then.
pub(in crate::engine) const REJECTED_PAUSE: Duration = Duration::from_secs(60);
/// A credential that was accepted isn't checked again for this duration.
pub(in crate::engine) const VERDICT_LIFE: Duration = Duration::from_secs(60);

/// One probe is under way at most.
#[derive(Debug, Default)]
pub(super) struct Credential {
    /// The number of the probe that is under way, and when it was sent.
    probing: Option<(u64, Duration)>,
    /// When the next one is to be sent.
    due: Option<Duration>,
    /// When it was accepted last.
    accepted_at: Option<Duration>,
    /// How Asana rejects it, if it does.
    rejected: Option<Denial>,
    /// Refused polls that wait for a verdict on the credential.
    held: BTreeMap<StreamId, Held>,
}

/// A refused poll that waits for the verdict on its account's credential.
#[derive(Debug)]
pub(in crate::engine) struct Held {
    pub(in crate::engine) poll: Poll,
    pub(in crate::engine) polled: Polled,
}

impl Credential {
    pub(super) fn rejected(&self) -> Option<Denial> {
        self.rejected
    }

    /// It was accepted a short while ago.
    pub(super) fn is_accepted(&self, now: Now) -> bool {
        self.rejected.is_none() && self.accepted_at.is_some_and(|at| now.monotonic < at + VERDICT_LIFE)
    }

    /// A probe is to be sent, unless one is under way.
    pub(super) fn request_probe(&mut self, now: Now) {
        if self.probing.is_none() {
            self.due.get_or_insert(now.monotonic);
        }
    }

    /// The next probe is sent after this time, without a request.
    pub(super) fn probe_again(&mut self, at: Duration) {
        self.due = Some(at);
    }

    /// When the next probe is to be sent.
    pub(super) fn probe_due(&self) -> Option<Duration> {
        self.due.filter(|_| self.probing.is_none())
    }

    pub(super) fn probe_sent(&mut self, now: Now, number: u64) {
        (self.probing, self.due) = (Some((number, now.monotonic)), None);
    }

    /// The answer to a probe came. Returns when the probe was sent, if it is the one that is under way.
    pub(super) fn probe_answered(&mut self, number: u64) -> Option<Duration> {
        self.probing.take_if(|(probe, _)| *probe == number).map(|(_, sent_at)| sent_at)
    }

    /// Asana accepts it. Returns whether it was rejected before, and what waited for that.
    pub(super) fn accept(&mut self, now: Now) -> (bool, Vec<Held>) {
        self.accepted_at = Some(now.monotonic);
        (self.rejected.take().is_some(), self.release())
    }

    /// Asana rejects it. Returns whether that is news.
    pub(super) fn reject(&mut self, denial: Denial) -> bool {
        self.rejected.replace(denial).is_none()
    }

    /// A refused poll waits for the verdict.
    pub(super) fn hold(&mut self, held: Held) {
        self.held.insert(held.poll.stream.id.clone(), held);
    }

    /// What waited for a verdict, by stream.
    pub(super) fn release(&mut self) -> Vec<Held> {
        std::mem::take(&mut self.held).into_values().collect()
    }

    /// The stream has another owner.
    pub(super) fn forget(&mut self, stream: &StreamId) {
        self.held.remove(stream);
    }

    pub(super) fn is_held(&self, stream: &StreamId) -> bool {
        self.held.contains_key(stream)
    }
}
