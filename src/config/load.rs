//! Loads a file or flags into [`Checked`].

use super::environment::Environment;
use super::problem::{Mark, Marks, Place, Problems};
use super::{Checked, CheckedReading, ConsoleOutput, check, document, yaml};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Where the configuration comes from: a file, flags, or flags over a file.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The file. Without a file: the account `main` with the token in `ASANA_TOKEN`, Asana at
    /// `ASANA_BASE_URL` if that is set, and the console as sink.
    pub file: Option<PathBuf>,
    /// A document, instead of a file.
    pub document: Option<Value>,
    /// A local sink, instead of the sink in the file.
    pub sink: Option<LocalSink>,
    /// The form of the console sink's lines, instead of the form in the file. An error with another sink.
    pub output: Option<ConsoleOutput>,
    /// Gids of tasks, projects or goals. If there are any, or any `workspaces`, they replace
    /// the streams of the file.
    pub resources: Vec<String>,
    /// Gids of workspaces, to poll them as a whole.
    pub workspaces: Vec<String>,
}

/// A sink that needs no bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalSink {
    /// Lines on standard output.
    Console,
    /// JSON lines in `asana-events.jsonl` in the working directory.
    File,
}

impl Source {
    /// A file without flags.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { file: Some(path.into()), ..Self::default() }
    }
}

/// Reads and checks the whole configuration. Reads the files of secrets, and connects to nothing.
///
/// # Errors
/// All problems, each with its place.
pub fn load(source: &Source, environment: &Environment) -> Result<Checked, Problems> {
    let Text { mut document, mut marks, problems: mut found } = match (&source.document, &source.file) {
        (Some(document), _) => document.clone().into(),
        (None, Some(path)) => read(path)?,
        (None, None) => without_file(environment).into(),
    };
    let flagged = apply_flags(&mut document, source);
    let (config, mut problems) = document::read(document, environment, &mut marks);
    problems.add_unless_known(flagged);
    let checked = config.and_then(|config| {
        let (checked, found) = check::check(config, environment);
        problems.add_unless_known(found);
        checked
    });
    found.append(problems);
    found.or(checked, &marks).map_err(|problems| problems.of(source.file.as_deref()))
}

/// Reads and checks what a reader of the records needs of the file: it may have a `sink` section alone. The credentials of accounts
/// aren't read.
///
/// # Errors
/// All problems, each with its place.
pub fn load_reading(path: &Path, environment: &Environment) -> Result<CheckedReading, Problems> {
    let Text { mut document, mut marks, problems: mut found } = read(path)?;
    if let Some(document) = document.as_object_mut() {
        // What readers don't need isn't checked, so that it may name secrets and variables that they don't have.
        document.retain(|key, _| !NOT_FOR_READERS.contains(&key.as_str()));
        document.insert("accounts".to_owned(), json!({}));
    }
    let (config, mut problems) = document::read(document, environment, &mut marks);
    let checked = config.and_then(|config| {
        let (checked, found) = check::check_reading(config, environment);
        problems.add_unless_known(found);
        checked
    });
    found.append(problems);
    found.or(checked, &marks).map_err(|problems| problems.of(Some(path)))
}

/// The keys of the file that matter to the bridge only.
const NOT_FOR_READERS: [&str; 7] = ["accounts", "insecureHosts", "polling", "crawl", "index", "admin", "webhooks"];

/// What a file says, where it says it, and keys that it says twice.
#[derive(Debug, Default)]
struct Text {
    document: Value,
    marks: Marks,
    problems: Problems,
}

impl From<Value> for Text {
    fn from(document: Value) -> Self {
        Self { document, ..Self::default() }
    }
}

fn read(path: &Path) -> Result<Text, Problems> {
    let parsed = match std::fs::read(path).map(String::from_utf8) {
        Ok(Ok(text)) => yaml::parse(&text),
        Ok(Err(error)) => {
            let before = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
            let line = before.split(|byte| *byte == b'\n').count() as u64;
            let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() as u64 + 1;
            let mut problems = Problems::default();
            problems.add_at(Mark { line, column }, "is no text in UTF-8: save the file in this encoding");
            Err(problems)
        }
        Err(error) => {
            let mut problems = Problems::default();
            problems.add(Place::default(), format!("the file can't be read: {}", check::unreadable(&error)));
            Err(problems)
        }
    };
    let text = parsed.map(|(document, marks, problems)| Text { document, marks, problems });
    text.map_err(|problems| problems.of(Some(path)))
}

fn without_file(environment: &Environment) -> Value {
    let mut account = json!({ "token": { "env": "ASANA_TOKEN" } });
    if let (Some(url), Some(account)) = (environment.get("ASANA_BASE_URL"), account.as_object_mut()) {
        account.insert("baseUrl".to_owned(), url.into());
    }
    json!({ "accounts": { "main": account }, "streams": [], "sink": { "console": {} } })
}

fn apply_flags(document: &mut Value, source: &Source) -> Problems {
    let mut problems = Problems::default();
    let Some(document) = document.as_object_mut() else { return problems };
    if let Some(sink) = source.sink {
        let sink = match sink {
            LocalSink::Console => json!({ "console": {} }),
            LocalSink::File => json!({ "file": { "path": "asana-events.jsonl" } }),
        };
        document.insert("sink".to_owned(), sink);
    }
    if let Some(output) = source.output {
        match document.get_mut("sink").and_then(|sink| sink.get_mut("console")).and_then(Value::as_object_mut) {
            Some(console) => drop(console.insert("output".to_owned(), json!(output))),
            None => problems.add_variable("--output", "is for the console sink: add `--sink console`"),
        }
    }
    let resources = source.resources.iter().map(|gid| json!({ "resource": gid }));
    let streams: Vec<Value> =
        resources.chain(source.workspaces.iter().map(|gid| json!({ "workspace": gid }))).collect();
    if !streams.is_empty() {
        document.insert("streams".to_owned(), streams.into());
        document.remove("discovery");
    }
    problems
}
