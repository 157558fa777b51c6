//! The transactional producer: one Kafka transaction for one batch.

use super::client::{self, REQUEST_TIMEOUT};
use super::error::{self, Facts, Fate, Right, Step};
use super::membership::{Fence, Grant, Membership};
use super::registry::{Frame, Frames};
use super::{KafkaSettings, headers, topics};
use crate::sink::cloud_events::PageTexts;
use crate::sink::{CommitError, SinkError};
use bridge_core::ids::ShardId;
use bridge_core::record::batch::{Batch, CheckpointWrite, Message, Target};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::{BaseRecord, NoCustomPartitioner, Producer as _, ProducerContext, ThreadedProducer};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;
use tokio::sync::Notify;

/// The maximum number of repetitions of a call: 15 minutes in all, which is longer than a restart of the cluster and
/// far below a sync token's 24 hours.
const REPEATS: u32 = 90;

/// A call without a timeout of its own counts as hung after twice this time.
const LONGEST_CALL: Duration = Duration::from_secs(20);

/// Messages are enqueued in groups of this size, so that other tasks get their turn.
const RUN: usize = 256;

/// The messages in flight of one transaction.
pub(super) struct Flight {
    /// The number of messages in flight, plus one for the sender until it has sent all.
    outstanding: AtomicUsize,
    failure: Mutex<Option<Undelivered>>,
    landed: Notify,
}

/// The failure of a message, and the topic that it was for.
struct Undelivered {
    error: KafkaError,
    topic: String,
}

impl Flight {
    fn new() -> Arc<Self> {
        Arc::new(Self { outstanding: AtomicUsize::new(1), failure: Mutex::new(None), landed: Notify::new() })
    }

    fn fail(&self, error: KafkaError, topic: &str) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert_with(|| Undelivered { error, topic: topic.to_owned() });
    }

    fn land(&self) {
        if self.outstanding.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.landed.notify_one();
        }
    }

    /// Waits for all deliveries. Returns the first failure.
    async fn wait(&self) -> Result<(), Undelivered> {
        self.land();
        self.landed.notified().await;
        match self.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

/// Takes delivery reports.
pub(super) struct Deliveries;

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        client::log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        client::report(&error, reason);
    }
}

impl ProducerContext<NoCustomPartitioner> for Deliveries {
    type DeliveryOpaque = Arc<Flight>;

    fn delivery(&self, result: &DeliveryResult<'_>, flight: Arc<Flight>) {
        if let Err((error, message)) = result {
            flight.fail(error.clone(), message.topic());
        }
        flight.land();
    }
}

type Inner = ThreadedProducer<Deliveries>;

/// The only producer of the session.
pub(super) struct Producer {
    inner: Arc<Inner>,
    settings: Arc<KafkaSettings>,
}

impl Producer {
    /// Creates the producer, and fences an earlier one with its transactional id. This aborts a transaction that the
    /// predecessor left open.
    pub(super) fn open(settings: Arc<KafkaSettings>, message_bytes: usize) -> Result<Self, SinkError> {
        let mut config = client::producer(&settings, message_bytes);
        let mut shorter = client::SHORTER_TRANSACTIONS_MS.into_iter();
        let mut inner: Inner = client::create(&settings, &config, Deliveries)?;
        for _ in 0..OPEN_REPEATS {
            let Err(error) = inner.init_transactions(REQUEST_TIMEOUT) else {
                return Ok(Self { inner: Arc::new(inner), settings });
            };
            if is_too_long(&inner, &error)
                && let Some(timeout) = shorter.next()
            {
                tracing::info!(
                    timeout_ms = timeout,
                    "transaction timeout too long for the brokers, using a shorter one"
                );
                config.set("transaction.timeout.ms", timeout);
                inner = client::create(&settings, &config, Deliveries)?;
                continue;
            }
            if sort(&inner, Step::Init, &error) != Fate::Repeat {
                return Err(error::setup("initialising Kafka transactions", error));
            }
            tracing::warn!(%error, "initialising Kafka transactions not answered, retrying");
        }
        Err(SinkError::unavailable("initialising Kafka transactions", "no answer from the cluster"))
    }

    /// Keeps librdkafka's client alive: dropping the last one waits until the client has closed.
    pub(super) fn keep_alive(&self) -> Arc<dyn Send + Sync> {
        Arc::clone(&self.inner) as Arc<dyn Send + Sync>
    }

    /// The number of a topic's partitions; `None` if it doesn't exist. The call also tells the producer about new
    /// topics: otherwise it would refuse to write to them for minutes.
    pub(super) async fn partitions(&self, topic: &str) -> Result<Option<NonZeroU32>, SinkError> {
        let inner = Arc::clone(&self.inner);
        let metadata = topics::metadata(topic, move |name| inner.client().fetch_metadata(Some(name), REQUEST_TIMEOUT));
        Ok(topics::layout(topic, &metadata.await?)?.and_then(|layout| NonZeroU32::new(layout.partitions)))
    }

    /// Commits one batch, all or nothing.
    pub(super) async fn commit(
        &self,
        batch: &Batch,
        membership: &Arc<Membership>,
        frames: &Frames,
    ) -> Result<(), CommitError> {
        let grant = membership.grant(&batch.shards()).map_err(|missing| error::aborted(Step::Begin, missing))?;
        if let Err(error) = self.inner.begin_transaction() {
            return Err(match sort(&self.inner, Step::Begin, &error) {
                Fate::Fenced => error::fenced(Step::Begin, error),
                Fate::Repeat | Fate::Abort | Fate::AbortRefused | Fate::Fatal => error::fatal(Step::Begin, error),
            });
        }
        let delivered = self.deliver(batch, frames).await;
        let (inner, membership) = (Arc::clone(&self.inner), Arc::clone(membership));
        let finish = move || Transaction { producer: &inner, membership: &membership, grant: &grant }.finish(delivered);
        match tokio::task::spawn_blocking(finish).await {
            Ok(outcome) => outcome,
            Err(error) => Err(CommitError::Unknown(SinkError::unavailable("committing a Kafka transaction", error))),
        }
    }

    /// Sends all messages and waits until each has an outcome, even if one couldn't be sent. An abort drops messages that
    /// are to be sent again, and a copy that is still on its way would arrive after the abort, as a part of the next
    /// transaction.
    async fn deliver(&self, batch: &Batch, frames: &Frames) -> Result<(), Undelivered> {
        let flight = Flight::new();
        let sent = self.send_all(batch, frames, &flight).await;
        let landed = flight.wait().await;
        sent.and(landed)
    }

    async fn send_all(&self, batch: &Batch, frames: &Frames, flight: &Arc<Flight>) -> Result<(), Undelivered> {
        let mut texts = PageTexts::default();
        for run in batch.messages.chunks(RUN) {
            for message in run {
                self.send_message(message, frames, &mut texts, flight).await?;
            }
            tokio::task::yield_now().await;
        }
        for run in batch.checkpoints.chunks(RUN) {
            for write in run {
                self.send_checkpoint(write, flight).await?;
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn send_message(
        &self,
        message: &Message,
        frames: &Frames,
        texts: &mut PageTexts,
        flight: &Arc<Flight>,
    ) -> Result<(), Undelivered> {
        let config = &self.settings.config;
        let (topic, partition) = match &message.target {
            Target::Lane { topic, partition } | Target::State { topic, partition } => (topic.as_str(), *partition),
            Target::DeadLetter => (config.dead_letter_topic.as_str(), 0),
            Target::RefreshLog(part) => return self.send_logged(*part, message, flight).await,
        };
        let frame = frames.of(topic);
        let value = Frame::around(frame, &message.value);
        let mut record = BaseRecord::with_opaque_to(topic, Arc::clone(flight))
            .partition(i32::try_from(partition).unwrap_or(i32::MAX))
            .key(message.key.as_str())
            .payload(value.as_ref())
            .headers(headers::headers(
                message,
                &config.topic,
                &self.settings.deployment,
                frame.map(|frame| frame.schema.as_str()),
                texts,
            ));
        if message.is_removal() {
            record.payload = None;
        }
        self.send(record, flight).await
    }

    async fn send_logged(&self, part: ShardId, message: &Message, flight: &Arc<Flight>) -> Result<(), Undelivered> {
        let Some(topic) = &self.settings.refresh_topic else {
            let error = KafkaError::MessageProduction(RDKafkaErrorCode::UnknownTopic);
            return Err(Undelivered { error, topic: String::new() });
        };
        let record = BaseRecord::with_opaque_to(topic, Arc::clone(flight))
            .partition(client::partition_of(part))
            .key(message.key.as_str())
            .payload(message.value.as_slice());
        self.send(record, flight).await
    }

    async fn send_checkpoint(&self, write: &CheckpointWrite, flight: &Arc<Flight>) -> Result<(), Undelivered> {
        let mut record = BaseRecord::with_opaque_to(&self.settings.config.checkpoint_topic, Arc::clone(flight))
            .partition(client::partition_of(write.shard))
            .key(write.key.as_str());
        record.payload = write.value.as_deref();
        self.send(record, flight).await
    }

    async fn send<P: rdkafka::message::ToBytes + ?Sized>(
        &self,
        mut record: BaseRecord<'_, str, P, Arc<Flight>>,
        flight: &Arc<Flight>,
    ) -> Result<(), Undelivered> {
        flight.outstanding.fetch_add(1, Ordering::AcqRel);
        loop {
            match self.inner.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => record = back,
                Err((error, record)) => {
                    flight.land();
                    return Err(Undelivered { error, topic: record.topic.to_owned() });
                }
            }
            // Sent in the same order, as soon as the brokers have taken some.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// Repetitions of a call when a session opens: about a minute in all.
const OPEN_REPEATS: u32 = 6;

/// Whether the brokers' `transaction.max.timeout.ms` is below the client's timeout.
fn is_too_long(producer: &Inner, error: &KafkaError) -> bool {
    let fatal = producer.client().fatal_error().map(|(code, _)| code);
    fatal.or_else(|| error.rdkafka_error_code()) == Some(RDKafkaErrorCode::InvalidTransactionTimeout)
}

/// What is to be done; a client at its end answers all calls alike, and keeps the cause apart.
fn sort(producer: &Inner, step: Step, error: &KafkaError) -> Fate {
    let cause = producer.client().fatal_error().map(|(code, _)| code);
    error::sort(step, Facts::new(error, cause))
}

/// A transaction whose messages are sent. Its calls block.
struct Transaction<'a> {
    producer: &'a Arc<Inner>,
    membership: &'a Membership,
    grant: &'a Grant,
}

impl Transaction<'_> {
    fn finish(&self, delivered: Result<(), Undelivered>) -> Result<(), CommitError> {
        if let Err(Undelivered { error, topic }) = delivered {
            return Err(self.give_up(Step::Deliver, &Right::write(&topic), error));
        }
        // After the messages, never before: the shard's next owner waits for transactions that began before it read,
        // and the group rejects those that add its offsets later.
        self.send_offsets()?;
        self.settle();
        // It has what it needs: a right that is missing was missed before.
        let right = Right::write(&self.membership.checkpoint_topic);
        self.repeat(Step::Commit, &right, || Ok(self.producer.commit_transaction(REQUEST_TIMEOUT)))
    }

    fn send_offsets(&self) -> Result<(), CommitError> {
        let Some(fence) = self.membership.fence(self.grant) else {
            self.abort()?;
            return Err(error::aborted(Step::SendOffsets, "shards were given up meanwhile"));
        };
        let fence = Arc::new(fence);
        let right = Right::read(&self.membership.checkpoint_topic);
        self.repeat(Step::SendOffsets, &right, || self.send_offsets_once(&fence))
    }

    /// librdkafka 2.12 waits forever if it remembers a group's coordinator that the cluster no longer has (its issues
    /// 5456 and 5511), as when a broker is away. Then the call and its client are left alone. The next session's client
    /// has the same transactional id, which ends the transaction.
    fn send_offsets_once(&self, fence: &Arc<Fence>) -> Result<KafkaResult<()>, CommitError> {
        let (answer_to, answer) = mpsc::sync_channel(1);
        let (producer, fence) = (Arc::clone(self.producer), Arc::clone(fence));
        let call = move || {
            let answer = producer.send_offsets_to_transaction(&fence.offsets, &fence.member, REQUEST_TIMEOUT);
            // The receiver may not wait for a late answer.
            drop(answer_to.send(answer));
        };
        let hung = || error::hung(Step::SendOffsets);
        std::thread::Builder::new().name("kafka-offsets".to_owned()).spawn(call).map_err(|_exhausted| hung())?;
        answer.recv_timeout(LONGEST_CALL).map_err(|_late| hung())
    }

    /// Waits until the last delivery report is counted. A call that finds messages in flight sleeps for 100 ms at a
    /// time, and the last delivery report is counted only after our callback has returned.
    fn settle(&self) {
        let mut left = 2_000;
        while self.producer.in_flight_count() > 0 && left > 0 {
            std::thread::park_timeout(Duration::from_micros(50));
            left -= 1;
        }
    }

    fn repeat(
        &self,
        step: Step,
        right: &Right,
        call: impl Fn() -> Result<KafkaResult<()>, CommitError>,
    ) -> Result<(), CommitError> {
        let mut repeats = 0;
        loop {
            let Err(error) = call()? else { return Ok(()) };
            if sort(self.producer, step, &error) != Fate::Repeat {
                return Err(self.give_up(step, right, error));
            }
            repeats += 1;
            if repeats >= REPEATS {
                return Err(error::unknown(step, error));
            }
            tracing::warn!(%error, ?step, repeats, "transaction step not answered by Kafka, retrying");
        }
    }

    /// Ends a transaction that failed, perhaps because this right is missing.
    fn give_up(&self, step: Step, right: &Right, error: KafkaError) -> CommitError {
        let fate = sort(self.producer, step, &error);
        match fate {
            Fate::Fenced => return error::fenced(step, error),
            Fate::Fatal => return error::fatal(step, error),
            Fate::Repeat | Fate::Abort | Fate::AbortRefused => {}
        }
        if let Err(failed) = self.abort() {
            return failed;
        }
        match fate {
            Fate::AbortRefused => error::refused(step, right, error),
            Fate::Repeat | Fate::Abort | Fate::Fenced | Fate::Fatal => error::aborted(step, error),
        }
    }

    fn abort(&self) -> Result<(), CommitError> {
        for repeats in 1..=REPEATS {
            let Err(error) = self.producer.abort_transaction(REQUEST_TIMEOUT) else { return Ok(()) };
            match sort(self.producer, Step::Abort, &error) {
                Fate::Repeat => tracing::warn!(%error, repeats, "transaction abort not answered by Kafka, retrying"),
                Fate::Fenced => return Err(error::fenced(Step::Abort, error)),
                Fate::Abort | Fate::AbortRefused | Fate::Fatal => return Err(error::fatal(Step::Abort, error)),
            }
        }
        // Not committed, and it never will be: the commit wasn't requested.
        Err(CommitError::Fatal(SinkError::unavailable("aborting a Kafka transaction", "no answer from the cluster")))
    }
}
