//! The thin layer of IO: sockets, the real clock, and faults of the connection.

use std::{io, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::State,
    http::{HeaderMap, HeaderValue, Request as HttpRequest, Response, StatusCode, header},
};
use futures_util::{StreamExt, stream};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;

use super::{
    http::{Answer, ApiError, Request},
    post::{self, Post},
    shared::Shared,
    time::Timestamp,
};

/// The maximum size of a request's body, in bytes: many events may be injected at once.
const MOST_BYTES: usize = 1 << 30;

/// The interval at which live events are made without requests.
const TICK: Duration = Duration::from_millis(50);

/// Serves until `stop`.
///
/// *Cancel safety*: dropping the future closes the listener and all connections.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) -> io::Result<()> {
    let app = Router::new().fallback(handle).with_state(Arc::clone(&shared));
    tokio::select! {
        () = accept(listener, app, &stop) => Ok(()),
        () = live(&shared, &stop) => Ok(()),
    }
}

/// Accepts connections until `stop`, then waits for those that are left.
///
/// *Cancel safety*: dropping the future closes the listener and all connections.
async fn accept(listener: TcpListener, app: Router, stop: &CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(stream, app.clone(), stop.clone()));
                }
                // There are no file descriptors left, or the client is gone already.
                Err(_) => tokio::time::sleep(TICK).await,
            },
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// One connection. Its answers have only the `Date` that we give them.
async fn converse(stream: TcpStream, app: Router, stop: CancellationToken) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().auto_date_header(false);
    builder.http2().auto_date_header(false);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    tokio::pin!(connection);
    // An error of the connection concerns only its client.
    tokio::select! {
        _ended = connection.as_mut() => {}
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await.ok();
        }
    }
}

/// Keeps the world and the webhooks going without requests. Ends a moment after `stop`, so that slow answers don't
/// delay the shutdown.
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

/// Ends an account's request in flight, also when the client has disconnected.
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

/// The simulated time when an answer was made, for its `Date`.
struct Stamp {
    date: Option<Timestamp>,
    elapsed: Duration,
}

async fn handle(State(shared): State<Arc<Shared>>, request: HttpRequest<Body>) -> Response<Body> {
    let request = read(request).await;
    let (mut answer, stamp) = {
        let mut asana = shared.lock();
        let elapsed = shared.elapsed();
        let answer = request.map_or_else(Answer::from, |request| asana.answer(elapsed, &request));
        (answer, Stamp { date: asana.date(elapsed), elapsed })
    };
    let in_flight = InFlight { account: answer.holds.take(), shared: Arc::clone(&shared) };
    if let Some(handshake) = answer.handshake.take() {
        let told = post::send(&post::client(), &handshake).await;
        answer = shared.lock().shaken(&handshake.gid, told, shared.elapsed());
    }
    if !answer.delay.is_zero() {
        tokio::time::sleep(answer.delay).await;
    }
    drop(in_flight);
    // The real time since then: later actions of users aren't in the answer, however fast the simulated clock is.
    let date = stamp.date.map(|date| date.plus(shared.elapsed().saturating_sub(stamp.elapsed)));
    respond(answer, date)
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

/// The token. HTTP's scheme `Bearer` is matched in any case.
fn bearer(headers: &HeaderMap) -> Option<String> {
    let (scheme, token) = text(headers, header::AUTHORIZATION.as_str())?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

fn respond(answer: Answer, date: Option<Timestamp>) -> Response<Body> {
    let Answer { status, content_type, body, retry_after, cut, headers: further, .. } = answer;
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
    for (name, value) in further {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    if let Some(date) = date.and_then(|date| HeaderValue::try_from(date.http()).ok()) {
        headers.insert(header::DATE, date);
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
