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
//! Asana answers "no token yet" and "dead token" alike: only the state distinguishes them.

pub mod live;
mod notice;
pub mod rate;

pub use notice::{CrawlNotice, Notice};

use crate::crawl::known::Mark;
use crate::crawl::{Crawl, LeftOuts, Reason};
use crate::ids::{StreamId, SyncToken, Topic};
use crate::outcome::poll::{Denial, Failure, Page, PollForm, PollOutcome, Polled};
use crate::outcome::stamp::Stamp;
use crate::record::event::Event;
use crate::stream::live::Live;
use crate::stream::rate::EventRate;
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
    /// Its end was published, and it wasn't polled since.
    pub ended: bool,
    /// It may have been polled before: the checkpoint that would know was lost. Its first token opens a source gap. Not
    /// stored: it follows from the header of its shard.
    pub unknown_past: bool,
}

/// The largest number of source gaps that are remembered after they were healed in part. Of older ones it isn't
/// published when the rest is healed, too.
pub(crate) const MOST_PARTLY_HEALED: usize = 64;

/// The largest number of open source gaps. Beyond it the newest one grows instead, so that the stream's checkpoint stays
/// small even if no crawl can heal them.
const MOST_OPEN_GAPS: usize = 32;

/// Where in its life a stream is.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// It has no sync token yet.
    Establish,
    /// It has one.
    Live(Live),
    /// Asana refuses to have it polled. It is polled again with backoff.
    Suspended {
        /// Asana's refusal.
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
    /// By Asana's clock: nothing before is lost. From the last poll that left nothing waiting. `None`: when that was
    /// isn't known any more.
    pub last_complete_poll_at: Option<DateTime<Utc>>,
    /// By Asana's clock: the new token was given at this time or before, and nothing after is lost.
    pub resumed_at: DateTime<Utc>,
    /// The topics that have its record, each in how many lanes. A topic that the stream comes to later, and a lane
    /// that is added later, gets it before the stream's first event there.
    pub topics: BTreeMap<Topic, u32>,
}

impl OpenGap {
    /// The body of its records.
    #[must_use]
    pub fn record(&self) -> pb::SourceGap {
        pb::SourceGap {
            gap_id: self.id.clone(),
            reason: self.reason.into(),
            last_complete_poll_at: self.last_complete_poll_at.and_then(timestamp),
            resumed_at: timestamp(self.resumed_at),
        }
    }
}

/// What follows from an outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct Effects {
    /// What every lane announces, before anything else.
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
    /// None came: the interval grows.
    Idle,
    /// No usable answer: after a delay that grows with failures in a row.
    Retry,
    /// Refused: after a long delay that grows with refusals in a row.
    Suspended(u32),
    /// The whole account waits.
    AccountPause(Duration),
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
            unknown_past: false,
        }
    }

    /// Whether nothing of it was stored yet.
    #[must_use]
    pub fn is_new(&self) -> bool {
        *self == Self { unknown_past: self.unknown_past, ..Self::new() }
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

    /// How often it has events.
    #[must_use]
    pub fn rate(&self) -> EventRate {
        self.live().map(|live| live.rate).unwrap_or_default()
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
        self.unknown_past &= !matches!(state, State::Live(_));
        self.state = state;
        if let Some(gap) = gap {
            self.open_gaps.retain(|open| open.id != gap.id);
            self.open_gaps.push(gap);
        }
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
        let mut live = Live::behind(before, &page, stamp);
        let same_token = before.is_some_and(|live| live.token == page.next);
        let is_repeated = same_token && !page.events.is_empty();
        let pace = match (page.has_more, page.events.is_empty()) {
            _ if is_repeated => Pace::Idle,
            (true, _) => Pace::AtOnce,
            (false, false) => Pace::Active,
            (false, true) => Pace::Idle,
        };
        page.events.drain(..before.map_or(0, |live| live.served.among(&page.events)));
        if let Some(before) = before {
            live.observe(before, &page.events, stamp.map_or(page.received_at, Stamp::not_after));
        }
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
        let reason = match (self.live(), form) {
            (Some(_), PollForm::Full | PollForm::Bare) => Some(SourceGapReason::TokenExpired),
            (Some(_), PollForm::Fresh) => Some(SourceGapReason::TokenRefused),
            (None, _) => self.unknown_past.then_some(SourceGapReason::CheckpointLost),
        };
        let gap = reason.map(|reason| OpenGap {
            // The sequence distinguishes two gaps of the same millisecond.
            id: format!("{id}@{received_at}/{}", self.last_sequence),
            reason,
            last_complete_poll_at: self.live().map(|before| before.last_complete_poll_at),
            resumed_at: latest.max(next.last_complete_poll_at),
            topics: BTreeMap::new(),
        });
        let gap = gap.map(|gap| self.merged(gap));
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

    /// The gap, or the newest open one that grows by it. One that a crawl heals at the moment can't grow: the crawl may have
    /// read before.
    fn merged(&self, gap: OpenGap) -> OpenGap {
        let newest = self.open_gaps.last().filter(|_| self.open_gaps.len() >= MOST_OPEN_GAPS);
        match newest.filter(|open| !self.crawl.as_ref().is_some_and(|crawl| crawl.heals(&open.id))) {
            Some(open) => OpenGap { id: open.id.clone(), last_complete_poll_at: open.last_complete_poll_at, ..gap },
            None => gap,
        }
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

    /// Whether it was published that it isn't polled.
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
mod tests;
