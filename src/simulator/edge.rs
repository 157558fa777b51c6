//! The thin edge: sockets, the true clock, and what goes wrong on the wire.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::State,
    http::{HeaderMap, HeaderValue, Request as HttpRequest, Response, StatusCode, header},
};
use futures_util::{StreamExt, stream};
use tokio::{net::TcpListener, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::{
    asana::Asana,
    http::{Answer, ApiError, Request},
    post::{self, Post},
};

/// Largest body of a request; injected events come in bulk.
const MOST_BYTES: usize = 1 << 30;

/// How often live events are made when nobody asks.
const TICK: Duration = Duration::from_millis(50);

/// The simulated Asana, shared between connections, and the true time.
#[derive(Debug)]
pub(crate) struct Shared {
    asana: Mutex<Asana>,
    started: Instant,
}

impl Shared {
    #[expect(clippy::disallowed_methods, reason = "an edge: the simulated clock starts here")]
    pub(crate) fn new(asana: Asana) -> Self {
        Self { asana: Mutex::new(asana), started: Instant::now() }
    }

    /// A panic of another caller leaves a world that may be odd, but is usable.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Asana> {
        self.asana.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

/// Serves until `stop`.
///
/// *Cancel safety*: dropping the future closes the listener; connections die with the runtime.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) -> io::Result<()> {
    let app = Router::new().fallback(handle).with_state(Arc::clone(&shared));
    let ended = stop.clone().cancelled_owned();
    let server = axum::serve(listener, app).with_graceful_shutdown(ended);
    tokio::select! {
        served = server => served,
        () = live(&shared, &stop) => Ok(()),
    }
}

/// Keeps the world going while nobody asks, and webhooks told; ends a moment after `stop`, so that
/// slow answers don't hold up the shutdown.
async fn live(shared: &Arc<Shared>, stop: &CancellationToken) {
    let mut post = Post::new();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while !stop.is_cancelled() {
        ticks.tick().await;
        post.send_due(shared);
    }
    tokio::time::sleep(4 * TICK).await;
}

/// Gives an account its place back, also when the client has hung up.
struct InFlight {
    shared: Arc<Shared>,
    account: Option<String>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(account) = &self.account {
            self.shared.lock().accounts.release(account);
        }
    }
}

async fn handle(State(shared): State<Arc<Shared>>, request: HttpRequest<Body>) -> Response<Body> {
    let mut answer = match read(request).await {
        Ok(request) => shared.lock().answer(shared.elapsed(), &request),
        Err(error) => error.into(),
    };
    let in_flight = InFlight { account: answer.holds.take(), shared: Arc::clone(&shared) };
    if let Some(handshake) = answer.handshake.take() {
        let told = post::send(&post::client(), &handshake).await;
        answer = shared.lock().shaken(&handshake.gid, told);
    }
    if !answer.delay.is_zero() {
        tokio::time::sleep(answer.delay).await;
    }
    drop(in_flight);
    respond(answer)
}

async fn read(request: HttpRequest<Body>) -> Result<Request, ApiError> {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, MOST_BYTES).await;
    let body = body.map_err(|error| ApiError::new(400, error.to_string()))?;
    let query = head.uri.query().unwrap_or_default();
    let host = text(&head.headers, header::HOST.as_str()).unwrap_or("localhost");
    Ok(Request {
        method: head.method.as_str().to_owned(),
        path: head.uri.path().to_owned(),
        query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        bearer: bearer(&head.headers),
        host: host.to_owned(),
        body,
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The scheme is told apart without regard to case, as HTTP wants it.
fn bearer(headers: &HeaderMap) -> Option<String> {
    let (scheme, token) = text(headers, header::AUTHORIZATION.as_str())?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

fn respond(answer: Answer) -> Response<Body> {
    let Answer { status, content_type, body, retry_after, cut, .. } = answer;
    let length = body.len();
    let body = match cut {
        None => Body::from(body),
        Some(at) => cut_off(body.slice(..at.min(length))),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    if let Some(seconds) = retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// A body that ends before its announced length: the connection is closed.
fn cut_off(first: Bytes) -> Body {
    let broken = async {
        // A body that has nothing for a moment makes the server send what it has.
        tokio::task::yield_now().await;
        Err(io::Error::new(io::ErrorKind::ConnectionAborted, "cut off on demand"))
    };
    let first = stream::iter([Ok(first)]);
    Body::from_stream(first.chain(stream::once(broken)))
}
