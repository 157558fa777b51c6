//! The bridge without its edges: owned shards, their streams, and what is on its way to the bus.
//!
//! A driver feeds it and does what it says:
//!
//! 1. [`assign`](Engine::assign) and [`revoke`](Engine::revoke) as ownership changes, and
//!    [`reconfigure`](Engine::reconfigure) as the configuration does;
//! 2. [`next_poll`](Engine::next_poll) until it gives nothing more, and each outcome back by
//!    [`handle_outcome`](Engine::handle_outcome);
//! 3. when no commit runs: [`topic_to_look_at`](Engine::topic_to_look_at) until there is none, then
//!    [`take_batch`](Engine::take_batch), and its result by [`committed`](Engine::committed) or
//!    [`aborted`](Engine::aborted);
//! 4. sleep until [`next_deadline`](Engine::next_deadline) or until one of these happens.
//!
//! A stream has one page under way at the most, from its poll to its commit: the next token is used
//! only when what came with it is on the bus, since Asana may refuse to go back.

use super::backoff::Backoff;
use super::batch::{Batch, OutputTopic};
use super::budget::{Budget, Limit, Share};
use super::checkpoint::ShardState;
use super::ids::{AccountName, ShardId, StreamId, StreamKind, SyncToken, Topic};
use super::now::Now;
use super::page::PollOutcome;
use super::placement::shard_of;
use super::record::Prepared;
use super::schedule::Schedule;
use super::sequence::Counters;
use super::staging::{ShardWatermark, Staged, Topics, stage};
use super::stream::{Effects, Notice, Pace, State, Stream};
use super::topic::TopicTemplate;
use super::trace::Trace;
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU32;
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
    /// How often each lane is told up to when it is complete; never if it is zero.
    pub watermark_interval: Duration,
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
    /// Over all replicas.
    pub limit: Limit,
}

/// A stream to poll.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
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

/// How often it is looked whether an output topic still is as it was: partitions may be added.
const TOPIC_CHECK_INTERVAL: Duration = Duration::from_secs(30);
/// How soon a topic is looked at again that couldn't be looked at.
const TOPIC_RETRY: Duration = Duration::from_secs(1);

/// Within this time the streams of a new shard are due.
const FIRST_POLLS: Duration = Duration::from_millis(100);
/// What Asana gives a sync token at the most.
const TOKEN_LIFE: Duration = Duration::from_secs(24 * 3600);

/// See the [module](self).
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    batch_messages: usize,
    topics: Topics,
    /// When each topic is to be looked at.
    looks: BTreeMap<Topic, Look>,
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

#[derive(Clone, Copy, Debug)]
struct Look {
    due: Duration,
    /// Nothing is committed before.
    required: bool,
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
    /// Streams with a checkpoint that aren't configured. They go on from it if they come back.
    parked: BTreeMap<StreamId, Stream>,
    watermark_at: Duration,
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
    pub(crate) trace: Trace,
    notice: Option<Notice>,
    pace: Pace,
    bytes: usize,
    arrived: Duration,
}

impl Engine {
    /// An engine that owns nothing yet.
    #[must_use]
    pub fn new(settings: Settings, batch_messages: usize, accounts: &[AccountSpec], streams: &[StreamSpec]) -> Self {
        let mut engine = Self {
            accounts: BTreeMap::new(),
            specs: by_shard(streams, settings.shards),
            settings,
            batch_messages,
            topics: Topics::new(),
            looks: BTreeMap::new(),
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
        };
        engine.set_accounts(Now { monotonic: Duration::ZERO, wall: DateTime::UNIX_EPOCH }, accounts);
        engine
    }

    /// A shard is this replica's now, and so are its streams.
    pub fn assign(&mut self, now: Now, shard: ShardId, state: ShardState) {
        self.revoke(now, &[shard]);
        // The owner before may have known of lanes that were added since this replica looked.
        for look in self.looks.values_mut() {
            *look = Look { due: now.monotonic, required: true };
        }
        let ShardState { counters, mut streams } = state;
        for spec in self.specs.get(&shard).cloned().unwrap_or_default() {
            let committed = streams.remove(&spec.id).unwrap_or_default();
            self.add_stream(now, spec, committed);
        }
        let watermark_at = now.monotonic + self.settings.watermark_interval;
        self.shards.insert(shard, Shard { counters, header_due: true, parked: streams, watermark_at });
    }

    /// Shards are somebody else's: what waits for a commit is dropped, and will be polled again there.
    /// Not while a commit runs: wait for its result first.
    pub fn revoke(&mut self, now: Now, shards: &[ShardId]) {
        debug_assert!(self.committing.is_none(), "a commit runs");
        for shard in shards {
            if self.shards.remove(shard).is_some() {
                for spec in self.specs.get(shard).cloned().unwrap_or_default() {
                    self.remove_stream(now, &spec.id);
                }
            }
        }
        self.drop_orphans();
    }

    /// The configuration is this from now on. The number of shards, the topic and the replica's name must be as
    /// they were. Not while a commit runs: wait for its result first.
    pub fn reconfigure(&mut self, now: Now, settings: Settings, accounts: &[AccountSpec], streams: &[StreamSpec]) {
        debug_assert!(self.committing.is_none(), "a commit runs");
        let before = std::mem::replace(&mut self.specs, by_shard(streams, settings.shards));
        self.settings = settings;
        let stays: BTreeSet<_> = streams.iter().map(|spec| &spec.id).collect();
        let owned: Vec<_> = self.shards.keys().copied().collect();
        for shard in &owned {
            for spec in before.get(shard).into_iter().flatten().filter(|spec| !stays.contains(&spec.id)) {
                let removed = self.remove_stream(now, &spec.id);
                if let (Some(stream), Some(shard)) = (removed, self.shards.get_mut(shard)) {
                    shard.parked.insert(spec.id.clone(), stream);
                }
            }
        }
        self.set_accounts(now, accounts);
        for shard in &owned {
            for spec in self.specs.get(shard).cloned().unwrap_or_default() {
                if let Some(entry) = self.streams.get_mut(&spec.id) {
                    entry.kind = spec.kind;
                } else if let Some(shard) = self.shards.get_mut(shard) {
                    let committed = shard.parked.remove(&spec.id).unwrap_or_default();
                    self.add_stream(now, spec, committed);
                }
            }
        }
        self.drop_orphans();
    }

    /// Each account's limit, and how many streams it has.
    fn set_accounts(&mut self, now: Now, accounts: &[AccountSpec]) {
        let mut all: BTreeMap<&AccountName, usize> = BTreeMap::new();
        for spec in self.specs.values().flatten() {
            *all.entry(&spec.id.account).or_default() += 1;
        }
        self.accounts.retain(|name, _| accounts.iter().any(|spec| spec.name == *name));
        for AccountSpec { name, limit } in accounts {
            let all = all.get(name).copied().unwrap_or_default();
            let account = self
                .accounts
                .entry(name.clone())
                .or_insert_with(|| Account { budget: Budget::new(*limit), schedule: Schedule::default() });
            account.budget.set(now, *limit, Share { all, ..account.budget.share() });
        }
    }

    /// The stream is this replica's, and brings its part of the account's budget. It is due within
    /// [`FIRST_POLLS`]: the budget may take minutes for all of them, so who wasn't polled for longest goes first.
    fn add_stream(&mut self, now: Now, spec: StreamSpec, committed: Stream) {
        if let Some(account) = self.accounts.get_mut(&spec.id.account) {
            let Share { owned, all } = account.budget.share();
            account.budget.set_share(now, Share { owned: owned + 1, all });
            let unpolled = committed.live().map(|live| now.wall - live.last_complete_poll_at);
            let unpolled = unpolled.map_or(TOKEN_LIFE, |time| time.to_std().unwrap_or_default());
            let turn = FIRST_POLLS.mul_f64(1.0 - unpolled.div_duration_f64(TOKEN_LIFE).min(1.0));
            account.schedule.set(spec.id.clone(), now.monotonic + turn);
        }
        let interval = self.settings.min_interval;
        let entry = Entry { kind: spec.kind, committed, polling: None, interval, failures: 0 };
        self.streams.insert(spec.id, entry);
    }

    fn remove_stream(&mut self, now: Now, id: &StreamId) -> Option<Stream> {
        let entry = self.streams.remove(id)?;
        if let Some(account) = self.accounts.get_mut(&id.account) {
            let Share { owned, all } = account.budget.share();
            account.budget.set_share(now, Share { owned: owned - 1, all });
            account.schedule.remove(id);
        }
        Some(entry.committed)
    }

    /// Forgets pages of streams that this replica doesn't have any more.
    fn drop_orphans(&mut self) {
        self.waiting.retain(|pending| self.streams.contains_key(&pending.id));
        self.waiting_records = self.waiting.iter().map(|pending| pending.records.len()).sum();
        self.pending_bytes = self.waiting.iter().map(|pending| pending.bytes).sum();
    }

    /// Nothing is polled for a while, and what the budgets saved up is gone.
    pub fn pause_polls(&mut self, now: Now, pause: Duration) {
        for account in self.accounts.values_mut() {
            account.budget.pause(now, pause);
        }
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
            want(&mut self.looks, now, topic);
        }
        let (id, arrived) = (id.clone(), now.monotonic);
        self.waiting.push_back(Pending {
            shard,
            id,
            next,
            gap_topics,
            records,
            received_at,
            trace: Trace::new(&self.settings.replica, poll.number, now.wall),
            notice,
            pace,
            bytes,
            arrived,
        });
        None
    }

    /// A topic that has to be known before what waits can become a batch, or that may have changed.
    #[must_use]
    pub fn topic_to_look_at(&self, now: Now) -> Option<Topic> {
        let mut due = self.looks.iter().filter(|(_, look)| look.due <= now.monotonic);
        due.next().map(|(topic, _)| topic.clone())
    }

    /// Makes a topic known, or known anew. How it was before.
    pub fn set_topic(&mut self, now: Now, topic: Topic, known: OutputTopic) -> Option<OutputTopic> {
        self.looks.insert(topic.clone(), Look { due: now.monotonic + TOPIC_CHECK_INTERVAL, required: false });
        self.topics.insert(topic, known)
    }

    /// A topic couldn't be looked at. Whether it is known from before, and looked at again after a while.
    pub fn keep_topic(&mut self, now: Now, topic: &Topic) -> bool {
        if let Some(look) = self.looks.get_mut(topic) {
            look.due = now.monotonic + TOPIC_RETRY;
        }
        self.topics.contains_key(topic)
    }

    fn may_commit(&self) -> bool {
        self.committing.is_none() && self.looks.values().all(|look| !look.required)
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
        if !self.may_commit() || self.batch_due()? > now.monotonic {
            return None;
        }
        let room = self.batch_messages.min(self.settings.max_records);
        let mut taken = Vec::new();
        let mut messages = 0;
        while let Some(pending) = self.waiting.front() {
            // Each stream adds a checkpoint.
            messages += pending.records.len() + 1;
            if messages > room && !taken.is_empty() {
                break;
            }
            let Some(pending) = self.waiting.pop_front() else { break };
            self.waiting_records -= pending.records.len();
            taken.push(pending);
        }
        let watermarks = self.take_watermarks(now, room.saturating_sub(messages));
        if taken.is_empty() && watermarks.is_empty() {
            return None;
        }
        let (staged, batch) = stage(taken, &watermarks, &self.shards, &self.topics, &self.settings, now.wall);
        self.committing = Some(staged);
        Some(batch)
    }

    /// The watermarks that are due and whose topics are known, as many as there is room for, or one.
    fn take_watermarks(&mut self, now: Now, room: usize) -> Vec<ShardWatermark> {
        let is_due = |(_, shard): &(&ShardId, &Shard)| self.watermark_due(shard).is_some_and(|at| at <= now.monotonic);
        let due: Vec<_> = self.shards.iter().filter(is_due).map(|(shard, _)| *shard).collect();
        let (mut watermarks, mut messages) = (Vec::new(), 0);
        for shard in due {
            let topics = self.topics_of(shard);
            if topics.iter().any(|topic| !self.topics.contains_key(topic)) {
                for topic in &topics {
                    want(&mut self.looks, now, topic);
                }
                continue;
            }
            let lanes = |topic| self.topics.get(topic).map_or(0, |known| known.lanes.get() as usize);
            messages += topics.iter().map(lanes).sum::<usize>() + topics.len();
            if messages > room && !watermarks.is_empty() {
                break;
            }
            let complete_up_to = self.complete_up_to(now, shard);
            if let Some(shard) = self.shards.get_mut(&shard) {
                shard.watermark_at = now.monotonic + self.settings.watermark_interval;
            }
            if !topics.is_empty() {
                watermarks.push(ShardWatermark { shard, complete_up_to, topics });
            }
        }
        watermarks
    }

    fn watermark_due(&self, shard: &Shard) -> Option<Duration> {
        (!self.draining && !self.settings.watermark_interval.is_zero()).then_some(shard.watermark_at)
    }

    /// The topics that consumers look for the shard's records in.
    fn topics_of(&self, shard: ShardId) -> Vec<Topic> {
        let template = &self.settings.topic;
        let specs = self.specs.get(&shard).map_or(&[][..], Vec::as_slice);
        let written = self.shards.get(&shard).into_iter().flat_map(|shard| shard.counters.topics());
        let written = written.filter(|topic| specs.iter().any(|spec| template.may_give(&spec.id, topic)));
        written.chain(template.only_topic()).cloned().collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The time at or after which each of the shard's streams that can be polled was polled to its end. What
    /// is committed counts, so that all of it is on the bus.
    fn complete_up_to(&self, now: Now, shard: ShardId) -> DateTime<Utc> {
        let streams = self.specs.get(&shard).into_iter().flatten().filter_map(|spec| self.streams.get(&spec.id));
        let polled = streams.filter_map(|entry| match &entry.committed.state {
            State::Live(live) => Some(live.last_complete_poll_at),
            State::Establish | State::Suspended { .. } => None,
        });
        polled.min().unwrap_or(now.wall)
    }

    /// When the next batch is to be taken, if there is something for it.
    fn batch_due(&self) -> Option<Duration> {
        let at_once = self.draining
            || self.is_full()
            || self.waiting_records >= self.settings.max_records.min(self.batch_messages);
        let linger = if at_once { Duration::ZERO } else { self.settings.linger };
        let pages = self.waiting.front().map(|oldest| oldest.arrived + linger);
        let watermark = self.shards.values().filter_map(|shard| self.watermark_due(shard)).min();
        let due = pages.into_iter().chain(watermark).min()?;
        Some(due.max(self.not_before))
    }

    /// The batch is on the bus: its states count, and its streams may be polled again.
    pub fn committed(&mut self, now: Now) -> CommitSummary {
        let Some(staged) = self.committing.take() else { return CommitSummary::default() };
        self.aborts = 0;
        let mut summary = CommitSummary { messages: staged.messages, ..CommitSummary::default() };
        for (shard, counters) in staged.counters {
            if let Some(shard) = self.shards.get_mut(&shard) {
                shard.counters = counters;
                shard.header_due = false;
            }
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
        let batch = if self.may_commit() { self.batch_due() } else { None };
        let look = self.looks.values().map(|look| look.due).min().filter(|_| self.committing.is_none());
        poll.into_iter().chain(batch).chain(look).min()
    }
}

/// Has a topic looked at that isn't known.
fn want(looks: &mut BTreeMap<Topic, Look>, now: Now, topic: &Topic) {
    if !looks.contains_key(topic) {
        looks.insert(topic.clone(), Look { due: now.monotonic, required: true });
    }
}

fn by_shard(streams: &[StreamSpec], shards: NonZeroU32) -> BTreeMap<ShardId, Vec<StreamSpec>> {
    let mut specs: BTreeMap<ShardId, Vec<StreamSpec>> = BTreeMap::new();
    for spec in streams {
        specs.entry(shard_of(&spec.id, shards)).or_default().push(spec.clone());
    }
    specs
}
