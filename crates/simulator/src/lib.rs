//! A simulated Asana for tests: streams, lists, limits and faults, with a ledger of all events.
//!
//! ```text
//!  HTTP ──► edge ──► Asana::answer(elapsed, request) ──► Answer
//!                      ├ accounts   which tokens may call, and how often
//!                      ├ oauth      how tokens are issued
//!                      ├ faults     what fails
//!                      ├ streams    what was offered, and sync tokens
//!                      └ world      objects, and users who change them
//! ```
//!
//! Everything except the edge is pure: equal seeds, requests and times give equal answers. `docs/simulator.md` is the
//! contract for scripts.

mod accounts;
mod actions;
mod arena;
mod asana;
mod consent;
mod control;
mod custom;
mod deeds;
mod delivery;
mod edge;
mod event;
mod faults;
mod fields;
mod http;
mod lists;
mod model;
mod oauth;
mod objects;
mod offsets;
mod orders;
mod pages;
mod places;
mod polls;
mod post;
mod scenario;
mod shared;
mod sight;
mod stream;
mod time;
mod webhook_api;
mod webhooks;
mod words;
mod world;

use std::{
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::Value;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use self::{asana::Asana, shared::Shared, time::Timestamp};
pub use self::{
    faults::{Endpoint, Fault, FaultKind, GarbageBody, Part},
    fields::event_fields,
    scenario::{
        DateHeader, HeavyPage, Limits, NextToken, OAuth, Pages, Scenario, SupersededTokens, TokenSpec, TypeField,
        Weight, WorldSize,
    },
    time::Span,
};

/// Arguments of `simulate`.
#[derive(Debug, Clone, clap::Args)]
pub struct SimulateArgs {
    /// The address and port to listen on. Port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8888")]
    pub listen: SocketAddr,
    /// The scenario file (YAML). Default: a small world with one event per second
    #[arg(long, value_name = "FILE")]
    pub scenario: Option<PathBuf>,
    /// The seed, instead of the scenario's
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Live events per second over the whole world, instead of the scenario's
    #[arg(long, value_name = "N")]
    pub rate: Option<f64>,
    /// A service account's bearer token, instead of the scenario's tokens. May be repeated
    #[arg(long = "token", value_name = "T")]
    pub tokens: Vec<String>,
}

/// Why a simulator can't start, or has ended.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    /// The scenario file can't be read.
    #[error("scenario {path}: {source}")]
    ScenarioFile {
        /// The path of the scenario file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The scenario is invalid. The text names the line or the field.
    #[error("scenario: {0}")]
    Scenario(String),
    /// Listening on the address failed.
    #[error("listen on {address}: {source}")]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// The operating system's error.
        source: io::Error,
    },
    /// The listener, a signal handler or stdout failed.
    #[error("simulator: {0}")]
    Serve(#[from] io::Error),
}

/// The options of an in-process [`Simulator`].
#[derive(Debug, Clone)]
pub struct Options {
    /// The address to listen on. Default: a free port on loopback (port 0).
    pub listen: SocketAddr,
    /// The scenario to simulate.
    pub scenario: Scenario,
}

impl Default for Options {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), scenario: Scenario::default() }
    }
}

/// A simulated Asana that serves HTTP until it is shut down or dropped.
#[derive(Debug)]
pub struct Simulator {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
    server: JoinSet<io::Result<()>>,
}

impl Simulator {
    /// Starts to listen and to serve.
    ///
    /// # Errors
    /// The scenario contradicts itself, or the address is in use.
    ///
    /// *Cancel safety*: dropping the future closes the listener.
    pub async fn start(options: Options) -> Result<Self, SimulatorError> {
        let Options { listen, scenario } = options;
        if let Some(problem) = scenario.problem() {
            return Err(SimulatorError::Scenario(problem));
        }
        let failed = |source| SimulatorError::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::new(Asana::new(&scenario, wall_clock())));
        let stop = CancellationToken::new();
        let mut server = JoinSet::new();
        server.spawn(edge::serve(listener, Arc::clone(&shared), stop.clone()));
        Ok(Self { address, shared, stop, server })
    }

    /// `http://127.0.0.1:PORT`, without the `/api/1.0` of the API.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops serving. Answers in flight have 200 ms to end.
    ///
    /// *Cancel safety*: if dropped, the server ends at once.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        while self.server.join_next().await.is_some() {}
    }

    /// Offers exactly these events on the stream of `resource`. If the world has no such gid, creates a project without
    /// tasks. Returns the number of events that were offered there so far.
    #[expect(clippy::must_use_candidate, reason = "called for its effect")]
    pub fn offer(&self, resource: &str, events: Vec<Value>) -> usize {
        let texts = events.into_iter().map(|event| Arc::from(event.to_string()));
        let mut asana = self.shared.lock();
        let now = asana.advance(self.shared.elapsed());
        asana.inject(resource, texts, now)
    }

    /// Everything offered on the stream of `resource`, in order. A value that [`Value`] can't hold, such as `1e400`, is
    /// a JSON string with its text.
    #[must_use]
    pub fn ledger(&self, resource: &str) -> Vec<Value> {
        let parse = |text: &Arc<str>| serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_string()));
        self.ledger_raw(resource).iter().map(parse).collect()
    }

    /// Everything offered on the stream of `resource`, in order, byte for byte.
    #[must_use]
    pub fn ledger_raw(&self, resource: &str) -> Vec<Arc<str>> {
        let asana = self.shared.lock();
        let Some(stream) = asana.streams.get(resource) else {
            return Vec::new();
        };
        stream.events(0, stream.offered()).cloned().collect()
    }

    /// The time when each event of [`Self::ledger`] became visible to a poller of `resource`, by the simulated clock:
    /// after its `delay`, and after any silence. A future time is the expected one; `None` in a silence without a known
    /// end.
    #[must_use]
    pub fn ledger_visible(&self, resource: &str) -> Vec<Option<SystemTime>> {
        let mut asana = self.shared.lock();
        let now = asana.advance(self.shared.elapsed());
        asana.reveal(resource, now);
        let Some(stream) = asana.streams.get(resource) else {
            return Vec::new();
        };
        stream.visible_at(|at| asana.faults.heard_from(resource, at)).map(|at| at.map(Timestamp::system)).collect()
    }

    /// The number of events that were offered on the stream of `resource`.
    #[must_use]
    pub fn offered(&self, resource: &str) -> usize {
        self.shared.lock().streams.get(resource).map_or(0, stream::Stream::offered)
    }

    /// The number of events in the ledger before the first sync token, which no poller can have seen; `None` without a
    /// token.
    #[must_use]
    pub fn established_at(&self, resource: &str) -> Option<usize> {
        self.shared.lock().streams.get(resource)?.established_at()
    }

    /// The gids of all streams on which something was offered or that were polled.
    #[must_use]
    pub fn resources(&self) -> Vec<String> {
        let asana = self.shared.lock();
        asana.streams.keys().map(ToString::to_string).collect()
    }

    /// The gids of all projects, in the order of their creation.
    #[must_use]
    pub fn projects(&self) -> Vec<String> {
        let asana = self.shared.lock();
        let projects = asana.world.projects.iter();
        projects.map(|(_, project)| project.gid.to_string()).collect()
    }

    /// The gids of all workspaces.
    #[must_use]
    pub fn workspaces(&self) -> Vec<String> {
        let asana = self.shared.lock();
        let workspaces = asana.world.workspaces.iter();
        workspaces.map(|(_, workspace)| workspace.gid.to_string()).collect()
    }

    /// Sets the rate of live events, per second over the whole world; 0 stops them.
    pub fn set_rate(&self, events_per_second: f64) {
        let rate = if events_per_second.is_finite() { events_per_second.max(0.0) } else { 0.0 };
        let elapsed = self.shared.elapsed();
        let mut asana = self.shared.lock();
        asana.advance(elapsed);
        asana.pace.set(elapsed, rate);
    }

    /// Starts a fault, or performs it at once (see [`FaultKind`]).
    ///
    /// # Errors
    /// The fault contradicts itself; the message names the field.
    pub fn fault(&self, fault: Fault) -> Result<(), SimulatorError> {
        if let Some(problem) = fault.problem() {
            return Err(SimulatorError::Scenario(problem));
        }
        let mut asana = self.shared.lock();
        let now = asana.advance(self.shared.elapsed());
        asana.apply(fault, now);
        Ok(())
    }

    /// The content of `GET /_sim/stats`: requests and rejections per token.
    #[must_use]
    pub fn stats(&self) -> Value {
        self.shared.lock().stats()
    }
}

/// Runs `simulate`: prints `listening on http://ADDR` as the first line of
/// stdout, then serves until SIGINT or SIGTERM.
///
/// # Errors
/// A bad scenario or address (usage), or a listener that fails.
///
/// *Cancel safety*: dropping the future ends the server.
pub async fn run(args: SimulateArgs) -> Result<(), SimulatorError> {
    let mut scenario = match &args.scenario {
        Some(path) => read_scenario(path)?,
        // Without a scenario, so that something happens.
        None => Scenario { rate: 1.0, ..Scenario::default() },
    };
    if let Some(rate) = args.rate {
        scenario.rate = rate;
    }
    if let Some(seed) = args.seed {
        scenario.seed = seed;
    }
    if let Some(first) = args.tokens.first() {
        if let Some(oauth) = &mut scenario.oauth {
            oauth.account.clone_from(first);
        }
        scenario.tokens = args.tokens.into_iter().map(TokenSpec::service_account).collect();
    }
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let mut simulator = Simulator::start(Options { listen: args.listen, scenario }).await?;
    let mut out = io::stdout();
    writeln!(out, "listening on {}", simulator.url())?;
    out.flush()?;
    tokio::select! {
        signal = tokio::signal::ctrl_c() => signal?,
        _ = terminate.recv() => {}
        ended = simulator.server.join_next() => {
            let ended = ended.map(|joined| joined.map_err(io::Error::other));
            return Ok(ended.transpose()?.transpose().map(drop)?);
        }
    }
    simulator.shutdown().await;
    Ok(())
}

fn read_scenario(path: &PathBuf) -> Result<Scenario, SimulatorError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| SimulatorError::ScenarioFile { path: path.clone(), source })?;
    let named = |problem| SimulatorError::Scenario(format!("{}: {problem}", path.display()));
    Scenario::parse(&text).map_err(named)
}

/// The real time, at which a world without a `start` begins.
#[expect(clippy::disallowed_methods, reason = "an edge: read once, at the start")]
fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
