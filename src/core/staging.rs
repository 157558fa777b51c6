//! Gives sequences to what waits, and makes a batch of it.

use super::batch::{Batch, Message, OutputTopic};
use super::checkpoint::{write_lanes, write_shard, write_stream};
use super::engine::{Pending, Settings, Shard};
use super::ids::{Lane, ShardId, Topic};
use super::placement::lane_of;
use super::record::{Place, Prepared};
use super::sequence::Counters;
use super::stream::{OpenGap, Stream};
use super::trace::Trace;
use crate::pb::{self, record::Body};
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

/// The topics that are known.
pub(crate) type Topics = BTreeMap<Topic, OutputTopic>;

/// What takes the place of the committed progress once the batch is on the bus.
#[derive(Debug)]
pub(crate) struct Staged {
    /// Each with its stream as it will be.
    pub(crate) pending: Vec<(Pending, Stream)>,
    pub(crate) counters: BTreeMap<ShardId, Counters>,
    pub(crate) messages: usize,
}

/// What is to be said of a shard as a whole: up to when its topics are complete.
#[derive(Debug)]
pub(crate) struct ShardWatermark {
    pub(crate) shard: ShardId,
    pub(crate) complete_up_to: DateTime<Utc>,
    pub(crate) topics: Vec<Topic>,
}

/// Stages pending states, in order, then watermarks.
///
/// # Panics
/// If a shard isn't in `shards` or a topic isn't in `topics`. Nothing is lost then: nothing was committed.
pub(crate) fn stage(
    taken: Vec<Pending>,
    watermarks: &[ShardWatermark],
    shards: &BTreeMap<ShardId, Shard>,
    topics: &Topics,
    settings: &Settings,
    now: DateTime<Utc>,
) -> (Staged, Batch) {
    let trace = Trace::new(&settings.replica, 0, now);
    let mut staging = Staging { topics, settings, now, trace, messages: Vec::new() };
    let mut counters: BTreeMap<ShardId, Counters> = BTreeMap::new();
    let mut checkpoints = Vec::new();
    for shard in taken.iter().map(|it| it.shard).chain(watermarks.iter().map(|it| it.shard)) {
        counters.entry(shard).or_insert_with(|| {
            let Shard { counters, header_due, .. } = &shards[&shard];
            if *header_due {
                checkpoints.push(write_shard(shard, settings.shards, counters.epoch(), &settings.replica));
            }
            counters.clone()
        });
    }
    let mut pending = Vec::with_capacity(taken.len());
    for one in taken {
        let Some(counters) = counters.get_mut(&one.shard) else { continue };
        let next = staging.pending(&one, counters);
        checkpoints.push(write_stream(one.shard, &one.id, &next));
        pending.push((one, next));
    }
    for watermark in watermarks {
        let Some(counters) = counters.get_mut(&watermark.shard) else { continue };
        staging.watermark(watermark, counters);
    }
    for (shard, counters) in &mut counters {
        let changed = counters.take_changed();
        checkpoints.extend(changed.iter().map(|(topic, lanes)| write_lanes(*shard, topic, lanes)));
    }
    let staged = Staged { pending, counters, messages: staging.messages.len() };
    (staged, Batch { messages: staging.messages, checkpoints })
}

struct Staging<'a> {
    topics: &'a Topics,
    settings: &'a Settings,
    now: DateTime<Utc>,
    /// Of what comes from no page.
    trace: Trace,
    messages: Vec<Message>,
}

impl Staging<'_> {
    /// New gaps first, then the events, each topic's first one behind the gaps that it doesn't have yet.
    fn pending(&mut self, pending: &Pending, counters: &mut Counters) -> Stream {
        let mut next = pending.next.clone();
        for topic in &pending.gap_topics {
            self.prepare_topic(pending, &mut next, topic, counters);
        }
        for (topic, prepared) in &pending.records {
            self.prepare_topic(pending, &mut next, topic, counters);
            let partition = lane_of(prepared.key.as_str().as_bytes(), self.topics[topic].lanes);
            let lane = Lane { topic: topic.clone(), partition };
            self.record(pending, &mut next, lane, prepared, counters);
        }
        next
    }

    /// Puts the stream's open gaps into every lane of a topic that doesn't have them.
    fn prepare_topic(&mut self, pending: &Pending, next: &mut Stream, topic: &Topic, counters: &mut Counters) {
        self.spread(pending.shard, topic, counters);
        let lanes = self.topics[topic].lanes.get();
        let announce = |gap: &mut OpenGap| {
            let has_it = gap.topics.insert(topic.clone(), lanes).unwrap_or(0);
            (has_it < lanes).then(|| (Prepared::source_gap(gap.record(), &pending.id, pending.received_at), has_it))
        };
        let gaps: Vec<_> = next.open_gaps.iter_mut().filter_map(announce).collect();
        for (prepared, has_it) in gaps {
            for partition in has_it..lanes {
                let lane = Lane { topic: topic.clone(), partition };
                self.record(pending, next, lane, &prepared, counters);
            }
        }
    }

    /// Tells every lane of a topic that keys are spread over another number of lanes, if so.
    fn spread(&mut self, shard: ShardId, topic: &Topic, counters: &mut Counters) {
        let count = self.topics[topic].lanes.get();
        if let Some(previous_count) = counters.spread(topic, count) {
            self.of_each_lane(shard, topic, &Body::LanesChanged(pb::LanesChanged { previous_count, count }), counters);
        }
    }

    fn watermark(&mut self, watermark: &ShardWatermark, counters: &mut Counters) {
        for topic in &watermark.topics {
            self.spread(watermark.shard, topic, counters);
            let body = pb::Watermark {
                complete_up_to: Some(watermark.complete_up_to.into()),
                shards: self.settings.shards.get(),
                lanes: self.topics[topic].lanes.get(),
            };
            self.of_each_lane(watermark.shard, topic, &Body::Watermark(body), counters);
        }
    }

    fn of_each_lane(&mut self, shard: ShardId, topic: &Topic, body: &Body, counters: &mut Counters) {
        let prepared = Prepared::of_lane(body, self.now);
        for partition in 0..self.topics[topic].lanes.get() {
            let lane = Lane { topic: topic.clone(), partition };
            self.begin_lane(shard, &lane, counters);
            self.of_lane(shard, lane, &prepared, counters);
        }
    }

    fn record(
        &mut self,
        pending: &Pending,
        next: &mut Stream,
        lane: Lane,
        prepared: &Prepared,
        counters: &mut Counters,
    ) {
        self.begin_lane(pending.shard, &lane, counters);
        let epoch = counters.epoch();
        let place = Place {
            shard: pending.shard,
            epoch,
            lane_sequence: counters.next(&lane.topic, lane.partition),
            lane,
            stream: Some((pending.id.clone(), next.next_sequence(epoch))),
            received_at: pending.received_at,
            trace: pending.trace,
        };
        self.push(prepared, &place);
    }

    /// The first record of an epoch in a lane says what was before it.
    fn begin_lane(&mut self, shard: ShardId, lane: &Lane, counters: &mut Counters) {
        let Some(before) = counters.begins(&lane.topic, lane.partition) else { return };
        let start = pb::EpochStart { previous_epoch: before.epoch, previous_lane_sequence: before.last };
        self.of_lane(shard, lane.clone(), &Prepared::of_lane(&Body::EpochStart(start), self.now), counters);
    }

    fn of_lane(&mut self, shard: ShardId, lane: Lane, prepared: &Prepared, counters: &mut Counters) {
        let place = Place {
            shard,
            epoch: counters.epoch(),
            lane_sequence: counters.next(&lane.topic, lane.partition),
            lane,
            stream: None,
            received_at: self.now,
            trace: self.trace,
        };
        self.push(prepared, &place);
    }

    fn push(&mut self, prepared: &Prepared, place: &Place) {
        let message_bytes = self.topics[&place.lane.topic].message_bytes;
        prepared.messages(place, message_bytes, &self.settings.dead_letter_topic, &mut self.messages);
    }
}
