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

pub mod live;

use crate::crawl::known::Mark;
use crate::crawl::{Crawl, LeftOut, LeftOuts, Reason};
use crate::ids::{Gid, StreamId, SyncToken, Topic};
use crate::outcome::list::Listing;
use crate::outcome::poll::{Denial, Failure, Page, PollForm, PollOutcome, Polled};
use crate::outcome::stamp::Stamp;
use crate::record::event::Event;
use crate::stream::live::Live;
use bridge_contract::pb::{self, SourceGapReason, record::Body};
use bridge_contract::time::timestamp;
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
    /// Source gaps that were healed but for what was left out, up to 64.
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

/// A source gap that isn't healed.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenGap {
    /// The id that its records carry.
    pub id: String,
    /// Why it opened.
    pub reason: SourceGapReason,
    /// By Asana's clock: nothing before is lost. From the last poll that left nothing waiting.
    pub last_complete_poll_at: DateTime<Utc>,
    /// By Asana's clock: the new token was given at this time or before, and nothing after is lost.
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
            reason: self.reason.into(),
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

/// What a person may want to know of a crawl.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CrawlNotice {
    /// Its resources are read anew.
    Begun(Reason),
    /// All of them were read.
    Ended {
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
    Retries {
        /// Which.
        listing: Listing,
        /// Why, in the words of the metrics.
        reason: &'static str,
    },
    /// A list of its crawl, or an object, can't be read: the crawl goes on without it.
    LeftOut(LeftOut),
    /// A list of its crawl is longer than what Asana gives of one: it is read in parts.
    Splits(Listing),
    /// Lists of its crawl showed much less than was known to be in them: they are read again.
    CameShort {
        /// How many lists.
        lists: usize,
        /// How many resources they didn't show.
        unseen: u64,
    },
    /// Items of a list have no gid: nothing can be told of them.
    Unidentified {
        /// Of which list.
        listing: Listing,
        /// How many.
        count: usize,
    },
    /// The rate limit was hit by requests of a crawl that has an account of its own.
    Throttled(Duration),
}

/// What a person may want to know of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// It has its first token: events from now on are published.
    Established,
    /// Asana answers with 400 to what the bridge would like to know, and to the token alone it doesn't.
    PolledBare,
    /// Asana gives a token back with the events that it brought: what was published isn't published again.
    TokenRepeated,
    /// Its token was dead.
    SourceGap {
        /// The gap.
        gap_id: String,
    },
    /// Asana refuses to have it polled.
    Suspended(Denial),
    /// It is polled again.
    Resumed,
    /// The rate limit was hit.
    Throttled(Duration),
    /// No usable answer.
    Failed(Failure),
    /// It isn't told to be polled any more.
    Ended,
    /// Of its crawl.
    Crawl(CrawlNotice),
    /// These resources changed and no event told of it, within the time that events may take.
    Missed(Vec<Gid>),
    /// A record was larger than what the bus takes: the dead-letter topic has it.
    DeadLetter {
        /// The resource that it is about.
        gid: Gid,
        /// The record's size as the bus counts it.
        bytes: usize,
    },
}

impl State {
    fn live(&self) -> Option<&Live> {
        match self {
            Self::Establish => None,
            Self::Live(live) => Some(live),
            Self::Suspended { live, .. } => live.as_ref(),
        }
    }

    pub(crate) fn live_mut(&mut self) -> Option<&mut Live> {
        match self {
            Self::Establish => None,
            Self::Live(live) => Some(live),
            Self::Suspended { live, .. } => live.as_mut(),
        }
    }
}

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
        self.state.live()
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

    /// What becomes of the stream's state by what a poll of this form returned. Total: there is an answer to every
    /// outcome. `latest`: a time that isn't before Asana's, where one is known.
    #[must_use]
    pub fn step(
        &self,
        id: &StreamId,
        form: PollForm,
        polled: Polled,
        latest: Option<DateTime<Utc>>,
    ) -> (State, Effects) {
        let Polled { outcome, stamp, received_at } = polled;
        match outcome {
            PollOutcome::Page(page) if page.is_endless(self.token()) => {
                self.fail(Failure::Malformed("more is waiting, and neither events nor a new token came".to_owned()))
            }
            PollOutcome::Page(_) if form == PollForm::Fresh => {
                self.fail(Failure::Malformed("a page came though no token was sent".to_owned()))
            }
            PollOutcome::Page(page) => self.turn(page, stamp),
            PollOutcome::TokenReset(token) => {
                let live = Live::given(self.live(), token, received_at, stamp);
                let latest = stamp.map(Stamp::not_after).or(latest).unwrap_or(received_at);
                self.adopt(id, form, live, latest)
            }
            PollOutcome::Denied(denial) => self.suspend(denial),
            PollOutcome::Throttled { retry_after } => {
                self.stay(Pace::AccountPause(retry_after), Notice::Throttled(retry_after))
            }
            PollOutcome::Failed(failure) => self.fail(failure),
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

    /// What of the page's events wasn't published, and on to the next token.
    fn turn(&self, mut page: Page, stamp: Option<Stamp>) -> (State, Effects) {
        let before = self.live();
        let live = Live::behind(before, &page, stamp);
        let same_token = before.is_some_and(|live| live.token == page.next);
        let is_repeated = same_token && !page.events.is_empty();
        let pace = match (page.has_more, page.events.is_empty()) {
            _ if is_repeated => Pace::Idle,
            (true, _) => Pace::AtOnce,
            (false, false) => Pace::Active,
            (false, true) => Pace::Idle,
        };
        page.events.drain(..before.map_or(0, |live| live.served.among(&page.events)));
        let resumes = self.resumes();
        let effects = Effects {
            durable: resumes || !page.events.is_empty() || !same_token,
            announcement: resumes.then_some(Body::StreamResumed(pb::StreamResumed {})),
            gap: None,
            events: page.events,
            pace,
            notice: match (resumes, is_repeated) {
                (true, _) => Some(Notice::Resumed),
                (false, true) => Some(Notice::TokenRepeated),
                (false, false) => None,
            },
        };
        (State::Live(live), effects)
    }

    /// A fresh token: the first, or in place of a dead one. It was given at `latest` or before.
    fn adopt(&self, id: &StreamId, form: PollForm, next: Live, latest: DateTime<Utc>) -> (State, Effects) {
        let resumes = self.resumes();
        // Asana refuses the token that it has just given: again and again that would only make gaps.
        let is_futile = self
            .live()
            .zip(self.open_gaps.last())
            .is_some_and(|(live, gap)| live.last_complete_poll_at <= gap.resumed_at);
        let received_at = next.token_received_at.to_rfc3339_opts(SecondsFormat::Millis, true);
        let gap = self.live().map(|before| OpenGap {
            // The sequence tells two gaps of the same millisecond apart.
            id: format!("{id}@{received_at}/{}", self.last_sequence),
            reason: match form {
                PollForm::Full | PollForm::Bare => SourceGapReason::TokenExpired,
                PollForm::Fresh => SourceGapReason::TokenRefused,
            },
            last_complete_poll_at: before.last_complete_poll_at,
            resumed_at: latest.max(next.last_complete_poll_at),
            topics: BTreeMap::new(),
        });
        let notice = match &gap {
            Some(gap) => Notice::SourceGap { gap_id: gap.id.clone() },
            None if resumes => Notice::Resumed,
            None => Notice::Established,
        };
        let effects = Effects {
            announcement: resumes.then_some(Body::StreamResumed(pb::StreamResumed {})),
            gap,
            events: Vec::new(),
            durable: true,
            pace: if is_futile { Pace::Retry } else { Pace::Active },
            notice: Some(notice),
        };
        (State::Live(next), effects)
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

    /// What a request without an answer of Asana's own has used up isn't known.
    fn fail(&self, failure: Failure) -> (State, Effects) {
        let was_sent = failure.was_sent();
        let (mut state, effects) = self.stay(Pace::Retry, Notice::Failed(failure));
        if let Some(live) = state.live_mut() {
            live.maybe_asked |= was_sent;
        }
        (state, effects)
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
        page_of(vec![event(); events], next, has_more, seconds)
    }

    fn page_of(events: Vec<Event>, next: &str, has_more: bool, seconds: i64) -> PollOutcome {
        PollOutcome::Page(Page { events, next: next.into(), has_more, received_at: at(seconds), bytes: 100 })
    }

    fn named(name: &str) -> Event {
        let text = serde_json::json!({"action": "added", "resource": { "gid": name, "resource_type": "task" }});
        Event::parse(&serde_json::value::to_raw_value(&text).expect("JSON"))
    }

    /// Answered within no time.
    fn step(stream: Stream, seconds: i64, outcome: PollOutcome) -> (Stream, Effects) {
        let stamp = Stamp::new(at(seconds), Duration::ZERO).filter(|_| outcome.is_asanas());
        stamped(stream, seconds, stamp, outcome)
    }

    fn stamped(mut stream: Stream, seconds: i64, stamp: Option<Stamp>, outcome: PollOutcome) -> (Stream, Effects) {
        let polled = Polled { outcome, stamp, received_at: at(seconds) };
        let (state, effects) = stream.step(&StreamId::new("main", "1"), PollForm::Full, polled, None);
        stream.enter(state, effects.gap.clone());
        (stream, effects)
    }

    /// Its token was given in this second, and wasn't asked with.
    fn live(token: &str, seconds: i64) -> Stream {
        let live = Live::given(None, token.into(), at(seconds), Stamp::new(at(seconds), Duration::ZERO));
        Stream { state: State::Live(live), ..Stream::new() }
    }

    /// The same, as it is restored.
    fn restored(token: &str, seconds: i64) -> Stream {
        let mut stream = live(token, seconds);
        stream.state.live_mut().expect("live").maybe_asked = true;
        stream
    }

    fn complete(stream: &Stream) -> DateTime<Utc> {
        stream.live().expect("live").last_complete_poll_at
    }

    #[test]
    fn the_first_token_is_no_gap() {
        let (stream, effects) = step(Stream::new(), 5, PollOutcome::TokenReset("a".into()));
        assert_eq!(stream, live("a", 5));
        assert_eq!(complete(&stream), at(4));
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
        assert_eq!(gap.last_complete_poll_at, at(4), "the page at 7 left more waiting");
        assert_eq!((gap.resumed_at, gap.reason), (at(10), SourceGapReason::TokenExpired));
        assert_eq!(stream.token().map(SyncToken::as_str), Some("c"));
    }

    #[test]
    fn what_happened_while_a_poll_was_answered_may_be_missing_from_it() {
        let stamp = Stamp::new(at(30), Duration::from_secs(23));
        let (stream, _) = stamped(live("a", 5), 99, stamp, page(1, "b", false, 99));
        assert_eq!(complete(&stream), at(6));
    }

    #[test]
    fn a_token_that_may_have_been_asked_with_proves_what_was_when_it_came() {
        let (lost, effects) = step(live("a", 5), 7, PollOutcome::Failed(Failure::TimedOut));
        assert!(!effects.durable);
        for stream in [lost, restored("a", 5)] {
            for empty in [true, false] {
                let (stream, _) = step(stream.clone(), 60, page(usize::from(!empty), "b", false, 60));
                assert_eq!(complete(&stream), at(4), "its page is as it was at an ask before");
                let (stream, _) = step(stream, 70, page(0, "c", false, 70));
                assert_eq!(complete(&stream), at(69), "the second answer advances");
            }
        }
    }

    #[test]
    fn a_lost_page_that_left_more_waiting_proves_nothing_either() {
        let (stream, _) = step(restored("a", 5), 60, page(9, "b", true, 60));
        assert_eq!(complete(&stream), at(4));
        let (stream, _) = step(stream, 61, PollOutcome::Failed(Failure::TimedOut));
        let (stream, _) = step(stream, 99, page(1, "c", false, 99));
        assert_eq!(complete(&stream), at(4), "nobody knows when the first of the two pages was fixed");
    }

    #[test]
    fn an_empty_page_that_gives_the_token_back_proves_what_a_first_ask_would() {
        let (stream, effects) = step(restored("a", 5), 60, page(0, "a", false, 60));
        assert_eq!(complete(&stream), at(59));
        assert!(!effects.durable, "nothing is new");
        let (stream, _) = step(stream, 61, PollOutcome::Failed(Failure::TimedOut));
        let (stream, _) = step(stream, 99, page(1, "b", false, 99));
        assert_eq!(complete(&stream), at(59), "then it was still unused");
    }

    #[test]
    fn without_a_date_no_bound_advances_and_none_goes_back() {
        let (first, _) = stamped(Stream::new(), 5, None, PollOutcome::TokenReset("a".into()));
        assert_eq!(complete(&first), DateTime::UNIX_EPOCH);
        let (stream, _) = stamped(live("a", 5), 60, None, page(1, "b", false, 60));
        assert_eq!(complete(&stream), at(4));
        let early = Stamp::new(at(1), Duration::ZERO);
        let (stream, _) = stamped(stream, 70, early, page(1, "c", false, 70));
        assert_eq!(complete(&stream), at(4));
        let (_, effects) = stamped(stream, 2, None, PollOutcome::TokenReset("d".into()));
        let gap = effects.gap.expect("a gap");
        assert_eq!((gap.last_complete_poll_at, gap.resumed_at), (at(4), at(4)), "the host's clock is behind");
    }

    #[test]
    fn what_came_with_the_same_token_is_published_once() {
        let (a, b, c) = (named("1"), named("2"), named("3"));
        let same = |events: &[&Event]| page_of(events.iter().map(|event| (*event).clone()).collect(), "a", true, 7);
        let (stream, effects) = step(live("a", 5), 7, same(&[&a, &b]));
        assert_eq!((effects.events.len(), effects.pace, effects.durable), (2, Pace::Idle, true));
        assert_eq!(effects.notice, Some(Notice::TokenRepeated));
        let (stream, effects) = step(stream, 8, same(&[&a, &b]));
        assert_eq!((effects.events.len(), effects.pace, effects.durable), (0, Pace::Idle, false));
        let (stream, effects) = step(stream, 9, same(&[&a, &b, &c]));
        assert_eq!((effects.events, effects.durable), (vec![c.clone()], true));
        let (other, effects) = step(stream.clone(), 10, same(&[&b, &c]));
        assert_eq!(effects.events, [b.clone(), c.clone()], "another page is published whole");
        assert_eq!(complete(&other), at(4), "the page may be as it was at the first ask");
        let (_, effects) = step(stream.clone(), 10, page(0, "a", false, 10));
        assert!(!effects.durable);
        let (stream, effects) = step(stream, 11, page_of(vec![a.clone(), b, c, a.clone()], "z", false, 11));
        assert_eq!((effects.events, effects.pace), (vec![a.clone()], Pace::Active));
        let (_, effects) = step(stream, 12, page_of(vec![a], "y", false, 12));
        assert_eq!(effects.events.len(), 1, "of another token");
    }

    #[test]
    fn more_without_anything_to_ask_for_it_with_is_no_answer() {
        let (stream, effects) = step(live("a", 5), 7, page(0, "a", true, 7));
        assert_eq!((effects.pace, effects.durable, complete(&stream)), (Pace::Retry, false, at(4)));
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
        assert!(effects.durable && effects.announcement.is_some());
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
            (PollOutcome::Failed(Failure::Credential("none".to_owned())), Pace::Retry),
            (
                PollOutcome::Throttled { retry_after: Duration::from_secs(7) },
                Pace::AccountPause(Duration::from_secs(7)),
            ),
            (PollOutcome::Throttled { retry_after: Duration::ZERO }, Pace::AccountPause(Duration::ZERO)),
        ] {
            let (stream, effects) = step(live("a", 5), 7, outcome);
            assert_eq!((stream, effects.pace), (live("a", 5), pace));
            assert!(!effects.durable && effects.notice.is_some());
        }
    }
}
