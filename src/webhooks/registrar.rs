//! Creates, checks and replaces webhooks. For each account it lists all webhooks at an interval, then creates those that are
//! missing and deletes those that are superfluous, one request at a time.

use super::hooks::Hooks;
use super::round::{Mine, Task, judge};
use super::target::Targets;
use crate::asana::{Accounts, Part, Refusal, Webhook};
use crate::bridge::Plan;
use crate::clock::Clock;
use crate::config::CheckedWebhooks;
use crate::fold::{Fold, Line, Over};
use crate::observe::{BridgeEvent, Observer};
use bridge_core::engine::schedule::backoff::Backoff;
use bridge_core::engine::schedule::budget::{Budget, Limit, Share};
use bridge_core::ids::{AccountName, Gid, ShardId, StreamKind};
use bridge_core::now::Now;
use bridge_core::outcome::poll::{Denial, Failure};
use bridge_core::record::placement::shard_of;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The backoff after failures.
const RETRY: Backoff = Backoff { first: Duration::from_secs(5), longest: Duration::from_secs(600) };

/// The pause after streams were added or removed. During a takeover, shards move more than once.
const SETTLE: Duration = Duration::from_secs(3);

/// Maintains the webhooks. See the [module](self).
pub(super) struct Registrar {
    clock: Clock,
    interval: Duration,
    targets: Arc<Targets>,
    hooks: Arc<Hooks>,
    observer: Arc<dyn Observer>,
    accounts: BTreeMap<AccountName, Account>,
}

/// An account and the state of its round.
struct Account {
    source: Arc<Accounts>,
    budget: Budget,
    mine: Mine,
    todo: VecDeque<Task>,
    /// The webhooks that this round has listed so far.
    found: Vec<Webhook>,
    /// The time of the next request.
    due: Duration,
    /// Whether the streams or shards changed since the round began.
    stale: bool,
    /// Whether a request of the round failed.
    failed: bool,
    /// The number of consecutive failures.
    failures: u32,
    /// The number of consecutive rounds with a failure.
    bad_rounds: u32,
    /// What fails, by cause.
    problems: Fold<&'static str, ()>,
    made: usize,
    deleted: usize,
}

/// The result of a request.
enum Answer {
    Workspaces(Part<Gid>),
    Webhooks(Part<Webhook>),
    Done,
}

impl Registrar {
    pub(super) fn new(
        interval: Duration,
        targets: Arc<Targets>,
        hooks: Arc<Hooks>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self { clock: Clock::start(), interval, targets, hooks, observer, accounts: BTreeMap::new() }
    }

    /// Maintains the webhooks of the owned streams in the newest plan, forever.
    pub(super) async fn run(
        mut self,
        mut plans: watch::Receiver<Arc<Plan<Accounts>>>,
        mut owned: watch::Receiver<Vec<ShardId>>,
    ) -> Infallible {
        loop {
            let plan = Arc::clone(&plans.borrow_and_update());
            let shards = owned.borrow_and_update().iter().copied().collect();
            self.follow(&plan, &shards);
            // Until something of it changes.
            loop {
                let next = self.next();
                tokio::select! {
                    Ok(()) = plans.changed() => break,
                    Ok(()) = owned.changed() => break,
                    () = self.clock.sleep_until(next.as_ref().map(|(at, _)| *at)) => {}
                }
                if let Some((_, account)) = next {
                    self.step(&account).await;
                }
            }
        }
    }

    /// Takes a new plan and new owned shards.
    fn follow(&mut self, plan: &Plan<Accounts>, shards: &BTreeSet<ShardId>) {
        let now = self.clock.now();
        let of = plan.settings.shards;
        self.accounts.retain(|name, _| plan.accounts.iter().any(|spec| spec.name == *name));
        for spec in &plan.accounts {
            let all = plan.streams.iter().filter(|stream| stream.id.account == spec.name);
            // A workspace's webhook reports nothing of tasks and stories.
            let can = all.filter(|stream| stream.kind == StreamKind::Resource).map(|stream| &stream.id);
            let can: BTreeSet<_> = can.cloned().collect();
            let all = can.len();
            let streams = can.into_iter().filter(|id| shards.contains(&shard_of(id, of))).collect();
            let mine = Mine { shards: shards.clone(), of: Some(of), streams, all_known: plan.settings.all_known };
            // A little less than the share of the whole account.
            let limit = Limit {
                requests_per_minute: CheckedWebhooks::requests_per_minute(spec.limit.requests_per_minute),
                max_in_flight: NonZeroU16::MIN,
            };
            let share = Share { owned: mine.streams.len().max(1), all: all.max(1) };
            let account =
                self.accounts.entry(spec.name.clone()).or_insert_with(|| Account::new(Arc::clone(&plan.source), limit));
            account.budget.set(now, limit, share);
            account.source = Arc::clone(&plan.source);
            if account.mine != mine {
                account.mine = mine;
                account.changed(now);
            }
        }
        let accounts = &self.accounts;
        self.hooks.retain(|id| accounts.get(&id.account).is_some_and(|account| account.mine.streams.contains(id)));
        self.tell();
    }

    /// The account with the next request, and its time.
    fn next(&self) -> Option<(Duration, AccountName)> {
        // Without shards there is nothing to check.
        let busy = self.accounts.iter().filter(|(_, account)| !account.mine.shards.is_empty());
        let at = busy.filter_map(|(name, account)| Some((account.budget.available_at()?.max(account.due), name)));
        at.min().map(|(at, name)| (at, name.clone()))
    }

    /// Sends the account's next request, if the budget has room.
    async fn step(&mut self, name: &AccountName) {
        let Some(account) = self.accounts.get_mut(name) else { return };
        if account.due > self.clock.now().monotonic || !account.budget.take(self.clock.now()) {
            return;
        }
        let task = account.next_task();
        let began = self.clock.now().monotonic;
        let answer = send(&account.source, name, &task, &self.targets, &self.hooks).await;
        let now = self.clock.now();
        account.budget.finish();
        let outcome = answer.as_ref().map_or_else(Refusal::label, |_| task.label());
        let took = now.monotonic.saturating_sub(began);
        self.observer.notify(&BridgeEvent::Answered { account: name, outcome, took });
        match answer {
            Ok(answer) => account.take(task, answer, &self.targets, &self.hooks),
            Err(refusal) => account.refused(now, name, task, &refusal),
        }
        if account.todo.is_empty() {
            account.end(now, name, self.interval);
        }
        self.tell();
    }

    fn tell(&self) {
        let hooks = self.hooks.streams();
        for (name, account) in &self.accounts {
            let registered = hooks.iter().filter(|id| id.account == *name).count();
            let wanted = account.mine.streams.len();
            self.observer.notify(&BridgeEvent::Webhooks { account: name, registered, wanted });
        }
    }
}

async fn send(
    source: &Accounts,
    account: &AccountName,
    task: &Task,
    targets: &Targets,
    hooks: &Hooks,
) -> Result<Answer, Refusal> {
    let client = source.client(account).map_err(Refusal::Failed)?;
    match task {
        Task::Workspaces(offset) => client.workspaces(offset.as_deref()).await.map(Answer::Workspaces),
        Task::Webhooks(workspace, offset) => client.webhooks(workspace, offset.as_deref()).await.map(Answer::Webhooks),
        Task::Delete(_, gid) => match client.delete_webhook(gid).await {
            // Another replica deleted it first.
            Ok(()) | Err(Refusal::Denied(Denial::NotFound)) => Ok(Answer::Done),
            Err(refusal) => Err(refusal),
        },
        Task::Create(stream) => {
            let (gid, secret) = client.create_webhook(&stream.resource, &targets.url(stream)).await?;
            hooks.insert(stream.clone(), gid, &secret);
            Ok(Answer::Done)
        }
    }
}

impl Account {
    fn new(source: Arc<Accounts>, limit: Limit) -> Self {
        Self {
            source,
            budget: Budget::new(limit),
            mine: Mine::default(),
            todo: VecDeque::new(),
            found: Vec::new(),
            due: Duration::ZERO,
            stale: false,
            failed: false,
            failures: 0,
            bad_rounds: 0,
            problems: Fold::new(Duration::ZERO),
            made: 0,
            deleted: 0,
        }
    }

    /// Continues the current round, and starts another one after it.
    fn changed(&mut self, now: Now) {
        if self.todo.is_empty() {
            self.due = now.monotonic + SETTLE;
        } else {
            self.stale = true;
        }
    }

    /// The next request, without requests for streams that are no longer owned. A round begins with the list of
    /// workspaces.
    fn next_task(&mut self) -> Task {
        while let Some(task) = self.todo.pop_front() {
            if self.mine.wants(&task) {
                return task;
            }
        }
        self.found.clear();
        Task::Workspaces(None)
    }

    fn take(&mut self, task: Task, answer: Answer, targets: &Targets, hooks: &Hooks) {
        match (task, answer) {
            (_, Answer::Workspaces(part)) => {
                self.todo.extend(part.items.into_iter().map(|workspace| Task::Webhooks(workspace, None)));
                self.todo.extend(part.next_offset.map(|offset| Task::Workspaces(Some(offset))));
                self.judge(targets, hooks);
            }
            (Task::Webhooks(workspace, _), Answer::Webhooks(part)) => {
                self.found.extend(part.items);
                if let Some(offset) = part.next_offset {
                    self.todo.push_front(Task::Webhooks(workspace, Some(offset)));
                }
                self.judge(targets, hooks);
            }
            (Task::Delete(..), _) => self.deleted += 1,
            (Task::Create(_), _) => {
                self.made += 1;
                self.failures = 0;
            }
            (Task::Workspaces(_) | Task::Webhooks(..), _) => {}
        }
    }

    /// Decides what to create and delete, once all webhooks are listed.
    fn judge(&mut self, targets: &Targets, hooks: &Hooks) {
        if !self.todo.is_empty() {
            return;
        }
        let known = self.mine.streams.iter().filter_map(|stream| Some((stream.clone(), hooks.gid(stream)?))).collect();
        let (tasks, kept) = judge(&std::mem::take(&mut self.found), &self.mine, &known, targets);
        hooks.retain(|stream| kept.contains(stream) || !self.mine.streams.contains(stream));
        self.todo = tasks.into();
    }

    /// Takes a refusal. Its subject waits for the next round, except after a 429. After several consecutive failures
    /// all other requests wait, too.
    fn refused(&mut self, now: Now, name: &AccountName, task: Task, refusal: &Refusal) {
        const SOME: u32 = 3;
        if let Refusal::Throttled { retry_after } = refusal {
            self.todo.push_front(task);
            if self.budget.pause(now, *retry_after) {
                let seconds = retry_after.as_secs();
                tracing::warn!(account = %name, seconds, "rate limit hit, webhook requests paused");
            }
            return;
        }
        self.failed = true;
        self.failures = self.failures.saturating_add(1);
        let (reason, request) = (refusal.label(), task.label());
        let stream = match &task {
            Task::Delete(stream, _) | Task::Create(stream) => Some(stream.to_string()),
            Task::Workspaces(_) | Task::Webhooks(..) => None,
        };
        let detail = match refusal {
            Refusal::Failed(failure) => detail(failure),
            Refusal::Denied(_) | Refusal::Throttled { .. } => String::new(),
        };
        match self.problems.report(now.monotonic, reason, ()) {
            Some(Line::Begins) => {
                tracing::warn!(account = %name, stream, request, reason, detail,
                    hint = "a stream without a webhook is polled at its interval", "webhook request failed");
            }
            Some(Line::Lasts { count, lasted, .. }) => {
                tracing::warn!(account = %name, stream, request, reason, detail, count, seconds = lasted.as_secs(),
                    "webhook requests still failing");
            }
            None => tracing::debug!(account = %name, stream, request, reason, detail, "webhook request failed again"),
        }
        if task.is_look() {
            self.todo.clear();
        } else if self.failures >= SOME {
            self.due = now.monotonic + RETRY.delay(self.failures - SOME + 1, name.as_str());
        }
    }

    /// Ends the round. The next one begins after the interval, or sooner if something failed or changed.
    fn end(&mut self, now: Now, name: &AccountName, interval: Duration) {
        let (made, deleted) = (std::mem::take(&mut self.made), std::mem::take(&mut self.deleted));
        if made + deleted > 0 {
            tracing::info!(account = %name, created = made, deleted, "webhooks reconciled");
        }
        let (stale, failed) = (std::mem::take(&mut self.stale), std::mem::take(&mut self.failed));
        self.bad_rounds = if failed { self.bad_rounds.saturating_add(1) } else { 0 };
        if !failed {
            self.failures = 0;
            self.problems.recover(now.monotonic, &());
            for (reason, Over { count, lasted }) in self.problems.take_over(now.monotonic) {
                let seconds = lasted.as_secs();
                tracing::info!(account = %name, reason, count, seconds, "webhook requests succeed again");
            }
        }
        let wait = match (failed, stale) {
            (true, _) => RETRY.delay(self.bad_rounds, name.as_str()).min(interval),
            (false, true) => SETTLE.min(interval),
            (false, false) => interval,
        };
        self.due = now.monotonic + wait;
    }
}

/// The failure without any address, because an address is a webhook's secret.
fn detail(failure: &Failure) -> String {
    match failure {
        Failure::Connection(text) | Failure::Malformed(text) | Failure::Credential(text) => text.clone(),
        Failure::Server { status, phrase } => format!("{status} {}", phrase.as_deref().unwrap_or_default()),
        Failure::Gateway { status } => format!("{status}, and not by Asana"),
        Failure::TimedOut => String::new(),
    }
}
