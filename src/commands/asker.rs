//! Sends the requests of a command, at half of an account's rate.

use crate::asana::{Accounts, Grant, Look, Refusal, Seen, Source as _};
use crate::clock::Clock;
use crate::config::{Checked, CheckedAccount};
use bridge_core::engine::schedule::budget::{Budget, Limit, Share};
use bridge_core::ids::AccountName;
use bridge_core::outcome::list::{ListOutcome, Listing, MOST_ON_A_PAGE};
use bridge_core::outcome::poll::Failure;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use tokio::sync::Mutex;

/// The share of an account's rate, in percent. A bridge that runs at the same time rarely uses all of its rate.
const PART: u32 = 50;

/// The maximum number of requests in flight.
pub(super) const AT_ONCE: usize = 8;

/// The maximum number of tries of a request that Asana throttles.
const TRIES: u32 = 3;

/// The pause before the next try while too many requests are in flight.
const IN_FLIGHT_PAUSE: Duration = Duration::from_millis(20);

/// Sends requests for one account.
pub(super) struct Asker<'a> {
    pub(super) checked: &'a Checked,
    accounts: &'a Accounts,
    pub(super) account: &'a CheckedAccount,
    pub(super) clock: Clock,
    pace: Mutex<Budget>,
    /// The index in the kinds of resources of the last match: streams that follow each other are mostly of the same kind.
    pub(super) likeliest: AtomicUsize,
}

impl<'a> Asker<'a> {
    pub(super) fn new(checked: &'a Checked, accounts: &'a Accounts, account: &'a CheckedAccount) -> Self {
        let clock = Clock::start();
        let whole = Limit { requests_per_minute: account.requests_per_minute, max_in_flight: account.max_in_flight };
        let limit = whole.part(PART);
        let mut pace = Budget::new(limit);
        pace.set(clock.now(), limit, Share { owned: 1, all: 1 });
        Self { checked, accounts, account, clock, pace: Mutex::new(pace), likeliest: AtomicUsize::new(0) }
    }

    pub(super) fn name(&self) -> &'a AccountName {
        &self.account.name
    }

    pub(super) async fn look(&self, look: &Look) -> Result<Seen, Refusal> {
        let throttled = |outcome: &Result<_, Refusal>| match outcome {
            Err(Refusal::Throttled { retry_after }) => Some(*retry_after),
            Ok(_) | Err(Refusal::Denied(_) | Refusal::Failed(_)) => None,
        };
        self.patiently(async || self.accounts.look(&self.account.name, look).await, throttled).await
    }

    /// What Asana tells of an OAuth account's refresh token, or why it tells nothing. `None` of other accounts.
    pub(super) async fn grant(&self) -> Option<Result<Grant, String>> {
        let client = self.accounts.client(&self.account.name).ok()?;
        // It isn't a request of the API, whose rate is limited.
        client.grant().await.map_err(|failure| reason(&failure)).transpose()
    }

    pub(super) async fn list(&self, listing: &Listing) -> ListOutcome {
        let throttled = |outcome: &ListOutcome| match outcome {
            ListOutcome::Throttled { retry_after } => Some(*retry_after),
            ListOutcome::Page(_)
            | ListOutcome::OffsetExpired
            | ListOutcome::CutOff
            | ListOutcome::Denied(_)
            | ListOutcome::Failed(_) => None,
        };
        self.patiently(async || self.accounts.list(&self.account.name, listing, None, MOST_ON_A_PAGE).await, throttled)
            .await
    }

    /// Repeats a request while Asana throttles it, with the pauses that Asana demands.
    async fn patiently<T>(&self, ask: impl AsyncFn() -> T, throttled: impl Fn(&T) -> Option<Duration>) -> T {
        for _ in 1..TRIES {
            let outcome = self.asked(ask()).await;
            let Some(retry_after) = throttled(&outcome) else { return outcome };
            self.pause(retry_after).await;
        }
        self.asked(ask()).await
    }

    /// Sends a request as soon as the account's rate allows one more.
    async fn asked<T>(&self, request: impl Future<Output = T>) -> T {
        loop {
            let mut pace = self.pace.lock().await;
            let now = self.clock.now();
            if pace.take(now) {
                break;
            }
            let wait = pace.available_at().map_or(IN_FLIGHT_PAUSE, |at| at.saturating_sub(now.monotonic));
            drop(pace);
            tokio::time::sleep(wait.max(Duration::from_millis(1))).await;
        }
        let outcome = request.await;
        self.pace.lock().await.finish();
        outcome
    }

    async fn pause(&self, retry_after: Duration) {
        let now = self.clock.now();
        if self.pace.lock().await.pause(now, retry_after) {
            let (account, seconds) = (&self.account.name, retry_after.as_secs());
            tracing::warn!(%account, seconds, "rate limit hit, waiting");
        }
    }
}

fn reason(failure: &Failure) -> String {
    match failure {
        Failure::Credential(words) | Failure::Connection(words) | Failure::Malformed(words) => words.clone(),
        Failure::TimedOut | Failure::Server { .. } | Failure::Gateway { .. } => failure.label().to_owned(),
    }
}
