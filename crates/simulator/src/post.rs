//! Requests to the targets of webhooks.

use std::{sync::Arc, time::Duration};

use reqwest::{Client, redirect::Policy};
use rustls::crypto::{CryptoProvider, ring};
use tokio::task::JoinSet;

use super::{
    delivery::{Delivery, Header, Told},
    shared::Shared,
};

/// The timeout of a target (Asana's guide "Webhooks").
const TIMEOUT: Duration = Duration::from_secs(10);

/// Sends the deliveries that are due, each request on a task of its own.
#[derive(Debug)]
pub(crate) struct Post {
    client: Client,
    under_way: JoinSet<()>,
}

impl Post {
    pub(crate) fn new() -> Self {
        Self { client: client(), under_way: JoinSet::new() }
    }

    pub(crate) fn send_due(&mut self, shared: &Arc<Shared>) {
        while self.under_way.try_join_next().is_some() {}
        let due = {
            let mut asana = shared.lock();
            let now = asana.advance(shared.elapsed());
            asana.webhooks.due(now)
        };
        for delivery in due {
            let (client, shared) = (self.client.clone(), Arc::clone(shared));
            self.under_way.spawn(async move {
                let told = send(&client, &delivery).await;
                let mut asana = shared.lock();
                let now = asana.advance(shared.elapsed());
                asana.webhooks.told(&delivery, &told, now);
            });
        }
    }
}

/// A client without certificates: targets are on this machine.
pub(crate) fn client() -> Client {
    // If a provider is installed already, that one is used.
    if CryptoProvider::get_default().is_none() {
        ring::default_provider().install_default().ok();
    }
    let builder = Client::builder().timeout(TIMEOUT).redirect(Policy::none()).no_proxy().tls_certs_only([]);
    // Only the setup of TLS could fail, and none is needed.
    builder.build().unwrap_or_default()
}

pub(crate) async fn send(client: &Client, delivery: &Delivery) -> Told {
    const SECRET: &str = "x-hook-secret";
    let (name, value) = match &delivery.header {
        Header::Secret(secret) => (SECRET, secret),
        Header::Signature(signature) => ("x-hook-signature", signature),
    };
    let request = client.post(delivery.target.clone()).header(name, value);
    let request = request.header("content-type", "application/json; charset=UTF-8").body(delivery.body.clone());
    // The URL may contain a secret of the webhook's creator.
    let answer = request.send().await.map_err(|error| error.without_url().to_string())?;
    let secret = answer.headers().get(SECRET).and_then(|value| value.to_str().ok()).map(str::to_owned);
    Ok((answer.status().as_u16(), secret))
}
