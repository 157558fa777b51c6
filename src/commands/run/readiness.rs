//! Reports once that all streams are established and read, so that people know what to do next.

use crate::observe::{BridgeEvent, Observer};
use bridge_core::engine::{Engine, Phase, Status, StreamStatus};
use bridge_core::now::Now;
use bridge_core::stream::{CrawlNotice, Notice};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The interval between two checks. Each also takes a time that grows with the number of streams, and so does the interval.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);
const FOR_EACH_STREAM: Duration = Duration::from_millis(5);

/// Follows the streams until all are ready.
#[derive(Debug)]
pub(super) struct Readiness {
    /// Whether new streams are crawled at once.
    crawls: bool,
    state: Mutex<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    is_reported: bool,
    next_check: Duration,
    resources_read: u64,
}

/// What is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ready {
    live: usize,
    suspended: usize,
}

impl Readiness {
    pub(super) fn new(crawls: bool) -> Self {
        Self { crawls, state: Mutex::default() }
    }

    fn check(&self, engine: &Engine, now: Now) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_reported || now.monotonic < state.next_check {
            return;
        }
        let status = engine.status(now);
        let streams = u32::try_from(status.streams.len()).unwrap_or(u32::MAX);
        state.next_check = now.monotonic + CHECK_INTERVAL + FOR_EACH_STREAM.saturating_mul(streams);
        let Some(Ready { live, suspended }) = ready(&status, self.crawls) else { return };
        state.is_reported = true;
        let suspended = (suspended > 0).then_some(suspended);
        let resources_read = self.crawls.then_some(state.resources_read).filter(|read| *read > 0);
        tracing::info!(
            streams = live,
            suspended,
            resources_read,
            hint = "change something in Asana",
            "all streams established, waiting for events"
        );
    }
}

impl Observer for Readiness {
    #[expect(clippy::wildcard_enum_match_arm, reason = "it follows two events only")]
    fn notify(&self, event: &BridgeEvent<'_>) {
        match event {
            BridgeEvent::Stream(_, Notice::Crawl(CrawlNotice::Ended { snapshots, .. })) => {
                self.state.lock().unwrap_or_else(PoisonError::into_inner).resources_read += snapshots;
            }
            BridgeEvent::Turned(engine, now) => self.check(engine, *now),
            _ => {}
        }
    }
}

/// The streams, if none of them still has to be established or crawled for the first time, and one is polled.
fn ready(status: &Status, crawls: bool) -> Option<Ready> {
    let is_pending = |stream: &StreamStatus| match stream.phase {
        Phase::Establishing => true,
        Phase::Live | Phase::Expired => crawls && stream.last_crawl_at.is_none(),
        Phase::Suspended(_) => false,
    };
    let is_suspended = |stream: &&StreamStatus| matches!(stream.phase, Phase::Suspended(_));
    let suspended = status.streams.iter().filter(is_suspended).count();
    let live = status.streams.len() - suspended;
    (live > 0 && !status.streams.iter().any(is_pending)).then_some(Ready { live, suspended })
}
