//! Whole lanes from Kafka: committed records only, no consumer group.

use super::{From, ReadError, Received, Until, decode};
use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{Consumer as _, ConsumerContext, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// How long the broker may take to answer what is asked at the start.
const ANSWER: Duration = Duration::from_secs(30);

/// librdkafka's complaints come back from `recv` too, where they are handled; the end of a partition is none.
struct Quiet;

impl ClientContext for Quiet {
    fn error(&self, _error: KafkaError, _reason: &str) {}
}

impl ConsumerContext for Quiet {}

/// Reads every partition of the topics that there were when it began.
pub struct KafkaReader {
    consumer: StreamConsumer<Quiet>,
    reading: Reading,
    trimmed: bool,
}

#[derive(Debug)]
enum Reading {
    /// All topics at once.
    ForEver,
    /// Topic after topic, since librdkafka's word for the end of a partition names no topic.
    ToEnd {
        /// Where each partition of the topic that is being read ends, if it isn't read to there yet.
        ends: BTreeMap<i32, i64>,
        later: Vec<TopicPart>,
    },
}

/// The partitions of a topic, and where each ends.
#[derive(Debug)]
struct TopicPart {
    assignment: TopicPartitionList,
    ends: BTreeMap<i32, i64>,
}

impl fmt::Debug for KafkaReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaReader").field("reading", &self.reading).finish_non_exhaustive()
    }
}

impl KafkaReader {
    /// Begins to read the topics whose name is `wanted`. The `properties` are librdkafka's, `bootstrap.servers`
    /// among them. Blocks while it asks the broker: call it on a thread that may.
    ///
    /// # Errors
    /// `Unavailable` where the broker doesn't answer, or no topic is wanted.
    pub fn open(
        properties: &BTreeMap<String, String>,
        wanted: impl Fn(&str) -> bool,
        from: From,
        until: Until,
    ) -> Result<Self, ReadError> {
        let mut config: ClientConfig = properties.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        config
            // Never joined: partitions are assigned by hand. librdkafka wants a name all the same.
            .set("group.id", "asana-event-bridge-reader")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "true");
        let consumer: StreamConsumer<Quiet> = config
            .create_with_context(Quiet)
            .map_err(|error| ReadError::unavailable("could not make a Kafka client", error))?;
        let metadata = consumer
            .fetch_metadata(None, ANSWER)
            .map_err(|error| ReadError::unavailable("could not list the topics", error))?;
        let mut topics = Vec::new();
        let mut trimmed = false;
        for topic in metadata.topics().iter().filter(|topic| wanted(topic.name())) {
            let mut part = TopicPart { assignment: TopicPartitionList::new(), ends: BTreeMap::new() };
            for partition in topic.partitions() {
                let (name, id) = (topic.name(), partition.id());
                let (low, high) = consumer.fetch_watermarks(name, id, ANSWER).map_err(|error| {
                    ReadError::unavailable(format!("could not find the end of {name}[{id}]"), error)
                })?;
                trimmed |= low > 0;
                let begin = match from {
                    From::Start => low,
                    From::Now => high,
                };
                if begin < high {
                    part.ends.insert(id, high);
                }
                part.assignment
                    .add_partition_offset(name, id, Offset::Offset(begin))
                    .map_err(|error| ReadError::unavailable(format!("could not assign {name}[{id}]"), error))?;
            }
            topics.push(part);
        }
        if topics.is_empty() {
            return Err(ReadError::unavailable("could not find an output topic", "no topic of the cluster matches"));
        }
        let reading = match until {
            Until::End => Reading::ToEnd { ends: BTreeMap::new(), later: topics },
            Until::Stopped => {
                let mut all = TopicPartitionList::new();
                for element in topics.iter().flat_map(|topic| topic.assignment.elements()) {
                    all.add_partition_offset(element.topic(), element.partition(), element.offset())
                        .map_err(|error| ReadError::unavailable("could not assign partitions", error))?;
                }
                consumer.assign(&all).map_err(|error| ReadError::unavailable("could not assign partitions", error))?;
                Reading::ForEver
            }
        };
        Ok(Self { consumer, reading, trimmed })
    }

    /// Whether the broker has deleted the oldest records of a partition.
    #[must_use]
    pub fn trimmed(&self) -> bool {
        self.trimmed
    }

    /// The next record of any lane; `None` once all are read to their end.
    ///
    /// # Errors
    /// See [`ReadError`].
    ///
    /// # Cancel safety
    /// Dropped before it returns, it has taken no record.
    pub async fn next(&mut self) -> Result<Option<Received>, ReadError> {
        while self.go_on()? {
            match self.consumer.recv().await {
                Ok(message) => {
                    if self.reading.wants(message.partition(), message.offset()) {
                        return received(&message).map(Some);
                    }
                }
                Err(KafkaError::PartitionEOF(id)) => {
                    if let Reading::ToEnd { ends, .. } = &mut self.reading {
                        ends.remove(&id);
                    }
                }
                Err(error) => return Err(ReadError::unavailable("could not read from Kafka", error)),
            }
        }
        Ok(None)
    }

    /// Turns to the next topic where one is read to its end; `false` where all are.
    fn go_on(&mut self) -> Result<bool, ReadError> {
        let Reading::ToEnd { ends, later } = &mut self.reading else { return Ok(true) };
        while ends.is_empty() {
            let Some(next) = later.pop() else { return Ok(false) };
            self.consumer
                .assign(&next.assignment)
                .map_err(|error| ReadError::unavailable("could not assign partitions", error))?;
            *ends = next.ends;
        }
        Ok(true)
    }
}

impl Reading {
    /// Whether a record is before the end; notes where it is the last one.
    fn wants(&mut self, partition: i32, offset: i64) -> bool {
        let Self::ToEnd { ends, .. } = self else { return true };
        let end = ends.get(&partition).copied().unwrap_or(0);
        // Transaction markers use up offsets: the end may be passed without being met.
        if offset + 1 >= end {
            ends.remove(&partition);
        }
        offset < end
    }
}

fn received(message: &BorrowedMessage<'_>) -> Result<Received, ReadError> {
    let place = || format!("{}[{}] at {}", message.topic(), message.partition(), message.offset());
    let record = decode::wire(message.payload().unwrap_or_default())
        .map_err(|error| ReadError::NoRecord { place: place(), reason: error.to_string() })?;
    Ok(Received {
        topic: message.topic().into(),
        lane: u32::try_from(message.partition()).unwrap_or_default(),
        key: String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned(),
        offset: u64::try_from(message.offset()).unwrap_or_default(),
        record,
    })
}
