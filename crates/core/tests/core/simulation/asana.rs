//! An Asana of a few streams: projects with tasks, event logs, tokens that are places in them, and death of tokens.
//!
//! A token's page is fixed when it is asked for first. One that is empty may give the token back, which is then unused.

use bridge_contract::pb;
use bridge_core::ids::{Gid, StreamId, SyncToken};
use bridge_core::outcome::list::{Item, ListOutcome, ListPage, Listing, What};
use bridge_core::outcome::poll::{Denial, Failure, Page, PollOutcome};
use bridge_core::record::event::Event;
use chrono::{DateTime, Utc};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::shared::Shared;

/// A page is this long at the most: small, so that `has_more` is common.
const PAGE: usize = 4;

#[derive(Debug, Default)]
pub(crate) struct Asana {
    pub(crate) streams: BTreeMap<StreamId, Log>,
    /// How tasks are in several projects; `None`: each project has its own.
    pub(crate) shared: Option<Shared>,
}

/// The events of one stream. Token `n:k` is the place before event `n`; it is dead while `k < alive_from`.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) events: Vec<Event>,
    /// When the stream could show each event, by Asana's clock.
    pub(crate) shown_at: Vec<DateTime<Utc>>,
    pub(crate) kills: u32,
    /// The tasks that there are, each with how often it changed.
    pub(crate) tasks: BTreeMap<u32, u32>,
    /// From when until when each task lived, again and again.
    pub(super) lives: BTreeMap<u32, Vec<Life>>,
    /// Events that no poll ever tells.
    pub(crate) lost: usize,
    given: u32,
    alive_from: u32,
    /// The pages of tokens that were asked with.
    fixed: BTreeMap<SyncToken, Page>,
    /// Tokens that were given back with events.
    repeated: BTreeSet<SyncToken>,
}

impl Asana {
    /// Something changes that a stream sees. The text of an event says its place in the stream.
    pub(crate) fn happen(&mut self, stream: &StreamId, now: DateTime<Utc>, rng: &mut ChaCha8Rng) {
        let kind = ["task", "story", "project"][rng.random_range(0..3)];
        if kind == "task" && self.shared.is_some() {
            return self.happen_to_shared(stream, now, rng, true);
        }
        let log = self.streams.get_mut(stream).unwrap();
        let number = log.events.len();
        if kind == "task" && rng.random_bool(0.03) {
            return self.lose(stream, now, rng);
        }
        let text = if rng.random_bool(0.05) {
            // Larger than what the fake bus takes.
            format!(r#"{{"n":{number},"pad":"{}"}}"#, "x".repeat(12_000))
        } else {
            let gid = rng.random_range(0..5);
            let action = if kind == "task" { log.change(gid, now, rng) } else { "changed" };
            let gid = match kind {
                "task" => task(gid).to_string(),
                "story" => (200 + gid).to_string(),
                _ => stream.resource.to_string(),
            };
            format!(r#"{{"n":{number},"action":"{action}","resource":{{"gid":"{gid}","resource_type":"{kind}"}}}}"#)
        };
        let log = self.streams.get_mut(stream).unwrap();
        let raw: Box<serde_json::value::RawValue> = serde_json::from_str(&text).unwrap();
        log.events.push(Event::parse(&raw));
        log.shown_at.push(now);
    }

    /// A task changes, and no event tells of it.
    pub(crate) fn lose(&mut self, stream: &StreamId, now: DateTime<Utc>, rng: &mut ChaCha8Rng) {
        if self.shared.is_some() {
            return self.happen_to_shared(stream, now, rng, false);
        }
        let log = self.streams.get_mut(stream).unwrap();
        log.change(rng.random_range(0..5), now, rng);
        log.lost += 1;
    }

    /// All tokens given so far die.
    pub(crate) fn kill(&mut self, stream: &StreamId) {
        let log = self.streams.get_mut(stream).unwrap();
        log.alive_from = log.given;
        log.kills += 1;
    }

    pub(crate) fn poll(&mut self, stream: &StreamId, token: Option<&SyncToken>) -> PollOutcome {
        let log = self.streams.get_mut(stream).unwrap();
        let place = token.and_then(|token| {
            let (place, number) = token.as_str().split_once(':').unwrap();
            let (place, number): (usize, u32) = (place.parse().unwrap(), number.parse().unwrap());
            (number >= log.alive_from).then_some((token, place, number))
        });
        let Some((token, place, number)) = place else { return PollOutcome::TokenReset(log.fresh(log.events.len())) };
        if let Some(page) = log.fixed.get(token) {
            return PollOutcome::Page(page.clone());
        }
        let end = (place + PAGE).min(log.events.len());
        let is_unused = end == place && number.is_multiple_of(2);
        let is_repeated = end > place && number % 11 == 3 && log.repeated.insert(token.clone());
        let next = if is_unused || is_repeated { token.clone() } else { log.fresh(end) };
        let events = log.events[place..end].to_vec();
        let (bytes, has_more) = (100 * events.len(), end < log.events.len());
        let page = Page { bytes, events, next, has_more, received_at: DateTime::UNIX_EPOCH };
        if page.next != *token {
            log.fixed.insert(token.clone(), page.clone());
        }
        PollOutcome::Page(page)
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    pub(super) born: DateTime<Utc>,
    pub(super) died: Option<DateTime<Utc>>,
}

impl Log {
    /// Whether the task lived all the time.
    pub(crate) fn lived(&self, number: u32, from: DateTime<Utc>, to: DateTime<Utc>) -> bool {
        let lives = self.lives.get(&number).into_iter().flatten();
        lives.into_iter().any(|life| life.born <= from && life.died.is_none_or(|died| died > to))
    }
}

/// The gid of a task: not one of a project.
pub(crate) fn task(number: u32) -> u32 {
    100 + number
}

impl Log {
    fn fresh(&mut self, place: usize) -> SyncToken {
        self.given += 1;
        SyncToken::from(format!("{place}:{}", self.given - 1))
    }

    /// Makes, changes or deletes a task.
    fn change(&mut self, number: u32, now: DateTime<Utc>, rng: &mut ChaCha8Rng) -> &'static str {
        let lives = self.lives.entry(number).or_default();
        match self.tasks.get_mut(&number) {
            None => {
                lives.push(Life { born: now, died: None });
                self.tasks.insert(number, 0);
                "added"
            }
            Some(_) if rng.random_bool(0.3) => {
                lives.last_mut().unwrap().died = Some(now);
                self.tasks.remove(&number);
                "deleted"
            }
            Some(changes) => {
                *changes += 1;
                "changed"
            }
        }
    }
}

impl Asana {
    /// A project with tasks and no sections; two tasks on a page, offsets that may expire, and pages that may come
    /// short: they leave out a task, or are taken for the last.
    pub(crate) fn list(
        &self,
        stream: &StreamId,
        listing: &Listing,
        offset: Option<&str>,
        short: bool,
        now: DateTime<Utc>,
    ) -> ListOutcome {
        let log = &self.streams[stream];
        let show = |(number, changes): (&u32, &u32)| self.show(stream, *number, *changes);
        let from: u32 = offset.map_or(0, |offset| offset.parse().unwrap());
        let (mut items, mut next_offset) = match listing.what {
            What::Project => (vec![item(listing.of.as_str().parse().unwrap(), "project", 0, &stream.resource)], None),
            What::Tasks => {
                let next = log.tasks.keys().copied().filter(|number| *number >= from).nth(2);
                (log.tasks.range(from..next.unwrap_or(u32::MAX)).map(show).collect(), next)
            }
            What::Task => match self.find(stream, &listing.of) {
                Some(found) => (vec![found], None),
                None => return ListOutcome::Denied(Denial::NotFound),
            },
            _ => (Vec::new(), None),
        };
        if listing.what == What::Tasks && short {
            let ends = items.len() == 1;
            items.pop();
            next_offset = next_offset.filter(|_| !ends);
        }
        let (bytes, next_offset) = (100 * items.len(), next_offset.map(|number| number.to_string()));
        ListOutcome::Page(ListPage { items, unidentified: 0, next_offset, received_at: now, bytes })
    }
}

pub(super) fn item(gid: u32, resource_type: &str, changes: u32, resource: &Gid) -> Item {
    let (gid, resource_type) = (gid.to_string(), resource_type.to_owned());
    Item {
        resource: pb::Resource { gid, resource_type, ..pb::Resource::default() },
        state_json: changes.to_string(),
        within: vec![resource.clone()],
        ..Item::default()
    }
}

/// An answer to a listing that isn't Asana's ordinary one.
pub(crate) fn list_fault(listing: &Listing, offset: Option<&str>, rng: &mut ChaCha8Rng) -> ListOutcome {
    match rng.random_range(0..6) {
        0 => ListOutcome::Throttled { retry_after: Duration::from_secs(rng.random_range(1..60)) },
        1 => ListOutcome::Denied(Denial::Unauthorized),
        2 if listing.what == What::Sections => ListOutcome::Denied(Denial::Forbidden),
        3 if offset.is_some() => ListOutcome::OffsetExpired,
        4 if offset.is_some() => ListOutcome::CutOff,
        _ => ListOutcome::Failed(Failure::TimedOut),
    }
}

/// An answer that isn't Asana's ordinary one. Where it isn't Asana's own, the question came to Asana all the same.
pub(crate) fn fault(rng: &mut ChaCha8Rng) -> PollOutcome {
    match rng.random_range(0..8) {
        0 => PollOutcome::Throttled { retry_after: Duration::from_secs(rng.random_range(1..60)) },
        1 => PollOutcome::Denied(Denial::Unauthorized),
        2 => PollOutcome::Denied(Denial::Forbidden),
        3 => PollOutcome::Denied(Denial::NotFound),
        4 => PollOutcome::Failed(Failure::TimedOut),
        5 => PollOutcome::Failed(Failure::Gateway { status: 408 }),
        6 => PollOutcome::Denied(Denial::BadRequest),
        _ => PollOutcome::Failed(Failure::Malformed("no JSON".to_owned())),
    }
}
