//! A stream's place in Asana's event stream, and what an answer proves of it.
//!
//! Asana fixes a token's page when it is asked for first, and gives the same again to whoever asks again. So a page
//! that may have been requested before proves nothing of the time since: it is complete only up to when the token was
//! given.

use crate::ids::SyncToken;
use crate::outcome::poll::Page;
use crate::outcome::stamp::Stamp;
use crate::record::event::Event;
use chrono::{DateTime, Utc};
use xxhash_rust::xxh3::Xxh3;

/// A stream's place in Asana's event stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Live {
    /// The token of the next poll.
    pub token: SyncToken,
    /// When it came, by the host's clock; it is dead 24 hours later at the latest.
    pub token_received_at: DateTime<Utc>,
    /// By Asana's clock: what it could show before is on no page of this token or a later one.
    pub token_given_after: DateTime<Utc>,
    /// By Asana's clock: nothing that it could show before is missing. From the last poll that left nothing waiting.
    pub last_complete_poll_at: DateTime<Utc>,
    /// What a page that came with this very token as its next one has shown.
    pub served: Served,
    /// The token may have been asked with before, and its page be as it was then. Not durable: true of each token that
    /// was restored.
    pub maybe_asked: bool,
}

/// The events that a page had which came with the token that was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Number of events.
    pub events: u32,
    /// Of their fingerprints, in order.
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

    /// How many of these are the ones that it has, at their beginning.
    #[must_use]
    pub fn among(&self, events: &[Event]) -> usize {
        let count = usize::try_from(self.events).unwrap_or(usize::MAX);
        let is_same = events.get(..count).is_some_and(|first| Self::of(first) == *self);
        if is_same { count } else { 0 }
    }
}

impl Live {
    /// The place of a token that was given without events. `stamp`: of the answer.
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
            maybe_asked: false,
        }
    }

    /// The place behind a page. `stamp`: of its answer.
    #[must_use]
    pub fn behind(before: Option<&Self>, page: &Page, stamp: Option<Stamp>) -> Self {
        let stays = before.filter(|live| live.token == page.next);
        // A token that is given back with nothing hasn't been used up: that proves what a first ask would.
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
            maybe_asked: stays.is_some() && !is_unused,
        }
    }
}

/// The later of two lower bounds.
fn later(known: DateTime<Utc>, stamp: Option<Stamp>) -> DateTime<Utc> {
    stamp.map_or(known, |stamp| known.max(stamp.not_before()))
}
