//! Reads an event: strictly, or as far as it can be read.

use crate::lenient::{Object, gid, object, string};
use bridge_contract::pb;
use bridge_contract::time::{self, asana_form, timestamp};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;

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
    added_value: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "not_null")]
    new_value: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "not_null")]
    removed_value: Option<&'a RawValue>,
}

/// A compact object of Asana.
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

/// A key that must exist, and may be null.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(from)
}

/// A key that may be missing. Null doesn't count as missing: only text may be null.
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

impl<'a> Strict<'a> {
    /// The event, and its time as it was written; `None` if the text can't be created again from the fields.
    fn into_pb(self) -> Option<(pb::Event, Cow<'a, str>)> {
        let resource = |Object(reference): Object<Reference<'_>>| reference.into_pb();
        let created_at = time::parse(&self.created_at).filter(|time| asana_form(*time) == self.created_at)?;
        let event = pb::Event {
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
            created_at: timestamp(created_at),
            user: self.user.map(resource),
            r#type: self.kind.map(Cow::into_owned),
            fingerprint: Vec::new(),
            raw_json: String::new(),
        };
        Some((event, self.created_at))
    }
}

/// The event, if it has the ordinary form, and its time as it was written.
///
/// A changed value has its own text. If that is a text that many parsers reject, such as a number out of range or too
/// deep a nesting, the event isn't ordinary. So an event without `raw_json` can be read from the result of
/// [`to_json`](super::to_json).
pub(super) fn ordinary(text: &str) -> Option<(pb::Event, Cow<'_, str>)> {
    let (event, created_at) = object::<Strict<'_>>(text).and_then(Strict::into_pb)?;
    let is_rich = event.change.as_ref().is_some_and(|change| {
        [&change.added_value, &change.new_value, &change.removed_value]
            .into_iter()
            .flatten()
            .any(|value| !value.json.is_empty())
    });
    (!is_rich || serde_json::from_str::<serde_json::Value>(text).is_ok()).then_some((event, created_at))
}

/// An object of which each value is read on its own. Skipping a value doesn't recurse, so that no depth of nesting
/// hides the keys beside it.
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

/// The fields that can be read of an event of any shape, and its time as it was written.
pub(super) fn loose(text: &str) -> (pb::Event, Cow<'_, str>) {
    let event: Loose<'_> = object(text).unwrap_or_default();
    let created_at = match string(event.created_at) {
        Some(text) => Cow::Owned(text),
        None => Cow::Borrowed(event.created_at.map_or("", RawValue::get)),
    };
    let read = pb::Event {
        action: string(event.action).unwrap_or_default(),
        resource: reference(event.resource),
        parent: reference(event.parent),
        change: event.change.and_then(|raw| object::<LooseChange<'_>>(raw.get())).map(|change| pb::Change {
            field: string(change.field).unwrap_or_default(),
            action: string(change.action).unwrap_or_default(),
            added_value: change.added_value.map(value),
            new_value: change.new_value.map(value),
            removed_value: change.removed_value.map(value),
        }),
        created_at: time::parse(&created_at).and_then(timestamp),
        user: reference(event.user),
        r#type: string(event.kind),
        fingerprint: Vec::new(),
        raw_json: String::new(),
    };
    (read, created_at)
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

/// A value of a change: its reference, and its text if the reference doesn't contain all of it.
fn value(raw: &RawValue) -> pb::ChangeValue {
    match object::<Reference<'_>>(raw.get()) {
        Some(it) => pb::ChangeValue { resource: Some(it.into_pb()), json: String::new() },
        None => pb::ChangeValue {
            resource: reference(Some(raw)).filter(|it| !it.gid.is_empty()),
            json: raw.get().to_owned(),
        },
    }
}
