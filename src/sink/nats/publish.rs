//! The only module that writes to the JetStream stream and reads from it.

use super::error::{Failure, PublishError};
use super::outgoing::{EXPECTED_LAST, EXPECTED_STREAM, Outgoing, ROLLUP, TTL};
use super::subject::Subjects;
use crate::sink::SinkError;
use async_nats::client::{Client, Request};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use async_nats::{HeaderMap, jetstream};
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde::Deserialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// nats-server's default for `jetstream.limits.batch.max_msgs`.
const DEFAULT_ATOMIC_MESSAGES: usize = 1_000;
/// The timeout of one request. The client sends its buffered messages when it is connected again, so a late answer is
/// possible, and is handled.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// An atomic batch waits for an answer each time it has sent this much, in bytes: the server buffers at most 128 MiB
/// for a JetStream stream and refuses the rest.
const BURST_BYTES: usize = 4 << 20;
/// The pause before the next read from a server that is behind.
const BEHIND_PAUSE: Duration = Duration::from_millis(20);
/// The timeout of a read, including servers that are behind. It may be a few 100 MB.
const BEHIND_TIMEOUT: Duration = Duration::from_secs(60);
/// The number of messages that one pull requests.
const PULL: usize = 1_000;

/// What a write of a checkpoint subject expects there, and leaves there.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expect {
    /// The last message has this sequence (0: there is none). Older ones are kept.
    Append(u64),
    /// The last message has this sequence (0: there is none). Older ones are removed.
    Replace(u64),
}

/// The server's answer for a stored message.
#[derive(Debug, Deserialize)]
struct Ack {
    seq: u64,
}

/// A message that was read.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) subject: String,
    pub(super) sequence: u64,
    pub(super) headers: HeaderMap,
    pub(super) payload: Bytes,
}

impl Found {
    fn new(sequence: u64, message: async_nats::Message) -> Self {
        Self {
            subject: message.subject.to_string(),
            sequence,
            headers: message.headers.unwrap_or_default(),
            payload: message.payload,
        }
    }
}

/// The abilities of the JetStream stream. What is missing is done another way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Abilities {
    /// Atomic batches (nats-server 2.12).
    pub(super) atomic: bool,
    /// Messages to which `max_age` doesn't apply (nats-server 2.11).
    pub(super) spare: bool,
    /// The maximum size of one message of the JetStream stream, headers included, in bytes.
    pub(super) message_bytes: usize,
}

impl Abilities {
    /// Of a reader: nothing is written, so they don't matter.
    pub(super) const READER: Self = Self { atomic: false, spare: false, message_bytes: usize::MAX };
}

/// The connection to one JetStream stream.
#[derive(Clone, Debug)]
pub(super) struct Publisher {
    client: Client,
    stream: Stream<()>,
    name: String,
    subjects: Subjects,
    abilities: Abilities,
    /// The maximum number of messages of an atomic batch. The server doesn't report its limit: it is found by refusals.
    atomic_messages: Arc<AtomicUsize>,
}

impl Publisher {
    pub(super) async fn new(
        client: Client,
        name: String,
        subjects: Subjects,
        abilities: Abilities,
    ) -> Result<Self, SinkError> {
        let jetstream = jetstream::new(client.clone());
        let stream = jetstream.get_stream_no_info(&name).await;
        let stream = stream.map_err(|error| SinkError::unavailable(format!("open JetStream stream {name}"), error))?;
        let atomic_messages = Arc::new(AtomicUsize::new(DEFAULT_ATOMIC_MESSAGES));
        Ok(Self { client, stream, name, subjects, abilities, atomic_messages })
    }

    /// The maximum number of messages of an atomic batch, as far as is known.
    pub(super) fn atomic_messages(&self) -> usize {
        self.atomic_messages.load(Ordering::Relaxed)
    }

    /// The server refused an atomic batch of so many messages for its size. Smaller ones are sent from now on.
    pub(super) fn shrink_atomic(&self, refused: usize) {
        let most = (refused / 2).max(1);
        if self.atomic_messages.fetch_min(most, Ordering::Relaxed) > most {
            tracing::info!(
                refused,
                most,
                hint = "the server's jetstream.limits.batch.max_msgs; larger commits are written ahead",
                "atomic batch larger than the server takes, sending smaller ones"
            );
        }
    }

    pub(super) fn subjects(&self) -> &Subjects {
        &self.subjects
    }

    pub(super) fn abilities(&self) -> Abilities {
        self.abilities
    }

    /// The maximum size of one message, headers included, in bytes.
    pub(super) fn max_payload(&self) -> usize {
        self.client.max_payload().min(self.abilities.message_bytes)
    }

    /// Publishes a record behind the message with the sequence `last`, which is the newest one on its subject (0: there
    /// is none), and waits until it is certainly stored. Returns its sequence.
    pub(super) async fn record(&self, record: &Outgoing, last: u64) -> Result<u64, PublishError> {
        let mut headers = self.record_headers(record);
        headers.insert(EXPECTED_STREAM, self.name.as_str());
        headers.insert(EXPECTED_LAST, last.to_string());
        self.publish(&record.subject, headers, record.payload.clone()).await
    }

    /// The headers of a record. `max_age` doesn't apply to what is kept.
    pub(super) fn record_headers(&self, record: &Outgoing) -> HeaderMap {
        let mut headers = record.header_map();
        if record.is_kept() && self.abilities.spare {
            headers.insert(TTL, "never");
        }
        headers
    }

    /// The matching messages from a sequence on, as they come.
    pub(super) async fn follow(
        &self,
        start_sequence: u64,
        filters: Vec<String>,
    ) -> Result<impl futures_util::Stream<Item = Result<(Found, bool), SinkError>> + Unpin, SinkError> {
        let action = format!("follow {} of JetStream stream {}", filters.join(", "), self.name);
        let config = pull::OrderedConfig {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: start_sequence.max(1) },
            filter_subjects: filters,
            ..pull::OrderedConfig::default()
        };
        let consumer = self.stream.create_consumer(config).await;
        let consumer = consumer.map_err(|error| SinkError::unavailable(action.clone(), error))?;
        let messages = consumer.messages().await.map_err(|error| SinkError::unavailable(action.clone(), error))?;
        Ok(messages.map(move |message| {
            let message = message.map_err(|error| SinkError::unavailable(action.clone(), error))?;
            let info = message.info().map_err(|error| SinkError::unavailable(action.clone(), error))?;
            let (sequence, is_last) = (info.stream_sequence, info.pending == 0);
            Ok((Found::new(sequence, message.message), is_last))
        }))
    }

    /// Writes a checkpoint subject by compare-and-set. Returns its new sequence.
    pub(super) async fn checkpoint(
        &self,
        subject: &str,
        headers: HeaderMap,
        payload: Bytes,
        expect: Expect,
    ) -> Result<u64, PublishError> {
        let headers = self.checkpoint_headers(headers, Some(expect));
        self.publish(subject, headers, payload).await
    }

    /// The headers of a checkpoint write. Without `expect` it replaces any message.
    pub(super) fn checkpoint_headers(&self, mut headers: HeaderMap, expect: Option<Expect>) -> HeaderMap {
        headers.insert(EXPECTED_STREAM, self.name.as_str());
        if let Some(Expect::Append(last) | Expect::Replace(last)) = expect {
            headers.insert(EXPECTED_LAST, last.to_string());
        }
        if !matches!(expect, Some(Expect::Append(_))) {
            headers.insert(ROLLUP, "sub");
        }
        if self.abilities.spare {
            headers.insert(TTL, "never");
        }
        headers
    }

    /// Publishes an atomic batch. Returns the sequence of its last message.
    ///
    /// The rules are those of the server's design ADR-50: one id of at most 64 characters, sequences from 1 without a
    /// hole, a mark in the last message. The server drops an unfinished batch after 10 s.
    pub(super) async fn atomic(&self, id: &str, batch: Vec<Stored>) -> Result<u64, PublishError> {
        let mut burst = 0;
        let last = batch.len();
        for (index, Stored { subject, mut headers, payload }) in (1_usize..).zip(batch) {
            headers.insert("Nats-Batch-Id", id);
            headers.insert("Nats-Batch-Sequence", index.to_string());
            burst += payload.len();
            if index == last {
                headers.insert("Nats-Batch-Commit", "1");
                return self.publish(&subject, headers, payload).await;
            }
            if burst > BURST_BYTES {
                self.request(&subject, headers, payload).await?;
                burst = 0;
            } else if let Err(error) = self.client.publish_with_headers(subject.clone(), headers, payload).await {
                let failure = match error.kind() {
                    async_nats::PublishErrorKind::MaxPayloadExceeded => {
                        async_nats::RequestErrorKind::MaxPayloadExceeded
                    }
                    async_nats::PublishErrorKind::InvalidSubject => async_nats::RequestErrorKind::InvalidSubject,
                    async_nats::PublishErrorKind::Send => async_nats::RequestErrorKind::Other,
                };
                return Err(PublishError::new(&subject, Failure::Client(failure), error));
            }
        }
        Err(PublishError::new("nowhere", Failure::Garbled, "an empty batch"))
    }

    async fn publish(&self, subject: &str, headers: HeaderMap, payload: Bytes) -> Result<u64, PublishError> {
        let answer = self.request(subject, headers, payload).await?;
        match serde_json::from_slice(&answer) {
            Ok(Response::Ok(Ack { seq })) => Ok(seq),
            Ok(Response::Err { error }) => {
                Err(PublishError::new(subject, Failure::Answer(error.error_code().0), error))
            }
            Err(error) => Err(PublishError::new(subject, Failure::Garbled, error)),
        }
    }

    async fn request(&self, subject: &str, headers: HeaderMap, payload: Bytes) -> Result<Bytes, PublishError> {
        let request = Request::new().headers(headers).payload(payload).timeout(Some(REQUEST_TIMEOUT));
        match self.client.send_request(subject.to_owned(), request).await {
            Ok(answer) => Ok(answer.payload),
            Err(error) => Err(PublishError::new(subject, Failure::Client(error.kind()), error)),
        }
    }

    /// The newest message on a subject, read from the leader.
    pub(super) async fn last(&self, subject: &str) -> Result<Option<Found>, SinkError> {
        match self.stream.get_last_raw_message_by_subject(subject).await {
            Ok(message) => Ok(Some(Found {
                subject: message.subject.to_string(),
                sequence: message.sequence,
                headers: message.headers,
                payload: message.payload,
            })),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(SinkError::unavailable(format!("read the last message on {subject}"), error)),
        }
    }

    /// The newest message of each subject that matches. One of them must have the sequence `until` or a newer one.
    pub(super) async fn last_of_each(&self, filters: Vec<String>, until: u64) -> Result<Vec<Found>, SinkError> {
        let config = pull::Config {
            deliver_policy: DeliverPolicy::LastPerSubject,
            filter_subjects: filters,
            ..pull::Config::default()
        };
        self.read(config, until).await
    }

    /// The matching messages from a sequence on. One of them must have the sequence `until` or a newer one.
    pub(super) async fn from(
        &self,
        start_sequence: u64,
        filters: Vec<String>,
        until: u64,
    ) -> Result<Vec<Found>, SinkError> {
        let config = pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence },
            filter_subjects: filters,
            ..pull::Config::default()
        };
        self.read(config, until).await
    }

    /// The same as [`from`](Self::from), without payloads.
    pub(super) async fn headers_from(
        &self,
        start_sequence: u64,
        filters: Vec<String>,
        until: u64,
    ) -> Result<Vec<Found>, SinkError> {
        let config = pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence },
            filter_subjects: filters,
            headers_only: true,
            ..pull::Config::default()
        };
        self.read(config, until).await
    }

    /// Reads until the messages reach to `until`. In a cluster a consumer may be on a follower, which stores all
    /// messages in order, but may be behind.
    async fn read(&self, config: pull::Config, until: u64) -> Result<Vec<Found>, SinkError> {
        let reaches = |found: &[Found]| found.iter().any(|found| found.sequence >= until);
        let reading = async {
            loop {
                let found = self.read_once(config.clone()).await?;
                if reaches(&found) {
                    return Ok(found);
                }
                tracing::debug!(until, "server behind the stream leader, reading again");
                tokio::time::sleep(BEHIND_PAUSE).await;
            }
        };
        let read = tokio::time::timeout(BEHIND_TIMEOUT, reading).await;
        read.unwrap_or_else(|late| Err(SinkError::unavailable(format!("read {} up to {until}", self.name), late)))
    }

    /// Reads everything that a new consumer returns, and checks that nothing was lost on the way.
    async fn read_once(&self, config: pull::Config) -> Result<Vec<Found>, SinkError> {
        let action = || format!("read {} of JetStream stream {}", config.filter_subjects.join(", "), self.name);
        let consumer = self.stream.create_consumer(pull::Config {
            ack_policy: AckPolicy::None,
            memory_storage: true,
            num_replicas: 1,
            inactive_threshold: REQUEST_TIMEOUT * 6,
            ..config.clone()
        });
        let consumer = consumer.await.map_err(|error| SinkError::unavailable(action(), error))?;
        let mut found: Vec<Found> = Vec::new();
        let mut pending = consumer.cached_info().num_pending;
        while pending > 0 {
            let messages = consumer.fetch().max_messages(PULL).messages().await;
            let mut messages = messages.map_err(|error| SinkError::unavailable(action(), error))?;
            let before = found.len();
            loop {
                let next = tokio::time::timeout(REQUEST_TIMEOUT, messages.next()).await;
                let next = next.map_err(|late| SinkError::unavailable(action(), late))?;
                let Some(message) = next.transpose().map_err(|error| SinkError::unavailable(action(), error))? else {
                    break;
                };
                let info = message.info().map_err(|error| SinkError::unavailable(action(), error))?;
                let (sequence, delivered) = (info.stream_sequence, info.consumer_sequence);
                pending = info.pending;
                found.push(Found::new(sequence, message.message));
                if delivered != found.len() as u64 {
                    return Err(SinkError::unavailable(action(), "messages were lost on the way"));
                }
            }
            if found.len() == before {
                break;
            }
        }
        // The server deletes an unused consumer itself. This only does it earlier.
        let _gone = self.stream.delete_consumer(&consumer.cached_info().name).await;
        Ok(found)
    }
}

/// One message of an atomic batch.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) subject: String,
    pub(super) headers: HeaderMap,
    pub(super) payload: Bytes,
}
