//! Streams without events, at the longest default interval.

use super::amounts::Amounts;
use super::bus::Bus;
use super::machine::{self, Mark};
use super::report::Report;
use super::run::{Bridge, Watcher};
use super::world::World;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

pub(crate) fn measure(report: &mut Report, bus: &Bus, amounts: &Amounts) {
    let world = World::start(amounts.idle_streams, Duration::ZERO);
    let mut configuration = world.configuration(&bus.sink());
    Bridge::new(configuration.clone()).establish();
    // Where the interval of a quiet stream ends. The budget spreads the polls over the minute.
    configuration["polling"] = json!({ "minInterval": "60s", "maxInterval": "60s" });
    configuration["accounts"]["main"]["requestsPerMinute"] = json!(amounts.idle_streams);
    let bridge = Bridge::new(configuration);
    let (watcher, mut usage) = (Arc::new(Watcher::default()), None);
    bridge.with(&watcher, async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let mark = Mark::now();
        tokio::time::sleep(amounts.time * 2).await;
        usage = Some(mark.usage());
    });
    let usage = usage.unwrap();
    report.add(
        "idle",
        &json!({ "bus": bus.kind.name(), "streams": amounts.idle_streams }),
        &[
            ("cpu_percent", usage.cpu.as_secs_f64() * 100.0 / usage.wall.as_secs_f64()),
            ("peak_mib", machine::peak_mib()),
        ],
    );
}
