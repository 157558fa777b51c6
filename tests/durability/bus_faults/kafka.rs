//! The faults of an Apache Kafka of three nodes.

use super::play::{Play, play};
use crate::support::foreign::read_kafka;
use crate::support::proxy::Network;
use crate::support::service::Service;
use crate::support::wait_for;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::metadata::{Metadata, MetadataTopic};
use std::time::Duration;

const CHECKPOINTS: &str = "asana.checkpoints";
const RECORDS: &str = "asana.events";
const GROUP: &str = "asana-event-bridge";

/// How long the cluster may take to become whole.
const WHOLE: Duration = Duration::from_secs(180);

#[test]
fn kafka_has_every_event_once_though_its_nodes_and_the_network_fail() {
    let (service, network) = Service::start_proxied("kafka", 3, &[]);
    let sink = format!(
        "kafka: {{ bootstrapServers: '{}', topics: {{ partitions: 6, replicationFactor: 3, minInsyncReplicas: 2 }} }}",
        network.address()
    );
    let cluster = Cluster::new(service, network);
    let read = || read_kafka(&cluster.service.address, RECORDS);
    play("kafka", &sink, |play| cluster.faults(play), read);
}

/// The test's own view of the cluster, which no proxy disturbs.
struct Cluster {
    service: Service,
    network: Network,
    looker: BaseConsumer,
}

impl Cluster {
    fn new(service: Service, network: Network) -> Self {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &service.address).set("reconnect.backoff.max.ms", "500");
        Self { looker: config.create().unwrap(), service, network }
    }

    fn faults(&self, play: &mut Play<'_>) {
        let leader = self.leader(CHECKPOINTS);
        play.fault(&format!("kill -9: node {leader}, leader of a checkpoint partition"), |play| {
            self.killed(play, leader);
        });
        let coordinator = self.group_coordinator();
        play.fault(&format!("kill -9: node {coordinator}, the group's coordinator"), |play| {
            self.killed(play, coordinator);
        });
        let coordinator = self.transaction_coordinator();
        play.fault(&format!("kill -9: node {coordinator}, coordinator of a replica's transactions"), |play| {
            self.killed(play, coordinator);
        });
        play.fault("rolling restart of all nodes", |_| {
            for node in &self.service.nodes {
                self.service.stop_node(node.id);
                self.service.restart_node(node.id);
                self.wait_until_whole();
            }
        });
        play.fault("the network is cut for 20 s, longer than the session time-out", |play| {
            self.network.cut();
            play.lasts(Duration::from_secs(20));
            self.network.mend();
        });
        play.fault("the network swallows everything for 15 s, longer than the session time-out", |play| {
            self.network.freeze();
            play.lasts(Duration::from_secs(15));
            self.network.mend();
        });
        let away = self.leader(CHECKPOINTS);
        play.fault(&format!("min.insync.replicas is 3, and node {away} away for 15 s"), |play| {
            self.set_min_insync_replicas(3);
            self.service.stop_node(away);
            play.lasts(Duration::from_secs(15));
            self.service.restart_node(away);
            self.wait_until_whole();
            self.set_min_insync_replicas(2);
        });
        play.fault("two nodes are away for 15 s, and the quorum with them", |play| {
            self.service.stop_node(1);
            self.service.kill_node(2);
            play.lasts(Duration::from_secs(15));
            self.service.restart();
            self.wait_until_whole();
        });
    }

    /// The bridges have to do without the node, and then with it.
    fn killed(&self, play: &mut Play<'_>, node: u32) {
        self.service.kill_node(node);
        let recovery = play.recovers();
        play.say(&format!("  all streams are polled again without it after {recovery:.1?}"));
        self.service.restart_node(node);
        self.wait_until_whole();
    }

    /// Every partition of every topic has a leader and all replicas in sync.
    fn wait_until_whole(&self) {
        wait_for("all replicas to be in sync", WHOLE, || {
            let metadata = self.metadata(None)?;
            let mut partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
            let whole = metadata.brokers().len() == self.service.nodes.len()
                && partitions
                    .all(|partition| partition.leader() >= 0 && partition.isr().len() == partition.replicas().len());
            whole.then_some(())
        });
    }

    fn leader(&self, topic: &str) -> u32 {
        wait_for("a leader", WHOLE, || {
            u32::try_from(self.metadata(Some(topic))?.topics().first()?.partitions().first()?.leader()).ok()
        })
    }

    fn metadata(&self, topic: Option<&str>) -> Option<Metadata> {
        self.looker.fetch_metadata(topic, Duration::from_secs(5)).ok()
    }

    fn group_coordinator(&self) -> u32 {
        wait_for("the group's coordinator", WHOLE, || {
            let said = self.service.tool("groups", &["--describe", "--state", "--group", GROUP]);
            // As in `127.0.0.1:9092 (1)`.
            let (_, rest) = said.lines().find(|line| line.starts_with(GROUP))?.split_once('(')?;
            rest.split_once(')')?.0.parse().ok()
        })
    }

    fn transaction_coordinator(&self) -> u32 {
        wait_for("a coordinator of transactions", WHOLE, || {
            let said = self.service.tool("transactions", &["list"]);
            // Behind the transactional id.
            said.lines().find(|line| line.starts_with(GROUP))?.split_whitespace().nth(1)?.parse().ok()
        })
    }

    fn set_min_insync_replicas(&self, count: u32) {
        let setting = format!("min.insync.replicas={count}");
        for topic in [CHECKPOINTS, RECORDS] {
            self.service.tool(
                "configs",
                &["--alter", "--entity-type", "topics", "--entity-name", topic, "--add-config", &setting],
            );
        }
    }
}
