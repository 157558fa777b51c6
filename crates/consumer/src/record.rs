//! A record as types to match on.

use crate::detect::sighting::{Sighting, Signal};
use bridge_contract::pb::{self, record};
use bridge_contract::time::date_time;
use chrono::{DateTime, Utc};
use std::fmt;

pub use bridge_contract::pb::{ChangeValue, CrawlReason, Resource, Restored, SnapshotChange, SourceGapReason};

/// One message of the bridge.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Where it stands.
    pub position: Position,
    /// When the bridge received the answer of Asana that it comes from.
    pub received_at: Option<DateTime<Utc>>,
    /// What it says.
    pub body: Body,
}

/// Where a record stands, for the [`Detector`](super::Detector), and of which stream it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The unit of ownership in the bridge.
    pub shard: u32,
    /// A run of counters.
    pub epoch: u64,
    /// The partition, or the lane token of the subject.
    pub lane: u32,
    /// By lane.
    pub lane_sequence: u64,
    /// `account/gid` of the watched resource; empty in a record of the lane itself.
    pub stream: String,
    /// By stream.
    pub stream_sequence: u64,
}

impl Position {
    /// The bridge's name of the credential, where there is a stream.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        self.stream.split_once('/').map(|(account, _)| account)
    }

    /// The gid of the watched task, project, goal or workspace, where there is a stream.
    #[must_use]
    pub fn resource(&self) -> Option<&str> {
        self.stream.split_once('/').map(|(_, gid)| gid)
    }
}

/// What a record says. The bodies without a type of their own are those of the contract.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "nearly every record is an event: a box would cost each of them")]
pub enum Body {
    /// Something changed in Asana.
    Event(Event),
    /// An event or snapshot was too large for the bus: it is in the dead-letter topic.
    StandIn(pb::StandIn),
    /// The state of one resource, read anew.
    Snapshot(Snapshot),
    /// Snapshots of the stream begin.
    SnapshotBegin(pb::SnapshotBegin),
    /// They are complete, but for what it says was left out.
    SnapshotEnd(pb::SnapshotEnd),
    /// Asana may have lost events of the stream.
    SourceGap(SourceGap),
    /// What a source gap lost is restored.
    SourceGapHealed(pb::SourceGapHealed),
    /// A run of counters begins in this lane.
    EpochStart(pb::EpochStart),
    /// Everything up to a time is in this lane before it.
    Watermark(Watermark),
    /// The topic has more lanes.
    LanesChanged(pb::LanesChanged),
    /// Asana refuses to have the stream polled; it is asked again, slowly.
    StreamSuspended(pb::StreamSuspended),
    /// A suspended stream is polled again.
    StreamResumed,
    /// The stream is polled no more.
    StreamEnded,
    /// A newer bridge wrote it: nothing to do, but its position counts.
    Unknown,
}

/// Something changed in Asana.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What happened to the resource.
    pub action: Action,
    /// What changed: often not the watched resource, but something within it. `None` in an event of no ordinary form.
    pub resource: Option<Resource>,
    /// What it was added to or removed from.
    pub parent: Option<Resource>,
    /// Which field changed.
    pub change: Option<Change>,
    /// When, by Asana's clock.
    pub created_at: Option<DateTime<Utc>>,
    /// Who did it; `None` for Asana itself.
    pub user: Option<Resource>,
    /// The same for the same change seen through another stream.
    pub fingerprint: Fingerprint,
    /// The event's text, where the fields above don't say all of it.
    pub raw_json: Option<String>,
}

/// What happened to a resource, or to its field.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// It is new, or new in a parent.
    Added,
    /// One of its fields changed.
    Changed,
    /// It is in the bin.
    Deleted,
    /// It was taken out of a parent.
    Removed,
    /// It is back from the bin.
    Undeleted,
    /// Asana's word for something new.
    Other(String),
}

/// How a field changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Such as `completed`, `assignee`, `custom_fields`.
    pub field: String,
    /// What happened to it.
    pub action: Action,
    /// The new, added or removed value. Asana sends it for fields that hold objects only, custom fields among them: see
    /// [`Event::custom_field`].
    pub value: Option<ChangeValue>,
}

/// The state of one resource, as a re-crawl read it.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// The re-crawl.
    pub crawl_id: String,
    /// Which.
    pub resource: Option<Resource>,
    /// Where it was found.
    pub parent: Option<Resource>,
    /// All that Asana returned of it, as JSON text.
    pub state_json: String,
    /// By Asana's clock.
    pub modified_at: Option<DateTime<Utc>>,
    /// Against what the bridge knew.
    pub change: SnapshotChange,
}

/// Asana may have lost events of the stream between two times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceGap {
    /// The healing names it.
    pub gap_id: String,
    /// Why.
    pub reason: SourceGapReason,
    /// Nothing before it is lost.
    pub last_complete_poll_at: Option<DateTime<Utc>>,
    /// Nothing after it is lost.
    pub resumed_at: Option<DateTime<Utc>>,
}

/// Whatever Asana had to tell of this shard's streams at a time is in this lane, before this record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermark {
    /// The time.
    pub complete_up_to: Option<DateTime<Utc>>,
    /// How many shards there are.
    pub shards: u32,
    /// How many lanes the topic has.
    pub lanes: u32,
}

/// What happened, as 16 bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 16]);

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl Action {
    /// Asana's word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Deleted => "deleted",
            Self::Removed => "removed",
            Self::Undeleted => "undeleted",
            Self::Other(word) => word,
        }
    }
}

impl From<String> for Action {
    fn from(word: String) -> Self {
        match word.as_str() {
            "added" => Self::Added,
            "changed" => Self::Changed,
            "deleted" => Self::Deleted,
            "removed" => Self::Removed,
            "undeleted" => Self::Undeleted,
            _ => Self::Other(word),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
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
                Signal::Watermark { complete_up_to: it.complete_up_to, shards: it.shards, lanes: it.lanes }
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

impl From<pb::Record> for Record {
    fn from(record: pb::Record) -> Self {
        let pb::Position { shard, epoch, lane, lane_sequence, stream, stream_sequence } =
            record.position.unwrap_or_default();
        Self {
            position: Position { shard, epoch, lane, lane_sequence, stream, stream_sequence },
            received_at: record.received_at.as_ref().and_then(date_time),
            body: record.body.map_or(Body::Unknown, Body::from),
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
            record::Body::Watermark(it) => Self::Watermark(Watermark {
                complete_up_to: it.complete_up_to.as_ref().and_then(date_time),
                shards: it.shards,
                lanes: it.lanes,
            }),
            record::Body::LanesChanged(it) => Self::LanesChanged(it),
            record::Body::StreamSuspended(it) => Self::StreamSuspended(it),
            record::Body::StreamResumed(_) => Self::StreamResumed,
            record::Body::StreamEnded(_) => Self::StreamEnded,
        }
    }
}

impl From<pb::Event> for Event {
    fn from(event: pb::Event) -> Self {
        Self {
            action: event.action.into(),
            resource: event.resource,
            parent: event.parent,
            change: event.change.map(Change::from),
            created_at: event.created_at.as_ref().and_then(date_time),
            user: event.user,
            fingerprint: Fingerprint(event.fingerprint.as_slice().try_into().unwrap_or_default()),
            raw_json: Some(event.raw_json).filter(|text| !text.is_empty()),
        }
    }
}

impl From<pb::Change> for Change {
    fn from(change: pb::Change) -> Self {
        let value = change.new_value.or(change.added_value).or(change.removed_value);
        Self { field: change.field, action: change.action.into(), value }
    }
}

impl From<pb::Snapshot> for Snapshot {
    fn from(snapshot: pb::Snapshot) -> Self {
        let change = snapshot.change();
        Self {
            crawl_id: snapshot.crawl_id,
            resource: snapshot.resource,
            parent: snapshot.parent,
            state_json: snapshot.state_json,
            modified_at: snapshot.modified_at.as_ref().and_then(date_time),
            change,
        }
    }
}

impl From<pb::SourceGap> for SourceGap {
    fn from(gap: pb::SourceGap) -> Self {
        Self {
            reason: gap.reason(),
            last_complete_poll_at: gap.last_complete_poll_at.as_ref().and_then(date_time),
            resumed_at: gap.resumed_at.as_ref().and_then(date_time),
            gap_id: gap.gap_id,
        }
    }
}
