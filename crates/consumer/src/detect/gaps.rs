//! The source gaps that are open in a lane, or of the streams that are read.

use crate::detect::sighting::{Sighting, Signal};
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet};

/// The identity of a source gap.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct GapKey {
    /// The stream, as `account/gid`.
    pub stream: String,
    /// The id of the gap, as in its records.
    pub gap_id: String,
}

/// A gap that is healed stays healed, in whatever order the two records come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Gaps {
    /// The open gaps, each with the time before which nothing is lost.
    pub(super) open: BTreeMap<GapKey, Option<DateTime<Utc>>>,
    /// Gaps that were healed while records were missing: the records that open them may still come.
    pub(super) healed_early: BTreeSet<GapKey>,
    /// The number of gaps for which there was no room.
    pub(super) unkept: u64,
}

impl Gaps {
    /// Applies a record's opening or healing of a source gap. `holes`: records before it may come later.
    pub(super) fn note(&mut self, record: &Sighting<'_>, holes: bool, limit: usize) {
        let key = |gap_id: &str| GapKey { stream: record.stream.to_owned(), gap_id: gap_id.to_owned() };
        match record.signal {
            Signal::SourceGap { gap_id, since } => {
                let key = key(gap_id);
                if self.healed_early.contains(&key) {
                    return;
                }
                if self.open.len() < limit || self.open.contains_key(&key) {
                    self.open.insert(key, since);
                } else {
                    self.unkept += 1;
                }
            }
            Signal::SourceGapHealed { gap_id } => {
                let key = key(gap_id);
                self.open.remove(&key);
                if holes {
                    self.healed_early.insert(key);
                    if self.healed_early.len() > limit {
                        self.healed_early.pop_first();
                    }
                }
            }
            // These gaps will never be healed.
            Signal::StreamEnded => self.open.retain(|key, _| key.stream != record.stream),
            Signal::EpochStart { .. } | Signal::Watermark { .. } | Signal::LanesChanged { .. } | Signal::None => {}
        }
    }

    /// Accepts the open gaps. A later healing of them is reported, and changes nothing.
    pub(super) fn accept(&mut self) {
        self.open.clear();
        self.unkept = 0;
    }

    pub(super) fn open(&self) -> impl Iterator<Item = &GapKey> {
        self.open.keys()
    }

    /// Caps the time at the beginning of each open gap. `None` if the beginning of one isn't known.
    pub(super) fn cap(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let begins = self.open.values().copied().min();
        if self.unkept > 0 { None } else { begins.map_or(Some(time), |since| since.map(|since| since.min(time))) }
    }
}
