//! The lists of a crawl: what their pages show, and what becomes of those that can't be read.

use super::compare::{Hashes, has_event, hashes};
use super::{CrawlStep, CrawlTurn, Engine, Found, RETRY, Step};
use crate::crawl::known::{self, NOT_VISIBLE};
use crate::crawl::{Crawl, Fate, Place, below};
use crate::ids::{Gid, StreamId};
use crate::now::Now;
use crate::outcome::list::{Item, ListOutcome, ListPage, Listing, What};
use crate::outcome::poll::Failure;
use crate::stream::{CrawlNotice, Notice};
use bridge_contract::pb;
use bridge_contract::time::timestamp;

impl Engine {
    pub(super) fn handle_list(
        &mut self,
        mut turn: CrawlTurn<'_>,
        step: &CrawlStep,
        outcome: ListOutcome,
        known: &[Option<known::Entry>],
    ) -> Option<Notice> {
        let (now, id) = (turn.now, turn.id);
        let Step::List { account: payer, listing, .. } = &step.step else { return None };
        let is_too_heavy = match &outcome {
            ListOutcome::Throttled { .. } => true,
            ListOutcome::Failed(failure) => is_heavy(failure),
            ListOutcome::Page(_) | ListOutcome::OffsetExpired | ListOutcome::CutOff | ListOutcome::Denied(_) => false,
        };
        let crawling = &mut self.streams.get_mut(id)?.crawling;
        let shrinks = is_too_heavy && !listing.what.is_object() && crawling.limit.shrink();
        let (fate, reason) = match outcome {
            ListOutcome::Page(page) => {
                crawling.limit.succeeded();
                self.answered(now, id);
                let found = self.read_page(&mut turn, &page, known);
                self.wait_for_step(turn, found);
                return None;
            }
            ListOutcome::Throttled { retry_after } => return self.pause_crawl(now, id, payer, retry_after),
            ListOutcome::Failed(_) if shrinks => {
                self.end_step(now, id);
                return None;
            }
            ListOutcome::OffsetExpired => (turn.crawl.restart_list(), "offset_expired"),
            ListOutcome::CutOff => (turn.crawl.cut_off(), "cut_off"),
            ListOutcome::Failed(failure) => (self.put_off(&mut turn, failure.label()), failure.label()),
            ListOutcome::Denied(denial) => {
                // Another account may see less.
                let fate = if *payer != id.account && turn.crawl.ask_by_own() {
                    Some(Fate::Retried(listing.clone()))
                } else if denial.may_concern_account() && !self.accounts.is_accepted(now, payer) {
                    // Whether that speaks of the credential is asked for.
                    self.put_off(&mut turn, denial.label())
                } else {
                    turn.crawl.refused(id, denial)
                };
                (fate, denial.label())
            }
        };
        self.wait_for_step(turn, Found::at(now.wall));
        fate.and_then(|fate| notice_of(fate, reason))
    }

    /// The list is tried again after those that wait, and not before a while.
    fn put_off(&mut self, turn: &mut CrawlTurn<'_>, reason: &str) -> Option<Fate> {
        let counts = self.count_failure(turn.now, turn.id);
        let due = turn.now.monotonic + RETRY.delay(turn.crawl.tries() + 1, &turn.id.to_string());
        turn.crawl.failed(reason, counts, due)
    }

    /// Asana gave what was asked for.
    pub(super) fn answered(&mut self, now: Now, id: &StreamId) {
        if let Some(account) = self.accounts.get_mut(&id.account) {
            account.answered(now);
        }
        if let Some(entry) = self.streams.get_mut(id) {
            entry.crawling.progressed_at = now.monotonic;
        }
    }

    /// The snapshots of a page, and on to the next.
    fn read_page(&mut self, turn: &mut CrawlTurn<'_>, page: &ListPage, known: &[Option<known::Entry>]) -> Found {
        let mut found = Found { bytes: page.bytes, ..Found::at(page.received_at) };
        let Place::Reading(reading) = &turn.crawl.place else { return found };
        let (id, listing) = (turn.id, reading.listing.clone());
        let mut next = Vec::new();
        for (item, entry) in page.items.iter().zip(known.iter().map(Option::as_ref).chain(std::iter::repeat(None))) {
            let gid = Gid::from(item.resource.gid.as_str());
            // A list of sections, earlier in this crawl, has shown those; their tasks are still to be read.
            if matches!(listing.what, What::TeamsToSplit | What::SectionsToSplit) {
                next.extend(below(listing.what, item, self.settings.crawl.depth));
            } else if self.streams.get(id).is_some_and(|entry| entry.crawling.touched.contains(&gid)) {
                next.extend(again(&gid, &item.resource.resource_type));
            } else {
                next.extend(self.show(turn, item, entry, &listing, &mut found));
            }
        }
        if page.unidentified > 0 {
            turn.crawl.incomplete_types.insert(listing.what.resource_type().to_owned());
            found.notice = Some(Notice::Crawl(CrawlNotice::Unidentified { listing, count: page.unidentified }));
        }
        turn.crawl.advance(page.next_offset.as_deref(), next);
        found
    }

    /// The snapshot of one resource that is where `place` says, if there is something to publish. Returns what is to be
    /// read below.
    pub(super) fn show(
        &mut self,
        turn: &CrawlTurn<'_>,
        item: &Item,
        entry: Option<&known::Entry>,
        place: &Listing,
        found: &mut Found,
    ) -> Vec<Listing> {
        let CrawlTurn { id, crawl, .. } = turn;
        let gid = Gid::from(item.resource.gid.as_str());
        let (number, hashes) = (crawl.number(), hashes(item));
        // This crawl published it before, and reads what is below.
        if entry.is_some_and(|entry| entry.crawl == number && entry.hash == hashes.whole) {
            return Vec::new();
        }
        let change = match entry {
            _ if !crawl.compared => pb::SnapshotChange::Unspecified,
            None => pb::SnapshotChange::Created,
            Some(entry) if entry.hash == hashes.whole => pb::SnapshotChange::Unchanged,
            Some(_) => pb::SnapshotChange::Updated,
        };
        let resource_type = item.resource.resource_type.clone();
        let is_nested = place.of != id.resource;
        if has_event(change, is_nested, &resource_type)
            && self.surely_has_event(id, change, item, entry.is_some_and(|entry| is_evidently(entry, hashes)))
        {
            self.suspect(turn, gid.clone(), entry, item.modified_at);
        }
        found.known.push(known::Change::Seen {
            gid,
            resource_type,
            hash: hashes.whole,
            evident: hashes.evident,
            crawl: number,
            place: place.clone(),
        });
        if change != pb::SnapshotChange::Unchanged || !crawl.only_differences() {
            let snapshot = snapshot_of(crawl, item, Crawl::parent(place), change);
            self.find(id, snapshot, Some(item), found);
        }
        below(place.what, item, self.settings.crawl.depth)
    }
}

/// Whether nothing changed that events report, or this can't be known.
fn is_evidently(entry: &known::Entry, hashes: Hashes) -> bool {
    entry.evident == hashes.evident || entry.evident == 0 || entry.hash == NOT_VISIBLE
}

/// All that a listing shows of a resource.
pub(super) fn snapshot_of(
    crawl: &Crawl,
    item: &Item,
    parent: Option<pb::Resource>,
    change: pb::SnapshotChange,
) -> pb::Snapshot {
    pb::Snapshot {
        crawl_id: crawl.id.clone(),
        resource: Some(item.resource.clone()),
        parent,
        state_json: item.state_json.clone(),
        modified_at: item.modified_at.and_then(timestamp),
        change: change.into(),
        ..pb::Snapshot::default()
    }
}

/// Asana takes too long for what it is asked for.
fn is_heavy(failure: &Failure) -> bool {
    matches!(failure, Failure::TimedOut | Failure::Server { status: 504, .. } | Failure::Gateway { status: 408 | 504 })
}

/// The request that reads a resource once more, as an event named it meanwhile. Stories, sections and attachments have
/// none that a list is read for: the list has shown them.
fn again(gid: &Gid, resource_type: &str) -> Option<Listing> {
    let what = What::alone(resource_type)?;
    matches!(what, What::Project | What::Task | What::Goal).then(|| Listing { of: gid.clone(), what })
}

pub(super) fn notice_of(fate: Fate, reason: &'static str) -> Option<Notice> {
    match fate {
        Fate::Retried(listing) => Some(Notice::Crawl(CrawlNotice::Retries { listing, reason })),
        Fate::Split(listing) => Some(Notice::Crawl(CrawlNotice::Splits(listing))),
        Fate::LeftOut(left_out) => Some(Notice::Crawl(CrawlNotice::LeftOut(left_out))),
        Fate::AskedAs(_) | Fate::Gone(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::bench::{Bench, MINUTE};
    use crate::engine::{CrawlAnswer, Lookup, Step};
    use crate::outcome::poll::PollOutcome;
    use std::collections::BTreeMap;

    fn item(gid: &str, resource_type: &str) -> Item {
        let (gid, resource_type) = (gid.to_owned(), resource_type.to_owned());
        Item {
            resource: pb::Resource { gid, resource_type, ..pb::Resource::default() },
            state_json: "{}".to_owned(),
            ..Item::default()
        }
    }

    #[test]
    fn the_tasks_of_a_long_list_are_read_by_section_though_the_crawl_has_shown_the_sections() {
        let mut bench = Bench::new();
        bench.wait(MINUTE);
        let poll = bench.poll().unwrap();
        // The token is dead, so that all is read again.
        bench.answer(&poll, PollOutcome::TokenReset("b".into()));
        bench.commit();
        let (mut known, mut read) = (BTreeMap::new(), Vec::new());
        while let Some(step) = bench.engine.next_crawl_step(bench.now) {
            let answer = match &step.step {
                Step::List { listing, .. } => {
                    read.push((listing.of.to_string(), listing.what));
                    let items = if listing.what == What::Project {
                        vec![item("1", "project")]
                    } else if matches!(listing.what, What::Sections | What::SectionsToSplit) {
                        vec![item("7", "section"), item("8", "section")]
                    } else {
                        Vec::new()
                    };
                    let found = items.iter().map(|item| known.get(&item.resource.gid).cloned()).collect();
                    let crawl = bench.engine.streams[&bench.id].committed.crawl.as_ref().unwrap().number();
                    for item in &items {
                        let Hashes { whole: hash, evident } = hashes(item);
                        let (resource_type, place) = (item.resource.resource_type.clone(), Some(listing.clone()));
                        let entry = known::Entry { resource_type, hash, evident, crawl, touched_at: 0, place };
                        known.insert(item.resource.gid.clone(), entry);
                    }
                    let received_at = bench.now.wall;
                    let page = ListPage { items, unidentified: 0, next_offset: None, received_at, bytes: 1 };
                    let outcome =
                        if listing.what == What::Tasks { ListOutcome::CutOff } else { ListOutcome::Page(page) };
                    CrawlAnswer::List(outcome, Lookup::Found(found))
                }
                Step::Compare(_) => CrawlAnswer::Compare(true),
                Step::Weigh { .. } => CrawlAnswer::Weigh(Lookup::Found(Vec::new())),
                Step::Sweep { .. } => CrawlAnswer::Sweep(Lookup::Found(Vec::new())),
                Step::Below { .. } | Step::Ask(_) => panic!("nothing is absent"),
            };
            bench.engine.handle_crawl_step(bench.now, &step, answer);
            bench.commit();
        }
        let tasks: Vec<_> =
            read.iter().filter(|(_, what)| *what == What::SectionTasks).map(|(of, _)| of.as_str()).collect();
        assert_eq!(tasks, ["7", "8"], "{read:?}");
    }
}
