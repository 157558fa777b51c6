//! The conformance vectors in `proto/conformance` are what this library says. `UPDATE=1` writes them anew.

mod events;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bridge_consumer::decode;
use bridge_consumer::detect::{Detector, Limits, Start, View};
use bridge_contract::Timestamp;
use bridge_contract::pb::{self, record::Body};
use prost::Message as _;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const TOPIC: &str = "asana.events";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto/conformance")
}

struct Vector {
    /// Within the folder. Those in `optional` are about what a port may leave out.
    name: &'static str,
    description: &'static str,
    view: View,
    start: Start,
    limits: Limits,
    steps: Vec<(String, Vec<u8>)>,
}

impl Vector {
    fn by_lane(name: &'static str, description: &'static str, records: impl IntoIterator<Item = pb::Record>) -> Self {
        Self {
            name,
            description,
            view: View::ByLane,
            start: Start::Beginning,
            limits: Limits::default(),
            steps: records.into_iter().map(|record| (TOPIC.to_owned(), record.encode_to_vec())).collect(),
        }
    }

    fn by_stream(name: &'static str, description: &'static str, records: impl IntoIterator<Item = pb::Record>) -> Self {
        Self { view: View::ByStream, ..Self::by_lane(name, description, records) }
    }

    /// Runs it.
    fn json(&self) -> Value {
        let mut detector = Detector::new(self.view, self.start, self.limits);
        let mut steps = Vec::new();
        let mut topics = BTreeSet::new();
        for (topic, bytes) in &self.steps {
            let record = decode::wire(bytes).unwrap();
            let verdict = detector.observe(topic, &record);
            topics.insert(topic.as_str());
            steps.push(json!({
                "topic": topic,
                "record": BASE64_STANDARD.encode(bytes),
                "readable": record,
                "verdict": verdict,
            }));
        }
        let lanes = detector.lanes().into_iter().map(|(key, tally)| json!({ "lane": key, "tally": tally }));
        let streams = detector.streams().into_iter().map(|(key, tally)| json!({ "stream": key, "tally": tally }));
        let time = |topic: &str| {
            detector.complete_up_to(topic).map(|time| time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true))
        };
        let complete: serde_json::Map<_, _> =
            topics.into_iter().map(|topic| (topic.to_owned(), json!(time(topic)))).collect();
        let mut vector = json!({
            "description": self.description,
            "view": self.view,
            "start": self.start,
            "steps": steps,
            "after": {
                "total": detector.total(),
                "tracks": lanes.chain(streams).collect::<Vec<_>>(),
                "unnumbered": detector.unnumbered(),
                "open_gaps": detector.open_gaps(),
                "complete_up_to": complete,
                "behind": detector.behind(),
            }
        });
        if self.limits != Limits::default() {
            vector["limits"] = json!({ "holes": self.limits.holes });
        }
        vector
    }
}

#[derive(Clone, Copy)]
struct At {
    shard: u32,
    epoch: u64,
    lane: u32,
}

const AT: At = At { shard: 0, epoch: 100, lane: 0 };

fn at(lane: u32) -> At {
    At { lane, ..AT }
}

fn epoch(epoch: u64) -> At {
    At { epoch, ..AT }
}

fn shard(shard: u32, at: At) -> At {
    At { shard, ..at }
}

/// A record of the stream `main/1200`, with the same number in both counters.
fn record(at: At, sequence: u64, body: Body) -> pb::Record {
    placed(at, sequence, "main/1200", sequence, body)
}

fn placed(at: At, lane_sequence: u64, stream: &str, stream_sequence: u64, body: Body) -> pb::Record {
    let At { shard, epoch, lane } = at;
    let stream = stream.to_owned();
    let position = pb::Position { shard, epoch, lane, lane_sequence, stream, stream_sequence };
    pb::Record { position: Some(position), received_at: Some(seconds(1_767_000_000)), body: Some(body) }
}

fn of_lane(at: At, sequence: u64, body: Body) -> pb::Record {
    placed(at, sequence, "", 0, body)
}

fn event() -> Body {
    let resource = pb::Resource { gid: "1201".into(), resource_type: "task".into(), ..pb::Resource::default() };
    Body::Event(pb::Event { action: "changed".into(), resource: Some(resource), ..pb::Event::default() })
}

fn events(at: At, sequences: impl IntoIterator<Item = u64>) -> Vec<pb::Record> {
    sequences.into_iter().map(|sequence| record(at, sequence, event())).collect()
}

fn start(at: At, previous_epoch: u64, previous_lane_sequence: u64) -> pb::Record {
    of_lane(at, 1, Body::EpochStart(pb::EpochStart { previous_epoch, previous_lane_sequence }))
}

/// Of a topic with one lane, and one shard.
fn watermark(at: At, sequence: u64, time: i64) -> pb::Record {
    watermark_of(at, sequence, time, 1, 1)
}

fn watermark_of(at: At, sequence: u64, time: i64, shards: u32, lanes: u32) -> pb::Record {
    let complete_up_to = Some(seconds(1_767_000_000 + time));
    of_lane(at, sequence, Body::Watermark(pb::Watermark { complete_up_to, shards, lanes }))
}

fn changed(at: At, sequence: u64, previous_count: u32, count: u32) -> pb::Record {
    of_lane(at, sequence, Body::LanesChanged(pb::LanesChanged { previous_count, count }))
}

fn gap(at: At, sequence: u64, since: i64) -> pb::Record {
    let gap = pb::SourceGap {
        gap_id: "gap-1".into(),
        reason: pb::SourceGapReason::TokenExpired.into(),
        last_complete_poll_at: Some(seconds(1_767_000_000 + since)),
        resumed_at: Some(seconds(1_767_000_500)),
    };
    record(at, sequence, Body::SourceGap(gap))
}

fn healed(at: At, sequence: u64) -> pb::Record {
    let restored = pb::Restored::State.into();
    let healed =
        pb::SourceGapHealed { gap_id: "gap-1".into(), crawl_id: "crawl-1".into(), restored, ..Default::default() };
    record(at, sequence, Body::SourceGapHealed(healed))
}

fn healed_in_part(at: At, sequence: u64) -> pb::Record {
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

fn seconds(seconds: i64) -> Timestamp {
    Timestamp { seconds, nanos: 0 }
}

#[expect(clippy::too_many_lines, reason = "a list")]
fn vectors() -> Vec<Vector> {
    let mut vectors = vec![
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
            "lane-independent",
            "Lanes and shards have counters of their own, and so does the same lane of another topic.",
            [events(AT, [1, 2]), events(at(1), [1]), events(shard(1, AT), [1, 3]), events(at(1), [3]), events(AT, [3])]
                .concat(),
        ),
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
        Vector::by_lane(
            "lane-source-gaps",
            "A source gap is in every lane, and open until each has the healing. It caps completeness at its beginning.",
            [gap(at(0), 1, 50), gap(at(1), 1, 50), healed(at(0), 2), watermark(at(0), 3, 90), watermark(at(1), 2, 90)],
        ),
        Vector::by_lane(
            "lane-stream-ended",
            "A stream ends with a source gap open: nobody will heal it, so that it ends where the lane tells of that. Another \
             stream's gap stays open, whatever it is called.",
            [
                gap(at(0), 1, 50),
                gap(at(1), 1, 50),
                placed(at(0), 2, "other/9", 1, gap(at(0), 2, 60).body.unwrap()),
                watermark_of(at(0), 3, 90, 1, 2),
                watermark_of(at(1), 2, 90, 1, 2),
                record(at(0), 4, Body::StreamEnded(pb::StreamEnded {})),
                record(at(1), 3, Body::StreamEnded(pb::StreamEnded {})),
            ],
        ),
        Vector::by_lane(
            "lane-source-gap-without-watermark",
            "Without a watermark nothing is complete, whatever a source gap says.",
            [gap(AT, 1, 50)],
        ),
        Vector::by_lane(
            "lane-source-gap-healed-early",
            "The healing comes before the gap that it heals, which is late: healed is final.",
            [healed(AT, 2), gap(AT, 1, 50), watermark(AT, 3, 60)],
        ),
        Vector::by_lane(
            "lane-source-gap-healed-twice",
            "What a crawl had to leave out is read later: the first healing, of a part, closes the gap, and holds nothing back any \
             more. The second says that the rest is there, too. In lane 1 the second comes before the first, which is late; the \
             healing of a gap that was never seen is no surprise.",
            [
                gap(AT, 1, 50),
                watermark_of(AT, 2, 90, 1, 2),
                healed_in_part(AT, 3),
                watermark_of(AT, 4, 95, 1, 2),
                healed(AT, 5),
                gap(at(1), 1, 50),
                watermark_of(at(1), 2, 90, 1, 2),
                healed(at(1), 4),
                healed_in_part(at(1), 3),
                watermark_of(at(1), 5, 95, 1, 2),
                healed(at(2), 1),
            ],
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
        Vector::by_stream(
            "optional/stream-in-order",
            "A stream's records over three lanes, with a source gap that is in each of them. Records of the lane aren't followed.",
            [
                of_lane(at(0), 1, Body::EpochStart(pb::EpochStart::default())),
                placed(at(0), 2, "main/1200", 1, event()),
                placed(at(2), 7, "main/1200", 2, event()),
                gap(at(0), 3, 10),
                gap(at(1), 4, 10),
                gap(at(2), 5, 10),
                placed(at(1), 5, "other/9", 1, event()),
                healed(at(0), 6),
                healed(at(1), 7),
                healed(at(2), 8),
            ],
        ),
        Vector::by_stream(
            "optional/stream-missing",
            "Missing, late, double; two streams. An epoch's end isn't known by stream.",
            [
                placed(at(0), 1, "main/1200", 2, event()),
                placed(at(1), 1, "main/77", 1, event()),
                placed(at(2), 1, "main/1200", 1, event()),
                placed(at(2), 1, "main/1200", 1, event()),
                placed(At { epoch: 108, ..at(2) }, 2, "main/1200", 3, event()),
                placed(At { epoch: 108, ..at(0) }, 2, "main/1200", 1, event()),
                placed(at(1), 2, "main/77", 4, event()),
            ],
        ),
        Vector {
            start: Start::Middle,
            ..Vector::by_stream(
                "optional/stream-middle",
                "The reader joins, and reads streams.",
                [
                    placed(at(0), 90, "main/1200", 40, event()),
                    placed(at(1), 70, "main/1200", 42, event()),
                    placed(at(2), 80, "main/1200", 39, event()),
                ],
            )
        },
        random(),
    ];
    let unknown =
        Vector::by_lane("lane-unknown-body", "A body that a newer bridge may write: its position counts.", []);
    let mut later = pb::Record { body: None, ..record(AT, 2, event()) }.encode_to_vec();
    // Field 29, length-delimited, two bytes.
    later.extend([0xea, 0x01, 0x02, 0x08, 0x01]);
    let steps = [record(AT, 1, event()).encode_to_vec(), later, record(AT, 4, event()).encode_to_vec()];
    vectors.push(Vector { steps: steps.map(|bytes| (TOPIC.to_owned(), bytes)).into(), ..unknown });
    let independent = vectors.iter_mut().find(|vector| vector.name == "lane-independent").unwrap();
    independent.steps.push(("asana.projects".to_owned(), record(AT, 2, event()).encode_to_vec()));
    vectors
}

/// A few hundred records, damaged by chance, always the same.
fn random() -> Vector {
    let mut state = 42_u64;
    let mut chance = move |below: u64| {
        // Numerical Recipes' generator; its upper bits.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut records = Vec::new();
    let mut last = [[(0, 0); 3]; 2];
    for number in 0..300 {
        let epoch = if number < 180 { 100 } else { 105 };
        let (shard, lane) = (chance(2) as u32, chance(3) as u32);
        let at = At { shard, epoch, lane };
        let (before, sequence) = &mut last[shard as usize][lane as usize];
        if *before != epoch {
            records.push(start(at, *before, *sequence));
            (*before, *sequence) = (epoch, 1);
        }
        *sequence += 1;
        records.push(match chance(8) {
            0 => watermark_of(at, *sequence, number, 2, 3),
            _ => record(at, *sequence, event()),
        });
    }
    for _ in 0..40 {
        let from = chance(records.len() as u64) as usize;
        let to = (from + chance(9) as usize).min(records.len() - 1);
        match chance(3) {
            0 => drop(records.remove(from)),
            1 => records.insert(to, records[from].clone()),
            _ => records.swap(from, to),
        }
    }
    Vector::by_lane(
        "lane-random",
        "Two shards, three lanes, two epochs; forty records lost, doubled or swapped.",
        records,
    )
}

#[test]
fn the_vectors_are_what_this_library_says() {
    let mut names = BTreeSet::new();
    let mut stale = Vec::new();
    let mut all: Vec<_> = vectors().iter().map(|vector| (vector.name, vector.json())).collect();
    all.extend([("custom-fields", events::custom_fields()), ("fingerprints", events::fingerprints())]);
    for (name, vector) in all {
        let name = format!("{name}.json");
        let path = folder().join(&name);
        let fresh = serde_json::to_string_pretty(&vector).unwrap() + "\n";
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &fresh).unwrap();
        } else if std::fs::read_to_string(&path).unwrap_or_default() != fresh {
            stale.push(name.clone());
        }
        assert!(names.insert(name.clone()), "{name} twice");
    }
    let files: BTreeSet<_> = ["", "optional/"]
        .into_iter()
        .flat_map(|within| {
            let entries = std::fs::read_dir(folder().join(within)).unwrap();
            entries.map(move |entry| format!("{within}{}", entry.unwrap().file_name().to_str().unwrap()))
        })
        .filter(|name| name.contains(".json"))
        .collect();
    assert_eq!(files, names, "files without a vector, or vectors without a file");
    assert!(stale.is_empty(), "{stale:?}: run `make generate` and read the difference");
}

#[test]
fn the_vectors_cover_every_verdict() {
    let mut seen = BTreeSet::new();
    for vector in vectors() {
        for step in vector.json()["steps"].as_array().unwrap() {
            let verdict = &step["verdict"];
            seen.insert(verdict["continuity"].as_str().unwrap().to_owned());
            seen.extend(verdict["news"]["kind"].as_str().map(str::to_owned));
        }
    }
    let all = [
        "complete_up_to",
        "duplicate",
        "epoch_changed",
        "in_order",
        "lanes_changed",
        "missing",
        "not_followed",
        "older",
        "reordered",
        "source_gap_healed",
        "source_gap_opened",
        "unnumbered",
    ];
    assert_eq!(seen.iter().map(String::as_str).collect::<Vec<_>>(), all);
}
