//! JSON lines in a file, exactly once, with a local checkpoint.
//!
//! A commit appends its lines and syncs them, then writes its checkpoint and the file's length to the journal and syncs
//! that. At a start, the file is cut to the length of the last commit: the rest is an unfinished commit of a crash, and
//! its pages are polled again. A reader that follows the file may have seen such lines. No other process may write to
//! the file. To rotate it, stop the bridge, and rotate the checkpoint together with the file.

use super::journal::{self, Journal};
use super::local::{self, Output, Session};
use super::{CommitError, Committer, Ownership, SinkError, offline};
use crate::config::CheckedFile;
use crate::finding::{CheckResult, Finding};
use bridge_core::ids::Topic;
use bridge_core::record::batch::{Batch, BatchLimits, CheckpointWrite, OutputTopic};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

/// Appends to the file; see [`open`].
#[derive(Debug)]
pub struct FileCommitter(Session<DataFile>);

#[derive(Debug)]
struct DataFile {
    path: PathBuf,
    data: File,
    journal: Journal,
}

/// Opens a session: all of the `shards` shards are assigned at once.
///
/// # Errors
/// `Setup` if another process uses the file or its checkpoint, if the checkpoint is damaged, or if file and checkpoint
/// don't belong together. `Unavailable` if the file system fails.
///
/// # Cancel safety
/// It may be called again after it was dropped.
pub async fn open(config: &CheckedFile, shards: NonZeroU32) -> Result<(FileCommitter, Ownership), SinkError> {
    let config = config.clone();
    let (session, ownership) = Session::open(shards, local::json_lines, move || DataFile::open(&config)).await?;
    Ok((FileCommitter(session), ownership))
}

/// Checks the file for records, and its checkpoint.
pub(super) async fn examine(sink: &CheckedFile) -> Vec<Finding> {
    let parent = |path: &Path| match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let file = |path: &Path, key: &str| match writable(&parent(path)) {
        Ok(()) => CheckResult::ok("its folder can be written"),
        Err((place, error)) => CheckResult::failed(
            format!("{} can't be written: {error}", place.display()),
            format!("give the bridge's user write access, or set another `sink.file.{key}`"),
        ),
    };
    let records = file(&sink.path, "path").of(format!("file {}", sink.path.display()));
    let checkpoint = match offline::is_held(&sink.checkpoint).await {
        Ok(true) => CheckResult::notice("a process uses it", "expected if the bridge runs here"),
        Ok(false) => file(&sink.checkpoint, "checkpoint"),
        Err(error) => error.into(),
    };
    vec![records, checkpoint.of(format!("checkpoint {}", sink.checkpoint.display()))]
}

/// Checks that files can be created in a folder. If it doesn't exist, checks the folder in which it would be created.
pub(crate) fn writable(folder: &Path) -> Result<(), (PathBuf, io::Error)> {
    let there = folder.ancestors().find(|ancestor| ancestor.exists()).unwrap_or_else(|| Path::new("."));
    // The test file has no name, or loses it at once.
    tempfile::tempfile_in(there).map(drop).map_err(|error| (there.to_owned(), error))
}

impl DataFile {
    fn open(CheckedFile { path, checkpoint }: &CheckedFile) -> Result<Self, SinkError> {
        let existed = checkpoint.try_exists().map_err(|error| journal::failed("check for", checkpoint, error))?;
        let data = journal::private(OpenOptions::new().append(true).create(true)).open(path);
        let data = data.map_err(|error| journal::failed("open", path, error))?;
        journal::lock_file(&data, path)?;
        let found = length(&data, path)?;
        // Before a journal is created: with an empty journal, the next start would cut the file to nothing.
        if !existed && found > 0 {
            return Err(mismatch(
                path,
                &format!("has {found} bytes, and its checkpoint {} is missing", checkpoint.display()),
            ));
        }
        let journal = Journal::open(checkpoint)?;
        let committed = journal.data_length();
        if found < committed {
            return Err(mismatch(path, &format!("has {found} bytes, fewer than the {committed} that were committed")));
        }
        let ready = data.set_len(committed).and_then(|()| data.sync_all()).and_then(|()| journal::sync_folder(path));
        ready.map_err(|error| journal::failed("cut and sync", path, error))?;
        Ok(Self { path: path.clone(), data, journal })
    }
}

impl Output for DataFile {
    fn journal(&self) -> &Journal {
        &self.journal
    }

    fn commit(&mut self, lines: &[u8], checkpoints: &[CheckpointWrite]) -> Result<(), CommitError> {
        let before = self.journal.data_length();
        let found = length(&self.data, &self.path).map_err(CommitError::Aborted)?;
        if found != before {
            return Err(CommitError::Fatal(mismatch(
                &self.path,
                &format!("has {found} bytes, not the {before} that were committed: somebody else wrote it"),
            )));
        }
        let written = self.data.write_all(lines).and_then(|()| self.data.sync_data());
        let result = match written {
            Ok(()) => self.journal.append(checkpoints, before + lines.len() as u64),
            Err(error) => Err(CommitError::Aborted(journal::failed("write", &self.path, error))),
        };
        match result {
            Err(CommitError::Aborted(error)) => match self.data.set_len(before) {
                Ok(()) => Err(CommitError::Aborted(error)),
                // The next start cuts the file.
                Err(_cut) => Err(CommitError::Fatal(error)),
            },
            other => other,
        }
    }
}

fn length(data: &File, path: &Path) -> Result<u64, SinkError> {
    data.metadata().map(|it| it.len()).map_err(|error| journal::failed("read the size of", path, error))
}

fn mismatch(path: &Path, problem: &str) -> SinkError {
    SinkError::Setup {
        problem: format!("{} {problem}", path.display()),
        remedy: "restore the file and the checkpoint of the same time, or move both away to start from scratch"
            .to_owned(),
    }
}

impl Committer for FileCommitter {
    fn batch_limits(&self) -> BatchLimits {
        local::BATCH_LIMITS
    }

    async fn output_topic(&mut self, _topic: &Topic) -> Result<OutputTopic, SinkError> {
        Ok(local::OUTPUT_TOPIC)
    }

    async fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        self.0.commit(batch).await
    }

    async fn close(self) {}
}
