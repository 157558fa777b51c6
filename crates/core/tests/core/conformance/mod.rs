//! The conformance vectors in `proto/conformance` are what this library returns. `UPDATE=1` writes them again.

mod complete;
mod events;
mod gaps;
mod order;
mod records;
mod states;
mod streams;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bridge_consumer::decode;
use bridge_consumer::detect::{Detector, Limits, Start, View};
use bridge_contract::json as json_form;
use bridge_contract::pb::{self, record::Body};
use prost::Message as _;
use records::{AT, At, event, record, start, watermark, watermark_of};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const TOPIC: &str = "asana.events";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto/conformance")
}

#[derive(Clone)]
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

fn vectors() -> Vec<Vector> {
    let mut vectors = [
        order::in_order(),
        order::damaged(),
        order::epochs(),
        complete::watermarks(),
        complete::silent(),
        complete::joint(),
        complete::numbers(),
        gaps::opened(),
        gaps::healings(),
        streams::streams(),
        vec![random()],
    ]
    .concat();
    let unknown =
        Vector::by_lane("lane-unknown-body", "A body that a newer bridge may write: its position counts.", []);
    let mut later = pb::Record { body: None, ..record(AT, 2, event()) }.encode_to_vec();
    // Field 29, length-delimited, two bytes.
    later.extend([0xea, 0x01, 0x02, 0x08, 0x01]);
    let steps = [record(AT, 1, event()).encode_to_vec(), later, record(AT, 4, event()).encode_to_vec()];
    vectors.push(Vector { steps: steps.map(|bytes| (TOPIC.to_owned(), bytes)).into(), ..unknown });
    vectors.push(as_json());
    let independent = vectors.iter_mut().find(|vector| vector.name == "lane-independent").unwrap();
    independent.steps.push(("asana.projects".to_owned(), record(AT, 2, event()).encode_to_vec()));
    vectors
}

/// Every second value in the JSON form, with some that a newer bridge may write.
fn as_json() -> Vector {
    let snapshot = Body::Snapshot(pb::Snapshot {
        state_json: r#"{"gid":"1201","number_value":1.5,"tags":[]}"#.to_owned(),
        ..pb::Snapshot::default()
    });
    let gap = Body::SourceGap(pb::SourceGap { gap_id: "g".to_owned(), ..pb::SourceGap::default() });
    let large = At { epoch: u64::MAX, ..AT };
    let records = [
        record(AT, 1, event()),
        record(AT, 2, snapshot),
        record(AT, 3, event()),
        record(AT, 4, gap),
        watermark(AT, 5, 1_767_000_100),
        watermark(AT, 6, 1_767_000_200),
        record(AT, 9, event()),
        start(large, 100, 9),
    ];
    let mut vector = Vector::by_lane("lane-json", "Every second value is in the JSON form.", []);
    for (number, record) in records.iter().enumerate() {
        let value = if number % 2 == 1 { json_form::record(record).unwrap() } else { record.encode_to_vec() };
        vector.steps.push((TOPIC.to_owned(), value));
    }
    let newer = r#"{"newer":{"a":[1]},"position":{"epoch":"18446744073709551615","laneSequence":"2","b":2}}"#;
    vector.steps.push((TOPIC.to_owned(), newer.as_bytes().to_vec()));
    vector
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
    all.extend([
        ("custom-fields", events::custom_fields()),
        ("fingerprints", events::fingerprints()),
        ("state-table", states::table()),
    ]);
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
        "tail_missing",
        "unnumbered",
    ];
    assert_eq!(seen.iter().map(String::as_str).collect::<Vec<_>>(), all);
}
