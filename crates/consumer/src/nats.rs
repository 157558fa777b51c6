//! Reads whole lanes from a JetStream stream.

use super::{ReadError, ReadFrom, Received, Until, decode};
use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::jetstream::message::Info;
use async_nats::jetstream::stream::{RawMessageErrorKind, Stream as JetStream};
use async_nats::jetstream::{self, Message};
use bridge_contract::pb::record::Body;
use futures_util::{Stream, StreamExt as _};
use std::fmt;

/// Reads the records of a JetStream stream in its order. It leaves nothing on the server.
pub struct NatsReader {
    messages: pull::Ordered,
    prefix: String,
    kind: Kind,
    /// What the subjects begin with.
    beginning: String,
    /// The last sequence to read. With `None` it reads without end.
    end: Option<u64>,
    trimmed: bool,
    expected: Option<u64>,
}

/// Which subjects it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// `PREFIX.lane.LANE.…`.
    Lanes,
    /// `PREFIX.state.KEY`.
    States,
}

impl fmt::Debug for NatsReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsReader").field("prefix", &self.prefix).field("end", &self.end).finish_non_exhaustive()
    }
}

impl NatsReader {
    /// Begins to read the records, which have the subjects `PREFIX.lane.LANE.…`, of a JetStream stream.
    ///
    /// # Errors
    /// `Unavailable` if the server doesn't answer, or has no such JetStream stream.
    ///
    /// # Cancel safety
    /// It may be called again after it was dropped.
    pub async fn open(
        client: async_nats::Client,
        stream: &str,
        prefix: &str,
        from: ReadFrom,
        until: Until,
    ) -> Result<Self, ReadError> {
        let policy = match from {
            ReadFrom::Start => DeliverPolicy::All,
            ReadFrom::Now => DeliverPolicy::New,
        };
        Self::begin(client, stream, prefix, (Kind::Lanes, policy), until).await
    }

    /// Begins to read the states, which have the subjects `PREFIX.state.KEY`: the last message of each key. A record without a
    /// body is a tombstone. For a [`StateTable`](super::StateTable).
    ///
    /// # Errors
    /// `Unavailable` if the server doesn't answer, or has no such JetStream stream.
    ///
    /// # Cancel safety
    /// It may be called again after it was dropped.
    pub async fn states(
        client: async_nats::Client,
        stream: &str,
        prefix: &str,
        until: Until,
    ) -> Result<Self, ReadError> {
        Self::begin(client, stream, prefix, (Kind::States, DeliverPolicy::LastPerSubject), until).await
    }

    async fn begin(
        client: async_nats::Client,
        stream: &str,
        prefix: &str,
        (kind, deliver_policy): (Kind, DeliverPolicy),
        until: Until,
    ) -> Result<Self, ReadError> {
        let stream = jetstream::new(client)
            .get_stream(stream)
            .await
            .map_err(|error| ReadError::unavailable(format!("could not find the JetStream stream {stream}"), error))?;
        let beginning = kind.beginning(prefix);
        let state = &stream.cached_info().state;
        let last = state.last_sequence;
        let trimmed = is_trimmed(&stream, prefix).await?;
        let consumer = stream
            .create_consumer(pull::OrderedConfig {
                filter_subject: format!("{beginning}>"),
                deliver_policy,
                ..pull::OrderedConfig::default()
            })
            .await
            .map_err(|error| ReadError::unavailable("could not create an ordered consumer", error))?;
        let pending = consumer.cached_info().num_pending;
        let messages = consumer
            .messages()
            .await
            .map_err(|error| ReadError::unavailable("could not read from JetStream", error))?;
        let end = (until == Until::End).then_some(if pending == 0 { 0 } else { last });
        Ok(Self {
            messages,
            prefix: prefix.to_owned(),
            kind,
            beginning,
            end,
            trimmed,
            expected: (until == Until::End).then_some(pending),
        })
    }

    /// Whether the server has deleted the oldest records, judged by the first existing record.
    #[must_use]
    pub fn trimmed(&self) -> bool {
        self.trimmed
    }

    /// The number of records up to the end, if there is an end.
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
        if self.end == Some(0) {
            return Ok(None);
        }
        let message = next_message(&mut self.messages).await?;
        let info = info(&message)?;
        let (sequence, pending) = (info.stream_sequence, info.pending);
        if let Some(end) = self.end {
            // The last sequence may belong to a checkpoint, which isn't read.
            if sequence >= end || pending == 0 {
                self.end = Some(0);
            }
            if sequence > end {
                return Ok(None);
            }
        }
        self.received(&message, sequence).map(Some)
    }

    fn received(&self, message: &Message, offset: u64) -> Result<Received, ReadError> {
        let subject = message.subject.as_str();
        let record = decode::wire(&message.payload).map_err(|error| ReadError::NoRecord {
            place: format!("{subject} at {offset}"),
            reason: error.to_string(),
        })?;
        let rest = subject.strip_prefix(&self.beginning).unwrap_or_default();
        let (lane, key) = match self.kind {
            Kind::Lanes => {
                let lane = rest.split('.').next().and_then(|lane| lane.parse().ok());
                let lane = lane.ok_or_else(|| ReadError::NoRecord {
                    place: format!("{subject} at {offset}"),
                    reason: "the subject names no lane".to_owned(),
                })?;
                (lane, rest.rsplit('.').next().unwrap_or_default())
            }
            Kind::States => (0, rest),
        };
        let key = key.to_owned();
        Ok(Received { topic: self.prefix.as_str().into(), lane, key, offset, record })
    }
}

impl Kind {
    /// What the subjects begin with.
    fn beginning(self, prefix: &str) -> String {
        let part = match self {
            Self::Lanes => "lane",
            Self::States => "state",
        };
        format!("{prefix}.{part}.")
    }
}

/// Whether the oldest records are gone: the first existing record isn't the first of its lane. The JetStream stream's own first
/// sequence doesn't show this, because each message of a checkpoint replaces the message before it.
pub(super) async fn is_trimmed(stream: &JetStream, prefix: &str) -> Result<bool, ReadError> {
    match stream.get_first_raw_message_by_subject(format!("{prefix}.lane.>"), 1).await {
        Ok(first) => {
            let first = decode::wire(&first.payload).unwrap_or_default();
            let is_start = matches!(&first.body, Some(Body::EpochStart(start)) if start.previous_epoch > 0);
            Ok(first.position.is_none_or(|position| position.lane_sequence != 1) || is_start)
        }
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => {
            Ok(stream.cached_info().state.first_sequence > 1)
        }
        Err(error) => Err(ReadError::unavailable("could not find the first record", error)),
    }
}

/// The next message of any kind of consumer.
pub(super) async fn next_message<E: std::error::Error + Send + Sync + 'static>(
    messages: &mut (impl Stream<Item = Result<Message, E>> + Unpin),
) -> Result<Message, ReadError> {
    match messages.next().await {
        Some(Ok(message)) => Ok(message),
        Some(Err(error)) => Err(ReadError::unavailable("could not read from JetStream", error)),
        None => Err(ReadError::unavailable("could not read from JetStream", "the consumer has ended")),
    }
}

/// The metadata of a message, such as its sequence.
pub(super) fn info(message: &Message) -> Result<Info<'_>, ReadError> {
    message.info().map_err(|error| ReadError::unavailable("could not read a message's sequence", error))
}
