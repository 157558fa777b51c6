//! What the index knows of a stream's resources.

use super::ids::Gid;
use chrono::{DateTime, Utc};

/// What is known of one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Such as `task`.
    pub resource_type: String,
    /// Of what the last snapshot said; 0 where only events told of it.
    pub hash: u64,
    /// The crawl that saw it last, by when it began, in milliseconds; 0 where none did.
    pub crawl: u64,
    /// When an event last named it, in milliseconds; 0 where none did.
    pub touched_at: i64,
    /// Whether a crawl found it in another resource of the stream, with which it comes and goes.
    pub nested: bool,
}

/// The last record of a stream that the index knows of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Its epoch.
    pub epoch: u64,
    /// Its stream sequence.
    pub sequence: u64,
}

/// What one commit did to what is known of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The stream's last record before. If the index knows another, it missed something, and forgets the stream first.
    pub from: Mark,
    /// The stream's last record now.
    pub to: Mark,
    /// In order.
    pub changes: Vec<Change>,
}

/// One thing that a commit did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Everything is forgotten.
    Clear,
    /// A crawl saw it.
    Seen {
        /// Which.
        gid: Gid,
        /// Such as `task`.
        resource_type: String,
        /// Of what the snapshot said.
        hash: u64,
        /// The crawl, by when it began, in milliseconds.
        crawl: u64,
        /// Whether it was found in another resource of the stream, with which it comes and goes.
        nested: bool,
    },
    /// An event named it.
    Touched {
        /// Which.
        gid: Gid,
        /// Such as `task`, where it becomes known by this; `None` where only what is known is touched.
        resource_type: Option<String>,
        /// When the event was received.
        at: DateTime<Utc>,
    },
    /// It isn't there any more.
    Gone {
        /// Which.
        gid: Gid,
    },
    /// A crawl has seen everything: from now on the index can be compared with.
    Complete,
}

impl Change {
    /// Whether it is about this resource.
    #[must_use]
    pub fn names(&self, resource: &Gid) -> bool {
        match self {
            Self::Seen { gid, .. } | Self::Touched { gid, .. } | Self::Gone { gid } => gid == resource,
            Self::Clear | Self::Complete => false,
        }
    }
}
