//! Messages in the form in which they are published, and in which a write-ahead intent stores them.

use super::subject::Subjects;
use crate::sink::cloud_events::PageTexts;
use async_nats::HeaderMap;
use bridge_core::ids::{Deployment, ShardId};
use bridge_core::record::batch::{Attributes, Batch, CheckpointWrite, Message, Target};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use std::collections::BTreeMap;

/// The id by which the server recognizes a message that it has, and drops it.
pub(super) const MESSAGE_ID: &str = "Nats-Msg-Id";
/// The server refuses a message whose JetStream stream isn't the named one.
pub(super) const EXPECTED_STREAM: &str = "Nats-Expected-Stream";
/// The server refuses a message if the last one on its subject has another sequence.
pub(super) const EXPECTED_LAST: &str = "Nats-Expected-Last-Subject-Sequence";
/// `sub`: the message replaces all older ones on its subject.
pub(super) const ROLLUP: &str = "Nats-Rollup";
/// `never`: the JetStream stream's `max_age` doesn't apply to the message.
pub(super) const TTL: &str = "Nats-TTL";
/// Marks an entry whose key was removed.
pub(super) const REMOVED: &str = "Asana-Bridge-Removed";

/// The name of the deployment that wrote the record, if it has one.
pub(super) const DEPLOYMENT: &str = "ce-deployment";

/// The characters that the NATS binding of `CloudEvents` percent-encodes in header values: blanks, quotes, the percent
/// sign, and everything that isn't printable ASCII.
const NOT_IN_HEADER: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');
/// A record or dead letter, ready to be published.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Outgoing {
    #[prost(string, tag = "1")]
    pub(super) subject: String,
    #[prost(message, repeated, tag = "2")]
    pub(super) headers: Vec<Header>,
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) payload: bytes::Bytes,
    /// The lane, in which the order is kept. `None` for a dead letter.
    #[prost(uint32, optional, tag = "4")]
    pub(super) lane: Option<u32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Header {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// An entry of a checkpoint.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Entry {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    /// The value; `None` if the key is removed.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(super) value: Option<bytes::Bytes>,
}

/// What one commit writes for one shard, which is the payload of a write-ahead intent.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Part {
    #[prost(message, repeated, tag = "1")]
    pub(super) messages: Vec<Outgoing>,
    #[prost(message, repeated, tag = "2")]
    pub(super) entries: Vec<Entry>,
}

/// A batch in the form in which it is written.
#[derive(Debug)]
pub(super) struct Writes {
    /// The records in the batch's order, which is that of each lane, across shards: a watermark follows what it names.
    pub(super) records: Vec<(ShardId, Outgoing)>,
    /// The entries of each shard that the batch writes to. Some have none.
    pub(super) entries: BTreeMap<ShardId, Vec<Entry>>,
}

impl Writes {
    pub(super) fn new(subjects: &Subjects, deployment: &Deployment, batch: &Batch) -> Self {
        let mut texts = PageTexts::default();
        let mut outgoing = |message| Outgoing::new(subjects, deployment, message, &mut texts);
        let records: Vec<_> = batch.messages.iter().map(|message| (message.shard, outgoing(message))).collect();
        let mut entries: BTreeMap<_, Vec<_>> = records.iter().map(|(shard, _)| (*shard, Vec::new())).collect();
        // An atomic batch accepts a subject with a rollup only once: the last write of a key counts.
        let mut last: BTreeMap<(ShardId, &str), Option<bytes::Bytes>> = BTreeMap::new();
        for CheckpointWrite { shard, key, value } in &batch.checkpoints {
            last.insert((*shard, key), value.as_ref().map(|value| value.clone().into()));
        }
        for ((shard, key), value) in last {
            entries.entry(shard).or_default().push(Entry { key: key.to_owned(), value });
        }
        Self { records, entries }
    }

    /// The shards that the batch writes to.
    pub(super) fn shards(&self) -> impl Iterator<Item = ShardId> {
        self.entries.keys().copied()
    }

    /// The number of messages, heads included.
    pub(super) fn len(&self) -> usize {
        self.records.len() + self.entries.values().map(|entries| entries.len() + 1).sum::<usize>()
    }

    /// What each shard has to write on its own. Each keeps its order in a lane.
    pub(super) fn by_shard(self) -> BTreeMap<ShardId, Part> {
        let part = |(shard, entries)| (shard, Part { messages: Vec::new(), entries });
        let mut parts: BTreeMap<_, _> = self.entries.into_iter().map(part).collect();
        for (shard, record) in self.records {
            parts.entry(shard).or_default().messages.push(record);
        }
        parts
    }
}

impl Outgoing {
    fn new(subjects: &Subjects, deployment: &Deployment, message: &Message, texts: &mut PageTexts) -> Self {
        let Attributes { id, encoding, kind, stream, resource_type: _, time, trace } = &message.attributes;
        let lane = match &message.target {
            Target::Lane { partition, .. } => Some(*partition),
            Target::DeadLetter | Target::State { .. } | Target::RefreshLog(_) => None,
        };
        let mut headers = vec![
            header("ce-specversion", "1.0"),
            header("ce-id", id),
            header("ce-source", texts.source(stream.as_ref(), subjects.prefix().as_str())),
            header("ce-type", kind),
            header("ce-time", &time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)),
            // The binding has a prefix for all attributes. The other header is for consumers that don't know
            // CloudEvents.
            header("ce-datacontenttype", encoding.media_type()),
            header("content-type", encoding.media_type()),
            header("traceparent", texts.traceparent(*trace)),
            header(MESSAGE_ID, id),
        ];
        if matches!(message.target, Target::State { .. } | Target::RefreshLog(_)) {
            headers.push(header(ROLLUP, "sub"));
        }
        if message.is_removal() {
            // As a key-value bucket marks a key that is gone.
            headers.push(header("KV-Operation", "PURGE"));
        }
        headers.extend(deployment.name().map(|name| header(DEPLOYMENT, name)));
        headers.extend(message.subject().map(|subject| header("ce-subject", subject)));
        Self { subject: subjects.message(message), headers, payload: message.value.clone().into(), lane }
    }

    /// The id by which duplicates are recognized.
    pub(super) fn message_id(&self) -> Option<&str> {
        self.headers.iter().find(|header| header.name == MESSAGE_ID).map(|header| header.value.as_str())
    }

    /// Whether it replaces the message before it on its subject, and stays until it is replaced itself.
    pub(super) fn is_kept(&self) -> bool {
        self.headers.iter().any(|header| header.name == ROLLUP)
    }

    pub(super) fn header_map(&self) -> HeaderMap {
        let mut map = HeaderMap::new();
        for Header { name, value } in &self.headers {
            map.insert(name.as_str(), value.as_str());
        }
        map
    }
}

fn header(name: &str, value: &str) -> Header {
    Header { name: name.to_owned(), value: utf8_percent_encode(value, NOT_IN_HEADER).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bridge_core::ids::{Gid, StreamId, Topic};
    use bridge_core::record::encoding::Encoding;
    use bridge_core::record::trace::Trace;
    use chrono::DateTime;

    #[test]
    fn headers_follow_the_binding_of_cloudevents() {
        let trace = Trace::new("r1", 1, DateTime::UNIX_EPOCH);
        let mut message = Message {
            target: Target::Lane { topic: Topic::from("asana"), partition: 1 },
            shard: ShardId(2),
            key: Gid::from("12"),
            value: b"value".to_vec(),
            attributes: Attributes {
                id: "a \"b\" 50%é\r\n".to_owned(),
                encoding: Encoding::Protobuf,
                kind: "asana_event_bridge.v1.Event",
                stream: Some(StreamId::new("team a", "34")),
                resource_type: "task".into(),
                time: DateTime::from_timestamp(1_700_000_000, 123_000_000).unwrap(),
                trace,
            },
        };
        let out =
            Outgoing::new(&Subjects::new(Topic::from("asana")), &"a_b".into(), &message, &mut PageTexts::default());
        let headers: Vec<_> = out.headers.iter().map(|h| (h.name.as_str(), h.value.as_str())).collect();
        assert_eq!(
            headers,
            [
                ("ce-specversion", "1.0"),
                ("ce-id", "a%20%22b%22%2050%25%C3%A9%0D%0A"),
                ("ce-source", "/asana/team%2520a/34"),
                ("ce-type", "asana_event_bridge.v1.Event"),
                ("ce-time", "2023-11-14T22:13:20.123Z"),
                ("ce-datacontenttype", "application/protobuf"),
                ("content-type", "application/protobuf"),
                ("traceparent", trace.to_string().as_str()),
                ("Nats-Msg-Id", "a%20%22b%22%2050%25%C3%A9%0D%0A"),
                ("ce-deployment", "a_b"),
                ("ce-subject", "12"),
            ]
        );
        // Building the client's map panics on a value that would break the protocol.
        assert_eq!(out.header_map().len(), 11);

        // An attribute has a legal value or isn't there.
        for key in ["", "1\n2", "1\u{85}", "1\u{fdd0}", "1\u{1ffff}"] {
            message.key = Gid::from(key);
            let out =
                Outgoing::new(&Subjects::new(Topic::from("asana")), &"a_b".into(), &message, &mut PageTexts::default());
            assert!(out.headers.iter().all(|header| header.name != "ce-subject"), "{key:?}");
        }
    }

    #[test]
    fn the_last_write_of_a_key_counts() {
        let write = |value: Option<&str>| CheckpointWrite {
            shard: ShardId(1),
            key: "k".to_owned(),
            value: value.map(|value| value.as_bytes().to_vec()),
        };
        let batch = Batch { messages: Vec::new(), checkpoints: vec![write(Some("old")), write(None)] };
        let writes = Writes::new(&Subjects::new(Topic::from("asana")), &Deployment::default(), &batch);
        assert_eq!(writes.entries[&ShardId(1)], [Entry { key: "k".to_owned(), value: None }]);
    }
}
