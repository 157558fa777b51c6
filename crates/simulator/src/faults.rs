//! Faults on demand: what fails, for which requests, and for how long.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::time::{Span, Timestamp};

/// The kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Sync tokens expire: the next poll with one gets a 412. All of them at once, or one at each poll if limited by
    /// `count`, `for` or `probability`.
    KillTokens,
    /// List offsets handed out so far are expired, at once.
    ExpireOffsets,
    /// Generated events are never offered.
    Drop,
    /// Answers with `status` instead of the result.
    Status,
    /// Waits `delay` before answering.
    Slow,
    /// Closes the connection in the middle of the body.
    Cut,
    /// Status 200 with a body that is not the answer.
    Garbage,
    /// Events stay invisible until the fault ends.
    Silence,
    /// A list is incomplete: some of its items are on no page.
    Short,
    /// Answers as a gateway in front of Asana: `status` with an HTML body.
    Gateway,
}

/// The part of an incomplete list that is missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Everything after the requested page. Of the last page its second half.
    #[default]
    End,
    /// The requested page: the next one is returned in its place.
    Middle,
}

/// The body that replaces the answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GarbageBody {
    /// A proxy's HTML page.
    #[default]
    Html,
    /// A text like JSON that no parser accepts.
    Invalid,
    /// The first half of the real answer, with a valid end.
    Truncated,
    /// An empty body.
    Empty,
    /// Valid JSON with a wrong shape.
    Shape,
}

/// The requests that a fault affects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// All endpoints of the API.
    #[default]
    Any,
    /// Event streams only.
    Events,
    /// All endpoints except event streams.
    Lists,
}

/// A fault as written in a scenario or posted to `/_sim/faults`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The kind of fault.
    pub kind: FaultKind,
    /// The resource that it affects. Default: all.
    #[serde(default)]
    pub resource: Option<String>,
    /// The bearer token that it affects. Default: all.
    #[serde(default)]
    pub token: Option<String>,
    /// The endpoints that it affects. Default: all.
    #[serde(default)]
    pub endpoint: Endpoint,
    /// The number of affected requests after which it ends. Default: no limit.
    #[serde(default)]
    pub count: Option<u64>,
    /// The time after which it ends, by the simulated clock. Default: never.
    #[serde(default, rename = "for")]
    pub lasts: Option<Span>,
    /// The probability (0 to 1) with which it affects a request. Default: 1.
    #[serde(default)]
    pub probability: Option<f64>,
    /// For scenario files only: the time from the start of the simulator to the start of the fault, by the simulated
    /// clock.
    #[serde(default)]
    pub at: Option<Span>,
    /// For `status` and `gateway`: the HTTP status.
    #[serde(default)]
    pub status: Option<u16>,
    /// For `status`: the seconds in `Retry-After`. Default for 429: 1.
    #[serde(default)]
    pub retry_after: Option<u64>,
    /// For `slow`: the delay of the answer.
    #[serde(default)]
    pub delay: Option<Span>,
    /// For `garbage`: the body of the answer.
    #[serde(default)]
    pub body: GarbageBody,
    /// For `short`: the part that is missing.
    #[serde(default)]
    pub part: Part,
}

impl Fault {
    /// A fault of this kind that affects all requests, without end.
    #[must_use]
    pub fn new(kind: FaultKind) -> Self {
        Self {
            kind,
            resource: None,
            token: None,
            endpoint: Endpoint::Any,
            count: None,
            lasts: None,
            probability: None,
            at: None,
            status: None,
            retry_after: None,
            delay: None,
            body: GarbageBody::Html,
            part: Part::End,
        }
    }

    /// What is wrong with this fault, for the author of the scenario.
    pub(crate) fn problem(&self) -> Option<String> {
        let in_range = |p: f64| (0.0..=1.0).contains(&p);
        if self.probability.is_some_and(|p| !in_range(p)) {
            return Some("probability: must be from 0 to 1".to_owned());
        }
        match self.kind {
            FaultKind::Drop | FaultKind::Silence if self.token.is_some() => {
                Some("token: not for what happens to a stream".to_owned())
            }
            FaultKind::Status | FaultKind::Gateway if !self.status.is_some_and(|s| (400..=599).contains(&s)) => {
                Some("status: needed, from 400 to 599".to_owned())
            }
            FaultKind::Slow if self.delay.is_none() => Some("delay: needed".to_owned()),
            FaultKind::Status
            | FaultKind::Gateway
            | FaultKind::Short
            | FaultKind::Slow
            | FaultKind::KillTokens
            | FaultKind::ExpireOffsets
            | FaultKind::Drop
            | FaultKind::Cut
            | FaultKind::Garbage
            | FaultKind::Silence => None,
        }
    }

    /// Whether the fault is performed once, at once, instead of lasting.
    pub(crate) fn is_immediate(&self) -> bool {
        match self.kind {
            FaultKind::ExpireOffsets => true,
            FaultKind::KillTokens => self.count.is_none() && self.lasts.is_none() && self.probability.is_none(),
            FaultKind::Drop
            | FaultKind::Status
            | FaultKind::Slow
            | FaultKind::Cut
            | FaultKind::Garbage
            | FaultKind::Silence
            | FaultKind::Short
            | FaultKind::Gateway => false,
        }
    }

    fn meets(&self, subject: Subject<'_>) -> bool {
        let resource = self.resource.as_deref();
        let token = self.token.as_deref();
        let endpoint = match self.endpoint {
            Endpoint::Any => true,
            Endpoint::Events => subject.events,
            Endpoint::Lists => !subject.events,
        };
        endpoint && (resource.is_none() || resource == subject.resource) && (token.is_none() || token == subject.token)
    }
}

/// The properties of a request that faults can be limited to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Subject<'a> {
    pub(crate) resource: Option<&'a str>,
    pub(crate) token: Option<&'a str>,
    /// Whether the request is about an event stream.
    pub(crate) events: bool,
    /// Whether the request has a sync token.
    pub(crate) with_sync: bool,
    /// Whether the request is for a page of a list.
    pub(crate) page: bool,
}

impl<'a> Subject<'a> {
    fn stream_of(resource: &'a str) -> Self {
        Self { resource: Some(resource), events: true, ..Self::default() }
    }
}

/// An error instead of an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    /// The seconds for `Retry-After`.
    pub(crate) retry_after: Option<u64>,
    pub(crate) by_gateway: bool,
}

/// The effects of the current faults on one request.
#[derive(Debug, Default)]
pub(crate) struct Harm {
    pub(crate) refusal: Option<Refused>,
    pub(crate) short: Option<Part>,
    pub(crate) delay: Duration,
    pub(crate) cut: bool,
    pub(crate) garbage: Option<GarbageBody>,
    pub(crate) kill_token: bool,
}

#[derive(Debug)]
struct Standing {
    id: u64,
    fault: Fault,
    since: Timestamp,
    hits: u64,
}

impl Standing {
    fn over(&self, now: Timestamp) -> bool {
        let by_count = self.fault.count.is_some_and(|count| self.hits >= count);
        let by_time = self.fault.lasts.is_some_and(|span| now.has_passed(self.since, span.0));
        by_count || by_time
    }
}

/// A silence, also after its end: a late poller must know since when an event could be seen.
#[derive(Debug)]
struct Silence {
    id: u64,
    fault: Fault,
    from: Timestamp,
    until: Option<Timestamp>,
}

impl Silence {
    fn covers(&self, resource: &str, at: Timestamp) -> bool {
        self.from <= at && self.until.is_none_or(|until| at < until) && self.fault.meets(Subject::stream_of(resource))
    }

    fn end(&mut self, now: Timestamp) {
        self.until = Some(self.until.map_or(now, |until| until.min(now)));
    }
}

/// The current faults, and their random numbers.
#[derive(Debug)]
pub(crate) struct Faults {
    standing: Vec<Standing>,
    silences: Vec<Silence>,
    next_id: u64,
    dice: ChaCha8Rng,
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Self {
        Self { standing: Vec::new(), silences: Vec::new(), next_id: 1, dice: ChaCha8Rng::seed_from_u64(seed) }
    }

    pub(crate) fn add(&mut self, fault: Fault, now: Timestamp) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        if fault.kind == FaultKind::Silence {
            let until = fault.lasts.map(|span| now.plus(span.0));
            self.silences.push(Silence { id, fault: fault.clone(), from: now, until });
        }
        self.standing.push(Standing { id, fault, since: now, hits: 0 });
        id
    }

    /// Ends one fault; `false` if there is none with this id.
    pub(crate) fn remove(&mut self, id: u64, now: Timestamp) -> bool {
        let before = self.standing.len();
        self.silences.iter_mut().filter(|silence| silence.id == id).for_each(|silence| silence.end(now));
        self.standing.retain(|standing| standing.id != id);
        self.standing.len() < before
    }

    pub(crate) fn clear(&mut self, now: Timestamp) {
        self.silences.iter_mut().for_each(|silence| silence.end(now));
        self.standing.clear();
    }

    pub(crate) fn list(&mut self, now: Timestamp) -> Value {
        self.standing.retain(|standing| !standing.over(now));
        let each = self.standing.iter().map(|standing| {
            json!({
                "id": standing.id,
                "kind": standing.fault.kind,
                "resource": standing.fault.resource,
                "token": standing.fault.token,
                "endpoint": standing.fault.endpoint,
                "since": standing.since.to_string(),
                "hits": standing.hits,
            })
        });
        Value::Array(each.collect())
    }

    /// The effects on a request. Each fault that affects it is counted.
    pub(crate) fn strike(&mut self, subject: Subject<'_>, now: Timestamp) -> Harm {
        let mut harm = Harm::default();
        if self.standing.is_empty() {
            return harm;
        }
        self.standing.retain(|standing| !standing.over(now));
        for standing in &mut self.standing {
            let fault = &standing.fault;
            let of_requests = !matches!(fault.kind, FaultKind::Drop | FaultKind::Silence | FaultKind::ExpireOffsets);
            if !of_requests || !fault.meets(subject) || harm.refusal.is_some() {
                continue;
            }
            if (fault.kind == FaultKind::KillTokens && !subject.with_sync)
                || (fault.kind == FaultKind::Short && !subject.page)
            {
                continue;
            }
            if !fault.probability.is_none_or(|p| self.dice.random_bool(p)) {
                continue;
            }
            standing.hits += 1;
            match fault.kind {
                FaultKind::Status | FaultKind::Gateway => {
                    let by_gateway = fault.kind == FaultKind::Gateway;
                    let refused = |status| Refused { status, retry_after: fault.retry_after, by_gateway };
                    harm.refusal = fault.status.map(refused);
                }
                FaultKind::Short => harm.short = Some(fault.part),
                FaultKind::Slow => {
                    harm.delay += fault.delay.map_or(Duration::ZERO, |span| span.0);
                }
                FaultKind::Cut => harm.cut = true,
                FaultKind::Garbage => harm.garbage = Some(fault.body),
                FaultKind::KillTokens => harm.kill_token = true,
                FaultKind::Drop | FaultKind::Silence | FaultKind::ExpireOffsets => {}
            }
        }
        harm
    }

    /// Whether Asana loses an event on the stream of `resource`.
    pub(crate) fn drops(&mut self, resource: &str, now: Timestamp) -> bool {
        if self.standing.is_empty() {
            return false;
        }
        self.standing.retain(|standing| !standing.over(now));
        let subject = Subject::stream_of(resource);
        for standing in &mut self.standing {
            let fault = &standing.fault;
            if fault.kind == FaultKind::Drop
                && fault.meets(subject)
                && fault.probability.is_none_or(|p| self.dice.random_bool(p))
            {
                standing.hits += 1;
                return true;
            }
        }
        false
    }

    /// The first moment from `at` on at which the stream of `resource` isn't silent; `None` if its silence has no end
    /// that is known.
    pub(crate) fn heard_from(&self, resource: &str, mut at: Timestamp) -> Option<Timestamp> {
        while let Some(silence) = self.silences.iter().find(|silence| silence.covers(resource, at)) {
            at = silence.until?;
        }
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn events_of(resource: &str) -> Subject<'_> {
        Subject { token: Some("t"), ..Subject::stream_of(resource) }
    }

    #[test]
    fn a_counted_fault_ends_after_its_hits_and_spares_other_resources() {
        let mut faults = Faults::new(1);
        let mut storm = Fault::new(FaultKind::Status);
        storm.status = Some(503);
        storm.count = Some(2);
        storm.resource = Some("7".to_owned());
        faults.add(storm, at(0));
        assert!(faults.strike(events_of("8"), at(0)).refusal.is_none());
        assert!(faults.strike(events_of("7"), at(0)).refusal.is_some());
        assert!(faults.strike(events_of("7"), at(0)).refusal.is_some());
        assert!(faults.strike(events_of("7"), at(0)).refusal.is_none());
    }

    #[test]
    fn silences_end_by_the_clock_or_on_demand_and_may_follow_each_other() {
        let mut faults = Faults::new(1);
        let mut silence = Fault::new(FaultKind::Silence);
        silence.lasts = Some(Span(Duration::from_secs(1)));
        faults.add(silence, at(0));
        let endless = faults.add(Fault::new(FaultKind::Silence), at(900));
        assert_eq!(faults.heard_from("7", at(-1)), Some(at(-1)));
        assert_eq!(faults.heard_from("7", at(500)), None);
        assert!(faults.remove(endless, at(1_500)));
        assert_eq!(faults.heard_from("7", at(500)), Some(at(1_500)));
        assert_eq!(faults.heard_from("7", at(1_500)), Some(at(1_500)));
    }

    #[test]
    fn a_fault_scoped_to_lists_spares_event_streams() {
        let mut faults = Faults::new(1);
        let mut cut = Fault::new(FaultKind::Cut);
        cut.endpoint = Endpoint::Lists;
        faults.add(cut, at(0));
        assert!(!faults.strike(events_of("7"), at(0)).cut);
        let list = Subject { events: false, ..events_of("7") };
        assert!(faults.strike(list, at(0)).cut);
    }

    #[test]
    fn a_status_fault_needs_a_status_that_is_an_error() {
        let mut fault = Fault::new(FaultKind::Status);
        assert!(fault.problem().is_some());
        fault.status = Some(200);
        assert!(fault.problem().is_some());
        fault.status = Some(451);
        assert!(fault.problem().is_none());
    }
}
