//! `opt_fields` and `opt_pretty`, applied to JSON text: numbers, key order and duplicate keys of an injected event are
//! kept.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// An event with all fields: a client that requests all of these gets the whole event.
const WHOLE_EVENT: &str = r#"{"user":{"gid":"","resource_type":"","name":""},"created_at":"","type":"","action":"",
"resource":{"gid":"","resource_type":"","resource_subtype":"","name":""},
"parent":{"gid":"","resource_type":"","resource_subtype":"","name":""},
"change":{"field":"","action":"",
"new_value":{"gid":"","resource_type":"","resource_subtype":"","name":"","type":"","display_value":"",
"enum_value":{"gid":"","resource_type":"","name":""},"number_value":0,"text_value":"",
"date_value":{"date":"","date_time":""},"people_value":[{"gid":"","resource_type":"","name":""}]},
"added_value":{"gid":"","resource_type":"","resource_subtype":"","name":""},
"removed_value":{"gid":"","resource_type":"","resource_subtype":"","name":""}}}"#;

/// The names of all fields of an event, for `opt_fields`: a client that requests all of these gets events unchanged.
#[must_use]
pub fn event_fields() -> Vec<String> {
    fn collect(value: &serde_json::Value, path: &str, into: &mut Vec<String>) {
        for item in value.as_array().into_iter().flatten() {
            collect(item, path, into);
        }
        for (key, member) in value.as_object().into_iter().flatten().filter(|(key, _)| *key != "gid") {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            collect(member, &path, into);
            into.push(path);
        }
    }
    let mut fields = Vec::new();
    collect(&serde_json::from_str(WHOLE_EVENT).unwrap_or_default(), "", &mut fields);
    fields
}

/// The fields of each object that a client requests.
#[derive(Debug)]
pub(crate) enum Selection {
    All,
    Some(Node),
}

/// A field that is requested, or that contains a requested field.
#[derive(Debug, Default)]
pub(crate) struct Node {
    /// Whether the field itself is requested, not only a field in it.
    named: bool,
    /// Whether the field is returned unchanged.
    whole: bool,
    below: BTreeMap<String, Self>,
}

impl Selection {
    /// Names separated by commas; no list means everything.
    pub(crate) fn of(opt_fields: Option<&str>) -> Self {
        opt_fields.map_or(Self::All, |list| Self::naming(list.split(',')))
    }

    /// The same for events. If a list includes all fields of an event, the event is returned without parsing it, so
    /// that unknown fields are included, too.
    pub(crate) fn of_events(opt_fields: Option<&str>) -> Self {
        let named = Self::of(opt_fields);
        let mut shown = String::new();
        named.write(WHOLE_EVENT, &mut shown);
        if same_json(&shown, WHOLE_EVENT) { Self::All } else { named }
    }

    /// The named fields, unchanged.
    pub(crate) fn compact(names: &[&str]) -> Self {
        let whole = || Node { whole: true, ..Node::default() };
        Self::Some(Node { below: names.iter().map(|name| ((*name).to_owned(), whole())).collect(), ..Node::default() })
    }

    fn naming<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut root = Node::default();
        for name in names.map(str::trim).filter(|name| !name.is_empty()) {
            let name = name.strip_prefix("this.").unwrap_or(name);
            let mut node = &mut root;
            for part in name.split('.') {
                node = node.below.entry(part.to_owned()).or_default();
            }
            node.named = true;
        }
        Self::Some(root)
    }

    /// Writes the requested fields of an object to `out`.
    pub(crate) fn write(&self, object: &str, out: &mut String) {
        match self {
            Self::All => out.push_str(object),
            Self::Some(root) => root.write(object, out),
        }
    }
}

impl Node {
    const NAMED: Self = Self { named: true, whole: false, below: BTreeMap::new() };

    fn write(&self, json: &str, out: &mut String) {
        let written = match json.as_bytes().first() {
            _ if self.whole => None,
            Some(b'{') => self.write_object(json, out),
            Some(b'[') => self.write_array(json, out),
            _ => None,
        };
        if written.is_none() {
            out.push_str(json);
        }
    }

    fn write_array(&self, json: &str, out: &mut String) -> Option<()> {
        let items: Vec<&RawValue> = serde_json::from_str(json).ok()?;
        out.push('[');
        for (number, item) in items.iter().enumerate() {
            if number > 0 {
                out.push(',');
            }
            self.write(item.get(), out);
        }
        out.push(']');
        Some(())
    }

    /// An object with a gid is reduced to it and the requested fields. An object without one isn't a resource: if
    /// requested, it is returned with all of its fields, but the resources in it are reduced, too.
    fn write_object(&self, json: &str, out: &mut String) -> Option<()> {
        let Pairs(pairs) = serde_json::from_str(json).ok()?;
        let is_resource = pairs.iter().any(|(key, _)| key == "gid");
        let all = self.named && !is_resource;
        out.push('{');
        let mut first = true;
        for (key, value) in &pairs {
            let below = self.below.get(&**key);
            let compact = key == "gid" || (self.named && key == "resource_type");
            if below.is_none() && !compact && !all {
                continue;
            }
            if !first {
                out.push(',');
            }
            first = false;
            out.push_str(&serde_json::to_string(key).ok()?);
            out.push(':');
            match below {
                Some(node) => node.write(value.get(), out),
                None if all => Self::NAMED.write(value.get(), out),
                None => out.push_str(value.get()),
            }
        }
        out.push('}');
        Some(())
    }
}

fn same_json(one: &str, other: &str) -> bool {
    let read = |text| serde_json::from_str::<serde_json::Value>(text).ok();
    read(one) == read(other)
}

/// A JSON object's members in their order, values as text.
struct Pairs<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// The same JSON with line breaks and indentation. A text that isn't JSON gets line breaks, too, and stays complete.
pub(crate) fn pretty(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    let mut opened = false;
    let line = |out: &mut Vec<u8>, depth: usize| {
        out.push(b'\n');
        out.resize(out.len() + 2 * depth, b' ');
    };
    for &byte in json {
        if in_string {
            out.push(byte);
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        let closes = matches!(byte, b'}' | b']');
        if closes {
            depth = depth.saturating_sub(1);
        }
        if opened != closes && (opened || closes) {
            line(&mut out, depth);
        }
        opened = false;
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' => {}
            b'{' | b'[' => {
                out.push(byte);
                depth += 1;
                opened = true;
            }
            b',' => {
                out.push(byte);
                line(&mut out, depth);
            }
            b':' => out.extend_from_slice(b": "),
            _ => {
                out.push(byte);
                in_string = byte == b'"';
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"user":{"gid":"1","resource_type":"user","name":"Ada"},"action":"changed","action":"x","n":1.0,"change":{"field":"f"},"parent":null}"#;

    fn select(names: &str) -> String {
        let mut out = String::new();
        Selection::of_events(Some(names)).write(EVENT, &mut out);
        out
    }

    #[test]
    fn a_bare_resource_shrinks_to_its_gid_and_type() {
        assert_eq!(select("user"), r#"{"user":{"gid":"1","resource_type":"user"}}"#);
        assert_eq!(select("user.name"), r#"{"user":{"gid":"1","name":"Ada"}}"#);
    }

    #[test]
    fn duplicate_keys_numbers_and_nulls_survive() {
        assert_eq!(
            select("action,n,change,parent.name"),
            r#"{"action":"changed","action":"x","n":1.0,"change":{"field":"f"},"parent":null}"#
        );
    }

    #[test]
    fn a_full_list_serves_the_event_as_it_is() {
        let all = event_fields();
        assert_eq!(select(&all.join(",")), EVENT);
        for needed in ["action", "user.name", "change.new_value.enum_value.name", "change.new_value.number_value"] {
            let but_one: Vec<_> = all.iter().filter(|field| *field != needed).map(String::as_str).collect();
            assert_eq!(but_one.len() + 1, all.len());
            assert_ne!(select(&but_one.join(",")), EVENT, "without {needed}");
        }
    }

    #[test]
    fn a_value_in_a_change_is_as_bare_as_any_object() {
        let event = r#"{"change":{"field":"custom_fields","new_value":{"gid":"1","resource_type":"custom_field","name":"P","enum_value":{"gid":"2","resource_type":"enum_option","name":"Low"}}}}"#;
        let select = |names: &str| {
            let mut out = String::new();
            Selection::of_events(Some(names)).write(event, &mut out);
            out
        };
        let bare = r#"{"change":{"new_value":{"gid":"1","resource_type":"custom_field"}}}"#;
        assert_eq!(select("change.new_value"), bare);
        let deeper = r#"{"change":{"new_value":{"gid":"1","enum_value":{"gid":"2","name":"Low"}}}}"#;
        assert_eq!(select("change.new_value.enum_value.name"), deeper);
        assert_eq!(
            select("change"),
            r#"{"change":{"field":"custom_fields","new_value":{"gid":"1","resource_type":"custom_field"}}}"#
        );
    }

    #[test]
    fn pretty_changes_nothing_but_the_space_between() {
        let ugly = r#"{"a":[1,{"b":"x\"{,}:\\"}],"c":{},"d":[]}"#;
        let pretty = String::from_utf8(pretty(ugly.as_bytes())).unwrap();
        assert!(pretty.lines().count() > 5, "{pretty}");
        let same: serde_json::Value = serde_json::from_str(&pretty).unwrap();
        assert_eq!(same, serde_json::from_str::<serde_json::Value>(ugly).unwrap());
        assert!(pretty.contains(r#""x\"{,}:\\""#), "{pretty}");
    }
}
