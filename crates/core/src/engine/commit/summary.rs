//! What a commit made durable.

use crate::crawl::known::Update;
use crate::ids::{ShardId, StreamId};
use crate::record::trace::Trace;
use crate::stream::Notice;
use chrono::{DateTime, Utc};
use std::time::Duration;

/// What a commit made durable, for metrics and the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitSummary {
    /// Number of messages of all kinds.
    pub messages: usize,
    /// Number of events.
    pub events: usize,
    /// Number of resources that were read again.
    pub refreshed: usize,
    /// Time of each page from its arrival to the end of its commit.
    pub latencies: Vec<Duration>,
    /// When each event happened.
    pub happened_at: Vec<DateTime<Utc>>,
    /// What has happened to streams, for the log.
    pub notices: Vec<(StreamId, Notice)>,
    /// What changes in the index.
    pub updates: Vec<(StreamId, Update)>,
    /// The pages that had records and whose traces are reported.
    pub pages: Vec<CommittedPage>,
}

/// A page that is on the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedPage {
    /// The page's own trace.
    pub trace: Trace,
    /// The page's stream.
    pub stream: StreamId,
    /// The stream's shard.
    pub shard: ShardId,
    /// It came by a poll; otherwise by a crawl, or because the stream ended.
    pub is_polled: bool,
    /// Number of its own records.
    pub records: usize,
    /// Time from its arrival to the end of its commit.
    pub took: Duration,
}
