//! One request and its whole answer, limited in time and size.

use crate::one_line::one_line;
use bridge_core::outcome::poll::Failure;
use chrono::{DateTime, Utc};
use reqwest::header::HeaderMap;
use reqwest::{Request, Response, StatusCode};
use std::time::{Duration, Instant, SystemTime};

/// The maximum size of a page, uncompressed, in bytes. Asana returns at most 1,000 events for one token; at a few
/// hundred bytes each that is less than a hundredth of this.
const MAX_PAGE: usize = 64 << 20;

/// The maximum size of any other answer, in bytes.
const MAX_OTHER: usize = 1 << 20;

/// The largest memory that is reserved for an answer because it announces its size, in bytes.
const MOST_RESERVED: usize = 1 << 20;

/// What came back.
pub(super) struct HttpAnswer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// Separate from the status, because a 429 is complete without its body.
    pub(super) body: Result<Vec<u8>, Failure>,
    /// The time from the start of the request to the end of the answer.
    pub(super) took: Duration,
    /// The time when the answer was complete, by the host's clock.
    pub(super) received_at: DateTime<Utc>,
}

/// Sends `request` and reads the answer to its end, all within `timeout`.
///
/// # Errors
/// There was no answer with a status.
#[expect(clippy::disallowed_methods, reason = "an edge: how long an answer took, and when it was complete, are facts")]
pub(super) async fn exchange(
    client: &reqwest::Client,
    mut request: Request,
    timeout: Duration,
) -> Result<HttpAnswer, Failure> {
    *request.timeout_mut() = Some(timeout);
    let began = Instant::now();
    let response = client.execute(request).await.map_err(failure)?;
    let status = response.status();
    let headers = response.headers().clone();
    let limit = if status == StatusCode::OK { MAX_PAGE } else { MAX_OTHER };
    let body = read(response, limit).await;
    Ok(HttpAnswer { status, headers, body, took: began.elapsed(), received_at: SystemTime::now().into() })
}

async fn read(mut response: Response, limit: usize) -> Result<Vec<u8>, Failure> {
    let announced = response.content_length().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0);
    let mut body = Vec::with_capacity(announced.min(MOST_RESERVED));
    while let Some(chunk) = response.chunk().await.map_err(failure)? {
        if body.len() + chunk.len() > limit {
            return Err(Failure::Malformed(format!("the answer is larger than {limit} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The error without its URL, because the query contains the sync token.
fn failure(error: reqwest::Error) -> Failure {
    if error.is_timeout() {
        return Failure::TimedOut;
    }
    Failure::Connection(one_line(&error.without_url()))
}
