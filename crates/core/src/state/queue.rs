//! Which resources are due to be read again, and how far the refresh log is done.
//!
//! ```text
//!        add                 take                      done, with the commit
//! log ─────────► waiting ───────────► reading or read ───────────────────────► out
//!                   ▲                    │
//!                   └────────────────────┘
//!                           put_back
//! ```
//!
//! What waits is coalesced by resource. An entry that comes while its resource is being read waits for another reading,
//! since this one may have come too early for it. The place in the log is before the first entry that isn't done.

use super::entry::Entry;
use crate::ids::{AccountName, Gid, ShardId, StreamId, StreamKind};
use bridge_contract::pb;
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// From this number of due tasks of one project on, they are read by one list, and if requests are scarce, from two on.
const LEAST_FOR_LIST: usize = 3;
/// While requests are scarce, the changes of a project are gathered for this time after its last reading.
const GATHERING: Duration = Duration::from_secs(75);
/// The most resources that are read by one list: what is on its first pages.
const MOST_FOR_LIST: usize = 300;
/// The most ends of a part that wait for what is before them.
const MOST_ENDS: usize = 64;

/// How long changes of a resource are gathered before it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// It is read when no entry came for it during this time.
    pub quiet: Duration,
    /// It is read after this time at the latest, though entries keep coming.
    pub longest: Duration,
}

/// All that waits for the same reading of one resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Ticket {
    /// The resource.
    pub gid: Gid,
    /// Its type, such as `task`.
    pub resource_type: String,
    /// The shard that it belongs to.
    pub shard: ShardId,
    /// The stream that asked last.
    pub stream: StreamId,
    /// How that stream is polled.
    pub kind: StreamKind,
    /// The streams that asked, and from which it hasn't certainly gone.
    pub streams: BTreeSet<StreamId>,
    /// The accounts of all streams that asked.
    pub accounts: BTreeSet<AccountName>,
    /// When the last of the changes happened, by Asana's clock, if that is known.
    pub happened_at: Option<DateTime<Utc>>,
    /// The last entry says that it was deleted.
    pub deleted: bool,
    /// The position of the last event that asked; `None`: only crawls did.
    pub asked_by: Option<pb::Position>,
    /// A list didn't show it, or not as new as its event.
    pub alone: bool,
    /// Number of readings without a usable result.
    pub tries: u32,
    /// The places of its entries in the log: of the first, and of the last.
    places: (u64, u64),
    /// When its first entry came, and its last.
    came: (Duration, Duration),
    /// Since when its shard is here: a shard that went and came back has read its log again.
    tenure: u64,
}

/// Whether requests have to be saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thrift {
    /// There are enough: what is due is read at once.
    Plenty,
    /// A project that was read a moment ago is read again after more than a minute, and then all of its changes together.
    Scarce,
}

/// What one request reads.
#[derive(Clone, Debug, PartialEq)]
pub enum Job {
    /// One resource.
    One(Box<Ticket>),
    /// Tasks of a project, by the list of those that were modified lately.
    Tasks {
        /// The project, or what may be one.
        project: Gid,
        /// The tasks, at least two.
        tickets: Vec<Ticket>,
    },
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct Queue {
    pace: Pace,
    waiting: BTreeMap<Gid, (Ticket, Duration)>,
    due: BTreeMap<AccountName, BTreeSet<(Duration, Gid)>>,
    parts: BTreeMap<ShardId, Part>,
    tenures: u64,
    /// Resources of streams that turned out not to be projects.
    not_projects: BTreeSet<Gid>,
    /// When tasks of each project were read last.
    read_at: BTreeMap<Gid, Duration>,
}

/// A shard's part of the log.
#[derive(Clone, Debug)]
struct Part {
    /// What is read of it next.
    next: u64,
    /// The first place of each ticket that isn't done, with the time when its entry was received.
    open: BTreeMap<u64, DateTime<Utc>>,
    /// The mark that was read last, until the end of the log is reached behind it.
    mark: Option<DateTime<Utc>>,
    /// Where the end was, and a time: all that was committed before it is before this place. The earliest first.
    ends: VecDeque<(u64, DateTime<Utc>)>,
    /// What was committed before this time is done.
    read_up_to: Option<DateTime<Utc>>,
    tenure: u64,
}

impl Queue {
    /// A queue that has no shards yet.
    #[must_use]
    pub fn new(pace: Pace) -> Self {
        Self {
            pace,
            waiting: BTreeMap::new(),
            due: BTreeMap::new(),
            parts: BTreeMap::new(),
            tenures: 0,
            not_projects: BTreeSet::new(),
            read_at: BTreeMap::new(),
        }
    }

    /// The pace from now on. What waits keeps its time.
    pub fn set_pace(&mut self, pace: Pace) {
        self.pace = pace;
    }

    /// The shard is here, and its log is done up to `next`.
    pub fn assign(&mut self, shard: ShardId, next: u64) {
        self.revoke(shard);
        self.tenures += 1;
        let part = Part {
            next,
            open: BTreeMap::new(),
            mark: None,
            ends: VecDeque::new(),
            read_up_to: None,
            tenure: self.tenures,
        };
        self.parts.insert(shard, part);
    }

    /// The shard has another owner, who reads all of it that isn't done.
    pub fn revoke(&mut self, shard: ShardId) {
        if self.parts.remove(&shard).is_some() {
            self.tenures += 1;
        }
        let gone: Vec<_> =
            self.waiting.values().filter(|(it, _)| it.shard == shard).map(|(it, _)| it.gid.clone()).collect();
        for gid in gone {
            self.remove(&gid);
        }
    }

    /// Where each shard's log is read next.
    #[must_use]
    pub fn places(&self) -> BTreeMap<ShardId, u64> {
        self.parts.iter().map(|(shard, part)| (*shard, part.next)).collect()
    }

    /// Changes whenever shards come or go.
    #[must_use]
    pub fn tenures(&self) -> u64 {
        self.tenures
    }

    /// Whether the shard is here.
    #[must_use]
    pub fn has(&self, shard: ShardId) -> bool {
        self.parts.contains_key(&shard)
    }

    /// Whether the resource waits to be read.
    #[must_use]
    pub fn waits(&self, gid: &Gid) -> bool {
        self.waiting.contains_key(gid)
    }

    /// The accounts for which resources wait.
    #[must_use]
    pub fn accounts(&self) -> Vec<AccountName> {
        self.due.iter().filter(|(_, due)| !due.is_empty()).map(|(account, _)| account.clone()).collect()
    }

    /// Takes out what waits for the account, whether it is due or not.
    pub fn take_any(&mut self, account: &AccountName) -> Option<Ticket> {
        let (_, gid) = self.due.get(account)?.first()?.clone();
        self.remove(&gid).map(|(ticket, _)| ticket)
    }

    /// The number of resources that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether no resource waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// An entry of the log that needs nothing.
    pub fn pass(&mut self, shard: ShardId, place: u64) {
        if let Some(part) = self.parts.get_mut(&shard) {
            part.next = place + 1;
        }
    }

    /// A mark of the log.
    pub fn mark(&mut self, shard: ShardId, place: u64, at: DateTime<Utc>) {
        self.pass(shard, place);
        if let Some(part) = self.parts.get_mut(&shard) {
            part.mark = part.mark.max(Some(at));
        }
    }

    /// All of the shard's log was read that is there. A mark alone proves nothing of the entries before it: one may have been
    /// removed because another follows that wasn't read yet.
    pub fn end(&mut self, shard: ShardId) {
        let Some(part) = self.parts.get_mut(&shard) else { return };
        let Some(at) = part.mark.take() else { return };
        if part.ends.len() == MOST_ENDS {
            part.ends.pop_back();
        }
        part.ends.push_back((part.next, at));
    }

    /// By Asana's clock: all that was committed to the shard's log before this time is done. `None` if that isn't known of
    /// any time.
    pub fn read_up_to(&mut self, shard: ShardId) -> Option<DateTime<Utc>> {
        let part = self.parts.get_mut(&shard)?;
        let open = part.open.first_key_value().map_or(u64::MAX, |(place, _)| *place);
        let done = part.ends.iter().take_while(|(place, _)| *place <= open).count();
        for (_, at) in part.ends.drain(..done) {
            part.read_up_to = part.read_up_to.max(Some(at));
        }
        part.read_up_to
    }

    /// An entry of the log whose resource is to be read.
    pub fn add(&mut self, now: Duration, shard: ShardId, place: u64, entry: &Entry) {
        if let Some(ticket) = self.open(now, shard, place, entry) {
            self.put(ticket, None);
        }
    }

    /// An entry of the log that isn't done before its ticket is. `None` if the shard isn't here.
    pub fn open(&mut self, now: Duration, shard: ShardId, place: u64, entry: &Entry) -> Option<Ticket> {
        let part = self.parts.get_mut(&shard)?;
        part.next = place + 1;
        part.open.insert(place, entry.received_at);
        Some(Ticket::new(now, shard, part.tenure, place, entry))
    }

    /// Puts a ticket to what waits for the same resource. It is due at `not_before` at the earliest.
    fn put(&mut self, mut ticket: Ticket, not_before: Option<Duration>) {
        if let Some((before, _)) = self.remove(&ticket.gid) {
            if let Some(part) = self.parts.get_mut(&ticket.shard) {
                part.open.remove(&before.places.0.max(ticket.places.0));
            }
            ticket = before.and(ticket);
        }
        let quiet = (ticket.came.1 + self.pace.quiet).min(ticket.came.0 + self.pace.longest);
        let due = quiet.max(not_before.unwrap_or_default());
        let of_account = self.due.entry(ticket.stream.account.clone()).or_default();
        of_account.insert((due, ticket.gid.clone()));
        self.waiting.insert(ticket.gid.clone(), (ticket, due));
    }

    fn remove(&mut self, gid: &Gid) -> Option<(Ticket, Duration)> {
        let (ticket, due) = self.waiting.remove(gid)?;
        if let Some(of_account) = self.due.get_mut(&ticket.stream.account) {
            of_account.remove(&(due, gid.clone()));
        }
        Some((ticket, due))
    }

    /// When the first resource is due that this account reads.
    #[must_use]
    pub fn next_due(&self, account: &AccountName) -> Option<Duration> {
        self.due.get(account)?.first().map(|(due, _)| *due)
    }

    /// Takes out what one request of the account reads, if something is due: what has been due for longest, and with it
    /// the other tasks of its project that are due.
    pub fn take(&mut self, now: Duration, account: &AccountName, thrift: Thrift) -> Option<Job> {
        let (gid, project) = self.first_due(now, account, thrift)?;
        let Some(project) = project else { return self.remove(&gid).map(|(ticket, _)| Job::One(ticket.into())) };
        self.read_at.retain(|_, at| *at + GATHERING > now);
        self.read_at.insert(project.clone(), now);
        let is_due = self.due.get(account)?.iter().take_while(|(due, _)| *due <= now);
        let of_project = |gid: &&Gid| {
            let ticket = self.waiting.get(*gid).map(|(ticket, _)| ticket);
            ticket.and_then(|ticket| self.project_of(ticket)) == Some(&project)
        };
        let gids: Vec<_> = is_due.map(|(_, gid)| gid).filter(of_project).take(MOST_FOR_LIST).cloned().collect();
        let least = if thrift == Thrift::Scarce { 2 } else { LEAST_FOR_LIST };
        if gids.len() < least {
            return self.remove(&gid).map(|(ticket, _)| Job::One(ticket.into()));
        }
        let tickets = gids.iter().filter_map(|gid| Some(self.remove(gid)?.0)).collect();
        Some(Job::Tasks { project, tickets })
    }

    /// What has been due for longest, with its project if a list may show it. What has to be gathered is put off.
    fn first_due(&mut self, now: Duration, account: &AccountName, thrift: Thrift) -> Option<(Gid, Option<Gid>)> {
        loop {
            let (due, gid) = self.due.get(account)?.first()?.clone();
            if due > now {
                return None;
            }
            let ticket = &self.waiting.get(&gid)?.0;
            let project = self.project_of(ticket).cloned();
            let read_at = project.as_ref().and_then(|project| self.read_at.get(project)).copied();
            let until = read_at.map(|at| at + GATHERING).filter(|until| thrift == Thrift::Scarce && *until > now);
            let Some(until) = until else { return Some((gid, project)) };
            let (ticket, _) = self.remove(&gid)?;
            self.put(ticket, Some(until));
        }
    }

    /// The project whose list may show the change, if there is one.
    fn project_of<'a>(&self, ticket: &'a Ticket) -> Option<&'a Gid> {
        let may_be_listed = ticket.resource_type == "task"
            && ticket.kind == StreamKind::Resource
            && !ticket.alone
            && !ticket.deleted
            && ticket.happened_at.is_some()
            && ticket.stream.resource != ticket.gid;
        Some(&ticket.stream.resource).filter(|it| may_be_listed && !self.not_projects.contains(it))
    }

    /// Asana has no list of tasks for this resource: it isn't a project, or isn't one any more.
    pub fn is_no_project(&mut self, gid: Gid) {
        self.not_projects.insert(gid);
    }

    /// A ticket that was taken wasn't settled: it is due again at this time.
    pub fn put_back(&mut self, ticket: Ticket, due: Duration) {
        if self.is_current(&ticket) {
            self.put(ticket, Some(due));
        }
    }

    /// Whether the ticket's shard was here all the time since its entries came. If not, they were read again, here or by
    /// another owner.
    #[must_use]
    pub fn is_current(&self, ticket: &Ticket) -> bool {
        self.parts.get(&ticket.shard).is_some_and(|part| part.tenure == ticket.tenure)
    }

    /// The place in the shard's log, once these are done.
    #[must_use]
    pub fn place_after<'a>(&self, shard: ShardId, done: impl Iterator<Item = &'a Ticket>) -> Option<u64> {
        let part = self.parts.get(&shard)?;
        let done: BTreeSet<u64> = done.filter(|ticket| ticket.shard == shard).map(|ticket| ticket.places.0).collect();
        Some(part.open.keys().copied().find(|place| !done.contains(place)).unwrap_or(part.next))
    }

    /// The ticket is done: what it asked for is on the bus.
    pub fn done(&mut self, ticket: &Ticket) {
        if self.is_current(ticket)
            && let Some(part) = self.parts.get_mut(&ticket.shard)
        {
            part.open.remove(&ticket.places.0);
        }
    }

    /// When the bridge received the oldest change that isn't done.
    #[must_use]
    pub fn oldest(&self) -> Option<DateTime<Utc>> {
        self.parts.values().filter_map(|part| part.open.first_key_value().map(|(_, received_at)| *received_at)).min()
    }
}

impl Ticket {
    fn new(now: Duration, shard: ShardId, tenure: u64, place: u64, entry: &Entry) -> Self {
        let change = entry.found.as_ref().map(|found| found.snapshot.change());
        let is_out = change == Some(pb::SnapshotChange::Left);
        Self {
            gid: entry.gid.clone(),
            resource_type: entry.resource_type.clone(),
            shard,
            stream: entry.stream.clone(),
            kind: entry.kind,
            streams: Some(entry.stream.clone()).filter(|_| !is_out).into_iter().collect(),
            accounts: [entry.stream.account.clone()].into(),
            happened_at: entry.happened_at,
            deleted: entry.deleted,
            asked_by: entry.found.is_none().then(|| entry.position.clone()),
            // No list says that something is gone, or whose modification a crawl has seen.
            alone: entry.found.is_some(),
            tries: 0,
            places: (place, place),
            came: (now, now),
            tenure,
        }
    }

    /// The same, after one more reading without a result.
    #[must_use]
    pub fn tried(self) -> Self {
        Self { tries: self.tries + 1, ..self }
    }

    /// The same, to be read by itself.
    #[must_use]
    pub fn alone(self) -> Self {
        Self { alone: true, ..self }
    }

    /// Both, as what came later says.
    fn and(self, other: Self) -> Self {
        let (earlier, later) = if self.places.1 <= other.places.1 { (self, other) } else { (other, self) };
        Self {
            streams: earlier.streams.into_iter().chain(later.streams).collect(),
            accounts: earlier.accounts.into_iter().chain(later.accounts).collect(),
            happened_at: earlier.happened_at.max(later.happened_at),
            asked_by: later.asked_by.or(earlier.asked_by),
            alone: earlier.alone || later.alone,
            tries: earlier.tries.min(later.tries),
            places: (earlier.places.0.min(later.places.0), later.places.1),
            came: (earlier.came.0.min(later.came.0), earlier.came.1.max(later.came.1)),
            ..later
        }
    }
}

#[cfg(test)]
mod tests;
