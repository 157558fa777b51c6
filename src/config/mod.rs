//! The configuration file: its shape, with every default stated once.
//!
//! What is here is only shape. [`load`] turns a file of that shape into [`Checked`], whose
//! types can't be wrong: YAML, then `${NAME}` in texts, then override variables, then the
//! JSON Schema of the types, then what a schema can't say. Problems are collected, not thrown.

mod check;
mod check_bus;
mod check_discovery;
mod checked;
mod crawl;
mod document;
mod environment;
mod expand;
mod headers;
mod load;
mod problem;
pub mod reference;
mod schema;
mod secret;
mod tracing;
mod units;
mod webhooks;

pub use check_bus::is_checkpoint_name;
pub use checked::{
    Checked, CheckedAccount, CheckedAdmin, CheckedDiscovery, CheckedFile, CheckedKafka, CheckedNats, CheckedOauth,
    CheckedRule, CheckedSchemaRegistry, CheckedSink, Credential, NamePattern, NatsLogin, RegistryLogin,
};
pub use crawl::{CrawlConfig, CrawlDepth};
pub use environment::Environment;
pub use expand::OVERRIDE_PREFIX;
pub use load::{LocalSink, Source, load};
pub use problem::{Place, Problem, Problems};
pub use schema::schema;
pub use secret::{Secret, SecretSource};
pub use units::{ByteSize, HumanDuration};
pub use webhooks::{CheckedWebhooks, WebhooksConfig};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::time::Duration;

/// The configuration of asana-event-bridge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// The credentials that poll, by a name of your choice. The name is part of every
    /// stream's identity: renaming an account makes its streams new ones.
    pub accounts: BTreeMap<String, AccountConfig>,
    /// What is polled. May be left out where `discovery` has rules.
    #[serde(default)]
    pub streams: Vec<StreamConfig>,
    /// Rules by which further streams are found, again and again.
    #[serde(default)]
    pub discovery: DiscoveryConfig,
    /// Where records go.
    pub sink: SinkConfig,
    /// How often streams are polled.
    #[serde(default)]
    pub polling: PollingConfig,
    /// When and how resources are read anew.
    #[serde(default)]
    pub crawl: CrawlConfig,
    /// How records are gathered into commits.
    #[serde(default)]
    pub commit: CommitConfig,
    /// What the bridge remembers of each resource.
    #[serde(default)]
    pub index: IndexConfig,
    /// What the bridge shows of itself over HTTP.
    #[serde(default)]
    pub admin: AdminConfig,
    /// A bell that Asana rings when something happened.
    #[serde(default)]
    pub webhooks: WebhooksConfig,
    /// The number of shards: the most replicas that can share the work. Part of the
    /// checkpoint's identity: it can't be changed later without a migration.
    #[serde(default = "default_shards")]
    pub shards: NonZeroU32,
    /// This replica's name, stable over its restarts and different from every other
    /// replica's. Default: the environment's `POD_NAME`, else the host's name.
    #[serde(default)]
    pub replica: Option<String>,
}

fn default_shards() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(31)
}

/// A credential and its rate budget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AccountConfig {
    /// A personal access token, or a service account's token.
    #[serde(default)]
    pub token: Option<SecretConfig>,
    /// An OAuth refresh token, instead of `token`.
    #[serde(default)]
    pub oauth: Option<OauthConfig>,
    /// Where Asana's API is. Change it to try the bridge against `simulate`.
    #[serde(default = "default_base_url")]
    pub base_url: String,
    /// Requests a minute that the bridge may use, over all replicas. Asana allows 150
    /// in free domains and 1,500 in paid ones, for each token; leave room for whoever else uses it.
    #[serde(default = "default_requests_per_minute")]
    pub requests_per_minute: NonZeroU32,
    /// Requests in flight at once. Asana allows 50 reads for each token.
    #[serde(default = "default_max_in_flight")]
    pub max_in_flight: NonZeroU16,
    /// How long one request may take.
    #[serde(default = "default_request_timeout")]
    pub request_timeout: HumanDuration,
    /// Headers that each request to Asana's API has besides the bridge's own: `Asana-Enable` and `Asana-Disable`, by which
    /// Asana lets choose between old and new behaviour while it changes its API. Only names that begin with `Asana-`.
    #[serde(default)]
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

/// A secret: from a file (read again when it changes) or from the environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct SecretConfig {
    /// The file that holds it, and nothing else but white space around it.
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// The environment variable that holds it.
    #[serde(default)]
    pub env: Option<String>,
}

/// An OAuth application's access, kept alive by its refresh token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct OauthConfig {
    /// The application's client id.
    pub client_id: String,
    /// The application's client secret.
    pub client_secret: SecretConfig,
    /// The refresh token that the user's consent gave.
    pub refresh_token: SecretConfig,
    /// The application's redirect URI, as registered.
    #[serde(default = "default_redirect_uri")]
    pub redirect_uri: String,
    /// Where access tokens are given.
    #[serde(default = "default_token_url")]
    pub token_url: String,
}

fn default_redirect_uri() -> String {
    "urn:ietf:wg:oauth:2.0:oob".to_owned()
}
fn default_token_url() -> String {
    "https://app.asana.com/-/oauth_token".to_owned()
}

/// One stream: a task, project or goal, or a whole workspace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct StreamConfig {
    /// The gid of a task, project or goal.
    #[serde(default)]
    pub resource: Option<String>,
    /// The gid of a workspace, instead of `resource`; for service accounts.
    #[serde(default)]
    pub workspace: Option<String>,
    /// Whose credential polls it. May be left out where there is one account.
    #[serde(default)]
    pub account: Option<String>,
}

/// Streams by rules: what they name is polled, and is looked for again and again. Asking takes up to a twentieth of
/// the account's `requestsPerMinute`, but 6 a minute at least, for each replica.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct DiscoveryConfig {
    /// How long after one look the next one begins.
    pub interval: HumanDuration,
    /// What is looked for. A stream that several rules name is there once.
    pub rules: Vec<RuleConfig>,
}

impl Default for DiscoveryConfig {
    fn default() -> Self {
        Self { interval: HumanDuration(Duration::from_secs(600)), rules: Vec::new() }
    }
}

/// Projects or goals: exactly one of `workspace`, `team`, `portfolio` and `goals`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RuleConfig {
    /// The gid of a workspace: all its projects.
    #[serde(default)]
    pub workspace: Option<String>,
    /// The gid of a team: all its projects.
    #[serde(default)]
    pub team: Option<String>,
    /// The gid of a portfolio: all its projects, and those of the portfolios in it.
    #[serde(default)]
    pub portfolio: Option<String>,
    /// The gid of a workspace: all its goals.
    #[serde(default)]
    pub goals: Option<String>,
    /// A regular expression that is found in the name, such as `^Team `, in the syntax of the Rust crate `regex`.
    #[serde(default)]
    pub name: Option<String>,
    /// What becomes of archived projects.
    #[serde(default)]
    pub archived: ArchivedConfig,
    /// Whose credential looks, and polls. May be left out where there is one account.
    #[serde(default)]
    pub account: Option<String>,
}

/// What becomes of archived projects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ArchivedConfig {
    /// They are left out.
    #[default]
    Exclude,
    /// They are there like all others.
    Include,
    /// Only they are there.
    Only,
}

/// How often streams are polled. Each stream has its own pace between the two
/// intervals: it goes to the shortest when events come, and slows down while none do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct PollingConfig {
    /// The pace of a stream on which events come.
    pub min_interval: HumanDuration,
    /// The pace of a quiet stream. Far below 24 hours, after which a sync token is dead.
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

/// How records are gathered into commits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct CommitConfig {
    /// How long the first page of a batch waits for others.
    pub linger: HumanDuration,
    /// A batch of this many records is committed at once.
    pub max_records: NonZeroU32,
    /// Pages that wait for the sink may weigh this much; past it, polling pauses.
    pub max_pending: ByteSize,
    /// How often each lane of an output topic is told, for each shard, up to when it is complete, so that
    /// consumers also notice that the last records of a lane are missing. `0s`: never. On Kafka and NATS.
    pub watermark_interval: HumanDuration,
}

impl Default for CommitConfig {
    fn default() -> Self {
        Self {
            linger: HumanDuration(Duration::from_millis(100)),
            max_records: NonZeroU32::MIN.saturating_add(9_999),
            max_pending: ByteSize(64 << 20),
            watermark_interval: HumanDuration(Duration::from_secs(60)),
        }
    }
}

/// What the bridge remembers of each resource, so that it can say what a crawl found changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct IndexConfig {
    /// The folder that holds it, of this replica alone, on a local disk; about 50 MB for a million resources. It may be
    /// lost: then it is made again by full crawls. Default: a temporary file, which is lost at each restart.
    pub path: Option<PathBuf>,
}

/// What the bridge shows of itself over HTTP: `/livez`, `/readyz`, `/metrics`, `/api/streams` and a status page at `/`.
/// All of it can only be read, and holds no secrets; it does name accounts and gids, and asks nobody who they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct AdminConfig {
    /// The address and port to listen on, such as `0.0.0.0:8080`, or `[::]:8080` for IPv6 too. Default: none, and nothing
    /// is shown.
    pub listen: Option<String>,
    /// Whether there is a status page at `/`, and the JSON that it shows at `/api/streams`.
    pub status_page: bool,
    /// A replica that has more streams than this has no metrics of single streams: only sums and the worst of them.
    pub stream_metrics: u32,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self { listen: None, status_page: true, stream_metrics: 1000 }
    }
}

/// Where records go: exactly one of these.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct SinkConfig {
    /// Apache Kafka.
    pub kafka: Option<KafkaConfig>,
    /// NATS JetStream.
    pub nats: Option<NatsConfig>,
    /// JSON lines on standard output.
    pub console: Option<ConsoleConfig>,
    /// JSON lines in a file.
    pub file: Option<FileConfig>,
}

/// Apache Kafka, or what speaks its protocol with transactions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct KafkaConfig {
    /// `host:port`, separated by commas.
    pub bootstrap_servers: String,
    /// The output topic. May use `{resource_type}`, `{workspace}` and `{stream}`.
    #[serde(default = "default_topic")]
    pub topic: String,
    /// The compacted topic that holds the checkpoints, one partition for each shard.
    #[serde(default = "default_checkpoint_topic")]
    pub checkpoint_topic: String,
    /// Where records go that the bus refuses for their size.
    #[serde(default = "default_dead_letter_topic")]
    pub dead_letter_topic: String,
    /// The consumer group by which replicas share the shards; also the prefix of transactional ids.
    #[serde(default = "default_group_id")]
    pub group_id: String,
    /// Whether the group knows this replica by its name (`group.instance.id`). Set true where a replica
    /// comes back under the same name, as in a `StatefulSet` or on one machine: it then has its shards
    /// again at once, also after a crash. Nobody else gets them before the session time-out, though.
    #[serde(default)]
    pub static_membership: bool,
    /// How the group agrees on who owns what: `classic`, or `consumer` for KIP-848, which needs Kafka 4.0. With
    /// the latter shards move more smoothly, but the brokers set the session time-out, to 45 s by default
    /// (`group.consumer.session.timeout.ms`): so long a crashed replica's shards wait. All replicas need the same.
    #[serde(default)]
    pub group_protocol: KafkaGroupProtocol,
    /// How topics are made and checked.
    #[serde(default)]
    pub topics: KafkaTopicsConfig,
    /// Any property of librdkafka, such as `security.protocol`. Those that exactly-once
    /// depends on can't be set.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
    /// Properties whose values are secrets, such as `sasl.password`.
    #[serde(default)]
    pub secret_properties: BTreeMap<String, SecretConfig>,
    /// With it, values are in the wire format of Confluent's schema registry; without, plain protobuf.
    #[serde(default)]
    pub schema_registry: Option<SchemaRegistryConfig>,
}

/// A schema registry: Confluent's, or one with its interface. It has to be there when the bridge starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct SchemaRegistryConfig {
    /// Where it is, such as `https://registry.example.com`; for Apicurio with `/apis/ccompat/v7` behind it. Of
    /// several, the first that answers is asked.
    pub urls: Vec<String>,
    /// A user; goes with `password`.
    #[serde(default)]
    pub user: Option<String>,
    /// The user's password.
    #[serde(default)]
    pub password: Option<SecretConfig>,
    /// A bearer token, instead of `user`.
    #[serde(default)]
    pub token: Option<SecretConfig>,
    /// The authorities that may sign the registry's certificate, as PEM. Default: the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Whether a missing schema is registered. Set false where somebody else does that: the bridge then refuses
    /// to start until the schema is there.
    #[serde(default = "yes")]
    pub register: bool,
    /// Under which subjects the schema is: `TOPIC-value`, `RECORD` or `TOPIC-RECORD`, where `RECORD` is
    /// `asana_event_bridge.v1.Record`, or `asana_event_bridge.v1.DeadLetter` for the dead-letter topic.
    #[serde(default)]
    pub subject_name_strategy: SubjectNameStrategy,
}

/// What a subject of the schema registry is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SubjectNameStrategy {
    /// `TOPIC-value`.
    #[default]
    TopicName,
    /// `RECORD`.
    RecordName,
    /// `TOPIC-RECORD`.
    TopicRecordName,
}

/// How a consumer group agrees on who owns what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum KafkaGroupProtocol {
    /// A member decides for all; the session time-out is the client's.
    #[default]
    Classic,
    /// The coordinator decides (KIP-848); the session time-out is the broker's.
    Consumer,
}

fn default_topic() -> String {
    "asana.events".to_owned()
}
fn default_checkpoint_topic() -> String {
    "asana.checkpoints".to_owned()
}
fn default_dead_letter_topic() -> String {
    "asana.dead-letters".to_owned()
}
fn default_group_id() -> String {
    "asana-event-bridge".to_owned()
}

/// How topics are made where they are missing, and what is asked of those that are there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct KafkaTopicsConfig {
    /// Whether missing topics are made.
    pub create: bool,
    /// Whether the settings of topics that are there are checked. Set false where the bridge
    /// has no right to read them; then it relies on you.
    pub check: bool,
    /// Partitions of an output topic that is made.
    pub partitions: NonZeroU32,
    /// Replicas of each partition. Set 1 for a cluster of one broker.
    pub replication_factor: NonZeroU16,
    /// `min.insync.replicas`. Set 1 for a cluster of one broker.
    pub min_insync_replicas: NonZeroU16,
    /// Further settings of output topics that are made, such as `retention.ms`.
    pub config: BTreeMap<String, String>,
}

impl Default for KafkaTopicsConfig {
    fn default() -> Self {
        Self {
            create: true,
            check: true,
            partitions: NonZeroU32::MIN.saturating_add(11),
            replication_factor: NonZeroU16::MIN.saturating_add(2),
            min_insync_replicas: NonZeroU16::MIN.saturating_add(1),
            config: BTreeMap::new(),
        }
    }
}

/// NATS with JetStream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NatsConfig {
    /// Such as `nats://host:4222`.
    pub servers: Vec<String>,
    /// The JetStream stream, which holds records and checkpoints.
    #[serde(default = "default_jetstream")]
    pub stream: String,
    /// The first tokens of every subject.
    #[serde(default = "default_subject_prefix")]
    pub subject_prefix: String,
    /// The name of the checkpoint, of letters, digits, `-` and `_`. It has none until the number
    /// of shards is changed: `checkpoint migrate` says which one it has then.
    #[serde(default)]
    pub checkpoint: Option<String>,
    /// Lanes: how many ways the records can be shared among consumers.
    #[serde(default = "default_lanes")]
    pub lanes: NonZeroU32,
    /// Whether a missing JetStream stream is made.
    #[serde(default = "yes")]
    pub create: bool,
    /// Replicas of the JetStream stream.
    #[serde(default = "default_replicas")]
    pub replicas: NonZeroU16,
    /// How long records are kept. Far above 24 hours: checkpoints live in the same JetStream stream.
    #[serde(default = "default_max_age")]
    pub max_age: HumanDuration,
    /// How long the server remembers `Nats-Msg-Id`s.
    #[serde(default = "default_duplicate_window")]
    pub duplicate_window: HumanDuration,
    /// A credentials file (JWT and seed).
    #[serde(default)]
    pub credentials_file: Option<PathBuf>,
    /// An nkey seed.
    #[serde(default)]
    pub nkey_seed: Option<SecretConfig>,
    /// A token.
    #[serde(default)]
    pub token: Option<SecretConfig>,
    /// A user; goes with `password`.
    #[serde(default)]
    pub user: Option<String>,
    /// The user's password.
    #[serde(default)]
    pub password: Option<SecretConfig>,
    /// TLS.
    #[serde(default)]
    pub tls: Option<NatsTlsConfig>,
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
fn yes() -> bool {
    true
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

/// TLS of a NATS connection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct NatsTlsConfig {
    /// The authorities that may sign the server's certificate, as PEM. Default: the system's.
    pub ca_file: Option<PathBuf>,
    /// The client's certificate, as PEM; goes with `keyFile`.
    pub cert_file: Option<PathBuf>,
    /// The client's key, as PEM.
    pub key_file: Option<PathBuf>,
}

/// JSON lines on standard output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct ConsoleConfig {
    /// Where the checkpoint is kept.
    pub checkpoint: PathBuf,
}

impl Default for ConsoleConfig {
    fn default() -> Self {
        Self { checkpoint: "asana-event-bridge.checkpoint".into() }
    }
}

/// JSON lines in a file, exactly once: what a crash left unfinished is cut off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct FileConfig {
    /// The file that records are appended to.
    pub path: PathBuf,
    /// Where the checkpoint is kept. Default: `path` with `.checkpoint` behind it.
    #[serde(default)]
    pub checkpoint: Option<PathBuf>,
}
