//! The simulated Asana as a whole: a pure function of its seed, of the requests
//! made to it, and of the time that each is made at.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use axum::body::Bytes;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use super::{
    accounts::{Accounts, Refusal},
    actions::Happening,
    event::Gid,
    faults::{Fault, FaultKind, Faults, GarbageBody, Harm, Refused, Subject},
    fields,
    http::{Answer, ApiError, Request, TOKEN_RESET, message_of, throttled},
    model::{Ref, Workspace},
    oauth::OauthServer,
    offsets::Offsets,
    pages::{Answered, Call},
    polls::Polls,
    scenario::{DateHeader, Pages, Scenario, SupersededTokens},
    stream::{Poll, Stream, TokenRules},
    time::{Clock, Timestamp},
    webhooks::Webhooks,
    words,
    world::World,
};

const API: &str = "/api/1.0/";

/// The maximum number of actions that are made up for at once. If the machine is too slow, live events are late, and
/// requests are still answered.
const MOST_AT_ONCE: usize = 10_000;

#[derive(Debug)]
pub(crate) struct Asana {
    pub(crate) clock: Clock,
    pub(crate) world: World,
    pub(crate) streams: BTreeMap<Gid, Stream>,
    pub(crate) faults: Faults,
    pub(crate) accounts: Accounts,
    oauth: OauthServer,
    pub(crate) offsets: Offsets,
    pub(crate) pace: Pace,
    pub(crate) polls: Polls,
    pub(crate) webhooks: Webhooks,
    rules: TokenRules,
    pages: Pages,
    delay: Duration,
    dated: DateHeader,
    timetable: VecDeque<(Timestamp, Fault)>,
    phrases: ChaCha8Rng,
}

/// The schedule of live events, in real seconds.
#[derive(Debug)]
pub(crate) struct Pace {
    rate: f64,
    next: Duration,
}

impl Pace {
    pub(crate) fn set(&mut self, elapsed: Duration, rate: f64) {
        self.rate = rate;
        self.next = elapsed;
    }

    pub(crate) fn rate(&self) -> f64 {
        self.rate
    }

    /// The time of the next action, if it has come.
    fn due(&self, elapsed: Duration) -> Option<Duration> {
        (self.rate > 0.0 && self.next <= elapsed).then_some(self.next)
    }

    fn took(&mut self, events: usize) {
        #[expect(clippy::cast_precision_loss, reason = "an action has a handful of events")]
        let seconds = events as f64 / self.rate;
        // A year stands for never: rates may be very small.
        self.next += Duration::from_secs_f64(seconds.min(31_536_000.0));
    }
}

impl Asana {
    /// `wall` is the real time at the start, for scenarios without a `start`.
    pub(crate) fn new(scenario: &Scenario, wall: Timestamp) -> Self {
        let start = scenario.start.as_deref().and_then(Timestamp::parse);
        let start = start.unwrap_or(wall);
        let mut timetable: Vec<_> = scenario
            .faults
            .iter()
            .cloned()
            .map(|fault| {
                let at = fault.at.map_or(start, |span| start.plus(span.0));
                (at, fault)
            })
            .collect();
        timetable.sort_by_key(|(at, _)| *at);
        Self {
            clock: Clock::starting_at(start, scenario.speed),
            world: World::new(scenario, start),
            streams: BTreeMap::new(),
            faults: Faults::new(scenario.seed),
            accounts: Accounts::new(&scenario.tokens, &scenario.limits),
            oauth: OauthServer::new(scenario.oauth.clone(), scenario.seed, start),
            offsets: Offsets::new(scenario),
            pace: Pace { rate: scenario.rate, next: Duration::ZERO },
            polls: Polls::default(),
            webhooks: Webhooks::new(scenario.seed, scenario.webhook_activation.0),
            rules: TokenRules {
                life: scenario.token_life.0,
                serve_superseded: scenario.superseded_tokens == SupersededTokens::Serve,
                empty_pages: scenario.empty_pages,
                full_pages: scenario.full_pages,
                seed: scenario.seed,
            },
            pages: scenario.pages.clone(),
            delay: scenario.delay.0,
            dated: scenario.date,
            timetable: timetable.into(),
            phrases: ChaCha8Rng::seed_from_u64(scenario.seed),
        }
    }

    /// Brings the world up to date: the actions of users and the faults since the last call.
    pub(crate) fn advance(&mut self, elapsed: Duration) -> Timestamp {
        for _ in 0..MOST_AT_ONCE {
            let Some(due) = self.pace.due(elapsed) else {
                break;
            };
            let then = self.clock.at(due);
            self.follow_timetable(then);
            let events = self.act(then);
            self.pace.took(events);
        }
        let now = self.clock.at(elapsed);
        self.follow_timetable(now);
        now
    }

    fn follow_timetable(&mut self, now: Timestamp) {
        while self.timetable.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((at, fault)) = self.timetable.pop_front() {
                self.apply(fault, at);
            }
        }
    }

    /// One action of a user. Returns the number of its events.
    pub(crate) fn act(&mut self, now: Timestamp) -> usize {
        let happenings = self.world.act(now);
        self.tell(happenings, now)
    }

    /// Offers events on all streams that see them.
    pub(crate) fn tell(&mut self, happenings: Vec<Happening>, now: Timestamp) -> usize {
        let events = happenings.len();
        for Happening { event, in_workspace, streams } in happenings {
            for gid in streams {
                let event = match &in_workspace {
                    Some(bare) if matches!(self.world.find(&gid), Some(Ref::Workspace(_))) => bare,
                    Some(_) | None => &event,
                };
                if self.faults.drops(&gid, now) {
                    self.streams.entry(gid).or_default().lose(Arc::clone(event));
                } else {
                    self.webhooks.offer(&gid, event, now.plus(self.delay), &self.world);
                    self.streams.entry(gid).or_default().offer(Arc::clone(event), now.plus(self.delay));
                }
            }
        }
        events
    }

    /// Offers exactly these events on one stream, and creates the resource if it doesn't exist. Returns the number of
    /// events that were offered on the stream so far.
    pub(crate) fn inject(&mut self, gid: &str, events: impl IntoIterator<Item = Arc<str>>, now: Timestamp) -> usize {
        if self.world.find(gid).is_none() {
            self.world.add_quiet_project(gid, now);
        }
        let stream = match self.streams.get_mut(gid) {
            Some(stream) => stream,
            None => self.streams.entry(Arc::from(gid)).or_default(),
        };
        for event in events {
            self.webhooks.offer(gid, &event, now.plus(self.delay), &self.world);
            stream.offer(event, now.plus(self.delay));
        }
        stream.offered()
    }

    /// Starts a fault, or performs it at once. Returns its number if it lasts.
    pub(crate) fn apply(&mut self, fault: Fault, now: Timestamp) -> Option<u64> {
        if !fault.is_immediate() {
            return Some(self.faults.add(fault, now));
        }
        if fault.kind == FaultKind::ExpireOffsets {
            self.offsets.expire_all();
            return None;
        }
        match fault.resource.as_deref() {
            Some(gid) => {
                if let Some(stream) = self.streams.get_mut(gid) {
                    stream.kill_tokens();
                }
            }
            None => self.streams.values_mut().for_each(Stream::kill_tokens),
        }
        None
    }

    /// Makes the events of a stream visible that are due and not silenced.
    pub(crate) fn reveal(&mut self, gid: &str, now: Timestamp) {
        if let Some(stream) = self.streams.get_mut(gid) {
            stream.reveal(now, |at| self.faults.heard_from(gid, at));
        }
    }

    /// Answers any request: Asana's API, its OAuth, or the control interface.
    pub(crate) fn answer(&mut self, elapsed: Duration, request: &Request) -> Answer {
        let now = self.advance(elapsed);
        if let Some(segments) = request.below("/_sim/") {
            return self.control(&segments, request, elapsed, now);
        }
        if let Some(segments) = request.below("/-/") {
            return self.oauth(&segments, request, now);
        }
        match request.below(API) {
            Some(segments) => self.guarded(&segments, request, elapsed, now),
            None => ApiError::no_route().into(),
        }
    }

    /// The time for the header `Date` of an answer that is made now.
    pub(crate) fn date(&self, elapsed: Duration) -> Option<Timestamp> {
        match self.dated {
            DateHeader::Stamped => Some(self.clock.at(elapsed)),
            DateHeader::Absent => None,
        }
    }

    fn oauth(&mut self, segments: &[&str], request: &Request, now: Timestamp) -> Answer {
        match (request.method.as_str(), segments) {
            ("GET" | "POST", ["oauth_authorize"]) => self.oauth.authorize(request, now),
            ("POST", ["oauth_token"]) => {
                let user = self.oauth.account().and_then(|name| self.accounts.get(name)).map(|account| account.user);
                let user = user.map(|number| self.world.user_of_tokens(number)).unwrap_or_default();
                self.oauth.token(request, user, &mut self.accounts, now)
            }
            ("POST", ["token_info"]) => self.oauth.info(request, &self.accounts, now),
            _ => ApiError::no_route().into(),
        }
    }

    /// The API behind authorization, budgets and faults.
    fn guarded(&mut self, segments: &[&str], request: &Request, elapsed: Duration, now: Timestamp) -> Answer {
        let bearer = request.bearer.as_deref();
        let account = match self.accounts.admit(bearer, elapsed, now) {
            Ok(account) => account,
            Err(Refusal::Unauthorized) => return ApiError::new(401, "Not Authorized").into(),
            Err(Refusal::Throttled(wait)) => return throttled(wait),
        };
        let resource = subject_of(segments, request);
        let events = segments.last() == Some(&"events");
        if events && let Some(gid) = resource {
            self.count_poll(gid, &account, elapsed);
        }
        let with_sync = events && request.param("sync").is_some();
        let page = !events && request.param("limit").is_some();
        let subject = Subject { resource, token: Some(&account), events, with_sync, page };
        let harm = self.faults.strike(subject, now);
        if let (true, Some(gid), Some(sync)) = (harm.kill_token, resource, request.param("sync"))
            && let Some(stream) = self.streams.get_mut(gid)
        {
            stream.kill_token(sync);
        }
        let call = Call { request, account: &account, now, short: harm.short };
        let mut answer = match harm.refusal {
            Some(refusal) => self.refuse(refusal),
            None => self.route(segments, &call).unwrap_or_else(Answer::from),
        };
        if answer.status == 429 {
            self.accounts.rejected_by_fault(&account);
        }
        if request.switch("opt_pretty") {
            answer.body = fields::pretty(&answer.body).into();
        }
        spoil(&mut answer, &harm);
        answer.holds = Some(account);
        answer
    }

    /// Counts a poll, whatever its outcome. Polls of unknown resources aren't counted.
    fn count_poll(&mut self, gid: &str, account: &str, elapsed: Duration) {
        if !self.streams.contains_key(gid) && self.world.find(gid).is_some() {
            self.streams.insert(Arc::from(gid), Stream::default());
        }
        if let Some(stream) = self.streams.get_mut(gid) {
            self.polls.count(gid, &mut stream.polled, account, elapsed);
        }
    }

    fn route(&mut self, segments: &[&str], call: &Call<'_>) -> Answered {
        if let ["webhooks", rest @ ..] = segments {
            return self.webhook(rest, call);
        }
        if call.request.method != "GET" {
            return Err(ApiError::no_route());
        }
        match *segments {
            ["events"] => {
                let gid = call.param("resource").ok_or_else(|| ApiError::missing("resource"))?;
                self.watch(gid, None, call)
            }
            [kind @ ("projects" | "tasks" | "goals"), gid, "events"] => self.watch(gid, Some(kind), call),
            ["workspaces", gid, "events"] => self.watch_workspace(gid, call),
            _ => self.read(segments, call),
        }
    }

    /// `/events`, for resources that may be watched: a task, a project or a goal.
    fn watch(&mut self, gid: &str, kind: Option<&str>, call: &Call<'_>) -> Answered {
        let found = match self.world.find(gid) {
            None if gid.bytes().all(|byte| byte.is_ascii_digit()) => {
                return Err(ApiError::unknown("resource", gid));
            }
            None => return Err(ApiError::unrecognized("resource", gid)),
            Some(found) => found,
        };
        let is = match found {
            Ref::Project(_) => "projects",
            Ref::Task(_) => "tasks",
            Ref::Goal(_) => "goals",
            Ref::Workspace(_)
            | Ref::Team(_)
            | Ref::User(_)
            | Ref::UserTaskList(_)
            | Ref::Section(_)
            | Ref::Story(_)
            | Ref::Attachment(_)
            | Ref::Portfolio(_) => {
                let message = format!("resource: Not a task, project or goal: {gid}");
                return Err(ApiError::new(400, message));
            }
        };
        if kind.is_some_and(|kind| kind != is) {
            return Err(ApiError::unknown("resource", gid));
        }
        self.sight(found, call.account)?;
        let fields = fields::Selection::of_events(call.param("opt_fields"));
        Ok(self.poll(gid, call.param("sync"), self.pages.resource, &fields, call.now))
    }

    /// A whole workspace, for service accounts; `opt_fields` is not listed there.
    fn watch_workspace(&mut self, gid: &str, call: &Call<'_>) -> Answered {
        self.named_as::<Workspace>("workspace", gid, call)?;
        if !self.accounts.get(call.account).is_some_and(|account| account.serves_domain) {
            let message = "Workspace events are only available to service accounts.";
            return Err(ApiError::new(403, message));
        }
        let all = fields::Selection::All;
        Ok(self.poll(gid, call.param("sync"), self.pages.workspace, &all, call.now))
    }

    fn poll(
        &mut self,
        gid: &str,
        sync: Option<&str>,
        limit: usize,
        fields: &fields::Selection,
        now: Timestamp,
    ) -> Answer {
        if !self.streams.contains_key(gid) {
            self.streams.insert(Arc::from(gid), Stream::default());
        }
        self.reveal(gid, now);
        let Some(stream) = self.streams.get_mut(gid) else {
            return ApiError::unknown("resource", gid).into();
        };
        match stream.poll(gid, sync, limit, now, &self.rules) {
            Poll::TokenReset { sync } => {
                let body = format!(r#"{{"errors":[{{"message":"{TOKEN_RESET}"}}],"sync":"{sync}"}}"#);
                Answer::bytes(412, body)
            }
            Poll::Page { start, end, sync, has_more } => {
                let size: usize = stream.events(start, end).map(|event| event.len() + 1).sum();
                let mut body = String::with_capacity(size + 96);
                body.push_str(r#"{"data":["#);
                for (number, event) in stream.events(start, end).enumerate() {
                    if number > 0 {
                        body.push(',');
                    }
                    fields.write(event, &mut body);
                }
                body.push_str(r#"],"sync":""#);
                body.push_str(&sync);
                body.push_str(if has_more { r#"","has_more":true}"# } else { r#"","has_more":false}"# });
                Answer::bytes(200, body)
            }
        }
    }

    fn refuse(&mut self, refusal: Refused) -> Answer {
        let Refused { status, retry_after, by_gateway } = refusal;
        let mut answer = match status {
            _ if by_gateway => gateway_page(status),
            429 => throttled(retry_after.unwrap_or(1)),
            500 => {
                let phrase = words::error_phrase(&mut self.phrases);
                Answer::json(500, &json!({"errors": [{"message": "Server Error", "phrase": phrase}]}))
            }
            _ => ApiError::new(status, message_of(status)).into(),
        };
        answer.retry_after = answer.retry_after.or(retry_after);
        answer
    }
}

/// The gid that a request is about, which faults can be limited to.
fn subject_of<'a>(segments: &[&'a str], request: &'a Request) -> Option<&'a str> {
    match *segments {
        [_, gid, ..] => Some(gid),
        _ => ["resource", "project", "section", "parent", "workspace"].iter().find_map(|name| request.param(name)),
    }
}

/// The page of a proxy in front of Asana, which doesn't have the form of Asana's errors.
fn gateway_page(status: u16) -> Answer {
    let body =
        format!("<html><head><title>{status}</title></head><body><center><h1>{status}</h1></center></body></html>\n");
    Answer { content_type: "text/html", ..Answer::bytes(status, body) }
}

/// Damages an answer on its way.
fn spoil(answer: &mut Answer, harm: &Harm) {
    answer.delay += harm.delay;
    if let Some(garbage) = harm.garbage {
        answer.status = 200;
        match garbage {
            GarbageBody::Html => {
                answer.content_type = "text/html";
                answer.body = Bytes::from_static(b"<html><body><h1>We'll be right back</h1></body></html>");
            }
            GarbageBody::Invalid => answer.body = Bytes::from_static(br#"{"data":[{"gid":,}],"sync":NaN"#),
            GarbageBody::Truncated => answer.body.truncate(answer.body.len() / 2),
            GarbageBody::Empty => answer.body = Bytes::new(),
            GarbageBody::Shape => answer.body = Bytes::from_static(br#"{"data":{"sync":7},"sync":[]}"#),
        }
    }
    if harm.cut {
        answer.cut = Some(answer.body.len() / 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lively(rate: f64) -> Asana {
        let scenario = Scenario { rate, start: Some("2026-01-01T00:00:00Z".to_owned()), ..Scenario::default() };
        Asana::new(&scenario, Timestamp::from_millis(0))
    }

    /// What the workspace saw: everything.
    fn seen(asana: &Asana) -> Vec<&str> {
        let (_, workspace) = asana.world.workspaces.iter().next().unwrap();
        let stream = &asana.streams[&workspace.gid];
        stream.events(0, stream.offered()).map(|event| &**event).collect()
    }

    #[test]
    fn live_events_keep_the_pace_however_often_time_advances() {
        let (mut at_once, mut in_steps) = (lively(100.0), lively(100.0));
        at_once.advance(Duration::from_secs(10));
        for step in 1..=200 {
            in_steps.advance(Duration::from_millis(50 * step));
        }
        let count = seen(&at_once).len();
        assert!((1_000..1_010).contains(&count), "{count}");
        assert_eq!(seen(&at_once), seen(&in_steps));
        assert!(seen(&at_once)[500].contains(r#""created_at":"2026-01-01T00:00:0"#));
    }

    #[test]
    fn a_backlog_is_worked_off_in_parts() {
        let mut asana = lively(1_000_000.0);
        asana.advance(Duration::from_secs(1));
        let first = seen(&asana).len();
        assert!((MOST_AT_ONCE..10 * MOST_AT_ONCE).contains(&first), "{first}");
        asana.advance(Duration::from_secs(1));
        assert!(seen(&asana).len() > first);
    }

    #[test]
    fn winding_the_clock_makes_no_live_events() {
        let mut asana = lively(10.0);
        let second = Duration::from_secs(1);
        asana.advance(second);
        let before = seen(&asana).len();
        asana.clock.advance(second, Duration::from_secs(86_400));
        asana.advance(second);
        assert_eq!(seen(&asana).len(), before);
    }
}
