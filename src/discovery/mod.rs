//! Streams from rules: reads the lists of projects and goals at intervals.
//!
//! The reasons and the alternatives: `docs/decisions/discovery.md`.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `mod` | which rule reads next, and at what rate |
//! | `rule` | a rule, the streams that it found, and the state of its current round; no IO |
//! | `pass` | one reading of all lists of a rule; no IO |
//! | `missing` | streams that a rule found and that its lists don't show any more; no IO |
//! | `alone` | the answer to a request for a single object; no IO |

mod alone;
mod missing;
mod pass;
mod rule;

use crate::asana::Source;
use crate::clock::Clock;
use crate::config::{Checked, CheckedDiscovery, CheckedRule};
use bridge_core::engine::StreamSpec;
use bridge_core::engine::schedule::budget::{Budget, Limit, Share};
use bridge_core::ids::AccountName;
use bridge_core::outcome::list::{ListOutcome, ListPage, MOST_ON_A_PAGE};
use pass::Pass;
use rule::Rule;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

/// The result of a rule's first page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstLook {
    /// The streams on the page.
    pub streams: BTreeSet<StreamSpec>,
    /// Whether there are more pages, or portfolios to read.
    pub more: bool,
}

/// The streams on a rule's first page, without a request for the others.
#[must_use]
pub fn first_look(rule: &CheckedRule, page: ListPage) -> FirstLook {
    let mut pass = Pass::new(rule);
    pass.take(rule, page);
    FirstLook { more: pass.next().is_some(), streams: pass.found }
}

/// All rules, with their state. Work happens only in [`changed`](Self::changed).
#[derive(Debug)]
pub struct Discovery<S> {
    clock: Clock,
    source: Arc<S>,
    interval: Duration,
    rules: Vec<Rule>,
    /// The streams of removed rules, as long as the present rules may still find them.
    leaving: BTreeSet<StreamSpec>,
    /// The budget of each account that has rules.
    budgets: BTreeMap<AccountName, Budget>,
    /// The account of each rule whose lists returned less than half of its streams, until it is taken.
    shrunk: Vec<AccountName>,
}

impl<S: Source> Discovery<S> {
    /// The rules of a configuration, without any results yet.
    #[must_use]
    pub fn new(checked: &Checked, source: Arc<S>) -> Self {
        let mut new = Self {
            clock: Clock::start(),
            source: Arc::clone(&source),
            interval: checked.discovery.interval,
            rules: Vec::new(),
            leaving: BTreeSet::new(),
            budgets: BTreeMap::new(),
            shrunk: Vec::new(),
        };
        new.follow(checked, source);
        new
    }

    /// Replaces the rules. A rule that stays keeps its streams. The streams of removed rules stay until the new rules
    /// have finished their first round: a rule whose text has changed mostly finds the same streams.
    pub fn follow(&mut self, checked: &Checked, source: Arc<S>) {
        let CheckedDiscovery { interval, rules } = &checked.discovery;
        let now = self.clock.now();
        let mut before = std::mem::take(&mut self.rules);
        let rule = |spec: &CheckedRule| match before.iter().position(|rule| rule.spec == *spec) {
            Some(same) => before.swap_remove(same),
            None => Rule::new(spec.clone(), now.monotonic),
        };
        self.rules = rules.iter().map(rule).collect();
        self.leaving.extend(before.into_iter().flat_map(|rule| rule.known));
        self.leaving.retain(|spec| checked.accounts.iter().any(|account| account.name == spec.id.account));
        self.let_go();
        self.interval = *interval;
        self.source = source;
        let limits: BTreeMap<_, _> = checked
            .accounts
            .iter()
            .filter_map(|account| {
                let part = checked.discovery.requests_per_minute(&account.name, account.requests_per_minute)?;
                // One request in flight at a time.
                Some((account.name.clone(), Limit { requests_per_minute: part, max_in_flight: NonZeroU16::MIN }))
            })
            .collect();
        self.budgets.retain(|name, _| limits.contains_key(name));
        for (name, limit) in limits {
            // The whole budget is this replica's: the number of other replicas isn't known.
            let budget = self.budgets.entry(name).or_insert_with(|| Budget::new(limit));
            budget.set(now, limit, Share { owned: 1, all: 1 });
        }
    }

    /// The streams that the rules have found so far.
    pub fn streams(&self) -> impl Iterator<Item = &StreamSpec> {
        self.rules.iter().flat_map(|rule| &rule.known).chain(&self.leaving)
    }

    /// Whether each rule was read to its end twice, an interval apart. Then a stream that isn't known doesn't exist.
    /// One round isn't enough, because nothing is known from before the start, and a list may be incomplete.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.rules.iter().all(Rule::is_complete)
    }

    /// Takes the account of each rule in each round that returned less than half of its streams.
    pub fn take_shrunk(&mut self) -> Vec<AccountName> {
        std::mem::take(&mut self.shrunk)
    }

    fn let_go(&mut self) {
        if self.is_complete() {
            self.leaving.clear();
        }
    }

    /// Reads until the rules find other streams than before, all rules are complete, or the lists of one returned less
    /// than half of its streams. If nothing of that happens, it never ends.
    ///
    /// # Cancel safety
    /// Safe: a request in flight is sent again by the next call.
    pub async fn changed(&mut self) {
        loop {
            let next = self.next();
            self.clock.sleep_until(next.map(|(at, _)| at)).await;
            if let Some((_, index)) = next
                && self.step(index).await
            {
                return;
            }
        }
    }

    /// The rule that reads next, and when.
    fn next(&self) -> Option<(Duration, usize)> {
        let at = |rule: &Rule| Some(self.budgets.get(&rule.spec.account)?.available_at()?.max(rule.due));
        // If several may read, the one that has waited longest.
        let rules = self.rules.iter().enumerate();
        let due = rules.filter_map(|(index, rule)| Some((at(rule)?, rule.due, index)));
        due.min().map(|(at, _, index)| (at, index))
    }

    /// Sends one request for a rule, if the budget has room. Returns whether something changed.
    async fn step(&mut self, index: usize) -> bool {
        let Some(rule) = self.rules.get_mut(index) else { return false };
        let Some(budget) = self.budgets.get_mut(&rule.spec.account) else { return false };
        if !budget.take(self.clock.now()) {
            return false;
        }
        // The request is counted before its answer, because this future may be dropped before that.
        budget.finish();
        let Some((listing, offset)) = rule.request() else { return false };
        let outcome = self.source.list(&rule.spec.account, &listing, offset, MOST_ON_A_PAGE).await;
        let now = self.clock.now();
        if let ListOutcome::Throttled { retry_after } = outcome {
            if budget.pause(now, retry_after) {
                let (account, seconds) = (&rule.spec.account, retry_after.as_secs());
                tracing::warn!(%account, seconds, "rate limit hit, discovery paused");
            }
            return false;
        }
        let news = rule.answered(now, self.interval, outcome);
        if news.shrank {
            self.shrunk.push(rule.spec.account.clone());
        }
        self.let_go();
        news.streams || news.shrank
    }
}

#[cfg(test)]
mod tests;
