//! Writes one commit of one shard, for servers without atomic batches, and for commits that are too large for one.
//!
//! 1. *Intend*: the whole part is written to the shard's head, by compare-and-set. From its last chunk on, the
//!    commit counts: the next owner of the shard will finish it.
//! 2. *Publish* the records, and *write* the entries by compare-and-set.
//! 3. *Done*: the head notes it.
//!
//! Any error in 2 or 3 leads to a *redo*: the records that are already in the JetStream stream are read from the
//! sequence of the intent on, and only the missing ones are published, so that nothing is there twice even when the
//! server has long forgotten their ids.
//!
//! A record may be in flight for any time: in the network, or in a client that has lost its connection. So each record
//! is published by compare-and-set on its subject, to which no other shard writes. One that arrives after a redo finds
//! the redo's copy there, and is refused. One that arrives between the redo's look and its own copy makes the redo look
//! again.

use super::error::{PublishError, Reaction, ShardError};
use super::head::{Claim, Intent, Pending, Replace, Shard, claim};
use super::outgoing::{Entry, MESSAGE_ID, Outgoing, Part, REMOVED};
use super::publish::{Expect, Publisher};
use super::retries::Retries;
use crate::sink::SinkError;
use async_nats::HeaderMap;
use bridge_core::ids::ShardId;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use prost::Message as _;
use std::collections::{BTreeMap, HashMap, HashSet};

/// The maximum number of entries that wait for their acknowledgements. Lanes are limited by their number only.
const ENTRIES_AT_ONCE: usize = 256;
/// The maximum number of a lane's subjects whose newest messages are read at once.
const LOOKS_AT_ONCE: usize = 64;
/// The size of an intent's headers and of the protocol in a message, in bytes.
const HEADERS: usize = 2 << 10;

/// Makes a part durable. If it is `alone`, a refusal is left to the caller. Otherwise other shards' parts may be done
/// already, and then this one must be done, too.
///
/// # Errors
/// [`ShardError::Foreign`]: the shard belongs to another session.
pub(super) async fn commit(
    publisher: &Publisher,
    shard: ShardId,
    state: &mut Shard,
    id: &str,
    part: Part,
    alone: bool,
) -> Result<(), ShardError> {
    let mut retries = Retries::new();
    loop {
        let why = match attempt(publisher, shard, state, id, &part).await {
            Ok(()) => return Ok(()),
            Err(PublishError { verdict: Reaction::Impossible, source }) => return Err(ShardError::Fatal(source)),
            Err(error) => error.source,
        };
        tracing::debug!(shard = shard.0, error = %why, "commit not confirmed, checking its outcome");
        let happened = loop {
            match settle(publisher, shard, state, id).await {
                Err(ShardError::Unknown(error)) => retries.wait(error).await.map_err(ShardError::Unknown)?,
                outcome => break outcome?,
            }
        };
        if happened {
            return Ok(());
        }
        if alone {
            return Err(ShardError::Aborted(why));
        }
        retries.wait(why).await.map_err(ShardError::Aborted)?;
    }
}

async fn attempt(
    publisher: &Publisher,
    shard: ShardId,
    state: &mut Shard,
    id: &str,
    part: &Part,
) -> Result<(), PublishError> {
    intend(publisher, shard, state, id, part).await?;
    match perform(publisher, shard, state, id, part.clone()).await {
        // The intent has happened: whatever is impossible now is found out by the redo.
        Err(PublishError { verdict: Reaction::Impossible, source }) => {
            Err(PublishError { verdict: Reaction::Silent, source })
        }
        outcome => outcome,
    }
}

/// Whether the commit counts. If so, it is finished.
async fn settle(publisher: &Publisher, shard: ShardId, state: &mut Shard, id: &str) -> Result<bool, ShardError> {
    let Claim { replaced, head, completed, pending } = claim(publisher, &state.session, shard, Replace::Own).await?;
    state.is_gone |= replaced == 0;
    state.head = head;
    state.completed = completed;
    if let Some(pending) = pending {
        redo(publisher, shard, state, &pending).await?;
    }
    Ok(state.completed.as_deref() == Some(id))
}

/// Writes the intent, in as many chunks as needed.
pub(super) async fn intend(
    publisher: &Publisher,
    shard: ShardId,
    state: &mut Shard,
    id: &str,
    part: &Part,
) -> Result<(), PublishError> {
    let subject = publisher.subjects().head(shard);
    let mut rest = Bytes::from(part.encode_to_vec());
    let room = publisher.max_payload().saturating_sub(HEADERS).max(1);
    let chunks = u32::try_from(rest.len().div_ceil(room).max(1)).unwrap_or(u32::MAX);
    let mut first = None;
    for chunk in 0..chunks {
        let payload = rest.split_to(room.min(rest.len()));
        let intent = Intent { commit: id.to_owned(), chunk, chunks, first };
        let headers = state.session.head(state.completed.clone(), Some(intent)).headers();
        state.head = publisher.checkpoint(&subject, headers, payload, Expect::Append(state.head)).await?;
        first.get_or_insert(state.head);
    }
    Ok(())
}

/// Publishes what was intended, and notes that it is done.
pub(super) async fn perform(
    publisher: &Publisher,
    shard: ShardId,
    state: &mut Shard,
    id: &str,
    part: Part,
) -> Result<(), PublishError> {
    let ((), sequences) = tokio::try_join!(
        publish(publisher, part.messages, state.head),
        write_entries(publisher, shard, &state.entries, part.entries)
    )?;
    state.entries.extend(sequences);
    let headers = state.session.head(Some(id.to_owned()), None).headers();
    let subject = publisher.subjects().head(shard);
    state.head = publisher.checkpoint(&subject, headers, Bytes::new(), Expect::Replace(state.head)).await?;
    state.completed = Some(id.to_owned());
    Ok(())
}

/// Publishes records: all lanes at the same time, each lane's records one after the other, so that a failure can't
/// leave a later record of a lane before an earlier one. The head that says what is missing is at `head`.
async fn publish(publisher: &Publisher, messages: Vec<Outgoing>, head: u64) -> Result<(), PublishError> {
    let mut lanes: BTreeMap<Option<u32>, Vec<Outgoing>> = BTreeMap::new();
    for message in messages {
        lanes.entry(message.lane).or_default().push(message);
    }
    let at_once = lanes.len().max(1);
    let in_order = async |lane: Vec<Outgoing>| {
        let mut newest = newest(publisher, &lane, head).await?;
        for record in lane {
            let last = newest.entry(record.subject.clone()).or_default();
            *last = publisher.record(&record, *last).await?;
        }
        Ok(())
    };
    let lanes: Vec<_> = lanes.into_values().map(in_order).collect();
    stream::iter(lanes).buffer_unordered(at_once).try_collect().await
}

/// The sequence of the newest message on the subject of each record.
///
/// # Errors
/// [`Reaction::Stale`] if one is newer than `head`, and so isn't known to whoever decided what is missing.
async fn newest(publisher: &Publisher, records: &[Outgoing], head: u64) -> Result<HashMap<String, u64>, PublishError> {
    let subjects: HashSet<&str> = records.iter().map(|record| record.subject.as_str()).collect();
    let look = async |subject: &str| {
        let found = publisher.last(subject).await;
        let found = found.map_err(|source| PublishError { verdict: Reaction::Silent, source })?;
        let sequence = found.map_or(0, |found| found.sequence);
        if sequence > head {
            let source = SinkError::unavailable(format!("publish to {subject}"), "a late message has arrived on it");
            return Err(PublishError { verdict: Reaction::Stale, source });
        }
        Ok((subject.to_owned(), sequence))
    };
    let looks: Vec<_> = subjects.into_iter().map(look).collect();
    stream::iter(looks).buffer_unordered(LOOKS_AT_ONCE).try_collect().await
}

/// Writes entries by compare-and-set. Returns the sequence of each one.
async fn write_entries(
    publisher: &Publisher,
    shard: ShardId,
    known: &HashMap<String, u64>,
    entries: Vec<Entry>,
) -> Result<Vec<(String, u64)>, PublishError> {
    let write = async |entry: Entry| {
        let last = known.get(&entry.key).copied().unwrap_or(0);
        let sequence = write_entry(publisher, shard, &entry, last).await?;
        Ok((entry.key, sequence))
    };
    let writes: Vec<_> = entries.into_iter().map(write).collect();
    stream::iter(writes).buffer_unordered(ENTRIES_AT_ONCE).try_collect().await
}

async fn write_entry(publisher: &Publisher, shard: ShardId, entry: &Entry, last: u64) -> Result<u64, PublishError> {
    let subject = publisher.subjects().entry(shard, &entry.key);
    let payload = entry.value.clone().unwrap_or_default();
    let write = |last| publisher.checkpoint(&subject, entry_headers(entry), payload.clone(), Expect::Replace(last));
    let stale = match write(last).await {
        Err(error) if error.verdict == Reaction::Stale => error,
        outcome => return outcome,
    };
    match publisher.last(&subject).await {
        // The first attempt of this commit has written it already.
        Ok(Some(found)) if found.payload == payload && removed(&found.headers) == entry.value.is_none() => {
            Ok(found.sequence)
        }
        // It was so old that `max_age` removed it.
        Ok(None) => write(0).await,
        Ok(Some(_)) => Err(stale),
        Err(source) => Err(PublishError { verdict: Reaction::Silent, source }),
    }
}

pub(super) fn entry_headers(entry: &Entry) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if entry.value.is_none() {
        headers.insert(REMOVED, "true");
    }
    headers
}

/// Whether an entry is the mark of a removed key.
pub(super) fn removed(headers: &HeaderMap) -> bool {
    headers.get(REMOVED).is_some()
}

/// Finishes a complete intent. Returns what it wrote, for the restore.
///
/// # Errors
/// [`ShardError::Unknown`]: claim and redo again.
pub(super) async fn redo(
    publisher: &Publisher,
    shard: ShardId,
    state: &mut Shard,
    pending: &Pending,
) -> Result<Vec<Entry>, ShardError> {
    let mut part = read(publisher, shard, pending, state.head).await?;
    let mut filters = publisher.subjects().messages();
    filters.push(publisher.subjects().head(shard));
    let there = publisher.headers_from(pending.first, filters, state.head).await;
    let there = there.map_err(ShardError::Unknown)?;
    let there: HashSet<&str> =
        there.iter().filter_map(|found| found.headers.get(MESSAGE_ID)).map(async_nats::HeaderValue::as_str).collect();
    let count = part.messages.len();
    part.messages.retain(|message| message.message_id().is_none_or(|id| !there.contains(id)));
    tracing::info!(shard = shard.0, commit = %pending.commit, records = count, missing = part.messages.len(),
        "finishing a commit that was begun");
    let entries = part.entries.clone();
    match perform(publisher, shard, state, &pending.commit, part).await {
        Ok(()) => Ok(entries),
        Err(PublishError { verdict: Reaction::Impossible, source }) => Err(ShardError::Fatal(source)),
        Err(error) => Err(ShardError::Unknown(error.source)),
    }
}

/// Reads a complete intent. The head with a copy of its last chunk is at `claim`.
async fn read(publisher: &Publisher, shard: ShardId, pending: &Pending, claim: u64) -> Result<Part, ShardError> {
    let subject = publisher.subjects().head(shard);
    let found = publisher.from(pending.first, vec![subject.clone()], claim).await.map_err(ShardError::Unknown)?;
    let mut payload = BytesMut::new();
    let mut chunks = 0;
    for message in &found {
        let head = super::head::Head::parse(&subject, &message.headers).map_err(ShardError::Fatal)?;
        // A claim has the number of the last chunk, and comes after all chunks.
        if let Some(intent) = head.intent
            && intent.commit == pending.commit
            && intent.chunk == chunks
            && chunks < pending.chunks
        {
            payload.extend_from_slice(&message.payload);
            chunks += 1;
        }
    }
    let broken = |what: String| {
        ShardError::Fatal(SinkError::Setup {
            problem: format!("{subject} has the intent of commit {}, but {what}", pending.commit),
            remedy: "messages were deleted from the JetStream stream, or it was restored from an old copy".to_owned(),
        })
    };
    if chunks != pending.chunks {
        // A session that finishes the commit removes its chunks.
        let newest = publisher.last(&subject).await.map_err(ShardError::Unknown)?;
        if newest.is_some_and(|newest| newest.sequence != claim) {
            let action = format!("read commit {} back from {subject}", pending.commit);
            return Err(ShardError::Unknown(SinkError::unavailable(action, "another session has written it since")));
        }
        return Err(broken(format!("{chunks} of its {} chunks are there", pending.chunks)));
    }
    Part::decode(payload.freeze()).map_err(|error| broken(format!("it can't be read: {error}")))
}
