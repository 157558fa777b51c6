//! One stream with many events waiting: it can do one page for each poll and commit.

use super::amounts::Amounts;
use super::bus::{Bus, Kind};
use super::report::Report;
use super::run::{Bridge, millis, quantile};
use super::world::World;
use super::{bare_kafka, bare_nats};
use serde_json::json;
use std::time::Duration;

/// Asana's page.
const PAGE: usize = 100;

pub(crate) fn measure(report: &mut Report, kind: Kind, amounts: &Amounts) {
    for delay in amounts.delays.iter().copied() {
        let (bus, world) = (Bus::start(kind), World::start(1, delay));
        let bridge = Bridge::new(world.configuration(&bus.sink()));
        bridge.establish();
        let events = world.work(amounts.events.min(if delay.is_zero() { 20_000 } else { 6_000 }));
        let (seen, usage) = bridge.run(|seen| seen.events >= events);

        // From commit to commit, so that the start doesn't count.
        let ((first, without), (last, _)) = (seen.commits[0], *seen.commits.last().unwrap());
        let rate = (events - without) as f64 / (last - first).as_secs_f64();
        let poll = quantile(&seen.polls, 50);
        let (bare, fenced) = commit_times(&bus, poll);
        let limit = PAGE as f64 / (poll + bare).as_secs_f64();
        report.add(
            "catch_up",
            &json!({ "bus": kind.name(), "asana_delay_ms": delay.as_millis() as u64, "events": events }),
            &[
                ("events_per_s", rate),
                ("limit_events_per_s", limit),
                ("ratio_to_limit", rate / limit),
                ("poll_p50_ms", millis(poll)),
                ("bare_commit_p50_ms", millis(bare)),
                ("bare_fenced_commit_p50_ms", millis(fenced)),
                ("received_to_committed_p50_ms", millis(quantile(&seen.latencies, 50))),
                ("received_to_committed_p99_ms", millis(quantile(&seen.latencies, 99))),
                ("cpu_s_per_million_events", usage.cpu.as_secs_f64() * 1e6 / events as f64),
            ],
        );
        report.check("catch-up of one stream ÷ limit", rate >= limit * amounts.bound(0.7, 0.15));
    }
}

/// The time of a commit of one page by the plain client, alone and with the fence, `pause` after the one before.
fn commit_times(bus: &Bus, pause: Duration) -> (Duration, Duration) {
    match bus.kind {
        Kind::Kafka => {
            let messages = bare_kafka::read(bus.address(), 60 * PAGE);
            let bare = bare_kafka::Bare::open(bus.address());
            let alone = bare.commit_time(&messages, PAGE, pause, false);
            (alone, bare.commit_time(&messages, PAGE, pause, true))
        }
        Kind::Nats => {
            let bare = bare_nats::Bare::open(bus.address());
            // The fence is a condition of a message: it takes no time of its own.
            let alone = bare.commit_time(&bare.read(60 * PAGE), PAGE, pause);
            (alone, alone)
        }
    }
}
