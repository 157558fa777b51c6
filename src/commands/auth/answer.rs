//! Receives the answer to a login: by a redirect of the browser to this machine, or pasted by the user.

use super::AuthError;
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, REFERRER_POLICY};
use axum::response::IntoResponse;
use axum::routing::get;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The path of the redirect address.
const PATH: &str = "/callback";

/// The time in which the last page has to reach the browser.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The maximum length of a pasted code, in bytes.
const MAX_CODE: u64 = 16 << 10;

/// A request of a browser that waits for its page.
#[derive(Debug)]
pub(super) struct Arrived {
    /// The query of the request: what Asana sent with the redirect, or what anybody else sent.
    pub(super) query: String,
    page: oneshot::Sender<(StatusCode, String)>,
}

impl Arrived {
    /// Shows a text to the user in the browser.
    pub(super) fn show(self, status: StatusCode, text: impl Into<String>) {
        // A browser that has left needs no page.
        self.page.send((status, text.into())).ok();
    }
}

/// Listens on this machine for the redirect. Dropping it closes the port.
#[derive(Debug)]
pub(super) struct Listener {
    arrived: mpsc::Receiver<Arrived>,
    stop: CancellationToken,
    servers: JoinSet<io::Result<()>>,
}

/// The redirect address of a listener on this port. It has the name of this machine as Asana's own example has it.
pub(super) fn redirect_uri(port: u16) -> String {
    format!("http://localhost:{port}{PATH}")
}

impl Listener {
    /// Listens on the port, on loopback addresses only.
    ///
    /// # Errors
    /// The port is in use, or can't be opened.
    ///
    /// # Cancel safety
    /// Dropping the future closes the port.
    pub(super) async fn bind(port: u16) -> Result<Self, AuthError> {
        let (to, arrived) = mpsc::channel(1);
        let router = Router::new().route(PATH, get(receive)).with_state(to);
        let (stop, mut servers) = (CancellationToken::new(), JoinSet::new());
        // A browser may take `localhost` for either address. Another program on the other one would get the code.
        for address in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
            let listener = match TcpListener::bind((address, port)).await {
                Ok(listener) => listener,
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(AuthError::PortInUse { port }),
                // A machine without IPv6.
                Err(_) if address.is_ipv6() => continue,
                Err(source) => return Err(AuthError::Port { port, source }),
            };
            let server = axum::serve(listener, router.clone()).with_graceful_shutdown(stop.clone().cancelled_owned());
            servers.spawn(server.into_future());
        }
        Ok(Self { arrived, stop, servers })
    }

    /// The next request.
    ///
    /// # Cancel safety
    /// Cancel safe: no request is lost.
    pub(super) async fn next(&mut self) -> Option<Arrived> {
        self.arrived.recv().await
    }

    /// Closes the port when the last page has reached the browser, or after a moment.
    pub(super) async fn close(mut self) {
        self.stop.cancel();
        let closing = async { while self.servers.join_next().await.is_some() {} };
        tokio::time::timeout(CLOSE_TIMEOUT, closing).await.ok();
    }
}

async fn receive(State(to): State<mpsc::Sender<Arrived>>, RawQuery(query): RawQuery) -> impl IntoResponse {
    let (page, text) = oneshot::channel();
    let arrived = Arrived { query: query.unwrap_or_default(), page };
    let (status, text) = match to.send(arrived).await {
        Ok(()) => text.await.ok(),
        Err(_closed) => None,
    }
    .unwrap_or_else(|| (StatusCode::GONE, "This login has ended.".to_owned()));
    // The address of this page has the code in it.
    (status, [(CACHE_CONTROL, "no-store"), (REFERRER_POLICY, "no-referrer")], text)
}

/// The line that the user pastes.
///
/// # Errors
/// Standard input fails, or ends before a line.
///
/// # Cancel safety
/// Not cancel safe: a thread keeps reading standard input.
pub(super) async fn pasted() -> Result<String, AuthError> {
    let mut line = String::new();
    BufReader::new(tokio::io::stdin().take(MAX_CODE)).read_line(&mut line).await?;
    if line.trim().is_empty() { Err(AuthError::NotPasted) } else { Ok(line) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpStream;

    /// A port that was free a moment ago.
    async fn free() -> u16 {
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
    }

    async fn ask(port: u16, path: &str) -> String {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn the_query_of_the_redirect_arrives_and_its_page_is_shown() {
        let port = free().await;
        let mut listener = Listener::bind(port).await.unwrap();
        let serve = async {
            let arrived = listener.next().await.unwrap();
            assert_eq!(arrived.query, "code=a%2Fb&state=s");
            arrived.show(StatusCode::OK, "done");
            listener.close().await;
        };
        let (answer, ()) = tokio::join!(ask(port, "/callback?code=a%2Fb&state=s"), serve);
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("done"), "{answer}");
        assert!(answer.contains("referrer-policy: no-referrer"), "{answer}");
        assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err(), "the port is closed");
    }

    #[tokio::test]
    async fn other_paths_are_nobodys() {
        let port = free().await;
        let _listener = Listener::bind(port).await.unwrap();
        assert!(ask(port, "/favicon.ico").await.starts_with("HTTP/1.1 404"));
    }

    #[tokio::test]
    async fn a_port_in_use_is_refused_whichever_address_has_it() {
        for address in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
            let Ok(other) = TcpListener::bind((address, 0)).await else { continue };
            let port = other.local_addr().unwrap().port();
            assert!(matches!(Listener::bind(port).await, Err(AuthError::PortInUse { .. })), "{address}");
        }
    }
}
