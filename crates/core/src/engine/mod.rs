//! The bridge without its edges: owned shards, their streams, and what is on its way to the bus.
//!
//! A driver feeds it and does what it decides:
//!
//! 1. [`assign`](Engine::assign) and [`revoke`](Engine::revoke) as ownership changes, and
//!    [`reconfigure`](Engine::reconfigure) as the configuration does;
//! 2. [`next_probe`](Engine::next_probe) until it gives nothing more, and each answer back by
//!    [`handle_probe`](Engine::handle_probe); then the same for crawls, by
//!    [`next_crawl_step`](Engine::next_crawl_step) and [`handle_crawl_step`](Engine::handle_crawl_step); then for polls,
//!    which use what the others leave of the budgets, by [`next_poll`](Engine::next_poll) and
//!    [`handle_outcome`](Engine::handle_outcome); and for what is read again, which has a budget of its own, by
//!    [`next_refresh`](Engine::next_refresh) and [`handle_refresh`](Engine::handle_refresh), as long as entries of the refresh log
//!    come by [`note_logged`](Engine::note_logged);
//! 3. when no commit runs: [`next_topic_refresh`](Engine::next_topic_refresh) and, if there is none,
//!    [`take_batch`](Engine::take_batch), and its result by [`committed`](Engine::committed) or
//!    [`aborted`](Engine::aborted);
//! 4. sleep until [`next_deadline`](Engine::next_deadline) or until one of these happens; and
//!    [`request_poll`](Engine::request_poll) when a webhook reports a change on a stream.
//!
//! A stream has one page under way at the most, from its poll to its commit: the next token is used only when what came
//! with it is on the bus, since Asana may refuse to go back. Beside it the stream's crawl has one step under way at the
//! most.

mod accounts;
#[cfg(test)]
mod bench;
mod commit;
mod crawls;
mod forms;
mod owned;
mod pending;
mod polls;
mod probes;
mod queue;
mod refresh;
mod requests;
pub mod schedule;
mod settings;
mod staging;
mod status;
mod topics;
mod watermarks;

use crate::checkpoint::ShardState;
use crate::crawl::known;
use crate::ids::{AccountName, ShardId, StreamId};
use crate::now::Now;
use crate::record::Prepared;
use crate::record::batch::BatchLimits;
use crate::record::placement::shard_of;
use crate::stream::{Notice, State, Stream};
pub use accounts::{AccountNotice, Probe};
use accounts::{Accounts, Terms};
use bridge_contract::pb::{self, record::Body};
use chrono::DateTime;
pub use commit::summary::{CommitSummary, CommittedPage};
pub use crawls::{CrawlAnswer, CrawlStep, Lookup, Step};
use owned::{Entry, Shard};
use pending::{Change, Pending};
pub use polls::Poll;
use queue::Queue;
use refresh::Refreshing;
pub use refresh::{RefreshNotice, RefreshRead, RefreshRequest, RefreshStatus};
use schedule::backoff::Backoff;
use schedule::budget::Share;
pub use settings::{AccountSpec, CrawlSettings, Settings, StateSettings, StreamSpec};
pub use status::{AccountStatus, CrawlStatus, Phase, ShardStatus, Status, StreamPlace, StreamStatus, token_left};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;
use topics::OutputTopics;
pub use topics::{TopicFailure, TopicVerdict};

/// How often all of a shard's checkpoint is written, whether it changed or not: a JetStream stream with a `max_age`
/// forgets what is older (before nats-server 2.11 the checkpoint, too), and the least that is allowed is 2 days.
const REFRESH: Backoff = Backoff { first: Duration::from_secs(6 * 3600), longest: Duration::from_secs(6 * 3600) };

/// Within this time the streams of a new shard are due.
const FIRST_POLLS: Duration = Duration::from_millis(100);
/// What Asana gives a sync token at the most.
const TOKEN_LIFE: Duration = Duration::from_secs(24 * 3600);

/// See the [module](self).
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    limits: BatchLimits,
    topics: OutputTopics,
    queue: Queue,
    /// A configuration that came while a commit was under way. It counts from the commit's end.
    next_configuration: Option<Configuration>,
    accounts: Accounts,
    specs: BTreeMap<ShardId, Vec<StreamSpec>>,
    shards: BTreeMap<ShardId, Shard>,
    streams: BTreeMap<StreamId, Entry>,
    refresh: Refreshing,
    /// Number of requests and pages so far: each has its own.
    requests: u64,
    draining: bool,
}

/// All that [`Engine::reconfigure`] changes.
#[derive(Debug)]
struct Configuration {
    settings: Settings,
    accounts: Vec<AccountSpec>,
    streams: Vec<StreamSpec>,
}

impl Engine {
    /// An engine that owns nothing yet.
    #[must_use]
    pub fn new(settings: Settings, limits: BatchLimits, accounts: &[AccountSpec], streams: &[StreamSpec]) -> Self {
        let refresh = Refreshing::new(settings.state.pace);
        let mut engine = Self {
            accounts: Accounts::default(),
            specs: by_shard(streams, settings.shards),
            settings,
            limits,
            topics: OutputTopics::default(),
            queue: Queue::default(),
            next_configuration: None,
            shards: BTreeMap::new(),
            streams: BTreeMap::new(),
            refresh,
            requests: 0,
            draining: false,
        };
        let beginning = Now { monotonic: Duration::ZERO, wall: DateTime::UNIX_EPOCH };
        engine.set_accounts(beginning, accounts);
        engine.configure_refresh(beginning, false);
        engine
    }

    /// This replica owns the shard and its streams from now on.
    pub fn assign(&mut self, now: Now, shard: ShardId, state: ShardState) {
        self.revoke(now, &[shard]);
        let ShardState { counters, empty, refresh_place, streams, recreated_at } = state;
        // The owner before may have known of lanes that were added since this replica checked.
        for topic in counters.topics() {
            self.topics.require(now, topic);
        }
        let watermark_at = now.monotonic + self.settings.watermark_interval;
        let refresh_at = now.monotonic + REFRESH.delay(1, &shard.to_string());
        let owned = Shard {
            counters,
            header_due: true,
            empty,
            refresh_place,
            refresh_at,
            parked: streams,
            recreated_at,
            watermark_at,
        };
        self.shards.insert(shard, owned);
        self.refresh_shard(now, shard);
        self.share_refreshes(now);
        self.hasten_opening(now, shard);
        self.add_streams(now, shard);
        self.end_parked(now, shard);
    }

    /// Shards have another owner: what waits for a commit is dropped, and the new owner polls it again. If a commit is
    /// under way, its result doesn't count for these shards.
    pub fn revoke(&mut self, now: Now, shards: &[ShardId]) {
        for shard in shards {
            self.queue.forget_staged(*shard);
            self.forget_refreshes(*shard);
            if self.shards.remove(shard).is_some() {
                for spec in self.specs.get(shard).cloned().unwrap_or_default() {
                    self.remove_stream(now, &spec.id);
                }
            }
        }
        self.share_refreshes(now);
        self.drop_orphans();
    }

    /// The configuration is this from now on; while a commit is under way, from its end on. The number of shards, the
    /// topic and the replica's name must be as they were.
    pub fn reconfigure(&mut self, now: Now, settings: Settings, accounts: &[AccountSpec], streams: &[StreamSpec]) {
        let configuration = Configuration { settings, accounts: accounts.to_vec(), streams: streams.to_vec() };
        if self.queue.is_idle() {
            self.configure(now, &configuration);
        } else {
            self.next_configuration = Some(configuration);
        }
    }

    fn configure(&mut self, now: Now, configuration: &Configuration) {
        let Configuration { settings, accounts, streams } = configuration;
        let before = std::mem::replace(&mut self.specs, by_shard(streams, settings.shards));
        let refreshed_before = self.settings.state.is_on();
        self.settings = settings.clone();
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
        self.configure_refresh(now, refreshed_before);
        for shard in &owned {
            self.add_streams(now, *shard);
        }
        self.drop_orphans();
        for shard in owned {
            self.hasten_opening(now, shard);
            self.end_parked(now, shard);
        }
    }

    /// The configured streams of an owned shard are polled.
    fn add_streams(&mut self, now: Now, shard: ShardId) {
        for spec in self.specs.get(&shard).cloned().unwrap_or_default() {
            if let Some(entry) = self.streams.get_mut(&spec.id) {
                entry.kind = spec.kind;
            } else if let Some(shard) = self.shards.get_mut(&shard) {
                let stored = shard.parked.remove(&spec.id);
                let committed = shard.begin(now, stored);
                self.add_stream(now, &spec, committed);
            }
        }
    }

    /// Publishes of each stream that isn't polled any more that it has ended.
    fn end_parked(&mut self, now: Now, shard: ShardId) {
        let parked = self.shards.get(&shard).filter(|_| self.settings.all_known).map(|shard| &shard.parked);
        let mut ended: Vec<_> =
            parked.into_iter().flatten().filter(|(_, it)| !it.ended).map(|(id, _)| id.clone()).collect();
        ended.retain(|id| !self.queue.all().any(|pending| pending.id == *id));
        for id in ended {
            self.requests += 1;
            let trace = self.settings.trace(self.requests, now.wall);
            let ended = Body::StreamEnded(pb::StreamEnded {});
            let announcement = Prepared::of_stream(&ended, &id, now.wall, self.settings.encodings.events);
            let pending = Pending {
                topics: self.topics_of_stream(&id, shard),
                announcement: Some(announcement),
                notice: Some(Notice::Ended),
                known: vec![known::Change::Clear],
                ..Pending::new(now, shard, id, Change::Ended, trace)
            };
            self.wait(now, pending);
        }
    }

    /// The accounts whose budgets a stream needs: its own, and the one for crawls.
    fn payers<'a>(&'a self, id: &'a StreamId) -> impl Iterator<Item = &'a AccountName> {
        let crawls = self.settings.crawl.account.as_ref().filter(|name| **name != id.account);
        std::iter::once(&id.account).chain(crawls)
    }

    /// Each account's limit, and how many streams it has.
    fn set_accounts(&mut self, now: Now, accounts: &[AccountSpec]) {
        let count = |ids: &mut dyn Iterator<Item = &StreamId>| {
            let mut counts: BTreeMap<AccountName, usize> = BTreeMap::new();
            for name in ids.flat_map(|id| self.payers(id)) {
                *counts.entry(name.clone()).or_default() += 1;
            }
            counts
        };
        let all = count(&mut self.specs.values().flatten().map(|spec| &spec.id));
        let owned = count(&mut self.streams.keys());
        let polled: BTreeSet<_> = self.specs.values().flatten().map(|spec| spec.id.account.clone()).collect();
        let percent = self.settings.crawl.budget_percent;
        let refresh_percent = if self.settings.state.is_on() { self.settings.state.budget_percent.min(90) } else { 0 };
        let refresh_share = self.refresh_share();
        self.accounts.set(now, accounts, self.settings.intervals(), |AccountSpec { name, limit }| {
            let rest = if refresh_percent == 0 { *limit } else { limit.part(100 - refresh_percent) };
            let of = |counts: &BTreeMap<AccountName, usize>| counts.get(name).copied().unwrap_or_default();
            // An account that polls nothing is for crawls alone.
            let percent = if polled.contains(name) { percent } else { 100 };
            Terms {
                limit: rest,
                crawl_limit: rest.part(percent),
                share: Share { owned: of(&owned), all: of(&all) },
                refresh_limit: limit.part(refresh_percent),
                refresh_share,
            }
        });
    }

    /// Gids spread over all shards, so this replica reads again as large a part of them as it has of the shards.
    fn refresh_share(&self) -> Share {
        let owned = if self.settings.state.is_on() { self.shards.len() } else { 0 };
        Share { owned, all: self.settings.shards.get() as usize }
    }

    fn share_refreshes(&mut self, now: Now) {
        self.accounts.share_refreshes(now, self.refresh_share());
    }

    fn change_share(&mut self, now: Now, id: &StreamId, change: impl Fn(usize) -> usize) {
        let payers: Vec<_> = self.payers(id).cloned().collect();
        for payer in payers {
            self.accounts.change_owned(now, &payer, &change);
        }
    }

    /// The stream is this replica's, and brings its part of the account's budget.
    fn add_stream(&mut self, now: Now, spec: &StreamSpec, mut committed: Stream) {
        if let Some(live) = committed.state.live_mut() {
            // By its owner before, or by this one, whose answer is for nobody.
            live.maybe_asked = true;
        }
        self.change_share(now, &spec.id, |owned| owned + 1);
        if let Some(account) = self.accounts.get_mut(&spec.id.account) {
            account.add(&spec.id, &committed.rate());
        }
        let entry = Entry::new(now, spec, committed);
        self.streams.insert(spec.id.clone(), entry);
        if !self.is_closed(shard_of(&spec.id, self.settings.shards)) {
            self.schedule_first_poll(now, &spec.id);
        }
        self.schedule_crawl(now, &spec.id);
    }

    /// The stream is due within [`FIRST_POLLS`]. The budget may take minutes for all of them, so who wasn't polled for
    /// longest goes first.
    fn schedule_first_poll(&mut self, now: Now, id: &StreamId) {
        let Some(committed) = self.streams.get(id).map(|entry| &entry.committed) else { return };
        let Some(account) = self.accounts.get_mut(&id.account) else { return };
        let unpolled = committed.live().map(|live| now.wall - live.last_complete_poll_at);
        let unpolled = unpolled.map_or(TOKEN_LIFE, |time| time.to_std().unwrap_or_default());
        let turn = FIRST_POLLS.mul_f64(1.0 - unpolled.div_duration_f64(TOKEN_LIFE).min(1.0));
        let due = now.monotonic + turn;
        match committed.state {
            State::Suspended { .. } => account.schedule_yielding_poll(id, due),
            State::Establish | State::Live(_) => account.schedule_poll(id, due),
        }
    }

    fn remove_stream(&mut self, now: Now, id: &StreamId) -> Option<Stream> {
        let entry = self.streams.remove(id)?;
        self.change_share(now, id, |owned| owned.saturating_sub(1));
        self.accounts.forget(id);
        Some(entry.committed)
    }

    /// Drops what waits of streams that this replica doesn't have any more.
    fn drop_orphans(&mut self) {
        let Self { streams, shards, queue, .. } = self;
        queue.retain(|pending| match pending.change {
            Change::Ended => shards.contains_key(&pending.shard) && !streams.contains_key(&pending.id),
            Change::Polled { .. } | Change::Crawl(_) => streams.contains_key(&pending.id),
        });
    }

    /// Nothing is polled for a while, and what the budgets saved up is gone.
    pub fn pause_polls(&mut self, now: Now, pause: Duration) {
        self.accounts.pause_all(now, pause);
    }

    /// Nothing more is polled, and what waits is committed at once.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// The shards and the number of streams that this replica has.
    #[must_use]
    pub fn owned(&self) -> (Vec<ShardId>, usize) {
        (self.shards.keys().copied().collect(), self.streams.len())
    }

    fn is_full(&self) -> bool {
        self.queue.bytes() >= self.settings.max_pending_bytes
    }

    /// When something may be to do without anything happening before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        let poll = self.accounts.next_poll_at().filter(|_| !self.is_full() && !self.draining);
        let is_free = self.queue.is_idle() && !self.topics.is_refreshing();
        let batch = if is_free && self.may_commit() { self.batch_due() } else { None };
        let topic = self.topics.next_due().filter(|_| is_free);
        let probe = self.accounts.next_probe_at().filter(|_| !self.draining);
        poll.into_iter()
            .chain(probe)
            .chain(self.next_crawl_deadline())
            .chain(self.next_refresh_deadline())
            .chain(batch)
            .chain(topic)
            .min()
    }
}

fn by_shard(streams: &[StreamSpec], shards: NonZeroU32) -> BTreeMap<ShardId, Vec<StreamSpec>> {
    let mut specs: BTreeMap<ShardId, Vec<StreamSpec>> = BTreeMap::new();
    for spec in streams {
        specs.entry(shard_of(&spec.id, shards)).or_default().push(spec.clone());
    }
    specs
}
