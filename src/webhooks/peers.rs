//! The other replicas: one of them may know the secret of a webhook whose delivery arrived here.

use crate::fold::{CALM, Line, Over, SharedFold};
use axum::body::Bytes;
use axum::http::HeaderValue;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::net::lookup_host;
use tokio::task::JoinSet;

/// The header of a delivery that was already forwarded once; such a delivery isn't forwarded again.
pub(super) const FORWARDED: &str = "x-asana-event-bridge-forwarded";

/// The timeout of forwarding, well below the 10 s that Asana waits.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Shorter than what a replica's server keeps an idle connection for, so that no delivery is sent into one that is being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// All replicas, possibly including this one, by names that resolve to their addresses.
pub(super) struct Peers {
    names: Vec<String>,
    client: reqwest::Client,
    /// Names that can't be resolved, by cause.
    problems: SharedFold<&'static str, String>,
}

impl Peers {
    pub(super) fn new(names: Vec<String>) -> Self {
        let builder =
            reqwest::Client::builder().timeout(TIMEOUT).pool_idle_timeout(IDLE_TIMEOUT).no_proxy().tls_certs_only([]);
        // Only the setup of TLS could fail, and none is needed: its signature proves that a forwarded delivery is Asana's.
        Self { names, client: builder.build().unwrap_or_default(), problems: SharedFold::new(CALM) }
    }

    /// Sends a delivery to all of them. Returns whether one of them accepted it.
    ///
    /// # Cancel safety
    /// If the future is dropped, some replicas may have the delivery and others not.
    pub(super) async fn forward(&self, path: &str, signature: &HeaderValue, body: &Bytes) -> bool {
        let mut addresses = BTreeSet::new();
        for name in &self.names {
            match tokio::time::timeout(TIMEOUT, lookup_host(name)).await {
                Ok(Ok(found)) => {
                    self.problems.recover(name);
                    addresses.extend(found);
                }
                Ok(Err(error)) => self.lookup_failed("failed", name, &error.to_string()),
                Err(_) => self.lookup_failed("timed_out", name, "the name service doesn't answer in time"),
            }
        }
        for (reason, Over { count, lasted }) in self.problems.take_over() {
            tracing::info!(reason, count, seconds = lasted.as_secs(), "peer lookups succeed again");
        }
        let mut asked = JoinSet::new();
        for address in addresses {
            let request = self.client.post(format!("http://{address}{path}"));
            let request = request.header("x-hook-signature", signature).header(FORWARDED, "1").body(body.clone());
            asked.spawn(async move { request.send().await.is_ok_and(|answer| answer.status().is_success()) });
        }
        while let Some(took) = asked.join_next().await {
            if took.is_ok_and(|took| took) {
                return true;
            }
        }
        false
    }

    fn lookup_failed(&self, reason: &'static str, name: &str, error: &str) {
        match self.problems.report(reason, name.to_owned()) {
            Some(Line::Begins) => tracing::warn!(peers = name, reason, error, "peer lookup failed"),
            Some(Line::Lasts { count, lasted, .. }) => {
                let seconds = lasted.as_secs();
                tracing::warn!(peers = name, reason, error, count, seconds, "peer lookups still failing");
            }
            None => {}
        }
    }
}
