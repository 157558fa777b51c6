//! What waits for its commit, and the commit that is under way.
//!
//! ```text
//!         topics known                   take, begin              committed
//! push ───────────────────► ready ───────────────────► committing ─────────► out
//!   │                        ▲ ▲                           │
//!   └──► held ───────────────┘ └───────────────────────────┘
//!             topics known               aborted
//! ```
//!
//! One commit is under way at most: while it is, [`take`](Queue::take) returns nothing, and only its result ends it.

use super::pending::Pending;
use super::refresh::Ready as Read;
use super::refresh::progress::Statement;
use super::schedule::backoff::Backoff;
use super::staging::Staged;
use super::topics::OutputTopics;
use crate::ids::{ShardId, StreamId};
use crate::now::Now;
use crate::record::trace::Trace;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// The delays after aborted commits.
const ABORTED: Backoff = Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(10) };

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// All their topics are known.
    ready: Ready,
    /// Of each stream, what waits for a topic that isn't known, and all that came after it.
    held: BTreeMap<StreamId, VecDeque<Pending>>,
    /// Size of what is ready, held or being committed, in bytes.
    bytes: usize,
    commit: Commit,
    /// Aborted commits in a row.
    aborts: u32,
    /// When the last commit began.
    began: Option<Duration>,
    /// The next commit doesn't begin before this time.
    not_before: Duration,
}

/// What is ready, the oldest first, and sums over it.
#[derive(Debug, Default)]
struct Ready {
    pending: VecDeque<Pending>,
    records: usize,
    /// Number of pages whose streams have more waiting at Asana.
    with_more: usize,
    /// Number of pages that only bring a new token.
    quiet: usize,
}

impl Ready {
    fn push_back(&mut self, pending: Pending) {
        self.count(&pending);
        self.pending.push_back(pending);
    }

    fn push_front(&mut self, pending: Pending) {
        self.count(&pending);
        self.pending.push_front(pending);
    }

    fn pop_front(&mut self) -> Option<Pending> {
        let pending = self.pending.pop_front()?;
        self.records -= pending.records.len();
        self.with_more -= usize::from(pending.has_more());
        self.quiet -= usize::from(pending.is_quiet());
        Some(pending)
    }

    fn retain(&mut self, is_kept: impl Fn(&Pending) -> bool) {
        let before = std::mem::take(self).pending;
        before.into_iter().filter(is_kept).for_each(|pending| self.push_back(pending));
    }

    fn count(&mut self, pending: &Pending) {
        self.records += pending.records.len();
        self.with_more += usize::from(pending.has_more());
        self.quiet += usize::from(pending.is_quiet());
    }
}

#[derive(Debug, Default)]
enum Commit {
    #[default]
    Idle,
    Running(Box<Staged>),
}

/// How soon what is ready is committed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CommitPace {
    /// The shortest time between the beginnings of two commits. It would slow down a stream that has more waiting, so it
    /// doesn't count for one.
    pub(super) interval: Duration,
    /// How long pages that only bring a new token wait for others.
    pub(super) quiet_wait: Duration,
}

impl Queue {
    /// Puts it behind all that waits. If one of its topics isn't known, it holds up only its own stream.
    pub(super) fn push(&mut self, pending: Pending, topics: &OutputTopics) {
        self.bytes += pending.bytes;
        self.enqueue(pending, topics);
    }

    /// More topics are known: moves what waited only for them to what is ready.
    pub(super) fn release(&mut self, topics: &OutputTopics) {
        for pending in std::mem::take(&mut self.held).into_values().flatten() {
            self.enqueue(pending, topics);
        }
    }

    fn enqueue(&mut self, pending: Pending, topics: &OutputTopics) {
        if topics.knows_all_of(&pending) && !self.held.contains_key(&pending.id) {
            self.ready.push_back(pending);
        } else {
            self.held.entry(pending.id.clone()).or_default().push_back(pending);
        }
    }

    /// Takes the oldest that are ready, up to `room` messages by their `weight`, but at least one. `None` while a
    /// commit is under way.
    pub(super) fn take(&mut self, room: usize, weight: impl Fn(&Pending) -> usize) -> Option<Vec<Pending>> {
        let Commit::Idle = self.commit else { return None };
        let (mut taken, mut messages) = (Vec::new(), 0);
        while let Some(pending) = self.ready.pending.front() {
            messages += weight(pending);
            if messages > room && !taken.is_empty() {
                break;
            }
            let Some(pending) = self.ready.pop_front() else { break };
            taken.push(pending);
        }
        Some(taken)
    }

    /// The commit of what was taken begins.
    pub(super) fn begin(&mut self, now: Now, staged: Staged) {
        self.began = Some(now.monotonic);
        self.commit = Commit::Running(Box::new(staged));
    }

    /// The commit has succeeded. Returns what counts from now on.
    pub(super) fn committed(&mut self) -> Option<Staged> {
        let staged = self.end_commit()?;
        self.aborts = 0;
        self.bytes -= staged.bytes();
        Some(staged)
    }

    /// The commit has failed and wrote nothing: what it had taken goes back to its place, and waits for a delay.
    /// Returns what was read again and the statements, for whom keeps them.
    pub(super) fn aborted(&mut self, now: Now, replica: &str) -> (Vec<Read>, Vec<Statement>) {
        let Some(staged) = self.end_commit() else { return (Vec::new(), Vec::new()) };
        self.aborts += 1;
        self.not_before = now.monotonic + ABORTED.delay(self.aborts, replica);
        for (pending, ..) in staged.pending.into_iter().rev() {
            self.ready.push_front(pending);
        }
        (staged.ready, staged.statements)
    }

    fn end_commit(&mut self) -> Option<Staged> {
        match std::mem::take(&mut self.commit) {
            Commit::Running(staged) => Some(*staged),
            Commit::Idle => None,
        }
    }

    /// The shard has another owner: whatever the result of the commit under way, nothing of it counts for the shard.
    pub(super) fn forget_staged(&mut self, shard: ShardId) {
        if let Commit::Running(staged) = &mut self.commit {
            let before = staged.bytes();
            staged.forget(shard);
            self.bytes -= before - staged.bytes();
        }
    }

    /// Drops of what waits all but this.
    pub(super) fn retain(&mut self, is_kept: impl Fn(&Pending) -> bool) {
        self.ready.retain(&is_kept);
        self.held.retain(|_, held| {
            held.retain(&is_kept);
            !held.is_empty()
        });
        self.bytes = self.all().map(|pending| pending.bytes).sum();
    }

    /// No commit is under way.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.commit, Commit::Idle)
    }

    /// Nothing waits or is being committed, apart from what is held and `is_stuck`.
    pub(super) fn is_drained(&self, is_stuck: impl Fn(&Pending) -> bool) -> bool {
        self.is_idle() && self.ready.pending.is_empty() && self.held.values().flatten().all(is_stuck)
    }

    /// When what is ready may be committed. `None` if nothing is.
    pub(super) fn due(&self, pace: CommitPace) -> Option<Duration> {
        let Ready { pending, with_more, quiet, .. } = &self.ready;
        let arrived = pending.front()?.arrived;
        let due = if *quiet == pending.len() { arrived + pace.quiet_wait } else { arrived };
        let began = self.began.filter(|_| *with_more == 0);
        Some(began.map_or(due, |began| due.max(began + pace.interval)))
    }

    /// When what came at this time may be committed.
    pub(super) fn paced(&self, arrived: Duration, pace: CommitPace) -> Duration {
        self.began.map_or(arrived, |began| arrived.max(began + pace.interval))
    }

    /// Number of records that are ready.
    pub(super) fn ready_records(&self) -> usize {
        self.ready.records
    }

    /// The next commit doesn't begin before this time.
    pub(super) fn not_before(&self) -> Duration {
        self.not_before
    }

    /// Size of what waits or is being committed, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// All that isn't on the bus: what waits, and what is being committed.
    pub(super) fn all(&self) -> impl Iterator<Item = &Pending> {
        let waiting = self.ready.pending.iter().chain(self.held.values().flatten());
        waiting.chain(self.staged().into_iter().flat_map(|staged| &staged.pending).map(|(pending, ..)| pending))
    }

    /// The trace of the commit that is under way.
    pub(super) fn commit_trace(&self) -> Option<Trace> {
        self.staged().map(|staged| staged.trace)
    }

    fn staged(&self) -> Option<&Staged> {
        match &self.commit {
            Commit::Running(staged) => Some(staged),
            Commit::Idle => None,
        }
    }
}
