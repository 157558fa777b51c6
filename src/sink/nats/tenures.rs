//! What the ownership task tells the committer, and the other way round.

use super::head::Shard;
use bridge_core::ids::ShardId;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// The shards that may be written, each with where it stood when it was gained, until the committer takes
/// note. It is always said here before it is said to the session.
#[derive(Debug, Default)]
pub(super) struct Tenures(Mutex<BTreeMap<ShardId, Option<Shard>>>);

impl Tenures {
    pub(super) fn gain(&self, shard: ShardId, state: Shard) {
        self.lock().insert(shard, Some(state));
    }

    pub(super) fn lose(&self, shards: &[ShardId]) {
        self.lock().retain(|shard, _| !shards.contains(shard));
    }

    /// Brings the committer's own account up to date.
    pub(super) fn note(&self, owned: &mut BTreeMap<ShardId, Shard>) {
        let mut tenures = self.lock();
        owned.retain(|shard, _| tenures.contains_key(shard));
        for (shard, gained) in tenures.iter_mut() {
            owned.extend(gained.take().map(|state| (*shard, state)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ShardId, Option<Shard>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shards whose heads turned out to be somebody else's.
#[derive(Debug)]
pub(super) struct Foreign {
    pub(super) shards: Vec<ShardId>,
    /// Answered when the session was told that they are lost, or will be before anything else.
    pub(super) told: oneshot::Sender<()>,
}
