//! A bell rang: something happened on a stream, so it is polled now instead of when it would be due.

use super::{Engine, Entry};
use crate::ids::StreamId;
use crate::now::Now;
use crate::stream::{Pace, State};
use std::time::Duration;

/// Between a poll and one that a bell asks for: however often it rings, a stream isn't polled more often by it.
const RING_GAP: Duration = Duration::from_secs(1);

impl Engine {
    /// Has the stream polled at once, as far as the budget allows, and a second after its last poll at the earliest. If a
    /// poll of it is under way, another follows, since what happened may have come too late for that one. A stream that
    /// fails or is suspended keeps its delays. Whether the stream is this replica's.
    pub fn ring(&mut self, now: Now, id: &StreamId) -> bool {
        let Some(entry) = self.streams.get_mut(id) else { return false };
        entry.rung = true;
        // What isn't in Asana's stream yet when the bell rings is to be there soon.
        entry.interval = self.settings.min_interval;
        let is_well = entry.failures == 0 && matches!(entry.committed.state, State::Live(_));
        if let Some(account) = self.accounts.get_mut(&id.account).filter(|it| is_well && it.schedule.due(id).is_some())
        {
            account.schedule.set_earlier(id.clone(), entry.rung_at(now));
        }
        true
    }
}

impl Entry {
    /// A poll of it was sent.
    pub(super) fn sent(&mut self, now: Now, number: u64) {
        (self.polling, self.sent_at, self.rung) = (Some(number), Some(now.monotonic), false);
    }

    /// Whether it is due although its pace says later.
    pub(super) fn is_rung_for(&self, pace: Pace) -> bool {
        self.rung && matches!(pace, Pace::Active | Pace::Idle)
    }

    /// When it is due then.
    pub(super) fn rung_at(&self, now: Now) -> Duration {
        self.sent_at.map_or(now.monotonic, |at| now.monotonic.max(at + RING_GAP))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::bench::{Bench, MINUTE};
    use crate::outcome::poll::{Denial, Failure, PollOutcome};

    fn ring(bench: &mut Bench) {
        assert!(bench.engine.ring(bench.now, &bench.id.clone()));
    }

    #[test]
    fn a_rung_stream_is_polled_at_once_and_once() {
        let mut bench = Bench::new();
        for _ in 0..100 {
            ring(&mut bench);
        }
        let poll = bench.poll().unwrap();
        bench.answer(&poll, bench.page());
        bench.wait(MINUTE / 2);
        assert_eq!(bench.poll(), None, "then at its own pace");
    }

    #[test]
    fn a_bell_during_a_poll_has_another_follow() {
        let mut bench = Bench::new();
        ring(&mut bench);
        let poll = bench.poll().unwrap();
        ring(&mut bench);
        assert_eq!(bench.poll(), None, "never two at a time");
        bench.answer(&poll, bench.page());
        assert_eq!(bench.poll(), None, "a flood is bounded");
        bench.wait(RING_GAP);
        assert!(bench.poll().is_some());
    }

    #[test]
    fn a_flood_polls_no_more_often_than_the_gap() {
        let mut bench = Bench::new();
        let mut polls = 0;
        for _ in 0..100 {
            ring(&mut bench);
            if let Some(poll) = bench.poll() {
                polls += 1;
                bench.answer(&poll, bench.page());
            }
            bench.wait(RING_GAP / 10);
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
            ring(&mut bench);
            assert_eq!(bench.poll(), None, "{outcome:?}");
        }
    }

    #[test]
    fn a_paused_account_waits_and_others_streams_arent_rung() {
        let mut bench = Bench::new();
        assert!(!bench.engine.ring(bench.now, &StreamId::new("main", "2")));
        bench.engine.pause_polls(bench.now, MINUTE / 2);
        ring(&mut bench);
        assert_eq!(bench.poll(), None);
        bench.wait(MINUTE / 2);
        assert!(bench.poll().is_some());
    }
}
