//! Reads whole lanes from Kafka: committed records only, without a consumer group.

use super::{ReadError, ReadFrom, Received, Until, decode};
use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{Consumer as _, ConsumerContext, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior};

/// The timeout of the broker's answers at the start.
const ANSWER: Duration = Duration::from_secs(30);

/// The interval at which a reader without end checks for new topics and partitions.
const LOOK: Duration = Duration::from_secs(2);

/// librdkafka's errors also come from `recv`, where they are handled. The end of a partition isn't an error.
struct Quiet;

impl ClientContext for Quiet {
    fn error(&self, _error: KafkaError, _reason: &str) {}
}

impl ConsumerContext for Quiet {}

/// Reads every partition of its topics: to the end at the time when it began, or without end. Without end, it also reads new topics
/// and partitions, from their start.
pub struct KafkaReader {
    consumer: Arc<StreamConsumer<Quiet>>,
    reading: Reading,
    trimmed: bool,
    expected: Option<u64>,
}

enum Reading {
    /// Reads all topics at the same time.
    ForEver(Lookout),
    /// Reads topic after topic, because librdkafka's message about the end of a partition names no topic.
    ToEnd {
        /// The end of each partition of the current topic that isn't read to its end yet.
        ends: BTreeMap<i32, i64>,
        later: Vec<TopicPart>,
    },
}

/// Finds new topics and partitions.
struct Lookout {
    wanted: Box<dyn Fn(&str) -> bool + Send>,
    known: BTreeSet<(String, i32)>,
    next: Interval,
}

/// The partitions of a topic, and the end of each.
#[derive(Debug)]
struct TopicPart {
    assignment: TopicPartitionList,
    ends: BTreeMap<i32, i64>,
}

impl fmt::Debug for KafkaReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaReader").field("trimmed", &self.trimmed).finish_non_exhaustive()
    }
}

impl KafkaReader {
    /// Begins to read the topics whose name is `wanted`. The `properties` are librdkafka's, including `bootstrap.servers`.
    /// It blocks while it waits for the broker: call it on a thread that may block.
    ///
    /// # Errors
    /// `Unavailable` if the broker doesn't answer, or if there is no topic to read to the end.
    ///
    /// # Panics
    /// Outside of a tokio runtime, if it reads without end.
    pub fn open(
        properties: &BTreeMap<String, String>,
        wanted: impl Fn(&str) -> bool + Send + 'static,
        from: ReadFrom,
        until: Until,
    ) -> Result<Self, ReadError> {
        let mut config: ClientConfig = properties.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        config
            // No group is joined: partitions are assigned by hand. librdkafka requires a name in any case.
            .set("group.id", "asana-event-bridge-reader")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "true");
        let consumer: StreamConsumer<Quiet> = config
            .create_with_context(Quiet)
            .map_err(|error| ReadError::unavailable("could not create a Kafka client", error))?;
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
                    ReadFrom::Start => low,
                    ReadFrom::Now => high,
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
        if topics.is_empty() && until == Until::End {
            return Err(ReadError::unavailable("could not find an output topic", "no topic of the cluster matches"));
        }
        let ends = topics.iter().flat_map(|topic| topic.ends.iter().map(|(id, high)| (&topic.assignment, *id, *high)));
        let expected = ends.map(|(assignment, id, high)| high - begin(assignment, id)).sum::<i64>();
        let expected = u64::try_from(expected).ok().filter(|_| until == Until::End);
        let reading = match until {
            Until::End => Reading::ToEnd { ends: BTreeMap::new(), later: topics },
            Until::Stopped => {
                let mut all = TopicPartitionList::new();
                let mut known = BTreeSet::new();
                for element in topics.iter().flat_map(|topic| topic.assignment.elements()) {
                    known.insert((element.topic().to_owned(), element.partition()));
                    all.add_partition_offset(element.topic(), element.partition(), element.offset())
                        .map_err(|error| ReadError::unavailable("could not assign partitions", error))?;
                }
                consumer.assign(&all).map_err(|error| ReadError::unavailable("could not assign partitions", error))?;
                let mut next = tokio::time::interval(LOOK);
                next.set_missed_tick_behavior(MissedTickBehavior::Delay);
                Reading::ForEver(Lookout { wanted: Box::new(wanted), known, next })
            }
        };
        Ok(Self { consumer: Arc::new(consumer), reading, trimmed, expected })
    }

    /// Whether the broker has deleted the oldest records of a partition.
    #[must_use]
    pub fn trimmed(&self) -> bool {
        self.trimmed
    }

    /// The maximum number of records up to the end, if there is an end. Transaction markers count, too.
    #[must_use]
    pub fn expected(&self) -> Option<u64> {
        self.expected
    }

    /// The next record of any lane. `None` when all lanes are read to their end.
    ///
    /// # Errors
    /// [`ReadError`]: `Unavailable` or `NoRecord`.
    ///
    /// # Cancel safety
    /// If it is dropped before it returns, it has taken no record.
    pub async fn next(&mut self) -> Result<Option<Received>, ReadError> {
        while self.go_on()? {
            let received_or_none = match &mut self.reading {
                Reading::ForEver(lookout) => tokio::select! {
                    biased;
                    message = self.consumer.recv() => Some(message),
                    _ = lookout.next.tick() => None,
                },
                Reading::ToEnd { .. } => Some(self.consumer.recv().await),
            };
            let Some(message) = received_or_none else {
                self.look().await?;
                continue;
            };
            match message {
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

    /// Begins to read what is new since the last check, from its start. If the broker doesn't answer, it retries later.
    async fn look(&mut self) -> Result<(), ReadError> {
        let Reading::ForEver(lookout) = &mut self.reading else { return Ok(()) };
        let consumer = Arc::clone(&self.consumer);
        let asked = tokio::task::spawn_blocking(move || {
            let metadata = consumer.fetch_metadata(None, ANSWER).ok()?;
            let partitions = metadata
                .topics()
                .iter()
                .flat_map(|topic| topic.partitions().iter().map(|partition| (topic.name().to_owned(), partition.id())));
            Some(partitions.collect::<Vec<_>>())
        });
        let found = asked.await.map_err(|error| ReadError::unavailable("could not list the topics", error))?;
        let mut new = TopicPartitionList::new();
        for (topic, id) in found.unwrap_or_default() {
            if (lookout.wanted)(&topic) && !lookout.known.contains(&(topic.clone(), id)) {
                new.add_partition_offset(&topic, id, Offset::Beginning)
                    .map_err(|error| ReadError::unavailable("could not assign partitions", error))?;
            }
        }
        if new.count() > 0 {
            self.consumer
                .incremental_assign(&new)
                .map_err(|error| ReadError::unavailable("could not assign partitions", error))?;
            let partitions = new.elements().into_iter().map(|it| (it.topic().to_owned(), it.partition()));
            lookout.known.extend(partitions);
        }
        Ok(())
    }

    /// Goes to the next topic if one is read to its end. `false` if all are.
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
    /// Whether a record is before the end. Notes whether it is the last one.
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

/// The offset at which reading a partition begins.
fn begin(assignment: &TopicPartitionList, id: i32) -> i64 {
    let element = assignment.elements().into_iter().find(|element| element.partition() == id);
    element.and_then(|element| element.offset().to_raw()).unwrap_or_default()
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
