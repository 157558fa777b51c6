//! What is known of a stream's resources: what the bridge has published of each.
//!
//! It is kept beside the checkpoint, and is never a second truth: where a stream's [`Mark`] isn't the last position of
//! its checkpoint, nothing that is known of the stream counts, and a full crawl makes it anew.

use super::ids::Gid;
use chrono::{DateTime, Utc};

/// What is known of one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Asana's `resource_type`.
    pub resource_type: String,
    /// Of what a listing showed last; 0 if none ever showed it.
    pub hash: u64,
    /// The crawl whose listing showed it last; 0 if none ever did.
    pub crawl: u64,
    /// When the last event named it, in milliseconds since 1970; 0 if none ever did.
    pub touched_at: i64,
}

/// Up to which record of a stream it is known what was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The epoch of the record.
    pub epoch: u64,
    /// Its stream sequence.
    pub sequence: u64,
}

/// What one commit did to what is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A listing showed it.
    Seen {
        /// Which resource.
        gid: Gid,
        /// Asana's `resource_type`.
        resource_type: String,
        /// Of what was shown.
        hash: u64,
        /// The crawl, from 1.
        crawl: u64,
    },
    /// An event named it. Makes an entry if there is none; times never go back.
    Touched {
        /// Which resource.
        gid: Gid,
        /// Asana's `resource_type`; what a listing said before is kept.
        resource_type: String,
        /// When.
        at: DateTime<Utc>,
    },
    /// It was removed or deleted: nothing is known of it any more.
    Gone {
        /// Which resource.
        gid: Gid,
    },
}
