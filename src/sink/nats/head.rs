//! The head of a shard: one subject, written only by compare-and-set, that is both
//! the fence and the log of what is intended and what is done.
//!
//! ```text
//!              claim                    claim: keeps a complete intent,
//!   (nothing) ───────► settled ◄──────┐       drops an incomplete one
//!                       │    ▲        │
//!        atomic batch,  │    │ done   │
//!        or intent 1..n ▼    │        │
//!                      intended ──────┘
//! ```

use super::error::{Reaction, ShardError};
use super::publish::{Expect, Publisher};
use crate::sink::SinkError;
use async_nats::HeaderMap;
use bridge_core::ids::ShardId;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// The header that contains a [`Head`], as JSON.
pub(super) const HEAD: &str = "Asana-Bridge-Head";

/// The maximum number of consecutive times that a claim may find the head changed since it was read.
const MOST_REFUSALS: u32 = 8;

/// The newest message on a shard's head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// The session that wrote it, which owns the shard.
    pub(super) session: String,
    /// The replica of that session, for people.
    pub(super) replica: String,
    /// The newest finished commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) completed: Option<String>,
    /// The unfinished commit. It will be finished if the intent is complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) intent: Option<Intent>,
}

/// One chunk of a write-ahead intent, or, in a claim, all of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Intent {
    /// The id of the commit.
    pub(super) commit: String,
    /// The number of the chunk, from 0.
    pub(super) chunk: u32,
    /// The number of chunks.
    pub(super) chunks: u32,
    /// The JetStream sequence of chunk 0. It is missing in chunk 0 itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) first: Option<u64>,
}

/// A complete intent that has to be finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) commit: String,
    /// The JetStream sequence of its first chunk. None of its records is older.
    pub(super) first: u64,
    pub(super) chunks: u32,
}

impl Head {
    /// The complete intent of a head at `sequence`.
    pub(super) fn pending(&self, sequence: u64) -> Option<Pending> {
        let intent = self.intent.as_ref()?;
        let complete = intent.chunk.checked_add(1)? == intent.chunks;
        complete.then(|| Pending {
            commit: intent.commit.clone(),
            first: intent.first.unwrap_or(sequence),
            chunks: intent.chunks,
        })
    }

    pub(super) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        // Strings, numbers and options always become JSON, and JSON of serde_json has no line break.
        headers.insert(HEAD, serde_json::to_string(self).unwrap_or_default());
        headers
    }

    pub(super) fn parse(subject: &str, headers: &HeaderMap) -> Result<Self, SinkError> {
        let text = headers.get(HEAD).map(ToString::to_string).unwrap_or_default();
        serde_json::from_str(&text).map_err(|error| SinkError::Setup {
            problem: format!("the last message on {subject} isn't this program's: {error}"),
            remedy: "use a subject prefix that nobody else writes to, or the version that wrote it".to_owned(),
        })
    }
}

/// The identity of the writer, different for each takeover, also for those of one replica: its commit that began before
/// another takeover of the shard must not end after it.
#[derive(Clone, Debug, Default)]
pub(super) struct Session {
    pub(super) id: String,
    pub(super) replica: String,
}

impl Session {
    /// A head of this session.
    pub(super) fn head(&self, completed: Option<String>, intent: Option<Intent>) -> Head {
        Head { session: self.id.clone(), replica: self.replica.clone(), completed, intent }
    }
}

/// The state of an owned shard.
#[derive(Clone, Debug, Default)]
pub(super) struct Shard {
    /// The writer of the shard's head.
    pub(super) session: Session,
    /// The JetStream sequence of the shard's head.
    pub(super) head: u64,
    /// The newest finished commit.
    pub(super) completed: Option<String>,
    /// The JetStream sequence of each entry, also of removed ones.
    pub(super) entries: HashMap<String, u64>,
    /// The head was deleted from the JetStream stream, and so the entries may be: not reported yet.
    pub(super) is_gone: bool,
}

/// The heads that a claim may replace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replace {
    /// Heads of any session: we have the lease.
    Anybody,
    /// Only our own: to find the outcome of a commit, and to prevent it if it wasn't done.
    Own,
}

/// The result of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    /// The JetStream sequence of the replaced head; 0 if there was none.
    pub(super) replaced: u64,
    /// The JetStream sequence of the new head.
    pub(super) head: u64,
    /// The newest finished commit.
    pub(super) completed: Option<String>,
    /// A complete intent that has to be finished.
    pub(super) pending: Option<Pending>,
}

/// Claims a shard: writes to the shard that are still in flight, from another session or from this one, are refused
/// from now on, or were stored and are seen here.
///
/// # Errors
/// [`ShardError::Foreign`] if the head may not be replaced, [`ShardError::Unknown`] if the server doesn't answer or is
/// behind (claim again), [`ShardError::Fatal`] otherwise.
pub(super) async fn claim(
    publisher: &Publisher,
    session: &Session,
    shard: ShardId,
    replace: Replace,
) -> Result<Claim, ShardError> {
    let subject = publisher.subjects().head(shard);
    let mut refusals = 0;
    loop {
        let found = publisher.last(&subject).await.map_err(ShardError::Unknown)?;
        let (replaced, head) = match &found {
            Some(found) => {
                let head = Head::parse(&subject, &found.headers).map_err(ShardError::Fatal)?;
                (found.sequence, Some(head))
            }
            None => (0, None),
        };
        if let Some(head) = &head
            && replace == Replace::Own
            && head.session != session.id
        {
            return Err(ShardError::Foreign(taken(&subject, head)));
        }
        let pending = head.as_ref().and_then(|head| head.pending(replaced));
        let completed = head.and_then(|head| head.completed);
        let intent = pending.as_ref().map(|pending| Intent {
            commit: pending.commit.clone(),
            chunk: pending.chunks.saturating_sub(1),
            chunks: pending.chunks,
            first: Some(pending.first),
        });
        // The chunks of a pending intent are on the same subject: they must be kept.
        let expect = if pending.is_some() { Expect::Append(replaced) } else { Expect::Replace(replaced) };
        let headers = session.head(completed.clone(), intent).headers();
        match publisher.checkpoint(&subject, headers, Bytes::new(), expect).await {
            Ok(head) => return Ok(Claim { replaced, head, completed, pending }),
            // Something came in between: look again. A leader that is one no more would show the same for ever.
            Err(error) if error.verdict == Reaction::Stale && refusals < MOST_REFUSALS => refusals += 1,
            Err(error) if error.verdict == Reaction::Impossible => return Err(ShardError::Fatal(error.source)),
            Err(error) => return Err(ShardError::Unknown(error.source)),
        }
    }
}

/// Whether the shard's head belongs to another session, as far as is known. Only reads it.
pub(super) async fn foreign(publisher: &Publisher, shard: ShardId, state: &Shard) -> Option<(ShardId, SinkError)> {
    let subject = publisher.subjects().head(shard);
    let found = publisher.last(&subject).await.ok()??;
    let head = Head::parse(&subject, &found.headers).ok()?;
    (found.sequence > state.head && head.session != state.session.id).then(|| (shard, taken(&subject, &head)))
}

fn taken(subject: &str, head: &Head) -> SinkError {
    SinkError::unavailable(format!("write to {subject}"), format!("replica {} has written it since", head.replica))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(intent: Option<(u32, u32, Option<u64>)>) -> Head {
        let intent = intent.map(|(chunk, chunks, first)| Intent { commit: "c".to_owned(), chunk, chunks, first });
        Session { id: "s".to_owned(), replica: "r".to_owned() }.head(None, intent)
    }

    #[test]
    fn only_a_complete_intent_is_pending() {
        let pending = |first, chunks| Some(Pending { commit: "c".to_owned(), first, chunks });
        assert_eq!(head(None).pending(9), None);
        assert_eq!(head(Some((0, 2, None))).pending(9), None);
        assert_eq!(head(Some((0, 1, None))).pending(9), pending(9, 1));
        assert_eq!(head(Some((1, 2, Some(7)))).pending(9), pending(7, 2));
    }

    #[test]
    fn a_head_survives_its_header() {
        let head = head(Some((1, 2, Some(7))));
        assert_eq!(Head::parse("x", &head.headers()).unwrap(), head);
        assert!(Head::parse("x", &HeaderMap::new()).is_err());
    }
}
