//! Reads the last record of each lane, and which partitions of the checkpoint topic were emptied.

use super::KafkaSettings;
use super::client::{self, Logs, REQUEST_TIMEOUT};
use super::error::{self, Right};
use super::headers::DEPLOYMENT;
use super::topics::Topics;
use crate::sink::SinkError;
use crate::sink::admission::Tail;
use bridge_consumer::decode;
use bridge_core::ids::{ShardId, Topic};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The number of messages before the end of a partition that are read at first. Some of them may be transaction markers,
/// or of aborted transactions: if no record is among them, [`GROWTH`] times as many are read.
const FIRST: i64 = 64;
const GROWTH: i64 = 16;

/// The maximum number of partitions that are read. Records in others can't testify.
const MOST_PARTITIONS: usize = 256;

/// After this number of polls without anything new, of [`LOOK`] each, the cluster counts as unreachable: half a minute.
const LOOKS: u32 = 300;
const LOOK: Duration = Duration::from_millis(100);

/// A partition, and the offsets of its first message and after its last.
type Ends = BTreeMap<(String, i32), (i64, i64)>;

/// The last records in topics for which `is_output` is true, and the shards whose partitions of the checkpoint topic have
/// no message and had some.
///
/// # Errors
/// The same as of [`open`](super::open).
///
/// # Cancel safety
/// If it is dropped, it continues to read in the background, without effect.
pub(in crate::sink) async fn tails(
    settings: KafkaSettings,
    is_output: impl Fn(&Topic) -> bool + Send + 'static,
) -> Result<(Vec<Tail>, Vec<ShardId>), SinkError> {
    let settings = Arc::new(settings);
    // Its errors tell why there is no connection.
    Topics::new(Arc::clone(&settings))?.reach().await?;
    let action = "reading the last records";
    let work = move || {
        let reader = client::committed_reader(&settings)?;
        let found = ends(&reader, |topic| *topic == settings.config.checkpoint_topic)?;
        let emptied = found.iter().filter(|(_, (low, high))| *low > 0 && low == high);
        let emptied = emptied.filter_map(|((_, partition), _)| u32::try_from(*partition).ok()).map(ShardId).collect();
        let found = ends(&reader, |topic| !settings.is_other(topic) && is_output(&Topic::from(topic.as_str())))?;
        Ok((read(&reader, found, &Right::read(&settings.config.topic))?, emptied))
    };
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(SinkError::unavailable(action, error)))
}

fn ends(reader: &BaseConsumer<Logs>, wanted: impl Fn(&String) -> bool) -> Result<Ends, SinkError> {
    let action = "reading the ends of the topics";
    let metadata = reader.fetch_metadata(None, REQUEST_TIMEOUT).map_err(|error| error::setup(action, error))?;
    let topics = metadata.topics().iter().filter(|topic| wanted(&topic.name().to_owned()));
    let partitions = topics.flat_map(|topic| topic.partitions().iter().map(|it| (topic.name().to_owned(), it.id())));
    let mut ends = Ends::new();
    for (topic, partition) in partitions.take(MOST_PARTITIONS) {
        let found = reader.fetch_watermarks(&topic, partition, REQUEST_TIMEOUT);
        let found = found.map_err(|error| error::setup_with(action, &Right::describe(&topic), error))?;
        ends.insert((topic, partition), found);
    }
    Ok(ends)
}

/// An error of a partition doesn't say which one has it, so `right` names all output topics.
fn read(reader: &BaseConsumer<Logs>, ends: Ends, right: &Right) -> Result<Vec<Tail>, SinkError> {
    let action = "reading the last records";
    let mut tails = BTreeMap::new();
    let mut open: Ends = ends.into_iter().filter(|(_, (low, high))| low < high).collect();
    let mut back = FIRST;
    while !open.is_empty() {
        let mut assignment = TopicPartitionList::new();
        for ((topic, partition), (low, high)) in &open {
            let added = assignment.add_partition_offset(topic, *partition, Offset::Offset((*low).max(high - back)));
            added.map_err(|error| error::setup(action, error))?;
        }
        reader.assign(&assignment).map_err(|error| error::setup(action, error))?;
        read_to_ends(reader, open.len(), &mut tails, right)?;
        open.retain(|place, (low, high)| !tails.contains_key(place) && *low < *high - back);
        back = back.saturating_mul(GROWTH);
    }
    Ok(tails.into_values().collect())
}

fn read_to_ends(
    reader: &BaseConsumer<Logs>,
    partitions: usize,
    tails: &mut BTreeMap<(String, i32), Tail>,
    right: &Right,
) -> Result<(), SinkError> {
    let action = "reading the last records";
    let (mut ended, mut idle) = (0, 0);
    while ended < partitions {
        let failure = match reader.poll(LOOK) {
            Some(Ok(message)) => {
                // What isn't a record is no testimony.
                if let Some(tail) = tail(&message) {
                    tails.insert((message.topic().to_owned(), message.partition()), tail);
                }
                idle = 0;
                continue;
            }
            Some(Err(KafkaError::PartitionEOF(_))) => {
                (ended, idle) = (ended + 1, 0);
                continue;
            }
            Some(Err(error)) => error::setup_with(action, right, error),
            None => SinkError::unavailable(action, "no answer from the cluster"),
        };
        idle += 1;
        if idle > LOOKS || !matches!(failure, SinkError::Unavailable { .. }) {
            return Err(failure);
        }
    }
    Ok(())
}

fn tail(message: &BorrowedMessage<'_>) -> Option<Tail> {
    let position = decode::wire(message.payload()?).ok()?.position?;
    let header = message.headers().and_then(|headers| headers.iter().find(|header| header.key == DEPLOYMENT));
    let deployment = header.and_then(|header| header.value).unwrap_or_default();
    Some(Tail {
        topic: Topic::from(message.topic()),
        lane: u32::try_from(message.partition()).ok()?,
        shard: ShardId(position.shard),
        epoch: position.epoch,
        sequence: position.lane_sequence,
        deployment: String::from_utf8_lossy(deployment).into_owned(),
    })
}
