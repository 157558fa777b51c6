//! One session: from the opening of the sink to the end.
//!
//! The loop only passes things on: the [`Engine`] decides what to poll, what to commit and when to act again. The
//! `select!` awaits nothing that must not be interrupted: polls and the committer run on tasks of their own.

use super::Plan;
use super::committer::{self, Request, serve};
use crate::asana::Source;
use crate::clock::Clock;
use crate::index::service::IndexHandle;
use crate::observe::{BridgeEvent, Observer, SessionEnd};
use crate::sink::refresh_log::{Logged, Reading, RefreshLog, What};
use crate::sink::{CommitError, Committer, Ownership, OwnershipEvent, SinkError};
use bridge_core::checkpoint;
use bridge_core::engine::{
    CommitSummary, CrawlAnswer, CrawlStep, Engine, Poll, Probe, RefreshRead, RefreshRequest, Step, TopicFailure,
    TopicVerdict,
};
use bridge_core::ids::{Gid, StreamId, Topic};
use bridge_core::outcome::list::{ListOutcome, MOST_ON_A_PAGE};
use bridge_core::outcome::poll::{Polled, Probed};
use bridge_core::record::batch::{BatchLimits, OutputTopic};
use bridge_core::state::EntryError;
use bridge_core::stream::Notice;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// The time that polls in flight may still take after the order to stop. Most are answered by then. The next owner of
/// the shards repeats the others.
pub(super) const POLL_GRACE: Duration = Duration::from_millis(500);
/// The time that the commit of polled events may still take after the order to stop. Together with [`CLOSE_TIMEOUT`] it
/// is below the grace period that Kubernetes gives a pod.
pub(super) const DRAIN_TIMEOUT: Duration = Duration::from_secs(15);
/// The timeout of releasing ownership.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// The maximum interval between two runs of the loop.
const TURN_INTERVAL: Duration = Duration::from_secs(1);
/// If the loop didn't run for this time, the process stalled: other replicas may own its shards, and use its part of
/// the budgets. Below any timeout after which they would.
const STALL: Duration = Duration::from_secs(4);
/// After a stall, polling pauses for this time, so that the bus can report a loss of ownership.
const STALL_PAUSE: Duration = Duration::from_secs(2);

/// The maximum number of resources of the index that one step of a crawl checks.
const SWEEP: usize = 100;
/// The maximum number of resources below a vanished resource that one step of a crawl reads from the index.
const BELOW: usize = 500;

/// The interval between two log lines with the progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(60);

/// The moving parts of a session.
pub(super) struct Session<'a, S> {
    engine: Engine,
    plans: &'a mut watch::Receiver<Arc<Plan<S>>>,
    plan: Arc<Plan<S>>,
    /// The streams for which webhooks request a poll.
    poll_requests: &'a mut mpsc::Receiver<StreamId>,
    observer: Arc<dyn Observer>,
    clock: Clock,
    /// The probes in flight. Each returns its duration, too.
    probes: JoinSet<(Probe, Probed, Duration)>,
    polls: JoinSet<(Poll, Polled, Duration)>,
    /// The index of the streams' published resources.
    index: IndexHandle,
    crawl_steps: JoinSet<(CrawlStep, CrawlAnswer, Duration)>,
    refreshes: JoinSet<(RefreshRequest, ListOutcome, Duration)>,
    /// The reading of the refresh log; entries of an earlier one don't count.
    reading: u64,
    /// Whether the committer has a request that it hasn't answered.
    busy: bool,
    progress: Progress,
}

/// What was published since the last log line with the progress.
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
        limits: BatchLimits,
        index: IndexHandle,
        observer: Arc<dyn Observer>,
        clock: Clock,
    ) -> Self {
        let plan = Arc::clone(&plans.borrow_and_update());
        let engine = Engine::new(plan.settings.clone(), limits, &plan.accounts, &plan.streams);
        let progress = Progress { said: clock.now().monotonic, ..Progress::default() };
        let (probes, polls, crawl_steps, refreshes) = (JoinSet::new(), JoinSet::new(), JoinSet::new(), JoinSet::new());
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
            refreshes,
            reading: 0,
            busy: false,
            progress,
        }
    }

    /// Runs until something ends the session, then closes the sink.
    pub(super) async fn run<C: Committer + 'static>(
        mut self,
        mut committer: C,
        ownership: Ownership,
        stop: CancellationToken,
    ) -> SessionEnd {
        // At most one request is open: room for one.
        let (requests, inbox) = mpsc::channel(1);
        let (outbox, answers) = mpsc::channel(1);
        let log = committer.refresh_log();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(committer, inbox, outbox));
        let end = match self.steps(&requests, answers, ownership, log, stop).await {
            Ok(()) => SessionEnd::Stopped,
            Err(end) => end,
        };
        drop(requests);
        self.probes.shutdown().await;
        self.polls.shutdown().await;
        self.crawl_steps.shutdown().await;
        self.refreshes.shutdown().await;
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
        mut answers: mpsc::Receiver<committer::CommitterReply>,
        mut ownership: Ownership,
        mut log: RefreshLog,
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
            self.observer.notify(&BridgeEvent::Turned(&self.engine, now));
            self.send_probes();
            self.send_crawl_steps();
            self.send_polls();
            self.send_refreshes();
            self.tell_missed();
            self.tell_accounts();
            if !self.busy {
                // Before the next request: if requests follow each other without a pause, nothing else would get its
                // turn.
                while let Ok(event) = ownership.try_recv() {
                    self.handle_ownership(Some(event))?;
                }
                if self.plans.has_changed().unwrap_or_default() {
                    self.handle_plan();
                }
            }
            self.follow_log(&log);
            self.send_request(requests).await?;
            if drain_until.is_some() && self.polls.is_empty() && self.engine.is_drained() {
                return Ok(());
            }
            tokio::select! {
                Some(probed) = self.probes.join_next() => self.handle_probe(probed),
                Some(polled) = self.polls.join_next() => self.handle_poll(polled),
                Some(answered) = self.crawl_steps.join_next() => self.handle_crawl_step(answered),
                Some(read) = self.refreshes.join_next() => self.handle_refresh(read),
                Some(entries) = log.entries.recv(), if self.engine.wants_log() => self.handle_logged(entries?)?,
                answer = answers.recv() => self.handle_answer(answer).await?,
                // The engine's shards don't change during a commit.
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

    fn send_refreshes(&mut self) {
        while let Some(request) = self.engine.next_refresh(self.clock.now()) {
            let (source, clock) = (Arc::clone(&self.plan.source), self.clock);
            self.refreshes.spawn(async move {
                let began = clock.now().monotonic;
                let RefreshRequest { account, read, .. } = &request;
                let outcome = match read {
                    RefreshRead::One(listing) => source.list(account, listing, None, MOST_ON_A_PAGE).await,
                    RefreshRead::Tasks { project, since, offset } => {
                        source.modified_tasks(account, project, *since, offset.as_deref()).await
                    }
                };
                (request, outcome, clock.now().monotonic.saturating_sub(began))
            });
        }
    }

    fn handle_refresh(&mut self, read: Result<(RefreshRequest, ListOutcome, Duration), JoinError>) {
        let Some((request, outcome, took)) = finished(read) else { return };
        let account = &request.account;
        self.observer.notify(&BridgeEvent::Answered { account, outcome: outcome.label(), took });
        if let Some(notice) = self.engine.handle_refresh(self.clock.now(), &request, outcome) {
            self.observer.notify(&BridgeEvent::Refresh(&notice));
        }
    }

    /// If shards have come or gone, the log is read where they say.
    fn follow_log(&mut self, log: &RefreshLog) {
        let tenures = self.engine.log_tenures();
        if self.reading != tenures {
            self.reading = tenures;
            // Without a reader the session ends.
            log.wanted.send(Reading { number: tenures, places: self.engine.log_places() }).ok();
        }
    }

    fn handle_logged(&mut self, entries: Vec<Logged>) -> Result<(), SessionEnd> {
        let now = self.clock.now();
        for Logged { reading, shard, what } in entries {
            if reading != self.reading {
                continue;
            }
            let What::Entry { place, value } = what else {
                self.engine.note_log_end(shard);
                continue;
            };
            match self.engine.note_logged(now, shard, place, &value) {
                Ok(()) => {}
                Err(error @ EntryError::Unreadable(_)) => tracing::warn!(
                    %error,
                    shard = shard.0,
                    place,
                    hint = "only the bridge may write to the refresh log",
                    "foreign entry in the refresh log ignored"
                ),
                Err(error @ EntryError::NewerFormat(_)) => {
                    let remedy = "upgrade this replica: a newer one has written to the refresh log".to_owned();
                    return Err(SinkError::Setup { problem: error.to_string(), remedy }.into());
                }
            }
        }
        Ok(())
    }

    /// Sends the committer its next request, if there is one.
    async fn send_request(&mut self, requests: &mpsc::Sender<Request>) -> Result<(), SessionEnd> {
        if self.busy {
            return Ok(());
        }
        let request = match self.engine.next_topic_refresh(self.clock.now()) {
            Some(topic) => Request::OutputTopic(topic),
            None => match self.engine.take_batch(self.clock.now()) {
                Some(batch) => {
                    if let Some(trace) = self.engine.commit_trace() {
                        self.observer.notify(&BridgeEvent::Committing(&batch, trace));
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
        let (account, outcome) = (&probe.account, probed.verdict.label());
        self.observer.notify(&BridgeEvent::Answered { account, outcome, took });
        self.engine.handle_probe(self.clock.now(), &probe, probed);
    }

    fn handle_poll(&mut self, polled: Result<(Poll, Polled, Duration), JoinError>) {
        let Some((poll, polled, took)) = finished(polled) else { return };
        let (account, outcome) = (&poll.stream.id.account, polled.outcome.label());
        self.observer.notify(&BridgeEvent::Answered { account, outcome, took });
        self.observer.notify(&BridgeEvent::Polled { poll: &poll, outcome: &polled.outcome, took });
        if let Some(notice) = self.engine.handle_outcome(self.clock.now(), &poll, polled) {
            self.notify_stream(&poll.stream.id, &notice);
        }
    }

    /// Takes all poll requests that are waiting, in one run of the loop.
    fn request_polls(&mut self, stream: StreamId) {
        let mut next = Some(stream);
        while let Some(stream) = next {
            self.engine.request_poll(self.clock.now(), &stream);
            next = self.poll_requests.try_recv().ok();
        }
    }

    fn handle_crawl_step(&mut self, answered: Result<(CrawlStep, CrawlAnswer, Duration), JoinError>) {
        let Some((step, answer, took)) = finished(answered) else { return };
        let answered = match (&step.step, &answer) {
            (Step::List { account, .. }, CrawlAnswer::List(outcome, _)) => Some((account, outcome)),
            (_, CrawlAnswer::Ask(outcome, _)) => Some((&step.stream.account, outcome)),
            _ => None,
        };
        if let Some((account, outcome)) = answered {
            self.observer.notify(&BridgeEvent::Answered { account, outcome: outcome.label(), took });
        }
        if let Some(notice) = self.engine.handle_crawl_step(self.clock.now(), &step, answer) {
            self.notify_stream(&step.stream, &notice);
        }
    }

    fn notify_stream(&self, stream: &StreamId, notice: &Notice) {
        self.observer.notify(&BridgeEvent::Stream(&self.engine.place(stream), notice));
    }

    fn tell_accounts(&mut self) {
        for (account, notice) in self.engine.take_account_notices() {
            self.observer.notify(&BridgeEvent::Account(&account, notice));
        }
    }

    fn tell_missed(&mut self) {
        for (stream, gids) in self.engine.take_missed() {
            self.notify_stream(&stream, &Notice::Missed(gids));
        }
    }

    async fn handle_answer(&mut self, answer: Option<committer::CommitterReply>) -> Result<(), SessionEnd> {
        self.busy = false;
        match answer.ok_or_else(committer_ended)? {
            committer::CommitterReply::OutputTopic(topic, known) => self.handle_topic(&topic, known)?,
            committer::CommitterReply::Commit(Ok(())) => {
                let mut summary = self.engine.committed(self.clock.now());
                // Before any step that reads the index: it has to contain this commit by then.
                self.index.apply(std::mem::take(&mut summary.updates)).await;
                self.say_progress(&summary);
                self.observer.notify(&BridgeEvent::Committed(&summary));
                for (stream, notice) in &summary.notices {
                    self.notify_stream(stream, notice);
                }
            }
            committer::CommitterReply::Commit(Err(error)) => {
                self.observer.notify(&BridgeEvent::CommitFailed(&error));
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

    /// Logs the progress once per interval.
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
                    SinkError::Refused { .. }
                    | SinkError::Setup { .. }
                    | SinkError::Tampered { .. }
                    | SinkError::ReaderGone => TopicFailure::Unusable,
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

    /// Switches to the newest plan.
    fn handle_plan(&mut self) {
        self.plan = Arc::clone(&self.plans.borrow_and_update());
        let Plan { settings, accounts, streams, .. } = self.plan.as_ref();
        self.engine.reconfigure(self.clock.now(), settings.clone(), accounts, streams);
        self.tell_owned();
    }

    fn tell_owned(&self) {
        let (shards, streams) = self.engine.owned();
        self.observer.notify(&BridgeEvent::OwnershipChanged { shards: &shards, streams });
    }

    fn handle_ownership(&mut self, event: Option<OwnershipEvent>) -> Result<(), SessionEnd> {
        let ended = || SinkError::unavailable("keep the shards", "the sink's ownership ended");
        match event.ok_or_else(ended)? {
            OwnershipEvent::Assigned(shards) => {
                let now = self.clock.now();
                for (shard, stored) in shards {
                    let state = checkpoint::restore(shard, &stored, self.plan.settings.expected(), now.wall)?;
                    self.engine.assign(now, shard, state);
                    self.observer.notify(&BridgeEvent::ShardAssigned(shard, self.engine.epoch(shard)));
                }
            }
            OwnershipEvent::Revoked { shards, done } => {
                self.engine.revoke(self.clock.now(), &shards);
                // Dropping it would answer, too. The receiver may have stopped waiting.
                done.send(()).ok();
            }
            OwnershipEvent::Lost(shards) => self.engine.revoke(self.clock.now(), &shards),
            OwnershipEvent::Emptied(shards) => {
                tracing::warn!(
                    shards = shards.len(),
                    hint = "look who deletes from the topic or JetStream stream",
                    "checkpoint entries deleted from the bus, writing all of them again"
                );
                self.engine.rewrite(self.clock.now(), &shards);
            }
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

/// The result of a task; `None` if it was cancelled: nothing of it was used, so nothing is lost.
///
/// # Panics
/// If the task panicked: polls and steps are total, and our own bug must not be ignored.
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
