//! NATS JetStream.
//!
//! Records and checkpoints are subjects of one JetStream stream. With `asana` as the prefix:
//!
//! | subject | holds |
//! | --- | --- |
//! | `asana.lane.{lane}.{account}.{stream}.{type}.{gid}` | a record; one of the lane itself has `_` for account and stream |
//! | `asana.dead-letter.{account}.{stream}.{type}.{gid}` | a record that the bus refused |
//! | `asana._checkpoint.{shard}.head` | the shard's fence, and what is intended or done |
//! | `asana._checkpoint.{shard}.entry.{key}` | the newest value of a key of the shard's checkpoint |
//!
//! A checkpoint with a name has `_checkpoint-{name}` instead of `_checkpoint`, and leases of its own.
//!
//! | a filter for | is |
//! | --- | --- |
//! | all records | `asana.lane.>` |
//! | one lane | `asana.lane.3.>` |
//! | one stream | `asana.lane.*.{account}.{stream}.>` |
//! | one type, one gid | `asana.lane.*.*.*.task.*`, `asana.lane.*.*.*.*.{gid}` |
//!
//! Letters, digits, `-` and `_` stand for themselves in a token, any other byte is `=XX` in hexadecimal, nothing at all
//! is `_`, and what would be longer than 128 characters is `=h` and its XXH3 hash of 128 bits. Headers are
//! those of `CloudEvents` in binary mode (`ce-id`, …), and `Nats-Msg-Id`.
//!
//! How a commit is all or nothing is in `docs/decisions/nats-write-ahead.md`.

mod atomic;
mod connect;
mod error;
mod head;
mod lease;
pub mod offline;
mod outgoing;
mod ownership;
mod patience;
mod publish;
mod restore;
mod setup;
mod subject;
mod write_ahead;

use super::{CommitError, Committer, Ownership, SinkError};
use crate::config::NatsConfig;
use crate::core::batch::{Batch, OutputTopic};
use crate::core::ids::{ShardId, Topic};
pub use connect::connect;
use futures_util::{StreamExt as _, stream};
use head::{Session, Shard};
use outgoing::Part;
use ownership::{Change, Owner};
use publish::Publisher;
use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use subject::Subjects;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long a dead replica's lease holds its peers up.
pub const LEASE_TIME: Duration = Duration::from_secs(10);
/// What subject, message headers and batch headers may take of a message.
const OVERHEAD_BYTES: usize = 4 << 10;
/// Room in an atomic batch for what the caller doesn't count: the heads.
const ATOMIC_ROOM: usize = 100;
/// Without atomic batches nothing limits a batch but the time that its redo would take.
const WRITE_AHEAD_MESSAGES: usize = 10_000;

/// What [`open`] needs: the configuration, with its secrets read.
#[derive(Clone)]
pub struct NatsSettings {
    /// As the file has it.
    pub config: NatsConfig,
    /// The value of `nkeySeed`.
    pub nkey_seed: Option<String>,
    /// The value of `token`.
    pub token: Option<String>,
    /// The value of `password`.
    pub password: Option<String>,
    /// How many shards there are.
    pub shards: NonZeroU32,
    /// This replica's name.
    pub replica: String,
    /// How long the lease of a dead replica holds, where the bucket is made: [`LEASE_TIME`] but in tests.
    pub lease_time: Duration,
}

impl fmt::Debug for NatsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |secret: &Option<String>| secret.as_ref().map(|_| "…");
        // The addresses may hold passwords too.
        f.debug_struct("NatsSettings")
            .field("stream", &self.config.stream)
            .field("subject_prefix", &self.config.subject_prefix)
            .field("nkey_seed", &hidden(&self.nkey_seed))
            .field("token", &hidden(&self.token))
            .field("password", &hidden(&self.password))
            .field("shards", &self.shards)
            .field("replica", &self.replica)
            .field("lease_time", &self.lease_time)
            .finish_non_exhaustive()
    }
}

/// Begins a session: connects, makes or checks the JetStream stream, and gets in line for the lease.
///
/// # Errors
/// [`SinkError::Unavailable`]: try again. [`SinkError::Setup`]: somebody has to change something.
///
/// # Cancel safety
/// May be dropped and called again.
pub async fn open(settings: NatsSettings) -> Result<(NatsCommitter, Ownership), SinkError> {
    let client = connect(&settings).await?;
    let NatsSettings { config, shards, replica, lease_time, .. } = settings;
    let subjects = subjects(&config);
    let abilities = setup::prepare(&client, &config, &subjects).await?;
    // The client's inboxes are random and unique: so is the session.
    let id = client.new_inbox().rsplit('.').next().unwrap_or_default().to_owned();
    let bucket = bucket(&config);
    let replicas = usize::from(config.replicas.get());
    let holder = format!("{replica} {id}");
    let leases = lease::Leases::open(&client, &bucket, lease_time, replicas, config.create, holder).await?;
    let publisher = Arc::new(Publisher::new(client, config.stream, subjects, abilities).await?);
    let session = Session { id, replica };
    let (change, changes) = mpsc::channel(4);
    let (event, ownership) = mpsc::channel(4);
    let owner = Owner {
        publisher: Arc::clone(&publisher),
        session: session.clone(),
        leases,
        shards: (0..shards.get()).map(ShardId).collect(),
        changes: change,
        events: event,
    };
    let end = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(owner.run(end.clone()));
    let committer = NatsCommitter {
        publisher,
        session,
        lanes: config.lanes,
        owned: BTreeMap::new(),
        changes,
        commits: 0,
        end,
        tasks,
    };
    Ok((committer, ownership))
}

fn subjects(config: &NatsConfig) -> Subjects {
    Subjects::new(Topic::from(config.subject_prefix.as_str())).with_checkpoint(config.checkpoint.as_deref())
}

/// The name of the bucket of leases.
fn bucket(config: &NatsConfig) -> String {
    match &config.checkpoint {
        Some(checkpoint) => format!("{}_leases_{checkpoint}", config.stream),
        None => format!("{}_leases", config.stream),
    }
}

/// Writes batches to JetStream.
#[derive(Debug)]
pub struct NatsCommitter {
    publisher: Arc<Publisher>,
    session: Session,
    lanes: NonZeroU32,
    owned: BTreeMap<ShardId, Shard>,
    changes: mpsc::Receiver<Change>,
    commits: u64,
    end: CancellationToken,
    tasks: JoinSet<()>,
}

impl Committer for NatsCommitter {
    fn batch_messages(&self) -> usize {
        if self.publisher.abilities().atomic { atomic::MOST_MESSAGES - ATOMIC_ROOM } else { WRITE_AHEAD_MESSAGES }
    }

    async fn output_topic(&mut self, topic: &Topic) -> Result<OutputTopic, SinkError> {
        let prefix = self.publisher.subjects().prefix();
        if topic == prefix {
            let message_bytes = self.publisher.max_payload().saturating_sub(OVERHEAD_BYTES);
            return Ok(OutputTopic { lanes: self.lanes, message_bytes });
        }
        Err(SinkError::Setup {
            problem: format!("{topic} isn't the subject prefix {prefix}"),
            remedy: "on NATS all records are in one JetStream stream; filter by subject instead".to_owned(),
        })
    }

    async fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        self.hear_of_ownership();
        let parts = outgoing::parts(self.publisher.subjects(), batch);
        if parts.is_empty() {
            return Ok(());
        }
        if let Some(shard) = parts.keys().find(|shard| !self.owned.contains_key(shard)) {
            let action = format!("write to {}", self.publisher.subjects().head(*shard));
            return Err(CommitError::Fenced(SinkError::unavailable(action, "this replica doesn't hold the lease")));
        }
        self.commits += 1;
        let id = format!("{}-{}", self.session.id, self.commits);
        if self.publisher.abilities().atomic && atomic::size(&parts) <= atomic::MOST_MESSAGES {
            atomic::commit(&self.publisher, &self.session, &mut self.owned, &id, parts).await
        } else {
            self.write_ahead(&id, parts).await
        }
    }

    async fn close(mut self) {
        self.end.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

impl NatsCommitter {
    /// Takes note of what the ownership task has said. It says so here before it tells anybody else.
    fn hear_of_ownership(&mut self) {
        while let Ok(change) = self.changes.try_recv() {
            match change {
                Change::Gained(shards) => self.owned.extend(shards),
                Change::Lost(shards) => self.owned.retain(|shard, _| !shards.contains(shard)),
            }
        }
    }

    /// Each shard has a commit of its own; the batch is committed when all of them are.
    async fn write_ahead(&mut self, id: &str, parts: BTreeMap<ShardId, Part>) -> Result<(), CommitError> {
        let (publisher, session) = (&self.publisher, &self.session);
        let owned = self.owned.iter_mut().filter(|(shard, _)| parts.contains_key(shard));
        let owned: Vec<_> = owned.collect();
        let at_once = owned.len().max(1);
        let mut parts = parts.clone();
        let commits = owned.into_iter().map(|(shard, state)| {
            let part = parts.remove(shard).unwrap_or_default();
            write_ahead::commit(publisher, session, *shard, state, id, part)
        });
        let commits: Vec<_> = commits.collect();
        let outcomes: Vec<_> = stream::iter(commits).buffer_unordered(at_once).collect().await;
        together(outcomes)
    }
}

/// The outcome of a batch from those of its shards.
fn together(outcomes: Vec<Result<(), CommitError>>) -> Result<(), CommitError> {
    let some_committed = outcomes.iter().any(Result::is_ok);
    let severity = |error: &CommitError| match error {
        CommitError::Aborted(_) => 0,
        CommitError::Unknown(_) => 1,
        CommitError::Fenced(_) => 2,
        CommitError::Fatal(_) => 3,
    };
    match outcomes.into_iter().filter_map(Result::err).max_by_key(severity) {
        None => Ok(()),
        // Nothing may be written again that a part of it is there of.
        Some(CommitError::Aborted(error)) if some_committed => Err(CommitError::Unknown(error)),
        Some(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_of_which_a_shard_was_aborted_is_in_an_unknown_state() {
        let error = || SinkError::unavailable("x", "y");
        let label = |outcomes| together(outcomes).err().map(|error| error.label());
        assert_eq!(label(vec![Ok(()), Ok(())]), None);
        assert_eq!(label(vec![Err(CommitError::Aborted(error()))]), Some("aborted"));
        assert_eq!(label(vec![Ok(()), Err(CommitError::Aborted(error()))]), Some("unknown"));
        assert_eq!(label(vec![Err(CommitError::Fenced(error())), Err(CommitError::Unknown(error()))]), Some("fenced"));
    }
}
