//! One watched resource: the events that were offered on it, and its sync tokens.
//!
//! Events are appended, become visible in the same order, and are kept: the log is the ledger. A sync token is a
//! position in the log.
//!
//! ```text
//!  entries   e0 e1 │ e2 e3 e4 e5 │ e6 e7
//!                  │             └ visible: later ones are still delayed
//!                  └ established_at: before the first token, no poller can see them
//! ```

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use serde::Serialize;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::{polls::Polled, scenario::NextToken, time::Timestamp};

/// The maximum number of superseded tokens per stream whose position is remembered. Older ones are answered like
/// unknown tokens.
const REMEMBERED: usize = 1_000;

/// The behaviour of tokens, the same for all streams of a simulator.
#[derive(Debug, Clone)]
pub(crate) struct TokenRules {
    /// The life of a token. Asana documents at most 24 hours.
    pub(crate) life: Duration,
    /// Whether a token is accepted after its successor was used. Asana only promises the current one.
    pub(crate) serve_superseded: bool,
    /// The tokens that come with a page without events, and with one with events.
    pub(crate) empty_pages: NextToken,
    pub(crate) full_pages: NextToken,
    /// The seed of the tokens: equal seeds give equal tokens.
    pub(crate) seed: u64,
}

/// Why a poller may have missed events, as in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LostReason {
    /// A fault invalidated the token.
    Killed,
    /// The token was older than its life.
    Expired,
    /// The token's successor was used before.
    Superseded,
    /// The token was never returned for this resource.
    Unknown,
    /// A poll without a token, although one was returned before.
    Reestablished,
}

/// Events `from..to` of the log that weren't returned to the poller with this answer.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Lost {
    /// The first event; `None` if the token has no known position.
    pub(crate) from: Option<usize>,
    pub(crate) to: usize,
    pub(crate) reason: LostReason,
}

/// An event that Asana lost: it was never offered.
#[derive(Debug)]
pub(crate) struct Dropped {
    /// The number of events that were offered before it.
    pub(crate) after: usize,
    pub(crate) event: Arc<str>,
}

#[derive(Debug)]
struct Entry {
    event: Arc<str>,
    /// The time when it is due. Once it is visible, the time since when it is.
    at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TokenState {
    Live,
    Killed,
    Superseded,
}

/// The answer to the first request with a token. Later requests get the same one.
#[derive(Debug, Clone)]
struct Served {
    end: usize,
    next: Arc<str>,
    has_more: bool,
}

#[derive(Debug)]
struct Token {
    position: usize,
    issued: Timestamp,
    state: TokenState,
    served: Option<Served>,
    previous: Option<Arc<str>>,
    /// The number of pages between the 412 that began this chain and this token.
    depth: u64,
}

/// The outcome of a poll.
#[derive(Debug)]
pub(crate) enum Poll {
    /// Status 200: events `start..end` of the log.
    Page { start: usize, end: usize, sync: Arc<str>, has_more: bool },
    /// Status 412, with a new token.
    TokenReset { sync: Arc<str> },
}

#[derive(Debug, Default)]
pub(crate) struct Stream {
    entries: Vec<Entry>,
    visible: usize,
    established_at: Option<usize>,
    /// Whether a poller has come back with a token, and so has kept it.
    is_followed: bool,
    /// The start of the last requested page, or the position of the last new token: a correct poller has everything
    /// before it.
    anchor: usize,
    issued: u64,
    tokens: HashMap<Arc<str>, Token>,
    superseded: VecDeque<Arc<str>>,
    lost: Vec<Lost>,
    dropped: Vec<Dropped>,
    /// The polls of this stream; `None` before the first one.
    pub(crate) polled: Option<Polled>,
}

impl Stream {
    /// Appends an event that becomes visible at `due`, or after those before it.
    pub(crate) fn offer(&mut self, event: Arc<str>, due: Timestamp) {
        self.entries.push(Entry { event, at: due });
    }

    /// Notes an event that is never offered.
    pub(crate) fn lose(&mut self, event: Arc<str>) {
        let after = self.entries.len();
        self.dropped.push(Dropped { after, event });
    }

    /// Makes the due events visible. `heard` returns the first moment after a given one at which the stream isn't
    /// silent, if it is known.
    pub(crate) fn reveal(&mut self, now: Timestamp, heard: impl Fn(Timestamp) -> Option<Timestamp>) {
        let mut earlier = self.last_visible_at();
        while let Some(entry) = self.entries.get_mut(self.visible) {
            match heard(earlier.map_or(entry.at, |earlier| entry.at.max(earlier))) {
                Some(at) if at <= now => {
                    entry.at = at;
                    earlier = Some(at);
                    self.visible += 1;
                }
                Some(_) | None => break,
            }
        }
    }

    fn last_visible_at(&self) -> Option<Timestamp> {
        let last = self.visible.checked_sub(1)?;
        self.entries.get(last).map(|entry| entry.at)
    }

    /// The time when a poll could first return each event of the log, as far as it is known; `None` in a silence
    /// without an end.
    pub(crate) fn visible_at(
        &self,
        heard: impl Fn(Timestamp) -> Option<Timestamp>,
    ) -> impl Iterator<Item = Option<Timestamp>> {
        let (seen, waiting) = self.entries.split_at(self.visible.min(self.entries.len()));
        let seen = seen.iter().map(|entry| Some(entry.at));
        let earlier = self.last_visible_at();
        let waiting = waiting.iter().scan(earlier, move |earlier, entry| {
            let due = earlier.map_or(entry.at, |earlier| entry.at.max(earlier));
            let at = heard(due);
            *earlier = Some(at.unwrap_or(due));
            Some(at)
        });
        seen.chain(waiting)
    }

    /// Invalidates all tokens.
    pub(crate) fn kill_tokens(&mut self) {
        #[expect(clippy::iter_over_hash_type, reason = "all get the same")]
        for token in self.tokens.values_mut() {
            token.state = TokenState::Killed;
        }
    }

    /// Invalidates one token, if it is known.
    pub(crate) fn kill_token(&mut self, sync: &str) {
        if let Some(token) = self.tokens.get_mut(sync) {
            token.state = TokenState::Killed;
        }
    }

    /// Answers a poll with at most `limit` events. `gid` is the watched resource.
    pub(crate) fn poll(
        &mut self,
        gid: &str,
        sync: Option<&str>,
        limit: usize,
        now: Timestamp,
        rules: &TokenRules,
    ) -> Poll {
        match self.accept(sync, now, rules) {
            Ok(token) => {
                let (position, served) = (token.position, token.served.clone());
                self.is_followed = true;
                let sync: Arc<str> = Arc::from(sync.unwrap_or_default());
                self.supersede_before(&sync);
                self.anchor = position;
                let served = served.unwrap_or_else(|| self.serve(gid, &sync, position, limit, now, rules));
                Poll::Page { start: position, end: served.end, sync: served.next, has_more: served.has_more }
            }
            Err(lost) => {
                self.lost.extend(lost);
                self.anchor = self.visible;
                let sync = self.issue(gid, self.visible, 0, None, now, rules);
                self.established_at.get_or_insert(self.visible);
                Poll::TokenReset { sync }
            }
        }
    }

    /// The page of a token that wasn't used yet. It never changes, unless the token stays the current one.
    fn serve(
        &mut self,
        gid: &str,
        sync: &Arc<str>,
        position: usize,
        limit: usize,
        now: Timestamp,
        rules: &TokenRules,
    ) -> Served {
        let end = self.visible.min(position.saturating_add(limit));
        let has_more = end < self.visible;
        let next = match end - position {
            0 => rules.empty_pages,
            // Otherwise a poller would get the same full page forever.
            all if all == limit => NextToken::New,
            _ => rules.full_pages,
        };
        let depth = match self.tokens.get_mut(sync) {
            Some(token) if next == NextToken::Same => {
                token.issued = now;
                return Served { end, next: Arc::clone(sync), has_more };
            }
            token => token.map_or(0, |token| token.depth),
        };
        let next = self.issue(gid, end, depth + 1, Some(sync), now, rules);
        let served = Served { end, next, has_more };
        if let Some(token) = self.tokens.get_mut(sync) {
            token.served = Some(served.clone());
        }
        served
    }

    /// The token, or what is lost by its refusal (nothing at the very first poll).
    fn accept(&self, sync: Option<&str>, now: Timestamp, rules: &TokenRules) -> Result<&Token, Option<Lost>> {
        let lost = |from, reason| Err(Some(Lost { from, to: self.visible, reason }));
        let Some(sync) = sync else {
            return match self.established_at {
                None => Err(None),
                Some(_) => lost(Some(self.anchor), LostReason::Reestablished),
            };
        };
        let Some(token) = self.tokens.get(sync) else {
            return match self.established_at {
                None => Err(None),
                Some(_) => lost(None, LostReason::Unknown),
            };
        };
        let place = Some(token.position);
        match token.state {
            TokenState::Killed => lost(place, LostReason::Killed),
            _ if now.has_passed(token.issued, rules.life) => lost(place, LostReason::Expired),
            TokenState::Superseded if !rules.serve_superseded => lost(place, LostReason::Superseded),
            TokenState::Superseded | TokenState::Live => Ok(token),
        }
    }

    /// The use of a token proves that the page before it arrived.
    fn supersede_before(&mut self, sync: &str) {
        let previous = self.tokens.get_mut(sync).and_then(|t| t.previous.take());
        let Some(previous) = previous else { return };
        if let Some(token) = self.tokens.get_mut(&previous)
            && token.state == TokenState::Live
        {
            token.state = TokenState::Superseded;
        }
        self.superseded.push_back(previous);
        if self.superseded.len() > REMEMBERED
            && let Some(oldest) = self.superseded.pop_front()
        {
            self.tokens.remove(&oldest);
        }
    }

    fn issue(
        &mut self,
        gid: &str,
        position: usize,
        depth: u64,
        previous: Option<&Arc<str>>,
        now: Timestamp,
        rules: &TokenRules,
    ) -> Arc<str> {
        self.issued += 1;
        let digest = xxh3_128_with_seed(format!("{gid} {}", self.issued).as_bytes(), rules.seed);
        let sync: Arc<str> = Arc::from(format!("{digest:032x}:{depth}"));
        self.tokens.insert(
            Arc::clone(&sync),
            Token {
                position,
                issued: now,
                state: TokenState::Live,
                served: None,
                previous: previous.map(Arc::clone),
                depth,
            },
        );
        sync
    }

    /// The events `start..end` of the log, unchanged.
    pub(crate) fn events(&self, start: usize, end: usize) -> impl Iterator<Item = &Arc<str>> {
        let range = self.entries.get(start..end).unwrap_or_default();
        range.iter().map(|entry| &entry.event)
    }

    /// The number of events that were offered, visible or delayed.
    pub(crate) fn offered(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn visible(&self) -> usize {
        self.visible
    }

    pub(crate) fn established_at(&self) -> Option<usize> {
        self.established_at
    }

    pub(crate) fn is_followed(&self) -> bool {
        self.is_followed
    }

    pub(crate) fn lost(&self) -> &[Lost] {
        &self.lost
    }

    pub(crate) fn dropped(&self) -> &[Dropped] {
        &self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn rules() -> TokenRules {
        TokenRules {
            life: DAY,
            serve_superseded: false,
            empty_pages: NextToken::New,
            full_pages: NextToken::New,
            seed: 1,
        }
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn with_events(count: usize) -> (Stream, Arc<str>) {
        let mut stream = Stream::default();
        let Poll::TokenReset { sync } = stream.poll("1", None, 100, at(0), &rules()) else {
            panic!("the first poll gives no page");
        };
        for n in 0..count {
            stream.offer(Arc::from(n.to_string()), at(0));
        }
        stream.reveal(at(0), Some);
        (stream, sync)
    }

    fn page(stream: &mut Stream, sync: &str) -> (usize, usize, Arc<str>, bool) {
        match stream.poll("1", Some(sync), 100, at(0), &rules()) {
            Poll::Page { start, end, sync, has_more } => (start, end, sync, has_more),
            Poll::TokenReset { .. } => panic!("{sync} was refused"),
        }
    }

    #[test]
    fn pages_follow_each_other_until_has_more_is_false() {
        let (mut stream, first) = with_events(250);
        let (_, end, second, more) = page(&mut stream, &first);
        assert_eq!((end, more), (100, true));
        let (start, end, third, more) = page(&mut stream, &second);
        assert_eq!((start, end, more), (100, 200, true));
        let (start, end, _, more) = page(&mut stream, &third);
        assert_eq!((start, end, more), (200, 250, false));
    }

    #[test]
    fn the_current_token_gives_the_same_page_even_after_new_events() {
        let (mut stream, first) = with_events(1);
        let before = page(&mut stream, &first);
        stream.offer(Arc::from("late"), at(0));
        stream.reveal(at(0), Some);
        assert_eq!(page(&mut stream, &first), before);
        let (start, end, ..) = page(&mut stream, &before.2);
        assert_eq!((start, end), (1, 2));
    }

    #[test]
    fn a_superseded_token_is_refused_and_the_window_is_noted() {
        let (mut stream, first) = with_events(3);
        let (_, _, second, _) = page(&mut stream, &first);
        page(&mut stream, &second);
        let outcome = stream.poll("1", Some(&first), 100, at(0), &rules());
        assert!(matches!(outcome, Poll::TokenReset { .. }));
        assert_eq!(stream.lost()[0].reason, LostReason::Superseded);
        assert_eq!((stream.lost()[0].from, stream.lost()[0].to), (Some(0), 3));
    }

    #[test]
    fn a_token_dies_exactly_at_the_end_of_its_life() {
        let (mut stream, first) = with_events(1);
        let last_moment = at(86_400_000 - 1);
        let served = stream.poll("1", Some(&first), 100, last_moment, &rules());
        assert!(matches!(served, Poll::Page { .. }));
        let refused = stream.poll("1", Some(&first), 100, at(86_400_000), &rules());
        assert!(matches!(refused, Poll::TokenReset { .. }));
        assert_eq!(stream.lost()[0].reason, LostReason::Expired);
    }

    #[test]
    fn polling_without_a_token_again_loses_what_came_since_the_anchor() {
        let (mut stream, first) = with_events(250);
        let (_, _, second, _) = page(&mut stream, &first);
        page(&mut stream, &second);
        stream.poll("1", None, 100, at(0), &rules());
        let lost = &stream.lost()[0];
        assert_eq!((lost.from, lost.to), (Some(100), 250));
        assert_eq!(lost.reason, LostReason::Reestablished);
    }

    #[test]
    fn a_killed_token_resets_and_says_what_is_lost() {
        let (mut stream, first) = with_events(5);
        stream.kill_tokens();
        let Poll::TokenReset { sync } = stream.poll("1", Some(&first), 100, at(0), &rules()) else {
            panic!("a killed token was served");
        };
        assert_eq!(stream.lost()[0].reason, LostReason::Killed);
        let (start, end, ..) = page(&mut stream, &sync);
        assert_eq!((start, end), (5, 5));
    }

    #[test]
    fn delayed_events_stay_hidden_until_due_and_hold_back_later_ones() {
        let (mut stream, first) = with_events(0);
        stream.offer(Arc::from("slow"), at(10));
        stream.offer(Arc::from("fast"), at(5));
        stream.reveal(at(9), Some);
        assert_eq!(stream.visible(), 0);
        stream.reveal(at(10), Some);
        let (_, end, ..) = page(&mut stream, &first);
        assert_eq!(end, 2);
    }

    #[test]
    fn an_event_is_dated_from_when_it_could_be_seen_first_however_late_somebody_looks() {
        let (mut stream, _) = with_events(0);
        for due in [10, 5, 25, 31] {
            stream.offer(Arc::from("event"), at(due));
        }
        let silence = |from| Some(if (20..30).contains(&from) { 30 } else { from });
        let heard = |from: Timestamp| (0..40).find(|ms| at(*ms) == from).and_then(silence).map(at);
        let expected = [10, 10, 30, 31].map(|ms| Some(at(ms)));
        assert_eq!(stream.visible_at(heard).collect::<Vec<_>>(), expected);
        stream.reveal(at(29), heard);
        assert_eq!(stream.visible(), 2);
        stream.reveal(at(1_000), heard);
        assert_eq!(stream.visible_at(|_| None).collect::<Vec<_>>(), expected, "what was seen was seen");
    }
}
