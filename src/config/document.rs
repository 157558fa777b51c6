//! Turns YAML text into the shape of the file, and collects every problem that the schema can find.

use super::Config;
use super::environment::Environment;
use super::expand::{apply_overrides, expand};
use super::problem::{Place, Problems, Step, nearest};
use super::schema::{self, Part};
use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::paths::LocationSegment;
use jsonschema::{ValidationError, Validator};
use serde_json::Value;

/// Parses the text of a file.
pub(super) fn parse(yaml: &str) -> Result<Value, Problems> {
    // A snippet would show lines of the file, and there may be a secret in one.
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(yaml, options).map_err(|error| {
        let mut problems = Problems::default();
        problems.add(Place::default(), format!("is no YAML: {error}"));
        problems
    })
}

/// The configuration that the document describes, and all problems so far. Optional keys with
/// problems are left out, so that the rest can be checked too. So the result is a
/// configuration even with problems, if possible.
pub(super) fn read(mut document: Value, environment: &Environment) -> (Option<Config>, Problems) {
    let mut problems = Problems::default();
    expand(&mut document, &Place::default(), environment, &mut problems);
    let (Some(root), Ok(validator)) = (Part::root(), validator()) else {
        problems.add(Place::default(), "can't be checked: the program's own schema is broken");
        return (None, problems);
    };
    apply_overrides(&mut document, root, environment, &mut problems);

    let mut broken = Vec::new();
    for error in validator.iter_errors(&document) {
        describe(&error, root, &mut |place, message| {
            problems.add(place.clone(), message);
            broken.push(place);
        });
    }
    for place in &broken {
        leave_out(&mut document, root, place);
    }
    super::name_by_deployment(&mut document);
    match serde_json::from_value(document) {
        Ok(config) => (Some(config), problems),
        Err(error) if problems.is_empty() => {
            problems.add(Place::default(), error.to_string());
            (None, problems)
        }
        Err(_) => (None, problems),
    }
}

fn validator() -> Result<Validator, ValidationError<'static>> {
    jsonschema::options()
        .should_validate_formats(true)
        .with_format("time-span", |text: &str| humantime::parse_duration(text).is_ok())
        .with_format("byte-size", |text: &str| text.parse::<super::ByteSize>().is_ok())
        .build(schema::schema())
}

/// Describes the error with the keys of the file, without quoting values.
#[expect(clippy::wildcard_enum_match_arm, reason = "the library's own message, values masked, does for rare keywords")]
fn describe(error: &ValidationError<'_>, root: Part, report: &mut impl FnMut(Place, String)) {
    let place = error.instance_path().iter().fold(Place::default(), |place, segment| match segment {
        LocationSegment::Property(key) => place.key(key),
        LocationSegment::Index(index) => place.item(index),
    });
    let part = root.at(&place);
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let known: Vec<&str> = part.into_iter().flat_map(Part::keys).map(|(key, _)| key).collect();
            for key in unexpected {
                let message = match nearest(key, known.iter().copied()) {
                    Some(near) => format!("unknown key; did you mean `{near}`?"),
                    None => format!("unknown key; known here: {}", known.join(", ")),
                };
                report(place.key(key), message);
            }
        }
        ValidationErrorKind::Required { property } => {
            report(place.key(property.as_str().unwrap_or_default()), "is missing".to_owned());
        }
        ValidationErrorKind::Type { .. } if place == Place::default() && error.instance().is_null() => {
            report(place, "is empty: examples/config has some to start from".to_owned());
        }
        ValidationErrorKind::Type { kind } => report(place, wrong_type(kind, error.instance())),
        ValidationErrorKind::Format { format } => report(place, wrong_format(format)),
        ValidationErrorKind::Minimum { limit } => report(place, format!("must be at least {limit}")),
        ValidationErrorKind::Maximum { limit } => report(place, format!("must be at most {limit}")),
        _ => report(place, error.masked().to_string()),
    }
}

fn wrong_type(expected: &TypeKind, found: &Value) -> String {
    let expected = match expected {
        TypeKind::Single(kind) => kind.to_string(),
        TypeKind::Multiple(kinds) => kinds.iter().map(|kind| kind.to_string()).collect::<Vec<_>>().join(" or "),
    };
    match (expected.as_str(), found) {
        ("object", Value::Null) => "has nothing in it; write `{}` for the defaults".to_owned(),
        ("string", Value::Number(_) | Value::Bool(_)) => {
            format!("must be a string, and without quotes it is a {}: put it in quotes", type_of(found))
        }
        (_, found) => format!("must be {} {expected}, not {}", article(&expected), type_of(found)),
    }
}

fn article(word: &str) -> &'static str {
    if word.starts_with(['a', 'i', 'o']) { "an" } else { "a" }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

fn wrong_format(format: &str) -> String {
    match format {
        "time-span" => r#"is no time span such as "500ms", "30s", "5min" or "7days""#.to_owned(),
        "byte-size" => r#"is no size such as "64MiB" (units: B, KiB, MiB, GiB)"#.to_owned(),
        other => format!("is no {other}"),
    }
}

/// Removes the key at `place`, if it is optional.
fn leave_out(document: &mut Value, root: Part, place: &Place) {
    let Some((Step::Key(key), parents)) = place.steps().split_last() else { return };
    let parent = parents.iter().fold(Place::default(), |parent, step| parent.step(step.clone()));
    if root.at(&parent).is_some_and(|part| part.requires(key)) {
        return;
    }
    let parent = parents.iter().try_fold(document, |node, step| match step {
        Step::Item(index) => node.get_mut(index),
        Step::Key(key) => node.get_mut(key),
    });
    if let Some(Value::Object(entries)) = parent {
        entries.remove(key);
    }
}
