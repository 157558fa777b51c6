//! A bus with atomic commits that are fenced by the owner of each shard.

use bridge_core::ids::{Lane, ShardId};
use bridge_core::record::batch::{Batch, Message, StoredCheckpoint, Target};
use std::collections::BTreeMap;
use std::num::NonZeroU32;

/// Names an owner: a replica's session. A later session of the same replica is another owner.
pub(crate) type Owner = u32;

#[derive(Debug)]
pub(crate) struct Bus {
    /// Of each topic; it may grow.
    pub(crate) lane_count: NonZeroU32,
    pub(crate) lanes: BTreeMap<Lane, Vec<Message>>,
    /// All of them, in the order in which they were committed.
    pub(crate) all: Vec<Message>,
    pub(crate) dead_letters: Vec<Message>,
    checkpoints: BTreeMap<ShardId, StoredCheckpoint>,
    pub(crate) owners: BTreeMap<ShardId, Owner>,
}

/// These shards of the batch are somebody else's.
#[derive(Debug)]
pub(crate) struct Fenced(pub(crate) Vec<ShardId>);

impl Bus {
    pub(crate) fn new(lane_count: NonZeroU32) -> Self {
        let (lanes, checkpoints, owners) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { lane_count, lanes, all: Vec::new(), dead_letters: Vec::new(), checkpoints, owners }
    }

    pub(crate) fn commit(&mut self, owner: Owner, batch: &Batch) -> Result<(), Fenced> {
        assert!(batch.messages.iter().all(|message| batch.shards().contains(&message.shard)), "unfenced message");
        let lost = batch.shards().into_iter().filter(|shard| self.owners.get(shard) != Some(&owner));
        let lost: Vec<_> = lost.collect();
        if !lost.is_empty() {
            return Err(Fenced(lost));
        }
        for message in batch.messages.clone() {
            match &message.target {
                Target::Lane { topic, partition } => {
                    self.all.push(message.clone());
                    let lane = Lane { topic: topic.clone(), partition: *partition };
                    self.lanes.entry(lane).or_default().push(message);
                }
                Target::DeadLetter => self.dead_letters.push(message),
            }
        }
        for write in &batch.checkpoints {
            let stored = self.checkpoints.entry(write.shard).or_default();
            match &write.value {
                Some(value) => stored.insert(write.key.clone(), value.clone()),
                None => stored.remove(&write.key),
            };
        }
        Ok(())
    }

    pub(crate) fn restore(&self, shard: ShardId) -> StoredCheckpoint {
        self.checkpoints.get(&shard).cloned().unwrap_or_default()
    }
}
