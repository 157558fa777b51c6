//! Streams from rules: what projects and goals there are, asked for again and again.
//!
//! Why so, and what else was thought of: `docs/decisions/discovery.md`.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `mod` | whose turn it is, and at what pace |
//! | `rule` | a rule, what it gives, and how far its present look is; no IO |
//! | `pass` | one reading of all that a rule names; no IO |
//! | `missing` | what a rule gave and its lists don't show any more; no IO |
//! | `alone` | what the answer to an object that was asked for alone says; no IO |

mod alone;
mod missing;
mod pass;
mod rule;

use crate::asana::Source;
use crate::bridge::Clock;
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

/// What the first page of a rule gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstLook {
    /// Streams.
    pub streams: BTreeSet<StreamSpec>,
    /// Whether there are more pages, or portfolios to look into.
    pub more: bool,
}

/// Reads a rule's first page without the others.
#[must_use]
pub fn first_look(rule: &CheckedRule, page: ListPage) -> FirstLook {
    let mut pass = Pass::new(rule);
    pass.take(rule, page);
    FirstLook { more: pass.next().is_some(), streams: pass.found }
}

/// The rules at work. Nothing happens but in [`changed`](Self::changed).
#[derive(Debug)]
pub struct Discovery<S> {
    clock: Clock,
    source: Arc<S>,
    interval: Duration,
    rules: Vec<Rule>,
    /// What rules gave that are gone, as long as the present ones may still find it.
    leaving: BTreeSet<StreamSpec>,
    /// Of each account that has rules.
    budgets: BTreeMap<AccountName, Budget>,
    /// The account of each rule whose lists gave less than half of its streams, until somebody takes note.
    shrunk: Vec<AccountName>,
}

impl<S: Source> Discovery<S> {
    /// The rules of a configuration, of which nothing is known yet.
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

    /// From now on the rules are these. A rule that stays keeps what it knows. What others gave stays until the new
    /// ones had their first look: a rule whose text has changed mostly gives the same.
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
                // One request at a time.
                Some((account.name.clone(), Limit { requests_per_minute: part, max_in_flight: NonZeroU16::MIN }))
            })
            .collect();
        self.budgets.retain(|name, _| limits.contains_key(name));
        for (name, limit) in limits {
            // All of it is this replica's: how many others there are isn't known.
            let budget = self.budgets.entry(name).or_insert_with(|| Budget::new(limit));
            budget.set(now, limit, Share { owned: 1, all: 1 });
        }
    }

    /// What the rules give, as far as it is known.
    pub fn streams(&self) -> impl Iterator<Item = &StreamSpec> {
        self.rules.iter().flat_map(|rule| &rule.known).chain(&self.leaving)
    }

    /// Whether each rule was read to its end twice, an interval apart: a stream that isn't known then isn't there. Once
    /// isn't enough, since of what was there before a start nothing is known, and a list may come short.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.rules.iter().all(Rule::is_complete)
    }

    /// Since this was last called: the account of each rule at each look that gave less than half of its streams.
    pub fn take_shrunk(&mut self) -> Vec<AccountName> {
        std::mem::take(&mut self.shrunk)
    }

    fn let_go(&mut self) {
        if self.is_complete() {
            self.leaving.clear();
        }
    }

    /// Reads on until the rules give other streams than before, all of them are complete, or the lists of one gave less than
    /// half of its streams; for ever if nothing of it happens.
    ///
    /// # Cancel safety
    /// Safe: a request under way is made again.
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

    /// Which rule reads next, and when.
    fn next(&self) -> Option<(Duration, usize)> {
        let at = |rule: &Rule| Some(self.budgets.get(&rule.spec.account)?.available_at()?.max(rule.due));
        // Of several that may, the one that waited for longest.
        let rules = self.rules.iter().enumerate();
        let due = rules.filter_map(|(index, rule)| Some((at(rule)?, rule.due, index)));
        due.min().map(|(at, _, index)| (at, index))
    }

    /// Asks once for a rule, if the budget has room. Whether there is news.
    async fn step(&mut self, index: usize) -> bool {
        let Some(rule) = self.rules.get_mut(index) else { return false };
        let Some(budget) = self.budgets.get_mut(&rule.spec.account) else { return false };
        if !budget.take(self.clock.now()) {
            return false;
        }
        // What is counted is the request: this may be dropped before the answer comes.
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
