//! Which output topic an event goes to.

use super::ids::{StreamId, Topic};

/// A topic name with places to fill: `{resource_type}`, `{workspace}`, `{stream}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicTemplate {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    ResourceType,
    /// The gid of the watched resource, whether it is a workspace or not.
    Stream,
}

/// The template has a place that no topic can fill.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{{{0}}} is none of {{resource_type}}, {{workspace}}, {{stream}}")]
pub struct UnknownPlace(pub String);

/// What stands for resource types that make no legal part of a topic name.
const OTHER: &str = "other";

impl TopicTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// [`UnknownPlace`] for any other `{…}`.
    pub fn parse(text: &str) -> Result<Self, UnknownPlace> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let (place, after) = after.split_once('}').ok_or_else(|| UnknownPlace(after.to_owned()))?;
            parts.push(match place {
                "resource_type" => Part::ResourceType,
                // Configuration allows it for workspace streams alone, whose resource the workspace is.
                "workspace" | "stream" => Part::Stream,
                other => return Err(UnknownPlace(other.to_owned())),
            });
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// The topic for events on resources of a type, seen by a stream.
    #[must_use]
    pub fn topic(&self, stream: &StreamId, resource_type: &str) -> Topic {
        let place = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::ResourceType => topic_part(resource_type).to_owned(),
            Part::Stream => stream.resource.as_str().to_owned(),
        };
        self.parts.iter().map(place).collect::<String>().into()
    }

    /// Whether [`topic`](Self::topic) can give this topic for the stream, with some type of resource.
    #[must_use]
    pub fn may_give(&self, stream: &StreamId, topic: &Topic) -> bool {
        fn matches(parts: &[Part], stream: &StreamId, text: &str) -> bool {
            let Some((first, others)) = parts.split_first() else { return text.is_empty() };
            let literal = |literal: &str| text.strip_prefix(literal).is_some_and(|rest| matches(others, stream, rest));
            match first {
                Part::Text(part) => literal(part),
                Part::Stream => literal(stream.resource.as_str()),
                Part::ResourceType => (1..=text.len()).any(|end| {
                    text.split_at_checked(end)
                        .is_some_and(|(part, rest)| topic_part(part) == part && matches(others, stream, rest))
                }),
            }
        }
        matches(&self.parts, stream, topic.as_str())
    }
}

/// The set of resource types is Asana's, and open; the set of topic names is not to grow with nonsense.
fn topic_part(resource_type: &str) -> &str {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if !resource_type.is_empty() && resource_type.len() <= 64 && resource_type.bytes().all(legal) {
        resource_type
    } else {
        OTHER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_and_recognised() {
        let stream = StreamId::new("main", "12");
        let template = TopicTemplate::parse("asana.{stream}.{resource_type}").expect("a template");
        let topic = template.topic(&stream, "task");
        assert_eq!(topic.as_str(), "asana.12.task");
        assert_eq!(template.topic(&stream, "No Type").as_str(), "asana.12.other");
        assert!(template.may_give(&stream, &topic));
        assert!(!template.may_give(&StreamId::new("main", "1"), &topic));
        assert!(!template.may_give(&stream, &"asana.12.".into()));
        assert_eq!(TopicTemplate::parse("a{b}"), Err(UnknownPlace("b".into())));
        assert_eq!(TopicTemplate::parse("a{b"), Err(UnknownPlace("b".into())));
    }
}
