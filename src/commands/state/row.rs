//! One state, and how complete the state topic is, for people and for scripts.

use crate::escape::printable;
use crate::record_text::{or_dash, time};
use bridge_consumer::state_table::Completeness;
use bridge_contract::pb;
use bridge_contract::time::date_time;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::fmt;

/// The state of a resource. As text, one line.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row<'a> {
    gid: &'a str,
    #[serde(rename = "type")]
    resource_type: &'a str,
    name: Option<&'a str>,
    followed: bool,
    streams: &'a [String],
    read_after: Option<DateTime<Utc>>,
    modified_at: Option<DateTime<Utc>>,
    /// Asana's object, byte for byte. `None` if it was larger than the bus takes.
    object: Option<&'a RawValue>,
}

impl<'a> Row<'a> {
    pub(super) fn of(gid: &'a str, state: &'a pb::State) -> Self {
        let resource = state.resource.as_ref();
        Self {
            gid,
            resource_type: resource.map_or("", |resource| resource.resource_type.as_str()),
            name: resource.and_then(|resource| resource.name.as_deref()),
            followed: state.followed,
            streams: &state.streams,
            read_after: state.read_after.as_ref().and_then(date_time),
            modified_at: state.modified_at.as_ref().and_then(date_time),
            object: serde_json::from_str(&state.state_json).ok(),
        }
    }

    /// The text with all that is known.
    pub(super) fn whole(&self) -> String {
        let when = |at: Option<DateTime<Utc>>| time(at.and_then(bridge_contract::time::timestamp).as_ref());
        let shown = if self.followed { self.streams.join(", ") } else { NOT_FOLLOWED.to_owned() };
        let object = self.object.and_then(|object| serde_json::from_str::<Value>(object.get()).ok());
        let object = object.map_or_else(|| "its state is larger than the bus takes".to_owned(), |it| format!("{it:#}"));
        let text = format!(
            "{self}\nread after   {}\nmodified at  {}\nshown by     {shown}\n{object}\n",
            when(self.read_after),
            when(self.modified_at),
        );
        text.lines().map(|line| printable(line) + "\n").collect()
    }
}

/// Of a resource that no stream shows.
const NOT_FOLLOWED: &str = "no stream: it may have changed since, or be gone";

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { gid, resource_type, name, followed, .. } = self;
        write!(f, "{:<10} {gid:<18}", or_dash(resource_type))?;
        if let Some(name) = name {
            write!(f, " {name:?}")?;
        }
        if *followed { Ok(()) } else { f.write_str(" (not followed)") }
    }
}

/// How complete the topic is, as a sentence.
pub(super) struct Told(pub(super) Completeness);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (up_to, exceptions) = match self.0 {
            Completeness::Unknown => return f.write_str("the topic doesn't say yet how complete it is"),
            Completeness::Loading { streams } => return write!(f, "not complete: {streams} streams are still crawled"),
            Completeness::Complete { up_to, open_source_gaps, suspended, left_out } => (
                up_to,
                [
                    (u64::from(open_source_gaps), "source gaps are open"),
                    (u64::from(suspended), "streams are suspended"),
                    (left_out, "lists or objects couldn't be read"),
                ],
            ),
        };
        match up_to {
            Some(up_to) => write!(f, "complete up to {}", up_to.to_rfc3339_opts(SecondsFormat::Secs, true))?,
            None => f.write_str("complete up to a time that isn't known yet")?,
        }
        for (count, what) in exceptions.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, ", but {count} {what}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> pb::State {
        let resource_type = "task".to_owned();
        let resource =
            pb::Resource { name: Some("Buy \u{1b}[31mmilk".to_owned()), resource_type, ..pb::Resource::default() };
        pb::State {
            resource: Some(resource),
            state_json: r#"{"gid":"12","due_on":"2026-12-24"}"#.to_owned(),
            streams: vec!["main/1".to_owned(), "main/2".to_owned()],
            followed: true,
            ..pb::State::default()
        }
    }

    #[test]
    fn a_state_is_a_line_or_a_page() {
        let state = state();
        let row = Row::of("12", &state);
        assert_eq!(row.to_string(), r#"task       12                 "Buy \u{1b}[31mmilk""#);
        let whole = row.whole();
        assert!(whole.contains("shown by     main/1, main/2\n{\n  \"due_on\": \"2026-12-24\","), "{whole}");
        let left = pb::State { followed: false, streams: Vec::new(), ..state.clone() };
        assert!(Row::of("12", &left).to_string().ends_with(" (not followed)"));
        let large = pb::State { state_json: String::new(), ..state.clone() };
        assert!(Row::of("12", &large).whole().ends_with("larger than the bus takes\n"));
    }

    #[test]
    fn a_script_gets_asanas_object_as_it_is() {
        let state = state();
        let json = serde_json::to_string(&Row::of("12", &state)).unwrap();
        assert!(json.ends_with(r#""object":{"gid":"12","due_on":"2026-12-24"}}"#), "{json}");
    }

    #[test]
    fn how_complete_the_topic_is_is_a_sentence() {
        let complete = |up_to, open_source_gaps, suspended, left_out| {
            Told(Completeness::Complete { up_to, open_source_gaps, suspended, left_out }).to_string()
        };
        let time = DateTime::from_timestamp(1_000_000_000, 0);
        assert_eq!(complete(time, 0, 0, 0), "complete up to 2001-09-09T01:46:40Z");
        let but =
            "complete up to 2001-09-09T01:46:40Z, but 2 source gaps are open, but 1 lists or objects couldn't be read";
        assert_eq!(complete(time, 2, 0, 1), but);
    }
}
