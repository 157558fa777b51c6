//! The task that owns the lease: takes over, tells, and gives up.
//!
//! One lease stands for all shards now. With one lease for each, this becomes one task for each.

use super::head::{Session, Shard};
use super::lease::{Lease, Leases};
use super::publish::Publisher;
use super::restore::{self, Restored};
use crate::core::ids::ShardId;
use crate::sink::OwnershipEvent;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// The lease that stands for all shards.
const KEY: &str = "owner";

/// What the committer has to know of ownership.
#[derive(Debug)]
pub(super) enum Change {
    /// These are ours, and stand here.
    Gained(Vec<(ShardId, Shard)>),
    /// These aren't ours any more.
    Lost(Vec<ShardId>),
}

/// What the task needs.
pub(super) struct Owner {
    pub(super) publisher: Arc<Publisher>,
    pub(super) session: Session,
    pub(super) leases: Leases,
    pub(super) shards: Vec<ShardId>,
    /// To the committer; it always comes before the event that says the same.
    pub(super) changes: mpsc::Sender<Change>,
    pub(super) events: mpsc::Sender<OwnershipEvent>,
}

impl Owner {
    /// Runs until the session ends; then the lease is free.
    pub(super) async fn run(self, end: CancellationToken) {
        self.leases.inherit(KEY, &self.session.replica).await;
        // Dropping the wait may leave a lease that was granted at this moment: it runs out.
        while let Some(lease) = end.run_until_cancelled(self.leases.acquire(KEY)).await {
            if !self.hold(lease, &end).await {
                return;
            }
        }
    }

    /// Holds the lease until it is lost or the session ends. Whether the session goes on.
    async fn hold(&self, mut lease: Lease, end: &CancellationToken) -> bool {
        let taken = tokio::select! {
            taken = restore::take_over(&self.publisher, &self.session, &self.shards) => Some(taken),
            () = lease.keep() => None,
            () = end.cancelled() => {
                lease.release().await;
                return false;
            }
        };
        let Some(taken) = taken else { return true };
        match taken {
            Ok(restored) => {
                if !self.tell_gained(restored).await {
                    lease.release().await;
                    return false;
                }
            }
            Err(error) => {
                lease.release().await;
                let _ended = self.events.send(OwnershipEvent::Failed(error)).await;
                return false;
            }
        }
        tokio::select! {
            () = lease.keep() => {
                tracing::warn!("the lease is lost");
                self.changes.send(Change::Lost(self.shards.clone())).await.is_ok()
                    && self.events.send(OwnershipEvent::Lost(self.shards.clone())).await.is_ok()
            }
            () = end.cancelled() => {
                lease.release().await;
                false
            }
        }
    }

    /// Whether anybody listens.
    async fn tell_gained(&self, restored: Vec<Restored>) -> bool {
        let (mut gained, mut assigned) = (Vec::new(), Vec::new());
        for Restored { shard, state, checkpoint } in restored {
            gained.push((shard, state));
            assigned.push((shard, checkpoint));
        }
        self.changes.send(Change::Gained(gained)).await.is_ok()
            && self.events.send(OwnershipEvent::Assigned(assigned)).await.is_ok()
    }
}
