//! The state topic, held against what Asana has.

use super::asana::{Asana, task};
use super::bus::Bus;
use bridge_consumer::decode;
use bridge_contract::pb::{self, record::Body};
use bridge_core::ids::StreamId;
use bridge_core::record::batch::Message;
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::{BTreeMap, BTreeSet};

/// What was found in a state topic that is as it should be.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct States {
    /// States that were written.
    pub(crate) written: usize,
    /// Of these, by a reading after an event.
    pub(crate) read_again: usize,
    /// Resources that were removed.
    pub(crate) removed: usize,
    /// Resources that are gone, and nobody could know.
    pub(crate) unknown: usize,
}

/// At the end each task has its state, and no other resource has one. Never did an older state follow a newer one, and
/// never was removed what lived. `knows_streams`: the same streams were configured all the time.
pub(crate) fn judge_states(asana: &Asana, bus: &Bus, knows_streams: bool) -> States {
    let mut verdict = States::default();
    let mut table: BTreeMap<String, (usize, pb::State)> = BTreeMap::new();
    let mut newest: BTreeMap<String, u32> = BTreeMap::new();
    for (at, committed_at, message) in &bus.states {
        let gid = message.key.as_str().to_owned();
        if message.value.is_empty() {
            judge_removal(asana, &gid, *committed_at);
            table.remove(&gid);
            verdict.removed += 1;
            continue;
        }
        let record = decode::wire(&message.value).expect("a record");
        let Some(Body::State(state)) = record.body else { panic!("not a state: {record:?}") };
        let version: u32 = state.state_json.parse().expect("a number");
        let last = newest.entry(gid.clone()).or_default();
        assert!(version >= *last, "{gid}: an older state {version} follows {last}");
        *last = version;
        verdict.written += 1;
        verdict.read_again += usize::from(state.asked_by.is_some());
        assert_eq!(state.followed, !state.streams.is_empty());
        table.insert(gid, (*at, state));
    }
    let mut expected: BTreeMap<String, (u32, BTreeSet<String>)> = BTreeMap::new();
    for (id, log) in &asana.streams {
        for (number, version) in &log.tasks {
            let (_, streams) = expected.entry(task(*number).to_string()).or_insert((*version, BTreeSet::new()));
            streams.insert(id.to_string());
        }
    }
    let newest_of = |gid: &str| asana.streams.values().filter_map(|log| log.tasks.get(&number(gid)?)).max();
    let blind_until = last_blind_crawl(bus);
    for (gid, (at, state)) in table.iter().filter(|(gid, _)| number(gid).is_some()) {
        let Some((_, streams)) = expected.remove(gid) else {
            // Where the index was lost, what went before can't be known, and the crawl's end says so.
            assert!(*at < blind_until, "{gid} is gone, and has the state {state:?}");
            verdict.unknown += 1;
            continue;
        };
        assert_eq!(state.state_json.parse().ok().as_ref(), newest_of(gid), "{gid}: {state:?}");
        if knows_streams {
            let shown: BTreeSet<String> = state.streams.iter().cloned().collect();
            assert_eq!(shown, streams, "{gid}");
        }
    }
    assert!(expected.is_empty(), "without a state: {expected:?}");
    let is_project = |id: &StreamId| table.contains_key(id.resource.as_str());
    assert!(asana.streams.keys().all(is_project), "each stream was crawled");
    verdict
}

/// The number of a task.
fn number(gid: &str) -> Option<u32> {
    gid.parse::<u32>().ok()?.checked_sub(task(0)).filter(|number| *number < 50)
}

fn judge_removal(asana: &Asana, gid: &str, at: DateTime<Utc>) {
    let number = number(gid).expect("only tasks are deleted");
    // It was read some time before, and a commit may have been tried again and again.
    assert!(!asana.lived(number, at - TimeDelta::minutes(5), at), "{gid} lived when it was removed, at {at}");
}

/// Where the last crawl ended that didn't know what had been published before.
pub(crate) fn last_blind_crawl(bus: &Bus) -> usize {
    let is_blind = |message: &Message| {
        let record = decode::wire(&message.value).expect("a record");
        matches!(record.body, Some(Body::SnapshotEnd(end)) if !end.compared)
    };
    bus.all.iter().rposition(is_blind).unwrap_or(0)
}
