//! Operators' mistakes on real buses: two deployments with the same names, and a checkpoint that is gone.

use crate::support::foreign::{Seen, read_kafka, read_nats};
use crate::support::program::{Program, Simulator, TOKEN};
use crate::support::scene::rename;
use crate::support::service::Service;
use crate::support::wait_for;
use bridge_contract::pb::{self, SourceGapReason, record::Body};
use prost::Message as _;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

const LANES: u32 = 3;
const TIMEOUT: Duration = Duration::from_secs(60);

/// A bus, and a simulator with 8 streams.
struct Site {
    bus: &'static str,
    service: Service,
    simulator: Simulator,
    folder: tempfile::TempDir,
}

impl Site {
    fn new(bus: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let service = Service::start(bus, &[]);
        std::fs::write(folder.path().join("token"), TOKEN).unwrap();
        let simulator = Simulator::start(&[], &folder.path().join("simulator.log"));
        for stream in Self::streams(1..=8) {
            simulator.post("/_sim/events", &json!({ "resource": stream, "events": [] }));
        }
        Self { bus, service, simulator, folder }
    }

    fn streams(numbers: impl Iterator<Item = u32>) -> Vec<String> {
        numbers.map(|number| (9_000_000 + number).to_string()).collect()
    }

    /// A configuration file of this name, with changes.
    fn config(&self, name: &str, streams: impl Iterator<Item = u32>, changes: &Value) -> String {
        let address = &self.service.address;
        let sink = match self.bus {
            "kafka" => json!({ "kafka": {
                "bootstrapServers": address,
                "topics": { "partitions": LANES, "replicationFactor": 1, "minInsyncReplicas": 1 },
            }}),
            _ => json!({ "nats": { "servers": [format!("nats://{address}")], "lanes": LANES } }),
        };
        let mut document = json!({
            "accounts": { "main": {
                "token": { "file": self.folder.path().join("token") },
                "baseUrl": format!("{}/api/1.0", self.simulator.url),
                "requestsPerMinute": 60000,
            }},
            "streams": Self::streams(streams).iter().map(|gid| json!({ "resource": gid })).collect::<Vec<_>>(),
            "polling": { "minInterval": "200ms", "maxInterval": "1s" },
            "commit": { "watermarkInterval": "2s" },
            "shards": 4,
            "replica": name,
            "sink": sink,
        });
        for (key, value) in changes.as_object().unwrap() {
            match document[key].as_object_mut().filter(|_| key == "sink") {
                Some(_) => {
                    document["sink"][self.bus].as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
                }
                None => document[key] = value.clone(),
            }
        }
        let file = self.folder.path().join(format!("{name}.yaml"));
        // JSON is YAML.
        std::fs::write(&file, document.to_string()).unwrap();
        file.to_str().unwrap().to_owned()
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }

    fn start(&self, name: &str, config: &str) -> Program {
        Program::start(&["run", "--config", config], &self.log(name))
    }

    fn established(&self, bridge: &mut Program, count: usize) {
        wait_for("streams to be established", TIMEOUT, || {
            bridge.assert_running();
            let established = self.simulator.get("/_sim/ledger")["established"].as_object().unwrap().len();
            (established >= count).then_some(())
        });
    }

    fn offer(&self, stream: u32, numbers: std::ops::Range<u64>) {
        let stream = &Self::streams(std::iter::once(stream))[0];
        for number in numbers {
            self.simulator
                .post("/_sim/events", &json!({ "resource": stream, "events": [rename(1_000 + number % 40, number)] }));
        }
    }

    fn records(&self) -> Vec<pb::Record> {
        let seen: Vec<Seen> = match self.bus {
            "kafka" => read_kafka(&self.service.address, "asana.events"),
            _ => read_nats(&self.service.address, "ASANA", "asana.lane.>"),
        };
        seen.iter().map(|seen| pb::Record::decode(seen.value.as_slice()).unwrap()).collect()
    }

    /// Waits until so many events are on the bus.
    fn published(&self, bridge: &mut Program, events: usize) {
        wait_for("events on the bus", TIMEOUT, || {
            bridge.assert_running();
            let is_event = |record: &pb::Record| matches!(record.body, Some(Body::Event(_)));
            (self.records().iter().filter(|record| is_event(record)).count() >= events).then_some(())
        });
    }

    /// Deletes the checkpoint, and nothing else.
    fn delete_checkpoint(&self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            if self.bus == "kafka" {
                let admin: AdminClient<DefaultClientContext> =
                    ClientConfig::new().set("bootstrap.servers", &self.service.address).create().unwrap();
                let deleted = admin.delete_topics(&["asana.checkpoints"], &AdminOptions::new()).await.unwrap();
                assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
            } else {
                self.purge(Some("asana._checkpoint.>")).await;
            }
        });
    }

    async fn purge(&self, filter: Option<&str>) {
        let client = async_nats::connect(format!("nats://{}", self.service.address)).await.unwrap();
        let stream = async_nats::jetstream::new(client).get_stream("ASANA").await.unwrap();
        match filter {
            Some(filter) => stream.purge().filter(filter).await.unwrap(),
            None => stream.purge().await.unwrap(),
        };
    }
}

fn program(arguments: &[&str]) -> Output {
    let mut command = Command::new("timeout");
    command.args(["150", env!("CARGO_BIN_EXE_asana-event-bridge")]).args(arguments).output().unwrap()
}

/// What a start that is refused says.
fn refused(config: &str) -> String {
    let output = program(&["run", "--config", config]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{said}");
    said
}

fn two_deployments(bus: &'static str) {
    let site = Site::new(bus);
    let nothing = json!({});
    let first = site.config("a", 1..=4, &nothing);
    let mut bridge = site.start("a", &first);
    site.established(&mut bridge, 4);
    site.offer(1, 0..10);
    site.published(&mut bridge, 10);

    // The same names, and other streams.
    let said = refused(&site.config("b", 5..=8, &nothing));
    assert!(said.contains("in use by") && said.contains("set `deployment`"), "{said}");
    // A name, and the same output topic.
    let said = refused(&site.config("b", 5..=8, &json!({ "deployment": "team-b" })));
    assert!(said.contains("written by the deployment") && said.contains("team-b"), "{said}");
    // The same checkpoint by name.
    let own = match bus {
        "kafka" => json!({ "checkpointTopic": "asana.checkpoints", "groupId": "asana-event-bridge" }),
        _ => json!({ "checkpoint": "" }),
    };
    let renamed = site.config("c", 1..=4, &json!({ "deployment": "team-a", "sink": own }));
    let said = refused(&renamed);
    assert!(said.contains("team-a") && said.contains("checkpoint adopt"), "{said}");
    // A rolling change of streams in one deployment.
    let mut rolling = site.start("d", &site.config("d", 2..=5, &nothing));
    assert!(bridge.stop().success());
    site.established(&mut rolling, 5);
    assert!(rolling.stop().success());

    // Names and topics of its own.
    let own = match bus {
        "kafka" => json!({ "topic": "b.events", "deadLetterTopic": "b.dead-letters" }),
        _ => json!({ "stream": "B", "subjectPrefix": "b" }),
    };
    let mut other = site.start("e", &site.config("e", 6..=8, &json!({ "deployment": "team-b", "sink": own })));
    site.established(&mut other, 8);
    assert!(other.stop().success());

    // The first one gets a name.
    assert_eq!(program(&["checkpoint", "adopt", "--config", &renamed]).status.code(), Some(1), "a dry run");
    assert_eq!(program(&["checkpoint", "adopt", "--config", &renamed, "--yes"]).status.code(), Some(0));
    let mut bridge = site.start("c", &renamed);
    site.offer(1, 10..20);
    site.published(&mut bridge, 20);
    assert!(bridge.stop().success());
    let said = refused(&first);
    assert!(said.contains("team-a") && said.contains("(without a name)"), "{said}");
}

fn a_lost_checkpoint(bus: &'static str) {
    let site = Site::new(bus);
    let config = site.config("a", 1..=4, &json!({}));
    let mut bridge = site.start("a", &config);
    site.established(&mut bridge, 4);
    site.offer(1, 0..10);
    site.published(&mut bridge, 10);
    assert!(bridge.stop().success());

    site.delete_checkpoint();
    site.offer(2, 10..20);
    let said = refused(&config);
    assert!(said.contains("checkpoint recreate"), "{said}");
    let verified = program(&["verify", "--config", &config]);
    let report = String::from_utf8(verified.stdout).unwrap();
    assert!(verified.status.code() == Some(1) && report.contains("not every event accounted for"), "{report}");

    let plan = program(&["checkpoint", "recreate", "--config", &config]);
    let planned = String::from_utf8(plan.stdout).unwrap();
    assert_eq!(plan.status.code(), Some(1), "{planned}");
    for stream in Site::streams(1..=4) {
        assert!(planned.contains(&format!("main/{stream}")), "{planned}");
    }
    let recreated = program(&["checkpoint", "recreate", "--config", &config, "--yes"]);
    assert_eq!(recreated.status.code(), Some(0), "{}", String::from_utf8_lossy(&recreated.stderr));

    let mut bridge = site.start("a", &config);
    let wanted: BTreeSet<_> = Site::streams(1..=4)
        .into_iter()
        .flat_map(|it| (0..LANES).map(move |lane| (format!("main/{it}"), lane)))
        .collect();
    wait_for("a source gap of each stream in each lane", TIMEOUT, || {
        bridge.assert_running();
        let gaps: BTreeSet<_> = site
            .records()
            .into_iter()
            .filter_map(|record| match (record.body, record.position) {
                (Some(Body::SourceGap(gap)), Some(position)) => {
                    assert_eq!((gap.reason(), gap.last_complete_poll_at), (SourceGapReason::CheckpointLost, None));
                    Some((position.stream, position.lane))
                }
                _ => None,
            })
            .collect();
        (gaps == wanted).then_some(())
    });
    site.offer(1, 20..30);
    site.published(&mut bridge, 20);
    assert!(bridge.stop().success());
    let mut bridge = site.start("a", &config);
    site.offer(1, 30..40);
    site.published(&mut bridge, 30);
    assert!(bridge.stop().success());
}

#[test]
fn a_second_deployment_on_kafka_is_refused_before_it_does_harm() {
    two_deployments("kafka");
}

#[test]
fn a_second_deployment_on_nats_is_refused_before_it_does_harm() {
    two_deployments("nats");
}

#[test]
fn a_lost_checkpoint_on_kafka_is_no_first_start() {
    a_lost_checkpoint("kafka");
}

#[test]
fn a_lost_checkpoint_on_nats_is_no_first_start() {
    a_lost_checkpoint("nats");
}

#[test]
fn after_a_purge_a_running_bridge_writes_its_checkpoint_again() {
    let site = Site::new("nats");
    let config = site.config("a", 1..=4, &json!({}));
    let mut bridge = site.start("a", &config);
    site.established(&mut bridge, 4);
    site.offer(1, 0..10);
    site.published(&mut bridge, 10);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(site.purge(None));
    site.offer(2, 10..20);
    site.published(&mut bridge, 10);
    wait_for("the whole checkpoint", TIMEOUT, || {
        let output = program(&["checkpoint", "list", "--config", &config, "--output", "json"]);
        let out = String::from_utf8(output.stdout).unwrap();
        let listing: Value = serde_json::from_str(out.lines().last()?).ok()?;
        (listing["totals"]["live"] == 4).then_some(())
    });
    assert!(bridge.stop().success());
    site.offer(3, 20..30);
    let mut bridge = site.start("a", &config);
    site.published(&mut bridge, 20);
    assert!(bridge.stop().success());
    let gaps = site.records().iter().filter(|record| matches!(record.body, Some(Body::SourceGap(_)))).count();
    assert_eq!(gaps, 0, "nothing was lost");
}
