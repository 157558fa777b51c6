//! An engine to try things on.

use super::{AccountSpec, CrawlSettings, Engine, Poll, Settings, Shard, StateSettings, StreamSpec};
use crate::checkpoint::{self, ShardState};
use crate::engine::schedule::budget::Limit;
use crate::ids::{Deployment, ShardId, StreamId, StreamKind};
use crate::now::Now;
use crate::outcome::poll::{Page, PollOutcome, Polled};
use crate::outcome::stamp::Stamp;
use crate::record::batch::{Batch, BatchLimits, OutputTopic, StoredCheckpoint};
use crate::record::encoding::Encodings;
use crate::record::topic::TopicTemplate;
use crate::record::trace::Sampling;
use crate::stream::Notice;
use chrono::DateTime;
use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

pub(super) const MINUTE: Duration = Duration::from_secs(60);

/// An engine with one stream, polled every minute, and what its driver does.
pub(super) struct Bench {
    pub(super) engine: Engine,
    pub(super) now: Now,
    pub(super) id: StreamId,
}

impl Bench {
    /// The stream is live, and was polled a second ago.
    pub(super) fn new() -> Self {
        Self::writing_to("t")
    }

    /// The same, with this template for the names of topics.
    pub(super) fn writing_to(topic: &str) -> Self {
        let settings = settings(topic);
        let id = StreamId::new("main", "1");
        let now = Now { monotonic: MINUTE, wall: DateTime::from_timestamp(1_700_000_000, 0).unwrap() };
        let mut engine = engine(settings, &id);
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

    /// Another session has the shard, and watermarks are due so often.
    pub(super) fn restart(&mut self, watermark_interval: Duration) {
        let Shard { counters, empty, parked, .. } = self.engine.shards.remove(&ShardId(0)).unwrap();
        let committed =
            self.engine.streams.get(&self.id).map(|entry| &entry.committed).or_else(|| parked.get(&self.id));
        let streams = BTreeMap::from([(self.id.clone(), committed.unwrap().clone())]);
        self.engine = engine(Settings { watermark_interval, ..self.engine.settings.clone() }, &self.id);
        self.engine.assign(
            self.now,
            ShardId(0),
            ShardState { counters, empty, refresh_place: 0, streams, recreated_at: None },
        );
    }

    /// The shard goes, and comes back as it is on the bus.
    pub(super) fn reassign(&mut self) {
        let Shard { counters, empty, .. } = self.engine.shards[&ShardId(0)].clone();
        let streams = BTreeMap::from([(self.id.clone(), self.engine.streams[&self.id].committed.clone())]);
        self.engine.revoke(self.now, &[ShardId(0)]);
        self.engine.assign(
            self.now,
            ShardId(0),
            ShardState { counters, empty, refresh_place: 0, streams, recreated_at: None },
        );
    }

    /// The configuration is this now, with the stream or without.
    pub(super) fn reconfigure(&mut self, settings: Settings, has_stream: bool) {
        let spec = StreamSpec { id: self.id.clone(), kind: StreamKind::Resource };
        let streams = if has_stream { vec![spec] } else { Vec::new() };
        self.engine.reconfigure(self.now, settings, &[account(&self.id)], &streams);
    }

    pub(super) fn poll(&mut self) -> Option<Poll> {
        self.engine.next_poll(self.now)
    }

    pub(super) fn page(&self) -> PollOutcome {
        let (next, received_at) = ("b".into(), self.now.wall);
        PollOutcome::Page(Page { events: Vec::new(), next, has_more: false, received_at, bytes: 0 })
    }

    /// Within no time, and with the date of the host's clock.
    pub(super) fn polled(&self, outcome: PollOutcome) -> Polled {
        let stamp = Stamp::new(self.now.wall, Duration::ZERO).filter(|_| outcome.is_asanas());
        Polled { outcome, stamp, received_at: self.now.wall }
    }

    pub(super) fn answer(&mut self, poll: &Poll, outcome: PollOutcome) -> Option<Notice> {
        let notice = self.engine.handle_outcome(self.now, poll, self.polled(outcome));
        self.commit();
        notice
    }

    /// Makes topics known, and commits what waits.
    pub(super) fn commit(&mut self) -> Option<Batch> {
        while let Some(topic) = self.engine.next_topic_refresh(self.now) {
            let known = OutputTopic { lanes: NonZeroU32::MIN, message_bytes: 1000 };
            self.engine.set_topic(self.now, topic, known);
        }
        let batch = self.engine.take_batch(self.now)?;
        self.engine.committed(self.now);
        Some(batch)
    }

    pub(super) fn wait(&mut self, time: Duration) {
        self.now = self.now.after(time);
    }
}

/// Of one shard, with this template for the names of topics.
pub(super) fn settings(topic: &str) -> Settings {
    Settings {
        shards: NonZeroU32::MIN,
        topic: TopicTemplate::parse(topic, 16).unwrap(),
        min_interval: MINUTE,
        max_interval: MINUTE,
        commit_interval: Duration::ZERO,
        quiet_wait: Duration::ZERO,
        max_records: 10,
        max_pending_bytes: 1000,
        watermark_interval: Duration::ZERO,
        replica: "r".to_owned(),
        deployment: Deployment::default(),
        dead_letter_topic: "dead".to_owned(),
        crawl: CrawlSettings::default(),
        all_known: true,
        sampling: Sampling::NONE,
        state: StateSettings::default(),
        encodings: Encodings::default(),
    }
}

/// An engine of one shard and one stream.
fn engine(settings: Settings, id: &StreamId) -> Engine {
    let limits = BatchLimits { messages: 100, spans_shards: true };
    Engine::new(settings, limits, &[account(id)], &[StreamSpec { id: id.clone(), kind: StreamKind::Resource }])
}

pub(super) fn account(id: &StreamId) -> AccountSpec {
    let limit =
        Limit { requests_per_minute: NonZeroU32::new(6000).unwrap(), max_in_flight: NonZeroU16::new(9).unwrap() };
    AccountSpec { name: id.account.clone(), limit }
}
