//! Reads what changed again, and keeps the state topic.
//!
//! The commit of an event appends an entry to the refresh log (`entries`). The owner of the gid's shard is given its part
//! of the log by [`note_logged`](Engine::note_logged), asks Asana (`request`), decides what the answer means (`verdict`),
//! and commits the snapshot, the state and its place in the log together (`stage`). See the core's [`state`](crate::state).

mod entries;
pub(super) mod progress;
mod request;
pub(super) mod stage;
#[cfg(test)]
mod tests;
mod verdict;

pub use request::{RefreshRead, RefreshRequest};
pub use verdict::RefreshNotice;

use super::{Engine, StreamSpec};
use crate::ids::{AccountName, Gid, ShardId, StreamId, Topic};
use crate::now::Now;
use crate::record::Prepared;
use crate::record::placement::shard_of_gid;
use crate::record::trace::Trace;
use crate::state::{Entry, EntryError, Freshness, Logged, Pace, Queue, Ticket};
use bridge_contract::pb::{self, SnapshotChange};
use chrono::{DateTime, Utc};
use progress::Stating;
use request::Running;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// The most resources that wait to be read. Beyond it the log isn't read on: it keeps them.
const MOST_WAITING: usize = 20_000;
/// The most states that wait for their commit. Beyond it nothing is read, and the log isn't read on.
const MOST_READY: usize = 1_000;

/// What this replica reads again.
#[derive(Debug)]
pub(super) struct Refreshing {
    pub(super) queue: Queue,
    fresh: Freshness,
    /// Requests that were sent and not answered, by number.
    running: BTreeMap<u64, Running>,
    /// Requests that follow from an answer: the next page of a list, or what another account says.
    follow: BTreeMap<AccountName, VecDeque<Running>>,
    /// What was read, and waits for its commit, the oldest first.
    ready: VecDeque<Ready>,
    /// What the state topic was told of each owned shard.
    stating: BTreeMap<ShardId, Stating>,
    /// The streams of each watched resource, and how each is polled.
    watchers: BTreeMap<Gid, Vec<StreamSpec>>,
}

/// What becomes of a resource, on its way to the bus.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    pub(super) ticket: Ticket,
    /// With its topic.
    pub(super) snapshot: Option<(Topic, Prepared)>,
    pub(super) state: Option<StateChange>,
    received_at: DateTime<Utc>,
    trace: Trace,
    /// When it came, by the monotonic clock.
    arrived: Duration,
}

/// What becomes of a resource in the state topic.
#[derive(Clone, Debug)]
pub(super) enum StateChange {
    /// Its state is this. `position`: that of the crawl's snapshot; `None`: of the snapshot that is committed with it.
    Put { state: Box<pb::State>, position: Option<pb::Position> },
    /// It was deleted. `position` as above.
    Remove { position: Option<pb::Position> },
}

impl Refreshing {
    pub(super) fn new(pace: Pace) -> Self {
        Self {
            queue: Queue::new(pace),
            fresh: Freshness::default(),
            running: BTreeMap::new(),
            follow: BTreeMap::new(),
            ready: VecDeque::new(),
            stating: BTreeMap::new(),
            watchers: BTreeMap::new(),
        }
    }

    /// Whether an answer about the resource is under way, or the next request for it.
    fn is_reading(&self, gid: &Gid) -> bool {
        let follow = self.follow.values().flatten();
        self.running.values().chain(follow).any(|running| running.tickets().any(|ticket| ticket.gid == *gid))
    }

    /// Number of resources that were taken from what waits, and aren't ready.
    fn reading(&self) -> usize {
        let follow = self.follow.values().flatten();
        self.running.values().chain(follow).map(|running| running.tickets().count()).sum()
    }
}

/// What a person may want to know of the refreshes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RefreshStatus {
    /// Resources that are to be read, or are being read.
    pub waiting: usize,
    /// States that wait for their commit.
    pub ready: usize,
    /// When the bridge received the oldest change whose state isn't on the bus.
    pub oldest: Option<DateTime<Utc>>,
}

impl Engine {
    /// How far reading again is behind the events.
    #[must_use]
    pub fn refresh_status(&self) -> RefreshStatus {
        let Refreshing { queue, ready, .. } = &self.refresh;
        RefreshStatus { waiting: queue.len() + self.refresh.reading(), ready: ready.len(), oldest: queue.oldest() }
    }

    /// Where each owned shard's part of the refresh log is read next. Empty if nothing is read again.
    #[must_use]
    pub fn log_places(&self) -> BTreeMap<ShardId, u64> {
        self.refresh.queue.places()
    }

    /// Changes whenever [`log_places`](Self::log_places) have to be read again, because shards came or went.
    #[must_use]
    pub fn log_tenures(&self) -> u64 {
        self.refresh.queue.tenures()
    }

    /// Whether more of the refresh log can be taken. If not, it is to be given later.
    #[must_use]
    pub fn wants_log(&self) -> bool {
        self.refresh.queue.len() < MOST_WAITING && self.refresh.ready.len() < MOST_READY
    }

    /// The next entry of a shard's part of the refresh log, with its place.
    ///
    /// # Errors
    /// [`EntryError`]: with `Unreadable` the entry is passed over. With `NewerFormat` the session has to end: a newer
    /// version goes on from here.
    pub fn note_logged(&mut self, now: Now, shard: ShardId, place: u64, value: &[u8]) -> Result<(), EntryError> {
        if !self.refresh.queue.has(shard) {
            return Ok(());
        }
        let entry = match Logged::decode(value) {
            Ok(Logged::Entry(entry)) => *entry,
            Ok(Logged::Mark(at)) => {
                self.refresh.queue.mark(shard, place, at);
                self.refresh.stating.get_mut(&shard).into_iter().for_each(Stating::mark_read);
                return Ok(());
            }
            Err(newer @ EntryError::NewerFormat(_)) => return Err(newer),
            Err(error @ EntryError::Unreadable(_)) => {
                self.refresh.queue.pass(shard, place);
                return Err(error);
            }
        };
        let is_ours = shard_of_gid(&entry.gid, self.settings.shards) == shard
            && self.settings.state.refresh.has(&entry.resource_type)
            && self.accounts.contains(&entry.stream.account);
        match &entry.found {
            _ if !is_ours => self.refresh.queue.pass(shard, place),
            None => self.refresh.queue.add(now.monotonic, shard, place, &entry),
            Some(found) => self.note_found(now, shard, place, &entry, found.snapshot.change(), found.read_after),
        }
        Ok(())
    }

    /// A crawl has found a state. It is written as it is, if it is certainly the newest; otherwise the resource is read.
    fn note_found(
        &mut self,
        now: Now,
        shard: ShardId,
        place: u64,
        entry: &Entry,
        change: SnapshotChange,
        read_after: Option<DateTime<Utc>>,
    ) {
        if self.settings.state.topic.is_none() || change == SnapshotChange::NotVisible {
            return self.refresh.queue.pass(shard, place);
        }
        let latest = self.accounts.ahead_of_asana(now);
        if latest.is_none() {
            self.accounts.want_time(now);
        }
        // Only Asana's answer says which streams show what has left one, and another account may see what is gone for one.
        let is_certain = match change {
            SnapshotChange::Left => false,
            SnapshotChange::Deleted => self.polling_accounts().len() <= 1,
            SnapshotChange::Unspecified
            | SnapshotChange::Created
            | SnapshotChange::Updated
            | SnapshotChange::Unchanged
            | SnapshotChange::NotVisible => true,
        };
        let Refreshing { queue, fresh, .. } = &mut self.refresh;
        let is_newest = is_certain
            && fresh.is_newer(shard, &entry.gid, read_after, latest)
            && !queue.waits(&entry.gid)
            && !self.refresh.is_reading(&entry.gid);
        if !is_newest {
            return self.refresh.queue.add(now.monotonic, shard, place, entry);
        }
        let Some(ticket) = self.refresh.queue.open(now.monotonic, shard, place, entry) else {
            return;
        };
        let state = match change {
            SnapshotChange::Deleted => Some(StateChange::Remove { position: Some(entry.position.clone()) }),
            SnapshotChange::Unspecified
            | SnapshotChange::Created
            | SnapshotChange::Updated
            | SnapshotChange::Unchanged
            | SnapshotChange::Left
            | SnapshotChange::NotVisible => entries::found_state(entry),
        };
        self.refresh.fresh.note(shard, &entry.gid, latest);
        let ready = Ready { state, ..self.nothing_ready(now, ticket, entry.received_at) };
        self.get_ready(now, ready);
    }

    fn nothing_ready(&mut self, now: Now, ticket: Ticket, received_at: DateTime<Utc>) -> Ready {
        self.requests += 1;
        let trace = self.settings.trace(self.requests, now.wall);
        Ready { ticket, snapshot: None, state: None, received_at, trace, arrived: now.monotonic }
    }

    /// It is committed as soon as its topics are known.
    fn get_ready(&mut self, now: Now, ready: Ready) {
        for topic in self.topics_of_ready(&ready).cloned().collect::<Vec<_>>() {
            self.topics.want(now, topic);
        }
        self.refresh.ready.push_back(ready);
    }

    fn topics_of_ready<'a>(&'a self, ready: &'a Ready) -> impl Iterator<Item = &'a Topic> {
        let state = self.settings.state.topic.as_ref().filter(|_| ready.state.is_some());
        ready.snapshot.iter().map(|(topic, _)| topic).chain(state)
    }

    fn has_its_topics(&self, ready: &Ready) -> bool {
        self.topics_of_ready(ready).all(|topic| self.topics.is_known(topic))
    }

    /// When what was read may be committed: the oldest whose topics are known.
    pub(super) fn refresh_ready(&self) -> Option<Duration> {
        self.refresh.ready.iter().find(|ready| self.has_its_topics(ready)).map(|ready| ready.arrived)
    }

    /// Takes the oldest that are ready, up to `room` messages.
    pub(super) fn take_ready(&mut self, mut room: usize) -> Vec<Ready> {
        let (mut taken, mut shards) = (Vec::new(), BTreeSet::new());
        // Each resource comes once: nothing of it may overtake what waits for a topic, and a bus may take a key only once in a
        // batch.
        let mut passed: BTreeSet<Gid> = BTreeSet::new();
        let mut at = 0;
        while let Some(ready) = self.refresh.ready.get(at) {
            if passed.contains(&ready.ticket.gid) || !self.has_its_topics(ready) {
                passed.insert(ready.ticket.gid.clone());
                at += 1;
                continue;
            }
            // A snapshot, perhaps with the beginning of its lane; the state; and of each shard its place and its header.
            let weight = 3 + if shards.contains(&ready.ticket.shard) { 0 } else { 3 };
            if weight > room && !taken.is_empty() {
                break;
            }
            room = room.saturating_sub(weight);
            passed.insert(ready.ticket.gid.clone());
            shards.insert(ready.ticket.shard);
            taken.extend(self.refresh.ready.remove(at));
        }
        taken
    }

    /// The place of each shard in the log, once these are on the bus.
    pub(super) fn places_after(&self, taken: &[Ready]) -> BTreeMap<ShardId, u64> {
        let shards: BTreeSet<_> = taken.iter().map(|ready| ready.ticket.shard).collect();
        let tickets = || taken.iter().map(|ready| &ready.ticket);
        let place = |shard| Some((shard, self.refresh.queue.place_after(shard, tickets())?));
        shards.into_iter().filter_map(place).collect()
    }

    /// The commit of these was aborted: they are written again, before all that came later.
    pub(super) fn ready_again(&mut self, staged: Vec<Ready>) {
        for ready in staged.into_iter().rev() {
            if self.refresh.queue.is_current(&ready.ticket) {
                self.refresh.ready.push_front(ready);
            }
        }
    }

    /// These are on the bus.
    pub(super) fn refreshed(&mut self, now: Now, staged: &[Ready]) {
        for ready in staged {
            self.refresh.queue.done(&ready.ticket);
            // For consumers it isn't empty any more: that it is has to be stated again soon.
            let interval = self.settings.watermark_interval;
            if let Some(shard) =
                self.shards.get_mut(&ready.ticket.shard).filter(|it| it.empty && ready.snapshot.is_some())
            {
                shard.watermark_at = shard.watermark_at.min(now.monotonic + interval);
            }
        }
    }

    /// The shard is here: its log is read from its place on.
    pub(super) fn refresh_shard(&mut self, now: Now, shard: ShardId) {
        self.forget_refreshes(shard);
        let place = self.shards.get(&shard).map(|it| it.refresh_place);
        let Some(place) = place.filter(|_| self.settings.state.is_on()) else { return };
        self.refresh.queue.assign(shard, place);
        self.refresh.fresh.assign(shard, self.accounts.ahead_of_asana(now));
        self.refresh.stating.insert(shard, Stating::new(now));
    }

    /// The shard has another owner, or nothing is read again any more.
    pub(super) fn forget_refreshes(&mut self, shard: ShardId) {
        let Refreshing { queue, fresh, ready, stating, .. } = &mut self.refresh;
        queue.revoke(shard);
        fresh.revoke(shard);
        stating.remove(&shard);
        ready.retain(|ready| ready.ticket.shard != shard);
    }

    /// The settings and streams are these from now on.
    pub(super) fn configure_refresh(&mut self, now: Now, was_on: bool) {
        self.refresh.queue.set_pace(self.settings.state.pace);
        self.refresh.watchers = self.watchers();
        let owned: Vec<_> = self.shards.keys().copied().collect();
        match (was_on, self.settings.state.is_on()) {
            (false, true) => owned.into_iter().for_each(|shard| self.refresh_shard(now, shard)),
            (true, false) => owned.into_iter().for_each(|shard| self.forget_refreshes(shard)),
            (true, true) => self.drop_accounts(now),
            (false, false) => {}
        }
    }

    pub(super) fn watchers(&self) -> BTreeMap<Gid, Vec<StreamSpec>> {
        let mut watchers: BTreeMap<Gid, Vec<StreamSpec>> = BTreeMap::new();
        for spec in self.specs.values().flatten().filter(|_| self.settings.state.is_on()) {
            watchers.entry(spec.id.resource.clone()).or_default().push(spec.clone());
        }
        watchers
    }

    /// Nobody can ask for what only accounts know that are no longer configured: it keeps its state.
    fn drop_accounts(&mut self, now: Now) {
        for account in self.refresh.queue.accounts() {
            while !self.accounts.contains(&account)
                && let Some(ticket) = self.refresh.queue.take_any(&account)
            {
                let ready = self.nothing_ready(now, ticket, now.wall);
                self.get_ready(now, ready);
            }
        }
        let follow = std::mem::take(&mut self.refresh.follow).into_iter();
        let (follow, orphans): (BTreeMap<_, _>, BTreeMap<_, _>) =
            follow.partition(|(account, _)| self.accounts.contains(account));
        self.refresh.follow = follow;
        let orphans: Vec<_> = orphans.into_values().flatten().collect();
        for running in orphans {
            self.put_back(running, now.monotonic);
        }
    }

    /// The accounts by which streams are polled.
    fn polling_accounts(&self) -> BTreeSet<&AccountName> {
        self.refresh.watchers.values().flatten().map(|spec| &spec.id.account).collect()
    }

    /// The streams that show an object of these containers now. `asked`: those that told of it.
    fn streams_that_show(&self, containers: &[Gid], is_nested: bool, asked: &BTreeSet<StreamId>) -> BTreeSet<StreamId> {
        let watchers = &self.refresh.watchers;
        let of = |gid: &Gid| watchers.get(gid).into_iter().flatten().map(|spec| spec.id.clone());
        let nested = asked.iter().filter(|id| is_nested && of(&id.resource).any(|watcher| watcher == **id));
        containers.iter().flat_map(of).chain(nested.cloned()).collect()
    }
}
