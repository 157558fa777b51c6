//! One request and its whole answer, bounded in time and size.

use crate::one_line::one_line;
use bridge_core::outcome::poll::Failure;
use chrono::{DateTime, Utc};
use reqwest::header::HeaderMap;
use reqwest::{Request, Response, StatusCode};
use std::time::{Duration, Instant, SystemTime};

/// The most that a page may weigh, unpacked. Asana gives at most 1,000 events for one
/// token; at a few hundred bytes each that is less than a hundredth of this.
const MAX_PAGE: usize = 64 << 20;

/// The most that is read of any other answer.
const MAX_OTHER: usize = 1 << 20;

/// What came back.
pub(super) struct HttpAnswer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// Apart from the status: a 429 says all it has to say before its body is cut.
    pub(super) body: Result<Vec<u8>, Failure>,
    /// From before the request was sent to the end of the answer.
    pub(super) took: Duration,
    /// When it ended, by the host's clock.
    pub(super) received_at: DateTime<Utc>,
}

/// Sends `request` and reads the answer to its end, all within `timeout`.
///
/// # Errors
/// Where no status came.
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
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failure)? {
        if body.len() + chunk.len() > limit {
            return Err(Failure::Malformed(format!("the answer is larger than {limit} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The URL is taken out: its query has the sync token.
fn failure(error: reqwest::Error) -> Failure {
    if error.is_timeout() {
        return Failure::TimedOut;
    }
    Failure::Connection(one_line(&error.without_url()))
}
