//! Events, at a steady rate, most of them on a few streams.

use super::world::Stream;
use crate::support::program::Simulator;
use crate::support::scene::event;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const EVENTS_PER_SECOND: u64 = 60;

/// Offers events until told to stop.
pub(crate) fn offer(simulator: &Simulator, streams: &[Stream], seed: u64, offered: &AtomicU64, stop: &AtomicBool) {
    let (mut rng, start) = (ChaCha8Rng::seed_from_u64(seed), Instant::now());
    let busy = (streams.len() / 20).max(1);
    while !stop.load(Ordering::Relaxed) {
        let due = u64::try_from(start.elapsed().as_millis()).unwrap() * EVENTS_PER_SECOND / 1_000;
        let number = offered.load(Ordering::Relaxed);
        if number >= due {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        }
        let count = (due - number).min(rng.random_range(1..8));
        let events: Vec<_> = (0..count).map(|n| event(number + n, &mut rng)).collect();
        let among = if rng.random_bool(0.7) { busy } else { streams.len() };
        let stream = &streams[rng.random_range(0..among)];
        simulator.post("/_sim/events", &json!({ "resource": stream.gid, "events": events }));
        offered.fetch_add(count, Ordering::Relaxed);
    }
}
