//! The task that owns the sink's writing half.
//!
//! A commit always runs to its end here. Meanwhile the session continues to poll.

use crate::sink::{CommitError, Committer, SinkError};
use bridge_core::ids::Topic;
use bridge_core::record::batch::{Batch, OutputTopic};
use tokio::sync::mpsc;

/// A request of the session. Only one is open at a time: the next one follows the answer to the last.
#[derive(Debug)]
pub(super) enum Request {
    /// Prepare an output topic, and return its lanes and its maximum message size.
    OutputTopic(Topic),
    /// Write the batch to the bus, all or nothing.
    Commit(Batch),
}

/// The answer to a request.
#[derive(Debug)]
pub(super) enum CommitterReply {
    OutputTopic(Topic, Result<OutputTopic, SinkError>),
    Commit(Result<(), CommitError>),
}

/// Serves requests until the channel is closed, then releases ownership.
pub(super) async fn serve<C: Committer>(
    mut committer: C,
    mut requests: mpsc::Receiver<Request>,
    answers: mpsc::Sender<CommitterReply>,
) {
    while let Some(request) = requests.recv().await {
        let answer = match request {
            Request::OutputTopic(topic) => {
                let known = committer.output_topic(&topic).await;
                CommitterReply::OutputTopic(topic, known)
            }
            Request::Commit(batch) => CommitterReply::Commit(committer.commit(&batch).await),
        };
        if answers.send(answer).await.is_err() {
            break;
        }
    }
    committer.close().await;
}
