//! Vectors of the order of a lane: what is missing, late or there twice, and how epochs follow each other.

use super::Vector;
use super::records::{AT, At, at, epoch, event, events, gap, healed, record, shard, start, watermark, watermark_of};
use bridge_consumer::detect::{Limits, Start};
use bridge_contract::pb::{self, record::Body};

/// Everything in order, and counters that are independent.
pub(super) fn in_order() -> Vec<Vector> {
    vec![
        Vector::by_lane(
            "lane-in-order",
            "Every body, in order.",
            [
                start(AT, 0, 0),
                record(AT, 2, event()),
                record(AT, 3, Body::StandIn(pb::StandIn { reason: "too large".into(), ..pb::StandIn::default() })),
                gap(AT, 4, 10),
                record(
                    AT,
                    5,
                    Body::SnapshotBegin(pb::SnapshotBegin { crawl_id: "crawl-1".into(), ..Default::default() }),
                ),
                record(AT, 6, Body::Snapshot(pb::Snapshot { crawl_id: "crawl-1".into(), ..Default::default() })),
                record(
                    AT,
                    7,
                    Body::SnapshotEnd(pb::SnapshotEnd {
                        crawl_id: "crawl-1".into(),
                        snapshots: 1,
                        complete_types: vec!["task".into()],
                        ..Default::default()
                    }),
                ),
                healed(AT, 8),
                watermark(AT, 9, 20),
                record(AT, 10, event()),
            ],
        ),
        Vector::by_lane(
            "lane-independent",
            "Lanes and shards have counters of their own, and so does the same lane of another topic.",
            [events(AT, [1, 2]), events(at(1), [1]), events(shard(1, AT), [1, 3]), events(at(1), [3]), events(AT, [3])]
                .concat(),
        ),
        Vector {
            start: Start::Middle,
            ..Vector::by_lane(
                "lane-large-numbers",
                "Sequences beyond 2^53, which a double can't tell apart.",
                events(
                    AT,
                    [9_007_199_254_740_992, 9_007_199_254_740_993, 9_007_199_254_740_994, 9_007_199_254_740_993],
                ),
            )
        },
    ]
}

/// What is missing or there twice.
pub(super) fn damaged() -> Vec<Vector> {
    vec![
        Vector::by_lane(
            "lane-missing",
            "A hole opens, is filled from its middle, its end and its beginning, and what filled it comes again.",
            events(AT, [1, 2, 8, 5, 5, 7, 3, 9, 4, 6, 6]),
        ),
        Vector::by_lane(
            "lane-missing-for-good",
            "Two holes that nobody fills, one at the very start.",
            events(AT, [3, 4, 9]),
        ),
        Vector::by_lane(
            "lane-duplicates",
            "Single records and a whole batch come again. What a duplicate says is no news.",
            [events(AT, [1, 1, 2, 3, 4, 2, 3, 4]), vec![gap(AT, 5, 10), gap(AT, 5, 10), healed(AT, 6), gap(AT, 5, 10)]]
                .concat(),
        ),
        Vector::by_lane(
            "lane-unnumbered",
            "Positions that the contract doesn't allow, and a record without one. The last number can't be followed either.",
            [
                pb::Record { position: None, ..record(AT, 1, event()) },
                record(epoch(0), 1, event()),
                record(AT, 0, event()),
                record(AT, u64::MAX, event()),
                record(AT, 1, event()),
            ],
        ),
        Vector {
            limits: Limits { holes: 4, ..Limits::default() },
            ..Vector::by_lane(
                "optional/lane-too-many-holes",
                "With room for four holes, the fifth makes the track give up the lower half of its five, rounded up: they stay missing, \
                 and their records are older.",
                events(AT, [2, 4, 6, 8, 10, 5, 7, 2, 8, 9, 12]),
            )
        },
    ]
}

/// How epochs follow each other.
pub(super) fn epochs() -> Vec<Vector> {
    vec![
        Vector::by_lane(
            "lane-epochs",
            "An epoch's start names the end of the one before. Late records of an epoch that is over, an epoch of which nothing \
             was seen, an epoch whose start is lost and comes late.",
            [
                vec![start(epoch(100), 0, 0)],
                events(epoch(100), [2, 3]),
                vec![start(epoch(107), 100, 3)],
                events(epoch(107), [2]),
                vec![start(epoch(109), 107, 5)],
                events(epoch(107), [4, 4]),
                vec![start(epoch(120), 115, 4)],
                events(epoch(121), [2]),
                vec![start(epoch(121), 120, 2), start(epoch(121), 120, 2)],
            ]
            .concat(),
        ),
        Vector::by_lane(
            "lane-counters-lost",
            "An epoch begins, and its start doesn't know the one before it, of which records were seen: whether any is missing at \
             its end can't be said, and later watermarks no longer hold. In lane 1 the start comes late; in lane 2 nothing was before.",
            [
                vec![start(AT, 0, 0), watermark_of(AT, 2, 10, 1, 2), start(epoch(107), 0, 0)],
                vec![watermark_of(epoch(107), 2, 20, 1, 2)],
                events(at(1), [1]),
                vec![watermark_of(at(1), 2, 10, 1, 2)],
                events(At { lane: 1, ..epoch(107) }, [2]),
                vec![
                    start(At { lane: 1, ..epoch(107) }, 0, 0),
                    watermark_of(At { lane: 1, ..epoch(107) }, 3, 20, 1, 2),
                ],
                vec![start(At { lane: 2, ..epoch(107) }, 0, 0)],
            ]
            .concat(),
        ),
        Vector::by_lane(
            "optional/lane-four-epochs",
            "Four epochs are remembered. A record of an older one is older, and what it lacked stays missing.",
            [
                events(epoch(1), [2]),
                events(epoch(2), [1]),
                events(epoch(3), [1]),
                events(epoch(4), [1]),
                events(epoch(5), [1]),
                events(epoch(1), [1, 2]),
                events(epoch(2), [1]),
            ]
            .concat(),
        ),
        Vector {
            start: Start::Middle,
            ..Vector::by_lane(
                "lane-middle",
                "The reader joins in mid-lane. What comes from before its first record is older; the next epoch it sees begin.",
                [
                    events(epoch(100), [50, 52, 49, 51]),
                    events(epoch(90), [3]),
                    vec![start(epoch(110), 100, 54)],
                    events(epoch(120), [3]),
                    vec![start(At { lane: 1, epoch: 100, shard: 1 }, 90, 44)],
                ]
                .concat(),
            )
        },
    ]
}
