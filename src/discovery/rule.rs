//! The state of a rule: the streams that it found, and its current round. A round reads the rule's lists, reads them
//! again if many streams are missing, and then requests one by one the streams that the lists don't show. No IO.

use super::alone::{self, Verdict};
use super::missing::Missing;
use super::pass::Pass;
use crate::config::CheckedRule;
use crate::fold::{Fold, Line, Over};
use bridge_core::engine::StreamSpec;
use bridge_core::engine::schedule::backoff::Backoff;
use bridge_core::ids::{AccountName, Gid};
use bridge_core::now::Now;
use bridge_core::outcome::list::{ListOutcome, ListPage, Listing};
use bridge_core::outcome::poll::Denial;
use std::collections::BTreeSet;
use std::time::Duration;

/// The backoff between tries after a failure.
pub(super) const RETRY: Backoff = Backoff { first: Duration::from_secs(5), longest: Duration::from_secs(600) };

/// The interval between two log lines with the progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(30);

/// The number of complete rounds after which a stream that they don't show doesn't exist.
const ENOUGH_LOOKS: u32 = 2;

/// A rule and its state.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) spec: CheckedRule,
    /// The streams that it found. A stream stays until the answer to a request for it ends it.
    pub(super) known: BTreeSet<StreamSpec>,
    /// The time of its next request.
    pub(super) due: Duration,
    pass: Pass,
    /// Whether the current round reads the lists for the second time.
    reads_again: bool,
    missing: Missing,
    /// The number of streams that the current round added.
    added: usize,
    /// The number of consecutive failures of the current round's lists.
    failures: u32,
    /// What fails, by cause.
    problems: Fold<&'static str, ()>,
    /// That it shrank was told.
    is_small: bool,
    /// The number of complete rounds.
    looks: u32,
    /// The time of the last log line about the round.
    said: Duration,
}

/// What an answer changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// Whether the rule finds other streams than before, or is complete now.
    pub(super) streams: bool,
    /// Whether its lists returned less than half of its streams.
    pub(super) shrank: bool,
}

impl Rule {
    pub(super) fn new(spec: CheckedRule, now: Duration) -> Self {
        let pass = Pass::new(&spec);
        Self {
            spec,
            known: BTreeSet::new(),
            due: now,
            pass,
            reads_again: false,
            missing: Missing::default(),
            added: 0,
            failures: 0,
            problems: Fold::new(Duration::ZERO),
            is_small: false,
            looks: 0,
            said: now,
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.looks >= ENOUGH_LOOKS
    }

    /// The next list or object to request, and its offset.
    pub(super) fn request(&self) -> Option<(Listing, Option<&str>)> {
        match self.missing.next() {
            Some(stream) => Some((alone::listing(&self.spec, &stream.id.resource), None)),
            None => self.pass.next().map(|(listing, offset)| (listing.clone(), offset)),
        }
    }

    /// Takes an answer other than a rate limit.
    pub(super) fn answered(&mut self, now: Now, interval: Duration, outcome: ListOutcome) -> News {
        if let Some(stream) = self.missing.next() {
            let verdict = alone::verdict(&self.spec, &stream.id.resource, &outcome);
            return self.decide(now, interval, verdict, outcome.label());
        }
        match outcome {
            ListOutcome::Page(page) => return self.read(now, interval, page),
            ListOutcome::Denied(denial) if self.pass.leave_out(denial) => return self.left_out(now, interval, denial),
            ListOutcome::CutOff => self.failed(now, "cut_off", "the list is longer than what Asana gives of one"),
            ListOutcome::OffsetExpired => {
                self.pass.restart_list();
                self.failed(now, "offset_expired", "Asana let the offset expire: the list is read from its beginning");
            }
            // This outcome isn't passed on to a rule.
            ListOutcome::Throttled { .. } => {}
            ListOutcome::Denied(denial) => self.failed(now, denial.label(), "Asana refuses"),
            ListOutcome::Failed(failure) => self.failed(now, failure.label(), &format!("{failure:?}")),
        }
        News::default()
    }

    fn read(&mut self, now: Now, interval: Duration, page: ListPage) -> News {
        self.pass.take(&self.spec, page);
        let before = self.known.len();
        self.known.extend(self.pass.found.iter().cloned());
        let added = self.known.len() - before;
        self.added += added;
        let news = self.go_on(now, interval);
        News { streams: news.streams || added > 0, ..news }
    }

    fn left_out(&mut self, now: Now, interval: Duration, denial: Denial) -> News {
        let (account, of, _) = self.names();
        let reason = denial.label();
        tracing::debug!(%account, %of, reason, "nested portfolio refused, left out");
        self.go_on(now, interval)
    }

    /// Continues after a page or a list.
    fn go_on(&mut self, now: Now, interval: Duration) -> News {
        self.due = now.monotonic;
        if self.pass.next().is_some() {
            self.say_progress(now);
            return News::default();
        }
        let pass = std::mem::replace(&mut self.pass, Pass::new(&self.spec));
        if pass.hidden > 0 {
            self.say_hidden(now, pass.hidden);
            return self.rest(now, interval, false);
        }
        let shrank = self.compare(pass.found.len());
        let missing: BTreeSet<_> = self.known.difference(&pass.found).cloned().collect();
        if !self.reads_again && self.missing.wants_another_reading(&missing, self.known.len(), pass.pages) {
            let (account, of, list) = self.names();
            tracing::debug!(%account, list, %of, missing = missing.len(), "streams missing, reading the lists again");
            self.pass = pass.again(&self.spec);
            self.reads_again = true;
            return News { streams: false, shrank };
        }
        self.say_whole(now, pass.too_deep);
        self.missing.looked(&missing);
        News { shrank, ..self.ask_on(now, interval) }
    }

    /// Whether the round's first reading returned less than half of the known streams.
    fn compare(&mut self, after: usize) -> bool {
        let before = self.known.len() - self.added;
        let is_small = after * 2 < before;
        let (account, of, list) = self.names();
        if is_small && !self.is_small {
            tracing::warn!(%account, list, %of, before, after, hint = "no stream ends before it was requested alone",
                "rule returned fewer than half of its streams");
        } else if self.is_small && !is_small {
            tracing::info!(%account, list, %of, before, after, "rule returns its streams again");
        }
        self.is_small = is_small;
        is_small && !self.reads_again
    }

    /// Takes the answer to the request for a single object.
    fn decide(&mut self, now: Now, interval: Duration, verdict: Verdict, answer: &'static str) -> News {
        let Some(resource) = self.missing.next().map(|stream| stream.id.resource.clone()) else {
            return News::default();
        };
        let ends = self.missing.decide(verdict);
        let account = &self.spec.account;
        if ends {
            tracing::info!(%account, %resource, answer, "stream no longer returned by its rule, confirmed");
        } else {
            tracing::debug!(%account, %resource, answer, ?verdict, "stream not listed, kept");
        }
        self.ask_on(now, interval)
    }

    fn ask_on(&mut self, now: Now, interval: Duration) -> News {
        let Some(next) = self.missing.next() else { return self.rest(now, interval, true) };
        let pause = match self.missing.failures() {
            0 => Duration::ZERO,
            failures => RETRY.delay(failures, next.id.resource.as_str()),
        };
        self.due = now.monotonic + pause;
        self.say_progress(now);
        News::default()
    }

    /// Ends the round. It was complete unless one of its lists can't be accessed.
    fn rest(&mut self, now: Now, interval: Duration, is_whole: bool) -> News {
        let was_complete = self.is_complete();
        let ended = self.missing.take_ended();
        self.known.retain(|stream| !ended.contains(stream));
        self.say_end(ended.len());
        self.looks = self.looks.saturating_add(is_whole.into());
        (self.added, self.failures, self.reads_again) = (0, 0, false);
        self.due = now.monotonic + interval;
        self.said = self.due;
        News { streams: !ended.is_empty() || self.is_complete() != was_complete, shrank: false }
    }

    /// Keeps what is known, and retries the same page later.
    fn failed(&mut self, now: Now, reason: &'static str, detail: &str) {
        self.failures = self.failures.saturating_add(1);
        let line = self.problems.report(now.monotonic, reason, ());
        let (account, of, list) = self.names();
        let what = self.spec.listing.what;
        let retry_in = RETRY.delay(self.failures, &format!("{account}/{of}/{what:?}"));
        match line {
            Some(Line::Begins) => {
                tracing::warn!(%account, list, %of, reason, detail, ?retry_in,
                    "discovery failed, keeping the known streams");
            }
            Some(Line::Lasts { count, lasted, .. }) => {
                tracing::warn!(%account, list, %of, reason, detail, ?retry_in, count, seconds = lasted.as_secs(),
                    "discovery still failing, keeping the known streams");
            }
            None => tracing::debug!(%account, list, %of, reason, detail, ?retry_in, "discovery failed again"),
        }
        self.due = now.monotonic + retry_in;
    }

    fn say_progress(&mut self, now: Now) {
        if now.monotonic < self.said + PROGRESS_INTERVAL {
            return;
        }
        self.said = now.monotonic;
        let (account, of, list) = self.names();
        let (asked, to_ask) = self.missing.progress();
        if self.missing.next().is_some() {
            let missing = self.missing.len();
            tracing::info!(%account, list, %of, asked, to_ask, missing, "requesting unlisted streams one by one");
        } else {
            let (pages, found) = (self.pass.pages, self.pass.found.len());
            tracing::info!(%account, list, %of, pages, found, "discovery running");
        }
    }

    fn say_end(&self, removed: usize) {
        let (account, of, list) = self.names();
        let (added, streams, missing) = (self.added, self.known.len(), self.missing.len());
        if added + removed > 0 {
            tracing::info!(%account, list, %of, added, removed, missing, streams, "discovered streams changed");
        } else {
            tracing::debug!(%account, list, %of, missing, streams, "discovered streams unchanged");
        }
    }

    fn say_whole(&mut self, now: Now, too_deep: usize) {
        self.problems.recover(now.monotonic, &());
        let over = self.problems.take_over(now.monotonic);
        let (account, of, list) = self.names();
        if too_deep > 0 {
            tracing::warn!(%account, %of, count = too_deep, "portfolios nested too deep, not read");
        }
        for (reason, Over { count, lasted }) in over {
            let seconds = lasted.as_secs();
            tracing::info!(%account, list, %of, reason, count, seconds, "discovery works again");
        }
    }

    fn say_hidden(&mut self, now: Now, portfolios: usize) {
        // Somebody has to act; until then, to say it again at each look is of no use.
        if self.problems.report(now.monotonic, "hidden", ()) == Some(Line::Begins) {
            let (account, of, _) = self.names();
            tracing::warn!(%account, %of, count = portfolios, hint = "no stream of the rule ends",
                "nested portfolios refused by Asana");
        }
    }

    /// For logs: the account, the object whose list it is, and the list's name.
    fn names(&self) -> (&AccountName, &Gid, &'static str) {
        let Listing { of, what } = &self.spec.listing;
        (&self.spec.account, of, what.label())
    }
}
