//! The JSON Schema of the configuration, generated from the types, and functions to read it.

use super::Config;
use super::problem::{Place, Step};
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    SchemaSettings::draft2020_12()
        .with_transform(RecursiveTransform(|schema: &mut schemars::Schema| {
            if let Some(object) = schema.as_object_mut() {
                state_what_the_types_accept(object);
            }
        }))
        .into_generator()
        .into_root_schema_for::<Config>()
        .to_value()
});

/// The schema, as JSON Schema draft 2020-12.
#[must_use]
pub fn schema() -> &'static Value {
    &SCHEMA
}

/// An optional key is left out, not null. So the message for an empty `console:` contains what to
/// write. And 32-bit numbers get their maximum.
fn state_what_the_types_accept(schema: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = schema.get("anyOf") {
        let mut real = choices.iter().filter(|choice| **choice != json!({"type": "null"}));
        if let (Some(Value::Object(only)), None) = (real.next().cloned(), real.next()) {
            schema.remove("anyOf");
            schema.extend(only);
        }
    }
    if schema.get("default").is_some_and(Value::is_null) {
        schema.remove("default");
    }
    if schema.get("format") == Some(&json!("uint32")) {
        schema.entry("maximum").or_insert(json!(u32::MAX));
    }
}

/// A part of the schema, with `$ref` followed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part(&'static Map<String, Value>);

impl Part {
    /// The schema of the whole configuration.
    pub(super) fn root() -> Option<Self> {
        SCHEMA.as_object().map(Self)
    }

    pub(super) fn of(node: &'static Value) -> Option<Self> {
        let object = node.as_object()?;
        match object.get("$ref").and_then(Value::as_str) {
            Some(reference) => Self::of(SCHEMA.pointer(reference.strip_prefix('#')?)?),
            None => Some(Self(object)),
        }
    }

    /// The named keys of this object, in their order, each with the schema at the key itself.
    pub(super) fn keys(self) -> impl Iterator<Item = (&'static str, &'static Value)> {
        let keys = self.0.get("properties").and_then(Value::as_object);
        keys.into_iter().flatten().map(|(key, node)| (key.as_str(), node))
    }

    /// The schema of a named key.
    pub(super) fn key(self, key: &str) -> Option<Self> {
        Self::of(self.0.get("properties")?.get(key)?)
    }

    /// The schema of any key, if the operator chooses the keys.
    pub(super) fn any_key(self) -> Option<Self> {
        Self::of(self.0.get("additionalProperties")?)
    }

    /// The schema of this list's items.
    pub(super) fn items(self) -> Option<Self> {
        Self::of(self.0.get("items")?)
    }

    /// The texts that are allowed here, if only some are.
    pub(super) fn choices(self) -> Option<Vec<&'static str>> {
        let choices = self.0.get("oneOf")?.as_array()?;
        choices.iter().map(|choice| choice.get("const")?.as_str()).collect()
    }

    pub(super) fn is_text(self) -> bool {
        self.text("type") == Some("string")
    }

    /// Whether it says where a secret is.
    pub(super) fn is_secret(self) -> bool {
        self.key("env").is_some() && self.key("file").is_some()
    }

    /// Whether this object requires `key`.
    pub(super) fn requires(self, key: &str) -> bool {
        self.0.get("required").and_then(Value::as_array).is_some_and(|keys| keys.iter().any(|name| name == key))
    }

    /// Whether this object requires any key.
    pub(super) fn has_required(self) -> bool {
        self.0.get("required").and_then(Value::as_array).is_some_and(|keys| !keys.is_empty())
    }

    /// The schema at `place`.
    pub(super) fn at(self, place: &Place) -> Option<Self> {
        place.steps().iter().try_fold(self, |part, step| match step {
            Step::Item(_) => part.items(),
            Step::Key(key) => part.key(key).or_else(|| part.any_key()),
        })
    }

    /// An example of what `place` in this part may hold: its first one, or the default, or an object with an example of one key.
    pub(super) fn example(self, place: &Place) -> Option<Value> {
        let (step, around) = place.steps().split_last()?;
        let parent = around.iter().fold(Place::default(), |parent, step| parent.step(step.clone()));
        let key = match step {
            Step::Item(_) => return self.example(&parent)?.get(0).cloned(),
            Step::Key(key) => key,
        };
        let node = self.at(&parent)?.0.get("properties").and_then(|keys| keys.get(key));
        let own = |keyword| {
            let value = node?.get(keyword)?;
            if keyword == "examples" {
                return value.as_array()?.first();
            }
            // A default of an object is all of its defaults.
            (!value.is_object()).then_some(value)
        };
        if let Some(example) = own("examples").or_else(|| own("default")) {
            return Some(example.clone());
        }
        let part = self.at(place)?;
        if let Some(choices) = part.choices() {
            return choices.first().map(|choice| Value::from(*choice));
        }
        // A key that is required says the most, then one with an example of its own.
        let mut keys: Vec<_> = part.keys().collect();
        keys.sort_by_key(|(key, node)| (!part.requires(key), node.get("examples").is_none()));
        keys.into_iter().find_map(|(key, _)| Some(json!({ key: self.example(&place.key(key))? })))
    }

    /// The text of a keyword, such as `description`.
    pub(super) fn text(self, keyword: &str) -> Option<&'static str> {
        self.0.get(keyword).and_then(Value::as_str)
    }
}
