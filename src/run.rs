//! Makes a bridge of a checked configuration: the one place that knows all parts.

use crate::asana::{Accounts, ClientError, Listener};
use crate::bell::{self, Bell, BellError};
use crate::bridge::{self, BridgeError, Observer, Observers, Plan};
use crate::config::{
    Checked, CheckedAccount, CheckedKafka, CheckedNats, CheckedSink, CrawlDepth, KafkaConfig, NatsConfig, SecretSource,
};
use crate::discovery::Discovery;
use crate::index::service::IndexHandle;
use crate::index::{Index, IndexError};
use crate::reader::Where;
use crate::reload;
use crate::sink::{SinkError, console, file, kafka, nats};
use bridge_core::crawl::Depth;
use bridge_core::engine::schedule::budget::Limit;
use bridge_core::engine::{AccountSpec, CrawlSettings, Settings};
use bridge_core::ids::{AccountName, StreamId, Topic};
use bridge_core::record::topic::TopicTemplate;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Why a bridge didn't start, or gave up.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// An account can't be polled at all: correct the configuration.
    #[error("account {account}: {source}")]
    Account {
        /// Which.
        account: String,
        /// Why.
        source: ClientError,
    },
    /// A secret can't be read.
    #[error("{what}: {source}")]
    Secret {
        /// Whose it is, never what it is.
        what: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The index can't be opened.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// See there.
    #[error(transparent)]
    Bridge(#[from] BridgeError),
    /// The bus can't be read.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// There is no bell, and there is to be one.
    #[error(transparent)]
    Bell(#[from] BellError),
}

impl RunError {
    /// Whether somebody has to change something; else trying again later may help.
    #[must_use]
    pub fn is_setup(&self) -> bool {
        match self {
            Self::Account { .. } | Self::Secret { .. } | Self::Index(_) | Self::Bridge(BridgeError::Checkpoint(_)) => {
                true
            }
            Self::Bell(error) => error.is_setup(),
            Self::Bridge(BridgeError::Sink(error)) | Self::Sink(error) => {
                matches!(error, SinkError::Refused { .. } | SinkError::Setup { .. })
            }
        }
    }
}

/// Runs the bridge until `stop`. A configuration out of `reloads` takes the place of the one before it, if it
/// can without a restart.
///
/// # Errors
/// [`RunError`]: somebody has to act. A bus that can't be reached any more is waited for.
///
/// # Cancel safety
/// Cancel through `stop`: then all that was polled is committed first.
pub async fn run(
    checked: Checked,
    reloads: mpsc::Receiver<Checked>,
    observer: Arc<dyn Observer>,
    stop: CancellationToken,
) -> Result<(), RunError> {
    let affected = Arc::clone(&observer);
    let listener = Listener(Arc::new(move |account, change| affected.affected(account, change)));
    let accounts = Arc::new(accounts(&Accounts::telling(listener), &checked)?);
    let discovery = Discovery::new(&checked, Arc::clone(&accounts));
    let (plans_to, plans) = watch::channel(Arc::new(plan(&checked, &discovery, accounts)));
    let sink = checked.sink.clone();
    let shards = checked.shards;
    let index = match &checked.index.path {
        Some(folder) => Index::open(folder)?,
        None => Index::temporary()?,
    };
    let index = IndexHandle::start(index).map_err(IndexError::Thread)?;
    let (rings_to, rings) = mpsc::channel(bell::RINGS);
    // One is as good as several.
    let (renewals_to, renewals) = mpsc::channel(1);
    let bell = match &checked.webhooks {
        Some(webhooks) => Some(Bell::listen(webhooks, rings_to, Arc::clone(&observer)).await?),
        None => None,
    };
    let observer: Arc<dyn Observer> = match &bell {
        Some(bell) => Arc::new(Observers(vec![observer, bell.observer()])),
        None => observer,
    };
    let told = Arc::clone(&observer);
    let ringing = {
        let plans = plans.clone();
        async {
            match bell {
                Some(bell) => Box::pin(bell.run(plans)).await,
                None => std::future::pending().await,
            }
        }
    };
    tokio::select! {
        ended = ringing => Ok(ended?),
        ended = async {
            match &sink {
                CheckedSink::Kafka(sink) => {
                    let settings = kafka_settings(&checked, sink)?;
                    let open = || async {
                        let secret_properties = secret_properties(sink).map_err(|error| {
                            SinkError::unavailable("reading the credentials of Kafka anew", error)
                        })?;
                        kafka::open(kafka::KafkaSettings { secret_properties, ..settings.clone() }).await
                    };
                    bridge::run(plans, open, index, rings, renewals, observer, stop).await?;
                }
                CheckedSink::Nats(sink) => {
                    let settings = nats_settings(&checked, sink);
                    bridge::run(plans, || nats::open(settings.clone()), index, rings, renewals, observer, stop).await?;
                }
                CheckedSink::Console(sink) => {
                    bridge::run(plans, || console::open(sink, shards), index, rings, renewals, observer, stop).await?;
                }
                CheckedSink::File(sink) => {
                    bridge::run(plans, || file::open(sink, shards), index, rings, renewals, observer, stop).await?;
                }
            }
            Ok(())
        } => ended,
        never = replan(checked.clone(), discovery, reloads, &plans_to, told.as_ref()) => match never {},
        never = reload::watch_files(credential_files(&sink), renewals_to) => match never {},
    }
}

/// Makes a new plan whenever the configuration changes, or the streams that its rules give.
async fn replan(
    mut checked: Checked,
    mut discovery: Discovery<Accounts>,
    mut reloads: mpsc::Receiver<Checked>,
    plans: &watch::Sender<Arc<Plan<Accounts>>>,
    observer: &dyn Observer,
) -> Infallible {
    loop {
        tokio::select! {
            Some(next) = reloads.recv() => {
                let before = Arc::clone(&plans.borrow());
                let accounts = match acceptable(&checked, &next, &before.source) {
                    Ok(accounts) => accounts,
                    Err(why) => {
                        observer.configured(Some(&why));
                        continue;
                    }
                };
                observer.configured(None);
                checked = next;
                discovery.follow(&checked, Arc::clone(&accounts));
                let plan = plan(&checked, &discovery, accounts);
                say_difference(&before, &plan);
                plans.send_replace(Arc::new(plan));
            }
            () = discovery.changed() => {
                discovery.take_shrunk().iter().for_each(|account| observer.rule_shrank(account));
                let source = Arc::clone(&plans.borrow().source);
                plans.send_replace(Arc::new(plan(&checked, &discovery, source)));
            }
        }
    }
}

/// The accounts of a configuration that can be followed, or why it can't be.
fn acceptable(before: &Checked, next: &Checked, source: &Accounts) -> Result<Arc<Accounts>, String> {
    let restart = needs_restart(before, next);
    if !restart.is_empty() {
        return Err(format!("another {} needs a restart", restart.join(", ")));
    }
    accounts(source, next).map(Arc::new).map_err(|error| error.to_string())
}

/// The keys that differ and can't be changed while the bridge runs.
fn needs_restart(before: &Checked, after: &Checked) -> Vec<&'static str> {
    let differ = [
        ("sink", before.sink != after.sink),
        ("shards", before.shards != after.shards),
        ("replica", before.replica != after.replica),
        ("index", before.index != after.index),
        ("admin", before.admin != after.admin),
        ("webhooks", before.webhooks != after.webhooks),
    ];
    differ.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
}

fn say_difference(before: &Plan<Accounts>, after: &Plan<Accounts>) {
    let lacks = |plan: &Plan<Accounts>, other: &Plan<Accounts>| {
        let ids: BTreeSet<_> = plan.streams.iter().collect();
        other.streams.iter().filter(|stream| !ids.contains(stream)).count()
    };
    let (added, removed) = (lacks(before, after), lacks(after, before));
    let (streams, accounts) = (after.streams.len(), after.accounts.len());
    tracing::info!(added, removed, streams, accounts, "configuration applied");
}

fn accounts(before: &Accounts, checked: &Checked) -> Result<Accounts, RunError> {
    before
        .with(checked.accounts.clone())
        .map_err(|(account, source)| RunError::Account { account: account.to_string(), source })
}

/// What the configuration says and its rules give, in the core's terms.
fn plan(checked: &Checked, discovery: &Discovery<Accounts>, source: Arc<Accounts>) -> Plan<Accounts> {
    let (topic, dead_letter_topic, watermark_interval) = match &checked.sink {
        CheckedSink::Kafka(sink) => {
            (sink.topic.clone(), sink.config.dead_letter_topic.clone(), checked.commit.watermark_interval.0)
        }
        CheckedSink::Nats(sink) => {
            let prefix = &sink.config.subject_prefix;
            (TopicTemplate::fixed(prefix), format!("{prefix}.dead-letter"), checked.commit.watermark_interval.0)
        }
        // These take records of any size, and whoever reads them sees their end.
        CheckedSink::Console(_) | CheckedSink::File(_) => {
            (TopicTemplate::fixed("asana.events"), String::new(), Duration::ZERO)
        }
    };
    let account = |account: &CheckedAccount| {
        let requests_per_minute = checked.left_for_polls(&account.name, account.requests_per_minute);
        let limit = Limit { requests_per_minute, max_in_flight: account.max_in_flight };
        AccountSpec { name: account.name.clone(), limit }
    };
    // How a stream is polled that is configured, too, is the operator's word.
    let mut streams: BTreeMap<_, _> = discovery.streams().map(|spec| (&spec.id, spec)).collect();
    streams.extend(checked.streams.iter().map(|spec| (&spec.id, spec)));
    let crawl = &checked.crawl;
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    Plan {
        settings: Settings {
            shards: checked.shards,
            topic,
            min_interval: checked.polling.min_interval.0,
            max_interval: checked.polling.max_interval.0,
            linger: checked.commit.linger.0,
            max_records: size(checked.commit.max_records.get().into()),
            max_pending_bytes: size(checked.commit.max_pending.0),
            watermark_interval,
            replica: checked.replica.clone(),
            dead_letter_topic,
            crawl: CrawlSettings {
                initial: crawl.initial,
                depth: match crawl.depth {
                    CrawlDepth::Tasks => Depth::Tasks,
                    CrawlDepth::Subtasks => Depth::Subtasks,
                    CrawlDepth::Stories => Depth::Stories,
                    CrawlDepth::Attachments => Depth::Attachments,
                },
                budget_percent: crawl.budget_percent,
                account: crawl.account.as_deref().map(AccountName::from),
                short_percent: crawl.short_list_percent,
                short_count: crawl.short_list_count,
                reconcile_interval: crawl.reconcile_interval.0,
                late_events: crawl.late_events.0,
            },
            all_known: discovery.is_complete(),
            sampling: checked.sampling,
        },
        accounts: checked.accounts.iter().map(account).collect(),
        streams: streams.into_values().cloned().collect(),
        source,
    }
}

/// Where the records of a configuration are, for a reader.
///
/// # Errors
/// [`RunError::Secret`], [`RunError::Sink`].
pub async fn place(checked: &Checked) -> Result<Where, RunError> {
    Ok(match &checked.sink {
        CheckedSink::Kafka(sink) => {
            let settings = kafka_settings(checked, sink)?;
            let (template, streams) = (sink.topic.clone(), checked.streams.clone());
            let discovers = !checked.discovery.rules.is_empty();
            let KafkaConfig { checkpoint_topic, dead_letter_topic, .. } = sink.config.clone();
            let wanted = move |name: &str| {
                let topic = Topic::from(name);
                // Which streams the rules give isn't known here: any digits in the name may be the gid of one.
                let gids = name.split(|letter: char| !letter.is_ascii_digit()).filter(|_| discovers);
                let mut ids = gids.map(|gid| StreamId::new("", gid)).chain(streams.iter().map(|it| it.id.clone()));
                name != checkpoint_topic
                    && name != dead_letter_topic
                    && ids.any(|stream| template.may_give(&stream, &topic))
            };
            let mut properties = settings.config.properties;
            properties.extend(settings.secret_properties);
            properties.insert("bootstrap.servers".to_owned(), settings.config.bootstrap_servers);
            Where::Kafka { properties, wanted: Box::new(wanted) }
        }
        CheckedSink::Nats(sink) => {
            let client = nats::connect(&nats_settings(checked, sink)).await?;
            let NatsConfig { stream, subject_prefix: prefix, .. } = sink.config.clone();
            Where::Nats { client, stream, prefix }
        }
        CheckedSink::File(sink) => Where::File(sink.path.clone()),
        CheckedSink::Console(_) => {
            return Err(SinkError::Setup {
                problem: "the console keeps nothing that could be read".to_owned(),
                remedy: "use another sink".to_owned(),
            }
            .into());
        }
    })
}

/// The files with which the clients of a sink log in, where they read them only once. A client of NATS reads its own at
/// each login.
fn credential_files(sink: &CheckedSink) -> Vec<PathBuf> {
    let CheckedSink::Kafka(sink) = sink else { return Vec::new() };
    let secrets = sink.secret_properties.values().filter_map(|source| match source {
        SecretSource::File(path) => Some(path.clone()),
        SecretSource::Text(_) => None,
    });
    // Certificates and keys, as librdkafka's properties name them.
    let properties = sink.config.properties.iter();
    secrets.chain(properties.filter(|(name, _)| name.ends_with(".location")).map(|(_, path)| path.into())).collect()
}

fn secret_properties(sink: &CheckedKafka) -> Result<BTreeMap<String, String>, RunError> {
    let resolve = |(name, source): (&String, &SecretSource)| match source.read() {
        Ok(secret) => Ok((name.clone(), secret.expose().to_owned())),
        Err(source) => Err(RunError::Secret { what: format!("sink.kafka.secretProperties.{name}"), source }),
    };
    sink.secret_properties.iter().map(resolve).collect()
}

pub(crate) fn kafka_settings(checked: &Checked, sink: &CheckedKafka) -> Result<kafka::KafkaSettings, RunError> {
    Ok(kafka::KafkaSettings {
        config: sink.config.clone(),
        secret_properties: secret_properties(sink)?,
        schema_registry: sink.schema_registry.clone().map(kafka::SchemaRegistry::new).transpose()?,
        shards: checked.shards,
        replica: checked.replica.clone(),
    })
}

pub(crate) fn nats_settings(checked: &Checked, sink: &CheckedNats) -> nats::NatsSettings {
    nats::NatsSettings {
        config: sink.config.clone(),
        login: sink.login.clone(),
        shards: checked.shards,
        replica: checked.replica.clone(),
        lease_time: nats::LEASE_TIME,
    }
}
