//! The HTTP endpoint for Asana's requests: handshakes of new webhooks, deliveries and heartbeats. All others are
//! refused.

use super::hooks::Hooks;
use super::peers::{FORWARDED, Peers};
use super::target::Targets;
use crate::observe::{BridgeEvent, Observer};
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

/// The largest body of a delivery, in bytes: room for thousands of events of some hundred bytes each.
const MAX_BODY: usize = 2 << 20;
/// The number of bodies that are read at once. With [`MAX_BODY`] it bounds the memory; further deliveries are answered with
/// 503, and Asana sends them again.
const AT_ONCE: usize = 16;
/// The time within which a body must arrive.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// The endpoint, with what it needs to verify a delivery and to request a poll.
pub(super) struct Endpoint {
    targets: Arc<Targets>,
    hooks: Arc<Hooks>,
    poll_requests: mpsc::Sender<StreamId>,
    peers: Option<Peers>,
    observer: Arc<dyn Observer>,
    places: Semaphore,
}

/// The outcome of a request.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    /// A poll of the stream was requested.
    PollRequested,
    /// The signature is valid, and the delivery has no events.
    Heartbeat,
    /// Another replica accepted it.
    Forwarded,
    /// The signature is missing or wrong, or no replica knows the webhook's secret.
    Unauthorized,
    /// Too many deliveries at once, or too many poll requests are waiting.
    Busy,
    /// The body did not arrive completely in time, or is too large.
    Unreadable,
    /// The address belongs to no stream.
    Unknown,
}

impl Outcome {
    fn label(self) -> &'static str {
        match self {
            Self::PollRequested => "poll_requested",
            Self::Heartbeat => "heartbeat",
            Self::Forwarded => "forwarded",
            Self::Unauthorized => "unauthorized",
            Self::Busy => "busy",
            Self::Unreadable => "unreadable",
            Self::Unknown => "unknown",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::PollRequested | Self::Heartbeat | Self::Forwarded => StatusCode::OK,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unreadable => StatusCode::BAD_REQUEST,
            Self::Unknown => StatusCode::NOT_FOUND,
        }
    }
}

pub(super) fn router(endpoint: Arc<Endpoint>) -> Router {
    Router::new().fallback(handle).with_state(endpoint)
}

async fn handle(State(endpoint): State<Arc<Endpoint>>, request: Request) -> Response {
    if let Some(handshake) = endpoint.handshake(&request) {
        return handshake;
    }
    let outcome = endpoint.answer(request).await;
    endpoint.observer.notify(&BridgeEvent::WebhookDelivered(outcome.label()));
    outcome.status().into_response()
}

impl Endpoint {
    pub(super) fn new(
        targets: Arc<Targets>,
        hooks: Arc<Hooks>,
        poll_requests: mpsc::Sender<StreamId>,
        peers: Option<Peers>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self { targets, hooks, poll_requests, peers, observer, places: Semaphore::new(AT_ONCE) }
    }

    /// Answers the handshake of a webhook on one of our addresses. The secret is not stored here: the replica that creates
    /// the webhook gets it from Asana's answer.
    fn handshake(&self, request: &Request) -> Option<Response> {
        let secret = request.headers().get(SECRET)?.clone();
        self.targets.stream_of_path(request.uri().path()).filter(|_| request.method() == Method::POST)?;
        self.observer.notify(&BridgeEvent::WebhookDelivered("handshake"));
        Some((StatusCode::OK, [(SECRET, secret)]).into_response())
    }

    async fn answer(&self, request: Request) -> Outcome {
        let (head, body) = request.into_parts();
        let stream = self.targets.stream_of_path(head.uri.path()).filter(|_| head.method == Method::POST);
        let Some(stream) = stream else { return Outcome::Unknown };
        let Some(signature) = head.headers.get(SIGNATURE) else { return Outcome::Unauthorized };
        let Ok(_place) = self.places.try_acquire() else { return Outcome::Busy };
        let Some(body) = read(body).await else { return Outcome::Unreadable };
        if self.hooks.verify(&stream, &body, signature.as_bytes()) {
            return if is_heartbeat(&body) { Outcome::Heartbeat } else { self.request_poll(stream) };
        }
        match &self.peers {
            Some(peers) if !head.headers.contains_key(FORWARDED) => {
                let accepted = peers.forward(head.uri.path(), signature, &body).await;
                if accepted { Outcome::Forwarded } else { Outcome::Unauthorized }
            }
            _ => Outcome::Unauthorized,
        }
    }

    fn request_poll(&self, stream: StreamId) -> Outcome {
        match self.poll_requests.try_send(stream) {
            Ok(()) => Outcome::PollRequested,
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => Outcome::Busy,
        }
    }
}

async fn read(body: Body) -> Option<axum::body::Bytes> {
    tokio::time::timeout(READ_TIMEOUT, to_bytes(body, MAX_BODY)).await.ok()?.ok()
}

/// Whether the list of events is empty. A body that can't be parsed counts as a delivery with events: an extra poll does
/// no harm.
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
