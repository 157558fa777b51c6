//! `tail` and `verify` on a bus that is given by its address, without a bridge's configuration and without a token.

use crate::support::program::{Program, Simulator, TOKEN};
use crate::support::service::Service;
use crate::support::wait_for;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// Runs the program to its end, without variables.
fn program(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_asana-event-bridge"));
    command.args(arguments).env_clear().output().expect("it runs")
}

/// What it printed and logged, with its exit code checked.
#[track_caller]
fn run(arguments: &[&str], exit: i32) -> (String, String) {
    let Output { status, stdout, stderr } = program(arguments);
    let (stdout, stderr) = (String::from_utf8(stdout).expect("UTF-8"), String::from_utf8(stderr).expect("UTF-8"));
    assert_eq!(status.code(), Some(exit), "{arguments:?}\n{stdout}\n{stderr}");
    (stdout, stderr)
}

/// A bridge that has published what a simulator offers.
struct Bridged {
    folder: tempfile::TempDir,
    simulator: Simulator,
    bridge: Program,
}

impl Bridged {
    fn start(sink: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(path("scenario.yaml"), "world: { projects: 1 }\n").unwrap();
        let simulator = Simulator::start(&["--scenario", &path("scenario.yaml")], Path::new(&path("simulator.log")));
        let project = simulator.projects().remove(0);
        let base = format!("{}/api/1.0", simulator.url);
        let config = json!({
            "accounts": { "main": { "token": { "env": "TOKEN" }, "baseUrl": base, "requestsPerMinute": 1400 } },
            "streams": [{ "resource": project }],
            "polling": { "minInterval": "200ms", "maxInterval": "500ms" },
            "replica": "by-address",
            "sink": sink,
        });
        std::fs::write(path("bridge.yaml"), config.to_string()).unwrap();
        std::fs::write(path("sink.yaml"), json!({ "sink": sink }).to_string()).unwrap();
        let arguments = ["run", "--config", &path("bridge.yaml")];
        let bridge = Program::start_with(&[("TOKEN", TOKEN)], &arguments, Path::new(&path("bridge.log")));
        let mut bridged = Self { folder, simulator, bridge };
        wait_for("the first sync token", Duration::from_secs(60), || {
            bridged.bridge.assert_running();
            let established = bridged.simulator.get("/_sim/ledger")["established"].as_object().unwrap().len();
            (established == 1).then_some(())
        });
        bridged.simulator.post("/_sim/actions", &json!({ "count": 50 }));
        bridged
    }

    /// `verify` finds all that the simulator offered; `tail` shows events, and bookkeeping only if it is wanted.
    fn check(&self, place: &[&str]) {
        let verify = [&["verify", "--ledger", &self.simulator.url, "--output", "json"], place].concat();
        let report = wait_for("all events on the bus", Duration::from_secs(60), || {
            let output = program(&verify);
            let report: Value = serde_json::from_slice(&output.stdout).ok()?;
            (report["missing"] == 0 && report["offered"].as_u64() > Some(0)).then_some(report)
        });
        assert_eq!((&report["duplicates"], &report["read"]), (&json!(0), &report["offered"]), "{report}");

        let tail = [&["tail", "--from", "start", "--limit", "20"], place].concat();
        let (text, _) = run(&tail, 0);
        assert!(text.lines().count() == 20 && !text.contains("epoch starts"), "{text}");
        let (text, _) = run(&[&tail[..], &["--all"]].concat(), 0);
        assert!(text.contains("epoch starts"), "{text}");
        let (lines, _) = run(&[&tail[..], &["--output", "json"]].concat(), 0);
        let line: Value = serde_json::from_str(lines.lines().next().expect("a line")).expect("JSON");
        assert!(line["record"]["position"].is_object(), "{line}");
    }
}

#[test]
fn kafka_is_read_by_its_address() {
    let service = Service::start("kafka", &[]);
    let bridged = Bridged::start(&json!({ "kafka": {
        "bootstrapServers": service.address,
        "topic": "acme.events",
        "topics": { "partitions": 3, "replicationFactor": 1, "minInsyncReplicas": 1 },
    }}));
    let at = ["--kafka", &service.address, "--topic"];
    bridged.check(&[&at[..], &["acme.events", "-X", "client.id=reader"]].concat());
    bridged.check(&["--config", bridged.folder.path().join("sink.yaml").to_str().unwrap()]);
    for command in ["tail", "verify"] {
        let (_, said) = run(&[&[command], &at[..], &["asana.evnets"]].concat(), 69);
        let expected = format!("topic asana.evnets doesn't exist at {}; topics there: acme.events, ", service.address);
        assert!(said.contains(&expected), "{said}");
        // Its own topics aren't of interest.
        assert!(!said.contains("__consumer_offsets"), "{said}");
    }
    assert!(bridged.bridge.stop().success());
}

#[test]
fn nats_is_read_by_its_address_and_the_prefix_is_found() {
    let service = Service::start("nats", &[]);
    let bridged = Bridged::start(&json!({ "nats": {
        "servers": [format!("nats://{}", service.address)],
        "stream": "ACME",
        "subjectPrefix": "acme.asana",
    }}));
    bridged.check(&["--nats", &service.address, "--stream", "ACME"]);
    bridged.check(&["--nats", &service.address, "--stream", "ACME", "--prefix", "acme.asana"]);
    bridged.check(&["--config", bridged.folder.path().join("sink.yaml").to_str().unwrap()]);
    for command in ["tail", "verify"] {
        let (_, said) = run(&[command, "--nats", &service.address], 69);
        let expected =
            format!("JetStream stream ASANA doesn't exist at {}; JetStream streams there: ACME\n", service.address);
        assert!(said.contains(&expected), "{said}");
    }
    assert!(bridged.bridge.stop().success());
}

#[test]
fn a_file_is_read_by_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records");
    let path = path.to_str().unwrap();
    let bridged = Bridged::start(&json!({ "file": { "path": path } }));
    bridged.check(&["--file", path]);
    bridged.check(&["--config", bridged.folder.path().join("sink.yaml").to_str().unwrap()]);
    let (_, said) = run(&["verify", "--file", "/nowhere"], 69);
    assert!(said.contains("/nowhere"), "{said}");
    assert!(bridged.bridge.stop().success());
}

#[test]
fn a_bus_that_is_down_is_told_with_its_address_the_cause_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("sink.yaml");
    std::fs::write(&config, r#"{ "sink": { "kafka": { "bootstrapServers": "127.0.0.1:9" } } }"#).unwrap();
    for (command, place, remedy) in [
        ("tail", ["--kafka", "127.0.0.1:9"], "check the address in `--kafka`"),
        ("verify", ["--kafka", "127.0.0.1:9"], "check the address in `--kafka`"),
        ("verify", ["--config", config.to_str().unwrap()], "check `sink.kafka.bootstrapServers`"),
        ("tail", ["--nats", "nats://127.0.0.1:9"], "check the address in `--nats`"),
    ] {
        let began = Instant::now();
        let (_, said) = run(&[command, place[0], place[1]], 69);
        let last = said.lines().last().expect("a line");
        assert!(last.contains("127.0.0.1:9") && last.contains("refused") && last.contains(remedy), "{said}");
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }
}

#[test]
fn a_place_is_required_and_all_of_them_are_named() {
    for command in ["tail", "verify"] {
        let (_, said) = run(&[command], 64);
        for option in ["--kafka", "--nats", "--file", "--config"] {
            assert!(said.contains(option), "{said}");
        }
        let (_, said) = run(&[command, "--kafka", "k", "--file", "f"], 64);
        assert!(said.contains("cannot be used with"), "{said}");
    }
}

#[test]
fn a_configuration_for_readers_is_checked_as_far_as_they_need_it() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    let path = config.to_str().unwrap();
    std::fs::write(&config, "accounts: { main: { token: { env: NOT_SET } } }\nsnik: {}\n").unwrap();
    let (_, said) = run(&["verify", "--config", path], 64);
    assert_eq!(said, format!("1 problem:\n{path}:2:1: snik: unknown key; did you mean `sink`?\n"));
}
