//! A durable JetStream consumer that knows whether it has seen everything, also after a restart.
//!
//! JetStream keeps a durable consumer's position, and a key-value bucket beside it what the detector knows.
//! [`NatsDurable::commit`] writes the state first and then acknowledges: after a crash between the two, what is delivered again is known as
//! duplicate, and what wasn't processed never is.
//!
//! One instance reads as one durable consumer: to acknowledge a record is to acknowledge all before it, whoever has them. What the
//! instance before had and didn't commit, [`NatsDurable::open`] has delivered again at once, before anything else. A delivery that
//! was lost on its way, or went to somebody else, ends the reader: open it anew.

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

/// The bucket with the detectors' states, a key for each durable consumer: `STREAM.DURABLE`, the former as a token of subjects.
pub const BUCKET: &str = "asana-event-bridge-consumers";

/// What is read, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DurableOptions {
    /// The JetStream stream.
    pub stream: String,
    /// The first tokens of every subject, such as `asana`.
    pub prefix: String,
    /// The durable consumer's name: letters, digits, `-` and `_`.
    pub durable: String,
    /// Single streams, as `account/gid`; none for whole lanes. The server needs version 2.10 for several.
    pub streams: Vec<String>,
    /// Where a new consumer begins.
    pub from: super::From,
    /// How long what was delivered may take until it is committed; then it is delivered again. Default: 5 minutes.
    pub ack_wait: Duration,
    /// How many records may be delivered and not committed. Default: 10,000.
    pub max_uncommitted: i64,
}

impl DurableOptions {
    /// Whole lanes, from the start, with the defaults.
    #[must_use]
    pub fn new(stream: &str, prefix: &str, durable: &str) -> Self {
        Self {
            stream: stream.to_owned(),
            prefix: prefix.to_owned(),
            durable: durable.to_owned(),
            streams: Vec::new(),
            from: super::From::Start,
            ack_wait: Duration::from_secs(300),
            max_uncommitted: 10_000,
        }
    }

    /// Of the state: a durable consumer's name is one of its JetStream stream only.
    fn key(&self) -> String {
        format!("{}.{}", token(&self.stream), self.durable)
    }

    /// What the consumer filters by.
    fn subjects(&self) -> Vec<String> {
        let prefix = &self.prefix;
        let of = |stream: &String| {
            let tokens: Vec<_> = stream.splitn(2, '/').map(token).collect();
            format!("{prefix}.lane.*.{}.>", tokens.join("."))
        };
        if self.streams.is_empty() { vec![format!("{prefix}.lane.>")] } else { self.streams.iter().map(of).collect() }
    }
}

/// A record, what the detector says of it, and where it was.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivered {
    /// Its subject.
    pub subject: String,
    /// The JetStream stream's own number for it.
    pub sequence: u64,
    /// How often it was delivered: greater than 1 for what wasn't committed before.
    pub deliveries: i64,
    /// The record.
    pub record: Record,
    /// By lane; by stream, where single streams are read.
    pub verdict: Verdict,
    /// Of the first record: why the detector knows nothing of those that were committed before it.
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
    /// The last message: to acknowledge it is to acknowledge all before it.
    last: Option<Message>,
    /// How many deliveries there were, by the consumer's own count.
    deliveries: u64,
    /// Not told yet.
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
    /// Makes the durable consumer if it isn't there, and restores its detector. Where records were delivered and not
    /// acknowledged, the consumer is made anew behind those that were: otherwise they would come behind newer ones, after
    /// `ack_wait`, and the first commit would acknowledge them unread. Nobody else may read as this consumer.
    ///
    /// # Errors
    /// `Unavailable` where the server doesn't answer, has no such JetStream stream, or has a consumer of this name that
    /// reads something else.
    ///
    /// # Cancel safety
    /// May be called again after it was dropped.
    pub async fn open(client: async_nats::Client, options: &DurableOptions) -> Result<Self, ReadError> {
        let context = jetstream::new(client);
        let view = if options.streams.is_empty() { View::ByLane } else { View::ByStream };
        let bucket = kv::Config { bucket: BUCKET.to_owned(), history: 1, ..kv::Config::default() };
        let states = match context.get_key_value(BUCKET).await {
            Ok(states) => states,
            Err(_not_there) => context
                .create_key_value(bucket)
                .await
                .map_err(|error| ReadError::unavailable(format!("could not make the bucket {BUCKET}"), error))?,
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
            None if options.from == super::From::Start && !is_trimmed(&stream, &options.prefix).await? => {
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

    /// The next record.
    ///
    /// # Errors
    /// `NoRecord` for a message that is none: the next call goes on behind it. `Unavailable` for the rest, and where a delivery was
    /// lost: open anew.
    ///
    /// # Cancel safety
    /// Dropped before it returns, it has taken no record.
    pub async fn next(&mut self) -> Result<Delivered, ReadError> {
        let message = next_message(&mut self.messages).await?;
        let info = info(&message)?;
        if info.consumer_sequence != self.deliveries + 1 {
            // To go on and acknowledge this one would be to acknowledge what was lost.
            let (found, wanted) = (info.consumer_sequence, self.deliveries + 1);
            let why = format!("this is delivery {found}, and {wanted} wasn't seen: open anew");
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

    /// The same as a stream without end. To commit in between, call [`next`](Self::next) instead.
    pub fn stream(&mut self) -> impl futures_util::Stream<Item = Result<Delivered, ReadError>> + '_ {
        stream::unfold(self, |reader| async move {
            let next = reader.next().await;
            Some((next, reader))
        })
    }

    /// Keeps the detector's state, and acknowledges all that was delivered: call it once that is processed.
    ///
    /// # Errors
    /// `Unavailable` where the server doesn't confirm both: what was delivered may come again.
    ///
    /// # Cancel safety
    /// A dropped call may have committed or not; the next one does.
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

    /// What is known: counts, completeness, open source gaps.
    #[must_use]
    pub fn detector(&self) -> &Detector {
        &self.detector
    }

    /// What is missing now is known to the reader, and has been dealt with: [`Detector::accept_losses`].
    pub fn accept_losses(&mut self) {
        self.detector.accept_losses();
    }
}

/// The durable consumer, with nothing delivered that isn't acknowledged; and whether anything was ever acknowledged.
async fn consumer(
    stream: &Stream,
    states: &Store,
    options: &DurableOptions,
) -> Result<(PullConsumer, bool), ReadError> {
    let durable = options.durable.as_str();
    let failed = |error| ReadError::unavailable(format!("could not make the consumer {durable}"), error);
    // Where the consumer is to begin that is made anew, until it is there: else a crash would begin from the start, or from now.
    let key = format!("{}.anew", options.key());
    let not_kept = |error: BoxError| ReadError::unavailable("could not keep the consumer's place", error);
    let anew = states.get(key.as_str()).await.map_err(|error| not_kept(error.into()))?;
    let mut anew: Option<u64> = anew.and_then(|text| std::str::from_utf8(&text).ok()?.parse().ok());
    let mut consumer = stream.get_or_create_consumer(durable, config(options, anew)).await.map_err(failed)?;
    let info = consumer.cached_info();
    let was_committed = info.ack_floor.consumer_sequence > 0;
    if info.num_ack_pending > 0 {
        let first = info.ack_floor.stream_sequence.saturating_add(1);
        states.put(key.as_str(), first.to_string().into()).await.map_err(|error| not_kept(error.into()))?;
        stream.delete_consumer(durable).await.map_err(failed)?;
        anew = Some(first);
        consumer = stream.create_consumer(config(options, anew)).await.map_err(failed)?;
    }
    if anew.is_some() {
        states.delete(key.as_str()).await.map_err(|error| not_kept(error.into()))?;
    }
    Ok((consumer, was_committed))
}

/// `anew`: the sequence to begin with, whatever the options say.
fn config(options: &DurableOptions, anew: Option<u64>) -> pull::Config {
    let subjects = options.subjects();
    let (filter_subject, filter_subjects) = match <[String; 1]>::try_from(subjects) {
        Ok([one]) => (one, Vec::new()),
        Err(several) => (String::new(), several),
    };
    pull::Config {
        durable_name: Some(options.durable.clone()),
        deliver_policy: match (anew, options.from) {
            (Some(start_sequence), _) => DeliverPolicy::ByStartSequence { start_sequence },
            (None, super::From::Start) => DeliverPolicy::All,
            (None, super::From::Now) => DeliverPolicy::New,
        },
        ack_policy: AckPolicy::All,
        ack_wait: options.ack_wait,
        max_ack_pending: options.max_uncommitted,
        filter_subject,
        filter_subjects,
        ..pull::Config::default()
    }
}
