//! Reads the checkpoints of assigned shards, up to the last commit.

use super::KafkaSettings;
use super::client::{self, Logs, REQUEST_TIMEOUT};
use super::error::{self, Right};
use super::producer::Producer;
use crate::clock::Clock;
use crate::config::KafkaGroupProtocol;
use crate::sink::SinkError;
use bridge_core::checkpoint::last_owner;
use bridge_core::ids::ShardId;
use bridge_core::record::batch::StoredCheckpoint;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak, mpsc};
use std::time::Duration;

/// The pause between two checks of an open transaction, and after an error.
const PAUSE: Duration = Duration::from_millis(20);

/// The number of checks, of about 25 ms each, in which an open transaction may end on its own. A live predecessor has
/// finished its commits before it released a shard: only their markers are missing. A KIP-848 group doesn't list its
/// live members, so the number is higher for it.
const fn looks_of_grace(protocol: KafkaGroupProtocol) -> u32 {
    match protocol {
        KafkaGroupProtocol::Classic => 4,
        KafkaGroupProtocol::Consumer => 20,
    }
}

/// The number of checks after which crashed replicas are looked for again: about 5 s.
const LOOKS_PER_SEARCH: u32 = 250;

/// The time between two log lines about an open transaction.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// An open transaction that lasts longer than this hangs: twice the time after which brokers abort one.
const HANGING: Duration = Duration::from_secs(120);

/// Identifies one reading. The reading ends early once all other copies of its ticket are dropped.
#[derive(Clone, Debug)]
pub(super) struct Ticket(Arc<()>);

impl PartialEq for Ticket {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// The result of a reading, for all of its shards.
pub(super) struct Restored {
    pub(super) ticket: Ticket,
    pub(super) outcome: Result<Vec<RestoredShard>, SinkError>,
}

/// The checkpoint of one shard.
pub(super) struct RestoredShard {
    pub(super) shard: ShardId,
    pub(super) checkpoint: StoredCheckpoint,
    /// The high watermark up to which it was read.
    pub(super) end: i64,
}

/// Starts to read on a thread of its own. If the ticket is dropped, it doesn't answer.
pub(super) fn start(settings: Arc<KafkaSettings>, shards: Vec<ShardId>, to: &mpsc::Sender<Restored>) -> Ticket {
    let ticket = Ticket(Arc::new(()));
    let (wanted, answer_to) = (Arc::downgrade(&ticket.0), to.clone());
    let work = move || {
        let (reading, outcome) = match Reading::new(&settings, &shards, &wanted) {
            Ok(reading) => {
                let outcome = reading.run();
                (Some(reading), outcome)
            }
            Err(error) => (None, Err(error)),
        };
        // The result of a withdrawn reading is dropped, and so is one of a session that ended.
        if let (Some(ticket), Some(outcome)) = (wanted.upgrade(), outcome.transpose()) {
            answer_to.send(Restored { ticket: Ticket(ticket), outcome }).unwrap_or_default();
        }
        // Closing the clients takes time.
        drop(reading);
    };
    if let Err(error) = std::thread::Builder::new().name("kafka-restore".to_owned()).spawn(work) {
        let outcome = Err(SinkError::unavailable("starting to read checkpoints", error));
        to.send(Restored { ticket: ticket.clone(), outcome }).unwrap_or_default();
    }
    ticket
}

struct Reading<'a> {
    settings: &'a KafkaSettings,
    shards: &'a [ShardId],
    wanted: &'a Weak<()>,
    committed: BaseConsumer<Logs>,
    uncommitted: BaseConsumer<Logs>,
}

type Ends = BTreeMap<ShardId, i64>;
type Checkpoints = BTreeMap<ShardId, StoredCheckpoint>;

impl<'a> Reading<'a> {
    fn new(settings: &'a KafkaSettings, shards: &'a [ShardId], wanted: &'a Weak<()>) -> Result<Self, SinkError> {
        let (committed, uncommitted) = (client::committed_reader(settings)?, client::uncommitted_reader(settings)?);
        Ok(Self { settings, shards, wanted, committed, uncommitted })
    }

    /// The checkpoints; `None` if the reading was withdrawn.
    fn run(&self) -> Result<Option<Vec<RestoredShard>>, SinkError> {
        // The ends of the predecessors' writes, committed or not.
        let action = "reading the high watermarks of the checkpoint topic";
        let Some(ends) = self.last_offsets(&self.uncommitted, action)? else { return Ok(None) };
        if !self.wait_for_open_transactions(&ends)? {
            return Ok(None);
        }
        let Some(checkpoints) = self.read(&self.committed, self.shards)? else { return Ok(None) };
        let restored: Vec<_> = checkpoints
            .into_iter()
            .map(|(shard, checkpoint)| RestoredShard { shard, checkpoint, end: ends.get(&shard).copied().unwrap_or(0) })
            .collect();
        let entries: usize = restored.iter().map(|shard| shard.checkpoint.len()).sum();
        tracing::info!(shards = restored.len(), entries, "checkpoints read");
        Ok(Some(restored))
    }

    fn is_wanted(&self) -> bool {
        self.wanted.strong_count() > 0
    }

    /// Waits until all transactions that began before the reading of the high watermarks are decided.
    fn wait_for_open_transactions(&self, ends: &Ends) -> Result<bool, SinkError> {
        let grace = looks_of_grace(self.settings.config.group_protocol);
        let (mut looks, mut ended) = (0_u32, BTreeSet::new());
        let (clock, mut log_at) = (Clock::start(), Duration::ZERO);
        loop {
            let action = "reading the last stable offsets of the checkpoint topic";
            let Some(stable) = self.last_offsets(&self.committed, action)? else { return Ok(false) };
            let open: Vec<_> = ends
                .iter()
                .filter(|(shard, end)| stable.get(shard).is_none_or(|stable| stable < *end))
                .map(|(shard, _)| *shard)
                .collect();
            if open.is_empty() {
                return Ok(true);
            }
            if looks % LOOKS_PER_SEARCH == grace {
                let waited = clock.now().monotonic;
                if waited >= log_at {
                    self.log_open(&open, waited);
                    log_at = waited + LOG_INTERVAL;
                }
                self.end_transactions_of_the_dead(&open, &mut ended)?;
            }
            looks += 1;
            std::thread::park_timeout(PAUSE);
        }
    }

    fn log_open(&self, open: &[ShardId], waited: Duration) {
        let (shards, seconds) = (open.len(), waited.as_secs());
        if waited < HANGING {
            tracing::info!(shards, seconds, shard_ids = ?open, "waiting for an open transaction of an earlier owner");
        } else {
            tracing::error!(topic = self.settings.config.checkpoint_topic, shards, seconds, partitions = ?open,
                hint = "docs/operations/checkpoints.md describes how to find and abort a hanging transaction",
                "open transaction hangs, shards wait");
        }
    }

    /// Ends the open transactions of crashed replicas. The coordinator aborts a producer's open transaction when
    /// another producer begins with its transactional id. Otherwise it would stay open for `transaction.timeout.ms`.
    /// The log contains the last writer, committed or not. A replica that is still in the group isn't touched, because
    /// this would end its session, too.
    fn end_transactions_of_the_dead(&self, open: &[ShardId], ended: &mut BTreeSet<String>) -> Result<(), SinkError> {
        let Some(written) = self.read(&self.uncommitted, open)? else { return Ok(()) };
        let alive = client::members(&self.uncommitted, self.settings);
        let owners: BTreeSet<_> = written.values().filter_map(last_owner).collect();
        for replica in owners {
            let is_us = replica == self.settings.replica;
            if !is_us && !alive.contains(&client::client_id(&replica)) && ended.insert(replica.clone()) {
                end_transaction(KafkaSettings { replica, ..self.settings.clone() });
            }
        }
        Ok(())
    }

    /// The last offsets that the client can read.
    fn last_offsets(&self, reader: &BaseConsumer<Logs>, action: &str) -> Result<Option<Ends>, SinkError> {
        while self.is_wanted() {
            let found = reader
                .offsets_for_times(self.partitions(self.shards, Offset::End)?, REQUEST_TIMEOUT)
                .and_then(|found| found.elements().iter().map(last_offset).collect::<Result<Ends, _>>());
            match found {
                Ok(ends) => return Ok(Some(ends)),
                Err(error) => self.pause_after(action, error)?,
            }
        }
        Ok(None)
    }

    /// Everything that the reader can read: the newest value of each key.
    fn read(&self, reader: &BaseConsumer<Logs>, shards: &[ShardId]) -> Result<Option<Checkpoints>, SinkError> {
        let action = "reading checkpoints";
        let partitions = self.partitions(shards, Offset::Beginning)?;
        reader.assign(&partitions).map_err(|error| error::setup(action, error))?;
        let mut checkpoints: Checkpoints = shards.iter().map(|shard| (*shard, StoredCheckpoint::new())).collect();
        let mut unfinished: BTreeSet<_> = shards.iter().copied().collect();
        while !unfinished.is_empty() {
            if !self.is_wanted() {
                return Ok(None);
            }
            match reader.poll(Duration::from_millis(100)) {
                None => {}
                Some(Ok(message)) => {
                    let shard = shard_of(message.partition());
                    if let Some(checkpoint) = shard.and_then(|shard| checkpoints.get_mut(&shard)) {
                        apply(checkpoint, &message);
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    if let Some(shard) = shard_of(partition) {
                        unfinished.remove(&shard);
                    }
                }
                Some(Err(error)) => self.pause_after(action, error)?,
            }
        }
        Ok(Some(checkpoints))
    }

    /// Waits after an error that may pass. An error that the operator has to fix, or that another login may fix, ends the
    /// session.
    fn pause_after(&self, action: &str, error: KafkaError) -> Result<(), SinkError> {
        let error = error::passing(action, &Right::read(&self.settings.config.checkpoint_topic), error)?;
        tracing::warn!(%error, "reading checkpoints failed, retrying");
        std::thread::park_timeout(PAUSE * 10);
        Ok(())
    }

    fn partitions(&self, shards: &[ShardId], offset: Offset) -> Result<TopicPartitionList, SinkError> {
        let mut partitions = TopicPartitionList::with_capacity(shards.len());
        for shard in shards {
            partitions
                .add_partition_offset(&self.settings.config.checkpoint_topic, client::partition_of(*shard), offset)
                .map_err(|error| error::setup("naming partitions", error))?;
        }
        Ok(partitions)
    }
}

/// Ends a transaction, on a thread of its own: the coordinator aborts at once, but takes time to answer.
fn end_transaction(settings: KafkaSettings) {
    let replica = settings.replica.clone();
    let work = move || match Producer::open(Arc::new(settings), client::BATCH_BYTES as usize) {
        Ok(_) => tracing::info!(replica, "open transaction of an earlier owner aborted"),
        Err(error) => tracing::warn!(replica, %error, "open transaction not aborted, waiting for its timeout"),
    };
    if let Err(error) = std::thread::Builder::new().name("kafka-successor".to_owned()).spawn(work) {
        tracing::warn!(%error, "open transaction not aborted, waiting for its timeout");
    }
}

fn last_offset(
    element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>,
) -> Result<(ShardId, i64), KafkaError> {
    element.error()?;
    match (shard_of(element.partition()), element.offset()) {
        (Some(shard), Offset::Offset(offset)) => Ok((shard, offset)),
        // There is no answer for this partition: ask again.
        _ => Err(KafkaError::MetadataFetch(RDKafkaErrorCode::OffsetNotAvailable)),
    }
}

/// Applies the next record of a shard's partition. One whose key isn't text is foreign, and can't be mistaken for an entry.
pub(super) fn apply(checkpoint: &mut StoredCheckpoint, message: &impl Message) {
    let Some(key) = message.key().and_then(|key| std::str::from_utf8(key).ok()) else {
        let (topic, partition, offset) = (message.topic(), message.partition(), message.offset());
        tracing::warn!(
            topic,
            partition,
            offset,
            hint = "only the bridge may write to the checkpoint topic",
            "foreign record in the checkpoint topic ignored"
        );
        return;
    };
    match message.payload() {
        Some(value) => drop(checkpoint.insert(key.to_owned(), value.to_vec())),
        None => drop(checkpoint.remove(key)),
    }
}

fn shard_of(partition: i32) -> Option<ShardId> {
    u32::try_from(partition).ok().map(ShardId)
}
