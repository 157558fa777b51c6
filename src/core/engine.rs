//! The bridge without its edges: owned shards, their streams, and what is on its way to the bus.
//!
//! A driver feeds it and does what it says:
//!
//! 1. [`assign`](Engine::assign) and [`revoke`](Engine::revoke) as ownership changes;
//! 2. [`next_poll`](Engine::next_poll) until it gives nothing more, and each outcome back by
//!    [`handle_outcome`](Engine::handle_outcome);
//! 3. when no commit runs: [`unknown_topic`](Engine::unknown_topic) until there is none, then
//!    [`take_batch`](Engine::take_batch), and its result by [`committed`](Engine::committed) or
//!    [`aborted`](Engine::aborted);
//! 4. sleep until [`next_deadline`](Engine::next_deadline) or until one of these happens.
//!
//! A stream has one page under way at the most, from its poll to its commit: the next token is used
//! only when what came with it is on the bus, since Asana may refuse to go back.

use super::backoff::Backoff;
use super::batch::{Batch, OutputTopic};
use super::budget::Budget;
use super::checkpoint::ShardState;
use super::ids::{AccountName, ShardId, StreamId, StreamKind, SyncToken, Topic};
use super::now::Now;
use super::page::PollOutcome;
use super::placement::shard_of;
use super::record::Prepared;
use super::schedule::Schedule;
use super::sequence::Counters;
use super::staging::{Staged, Topics, stage};
use super::stream::{Effects, Notice, Pace, Stream};
use super::topic::TopicTemplate;
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

/// What the operator decided.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The number of shards.
    pub shards: NonZeroU32,
    /// Where events go.
    pub topic: TopicTemplate,
    /// The pace of a stream on which events come.
    pub min_interval: Duration,
    /// The pace of a quiet stream.
    pub max_interval: Duration,
    /// How long the first page of a batch waits for others.
    pub linger: Duration,
    /// A batch of this many records is taken at once.
    pub max_records: usize,
    /// Pages that wait may weigh this much, in bytes; past it nothing is polled.
    pub max_pending_bytes: usize,
    /// This replica's name, for the checkpoint.
    pub replica: String,
    /// Where stand-ins say that the whole record is.
    pub dead_letter_topic: String,
}

/// A credential's rate.
#[derive(Clone, Debug)]
pub struct AccountSpec {
    /// Its name.
    pub name: AccountName,
    /// Requests a minute.
    pub requests_per_minute: NonZeroU32,
    /// Requests in flight at once.
    pub max_in_flight: NonZeroU16,
}

/// A stream to poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSpec {
    /// Its identity.
    pub id: StreamId,
    /// Which request polls it.
    pub kind: StreamKind,
}

/// A request to Asana.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poll {
    /// To be given back with the outcome.
    pub number: u64,
    /// The stream.
    pub stream: StreamSpec,
    /// The token to send.
    pub token: Option<SyncToken>,
}

/// What a commit made durable, for metrics and the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitSummary {
    /// Messages of all kinds.
    pub messages: usize,
    /// Events.
    pub events: usize,
    /// How long each page took from its arrival to here.
    pub latencies: Vec<Duration>,
    /// What is true of streams from now on.
    pub notices: Vec<(StreamId, Notice)>,
}

/// A stream that gives no usable answer is asked again after these delays.
const RETRY: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(120) };
/// A refused stream is asked again after these, each far below the life of its token (24 hours).
const SUSPENDED: Backoff = Backoff { first: Duration::from_secs(300), longest: Duration::from_secs(3600) };
/// An aborted commit is tried again after these.
const ABORTED: Backoff = Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(10) };

/// See the [module](self).
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    batch_messages: usize,
    topics: Topics,
    /// Those that something waits for.
    unknown_topics: BTreeSet<Topic>,
    accounts: BTreeMap<AccountName, Account>,
    specs: BTreeMap<ShardId, Vec<StreamSpec>>,
    shards: BTreeMap<ShardId, Shard>,
    streams: BTreeMap<StreamId, Entry>,
    waiting: VecDeque<Pending>,
    waiting_records: usize,
    pending_bytes: usize,
    committing: Option<Staged>,
    aborts: u32,
    not_before: Duration,
    polls: u64,
    draining: bool,
}

#[derive(Debug)]
struct Account {
    budget: Budget,
    schedule: Schedule,
}

/// The committed progress of an owned shard.
#[derive(Clone, Debug)]
pub(crate) struct Shard {
    pub(crate) counters: Counters,
    /// The next batch is the first of this replica for the shard, and says whose it is.
    pub(crate) header_due: bool,
}

/// A stream of an owned shard.
#[derive(Debug)]
struct Entry {
    kind: StreamKind,
    /// As it is on the bus.
    committed: Stream,
    /// The number of the poll under way.
    polling: Option<u64>,
    interval: Duration,
    failures: u32,
}

/// A stream's next state, and what has to be on the bus before it counts.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) shard: ShardId,
    pub(crate) id: StreamId,
    pub(crate) next: Stream,
    /// Where a gap is announced that has just opened.
    pub(crate) gap_topics: BTreeSet<Topic>,
    /// Each with its topic.
    pub(crate) records: Vec<(Topic, Prepared)>,
    pub(crate) received_at: DateTime<Utc>,
    notice: Option<Notice>,
    pace: Pace,
    bytes: usize,
    arrived: Duration,
}

impl Engine {
    /// An engine that owns nothing yet.
    #[must_use]
    pub fn new(settings: Settings, batch_messages: usize, accounts: &[AccountSpec], streams: &[StreamSpec]) -> Self {
        let account = |spec: &AccountSpec| {
            let budget = Budget::new(spec.requests_per_minute, spec.max_in_flight);
            (spec.name.clone(), Account { budget, schedule: Schedule::default() })
        };
        let mut specs: BTreeMap<ShardId, Vec<StreamSpec>> = BTreeMap::new();
        for spec in streams {
            specs.entry(shard_of(&spec.id, settings.shards)).or_default().push(spec.clone());
        }
        Self {
            accounts: accounts.iter().map(account).collect(),
            specs,
            settings,
            batch_messages,
            topics: Topics::new(),
            unknown_topics: BTreeSet::new(),
            shards: BTreeMap::new(),
            streams: BTreeMap::new(),
            waiting: VecDeque::new(),
            waiting_records: 0,
            pending_bytes: 0,
            committing: None,
            aborts: 0,
            not_before: Duration::ZERO,
            polls: 0,
            draining: false,
        }
    }

    /// A shard is this replica's now: its streams are due at once.
    pub fn assign(&mut self, now: Now, shard: ShardId, state: ShardState) {
        self.revoke(&[shard]);
        let mut streams = state.streams;
        for spec in self.specs.get(&shard).into_iter().flatten() {
            let entry = Entry {
                kind: spec.kind,
                committed: streams.remove(&spec.id).unwrap_or_default(),
                polling: None,
                interval: self.settings.min_interval,
                failures: 0,
            };
            self.streams.insert(spec.id.clone(), entry);
            if let Some(account) = self.accounts.get_mut(&spec.id.account) {
                account.schedule.set(spec.id.clone(), now.monotonic);
            }
        }
        self.shards.insert(shard, Shard { counters: state.counters, header_due: true });
    }

    /// Shards are somebody else's: what waits for a commit is dropped, and will be polled again there.
    /// Not while a commit runs: wait for its result first.
    pub fn revoke(&mut self, shards: &[ShardId]) {
        debug_assert!(self.committing.is_none(), "a commit runs");
        for shard in shards {
            if self.shards.remove(shard).is_none() {
                continue;
            }
            for spec in self.specs.get(shard).into_iter().flatten() {
                self.streams.remove(&spec.id);
                if let Some(account) = self.accounts.get_mut(&spec.id.account) {
                    account.schedule.remove(&spec.id);
                }
            }
        }
        self.waiting.retain(|pending| self.shards.contains_key(&pending.shard));
        self.waiting_records = self.waiting.iter().map(|pending| pending.records.len()).sum();
        self.pending_bytes = self.waiting.iter().map(|pending| pending.bytes).sum();
    }

    /// Nothing more is polled, and what waits is committed without lingering.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Whether nothing is under way to the bus.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.waiting.is_empty() && self.committing.is_none()
    }

    /// The shards and the number of streams that this replica has.
    #[must_use]
    pub fn owned(&self) -> (Vec<ShardId>, usize) {
        (self.shards.keys().copied().collect(), self.streams.len())
    }

    /// The next poll to send, as long as streams are due and the budgets and memory allow it.
    pub fn next_poll(&mut self, now: Now) -> Option<Poll> {
        if self.is_full() || self.draining {
            return None;
        }
        for account in self.accounts.values_mut() {
            if account.budget.available_at().is_none_or(|at| at > now.monotonic) {
                continue;
            }
            let Some(id) = account.schedule.pop_due(now.monotonic) else { continue };
            let Some(entry) = self.streams.get_mut(&id) else { continue };
            account.budget.take(now);
            self.polls += 1;
            entry.polling = Some(self.polls);
            let token = entry.committed.token().cloned();
            return Some(Poll { number: self.polls, stream: StreamSpec { id, kind: entry.kind }, token });
        }
        None
    }

    /// What a poll returned. The notice is for the log; one of something that has to be durable first comes with
    /// its commit, since a stale owner sees tokens dead that are alive elsewhere.
    pub fn handle_outcome(&mut self, now: Now, poll: &Poll, outcome: PollOutcome) -> Option<Notice> {
        let id = &poll.stream.id;
        let account = self.accounts.get_mut(&id.account)?;
        account.budget.finish();
        // The shard may have gone since, and even come back.
        let entry = self.streams.get_mut(id).filter(|entry| entry.polling == Some(poll.number))?;
        entry.polling = None;
        let (bytes, received_at) = match &outcome {
            PollOutcome::Page(page) => (page.bytes, page.received_at),
            PollOutcome::TokenReset(_)
            | PollOutcome::Throttled { .. }
            | PollOutcome::Denied(_)
            | PollOutcome::Failed(_) => (0, now.wall),
        };
        let (next, effects) = entry.committed.clone().step(id, now.wall, outcome);
        let Effects { events, durable, pace, mut notice } = effects;
        if let Pace::AccountPause(pause) = pace
            && !account.budget.pause(now, pause)
        {
            notice = None;
        }
        if !durable {
            entry.committed = next;
            self.reschedule(now, id, pace);
            return notice;
        }
        let template = &self.settings.topic;
        let prepare = |event| {
            let prepared = Prepared::event(event, id, received_at);
            (template.topic(id, &prepared.resource_type), prepared)
        };
        let records: Vec<_> = events.into_iter().map(prepare).collect();
        self.waiting_records += records.len();
        self.pending_bytes += bytes;
        let shard = shard_of(id, self.settings.shards);
        let gap_topics = self.gap_topics(id, shard, &next);
        for topic in records.iter().map(|(topic, _)| topic).chain(&gap_topics) {
            if !self.topics.contains_key(topic) {
                self.unknown_topics.insert(topic.clone());
            }
        }
        let (id, arrived) = (id.clone(), now.monotonic);
        self.waiting.push_back(Pending {
            shard,
            id,
            next,
            gap_topics,
            records,
            received_at,
            notice,
            pace,
            bytes,
            arrived,
        });
        None
    }

    /// A topic that has to be known before what waits can become a batch.
    #[must_use]
    pub fn unknown_topic(&self) -> Option<Topic> {
        self.unknown_topics.first().cloned()
    }

    /// Makes a topic known.
    pub fn set_topic(&mut self, topic: Topic, known: OutputTopic) {
        self.unknown_topics.remove(&topic);
        self.topics.insert(topic, known);
    }

    /// The topics that a new gap of the stream concerns: all that its shard wrote and the stream may have
    /// written, or at least one. Others get it when the stream comes to them.
    fn gap_topics(&self, id: &StreamId, shard: ShardId, next: &Stream) -> BTreeSet<Topic> {
        if next.open_gaps.iter().all(|gap| !gap.topics.is_empty()) {
            return BTreeSet::new();
        }
        let template = &self.settings.topic;
        let written = self.shards.get(&shard).into_iter().flat_map(|shard| shard.counters.topics());
        let mut topics: BTreeSet<_> = written.filter(|topic| template.may_give(id, topic)).cloned().collect();
        if topics.is_empty() {
            topics.insert(template.topic(id, ""));
        }
        topics
    }

    /// The next batch, if it is time for one, none is being committed, and the topics are known.
    pub fn take_batch(&mut self, now: Now) -> Option<Batch> {
        if self.committing.is_some() || !self.unknown_topics.is_empty() || self.batch_due()? > now.monotonic {
            return None;
        }
        let mut taken = Vec::new();
        let mut messages = 0;
        while let Some(pending) = self.waiting.front() {
            // Each stream adds a checkpoint.
            messages += pending.records.len() + 1;
            if messages > self.batch_messages.min(self.settings.max_records) && !taken.is_empty() {
                break;
            }
            let Some(pending) = self.waiting.pop_front() else { break };
            self.waiting_records -= pending.records.len();
            taken.push(pending);
        }
        let (staged, batch) = stage(taken, &self.shards, &self.topics, &self.settings, now.wall);
        self.committing = Some(staged);
        Some(batch)
    }

    /// When the next batch is to be taken, if anything waits.
    fn batch_due(&self) -> Option<Duration> {
        let oldest = self.waiting.front()?;
        let at_once = self.draining
            || self.is_full()
            || self.waiting_records >= self.settings.max_records.min(self.batch_messages);
        let due = if at_once { oldest.arrived } else { oldest.arrived + self.settings.linger };
        Some(due.max(self.not_before))
    }

    /// The batch is on the bus: its states count, and its streams may be polled again.
    pub fn committed(&mut self, now: Now) -> CommitSummary {
        let Some(staged) = self.committing.take() else { return CommitSummary::default() };
        self.aborts = 0;
        let mut summary = CommitSummary { messages: staged.messages, ..CommitSummary::default() };
        for (shard, counters) in staged.counters {
            self.shards.insert(shard, Shard { counters, header_due: false });
        }
        for (pending, next) in staged.pending {
            self.pending_bytes -= pending.bytes;
            summary.events += pending.records.len();
            summary.latencies.push(now.monotonic.saturating_sub(pending.arrived));
            summary.notices.extend(pending.notice.map(|notice| (pending.id.clone(), notice)));
            if let Some(entry) = self.streams.get_mut(&pending.id) {
                entry.committed = next;
            }
            self.reschedule(now, &pending.id, pending.pace);
        }
        summary
    }

    /// The batch is surely not on the bus: the same pages will be written again, with the same sequences.
    pub fn aborted(&mut self, now: Now) {
        let Some(staged) = self.committing.take() else { return };
        self.aborts += 1;
        self.not_before = now.monotonic + ABORTED.delay(self.aborts, &self.settings.replica);
        for (pending, _) in staged.pending.into_iter().rev() {
            self.waiting_records += pending.records.len();
            self.waiting.push_front(pending);
        }
    }

    fn reschedule(&mut self, now: Now, id: &StreamId, pace: Pace) {
        let Some(entry) = self.streams.get_mut(id) else { return };
        let (min, max) = (self.settings.min_interval, self.settings.max_interval);
        entry.failures = if pace == Pace::Retry { entry.failures + 1 } else { 0 };
        let wait = match pace {
            Pace::AtOnce | Pace::AccountPause(_) => Duration::ZERO,
            Pace::Active => {
                entry.interval = min;
                min
            }
            Pace::Idle => {
                entry.interval = (entry.interval * 3 / 2).clamp(min, max);
                entry.interval
            }
            Pace::Retry => RETRY.delay(entry.failures, &id.to_string()),
            Pace::Suspended(denials) => SUSPENDED.delay(denials, &id.to_string()),
        };
        if let Some(account) = self.accounts.get_mut(&id.account) {
            account.schedule.set(id.clone(), now.monotonic + wait);
        }
    }

    fn is_full(&self) -> bool {
        self.pending_bytes >= self.settings.max_pending_bytes
    }

    /// When something may be to do without anything happening before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        let poll = |account: &Account| Some(account.schedule.next_due()?.max(account.budget.available_at()?));
        let may_poll = !self.is_full() && !self.draining;
        let poll = self.accounts.values().filter(|_| may_poll).filter_map(poll).min();
        let may_commit = self.committing.is_none() && self.unknown_topics.is_empty();
        let batch = if may_commit { self.batch_due() } else { None };
        poll.into_iter().chain(batch).min()
    }
}
