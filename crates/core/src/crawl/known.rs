//! What the index contains about a stream's resources.

use crate::ids::Gid;
use crate::outcome::list::{Listing, What};
use chrono::{DateTime, Utc};
use std::collections::BTreeSet;

/// The entry of one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The resource's type, such as `task`.
    pub resource_type: String,
    /// The hash of the last snapshot. 0 if only events named the resource; [`NOT_VISIBLE`] if Asana doesn't show it.
    pub hash: u64,
    /// The hash of the part that events also report: the resource's place and modification time.
    pub evident: u64,
    /// The crawl that saw it last, as the crawl's start in milliseconds. 0 if none did.
    pub crawl: u64,
    /// The time of the last event that named it, in milliseconds. 0 if none did.
    pub touched_at: i64,
    /// The list in which a crawl found it last; `None` if only events named it.
    pub place: Option<Listing>,
}

/// The hash of a resource that Asana doesn't show any more.
pub const NOT_VISIBLE: u64 = 1;

/// A resource that is in the index and that no list of a crawl showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absent {
    /// The gid of the resource.
    pub gid: Gid,
    /// Its entry in the index.
    pub entry: Entry,
    /// Whether the resource that contains it is known. If so, the crawl saw that one.
    pub knows_place: bool,
}

/// What counts as missing from a crawl.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbsentFrom {
    /// The crawl, as its start in milliseconds. A resource that an event named since then isn't missing.
    pub crawl: u64,
    /// The lists that the crawl read, if it didn't read all.
    pub scope: BTreeSet<Listing>,
    /// The lists that the crawl couldn't read. Resources in these don't count as missing.
    pub unread: BTreeSet<Listing>,
}

impl AbsentFrom {
    /// Whether this entry may be missing. `saw_place`: whether the crawl saw the resource that contains it.
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

/// A list that returned fewer resources than were known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortfall {
    /// The list that returned too few.
    pub listing: Listing,
    /// The number of known resources in the list.
    pub known: u64,
    /// The number of these that weren't found.
    pub unseen: u64,
}

/// The last record of a stream that is included in the index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// The epoch of the record.
    pub epoch: u64,
    /// The stream sequence of the record.
    pub sequence: u64,
}

/// The changes that one commit makes in the index of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The stream's last record before the commit. If the index has another mark, it missed a commit, and first
    /// distrusts the stream.
    pub from: Mark,
    /// The stream's last record after the commit.
    pub to: Mark,
    /// The changes, in the order in which they have to be applied.
    pub changes: Vec<Change>,
}

/// One change of the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Removes all entries of the stream.
    Clear,
    /// The entries may be incomplete or outdated. They are kept for the next crawl, which requests each one that no
    /// list shows any more.
    Distrust,
    /// A crawl saw the resource.
    Seen {
        /// The gid of the resource.
        gid: Gid,
        /// The resource's type, such as `task`.
        resource_type: String,
        /// The hash of the snapshot.
        hash: u64,
        /// The hash of the part that events also report.
        evident: u64,
        /// The crawl, as its start in milliseconds.
        crawl: u64,
        /// The list in which it was found.
        place: Listing,
    },
    /// No list showed the resource, and the crawl could find out nothing more. This crawl doesn't check it again.
    Passed {
        /// The gid of the resource.
        gid: Gid,
        /// The crawl, as its start in milliseconds.
        crawl: u64,
        /// Whether Asana doesn't show the resource any more.
        is_hidden: bool,
    },
    /// An event named the resource.
    Touched {
        /// The gid of the resource.
        gid: Gid,
        /// The resource's type, such as `task`, if this adds the resource to the index; `None` if only existing entries
        /// change.
        resource_type: Option<String>,
        /// The time when the event was received.
        at: DateTime<Utc>,
    },
    /// The resource was deleted, or has left the stream.
    Gone {
        /// The gid of the resource.
        gid: Gid,
    },
    /// A crawl has seen everything: from now on crawls can be compared with the index.
    Complete,
}

impl Change {
    /// The resource that an event is about, which isn't the one that only contains it.
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

    /// Whether the change is about this resource.
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
