//! A 400 that stays: first less is asked, then without the token, if no other stream has the same trouble.

use super::{Engine, Entry, Poll};
use crate::ids::StreamId;
use crate::now::Now;
use crate::outcome::poll::{Denial, PollForm, PollOutcome};
use crate::stream::State;
use std::collections::BTreeMap;
use std::time::Duration;

/// So long is waited at the least whether other streams of the account are answered with 400, too.
const LEAST_WINDOW: Duration = Duration::from_secs(60);

/// What 400s have led to, in this session.
#[derive(Debug, Default)]
pub(super) struct BadRequests {
    /// It is asked with nothing but the token.
    is_bare: bool,
    /// When the first 400 in a row came.
    since: Option<Duration>,
    /// It was asked without its token, and no page came since.
    asked_fresh: bool,
}

impl BadRequests {
    /// Notes what a poll brought. Whether the same is to be asked for with less, before it is a refusal.
    pub(super) fn note(&mut self, now: Now, form: PollForm, outcome: &PollOutcome) -> bool {
        match outcome {
            PollOutcome::Failed(_) | PollOutcome::Throttled { .. } => return false,
            PollOutcome::Denied(Denial::BadRequest) => {
                self.since.get_or_insert(now.monotonic);
            }
            PollOutcome::Page(_) | PollOutcome::TokenReset(_) | PollOutcome::Denied(_) => self.since = None,
        }
        self.asked_fresh = match (form, outcome) {
            (PollForm::Fresh, _) => true,
            (_, PollOutcome::Page(_)) => false,
            (PollForm::Full | PollForm::Bare, _) => self.asked_fresh,
        };
        let asks_less = self.since.is_some() && form == PollForm::Full;
        self.is_bare |= asks_less;
        asks_less
    }

    /// How long until it may be asked without its token.
    pub(super) fn wait(&self, now: Now, window: Duration) -> Option<Duration> {
        let at = self.since.filter(|_| !self.asked_fresh)? + window;
        at.checked_sub(now.monotonic).filter(|wait| !wait.is_zero())
    }
}

/// How a stream is asked now. `window`: so long after a first 400 each other stream of the account was asked as well.
pub(super) fn form(streams: &BTreeMap<StreamId, Entry>, now: Now, id: &StreamId, window: Duration) -> PollForm {
    let Some(entry) = streams.get(id) else { return PollForm::Full };
    let bad = &entry.bad_requests;
    let since = bad.since.filter(|at| *at + window <= now.monotonic && !bad.asked_fresh);
    match since.filter(|_| entry.committed.token().is_some()) {
        _ if !bad.is_bare => PollForm::Full,
        Some(since) if streams.iter().all(|(other, entry)| other == id || entry.is_well_since(since, other, id)) => {
            PollForm::Fresh
        }
        Some(_) | None => PollForm::Bare,
    }
}

impl Engine {
    /// So long after a first 400 each other stream of the account was asked as well.
    pub(super) fn bad_request_window(&self) -> Duration {
        self.settings.max_interval.max(LEAST_WINDOW)
    }
}

impl Entry {
    /// Whether a stream has been asked since then and not been answered with 400, as far as that counts for another
    /// one.
    fn is_well_since(&self, since: Duration, own: &StreamId, other: &StreamId) -> bool {
        let is_refused = matches!(self.committed.state, State::Suspended { .. });
        let was_answered = self.polling.is_none() && self.sent_at.is_some_and(|at| at >= since);
        own.account != other.account || self.bad_requests.since.is_none() && (is_refused || was_answered)
    }
}

impl Poll {
    /// Whether it was asked for with less than all that the bridge wants to know.
    pub(super) fn is_bare(&self) -> bool {
        self.form == PollForm::Bare
    }
}
