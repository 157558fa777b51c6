//! Webhooks: a delivery from Asana requests a poll of its stream.

use super::check::Check;
use super::checked::CheckedWebhooks;
use super::problem::Place;
use super::{HumanDuration, SecretConfig, SecretSource};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Webhooks. Asana notifies the bridge when something happened on a task, project or goal, and the bridge polls its stream at
/// once. All events still come from polls, so a lost delivery costs only a delay. Each replica creates and maintains the webhooks
/// of the streams that it owns, and replaces webhooks of earlier owners. This takes up to a twentieth of each account's
/// `requestsPerMinute`, but at least 6 requests a minute. Workspace streams have no webhooks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct WebhooksConfig {
    /// The address and port to listen on for Asana, such as `0.0.0.0:8081`. Default: none, and there are no webhooks.
    #[schemars(example = &"0.0.0.0:8081")]
    pub listen: Option<String>,
    /// The public address at which Asana reaches the bridge, such as `https://webhooks.example.com/asana`. Your ingress or proxy must
    /// terminate TLS, and route each request below this address to any replica. Required with `listen`.
    #[schemars(example = &"https://webhooks.example.com")]
    pub public_url: Option<String>,
    /// The key that makes the webhooks' addresses unguessable: at least 32 random characters, the same for all replicas. If you
    /// change it, the bridge creates new webhooks, and Asana deletes the old ones after 24 hours. Required with `listen`.
    pub key: Option<SecretConfig>,
    /// The addresses of the other replicas, as `host:port`. A host name may resolve to several replicas. A replica forwards
    /// deliveries for other owners to these addresses. Required if there are several replicas.
    #[schemars(example = ["bridge-1:8081"])]
    pub peers: Vec<String>,
    /// The interval between two checks that all webhooks exist. At least 1 second.
    pub interval: HumanDuration,
}

impl Default for WebhooksConfig {
    fn default() -> Self {
        Self {
            listen: None,
            public_url: None,
            key: None,
            peers: Vec::new(),
            interval: HumanDuration(Duration::from_secs(600)),
        }
    }
}

const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
const SHORTEST_KEY: usize = 32;

impl Check<'_> {
    pub(super) fn webhooks(&mut self, webhooks: &WebhooksConfig, place: &Place) -> Option<CheckedWebhooks> {
        let listen = webhooks.listen.as_deref()?;
        if webhooks.interval.0 < SHORTEST_INTERVAL {
            self.problem(&place.key("interval"), "must be at least `1s`");
        }
        let listen = self.listen(listen, "0.0.0.0:8081", &place.key("listen"))?;
        if webhooks.public_url.is_none() || webhooks.key.is_none() {
            self.problem(place, "needs `publicUrl` and `key`, as there is `listen`");
        }
        for (index, peer) in webhooks.peers.iter().enumerate() {
            if peer.rsplit_once(':').is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err()) {
                self.problem(
                    &place.key("peers").item(index),
                    "is no address with a port: write it such as `bridge-1:8081`",
                );
            }
        }
        let public_url =
            webhooks.public_url.as_deref().map(|url| self.url(url.trim_end_matches('/'), &place.key("publicUrl")));
        let key = webhooks.key.as_ref().map(|key| self.key(key, &place.key("key")));
        let interval = webhooks.interval.0;
        Some(CheckedWebhooks { listen, public_url: public_url??, key: key??, peers: webhooks.peers.clone(), interval })
    }

    fn key(&mut self, key: &SecretConfig, place: &Place) -> Option<SecretSource> {
        let source = self.secret(key, place)?;
        if source.read().is_ok_and(|key| key.expose().len() < SHORTEST_KEY) {
            self.problem(place, format!("is too short: it needs {SHORTEST_KEY} characters at least"));
            return None;
        }
        Some(source)
    }
}
