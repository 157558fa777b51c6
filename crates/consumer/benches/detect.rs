//! Decode and detect on one core: records of twelve lanes, 32 shards and 2,000 streams, of the size that events have.
//! `make bench-detect`; `RECORDS` sets how many, `ROUNDS` how often.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    reason = "a test may stop at the first surprise, look at the clock, and print"
)]
#![allow(clippy::cast_precision_loss, reason = "figures for people")]
#![allow(missing_docs, reason = "a program, not a library")]

use asana_event_bridge_consumer::{Continuity, Detector, Start, decode};
use bridge_contract::Timestamp;
use bridge_contract::pb::{self, record::Body};
use prost::Message as _;
use std::hint::black_box;
use std::time::Instant;

const TOPIC: &str = "asana.events";
const LANES: u64 = 12;
const SHARDS: u64 = 32;
const STREAMS: u64 = 2_000;

fn main() {
    let number =
        |name: &str, default| std::env::var_os(name).map_or(default, |it| it.to_string_lossy().parse().unwrap());
    let (records, rounds) = (number("RECORDS", 500_000_u64), number("ROUNDS", 5_u64));
    let values = values(records);
    let bytes: usize = values.iter().map(Vec::len).sum();
    println!(
        "{records} records of {} bytes on the average; the best of {rounds} rounds, one thread",
        bytes / values.len()
    );
    measure(
        "the contract's types, by lane",
        rounds,
        &values,
        &Detector::by_lane(Start::Beginning),
        |detector, value| detector.observe(TOPIC, &black_box(decode::wire(value).unwrap())).continuity,
    );
    measure(
        "decoded to match on, by lane",
        rounds,
        &values,
        &Detector::by_lane(Start::Beginning),
        |detector, value| detector.observe(TOPIC, &black_box(decode::record(value).unwrap())).continuity,
    );
    measure(
        "decoded to match on, by stream",
        rounds,
        &values,
        &Detector::by_stream(Start::Beginning),
        |detector, value| detector.observe(TOPIC, &black_box(decode::record(value).unwrap())).continuity,
    );
    measure("positions only, by lane", rounds, &values, &Detector::by_lane(Start::Beginning), |detector, value| {
        detector.observe(TOPIC, decode::sighting(value).unwrap()).continuity
    });
    measure("positions only, by stream", rounds, &values, &Detector::by_stream(Start::Beginning), |detector, value| {
        detector.observe(TOPIC, decode::sighting(value).unwrap()).continuity
    });
}

fn measure(
    what: &str,
    rounds: u64,
    values: &[Vec<u8>],
    fresh: &Detector,
    take: impl Fn(&mut Detector, &[u8]) -> Continuity,
) {
    let (mut best, mut wall) = (f64::MAX, f64::MAX);
    for _ in 0..rounds {
        let mut detector = fresh.clone();
        let (start, cpu) = (Instant::now(), cpu_seconds());
        for value in values {
            assert_eq!(take(&mut detector, value), Continuity::InOrder);
        }
        best = best.min(cpu_seconds() - cpu);
        wall = wall.min(start.elapsed().as_secs_f64());
    }
    let rate = |seconds: f64| values.len() as f64 / seconds;
    println!(
        "{what:<32} {:>11.0} records/s of CPU  {:>5.0} ns each  ({:.0} records/s by the clock)",
        rate(best),
        1e9 / rate(best),
        rate(wall)
    );
}

/// What this thread has used: others may have the core in between.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

fn values(count: u64) -> Vec<Vec<u8>> {
    let mut lanes = vec![0; (LANES * SHARDS) as usize];
    let mut streams = vec![0; STREAMS as usize];
    let mut next = |number: u64| {
        let stream = number.wrapping_mul(7_919) % STREAMS;
        let (shard, lane) = (stream % SHARDS, (number.wrapping_mul(104_729) >> 3) % LANES);
        let (in_lane, in_stream) = (&mut lanes[(shard * LANES + lane) as usize], &mut streams[stream as usize]);
        (*in_lane, *in_stream) = (*in_lane + 1, *in_stream + 1);
        let position = pb::Position {
            shard: shard as u32,
            epoch: 1_767_000_000_000,
            lane: lane as u32,
            lane_sequence: *in_lane,
            stream: format!("main/12046196114{stream:05}"),
            stream_sequence: *in_stream,
        };
        let time = |offset: u64| {
            Some(Timestamp { seconds: 1_767_000_000 + ((number + offset) / 100).cast_signed(), nanos: 123_000_000 })
        };
        pb::Record { position: Some(position), received_at: time(90), body: Some(event(number, time(0))) }
            .encode_to_vec()
    };
    (0..count).map(&mut next).collect()
}

/// A task's field changes, or a task gets a story, as Asana tells it.
fn event(number: u64, created_at: Option<Timestamp>) -> Body {
    let resource = |kind: &str, name: &str, subtype: &str| pb::Resource {
        gid: format!("120461961{number:07}"),
        resource_type: kind.to_owned(),
        name: (!name.is_empty()).then(|| name.to_owned()),
        resource_subtype: (!subtype.is_empty()).then(|| subtype.to_owned()),
    };
    let fingerprint = u128::from(number).to_be_bytes().to_vec();
    let user = Some(resource("user", "Greg Sanchez", ""));
    let event = if number.is_multiple_of(2) {
        let change = pb::Change { field: "assignee".to_owned(), action: "changed".to_owned(), ..pb::Change::default() };
        let resource = Some(resource("task", "Bug Task", "default_task"));
        pb::Event { action: "changed".to_owned(), resource, change: Some(change), ..pb::Event::default() }
    } else {
        let parent = Some(resource("task", "Bug Task", "default_task"));
        let resource = Some(resource("story", "", "comment_added"));
        pb::Event { action: "added".to_owned(), resource, parent, ..pb::Event::default() }
    };
    Body::Event(pb::Event { created_at, user, fingerprint, ..event })
}
