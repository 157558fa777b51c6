//! A changed configuration takes effect without a restart, and so do changed credentials; a bad configuration changes nothing.
mod rotation;

use crate::support::foreign::read_lines;
use crate::support::program::{Program, Simulator};
use crate::support::wait_for;
use bridge_contract::pb::{self, record::Body};
use bridge_core::ids::StreamId;
use prost::Message as _;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(60);

/// A bridge that writes to a file, with one or two streams of the simulator.
struct Bench {
    folder: tempfile::TempDir,
    simulator: Simulator,
    bridge: Program,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let simulator = Simulator::start(&[], &folder.path().join("simulator.log"));
        for resource in ["1", "2"] {
            simulator.post("/_sim/events", &json!({ "resource": resource, "events": [] }));
        }
        std::fs::write(folder.path().join("token"), crate::support::program::TOKEN).unwrap();
        let config = folder.path().join("config.yaml");
        std::fs::write(&config, text(&folder, &simulator, &["1"], "records")).unwrap();
        let log = folder.path().join("bridge.log");
        let bridge = Program::start(&["run", "--config", config.to_str().unwrap()], &log);
        Self { folder, simulator, bridge }
    }

    /// Replaces the file at once, as Kubernetes does.
    fn configure(&self, text: &str) {
        let next = self.folder.path().join("next.yaml");
        std::fs::write(&next, text).unwrap();
        std::fs::rename(next, self.folder.path().join("config.yaml")).unwrap();
    }

    fn text(&self, resources: &[&str], file: &str) -> String {
        text(&self.folder, &self.simulator, resources, file)
    }

    fn offer(&self, resource: &str, gid: &str) {
        let event = json!({
            "action": "changed", "resource": { "gid": gid, "resource_type": "task" }, "parent": null,
            "change": { "field": "name", "action": "changed" }, "user": null, "created_at": "2026-01-01T00:00:00.000Z",
        });
        self.simulator.post("/_sim/events", &json!({ "resource": resource, "events": [event] }));
    }

    /// The gids of the events of each stream, in order.
    fn events(&self) -> BTreeMap<String, Vec<String>> {
        let mut events: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for seen in read_lines(&self.folder.path().join("records")) {
            let record = pb::Record::decode(seen.value.as_slice()).unwrap();
            if let Some(Body::Event(event)) = record.body {
                let stream = StreamId::parse(&record.position.unwrap().stream).unwrap().resource.to_string();
                events.entry(stream).or_default().push(event.resource.unwrap().gid);
            }
        }
        events
    }

    fn established(&mut self, resource: &str) {
        self.bridge.assert_running();
        wait_for(&format!("stream {resource}"), TIMEOUT, || {
            self.simulator.get("/_sim/ledger")["established"].get(resource).map(|_| ())
        });
    }

    fn arrived(&self, resource: &str, gids: &[&str]) {
        wait_for(&format!("{gids:?} of {resource}"), TIMEOUT, || {
            (self.events().get(resource).is_some_and(|found| found == gids)).then_some(())
        });
    }

    fn logged(&self, words: &str) {
        wait_for(words, TIMEOUT, || {
            let log: PathBuf = self.folder.path().join("bridge.log");
            std::fs::read_to_string(log).unwrap().contains(words).then_some(())
        });
    }
}

fn text(folder: &tempfile::TempDir, simulator: &Simulator, resources: &[&str], file: &str) -> String {
    let (folder, url) = (folder.path().display(), &simulator.url);
    let mut text = format!(
        "accounts: {{ main: {{ token: {{ file: '{folder}/token' }}, baseUrl: '{url}/api/1.0', requestsPerMinute: 6000 }} }}
polling: {{ minInterval: 100ms, maxInterval: 200ms }}
sink: {{ file: {{ path: '{folder}/{file}', checkpoint: '{folder}/checkpoint' }} }}
streams:\n"
    );
    for resource in resources {
        writeln!(text, "  - resource: '{resource}'").unwrap();
    }
    text
}

#[test]
fn streams_come_and_go_without_a_restart_and_without_a_loss() {
    let mut bench = Bench::new();
    bench.established("1");
    bench.offer("1", "10");
    bench.arrived("1", &["10"]);

    // By the file alone.
    bench.configure(&bench.text(&["1", "2"], "records"));
    bench.established("2");
    bench.offer("2", "20");
    bench.arrived("2", &["20"]);

    // By the signal, without waiting for the next look at the file.
    bench.configure(&bench.text(&["1"], "records"));
    bench.bridge.signal("HUP");
    bench.logged("removed=1");
    bench.offer("2", "21");
    bench.offer("1", "11");
    bench.arrived("1", &["10", "11"]);
    assert_eq!(bench.events()["2"], ["20"], "nobody polls it");

    // It goes on where it was.
    bench.configure(&bench.text(&["1", "2"], "records"));
    bench.bridge.signal("HUP");
    bench.offer("2", "22");
    bench.arrived("2", &["20", "21", "22"]);
    bench.bridge.assert_running();
    assert!(bench.bridge.stop().success());
}

#[test]
fn a_bad_configuration_is_refused_and_the_one_before_stays() {
    let mut bench = Bench::new();
    bench.established("1");
    bench.configure("accounts: {}\nstreams: [{ resource: 'x y' }]\n");
    bench.bridge.signal("HUP");
    bench.logged("configuration rejected, keeping the previous one");
    bench.logged("sink: is missing");
    bench.offer("1", "10");
    bench.arrived("1", &["10"]);

    // What is right and needs a restart is refused, too, all of it.
    bench.configure(&bench.text(&["1", "2"], "elsewhere"));
    bench.bridge.signal("HUP");
    bench.logged("another sink needs a restart");
    bench.offer("1", "11");
    bench.arrived("1", &["10", "11"]);
    assert!(bench.simulator.get("/_sim/ledger")["established"].get("2").is_none());

    // What isn't there yet may come: it is tried again without being told.
    let text = bench.text(&["1", "2"], "records");
    bench.configure(&text.replace("/token'", "/later'"));
    bench.bridge.signal("HUP");
    bench.logged("accounts.main.token.file");
    std::fs::write(bench.folder.path().join("later"), crate::support::program::TOKEN).unwrap();
    bench.established("2");
    bench.bridge.assert_running();
    assert!(bench.bridge.stop().success());
}
