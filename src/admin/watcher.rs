//! Observes the bridge, and keeps what the admin port reports.

use super::failures::Failures;
use super::health::Health;
use super::metrics::Counted;
use crate::clock::Clock;
use crate::observe::{BridgeEvent, Observer, SessionEnd};
use bridge_core::engine::{Engine, Status, StreamStatus};
use bridge_core::ids::ShardId;
use bridge_core::now::Now;
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The minimum interval between two statuses of the engine.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);
/// The interval is also at least this multiple of the time that a status took, so that it costs at most 1 % of the
/// bridge's time.
const STATUS_COST: u32 = 100;

/// What doesn't change while the process runs.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) replica: String,
    pub(super) sink: &'static str,
    pub(super) shards: NonZeroU32,
    /// The maximum number of streams that have metrics of their own.
    pub(super) stream_metrics: usize,
    pub(super) started_at: DateTime<Utc>,
}

/// Observes the bridge. See the [module](self).
#[derive(Debug)]
pub(super) struct Watcher {
    facts: Facts,
    clock: Clock,
    counted: Counted,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    health: Health,
    opened_at: Duration,
    restore_took: Option<Duration>,
    /// The time at which each shard of this session was assigned.
    restored_at: BTreeMap<ShardId, DateTime<Utc>>,
    owned: Vec<ShardId>,
    status: Option<Arc<Status>>,
    /// The time when the next status is due.
    status_due: Duration,
    failures: Failures,
}

/// Everything that was observed, at one moment.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) facts: Facts,
    pub(super) at: DateTime<Utc>,
    pub(super) ready: Result<(), String>,
    pub(super) session_open: bool,
    /// The reason why the last session ended or couldn't be opened.
    pub(super) last_end: Option<String>,
    pub(super) restore_took: Option<Duration>,
    pub(super) restored_at: BTreeMap<ShardId, DateTime<Utc>>,
    pub(super) owned: Vec<ShardId>,
    /// The age of the commit in flight.
    pub(super) commit_age: Option<Duration>,
    /// The latest status of the engine. Without a session, it is the last one of the previous session.
    pub(super) status: Option<Arc<Status>>,
    pub(super) failures: Failures,
}

impl Snapshot {
    pub(super) fn streams(&self) -> &[StreamStatus] {
        self.status.as_deref().map_or(&[], |status| &status.streams)
    }

    pub(super) fn owns(&self, shard: ShardId) -> bool {
        self.owned.contains(&shard)
    }
}

impl Watcher {
    pub(super) fn new(facts: Facts, counted: Counted) -> Self {
        Self { facts, clock: Clock::start(), counted, seen: Mutex::default() }
    }

    pub(super) fn facts(&self) -> &Facts {
        &self.facts
    }

    pub(super) fn counted(&self) -> &Counted {
        &self.counted
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let now = self.clock.now();
        let seen = self.seen();
        Snapshot {
            facts: self.facts.clone(),
            at: now.wall,
            ready: seen.health.ready(now.monotonic),
            session_open: seen.health.is_open(),
            last_end: seen.health.last_end.clone(),
            restore_took: seen.restore_took,
            restored_at: seen.restored_at.clone(),
            owned: seen.owned.clone(),
            commit_age: seen.health.commit_age(now.monotonic),
            status: seen.status.clone(),
            failures: seen.failures.clone(),
        }
    }

    /// # Errors
    /// The reason why only a restart helps.
    pub(super) fn live(&self) -> Result<(), String> {
        self.seen().health.live(self.clock.now().monotonic)
    }

    /// # Errors
    /// The reason why the replica isn't ready.
    pub(super) fn ready(&self) -> Result<(), String> {
        self.seen().health.ready(self.clock.now().monotonic)
    }

    /// Notes that the process was told to stop.
    pub(super) fn stopping(&self) {
        self.seen().health.stopping();
    }

    /// Stores the newest status of the engine.
    pub(super) fn tell(&self, status: Status) {
        for account in &status.accounts {
            self.counted.account(&account.name);
        }
        self.seen().status = Some(Arc::new(status));
    }

    fn configured(&self, rejected: Option<&str>) {
        self.counted.configured(rejected.is_some());
        if let Some(problems) = rejected {
            self.seen().failures.configuration_rejected(self.clock.now().wall, problems);
        }
    }

    fn opened(&self) {
        let now = self.clock.now().monotonic;
        let mut seen = self.seen();
        seen.health.opened(now);
        (seen.opened_at, seen.restore_took, seen.status_due) = (now, None, Duration::ZERO);
    }

    fn ended(&self, end: &SessionEnd) {
        let at = self.clock.now().wall;
        self.counted.session_ended(end.label());
        let mut seen = self.seen();
        seen.health.ended(end.to_string());
        seen.failures.session_ended(at, end);
        seen.restored_at.clear();
        seen.owned.clear();
    }

    fn turned(&self, engine: &Engine, now: Now) {
        let began = self.clock.now().monotonic;
        let due = {
            let mut seen = self.seen();
            seen.health.turned(began);
            began >= seen.status_due
        };
        if due {
            self.tell(engine.status(now));
            let took = self.clock.now().monotonic.saturating_sub(began);
            self.seen().status_due = began + STATUS_INTERVAL.max(took * STATUS_COST);
        }
    }

    fn assigned(&self, shard: ShardId) {
        let now = self.clock.now();
        let mut seen = self.seen();
        seen.restored_at.insert(shard, now.wall);
        let opened_at = seen.opened_at;
        seen.restore_took.get_or_insert_with(|| now.monotonic.saturating_sub(opened_at));
    }

    fn owns(&self, shards: &[ShardId]) {
        let now = self.clock.now().monotonic;
        let mut seen = self.seen();
        seen.owned = shards.to_vec();
        seen.health.settled(now);
        // The next status has to be of these shards.
        seen.status_due = Duration::ZERO;
    }

    fn commit_ended(&self, outcome: &str) {
        let now = self.clock.now().monotonic;
        let took = self.seen().health.commit_ended(now);
        self.counted.commit_ended(outcome, took.unwrap_or_default());
    }

    /// A task that panicked while it held the lock left nothing half done.
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Watcher {
    fn notify(&self, event: &BridgeEvent<'_>) {
        match event {
            BridgeEvent::Configured { rejected } => self.configured(*rejected),
            BridgeEvent::RuleShrank(account) => self.counted.rule_shrank(account),
            BridgeEvent::SessionOpened => self.opened(),
            BridgeEvent::SessionEnded(end) => self.ended(end),
            BridgeEvent::Turned(engine, now) => self.turned(engine, *now),
            BridgeEvent::Answered { account, outcome, took } => self.counted.answered(account, outcome, *took),
            BridgeEvent::ApiChange { account, change } => self.counted.affected(account, change),
            BridgeEvent::WebhookDelivered(outcome) => self.counted.webhook_delivered(outcome),
            BridgeEvent::Webhooks { account, registered, wanted } => {
                self.counted.webhooks(account, *registered, *wanted);
            }
            BridgeEvent::ShardAssigned(shard, _) => self.assigned(*shard),
            BridgeEvent::OwnershipChanged { shards, .. } => self.owns(shards),
            BridgeEvent::Committing(batch, _) => {
                self.counted.committing(batch);
                self.seen().health.commit_began(self.clock.now().monotonic);
            }
            BridgeEvent::Committed(summary) => {
                self.commit_ended("committed");
                self.counted.committed(summary, self.clock.now().wall);
            }
            BridgeEvent::CommitFailed(error) => {
                self.commit_ended(error.label());
                self.seen().failures.commit_failed(self.clock.now().wall, error);
            }
            BridgeEvent::Stream(place, notice) => {
                self.counted.noticed(&place.stream.account, notice);
                self.seen().failures.noticed(self.clock.now().wall, place, notice);
            }
            BridgeEvent::Account(account, notice) => {
                self.seen().failures.account_noticed(self.clock.now().wall, account, *notice);
            }
            BridgeEvent::Polled { .. } | BridgeEvent::Refresh(_) | BridgeEvent::Restarting { .. } => {}
        }
    }
}
