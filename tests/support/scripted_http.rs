//! An HTTP server that follows a script, byte for byte, and refuses what isn't in it.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// What the server does with one request, on a connection of its own.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Sends these bytes and closes.
    Send(Vec<u8>),
    /// Sends these bytes and then nothing, until the client gives up.
    SendAndStall(Vec<u8>),
    /// Waits for [`ScriptedHttp::go_on`], then sends these bytes and closes.
    SendWhenTold(Vec<u8>),
}

/// An answer of `status` whose body is `body`, with further header lines.
pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Step {
    Step::Send(bytes(status, headers, body))
}

/// The bytes of such an answer.
pub(crate) fn bytes(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut bytes = head(status, headers, body.len());
    bytes.extend_from_slice(body);
    bytes
}

/// The head of an answer that promises `length` bytes.
pub(crate) fn head(status: u16, headers: &[(&str, &str)], length: usize) -> Vec<u8> {
    let further: String = headers.iter().flat_map(|(name, value)| [name, ": ", value, "\r\n"]).collect();
    format!("HTTP/1.1 {status} Scripted\r\nconnection: close\r\ncontent-length: {length}\r\n{further}\r\n").into_bytes()
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    /// The first line, such as `GET /events HTTP/1.1`, and the header lines.
    pub(crate) head: String,
    /// The body.
    pub(crate) body: String,
}

impl Recorded {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|it| it.0.eq_ignore_ascii_case(name))
            .map(|it| it.1)
    }

    /// The path and query.
    pub(crate) fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// The decoded query, or the decoded form of the body.
    pub(crate) fn pairs(&self) -> Vec<(String, String)> {
        let encoded = self.target().split_once('?').map_or(self.body.as_str(), |it| it.1);
        url::form_urlencoded::parse(encoded.as_bytes()).into_owned().collect()
    }
}

#[derive(Default)]
struct Shared {
    script: VecDeque<Step>,
    requests: Vec<Recorded>,
    /// Requests that weren't in the script.
    refused: usize,
    told: Arc<Notify>,
}

/// The server; it stops when dropped.
pub(crate) struct ScriptedHttp {
    shared: Arc<Mutex<Shared>>,
    url: String,
    _tasks: JoinSet<()>,
}

impl ScriptedHttp {
    /// Starts on a free loopback port.
    pub(crate) async fn start(script: impl IntoIterator<Item = Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let shared = Arc::new(Mutex::new(Shared { script: script.into_iter().collect(), ..Shared::default() }));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&shared)));
        Self { shared, url, _tasks: tasks }
    }

    /// Where it listens, without a path.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<Recorded> {
        lock(&self.shared).requests.clone()
    }

    /// Lets one request go on that waits to be told, or the next that will.
    pub(crate) fn go_on(&self) {
        lock(&self.shared).told.notify_one();
    }

    /// The requests, after checking that they were those of the script.
    pub(crate) fn finish(self) -> Vec<Recorded> {
        let shared = lock(&self.shared);
        assert_eq!(shared.refused, 0, "a request wasn't in the script: {:?}", shared.requests);
        assert!(shared.script.is_empty(), "never asked for: {} steps", shared.script.len());
        shared.requests.clone()
    }
}

fn lock(shared: &Mutex<Shared>) -> std::sync::MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, shared: Arc<Mutex<Shared>>) {
    let mut connections = JoinSet::new();
    while let Ok((connection, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        // A client that hangs up in the middle is part of what is tested.
        connections.spawn(async move { drop(serve(connection, &shared).await) });
    }
}

async fn serve(mut connection: TcpStream, shared: &Mutex<Shared>) -> io::Result<()> {
    let request = read_request(&mut connection).await?;
    let step = {
        let mut shared = lock(shared);
        shared.requests.push(request);
        shared.script.pop_front().unwrap_or_else(|| {
            shared.refused += 1;
            answer(418, &[], "not in the script")
        })
    };
    let told = Arc::clone(&lock(shared).told);
    match step {
        Step::SendWhenTold(bytes) => {
            told.notified().await;
            connection.write_all(&bytes).await?;
        }
        Step::Send(bytes) => connection.write_all(&bytes).await?,
        Step::SendAndStall(bytes) => {
            connection.write_all(&bytes).await?;
            // Ends when the client does.
            connection.read_to_end(&mut Vec::new()).await?;
        }
    }
    connection.shutdown().await
}

async fn read_request(connection: &mut TcpStream) -> io::Result<Recorded> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let mut request = Recorded { head, body: String::new() };
            let length: usize = request.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
            if bytes.len() >= end + 4 + length {
                request.body = String::from_utf8_lossy(&bytes[end + 4..]).into_owned();
                return Ok(request);
            }
        }
        let read = tokio::time::timeout(Duration::from_secs(30), connection.read_buf(&mut bytes)).await;
        if read.map_err(io::Error::other)?? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
