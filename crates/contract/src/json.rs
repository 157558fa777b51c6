//! The JSON form of records: that of protobuf, with Asana's objects as objects.
//!
//! In protobuf's JSON form, names are in lower camel case, 64-bit numbers are text, and bytes are in base64. One thing is
//! different here: the object of a snapshot or of a state, which `state_json` has as text, stands there itself as `object`, with
//! all of its numbers as Asana wrote them.
//!
//! ```
//! # use asana_event_bridge_contract::{json, pb};
//! let state = pb::State { state_json: r#"{"gid":"7","number_value":1.10}"#.to_owned(), ..Default::default() };
//! let record = pb::Record { body: Some(pb::record::Body::State(state)), ..Default::default() };
//! let value = json::record(&record)?;
//! assert_eq!(value, br#"{"state":{"object":{"gid":"7","number_value":1.10}}}"#);
//! assert_eq!(json::read(&value)?, record);
//! # Ok::<(), serde_json::Error>(())
//! ```

use crate::pb::{self, record::Body};
use serde::{Deserialize, Serialize};
use serde_json::Result;
use serde_json::value::RawValue;

/// The first byte of each value in this form. No value in protobuf's binary form begins with it: there it would be the beginning of a
/// group.
pub const FIRST: u8 = b'{';

/// The JSON form of a record.
///
/// # Errors
/// The record has a time that protobuf doesn't have. [`time::timestamp`](crate::time::timestamp) makes none.
pub fn record(record: &pb::Record) -> Result<Vec<u8>> {
    let pb::Record { position, received_at, body } = record;
    let head = pb::Record { position: position.clone(), received_at: *received_at, body: None };
    let head = serde_json::to_vec(&head)?;
    match body {
        Some(body) => Ok(joined(head, &member(body)?)),
        None => Ok(head),
    }
}

/// The body as a member of its record: its name and value.
///
/// # Errors
/// As [`record`].
pub fn member(body: &Body) -> Result<Vec<u8>> {
    let (name, value) = match body {
        Body::Event(it) => ("event", text(it)),
        Body::StandIn(it) => ("standIn", text(it)),
        Body::Snapshot(it) => ("snapshot", with_object(&it.state_json, it, |it| &mut it.state_json)),
        Body::SnapshotBegin(it) => ("snapshotBegin", text(it)),
        Body::SnapshotEnd(it) => ("snapshotEnd", text(it)),
        Body::SourceGap(it) => ("sourceGap", text(it)),
        Body::SourceGapHealed(it) => ("sourceGapHealed", text(it)),
        Body::EpochStart(it) => ("epochStart", text(it)),
        Body::Watermark(it) => ("watermark", text(it)),
        Body::LanesChanged(it) => ("lanesChanged", text(it)),
        Body::StreamSuspended(it) => ("streamSuspended", text(it)),
        Body::StreamResumed(it) => ("streamResumed", text(it)),
        Body::StreamEnded(it) => ("streamEnded", text(it)),
        Body::StateProgress(it) => ("stateProgress", text(it)),
        Body::State(it) => ("state", with_object(&it.state_json, it, |it| &mut it.state_json)),
    };
    Ok([format!("\"{name}\":").as_bytes(), &value?].concat())
}

/// The text of an object, with one more member.
#[must_use]
pub fn joined(mut object: Vec<u8>, member: &[u8]) -> Vec<u8> {
    object.pop();
    if object.len() > 1 {
        object.push(b',');
    }
    object.extend_from_slice(member);
    object.push(b'}');
    object
}

/// Reads a record in this form. What a newer bridge may add is ignored.
///
/// # Errors
/// The text isn't a record in this form.
pub fn read(text: &[u8]) -> Result<pb::Record> {
    #[derive(Deserialize)]
    struct Objects<'a> {
        #[serde(borrow)]
        snapshot: Option<Object<'a>>,
        #[serde(borrow)]
        state: Option<Object<'a>>,
    }
    #[derive(Deserialize)]
    struct Object<'a> {
        #[serde(borrow)]
        object: Option<&'a RawValue>,
    }
    let mut record: pb::Record = serde_json::from_slice(text)?;
    let state_json = match &mut record.body {
        Some(Body::Snapshot(snapshot)) => &mut snapshot.state_json,
        Some(Body::State(state)) => &mut state.state_json,
        _ => return Ok(record),
    };
    let Objects { snapshot, state } = serde_json::from_slice(text)?;
    if let Some(object) = snapshot.or(state).and_then(|body| body.object) {
        object.get().clone_into(state_json);
    }
    Ok(record)
}

fn text(message: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(message)
}

/// A message whose JSON text stands as an object of its own, if it is one.
fn with_object<M: Serialize + Clone>(
    json: &str,
    message: &M,
    state_json: fn(&mut M) -> &mut String,
) -> Result<Vec<u8>> {
    let Some(object) =
        serde_json::from_str::<&RawValue>(json).ok().filter(|it| it.get().starts_with(char::from(FIRST)))
    else {
        return text(message);
    };
    let mut rest = message.clone();
    state_json(&mut rest).clear();
    // A line feed in JSON is always between two values.
    let object = object.get().replace(['\n', '\r'], " ");
    Ok(joined(text(&rest)?, format!(r#""object":{object}"#).as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bodies() -> Vec<Body> {
        let snapshot = |text: &str| pb::Snapshot { state_json: text.to_owned(), change: 2, ..pb::Snapshot::default() };
        vec![
            Body::Event(pb::Event { action: "a\n\"é".to_owned(), fingerprint: vec![255; 16], ..pb::Event::default() }),
            Body::StandIn(pb::StandIn { record_bytes: u64::MAX, ..pb::StandIn::default() }),
            Body::Snapshot(snapshot("")),
            Body::Snapshot(snapshot(r#"{"a":1e400,"b":[{"object":0.10}],"c":"\u0000\n"}"#)),
            Body::Snapshot(snapshot("no JSON")),
            Body::Snapshot(snapshot("[1]")),
            Body::SnapshotBegin(pb::SnapshotBegin { reason: 1, ..pb::SnapshotBegin::default() }),
            Body::SnapshotEnd(pb::SnapshotEnd { compared: true, ..pb::SnapshotEnd::default() }),
            Body::SourceGap(pb::SourceGap { gap_id: "g".to_owned(), ..pb::SourceGap::default() }),
            Body::SourceGapHealed(pb::SourceGapHealed { restored: 1, ..pb::SourceGapHealed::default() }),
            Body::EpochStart(pb::EpochStart { previous_epoch: 1 << 60, ..pb::EpochStart::default() }),
            Body::Watermark(pb::Watermark { progress: vec![pb::ShardProgress::default()], ..pb::Watermark::default() }),
            Body::LanesChanged(pb::LanesChanged { count: 3, ..pb::LanesChanged::default() }),
            Body::StreamSuspended(pb::StreamSuspended { status: 403 }),
            Body::StreamResumed(pb::StreamResumed {}),
            Body::StreamEnded(pb::StreamEnded {}),
            Body::StateProgress(pb::StateProgress {
                shard: 7,
                published: vec![pb::PublishedProgress::default()],
                ..pb::StateProgress::default()
            }),
            Body::State(pb::State { state_json: "{}".to_owned(), followed: true, ..pb::State::default() }),
        ]
    }

    #[test]
    fn every_body_survives_and_is_protobufs_form_but_for_the_object() {
        let position = pb::Position { epoch: u64::MAX, lane_sequence: 7, ..pb::Position::default() };
        for body in bodies() {
            for position in [None, Some(position.clone())] {
                let received_at = position.as_ref().map(|_| crate::Timestamp { seconds: 1, nanos: 5_000_000 });
                let whole = pb::Record { position, received_at, body: Some(body.clone()) };
                let text = String::from_utf8(record(&whole).expect("JSON")).expect("UTF-8");
                assert_eq!(read(text.as_bytes()).expect("a record"), whole, "{text}");
                let is_inline = text.contains(r#""object":{"#);
                assert_eq!(is_inline, !text.contains("stateJson") && has_object(&body), "{text}");
                if !is_inline {
                    assert_eq!(text, serde_json::to_string(&whole).expect("JSON"));
                }
            }
        }
    }

    fn has_object(body: &Body) -> bool {
        let (Body::Snapshot(pb::Snapshot { state_json, .. }) | Body::State(pb::State { state_json, .. })) = body else {
            return false;
        };
        state_json.starts_with('{')
    }

    #[test]
    fn a_state_is_on_one_line() {
        let state = pb::State { state_json: "{\r\n \"gid\": \"7\"\n}".to_owned(), ..pb::State::default() };
        assert_eq!(member(&Body::State(state)).expect("JSON"), br#""state":{"object":{   "gid": "7" }}"#);
    }

    #[test]
    fn what_a_newer_bridge_adds_is_ignored() {
        let text = r#"{"position":{"shard":3,"new":[{}]},"newBody":{"a":1},"object":0}"#;
        let position = Some(pb::Position { shard: 3, ..pb::Position::default() });
        assert_eq!(read(text.as_bytes()).expect("a record"), pb::Record { position, ..pb::Record::default() });
    }

    #[test]
    fn no_value_of_protobufs_binary_form_begins_like_json() {
        for body in bodies() {
            let bytes = prost::Message::encode_to_vec(&pb::Record { body: Some(body), ..pb::Record::default() });
            assert_ne!(bytes.first(), Some(&FIRST));
        }
    }
}
