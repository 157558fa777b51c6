//! Many events wait on some streams: events a second and CPU, beside the limit.
//!
//! The limit is what can't be left out: a JSON parser reads the pages, and the bus's plain client writes the records,
//! in transactions of the same size.

use super::amounts::Amounts;
use super::bus::{Bus, Kind};
use super::machine::{self, Mark, Usage};
use super::report::Report;
use super::run::{Bridge, millis, quantile};
use super::world::World;
use super::{bare_kafka, bare_nats};
use serde_json::{Value, json};
use std::hint::black_box;
use std::time::Duration;

/// How many records and pages of the backlog the limit is measured with.
const SAMPLE: usize = 100_000;

pub(crate) fn measure(report: &mut Report, bus: &Bus, amounts: &Amounts, streams: usize) {
    let world = World::start(streams, Duration::ZERO);
    let bridge = Bridge::new(world.configuration(&bus.sink()));
    bridge.establish();
    let poller = world.poller();
    let events = world.work(amounts.events.min(streams * 20_000));
    let pages = poller.pages(SAMPLE / 100);

    let (seen, usage) = bridge.run(|seen| seen.events >= events);
    let peak = machine::peak_mib();
    let per_commit = seen.messages / seen.commits.len();
    let parse = parse(&pages);
    let (written, records) = write(bus, per_commit);

    let per_million = |usage: Usage, events: usize| usage.cpu.as_secs_f64() * 1e6 / events as f64;
    let records_per_event = seen.messages as f64 / events as f64;
    let (ours, write_limit) = (per_million(usage, events), per_million(written, records) * records_per_event);
    let limit = parse + write_limit;
    report.add(
        "backlog",
        &json!({ "bus": bus.kind.name(), "streams": streams, "events": events }),
        &[
            ("events_per_s", events as f64 / usage.wall.as_secs_f64()),
            ("limit_events_per_s", records as f64 / records_per_event / written.wall.as_secs_f64()),
            ("cpu_s_per_million_events", ours),
            ("limit_cpu_s_per_million_events", limit),
            ("limit_of_it_parse", parse),
            ("limit_of_it_write", write_limit),
            ("ratio_cpu_to_limit", ours / limit),
            ("records_per_commit", per_commit as f64),
            ("received_to_committed_p50_ms", millis(quantile(&seen.latencies, 50))),
            ("received_to_committed_p99_ms", millis(quantile(&seen.latencies, 99))),
            ("peak_mib", peak),
        ],
    );
    report.check("CPU of the bridge ÷ limit", ours <= limit * amounts.bound(2.0, 12.0));
}

/// CPU-seconds to parse the pages of a million events.
fn parse(pages: &[String]) -> f64 {
    let mark = Mark::now();
    let mut events = 0;
    // The CPU clock is coarse.
    while mark.usage().cpu < Duration::from_millis(500) {
        for page in pages {
            let page: Value = serde_json::from_str(page).unwrap();
            events += black_box(&page)["data"].as_array().unwrap().len();
        }
    }
    mark.usage().cpu.as_secs_f64() * 1e6 / events as f64
}

/// Writes the same records by the plain client. Returns what that took, and how many they were.
fn write(bus: &Bus, per_commit: usize) -> (Usage, usize) {
    match bus.kind {
        Kind::Kafka => {
            let messages = bare_kafka::read(bus.address(), SAMPLE);
            (bare_kafka::Bare::open(bus.address()).write(&messages, per_commit), messages.len())
        }
        Kind::Nats => {
            let bare = bare_nats::Bare::open(bus.address());
            let messages = bare.read(SAMPLE);
            (bare.write(&messages, per_commit.min(bare_nats::MOST)), messages.len())
        }
    }
}
