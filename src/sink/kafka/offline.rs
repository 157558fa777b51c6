//! Reads a checkpoint without owning it, and moves a checkpoint, for the command `checkpoint`.

use super::client::{self, REQUEST_TIMEOUT};
use super::error::{self, Right};
use super::restore::apply;
use super::{KafkaCommitter, KafkaSettings};
use crate::sink::{CommitError, Committer as _, SinkError};
use bridge_core::ids::{Gid, ShardId, Topic};
use bridge_core::record::batch::{Attributes, Batch, CheckpointWrite, Message, StoredCheckpoint, Target};
use bridge_core::record::encoding::Encoding;
use bridge_core::record::trace::Trace;
use chrono::{DateTime, Utc};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// After this number of polls without anything new, of [`LOOK`] each, the cluster counts as unreachable: half a minute.
const LOOKS: u32 = 300;
const LOOK: Duration = Duration::from_millis(100);

/// The current checkpoint, by the partitions of its topic; none if the topic doesn't exist. Owns nothing and changes
/// nothing: bridges may run.
///
/// # Errors
/// The same as of [`open`](super::open).
///
/// # Cancel safety
/// If it is dropped, it continues to read in the background, without effect.
pub async fn stored(settings: &KafkaSettings) -> Result<BTreeMap<ShardId, StoredCheckpoint>, SinkError> {
    let settings = settings.clone();
    blocking("reading checkpoints", move || read(&settings)).await
}

/// The client ids of the members of the group, or those of other replicas only. Empty if the cluster doesn't list them:
/// then only joining the group shows them.
///
/// # Errors
/// The same as of [`open`](super::open).
///
/// # Cancel safety
/// The same as of [`stored`].
pub async fn members(settings: &KafkaSettings, but_own: bool) -> Result<Vec<String>, SinkError> {
    let settings = settings.clone();
    blocking("asking for the members of the group", move || {
        let reader = client::uncommitted_reader(&settings)?;
        let own = client::client_id(&settings.replica);
        Ok(client::members(&reader, &settings).into_iter().filter(|member| !but_own || *member != own).collect())
    })
    .await
}

/// Writes a whole checkpoint to the topic `to` and `retired` to the old one's, in one transaction that only the owner
/// of the old shards can commit. The successor's topic is an ordinary topic for the transaction.
///
/// # Errors
/// The same as of [`commit`](crate::sink::Committer::commit).
///
/// # Cancel safety
/// Not cancel safe, as a commit.
pub async fn hand_over(
    old: &mut KafkaCommitter,
    to: &str,
    written: Vec<CheckpointWrite>,
    retired: Vec<CheckpointWrite>,
    now: DateTime<Utc>,
) -> Result<(), CommitError> {
    let message = |write: CheckpointWrite| Message {
        target: Target::Lane { topic: Topic::from(to), partition: write.shard.0 },
        shard: write.shard,
        attributes: Attributes {
            id: format!("{to}/{}/{}", write.shard, write.key),
            encoding: Encoding::Protobuf,
            kind: "asana_event_bridge.checkpoint.v1.Checkpoint",
            stream: None,
            resource_type: "".into(),
            time: now,
            trace: Trace::new(to, 0, now),
        },
        key: Gid::from(write.key),
        value: write.value.unwrap_or_default(),
    };
    let batch = Batch { messages: written.into_iter().map(message).collect(), checkpoints: retired };
    old.frames.leave_plain(to);
    old.commit(&batch).await
}

async fn blocking<T: Send + 'static>(
    action: &str,
    work: impl FnOnce() -> Result<T, SinkError> + Send + 'static,
) -> Result<T, SinkError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(SinkError::unavailable(action, error)))
}

fn read(settings: &KafkaSettings) -> Result<BTreeMap<ShardId, StoredCheckpoint>, SinkError> {
    let action = "reading checkpoints";
    let topic = &settings.config.checkpoint_topic;
    let reader = client::committed_reader(settings)?;
    let shards = partitions(&reader, topic)?;
    let mut assignment = TopicPartitionList::new();
    for shard in 0..shards {
        let partition = client::partition_of(ShardId(shard));
        let added = assignment.add_partition_offset(topic, partition, Offset::Beginning);
        added.map_err(|error| error::setup(action, error))?;
    }
    reader.assign(&assignment).map_err(|error| error::setup(action, error))?;
    let mut unfinished: BTreeSet<_> = (0..shards).collect();
    let mut checkpoints: BTreeMap<_, _> =
        unfinished.iter().map(|shard| (ShardId(*shard), StoredCheckpoint::new())).collect();
    let mut idle = 0;
    while !unfinished.is_empty() {
        let failure = match reader.poll(LOOK) {
            Some(Ok(message)) => {
                let shard = u32::try_from(rdkafka::Message::partition(&message)).map(ShardId);
                if let Some(checkpoint) = shard.ok().and_then(|shard| checkpoints.get_mut(&shard)) {
                    apply(checkpoint, &message);
                }
                idle = 0;
                continue;
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                unfinished.retain(|shard| client::partition_of(ShardId(*shard)) != partition);
                idle = 0;
                continue;
            }
            Some(Err(error)) => error::setup_with(action, &Right::read(topic), error),
            None => SinkError::unavailable(action, "no answer from the cluster"),
        };
        idle += 1;
        if idle > LOOKS || !matches!(failure, SinkError::Unavailable { .. }) {
            return Err(failure);
        }
    }
    Ok(checkpoints)
}

/// The number of the topic's partitions; 0 if it doesn't exist.
fn partitions(reader: &BaseConsumer<client::Logs>, topic: &str) -> Result<u32, SinkError> {
    let (action, right) = (format!("looking at the topic {topic}"), Right::describe(topic));
    let metadata = reader.fetch_metadata(Some(topic), REQUEST_TIMEOUT).map_err(|error| error::setup(&action, error))?;
    let Some(topic) = metadata.topics().first() else { return Ok(0) };
    match topic.error().map(RDKafkaErrorCode::from) {
        None => Ok(u32::try_from(topic.partitions().len()).unwrap_or(u32::MAX)),
        Some(RDKafkaErrorCode::UnknownTopicOrPartition) => Ok(0),
        Some(code) => Err(error::setup_with(&action, &right, KafkaError::MetadataFetch(code))),
    }
}
