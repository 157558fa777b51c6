//! What went wrong lately, for a person who looks at the status page.

use crate::bridge::SessionEnd;
use crate::core::crawl::LeftOut;
use crate::core::engine::{AccountNotice, StreamPlace};
use crate::core::ids::AccountName;
use crate::core::page;
use crate::core::stream::{CrawlNotice, Notice};
use crate::sink::CommitError;
use chrono::{DateTime, Utc};
use std::collections::VecDeque;

/// So many are kept.
const KEPT: usize = 50;

/// Something that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) at: DateTime<Utc>,
    /// The stream or account; nothing where it was the bus.
    pub(super) of: Option<String>,
    /// A word for what it is.
    pub(super) kind: &'static str,
    /// More words.
    pub(super) text: String,
}

/// The latest failures, the newest last.
#[derive(Clone, Debug, Default)]
pub(super) struct Failures(VecDeque<Failure>);

impl Failures {
    pub(super) fn newest_first(&self) -> impl Iterator<Item = &Failure> {
        self.0.iter().rev()
    }

    pub(super) fn configuration_refused(&mut self, at: DateTime<Utc>, problems: &str) {
        self.push(at, None, "configuration", format!("the new configuration is refused: {problems}"));
    }

    pub(super) fn session_ended(&mut self, at: DateTime<Utc>, end: &SessionEnd) {
        match end {
            // A commit's failure has been told.
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
                let text = format!("crawl: the {} of {} can't be read now: {reason}", listing.what.label(), listing.of);
                self.push(at, stream, "crawl_retries", text);
            }
            Notice::Crawl(CrawlNotice::LeftOut(LeftOut { listing, reason })) => {
                let text =
                    format!("the crawl goes on without the {} of {}: {reason}", listing.what.label(), listing.of);
                self.push(at, stream, "crawl_left_out", text);
            }
            Notice::Crawl(CrawlNotice::Unidentified { listing, count }) => {
                let text = format!("{count} items without a gid among the {} of {}", listing.what.label(), listing.of);
                self.push(at, stream, "crawl_unidentified", text);
            }
            Notice::Missed(gids) => {
                let count = gids.len();
                let text = format!("{count} changes of which Asana sent no event; their snapshots were published");
                self.push(at, stream, "missed", text);
            }
            Notice::DeadLetter { gid, bytes } => {
                let text =
                    format!("the record of {gid} has {bytes} bytes, more than the bus takes: it is a dead letter");
                self.push(at, stream, "dead_letter", text);
            }
            Notice::PolledBare => {
                let text = "Asana answers 400 to opt_fields or extra headers: it is asked without them";
                self.push(at, stream, "bad_request", text.to_owned());
            }
            Notice::TokenRepeated => {
                let text = "Asana gives a sync token back with the events that it brought; they aren't published again";
                self.push(at, stream, "token_repeated", text.to_owned());
            }
            Notice::SourceGap { gap_id } => {
                self.push(at, stream, "source_gap", format!("the sync token was dead, events may be lost: {gap_id}"));
            }
            Notice::Suspended(denial) => {
                let text = format!("Asana answers {} ({})", denial.status(), denial.label());
                self.push(at, stream, "suspended", text);
            }
            Notice::Throttled(pause) => {
                let text = format!("rate limit hit: the account waits for {} s", pause.as_secs());
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
                ("account_refused", format!("Asana answers {status} to its credential: nothing of it is polled"))
            }
            AccountNotice::ClockOff(ahead) => {
                let seconds = ahead.num_seconds();
                ("clock_off", format!("the host's clock is ahead of Asana's by {seconds} s, or behind if negative"))
            }
        };
        self.push(at, Some(account.to_string()), kind, text);
    }

    fn push(&mut self, at: DateTime<Utc>, of: Option<String>, kind: &'static str, text: String) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(Failure { at, of, kind, text });
    }
}

fn words(failure: &page::Failure) -> String {
    match failure {
        page::Failure::TimedOut => "no complete answer in time".to_owned(),
        page::Failure::Server { status, phrase: Some(phrase) } => format!("HTTP {status}, \"{phrase}\""),
        page::Failure::Server { status, phrase: None } => format!("HTTP {status}"),
        page::Failure::Gateway { status } => format!("HTTP {status}, and not by Asana: of a gateway or proxy"),
        page::Failure::Connection(text) | page::Failure::Malformed(text) | page::Failure::Credential(text) => {
            text.clone()
        }
    }
}
