//! The commands `check-config` and `config-schema`.

use super::exit::{Exit, Failure};
use crate::config::{self, Environment, Source};
use std::io::Write as _;
use std::path::Path;

pub(super) fn config(file: &Path) -> Result<Exit, Box<dyn Failure>> {
    let checked = config::load(&Source::file(file), &Environment::of_process())?;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{} is ok: {}, {}, sink {}",
        file.display(),
        count(checked.streams.len(), "stream"),
        count(checked.accounts.len(), "account"),
        checked.sink.name()
    )?;
    for warning in checked.warnings {
        writeln!(out, "warning: {warning}")?;
    }
    Ok(Exit::Ok)
}

pub(super) fn schema() -> Result<Exit, Box<dyn Failure>> {
    let schema = serde_json::to_string_pretty(config::schema())?;
    writeln!(std::io::stdout(), "{schema}")?;
    Ok(Exit::Ok)
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
