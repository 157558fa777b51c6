//! The configuration as types that can't be wrong. The rest of the program uses these types.

use super::secret::SecretSource;
use super::{
    ArchivedConfig, CheckpointConfig, CommitConfig, ConsoleConfig, CrawlConfig, IndexConfig, KafkaConfig, NatsConfig,
    PollingConfig, StateConfig, SubjectNameStrategy,
};
use bridge_core::engine::StreamSpec;
use bridge_core::ids::{AccountName, Deployment};
use bridge_core::outcome::list::Listing;
use bridge_core::record::topic::TopicTemplate;
use bridge_core::record::trace::Sampling;
use regex::Regex;
use reqwest::header::HeaderMap;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// A configuration without problems. All secrets were readable when it was checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// The accounts, sorted by name. There is at least one. An account may be without streams.
    pub accounts: Vec<CheckedAccount>,
    /// The streams, without duplicates. There is at least one if there are no rules. Each stream's account is among `accounts`.
    pub streams: Vec<StreamSpec>,
    /// The rules that find more streams.
    pub discovery: CheckedDiscovery,
    /// The sink that records are written to.
    pub sink: CheckedSink,
    /// The polling intervals. The shortest interval is not above the longest.
    pub polling: PollingConfig,
    /// When and how resources are re-crawled. The share of the budget is between 1 and 90 percent.
    pub crawl: CrawlConfig,
    /// What is read again after events.
    pub state: StateConfig,
    /// How records are batched into commits.
    pub commit: CommitConfig,
    /// The place of the index. Its path isn't empty.
    pub index: IndexConfig,
    /// The admin port, if there is one.
    pub admin: Option<CheckedAdmin>,
    /// Webhooks, if they are configured.
    pub webhooks: Option<CheckedWebhooks>,
    /// The number of shards.
    pub shards: NonZeroU32,
    /// The deployment: letters, digits, `_`, `-`, or no name.
    pub deployment: Deployment,
    /// Whether a missing checkpoint is created.
    pub checkpoint: CheckpointConfig,
    /// This replica's name: letters, digits, `.`, `_`, `-`.
    pub replica: String,
    /// Which traces are sent. OpenTelemetry's variables name the collector.
    pub sampling: Sampling,
    /// Warnings for people: settings that are allowed, but probably not intended.
    pub warnings: Vec<String>,
}

/// What a reader of the records needs of a configuration: no account, and so no token of Asana's.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedReading {
    /// The sink that the records are in.
    pub sink: CheckedSink,
    /// The configured streams. Their accounts aren't checked.
    pub streams: Vec<StreamSpec>,
    /// Whether records may be of other streams, too: rules find some, or the configuration doesn't say which streams there are.
    pub has_others: bool,
    /// The bridge's interval between watermarks.
    pub watermark_interval: Duration,
    /// The number of shards.
    pub shards: NonZeroU32,
    /// The deployment.
    pub deployment: Deployment,
    /// The name of the reader's connections.
    pub replica: String,
}

impl From<&Checked> for CheckedReading {
    fn from(checked: &Checked) -> Self {
        Self {
            sink: checked.sink.clone(),
            streams: checked.streams.clone(),
            has_others: !checked.discovery.rules.is_empty(),
            watermark_interval: checked.commit.watermark_interval.0,
            shards: checked.shards,
            deployment: checked.deployment.clone(),
            replica: checked.replica.clone(),
        }
    }
}

/// Rules of discovery. The account of each rule exists.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedDiscovery {
    /// The time from the end of one round to the start of the next. At least 1 second.
    pub interval: Duration,
    /// The rules, without duplicates. There may be none.
    pub rules: Vec<CheckedRule>,
}

/// One rule: which streams to find.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedRule {
    /// The account whose credential reads the list, and polls the streams.
    pub account: AccountName,
    /// The list to read: projects or goals of something.
    pub listing: Listing,
    /// A pattern that the resource's name must match somewhere. Without one, all names match.
    pub name: Option<NamePattern>,
    /// Whether archived projects are found.
    pub archived: ArchivedConfig,
}

/// A regular expression for names. Two are equal if their texts are.
#[derive(Clone, Debug)]
pub struct NamePattern(pub Regex);

impl PartialEq for NamePattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Checked {
    /// The part of an account's budget that is left for polls and crawls, in requests a minute.
    #[must_use]
    pub fn left_for_polls(&self, account: &AccountName, of: NonZeroU32) -> NonZeroU32 {
        left_for_polls(&self.discovery, self.webhooks.is_some(), account, of)
    }
}

pub(super) fn left_for_polls(
    discovery: &CheckedDiscovery,
    has_webhooks: bool,
    account: &AccountName,
    of: NonZeroU32,
) -> NonZeroU32 {
    let discovery = discovery.requests_per_minute(account, of).map_or(0, NonZeroU32::get);
    let webhooks = if has_webhooks { CheckedWebhooks::requests_per_minute(of).get() } else { 0 };
    NonZeroU32::new(of.get().saturating_sub(discovery + webhooks)).unwrap_or(NonZeroU32::MIN)
}

impl CheckedDiscovery {
    /// The share of an account's budget for discovery, in requests a minute. Nothing if the account has no rule. Otherwise a
    /// twentieth, at least 6 (so that 100 pages don't take hours), and never more than half.
    #[must_use]
    pub fn requests_per_minute(&self, account: &AccountName, of: NonZeroU32) -> Option<NonZeroU32> {
        const LEAST: u32 = 6;
        let asked = self.rules.iter().any(|rule| rule.account == *account);
        let part = (of.get() / 20).max(LEAST).min(of.get() / 2);
        asked.then(|| NonZeroU32::new(part).unwrap_or(NonZeroU32::MIN))
    }
}

/// Checked settings of webhooks.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedWebhooks {
    /// The address and port to listen on.
    pub listen: SocketAddr,
    /// The public address, without a slash at the end of its path.
    pub public_url: Url,
    /// The key that makes the addresses unguessable.
    pub key: SecretSource,
    /// The addresses of the replicas, each `host:port`.
    pub peers: Vec<String>,
    /// The interval between two checks. At least 1 second.
    pub interval: Duration,
}

impl CheckedWebhooks {
    /// The share of an account's budget for webhooks, in requests a minute: a twentieth, at least 6 (so that 100
    /// streams don't take hours), and never more than a quarter.
    #[must_use]
    pub fn requests_per_minute(of: NonZeroU32) -> NonZeroU32 {
        NonZeroU32::new((of.get() / 20).max(6).min(of.get() / 4)).unwrap_or(NonZeroU32::MIN)
    }
}

/// Checked settings of the admin port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedAdmin {
    /// The address and port to listen on.
    pub listen: SocketAddr,
    /// Whether to serve the status page.
    pub status_page: bool,
    /// The names by which browsers may open the status page, besides `localhost` and addresses.
    pub allowed_hosts: Vec<String>,
    /// The number of streams up to which each stream has its own metrics.
    pub stream_metrics: usize,
}

/// An account with exactly one credential.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedAccount {
    /// The account's name in the configuration.
    pub name: AccountName,
    /// The credential that all requests of the account use.
    pub credential: Credential,
    /// The address of Asana's API, `http` or `https`, without a slash at the end of its path.
    pub base_url: Url,
    /// A PEM file with the certificate authorities that may sign Asana's certificate, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The proxy for all requests, instead of the one in the environment.
    pub proxy: Option<Url>,
    /// The maximum number of requests a minute, over all replicas.
    pub requests_per_minute: NonZeroU32,
    /// The maximum number of requests in flight at the same time.
    pub max_in_flight: NonZeroU16,
    /// The timeout of one request. At least 1 second.
    pub request_timeout: Duration,
    /// Additional headers of each request. All names begin with `asana-`.
    pub headers: HeaderMap,
}

/// How an account authenticates.
#[derive(Clone, Debug, PartialEq)]
pub enum Credential {
    /// A personal access token or a service account's token, sent as it is.
    Token(SecretSource),
    /// Access tokens, obtained with a refresh token.
    Oauth(CheckedOauth),
}

/// An OAuth application's access.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedOauth {
    /// The application's client id.
    pub client_id: String,
    /// The application's client secret. `None` for an application that has none.
    pub client_secret: Option<SecretSource>,
    /// The refresh token that the application got when the user gave consent. Asana promises one only in exchange
    /// for the consent's code. If a refresh returns another refresh token, the bridge uses that one from then on,
    /// in memory, until the source itself changes.
    pub refresh_token: SecretSource,
    /// The application's redirect URI, as registered with Asana.
    pub redirect_uri: String,
    /// The address that issues access tokens.
    pub token_url: Url,
}

/// The sink that records are written to.
#[derive(Clone, Debug, PartialEq)]
pub enum CheckedSink {
    /// Kafka topics, with exactly-once commits.
    Kafka(Box<CheckedKafka>),
    /// A JetStream stream, with exactly-once commits.
    Nats(Box<CheckedNats>),
    /// JSON lines on standard output, at least once.
    Console(ConsoleConfig),
    /// JSON lines in a file, exactly once.
    File(CheckedFile),
}

impl CheckedSink {
    /// The sink's key in the configuration.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Kafka(_) => "kafka",
            Self::Nats(_) => "nats",
            Self::Console(_) => "console",
            Self::File(_) => "file",
        }
    }
}

/// Kafka without a property that would break exactly-once.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedKafka {
    /// The part of the configuration, unchanged.
    pub config: KafkaConfig,
    /// The topic of `config.topic`, parsed.
    pub topic: TopicTemplate,
    /// The sources of `config.secret_properties`, by property.
    pub secret_properties: BTreeMap<String, SecretSource>,
    /// The topic of the refresh log, beside the checkpoint topic, if anything is read again.
    pub refresh_topic: Option<String>,
    /// The checked `config.schema_registry`. Without one, values have no schema.
    pub schema_registry: Option<CheckedSchemaRegistry>,
}

/// A schema registry with at most one login.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedSchemaRegistry {
    /// The addresses, `http` or `https`. There is at least one.
    pub urls: Vec<Url>,
    /// How the bridge logs in.
    pub login: RegistryLogin,
    /// A PEM file with the certificate authorities that may sign the registry's certificate.
    pub ca_file: Option<PathBuf>,
    /// Whether the bridge registers a missing schema.
    pub register: bool,
    /// How subjects are named.
    pub subject_name_strategy: SubjectNameStrategy,
}

/// How the bridge authenticates with a schema registry.
#[derive(Clone, Debug, PartialEq)]
pub enum RegistryLogin {
    /// The registry accepts requests without a login.
    Nobody,
    /// HTTP's basic authentication, sent with each request.
    User {
        /// The name of the user.
        user: String,
        /// The source of the password.
        password: SecretSource,
    },
    /// A bearer token, sent with each request.
    Token(SecretSource),
}

/// NATS with legal names and at most one login.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedNats {
    /// The part of the configuration, unchanged.
    pub config: NatsConfig,
    /// How the bridge logs in.
    pub login: NatsLogin,
    /// Whether there is a refresh log, because resources are read again.
    pub has_refresh_log: bool,
}

/// How the bridge authenticates with a NATS server.
#[derive(Clone, Debug, PartialEq)]
pub enum NatsLogin {
    /// The server accepts connections without a login.
    Nobody,
    /// A credentials file (JWT and seed).
    CredentialsFile(PathBuf),
    /// The seed of an nkey.
    NkeySeed(SecretSource),
    /// A token of the server's configuration.
    Token(SecretSource),
    /// A user and password.
    User {
        /// The name of the user.
        user: String,
        /// The source of the password.
        password: SecretSource,
    },
}

/// A file and its checkpoint, which are not the same.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedFile {
    /// The file that records are appended to.
    pub path: PathBuf,
    /// The path of the checkpoint file.
    pub checkpoint: PathBuf,
}

impl CheckedFile {
    /// The file with its usual checkpoint: `path` with `.checkpoint` appended.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        let mut checkpoint = path.clone().into_os_string();
        checkpoint.push(".checkpoint");
        Self { path, checkpoint: checkpoint.into() }
    }
}
