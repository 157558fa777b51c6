//! Turns a document into the shape of the file, and collects every problem that the schema can find.

use super::Config;
use super::environment::Environment;
use super::expand::{apply_overrides, expand};
use super::explain::explain;
use super::problem::{Marks, Place, Problems, Step};
use super::schema::{self, Part};
use super::suggest;
use jsonschema::{ValidationError, Validator};
use serde_json::{Value, json};

/// The configuration that the document describes, and all problems so far. What has problems is left out or replaced, so that
/// the rest can be checked too. So the result is a configuration even with problems, if possible.
pub(super) fn read(mut document: Value, environment: &Environment, marks: &mut Marks) -> (Option<Config>, Problems) {
    let mut problems = Problems::default();
    expand(&mut document, &Place::default(), environment, &mut problems);
    let (Some(root), Ok(validator)) = (Part::root(), validator()) else {
        problems.add(Place::default(), "can't be checked: the program's own schema is broken");
        return (None, problems);
    };
    apply_overrides(&mut document, root, environment, marks, &mut problems);

    let mut found = Vec::new();
    for error in validator.iter_errors(&document) {
        explain(&error, root, &mut |place, message| found.push((place, message)));
    }
    // A key that is missing because it is misspelled is reported once.
    let misspelled: Vec<_> = found.iter().filter_map(|(place, _)| meant_by(place, root)).collect();
    for (place, message) in found {
        stand_in(&mut document, root, &place);
        if !misspelled.contains(&place) {
            problems.add(place, message);
        }
    }
    for place in misspelled {
        problems.silence(place);
    }
    super::name_by_deployment(&mut document);
    match serde_json::from_value(document) {
        Ok(config) => (Some(config), problems),
        Err(_) => (None, problems),
    }
}

/// The place that was probably meant by an unknown key.
fn meant_by(place: &Place, root: Part) -> Option<Place> {
    let (Step::Key(key), around) = place.steps().split_last()? else { return None };
    let parent = around.iter().fold(Place::default(), |parent, step| parent.step(step.clone()));
    let part = root.at(&parent)?;
    let is_unknown = part.key(key).is_none() && part.any_key().is_none();
    is_unknown.then(|| suggest::meant(key, part)).flatten().map(|meant| parent.key(meant))
}

fn validator() -> Result<Validator, ValidationError<'static>> {
    jsonschema::options()
        .should_validate_formats(true)
        .with_format("time-span", |text: &str| humantime::parse_duration(text).is_ok())
        .with_format("byte-size", |text: &str| text.parse::<super::ByteSize>().is_ok())
        .build(schema::schema())
}

/// Replaces what has a problem by something that has none, or removes it, so that the rest can be checked.
fn stand_in(document: &mut Value, root: Part, place: &Place) {
    let Some((last, parents)) = place.steps().split_last() else { return };
    let around = parents.iter().fold(Place::default(), |parent, step| parent.step(step.clone()));
    let Some(part) = root.at(&around) else { return };
    let parent = parents.iter().try_fold(document, |node, step| match step {
        Step::Item(index) => node.get_mut(index),
        Step::Key(key) => node.get_mut(key),
    });
    // Names that others refer to stay, and so do the numbers of a list's items.
    let is_empty_object = |part: Part| part.text("type") == Some("object") && !part.has_required();
    match (parent, last) {
        (Some(Value::Object(entries)), Step::Key(key)) => {
            let value = part.key(key).or_else(|| part.any_key());
            match value {
                Some(value) if is_empty_object(value) && (part.requires(key) || part.any_key().is_some()) => {
                    entries.insert(key.clone(), json!({}));
                }
                Some(_) if part.requires(key) => {
                    entries.extend(root.example(place).map(|example| (key.clone(), example)));
                }
                _ => drop(entries.remove(key)),
            }
        }
        (Some(Value::Array(items)), Step::Item(index)) => {
            let value = part.items().filter(|item| is_empty_object(*item)).map(|_| json!({}));
            if let (Some(item), Some(value)) = (items.get_mut(*index), value.or_else(|| root.example(place))) {
                *item = value;
            }
        }
        _ => {}
    }
}
