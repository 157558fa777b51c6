//! What the index knows of a stream's resources.

use crate::ids::Gid;
use crate::outcome::list::{Listing, What};
use chrono::{DateTime, Utc};
use std::collections::BTreeSet;

/// What is known of one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Such as `task`.
    pub resource_type: String,
    /// Of what the last snapshot said; 0 where only events told of it, and [`NOT_VISIBLE`].
    pub hash: u64,
    /// The same of what events tell of alone: where it is, and when it was modified.
    pub evident: u64,
    /// The crawl that saw it last, by when it began, in milliseconds; 0 where none did.
    pub crawl: u64,
    /// When an event last named it, in milliseconds; 0 where none did.
    pub touched_at: i64,
    /// Where a crawl found it last; `None` where only events told of it.
    pub place: Option<Listing>,
}

/// The hash of what Asana doesn't show any more.
pub const NOT_VISIBLE: u64 = 1;

/// Something that the index knows and no list of a crawl showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absent {
    /// Which.
    pub gid: Gid,
    /// What is known of it.
    pub entry: Entry,
    /// What it lies in is known. If so, the crawl saw that.
    pub knows_place: bool,
}

/// What is missing from which crawl.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbsentFrom {
    /// The crawl, by when it began, in milliseconds. What an event named since isn't missing.
    pub crawl: u64,
    /// The lists that it read, where it didn't read all.
    pub scope: BTreeSet<Listing>,
    /// The lists that it couldn't read: of these nothing is known to be missing.
    pub unread: BTreeSet<Listing>,
}

impl AbsentFrom {
    /// Whether this entry is to be looked at, of which it is known whether the crawl saw what it lies in.
    #[must_use]
    pub fn concerns(&self, gid: &Gid, entry: &Entry, saw_place: bool) -> bool {
        let itself = What::alone(&entry.resource_type).map(|what| Listing { of: gid.clone(), what });
        let is_in = |lists: &BTreeSet<Listing>| {
            entry.place.as_ref().is_some_and(|place| lists.contains(place))
                || itself.as_ref().is_some_and(|itself| lists.contains(itself))
        };
        (self.scope.is_empty() || saw_place || is_in(&self.scope)) && !is_in(&self.unread)
    }
}

/// A list in which less was found than was known to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortfall {
    /// Which.
    pub listing: Listing,
    /// How many were known.
    pub known: u64,
    /// How many of these weren't found.
    pub unseen: u64,
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
    /// The stream's last record before. If the index knows another, it missed something, and distrusts the stream first.
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
    /// What was known may not be all, nor as it was published. It is kept for what it is still good for: whatever of it isn't
    /// found any more is asked for.
    Distrust,
    /// A crawl saw it.
    Seen {
        /// Which.
        gid: Gid,
        /// Such as `task`.
        resource_type: String,
        /// Of what the snapshot said.
        hash: u64,
        /// Of what events tell of alone.
        evident: u64,
        /// The crawl, by when it began, in milliseconds.
        crawl: u64,
        /// Where it was found.
        place: Listing,
    },
    /// No list showed it, and a crawl could say no more of it than that: it isn't looked at again in this crawl.
    Passed {
        /// Which.
        gid: Gid,
        /// The crawl, by when it began, in milliseconds.
        crawl: u64,
        /// Asana doesn't show it.
        is_hidden: bool,
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
    /// The resource that an event told something of; not what it only lies in.
    #[must_use]
    pub fn told(&self) -> Option<&Gid> {
        match self {
            Self::Touched { gid, resource_type: Some(_), .. } | Self::Gone { gid } => Some(gid),
            Self::Touched { .. }
            | Self::Seen { .. }
            | Self::Passed { .. }
            | Self::Clear
            | Self::Distrust
            | Self::Complete => None,
        }
    }

    /// Whether it is about this resource.
    #[must_use]
    pub fn names(&self, resource: &Gid) -> bool {
        match self {
            Self::Seen { gid, .. } | Self::Passed { gid, .. } | Self::Touched { gid, .. } | Self::Gone { gid } => {
                gid == resource
            }
            Self::Clear | Self::Distrust | Self::Complete => false,
        }
    }
}
