//! Says what the schema finds in the terms of the file: what is wrong, and what to write.

use super::problem::{Place, Step};
use super::schema::Part;
use super::suggest;
use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind;
use jsonschema::paths::LocationSegment;
use serde_json::Value;

/// Explains the error with the keys of the file, without quoting values.
#[expect(clippy::wildcard_enum_match_arm, reason = "the library's own message, values masked, does for rare keywords")]
pub(super) fn explain(error: &ValidationError<'_>, root: Part, report: &mut impl FnMut(Place, String)) {
    let place = error.instance_path().iter().fold(Place::default(), |place, segment| match segment {
        LocationSegment::Property(key) => place.key(key),
        LocationSegment::Index(index) => place.item(index),
    });
    let Some(part) = root.at(&place) else { return report(place, error.masked().to_string()) };
    let wrong = Wrong { part, place: &place, root, found: error.instance() };
    let message = match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            for key in unexpected {
                report(place.key(key), suggest::key(key, part, &place, root));
            }
            return;
        }
        ValidationErrorKind::Required { property } => {
            let place = place.key(property.as_str().unwrap_or_default());
            let message = format!("is missing; add it{}", such_as(root, &place));
            return report(place, message);
        }
        ValidationErrorKind::Type { .. } | ValidationErrorKind::OneOfNotValid { .. } => wrong.type_(),
        ValidationErrorKind::Format { .. } => wrong.format(),
        ValidationErrorKind::Minimum { limit } => format!("must be at least {limit}"),
        ValidationErrorKind::Maximum { limit } => format!("must be at most {limit}"),
        _ => error.masked().to_string(),
    };
    report(place, message);
}

/// `, such as …` with what may be written at `place`, if there is an example.
fn such_as(root: Part, place: &Place) -> String {
    let Some(example) = root.example(place) else { return String::new() };
    let example = match place.steps().last() {
        Some(Step::Key(key)) => format!("{key}: {}", flow(&example)),
        Some(Step::Item(_)) => format!("- {}", flow(&example)),
        None => flow(&example),
    };
    format!(", such as `{example}`")
}

/// A value of the wrong type at a place.
struct Wrong<'a> {
    part: Part,
    place: &'a Place,
    root: Part,
    found: &'a Value,
}

impl Wrong<'_> {
    fn such_as(&self) -> String {
        such_as(self.root, self.place)
    }

    /// The key's own name.
    fn key(&self) -> &str {
        let mut keys = self.place.steps().iter().rev();
        let key = keys.find_map(|step| if let Step::Key(key) = step { Some(key.as_str()) } else { None });
        key.unwrap_or_default()
    }

    fn type_(&self) -> String {
        if let Some(choices) = self.part.choices() {
            return self.choice(&choices);
        }
        if self.part.is_secret() {
            return self.secret();
        }
        match (self.part.text("type"), self.found) {
            (Some("object"), _) => self.object(),
            (Some("array"), Value::Null) => format!("has nothing in it; write a list{}", self.such_as()),
            (Some("array"), _) => format!("must be a list{}", self.such_as()),
            (_, Value::Null) => format!("has nothing in it; write its value{}, or remove the key", self.such_as()),
            (Some("string"), _) => self.text(),
            (Some("boolean"), _) => "must be `true` or `false`, without quotes".to_owned(),
            (_, Value::String(text)) if is_digits(text) => "must be a number: remove the quotes".to_owned(),
            (_, Value::String(text)) if text.trim_end().ends_with('%') => {
                "must be a whole number, without `%`".to_owned()
            }
            _ => format!("must be a whole number in digits{}", self.such_as()),
        }
    }

    fn choice(&self, choices: &[&str]) -> String {
        let found = self.found.as_str().unwrap_or_default();
        let near = choices.iter().copied().find(|choice| suggest::is_same(choice, found));
        let near = near.or_else(|| suggest::nearest(found, choices.iter().copied()));
        let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        let choices: Vec<_> = choices.iter().map(|choice| format!("`{choice}`")).collect();
        format!("must be one of {}{hint}", choices.join(", "))
    }

    fn secret(&self) -> String {
        let wrong = match self.found {
            Value::Null => "has nothing in it",
            Value::String(_) | Value::Number(_) => "must not be the secret itself, but say where it is",
            Value::Bool(_) | Value::Array(_) | Value::Object(_) => "must say where the secret is",
        };
        let key = self.key();
        format!("{wrong}: write `{key}: {{env: VARIABLE}}` or `{key}: {{file: PATH}}`")
    }

    fn object(&self) -> String {
        if *self.place == Place::default() {
            let problem = if self.found.is_null() {
                "is empty: examples/config has some to start from"
            } else {
                "must be keys with their values, such as `accounts: …`, `streams: …` and `sink: …`"
            };
            return problem.to_owned();
        }
        match self.found {
            Value::Null if self.part.has_required() || self.part.any_key().is_some() => {
                format!("has nothing in it; indent what belongs to it{}", self.such_as())
            }
            Value::Null => "has nothing in it; write `{}` for the defaults, or indent what belongs to it".to_owned(),
            Value::Array(_) if self.part.any_key().is_some() => {
                format!("must have a name for each entry, without `- ` before it{}", self.such_as())
            }
            Value::Array(_) => {
                format!("must be keys with their values, not a list: write them without `- `{}", self.such_as())
            }
            Value::String(text) if self.part.key(text).is_some() => {
                let hint = such_as(self.root, &self.place.key(text));
                format!("must be a key with its settings{hint}, in a line below `{}:`", self.key())
            }
            Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Object(_) => {
                format!("must be keys with their values{}", self.such_as())
            }
        }
    }

    fn text(&self) -> String {
        let key = self.key();
        match (self.found, self.part.text("format")) {
            (Value::Number(number), Some(_)) if number.as_f64().is_some_and(|number| number < 0.0) => {
                format!("must not be below 0; write a value{}", self.such_as())
            }
            (Value::Number(number), Some("time-span")) => {
                format!("has no unit: write `{key}: {number}s` for seconds; other units are ms, m, h and d")
            }
            (Value::Number(number), Some("byte-size")) => {
                format!("has no unit: write `{key}: {number}MiB`; other units are B, KiB and GiB")
            }
            // A gid is no secret.
            (Value::Number(gid), None) if self.is_gid() && !gid.is_f64() => {
                format!("must be text, and without quotes it is a number: write `{key}: \"{gid}\"`")
            }
            (Value::Number(_), None) => match self.such_as() {
                hint if hint.is_empty() => {
                    "must be text, and without quotes it is a number: put it in quotes".to_owned()
                }
                hint => format!("must be text{hint}; without quotes it is a number"),
            },
            (Value::Bool(_), None) => {
                "must be text, and without quotes it is `true` or `false`: put it in quotes".to_owned()
            }
            (Value::Array(_), _) => format!("must be one text, not a list{}", self.such_as()),
            (Value::Object(_), _) if self.found.get("env").is_some() => {
                "must be text; the value of a variable is written as `${NAME}`".to_owned()
            }
            _ => format!("must be text{}", self.such_as()),
        }
    }

    fn is_gid(&self) -> bool {
        self.root.example(self.place).is_some_and(|example| example.as_str().is_some_and(is_digits))
    }

    fn format(&self) -> String {
        let key = self.key();
        match (self.part.text("format"), self.found.as_str().unwrap_or_default().trim()) {
            (Some("time-span"), digits) if is_digits(digits) => {
                format!("has no unit: write `{key}: {digits}s` for seconds; other units are ms, m, h and d")
            }
            (Some("byte-size"), digits) if is_digits(digits) => {
                format!("has no unit: write `{key}: {digits}MiB`; other units are B, KiB and GiB")
            }
            (_, text) if text.starts_with('-') => format!("must not be below 0; write a value{}", self.such_as()),
            (Some("time-span"), _) => {
                "is no time span: write a number and a unit, such as `500ms`, `30s`, `5m`, `12h` or `7d`".to_owned()
            }
            (Some("byte-size"), _) => {
                "is no size: write a number and a unit, such as `64MiB`; the units are B, KiB, MiB and GiB".to_owned()
            }
            (Some(other), _) => format!("is no {other}"),
            (None, _) => format!("can't be used{}", self.such_as()),
        }
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The value as YAML in one line.
fn flow(value: &Value) -> String {
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(entries) => {
            let entries: Vec<_> = entries.iter().map(|(key, value)| format!("{key}: {}", flow(value))).collect();
            format!("{{{}}}", entries.join(", "))
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// Whether the text means itself without quotes, also within `{…}`.
fn is_plain(text: &str) -> bool {
    let is_safe = |letter: char| letter.is_ascii_alphanumeric() || "-_./:".contains(letter);
    text.starts_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '/')
        && text.chars().all(is_safe)
        && text.contains(|letter: char| letter.is_ascii_alphabetic())
        && !text.ends_with(':')
}
