//! The task that keeps the leases: does what [`Member`] decides, and reports to the session.

use super::head::Session;
use super::lease::{Leases, Told};
use super::member::{Action, Answer, Member, Tenure};
use super::publish::Publisher;
use super::restore::{self, Restored};
use super::tenures::{Foreign, Tenures};
use super::view::{Holder, Key};
use crate::sink::{OwnershipEvent, SinkError};
use bridge_core::ids::ShardId;
use futures_util::future::join_all;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The capacity of the channel for the session's events. More of them wait in the task.
pub(super) const EVENTS: usize = 64;
/// The timeout of a revocation: the time in which staged records may still be committed. Meanwhile the lease is
/// renewed.
const REVOKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The timeout for lease writes in flight at the end.
const LAST_WRITES: Duration = Duration::from_millis(500);
/// The timeout for releasing all leases at the end. If the server is away for longer, the leases expire.
const RELEASES: Duration = Duration::from_secs(5);
/// The capacity of the channel for changes of keys. More of them wait in the client.
const TOLD: usize = 256;

/// The parts of the task.
pub(super) struct Owner {
    pub(super) publisher: Arc<Publisher>,
    pub(super) session: Session,
    pub(super) leases: Arc<Leases>,
    pub(super) shards: u32,
    pub(super) tenures: Arc<Tenures>,
    pub(super) foreign: mpsc::Receiver<Foreign>,
    pub(super) events: mpsc::Sender<OwnershipEvent>,
}

/// The end of a lease request.
enum Ended {
    Answered { sent: Duration, key: Key, known: u64, answer: Answer },
    Released { key: Key, revision: u64 },
}

/// The end of longer work.
enum Done {
    Restored(Vec<Tenure>, Result<Vec<Restored>, SinkError>),
    GaveUp(Vec<Tenure>),
    /// The watch never ends on its own.
    Watched,
}

/// The state of the running task.
struct Running {
    publisher: Arc<Publisher>,
    session: Session,
    takeovers: u64,
    leases: Arc<Leases>,
    tenures: Arc<Tenures>,
    member: Member,
    start: Instant,
    requests: JoinSet<Ended>,
    works: JoinSet<Done>,
    /// Restored shards that wait to be granted, see [`grant`](Self::grant).
    restored: Vec<(Vec<Tenure>, Vec<Restored>)>,
    /// Events for the session. It doesn't receive while it commits, and leases have to be renewed meanwhile.
    outbox: VecDeque<OwnershipEvent>,
    events: mpsc::Sender<OwnershipEvent>,
    failure: Option<SinkError>,
}

impl Owner {
    /// Runs until the session ends, then releases the leases.
    pub(super) async fn run(self, end: CancellationToken) {
        let Self { publisher, session, leases, shards, tenures, mut foreign, events } = self;
        let me = Holder { replica: session.replica.clone(), session: session.id.clone() };
        let (told, mut watched) = mpsc::channel::<Told>(TOLD);
        let mut works = JoinSet::new();
        let watching = Arc::clone(&leases);
        works.spawn(async move {
            watching.watch(told).await;
            Done::Watched
        });
        let mut running = Running {
            member: Member::new(me, shards, leases.time()),
            publisher,
            session,
            takeovers: 0,
            leases,
            tenures,
            start: clock(),
            requests: JoinSet::new(),
            works,
            restored: Vec::new(),
            outbox: VecDeque::new(),
            events: events.clone(),
            failure: None,
        };
        loop {
            running.act();
            let deadline = running.member.next_deadline(running.now());
            tokio::select! {
                Some((key, revision, holder)) = watched.recv() => {
                    running.member.watched(running.now(), &key, revision, holder);
                }
                Some(Ok(ended)) = running.requests.join_next() => running.end_request(ended),
                Some(Ok(done)) = running.works.join_next() => {
                    if !running.end_work(done) {
                        break;
                    }
                }
                Some(Foreign { shards, emptied, told }) = foreign.recv() => {
                    running.member.foreign(&shards);
                    if !emptied.is_empty() {
                        running.outbox.push_back(OwnershipEvent::Emptied(emptied));
                    }
                    running.act();
                    // The sender may have gone.
                    told.send(()).ok();
                }
                Ok(permit) = events.reserve(), if !running.outbox.is_empty() => {
                    if let Some(event) = running.outbox.pop_front() {
                        permit.send(event);
                    }
                }
                // All permits at once: the session has received all earlier events.
                Ok(mut permits) = events.reserve_many(EVENTS), if running.has_to_grant() => {
                    if let (Some(event), Some(permit)) = (running.grant(), permits.next()) {
                        permit.send(event);
                    }
                }
                () = sleep_until(running.start, deadline) => {}
                () = end.cancelled() => break,
                () = events.closed() => break,
            }
        }
        running.leave().await;
    }
}

impl Running {
    fn now(&self) -> Duration {
        clock().duration_since(self.start)
    }

    /// Performs the actions that are due.
    fn act(&mut self) {
        let sent = self.now();
        for action in self.member.act(sent) {
            let leases = Arc::clone(&self.leases);
            match action {
                Action::Write(key, known) => {
                    self.requests.spawn(async move {
                        let answer = leases.write(&key, known).await;
                        Ended::Answered { sent, key, known, answer }
                    });
                }
                Action::Look(key, known) => {
                    self.requests.spawn(async move {
                        let answer = leases.look(&key).await;
                        Ended::Answered { sent, key, known, answer }
                    });
                }
                Action::Release(key, revision) => {
                    if let Key::Shard(shard) = key {
                        self.tenures.lose(&[shard]);
                    }
                    self.requests.spawn(async move {
                        leases.release(&key, revision).await;
                        Ended::Released { key, revision }
                    });
                }
                Action::Restore(tenures) => self.restore(tenures),
                Action::Revoke(tenures) => self.revoke(tenures),
                Action::Lost(shards) => {
                    tracing::warn!(shards = shards.len(), shard_ids = ?shards, "shards lost");
                    self.tenures.lose(&shards);
                    self.outbox.push_back(OwnershipEvent::Lost(shards));
                }
                Action::Twin(twin) => tracing::error!(
                    replica = %twin.replica,
                    hint = "give each replica its own name; this one owns nothing until the other one is gone",
                    "replica name in use by another live replica"
                ),
            }
        }
        while let Some(event) = self.outbox.pop_front() {
            if let Err(error) = self.events.try_send(event) {
                self.outbox.push_front(match error {
                    mpsc::error::TrySendError::Full(event) | mpsc::error::TrySendError::Closed(event) => event,
                });
                break;
            }
        }
    }

    fn restore(&mut self, tenures: Vec<Tenure>) {
        self.takeovers += 1;
        let Session { id, replica } = self.session.clone();
        let session = Session { id: format!("{id}.{}", self.takeovers), replica };
        let publisher = Arc::clone(&self.publisher);
        self.works.spawn(async move {
            let shards: Vec<_> = tenures.iter().map(|tenure| tenure.shard).collect();
            let restored = restore::take_over(&publisher, &session, &shards).await;
            Done::Restored(tenures, restored)
        });
    }

    fn revoke(&mut self, tenures: Vec<Tenure>) {
        let shards: Vec<ShardId> = tenures.iter().map(|tenure| tenure.shard).collect();
        tracing::info!(shards = shards.len(), shard_ids = ?shards, "shards revoked");
        let (done, answer) = oneshot::channel();
        self.outbox.push_back(OwnershipEvent::Revoked { shards, done });
        self.works.spawn(async move {
            if tokio::time::timeout(REVOKE_TIMEOUT, answer).await.is_err() {
                tracing::warn!(timeout = ?REVOKE_TIMEOUT, hint = "what is staged is fenced",
                    "revoked shards not released in time");
            }
            Done::GaveUp(tenures)
        });
    }

    fn end_request(&mut self, ended: Ended) {
        match ended {
            Ended::Answered { sent, key, known, answer } => {
                self.member.answered(self.now(), sent, &key, known, answer);
            }
            Ended::Released { key, revision } => self.member.released(&key, revision),
        }
    }

    /// Takes the end of longer work. Returns whether the session continues.
    fn end_work(&mut self, done: Done) -> bool {
        match done {
            Done::Restored(tenures, Ok(restored)) => self.restored.push((tenures, restored)),
            Done::Restored(_, Err(error)) => {
                self.failure = Some(error);
                return false;
            }
            Done::GaveUp(tenures) => self.member.gave_up(&tenures),
            Done::Watched => {}
        }
        true
    }

    fn has_to_grant(&self) -> bool {
        self.outbox.is_empty() && !self.restored.is_empty()
    }

    /// Lets the committer write the restored shards. The session must have received all earlier events: otherwise it
    /// might commit what it staged in an earlier tenure, and the heads would accept that.
    fn grant(&mut self) -> Option<OwnershipEvent> {
        let mut assigned = Vec::new();
        for (tenures, restored) in self.restored.drain(..) {
            let granted = self.member.restored(&tenures);
            for Restored { shard, state, checkpoint } in restored {
                if granted.contains(&shard) {
                    self.tenures.gain(shard, state);
                    assigned.push((shard, checkpoint));
                }
            }
        }
        (!assigned.is_empty()).then_some(OwnershipEvent::Assigned(assigned))
    }

    /// Releases all leases, so that other replicas can take them at once.
    async fn leave(mut self) {
        self.works.abort_all();
        let last_writes = async {
            while let Some(ended) = self.requests.join_next().await {
                if let Ok(ended) = ended {
                    self.end_request(ended);
                }
            }
        };
        tokio::time::timeout(LAST_WRITES, last_writes).await.ok();
        let leases = &self.leases;
        let mut keys = self.member.leave().into_iter();
        let releases = async {
            // As long as we are a member, the others leave our share to us.
            if let Some((mine, revision)) = keys.next() {
                leases.release(&mine, revision).await;
            }
            join_all(keys.map(async |(key, revision)| leases.release(&key, revision).await)).await
        };
        if tokio::time::timeout(RELEASES, releases).await.is_err() {
            tracing::warn!(timeout = ?RELEASES, hint = "they expire", "leases not released in time");
        }
        if let Some(error) = self.failure {
            // The receiver may have gone.
            self.events.send(OwnershipEvent::Failed(error)).await.ok();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the edge that hands time down to the member")]
fn clock() -> Instant {
    Instant::now()
}

async fn sleep_until(start: Instant, deadline: Option<Duration>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(start + deadline).await,
        None => std::future::pending().await,
    }
}
