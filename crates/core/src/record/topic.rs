//! The output topic of an event.

use crate::ids::{StreamId, Topic};

/// A topic name with variables: `{resource_type}`, `{workspace}`, `{stream}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicTemplate {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Topic),
    ResourceType,
    /// The gid of the workspace. The configuration allows it only for workspace streams.
    Workspace,
    /// The gid of the watched resource.
    Stream,
}

/// Why a text isn't a topic name, or a template of one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// A variable with an unknown name.
    #[error("knows no other variable than `{{resource_type}}`, `{{workspace}}` and `{{stream}}`")]
    UnknownVariable,
    /// A `{` without its `}`.
    #[error("has a `{{` without its `}}`")]
    Unclosed,
    /// A character that isn't allowed in topic names.
    #[error("may only have the letters a-z, A-Z, 0-9, `.`, `_` and `-`")]
    IllegalLetter,
    /// The name is empty.
    #[error("is empty")]
    Empty,
    /// One of the two names that Kafka reserves: `.` and `..`.
    #[error("can't be the name of a topic")]
    Reserved,
    /// The name is, or may become, longer than Kafka allows. The number is its length in bytes.
    #[error("may become {0} bytes long, and the name of a Kafka topic has {LONGEST_TOPIC} at most")]
    TooLong(usize),
}

/// The maximum length of a Kafka topic name, in bytes (`Topic.MAX_NAME_LENGTH` of Kafka).
const LONGEST_TOPIC: usize = 249;
/// The maximum length of a resource type, in bytes. Asana's longest one today has 22 letters, and the set is open.
const LONGEST_RESOURCE_TYPE: usize = 64;

/// Replaces resource types that aren't allowed in a topic name.
const OTHER: &str = "other";

/// Checks the name of a topic.
///
/// # Errors
/// [`TopicError`], as a part of a sentence that begins with the key.
pub fn check_name(name: &str) -> Result<(), TopicError> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    match name {
        "" => Err(TopicError::Empty),
        "." | ".." => Err(TopicError::Reserved),
        _ if !name.bytes().all(legal) => Err(TopicError::IllegalLetter),
        _ if name.len() > LONGEST_TOPIC => Err(TopicError::TooLong(name.len())),
        _ => Ok(()),
    }
}

impl TopicTemplate {
    /// Reads a template whose topics are legal for streams with a gid of up to `longest_gid` bytes.
    ///
    /// # Errors
    /// [`TopicError`], as a part of a sentence that begins with the key.
    pub fn parse(text: &str, longest_gid: usize) -> Result<Self, TopicError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (variable, after) = after.split_once('}').ok_or(TopicError::Unclosed)?;
            parts.push(Part::Text(before.into()));
            parts.push(match variable {
                "resource_type" => Part::ResourceType,
                "workspace" => Part::Workspace,
                "stream" => Part::Stream,
                _ => return Err(TopicError::UnknownVariable),
            });
            rest = after;
        }
        parts.push(Part::Text(rest.into()));
        parts.retain(|part| *part != Part::Text("".into()));
        let longest = |part: &Part| match part {
            Part::Text(text) => text.to_string(),
            Part::ResourceType => "x".repeat(LONGEST_RESOURCE_TYPE),
            Part::Workspace | Part::Stream => "x".repeat(longest_gid),
        };
        check_name(&parts.iter().map(longest).collect::<String>())?;
        Ok(Self { parts })
    }

    /// A template with the same topic for everything.
    #[must_use]
    pub fn fixed(topic: &str) -> Self {
        Self { parts: vec![Part::Text(topic.into())] }
    }

    /// The topic, if it is the same for everything.
    #[must_use]
    pub fn only_topic(&self) -> Option<&Topic> {
        match self.parts.as_slice() {
            [Part::Text(topic)] => Some(topic),
            _ => None,
        }
    }

    /// Whether the topic depends on the workspace, which is known only for workspace streams.
    #[must_use]
    pub fn uses_workspace(&self) -> bool {
        self.parts.contains(&Part::Workspace)
    }

    /// The topic for events on resources of a type, in a stream.
    #[must_use]
    pub fn topic(&self, stream: &StreamId, resource_type: &str) -> Topic {
        if let Some(topic) = self.only_topic() {
            return topic.clone();
        }
        let place = |part: &Part| match part {
            Part::Text(text) => text.to_string(),
            Part::ResourceType => topic_part(resource_type).to_owned(),
            Part::Workspace | Part::Stream => stream.resource.as_str().to_owned(),
        };
        self.parts.iter().map(place).collect::<String>().into()
    }

    /// Whether [`topic`](Self::topic) can return this topic for the stream, with some type of resource.
    #[must_use]
    pub fn may_give(&self, stream: &StreamId, topic: &Topic) -> bool {
        fn matches(parts: &[Part], stream: &StreamId, text: &str) -> bool {
            let Some((first, others)) = parts.split_first() else { return text.is_empty() };
            let literal = |literal: &str| text.strip_prefix(literal).is_some_and(|rest| matches(others, stream, rest));
            match first {
                Part::Text(part) => literal(part.as_str()),
                Part::Workspace | Part::Stream => literal(stream.resource.as_str()),
                Part::ResourceType => (1..=text.len()).any(|end| {
                    text.split_at_checked(end)
                        .is_some_and(|(part, rest)| topic_part(part) == part && matches(others, stream, rest))
                }),
            }
        }
        matches(&self.parts, stream, topic.as_str())
    }

    /// Whether [`topic`](Self::topic) can return this topic for one of the streams. With `others`, there may be more
    /// streams: then any digits in the topic's name may be the gid of one.
    #[must_use]
    pub fn may_give_any(&self, streams: &[StreamId], others: bool, topic: &Topic) -> bool {
        if let Some(only) = self.only_topic() {
            return only == topic;
        }
        let gids = topic.as_str().split(|letter: char| !letter.is_ascii_digit()).filter(|_| others);
        let mut ids = gids.map(|gid| StreamId::new("", gid)).chain(streams.iter().cloned());
        ids.any(|stream| self.may_give(&stream, topic))
    }
}

/// The part of a topic name for a resource type. Asana's set of types is open, and strange types must not create new
/// topics.
fn topic_part(resource_type: &str) -> &str {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if !resource_type.is_empty() && resource_type.len() <= LONGEST_RESOURCE_TYPE && resource_type.bytes().all(legal) {
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
        let template = TopicTemplate::parse("asana.{stream}.{resource_type}", 16).expect("a template");
        let topic = template.topic(&stream, "task");
        assert_eq!(topic.as_str(), "asana.12.task");
        assert_eq!(template.topic(&stream, "No Type").as_str(), "asana.12.other");
        assert!(template.may_give(&stream, &topic));
        assert!(!template.may_give(&StreamId::new("main", "1"), &topic));
        assert!(!template.may_give(&stream, &"asana.12.".into()));
    }

    #[test]
    fn what_may_become_illegal_is_refused() {
        let long = "x".repeat(250);
        for (text, error) in [
            ("", TopicError::Empty),
            ("..", TopicError::Reserved),
            ("a b", TopicError::IllegalLetter),
            ("a{b}", TopicError::UnknownVariable),
            ("a{stream", TopicError::Unclosed),
            (long.as_str(), TopicError::TooLong(250)),
        ] {
            assert_eq!(TopicTemplate::parse(text, 16), Err(error), "{text:?}");
        }
        let longest = format!("{}{{resource_type}}", "x".repeat(185));
        assert!(TopicTemplate::parse(&longest, 16).is_ok());
        assert_eq!(TopicTemplate::parse(&format!("x{longest}"), 16), Err(TopicError::TooLong(250)));
    }
}
