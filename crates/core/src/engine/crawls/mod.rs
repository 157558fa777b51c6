//! Crawls, step by step, beside the polls.
//!
//! A step asks the index whether it can be compared with, reads a page of a list, or finds out what became of what the
//! crawl didn't see (`absence`). What it finds is committed before the next step.

mod absence;
mod compare;
mod lists;
mod missed;
mod step;

pub use step::{CrawlAnswer, CrawlStep, Lookup, Step};

use super::accounts::Account;
use super::pending::{Change, Next, Pending};
use super::schedule::backoff::Backoff;
use super::settings::{CrawlSettings, Settings};
use super::{Engine, Entry};
use crate::crawl::known;
use crate::crawl::{Crawl, PageLimit, Place, Purpose, Reason};
use crate::ids::{AccountName, Gid, StreamId, Topic};
use crate::now::Now;
use crate::outcome::list::Item;
use crate::record::Prepared;
use crate::record::placement::shard_of;
use crate::state;
use crate::stream::{CrawlNotice, Notice, State, Stream};
use absence::Absences;
use bridge_contract::pb;
use chrono::{DateTime, TimeDelta, Utc};
use missed::Deletions;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_64;

/// The delays after requests of a crawl without a usable answer.
const RETRY: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(300) };
/// The delays before what a crawl left out is requested again.
const LEFT_OUT: Backoff = Backoff { first: Duration::from_secs(300), longest: Duration::from_secs(3600) };

/// What only this owner of a stream knows of its crawl.
#[derive(Debug, Default)]
pub(super) struct Crawling {
    /// The step that is under way, from its request to its commit.
    step: Option<u64>,
    /// Requests without a usable answer, in a row, while Asana gave the account nothing else either.
    failures: u32,
    failed_at: Duration,
    retry_at: Duration,
    /// When the crawl began or came here: older ones go first, so that they come to an end.
    since: Duration,
    /// When a page or an object was read last.
    pub(super) progressed_at: Duration,
    limit: PageLimit,
    pub(super) absences: Absences,
    /// When what was left out is tried again, and how often it was.
    rest_at: Duration,
    rest_tries: u32,
    /// This owner's index has all of the crawl.
    is_whole: bool,
    /// No source gap opened since it began.
    counts: bool,
    /// Named by events since the step was sent: what it read of these may be older than the events.
    touched: BTreeSet<Gid>,
    /// What changed without an event so far, and until when one may come.
    suspects: BTreeMap<Gid, DateTime<Utc>>,
    deletions: Deletions,
    /// By Asana's clock: when the last request of the crawl was sent, or before.
    read_after: Option<DateTime<Utc>>,
}

impl Crawling {
    /// The stream has just come here.
    pub(super) fn came(now: Now, id: &StreamId, committed: &Stream) -> Self {
        let rest_at = now.monotonic + LEFT_OUT.delay(1, &id.to_string());
        let polled_at = committed.live().map(|live| live.last_complete_poll_at);
        let deletions = Deletions::since(polled_at.unwrap_or_default());
        Self { since: now.monotonic, progressed_at: now.monotonic, rest_at, deletions, ..Self::default() }
    }
}

impl Engine {
    /// The next step of a crawl, as long as crawls are due and the budgets and memory allow it. To be called
    /// before [`next_poll`](Self::next_poll): polls use all that crawls leave of the budget.
    pub fn next_crawl_step(&mut self, now: Now) -> Option<CrawlStep> {
        if self.is_full() || self.draining {
            return None;
        }
        let is_free = |account: &Account| account.crawl_available_at().is_some_and(|at| at <= now.monotonic);
        let next = self.accounts.iter().find_map(|(_, account)| {
            let id = account.due_crawl(now)?;
            let step = self.step_of(id)?;
            let payer = step.payer(id).and_then(|payer| self.accounts.get(payer));
            payer.is_none_or(is_free).then(|| (id.clone(), step))
        });
        let (id, step) = next?;
        if let Some(payer) = step.payer(&id).and_then(|payer| self.accounts.get_mut(payer)) {
            payer.take_crawl_request(now);
        }
        self.accounts.get_mut(&id.account)?.crawl_step_taken(&id);
        // The index doesn't know of these yet, and may be asked before it does.
        let touched = self.touched_by_waiting(&id);
        let read_after = self.accounts.passed_at_asana(now);
        let entry = self.streams.get_mut(&id)?;
        self.requests += 1;
        entry.crawling.step = Some(self.requests);
        entry.crawling.touched = touched;
        // What the index adds to an answer isn't known any later than the answer.
        if step.payer(&id).is_some() {
            entry.crawling.read_after = read_after;
        }
        Some(CrawlStep { number: self.requests, stream: id, step })
    }

    fn step_of(&self, id: &StreamId) -> Option<Step> {
        let Entry { committed, crawling, .. } = self.streams.get(id)?;
        let compare = Step::Compare(committed.mark());
        let Some(crawl) = &committed.crawl else { return Some(compare) };
        if crawl.compared && !crawling.is_whole {
            return Some(compare);
        }
        Some(match &crawl.place {
            Place::Reading(reading) => {
                let account = self.settings.crawl.account.as_ref().filter(|_| !reading.by_own);
                Step::List {
                    account: account.filter(|name| self.accounts.contains(name)).unwrap_or(&id.account).clone(),
                    listing: reading.listing.clone(),
                    offset: reading.offset.clone(),
                    limit: crawling.limit.get(),
                }
            }
            Place::Sweeping => {
                let CrawlSettings { short_count: least, short_percent: percent, .. } = self.settings.crawl;
                crawling.absences.step(crawl, least, percent)
            }
        })
    }

    /// What a step returned. The notice is for the log.
    pub fn handle_crawl_step(&mut self, now: Now, step: &CrawlStep, answer: CrawlAnswer) -> Option<Notice> {
        let now = self.accounts.by_asana(now);
        let id = &step.stream;
        if let Some(payer) = step.step.payer(id).and_then(|payer| self.accounts.get_mut(payer)) {
            payer.crawl_request_finished();
        }
        // The shard may have gone since, and even come back.
        let entry = self.streams.get_mut(id).filter(|entry| entry.crawling.step == Some(step.number))?;
        let crawl = entry.committed.crawl.as_deref().cloned();
        if let (CrawlAnswer::Compare(trusted), crawl) = (&answer, &crawl) {
            return self.handle_compare(now, id, *trusted, crawl.is_some());
        }
        let crawl = crawl?;
        // Without the index all would seem new: it is asked whether it can be compared with, and another crawl begins.
        if crawl.compared && answer.lacks_index() {
            entry.crawling.is_whole = false;
            self.end_step(now, id);
            return None;
        }
        let turn = CrawlTurn { now, id, crawl };
        match answer {
            CrawlAnswer::Compare(_) => None,
            CrawlAnswer::List(outcome, known) => self.handle_list(turn, step, outcome, &known.found()),
            CrawlAnswer::Weigh(short) => self.handle_shortfalls(turn, short.found()),
            CrawlAnswer::Sweep(absent) => self.handle_sweep(turn, absent.found()),
            CrawlAnswer::Ask(outcome, known) => self.handle_asked(turn, outcome, known.as_ref()),
            CrawlAnswer::Below(below) => self.handle_below(turn, below.found()),
        }
    }

    fn handle_compare(&mut self, now: Now, id: &StreamId, trusted: bool, is_under_way: bool) -> Option<Notice> {
        if !trusted || !is_under_way {
            return self.begin_crawl(now, id, trusted);
        }
        let entry = self.streams.get_mut(id)?;
        (entry.crawling.is_whole, entry.crawling.counts) = (true, entry.committed.open_gaps.is_empty());
        self.end_step(now, id);
        None
    }

    fn begin_crawl(&mut self, now: Now, id: &StreamId, trusted: bool) -> Option<Notice> {
        let entry = self.streams.get_mut(id)?;
        let stream = &entry.committed;
        let is_whole_due = entry.whole_crawl_due(now, id, &self.settings).is_some_and(|due| due <= now.monotonic);
        let is_rest = !is_whole_due && !stream.left_out.is_empty();
        let scope = if is_rest { stream.left_out.scope() } else { BTreeSet::new() };
        let gaps = stream.open_gaps.iter().chain(&stream.partly_healed);
        let gap_ids: Vec<_> = gaps.map(|gap| gap.id.clone()).collect();
        let is_for_state = self.settings.state.wants(stream);
        let reason = match (gap_ids.is_empty(), is_for_state) {
            (false, _) => Reason::SourceGap,
            (true, true) => Reason::Initial,
            (true, false) => stream.wanted_crawl(),
        };
        // No later than it is, since what happens from now on isn't unseen.
        let begun_at = self.accounts.passed_at_asana(now);
        let begun_at = begun_at.or_else(|| stream.live().map(|live| live.last_complete_poll_at));
        let begun_at = begun_at.unwrap_or(now.wall);
        let purpose = Purpose { reason, gap_ids, scope, compared: trusted };
        let feeds_state = self.settings.state.topic.is_some() && self.settings.state.is_on();
        let crawl = Crawl { feeds_state, ..Crawl::begin(id, entry.kind, purpose, begun_at) };
        let (rest_tries, limit) = (entry.crawling.rest_tries + u32::from(is_rest), entry.crawling.limit);
        let touched = std::mem::take(&mut entry.crawling.touched);
        entry.crawling = Crawling {
            step: entry.crawling.step,
            since: now.monotonic,
            progressed_at: now.monotonic,
            rest_tries,
            limit,
            is_whole: true,
            counts: true,
            touched,
            suspects: std::mem::take(&mut entry.crawling.suspects),
            deletions: std::mem::take(&mut entry.crawling.deletions),
            ..Crawling::default()
        };
        let known = if trusted { Vec::new() } else { vec![known::Change::Distrust] };
        // What was left out may be refused again, which is no news: such a crawl is announced when it publishes something.
        let topics = if crawl.scope.is_empty() { self.topics_of_crawl(id) } else { BTreeSet::new() };
        let notice = Some(Notice::Crawl(CrawlNotice::Begun(reason)));
        self.wait_for_step(CrawlTurn { now, id, crawl }, Found { topics, known, notice, ..Found::at(now.wall) });
        None
    }

    /// The topics in which the beginning of a crawl is announced.
    fn topics_of_crawl(&self, id: &StreamId) -> BTreeSet<Topic> {
        self.topics_of_stream(id, shard_of(id, self.settings.shards))
    }

    /// The snapshot is published with what was found. `item`: what Asana showed of the resource.
    fn find(&self, id: &StreamId, snapshot: pb::Snapshot, item: Option<&Item>, found: &mut Found) {
        let read_after = self.streams.get(id).and_then(|entry| entry.crawling.read_after);
        let entry = self.entry_of_found(id, &snapshot, item, (read_after, found.received_at));
        found.entries.extend(entry.map(|entry| (found.records.len(), entry)));
        let prepared = Prepared::snapshot(snapshot, found.received_at, self.settings.encodings.events);
        found.records.push((self.settings.topic.topic(id, &prepared.resource_type), prepared));
    }

    /// Commits what a step found. The next step follows the commit.
    fn wait_for_step(&mut self, turn: CrawlTurn<'_>, found: Found) {
        let CrawlTurn { now, id, mut crawl } = turn;
        let Found { mut topics, records, entries, known, notice, ends_crawl, received_at, bytes } = found;
        if crawl.topics.is_empty() && !records.is_empty() {
            topics.extend(self.topics_of_crawl(id));
        }
        crawl.snapshots += records.len() as u64;
        let ends_crawl = ends_crawl.map(|end| pb::SnapshotEnd { snapshots: crawl.snapshots, ..end });
        self.requests += 1;
        let trace = self.settings.trace(self.requests, now.wall);
        let shard = shard_of(id, self.settings.shards);
        let pending = Pending {
            topics,
            records,
            entries,
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

    /// The account that was asked waits, and the crawl with it.
    fn pause_crawl(&mut self, now: Now, id: &StreamId, payer: &AccountName, pause: Duration) -> Option<Notice> {
        let is_news = self.accounts.get_mut(payer)?.pause(now, pause);
        self.end_step(now, id);
        let is_own = *payer == id.account;
        is_news.then_some(if is_own { Notice::Throttled(pause) } else { Notice::Crawl(CrawlNotice::Throttled(pause)) })
    }

    /// A request got no usable answer. Whether that counts against what was asked for: if Asana has given the account
    /// nothing else since the last time, the failure isn't about what was requested, and the whole crawl waits.
    fn count_failure(&mut self, now: Now, id: &StreamId) -> bool {
        let answered_at = self.accounts.get(&id.account).map_or(Duration::ZERO, Account::answered_at);
        let Some(Entry { crawling, .. }) = self.streams.get_mut(id) else { return false };
        let was_answered = answered_at >= crawling.failed_at;
        crawling.failures = if was_answered { 1 } else { crawling.failures + 1 };
        if !was_answered {
            crawling.retry_at = now.monotonic + RETRY.delay(crawling.failures - 1, &id.to_string());
        }
        crawling.failed_at = now.monotonic;
        was_answered
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
        let now = self.accounts.by_asana(now);
        let Some(account) = self.accounts.get_mut(&id.account) else { return };
        let Some(entry) = self.streams.get(id).filter(|entry| entry.crawling.step.is_none()) else { return };
        let due = entry.crawl_due(now, id, &self.settings);
        account.schedule_crawl(id, due.map(|due| due.max(entry.crawling.retry_at)));
    }

    /// When a step of a crawl may be to do.
    pub(super) fn next_crawl_deadline(&self) -> Option<Duration> {
        let due = |account: &Account| {
            let (due, id) = account.next_crawl()?;
            let step = self.step_of(id)?;
            match step.payer(id).and_then(|payer| self.accounts.get(payer)) {
                Some(payer) => Some(due.max(payer.crawl_available_at()?)),
                None => Some(due),
            }
        };
        let may_crawl = !self.is_full() && !self.draining;
        self.accounts.iter().filter(|_| may_crawl).filter_map(|(_, account)| due(account)).min()
    }

    /// A crawl's end is on the bus: what it left out is tried again after a while.
    pub(super) fn crawl_ended(&mut self, now: Now, id: &StreamId) {
        let Some(Entry { crawling, committed, .. }) = self.streams.get_mut(id) else { return };
        if committed.left_out.is_empty() {
            crawling.rest_tries = 0;
        }
        crawling.rest_at = now.monotonic + LEFT_OUT.delay(crawling.rest_tries + 1, &id.to_string());
    }
}

impl Entry {
    /// When its crawl goes on, or the next one begins; never, while it isn't polled.
    fn crawl_due(&self, now: Now, id: &StreamId, settings: &Settings) -> Option<Duration> {
        let State::Live(_) = self.committed.state else { return None };
        if let Some(crawl) = &self.committed.crawl {
            let due = match &crawl.place {
                Place::Reading(reading) => reading.due,
                Place::Sweeping => self.crawling.absences.due(),
            };
            return Some(due.max(self.crawling.since));
        }
        let rest = (!self.committed.left_out.is_empty()).then_some(self.crawling.rest_at);
        self.whole_crawl_due(now, id, settings).into_iter().chain(rest).min()
    }

    /// When the next crawl of everything begins.
    fn whole_crawl_due(&self, now: Now, id: &StreamId, settings: &Settings) -> Option<Duration> {
        if settings.state.wants(&self.committed) {
            return Some(now.monotonic);
        }
        let settings = &settings.crawl;
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

/// The answer to a step while it is handled: of which stream, when, and the crawl as it goes on.
#[derive(Debug)]
struct CrawlTurn<'a> {
    /// Its wall time no later than Asana's.
    now: Now,
    id: &'a StreamId,
    crawl: Crawl,
}

/// What a step found, for the commit.
struct Found {
    topics: BTreeSet<Topic>,
    records: Vec<(Topic, Prepared)>,
    /// For the refresh log, each with the number of its record.
    entries: Vec<(usize, state::Entry)>,
    known: Vec<known::Change>,
    notice: Option<Notice>,
    ends_crawl: Option<pb::SnapshotEnd>,
    received_at: DateTime<Utc>,
    bytes: usize,
}

impl Found {
    /// Nothing.
    fn at(received_at: DateTime<Utc>) -> Self {
        Self {
            topics: BTreeSet::new(),
            records: Vec::new(),
            entries: Vec::new(),
            known: Vec::new(),
            notice: None,
            ends_crawl: None,
            received_at,
            bytes: 0,
        }
    }
}
