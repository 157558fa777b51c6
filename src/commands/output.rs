//! The output of results, for people and for scripts.

use crate::escape::printable;
use serde::Serialize;
use std::fmt::Display;
use std::io::{self, Write as _};

/// The format of a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// Text for people
    #[default]
    Text,
    /// One line of JSON, for scripts
    Json,
}

impl Output {
    /// Writes a result to standard output: as its text, or as one line of JSON.
    pub(super) fn show(self, result: &(impl Display + Serialize)) -> io::Result<()> {
        let mut out = io::stdout();
        match self {
            Self::Text => result.to_string().lines().try_for_each(|line| writeln!(out, "{}", printable(line))),
            Self::Json => writeln!(out, "{}", serde_json::to_string(result)?),
        }
    }
}
