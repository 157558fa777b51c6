//! Pages that come at a rate: how soon they are on the bus, and what that costs the bridge and the bus.

use super::amounts::Amounts;
use super::bus::{Bus, Kind};
use super::machine::{self, Mark};
use super::report::Report;
use super::run::{Bridge, Watcher, millis, quantile};
use super::world::World;
use super::{bare_kafka, bare_nats};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub(crate) fn measure(report: &mut Report, bus: &Bus, amounts: &Amounts, pages_per_second: usize) {
    let world = World::start(pages_per_second * amounts.interval.as_secs() as usize, Duration::ZERO);
    let mut configuration = world.configuration(&bus.sink());
    let interval = format!("{}s", amounts.interval.as_secs());
    configuration["polling"] = json!({ "minInterval": interval, "maxInterval": interval });
    let bridge = Bridge::new(configuration);
    bridge.establish();

    let (watcher, is_over) = (Arc::new(Watcher::default()), AtomicBool::new(false));
    let mut server = (Duration::ZERO, 0);
    let mut usage = None;
    std::thread::scope(|scope| {
        scope.spawn(|| offer(&world, pages_per_second, &is_over));
        bridge.with(&watcher, async {
            tokio::time::sleep(amounts.interval * 2).await;
            let (mark, cpu, bytes) = (Mark::now(), bus.cpu(), bus.log_bytes());
            let seen = std::mem::take(&mut *watcher.seen());
            watcher.seen().owns = seen.owns;
            tokio::time::sleep(amounts.time).await;
            usage = Some(mark.usage());
            server = (bus.cpu().saturating_sub(cpu), bus.log_bytes().saturating_sub(bytes));
        });
        is_over.store(true, Ordering::Relaxed);
    });
    let (seen, usage) = (std::mem::take(&mut *watcher.seen()), usage.unwrap());
    let seconds = usage.wall.as_secs_f64();
    let bare = bare_commit(bus);
    let latency = quantile(&seen.latencies, 50);
    report.add(
        "steady",
        &json!({ "bus": bus.kind.name(), "pages_per_s": pages_per_second }),
        &[
            ("pages_per_s", seen.latencies.len() as f64 / seconds),
            ("commits_per_s", seen.commits.len() as f64 / seconds),
            ("received_to_committed_p50_ms", millis(latency)),
            ("received_to_committed_p99_ms", millis(quantile(&seen.latencies, 99))),
            ("bare_commit_p50_ms", millis(bare)),
            ("ratio_p50_to_bare_commit", latency.as_secs_f64() / bare.as_secs_f64()),
            ("bridge_cpu_percent", usage.cpu.as_secs_f64() * 100.0 / seconds),
            ("server_cpu_percent", server.0.as_secs_f64() * 100.0 / seconds),
            ("log_bytes_per_page", server.1 as f64 / seen.latencies.len() as f64),
            ("peak_mib", machine::peak_mib()),
        ],
    );
    if pages_per_second == 1 || amounts.is_smoke {
        let bound = amounts.bound(3.0, 20.0);
        report.check("page received → committed ÷ bare commit", latency.as_secs_f64() <= bare.as_secs_f64() * bound);
    }
}

/// Offers one event after the other, on one stream after the other.
fn offer(world: &World, per_second: usize, is_over: &AtomicBool) {
    let (start, mut number) = (Instant::now(), 0);
    while !is_over.load(Ordering::Relaxed) {
        if number < (start.elapsed().as_secs_f64() * per_second as f64) as u64 {
            world.event(&world.projects[number as usize % world.projects.len()], number);
            number += 1;
        } else {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The time of a commit of one record by the plain client, while nothing else happens.
fn bare_commit(bus: &Bus) -> Duration {
    let pause = Duration::from_millis(100);
    match bus.kind {
        Kind::Kafka => {
            let messages = bare_kafka::read(bus.address(), 20);
            bare_kafka::Bare::open(bus.address()).commit_time(&messages, 1, pause, false)
        }
        Kind::Nats => {
            let bare = bare_nats::Bare::open(bus.address());
            bare.commit_time(&bare.read(20), 1, pause)
        }
    }
}
