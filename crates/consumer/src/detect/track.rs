//! One track: the counter of a shard's records in a lane, or of a stream's.

use crate::detect::holes::{Hole, Holes, width};
use crate::detect::sighting::ShardProgress;
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::BTreeMap;

/// The number of epochs that a track remembers: the current one, and those whose late records may still come.
const EPOCHS: usize = 4;

/// The continuity of a record with the records that were seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuity {
    /// The record follows directly after the greatest one.
    InOrder,
    /// This number of sequences before the record wasn't seen. They may still come, as `Reordered`.
    Missing(u64),
    /// The record was seen before.
    Duplicate,
    /// The record was missing before, and came late.
    Reordered,
    /// The record is older than what the detector remembers: it is from before the reader joined, or from a hole that
    /// was forgotten. Whether it was seen before isn't known.
    Older,
    /// It has no position, or one that the wire contract doesn't allow.
    Unnumbered,
    /// A record of the lane itself, which belongs to no stream, in a detector that follows streams.
    NotFollowed,
}

impl Continuity {
    /// A name for scripts.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::InOrder => "in_order",
            Self::Missing(_) => "missing",
            Self::Duplicate => "duplicate",
            Self::Reordered => "reordered",
            Self::Older => "older",
            Self::Unnumbered => "unnumbered",
            Self::NotFollowed => "not_followed",
        }
    }
}

/// Counts over the records of a track, or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// All records, with the duplicates.
    pub read: u64,
    /// Sequences known to exist that weren't seen.
    pub missing: u64,
    /// Records that were seen before.
    pub duplicates: u64,
    /// Records that came later than a greater sequence.
    pub reordered: u64,
    /// Records from before what the detector remembers.
    pub older: u64,
}

impl Tally {
    /// Adds the counts of another tally.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            read: self.read + other.read,
            missing: self.missing.saturating_add(other.missing),
            duplicates: self.duplicates + other.duplicates,
            reordered: self.reordered + other.reordered,
            older: self.older + other.older,
        }
    }
}

/// The result of the last record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) continuity: Continuity,
    /// The record is the first one of its epoch. This is the epoch before it.
    pub(super) epoch_after: Option<u64>,
}

/// Epoch and sequence, which order the records of a track.
pub(super) type Place = (u64, u64);

/// The place of the first record that ever existed.
pub(super) const BEGINNING: Place = (1, 1);

/// The sequences that were seen: all from `floor` to the end of each epoch, except the holes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Track {
    /// Everything before this place is forgotten.
    pub(super) floor: Place,
    /// For each epoch, the last sequence that is known to exist.
    pub(super) ends: BTreeMap<u64, u64>,
    pub(super) holes: Holes,
    /// In `missing`, only the holes that were forgotten. [`tally`](Self::tally) adds the others.
    pub(super) counted: Tally,
    /// The number of forgotten missing records that the reader has accepted.
    pub(super) accepted: u64,
    /// Whether the end of an epoch isn't known, so that its last records may be missing.
    pub(super) is_cut: bool,
    /// The latest watermark, whether something is missing before it or not.
    pub(super) watermark: Option<Watermark>,
    /// The time of the latest watermark with nothing missing before it.
    pub(super) complete_up_to: Option<DateTime<Utc>>,
    /// The last record of the shard when a watermark said that it has no streams.
    pub(super) empty_at: Option<Place>,
    /// The time of the last record, by the detector's count.
    pub(super) seen_at: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Watermark {
    pub(super) at: Place,
    pub(super) time: DateTime<Utc>,
}

impl Track {
    /// A track that is read from `floor` on.
    pub(super) fn new(floor: Place) -> Self {
        Self {
            floor,
            ends: BTreeMap::new(),
            holes: Holes::default(),
            counted: Tally::default(),
            accepted: 0,
            is_cut: false,
            watermark: None,
            complete_up_to: None,
            empty_at: None,
            seen_at: 0,
        }
    }

    /// Takes the next record.
    pub(super) fn observe(&mut self, at: Place) -> Seen {
        let newest = self.ends.last_key_value().map(|(epoch, _)| *epoch);
        let continuity = self.place(at);
        self.retire();
        self.counted.read += 1;
        match continuity {
            Continuity::Duplicate => self.counted.duplicates += 1,
            Continuity::Reordered => self.counted.reordered += 1,
            Continuity::Older => self.counted.older += 1,
            Continuity::InOrder | Continuity::Missing(_) | Continuity::Unnumbered | Continuity::NotFollowed => {}
        }
        Seen { continuity, epoch_after: newest.filter(|newest| *newest < at.0) }
    }

    fn place(&mut self, at: Place) -> Continuity {
        if at < self.floor {
            return Continuity::Older;
        }
        let (epoch, sequence) = at;
        let end = self.end(epoch);
        if sequence > *end {
            let first = *end + 1;
            *end = sequence;
            if first == sequence {
                return Continuity::InOrder;
            }
            self.holes.open((epoch, first), sequence - 1);
            Continuity::Missing(sequence - first)
        } else if self.holes.fill(at) {
            Continuity::Reordered
        } else {
            Continuity::Duplicate
        }
    }

    /// Notes the last sequence of an epoch. Returns the number of newly missing records.
    pub(super) fn expect(&mut self, at: Place) -> u64 {
        let (epoch, last) = at;
        if at < self.floor || !(1..u64::MAX).contains(&last) {
            return 0;
        }
        let end = self.end(epoch);
        let (first, missing) = (end.saturating_add(1), last.saturating_sub(*end));
        if missing > 0 {
            *end = last;
            self.holes.open((epoch, first), last);
        }
        self.retire();
        missing
    }

    /// Begins an epoch. `previous` is the end of the epoch before. Returns that epoch, and the number of its records
    /// that are newly missing. If the bridge doesn't know an epoch that was seen here (it lost its counters), the
    /// number isn't known.
    pub(super) fn begin(&mut self, epoch: u64, previous: Place) -> (u64, Option<u64>) {
        if previous.0 == 0
            && let Some((before, _)) = self.ends.range(..epoch).next_back()
        {
            self.is_cut = true;
            return (*before, None);
        }
        (previous.0, Some(self.expect(previous)))
    }

    /// The last sequence of the epoch that is known to exist. A reader that has seen an earlier epoch has seen this one
    /// begin.
    fn end(&mut self, epoch: u64) -> &mut u64 {
        let before = if epoch == self.floor.0 { self.floor.1.saturating_sub(1) } else { 0 };
        self.ends.entry(epoch).or_insert(before)
    }

    fn retire(&mut self) {
        while self.ends.len() > EPOCHS
            && let Some((epoch, _)) = self.ends.pop_first()
        {
            let floor = (epoch.saturating_add(1), 1);
            while self.holes.lowest().is_some_and(|hole| hole < floor) {
                self.give_up(1);
            }
            self.floor = self.floor.max(floor);
        }
    }

    /// Notes what a watermark says of the shard. `late`: it was missing before, so that a newer one may have said
    /// otherwise. Returns the number of newly missing records.
    pub(super) fn note(&mut self, progress: &ShardProgress, late: bool) -> u64 {
        let at = (progress.epoch, progress.lane_sequence);
        let missing = self.expect(at);
        if let Some(time) = progress.complete_up_to
            && self.latest() < Some(time)
        {
            self.watermark = Some(Watermark { at, time });
        }
        if !late {
            self.empty_at = progress.empty.then_some(at);
        }
        self.advance();
        missing
    }

    /// The latest watermark counts once nothing before it is missing.
    pub(super) fn advance(&mut self) {
        let Some(Watermark { at, time }) = self.watermark else { return };
        let lacks = self.is_cut || self.has_given_up() || self.holes.lowest().is_some_and(|hole| hole <= at);
        if !lacks {
            self.complete_up_to = self.complete_up_to.max(Some(time));
        }
    }

    /// The shard has no streams, and has written nothing since a watermark said so.
    pub(super) fn is_empty(&self) -> bool {
        self.empty_at == Some(self.last()) && !self.lacks()
    }

    /// The last record that is known to exist. For a reader that has joined and seen none: the one before.
    pub(super) fn last(&self) -> Place {
        let (epoch, first) = self.floor;
        self.ends.last_key_value().map_or_else(|| (epoch, first.saturating_sub(1)), |(epoch, end)| (*epoch, *end))
    }

    /// The time of the latest watermark.
    pub(super) fn latest(&self) -> Option<DateTime<Utc>> {
        self.watermark.map(|watermark| watermark.time)
    }

    /// Whether anything is missing that the reader hasn't accepted.
    pub(super) fn lacks(&self) -> bool {
        self.is_cut || self.has_given_up() || !self.holes.is_empty()
    }

    fn has_given_up(&self) -> bool {
        self.counted.missing > self.accepted
    }

    /// Forgets this number of holes, the lowest ones. Late records of them will be `Older`.
    pub(super) fn give_up(&mut self, count: usize) {
        for _ in 0..count {
            let Some(Hole { epoch, first, last }) = self.holes.pop_lowest() else { break };
            self.counted.missing = self.counted.missing.saturating_add(width(first, last));
            self.floor = (epoch, last.saturating_add(1));
        }
    }

    /// Accepts what is missing now: it no longer holds back watermarks.
    pub(super) fn accept(&mut self) {
        self.give_up(usize::MAX);
        self.accepted = self.counted.missing;
        self.is_cut = false;
        self.advance();
    }

    pub(super) fn tally(&self) -> Tally {
        Tally { missing: self.counted.missing.saturating_add(self.holes.missing()), ..self.counted }
    }
}
