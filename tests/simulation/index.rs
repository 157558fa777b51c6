//! The index of one session, in memory.

use asana_event_bridge::core::engine::{Answer, Step};
use asana_event_bridge::core::ids::{Gid, StreamId};
use asana_event_bridge::core::known::{Change, Entry, Mark, Update};
use std::collections::BTreeMap;

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
}

impl Index {
    pub(crate) fn apply(&mut self, updates: Vec<(StreamId, Update)>) {
        for (stream, Update { from, to, changes }) in updates.into_iter().filter(|_| !self.failed) {
            let known = self.streams.entry(stream).or_default();
            if known.mark.replace(to).is_some_and(|mark| mark != from) {
                known.clear();
            }
            for change in changes {
                known.change(change);
            }
        }
    }

    pub(crate) fn fail(&mut self) {
        *self = Self { failed: true, ..Self::default() };
    }

    pub(crate) fn look_up(&self, stream: &StreamId, gids: impl Iterator<Item = Gid>) -> Option<Vec<Option<Entry>>> {
        (!self.failed).then(|| gids.map(|gid| self.streams.get(stream)?.entries.get(&gid).cloned()).collect())
    }

    /// The answer to a step that only asks the index.
    pub(crate) fn answer(&self, stream: &StreamId, step: &Step) -> Option<Answer> {
        let known = self.streams.get(stream);
        match step {
            Step::Compare(mark) => {
                Some(Answer::Compare(known.is_some_and(|known| known.complete && known.mark == Some(*mark))))
            }
            Step::Sweep { crawl, after } => {
                let entries = known.into_iter().flat_map(|known| &known.entries);
                let unseen = entries.filter(|(gid, it)| it.crawl != *crawl && after.as_ref().is_none_or(|it| it < gid));
                let unseen = unseen.take(2).map(|(gid, entry)| (gid.clone(), entry.clone())).collect();
                Some(Answer::Sweep((!self.failed).then_some(unseen)))
            }
            Step::List { .. } => None,
        }
    }
}

impl Known {
    fn clear(&mut self) {
        self.complete = false;
        self.entries.clear();
    }

    fn change(&mut self, change: Change) {
        let fresh = |resource_type| Entry { resource_type, hash: 0, crawl: 0, touched_at: 0 };
        match change {
            Change::Clear => self.clear(),
            Change::Complete => self.complete = true,
            Change::Gone { gid } => drop(self.entries.remove(&gid)),
            Change::Seen { gid, resource_type, hash, crawl } => {
                let entry = self.entries.entry(gid).or_insert_with(|| fresh(resource_type));
                (entry.hash, entry.crawl) = (hash, crawl);
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
