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
    /// Hash of its last snapshot; 0 if only events named it; and [`NOT_VISIBLE`].
    pub hash: u64,
    /// Hash of what events report: where it is, and when it was modified.
    pub evident: u64,
    /// The crawl that saw it last, by when it began, in milliseconds; 0 where none did.
    pub crawl: u64,
    /// When an event last named it, in milliseconds; 0 where none did.
    pub touched_at: i64,
    /// Where a crawl found it last; `None` if only events named it.
    pub place: Option<Listing>,
}

/// The hash of what Asana doesn't show any more.
pub const NOT_VISIBLE: u64 = 1;

/// Something that the index knows and no list of a crawl showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absent {
    /// The resource.
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
    /// Whether the crawl has to find out about this entry. `saw_place`: the crawl saw what it lies in.
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
    /// The list.
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
    /// The stream's last record before. If the index knows another, it missed something, and distrusts the stream
    /// first.
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
    /// What was known may not be all, nor as it was published. It is kept for what it is still good for: whatever of it
    /// isn't found any more is asked for.
    Distrust,
    /// A crawl saw it.
    Seen {
        /// The resource.
        gid: Gid,
        /// Such as `task`.
        resource_type: String,
        /// Hash of its snapshot.
        hash: u64,
        /// Hash of what events report.
        evident: u64,
        /// The crawl, by when it began, in milliseconds.
        crawl: u64,
        /// Where it was found.
        place: Listing,
    },
    /// No list showed it, and the crawl could find out no more: it isn't requested again in this crawl.
    Passed {
        /// The resource.
        gid: Gid,
        /// The crawl, by when it began, in milliseconds.
        crawl: u64,
        /// Asana doesn't show it.
        is_hidden: bool,
    },
    /// An event named it.
    Touched {
        /// The resource.
        gid: Gid,
        /// Such as `task`, where it becomes known by this; `None` where only what is known is touched.
        resource_type: Option<String>,
        /// When the event was received.
        at: DateTime<Utc>,
    },
    /// It isn't there any more.
    Gone {
        /// The resource.
        gid: Gid,
    },
    /// A crawl has seen everything: from now on the index can be compared with.
    Complete,
}

impl Change {
    /// The resource that an event is about; not what it only lies in.
    #[must_use]
    pub fn subject(&self) -> Option<&Gid> {
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
