//! The whole bridge on a real bus, killed again and again under load; then a consumer that isn't ours counts.
//!
//! By hand, with any seed and count: `make kill BUS=nats SEED=7 COUNT=50`.

use crate::support::foreign::{Seen, read_kafka, read_lines, read_nats};
use crate::support::judge::{compare, events};
use crate::support::scene::{Load, Scene};
use crate::support::service::Service;
use crate::support::wait_for;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::path::Path;
use std::time::Duration;

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
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let scene = Scene::start(&format!("kill-{}-{}", self.bus, self.seed), STREAMS);
        let service = (self.bus != "file").then(|| Service::start(&self.bus, &[]));
        let file = scene.folder.path().join("records").display().to_string();
        let address = service.as_ref().map_or(file, |service| service.address.clone());
        let sink = self.sink(&address);

        let mut bridge = scene.bridge("kill-test", &sink);
        println!("{}: the bridge's log is {}", self.bus, scene.log("kill-test").display());
        scene.wait_until_established(std::slice::from_mut(&mut bridge));
        let mut load = Load::new(EVENTS_PER_SECOND);
        for kill in 1..=self.kills {
            load.run(Duration::from_millis(rng.random_range(200..3_500)), &scene, &mut rng);
            bridge.kill();
            println!("{}: kill {kill} of {} after {} events", self.bus, self.kills, load.events);
            bridge = scene.bridge("kill-test", &sink);
        }
        let mut second = None;
        if let Trouble::Zombie = self.trouble {
            load.run(Duration::from_secs(2), &scene, &mut rng);
            bridge.signal("STOP");
            println!("{}: paused after {} events", self.bus, load.events);
            second = Some(scene.bridge("heir", &sink));
            // Longer than the session time-out and the lease, which are 10 s.
            load.run(Duration::from_secs(25), &scene, &mut rng);
            bridge.signal("CONT");
            println!("{}: awake after {} events", self.bus, load.events);
            load.run(Duration::from_secs(5), &scene, &mut rng);
        }
        if let (Trouble::Outage(outage), Some(service)) = (&self.trouble, &service) {
            let outage = *outage;
            load.run(Duration::from_secs(2), &scene, &mut rng);
            service.stop();
            println!("{}: away for {outage:?} after {} events", self.bus, load.events);
            load.run(outage, &scene, &mut rng);
            service.restart();
            load.run(Duration::from_secs(2), &scene, &mut rng);
        }

        let offered = scene.simulator.offered(&scene.streams);
        let wanted: usize = offered.values().map(Vec::len).sum();
        let mut seen = Vec::new();
        wait_for(&format!("{wanted} events on the bus"), Duration::from_secs(180), || {
            bridge.assert_running();
            seen = self.read(&address);
            let events = events(&seen);
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

    fn sink(&self, address: &str) -> String {
        match self.bus.as_str() {
            "kafka" => format!(
                "kafka: {{ bootstrapServers: '{address}', staticMembership: {}, topics: {{ partitions: 6, replicationFactor: 1, minInsyncReplicas: 1 }} }}",
                // A replica that comes back is to have its shards at once; an heir of another name, too.
                !matches!(self.trouble, Trouble::Zombie)
            ),
            "file" => format!("file: {{ path: '{address}' }}"),
            _ => format!("nats: {{ servers: ['nats://{address}'], lanes: 6 }}"),
        }
    }
}
