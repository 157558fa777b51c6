//! Connects the core to the outside: runs sessions of the sink, one after the other, until it is stopped.
//!
//! The path of a page: [`Source::poll`] on a task of its own →
//! [`Engine::handle_outcome`] → [`Engine::take_batch`] → [`Committer::commit`]
//! on the committer's task → [`Engine::committed`], and the stream is due again.
//!
//! [`Engine::handle_outcome`]: bridge_core::engine::Engine::handle_outcome
//! [`Engine::take_batch`]: bridge_core::engine::Engine::take_batch
//! [`Engine::committed`]: bridge_core::engine::Engine::committed

mod committer;
mod session;

use crate::clock::Clock;
use crate::observe::{BridgeEvent, Observer, SessionEnd};

use crate::asana::Source;
use crate::index::service::IndexHandle;
use crate::sink::{CommitError, Committer, Ownership, SinkError};
use bridge_core::checkpoint::CheckpointError;
use bridge_core::engine::schedule::backoff::Backoff;
use bridge_core::engine::{AccountSpec, Settings, StreamSpec};
use bridge_core::ids::StreamId;
use session::Session;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// What the bridge polls, for any sink. A changed configuration results in a new plan.
#[derive(Clone, Debug)]
pub struct Plan<S> {
    /// The engine's settings, from the configuration.
    pub settings: Settings,
    /// The accounts with their request limits.
    pub accounts: Vec<AccountSpec>,
    /// The streams to poll.
    pub streams: Vec<StreamSpec>,
    /// The source that is polled, by account.
    pub source: Arc<S>,
}

/// Why the bridge ended with an error.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// The sink couldn't be opened, or its setup isn't as the bridge needs it.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The stored checkpoint can't be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// The time for which the bridge retries a sink that it could never reach, before the process ends with the error.
const FIRST_OPEN_TIMEOUT: Duration = Duration::from_secs(60);
/// The backoff between sessions.
const REOPEN: Backoff = Backoff { first: Duration::from_millis(500), longest: Duration::from_secs(15) };

/// Runs until `stop`: opens the sink, bridges, and opens the sink again whenever a session ends. The newest plan
/// counts. The number of shards, the topic and the replica's name must be the same in all plans. The streams from
/// `poll_requests` are polled at once. Each message of `renewals` ends the session gracefully, and the next session
/// begins at once.
///
/// # Errors
/// None if the reader of the console sink's output is gone: the bridge ends then.
/// [`BridgeError`]: the sink was never reachable, or the operator has to act. Once a session has run, the bridge keeps
/// retrying a bus that can't be reached or that rejects the credentials.
///
/// # Cancel safety
/// Cancel through `stop`. If the future is dropped instead, nothing that was committed is lost, and takeovers are late.
pub async fn run<S, C, F>(
    mut plans: watch::Receiver<Arc<Plan<S>>>,
    open: impl Fn() -> F,
    index: IndexHandle,
    mut poll_requests: mpsc::Receiver<StreamId>,
    mut renewals: mpsc::Receiver<()>,
    observer: Arc<dyn Observer>,
    stop: CancellationToken,
) -> Result<(), BridgeError>
where
    S: Source + 'static,
    C: Committer + 'static,
    F: Future<Output = Result<(C, Ownership), SinkError>>,
{
    let clock = Clock::start();
    let replica = plans.borrow().settings.replica.clone();
    let (mut failures, mut has_run) = (0, false);
    while !stop.is_cancelled() {
        // Earlier renewals are part of the session that begins now.
        while renewals.try_recv().is_ok() {}
        let opened = tokio::select! {
            opened = open() => opened,
            () = stop.cancelled() => break,
        };
        let began = clock.now().monotonic;
        let end = match opened {
            Err(error) => SessionEnd::Sink(error),
            Ok((committer, ownership)) => {
                has_run = true;
                observer.notify(&BridgeEvent::SessionOpened);
                let until = stop.child_token();
                let session = Session::new(
                    &mut plans,
                    &mut poll_requests,
                    committer.batch_limits(),
                    index.clone(),
                    Arc::clone(&observer),
                    clock,
                );
                tokio::select! {
                    end = session.run(committer, ownership, until.clone()) => end,
                    never = end_at_renewal(&mut renewals, &until) => match never {},
                }
            }
        };
        observer.notify(&BridgeEvent::SessionEnded(&end));
        match end {
            SessionEnd::Stopped if stop.is_cancelled() => break,
            SessionEnd::Sink(SinkError::ReaderGone) | SessionEnd::Commit(CommitError::Fatal(SinkError::ReaderGone)) => {
                tracing::info!("standard output closed by its reader, ending");
                break;
            }
            SessionEnd::Stopped => tracing::info!("session ended, reopening with changed credentials"),
            SessionEnd::Checkpoint(error) => return Err(error.into()),
            SessionEnd::Sink(error @ SinkError::Setup { .. })
            | SessionEnd::Commit(CommitError::Fatal(error @ SinkError::Tampered { .. })) => return Err(error.into()),
            SessionEnd::Sink(error @ SinkError::Refused { .. }) if !has_run => return Err(error.into()),
            SessionEnd::Sink(error) if !has_run && clock.now().monotonic > FIRST_OPEN_TIMEOUT => {
                return Err(error.into());
            }
            SessionEnd::Sink(_) | SessionEnd::Commit(_) => {
                let now = clock.now().monotonic;
                // After a session of some length, the count of failures starts again.
                failures = if now > began + REOPEN.longest { 1 } else { failures + 1 };
                let pause = REOPEN.delay(failures, &replica);
                observer.notify(&BridgeEvent::Restarting { end: &end, retry_in: pause });
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = stop.cancelled() => {}
                }
            }
        }
    }
    if index.flush().await.is_err() {
        tracing::debug!(hint = "crawls fill it after the next start", "state index incomplete");
    }
    Ok(())
}

/// Cancels `until` when a renewal arrives.
async fn end_at_renewal(renewals: &mut mpsc::Receiver<()>, until: &CancellationToken) -> Infallible {
    while let Some(()) = renewals.recv().await {
        until.cancel();
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asana::Accounts;
    use crate::config::CheckedFile;
    use crate::index::Index;
    use crate::observe::LogObserver;
    use crate::sink::file;
    use bridge_core::engine::{CrawlSettings, Settings, StateSettings};
    use bridge_core::ids::Deployment;
    use bridge_core::record::encoding::Encodings;
    use bridge_core::record::topic::TopicTemplate;
    use bridge_core::record::trace::Sampling;
    use std::num::NonZeroU32;
    use std::sync::Mutex;

    fn refused() -> SinkError {
        SinkError::Refused { problem: "wrong password".to_owned(), remedy: "give the right one".to_owned() }
    }

    /// Opens a sink that works where `script` says so, the last entry first. What is left of the script, and the end.
    async fn follow(script: Vec<Result<(), SinkError>>) -> (usize, Result<(), BridgeError>) {
        let folder = tempfile::tempdir().unwrap();
        let config = CheckedFile { path: folder.path().join("records"), checkpoint: folder.path().join("checkpoint") };
        let settings = Settings {
            shards: NonZeroU32::MIN,
            topic: TopicTemplate::parse("asana.events", 16).unwrap(),
            min_interval: Duration::from_secs(5),
            max_interval: Duration::from_secs(60),
            commit_interval: Duration::ZERO,
            quiet_wait: Duration::ZERO,
            max_records: 10,
            max_pending_bytes: 1_000,
            watermark_interval: Duration::from_secs(60),
            replica: "r".to_owned(),
            deployment: Deployment::default(),
            dead_letter_topic: "dead".to_owned(),
            crawl: CrawlSettings::default(),
            all_known: true,
            sampling: Sampling::NONE,
            state: StateSettings::default(),
            encodings: Encodings::default(),
        };
        let source = Arc::new(Accounts::default());
        let (_plans_to, plans) =
            watch::channel(Arc::new(Plan { settings, accounts: Vec::new(), streams: Vec::new(), source }));
        let index = IndexHandle::start(Index::temporary().unwrap()).unwrap();
        let (renewals_to, renewals) = mpsc::channel(1);
        let (_poll_requests_to, poll_requests) = mpsc::channel(1);
        let (stop, script) = (CancellationToken::new(), Mutex::new(script));
        let open = async || {
            let next = script.lock().unwrap().pop();
            let opened = match next.unwrap_or(Ok(())) {
                Ok(()) => file::open(&config, NonZeroU32::MIN).await?,
                Err(error) => return Err(error),
            };
            if script.lock().unwrap().is_empty() {
                stop.cancel();
            } else {
                renewals_to.try_send(()).unwrap();
            }
            Ok(opened)
        };
        let observer = Arc::new(LogObserver::default());
        let end = run(plans, open, index, poll_requests, renewals, observer, stop.clone()).await;
        (script.into_inner().unwrap().len(), end)
    }

    #[tokio::test(start_paused = true)]
    async fn a_login_that_was_accepted_once_is_tried_again() {
        let (left, end) = follow(vec![Ok(()), Err(refused()), Err(refused()), Ok(())]).await;
        assert!(left == 0 && end.is_ok(), "{left} {end:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_is_gone_ends_the_bridge_without_an_error() {
        let (left, end) = follow(vec![Ok(()), Err(SinkError::ReaderGone)]).await;
        assert!(left == 1 && end.is_ok(), "{left} {end:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_login_that_was_never_accepted_is_told() {
        let (left, end) = follow(vec![Ok(()), Err(refused())]).await;
        assert!(left == 1 && matches!(end, Err(BridgeError::Sink(SinkError::Refused { .. }))), "{left} {end:?}");
    }
}
