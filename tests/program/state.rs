//! The state topic on real buses: what a follower has from it is what Asana has, though the bridge is killed. On Kafka the states are
//! JSON, on one of the servers of NATS everything is.

use crate::support::program::{Program, Simulator, TOKEN};
use crate::support::service::Service;
use crate::support::wait_for;
use async_nats::jetstream;
use bridge_consumer::state_table::Completeness;
use bridge_consumer::{StateTable, decode};
use bridge_contract::pb::record::Body;
use bridge_contract::state::is_progress_key;
use chrono::{DateTime, Utc};
use futures_util::StreamExt as _;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const PARTITIONS: i32 = 3;
const SHARDS: u32 = 4;
const TIMEOUT: Duration = Duration::from_secs(90);

/// Fields of a task that change without an event.
const SILENT: [&str; 4] = ["dependencies", "followers", "num_likes", "tags"];

/// All messages of a state topic in their order, each with its key. A removal has no value.
type States = Vec<(String, Option<Vec<u8>>)>;

/// The scene of both tests: a simulator with two projects, and a bridge that keeps their tasks' states.
struct Scene {
    folder: tempfile::TempDir,
    simulator: Simulator,
    projects: Vec<String>,
}

impl Scene {
    fn new(sink: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let scenario = "world: { projects: 2 }\nlimits: { rate_per_minute: null, concurrent_reads: null }\n";
        std::fs::write(path("scenario.yaml"), scenario).unwrap();
        std::fs::write(path("token"), TOKEN).unwrap();
        let simulator = Simulator::start(&["--scenario", &path("scenario.yaml")], Path::new(&path("simulator.log")));
        let projects = simulator.projects();
        let streams: Vec<Value> = projects.iter().map(|gid| json!({ "resource": gid })).collect();
        let config = json!({
            "accounts": { "main": {
                "token": { "file": path("token") },
                "baseUrl": format!("{}/api/1.0", simulator.url),
                "requestsPerMinute": 1400,
            }},
            "streams": streams,
            "polling": { "minInterval": "200ms", "maxInterval": "500ms" },
            "crawl": { "reconcileInterval": "0s" },
            "commit": { "watermarkInterval": "1s" },
            "state": { "refresh": "on", "types": ["task", "project"], "quietTime": "500ms", "longestWait": "3s" },
            "shards": SHARDS,
            "replica": "a",
            "sink": sink,
        });
        std::fs::write(path("config.yaml"), config.to_string()).unwrap();
        Self { folder, simulator, projects }
    }

    fn bridge(&self) -> Program {
        let path = |name: &str| self.folder.path().join(name);
        let config = path("config.yaml");
        Program::start(&["run", "--config", config.to_str().unwrap()], &path("bridge.log"))
    }

    /// No record is missing.
    fn verify(&self) {
        let config = self.folder.path().join("config.yaml");
        let mut command = Command::new(env!("CARGO_BIN_EXE_asana-event-bridge"));
        let output = command.args(["verify", "--config"]).arg(config).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }

    /// Exit code and results of the command `state`.
    fn state(&self, arguments: &[&str]) -> (i32, String) {
        let config = self.folder.path().join("config.yaml");
        let mut command = Command::new(env!("CARGO_BIN_EXE_asana-event-bridge"));
        let output = command.arg("state").args(arguments).arg("--config").arg(config).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    }

    /// What `state` prints of the topic, while no bridge runs. `deleted`: a task that was deleted.
    fn try_the_command(&self, deleted: &str) {
        let (code, lines) = self.state(&["list", "--type", "task", "--output", "json"]);
        let rows: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let is_in_project = |row: &&Value| row["followed"] == true && row["object"]["projects"][0].is_object();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let tasks = rows.iter().filter(is_in_project).map(|row| (text(&row["gid"]), text(&row["object"]["name"])));
        assert_eq!((code, tasks.collect::<BTreeMap<_, _>>()), (0, self.tasks()));
        let of_project = self.state(&["list", "--type", "task", "--project", &self.projects[0]]).1;
        assert!(of_project.contains("; complete up to 20"), "{of_project}");
        assert_eq!(
            of_project.lines().count() - 1,
            self.simulator.list(&format!("/tasks?project={}", self.projects[0]), "gid").len()
        );

        let (task, name) = self.tasks().pop_first().unwrap();
        let (code, page) = self.state(&["get", &task]);
        assert!(code == 0 && page.contains(&format!("\"name\": {name:?}")), "{page}");
        assert_eq!(self.state(&["get", deleted]), (1, String::new()));

        // By gid, without what changes without an event.
        let diff = || {
            let all = ["diff", "--limit", "100000", "--type", "task", "--output", "json"];
            let (code, report) = self.state(&all);
            let report: Value = serde_json::from_str(&report).unwrap();
            let (same, different) = (report["same"].as_u64().unwrap(), report["different"].as_array().unwrap());
            assert_eq!(code, i32::from(!different.is_empty()), "{report}");
            assert!(same + different.len() as u64 >= self.tasks().len() as u64, "{report}");
            let fields = |it: &Value| {
                let all = it["fields"].as_array().unwrap().iter().map(text);
                all.filter(|field| !SILENT.contains(&field.as_str())).collect::<Vec<_>>()
            };
            let all = different.iter().map(|it| (text(&it["gid"]), fields(it)));
            all.filter(|(_, fields)| !fields.is_empty()).collect::<Vec<_>>()
        };
        assert_eq!(diff(), []);
        self.simulator.post(&format!("/_sim/tasks/{task}"), &json!({ "name": "not on the bus" }));
        assert_eq!(diff(), [(task, vec!["modified_at".to_owned(), "name".to_owned()])]);
    }

    /// The names of all tasks in the projects, as Asana has them.
    fn tasks(&self) -> BTreeMap<String, String> {
        let of = |project: &String| self.simulator.list(&format!("/tasks?project={project}"), "name");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        self.projects.iter().flat_map(of).map(|task| (text(&task["gid"]), text(&task["name"]))).collect()
    }
}

/// The names of the tasks that a follower has from the topic. No older state may follow a newer one.
fn followed(states: States) -> BTreeMap<String, String> {
    let (mut table, mut newest) = (BTreeMap::new(), BTreeMap::new());
    for (gid, value) in states.into_iter().filter(|(key, _)| !is_progress_key(key)) {
        let Some(value) = value else {
            table.remove(&gid);
            continue;
        };
        let record = decode::wire(&value).unwrap();
        let Some(Body::State(state)) = record.body else { panic!("not a state: {record:?}") };
        let modified = state.modified_at.map(|at| (at.seconds, at.nanos));
        let last = newest.insert(gid.clone(), modified).flatten();
        assert!(last <= modified, "{gid}: {modified:?} follows {last:?}");
        let is_task = state.resource.as_ref().unwrap().resource_type == "task";
        let object: Value = serde_json::from_str(&state.state_json).unwrap();
        // A project's list of tasks has no subtasks.
        if is_task && state.followed && object["projects"].as_array().is_some_and(|projects| !projects.is_empty()) {
            table.insert(gid, object["name"].as_str().unwrap().to_owned());
        } else {
            table.remove(&gid);
        }
    }
    table
}

/// The time up to which the topic says that it is complete; `None` while it says so of no time.
fn complete_up_to(states: &States) -> Option<DateTime<Utc>> {
    let mut table = StateTable::default();
    for (key, value) in states {
        table.apply(key, value.as_ref().map(|value| decode::record(value).unwrap()).as_ref());
    }
    match table.completeness() {
        Completeness::Complete { up_to, .. } => up_to,
        Completeness::Unknown | Completeness::Loading { .. } => None,
    }
}

/// What only one of them has.
fn difference<'a>(
    followed: &'a BTreeMap<String, String>,
    tasks: &'a BTreeMap<String, String>,
) -> [Vec<(&'a String, &'a String)>; 2] {
    let only = |a: &'a BTreeMap<String, String>, b: &BTreeMap<String, String>| {
        a.iter().filter(|(gid, name)| b.get(*gid) != Some(name)).collect()
    };
    [only(followed, tasks), only(tasks, followed)]
}

/// `is_json`: the states have to be JSON, with Asana's objects as objects.
fn the_states_are_asanas(sink: &Value, is_json: bool, read: impl Fn() -> States) {
    let scene = Scene::new(sink);
    let mut bridge = scene.bridge();
    let wait = |bridge: &mut Program, what: &str| {
        let mut last = (BTreeMap::new(), BTreeMap::new());
        let end = Instant::now() + TIMEOUT;
        while last.0 != last.1 || last.0.is_empty() {
            assert!(Instant::now() < end, "waited in vain for {what}: {:?}", difference(&last.0, &last.1));
            bridge.assert_running();
            last = (followed(read()), scene.tasks());
        }
    };
    wait_for("the first crawl", TIMEOUT, || (!scene.tasks().is_empty()).then_some(()));
    wait(&mut bridge, "the states of all tasks");

    let task = scene.tasks().keys().next().unwrap().clone();
    let change = |body: &Value| scene.simulator.post(&format!("/_sim/tasks/{task}"), body);
    change(&json!({ "name": "one name" }));
    change(&json!({ "name": "another name" }));
    wait(&mut bridge, "the new name");
    for round in 0..4 {
        scene.simulator.post("/_sim/actions", &json!({ "count": 60 }));
        std::thread::sleep(Duration::from_millis(300 * round));
        bridge.kill();
        scene.simulator.post("/_sim/actions", &json!({ "count": 20 }));
        bridge = scene.bridge();
    }
    change(&json!({ "trashed": true }));
    wait(&mut bridge, "the states after the kills");
    let has_object = |value: Vec<u8>| {
        serde_json::from_slice::<Value>(&value).is_ok_and(|record| record["state"]["object"]["gid"].is_string())
    };
    let values = read().into_iter().filter(|(key, _)| !is_progress_key(key)).filter_map(|(_, value)| value);
    assert!(values.into_iter().all(|value| has_object(value) == is_json));
    let removed: BTreeSet<_> = read().into_iter().filter(|(_, value)| value.is_none()).map(|(gid, _)| gid).collect();
    assert!(removed.contains(&task), "{task} was deleted, and only its tombstone says so: {removed:?}");

    let now = Utc::now();
    let is_complete = || complete_up_to(&read()).filter(|until| *until > now);
    wait_for("a state topic that says it is complete", TIMEOUT, is_complete);
    assert_eq!(followed(read()), scene.tasks());
    assert!(bridge.stop().success());
    scene.verify();
    scene.try_the_command(&task);
}

fn read_kafka(address: &str) -> States {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", address).set("group.id", "follower").set("isolation.level", "read_committed");
    config.set("enable.partition.eof", "true").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut partitions = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        partitions.add_partition_offset("asana.state", partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&partitions).unwrap();
    let (mut states, mut ended) = (States::new(), BTreeSet::new());
    while ended.len() < PARTITIONS as usize {
        match consumer.poll(Duration::from_secs(5)) {
            Some(Ok(message)) => {
                let key = String::from_utf8(message.key().unwrap().to_vec()).unwrap();
                states.push((key, message.payload().map(<[u8]>::to_vec)));
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(ended.insert(partition)),
            // The topic is made by the bridge.
            Some(Err(_)) | None => return States::new(),
        }
    }
    states
}

#[test]
fn a_follower_of_kafkas_state_topic_has_what_asana_has() {
    let service = Service::start("kafka", &[]);
    let sink = json!({ "kafka": {
        "bootstrapServers": service.address,
        "stateTopic": "asana.state",
        "stateEncoding": "json",
        "topics": { "partitions": PARTITIONS, "replicationFactor": 1, "minInsyncReplicas": 1 },
    }});
    the_states_are_asanas(&sink, true, || read_kafka(&service.address));
}

fn read_nats(address: &str) -> States {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = async_nats::connect(format!("nats://{address}")).await.unwrap();
        let Ok(stream) = jetstream::new(client).get_stream("ASANA").await else { return States::new() };
        let config = jetstream::consumer::pull::Config {
            filter_subject: "asana.state.>".to_owned(),
            ack_policy: jetstream::consumer::AckPolicy::None,
            ..jetstream::consumer::pull::Config::default()
        };
        let consumer = stream.create_consumer(config).await.unwrap();
        let pending = consumer.cached_info().num_pending;
        let mut states = States::new();
        if pending == 0 {
            return states;
        }
        let mut messages = consumer.fetch().max_messages(pending as usize).messages().await.unwrap();
        while let Some(message) = messages.next().await {
            let message = message.unwrap();
            let is_removal = message.headers.as_ref().is_some_and(|headers| headers.get("KV-Operation").is_some());
            assert_eq!(is_removal, message.payload.is_empty());
            let gid = message.subject.as_str().strip_prefix("asana.state.").unwrap().to_owned();
            states.push((gid, (!is_removal).then(|| message.payload.to_vec())));
        }
        states
    })
}

#[test]
fn a_follower_of_the_state_subjects_has_what_asana_has() {
    for (kind, encoding) in [("nats", "json"), ("nats-old", "protobuf")] {
        let service = Service::start(kind, &[]);
        let servers = [format!("nats://{}", service.address)];
        let sink = json!({ "nats": { "servers": servers, "state": true, "encoding": encoding } });
        the_states_are_asanas(&sink, encoding == "json", || read_nats(&service.address));
    }
}
