//! A stream's position in Asana's event stream, and what an answer proves about it.
//!
//! Asana fixes a token's page at the first poll with it, and returns the same page to later polls. So a page that may
//! have been requested before proves nothing about the time since: it is complete only up to the time when the token
//! was returned.

use crate::ids::SyncToken;
use crate::outcome::poll::Page;
use crate::outcome::stamp::Stamp;
use crate::record::event::Event;
use crate::stream::rate::EventRate;
use chrono::{DateTime, Utc};
use xxhash_rust::xxh3::Xxh3;

/// A stream's position in Asana's event stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Live {
    /// The token of the next poll.
    pub token: SyncToken,
    /// The time when the token was received, by the host's clock. It expires 24 hours later at the latest.
    pub token_received_at: DateTime<Utc>,
    /// By Asana's clock: events that Asana could show before this time aren't on a page of this token or a later one.
    pub token_given_after: DateTime<Utc>,
    /// By Asana's clock: no event that Asana could show before this time is missing. From the last poll after which no
    /// more events were waiting.
    pub last_complete_poll_at: DateTime<Utc>,
    /// The events of a page that returned this same token as the next one.
    pub served: Served,
    /// How often the stream has events, by all pages so far.
    pub rate: EventRate,
    /// Whether the token may have been used before, so that its page may be older. Not stored: it is true for each
    /// restored token.
    pub maybe_asked: bool,
}

/// The events on a page that returned the token that was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// The number of these events.
    pub events: u32,
    /// The hash of their fingerprints, in order.
    pub hash: [u8; 16],
}

impl Served {
    fn of(events: &[Event]) -> Self {
        let mut hash = Xxh3::new();
        for Event(event) in events {
            hash.update(&event.fingerprint);
        }
        Self { events: u32::try_from(events.len()).unwrap_or(u32::MAX), hash: hash.digest128().to_be_bytes() }
    }

    /// The number of these events at the beginning of `events`, if they are the same.
    #[must_use]
    pub fn among(&self, events: &[Event]) -> usize {
        let count = usize::try_from(self.events).unwrap_or(usize::MAX);
        let is_same = events.get(..count).is_some_and(|first| Self::of(first) == *self);
        if is_same { count } else { 0 }
    }
}

impl Live {
    /// The position of a token that came without events. `stamp` is that of the answer.
    #[must_use]
    pub fn given(before: Option<&Self>, token: SyncToken, received_at: DateTime<Utc>, stamp: Option<Stamp>) -> Self {
        let given_after = before.map_or(DateTime::UNIX_EPOCH, |live| live.token_given_after);
        let is_first_ask = before.is_none_or(|live| !live.maybe_asked);
        let given_after = later(given_after, stamp.filter(|_| is_first_ask));
        let complete = before.map_or(DateTime::UNIX_EPOCH, |live| live.last_complete_poll_at);
        Self {
            token,
            token_received_at: received_at,
            token_given_after: given_after,
            last_complete_poll_at: complete.max(given_after),
            served: Served::default(),
            rate: before.map(|live| live.rate).unwrap_or_default(),
            maybe_asked: false,
        }
    }

    /// The position after a page. `stamp` is that of its answer.
    #[must_use]
    pub fn behind(before: Option<&Self>, page: &Page, stamp: Option<Stamp>) -> Self {
        let stays = before.filter(|live| live.token == page.next);
        // A token that is returned without events wasn't used up: that proves the same as a first poll.
        let is_unused = stays.is_some() && page.events.is_empty() && !page.has_more;
        let is_first_ask = is_unused || before.is_none_or(|live| !live.maybe_asked);
        let (given_after, complete) = before.map_or((DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH), |live| {
            (live.token_given_after, live.last_complete_poll_at)
        });
        let given_after = later(given_after, stamp.filter(|_| is_first_ask));
        let served = match stays {
            Some(live) if page.events.is_empty() => live.served,
            Some(_) => Served::of(&page.events),
            None => Served::default(),
        };
        Self {
            token: page.next.clone(),
            token_received_at: page.received_at,
            token_given_after: given_after,
            last_complete_poll_at: if page.has_more { complete } else { complete.max(given_after) },
            served,
            rate: before.map(|live| live.rate).unwrap_or_default(),
            maybe_asked: stays.is_some() && !is_unused,
        }
    }

    /// Events came since the position before, which were all that happened until `now`, by Asana's clock.
    pub(super) fn observe(&mut self, before: &Self, events: &[Event], now: DateTime<Utc>) {
        let elapsed = self.token_received_at - before.token_received_at;
        let age = |event: &Event| event.created_at().map_or(0.0, |at| (now - at).as_seconds_f64());
        self.rate.observe(elapsed.as_seconds_f64(), events.iter().map(age));
    }
}

/// The later of two lower bounds.
fn later(known: DateTime<Utc>, stamp: Option<Stamp>) -> DateTime<Utc> {
    stamp.map_or(known, |stamp| known.max(stamp.not_before()))
}
