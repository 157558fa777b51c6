//! What becomes of one stream, on its way to the bus.

use crate::crawl::Crawl;
use crate::crawl::known;
use crate::ids::{ShardId, StreamId, Topic};
use crate::now::Now;
use crate::record::Prepared;
use crate::record::trace::Trace;
use crate::stream::{Notice, OpenGap, Pace, State};
use bridge_contract::pb;
use chrono::{DateTime, Utc};
use std::collections::BTreeSet;
use std::time::Duration;

/// What becomes of a stream, and what has to be on the bus before it counts.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) shard: ShardId,
    pub(crate) id: StreamId,
    pub(crate) change: Change,
    /// The topics that announce it, even if no event goes there.
    pub(crate) topics: BTreeSet<Topic>,
    /// For each lane of these topics.
    pub(crate) announcement: Option<Prepared>,
    /// Each with its topic.
    pub(crate) records: Vec<(Topic, Prepared)>,
    /// The stream's crawl is complete with these records. The last record announces it.
    pub(crate) ends_crawl: Option<pb::SnapshotEnd>,
    pub(crate) received_at: DateTime<Utc>,
    pub(crate) trace: Trace,
    pub(super) notice: Option<Notice>,
    pub(super) next: Next,
    /// How it changes the index.
    pub(super) known: Vec<known::Change>,
    /// Number of events among the records. They are the first ones.
    pub(super) events: usize,
    /// Size in memory, in bytes.
    pub(super) bytes: usize,
    /// When it arrived, by the monotonic clock.
    pub(super) arrived: Duration,
}

/// What becomes of a stream.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// By a poll.
    Polled { state: State, gap: Option<OpenGap> },
    /// By a step of its crawl.
    Crawl(Crawl),
    /// It isn't among the streams that are polled any more.
    Ended,
}

/// What the stream does next, after the commit.
#[derive(Clone, Copy, Debug)]
pub(super) enum Next {
    Poll(Pace),
    CrawlStep,
    Nothing,
}

impl Pending {
    /// A change of a stream that publishes nothing yet.
    pub(super) fn new(now: Now, shard: ShardId, id: StreamId, change: Change, trace: Trace) -> Self {
        Self {
            shard,
            id,
            change,
            topics: BTreeSet::new(),
            announcement: None,
            records: Vec::new(),
            ends_crawl: None,
            received_at: now.wall,
            trace,
            notice: None,
            next: Next::Nothing,
            known: Vec::new(),
            events: 0,
            bytes: 0,
            arrived: now.monotonic,
        }
    }

    /// It came with a page, and Asana has more events waiting: the next poll waits for its commit alone.
    pub(super) fn has_more(&self) -> bool {
        matches!(self.next, Next::Poll(Pace::AtOnce))
    }

    /// It is a page that brought a new token and nothing else: nobody waits for it but the next poll.
    pub(super) fn is_quiet(&self) -> bool {
        let is_page = matches!((&self.change, self.next), (Change::Polled { .. }, Next::Poll(Pace::Idle)));
        is_page && self.records.is_empty() && self.announcement.is_none() && self.notice.is_none()
    }

    /// Each topic that it writes to; some more than once.
    pub(super) fn all_topics(&self) -> impl Iterator<Item = &Topic> {
        self.records.iter().map(|(topic, _)| topic).chain(&self.topics)
    }
}
