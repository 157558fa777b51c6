//! The records that vectors are made of.

use bridge_contract::Timestamp;
use bridge_contract::pb::{self, record::Body};

#[derive(Clone, Copy)]
pub(super) struct At {
    pub(super) shard: u32,
    pub(super) epoch: u64,
    pub(super) lane: u32,
}

pub(super) const AT: At = At { shard: 0, epoch: 100, lane: 0 };

pub(super) fn at(lane: u32) -> At {
    At { lane, ..AT }
}

pub(super) fn epoch(epoch: u64) -> At {
    At { epoch, ..AT }
}

pub(super) fn shard(shard: u32, at: At) -> At {
    At { shard, ..at }
}

/// A record of the stream `main/1200`, with the same number in both counters.
pub(super) fn record(at: At, sequence: u64, body: Body) -> pb::Record {
    placed(at, sequence, "main/1200", sequence, body)
}

pub(super) fn placed(at: At, lane_sequence: u64, stream: &str, stream_sequence: u64, body: Body) -> pb::Record {
    let At { shard, epoch, lane } = at;
    let stream = stream.to_owned();
    let position = pb::Position { shard, epoch, lane, lane_sequence, stream, stream_sequence };
    pb::Record { position: Some(position), received_at: Some(seconds(1_767_000_000)), body: Some(body) }
}

pub(super) fn of_lane(at: At, sequence: u64, body: Body) -> pb::Record {
    placed(at, sequence, "", 0, body)
}

pub(super) fn event() -> Body {
    let resource = pb::Resource { gid: "1201".into(), resource_type: "task".into(), ..pb::Resource::default() };
    Body::Event(pb::Event { action: "changed".into(), resource: Some(resource), ..pb::Event::default() })
}

pub(super) fn events(at: At, sequences: impl IntoIterator<Item = u64>) -> Vec<pb::Record> {
    sequences.into_iter().map(|sequence| record(at, sequence, event())).collect()
}

pub(super) fn start(at: At, previous_epoch: u64, previous_lane_sequence: u64) -> pb::Record {
    of_lane(at, 1, Body::EpochStart(pb::EpochStart { previous_epoch, previous_lane_sequence }))
}

/// Of a topic with one lane, and one shard.
pub(super) fn watermark(at: At, sequence: u64, time: i64) -> pb::Record {
    watermark_of(at, sequence, time, 1, 1)
}

pub(super) fn watermark_of(at: At, sequence: u64, time: i64, shards: u32, lanes: u32) -> pb::Record {
    stating(at, sequence, (shards, lanes), [up_to(at, sequence, time)])
}

/// A watermark about several shards.
pub(super) fn stating(
    at: At,
    sequence: u64,
    (shards, lanes): (u32, u32),
    progress: impl Into<Vec<pb::ShardProgress>>,
) -> pb::Record {
    of_lane(at, sequence, Body::Watermark(pb::Watermark { shards, lanes, progress: progress.into() }))
}

pub(super) fn up_to(At { shard, epoch, .. }: At, lane_sequence: u64, time: i64) -> pb::ShardProgress {
    let complete_up_to = Some(seconds(1_767_000_000 + time));
    pb::ShardProgress { shard, epoch, lane_sequence, complete_up_to, empty: false }
}

pub(super) fn empty(at: At, lane_sequence: u64) -> pb::ShardProgress {
    pb::ShardProgress { complete_up_to: None, empty: true, ..up_to(at, lane_sequence, 0) }
}

pub(super) fn changed(at: At, sequence: u64, previous_count: u32, count: u32) -> pb::Record {
    of_lane(at, sequence, Body::LanesChanged(pb::LanesChanged { previous_count, count }))
}

pub(super) fn gap(at: At, sequence: u64, since: i64) -> pb::Record {
    let gap = pb::SourceGap {
        gap_id: "gap-1".into(),
        reason: pb::SourceGapReason::TokenExpired.into(),
        last_complete_poll_at: Some(seconds(1_767_000_000 + since)),
        resumed_at: Some(seconds(1_767_000_500)),
    };
    record(at, sequence, Body::SourceGap(gap))
}

pub(super) fn healed(at: At, sequence: u64) -> pb::Record {
    let restored = pb::Restored::State.into();
    let healed =
        pb::SourceGapHealed { gap_id: "gap-1".into(), crawl_id: "crawl-1".into(), restored, ..Default::default() };
    record(at, sequence, Body::SourceGapHealed(healed))
}

pub(super) fn healed_in_part(at: At, sequence: u64) -> pb::Record {
    let left_out = pb::LeftOut { of: "1201".into(), what: "stories".into(), reason: "server".into() };
    let healed = pb::SourceGapHealed {
        gap_id: "gap-1".into(),
        crawl_id: "crawl-1".into(),
        restored: pb::Restored::PartOfState.into(),
        left_out: vec![left_out],
        left_out_count: 1,
    };
    record(at, sequence, Body::SourceGapHealed(healed))
}

pub(super) fn seconds(seconds: i64) -> Timestamp {
    Timestamp { seconds, nanos: 0 }
}
