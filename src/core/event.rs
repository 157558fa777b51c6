//! Asana's event as data. What the types don't know is kept as text.
//!
//! An event is read strictly first: every key known, every value of the
//! documented type. Then its JSON can be made again from the typed fields
//! ([`to_json`]), and they alone go on the wire. Anything else keeps its text in
//! `raw_json`, byte for byte, and the typed fields hold what of it they can.

use super::fingerprint;
use crate::pb::{self, change_value};
use chrono::{DateTime, SecondsFormat, Utc};
use pbjson_types::Timestamp;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// One event of a page, in its wire form.
#[derive(Clone, Debug, PartialEq)]
pub struct Event(pub pb::Event);

impl Event {
    /// Reads an event. Never fails: text that is no event at all is carried raw.
    #[must_use]
    pub fn parse(raw: &RawValue) -> Self {
        let text = raw.get();
        let mut event = match object::<Strict<'_>>(text).and_then(Strict::into_pb) {
            Some(event) => event,
            None => pb::Event { raw_json: text.to_owned(), ..loose(text) },
        };
        event.fingerprint = fingerprint::of(&event).to_vec();
        Self(event)
    }

    /// The gid of the resource that changed, where the event has one.
    #[must_use]
    pub fn gid(&self) -> Option<&str> {
        self.0.resource.as_ref().map(|resource| resource.gid.as_str()).filter(|gid| !gid.is_empty())
    }

    /// The type of the resource that changed, where the event has one.
    #[must_use]
    pub fn resource_type(&self) -> Option<&str> {
        self.0.resource.as_ref().map(|it| it.resource_type.as_str()).filter(|it| !it.is_empty())
    }
}

/// The event's JSON: the text itself where it was kept, else the ordinary form
/// made again from the fields.
///
/// ```
/// use asana_event_bridge::core::event::{to_json, Event};
/// let text = r#"{"action":"added","strange":[1e400]}"#;
/// let raw: Box<serde_json::value::RawValue> = serde_json::from_str(text)?;
/// assert_eq!(to_json(&Event::parse(&raw).0), text);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[must_use]
pub fn to_json(event: &pb::Event) -> String {
    use serde_json::{Map, Value, json};
    fn reference(resource: &pb::Resource) -> Value {
        let mut map = Map::new();
        map.insert("gid".into(), json!(resource.gid));
        map.insert("resource_type".into(), json!(resource.resource_type));
        if let Some(name) = &resource.name {
            map.insert("name".into(), json!(name));
        }
        if let Some(subtype) = &resource.resource_subtype {
            map.insert("resource_subtype".into(), json!(subtype));
        }
        map.into()
    }
    fn nullable(resource: Option<&pb::Resource>) -> Value {
        resource.map_or(Value::Null, reference)
    }

    if !event.raw_json.is_empty() {
        return event.raw_json.clone();
    }
    let mut map = Map::new();
    map.insert("action".into(), json!(event.action));
    map.insert("resource".into(), nullable(event.resource.as_ref()));
    map.insert("parent".into(), nullable(event.parent.as_ref()));
    if let Some(change) = &event.change {
        let mut inner = Map::new();
        inner.insert("field".into(), json!(change.field));
        inner.insert("action".into(), json!(change.action));
        let values = [
            ("added_value", &change.added_value),
            ("new_value", &change.new_value),
            ("removed_value", &change.removed_value),
        ];
        for (key, value) in values {
            if let Some(pb::ChangeValue { value: Some(change_value::Value::Resource(resource)) }) = value {
                inner.insert(key.into(), reference(resource));
            }
        }
        map.insert("change".into(), inner.into());
    }
    let created_at = event.created_at.as_ref().and_then(render_time);
    map.insert("created_at".into(), created_at.map_or(Value::Null, Value::from));
    if let Some(kind) = &event.r#type {
        map.insert("type".into(), json!(kind));
    }
    map.insert("user".into(), nullable(event.user.as_ref()));
    Value::from(map).to_string()
}

/// Asana's form of a time: UTC, milliseconds, `Z`.
fn render_time(time: &Timestamp) -> Option<String> {
    let nanos = u32::try_from(time.nanos).ok()?;
    let time = DateTime::<Utc>::from_timestamp(time.seconds, nanos)?;
    Some(time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

fn parse_time(text: &str) -> Option<Timestamp> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.with_timezone(&Utc).into())
}

/// The ordinary form: all keys known, none twice, all values as documented.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Strict<'a> {
    #[serde(borrow)]
    action: Cow<'a, str>,
    #[serde(borrow)]
    resource: Object<Reference<'a>>,
    #[serde(borrow, deserialize_with = "present")]
    parent: Option<Object<Reference<'a>>>,
    #[serde(borrow, default, deserialize_with = "not_null")]
    change: Option<Object<StrictChange<'a>>>,
    #[serde(borrow)]
    created_at: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "not_null", rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, deserialize_with = "present")]
    user: Option<Object<Reference<'a>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StrictChange<'a> {
    #[serde(borrow)]
    field: Cow<'a, str>,
    #[serde(borrow)]
    action: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "not_null")]
    added_value: Option<Object<Reference<'a>>>,
    #[serde(borrow, default, deserialize_with = "not_null")]
    new_value: Option<Object<Reference<'a>>>,
    #[serde(borrow, default, deserialize_with = "not_null")]
    removed_value: Option<Object<Reference<'a>>>,
}

/// A compact object.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reference<'a> {
    #[serde(borrow)]
    gid: Cow<'a, str>,
    #[serde(borrow)]
    resource_type: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "not_null")]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "not_null")]
    resource_subtype: Option<Cow<'a, str>>,
}

/// A `T` read from a JSON object; derived structs would read from an array too.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct OnlyMap<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for OnlyMap<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        from.deserialize_map(OnlyMap(PhantomData))
    }
}

/// A key that has to be there, and may be null.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(from)
}

/// A key that may be absent, and isn't null: absence and null could not be told apart on the wire.
fn not_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

impl Reference<'_> {
    fn into_pb(self) -> pb::Resource {
        pb::Resource {
            gid: self.gid.into_owned(),
            resource_type: self.resource_type.into_owned(),
            name: self.name.map(Cow::into_owned),
            resource_subtype: self.resource_subtype.map(Cow::into_owned),
        }
    }
}

impl Strict<'_> {
    /// `None` where the time can't be written again as it was.
    fn into_pb(self) -> Option<pb::Event> {
        let resource = |Object(reference): Object<Reference<'_>>| reference.into_pb();
        let value = |reference| pb::ChangeValue { value: Some(change_value::Value::Resource(resource(reference))) };
        let created_at = parse_time(&self.created_at)
            .filter(|time| render_time(time).as_deref() == Some(self.created_at.as_ref()))?;
        Some(pb::Event {
            action: self.action.into_owned(),
            resource: Some(resource(self.resource)),
            parent: self.parent.map(resource),
            change: self.change.map(|Object(change)| pb::Change {
                field: change.field.into_owned(),
                action: change.action.into_owned(),
                added_value: change.added_value.map(value),
                new_value: change.new_value.map(value),
                removed_value: change.removed_value.map(value),
            }),
            created_at: Some(created_at),
            user: self.user.map(resource),
            r#type: self.kind.map(Cow::into_owned),
            fingerprint: Vec::new(),
            raw_json: String::new(),
        })
    }
}

/// An object of which each value is looked at on its own. Skipping a value
/// doesn't recurse, so that no depth of nesting hides the keys beside it.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Loose<'a> {
    #[serde(borrow)]
    action: Option<&'a RawValue>,
    #[serde(borrow)]
    resource: Option<&'a RawValue>,
    #[serde(borrow)]
    parent: Option<&'a RawValue>,
    #[serde(borrow)]
    change: Option<&'a RawValue>,
    #[serde(borrow)]
    created_at: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    user: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct LooseReference<'a> {
    #[serde(borrow)]
    gid: Option<&'a RawValue>,
    #[serde(borrow)]
    resource_type: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    resource_subtype: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct LooseChange<'a> {
    #[serde(borrow)]
    field: Option<&'a RawValue>,
    #[serde(borrow)]
    action: Option<&'a RawValue>,
    #[serde(borrow)]
    added_value: Option<&'a RawValue>,
    #[serde(borrow)]
    new_value: Option<&'a RawValue>,
    #[serde(borrow)]
    removed_value: Option<&'a RawValue>,
}

/// The fields that can be read out of an event of any shape.
fn loose(text: &str) -> pb::Event {
    let event: Loose<'_> = object(text).unwrap_or_default();
    pb::Event {
        action: string(event.action).unwrap_or_default(),
        resource: reference(event.resource),
        parent: reference(event.parent),
        change: event.change.and_then(|raw| object::<LooseChange<'_>>(raw.get())).map(|change| pb::Change {
            field: string(change.field).unwrap_or_default(),
            action: string(change.action).unwrap_or_default(),
            added_value: value(change.added_value),
            new_value: value(change.new_value),
            removed_value: value(change.removed_value),
        }),
        created_at: string(event.created_at).as_deref().and_then(parse_time),
        user: reference(event.user),
        r#type: string(event.kind),
        fingerprint: Vec::new(),
        raw_json: String::new(),
    }
}

fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Option<T> {
    serde_json::from_str::<Object<T>>(text).ok().map(|object| object.0)
}

fn string(raw: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(raw?.get()).ok()
}

/// A gid that came as a number still keys the record by its digits.
fn gid(raw: Option<&RawValue>) -> Option<String> {
    let digits = |raw: &RawValue| raw.get().bytes().all(|byte| byte.is_ascii_digit()).then(|| raw.get().to_owned());
    string(raw).or_else(|| raw.and_then(digits))
}

fn reference(raw: Option<&RawValue>) -> Option<pb::Resource> {
    let reference: LooseReference<'_> = object(raw?.get())?;
    Some(pb::Resource {
        gid: gid(reference.gid).unwrap_or_default(),
        resource_type: string(reference.resource_type).unwrap_or_default(),
        name: string(reference.name),
        resource_subtype: string(reference.resource_subtype),
    })
}

/// What nests deeper isn't put into `json`, and is in `raw_json` alone: most protobuf libraries refuse more
/// than 100 nested messages, and each level of JSON takes up to three.
const MAX_DEPTH: usize = 24;

fn depth(value: &pbjson_types::Value) -> usize {
    use pbjson_types::value::Kind;
    let below = match &value.kind {
        Some(Kind::ListValue(list)) => list.values.iter().map(depth).max(),
        Some(Kind::StructValue(map)) => map.fields.values().map(depth).max(),
        Some(Kind::NullValue(_) | Kind::NumberValue(_) | Kind::StringValue(_) | Kind::BoolValue(_)) | None => None,
    };
    1 + below.unwrap_or_default()
}

fn value(raw: Option<&RawValue>) -> Option<pb::ChangeValue> {
    let text = raw?.get();
    if let Some(reference) = object::<Reference<'_>>(text) {
        let resource = reference.into_pb();
        return Some(pb::ChangeValue { value: Some(change_value::Value::Resource(resource)) });
    }
    let json = serde_json::from_str(text).ok().filter(|json| depth(json) <= MAX_DEPTH)?;
    Some(pb::ChangeValue { value: Some(change_value::Value::Json(json)) })
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
            ("/change/new_value", json!(3.5)),
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
        let key = prop_oneof![
            proptest::sample::select(vec![
                "action",
                "resource",
                "parent",
                "change",
                "created_at",
                "type",
                "user",
                "gid",
                "resource_type",
                "name",
                "field",
                "new_value",
                "resource_subtype",
            ])
            .prop_map(String::from),
            ".*".prop_map(String::from),
        ];
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
            let event = parse(&value.to_string());
            let decoded = pb::Event::decode(event.encode_to_vec().as_slice()).expect("decodes");
            prop_assert_eq!(serde_json::from_str::<Value>(&to_json(&decoded)).expect("JSON"), value);
        }
    }
}
