//! A real Kafka, which lets everybody do everything at one port, and at the other, by TLS, whom it knows what is allowed.

use super::{Bench, doctor, program};
use crate::support::program::Program;
use crate::support::proxy::Network;
use crate::support::service::Service;
use crate::support::tls::Certificates;
use crate::support::wait_for;
use serde_json::{Value, json};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(60);

/// The topics and rights of a bridge that nobody configured otherwise.
const TOPICS: [&str; 3] = ["asana.checkpoints", "asana.dead-letters", "asana.events"];

struct Cluster {
    bench: Bench,
    kafka: Service,
    /// Of those whom it knows.
    network: Network,
    certificates: Certificates,
}

impl Cluster {
    fn start() -> Self {
        let bench = Bench::new();
        let certificates = Certificates::make(bench.folder.path());
        let settings = [
            "listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:SASL_SSL".to_owned(),
            "sasl.enabled.mechanisms=PLAIN".to_owned(),
            "listener.name.proxied.plain.sasl.jaas.config=\
             org.apache.kafka.common.security.plain.PlainLoginModule required user_bridge=\"hush-password\";"
                .to_owned(),
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer".to_owned(),
            "super.users=User:ANONYMOUS".to_owned(),
            "ssl.keystore.type=PEM".to_owned(),
            format!("ssl.keystore.location={}", certificates.both.display()),
        ];
        let arguments: Vec<_> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
        let (kafka, network) = Service::start_proxied("kafka", 1, &arguments);
        Self { bench, kafka, network, certificates }
    }

    /// A configuration of one who may do everything.
    fn open(&self) -> Value {
        self.bench.config(&json!({ "kafka": {
            "bootstrapServers": self.kafka.address,
            "topics": { "replicationFactor": 1, "minInsyncReplicas": 1 },
        } }))
    }

    /// A configuration of the one whom it knows.
    fn closed(&self) -> Value {
        let mut config = self.open();
        let kafka = &mut config["sink"]["kafka"];
        kafka["bootstrapServers"] = json!(self.network.address());
        kafka["properties"] = json!({
            "security.protocol": "SASL_SSL",
            "sasl.mechanisms": "PLAIN",
            "sasl.username": "bridge",
            "ssl.ca.location": self.certificates.authority,
        });
        kafka["secretProperties"] = json!({ "sasl.password": self.bench.secret("password") });
        config
    }

    fn reach(&self) -> String {
        format!("Kafka at {}", self.network.address())
    }

    fn allow(&self, arguments: &[&str]) {
        self.kafka.tool("acls", &[&["--add", "--allow-principal", "User:bridge"], arguments].concat());
    }
}

#[test]
fn kafka_is_tried_beside_a_bridge_and_nothing_of_it_stays() {
    let cluster = Cluster::start();
    let mut config = cluster.open();
    let found = cluster.bench.examine(&config, &[]);
    found.assert_failed(&[]);
    for (topic, shape) in TOPICS.into_iter().zip(["32 partition(s)", "1 partition(s)", "12 partition(s)"]) {
        found.assert(&format!("topic {topic}"), "ok", &["is missing, and the bridge may create it", shape]);
        found.assert(&format!("right to write to topic {topic}"), "not_tried", &["the topic isn't there"]);
    }
    config["sink"]["kafka"]["topics"]["create"] = json!(false);
    let found = cluster.bench.examine(&config, &[]);
    found.assert_failed(&TOPICS.map(|topic| format!("topic {topic}")).each_ref().map(String::as_str));
    found.assert("topic asana.events", "failed", &["is missing", "kafka-topics.sh", "--create --topic asana.events"]);
    // The bridge itself says the same.
    let path = cluster.bench.write(&config);
    let (code, _, log) = program(&["run", "--config", path.to_str().unwrap()]);
    assert_eq!(code, 64, "{log}");
    let last = log.lines().last().unwrap();
    assert!(last.contains("is missing") && last.contains("kafka-topics.sh"), "{last}");
    let listed = cluster.kafka.tool("topics", &["--list"]);
    assert!(!listed.contains("asana"), "nothing was made: {listed}");

    let config = cluster.open();
    let path = cluster.bench.write(&config);
    let log = cluster.bench.path("bridge.log");
    let mut bridge = Program::start(&["run", "--config", path.to_str().unwrap()], &log);
    wait_for("the bridge", TIMEOUT, || {
        bridge.assert_running();
        std::fs::read_to_string(&log).unwrap().contains("stream established").then_some(())
    });
    for protocol in ["classic", "consumer"] {
        let mut config = config.clone();
        config["sink"]["kafka"]["groupProtocol"] = json!(protocol);
        let found = cluster.bench.examine(&config, &[]);
        found.assert_failed(&[]);
        for topic in TOPICS {
            found.assert(&format!("topic {topic}"), "ok", &["settings as required"]);
            found.assert(&format!("right to write to topic {topic}"), "ok", &[]);
        }
        found.assert("group asana-event-bridge", "ok", &["may fence"]);
        found.assert("transactions", "ok", &[]);
        if protocol == "consumer" {
            found.assert("group protocol of KIP-848", "ok", &[]);
        }
    }
    bridge.assert_running();
    assert!(bridge.stop().success());
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(!log.contains("commit fenced") && !log.contains("session ended"), "{log}");
    let transactions = cluster.kafka.tool("transactions", &["list"]);
    assert!(transactions.contains("asana-event-bridge-r1") && !transactions.contains("doctor"), "{transactions}");
    let offsets = cluster.kafka.tool("groups", &["--describe", "--group", "asana-event-bridge", "--offsets"]);
    assert!(!offsets.contains("2147483647"), "{offsets}");
    let (code, lines, _) = program(&["verify", "--config", path.to_str().unwrap()]);
    assert_eq!(code, 0, "no record but the bridge's: {lines}");
}

#[test]
fn topics_that_arent_as_they_must_be_are_told_with_what_to_do() {
    let cluster = Cluster::start();
    let make = |topic: &str, more: &[&str]| {
        cluster.kafka.tool("topics", &[&["--create", "--topic", topic, "--replication-factor", "1"], more].concat());
    };
    make(TOPICS[0], &["--partitions", "3"]);
    make(TOPICS[1], &["--partitions", "1", "--config", "max.message.bytes=1000"]);
    make(TOPICS[2], &["--partitions", "3", "--config", "cleanup.policy=compact"]);
    let mut config = cluster.open();
    config["sink"]["kafka"]["topics"] = json!({ "replicationFactor": 2, "minInsyncReplicas": 2 });
    let found = cluster.bench.examine(&config, &[]);
    found.assert_failed(&TOPICS.map(|topic| format!("topic {topic}")).each_ref().map(String::as_str));
    found.assert(
        "topic asana.checkpoints",
        "failed",
        &[
            "partitions is 3, wanted is 32",
            "cleanup.policy is delete, wanted is compact",
            "replication factor is 1, wanted is at least 2",
            "--add-config cleanup.policy=compact",
        ],
    );
    found.assert("topic asana.dead-letters", "failed", &["max.message.bytes is 1000"]);
    found.assert("topic asana.events", "failed", &["--add-config cleanup.policy=delete"]);
    // More than the cluster can give.
    config["sink"]["kafka"]["topic"] = json!("new");
    let found = cluster.bench.examine(&config, &[]);
    found.assert("topic new", "failed", &["can't have 2 replicas", "`sink.kafka.topics.replicationFactor`"]);
}

#[test]
fn who_is_kept_out_is_told_why() {
    let cluster = Cluster::start();
    let examine = |change: &dyn Fn(&mut Value)| {
        let mut config = cluster.closed();
        change(&mut config["sink"]["kafka"]);
        cluster.bench.examine(&config, &["--timeout", "5s"])
    };
    let foreign = Certificates::make(&{
        let folder = cluster.bench.path("foreign");
        std::fs::create_dir(&folder).unwrap();
        folder
    });
    let wrong_authority = |kafka: &mut Value| kafka["properties"]["ssl.ca.location"] = json!(foreign.authority);
    let found = examine(&wrong_authority);
    found.assert_failed(&[&cluster.reach()]);
    found.assert(&cluster.reach(), "failed", &["certificate verify failed", "`ssl.ca.location`"]);
    for untried in ["topic asana.events", "group asana-event-bridge", "transactions"] {
        found.assert(untried, "not_tried", &["can't be used"]);
    }
    let found = examine(&|kafka| kafka["secretProperties"]["sasl.password"] = cluster.bench.secret("wrong"));
    found.assert(&cluster.reach(), "failed", &["Authentication failed", "`sasl.password`"]);
    let found = examine(&|kafka| kafka["properties"]["security.protocol"] = json!("PLAINTEXT"));
    found.assert(&cluster.reach(), "failed", &["security.protocol"]);
    let found = examine(&|kafka| kafka["bootstrapServers"] = json!("127.0.0.1:1"));
    found.assert("Kafka at 127.0.0.1:1", "failed", &["Connection refused", "`sink.kafka.bootstrapServers`"]);

    // The bridge itself waits, and says why in one line.
    let mut config = cluster.closed();
    wrong_authority(&mut config["sink"]["kafka"]);
    let log = cluster.bench.path("bridge.log");
    let path = cluster.bench.write(&config);
    let mut bridge = Program::start(&["run", "--config", path.to_str().unwrap()], &log);
    let line = wait_for("the bridge's word", TIMEOUT, || {
        bridge.assert_running();
        let log = std::fs::read_to_string(&log).unwrap();
        log.lines().find(|line| line.contains("session ended")).map(str::to_owned)
    });
    assert!(line.contains("certificate verify failed") && line.contains("`ssl.ca.location`"), "{line}");
}

#[test]
fn each_right_that_is_missing_is_told() {
    let cluster = Cluster::start();
    let config = cluster.closed();
    let examine = || cluster.bench.examine(&config, &["--timeout", "5s"]);
    let found = examine();
    found.assert(&cluster.reach(), "ok", &["by SASL_SSL as bridge"]);
    for topic in TOPICS {
        found.assert(&format!("topic {topic}"), "failed", &[&format!("allow Describe on the topic {topic}")]);
    }
    found.assert("group asana-event-bridge", "failed", &["allow Read on the group asana-event-bridge"]);
    found.assert("transactions", "failed", &["allow Write on transactional ids"]);
    // The bridge itself says the same.
    let path = cluster.bench.write(&config);
    let (code, _, log) = program(&["run", "--config", path.to_str().unwrap()]);
    assert_eq!(code, 64, "{log}");
    let last = log.lines().last().unwrap();
    assert!(last.contains("allow Describe on the topic asana.checkpoints"), "{last}");

    // Topics that can be looked at, and not written.
    for (topic, partitions) in TOPICS.into_iter().zip(["32", "1", "12"]) {
        let policy = if topic == TOPICS[0] { "cleanup.policy=compact" } else { "cleanup.policy=delete" };
        let shape = ["--create", "--topic", topic, "--partitions", partitions, "--replication-factor", "1"];
        cluster.kafka.tool("topics", &[&shape[..], &["--config", policy]].concat());
    }
    cluster.allow(&[
        "--operation",
        "Describe",
        "--operation",
        "DescribeConfigs",
        "--topic",
        "asana.",
        "--resource-pattern-type",
        "prefixed",
    ]);
    cluster.allow(&["--operation", "Read", "--group", "asana-event-bridge"]);
    let found = examine();
    for topic in TOPICS {
        found.assert(&format!("topic {topic}"), "ok", &[]);
        found.assert(&format!("right to write to topic {topic}"), "failed", &["allow", "Write"]);
    }
    found.assert("group asana-event-bridge", "failed", &["offsets of the topic asana.checkpoints", "Read"]);

    cluster.allow(&["--operation", "Write", "--topic", "asana.", "--resource-pattern-type", "prefixed"]);
    cluster.allow(&["--operation", "Read", "--topic", "asana.checkpoints"]);
    let found = examine();
    found.assert_failed(&["transactions", "right to read topic asana.events"]);
    found.assert("right to read topic asana.events", "failed", &["allow Read on the topic asana.events"]);
    cluster.allow(&["--operation", "Read", "--topic", "asana.events"]);
    let ids = ["--transactional-id", "asana-event-bridge", "--resource-pattern-type", "prefixed"];
    cluster.allow(&[&["--operation", "Write", "--operation", "Describe"], &ids[..]].concat());
    examine().assert_failed(&[]);

    // What it found to be enough is enough.
    let log = cluster.bench.path("bridge.log");
    let mut bridge = Program::start(&["run", "--config", path.to_str().unwrap()], &log);
    wait_for("the bridge", TIMEOUT, || {
        bridge.assert_running();
        std::fs::read_to_string(&log).unwrap().contains("re-crawl finished").then_some(())
    });
    assert!(bridge.stop().success());
    let (code, lines, _) = doctor(&path, &[]);
    assert_eq!(code, 0, "{lines}");
}
