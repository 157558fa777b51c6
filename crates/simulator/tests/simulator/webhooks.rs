//! Webhooks: handshake, deliveries, heartbeats, retries, and the end of those that fail.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::IntoResponse;
use ring::hmac;
use serde_json::{Value, json};

use crate::{Asana, Got};

/// What a target was sent, and what it is to answer: 200 at the end of the list.
#[derive(Clone, Default)]
pub(crate) struct Target {
    seen: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
    answers: Arc<Mutex<VecDeque<u16>>>,
    pub(crate) url: String,
}

impl Target {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook?for=me", listener.local_addr().unwrap());
        let target = Self { url, ..Self::default() };
        let app = Router::new().fallback(answer).with_state(target.clone());
        tokio::spawn(axum::serve(listener, app).into_future());
        target
    }

    fn will_answer(&self, statuses: &[u16]) {
        self.answers.lock().unwrap().extend(statuses);
    }

    fn seen(&self) -> Vec<(HeaderMap, Bytes)> {
        self.seen.lock().unwrap().clone()
    }

    /// The request of this number, once it is there.
    async fn request(&self, number: usize) -> (HeaderMap, Bytes) {
        let start = Instant::now();
        loop {
            if let Some(seen) = self.seen().get(number) {
                return seen.clone();
            }
            assert!(start.elapsed() < Duration::from_secs(20), "no request {number}: {:?}", self.seen());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn events(&self, number: usize) -> Vec<Value> {
        let (_, body) = self.request(number).await;
        let mut body: Value = serde_json::from_slice(&body).unwrap();
        body["events"].as_array_mut().unwrap().drain(..).collect()
    }
}

async fn answer(State(target): State<Target>, headers: HeaderMap, body: Bytes) -> impl IntoResponse {
    let status = target.answers.lock().unwrap().pop_front().unwrap_or(200);
    let secret = headers.get("x-hook-secret").cloned();
    target.seen.lock().unwrap().push((headers, body));
    let echo: HeaderMap = secret.map(|secret| (HeaderName::from_static("x-hook-secret"), secret)).into_iter().collect();
    (StatusCode::from_u16(status).unwrap(), echo)
}

pub(crate) async fn make(asana: &Asana, resource: &str, target: &str) -> Got {
    asana.send("POST", "/webhooks", &json!({"data": {"resource": resource, "target": target}})).await
}

fn event(gid: &str, action: &str) -> Value {
    json!({"action": action, "resource": {"gid": gid, "resource_type": "task", "name": "Secret plans"}, "parent": null,
           "user": null, "created_at": "2026-01-01T00:00:00.000Z"})
}

async fn offer(asana: &Asana, resource: &str, events: &[Value]) {
    asana.post("/events", json!({"resource": resource, "events": events})).await;
}

#[tokio::test]
async fn a_webhook_shakes_hands_and_tells_of_changes_with_a_signature() {
    let (asana, target) = (Asana::still().await, Target::start().await);
    let project = asana.project();
    let made = make(&asana, &project, &target.url).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let made = made.json();
    let secret = made["X-Hook-Secret"].as_str().unwrap().to_owned();
    let (headers, body) = target.request(0).await;
    assert_eq!((headers["x-hook-secret"].to_str().unwrap(), &body[..]), (secret.as_str(), &br#"{"events":[]}"#[..]));
    assert_eq!(made["data"]["target"], json!(target.url));

    // The first delivery is a heartbeat.
    assert_eq!(target.events(1).await, Vec::<Value>::new());
    offer(&asana, &project, &[event("1", "changed"), event("2", "deleted")]).await;
    let events = target.events(2).await;
    assert_eq!(events[0]["resource"], json!({"gid": "1", "resource_type": "task"}), "compact");
    assert_eq!((events.len(), &events[1]["action"]), (2, &json!("deleted")));
    let (headers, body) = target.request(2).await;
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let digits = headers["x-hook-signature"].to_str().unwrap().as_bytes();
    let tag: Vec<u8> =
        digits.chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect();
    hmac::verify(&key, &body, &tag).unwrap();

    // Not a word of other projects, and none after the end.
    let gid = made["data"]["gid"].as_str().unwrap();
    assert_eq!(asana.send("DELETE", &format!("/webhooks/{gid}"), &json!({})).await.status, 200);
    assert_eq!(asana.get(&format!("/webhooks/{gid}")).await.status, 404);
    offer(&asana, &project, &[event("3", "changed")]).await;
    let again = make(&asana, &project, &target.url).await;
    assert_eq!(again.status, 201);
    target.request(4).await;
    offer(&asana, &project, &[event("4", "changed")]).await;
    assert_eq!(target.events(5).await[0]["resource"]["gid"], "4", "after a handshake and a heartbeat");
}

#[tokio::test]
async fn what_asana_refuses_is_refused() {
    let (asana, target) = (Asana::still().await, Target::start().await);
    let (project, workspace) = (asana.project(), asana.workspace());
    let status = async |resource: &str, url: &str| make(&asana, resource, url).await.status;
    assert_eq!(status(&project, "not a URL").await, 400);
    assert_eq!(status("4711", &target.url).await, 404);
    assert_eq!(status(&workspace, &target.url).await, 400, "filters are a must");
    assert_eq!(status(&project, "http://127.0.0.1:9/").await, 400, "nobody there");
    target.will_answer(&[404]);
    assert_eq!(status(&project, &target.url).await, 400);
    assert_eq!(status(&project, &target.url).await, 201);
    assert_eq!(status(&project, &target.url).await, 403, "twice the same");
    assert_eq!(asana.ok(&format!("/webhooks?workspace={workspace}")).await.data().len(), 1);
    assert_eq!(asana.get("/webhooks").await.status, 400, "of which workspace?");
}

#[tokio::test]
async fn filters_let_through_what_one_of_them_names() {
    let (asana, target) = (Asana::still().await, Target::start().await);
    let project = asana.project();
    let data = json!({"resource": project, "target": target.url, "filters": [{"action": "deleted"}]});
    let made = asana.send("POST", "/webhooks", &json!({"data": data})).await.json();
    target.request(1).await;
    offer(&asana, &project, &[event("1", "changed"), event("2", "deleted")]).await;
    assert_eq!(target.events(2).await[0]["resource"]["gid"], "2");
    let path = format!("/webhooks/{}", made["data"]["gid"].as_str().unwrap());
    let filters = json!({"data": {"filters": [{"action": "changed", "resource_type": "task"}]}});
    assert_eq!(asana.send("PUT", &path, &filters).await.json()["data"]["filters"], filters["data"]["filters"]);
    offer(&asana, &project, &[event("3", "deleted"), event("4", "changed")]).await;
    assert_eq!(target.events(3).await[0]["resource"]["gid"], "4");
}

#[tokio::test]
async fn a_failing_target_is_tried_again_and_given_up_after_a_day() {
    let (asana, target) = (Asana::start("{speed: 0, rate: 0}").await, Target::start().await);
    let project = asana.project();
    let made = make(&asana, &project, &target.url).await.json();
    let path = format!("/webhooks/{}", made["data"]["gid"].as_str().unwrap());
    target.request(1).await;
    let advance = async |by: &str| asana.post("/clock", json!({"advance": by})).await;

    target.will_answer(&[500, 503]);
    offer(&asana, &project, &[event("1", "changed")]).await;
    target.request(2).await;
    advance("1s").await;
    target.request(3).await;
    advance("2s").await;
    assert_eq!(target.events(4).await[0]["resource"]["gid"], "1", "the same until it is taken");

    // A heartbeat every eight hours.
    advance("8h").await;
    assert_eq!(target.events(5).await, Vec::<Value>::new());

    target.will_answer(&[500; 40]);
    offer(&asana, &project, &[event("2", "changed")]).await;
    let mut seen = 6;
    target.request(seen).await;
    let shown = asana.ok(&path).await.json();
    assert_eq!(shown["data"]["active"], true);
    for _ in 0..24 {
        advance("1h").await;
        seen += 1;
        target.request(seen).await;
    }
    let start = Instant::now();
    while asana.get(&path).await.status != 404 {
        assert!(start.elapsed() < Duration::from_secs(20), "it is still there");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn who_says_that_it_is_gone_is_told_nothing_more() {
    let (asana, target) = (Asana::still().await, Target::start().await);
    let project = asana.project();
    make(&asana, &project, &target.url).await;
    target.request(1).await;
    target.will_answer(&[410]);
    offer(&asana, &project, &[event("1", "changed")]).await;
    target.request(2).await;
    let start = Instant::now();
    while !asana.ok("sim:/webhooks").await.json()["webhooks"].as_array().unwrap().is_empty() {
        assert!(start.elapsed() < Duration::from_secs(20), "it is still there");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_young_webhook_may_be_inactive_for_a_while_and_has_its_secret_all_the_same() {
    let asana = Asana::start("{start: '2026-01-01T00:00:00Z', speed: 0, webhook_activation: 1m}").await;
    let (project, target) = (asana.project(), Target::start().await);
    let made = make(&asana, &project, &target.url).await;
    assert_eq!((made.status, &made.json()["data"]["active"]), (201, &json!(false)));
    assert!(made.json()["X-Hook-Secret"].is_string());
    let path = format!("/webhooks/{}", made.json()["data"]["gid"].as_str().unwrap());
    let active = async || asana.ok(&path).await.json()["data"]["active"].clone();
    offer(&asana, &project, &[event("1", "added")]).await;
    assert_eq!(active().await, json!(false));
    asana.post("/clock", json!({"advance": "1m"})).await;
    assert_eq!(active().await, json!(true));
    assert_eq!(target.events(1).await, Vec::<Value>::new(), "a heartbeat");
    offer(&asana, &project, &[event("2", "added")]).await;
    assert_eq!(target.events(2).await[0]["resource"]["gid"], "2", "what happened before isn't told");
}
