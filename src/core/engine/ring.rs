//! A bell rang: something happened on a stream, so it is polled now instead of when it would be due.

use super::{Engine, Entry};
use crate::core::ids::StreamId;
use crate::core::now::Now;
use crate::core::stream::{Pace, State};
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
    use crate::core::batch::{OutputTopic, StoredCheckpoint};
    use crate::core::budget::Limit;
    use crate::core::checkpoint;
    use crate::core::engine::{AccountSpec, CrawlSettings, Poll, Settings, StreamSpec};
    use crate::core::ids::{ShardId, StreamKind};
    use crate::core::page::{Denial, Failure, Page, PollOutcome};
    use crate::core::topic::TopicTemplate;
    use crate::core::trace::Sampling;
    use chrono::DateTime;
    use std::num::{NonZeroU16, NonZeroU32};

    const MINUTE: Duration = Duration::from_secs(60);

    /// An engine with one stream, polled every minute, and what its driver does.
    struct Bench {
        engine: Engine,
        now: Now,
        id: StreamId,
    }

    impl Bench {
        /// The stream is live, and was polled a second ago.
        fn new() -> Self {
            let settings = Settings {
                shards: NonZeroU32::MIN,
                topic: TopicTemplate::fixed("t"),
                min_interval: MINUTE,
                max_interval: MINUTE,
                linger: Duration::ZERO,
                max_records: 10,
                max_pending_bytes: 1000,
                watermark_interval: Duration::ZERO,
                replica: "r".to_owned(),
                dead_letter_topic: "dead".to_owned(),
                crawl: CrawlSettings::default(),
                all_known: true,
                sampling: Sampling::NONE,
            };
            let limit = Limit {
                requests_per_minute: NonZeroU32::new(6000).unwrap(),
                max_in_flight: NonZeroU16::new(9).unwrap(),
            };
            let id = StreamId::new("main", "1");
            let account = AccountSpec { name: id.account.clone(), limit };
            let spec = StreamSpec { id: id.clone(), kind: StreamKind::Resource };
            let now = Now { monotonic: MINUTE, wall: DateTime::from_timestamp(1_700_000_000, 0).unwrap() };
            let mut engine = Engine::new(settings, 100, &[account], &[spec]);
            let nothing = checkpoint::restore(ShardId(0), &StoredCheckpoint::new(), NonZeroU32::MIN, now.wall).unwrap();
            engine.assign(now, ShardId(0), nothing);
            let mut bench = Self { engine, now: now.after(Duration::from_secs(1)), id };
            let poll = bench.poll().unwrap();
            bench.answer(&poll, PollOutcome::TokenReset("a".into()));
            bench.wait(MINUTE);
            let poll = bench.poll().unwrap();
            bench.answer(&poll, bench.page());
            bench.wait(Duration::from_secs(1));
            assert_eq!(bench.poll(), None);
            bench
        }

        fn poll(&mut self) -> Option<Poll> {
            self.engine.next_poll(self.now)
        }

        fn page(&self) -> PollOutcome {
            let (next, received_at) = ("b".into(), self.now.wall);
            PollOutcome::Page(Page { events: Vec::new(), next, has_more: false, received_at, bytes: 0 })
        }

        fn answer(&mut self, poll: &Poll, outcome: PollOutcome) {
            self.engine.handle_outcome(self.now, poll, outcome);
            while let Some(topic) = self.engine.topic_to_look_at(self.now) {
                let known = OutputTopic { lanes: NonZeroU32::MIN, message_bytes: 1000 };
                self.engine.set_topic(self.now, topic, known);
            }
            if self.engine.take_batch(self.now).is_some() {
                self.engine.committed(self.now);
            }
        }

        fn wait(&mut self, time: Duration) {
            self.now = self.now.after(time);
        }

        fn ring(&mut self) {
            assert!(self.engine.ring(self.now, &self.id.clone()));
        }
    }

    #[test]
    fn a_rung_stream_is_polled_at_once_and_once() {
        let mut bench = Bench::new();
        for _ in 0..100 {
            bench.ring();
        }
        let poll = bench.poll().unwrap();
        bench.answer(&poll, bench.page());
        bench.wait(MINUTE / 2);
        assert_eq!(bench.poll(), None, "then at its own pace");
    }

    #[test]
    fn a_bell_during_a_poll_has_another_follow() {
        let mut bench = Bench::new();
        bench.ring();
        let poll = bench.poll().unwrap();
        bench.ring();
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
            bench.ring();
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
            bench.ring();
            assert_eq!(bench.poll(), None, "{outcome:?}");
        }
    }

    #[test]
    fn a_paused_account_waits_and_others_streams_arent_rung() {
        let mut bench = Bench::new();
        assert!(!bench.engine.ring(bench.now, &StreamId::new("main", "2")));
        bench.engine.pause_polls(bench.now, MINUTE / 2);
        bench.ring();
        assert_eq!(bench.poll(), None);
        bench.wait(MINUTE / 2);
        assert!(bench.poll().is_some());
    }
}
