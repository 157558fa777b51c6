//! The life of one stream, as a function of what polls return.
//!
//! ```text
//!             first token                      page (publish, next token)
//! Establish ───────────────► Live ◄──────────────────────────┐
//!     ▲                      │ ▲ └───────────────────────────┘
//!     │                      │ └── 412: source gap, new token
//!     │        denied        ▼
//!     └──────────────── Suspended ── an answer: as if it had never been suspended
//! ```
//!
//! Asana answers "no token yet" and "dead token" alike: only the state tells which it is.

use super::event::Event;
use super::ids::{StreamId, SyncToken, Topic};
use super::page::{Denial, Failure, Page, PollOutcome};
use crate::pb;
use chrono::{DateTime, SecondsFormat, Utc};
use std::collections::BTreeMap;
use std::time::Duration;

/// One stream: what is durable of it, and whether Asana lets it be polled.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    /// Where in its life it is.
    pub state: State,
    /// The epoch of the last record.
    pub epoch: u64,
    /// The stream sequence of the last record.
    pub last_sequence: u64,
    /// Source gaps that aren't healed.
    pub open_gaps: Vec<OpenGap>,
}

/// Where in its life a stream is.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// It has no sync token yet.
    Establish,
    /// It has one.
    Live(Live),
    /// Asana refuses to have it polled; it is asked again, slowly.
    Suspended {
        /// Why.
        denial: Denial,
        /// How often in a row.
        denials: u32,
        /// What it had before; the token may still be good when access comes back.
        live: Option<Live>,
    },
}

/// A stream's place in Asana's event stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Live {
    /// The token of the next poll.
    pub token: SyncToken,
    /// When Asana gave it; it is dead 24 hours later at the latest.
    pub token_received_at: DateTime<Utc>,
    /// The last poll that left nothing waiting.
    pub last_complete_poll_at: DateTime<Utc>,
}

/// A source gap that isn't healed.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenGap {
    /// The id that its records carry.
    pub id: String,
    /// The last poll that left nothing waiting: nothing before it is lost.
    pub last_complete_poll_at: DateTime<Utc>,
    /// When the new token was given: nothing after it is lost.
    pub resumed_at: DateTime<Utc>,
    /// The topics that have its record, each in how many lanes. A topic that the stream comes to later, and a lane
    /// that is added later, gets it before the stream's first event there.
    pub topics: BTreeMap<Topic, u32>,
}

impl OpenGap {
    /// What its records say.
    #[must_use]
    pub fn record(&self) -> pb::SourceGap {
        pb::SourceGap {
            gap_id: self.id.clone(),
            reason: pb::SourceGapReason::TokenExpired.into(),
            last_complete_poll_at: Some(self.last_complete_poll_at.into()),
            resumed_at: Some(self.resumed_at.into()),
        }
    }
}

/// What follows from an outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct Effects {
    /// What is to be published before the new state counts, besides the gaps that the state opened.
    pub events: Vec<Event>,
    /// Whether the new state has to be committed, even if nothing is published.
    pub durable: bool,
    /// When to poll again.
    pub pace: Pace,
    /// What a person may want to know.
    pub notice: Option<Notice>,
}

/// When to poll again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// More is waiting.
    AtOnce,
    /// Events came: at the shortest interval.
    Active,
    /// None came: slow down.
    Idle,
    /// No usable answer: back off.
    Retry,
    /// Refused: ask again after a long while, longer with each refusal in a row.
    Suspended(u32),
    /// The whole account waits.
    AccountPause(Duration),
}

/// What a person may want to know of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// It has its first token: events from now on are published.
    Established,
    /// Its token was dead.
    SourceGap {
        /// The gap.
        gap_id: String,
    },
    /// Asana refuses to have it polled.
    Suspended(Denial),
    /// It is polled again.
    Resumed,
    /// Asana refuses the account.
    AccountRefused(Denial),
    /// The rate limit was hit.
    Throttled(Duration),
    /// No usable answer.
    Failed(Failure),
}

/// How long an account waits after 401 or 451: somebody has to act, and a rotated token file is
/// noticed by then.
const ACCOUNT_REFUSED_PAUSE: Duration = Duration::from_secs(60);

/// How long an account waits at least after 429: refused requests count, too, so that asking again at once
/// would only shrink the budget.
const LEAST_THROTTLE: Duration = Duration::from_secs(1);

impl Stream {
    /// A stream that was never polled.
    #[must_use]
    pub fn new() -> Self {
        Self { state: State::Establish, epoch: 0, last_sequence: 0, open_gaps: Vec::new() }
    }

    /// The token and its times, if there is one.
    #[must_use]
    pub fn live(&self) -> Option<&Live> {
        match &self.state {
            State::Establish => None,
            State::Live(live) => Some(live),
            State::Suspended { live, .. } => live.as_ref(),
        }
    }

    /// The token that the next poll sends.
    #[must_use]
    pub fn token(&self) -> Option<&SyncToken> {
        self.live().map(|live| &live.token)
    }

    /// The next stream sequence in an epoch.
    pub fn next_sequence(&mut self, epoch: u64) -> u64 {
        if self.epoch != epoch {
            (self.epoch, self.last_sequence) = (epoch, 0);
        }
        self.last_sequence += 1;
        self.last_sequence
    }

    /// What becomes of the stream by what a poll returned. Total: there is an answer to every outcome.
    #[must_use]
    pub fn step(self, id: &StreamId, now: DateTime<Utc>, outcome: PollOutcome) -> (Self, Effects) {
        match outcome {
            PollOutcome::Page(page) => self.turn(page),
            PollOutcome::TokenReset(token) => self.adopt(id, now, token),
            PollOutcome::Denied(denial) if denial.concerns_account() => {
                self.stay(Pace::AccountPause(ACCOUNT_REFUSED_PAUSE), Notice::AccountRefused(denial))
            }
            PollOutcome::Denied(denial) => self.suspend(denial),
            PollOutcome::Throttled { retry_after } => {
                let pause = retry_after.max(LEAST_THROTTLE);
                self.stay(Pace::AccountPause(pause), Notice::Throttled(pause))
            }
            PollOutcome::Failed(failure) => self.stay(Pace::Retry, Notice::Failed(failure)),
        }
    }

    /// The page's events, and on to the next token.
    fn turn(self, page: Page) -> (Self, Effects) {
        let pace = match (page.has_more, page.events.is_empty()) {
            (true, _) => Pace::AtOnce,
            (false, false) => Pace::Active,
            (false, true) => Pace::Idle,
        };
        let before = self.live();
        let last_complete_poll_at = match before {
            Some(live) if page.has_more => live.last_complete_poll_at,
            Some(_) | None => page.received_at,
        };
        let same_token = before.is_some_and(|live| live.token == page.next);
        let effects = Effects {
            durable: !page.events.is_empty() || !same_token,
            events: page.events,
            pace,
            notice: self.resumed(),
        };
        let live = Live { token: page.next, token_received_at: page.received_at, last_complete_poll_at };
        (Self { state: State::Live(live), ..self }, effects)
    }

    /// A fresh token: the first, or in place of a dead one.
    fn adopt(mut self, id: &StreamId, now: DateTime<Utc>, token: SyncToken) -> (Self, Effects) {
        let resumed = self.resumed();
        let notice = match self.live() {
            None => resumed.unwrap_or(Notice::Established),
            Some(live) => {
                // The sequence tells two gaps of the same millisecond apart.
                let time = now.to_rfc3339_opts(SecondsFormat::Millis, true);
                let gap_id = format!("{id}@{time}/{}", self.last_sequence);
                let last_complete_poll_at = live.last_complete_poll_at;
                let gap =
                    OpenGap { id: gap_id.clone(), last_complete_poll_at, resumed_at: now, topics: BTreeMap::new() };
                self.open_gaps.push(gap);
                Notice::SourceGap { gap_id }
            }
        };
        let live = Live { token, token_received_at: now, last_complete_poll_at: now };
        let effects = Effects { events: Vec::new(), durable: true, pace: Pace::Active, notice: Some(notice) };
        (Self { state: State::Live(live), ..self }, effects)
    }

    fn suspend(self, denial: Denial) -> (Self, Effects) {
        let (denials, live, notice) = match self.state {
            State::Suspended { denials, live, denial: before } => {
                (denials + 1, live, (before != denial).then_some(Notice::Suspended(denial)))
            }
            State::Live(live) => (1, Some(live), Some(Notice::Suspended(denial))),
            State::Establish => (1, None, Some(Notice::Suspended(denial))),
        };
        let effects = Effects { events: Vec::new(), durable: false, pace: Pace::Suspended(denials), notice };
        (Self { state: State::Suspended { denial, denials, live }, ..self }, effects)
    }

    fn stay(self, pace: Pace, notice: Notice) -> (Self, Effects) {
        (self, Effects { events: Vec::new(), durable: false, pace, notice: Some(notice) })
    }

    fn resumed(&self) -> Option<Notice> {
        matches!(self.state, State::Suspended { .. }).then_some(Notice::Resumed)
    }
}

impl Default for Stream {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).expect("a time")
    }

    fn event() -> Event {
        Event::parse(&serde_json::value::to_raw_value(&serde_json::json!({"action": "added"})).expect("JSON"))
    }

    fn page(events: usize, next: &str, has_more: bool, seconds: i64) -> PollOutcome {
        PollOutcome::Page(Page {
            events: vec![event(); events],
            next: next.into(),
            has_more,
            received_at: at(seconds),
            bytes: 100,
        })
    }

    fn step(stream: Stream, seconds: i64, outcome: PollOutcome) -> (Stream, Effects) {
        stream.step(&StreamId::new("main", "1"), at(seconds), outcome)
    }

    fn live(token: &str, seconds: i64) -> Stream {
        let live = Live { token: token.into(), token_received_at: at(seconds), last_complete_poll_at: at(seconds) };
        Stream { state: State::Live(live), ..Stream::new() }
    }

    #[test]
    fn the_first_token_is_no_gap() {
        let (stream, effects) = step(Stream::new(), 5, PollOutcome::TokenReset("a".into()));
        assert_eq!(stream, live("a", 5));
        assert!(stream.open_gaps.is_empty());
        assert!(effects.durable);
        assert_eq!(effects.notice, Some(Notice::Established));
    }

    #[test]
    fn a_reset_while_live_opens_a_gap_since_the_last_complete_poll() {
        let (stream, _) = step(live("a", 5), 7, page(100, "b", true, 7));
        let (stream, effects) = step(stream, 9, PollOutcome::TokenReset("c".into()));
        assert!(effects.durable && matches!(effects.notice, Some(Notice::SourceGap { .. })));
        let [gap] = stream.open_gaps.as_slice() else { panic!("one gap: {stream:?}") };
        assert_eq!(gap.last_complete_poll_at, at(5), "the page at 7 left more waiting");
        assert_eq!(gap.resumed_at, at(9));
        assert_eq!(stream.token().map(SyncToken::as_str), Some("c"));
    }

    #[test]
    fn a_page_publishes_and_sets_the_pace() {
        for (events, has_more, pace) in
            [(3, true, Pace::AtOnce), (0, true, Pace::AtOnce), (3, false, Pace::Active), (0, false, Pace::Idle)]
        {
            let (stream, effects) = step(live("a", 5), 7, page(events, "b", has_more, 7));
            assert_eq!(effects.pace, pace);
            assert!(effects.durable);
            assert_eq!(stream.token().map(SyncToken::as_str), Some("b"));
        }
        let (_, effects) = step(live("a", 5), 7, page(0, "a", false, 7));
        assert!(!effects.durable, "the same token again needs no commit");
    }

    #[test]
    fn a_denied_stream_keeps_its_token_and_resumes() {
        let (stream, effects) = step(live("a", 5), 7, PollOutcome::Denied(Denial::Forbidden));
        assert_eq!(effects.notice, Some(Notice::Suspended(Denial::Forbidden)));
        let (stream, effects) = step(stream, 8, PollOutcome::Denied(Denial::Forbidden));
        assert_eq!((effects.pace, effects.notice), (Pace::Suspended(2), None));
        assert_eq!(stream.token().map(SyncToken::as_str), Some("a"));
        let (_, resumed) = step(stream.clone(), 9, page(1, "b", false, 9));
        assert_eq!(resumed.notice, Some(Notice::Resumed));
        let (_, gap) = step(stream, 9, PollOutcome::TokenReset("c".into()));
        assert!(matches!(gap.notice, Some(Notice::SourceGap { .. })), "a token that died meanwhile is a gap");
    }

    #[test]
    fn nothing_moves_without_a_usable_answer() {
        for (outcome, pace) in [
            (PollOutcome::Failed(Failure::TimedOut), Pace::Retry),
            (
                PollOutcome::Throttled { retry_after: Duration::from_secs(7) },
                Pace::AccountPause(Duration::from_secs(7)),
            ),
            (PollOutcome::Throttled { retry_after: Duration::ZERO }, Pace::AccountPause(LEAST_THROTTLE)),
            (PollOutcome::Denied(Denial::Unauthorized), Pace::AccountPause(ACCOUNT_REFUSED_PAUSE)),
            (PollOutcome::Denied(Denial::LegalBlock), Pace::AccountPause(ACCOUNT_REFUSED_PAUSE)),
        ] {
            let (stream, effects) = step(live("a", 5), 7, outcome);
            assert_eq!((stream, effects.pace), (live("a", 5), pace));
            assert!(!effects.durable && effects.notice.is_some());
        }
    }
}
