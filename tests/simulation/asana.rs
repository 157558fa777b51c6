//! An Asana of a few streams: event logs, tokens that are places in them, and death of tokens.

use asana_event_bridge::core::event::Event;
use asana_event_bridge::core::ids::{StreamId, SyncToken};
use asana_event_bridge::core::page::{Denial, Failure, Page, PollOutcome};
use chrono::{DateTime, Utc};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::time::Duration;

/// A page is this long at the most: small, so that `has_more` is common.
const PAGE: usize = 4;

#[derive(Debug, Default)]
pub(crate) struct Asana {
    pub(crate) streams: BTreeMap<StreamId, Log>,
}

/// The events of one stream. Token `n:k` is the place before event `n`; it is dead while `k < alive_from`.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) events: Vec<Event>,
    pub(crate) kills: u32,
    given: u32,
    alive_from: u32,
}

impl Asana {
    /// Something changes that a stream sees. The text of an event says its place in the stream.
    pub(crate) fn happen(&mut self, stream: &StreamId, rng: &mut ChaCha8Rng) {
        let log = self.streams.get_mut(stream).unwrap();
        let number = log.events.len();
        let kind = ["task", "story", "project"][rng.random_range(0..3)];
        let text = if rng.random_bool(0.05) {
            // Larger than what the fake bus takes.
            format!(r#"{{"n":{number},"pad":"{}"}}"#, "x".repeat(12_000))
        } else {
            let gid = rng.random_range(0..5);
            format!(r#"{{"n":{number},"action":"changed","resource":{{"gid":"{gid}","resource_type":"{kind}"}}}}"#)
        };
        let raw: Box<serde_json::value::RawValue> = serde_json::from_str(&text).unwrap();
        log.events.push(Event::parse(&raw));
    }

    /// All tokens given so far die.
    pub(crate) fn kill(&mut self, stream: &StreamId) {
        let log = self.streams.get_mut(stream).unwrap();
        log.alive_from = log.given;
        log.kills += 1;
    }

    pub(crate) fn poll(&mut self, stream: &StreamId, token: Option<&SyncToken>, now: DateTime<Utc>) -> PollOutcome {
        let log = self.streams.get_mut(stream).unwrap();
        let place = token.and_then(|token| {
            let (place, number) = token.as_str().split_once(':').unwrap();
            let (place, number): (usize, u32) = (place.parse().unwrap(), number.parse().unwrap());
            (number >= log.alive_from).then_some((place, number))
        });
        let mut fresh = |place: usize| {
            log.given += 1;
            SyncToken::from(format!("{place}:{}", log.given - 1))
        };
        let Some((place, number)) = place else { return PollOutcome::TokenReset(fresh(log.events.len())) };
        let end = (place + PAGE).min(log.events.len());
        // A quiet stream may give the same token again.
        let next = if end == place && number % 2 == 0 { token.unwrap().clone() } else { fresh(end) };
        let events = log.events[place..end].to_vec();
        PollOutcome::Page(Page {
            bytes: 100 * events.len(),
            events,
            next,
            has_more: end < log.events.len(),
            received_at: now,
        })
    }
}

/// An answer that isn't Asana's ordinary one.
pub(crate) fn fault(rng: &mut ChaCha8Rng) -> PollOutcome {
    match rng.random_range(0..6) {
        0 => PollOutcome::Throttled { retry_after: Duration::from_secs(rng.random_range(1..60)) },
        1 => PollOutcome::Denied(Denial::Unauthorized),
        2 => PollOutcome::Denied(Denial::Forbidden),
        3 => PollOutcome::Denied(Denial::NotFound),
        4 => PollOutcome::Failed(Failure::TimedOut),
        _ => PollOutcome::Failed(Failure::Malformed("no JSON".to_owned())),
    }
}
