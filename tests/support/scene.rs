//! A simulator whose streams the bridges poll, and events for them.

use super::clock::HostClock;
use super::program::{Program, Simulator};
use super::wait_for;
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What is there before the first bridge.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) folder: TempDir,
    pub(crate) simulator: Simulator,
    /// The resources that are polled.
    pub(crate) streams: Vec<String>,
    name: String,
    /// The clock of the bridges, unless it is the host's.
    pub(crate) clock: Option<HostClock>,
    /// Further settings of the bridges, as lines of YAML.
    pub(crate) settings: String,
}

impl Scene {
    /// A simulator without limits, and so many streams without events. The name is that of the logs.
    pub(crate) fn start(name: &str, streams: usize) -> Self {
        Self::of(name, streams, "")
    }

    /// The same, with these further lines of the simulator's scenario.
    pub(crate) fn of(name: &str, streams: usize, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let scenario = folder.path().join("scenario.yaml");
        std::fs::write(&scenario, format!("limits: {{ rate_per_minute: null, concurrent_reads: null }}\n{more}"))
            .unwrap();
        std::fs::write(folder.path().join("token"), super::program::TOKEN).unwrap();
        let arguments = ["--scenario", scenario.to_str().unwrap()];
        let simulator = Simulator::start(&arguments, &folder.path().join("simulator.log"));
        let streams: Vec<String> = (1..=streams).map(|n| (9_000_000 + n).to_string()).collect();
        for stream in &streams {
            simulator.post("/_sim/events", &json!({ "resource": stream, "events": [] }));
        }
        Self { folder, simulator, streams, name: name.to_owned(), clock: None, settings: String::new() }
    }

    /// Starts a bridge. Its log goes on where an earlier one of the same replica left it.
    pub(crate) fn bridge(&self, replica: &str, sink: &str) -> Program {
        let config = self.folder.path().join(format!("{replica}.yaml"));
        if !config.exists() {
            std::fs::remove_file(self.log(replica)).ok();
            std::fs::write(&config, self.config(replica, sink)).unwrap();
        }
        let clock = self.clock.iter().flat_map(HostClock::variables).collect::<Vec<_>>();
        Program::start_with(&clock, &["run", "--config", config.to_str().unwrap()], &self.log(replica))
    }

    /// The log of a replica's bridges, which outlives the test.
    pub(crate) fn log(&self, replica: &str) -> PathBuf {
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{replica}.log", self.name))
    }

    /// Waits until each stream was polled with its first token: then it is on the bus, and from then on each event counts,
    /// even if the bridge is killed.
    pub(crate) fn wait_until_established(&self, bridges: &mut [Program]) {
        wait_for("all streams to be established", Duration::from_secs(60), || {
            bridges.iter_mut().for_each(Program::assert_running);
            let ledger = self.simulator.get("/_sim/ledger");
            (ledger["followed"].as_array().unwrap().len() >= self.streams.len()).then_some(())
        });
    }

    fn config(&self, replica: &str, sink: &str) -> String {
        let (url, token) = (&self.simulator.url, self.folder.path().join("token"));
        let token = token.display();
        let mut config = format!(
            "accounts: {{ main: {{ token: {{ file: '{token}' }}, baseUrl: '{url}/api/1.0', requestsPerMinute: 60000 }} }}
polling: {{ minInterval: 200ms, maxInterval: 1s }}
replica: {replica}
sink: {{ {sink} }}
{}
streams:\n",
            self.settings
        );
        for stream in &self.streams {
            writeln!(config, "  - resource: '{stream}'").unwrap();
        }
        config
    }
}

/// Offers events at a steady rate.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) events: u64,
    per_second: u64,
}

impl Load {
    pub(crate) fn new(per_second: u64) -> Self {
        Self { events: 0, per_second }
    }

    /// For a time.
    pub(crate) fn run(&mut self, time: Duration, scene: &Scene, rng: &mut ChaCha8Rng) {
        let start = Instant::now();
        self.run_while(|| start.elapsed() < time, scene, rng);
    }

    /// As long as the condition holds.
    pub(crate) fn run_while(&mut self, holds: impl Fn() -> bool, scene: &Scene, rng: &mut ChaCha8Rng) {
        let (start, before) = (Instant::now(), self.events);
        while holds() {
            let due = before + u64::try_from(start.elapsed().as_millis()).unwrap() * self.per_second / 1000;
            if self.events >= due {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            }
            let count = (due - self.events).min(rng.random_range(1..8));
            let events: Vec<_> = (0..count).map(|n| event(self.events + n, rng)).collect();
            let stream = &scene.streams[rng.random_range(0..scene.streams.len())];
            scene.simulator.post("/_sim/events", &json!({ "resource": stream, "events": events }));
            self.events += count;
        }
    }
}

/// An event that no other is equal to.
pub(crate) fn event(number: u64, rng: &mut ChaCha8Rng) -> Value {
    rename(rng.random_range(1_000..1_040), number)
}

/// A task's new name, which has the number in it.
pub(crate) fn rename(gid: u64, number: u64) -> Value {
    json!({
        "action": "changed",
        "resource": { "gid": gid.to_string(), "resource_type": "task", "name": format!("event {number}") },
        "parent": null,
        "change": { "field": "name", "action": "changed" },
        "created_at": "2026-01-01T00:00:00.000Z",
        "user": { "gid": "7", "resource_type": "user", "name": "Greg" },
    })
}
