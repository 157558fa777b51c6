//! A bus with atomic commits that are fenced by the owner of each shard.

use super::judge_progress::Follower;
use bridge_consumer::decode;
use bridge_contract::pb::{self, record::Body};
use bridge_contract::state::is_progress_key;
use bridge_core::ids::{Lane, ShardId};
use bridge_core::record::batch::{Batch, Message, StoredCheckpoint, Target};
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;
use std::num::NonZeroU32;

/// Names an owner: a replica's session. A later session of the same replica is another owner.
pub(crate) type Owner = u32;

/// Keys and values by place; none where another with the key follows.
pub(crate) type LogPart = Vec<Option<(String, Vec<u8>)>>;

#[derive(Debug)]
pub(crate) struct Bus {
    /// Of each topic; it may grow.
    pub(crate) lane_count: NonZeroU32,
    pub(crate) lanes: BTreeMap<Lane, Vec<Message>>,
    /// All of them, in the order in which they were committed.
    pub(crate) all: Vec<Message>,
    pub(crate) dead_letters: Vec<Message>,
    /// All messages of the state topic, in order, each with the number of those that `all` had before, and by Asana's clock.
    pub(crate) states: Vec<(usize, DateTime<Utc>, Message)>,
    pub(crate) follower: Follower,
    /// The parts of the refresh log: key and value by place. A place is empty once another of the same key follows.
    pub(crate) log: BTreeMap<ShardId, LogPart>,
    checkpoints: BTreeMap<ShardId, StoredCheckpoint>,
    pub(crate) owners: BTreeMap<ShardId, Owner>,
}

/// These shards of the batch are somebody else's.
#[derive(Debug)]
pub(crate) struct Fenced(pub(crate) Vec<ShardId>);

impl Bus {
    pub(crate) fn new(lane_count: NonZeroU32) -> Self {
        let (lanes, checkpoints, owners) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (all, dead_letters, states, log) = (Vec::new(), Vec::new(), Vec::new(), BTreeMap::new());
        let follower = Follower::default();
        Self { lane_count, lanes, all, dead_letters, states, follower, log, checkpoints, owners }
    }

    pub(crate) fn commit(&mut self, now: DateTime<Utc>, owner: Owner, batch: &Batch) -> Result<(), Fenced> {
        assert!(batch.messages.iter().all(|message| batch.shards().contains(&message.shard)), "unfenced message");
        let lost = batch.shards().into_iter().filter(|shard| self.owners.get(shard) != Some(&owner));
        let lost: Vec<_> = lost.collect();
        if !lost.is_empty() {
            return Err(Fenced(lost));
        }
        check_pairs(batch);
        for message in batch.messages.clone() {
            match &message.target {
                Target::Lane { topic, partition } => {
                    self.all.push(message.clone());
                    let lane = Lane { topic: topic.clone(), partition: *partition };
                    self.lanes.entry(lane).or_default().push(message);
                }
                Target::DeadLetter => self.dead_letters.push(message),
                Target::State { .. } => {
                    self.follower.read(&message);
                    if !is_progress_key(message.key.as_str()) {
                        self.states.push((self.all.len(), now, message));
                    }
                }
                Target::RefreshLog(shard) => {
                    let part = self.log.entry(*shard).or_default();
                    let key = message.key.as_str().to_owned();
                    part.iter_mut()
                        .filter(|it| it.as_ref().is_some_and(|(other, _)| *other == key))
                        .for_each(|it| *it = None);
                    part.push(Some((key, message.value)));
                }
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

/// A snapshot that was read after an event and its state are in the same commit, neither without the other.
fn check_pairs(batch: &Batch) {
    let record = |message: &Message| decode::wire(&message.value).unwrap();
    let read =
        batch.messages.iter().filter(|message| matches!(message.target, Target::Lane { .. })).filter_map(|message| {
            match record(message).body {
                Some(Body::Snapshot(it)) if it.reason() == pb::SnapshotReason::Changed => {
                    Some((message.key.clone(), it))
                }
                _ => None,
            }
        });
    let visible = read.filter(|(_, snapshot)| snapshot.change() != pb::SnapshotChange::NotVisible);
    let snapshots: BTreeMap<_, _> = visible.map(|(key, it)| (key, (it.state_json.clone(), it.change()))).collect();
    let states = batch.messages.iter().filter(|message| matches!(message.target, Target::State { .. }));
    let states = states.filter(|message| !is_progress_key(message.key.as_str()));
    let mut paired = 0;
    for message in states {
        let is_gone = message.value.is_empty();
        let of_crawl = !is_gone && record(message).position.is_some_and(|position| !position.stream.is_empty());
        if let Some((state, change)) = snapshots.get(&message.key).filter(|_| !of_crawl) {
            assert_eq!(is_gone, *change == pb::SnapshotChange::Deleted, "{}", message.key);
            if let Some(Body::State(it)) = record(message).body {
                assert_eq!(it.state_json, *state);
            }
            paired += 1;
        } else {
            // Gone, by a crawl; or its state was found by one.
            assert!(is_gone || of_crawl, "a state without its snapshot: {}", message.key);
        }
    }
    assert_eq!(paired, snapshots.len(), "a snapshot without its state");
}
