//! The steps of an event's way, each alone and on one core.

use super::report::Report;
use super::support::scene::rename;
use asana_event_bridge::index::Index;
use bridge_consumer::{Continuity, Detector, Start, decode};
use bridge_core::checkpoint;
use bridge_core::crawl::known::{Change, Mark, Update};
use bridge_core::engine::schedule::budget::Limit;
use bridge_core::engine::{AccountSpec, CrawlSettings, Engine, Settings, StreamSpec};
use bridge_core::ids::{Deployment, Gid, ShardId, StreamId, StreamKind, SyncToken};
use bridge_core::now::Now;
use bridge_core::outcome::poll::{Page, PollOutcome, Polled};
use bridge_core::record::batch::{Batch, BatchLimits, OutputTopic, StoredCheckpoint};
use bridge_core::record::event::Event;
use bridge_core::record::placement::lane_of;
use bridge_core::record::topic::TopicTemplate;
use bridge_core::record::trace::Sampling;
use chrono::{DateTime, Utc};
use serde_json::json;
use serde_json::value::RawValue;
use std::hint::black_box;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

const PAGE: u64 = 100;
/// The CPU time for which each step is repeated.
const TIME: f64 = 0.3;

pub(crate) fn measure(report: &mut Report) {
    let texts: Vec<Box<RawValue>> = (0..PAGE)
        .map(|number| RawValue::from_string(rename(1_000 + number % 40, number).to_string()).unwrap())
        .collect();
    let events: Vec<Event> = texts.iter().map(|text| Event::parse(text)).collect();
    let gids: Vec<String> = (0..PAGE).map(|number| format!("120461961{number:07}")).collect();
    let mut bridge = Core::new();
    let batch = bridge.page(&events);
    report.add(
        "micro",
        &json!({ "unit": "ns of CPU for each event" }),
        &[
            ("parse_and_fingerprint", each(|| texts.iter().map(|text| Event::parse(text)).for_each(consume))),
            ("convert_encode_and_place", each(|| consume(bridge.page(&events)))),
            ("partition", each(|| gids.iter().map(|gid| lane_of(gid.as_bytes(), LANES)).for_each(consume))),
            ("decode_and_detect", decode_and_detect(&batch)),
            ("index", index(&gids)),
        ],
    );
}

const LANES: NonZeroU32 = NonZeroU32::new(12).unwrap();

fn consume<T>(it: T) {
    drop(black_box(it));
}

/// CPU time of one repetition of a page's step, in nanoseconds for each event.
fn each(mut step: impl FnMut()) -> f64 {
    let (start, mut repetitions) = (cpu_seconds(), 0.0);
    while cpu_seconds() - start < TIME {
        step();
        repetitions += 1.0;
    }
    (cpu_seconds() - start) * 1e9 / (repetitions * PAGE as f64)
}

/// What this thread has used: others may have the core in between.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

fn decode_and_detect(batch: &Batch) -> f64 {
    each(|| {
        let mut detector = Detector::by_lane(Start::Middle);
        for message in &batch.messages {
            let continuity = detector.observe("t", &decode::record(&message.value).unwrap()).continuity;
            assert_eq!(continuity, Continuity::InOrder);
        }
    })
}

fn index(gids: &[String]) -> f64 {
    let (mut index, mut sequence) = (Index::temporary().unwrap(), 0);
    let touched = |gid: &String| Change::Touched {
        gid: Gid::from(gid.as_str()),
        resource_type: Some("task".to_owned()),
        at: DateTime::UNIX_EPOCH,
    };
    each(|| {
        let changes = gids.iter().map(touched).collect();
        let mark = |sequence| Mark { epoch: 1, sequence };
        let update = Update { from: mark(sequence), to: mark(sequence + PAGE), changes };
        sequence += PAGE;
        index.apply(&[(StreamId::new("main", "1"), update)]).unwrap();
    })
}

/// The core with one stream.
struct Core {
    engine: Engine,
    now: Now,
    tokens: u64,
}

impl Core {
    fn new() -> Self {
        let settings = Settings {
            shards: NonZeroU32::MIN,
            topic: TopicTemplate::parse("t", 16).unwrap(),
            min_interval: Duration::from_secs(1),
            max_interval: Duration::from_secs(1),
            commit_interval: Duration::ZERO,
            quiet_wait: Duration::ZERO,
            max_records: 10_000,
            max_pending_bytes: 64 << 20,
            watermark_interval: Duration::ZERO,
            deployment: Deployment::default(),
            replica: "r".to_owned(),
            dead_letter_topic: "dead".to_owned(),
            crawl: CrawlSettings { reconcile_interval: Duration::from_secs(86_400), ..CrawlSettings::default() },
            all_known: true,
            sampling: Sampling::NONE,
        };
        let id = StreamId::new("main", "1204619611402340");
        let limit = Limit { requests_per_minute: NonZeroU32::MAX, max_in_flight: NonZeroU16::MAX };
        let accounts = [AccountSpec { name: id.account.clone(), limit }];
        let streams = [StreamSpec { id, kind: StreamKind::Resource }];
        let now = Now { monotonic: Duration::ZERO, wall: DateTime::from_timestamp(1_767_000_000, 0).unwrap() };
        let mut engine =
            Engine::new(settings, BatchLimits { messages: 10_000, spans_shards: true }, &accounts, &streams);
        let state = checkpoint::restore(ShardId(0), &StoredCheckpoint::new(), NonZeroU32::MIN, now.wall).unwrap();
        engine.assign(now, ShardId(0), state);
        let mut core = Self { engine, now, tokens: 0 };
        let token = core.token();
        core.answer(PollOutcome::TokenReset(token));
        core
    }

    fn token(&mut self) -> SyncToken {
        self.tokens += 1;
        format!("0123456789abcdef0123456789abcdef:{}", self.tokens).into()
    }

    /// Polls a page with these events, and commits it.
    fn page(&mut self, events: &[Event]) -> Batch {
        let received_at: DateTime<Utc> = self.now.wall;
        let next = self.token();
        self.answer(PollOutcome::Page(Page { events: events.to_vec(), next, has_more: false, received_at, bytes: 1 }))
    }

    fn answer(&mut self, outcome: PollOutcome) -> Batch {
        let second = Duration::from_secs(1);
        self.now = Now { monotonic: self.now.monotonic + second, wall: self.now.wall + second };
        let poll = self.engine.next_poll(self.now).expect("a poll that is due");
        let polled = Polled { outcome, stamp: None, received_at: self.now.wall };
        self.engine.handle_outcome(self.now, &poll, polled);
        while let Some(topic) = self.engine.next_topic_refresh(self.now) {
            let known = OutputTopic { lanes: LANES, message_bytes: 1 << 20 };
            self.engine.set_topic(self.now, topic, known);
        }
        let batch = self.engine.take_batch(self.now).expect("a batch");
        self.engine.committed(self.now);
        batch
    }
}
