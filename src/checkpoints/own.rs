//! Owns a whole checkpoint for a moment, as a bridge would, so that fencing keeps every bridge from writing beside it.

use super::CheckpointsError;
use crate::sink::{CommitError, Committer, Ownership, OwnershipEvent, SinkError};
use bridge_core::ids::ShardId;
use bridge_core::record::batch::{Batch, StoredCheckpoint};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

/// How long the first shards may take: longer than Kafka's transaction time-out (60 s) and its sweep (10 s), as
/// a bridge that was killed may have left a transaction open.
const FIRST_PATIENCE: Duration = Duration::from_secs(90);
/// How long the rest may take then: longer than the session time-out of a bridge that was killed (10 s).
const REST_PATIENCE: Duration = Duration::from_secs(20);
/// An aborted commit is tried so often.
const ATTEMPTS: u32 = 5;
/// Between the attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// What is stored, by shard.
pub(super) type Stored = BTreeMap<ShardId, StoredCheckpoint>;

/// A session that owns every shard.
pub(super) struct Owned<C> {
    pub(super) committer: C,
    ownership: Ownership,
    pub(super) stored: Stored,
}

impl<C: Committer> Owned<C> {
    /// Waits until all of the shards are ours. Otherwise what was gained is given back.
    pub(super) async fn take(opened: (C, Ownership), shards: NonZeroU32) -> Result<Self, CheckpointsError> {
        let (committer, ownership) = opened;
        let mut owned = Self { committer, ownership, stored: Stored::new() };
        match owned.gain(shards).await {
            Ok(()) => Ok(owned),
            Err(error) => {
                owned.close().await;
                Err(error)
            }
        }
    }

    async fn gain(&mut self, shards: NonZeroU32) -> Result<(), CheckpointsError> {
        let busy = || CheckpointsError::Busy { who: "another replica, which has some of the shards".to_owned() };
        while self.stored.len() < shards.get() as usize {
            let patience = if self.stored.is_empty() { FIRST_PATIENCE } else { REST_PATIENCE };
            let event = tokio::time::timeout(patience, self.ownership.recv()).await;
            match event.map_err(|_late| busy())? {
                Some(OwnershipEvent::Assigned(assigned)) => self.stored.extend(assigned),
                Some(OwnershipEvent::Revoked { .. } | OwnershipEvent::Lost(_)) => return Err(busy()),
                Some(OwnershipEvent::Failed(error)) => return Err(error.into()),
                None => return Err(SinkError::unavailable("keep the shards", "the sink's ownership ended").into()),
            }
        }
        Ok(())
    }

    /// Nobody has asked for a shard since. Who asks from now on waits for the answer, or is met by the fence.
    pub(super) fn still_alone(&mut self) -> Result<(), CheckpointsError> {
        match self.ownership.try_recv() {
            Ok(_) => Err(CheckpointsError::Busy { who: "another replica, which has just started".to_owned() }),
            Err(_nothing) => Ok(()),
        }
    }

    /// Commits what is to change, and gives the shards up.
    pub(super) async fn commit(mut self, batch: &Batch) -> Result<(), CheckpointsError> {
        let result = match self.still_alone() {
            Ok(()) => repeat(async || self.committer.commit(batch).await).await,
            Err(error) => Err(error),
        };
        self.close().await;
        result
    }

    pub(super) async fn close(self) {
        self.committer.close().await;
    }
}

/// Tries again what surely didn't happen.
pub(super) async fn repeat(mut commit: impl AsyncFnMut() -> Result<(), CommitError>) -> Result<(), CheckpointsError> {
    let mut attempts = 1;
    loop {
        match commit().await {
            Err(CommitError::Aborted(error)) if attempts < ATTEMPTS => {
                tracing::debug!(%error, attempts, "commit aborted, retrying");
                attempts += 1;
                tokio::time::sleep(PAUSE).await;
            }
            outcome => return Ok(outcome?),
        }
    }
}
