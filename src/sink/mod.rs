//! The sinks that records are written to: one atomic commit at a time, fenced by ownership.
//!
//! A *session* is the life of one client of the bus: each sink's `open` begins it, any error but
//! [`CommitError::Aborted`] ends it, and the next one restores the shards that it owns from the bus. Shards come and go
//! within a session. A session has two handles: the [`Committer`] writes, and the [`Ownership`] reports which shards
//! this replica may write.

pub mod admission;
pub mod any;
mod cloud_events;
pub mod console;
pub mod file;
pub mod kafka;
mod local;
pub mod nats;
pub mod reader;

use crate::finding::CheckResult;
use bridge_core::ids::{ShardId, Topic};
use bridge_core::record::batch::{Batch, BatchLimits, OutputTopic, StoredCheckpoint};
use tokio::sync::{mpsc, oneshot};

/// Writes batches. There is one per session, and it is the only writer.
pub trait Committer: Send {
    /// What one batch may have.
    fn batch_limits(&self) -> BatchLimits;

    /// The lanes and the maximum message size of an output topic, which is created or checked first.
    ///
    /// # Errors
    /// [`SinkError`] says what to do. The session ends.
    ///
    /// # Cancel safety
    /// It may be called again after it was dropped.
    fn output_topic(&mut self, topic: &Topic) -> impl Future<Output = Result<OutputTopic, SinkError>> + Send;

    /// Writes the batch to the bus, all or nothing.
    ///
    /// # Errors
    /// The variant says what to do, see [`CommitError`].
    ///
    /// # Cancel safety
    /// Not cancel safe: await it to its end. If it is dropped before, the outcome is unknown.
    fn commit(&mut self, batch: &Batch) -> impl Future<Output = Result<(), CommitError>> + Send;

    /// Ends the session gracefully: releases ownership so that another replica can take over at once.
    ///
    /// # Cancel safety
    /// If it is dropped before its end, other replicas take over after the timeouts of the bus.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// The changes of this replica's ownership, in order. When the channel is closed, the session ends.
pub type Ownership = mpsc::Receiver<OwnershipEvent>;

/// A change of ownership.
#[derive(Debug)]
pub enum OwnershipEvent {
    /// This replica owns these shards now. Their checkpoints are as stored on the bus.
    Assigned(Vec<(ShardId, StoredCheckpoint)>),
    /// Release these shards gracefully: commit what is staged, write no more, then answer.
    Revoked {
        /// The shards to release.
        shards: Vec<ShardId>,
        /// To be answered (or dropped) when nothing more will be written for them.
        done: oneshot::Sender<()>,
    },
    /// Another replica already owns these shards: drop what is staged.
    Lost(Vec<ShardId>),
    /// The stored checkpoints of these shards were deleted from the bus, wholly or in part: write them again.
    Emptied(Vec<ShardId>),
    /// Ownership failed, and the session ends.
    Failed(SinkError),
}

/// Why a commit failed. Each variant requires another action of the caller.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Certainly not on the bus. Write the same records again after a pause, without those of shards that were revoked
    /// or lost. Such a change is in the [`Ownership`] channel by then, or soon will be.
    #[error("the commit was aborted: {0}")]
    Aborted(#[source] SinkError),
    /// The outcome is unknown: drop everything, and restore from the bus.
    #[error("the outcome of the commit is unknown: {0}")]
    Unknown(#[source] SinkError),
    /// Certainly not on the bus, because another client has replaced this one. A new session is needed. Not an error.
    #[error("another client has taken this one's place: {0}")]
    Fenced(#[source] SinkError),
    /// The client can't be used any more. A new session is needed.
    #[error("the client of the bus failed: {0}")]
    Fatal(#[source] SinkError),
}

impl CommitError {
    /// A constant name, for metrics and logs.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Aborted(_) => "aborted",
            Self::Unknown(_) => "unknown",
            Self::Fenced(_) => "fenced",
            Self::Fatal(_) => "fatal",
        }
    }
}

/// An error of the bus.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The bus can't be reached, or didn't answer in time: retry.
    #[error("{action}: {source}{}", .remedy.map(|remedy| format!("; {remedy}")).unwrap_or_default())]
    Unavailable {
        /// What was tried, for people.
        action: String,
        /// The client's own error.
        source: Box<dyn std::error::Error + Send + Sync>,
        /// What to do if the error persists, if more is known than that.
        remedy: Option<&'static str>,
    },
    /// Credentials or certificates can't be used, or the bus rejects them. During a rotation that may pass: retry if
    /// they worked before.
    #[error("{problem}; {remedy}")]
    Refused {
        /// What is wrong, with names and values, but without secrets.
        problem: String,
        /// What to do if the error persists.
        remedy: String,
    },
    /// The setup of the bus isn't as the bridge needs it. A retry doesn't help until the operator acts.
    #[error("{problem}; {remedy}")]
    Setup {
        /// What is wrong, with names and values.
        problem: String,
        /// What the operator has to do.
        remedy: String,
    },
    /// Somebody else moved, replaced or wrote what only this process may write. The bridge ends, because a new session
    /// could take something else for its own.
    #[error("{problem}; {remedy}")]
    Tampered {
        /// What was found, with names and values.
        problem: String,
        /// What the operator has to do.
        remedy: String,
    },
    /// The reader of standard output is gone, as in `… | head -1`: the bridge ends, and that is no failure.
    #[error("the reader of standard output is gone")]
    ReaderGone,
}

impl SinkError {
    /// Creates an [`Unavailable`](Self::Unavailable).
    pub fn unavailable(action: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unavailable { action: action.into(), source: source.into(), remedy: None }
    }

    /// Creates an [`Unavailable`](Self::Unavailable) with a remedy.
    pub(crate) fn unreached(
        action: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
        remedy: &'static str,
    ) -> Self {
        Self::Unavailable { action: action.into(), source: source.into(), remedy: Some(remedy) }
    }
}

impl From<SinkError> for CheckResult {
    fn from(error: SinkError) -> Self {
        match error {
            SinkError::Unavailable { action, source, remedy } => Self::failed(
                format!("{action}: {source}"),
                remedy.unwrap_or("check that it runs and can be reached from here"),
            ),
            SinkError::Refused { problem, remedy }
            | SinkError::Setup { problem, remedy }
            | SinkError::Tampered { problem, remedy } => Self::Failed { problem, remedy },
            SinkError::ReaderGone => Self::failed(error.to_string(), "start it again with a reader"),
        }
    }
}
