//! Checks Asana: credentials, rules, streams.
//!
//! A stream's resource is read by its gid instead of being polled: a poll without a sync token would create one, and
//! whether that invalidates another one isn't documented.

use super::compare::{Contents, compare};
use super::{Findings, Sample, judge, scopes, send};
use crate::asana::Look;
use crate::commands::asker::{AT_ONCE, Asker};
use crate::config::{CheckedAccount, CheckedRule};
use crate::discovery;
use crate::finding::{CheckResult, Finding};
use bridge_core::engine::StreamSpec;
use bridge_core::ids::StreamKind;
use bridge_core::outcome::list::{ListOutcome, Listing, What};
use bridge_core::outcome::poll::Denial;
use futures_util::{StreamExt as _, stream};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Up to this number of streams, each has a line. Of more streams, only those that can't be read have one.
const LINES: usize = 50;

/// The interval between two log lines with the number of streams that are left.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(15);

/// The kinds of resources that may be streams, the most likely first.
const KINDS: [What; 3] = [What::Project, What::Task, What::Goal];

impl<'a> Asker<'a> {
    /// All checks of the account. `crawler` reads the lists of its crawls, if it isn't this account.
    pub(super) async fn examine(&self, sample: Sample, crawler: Option<&Asker<'_>>, to: &Findings) {
        let name = &self.account.name;
        let me = self.look(&Look::Me).await;
        send(to, [judge::credential(&me).of(format!("credential of account {name}"))]).await;
        let whose = match &me {
            Ok(seen) => {
                let clock = judge::clock(seen.sent_at, seen.received_at);
                send(to, [clock.of("this machine's clock")]).await;
                format!("{} (account {name})", seen.name)
            }
            Err(_refused) => return send(to, self.untried()).await,
        };
        if let Some(grant) = self.grant().await {
            let scopes = scopes::judge(&grant, &scopes::needed(self.checked, name));
            send(to, [scopes.of(format!("scopes of account {name}"))]).await;
        }
        let (mut known, mut at_least) = (BTreeSet::new(), false);
        known.extend(self.streams().cloned());
        let mut contents = Vec::new();
        for rule in self.rules() {
            let outcome = self.list(&rule.listing).await;
            match &outcome {
                ListOutcome::Page(page) => {
                    let look = discovery::first_look(rule, page.clone());
                    let what = if rule.listing.what == What::WorkspaceGoals { What::Goal } else { What::Project };
                    let found: Vec<_> = look.streams.iter().collect();
                    contents.extend(choose(&found, sample).into_iter().map(|found| Contents::of(&found.id, what)));
                    known.extend(look.streams);
                    at_least |= look.more;
                }
                ListOutcome::OffsetExpired
                | ListOutcome::CutOff
                | ListOutcome::Throttled { .. }
                | ListOutcome::Denied(_)
                | ListOutcome::Failed(_) => at_least = true,
            }
            send(to, [judge::rule(&outcome, &whose).of(of_rule(rule))]).await;
        }
        let budget = self.budget(known.len(), at_least);
        send(to, [budget.of(format!("budget of account {name}"))]).await;
        contents.extend(self.try_streams(sample, &whose, to).await);
        if let Some(crawler) = crawler.filter(|_| !contents.is_empty()) {
            let what = format!("crawls of account {name}");
            send(to, [compare(self, crawler, contents).await.of(what)]).await;
        }
    }

    fn untried(&self) -> Vec<Finding> {
        let name = &self.account.name;
        let reason = format!("the credential of account {name} can't be used");
        let count = self.streams().count();
        let rules = self.rules().map(of_rule).collect::<Vec<_>>();
        let streams = (count > 0).then(|| format!("{count} stream(s) of account {name}"));
        let budget = if rules.is_empty() {
            self.budget(count, false)
        } else {
            CheckResult::not_tried("the number of streams of the rules isn't known")
        };
        let untried = rules.into_iter().chain(streams).map(|what| CheckResult::not_tried(&reason).of(what));
        untried.chain([budget.of(format!("budget of account {name}"))]).collect()
    }

    fn streams(&self) -> impl Iterator<Item = &'a StreamSpec> {
        let name = &self.account.name;
        self.checked.streams.iter().filter(move |stream| stream.id.account == *name)
    }

    fn rules(&self) -> impl Iterator<Item = &'a CheckedRule> {
        let name = &self.account.name;
        self.checked.discovery.rules.iter().filter(move |rule| rule.account == *name)
    }

    fn budget(&self, streams: usize, at_least: bool) -> CheckResult {
        let CheckedAccount { name, requests_per_minute, .. } = self.account;
        let budget = judge::Budget {
            streams: streams as u64,
            at_least,
            requests_per_minute: self.checked.state.left(self.checked.left_for_polls(name, *requests_per_minute)),
            min_interval: self.checked.polling.min_interval.0,
            max_interval: self.checked.polling.max_interval.0,
        };
        budget.judge(name.as_str())
    }

    /// Reads each stream of the sample. Returns the contents of those that can be read.
    async fn try_streams(&self, sample: Sample, whose: &str, to: &Findings) -> Vec<Contents> {
        let all: Vec<_> = self.streams().collect();
        let chosen = choose(&all, sample);
        let mut contents = Vec::new();
        if chosen.is_empty() {
            return contents;
        }
        let name = &self.account.name;
        let count = chosen.len();
        let tries: Vec<_> = chosen.into_iter().map(|stream| self.try_stream(stream, whose)).collect();
        let mut tries = stream::iter(tries).buffered(AT_ONCE);
        let (mut tried, mut bad, mut said) = (0, 0, self.clock.now().monotonic);
        while let Some((finding, readable)) = tries.next().await {
            tried += 1;
            contents.extend(readable);
            let is_failed = finding.verdict.is_failed();
            bad += usize::from(is_failed);
            if count <= LINES || is_failed && bad <= LINES {
                send(to, [finding]).await;
            }
            let now = self.clock.now().monotonic;
            if now >= said + PROGRESS_INTERVAL {
                said = now;
                tracing::info!(account = %name, tried, left = count - tried, "reading streams");
            }
        }
        if count > LINES {
            let found = format!("{} of {count} can be read", count - bad);
            let verdict = if bad == 0 {
                CheckResult::ok(found)
            } else {
                CheckResult::failed(found, format!("see the lines of those that failed, {LINES} at most"))
            };
            send(to, [verdict.of(format!("streams of account {name}"))]).await;
        }
        if all.len() > count {
            let what = format!("{} other stream(s) of account {name}", all.len() - count);
            send(to, [CheckResult::not_tried("only a sample is read, see `--sample`").of(what)]).await;
        }
        contents
    }

    /// Whether the stream can be read, and then its contents.
    async fn try_stream(&self, stream: &StreamSpec, whose: &str) -> (Finding, Option<Contents>) {
        let (verdict, what) = match stream.kind {
            StreamKind::Workspace => self.workspace(stream, whose).await,
            StreamKind::Resource => self.resource(stream, whose).await,
        };
        (verdict.of(format!("stream {}", stream.id)), what.map(|what| Contents::of(&stream.id, what)))
    }

    async fn workspace(&self, stream: &StreamSpec, whose: &str) -> (CheckResult, Option<What>) {
        let remedy = "correct or remove its entry in `streams`";
        match self.look(&Look::Workspace(stream.id.resource.clone())).await {
            Ok(seen) => {
                let found = format!("workspace {:?} can be read", seen.name);
                let advice = "its events are for service accounts in Enterprise+ domains only: the first poll shows it";
                (CheckResult::notice(found, advice), Some(What::WorkspaceProjects))
            }
            Err(refusal) => (judge::unread(&refusal.into(), whose, remedy), None),
        }
    }

    /// Of which kind a gid is, only asking shows.
    async fn resource(&self, stream: &StreamSpec, whose: &str) -> (CheckResult, Option<What>) {
        let first = self.likeliest.load(Ordering::Relaxed);
        let mut refused = None;
        for (place, what) in (0..).zip(KINDS).cycle().skip(first).take(KINDS.len()) {
            let outcome = self.list(&Listing { of: stream.id.resource.clone(), what }).await;
            match &outcome {
                ListOutcome::Page(page) => {
                    self.likeliest.store(place, Ordering::Relaxed);
                    let resource = page.items.first().map(|item| &item.resource);
                    let kind = resource.map_or("resource", |resource| &resource.resource_type);
                    let name = resource.and_then(|resource| resource.name.as_deref()).unwrap_or_default();
                    return (CheckResult::ok(format!("{kind} {name:?} can be read")), Some(what));
                }
                // Another user's resource. If the gid belongs to another kind, the request for that kind succeeds.
                ListOutcome::Denied(Denial::Forbidden) => refused = Some(outcome),
                ListOutcome::Denied(Denial::NotFound | Denial::BadRequest | Denial::PaymentRequired) => {
                    refused = refused.or(Some(ListOutcome::Denied(Denial::NotFound)));
                }
                ListOutcome::OffsetExpired
                | ListOutcome::CutOff
                | ListOutcome::Throttled { .. }
                | ListOutcome::Denied(_)
                | ListOutcome::Failed(_) => {
                    refused = Some(outcome);
                    break;
                }
            }
        }
        let remedy = "correct or remove its entry in `streams`";
        let unread = refused.map(|outcome| judge::unread(&outcome, whose, remedy));
        (unread.unwrap_or_else(|| CheckResult::unknown("nothing was requested")), None)
    }
}

fn of_rule(rule: &CheckedRule) -> String {
    let Listing { of, what } = &rule.listing;
    let what = match what {
        What::WorkspaceProjects => "projects of workspace",
        What::TeamProjects => "projects of team",
        What::PortfolioItems => "projects of portfolio",
        What::WorkspaceGoals => "goals of workspace",
        // No rule lists these.
        What::Project
        | What::Task
        | What::Goal
        | What::Sections
        | What::Tasks
        | What::Subtasks
        | What::TaskStories
        | What::GoalStories
        | What::Attachments
        | What::Section
        | What::Story
        | What::Attachment
        | What::SectionsToSplit
        | What::SectionTasks
        | What::TeamsToSplit => "items of",
    };
    format!("rule for {what} {of}, account {}", rule.account)
}

/// A sample, evenly chosen from all streams.
fn choose<'a>(all: &[&'a StreamSpec], sample: Sample) -> Vec<&'a StreamSpec> {
    match sample {
        Sample::Most(most) if most.get() < all.len() => {
            (0..most.get()).filter_map(|place| all.get(place * all.len() / most.get()).copied()).collect()
        }
        Sample::Most(_) | Sample::All => all.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bridge_core::ids::StreamId;

    #[test]
    fn a_sample_is_spread_over_all() {
        let spec =
            |number: u32| StreamSpec { id: StreamId::new("main", number.to_string()), kind: StreamKind::Resource };
        let all: Vec<_> = (0..10).map(spec).collect();
        let all: Vec<_> = all.iter().collect();
        let chosen = |sample: &str| -> Vec<String> {
            choose(&all, sample.parse().unwrap()).iter().map(|it| it.id.resource.to_string()).collect()
        };
        assert_eq!(chosen("3"), ["0", "3", "6"]);
        assert_eq!(chosen("10").len(), 10);
        assert_eq!(chosen("99").len(), 10);
        assert_eq!(chosen("all").len(), 10);
    }
}
