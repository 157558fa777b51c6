//! Where records go: one atomic commit at a time, fenced by ownership.
//!
//! A *session* is the life of one client of the bus: each sink's `open` begins it, any
//! error but [`CommitError::Aborted`] ends it, and the next one restores what it
//! owns from the bus. Shards come and go within a session. Two handles come out: the [`Committer`] writes, the
//! [`Ownership`] says which shards this replica may write.

pub mod any;
mod cloud_events;
pub mod console;
pub mod file;
mod journal;
pub mod kafka;
mod local;
pub mod nats;
pub mod offline;
pub mod reader;

use crate::finding::Verdict;
use bridge_core::ids::{ShardId, Topic};
use bridge_core::record::batch::{Batch, OutputTopic, StoredCheckpoint};
use tokio::sync::{mpsc, oneshot};

/// Writes batches. One per session, and nobody else writes.
pub trait Committer: Send {
    /// How many messages and checkpoints a batch should have at most. One page may exceed it.
    fn batch_messages(&self) -> usize;

    /// What is to be known of an output topic, which is made or checked first.
    ///
    /// # Errors
    /// [`SinkError`] says what to do; the session ends.
    ///
    /// # Cancel safety
    /// May be called again after it was dropped.
    fn output_topic(&mut self, topic: &Topic) -> impl Future<Output = Result<OutputTopic, SinkError>> + Send;

    /// Makes the batch durable, all of it or nothing.
    ///
    /// # Errors
    /// By kind, see [`CommitError`].
    ///
    /// # Cancel safety
    /// None: it is awaited to its end. Dropped half-way, the outcome is unknown.
    fn commit(&mut self, batch: &Batch) -> impl Future<Output = Result<(), CommitError>> + Send;

    /// Ends the session in order: gives up ownership so that a peer has it at once.
    ///
    /// # Cancel safety
    /// Dropped half-way, peers take over after the time-outs of the bus.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// What becomes of this replica's shards, in order. The channel's end is the session's end.
pub type Ownership = mpsc::Receiver<OwnershipEvent>;

/// A change of what this replica owns.
#[derive(Debug)]
pub enum OwnershipEvent {
    /// These shards are this replica's now, with their checkpoints as the bus has them.
    Assigned(Vec<(ShardId, StoredCheckpoint)>),
    /// Give these shards up, in order: commit what is staged, write no more, then answer.
    Revoked {
        /// Which.
        shards: Vec<ShardId>,
        /// Answered (or dropped) when nothing more will be written for them.
        done: oneshot::Sender<()>,
    },
    /// These shards are somebody else's already: drop what is staged.
    Lost(Vec<ShardId>),
    /// Ownership can't go on: the session ends.
    Failed(SinkError),
}

/// Why a commit didn't return with success: one variant for each thing that the caller can do.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Surely not on the bus: write the same records again, after a pause, without those of shards that
    /// were revoked or lost. Such a change is in the [`Ownership`] channel by then, or soon will be.
    #[error("the commit was aborted: {0}")]
    Aborted(#[source] SinkError),
    /// May or may not be on the bus: drop everything and restore from there.
    #[error("the outcome of the commit is unknown: {0}")]
    Unknown(#[source] SinkError),
    /// Surely not on the bus, and another client has taken this one's place: a new session. Not a fault.
    #[error("another client has taken this one's place: {0}")]
    Fenced(#[source] SinkError),
    /// The client can't go on: a new session.
    #[error("the client of the bus failed: {0}")]
    Fatal(#[source] SinkError),
}

impl CommitError {
    /// For metrics and logs.
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

/// What went wrong at the bus.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The bus can't be reached, or didn't answer in time: try again.
    #[error("{action}: {source}{}", .remedy.map(|remedy| format!("; {remedy}")).unwrap_or_default())]
    Unavailable {
        /// What was tried, for a person.
        action: String,
        /// The client's own words.
        source: Box<dyn std::error::Error + Send + Sync>,
        /// What to do, if it stays so and more is known than that.
        remedy: Option<&'static str>,
    },
    /// Credentials or certificates can't be used, or the bus doesn't accept them. Where they are being rotated, it will
    /// soon: try again if it did before.
    #[error("{problem}; {remedy}")]
    Refused {
        /// What is wrong, with names and values, but no secret.
        problem: String,
        /// What to do, if it stays so.
        remedy: String,
    },
    /// The bus isn't set up as the bridge needs it; trying again doesn't help until somebody acts.
    #[error("{problem}; {remedy}")]
    Setup {
        /// What is wrong, with names and values.
        problem: String,
        /// What to do.
        remedy: String,
    },
    /// The reader of standard output is gone, as in `… | head -1`: the bridge ends, and that is no failure.
    #[error("the reader of standard output is gone")]
    ReaderGone,
}

impl SinkError {
    /// An [`Unavailable`](Self::Unavailable).
    pub fn unavailable(action: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unavailable { action: action.into(), source: source.into(), remedy: None }
    }

    /// An [`Unavailable`](Self::Unavailable) that somebody may be able to mend.
    pub(crate) fn unreached(
        action: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
        remedy: &'static str,
    ) -> Self {
        Self::Unavailable { action: action.into(), source: source.into(), remedy: Some(remedy) }
    }
}

impl From<SinkError> for Verdict {
    fn from(error: SinkError) -> Self {
        match error {
            SinkError::Unavailable { action, source, remedy } => Self::failed(
                format!("{action}: {source}"),
                remedy.unwrap_or("check that it runs and can be reached from here"),
            ),
            SinkError::Refused { problem, remedy } | SinkError::Setup { problem, remedy } => {
                Self::Failed { problem, remedy }
            }
            SinkError::ReaderGone => Self::failed(error.to_string(), "start it again with a reader"),
        }
    }
}
