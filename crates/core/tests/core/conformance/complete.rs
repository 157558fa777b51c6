//! Vectors of watermarks: up to when a topic is complete.

use super::Vector;
use super::records::{AT, At, at, changed, epoch, event, events, record, shard, start, watermark, watermark_of};
use bridge_consumer::detect::Start;

/// When a watermark holds.
pub(super) fn watermarks() -> Vec<Vector> {
    vec![
        Vector::by_lane(
            "lane-watermarks",
            "A watermark holds once nothing before it is missing, and never goes back. A later one takes its place while it waits.",
            [
                vec![start(AT, 0, 0), watermark_of(AT, 2, 10, 2, 1), watermark_of(AT, 2, 10, 2, 1)],
                events(AT, [4]),
                vec![watermark_of(AT, 5, 20, 2, 1), watermark_of(AT, 6, 30, 2, 1)],
                events(AT, [3]),
                vec![watermark_of(AT, 7, 25, 2, 1), watermark_of(shard(1, AT), 1, 15, 2, 1)],
                vec![start(epoch(101), 100, 8), watermark_of(epoch(101), 2, 40, 2, 1)],
                events(AT, [8]),
            ]
            .concat(),
        ),
        Vector::by_lane(
            "lane-watermark-before-a-hole",
            "A hole behind a watermark doesn't hold it back; one in an earlier epoch does.",
            [
                vec![start(AT, 0, 0)],
                events(AT, [2, 4]),
                vec![start(epoch(101), 100, 4), watermark(epoch(101), 2, 10)],
                events(epoch(101), [5]),
                events(AT, [3]),
            ]
            .concat(),
        ),
    ]
}

/// Lanes and shards of which nothing comes.
pub(super) fn silent() -> Vec<Vector> {
    vec![
        Vector::by_lane(
            "lane-tail-loss",
            "Lane 1 has fallen silent, although the other lanes of its shard have a later watermark. Shard 2 is complete.",
            [
                (0..3).map(|lane| watermark_of(at(lane), 1, 10, 2, 3)).collect(),
                (0..3).map(|lane| watermark_of(shard(1, at(lane)), 1, 12, 2, 3)).collect(),
                events(at(1), [2]),
                vec![watermark_of(at(0), 2, 20, 2, 3), watermark_of(at(2), 2, 20, 2, 3)],
            ]
            .concat(),
        ),
        Vector::by_lane(
            "lane-silent-from-the-start",
            "There are three lanes, say the watermarks. Nothing of the last one was ever seen, so that nothing is complete.",
            [watermark_of(at(0), 1, 10, 1, 3), watermark_of(at(1), 1, 10, 1, 3)],
        ),
        Vector::by_lane(
            "lane-silent-shard",
            "There are two shards, say the watermarks. Nothing is complete before the second has one in each lane, too.",
            [watermark_of(at(0), 1, 10, 2, 2), watermark_of(at(1), 1, 10, 2, 2), record(shard(1, at(1)), 1, event())],
        ),
    ]
}

/// The numbers of shards and lanes change.
pub(super) fn numbers() -> Vec<Vector> {
    vec![
        Vector::by_lane(
            "lane-shards-ended",
            "A migration from two shards to one. Watermarks of the latest epoch tell how many there are, in whatever order they are \
             read; shard 1 has ended, and holds nothing back.",
            [
                watermark_of(at(0), 1, 10, 2, 2),
                watermark_of(shard(1, at(0)), 1, 8, 2, 2),
                start(epoch(200), 100, 1),
                watermark_of(epoch(200), 2, 30, 1, 2),
                watermark_of(at(1), 1, 10, 2, 2),
                watermark_of(shard(1, at(1)), 1, 8, 2, 2),
                start(At { lane: 1, ..epoch(200) }, 100, 1),
                watermark_of(At { lane: 1, ..epoch(200) }, 2, 30, 1, 2),
            ],
        ),
        Vector::by_lane(
            "lane-shards-ended-with-a-loss",
            "A shard ended, and one of its records is missing: that holds the topic back.",
            [
                vec![watermark_of(AT, 1, 10, 2, 1), watermark_of(shard(1, AT), 1, 8, 2, 1)],
                events(shard(1, AT), [3]),
                vec![start(epoch(200), 100, 1), watermark(epoch(200), 2, 30)],
            ]
            .concat(),
        ),
        Vector {
            start: Start::Middle,
            ..Vector::by_lane(
                "optional/lane-lanes-changed",
                "A shard's lanes grow from 1 to 3. From then on the new ones' watermarks count, too. A new lane is read from its \
                 start, also by a reader that joined; shard 7 wrote there before.",
                [
                    watermark_of(AT, 70, 10, 1, 1),
                    record(shard(7, at(2)), 500, event()),
                    changed(AT, 71, 1, 3),
                    record(at(1), 3, event()),
                    start(at(2), 0, 0),
                    changed(at(2), 2, 1, 3),
                    watermark_of(AT, 72, 20, 1, 3),
                    watermark_of(at(2), 3, 20, 1, 3),
                ],
            )
        },
    ]
}
