//! The configuration as types that can't be wrong: what the rest of the program consumes.

use super::secret::SecretSource;
use super::webhooks::CheckedWebhooks;
use super::{
    ArchivedConfig, CommitConfig, ConsoleConfig, CrawlConfig, IndexConfig, KafkaConfig, NatsConfig, PollingConfig,
    SubjectNameStrategy,
};
use crate::core::engine::StreamSpec;
use crate::core::ids::AccountName;
use crate::core::listing::Listing;
use crate::core::topic::TopicTemplate;
use crate::core::trace::Sampling;
use regex::Regex;
use reqwest::header::HeaderMap;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// A configuration without problems. Secrets were readable when it was checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// At least one, by name, each used by a stream or not.
    pub accounts: Vec<CheckedAccount>,
    /// Without duplicates, and at least one where there are no rules; each one's account is among `accounts`.
    pub streams: Vec<StreamSpec>,
    /// How further streams are found.
    pub discovery: CheckedDiscovery,
    /// Where records go.
    pub sink: CheckedSink,
    /// The pace; the shortest interval is not above the longest.
    pub polling: PollingConfig,
    /// When and how resources are read anew; the part of the budget is between 1 and 90 percent.
    pub crawl: CrawlConfig,
    /// How records are gathered.
    pub commit: CommitConfig,
    /// Where the index is; its path isn't empty.
    pub index: IndexConfig,
    /// What is shown over HTTP, if anything.
    pub admin: Option<CheckedAdmin>,
    /// The bell, if there is one.
    pub webhooks: Option<CheckedWebhooks>,
    /// The number of shards.
    pub shards: NonZeroU32,
    /// This replica's name: letters, digits, `.`, `_`, `-`.
    pub replica: String,
    /// Which traces are reported, to where OpenTelemetry's variables say.
    pub sampling: Sampling,
    /// What can be done but is hardly meant, for a person.
    pub warnings: Vec<String>,
}

/// Rules, each with an account that is there.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedDiscovery {
    /// From the end of one look to the beginning of the next; a second at least.
    pub interval: Duration,
    /// Without duplicates; there may be none.
    pub rules: Vec<CheckedRule>,
}

/// Which streams are to be found.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedRule {
    /// Whose credential looks, and polls.
    pub account: AccountName,
    /// The list to read: projects or goals of something.
    pub listing: Listing,
    /// What is found in the name.
    pub name: Option<NamePattern>,
    /// What becomes of archived projects.
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
    /// What is left of an account's budget for polls and crawls, in requests a minute.
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
    /// What discovery may take of an account's budget, in requests a minute; nothing where no rule asks. A twentieth,
    /// but 6 at least, so that 100 pages take no hours, and never more than half.
    #[must_use]
    pub fn requests_per_minute(&self, account: &AccountName, of: NonZeroU32) -> Option<NonZeroU32> {
        const LEAST: u32 = 6;
        let asked = self.rules.iter().any(|rule| rule.account == *account);
        let part = (of.get() / 20).max(LEAST).min(of.get() / 2);
        asked.then(|| NonZeroU32::new(part).unwrap_or(NonZeroU32::MIN))
    }
}

/// An admin port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckedAdmin {
    /// Where it is.
    pub listen: SocketAddr,
    /// Whether there is a status page.
    pub status_page: bool,
    /// Up to so many streams each have metrics.
    pub stream_metrics: usize,
}

/// An account with exactly one credential.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedAccount {
    /// Its name in the configuration.
    pub name: AccountName,
    /// What it polls with.
    pub credential: Credential,
    /// Asana's API, `http` or `https`, without a slash at the end of its path.
    pub base_url: Url,
    /// The budget over all replicas.
    pub requests_per_minute: NonZeroU32,
    /// Requests in flight at once.
    pub max_in_flight: NonZeroU16,
    /// How long one request may take; a second at least.
    pub request_timeout: Duration,
    /// What each request has besides the bridge's own headers; all names begin with `asana-`.
    pub headers: HeaderMap,
}

/// How an account shows who it is.
#[derive(Clone, Debug, PartialEq)]
pub enum Credential {
    /// A bearer token as it is.
    Token(SecretSource),
    /// Access tokens, got with a refresh token.
    Oauth(CheckedOauth),
}

/// An OAuth application's access.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedOauth {
    /// The application's client id.
    pub client_id: String,
    /// The application's client secret.
    pub client_secret: SecretSource,
    /// The refresh token that the user's consent gave. Asana promises one only in exchange
    /// for the consent's code; should a refresh bring another, that one is used from then on,
    /// in memory, until the source itself changes.
    pub refresh_token: SecretSource,
    /// The application's redirect URI, as registered.
    pub redirect_uri: String,
    /// Where access tokens are given.
    pub token_url: Url,
}

/// The one sink.
#[derive(Clone, Debug, PartialEq)]
pub enum CheckedSink {
    /// Apache Kafka.
    Kafka(Box<CheckedKafka>),
    /// NATS JetStream.
    Nats(Box<CheckedNats>),
    /// Standard output.
    Console(ConsoleConfig),
    /// A file.
    File(CheckedFile),
}

impl CheckedSink {
    /// Its key in the configuration.
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
    /// As it stands in the file.
    pub config: KafkaConfig,
    /// `config.topic`, parsed.
    pub topic: TopicTemplate,
    /// `config.secret_properties`, resolved.
    pub secret_properties: BTreeMap<String, SecretSource>,
    /// `config.schema_registry`, checked.
    pub schema_registry: Option<CheckedSchemaRegistry>,
}

/// A schema registry with one way to log in.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedSchemaRegistry {
    /// Where it is, `http` or `https`; one at least.
    pub urls: Vec<Url>,
    /// How the bridge logs in.
    pub login: RegistryLogin,
    /// The authorities that may sign its certificate, as PEM.
    pub ca_file: Option<PathBuf>,
    /// Whether a missing schema is registered.
    pub register: bool,
    /// What subjects are called.
    pub subject_name_strategy: SubjectNameStrategy,
}

/// How the bridge shows a schema registry who it is.
#[derive(Clone, Debug, PartialEq)]
pub enum RegistryLogin {
    /// Not at all.
    Nobody,
    /// HTTP's basic authentication.
    User {
        /// The user.
        user: String,
        /// The password.
        password: SecretSource,
    },
    /// A bearer token.
    Token(SecretSource),
}

/// NATS with legal names and one way to log in.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedNats {
    /// As it stands in the file.
    pub config: NatsConfig,
    /// How the bridge logs in.
    pub login: NatsLogin,
}

/// How the bridge shows a NATS server who it is.
#[derive(Clone, Debug, PartialEq)]
pub enum NatsLogin {
    /// Not at all.
    Nobody,
    /// A credentials file (JWT and seed).
    CredentialsFile(PathBuf),
    /// An nkey seed.
    NkeySeed(SecretSource),
    /// A token.
    Token(SecretSource),
    /// A user and password.
    User {
        /// The user.
        user: String,
        /// The password.
        password: SecretSource,
    },
}

/// A file and its checkpoint, which are not the same.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedFile {
    /// The file that records are appended to.
    pub path: PathBuf,
    /// Where the checkpoint is kept.
    pub checkpoint: PathBuf,
}
