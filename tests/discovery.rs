//! Streams by rules, with the whole program: found, followed, and let go.
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

use asana_event_bridge::core::ids::StreamId;
use asana_event_bridge::pb::{self, record::Body};
use prost::Message as _;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;
use support::foreign::read_lines;
use support::program::{Program, Simulator};
use support::wait_for;

const PATIENCE: Duration = Duration::from_secs(90);

/// A world of more projects than three pages hold, and a bridge that writes to a file.
struct Bench {
    folder: tempfile::TempDir,
    simulator: Simulator,
    bridge: Option<Program>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let scenario = folder.path().join("scenario.yaml");
        let text = "{ world: { projects: 320, tasks_per_project: 1 }, limits: { rate_per_minute: 0 } }";
        std::fs::write(&scenario, text).unwrap();
        let log = folder.path().join("simulator.log");
        let simulator = Simulator::start(&["--scenario", scenario.to_str().unwrap()], &log);
        std::fs::write(folder.path().join("token"), support::program::TOKEN).unwrap();
        let mut bench = Self { folder, simulator, bridge: None };
        bench.configure(&json!([{ "workspace": bench.workspace() }]));
        bench.start();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn start(&mut self) {
        let config = self.path("config.yaml");
        self.bridge = Some(Program::start(&["run", "--config", config.to_str().unwrap()], &self.path("bridge.log")));
    }

    fn stop(&mut self) {
        assert!(self.bridge.take().unwrap().stop().success());
    }

    /// Replaces the file at once, as Kubernetes does. JSON is YAML.
    fn configure(&self, rules: &Value) {
        let config = json!({
            "accounts": { "main": {
                "token": { "file": self.path("token") },
                "baseUrl": format!("{}/api/1.0", self.simulator.url),
                "requestsPerMinute": 12_000,
            }},
            "discovery": { "interval": "1s", "rules": rules },
            "polling": { "minInterval": "500ms", "maxInterval": "2s" },
            "crawl": { "initial": false },
            "sink": { "file": { "path": self.path("records"), "checkpoint": self.path("checkpoint") } },
        });
        std::fs::write(self.path("next.yaml"), config.to_string()).unwrap();
        std::fs::rename(self.path("next.yaml"), self.path("config.yaml")).unwrap();
    }

    fn workspace(&self) -> String {
        self.simulator.get("/_sim/world")["workspaces"][0].as_str().unwrap().to_owned()
    }

    fn make(&self, name: &str) -> String {
        let made = self.simulator.ask("/_sim/projects", &json!({ "name": name }));
        made["gid"].as_str().unwrap().to_owned()
    }

    fn established(&self) -> BTreeSet<String> {
        let ledger = self.simulator.get("/_sim/ledger");
        ledger["established"].as_object().unwrap().keys().cloned().collect()
    }

    fn wait<T>(&mut self, what: &str, mut ready: impl FnMut(&Self) -> Option<T>) -> T {
        wait_for(what, PATIENCE, || {
            if let Some(bridge) = &mut self.bridge {
                bridge.assert_running();
            }
            ready(self)
        })
    }

    fn offer(&self, resource: &str, gid: &str) {
        let event = json!({
            "action": "changed", "resource": { "gid": gid, "resource_type": "task" }, "parent": null,
            "change": { "field": "name", "action": "changed" }, "user": null, "created_at": "2026-01-01T00:00:00.000Z",
        });
        self.simulator.post("/_sim/events", &json!({ "resource": resource, "events": [event] }));
    }

    /// The bodies of each stream's records, by its gid.
    fn records(&self) -> BTreeMap<String, Vec<Body>> {
        let mut records: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for seen in read_lines(&self.path("records")) {
            let record = pb::Record::decode(seen.value.as_slice()).unwrap();
            if let Some(stream) = StreamId::parse(&record.position.unwrap().stream) {
                records.entry(stream.resource.to_string()).or_default().push(record.body.unwrap());
            }
        }
        records
    }

    fn arrived(&mut self, resource: &str, gid: &str) {
        self.wait(&format!("{gid} of {resource}"), |bench| {
            let records = bench.records();
            let is_it = |body: &Body| matches!(body, Body::Event(event) if event.resource.as_ref().unwrap().gid == gid);
            records.get(resource)?.iter().any(is_it).then_some(())
        });
    }

    fn ended(&mut self, resource: &str) {
        self.wait(&format!("the end of {resource}"), |bench| {
            matches!(bench.records().get(resource)?.last(), Some(Body::StreamEnded(_))).then_some(())
        });
    }

    /// All streams that a `StreamEnded` record was ever written of.
    fn all_ended(&self) -> BTreeSet<String> {
        let has_end = |bodies: &Vec<Body>| bodies.iter().any(|body| matches!(body, Body::StreamEnded(_)));
        self.records().into_iter().filter(|(_, bodies)| has_end(bodies)).map(|(gid, _)| gid).collect()
    }
}

#[test]
fn projects_are_found_followed_and_let_go() {
    let mut bench = Bench::new();
    let all: BTreeSet<String> = bench.simulator.projects().into_iter().collect();
    assert_eq!(all.len(), 320);
    bench.wait("all projects to be established", |bench| (bench.established() == all).then_some(()));

    // One appears.
    let new = bench.make("A new one");
    bench.wait("the new project to be established", |bench| bench.established().contains(&new).then_some(()));
    bench.offer(&new, "71");
    bench.arrived(&new, "71");
    assert_eq!(bench.all_ended(), BTreeSet::new());

    // One is archived, one is deleted, and others stay as they are.
    let [archived, deleted, stays] = [0, 1, 2].map(|number| all.iter().nth(number).unwrap().clone());
    bench.simulator.post(&format!("/_sim/projects/{archived}"), &json!({ "archived": true }));
    bench.simulator.post(&format!("/_sim/projects/{deleted}"), &json!({ "deleted": true }));
    bench.ended(&archived);
    bench.ended(&deleted);
    bench.offer(&stays, "72");
    bench.arrived(&stays, "72");
    let gone = BTreeSet::from([archived.clone(), deleted.clone()]);
    assert_eq!(bench.all_ended(), gone);

    // A restart begins with what it finds, page by page: nobody ends by that.
    bench.stop();
    bench.offer(&stays, "73");
    bench.start();
    bench.arrived(&stays, "73");
    bench.offer(&new, "74");
    bench.arrived(&new, "74");
    let bodies = bench.records().remove(&new).unwrap();
    assert!(!bodies.iter().any(|body| matches!(body, Body::SourceGap(_))), "it goes on where it was");

    // Lists that fail take nothing away.
    bench.simulator.post("/_sim/faults", &json!({ "kind": "status", "status": 500, "endpoint": "lists", "count": 2 }));
    bench.wait("failures", |bench| {
        bench.simulator.get("/_sim/faults")["faults"].as_array().unwrap().is_empty().then_some(())
    });
    bench.offer(&stays, "75");
    bench.arrived(&stays, "75");
    assert_eq!(bench.all_ended(), gone);

    // Another rule takes the place of the first.
    bench.configure(&json!([{ "workspace": bench.workspace(), "name": "^A new" }]));
    bench.bridge.as_ref().unwrap().signal("HUP");
    bench.ended(&stays);
    bench.offer(&new, "76");
    bench.arrived(&new, "76");
    bench.wait("all others to end", |bench| (bench.all_ended() == all).then_some(()));
    bench.stop();
}
