//! JSON lines in a file, exactly once, with a local checkpoint.
//!
//! A commit appends its lines and syncs them. Then it writes the checkpoint, with the file's length and hash, and that is
//! synced too. At a start, the file's first part has to be what the checkpoint says. What comes after it is an unfinished
//! commit of a crash, and its pages are polled again; or the checkpoint is an older one. It is moved to another file. A
//! reader that follows the file may have seen such lines. No other process may write to the file. To rotate it, stop the
//! bridge, and rotate the checkpoint together with the file.

mod examine;

pub use examine::Comparison;
pub(crate) use examine::writable;
pub(super) use examine::{compare, examine};

use super::local::checkpoint::Checkpoint;
use super::local::committed::{Committed, Measure};
use super::local::{self, Output, Session, beside, failed, folder, lock_file, private, sync_folder};
use super::{CommitError, Committer, Ownership, SinkError};
use crate::config::CheckedFile;
use bridge_core::ids::Topic;
use bridge_core::record::batch::{Batch, BatchLimits, CheckpointWrite, OutputTopic};
use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::num::NonZeroU32;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

const TOGETHER: &str = "restore the file and the checkpoint of the same time, or move both away to start from scratch";

/// Appends to the file; see [`open`].
#[derive(Debug)]
pub struct FileCommitter(Session<DataFile>);

#[derive(Debug)]
struct DataFile {
    path: PathBuf,
    data: File,
    /// All that is committed.
    committed: Measure,
    checkpoint: Checkpoint,
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

impl DataFile {
    fn open(CheckedFile { path, checkpoint }: &CheckedFile) -> Result<Self, SinkError> {
        let data = private(OpenOptions::new().read(true).append(true).create(true)).open(path);
        let data = data.map_err(|error| failed("open", path, error))?;
        // Before the checkpoint is created: an empty one beside another bridge's file would have it moved away.
        lock_file(&data, path)?;
        let found = length(&data, path)?;
        let checkpoint = Checkpoint::open(checkpoint, || match found {
            0 => Ok(()),
            _ => Err(without_checkpoint(path, found, checkpoint)),
        })?;
        let committed = begins_with(&data, path, checkpoint.committed())?;
        keep_tail(&data, path, checkpoint.committed().bytes)?;
        data.sync_all().and_then(|()| sync_folder(path)).map_err(|error| failed("sync", path, error))?;
        Ok(Self { path: path.clone(), data, committed, checkpoint })
    }

    /// Checks that nobody else moved or wrote the file since the last commit.
    fn check_undisturbed(&self) -> Result<(), CommitError> {
        let of_path = std::fs::metadata(&self.path).map(|it| (it.dev(), it.ino()));
        let ours = self.data.metadata().map_err(|error| CommitError::Aborted(failed("check", &self.path, error)))?;
        let (found, committed) = (ours.len(), self.checkpoint.committed().bytes);
        let problem = if of_path.ok() != Some((ours.dev(), ours.ino())) {
            "was moved, deleted or replaced while the bridge used it".to_owned()
        } else if found != committed {
            format!("has {found} bytes, not the {committed} that were committed: somebody else wrote it")
        } else {
            return Ok(());
        };
        Err(CommitError::Fatal(SinkError::Tampered {
            problem: format!("{} {problem}", self.path.display()),
            remedy: TOGETHER.to_owned(),
        }))
    }
}

impl Output for DataFile {
    fn checkpoint(&mut self) -> &mut Checkpoint {
        &mut self.checkpoint
    }

    fn commit(&mut self, lines: &[u8], checkpoints: &[CheckpointWrite]) -> Result<(), CommitError> {
        self.check_undisturbed()?;
        let before = self.checkpoint.committed().bytes;
        let mut committed = self.committed.clone();
        committed.add(lines);
        let written = self.data.write_all(lines).and_then(|()| self.data.sync_data());
        let result = match written {
            Ok(()) => self.checkpoint.commit(checkpoints, committed.committed()),
            Err(error) => Err(CommitError::Aborted(failed("write", &self.path, error))),
        };
        match result {
            Ok(()) => {
                self.committed = committed;
                Ok(())
            }
            // The outcome is read at the next start.
            Err(error @ CommitError::Unknown(_)) => Err(error),
            Err(error) => match (self.data.set_len(before), error) {
                (Ok(()), error) => Err(error),
                (Err(_cut), CommitError::Aborted(error)) => Err(CommitError::Fatal(error)),
                (Err(_cut), error) => Err(error),
            },
        }
    }
}

fn length(data: &File, path: &Path) -> Result<u64, SinkError> {
    data.metadata().map(|it| it.len()).map_err(|error| failed("read the size of", path, error))
}

/// Checks that the file begins with what is committed.
fn begins_with(data: &File, path: &Path, committed: Committed) -> Result<Measure, SinkError> {
    let measure = Measure::of(data, 0, committed.bytes).map_err(|error| failed("read", path, error))?;
    let found = measure.committed();
    if found == committed {
        return Ok(measure);
    }
    let problem = if found.bytes < committed.bytes {
        format!("has {} bytes, fewer than the {committed} that were committed", found.bytes)
    } else {
        format!("doesn't begin with the {committed} that were committed")
    };
    Err(SinkError::Setup { problem: format!("{} {problem}", path.display()), remedy: TOGETHER.to_owned() })
}

fn without_checkpoint(path: &Path, found: u64, checkpoint: &Path) -> SinkError {
    SinkError::Setup {
        problem: format!(
            "{} has {found} bytes, and its checkpoint {} is missing",
            path.display(),
            checkpoint.display()
        ),
        remedy: "restore the checkpoint; or move the file away, to start from scratch and lose what changed since"
            .to_owned(),
    }
}

/// Moves what comes after the first `committed` bytes to a file of its own.
fn keep_tail(data: &File, path: &Path, committed: u64) -> Result<(), SinkError> {
    let tail = Measure::of(data, committed, u64::MAX).map_err(|error| failed("read", path, error))?.committed();
    if tail.bytes == 0 {
        return Ok(());
    }
    let kept = copy_tail(data, path, committed).map_err(|error| failed("copy the end of", path, error))?;
    data.set_len(committed).map_err(|error| failed("cut", path, error))?;
    tracing::warn!(
        path = %path.display(), records = tail.lines, bytes = tail.bytes, kept = %kept.display(),
        hint = "of a crash it is one unfinished commit, which is polled again; if it is more, the checkpoint is an older one",
        "records beyond the checkpoint moved to another file"
    );
    Ok(())
}

/// Copies the end of the file to a new file beside it, whose path is returned. It is on the disk then.
fn copy_tail(mut data: &File, path: &Path, from: u64) -> io::Result<PathBuf> {
    let mut copy = NamedTempFile::new_in(folder(path))?;
    data.seek(SeekFrom::Start(from))?;
    io::copy(&mut data, &mut copy)?;
    copy.as_file().sync_all()?;
    let mut number = 1;
    loop {
        let suffix = if number == 1 { String::new() } else { format!("-{number}") };
        let kept = beside(path, &format!(".uncommitted-{from}{suffix}"));
        match copy.persist_noclobber(&kept) {
            Ok(_) => return sync_folder(&kept).map(|()| kept),
            Err(taken) if taken.error.kind() == io::ErrorKind::AlreadyExists => copy = taken.file,
            Err(failed) => return Err(failed.error),
        }
        number += 1;
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
