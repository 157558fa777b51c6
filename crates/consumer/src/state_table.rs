//! Keeps the table that the state topic is: the latest state of each resource, and how complete that is.

use super::record::{Body, Record};
use bridge_contract::pb;
use bridge_contract::state::is_progress_key;
use bridge_contract::time::date_time;
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

/// The latest state of each resource, by gid.
///
/// Pass all messages of the state topic to [`apply`](Self::apply), each partition in its order, from the beginning. The
/// [`Detector`](super::Detector) isn't needed: the records of this topic have no sequences, and compaction leaves holes.
///
/// ```
/// use asana_event_bridge_consumer::{StateTable, decode};
///
/// # fn messages() -> Vec<(String, Option<Vec<u8>>)> {
/// #     use asana_event_bridge_consumer::pb::{self, record::Body};
/// #     let state = pb::State { state_json: r#"{"due_on":"2026-12-24"}"#.to_owned(), ..Default::default() };
/// #     let record = pb::Record { body: Some(Body::State(state)), ..Default::default() };
/// #     vec![("1201".to_owned(), Some(prost::Message::encode_to_vec(&record)))]
/// # }
/// let mut table = StateTable::default();
/// for (key, value) in messages() {
///     let record = value.map(|value| decode::record(&value)).transpose()?;
///     table.apply(&key, record.as_ref());
/// }
/// let state = table.get("1201").expect("it is there");
/// assert_eq!(state.state_json, r#"{"due_on":"2026-12-24"}"#);
/// # Ok::<(), decode::DecodeError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct StateTable {
    states: BTreeMap<String, pb::State>,
    /// By shard.
    progress: BTreeMap<u32, pb::StateProgress>,
}

/// How complete a table is, as the state topic says it of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// Nothing is known just now: a shard hasn't spoken yet, has a new owner, or is far behind. A resource that isn't in the
    /// table may exist.
    Unknown,
    /// Some streams weren't crawled completely for the state topic yet. A resource that isn't in the table may exist.
    Loading {
        /// The number of these streams.
        streams: u32,
    },
    /// What a stream showed before this time is in the table as it was then, or newer; what was deleted before isn't in it.
    Complete {
        /// By Asana's clock. `None`: no time is known, because a stream has no sync token yet.
        up_to: Option<DateTime<Utc>>,
        /// The number of source gaps that aren't healed: changes may be missing.
        open_source_gaps: u32,
        /// The number of streams that Asana refuses to have polled: their resources keep the states that they had.
        suspended: u32,
        /// The number of lists and objects that crawls couldn't read: what is in them may be missing.
        left_out: u64,
    },
}

impl StateTable {
    /// Takes one message. `record`: `None` for a tombstone, which is a message without a value.
    pub fn apply(&mut self, key: &str, record: Option<&Record>) {
        match record.map(|record| &record.body) {
            Some(Body::State(state)) => {
                self.states.insert(key.to_owned(), state.clone());
            }
            Some(Body::StateProgress(progress)) => {
                self.progress.insert(progress.shard, progress.clone());
            }
            // What a newer bridge writes isn't known here.
            Some(_) => {}
            None if is_progress_key(key) => {}
            None => {
                self.states.remove(key);
            }
        }
    }

    /// The state of a resource.
    #[must_use]
    pub fn get(&self, gid: &str) -> Option<&pb::State> {
        self.states.get(gid)
    }

    /// All states, by gid.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &pb::State)> {
        self.states.iter().map(|(gid, state)| (gid.as_str(), state))
    }

    /// How complete the table is, if all messages were applied up to the end that the topic had when the newest of the shards'
    /// records was read. The steps are those of the comment of [`pb::StateProgress`].
    #[must_use]
    pub fn completeness(&self) -> Completeness {
        self.known().unwrap_or(Completeness::Unknown)
    }

    fn known(&self) -> Option<Completeness> {
        let records = self.current()?;
        let read_up_to = records.iter().map(|it| time(it.read_up_to)).min()??;
        let (mut streams, mut complete) = (0, None::<Option<DateTime<Utc>>>);
        let (mut open_source_gaps, mut suspended, mut left_out) = (0, 0, 0);
        for record in records {
            let published = record.published.iter().find(|it| time(it.at).is_some_and(|at| at <= read_up_to))?;
            if published.streams == 0 {
                continue;
            }
            let up_to = time(published.complete_up_to);
            complete = Some(complete.map_or(up_to, |least| least.min(up_to)));
            streams += published.not_loaded;
            open_source_gaps += published.open_source_gaps;
            suspended += published.suspended;
            left_out += published.left_out;
        }
        if streams > 0 {
            return Some(Completeness::Loading { streams });
        }
        // Without any stream, nothing changes.
        let up_to = complete.map_or(Some(read_up_to), |up_to| up_to.min(Some(read_up_to)));
        Some(Completeness::Complete { up_to, open_source_gaps, suspended, left_out })
    }

    /// The last record of each shard; `None` if one is missing. After a change of the number of shards there are records of
    /// both numbers.
    fn current(&self) -> Option<Vec<&pb::StateProgress>> {
        let newest = self.progress.values().max_by_key(|it| time(it.read_up_to))?;
        let is_current = |it: &&pb::StateProgress| it.shards == newest.shards && it.shard < newest.shards;
        let records: Vec<_> = self.progress.values().filter(is_current).collect();
        (u32::try_from(records.len()) == Ok(newest.shards)).then_some(records)
    }
}

fn time(time: Option<bridge_contract::Timestamp>) -> Option<DateTime<Utc>> {
    time.as_ref().and_then(date_time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bridge_contract::time::timestamp;
    use pb::record::Body as Wire;

    fn second(second: i64) -> Option<bridge_contract::Timestamp> {
        timestamp(DateTime::from_timestamp(second, 0).unwrap())
    }

    fn up_to(seconds: i64) -> Completeness {
        let up_to = DateTime::from_timestamp(seconds, 0);
        Completeness::Complete { up_to, open_source_gaps: 0, suspended: 0, left_out: 0 }
    }

    fn record(body: Wire) -> Record {
        Record::from(pb::Record { body: Some(body), ..pb::Record::default() })
    }

    fn published(at: i64, complete: i64) -> pb::PublishedProgress {
        let (at, complete_up_to) = (second(at), second(complete));
        pb::PublishedProgress { at, streams: 1, complete_up_to, ..pb::PublishedProgress::default() }
    }

    /// A table of two shards.
    fn table(records: [(i64, Vec<pb::PublishedProgress>); 2]) -> StateTable {
        let mut table = StateTable::default();
        for (shard, (read, published)) in (0..).zip(records) {
            let progress = pb::StateProgress { shard, shards: 2, read_up_to: second(read), published };
            table.apply(&format!("_shard.{shard}"), Some(&record(Wire::StateProgress(progress))));
        }
        table
    }

    #[test]
    fn a_tombstone_removes_and_a_later_state_brings_back() {
        let mut table = StateTable::default();
        let state = |text: &str| record(Wire::State(pb::State { state_json: text.to_owned(), ..pb::State::default() }));
        table.apply("1", Some(&state("a")));
        table.apply("2", Some(&state("b")));
        table.apply("1", None);
        assert_eq!(table.iter().map(|(gid, _)| gid).collect::<Vec<_>>(), ["2"]);
        table.apply("1", Some(&state("c")));
        assert_eq!(table.get("1").unwrap().state_json, "c");
    }

    #[test]
    fn a_table_is_as_complete_as_the_least_of_what_every_shard_has_read() {
        let all = table([(20, vec![published(19, 18)]), (30, vec![published(29, 28), published(15, 14)])]);
        assert_eq!(all.completeness(), up_to(14), "what was published at 29 isn't read by shard 0 yet");
        let none = table([(20, vec![published(19, 18)]), (30, vec![published(29, 28)])]);
        assert_eq!(none.completeness(), Completeness::Unknown);
        assert_eq!(StateTable::default().completeness(), Completeness::Unknown);
    }

    #[test]
    fn a_shard_without_streams_holds_nothing_back_and_one_that_is_loading_holds_all() {
        let empty = pb::PublishedProgress { at: second(10), ..pb::PublishedProgress::default() };
        assert_eq!(table([(20, vec![empty]), (30, vec![empty])]).completeness(), up_to(20));
        assert_eq!(table([(20, vec![empty]), (30, vec![published(19, 18)])]).completeness(), up_to(18));
        let loading = pb::PublishedProgress { not_loaded: 2, ..published(19, 18) };
        let table = table([(20, vec![loading]), (30, vec![published(19, 18)])]);
        assert_eq!(table.completeness(), Completeness::Loading { streams: 2 });
    }

    #[test]
    fn after_a_change_of_the_number_of_shards_the_newest_number_counts() {
        let mut table = table([(20, vec![published(19, 18)]), (20, vec![published(19, 18)])]);
        let one = |read| pb::StateProgress {
            shards: 1,
            read_up_to: second(read),
            published: vec![published(40, 39)],
            shard: 0,
        };
        table.apply("_shard.0", Some(&record(Wire::StateProgress(one(41)))));
        assert_eq!(table.completeness(), up_to(39));
        table.apply("_shard.0", Some(&record(Wire::StateProgress(one(10)))));
        assert_eq!(table.completeness(), Completeness::Unknown, "the record of shard 0 is gone");
    }
}
