//! NATS JetStream: one atomic batch for one commit, fenced by the heads of the shards.
//!
//! Records and checkpoints are subjects of one JetStream stream. With `asana` as the prefix:
//!
//! | subject | holds |
//! | --- | --- |
//! | `asana.lane.{lane}.{account}.{stream}.{type}.{gid}` | a record; one of the lane itself has `_` for account,
//! stream and type, and its shard for the gid |
//! | `asana.dead-letter.{account}.{stream}.{type}.{gid}` | a part of a record that was too large |
//! | `asana._checkpoint.{shard}.head` | the shard's fence, and its intended and finished commits |
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
//! Leases are keys of the bucket `{stream}_leases`: `replica.{name}` and `shard.{n}`.
//!
//! `docs/decisions/nats-write-ahead.md` describes how a commit is all or nothing, and
//! `docs/decisions/nats-ownership.md` how shards get their owners.

mod atomic;
mod connect;
mod error;
mod examine;
mod head;
mod lease;
mod login;
mod member;
pub mod offline;
mod outgoing;
mod ownership;
mod places;
mod publish;
mod refresh_log;
mod restore;
mod retries;
mod rights;
mod setup;
mod subject;
mod tails;
mod tenures;
mod view;
mod write_ahead;

use super::refresh_log::{RefreshLog, pair};
use super::{CommitError, Committer, Ownership, SinkError};
use crate::config::{CheckedNats, NatsConfig, NatsLogin};
use bridge_core::ids::{Deployment, ShardId, Topic};
use bridge_core::record::batch::{Batch, BatchLimits, OutputTopic};
pub use connect::connect;
pub(in crate::sink) use connect::{bus_works, tell_over};
use error::ShardError;
pub use examine::examine;
use futures_util::{StreamExt as _, stream};
use head::{Session, Shard};
use outgoing::{Part, Writes};
use ownership::{EVENTS, Owner};
pub(super) use places::{place, place_at};
use publish::Publisher;
use std::collections::BTreeMap;
use std::fmt;
use std::future::ready;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use subject::Subjects;
pub(super) use tails::tails;
use tenures::{Foreign, Tenures};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use view::Holder;

/// The time after which the lease of a crashed replica expires.
pub const LEASE_TIME: Duration = Duration::from_secs(10);
/// The maximum size of a message's subject, headers and batch headers, in bytes.
const OVERHEAD_BYTES: usize = 4 << 10;
/// Room in an atomic batch for messages that the caller doesn't count: the heads.
const ATOMIC_ROOM: usize = 100;
/// The maximum size of a batch without atomic batches, in messages. It limits the time of a redo.
const WRITE_AHEAD_MESSAGES: usize = 10_000;

/// The settings of the sink.
#[derive(Clone)]
pub struct NatsSettings {
    /// The part `sink.nats` of the configuration, unchanged.
    pub config: NatsConfig,
    /// The login. Secrets are read at each login.
    pub login: NatsLogin,
    /// Whether resources are read again, so that there is a refresh log.
    pub has_refresh_log: bool,
    /// The number of shards.
    pub shards: NonZeroU32,
    /// The deployment, which each record names.
    pub deployment: Deployment,
    /// This replica's name, stable over its restarts and different from that of every other replica.
    pub replica: String,
    /// The time after which the lease of a crashed replica expires, if the bucket has to be created. [`LEASE_TIME`]
    /// except in tests.
    pub lease_time: Duration,
}

impl NatsSettings {
    /// The settings of a configuration.
    #[must_use]
    pub fn new(sink: &CheckedNats, shards: NonZeroU32, deployment: &Deployment, replica: &str) -> Self {
        Self {
            config: sink.config.clone(),
            login: sink.login.clone(),
            has_refresh_log: sink.has_refresh_log,
            shards,
            deployment: deployment.clone(),
            replica: replica.to_owned(),
            lease_time: LEASE_TIME,
        }
    }
}

impl fmt::Debug for NatsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The addresses may contain passwords.
        f.debug_struct("NatsSettings")
            .field("stream", &self.config.stream)
            .field("subject_prefix", &self.config.subject_prefix)
            .field("login", &self.login)
            .field("shards", &self.shards)
            .field("replica", &self.replica)
            .field("lease_time", &self.lease_time)
            .finish_non_exhaustive()
    }
}

/// Opens a session: connects, creates or checks the JetStream stream, and joins the other replicas.
///
/// # Errors
/// [`SinkError::Unavailable`], [`SinkError::Refused`]: retry. [`SinkError::Setup`]: the operator has to act.
///
/// # Cancel safety
/// It may be called again after it was dropped.
pub async fn open(settings: NatsSettings) -> Result<(NatsCommitter, Ownership), SinkError> {
    let client = connect(&settings).await?;
    let NatsSettings { config, shards, deployment, replica, lease_time, .. } = settings;
    let subjects = subjects(&config);
    let abilities = setup::prepare(&client, &config, &subjects).await?;
    // The client's inboxes are random and unique, so the session's id is, too.
    let id = client.new_inbox().rsplit('.').next().unwrap_or_default().to_owned();
    let bucket = bucket(&config);
    let replicas = usize::from(config.replicas.get());
    let holder = Holder { replica: replica.clone(), session: id.clone() };
    let leases = lease::Leases::open(&client, &bucket, lease_time, replicas, config.create, holder).await?;
    let publisher = Arc::new(Publisher::new(client, config.stream, subjects, abilities).await?);
    let session = Session { id, replica };
    let tenures = Arc::new(Tenures::default());
    // The committer waits for each answer: room for one.
    let (foreign, foreigners) = mpsc::channel(1);
    let (events, ownership) = mpsc::channel(EVENTS);
    let owner = Owner {
        publisher: Arc::clone(&publisher),
        session: session.clone(),
        leases: Arc::new(leases),
        shards: shards.get(),
        tenures: Arc::clone(&tenures),
        foreign: foreigners,
        events,
    };
    let end = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(owner.run(end.clone()));
    let committer = NatsCommitter {
        publisher,
        deployment,
        session: session.id,
        lanes: config.lanes,
        owned: BTreeMap::new(),
        tenures,
        foreign,
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
    deployment: Deployment,
    /// Begins the id of each commit.
    session: String,
    lanes: NonZeroU32,
    owned: BTreeMap<ShardId, Shard>,
    tenures: Arc<Tenures>,
    foreign: mpsc::Sender<Foreign>,
    commits: u64,
    end: CancellationToken,
    tasks: JoinSet<()>,
}

impl Committer for NatsCommitter {
    fn batch_limits(&self) -> BatchLimits {
        let spans_shards = self.publisher.abilities().atomic;
        let messages = if spans_shards {
            self.publisher.atomic_messages().saturating_sub(ATOMIC_ROOM).max(1)
        } else {
            WRITE_AHEAD_MESSAGES
        };
        BatchLimits { messages, spans_shards }
    }

    async fn output_topic(&mut self, topic: &Topic) -> Result<OutputTopic, SinkError> {
        let prefix = self.publisher.subjects().prefix();
        let is_state = topic.as_str() == format!("{prefix}.state");
        if topic == prefix || is_state {
            let largest = self.publisher.max_payload();
            // In a small message the headers take half at the most.
            let message_bytes = largest.saturating_sub(OVERHEAD_BYTES.min(largest / 2));
            return Ok(OutputTopic { lanes: self.lanes, message_bytes });
        }
        Err(SinkError::Setup {
            problem: format!("{topic} isn't the subject prefix {prefix}"),
            remedy: "on NATS all records are in one JetStream stream; filter by subject instead".to_owned(),
        })
    }

    async fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        self.tenures.note(&mut self.owned);
        let writes = Writes::new(self.publisher.subjects(), &self.deployment, batch);
        if writes.len() == 0 {
            return Ok(());
        }
        if let Some(shard) = writes.shards().find(|shard| !self.owned.contains_key(shard)) {
            let action = format!("write to {}", self.publisher.subjects().head(shard));
            let why = "this replica doesn't own the shard any more";
            return Err(CommitError::Aborted(SinkError::unavailable(action, why)));
        }
        self.commits += 1;
        let id = format!("{}-{}", self.session, self.commits);
        let mut lost = Vec::new();
        let outcome = if self.publisher.abilities().atomic && writes.len() <= self.publisher.atomic_messages() {
            atomic::commit(&self.publisher, &mut self.owned, &id, writes, &mut lost).await
        } else {
            self.write_ahead(&id, writes.by_shard(), &mut lost).await
        };
        let gone = self.owned.values_mut().filter_map(|shard| std::mem::take(&mut shard.is_gone).then_some(()));
        let is_gone = gone.count() > 0;
        // What deleted one head has probably deleted all.
        let emptied = if is_gone { self.owned.keys().copied().collect() } else { Vec::new() };
        if !lost.is_empty() || !emptied.is_empty() {
            self.tell(lost, emptied).await;
        }
        outcome
    }

    fn refresh_log(&mut self) -> RefreshLog {
        let (log, feed) = pair();
        self.tasks.spawn(refresh_log::run(Arc::clone(&self.publisher), feed));
        log
    }

    async fn close(mut self) {
        self.end.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

impl NatsCommitter {
    /// Reports to the session that shards belong to another replica, or that their entries were deleted.
    async fn tell(&mut self, shards: Vec<ShardId>, emptied: Vec<ShardId>) {
        let (told, answer) = oneshot::channel();
        // Without the task the session ends in any case.
        if self.foreign.send(Foreign { shards, emptied, told }).await.is_ok() {
            answer.await.ok();
        }
    }

    /// Commits each shard on its own. The batch is committed when all of them are.
    async fn write_ahead(
        &mut self,
        id: &str,
        mut parts: BTreeMap<ShardId, Part>,
        lost: &mut Vec<ShardId>,
    ) -> Result<(), CommitError> {
        let publisher = &self.publisher;
        let owned = self.owned.iter_mut().filter_map(|(shard, state)| Some((*shard, state, parts.remove(shard)?)));
        let owned: Vec<_> = owned.collect();
        let at_once = owned.len().max(1);
        if at_once > 1 {
            // A shard that was lost some time ago has to be noticed before the parts of the others are written.
            let looks = owned.iter().map(|(shard, state, _)| head::foreign(publisher, *shard, state));
            let looks: Vec<_> = looks.collect();
            let foreign: Vec<_> = stream::iter(looks).buffer_unordered(at_once).filter_map(ready).collect().await;
            lost.extend(foreign.iter().map(|(shard, _)| *shard));
            if let Some((_, error)) = foreign.into_iter().next() {
                return Err(CommitError::Aborted(error));
            }
        }
        let commits = owned.into_iter().map(async |(shard, state, part)| {
            (shard, write_ahead::commit(publisher, shard, state, id, part, at_once == 1).await)
        });
        let commits: Vec<_> = commits.collect();
        together(stream::iter(commits).buffer_unordered(at_once).collect().await, lost)
    }
}

/// The outcome of a batch from the outcomes of its shards. Lost shards are added to `lost`.
fn together(outcomes: Vec<(ShardId, Result<(), ShardError>)>, lost: &mut Vec<ShardId>) -> Result<(), CommitError> {
    let some_committed = outcomes.iter().any(|(_, outcome)| outcome.is_ok());
    let is_foreign = |outcome: &Result<(), ShardError>| matches!(outcome, Err(ShardError::Foreign(_)));
    lost.extend(outcomes.iter().filter(|(_, outcome)| is_foreign(outcome)).map(|(shard, _)| *shard));
    let severity = |error: &ShardError| match error {
        ShardError::Foreign(_) | ShardError::Aborted(_) => 0,
        ShardError::Unknown(_) => 1,
        ShardError::Fatal(_) => 2,
    };
    match outcomes.into_iter().filter_map(|(_, outcome)| outcome.err()).max_by_key(severity) {
        None => Ok(()),
        Some(ShardError::Fatal(error)) => Err(CommitError::Fatal(error)),
        Some(ShardError::Unknown(error)) => Err(CommitError::Unknown(error)),
        // A part of the batch is stored, so nothing of it may be written again.
        Some(ShardError::Foreign(error) | ShardError::Aborted(error)) if some_committed => {
            Err(CommitError::Unknown(error))
        }
        // What was staged for the lost shards is dropped, the rest is written again.
        Some(ShardError::Foreign(error) | ShardError::Aborted(error)) => Err(CommitError::Aborted(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_what_its_shards_are() {
        let error = || SinkError::unavailable("x", "y");
        let of = |outcomes: Vec<Result<(), ShardError>>| {
            let mut lost = Vec::new();
            let outcome = together((0..).map(ShardId).zip(outcomes).collect(), &mut lost);
            (outcome.err().map(|error| error.label()), lost.into_iter().map(|shard| shard.0).collect::<Vec<_>>())
        };
        let (aborted, foreign) = (|| Err(ShardError::Aborted(error())), || Err(ShardError::Foreign(error())));
        let unknown = || Err(ShardError::Unknown(error()));
        assert_eq!(of(vec![Ok(()), Ok(())]), (None, vec![]));
        assert_eq!(of(vec![aborted()]), (Some("aborted"), vec![]));
        assert_eq!(of(vec![Ok(()), aborted()]), (Some("unknown"), vec![]));
        assert_eq!(of(vec![foreign()]), (Some("aborted"), vec![0]));
        assert_eq!(of(vec![aborted(), foreign(), foreign()]), (Some("aborted"), vec![1, 2]));
        assert_eq!(of(vec![Ok(()), foreign()]), (Some("unknown"), vec![1]));
        assert_eq!(of(vec![foreign(), unknown()]), (Some("unknown"), vec![0]));
        let fatal = Err(ShardError::Fatal(error()));
        assert_eq!(of(vec![unknown(), fatal, Ok(())]), (Some("fatal"), vec![]));
    }
}
