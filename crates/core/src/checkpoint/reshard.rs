//! Changes the number of shards: converts a checkpoint whose streams hash to other shards.
//!
//! The new set of entries replaces the old one, so that at no time both can be continued:
//!
//! ```text
//! old: valid ──────────────► retired            can't be continued
//! new: (nothing) ─► entries ─► entries + headers  valid: a shard without its header is rejected
//! ```
//!
//! A sink does both in one commit if it can. If it can't, entries come first, then the old set is retired, then the
//! headers are written. After a crash in between, no bridge can continue either set by mistake, and [`plan`] continues
//! from what it finds.

use crate::checkpoint::{
    CheckpointError, Contents, Expected, Header, Retired, fresh_epoch, headless, write_lanes, write_retired,
    write_shard, write_stream,
};
use crate::ids::{Deployment, ShardId, Topic};
use crate::record::batch::CheckpointWrite;
use crate::record::placement::shard_of;
use crate::record::sequence::Lanes;
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

/// The checkpoints of all shards of a set.
pub type Set = BTreeMap<ShardId, Contents>;

/// The result of planning a migration.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// There is no checkpoint. The number of shards can simply be changed.
    Nothing,
    /// The migration was done before.
    Done,
    /// The migration consists of these writes.
    Steps(Steps),
}

/// The writes of a migration.
#[derive(Clone, Debug, PartialEq)]
pub struct Steps {
    /// The new set, without its headers.
    pub entries: Vec<CheckpointWrite>,
    /// The headers, which make the new set valid.
    pub headers: Vec<CheckpointWrite>,
    /// The entries that make the old set invalid.
    pub retired: Vec<CheckpointWrite>,
    /// The epoch of all new shards.
    pub epoch: u64,
    /// The number of streams that continue.
    pub streams: usize,
    /// Old shards that no new shard continues: nothing more is written to their part of each lane.
    pub ended: Vec<ShardId>,
}

/// Why a migration isn't possible.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MigrationError {
    /// The old checkpoint can't be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The new set contains the progress of another bridge.
    #[error("{target} has a checkpoint already, of shard {shard}: name another, as nothing is overwritten")]
    InUse {
        /// The setting that names the new set.
        target: String,
        /// A shard of it with such progress.
        shard: ShardId,
    },
}

/// The destination of a migration.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The setting that names the new set.
    pub name: &'a str,
    /// The number of shards of the new set.
    pub shards: NonZeroU32,
    /// The replica that writes it.
    pub replica: &'a str,
    /// The deployment that both sets belong to.
    pub deployment: &'a Deployment,
}

/// Plans a migration by what exists already. `old` has every shard of the old set.
///
/// # Errors
/// [`MigrationError`]: the migration isn't possible, and nothing may be written.
pub fn plan(old: &Set, new: &Set, target: Target<'_>, now: DateTime<Utc>) -> Result<Plan, MigrationError> {
    check(old, target)?;
    let epoch = epoch(old, now);
    let retired_all = old.values().all(|contents| contents.retired.is_some());
    if old.values().all(|contents| contents.header.is_none()) && !retired_all {
        return Ok(Plan::Nothing);
    }
    let valid: BTreeSet<_> = new.iter().filter(|(_, it)| it.header.is_some()).map(|(shard, _)| *shard).collect();
    let misplaced = |shard: &ShardId, it: &Contents| it.streams.keys().any(|id| shard_of(id, target.shards) != *shard);
    let beyond = |shard: &ShardId, it: &Contents| shard.0 >= target.shards.get() && *it != Contents::default();
    // Left by an unfinished migration to another number of shards, or more than a migration leaves.
    let foreign = new.iter().find(|(shard, it)| it.retired.is_some() || beyond(shard, it) || misplaced(shard, it));
    let taken = if retired_all { None } else { valid.first().copied() };
    if let Some(shard) = taken.or_else(|| foreign.map(|(shard, _)| *shard)) {
        return Err(MigrationError::InUse { target: target.name.to_owned(), shard });
    }
    if valid.len() == target.shards.get() as usize {
        return Ok(Plan::Done);
    }
    let mut entries = entries(old, target.shards);
    let header = Header {
        shards: target.shards.get(),
        epoch,
        replica: target.replica.to_owned(),
        deployment: target.deployment.clone(),
        recreated_at: old.values().filter_map(|contents| contents.header.as_ref()?.recreated_at).max(),
        streams: 0,
        // What was stated of the old shards may hold for the new ones that have their numbers, until these state otherwise.
        empty: true,
    };
    let mut streams: BTreeMap<ShardId, u32> = BTreeMap::new();
    for id in old.values().flat_map(|contents| contents.streams.keys()) {
        *streams.entry(shard_of(id, target.shards)).or_default() += 1;
    }
    let header = |shard| Header { streams: streams.get(&shard).copied().unwrap_or_default(), ..header.clone() };
    let mut headers: Vec<_> = all_shards(target.shards).map(|shard| write_shard(shard, &header(shard))).collect();
    // A shard that an earlier attempt made valid may have new progress since.
    entries.retain(|write| !valid.contains(&write.shard));
    headers.retain(|write| !valid.contains(&write.shard));
    let to = Retired { successor: target.name.to_owned(), shards: target.shards.get(), at: now };
    let retire =
        |(shard, contents): (&ShardId, &Contents)| write_retired(*shard, &to, contents.header.as_ref(), target.replica);
    let retired = old.iter().filter(|(_, contents)| contents.retired.is_none()).map(retire).collect();
    let ended = old.iter().filter(|(shard, it)| shard.0 >= target.shards.get() && !it.lanes.is_empty());
    Ok(Plan::Steps(Steps {
        entries,
        headers,
        retired,
        epoch,
        streams: old.values().map(|contents| contents.streams.len()).sum(),
        ended: ended.map(|(shard, _)| *shard).collect(),
    }))
}

/// Plans a migration in which the new set replaces the old one in one commit, on the same medium.
///
/// # Errors
/// The same as of [`plan`].
pub fn plan_in_place(old: &Set, target: Target<'_>, now: DateTime<Utc>) -> Result<Plan, MigrationError> {
    let has = |shards: u32| old.values().filter_map(|it| it.header.as_ref()).all(|header| header.shards == shards);
    if old.values().any(|it| it.header.is_some()) && has(target.shards.get()) {
        return Ok(Plan::Done);
    }
    let plan = plan(old, &Set::new(), target, now)?;
    Ok(match plan {
        Plan::Steps(steps) => Plan::Steps(Steps { retired: Vec::new(), ..steps }),
        Plan::Nothing | Plan::Done => plan,
    })
}

/// Checks that the old set is complete, of one format, and not migrated to another.
fn check(old: &Set, target: Target<'_>) -> Result<(), CheckpointError> {
    let from = u32::try_from(old.len()).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN);
    let expected = Expected { shards: from, deployment: target.deployment.clone() };
    for (shard, contents) in old {
        if let Some(Retired { successor, shards, at }) = &contents.retired
            && (successor, *shards) != (&target.name.to_owned(), target.shards.get())
        {
            return Err(CheckpointError::Retired { successor: successor.clone(), shards: *shards, at: *at });
        }
        match &contents.header {
            Some(header) => expected.check(header)?,
            None if !contents.streams.is_empty() || !contents.lanes.is_empty() => return Err(headless(*shard)),
            None => {}
        }
        if let Some(stray) = contents.streams.keys().find(|stream| shard_of(stream, from) != *shard) {
            return Err(CheckpointError::Unreadable {
                shard: *shard,
                key: format!("stream/{stray}"),
                problem: format!("the stream belongs to shard {} of {from}", shard_of(stray, from)),
            });
        }
    }
    Ok(())
}

/// An epoch greater than every epoch of the old set, so that consumers see the old epochs end.
fn epoch(old: &Set, now: DateTime<Utc>) -> u64 {
    let of = |contents: &Contents| {
        let header = contents.header.iter().map(|header| header.epoch);
        let lanes = contents.lanes.values().flat_map(|lanes| &lanes.counters).map(|lane| lane.epoch);
        let streams = contents.streams.values().map(|stream| stream.epoch);
        header.chain(lanes).chain(streams).max()
    };
    let greatest = old.values().filter_map(of).max().unwrap_or(0);
    fresh_epoch(now).max(greatest.saturating_add(1))
}

/// The entries of the new set. Streams go to their new shards with all of their state. The lane counters of shard k go
/// to the new shard k, whose first record in each lane names them as the epoch before. Every new shard knows every
/// topic, because a source gap is announced in the topics that its shard knows.
fn entries(old: &Set, to: NonZeroU32) -> Vec<CheckpointWrite> {
    let topics: BTreeSet<&Topic> = old.values().flat_map(|contents| contents.lanes.keys()).collect();
    let mut entries = Vec::new();
    for topic in topics {
        let of = |contents: &Contents| contents.lanes.get(topic).cloned();
        // The next owner of a stream has to notice when the number of lanes changes.
        let count = old.values().filter_map(of).map(|lanes| lanes.count).max().unwrap_or(0);
        for shard in all_shards(to) {
            let lanes = old.get(&shard).and_then(of);
            let lanes = lanes.unwrap_or_else(|| Lanes { count, counters: Vec::new() });
            entries.push(write_lanes(shard, topic, &lanes));
        }
    }
    let streams = old.values().flat_map(|contents| &contents.streams);
    entries.extend(streams.map(|(id, stream)| write_stream(shard_of(id, to), id, stream)));
    entries
}

fn all_shards(count: NonZeroU32) -> impl Iterator<Item = ShardId> {
    (0..count.get()).map(ShardId)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{ShardState, read, restore};
    use crate::ids::StreamId;
    use crate::record::batch::StoredCheckpoint;
    use crate::record::sequence::LaneCounter;
    use crate::stream::live::Live;
    use crate::stream::{OpenGap, State, Stream};
    use bridge_contract::pb::SourceGapReason;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    type Stored = BTreeMap<ShardId, StoredCheckpoint>;

    const NAME: &str = "sink.kafka.checkpointTopic: new";
    static OURS: LazyLock<Deployment> = LazyLock::new(|| "ours".into());

    fn number(count: u32) -> NonZeroU32 {
        NonZeroU32::new(count).expect("not zero")
    }

    fn at(millis: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(millis).expect("a time")
    }

    fn target(shards: u32) -> Target<'static> {
        Target { name: NAME, shards: number(shards), replica: "r", deployment: &OURS }
    }

    fn apply(stored: &mut Stored, writes: &[CheckpointWrite]) {
        for CheckpointWrite { shard, key, value } in writes {
            let value = value.clone().expect("nothing is removed");
            stored.entry(*shard).or_default().insert(key.clone(), value);
        }
    }

    fn set(stored: &Stored, shards: u32) -> Set {
        let nothing = StoredCheckpoint::new();
        let of = |shard| (shard, read(shard, stored.get(&shard).unwrap_or(&nothing)).expect("readable"));
        all_shards(number(shards)).map(of).collect()
    }

    fn restored(stored: &Stored, shards: u32) -> Result<Vec<ShardState>, CheckpointError> {
        let nothing = StoredCheckpoint::new();
        let expected = Expected { shards: number(shards), deployment: OURS.clone() };
        let of = |shard| restore(shard, stored.get(&shard).unwrap_or(&nothing), expected.clone(), at(1));
        all_shards(number(shards)).map(of).collect()
    }

    /// A checkpoint as a bridge leaves it: some shards were never written.
    fn written(shards: u32, streams: &[(String, u64)], epoch: u64) -> Stored {
        let mut stored = Stored::new();
        for (gid, sequence) in streams {
            let id = StreamId::new("main", gid.as_str());
            let live = Live::given(None, gid.as_str().into(), at(2), None);
            let gap = OpenGap {
                id: format!("gap of {gid}"),
                reason: SourceGapReason::TokenExpired,
                last_complete_poll_at: Some(at(1)),
                resumed_at: at(2),
                topics: [(Topic::from("t"), 2)].into(),
            };
            let stream = Stream {
                state: State::Live(live),
                epoch,
                last_sequence: *sequence,
                open_gaps: vec![gap],
                ..Stream::new()
            };
            let shard = shard_of(&id, number(shards));
            let counters = vec![LaneCounter { epoch, last: u64::from(shard.0) + 1 }, LaneCounter::default()];
            let lanes = Lanes { count: 2, counters };
            let topic = Topic::from(format!("topic-{}", shard.0 % 2));
            apply(&mut stored, &[write_lanes(shard, &topic, &lanes), write_stream(shard, &id, &stream)]);
            let entries = stored[&shard].keys().filter(|key| key.starts_with("stream/"));
            let streams = u32::try_from(entries.count()).expect("few");
            let (replica, deployment) = ("r".into(), OURS.clone());
            let header = Header { shards, epoch, replica, deployment, recreated_at: None, streams, empty: false };
            apply(&mut stored, &[write_shard(shard, &header)]);
        }
        stored
    }

    fn steps(old: &Stored, from: u32, new: &Stored, to: u32) -> Plan {
        plan(&set(old, from), &set(new, to), target(to), at(50)).expect("it may be done")
    }

    /// Carries a plan out up to a crash, in the order of a sink that needs several commits.
    fn carry_out(plan: &Plan, old: &mut Stored, new: &mut Stored, commits: usize) {
        let Plan::Steps(Steps { entries, headers, retired, .. }) = plan else { return };
        // A commit of several shards may happen for some of them.
        let one_by_one = |writes: &[CheckpointWrite]| -> Vec<Vec<CheckpointWrite>> {
            let shards: BTreeSet<_> = writes.iter().map(|write| write.shard).collect();
            let of = |shard| writes.iter().filter(|write| write.shard == shard).cloned().collect();
            shards.into_iter().map(of).collect()
        };
        let writes = one_by_one(entries).into_iter().map(|it| (it, false));
        let writes = writes.chain(one_by_one(retired).into_iter().map(|it| (it, true)));
        let writes = writes.chain(one_by_one(headers).into_iter().map(|it| (it, false)));
        for (writes, to_old) in writes.take(commits) {
            apply(if to_old { &mut *old } else { &mut *new }, &writes);
        }
    }

    fn all_streams(states: &[ShardState]) -> BTreeMap<StreamId, Stream> {
        states.iter().flat_map(|state| state.streams.clone()).collect()
    }

    proptest! {
        #[test]
        fn whatever_crashes_nothing_is_lost_and_only_one_set_is_gone_on_from(
            from in 1_u32..10,
            to in 1_u32..10,
            streams in proptest::collection::vec(("[1-9][0-9]{0,3}", 1_u64..100), 1..30),
            crashes in proptest::collection::vec(0_usize..30, 0..4),
            epoch in 1_u64..100,
        ) {
            let mut old = written(from, &streams, epoch);
            let before = restored(&old, from).expect("valid");
            let mut new = Stored::new();
            for commits in crashes.into_iter().chain([usize::MAX]) {
                carry_out(&steps(&old, from, &new, to), &mut old, &mut new, commits);
                let (old_goes_on, new_goes_on) = (restored(&old, from).is_ok(), restored(&new, to).is_ok());
                let untouched = new.is_empty();
                prop_assert!(untouched || !(old_goes_on && new_goes_on));
            }
            prop_assert!(restored(&old, from).is_err());
            let after = restored(&new, to).expect("valid");
            prop_assert_eq!(steps(&old, from, &new, to), Plan::Done);

            prop_assert_eq!(all_streams(&after), all_streams(&before));
            for (shard, state) in all_shards(number(to)).zip(&after) {
                prop_assert!(state.counters.epoch() > epoch && state.counters.epoch() >= 50);
                prop_assert!(state.empty, "a shard of that number may have been stated to be empty before");
                prop_assert!(state.streams.keys().all(|id| shard_of(id, number(to)) == shard));
                prop_assert!(state.counters.topics().eq(after[0].counters.topics()), "each knows all topics");
                for topic in state.counters.topics() {
                    let was = before.get(shard.0 as usize).and_then(|it| it.counters.begins(topic, 0).or_else(|| {
                        it.counters.topics().any(|known| known == topic)
                            .then_some(LaneCounter { epoch, last: u64::from(shard.0) + 1 })
                    }));
                    prop_assert_eq!(state.counters.begins(topic, 0), Some(was.unwrap_or_default()));
                }
            }
        }
    }

    #[test]
    fn what_is_there_is_never_overwritten() {
        let old = written(4, &[("1".to_owned(), 7)], 9);
        let new = written(8, &[("2".to_owned(), 7)], 9);
        let refused = plan(&set(&old, 4), &set(&new, 8), target(8), at(50));
        assert!(matches!(refused, Err(MigrationError::InUse { .. })), "{refused:?}");
    }

    #[test]
    fn a_set_that_went_elsewhere_or_is_another_is_refused() {
        let mut old = written(4, &[("1".to_owned(), 7)], 9);
        let three = plan(&set(&old, 3), &Set::new(), target(8), at(50));
        // Whichever comes first: a foreign header, or a stream in the wrong place.
        assert!(matches!(three, Err(MigrationError::Checkpoint(_)) | Ok(Plan::Nothing)), "{three:?}");
        carry_out(&steps(&old, 4, &Stored::new(), 8), &mut old, &mut Stored::new(), usize::MAX);
        let other = Target { name: "sink.kafka.checkpointTopic: other", ..target(8) };
        let refused = plan(&set(&old, 4), &Set::new(), other, at(50)).expect_err("it went elsewhere").to_string();
        assert!(refused.contains(NAME) && refused.contains("shards: 8"), "{refused}");
    }

    #[test]
    fn without_a_checkpoint_there_is_nothing_to_do() {
        assert_eq!(steps(&Stored::new(), 4, &Stored::new(), 8), Plan::Nothing);
    }

    #[test]
    fn in_place_it_is_done_once() {
        let mut old = written(4, &[("1".to_owned(), 7), ("2".to_owned(), 8)], 9);
        let before = all_streams(&restored(&old, 4).expect("valid"));
        let Ok(Plan::Steps(steps)) = plan_in_place(&set(&old, 4), target(8), at(50)) else { panic!("to be done") };
        assert!(steps.retired.is_empty());
        old.clear();
        apply(&mut old, &steps.entries);
        apply(&mut old, &steps.headers);
        assert_eq!(all_streams(&restored(&old, 8).expect("valid")), before);
        assert_eq!(plan_in_place(&set(&old, 8), target(8), at(60)), Ok(Plan::Done));
    }
}
