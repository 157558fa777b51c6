//! A record as Rust types to match on.

use crate::detect::sighting::{Progress, ShardProgress, Sighting, Signal};
use bridge_contract::pb::{self, record};
use bridge_contract::time::date_time;
use chrono::{DateTime, Utc};
use std::fmt;

pub use bridge_contract::Action;
pub use bridge_contract::pb::{
    ChangeValue, CrawlReason, Resource, Restored, SnapshotChange, SnapshotReason, SourceGapReason,
};

/// One message of the bridge.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The place of the record, by two counters.
    pub position: Position,
    /// When the bridge received the answer of Asana that the record comes from.
    pub received_at: Option<DateTime<Utc>>,
    /// The content of the record.
    pub body: Body,
}

/// The place of a record, for the [`Detector`](super::Detector), and the stream that it belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The shard: a part of the bridge's streams that one replica owns.
    pub shard: u32,
    /// The epoch: a run of counters without holes.
    pub epoch: u64,
    /// The lane: the Kafka partition, or the lane token of the NATS subject.
    pub lane: u32,
    /// Contiguous for each topic, shard, epoch and lane.
    pub lane_sequence: u64,
    /// `account/gid` of the watched resource; empty in a record of the lane itself.
    pub stream: String,
    /// Contiguous for each stream and epoch. 0 in a record of the lane itself.
    pub stream_sequence: u64,
}

impl Position {
    /// The bridge's name of the credential. `None` in a record of the lane itself.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        self.stream.split_once('/').map(|(account, _)| account)
    }

    /// The gid of the watched task, project, goal or workspace. `None` in a record of the lane itself.
    #[must_use]
    pub fn resource(&self) -> Option<&str> {
        self.stream.split_once('/').map(|(_, gid)| gid)
    }
}

/// The content of a record. Bodies without a type of their own here are the contract's types.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Body {
    /// Something changed in Asana.
    Event(Event),
    /// An event or snapshot was too large for the bus. The dead-letter topic has it.
    StandIn(pb::StandIn),
    /// The state of one resource, read by a crawl, or after an event.
    Snapshot(Snapshot),
    /// A crawl of the stream's resources begins.
    SnapshotBegin(pb::SnapshotBegin),
    /// The crawl is complete, except what `left_out` lists.
    SnapshotEnd(pb::SnapshotEnd),
    /// Asana may have lost events of the stream.
    SourceGap(SourceGap),
    /// The state that a source gap may have changed is restored.
    SourceGapHealed(pb::SourceGapHealed),
    /// A run of counters begins in this lane.
    EpochStart(pb::EpochStart),
    /// Everything up to a time is in this lane, before this record.
    Watermark(Watermark),
    /// The topic has more lanes.
    LanesChanged(pb::LanesChanged),
    /// Asana refuses polls of the stream. The bridge polls it again at long intervals.
    StreamSuspended(pb::StreamSuspended),
    /// A suspended stream is polled again.
    StreamResumed,
    /// The bridge no longer polls the stream.
    StreamEnded,
    /// The latest state of a resource. Only in the state topic. Its position is that of the snapshot that it comes from.
    State(pb::State),
    /// How complete the state topic is, as far as one shard knows. Only in the state topic; it has no sequences.
    StateProgress(pb::StateProgress),
    /// A body of a newer bridge. Ignore it, but count its position.
    Unknown,
}

/// Something changed in Asana.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What happened to the resource.
    pub action: Action,
    /// What changed: often not the watched resource, but something inside it. `None` if the event has an unknown form.
    pub resource: Option<Resource>,
    /// The resource that it was added to or removed from.
    pub parent: Option<Resource>,
    /// Which field changed. Only with the action `changed`.
    pub change: Option<Change>,
    /// When it happened, by Asana's clock. `None` if a `Timestamp` can't hold the time.
    pub created_at: Option<DateTime<Utc>>,
    /// The user who did it. `None` if Asana itself did it.
    pub user: Option<Resource>,
    /// A hash of the content. The same change has the same fingerprint in two streams.
    pub fingerprint: Fingerprint,
    /// The event's JSON text, if the fields above don't contain all of it.
    pub raw_json: Option<String>,
}

/// How a field changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The field's name, such as `completed`, `assignee`, `custom_fields`. An open set.
    pub field: String,
    /// What happened to the field.
    pub action: Action,
    /// The new, added or removed value. Asana sends it only for fields that hold objects, which include custom fields: see
    /// [`Event::custom_field`].
    pub value: Option<ChangeValue>,
}

/// The state of one resource, as a crawl read it, or as it was read after an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// The crawl that the snapshot belongs to. Empty if it was read after an event.
    pub crawl_id: String,
    /// The resource whose state this is.
    pub resource: Option<Resource>,
    /// Where the crawl found it: the project or section of a task, the task of a subtask. `None` if this isn't known.
    pub parent: Option<Resource>,
    /// Everything that Asana returned of it, as JSON text.
    pub state_json: String,
    /// Asana's `modified_at`, if there is one.
    pub modified_at: Option<DateTime<Utc>>,
    /// The difference from the state that the bridge published last.
    pub change: SnapshotChange,
    /// Why it was read.
    pub reason: SnapshotReason,
    /// If it was read after an event: the position of the newest event that asked for it.
    pub asked_by: Option<pb::Position>,
    /// If it was read after an event: the streams that show the resource.
    pub streams: Vec<String>,
}

/// Asana may have lost events of the stream between two times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceGap {
    /// The identity of the gap. `SourceGapHealed` refers to it.
    pub gap_id: String,
    /// Why the gap opened.
    pub reason: SourceGapReason,
    /// No event that Asana offered before this time is lost.
    pub last_complete_poll_at: Option<DateTime<Utc>>,
    /// No event that Asana offers after this time is lost.
    pub resumed_at: Option<DateTime<Utc>>,
}

/// How far this lane is, by shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watermark {
    /// The number of shards of the bridge.
    pub shards: u32,
    /// The number of lanes of the topic.
    pub lanes: u32,
    /// The shards that the watermark is about.
    pub progress: Vec<ShardProgress>,
}

/// A hash of an event's content, 16 bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 16]);

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl<'a> From<&'a Record> for Sighting<'a> {
    fn from(record: &'a Record) -> Self {
        let Position { shard, epoch, lane, lane_sequence, stream, stream_sequence } = &record.position;
        let signal = match &record.body {
            Body::EpochStart(it) => Signal::EpochStart {
                previous_epoch: it.previous_epoch,
                previous_lane_sequence: it.previous_lane_sequence,
            },
            Body::Watermark(it) => {
                Signal::Watermark { shards: it.shards, lanes: it.lanes, progress: Progress::Read(&it.progress) }
            }
            Body::SourceGap(it) => Signal::SourceGap { gap_id: &it.gap_id, since: it.last_complete_poll_at },
            Body::SourceGapHealed(it) => Signal::SourceGapHealed { gap_id: &it.gap_id },
            Body::LanesChanged(it) => Signal::LanesChanged { previous_count: it.previous_count, count: it.count },
            Body::StreamEnded => Signal::StreamEnded,
            Body::Event(_)
            | Body::StandIn(_)
            | Body::Snapshot(_)
            | Body::SnapshotBegin(_)
            | Body::SnapshotEnd(_)
            | Body::StreamSuspended(_)
            | Body::StreamResumed
            | Body::State(_)
            | Body::StateProgress(_)
            | Body::Unknown => Signal::None,
        };
        Self {
            shard: *shard,
            epoch: *epoch,
            lane: *lane,
            lane_sequence: *lane_sequence,
            stream,
            stream_sequence: *stream_sequence,
            signal,
        }
    }
}

// Each message is taken apart by all of its fields, so that the compiler reports a field that is new in the contract.

impl From<pb::Record> for Record {
    fn from(record: pb::Record) -> Self {
        let pb::Record { position, received_at, body } = record;
        let pb::Position { shard, epoch, lane, lane_sequence, stream, stream_sequence } = position.unwrap_or_default();
        Self {
            position: Position { shard, epoch, lane, lane_sequence, stream, stream_sequence },
            received_at: received_at.as_ref().and_then(date_time),
            body: body.map_or(Body::Unknown, Body::from),
        }
    }
}

impl From<record::Body> for Body {
    fn from(body: record::Body) -> Self {
        match body {
            record::Body::Event(event) => Self::Event(event.into()),
            record::Body::StandIn(it) => Self::StandIn(it),
            record::Body::Snapshot(it) => Self::Snapshot(it.into()),
            record::Body::SnapshotBegin(it) => Self::SnapshotBegin(it),
            record::Body::SnapshotEnd(it) => Self::SnapshotEnd(it),
            record::Body::SourceGap(it) => Self::SourceGap(it.into()),
            record::Body::SourceGapHealed(it) => Self::SourceGapHealed(it),
            record::Body::EpochStart(it) => Self::EpochStart(it),
            record::Body::Watermark(it) => Self::Watermark(it.into()),
            record::Body::LanesChanged(it) => Self::LanesChanged(it),
            record::Body::StreamSuspended(it) => Self::StreamSuspended(it),
            record::Body::StreamResumed(_) => Self::StreamResumed,
            record::Body::StreamEnded(_) => Self::StreamEnded,
            record::Body::State(it) => Self::State(it),
            record::Body::StateProgress(it) => Self::StateProgress(it),
        }
    }
}

impl From<pb::Event> for Event {
    fn from(event: pb::Event) -> Self {
        // `type` is Asana's deprecated copy of the resource's type.
        let pb::Event { action, resource, parent, change, created_at, user, r#type: _, fingerprint, raw_json } = event;
        Self {
            action: action.as_str().into(),
            resource,
            parent,
            change: change.map(Change::from),
            created_at: created_at.as_ref().and_then(date_time),
            user,
            fingerprint: Fingerprint(fingerprint.as_slice().try_into().unwrap_or_default()),
            raw_json: Some(raw_json).filter(|text| !text.is_empty()),
        }
    }
}

impl From<pb::Watermark> for Watermark {
    fn from(watermark: pb::Watermark) -> Self {
        let pb::Watermark { shards, lanes, progress } = watermark;
        Self { shards, lanes, progress: progress.iter().map(ShardProgress::from).collect() }
    }
}

impl From<pb::Change> for Change {
    fn from(change: pb::Change) -> Self {
        let pb::Change { field, action, added_value, new_value, removed_value } = change;
        Self { field, action: action.as_str().into(), value: new_value.or(added_value).or(removed_value) }
    }
}

impl From<pb::Snapshot> for Snapshot {
    fn from(snapshot: pb::Snapshot) -> Self {
        let pb::Snapshot { crawl_id, resource, parent, state_json, modified_at, change, reason, asked_by, streams } =
            snapshot;
        Self {
            reason: SnapshotReason::try_from(reason).unwrap_or_default(),
            asked_by,
            streams,
            crawl_id,
            resource,
            parent,
            state_json,
            modified_at: modified_at.as_ref().and_then(date_time),
            change: SnapshotChange::try_from(change).unwrap_or_default(),
        }
    }
}

impl From<pb::SourceGap> for SourceGap {
    fn from(gap: pb::SourceGap) -> Self {
        let pb::SourceGap { gap_id, reason, last_complete_poll_at, resumed_at } = gap;
        Self {
            gap_id,
            reason: SourceGapReason::try_from(reason).unwrap_or_default(),
            last_complete_poll_at: last_complete_poll_at.as_ref().and_then(date_time),
            resumed_at: resumed_at.as_ref().and_then(date_time),
        }
    }
}
