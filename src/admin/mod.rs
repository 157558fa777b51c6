//! The admin port: probes, metrics, and the state of the replica for people and scripts. All of it is read-only.
//!
//! ```text
//! bridge ──Observer──► Watcher ──► /metrics       counted as it happens, or computed at each scrape
//!                         ├──────► /api/streams   all streams, those with trouble first
//!                         ├──────► /              the same as a page
//!                         └──────► /livez /readyz
//! ```

mod classic;
mod failures;
mod health;
mod hosts;
mod metrics;
mod process;
#[cfg(test)]
mod reference;
pub(crate) mod report;
mod sampled;
mod watcher;

pub use report::{
    AccountReport, CrawlReport, FailureReport, FreshnessReport, GapReport, PendingReport, Report, ShardReport,
    StreamReport, Totals,
};

use crate::clock::Clock;
use crate::config::{Checked, CheckedAdmin};
use crate::http_server::{self, MAX_CONNECTIONS};
use crate::observe::Observer;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use hosts::AllowedHosts;
use metrics::{Counted, PREFIX};
use prometheus_client::encoding::text;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use report::Asked;
use sampled::Sampled;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use watcher::{Facts, Watcher};

/// The status page may load and run its own files only, and no other page may embed it in a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The content type that `OpenMetrics` 1.0 defines.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Why there is no admin port.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Listening on the address failed.
    #[error("admin.listen: can't listen on {address}: {source}")]
    Listen {
        /// The configured address, `admin.listen`.
        address: SocketAddr,
        /// The operating system's error.
        source: io::Error,
    },
}

impl AdminError {
    /// Whether the configuration must be changed. If not, the port is in use, which may pass.
    #[must_use]
    pub fn is_setup(&self) -> bool {
        let Self::Listen { source, .. } = self;
        source.kind() != io::ErrorKind::AddrInUse
    }
}

/// The listening admin port.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    watcher: Arc<Watcher>,
    /// Without it there is no status page.
    status_page: Option<AllowedHosts>,
}

impl Admin {
    /// Starts to listen. No request is answered before [`serve`](Self::serve).
    ///
    /// # Errors
    /// [`AdminError::Listen`] if listening on the address fails.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn listen(admin: &CheckedAdmin, checked: &Checked) -> Result<Self, AdminError> {
        let CheckedAdmin { listen: address, status_page, allowed_hosts, stream_metrics } = admin;
        let (address, stream_metrics) = (*address, *stream_metrics);
        let status_page = status_page.then(|| AllowedHosts::new(allowed_hosts));
        let failed = |source| AdminError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        tracing::info!(%address, "admin server listening");
        let facts = Facts {
            replica: checked.replica.clone(),
            sink: checked.sink.name(),
            shards: checked.shards,
            stream_metrics,
            started_at: Clock::start().now().wall,
        };
        Ok(Self { listener, watcher: Arc::new(Watcher::new(facts, Counted::new())), status_page })
    }

    /// The observer that the bridge has to inform.
    #[must_use]
    pub fn observer(&self) -> Arc<dyn Observer> {
        Arc::<Watcher>::clone(&self.watcher)
    }

    /// Serves until dropped. After `stop` is cancelled, `/readyz` reports not ready.
    ///
    /// # Cancel safety
    /// Dropping the future closes the listener.
    pub async fn serve(self, stop: CancellationToken) -> Infallible {
        let watcher = Arc::clone(&self.watcher);
        let app = router(self.watcher, self.status_page);
        tokio::select! {
            never = http_server::serve(self.listener, app, MAX_CONNECTIONS) => never,
            never = async {
                stop.cancelled().await;
                watcher.stopping();
                std::future::pending::<Infallible>().await
            } => never,
        }
    }
}

#[derive(Clone)]
struct Shared {
    watcher: Arc<Watcher>,
    registry: Arc<Registry>,
}

fn router(watcher: Arc<Watcher>, status_page: Option<AllowedHosts>) -> Router {
    let registry = Arc::new(registry(&watcher));
    let mut router = Router::new()
        .route("/livez", get(async |State(shared): State<Shared>| probe(shared.watcher.live())))
        .route("/readyz", get(async |State(shared): State<Shared>| probe(shared.watcher.ready())))
        .route("/metrics", get(metrics));
    if let Some(hosts) = status_page {
        const HTML: &str = "text/html; charset=utf-8";
        let page = Router::new()
            .route("/api/streams", get(streams))
            .route("/", get(async || asset(HTML, include_str!("page/index.html"))))
            .route("/status.css", get(async || asset("text/css; charset=utf-8", include_str!("page/status.css"))))
            .route("/status.js", get(async || asset("text/javascript; charset=utf-8", include_str!("page/status.js"))))
            .route_layer(middleware::from_fn_with_state(hosts, hosts::check));
        router = router.merge(page);
    }
    router = router.layer(middleware::map_response(async |mut response: Response| {
        response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }));
    router.with_state(Shared { watcher, registry })
}

/// The registry of all metrics.
fn registry(watcher: &Arc<Watcher>) -> Registry {
    let mut registry = Registry::default();
    let bridge = registry.sub_registry_with_prefix(PREFIX);
    watcher.counted().register(bridge);
    bridge.register_collector(Box::new(Sampled(Arc::clone(watcher))));
    registry.register_with_unit(
        "process_start_time",
        "Start time of the process, in seconds since the Unix epoch",
        Unit::Seconds,
        ConstGauge::new(sampled::timestamp(watcher.facts().started_at)),
    );
    registry.register_collector(Box::new(process::Process));
    registry
}

fn probe(health: Result<(), String>) -> (StatusCode, String) {
    match health {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

async fn metrics(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let mut body = String::new();
    match text::encode(&mut body, &shared.registry) {
        Ok(()) if classic::is_asked_for(&headers) => {
            ([(header::CONTENT_TYPE, classic::CONTENT_TYPE)], classic::of_open_metrics(&body)).into_response()
        }
        Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS)], body).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn streams(State(shared): State<Shared>, Query(asked): Query<Asked>) -> Response {
    let report = Report::new(&shared.watcher.snapshot(), &asked);
    (GUARDS, Json(report)).into_response()
}

const GUARDS: [(HeaderName, &str); 3] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
];

fn asset(kind: &'static str, text: &'static str) -> Response {
    (GUARDS, [(header::CONTENT_TYPE, kind)], text).into_response()
}
