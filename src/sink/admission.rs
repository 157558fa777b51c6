//! Whether a replica may join the others on a bus: decided from what is stored there, before it joins, because joining
//! already moves shards.
//!
//! Three things are told apart from a first start and from an ordinary one: the checkpoint of another deployment, output
//! topics of another deployment, and a checkpoint that was there and is gone. Pure: what was read comes in.

use super::SinkError;
use bridge_core::checkpoint::reshard::Set;
use bridge_core::checkpoint::{CheckpointError, Contents, Expected, Retired};
use bridge_core::ids::{ShardId, StreamId, Topic};
use bridge_core::record::sequence::LaneCounter;
use std::collections::BTreeSet;

/// A replica that wants to join.
#[derive(Clone, Debug)]
pub struct Applicant {
    /// What the checkpoint has to be.
    pub expected: Expected,
    /// The streams that it is configured to poll, as far as they are known.
    pub streams: BTreeSet<StreamId>,
    /// Whether these are all of its streams. Rules may find more.
    pub all_known: bool,
    /// Whether it may begin without a checkpoint.
    pub may_create: bool,
    /// Whether this process has seen the checkpoint before.
    pub had_checkpoint: bool,
}

/// What the bus has.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// The setting that names the checkpoint, as `path: value`.
    pub setting: String,
    /// The checkpoint.
    pub checkpoint: Set,
    /// The last records in the lanes of the output topics, read before the checkpoint.
    pub tails: Vec<Tail>,
    /// Shards that have no entry, and had some: the bus has deleted them.
    pub emptied: Vec<ShardId>,
}

/// The last record in a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// The output topic.
    pub topic: Topic,
    /// The lane.
    pub lane: u32,
    /// The shard that wrote the record.
    pub shard: ShardId,
    /// The record's epoch.
    pub epoch: u64,
    /// The record's sequence in the lane.
    pub sequence: u64,
    /// The name of the deployment that wrote it; empty if it has none.
    pub deployment: String,
}

impl Applicant {
    /// One that only reads.
    #[must_use]
    pub fn reading(expected: Expected) -> Self {
        Self { expected, streams: BTreeSet::new(), all_known: false, may_create: true, had_checkpoint: false }
    }

    /// Decides, except whether live members poll other streams: see [`is_stranger`](Self::is_stranger).
    ///
    /// # Errors
    /// [`SinkError::Setup`]: it must not join. Nothing was changed.
    pub fn admit(&self, stored: &Stored) -> Result<(), SinkError> {
        for contents in stored.checkpoint.values() {
            self.check(contents).map_err(|error| refused(&error))?;
        }
        if is_absent(&stored.checkpoint) {
            self.begin(stored)?;
        } else if let Some(shard) = stored.emptied.first() {
            let what = format!("the entries of shard {shard} in the checkpoint ({}) were deleted", stored.setting);
            return Err(lost(what));
        }
        match stored.tails.iter().find(|tail| !self.knows(&stored.checkpoint, tail)) {
            Some(tail) if tail.deployment != self.expected.deployment.as_str() => Err(owned(tail, &self.expected)),
            Some(tail) => Err(lost(format!("{}, which the checkpoint ({}) doesn't know", tail.text(), stored.setting))),
            None => Ok(()),
        }
    }

    fn check(&self, contents: &Contents) -> Result<(), CheckpointError> {
        if let Some(Retired { successor, shards, at }) = contents.retired.clone() {
            return Err(CheckpointError::Retired { successor, shards, at });
        }
        contents.header.as_ref().map_or(Ok(()), |header| self.expected.check(header))
    }

    /// Whether it may begin without a checkpoint.
    fn begin(&self, stored: &Stored) -> Result<(), SinkError> {
        let setting = &stored.setting;
        if self.had_checkpoint {
            return Err(lost(format!("the checkpoint ({setting}) was deleted while the bridge ran")));
        }
        if !stored.emptied.is_empty() {
            return Err(lost(format!("all entries of the checkpoint ({setting}) were deleted")));
        }
        if !self.may_create {
            return Err(lost(format!("there is no checkpoint ({setting}), and `checkpoint.create` is `never`")));
        }
        Ok(())
    }

    /// Whether the checkpoint knows the record. A record of the same deployment may be of an earlier epoch, whose
    /// counters aren't kept for every lane.
    fn knows(&self, checkpoint: &Set, tail: &Tail) -> bool {
        let contents = checkpoint.get(&tail.shard);
        let lanes = contents.and_then(|contents| contents.lanes.get(&tail.topic));
        let counter = lanes.and_then(|lanes| lanes.counters.get(tail.lane as usize));
        let is_ours = tail.deployment == self.expected.deployment.as_str();
        // Of another name, from before `checkpoint adopt`, it is the counter's own epoch.
        let is_counted = |counter: &LaneCounter| {
            (counter.epoch, counter.last) >= (tail.epoch, tail.sequence) && (is_ours || counter.epoch == tail.epoch)
        };
        if counter.is_some_and(is_counted) {
            return true;
        }
        let header = match contents.and_then(|contents| contents.header.as_ref()) {
            Some(header) => Some(header),
            // Of a shard that a migration has ended.
            None if tail.shard.0 >= self.expected.shards.get() => {
                checkpoint.values().filter_map(|contents| contents.header.as_ref()).max_by_key(|header| header.epoch)
            }
            None => None,
        };
        let is_written = checkpoint.values().any(|contents| contents.lanes.contains_key(&tail.topic));
        is_ours && is_written && header.is_some_and(|header| tail.epoch < header.epoch)
    }

    /// Whether the checkpoint's streams are polled by others, and none of them is the applicant's. Then it must not join
    /// while others are alive. A deployment with a name is known by its name.
    #[must_use]
    pub fn is_stranger(&self, checkpoint: &Set) -> bool {
        if self.expected.deployment.name().is_some() {
            return false;
        }
        let mut polled = checkpoint.values().flat_map(|contents| &contents.streams).filter(|(_, stream)| !stream.ended);
        polled.clone().next().is_some() && !polled.any(|(id, _)| self.streams.contains(id))
    }

    /// The error for a stranger beside these live members.
    #[must_use]
    pub fn stranger(&self, setting: &str, members: &[String]) -> SinkError {
        let problem = format!(
            "the checkpoint ({setting}) is in use by {}, and none of the streams that it holds is configured here",
            members.join(", ")
        );
        if self.all_known {
            return SinkError::Setup {
                problem,
                remedy: "a second deployment needs names of its own: set `deployment`, and another output topic or \
                         JetStream stream; to replace all streams of one deployment at once, stop all its replicas first"
                    .to_owned(),
            };
        }
        SinkError::unavailable("join the other replicas", format!("{problem} or found by a rule yet"))
    }
}

impl Tail {
    fn text(&self) -> String {
        let Self { topic, lane, shard, epoch, sequence, .. } = self;
        format!("{topic}[{lane}] has a record of shard {shard}, epoch {epoch}, sequence {sequence}")
    }
}

/// Whether there is nothing of a checkpoint at all.
#[must_use]
pub fn is_absent(checkpoint: &Set) -> bool {
    checkpoint.values().all(|contents| *contents == Contents::default())
}

fn refused(error: &CheckpointError) -> SinkError {
    SinkError::Setup {
        problem: error.to_string(),
        remedy: "this replica joined nobody, and changed nothing".to_owned(),
    }
}

fn lost(problem: String) -> SinkError {
    SinkError::Setup {
        problem,
        remedy: "this is no first start: restore the checkpoint if you have a copy, else run `asana-event-bridge checkpoint \
                 recreate`, which announces a source gap on every stream; if another bridge writes to the topic, choose a \
                 topic of your own"
            .to_owned(),
    }
}

fn owned(tail: &Tail, expected: &Expected) -> SinkError {
    let owner = if tail.deployment.is_empty() { "without a name" } else { &tail.deployment };
    SinkError::Setup {
        problem: format!(
            "{}, which was written by the deployment {owner}, and the configured deployment is {}",
            tail.text(),
            expected.deployment
        ),
        remedy: "choose an output topic or JetStream stream of your own; if it is the same deployment under a new name, see \
                 `asana-event-bridge checkpoint adopt`"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bridge_core::checkpoint::Header;
    use bridge_core::record::sequence::{LaneCounter, Lanes};
    use bridge_core::stream::Stream;
    use std::num::NonZeroU32;

    fn applicant(deployment: &str, streams: &[&str]) -> Applicant {
        Applicant {
            expected: Expected { shards: NonZeroU32::new(2).unwrap(), deployment: deployment.into() },
            streams: streams.iter().map(|gid| StreamId::new("main", *gid)).collect(),
            all_known: true,
            may_create: true,
            had_checkpoint: false,
        }
    }

    /// A checkpoint of both shards, whose last record in lane 0 of `t` is 5 of epoch 9.
    fn checkpoint(deployment: &str) -> Set {
        let header = Header {
            shards: 2,
            epoch: 9,
            replica: "r".to_owned(),
            deployment: deployment.into(),
            recreated_at: None,
            streams: 1,
            empty: false,
        };
        let lanes = Lanes { count: 1, counters: vec![LaneCounter { epoch: 9, last: 5 }] };
        let contents = |gid: &str| Contents {
            header: Some(header.clone()),
            lanes: [(Topic::from("t"), lanes.clone())].into(),
            streams: [(StreamId::new("main", gid), Stream::new())].into(),
            ..Contents::default()
        };
        [(ShardId(0), contents("1")), (ShardId(1), contents("2"))].into()
    }

    fn tail(deployment: &str, shard: u32, epoch: u64, sequence: u64) -> Tail {
        let deployment = deployment.to_owned();
        Tail { topic: Topic::from("t"), lane: 0, shard: ShardId(shard), epoch, sequence, deployment }
    }

    fn admit(applicant: &Applicant, checkpoint: Set, tails: Vec<Tail>) -> Result<(), String> {
        let stored = Stored { setting: "x: y".to_owned(), checkpoint, tails, emptied: Vec::new() };
        applicant.admit(&stored).map_err(|error| error.to_string())
    }

    #[test]
    fn a_first_start_and_an_ordinary_one_are_admitted() {
        let ours = applicant("a", &["1"]);
        assert_eq!(admit(&ours, Set::new(), Vec::new()), Ok(()));
        let known = [(0, 9, 5), (1, 9, 4), (0, 8, 77), (5, 8, 1)];
        let tails = known.map(|(shard, epoch, sequence)| tail("a", shard, epoch, sequence)).to_vec();
        assert_eq!(admit(&ours, checkpoint("a"), tails), Ok(()));
        // After `checkpoint adopt` the last records have the name before.
        assert_eq!(admit(&ours, checkpoint("a"), vec![tail("b", 0, 9, 5)]), Ok(()));
    }

    #[test]
    fn another_deployment_is_refused_by_its_checkpoint_or_its_records() {
        for (found, configured) in [("a", "b"), ("", "b"), ("a", "")] {
            let error = admit(&applicant(configured, &["1"]), checkpoint(found), Vec::new()).unwrap_err();
            assert!(error.contains("checkpoint adopt") && error.contains("deployment"), "{error}");
            let error = admit(&applicant(configured, &["1"]), Set::new(), vec![tail(found, 0, 9, 1)]).unwrap_err();
            assert!(error.contains("topic or JetStream stream of your own"), "{error}");
        }
        // Its epoch is older, and yet the record isn't this deployment's.
        assert!(admit(&applicant("a", &["1"]), checkpoint("a"), vec![tail("b", 0, 8, 5)]).is_err());
    }

    #[test]
    fn a_checkpoint_that_was_there_is_never_a_first_start() {
        let ours = applicant("a", &["1"]);
        let recreate = |outcome: Result<(), String>| outcome.unwrap_err().contains("checkpoint recreate");
        assert!(recreate(admit(&ours, Set::new(), vec![tail("a", 0, 9, 1)])), "deleted");
        assert!(recreate(admit(&ours, checkpoint("a"), vec![tail("a", 0, 9, 6)])), "an older one");
        let mut partial = checkpoint("a");
        partial.insert(ShardId(0), Contents::default());
        assert!(recreate(admit(&ours, partial.clone(), vec![tail("a", 0, 8, 6)])), "one shard's");
        let emptied = Stored { checkpoint: partial, emptied: vec![ShardId(0)], ..Stored::default() };
        assert!(ours.admit(&emptied).is_err(), "one shard's, without records");
        assert!(
            recreate(admit(&Applicant { had_checkpoint: true, ..ours.clone() }, Set::new(), Vec::new())),
            "running"
        );
        assert!(recreate(admit(&Applicant { may_create: false, ..ours }, Set::new(), Vec::new())), "never");
    }

    #[test]
    fn only_strangers_without_a_name_have_no_stream_in_common() {
        assert!(applicant("", &["3", "4"]).is_stranger(&checkpoint("")));
        assert!(!applicant("", &["2", "4"]).is_stranger(&checkpoint("")), "a rolling change");
        assert!(!applicant("a", &["3"]).is_stranger(&checkpoint("a")), "known by its name");
        assert!(!applicant("", &["3"]).is_stranger(&Set::new()));
        let mut ended = checkpoint("");
        ended.values_mut().flat_map(|it| it.streams.values_mut()).for_each(|stream| stream.ended = true);
        assert!(!applicant("", &["3"]).is_stranger(&ended));
        let error = applicant("", &["3"]).stranger("x: y", &["r1".to_owned()]).to_string();
        assert!(error.contains("r1") && error.contains("set `deployment`"), "{error}");
    }
}
