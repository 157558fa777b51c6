//! Snapshots, states and entries of the refresh log in a batch.

use super::progress::Statement;
use super::{Ready, StateChange};
use crate::engine::staging::Staging;
use crate::ids::{Gid, Lane, ShardId, Topic};
use crate::record::batch::{Attributes, Message, Target};
use crate::record::encoding::Encoding;
use crate::record::placement::{lane_of, shard_of_gid};
use crate::record::sequence::Counters;
use crate::record::trace::Trace;
use crate::record::{Place, Prepared, StatePlace, id as id_of, message_size, position as position_of};
use crate::state::entry::MARK_KEY;
use crate::state::{Entry, Logged};
use bridge_contract::pb;
use chrono::{DateTime, Utc};

impl Staging<'_> {
    /// The snapshot and the state of a resource.
    pub(in crate::engine) fn refreshed(&mut self, ready: &Ready, counters: &mut Counters) {
        let shard = ready.ticket.shard;
        let published = ready.snapshot.as_ref().map(|(topic, prepared)| {
            self.spread(shard, topic, counters);
            let partition = lane_of(prepared.key.as_str().as_bytes(), self.topics[topic].lanes);
            let lane = Lane { topic: topic.clone(), partition };
            self.begin_lane(shard, &lane, counters);
            self.without_stream(shard, lane, prepared, (ready.received_at, ready.trace), counters)
        });
        if let (Some(change), Some(topic)) = (&ready.state, self.settings.state.topic.clone()) {
            self.state(ready, change, topic, published.as_ref());
        }
    }

    fn state(&mut self, ready: &Ready, change: &StateChange, topic: Topic, published: Option<&Place>) {
        let known = self.topics[&topic];
        let gid = &ready.ticket.gid;
        let partition = lane_of(gid.as_str().as_bytes(), known.lanes);
        let (StateChange::Put { position, .. } | StateChange::Remove { position }) = change;
        let position = position.clone().or_else(|| published.map(position_of)).unwrap_or_default();
        let (shard, trace, received_at) = (ready.ticket.shard, ready.trace, ready.received_at);
        let encoding = self.settings.encodings.state;
        let place = StatePlace { shard, topic, partition, position, received_at, trace };
        let message = match change {
            StateChange::Put { state, .. } => {
                let whole = Prepared::state(state.as_ref().clone(), received_at, encoding).state_message(&place);
                if message_size(&whole) <= known.message_bytes {
                    whole
                } else {
                    let without = pb::State { state_json: String::new(), ..state.as_ref().clone() };
                    Prepared::state(without, received_at, encoding).state_message(&place)
                }
            }
            StateChange::Remove { .. } => {
                let resource_type = ready.ticket.resource_type.clone();
                let resource = pb::Resource { gid: gid.to_string(), resource_type, ..pb::Resource::default() };
                let state = pb::State { resource: Some(resource), ..pb::State::default() };
                Message { value: Vec::new(), ..Prepared::state(state, received_at, encoding).state_message(&place) }
            }
        };
        self.messages.push(message);
    }

    /// What the state topic says of a shard, and the mark in its part of the log.
    pub(in crate::engine) fn statement(&mut self, statement: &Statement, epoch: u64) {
        let (shard, now, trace) = (statement.shard, self.now, self.trace);
        if let Some(at) = statement.mark {
            let id = format!("refresh:{MARK_KEY}:{shard}:{epoch}:{}", at.timestamp_micros());
            self.messages.push(Message {
                target: Target::RefreshLog(shard),
                shard,
                key: Gid::from(MARK_KEY),
                value: Logged::Mark(at).encode(),
                attributes: attributes_of_entry(id, now, trace),
            });
        }
        let Some((read, topic, progress)) = &statement.record else { return };
        let prepared = Prepared::state_progress(progress.clone(), now, self.settings.encodings.state);
        let partition = lane_of(prepared.key.as_str().as_bytes(), self.topics[topic].lanes);
        let position = pb::Position { shard: shard.0, epoch, lane: partition, ..pb::Position::default() };
        let place = StatePlace { shard, topic: topic.clone(), partition, position, received_at: now, trace };
        let mut message = prepared.state_message(&place);
        // It has no sequence that would tell it from the one before.
        message.attributes.id = format!("state:{}:{epoch}:{}", prepared.key, read.timestamp_micros());
        self.messages.push(message);
    }

    /// The entries for a record that has got its position. Of the same key the last one counts.
    pub(in crate::engine) fn log<'a>(
        &mut self,
        shard: ShardId,
        entries: impl Iterator<Item = &'a Entry>,
        place: &Place,
        time: DateTime<Utc>,
    ) {
        let (position, id) = (position_of(place), id_of(place));
        for entry in entries {
            let key = entry.key();
            let attributes = Attributes {
                stream: Some(entry.stream.clone()),
                resource_type: entry.resource_type.as_str().into(),
                ..attributes_of_entry(format!("refresh:{id}:{}", entry.gid), time, self.trace)
            };
            let message = Message {
                target: Target::RefreshLog(shard_of_gid(&entry.gid, self.settings.shards)),
                shard,
                key: Gid::from(key.as_str()),
                value: Entry { position: position.clone(), ..entry.clone() }.encode(),
                attributes,
            };
            self.entries.insert(key, message);
        }
    }
}

/// Of an entry of the refresh log that is about no resource.
fn attributes_of_entry(id: String, time: DateTime<Utc>, trace: Trace) -> Attributes {
    Attributes {
        id,
        encoding: Encoding::Protobuf,
        kind: "asana_event_bridge.checkpoint.v1.RefreshEntry",
        stream: None,
        resource_type: "".into(),
        time,
        trace,
    }
}
