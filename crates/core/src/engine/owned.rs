//! What this replica owns: shards, and their streams.

use super::crawls::Crawling;
use super::forms::BadRequests;
use super::schedule::pace::Pacing;
use super::settings::{Settings, StreamSpec};
use crate::checkpoint::Header;
use crate::ids::{StreamId, StreamKind};
use crate::now::Now;
use crate::record::sequence::Counters;
use crate::stream::Stream;
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::BTreeMap;
use std::time::Duration;

/// The committed progress of an owned shard.
#[derive(Clone, Debug)]
pub(crate) struct Shard {
    pub(crate) counters: Counters,
    /// The next batch is the first one of this replica for the shard, and writes the header of its checkpoint.
    pub(crate) header_due: bool,
    /// Consumers were told that it has no streams, and nothing else since.
    pub(crate) empty: bool,
    /// When its whole checkpoint is to be written again.
    pub(super) refresh_at: Duration,
    /// Streams with a checkpoint that aren't configured. They go on from it if they come back.
    pub(super) parked: BTreeMap<StreamId, Stream>,
    /// When its checkpoint was written in the place of one that was lost.
    pub(super) recreated_at: Option<DateTime<Utc>>,
    /// When the next watermark is due.
    pub(super) watermark_at: Duration,
}

/// For this time after a checkpoint was lost, a stream without a token may be one that the lost checkpoint knew. Later,
/// one that comes is new, or had ended before.
const UNKNOWN_PAST: TimeDelta = TimeDelta::days(7);

impl Shard {
    /// The header of its checkpoint, as this replica writes it with these counters.
    pub(crate) fn header(&self, settings: &Settings, counters: &Counters) -> Header {
        Header {
            shards: settings.shards.get(),
            epoch: counters.epoch(),
            streams: counters.streams(),
            replica: settings.replica.clone(),
            deployment: settings.deployment.clone(),
            recreated_at: self.recreated_at,
            empty: self.empty,
        }
    }

    /// The stream as it was stored, or as it begins.
    pub(super) fn begin(&self, now: Now, stored: Option<Stream>) -> Stream {
        let stream = stored.unwrap_or_default();
        let is_unknown = self.recreated_at.is_some_and(|at| now.wall < at + UNKNOWN_PAST);
        Stream { unknown_past: is_unknown && stream.live().is_none(), ..stream }
    }
}

/// A stream of an owned shard.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) kind: StreamKind,
    /// As it is on the bus.
    pub(super) committed: Stream,
    /// The number of the poll under way.
    pub(super) polling: Option<u64>,
    /// When the last poll was sent.
    pub(super) sent_at: Option<Duration>,
    /// A webhook has requested a poll since.
    pub(super) poll_requested: bool,
    pub(super) pacing: Pacing,
    pub(super) bad_requests: BadRequests,
    /// It was reported that Asana returns a token with events again.
    pub(super) reported_repeated: bool,
    /// It was reported that it is polled without optional fields.
    pub(super) reported_bare: bool,
    /// Number of events that were published since the stream came to this session.
    pub(super) published: u64,
    pub(super) crawling: Crawling,
}

impl Entry {
    /// The stream has just come here.
    pub(super) fn new(now: Now, spec: &StreamSpec, committed: Stream) -> Self {
        Self {
            kind: spec.kind,
            crawling: Crawling::came(now, &spec.id, &committed),
            committed,
            polling: None,
            sent_at: None,
            poll_requested: false,
            pacing: Pacing::default(),
            bad_requests: BadRequests::default(),
            reported_repeated: false,
            reported_bare: false,
            published: 0,
        }
    }
}
