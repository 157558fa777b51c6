//! The task that owns the sink's writing half.
//!
//! A commit is awaited here to its end, whatever else happens; the session goes on polling meanwhile.

use crate::sink::{CommitError, Committer, SinkError};
use bridge_core::ids::Topic;
use bridge_core::record::batch::{Batch, OutputTopic};
use tokio::sync::mpsc;

/// What the session asks for. One at a time: the next follows the answer to the last.
#[derive(Debug)]
pub(super) enum Request {
    /// What is to be known of an output topic.
    OutputTopic(Topic),
    /// Make the batch durable.
    Commit(Batch),
}

/// The answer.
#[derive(Debug)]
pub(super) enum CommitterReply {
    OutputTopic(Topic, Result<OutputTopic, SinkError>),
    Commit(Result<(), CommitError>),
}

/// Serves requests until there are no more, then gives up ownership.
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
