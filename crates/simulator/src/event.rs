//! Asana's event object, serialized once.

use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::{scenario::TypeField, time::Timestamp};

/// A globally unique identifier: digits, but only ever a string.
pub(crate) type Gid = Arc<str>;

/// The compact form in which Asana shows an object inside another one.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Compact {
    #[serde(serialize_with = "as_str")]
    pub(crate) gid: Gid,
    pub(crate) resource_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resource_subtype: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// The fields of some objects only, such as a custom field's value.
    #[serde(flatten)]
    pub(crate) more: Option<Box<Map<String, Value>>>,
}

fn as_str<S: Serializer>(gid: &Gid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(gid)
}

impl Compact {
    pub(crate) fn new(gid: &Gid, resource_type: &'static str, name: impl Into<String>) -> Self {
        Self { gid: Arc::clone(gid), resource_type, resource_subtype: None, name: Some(name.into()), more: None }
    }
}

/// The action of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    Added,
    Changed,
    Deleted,
    Removed,
    Undeleted,
}

/// A change of a field. It has a value only if the value is an Asana resource.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Change {
    field: &'static str,
    action: Action,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_value: Option<Compact>,
    #[serde(skip_serializing_if = "Option::is_none")]
    added_value: Option<Compact>,
    #[serde(skip_serializing_if = "Option::is_none")]
    removed_value: Option<Compact>,
}

impl Change {
    /// The change of a field without a resource as its value.
    pub(crate) fn scalar(field: &'static str) -> Self {
        Self { field, action: Action::Changed, new_value: None, added_value: None, removed_value: None }
    }

    pub(crate) fn to(field: &'static str, value: Compact) -> Self {
        Self { new_value: Some(value), ..Self::scalar(field) }
    }

    pub(crate) fn adding(field: &'static str, value: Compact) -> Self {
        Self { action: Action::Added, added_value: Some(value), ..Self::scalar(field) }
    }

    /// The same with values in their compact form; `None` if they are compact already.
    fn bare(&self) -> Option<Self> {
        let mut bare = self.clone();
        let values = [&mut bare.new_value, &mut bare.added_value, &mut bare.removed_value];
        let mut said_more = false;
        for value in values.into_iter().flatten() {
            said_more |= value.more.take().is_some();
        }
        said_more.then_some(bare)
    }

    pub(crate) fn removing(field: &'static str, value: Compact) -> Self {
        Self { action: Action::Removed, removed_value: Some(value), ..Self::scalar(field) }
    }
}

/// An event before it is serialized.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// The user; `None` for changes by the system.
    pub(crate) user: Option<Compact>,
    pub(crate) created_at: Timestamp,
    pub(crate) action: Action,
    pub(crate) resource: Compact,
    pub(crate) parent: Option<Compact>,
    pub(crate) change: Option<Change>,
}

#[derive(Serialize)]
struct Written<'a> {
    user: &'a Option<Compact>,
    created_at: String,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    twin: Option<&'a str>,
    action: Action,
    resource: &'a Compact,
    parent: &'a Option<Compact>,
    #[serde(skip_serializing_if = "Option::is_none")]
    change: &'a Option<Change>,
}

impl Event {
    /// The event for a workspace's stream, if that differs: values in `change` are compact there.
    pub(crate) fn write_bare(&self, twin: TypeField) -> Option<Arc<str>> {
        let change = self.change.as_ref()?.bare()?;
        Some(Self { change: Some(change), ..self.clone() }.write(twin))
    }

    /// The JSON for all streams: `parent` always, `change` only if there is one.
    pub(crate) fn write(&self, twin: TypeField) -> Arc<str> {
        let written = Written {
            user: &self.user,
            created_at: self.created_at.to_string(),
            twin: (twin == TypeField::Present).then_some(self.resource.resource_type),
            action: self.action,
            resource: &self.resource,
            parent: &self.parent,
            change: &self.change,
        };
        // Strings and options always serialize: there is no map with other keys.
        Arc::from(serde_json::to_string(&written).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_are_explicit_and_a_missing_change_is_absent() {
        let task = Compact::new(&Arc::from("7"), "task", "Buy \"milk\"");
        let event = Event {
            user: None,
            created_at: Timestamp::from_millis(0),
            action: Action::Deleted,
            resource: task,
            parent: None,
            change: None,
        };
        assert_eq!(
            &*event.write(TypeField::Absent),
            r#"{"user":null,"created_at":"1970-01-01T00:00:00.000Z","action":"deleted","resource":{"gid":"7","resource_type":"task","name":"Buy \"milk\""},"parent":null}"#
        );
        assert!(event.write(TypeField::Present).contains(r#""type":"task""#));
    }
}
