//! From events to the bytes on the bus.
//!
//! A body doesn't depend on its position, so it is encoded once, when its page arrives. The position is added whenever
//! a batch is staged.

pub mod batch;
pub mod encoding;
pub mod event;
mod fingerprint;
pub mod placement;
pub mod sequence;
pub mod topic;
pub mod trace;

use crate::ids::{Gid, Lane, ShardId, StreamId, Topic};
use crate::record::batch::{Attributes, Message, Target};
use crate::record::encoding::Encoding;
use crate::record::event::Event;
use crate::record::trace::Trace;
use bridge_contract::pb::{self, record::Body};
use bridge_contract::time::{Timestamp, date_time, timestamp};
use chrono::{DateTime, Utc};
use std::sync::Arc;

/// An encoded body without its position.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Prepared {
    /// The body, encoded as a field of `Record`.
    body: Vec<u8>,
    encoding: Encoding,
    kind: &'static str,
    fingerprint: Vec<u8>,
    pub(crate) key: Gid,
    pub(crate) resource_type: Arc<str>,
    pub(crate) time: DateTime<Utc>,
}

/// The destination and the position of a record.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) shard: ShardId,
    pub(crate) epoch: u64,
    pub(crate) lane: Lane,
    pub(crate) lane_sequence: u64,
    /// `None` for a record of the lane itself.
    pub(crate) stream: Option<InStream>,
    pub(crate) received_at: DateTime<Utc>,
    pub(crate) trace: Trace,
}

/// The destination of a state, and where it comes from.
#[derive(Clone, Debug)]
pub(crate) struct StatePlace {
    pub(crate) shard: ShardId,
    pub(crate) topic: Topic,
    pub(crate) partition: u32,
    /// Of the snapshot that it comes from.
    pub(crate) position: pb::Position,
    pub(crate) received_at: DateTime<Utc>,
    pub(crate) trace: Trace,
}

/// The place of a record in its stream.
#[derive(Clone, Debug)]
pub(crate) struct InStream {
    pub(crate) id: StreamId,
    /// The id as a text, which all records of a page share.
    pub(crate) text: Arc<str>,
    pub(crate) sequence: u64,
}

impl Prepared {
    /// Prepares an event. Without a gid of its own, its key is the stream's resource.
    pub(crate) fn event(event: Event, stream: &StreamId, received_at: DateTime<Utc>, encoding: Encoding) -> Self {
        let key = event.gid().map_or_else(|| stream.resource.clone(), Gid::from);
        let resource_type = Arc::from(event.resource_type().unwrap_or_default());
        let time = event.created_at().unwrap_or(received_at);
        let fingerprint = event.0.fingerprint.clone();
        Self { fingerprint, key, resource_type, time, ..Self::of_lane(&Body::Event(event.0), time, encoding) }
    }

    /// Prepares a snapshot. Its key is that of the resource's events.
    pub(crate) fn snapshot(snapshot: pb::Snapshot, received_at: DateTime<Utc>, encoding: Encoding) -> Self {
        let (resource, modified_at) = (snapshot.resource.clone(), snapshot.modified_at);
        Self::of_resource(resource, modified_at, &Body::Snapshot(snapshot), received_at, encoding)
    }

    /// Prepares the state of a resource.
    pub(crate) fn state(state: pb::State, received_at: DateTime<Utc>, encoding: Encoding) -> Self {
        let (resource, modified_at) = (state.resource.clone(), state.modified_at);
        Self::of_resource(resource, modified_at, &Body::State(state), received_at, encoding)
    }

    fn of_resource(
        resource: Option<pb::Resource>,
        modified_at: Option<Timestamp>,
        body: &Body,
        received_at: DateTime<Utc>,
        encoding: Encoding,
    ) -> Self {
        let pb::Resource { gid, resource_type, .. } = resource.unwrap_or_default();
        let time = modified_at.as_ref().and_then(date_time).unwrap_or(received_at);
        Self { key: Gid::from(gid), resource_type: Arc::from(resource_type), ..Self::of_lane(body, time, encoding) }
    }

    /// Prepares a record of the stream as a whole. Its key is the watched resource.
    pub(crate) fn of_stream(body: &Body, stream: &StreamId, received_at: DateTime<Utc>, encoding: Encoding) -> Self {
        Self { key: stream.resource.clone(), ..Self::of_lane(body, received_at, encoding) }
    }

    /// Prepares a record of the lane itself, which has no key.
    pub(crate) fn of_lane(body: &Body, time: DateTime<Utc>, encoding: Encoding) -> Self {
        Self {
            body: encoding.body(body),
            encoding,
            kind: kind(body),
            fingerprint: Vec::new(),
            key: Gid::from(""),
            resource_type: Arc::from(""),
            time,
        }
    }

    /// The messages for this body at a place: one, unless it is too large for the bus. Then a stand-in takes the place,
    /// and the record goes to the dead-letter topic in parts. Also returns its size, if it was too large.
    pub(crate) fn messages(
        &self,
        place: &Place,
        message_bytes: usize,
        dead_letter_topic: &str,
        into: &mut Vec<Message>,
    ) -> Option<usize> {
        let message = self.message(place, &self.body, self.kind);
        let size = message_size(&message);
        if size <= message_bytes {
            into.push(message);
            return None;
        }
        let (gid, resource_type) = (self.key.to_string(), self.resource_type.to_string());
        let stand_in = Body::StandIn(pb::StandIn {
            reason: format!("the record's {size} bytes exceed the {message_bytes} that the bus takes"),
            dead_letter_topic: dead_letter_topic.to_owned(),
            record_bytes: message.value.len() as u64,
            limit_bytes: message_bytes as u64,
            fingerprint: self.fingerprint.clone(),
            resource: Some(pb::Resource { gid, resource_type, ..pb::Resource::default() }),
        });
        let body = self.encoding.body(&stand_in);
        dead_letters(&message, place, message_bytes, into);
        into.push(self.message(place, &body, kind(&stand_in)));
        Some(size)
    }

    /// Prepares what the state topic says of a shard.
    pub(crate) fn state_progress(progress: pb::StateProgress, now: DateTime<Utc>, encoding: Encoding) -> Self {
        let key = Gid::from(bridge_contract::state::progress_key(progress.shard));
        Self { key, ..Self::of_lane(&Body::StateProgress(progress), now, encoding) }
    }

    /// The message for the state topic.
    pub(crate) fn state_message(&self, place: &StatePlace) -> Message {
        let position = &place.position;
        // Of which lane the position is, isn't always in it: so the gid belongs to the identity.
        let pb::Position { shard, epoch, lane, lane_sequence, stream, stream_sequence } = position;
        let id = format!("state:{}:{stream}:{shard}:{epoch}:{lane}:{lane_sequence}:{stream_sequence}", self.key);
        Message {
            target: Target::State { topic: place.topic.clone(), partition: place.partition },
            shard: place.shard,
            key: self.key.clone(),
            value: self.value(position.clone(), place.received_at, &self.body),
            attributes: Attributes {
                id,
                encoding: self.encoding,
                kind: self.kind,
                stream: None,
                resource_type: Arc::clone(&self.resource_type),
                time: self.time,
                trace: place.trace,
            },
        }
    }

    fn message(&self, place: &Place, body: &[u8], kind: &'static str) -> Message {
        Message {
            target: Target::Lane { topic: place.lane.topic.clone(), partition: place.lane.partition },
            shard: place.shard,
            key: self.key.clone(),
            value: self.value(position(place), place.received_at, body),
            attributes: Attributes {
                id: id(place),
                encoding: self.encoding,
                kind,
                stream: place.stream.as_ref().map(|stream| stream.id.clone()),
                resource_type: Arc::clone(&self.resource_type),
                time: self.time,
                trace: place.trace,
            },
        }
    }

    /// The encoded record.
    fn value(&self, position: pb::Position, received_at: DateTime<Utc>, body: &[u8]) -> Vec<u8> {
        let head = pb::Record { position: Some(position), received_at: timestamp(received_at), body: None };
        self.encoding.value(&head, body)
    }
}

/// The parts of a record that is too large, each below the limit.
fn dead_letters(message: &Message, place: &Place, message_bytes: usize, into: &mut Vec<Message>) {
    // The size of a part without its bytes: position, topic, key, headers.
    const AROUND: usize = 2048;
    let encoding = message.attributes.encoding;
    let room = message_bytes.saturating_sub(AROUND + message.key.as_str().len()).max(1024);
    let part_bytes = encoding.part_bytes(room);
    let parts = message.value.chunks(part_bytes);
    let part_count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
    for (part_index, part) in (0..).zip(parts) {
        let letter = pb::DeadLetter {
            position: Some(position(place)),
            topic: place.lane.topic.to_string(),
            part_index,
            part_count,
            part: part.to_vec(),
        };
        into.push(Message {
            target: Target::DeadLetter,
            value: encoding.letter(&letter),
            attributes: Attributes {
                id: format!("{}:dead-letter:{part_index}", message.attributes.id),
                kind: "asana_event_bridge.v1.DeadLetter",
                ..message.attributes.clone()
            },
            ..message.clone()
        });
    }
}

/// The size of key and value, and a bound on the size of the headers, in bytes.
pub(crate) fn message_size(message: &Message) -> usize {
    // Names of headers, fixed values, and the overhead of a record in Kafka's format.
    const HEADERS: usize = 768;
    let id = message.attributes.id.len();
    let stream =
        message.attributes.stream.as_ref().map_or(0, |it| it.account.as_str().len() + it.resource.as_str().len());
    // The key is in a header or two as well.
    HEADERS + 3 * message.key.as_str().len() + message.value.len() + 2 * id + stream
}

pub(crate) fn position(place: &Place) -> pb::Position {
    pb::Position {
        shard: place.shard.0,
        epoch: place.epoch,
        lane: place.lane.partition,
        lane_sequence: place.lane_sequence,
        stream: place.stream.as_ref().map_or_else(String::new, |stream| String::from(&*stream.text)),
        stream_sequence: place.stream.as_ref().map_or(0, |stream| stream.sequence),
    }
}

/// The id of a record, which is the same when it is written again.
pub(crate) fn id(place: &Place) -> String {
    match &place.stream {
        Some(InStream { text, sequence, .. }) => format!("{text}:{}:{sequence}", place.epoch),
        None => format!(
            "{}/{}:{}:{}:{}",
            place.lane.topic, place.lane.partition, place.shard, place.epoch, place.lane_sequence
        ),
    }
}

fn kind(body: &Body) -> &'static str {
    match body {
        Body::Event(_) => "asana_event_bridge.v1.Event",
        Body::StandIn(_) => "asana_event_bridge.v1.StandIn",
        Body::Snapshot(_) => "asana_event_bridge.v1.Snapshot",
        Body::SnapshotBegin(_) => "asana_event_bridge.v1.SnapshotBegin",
        Body::SnapshotEnd(_) => "asana_event_bridge.v1.SnapshotEnd",
        Body::SourceGap(_) => "asana_event_bridge.v1.SourceGap",
        Body::SourceGapHealed(_) => "asana_event_bridge.v1.SourceGapHealed",
        Body::EpochStart(_) => "asana_event_bridge.v1.EpochStart",
        Body::Watermark(_) => "asana_event_bridge.v1.Watermark",
        Body::LanesChanged(_) => "asana_event_bridge.v1.LanesChanged",
        Body::StreamSuspended(_) => "asana_event_bridge.v1.StreamSuspended",
        Body::StreamResumed(_) => "asana_event_bridge.v1.StreamResumed",
        Body::StreamEnded(_) => "asana_event_bridge.v1.StreamEnded",
        Body::State(_) => "asana_event_bridge.v1.State",
        Body::StateProgress(_) => "asana_event_bridge.v1.StateProgress",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bridge_consumer::decode;
    use proptest::prelude::*;
    use prost::Message as _;
    use serde_json::json;

    fn place() -> Place {
        Place {
            shard: ShardId(3),
            epoch: 9,
            lane: Lane { topic: "t".into(), partition: 2 },
            lane_sequence: 5,
            stream: Some(InStream { id: StreamId::new("main", "12"), text: "main/12".into(), sequence: 4 }),
            received_at: DateTime::from_timestamp_millis(1234).expect("a time"),
            trace: Trace::new("r1", 1, DateTime::UNIX_EPOCH),
        }
    }

    fn event(text: &str) -> Event {
        let raw: Box<serde_json::value::RawValue> = serde_json::from_str(text).expect("JSON");
        Event::parse(&raw)
    }

    #[test]
    fn the_bytes_are_those_of_the_record_encoded_at_once() {
        let event = event(r#"{"action":"added","resource":{"gid":"77","resource_type":"task"}}"#);
        let record = pb::Record {
            position: Some(position(&place())),
            received_at: timestamp(place().received_at),
            body: Some(Body::Event(event.0.clone())),
        };
        let json = bridge_contract::json::record(&record).expect("JSON");
        for (encoding, expected) in [(Encoding::Protobuf, record.encode_to_vec()), (Encoding::Json, json)] {
            let prepared = Prepared::event(event.clone(), &StreamId::new("main", "12"), place().received_at, encoding);
            let mut messages = Vec::new();
            prepared.messages(&place(), 10_000, "dead", &mut messages);
            assert_eq!(messages.len(), 1);
            assert_eq!(messages[0].value, expected);
            assert_eq!(messages[0].key.as_str(), "77");
            assert_eq!(messages[0].attributes.id, "main/12:9:4");
            assert_eq!(messages[0].attributes.encoding, encoding);
        }
    }

    #[test]
    fn what_is_too_large_has_a_stand_in_and_can_be_put_together_again() {
        let event = event(&format!(r#"{{"note":"{}"}}"#, "x".repeat(20_000)));
        for encoding in [Encoding::Protobuf, Encoding::Json] {
            let prepared = Prepared::event(event.clone(), &StreamId::new("main", "12"), place().received_at, encoding);
            let mut messages = Vec::new();
            prepared.messages(&place(), 8_000, "dead", &mut messages);
            let (stand_in, letters) = messages.split_last().expect("messages");
            assert!(messages.iter().all(|message| message_size(message) <= 8_000));
            let stand_in = decode::wire(&stand_in.value).expect("decodes");
            assert_eq!(stand_in.position, Some(position(&place())));
            assert!(matches!(stand_in.body, Some(Body::StandIn(_))));
            assert!(letters.len() >= 4, "{}", letters.len());
            let parts = letters.iter().flat_map(|letter| {
                assert_eq!(letter.target, Target::DeadLetter);
                letter_of(letter).part
            });
            let whole = decode::wire(&parts.collect::<Vec<_>>()).expect("decodes");
            assert_eq!(whole.body, Some(Body::Event(event.0.clone())));
        }
    }

    fn letter_of(message: &Message) -> pb::DeadLetter {
        match message.attributes.encoding {
            Encoding::Protobuf => pb::DeadLetter::decode(message.value.as_slice()).expect("decodes"),
            Encoding::Json => serde_json::from_slice(&message.value).expect("JSON"),
        }
    }

    /// Protobuf's own rule: from year 1 to year 9999, and a second has no more than its nanoseconds.
    fn is_valid(time: Option<Timestamp>) -> bool {
        time.is_none_or(|time| {
            (-62_135_596_800..=253_402_300_799).contains(&time.seconds) && (0..1_000_000_000).contains(&time.nanos)
        })
    }

    fn any_time() -> impl Strategy<Value = DateTime<Utc>> {
        let seconds = DateTime::<Utc>::MIN_UTC.timestamp()..=DateTime::<Utc>::MAX_UTC.timestamp();
        // chrono writes a leap second as one that has more than its nanoseconds.
        (seconds, 0..2_000_000_000_u32)
            .prop_filter_map("no time", |(seconds, nanos)| DateTime::from_timestamp(seconds / 60 * 60 + 59, nanos))
    }

    fn any_time_text() -> impl Strategy<Value = String> {
        let odd = proptest::sample::select(vec![
            "2016-12-31T23:59:60.000Z",
            "2016-12-31T23:59:60.999Z",
            "0000-01-01T00:00:00.000Z",
            "0001-01-01T00:00:00.000+00:01",
            "9999-12-31T23:59:59.999-00:01",
            "2012-02-22T02:06:58.147Z",
        ]);
        prop_oneof![
            odd.prop_map(str::to_owned),
            "[0-9]{4}-[01][0-9]-[0-3][0-9]T[012][0-9]:[0-5][0-9]:[0-6][0-9]\\.[0-9]{3,9}(Z|[+-][01][0-9]:[0-5][0-9])",
            any_time().prop_map(|time| time.to_rfc3339()),
        ]
    }

    proptest! {
        #[test]
        fn every_time_of_a_record_is_one_that_protobuf_has(text in any_time_text(), received_at in any_time(), json: bool) {
            let (stream, text) = (StreamId::new("main", "12"), json!(text));
            let event = event(&json!({
                "action": "added", "resource": {"gid": "7", "resource_type": "task"}, "parent": null,
                "created_at": text, "user": null,
            }).to_string());
            prop_assert!(event.0.created_at.is_some() || !event.0.raw_json.is_empty());
            let modified_at = bridge_contract::time::parse(text.as_str().expect("text")).and_then(timestamp);
            let snapshot = pb::Snapshot { modified_at, ..pb::Snapshot::default() };
            let encoding = if json { Encoding::Json } else { Encoding::Protobuf };
            let prepared = [
                Prepared::event(event, &stream, received_at, encoding),
                Prepared::snapshot(snapshot, received_at, encoding),
            ];
            for prepared in prepared {
                let mut messages = Vec::new();
                prepared.messages(&Place { received_at, ..place() }, 10_000, "dead", &mut messages);
                let record = decode::wire(&messages[0].value).expect("decodes");
                prop_assert!(is_valid(record.received_at), "{:?}", record.received_at);
                let body = record.body.expect("a body");
                let created_at = if let Body::Event(event) = &body { event.created_at } else { None };
                let modified_at = if let Body::Snapshot(snapshot) = &body { snapshot.modified_at } else { None };
                prop_assert!(is_valid(created_at) && is_valid(modified_at), "{body:?}");
            }
        }
    }
}
