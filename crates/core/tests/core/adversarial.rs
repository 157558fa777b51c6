//! Events of any shape go through: none is lost, none panics, and the JSON can be got back.
//!
//! `ADVERSARIAL_EVENTS` sets how many (1,000,000 unless told otherwise), `ADVERSARIAL_SEED` from which seed.

use bridge_consumer::decode;
use bridge_contract::pb::record::Body;
use bridge_core::checkpoint;
use bridge_core::engine::schedule::budget::Limit;
use bridge_core::engine::{AccountSpec, CrawlSettings, Engine, Settings, StateSettings, StreamSpec};
use bridge_core::ids::{Deployment, ShardId, StreamId, StreamKind};
use bridge_core::now::Now;
use bridge_core::outcome::poll::{Page, PollOutcome, Polled};
use bridge_core::record::batch::{BatchLimits, OutputTopic, Target};
use bridge_core::record::encoding::Encodings;
use bridge_core::record::event::{Event, to_json};
use bridge_core::record::topic::TopicTemplate;
use bridge_core::record::trace::Sampling;
use chrono::DateTime;
use rand::{Rng, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

const PAGE: u64 = 100;

#[test]
fn any_json_goes_through_and_can_be_got_back() {
    let number =
        |name: &str, default| std::env::var_os(name).map_or(default, |it| it.to_string_lossy().parse().unwrap());
    let (events, seed) = (number("ADVERSARIAL_EVENTS", 1_000_000_u64), number("ADVERSARIAL_SEED", 1));
    let workers = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let raw: u64 = std::thread::scope(|scope| {
        let worker = |worker: u64| move || run(ChaCha8Rng::seed_from_u64(seed ^ (worker << 32)), events / workers);
        let workers: Vec<_> = (0..workers).map(|worker_number| scope.spawn(worker(worker_number))).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    println!("{events} events, {raw} of them carried raw");
    assert!(raw > events / 10 && raw < events, "both forms are to be met");
}

/// Sends events through an engine, page by page, and takes them out of the records. Returns how many were raw.
fn run(mut rng: ChaCha8Rng, events: u64) -> u64 {
    let mut now = Now { monotonic: Duration::ZERO, wall: DateTime::from_timestamp(1_700_000_000, 0).unwrap() };
    let mut engine = engine(now);
    let (mut raw, mut committed, mut token) = (0, 0, 0);
    while committed < events {
        let poll = loop {
            match engine.next_poll(now) {
                Some(poll) => break poll,
                None => now = now.after(Duration::from_millis(100)),
            }
        };
        let texts: Vec<String> = (0..PAGE).map(|_| event(&mut rng)).collect();
        let parse = |text: &String| Event::parse(&serde_json::from_str::<Box<RawValue>>(text).unwrap());
        token += 1;
        let page = Page {
            events: texts.iter().map(parse).collect(),
            next: token.to_string().into(),
            has_more: true,
            received_at: now.wall,
            bytes: 1000,
        };
        let outcome = if poll.token.is_some() { PollOutcome::Page(page) } else { PollOutcome::TokenReset("0".into()) };
        engine.handle_outcome(now, &poll, Polled { outcome, stamp: None, received_at: now.wall });
        while let Some(topic) = engine.next_topic_refresh(now) {
            engine.set_topic(now, topic, OutputTopic { lanes: NonZeroU32::new(6).unwrap(), message_bytes: usize::MAX });
        }
        now = now.after(Duration::from_millis(10));
        let batch = engine.take_batch(now).unwrap();
        engine.committed(now);
        if poll.token.is_none() {
            continue;
        }
        let records = batch.messages.iter().filter(|message| matches!(message.target, Target::Lane { .. }));
        let bodies = records.map(|message| decode::wire(&message.value).unwrap().body.unwrap());
        let events = bodies.filter_map(|body| if let Body::Event(event) = body { Some(event) } else { None });
        let mut seen = 0;
        for (text, event) in texts.iter().zip(events) {
            seen += 1;
            if event.raw_json.is_empty() {
                let same = serde_json::from_str::<Value>(&to_json(&event)).unwrap()
                    == serde_json::from_str::<Value>(text).unwrap();
                assert!(same, "{text}\nbecame\n{}", to_json(&event));
            } else {
                raw += 1;
                assert_eq!(&event.raw_json, text);
            }
        }
        assert_eq!(seen, PAGE, "events are missing");
        committed += seen;
    }
    raw
}

fn engine(now: Now) -> Engine {
    let settings = Settings {
        shards: NonZeroU32::MIN,
        topic: TopicTemplate::parse("t.{resource_type}", 16).unwrap(),
        min_interval: Duration::from_millis(1),
        max_interval: Duration::from_millis(1),
        commit_interval: Duration::ZERO,
        quiet_wait: Duration::ZERO,
        max_records: 1000,
        max_pending_bytes: 1 << 20,
        watermark_interval: Duration::ZERO,
        replica: "r".to_owned(),
        deployment: Deployment::default(),
        dead_letter_topic: "dead".to_owned(),
        crawl: CrawlSettings::default(),
        all_known: true,
        sampling: Sampling::NONE,
        state: StateSettings::default(),
        encodings: Encodings::default(),
    };
    let account = AccountSpec {
        name: "main".into(),
        limit: Limit { requests_per_minute: NonZeroU32::new(1_000_000).unwrap(), max_in_flight: NonZeroU16::MIN },
    };
    let stream = StreamSpec { id: StreamId::new("main", "1"), kind: StreamKind::Resource };
    let mut engine = Engine::new(settings, BatchLimits { messages: 10_000, spans_shards: true }, &[account], &[stream]);
    let state = checkpoint::restore(ShardId(0), &BTreeMap::default(), NonZeroU32::MIN, now.wall).unwrap();
    engine.assign(now, ShardId(0), state);
    engine
}

/// The text of an event: ordinary, ordinary with something off, or any JSON at all.
fn event(rng: &mut ChaCha8Rng) -> String {
    if rng.random_bool(0.1) {
        return any(rng, 0);
    }
    let off = rng.random_bool(0.5);
    let mut keys = vec![
        ("action", one_of(rng, &[r#""changed""#, r#""added""#, r#""deleted""#, r#""mystified""#])),
        ("resource", reference(rng, off)),
        ("parent", if rng.random_bool(0.5) { "null".to_owned() } else { reference(rng, off) }),
        ("created_at", time(rng, off)),
        ("user", if rng.random_bool(0.2) { "null".to_owned() } else { reference(rng, off) }),
    ];
    if rng.random_bool(0.5) {
        let value = if off && rng.random_bool(0.3) { any(rng, 1) } else { reference(rng, off) };
        let field = string(rng);
        keys.push(("change", format!(r#"{{"field":{field},"action":"changed","new_value":{value}}}"#)));
    }
    if rng.random_bool(0.5) {
        keys.push(("type", r#""task""#.to_owned()));
    }
    if off {
        match rng.random_range(0..4) {
            0 => keys.push(("unheard_of", any(rng, 1))),
            1 => drop(keys.swap_remove(rng.random_range(0..keys.len()))),
            2 => keys.push(("action", any(rng, 1))),
            _ => {
                let at = rng.random_range(0..keys.len());
                keys[at].1 = any(rng, 1);
            }
        }
    }
    for at in (1..keys.len()).rev() {
        keys.swap(at, rng.random_range(0..=at));
    }
    object(keys.into_iter().map(|(key, value)| (format!("{key:?}"), value)).collect())
}

fn object(entries: Vec<(String, String)>) -> String {
    let entries: Vec<_> = entries.into_iter().map(|(key, value)| format!("{key}:{value}")).collect();
    format!("{{{}}}", entries.join(","))
}

fn one_of(rng: &mut ChaCha8Rng, choices: &[&str]) -> String {
    choices[rng.random_range(0..choices.len())].to_owned()
}

fn reference(rng: &mut ChaCha8Rng, off: bool) -> String {
    let gid: u64 = rng.random_range(0..10_000_000_000_000_000);
    let mut keys = vec![
        (r#""gid""#.to_owned(), if off && rng.random_bool(0.2) { gid.to_string() } else { format!("\"{gid}\"") }),
        (r#""resource_type""#.to_owned(), one_of(rng, &[r#""task""#, r#""story""#, r#""project""#, r#""Ödd.tÿpe""#])),
    ];
    if rng.random_bool(0.6) {
        keys.push((r#""name""#.to_owned(), if off && rng.random_bool(0.2) { any(rng, 2) } else { string(rng) }));
    }
    object(keys)
}

fn time(rng: &mut ChaCha8Rng, off: bool) -> String {
    let seconds = rng.random_range(0..4_000_000_000);
    let time = DateTime::from_timestamp_millis(seconds * 1000 + 147).unwrap();
    if off && rng.random_bool(0.3) {
        return one_of(
            rng,
            &[r#""""#, r#""2012-02-22T02:06:58Z""#, r#""2012-02-30T02:06:58.147Z""#, "1330000000", "null"],
        );
    }
    format!("\"{}\"", time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
}

fn any(rng: &mut ChaCha8Rng, depth: u32) -> String {
    let space = if rng.random_bool(0.1) { " \t" } else { "" };
    let value = match rng.random_range(0..if depth < 5 { 8 } else { 6 }) {
        0 => one_of(rng, &["null", "true", "false"]),
        1 => one_of(
            rng,
            &["0", "-0", "-0.0", "1e999", "1E-400", "0.1000000000000000055", "123456789012345678901234567890"],
        ),
        2 => rng.next_u64().to_string(),
        3..=5 => string(rng),
        6 => {
            let nested = if rng.random_bool(0.01) { 300 } else { 0 };
            let items: Vec<_> = (0..rng.random_range(0..4)).map(|_| any(rng, depth + 1)).collect();
            format!("{}[{}]{}", "[".repeat(nested), items.join(","), "]".repeat(nested))
        }
        _ => object((0..rng.random_range(0..4)).map(|_| (string(rng), any(rng, depth + 1))).collect()),
    };
    format!("{space}{value}{space}").trim().to_owned()
}

/// A string with what is hard in JSON: escapes, lone surrogates, control characters, other planes.
fn string(rng: &mut ChaCha8Rng) -> String {
    let mut text = String::from("\"");
    for _ in 0..rng.random_range(0..8) {
        match rng.random_range(0..12) {
            0 => text.push_str(&one_of(rng, &[r"\n", r"\u0000", r#"\""#, r"\\", r"\/", r"\ud83d\ude00"])),
            1 => text
                .push_str(&one_of(rng, &["\u{0}", "\u{fffd}", "𝕏", "\u{202e}", "ß", "\u{7f}"]).replace('\u{0}', " ")),
            2 if rng.random_bool(0.05) => write!(text, "\\ud8{:02x}", rng.random_range(0..256)).unwrap(),
            _ => text.push(char::from(rng.random_range(b'a'..=b'z'))),
        }
    }
    text.push('"');
    text
}
