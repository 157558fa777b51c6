//! The refresh log of a local sink: a table beside its checkpoint, of which a copy is in memory.

use crate::sink::refresh_log::{Feed, Logged, Reading, What};
use bridge_core::ids::ShardId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// An entry that a commit appends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sink) struct NewEntry {
    /// The shard whose part it belongs to.
    pub(in crate::sink) shard: ShardId,
    /// Its key there: it replaces an earlier entry with the same key.
    pub(in crate::sink) key: String,
    pub(in crate::sink) value: Vec<u8>,
}

/// What is stored, by place.
pub(in crate::sink) type Stored = BTreeMap<u64, NewEntry>;

/// The log in memory.
#[derive(Debug)]
struct InMemory {
    by_place: Stored,
    /// The place of each key in the part of a shard.
    places: BTreeMap<(ShardId, String), u64>,
}

impl InMemory {
    /// Appends an entry, in the place of an earlier one with its key.
    fn put(&mut self, place: u64, entry: NewEntry) {
        if let Some(before) = self.places.insert((entry.shard, entry.key.clone()), place) {
            self.by_place.remove(&before);
        }
        self.by_place.insert(place, entry);
    }
}

/// The copy, which the reader waits on.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    stored: Arc<Mutex<InMemory>>,
    /// Changes with each commit that has entries.
    commits: watch::Sender<u64>,
}

impl Shared {
    pub(super) fn new(stored: Stored) -> Self {
        let mut copy = InMemory { by_place: Stored::new(), places: BTreeMap::new() };
        for (place, entry) in stored {
            copy.put(place, entry);
        }
        Self { stored: Arc::new(Mutex::new(copy)), commits: watch::Sender::new(0) }
    }

    /// A commit has stored these.
    pub(super) fn add(&self, entries: Stored) {
        if entries.is_empty() {
            return;
        }
        let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        for (place, entry) in entries {
            stored.put(place, entry);
        }
        drop(stored);
        self.commits.send_modify(|commits| *commits += 1);
    }

    /// The entries of a reading from these places on. The places move behind them.
    fn next(&self, reading: &mut Reading) -> Vec<Logged> {
        let stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        let mut entries = Vec::new();
        let first = reading.places.values().copied().min().unwrap_or(u64::MAX);
        for (place, entry) in stored.by_place.range(first..) {
            let wanted = reading.places.get_mut(&entry.shard).filter(|next| **next <= *place);
            if let Some(next) = wanted {
                *next = place + 1;
                let what = What::Entry { place: *place, value: entry.value.clone() };
                entries.push(Logged { reading: reading.number, shard: entry.shard, what });
            }
        }
        if !entries.is_empty() {
            entries.extend(reading.ends());
        }
        entries
    }

    /// Gives entries until the session has ended.
    pub(super) async fn serve(self, mut feed: Feed) {
        let mut commits = self.commits.subscribe();
        let mut reading = feed.wanted.borrow_and_update().clone();
        loop {
            commits.borrow_and_update();
            let entries = self.next(&mut reading);
            if !entries.is_empty() && feed.entries.send(Ok(entries)).await.is_err() {
                return;
            }
            tokio::select! {
                changed = feed.wanted.changed() => match changed {
                    Ok(()) => reading = feed.wanted.borrow_and_update().clone(),
                    Err(_ended) => return,
                },
                changed = commits.changed() => if changed.is_err() { return },
            }
        }
    }
}
