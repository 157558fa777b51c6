//! Webhooks: their targets, the events that wait, and retries after failures. No sockets.
//!
//! ```text
//!  POST /webhooks ──► reserved ──handshake──► active ──24 h of failures, 410, DELETE──► gone
//! ```

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Write as _,
    sync::Arc,
    time::Duration,
};

use ring::hmac;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::{
    delivery::{Delivery, Header, Told},
    event::Gid,
    fields::Selection,
    http::ApiError,
    model::Ref,
    time::Timestamp,
    world::World,
};

/// The interval between heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(8 * 3_600);
/// The time of failures after which a webhook is deleted.
const GIVE_UP: Duration = Duration::from_secs(24 * 3_600);
/// The first retry's delay, and the maximum. Each delay is twice the one before.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3_600));
/// The maximum number of events in a delivery. Asana's number isn't known.
const BATCH: usize = 100;
/// The maximum number of webhooks of a resource, and of a token.
const MOST: (usize, usize) = (1_000, 10_000);

/// Webhooks show resources by gid and type only.
const FIELDS: &str = "action,created_at,parent.resource_type,parent.resource_subtype,resource.resource_type,\
    resource.resource_subtype,user.resource_type,change.action,change.field,change.new_value.resource_type,\
    change.added_value.resource_type,change.removed_value.resource_type";

/// A filter of events. An event passes if one of the filters matches.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_subtype: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<Vec<String>>,
}

impl Filter {
    fn fits(&self, event: &Value) -> bool {
        let text = |pointer| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let is = |wanted: &Option<String>, pointer| wanted.as_deref().is_none_or(|it| text(pointer) == it);
        let field = text("/change/field");
        is(&self.resource_type, "/resource/resource_type")
            && is(&self.resource_subtype, "/resource/resource_subtype")
            && is(&self.action, "/action")
            && self.fields.as_ref().is_none_or(|fields| fields.iter().any(|it| it == field))
    }
}

/// The content of a request to create a webhook.
#[derive(Deserialize)]
pub(crate) struct Wanted {
    pub(crate) resource: String,
    target: String,
    #[serde(default)]
    filters: Vec<Filter>,
}

/// The content of a request to change a webhook.
#[derive(Deserialize)]
pub(crate) struct NewFilters {
    pub(crate) filters: Vec<Filter>,
}

#[derive(Debug)]
pub(crate) struct Webhook {
    /// The account that created it.
    pub(crate) account: String,
    pub(crate) resource: Gid,
    target: Url,
    filters: Vec<Filter>,
    secret: String,
    created_at: Timestamp,
    /// The time from which it is active; `None` before the handshake was answered.
    active_from: Option<Timestamp>,
    /// The waiting events, each with the time when it is due.
    waiting: VecDeque<(Timestamp, Arc<str>)>,
    in_flight: bool,
    heartbeat_at: Timestamp,
    last_success_at: Option<Timestamp>,
    last_failure_at: Option<Timestamp>,
    last_failure_content: String,
    retries: u32,
    next_attempt: Option<Timestamp>,
    failing_since: Option<Timestamp>,
    /// The number of events that were delivered.
    delivered: usize,
}

#[derive(Debug)]
pub(crate) struct Webhooks {
    seed: u64,
    /// The time from the handshake until a webhook is active.
    activation: Duration,
    made: u64,
    by_gid: BTreeMap<Gid, Webhook>,
}

impl Webhooks {
    pub(crate) fn new(seed: u64, activation: Duration) -> Self {
        Self { seed, activation, made: 0, by_gid: BTreeMap::new() }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Gid, &Webhook)> {
        self.by_gid.iter()
    }

    pub(crate) fn of(&self, gid: &str, account: &str) -> Result<&Webhook, ApiError> {
        let own = self.by_gid.get(gid).filter(|it| it.account == account && it.active_from.is_some());
        own.ok_or_else(|| ApiError::unknown("webhook", gid))
    }

    /// Reserves a webhook. It exists once its target has answered the handshake.
    pub(crate) fn reserve(
        &mut self,
        wanted: Wanted,
        account: &str,
        world: &World,
        now: Timestamp,
    ) -> Result<Delivery, ApiError> {
        let Wanted { resource, target, filters } = wanted;
        let target = match Url::parse(&target) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => url,
            _ => return Err(ApiError::new(400, format!("target: Not a valid URL: {target}"))),
        };
        match world.find(&resource) {
            None => return Err(ApiError::unknown("resource", &resource)),
            Some(Ref::Workspace(_)) if filters.is_empty() => {
                return Err(ApiError::new(400, "filters: Missing input"));
            }
            Some(Ref::Workspace(_)) if filters.iter().any(|filter| filter.fields.is_some()) => {
                return Err(ApiError::new(400, "filters: fields are not supported on this resource"));
            }
            Some(Ref::Project(_) | Ref::Task(_) | Ref::Goal(_) | Ref::Workspace(_)) => {}
            Some(_) => return Err(ApiError::new(400, format!("resource: Not supported: {resource}"))),
        }
        let all = || self.by_gid.values();
        if all().any(|it| it.account == account && *it.resource == *resource && it.target == target) {
            return Err(ApiError::new(403, "A webhook with this resource and target exists already"));
        }
        let (of_resource, of_account) = MOST;
        if all().filter(|it| *it.resource == *resource).count() >= of_resource
            || all().filter(|it| it.account == account).count() >= of_account
        {
            return Err(ApiError::new(403, "There are too many webhooks"));
        }
        self.made += 1;
        let gid: Gid = Arc::from((7_000_000_000_000_000 + self.made).to_string());
        let secret = format!("{:032x}", xxh3_128_with_seed(format!("webhook {gid}").as_bytes(), self.seed));
        let webhook = Webhook {
            account: account.to_owned(),
            resource: Arc::from(resource),
            target: target.clone(),
            filters,
            secret: secret.clone(),
            created_at: now,
            active_from: None,
            waiting: VecDeque::new(),
            in_flight: false,
            heartbeat_at: now,
            last_success_at: None,
            last_failure_at: None,
            last_failure_content: String::new(),
            retries: 0,
            next_attempt: None,
            failing_since: None,
            delivered: 0,
        };
        self.by_gid.insert(Arc::clone(&gid), webhook);
        Ok(Delivery { gid, target, header: Header::Secret(secret), body: r#"{"events":[]}"#.to_owned(), events: 0 })
    }

    /// Takes the answer of a target to the handshake. Returns the secret if it is correct.
    pub(crate) fn shake(&mut self, gid: &str, told: Told, now: Timestamp) -> Result<String, ApiError> {
        let gone = || ApiError::unknown("webhook", gid);
        let webhook = self.by_gid.get_mut(gid).ok_or_else(gone)?;
        let problem = match told {
            Ok((200 | 204, Some(secret))) if secret == webhook.secret => {
                webhook.active_from = Some(now.plus(self.activation));
                return Ok(secret);
            }
            Ok((200 | 204, _)) => "The target did not respond with the handshake secret".to_owned(),
            Ok((status, _)) => format!("The target responded with the status {status}"),
            Err(problem) => format!("The target did not respond: {problem}"),
        };
        self.by_gid.remove(gid);
        Err(ApiError::new(400, problem))
    }

    pub(crate) fn remove(&mut self, gid: &str) -> bool {
        self.by_gid.remove(gid).is_some()
    }

    pub(crate) fn set_filters(&mut self, gid: &str, filters: Vec<Filter>) {
        if let Some(webhook) = self.by_gid.get_mut(gid) {
            webhook.filters = filters;
        }
    }

    /// Queues an event on a resource for delivery at `due`, if the webhook is active by then.
    pub(crate) fn offer(&mut self, resource: &str, event: &Arc<str>, due: Timestamp, world: &World) {
        let of_workspace = matches!(world.find(resource), Some(Ref::Workspace(_)));
        let mut parsed = None;
        for webhook in self.by_gid.values_mut().filter(|it| it.active(due) && *it.resource == *resource) {
            if !webhook.filters.is_empty() {
                let event = parsed.get_or_insert_with(|| serde_json::from_str(event).unwrap_or(Value::Null));
                let kind = event.pointer("/resource/resource_type").and_then(Value::as_str);
                let withheld = of_workspace && matches!(kind, Some("task" | "story"));
                if withheld || !webhook.filters.iter().any(|filter| filter.fits(event)) {
                    continue;
                }
            }
            webhook.waiting.push_back((due, Arc::clone(event)));
        }
    }

    /// The deliveries that are due. Each webhook has at most one request in flight.
    pub(crate) fn due(&mut self, now: Timestamp) -> Vec<Delivery> {
        let may = |it: &Webhook| it.active(now) && !it.in_flight && it.next_attempt.is_none_or(|at| at <= now);
        let ready = self.by_gid.iter_mut().filter(|(_, it)| may(it));
        ready.filter_map(|(gid, webhook)| webhook.deliver(gid, now)).collect()
    }

    /// Takes the answer of a target to a delivery.
    pub(crate) fn told(&mut self, delivery: &Delivery, told: &Told, now: Timestamp) {
        let Some(webhook) = self.by_gid.get_mut(&delivery.gid) else { return };
        if !webhook.take_answer(delivery.events, told, now) {
            self.by_gid.remove(&delivery.gid);
        }
    }

    /// The state for the control interface.
    pub(crate) fn show(&self, now: Timestamp) -> Value {
        let each = self.by_gid.iter().map(|(gid, it)| {
            let (waiting, target) = (it.waiting.len(), it.target.as_str());
            json!({"gid": **gid, "resource": *it.resource, "target": target, "active": it.active(now), "secret": it.secret,
                   "delivered": it.delivered, "waiting": waiting, "retries": it.retries})
        });
        json!({"made": self.made, "webhooks": each.collect::<Vec<_>>()})
    }
}

impl Webhook {
    fn active(&self, now: Timestamp) -> bool {
        self.active_from.is_some_and(|from| from <= now)
    }

    fn deliver(&mut self, gid: &Gid, now: Timestamp) -> Option<Delivery> {
        let events = self.waiting.iter().take(BATCH).take_while(|(due, _)| *due <= now).count();
        if events == 0 && self.heartbeat_at > now {
            return None;
        }
        let fields = Selection::of_events(Some(FIELDS));
        let mut body = String::from(r#"{"events":["#);
        for (number, (_, event)) in self.waiting.iter().take(events).enumerate() {
            if number > 0 {
                body.push(',');
            }
            fields.write(event, &mut body);
        }
        body.push_str("]}");
        self.in_flight = true;
        let signature = Header::Signature(sign(&self.secret, body.as_bytes()));
        Some(Delivery { gid: Arc::clone(gid), target: self.target.clone(), header: signature, body, events })
    }

    /// Takes an answer. Returns whether the webhook stays.
    fn take_answer(&mut self, events: usize, told: &Told, now: Timestamp) -> bool {
        self.in_flight = false;
        let problem = match told {
            Ok((200 | 204, _)) => {
                self.waiting.drain(..events.min(self.waiting.len()));
                self.delivered += events;
                if self.heartbeat_at <= now {
                    self.heartbeat_at = now.plus(HEARTBEAT);
                }
                self.last_success_at = Some(now);
                (self.retries, self.next_attempt, self.failing_since) = (0, None, None);
                return true;
            }
            Ok((410, _)) => return false,
            Ok((status, _)) => format!("status {status}"),
            Err(problem) => problem.clone(),
        };
        let (first, longest) = RETRY;
        let wait = first.saturating_mul(1 << self.retries.min(16)).min(longest);
        self.retries += 1;
        self.next_attempt = Some(now.plus(wait));
        (self.last_failure_at, self.last_failure_content) = (Some(now), problem);
        !now.has_passed(*self.failing_since.get_or_insert(now), GIVE_UP)
    }

    /// The webhook as Asana shows it.
    pub(crate) fn record(&self, gid: &str, world: &World, now: Timestamp) -> Value {
        let moment = |at: Option<Timestamp>| at.map(|at| at.to_string());
        let mut resource = json!({"gid": *self.resource});
        let shown = match world.find(&self.resource) {
            Some(Ref::Project(id)) => Some(("project", world.projects[id].name.clone())),
            Some(Ref::Task(id)) => Some(("task", world.tasks[id].name.clone())),
            Some(Ref::Goal(id)) => Some(("goal", world.goals[id].name.clone())),
            Some(Ref::Workspace(id)) => Some(("workspace", world.workspaces[id].name.clone())),
            _ => None,
        };
        if let Some((kind, name)) = shown {
            resource = json!({"gid": *self.resource, "resource_type": kind, "name": name});
        }
        let mut record = json!({
            "gid": gid, "resource_type": "webhook", "active": self.active(now), "resource": resource,
            "target": self.target.as_str(), "created_at": self.created_at.to_string(), "filters": self.filters,
            "last_failure_content": self.last_failure_content, "delivery_retry_count": self.retries,
        });
        let times = [
            ("last_success_at", self.last_success_at),
            ("last_failure_at", self.last_failure_at),
            ("next_attempt_after", self.next_attempt),
            ("failure_deletion_timestamp", self.failing_since.map(|since| since.plus(GIVE_UP))),
        ];
        for (name, at) in times {
            // Asana's description allows no null here.
            if let (Some(at), Some(record)) = (moment(at), record.as_object_mut()) {
                record.insert(name.to_owned(), json!(at));
            }
        }
        record
    }
}

/// HMAC-SHA256 as hexadecimal digits.
fn sign(secret: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    hmac::sign(&key, body).as_ref().iter().fold(String::new(), |mut text, byte| {
        // Writing to a string can't fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2.
    #[test]
    fn a_signature_is_hmac_sha256_in_hexadecimal() {
        let signature = sign("Jefe", b"what do ya want for nothing?");
        assert_eq!(signature, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn a_filter_wants_all_that_it_names() {
        let filter: Filter =
            serde_json::from_str(r#"{"resource_type":"task","action":"changed","fields":["name"]}"#).unwrap();
        let event = |field: &str| json!({"resource": {"resource_type": "task"}, "action": "changed", "change": {"field": field}});
        assert!(filter.fits(&event("name")));
        assert!(!filter.fits(&event("notes")));
        assert!(!filter.fits(&json!({"resource": {"resource_type": "task"}, "action": "deleted"})));
    }
}
