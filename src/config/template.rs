//! Names that depend on the record: `asana.{resource_type}`.

use crate::core::ids::{Gid, StreamId, Topic};

/// A Kafka topic name has at most this many bytes (`Topic.MAX_NAME_LENGTH` of Kafka).
pub(super) const LONGEST_TOPIC: usize = 249;
/// What is kept of a resource type. Asana's longest today has 22 letters, and the set is open.
const LONGEST_RESOURCE_TYPE: usize = 64;
/// What is kept free for a workspace's gid; Asana's have 16 digits today.
const LONGEST_GID: usize = 32;

/// The name of an output topic, with variables. Whatever it renders is a legal name of a Kafka topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicTemplate(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    ResourceType,
    Workspace,
    Stream,
}

impl TopicTemplate {
    /// Reads a template. `longest_stream` is the length of the longest stream's text.
    pub(super) fn parse(template: &str, longest_stream: usize) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, behind) = after.split_once('}').ok_or("has a `{` without its `}`")?;
            parts.push(Part::Text(before.to_owned()));
            parts.push(match name {
                "resource_type" => Part::ResourceType,
                "workspace" => Part::Workspace,
                "stream" => Part::Stream,
                _ => {
                    return Err("knows no other variable than `{resource_type}`, `{workspace}` and `{stream}`".into());
                }
            });
            rest = behind;
        }
        parts.push(Part::Text(rest.to_owned()));
        parts.retain(|part| *part != Part::Text(String::new()));

        let mut longest = 0;
        for part in &parts {
            longest += match part {
                Part::Text(text) => {
                    legal(text)?;
                    text.len()
                }
                Part::ResourceType => LONGEST_RESOURCE_TYPE,
                Part::Workspace => LONGEST_GID,
                Part::Stream => longest_stream,
            };
        }
        match (longest, template) {
            (0, _) => Err("is empty".to_owned()),
            (_, "." | "..") => Err("can't be the name of a topic".to_owned()),
            (too_long, _) if too_long > LONGEST_TOPIC => Err(format!(
                "may become {too_long} bytes long, and the name of a Kafka topic has {LONGEST_TOPIC} at most"
            )),
            _ => Ok(Self(parts)),
        }
    }

    /// Whether the name depends on the stream's workspace.
    pub(super) fn uses_workspace(&self) -> bool {
        self.0.contains(&Part::Workspace)
    }

    /// The topic of a record. `workspace` is the stream's own gid where it is a workspace
    /// stream, which is the only kind that a template with `{workspace}` is accepted for.
    /// `{stream}` becomes `account.gid`.
    #[must_use]
    pub fn render(&self, resource_type: &str, workspace: &Gid, stream: &StreamId) -> Topic {
        let mut name = String::new();
        let mut push = |text: &str, longest: usize| {
            name.extend(text.chars().take(longest).map(|letter| if is_legal(letter) { letter } else { '_' }));
        };
        for part in &self.0 {
            match part {
                Part::Text(text) => push(text, LONGEST_TOPIC),
                Part::ResourceType => push(resource_type, LONGEST_RESOURCE_TYPE),
                Part::Workspace => push(workspace.as_str(), LONGEST_GID),
                Part::Stream => push(&format!("{}.{}", stream.account, stream.resource), LONGEST_TOPIC),
            }
        }
        // A resource type that is missing, or "..", alone makes no legal name.
        if matches!(name.as_str(), "" | "." | "..") { Topic::from("unknown") } else { Topic::from(name) }
    }
}

fn is_legal(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-')
}

/// Whether `text` may stand in the name of a Kafka topic.
pub(super) fn legal(text: &str) -> Result<(), String> {
    if text.chars().all(is_legal) {
        return Ok(());
    }
    Err("may only have the letters a-z, A-Z, 0-9, `.`, `_` and `-`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(template: &str, resource_type: &str) -> String {
        let stream = StreamId::new("main", "1200");
        let template = TopicTemplate::parse(template, 9).expect("legal");
        template.render(resource_type, &stream.resource, &stream).as_str().to_owned()
    }

    #[test]
    fn every_variable_is_filled_in() {
        assert_eq!(render("asana.{resource_type}.{workspace}-{stream}", "task"), "asana.task.1200-main.1200");
        assert_eq!(render("{stream}", "task"), "main.1200");
    }

    #[test]
    fn whatever_asana_says_the_name_is_legal() {
        assert_eq!(render("a.{resource_type}", "späte/Änderung"), "a.sp_te__nderung");
        assert_eq!(render("{resource_type}", ".."), "unknown");
        assert_eq!(render("{resource_type}", ""), "unknown");
        assert!(render("{resource_type}", &"x".repeat(1000)).len() <= LONGEST_TOPIC);
    }

    #[test]
    fn what_may_become_illegal_is_refused() {
        for template in ["", ".", "..", "a b", "{type}", "a{", "{resource_type", &"x".repeat(250)] {
            assert!(TopicTemplate::parse(template, 9).is_err(), "{template:?}");
        }
        assert!(TopicTemplate::parse(&format!("{}{{resource_type}}", "x".repeat(186)), 9).is_err());
        assert!(TopicTemplate::parse(&format!("{}{{resource_type}}", "x".repeat(185)), 9).is_ok());
    }
}
