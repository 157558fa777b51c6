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
use crate::core::listing::{ListOutcome, ListPage, Listing, What};
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Environment};
    use crate::core::ids::{StreamId, StreamKind, SyncToken};
    use crate::core::listing::{Item, ListPage};
    use crate::core::page::{Denial, Failure, PollForm, Polled, Probed};
    use crate::pb;
    use serde_json::{Value, json};
    use std::collections::VecDeque;
    use std::sync::Mutex;
    use tokio::time::Instant;

    /// Answers each list from a script of its own, and notes when it was asked for what.
    #[derive(Debug, Default)]
    struct Script {
        answers: Mutex<BTreeMap<Gid, VecDeque<ListOutcome>>>,
        asked: Mutex<Vec<(Instant, Gid, Option<String>)>>,
    }

    impl Script {
        fn answer(&self, of: &str, answers: impl IntoIterator<Item = ListOutcome>) {
            self.answers.lock().unwrap().entry(of.into()).or_default().extend(answers);
        }

        fn asked(&self) -> Vec<(Instant, Gid, Option<String>)> {
            self.asked.lock().unwrap().clone()
        }
    }

    impl Source for Script {
        async fn poll(&self, _: &StreamId, _: StreamKind, _: Option<&SyncToken>, _: PollForm) -> Polled {
            panic!("discovery polls nothing")
        }

        async fn probe(&self, _: &AccountName) -> Probed {
            panic!("discovery doubts nobody")
        }

        #[expect(clippy::disallowed_methods, reason = "time stands still in a test, but for who sleeps")]
        async fn list(&self, _: &AccountName, listing: &Listing, offset: Option<&str>) -> ListOutcome {
            self.asked.lock().unwrap().push((Instant::now(), listing.of.clone(), offset.map(str::to_owned)));
            let mut answers = self.answers.lock().unwrap();
            let answer = answers.get_mut(&listing.of).and_then(VecDeque::pop_front);
            answer.unwrap_or(ListOutcome::Failed(Failure::TimedOut))
        }
    }

    fn page(gids: &[&str], next: Option<&str>) -> ListOutcome {
        let item = |gid: &&str| Item {
            resource: pb::Resource {
                gid: (*gid).to_owned(),
                resource_type: "project".to_owned(),
                name: None,
                resource_subtype: None,
            },
            state_json: String::new(),
            modified_at: None,
            membership: String::new(),
            num_subtasks: 0,
            archived: false,
        };
        let items = gids.iter().map(item).collect();
        let received_at = chrono::DateTime::UNIX_EPOCH;
        ListOutcome::Page(ListPage { items, next_offset: next.map(str::to_owned), received_at, bytes: 0 })
    }

    fn checked(rules: &Value) -> Checked {
        let document = json!({
            "accounts": { "main": { "token": { "env": "TOKEN" }, "requestsPerMinute": 1200 } },
            "discovery": { "interval": "10min", "rules": rules },
            "sink": { "console": {} },
            "replica": "test",
        });
        let source = config::Source { document: Some(document), ..config::Source::default() };
        config::load(&source, &Environment::of([("TOKEN", "x")])).unwrap()
    }

    fn gids(discovery: &Discovery<Script>) -> Vec<String> {
        let all: BTreeSet<_> = discovery.streams().map(|spec| spec.id.resource.to_string()).collect();
        all.into_iter().collect()
    }

    /// Whether nothing changes for so long.
    async fn stays(discovery: &mut Discovery<Script>, time: Duration) -> bool {
        tokio::time::timeout(time, discovery.changed()).await.is_err()
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn what_is_found_comes_page_by_page_and_what_is_gone_goes_after_a_whole_look() {
        let script = Arc::new(Script::default());
        let mut discovery = Discovery::new(&checked(&json!([{ "workspace": "1" }])), Arc::clone(&script));
        assert!(!discovery.is_complete());
        script.answer("1", [page(&["10", "11"], Some("a")), page(&["12"], None)]);
        discovery.changed().await;
        assert_eq!((gids(&discovery), discovery.is_complete()), (vec!["10".into(), "11".into()], false));
        discovery.changed().await;
        assert_eq!((gids(&discovery), discovery.is_complete()), (vec!["10".into(), "11".into(), "12".into()], true));

        // 10 is gone, and a page fails meanwhile.
        script
            .answer("1", [page(&["11"], Some("b")), ListOutcome::Failed(Failure::TimedOut), page(&["12", "13"], None)]);
        discovery.changed().await;
        assert_eq!(gids(&discovery), ["11", "12", "13"]);
        let offsets: Vec<_> = script.asked().into_iter().map(|(_, _, offset)| offset).collect();
        let expected = [None, Some("a"), None, Some("b"), Some("b")].map(|offset| offset.map(str::to_owned));
        assert_eq!(offsets, expected, "what failed is asked for again");
        let asked = script.asked();
        assert!(asked[2].0 - asked[1].0 >= 10 * MINUTE, "an interval between two looks");
        assert!(asked[4].0 - asked[3].0 >= RETRY.first / 2, "not at once");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_takes_nothing_away_and_an_empty_look_tells_that_it_was_whole() {
        let script = Arc::new(Script::default());
        let rules = json!([{ "workspace": "1" }, { "team": "2" }]);
        let mut discovery = Discovery::new(&checked(&rules), Arc::clone(&script));
        script.answer("1", [page(&["10"], None)]);
        script.answer("2", [ListOutcome::Denied(Denial::Forbidden)]);
        discovery.changed().await;
        assert_eq!((gids(&discovery), discovery.is_complete()), (vec!["10".into()], false));
        assert!(stays(&mut discovery, 24 * 60 * MINUTE).await, "nothing but failures");
        assert_eq!(gids(&discovery), ["10"]);
        let tries = script.asked().len();
        assert!(tries < 24 * 60 * 60 / 300 * 2 + 40, "{tries} tries in a day");

        script.answer("2", [page(&[], None)]);
        discovery.changed().await;
        assert!(discovery.is_complete(), "no other streams, but this is news");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_stays_as_long_as_a_rule_gives_it() {
        let script = Arc::new(Script::default());
        let rules = json!([{ "workspace": "1" }, { "team": "2" }]);
        let mut discovery = Discovery::new(&checked(&rules), Arc::clone(&script));
        script.answer("1", [page(&["10"], None), page(&[], None), page(&[], None)]);
        script.answer("2", [page(&["10"], None), page(&["10"], None), page(&[], None)]);
        while !discovery.is_complete() {
            discovery.changed().await;
        }
        discovery.changed().await;
        assert_eq!(gids(&discovery), ["10"], "the team has it");
        discovery.changed().await;
        assert_eq!(gids(&discovery), [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_budget_is_kept_and_a_rate_limit_waited_for() {
        let script = Arc::new(Script::default());
        let mut discovery = Discovery::new(&checked(&json!([{ "workspace": "1" }])), Arc::clone(&script));
        let offsets: Vec<_> = (0..300).map(|n| n.to_string()).collect();
        script.answer("1", offsets.iter().map(|offset| page(&[], Some(offset))));
        script.answer("1", [ListOutcome::Throttled { retry_after: 5 * MINUTE }, page(&["10"], None)]);
        discovery.changed().await;
        let asked: Vec<_> = script.asked().into_iter().map(|(at, ..)| at).collect();
        // A twentieth of 1,200.
        let busiest = asked.iter().map(|from| asked.iter().filter(|at| **at >= *from && **at < *from + MINUTE).count());
        let busiest = busiest.max().unwrap();
        assert!((40..=60).contains(&busiest), "{busiest}");
        assert!(asked[301] - asked[300] >= 5 * MINUTE);
    }

    #[tokio::test(start_paused = true)]
    async fn an_expired_offset_begins_the_list_anew() {
        let script = Arc::new(Script::default());
        let mut discovery = Discovery::new(&checked(&json!([{ "workspace": "1" }])), Arc::clone(&script));
        script.answer("1", [page(&["10"], Some("a")), ListOutcome::OffsetExpired, page(&["10", "11"], None)]);
        while !discovery.is_complete() {
            discovery.changed().await;
        }
        assert_eq!(gids(&discovery), ["10", "11"]);
        assert_eq!(script.asked().last().unwrap().2, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_configuration_replaces_the_rules_without_a_gap() {
        let script = Arc::new(Script::default());
        let mut discovery =
            Discovery::new(&checked(&json!([{ "workspace": "1" }, { "team": "2" }])), Arc::clone(&script));
        script.answer("1", [page(&["10", "11"], None)]);
        script.answer("2", [page(&["20"], None)]);
        while !discovery.is_complete() {
            discovery.changed().await;
        }

        // A rule goes: so do its streams, at once, and the other one isn't asked again.
        discovery.follow(&checked(&json!([{ "workspace": "1" }])), Arc::clone(&script));
        assert_eq!((gids(&discovery), discovery.is_complete()), (vec!["10".into(), "11".into()], true));
        assert_eq!(script.asked().len(), 2);

        // A rule takes the place of another: what that one gave stays until it had its look.
        discovery.follow(&checked(&json!([{ "workspace": "1", "archived": "include" }])), Arc::clone(&script));
        assert_eq!((gids(&discovery), discovery.is_complete()), (vec!["10".into(), "11".into()], false));
        script.answer("1", [page(&["11"], Some("a")), page(&["12"], None)]);
        while !discovery.is_complete() {
            discovery.changed().await;
        }
        assert_eq!(gids(&discovery), ["11", "12"]);
    }
}
