//! The shape of `sink.kafka`.

use super::encoding::{self, EncodingConfig};
use super::{SecretConfig, yes};
use bridge_core::record::encoding::Encodings;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;

/// Apache Kafka, or a system that has its protocol with transactions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct KafkaConfig {
    /// The brokers to connect to first, each `host:port`, separated by commas.
    #[schemars(example = &"kafka-1:9092,kafka-2:9092")]
    pub bootstrap_servers: String,
    /// The output topic. Each deployment needs one of its own. The name may contain `{resource_type}`, `{workspace}` and `{stream}`; then there are several topics.
    #[serde(default = "default_topic")]
    pub topic: String,
    /// The compacted topic for checkpoints, with one partition for each shard. Once the bridge has run, change it only with
    /// `checkpoint migrate`. Default with a `deployment`: `asana.checkpoints-DEPLOYMENT`.
    #[serde(default = "default_checkpoint_topic")]
    pub checkpoint_topic: String,
    /// The compacted topic for the latest state of each resource, by gid. Needs `state.refresh`. Don't add partitions to it: keys
    /// would move. Default: none.
    #[serde(default)]
    #[schemars(example = &"asana.state")]
    pub state_topic: Option<String>,
    /// The form of the values in the output topics and in the dead-letter topic.
    #[serde(default)]
    pub encoding: EncodingConfig,
    /// The form of the values in the state topic. Default: as `encoding`.
    #[serde(default)]
    pub state_encoding: Option<EncodingConfig>,
    /// The topic for records that are too large for the output topic.
    #[serde(default = "default_dead_letter_topic")]
    pub dead_letter_topic: String,
    /// The consumer group with which replicas share the shards. It is also the prefix of transactional ids. Default with a
    /// `deployment`: `asana-event-bridge-DEPLOYMENT`.
    #[serde(default = "default_group_id")]
    pub group_id: String,
    /// Whether the replica is a static member of the group (`group.instance.id` is the replica's name). Set `true` if a replica
    /// comes back under the same name, as in a `StatefulSet` or on one machine. Then it gets its shards
    /// back at once, also after a crash. But no other replica gets them before the session timeout.
    #[serde(default)]
    pub static_membership: bool,
    /// The group protocol: `classic`, or `consumer` for KIP-848, which needs Kafka 4.0. With `consumer`, rebalances are smoother,
    /// but the brokers set the session timeout, by default to 45 s (`group.consumer.session.timeout.ms`). A
    /// crashed replica's shards wait for this time. All replicas need the same value.
    #[serde(default)]
    pub group_protocol: KafkaGroupProtocol,
    /// How topics are created and checked.
    #[serde(default)]
    pub topics: KafkaTopicsConfig,
    /// Properties of librdkafka, such as `security.protocol`. Properties that exactly-once
    /// depends on can't be set.
    #[serde(default)]
    #[schemars(example = json!({ "security.protocol": "ssl" }))]
    pub properties: BTreeMap<String, String>,
    /// Properties of librdkafka whose values are secrets, such as `sasl.password`.
    #[serde(default)]
    #[schemars(example = json!({ "sasl.password": { "env": "KAFKA_PASSWORD" } }))]
    pub secret_properties: BTreeMap<String, SecretConfig>,
    /// The schema registry. If set, values are in the wire format of Confluent's schema registry. Default: none, and values are
    /// plain protobuf.
    #[serde(default)]
    pub schema_registry: Option<SchemaRegistryConfig>,
}

impl KafkaConfig {
    /// What is written in which form.
    #[must_use]
    pub fn encodings(&self) -> Encodings {
        encoding::encodings(self.encoding, self.state_encoding)
    }
}

/// A schema registry: Confluent's, or one with the same interface. It must be available when the bridge starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct SchemaRegistryConfig {
    /// The addresses of the registry, such as `https://registry.example.com`. For Apicurio, append `/apis/ccompat/v7`. If there are
    /// several, the bridge uses the first that answers.
    #[schemars(example = ["https://registry.example.com"])]
    pub urls: Vec<String>,
    /// The user to log in as. Set it together with `password`.
    #[serde(default)]
    #[schemars(example = &"bridge")]
    pub user: Option<String>,
    /// The user's password. Set it together with `user`.
    #[serde(default)]
    pub password: Option<SecretConfig>,
    /// A bearer token, instead of `user` and `password`.
    #[serde(default)]
    pub token: Option<SecretConfig>,
    /// A PEM file with the certificate authorities that may sign the registry's certificate. Default: the system's.
    #[serde(default)]
    #[schemars(example = &"/etc/ssl/registry.pem")]
    pub ca_file: Option<PathBuf>,
    /// Whether the bridge registers a missing schema. Set `false` if another tool registers schemas. Then the bridge refuses
    /// to start until the schema is there.
    #[serde(default = "yes")]
    pub register: bool,
    /// The subject of a topic's schema: `TOPIC-value`, `RECORD` or `TOPIC-RECORD`. `RECORD` is
    /// `asana_event_bridge.v1.Record`, or `asana_event_bridge.v1.DeadLetter` for the dead-letter topic.
    #[serde(default)]
    pub subject_name_strategy: SubjectNameStrategy,
}

/// How subjects of the schema registry are named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SubjectNameStrategy {
    /// `TOPIC-value`.
    #[default]
    TopicName,
    /// `RECORD`.
    RecordName,
    /// `TOPIC-RECORD`.
    TopicRecordName,
}

/// The protocol by which a consumer group assigns shards to replicas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum KafkaGroupProtocol {
    /// One member assigns for all. The client sets the session timeout.
    #[default]
    Classic,
    /// The coordinator assigns (KIP-848). The broker sets the session timeout.
    Consumer,
}

fn default_topic() -> String {
    "asana.events".to_owned()
}
pub(super) fn default_checkpoint_topic() -> String {
    "asana.checkpoints".to_owned()
}
fn default_dead_letter_topic() -> String {
    "asana.dead-letters".to_owned()
}
pub(super) fn default_group_id() -> String {
    "asana-event-bridge".to_owned()
}

/// How missing topics are created, and whether existing topics are checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct KafkaTopicsConfig {
    /// Whether the bridge creates missing topics. Set `false` if you create topics yourself.
    pub create: bool,
    /// Whether the bridge checks the settings of existing topics. Set `false` if the bridge
    /// has no right to read them. Then you must make sure that they are correct.
    pub check: bool,
    /// The number of partitions of a new output topic.
    pub partitions: NonZeroU32,
    /// The number of replicas of each partition of a new topic. Set 1 for a cluster of one broker.
    pub replication_factor: NonZeroU16,
    /// `min.insync.replicas` of a new topic. Set 1 for a cluster of one broker.
    pub min_insync_replicas: NonZeroU16,
    /// More settings of new output topics, such as `retention.ms`.
    #[schemars(example = json!({ "retention.ms": "604800000" }))]
    pub config: BTreeMap<String, String>,
}

impl Default for KafkaTopicsConfig {
    fn default() -> Self {
        Self {
            create: true,
            check: true,
            partitions: NonZeroU32::MIN.saturating_add(11),
            replication_factor: NonZeroU16::MIN.saturating_add(2),
            min_insync_replicas: NonZeroU16::MIN.saturating_add(1),
            config: BTreeMap::new(),
        }
    }
}
