//! The connection to the servers.

use super::NatsSettings;
use crate::sink::SinkError;
use async_nats::client::Client;
use async_nats::{ConnectError, ConnectErrorKind, ConnectOptions, Event, ServerAddr, ServerError};
use std::error::Error;
use std::time::Duration;

/// How long the first connection may take, over all servers. After it, the client reconnects for ever.
const FIRST_CONNECTION: Duration = Duration::from_secs(10);
/// A dead connection is noticed after two of these.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// Pauses between attempts to reconnect grow to this.
const LONGEST_RECONNECT_PAUSE: Duration = Duration::from_secs(2);

/// Connects.
///
/// # Errors
/// [`SinkError::Setup`] for what the operator has to change, [`SinkError::Unavailable`] for what may pass.
pub async fn connect(settings: &NatsSettings) -> Result<Client, SinkError> {
    let servers = &settings.config.servers;
    let addresses: Result<Vec<ServerAddr>, _> = servers.iter().map(|server| server.parse::<ServerAddr>()).collect();
    let addresses = addresses.map_err(|error| SinkError::Setup {
        problem: format!("sink.nats.servers has an address that isn't one: {error}"),
        remedy: "write each as nats://host:4222".to_owned(),
    })?;
    // An address may hold a password: only host and port are shown.
    let shown: Vec<_> = addresses.iter().map(|address| format!("{}:{}", address.host(), address.port())).collect();
    let shown = shown.join(", ");
    let action = format!("connect to NATS at {shown}");
    let connecting = options(settings).await?.connect(addresses);
    match tokio::time::timeout(FIRST_CONNECTION, connecting).await {
        Ok(Ok(client)) => Ok(client),
        Ok(Err(error)) => Err(match error.kind() {
            ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => SinkError::Setup {
                problem: format!("NATS at {shown} doesn't accept the credentials: {error}"),
                remedy: "check credentialsFile, nkeySeed, token or user and password in sink.nats".to_owned(),
            },
            ConnectErrorKind::Tls | ConnectErrorKind::Io if is_tls(&error) => SinkError::Setup {
                problem: format!("NATS at {shown} can't be reached by TLS: {error}"),
                remedy:
                    "give the authority that signed the servers' certificates as sink.nats.tls.caFile, and see that \
                         sink.nats.servers has the names that the certificates have"
                        .to_owned(),
            },
            ConnectErrorKind::ServerParse
            | ConnectErrorKind::Dns
            | ConnectErrorKind::TimedOut
            | ConnectErrorKind::Tls
            | ConnectErrorKind::Io
            | ConnectErrorKind::MaxReconnects => SinkError::unavailable(action, error),
        }),
        Err(late) => Err(SinkError::unavailable(action, late)),
    }
}

/// Whether the two sides don't agree on TLS: no network does that.
fn is_tls(error: &ConnectError) -> bool {
    let io = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
    error.kind() == ConnectErrorKind::Tls
        || io.and_then(std::io::Error::get_ref).is_some_and(<dyn Error + Send + Sync>::is::<rustls::Error>)
}

async fn options(settings: &NatsSettings) -> Result<ConnectOptions, SinkError> {
    let config = &settings.config;
    let mut options = ConnectOptions::new()
        .name(format!("asana-event-bridge {}", settings.replica))
        .connection_timeout(FIRST_CONNECTION / 2)
        .ping_interval(PING_INTERVAL)
        .max_reconnects(None)
        .reconnect_delay_callback(|attempts| {
            let growth = u32::try_from(attempts.min(8)).unwrap_or(8);
            (Duration::from_millis(10) * 2_u32.pow(growth)).min(LONGEST_RECONNECT_PAUSE)
        })
        .event_callback(|event| async move { log(&event) });
    if let Some(path) = &config.credentials_file {
        options = options.credentials_file(path).await.map_err(|error| SinkError::Setup {
            problem: format!("sink.nats.credentialsFile {} can't be used: {error}", path.display()),
            remedy: "give the path of a credentials file (JWT and seed)".to_owned(),
        })?;
    }
    if let Some(seed) = &settings.nkey_seed {
        options = options.nkey(seed.clone());
    }
    if let Some(token) = &settings.token {
        options = options.token(token.clone());
    }
    if let Some(user) = &config.user {
        options = options.user_and_password(user.clone(), settings.password.clone().unwrap_or_default());
    }
    if let Some(tls) = &config.tls {
        options = options.require_tls(true);
        if let Some(authorities) = &tls.ca_file {
            options = options.add_root_certificates(authorities.clone());
        }
        if let (Some(certificate), Some(key)) = (&tls.cert_file, &tls.key_file) {
            options = options.add_client_certificate(certificate.clone(), key.clone());
        }
    }
    Ok(options)
}

fn log(event: &Event) {
    match event {
        // What was published is answered with silence: this is the only word on it.
        Event::ServerError(ServerError::Other(words)) if words.to_lowercase().contains("permissions violation") => {
            tracing::error!("NATS refuses: {words}: allow it in the user's permissions");
        }
        Event::Connected => tracing::info!("connected to NATS"),
        Event::Draining | Event::Closed => tracing::debug!(%event, "the connection to NATS ends"),
        Event::Disconnected
        | Event::LameDuckMode
        | Event::SlowConsumer(_)
        | Event::ServerError(_)
        | Event::ClientError(_) => tracing::warn!(%event, "the connection to NATS has trouble"),
    }
}
