//! Shows and changes the stored progress: `checkpoint list`, `show`, `reset`, `migrate`, `adopt`, `recreate`, `repair`.
//!
//! Reading disturbs no bridge. For a change, the command becomes the owner in the ordinary way, so that the bus's
//! fencing keeps any bridge from writing at the same time.

mod change;
mod migrate;
mod own;
mod report;
mod rewrite;

pub use change::{Adoption, Rebuilding};
pub use migrate::{End, Migration, Standing};
pub use report::{
    Configured, Detail, GapReport, LaneReport, Listing, RetiredReport, ShardReport, StreamReport, StreamState, Totals,
};

use super::process::runtime;
use super::{Exit, Failure, Output};
use crate::clock::Clock;
use crate::config::gid::stream_id;
use crate::config::{self, Checked, Environment, Source};
use crate::sink::any::Sink;
use crate::sink::{CommitError, SinkError};
use bridge_core::checkpoint::reshard::{MigrationError, Set};
use bridge_core::checkpoint::{CheckpointError, Header, read, restore, write_reset, write_shard};
use bridge_core::ids::StreamId;
use bridge_core::record::batch::{Batch, CheckpointWrite};
use chrono::{DateTime, Utc};
use own::Stored;
use report::Configuration;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

/// Show and change the stored progress.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
The checkpoint holds, for each stream, its sync token and its counters, written in the same commit as its records.
`list` and `show` may be used at any time. `reset` and `migrate` need all bridges on the checkpoint to be stopped
(`kubectl scale --replicas=0 deployment/…`), wait a moment for the last one to be gone, and refuse otherwise.")]
pub struct CheckpointArgs {
    /// The action on the checkpoint
    #[command(subcommand)]
    pub command: CheckpointCommand,
}

/// The action on the checkpoint.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum CheckpointCommand {
    /// Print one line for each stream: state, age of its token, counters, open source gaps
    List(ListArgs),
    /// Print everything about one stream and its shard
    Show(ShowArgs),
    /// Let streams get a new sync token at their next poll, announced as a source gap
    Reset(ResetArgs),
    /// Change the number of shards without a loss
    Migrate(MigrateArgs),
    /// Give the checkpoint the configured `deployment`, after that was renamed
    Adopt(ChangeArgs),
    /// Continue after the checkpoint, or a part of it, was lost, with a source gap on every stream that it concerns
    Recreate(ChangeArgs),
    /// Remove foreign and damaged entries from the checkpoint
    Repair(ChangeArgs),
}

/// Adopt, recreate or repair a checkpoint.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  asana-event-bridge checkpoint adopt --config bridge.yaml
  asana-event-bridge checkpoint recreate --config bridge.yaml --yes

adopt     gives the checkpoint the configured `deployment`. Nothing else changes.
recreate  begins the lost shards of a checkpoint again. What is left of the checkpoint is kept. A stream without a token opens a
          source gap whose beginning isn't known, in every lane, before anything later. If the checkpoint is older than the
          records, as after a restore, all its streams get a new token and a source gap.
repair    removes entries that aren't the bridge's, and damaged ones. A stream whose entry is removed opens a source gap.

Without --yes nothing is changed, and the command exits with 1 after saying what it would do. Exits with 69 if a bridge runs.")]
pub struct ChangeArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take a doc for help")]
    pub common: CommonArgs,
    /// Make the change. Without it, the command only prints what it would do
    #[arg(long)]
    pub yes: bool,
}

/// The options that all actions have.
#[derive(Clone, Debug, clap::Args)]
pub struct CommonArgs {
    /// The bridge's configuration file (YAML)
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// The format of the output: text, or one JSON object on the last line
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// List streams.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  asana-event-bridge checkpoint list --config bridge.yaml
  asana-event-bridge checkpoint list --config bridge.yaml --output json | tail -1 | jq '.streams[] | select(.state != \"live\")'

A token is shown as a hash. Asana lets it live for 24 hours: past that it is shown as expired, and the next poll
will announce a source gap. Age and last complete poll are those of the last commit; a quiet stream commits little.")]
pub struct ListArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take a doc for help")]
    pub common: CommonArgs,
}

/// Show a stream.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  asana-event-bridge checkpoint show --config bridge.yaml main/1204619611402340

Exits with 1 if the stream is neither stored nor configured.")]
pub struct ShowArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take a doc for help")]
    pub common: CommonArgs,
    /// The stream, as ACCOUNT/GID
    #[arg(value_name = "STREAM", value_parser = stream_id)]
    pub stream: StreamId,
}

/// Reset streams.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  asana-event-bridge checkpoint reset --config bridge.yaml main/1204619611402340
  asana-event-bridge checkpoint reset --config bridge.yaml --all --yes

Use it for a stream whose token doesn't work, although Asana doesn't reject it. The next poll gets a new token. Events between the
last complete poll and that moment may be lost. So the bridge writes a SourceGap record of this window into every lane, before any
later record of the stream: a reset is never silent. Counters
continue.

Without --yes nothing is changed, and the command exits with 1 after saying what it would do; also with 1 if a stream isn't
stored. Exits with 69 if a bridge runs.")]
pub struct ResetArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take a doc for help")]
    pub common: CommonArgs,
    /// The streams, as ACCOUNT/GID
    #[arg(value_name = "STREAM", value_parser = stream_id, required_unless_present = "all")]
    pub streams: Vec<StreamId>,
    /// Reset all stored streams
    #[arg(long, conflicts_with = "streams")]
    pub all: bool,
    /// Make the change. Without it, the command only prints what it would do
    #[arg(long)]
    pub yes: bool,
}

/// Change the number of shards.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  asana-event-bridge checkpoint migrate --config bridge.yaml --shards 64
  asana-event-bridge checkpoint migrate --config bridge.yaml --shards 64 --to asana.checkpoints.v2 --yes

Give it the configuration as it is now; at the end it says what to configure. On Kubernetes: scale the bridge to 0, run
this as a Job with the bridge's ConfigMap, put what it says into the Helm values, and upgrade.

On Kafka and NATS the progress moves to a checkpoint of a new name, and the old one is ended in the same commit: a bridge that
is started with the old settings refuses, and says the new ones. Run again after a crash, it completes what it began.

Without --yes nothing is changed, and the command exits with 1 after saying what it would do; also with 1 if the new
checkpoint holds progress already. Exits with 69 if a bridge runs.")]
pub struct MigrateArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take a doc for help")]
    pub common: CommonArgs,
    /// The new number of shards
    #[arg(long, value_name = "N")]
    pub shards: NonZeroU32,
    /// The new checkpoint: a topic on Kafka (default: the present one's name with -N), a name on NATS (default: shards-N)
    #[arg(long, value_name = "NAME")]
    pub to: Option<String>,
    /// Make the change. Without it, the command only prints what it would do
    #[arg(long)]
    pub yes: bool,
}

impl CheckpointCommand {
    fn common(&self) -> &CommonArgs {
        match self {
            Self::List(args) => &args.common,
            Self::Show(args) => &args.common,
            Self::Reset(args) => &args.common,
            Self::Migrate(args) => &args.common,
            Self::Adopt(args) | Self::Recreate(args) | Self::Repair(args) => &args.common,
        }
    }

    /// The path of the configuration file.
    #[must_use]
    pub fn config(&self) -> &Path {
        &self.common().config
    }

    /// The format of the output.
    #[must_use]
    pub fn output(&self) -> Output {
        self.common().output
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointsError {
    /// The command line asks for something impossible.
    #[error("{0}")]
    Usage(String),
    /// A bridge uses the checkpoint: stop it first.
    #[error(
        "the checkpoint is in use by {who}: stop all bridges on it first \
         (on Kubernetes: kubectl scale --replicas=0 deployment/…), and nothing was changed"
    )]
    Busy {
        /// The replicas that use it.
        who: String,
    },
    /// The stored checkpoint can't be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The migration isn't possible.
    #[error(transparent)]
    Migration(#[from] MigrationError),
    /// The sink can't be opened or read.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The change may have failed. It is safe to run the command again.
    #[error("{0}; run it again")]
    Commit(#[from] CommitError),
}

impl Failure for CheckpointsError {
    fn exit(&self) -> Exit {
        match self {
            Self::Sink(error) => error.exit(),
            Self::Usage(_) | Self::Checkpoint(_) => Exit::Usage,
            Self::Migration(_) => Exit::Failed,
            Self::Busy { .. } | Self::Commit(_) => Exit::Unavailable,
        }
    }
}

/// Runs the command.
pub(super) fn execute(command: &CheckpointCommand) -> Result<Exit, Box<dyn Failure>> {
    let checked = config::load(&Source::file(command.config()), &Environment::of_process())?;
    let outcome = runtime()?.block_on(run(&checked, command, Clock::start().now().wall))?;
    command.output().show(&outcome)?;
    Ok(Exit::of(outcome.is_ok()))
}

/// The result of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Outcome {
    /// The result of `list`.
    Listing(Listing),
    /// The result of `show`.
    Detail(Box<Detail>),
    /// The result of `reset`.
    Reset(Reset),
    /// The result of `migrate`.
    Migration(Migration),
    /// The result of `adopt`.
    Adoption(Adoption),
    /// The result of `recreate` or `repair`.
    Rebuilding(Rebuilding),
    /// The result of `show` if the stream isn't stored.
    Unknown {
        /// The streams that aren't stored, as `account/gid`.
        unknown: Vec<String>,
    },
}

/// The result of a reset, or what it would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reset {
    /// Whether the reset was done. `false` without `--yes`.
    pub done: bool,
    /// The streams that get a new token, each with the start of its source gap.
    pub streams: Vec<ResetStream>,
    /// Streams without a token: they get their first one in any case.
    pub establishing: Vec<String>,
    /// Streams that aren't stored. If there are any, nothing is changed.
    pub unknown: Vec<String>,
}

/// A stream that is reset, or would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ResetStream {
    /// The stream, as `account/gid`.
    pub stream: String,
    /// The start of its source gap.
    pub last_complete_poll_at: String,
}

impl Outcome {
    /// Whether everything that was requested was found and done.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        match self {
            Self::Listing(_) | Self::Detail(_) => true,
            Self::Reset(reset) => reset.done,
            Self::Migration(migration) => migration.is_done(),
            Self::Adoption(adoption) => adoption.done,
            Self::Rebuilding(rebuilding) => rebuilding.done,
            Self::Unknown { .. } => false,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listing(listing) => listing.fmt(f),
            Self::Detail(detail) => detail.fmt(f),
            Self::Reset(reset) => reset.fmt(f),
            Self::Migration(migration) => migration.fmt(f),
            Self::Adoption(adoption) => adoption.fmt(f),
            Self::Rebuilding(rebuilding) => rebuilding.fmt(f),
            Self::Unknown { unknown } => {
                writeln!(f, "not stored, and not configured: {}; see `checkpoint list`", unknown.join(", "))
            }
        }
    }
}

impl fmt::Display for Reset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { done, streams, establishing, unknown } = self;
        for ResetStream { stream, last_complete_poll_at } in streams {
            writeln!(
                f,
                "{stream}: the next poll gets a new token, and announces a source gap since {last_complete_poll_at}"
            )?;
        }
        for stream in establishing {
            writeln!(f, "{stream}: has no token yet, nothing to reset")?;
        }
        for stream in unknown {
            writeln!(f, "{stream}: isn't stored; see `checkpoint list`")?;
        }
        match (done, unknown.is_empty()) {
            (true, _) => writeln!(f, "{} streams are reset", streams.len()),
            (false, true) => writeln!(f, "nothing was changed: stop all bridges, then run this with --yes"),
            (false, false) => writeln!(f, "nothing was changed"),
        }
    }
}

/// Runs a command.
///
/// # Errors
/// [`CheckpointsError`]: nothing was changed, except perhaps with `Commit`.
///
/// # Cancel safety
/// As safe as a crash: a change is complete, or is completed by running the command again.
pub async fn run(
    checked: &Checked,
    command: &CheckpointCommand,
    now: DateTime<Utc>,
) -> Result<Outcome, CheckpointsError> {
    match command {
        CheckpointCommand::List(_) => Ok(Outcome::Listing(list(checked, now).await?)),
        CheckpointCommand::Show(args) => show(checked, &args.stream, now).await,
        CheckpointCommand::Reset(args) => Ok(Outcome::Reset(reset(checked, args, now).await?)),
        CheckpointCommand::Migrate(args) => Ok(Outcome::Migration(migrate::migrate(checked, args, now).await?)),
        CheckpointCommand::Adopt(args) => Ok(Outcome::Adoption(change::adopt(checked, args.yes).await?)),
        CheckpointCommand::Recreate(args) => {
            Ok(Outcome::Rebuilding(change::rebuild_all(checked, args.yes, true, now).await?))
        }
        CheckpointCommand::Repair(args) => {
            Ok(Outcome::Rebuilding(change::rebuild_all(checked, args.yes, false, now).await?))
        }
    }
}

async fn list(checked: &Checked, now: DateTime<Utc>) -> Result<Listing, CheckpointsError> {
    let set = contents(&Sink::new(checked).stored().await?)?;
    let configuration = Configuration {
        streams: checked.streams.iter().map(|stream| stream.id.clone()).collect(),
        ruled: checked.discovery.rules.iter().map(|rule| rule.account.clone()).collect(),
    };
    Ok(Listing::new(Sink::new(checked).checkpoint_setting(), &set, checked.shards, &configuration, now))
}

async fn show(checked: &Checked, id: &StreamId, now: DateTime<Utc>) -> Result<Outcome, CheckpointsError> {
    let Listing { streams, shards, .. } = list(checked, now).await?;
    let name = id.to_string();
    let Some(stream) = streams.into_iter().find(|stream| stream.stream == name) else {
        return Ok(Outcome::Unknown { unknown: vec![name] });
    };
    let shard_header = shards.into_iter().find(|shard| shard.shard == stream.shard && shard.epoch.is_some());
    Ok(Outcome::Detail(Box::new(Detail { stream, shard_header })))
}

async fn reset(checked: &Checked, args: &ResetArgs, now: DateTime<Utc>) -> Result<Reset, CheckpointsError> {
    let wanted = if args.all { None } else { Some(args.streams.as_slice()) };
    let sink = Sink::new(checked).as_command("checkpoint");
    let (_, mut reset) = plan_reset(&sink, &sink.stored().await?, wanted, now)?;
    if !args.yes || !reset.unknown.is_empty() {
        return Ok(reset);
    }
    rewrite::wait_until_free(&sink).await?;
    rewrite::rewrite(&sink, sink.shards(), |stored| {
        let (checkpoints, planned) = plan_reset(&sink, stored, wanted, now)?;
        reset = planned;
        Ok(Batch { messages: Vec::new(), checkpoints })
    })
    .await?;
    reset.done = reset.unknown.is_empty();
    Ok(reset)
}

/// The writes that reset the `wanted` streams, or all; none if one of them isn't stored.
fn plan_reset(
    sink: &Sink,
    stored: &Stored,
    wanted: Option<&[StreamId]>,
    now: DateTime<Utc>,
) -> Result<(Vec<CheckpointWrite>, Reset), CheckpointsError> {
    let (mut streams, mut headers) = (BTreeMap::new(), BTreeMap::new());
    for (shard, checkpoint) in stored {
        let state = restore(*shard, checkpoint, sink.expected(), now)?;
        streams.extend(state.streams.into_iter().map(|(id, stream)| (id, (*shard, stream))));
        headers.insert(*shard, read(*shard, checkpoint)?.header);
    }
    let all: Vec<_> = streams.keys().cloned().collect();
    let mut reset = Reset { done: false, streams: Vec::new(), establishing: Vec::new(), unknown: Vec::new() };
    let mut writes = Vec::new();
    for id in wanted.unwrap_or(&all) {
        let Some((shard, stream)) = streams.get(id) else {
            reset.unknown.push(id.to_string());
            continue;
        };
        match (write_reset(*shard, id, stream), stream.live()) {
            (Some(write), Some(live)) => {
                writes.push(write);
                let last_complete_poll_at = report::time(live.last_complete_poll_at);
                reset.streams.push(ResetStream { stream: id.to_string(), last_complete_poll_at });
            }
            (Some(_) | None, _) => reset.establishing.push(id.to_string()),
        }
    }
    // As any owner does with its first batch: a successor then knows whose open transaction it may have to abort.
    let written: BTreeSet<_> = writes.iter().map(|write| write.shard).collect();
    let headers = headers.into_iter().filter(|(shard, _)| written.contains(shard));
    let header = |header: Header| Header { replica: sink.replica().to_owned(), ..header };
    writes.extend(headers.filter_map(|(shard, found)| Some(write_shard(shard, &header(found?)))));
    if !reset.unknown.is_empty() {
        writes.clear();
    }
    Ok((writes, reset))
}

fn contents(stored: &Stored) -> Result<Set, CheckpointError> {
    stored.iter().map(|(shard, checkpoint)| Ok((*shard, read(*shard, checkpoint)?))).collect()
}
