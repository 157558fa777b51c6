//! The reference of all keys in `docs/configuration.md`, generated from the schema.

use super::schema::{Part, schema};
use serde_json::Value;
use std::fmt::{self, Write as _};
use std::path::Path;

#[test]
fn the_reference_of_the_configuration_is_up_to_date() {
    check_part("docs/configuration.md", &markdown());
}

/// Compares what stands between two marks of a document with what should, or writes it under `UPDATE=1`.
pub(crate) fn check_part(document: &str, fresh: &str) {
    const BEGIN: &str = "make generate -->\n";
    const END: &str = "<!-- End of what is generated -->";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
    let committed = std::fs::read_to_string(&path).expect("the document is there");
    let (before, rest) = committed.split_once(BEGIN).expect("the mark before it");
    let (_, after) = rest.split_once(END).expect("the mark behind it");
    let fresh = format!("{before}{BEGIN}\n{fresh}{END}{after}");
    if committed != fresh && std::env::var_os("UPDATE").is_some() {
        return std::fs::write(&path, fresh).expect("write the document");
    }
    assert!(committed == fresh, "{document} is out of date: run `make generate`");
}

/// A Markdown table for each object of the configuration: keys, types, defaults, meanings.
fn markdown() -> String {
    let mut text = String::new();
    match Part::root().map(|root| object(&mut text, root, "")) {
        // Writing to a `String` can't fail.
        Some(Ok(()) | Err(fmt::Error)) | None => text,
    }
}

fn object(text: &mut String, part: Part, path: &str) -> fmt::Result {
    let mut inner = Vec::new();
    let heading = if path.is_empty() { "The file".to_owned() } else { format!("`{path}`") };
    writeln!(text, "### {heading}\n")?;
    if let Some(description) = part.text("description") {
        writeln!(text, "{}\n", one_line(description))?;
    }
    writeln!(text, "| key | type | default | meaning |\n| --- | --- | --- | --- |")?;
    for (key, node) in part.keys() {
        let Some(value) = part.key(key) else { continue };
        let (kind, nested) = kind_of(value);
        if let Some((suffix, nested)) = nested {
            let dot = if path.is_empty() { "" } else { "." };
            inner.push((format!("{path}{dot}{key}{suffix}"), nested));
        }
        let default = match node.get("default") {
            _ if part.requires(key) => "**required**".to_owned(),
            Some(Value::Object(_)) | None => String::new(),
            Some(Value::String(default)) => format!("`{default}`"),
            Some(default) => format!("`{default}`"),
        };
        let meaning = node.get("description").and_then(Value::as_str).or_else(|| value.text("description"));
        writeln!(text, "| `{key}` | {kind} | {default} | {} |", one_line(meaning.unwrap_or_default()))?;
    }
    writeln!(text)?;
    for (path, nested) in inner {
        // A secret is the same two keys wherever it is.
        if !nested.is_secret() {
            object(text, nested, &path)?;
        }
    }
    if path.is_empty() {
        let secret = schema().pointer("/$defs/SecretConfig").and_then(Part::of);
        secret.map_or(Ok(()), |secret| object(text, secret, "secret"))?;
    }
    Ok(())
}

/// The type in words, and the object within it with the suffix of its key in a path.
fn kind_of(value: Part) -> (String, Option<(&'static str, Part)>) {
    if value.is_secret() {
        return ("[secret](#secret)".to_owned(), Some(("", value)));
    }
    if let Some(item) = value.items() {
        let (kind, nested) = kind_of(item);
        return (format!("list of {kind}"), nested.map(|(_, nested)| ("[]", nested)));
    }
    if let Some(entry) = value.any_key() {
        let (kind, nested) = kind_of(entry);
        return (format!("{kind} by name"), nested.map(|(_, nested)| (".NAME", nested)));
    }
    if let Some(choices) = value.choices() {
        return (format!("`{}`", choices.join("` or `")), None);
    }
    match (value.text("type"), value.text("format")) {
        (Some("object"), _) => ("object".to_owned(), Some(("", value))),
        (_, Some("time-span")) => ("time span".to_owned(), None),
        (_, Some("byte-size")) => ("size".to_owned(), None),
        (kind, _) => (kind.unwrap_or("any").to_owned(), None),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
