//! What an answer means for the bridge. No IO.

use crate::asana::{Refusal, Seen};
use crate::finding::CheckResult;
use bridge_core::ids::{Gid, StreamId};
use bridge_core::outcome::list::{ListOutcome, ListPage};
use bridge_core::outcome::poll::{Denial, Failure};
use chrono::{DateTime, TimeDelta, Utc};
use std::num::NonZeroU32;
use std::time::Duration;

/// What the account for crawls sees of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// All that the stream's own account sees.
    Same,
    /// Asana refuses it the list.
    Refused,
    /// The list, without this resource.
    Lacks(Gid),
    /// One of the accounts couldn't read it now.
    Unknown,
}

/// The maximum offset that counts as none: Asana's time has no more digits than whole seconds, and an answer takes
/// time.
const NO_SKEW: TimeDelta = TimeDelta::seconds(5);

/// The offset above which watermarks are wrong by a minute. Consumers compare them with their own clocks.
const MUCH_SKEW: TimeDelta = TimeDelta::seconds(60);

/// If quiet streams need more than this, too little of the budget is left for crawls and for busy streams.
const MOST_OF_BUDGET_PERCENT: u64 = 75;

/// Whose a credential is.
pub(super) fn credential(outcome: &Result<Seen, Refusal>) -> CheckResult {
    let remedy = "set a valid token: a personal access token (Asana's developer console), a service account's, \
                  or an OAuth refresh token of an application that the workspace allows";
    match outcome {
        Ok(Seen { gid, name, email, workspaces, .. }) => {
            let email = email.as_ref().map(|email| format!(" <{email}>")).unwrap_or_default();
            let places = if workspaces.is_empty() { "no workspace".to_owned() } else { workspaces.join(", ") };
            CheckResult::ok(format!("valid: {name}{email}, gid {gid}, in {places}"))
        }
        Err(Refusal::Denied(Denial::Unauthorized)) => CheckResult::failed("Asana doesn't accept it (401)", remedy),
        Err(refusal) => unread(&refusal.clone().into(), "the credential's user", remedy),
    }
}

/// How far our clock is from Asana's; `None` where an answer doesn't say its time.
pub(super) fn clock(sent_at: Option<DateTime<Utc>>, received_at: DateTime<Utc>) -> CheckResult {
    let Some(sent_at) = sent_at else { return CheckResult::unknown("Asana's answer doesn't say when it was sent") };
    let skew = received_at - sent_at;
    if skew.abs() <= NO_SKEW {
        return CheckResult::ok("agrees with Asana's");
    }
    let side = if skew > TimeDelta::zero() { "ahead of" } else { "behind" };
    let found = format!("is {}s {side} Asana's", skew.abs().num_seconds());
    let remedy = "set it by NTP: the ages of sync tokens and watermarks depend on it";
    if skew.abs() < MUCH_SKEW { CheckResult::notice(found, remedy) } else { CheckResult::failed(found, remedy) }
}

/// Whether the account's budget is enough to poll its streams as often as configured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// The number of streams, from the configuration and its rules.
    pub(super) streams: u64,
    /// Whether there may be more.
    pub(super) at_least: bool,
    /// The number of requests a minute that polls may use.
    pub(super) requests_per_minute: NonZeroU32,
    /// The shortest interval between two polls of a stream.
    pub(super) min_interval: Duration,
    /// The longest interval between two polls of a stream.
    pub(super) max_interval: Duration,
}

impl Budget {
    pub(super) fn judge(self, account: &str) -> CheckResult {
        let Self { streams, at_least, requests_per_minute, max_interval, .. } = self;
        let allowed = u64::from(requests_per_minute.get());
        let interval = u64::try_from(max_interval.as_millis()).unwrap_or(u64::MAX).max(1);
        let needed = (streams * 60_000).div_ceil(interval);
        let at_least = if at_least { "at least " } else { "" };
        let pace = humantime::format_duration(max_interval);
        let found = format!(
            "{at_least}{streams} stream(s) every {pace} take {at_least}{needed} of {allowed} requests a minute for polls"
        );
        let freshness = self.freshness();
        let best = humantime::format_duration(Duration::from_secs((streams * 60).div_ceil(allowed)));
        if needed > allowed {
            return CheckResult::failed(
                format!("{found}: each will be polled every {best} on average; {freshness}"),
                format!(
                    "set `polling.maxInterval` to {best} or more, raise `accounts.{account}.requestsPerMinute` (Asana \
                     allows 150 in free domains, 1,500 in paid ones), or share the streams among more accounts"
                ),
            );
        }
        if needed * 100 > allowed * MOST_OF_BUDGET_PERCENT {
            return CheckResult::notice(
                format!("{found}; {freshness}"),
                "little is left for crawls and for streams with events: they will take longer",
            );
        }
        CheckResult::ok(format!("{found}; {freshness}"))
    }

    /// What the budget gives, and what twice the budget would. If events are spread unevenly over the streams, as
    /// they are, the mean delay is less, since busy streams are polled more often.
    fn freshness(self) -> String {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let (shortest, longest) = (millis(self.min_interval), millis(self.max_interval));
        let with = |requests: u64| {
            let even = (self.streams * 60_000 / requests).max(shortest);
            let most = if even > longest { even * 14 / 10 } else { longest.min(even * 14 / 10) };
            let [mean, most] =
                [even / 2, most].map(|it| humantime::format_duration(Duration::from_millis(it / 100 * 100)));
            format!("an event waits at most {mean} on average for its poll, and no interval is above {most}")
        };
        let allowed = u64::from(self.requests_per_minute.get());
        format!("{}; with twice the budget, {}", with(allowed), with(allowed * 2))
    }
}

/// What a rule's first page means.
pub(super) fn rule(outcome: &ListOutcome, whose: &str) -> CheckResult {
    match outcome {
        ListOutcome::Page(ListPage { items, next_offset, .. }) => {
            let more = if next_offset.is_some() { ", and there are more" } else { "" };
            CheckResult::ok(format!("can be read: {} on its first page{more}", items.len()))
        }
        ListOutcome::OffsetExpired
        | ListOutcome::CutOff
        | ListOutcome::Throttled { .. }
        | ListOutcome::Denied(_)
        | ListOutcome::Failed(_) => unread(outcome, whose, "correct the rule in `discovery.rules`"),
    }
}

/// The maximum number of streams that one line names.
const MOST_NAMED: usize = 5;

/// What the account for crawls sees of streams, beside what their own account sees.
pub(super) fn sights(seen: &[(StreamId, Sight)], crawler: &str, own: &str) -> CheckResult {
    let count = seen.len();
    let names = |wanted: &dyn Fn(&Sight) -> bool| {
        let all: Vec<_> = seen.iter().filter(|(_, sight)| wanted(sight)).map(|(id, sight)| named(id, sight)).collect();
        let more = if all.len() > MOST_NAMED { ", …" } else { "" };
        let first = all.iter().take(MOST_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        (all.len(), format!("{} of {count} stream(s): {first}{more}", all.len()))
    };
    let (lacking, which) = names(&|sight| matches!(sight, Sight::Lacks(_)));
    if lacking > 0 {
        return CheckResult::failed(
            format!("account {crawler} doesn't see everything that account {own} sees, in {which}"),
            format!("give the user of account {crawler} access to it in Asana: crawls don't find what it doesn't see"),
        );
    }
    let (refused, which) = names(&|sight| *sight == Sight::Refused);
    if refused > 0 {
        return CheckResult::notice(
            format!("account {crawler} has no access to {which}"),
            format!("give its user access in Asana: until then account {own} reads their lists, at its own rate"),
        );
    }
    let same = seen.iter().filter(|(_, sight)| *sight == Sight::Same).count();
    if same == 0 {
        return CheckResult::unknown("there is no stream that both accounts could read now");
    }
    CheckResult::ok(format!("account {crawler} sees what account {own} sees, in {same} of {count} stream(s)"))
}

fn named(id: &StreamId, sight: &Sight) -> String {
    match sight {
        Sight::Lacks(gid) => format!("{id} (without {gid})"),
        Sight::Same | Sight::Refused | Sight::Unknown => id.to_string(),
    }
}

/// What it means that something can't be read.
pub(super) fn unread(outcome: &ListOutcome, whose: &str, remedy: &str) -> CheckResult {
    match outcome {
        ListOutcome::Page(_) => CheckResult::ok("can be read"),
        ListOutcome::OffsetExpired | ListOutcome::CutOff => CheckResult::unknown("the list changed while it was read"),
        ListOutcome::Throttled { retry_after } => throttled(*retry_after),
        ListOutcome::Denied(denial) => denied(whose, *denial, remedy),
        ListOutcome::Failed(failure) => failed(failure),
    }
}

/// A refusal. `remedy` is for what may be wrong in the configuration.
fn denied(whose: &str, denial: Denial, remedy: &str) -> CheckResult {
    let status = denial.status();
    match denial {
        Denial::Forbidden => CheckResult::failed(
            format!("Asana refuses {whose} access to it ({status})"),
            format!("give {whose} access to it in Asana, or {remedy}"),
        ),
        Denial::NotFound | Denial::BadRequest => CheckResult::failed(
            format!("Asana has no object with this gid that {whose} may see ({status})"),
            format!("{remedy}, or give {whose} access to it in Asana"),
        ),
        Denial::PaymentRequired => CheckResult::failed(
            format!("the workspace's plan doesn't have it ({status})"),
            format!("{remedy}, or change the plan"),
        ),
        Denial::Unauthorized => CheckResult::failed(format!("Asana doesn't accept the credential ({status})"), remedy),
        Denial::LegalBlock => CheckResult::failed(
            format!("Asana may not serve this address by law ({status})"),
            "run the bridge from elsewhere, or ask Asana's support",
        ),
        Denial::OtherStatus(_) => {
            CheckResult::failed(format!("Asana answers {status}"), "check that `baseUrl` is Asana's API")
        }
    }
}

fn throttled(retry_after: Duration) -> CheckResult {
    CheckResult::failed(
        format!("the rate limit is used up, and Asana requests a pause of {} s", retry_after.as_secs()),
        "lower `requestsPerMinute` to what other users of the credential leave, or give the bridge its own credential",
    )
}

/// No answer that could be used.
fn failed(failure: &Failure) -> CheckResult {
    let network = "check that Asana can be reached from here: DNS, proxies, network policies, and `baseUrl`";
    match failure {
        Failure::Connection(words) => CheckResult::failed(format!("no connection: {words}"), network),
        Failure::TimedOut => CheckResult::failed("no answer in time", network),
        Failure::Server { status, phrase } => {
            let phrase = phrase.as_ref().map(|phrase| format!(", {phrase:?}")).unwrap_or_default();
            CheckResult::failed(format!("Asana has an internal error ({status}{phrase})"), "try again later")
        }
        Failure::Gateway { status } => {
            CheckResult::failed(format!("a gateway or proxy answers {status} instead of Asana"), network)
        }
        Failure::Malformed(words) => {
            CheckResult::failed(format!("not a valid answer of Asana: {words}"), "check that `baseUrl` is Asana's API")
        }
        Failure::Credential(words) => CheckResult::failed(
            format!("there is no token: {words}"),
            "fix what the account's `token` or `oauth` names",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(streams: u64, per_minute: u32, seconds: u64) -> CheckResult {
        let requests_per_minute = NonZeroU32::new(per_minute).unwrap();
        let max_interval = Duration::from_secs(seconds);
        let min_interval = Duration::from_secs(1);
        Budget { streams, at_least: false, requests_per_minute, min_interval, max_interval }.judge("main")
    }

    #[test]
    fn a_budget_is_held_against_what_quiet_streams_take() {
        assert!(matches!(budget(100, 140, 60), CheckResult::Ok { .. }));
        assert!(matches!(budget(105, 140, 60), CheckResult::Ok { .. }), "three quarters");
        assert!(matches!(budget(106, 140, 60), CheckResult::Notice { .. }));
        assert!(matches!(budget(140, 140, 60), CheckResult::Notice { .. }));
        let CheckResult::Failed { problem, remedy } = budget(500, 140, 60) else { panic!("too many") };
        assert!(problem.starts_with("500 stream(s) every 1m take 500 of 140 requests a minute"), "{problem}");
        assert!(problem.contains("every 3m 35s on average"), "{problem}");
        assert!(remedy.contains("accounts.main.requestsPerMinute"), "{remedy}");
        assert!(matches!(budget(500, 140, 215), CheckResult::Notice { .. }), "what it says is right");
        assert!(matches!(budget(0, 1, 1), CheckResult::Ok { .. }));
    }

    #[test]
    fn what_crawls_wouldnt_find_is_a_failure_and_what_costs_more_a_notice() {
        let stream = |number: usize| StreamId::new("main", number.to_string());
        let judge = |all: &[Sight]| {
            let seen: Vec<_> = all.iter().cloned().enumerate().map(|(n, sight)| (stream(n), sight)).collect();
            sights(&seen, "crawls", "main").of("x").to_string()
        };
        let lacks = || Sight::Lacks("77".into());
        let failed = judge(&[Sight::Same, Sight::Refused, lacks()]);
        assert!(
            failed.starts_with("FAILED") && failed.contains("in 1 of 3 stream(s): main/2 (without 77);"),
            "{failed}"
        );
        let notice = judge(&[Sight::Same, Sight::Refused, Sight::Unknown]);
        assert!(notice.starts_with("notice") && notice.contains("no access to 1 of 3 stream(s): main/1;"), "{notice}");
        let ok = judge(&[Sight::Same, Sight::Unknown]);
        assert!(ok.starts_with("ok") && ok.contains("1 of 2 stream(s)"), "{ok}");
        assert!(judge(&[Sight::Unknown]).starts_with("unknown") && judge(&[]).starts_with("unknown"));
        let many = judge(&vec![lacks(); 9]);
        assert!(many.contains("main/4 (without 77), …;") && !many.contains("main/5"), "{many}");
    }

    #[test]
    fn a_clock_is_judged_by_asanas() {
        let at = |seconds: i64| DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap();
        assert!(matches!(clock(Some(at(0)), at(3)), CheckResult::Ok { .. }));
        assert!(matches!(clock(Some(at(0)), at(-20)), CheckResult::Notice { .. }));
        let CheckResult::Failed { problem, .. } = clock(Some(at(0)), at(-300)) else { panic!("five minutes") };
        assert_eq!(problem, "is 300s behind Asana's");
        assert!(matches!(clock(None, at(0)), CheckResult::Unknown { .. }));
    }

    #[test]
    fn every_refusal_says_what_to_do() {
        for status in [400, 401, 402, 403, 404, 410, 451] {
            let CheckResult::Failed { problem, remedy } = denied("main", Denial::of_status(status), "take it out")
            else {
                panic!("{status}")
            };
            assert!(problem.contains(&status.to_string()) && !remedy.is_empty(), "{problem}; {remedy}");
        }
    }
}
