//! Polls: which is sent next, and what follows from its answer.

use super::forms::form;
use super::pending::{Change, Next, Pending};
use super::{Engine, StreamSpec};
use crate::ids::{StreamId, SyncToken};
use crate::now::Now;
use crate::outcome::poll::{PollForm, PollOutcome, Polled};
use crate::record::Prepared;
use crate::record::placement::shard_of;
use crate::record::trace::Trace;
use crate::stream::{Effects, Notice, Pace, State};
use chrono::{DateTime, Utc};
use std::collections::BTreeSet;

/// A request to Asana.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poll {
    /// To be given back with the outcome.
    pub number: u64,
    /// The stream.
    pub stream: StreamSpec,
    /// The token to send.
    pub token: Option<SyncToken>,
    /// Which form of request.
    pub form: PollForm,
    /// The trace of the page that it brings.
    pub trace: Trace,
}

/// When an answer arrived by the host's clock, and its size in bytes.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    received_at: DateTime<Utc>,
    bytes: usize,
}

impl Engine {
    /// The next poll to send, as long as streams are due and the budgets and memory allow it.
    pub fn next_poll(&mut self, now: Now) -> Option<Poll> {
        if self.is_full() || self.draining {
            return None;
        }
        let window = self.bad_request_window();
        let id = self.accounts.take_poll(now)?;
        let form = form(&self.streams, now, &id, window);
        let entry = self.streams.get_mut(&id)?;
        self.requests += 1;
        entry.sent(now, self.requests);
        let token = entry.committed.token().filter(|_| form != PollForm::Fresh).cloned();
        let trace = self.settings.trace(self.requests, now.wall);
        let stream = StreamSpec { id, kind: entry.kind };
        Some(Poll { number: self.requests, stream, token, form, trace })
    }

    /// What a poll returned. The notice is for the log; one of something that has to be durable first comes with
    /// its commit, since a stale owner sees tokens dead that are alive elsewhere.
    pub fn handle_outcome(&mut self, now: Now, poll: &Poll, polled: Polled) -> Option<Notice> {
        let id = &poll.stream.id;
        self.accounts.get_mut(&id.account)?.request_finished();
        // The shard may have gone since, and even come back.
        let entry = self.streams.get_mut(id).filter(|entry| entry.polling == Some(poll.number))?;
        entry.polling = None;
        if let (PollOutcome::Page(_) | PollOutcome::TokenReset(_), Some(account)) =
            (&polled.outcome, self.accounts.get_mut(&id.account))
        {
            account.answered(now);
        }
        let sent_at = entry.sent_at.unwrap_or(now.monotonic);
        self.accounts.note_time(now, sent_at, &id.account, (polled.stamp, polled.received_at));
        let entry = self.streams.get_mut(id)?;
        if entry.bad_requests.note(now, poll.form, &polled.outcome) {
            self.reschedule(now, id, Pace::Retry);
            return None;
        }
        let polled = self.hold(now, poll, polled)?;
        self.settle(now, poll, polled)
    }

    /// An outcome counts.
    pub(super) fn settle(&mut self, now: Now, poll: &Poll, polled: Polled) -> Option<Notice> {
        let id = &poll.stream.id;
        let entry = self.streams.get_mut(id)?;
        let arrival = Arrival { received_at: polled.received_at, bytes: polled.outcome.bytes() };
        let is_page = matches!(polled.outcome, PollOutcome::Page(_));
        let latest = self.accounts.ahead_of_asana(now);
        let (state, mut effects) = entry.committed.step(id, poll.form, polled, latest);
        let is_known =
            effects.notice == Some(Notice::TokenRepeated) && std::mem::replace(&mut entry.reported_repeated, true);
        effects.notice = effects.notice.filter(|_| !is_known);
        if is_page && poll.is_bare() && effects.notice.is_none() && !std::mem::replace(&mut entry.reported_bare, true) {
            effects.notice = Some(Notice::PolledBare);
        }
        if let Pace::AccountPause(pause) = effects.pace
            && !self.accounts.get_mut(&id.account)?.pause(now, pause)
        {
            effects.notice = None;
        }
        if !effects.durable {
            // That it has ended is taken back by a record, so by what is durable alone.
            entry.committed.state = state;
            self.reschedule(now, id, effects.pace);
            return effects.notice;
        }
        self.publish(now, poll, arrival, state, effects);
        None
    }

    /// Commits that a stream is in this state, and what comes with it.
    fn publish(&mut self, now: Now, poll: &Poll, arrival: Arrival, state: State, effects: Effects) {
        let Arrival { received_at, bytes } = arrival;
        let Effects { announcement, gap, events, durable: _, pace, notice } = effects;
        let id = &poll.stream.id;
        if gap.is_some() {
            self.note_gap(id);
        }
        // No earlier than it is, since crawls that began before ask whether it is later.
        let latest = self.accounts.ahead_of_asana(now).unwrap_or(received_at);
        let known = self.note_events(id, &events, latest);
        let entries = self.entries_of_events(&poll.stream, &events, received_at);
        let template = &self.settings.topic;
        let encoding = self.settings.encodings.events;
        let prepare = |event| {
            let prepared = Prepared::event(event, id, received_at, encoding);
            (template.topic(id, &prepared.resource_type), prepared)
        };
        let records: Vec<_> = events.into_iter().map(prepare).collect();
        let shard = shard_of(id, self.settings.shards);
        let announces = announcement.is_some() || gap.is_some();
        let topics = if announces { self.topics_of_stream(id, shard) } else { BTreeSet::new() };
        let pending = Pending {
            topics,
            announcement: announcement.map(|body| Prepared::of_stream(&body, id, received_at, encoding)),
            events: records.len(),
            records,
            entries,
            received_at,
            notice,
            next: Next::Poll(pace),
            known,
            bytes,
            ..Pending::new(now, shard, id.clone(), Change::Polled { state, gap }, poll.trace)
        };
        self.wait(now, pending);
    }

    /// When a stream is polled next.
    pub(super) fn reschedule(&mut self, now: Now, id: &StreamId, pace: Pace) {
        let window = self.bad_request_window();
        let Some(entry) = self.streams.get_mut(id) else { return };
        let intervals = self.settings.intervals();
        let wait = entry.pacing.next(now.monotonic, pace, intervals, &id.to_string());
        let Some(account) = self.accounts.get_mut(&id.account) else { return };
        match pace {
            Pace::AtOnce => account.schedule_next_page(now, id),
            Pace::Active | Pace::Idle | Pace::AccountPause(_) => {
                let polled_at = entry.sent_at.unwrap_or(now.monotonic);
                let requested_at = entry.poll_requested.then(|| entry.requested_at(now));
                let latest = requested_at.into_iter().chain(wait.map(|wait| polled_at + wait)).min();
                account.schedule_interval(now, id, &entry.committed.rate(), polled_at, latest);
            }
            Pace::Retry => account.schedule_retry(now, id, now.monotonic + wait.unwrap_or_default()),
            Pace::Suspended(_) => {
                // It may be polled earlier, without its token.
                let fresh_wait = entry.bad_requests.wait(now, window);
                let wait = wait.into_iter().chain(fresh_wait).min().unwrap_or_default();
                account.schedule_yielding_poll(id, now.monotonic + wait);
            }
        }
    }
}
