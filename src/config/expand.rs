//! Expands `${NAME}` in the file's texts, and applies the variables that override keys.

use super::environment::Environment;
use super::problem::{Place, Problems, nearest};
use super::schema::Part;
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
pub(super) fn apply_overrides(document: &mut Value, root: Part, environment: &Environment, problems: &mut Problems) {
    let mut overrides: Vec<(Vec<&str>, &str)> =
        environment.with_prefix(OVERRIDE_PREFIX).map(|(path, value)| (path.split(LEVEL).collect(), value)).collect();
    overrides.sort_by_key(|(segments, _)| {
        segments.iter().map(|segment| (segment.parse::<usize>().ok(), *segment)).collect::<Vec<_>>()
    });
    for (segments, value) in overrides {
        // On a copy, so that a failed override leaves no incomplete objects behind.
        let mut changed = document.clone();
        match set(&mut changed, root, &segments, value) {
            Ok(()) => *document = changed,
            Err(message) => problems.add_variable(&format!("{OVERRIDE_PREFIX}{}", segments.join(LEVEL)), message),
        }
    }
}

fn set(node: &mut Value, part: Part, segments: &[&str], text: &str) -> Result<(), String> {
    let Some((segment, deeper)) = segments.split_first() else {
        *node = if part.is_text() { Value::from(text) } else { parse(text)? };
        return Ok(());
    };
    if let Some(item) = part.items() {
        let items = as_list(node)?;
        let index = segment.parse::<usize>().ok().filter(|index| *index <= items.len());
        let index = index.ok_or_else(|| format!("{segment:?} is no number from 0 to {}", items.len()))?;
        if index == items.len() {
            items.push(Value::Null);
        }
        return items.get_mut(index).map_or(Ok(()), |node| set(node, item, deeper, text));
    }
    let entries = as_object(node)?;
    if let Some(value) = part.any_key() {
        // The spelling of a new key isn't known: variables have neither points nor small letters.
        let entry = entries.iter_mut().find(|(key, _)| is_segment_of(segment, key));
        let (_, entry) = entry.ok_or_else(|| {
            format!("overrides no known key: the file has no {segment} there; add it, its value may be `${{NAME}}`")
        })?;
        return set(entry, value, deeper, text);
    }
    let known = part.keys().map(|(key, _)| key).find(|key| is_segment_of(segment, key));
    match known.and_then(|key| Some((key, part.key(key)?))) {
        Some((key, value)) => set(entries.entry(key).or_insert(Value::Null), value, deeper, text),
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

fn parse(text: &str) -> Result<Value, String> {
    // The parser's message would quote the value.
    serde_saphyr::from_str(text).ok().ok_or_else(|| "its value is not YAML".to_owned())
}

/// Whether a variable's segment means this key, as `BOOTSTRAP_SERVERS` means `bootstrapServers`.
fn is_segment_of(segment: &str, key: &str) -> bool {
    let bare =
        |text: &str| -> String { text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect() };
    bare(segment) == bare(key)
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
