//! Four replicas, many streams, and everything that can go wrong, at times drawn from a seed; then the ledger judges.
//!
//! By hand: `make chaos BUS=nats SEED=7 MINUTES=10`.
mod attendance;
mod load;
mod plan;
mod records;
mod restore;
mod run;
mod takeover;
mod verdict;
mod world;

use run::Clock;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use world::{Bus, World};

#[test]
fn kafka_has_every_event_once_in_chaos() {
    Chaos { bus: Bus::Kafka, seed: 9, length: Duration::from_secs(30), streams: 200 }.judge();
}

/// A short one on NATS, unless `make chaos` chooses.
#[test]
fn the_chosen_bus_has_every_event_once_in_chaos() {
    let minutes: f64 = variable("CHAOS_MINUTES", "0.5").parse().expect("MINUTES is a number");
    Chaos {
        bus: Bus::parse(&variable("CHAOS_BUS", "nats")),
        seed: variable("CHAOS_SEED", "4").parse().expect("SEED is a number"),
        length: Duration::from_secs_f64(60.0 * minutes),
        streams: variable("CHAOS_STREAMS", "200").parse().expect("STREAMS is a number"),
    }
    .judge();
}

/// One takeover of each kind on Kafka, unless `make takeover` chooses. The bounds are for a busy machine.
#[test]
fn the_chosen_bus_has_other_owners_soon() {
    let bus = Bus::parse(&variable("TAKEOVER_BUS", "kafka"));
    let rounds = variable("TAKEOVER_ROUNDS", "1").parse().expect("ROUNDS is a number");
    let (terminated, killed) = takeover::measure(bus, rounds, rounds > 1, &folder(&format!("takeover-{}", bus.name())));
    assert!(terminated < Duration::from_secs(10), "after SIGTERM it took {terminated:?}");
    assert!(killed < Duration::from_secs(25), "after SIGKILL it took {killed:?}");
}

/// A cold start on Kafka, unless `make restore` chooses.
#[test]
fn the_chosen_bus_has_all_streams_again_soon() {
    let bus = Bus::parse(&variable("RESTORE_BUS", "kafka"));
    let count = variable("RESTORE_STREAMS", "500").parse().expect("STREAMS is a number");
    let scheduled = restore::measure(bus, count, &folder(&format!("restore-{}", bus.name())));
    assert!(scheduled < Duration::from_secs(20), "it took {scheduled:?}");
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// What measured times depend on.
fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown CPU");
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let load = load.split(' ').take(2).collect::<Vec<_>>().join(" and ");
    format!("{cores} cores of {}, load {load}, debug build", model.trim_start_matches(['\t', ':', ' ']))
}

fn variable(name: &str, default: &str) -> String {
    std::env::var_os(name).map_or_else(|| default.to_owned(), |text| text.into_string().unwrap())
}

struct Chaos {
    bus: Bus,
    seed: u64,
    length: Duration,
    streams: usize,
}

impl Chaos {
    fn judge(&self) {
        let Self { bus, seed, length, streams } = *self;
        let folder = folder(&format!("chaos-{}-{seed}", bus.name()));
        println!("{}, seed {seed}: {streams} streams, logs in {}", bus.name(), folder.display());
        let plan = plan::draw(seed, length, bus, streams);
        let started = Instant::now();
        let mut world = World::start(bus, &folder, streams);
        println!("the bus and the simulator are there after {:.1} s", started.elapsed().as_secs_f64());
        world.establish();
        println!("all streams are established after {:.1} s", started.elapsed().as_secs_f64());
        let clock = Clock::start(&world.simulator, attendance::late_after(streams));
        let outcome = run::perform(&mut world, &plan, seed, length, clock);
        verdict::reach(world, &outcome, clock);
    }
}
