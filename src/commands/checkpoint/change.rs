//! Changes that let a bridge continue after an operator's mistake: `adopt`, `recreate`, `repair`.

use super::own::Stored;
use super::{CheckpointsError, rewrite};
use crate::config::Checked;
use crate::escape::printable;
use crate::sink::admission::Tail;
use crate::sink::any::Sink;
use bridge_core::checkpoint::rebuild::{Known, Rebuilt, rebuild};
use bridge_core::checkpoint::{Header, read, write_shard};
use bridge_core::ids::{ShardId, StreamId, Topic};
use bridge_core::record::batch::{Batch, CheckpointWrite, StoredCheckpoint};
use bridge_core::record::placement::shard_of;
use bridge_core::record::sequence::LaneCounter;
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The result of `adopt`, or what it would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Adoption {
    /// Whether the checkpoint has the new name: `false` without `--yes`.
    pub done: bool,
    /// The name that each shard of the checkpoint has. Empty: it has none.
    pub from: BTreeMap<u32, String>,
    /// The configured name.
    pub to: String,
}

impl fmt::Display for Adoption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { done, from, to } = self;
        let name = |name: &str| if name.is_empty() { "(without a name)".to_owned() } else { name.to_owned() };
        let others: Vec<_> = from.iter().filter(|(_, name)| *name != to).collect();
        if from.is_empty() {
            return writeln!(
                f,
                "there is no checkpoint: check the names of topics and checkpoints in the configuration"
            );
        }
        for (shard, found) in &others {
            writeln!(f, "shard {shard}: from the deployment {} to {}", name(found), name(to))?;
        }
        match (done, others.is_empty()) {
            (_, true) => writeln!(f, "the checkpoint belongs to the deployment {} already", name(to)),
            (true, false) => writeln!(f, "adopted"),
            (false, false) => writeln!(f, "nothing was changed: stop all bridges, then run this with --yes"),
        }
    }
}

/// Writes the configured deployment into the checkpoint.
pub(super) async fn adopt(checked: &Checked, yes: bool) -> Result<Adoption, CheckpointsError> {
    let sink = Sink::new(checked).as_command("checkpoint");
    let (_, mut adoption) = plan_adoption(&sink, &sink.stored().await?)?;
    if !yes || adoption.done {
        return Ok(adoption);
    }
    rewrite::wait_until_free(&sink).await?;
    rewrite::rewrite(&sink, sink.shards(), |stored| {
        let (checkpoints, planned) = plan_adoption(&sink, stored)?;
        adoption = planned;
        Ok(Batch { messages: Vec::new(), checkpoints })
    })
    .await?;
    adoption.done = !adoption.from.is_empty();
    Ok(adoption)
}

fn plan_adoption(sink: &Sink, stored: &Stored) -> Result<(Vec<CheckpointWrite>, Adoption), CheckpointsError> {
    let to = sink.expected().deployment;
    let (mut writes, mut from) = (Vec::new(), BTreeMap::new());
    for (shard, stored) in stored {
        let Some(header) = read(*shard, stored)?.header else { continue };
        from.insert(shard.0, header.deployment.as_str().to_owned());
        if header.deployment != to {
            let header = Header { deployment: to.clone(), replica: sink.replica().to_owned(), ..header };
            writes.push(write_shard(*shard, &header));
        }
    }
    let done = writes.is_empty() && !from.is_empty();
    Ok((writes, Adoption { done, from, to: to.as_str().to_owned() }))
}

/// The result of `recreate` and `repair`, or what they would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rebuilding {
    /// Whether the checkpoint can be continued: `false` without `--yes`.
    pub done: bool,
    /// The setting that names the checkpoint, as `path: value`.
    pub checkpoint: String,
    /// Shards of which something is lost. Each begins a new epoch.
    pub lost_shards: Vec<u32>,
    /// Configured streams in these shards that have no token: each opens a source gap without a beginning.
    pub unknown: Vec<String>,
    /// Streams that get a new token, with a source gap since their last complete poll: the checkpoint is older than the
    /// records.
    pub reset: Vec<String>,
    /// The entries that are removed, each as `shard: key`.
    pub removed: Vec<String>,
}

impl fmt::Display for Rebuilding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { done, checkpoint, lost_shards, unknown, reset, removed } = self;
        writeln!(f, "{checkpoint}")?;
        for entry in removed {
            writeln!(f, "entry removed: shard {}", printable(entry))?;
        }
        for stream in unknown {
            writeln!(f, "{stream}: a new token at the next poll, and a source gap whose beginning isn't known")?;
        }
        for stream in reset {
            writeln!(f, "{stream}: a new token at the next poll, and a source gap since its last complete poll")?;
        }
        if !lost_shards.is_empty() {
            writeln!(f, "shards of which something is lost: {lost_shards:?}; each begins a new epoch")?;
            writeln!(
                f,
                "streams of rules get such a source gap too; streams that only the lost entries knew can't be named"
            )?;
        }
        match (done, lost_shards.is_empty() && removed.is_empty()) {
            (_, true) => writeln!(f, "nothing is lost or damaged: nothing to do"),
            (true, false) => writeln!(f, "done: start the bridges"),
            (false, false) => writeln!(f, "nothing was changed: stop all bridges, then run this with --yes"),
        }
    }
}

/// Makes the checkpoint usable again. Without `may_recreate`, only if a part of it is left.
pub(super) async fn rebuild_all(
    checked: &Checked,
    yes: bool,
    may_recreate: bool,
    now: DateTime<Utc>,
) -> Result<Rebuilding, CheckpointsError> {
    let sink = Sink::new(checked).as_command("checkpoint");
    let found = Found::of(&sink, checked, may_recreate).await?;
    let stored = sink.stored().await?;
    if !may_recreate && stored.values().all(StoredCheckpoint::is_empty) {
        let problem = "there is no checkpoint to repair; see `checkpoint recreate`".to_owned();
        return Err(CheckpointsError::Usage(problem));
    }
    let (_, mut rebuilding) = found.plan(&stored, checked, now)?;
    if !yes || rebuilding.done {
        return Ok(rebuilding);
    }
    rewrite::wait_until_free(&sink).await?;
    rewrite::rewrite(&sink, sink.shards(), |stored| {
        let (checkpoints, planned) = found.plan(stored, checked, now)?;
        rebuilding = planned;
        Ok(Batch { messages: Vec::new(), checkpoints })
    })
    .await?;
    rebuilding.done = true;
    Ok(rebuilding)
}

/// What the output topics have.
struct Found<'a> {
    sink: &'a Sink,
    /// Shards without an entry are recreated.
    may_recreate: bool,
    topics: BTreeSet<Topic>,
    last: BTreeMap<(Topic, ShardId, u32), LaneCounter>,
}

impl<'a> Found<'a> {
    async fn of(sink: &'a Sink, checked: &Checked, may_recreate: bool) -> Result<Self, CheckpointsError> {
        let streams: Vec<StreamId> = checked.streams.iter().map(|stream| stream.id.clone()).collect();
        let tails = sink.tails(streams, checked.discovery.rules.is_empty()).await?;
        let deployment = sink.expected().deployment;
        if let Some(tail) = tails.iter().find(|tail| tail.deployment != deployment.as_str()) {
            let owner = if tail.deployment.is_empty() { "without a name" } else { &tail.deployment };
            return Err(CheckpointsError::Usage(format!(
                "{} has records of the deployment {owner}, and the configured one is {deployment}; see `checkpoint adopt`",
                tail.topic
            )));
        }
        let topics =
            sink.naming().topic.only_topic().cloned().into_iter().chain(tails.iter().map(|it| it.topic.clone()));
        let last =
            |it: &Tail| ((it.topic.clone(), it.shard, it.lane), LaneCounter { epoch: it.epoch, last: it.sequence });
        Ok(Self { sink, may_recreate, topics: topics.collect(), last: tails.iter().map(last).collect() })
    }

    fn plan(
        &self,
        stored: &Stored,
        checked: &Checked,
        now: DateTime<Utc>,
    ) -> Result<(Vec<CheckpointWrite>, Rebuilding), CheckpointsError> {
        let expected = self.sink.expected();
        let is_behind = self.is_behind(stored);
        let (replica, topics, last) = (self.sink.replica(), &self.topics, &self.last);
        let known = Known { expected: &expected, replica, topics, last, is_behind };
        let nothing = StoredCheckpoint::new();
        let mut all: BTreeMap<ShardId, (Rebuilt, &StoredCheckpoint)> = BTreeMap::new();
        for shard in (0..expected.shards.get()).map(ShardId) {
            let stored = stored.get(&shard).unwrap_or(&nothing);
            // A shard without streams has no entry before its first record: that needn't be a loss.
            if self.may_recreate || !stored.is_empty() {
                all.insert(shard, (rebuild(shard, stored, known, now)?, stored));
            }
        }
        let is_unknown = |id: &StreamId| {
            let shard = shard_of(id, expected.shards);
            let of = all.get(&shard).filter(|(rebuilt, _)| rebuilt.is_new);
            of.is_some_and(|(rebuilt, stored)| {
                let key = format!("stream/{id}");
                !stored.contains_key(&key) || rebuilt.removed.contains(&key)
            })
        };
        let unknown = checked.streams.iter().map(|stream| &stream.id).filter(|id| is_unknown(id));
        let mut rebuilding = Rebuilding {
            done: false,
            checkpoint: self.sink.checkpoint_setting(),
            lost_shards: all.iter().filter(|(_, (it, _))| it.is_new).map(|(shard, _)| shard.0).collect(),
            unknown: unknown.map(ToString::to_string).collect(),
            reset: all.values().flat_map(|(it, _)| &it.reset).map(ToString::to_string).collect(),
            removed: Vec::new(),
        };
        for (shard, (it, _)) in &all {
            rebuilding.removed.extend(it.removed.iter().map(|key| format!("{shard}: {key}")));
        }
        let writes: Vec<_> = all.into_values().flat_map(|(it, _)| it.writes).collect();
        rebuilding.done = writes.is_empty();
        Ok((writes, rebuilding))
    }

    /// Whether a lane has a record of a shard's present epoch that its checkpoint doesn't know.
    fn is_behind(&self, stored: &Stored) -> bool {
        self.last.iter().any(|((topic, shard, lane), last)| {
            let Some(contents) = stored.get(shard).and_then(|stored| read(*shard, stored).ok()) else { return false };
            let Some(header) = contents.header else { return false };
            let counter = contents.lanes.get(topic).and_then(|lanes| lanes.counters.get(*lane as usize));
            let counter = counter.map_or((0, 0), |it| (it.epoch, it.last));
            last.epoch >= header.epoch && counter < (last.epoch, last.last)
        })
    }
}
