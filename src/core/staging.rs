//! Gives sequences to what waits, and makes a batch of it.

use super::batch::{Batch, Message, SinkLimits};
use super::checkpoint::{write_lanes, write_shard, write_stream};
use super::engine::{Pending, Records, Settings, Shard};
use super::ids::{Lane, ShardId, Topic};
use super::placement::lane_of;
use super::record::{Place, Prepared};
use super::sequence::Counters;
use super::stream::Stream;
use crate::pb;
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

/// How many lanes each known topic has.
pub(crate) type Lanes = BTreeMap<Topic, NonZeroU32>;

/// What takes the place of the committed progress once the batch is on the bus.
#[derive(Debug)]
pub(crate) struct Staged {
    pub(crate) pending: Vec<Pending>,
    pub(crate) counters: BTreeMap<ShardId, Counters>,
    pub(crate) messages: usize,
    /// The streams' sequences from before, in the order of `pending`.
    before: Vec<(u64, u64)>,
}

impl Staged {
    /// What was staged, with the sequences taken back.
    pub(crate) fn into_unstaged(self) -> Vec<Pending> {
        let unstage = |(mut pending, (epoch, last_sequence)): (Pending, (u64, u64))| {
            (pending.next.epoch, pending.next.last_sequence) = (epoch, last_sequence);
            pending
        };
        self.pending.into_iter().zip(self.before).map(unstage).collect()
    }
}

/// Stages pending states, in order. Each comes with the topics that a record for every lane goes to.
///
/// # Panics
/// If a shard isn't in `shards` or a topic isn't in `lanes`. Nothing is lost then: nothing was committed.
pub(crate) fn stage(
    taken: Vec<(Pending, BTreeSet<Topic>)>,
    shards: &BTreeMap<ShardId, Shard>,
    lanes: &Lanes,
    settings: &Settings,
    limits: SinkLimits,
    now: DateTime<Utc>,
) -> (Staged, Batch) {
    let mut staging = Staging { lanes, settings, message_bytes: limits.message_bytes, now, messages: Vec::new() };
    let mut counters: BTreeMap<ShardId, Counters> = BTreeMap::new();
    let mut checkpoints = Vec::new();
    let (mut pending, mut before) = (Vec::with_capacity(taken.len()), Vec::with_capacity(taken.len()));
    for (mut one, topics) in taken {
        let shard = &shards[&one.shard];
        let counters = counters.entry(one.shard).or_insert_with(|| {
            if shard.is_new {
                let epoch = shard.counters.epoch();
                checkpoints.push(write_shard(one.shard, settings.shards, epoch, &settings.replica));
            }
            shard.counters.clone()
        });
        before.push((one.next.epoch, one.next.last_sequence));
        staging.records(&mut one, &topics, counters);
        checkpoints.push(write_stream(one.shard, &one.id, &one.next));
        pending.push(one);
    }
    for (shard, counters) in &mut counters {
        let changed = counters.take_changed();
        checkpoints.extend(changed.iter().map(|(topic, lanes)| write_lanes(*shard, topic, lanes)));
    }
    let staged = Staged { pending, counters, messages: staging.messages.len(), before };
    (staged, Batch { messages: staging.messages, checkpoints })
}

struct Staging<'a> {
    lanes: &'a Lanes,
    settings: &'a Settings,
    message_bytes: usize,
    now: DateTime<Utc>,
    messages: Vec<Message>,
}

impl Staging<'_> {
    fn records(&mut self, pending: &mut Pending, topics: &BTreeSet<Topic>, counters: &mut Counters) {
        let Pending { shard, id, next, records, received_at, .. } = pending;
        let mut place = |staging: &mut Self, lane: Lane, prepared: &Prepared, next: &mut Stream| {
            staging.begin_lane(*shard, &lane, counters);
            let place = Place {
                shard: *shard,
                epoch: counters.epoch(),
                lane_sequence: counters.next(&lane.topic, lane.partition),
                lane,
                stream: Some((id.clone(), next.next_sequence(counters.epoch()))),
                received_at: *received_at,
            };
            staging.push(prepared, &place);
        };
        match records {
            Records::Keyed(records) => {
                for (topic, prepared) in records {
                    let partition = lane_of(prepared.key.as_str().as_bytes(), self.lanes[topic]);
                    place(self, Lane { topic: topic.clone(), partition }, prepared, next);
                }
            }
            Records::EveryLane(prepared) => {
                for topic in topics {
                    for partition in 0..self.lanes[topic].get() {
                        place(self, Lane { topic: topic.clone(), partition }, prepared, next);
                    }
                }
            }
        }
    }

    /// The first record of an epoch in a lane says what was before it.
    fn begin_lane(&mut self, shard: ShardId, lane: &Lane, counters: &mut Counters) {
        let Some(before) = counters.begins(&lane.topic, lane.partition) else { return };
        let start = pb::EpochStart { previous_epoch: before.epoch, previous_lane_sequence: before.last };
        let place = Place {
            shard,
            epoch: counters.epoch(),
            lane_sequence: counters.next(&lane.topic, lane.partition),
            lane: lane.clone(),
            stream: None,
            received_at: self.now,
        };
        self.push(&Prepared::epoch_start(start, self.now), &place);
    }

    fn push(&mut self, prepared: &Prepared, place: &Place) {
        prepared.messages(place, self.message_bytes, &self.settings.dead_letter_topic, &mut self.messages);
    }
}
