//! A durable JetStream consumer that knows whether it has seen everything, also after a restart.
//!
//! JetStream keeps a durable consumer's position, and a key-value bucket beside it what the detector knows.
//! [`NatsDurable::commit`] writes the state first and then acknowledges: after a crash between the two, what is delivered again is known as
//! duplicate, and what wasn't processed never is.

use super::nats::{info, next_message};
use super::record::Record;
use super::{ReadError, decode};
use crate::core::detect::{Detector, Limits, Start, Verdict, View};
use crate::core::ids::Topic;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::kv::{self, Store};
use async_nats::jetstream::{self, Message};
use futures_util::stream::{self, Stream};
use std::fmt;
use std::time::Duration;

/// The bucket with the detectors' states, a key for each durable consumer.
pub const BUCKET: &str = "asana-event-bridge-consumers";

/// What is read, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DurableOptions {
    /// The JetStream stream.
    pub stream: String,
    /// The first tokens of every subject, such as `asana`.
    pub prefix: String,
    /// The durable consumer's name, which is also the key of its state: letters, digits, `-` and `_`.
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

    /// What the consumer filters by.
    fn subjects(&self) -> Vec<String> {
        let prefix = &self.prefix;
        let of = |stream: &String| format!("{prefix}.lane.*.{}.>", stream.replacen('/', ".", 1));
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
}

/// Reads lanes or streams as a durable pull consumer.
pub struct NatsDurable {
    messages: pull::Stream,
    states: Store,
    durable: String,
    topic: Topic,
    detector: Detector,
    /// The last message: to acknowledge it is to acknowledge all before it.
    last: Option<Message>,
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
    /// Makes the durable consumer if it isn't there, and restores its detector.
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
        let first = stream.cached_info().state.first_sequence;
        let consumer = stream.get_or_create_consumer(&options.durable, config(options)).await.map_err(|error| {
            ReadError::unavailable(format!("could not make the consumer {}", options.durable), error)
        })?;
        let saved = states
            .get(options.durable.as_str())
            .await
            .map_err(|error| ReadError::unavailable("could not read the detector's state", error))?;
        let detector = match saved.map(|saved| Detector::restore(&saved, Limits::default())) {
            Some(Ok(detector)) if detector.view() == view => detector,
            // Nothing was ever committed, and nothing is gone: the lanes begin here.
            None if first <= 1 && options.from == super::From::Start => {
                Detector::new(view, Start::Beginning, Limits::default())
            }
            Some(_) | None => Detector::new(view, Start::Middle, Limits::default()),
        };
        let messages = consumer
            .messages()
            .await
            .map_err(|error| ReadError::unavailable("could not read from JetStream", error))?;
        let (durable, topic) = (options.durable.clone(), Topic::from(options.prefix.as_str()));
        Ok(Self { messages, states, durable, topic, detector, last: None })
    }

    /// The next record.
    ///
    /// # Errors
    /// `NoRecord` for a message that is none: the next call goes on behind it. `Unavailable` for the rest: open anew.
    ///
    /// # Cancel safety
    /// Dropped before it returns, it has taken no record.
    pub async fn next(&mut self) -> Result<Delivered, ReadError> {
        let message = next_message(&mut self.messages).await?;
        let info = info(&message)?;
        let (sequence, deliveries, subject) = (info.stream_sequence, info.delivered, message.subject.to_string());
        let decoded = decode::record(&message.payload);
        self.last = Some(message);
        let record = decoded.map_err(|error| ReadError::NoRecord {
            place: format!("{subject} at {sequence}"),
            reason: error.to_string(),
        })?;
        let verdict = self.detector.observe(self.topic.as_str(), &record);
        Ok(Delivered { subject, sequence, deliveries, record, verdict })
    }

    /// The same as a stream without end. To commit in between, call [`next`](Self::next) instead.
    pub fn stream(&mut self) -> impl Stream<Item = Result<Delivered, ReadError>> + '_ {
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
            .put(self.durable.as_str(), self.detector.save().into())
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

fn config(options: &DurableOptions) -> pull::Config {
    let subjects = options.subjects();
    let (filter_subject, filter_subjects) = match <[String; 1]>::try_from(subjects) {
        Ok([one]) => (one, Vec::new()),
        Err(several) => (String::new(), several),
    };
    pull::Config {
        durable_name: Some(options.durable.clone()),
        deliver_policy: match options.from {
            super::From::Start => DeliverPolicy::All,
            super::From::Now => DeliverPolicy::New,
        },
        ack_policy: AckPolicy::All,
        ack_wait: options.ack_wait,
        max_ack_pending: options.max_uncommitted,
        filter_subject,
        filter_subjects,
        ..pull::Config::default()
    }
}
