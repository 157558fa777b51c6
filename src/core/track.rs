//! One run of counters that is followed: a shard's records in a lane, or a stream's.

use super::holes::Holes;
use chrono::{DateTime, Utc};
use serde::Serialize;

/// So many epochs of a track are remembered: the current one, and those whose late records may still come.
const EPOCHS: usize = 4;

/// Where a record stands among those seen before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuity {
    /// Next after the greatest.
    InOrder,
    /// So many sequences before it weren't seen. They may come yet, as `Reordered`.
    Missing(u64),
    /// Seen before.
    Duplicate,
    /// It was missing.
    Reordered,
    /// It is from before what the detector remembers: before a reader joined, or of a hole that was given up.
    /// Whether it was seen can't be said.
    Older,
    /// It has no position, or one that the wire contract doesn't allow.
    Unnumbered,
    /// A record of the lane itself, which belongs to no stream, and streams are followed.
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
    /// All of them, with the duplicates.
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
    /// Adds another's counts.
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

/// What the record said that was taken last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) continuity: Continuity,
    /// Its epoch is the first after this one.
    pub(super) epoch_after: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Track {
    /// Ascending.
    pub(super) epochs: Vec<(u64, Counter)>,
    /// The greatest epoch that is no longer remembered.
    pub(super) retired: u64,
    /// `missing` holds what was given up only; [`tally`](Self::tally) adds the holes.
    pub(super) counted: Tally,
    /// So many of those given up are known to the reader.
    pub(super) accepted: u64,
    pub(super) complete_up_to: Option<DateTime<Utc>>,
    /// The latest watermark, while something before it is missing.
    pub(super) pending: Option<Watermark>,
    /// When the last record was taken, by the detector's own count.
    pub(super) seen_at: u64,
}

/// One epoch's sequences: those from `floor` on and below `next` were seen, but for the holes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Counter {
    pub(super) floor: u64,
    pub(super) next: u64,
    pub(super) holes: Holes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Watermark {
    pub(super) epoch: u64,
    pub(super) sequence: u64,
    pub(super) time: DateTime<Utc>,
}

impl Track {
    /// Takes the next record. `whole`: the reader reads the track from its start.
    pub(super) fn observe(&mut self, epoch: u64, sequence: u64, whole: bool) -> Seen {
        let newest = self.epochs.last().map(|(epoch, _)| *epoch);
        let continuity = match self.counter(epoch, sequence, whole) {
            Some(counter) => counter.observe(sequence),
            None => Continuity::Older,
        };
        self.retire();
        self.counted.read += 1;
        match continuity {
            Continuity::Duplicate => self.counted.duplicates += 1,
            Continuity::Reordered => self.counted.reordered += 1,
            Continuity::Older => self.counted.older += 1,
            Continuity::InOrder | Continuity::Missing(_) | Continuity::Unnumbered | Continuity::NotFollowed => {}
        }
        Seen { continuity, epoch_after: newest.filter(|newest| *newest < epoch) }
    }

    /// Learns where an epoch ended; how many more are missing than was known.
    pub(super) fn expect(&mut self, epoch: u64, last: u64) -> u64 {
        if epoch == 0 || last == 0 || last == u64::MAX {
            return 0;
        }
        let missing = self.counter(epoch, 1, true).map_or(0, |counter| counter.expect(last));
        self.retire();
        missing
    }

    /// The epoch's counter; `None` where the epoch is older than what is remembered.
    fn counter(&mut self, epoch: u64, sequence: u64, whole: bool) -> Option<&mut Counter> {
        let at = match self.epochs.last() {
            Some((newest, _)) if *newest == epoch => self.epochs.len() - 1,
            _ => match self.epochs.binary_search_by_key(&epoch, |(epoch, _)| *epoch) {
                Ok(at) => at,
                Err(at) => {
                    // Who has seen an earlier epoch has seen this one begin.
                    let begins = whole || at > 0 || self.retired > 0;
                    if epoch <= self.retired || (!begins && !self.epochs.is_empty()) {
                        return None;
                    }
                    self.epochs.insert(at, (epoch, Counter::new(if begins { 1 } else { sequence })));
                    at
                }
            },
        };
        self.epochs.get_mut(at).map(|(_, counter)| counter)
    }

    fn retire(&mut self) {
        while self.epochs.len() > EPOCHS {
            let (epoch, counter) = self.epochs.remove(0);
            self.counted.missing = self.counted.missing.saturating_add(counter.holes.missing());
            self.retired = epoch;
        }
    }

    /// Notes a watermark, if there is one; the time if the track is complete up to a later one than before.
    pub(super) fn advance(&mut self, watermark: Option<Watermark>) -> Option<DateTime<Utc>> {
        if let Some(watermark) = watermark.filter(|it| self.pending.is_none_or(|pending| pending.time < it.time)) {
            self.pending = Some(watermark);
        }
        let pending = self.pending.filter(|it| !self.lacks_before(it))?;
        self.pending = None;
        let later = self.complete_up_to.is_none_or(|before| before < pending.time);
        if !later {
            return None;
        }
        self.complete_up_to = Some(pending.time);
        self.complete_up_to
    }

    /// The time of the latest watermark, whatever is missing before it.
    pub(super) fn latest(&self) -> Option<DateTime<Utc>> {
        self.complete_up_to.max(self.pending.map(|pending| pending.time))
    }

    fn lacks_before(&self, watermark: &Watermark) -> bool {
        let in_epoch = |(epoch, counter): &(u64, Counter)| match counter.holes.lowest() {
            Some(lowest) => *epoch < watermark.epoch || (*epoch == watermark.epoch && lowest < watermark.sequence),
            None => false,
        };
        self.counted.missing > self.accepted || self.epochs.iter().any(in_epoch)
    }

    /// Gives up the lowest holes, so many of them: what comes late for them will be `Older`.
    pub(super) fn give_up(&mut self, mut count: usize) {
        for (_, counter) in &mut self.epochs {
            let before = counter.holes.len();
            if let Some((missing, last)) = counter.holes.give_up(count) {
                self.counted.missing = self.counted.missing.saturating_add(missing);
                counter.floor = last.saturating_add(1);
            }
            count -= before - counter.holes.len();
        }
    }

    /// What is missing now is known to the reader: it no longer holds back watermarks.
    pub(super) fn accept(&mut self) {
        self.give_up(usize::MAX);
        self.accepted = self.counted.missing;
        self.advance(None);
    }

    pub(super) fn holes(&self) -> usize {
        self.epochs.iter().map(|(_, counter)| counter.holes.len()).sum()
    }

    pub(super) fn tally(&self) -> Tally {
        let holes = self.epochs.iter().fold(0_u64, |sum, (_, counter)| sum.saturating_add(counter.holes.missing()));
        Tally { missing: self.counted.missing.saturating_add(holes), ..self.counted }
    }
}

impl Counter {
    fn new(first: u64) -> Self {
        Self { floor: first, next: first, holes: Holes::default() }
    }

    fn observe(&mut self, sequence: u64) -> Continuity {
        if sequence >= self.next {
            let missing = sequence - self.next;
            if missing > 0 {
                self.holes.open(self.next, sequence - 1);
            }
            self.next = sequence + 1;
            return if missing == 0 { Continuity::InOrder } else { Continuity::Missing(missing) };
        }
        if sequence < self.floor {
            Continuity::Older
        } else if self.holes.fill(sequence) {
            Continuity::Reordered
        } else {
            Continuity::Duplicate
        }
    }

    /// The epoch reaches to `last`.
    fn expect(&mut self, last: u64) -> u64 {
        let missing = (last + 1).saturating_sub(self.next);
        if missing > 0 {
            self.holes.open(self.next, last);
            self.next = last + 1;
        }
        missing
    }
}
