//! Makes a shard's checkpoint usable again after a part of it, or all of it, was lost or damaged.
//!
//! What can be read is kept. What is foreign or damaged is removed. If anything is missing then, the shard begins a new
//! epoch, and for a time each stream without a token opens a source gap without a beginning with its first one.

use super::{
    CheckpointError, Contents, Expected, Header, fresh_epoch, is_reset, read, write_lanes, write_reset, write_shard,
};
use crate::ids::{ShardId, StreamId, Topic};
use crate::record::batch::{CheckpointWrite, StoredCheckpoint};
use crate::record::sequence::{LaneCounter, Lanes};
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet};

/// What is known besides the checkpoint.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// What the checkpoint has to be.
    pub expected: &'a Expected,
    /// The replica that writes.
    pub replica: &'a str,
    /// The output topics.
    pub topics: &'a BTreeSet<Topic>,
    /// The last record that was found in a lane, by topic, shard and lane.
    pub last: &'a BTreeMap<(Topic, ShardId, u32), LaneCounter>,
    /// The checkpoint is older than the records, so that its tokens may have been used: each stream gets a new one.
    pub is_behind: bool,
}

/// A shard's checkpoint as it will be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rebuilt {
    /// The changes. Empty if nothing is wrong.
    pub writes: Vec<CheckpointWrite>,
    /// The keys of entries that are removed.
    pub removed: Vec<String>,
    /// The streams that get a new token, with a source gap since their last complete poll.
    pub reset: Vec<StreamId>,
    /// Something of the shard is lost: it begins a new epoch.
    pub is_new: bool,
}

/// Plans how to rebuild the checkpoint of a shard.
///
/// # Errors
/// [`CheckpointError`]: it belongs to another deployment, another number of shards or a newer version, or was migrated.
pub fn rebuild(
    shard: ShardId,
    stored: &StoredCheckpoint,
    known: Known<'_>,
    now: DateTime<Utc>,
) -> Result<Rebuilt, CheckpointError> {
    let mut kept = stored.clone();
    let mut removed: Vec<String> = Vec::new();
    for (key, value) in stored.iter().filter(|(key, _)| !key.starts_with(CRAWL)) {
        match read(shard, &StoredCheckpoint::from([(key.clone(), value.clone())])) {
            Ok(_) => {}
            Err(newer @ CheckpointError::NewerFormat { .. }) => return Err(newer),
            Err(_) => removed.push(key.clone()),
        }
    }
    kept.retain(|key, _| !removed.contains(key));
    if read(shard, &kept).is_err() {
        // A crawl begins again while its source gap is open.
        removed.extend(kept.keys().filter(|key| key.starts_with(CRAWL)).cloned());
        kept.retain(|key, _| !key.starts_with(CRAWL));
    }
    let Contents { header, retired, lanes, streams } = read(shard, &kept)?;
    if let Some(it) = retired {
        return Err(CheckpointError::Retired { successor: it.successor, shards: it.shards, at: it.at });
    }
    header.as_ref().map_or(Ok(()), |header| known.expected.check(header))?;
    let count = u32::try_from(streams.len()).unwrap_or(u32::MAX);
    let has_lost_lanes = removed.iter().any(|key| key.starts_with(LANES));
    let is_whole = header.as_ref().is_some_and(|header| header.streams == count) && !has_lost_lanes && !known.is_behind;
    let remove = |key: &String| CheckpointWrite { shard, key: key.clone(), value: None };
    let mut rebuilt = Rebuilt { writes: removed.iter().map(remove).collect(), removed, ..Rebuilt::default() };
    if is_whole {
        return Ok(rebuilt);
    }
    rebuilt.is_new = true;
    let last = known.last.iter().filter(|((_, of, _), _)| *of == shard);
    let greatest = last.clone().map(|(_, it)| it.epoch).chain(header.iter().map(|header| header.epoch));
    let greatest = greatest.chain(streams.values().map(|stream| stream.epoch));
    let greatest = greatest.chain(lanes.values().flat_map(|lanes| &lanes.counters).map(|it| it.epoch)).max();
    let header = Header {
        shards: known.expected.shards.get(),
        epoch: fresh_epoch(now).max(greatest.unwrap_or(0).saturating_add(1)),
        replica: known.replica.to_owned(),
        deployment: known.expected.deployment.clone(),
        recreated_at: Some(now),
        // What was stated is lost, too: nothing is polled before consumers know that the shard may have streams.
        empty: true,
        streams: count,
    };
    rebuilt.writes.push(write_shard(shard, &header));
    let topics: BTreeSet<&Topic> = lanes.keys().chain(known.topics).collect();
    for topic in topics {
        let mut of_topic = lanes.get(topic).cloned().unwrap_or_default();
        for ((_, _, lane), found) in last.clone().filter(|((of, ..), _)| of == topic) {
            note(&mut of_topic, *lane, *found);
        }
        rebuilt.writes.push(write_lanes(shard, topic, &of_topic));
    }
    for (id, stream) in streams.iter().filter(|(_, stream)| known.is_behind && !is_reset(stream)) {
        if let Some(write) = write_reset(shard, id, stream) {
            rebuilt.writes.push(write);
            rebuilt.reset.push(id.clone());
        }
    }
    Ok(rebuilt)
}

const CRAWL: &str = "crawl/";
const LANES: &str = "lanes/";

fn note(lanes: &mut Lanes, lane: u32, found: LaneCounter) {
    let index = lane as usize;
    if lanes.counters.len() <= index {
        lanes.counters.resize(index + 1, LaneCounter::default());
    }
    if let Some(counter) = lanes.counters.get_mut(index)
        && (counter.epoch, counter.last) < (found.epoch, found.last)
    {
        *counter = found;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{restore, write_stream};
    use crate::stream::live::Live;
    use crate::stream::{State, Stream};
    use std::num::NonZeroU32;

    const SHARD: ShardId = ShardId(1);

    fn at(millis: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(millis).expect("a time")
    }

    fn expected() -> Expected {
        Expected { shards: NonZeroU32::new(2).expect("not zero"), deployment: "a".into() }
    }

    fn apply(stored: &mut StoredCheckpoint, writes: Vec<CheckpointWrite>) {
        for CheckpointWrite { key, value, .. } in writes {
            match value {
                Some(value) => drop(stored.insert(key, value)),
                None => drop(stored.remove(&key)),
            }
        }
    }

    fn healthy() -> StoredCheckpoint {
        let header = Header {
            shards: 2,
            epoch: 9,
            replica: "r".to_owned(),
            deployment: "a".into(),
            recreated_at: None,
            streams: 2,
            empty: false,
        };
        let live = State::Live(Live::given(None, "t".into(), at(5), None));
        let stream = Stream { state: live, epoch: 9, last_sequence: 4, ..Stream::new() };
        let lanes = Lanes { count: 1, counters: vec![LaneCounter { epoch: 9, last: 5 }] };
        let mut stored = StoredCheckpoint::new();
        let of = |gid: &str| write_stream(SHARD, &StreamId::new("main", gid), &stream);
        let writes = vec![write_shard(SHARD, &header), write_lanes(SHARD, &Topic::from("t"), &lanes), of("1"), of("2")];
        apply(&mut stored, writes);
        stored
    }

    fn rebuilt(stored: &StoredCheckpoint, is_behind: bool) -> Rebuilt {
        let topics = BTreeSet::from([Topic::from("t")]);
        let last = BTreeMap::from([((Topic::from("t"), SHARD, 0), LaneCounter { epoch: 9, last: 7 })]);
        let expected = expected();
        let known = Known { expected: &expected, replica: "c", topics: &topics, last: &last, is_behind };
        rebuild(SHARD, stored, known, at(50)).expect("it may be done")
    }

    /// The state after the rebuilding, which must be complete.
    fn after(stored: &StoredCheckpoint, is_behind: bool) -> (Rebuilt, crate::checkpoint::ShardState) {
        let (rebuilt, mut stored) = (rebuilt(stored, is_behind), stored.clone());
        apply(&mut stored, rebuilt.writes.clone());
        let state = restore(SHARD, &stored, expected(), at(60)).expect("it can be continued");
        assert!(self::rebuilt(&stored, false).writes.is_empty(), "once");
        (rebuilt, state)
    }

    #[test]
    fn what_is_whole_stays_as_it_is() {
        assert_eq!(rebuilt(&healthy(), false), Rebuilt::default());
    }

    #[test]
    fn what_is_foreign_is_removed_and_nothing_else() {
        let mut stored = healthy();
        stored.insert("hello".to_owned(), b"world".to_vec());
        stored.insert("crawl/main/1/7".to_owned(), b"\xff".to_vec());
        let (rebuilt, state) = after(&stored, false);
        assert_eq!((rebuilt.removed.len(), rebuilt.is_new), (2, false));
        assert_eq!((state.counters.epoch(), state.streams.len(), state.recreated_at), (9, 2, None));
    }

    #[test]
    fn after_a_loss_a_new_epoch_begins_and_what_is_left_goes_on() {
        let without = |key: &str| {
            let mut stored = healthy();
            stored.remove(key);
            stored
        };
        let mut damaged = healthy();
        damaged.insert("lanes/t".to_owned(), b"\xff".to_vec());
        for stored in [StoredCheckpoint::new(), without("shard"), without("stream/main/1"), damaged] {
            let (rebuilt, state) = after(&stored, false);
            assert!(rebuilt.is_new && rebuilt.reset.is_empty(), "{rebuilt:?}");
            assert_eq!((state.counters.epoch(), state.recreated_at), (50, Some(at(50))));
            assert_eq!(state.counters.begins(&Topic::from("t"), 0), Some(LaneCounter { epoch: 9, last: 7 }));
            let left = stored.keys().filter(|key| key.starts_with("stream/")).count();
            assert_eq!(state.streams.len(), left);
            assert!(state.streams.values().all(|stream| stream.token().is_some()), "they go on from their tokens");
        }
    }

    #[test]
    fn tokens_of_an_older_checkpoint_are_not_used_again() {
        let (rebuilt, state) = after(&healthy(), true);
        assert_eq!(rebuilt.reset.len(), 2);
        assert!(state.streams.values().all(is_reset));
    }

    #[test]
    fn another_deployments_is_left_alone() {
        let other = Expected { deployment: "b".into(), ..expected() };
        let (topics, last) = (BTreeSet::new(), BTreeMap::new());
        let known = Known { expected: &other, replica: "c", topics: &topics, last: &last, is_behind: false };
        let refused = rebuild(SHARD, &healthy(), known, at(50));
        assert!(matches!(refused, Err(CheckpointError::OtherDeployment { .. })), "{refused:?}");
    }
}
