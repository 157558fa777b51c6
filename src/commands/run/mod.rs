//! The command `run`: runs a bridge with a checked configuration.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `mod` | the wiring: the only file that knows all parts |
//! | `admission` | asks the sink whether this replica may join, before each session |
//! | `plan` | the configuration in the core's terms, and which changes need a restart |
//! | `readiness` | reports once that all streams are established |
//! | `reload` | notices changes of the configuration and of files with credentials |
//! | `tracer` | traces, or none |

mod admission;
mod plan;
mod readiness;
pub mod reload;
mod tracer;

use super::exit::{Exit, Failure};
use super::process::{runtime, stop_on_signal};
use crate::admin::Admin;
use crate::asana::{Accounts, ClientError, Listener};
use crate::bridge::{self, BridgeError};
use crate::config::{self, Checked, Environment, Source};
use crate::discovery::Discovery;
use crate::index::service::IndexHandle;
use crate::index::{Index, IndexError};
use crate::observe::{BridgeEvent, LogObserver, Observer, Observers};
use crate::sink::SinkError;
use crate::sink::any::Sink;
use crate::webhooks::{self, WebhookError, WebhookServer};
use admission::{Admission, HadCheckpoint};
use plan::{accounts, plan, replan};
use readiness::Readiness;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracer::Tracer;

/// Why a bridge didn't start, or ended with an error.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// An account can't be polled at all. The configuration must be corrected.
    #[error("account {account}: {source}")]
    Account {
        /// The account's name.
        account: String,
        /// Why it can't be polled.
        source: ClientError,
    },
    /// The index can't be opened.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The bridge ended with an error.
    #[error(transparent)]
    Bridge(#[from] BridgeError),
    /// The bus can't be read.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// Webhooks are configured, and their server can't run.
    #[error(transparent)]
    Webhooks(#[from] WebhookError),
}

impl RunError {
    /// Whether the configuration or the setup must be changed. If not, a later start may succeed.
    #[must_use]
    pub fn is_setup(&self) -> bool {
        match self {
            Self::Account { .. } | Self::Index(_) | Self::Bridge(BridgeError::Checkpoint(_)) => true,
            Self::Webhooks(error) => error.is_setup(),
            Self::Bridge(BridgeError::Sink(error)) | Self::Sink(error) => {
                matches!(error, SinkError::Refused { .. } | SinkError::Setup { .. })
            }
        }
    }
}

impl Failure for RunError {
    fn exit(&self) -> Exit {
        if self.is_setup() { Exit::Usage } else { Exit::Unavailable }
    }
}

/// The command: until it is stopped by a signal, or can't go on.
///
/// # Errors
/// The configuration's problems, [`RunError`], [`AdminError`](crate::admin::AdminError).
pub fn execute(source: &Source) -> Result<Exit, Box<dyn Failure>> {
    let environment = Environment::of_process();
    let checked = config::load(source, &environment)?;
    say_start(&checked);
    for warning in &checked.warnings {
        tracing::warn!(reason = %warning, "configuration warning");
    }
    let runtime = runtime()?;
    let tracer = Tracer::start(&checked, &environment, runtime.handle());
    let ended = runtime.block_on(serve(source, &environment, checked, &tracer));
    tracer.end();
    // A client of an unreachable bus may still be closing, on a thread that can't be interrupted. The end of the
    // process ends it, and the bus notices that by its timeouts.
    runtime.shutdown_background();
    ended
}

fn say_start(checked: &Checked) {
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        sink = checked.sink.name(),
        streams = checked.streams.len(),
        rules = checked.discovery.rules.len(),
        accounts = checked.accounts.len(),
        replica = checked.replica,
        "bridge starting"
    );
}

/// The bridge, its admin port, and the watch on its configuration: whichever ends first ends all.
async fn serve(
    source: &Source,
    environment: &Environment,
    checked: Checked,
    tracer: &Tracer,
) -> Result<Exit, Box<dyn Failure>> {
    let stop = stop_on_signal()?;
    let (reloads_to, reloads) = mpsc::channel(1);
    let admin = match &checked.admin {
        Some(admin) => Some(Admin::listen(admin, &checked).await?),
        None => None,
    };
    let readiness = Readiness::new(checked.crawl.initial);
    let mut observers = Observers(vec![Arc::new(LogObserver::default()), Arc::new(readiness)]);
    observers.0.extend(admin.as_ref().map(Admin::observer));
    observers.0.extend(tracer.observer());
    let observers = Arc::new(observers);
    let running = run(checked, reloads, Arc::<Observers>::clone(&observers), stop.clone());
    let serving = async {
        match admin {
            Some(admin) => admin.serve(stop).await,
            None => std::future::pending().await,
        }
    };
    let watching = async {
        reload::watch(source, environment, reloads_to, observers.as_ref()).await?;
        std::future::pending().await
    };
    tokio::select! {
        ended = running => ended?,
        failed = watching => return failed,
        never = serving => match never {},
    }
    Ok(Exit::Ok)
}

/// Runs the bridge until `stop`. A configuration from `reloads` replaces the current one, if it can do so without a
/// restart.
///
/// # Errors
/// [`RunError`]: the operator has to act. The bridge keeps retrying a bus that becomes unreachable.
///
/// # Cancel safety
/// Cancel through `stop`: then everything that was polled is committed first.
pub async fn run(
    checked: Checked,
    reloads: mpsc::Receiver<Checked>,
    observer: Arc<dyn Observer>,
    stop: CancellationToken,
) -> Result<(), RunError> {
    let affected = Arc::clone(&observer);
    let listener =
        Listener(Arc::new(move |account, change| affected.notify(&BridgeEvent::ApiChange { account, change })));
    let accounts = Arc::new(accounts(&Accounts::telling(listener), &checked)?);
    let discovery = Discovery::new(&checked, Arc::clone(&accounts));
    let (plans_to, plans) = watch::channel(Arc::new(plan(&checked, &discovery, accounts)));
    let sink = Sink::new(&checked);
    let had_checkpoint = Arc::new(HadCheckpoint::default());
    let admission = Admission::new(&checked, plans.clone(), Arc::clone(&had_checkpoint));
    let index = match &checked.index.path {
        Some(folder) => Index::open(folder)?,
        None => Index::temporary()?,
    };
    let index = IndexHandle::start(index).map_err(IndexError::Thread)?;
    // The streams for which webhooks request a poll.
    let (polls_to, polls) = mpsc::channel(webhooks::MAX_POLL_REQUESTS);
    // Room for one: a second renewal has the same effect.
    let (renewals_to, renewals) = mpsc::channel(1);
    let webhook_server = match &checked.webhooks {
        Some(config) => Some(WebhookServer::listen(config, polls_to, Arc::clone(&observer)).await?),
        None => None,
    };
    let mut observers: Vec<Arc<dyn Observer>> = vec![observer, had_checkpoint];
    observers.extend(webhook_server.as_ref().map(WebhookServer::observer));
    let observer: Arc<dyn Observer> = Arc::new(Observers(observers));
    let told = Arc::clone(&observer);
    let serving = {
        let plans = plans.clone();
        async {
            match webhook_server {
                Some(server) => Box::pin(server.run(plans)).await,
                None => std::future::pending().await,
            }
        }
    };
    tokio::select! {
        never = serving => match never {},
        ended = bridge::run(plans, || admission.open(), index, polls, renewals, observer, stop) => Ok(ended?),
        never = replan(checked.clone(), discovery, reloads, &plans_to, told.as_ref()) => match never {},
        never = reload::watch_files(sink.credential_files(), renewals_to) => match never {},
    }
}
