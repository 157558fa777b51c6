//! Reads the refresh log: a partition for each shard, what is committed only.

use super::KafkaSettings;
use super::client;
use super::error::{self, Right};
use crate::sink::SinkError;
use crate::sink::refresh_log::{Feed, Logged, Reading, What};
use bridge_core::ids::ShardId;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use std::sync::Arc;
use std::time::Duration;

/// How long the thread waits for the next entry, and so until it notices a new reading.
const POLL: Duration = Duration::from_millis(50);
/// The pause before it looks for a first reading again, and after an error that may pass.
const PAUSE: Duration = Duration::from_millis(100);
/// The most entries that are given at once.
const TOGETHER: usize = 200;

/// Reads on a thread of its own, until the session ends.
pub(super) fn start(settings: Arc<KafkaSettings>, feed: Feed) {
    let entries = feed.entries.clone();
    let work = move || {
        if let Err(error) = read(&settings, &feed) {
            // The session may have ended before.
            drop(feed.entries.blocking_send(Err(error)));
        }
    };
    if let Err(error) = std::thread::Builder::new().name("kafka-refresh-log".to_owned()).spawn(work) {
        drop(entries.try_send(Err(SinkError::unavailable("starting to read the refresh log", error))));
    }
}

/// Reads until the session has ended.
fn read(settings: &KafkaSettings, feed: &Feed) -> Result<(), SinkError> {
    let Some(topic) = settings.refresh_topic.as_deref() else { return Ok(()) };
    let mut consumer: Option<BaseConsumer<client::Logs>> = None;
    let mut current = Reading::default();
    let mut wanted = feed.wanted.clone();
    while !feed.entries.is_closed() && wanted.has_changed().is_ok() {
        let reading = wanted.borrow_and_update().clone();
        if reading != current {
            let reader = match consumer.take() {
                Some(reader) => reader,
                None => client::log_reader(settings)?,
            };
            reader
                .assign(&partitions(topic, &reading)?)
                .map_err(|error| error::setup("reading the refresh log", error))?;
            consumer = Some(reader);
            current = reading;
        }
        match consumer.as_ref().filter(|_| !current.places.is_empty()) {
            None => std::thread::park_timeout(PAUSE),
            Some(reader) => {
                let entries = next(reader, topic, current.number)?;
                if !entries.is_empty() && feed.entries.blocking_send(Ok(entries)).is_err() {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

fn partitions(topic: &str, reading: &Reading) -> Result<TopicPartitionList, SinkError> {
    let mut partitions = TopicPartitionList::with_capacity(reading.places.len());
    for (shard, place) in &reading.places {
        // Compaction and transactions leave holes: the next entry there is counts.
        let offset = i64::try_from(*place).ok().filter(|place| *place > 0).map_or(Offset::Beginning, Offset::Offset);
        let added = partitions.add_partition_offset(topic, client::partition_of(*shard), offset);
        added.map_err(|error| error::setup("naming partitions", error))?;
    }
    Ok(partitions)
}

/// The entries that are there, or come soon.
fn next(reader: &BaseConsumer<client::Logs>, topic: &str, reading: u64) -> Result<Vec<Logged>, SinkError> {
    let mut entries = Vec::new();
    let mut wait = POLL;
    while entries.len() < TOGETHER {
        match reader.poll(wait) {
            None => break,
            Some(Ok(message)) => {
                let place = (u32::try_from(message.partition()), u64::try_from(message.offset()));
                if let ((Ok(shard), Ok(place)), Some(value)) = (place, message.payload()) {
                    let what = What::Entry { place, value: value.to_vec() };
                    entries.push(Logged { reading, shard: ShardId(shard), what });
                }
            }
            // All that was committed when the broker answered, before any transaction that is still open.
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                if let Ok(shard) = u32::try_from(partition) {
                    entries.push(Logged { reading, shard: ShardId(shard), what: What::End });
                }
            }
            Some(Err(error)) => {
                let error = error::passing("reading the refresh log", &Right::read(topic), error)?;
                tracing::warn!(%error, "reading the refresh log failed, retrying");
                std::thread::park_timeout(PAUSE);
                break;
            }
        }
        wait = Duration::ZERO;
    }
    Ok(entries)
}
