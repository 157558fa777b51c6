//! The whole bridge minus its edges: two replicas, a fake Asana, a fake bus, a clock and a seed.
//!
//! Every step is drawn from the seed, and any step may be a crash, a stale owner, an aborted
//! commit or one whose outcome is unknown. At the end the log is read as a consumer
//! would. `SIMULATION_SEEDS` sets how many seeds run (4,000 unless told otherwise);
//! `SIMULATION_SEED` runs that one.

mod asana;
mod bus;
mod index;
mod judge;
mod judge_progress;
mod judge_state;
mod shared;
mod world;

use judge::Verdict;
use std::thread::ScopedJoinHandle;
use world::World;

#[test]
fn any_order_of_crashes_and_faults_loses_and_doubles_nothing() {
    if let Some(seed) = number("SIMULATION_SEED") {
        return run(seed);
    }
    let seeds = number("SIMULATION_SEEDS").unwrap_or(4_000);
    let workers = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let total = std::thread::scope(|scope| {
        let worker = |worker: u64| {
            move || (worker..seeds).step_by(workers as usize).map(checked).fold(Verdict::default(), Verdict::add)
        };
        let workers: Vec<_> = (0..workers).map(|n| scope.spawn(worker(n))).collect();
        let verdict = |worker: ScopedJoinHandle<'_, Verdict>| worker.join().expect("a seed failed: see above");
        workers.into_iter().map(verdict).fold(Verdict::default(), Verdict::add)
    });
    println!("{seeds} seeds: {total:?}");
    // A run in which nothing happens would pass, and prove nothing.
    let least = seeds as usize;
    assert!(total.events > 12 * least && total.gaps > least && 2 * total.stand_ins > least, "{total:?}");
    assert!(total.watermarks > 20 * least && total.empty > least && total.lane_changes > least, "{total:?}");
    assert!(total.bounded > 4 * least && total.lost > least, "{total:?}");
    assert!(total.crawls > 5 * least && total.missed > 3 * least, "{total:?}");
    assert!(total.claims > 4 * least && total.covered > 20 * least, "{total:?}");
    assert!(total.states > 4 * least && 2 * total.removed > least && total.read_again > 2 * least, "{total:?}");
}

/// Runs a seed, and names it should it fail.
fn checked(seed: u64) -> Verdict {
    std::panic::catch_unwind(|| World::new(seed).run()).unwrap_or_else(|_| {
        panic!("seed {seed} failed: run it alone with SIMULATION_SEED={seed} cargo test -p asana-event-bridge-core simulation")
    })
}

fn run(seed: u64) {
    let verdict = World::new(seed).run();
    println!("seed {seed}: {verdict:?}");
}

fn number(name: &str) -> Option<u64> {
    std::env::var_os(name).map(|text| text.to_string_lossy().parse().expect("a number"))
}
