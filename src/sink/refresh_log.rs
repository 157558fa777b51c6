//! The refresh log, as a session reads it.
//!
//! The session says where it reads: from which place on, in the part of each owned shard. Each time that its shards
//! change it begins a new [`Reading`]. Entries name their reading, so that the session can drop those of an earlier one.

use super::SinkError;
use bridge_core::ids::ShardId;
use std::collections::BTreeMap;
use tokio::sync::{mpsc, watch};

/// The most groups of entries that wait for the session.
const ROOM: usize = 16;

/// Which parts of the log are read, and from where on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The number of the reading. A later one has a greater number.
    pub number: u64,
    /// The place of the next entry of each shard. Empty: nothing is read.
    pub places: BTreeMap<ShardId, u64>,
}

impl Reading {
    /// All that its parts had at a moment was given.
    pub fn ends(&self) -> impl Iterator<Item = Logged> {
        self.places.keys().map(|shard| Logged { reading: self.number, shard: *shard, what: What::End })
    }
}

/// What is read of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// The number of the reading that it belongs to.
    pub reading: u64,
    /// The shard whose part it is in.
    pub shard: ShardId,
    /// What it is.
    pub what: What,
}

/// An entry, or that there are no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// An entry.
    Entry {
        /// Its place in the shard's part.
        place: u64,
        /// Its value.
        value: Vec<u8>,
    },
    /// All that the part had at a moment was given. It comes after the last entry at the latest, and perhaps more often. Without
    /// it the state topic never says that it is complete.
    End,
}

/// The session's end.
#[derive(Debug)]
pub struct RefreshLog {
    /// Where the session reads.
    pub wanted: watch::Sender<Reading>,
    /// The entries, in the order of each part. An error ends the session. It is closed when the sink is.
    pub entries: mpsc::Receiver<Result<Vec<Logged>, SinkError>>,
}

/// The sink's end.
#[derive(Debug)]
pub struct Feed {
    /// Where the session reads.
    pub wanted: watch::Receiver<Reading>,
    /// Takes entries; it waits while the session has enough.
    pub entries: mpsc::Sender<Result<Vec<Logged>, SinkError>>,
}

/// The two ends of a log.
#[must_use]
pub fn pair() -> (RefreshLog, Feed) {
    let (wanted, reading) = watch::channel(Reading::default());
    let (sender, entries) = mpsc::channel(ROOM);
    (RefreshLog { wanted, entries }, Feed { wanted: reading, entries: sender })
}
