//! Checks a file of records and its checkpoint without owning them, for `doctor` and `verify`.

use super::begins_with;
use crate::config::CheckedFile;
use crate::finding::{CheckResult, Finding};
use crate::sink::SinkError;
use crate::sink::local::checkpoint::{self, Content};
use crate::sink::local::committed::Measure;
use crate::sink::local::{failed, folder};
use serde::Serialize;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use tokio::task::spawn_blocking;

/// How a file of records compares with its checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// The path of the checkpoint. If there is none, records may be missing at the file's end, and nothing shows it.
    pub checkpoint: Option<PathBuf>,
    /// The number of records that are committed.
    pub committed: u64,
    /// Why the file isn't what was committed, for people.
    pub problem: Option<String>,
}

/// Compares a file with its checkpoint. A bridge may use both at the same time. That there is no checkpoint is a problem
/// only if it is `required`.
///
/// # Errors
/// `Unavailable` if the file system fails.
///
/// # Cancel safety
/// Cancel safe: it only reads.
pub(in crate::sink) async fn compare(file: &CheckedFile, required: bool) -> Result<Comparison, SinkError> {
    let file = file.clone();
    let compared = spawn_blocking(move || compare_now(file, required)).await;
    compared.unwrap_or_else(|error| Err(SinkError::unavailable("compare the file with its checkpoint", error)))
}

fn compare_now(CheckedFile { path, checkpoint }: CheckedFile, required: bool) -> Result<Comparison, SinkError> {
    let was_held = checkpoint::is_held(&checkpoint)?;
    // Read before the file: the bridge writes the file first.
    let content = match checkpoint::peek(&checkpoint) {
        Ok(content) => content,
        Err(SinkError::Setup { problem, .. }) => {
            return Ok(Comparison { checkpoint: Some(checkpoint), committed: 0, problem: Some(problem) });
        }
        Err(error) => return Err(error),
    };
    let data = File::open(&path).map_err(|error| failed("open", &path, error))?;
    let Some(Content { committed, .. }) = content else {
        let problem = if required {
            Some(format!("{} has no checkpoint: {} is missing", path.display(), checkpoint.display()))
        } else {
            ends_within_a_line(&data)
                .map_err(|error| failed("read", &path, error))?
                .then(|| format!("{} ends within a line", path.display()))
        };
        return Ok(Comparison { problem, ..Comparison::default() });
    };
    let problem = match begins_with(&data, &path, committed) {
        Ok(_) => {
            let tail = Measure::of(&data, committed.bytes, u64::MAX).map_err(|error| failed("read", &path, error))?;
            let tail = tail.committed();
            // A running bridge may be about to commit them.
            let is_pending = tail.bytes == 0 || was_held || checkpoint::is_held(&checkpoint)?;
            (!is_pending).then(|| {
                let path = path.display();
                format!("{path} has {tail} more than were committed: the next start moves them to another file")
            })
        }
        Err(SinkError::Setup { problem, .. }) => Some(problem),
        Err(error) => return Err(error),
    };
    Ok(Comparison { checkpoint: Some(checkpoint), committed: committed.lines, problem })
}

fn ends_within_a_line(mut data: &File) -> io::Result<bool> {
    let mut last = Vec::new();
    let length = data.seek(SeekFrom::End(0))?;
    data.seek(SeekFrom::Start(length.saturating_sub(1)))?;
    data.read_to_end(&mut last)?;
    Ok(last.last().is_some_and(|byte| *byte != b'\n'))
}

/// Checks the file for records, and its checkpoint.
pub(in crate::sink) async fn examine(sink: &CheckedFile) -> Vec<Finding> {
    let CheckedFile { path, checkpoint } = sink;
    let file = |path: &Path, key: &str| match writable(folder(path)) {
        Ok(()) => CheckResult::ok("its folder can be written"),
        Err((place, error)) => CheckResult::failed(
            format!("{} can't be written: {error}", place.display()),
            format!("give the bridge's user write access, or set another `sink.file.{key}`"),
        ),
    };
    let records = file(path, "path").of(format!("file {}", path.display()));
    let checked = match super::local::is_held(checkpoint).await {
        Ok(true) => CheckResult::notice("a process uses it", "expected if the bridge runs here"),
        Ok(false) => match mismatch(sink).await {
            Ok(None) => file(checkpoint, "checkpoint"),
            Ok(Some(problem)) => CheckResult::failed(problem, super::TOGETHER),
            Err(error) => error.into(),
        },
        Err(error) => error.into(),
    };
    vec![records, checked.of(format!("checkpoint {}", checkpoint.display()))]
}

/// Why a session can't begin with this file and this checkpoint. Without both, it is a first start.
async fn mismatch(sink: &CheckedFile) -> Result<Option<String>, SinkError> {
    let has_records = std::fs::metadata(&sink.path).is_ok_and(|file| file.len() > 0);
    if !sink.checkpoint.exists() && !has_records {
        return Ok(None);
    }
    compare(sink, true).await.map(|it| it.problem)
}

/// Checks that files can be created in a folder. If it doesn't exist, checks the folder in which it would be created.
pub(crate) fn writable(folder: &Path) -> Result<(), (PathBuf, io::Error)> {
    let there = folder.ancestors().find(|ancestor| ancestor.exists()).unwrap_or_else(|| Path::new("."));
    // The test file has no name, or loses it at once.
    tempfile::tempfile_in(there).map(drop).map_err(|error| (there.to_owned(), error))
}
