//! The part of a record that the detector needs, borrowed, so that no record has to be copied.

use bridge_contract::pb::{self, record::Body};
use bridge_contract::time::date_time;
use chrono::{DateTime, Utc};

/// A record's position, and what its body means for the detector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sighting<'a> {
    /// The shard of the position. If the record has no position, all fields are 0.
    pub shard: u32,
    /// The epoch of the position.
    pub epoch: u64,
    /// The lane of the position.
    pub lane: u32,
    /// The lane sequence of the position.
    pub lane_sequence: u64,
    /// The stream of the position, as `account/gid`.
    pub stream: &'a str,
    /// The stream sequence of the position.
    pub stream_sequence: u64,
    /// The meaning of the body for the detector.
    pub signal: Signal<'a>,
}

/// The bodies that contain something about other records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signal<'a> {
    /// The body says nothing about other records.
    #[default]
    None,
    /// A run of counters begins.
    EpochStart {
        /// The epoch before. 0 if there was none, or if it isn't known.
        previous_epoch: u64,
        /// The last lane sequence of that epoch. 0 if it isn't known.
        previous_lane_sequence: u64,
    },
    /// Everything up to a time is in this lane, before this record.
    Watermark {
        /// The time up to which everything is in the lane.
        complete_up_to: Option<DateTime<Utc>>,
        /// The number of shards of the bridge.
        shards: u32,
        /// The number of lanes of the topic.
        lanes: u32,
    },
    /// Asana may have lost events.
    SourceGap {
        /// The id of the gap, as in its records.
        gap_id: &'a str,
        /// No event that Asana offered before this time is lost.
        since: Option<DateTime<Utc>>,
    },
    /// A source gap is healed.
    SourceGapHealed {
        /// The id of the gap, as in its records.
        gap_id: &'a str,
    },
    /// The shard writes to more lanes of the topic from now on.
    LanesChanged {
        /// The number of lanes before.
        previous_count: u32,
        /// The number of lanes now.
        count: u32,
    },
    /// The bridge no longer polls the stream.
    StreamEnded,
}

impl<'a> From<&'a pb::Record> for Sighting<'a> {
    fn from(record: &'a pb::Record) -> Self {
        let Some(position) = &record.position else { return Self::default() };
        Self {
            shard: position.shard,
            epoch: position.epoch,
            lane: position.lane,
            lane_sequence: position.lane_sequence,
            stream: &position.stream,
            stream_sequence: position.stream_sequence,
            signal: record.body.as_ref().map(Signal::from).unwrap_or_default(),
        }
    }
}

impl<'a> From<&'a Body> for Signal<'a> {
    fn from(body: &'a Body) -> Self {
        match body {
            Body::EpochStart(it) => Self::EpochStart {
                previous_epoch: it.previous_epoch,
                previous_lane_sequence: it.previous_lane_sequence,
            },
            Body::Watermark(it) => Self::Watermark {
                complete_up_to: it.complete_up_to.as_ref().and_then(date_time),
                shards: it.shards,
                lanes: it.lanes,
            },
            Body::SourceGap(it) => {
                Self::SourceGap { gap_id: &it.gap_id, since: it.last_complete_poll_at.as_ref().and_then(date_time) }
            }
            Body::SourceGapHealed(it) => Self::SourceGapHealed { gap_id: &it.gap_id },
            Body::LanesChanged(it) => Self::LanesChanged { previous_count: it.previous_count, count: it.count },
            Body::StreamEnded(_) => Self::StreamEnded,
            Body::Event(_)
            | Body::StandIn(_)
            | Body::Snapshot(_)
            | Body::SnapshotBegin(_)
            | Body::SnapshotEnd(_)
            | Body::StreamSuspended(_)
            | Body::StreamResumed(_) => Self::None,
        }
    }
}
