//! The part of a record that the detector needs, borrowed, so that no record has to be copied.

use crate::wire::{Field, fields, low, next, timestamp};
use bridge_contract::pb::{self, record::Body};
use bridge_contract::time::date_time;
use chrono::{DateTime, Utc};
use prost::DecodeError;

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
    /// How far the lane is, by shard.
    Watermark {
        /// The number of shards of the bridge.
        shards: u32,
        /// The number of lanes of the topic.
        lanes: u32,
        /// The shards that the watermark is about.
        progress: Progress<'a>,
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

/// How far a shard is in a lane, as a watermark says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardProgress {
    /// The shard.
    pub shard: u32,
    /// The epoch of the shard's last record in the lane.
    pub epoch: u64,
    /// The lane sequence of that record.
    pub lane_sequence: u64,
    /// The time, by Asana's clock, up to which everything is in the lane. `None` if the shard is empty, or if the time isn't
    /// known yet.
    pub complete_up_to: Option<DateTime<Utc>>,
    /// The shard has no streams, and is complete until its next record.
    pub empty: bool,
}

/// The shards that a watermark is about, in any of the forms of a record. Two are equal if they contain the same.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// As in this library's own type.
    Read(&'a [ShardProgress]),
    /// As in the contract's type.
    Wire(&'a [pb::ShardProgress]),
    /// The encoded watermark, which was checked.
    Encoded(&'a [u8]),
}

impl<'a> Progress<'a> {
    /// Each shard's progress, in the watermark's order. Allocates nothing.
    pub fn iter(self) -> impl Iterator<Item = ShardProgress> + 'a {
        let (read, wire, encoded) = match self {
            Self::Read(read) => (read, &[][..], &[][..]),
            Self::Wire(wire) => (&[][..], wire, &[][..]),
            Self::Encoded(encoded) => (&[][..], &[][..], encoded),
        };
        let wire = wire.iter().map(ShardProgress::from);
        read.iter().copied().chain(wire).chain(ShardProgress::all_of(encoded))
    }
}

impl PartialEq for Progress<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Progress<'_> {}

impl ShardProgress {
    /// Those in an encoded watermark, up to what can't be read.
    fn all_of(mut watermark: &[u8]) -> impl Iterator<Item = Self> {
        let fields = std::iter::from_fn(move || next(&mut watermark).ok()?);
        fields.filter_map(|field| match field {
            (3, Field::Bytes(progress)) => Self::decode(progress).ok(),
            _ => None,
        })
    }

    pub(crate) fn decode(message: &[u8]) -> Result<Self, DecodeError> {
        let mut to = Self { shard: 0, epoch: 0, lane_sequence: 0, complete_up_to: None, empty: false };
        fields(message, |number, field| {
            match (number, field) {
                (1, Field::Number(shard)) => to.shard = low(shard),
                (2, Field::Number(epoch)) => to.epoch = epoch,
                (3, Field::Number(sequence)) => to.lane_sequence = sequence,
                (4, Field::Bytes(time)) => to.complete_up_to = timestamp(time)?,
                (5, Field::Number(empty)) => to.empty = empty != 0,
                _ => {}
            }
            Ok(())
        })?;
        Ok(to)
    }
}

impl From<&pb::ShardProgress> for ShardProgress {
    fn from(it: &pb::ShardProgress) -> Self {
        let pb::ShardProgress { shard, epoch, lane_sequence, complete_up_to, empty } = it;
        let complete_up_to = complete_up_to.as_ref().and_then(date_time);
        Self { shard: *shard, epoch: *epoch, lane_sequence: *lane_sequence, complete_up_to, empty: *empty }
    }
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
            Body::Watermark(it) => {
                Self::Watermark { shards: it.shards, lanes: it.lanes, progress: Progress::Wire(&it.progress) }
            }
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
            | Body::StreamResumed(_)
            | Body::State(_)
            | Body::StateProgress(_) => Self::None,
        }
    }
}
