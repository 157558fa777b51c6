//! Owns a whole checkpoint for a moment, as a bridge would, so that fencing keeps every bridge from writing at the same
//! time.

use super::CheckpointsError;
use crate::sink::any::AnyCommitter;
use crate::sink::{CommitError, Committer as _, Ownership, OwnershipEvent, SinkError};
use bridge_core::ids::ShardId;
use bridge_core::record::batch::{Batch, StoredCheckpoint};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

/// The timeout for the first shards: longer than Kafka's transaction timeout (60 s) and its sweep (10 s), because a
/// bridge that was killed may have left a transaction open.
const FIRST_TIMEOUT: Duration = Duration::from_secs(90);
/// The timeout for the other shards after that: longer than the session timeout of a bridge that was killed (10 s).
const REST_TIMEOUT: Duration = Duration::from_secs(20);
/// The maximum number of tries of a commit that is aborted.
const ATTEMPTS: u32 = 5;
/// The pause between the tries.
const PAUSE: Duration = Duration::from_millis(500);

/// The stored entries, by shard.
pub(super) type Stored = BTreeMap<ShardId, StoredCheckpoint>;

/// A session that owns every shard.
pub(super) struct Owned {
    pub(super) committer: AnyCommitter,
    ownership: Ownership,
    pub(super) stored: Stored,
}

impl Owned {
    /// Waits until this session owns all shards. If it fails, it releases those that it got.
    pub(super) async fn take(opened: (AnyCommitter, Ownership), shards: NonZeroU32) -> Result<Self, CheckpointsError> {
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
            let timeout = if self.stored.is_empty() { FIRST_TIMEOUT } else { REST_TIMEOUT };
            let event = tokio::time::timeout(timeout, self.ownership.recv()).await;
            match event.map_err(|_late| busy())? {
                Some(OwnershipEvent::Assigned(assigned)) => self.stored.extend(assigned),
                Some(OwnershipEvent::Revoked { .. } | OwnershipEvent::Lost(_) | OwnershipEvent::Emptied(_)) => {
                    return Err(busy());
                }
                Some(OwnershipEvent::Failed(error)) => return Err(error.into()),
                None => return Err(SinkError::unavailable("keep the shards", "the sink's ownership ended").into()),
            }
        }
        Ok(())
    }

    /// Checks that no other replica has requested a shard since. If one does so later, it waits for the answer, or is
    /// fenced.
    pub(super) fn still_alone(&mut self) -> Result<(), CheckpointsError> {
        match self.ownership.try_recv() {
            Ok(_) => Err(CheckpointsError::Busy { who: "another replica, which has just started".to_owned() }),
            Err(_nothing) => Ok(()),
        }
    }

    /// Commits the change, and releases the shards.
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

/// Retries commits that certainly had no effect.
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
