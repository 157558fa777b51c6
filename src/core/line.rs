//! A record as one line of JSON: what the local sinks write.

use super::ids::{Gid, Topic};
use crate::pb;
use prost::Message as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One line: where the record would be on a bus, and the record in the JSON form of protobuf
/// (`record` by the field names in lower camel case, 64-bit numbers as text).
///
/// ```
/// # use asana_event_bridge::{core::line::Line, pb};
/// let line = Line { topic: "asana.events".into(), lane: 3, key: "1200".into(), record: pb::Record::default() };
/// assert_eq!(serde_json::to_string(&line)?, r#"{"topic":"asana.events","lane":3,"key":"1200","record":{}}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// The output topic.
    #[serde(serialize_with = "text", deserialize_with = "topic")]
    pub topic: Topic,
    /// The lane.
    pub lane: u32,
    /// The message key.
    #[serde(serialize_with = "text", deserialize_with = "gid")]
    pub key: Gid,
    /// The record.
    pub record: pb::Record,
}

impl Line {
    /// Writes the line of an encoded record, with its end.
    ///
    /// # Errors
    /// The value isn't an encoded record.
    pub fn write(to: &mut Vec<u8>, topic: &Topic, lane: u32, key: &Gid, value: &[u8]) -> Result<(), LineError> {
        let record = pb::Record::decode(value)?;
        let before = to.len();
        let line = Self { topic: topic.clone(), lane, key: key.clone(), record };
        if let Err(error) = serde_json::to_writer(&mut *to, &line) {
            to.truncate(before);
            return Err(error.into());
        }
        to.push(b'\n');
        Ok(())
    }
}

/// Why a record has no line.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The value isn't an encoded record.
    #[error("the value is no record: {0}")]
    Decode(#[from] prost::DecodeError),
    /// The record has no JSON form, such as a time that no calendar has.
    #[error("the record has no JSON form: {0}")]
    Json(#[from] serde_json::Error),
}

fn text<S: Serializer>(value: &impl ToString, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&value.to_string())
}

fn topic<'de, D: Deserializer<'de>>(from: D) -> Result<Topic, D::Error> {
    String::deserialize(from).map(Topic::from)
}

fn gid<'de, D: Deserializer<'de>>(from: D) -> Result<Gid, D::Error> {
    String::deserialize(from).map(Gid::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::{Event, to_json};
    use crate::pb::record::Body;

    #[test]
    fn a_record_survives_its_line() {
        let text =
            r#"{"action":"changed","x":[1e400,"\n"],"resource":{"gid":"1"},"change":{"new_value":{"a":[1,null]}}}"#;
        let raw: Box<serde_json::value::RawValue> = serde_json::from_str(text).expect("JSON");
        let position = pb::Position { epoch: u64::MAX, lane_sequence: 7, ..pb::Position::default() };
        let record = pb::Record {
            position: Some(position),
            received_at: Some(pbjson_types::Timestamp { seconds: 1, nanos: 5_000_000 }),
            body: Some(Body::Event(Event::parse(&raw).0)),
        };
        let mut line = Vec::new();
        Line::write(&mut line, &"t".into(), 2, &"1".into(), &record.encode_to_vec()).expect("a line");
        assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1));
        let read: Line = serde_json::from_slice(&line).expect("a line");
        assert_eq!(read.record, record);
        let Some(Body::Event(event)) = read.record.body else { panic!("an event") };
        assert_eq!(to_json(&event), text);
    }

    #[test]
    fn a_value_that_is_no_record_leaves_no_half_line() {
        let mut line = b"before\n".to_vec();
        assert!(Line::write(&mut line, &"t".into(), 2, &"1".into(), b"\xff").is_err());
        assert_eq!(line, b"before\n");
    }
}
