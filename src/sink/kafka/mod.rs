//! Apache Kafka: one transaction for one batch, fenced by the generation of a consumer group.
//!
//! | module | what it does |
//! | --- | --- |
//! | `client` | sets librdkafka's clients up |
//! | `topics` | makes and checks topics |
//! | `group` | knows which shards are ours: a member of the group, on its own thread |
//! | `membership` | knows what may be written, and fences it |
//! | `restore` | reads the checkpoints of assigned shards |
//! | `producer` | writes transactions |
//! | `refresh_log` | reads the refresh log |
//! | `tails` | reads the last record of each lane |
//! | `places` | checks what a reader needs: the cluster answers, and has the topics |
//! | `headers` | names attributes as Kafka's consumers expect |
//! | `registry` | registers schemas, and puts their ids before values |
//! | `offline` | reads checkpoints without owning them, and moves them |
//! | `examine` | checks everything that a session needs, and changes nothing |
//! | `error` | decides what librdkafka's errors mean |
//!
//! The scheme is that of Kafka Streams' exactly-once-v2 (KIP-447). A transaction holds the records, the checkpoints
//! and, last, an offset for each shard that it writes, together with the member's generation: the group's coordinator
//! refuses it if the member was replaced.

mod client;
mod error;
mod examine;
mod group;
mod headers;
mod membership;
pub mod offline;
mod places;
mod producer;
mod refresh_log;
mod registry;
mod restore;
mod tails;
mod topics;

use super::refresh_log::{RefreshLog, pair};
use super::{CommitError, Committer, Ownership, SinkError};
use crate::config::{CheckedKafka, KafkaConfig, REFRESH_SUFFIX, SecretSource};
use bridge_core::ids::{Deployment, Topic};
use bridge_core::record::batch::{Batch, BatchLimits, OutputTopic};
pub(in crate::sink) use client::{bus_works, tell_over};
pub use examine::examine;
use group::Group;
use membership::Membership;
pub(super) use places::{place, place_at, state_place};
use producer::Producer;
use registry::Frames;
pub use registry::SchemaRegistry;
use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
pub(super) use tails::tails;
use topics::{Role, TopicFacts, Topics};

/// The maximum number of messages and checkpoints in a commit: a tenth of what librdkafka queues by default.
const BATCH_MESSAGES: usize = 10_000;

/// The timeout of closing a session. What isn't closed by then continues to close, and the group removes this replica
/// after its session timeout.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// The settings of the sink.
#[derive(Clone)]
pub struct KafkaSettings {
    /// The configuration. Its `secret_properties` aren't used.
    pub config: KafkaConfig,
    /// The values of `config.secret_properties`, by property.
    pub secret_properties: BTreeMap<String, String>,
    /// The topic of the refresh log, if anything is read again.
    pub refresh_topic: Option<String>,
    /// The client of `config.schema_registry`, if there is one.
    pub schema_registry: Option<SchemaRegistry>,
    /// The number of shards, which is the number of partitions of the checkpoint topic.
    pub shards: NonZeroU32,
    /// The deployment, which each record names.
    pub deployment: Deployment,
    /// This replica's name, stable over its restarts and different from that of every other replica.
    pub replica: String,
}

impl fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { config, secret_properties, refresh_topic, schema_registry, shards, deployment, replica } = self;
        f.debug_struct("KafkaSettings")
            .field("config", config)
            .field("secret_properties", &secret_properties.keys().map(|name| (name, "…")).collect::<BTreeMap<_, _>>())
            .field("refresh_topic", refresh_topic)
            .field("schema_registry", schema_registry)
            .field("shards", shards)
            .field("deployment", deployment)
            .field("replica", replica)
            .finish()
    }
}

impl KafkaSettings {
    /// The settings of a configuration. Reads the secrets.
    ///
    /// # Errors
    /// [`SinkError::Refused`] if a secret can't be read, [`SinkError::Setup`] if the schema registry's settings can't
    /// be used.
    pub fn new(
        sink: &CheckedKafka,
        shards: NonZeroU32,
        deployment: &Deployment,
        replica: &str,
    ) -> Result<Self, SinkError> {
        let read = |(name, source): (&String, &SecretSource)| match source.read() {
            Ok(secret) => Ok((name.clone(), secret.expose().to_owned())),
            Err(error) => Err(SinkError::Refused {
                problem: format!("sink.kafka.secretProperties.{name}: {error}"),
                remedy: "make what the configuration names there readable".to_owned(),
            }),
        };
        Ok(Self {
            config: sink.config.clone(),
            secret_properties: sink.secret_properties.iter().map(read).collect::<Result<_, _>>()?,
            refresh_topic: sink.refresh_topic.clone(),
            schema_registry: sink.schema_registry.clone().map(SchemaRegistry::new).transpose()?,
            shards,
            deployment: deployment.clone(),
            replica: replica.to_owned(),
        })
    }

    /// Whether no topic of events has this name, whatever the template of their names would allow.
    fn is_other(&self, topic: &str) -> bool {
        let KafkaConfig { checkpoint_topic, dead_letter_topic, state_topic, .. } = &self.config;
        let is_log = topic.strip_suffix(REFRESH_SUFFIX) == Some(checkpoint_topic.as_str());
        is_log || topic == checkpoint_topic || topic == dead_letter_topic || state_topic.as_deref() == Some(topic)
    }

    /// The topics that are known before the first record. An output topic whose name is a template is created or
    /// checked when it is first written.
    fn topics(&self) -> Vec<(String, Role)> {
        let KafkaConfig { topic, checkpoint_topic, dead_letter_topic, state_topic, .. } = &self.config;
        let output = (!topic.contains('{')).then(|| (topic.clone(), Role::Output));
        [(checkpoint_topic.clone(), Role::Checkpoint), (dead_letter_topic.clone(), Role::DeadLetter)]
            .into_iter()
            .chain(output)
            .chain(self.refresh_topic.clone().map(|topic| (topic, Role::RefreshLog)))
            .chain(state_topic.clone().map(|topic| (topic, Role::State)))
            .collect()
    }
}

/// The files with credentials that librdkafka reads only once: secrets, certificates and keys.
pub(super) fn credential_files(sink: &CheckedKafka) -> Vec<PathBuf> {
    let secrets = sink.secret_properties.values().filter_map(|source| match source {
        SecretSource::File(path) => Some(path.clone()),
        SecretSource::Text(_) => None,
    });
    // The names of librdkafka's properties for files.
    let properties = sink.config.properties.iter();
    secrets.chain(properties.filter(|(name, _)| name.ends_with(".location")).map(|(_, path)| path.into())).collect()
}

/// Opens a session: creates or checks the topics, registers their schemas, fences an earlier process of the same
/// replica, and joins the group.
///
/// # Errors
/// [`SinkError::Unavailable`] if the cluster or the schema registry doesn't answer in about a minute: retry.
/// [`SinkError::Setup`] if topics, schemas, properties or rights aren't as the bridge needs them.
///
/// # Cancel safety
/// If it is dropped before its end, topics may have been created, and an earlier process of the same replica may have
/// been fenced.
pub async fn open(settings: KafkaSettings) -> Result<(KafkaCommitter, Ownership), SinkError> {
    let settings = Arc::new(settings);
    let topics = Topics::new(Arc::clone(&settings))?;
    let names = settings.topics();
    let facts = topics.ensure(&names).await?;
    let mut frames = Frames::new(settings.schema_registry.clone(), settings.config.encodings());
    for (name, role) in &names {
        frames.prepare(name, *role).await?;
    }
    let largest = facts.iter().map(|facts| facts.message_bytes).max().unwrap_or(0);
    let outputs = names
        .into_iter()
        .zip(facts)
        .filter(|((_, role), _)| matches!(role, Role::Output | Role::State))
        .map(|((name, _), facts)| (Topic::from(name), facts))
        .collect();

    let membership = Arc::new(Membership::new(settings.config.checkpoint_topic.clone()));
    let begin = {
        let (settings, membership) = (Arc::clone(&settings), Arc::clone(&membership));
        move || {
            // First the fence, then the group: the predecessor's open transaction is decided before a restore.
            let producer = Producer::open(Arc::clone(&settings), largest)?;
            let (group, ownership) = Group::join(&settings, &membership, producer.keep_alive())?;
            Ok((producer, group, ownership))
        }
    };
    let begun = tokio::task::spawn_blocking(begin).await;
    let (producer, group, ownership) =
        begun.unwrap_or_else(|error| Err(SinkError::unavailable("starting the clients of Kafka", error)))?;
    Ok((KafkaCommitter { settings, topics, outputs, frames, largest, producer, membership, group }, ownership))
}

/// Writes batches to Kafka. If it is dropped, it leaves the group in the background.
pub struct KafkaCommitter {
    settings: Arc<KafkaSettings>,
    topics: Topics,
    /// The output topics that were checked.
    outputs: BTreeMap<Topic, TopicFacts>,
    frames: Frames,
    /// The maximum message size that the producer accepts, in bytes.
    largest: usize,
    producer: Producer,
    membership: Arc<Membership>,
    group: Group,
}

impl fmt::Debug for KafkaCommitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaCommitter").field("outputs", &self.outputs).finish_non_exhaustive()
    }
}

impl KafkaCommitter {
    /// Prepares an output topic. The producer's own limit was set when it was created, by the topics that were known
    /// then.
    async fn output(&mut self, topic: &Topic, facts: TopicFacts) -> Result<OutputTopic, SinkError> {
        let frame = self.frames.prepare(topic.as_str(), self.role(topic)).await?;
        let message_bytes = facts.message_bytes.min(self.largest).saturating_sub(frame);
        Ok(OutputTopic { lanes: facts.partitions, message_bytes })
    }

    fn role(&self, topic: &Topic) -> Role {
        let is_state = self.settings.config.state_topic.as_deref() == Some(topic.as_str());
        if is_state { Role::State } else { Role::Output }
    }
}

impl Committer for KafkaCommitter {
    fn batch_limits(&self) -> BatchLimits {
        BatchLimits { messages: BATCH_MESSAGES, spans_shards: true }
    }

    async fn output_topic(&mut self, topic: &Topic) -> Result<OutputTopic, SinkError> {
        if let Some(facts) = self.outputs.get_mut(topic)
            && let Some(partitions) = self.producer.partitions(topic.as_str()).await?
        {
            facts.partitions = partitions;
            let facts = *facts;
            return self.output(topic, facts).await;
        }
        let role = self.role(topic);
        let found = self.topics.ensure(&[(topic.as_str().to_owned(), role)]).await?;
        let facts = found.into_iter().next().ok_or_else(|| {
            SinkError::unavailable(format!("looking at the topic {topic}"), "the cluster gave no answer for it")
        })?;
        self.outputs.insert(topic.clone(), facts);
        self.output(topic, facts).await
    }

    async fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        self.producer.commit(batch, &self.membership, &self.frames).await
    }

    fn refresh_log(&mut self) -> RefreshLog {
        let (log, feed) = pair();
        refresh_log::start(Arc::clone(&self.settings), feed);
        log
    }

    async fn close(self) {
        let Self { producer, group, topics, .. } = self;
        // Leaving the group and closing a client wait for the cluster.
        let end = tokio::task::spawn_blocking(move || {
            group.leave();
            drop((producer, topics));
        });
        if tokio::time::timeout(CLOSE_TIMEOUT, end).await.is_err() {
            tracing::warn!(timeout = ?CLOSE_TIMEOUT, "clients of Kafka not closed in time");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Settings of a cluster that isn't there.
    pub(super) fn settings() -> KafkaSettings {
        let config = serde_json::json!({ "bootstrapServers": "127.0.0.1:1", "groupId": "bridge" });
        KafkaSettings {
            config: serde_json::from_value(config).unwrap(),
            secret_properties: BTreeMap::new(),
            refresh_topic: None,
            schema_registry: None,
            shards: NonZeroU32::MIN,
            deployment: Deployment::default(),
            replica: "r1".to_owned(),
        }
    }

    #[test]
    fn a_secret_is_never_printed() {
        let mut settings = settings();
        settings.secret_properties.insert("sasl.password".to_owned(), "hunter2".to_owned());
        let printed = format!("{settings:?}");
        assert!(printed.contains("sasl.password"), "{printed}");
        assert!(!printed.contains("hunter2"), "{printed}");
    }

    #[test]
    fn other_topics_arent_taken_for_topics_of_events() {
        let mut settings = settings();
        settings.config.state_topic = Some("asana.state".to_owned());
        let others = ["asana.checkpoints", "asana.checkpoints-refresh", "asana.dead-letters", "asana.state"];
        assert!(others.into_iter().all(|topic| settings.is_other(topic)));
        assert!(
            !["asana.events", "asana.events-refresh", "asana.task"].into_iter().any(|topic| settings.is_other(topic))
        );
    }

    #[test]
    fn a_topic_with_a_template_is_left_for_later() {
        let mut settings = settings();
        assert_eq!(settings.topics().len(), 3);
        settings.config.topic = "asana.{resource_type}".to_owned();
        assert_eq!(settings.topics().len(), 2);
    }
}
