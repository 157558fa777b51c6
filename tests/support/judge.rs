//! What a reader that isn't ours has seen, against what the simulator offered.

use super::foreign::Seen;
use bridge_contract::pb::{self, record::Body};
use bridge_core::ids::StreamId;
use bridge_core::record::event::to_json;
use prost::Message as _;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// How many of the records are events.
pub(crate) fn events(seen: &[Seen]) -> usize {
    seen.iter().filter(|seen| matches!(record(seen).body, Some(Body::Event(_)))).count()
}

fn record(seen: &Seen) -> pb::Record {
    pb::Record::decode(seen.value.as_slice()).expect("a record")
}

/// Each offered event once, in order by stream, by gid and lane, with contiguous sequences.
pub(crate) fn compare(offered: &BTreeMap<String, Vec<Value>>, seen: &[Seen]) {
    let mut read: BTreeMap<String, BTreeMap<u64, Value>> = BTreeMap::new();
    // Events and snapshots share a stream's sequence.
    let mut sequences: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    let mut lanes: BTreeMap<(String, u32), u64> = BTreeMap::new();
    let mut gids: BTreeMap<(String, String), (String, u64)> = BTreeMap::new();
    for seen in seen {
        let record = record(seen);
        let position = record.position.expect("a position");
        let last = lanes.entry((seen.lane.clone(), position.shard)).or_default();
        assert_eq!(position.lane_sequence, *last + 1, "lane {} of shard {}", seen.lane, position.shard);
        *last = position.lane_sequence;
        if let Some(stream) = StreamId::parse(&position.stream) {
            let stream = stream.resource.to_string();
            let is_new = sequences.entry(stream).or_default().insert(position.stream_sequence);
            assert!(is_new, "a stream sequence twice: {position:?}");
        }
        let Some(Body::Event(event)) = record.body else { continue };
        assert_eq!(seen.key, event.resource.as_ref().unwrap().gid, "the key is the gid of what changed");
        let stream = StreamId::parse(&position.stream).unwrap().resource.to_string();
        let before = gids.insert((stream.clone(), seen.key.clone()), (seen.lane.clone(), position.stream_sequence));
        if let Some((lane, sequence)) = before {
            assert_eq!(lane, seen.lane, "a gid has one lane");
            assert!(sequence < position.stream_sequence, "a gid's events are in order");
        }
        let event = serde_json::from_str(&to_json(&event)).unwrap();
        let before = read.entry(stream).or_default().insert(position.stream_sequence, event);
        assert!(before.is_none(), "an event twice: {before:?}");
    }
    for (stream, offered) in offered {
        let read = read.remove(stream).unwrap_or_default();
        let sequences = sequences.remove(stream).unwrap_or_default();
        assert!(sequences.iter().copied().eq(1..=sequences.len() as u64), "stream {stream} has holes");
        assert!(read.values().eq(offered), "stream {stream}: {} read, {} offered", read.len(), offered.len());
    }
    assert!(read.is_empty(), "streams that nobody offered: {:?}", read.keys());
}
