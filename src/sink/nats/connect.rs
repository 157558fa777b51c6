//! The connection to the servers.

use super::{NatsSettings, login};
use crate::fold::{CALM, Line, Over, SharedFold};
use crate::sink::SinkError;
use async_nats::client::Client;
use async_nats::{ConnectError, ConnectErrorKind, ConnectOptions, Event, ServerAddr, ServerError};
use std::error::Error;
use std::sync::LazyLock;
use std::time::Duration;

/// The timeout of the first connection, over all servers. After it, the client reconnects forever.
const FIRST_CONNECTION: Duration = Duration::from_secs(10);
/// The interval of pings. A connection that fails silently is noticed after two of them.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// The maximum pause between attempts to reconnect.
const LONGEST_RECONNECT_PAUSE: Duration = Duration::from_secs(2);

const NOBODY_THERE: &str =
    "check `sink.nats.servers`, that the servers run, and that nothing between keeps them apart from here";

/// Connects, logs in, and waits until the client is connected.
///
/// # Errors
/// [`SinkError::Setup`] for an address that isn't one, [`SinkError::Refused`] for credentials that the server rejects,
/// [`SinkError::Unavailable`] otherwise.
///
/// # Cancel safety
/// May be dropped and called again.
pub async fn connect(settings: &NatsSettings) -> Result<Client, SinkError> {
    let addresses = addresses(&settings.config.servers)?;
    let shown = shown(&addresses);
    let action = format!("connect to NATS at {shown}");
    let refused = |problem: String, remedy: &str| SinkError::Refused { problem, remedy: remedy.to_owned() };
    let credentials = "check credentialsFile, nkeySeed, token or user and password in sink.nats";
    // The client's own error would only be that it couldn't log in.
    login::auth(&settings.login, &[]).map_err(|problem| refused(problem, credentials))?;
    let connecting = options(settings).connect(addresses);
    match tokio::time::timeout(FIRST_CONNECTION, connecting).await {
        Ok(Ok(client)) => Ok(client),
        Ok(Err(error)) => Err(match error.kind() {
            ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
                refused(format!("NATS at {shown} doesn't accept the credentials: {error}"), credentials)
            }
            ConnectErrorKind::Tls | ConnectErrorKind::Io if is_tls(&error) => refused(
                format!("NATS at {shown} can't be reached by TLS: {error}"),
                "give the authority that signed the servers' certificates as sink.nats.tls.caFile, and see that \
                 sink.nats.servers has the names that the certificates have",
            ),
            ConnectErrorKind::ServerParse
            | ConnectErrorKind::Dns
            | ConnectErrorKind::TimedOut
            | ConnectErrorKind::Tls
            | ConnectErrorKind::Io
            | ConnectErrorKind::MaxReconnects => SinkError::unreached(action, error, NOBODY_THERE),
        }),
        Err(late) => Err(SinkError::unreached(action, late, NOBODY_THERE)),
    }
}

/// The addresses of the servers.
pub(super) fn addresses(servers: &[String]) -> Result<Vec<ServerAddr>, SinkError> {
    let addresses: Result<_, _> = servers.iter().map(|server| server.parse::<ServerAddr>()).collect();
    addresses.map_err(|error| SinkError::Setup {
        problem: format!("sink.nats.servers has an address that isn't one: {error}"),
        remedy: "write each as nats://host:4222".to_owned(),
    })
}

/// An address may contain a password: only host and port are shown.
pub(super) fn shown(addresses: &[ServerAddr]) -> String {
    let shown: Vec<_> = addresses.iter().map(|address| format!("{}:{}", address.host(), address.port())).collect();
    shown.join(", ")
}

/// Whether client and server don't agree on TLS, which isn't a failure of the network.
fn is_tls(error: &ConnectError) -> bool {
    let io = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
    error.kind() == ConnectErrorKind::Tls
        || io.and_then(std::io::Error::get_ref).is_some_and(<dyn Error + Send + Sync>::is::<rustls::Error>)
}

fn options(settings: &NatsSettings) -> ConnectOptions {
    let mut options = login::options(&settings.login)
        .name(format!("asana-event-bridge {}", settings.replica))
        .connection_timeout(FIRST_CONNECTION / 2)
        .ping_interval(PING_INTERVAL)
        .max_reconnects(None)
        .reconnect_delay_callback(|attempts| {
            let growth = u32::try_from(attempts.min(8)).unwrap_or(8);
            (Duration::from_millis(10) * 2_u32.pow(growth)).min(LONGEST_RECONNECT_PAUSE)
        })
        .event_callback(|event| async move { log(&event) });
    // The client reads these files at each connection.
    if let Some(tls) = &settings.config.tls {
        options = options.require_tls(true);
        if let Some(authorities) = &tls.ca_file {
            options = options.add_root_certificates(authorities.clone());
        }
        if let (Some(certificate), Some(key)) = (&tls.cert_file, &tls.key_file) {
            options = options.add_client_certificate(certificate.clone(), key.clone());
        }
    }
    options
}

/// The kinds of problems that events tell of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Problem {
    Connection,
    Login,
    Permissions,
}

/// The problems that last. All clients of the process together: they lose the same servers.
static PROBLEMS: LazyLock<SharedFold<Problem, ()>> = LazyLock::new(|| SharedFold::new(CALM));

/// The servers do what they should.
pub(in crate::sink) fn bus_works() {
    PROBLEMS.recover(&());
}

/// Writes a line for each problem that is over.
pub(in crate::sink) fn tell_over() {
    for (problem, Over { count, lasted }) in PROBLEMS.take_over() {
        tracing::info!(?problem, count, seconds = lasted.as_secs(), "problem with NATS is over");
    }
}

fn log(event: &Event) {
    match event {
        // A publish without permission gets no answer: this event is the only report of it.
        Event::ServerError(ServerError::Other(words)) if words.to_lowercase().contains("permissions violation") => {
            permission_denied(words);
        }
        Event::ServerError(ServerError::AuthorizationViolation) => {
            login_rejected();
        }
        Event::Connected => {
            bus_works();
            tracing::info!("connected to NATS");
        }
        Event::Draining | Event::Closed => tracing::debug!(%event, "connection to NATS closed"),
        Event::Disconnected
        | Event::LameDuckMode
        | Event::SlowConsumer(_)
        | Event::ServerError(_)
        | Event::ClientError(_) => connection_problem(event),
    }
}

fn permission_denied(words: &str) {
    const HINT: &str = "allow it in the user's permissions";
    match PROBLEMS.report(Problem::Permissions, ()) {
        Some(Line::Begins) => tracing::error!(reason = words, hint = HINT, "permission denied by NATS"),
        Some(Line::Lasts { count, lasted, .. }) => {
            let seconds = lasted.as_secs();
            tracing::error!(reason = words, hint = HINT, count, seconds, "permissions still denied by NATS");
        }
        None => {}
    }
}

fn login_rejected() {
    const HINT: &str = "the credentials in sink.nats are read at each attempt";
    match PROBLEMS.report(Problem::Login, ()) {
        Some(Line::Begins) => tracing::error!(hint = HINT, "login rejected by NATS, retrying"),
        Some(Line::Lasts { count, lasted, .. }) => {
            tracing::error!(hint = HINT, count, seconds = lasted.as_secs(), "login still rejected by NATS");
        }
        None => {}
    }
}

fn connection_problem(event: &Event) {
    match PROBLEMS.report(Problem::Connection, ()) {
        Some(Line::Begins) => tracing::warn!(%event, "problem with the connection to NATS"),
        Some(Line::Lasts { count, lasted, .. }) => {
            tracing::warn!(%event, count, seconds = lasted.as_secs(), "problem with the connection to NATS continues");
        }
        None => {}
    }
}
