//! How long a cold start takes with many streams: until all shards have an owner that has read their checkpoints, and
//! until each stream was polled.

use super::world::{Bus, Replica};
use crate::support::program::{Simulator, TOKEN};
use crate::support::service::Service;
use crate::support::wait_for;
use chrono::{DateTime, Utc};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

const TIMEOUT: Duration = Duration::from_secs(300);
const REPLICAS: usize = 4;

/// Many streams that were polled before.
pub(crate) struct Streams {
    count: usize,
    replicas: Vec<Replica>,
    simulator: Simulator,
    _service: Service,
}

/// Since the processes were started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ColdStart {
    /// All shards are restored, and all of their streams are scheduled.
    pub(crate) scheduled: Duration,
    /// Each stream was polled.
    pub(crate) polled: Duration,
}

impl Streams {
    pub(crate) fn establish(bus: Bus, count: usize, folder: &Path) -> Self {
        std::fs::remove_dir_all(folder).ok();
        std::fs::create_dir_all(folder).unwrap();
        let service = Service::start(bus.name(), &[]);
        let scenario = folder.join("scenario.yaml");
        std::fs::write(&scenario, "limits: { rate_per_minute: null, concurrent_reads: null }\n").unwrap();
        let simulator = Simulator::start(&["--scenario", scenario.to_str().unwrap()], &folder.join("simulator.log"));
        let streams: Vec<_> = (0..count).map(|n| (9_000_000 + n).to_string()).collect();
        for stream in &streams {
            simulator.post("/_sim/events", &json!({ "resource": stream, "events": [] }));
        }
        let token = folder.join("token");
        std::fs::write(&token, TOKEN).unwrap();
        let mut config = json!({
            "accounts": { "main": {
                "token": { "file": token },
                "baseUrl": format!("{}/api/1.0", simulator.url),
                "requestsPerMinute": 1_000_000,
            } },
            "polling": { "minInterval": "5s", "maxInterval": "60s" },
            "sink": bus.sink(&service.address, 1),
            "streams": streams.iter().map(|stream| json!({ "resource": stream })).collect::<Vec<_>>(),
        });
        let replicas: Vec<_> = (0..REPLICAS).map(|n| Replica::new(&format!("replica-{n}"), folder)).collect();
        for replica in &replicas {
            config["replica"] = json!(replica.name);
            std::fs::write(&replica.config, config.to_string()).unwrap();
        }
        let mut streams = Self { count, replicas, simulator, _service: service };
        streams.replicas[0].start();
        // The second poll has the token of the first, which is on the bus then.
        streams.wait_for_polls(2);
        streams.stop(1);
        streams
    }

    /// Starts so many replicas, and stops them again.
    pub(crate) fn start_cold(&mut self, replicas: usize) -> ColdStart {
        for replica in &self.replicas {
            std::fs::write(&replica.log, "").unwrap();
        }
        let reset = self.simulator.ask("/_sim/polls", &json!({}))["now_ms"].as_u64().unwrap();
        let started = DateTime::<Utc>::from(SystemTime::now());
        self.replicas.iter_mut().take(replicas).for_each(Replica::start);
        let polled = self.wait_for_polls(1).saturating_sub(Duration::from_millis(reset));
        let scheduled = wait_for("all streams to be scheduled", TIMEOUT, || self.scheduled(replicas));
        self.stop(replicas);
        ColdStart { scheduled: (scheduled - started).to_std().unwrap(), polled }
    }

    /// Waits until each stream was polled so often; when the last one was, by the simulator's clock.
    fn wait_for_polls(&self, often: u64) -> Duration {
        wait_for("polls of all streams", TIMEOUT, || {
            let polls = self.simulator.get("/_sim/polls");
            let streams = polls["streams"].as_object().unwrap();
            let polled = streams.values().filter(|stream| stream["polls"].as_u64() >= Some(often)).count();
            let first = |stream: &serde_json::Value| stream["tokens"][TOKEN]["first_ms"].as_u64().unwrap_or(0);
            (polled >= self.count).then(|| Duration::from_millis(streams.values().map(first).max().unwrap()))
        })
    }

    /// When the replicas' logs had all streams for the first time.
    fn scheduled(&self, replicas: usize) -> Option<DateTime<Utc>> {
        let mut owned = Vec::new();
        for (number, replica) in self.replicas.iter().take(replicas).enumerate() {
            let log = std::fs::read_to_string(&replica.log).unwrap();
            for line in log.lines().filter(|line| line.contains(": shard ownership changed shards=")) {
                let time = line.split(' ').next().unwrap().parse::<DateTime<Utc>>().unwrap();
                let streams: usize = line.rsplit("streams=").next().unwrap().trim().parse().unwrap();
                owned.push((time, number, streams));
            }
        }
        owned.sort_unstable();
        let mut now = BTreeMap::new();
        owned.into_iter().find_map(|(time, number, streams)| {
            now.insert(number, streams);
            (now.values().sum::<usize>() >= self.count).then_some(time)
        })
    }

    fn stop(&mut self, replicas: usize) {
        for replica in &self.replicas[..replicas] {
            replica.signal("TERM");
        }
        for replica in &mut self.replicas[..replicas] {
            replica.end().unwrap_or_else(|problem| panic!("{problem}"));
        }
    }
}

/// Prints the table; the longest time until all was scheduled.
pub(crate) fn measure(bus: Bus, count: usize, folder: &Path) -> Duration {
    let mut streams = Streams::establish(bus, count, folder);
    let starts = [1, REPLICAS].map(|replicas| (replicas, streams.start_cold(replicas)));
    println!("\n{} with {count} streams, {}", bus.name(), super::machine());
    println!("| replicas | all restored and scheduled | each polled once | goal |\n| --- | --- | --- | --- |");
    for (replicas, ColdStart { scheduled, polled }) in &starts {
        let (scheduled, polled) = (scheduled.as_secs_f64(), polled.as_secs_f64());
        println!("| {replicas} | {scheduled:.2} s | {polled:.2} s | < 5 s until scheduled |");
    }
    starts.iter().map(|(_, start)| start.scheduled).max().unwrap()
}
