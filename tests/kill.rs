//! The whole bridge on a real bus, killed again and again under load; then a consumer that isn't ours counts.
//!
//! By hand, with any seed and count: `make kill BUS=nats SEED=7 COUNT=50`.
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

mod support;

use asana_event_bridge::core::event::to_json;
use asana_event_bridge::core::ids::StreamId;
use asana_event_bridge::pb::{self, record::Body};
use prost::Message as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};
use support::foreign::{Seen, read_kafka, read_lines, read_nats};
use support::program::{Program, Simulator};
use support::service::Service;
use support::wait_for;

const STREAMS: usize = 50;
const EVENTS_PER_SECOND: u64 = 200;

#[test]
fn kafka_has_every_event_once_though_the_bridge_is_killed() {
    Run { bus: "kafka".to_owned(), seed: 1, kills: 20, trouble: Trouble::None }.judge();
}

#[test]
fn nats_has_every_event_once_though_the_bridge_is_killed() {
    Run { bus: "nats".to_owned(), seed: 2, kills: 20, trouble: Trouble::None }.judge();
}

#[test]
fn nats_without_atomic_batches_has_every_event_once_though_the_bridge_is_killed() {
    Run { bus: "nats-old".to_owned(), seed: 3, kills: 20, trouble: Trouble::None }.judge();
}

#[test]
fn kafka_has_every_event_once_though_the_broker_is_away_for_a_minute() {
    Run { bus: "kafka".to_owned(), seed: 4, kills: 2, trouble: Trouble::Outage(Duration::from_secs(60)) }.judge();
}

#[test]
fn nats_has_every_event_once_though_the_server_is_away_for_a_minute() {
    Run { bus: "nats".to_owned(), seed: 5, kills: 2, trouble: Trouble::Outage(Duration::from_secs(60)) }.judge();
}

#[test]
fn nats_without_atomic_batches_has_every_event_once_though_the_server_is_away() {
    Run { bus: "nats-old".to_owned(), seed: 6, kills: 2, trouble: Trouble::Outage(Duration::from_secs(20)) }.judge();
}

#[test]
fn kafka_has_every_event_once_though_a_paused_bridge_wakes_up_beside_its_heir() {
    Run { bus: "kafka".to_owned(), seed: 8, kills: 0, trouble: Trouble::Zombie }.judge();
}

#[test]
fn nats_has_every_event_once_though_a_paused_bridge_wakes_up_beside_its_heir() {
    Run { bus: "nats".to_owned(), seed: 9, kills: 0, trouble: Trouble::Zombie }.judge();
}

/// The file sink, unless `make kill` chooses a bus, a seed and a count.
#[test]
fn the_chosen_bus_has_every_event_once_though_the_bridge_is_killed() {
    let variable = |name: &str, default: &str| {
        std::env::var_os(name).map_or_else(|| default.to_owned(), |text| text.into_string().unwrap())
    };
    let number = |name: &str, default: &str| variable(name, default).parse().unwrap();
    let (bus, seed, kills) = (variable("KILL_BUS", "file"), number("KILL_SEED", "7"), number("KILL_COUNT", "10"));
    Run { bus, seed, kills, trouble: Trouble::None }.judge();
}

struct Run {
    bus: String,
    seed: u64,
    kills: u64,
    trouble: Trouble,
}

/// What happens besides kills.
#[derive(Debug)]
enum Trouble {
    None,
    /// The bus is away.
    Outage(Duration),
    /// The bridge is paused until another has taken over, and wakes up again.
    Zombie,
}

impl Run {
    fn judge(&self) {
        let (folder, mut rng) = (tempfile::tempdir().unwrap(), ChaCha8Rng::seed_from_u64(self.seed));
        let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("kill-{}-{}.log", self.bus, self.seed));
        std::fs::remove_file(&log).ok();
        let service = (self.bus != "file").then(|| Service::start(&self.bus, &[]));
        let file = folder.path().join("records").display().to_string();
        let address = service.as_ref().map_or(file, |service| service.address.clone());
        let scenario = folder.path().join("scenario.yaml");
        std::fs::write(&scenario, "limits: { rate_per_minute: null, concurrent_reads: null }\n").unwrap();
        let arguments = ["--scenario", scenario.to_str().unwrap()];
        let simulator = Simulator::start(&arguments, &folder.path().join("simulator.log"));
        let streams: Vec<String> = (1..=STREAMS).map(|n| (9_000_000 + n).to_string()).collect();
        for stream in &streams {
            simulator.post("/_sim/events", &json!({ "resource": stream, "events": [] }));
        }
        let config = folder.path().join("config.yaml");
        let token = folder.path().join("token");
        std::fs::write(&token, "simulator\n").unwrap();
        std::fs::write(&config, self.config(&address, &simulator.url, &token, &streams)).unwrap();
        let heir = folder.path().join("heir.yaml");
        std::fs::write(&heir, std::fs::read_to_string(&config).unwrap().replace("kill-test", "heir")).unwrap();
        let start_with = |config: &Path| Program::start(&["run", "--config", config.to_str().unwrap()], &log);
        let start = || start_with(&config);

        let mut bridge = start();
        println!("{}: the bridge's log is {}", self.bus, log.display());
        wait_for("all streams to be established", Duration::from_secs(60), || {
            bridge.assert_running();
            (simulator.get("/_sim/ledger")["established"].as_object().unwrap().len() >= STREAMS).then_some(())
        });
        let mut load = Load::new();
        for kill in 1..=self.kills {
            load.run(Duration::from_millis(rng.random_range(200..3_500)), &simulator, &streams, &mut rng);
            bridge.kill();
            println!("{}: kill {kill} of {} after {} events", self.bus, self.kills, load.events);
            bridge = start();
        }
        let mut second = None;
        if let Trouble::Zombie = self.trouble {
            load.run(Duration::from_secs(2), &simulator, &streams, &mut rng);
            bridge.signal("STOP");
            println!("{}: paused after {} events", self.bus, load.events);
            second = Some(start_with(&heir));
            // Longer than the session time-out and the lease, which are 10 s.
            load.run(Duration::from_secs(25), &simulator, &streams, &mut rng);
            bridge.signal("CONT");
            println!("{}: awake after {} events", self.bus, load.events);
            load.run(Duration::from_secs(5), &simulator, &streams, &mut rng);
        }
        if let (Trouble::Outage(outage), Some(service)) = (&self.trouble, &service) {
            let outage = *outage;
            load.run(Duration::from_secs(2), &simulator, &streams, &mut rng);
            service.stop();
            println!("{}: away for {outage:?} after {} events", self.bus, load.events);
            load.run(outage, &simulator, &streams, &mut rng);
            service.restart();
            load.run(Duration::from_secs(2), &simulator, &streams, &mut rng);
        }

        let offered = simulator.offered(&streams);
        let wanted: usize = offered.values().map(Vec::len).sum();
        let mut seen = Vec::new();
        wait_for(&format!("{wanted} events on the bus"), Duration::from_secs(180), || {
            bridge.assert_running();
            seen = self.read(&address);
            let events = seen.iter().filter(|seen| matches!(record(seen).body, Some(Body::Event(_)))).count();
            println!("{}: {events} of {wanted} events are on the bus", self.bus);
            (events >= wanted).then_some(())
        });
        for bridge in std::iter::once(bridge).chain(second) {
            assert!(bridge.stop().success(), "the bridge ends with 0 when it is asked to");
        }
        compare(&offered, &seen);
    }

    fn read(&self, address: &str) -> Vec<Seen> {
        match self.bus.as_str() {
            "kafka" => read_kafka(address, "asana.events"),
            "file" => read_lines(Path::new(address)),
            _ => read_nats(address, "ASANA", "asana.lane.>"),
        }
    }

    fn config(&self, address: &str, simulator: &str, token: &Path, streams: &[String]) -> String {
        let token = token.display();
        let sink = match self.bus.as_str() {
            "kafka" => format!(
                "kafka: {{ bootstrapServers: '{address}', staticMembership: {}, topics: {{ partitions: 6, replicationFactor: 1, minInsyncReplicas: 1 }} }}",
                // A replica that comes back is to have its shards at once; an heir of another name, too.
                !matches!(self.trouble, Trouble::Zombie)
            ),
            "file" => format!("file: {{ path: '{address}' }}"),
            _ => format!("nats: {{ servers: ['nats://{address}'], lanes: 6 }}"),
        };
        let mut config = format!(
            "accounts: {{ main: {{ token: {{ file: '{token}' }}, baseUrl: '{simulator}/api/1.0', requestsPerMinute: 60000 }} }}
polling: {{ minInterval: 200ms, maxInterval: 1s }}
replica: kill-test
sink: {{ {sink} }}
streams:\n"
        );
        for stream in streams {
            writeln!(config, "  - resource: '{stream}'").unwrap();
        }
        config
    }
}

/// Offers events at a steady rate.
struct Load {
    events: u64,
}

impl Load {
    fn new() -> Self {
        Self { events: 0 }
    }

    fn run(&mut self, time: Duration, simulator: &Simulator, streams: &[String], rng: &mut ChaCha8Rng) {
        let (start, before) = (Instant::now(), self.events);
        while start.elapsed() < time {
            let due = before + u64::try_from(start.elapsed().as_millis()).unwrap() * EVENTS_PER_SECOND / 1000;
            if self.events >= due {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            }
            let count = (due - self.events).min(rng.random_range(1..8));
            let events: Vec<_> = (0..count).map(|n| event(self.events + n, rng)).collect();
            let stream = &streams[rng.random_range(0..streams.len())];
            simulator.post("/_sim/events", &json!({ "resource": stream, "events": events }));
            self.events += count;
        }
    }
}

/// An event that no other is equal to.
fn event(number: u64, rng: &mut ChaCha8Rng) -> Value {
    let gid = rng.random_range(1_000..1_040).to_string();
    json!({
        "action": "changed",
        "resource": { "gid": gid, "resource_type": "task", "name": format!("event {number}") },
        "parent": null,
        "change": { "field": "name", "action": "changed" },
        "created_at": "2026-01-01T00:00:00.000Z",
        "user": { "gid": "7", "resource_type": "user", "name": "Greg" },
    })
}

fn record(seen: &Seen) -> pb::Record {
    pb::Record::decode(seen.value.as_slice()).expect("a record")
}

/// Each offered event once, in order by stream, by gid and lane, with contiguous sequences.
fn compare(offered: &BTreeMap<String, Vec<Value>>, seen: &[Seen]) {
    let mut read: BTreeMap<String, BTreeMap<u64, Value>> = BTreeMap::new();
    let mut lanes: BTreeMap<(String, u32), u64> = BTreeMap::new();
    let mut gids: BTreeMap<(String, String), (String, u64)> = BTreeMap::new();
    for seen in seen {
        let record = record(seen);
        let position = record.position.expect("a position");
        let last = lanes.entry((seen.lane.clone(), position.shard)).or_default();
        assert_eq!(position.lane_sequence, *last + 1, "lane {} of shard {}", seen.lane, position.shard);
        *last = position.lane_sequence;
        let Some(Body::Event(event)) = record.body else { continue };
        assert_eq!(seen.key, event.resource.as_ref().unwrap().gid, "the key is the gid of what changed");
        let stream = StreamId::parse(&position.stream).unwrap().resource.to_string();
        let before = gids.insert((stream.clone(), seen.key.clone()), (seen.lane.clone(), position.stream_sequence));
        if let Some((lane, sequence)) = before {
            assert_eq!(lane, seen.lane, "a gid has one lane");
            assert!(sequence < position.stream_sequence, "a gid's events are in order");
        }
        let event = serde_json::from_str(&to_json(&event)).unwrap();
        let before = read.entry(stream).or_default().insert(position.stream_sequence, event);
        assert!(before.is_none(), "an event twice: {before:?}");
    }
    for (stream, offered) in offered {
        let read = read.remove(stream).unwrap_or_default();
        assert!(read.keys().copied().eq(1..=read.len() as u64), "stream {stream} has holes");
        assert!(read.values().eq(offered), "stream {stream}: {} read, {} offered", read.len(), offered.len());
    }
    assert!(read.is_empty(), "streams that nobody offered: {:?}", read.keys());
}
