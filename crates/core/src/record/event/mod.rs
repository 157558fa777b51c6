//! Asana's event as data. What the types don't contain is kept as text.
//!
//! An event is read strictly first: every key is known, every value has the documented type. Then its JSON can be
//! created again from the typed fields ([`to_json`]), and only these are published. A changed value that is more than a
//! reference has its own text among them. Any other event keeps its text in `raw_json`, byte for byte, and the typed
//! fields contain as much of it as possible.

mod json;
mod read;

use crate::record::fingerprint;
use bridge_contract::time::date_time;
use bridge_contract::{Action, pb};
use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

pub use json::to_json;

/// One event of a page, in its wire form.
#[derive(Clone, Debug, PartialEq)]
pub struct Event(pub pb::Event);

impl Event {
    /// Reads an event. Never fails: a text that isn't an event is kept as raw text.
    #[must_use]
    pub fn parse(raw: &RawValue) -> Self {
        let text = raw.get();
        let (mut event, created_at) = read::ordinary(text).unwrap_or_else(|| {
            let (event, created_at) = read::loose(text);
            (pb::Event { raw_json: text.to_owned(), ..event }, created_at)
        });
        event.fingerprint = fingerprint::of(&event, &created_at, text).to_vec();
        Self(event)
    }

    /// What happened to the resource.
    #[must_use]
    pub fn action(&self) -> Action {
        self.0.action.as_str().into()
    }

    /// When it happened, by Asana's clock, if the event has a time.
    #[must_use]
    pub fn created_at(&self) -> Option<DateTime<Utc>> {
        self.0.created_at.as_ref().and_then(date_time)
    }

    /// The gid of the resource that changed, if the event has one.
    #[must_use]
    pub fn gid(&self) -> Option<&str> {
        self.0.resource.as_ref().map(|resource| resource.gid.as_str()).filter(|gid| !gid.is_empty())
    }

    /// The type of the resource that changed, if the event has one.
    #[must_use]
    pub fn resource_type(&self) -> Option<&str> {
        self.0.resource.as_ref().map(|it| it.resource_type.as_str()).filter(|it| !it.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn parse(text: &str) -> pb::Event {
        let raw: Box<RawValue> = serde_json::from_str(text).expect("JSON");
        Event::parse(&raw).0
    }

    fn ordinary() -> Value {
        json!({
            "action": "changed",
            "resource": {"gid": "1", "resource_type": "task", "name": "Ta\"sk", "resource_subtype": "default_task"},
            "parent": null,
            "change": {"field": "assignee", "action": "changed", "new_value": {"gid": "2", "resource_type": "user"}},
            "created_at": "2012-02-22T02:06:58.147Z",
            "type": "task",
            "user": {"gid": "3", "resource_type": "user", "name": "Greg"},
        })
    }

    #[test]
    fn an_ordinary_event_needs_no_raw_text() {
        let event = parse(&ordinary().to_string());
        assert_eq!(event.raw_json, "");
        assert_eq!(serde_json::from_str::<Value>(&to_json(&event)).expect("JSON"), ordinary());
    }

    #[test]
    fn an_event_of_another_form_keeps_its_text_and_what_can_be_read() {
        for (path, value) in [
            ("/strange", json!(1)),
            ("/created_at", json!("2012-02-22T02:06:58Z")),
            ("/created_at", json!("yesterday")),
            ("/parent", json!(["1", "task"])),
            ("/change", json!(null)),
            ("/change/strange", json!(3.5)),
            ("/created_at", json!("2016-12-31T23:59:60.000Z")),
            ("/created_at", json!("0000-01-01T00:00:00.000Z")),
            ("/type", json!(null)),
            ("/resource/name", json!(null)),
        ] {
            let mut event = ordinary();
            let (parent, key) = path.rsplit_once('/').expect("a path");
            event.pointer_mut(parent).expect("an object")[key] = value;
            let text = event.to_string();
            let parsed = parse(&text);
            assert_eq!(to_json(&parsed), text, "{path}");
            assert_eq!(parsed.raw_json, text, "{path}");
            assert_eq!(parsed.resource.expect("a resource").gid, "1", "{path}");
        }
    }

    #[test]
    fn a_value_that_is_more_than_a_reference_has_its_own_text() {
        let field = r#"{"gid":"9","resource_type":"custom_field","name":"Cost","number_value":0.10000000000000000555}"#;
        for (value, resource) in
            [(field, Some("9")), ("3.5", None), ("null", None), (r#"[{"gid":"1"}]"#, None), (r#"{"gid":5}"#, Some("5"))]
        {
            let text = ordinary().to_string().replace(r#"{"gid":"2","resource_type":"user"}"#, value);
            let event = parse(&text);
            assert_eq!(event.raw_json, "", "{text}");
            assert!(to_json(&event).contains(&format!(r#""new_value":{value}"#)), "{}", to_json(&event));
            let value_of = event.change.and_then(|change| change.new_value).expect("a value");
            assert_eq!(
                (value_of.json.as_str(), value_of.resource.as_ref().map(|it| it.gid.as_str())),
                (value, resource)
            );
        }
        let deep = format!("{}{}", "[".repeat(300), "]".repeat(300));
        for value in [deep.as_str(), "1e400", r#""\ud800""#] {
            let text = ordinary().to_string().replace(r#"{"gid":"2","resource_type":"user"}"#, value);
            assert_eq!(parse(&text).raw_json, text, "what many a parser refuses");
        }
    }

    #[test]
    fn depth_and_doubled_keys_hide_nothing() {
        let deep = format!(r#"{{"x":{}{},"resource":{{"gid":17}}}}"#, "[".repeat(2000), "]".repeat(2000));
        assert_eq!(parse(&deep).resource.expect("a resource").gid, "17");
        assert_eq!(to_json(&parse(&deep)), deep);
        let doubled = r#"{"action":"added","action":"removed"}"#;
        assert_eq!(to_json(&parse(doubled)), doubled);
        assert_eq!(to_json(&parse(r#""\ud800""#)), r#""\ud800""#);
    }

    #[test]
    fn a_value_of_any_depth_can_be_decoded_again() {
        use prost::Message as _;
        for depth in 1..200 {
            let value = format!("{}1{}", r#"[{"a":"#.repeat(depth), "}]".repeat(depth));
            let text = format!(r#"{{"change":{{"new_value":{value}}}}}"#);
            let decoded = pb::Event::decode(parse(&text).encode_to_vec().as_slice()).expect("decodes");
            assert_eq!(to_json(&decoded), text);
        }
    }

    #[test]
    fn display_names_do_not_change_the_fingerprint_and_ids_do() {
        let mut renamed = ordinary();
        renamed["resource"]["name"] = json!("Renamed since");
        let mut other = ordinary();
        other["resource"]["gid"] = json!("9");
        let fingerprint = |event: &Value| parse(&event.to_string()).fingerprint;
        assert_eq!(fingerprint(&ordinary()), fingerprint(&renamed));
        assert_ne!(fingerprint(&ordinary()), fingerprint(&other));
    }

    /// The keys of a value, on all levels.
    fn keys(value: &Value) -> Vec<String> {
        let members = value.as_object().into_iter().flatten();
        members.flat_map(|(key, member)| [vec![key.clone()], keys(member)].concat()).collect()
    }

    /// Any JSON, with the keys of an event more often than others.
    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
            "[0-9]{1,16}".prop_map(Value::from),
            Just(json!("2012-02-22T02:06:58.147Z")),
        ];
        let key = prop_oneof![proptest::sample::select(keys(&ordinary())), ".*".prop_map(String::from),];
        leaf.prop_recursive(4, 48, 8, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::btree_map(key.clone(), inner, 0..8)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_json_of_any_event_can_be_got_back(value in any_json()) {
            use prost::Message as _;
            // As it is read: the last digit of a number may be read as another one.
            let text = value.to_string();
            let read = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
            let decoded = pb::Event::decode(parse(&text).encode_to_vec().as_slice()).expect("decodes");
            prop_assert_eq!(read(&to_json(&decoded)), read(&text));
        }
    }
}
