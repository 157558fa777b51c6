//! What Asana sends: the handshake of a new webhook, deliveries, heartbeats. All else is turned away.

use super::hooks::Hooks;
use super::peers::{PASSED_ON, Peers};
use super::target::Targets;
use crate::bridge::Observer;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use bridge_core::ids::StreamId;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{self, error::TrySendError};

const SECRET: HeaderName = HeaderName::from_static("x-hook-secret");
const SIGNATURE: HeaderName = HeaderName::from_static("x-hook-signature");

/// The most that a delivery may weigh: thousands of events, which are some hundred bytes each.
const MAX_BODY: usize = 2 << 20;
/// So many are read at once. With [`MAX_BODY`] it bounds the memory; who comes on top is asked to come again.
const AT_ONCE: usize = 16;
/// So long a body may take to arrive.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// See the [module](self).
pub(super) struct Door {
    targets: Arc<Targets>,
    hooks: Arc<Hooks>,
    rings: mpsc::Sender<StreamId>,
    peers: Option<Peers>,
    observer: Arc<dyn Observer>,
    places: Semaphore,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    /// The stream is to be polled.
    Rung,
    /// Genuine, and nothing happened.
    Heartbeat,
    /// Another replica took it.
    PassedOn,
    /// The signature is wrong, or of a webhook that no replica knows.
    Refused,
    /// Too many at once.
    Busy,
    /// It didn't arrive whole, or is too large.
    Unreadable,
    /// Nobody's address.
    Unknown,
}

impl Outcome {
    fn label(self) -> &'static str {
        match self {
            Self::Rung => "rung",
            Self::Heartbeat => "heartbeat",
            Self::PassedOn => "passed_on",
            Self::Refused => "refused",
            Self::Busy => "busy",
            Self::Unreadable => "unreadable",
            Self::Unknown => "unknown",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::Rung | Self::Heartbeat | Self::PassedOn => StatusCode::OK,
            Self::Refused => StatusCode::UNAUTHORIZED,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unreadable => StatusCode::BAD_REQUEST,
            Self::Unknown => StatusCode::NOT_FOUND,
        }
    }
}

pub(super) fn router(door: Arc<Door>) -> Router {
    Router::new().fallback(knock).with_state(door)
}

async fn knock(State(door): State<Arc<Door>>, request: Request) -> Response {
    if let Some(handshake) = door.shake(&request) {
        return handshake;
    }
    let outcome = door.answer(request).await;
    door.observer.rang(outcome.label());
    outcome.status().into_response()
}

impl Door {
    pub(super) fn new(
        targets: Arc<Targets>,
        hooks: Arc<Hooks>,
        rings: mpsc::Sender<StreamId>,
        peers: Option<Peers>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self { targets, hooks, rings, peers, observer, places: Semaphore::new(AT_ONCE) }
    }

    /// Says yes to a webhook on one of our addresses. Its secret is for who asked for it, who gets it from Asana's answer.
    fn shake(&self, request: &Request) -> Option<Response> {
        let secret = request.headers().get(SECRET)?.clone();
        self.targets.stream_of_path(request.uri().path()).filter(|_| request.method() == Method::POST)?;
        self.observer.rang("handshake");
        Some((StatusCode::OK, [(SECRET, secret)]).into_response())
    }

    async fn answer(&self, request: Request) -> Outcome {
        let (head, body) = request.into_parts();
        let stream = self.targets.stream_of_path(head.uri.path()).filter(|_| head.method == Method::POST);
        let Some(stream) = stream else { return Outcome::Unknown };
        let Some(signature) = head.headers.get(SIGNATURE) else { return Outcome::Refused };
        let Ok(_place) = self.places.try_acquire() else { return Outcome::Busy };
        let Some(body) = read(body).await else { return Outcome::Unreadable };
        if self.hooks.verify(&stream, &body, signature.as_bytes()) {
            return if is_heartbeat(&body) { Outcome::Heartbeat } else { self.ring(stream) };
        }
        match &self.peers {
            Some(peers) if !head.headers.contains_key(PASSED_ON) => {
                let took = peers.pass_on(head.uri.path(), signature, &body).await;
                if took { Outcome::PassedOn } else { Outcome::Refused }
            }
            _ => Outcome::Refused,
        }
    }

    fn ring(&self, stream: StreamId) -> Outcome {
        match self.rings.try_send(stream) {
            Ok(()) => Outcome::Rung,
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => Outcome::Busy,
        }
    }
}

async fn read(body: Body) -> Option<axum::body::Bytes> {
    tokio::time::timeout(READ_TIMEOUT, to_bytes(body, MAX_BODY)).await.ok()?.ok()
}

/// What is genuine and not understood is rather taken for news.
fn is_heartbeat(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Delivery {
        events: Vec<IgnoredAny>,
    }
    serde_json::from_slice(body).is_ok_and(|Delivery { events }| events.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_empty_list_of_events_is_a_heartbeat() {
        assert!(is_heartbeat(br#"{"events":[]}"#));
        for body in [r#"{"events":[{}]}"#, r#"{"events":[7]}"#, "{}", "", "[]", r#"{"events":null}"#] {
            assert!(!is_heartbeat(body.as_bytes()), "{body}");
        }
    }
}
