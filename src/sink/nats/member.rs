//! One replica among others, as a state machine: announces itself, takes free shards up to its quota, releases the
//! excess, renews its leases.
//!
//! Pure: events come in with their time, and [`act`](Member::act) returns the actions. Each key of the bucket has at
//! most one request in flight.
//!
//! ```text
//! free ──► taken ──► restoring ──► granted ──► leaving ──► left: released when no renewal is in flight
//!            │           │            └──────────┴───────► lost: reported
//!            └───────────┴── lease lost: dropped without a report
//! ```

use super::view::{Holder, Key, View, quotas};
use bridge_core::ids::ShardId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The number of renewals in one lease time. A JetStream cluster that lost a leader takes up to 9 s to elect another
/// one (nats-server's `maxElectionTimeout`), which has to fit into the rest of 10 s.
pub(super) const RENEWALS: u32 = 4;
/// The pause after an unanswered request is the lease time divided by this.
const RETRIES: u32 = 40;
/// A replica that joined waits for the lease time divided by this, for others that join at the same time.
const SETTLINGS: u32 = 50;

/// An action of the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Write our name to the key if it is at this revision (0: it doesn't exist); then call [`Member::answered`].
    Write(Key, u64),
    /// Read the key from the leader, with this revision as the known one; then call [`Member::answered`].
    Look(Key, u64),
    /// Release the lease if it is at this revision; then call [`Member::released`].
    Release(Key, u64),
    /// Claim the shards and read their checkpoints; then call [`Member::restored`].
    Restore(Vec<Tenure>),
    /// Let the session release the shards; then call [`Member::gave_up`].
    Revoke(Vec<Tenure>),
    /// Report to the session that these shards are lost.
    Lost(Vec<ShardId>),
    /// Report to the operator that another running replica has our name.
    Twin(Holder),
}

/// The answer of the bucket's leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Our write is stored, at this revision.
    Written(u64),
    /// Nothing was written. The key has this revision (0: it doesn't exist) and holder.
    Found(u64, Option<Holder>),
    /// No answer: our write may be stored, now or later.
    Silent,
}

/// One period of owning a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tenure {
    pub(super) shard: ShardId,
    /// A number that is different for each period.
    number: u64,
}

/// A lease that we hold.
#[derive(Clone, Copy, Debug)]
struct Lease {
    /// The time of the last request for it: the lease began by then at the latest.
    renewed: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Taken,
    Restoring,
    Granted,
    Leaving,
    Left,
}

impl Stage {
    fn is_known_to_session(self) -> bool {
        matches!(self, Self::Granted | Self::Leaving)
    }

    fn stays(self) -> bool {
        !matches!(self, Self::Leaving | Self::Left)
    }
}

#[derive(Clone, Copy, Debug)]
struct Held {
    lease: Lease,
    tenure: Tenure,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Write,
    Look,
    Release,
}

/// One replica among others. See the [module](self).
#[derive(Debug)]
pub(super) struct Member {
    me: Holder,
    my_key: Key,
    shards: u32,
    lease_time: Duration,
    view: View,
    joined: Option<Lease>,
    /// Whether it has joined. The first time, our name is taken from any holder: it is an earlier session, as after a
    /// crash.
    has_joined: bool,
    /// Whether another session took our name from us. Then it keeps the name.
    superseded: bool,
    /// The time from which free shards are taken. `None` before the whole bucket was read.
    settled: Option<Duration>,
    held: BTreeMap<ShardId, Held>,
    requests: BTreeMap<Key, Request>,
    /// Keys that aren't requested again before this time.
    pauses: BTreeMap<Key, Duration>,
    tenures: u64,
    todo: Vec<Action>,
}

impl Member {
    pub(super) fn new(me: Holder, shards: u32, lease_time: Duration) -> Self {
        Self {
            my_key: Key::Replica(me.replica.clone()),
            me,
            shards,
            lease_time,
            view: View::new(lease_time),
            joined: None,
            has_joined: false,
            superseded: false,
            settled: None,
            held: BTreeMap::new(),
            requests: BTreeMap::new(),
            pauses: BTreeMap::new(),
            tenures: 0,
            todo: Vec::new(),
        }
    }

    /// Takes a change from the watch, in the order of revisions.
    pub(super) fn watched(&mut self, now: Duration, key: &Key, revision: u64, holder: Option<Holder>) {
        // Everything older than our own announcement came before it.
        if *key == self.my_key && holder.as_ref() == Some(&self.me) && self.settled.is_none() {
            self.settled = Some(now + self.lease_time / SETTLINGS);
        }
        if self.view.observe(now, key, revision, holder) {
            self.check(key);
        }
    }

    /// Takes the answer to a [`Write`](Action::Write) or [`Look`](Action::Look) that was sent at `sent` with `known` as
    /// the revision.
    pub(super) fn answered(&mut self, now: Duration, sent: Duration, key: &Key, known: u64, answer: Answer) {
        let request = self.requests.remove(key);
        // The leader is behind, or another write is in flight.
        let is_refused_for_now =
            matches!(&answer, Answer::Found(revision, _) if *revision == known) && request == Some(Request::Write);
        if answer == Answer::Silent || is_refused_for_now {
            self.pauses.insert(key.clone(), now + self.lease_time / RETRIES);
        }
        let is_news = match answer {
            Answer::Written(revision) => {
                self.view.observe(now, key, revision, Some(self.me.clone()));
                // The holder's time may be over already.
                if self.view.revision(key) == revision {
                    self.hold(key, Lease { renewed: sent });
                }
                false
            }
            Answer::Found(0, _) => self.view.confirm(now, key, known, false),
            Answer::Found(revision, _) if revision == known => self.view.confirm(now, key, known, true),
            Answer::Found(revision, holder) => self.view.observe(now, key, revision, holder),
            Answer::Silent => false,
        };
        if is_news {
            self.check(key);
        }
    }

    /// Takes the end of a [`Release`](Action::Release), successful or not.
    pub(super) fn released(&mut self, key: &Key, revision: u64) {
        self.requests.remove(key);
        self.view.vacate(key, revision);
    }

    /// Takes the restored tenures, and returns the shards of those that are still ours.
    pub(super) fn restored(&mut self, tenures: &[Tenure]) -> BTreeSet<ShardId> {
        let mut granted = BTreeSet::new();
        for tenure in tenures {
            if let Some(held) = self.held.get_mut(&tenure.shard).filter(|held| held.tenure == *tenure) {
                held.stage = Stage::Granted;
                granted.insert(tenure.shard);
            }
        }
        granted
    }

    /// Notes that the session writes no more for the tenures.
    pub(super) fn gave_up(&mut self, tenures: &[Tenure]) {
        for tenure in tenures {
            if self.held.get(&tenure.shard).is_some_and(|held| held.tenure == *tenure) {
                self.release(tenure.shard);
            }
        }
    }

    /// Notes that another session has claimed these shards' heads: our lease, if we have one, is of no use.
    pub(super) fn foreign(&mut self, shards: &[ShardId]) {
        let known = |shard: &ShardId| self.held.get(shard).is_some_and(|held| held.stage.is_known_to_session());
        let lost: Vec<_> = shards.iter().copied().filter(known).collect();
        for shard in &lost {
            self.release(*shard);
        }
        self.tell_lost(lost);
    }

    /// The leases to release at the end, our name first: with it, the quotas of the others grow.
    pub(super) fn leave(&self) -> Vec<(Key, u64)> {
        let written = self.requests.iter().filter(|(_, request)| **request == Request::Write).map(|(key, _)| key);
        let held = self.held.keys().map(|shard| Key::Shard(*shard));
        let name = self.joined.map(|_| self.my_key.clone());
        let mine: BTreeSet<Key> = written.cloned().chain(held).chain(name).collect();
        let revision =
            |key: &Key| self.view.holder(key).filter(|holder| **holder == self.me).map(|_| self.view.revision(key));
        // A key that may be ours by now isn't released at the revision that it had with another holder.
        mine.into_iter().map(|key| (key.clone(), revision(&key).unwrap_or(0))).collect()
    }

    /// The actions that are due now.
    pub(super) fn act(&mut self, now: Duration) -> Vec<Action> {
        self.pauses.retain(|_, until| *until > now);
        self.expire(now);
        self.renew(now);
        let due: Vec<Key> = self.view.overdue(now).filter(|key| !self.is_mine(key)).cloned().collect();
        for key in due {
            if self.is_idle(&key) {
                self.request(Request::Look, key);
            }
        }
        if self.joined.is_some() && self.settled.is_some() {
            self.balance(now);
        }
        self.release_left();
        // Shards that are taken together are restored together.
        if !self.requests.iter().any(|(key, request)| *request == Request::Write && !self.is_mine(key)) {
            let taken = self.held.values_mut().filter(|held| held.stage == Stage::Taken);
            let taken: Vec<_> = taken.map(|held| (held.stage = Stage::Restoring, held.tenure).1).collect();
            if !taken.is_empty() {
                self.todo.push(Action::Restore(taken));
            }
        }
        std::mem::take(&mut self.todo)
    }

    /// The time of the next action if nothing happens before.
    pub(super) fn next_deadline(&self, now: Duration) -> Option<Duration> {
        let renewal = self.lease_time / RENEWALS;
        let mine = self.held.iter().map(|(shard, held)| (Key::Shard(*shard), held.lease));
        let mine = mine.chain(self.joined.map(|lease| (self.my_key.clone(), lease)));
        let mine = mine.map(|(key, lease)| {
            let next = if self.is_idle(&key) { renewal } else { self.lease_time };
            lease.renewed + next
        });
        let others = self.view.expiring().filter(|(key, _)| !self.is_mine(key) && self.is_idle(key));
        let others = others.map(|(_, due)| due);
        mine.chain(others).chain(self.pauses.values().copied()).chain(self.settled.filter(|at| *at > now)).min()
    }

    /// Updates our state after a change of the key.
    fn check(&mut self, key: &Key) {
        let holder = self.view.holder(key);
        if holder == Some(&self.me) {
            return;
        }
        match key {
            Key::Shard(shard) => self.drop_held(&[*shard]),
            Key::Replica(name) if *name == self.me.replica => {
                let twin = holder.filter(|_| self.has_joined).cloned();
                let was_superseded = std::mem::replace(&mut self.superseded, twin.is_some());
                self.joined = None;
                if let Some(twin) = twin.filter(|_| !was_superseded) {
                    self.todo.push(Action::Twin(twin));
                    let held: Vec<_> = self.held.keys().copied().collect();
                    self.drop_held(&held);
                }
            }
            Key::Replica(_) => {}
        }
    }

    fn hold(&mut self, key: &Key, lease: Lease) {
        match key {
            Key::Replica(_) => {
                self.joined = Some(lease);
                self.has_joined = true;
            }
            Key::Shard(shard) => {
                if let Some(held) = self.held.get_mut(shard) {
                    held.lease = lease;
                } else {
                    self.tenures += 1;
                    let tenure = Tenure { shard: *shard, number: self.tenures };
                    self.held.insert(*shard, Held { lease, tenure, stage: Stage::Taken });
                }
            }
        }
    }

    /// Drops shards that may belong to another replica by now.
    fn expire(&mut self, now: Duration) {
        let lease_time = self.lease_time;
        let is_over = |lease: &Lease| now >= lease.renewed + lease_time;
        if self.joined.as_ref().is_some_and(is_over) {
            self.joined = None;
        }
        let over = self.held.iter().filter(|(_, held)| is_over(&held.lease));
        let over: Vec<_> = over.map(|(shard, _)| *shard).collect();
        self.drop_held(&over);
    }

    /// Drops these shards: they may belong to another replica.
    fn drop_held(&mut self, shards: &[ShardId]) {
        let dropped = shards.iter().filter_map(|shard| self.held.remove(shard));
        let known = dropped.filter(|held| held.stage.is_known_to_session()).map(|held| held.tenure.shard).collect();
        self.tell_lost(known);
    }

    /// Announces us, and renews our leases.
    fn renew(&mut self, now: Duration) {
        let is_due = |lease: &Lease| now >= lease.renewed + self.lease_time / RENEWALS;
        let mut due: Vec<Key> = Vec::new();
        if self.joined.as_ref().map_or(!self.superseded, is_due) {
            due.push(self.my_key.clone());
        }
        let held = self.held.iter().filter(|(_, held)| held.stage != Stage::Left && is_due(&held.lease));
        due.extend(held.map(|(shard, _)| Key::Shard(*shard)));
        for key in due {
            if self.is_idle(&key) {
                self.request(Request::Write, key);
            }
        }
    }

    fn balance(&mut self, now: Duration) {
        let quotas = quotas(&self.view.members(), self.shards as usize);
        let quota = quotas.get(self.me.replica.as_str()).copied().unwrap_or(0);
        let taking = self.requests.iter().filter(|(key, request)| {
            **request == Request::Write && matches!(key, Key::Shard(shard) if !self.held.contains_key(shard))
        });
        let staying = self.held.values().filter(|held| held.stage.stays()).count() + taking.count();
        let shares = if staying < quota { self.shares(now, &quotas, quota - staying) } else { Vec::new() };
        for shard in shares {
            self.request(Request::Write, Key::Shard(shard));
        }
        if staying > quota {
            self.shrink(staying - quota);
        }
    }

    /// The free shards that we take: each member's share in the order of names, so that no two members want the same
    /// shard as long as they see the same bucket.
    fn shares(&self, now: Duration, quotas: &BTreeMap<&str, usize>, need: usize) -> Vec<ShardId> {
        let (mut mine, mut free) = (Vec::new(), Vec::new());
        for shard in (0..self.shards).map(ShardId) {
            let key = Key::Shard(shard);
            if self.held.contains_key(&shard) || !self.is_idle(&key) {
                continue;
            }
            match self.view.holder(&key) {
                None => free.push(shard),
                // An earlier session's, as after a crash: it would only expire. Or ours, and we didn't get the answer.
                Some(holder) if holder.replica == self.me.replica => mine.push(shard),
                Some(_) => {}
            }
        }
        mine.truncate(need);
        let need = need - mine.len();
        if self.settled.is_none_or(|settled| now < settled) {
            return mine;
        }
        let mut free = free.into_iter();
        for (name, quota) in quotas {
            if *name == self.me.replica {
                mine.extend(free.by_ref().take(need));
                break;
            }
            free.by_ref().take(quota.saturating_sub(self.view.held_by(name))).for_each(drop);
        }
        mine
    }

    /// Releases the excess gracefully. Shards that are being restored have to be granted first.
    fn shrink(&mut self, excess: usize) {
        let at = |stage: Stage| self.held.values().rev().filter(move |held| held.stage == stage);
        let unused: Vec<_> = at(Stage::Taken).take(excess).map(|held| held.tenure.shard).collect();
        let used: Vec<_> = at(Stage::Granted).take(excess - unused.len()).map(|held| held.tenure).collect();
        for shard in unused {
            self.release(shard);
        }
        for tenure in &used {
            if let Some(held) = self.held.get_mut(&tenure.shard) {
                held.stage = Stage::Leaving;
            }
        }
        if !used.is_empty() {
            self.todo.push(Action::Revoke(used));
        }
    }

    fn release(&mut self, shard: ShardId) {
        if let Some(held) = self.held.get_mut(&shard) {
            held.stage = Stage::Left;
        }
    }

    /// Releases shards that the session has left. Not while a renewal is in flight: its answer contains the revision.
    fn release_left(&mut self) {
        let left = self.held.iter().filter(|(_, held)| held.stage == Stage::Left).map(|(shard, _)| *shard);
        let left: Vec<_> = left.filter(|shard| !self.requests.contains_key(&Key::Shard(*shard))).collect();
        for shard in left {
            self.held.remove(&shard);
            self.request(Request::Release, Key::Shard(shard));
        }
    }

    fn request(&mut self, request: Request, key: Key) {
        let revision = self.view.revision(&key);
        self.requests.insert(key.clone(), request);
        self.todo.push(match request {
            Request::Write => Action::Write(key, revision),
            Request::Look => Action::Look(key, revision),
            Request::Release => Action::Release(key, revision),
        });
    }

    fn tell_lost(&mut self, shards: Vec<ShardId>) {
        if !shards.is_empty() {
            self.todo.push(Action::Lost(shards));
        }
    }

    fn is_mine(&self, key: &Key) -> bool {
        match key {
            Key::Replica(_) => *key == self.my_key && self.joined.is_some(),
            Key::Shard(shard) => self.held.contains_key(shard),
        }
    }

    fn is_idle(&self, key: &Key) -> bool {
        !self.requests.contains_key(key) && !self.pauses.contains_key(key)
    }
}

#[cfg(test)]
mod tests;
