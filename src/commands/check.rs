//! The commands `check-config` and `config-schema`.

use super::Output;
use super::exit::{Exit, Failure};
use crate::config::{self, Checked, Environment, Problems, Source};
use serde::Serialize;
use std::fmt;
use std::io::Write as _;
use std::path::Path;

/// The result of `check-config`.
#[derive(Debug, Serialize)]
struct Report {
    file: String,
    is_ok: bool,
    /// What the configuration has, if it has no problems.
    #[serde(flatten)]
    summary: Option<Summary>,
    warnings: Vec<String>,
    problems: Vec<Problem>,
}

#[derive(Debug, Serialize)]
struct Summary {
    streams: usize,
    accounts: usize,
    sink: &'static str,
}

#[derive(Debug, Serialize)]
struct Problem {
    /// The path of a key, or the name of a variable.
    place: String,
    /// Where it is in the file, if it is there.
    line: Option<u64>,
    column: Option<u64>,
    message: String,
}

/// As text, problems are an error, with its form on standard error. As JSON they are the result.
pub(super) fn config(file: &Path, output: Output) -> Result<Exit, Box<dyn Failure>> {
    let file_name = file.display().to_string();
    let report = match config::load(&Source::file(file), &Environment::of_process()) {
        Err(problems) if output == Output::Text => return Err(problems.into()),
        Err(problems) => Report::failed(file_name, &problems),
        Ok(checked) => Report::ok(file_name, checked),
    };
    output.show(&report)?;
    Ok(if report.is_ok { Exit::Ok } else { Exit::Usage })
}

impl Report {
    fn ok(file: String, checked: Checked) -> Self {
        let Checked { streams, accounts, sink, warnings, .. } = checked;
        let summary = Summary { streams: streams.len(), accounts: accounts.len(), sink: sink.name() };
        Self { file, is_ok: true, summary: Some(summary), warnings, problems: Vec::new() }
    }

    fn failed(file: String, problems: &Problems) -> Self {
        let problem = |it: &config::Problem| Problem {
            place: it.place(),
            line: it.mark().map(|mark| mark.line),
            column: it.mark().map(|mark| mark.column),
            message: it.message().to_owned(),
        };
        let problems = problems.iter().map(problem).collect();
        Self { file, is_ok: false, summary: None, warnings: Vec::new(), problems }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Summary { streams, accounts, sink }) = &self.summary {
            let (streams, accounts) = (count(*streams, "stream"), count(*accounts, "account"));
            writeln!(f, "{} is ok: {streams}, {accounts}, sink {sink}", self.file)?;
        }
        // Problems aren't shown here: as text, they are an error.
        self.warnings.iter().try_for_each(|warning| writeln!(f, "warning: {warning}"))
    }
}

pub(super) fn schema() -> Result<Exit, Box<dyn Failure>> {
    let schema = serde_json::to_string_pretty(config::schema())?;
    writeln!(std::io::stdout(), "{schema}")?;
    Ok(Exit::Ok)
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
