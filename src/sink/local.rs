//! What the local sinks have in common: one process that owns every shard, and one lane.

use super::journal::Journal;
use super::{CommitError, Ownership, OwnershipEvent, SinkError};
use bridge_contract::line::Line;
use bridge_core::ids::Topic;
use bridge_core::record::batch::{Batch, BatchLimits, CheckpointWrite, Message, OutputTopic, Target};
use std::num::NonZeroU32;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

/// One lane, so that the lines of all resources have one order, and no limit of size.
pub(super) const OUTPUT_TOPIC: OutputTopic = OutputTopic { lanes: NonZeroU32::MIN, message_bytes: usize::MAX };

/// A batch is one write.
pub(super) const BATCH_LIMITS: BatchLimits = BatchLimits { messages: usize::MAX, spans_shards: true };

/// The output for lines, and its journal.
pub(super) trait Output: Send + 'static {
    fn journal(&self) -> &Journal;
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
            let output = open()?;
            let checkpoints = output.journal().checkpoints(shards)?;
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
