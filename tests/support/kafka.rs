//! A real Kafka for one test binary, and sessions of the sink on it.
#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may stop at the first surprise, and look at the clock"
)]

use crate::support::service::Service;
use asana_event_bridge::sink::kafka::{self, KafkaCommitter, KafkaSettings};
use asana_event_bridge::sink::{CommitError, Committer as _, Ownership, OwnershipEvent, SinkError};
use bridge_core::format as pb;
use bridge_core::ids::{Deployment, Gid, ShardId, StreamId, Topic};
use bridge_core::record::batch::{Attributes, Batch, CheckpointWrite, Message, StoredCheckpoint, Target};
use bridge_core::record::encoding::Encoding;
use bridge_core::record::trace::Trace;
use prost::Message as _;
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long anything may take on a busy machine.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// The broker that the tests of a binary share. It goes down with the process, whose end closes its input.
pub(crate) fn broker() -> &'static str {
    static BROKER: OnceLock<Service> = OnceLock::new();
    // KIP-848's members are asked every 5 s otherwise, and hear so late of each other.
    let set =
        ["--set", "group.consumer.heartbeat.interval.ms=500", "--set", "group.consumer.min.heartbeat.interval.ms=500"];
    &BROKER.get_or_init(|| Service::start("kafka", &set)).address
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
        refresh_topic: None,
        schema_registry: None,
        shards: NonZeroU32::new(shards).unwrap(),
        deployment: Deployment::default(),
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
        let event = tokio::time::timeout(TIMEOUT, self.ownership.recv()).await.expect("an ownership event in time");
        event.expect("the session goes on")
    }

    pub(crate) async fn close(self) {
        self.committer.close().await;
    }
}

/// A replica at work: it writes numbers to the shards that it has, one after the other, and goes on after what it
/// finds in the checkpoint.
pub(crate) struct Replica {
    state: Arc<Mutex<Work>>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// What a replica has, and what happened to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Work {
    /// The next number of each shard that it has.
    pub(crate) next: BTreeMap<u32, u32>,
    /// What it was told, in order: `+` assigned, `-` revoked, `!` lost.
    pub(crate) told: Vec<(char, Vec<u32>)>,
    /// When each shard was written last, and the longest that one waited for that since [`Replica::forget`].
    written: BTreeMap<u32, Instant>,
    pub(crate) longest_pause: Duration,
    pub(crate) aborts: u32,
}

impl Replica {
    pub(crate) async fn start(settings: &KafkaSettings) -> Self {
        let (committer, ownership) = kafka::open(settings.clone()).await.unwrap();
        let state = Arc::new(Mutex::new(Work::default()));
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(work(settings.clone(), committer, ownership, Arc::clone(&state), stopped));
        Self { state, stop, task }
    }

    pub(crate) fn work(&self) -> Work {
        self.state.lock().unwrap().clone()
    }

    pub(crate) fn shards(&self) -> Vec<u32> {
        self.work().next.into_keys().collect()
    }

    /// Forgets what it was told until now.
    pub(crate) fn forget(&self) {
        let mut state = self.state.lock().unwrap();
        *state = Work { next: std::mem::take(&mut state.next), ..Work::default() };
    }

    pub(crate) async fn close(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }
}

async fn work(
    settings: KafkaSettings,
    mut committer: KafkaCommitter,
    mut ownership: Ownership,
    state: Arc<Mutex<Work>>,
    mut stopped: oneshot::Receiver<()>,
) {
    let number = |shards: &[ShardId]| shards.iter().map(|shard| shard.0).collect::<Vec<_>>();
    let give_up = |kind, shards: &[ShardId]| {
        let mut state = state.lock().unwrap();
        state.told.push((kind, number(shards)));
        state.next.retain(|shard, _| !shards.contains(&ShardId(*shard)));
    };
    loop {
        tokio::select! {
            biased;
            _ = &mut stopped => break,
            event = ownership.recv() => match event.expect("the session goes on") {
                OwnershipEvent::Assigned(assigned) => {
                    let mut state = state.lock().unwrap();
                    state.told.push(('+', assigned.iter().map(|(shard, _)| shard.0).collect()));
                    for (shard, stored) in assigned {
                        let last = stored.get("stream").map(|last| String::from_utf8_lossy(last).parse::<u32>().unwrap());
                        state.next.insert(shard.0, last.map_or(0, |last| last + 1));
                    }
                }
                OwnershipEvent::Revoked { shards, done } => {
                    give_up('-', &shards);
                    done.send(()).ok();
                }
                OwnershipEvent::Lost(shards) => give_up('!', &shards),
                OwnershipEvent::Emptied(shards) => panic!("emptied: {shards:?}"),
                OwnershipEvent::Failed(error) => panic!("{error}"),
            },
            () = tokio::time::sleep(Duration::from_millis(10)) => {
                let all = state.lock().unwrap().next.clone();
                let mut batch = Batch { messages: Vec::new(), checkpoints: Vec::new() };
                for (shard, number) in &all {
                    batch.messages.push(message(&settings, 0, *shard, &format!("{shard}-{number}")));
                    batch.checkpoints.push(checkpoint(*shard, "stream", Some(&number.to_string())));
                }
                let outcome = if all.is_empty() { continue } else { committer.commit(&batch).await };
                let mut state = state.lock().unwrap();
                match outcome {
                    Ok(()) => all.keys().for_each(|shard| state.wrote(*shard)),
                    Err(CommitError::Aborted(_)) => state.aborts += 1,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }
    committer.close().await;
}

impl Work {
    fn wrote(&mut self, shard: u32) {
        *self.next.get_mut(&shard).unwrap() += 1;
        let now = Instant::now();
        if let Some(before) = self.written.insert(shard, now) {
            self.longest_pause = self.longest_pause.max(now - before);
        }
    }
}

/// The error of a session that must not begin.
pub(crate) async fn refused(settings: &KafkaSettings) -> String {
    match kafka::open(settings.clone()).await {
        Ok(_) => panic!("a session began"),
        Err(error @ (SinkError::Refused { .. } | SinkError::Setup { .. })) => error.to_string(),
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
            encoding: Encoding::Protobuf,
            kind: "asana_event_bridge.v1.Event",
            stream: Some(StreamId::new("main", "1200")),
            resource_type: "task".into(),
            time: chrono::DateTime::UNIX_EPOCH,
            trace: Trace::new("r1", 1, chrono::DateTime::UNIX_EPOCH),
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
    producer.init_transactions(TIMEOUT).unwrap();
    producer
}

/// What the first batch of a replica says of a shard.
pub(crate) fn header(replica: &str) -> Vec<u8> {
    let shard =
        pb::ShardCheckpoint { shards: 1, epoch: 1, replica: replica.to_owned(), ..pb::ShardCheckpoint::default() };
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
    producer.flush(TIMEOUT).unwrap();
}
