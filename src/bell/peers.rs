//! The other replicas: one of them may know the secret of a webhook that rang here.

use axum::body::Bytes;
use axum::http::HeaderValue;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::net::lookup_host;
use tokio::task::JoinSet;

/// Marks what was passed on already.
pub(super) const PASSED_ON: &str = "x-bell-passed-on";

/// Well below the 10 s that Asana waits.
const TIMEOUT: Duration = Duration::from_secs(3);

/// All replicas, maybe this one too, by names that resolve to them.
pub(super) struct Peers {
    names: Vec<String>,
    client: reqwest::Client,
}

impl Peers {
    pub(super) fn new(names: Vec<String>) -> Self {
        let builder = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().tls_certs_only([]);
        // What could fail is setting up TLS, and none is needed: what is passed on proves itself by its signature.
        Self { names, client: builder.build().unwrap_or_default() }
    }

    /// Gives all of them what Asana sent. Whether one of them took it.
    ///
    /// # Cancel safety
    /// Dropped, some may have it and others not.
    pub(super) async fn pass_on(&self, path: &str, signature: &HeaderValue, body: &Bytes) -> bool {
        let mut addresses = BTreeSet::new();
        for name in &self.names {
            match tokio::time::timeout(TIMEOUT, lookup_host(name)).await {
                Ok(Ok(found)) => addresses.extend(found),
                Ok(Err(error)) => tracing::warn!(peers = name, %error, "peer lookup failed"),
                Err(_) => tracing::warn!(peers = name, "peer lookup timed out"),
            }
        }
        let mut asked = JoinSet::new();
        for address in addresses {
            let request = self.client.post(format!("http://{address}{path}"));
            let request = request.header("x-hook-signature", signature).header(PASSED_ON, "1").body(body.clone());
            asked.spawn(async move { request.send().await.is_ok_and(|answer| answer.status().is_success()) });
        }
        while let Some(took) = asked.join_next().await {
            if took.is_ok_and(|took| took) {
                return true;
            }
        }
        false
    }
}
