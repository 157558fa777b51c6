//! Crawls, step by step, beside the polls.
//!
//! A step asks the index whether it can be compared with, reads a page of a list, or asks the index for what
//! the crawl didn't see. What it finds is committed before the next step.

use super::{Account, Change, Engine, Entry, Next, Pending, RETRY, SUSPENDED};
use crate::core::budget::Share;
use crate::core::crawl::{Crawl, Place, Reason, listed_types};
use crate::core::event::Event;
use crate::core::ids::{Gid, StreamId, Topic};
use crate::core::known::{self, Mark};
use crate::core::listing::{Item, ListOutcome, ListPage, Listing, What};
use crate::core::now::Now;
use crate::core::page::Denial;
use crate::core::placement::shard_of;
use crate::core::record::Prepared;
use crate::core::stream::{Notice, State};
use crate::pb;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// One step of a stream's crawl.
#[derive(Clone, Debug, PartialEq)]
pub struct CrawlStep {
    /// Says which step an answer is to.
    pub number: u64,
    /// Whose.
    pub stream: StreamId,
    /// What is to be done.
    pub step: Step,
}

/// What a step of a crawl does.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Asks whether the index knows all that was published of the stream, up to this record.
    Compare(Mark),
    /// Reads a page, and looks its items up in the index.
    List {
        /// Of what.
        listing: Listing,
        /// Where it begins.
        offset: Option<String>,
    },
    /// Asks the index for what it knows and the crawl didn't see.
    Sweep {
        /// The crawl, as the index calls it.
        crawl: u64,
        /// Behind this one, in the index' order.
        after: Option<Gid>,
    },
}

/// What a step returned.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// To [`Step::Compare`].
    Compare(bool),
    /// To [`Step::List`], with what the index knows of each item of a page; `None` when it has failed.
    List(ListOutcome, Option<Vec<Option<known::Entry>>>),
    /// To [`Step::Sweep`]; empty where there is no more, `None` when the index has failed.
    Sweep(Option<Vec<(Gid, known::Entry)>>),
}

/// What only this owner of a stream knows of its crawl.
#[derive(Debug, Default)]
pub(super) struct Crawling {
    /// The step that is under way, from its request to its commit.
    step: Option<u64>,
    failures: u32,
    retry_at: Duration,
    /// When the crawl began or came here: older ones go first, so that they come to an end.
    since: Duration,
    /// This owner's index has all of the crawl.
    is_whole: bool,
    /// No source gap opened since it began.
    counts: bool,
    /// Named by events since the step was sent: what it read of these may be older than the events.
    touched: BTreeSet<Gid>,
    /// What changed without an event so far, and until when one may come.
    suspects: BTreeMap<Gid, DateTime<Utc>>,
    /// When something was deleted that didn't say what it was a part of.
    orphaned_at: VecDeque<DateTime<Utc>>,
}

/// So many deletions of unknown parents are remembered.
const ORPHANS: usize = 256;
/// A resource that changed so soon around such a deletion changed by it.
const ORPHAN_TIME: TimeDelta = TimeDelta::seconds(2);

impl Account {
    pub(super) fn set_share(&mut self, now: Now, share: Share) {
        self.budget.set_share(now, share);
        self.crawl_budget.set_share(now, share);
    }

    /// When a request of a crawl may be sent.
    fn crawl_available_at(&self) -> Option<Duration> {
        Some(self.budget.available_at()?.max(self.crawl_budget.available_at()?))
    }
}

impl Engine {
    /// The next step of a crawl, as long as crawls are due and the budgets and memory allow it. Polls go first.
    pub fn next_crawl_step(&mut self, now: Now) -> Option<CrawlStep> {
        if self.is_full() || self.draining {
            return None;
        }
        for account in self.accounts.values_mut() {
            if account.crawl_available_at().is_none_or(|at| at > now.monotonic) {
                continue;
            }
            let Some(id) = account.crawls.pop_due(now.monotonic) else { continue };
            let Some(entry) = self.streams.get_mut(&id) else { continue };
            let compare = Step::Compare(entry.committed.mark());
            let step = match &entry.committed.crawl {
                None => compare,
                Some(crawl) if crawl.compared && !entry.crawling.is_whole => compare,
                Some(crawl) => match &crawl.place {
                    Place::Reading { listing, offset, .. } => {
                        account.budget.take(now);
                        account.crawl_budget.take(now);
                        Step::List { listing: listing.clone(), offset: offset.clone() }
                    }
                    Place::Sweeping { after } => Step::Sweep { crawl: crawl.number(), after: after.clone() },
                },
            };
            self.requests += 1;
            entry.crawling.step = Some(self.requests);
            entry.crawling.touched.clear();
            return Some(CrawlStep { number: self.requests, stream: id, step });
        }
        None
    }

    /// What a step returned. The notice is for the log.
    pub fn handle_crawl_step(&mut self, now: Now, step: &CrawlStep, answer: Answer) -> Option<Notice> {
        let now = self.by_asana(now);
        let id = &step.stream;
        if let (Step::List { .. }, Some(account)) = (&step.step, self.accounts.get_mut(&id.account)) {
            account.budget.finish();
            account.crawl_budget.finish();
        }
        // The shard may have gone since, and even come back.
        let entry = self.streams.get_mut(id).filter(|entry| entry.crawling.step == Some(step.number))?;
        let crawl = entry.committed.crawl.as_deref().cloned();
        match (answer, crawl) {
            (Answer::Compare(true), Some(_)) => {
                (entry.crawling.is_whole, entry.crawling.counts) = (true, true);
                entry.crawling.step = None;
                self.schedule_crawl(now, id);
                None
            }
            (Answer::Compare(trusted), _) => self.begin_crawl(now, id, trusted),
            // Without the index all would seem new: it is asked whether it can be compared with, and another crawl begins.
            (Answer::List(ListOutcome::Page(_), None) | Answer::Sweep(None), Some(crawl)) if crawl.compared => {
                (entry.crawling.is_whole, entry.crawling.step) = (false, None);
                self.schedule_crawl(now, id);
                None
            }
            (Answer::List(outcome, known), Some(crawl)) => {
                self.handle_list(now, step, crawl, outcome, &known.unwrap_or_default())
            }
            (Answer::Sweep(unseen), Some(crawl)) => self.handle_sweep(now, step, crawl, unseen.unwrap_or_default()),
            (Answer::List(..) | Answer::Sweep(_), None) => None,
        }
    }

    fn begin_crawl(&mut self, now: Now, id: &StreamId, trusted: bool) -> Option<Notice> {
        let entry = self.streams.get_mut(id)?;
        let stream = &entry.committed;
        let reason = stream.wanted_crawl();
        let gap_ids = stream.open_gaps.iter().map(|gap| gap.id.clone()).collect();
        // No later than it is, since what happens from now on isn't unseen.
        let passed = self.asana_clock.passed(now.monotonic);
        let begun_at = passed.or_else(|| stream.live().map(|live| live.last_complete_poll_at));
        let crawl = Crawl::begin(id, entry.kind, reason, gap_ids, trusted, begun_at.unwrap_or(now.wall));
        let Crawling { is_whole, counts, since, failures, .. } = &mut entry.crawling;
        (*is_whole, *counts, *since, *failures) = (true, true, now.monotonic, 0);
        let known = if trusted { Vec::new() } else { vec![known::Change::Clear] };
        let topics = self.topics_of_stream(id, shard_of(id, self.settings.shards));
        let notice = Some(Notice::CrawlBegun(reason));
        self.wait_for_step(now, id, crawl, Found { topics, known, notice, ..Found::at(now.wall) });
        None
    }

    fn handle_list(
        &mut self,
        now: Now,
        step: &CrawlStep,
        mut crawl: Crawl,
        outcome: ListOutcome,
        known: &[Option<known::Entry>],
    ) -> Option<Notice> {
        let id = &step.stream;
        match outcome {
            ListOutcome::Page(page) => {
                if let Some(entry) = self.streams.get_mut(id) {
                    entry.crawling.failures = 0;
                }
                let found = self.read_page(now, id, &mut crawl, &page, known);
                self.wait_for_step(now, id, crawl, found);
                None
            }
            ListOutcome::OffsetExpired => {
                crawl.restart_list();
                self.wait_for_step(now, id, crawl, Found::at(now.wall));
                None
            }
            ListOutcome::Throttled { retry_after } => {
                self.pause_crawl(now, id, retry_after, Notice::Throttled(retry_after))
            }
            ListOutcome::Denied(denial) if denial.may_concern_account() && !self.doubt(now, &id.account) => {
                self.retry_crawl(now, id);
                None
            }
            ListOutcome::Denied(denial) => self.handle_refusal(now, id, crawl, denial),
            ListOutcome::Failed(failure) => {
                self.retry_crawl(now, id);
                Some(Notice::Failed(failure))
            }
        }
    }

    fn handle_refusal(&mut self, now: Now, id: &StreamId, mut crawl: Crawl, denial: Denial) -> Option<Notice> {
        let goes_on = crawl.refused(id, denial);
        if !goes_on && let Some(entry) = self.streams.get_mut(id) {
            entry.crawling.failures += 1;
            entry.crawling.retry_at = now.monotonic + SUSPENDED.delay(entry.crawling.failures, &id.to_string());
        }
        self.wait_for_step(now, id, crawl, Found::at(now.wall));
        (!goes_on).then_some(Notice::CrawlRefused(denial))
    }

    /// The snapshots of a page, and on to the next.
    fn read_page(
        &mut self,
        now: Now,
        id: &StreamId,
        crawl: &mut Crawl,
        page: &ListPage,
        known: &[Option<known::Entry>],
    ) -> Found {
        let mut found = Found { bytes: page.bytes, ..Found::at(page.received_at) };
        let Place::Reading { listing, .. } = &crawl.place else { return found };
        let (parent, number) = (Crawl::parent(listing), crawl.number());
        let nested = listing.of != id.resource;
        let mut again = Vec::new();
        for (item, entry) in page.items.iter().zip(known.iter().map(Option::as_ref).chain(std::iter::repeat(None))) {
            let gid = Gid::from(item.resource.gid.as_str());
            if self.streams.get(id).is_some_and(|entry| entry.crawling.touched.contains(&gid)) {
                again.extend(alone(&gid, &item.resource.resource_type));
                continue;
            }
            let hash = hash(item);
            let change = match entry {
                _ if !crawl.compared => pb::SnapshotChange::Unspecified,
                None => pb::SnapshotChange::Created,
                Some(entry) if entry.hash == hash => pb::SnapshotChange::Unchanged,
                Some(_) => pb::SnapshotChange::Updated,
            };
            let resource_type = item.resource.resource_type.clone();
            found.known.push(known::Change::Seen { gid: gid.clone(), resource_type, hash, crawl: number, nested });
            if change == pb::SnapshotChange::Unchanged && crawl.only_differences() {
                continue;
            }
            if has_event(change, nested, &item.resource.resource_type) {
                self.suspect(now, id, crawl, gid, entry, item.modified_at);
            }
            let snapshot = pb::Snapshot {
                crawl_id: crawl.id.clone(),
                resource: Some(item.resource.clone()),
                parent: parent.clone(),
                state_json: item.state_json.clone(),
                modified_at: item.modified_at.map(Into::into),
                change: change.into(),
            };
            found.records.push(self.snapshot(id, snapshot, page.received_at));
        }
        crawl.snapshots += found.records.len() as u64;
        crawl.advance(page, self.settings.crawl.depth, again);
        found
    }

    /// What the index knows and the crawl didn't see is gone, unless an event told of it since.
    fn handle_sweep(
        &mut self,
        now: Now,
        step: &CrawlStep,
        mut crawl: Crawl,
        unseen: Vec<(Gid, known::Entry)>,
    ) -> Option<Notice> {
        let id = &step.stream;
        let mut found = Found { ends_crawl: unseen.is_empty(), ..Found::at(now.wall) };
        let complete = crawl.complete_types(self.settings.crawl.depth);
        let after = unseen.last().map(|(gid, _)| gid.clone());
        for (gid, entry) in unseen {
            let is_touched = self.streams.get(id).is_some_and(|it| it.crawling.touched.contains(&gid));
            if is_touched
                || entry.touched_at >= crawl.begun_at.timestamp_millis()
                || !complete.contains(&entry.resource_type)
            {
                continue;
            }
            if has_event(pb::SnapshotChange::Deleted, entry.nested, &entry.resource_type) {
                self.suspect(now, id, &crawl, gid.clone(), Some(&entry), None);
            }
            let resource =
                pb::Resource { gid: gid.to_string(), resource_type: entry.resource_type, ..pb::Resource::default() };
            let snapshot = pb::Snapshot {
                crawl_id: crawl.id.clone(),
                resource: Some(resource),
                change: pb::SnapshotChange::Deleted.into(),
                ..pb::Snapshot::default()
            };
            found.records.push(self.snapshot(id, snapshot, now.wall));
            found.known.push(known::Change::Gone { gid });
        }
        crawl.snapshots += found.records.len() as u64;
        crawl.place = Place::Sweeping { after };
        if found.ends_crawl {
            let entry = self.streams.get(id)?;
            let healed = entry.committed.open_gaps.iter().filter(|gap| crawl.gap_ids.contains(&gap.id));
            let gap_topics = healed.clone().flat_map(|gap| gap.topics.keys());
            found.topics = crawl.topics.keys().chain(gap_topics).cloned().collect();
            found.notice =
                Some(Notice::CrawlEnded { reason: crawl.reason, snapshots: crawl.snapshots, healed: healed.count() });
            found.known.extend(entry.crawling.is_whole.then_some(known::Change::Complete));
        }
        self.wait_for_step(now, id, crawl, found);
        None
    }

    fn snapshot(&self, id: &StreamId, snapshot: pb::Snapshot, received_at: DateTime<Utc>) -> (Topic, Prepared) {
        let prepared = Prepared::snapshot(snapshot, received_at);
        (self.settings.topic.topic(id, &prepared.resource_type), prepared)
    }

    /// Has what a step found committed; the next step comes behind that.
    fn wait_for_step(&mut self, now: Now, id: &StreamId, crawl: Crawl, found: Found) {
        let Found { topics, records, known, notice, ends_crawl, received_at, bytes } = found;
        self.requests += 1;
        let trace = self.settings.trace(self.requests, now.wall);
        let shard = shard_of(id, self.settings.shards);
        let pending = Pending {
            topics,
            records,
            ends_crawl,
            received_at,
            notice,
            next: Next::CrawlStep,
            known,
            bytes,
            ..Pending::new(now, shard, id.clone(), Change::Crawl(crawl), trace)
        };
        self.wait(now, pending);
    }

    /// The whole account waits, and the crawl with it.
    fn pause_crawl(&mut self, now: Now, id: &StreamId, pause: Duration, notice: Notice) -> Option<Notice> {
        let is_news = self.accounts.get_mut(&id.account)?.budget.pause(now, pause);
        self.end_step(now, id);
        is_news.then_some(notice)
    }

    fn retry_crawl(&mut self, now: Now, id: &StreamId) {
        if let Some(entry) = self.streams.get_mut(id) {
            entry.crawling.failures += 1;
            entry.crawling.retry_at = now.monotonic + RETRY.delay(entry.crawling.failures, &id.to_string());
        }
        self.end_step(now, id);
    }

    /// No step of the stream's crawl is under way any more.
    pub(super) fn end_step(&mut self, now: Now, id: &StreamId) {
        if let Some(entry) = self.streams.get_mut(id) {
            entry.crawling.step = None;
        }
        self.schedule_crawl(now, id);
    }

    /// When the stream's crawl goes on, or the next one begins.
    pub(super) fn schedule_crawl(&mut self, now: Now, id: &StreamId) {
        let now = self.by_asana(now);
        let Some(account) = self.accounts.get_mut(&id.account) else { return };
        let Some(entry) = self.streams.get(id).filter(|entry| entry.crawling.step.is_none()) else { return };
        match entry.crawl_due(now, id, &self.settings.crawl) {
            Some(due) => account.crawls.set_earlier(id.clone(), due.max(entry.crawling.retry_at)),
            None => account.crawls.remove(id),
        }
    }

    /// When a step of a crawl may be to do.
    pub(super) fn next_crawl_deadline(&self) -> Option<Duration> {
        let due = |account: &Account| Some(account.crawls.next_due()?.max(account.crawl_available_at()?));
        let may_crawl = !self.is_full() && !self.draining;
        self.accounts.values().filter(|_| may_crawl).filter_map(due).min()
    }

    /// What events that have just come do to what is known of their resources.
    pub(super) fn note_events(&mut self, id: &StreamId, events: &[Event], at: DateTime<Utc>) -> Vec<known::Change> {
        let Some(entry) = self.streams.get_mut(id) else { return Vec::new() };
        let listed = listed_types(self.settings.crawl.depth);
        let mut changes = Vec::new();
        for Event(event) in events {
            let parent = event.parent.as_ref().map(|parent| Gid::from(parent.gid.as_str()));
            if let Some(parent) = parent.clone() {
                // That something comes into a section changes nothing of the section, and its list shows it all the same.
                let resource_type = event.parent.as_ref().map_or("", |parent| parent.resource_type.as_str());
                if alone(&parent, resource_type).is_some() {
                    entry.crawling.touch(parent.clone());
                }
                changes.push(known::Change::Touched { gid: parent, resource_type: None, at });
            }
            let Some(resource) = event.resource.as_ref().filter(|resource| !resource.gid.is_empty()) else { continue };
            let gid = Gid::from(resource.gid.as_str());
            entry.crawling.touch(gid.clone());
            let is_out = event.action == "removed" && parent.as_ref() == Some(&id.resource);
            if event.action == "deleted" || is_out {
                if parent.is_none() {
                    let created_at = event
                        .created_at
                        .as_ref()
                        .and_then(|time| DateTime::from_timestamp(time.seconds, u32::try_from(time.nanos).ok()?));
                    entry.crawling.orphan(created_at.unwrap_or(at));
                }
                changes.push(known::Change::Gone { gid });
            } else {
                let resource_type = Some(resource.resource_type.clone()).filter(|it| listed.contains(&it.as_str()));
                changes.push(known::Change::Touched { gid, resource_type, at });
            }
        }
        if self.settings.crawl.compares() { changes } else { Vec::new() }
    }

    /// A gap has opened: what changed meanwhile is explained by it.
    pub(super) fn note_gap(&mut self, id: &StreamId) {
        if let Some(entry) = self.streams.get_mut(id) {
            entry.crawling.counts = false;
            entry.crawling.suspects.clear();
        }
    }

    /// Remembers what changed though no event told of it, if that is so: one may still come.
    fn suspect(
        &mut self,
        now: Now,
        id: &StreamId,
        crawl: &Crawl,
        gid: Gid,
        known: Option<&known::Entry>,
        modified_at: Option<DateTime<Utc>>,
    ) {
        let waits = |pending: &Pending| pending.id == *id && pending.known.iter().any(|change| change.names(&gid));
        let is_told = self.uncommitted().any(waits)
            || self.committing.iter().flat_map(|staged| &staged.pending).any(|(pending, ..)| waits(pending));
        let Some(entry) = self.streams.get_mut(id) else { return };
        let last_crawl = entry.committed.last_crawl_at.map_or(0, |at| at.timestamp_millis());
        let is_explained = is_told
            || known.is_some_and(|known| known.touched_at >= last_crawl)
            || entry.crawling.is_orphans_parent(modified_at);
        if crawl.only_differences() && entry.crawling.counts && !is_explained {
            entry.crawling.suspects.insert(gid, now.wall + self.settings.crawl.late_events);
        }
    }

    /// How many resources of each stream changed and no event came in time, though it was asked for: what Asana
    /// didn't tell.
    pub fn take_missed(&mut self) -> Vec<(StreamId, usize)> {
        let mut missed = Vec::new();
        for (id, entry) in self.streams.iter_mut().filter(|(_, entry)| !entry.crawling.suspects.is_empty()) {
            let State::Live(live) = &entry.committed.state else { continue };
            let before = entry.crawling.suspects.len();
            entry.crawling.suspects.retain(|_, until| *until > live.last_complete_poll_at);
            let count = before - entry.crawling.suspects.len();
            missed.extend((count > 0).then(|| (id.clone(), count)));
        }
        missed
    }
}

impl Entry {
    /// When its crawl goes on, or the next one begins; never, while it isn't polled.
    fn crawl_due(&self, now: Now, id: &StreamId, settings: &super::CrawlSettings) -> Option<Duration> {
        let State::Live(_) = self.committed.state else { return None };
        if self.committed.crawl.is_some() {
            return Some(self.crawling.since);
        }
        let interval = TimeDelta::from_std(settings.reconcile_interval).ok().filter(|it| !it.is_zero());
        // Where in an interval a stream's turn is, so that not all of them come at once.
        let phase = interval.map(|it| {
            let millis = u64::try_from(it.num_milliseconds()).unwrap_or(1).max(1);
            TimeDelta::milliseconds(i64::try_from(xxh3_64(id.to_string().as_bytes()) % millis).unwrap_or(0))
        });
        let wait = match (self.committed.wanted_crawl(), self.committed.last_crawl_at) {
            (Reason::SourceGap, _) => TimeDelta::zero(),
            (Reason::Initial, _) | (_, None) if settings.initial => TimeDelta::zero(),
            (_, Some(last)) => last + interval? + phase? / 10 - now.wall,
            (_, None) => {
                let into = now.wall.timestamp_millis().rem_euclid(interval?.num_milliseconds());
                (phase? - TimeDelta::milliseconds(into) + interval?).max(TimeDelta::zero())
            }
        };
        Some(now.monotonic + wait.to_std().unwrap_or_default())
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

    fn orphan(&mut self, at: DateTime<Utc>) {
        self.orphaned_at.truncate(ORPHANS - 1);
        self.orphaned_at.push_front(at);
    }

    fn is_orphans_parent(&self, modified_at: Option<DateTime<Utc>>) -> bool {
        modified_at.is_some_and(|at| self.orphaned_at.iter().any(|orphaned| (*orphaned - at).abs() <= ORPHAN_TIME))
    }
}

/// What a step found.
struct Found {
    topics: BTreeSet<Topic>,
    records: Vec<(Topic, Prepared)>,
    known: Vec<known::Change>,
    notice: Option<Notice>,
    ends_crawl: bool,
    received_at: DateTime<Utc>,
    bytes: usize,
}

impl Found {
    /// Nothing.
    fn at(received_at: DateTime<Utc>) -> Self {
        Self {
            topics: BTreeSet::new(),
            records: Vec::new(),
            known: Vec::new(),
            notice: None,
            ends_crawl: false,
            received_at,
            bytes: 0,
        }
    }
}

/// Whether Asana tells of such a change by an event that names the resource. What is nested in another comes and goes
/// with it; and no event says that an attachment was added (Asana's guide "Webhooks", in its version of 2022-10).
fn has_event(change: pb::SnapshotChange, nested: bool, resource_type: &str) -> bool {
    let is_added_attachment = change == pb::SnapshotChange::Created && resource_type == "attachment";
    change != pb::SnapshotChange::Unchanged && !nested && !is_added_attachment
}

/// The request that reads one resource alone.
fn alone(gid: &Gid, resource_type: &str) -> Option<Listing> {
    let what = match resource_type {
        "project" => What::Project,
        "task" => What::Task,
        "goal" => What::Goal,
        _ => return None,
    };
    Some(Listing { of: gid.clone(), what })
}

/// Of what tells whether a resource is as it was, and not of what its neighbours are called. Never 0.
fn hash(item: &Item) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(item.resource.resource_type.as_bytes());
    hash.update(item.membership.as_bytes());
    match item.modified_at {
        Some(at) => hash.update(&at.timestamp_millis().to_be_bytes()),
        // Its keys in order, since Asana promises none.
        None => match serde_json::from_str::<Value>(&item.state_json) {
            Ok(mut state) => {
                state.as_object_mut().into_iter().flat_map(|fields| fields.values_mut()).for_each(forget_names);
                hash.update(state.to_string().as_bytes());
            }
            Err(_) => hash.update(item.state_json.as_bytes()),
        },
    }
    hash.digest().max(1)
}

/// What other resources are called: that it changes is an event of theirs.
fn forget_names(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if fields.contains_key("gid") {
                fields.retain(|field, _| !NAMES.contains(&field.as_str()));
            }
            fields.values_mut().for_each(forget_names);
        }
        Value::Array(values) => values.iter_mut().for_each(forget_names),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What lists are asked of neighbours besides which they are.
const NAMES: [&str; 4] = ["name", "resource_subtype", "text", "title"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::engine::bench::Bench;

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
}
