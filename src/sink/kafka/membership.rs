//! What may be written now: the shards that are granted, and the fence of a transaction.

use super::client::partition_of;
use bridge_core::ids::ShardId;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

/// What may be written now, shared between the group's thread and the producer.
pub(super) struct Membership {
    pub(super) checkpoint_topic: String,
    granted: Mutex<BTreeMap<ShardId, Tenure>>,
    member: Mutex<Option<Weak<dyn Generation>>>,
}

/// A member of the group.
pub(super) trait Generation: Send + Sync {
    /// Its metadata of the group's current generation; none if it has lost its assignment.
    fn current(&self) -> Option<ConsumerGroupMetadata>;
}

/// One time of owning a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tenure {
    /// Differs each time.
    pub(super) number: u64,
    /// What is committed for the shard's partition: any offset will do, the fence is in its being there.
    pub(super) offset: i64,
}

/// The tenures that a transaction began under.
#[derive(Debug)]
pub(super) struct Grant(BTreeMap<ShardId, Tenure>);

/// What ties a transaction to the group's generation.
pub(super) struct Fence {
    pub(super) offsets: TopicPartitionList,
    pub(super) member: ConsumerGroupMetadata,
}

impl Membership {
    pub(super) fn new(checkpoint_topic: String) -> Self {
        Self { checkpoint_topic, granted: Mutex::default(), member: Mutex::default() }
    }

    /// From now on this member fences.
    pub(super) fn joined(&self, member: Weak<dyn Generation>) {
        *self.member.lock().unwrap_or_else(PoisonError::into_inner) = Some(member);
    }

    /// The tenures of these shards, or which of them aren't ours.
    pub(super) fn grant(&self, shards: &[ShardId]) -> Result<Grant, String> {
        let granted = self.granted();
        let tenure = |shard: &ShardId| granted.get(shard).map(|tenure| (*shard, *tenure)).ok_or(*shard);
        let grant = shards.iter().map(tenure).collect::<Result<_, _>>();
        grant.map(Grant).map_err(|shard| format!("{shard:?} isn't this replica's"))
    }

    /// The fence of a transaction; none if any of its shards was given up meanwhile, even if
    /// it was given back. Holding the lock keeps a revocation, and so a new generation in
    /// which the shards are somebody else's, from coming between look and metadata.
    pub(super) fn fence(&self, grant: &Grant) -> Option<Fence> {
        let granted = self.granted();
        let member = self.member.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.upgrade()?;
        let mut offsets = TopicPartitionList::new();
        for (shard, tenure) in &grant.0 {
            if granted.get(shard) != Some(tenure) {
                return None;
            }
            let (partition, offset) = (partition_of(*shard), Offset::Offset(tenure.offset));
            offsets.add_partition_offset(&self.checkpoint_topic, partition, offset).ok()?;
        }
        Some(Fence { offsets, member: member.current()? })
    }

    pub(super) fn granted(&self) -> MutexGuard<'_, BTreeMap<ShardId, Tenure>> {
        self.granted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take(&self, shards: &[ShardId]) -> Vec<ShardId> {
        let mut granted = self.granted();
        shards.iter().copied().filter(|shard| granted.remove(shard).is_some()).collect()
    }

    pub(super) fn has(&self, shards: &[ShardId]) -> Vec<ShardId> {
        let granted = self.granted();
        shards.iter().copied().filter(|shard| granted.contains_key(shard)).collect()
    }
}
