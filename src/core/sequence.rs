//! Lane counters of one shard: contiguous, so that a consumer can tell what is missing.
//!
//! There are two copies of them: the committed one, and one that a batch stages. When
//! the batch is on the bus the staged copy takes the place of the committed one;
//! when it surely isn't, the staged copy is dropped, and the same records get the same numbers.

use super::ids::Topic;
use std::collections::{BTreeMap, BTreeSet};

/// The counters of a shard, over all topics that it ever wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    epoch: u64,
    lanes: BTreeMap<Topic, Vec<LaneCounter>>,
    changed: BTreeSet<Topic>,
}

/// The last record of a shard in a lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneCounter {
    /// The record's epoch; 0 where there is none.
    pub epoch: u64,
    /// The record's lane sequence.
    pub last: u64,
}

impl Counters {
    /// The counters as a checkpoint has them.
    #[must_use]
    pub fn new(epoch: u64, lanes: BTreeMap<Topic, Vec<LaneCounter>>) -> Self {
        Self { epoch, lanes, changed: BTreeSet::new() }
    }

    /// The epoch in which sequences are given.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The last record of the epoch before, if the lane has to begin this one: with an `EpochStart`.
    #[must_use]
    pub fn begins(&self, topic: &Topic, lane: u32) -> Option<LaneCounter> {
        let counter = self.counter(topic, lane);
        (counter.epoch != self.epoch).then_some(counter)
    }

    /// Gives the lane's next sequence.
    pub fn next(&mut self, topic: &Topic, lane: u32) -> u64 {
        let last = match self.begins(topic, lane) {
            Some(_) => 0,
            None => self.counter(topic, lane).last,
        };
        if !self.changed.contains(topic) {
            self.changed.insert(topic.clone());
        }
        let lanes = self.lanes.entry(topic.clone()).or_default();
        let index = lane as usize;
        if lanes.len() <= index {
            lanes.resize(index + 1, LaneCounter::default());
        }
        if let Some(counter) = lanes.get_mut(index) {
            *counter = LaneCounter { epoch: self.epoch, last: last + 1 };
        }
        last + 1
    }

    fn counter(&self, topic: &Topic, lane: u32) -> LaneCounter {
        self.lanes.get(topic).and_then(|lanes| lanes.get(lane as usize)).copied().unwrap_or_default()
    }

    /// The topics that the shard has written.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.lanes.keys()
    }

    /// The counters of the topics that changed since this was asked last, for the checkpoint.
    pub fn take_changed(&mut self) -> Vec<(Topic, Vec<LaneCounter>)> {
        let with_lanes = |topic: Topic| self.lanes.get(&topic).cloned().map(|lanes| (topic, lanes));
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
        let mut counters = Counters::new(9, BTreeMap::from([(topic.clone(), vec![LaneCounter::default(), before])]));
        assert_eq!(counters.begins(&topic, 1), Some(before));
        assert_eq!(counters.next(&topic, 1), 1);
        assert_eq!(counters.begins(&topic, 1), None);
        assert_eq!(counters.next(&topic, 1), 2);
        assert_eq!(counters.begins(&topic, 5), Some(LaneCounter::default()));
        let changed = counters.take_changed();
        assert_eq!(changed, [(topic, vec![LaneCounter::default(), LaneCounter { epoch: 9, last: 2 }])]);
        assert!(counters.take_changed().is_empty());
    }
}
