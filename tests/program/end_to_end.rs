//! The program's commands on real buses, as a user has them: run, verify, tail, demo.

use crate::support::program::{Program, Simulator};
use crate::support::service::Service;
use crate::support::wait_for;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

/// Runs the program to its end.
fn program(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_asana-event-bridge")).args(arguments).output().unwrap()
}

/// The JSON object on the last line of standard output, with the exit code.
fn last_line(output: &Output) -> (Value, Option<i32>) {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().last().unwrap_or_else(|| panic!("no output: {}", String::from_utf8_lossy(&output.stderr)));
    (serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")), output.status.code())
}

/// A bridge that meets a bad day at Asana, and loses nothing without saying so.
/// `refuses_large`: the sink takes no event of more than a megabyte.
fn a_bad_day(sink: &str, refuses_large: bool) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("scenario.yaml"), "world: { projects: 8 }\n").unwrap();
    std::fs::write(path("token"), crate::support::program::TOKEN).unwrap();
    let simulator = Simulator::start(&["--scenario", &path("scenario.yaml")], Path::new(&path("simulator.log")));
    let projects = simulator.projects();
    let streams: Vec<Value> = projects.iter().map(|gid| json!({ "resource": gid })).collect();
    let sink: Value = serde_json::from_str(&sink.replace("FOLDER", folder.path().to_str().unwrap())).unwrap();
    let config = json!({
        "accounts": { "main": {
            "token": { "file": path("token") },
            "baseUrl": format!("{}/api/1.0", simulator.url),
            "requestsPerMinute": 1400,
            "requestTimeout": "2s",
        }},
        "streams": streams,
        "polling": { "minInterval": "300ms", "maxInterval": "1s" },
        "replica": "bad-day",
        "sink": sink,
    });
    // JSON is YAML.
    std::fs::write(path("config.yaml"), config.to_string()).unwrap();
    let mut bridge = Program::start(&["run", "--config", &path("config.yaml")], Path::new(&path("bridge.log")));
    let log = || std::fs::read_to_string(path("bridge.log")).unwrap_or_default();
    let established = || simulator.get("/_sim/ledger")["established"].as_object().unwrap().len();
    wait_for("all streams to be established", Duration::from_secs(60), || {
        bridge.assert_running();
        (established() == projects.len()).then_some(())
    });

    let act = || simulator.post("/_sim/actions", &json!({ "count": 200 }));
    act();
    for fault in [
        json!({ "kind": "status", "status": 429, "retry_after": 1, "count": 3 }),
        json!({ "kind": "status", "status": 503, "count": 5 }),
        json!({ "kind": "garbage", "body": "html", "count": 3 }),
        json!({ "kind": "cut", "count": 3 }),
        json!({ "kind": "slow", "delay": "3s", "count": 2 }),
    ] {
        simulator.post("/_sim/faults", &fault);
        act();
    }
    wait_for("the faults to have been met", Duration::from_secs(60), || {
        simulator.get("/_sim/faults")["faults"].as_array().unwrap().is_empty().then_some(())
    });
    // An event that is too large for a bus.
    let large = json!({ "action": "changed", "pad": "x".repeat(1_200_000) });
    simulator.post("/_sim/events", &json!({ "resource": projects[1], "events": [large] }));
    // The stream's token dies, and what happened meanwhile is gone: said, not passed over.
    let caught_up = |why: &str| {
        wait_for(why, Duration::from_secs(90), || {
            bridge_verdict(&path("config.yaml"), &simulator.url).filter(|report| report["missing"] == 0)
        })
    };
    let report = caught_up("the bridge to catch up with Asana");
    assert_eq!(report["explained"], u32::from(refuses_large), "a stand-in explains the large event: {report}");
    simulator.post("/_sim/faults", &json!({ "kind": "kill_tokens", "resource": projects[0] }));
    act();
    wait_for("the source gap", Duration::from_secs(60), || log().contains("source gap announced").then_some(()));
    act();
    let report = caught_up("the bridge to catch up after the source gap");
    // It may be healed by now.
    let gaps = ["source_gaps_open", "source_gaps_healed"].map(|key| report[key].as_u64().unwrap());
    assert_eq!(gaps.iter().sum::<u64>(), 1, "{report}");
    assert_eq!((&report["duplicates"], &report["reordered"]), (&json!(0), &json!(0)), "{report}");
    assert!(report["read"].as_u64().unwrap() > 1000, "{report}");

    let tail = path("tail");
    let mut tailing = Program::start_into(
        &["tail", "--config", &path("config.yaml"), "--from", "start"],
        Path::new(&path("tail.log")),
        Path::new(&tail),
    );
    wait_for("the source gap in the tail", Duration::from_secs(30), || {
        tailing.assert_running();
        std::fs::read_to_string(&tail).unwrap_or_default().contains("SOURCE GAP").then_some(())
    });
    assert!(bridge.stop().success());
    assert!(!log().contains("panicked"), "{}", log());
}

/// What `verify` says; nothing while there is nothing to verify.
fn bridge_verdict(config: &str, ledger: &str) -> Option<Value> {
    let output = program(&["verify", "--config", config, "--ledger", ledger, "--output", "json"]);
    if output.status.code() == Some(69) {
        // Topics are made with their first record.
        return None;
    }
    let (report, code) = last_line(&output);
    let fine = ["missing", "duplicates", "reordered", "unexpected"].iter().all(|key| report[key] == 0);
    assert_eq!(code, Some(i32::from(!fine)), "the exit code says the same as the report: {report}");
    Some(report)
}

#[test]
fn kafka_survives_a_bad_day_with_a_topic_for_each_type_and_schemas_in_a_registry() {
    let (service, registry) = (Service::start("kafka", &[]), Service::start("registry", &[]));
    let sink = json!({ "kafka": {
        "bootstrapServers": service.address,
        "topic": "asana.{resource_type}",
        "checkpointTopic": "bridge-checkpoints",
        "deadLetterTopic": "bridge-dead-letters",
        "topics": { "partitions": 3, "replicationFactor": 1, "minInsyncReplicas": 1 },
        "schemaRegistry": { "urls": [format!("http://{}/apis/ccompat/v7", registry.address)] },
    }});
    a_bad_day(&sink.to_string(), true);
}

#[test]
fn nats_survives_a_bad_day() {
    let service = Service::start("nats", &[]);
    let sink = json!({ "nats": { "servers": [format!("nats://{}", service.address)] } });
    a_bad_day(&sink.to_string(), true);
}

#[test]
fn a_file_survives_a_bad_day() {
    a_bad_day(r#"{ "file": { "path": "FOLDER/records" } }"#, false);
}

#[test]
fn the_demonstration_accounts_for_every_event_on_every_bus() {
    let (kafka, nats) = (Service::start("kafka", &[]), Service::start("nats", &[]));
    for (bus, address) in [("embedded", "none"), ("kafka", &kafka.address), ("nats", &nats.address)] {
        let output = program(&["demo", "--for", "3s", "--bus", bus, "--address", address, "--output", "json"]);
        let (report, code) = last_line(&output);
        assert_eq!(code, Some(0), "{bus}: {report}");
        assert!(report["offered"].as_u64().unwrap() > 50, "{bus}: {report}");
        assert_eq!(report["read"], report["offered"], "{bus}: {report}");
        assert_eq!((&report["missing"], &report["duplicates"]), (&json!(0), &json!(0)), "{bus}: {report}");
    }
}

#[test]
fn the_demonstration_ends_with_its_result() {
    let output = program(&["demo", "--for", "2s"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let last = text.lines().last().unwrap_or_default();
    assert!(last.starts_with("demo finished: ") && last.contains(" events, none missing, none duplicated"), "{text}");
}

#[test]
fn what_cannot_work_is_said_with_the_right_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    let write = |sink: Value| {
        let document = json!({
            "accounts": { "main": { "token": { "env": "PATH" } } },
            "streams": [{ "resource": "1200" }],
            "sink": sink,
        });
        std::fs::write(&config, document.to_string()).unwrap();
    };
    let config = config.to_str().unwrap();
    write(json!({ "nats": { "servers": ["nats://127.0.0.1:9"] } }));
    let output = program(&["verify", "--config", config]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(69), "{said}");
    assert!(said.contains("127.0.0.1:9"), "{said}");
    write(json!({ "console": {} }));
    assert_eq!(program(&["tail", "--config", config]).status.code(), Some(64));
    write(json!({ "bogus": {} }));
    assert_eq!(program(&["run", "--config", config]).status.code(), Some(64));
}
