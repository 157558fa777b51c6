//! The control interface under `/_sim/`: injects events, causes faults, changes the clock, and shows what was offered.
//! Its contract is `docs/simulator.md`.

use std::{sync::Arc, time::Duration};

use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};

use super::{
    asana::Asana,
    faults::{Fault, Faults},
    http::{Answer, ApiError, Request},
    stream::Stream,
    time::{Span, Timestamp},
};

/// The maximum number of user actions of one call to `/_sim/actions`: everything else waits meanwhile.
const MOST_ACTIONS: usize = 100_000;

/// Events as text, so that each survives byte for byte.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Injection<'a> {
    resource: String,
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockChange {
    advance: Option<Span>,
    speed: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RateChange {
    events_per_second: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Actions {
    count: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RateLimit {
    token: String,
    rate_per_minute: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sight {
    token: String,
    #[serde(default)]
    unauthorized_workspaces: Vec<usize>,
    #[serde(default)]
    hidden_projects: Vec<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PollsReset {
    late_after: Option<Span>,
}

pub(crate) type Controlled = Result<Answer, ApiError>;

impl Asana {
    pub(crate) fn control(
        &mut self,
        segments: &[&str],
        request: &Request,
        elapsed: Duration,
        now: Timestamp,
    ) -> Answer {
        let answered = match (request.method.as_str(), segments) {
            ("POST", ["events"]) => self.inject_posted(request, now),
            ("GET", ["ledger"]) => self.show_ledger(request, now),
            ("POST", ["faults"]) => self.add_fault(request, now),
            ("GET", ["faults"]) => Ok(Answer::ok(&json!({"faults": self.faults.list(now)}))),
            ("DELETE", ["faults"]) => {
                self.faults.clear(now);
                Ok(Answer::ok(&json!({})))
            }
            ("DELETE", ["faults", id]) => self.end_fault(id, now),
            ("GET", ["gone"]) => Ok(self.show_gone()),
            ("GET", ["clock"]) => Ok(self.show_clock(elapsed)),
            ("POST", ["clock"]) => self.wind_clock(request, elapsed),
            ("GET", ["rate"]) => Ok(self.show_rate()),
            ("POST", ["rate"]) => self.change_rate(request, elapsed),
            ("POST", ["actions"]) => self.act_posted(request, now),
            ("POST", ["projects"]) => self.make_project(request, now),
            ("POST", ["projects", gid]) => self.change_project(gid, request, now),
            ("POST", ["tasks"]) => self.make_task(request, now),
            ("POST", ["tasks", gid]) => self.change_task(gid, request, now),
            ("POST", ["tokens"]) => self.change_sight(request),
            ("POST", ["weight"]) => self.change_weight(request),
            ("POST", ["limits"]) => self.change_limit(request),
            ("GET", ["polls"]) => Ok(self.show_polls(elapsed)),
            ("POST", ["polls"]) => self.reset_polls(request, elapsed),
            ("GET", ["stats"]) => Ok(Answer::ok(&self.stats())),
            ("GET", ["webhooks"]) => Ok(Answer::ok(&self.webhooks.show(now))),
            ("DELETE", ["webhooks", gid]) if self.webhooks.remove(gid) => Ok(Answer::ok(&json!({}))),
            ("GET", ["world"]) => Ok(Answer::ok(&self.world.summary())),
            _ => Err(ApiError::no_route()),
        };
        answered.unwrap_or_else(Answer::from)
    }

    fn inject_posted(&mut self, request: &Request, now: Timestamp) -> Controlled {
        let injection: Injection<'_> = posted(request)?;
        if injection.resource.is_empty() {
            return Err(ApiError::missing("resource"));
        }
        let events = injection.events.iter().map(|event| Arc::from(event.get()));
        let offered = self.inject(&injection.resource, events, now);
        Ok(Answer::ok(&json!({"resource": injection.resource, "offered": offered})))
    }

    /// The ledger of one stream, or the number of events on each.
    fn show_ledger(&mut self, request: &Request, now: Timestamp) -> Controlled {
        let Some(gid) = request.param("resource") else {
            return Ok(Answer::ok(&self.all_ledgers()));
        };
        self.reveal(gid, now);
        let Some(stream) = self.streams.get(gid) else {
            if self.world.find(gid).is_none() {
                return Err(ApiError::unknown("resource", gid));
            }
            return Ok(Answer::bytes(200, ledger_of(gid, &Stream::default(), &self.faults)));
        };
        Ok(Answer::bytes(200, ledger_of(gid, stream, &self.faults)))
    }

    fn all_ledgers(&self) -> Value {
        let mut resources = Map::new();
        let mut established = Map::new();
        let mut followed = Vec::new();
        for (gid, stream) in &self.streams {
            resources.insert(gid.to_string(), json!(stream.offered()));
            if let Some(at) = stream.established_at() {
                established.insert(gid.to_string(), json!(at));
            }
            if stream.is_followed() {
                followed.push(gid.to_string());
            }
        }
        json!({"resources": resources, "established": established, "followed": followed})
    }

    fn add_fault(&mut self, request: &Request, now: Timestamp) -> Controlled {
        let fault: Fault = posted(request)?;
        if let Some(problem) = fault.problem() {
            return Err(ApiError::new(400, problem));
        }
        if fault.at.is_some() {
            return Err(ApiError::new(400, "at: only in scenario files"));
        }
        let id = self.apply(fault, now);
        Ok(Answer::ok(&json!({"id": id})))
    }

    fn end_fault(&mut self, id: &str, now: Timestamp) -> Controlled {
        let ended = id.parse().is_ok_and(|id| self.faults.remove(id, now));
        if ended { Ok(Answer::ok(&json!({}))) } else { Err(ApiError::unknown("fault", id)) }
    }

    fn show_gone(&self) -> Answer {
        let gids: Vec<&str> = self.world.once_gone().into_iter().map(|gid| &**gid).collect();
        Answer::ok(&json!({"gids": gids}))
    }

    fn show_clock(&self, elapsed: Duration) -> Answer {
        let now = self.clock.at(elapsed).to_string();
        Answer::ok(&json!({"now": now, "speed": self.clock.speed()}))
    }

    fn wind_clock(&mut self, request: &Request, elapsed: Duration) -> Controlled {
        let change: ClockChange = posted(request)?;
        if let Some(by) = change.advance {
            self.clock.advance(elapsed, by.0);
        }
        if let Some(speed) = change.speed {
            if !speed.is_finite() || speed < 0.0 {
                return Err(ApiError::new(400, "speed: must be 0 or more"));
            }
            self.clock.set_speed(elapsed, speed);
        }
        self.advance(elapsed);
        Ok(self.show_clock(elapsed))
    }

    fn show_rate(&self) -> Answer {
        Answer::ok(&json!({"events_per_second": self.pace.rate()}))
    }

    fn change_rate(&mut self, request: &Request, elapsed: Duration) -> Controlled {
        let RateChange { events_per_second: rate } = posted(request)?;
        if !rate.is_finite() || rate < 0.0 {
            return Err(ApiError::new(400, "events_per_second: must be 0 or more"));
        }
        self.pace.set(elapsed, rate);
        Ok(self.show_rate())
    }

    /// Lets users act at once, whatever the rate, for tests that don't want to wait.
    fn act_posted(&mut self, request: &Request, now: Timestamp) -> Controlled {
        let Actions { count } = posted(request)?;
        if count > MOST_ACTIONS {
            return Err(ApiError::new(400, format!("count: at most {MOST_ACTIONS}")));
        }
        let events: usize = (0..count).map(|_| self.act(now)).sum();
        Ok(Answer::ok(&json!({"actions": count, "events": events})))
    }

    fn change_limit(&mut self, request: &Request) -> Controlled {
        let RateLimit { token, rate_per_minute } = posted(request)?;
        if !self.accounts.set_rate(&token, rate_per_minute) {
            return Err(ApiError::new(400, format!("token: no token `{token}`")));
        }
        Ok(Answer::ok(&json!({"token": token, "rate_per_minute": rate_per_minute})))
    }

    /// Changes the limits of heavy pages. Null removes them.
    fn change_weight(&mut self, request: &Request) -> Controlled {
        self.offsets.weight = posted(request)?;
        Ok(Answer::ok(&json!({})))
    }

    fn change_sight(&mut self, request: &Request) -> Controlled {
        let Sight { token, unauthorized_workspaces, hidden_projects } = posted(request)?;
        if !self.accounts.set_sight(&token, unauthorized_workspaces, hidden_projects) {
            return Err(ApiError::new(400, format!("token: no token `{token}`")));
        }
        Ok(Answer::ok(&json!({"token": token})))
    }

    fn show_polls(&self, elapsed: Duration) -> Answer {
        let streams = self.streams.iter().map(|(gid, stream)| (gid, &stream.polled));
        Answer::ok(&self.polls.show(elapsed, streams))
    }

    fn reset_polls(&mut self, request: &Request, elapsed: Duration) -> Controlled {
        let PollsReset { late_after } = posted(request)?;
        let streams = self.streams.values_mut().map(|stream| &mut stream.polled);
        self.polls.reset(late_after.map(|span| span.0), elapsed, streams);
        let now_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        Ok(Answer::ok(&json!({"now_ms": now_ms})))
    }

    pub(crate) fn stats(&self) -> Value {
        let (tokens, unauthorized) = self.accounts.stats();
        let offered: usize = self.streams.values().map(Stream::offered).sum();
        json!({
            "tokens": tokens,
            "unauthorized": unauthorized,
            "streams": self.streams.len(),
            "offered": offered,
        })
    }
}

pub(crate) fn posted<'a, T: Deserialize<'a>>(request: &'a Request) -> Result<T, ApiError> {
    serde_json::from_slice(&request.body).map_err(|error| ApiError::new(400, error.to_string()))
}

/// The events come first, unchanged. The rest says which of them a poller must have seen.
fn ledger_of(gid: &str, stream: &Stream, faults: &Faults) -> String {
    let offered = stream.offered();
    let size: usize = stream.events(0, offered).map(|event| event.len() + 1).sum();
    let mut body = String::with_capacity(size + 256);
    body.push_str(r#"{"events":["#);
    push_joined(&mut body, stream.events(0, offered));
    body.push_str(r#"],"dropped":["#);
    for (number, dropped) in stream.dropped().iter().enumerate() {
        if number > 0 {
            body.push(',');
        }
        body.push_str(r#"{"after":"#);
        body.push_str(&dropped.after.to_string());
        body.push_str(r#","event":"#);
        body.push_str(&dropped.event);
        body.push('}');
    }
    let visible_at = stream.visible_at(|at| faults.heard_from(gid, at));
    let rest = json!({
        "visible_at": visible_at.map(|at| at.map(|at| at.to_string())).collect::<Vec<_>>(),
        "resource": gid,
        "established_at": stream.established_at(),
        "visible": stream.visible(),
        "lost": stream.lost(),
    });
    body.push_str("],");
    body.push_str(rest.to_string().trim_start_matches('{'));
    body
}

fn push_joined<'a>(body: &mut String, events: impl Iterator<Item = &'a Arc<str>>) {
    for (number, event) in events.enumerate() {
        if number > 0 {
            body.push(',');
        }
        body.push_str(event);
    }
}
