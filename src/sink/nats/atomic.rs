//! Writes one commit as one atomic batch, all or nothing.

use super::error::{PublishError, Reaction, ShardError};
use super::head::{Claim, Replace, Shard, claim};
use super::outgoing::Writes;
use super::publish::{Expect, Publisher, Stored};
use super::retries::Retries;
use super::write_ahead::entry_headers;
use crate::sink::{CommitError, SinkError};
use bridge_core::ids::ShardId;
use bytes::Bytes;
use std::collections::BTreeMap;

/// Writes records, entries and heads in one atomic batch. Each head is expected where the session left it, so that the
/// server refuses the whole batch if another session has taken one of the shards.
///
/// Shards that turn out to belong to another session are added to `foreign`.
pub(super) async fn commit(
    publisher: &Publisher,
    owned: &mut BTreeMap<ShardId, Shard>,
    id: &str,
    writes: Writes,
    foreign: &mut Vec<ShardId>,
) -> Result<(), CommitError> {
    let layout = Layout::of(&writes);
    let batch = render(publisher, owned, id, writes);
    let messages = batch.len();
    match publisher.atomic(id, batch).await {
        Ok(last) => {
            layout.committed(owned, last, id);
            Ok(())
        }
        Err(PublishError { verdict: Reaction::Impossible, source }) => Err(CommitError::Fatal(source)),
        Err(PublishError { verdict: Reaction::TooMany, source }) => {
            publisher.shrink_atomic(messages);
            Err(CommitError::Aborted(source))
        }
        Err(PublishError { verdict: Reaction::Refused, source }) => Err(CommitError::Aborted(source)),
        Err(PublishError { verdict: Reaction::Stale | Reaction::Silent, source }) => {
            settle(publisher, owned, id, &layout, source, foreign).await
        }
        Err(PublishError { verdict: Reaction::Duplicate, source }) => {
            match settle(publisher, owned, id, &layout, source, foreign).await {
                // The id isn't this commit's: writing again would be refused again. Except if a successor wrote it:
                // then the shard is lost.
                Err(CommitError::Aborted(source)) if foreign.is_empty() => Err(CommitError::Fatal(SinkError::Setup {
                    problem: format!("records are in the JetStream stream that the checkpoint doesn't know: {source}"),
                    remedy: "the checkpoint was lost or restored by hand; see `checkpoint reset`".to_owned(),
                })),
                outcome => outcome,
            }
        }
    }
}

/// The messages of the batch: records, entries, heads.
pub(super) fn render(publisher: &Publisher, owned: &BTreeMap<ShardId, Shard>, id: &str, writes: Writes) -> Vec<Stored> {
    let subjects = publisher.subjects();
    let records = writes.records.into_iter().map(|(_, record)| Stored {
        headers: record.header_map(),
        subject: record.subject,
        payload: record.payload,
    });
    let mut messages: Vec<_> = records.collect();
    let mut heads = Vec::new();
    let nothing = Shard::default();
    for (shard, entries) in writes.entries {
        messages.extend(entries.into_iter().map(|entry| Stored {
            subject: subjects.entry(shard, &entry.key),
            headers: publisher.checkpoint_headers(entry_headers(&entry), None),
            payload: entry.value.unwrap_or_default(),
        }));
        let state = owned.get(&shard).unwrap_or(&nothing);
        let headers = state.session.head(Some(id.to_owned()), None).headers();
        heads.push(Stored {
            subject: subjects.head(shard),
            headers: publisher.checkpoint_headers(headers, Some(Expect::Replace(state.head))),
            payload: Bytes::new(),
        });
    }
    messages.append(&mut heads);
    messages
}

/// Finds the outcome of the batch. If it wasn't written, makes sure that it never will be.
///
/// A shard that belongs to another session by now can't show the outcome, and needn't: what was staged for it is
/// dropped. The other shards can, because the batch is all or nothing.
async fn settle(
    publisher: &Publisher,
    owned: &mut BTreeMap<ShardId, Shard>,
    id: &str,
    layout: &Layout,
    why: SinkError,
    foreign: &mut Vec<ShardId>,
) -> Result<(), CommitError> {
    let mut retries = Retries::new();
    let mut committed = false;
    // The first claim decides, because the batch needs every head to be where it was.
    'shards: for (heads_behind, shard) in layout.shards.iter().rev().enumerate() {
        let session = owned.entry(*shard).or_default().session.clone();
        let Claim { replaced, head, completed, pending: _ } = loop {
            match claim(publisher, &session, *shard, Replace::Own).await {
                Ok(claim) => break claim,
                Err(ShardError::Unknown(error) | ShardError::Aborted(error)) => {
                    retries.wait(error).await.map_err(CommitError::Unknown)?;
                }
                Err(ShardError::Foreign(_)) => {
                    foreign.push(*shard);
                    continue 'shards;
                }
                Err(ShardError::Fatal(error)) => return Err(CommitError::Fatal(error)),
            }
        };
        if !committed && completed.as_deref() == Some(id) {
            layout.committed(owned, replaced + heads_behind as u64, id);
            committed = true;
        }
        let shard = owned.entry(*shard).or_default();
        shard.head = head;
        shard.completed = completed;
        shard.is_gone |= replaced == 0;
    }
    if committed { Ok(()) } else { Err(CommitError::Aborted(why)) }
}

/// The place of each message in the batch: an atomic batch has consecutive JetStream sequences.
struct Layout {
    shards: Vec<ShardId>,
    entries: Vec<(ShardId, String)>,
}

impl Layout {
    fn of(writes: &Writes) -> Self {
        let entries =
            writes.entries.iter().flat_map(|(shard, entries)| entries.iter().map(|e| (*shard, e.key.clone())));
        Self { shards: writes.shards().collect(), entries: entries.collect() }
    }

    /// Notes the sequence of each message, from the sequence of the last head.
    fn committed(&self, owned: &mut BTreeMap<ShardId, Shard>, last: u64, id: &str) {
        let first = last.saturating_sub((self.entries.len() + self.shards.len()) as u64);
        let mut sequences = first + 1..;
        for ((shard, key), sequence) in self.entries.iter().zip(&mut sequences) {
            owned.entry(*shard).or_default().entries.insert(key.clone(), sequence);
        }
        for (shard, sequence) in self.shards.iter().zip(sequences) {
            let shard = owned.entry(*shard).or_default();
            shard.head = sequence;
            shard.completed = Some(id.to_owned());
        }
    }
}
