//! Times that the bridge promises hold whatever happens: kills, cut connections, failing answers, dead tokens, and steps of the
//! host's clock by a day, at random moments. No watermark and no window of a source gap is wrong by the simulator's ledger.

use crate::support::clock::HostClock;
use crate::support::foreign::{Seen, read_kafka, read_nats};
use crate::support::scene::{Load, Scene};
use crate::support::service::Service;
use crate::support::times::judge_times;
use crate::support::wait_for;
use bridge_consumer::{Body, Record, decode};
use chrono::{DateTime, TimeDelta, Utc};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const STREAMS: usize = 20;
const LANES: u32 = 3;
const EVENTS_PER_SECOND: u64 = 100;
const DAY: i64 = 24 * 3600;

#[test]
fn on_kafka_no_time_is_wrong_whatever_the_hosts_clock_does() {
    judge("kafka", 1);
}

#[test]
fn on_nats_no_time_is_wrong_whatever_the_hosts_clock_does() {
    judge("nats", 2);
}

fn judge(bus: &str, seed: u64) {
    let rounds = std::env::var_os("TIMES_ROUNDS").map_or(10, |text| text.to_string_lossy().parse().expect("a number"));
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut scene = Scene::of(&format!("times-{bus}"), STREAMS, "delay: 2s\n");
    let clock = HostClock::new(scene.folder.path());
    scene.clock = Some(clock);
    "commit: { watermarkInterval: 1s }\nshards: 4".clone_into(&mut scene.settings);
    let service = Service::start(bus, &[]);
    let address = &service.address;
    let sink = match bus {
        "kafka" => format!(
            "kafka: {{ bootstrapServers: '{address}', staticMembership: true, \
             topics: {{ partitions: {LANES}, replicationFactor: 1, minInsyncReplicas: 1 }} }}"
        ),
        _ => format!("nats: {{ servers: ['nats://{address}'], lanes: {LANES} }}"),
    };
    let mut bridge = scene.bridge("times", &sink);
    scene.wait_until_established(std::slice::from_mut(&mut bridge));
    // Its first tokens are on the bus: from now on nothing is lost without a gap.
    let begun = now(&scene);
    wait_for("a watermark", Duration::from_secs(180), || {
        is_complete(&by_lane(read(bus, address)), begun).then_some(())
    });
    for fault in [
        json!({ "kind": "status", "status": 503, "probability": 0.03 }),
        json!({ "kind": "gateway", "status": 502, "probability": 0.02 }),
        json!({ "kind": "cut", "probability": 0.03 }),
        json!({ "kind": "slow", "delay": "700ms", "probability": 0.1 }),
    ] {
        scene.simulator.post("/_sim/faults", &fault);
    }
    let mut load = Load::new(EVENTS_PER_SECOND);
    for round in 0..rounds {
        load.run(Duration::from_millis(rng.random_range(1_000..6_000)), &scene, &mut rng);
        if round % 3 == 1 {
            let dead = &scene.streams[rng.random_range(0..STREAMS)];
            scene.simulator.post("/_sim/faults", &json!({ "kind": "kill_tokens", "resource": dead }));
        }
        let (step, kills) = (rng.random_bool(0.7), rng.random_bool(0.6));
        if step {
            let ahead = [-DAY, 0, DAY][rng.random_range(0..3)] + rng.random_range(-90..90);
            scene.clock.as_ref().unwrap().set(ahead);
            println!("{bus}: {round}: the host's clock is {ahead} s ahead");
        }
        if kills {
            bridge.kill();
            println!("{bus}: {round}: killed after {} events", load.events);
            bridge = scene.bridge("times", &sink);
        }
    }
    // Kafka takes no record that is more than an hour ahead of its own clock: all of them wait until the clock is right.
    scene.clock.as_ref().unwrap().set(0);
    scene.simulator.delete("/_sim/faults");
    let all_visible_at = now(&scene) + TimeDelta::seconds(2);
    let mut lanes = Vec::new();
    wait_for("a watermark behind the last event", Duration::from_secs(180), || {
        bridge.assert_running();
        lanes = by_lane(read(bus, address));
        is_complete(&lanes, all_visible_at).then_some(())
    });
    assert!(bridge.stop().success());
    let ledgers = scene.streams.iter().map(|gid| {
        let ledger = scene.simulator.get(&format!("/_sim/ledger?resource={gid}"));
        (format!("main/{gid}"), ledger)
    });
    let ledgers: Vec<_> = ledgers.collect();
    let lost: usize = ledgers.iter().map(|(_, ledger)| ledger["lost"].as_array().unwrap().len()).sum();
    let count = |is: fn(&Body) -> bool| lanes.iter().flatten().filter(|record| is(&record.body)).count();
    let watermarks = count(|body| matches!(body, Body::Watermark(_)));
    let gaps = count(|body| matches!(body, Body::SourceGap(_)));
    println!("{bus}: {} events, {lost} dead tokens, {gaps} records of gaps, {watermarks} of watermarks", load.events);
    assert!(watermarks > 0 && gaps > 0, "a run in which nothing happens would pass, and prove nothing");
    judge_times(ledgers, &lanes);
}

/// By Asana's clock.
fn now(scene: &Scene) -> DateTime<Utc> {
    scene.simulator.get("/_sim/clock")["now"].as_str().unwrap().parse().unwrap()
}

fn read(bus: &str, address: &str) -> Vec<Seen> {
    match bus {
        "kafka" => read_kafka(address, "asana.events"),
        _ => read_nats(address, "ASANA", "asana.lane.>"),
    }
}

fn by_lane(seen: Vec<Seen>) -> Vec<Vec<Record>> {
    let mut lanes: BTreeMap<String, Vec<Record>> = BTreeMap::new();
    for seen in seen {
        lanes.entry(seen.lane).or_default().push(decode::record(&seen.value).unwrap());
    }
    lanes.into_values().collect()
}

/// Whether each shard with a stream is complete in each lane up to this time.
fn is_complete(lanes: &[Vec<Record>], time: DateTime<Utc>) -> bool {
    let shards: BTreeSet<_> = lanes
        .iter()
        .flatten()
        .filter(|record| !record.position.stream.is_empty())
        .map(|it| it.position.shard)
        .collect();
    let states = |record: &Record, shard| match &record.body {
        Body::Watermark(watermark) => {
            let of_shard = watermark.progress.iter().filter(|progress| progress.shard == shard);
            of_shard.filter_map(|progress| progress.complete_up_to).any(|at| at >= time)
        }
        _ => false,
    };
    let is_whole = |lane: &Vec<Record>, shard| lane.iter().any(|record| states(record, shard));
    lanes.len() == LANES as usize && shards.iter().all(|shard| lanes.iter().all(|lane| is_whole(lane, *shard)))
}
