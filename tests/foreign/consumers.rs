//! The packages of `clients`, installed from the file, and their examples, each with its own language's Kafka client and protobuf: they find on a real
//! topic what is there, and what was taken from it.

use crate::support::foreign::{Seen, path_from_script, read_kafka, read_nats, run};
use crate::support::program::{Program, Simulator};
use crate::support::service::{Service, script};
use crate::support::wait_for;
use bridge_consumer::detect::{Detector, Start, Tally};
use bridge_contract::pb::{self, record::Body};
use prost::Message as _;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const LANGUAGES: [&str; 4] = ["go", "java", "python", "typescript"];

/// The detector's files in each language, and the most lines that they may have: imports count, comments don't.
const DETECTORS: [(&[&str], usize); 4] = [
    (&["go/detector.go"], 345),
    (
        &[
            "java/src/main/java/io/github/asana_event_bridge/consumer/Detector.java",
            "java/src/main/java/io/github/asana_event_bridge/consumer/Track.java",
        ],
        290,
    ),
    (&["python/src/asana_event_bridge/detector.py"], 220),
    (&["typescript/src/detector.ts"], 260),
];

const LANES: usize = 3;
const STREAMS: usize = 6;
const TOPIC: &str = "asana.events";
const DAMAGED: &str = "damaged.events";

/// What fetches and builds on a slow machine may take.
const BUILDING: Duration = Duration::from_secs(1200);
const TIMEOUT: Duration = Duration::from_secs(180);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_port_passes_the_conformance_vectors() {
    let folder = root().join("proto/conformance");
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    // They have no use for fingerprints but to compare them.
    let is_theirs =
        |path: &PathBuf| path.extension().is_some_and(|it| it == "json") && !path.ends_with("fingerprints.json");
    let vectors: BTreeSet<_> = files.filter(is_theirs).collect();
    assert!(vectors.len() > 20 && vectors.contains(&folder.join("custom-fields.json")), "{vectors:?}");
    let mut arguments = vec!["--vectors"];
    arguments.extend(vectors.iter().map(|path| path.to_str().unwrap()));
    for (language, said) in consumers(&arguments) {
        assert_eq!(said, format!("{} vectors, 0 differences\n", vectors.len()), "{language}");
    }
}

#[test]
fn every_port_of_the_detector_stays_small() {
    for (files, most) in DETECTORS {
        let lines = files.iter().map(|file| {
            let text = std::fs::read_to_string(root().join("clients").join(file)).unwrap();
            let comment = |line: &str| ["//", "/*", "*", "#", "\"\"\""].iter().any(|mark| line.starts_with(mark));
            text.lines().map(str::trim).filter(|line| !line.is_empty() && !comment(line)).count()
        });
        let lines: usize = lines.sum();
        println!("{files:?}: {lines} lines");
        assert!(lines > 50 && lines <= most, "{files:?}: {lines} lines, of {most}");
    }
}

#[test]
fn a_port_that_says_something_else_than_a_vector_fails() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = |name: &str, right: &str, wrong: &str| {
        let text = std::fs::read_to_string(root().join("proto/conformance").join(name)).unwrap();
        let path = folder.path().join(name);
        assert!(text.contains(right), "{name} has no {right}");
        std::fs::write(&path, text.replacen(right, wrong, 1)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let detector = wrong("lane-missing.json", r#""continuity": "reordered""#, r#""continuity": "duplicate""#);
    let fields = wrong("custom-fields.json", r#""kind": "number""#, r#""kind": "text""#);
    for language in LANGUAGES {
        let output = consumer(language, &["--vectors", &detector, &fields]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{language}: {said}");
        assert!(said.ends_with("2 vectors, 2 differences\n"), "{language}: {said}");
    }
}

#[test]
fn every_consumer_finds_what_is_on_the_topic_and_what_was_taken_from_it() {
    let service = Service::start("kafka", &[]);
    let mut bridge = Bridge::start(&json!({ "kafka": {
        "bootstrapServers": service.address,
        "topics": { "partitions": LANES, "replicationFactor": 1, "minInsyncReplicas": 1 },
    }}));
    bridge.offer(600);
    bridge.wait_for_events(|| read_kafka(&service.address, TOPIC));
    bridge.simulator.post("/_sim/faults", &json!({ "kind": "kill_tokens", "resource": bridge.streams[0] }));
    wait_for("the source gap", TIMEOUT, || bridge.log().contains("source gap announced").then_some(()));
    bridge.offer(200);
    bridge.wait_for_events(|| read_kafka(&service.address, TOPIC));
    let offered = bridge.stop();
    let seen = read_kafka(&service.address, TOPIC);

    // The topic as it is.
    assert_eq!(console(&service.address, TOPIC), shown(&seen));
    let truth = Truth::of(TOPIC, &seen);
    assert_eq!((truth.total.missing, truth.total.duplicates, truth.total.reordered), (0, 0, 0));
    for (language, said) in consumers(&["--bootstrap", &service.address, "--topic", TOPIC, "--until-end"]) {
        let read = Read::parse(language, &said);
        assert_eq!(read.lines.iter().filter(|line| line["body"] == "event").count(), offered, "{language}");
        let opened = read.lines.iter().filter(|line| line["verdict"]["news"]["kind"] == "source_gap_opened");
        let opened: Vec<_> = opened.map(|line| &line["verdict"]["news"]["gap_id"]).collect();
        assert_eq!(opened.len(), LANES, "{language}: the source gap is in every lane");
        assert!(opened.iter().all(|id| *id == opened[0]), "{language}: {opened:?}");
        read.compare(language, &truth);
    }

    // The topic with records taken out of it, doubled, and swapped.
    let (damaged, damage) = damage(&seen);
    copy(&service.address, &damaged);
    let truth = Truth::of(DAMAGED, &damaged);
    assert_eq!(truth.total, Tally { read: damaged.len() as u64, older: 0, ..damage });
    assert!(!truth.after["behind"].as_array().unwrap().is_empty(), "the lane without its tail is behind");
    for (language, said) in consumers(&["--bootstrap", &service.address, "--topic", DAMAGED, "--until-end"]) {
        Read::parse(language, &said).compare(language, &truth);
    }
}

#[test]
fn no_consumer_misses_what_the_broker_has_deleted() {
    let service = Service::start("kafka", &[]);
    let seen = |sequence| {
        let position = pb::Position { epoch: 5, lane_sequence: sequence, ..pb::Position::default() };
        let value = pb::Record { position: Some(position), ..pb::Record::default() }.encode_to_vec();
        Seen { lane: "0".to_owned(), key: String::new(), headers: BTreeMap::default(), value }
    };
    copy(&service.address, &(1..=9).map(seen).collect::<Vec<_>>());
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(DAMAGED, 0, Offset::Offset(4)).unwrap();
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &service.address).create().unwrap();
    let deleted = async { admin.delete_records(&offsets, &AdminOptions::new()).await };
    tokio::runtime::Runtime::new().unwrap().block_on(deleted).unwrap();
    for (language, said) in consumers(&["--bootstrap", &service.address, "--topic", DAMAGED, "--until-end"]) {
        let total = &Read::parse(language, &said).after["total"];
        assert_eq!((&total["read"], &total["missing"]), (&json!(5), &json!(0)), "{language}");
    }
}

#[test]
fn the_asyncapi_document_is_valid_and_tells_of_every_header() {
    let mut parser = Command::new("node");
    parser.arg(root().join("tests/contract/asyncapi.js")).arg(root().join("docs/asyncapi.yaml"));
    let document: Value =
        serde_json::from_str(&run(parser.env("NODE_PATH", path_from_script("node-env", &[])))).unwrap();

    let kafka = Service::start("kafka", &[]);
    let mut bridge = Bridge::start(&json!({ "kafka": {
        "bootstrapServers": kafka.address,
        "topics": { "partitions": LANES, "replicationFactor": 1, "minInsyncReplicas": 1 },
    }}));
    bridge.offer(50);
    bridge.offer_a_large_one();
    let seen = bridge.wait_for_events(|| read_kafka(&kafka.address, TOPIC));
    assert_headers(&document, "kafkaRecord", &seen);
    assert_headers(&document, "kafkaDeadLetter", &read_kafka(&kafka.address, "asana.dead-letters"));
    bridge.stop();

    let nats = Service::start("nats", &[]);
    let mut bridge =
        Bridge::start(&json!({ "nats": { "servers": [format!("nats://{}", nats.address)], "lanes": LANES } }));
    bridge.offer(50);
    bridge.offer_a_large_one();
    let seen = bridge.wait_for_events(|| read_nats(&nats.address, "ASANA", "asana.lane.>"));
    assert_headers(&document, "natsRecord", &seen);
    bridge.stop();
}

/// The headers are what the document says, and the document says all of them.
fn assert_headers(document: &Value, message: &str, seen: &[Seen]) {
    assert!(!seen.is_empty(), "{message}: nothing was written");
    let schema = &document["components"]["messages"][message]["headers"];
    let parts = schema["allOf"].as_array().map_or_else(|| vec![schema], |parts| parts.iter().collect());
    let known = parts.iter().flat_map(|part| part["properties"].as_object().expect("properties").keys());
    let known: BTreeSet<_> = known.collect();
    let validator = jsonschema::validator_for(schema).unwrap();
    for seen in seen {
        let headers = json!(seen.headers);
        let wrong: Vec<_> = validator.iter_errors(&headers).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{message}: {headers}: {wrong:?}");
        let unknown: Vec<_> = seen.headers.keys().filter(|name| !known.contains(name)).collect();
        assert!(unknown.is_empty(), "{message} has headers that docs/asyncapi.yaml doesn't tell of: {unknown:?}");
    }
}

/// A bridge between a simulator and a bus, and what it was given.
struct Bridge {
    folder: tempfile::TempDir,
    simulator: Simulator,
    program: Program,
    streams: Vec<String>,
    offered: usize,
    /// Events that are too large for the bus.
    large: usize,
}

impl Bridge {
    fn start(sink: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(path("scenario"), "limits: { rate_per_minute: null, concurrent_reads: null }\n").unwrap();
        std::fs::write(path("token"), crate::support::program::TOKEN).unwrap();
        let simulator = Simulator::start(&["--scenario", &path("scenario")], Path::new(&path("simulator.log")));
        let streams: Vec<String> = (1..=STREAMS).map(|n| (9_000_000 + n).to_string()).collect();
        for stream in &streams {
            simulator.post("/_sim/events", &json!({ "resource": stream, "events": [] }));
        }
        let mut config = simulator.config(Path::new(&path("token")), sink, &streams, 4);
        config["commit"] = json!({ "watermarkInterval": "1s" });
        std::fs::write(path("config.yaml"), config.to_string()).unwrap();
        let mut program = Program::start(&["run", "--config", &path("config.yaml")], Path::new(&path("bridge.log")));
        wait_for("all streams to be established", TIMEOUT, || {
            program.assert_running();
            (simulator.get("/_sim/ledger")["established"].as_object().unwrap().len() >= STREAMS).then_some(())
        });
        Self { folder, simulator, program, streams, offered: 0, large: 0 }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("bridge.log")).unwrap_or_default()
    }

    /// Offers events, a few at a time, on one stream after the other.
    fn offer(&mut self, count: usize) {
        let numbers: Vec<_> = (self.offered..self.offered + count).collect();
        for (events, stream) in numbers.chunks(7).zip(self.streams.iter().cycle()) {
            let events: Vec<_> = events.iter().map(|number| event(*number)).collect();
            self.simulator.post("/_sim/events", &json!({ "resource": stream, "events": events }));
        }
        self.offered += count;
    }

    fn offer_a_large_one(&mut self) {
        let mut large = event(self.offered);
        large["pad"] = json!("x".repeat(1_200_000));
        self.simulator.post("/_sim/events", &json!({ "resource": self.streams[1], "events": [large] }));
        self.large += 1;
    }

    /// What is on the bus when every event that was offered is there.
    fn wait_for_events(&mut self, read: impl Fn() -> Vec<Seen>) -> Vec<Seen> {
        wait_for(&format!("{} events on the bus", self.offered), TIMEOUT, || {
            self.program.assert_running();
            let seen = read();
            let count = |wanted: fn(&Body) -> bool| {
                seen.iter().filter(|seen| record(seen).body.as_ref().is_some_and(wanted)).count()
            };
            let events = count(|body| matches!(body, Body::Event(_)));
            let stand_ins = count(|body| matches!(body, Body::StandIn(_)));
            (events >= self.offered && stand_ins >= self.large).then_some(seen)
        })
    }

    /// Ends it, and says how many events it published.
    fn stop(self) -> usize {
        assert!(self.program.stop().success(), "the bridge ends with 0 when it is asked to");
        self.offered
    }
}

/// An event that no other is equal to.
fn event(number: usize) -> Value {
    json!({
        "action": "changed",
        "resource": { "gid": (1_000 + number % 40).to_string(), "resource_type": "task", "name": format!("№ {number}") },
        "parent": null,
        "change": { "field": "name", "action": "changed" },
        "created_at": "2026-01-01T00:00:00.000Z",
        "user": null,
    })
}

fn record(seen: &Seen) -> pb::Record {
    pb::Record::decode(seen.value.as_slice()).expect("a record")
}

/// Headers, key and value as Kafka's console consumer prints them, in order, by partition.
type Shown = BTreeMap<String, Vec<(BTreeMap<String, String>, String, String)>>;

/// The topic, read by Kafka's own console consumer until nothing more comes.
fn console(bootstrap: &str, topic: &str) -> Shown {
    let idle = "20000";
    let format = [
        "print.partition=true",
        "print.headers=true",
        "headers.separator=|",
        "print.key=true",
        "null.literal=",
        "value.deserializer=org.apache.kafka.common.serialization.BytesDeserializer",
    ];
    let mut command = script();
    command.args(["java-consumer", "--bootstrap", bootstrap, "--topic", topic, "--idle-ms", idle, "--"]);
    let said = run(command.args(format.iter().flat_map(|property| ["--formatter-property", property])));
    let mut shown = Shown::new();
    for line in said.lines() {
        let [partition, headers, key, value] = line.split('\t').collect::<Vec<_>>().try_into().expect(line);
        let headers = headers.split('|').filter_map(|header| header.split_once(':'));
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let partition = partition.strip_prefix("Partition:").expect(line).to_owned();
        shown.entry(partition).or_default().push((headers, key.to_owned(), value.to_owned()));
    }
    shown
}

/// The same of what the other reader saw.
fn shown(seen: &[Seen]) -> Shown {
    let mut shown = Shown::new();
    for Seen { lane, key, headers, value } in seen {
        let escaped = value.iter().map(|byte| match byte {
            b' '..=b'~' if *byte != b'\\' => char::from(*byte).to_string(),
            _ => format!("\\x{byte:02X}"),
        });
        shown.entry(lane.clone()).or_default().push((headers.clone(), key.clone(), escaped.collect()));
    }
    shown
}

/// What the detector of the Rust library says.
struct Truth {
    /// Of each lane's records, in order.
    verdicts: BTreeMap<String, Vec<Value>>,
    total: Tally,
    after: Value,
}

impl Truth {
    fn of(topic: &str, seen: &[Seen]) -> Self {
        let mut detector = Detector::by_lane(Start::Beginning);
        let mut verdicts: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for seen in seen {
            let verdict = detector.observe(topic, &record(seen));
            verdicts.entry(seen.lane.clone()).or_default().push(json!(verdict));
        }
        let time = detector.complete_up_to(topic).map(|it| it.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true));
        let tracks = detector.lanes().into_iter().map(|(lane, tally)| json!({ "lane": lane, "tally": tally }));
        let after = json!({
            "total": detector.total(),
            "tracks": tracks.collect::<Vec<_>>(),
            "unnumbered": detector.unnumbered(),
            "open_gaps": detector.open_gaps(),
            "complete_up_to": { topic: time },
            "behind": detector.behind(),
        });
        Self { verdicts, total: detector.total(), after }
    }
}

/// What a consumer said.
struct Read {
    lines: Vec<Value>,
    after: Value,
}

impl Read {
    fn parse(language: &str, said: &str) -> Self {
        let parse =
            |line| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{language}: {error}: {line}"));
        let mut lines: Vec<_> = said.lines().map(parse).collect();
        let after = lines.pop().unwrap_or_else(|| panic!("{language} said nothing"))["after"].take();
        Self { lines, after }
    }

    fn compare(&self, language: &str, truth: &Truth) {
        let mut verdicts: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for line in &self.lines {
            verdicts.entry(line["partition"].to_string()).or_default().push(line["verdict"].clone());
        }
        assert_eq!(verdicts.keys().collect::<Vec<_>>(), truth.verdicts.keys().collect::<Vec<_>>(), "{language}");
        for (lane, wanted) in &truth.verdicts {
            let found = &verdicts[lane];
            let differs = (0..wanted.len().max(found.len())).find(|at| wanted.get(*at) != found.get(*at));
            if let Some(at) = differs {
                panic!("{language}, record {at} of lane {lane}: {:?}, wanted {:?}", found.get(at), wanted.get(at));
            }
        }
        assert_eq!(self.after, truth.after, "{language}");
    }
}

/// Takes records out of the first half of each lane, doubles some and swaps some, and cuts one lane's tail; with the
/// counts that a detector has to find. In the second half each shard has records still, so that nothing is lost unseen.
fn damage(seen: &[Seen]) -> (Vec<Seen>, Tally) {
    let mut found = Tally::default();
    let mut damaged = Vec::new();
    let lanes: BTreeSet<_> = seen.iter().map(|seen| seen.lane.clone()).collect();
    for (number, lane) in lanes.into_iter().enumerate() {
        let mut records: Vec<_> = seen.iter().filter(|seen| seen.lane == lane).map(again).collect();
        assert!(records.len() > 200, "{}: too few to damage", records.len());
        // From the back, so that what is to come keeps its place.
        for at in (20..records.len() / 2).step_by(10).collect::<Vec<_>>().into_iter().rev() {
            match at % 3 {
                0 => {
                    records.remove(at);
                    found.missing += 1;
                }
                1 => {
                    records.insert(at + 2, again(&records[at]));
                    found.duplicates += 1;
                }
                _ => {
                    let shard = |seen: &Seen| record(seen).position.unwrap().shard;
                    let same = (at + 1..at + 7).find(|next| shard(&records[*next]) == shard(&records[at]));
                    if let Some(next) = same {
                        records.swap(at, next);
                        found.reordered += reordered(&records[at..=next]);
                    }
                }
            }
        }
        if number == 0 {
            records.truncate(records.len() - 40);
        }
        damaged.extend(records);
    }
    assert!(found.missing > 3 && found.duplicates > 3 && found.reordered > 3, "{found:?}");
    (damaged, found)
}

/// How many of these, the first and last of which were swapped, come behind a later one of their shard.
fn reordered(records: &[Seen]) -> u64 {
    let position = |seen: &Seen| record(seen).position.unwrap();
    let first = position(&records[0]);
    let later = records[1..].iter().map(position);
    later.filter(|it| it.shard == first.shard && it.lane_sequence < first.lane_sequence).count() as u64
}

fn again(seen: &Seen) -> Seen {
    let Seen { lane, key, headers, value } = seen;
    Seen { lane: lane.clone(), key: key.clone(), headers: headers.clone(), value: value.clone() }
}

/// Writes the records to a second topic, by a producer that knows nothing of transactions.
fn copy(bootstrap: &str, records: &[Seen]) {
    let lanes = LANES.to_string();
    let create = ["--create", "--topic", DAMAGED, "--partitions", &lanes, "--replication-factor", "1"];
    run(script().args(["topics", "--bootstrap-server", bootstrap]).args(create));
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", bootstrap).set("enable.idempotence", "true").create().unwrap();
    for seen in records {
        let message = BaseRecord::to(DAMAGED).partition(seen.lane.parse().unwrap()).key(&seen.key).payload(&seen.value);
        producer.send(message).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(TIMEOUT).unwrap();
}

/// Runs all consumers to their ends, at the same time; what each printed.
fn consumers(arguments: &[&str]) -> Vec<(&'static str, String)> {
    std::thread::scope(|scope| {
        let run = |language| scope.spawn(move || (language, run_example(language, arguments)));
        let running: Vec<_> = LANGUAGES.into_iter().map(run).collect();
        running.into_iter().map(|consumer| consumer.join().unwrap()).collect()
    })
}

fn run_example(language: &str, arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| -> PathBuf { folder.path().join(name) };
    let file = |name: &str| std::fs::File::create(path(name)).unwrap();
    let mut child = consumer(language, arguments).stdout(file("out")).stderr(file("err")).spawn().unwrap();
    let status = wait_for(&format!("{language}'s consumer"), BUILDING, || child.try_wait().unwrap());
    let said = |name: &str| std::fs::read_to_string(path(name)).unwrap();
    assert!(status.success(), "{language}: {status}\n{}\n{}", said("out"), said("err"));
    said("out")
}

fn consumer(language: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(root().join("scripts/client"));
    command.args(["run", language]).args(arguments).stdin(Stdio::null());
    command
}
