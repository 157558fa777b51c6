//! The task that owns the sink's writing half.
//!
//! A commit is awaited here to its end, whatever else happens; the session goes on polling meanwhile.

use crate::core::batch::Batch;
use crate::core::ids::Topic;
use crate::sink::{CommitError, Committer, SinkError};
use std::num::NonZeroU32;
use tokio::sync::mpsc;

/// What the session asks for. One at a time: the next follows the answer to the last.
#[derive(Debug)]
pub(super) enum Request {
    /// The number of lanes of a topic.
    Lanes(Topic),
    /// Make the batch durable.
    Commit(Batch),
}

/// The answer.
#[derive(Debug)]
pub(super) enum Answer {
    Lanes(Topic, Result<NonZeroU32, SinkError>),
    Commit(Result<(), CommitError>),
}

/// Serves requests until there are no more, then gives up ownership.
pub(super) async fn serve<C: Committer>(
    mut committer: C,
    mut requests: mpsc::Receiver<Request>,
    answers: mpsc::Sender<Answer>,
) {
    while let Some(request) = requests.recv().await {
        let answer = match request {
            Request::Lanes(topic) => {
                let lanes = committer.lanes(&topic).await;
                Answer::Lanes(topic, lanes)
            }
            Request::Commit(batch) => Answer::Commit(committer.commit(&batch).await),
        };
        if answers.send(answer).await.is_err() {
            break;
        }
    }
    committer.close().await;
}
