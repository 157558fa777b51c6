//! Changes the number of shards.
//!
//! Streams hash to shards, so another number of shards moves streams away from their progress. On a bus the progress
//! therefore goes to a checkpoint with another name, in the same commit that ends the old one: no replica can continue
//! the old one, however late it resumes. A local checkpoint is rewritten in place.

use super::own::{Owned, Stored, repeat};
use super::{CheckpointsError, MigrateArgs, rewrite};
use crate::config::Checked;
use crate::sink::any::Sink;
use bridge_core::checkpoint::reshard::{self, Plan, Set, Steps, Target};
use bridge_core::checkpoint::{Contents, read};
use bridge_core::ids::ShardId;
use bridge_core::record::batch::{Batch, CheckpointWrite};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::fmt;
use std::num::NonZeroU32;

/// The result of a migration, or what it would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Migration {
    /// The state of the migration.
    pub state: Standing,
    /// The checkpoint that has, or had, the progress.
    pub from: End,
    /// The checkpoint that gets, or got, the progress. Configure these settings afterwards.
    pub to: End,
    /// The number of streams that are migrated.
    pub streams: usize,
    /// The epoch of all shards in the new checkpoint.
    pub epoch: Option<u64>,
    /// Shards that end: nothing more is written to their part of each lane.
    pub ended_shards: Vec<u32>,
}

/// The state of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Nothing was changed.
    Planned,
    /// The migration is done, by this run.
    Migrated,
    /// An earlier run did the migration.
    DoneBefore,
    /// There is no checkpoint yet.
    NothingToMigrate,
    /// The number of shards is the requested one already.
    Unchanged,
}

/// One side of a migration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct End {
    /// The number of shards.
    pub shards: u32,
    /// The setting that names the checkpoint, as `path: value`.
    pub checkpoint: String,
}

impl Migration {
    fn new(state: Standing, from: &Sink, to: &Sink) -> Self {
        let end = |sink: &Sink| End { shards: sink.shards().get(), checkpoint: sink.checkpoint_setting() };
        Self { state, from: end(from), to: end(to), streams: 0, epoch: None, ended_shards: Vec::new() }
    }

    fn of(plan: &Plan, state: Standing, from: &Sink, to: &Sink) -> Self {
        match plan {
            Plan::Nothing => Self::new(Standing::NothingToMigrate, from, to),
            Plan::Done => Self::new(Standing::DoneBefore, from, to),
            Plan::Steps(Steps { streams, epoch, ended, .. }) => Self {
                streams: *streams,
                epoch: Some(*epoch),
                ended_shards: ended.iter().map(|shard| shard.0).collect(),
                ..Self::new(state, from, to)
            },
        }
    }

    /// Whether bridges may be started with the new settings.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state != Standing::Planned
    }
}

impl fmt::Display for Migration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { state, from, to, streams, epoch: _, ended_shards } = self;
        let configure =
            |f: &mut fmt::Formatter<'_>| writeln!(f, "Configure:\n  shards: {}\n  {}", to.shards, to.checkpoint);
        match state {
            Standing::Unchanged => return writeln!(f, "there are {} shards: nothing to do", from.shards),
            Standing::NothingToMigrate => {
                return writeln!(f, "there is no checkpoint yet: set shards: {} and start the bridge", to.shards);
            }
            Standing::DoneBefore => {
                writeln!(f, "done before")?;
                return configure(f);
            }
            Standing::Planned => writeln!(f, "to be migrated:")?,
            Standing::Migrated => writeln!(f, "migrated:")?,
        }
        writeln!(f, "  {streams} streams from {} shards ({})", from.shards, from.checkpoint)?;
        writeln!(f, "  to {} shards ({})", to.shards, to.checkpoint)?;
        if !ended_shards.is_empty() {
            writeln!(f, "  shards {ended_shards:?} end: nothing more is written to their part of each lane")?;
        }
        match state {
            Standing::Planned => writeln!(f, "nothing was changed: stop all bridges, then run this with --yes"),
            Standing::Migrated | Standing::DoneBefore | Standing::NothingToMigrate | Standing::Unchanged => {
                configure(f)
            }
        }
    }
}

/// Changes the number of shards, see the [module](self).
pub(super) async fn migrate(
    checked: &Checked,
    args: &MigrateArgs,
    now: DateTime<Utc>,
) -> Result<Migration, CheckpointsError> {
    let from = Sink::new(checked);
    let to = from.resharded(args.shards, args.to.as_deref());
    let to = to.map_err(|problem| CheckpointsError::Usage(format!("--to {problem}")))?;
    if args.shards == from.shards() && args.to.is_none() {
        return Ok(Migration::new(Standing::Unchanged, &from, &to));
    }
    let job = Job { from: &from, to: &to, now };
    let new = if from.is_local() { Stored::new() } else { to.stored().await? };
    let plan = job.plan(&from.stored().await?, &new)?;
    if !args.yes || !matches!(plan, Plan::Steps(_)) {
        return Ok(Migration::of(&plan, Standing::Planned, &from, &to));
    }
    rewrite::wait_until_free(&from.as_command(ROLE)).await?;
    // Planned again, from what is owned now.
    let plan = if from.is_local() {
        job.in_place().await?
    } else {
        rewrite::wait_until_free(&to.as_command(NEW_ROLE)).await?;
        Box::pin(job.between()).await?
    };
    Ok(Migration::of(&plan, Standing::Migrated, &from, &to))
}

/// The suffix of the replica's name in the sessions on the old and on the new checkpoint.
const ROLE: &str = "checkpoint";
const NEW_ROLE: &str = "checkpoint-new";

struct Job<'a> {
    from: &'a Sink,
    to: &'a Sink,
    now: DateTime<Utc>,
}

impl Job<'_> {
    fn plan(&self, old: &Stored, new: &Stored) -> Result<Plan, CheckpointsError> {
        let name = self.to.checkpoint_setting();
        let writer = self.from.as_command(ROLE);
        let deployment = &self.from.expected().deployment;
        let target = Target { name: &name, shards: self.to.shards(), replica: writer.replica(), deployment };
        let old = set(old, self.from.shards())?;
        Ok(if self.from.is_local() {
            reshard::plan_in_place(&old, target, self.now)?
        } else {
            reshard::plan(&old, &set(new, NonZeroU32::MIN)?, target, self.now)?
        })
    }

    /// Owns both checkpoints, so that nobody starts on the new one meanwhile, and moves the progress.
    async fn between(&self) -> Result<Plan, CheckpointsError> {
        let old = self.from.as_command(ROLE).open().await?;
        let mut old = Owned::take(old, self.from.shards()).await?;
        // A producer with the same name would fence the first one.
        let opened = match self.to.as_command(NEW_ROLE).open().await {
            Ok(opened) => Owned::take(opened, self.to.shards()).await,
            Err(error) => Err(error.into()),
        };
        let mut new = match opened {
            Ok(new) => new,
            Err(error) => {
                old.close().await;
                return Err(error);
            }
        };
        let outcome = self.hand_over(&mut old, &mut new).await;
        new.close().await;
        old.close().await;
        outcome
    }

    async fn hand_over(&self, old: &mut Owned, new: &mut Owned) -> Result<Plan, CheckpointsError> {
        let plan = self.plan(&old.stored, &new.stored)?;
        if let Plan::Steps(steps) = &plan {
            old.still_alone()?;
            new.still_alone()?;
            tracing::info!(streams = steps.streams, "both checkpoints owned, migrating");
            let (from, to) = (&mut old.committer, &mut new.committer);
            repeat(async || from.hand_over(to, self.to, steps.clone(), self.now).await).await?;
        }
        Ok(plan)
    }

    /// One commit that removes the old entries and writes the new ones.
    async fn in_place(&self) -> Result<Plan, CheckpointsError> {
        let mut plan = Plan::Nothing;
        let shards = self.from.shards().max(self.to.shards());
        rewrite::rewrite(&self.from.as_command(ROLE), shards, |stored| {
            plan = self.plan(stored, &Stored::new())?;
            let Plan::Steps(Steps { entries, headers, streams, .. }) = &plan else { return Ok(Batch::default()) };
            tracing::info!(streams, "checkpoint owned, migrating");
            let removed = stored.iter().flat_map(|(shard, checkpoint)| {
                checkpoint.keys().map(|key| CheckpointWrite { shard: *shard, key: key.clone(), value: None })
            });
            let checkpoints = removed.chain(entries.iter().chain(headers).cloned()).collect();
            Ok(Batch { messages: Vec::new(), checkpoints })
        })
        .await?;
        Ok(plan)
    }
}

/// The shards from 0 on, at least `least` of them, and all other shards that have entries.
fn set(stored: &Stored, least: NonZeroU32) -> Result<Set, CheckpointsError> {
    let mut set: Set = (0..least.get()).map(|shard| (ShardId(shard), Contents::default())).collect();
    for (shard, checkpoint) in stored {
        if !checkpoint.is_empty() {
            set.insert(*shard, read(*shard, checkpoint)?);
        }
    }
    Ok(set)
}
