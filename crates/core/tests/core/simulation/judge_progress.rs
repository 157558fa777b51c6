//! What the state topic says of itself, held at each moment against what Asana has told so far.

use super::asana::{Asana, task};
use super::bus::Bus;
use super::judge_state::last_blind_crawl;
use super::world::SHARDS;
use bridge_consumer::decode;
use bridge_contract::pb::{self, record::Body};
use bridge_core::ids::StreamId;
use bridge_core::record::batch::Message;
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

/// A follower of the state topic.
#[derive(Debug, Default)]
pub(crate) struct Follower {
    /// The version of each task.
    table: BTreeMap<String, u32>,
    /// By shard.
    records: BTreeMap<u32, pb::StateProgress>,
}

/// What the records say together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    pub(crate) streams: u32,
    pub(crate) not_loaded: u32,
    /// Source gaps, suspended streams, and what was left out.
    pub(crate) exceptions: u64,
    pub(crate) complete_up_to: Option<DateTime<Utc>>,
}

/// A change of a task that an event has told in a stream.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) stream: StreamId,
    pub(crate) number: u32,
    /// The task's version from then on.
    pub(crate) version: u32,
    pub(crate) at: DateTime<Utc>,
}

impl Follower {
    /// A message of the state topic.
    pub(crate) fn read(&mut self, message: &Message) {
        let key = message.key.as_str().to_owned();
        if message.value.is_empty() {
            self.table.remove(&key);
            return;
        }
        match decode::wire(&message.value).expect("a record").body {
            Some(Body::State(state)) => drop(self.table.insert(key, state.state_json.parse().expect("a number"))),
            Some(Body::StateProgress(progress)) => {
                assert_eq!(key, format!("_shard.{}", progress.shard));
                assert_eq!(progress.shards, SHARDS.get());
                self.records.insert(progress.shard, progress);
            }
            other => panic!("neither a state nor progress: {other:?}"),
        }
    }

    /// The minimum over all shards; `None` while it isn't known.
    pub(crate) fn claim(&self) -> Option<Claim> {
        if self.records.len() < SHARDS.get() as usize {
            return None;
        }
        let read_up_to = self.records.values().map(|it| time(it.read_up_to).expect("a time")).min()?;
        let mut claim = Claim { streams: 0, not_loaded: 0, exceptions: 0, complete_up_to: Some(read_up_to) };
        for record in self.records.values() {
            let published = record.published.iter().find(|it| time(it.at).expect("a time") <= read_up_to)?;
            claim.streams += published.streams;
            claim.not_loaded += published.not_loaded;
            let refused = published.open_source_gaps + published.suspended;
            claim.exceptions += u64::from(refused) + published.left_out;
            if published.streams > 0 {
                claim.complete_up_to = claim.complete_up_to.min(time(published.complete_up_to));
            }
        }
        Some(claim)
    }
}

/// Whether what the records say now is true. `streams`: the number of streams that are expected. Returns how many changes of
/// tasks were held against it; `None` if it isn't said that the table is complete up to a time.
pub(crate) fn judge_progress(asana: &Asana, bus: &Bus, streams: u32, now: DateTime<Utc>) -> Option<usize> {
    let told = &asana.shared.as_ref()?.told;
    let claim = bus.follower.claim().filter(|it| (it.streams, it.not_loaded, it.exceptions) == (streams, 0, 0))?;
    let until = claim.complete_up_to?;
    let mut last: BTreeMap<(&StreamId, u32), &Told> = BTreeMap::new();
    for told in told.iter().filter(|told| told.at < until) {
        last.insert((&told.stream, told.number), told);
    }
    for told in last.values() {
        let lives = || asana.lived(told.number, told.at, now);
        match bus.follower.table.get(&task(told.number).to_string()) {
            Some(version) if *version >= told.version => {}
            // What went in a source gap can't be known if the index was lost.
            Some(_) if !lives() && last_blind_crawl(bus) > 0 => {}
            Some(version) => panic!("version {version} is older than {told:?}, before {claim:?}"),
            None => assert!(!lives(), "not there: {told:?}, before {claim:?}"),
        }
    }
    Some(last.len())
}

fn time(time: Option<bridge_contract::Timestamp>) -> Option<DateTime<Utc>> {
    time.as_ref().and_then(bridge_contract::time::date_time)
}
