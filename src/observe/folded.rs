//! Problems that come again and again, as few lines of the log: polls that fail, by account and kind, and a bus that fails.

use super::SessionEnd;
use crate::fold::{CALM, Line, Over, SharedFold};
use crate::sink::{CommitError, any};
use bridge_core::engine::StreamPlace;
use bridge_core::ids::{AccountName, ShardId, StreamId};
use bridge_core::outcome::poll::Failure;
use std::time::Duration;

/// What fails of a bus, with its label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum BusProblem {
    Commit(&'static str),
    Session(&'static str),
}

/// The problems that last.
#[derive(Debug)]
pub(super) struct Folded {
    polls: SharedFold<(AccountName, &'static str), StreamId>,
    bus: SharedFold<BusProblem, ()>,
}

impl Default for Folded {
    fn default() -> Self {
        Self { polls: SharedFold::new(CALM), bus: SharedFold::new(CALM) }
    }
}

impl Folded {
    pub(super) fn poll_failed(&self, place: &StreamPlace<'_>, failure: &Failure) {
        let stream = place.stream;
        let line = self.polls.report((stream.account.clone(), failure.label()), stream.clone());
        if let Failure::Credential(words) = failure {
            no_credential(line, &stream.account, words);
        } else {
            poll_failed(line, place, failure);
        }
    }

    /// Asana answered a poll of the stream, in whatever way.
    pub(super) fn answered(&self, stream: &StreamId) {
        self.polls.recover(stream);
    }

    pub(super) fn commit_failed(&self, error: &CommitError) {
        let reason = error.label();
        match self.bus.report(BusProblem::Commit(reason), ()) {
            Some(Line::Begins) if matches!(error, CommitError::Aborted(_)) => {
                tracing::warn!(%error, "commit aborted, writing the same records again");
            }
            Some(Line::Begins) => tracing::warn!(%error, "commit failed, restarting from the bus"),
            Some(Line::Lasts { count, lasted, .. }) => {
                tracing::warn!(reason, count, seconds = lasted.as_secs(), %error, "commits still failing");
            }
            None => {}
        }
    }

    pub(super) fn session_failed(&self, end: &SessionEnd, retry_in: Duration) {
        match self.bus.report(BusProblem::Session(end.label()), ()) {
            Some(Line::Begins) => tracing::warn!(reason = %end, ?retry_in, "session ended, restarting from the bus"),
            Some(Line::Lasts { count, lasted, .. }) => {
                tracing::warn!(reason = %end, count, seconds = lasted.as_secs(), ?retry_in, "sessions still ending, restarting");
            }
            None => {}
        }
    }

    pub(super) fn committed(&self) {
        self.bus.recover(&());
        any::bus_works();
    }

    /// Writes a line for each problem that is over.
    pub(super) fn tell_over(&self) {
        for ((account, reason), Over { count, lasted }) in self.polls.take_over() {
            tracing::info!(%account, reason, count, seconds = lasted.as_secs(), "polls succeed again");
        }
        for (problem, Over { count, lasted }) in self.bus.take_over() {
            let seconds = lasted.as_secs();
            match problem {
                BusProblem::Commit(reason) => tracing::info!(reason, count, seconds, "commits succeed again"),
                BusProblem::Session(reason) => tracing::info!(reason, count, seconds, "sessions last again"),
            }
        }
        any::tell_over();
    }
}

fn poll_failed(line: Option<Line>, place: &StreamPlace<'_>, failure: &Failure) {
    let StreamPlace { stream, shard: ShardId(shard), epoch } = place;
    let reason = failure.label();
    match line {
        Some(Line::Begins) => {
            tracing::warn!(%stream, shard, epoch, reason, detail = ?failure, hint = "check connectivity to Asana",
                "poll failed, retrying with backoff");
        }
        Some(Line::Lasts { count, affected, lasted }) => {
            let (account, seconds) = (&stream.account, lasted.as_secs());
            tracing::warn!(%account, reason, count, streams = affected, seconds, %stream, detail = ?failure,
                "polls still failing");
        }
        None => {}
    }
}

fn no_credential(line: Option<Line>, account: &AccountName, words: &str) {
    const HINT: &str = "fix what the configuration names for it; it is read again";
    match line {
        Some(Line::Begins) => tracing::error!(%account, reason = words, hint = HINT, "no usable credential for Asana"),
        Some(Line::Lasts { count, affected, lasted }) => {
            tracing::error!(%account, reason = words, count, streams = affected, seconds = lasted.as_secs(), hint = HINT,
                "still no usable credential for Asana");
        }
        None => {}
    }
}
