//! What the detector looks at in a record, borrowed: no form of a record has to be copied for it.

use bridge_contract::pb::{self, record::Body};
use bridge_contract::time::date_time;
use chrono::{DateTime, Utc};

/// A record's position, and what its body means for the detector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sighting<'a> {
    /// As in the position. 0 in all fields where the record has none.
    pub shard: u32,
    /// As in the position.
    pub epoch: u64,
    /// As in the position.
    pub lane: u32,
    /// As in the position.
    pub lane_sequence: u64,
    /// As in the position.
    pub stream: &'a str,
    /// As in the position.
    pub stream_sequence: u64,
    /// What the body says.
    pub signal: Signal<'a>,
}

/// The bodies that tell of other records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signal<'a> {
    /// Any other body.
    #[default]
    None,
    /// A run of counters begins.
    EpochStart {
        /// 0 where there was none, or it isn't known.
        previous_epoch: u64,
        /// 0 where it isn't known.
        previous_lane_sequence: u64,
    },
    /// Everything up to a time is in this lane, before this record.
    Watermark {
        /// The time.
        complete_up_to: Option<DateTime<Utc>>,
        /// How many shards there are.
        shards: u32,
        /// How many lanes the topic has.
        lanes: u32,
    },
    /// Asana may have lost events.
    SourceGap {
        /// Its id.
        gap_id: &'a str,
        /// Nothing before it is lost.
        since: Option<DateTime<Utc>>,
    },
    /// What a source gap lost is restored.
    SourceGapHealed {
        /// Its id.
        gap_id: &'a str,
    },
    /// The shard writes to more lanes of the topic from now on.
    LanesChanged {
        /// How many it wrote to.
        previous_count: u32,
        /// How many it writes to.
        count: u32,
    },
    /// The stream is polled no more.
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
