//! Attributes as Kafka headers: `CloudEvents` in binary mode
//! (its Kafka protocol binding 1.0.2, section 3.2), and Kafka Connect's for dead letters.

use crate::sink::cloud_events::PageTexts;
use bridge_core::ids::Deployment;
use bridge_core::record::batch::{Attributes, Message, Target};
use rdkafka::message::{Header, OwnedHeaders};

/// The header with the name of the deployment that wrote the message, if it has one.
pub(super) const DEPLOYMENT: &str = "ce_deployment";

/// The headers of a message. `output` is the configured output topic, which dead letters name. `schema` is the URI of
/// the value's schema.
pub(super) fn headers(
    message: &Message,
    output: &str,
    deployment: &Deployment,
    schema: Option<&str>,
    texts: &mut PageTexts,
) -> OwnedHeaders {
    let Attributes { id, encoding, kind, stream, resource_type: _, time, trace } = &message.attributes;
    let topic = match &message.target {
        Target::Lane { topic, .. } => topic.as_str(),
        Target::DeadLetter | Target::State { .. } | Target::RefreshLog(_) => output,
    };
    let headers = OwnedHeaders::new_with_capacity(13);
    let headers = with(headers, "ce_specversion", "1.0");
    let headers = with(headers, "ce_id", id);
    let headers = with(headers, "ce_source", texts.source(stream.as_ref(), topic));
    let headers = with(headers, "ce_type", kind);
    let headers = with(headers, "ce_time", &time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true));
    let headers = with(headers, "content-type", encoding.media_type());
    let headers = with(headers, "traceparent", texts.traceparent(*trace));
    let headers = match message.subject() {
        // The extension `partitionkey` contains the key, for consumers that forward the event to another bus.
        Some(subject) => with(with(headers, "ce_subject", subject), "ce_partitionkey", subject),
        None => headers,
    };
    let headers = deployment.name().into_iter().fold(headers, |headers, name| with(headers, DEPLOYMENT, name));
    let headers = schema.into_iter().fold(headers, |headers, schema| with(headers, "ce_dataschema", schema));
    match &message.target {
        Target::Lane { .. } | Target::State { .. } | Target::RefreshLog(_) => headers,
        Target::DeadLetter => {
            let headers = with(headers, "__connect.errors.topic", output);
            with(headers, "__connect.errors.exception.message", "larger than the output topic takes")
        }
    }
}

fn with(headers: OwnedHeaders, key: &str, value: &str) -> OwnedHeaders {
    headers.insert(Header { key, value: Some(value) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bridge_core::ids::{Gid, ShardId, StreamId, Topic};
    use bridge_core::record::encoding::Encoding;
    use bridge_core::record::trace::Trace;
    use rdkafka::message::Headers as _;

    /// The headers that a record of the lane itself doesn't have, and the one with a schema.
    const ABOUT: [&str; 3] = ["ce_subject", "ce_partitionkey", "ce_dataschema"];

    #[test]
    fn headers_follow_the_binding_of_cloudevents() {
        let trace = Trace::new("r1", 1, chrono::DateTime::UNIX_EPOCH);
        let mut message = Message {
            target: Target::Lane { topic: Topic::from("asana"), partition: 1 },
            shard: ShardId(2),
            key: Gid::from("12"),
            value: Vec::new(),
            attributes: Attributes {
                id: "a 50%é".to_owned(),
                encoding: Encoding::Protobuf,
                kind: "asana_event_bridge.v1.Event",
                stream: None,
                resource_type: "task".into(),
                time: chrono::DateTime::UNIX_EPOCH,
                trace,
            },
        };
        let names_and_values = |message: &Message, schema| {
            let headers = headers(message, "asana", &"a_b".into(), schema, &mut PageTexts::default());
            let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.expect("a value").to_vec()).expect("UTF-8");
            headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect::<Vec<_>>()
        };
        let expected = [
            ("ce_specversion", "1.0"),
            ("ce_id", "a 50%é"),
            ("ce_source", "/topics/asana"),
            ("ce_type", "asana_event_bridge.v1.Event"),
            ("ce_time", "1970-01-01T00:00:00.000Z"),
            ("content-type", "application/protobuf"),
            ("traceparent", &trace.to_string()),
            ("ce_subject", "12"),
            ("ce_partitionkey", "12"),
            ("ce_deployment", "a_b"),
            ("ce_dataschema", "http://r/schemas/ids/7"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(names_and_values(&message, Some("http://r/schemas/ids/7")), expected);
        // A record of the lane itself is about nothing.
        message.key = Gid::from("");
        let of_lane: Vec<_> = expected.iter().filter(|(name, _)| !ABOUT.contains(&name.as_str())).cloned().collect();
        assert_eq!(names_and_values(&message, None), of_lane);
    }

    #[test]
    fn a_source_is_a_uri_reference() {
        let stream = StreamId::new("main account", "1200");
        let mut texts = PageTexts::default();
        assert_eq!(texts.source(Some(&stream), "asana.events"), "/asana/main%20account/1200");
        assert_eq!(texts.source(None, "asana.events"), "/topics/asana.events");
        assert_eq!(texts.source(None, "asana.tasks"), "/topics/asana.tasks");
        assert_eq!(texts.source(Some(&StreamId::new("main", "2")), "asana.tasks"), "/asana/main/2");
    }
}
