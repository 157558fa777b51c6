//! Vectors for a follower of the state topic.

use super::records::seconds;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bridge_consumer::state_table::Completeness;
use bridge_consumer::{Record, StateTable};
use bridge_contract::pb::{self, record::Body};
use bridge_contract::state::progress_key;
use chrono::SecondsFormat;
use prost::Message as _;
use serde_json::{Map, Value, json};

/// A key, and a record or a tombstone.
type Step = (String, Option<pb::Record>);

fn state(gid: &str, json: &str) -> Step {
    let resource = pb::Resource { gid: gid.to_owned(), resource_type: "task".to_owned(), ..pb::Resource::default() };
    let state =
        pb::State { resource: Some(resource), state_json: json.to_owned(), followed: true, ..pb::State::default() };
    (gid.to_owned(), Some(pb::Record { body: Some(Body::State(state)), ..pb::Record::default() }))
}

fn progress(shard: u32, shards: u32, read_up_to: i64, published: Vec<pb::PublishedProgress>) -> Step {
    let progress = pb::StateProgress { shard, shards, read_up_to: Some(seconds(read_up_to)), published };
    let body = Some(Body::StateProgress(progress));
    (progress_key(shard), Some(pb::Record { body, ..pb::Record::default() }))
}

/// What was published at a time: two streams that are complete up to another time, if it is known.
fn published(at: i64, complete_up_to: Option<i64>) -> pb::PublishedProgress {
    let complete_up_to = complete_up_to.map(seconds);
    pb::PublishedProgress { at: Some(seconds(at)), streams: 2, complete_up_to, ..pb::PublishedProgress::default() }
}

fn steps() -> Vec<Step> {
    let empty = |at| pb::PublishedProgress { at: Some(seconds(at)), ..pb::PublishedProgress::default() };
    let tombstone = |key: &str| (key.to_owned(), None);
    let later = Body::StreamEnded(pb::StreamEnded {});
    vec![
        state("1201", r#"{"due_on":null}"#),
        state("1202", "{}"),
        state("1201", r#"{"due_on":"2026-12-24"}"#),
        tombstone("1202"),
        tombstone("1203"),
        // One of two shards has spoken.
        progress(0, 2, 100, vec![published(99, Some(98))]),
        // What was published at 99 is read by shard 0 up to 100, and by shard 1 only up to 90.
        progress(1, 2, 90, vec![empty(89)]),
        // An older statement of shard 0 is covered.
        progress(0, 2, 110, vec![published(109, Some(108)), published(99, Some(98)), published(80, Some(79))]),
        // The table is complete up to the least of both times.
        progress(1, 2, 105, vec![published(104, Some(60)), published(90, Some(70))]),
        progress(1, 2, 120, vec![published(104, Some(103))]),
        // Something is to be known beside it.
        progress(
            1,
            2,
            121,
            vec![pb::PublishedProgress { open_source_gaps: 1, suspended: 2, left_out: 3, ..published(104, Some(103)) }],
        ),
        // A stream of the other shard has no sync token yet.
        progress(0, 2, 122, vec![published(109, None)]),
        progress(0, 2, 123, vec![pb::PublishedProgress { not_loaded: 1, ..published(109, Some(108)) }]),
        // Two shards without streams: nothing changes.
        progress(0, 2, 130, vec![empty(129), empty(120)]),
        progress(1, 2, 125, vec![empty(124)]),
        // The number of shards becomes one, and the record of the second shard stays.
        progress(0, 1, 200, vec![published(199, Some(198))]),
        // The record of a body that isn't known here changes nothing.
        ("1204".to_owned(), Some(pb::Record { body: Some(later), ..pb::Record::default() })),
        tombstone(&progress_key(1)),
        // A new owner's time may be older, and says so.
        progress(0, 1, 150, vec![published(199, Some(198))]),
    ]
}

fn told(completeness: Completeness) -> Value {
    match completeness {
        Completeness::Unknown => json!({ "kind": "unknown" }),
        Completeness::Loading { streams } => json!({ "kind": "loading", "streams": streams }),
        Completeness::Complete { up_to, open_source_gaps, suspended, left_out } => json!({
            "kind": "complete",
            "up_to": up_to.map(|up_to| up_to.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            "open_source_gaps": open_source_gaps,
            "suspended": suspended,
            "left_out": left_out,
        }),
    }
}

/// What the table has, and says of itself, after each message.
pub(super) fn table() -> Value {
    let mut table = StateTable::default();
    let steps = steps().into_iter().map(|(key, record)| {
        table.apply(&key, record.clone().map(Record::from).as_ref());
        let states: Map<_, _> = table.iter().map(|(gid, state)| (gid.to_owned(), json!(state.state_json))).collect();
        json!({
            "key": key,
            "record": record.as_ref().map(|record| BASE64_STANDARD.encode(record.encode_to_vec())),
            "readable": record,
            "states": states,
            "completeness": told(table.completeness()),
        })
    });
    json!({
        "description": "A follower of the state topic: what it has, and how complete that is, after each message.",
        "state_table": steps.collect::<Vec<_>>(),
    })
}

#[test]
fn the_table_says_all_that_it_can_say() {
    let table = table();
    let said: Vec<_> = table["state_table"].as_array().unwrap().iter().map(|step| &step["completeness"]).collect();
    for kind in ["unknown", "loading", "complete"] {
        assert!(said.iter().any(|it| it["kind"] == kind), "{kind}");
    }
    let is_complete = |it: &&&Value| it["kind"] == "complete";
    assert!(said.iter().filter(is_complete).any(|it| it["up_to"].is_null()));
    assert!(said.iter().filter(is_complete).any(|it| it["left_out"] == 3));
    assert_eq!(said.last().unwrap()["kind"], "unknown");
}
