//! A bus with atomic commits that are fenced by the owner of each shard.

use asana_event_bridge::core::batch::{Batch, Message, StoredCheckpoint, Target};
use asana_event_bridge::core::ids::{Lane, ShardId};
use std::collections::BTreeMap;

/// Names an owner: a replica's session. A later session of the same replica is another owner.
pub(crate) type Owner = u32;

#[derive(Debug, Default)]
pub(crate) struct Bus {
    pub(crate) lanes: BTreeMap<Lane, Vec<Message>>,
    pub(crate) dead_letters: Vec<Message>,
    checkpoints: BTreeMap<ShardId, StoredCheckpoint>,
    pub(crate) owners: BTreeMap<ShardId, Owner>,
}

/// Some shard of the batch is somebody else's.
#[derive(Debug)]
pub(crate) struct Fenced;

impl Bus {
    pub(crate) fn commit(&mut self, owner: Owner, batch: &Batch) -> Result<(), Fenced> {
        assert!(batch.messages.iter().all(|message| batch.shards().contains(&message.shard)), "unfenced message");
        if batch.shards().iter().any(|shard| self.owners.get(shard) != Some(&owner)) {
            return Err(Fenced);
        }
        for message in batch.messages.clone() {
            match &message.target {
                Target::Lane { topic, partition } => {
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
