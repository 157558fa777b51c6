//! Reads the refresh log: the last entry of each key is a message of the JetStream stream.

use super::publish::{Found, Publisher};
use super::subject::Subjects;
use crate::sink::SinkError;
use crate::sink::refresh_log::{Feed, Logged, Reading, What};
use futures_util::StreamExt as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

type Entries = mpsc::Sender<Result<Vec<Logged>, SinkError>>;

/// The pause after an error.
const PAUSE: Duration = Duration::from_millis(500);

/// Reads until the session has ended.
pub(super) async fn run(publisher: Arc<Publisher>, feed: Feed) {
    let Feed { mut wanted, entries } = feed;
    loop {
        let reading = wanted.borrow_and_update().clone();
        let end = tokio::select! {
            changed = wanted.changed() => changed.is_err(),
            () = entries.closed() => true,
            end = follow(&publisher, &entries, &reading), if !reading.places.is_empty() => end,
        };
        if end {
            return;
        }
    }
}

/// Gives the entries of a reading. Returns whether the session has ended.
async fn follow(publisher: &Publisher, entries: &Entries, reading: &Reading) -> bool {
    let mut next = reading.clone();
    loop {
        let first = next.places.values().copied().min().unwrap_or_default();
        let shards: Vec<_> = next.places.keys().copied().collect();
        match publisher.follow(first, publisher.subjects().refresh_logs(&shards)).await {
            Ok(mut messages) => {
                while let Some(message) = messages.next().await {
                    let (found, is_last) = match message {
                        Ok(found) => found,
                        Err(error) => {
                            tracing::debug!(%error, "reading the refresh log is interrupted");
                            break;
                        }
                    };
                    let mut logged: Vec<_> = entry(publisher.subjects(), &mut next, found).into_iter().collect();
                    if is_last {
                        logged.extend(reading.ends());
                    }
                    if !logged.is_empty() && entries.send(Ok(logged)).await.is_err() {
                        return true;
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "reading the refresh log failed, retrying"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The entry, if it is one of the reading and wasn't given before: where several shards are read, the others begin earlier.
fn entry(subjects: &Subjects, next: &mut Reading, found: Found) -> Option<Logged> {
    let shard = subjects.shard_of_log(&found.subject)?;
    let place = next.places.get_mut(&shard).filter(|place| found.sequence >= **place)?;
    *place = found.sequence + 1;
    let what = What::Entry { place: found.sequence, value: found.payload.into() };
    Some(Logged { reading: next.number, shard, what })
}
