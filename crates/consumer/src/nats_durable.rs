//! A durable JetStream consumer that knows whether it has seen everything, also after a restart.
//!
//! JetStream keeps a durable consumer's position. A key-value bucket keeps the detector's state.
//! [`NatsDurable::commit`] first writes the state and then acknowledges. After a crash between the two, redelivered records are
//! recognised as duplicates, and a record that wasn't processed never is.
//!
//! Only one instance may read as one durable consumer, because acknowledging a record acknowledges all records before it, in all
//! instances. [`NatsDurable::open`] requests redelivery of all records that the previous instance got and didn't commit, before
//! anything else. If a delivery was lost, or went to another instance, the reader ends with an error: open it again.

use super::nats::{info, is_trimmed, next_message};
use super::record::Record;
use super::{Blinded, ReadError, decode};
use crate::detect::{Detector, Limits, Start, StateError, Verdict, View};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::kv::{self, Store};
use async_nats::jetstream::stream::Stream;
use async_nats::jetstream::{self, Message};
use bridge_contract::Topic;
use bridge_contract::token::token;
use futures_util::stream;
use std::fmt;
use std::time::Duration;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The bucket with the detectors' states. Each durable consumer has a key `STREAM.DURABLE`, where STREAM is escaped as a token of subjects.
pub const BUCKET: &str = "asana-event-bridge-consumers";

/// What to read, and the name of the durable consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DurableOptions {
    /// The name of the JetStream stream.
    pub stream: String,
    /// The first tokens of every subject, such as `asana`.
    pub prefix: String,
    /// The durable consumer's name: letters, digits, `-` and `_`.
    pub durable: String,
    /// Single streams to read, as `account/gid`. Empty means whole lanes. Several streams need server version 2.10.
    pub streams: Vec<String>,
    /// Where a new durable consumer begins.
    pub from: super::ReadFrom,
    /// The time within which a delivered record must be committed. After it, the server delivers the record again. Default: 5 minutes.
    pub ack_wait: Duration,
    /// The maximum number of records that are delivered and not committed. Default: 10,000.
    pub max_uncommitted: i64,
}

impl DurableOptions {
    /// Reads whole lanes, from the start, with the defaults.
    #[must_use]
    pub fn new(stream: &str, prefix: &str, durable: &str) -> Self {
        Self {
            stream: stream.to_owned(),
            prefix: prefix.to_owned(),
            durable: durable.to_owned(),
            streams: Vec::new(),
            from: super::ReadFrom::Start,
            ack_wait: Duration::from_secs(300),
            max_uncommitted: 10_000,
        }
    }

    /// The key of the state. It includes the JetStream stream, because a durable consumer's name is unique only within its stream.
    fn key(&self) -> String {
        format!("{}.{}", token(&self.stream), self.durable)
    }

    /// The subjects that the consumer filters by.
    fn subjects(&self) -> Vec<String> {
        let prefix = &self.prefix;
        let of = |stream: &String| {
            let tokens: Vec<_> = stream.splitn(2, '/').map(token).collect();
            format!("{prefix}.lane.*.{}.>", tokens.join("."))
        };
        if self.streams.is_empty() { vec![format!("{prefix}.lane.>")] } else { self.streams.iter().map(of).collect() }
    }
}

/// A record, the detector's verdict about it, and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivered {
    /// The record's subject.
    pub subject: String,
    /// The record's sequence in the JetStream stream.
    pub sequence: u64,
    /// The number of deliveries of the record. It is greater than 1 if the record wasn't committed after an earlier delivery.
    pub deliveries: i64,
    /// The decoded record.
    pub record: Record,
    /// The detector's verdict: by lane, or by stream if single streams are read.
    pub verdict: Verdict,
    /// Only for the first record: why the detector has no state for the records that were committed before it.
    pub blinded: Option<Blinded>,
}

/// Reads lanes or streams as a durable pull consumer.
pub struct NatsDurable {
    messages: pull::Stream,
    states: Store,
    durable: String,
    key: String,
    topic: Topic,
    detector: Detector,
    /// The last message. Acknowledging it acknowledges all messages before it.
    last: Option<Message>,
    /// The number of deliveries, as the consumer counts them.
    deliveries: u64,
    /// A reason that wasn't delivered yet.
    blinded: Option<Blinded>,
}

impl fmt::Debug for NatsDurable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsDurable")
            .field("durable", &self.durable)
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

impl NatsDurable {
    /// Creates the durable consumer if it doesn't exist, and restores its detector. If records were delivered and not
    /// acknowledged, the consumer is recreated after the last acknowledged record. Otherwise these records would come after newer ones,
    /// when `ack_wait` is over, and the first commit would acknowledge them unread. No other instance may read as this consumer.
    ///
    /// # Errors
    /// `Unavailable` if the server doesn't answer, has no such JetStream stream, or has a consumer of this name that
    /// reads something else.
    ///
    /// # Cancel safety
    /// It may be called again after it was dropped.
    pub async fn open(client: async_nats::Client, options: &DurableOptions) -> Result<Self, ReadError> {
        let context = jetstream::new(client);
        let view = if options.streams.is_empty() { View::ByLane } else { View::ByStream };
        let bucket = kv::Config { bucket: BUCKET.to_owned(), history: 1, ..kv::Config::default() };
        let states = match context.get_key_value(BUCKET).await {
            Ok(states) => states,
            Err(_not_there) => context
                .create_key_value(bucket)
                .await
                .map_err(|error| ReadError::unavailable(format!("could not create the bucket {BUCKET}"), error))?,
        };
        let stream = context.get_stream(&options.stream).await.map_err(|error| {
            ReadError::unavailable(format!("could not find the JetStream stream {}", options.stream), error)
        })?;
        let (consumer, was_committed) = consumer(&stream, &states, options).await?;
        let key = options.key();
        let saved = states
            .get(key.as_str())
            .await
            .map_err(|error| ReadError::unavailable("could not read the detector's state", error))?;
        let fresh = |start| Detector::new(view, start, Limits::default());
        let (detector, blinded) = match saved.map(|saved| Detector::restore(&saved, Limits::default())) {
            Some(Ok(detector)) if detector.view() == view => (detector, None),
            Some(Ok(_)) => (fresh(Start::Middle), Some(StateError::View.into())),
            Some(Err(error)) => (fresh(Start::Middle), Some(error.into())),
            None if was_committed => (fresh(Start::Middle), Some(Blinded::NotKept)),
            // Nothing was ever committed, and nothing is gone: the lanes begin here.
            None if options.from == super::ReadFrom::Start && !is_trimmed(&stream, &options.prefix).await? => {
                (fresh(Start::Beginning), None)
            }
            None => (fresh(Start::Middle), None),
        };
        let deliveries = consumer.cached_info().delivered.consumer_sequence;
        let messages = consumer
            .messages()
            .await
            .map_err(|error| ReadError::unavailable("could not read from JetStream", error))?;
        let (durable, topic) = (options.durable.clone(), Topic::from(options.prefix.as_str()));
        Ok(Self { messages, states, durable, key, topic, detector, last: None, deliveries, blinded })
    }

    /// The next record of the JetStream stream.
    ///
    /// # Errors
    /// `NoRecord` for a message that isn't a record: the next call continues after it. `Unavailable` for other errors, also if a delivery
    /// was lost: open the reader again.
    ///
    /// # Cancel safety
    /// If it is dropped before it returns, it has taken no record.
    pub async fn next(&mut self) -> Result<Delivered, ReadError> {
        let message = next_message(&mut self.messages).await?;
        let info = info(&message)?;
        if info.consumer_sequence != self.deliveries + 1 {
            // Acknowledging this message would acknowledge the lost one, too.
            let (found, wanted) = (info.consumer_sequence, self.deliveries + 1);
            let why = format!("this is delivery {found}, and {wanted} wasn't seen: open the reader again");
            return Err(ReadError::unavailable("could not read all from JetStream", why));
        }
        self.deliveries += 1;
        let (sequence, deliveries, subject) = (info.stream_sequence, info.delivered, message.subject.to_string());
        let decoded = decode::record(&message.payload);
        self.last = Some(message);
        let record = decoded.map_err(|error| ReadError::NoRecord {
            place: format!("{subject} at {sequence}"),
            reason: error.to_string(),
        })?;
        let verdict = self.detector.observe(self.topic.as_str(), &record);
        Ok(Delivered { subject, sequence, deliveries, record, verdict, blinded: self.blinded.take() })
    }

    /// The records as a stream without end. To commit in between, call [`next`](Self::next) instead.
    pub fn stream(&mut self) -> impl futures_util::Stream<Item = Result<Delivered, ReadError>> + '_ {
        stream::unfold(self, |reader| async move {
            let next = reader.next().await;
            Some((next, reader))
        })
    }

    /// Saves the detector's state, and acknowledges all delivered records. Call it when all delivered records are processed.
    ///
    /// # Errors
    /// `Unavailable` if the server doesn't confirm both. Then delivered records may come again.
    ///
    /// # Cancel safety
    /// A dropped call may have committed or not. The next call commits.
    pub async fn commit(&mut self) -> Result<(), ReadError> {
        let Some(last) = &self.last else { return Ok(()) };
        self.states
            .put(self.key.as_str(), self.detector.save().into())
            .await
            .map_err(|error| ReadError::unavailable("could not keep the detector's state", error))?;
        last.double_ack().await.map_err(|error| ReadError::unavailable("could not acknowledge", error))?;
        self.last = None;
        Ok(())
    }

    /// Reads the detector: counts, completeness, open source gaps.
    #[must_use]
    pub fn detector(&self) -> &Detector {
        &self.detector
    }

    /// Accepts the current losses: you know what is missing, and have handled it. See [`Detector::accept_losses`].
    pub fn accept_losses(&mut self) {
        self.detector.accept_losses();
    }
}

/// The durable consumer, without unacknowledged deliveries, and whether anything was ever acknowledged.
async fn consumer(
    stream: &Stream,
    states: &Store,
    options: &DurableOptions,
) -> Result<(PullConsumer, bool), ReadError> {
    let durable = options.durable.as_str();
    let failed = |error| ReadError::unavailable(format!("could not create the consumer {durable}"), error);
    // The start of the recreated consumer is stored until it exists. Otherwise a crash would make it begin from the start, or from now.
    let key = format!("{}.recreate", options.key());
    let not_kept = |error: BoxError| ReadError::unavailable("could not keep the consumer's place", error);
    let stored = states.get(key.as_str()).await.map_err(|error| not_kept(error.into()))?;
    let mut first: Option<u64> = stored.and_then(|text| std::str::from_utf8(&text).ok()?.parse().ok());
    let mut consumer = stream.get_or_create_consumer(durable, config(options, first)).await.map_err(failed)?;
    let info = consumer.cached_info();
    let was_committed = info.ack_floor.consumer_sequence > 0;
    if info.num_ack_pending > 0 {
        let unread = info.ack_floor.stream_sequence.saturating_add(1);
        states.put(key.as_str(), unread.to_string().into()).await.map_err(|error| not_kept(error.into()))?;
        stream.delete_consumer(durable).await.map_err(failed)?;
        first = Some(unread);
        consumer = stream.create_consumer(config(options, first)).await.map_err(failed)?;
    }
    if first.is_some() {
        states.delete(key.as_str()).await.map_err(|error| not_kept(error.into()))?;
    }
    Ok((consumer, was_committed))
}

/// The consumer's configuration. `first` is the sequence to begin with; it overrides the options.
fn config(options: &DurableOptions, first: Option<u64>) -> pull::Config {
    let subjects = options.subjects();
    let (filter_subject, filter_subjects) = match <[String; 1]>::try_from(subjects) {
        Ok([one]) => (one, Vec::new()),
        Err(several) => (String::new(), several),
    };
    pull::Config {
        durable_name: Some(options.durable.clone()),
        deliver_policy: match (first, options.from) {
            (Some(start_sequence), _) => DeliverPolicy::ByStartSequence { start_sequence },
            (None, super::ReadFrom::Start) => DeliverPolicy::All,
            (None, super::ReadFrom::Now) => DeliverPolicy::New,
        },
        ack_policy: AckPolicy::All,
        ack_wait: options.ack_wait,
        max_ack_pending: options.max_uncommitted,
        filter_subject,
        filter_subjects,
        ..pull::Config::default()
    }
}
