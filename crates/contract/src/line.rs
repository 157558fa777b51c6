//! A record as one line of JSON, as the local sinks write it.

use crate::{Topic, json, pb};
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// One line: the place that the record would have on a bus, and the record in its [JSON form](json).
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
    #[serde(serialize_with = "record", deserialize_with = "read")]
    pub record: pb::Record,
}

impl Line {
    /// Writes the line of a record that is encoded as JSON, with its end.
    ///
    /// # Errors
    /// The value isn't JSON. Nothing is written then.
    pub fn write(to: &mut Vec<u8>, topic: &Topic, lane: u32, key: &str, value: &[u8]) -> serde_json::Result<()> {
        /// A [`Line`] whose record is encoded already.
        #[derive(Serialize)]
        struct Encoded<'a> {
            topic: &'a str,
            lane: u32,
            key: &'a str,
            record: &'a RawValue,
        }
        let record = serde_json::from_slice(value)?;
        let line = serde_json::to_string(&Encoded { topic: topic.as_str(), lane, key, record })?;
        to.extend_from_slice(line.as_bytes());
        to.push(b'\n');
        Ok(())
    }
}

fn record<S: Serializer>(record: &pb::Record, to: S) -> Result<S::Ok, S::Error> {
    let value = json::record(record).map_err(S::Error::custom)?;
    serde_json::from_slice::<&RawValue>(&value).map_err(S::Error::custom)?.serialize(to)
}

fn read<'de, D: Deserializer<'de>>(from: D) -> Result<pb::Record, D::Error> {
    json::read(Box::<RawValue>::deserialize(from)?.get().as_bytes()).map_err(D::Error::custom)
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
        let value = json::record(&record).expect("JSON");
        Line::write(&mut line, &"t".into(), 2, "1", &value).expect("a line");
        assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1));
        let read: Line = serde_json::from_slice(&line).expect("a line");
        assert_eq!(read.record, record);
        assert_eq!(serde_json::to_string(&read).expect("JSON"), String::from_utf8(line).expect("UTF-8").trim_end());
    }

    #[test]
    fn a_value_that_is_no_record_leaves_no_half_line() {
        let mut line = b"before\n".to_vec();
        assert!(Line::write(&mut line, &"t".into(), 2, "1", b"\xff").is_err());
        assert_eq!(line, b"before\n");
    }
}
