//! A real Kafka for one test binary, and sessions of the sink on it.
#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first surprise")]

use crate::support::service::Service;
use asana_event_bridge::core::batch::{Attributes, Batch, CheckpointWrite, Message, StoredCheckpoint, Target};
use asana_event_bridge::core::ids::{Gid, ShardId, StreamId, Topic};
use asana_event_bridge::pb::checkpoint as pb;
use asana_event_bridge::sink::kafka::{self, KafkaCommitter, KafkaSettings};
use asana_event_bridge::sink::{Committer as _, Ownership, OwnershipEvent, SinkError};
use prost::Message as _;
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::OnceLock;
use std::time::Duration;

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The broker that the tests of a binary share. It goes down with the process, whose end closes its input.
pub(crate) fn broker() -> &'static str {
    static BROKER: OnceLock<Service> = OnceLock::new();
    &BROKER.get_or_init(|| Service::start("kafka", &[])).address
}

/// Settings with names that no other test has.
pub(crate) fn settings(bootstrap: &str, name: &str, shards: u32) -> KafkaSettings {
    let config = serde_json::json!({
        "bootstrapServers": bootstrap,
        "topic": format!("{name}.events"),
        "checkpointTopic": format!("{name}.checkpoints"),
        "deadLetterTopic": format!("{name}.dead-letters"),
        "groupId": name,
        "topics": { "partitions": 3, "replicationFactor": 1, "minInsyncReplicas": 1 },
        // Nobody is thought dead because the machine is slow; the longest that `max.poll.interval.ms` allows.
        "properties": { "session.timeout.ms": "300000" },
    });
    KafkaSettings {
        config: serde_json::from_value(config).unwrap(),
        secret_properties: BTreeMap::new(),
        shards: NonZeroU32::new(shards).unwrap(),
        replica: "r1".to_owned(),
    }
}

/// The same for another replica.
pub(crate) fn replica(settings: &KafkaSettings, name: &str) -> KafkaSettings {
    KafkaSettings { replica: name.to_owned(), ..settings.clone() }
}

/// One session of the sink.
pub(crate) struct Session {
    pub(crate) committer: KafkaCommitter,
    pub(crate) ownership: Ownership,
    pub(crate) restored: BTreeMap<ShardId, StoredCheckpoint>,
}

impl Session {
    /// Opens and waits for this many shards.
    pub(crate) async fn open(settings: &KafkaSettings, shards: usize) -> Self {
        let (committer, ownership) = kafka::open(settings.clone()).await.unwrap();
        let mut session = Self { committer, ownership, restored: BTreeMap::new() };
        while session.restored.len() < shards {
            match session.event().await {
                OwnershipEvent::Assigned(assigned) => session.restored.extend(assigned),
                other => panic!("{other:?}"),
            }
        }
        session
    }

    pub(crate) async fn event(&mut self) -> OwnershipEvent {
        let event = tokio::time::timeout(PATIENCE, self.ownership.recv()).await.expect("an ownership event in time");
        event.expect("the session goes on")
    }

    pub(crate) async fn close(self) {
        self.committer.close().await;
    }
}

/// The error of a session that must not begin.
pub(crate) async fn refused(settings: &KafkaSettings) -> String {
    match kafka::open(settings.clone()).await {
        Ok(_) => panic!("a session began"),
        Err(error @ SinkError::Setup { .. }) => error.to_string(),
        Err(error) => panic!("not a matter of setup: {error}"),
    }
}

pub(crate) fn message(settings: &KafkaSettings, partition: u32, shard: u32, value: &str) -> Message {
    Message {
        target: Target::Lane { topic: Topic::from(settings.config.topic.as_str()), partition },
        shard: ShardId(shard),
        key: Gid::from("1200"),
        value: value.as_bytes().to_vec(),
        attributes: Attributes {
            id: format!("id-{value:.20}"),
            kind: "asana_event_bridge.v1.Event",
            stream: Some(StreamId::new("main", "1200")),
            resource_type: "task".into(),
            time: chrono::DateTime::UNIX_EPOCH,
        },
    }
}

pub(crate) fn checkpoint(shard: u32, key: &str, value: Option<&str>) -> CheckpointWrite {
    CheckpointWrite { shard: ShardId(shard), key: key.to_owned(), value: value.map(|value| value.as_bytes().to_vec()) }
}

/// One message and the checkpoint that goes with it.
pub(crate) fn step(settings: &KafkaSettings, shard: u32, value: &str) -> Batch {
    Batch {
        messages: vec![message(settings, 0, shard, value)],
        checkpoints: vec![checkpoint(shard, "stream", Some(value))],
    }
}

/// A transactional producer that knows nothing of groups.
pub(crate) fn bare_producer(bootstrap: &str, transactional_id: &str, timeout_ms: u32) -> BaseProducer {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("transactional.id", transactional_id)
        .set("transaction.timeout.ms", timeout_ms.to_string())
        .create()
        .unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    producer
}

/// What the first batch of a replica says of a shard.
pub(crate) fn header(replica: &str) -> Vec<u8> {
    let shard = pb::ShardCheckpoint { shards: 1, epoch: 1, replica: replica.to_owned() };
    pb::Checkpoint { format: 1, kind: Some(pb::checkpoint::Kind::Shard(shard)) }.encode_to_vec()
}

/// Begins a transaction that writes the same as [`step`], and leaves it open.
pub(crate) fn write_open(producer: &BaseProducer, settings: &KafkaSettings, shard: i32, value: &str) {
    producer.begin_transaction().unwrap();
    let record = BaseRecord::to(&settings.config.topic).partition(0).key("1200").payload(value);
    producer.send(record).map_err(|(error, _)| error).unwrap();
    write_more(producer, settings, shard, "stream", value.as_bytes());
}

/// Writes an entry of a shard's checkpoint in the open transaction.
pub(crate) fn write_more(producer: &BaseProducer, settings: &KafkaSettings, shard: i32, key: &str, value: &[u8]) {
    let record = BaseRecord::to(&settings.config.checkpoint_topic).partition(shard).key(key).payload(value);
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(PATIENCE).unwrap();
}
