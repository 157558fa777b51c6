//! An HTTP server whose peers may be hostile: what they can hold is bounded, in connections and in time.
//!
//! The admin port and the webhooks' listener share a process with the connections to Asana and to the bus. Without a bound,
//! some hundred connections without a request would use up the process's file descriptors, and nothing would be polled.

use crate::clock::Clock;
use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// The number of connections of a listener. For one more, the one that has been without a request for longest is closed. Two
/// listeners leave half of 256 file descriptors, the smallest limit in use, to Asana, the bus and files.
pub const MAX_CONNECTIONS: usize = 64;
/// The time within which the head of a connection's first request must arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The time within which the head of each further request must arrive. Longer than the 60 s for which nginx and the load balancers
/// of clouds keep a connection that they don't use: else they would send requests into connections that are being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// The time that an answer may take to reach its peer when the connection has to make room for another.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a connection is doing.
#[derive(Clone, Copy, Debug)]
enum Activity {
    /// A request is being answered.
    Busy,
    /// It had no request yet, and was accepted then.
    New(Duration),
    /// The last answer was ready then.
    Idle(Duration),
}

/// What the task of a connection and the listener share.
#[derive(Clone)]
struct Shared {
    activity: Arc<Mutex<Activity>>,
    /// Some connection answered a request.
    answered: Arc<Notify>,
    /// The connection is to be closed.
    closing: CancellationToken,
}

impl Shared {
    fn get(&self) -> Activity {
        *self.activity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, activity: Activity) {
        *self.activity.lock().unwrap_or_else(PoisonError::into_inner) = activity;
    }

    fn is_new(&self) -> bool {
        matches!(self.get(), Activity::New(_))
    }

    /// Since when there is no request.
    fn idle_since(&self) -> Option<Duration> {
        match self.get() {
            Activity::Busy => None,
            Activity::New(since) | Activity::Idle(since) => Some(since),
        }
    }
}

/// The open connections.
struct Connections {
    clock: Clock,
    most: usize,
    tasks: JoinSet<()>,
    open: Vec<(AbortHandle, Shared)>,
    answered: Arc<Notify>,
}

/// Serves for ever, up to `most` connections at the same time.
///
/// # Cancel safety
/// Dropping the future closes the listener and all connections.
pub async fn serve(mut listener: TcpListener, router: Router, most: usize) -> Infallible {
    let mut connections =
        Connections { clock: Clock::start(), most, tasks: JoinSet::new(), open: Vec::new(), answered: Arc::default() };
    loop {
        // Errors are logged there, and waited out.
        let (socket, _) = Listener::accept(&mut listener).await;
        connections.make_room().await;
        connections.add(socket, router.clone());
    }
}

impl Connections {
    /// Closes the connection that has been without a request for longest, if there are too many. If all have one, waits for
    /// the first answer.
    async fn make_room(&mut self) {
        while self.tasks.try_join_next().is_some() {}
        while self.tasks.len() >= self.most {
            self.open.retain(|(task, _)| !task.is_finished());
            let idle = self.open.iter().filter_map(|(_, shared)| Some((shared.idle_since()?, shared)));
            if let Some((_, shared)) = idle.min_by_key(|(since, _)| *since) {
                shared.closing.cancel();
                self.tasks.join_next().await;
            } else {
                tokio::select! {
                    _ = self.tasks.join_next() => {}
                    () = self.answered.notified() => {}
                }
            }
        }
        self.open.retain(|(task, _)| !task.is_finished());
    }

    fn add(&mut self, socket: TcpStream, router: Router) {
        let shared = Shared {
            activity: Arc::new(Mutex::new(Activity::New(self.clock.now().monotonic))),
            answered: Arc::clone(&self.answered),
            closing: CancellationToken::new(),
        };
        let task = self.tasks.spawn(hold(socket, router, shared.clone(), self.clock));
        self.open.push((task, shared));
    }
}

/// Answers the requests of a connection until it ends.
async fn hold(socket: TcpStream, router: Router, shared: Shared, clock: Clock) {
    let router = TowerToHyperService::new(router);
    let answer = service_fn(|request| {
        shared.set(Activity::Busy);
        let answer = router.call(request);
        let shared = shared.clone();
        async move {
            let answer = answer.await;
            shared.set(Activity::Idle(clock.now().monotonic));
            shared.answered.notify_one();
            answer
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(IDLE_TIMEOUT);
    let mut connection = pin!(http.serve_connection(TokioIo::new(socket), answer));
    tokio::select! {
        // What is wrong with a connection is its peer's to know.
        _ = connection.as_mut() => return,
        () = shared.closing.cancelled() => {}
        () = unused(&shared) => {}
    }
    if !shared.is_new() {
        // The last answer may still be on its way.
        connection.as_mut().graceful_shutdown();
        tokio::time::timeout(CLOSE_TIMEOUT, connection).await.ok();
    }
}

/// Ends if no request came in time.
async fn unused(shared: &Shared) {
    tokio::time::sleep(HEAD_TIMEOUT).await;
    if !shared.is_new() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// Serves at most two connections. `/` answers at once, `/slow` after a minute, `/large` with more than sockets hold.
    async fn start() -> (SocketAddr, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let slow = async || {
            tokio::time::sleep(Duration::from_secs(60)).await;
            "slow"
        };
        let router = Router::new().route("/", get(async || "ok")).route("/slow", get(slow));
        let router = router.route("/large", get(async || "x".repeat(16 << 20) + "large"));
        let mut server = JoinSet::new();
        server.spawn(async move { match serve(listener, router, 2).await {} });
        (address, server)
    }

    async fn ask(socket: &mut TcpStream, path: &str) {
        socket.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
    }

    async fn answer(socket: &mut TcpStream, ends_with: &str) {
        let mut read = Vec::new();
        while !read.ends_with(ends_with.as_bytes()) {
            let count = socket.read_buf(&mut read).await.unwrap();
            assert!(count > 0, "closed after {:?}", String::from_utf8_lossy(&read));
        }
    }

    /// How long the server keeps the connection.
    async fn kept(mut socket: TcpStream) -> Duration {
        let clock = Clock::start();
        // The end, or an error after an abort.
        socket.read_to_end(&mut Vec::new()).await.ok();
        clock.now().monotonic
    }

    /// A paused clock jumps on while the system delivers bytes, so that it may show more.
    fn assert_near(found: Duration, expected: Duration) {
        let is_near = found + Duration::from_secs(1) > expected && found < 3 * expected;
        assert!(is_near, "{found:?} instead of {expected:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_request_is_closed() {
        let (address, _server) = start().await;
        assert_near(kept(TcpStream::connect(address).await.unwrap()).await, HEAD_TIMEOUT);
        let mut half = TcpStream::connect(address).await.unwrap();
        half.write_all(b"GET / HTTP/1.1\r\nhost: ").await.unwrap();
        assert_near(kept(half).await, HEAD_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_kept_for_further_requests_for_a_time() {
        let (address, _server) = start().await;
        let mut socket = TcpStream::connect(address).await.unwrap();
        for _ in 0..2 {
            ask(&mut socket, "/").await;
            answer(&mut socket, "ok").await;
            tokio::time::sleep(IDLE_TIMEOUT / 2).await;
        }
        assert_near(kept(socket).await, IDLE_TIMEOUT / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_answer_is_no_idle_connection() {
        let (address, _server) = start().await;
        let mut socket = TcpStream::connect(address).await.unwrap();
        ask(&mut socket, "/slow").await;
        answer(&mut socket, "slow").await;
    }

    #[tokio::test]
    async fn one_connection_too_many_costs_the_longest_idle_one() {
        let (address, _server) = start().await;
        let mut busy = TcpStream::connect(address).await.unwrap();
        ask(&mut busy, "/slow").await;
        let mut idle = Vec::new();
        for _ in 0..50 {
            idle.push(TcpStream::connect(address).await.unwrap());
        }
        let mut last = TcpStream::connect(address).await.unwrap();
        ask(&mut last, "/").await;
        answer(&mut last, "ok").await;
        for socket in idle {
            assert!(kept(socket).await < HEAD_TIMEOUT / 2);
        }
        let is_open = busy.try_read(&mut [0]).unwrap_err();
        assert_eq!(is_open.kind(), std::io::ErrorKind::WouldBlock);
    }

    #[tokio::test]
    async fn an_answer_on_its_way_is_read_to_its_end() {
        let (address, _server) = start().await;
        let mut reader = TcpStream::connect(address).await.unwrap();
        ask(&mut reader, "/large").await;
        reader.read_exact(&mut [0; 100]).await.unwrap();
        let mut others = [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
        for socket in &mut others {
            ask(socket, "/slow").await;
        }
        answer(&mut reader, "large").await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_waits_while_all_others_are_busy() {
        let (address, _server) = start().await;
        let mut busy = [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
        for socket in &mut busy {
            ask(socket, "/slow").await;
        }
        let mut third = TcpStream::connect(address).await.unwrap();
        ask(&mut third, "/").await;
        let clock = Clock::start();
        answer(&mut third, "ok").await;
        assert_near(clock.now().monotonic, Duration::from_secs(60));
    }
}
