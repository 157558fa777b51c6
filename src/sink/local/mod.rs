//! What the local sinks have in common: one process that owns every shard, one lane, and a checkpoint in a file.

pub(super) mod checkpoint;
pub(super) mod committed;

use super::{CommitError, Ownership, OwnershipEvent, SinkError};
use bridge_contract::line::Line;
use bridge_core::ids::{ShardId, Topic};
use bridge_core::record::batch::{Batch, BatchLimits, CheckpointWrite, Message, OutputTopic, StoredCheckpoint, Target};
use checkpoint::Checkpoint;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

/// One lane, so that the lines of all resources have one order, and no limit of size.
pub(super) const OUTPUT_TOPIC: OutputTopic = OutputTopic { lanes: NonZeroU32::MIN, message_bytes: usize::MAX };

/// A batch is one write.
pub(super) const BATCH_LIMITS: BatchLimits = BatchLimits { messages: usize::MAX, spans_shards: true };

/// The output for lines, and its checkpoint.
pub(super) trait Output: Send + 'static {
    fn checkpoint(&mut self) -> &mut Checkpoint;
    fn commit(&mut self, lines: &[u8], checkpoints: &[CheckpointWrite]) -> Result<(), CommitError>;
}

/// A batch as the lines of an output.
pub(super) type Lines = fn(&Batch) -> Result<Vec<u8>, CommitError>;

/// A session on an output.
#[derive(Debug)]
pub(super) struct Session<O> {
    /// Absent while a commit runs. It stays absent if a commit was dropped before its end.
    output: Option<O>,
    lines: Lines,
    /// Sends nothing more, unless the output ends. It is closed with the session.
    ownership: mpsc::Sender<OwnershipEvent>,
}

impl<O: Output> Session<O> {
    /// Opens the output and assigns all of the `shards` shards.
    pub(super) async fn open(
        shards: NonZeroU32,
        lines: Lines,
        open: impl FnOnce() -> Result<O, SinkError> + Send + 'static,
    ) -> Result<(Self, Ownership), SinkError> {
        let opened = spawn_blocking(move || {
            let mut output = open()?;
            let checkpoints = output.checkpoint().entries(shards)?;
            Ok((output, checkpoints))
        });
        let (output, checkpoints) =
            opened.await.unwrap_or_else(|error| Err(SinkError::unavailable("could not open the output", error)))?;
        let (sender, ownership) = mpsc::channel(1);
        sender
            .try_send(OwnershipEvent::Assigned(checkpoints))
            .map_err(|error| SinkError::unavailable("could not assign the shards", error.to_string()))?;
        Ok((Self { output: Some(output), lines, ownership: sender }, ownership))
    }

    /// Where the session is told of its end.
    pub(super) fn ownership(&self) -> mpsc::Sender<OwnershipEvent> {
        self.ownership.clone()
    }

    pub(super) async fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        let lines = (self.lines)(batch)?;
        let checkpoints = batch.checkpoints.clone();
        let unknown =
            |why: String| CommitError::Unknown(SinkError::unavailable("a commit did not come to its end", why));
        let mut output = self.output.take().ok_or_else(|| unknown("it was dropped".to_owned()))?;
        let committed = spawn_blocking(move || {
            let result = output.commit(&lines, &checkpoints);
            (output, result)
        });
        let (output, result) = committed.await.map_err(|error| unknown(error.to_string()))?;
        self.output = Some(output);
        result
    }
}

/// One JSON object for each record.
pub(super) fn json_lines(batch: &Batch) -> Result<Vec<u8>, CommitError> {
    lines(batch, |lines, topic, partition, message| {
        Line::write(lines, topic, partition, message.key.as_str(), &message.value).map_err(|error| error.to_string())
    })
}

/// What `write` appends for each message, with its topic and lane, or why it can't.
pub(super) fn lines(
    batch: &Batch,
    write: impl Fn(&mut Vec<u8>, &Topic, u32, &Message) -> Result<(), String>,
) -> Result<Vec<u8>, CommitError> {
    let mut lines = Vec::new();
    for message in &batch.messages {
        let written = match &message.target {
            Target::Lane { topic, partition } => write(&mut lines, topic, *partition, message),
            Target::DeadLetter => Err("no message is too large for a local sink".to_owned()),
        };
        written.map_err(|why| {
            CommitError::Fatal(SinkError::unavailable(format!("could not write record {}", message.attributes.id), why))
        })?;
    }
    Ok(lines)
}

/// The stored checkpoint at `path`, for those shards that have one; none if the file is missing. A bridge may use it at
/// the same time.
///
/// # Errors
/// `Setup` if it is damaged, `Unavailable` if the file system fails.
pub(super) async fn stored(path: &Path) -> Result<BTreeMap<ShardId, StoredCheckpoint>, SinkError> {
    Ok(on_thread(path, checkpoint::peek).await?.map(|content| content.entries).unwrap_or_default())
}

/// Whether a process uses the checkpoint at `path`.
///
/// # Errors
/// `Unavailable` if the file system fails.
pub(super) async fn is_held(path: &Path) -> Result<bool, SinkError> {
    on_thread(path, checkpoint::is_held).await
}

async fn on_thread<T: Send + 'static>(
    path: &Path,
    look: impl FnOnce(&Path) -> Result<T, SinkError> + Send + 'static,
) -> Result<T, SinkError> {
    let path = path.to_owned();
    let looked = spawn_blocking(move || look(&path)).await;
    looked.unwrap_or_else(|error| Err(SinkError::unavailable("read the checkpoint", error)))
}

/// Makes the entries of a file's folder durable.
pub(super) fn sync_folder(of: &Path) -> io::Result<()> {
    File::open(folder(of))?.sync_all()
}

/// The folder that a file is in.
pub(super) fn folder(of: &Path) -> &Path {
    of.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// The path with something behind its name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// A file that is created can be read by this process's user alone: it has names of tasks, or sync tokens.
pub(super) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600)
}

/// Takes a file for this process alone, until it is closed.
pub(super) fn lock_file(file: &File, path: &Path) -> Result<(), SinkError> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => SinkError::Setup {
            problem: format!("another process holds {}", path.display()),
            remedy: "stop it, or give each its own `path` and `checkpoint`".to_owned(),
        },
        TryLockError::Error(error) => failed("lock", path, error),
    })
}

/// The error for a failure of the file system.
pub(super) fn failed(
    action: &str,
    path: &Path,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> SinkError {
    SinkError::unavailable(format!("could not {action} {}", path.display()), error)
}
