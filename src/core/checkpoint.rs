//! What is kept of a shard's progress, written in the same commit as the records it speaks of.
//!
//! Three kinds of entries, told apart by key: the shard itself, the lane counters of each
//! topic, and each stream. What can't be understood is an error, never a fresh start.

use super::batch::{CheckpointWrite, StoredCheckpoint};
use super::ids::{ShardId, StreamId, SyncToken, Topic};
use super::sequence::{Counters, LaneCounter, Lanes};
use super::stream::{Live, OpenGap, State, Stream};
use crate::pb::checkpoint as pb;
use crate::pb::checkpoint::checkpoint::Kind;
use chrono::{DateTime, Utc};
use pbjson_types::Timestamp;
use prost::Message as _;
use std::collections::BTreeMap;
use std::num::NonZeroU32;

/// The format that is written, and the newest that is understood.
const FORMAT: u32 = 1;

const SHARD_KEY: &str = "shard";

/// A checkpoint that this program must not go on from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not the bytes of a checkpoint.
    #[error("the checkpoint of shard {shard} has an unreadable entry {key:?}: {problem}")]
    Unreadable {
        /// The shard.
        shard: ShardId,
        /// The entry.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Written by a newer version.
    #[error("the checkpoint of shard {shard} has format {found}, and this version understands up to {FORMAT}: upgrade")]
    NewerFormat {
        /// The shard.
        shard: ShardId,
        /// Its format.
        found: u32,
    },
    /// The number of shards was changed: streams would be looked for in the wrong ones.
    #[error("the checkpoint was written with {found} shards, and {configured} are configured: set shards: {found}")]
    OtherShards {
        /// When it was written.
        found: u32,
        /// Now.
        configured: u32,
    },
}

/// A shard's progress.
#[derive(Clone, Debug, PartialEq)]
pub struct ShardState {
    /// The lane counters, with the epoch.
    pub counters: Counters,
    /// The streams that were ever established.
    pub streams: BTreeMap<StreamId, Stream>,
}

/// Reads what a sink restored.
///
/// A shard without a checkpoint begins an epoch named after the time, which is greater than
/// any earlier one, should there have been a checkpoint that was lost.
///
/// # Errors
/// See [`CheckpointError`]: stop, and let a person look.
pub fn restore(
    shard: ShardId,
    stored: &StoredCheckpoint,
    shards: NonZeroU32,
    now: DateTime<Utc>,
) -> Result<ShardState, CheckpointError> {
    let mut header = None;
    let (mut lanes, mut streams) = (BTreeMap::new(), BTreeMap::new());
    for (key, value) in stored {
        let unreadable =
            |problem: &str| CheckpointError::Unreadable { shard, key: key.clone(), problem: problem.to_owned() };
        let entry = pb::Checkpoint::decode(value.as_slice()).map_err(|error| unreadable(&error.to_string()))?;
        if entry.format > FORMAT {
            return Err(CheckpointError::NewerFormat { shard, found: entry.format });
        }
        match entry.kind.ok_or_else(|| unreadable("it is of no known kind"))? {
            Kind::Shard(entry) => header = Some(entry),
            Kind::Lanes(entry) => {
                let counters = entry.lanes.iter();
                let counters = counters.map(|it| LaneCounter { epoch: it.epoch, last: it.last_sequence }).collect();
                lanes.insert(Topic::from(entry.topic), Lanes { count: entry.count, counters });
            }
            Kind::Stream(entry) => {
                let id = key.strip_prefix("stream/").and_then(StreamId::parse);
                let id = id.ok_or_else(|| unreadable("the key names no stream"))?;
                streams.insert(id, decode_stream(entry));
            }
        }
    }
    if let Some(header) = &header
        && header.shards != shards.get()
    {
        return Err(CheckpointError::OtherShards { found: header.shards, configured: shards.get() });
    }
    if header.is_none() && !stored.is_empty() {
        return Err(CheckpointError::Unreadable {
            shard,
            key: SHARD_KEY.to_owned(),
            problem: "it is missing while others are there".to_owned(),
        });
    }
    let fresh = u64::try_from(now.timestamp_millis()).unwrap_or(1);
    let epoch = header.map_or(fresh, |header| header.epoch);
    Ok(ShardState { counters: Counters::new(epoch, lanes), streams })
}

/// The replica that wrote last, by the entry of the shard itself: each owner's first batch renews it.
#[must_use]
pub fn last_owner(stored: &StoredCheckpoint) -> Option<String> {
    match pb::Checkpoint::decode(stored.get(SHARD_KEY)?.as_slice()).ok()?.kind? {
        Kind::Shard(entry) => Some(entry.replica).filter(|replica| !replica.is_empty()),
        Kind::Lanes(_) | Kind::Stream(_) => None,
    }
}

/// The entry of the shard itself.
pub(crate) fn write_shard(shard: ShardId, shards: NonZeroU32, epoch: u64, replica: &str) -> CheckpointWrite {
    let entry = pb::ShardCheckpoint { shards: shards.get(), epoch, replica: replica.to_owned() };
    write(shard, SHARD_KEY.to_owned(), Kind::Shard(entry))
}

/// The entry of a topic's lanes.
pub(crate) fn write_lanes(shard: ShardId, topic: &Topic, lanes: &Lanes) -> CheckpointWrite {
    let counters = lanes.counters.iter().map(|it| pb::LaneCounter { epoch: it.epoch, last_sequence: it.last });
    let entry = pb::LanesCheckpoint { topic: topic.to_string(), lanes: counters.collect(), count: lanes.count };
    write(shard, format!("lanes/{topic}"), Kind::Lanes(entry))
}

/// The entry of a stream.
pub(crate) fn write_stream(shard: ShardId, id: &StreamId, stream: &Stream) -> CheckpointWrite {
    write(shard, format!("stream/{id}"), Kind::Stream(encode_stream(stream)))
}

fn write(shard: ShardId, key: String, kind: Kind) -> CheckpointWrite {
    let value = pb::Checkpoint { format: FORMAT, kind: Some(kind) }.encode_to_vec();
    CheckpointWrite { shard, key, value: Some(value) }
}

fn encode_stream(stream: &Stream) -> pb::StreamCheckpoint {
    let live = stream.live();
    pb::StreamCheckpoint {
        sync_token: live.map(|live| live.token.as_str().to_owned()).unwrap_or_default(),
        token_received_at: live.map(|live| live.token_received_at.into()),
        last_complete_poll_at: live.map(|live| live.last_complete_poll_at.into()),
        epoch: stream.epoch,
        last_sequence: stream.last_sequence,
        open_gaps: stream
            .open_gaps
            .iter()
            .map(|gap| pb::OpenGap {
                gap_id: gap.id.clone(),
                last_complete_poll_at: Some(gap.last_complete_poll_at.into()),
                resumed_at: Some(gap.resumed_at.into()),
                topics: gap
                    .topics
                    .iter()
                    .map(|(topic, lanes)| pb::AnnouncedTopic { topic: topic.to_string(), lanes: *lanes })
                    .collect(),
            })
            .collect(),
    }
}

fn decode_stream(entry: pb::StreamCheckpoint) -> Stream {
    let token_received_at = time(entry.token_received_at.as_ref());
    let state = if entry.sync_token.is_empty() {
        State::Establish
    } else {
        State::Live(Live {
            token: SyncToken::from(entry.sync_token),
            token_received_at,
            last_complete_poll_at: time(entry.last_complete_poll_at.as_ref()),
        })
    };
    let gap = |gap: pb::OpenGap| OpenGap {
        id: gap.gap_id,
        last_complete_poll_at: time(gap.last_complete_poll_at.as_ref()),
        resumed_at: time(gap.resumed_at.as_ref()),
        topics: gap.topics.into_iter().map(|it| (Topic::from(it.topic), it.lanes)).collect(),
    };
    Stream {
        state,
        epoch: entry.epoch,
        last_sequence: entry.last_sequence,
        open_gaps: entry.open_gaps.into_iter().map(gap).collect(),
    }
}

fn time(time: Option<&Timestamp>) -> DateTime<Utc> {
    time.and_then(|time| DateTime::from_timestamp(time.seconds, u32::try_from(time.nanos).ok()?)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARDS: NonZeroU32 = NonZeroU32::new(4).unwrap();
    const SHARD: ShardId = ShardId(3);

    fn stored(writes: Vec<CheckpointWrite>) -> StoredCheckpoint {
        writes.into_iter().map(|write| (write.key, write.value.expect("a value"))).collect()
    }

    fn restored(stored: &StoredCheckpoint) -> Result<ShardState, CheckpointError> {
        restore(SHARD, stored, SHARDS, DateTime::UNIX_EPOCH)
    }

    #[test]
    fn what_was_written_is_restored() {
        let (id, at) = (StreamId::new("main", "12"), DateTime::from_timestamp_millis(5).expect("a time"));
        let stream = Stream {
            state: State::Live(Live { token: "t:1".into(), token_received_at: at, last_complete_poll_at: at }),
            epoch: 9,
            last_sequence: 4,
            open_gaps: vec![OpenGap {
                id: "g".into(),
                last_complete_poll_at: at,
                resumed_at: at,
                topics: [(Topic::from("t"), 2)].into(),
            }],
        };
        let lanes = Lanes { count: 2, counters: vec![LaneCounter { epoch: 9, last: 3 }, LaneCounter::default()] };
        let topic = Topic::from("t");
        let stored = stored(vec![
            write_shard(SHARD, SHARDS, 9, "r"),
            write_lanes(SHARD, &topic, &lanes),
            write_stream(SHARD, &id, &stream),
        ]);
        assert_eq!(last_owner(&stored).as_deref(), Some("r"));
        let state = restored(&stored);
        let expected = ShardState {
            counters: Counters::new(9, BTreeMap::from([(topic, lanes)])),
            streams: BTreeMap::from([(id, stream)]),
        };
        assert_eq!(state, Ok(expected));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let other = stored(vec![write_shard(SHARD, NonZeroU32::MIN, 9, "r")]);
        assert_eq!(restored(&other), Err(CheckpointError::OtherShards { found: 1, configured: 4 }));
        let newer = pb::Checkpoint { format: 2, kind: None }.encode_to_vec();
        let newer = restored(&BTreeMap::from([("shard".to_owned(), newer)]));
        assert_eq!(newer, Err(CheckpointError::NewerFormat { shard: SHARD, found: 2 }));
        for (key, value) in [("shard", vec![0xff]), ("x", vec![]), ("stream/x", vec![0x08, 0x01, 0x22, 0x00])] {
            let result = restored(&BTreeMap::from([(key.to_owned(), value)]));
            assert!(matches!(result, Err(CheckpointError::Unreadable { .. })), "{key}: {result:?}");
        }
        let headless = stored(vec![write_lanes(SHARD, &Topic::from("t"), &Lanes::default())]);
        assert_eq!(last_owner(&headless), None);
        assert!(matches!(restored(&headless), Err(CheckpointError::Unreadable { .. })));
    }
}
