//! What is wrong with one stream stops no other of its account.
use bridge_core::checkpoint;
use bridge_core::engine::schedule::budget::Limit;
use bridge_core::engine::{
    AccountSpec, CrawlAnswer, CrawlSettings, CrawlStep, Engine, Lookup, Settings, Step, StreamSpec,
};
use bridge_core::ids::{Deployment, ShardId, StreamId, StreamKind};
use bridge_core::now::Now;
use bridge_core::outcome::list::{ListOutcome, ListPage};
use bridge_core::outcome::poll::{Denial, Failure, Page, PollForm, PollOutcome, Polled, Probed, Verdict};
use bridge_core::outcome::stamp::Stamp;
use bridge_core::record::batch::{BatchLimits, OutputTopic, StoredCheckpoint};
use bridge_core::record::topic::TopicTemplate;
use bridge_core::record::trace::Sampling;
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

const STREAMS: usize = 10;
const HOURS: u64 = 4;
/// How long Asana takes.
const ANSWER: Duration = Duration::from_millis(200);

/// An account of ten streams, each with something to poll for every few seconds.
fn engine(requests_per_minute: u32, now: Now) -> Engine {
    let settings = Settings {
        shards: NonZeroU32::MIN,
        topic: TopicTemplate::parse("t", 16).unwrap(),
        min_interval: Duration::from_secs(2),
        max_interval: Duration::from_secs(5),
        commit_interval: Duration::ZERO,
        quiet_wait: Duration::ZERO,
        max_records: 100,
        max_pending_bytes: 1 << 20,
        watermark_interval: Duration::ZERO,
        replica: "r".to_owned(),
        deployment: Deployment::default(),
        dead_letter_topic: "dead".to_owned(),
        crawl: CrawlSettings {
            initial: true,
            reconcile_interval: Duration::from_secs(900),
            ..CrawlSettings::default()
        },
        all_known: true,
        sampling: Sampling::NONE,
        state: bridge_core::engine::StateSettings::default(),
        encodings: bridge_core::record::encoding::Encodings::default(),
    };
    let limit = Limit {
        requests_per_minute: NonZeroU32::new(requests_per_minute).unwrap(),
        max_in_flight: NonZeroU16::new(10).unwrap(),
    };
    let streams: Vec<_> = (0..STREAMS)
        .map(|n| StreamSpec { id: StreamId::new("main", n.to_string()), kind: StreamKind::Resource })
        .collect();
    let mut engine = Engine::new(
        settings,
        BatchLimits { messages: 1_000, spans_shards: true },
        &[AccountSpec { name: "main".into(), limit }],
        &streams,
    );
    let nothing = checkpoint::restore(ShardId(0), &StoredCheckpoint::new(), NonZeroU32::MIN, now.wall).unwrap();
    engine.assign(now, ShardId(0), nothing);
    engine
}

/// How Asana answers for the first stream.
#[derive(Debug)]
enum Fault {
    None,
    Polls(PollOutcome),
    Lists(ListOutcome),
}

impl Fault {
    fn polled(&self, id: &StreamId) -> Option<PollOutcome> {
        let Self::Polls(outcome) = self else { return None };
        (id.resource.as_str() == "0").then(|| outcome.clone())
    }

    fn listed(&self, step: &CrawlStep, now: Now) -> CrawlAnswer {
        match (&step.step, self) {
            (Step::List { .. }, Self::Lists(outcome)) if step.stream.resource.as_str() == "0" => {
                CrawlAnswer::without_page(outcome.clone())
            }
            (Step::List { .. }, _) => {
                let page = ListPage {
                    items: Vec::new(),
                    unidentified: 0,
                    next_offset: None,
                    received_at: now.wall,
                    bytes: 10,
                };
                CrawlAnswer::without_page(ListOutcome::Page(page))
            }
            (Step::Compare(_), _) => CrawlAnswer::Compare(true),
            (Step::Weigh { .. }, _) => CrawlAnswer::Weigh(Lookup::Found(Vec::new())),
            (Step::Sweep { .. }, _) => CrawlAnswer::Sweep(Lookup::Found(Vec::new())),
            (Step::Ask(_) | Step::Below { .. }, _) => panic!("nothing is known that could be missing"),
        }
    }
}

/// How often each stream was polled in some hours.
fn polls(requests_per_minute: u32, fault: &Fault) -> BTreeMap<StreamId, usize> {
    let begin = Now { monotonic: Duration::ZERO, wall: DateTime::from_timestamp(1_700_000_000, 0).unwrap() };
    let (mut now, mut engine) = (begin, engine(requests_per_minute, begin));
    let (mut counts, mut answers, mut steps) = (BTreeMap::new(), Vec::new(), Vec::new());
    while now.monotonic < Duration::from_secs(HOURS * 3600) {
        while let Some(probe) = engine.next_probe(now) {
            let probed = Probed { verdict: Verdict::Lives, stamp: None, received_at: now.wall };
            engine.handle_probe(now, &probe, probed);
        }
        while let Some(poll) = engine.next_poll(now) {
            *counts.entry(poll.stream.id.clone()).or_default() += 1;
            answers.push((now.monotonic + ANSWER, poll));
        }
        for (_, poll) in answers.extract_if(.., |(at, _)| *at <= now.monotonic) {
            let outcome = match fault.polled(&poll.stream.id) {
                Some(outcome) => outcome,
                None if poll.token.is_none() || poll.form == PollForm::Fresh => PollOutcome::TokenReset("a".into()),
                None => page(now.wall),
            };
            engine.handle_outcome(
                now,
                &poll,
                Polled { outcome, stamp: Stamp::new(now.wall, ANSWER), received_at: now.wall },
            );
        }
        while let Some(step) = engine.next_crawl_step(now) {
            steps.push((now.monotonic + ANSWER, step));
        }
        for (_, step) in steps.extract_if(.., |(at, _)| *at <= now.monotonic) {
            engine.handle_crawl_step(now, &step, fault.listed(&step, now));
        }
        while let Some(topic) = engine.next_topic_refresh(now) {
            engine.set_topic(now, topic, OutputTopic { lanes: NonZeroU32::MIN, message_bytes: usize::MAX });
        }
        if engine.take_batch(now).is_some() {
            engine.committed(now);
        }
        now = now.after(Duration::from_millis(100));
    }
    counts
}

fn page(now: DateTime<Utc>) -> PollOutcome {
    let next = now.timestamp_millis().to_string().into();
    PollOutcome::Page(Page { events: Vec::new(), next, has_more: false, received_at: now, bytes: 10 })
}

#[test]
fn the_other_nine_are_polled_as_often_as_with_ten_healthy_ones() {
    // One account has room, another hasn't.
    for requests_per_minute in [300, 60] {
        let healthy = polls(requests_per_minute, &Fault::None);
        let endless =
            Page { events: Vec::new(), next: "a".into(), has_more: true, received_at: DateTime::UNIX_EPOCH, bytes: 10 };
        let too_slow = || Failure::Server { status: 504, phrase: None };
        for fault in [
            Fault::Polls(PollOutcome::Denied(Denial::Unauthorized)),
            Fault::Polls(PollOutcome::Denied(Denial::LegalBlock)),
            Fault::Polls(PollOutcome::Denied(Denial::BadRequest)),
            Fault::Polls(PollOutcome::Denied(Denial::Forbidden)),
            Fault::Polls(PollOutcome::Failed(Failure::Gateway { status: 408 })),
            Fault::Polls(PollOutcome::Failed(Failure::Malformed("garbage".to_owned()))),
            Fault::Polls(PollOutcome::Failed(Failure::TimedOut)),
            Fault::Polls(PollOutcome::Failed(too_slow())),
            Fault::Polls(PollOutcome::Page(endless)),
            Fault::Lists(ListOutcome::Failed(too_slow())),
            Fault::Lists(ListOutcome::Failed(Failure::Gateway { status: 408 })),
            Fault::Lists(ListOutcome::Failed(Failure::Malformed("garbage".to_owned()))),
            Fault::Lists(ListOutcome::Denied(Denial::Unauthorized)),
            Fault::Lists(ListOutcome::Denied(Denial::Forbidden)),
            Fault::Lists(ListOutcome::OffsetExpired),
        ] {
            let counts = polls(requests_per_minute, &fault);
            for (id, count) in counts.iter().filter(|(id, _)| id.resource.as_str() != "0") {
                let before = healthy[id];
                assert!(100 * count >= 95 * before, "{requests_per_minute} {fault:?}: {id} {count} of {before}");
            }
            println!("{requests_per_minute} a minute, {fault:?}: {counts:?}");
        }
    }
}
