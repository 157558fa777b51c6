//! What a person may want to know of a stream, for the log.

use crate::crawl::{LeftOut, Reason};
use crate::ids::Gid;
use crate::outcome::list::Listing;
use crate::outcome::poll::{Denial, Failure};
use std::time::Duration;

/// What a person may want to know of a crawl.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CrawlNotice {
    /// A crawl begins.
    Begun(Reason),
    /// All of them were read.
    Ended {
        /// Why it begins.
        reason: Reason,
        /// How many snapshots were published.
        snapshots: u64,
        /// How many source gaps are healed by it.
        healed: usize,
        /// How many lists and objects it had to leave out.
        left_out: u64,
    },
    /// A list of its crawl, or an object, gives no usable answer, and is tried again.
    Retries {
        /// The list or the object.
        listing: Listing,
        /// Why, in the words of the metrics.
        reason: &'static str,
    },
    /// A list of its crawl, or an object, can't be read: the crawl goes on without it.
    LeftOut(LeftOut),
    /// A list of its crawl is longer than what Asana gives of one: it is read in parts.
    Splits(Listing),
    /// Lists of its crawl showed much less than was known to be in them: they are read again.
    CameShort {
        /// Number of lists.
        lists: usize,
        /// How many resources they didn't show.
        unseen: u64,
    },
    /// Items of a list have no gid: nothing can be published of them.
    Unidentified {
        /// Of which list.
        listing: Listing,
        /// Number of items.
        count: usize,
    },
    /// The rate limit was hit by requests of a crawl that has an account of its own.
    Throttled(Duration),
}

/// What a person may want to know of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// It has its first token: events from now on are published.
    Established,
    /// Asana answers with 400 to what the bridge would like to know, and to the token alone it doesn't.
    PolledBare,
    /// Asana gives a token back with the events that it brought: what was published isn't published again.
    TokenRepeated,
    /// Its token was dead.
    SourceGap {
        /// The gap.
        gap_id: String,
    },
    /// Asana refuses to have it polled.
    Suspended(Denial),
    /// It is polled again.
    Resumed,
    /// The rate limit was hit.
    Throttled(Duration),
    /// No usable answer.
    Failed(Failure),
    /// The configuration doesn't name it any more.
    Ended,
    /// Of its crawl.
    Crawl(CrawlNotice),
    /// These resources changed, and no event came within the time that events may take.
    Missed(Vec<Gid>),
    /// A record was larger than what the bus takes: the dead-letter topic has it.
    DeadLetter {
        /// The resource that it is about.
        gid: Gid,
        /// The record's size as the bus counts it.
        bytes: usize,
    },
}
