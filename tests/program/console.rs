//! The console sink in a pipeline: what is printed, and what happens when the reader ends.

use crate::support::program::{Program, Simulator, TOKEN};
use crate::support::wait_for;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A simulator, and what a bridge of one project needs.
struct Site {
    folder: tempfile::TempDir,
    simulator: Simulator,
    project: String,
}

impl Site {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let simulator = Simulator::start(&[], &folder.path().join("simulator.log"));
        let project = simulator.projects().remove(0);
        let config = json!({
            "accounts": { "main": {
                "token": { "env": "TOKEN" },
                "baseUrl": format!("{}/api/1.0", simulator.url),
                "requestsPerMinute": 1400,
            }},
            "polling": { "minInterval": "200ms", "maxInterval": "500ms" },
            "replica": "console",
            "sink": { "console": { "checkpoint": folder.path().join("checkpoint") } },
        });
        std::fs::write(folder.path().join("config.yaml"), config.to_string()).unwrap();
        Self { folder, simulator, project }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A bridge of the project, which is given as the address of its page.
    fn run(&self, arguments: &[&str]) -> Program {
        let config = self.path("config.yaml");
        let address = format!("https://app.asana.com/0/{}/list", self.project);
        let run = ["run", "--config", config.to_str().unwrap(), "--resource", &address];
        Program::start_with(&[("TOKEN", TOKEN)], &[&run[..], arguments].concat(), &self.path("log"))
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn wait_until_established(&self, count: usize) {
        let line = "all streams established, waiting for events";
        wait_for(line, Duration::from_secs(60), || (self.log().matches(line).count() == count).then_some(()));
    }

    /// Something happens in the project. How many events there are by now.
    fn act(&self) -> usize {
        let event = |number: u32| {
            json!({ "action": "changed", "resource": { "gid": "7", "resource_type": "task" },
            "change": { "field": "name", "action": "changed" }, "created_at": "2026-01-02T03:04:05.006Z", "number": number })
        };
        let events: Vec<_> = (0..20).map(event).collect();
        self.simulator.post("/_sim/events", &json!({ "resource": self.project, "events": events }));
        let ledger = self.simulator.get(&format!("/_sim/ledger?resource={}", self.project));
        ledger["events"].as_array().unwrap().len()
    }
}

fn ended(program: &mut Program) -> std::process::ExitStatus {
    wait_for("the end of the program", Duration::from_secs(20), || program.ended())
}

/// The sequences of the stream's events in lines of JSON.
fn sequences(lines: &[String]) -> Vec<u64> {
    let sequence = |line: &String| {
        let line: Value = serde_json::from_str(line).expect("JSON");
        let sequence = line["record"]["position"]["streamSequence"].as_str().map(|it| it.parse().unwrap());
        line["record"]["event"].is_object().then(|| sequence.unwrap())
    };
    lines.iter().filter_map(sequence).collect()
}

#[test]
fn the_bridge_ends_with_its_reader_and_goes_on_where_it_was() {
    let site = Site::start();
    let mut bridge = site.run(&[]);
    let mut lines = BufReader::new(bridge.take_stdout()).lines();
    site.wait_until_established(1);
    let count = site.act();
    let mut printed = Vec::new();
    while sequences(&printed).len() < count {
        printed.push(lines.next().expect("a line").expect("text"));
    }
    // Nothing happens any more: the end is noticed all the same.
    let began = Instant::now();
    drop(lines);
    assert!(ended(&mut bridge).success(), "{}", site.log());
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(site.log().contains("standard output closed by its reader"), "{}", site.log());

    let count = site.act();
    let mut bridge = site.run(&[]);
    let mut lines = BufReader::new(bridge.take_stdout()).lines();
    let mut later = Vec::new();
    while sequences(&[&printed[..], &later].concat()).len() < count {
        later.push(lines.next().expect("a line").expect("text"));
    }
    drop(lines);
    assert!(ended(&mut bridge).success(), "{}", site.log());
    let all = sequences(&[printed, later].concat());
    let first = all[0];
    assert_eq!(all, (first..first + count as u64).collect::<Vec<_>>(), "nothing is lost or repeated");
}

#[test]
fn the_first_line_of_a_pipeline_is_enough() {
    let site = Site::start();
    let mut bridge = site.run(&[]);
    let mut lines = BufReader::new(bridge.take_stdout()).lines();
    lines.next().expect("a line").expect("text");
    drop(lines);
    assert!(ended(&mut bridge).success(), "{}", site.log());
    assert!(!site.log().contains("ERROR") && !site.log().contains("panicked"), "{}", site.log());
}

#[test]
fn text_is_printed_where_it_is_wanted() {
    let site = Site::start();
    let mut bridge = site.run(&["--output", "text"]);
    let mut lines = BufReader::new(bridge.take_stdout()).lines();
    site.wait_until_established(1);
    assert!(site.log().contains("resources_read="), "{}", site.log());
    site.act();
    let event = loop {
        let line = lines.next().expect("a line").expect("text");
        assert!(!line.contains('{') && !line.contains("epoch"), "{line}");
        if !line.contains("snapshot") {
            break line;
        }
    };
    assert_eq!(event, "2026-01-02T03:04:05.006Z  changed task 7 name");
    assert!(bridge.stop().success());
}

#[test]
fn tail_ends_with_its_reader_although_nothing_comes() {
    let folder = tempfile::tempdir().unwrap();
    let records = folder.path().join("records");
    std::fs::write(&records, "").unwrap();
    let log = folder.path().join("log");
    let mut tail = Program::start(&["tail", "--file", records.to_str().unwrap()], Path::new(&log));
    drop(tail.take_stdout());
    assert!(ended(&mut tail).success());
}
