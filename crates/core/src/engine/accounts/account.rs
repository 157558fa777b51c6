//! One account: what may be sent with its credential, and when.

use super::credential::{Credential, Held, REJECTED_PAUSE};
use crate::engine::schedule::budget::{Allowance, Budget, Limit, Share};
use crate::engine::schedule::pace::Intervals;
use crate::engine::schedule::queue::DueStreams;
use crate::engine::schedule::{Schedule, Terms};
use crate::engine::status::AccountStatus;
use crate::ids::{AccountName, StreamId};
use crate::now::Now;
use crate::outcome::poll::Denial;
use crate::stream::rate::EventRate;
use chrono::TimeDelta;
use std::time::Duration;

/// A request is sent only if the budget, and for a crawl also the crawl's part of it, has one left.
#[derive(Debug)]
pub(in crate::engine) struct Account {
    budget: Budget,
    intervals: Intervals,
    /// The part of the budget that crawls may use.
    crawl_budget: Budget,
    /// When each stream is polled next. A stream that is being polled, or waits for a commit, isn't in it.
    polls: Schedule,
    /// When each stream's crawl goes on, or the next one begins. A stream with a step under way isn't in it.
    crawls: DueStreams,
    pub(super) credential: Credential,
    /// The least by which the host's clock differs from Asana's.
    pub(super) clock_offset: TimeDelta,
    /// When Asana last returned what was requested.
    answered_at: Duration,
}

impl Account {
    pub(super) fn new(limit: Limit) -> Self {
        Self {
            budget: Budget::new(limit),
            intervals: Intervals::default(),
            crawl_budget: Budget::new(limit),
            polls: Schedule::new(Terms::default()),
            crawls: DueStreams::default(),
            credential: Credential::default(),
            clock_offset: TimeDelta::zero(),
            answered_at: Duration::ZERO,
        }
    }

    /// From now on the limits, this replica's share of them, and the shortest and the longest interval are these.
    pub(super) fn set(&mut self, now: Now, limit: Limit, crawl_limit: Limit, share: Share, intervals: Intervals) {
        self.intervals = intervals;
        self.crawl_budget.set(now, crawl_limit, share);
        self.budget.set(now, limit, share);
        self.set_terms();
    }

    /// This replica's share is this from now on.
    pub(super) fn set_share(&mut self, now: Now, share: Share) {
        self.budget.set_share(now, share);
        self.crawl_budget.set_share(now, share);
        self.set_terms();
    }

    fn set_terms(&mut self) {
        let Intervals { min, max } = self.intervals;
        let (shortest, longest) = (min.as_secs_f64(), max.as_secs_f64());
        self.polls.set_terms(Terms { requests: self.budget.per_second(), shortest, longest });
    }

    pub(super) fn share(&self) -> Share {
        self.budget.share()
    }

    /// Nothing is sent for this duration. Returns whether that is news.
    pub(in crate::engine) fn pause(&mut self, now: Now, pause: Duration) -> bool {
        self.budget.pause(now, pause)
    }

    /// The stream is polled with this account from now on, and has events at about this rate.
    pub(in crate::engine) fn add(&mut self, stream: &StreamId, rate: &EventRate) {
        self.polls.add(stream.clone(), rate);
    }

    /// The stream is polled next at this time.
    pub(in crate::engine) fn schedule_poll(&mut self, stream: &StreamId, due: Duration) {
        self.polls.set(stream, due);
    }

    /// The stream is polled next an interval after its last poll, which was sent at `polled_at`, or at `latest`. The interval
    /// depends on the rates of all streams.
    pub(in crate::engine) fn schedule_interval(
        &mut self,
        now: Now,
        stream: &StreamId,
        rate: &EventRate,
        polled_at: Duration,
        latest: Option<Duration>,
    ) {
        self.polls.set_by_rate(now.monotonic, stream, rate, polled_at, latest);
    }

    /// The stream has more events waiting: it is polled at once, besides its polls at intervals.
    pub(in crate::engine) fn schedule_next_page(&mut self, now: Now, stream: &StreamId) {
        self.polls.note_other(now.monotonic);
        self.polls.set(stream, now.monotonic);
    }

    /// The stream is polled again at this time after a failure, besides the polls at intervals.
    pub(in crate::engine) fn schedule_retry(&mut self, now: Now, stream: &StreamId, due: Duration) {
        self.polls.note_other(now.monotonic);
        self.polls.set_retry(stream, due);
    }

    /// The stream is polled at this time, if no other one is due, or after an hour.
    pub(in crate::engine) fn schedule_yielding_poll(&mut self, stream: &StreamId, due: Duration) {
        self.polls.set_yielding(stream, due);
    }

    /// The stream is polled at this time, unless it is due earlier or isn't scheduled.
    pub(in crate::engine) fn hasten_poll(&mut self, stream: &StreamId, due: Duration) {
        self.polls.set_earlier(stream, due);
    }

    /// When the stream is polled next, if it is scheduled.
    pub(in crate::engine) fn poll_due(&self, stream: &StreamId) -> Option<Duration> {
        self.polls.due(stream)
    }

    /// When the next poll may be sent.
    pub(super) fn next_poll_at(&self) -> Option<Duration> {
        Some(self.polls.next_due()?.max(self.budget.available_at()?))
    }

    /// Takes the stream out that is to be polled now, and its request out of the budget.
    pub(super) fn take_poll(&mut self, now: Now) -> Option<StreamId> {
        self.budget.available_at().filter(|at| *at <= now.monotonic)?;
        let stream = self.polls.pop_due(now.monotonic)?;
        self.budget.take(now);
        Some(stream)
    }

    /// A poll or a probe was answered, or failed.
    pub(in crate::engine) fn request_finished(&mut self) {
        self.budget.finish();
    }

    /// Asana returned what was requested.
    pub(in crate::engine) fn answered(&mut self, now: Now) {
        self.answered_at = now.monotonic;
    }

    /// When Asana last returned what was requested.
    pub(in crate::engine) fn answered_at(&self) -> Duration {
        self.answered_at
    }

    /// The stream is scheduled, or its poll waits for the verdict on the credential: it isn't being polled, and waits
    /// for no commit.
    pub(super) fn is_waiting(&self, stream: &StreamId) -> bool {
        self.polls.due(stream).is_some() || self.credential.is_held(stream)
    }

    /// The stream has another owner.
    pub(super) fn forget(&mut self, stream: &StreamId) {
        self.polls.forget(stream);
        self.crawls.remove(stream);
        self.credential.forget(stream);
    }

    /// The stream's crawl goes on at this time, unless it does earlier; `None`: there is nothing to crawl.
    pub(in crate::engine) fn schedule_crawl(&mut self, stream: &StreamId, due: Option<Duration>) {
        match due {
            Some(due) => self.crawls.set_earlier(stream.clone(), due),
            None => self.crawls.remove(stream),
        }
    }

    /// The stream's next step is under way.
    pub(in crate::engine) fn crawl_step_taken(&mut self, stream: &StreamId) {
        self.crawls.remove(stream);
    }

    /// The stream whose crawl has been due for longest, if one is due.
    pub(in crate::engine) fn due_crawl(&self, now: Now) -> Option<&StreamId> {
        self.crawls.first().filter(|(due, _)| *due <= now.monotonic).map(|(_, stream)| stream)
    }

    /// The stream whose crawl is due next, and when.
    pub(in crate::engine) fn next_crawl(&self) -> Option<(Duration, &StreamId)> {
        self.crawls.first()
    }

    /// When a request of a crawl may be sent.
    pub(in crate::engine) fn crawl_available_at(&self) -> Option<Duration> {
        Some(self.budget.available_at()?.max(self.crawl_budget.available_at()?))
    }

    /// A request of a crawl is sent.
    pub(in crate::engine) fn take_crawl_request(&mut self, now: Now) {
        self.budget.take(now);
        self.crawl_budget.take(now);
        self.polls.note_other(now.monotonic);
    }

    /// A request of a crawl was answered, or failed.
    pub(in crate::engine) fn crawl_request_finished(&mut self) {
        self.budget.finish();
        self.crawl_budget.finish();
    }

    /// When the next probe may be sent.
    pub(super) fn next_probe_at(&self) -> Option<Duration> {
        Some(self.credential.probe_due()?.max(self.budget.probe_available_at()?))
    }

    /// A probe is sent.
    pub(super) fn take_probe(&mut self, now: Now, number: u64) {
        self.budget.take_probe(now);
        self.credential.probe_sent(now, number);
    }

    /// Asana accepts the credential. Returns whether it was rejected before, and what waited for the verdict.
    pub(super) fn accept(&mut self, now: Now) -> (bool, Vec<Held>) {
        let (was_rejected, held) = self.credential.accept(now);
        if was_rejected {
            self.budget.bar(false);
        }
        (was_rejected, held)
    }

    /// Asana rejects the credential: only probes are sent until it is accepted. Returns whether that is news.
    pub(super) fn reject(&mut self, now: Now, denial: Denial) -> bool {
        self.budget.pause(now, REJECTED_PAUSE);
        self.budget.bar(true);
        self.credential.probe_again(now.monotonic + REJECTED_PAUSE);
        self.credential.reject(denial)
    }

    pub(in crate::engine) fn status(&self, now: Now, name: &AccountName) -> AccountStatus {
        let allowance: Allowance = self.budget.allowance(now);
        let late = self.polls.next_unyielding().map_or(Duration::ZERO, |due| now.monotonic.saturating_sub(due));
        let freshness = self.polls.freshness(1.0);
        AccountStatus {
            name: name.clone(),
            allowance,
            delay: late.max(freshness.longest_interval.saturating_sub(self.intervals.max)),
            freshness,
            freshness_of_twice: self.polls.freshness(2.0),
            refused: self.credential.rejected(),
            clock_offset: self.clock_offset,
        }
    }
}
