//! For who reads the records: decode them, and know whether any is missing.
//!
//! [`decode::record`] makes a [`Record`] of a message's value, and [`Detector::observe`] says of it whether anything before
//! it is missing. Both work with any client of any bus, in any runtime:
//!
//! ```
//! use asana_event_asana_event_bridge_consumer::{Body, Continuity, Detector, Start, decode};
//!
//! # fn message() -> Vec<u8> {
//! #     use asana_event_asana_event_bridge_consumer::pb;
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
//! # Ok::<(), prost::DecodeError>(())
//! ```
//!
//! [`Event::custom_field`] says what a custom field was set to. [`Dedupe`] recognises a change that comes through two
//! streams, [`Materializer`] keeps the resources that there are. The
//! features `kafka` and `nats` add a client: see their modules.

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

pub use crate::detect::{Behind, Continuity, Detector, Limits, News, Start, StateError, Tally, Verdict, View};
pub use custom_field::{CustomField, FieldValue};
pub use dedupe::Dedupe;
pub use materialize::Materializer;
pub use record::{Action, Body, Event, Position, Record, Resource};

pub use bridge_contract::{Topic, pb};

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

/// Why a reader that goes on behind what was committed knows nothing of that: what is missing before its first record, or
/// comes again, it can't say. Completeness is known again from the next watermarks on.
#[cfg(any(feature = "kafka", feature = "nats"))]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Blinded {
    /// The commit before had no room for it, or was somebody else's.
    #[error("no detector's state was kept with what was committed")]
    NotKept,
    /// The reader was sent back to before the commit, as by a reset of offsets.
    #[error("the detector's state is of a later place than the one that is read from")]
    SentBack,
    /// It can't be read.
    #[error(transparent)]
    Unusable(#[from] StateError),
}

#[cfg(any(feature = "kafka", feature = "nats"))]
impl ReadError {
    fn unavailable(action: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unavailable { action: action.into(), source: source.into() }
    }
}
