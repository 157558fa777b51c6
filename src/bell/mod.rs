//! A bell: Asana's webhooks say that something happened on a stream, and it is polled at once. What happened is never taken
//! from them: the bell decides when a stream is polled, and nothing else, so a lost or a forged one loses nothing.
//!
//! ```text
//!  Asana ──delivery──► door ──stream──► bridge: Engine::ring
//!    ▲                  │ └──whose secret isn't known here──► the other replicas' doors
//!    │                  └ hooks: whose secrets are
//!    └──list, make, delete── registrar ◄── owned shards, plan
//! ```
//!
//! Why so, and what else was thought of: `docs/decisions/webhooks.md`.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `door` | what Asana sends: handshakes, deliveries, and who may ring |
//! | `peers` | passes on what is for another replica |
//! | `target` | which address is whose; no IO |
//! | `hooks` | the webhooks that may ring here, with their secrets; no IO |
//! | `registrar` | makes, watches and replaces webhooks |
//! | `round` | one look at an account's webhooks, and what follows from it; no IO |

mod door;
mod hooks;
mod peers;
mod registrar;
mod round;
mod target;

use crate::asana::Accounts;
use crate::bridge::{Observer, Plan};
use crate::config::CheckedWebhooks;
use bridge_core::ids::{ShardId, StreamId};
use door::Door;
use hooks::Hooks;
use peers::Peers;
use registrar::Registrar;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use target::Targets;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

/// So many streams may have rung and not be seen by the bridge yet; past it Asana is asked to come again.
pub const RINGS: usize = 1024;

/// Why there is no bell.
#[derive(Debug, thiserror::Error)]
pub enum BellError {
    /// The address can't be listened on.
    #[error("webhooks.listen: can't listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The key can't be read.
    #[error("webhooks.key: {0}")]
    Key(io::Error),
    /// The listener failed.
    #[error("bell: {0}")]
    Serve(io::Error),
}

impl BellError {
    /// Whether somebody has to change the configuration; else the port is taken, which may pass.
    #[must_use]
    pub fn is_setup(&self) -> bool {
        match self {
            Self::Listen { source, .. } => source.kind() != io::ErrorKind::AddrInUse,
            Self::Key(_) => true,
            Self::Serve(_) => false,
        }
    }
}

/// A bell that listens.
pub struct Bell {
    listener: TcpListener,
    door: Arc<Door>,
    registrar: Registrar,
    owned_to: watch::Sender<Vec<ShardId>>,
}

impl std::fmt::Debug for Bell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bell").field("listener", &self.listener).finish_non_exhaustive()
    }
}

/// Hands on which shards are owned.
struct Owns(watch::Sender<Vec<ShardId>>);

impl Observer for Owns {
    fn ended(&self, _: &crate::bridge::SessionEnd) {
        self.0.send_replace(Vec::new());
    }

    fn owns(&self, shards: &[ShardId], _: usize) {
        self.0.send_replace(shards.to_vec());
    }
}

impl Bell {
    /// Listens. Nobody is answered before [`run`](Self::run). Streams that rang go to `rings`, and what happens is told
    /// to `observer`.
    ///
    /// # Errors
    /// [`BellError::Listen`], [`BellError::Key`].
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn listen(
        config: &CheckedWebhooks,
        rings: mpsc::Sender<StreamId>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, BellError> {
        let address = config.listen;
        let failed = |source| BellError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        tracing::info!(%address, "webhook server listening");
        let key = config.key.read().map_err(BellError::Key)?;
        let targets = Arc::new(Targets::new(&config.public_url, &key));
        let hooks = Arc::new(Hooks::default());
        let peers = (!config.peers.is_empty()).then(|| Peers::new(config.peers.clone()));
        let registrar =
            Registrar::new(config.interval, Arc::clone(&targets), Arc::clone(&hooks), Arc::clone(&observer));
        let door = Arc::new(Door::new(targets, hooks, rings, peers, observer));
        Ok(Self { listener, door, registrar, owned_to: watch::Sender::new(Vec::new()) })
    }

    /// To be told what the bridge owns.
    #[must_use]
    pub fn observer(&self) -> Arc<dyn Observer> {
        Arc::new(Owns(self.owned_to.clone()))
    }

    /// Serves, and keeps webhooks for what is owned of the newest plan, for ever.
    ///
    /// # Errors
    /// [`BellError::Serve`].
    ///
    /// # Cancel safety
    /// Dropping the future closes the listener. Webhooks stay: whoever has their streams next replaces them.
    pub async fn run(self, plans: watch::Receiver<Arc<Plan<Accounts>>>) -> Result<(), BellError> {
        let owned = self.owned_to.subscribe();
        tokio::select! {
            served = axum::serve(self.listener, door::router(self.door)).into_future() => {
                served.map_err(BellError::Serve)
            }
            never = self.registrar.run(plans, owned) => match never {},
        }
    }
}
