//! The index of one session, in memory.

use bridge_core::crawl::known::{Absent, AbsentFrom, Change, Entry, Mark, NOT_VISIBLE, Shortfall, Update};
use bridge_core::engine::{CrawlAnswer, Lookup, Step};
use bridge_core::ids::{Gid, StreamId};
use bridge_core::outcome::list::{Listing, What};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub(crate) struct Index {
    streams: BTreeMap<StreamId, Known>,
    /// From then on nothing is known.
    pub(crate) failed: bool,
}

#[derive(Debug, Default)]
struct Known {
    mark: Option<Mark>,
    complete: bool,
    entries: BTreeMap<Gid, Entry>,
    /// By which crawl each was passed.
    passed: BTreeMap<Gid, u64>,
}

impl Index {
    pub(crate) fn apply(&mut self, updates: Vec<(StreamId, Update)>) {
        for (stream, Update { from, to, changes }) in updates.into_iter().filter(|_| !self.failed) {
            let known = self.streams.entry(stream).or_default();
            if known.mark.replace(to).is_some_and(|mark| mark != from) {
                known.distrust();
            }
            for change in changes {
                known.change(change);
            }
        }
    }

    pub(crate) fn fail(&mut self) {
        *self = Self { failed: true, ..Self::default() };
    }

    pub(crate) fn look_up(&self, stream: &StreamId, gids: impl Iterator<Item = Gid>) -> Lookup<Vec<Option<Entry>>> {
        self.lookup(gids.map(|gid| self.streams.get(stream)?.entries.get(&gid).cloned()).collect())
    }

    fn lookup<T>(&self, found: T) -> Lookup<T> {
        if self.failed { Lookup::Failed } else { Lookup::Found(found) }
    }

    /// The answer to a step that only asks the index.
    pub(crate) fn answer(&self, stream: &StreamId, step: &Step) -> Option<CrawlAnswer> {
        let known = self.streams.get(stream);
        match step {
            Step::Compare(mark) => {
                Some(CrawlAnswer::Compare(known.is_some_and(|known| known.complete && known.mark == Some(*mark))))
            }
            Step::Sweep { from, after } => {
                let mut absent = known.map(|known| known.absent(from)).unwrap_or_default();
                absent.retain(|absent| after.as_ref().is_none_or(|after| *after < absent.gid));
                absent.truncate(2);
                Some(CrawlAnswer::Sweep(self.lookup(absent)))
            }
            Step::Weigh { crawl, least, percent } => {
                let short = known.map(|known| known.shortfalls(&stream.resource, *crawl, *least, *percent));
                Some(CrawlAnswer::Weigh(self.lookup(short.unwrap_or_default())))
            }
            Step::Below { of, lists, crawl } => {
                let below = known.map(|known| known.below(of, lists, *crawl)).unwrap_or_default();
                Some(CrawlAnswer::Below(self.lookup(below)))
            }
            Step::List { .. } | Step::Ask(_) => None,
        }
    }
}

impl Known {
    fn clear(&mut self) {
        self.complete = false;
        self.entries.clear();
    }

    fn distrust(&mut self) {
        self.complete = false;
        self.passed.clear();
        for entry in self.entries.values_mut() {
            (entry.hash, entry.evident, entry.crawl) = (0, 0, 0);
        }
    }

    fn lacks(&self, gid: &Gid, crawl: u64) -> bool {
        let entry = &self.entries[gid];
        entry.crawl != crawl && entry.touched_at < crawl.cast_signed() && self.passed.get(gid) != Some(&crawl)
    }

    fn saw(&self, gid: &Gid, crawl: u64) -> Option<bool> {
        self.entries.get(gid).map(|entry| entry.crawl == crawl)
    }

    fn absent(&self, from: &AbsentFrom) -> Vec<Absent> {
        let lacking = self.entries.iter().filter(|(gid, _)| self.lacks(gid, from.crawl));
        let absent = lacking.filter_map(|(gid, entry)| {
            let saw_place = entry.place.as_ref().and_then(|place| self.saw(&place.of, from.crawl));
            let is_in_itself = entry.place.as_ref().is_some_and(|place| place.of == *gid);
            let is_asked = !from.scope.is_empty() || saw_place != Some(false) || is_in_itself;
            let absent = Absent { gid: gid.clone(), entry: entry.clone(), knows_place: saw_place.is_some() };
            (is_asked && from.concerns(gid, entry, saw_place == Some(true))).then_some(absent)
        });
        absent.collect()
    }

    fn shortfalls(&self, resource: &Gid, crawl: u64, least: u32, percent: u32) -> Vec<Shortfall> {
        let mut lists: BTreeMap<&Listing, (u64, u64)> = BTreeMap::new();
        for (gid, entry) in &self.entries {
            let Some(place) = &entry.place else { continue };
            if place.of == *resource || self.saw(&place.of, crawl) == Some(true) {
                let (known, unseen) = lists.entry(place).or_default();
                *known += 1;
                *unseen += u64::from(self.lacks(gid, crawl));
            }
        }
        let is_short = |known: u64, unseen: u64| unseen > least.into() && unseen * 100 > known * u64::from(percent);
        let short = lists.into_iter().filter(|(_, (known, unseen))| is_short(*known, *unseen));
        short.map(|(listing, (known, unseen))| Shortfall { listing: listing.clone(), known, unseen }).collect()
    }

    /// The deepest first.
    fn below(&self, of: &Gid, lists: &[What], crawl: u64) -> Vec<(Gid, Entry)> {
        let mut levels: Vec<BTreeSet<&Gid>> = vec![BTreeSet::from([of])];
        for _ in 0..8 {
            let above = levels.last().unwrap();
            let is_in = |entry: &Entry| {
                entry.place.as_ref().is_some_and(|place| above.contains(&place.of) && lists.contains(&place.what))
            };
            levels.push(self.entries.iter().filter(|(_, entry)| is_in(entry)).map(|(gid, _)| gid).collect());
        }
        let found = levels.into_iter().skip(1).rev().flatten().map(|gid| (gid.clone(), self.entries[gid].clone()));
        found.filter(|(_, entry)| entry.crawl != crawl && entry.touched_at < crawl.cast_signed()).collect()
    }

    fn change(&mut self, change: Change) {
        let fresh = |resource_type| Entry { resource_type, hash: 0, evident: 0, crawl: 0, touched_at: 0, place: None };
        match change {
            Change::Clear => self.clear(),
            Change::Distrust => self.distrust(),
            Change::Complete => self.complete = true,
            Change::Gone { gid } => drop(self.entries.remove(&gid)),
            Change::Seen { gid, resource_type, hash, evident, crawl, place } => {
                let entry = self.entries.entry(gid).or_insert_with(|| fresh(resource_type));
                (entry.hash, entry.evident, entry.crawl, entry.place) = (hash, evident, crawl, Some(place));
            }
            Change::Passed { gid, crawl, is_hidden } => {
                if let Some(entry) = self.entries.get_mut(&gid) {
                    entry.hash = if is_hidden { NOT_VISIBLE } else { entry.hash };
                    self.passed.insert(gid, crawl);
                }
            }
            Change::Touched { gid, resource_type, at } => {
                if let Some(resource_type) = resource_type {
                    self.entries.entry(gid.clone()).or_insert_with(|| fresh(resource_type));
                }
                if let Some(entry) = self.entries.get_mut(&gid) {
                    entry.touched_at = at.timestamp_millis();
                }
            }
        }
    }
}
