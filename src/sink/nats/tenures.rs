//! What the ownership task and the committer report to each other.

use super::head::Shard;
use bridge_core::ids::ShardId;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// The shards that may be written, each with its state at the start of the tenure, until the committer takes it. It is
/// always updated before the session gets the event.
#[derive(Debug, Default)]
pub(super) struct Tenures(Mutex<BTreeMap<ShardId, Option<Shard>>>);

impl Tenures {
    pub(super) fn gain(&self, shard: ShardId, state: Shard) {
        self.lock().insert(shard, Some(state));
    }

    pub(super) fn lose(&self, shards: &[ShardId]) {
        self.lock().retain(|shard, _| !shards.contains(shard));
    }

    /// Updates the committer's own state.
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

/// Shards whose heads aren't as this session left them.
#[derive(Debug)]
pub(super) struct Foreign {
    /// Their heads belong to another session.
    pub(super) shards: Vec<ShardId>,
    /// Their entries were deleted from the JetStream stream.
    pub(super) emptied: Vec<ShardId>,
    /// Answered when the session knows that they are lost, or will know before any other event.
    pub(super) told: oneshot::Sender<()>,
}
