//! A detector's state as bytes, to be stored beside the reader's own offsets.

use crate::detect::gaps::{GapKey, Gaps};
use crate::detect::holes::{Hole, Holes};
use crate::detect::track::{BEGINNING, Tally, Track, Watermark};
use crate::detect::{Detector, LaneTracks, Limits, Size, Spread, Start, View};
use bridge_contract::Timestamp;
use bridge_contract::time::{date_time, timestamp};
use chrono::{DateTime, Utc};
use prost::Message;

/// The format's version. Raised when older readers would misunderstand the bytes.
const VERSION: u32 = 3;
/// The oldest format that this version reads.
const OLDEST: u32 = 2;

/// Why saved bytes can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// The bytes are something else, or damaged.
    #[error("this is no saved detector: {0}")]
    Damaged(#[from] prost::DecodeError),
    /// A later version of this library wrote the bytes.
    #[error("the detector was saved in format {found}, and this version knows {VERSION}")]
    Version {
        /// The format of the bytes.
        found: u32,
    },
    /// The bytes are of a detector that follows the other counter.
    #[error("the detector was saved by another view")]
    View,
    /// The state of all shards and source gaps doesn't fit into the room.
    #[error("the lane's state takes {bytes} bytes, and there is room for {room}")]
    TooLarge {
        /// The size without any holes, in bytes.
        bytes: usize,
        /// The room, in bytes.
        room: usize,
    },
}

#[derive(Clone, PartialEq, Message)]
struct Saved {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(bool, tag = "2")]
    by_stream: bool,
    #[prost(bool, tag = "3")]
    middle: bool,
    #[prost(message, repeated, tag = "4")]
    topics: Vec<SavedTopic>,
    #[prost(message, repeated, tag = "5")]
    streams: Vec<SavedTrack>,
    #[prost(message, optional, tag = "6")]
    gaps: Option<SavedGaps>,
    #[prost(uint64, tag = "7")]
    clock: u64,
    #[prost(uint64, tag = "8")]
    forgotten: u64,
    #[prost(uint64, tag = "9")]
    unnumbered: u64,
    /// Read, missing, duplicates, reordered, older, of the tracks that were forgotten.
    #[prost(uint64, repeated, tag = "10")]
    gone: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct SavedTopic {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(uint32, tag = "2")]
    shards: u32,
    #[prost(uint64, tag = "5")]
    shards_epoch: u64,
    /// Shard, where its lanes began, how many it writes to; one after the other.
    #[prost(uint32, repeated, tag = "3")]
    spread: Vec<u32>,
    #[prost(message, repeated, tag = "4")]
    lanes: Vec<SavedLane>,
}

#[derive(Clone, PartialEq, Message)]
struct SavedLane {
    #[prost(uint32, tag = "1")]
    lane: u32,
    /// The start: 0 if it isn't set, 1 for the beginning, 2 for the middle.
    #[prost(uint32, tag = "2")]
    start: u32,
    #[prost(message, repeated, tag = "3")]
    shards: Vec<SavedTrack>,
    #[prost(message, optional, tag = "4")]
    gaps: Option<SavedGaps>,
}

#[derive(Clone, PartialEq, Message)]
struct SavedTrack {
    #[prost(uint32, tag = "1")]
    shard: u32,
    #[prost(string, tag = "2")]
    stream: String,
    /// The epoch of the floor. 0 stands for the first one of `epochs`.
    #[prost(uint64, tag = "3")]
    floor_epoch: u64,
    #[prost(uint64, tag = "4")]
    floor_sequence: u64,
    #[prost(message, repeated, tag = "9")]
    epochs: Vec<SavedEpoch>,
    /// The counts: read, forgotten, duplicates, reordered, older, accepted. Zeros at the end are left out.
    #[prost(uint64, repeated, tag = "5")]
    counted: Vec<u64>,
    /// Used if the time has no whole milliseconds.
    #[prost(message, optional, tag = "6")]
    complete_up_to: Option<Timestamp>,
    #[prost(int64, optional, tag = "11")]
    complete_up_to_ms: Option<i64>,
    #[prost(message, optional, tag = "7")]
    pending: Option<SavedWatermark>,
    /// The time of the last record, by the detector's count. 0 if it isn't known.
    #[prost(uint64, tag = "8")]
    seen_at: u64,
    #[prost(bool, tag = "10")]
    is_cut: bool,
    #[prost(bool, tag = "12")]
    is_empty: bool,
}

#[derive(Clone, PartialEq, Message)]
struct SavedEpoch {
    #[prost(uint64, tag = "1")]
    epoch: u64,
    #[prost(uint64, tag = "2")]
    end: u64,
    /// For each hole, its distance from the end of the hole before, and its width.
    #[prost(uint64, repeated, tag = "3")]
    holes: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct SavedWatermark {
    /// The epoch of the watermark. 0 stands for the first one of `epochs`.
    #[prost(uint64, tag = "1")]
    epoch: u64,
    #[prost(uint64, tag = "2")]
    sequence: u64,
    /// Used if the time has no whole milliseconds.
    #[prost(message, optional, tag = "3")]
    time: Option<Timestamp>,
    #[prost(int64, optional, tag = "4")]
    time_ms: Option<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct SavedGaps {
    #[prost(message, repeated, tag = "1")]
    open: Vec<SavedGap>,
    #[prost(message, repeated, tag = "2")]
    healed_early: Vec<SavedGap>,
    #[prost(uint64, tag = "3")]
    unkept: u64,
}

#[derive(Clone, PartialEq, Message)]
struct SavedGap {
    #[prost(string, tag = "1")]
    stream: String,
    #[prost(string, tag = "2")]
    gap_id: String,
    #[prost(message, optional, tag = "3")]
    since: Option<Timestamp>,
}

impl Detector {
    /// Saves the whole state of the detector.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        self.saved().encode_to_vec()
    }

    /// Saves the state of one lane, in at most `room` bytes, for readers that pass lanes to other readers. If there is too
    /// little room, the saved state drops as many of the lowest holes as necessary, and then the source gaps' names.
    ///
    /// # Errors
    /// `TooLarge` if even that isn't enough.
    pub fn save_lane(&self, topic: &str, lane: u32, room: usize) -> Result<Vec<u8>, StateError> {
        let mut part = Self::new(self.view, self.start, self.limits);
        if let Some(tracks) = self.topics.get(topic) {
            let copy = part.topics.entry_ref(topic).or_default();
            (copy.shards, copy.spread) = (tracks.shards, tracks.spread.clone());
            copy.lanes.extend(tracks.lanes.get(&lane).map(|tracks| (lane, tracks.clone())));
            if self.has_forgotten() {
                copy.lanes.entry(lane).or_default().start = Some(Start::Middle);
            }
        }
        // The new reader's detector has a count of its own.
        part.tracks_mut().for_each(|track| track.seen_at = 0);
        part.size.holes = part.tracks_mut().map(|track| track.holes.len()).sum();
        loop {
            let saved = part.saved().encode_to_vec();
            if saved.len() <= room {
                return Ok(saved);
            }
            if part.size.holes > 0 {
                if let Some(worst) = part.tracks_mut().max_by_key(|track| track.holes.len()) {
                    worst.give_up(worst.holes.len().div_ceil(2));
                }
                part.size.holes = part.tracks_mut().map(|track| track.holes.len()).sum();
            } else if !part.forget_gaps() {
                return Err(StateError::TooLarge { bytes: saved.len(), room });
            }
        }
    }

    /// Replaces open source gaps by their number. Returns whether there were any.
    fn forget_gaps(&mut self) -> bool {
        let mut any = false;
        for gaps in self.topics.values_mut().flat_map(|topic| topic.lanes.values_mut()).map(|lane| &mut lane.gaps) {
            any |= !gaps.open.is_empty() || !gaps.healed_early.is_empty();
            *gaps = Gaps { unkept: gaps.unkept + gaps.open.len() as u64, ..Gaps::default() };
        }
        any
    }

    /// Restores a detector from saved bytes.
    ///
    /// # Errors
    /// The bytes aren't a saved detector that this version knows.
    pub fn restore(saved: &[u8], limits: Limits) -> Result<Self, StateError> {
        let saved = decode(saved)?;
        let view = if saved.by_stream { View::ByStream } else { View::ByLane };
        let start = if saved.middle { Start::Middle } else { Start::Beginning };
        let mut detector = Self::new(view, start, limits);
        (detector.forgotten, detector.unnumbered) = (saved.forgotten, saved.unnumbered);
        detector.gone = tally(&saved.gone);
        detector.absorb(saved);
        Ok(detector)
    }

    /// Restores the state of one lane, and replaces the current state of it.
    ///
    /// # Errors
    /// As [`restore`](Self::restore), and `View` if the bytes are of a detector that follows the other counter.
    pub fn restore_lane(&mut self, saved: &[u8]) -> Result<(), StateError> {
        let saved = decode(saved)?;
        if saved.by_stream != (self.view == View::ByStream) {
            return Err(StateError::View);
        }
        self.absorb(saved);
        Ok(())
    }

    fn absorb(&mut self, saved: Saved) {
        self.clock = self.clock.max(saved.clock);
        for topic in saved.topics {
            for lane in &topic.lanes {
                self.forget_lane(&topic.name, lane.lane);
            }
            let tracks = self.topics.entry_ref(topic.name.as_str()).or_default();
            tracks.shards = tracks.shards.max((topic.shards_epoch, topic.shards));
            for [shard, began, lanes] in topic.spread.as_chunks().0 {
                let spread = tracks.spread.entry(*shard).or_insert(Spread { began: *began, lanes: *lanes });
                spread.lanes = spread.lanes.max(*lanes);
            }
            for lane in topic.lanes {
                let start = match lane.start {
                    0 => None,
                    1 => Some(Start::Beginning),
                    _ => Some(Start::Middle),
                };
                let shards = lane.shards.into_iter().map(|track| (track.shard, track.load(self.clock))).collect();
                let gaps = lane.gaps.map(SavedGaps::load).unwrap_or_default();
                tracks.lanes.insert(lane.lane, LaneTracks { start, shards, gaps });
            }
        }
        for stream in saved.streams {
            self.streams.insert(stream.stream.clone(), stream.load(self.clock));
        }
        if let Some(gaps) = saved.gaps {
            self.gaps = gaps.load();
        }
        let (tracks, holes) = self.tracks_mut().fold((0, 0), |(count, holes), it| (count + 1, holes + it.holes.len()));
        self.size = Size { tracks, holes };
    }

    fn saved(&self) -> Saved {
        let mut topics: Vec<_> = self
            .topics
            .iter()
            .map(|(name, topic)| SavedTopic {
                name: name.clone(),
                shards: topic.shards.1,
                shards_epoch: topic.shards.0,
                spread: topic.spread.iter().flat_map(|(shard, it)| [*shard, it.began, it.lanes]).collect(),
                lanes: topic.lanes.iter().map(|(lane, tracks)| SavedLane::of(*lane, tracks)).collect(),
            })
            .collect();
        topics.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        let mut streams: Vec<_> =
            self.streams.iter().map(|(stream, track)| SavedTrack::of(0, stream.clone(), track)).collect();
        streams.sort_unstable_by(|one, other| one.stream.cmp(&other.stream));
        Saved {
            version: VERSION,
            by_stream: self.view == View::ByStream,
            middle: self.start == Start::Middle,
            topics,
            streams,
            gaps: SavedGaps::of(&self.gaps),
            clock: self.clock,
            forgotten: self.forgotten,
            unnumbered: self.unnumbered,
            gone: if self.has_forgotten() { counts(self.gone).into() } else { Vec::new() },
        }
    }
}

fn decode(saved: &[u8]) -> Result<Saved, StateError> {
    let saved = Saved::decode(saved)?;
    if (OLDEST..=VERSION).contains(&saved.version) {
        Ok(saved)
    } else {
        Err(StateError::Version { found: saved.version })
    }
}

impl SavedLane {
    fn of(lane: u32, tracks: &LaneTracks) -> Self {
        let start = match tracks.start {
            None => 0,
            Some(Start::Beginning) => 1,
            Some(Start::Middle) => 2,
        };
        let shards = tracks.shards.iter().map(|(shard, track)| SavedTrack::of(*shard, String::new(), track)).collect();
        Self { lane, start, shards, gaps: SavedGaps::of(&tracks.gaps) }
    }
}

impl SavedTrack {
    fn of(shard: u32, stream: String, track: &Track) -> Self {
        let mut counted: Vec<_> = counts(track.counted).into_iter().chain([track.accepted]).collect();
        counted.truncate(counted.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1));
        let first_epoch = track.ends.first_key_value().map(|(epoch, _)| *epoch);
        let or_first = |epoch: u64| if first_epoch == Some(epoch) { 0 } else { epoch };
        let (complete_up_to, complete_up_to_ms) = track.complete_up_to.map_or((None, None), short);
        let pending = |it: Watermark| {
            let (time, time_ms) = short(it.time);
            SavedWatermark { epoch: or_first(it.at.0), sequence: it.at.1, time, time_ms }
        };
        Self {
            shard,
            stream,
            floor_epoch: or_first(track.floor.0),
            floor_sequence: track.floor.1,
            epochs: track.ends.iter().map(|(epoch, end)| SavedEpoch::of(*epoch, *end, &track.holes)).collect(),
            counted,
            complete_up_to,
            complete_up_to_ms,
            pending: track.watermark.filter(|it| Some(it.time) > track.complete_up_to).map(pending),
            seen_at: track.seen_at,
            is_cut: track.is_cut,
            is_empty: track.is_empty(),
        }
    }

    /// `now` is the detector's count of records.
    fn load(self, now: u64) -> Track {
        let first_epoch = self.epochs.first().map_or(0, |it| it.epoch);
        let or_first = |epoch: u64| if epoch == 0 { first_epoch } else { epoch };
        let pending = |it: SavedWatermark| {
            let time = long(it.time.as_ref(), it.time_ms)?;
            Some(Watermark { at: (or_first(it.epoch), it.sequence), time })
        };
        let complete_up_to = long(self.complete_up_to.as_ref(), self.complete_up_to_ms);
        // The place of the watermark no longer matters.
        let held = complete_up_to.map(|time| Watermark { at: BEGINNING, time });
        let mut holes = Holes::default();
        self.epochs.iter().for_each(|epoch| epoch.load(&mut holes));
        let mut track = Track {
            floor: (or_first(self.floor_epoch), self.floor_sequence),
            ends: self.epochs.iter().map(|epoch| (epoch.epoch, epoch.end)).collect(),
            holes,
            counted: tally(&self.counted),
            accepted: self.counted.get(5).copied().unwrap_or_default(),
            is_cut: self.is_cut,
            watermark: self.pending.and_then(pending).or(held),
            complete_up_to,
            empty_at: None,
            seen_at: if self.seen_at == 0 { now } else { self.seen_at },
        };
        track.empty_at = self.is_empty.then(|| track.last());
        track
    }
}

impl SavedEpoch {
    fn of(epoch: u64, end: u64, holes: &Holes) -> Self {
        let (mut behind, mut saved) = (0, Vec::new());
        for Hole { first, last, .. } in holes.of(epoch) {
            saved.extend([first.saturating_sub(behind), last - first]);
            behind = last;
        }
        Self { epoch, end, holes: saved }
    }

    fn load(&self, holes: &mut Holes) {
        let mut end: u64 = 0;
        for [behind, more] in self.holes.as_chunks().0 {
            let first = end.saturating_add(*behind);
            end = first.saturating_add(*more);
            holes.open((self.epoch, first), end);
        }
    }
}

impl SavedGaps {
    fn of(gaps: &Gaps) -> Option<Self> {
        let gap = |key: &GapKey, since: Option<DateTime<Utc>>| SavedGap {
            stream: key.stream.clone(),
            gap_id: key.gap_id.clone(),
            since: since.and_then(timestamp),
        };
        (*gaps != Gaps::default()).then(|| Self {
            open: gaps.open.iter().map(|(key, since)| gap(key, *since)).collect(),
            healed_early: gaps.healed_early.iter().map(|key| gap(key, None)).collect(),
            unkept: gaps.unkept,
        })
    }

    fn load(self) -> Gaps {
        let load = |it: SavedGap| (GapKey { stream: it.stream, gap_id: it.gap_id }, time(it.since.as_ref()));
        Gaps {
            open: self.open.into_iter().map(load).collect(),
            healed_early: self.healed_early.into_iter().map(|gap| load(gap).0).collect(),
            unkept: self.unkept,
        }
    }
}

fn counts(Tally { read, missing, duplicates, reordered, older }: Tally) -> [u64; 5] {
    [read, missing, duplicates, reordered, older]
}

fn tally(saved: &[u64]) -> Tally {
    let count = |at: usize| saved.get(at).copied().unwrap_or_default();
    Tally { read: count(0), missing: count(1), duplicates: count(2), reordered: count(3), older: count(4) }
}

/// A time in one of two forms: whole milliseconds take half the room.
fn short(time: DateTime<Utc>) -> (Option<Timestamp>, Option<i64>) {
    let ms = time.timestamp_millis();
    if DateTime::from_timestamp_millis(ms) == Some(time) { (None, Some(ms)) } else { (timestamp(time), None) }
}

fn long(saved: Option<&Timestamp>, ms: Option<i64>) -> Option<DateTime<Utc>> {
    ms.and_then(DateTime::from_timestamp_millis).or_else(|| time(saved))
}

fn time(saved: Option<&Timestamp>) -> Option<DateTime<Utc>> {
    saved.and_then(date_time)
}
