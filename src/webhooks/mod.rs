//! Webhooks: Asana reports that something happened on a stream, and the stream is polled at once. Events are never taken
//! from a webhook: it decides when a stream is polled, and nothing else, so a lost or a forged delivery loses nothing.
//!
//! ```text
//!  Asana ──delivery──► endpoint ──stream──► bridge: Engine::request_poll
//!    ▲                  │ └──secret not known here──► the other replicas' endpoints
//!    │                  └ hooks: secrets known here
//!    └──list, create, delete── registrar ◄── owned shards, plan
//! ```
//!
//! The reasons and the alternatives: `docs/decisions/webhooks.md`.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `endpoint` | receives handshakes and deliveries, and verifies them |
//! | `peers` | forwards deliveries to other replicas |
//! | `target` | the address of each stream's webhook; no IO |
//! | `hooks` | the webhooks created here, with their secrets; no IO |
//! | `registrar` | creates, checks and replaces webhooks |
//! | `round` | one check of an account's webhooks, and the requests that follow from it; no IO |

mod endpoint;
mod hooks;
mod peers;
mod registrar;
mod round;
mod target;

use crate::asana::Accounts;
use crate::bridge::Plan;
use crate::config::CheckedWebhooks;
use crate::http_server::{self, MAX_CONNECTIONS};
use crate::observe::{BridgeEvent, Observer};
use bridge_core::ids::{ShardId, StreamId};
use endpoint::Endpoint;
use hooks::Hooks;
use peers::Peers;
use registrar::Registrar;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use target::Targets;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

/// The number of poll requests that may wait for the bridge. Further deliveries are answered with 503, and Asana sends them
/// again.
pub const MAX_POLL_REQUESTS: usize = 1024;

/// Why webhooks can't be received.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// Listening on the address failed.
    #[error("webhooks.listen: can't listen on {address}: {source}")]
    Listen {
        /// The configured address, `webhooks.listen`.
        address: SocketAddr,
        /// The operating system's error.
        source: io::Error,
    },
    /// The key can't be read.
    #[error("webhooks.key: {0}")]
    Key(io::Error),
}

impl WebhookError {
    /// Whether the configuration must be changed. If not, the port is in use, which may pass.
    #[must_use]
    pub fn is_setup(&self) -> bool {
        match self {
            Self::Listen { source, .. } => source.kind() != io::ErrorKind::AddrInUse,
            Self::Key(_) => true,
        }
    }
}

/// Receives deliveries, and maintains the webhooks at Asana.
pub struct WebhookServer {
    listener: TcpListener,
    endpoint: Arc<Endpoint>,
    registrar: Registrar,
    owned_to: watch::Sender<Vec<ShardId>>,
}

impl std::fmt::Debug for WebhookServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookServer").field("listener", &self.listener).finish_non_exhaustive()
    }
}

/// Passes on the owned shards.
struct Owns(watch::Sender<Vec<ShardId>>);

impl Observer for Owns {
    #[expect(clippy::wildcard_enum_match_arm, reason = "it follows a few events only")]
    fn notify(&self, event: &BridgeEvent<'_>) {
        match event {
            BridgeEvent::SessionEnded(_) => drop(self.0.send_replace(Vec::new())),
            BridgeEvent::OwnershipChanged { shards, .. } => drop(self.0.send_replace(shards.to_vec())),
            _ => {}
        }
    }
}

impl WebhookServer {
    /// Starts to listen. Requests are answered once [`run`](Self::run) is called. Streams to poll go to
    /// `poll_requests`, outcomes to `observer`.
    ///
    /// # Errors
    /// [`WebhookError::Listen`] if listening on the address fails, [`WebhookError::Key`] if the key can't be read.
    ///
    /// # Cancel safety
    /// Cancel safe: dropping the future closes the listener.
    pub async fn listen(
        config: &CheckedWebhooks,
        poll_requests: mpsc::Sender<StreamId>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, WebhookError> {
        let address = config.listen;
        let failed = |source| WebhookError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        tracing::info!(%address, "webhook server listening");
        let key = config.key.read().map_err(WebhookError::Key)?;
        let targets = Arc::new(Targets::new(&config.public_url, &key));
        let hooks = Arc::new(Hooks::default());
        let peers = (!config.peers.is_empty()).then(|| Peers::new(config.peers.clone()));
        let registrar =
            Registrar::new(config.interval, Arc::clone(&targets), Arc::clone(&hooks), Arc::clone(&observer));
        let endpoint = Arc::new(Endpoint::new(targets, hooks, poll_requests, peers, observer));
        Ok(Self { listener, endpoint, registrar, owned_to: watch::Sender::new(Vec::new()) })
    }

    /// The observer through which the server learns the owned shards.
    #[must_use]
    pub fn observer(&self) -> Arc<dyn Observer> {
        Arc::new(Owns(self.owned_to.clone()))
    }

    /// Serves, and keeps webhooks registered for the owned streams of the newest plan, for ever.
    ///
    /// # Cancel safety
    /// Dropping the future closes the listener. Webhooks stay at Asana: the next owner of their streams replaces them.
    pub async fn run(self, plans: watch::Receiver<Arc<Plan<Accounts>>>) -> Infallible {
        let owned = self.owned_to.subscribe();
        let router = endpoint::router(self.endpoint);
        tokio::select! {
            never = http_server::serve(self.listener, router, MAX_CONNECTIONS) => never,
            never = self.registrar.run(plans, owned) => never,
        }
    }
}
