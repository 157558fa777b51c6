//! Takes over shards: claims them, finishes their intents, reads their checkpoints.

use super::error::ShardError;
use super::head::{Claim, Pending, Replace, Session, Shard, claim};
use super::publish::Publisher;
use super::retries::Retries;
use super::write_ahead;
use crate::escape::printable;
use crate::sink::SinkError;
use bridge_core::ids::ShardId;
use bridge_core::record::batch::StoredCheckpoint;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use std::collections::BTreeMap;

/// The number of shards that are claimed at once.
const AT_ONCE: usize = 64;

/// A shard that was taken over.
pub(super) struct Restored {
    pub(super) shard: ShardId,
    pub(super) state: Shard,
    pub(super) checkpoint: StoredCheckpoint,
}

/// Takes over the shards from their previous owners.
///
/// # Cancel safety
/// It may be called again after it was dropped, by any replica: each step leaves what the next attempt needs.
pub(super) async fn take_over(
    publisher: &Publisher,
    session: &Session,
    shards: &[ShardId],
) -> Result<Vec<Restored>, SinkError> {
    let mut retries = Retries::new();
    loop {
        match attempt(publisher, session, shards).await {
            Ok(restored) => return Ok(restored),
            Err(ShardError::Fatal(error)) => return Err(error),
            // Only a redo can be fenced, if another session claims at the same time.
            Err(ShardError::Unknown(error) | ShardError::Foreign(error) | ShardError::Aborted(error)) => {
                retries.wait(error).await?;
            }
        }
    }
}

async fn attempt(publisher: &Publisher, session: &Session, shards: &[ShardId]) -> Result<Vec<Restored>, ShardError> {
    let one = async |shard: ShardId| Ok((shard, claim(publisher, session, shard, Replace::Anybody).await?));
    let claims: Vec<_> = shards.iter().copied().map(one).collect();
    let claims: Vec<(ShardId, Claim)> = stream::iter(claims).buffer_unordered(AT_ONCE).try_collect().await?;
    let mut restored = BTreeMap::new();
    let mut pending: Vec<(ShardId, Pending)> = Vec::new();
    for (shard, claim) in claims {
        let Claim { head, completed, .. } = claim;
        let state = Shard { session: session.clone(), head, completed, ..Shard::default() };
        restored.insert(shard, Restored { shard, state, checkpoint: StoredCheckpoint::new() });
        pending.extend(claim.pending.map(|pending| (shard, pending)));
    }
    // After the claims, all entries that others can still write are visible here, except the rest of a pending intent,
    // which is the same as what is redone.
    let subjects = publisher.subjects();
    let newest = restored.values().map(|restored| restored.state.head).max().unwrap_or_default();
    let found = publisher.last_of_each(subjects.checkpoints(shards), newest).await.map_err(ShardError::Unknown)?;
    for entry in found.into_iter().filter(|found| !subjects.is_head(&found.subject)) {
        let Some((shard, key)) = subjects.parse_entry(&entry.subject) else {
            // It can't be mistaken for an entry.
            tracing::warn!(subject = %printable(&entry.subject), hint = "use a subject prefix that nobody else writes to",
                "foreign message among the checkpoints ignored");
            continue;
        };
        let Some(Restored { state, checkpoint, .. }) = restored.get_mut(&shard) else { continue };
        if !write_ahead::removed(&entry.headers) {
            checkpoint.insert(key.clone(), entry.payload.into());
        }
        state.entries.insert(key, entry.sequence);
    }
    for (shard, pending) in pending {
        let Some(Restored { state, checkpoint, .. }) = restored.get_mut(&shard) else { continue };
        for entry in write_ahead::redo(publisher, shard, state, &pending).await? {
            match entry.value {
                Some(value) => checkpoint.insert(entry.key, value.into()),
                None => checkpoint.remove(&entry.key),
            };
        }
    }
    Ok(restored.into_values().collect())
}
