//! Recent failures, as the status page shows them.

use crate::observe::SessionEnd;
use crate::sink::CommitError;
use bridge_core::crawl::LeftOut;
use bridge_core::engine::{AccountNotice, StreamPlace};
use bridge_core::ids::AccountName;
use bridge_core::outcome::poll;
use bridge_core::stream::{CrawlNotice, Notice};
use chrono::{DateTime, Utc};
use std::collections::VecDeque;

/// Number of kinds of failures kept, each of one account.
const KEPT: usize = 50;

/// A failure that the status page lists: all of one kind and account, so that many streams that fail hide nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// The time of the latest.
    pub(super) at: DateTime<Utc>,
    /// The time of the first.
    pub(super) first_at: DateTime<Utc>,
    /// How many there were.
    pub(super) count: u64,
    /// The account; `None` for the bus and the configuration.
    pub(super) account: Option<String>,
    /// The stream or account of the latest; `None` for the bus and the configuration.
    pub(super) of: Option<String>,
    /// The kind of failure, such as `source_gap`.
    pub(super) kind: &'static str,
    /// A description of the latest, for people.
    pub(super) text: String,
}

/// The latest failures, the newest last.
#[derive(Clone, Debug, Default)]
pub(super) struct Failures(VecDeque<Failure>);

impl Failures {
    pub(super) fn newest_first(&self) -> impl Iterator<Item = &Failure> {
        self.0.iter().rev()
    }

    pub(super) fn configuration_rejected(&mut self, at: DateTime<Utc>, problems: &str) {
        self.push(at, None, "configuration", format!("configuration rejected, keeping the previous one: {problems}"));
    }

    pub(super) fn session_ended(&mut self, at: DateTime<Utc>, end: &SessionEnd) {
        match end {
            // The commit's failure is listed already.
            SessionEnd::Stopped | SessionEnd::Commit(_) => {}
            SessionEnd::Sink(error) => self.push(at, None, end.label(), error.to_string()),
            SessionEnd::Checkpoint(error) => self.push(at, None, end.label(), error.to_string()),
        }
    }

    pub(super) fn commit_failed(&mut self, at: DateTime<Utc>, error: &CommitError) {
        self.push(at, None, error.label(), error.to_string());
    }

    pub(super) fn noticed(&mut self, at: DateTime<Utc>, place: &StreamPlace<'_>, notice: &Notice) {
        let (stream, account) = (Some(place.stream.to_string()), Some(place.stream.account.to_string()));
        match notice {
            Notice::Established
            | Notice::Resumed
            | Notice::Ended
            | Notice::Crawl(
                CrawlNotice::Begun(_)
                | CrawlNotice::Ended { .. }
                | CrawlNotice::Splits(_)
                | CrawlNotice::CameShort { .. }
                | CrawlNotice::Throttled(_),
            ) => {}
            Notice::Crawl(CrawlNotice::Retries { listing, reason }) => {
                let text = format!("list of {} of {} unreadable, retrying: {reason}", listing.what.label(), listing.of);
                self.push(at, stream, "crawl_retries", text);
            }
            Notice::Crawl(CrawlNotice::LeftOut(LeftOut { listing, reason })) => {
                let text = format!("list of {} of {} unreadable, left out: {reason}", listing.what.label(), listing.of);
                self.push(at, stream, "crawl_left_out", text);
            }
            Notice::Crawl(CrawlNotice::Unidentified { listing, count }) => {
                let text =
                    format!("{count} items without a gid in the list of {} of {}", listing.what.label(), listing.of);
                self.push(at, stream, "crawl_items_without_gid", text);
            }
            Notice::Missed(gids) => {
                let count = gids.len();
                let text = format!("{count} changes without an event found, snapshots published");
                self.push(at, stream, "missed", text);
            }
            Notice::DeadLetter { gid, bytes } => {
                let text = format!("record of {gid} too large for the bus ({bytes} bytes), sent as a dead letter");
                self.push(at, stream, "dead_letter", text);
            }
            Notice::PolledBare => {
                let text = "polling without opt_fields and extra headers after a 400";
                self.push(at, stream, "bad_request", text.to_owned());
            }
            Notice::TokenRepeated => {
                let text = "sync token repeated by Asana, its events not republished";
                self.push(at, stream, "token_repeated", text.to_owned());
            }
            Notice::SourceGap { gap_id } => {
                self.push(at, stream, "source_gap", format!("sync token expired, events may be lost: {gap_id}"));
            }
            Notice::Suspended(denial) => {
                let text = format!("Asana answers {} ({})", denial.status(), denial.label());
                self.push(at, stream, "suspended", text);
            }
            Notice::Throttled(pause) => {
                let text = format!("rate limit hit, polling paused for {} s", pause.as_secs());
                self.push(at, account, "throttled", text);
            }
            Notice::Failed(failure) => self.push(at, stream, failure.label(), words(failure)),
        }
    }

    pub(super) fn account_noticed(&mut self, at: DateTime<Utc>, account: &AccountName, notice: AccountNotice) {
        let (kind, text) = match notice {
            AccountNotice::Accepted | AccountNotice::ClockRight => return,
            AccountNotice::Refused(denial) => {
                let status = denial.status();
                ("credential_rejected", format!("credential rejected by Asana ({status}), polling stopped"))
            }
            AccountNotice::ClockOff(ahead) => {
                let seconds = ahead.num_seconds();
                ("clock_off", format!("clock differs from Asana's by {seconds} s (negative if behind)"))
            }
        };
        self.push(at, Some(account.to_string()), kind, text);
    }

    /// `of` is a stream, as `account/gid`, or an account.
    fn push(&mut self, at: DateTime<Utc>, of: Option<String>, kind: &'static str, text: String) {
        let account = of.as_deref().map(|of| of.split_once('/').map_or(of, |(account, _)| account).to_owned());
        let same = self.0.iter().position(|it| it.kind == kind && it.account == account);
        let before = same.and_then(|place| self.0.remove(place));
        let (first_at, count) = before.map_or((at, 0), |before| (before.first_at, before.count));
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(Failure { at, first_at, count: count + 1, account, of, kind, text });
    }
}

fn words(failure: &poll::Failure) -> String {
    match failure {
        poll::Failure::TimedOut => "no complete answer before the timeout".to_owned(),
        poll::Failure::Server { status, phrase: Some(phrase) } => format!("HTTP {status}, \"{phrase}\""),
        poll::Failure::Server { status, phrase: None } => format!("HTTP {status}"),
        poll::Failure::Gateway { status } => format!("HTTP {status} from a gateway or proxy, not from Asana"),
        poll::Failure::Connection(text) | poll::Failure::Malformed(text) | poll::Failure::Credential(text) => {
            text.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_folded_by_account_and_kind() {
        let mut failures = Failures::default();
        let at = |seconds: i64| DateTime::from_timestamp(seconds, 0).unwrap();
        for (seconds, of, kind) in
            [(1, "main/1", "server"), (2, "other/1", "server"), (3, "main/2", "server"), (4, "main", "throttled")]
        {
            failures.push(at(seconds), Some(of.to_owned()), kind, format!("{seconds}"));
        }
        failures.push(at(5), None, "sink", String::new());
        let told: Vec<_> =
            failures.newest_first().map(|it| (it.account.as_deref(), it.kind, it.count, it.first_at, it.at)).collect();
        assert_eq!(
            told,
            [
                (None, "sink", 1, at(5), at(5)),
                (Some("main"), "throttled", 1, at(4), at(4)),
                (Some("main"), "server", 2, at(1), at(3)),
                (Some("other"), "server", 1, at(2), at(2)),
            ]
        );
        let latest = failures.newest_first().nth(2).unwrap();
        assert_eq!((latest.of.as_deref(), latest.text.as_str()), (Some("main/2"), "3"));
    }
}
