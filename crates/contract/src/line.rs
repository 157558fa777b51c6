//! A record as one line of JSON, as the local sinks write it.

use crate::{Topic, pb};
use prost::Message as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One line: the place that the record would have on a bus, and the record in the JSON form of protobuf
/// (`record` by the field names in lower camel case, 64-bit numbers as text).
///
/// ```
/// # use asana_event_bridge_contract::{line::Line, pb};
/// let line = Line { topic: "asana.events".into(), lane: 3, key: "1200".into(), record: pb::Record::default() };
/// assert_eq!(serde_json::to_string(&line)?, r#"{"topic":"asana.events","lane":3,"key":"1200","record":{}}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// The output topic that the record would be in.
    #[serde(serialize_with = "text", deserialize_with = "topic")]
    pub topic: Topic,
    /// The lane that the record would be in, from 0.
    pub lane: u32,
    /// The message key: the gid of the resource that changed. Empty in a record of the lane itself.
    pub key: String,
    /// The record, in the types of the contract.
    pub record: pb::Record,
}

impl Line {
    /// Writes the line of an encoded record, with its end.
    ///
    /// # Errors
    /// The value isn't an encoded record.
    pub fn write(to: &mut Vec<u8>, topic: &Topic, lane: u32, key: &str, value: &[u8]) -> Result<(), LineError> {
        let record = pb::Record::decode(value)?;
        let before = to.len();
        let line = Self { topic: topic.clone(), lane, key: key.to_owned(), record };
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
    /// The record has no JSON form, for example because of an invalid time.
    #[error("the record has no JSON form: {0}")]
    Json(#[from] serde_json::Error),
}

fn text<S: Serializer>(topic: &Topic, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(topic.as_str())
}

fn topic<'de, D: Deserializer<'de>>(from: D) -> Result<Topic, D::Error> {
    String::deserialize(from).map(Topic::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::record::Body;

    #[test]
    fn a_record_survives_its_line() {
        let position = pb::Position { epoch: u64::MAX, lane_sequence: 7, ..pb::Position::default() };
        let raw_json = r#"{"x":[1e400,"\n"]}"#.to_owned();
        let record = pb::Record {
            position: Some(position),
            received_at: Some(crate::Timestamp { seconds: 1, nanos: 5_000_000 }),
            body: Some(Body::Event(pb::Event { action: "changed".to_owned(), raw_json, ..pb::Event::default() })),
        };
        let mut line = Vec::new();
        Line::write(&mut line, &"t".into(), 2, "1", &record.encode_to_vec()).expect("a line");
        assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1));
        let read: Line = serde_json::from_slice(&line).expect("a line");
        assert_eq!(read.record, record);
    }

    #[test]
    fn a_value_that_is_no_record_leaves_no_half_line() {
        let mut line = b"before\n".to_vec();
        assert!(Line::write(&mut line, &"t".into(), 2, "1", b"\xff").is_err());
        assert_eq!(line, b"before\n");
    }
}
