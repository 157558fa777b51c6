//! For consumers of the records: decode them, and know whether any record is missing.
//!
//! [`decode::record`] decodes a message's value into a [`Record`]. [`Detector::observe`] returns a verdict about it: whether it
//! is in order, a duplicate, or whether records before it are missing. Both work with any client of any bus, in any runtime:
//!
//! ```
//! use asana_event_bridge_consumer::{Body, Continuity, Detector, Start, decode};
//!
//! # fn message() -> Vec<u8> {
//! #     use asana_event_bridge_consumer::pb;
//! #     let position = pb::Position { epoch: 1, lane_sequence: 1, ..Default::default() };
//! #     prost::Message::encode_to_vec(&pb::Record { position: Some(position), ..Default::default() })
//! # }
//! let mut detector = Detector::by_lane(Start::Beginning);
//! let record = decode::record(&message())?;
//! let verdict = detector.observe("asana.events", &record);
//! match verdict.continuity {
//!     Continuity::InOrder | Continuity::Reordered => {
//!         if let Body::Event(event) = &record.body {
//!             println!("{} {:?}", event.action, event.resource);
//!         }
//!     }
//!     Continuity::Duplicate => {}
//!     lost => eprintln!("{}", lost.label()),
//! }
//! # Ok::<(), decode::DecodeError>(())
//! ```
//!
//! - [`Event::custom_field`] reads the new value of a custom field.
//! - [`Dedupe`] recognises a change that comes through two streams.
//! - [`Materializer`] keeps a table of all resources, from events and snapshots.
//! - [`StateTable`] keeps the table that the state topic is, and knows how complete it is.
//! - The features `kafka` and `nats` add a client of the bus: see their modules. With `kafka-full`, a default feature, Kafka's
//!   has TLS, SASL and zstd.

pub mod custom_field;
pub mod decode;
pub mod dedupe;
pub mod detect;
#[cfg(feature = "file")]
pub mod file;
#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "kafka")]
pub mod kafka_group;
pub mod materialize;
#[cfg(feature = "nats")]
pub mod nats;
#[cfg(feature = "nats")]
pub mod nats_durable;
pub mod record;
pub mod state_table;
mod wire;

pub use crate::detect::{Behind, Continuity, Detector, Limits, News, Start, StateError, Tally, Verdict, View};
pub use custom_field::{CustomField, FieldValue};
pub use dedupe::Dedupe;
pub use materialize::Materializer;
pub use record::{Action, Body, Event, Position, Record, Resource};
pub use state_table::StateTable;

pub use bridge_contract::{Topic, pb};

/// The examples of the package's README, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The examples of the documentation, as tests.
#[cfg(all(doctest, feature = "kafka", feature = "nats"))]
#[doc = include_str!("../../../docs/consuming.md")]
struct Consuming;

/// A record, with its place on the bus.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    /// The topic, or the subject prefix.
    pub topic: Topic,
    /// The lane of the message: the Kafka partition, or the lane token of the NATS subject.
    pub lane: u32,
    /// The message key: the gid of the resource that changed. Empty in a record of the lane itself.
    pub key: String,
    /// The bus's own number of the message: Kafka's offset, the JetStream sequence, or the line number.
    pub offset: u64,
    /// The record, in the types of the contract.
    pub record: pb::Record,
}

/// Where a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFrom {
    /// With the oldest record on the bus.
    Start,
    /// With the next record that is written.
    Now,
}

/// Where a reader ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// At the end of the bus at the time when the reader began.
    End,
    /// Never: the reader waits for new records.
    Stopped,
}

/// Why a reader returns no record.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The bus can't be read. Open a new reader.
    #[error("{action}: {source}")]
    Unavailable {
        /// What the reader tried.
        action: String,
        /// The error of the bus's client.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// One message isn't a record. The next call continues after it.
    #[error("{place} is not a record: {reason}")]
    NoRecord {
        /// Topic, lane and offset of the message.
        place: String,
        /// Why the message can't be decoded.
        reason: String,
    },
}

/// Why a reader has no state of the detector for the committed records. It can't report whether records are missing before its
/// first record, or whether records come again. Completeness is known again from the next watermarks on.
#[cfg(any(feature = "kafka", feature = "nats"))]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Blinded {
    /// The last commit had no room for the state, or another program made it.
    #[error("the last commit has no state of the detector")]
    NotKept,
    /// The reader starts before the last commit, for example after a reset of offsets.
    #[error("the reader starts before the place that the detector's state belongs to")]
    SentBack,
    /// The state can't be decoded.
    #[error(transparent)]
    Unusable(#[from] StateError),
}

#[cfg(any(feature = "kafka", feature = "nats"))]
impl ReadError {
    fn unavailable(action: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unavailable { action: action.into(), source: source.into() }
    }
}
