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
//! Beside it a [`Crawl`] may be under way, while polling goes on.
//!
//! Asana answers "no token yet" and "dead token" alike: only the state tells which it is.

use super::crawl::{Crawl, LeftOut, LeftOuts, Reason};
use super::event::Event;
use super::ids::{Gid, StreamId, SyncToken, Topic};
use super::known::Mark;
use super::listing::Listing;
use super::page::{Denial, Failure, Page, PollOutcome};
use super::time::timestamp;
use crate::pb::{self, record::Body};
use chrono::{DateTime, SecondsFormat, Utc};
use std::collections::BTreeMap;
use std::sync::Arc;
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
    /// The crawl that is under way.
    pub crawl: Option<Arc<Crawl>>,
    /// When the last complete crawl began.
    pub last_crawl_at: Option<DateTime<Utc>>,
    /// What the last crawl had to leave out, and is tried again.
    pub left_out: LeftOuts,
    /// Source gaps that were healed but for what was left out, up to [`MOST_PARTLY_HEALED`].
    pub partly_healed: Vec<OpenGap>,
    /// It was said to have ended, and wasn't polled since.
    pub ended: bool,
}

/// So many source gaps are remembered that were healed in part. Of those before it isn't said that the rest was, too.
pub(crate) const MOST_PARTLY_HEALED: usize = 64;

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
            last_complete_poll_at: timestamp(self.last_complete_poll_at),
            resumed_at: timestamp(self.resumed_at),
        }
    }
}

/// What follows from an outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct Effects {
    /// What is to be told in every lane, before anything else.
    pub announcement: Option<Body>,
    /// The source gap that has just opened.
    pub gap: Option<OpenGap>,
    /// What is to be published before the new state counts.
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
    /// It isn't told to be polled any more.
    Ended,
    /// Its resources are read anew.
    CrawlBegun(Reason),
    /// All of them were read.
    CrawlEnded {
        /// Why.
        reason: Reason,
        /// How many snapshots were published.
        snapshots: u64,
        /// How many source gaps are healed by it.
        healed: usize,
        /// How many lists and objects it had to leave out.
        left_out: u64,
    },
    /// A list of its crawl, or an object, gives no usable answer, and is tried again.
    CrawlRetries {
        /// Which.
        listing: Listing,
        /// Why, in the words of the metrics.
        reason: &'static str,
    },
    /// A list of its crawl, or an object, can't be read: the crawl goes on without it.
    CrawlLeftOut(LeftOut),
    /// A list of its crawl is longer than what Asana gives of one: it is read in parts.
    CrawlSplits(Listing),
    /// Lists of its crawl showed much less than was known to be in them: they are read again.
    CrawlCameShort {
        /// How many lists.
        lists: usize,
        /// How many resources they didn't show.
        unseen: u64,
    },
    /// Items of a list have no gid: nothing can be told of them.
    CrawlUnidentified {
        /// Of which list.
        listing: Listing,
        /// How many.
        count: usize,
    },
    /// The rate limit was hit by requests of a crawl that has an account of its own.
    CrawlThrottled(Duration),
    /// So many resources changed and no event told of it, within the time that events may take.
    Missed(usize),
    /// A record was larger than what the bus takes: the dead-letter topic has it.
    DeadLetter {
        /// The resource that it is about.
        gid: Gid,
        /// The record's size as the bus counts it.
        bytes: usize,
    },
}

/// How long an account waits after 401 or 451: somebody has to act, and a rotated token file is
/// noticed by then.
pub(crate) const ACCOUNT_REFUSED_PAUSE: Duration = Duration::from_secs(60);

impl Stream {
    /// A stream that was never polled.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: State::Establish,
            epoch: 0,
            last_sequence: 0,
            open_gaps: Vec::new(),
            crawl: None,
            last_crawl_at: None,
            left_out: LeftOuts::default(),
            partly_healed: Vec::new(),
            ended: false,
        }
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

    /// Its last record.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark { epoch: self.epoch, sequence: self.last_sequence }
    }

    /// The next stream sequence in an epoch.
    pub fn next_sequence(&mut self, epoch: u64) -> u64 {
        if self.epoch != epoch {
            (self.epoch, self.last_sequence) = (epoch, 0);
        }
        self.last_sequence += 1;
        self.last_sequence
    }

    /// What becomes of the stream's state by what a poll returned that was sent at `asked_at`. Total: there is an answer
    /// to every outcome.
    #[must_use]
    pub fn step(
        &self,
        id: &StreamId,
        asked_at: DateTime<Utc>,
        now: DateTime<Utc>,
        outcome: PollOutcome,
    ) -> (State, Effects) {
        match outcome {
            PollOutcome::Page(page) => self.turn(asked_at, page),
            PollOutcome::TokenReset(token) => self.adopt(id, asked_at, now, token),
            PollOutcome::Denied(denial) if denial.concerns_account() => {
                self.stay(Pace::AccountPause(ACCOUNT_REFUSED_PAUSE), Notice::AccountRefused(denial))
            }
            PollOutcome::Denied(denial) => self.suspend(denial),
            PollOutcome::Throttled { retry_after } => {
                self.stay(Pace::AccountPause(retry_after), Notice::Throttled(retry_after))
            }
            PollOutcome::Failed(failure) => self.stay(Pace::Retry, Notice::Failed(failure)),
        }
    }

    /// From now on it is in this state, with this gap open.
    pub fn enter(&mut self, state: State, gap: Option<OpenGap>) {
        self.ended &= !matches!(state, State::Live(_));
        self.state = state;
        self.open_gaps.extend(gap);
    }

    /// The crawl that it should have, if none is under way.
    #[must_use]
    pub fn wanted_crawl(&self) -> Reason {
        match (self.open_gaps.is_empty(), self.last_crawl_at) {
            (false, _) => Reason::SourceGap,
            (true, None) => Reason::Initial,
            (true, Some(_)) => Reason::Reconciliation,
        }
    }

    /// The page's events, and on to the next token.
    fn turn(&self, asked_at: DateTime<Utc>, page: Page) -> (State, Effects) {
        let pace = match (page.has_more, page.events.is_empty()) {
            (true, _) => Pace::AtOnce,
            (false, false) => Pace::Active,
            (false, true) => Pace::Idle,
        };
        let before = self.live();
        let last_complete_poll_at = match before {
            Some(live) if page.has_more => live.last_complete_poll_at,
            Some(_) | None => asked_at,
        };
        let same_token = before.is_some_and(|live| live.token == page.next);
        let resumes = self.resumes();
        let effects = Effects {
            durable: resumes || !page.events.is_empty() || !same_token,
            announcement: resumes.then_some(Body::StreamResumed(pb::StreamResumed {})),
            gap: None,
            events: page.events,
            pace,
            notice: resumes.then_some(Notice::Resumed),
        };
        let live = Live { token: page.next, token_received_at: page.received_at, last_complete_poll_at };
        (State::Live(live), effects)
    }

    /// A fresh token: the first, or in place of a dead one.
    fn adopt(&self, id: &StreamId, asked_at: DateTime<Utc>, now: DateTime<Utc>, token: SyncToken) -> (State, Effects) {
        let resumes = self.resumes();
        // Asana refuses the token that it has just given: again and again that would only make gaps.
        let is_futile = self
            .live()
            .zip(self.open_gaps.last())
            .is_some_and(|(live, gap)| live.last_complete_poll_at <= gap.resumed_at);
        let gap = self.live().map(|live| {
            // The sequence tells two gaps of the same millisecond apart.
            let time = now.to_rfc3339_opts(SecondsFormat::Millis, true);
            OpenGap {
                id: format!("{id}@{time}/{}", self.last_sequence),
                last_complete_poll_at: live.last_complete_poll_at,
                resumed_at: now,
                topics: BTreeMap::new(),
            }
        });
        let notice = match &gap {
            Some(gap) => Notice::SourceGap { gap_id: gap.id.clone() },
            None if resumes => Notice::Resumed,
            None => Notice::Established,
        };
        let live = Live { token, token_received_at: now, last_complete_poll_at: asked_at };
        let effects = Effects {
            announcement: resumes.then_some(Body::StreamResumed(pb::StreamResumed {})),
            gap,
            events: Vec::new(),
            durable: true,
            pace: if is_futile { Pace::Retry } else { Pace::Active },
            notice: Some(notice),
        };
        (State::Live(live), effects)
    }

    fn suspend(&self, denial: Denial) -> (State, Effects) {
        let (denials, is_news) = match &self.state {
            State::Suspended { denials, denial: before, .. } => (denials + 1, *before != denial),
            State::Live(_) | State::Establish => (1, true),
        };
        let status = u32::from(denial.status());
        let effects = Effects {
            announcement: is_news.then_some(Body::StreamSuspended(pb::StreamSuspended { status })),
            gap: None,
            events: Vec::new(),
            durable: is_news,
            pace: Pace::Suspended(denials),
            notice: is_news.then_some(Notice::Suspended(denial)),
        };
        (State::Suspended { denial, denials, live: self.live().cloned() }, effects)
    }

    fn stay(&self, pace: Pace, notice: Notice) -> (State, Effects) {
        let effects =
            Effects { announcement: None, gap: None, events: Vec::new(), durable: false, pace, notice: Some(notice) };
        (self.state.clone(), effects)
    }

    /// Whether consumers were told that it isn't polled.
    fn resumes(&self) -> bool {
        self.ended || matches!(self.state, State::Suspended { .. })
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

    fn step(mut stream: Stream, seconds: i64, outcome: PollOutcome) -> (Stream, Effects) {
        let (state, effects) = stream.step(&StreamId::new("main", "1"), at(seconds), at(seconds), outcome);
        stream.enter(state, effects.gap.clone());
        (stream, effects)
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
    fn what_happened_while_a_poll_was_answered_may_be_missing_from_it() {
        let id = StreamId::new("main", "1");
        let (state, _) = live("a", 5).step(&id, at(7), at(30), page(1, "b", false, 30));
        let State::Live(live) = state else { panic!("{state:?}") };
        assert_eq!((live.last_complete_poll_at, live.token_received_at), (at(7), at(30)));
    }

    #[test]
    fn a_token_that_is_refused_as_soon_as_it_is_given_slows_the_stream_down() {
        let (stream, effects) = step(live("a", 5), 7, PollOutcome::TokenReset("b".into()));
        assert_eq!(effects.pace, Pace::Active);
        let (stream, effects) = step(stream, 12, PollOutcome::TokenReset("c".into()));
        assert_eq!((effects.pace, stream.open_gaps.len()), (Pace::Retry, 2), "each is told all the same");
        let (stream, _) = step(stream, 20, page(0, "d", false, 20));
        let (_, effects) = step(stream, 30, PollOutcome::TokenReset("e".into()));
        assert_eq!(effects.pace, Pace::Active);
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
            (PollOutcome::Throttled { retry_after: Duration::ZERO }, Pace::AccountPause(Duration::ZERO)),
            (PollOutcome::Denied(Denial::Unauthorized), Pace::AccountPause(ACCOUNT_REFUSED_PAUSE)),
            (PollOutcome::Denied(Denial::LegalBlock), Pace::AccountPause(ACCOUNT_REFUSED_PAUSE)),
        ] {
            let (stream, effects) = step(live("a", 5), 7, outcome);
            assert_eq!((stream, effects.pace), (live("a", 5), pace));
            assert!(!effects.durable && effects.notice.is_some());
        }
    }
}
