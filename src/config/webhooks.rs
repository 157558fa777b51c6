//! The bell: Asana's webhooks have streams polled at once.

use super::check::Check;
use super::problem::Place;
use super::{HumanDuration, SecretConfig, SecretSource};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;
use url::Url;

/// Webhooks as a bell: Asana says when something happened on a task, project or goal, and its stream is polled at once
/// instead of when it would be due. Nothing is published because a webhook says so, and a lost one delays only. Each replica
/// makes and watches webhooks for the streams that it owns, and replaces those that others left. That takes up to a
/// twentieth of each account's `requestsPerMinute`, but 6 a minute at least. Workspace streams have no bell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct WebhooksConfig {
    /// The address and port to listen on for Asana, such as `0.0.0.0:8081`. Default: none, and there are no webhooks.
    pub listen: Option<String>,
    /// Where Asana reaches this, such as `https://bell.example.com/asana`: what stands before it must end TLS, and lead each
    /// request below this address to any replica.
    pub public_url: Option<String>,
    /// The key by which the bridge knows its webhooks' addresses, the same for all replicas: at least 32 characters that
    /// nobody can guess. With another key there are other webhooks; Asana deletes the old ones after 24 hours.
    pub key: Option<SecretConfig>,
    /// Where the replicas listen for each other, as `host:port`; a host may stand for several. A replica that gets what is
    /// for another passes it on there. Needed where there are several replicas.
    pub peers: Vec<String>,
    /// How often it is looked whether all webhooks are there.
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

/// A bell that can be rung.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedWebhooks {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where Asana reaches it, without a slash at the end of its path.
    pub public_url: Url,
    /// What makes its addresses unguessable.
    pub key: SecretSource,
    /// Where the replicas are found, each `host:port`.
    pub peers: Vec<String>,
    /// Between looks; a second at least.
    pub interval: Duration,
}

impl CheckedWebhooks {
    /// What webhooks may take of an account's budget, in requests a minute: a twentieth, but 6 at least, so that 100
    /// streams take no hours, and never more than a quarter.
    #[must_use]
    pub fn requests_per_minute(of: NonZeroU32) -> NonZeroU32 {
        NonZeroU32::new((of.get() / 20).max(6).min(of.get() / 4)).unwrap_or(NonZeroU32::MIN)
    }
}

const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
const SHORTEST_KEY: usize = 32;

impl Check<'_> {
    pub(super) fn webhooks(&mut self, webhooks: &WebhooksConfig, place: &Place) -> Option<CheckedWebhooks> {
        let listen = webhooks.listen.as_deref()?;
        if webhooks.interval.0 < SHORTEST_INTERVAL {
            self.problem(&place.key("interval"), "must be 1s at least");
        }
        let Ok(listen) = listen.parse() else {
            let problem = "is no address with a port, such as `0.0.0.0:8081` or `[::]:8081`";
            self.problem(&place.key("listen"), problem);
            return None;
        };
        if webhooks.public_url.is_none() || webhooks.key.is_none() {
            self.problem(place, "needs `publicUrl` and `key`, as there is `listen`");
        }
        for (index, peer) in webhooks.peers.iter().enumerate() {
            if peer.rsplit_once(':').is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err()) {
                self.problem(&place.key("peers").item(index), "is no `host:port`");
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
