//! One session: from opening the sink to whatever ends it.
//!
//! The loop only moves things: the [`Engine`] decides what to poll, what to commit and when to look
//! again. Nothing is awaited in the `select!` that mustn't be cut in half: polls run on tasks of
//! their own, and so does the committer.

use super::Plan;
use super::committer::{self, Request, serve};
use super::observer::Observer;
use crate::asana::Source;
use crate::clock::Clock;
use crate::index::service::IndexHandle;
use crate::sink::{CommitError, Committer, Ownership, OwnershipEvent, SinkError};
use bridge_core::checkpoint::{self, CheckpointError};
use bridge_core::engine::{
    CommitSummary, CrawlAnswer, CrawlStep, Engine, Poll, Probe, Step, TopicFailure, TopicVerdict,
};
use bridge_core::ids::{Gid, StreamId, Topic};
use bridge_core::outcome::list::{ListOutcome, MOST_ON_A_PAGE};
use bridge_core::outcome::poll::{Polled, Probed};
use bridge_core::record::batch::OutputTopic;
use bridge_core::stream::Notice;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// How long polls in flight may go on after the order to stop. Most are answered by then; whoever has the
/// shards next asks the others again.
pub(super) const POLL_GRACE: Duration = Duration::from_millis(500);
/// How long what was polled may take to commit after the order to stop.
/// With [`CLOSE_TIMEOUT`] below the grace period that Kubernetes gives a pod.
pub(super) const DRAIN_TIMEOUT: Duration = Duration::from_secs(15);
/// How long giving up ownership may take.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// How often the loop turns at the least.
const TURN_INTERVAL: Duration = Duration::from_secs(1);
/// A loop that didn't turn for so long wasn't running: others may own its shards, and use its part of
/// the budgets. Below any time-out after which they would.
const STALL: Duration = Duration::from_secs(4);
/// So long it waits then for the bus to say so, before it polls.
const STALL_PAUSE: Duration = Duration::from_secs(2);

/// How many resources of the index are looked at in one step of a crawl.
const SWEEP: usize = 100;
/// How many resources that lie in one that is gone are taken in one step.
const BELOW: usize = 500;

/// How often progress is said.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(60);

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub enum SessionEnd {
    /// In order: all that was polled is on the bus.
    #[error("stopped")]
    Stopped,
    /// Start over: what is on the bus counts.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// Start over, or give up, by kind.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// A person has to look.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

impl SessionEnd {
    /// For metrics and logs.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Commit(error) => error.label(),
            Self::Sink(_) => "sink",
            Self::Checkpoint(_) => "checkpoint",
        }
    }
}

/// The moving parts of a session.
pub(super) struct Session<'a, S> {
    engine: Engine,
    plans: &'a mut watch::Receiver<Arc<Plan<S>>>,
    plan: Arc<Plan<S>>,
    /// Streams for which a webhook requests a poll.
    poll_requests: &'a mut mpsc::Receiver<StreamId>,
    observer: Arc<dyn Observer>,
    clock: Clock,
    /// Each with how long it took.
    probes: JoinSet<(Probe, Probed, Duration)>,
    polls: JoinSet<(Poll, Polled, Duration)>,
    /// What is known of the streams' resources.
    index: IndexHandle,
    crawl_steps: JoinSet<(CrawlStep, CrawlAnswer, Duration)>,
    /// The committer has a request that it hasn't answered.
    busy: bool,
    progress: Progress,
}

/// What was published since it was last said.
#[derive(Debug, Default)]
struct Progress {
    said: Duration,
    events: usize,
    commits: usize,
}

impl<'a, S: Source + 'static> Session<'a, S> {
    pub(super) fn new(
        plans: &'a mut watch::Receiver<Arc<Plan<S>>>,
        poll_requests: &'a mut mpsc::Receiver<StreamId>,
        batch_messages: usize,
        index: IndexHandle,
        observer: Arc<dyn Observer>,
        clock: Clock,
    ) -> Self {
        let plan = Arc::clone(&plans.borrow_and_update());
        let engine = Engine::new(plan.settings.clone(), batch_messages, &plan.accounts, &plan.streams);
        let progress = Progress { said: clock.now().monotonic, ..Progress::default() };
        let (probes, polls, crawl_steps) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
        Self {
            engine,
            plans,
            plan,
            poll_requests,
            observer,
            clock,
            probes,
            polls,
            index,
            crawl_steps,
            busy: false,
            progress,
        }
    }

    /// Runs until something ends the session, then closes the sink.
    pub(super) async fn run<C: Committer + 'static>(
        mut self,
        committer: C,
        ownership: Ownership,
        stop: CancellationToken,
    ) -> SessionEnd {
        // One request is under way at the most: room for one.
        let (requests, inbox) = mpsc::channel(1);
        let (outbox, answers) = mpsc::channel(1);
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(committer, inbox, outbox));
        let end = match self.steps(&requests, answers, ownership, stop).await {
            Ok(()) => SessionEnd::Stopped,
            Err(end) => end,
        };
        drop(requests);
        self.probes.shutdown().await;
        self.polls.shutdown().await;
        self.crawl_steps.shutdown().await;
        if tokio::time::timeout(CLOSE_TIMEOUT, tasks.join_all()).await.is_err() {
            tracing::warn!(
                hint = "another replica takes over after the session timeout of the bus",
                "sink not closed in time"
            );
        }
        end
    }

    async fn steps(
        &mut self,
        requests: &mpsc::Sender<Request>,
        mut answers: mpsc::Receiver<committer::Answer>,
        mut ownership: Ownership,
        stop: CancellationToken,
    ) -> Result<(), SessionEnd> {
        let (mut grace_until, mut drain_until) = (None, None);
        let mut turned = self.clock.now().monotonic;
        loop {
            let now = self.clock.now();
            if now.monotonic > turned + STALL {
                let stalled_for = now.monotonic.saturating_sub(turned);
                tracing::info!(?stalled_for, "event loop stalled, polling paused until ownership is confirmed");
                self.engine.pause_polls(now, STALL_PAUSE);
            }
            turned = now.monotonic;
            self.observer.turned(&self.engine, now);
            self.send_probes();
            self.send_polls();
            self.send_crawl_steps();
            self.tell_missed();
            self.tell_accounts();
            if !self.busy {
                // Before there is a next request: as long as they follow each other, nothing else would have its turn.
                while let Ok(event) = ownership.try_recv() {
                    self.handle_ownership(Some(event))?;
                }
                if self.plans.has_changed().unwrap_or_default() {
                    self.handle_plan();
                }
            }
            self.send_request(requests).await?;
            if drain_until.is_some() && self.polls.is_empty() && self.engine.is_drained() {
                return Ok(());
            }
            tokio::select! {
                Some(probed) = self.probes.join_next() => self.handle_probe(probed),
                Some(polled) = self.polls.join_next() => self.handle_poll(polled),
                Some(answered) = self.crawl_steps.join_next() => self.handle_crawl_step(answered),
                answer = answers.recv() => self.handle_answer(answer).await?,
                // The engine's shards don't change under a running commit.
                event = ownership.recv(), if !self.busy => self.handle_ownership(event)?,
                Some(stream) = self.poll_requests.recv() => self.request_polls(stream),
                Ok(()) = self.plans.changed(), if !self.busy => self.handle_plan(),
                () = self.clock.sleep_until(self.engine.next_deadline()) => {}
                () = tokio::time::sleep(TURN_INTERVAL) => {}
                () = stop.cancelled(), if drain_until.is_none() => {
                    self.engine.drain();
                    let now = self.clock.now().monotonic;
                    (grace_until, drain_until) = (Some(now + POLL_GRACE), Some(now + DRAIN_TIMEOUT));
                }
                () = self.clock.sleep_until(grace_until), if grace_until.is_some() => {
                    self.polls.abort_all();
                    grace_until = None;
                }
                () = self.clock.sleep_until(drain_until), if drain_until.is_some() => {
                    tracing::warn!(hint = "they are polled again", "polled events not committed in time");
                    return Ok(());
                }
            }
        }
    }

    fn send_probes(&mut self) {
        while let Some(probe) = self.engine.next_probe(self.clock.now()) {
            let (source, clock) = (Arc::clone(&self.plan.source), self.clock);
            self.probes.spawn(async move {
                let began = clock.now().monotonic;
                let probed = source.probe(&probe.account).await;
                (probe, probed, clock.now().monotonic.saturating_sub(began))
            });
        }
    }

    fn send_polls(&mut self) {
        while let Some(poll) = self.engine.next_poll(self.clock.now()) {
            let (source, clock) = (Arc::clone(&self.plan.source), self.clock);
            self.polls.spawn(async move {
                let began = clock.now().monotonic;
                let polled = source.poll(&poll.stream.id, poll.stream.kind, poll.token.as_ref(), poll.form).await;
                (poll, polled, clock.now().monotonic.saturating_sub(began))
            });
        }
    }

    fn send_crawl_steps(&mut self) {
        while let Some(step) = self.engine.next_crawl_step(self.clock.now()) {
            let (source, index, clock) = (Arc::clone(&self.plan.source), self.index.clone(), self.clock);
            self.crawl_steps.spawn(async move {
                let began = clock.now().monotonic;
                let answer = take_step(source.as_ref(), &index, &step).await;
                (step, answer, clock.now().monotonic.saturating_sub(began))
            });
        }
    }

    /// Keeps the committer busy, if there is something for it.
    async fn send_request(&mut self, requests: &mpsc::Sender<Request>) -> Result<(), SessionEnd> {
        if self.busy {
            return Ok(());
        }
        let request = match self.engine.next_topic_refresh(self.clock.now()) {
            Some(topic) => Request::OutputTopic(topic),
            None => match self.engine.take_batch(self.clock.now()) {
                Some(batch) => {
                    if let Some(trace) = self.engine.commit_trace() {
                        self.observer.committing(&batch, trace);
                    }
                    Request::Commit(batch)
                }
                None => return Ok(()),
            },
        };
        self.busy = true;
        requests.send(request).await.map_err(|_closed| committer_ended())
    }

    fn handle_probe(&mut self, probed: Result<(Probe, Probed, Duration), JoinError>) {
        let Some((probe, probed, took)) = finished(probed) else { return };
        self.observer.answered(&probe.account, probed.verdict.label(), took);
        self.engine.handle_probe(self.clock.now(), &probe, probed);
    }

    fn handle_poll(&mut self, polled: Result<(Poll, Polled, Duration), JoinError>) {
        let Some((poll, polled, took)) = finished(polled) else { return };
        self.observer.answered(&poll.stream.id.account, polled.outcome.label(), took);
        self.observer.polled(&poll, &polled.outcome, took);
        if let Some(notice) = self.engine.handle_outcome(self.clock.now(), &poll, polled) {
            self.observer.noticed(&self.engine.place(&poll.stream.id), &notice);
        }
    }

    /// Takes all poll requests that are waiting, in one turn of the loop.
    fn request_polls(&mut self, stream: StreamId) {
        let mut next = Some(stream);
        while let Some(stream) = next {
            self.engine.request_poll(self.clock.now(), &stream);
            next = self.poll_requests.try_recv().ok();
        }
    }

    fn handle_crawl_step(&mut self, answered: Result<(CrawlStep, CrawlAnswer, Duration), JoinError>) {
        let Some((step, answer, took)) = finished(answered) else { return };
        match (&step.step, &answer) {
            (Step::List { account, .. }, CrawlAnswer::List(outcome, _)) => {
                self.observer.answered(account, outcome.label(), took);
            }
            (_, CrawlAnswer::Ask(outcome, _)) => self.observer.answered(&step.stream.account, outcome.label(), took),
            _ => {}
        }
        if let Some(notice) = self.engine.handle_crawl_step(self.clock.now(), &step, answer) {
            self.observer.noticed(&self.engine.place(&step.stream), &notice);
        }
    }

    fn tell_accounts(&mut self) {
        for (account, notice) in self.engine.take_account_notices() {
            self.observer.account_noticed(&account, notice);
        }
    }

    fn tell_missed(&mut self) {
        for (stream, gids) in self.engine.take_missed() {
            self.observer.noticed(&self.engine.place(&stream), &Notice::Missed(gids));
        }
    }

    async fn handle_answer(&mut self, answer: Option<committer::Answer>) -> Result<(), SessionEnd> {
        self.busy = false;
        match answer.ok_or_else(committer_ended)? {
            committer::Answer::OutputTopic(topic, known) => self.handle_topic(&topic, known)?,
            committer::Answer::Commit(Ok(())) => {
                let mut summary = self.engine.committed(self.clock.now());
                // Before any step is sent that asks the index: it has to know of this commit then.
                self.index.apply(std::mem::take(&mut summary.updates)).await;
                self.say_progress(&summary);
                self.observer.committed(&summary);
                for (stream, notice) in &summary.notices {
                    self.observer.noticed(&self.engine.place(stream), notice);
                }
            }
            committer::Answer::Commit(Err(error)) => {
                self.observer.commit_failed(&error);
                match error {
                    CommitError::Aborted(_) => self.engine.aborted(self.clock.now()),
                    CommitError::Unknown(_) | CommitError::Fenced(_) | CommitError::Fatal(_) => {
                        return Err(error.into());
                    }
                }
            }
        }
        Ok(())
    }

    /// Now and then a line that says that all is well.
    fn say_progress(&mut self, summary: &CommitSummary) {
        self.progress.events += summary.events;
        self.progress.commits += 1;
        let now = self.clock.now().monotonic;
        if now >= self.progress.said + PROGRESS_INTERVAL {
            let Progress { events, commits, .. } = self.progress;
            tracing::info!(events, commits, "events published in the last minute");
            self.progress = Progress { said: now, ..Progress::default() };
        }
    }

    fn handle_topic(&mut self, topic: &Topic, known: Result<OutputTopic, SinkError>) -> Result<(), SinkError> {
        let now = self.clock.now();
        match known {
            Ok(known) => {
                let before = self.engine.set_topic(now, topic.clone(), known);
                if let Some(before) = before.filter(|before| before.lanes != known.lanes) {
                    let (from, to) = (before.lanes, known.lanes);
                    tracing::info!(%topic, from, to, hint = "each lane announces it before more events",
                        "number of lanes changed");
                }
                Ok(())
            }
            Err(error) => {
                let failure = match error {
                    SinkError::Unavailable { .. } => TopicFailure::Unavailable,
                    SinkError::Refused { .. } | SinkError::Setup { .. } => TopicFailure::Unusable,
                };
                match self.engine.topic_failed(now, topic, failure) {
                    TopicVerdict::Continue => Ok(()),
                    TopicVerdict::HoldStreams => {
                        tracing::error!(%topic, %error, hint = "the topic is checked again",
                            "topic unusable, its streams are blocked");
                        Ok(())
                    }
                    TopicVerdict::EndSession => Err(error),
                }
            }
        }
    }

    /// From now on the newest plan counts.
    fn handle_plan(&mut self) {
        self.plan = Arc::clone(&self.plans.borrow_and_update());
        let Plan { settings, accounts, streams, .. } = self.plan.as_ref();
        self.engine.reconfigure(self.clock.now(), settings.clone(), accounts, streams);
        self.tell_owned();
    }

    fn tell_owned(&self) {
        let (shards, streams) = self.engine.owned();
        self.observer.owns(&shards, streams);
    }

    fn handle_ownership(&mut self, event: Option<OwnershipEvent>) -> Result<(), SessionEnd> {
        let ended = || SinkError::unavailable("keep the shards", "the sink's ownership ended");
        match event.ok_or_else(ended)? {
            OwnershipEvent::Assigned(shards) => {
                let now = self.clock.now();
                for (shard, stored) in shards {
                    let state = checkpoint::restore(shard, &stored, self.plan.settings.shards, now.wall)?;
                    self.engine.assign(now, shard, state);
                    self.observer.assigned(shard, self.engine.epoch(shard));
                }
            }
            OwnershipEvent::Revoked { shards, done } => {
                self.engine.revoke(self.clock.now(), &shards);
                // Dropping it would answer too; who asked may have stopped waiting.
                done.send(()).ok();
            }
            OwnershipEvent::Lost(shards) => self.engine.revoke(self.clock.now(), &shards),
            OwnershipEvent::Failed(error) => return Err(error.into()),
        }
        self.tell_owned();
        Ok(())
    }
}

/// Takes a step of a crawl.
async fn take_step(source: &impl Source, index: &IndexHandle, step: &CrawlStep) -> CrawlAnswer {
    let stream = step.stream.clone();
    match &step.step {
        Step::Compare(mark) => CrawlAnswer::Compare(index.is_trusted(stream, *mark).await),
        Step::List { account, listing, offset, limit } => {
            let outcome = source.list(account, listing, offset.as_deref(), *limit).await;
            let ListOutcome::Page(page) = &outcome else { return CrawlAnswer::without_page(outcome) };
            let gids = page.items.iter().map(|item| Gid::from(item.resource.gid.as_str()));
            let known = index.look_up(stream, gids.collect()).await;
            CrawlAnswer::List(outcome, known.into())
        }
        Step::Ask(listing) => {
            let outcome = source.list(&stream.account, listing, None, MOST_ON_A_PAGE).await;
            let ListOutcome::Page(page) = &outcome else { return CrawlAnswer::Ask(outcome, None) };
            let part_of = page.items.iter().filter_map(|item| Some(item.part_of.as_ref()?.of.clone()));
            let known = index.look_up(stream, part_of.collect()).await.unwrap_or_default();
            CrawlAnswer::Ask(outcome, known.into_iter().next().flatten())
        }
        Step::Weigh { crawl, least, percent } => {
            CrawlAnswer::Weigh(index.shortfalls(stream, *crawl, *least, *percent).await.into())
        }
        Step::Sweep { from, after } => {
            CrawlAnswer::Sweep(index.absent(stream, from.clone(), after.clone(), SWEEP).await.into())
        }
        Step::Below { of, lists, crawl } => {
            CrawlAnswer::Below(index.below(stream, of.clone(), lists, *crawl, BELOW).await.into())
        }
    }
}

/// What a task came to; nothing of one that was cancelled, of which nothing was seen, so that nothing is lost.
///
/// # Panics
/// If the task did: polls and steps are total, and a fault of ours must not be passed over.
fn finished<T>(task: Result<T, JoinError>) -> Option<T> {
    match task {
        Ok(done) => Some(done),
        Err(error) if error.is_cancelled() => None,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn committer_ended() -> SessionEnd {
    SinkError::unavailable("write to the sink", "the committer's task ended").into()
}
