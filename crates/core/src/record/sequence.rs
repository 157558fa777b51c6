//! Lane counters of one shard: without holes, so that consumers notice missing records.
//!
//! There are two copies of them: the committed one, and one that a batch stages. When the batch is on the bus, the
//! staged copy replaces the committed one. When it certainly isn't, the staged copy is dropped, and the same records
//! get the same sequences.

use crate::ids::Topic;
use std::collections::{BTreeMap, BTreeSet};

/// The counters of a shard, over all topics that it has ever written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    epoch: u64,
    topics: BTreeMap<Topic, Lanes>,
    changed: BTreeSet<Topic>,
    /// The number of streams that have an entry in the checkpoint.
    streams: u32,
}

/// The counters of one topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lanes {
    /// The number of lanes to which keys were spread when the topic was last written; 0 before.
    pub count: u32,
    /// The last record of each lane, by the number of the lane.
    pub counters: Vec<LaneCounter>,
}

/// The last record of a shard in a lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneCounter {
    /// The record's epoch; 0 if there is no record.
    pub epoch: u64,
    /// The record's lane sequence.
    pub last: u64,
}

impl Counters {
    /// The counters as a checkpoint has them.
    #[must_use]
    pub fn new(epoch: u64, topics: BTreeMap<Topic, Lanes>, streams: u32) -> Self {
        Self { epoch, topics, changed: BTreeSet::new(), streams }
    }

    /// The number of streams that have an entry in the checkpoint.
    #[must_use]
    pub fn streams(&self) -> u32 {
        self.streams
    }

    /// One more stream gets an entry in the checkpoint.
    pub fn add_stream(&mut self) {
        self.streams += 1;
    }

    /// The epoch of the next sequences.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The last record of the epoch before, if the lane has to begin this epoch with an `EpochStart`.
    #[must_use]
    pub fn begins(&self, topic: &Topic, lane: u32) -> Option<LaneCounter> {
        let counter = self.counter(topic, lane);
        (counter.epoch != self.epoch).then_some(counter)
    }

    /// The last sequence of this epoch in the lane; 0 if it has none.
    #[must_use]
    pub fn last(&self, topic: &Topic, lane: u32) -> u64 {
        let LaneCounter { epoch, last } = self.counter(topic, lane);
        if epoch == self.epoch { last } else { 0 }
    }

    /// Takes the lane's next sequence.
    pub fn next(&mut self, topic: &Topic, lane: u32) -> u64 {
        let (epoch, index) = (self.epoch, lane as usize);
        let Lanes { counters, .. } = self.changing(topic);
        if counters.len() <= index {
            counters.resize(index + 1, LaneCounter::default());
        }
        let Some(counter) = counters.get_mut(index) else { return 0 };
        let last = if counter.epoch == epoch { counter.last } else { 0 };
        *counter = LaneCounter { epoch, last: last + 1 };
        last + 1
    }

    /// Sets the number of lanes to which the topic's keys are spread from now on. Returns the number before, if it was
    /// another one.
    pub fn spread(&mut self, topic: &Topic, count: u32) -> Option<u32> {
        let before = self.topics.get(topic).map_or(0, |lanes| lanes.count);
        if before == count {
            return None;
        }
        self.changing(topic).count = count;
        (before > 0).then_some(before)
    }

    fn changing(&mut self, topic: &Topic) -> &mut Lanes {
        if !self.changed.contains(topic) {
            self.changed.insert(topic.clone());
        }
        self.topics.entry(topic.clone()).or_default()
    }

    fn counter(&self, topic: &Topic, lane: u32) -> LaneCounter {
        self.topics.get(topic).and_then(|lanes| lanes.counters.get(lane as usize)).copied().unwrap_or_default()
    }

    /// The topics that the shard has written.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.topics.keys()
    }

    /// The counters of all topics.
    pub(crate) fn lanes(&self) -> impl Iterator<Item = (&Topic, &Lanes)> {
        self.topics.iter()
    }

    /// The counters of the topics that changed since the last call, for the checkpoint.
    pub fn take_changed(&mut self) -> Vec<(Topic, Lanes)> {
        let with_lanes = |topic: Topic| self.topics.get(&topic).cloned().map(|lanes| (topic, lanes));
        std::mem::take(&mut self.changed).into_iter().filter_map(with_lanes).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_counts_from_one_in_each_epoch_and_knows_the_one_before() {
        let topic = Topic::from("t");
        let before = LaneCounter { epoch: 7, last: 41 };
        let lanes = Lanes { count: 2, counters: vec![LaneCounter::default(), before] };
        let mut counters = Counters::new(9, BTreeMap::from([(topic.clone(), lanes)]), 0);
        assert_eq!(counters.begins(&topic, 1), Some(before));
        assert_eq!(counters.next(&topic, 1), 1);
        assert_eq!(counters.begins(&topic, 1), None);
        assert_eq!(counters.next(&topic, 1), 2);
        assert_eq!(counters.begins(&topic, 5), Some(LaneCounter::default()));
        let after = Lanes { count: 2, counters: vec![LaneCounter::default(), LaneCounter { epoch: 9, last: 2 }] };
        assert_eq!(counters.take_changed(), [(topic, after)]);
        assert!(counters.take_changed().is_empty());
    }

    #[test]
    fn another_number_of_lanes_is_returned_once() {
        let topic = Topic::from("t");
        let mut counters = Counters::new(9, BTreeMap::new(), 0);
        assert_eq!(counters.spread(&topic, 6), None, "the first time is no change");
        assert_eq!(counters.take_changed().len(), 1);
        assert_eq!(counters.spread(&topic, 6), None);
        assert!(counters.take_changed().is_empty());
        assert_eq!(counters.spread(&topic, 8), Some(6));
        assert_eq!(counters.spread(&topic, 8), None);
    }
}
