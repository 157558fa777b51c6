//! Requests and answers as the simulated Asana sees them: no sockets.

use std::time::Duration;

use axum::body::Bytes;
use serde_json::{Value, json};

use super::delivery::Delivery;

/// Asana's message for a first poll and for an expired token.
pub(crate) const TOKEN_RESET: &str = "Sync token invalid or too old. If you are attempting to keep resources in sync, you must fetch the full dataset for this query now and use the new sync token for the next sync.";

/// Asana's message for any rate limit.
const THROTTLED: &str =
    "You've made too many requests and hit a rate limit. Please retry after the given amount of time.";

pub(crate) const JSON: &str = "application/json; charset=UTF-8";

/// A parsed request: everything that an answer may depend on.
#[derive(Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    /// The token after `Bearer ` in the `Authorization` header.
    pub(crate) bearer: Option<String>,
    /// The `Host` header, for `next_page.uri`.
    pub(crate) host: String,
    pub(crate) body: Bytes,
}

impl Request {
    /// The first value of a query parameter. An empty one counts as missing, as in Asana.
    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// A switch such as `opt_pretty`, which is also on without a value.
    pub(crate) fn switch(&self, name: &str) -> bool {
        let found = self.query.iter().find(|(key, _)| key == name);
        found.is_some_and(|(_, value)| value != "false")
    }

    /// Path segments below `prefix`.
    pub(crate) fn below(&self, prefix: &str) -> Option<Vec<&str>> {
        let rest = self.path.strip_prefix(prefix)?;
        Some(rest.split('/').filter(|part| !part.is_empty()).collect())
    }
}

/// An answer, with its faults.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) body: Bytes,
    /// The seconds for `Retry-After`.
    pub(crate) retry_after: Option<u64>,
    /// The delay before the first byte.
    pub(crate) delay: Duration,
    /// The number of bytes of the body after which the connection is closed.
    pub(crate) cut: Option<usize>,
    /// The account whose request is in flight until the answer is sent.
    pub(crate) holds: Option<String>,
    /// A webhook's handshake that is done first. Its outcome is the answer.
    pub(crate) handshake: Option<Delivery>,
    /// Further headers, whose names and values are legal.
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl Answer {
    pub(crate) fn bytes(status: u16, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            content_type: JSON,
            body: body.into(),
            retry_after: None,
            delay: Duration::ZERO,
            cut: None,
            holds: None,
            handshake: None,
            headers: Vec::new(),
        }
    }

    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::bytes(status, body.to_string())
    }

    pub(crate) fn ok(body: &Value) -> Self {
        Self::json(200, body)
    }

    /// The answer with the headers that RFC 6749 (section 5.1) wants where there are tokens.
    pub(crate) fn unstored(mut self) -> Self {
        self.headers.extend(["cache-control", "pragma"].map(|name| (name, "no-store".to_owned())));
        self
    }
}

/// An error in the form of Asana's errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: u16,
    pub(crate) message: String,
}

impl ApiError {
    pub(crate) fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    pub(crate) fn missing(field: &str) -> Self {
        Self::new(400, format!("{field}: Missing input"))
    }

    pub(crate) fn unrecognized(field: &str, gid: &str) -> Self {
        Self::new(400, format!("{field}: Not a recognized ID: {gid}"))
    }

    pub(crate) fn unknown(field: &str, gid: &str) -> Self {
        Self::new(404, format!("{field}: Unknown object: {gid}"))
    }

    pub(crate) fn no_route() -> Self {
        Self::new(404, "No matching route for request")
    }
}

impl From<ApiError> for Answer {
    fn from(error: ApiError) -> Self {
        let help = "For more information on API status codes and how to handle them, \
                    read the docs on errors: https://developers.asana.com/docs/errors";
        let body = json!({"errors": [{"message": error.message, "help": help}]});
        Self::json(error.status, &body)
    }
}

/// A 429 with this number of seconds.
pub(crate) fn throttled(wait: u64) -> Answer {
    let mut answer: Answer = ApiError::new(429, THROTTLED).into();
    answer.retry_after = Some(wait);
    answer
}

/// Asana's message for a status, if nothing else is known.
pub(crate) fn message_of(status: u16) -> &'static str {
    match status {
        401 => "Not Authorized",
        402 => "This feature is only available to premium users.",
        403 => "You do not have access to this project.",
        404 => "Unknown object",
        412 => TOKEN_RESET,
        451 => "Unavailable for legal reasons",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        400..=499 => "Bad request",
        _ => "Server Error",
    }
}
