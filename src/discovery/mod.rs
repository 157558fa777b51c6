//! Streams from rules: what projects and goals there are, asked for again and again.
//!
//! Why so, and what else was thought of: `docs/decisions/discovery.md`.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `mod` | whose turn it is, at what pace, and what is known |
//! | `pass` | one reading of all that a rule names; no IO |

mod pass;

use crate::asana::Source;
use crate::bridge::Clock;
use crate::config::{Checked, CheckedDiscovery, CheckedRule};
use crate::core::backoff::Backoff;
use crate::core::budget::{Budget, Limit, Share};
use crate::core::engine::StreamSpec;
use crate::core::ids::{AccountName, Gid};
use crate::core::listing::{ListOutcome, Listing, What};
use crate::core::now::Now;
use pass::Pass;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

/// Between tries of what failed.
const RETRY: Backoff = Backoff { first: Duration::from_secs(5), longest: Duration::from_secs(600) };

/// How often progress is said.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(30);

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
}

/// A rule, and how far it is.
#[derive(Debug)]
struct Rule {
    spec: CheckedRule,
    /// What it gives: what its last whole pass found, and what the present one found besides.
    known: BTreeSet<StreamSpec>,
    pass: Pass,
    /// How many streams the present pass added to what is known.
    added: usize,
    /// When the next page is to be read.
    due: Duration,
    /// Failures of the present pass.
    failures: u32,
    /// The last failure that was told: each cause is, once.
    told: Option<&'static str>,
    /// One pass was whole.
    is_complete: bool,
    /// When something of the pass was last said.
    said: Duration,
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

    /// Whether each rule was read to its end at least once: a stream that isn't known then isn't there.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.rules.iter().all(|rule| rule.is_complete)
    }

    fn let_go(&mut self) {
        if self.is_complete() {
            self.leaving.clear();
        }
    }

    /// Reads on until the rules give other streams than before, or all of them are complete; for ever if neither
    /// happens.
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

    /// Reads a page for a rule, if the budget has room. Whether it gives other streams now.
    async fn step(&mut self, index: usize) -> bool {
        let Some(rule) = self.rules.get_mut(index) else { return false };
        let Some(budget) = self.budgets.get_mut(&rule.spec.account) else { return false };
        if !budget.take(self.clock.now()) {
            return false;
        }
        // What is counted is the request: this may be dropped before the answer comes.
        budget.finish();
        let Some((listing, offset)) = rule.pass.next() else { return false };
        let outcome = self.source.list(&rule.spec.account, listing, offset).await;
        let now = self.clock.now();
        match outcome {
            ListOutcome::Page(page) => {
                rule.pass.take(&rule.spec, page);
                let was_complete = rule.is_complete;
                let differs = rule.learn(now, self.interval);
                let is_first_look = rule.is_complete && !was_complete;
                self.let_go();
                return differs || is_first_look;
            }
            ListOutcome::Throttled { retry_after } => {
                if budget.pause(now, retry_after) {
                    let (account, seconds) = (&rule.spec.account, retry_after.as_secs());
                    tracing::warn!(%account, seconds, "rate limit hit: discovery waits");
                }
            }
            ListOutcome::OffsetExpired => {
                rule.pass.restart_list();
                rule.failed(now, "offset_expired", "Asana let the offset expire: the list is read from its beginning");
            }
            ListOutcome::Denied(denial) => rule.failed(now, denial.label(), "Asana refuses"),
            ListOutcome::Failed(failure) => rule.failed(now, failure.label(), &format!("{failure:?}")),
        }
        false
    }
}

impl Rule {
    fn new(spec: CheckedRule, now: Duration) -> Self {
        let pass = Pass::new(&spec);
        Self {
            spec,
            known: BTreeSet::new(),
            pass,
            added: 0,
            due: now,
            failures: 0,
            told: None,
            is_complete: false,
            said: now,
        }
    }

    /// A page was read. Whether what is known has changed.
    fn learn(&mut self, now: Now, interval: Duration) -> bool {
        let before = self.known.len();
        self.known.extend(self.pass.found.iter().cloned());
        let added = self.known.len() - before;
        self.added += added;
        self.due = now.monotonic;
        if self.pass.next().is_some() {
            self.say_progress(now);
            return added > 0;
        }
        // A whole pass: only now it is known what isn't there any more.
        let pass = std::mem::replace(&mut self.pass, Pass::new(&self.spec));
        let removed = self.known.len() - pass.found.len();
        self.known = pass.found;
        self.say_end(removed, pass.pages, pass.too_deep);
        (self.added, self.failures, self.told, self.is_complete) = (0, 0, None, true);
        self.due = now.monotonic + interval;
        self.said = self.due;
        added + removed > 0
    }

    fn say_progress(&mut self, now: Now) {
        if now.monotonic >= self.said + PROGRESS_INTERVAL {
            self.said = now.monotonic;
            let (account, of, what) = self.names();
            let (pages, found) = (self.pass.pages, self.pass.found.len());
            tracing::info!(%account, %of, ?what, pages, found, "discovering");
        }
    }

    fn say_end(&self, removed: usize, pages: usize, too_deep: usize) {
        let (account, of, what) = self.names();
        let (added, streams) = (self.added, self.known.len());
        if added + removed > 0 {
            tracing::info!(%account, %of, ?what, added, removed, streams, pages, "discovered other streams");
        } else {
            tracing::debug!(%account, %of, ?what, streams, pages, "discovered nothing new");
        }
        if too_deep > 0 {
            tracing::warn!(%account, %of, too_deep, "portfolios lie too deep within others to be read");
        }
        if self.told.is_some() {
            tracing::info!(%account, %of, ?what, "discovery works again");
        }
    }

    /// What is known stays, and the same page is tried again later.
    fn failed(&mut self, now: Now, cause: &'static str, detail: &str) {
        self.failures = self.failures.saturating_add(1);
        let (account, of, what) = self.names();
        let retry_in = RETRY.delay(self.failures, &format!("{account}/{of}/{what:?}"));
        if self.told == Some(cause) {
            tracing::debug!(%account, %of, ?what, cause, detail, ?retry_in, "discovery failed again");
        } else {
            tracing::warn!(%account, %of, ?what, cause, detail, ?retry_in, "discovery failed: what is known stays");
        }
        self.told = Some(cause);
        self.due = now.monotonic + retry_in;
    }

    /// For logs: whose, of what, and what.
    fn names(&self) -> (&AccountName, &Gid, What) {
        let Listing { of, what } = &self.spec.listing;
        (&self.spec.account, of, *what)
    }
}
