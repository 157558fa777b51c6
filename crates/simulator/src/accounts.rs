//! Which tokens may call, how often, and how many calls at once: one budget per token.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use serde_json::{Map, Value, json};

use super::{
    scenario::{Limits, TokenSpec},
    time::Timestamp,
};

/// The window over which Asana counts requests, in milliseconds.
const WINDOW: u64 = 60_000;

/// The requests of the last minute, in counters of one millisecond.
#[derive(Debug, Default)]
struct Window {
    counted: VecDeque<(u64, u32)>,
    total: u32,
    /// The maximum number of requests in any minute.
    most: u32,
}

impl Window {
    fn forget(&mut self, now: u64) {
        while let Some(&(oldest, count)) = self.counted.front()
            && oldest + WINDOW <= now
        {
            self.total -= count;
            self.counted.pop_front();
        }
    }

    /// Counts a request. `Err` has the seconds until a request would be accepted, if no other comes before.
    fn count(&mut self, elapsed: Duration, limit: Option<u32>) -> Result<(), u64> {
        let now = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        self.forget(now);
        let limit = limit.unwrap_or(u32::MAX);
        let refused = self.total >= limit;
        match self.counted.back_mut() {
            Some((last, count)) if *last == now => *count += 1,
            _ => self.counted.push_back((now, 1)),
        }
        self.total += 1;
        self.most = self.most.max(self.total);
        if !refused {
            return Ok(());
        }
        let mut left = self.total;
        for &(then, count) in &self.counted {
            left -= count;
            if left < limit {
                return Err((then + WINDOW).saturating_sub(now).div_ceil(1_000).max(1));
            }
        }
        Err(WINDOW / 1_000)
    }
}

/// One token's rights, budget and counters.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) serves_domain: bool,
    /// Index of the world's user who owns the token.
    pub(crate) user: usize,
    /// The numbers of workspaces that have disabled the app.
    pub(crate) unauthorized_workspaces: Vec<usize>,
    /// The numbers of projects that the token can't access.
    pub(crate) hidden_projects: Vec<usize>,
    per_minute: Option<u32>,
    concurrent: Option<u32>,
    window: Window,
    in_flight: u32,
    most_in_flight: u32,
    requests: u64,
    rejected: u64,
    /// The number of rejected calls beyond the budget of a minute.
    over_rate: u64,
    /// The number of rejected calls beyond the limit of reads in flight.
    over_concurrency: u64,
}

/// Why a call is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Unauthorized,
    /// Too many requests, with the seconds for `Retry-After`.
    Throttled(u64),
}

#[derive(Debug)]
struct AccessToken {
    account: String,
    expires: Timestamp,
}

/// All tokens of a simulator.
#[derive(Debug)]
pub(crate) struct Accounts {
    by_token: BTreeMap<String, Account>,
    access: BTreeMap<String, AccessToken>,
    unauthorized: u64,
}

/// The seconds in `Retry-After` for a call beyond the concurrency limit: long enough for calls in flight to end.
const CONCURRENCY_WAIT: u64 = 5;

impl Accounts {
    pub(crate) fn new(tokens: &[TokenSpec], limits: &Limits) -> Self {
        let account = |spec: &TokenSpec| Account {
            serves_domain: spec.service_account,
            user: spec.user,
            unauthorized_workspaces: spec.unauthorized_workspaces.clone(),
            hidden_projects: spec.hidden_projects.clone(),
            per_minute: spec.rate_per_minute.or(limits.rate_per_minute).filter(|n| *n > 0),
            concurrent: limits.concurrent_reads.filter(|n| *n > 0),
            window: Window::default(),
            in_flight: 0,
            most_in_flight: 0,
            requests: 0,
            rejected: 0,
            over_rate: 0,
            over_concurrency: 0,
        };
        let each = tokens.iter().map(|spec| (spec.token.clone(), account(spec)));
        Self { by_token: each.collect(), access: BTreeMap::new(), unauthorized: 0 }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Account> {
        self.by_token.get(name)
    }

    /// Admits a call, or rejects it. Rejected calls are counted, too. Returns the account's name: its token, or the one
    /// that OAuth tokens stand for.
    pub(crate) fn admit(&mut self, bearer: Option<&str>, elapsed: Duration, now: Timestamp) -> Result<String, Refusal> {
        let name = bearer.and_then(|bearer| self.name(bearer, now));
        let Some((name, account)) = name.and_then(|name| Some((name.clone(), self.by_token.get_mut(&name)?))) else {
            self.unauthorized += 1;
            return Err(Refusal::Unauthorized);
        };
        account.requests += 1;
        if let Err(wait) = account.window.count(elapsed, account.per_minute) {
            account.rejected += 1;
            account.over_rate += 1;
            return Err(Refusal::Throttled(wait));
        }
        if account.concurrent.is_some_and(|limit| account.in_flight >= limit) {
            account.rejected += 1;
            account.over_concurrency += 1;
            return Err(Refusal::Throttled(CONCURRENCY_WAIT));
        }
        account.in_flight += 1;
        account.most_in_flight = account.most_in_flight.max(account.in_flight);
        Ok(name)
    }

    fn name(&self, bearer: &str, now: Timestamp) -> Option<String> {
        if let Some(token) = self.access.get(bearer) {
            return (now < token.expires).then(|| token.account.clone());
        }
        self.by_token.contains_key(bearer).then(|| bearer.to_owned())
    }

    /// Sets the budget of a token, which counts from now on; 0 or none removes it. Returns whether the token exists.
    pub(crate) fn set_rate(&mut self, token: &str, per_minute: Option<u32>) -> bool {
        let account = self.by_token.get_mut(token);
        account.map(|account| account.per_minute = per_minute.filter(|n| *n > 0)).is_some()
    }

    /// Sets what a token can't access, by numbers from 0. Returns whether the token exists.
    pub(crate) fn set_sight(&mut self, token: &str, unauthorized: Vec<usize>, hidden: Vec<usize>) -> bool {
        let account = self.by_token.get_mut(token);
        account.map(|it| (it.unauthorized_workspaces, it.hidden_projects) = (unauthorized, hidden)).is_some()
    }

    /// Counts a 429 that a fault caused.
    pub(crate) fn rejected_by_fault(&mut self, name: &str) {
        if let Some(account) = self.by_token.get_mut(name) {
            account.rejected += 1;
        }
    }

    /// Notes that the answer to an admitted call was sent.
    pub(crate) fn release(&mut self, name: &str) {
        if let Some(account) = self.by_token.get_mut(name) {
            account.in_flight = account.in_flight.saturating_sub(1);
        }
    }

    /// Admits a new access token as the account, until it expires.
    pub(crate) fn admit_access(&mut self, token: String, account: String, expires: Timestamp, now: Timestamp) {
        self.access.retain(|_, token| now < token.expires);
        self.access.insert(token, AccessToken { account, expires });
    }

    /// The end of an access token that was admitted.
    pub(crate) fn access_until(&self, token: &str) -> Option<Timestamp> {
        self.access.get(token).map(|token| token.expires)
    }

    /// Admits an access token no more.
    pub(crate) fn revoke_access(&mut self, token: &str) {
        self.access.remove(token);
    }

    /// The counters by token, and the number of calls without a valid token.
    pub(crate) fn stats(&self) -> (Map<String, Value>, u64) {
        let mut tokens = Map::new();
        for (name, account) in &self.by_token {
            let line = json!({
                "requests": account.requests,
                "rejected": account.rejected,
                "over_rate": account.over_rate,
                "over_concurrency": account.over_concurrency,
                "rate_per_minute": account.per_minute,
                "most_in_a_minute": account.window.most,
                "in_flight": account.in_flight,
                "most_in_flight": account.most_in_flight,
            });
            tokens.insert(name.clone(), line);
        }
        (tokens, self.unauthorized)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(window: &mut Window, second: u64, limit: u32) -> Result<(), u64> {
        window.count(Duration::from_secs(second), Some(limit))
    }

    #[test]
    fn rejected_calls_count_against_the_budget() {
        let mut patient = Window::default();
        let mut hasty = Window::default();
        for _ in 0..10 {
            assert!(count(&mut patient, 0, 10).is_ok());
            assert!(count(&mut hasty, 0, 10).is_ok());
        }
        assert_eq!(count(&mut patient, 30, 10), Err(30));
        for second in 30..59 {
            assert!(count(&mut hasty, second, 10).is_err());
        }
        assert!(count(&mut patient, 60, 10).is_ok());
        assert!(count(&mut hasty, 60, 10).is_err(), "29 rejected calls still count");
        assert_eq!(hasty.most, 39);
    }

    #[test]
    fn the_wait_that_is_told_is_enough() {
        let mut window = Window::default();
        for second in 0..20 {
            assert!(count(&mut window, second, 20).is_ok());
        }
        let wait = count(&mut window, 20, 20).unwrap_err();
        assert!(count(&mut window, 20 + wait, 20).is_ok());
    }

    #[test]
    fn a_minute_slides_by_the_millisecond() {
        let mut window = Window::default();
        assert!(window.count(Duration::from_millis(999), Some(1)).is_ok());
        assert_eq!(window.count(Duration::from_millis(60_998), Some(1)), Err(60), "itself, then");
        let mut window = Window::default();
        assert!(window.count(Duration::from_millis(999), Some(1)).is_ok());
        assert!(window.count(Duration::from_millis(60_999), Some(1)).is_ok());
        assert_eq!(window.most, 1);
    }
}
