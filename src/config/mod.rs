//! The configuration file: its shape, with every default stated once.
//!
//! This module has only the shape. [`load`] turns a file of that shape into [`Checked`], whose
//! types can't be wrong. It reads YAML, expands `${NAME}` in texts, applies override variables, validates against the
//! JSON Schema of the types, and then checks what a schema can't express. It reports all problems at once.

mod check;
mod check_bus;
mod check_discovery;
mod check_state;
mod checked;
mod commit;
mod crawl;
mod document;
mod encoding;
mod environment;
mod expand;
mod explain;
pub mod gid;
mod headers;
mod kafka;
mod librdkafka;
mod load;
mod local;
mod nats;
mod network;
mod problem;
#[cfg(test)]
pub(crate) mod reference;
mod schema;
mod secret;
mod state;
mod suggest;
mod tracing;
mod units;
mod webhooks;
mod yaml;

pub use check_bus::{LONGEST_CHECKPOINT, is_checkpoint_name};
pub use checked::{
    Checked, CheckedAccount, CheckedAdmin, CheckedDiscovery, CheckedFile, CheckedKafka, CheckedNats, CheckedOauth,
    CheckedReading, CheckedRule, CheckedSchemaRegistry, CheckedSink, CheckedWebhooks, Credential, NamePattern,
    NatsLogin, RegistryLogin,
};
pub use commit::CommitConfig;
pub use crawl::{CrawlConfig, CrawlDepth};
pub use encoding::EncodingConfig;
pub use environment::Environment;
pub use expand::OVERRIDE_PREFIX;
pub use kafka::{KafkaConfig, KafkaGroupProtocol, KafkaTopicsConfig, SchemaRegistryConfig, SubjectNameStrategy};
pub use load::{LocalSink, Source, load, load_reading};
pub use local::{ConsoleConfig, ConsoleOutput, FileConfig};
pub use nats::{NatsConfig, NatsTlsConfig};
pub use network::is_safe_for_secrets;
pub use problem::{Mark, Place, Problem, Problems};
pub use schema::schema;
pub use secret::{Secret, SecretSource};
pub use state::{REFRESH_SUFFIX, RefreshConfig, StateConfig};
pub use units::{ByteSize, HumanDuration};
pub use webhooks::WebhooksConfig;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::time::Duration;

/// The configuration of asana-event-bridge. At the top of the file, keys that begin with `x-` are ignored: they are a place for YAML
/// anchors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schemars(extend("patternProperties" = { "^x-": true }))]
pub struct Config {
    /// The accounts whose credentials poll Asana, by a name of your choice. The name is part of every
    /// stream's identity: if you rename an account, its streams start from scratch.
    #[schemars(example = json!({ "main": { "token": { "env": "ASANA_TOKEN" } } }))]
    pub accounts: BTreeMap<String, AccountConfig>,
    /// Hosts to which the bridge may send secrets without encryption (`http://`), such as a simulator in the same private network.
    /// Names or addresses, without ports. This machine (`localhost` and loopback addresses) is always allowed. Default: none, and
    /// `baseUrl`, `tokenUrl` and a schema registry with a login need `https://`.
    #[serde(default)]
    #[schemars(example = ["simulator"])]
    pub insecure_hosts: Vec<String>,
    /// The streams to poll. May be left out if `discovery` has rules.
    #[serde(default)]
    #[schemars(example = json!([{ "resource": "1204619611402340" }]))]
    pub streams: Vec<StreamConfig>,
    /// Rules that find more streams. The bridge evaluates them at intervals.
    #[serde(default)]
    pub discovery: DiscoveryConfig,
    /// The sink: the bus, or the local output, that records are written to.
    #[schemars(example = json!({ "kafka": { "bootstrapServers": "kafka-1:9092" } }))]
    pub sink: SinkConfig,
    /// The intervals at which streams are polled.
    #[serde(default)]
    pub polling: PollingConfig,
    /// When and how resources are re-crawled.
    #[serde(default)]
    pub crawl: CrawlConfig,
    /// Whether a resource's state is read again after an event.
    #[serde(default)]
    pub state: StateConfig,
    /// How records are batched into commits, and how often watermarks are written.
    #[serde(default)]
    pub commit: CommitConfig,
    /// The index of the resources that the bridge has published.
    #[serde(default)]
    pub index: IndexConfig,
    /// The admin port: probes, metrics and the status page, over HTTP.
    #[serde(default)]
    pub admin: AdminConfig,
    /// Webhooks, by which Asana notifies the bridge of changes, so that it polls at once.
    #[serde(default)]
    pub webhooks: WebhooksConfig,
    /// The name of this deployment: all replicas that share the work. Letters, digits, `-` and `_`. It is part of the default names
    /// of the consumer group, the checkpoint and the leases, and it is stored in the checkpoint, so that two deployments never
    /// continue each other's progress. To change it later, you need `checkpoint adopt`. Default: none, which suits a single
    /// deployment. The Helm chart sets it to `NAMESPACE_RELEASE`.
    #[serde(default)]
    pub deployment: Option<String>,
    /// The checkpoint: the bridge's stored progress.
    #[serde(default)]
    pub checkpoint: CheckpointConfig,
    /// The number of shards, which is the maximum number of replicas that can share the work. It is part of the
    /// checkpoint's identity: to change it later, you need `checkpoint migrate`.
    #[serde(default = "default_shards")]
    pub shards: NonZeroU32,
    /// This replica's name. It must stay the same over restarts, and must be different for each
    /// replica. Default: the environment variable `POD_NAME`, or else the host's name.
    #[serde(default)]
    #[schemars(example = &"bridge-0")]
    pub replica: Option<String>,
}

fn default_shards() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(31)
}

/// The checkpoint: the bridge's stored progress.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct CheckpointConfig {
    /// Whether the bridge may begin without a checkpoint. Set `never` once it has run: if the checkpoint is lost, the bridge then
    /// refuses to start, instead of taking it for a first start.
    pub create: CheckpointCreate,
}

/// Whether a checkpoint is created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CheckpointCreate {
    /// It is created at the first start.
    #[default]
    IfAbsent,
    /// The bridge refuses to start without one.
    Never,
}

/// One credential for Asana, and its rate budget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AccountConfig {
    /// A personal access token, or a service account's token. Set either this or `oauth`.
    #[serde(default)]
    pub token: Option<SecretConfig>,
    /// Access by an OAuth application, instead of `token`.
    #[serde(default)]
    pub oauth: Option<OauthConfig>,
    /// The address of Asana's API. Change it to run the bridge against `simulate`.
    #[serde(default = "default_base_url")]
    pub base_url: String,
    /// A PEM file with the certificate authorities that may sign Asana's certificate, for networks whose proxy inspects TLS. The
    /// bridge reads it when it starts, and when the account's settings change. Default: the system's.
    #[serde(default)]
    #[schemars(example = &"/etc/ssl/proxy.pem")]
    pub ca_file: Option<PathBuf>,
    /// The proxy for all requests of this account, such as `http://proxy.example.com:3128`. If the proxy needs a login, set it with
    /// `HTTPS_PROXY` instead. Default: the proxy in the variables `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`.
    #[serde(default)]
    #[schemars(example = &"http://proxy.example.com:3128")]
    pub proxy: Option<String>,
    /// The maximum number of requests a minute, over all replicas. Asana allows 150
    /// in free domains and 1,500 in paid ones, for each token. Raise it in a paid domain; leave room for other users of the token.
    #[serde(default = "default_requests_per_minute")]
    pub requests_per_minute: NonZeroU32,
    /// The maximum number of requests in flight at the same time. Asana allows 50 reads for each token. Lower it if other
    /// programs use the token, too.
    #[serde(default = "default_max_in_flight")]
    pub max_in_flight: NonZeroU16,
    /// The timeout of one request. At least 1 second. Raise it if Asana needs longer for large pages.
    #[serde(default = "default_request_timeout")]
    pub request_timeout: HumanDuration,
    /// Additional headers of each request to Asana's API: `Asana-Enable` and `Asana-Disable`. With them you choose between
    /// old and new behaviour while Asana changes its API. Only names that begin with `Asana-` are allowed.
    #[serde(default)]
    #[schemars(example = json!({ "Asana-Enable": "new_goal_memberships" }))]
    pub headers: BTreeMap<String, String>,
}

fn default_base_url() -> String {
    "https://app.asana.com/api/1.0".to_owned()
}
fn default_requests_per_minute() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(139)
}
fn default_max_in_flight() -> NonZeroU16 {
    NonZeroU16::MIN.saturating_add(39)
}
fn default_request_timeout() -> HumanDuration {
    HumanDuration(Duration::from_secs(30))
}

/// A secret, from a file (the bridge reads it again when it changes) or from the environment. Set exactly one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct SecretConfig {
    /// The path of a file that contains the secret and nothing else. White space around the secret is ignored.
    #[serde(default)]
    #[schemars(example = &"/var/run/secrets/asana/token")]
    pub file: Option<PathBuf>,
    /// The name of the environment variable that contains the secret.
    #[serde(default)]
    #[schemars(example = &"ASANA_TOKEN")]
    pub env: Option<String>,
}

/// Access by an OAuth application. The bridge renews access tokens with the refresh token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct OauthConfig {
    /// The application's client id.
    #[schemars(example = &"1204619611402345")]
    pub client_id: String,
    /// The application's client secret. Default: none is sent, for an application that has none.
    #[serde(default)]
    #[schemars(example = json!({ "env": "ASANA_CLIENT_SECRET" }))]
    pub client_secret: Option<SecretConfig>,
    /// The refresh token that the application got when the user gave consent. `auth login` writes it to a file.
    #[schemars(example = json!({ "file": "/var/run/secrets/asana/refresh-token" }))]
    pub refresh_token: SecretConfig,
    /// The application's redirect URI, as registered with Asana: the one with which the refresh token was obtained.
    #[serde(default = "default_redirect_uri")]
    pub redirect_uri: String,
    /// The address that issues access tokens. Change it to run the bridge against `simulate`.
    #[serde(default = "default_token_url")]
    pub token_url: String,
}

/// The redirect URI of programs that receive no request: Asana shows the code to the user.
pub const OUT_OF_BAND: &str = "urn:ietf:wg:oauth:2.0:oob";

fn default_redirect_uri() -> String {
    OUT_OF_BAND.to_owned()
}
fn default_token_url() -> String {
    "https://app.asana.com/-/oauth_token".to_owned()
}

/// One stream: a task, project or goal, or a whole workspace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct StreamConfig {
    /// The gid of a task, project or goal, or the address of its page in Asana. Set either this or `workspace`.
    #[serde(default)]
    #[schemars(example = &"1204619611402340")]
    pub resource: Option<String>,
    /// The gid of a workspace, to poll all of it, or the address of a page in it that begins with `https://app.asana.com/1/`. Needs a
    /// service account.
    #[serde(default)]
    #[schemars(example = &"1100000000000001")]
    pub workspace: Option<String>,
    /// The name of the account whose credential polls it. May be left out if there is only one account.
    #[serde(default)]
    #[schemars(example = &"main")]
    pub account: Option<String>,
}

/// Streams by rules. The bridge reads the lists that the rules name at intervals, and polls what it finds. Reading the lists
/// takes up to a twentieth of the account's `requestsPerMinute`, but at least 6 requests a minute, for each replica.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct DiscoveryConfig {
    /// The time between the end of one round through the lists and the start of the next. At least 1 second. Lower it to find
    /// new projects sooner, at the cost of requests.
    pub interval: HumanDuration,
    /// The rules. If several rules find the same stream, it is polled once.
    #[schemars(example = json!([{ "workspace": "1100000000000001" }]))]
    pub rules: Vec<RuleConfig>,
}

impl Default for DiscoveryConfig {
    fn default() -> Self {
        Self { interval: HumanDuration(Duration::from_secs(600)), rules: Vec::new() }
    }
}

/// A rule that finds projects or goals. Set exactly one of `workspace`, `team`, `portfolio` and `goals`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RuleConfig {
    /// The gid of a workspace. The rule finds all its projects.
    #[serde(default)]
    #[schemars(example = &"1100000000000001")]
    pub workspace: Option<String>,
    /// The gid of a team. The rule finds all its projects.
    #[serde(default)]
    #[schemars(example = &"1100000000000001")]
    pub team: Option<String>,
    /// The gid of a portfolio. The rule finds all its projects, and the projects of the portfolios in it.
    #[serde(default)]
    #[schemars(example = &"1100000000000001")]
    pub portfolio: Option<String>,
    /// The gid of a workspace. The rule finds all its goals.
    #[serde(default)]
    #[schemars(example = &"1100000000000001")]
    pub goals: Option<String>,
    /// A regular expression, such as `^Team `, in the syntax of the Rust crate `regex`. The rule finds only resources whose name
    /// contains a match. Default: all names.
    #[serde(default)]
    #[schemars(example = &"^Team ")]
    pub name: Option<String>,
    /// Whether the rule finds archived projects.
    #[serde(default)]
    pub archived: ArchivedConfig,
    /// The name of the account whose credential reads the list, and polls the streams. May be left out if there is only one account.
    #[serde(default)]
    #[schemars(example = &"main")]
    pub account: Option<String>,
}

/// Whether a rule finds archived projects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ArchivedConfig {
    /// Archived projects are left out.
    #[default]
    Exclude,
    /// Archived projects are found like all others.
    Include,
    /// Only archived projects are found.
    Only,
}

/// The intervals at which streams are polled. The bridge learns how often each stream has events, and uses all of
/// `requestsPerMinute` so that an event waits as short as possible on average: a stream with four times as many events is
/// polled twice as often.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct PollingConfig {
    /// The shortest interval between two polls of a stream. At least 100 ms. Lower it to get changes sooner, at the cost of
    /// requests. To leave a part of Asana's limit to other programs, lower `requestsPerMinute` instead.
    pub min_interval: HumanDuration,
    /// The longest interval between two polls of a stream, if `requestsPerMinute` suffices for it. If it doesn't, no stream
    /// waits longer than 1.4 times as long as if all were polled alike. At most 12 hours, because a sync token dies after 24
    /// hours.
    pub max_interval: HumanDuration,
}

impl Default for PollingConfig {
    fn default() -> Self {
        Self {
            min_interval: HumanDuration(Duration::from_secs(5)),
            max_interval: HumanDuration(Duration::from_secs(60)),
        }
    }
}

/// The index of the resources that the bridge has published. With it a crawl can report which resources changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct IndexConfig {
    /// The folder of the index. It must be on a local disk, and only this replica may use it. It needs about 50 MB for a million
    /// resources. If the folder is lost, full crawls rebuild the index. Default: a temporary file, which is lost at each restart.
    #[schemars(example = &"/var/lib/asana-event-bridge")]
    pub path: Option<PathBuf>,
}

/// The admin port. Over HTTP it serves `/livez`, `/readyz`, `/metrics`, `/api/streams` and a status page at `/`. All of it is
/// read-only and contains no secrets. It contains names of accounts and gids, and it has no authentication.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct AdminConfig {
    /// The address and port to listen on, such as `0.0.0.0:8080`, or `[::]:8080` for IPv6 too. Default: none, and there
    /// is no admin port.
    #[schemars(example = &"0.0.0.0:8080")]
    pub listen: Option<String>,
    /// Whether to serve the status page at `/`, and its data as JSON at `/api/streams`. Set `false` to serve only probes and metrics.
    pub status_page: bool,
    /// The names of hosts by which browsers may open the status page and `/api/streams`, besides `localhost` and addresses. Requests
    /// for another name are rejected with 403, so that no foreign web page can read the status. Default: none.
    #[schemars(example = ["bridge.example.com"])]
    pub allowed_hosts: Vec<String>,
    /// The number of streams up to which a replica has metrics for each single stream. A replica with more streams
    /// has only sums and the worst values. Lower it if your Prometheus should store fewer series.
    pub stream_metrics: u32,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self { listen: None, status_page: true, allowed_hosts: Vec::new(), stream_metrics: 1000 }
    }
}

/// The sink that records are written to. Set exactly one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct SinkConfig {
    /// An Apache Kafka cluster.
    pub kafka: Option<KafkaConfig>,
    /// A NATS server or cluster with JetStream.
    pub nats: Option<NatsConfig>,
    /// Lines on standard output, to try the bridge.
    pub console: Option<ConsoleConfig>,
    /// JSON lines in a file, without a bus.
    pub file: Option<FileConfig>,
}

/// The default names with a deployment, in a document that doesn't have them.
fn name_by_deployment(document: &mut serde_json::Value) {
    let Some(deployment) = document.get("deployment").and_then(|it| it.as_str()).map(str::to_owned) else { return };
    let Some(sink) = document.get_mut("sink").and_then(|sink| sink.as_object_mut()) else { return };
    let names = [
        ("kafka", "groupId", format!("{}-{deployment}", kafka::default_group_id())),
        ("kafka", "checkpointTopic", format!("{}-{deployment}", kafka::default_checkpoint_topic())),
        ("nats", "checkpoint", deployment),
    ];
    for (bus, key, name) in names {
        if let Some(bus) = sink.get_mut(bus).and_then(|bus| bus.as_object_mut()) {
            bus.entry(key).or_insert_with(|| name.into());
        }
    }
}

/// A default of switches that are on.
fn yes() -> bool {
    true
}
