//! Reads a checkpoint without owning it, and moves a checkpoint, for the command `checkpoint`.

use super::error::{PublishError, Reaction};
use super::outgoing::Writes;
use super::publish::{Abilities, Publisher};
use super::{NatsCommitter, NatsSettings, atomic, bucket, connect, subjects, write_ahead};
use crate::sink::{CommitError, Committer as _, SinkError};
use async_nats::jetstream;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{GetStreamErrorKind, KeyValueErrorKind};
use bridge_core::ids::ShardId;
use bridge_core::record::batch::{Batch, CheckpointWrite, StoredCheckpoint};
use futures_util::TryStreamExt as _;
use std::collections::BTreeMap;

/// The current checkpoint, for those shards that have one. Owns nothing and changes nothing: bridges may run. Without
/// atomic batches, only a part of a commit in flight may be visible.
///
/// # Errors
/// The same as of [`open`](super::open).
///
/// # Cancel safety
/// Cancel safe: it only reads.
pub async fn stored(settings: &NatsSettings) -> Result<BTreeMap<ShardId, StoredCheckpoint>, SinkError> {
    let client = connect(settings).await?;
    let name = settings.config.stream.clone();
    match jetstream::new(client.clone()).get_stream(&name).await {
        Ok(_) => {}
        Err(error) => {
            return match error.kind() {
                GetStreamErrorKind::JetStream(answer) if answer.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                    Ok(BTreeMap::new())
                }
                GetStreamErrorKind::JetStream(_)
                | GetStreamErrorKind::EmptyName
                | GetStreamErrorKind::InvalidStreamName
                | GetStreamErrorKind::Request => {
                    Err(SinkError::unavailable(format!("read JetStream stream {name}"), error))
                }
            };
        }
    }
    let abilities = Abilities::READER;
    let publisher = Publisher::new(client, name, subjects(&settings.config), abilities).await?;
    let mut stored: BTreeMap<ShardId, StoredCheckpoint> = BTreeMap::new();
    let filter = publisher.subjects().entries();
    let Some(newest) = publisher.last(&filter).await? else { return Ok(stored) };
    for entry in publisher.last_of_each(vec![filter], newest.sequence).await? {
        if let Some((shard, key)) = publisher.subjects().parse_entry(&entry.subject)
            && !write_ahead::removed(&entry.headers)
        {
            stored.entry(shard).or_default().insert(key, entry.payload.into());
        }
    }
    Ok(stored)
}

/// The replicas that hold leases, or only the others.
///
/// # Errors
/// The same as of [`open`](super::open).
///
/// # Cancel safety
/// Cancel safe: it only reads.
pub async fn holders(settings: &NatsSettings, but_own: bool) -> Result<Vec<String>, SinkError> {
    let jetstream = jetstream::new(connect(settings).await?);
    let bucket = bucket(&settings.config);
    let action = || format!("read the leases in bucket {bucket}");
    let store = match jetstream.get_key_value(&bucket).await {
        Ok(store) => store,
        Err(error) if error.kind() == KeyValueErrorKind::GetBucket => return Ok(Vec::new()),
        Err(error) => return Err(SinkError::unavailable(action(), error)),
    };
    let keys = store.keys().await.map_err(|error| SinkError::unavailable(action(), error))?;
    let keys: Vec<String> = keys.try_collect().await.map_err(|error| SinkError::unavailable(action(), error))?;
    let mut holders = Vec::new();
    for key in keys {
        let value = store.get(&key).await.map_err(|error| SinkError::unavailable(action(), error))?;
        // It may have been released meanwhile.
        let Some(value) = value else { continue };
        let holder = String::from_utf8_lossy(&value);
        holders.push(holder.split(' ').next().unwrap_or_default().to_owned());
    }
    holders.sort();
    holders.dedup();
    holders.retain(|holder| !but_own || *holder != settings.replica);
    Ok(holders)
}

/// Writes the new checkpoint and retires the old one. An atomic batch has a limit, so the entries come first: without
/// their shards' headers they don't count. Then the headers and the end of the old checkpoint: together if the server
/// can, otherwise the end first, so that at no time both can be continued.
///
/// # Errors
/// The same as of [`commit`](crate::sink::Committer::commit). It is safe to repeat, whatever happened.
///
/// # Cancel safety
/// Not cancel safe, as a commit.
pub async fn hand_over(
    old: &mut NatsCommitter,
    new: &mut NatsCommitter,
    entries: Vec<CheckpointWrite>,
    headers: Vec<CheckpointWrite>,
    retired: Vec<CheckpointWrite>,
) -> Result<(), CommitError> {
    let batch = |checkpoints| Batch { messages: Vec::new(), checkpoints };
    new.commit(&batch(entries)).await?;
    let (end, beginning) = (batch(retired), batch(headers));
    if old.publisher.abilities().atomic {
        let writes = [(&*old, &end), (&*new, &beginning)];
        let writes = writes.map(|(of, batch)| Writes::new(of.publisher.subjects(), &of.deployment, batch));
        if writes.iter().map(Writes::len).sum::<usize>() <= old.publisher.atomic_messages() {
            return together(old, new, writes).await;
        }
    }
    old.commit(&end).await?;
    new.commit(&beginning).await
}

/// Writes both ends in one atomic batch. Each shard's head is expected where its session left it.
async fn together(old: &mut NatsCommitter, new: &mut NatsCommitter, writes: [Writes; 2]) -> Result<(), CommitError> {
    old.tenures.note(&mut old.owned);
    new.tenures.note(&mut new.owned);
    old.commits += 1;
    let id = format!("{}-{}", old.session, old.commits);
    let mut messages = Vec::new();
    for (committer, writes) in [&*old, &*new].into_iter().zip(writes) {
        if let Some(shard) = writes.shards().find(|shard| !committer.owned.contains_key(shard)) {
            let action = format!("write to {}", committer.publisher.subjects().head(shard));
            return Err(CommitError::Fenced(SinkError::unavailable(action, "this replica doesn't hold the lease")));
        }
        messages.extend(atomic::render(&committer.publisher, &committer.owned, &id, writes));
    }
    match old.publisher.atomic(&id, messages).await {
        Ok(_) => Ok(()),
        Err(PublishError { verdict, source }) => Err(match verdict {
            Reaction::Stale => CommitError::Fenced(source),
            Reaction::Refused | Reaction::TooMany => CommitError::Aborted(source),
            Reaction::Impossible => CommitError::Fatal(source),
            Reaction::Duplicate | Reaction::Silent => CommitError::Unknown(source),
        }),
    }
}
