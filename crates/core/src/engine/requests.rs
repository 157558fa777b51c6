//! Poll requests of webhooks: a stream has changed, so it is polled now instead of when it would be due.

use super::{Engine, Entry};
use crate::ids::StreamId;
use crate::now::Now;
use crate::record::placement::shard_of;
use crate::stream::State;
use std::time::Duration;

/// The shortest interval between a poll and the next requested one: more requests don't lead to more polls.
const REQUESTED_POLL_GAP: Duration = Duration::from_secs(1);

impl Engine {
    /// Requests a poll of the stream at once, as far as the budget allows, and a second after its last poll at the
    /// earliest. If a poll of it is under way, another follows, since the change may have come too late for that one. A
    /// stream that fails or is suspended keeps its delays. Returns whether the stream is this replica's.
    pub fn request_poll(&mut self, now: Now, id: &StreamId) -> bool {
        let is_closed = self.is_closed(shard_of(id, self.settings.shards));
        let Some(entry) = self.streams.get_mut(id) else { return false };
        entry.poll_requested = true;
        // A change that isn't in Asana's stream yet when the webhook arrives will be there soon.
        entry.pacing.expect_events();
        let is_well = !is_closed && entry.pacing.failures() == 0 && matches!(entry.committed.state, State::Live(_));
        if let Some(account) = self.accounts.get_mut(&id.account).filter(|_| is_well) {
            account.hasten_poll(id, entry.requested_at(now));
        }
        true
    }
}

impl Entry {
    /// A poll of it was sent.
    pub(super) fn sent(&mut self, now: Now, number: u64) {
        (self.polling, self.sent_at, self.poll_requested) = (Some(number), Some(now.monotonic), false);
    }

    /// When a requested poll is due.
    pub(super) fn requested_at(&self, now: Now) -> Duration {
        self.sent_at.map_or(now.monotonic, |at| now.monotonic.max(at + REQUESTED_POLL_GAP))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::bench::{Bench, MINUTE};
    use crate::outcome::poll::{Denial, Failure, PollOutcome};

    fn request_poll(bench: &mut Bench) {
        assert!(bench.engine.request_poll(bench.now, &bench.id.clone()));
    }

    #[test]
    fn a_requested_poll_comes_at_once_and_only_once() {
        let mut bench = Bench::new();
        for _ in 0..100 {
            request_poll(&mut bench);
        }
        let poll = bench.poll().unwrap();
        bench.answer(&poll, bench.page());
        bench.wait(MINUTE / 2);
        assert_eq!(bench.poll(), None, "then at its own pace");
    }

    #[test]
    fn a_request_during_a_poll_leads_to_another_poll() {
        let mut bench = Bench::new();
        request_poll(&mut bench);
        let poll = bench.poll().unwrap();
        request_poll(&mut bench);
        assert_eq!(bench.poll(), None, "never two at a time");
        bench.answer(&poll, bench.page());
        assert_eq!(bench.poll(), None, "a flood is bounded");
        bench.wait(REQUESTED_POLL_GAP);
        assert!(bench.poll().is_some());
    }

    #[test]
    fn a_flood_polls_no_more_often_than_the_gap() {
        let mut bench = Bench::new();
        let mut polls = 0;
        for _ in 0..100 {
            request_poll(&mut bench);
            if let Some(poll) = bench.poll() {
                polls += 1;
                bench.answer(&poll, bench.page());
            }
            bench.wait(REQUESTED_POLL_GAP / 10);
        }
        assert!((9..=11).contains(&polls), "{polls} polls in ten seconds");
    }

    #[test]
    fn who_fails_or_is_refused_keeps_its_delays() {
        for outcome in [PollOutcome::Failed(Failure::TimedOut), PollOutcome::Denied(Denial::NotFound)] {
            let mut bench = Bench::new();
            // More than once: the first delay is short.
            for _ in 0..4 {
                bench.wait(60 * MINUTE);
                let poll = bench.poll().unwrap();
                bench.answer(&poll, outcome.clone());
            }
            bench.wait(Duration::from_millis(1500));
            request_poll(&mut bench);
            assert_eq!(bench.poll(), None, "{outcome:?}");
        }
    }

    #[test]
    fn a_paused_account_waits_and_streams_of_other_replicas_arent_polled() {
        let mut bench = Bench::new();
        assert!(!bench.engine.request_poll(bench.now, &StreamId::new("main", "2")));
        bench.engine.pause_polls(bench.now, MINUTE / 2);
        request_poll(&mut bench);
        assert_eq!(bench.poll(), None);
        bench.wait(MINUTE / 2);
        assert!(bench.poll().is_some());
    }
}
