//! The shape of `sink.nats`.

use super::encoding::{self, EncodingConfig};
use super::{HumanDuration, SecretConfig, yes};
use bridge_core::record::encoding::Encodings;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::time::Duration;

/// NATS with JetStream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NatsConfig {
    /// The addresses of the servers, such as `nats://host:4222`.
    #[schemars(example = ["nats://nats-1:4222"])]
    pub servers: Vec<String>,
    /// The name of the JetStream stream for records and checkpoints. Each deployment needs one of its own.
    #[serde(default = "default_jetstream")]
    pub stream: String,
    /// The first tokens of every subject. Change it together with `stream`.
    #[serde(default = "default_subject_prefix")]
    pub subject_prefix: String,
    /// The name of the checkpoint: letters, digits, `-` and `_`. Set it only after `checkpoint migrate`, to the name that the
    /// command prints. Default: the `deployment`; without one, or with an empty text, the checkpoint has no name.
    #[serde(default)]
    #[schemars(example = &"shards-64")]
    pub checkpoint: Option<String>,
    /// The number of lanes: the maximum number of consumers that can share the records.
    #[serde(default = "default_lanes")]
    pub lanes: NonZeroU32,
    /// Whether the latest state of each resource is kept, on the subject `PREFIX.state.GID`. Needs `state.refresh`. Before
    /// nats-server 2.11, states are deleted after `maxAge`.
    #[serde(default)]
    pub state: bool,
    /// The form of records and dead letters.
    #[serde(default)]
    pub encoding: EncodingConfig,
    /// The form of states. Default: as `encoding`.
    #[serde(default)]
    pub state_encoding: Option<EncodingConfig>,
    /// Whether the bridge creates a missing JetStream stream. Set `false` if you create it yourself.
    #[serde(default = "yes")]
    pub create: bool,
    /// The number of replicas of the JetStream stream. At most 5. Set 3 for a cluster of three nodes.
    #[serde(default = "default_replicas")]
    pub replicas: NonZeroU16,
    /// The time for which records are kept. At least 2 days, because checkpoints are in the same JetStream stream.
    #[serde(default = "default_max_age")]
    pub max_age: HumanDuration,
    /// The time for which the server remembers each `Nats-Msg-Id`, to reject duplicates. At most `maxAge`.
    #[serde(default = "default_duplicate_window")]
    pub duplicate_window: HumanDuration,
    /// A file with credentials (JWT and seed). Set at most one of `credentialsFile`, `nkeySeed`, `token` and `user`.
    #[serde(default)]
    #[schemars(example = &"/var/run/secrets/nats/bridge.creds")]
    pub credentials_file: Option<PathBuf>,
    /// An nkey seed to log in with.
    #[serde(default)]
    pub nkey_seed: Option<SecretConfig>,
    /// A token to log in with.
    #[serde(default)]
    pub token: Option<SecretConfig>,
    /// The user to log in as. Set it together with `password`.
    #[serde(default)]
    #[schemars(example = &"bridge")]
    pub user: Option<String>,
    /// The user's password. Set it together with `user`.
    #[serde(default)]
    pub password: Option<SecretConfig>,
    /// Certificates for TLS. Default: the system's certificate authorities, and no client certificate.
    #[serde(default)]
    pub tls: Option<NatsTlsConfig>,
}

impl NatsConfig {
    /// What is written in which form.
    #[must_use]
    pub fn encodings(&self) -> Encodings {
        encoding::encodings(self.encoding, self.state_encoding)
    }

    /// A JetStream stream on these servers, with the defaults of all other settings.
    #[must_use]
    pub fn at(servers: Vec<String>, stream: String) -> Self {
        Self {
            servers,
            stream,
            subject_prefix: default_subject_prefix(),
            checkpoint: None,
            lanes: default_lanes(),
            state: false,
            encoding: EncodingConfig::default(),
            state_encoding: None,
            create: yes(),
            replicas: default_replicas(),
            max_age: default_max_age(),
            duplicate_window: default_duplicate_window(),
            credentials_file: None,
            nkey_seed: None,
            token: None,
            user: None,
            password: None,
            tls: None,
        }
    }
}

fn default_jetstream() -> String {
    "ASANA".to_owned()
}
fn default_subject_prefix() -> String {
    "asana".to_owned()
}
fn default_lanes() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(11)
}
fn default_replicas() -> NonZeroU16 {
    NonZeroU16::MIN
}
fn default_max_age() -> HumanDuration {
    HumanDuration(Duration::from_secs(7 * 24 * 3600))
}
fn default_duplicate_window() -> HumanDuration {
    HumanDuration(Duration::from_secs(120))
}

/// Certificates for TLS connections to NATS.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct NatsTlsConfig {
    /// A PEM file with the certificate authorities that may sign the server's certificate. Default: the system's.
    #[schemars(example = &"/etc/nats/ca.pem")]
    pub ca_file: Option<PathBuf>,
    /// A PEM file with the client's certificate. Set it together with `keyFile`.
    #[schemars(example = &"/etc/nats/cert.pem")]
    pub cert_file: Option<PathBuf>,
    /// A PEM file with the client's private key. Set it together with `certFile`.
    #[schemars(example = &"/etc/nats/key.pem")]
    pub key_file: Option<PathBuf>,
}
