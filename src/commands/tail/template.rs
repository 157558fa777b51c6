//! A template for lines, given by the user.

use super::{body, happened, or_dash, place, resource, time};
use bridge_consumer::Received;
use bridge_consumer::detect::Verdict;
use bridge_contract::pb::record::Body;
use bridge_core::record::event;
use std::str::FromStr;

/// A text with names in braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(Field),
}

macro_rules! fields {
    ($($field:ident $name:literal),* $(,)?) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Field {
            $($field),*
        }

        impl Field {
            /// The names with their braces, for messages.
            const NAMES: &[&str] = &[$(concat!("{", $name, "}")),*];

            fn named(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$field),)*
                    _ => None,
                }
            }
        }
    };
}

fields! {
    Time "time", Received "received", Stream "stream", Place "place", Topic "topic", Lane "lane", Key "key", Body "body",
    Action "action", Resource "resource", Gid "gid", Type "type", Name "name", Parent "parent", User "user",
    Changed "field", Json "json", Verdict "verdict",
}

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (mut parts, mut plain) = (Vec::new(), String::new());
        let mut rest = text.chars().peekable();
        while let Some(letter) = rest.next() {
            if matches!(letter, '{' | '}') && rest.next_if_eq(&letter).is_some() {
                plain.push(letter);
            } else if letter == '{' {
                let name: String = std::iter::from_fn(|| rest.next_if(|letter| *letter != '}')).collect();
                let field = Field::named(&name).filter(|_| rest.next().is_some());
                let field = field.ok_or_else(|| format!("{{{name}}} is none of {}", Field::NAMES.join(" ")))?;
                parts.extend([Part::Text(std::mem::take(&mut plain)), Part::Field(field)]);
            } else if letter == '}' {
                return Err("a } without its {: two of them stand for one".to_owned());
            } else {
                plain.push(letter);
            }
        }
        parts.push(Part::Text(plain));
        Ok(Self(parts))
    }
}

impl Template {
    /// The line of a record, with `-` for values that it doesn't have.
    #[must_use]
    pub fn fill(&self, received: &Received, verdict: &Verdict) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Field(field) => field.of(received, verdict),
        };
        self.0.iter().map(part).collect()
    }
}

impl Field {
    fn of(self, received: &Received, verdict: &Verdict) -> String {
        let record = &received.record;
        let event = match &record.body {
            Some(Body::Event(event)) => Some(event),
            _ => None,
        };
        let changed = match &record.body {
            Some(Body::Event(event)) => event.resource.as_ref(),
            Some(Body::Snapshot(snapshot)) => snapshot.resource.as_ref(),
            _ => None,
        };
        let position = record.position.clone().unwrap_or_default();
        let other = |other: Option<&bridge_contract::pb::Resource>| {
            other.map_or_else(|| "-".to_owned(), |other| resource(Some(other)))
        };
        match self {
            Self::Time => time(happened(received).as_ref()),
            Self::Received => time(record.received_at.as_ref()),
            Self::Stream => or_dash(&position.stream),
            Self::Place => place(&received.topic, received.lane, &position),
            Self::Topic => or_dash(received.topic.as_str()),
            Self::Lane => received.lane.to_string(),
            Self::Key => or_dash(&received.key),
            Self::Body => body(received),
            Self::Action => or_dash(event.map_or("", |event| event.action.as_str())),
            Self::Resource => resource(changed),
            Self::Gid => or_dash(changed.map_or("", |it| it.gid.as_str())),
            Self::Type => or_dash(changed.map_or("", |it| it.resource_type.as_str())),
            Self::Name => or_dash(changed.and_then(|it| it.name.as_deref()).unwrap_or_default()),
            Self::Parent => other(event.and_then(|event| event.parent.as_ref())),
            Self::User => other(event.and_then(|event| event.user.as_ref())),
            Self::Changed => {
                or_dash(event.and_then(|event| event.change.as_ref()).map_or("", |change| change.field.as_str()))
            }
            Self::Json => event.map_or_else(|| "-".to_owned(), event::to_json),
            Self::Verdict => verdict.continuity.label().to_owned(),
        }
    }
}
