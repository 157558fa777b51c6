//! Vectors of watermarks: up to when a topic is complete.

use super::Vector;
use super::records::{
    AT, At, at, changed, empty, epoch, event, events, record, shard, start, stating, up_to, watermark, watermark_of,
};
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

/// Watermarks about several shards, in the sequence of one of them.
pub(super) fn joint() -> Vec<Vector> {
    let (one, other) = (AT, shard(1, AT));
    let of_two = (2, 1);
    vec![
        Vector::by_lane(
            "lane-joint-watermark",
            "One watermark is about both shards. The last two records of shard 1 are missing, although none of its records came later; \
             then they come.",
            [
                events(other, [1]),
                vec![stating(one, 1, of_two, [up_to(one, 1, 10), up_to(other, 1, 12)])],
                vec![stating(one, 2, of_two, [up_to(one, 2, 20), up_to(other, 3, 22)])],
                events(other, [2, 3, 4]),
            ]
            .concat(),
        ),
        Vector::by_lane(
            "lane-joint-watermark-tail-lost",
            "The tail of shard 1 is missing, more of it with the next watermark, and the records never come.",
            [
                events(other, [1]),
                vec![stating(one, 1, of_two, [up_to(one, 1, 10), up_to(other, 3, 12)])],
                vec![stating(one, 2, of_two, [up_to(one, 2, 20), up_to(other, 6, 22)])],
                events(other, [8]),
            ]
            .concat(),
        ),
        Vector::by_lane(
            "lane-replica-stops",
            "The replica that wrote for both shards stops between two watermarks. Another takes over shard 1, and names it \
             alone: shard 0 holds the topic back.",
            [
                events(other, [1]),
                vec![stating(one, 1, of_two, [up_to(one, 1, 10), up_to(other, 1, 12)])],
                events(other, [2]),
                vec![stating(other, 3, of_two, [up_to(other, 3, 30)])],
            ]
            .concat(),
        ),
        Vector::by_lane(
            "lane-shard-moves",
            "Shard 1 moves from the replica of shard 0 to another. Both name it for a while, and the later time counts.",
            [
                events(other, [1]),
                vec![stating(one, 1, of_two, [up_to(one, 1, 10), up_to(other, 1, 12)])],
                vec![stating(other, 2, of_two, [up_to(other, 2, 30)])],
                vec![stating(one, 2, of_two, [up_to(one, 2, 25), up_to(other, 1, 20)])],
                vec![stating(one, 3, of_two, [up_to(one, 3, 40)])],
            ]
            .concat(),
        ),
        Vector::by_lane(
            "lane-empty-shard",
            "Shard 1 has no streams: it holds nothing back, though nobody names it again. Before its first stream is polled a \
             watermark names it, and from then on it counts. At the end it is empty again, until its next record.",
            [
                vec![start(other, 0, 0)],
                vec![stating(one, 1, of_two, [up_to(one, 1, 10), empty(other, 1)])],
                vec![watermark_of(one, 2, 20, 2, 1)],
                vec![stating(one, 3, of_two, [up_to(one, 3, 30), up_to(other, 1, 28)])],
                vec![watermark_of(one, 4, 40, 2, 1)],
                events(other, [2]),
                vec![stating(one, 5, of_two, [up_to(one, 5, 50), empty(other, 2)])],
                vec![watermark_of(one, 6, 60, 2, 1)],
                events(other, [3]),
                vec![watermark_of(one, 7, 70, 2, 1)],
            ]
            .concat(),
        ),
        Vector::by_lane(
            "lane-empty-shard-late",
            "A watermark that comes late doesn't make a shard empty again. One with a hole before the shard's last record \
             doesn't either, until the hole is filled.",
            [
                events(other, [1]),
                vec![stating(one, 1, of_two, [up_to(one, 1, 10), up_to(other, 1, 12)])],
                vec![stating(one, 3, of_two, [up_to(one, 3, 30), up_to(other, 1, 20)])],
                vec![stating(one, 2, of_two, [up_to(one, 2, 15), empty(other, 1)])],
                vec![stating(one, 4, of_two, [up_to(one, 4, 40), empty(other, 3)])],
                events(other, [2, 3]),
            ]
            .concat(),
        ),
        Vector {
            start: Start::Middle,
            ..Vector::by_lane(
                "lane-joined-at-a-watermark",
                "A reader that joins at a watermark knows all the shards that it names.",
                [vec![stating(one, 70, of_two, [up_to(one, 70, 10), up_to(other, 9, 12)])], events(other, [11, 9])]
                    .concat(),
            )
        },
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
