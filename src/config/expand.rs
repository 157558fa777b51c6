//! Expands `${NAME}` in the file's texts, and applies the variables that override keys.

use super::environment::Environment;
use super::problem::{Marks, Place, Problems};
use super::schema::Part;
use super::suggest::{is_same, nearest};
use super::yaml;
use serde_json::{Map, Value};

/// The prefix of variables that override keys, as in `ASANA_EVENT_BRIDGE__SINK__KAFKA__TOPIC`.
pub const OVERRIDE_PREFIX: &str = "ASANA_EVENT_BRIDGE__";
const LEVEL: &str = "__";

/// Replaces `${NAME}` in every text by the variable's value. `$${` stands for `${`.
pub(super) fn expand(node: &mut Value, place: &Place, environment: &Environment, problems: &mut Problems) {
    match node {
        Value::String(text) if text.contains("${") => match expand_text(text, environment) {
            Ok(expanded) => *text = expanded,
            Err(message) => problems.add(place.clone(), message),
        },
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                expand(item, &place.item(index), environment, problems);
            }
        }
        Value::Object(entries) => {
            for (key, entry) in entries {
                expand(entry, &place.key(key), environment, problems);
            }
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn expand_text(text: &str, environment: &Environment) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(literal) = before.strip_suffix('$') {
            expanded.push_str(literal);
            expanded.push_str("${");
            rest = after;
            continue;
        }
        let (name, behind) = after.split_once('}').ok_or("`${` without its `}`; write `$${` for a plain `${`")?;
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err("`${…}` must hold the name of an environment variable; write `$${` for a plain `${`".to_owned());
        }
        expanded.push_str(before);
        expanded.push_str(environment.get(name).ok_or_else(|| format!("the environment variable {name} is not set"))?);
        rest = behind;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// Puts the values of override variables into the document, lists in the order of their numbers.
pub(super) fn apply_overrides(
    document: &mut Value,
    root: Part,
    environment: &Environment,
    marks: &mut Marks,
    problems: &mut Problems,
) {
    let mut overrides: Vec<(Vec<&str>, &str)> =
        environment.with_prefix(OVERRIDE_PREFIX).map(|(path, value)| (path.split(LEVEL).collect(), value)).collect();
    overrides.sort_by_key(|(segments, _)| {
        segments.iter().map(|segment| (segment.parse::<usize>().ok(), *segment)).collect::<Vec<_>>()
    });
    for (segments, value) in overrides {
        // On a copy, so that a failed override leaves no incomplete objects behind.
        let mut changed = document.clone();
        let variable = format!("{OVERRIDE_PREFIX}{}", segments.join(LEVEL));
        match set(&mut changed, root, &Place::default(), &segments, value) {
            Ok(place) => {
                *document = changed;
                marks.override_by(place, variable);
            }
            Err(message) => problems.add_variable(&variable, message),
        }
    }
}

/// The place that was set.
fn set(node: &mut Value, part: Part, place: &Place, segments: &[&str], text: &str) -> Result<Place, String> {
    let Some((segment, deeper)) = segments.split_first() else {
        // The parser's message would quote the value.
        *node = if part.is_text() { Value::from(text) } else { yaml::value(text).ok_or("its value is not YAML")? };
        return Ok(place.clone());
    };
    if let Some(item) = part.items() {
        let items = as_list(node)?;
        let index = segment.parse::<usize>().ok().filter(|index| *index <= items.len());
        let index = index.ok_or_else(|| format!("{segment:?} is no number from 0 to {}", items.len()))?;
        if index == items.len() {
            items.push(Value::Null);
        }
        let place = place.item(index);
        return items.get_mut(index).map_or_else(|| Ok(place.clone()), |node| set(node, item, &place, deeper, text));
    }
    let entries = as_object(node)?;
    if let Some(value) = part.any_key() {
        // The spelling of a new key isn't known: variables have neither points nor small letters.
        let entry = entries.iter_mut().find(|(key, _)| is_same(segment, key));
        let (key, entry) = entry.ok_or_else(|| {
            format!("overrides no known key: the file has no {segment} there; add it, its value may be `${{NAME}}`")
        })?;
        return set(entry, value, &place.key(key), deeper, text);
    }
    let known = part.keys().map(|(key, _)| key).find(|key| is_same(segment, key));
    match known.and_then(|key| Some((key, part.key(key)?))) {
        Some((key, value)) => set(entries.entry(key).or_insert(Value::Null), value, &place.key(key), deeper, text),
        None => Err(unknown_segment(segment, part)),
    }
}

fn unknown_segment(segment: &str, part: Part) -> String {
    let known: Vec<String> = part.keys().map(|(key, _)| to_segment(key)).collect();
    match nearest(segment, known.iter().map(String::as_str)) {
        _ if known.is_empty() => "overrides no known key".to_owned(),
        Some(near) => format!("overrides no known key; did you mean {near} instead of {segment}?"),
        None => format!("overrides no known key; instead of {segment} there can be {}", known.join(", ")),
    }
}

fn to_segment(key: &str) -> String {
    let mut segment = String::new();
    for letter in key.chars() {
        if letter.is_uppercase() {
            segment.push('_');
        }
        segment.extend(letter.to_uppercase());
    }
    segment
}

fn as_object(node: &mut Value) -> Result<&mut Map<String, Value>, String> {
    if node.is_null() {
        *node = Value::Object(Map::new());
    }
    node.as_object_mut().ok_or_else(|| "overrides a part of something that is no object".to_owned())
}

fn as_list(node: &mut Value) -> Result<&mut Vec<Value>, String> {
    if node.is_null() {
        *node = Value::Array(Vec::new());
    }
    node.as_array_mut().ok_or_else(|| "overrides a part of something that is no list".to_owned())
}
