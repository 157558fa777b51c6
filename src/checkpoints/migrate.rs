//! Changes the number of shards.
//!
//! Streams hash to shards, so another number moves them away from where their progress is. On a bus the
//! progress therefore goes to a checkpoint of another name, in the same commit that ends the old one: no
//! replica can go on from the old one, however late it wakes up. A local checkpoint is rewritten in place.

use super::own::{Owned, Stored, repeat};
use super::{CheckpointsError, MigrateArgs, place};
use crate::config::{Checked, CheckedKafka, CheckedNats, CheckedSink, is_checkpoint_name};
use crate::run::{RunError, kafka_settings, nats_settings};
use crate::sink::{CommitError, Committer, Ownership, SinkError, kafka, nats};
use bridge_core::checkpoint::reshard::{self, Plan, Set, Steps, Target};
use bridge_core::checkpoint::{Contents, read};
use bridge_core::ids::ShardId;
use bridge_core::record::batch::{Batch, CheckpointWrite};
use bridge_core::record::topic::check_name;
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::fmt;
use std::num::NonZeroU32;

/// What a migration did, or would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Migration {
    /// How far it is.
    pub state: Standing,
    /// Where the progress is, or was.
    pub from: End,
    /// Where it is to go, or went: what to configure.
    pub to: End,
    /// How many streams go along.
    pub streams: usize,
    /// The epoch of all shards there.
    pub epoch: Option<u64>,
    /// Shards that don't go on: nothing more is written to their part of each lane.
    pub ended_shards: Vec<u32>,
}

/// How far a migration is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Nothing was changed.
    Planned,
    /// It is done, now.
    Migrated,
    /// It was done before.
    DoneBefore,
    /// There is no checkpoint yet.
    NothingToMigrate,
    /// The number of shards is what it is to be.
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
    fn new(state: Standing, from: &Checked, to: &Checked) -> Self {
        let end = |checked: &Checked| End { shards: checked.shards.get(), checkpoint: place::setting(checked) };
        Self { state, from: end(from), to: end(to), streams: 0, epoch: None, ended_shards: Vec::new() }
    }

    fn of(plan: &Plan, state: Standing, from: &Checked, to: &Checked) -> Self {
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

/// See the [module](self).
pub(super) async fn migrate(
    checked: &Checked,
    args: &MigrateArgs,
    now: DateTime<Utc>,
) -> Result<Migration, CheckpointsError> {
    let to = target(checked, args)?;
    if args.shards == checked.shards && args.to.is_none() {
        return Ok(Migration::new(Standing::Unchanged, checked, &to));
    }
    let job = Job { from: checked, to: &to, now };
    let in_place = matches!(checked.sink, CheckedSink::Console(_) | CheckedSink::File(_));
    let (old, new) = if in_place {
        (place::stored(checked).await?, Stored::new())
    } else {
        (place::stored(checked).await?, place::stored(&to).await?)
    };
    let plan = job.plan(&old, &new, in_place)?;
    if !args.yes || !matches!(plan, Plan::Steps(_)) {
        return Ok(Migration::of(&plan, Standing::Planned, checked, &to));
    }
    place::wait_until_free(&place::as_command(checked, ROLE)).await?;
    if !in_place {
        place::wait_until_free(&place::as_command(&to, NEW_ROLE)).await?;
    }
    // Planned again from what is owned.
    let plan = match (&checked.sink, &to.sink) {
        (CheckedSink::Kafka(old), CheckedSink::Kafka(new)) => job.kafka(old, new).await?,
        (CheckedSink::Nats(old), CheckedSink::Nats(new)) => job.nats(old, new).await?,
        _ => job.in_place().await?,
    };
    Ok(Migration::of(&plan, Standing::Migrated, checked, &to))
}

/// What the sessions on the old and the new checkpoint add to the replica's name.
const ROLE: &str = "checkpoint";
const NEW_ROLE: &str = "checkpoint-new";

/// The configuration after the migration.
fn target(checked: &Checked, args: &MigrateArgs) -> Result<Checked, CheckpointsError> {
    let usage = |words: String| Err(CheckpointsError::Usage(words));
    let mut to = checked.clone();
    to.shards = args.shards;
    let moved = args.shards != checked.shards || args.to.is_some();
    match &mut to.sink {
        CheckedSink::Kafka(sink) => {
            let topic = &mut sink.config.checkpoint_topic;
            let base = topic.strip_suffix(&format!("-{}", checked.shards)).unwrap_or(topic);
            let name = args.to.clone().unwrap_or_else(|| format!("{base}-{}", args.shards));
            if let Err(problem) = check_name(&name) {
                return usage(format!("--to {name}: {problem}"));
            }
            if moved && (name == *topic || name == sink.config.dead_letter_topic || name == sink.config.topic) {
                return usage(format!("--to {name}: the topic is in use already; name a new one"));
            }
            *topic = name;
        }
        CheckedSink::Nats(sink) => {
            let name = args.to.clone().unwrap_or_else(|| format!("shards-{}", args.shards));
            if !is_checkpoint_name(&name) {
                return usage(format!("--to {name}: must be letters, digits, `-` and `_`, 64 of them at most"));
            }
            if moved && sink.config.checkpoint.as_ref() == Some(&name) {
                return usage(format!("--to {name}: the checkpoint has this name already; give a new one"));
            }
            sink.config.checkpoint = Some(name);
        }
        CheckedSink::Console(_) | CheckedSink::File(_) if args.to.is_some() => {
            return usage("--to: a local checkpoint stays where it is".to_owned());
        }
        CheckedSink::Console(_) | CheckedSink::File(_) => {}
    }
    Ok(to)
}

struct Job<'a> {
    from: &'a Checked,
    to: &'a Checked,
    now: DateTime<Utc>,
}

impl Job<'_> {
    fn plan(&self, old: &Stored, new: &Stored, in_place: bool) -> Result<Plan, CheckpointsError> {
        let name = place::setting(self.to);
        let writer = place::as_command(self.from, ROLE).replica;
        let target = Target { name: &name, shards: self.to.shards, replica: &writer };
        let old = set(old, self.from.shards)?;
        let plan = if in_place {
            reshard::plan_in_place(&old, target, self.now)
        } else {
            reshard::plan(&old, &set(new, NonZeroU32::MIN)?, target, self.now)
        };
        Ok(plan?)
    }

    async fn kafka(&self, old: &CheckedKafka, new: &CheckedKafka) -> Result<Plan, CheckpointsError> {
        let old = kafka_settings(&place::as_command(self.from, ROLE), old)?;
        // A producer of the same name would fence the first one.
        let new = kafka_settings(&place::as_command(self.to, NEW_ROLE), new)?;
        let topic = new.config.checkpoint_topic.clone();
        let hand_over = async |old: &mut _, _new: &mut _, steps| {
            let Steps { entries, headers, retired, .. } = steps;
            let written = entries.into_iter().chain(headers).collect();
            kafka::offline::hand_over(old, &topic, written, retired, self.now).await
        };
        self.between(kafka::open(old).await, kafka::open(new), hand_over).await
    }

    async fn nats(&self, old: &CheckedNats, new: &CheckedNats) -> Result<Plan, CheckpointsError> {
        let old = nats_settings(&place::as_command(self.from, ROLE), old);
        let new = nats_settings(&place::as_command(self.to, NEW_ROLE), new);
        let hand_over = async |old: &mut _, new: &mut _, steps| {
            let Steps { entries, headers, retired, .. } = steps;
            nats::offline::hand_over(old, new, entries, headers, retired).await
        };
        Box::pin(self.between(nats::open(old).await, nats::open(new), hand_over)).await
    }

    /// Owns both checkpoints, so that nobody begins on the new one meanwhile, and hands the old one over.
    async fn between<C: Committer>(
        &self,
        old: Result<(C, Ownership), SinkError>,
        new: impl Future<Output = Result<(C, Ownership), SinkError>>,
        hand_over: impl AsyncFn(&mut C, &mut C, Steps) -> Result<(), CommitError>,
    ) -> Result<Plan, CheckpointsError> {
        let mut old = Owned::take(old?, self.from.shards).await?;
        let opened = match new.await {
            Ok(opened) => Owned::take(opened, self.to.shards).await,
            Err(error) => Err(error.into()),
        };
        let mut new = match opened {
            Ok(new) => new,
            Err(error) => {
                old.close().await;
                return Err(error);
            }
        };
        let outcome = self.hand_over(&mut old, &mut new, hand_over).await;
        new.close().await;
        old.close().await;
        outcome
    }

    async fn hand_over<C: Committer>(
        &self,
        old: &mut Owned<C>,
        new: &mut Owned<C>,
        hand_over: impl AsyncFn(&mut C, &mut C, Steps) -> Result<(), CommitError>,
    ) -> Result<Plan, CheckpointsError> {
        let plan = self.plan(&old.stored, &new.stored, false)?;
        if let Plan::Steps(steps) = &plan {
            old.still_alone()?;
            new.still_alone()?;
            tracing::info!(streams = steps.streams, "both checkpoints owned, migrating");
            repeat(async || hand_over(&mut old.committer, &mut new.committer, steps.clone()).await).await?;
        }
        Ok(plan)
    }

    /// One commit that removes what was and writes what is.
    async fn in_place(&self) -> Result<Plan, CheckpointsError> {
        let mut plan = Plan::Nothing;
        let shards = self.from.shards.max(self.to.shards);
        place::rewrite(&place::as_command(self.from, ROLE), shards, |stored| {
            plan = self.plan(stored, &Stored::new(), true)?;
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

/// The shards from 0 on, `least` of them at least, and whatever else has anything.
fn set(stored: &Stored, least: NonZeroU32) -> Result<Set, CheckpointsError> {
    let mut set: Set = (0..least.get()).map(|shard| (ShardId(shard), Contents::default())).collect();
    for (shard, checkpoint) in stored {
        if !checkpoint.is_empty() {
            set.insert(*shard, read(*shard, checkpoint)?);
        }
    }
    Ok(set)
}

impl From<SinkError> for CheckpointsError {
    fn from(error: SinkError) -> Self {
        RunError::from(error).into()
    }
}
