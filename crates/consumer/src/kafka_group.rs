//! A member of a Kafka consumer group that knows whether it has seen everything, also after a rebalance.
//!
//! [`KafkaGroup::commit`] writes the offset of each partition together with the detector's state of it, in the offset's metadata. This is
//! one atomic write, and the next owner of the partition reads it. So the state survives a restart or a rebalance, and it always
//! belongs exactly to the offset.
//!
//! # Room for state
//! Kafka accepts 4,096 bytes of metadata by default (`offset.metadata.max.bytes`), of which 3,067 hold state. A lane needs about 45 bytes
//! for each shard that writes to it, 13 more for each epoch before the latest (at most four are known), and 2 to 4 for each hole. This is
//! enough for 64 shards that weren't migrated recently.
//!
//! If there is too little room, the saved state first drops the lowest holes (they stay counted as missing, and hold back completeness),
//! then the names of open source gaps. If that isn't enough, the offset is committed alone, and [`Committed::without_state`] names the
//! partition. Then raise the broker's limit and [`metadata_room`](KafkaGroup::metadata_room), or keep [`Detector::save_lane`] beside
//! your own offsets. A reader that begins after such a commit gets [`Delivered::blinded`].
//!
//! # Completeness
//! A member knows only its own partitions, and [`complete_up_to`](KafkaGroup::complete_up_to) is about these. The topic is complete up to
//! the minimum over all members.

use super::record::Record;
use super::{Blinded, ReadError, decode};
use crate::detect::{Behind, Detector, Start, Verdict};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use bridge_contract::Topic;
use chrono::{DateTime, Utc};
use futures_util::stream::{self, Stream};
use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The timeout of the broker's answers.
const ANSWER: Duration = Duration::from_secs(30);
/// The prefix of the state, so that other metadata isn't mistaken for it.
const MARK: &str = "aeb1:";
/// The default of Kafka's `offset.metadata.max.bytes` (`OffsetConfig.DefaultMaxMetadataSize`).
const METADATA_ROOM: usize = 4096;

/// A partition of a topic.
type Place = (Topic, i32);

/// A record, the detector's verdict about it, and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivered {
    /// The name of the topic.
    pub topic: Topic,
    /// The partition of the topic, from 0.
    pub partition: i32,
    /// The offset of the record in its partition.
    pub offset: i64,
    /// The gid of the resource that changed; empty in a record of the lane itself.
    pub key: String,
    /// The decoded record.
    pub record: Record,
    /// The detector's verdict, by lane.
    pub verdict: Verdict,
    /// Only for a partition's first record: why the detector has no state for the records that were committed before it.
    pub blinded: Option<Blinded>,
}

/// The result of a commit.
#[must_use = "if the state of a partition didn't fit, its next owner can't report missing records"]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// The number of partitions whose offset was committed.
    pub partitions: usize,
    /// The partitions whose state didn't fit into the offset's metadata.
    pub without_state: Vec<Place>,
}

/// Reads the partitions that the group assigns to it, committed records only.
pub struct KafkaGroup {
    consumer: Arc<StreamConsumer<Member>>,
    state: Mutex<State>,
    /// `auto.offset.reset` sends a reader without an offset to the start.
    from_earliest: bool,
    metadata_room: usize,
}

struct State {
    detector: Detector,
    /// Partitions whose state was requested.
    known: BTreeSet<Place>,
    /// For each partition with deliveries since the last commit: the offset after the last delivery.
    delivered: BTreeMap<Place, i64>,
    /// Reasons that weren't delivered yet.
    blinded: BTreeMap<Place, Blinded>,
}

/// Notes revoked partitions, so that the reader forgets them.
#[derive(Default)]
struct Member {
    gone: Mutex<Vec<Place>>,
}

impl ClientContext for Member {
    // Errors also come from `recv`, where they are handled.
    fn error(&self, _error: KafkaError, _reason: &str) {}
}

impl ConsumerContext for Member {
    fn pre_rebalance(&self, _consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        // Assigned partitions are noted too: they may have had another owner in between.
        let (Rebalance::Assign(partitions) | Rebalance::Revoke(partitions)) = rebalance else { return };
        let places = partitions.elements().into_iter().map(|it| (Topic::from(it.topic()), it.partition()));
        lock(&self.gone).extend(places);
    }
}

impl fmt::Debug for KafkaGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaGroup").field("known", &lock(&self.state).known).finish_non_exhaustive()
    }
}

impl KafkaGroup {
    /// Joins the group. The `properties` are librdkafka's: `bootstrap.servers`, `group.id`, and others if you need them. A topic that begins
    /// with `^` is a pattern. The detector follows whole lanes: [`Detector::by_lane`].
    ///
    /// This function always sets `enable.auto.commit` to false and `isolation.level` to `read_committed`. Without
    /// `auto.offset.reset`, a group without offsets begins at the earliest record.
    ///
    /// # Errors
    /// `Unavailable` if librdkafka rejects the properties or the topics.
    pub fn join(properties: &BTreeMap<String, String>, topics: &[&str]) -> Result<Self, ReadError> {
        let reset = properties.get("auto.offset.reset").map_or("earliest", String::as_str);
        let mut config: ClientConfig = properties.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        config
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", reset);
        let consumer: StreamConsumer<Member> = config
            .create_with_context(Member::default())
            .map_err(|error| ReadError::unavailable("could not create a Kafka client", error))?;
        consumer.subscribe(topics).map_err(|error| ReadError::unavailable("could not subscribe", error))?;
        let detector = Detector::by_lane(Start::Middle);
        Ok(Self {
            consumer: Arc::new(consumer),
            state: Mutex::new(State {
                detector,
                known: BTreeSet::new(),
                delivered: BTreeMap::new(),
                blinded: BTreeMap::new(),
            }),
            from_earliest: matches!(reset, "earliest" | "smallest" | "beginning"),
            metadata_room: METADATA_ROOM,
        })
    }

    /// Sets the room for metadata, in bytes. Use it if the brokers' `offset.metadata.max.bytes` isn't the default of 4,096.
    #[must_use]
    pub fn metadata_room(self, bytes: usize) -> Self {
        Self { metadata_room: bytes, ..self }
    }

    /// The next record of any partition. Call it from one task only: with several callers, records of a lane may be reordered.
    ///
    /// # Errors
    /// `NoRecord` for a message that isn't a record: the next call continues after it. `Unavailable` for other errors: librdkafka
    /// restores its connections itself, so the next call may succeed.
    ///
    /// # Cancel safety
    /// If it is dropped before it returns, it has taken no record.
    pub async fn next(&self) -> Result<Delivered, ReadError> {
        let message =
            self.consumer.recv().await.map_err(|error| ReadError::unavailable("could not read from Kafka", error))?;
        let place = (Topic::from(message.topic()), message.partition());
        // A message after a rebalance belongs to the new assignment.
        let gone = std::mem::take(&mut *lock(&self.consumer.context().gone));
        let is_known = lock(&self.state).forget(gone).known.contains(&place);
        if !is_known {
            // If this is dropped, the record would be lost: it is read again.
            let undo = Undo { consumer: &self.consumer, message: &message, armed: true };
            let found = self.restore(&place).await?;
            undo.disarm();
            lock(&self.state).take_over(&place, &found, message.offset());
        }
        lock(&self.state).deliver(&place, &message)
    }

    /// The records as a stream without end.
    pub fn stream(&self) -> impl Stream<Item = Result<Delivered, ReadError>> + '_ {
        stream::unfold(self, |group| async move { Some((group.next().await, group)) })
    }

    /// Commits the offset and the detector's state of each partition, after the last delivered record. Call it when all delivered
    /// records are processed. Records that were delivered and not committed are delivered again after a restart or a rebalance, with
    /// the same verdicts.
    ///
    /// # Errors
    /// `Unavailable` if the broker refuses, for example because the member has lost a partition. Nothing is lost: the partition's
    /// next owner begins at the last commit.
    ///
    /// # Cancel safety
    /// A dropped call may have committed or not.
    pub async fn commit(&self) -> Result<Committed, ReadError> {
        let failed = |error: KafkaError| ReadError::unavailable("could not commit offsets", error);
        let (partitions, offsets, committed) = {
            let state = lock(&self.state);
            let mut committed = Committed { partitions: state.delivered.len(), without_state: Vec::new() };
            let mut partitions = TopicPartitionList::new();
            for (place, offset) in &state.delivered {
                let (topic, partition) = place;
                let mut element = partitions.add_partition(topic.as_str(), *partition);
                element.set_offset(Offset::Offset(*offset)).map_err(failed)?;
                match state.saved(place, self.metadata_room) {
                    Some(metadata) => element.set_metadata(metadata),
                    None => committed.without_state.push(place.clone()),
                }
            }
            (partitions, state.delivered.clone(), committed)
        };
        if offsets.is_empty() {
            return Ok(committed);
        }
        let consumer = Arc::clone(&self.consumer);
        blocking(move || consumer.commit(&partitions, CommitMode::Sync)).await?.map_err(failed)?;
        // Records that were delivered during the commit wait for the next one.
        lock(&self.state).delivered.retain(|place, offset| offsets.get(place) != Some(offset));
        Ok(committed)
    }

    /// The time up to which everything is here, in the partitions of the topic that this member has. `None` if it isn't known
    /// for one of them, or if the member has none. For the whole topic, take the minimum over all members.
    ///
    /// # Errors
    /// `Unavailable` if librdkafka doesn't return the partitions.
    pub fn complete_up_to(&self, topic: &str) -> Result<Option<DateTime<Utc>>, ReadError> {
        let (state, own) = (lock(&self.state), self.own()?);
        let lanes = own.iter().filter(|(of, _)| of == topic);
        Ok(lanes.map(|(_, lane)| state.detector.lane_complete_up_to(topic, *lane)).min().flatten())
    }

    /// The lanes whose last records may be missing, among the partitions that this member has: [`Detector::behind`].
    ///
    /// # Errors
    /// `Unavailable` if librdkafka doesn't return the partitions.
    pub fn behind(&self) -> Result<Vec<Behind>, ReadError> {
        let (mut behind, own) = (lock(&self.state).detector.behind(), self.own()?);
        behind.retain(|it| own.contains(&(it.key.topic.clone(), it.key.lane)));
        Ok(behind)
    }

    /// The lanes of the topics that this member has.
    fn own(&self) -> Result<BTreeSet<(String, u32)>, ReadError> {
        let assigned = self.consumer.assignment();
        let assigned = assigned.map_err(|error| ReadError::unavailable("could not list the partitions", error))?;
        Ok(assigned.elements().into_iter().map(|it| (it.topic().to_owned(), lane(it.partition()))).collect())
    }

    /// Reads the detector: counts and open source gaps. Don't ask it for completeness while other members have lanes of the topic: it
    /// would return nothing.
    pub fn detector<T>(&self, look: impl FnOnce(&Detector) -> T) -> T {
        look(&lock(&self.state).detector)
    }

    /// Accepts the current losses: you know what is missing, and have handled it. See [`Detector::accept_losses`].
    pub fn accept_losses(&self) {
        lock(&self.state).detector.accept_losses();
    }

    /// The state that the last owner of a partition saved.
    async fn restore(&self, place: &Place) -> Result<Found, ReadError> {
        let (consumer, from_earliest) = (Arc::clone(&self.consumer), self.from_earliest);
        let (topic, partition) = place.clone();
        let asked = blocking(move || {
            let mut partitions = TopicPartitionList::new();
            partitions.add_partition(topic.as_str(), partition);
            let committed = consumer.committed_offsets(partitions, ANSWER)?;
            let element = committed.find_partition(topic.as_str(), partition);
            let (offset, metadata) = element
                .map_or((Offset::Invalid, String::new()), |element| (element.offset(), element.metadata().to_owned()));
            let start = if let Offset::Offset(offset) = offset {
                Found::Committed { offset, metadata }
            } else if from_earliest {
                let (low, _) = consumer.fetch_watermarks(topic.as_str(), partition, ANSWER)?;
                Found::Nothing(if low == 0 { Start::Beginning } else { Start::Middle })
            } else {
                Found::Nothing(Start::Middle)
            };
            Ok(start)
        });
        asked.await?.map_err(|error: KafkaError| ReadError::unavailable("could not read committed offsets", error))
    }
}

enum Found {
    Committed {
        offset: i64,
        metadata: String,
    },
    /// The group has no offset for this partition.
    Nothing(Start),
}

impl State {
    fn forget(&mut self, gone: Vec<Place>) -> &mut Self {
        for place in gone {
            if self.known.remove(&place) {
                self.detector.forget_lane(place.0.as_str(), lane(place.1));
            }
            self.delivered.remove(&place);
            self.blinded.remove(&place);
        }
        self
    }

    /// Begins with a partition, at the offset of its first message.
    fn take_over(&mut self, place: &Place, found: &Found, offset: i64) {
        let (topic, lane) = (place.0.as_str(), lane(place.1));
        self.known.insert(place.clone());
        let start = match found {
            Found::Nothing(start) => *start,
            Found::Committed { offset: committed, metadata } => {
                let restored = if offset < *committed { Err(Blinded::SentBack) } else { self.restore(metadata) };
                let Err(blinded) = restored else { return };
                self.blinded.insert(place.clone(), blinded);
                Start::Middle
            }
        };
        self.detector.begin_lane(topic, lane, start);
    }

    /// Restores the state that the last owner saved in the offset's metadata.
    fn restore(&mut self, metadata: &str) -> Result<(), Blinded> {
        let saved = metadata.strip_prefix(MARK).ok_or(Blinded::NotKept)?;
        let saved = BASE64_STANDARD_NO_PAD.decode(saved).map_err(|_other_letters| Blinded::NotKept)?;
        Ok(self.detector.restore_lane(&saved)?)
    }

    fn deliver(&mut self, place: &Place, message: &BorrowedMessage<'_>) -> Result<Delivered, ReadError> {
        let (topic, partition) = place.clone();
        let offset = message.offset();
        self.delivered.insert(place.clone(), offset + 1);
        let record = decode::record(message.payload().unwrap_or_default()).map_err(|error| ReadError::NoRecord {
            place: format!("{topic}[{partition}] at {offset}"),
            reason: error.to_string(),
        })?;
        let verdict = self.detector.observe(topic.as_str(), &record);
        let key = String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned();
        let blinded = self.blinded.remove(place);
        Ok(Delivered { topic, partition, offset, key, record, verdict, blinded })
    }

    fn saved(&self, (topic, partition): &Place, room: usize) -> Option<String> {
        // Base64 makes four letters from three bytes.
        let room = room.saturating_sub(MARK.len()) / 4 * 3;
        let saved = self.detector.save_lane(topic.as_str(), lane(*partition), room).ok()?;
        Some(format!("{MARK}{}", BASE64_STANDARD_NO_PAD.encode(saved)))
    }
}

/// Seeks back to a message that was taken and not delivered.
struct Undo<'a> {
    consumer: &'a StreamConsumer<Member>,
    message: &'a BorrowedMessage<'a>,
    armed: bool,
}

impl Undo<'_> {
    fn disarm(mut self) {
        self.armed = false;
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if self.armed {
            let offset = Offset::Offset(self.message.offset());
            // A partition that was revoked meanwhile has a new reader, which reads the record.
            self.consumer.seek(self.message.topic(), self.message.partition(), offset, Duration::ZERO).ok();
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ReadError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| ReadError::unavailable("could not ask Kafka", error))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The lane of a partition, whose number is never negative.
fn lane(partition: i32) -> u32 {
    u32::try_from(partition).unwrap_or_default()
}
