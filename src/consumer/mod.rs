//! For who reads the records: decode them, and know whether any is missing.
//!
//! [`decode::record`] reads a message's value, [`Detector`] follows positions. The
//! readers of each bus give whole lanes.

pub mod decode;
pub mod file;
#[cfg(feature = "consumer-kafka")]
pub mod kafka;
#[cfg(feature = "consumer-nats")]
pub mod nats;

pub use crate::core::detect::Detector;

use crate::core::ids::Topic;
use crate::pb;

/// A record, and where it was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    /// The topic, or the subject prefix.
    pub topic: Topic,
    /// The lane it was found in.
    pub lane: u32,
    /// The message key.
    pub key: String,
    /// The bus's own number for it: Kafka's offset, the JetStream sequence, the line.
    pub offset: u64,
    /// The record.
    pub record: pb::Record,
}

/// Where a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// With the oldest record that there is.
    Start,
    /// With the next record that is written.
    Now,
}

/// How far a reader goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// To the end as it was when the reader began.
    End,
    /// For ever.
    Stopped,
}

/// Why a reader gives no record.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The bus can't be read: begin anew.
    #[error("{action}: {source}")]
    Unavailable {
        /// What was tried.
        action: String,
        /// The client's own words.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// One message is no record; the reader goes on behind it.
    #[error("{place} is no record: {reason}")]
    NoRecord {
        /// Topic, lane and offset.
        place: String,
        /// Why.
        reason: String,
    },
}

#[cfg(any(feature = "consumer-kafka", feature = "consumer-nats"))]
impl ReadError {
    fn unavailable(action: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unavailable { action: action.into(), source: source.into() }
    }
}
