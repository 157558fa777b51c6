//! Creates the JSON of an event from its fields.

use bridge_contract::pb;
use bridge_contract::time::{asana_form, date_time};
use serde::Serialize;
use serde_json::value::RawValue;

/// The event's JSON: the original text if it was kept, otherwise the ordinary form, created from the fields. A changed
/// value that isn't JSON, in a record that the bridge didn't write, is left out.
///
/// ```
/// use bridge_core::record::event::{to_json, Event};
/// let text = r#"{"action":"added","strange":[1e400]}"#;
/// let raw: Box<serde_json::value::RawValue> = serde_json::from_str(text)?;
/// assert_eq!(to_json(&Event::parse(&raw).0), text);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[must_use]
pub fn to_json(event: &pb::Event) -> String {
    if !event.raw_json.is_empty() {
        return event.raw_json.clone();
    }
    // All fields are named, so that the compiler reports one that is new in the contract.
    let pb::Event { action, resource, parent, change, created_at, r#type, user, fingerprint: _, raw_json: _ } = event;
    let made = Ordinary {
        action,
        resource: resource.as_ref().map(Reference::of),
        parent: parent.as_ref().map(Reference::of),
        change: change.as_ref().map(Change::of),
        created_at: created_at.as_ref().and_then(date_time).map(asana_form),
        kind: r#type.as_deref(),
        user: user.as_ref().map(Reference::of),
    };
    // Texts with text keys always have a JSON form.
    serde_json::to_string(&made).unwrap_or_default()
}

#[derive(Serialize)]
struct Ordinary<'a> {
    action: &'a str,
    resource: Option<Reference<'a>>,
    parent: Option<Reference<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<Change<'a>>,
    created_at: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    user: Option<Reference<'a>>,
}

#[derive(Serialize)]
struct Change<'a> {
    field: &'a str,
    action: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    added_value: Option<Value<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_value: Option<Value<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    removed_value: Option<Value<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Value<'a> {
    Reference(Reference<'a>),
    Text(&'a RawValue),
}

#[derive(Serialize)]
struct Reference<'a> {
    gid: &'a str,
    resource_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_subtype: Option<&'a str>,
}

impl<'a> Change<'a> {
    fn of(change: &'a pb::Change) -> Self {
        let pb::Change { field, action, added_value, new_value, removed_value } = change;
        Self {
            field,
            action,
            added_value: added_value.as_ref().and_then(Value::of),
            new_value: new_value.as_ref().and_then(Value::of),
            removed_value: removed_value.as_ref().and_then(Value::of),
        }
    }
}

impl<'a> Value<'a> {
    fn of(value: &'a pb::ChangeValue) -> Option<Self> {
        if value.json.is_empty() {
            value.resource.as_ref().map(Reference::of).map(Self::Reference)
        } else {
            serde_json::from_str(&value.json).ok().map(Self::Text)
        }
    }
}

impl<'a> Reference<'a> {
    fn of(resource: &'a pb::Resource) -> Self {
        let pb::Resource { gid, resource_type, name, resource_subtype } = resource;
        Self { gid, resource_type, name: name.as_deref(), resource_subtype: resource_subtype.as_deref() }
    }
}
