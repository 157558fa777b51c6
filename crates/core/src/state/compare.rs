//! Compares the state of a resource with another one.

use serde_json::Value;
use std::collections::BTreeSet;

/// What other resources are called: that it changes is an event of theirs.
const NAMES: [&str; 4] = ["name", "resource_subtype", "text", "title"];

/// Removes what a resource's neighbours are called.
pub(crate) fn forget_neighbours(state: &mut Value) {
    state.as_object_mut().into_iter().flat_map(|fields| fields.values_mut()).for_each(forget_names);
}

fn forget_names(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if fields.contains_key("gid") {
                fields.retain(|field, _| !NAMES.contains(&field.as_str()));
            }
            fields.values_mut().for_each(forget_names);
        }
        Value::Array(values) => values.iter_mut().for_each(forget_names),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The fields in which two states of a resource, as JSON texts, differ, but for what its neighbours are called. `None` if one of
/// them isn't a JSON object, and they aren't the same text.
#[must_use]
pub fn differences(one: &str, other: &str) -> Option<BTreeSet<String>> {
    if one == other {
        return Some(BTreeSet::new());
    }
    let read = |text: &str| {
        let mut state = serde_json::from_str(text).ok()?;
        forget_neighbours(&mut state);
        if let Value::Object(fields) = state { Some(fields) } else { None }
    };
    let (one, other) = (read(one)?, read(other)?);
    let differ = one.keys().chain(other.keys()).filter(|field| one.get(*field) != other.get(*field));
    Some(differ.cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differ(one: &str, other: &str) -> Option<Vec<String>> {
        Some(differences(one, other)?.into_iter().collect())
    }

    #[test]
    fn the_fields_that_differ_are_named() {
        let one = r#"{"gid":"1","name":"a","due_on":null,"tags":[]}"#;
        assert_eq!(differ(one, r#"{"tags":[],"gid":"1","due_on":null,"name":"a"}"#), Some(vec![]));
        let changed = differ(one, r#"{"gid":"1","name":"b","tags":[{"gid":"7"}],"notes":""}"#).unwrap();
        assert_eq!(changed, ["due_on", "name", "notes", "tags"]);
    }

    #[test]
    fn what_a_neighbour_is_called_is_no_difference() {
        let one = r#"{"name":"a","assignee":{"gid":"7","name":"Ann"}}"#;
        assert_eq!(differ(one, r#"{"name":"a","assignee":{"gid":"7","name":"Bo"}}"#), Some(vec![]));
        assert_eq!(differ(one, r#"{"name":"a","assignee":{"gid":"8","name":"Ann"}}"#).unwrap(), ["assignee"]);
    }

    #[test]
    fn texts_that_are_no_objects_cant_be_compared_unless_they_are_the_same() {
        assert_eq!(differ("", ""), Some(vec![]));
        assert_eq!(differ("", "{}"), None);
        assert_eq!(differ("[1]", "{}"), None);
    }
}
