//! Runs the bridge in this process, and watches it.

use super::machine::{Mark, Usage};
use super::world::World;
use asana_event_bridge::commands::run;
use asana_event_bridge::config::{self, Environment, Source};
use asana_event_bridge::observe::{BridgeEvent, LogObserver, Observer};
use bridge_core::engine::CommitSummary;
use bridge_core::ids::StreamId;
use bridge_core::outcome::poll::PollOutcome;
use bridge_core::stream::Notice;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// What the bridge did.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) established: BTreeSet<StreamId>,
    pub(crate) owns: bool,
    pub(crate) first_poll: Option<Instant>,
    pub(crate) events: usize,
    pub(crate) messages: usize,
    /// When each commit with events ended, and how many it had.
    pub(crate) commits: Vec<(Instant, usize)>,
    /// Time from the arrival of each page to the end of its commit.
    pub(crate) latencies: Vec<Duration>,
    /// Time of each poll that returned events.
    pub(crate) polls: Vec<Duration>,
}

#[derive(Debug, Default)]
pub(crate) struct Watcher {
    seen: Mutex<Seen>,
    changed: Notify,
}

impl Watcher {
    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    pub(crate) async fn until(&self, done: impl Fn(&Seen) -> bool) {
        while !done(&self.seen()) {
            self.changed.notified().await;
        }
    }
}

impl Observer for Watcher {
    fn notify(&self, event: &BridgeEvent<'_>) {
        match event {
            BridgeEvent::Committed(CommitSummary { messages, events, latencies, .. }) => {
                let mut seen = self.seen();
                seen.events += events;
                seen.messages += messages;
                if *events > 0 {
                    seen.commits.push((Instant::now(), *events));
                    seen.latencies.extend_from_slice(latencies);
                }
            }
            BridgeEvent::Polled { outcome, took, .. } => {
                let mut seen = self.seen();
                seen.first_poll.get_or_insert_with(Instant::now);
                match outcome {
                    PollOutcome::Page(page) if !page.events.is_empty() => seen.polls.push(*took),
                    _ => return,
                }
            }
            BridgeEvent::Stream(place, Notice::Established) => {
                self.seen().established.insert(place.stream.clone());
            }
            BridgeEvent::Stream(place, other) => panic!("{}: {other:?}", place.stream),
            BridgeEvent::OwnershipChanged { streams, .. } => self.seen().owns = *streams > 0,
            BridgeEvent::CommitFailed(_) => return LogObserver::default().notify(event),
            _ => return,
        }
        self.changed.notify_one();
    }
}

/// A bridge that can be started again and again, with the state that is on the bus.
#[derive(Debug)]
pub(crate) struct Bridge {
    runtime: tokio::runtime::Runtime,
    configuration: Value,
}

impl Bridge {
    pub(crate) fn new(configuration: Value) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        Self { runtime, configuration }
    }

    /// Runs it until each of its streams has a token.
    pub(crate) fn establish(&self) {
        let streams = self.configuration["streams"].as_array().unwrap().len();
        self.run(|seen| seen.established.len() >= streams);
    }

    /// Runs it until `done`. Returns what it did, and what it used from the moment when it owned its streams.
    pub(crate) fn run(&self, done: impl Fn(&Seen) -> bool) -> (Seen, Usage) {
        let watcher = Arc::new(Watcher::default());
        let mut usage = None;
        self.with(&watcher, async {
            watcher.until(|seen| seen.owns).await;
            let mark = Mark::now();
            watcher.until(done).await;
            usage = Some(mark.usage());
        });
        let seen = std::mem::take(&mut *watcher.seen());
        (seen, usage.unwrap())
    }

    /// Runs it as long as `beside` takes.
    pub(crate) fn with(&self, watcher: &Arc<Watcher>, beside: impl Future<Output = ()>) {
        let source = Source { document: Some(self.configuration.clone()), ..Source::default() };
        let checked = config::load(&source, &Environment::of([("TOKEN", World::token())])).expect("a configuration");
        let (stop, observer) = (CancellationToken::new(), Arc::<Watcher>::clone(watcher) as Arc<dyn Observer>);
        let (_, no_reloads) = tokio::sync::mpsc::channel(1);
        self.runtime.block_on(async {
            let beside = async {
                beside.await;
                stop.cancel();
            };
            let (ended, ()) = tokio::join!(run::run(checked, no_reloads, observer, stop.clone()), beside);
            ended.expect("the bridge runs");
        });
    }
}

/// The smallest that `percent` of them don't exceed; 0 if there are none.
pub(crate) fn quantile(times: &[Duration], percent: usize) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}

pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
