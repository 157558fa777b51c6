//! Topics: created if they are missing, checked if they exist.

use super::KafkaSettings;
use super::client::{self, Logs, REQUEST_TIMEOUT};
use super::error::{self, Right};
use crate::config::KafkaTopicsConfig;
use crate::finding::CheckResult;
use crate::sink::SinkError;
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// What every topic must take, so that a batch of [`BATCH_BYTES`] always fits. Kafka's
/// default for `max.message.bytes` is 12 bytes more.
const LEAST_MESSAGE_BYTES: u64 = 1_048_576;

/// The maximum size of a record batch without key, value and headers' content, in bytes: 61 for itself, at most 21 for
/// a record and 10 for each header (Kafka's message format, version 2).
const RECORD_OVERHEAD: u64 = 512;

/// The `max.message.bytes` of a new dead-letter topic: far above a page of Asana's.
const DEAD_LETTER_BYTES: &str = "16777216";

/// The `max.message.bytes` of other new topics: Kafka's default, whatever the brokers' own default is.
const NEW_MESSAGE_BYTES: &str = "1048588";

/// The retention of dead letters: 30 days.
const DEAD_LETTER_RETENTION_MS: &str = "2592000000";

/// The timeout for a new topic until all of its partitions have leaders, and every broker knows it.
const LEADERS_TIMEOUT: Duration = Duration::from_secs(30);

/// The timeout for the settings of a topic that is there, until the broker that is asked knows it, too.
const CONFIGS_TIMEOUT: Duration = Duration::from_secs(10);

/// The use of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A topic for records.
    Output,
    /// The topic for checkpoints.
    Checkpoint,
    /// The topic for parts of records that are too large for output topics.
    DeadLetter,
    /// The refresh log.
    RefreshLog,
    /// The state topic.
    State,
}

/// The properties of a topic that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TopicFacts {
    /// The number of its partitions.
    pub(super) partitions: NonZeroU32,
    /// The maximum size of a message: key, value and headers, in bytes.
    pub(super) message_bytes: usize,
}

impl TopicFacts {
    fn new(layout: &Layout, max_message_bytes: u64) -> Self {
        Self {
            partitions: NonZeroU32::new(layout.partitions).unwrap_or(NonZeroU32::MIN),
            message_bytes: usize::try_from(max_message_bytes.saturating_sub(RECORD_OVERHEAD)).unwrap_or(usize::MAX),
        }
    }
}

/// Creates and checks topics.
pub(super) struct Topics {
    settings: Arc<KafkaSettings>,
    admin: Arc<AdminClient<Logs>>,
}

impl Topics {
    pub(super) fn new(settings: Arc<KafkaSettings>) -> Result<Self, SinkError> {
        let admin = client::create(&settings, &client::admin(&settings), Logs)?;
        Ok(Self { settings, admin: Arc::new(admin) })
    }

    /// Creates the topics that are missing, then checks all of them. The facts are in the order of `topics`. All
    /// problems are reported together.
    pub(super) async fn ensure(&self, topics: &[(String, Role)]) -> Result<Vec<TopicFacts>, SinkError> {
        let mut found = Vec::new();
        for (name, role) in topics {
            let layout = match self.layout(name).await? {
                Some(layout) => layout,
                None => self.make(name, *role).await?,
            };
            found.push(layout);
        }
        let wants_check = self.settings.config.topics.check;
        let configs = if wants_check { self.configs(topics).await? } else { Vec::new() };
        let mut configs = configs.iter();
        let mut differences = Vec::new();
        let mut facts = Vec::new();
        for ((name, role), layout) in topics.iter().zip(&found) {
            let check = Check { settings: &self.settings, name, role: *role };
            check.shards(layout, &mut differences);
            facts.push(match configs.next() {
                Some(config) => check.run(layout, config, &mut differences),
                None => TopicFacts::new(layout, LEAST_MESSAGE_BYTES),
            });
        }
        match Difference::all(&differences, &self.settings.config.bootstrap_servers) {
            Some(error) => Err(error),
            None => Ok(facts),
        }
    }

    async fn layout(&self, name: &str) -> Result<Option<Layout>, SinkError> {
        layout(name, &self.metadata(name).await?)
    }

    async fn metadata(&self, name: &str) -> Result<Metadata, SinkError> {
        let admin = Arc::clone(&self.admin);
        match metadata(name, move |name| admin.inner().fetch_metadata(Some(name), REQUEST_TIMEOUT)).await {
            Ok(metadata) => Ok(metadata),
            Err(error) => Err(match self.connection_trouble(&error).await {
                Some((cause, remedy)) => SinkError::unreached(looking(name), cause, remedy),
                None => error,
            }),
        }
    }

    /// Whether the cluster answers, and lets the client see the checkpoint topic.
    pub(super) async fn reach(&self) -> Result<(), SinkError> {
        self.layout(&self.settings.config.checkpoint_topic).await.map(drop)
    }

    /// Why the cluster doesn't answer, and a remedy.
    async fn connection_trouble(&self, error: &SinkError) -> Option<(String, &'static str)> {
        if !matches!(error, SinkError::Unavailable { .. }) {
            return None;
        }
        let settings = Arc::clone(&self.settings);
        let why = move || client::why_no_answer(&settings, &settings.config.checkpoint_topic);
        let trouble = tokio::task::spawn_blocking(why).await.ok().flatten();
        trouble.map(error::no_connection)
    }

    /// How many brokers there are, if the cluster answers.
    pub(super) async fn brokers(&self, timeout: Duration) -> Result<usize, CheckResult> {
        let (admin, topic) = (Arc::clone(&self.admin), self.settings.config.checkpoint_topic.clone());
        let asked = metadata(&topic, move |name| admin.inner().fetch_metadata(Some(name), timeout)).await;
        match asked {
            Ok(metadata) => Ok(metadata.brokers().len()),
            Err(error) => Err(match self.connection_trouble(&error).await {
                Some((cause, remedy)) => CheckResult::failed(cause, remedy),
                None => error.into(),
            }),
        }
    }

    /// Looks at a topic, and changes nothing: a missing one is only asked to be made. Whether it is there.
    pub(super) async fn examine(&self, name: &str, role: Role) -> (CheckResult, bool) {
        match self.layout(name).await {
            Err(error) => (error.into(), false),
            Ok(None) => (self.could_be_made(name, role).await, false),
            Ok(Some(layout)) => (self.judge(name, role, &layout).await.unwrap_or_else(CheckResult::from), true),
        }
    }

    async fn could_be_made(&self, name: &str, role: Role) -> CheckResult {
        if !self.settings.config.topics.create {
            return self.must_be_made(name, &Plan::new(&self.settings, role)).into();
        }
        match self.order(name, role, AdminOptions::new().validate_only(true)).await {
            Ok(plan) => CheckResult::ok(format!(
                "is missing, and the bridge may create it: {} partition(s), {} replica(s)",
                plan.partitions, plan.replication_factor
            )),
            Err(error) => error.into(),
        }
    }

    async fn judge(&self, name: &str, role: Role, layout: &Layout) -> Result<CheckResult, SinkError> {
        let check = Check { settings: &self.settings, name, role };
        let mut differences = Vec::new();
        check.shards(layout, &mut differences);
        let shape = format!("{} partition(s), {} replica(s)", layout.partitions, layout.replicas);
        let settings = if self.settings.config.topics.check {
            let found = self.describe(&[(name.to_owned(), role)]).await?;
            match found.first().filter(|config| !config.entries.is_empty()) {
                Some(config) => check.run(layout, config, &mut differences),
                None => return Err(untold(&[(name.to_owned(), role)])),
            };
            "settings as required"
        } else {
            "settings not checked, as `sink.kafka.topics.check` is false"
        };
        if !layout.led {
            return Ok(CheckResult::failed(
                format!("{shape}, and not every partition has a leader"),
                "check which brokers are down",
            ));
        }
        let bootstrap = &self.settings.config.bootstrap_servers;
        Ok(match Difference::all(&differences, bootstrap) {
            Some(error) => error.into(),
            None => CheckResult::ok(format!("{shape}, {settings}")),
        })
    }

    async fn make(&self, name: &str, role: Role) -> Result<Layout, SinkError> {
        if !self.settings.config.topics.create {
            return Err(self.must_be_made(name, &Plan::new(&self.settings, role)));
        }
        let plan = self.order(name, role, AdminOptions::new()).await?;
        tracing::info!(topic = name, partitions = plan.partitions, "topic created");
        tokio::time::timeout(LEADERS_TIMEOUT, self.leaders(name, plan.partitions)).await.unwrap_or_else(|_| {
            let late = format!("not all partitions have leaders after {LEADERS_TIMEOUT:?}");
            Err(SinkError::unavailable(format!("making the topic {name}"), late))
        })
    }

    fn must_be_made(&self, name: &str, plan: &Plan) -> SinkError {
        SinkError::Setup {
            problem: format!("the topic {name} is missing, and `sink.kafka.topics.create` is false"),
            remedy: format!("create it: {}", plan.command(name, &self.settings.config.bootstrap_servers)),
        }
    }

    /// Requests the creation of the topic.
    async fn order(&self, name: &str, role: Role, options: AdminOptions) -> Result<Plan, SinkError> {
        let plan = Plan::new(&self.settings, role);
        let mut topic = NewTopic::new(name, plan.partitions, TopicReplication::Fixed(plan.replication_factor));
        for (key, value) in &plan.config {
            topic = topic.set(key, value);
        }
        let options = options.request_timeout(Some(REQUEST_TIMEOUT)).operation_timeout(Some(REQUEST_TIMEOUT));
        let results = self.admin.create_topics([&topic], &options).await;
        let refused = |error| error::setup_with(&format!("making the topic {name}"), &Right::create(name), error);
        let results = results.map_err(refused)?;
        let refused = match results.into_iter().next() {
            // Another replica created it first.
            None | Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => None,
            Some(Err((_, code))) => Some(code),
        };
        drop(topic);
        match refused {
            None => Ok(plan),
            Some(code) => Err(self.not_made(name, &plan, code).await),
        }
    }

    async fn leaders(&self, name: &str, partitions: i32) -> Result<Layout, SinkError> {
        loop {
            match self.layout(name).await? {
                Some(layout) if layout.led && i64::from(layout.partitions) >= i64::from(partitions) => {
                    return Ok(layout);
                }
                Some(_) | None => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "librdkafka's codes are an open set; the rest has no remedy here"
    )]
    async fn not_made(&self, name: &str, plan: &Plan, code: RDKafkaErrorCode) -> SinkError {
        let action = format!("making the topic {name}");
        match code {
            RDKafkaErrorCode::InvalidReplicationFactor => {
                let brokers = self.metadata(name).await.map(|metadata| metadata.brokers().len());
                let brokers = brokers.map_or_else(|_| "fewer".to_owned(), |count| count.to_string());
                SinkError::Setup {
                    problem: format!(
                        "the topic {name} can't have {} replicas: the cluster has {brokers} broker(s)",
                        plan.replication_factor
                    ),
                    remedy: "set `sink.kafka.topics.replicationFactor` and `sink.kafka.topics.minInsyncReplicas` \
                             to 1 for a cluster of one broker"
                        .to_owned(),
                }
            }
            RDKafkaErrorCode::InvalidConfig
            | RDKafkaErrorCode::PolicyViolation
            | RDKafkaErrorCode::InvalidPartitions => SinkError::Setup {
                problem: format!("{action}: {code}"),
                remedy: "correct `sink.kafka.topics`, or create it by hand: ".to_owned()
                    + &plan.command(name, &self.settings.config.bootstrap_servers),
            },
            code => error::setup_with(&action, &Right::create(name), KafkaError::AdminOp(code)),
        }
    }

    /// The topics' settings. A broker that doesn't know a topic yet answers that it has no settings, and so does one
    /// that may not show them.
    async fn configs(&self, topics: &[(String, Role)]) -> Result<Vec<ConfigResource>, SinkError> {
        let mut missing = Vec::new();
        let complete = async {
            loop {
                let found = self.describe(topics).await?;
                let is_missing = |(_, config): &(_, &ConfigResource)| config.entries.is_empty();
                missing = topics.iter().zip(&found).filter(is_missing).map(|(topic, _)| topic.clone()).collect();
                if missing.is_empty() {
                    return Ok(found);
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let complete = tokio::time::timeout(CONFIGS_TIMEOUT, complete).await;
        complete.unwrap_or_else(|_| Err(untold(&missing)))
    }

    async fn describe(&self, topics: &[(String, Role)]) -> Result<Vec<ConfigResource>, SinkError> {
        let action = "reading the topics' settings";
        let names: Vec<_> = topics.iter().map(|(name, _)| ResourceSpecifier::Topic(name)).collect();
        let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
        let results =
            self.admin.describe_configs(&names, &options).await.map_err(|error| error::setup(action, error))?;
        results
            .into_iter()
            .map(|result| result.map_err(|code| error::setup(action, KafkaError::Global(code))))
            .collect()
    }
}

/// Requests a topic's metadata through a client, which also updates the client's own metadata.
pub(super) async fn metadata(
    name: &str,
    fetch: impl FnOnce(&str) -> KafkaResult<Metadata> + Send + 'static,
) -> Result<Metadata, SinkError> {
    let (action, name) = (looking(name), name.to_owned());
    match tokio::task::spawn_blocking(move || fetch(&name)).await {
        Ok(Ok(metadata)) => Ok(metadata),
        Ok(Err(error)) => Err(error::setup(&action, error)),
        Err(error) => Err(SinkError::unavailable(action, error)),
    }
}

/// The topic in the cluster; `None` if it doesn't exist.
pub(super) fn layout(name: &str, metadata: &Metadata) -> Result<Option<Layout>, SinkError> {
    let Some(topic) = metadata.topics().first() else { return Ok(None) };
    match topic.error().map(RDKafkaErrorCode::from) {
        Some(RDKafkaErrorCode::UnknownTopicOrPartition) => return Ok(None),
        // The second: a new topic, whose leaders aren't elected yet.
        None | Some(RDKafkaErrorCode::LeaderNotAvailable) => {}
        Some(code) => {
            return Err(error::setup_with(&looking(name), &Right::describe(name), KafkaError::MetadataFetch(code)));
        }
    }
    let partitions = topic.partitions();
    Ok(Some(Layout {
        partitions: u32::try_from(partitions.len()).unwrap_or(u32::MAX),
        replicas: partitions.iter().map(|partition| partition.replicas().len()).min().unwrap_or(0),
        led: !partitions.is_empty() && partitions.iter().all(|partition| partition.leader() >= 0),
    }))
}

/// librdkafka's answer has no reason why settings are missing. The topics are there, so it is a missing right.
fn untold(topics: &[(String, Role)]) -> SinkError {
    let rights: Vec<_> = topics.iter().map(|(name, _)| Right::describe_configs(name).to_string()).collect();
    SinkError::Setup {
        problem: "the cluster doesn't return the topics' settings".to_owned(),
        remedy: format!("allow {}, or set `sink.kafka.topics.check: false`", rights.join(", ")),
    }
}

fn looking(name: &str) -> String {
    format!("looking at the topic {name}")
}

/// A topic in the cluster.
pub(super) struct Layout {
    pub(super) partitions: u32,
    replicas: usize,
    led: bool,
}

/// A topic as the bridge would create it.
struct Plan {
    partitions: i32,
    replication_factor: i32,
    config: Vec<(String, String)>,
}

impl Plan {
    fn new(settings: &KafkaSettings, role: Role) -> Self {
        let KafkaTopicsConfig { create: _, check: _, partitions, replication_factor, min_insync_replicas, config } =
            &settings.config.topics;
        let own: &[(&str, &str)] = match role {
            Role::Output => &[("max.message.bytes", NEW_MESSAGE_BYTES)],
            // Each commit writes here: compacted often, so that a restore stays short.
            Role::Checkpoint => &[
                ("cleanup.policy", "compact"),
                ("max.message.bytes", NEW_MESSAGE_BYTES),
                ("segment.bytes", "16777216"),
                ("min.cleanable.dirty.ratio", "0.1"),
                ("max.compaction.lag.ms", "3600000"),
            ],
            // Its owners read only what is new. Each resource has one entry for each stream in the end.
            Role::RefreshLog => &[("cleanup.policy", "compact"), ("max.message.bytes", NEW_MESSAGE_BYTES)],
            Role::State => &[
                ("cleanup.policy", "compact"),
                ("max.message.bytes", NEW_MESSAGE_BYTES),
                ("min.cleanable.dirty.ratio", "0.1"),
                // A follower that is behind by more than this misses the removal of a resource.
                ("delete.retention.ms", "604800000"),
            ],
            Role::DeadLetter => &[("max.message.bytes", DEAD_LETTER_BYTES), ("retention.ms", DEAD_LETTER_RETENTION_MS)],
        };
        let own = own.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let given = match role {
            Role::Output => config.clone(),
            Role::Checkpoint | Role::DeadLetter | Role::RefreshLog | Role::State => std::collections::BTreeMap::new(),
        };
        let partitions = match role {
            Role::Output | Role::State => partitions.get(),
            Role::Checkpoint | Role::RefreshLog => settings.shards.get(),
            Role::DeadLetter => 1,
        };
        Self {
            partitions: i32::try_from(partitions).unwrap_or(i32::MAX),
            replication_factor: i32::from(replication_factor.get()),
            config: std::iter::once(("min.insync.replicas".to_owned(), min_insync_replicas.to_string()))
                .chain(own)
                .chain(given)
                .collect(),
        }
    }

    /// The command that creates it, for people.
    fn command(&self, name: &str, bootstrap: &str) -> String {
        let config: Vec<_> = self.config.iter().map(|(key, value)| format!("--config {key}={value}")).collect();
        format!(
            "kafka-topics.sh --bootstrap-server {bootstrap} --create --topic {name} --partitions {} \
             --replication-factor {} {}",
            self.partitions,
            self.replication_factor,
            config.join(" ")
        )
    }
}

/// A check of one topic.
struct Check<'a> {
    settings: &'a KafkaSettings,
    name: &'a str,
    role: Role,
}

impl Check<'_> {
    fn run(&self, layout: &Layout, config: &ConfigResource, differences: &mut Vec<Difference>) -> TopicFacts {
        let value = |key: &str| config.get(key).and_then(|entry| entry.value.clone()).unwrap_or_default();
        let number = |key: &str| value(key).parse::<u64>().unwrap_or(0);
        let wanted = &self.settings.config.topics;

        let policy = value("cleanup.policy");
        let (fit, policy_wanted) = match self.role {
            Role::Checkpoint | Role::RefreshLog | Role::State => (policy == "compact", "compact"),
            // Compaction would remove all events of a gid except the newest.
            Role::Output | Role::DeadLetter => (!policy.contains("compact"), "delete"),
        };
        if !fit {
            differences.push(self.setting("cleanup.policy", &policy, policy_wanted, policy_wanted));
        }
        if layout.replicas < usize::from(wanted.replication_factor.get()) {
            differences.push(Difference {
                what: self.what(
                    "replication factor",
                    layout.replicas,
                    format_args!("at least {}", wanted.replication_factor),
                ),
                remedy: Remedy::Say(format!(
                    "set `sink.kafka.topics.replicationFactor: {}`, or give {} more replicas with \
                     kafka-reassign-partitions.sh",
                    layout.replicas, self.name
                )),
            });
        }
        let insync = number("min.insync.replicas");
        if insync < u64::from(wanted.min_insync_replicas.get()) {
            let least = wanted.min_insync_replicas.to_string();
            differences.push(self.setting(
                "min.insync.replicas",
                &insync.to_string(),
                &format!("at least {least}"),
                &least,
            ));
        }
        let bytes = number("max.message.bytes");
        if bytes < LEAST_MESSAGE_BYTES {
            let least = LEAST_MESSAGE_BYTES.to_string();
            differences.push(self.setting(
                "max.message.bytes",
                &bytes.to_string(),
                &format!("at least {least}"),
                &least,
            ));
        }
        TopicFacts::new(layout, bytes)
    }

    /// Each shard's progress is in the partition of its number, so the numbers must be the same.
    fn shards(&self, layout: &Layout, differences: &mut Vec<Difference>) {
        if matches!(self.role, Role::Checkpoint | Role::RefreshLog) && layout.partitions != self.settings.shards.get() {
            differences.push(Difference {
                what: self.what(
                    "partitions",
                    layout.partitions,
                    format_args!("{}, one for each shard", self.settings.shards),
                ),
                remedy: Remedy::Say(format!(
                    "streams are found by the number of shards, so that it can't just be changed: set `shards: {}` if \
                     the checkpoints were written with it, else move them to a topic that fits with \
                     `asana-event-bridge checkpoint migrate`",
                    layout.partitions
                )),
            });
        }
    }

    fn what(&self, setting: &str, found: impl std::fmt::Display, wanted: impl std::fmt::Display) -> String {
        format!("topic {}: {setting} is {found}, wanted is {wanted}", self.name)
    }

    fn setting(&self, setting: &str, found: &str, wanted: &str, value: &str) -> Difference {
        Difference {
            what: self.what(setting, found, wanted),
            remedy: Remedy::Set { topic: self.name.to_owned(), setting: format!("{setting}={value}") },
        }
    }
}

/// A difference between a topic and what the bridge needs.
struct Difference {
    what: String,
    remedy: Remedy,
}

enum Remedy {
    Say(String),
    Set { topic: String, setting: String },
}

impl Difference {
    /// All differences as one error.
    fn all(differences: &[Self], bootstrap: &str) -> Option<SinkError> {
        if differences.is_empty() {
            return None;
        }
        let problem = differences.iter().map(|difference| difference.what.as_str()).collect::<Vec<_>>().join("; ");
        let remedy = |difference: &Self| match &difference.remedy {
            Remedy::Say(words) => words.clone(),
            Remedy::Set { topic, setting } => format!(
                "run kafka-configs.sh --bootstrap-server {bootstrap} --alter --entity-type topics \
                 --entity-name {topic} --add-config {setting}"
            ),
        };
        Some(SinkError::Setup { problem, remedy: differences.iter().map(remedy).collect::<Vec<_>>().join("; ") })
    }
}
