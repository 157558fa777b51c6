//! What changed without an event.

use super::{CrawlTurn, Crawling, Engine};
use crate::crawl::known;
use crate::crawl::listed_types;
use crate::engine::pending::{Change, Pending};
use crate::ids::{Gid, StreamId};
use crate::outcome::list::{Item, What};
use crate::record::event::Event;
use crate::stream::State;
use bridge_contract::{Action, pb};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The largest number of deletions with unknown parents that are remembered.
const MOST_DELETIONS: usize = 256;
/// A resource that changed within this time before or after such a deletion may have changed by it.
const DELETION_TIME: TimeDelta = TimeDelta::seconds(2);

/// Deletions whose events didn't name what the deleted resource was a part of. Each has changed one resource without an
/// event of its own.
#[derive(Debug, Default)]
pub(super) struct Deletions {
    /// None is known of those until then: an earlier owner received their events, or there were too many.
    unknown_until: DateTime<Utc>,
    /// The newest first.
    at: VecDeque<DateTime<Utc>>,
}

impl Deletions {
    /// Those that are received from now on, by a stream whose events of before this time an earlier owner received.
    pub(super) fn since(time: DateTime<Utc>) -> Self {
        Self { unknown_until: time, at: VecDeque::new() }
    }

    fn push(&mut self, at: DateTime<Utc>) {
        self.at.push_front(at);
        if self.at.len() > MOST_DELETIONS {
            self.unknown_until = self.at.pop_back().unwrap_or_default().max(self.unknown_until);
        }
    }

    /// Whether what changed at this time may have changed by one of them.
    fn may_explain(&self, modified_at: DateTime<Utc>) -> bool {
        modified_at <= self.unknown_until + DELETION_TIME
            || self.at.iter().any(|deleted| (*deleted - modified_at).abs() <= DELETION_TIME)
    }
}

impl Engine {
    /// How events that have just come change what is known of their resources.
    pub(in crate::engine) fn note_events(
        &mut self,
        id: &StreamId,
        events: &[Event],
        at: DateTime<Utc>,
    ) -> Vec<known::Change> {
        let Some(entry) = self.streams.get_mut(id) else { return Vec::new() };
        let listed = listed_types(self.settings.crawl.depth);
        let mut changes = Vec::new();
        for event in events {
            let action = event.action();
            let Event(event) = event;
            let parent = event.parent.as_ref().map(|parent| Gid::from(parent.gid.as_str()));
            if let Some(parent) = parent.clone() {
                // That something comes into a section changes nothing of the section, and its list shows it all the
                // same.
                let resource_type = event.parent.as_ref().map_or("", |parent| parent.resource_type.as_str());
                if matches!(What::alone(resource_type), Some(What::Project | What::Task | What::Goal)) {
                    entry.crawling.touch(parent.clone());
                }
                changes.push(known::Change::Touched { gid: parent, resource_type: None, at });
            }
            let Some(resource) = event.resource.as_ref().filter(|resource| !resource.gid.is_empty()) else { continue };
            let gid = Gid::from(resource.gid.as_str());
            entry.crawling.touch(gid.clone());
            let is_out = action == Action::Removed && parent.as_ref() == Some(&id.resource);
            if action == Action::Deleted || is_out {
                if parent.is_none() {
                    let created_at = event
                        .created_at
                        .as_ref()
                        .and_then(|time| DateTime::from_timestamp(time.seconds, u32::try_from(time.nanos).ok()?));
                    entry.crawling.deletions.push(created_at.unwrap_or(at));
                }
                changes.push(known::Change::Gone { gid });
            } else {
                let resource_type = Some(resource.resource_type.clone()).filter(|it| listed.contains(&it.as_str()));
                changes.push(known::Change::Touched { gid, resource_type, at });
            }
        }
        if self.settings.crawl.compares() { changes } else { Vec::new() }
    }

    /// What events name whose commit isn't done.
    pub(super) fn touched_by_waiting(&self, id: &StreamId) -> BTreeSet<Gid> {
        let polled = self.queue.all().filter(|it| it.id == *id && matches!(it.change, Change::Polled { .. }));
        polled.flat_map(|pending| &pending.known).filter_map(known::Change::subject).cloned().collect()
    }

    /// A gap has opened: what changed meanwhile is explained by it.
    pub(in crate::engine) fn note_gap(&mut self, id: &StreamId) {
        if let Some(entry) = self.streams.get_mut(id) {
            entry.crawling.counts = false;
            entry.crawling.suspects.clear();
        }
    }

    /// Whether such a change surely has an event. Not of what changes without an event; nor of what is older
    /// than the last crawl, whose list may have come short.
    pub(super) fn surely_has_event(
        &self,
        id: &StreamId,
        change: pb::SnapshotChange,
        item: &Item,
        is_evidently_the_same: bool,
    ) -> bool {
        if change != pb::SnapshotChange::Created {
            return !is_evidently_the_same;
        }
        let last_crawl = self.streams.get(id).and_then(|entry| entry.committed.last_crawl_at);
        item.created_at.zip(last_crawl).is_some_and(|(created, crawl)| created > crawl)
    }

    /// Remembers what changed without an event, if that is so: the event may still come.
    pub(super) fn suspect(
        &mut self,
        turn: &CrawlTurn<'_>,
        gid: Gid,
        known: Option<&known::Entry>,
        modified_at: Option<DateTime<Utc>>,
    ) {
        let CrawlTurn { now, id, crawl } = turn;
        let waits = |pending: &Pending| pending.id == **id && pending.known.iter().any(|change| change.names(&gid));
        let has_event = self.queue.all().any(waits);
        // Until Asana's time is known, it isn't known until when an event may come.
        let Some(latest) = self.accounts.ahead_of_asana(*now) else { return };
        let Some(entry) = self.streams.get_mut(id) else { return };
        let last_crawl = entry.committed.last_crawl_at.map_or(0, |at| at.timestamp_millis());
        let is_explained = has_event
            || known.is_some_and(|known| known.touched_at >= last_crawl)
            || modified_at.is_some_and(|at| entry.crawling.deletions.may_explain(at));
        if crawl.only_differences() && entry.crawling.counts && !is_explained {
            entry.crawling.suspects.insert(gid, latest + self.settings.crawl.late_events);
        }
    }

    /// The resources of each stream that changed and whose events didn't come in time, though the stream was polled.
    pub fn take_missed(&mut self) -> Vec<(StreamId, Vec<Gid>)> {
        let mut missed = Vec::new();
        for (id, entry) in self.streams.iter_mut().filter(|(_, entry)| !entry.crawling.suspects.is_empty()) {
            let State::Live(live) = &entry.committed.state else { continue };
            let suspects = std::mem::take(&mut entry.crawling.suspects).into_iter();
            let (awaited, missing): (BTreeMap<_, _>, BTreeMap<_, _>) =
                suspects.partition(|(_, until)| *until > live.last_complete_poll_at);
            entry.crawling.suspects = awaited;
            missed.extend((!missing.is_empty()).then(|| (id.clone(), missing.into_keys().collect())));
        }
        missed
    }
}

impl Crawling {
    /// An event named it.
    fn touch(&mut self, gid: Gid) {
        self.suspects.remove(&gid);
        if self.step.is_some() {
            self.touched.insert(gid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crawl::{Crawl, Purpose, Reason};
    use crate::engine::bench::{Bench, MINUTE};
    use crate::ids::StreamKind;
    use crate::stream::OpenGap;
    use std::time::Duration;

    #[test]
    fn a_resource_that_cant_be_read_alone_isnt_left_out_for_what_came_into_it() {
        let mut bench = Bench::new();
        let event = |parent: &str, gid: &str| {
            let text = serde_json::json!({
                "action": "added",
                "resource": { "gid": "7", "resource_type": "task" },
                "parent": { "gid": gid, "resource_type": parent },
            });
            Event::parse(&serde_json::value::to_raw_value(&text).unwrap())
        };
        let events = [event("section", "8"), event("task", "9")];
        let id = bench.id.clone();
        // As while a step is under way.
        bench.engine.streams.get_mut(&id).unwrap().crawling.step = Some(1);
        bench.engine.note_events(&id, &events, bench.now.wall);
        let touched = &bench.engine.streams[&id].crawling.touched;
        assert_eq!(["7", "8", "9"].map(|gid| touched.contains(&Gid::from(gid))), [true, false, true]);
    }

    /// Whether a task is called missed that a reconciliation finds modified, that much later than the stream was polled
    /// last by an earlier owner, who had begun the crawl.
    fn is_missed(later: TimeDelta, prepare: impl FnOnce(&mut Bench)) -> bool {
        let mut bench = Bench::new();
        let id = bench.id.clone();
        let stream = &mut bench.engine.streams.get_mut(&id).unwrap().committed;
        let polled_at = stream.live().unwrap().last_complete_poll_at;
        let begun_at = bench.now.wall;
        let purpose = Purpose { compared: true, ..Purpose::of(Reason::Reconciliation) };
        let crawl = Crawl::begin(&id, StreamKind::Resource, purpose, begun_at);
        stream.crawl = Some(crawl.clone().into());
        prepare(&mut bench);
        bench.restart(Duration::ZERO);
        bench.wait(MINUTE);
        let poll = bench.poll().unwrap();
        bench.answer(&poll, bench.page());
        bench.engine.handle_compare(bench.now, &id, true, true);
        let gid = Gid::from("5");
        let turn = CrawlTurn { now: bench.now, id: &id, crawl };
        bench.engine.suspect(&turn, gid.clone(), None, Some(polled_at + later));
        assert_eq!(bench.engine.take_missed(), [], "its event may be late");
        bench.wait(Duration::from_secs(3600));
        let poll = bench.poll().unwrap();
        bench.answer(&poll, bench.page());
        let missed = bench.engine.take_missed();
        assert!(missed.is_empty() || missed == [(id, vec![gid])]);
        !missed.is_empty()
    }

    #[test]
    fn what_an_earlier_owner_was_told_of_deletions_isnt_known() {
        assert!(!is_missed(TimeDelta::seconds(-1), |_| ()));
        assert!(is_missed(TimeDelta::seconds(10), |_| ()));
    }

    #[test]
    fn a_gap_that_opened_while_an_earlier_owner_crawled_explains_what_changed() {
        let open_gap = |bench: &mut Bench| {
            let gap = OpenGap {
                id: "g".to_owned(),
                reason: pb::SourceGapReason::TokenExpired,
                last_complete_poll_at: Some(bench.now.wall),
                resumed_at: bench.now.wall,
                topics: BTreeMap::new(),
            };
            bench.engine.streams.get_mut(&bench.id).unwrap().committed.open_gaps.push(gap);
        };
        assert!(!is_missed(TimeDelta::seconds(10), open_gap));
    }

    #[test]
    fn of_many_deletions_the_oldest_are_no_longer_told_apart() {
        let second = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let mut deletions = Deletions::since(second(100));
        (0..300).for_each(|count| deletions.push(second(1_000 + 10 * count)));
        let may_explain = [50, 900, 1_005, 1_435, 1_445, 1_450].map(|at| deletions.may_explain(second(at)));
        assert_eq!(may_explain, [true, true, true, false, false, true]);
    }
}
