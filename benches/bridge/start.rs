//! From the start of a bridge whose topics exist to the answer of its first poll.

use super::amounts::Amounts;
use super::bare_kafka;
use super::bus::{Bus, Kind};
use super::report::Report;
use super::run::{Bridge, Watcher, millis, quantile};
use super::world::World;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) fn measure(report: &mut Report, bus: &Bus, amounts: &Amounts) {
    let world = World::start(1, Duration::ZERO);
    let bridge = Bridge::new(world.configuration(&bus.sink()));
    bridge.establish();
    let round = |_| {
        let (watcher, start) = (Arc::new(Watcher::default()), Instant::now());
        let mut took = Duration::ZERO;
        bridge.with(&watcher, async {
            watcher.until(|seen| seen.first_poll.is_some()).await;
            took = watcher.seen().first_poll.unwrap() - start;
        });
        took
    };
    let times: Vec<_> = (0..amounts.starts).map(round).collect();
    let joins: Vec<_> = match bus.kind {
        Kind::Kafka => (0..amounts.starts).map(|_| bare_kafka::join_time(bus.address())).collect(),
        Kind::Nats => Vec::new(),
    };
    let (took, join) = (quantile(&times, 50), quantile(&joins, 50));
    report.add(
        "start",
        &json!({ "bus": bus.kind.name() }),
        &[
            ("start_to_first_poll_p50_ms", millis(took)),
            ("of_it_group_protocol_p50_ms", millis(join)),
            ("beyond_it_ms", millis(took.saturating_sub(join))),
        ],
    );
}
