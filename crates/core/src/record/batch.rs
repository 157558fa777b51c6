//! The content of one atomic commit, in a form for every sink.

use crate::ids::{Gid, ShardId, StreamId, Topic};
use crate::record::encoding::Encoding;
use crate::record::trace::Trace;
use chrono::{DateTime, Utc};
use std::num::NonZeroU32;
use std::sync::Arc;

/// The records and checkpoints of one atomic commit: all of it becomes durable, or nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// The messages, in the order in which each lane gets them.
    pub messages: Vec<Message>,
    /// The progress that the messages make, and progress without messages.
    pub checkpoints: Vec<CheckpointWrite>,
}

impl Batch {
    /// The shards that the batch writes. The replica must own all of them.
    #[must_use]
    pub fn shards(&self) -> Vec<ShardId> {
        let mut shards: Vec<_> = self.checkpoints.iter().map(|write| write.shard).collect();
        shards.sort_unstable();
        shards.dedup();
        shards
    }
}

/// What a sink can commit at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// The maximum number of messages and checkpoints. A single page may exceed it.
    pub messages: usize,
    /// Whether all shards of a batch are committed, or none. If not, one shard may be without the others.
    pub spans_shards: bool,
}

/// One message for the bus.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The destination of the message.
    pub target: Target,
    /// The shard whose counters the message uses.
    pub shard: ShardId,
    /// The message key: the gid of the resource that changed; empty for a record of the lane itself. In the refresh log, the
    /// entry's key.
    pub key: Gid,
    /// The encoded value.
    pub value: Vec<u8>,
    /// The content of the headers.
    pub attributes: Attributes,
}

impl Message {
    /// Whether it removes its key from the state topic.
    #[must_use]
    pub fn is_removal(&self) -> bool {
        matches!(self.target, Target::State { .. }) && self.value.is_empty()
    }

    /// The subject, as `CloudEvents` calls it: the key, if it is a legal subject (`CloudEvents` 1.0.2, "Type System":
    /// neither control characters nor noncharacters).
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        let is_noncharacter = |c: char| matches!(u32::from(c), 0xFDD0..=0xFDEF) || u32::from(c) & 0xFFFE == 0xFFFE;
        let key = self.key.as_str();
        (!key.is_empty() && !key.contains(|c: char| c.is_control() || is_noncharacter(c))).then_some(key)
    }
}

/// The destination of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// A lane of an output topic.
    Lane {
        /// The name of the topic.
        topic: Topic,
        /// The partition, from 0.
        partition: u32,
    },
    /// The dead-letter topic, in any partition.
    DeadLetter,
    /// The refresh log: the part of this shard, which needn't be the message's own. The message's key is
    /// [`Entry::key`](crate::state::Entry::key). Of messages with the same key only the last one is kept.
    RefreshLog(ShardId),
    /// The state topic. Of messages with the same key only the last one is kept. An empty value removes the key.
    State {
        /// The name of the topic.
        topic: Topic,
        /// The partition, from 0.
        partition: u32,
    },
}

/// The content of a message's headers, in the terms of `CloudEvents`. Each bus has its own names for them.
#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    /// Unique for each record and the same when it is written again: `CloudEvents`' `id`, and `Nats-Msg-Id`.
    pub id: String,
    /// The form of the value: `content-type`.
    pub encoding: Encoding,
    /// The body's type, such as `asana_event_bridge.v1.Event`: `CloudEvents`' `type`.
    pub kind: &'static str,
    /// The stream, or nothing for a record of the lane itself: `CloudEvents`' `source`.
    pub stream: Option<StreamId>,
    /// The type of the resource that changed, such as `task`, or nothing: a token of the NATS subject.
    pub resource_type: Arc<str>,
    /// The time of the event: `CloudEvents`' `time`.
    pub time: DateTime<Utc>,
    /// The trace that the record belongs to: `traceparent`.
    pub trace: Trace,
}

/// One entry of a shard's checkpoint. The newest value of a key counts.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckpointWrite {
    /// The shard that the entry belongs to.
    pub shard: ShardId,
    /// The key within the shard.
    pub key: String,
    /// The encoded value; `None` removes the key.
    pub value: Option<Vec<u8>>,
}

/// The stored checkpoint of a shard: the newest value of each key.
pub type StoredCheckpoint = std::collections::BTreeMap<String, Vec<u8>>;

/// The properties of an output topic, which are needed before records are created for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputTopic {
    /// The number of its lanes.
    pub lanes: NonZeroU32,
    /// The maximum size of a message's key, value and headers together, in bytes.
    pub message_bytes: usize,
}
