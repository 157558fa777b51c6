//! The sink of a configuration: the only file that knows all kinds.

use super::admission::{Applicant, Stored, Tail, is_absent};
use super::console::ConsoleCommitter;
use super::file::FileCommitter;
use super::kafka::{KafkaCommitter, KafkaSettings};
use super::nats::{NatsCommitter, NatsSettings};
use super::reader::{PlaceError, Where};
use super::refresh_log::RefreshLog;
use super::{CommitError, Committer, Ownership, SinkError, console, file, kafka, local, nats};
use crate::config::{
    Checked, CheckedFile, CheckedKafka, CheckedNats, CheckedReading, CheckedSink, LONGEST_CHECKPOINT,
    is_checkpoint_name,
};
use crate::finding::Finding;
use bridge_core::checkpoint::reshard::{Set, Steps};
use bridge_core::checkpoint::{CheckpointError, Expected, read};
use bridge_core::ids::{Deployment, ShardId, StreamId, Topic};
use bridge_core::record::batch::{Batch, BatchLimits, OutputTopic, StoredCheckpoint};
use bridge_core::record::encoding::{Encoding, Encodings};
use bridge_core::record::topic::{TopicTemplate, check_name};
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The name of a local sink's topic.
const LOCAL_TOPIC: &str = "asana.events";

/// The sink of a configuration, of any kind.
#[derive(Clone, Debug)]
pub struct Sink {
    of: CheckedSink,
    shards: NonZeroU32,
    deployment: Deployment,
    replica: String,
}

/// The names on the sink.
#[derive(Clone, Debug, PartialEq)]
pub struct Naming {
    /// The template for the topic of each record.
    pub topic: TopicTemplate,
    /// The topic for parts of records that are too large.
    pub dead_letter_topic: String,
    /// The state topic, if there is one.
    pub state_topic: Option<Topic>,
    /// The forms of what is written.
    pub encodings: Encodings,
    /// Whether watermarks are written. They are, if readers can't see the end of the records otherwise.
    pub has_watermarks: bool,
}

/// To be called at the beginning of the program, before any client. At the program's end OpenSSL would free what librdkafka's
/// threads still use, and the program would crash.
pub fn prepare_process() {
    #[cfg(feature = "kafka-full")]
    openssl_sys::init();
}

/// The bus committed: what its clients reported may be over.
pub fn bus_works() {
    kafka::bus_works();
    nats::bus_works();
}

/// Writes a line to the log for each problem that a client of a bus reported, and that is over.
pub fn tell_over() {
    kafka::tell_over();
    nats::tell_over();
}

impl Sink {
    /// The sink that the configuration names.
    #[must_use]
    pub fn new(checked: &Checked) -> Self {
        Self::reading(&checked.into())
    }

    /// The sink of a configuration whose records are read only.
    #[must_use]
    pub fn reading(of: &CheckedReading) -> Self {
        let CheckedReading { sink, shards, deployment, replica, .. } = of;
        Self { of: sink.clone(), shards: *shards, deployment: deployment.clone(), replica: replica.clone() }
    }

    fn kafka(&self, sink: &CheckedKafka) -> Result<KafkaSettings, SinkError> {
        KafkaSettings::new(sink, self.shards, &self.deployment, &self.replica)
    }

    fn nats(&self, sink: &CheckedNats) -> NatsSettings {
        NatsSettings::new(sink, self.shards, &self.deployment, &self.replica)
    }

    /// Opens a session: connects, and prepares topics or files.
    ///
    /// # Errors
    /// [`SinkError`] says what to do. Secrets are read now. If one can't be read, the error is [`SinkError::Refused`].
    ///
    /// # Cancel safety
    /// Cancel safe. Topics may have been created by then.
    pub async fn open(&self) -> Result<(AnyCommitter, Ownership), SinkError> {
        Ok(match &self.of {
            CheckedSink::Kafka(sink) => {
                let settings = self.kafka(sink)?;
                let (committer, ownership) = kafka::open(settings).await?;
                (AnyCommitter::Kafka(Box::new(committer)), ownership)
            }
            CheckedSink::Nats(sink) => {
                let settings = self.nats(sink);
                let (committer, ownership) = Box::pin(nats::open(settings)).await?;
                (AnyCommitter::Nats(Box::new(committer)), ownership)
            }
            CheckedSink::Console(sink) => {
                let (committer, ownership) = console::open(sink, self.shards).await?;
                (AnyCommitter::Console(committer), ownership)
            }
            CheckedSink::File(sink) => {
                let (committer, ownership) = file::open(sink, self.shards).await?;
                (AnyCommitter::File(committer), ownership)
            }
        })
    }

    /// Whether the applicant may open a session: read from the bus, and decided before it joins the others. Returns whether
    /// there is a checkpoint. A local sink admits each process, because its checkpoint is locked.
    ///
    /// # Errors
    /// [`SinkError`] says what to do. Nothing was changed.
    ///
    /// # Cancel safety
    /// Cancel safe: dropping the future has no effect.
    pub async fn admit(&self, applicant: &Applicant) -> Result<bool, SinkError> {
        let stored = self.look(applicant.streams.iter().cloned().collect(), applicant.all_known).await?;
        let Some(stored) = stored else { return Ok(true) };
        applicant.admit(&stored)?;
        if applicant.is_stranger(&stored.checkpoint) {
            let members = self.members().await?;
            if !members.is_empty() {
                return Err(applicant.stranger(&stored.setting, &members));
            }
        }
        Ok(!is_absent(&stored.checkpoint))
    }

    /// What a bus has of the deployment: the last records, and then the checkpoint, which knows all of them if nothing is
    /// lost. `None` for a local sink. `streams`: those whose topics are looked at; `all_known`: there are no others.
    async fn look(&self, streams: Vec<StreamId>, all_known: bool) -> Result<Option<Stored>, SinkError> {
        if self.is_local() {
            return Ok(None);
        }
        let (tails, emptied) = self.ends(streams, all_known).await?;
        let stored = self.stored().await?;
        let contents = |(shard, stored): (&ShardId, &StoredCheckpoint)| Ok((*shard, read(*shard, stored)?));
        let checkpoint = stored.iter().map(contents).collect::<Result<Set, CheckpointError>>();
        let checkpoint = checkpoint.map_err(|error| SinkError::Setup {
            problem: error.to_string(),
            remedy: "see `asana-event-bridge checkpoint repair`".to_owned(),
        })?;
        Ok(Some(Stored { setting: self.checkpoint_setting(), checkpoint, tails, emptied }))
    }

    /// What is wrong with the checkpoint, by the records that were written: that it is gone, older than they are, damaged, or
    /// another deployment's. `None` if nothing is, and for a local sink.
    ///
    /// # Errors
    /// [`SinkError::Unavailable`], [`SinkError::Refused`]: the bus can't be read.
    ///
    /// # Cancel safety
    /// Cancel safe: dropping the future has no effect.
    pub async fn doubt(&self, streams: Vec<StreamId>, all_known: bool) -> Result<Option<String>, SinkError> {
        let stored = match self.look(streams, all_known).await {
            Ok(None) => return Ok(None),
            Ok(Some(stored)) => stored,
            Err(SinkError::Setup { problem, .. }) => return Ok(Some(problem)),
            Err(error) => return Err(error),
        };
        // A reader's configuration may have no more than a sink.
        let header = stored.checkpoint.values().find_map(|contents| contents.header.as_ref());
        let expected = header.map_or_else(
            || self.expected(),
            |header| Expected {
                shards: header.shards.try_into().unwrap_or(self.shards),
                deployment: header.deployment.clone(),
            },
        );
        match Applicant::reading(expected).admit(&stored) {
            Err(SinkError::Setup { problem, .. }) => Ok(Some(problem)),
            outcome => outcome.map(|()| None),
        }
    }

    async fn ends(&self, streams: Vec<StreamId>, all_known: bool) -> Result<(Vec<Tail>, Vec<ShardId>), SinkError> {
        match &self.of {
            CheckedSink::Kafka(sink) => {
                let template = sink.topic.clone();
                let is_output = move |topic: &Topic| template.may_give_any(&streams, !all_known, topic);
                kafka::tails(self.kafka(sink)?, is_output).await
            }
            CheckedSink::Nats(sink) => nats::tails(&self.nats(sink)).await,
            CheckedSink::Console(_) | CheckedSink::File(_) => Ok((Vec::new(), Vec::new())),
        }
    }

    /// The last record in each lane of a bus, for topics that may have records of the streams, or of others if these
    /// aren't all.
    ///
    /// # Errors
    /// [`SinkError`]: the bus can't be read.
    ///
    /// # Cancel safety
    /// Cancel safe: dropping the future has no effect.
    pub async fn tails(&self, streams: Vec<StreamId>, all_known: bool) -> Result<Vec<Tail>, SinkError> {
        Ok(self.ends(streams, all_known).await?.0)
    }

    /// The live replicas on the checkpoint.
    async fn members(&self) -> Result<Vec<String>, SinkError> {
        match &self.of {
            CheckedSink::Kafka(sink) => kafka::offline::members(&self.kafka(sink)?, false).await,
            CheckedSink::Nats(sink) => nats::offline::holders(&self.nats(sink), false).await,
            CheckedSink::Console(_) | CheckedSink::File(_) => Ok(Vec::new()),
        }
    }

    /// The names on this sink.
    #[must_use]
    pub fn naming(&self) -> Naming {
        match &self.of {
            CheckedSink::Kafka(sink) => Naming {
                topic: sink.topic.clone(),
                dead_letter_topic: sink.config.dead_letter_topic.clone(),
                state_topic: sink.config.state_topic.as_deref().map(Topic::from),
                encodings: sink.config.encodings(),
                has_watermarks: true,
            },
            CheckedSink::Nats(sink) => {
                let prefix = &sink.config.subject_prefix;
                let dead_letter_topic = format!("{prefix}.dead-letter");
                let state_topic = sink.config.state.then(|| Topic::from(format!("{prefix}.state")));
                let encodings = sink.config.encodings();
                let topic = TopicTemplate::fixed(prefix);
                Naming { topic, dead_letter_topic, state_topic, encodings, has_watermarks: true }
            }
            // These accept records of any size, and their readers see the end of the records.
            CheckedSink::Console(_) | CheckedSink::File(_) => Naming {
                topic: TopicTemplate::fixed(LOCAL_TOPIC),
                dead_letter_topic: String::new(),
                // A file keeps everything, and the snapshots among it.
                state_topic: None,
                encodings: Encodings { events: Encoding::Json, state: Encoding::Json },
                has_watermarks: false,
            },
        }
    }

    /// The files of credentials that its client reads only at the start of a session. If they change, a new session is
    /// needed.
    #[must_use]
    pub fn credential_files(&self) -> Vec<PathBuf> {
        match &self.of {
            CheckedSink::Kafka(sink) => kafka::credential_files(sink),
            // NATS reads its files at each login.
            CheckedSink::Nats(_) | CheckedSink::Console(_) | CheckedSink::File(_) => Vec::new(),
        }
    }

    /// Checks what a session needs, and changes nothing. Waits for the bus up to `timeout`.
    ///
    /// # Cancel safety
    /// Cancel safe: dropping the future has no effect.
    pub async fn examine(&self, timeout: Duration) -> Vec<Finding> {
        match &self.of {
            CheckedSink::Kafka(sink) => match self.kafka(sink) {
                Ok(settings) => kafka::examine(settings, timeout).await,
                Err(error) => vec![crate::finding::CheckResult::from(error).of("sink")],
            },
            CheckedSink::Nats(sink) => nats::examine(self.nats(sink), timeout).await,
            CheckedSink::Console(_) => Vec::new(),
            CheckedSink::File(sink) => file::examine(sink).await,
        }
    }

    /// The place where readers find its records. Of Kafka's topics, those for which `is_output` is true.
    ///
    /// # Errors
    /// [`PlaceError`] if the bus doesn't answer within about 10 s, or doesn't have the topic or JetStream stream. It is
    /// `Setup` for the console, which keeps nothing.
    ///
    /// # Cancel safety
    /// Cancel safe: dropping the future has no effect.
    pub async fn place(&self, is_output: impl Fn(&Topic) -> bool + Send + 'static) -> Result<Where, PlaceError> {
        match &self.of {
            CheckedSink::Kafka(sink) => {
                let settings = self.kafka(sink)?;
                kafka::place(settings, sink.topic.only_topic().cloned(), is_output).await
            }
            CheckedSink::Nats(sink) => nats::place(self.nats(sink)).await,
            CheckedSink::File(sink) => Ok(Where::File { file: sink.clone(), is_configured: true }),
            CheckedSink::Console(_) => Err(PlaceError::Sink(SinkError::Setup {
                problem: "the console keeps nothing that could be read".to_owned(),
                remedy: "use another sink".to_owned(),
            })),
        }
    }
}

/// The states of the sink.
impl Sink {
    /// Where the states can be read.
    ///
    /// # Errors
    /// As for [`place`](Self::place). Also `Setup` if no states are kept.
    ///
    /// # Cancel safety
    /// Cancel safe: dropping the future has no effect.
    pub async fn state_place(&self) -> Result<Where, PlaceError> {
        let none = |remedy: &str| {
            let problem = "the configuration keeps no states".to_owned();
            Err(PlaceError::Sink(SinkError::Setup { problem, remedy: remedy.to_owned() }))
        };
        match &self.of {
            CheckedSink::Kafka(sink) => match sink.config.state_topic.clone() {
                Some(topic) => kafka::state_place(self.kafka(sink)?, topic).await,
                None => none("set `sink.kafka.stateTopic` and `state.refresh: on`"),
            },
            CheckedSink::Nats(sink) if sink.config.state => nats::place(self.nats(sink)).await,
            CheckedSink::Nats(_) => none("set `sink.nats.state: true` and `state.refresh: on`"),
            CheckedSink::File(_) | CheckedSink::Console(_) => none("only Kafka and NATS can keep states"),
        }
    }
}

/// Records at an address, for readers that have no configuration.
#[derive(Clone)]
pub enum Address {
    /// In topics of Kafka.
    Kafka {
        /// The brokers to connect to first, separated by commas.
        servers: String,
        /// The topics. All of them must exist.
        topics: BTreeSet<String>,
        /// Further properties of librdkafka.
        properties: BTreeMap<String, String>,
    },
    /// In a JetStream stream.
    Nats {
        /// The addresses of the servers.
        servers: Vec<String>,
        /// The JetStream stream, which must exist.
        stream: String,
        /// The first tokens of the records' subjects. If none are given, the JetStream stream's subjects show them.
        prefix: Option<String>,
        /// A file with credentials (JWT and seed).
        credentials: Option<PathBuf>,
    },
    /// In a file of JSON lines.
    File(PathBuf),
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Properties and addresses may hold passwords.
            Self::Kafka { topics, .. } => write!(f, "Kafka({topics:?})"),
            Self::Nats { stream, .. } => write!(f, "Nats({stream})"),
            Self::File(path) => write!(f, "File({})", path.display()),
        }
    }
}

impl Address {
    /// Where the records can be read.
    ///
    /// # Errors
    /// [`PlaceError`] if the bus doesn't answer within about 10 s, or doesn't have what is named.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn place(self) -> Result<Where, PlaceError> {
        match self {
            Self::Kafka { servers, topics, properties } => kafka::place_at(servers, topics, properties).await,
            Self::Nats { servers, stream, prefix, credentials } => {
                nats::place_at(servers, stream, prefix, credentials).await
            }
            Self::File(path) => Ok(Where::File { file: CheckedFile::at(path), is_configured: false }),
        }
    }
}

/// The checkpoint of the sink.
impl Sink {
    /// The same sink, for a session of a command. The replica's name differs from that of any bridge, because a replica
    /// takes over from an earlier session with its own name.
    #[must_use]
    pub fn as_command(&self, role: &str) -> Self {
        let mut sink = self.clone();
        sink.replica = format!("{}-{role}", self.replica);
        if let CheckedSink::Kafka(sink) = &mut sink.of {
            // A static member would keep its shards for a while after it has left.
            sink.config.static_membership = false;
        }
        sink
    }

    /// The same sink with another number of shards, and with the checkpoint for it: named `name`, or after the number.
    /// A local checkpoint stays where it is.
    ///
    /// # Errors
    /// Why the name can't be used, for people.
    pub fn resharded(&self, shards: NonZeroU32, name: Option<&str>) -> Result<Self, String> {
        let mut to = Self { shards, ..self.clone() };
        let is_moved = shards != self.shards || name.is_some();
        match &mut to.of {
            CheckedSink::Kafka(sink) => {
                let topic = &mut sink.config.checkpoint_topic;
                let base = topic.strip_suffix(&format!("-{}", self.shards)).unwrap_or(topic);
                let name = name.map_or_else(|| format!("{base}-{shards}"), ToOwned::to_owned);
                check_name(&name).map_err(|problem| format!("{name}: {problem}"))?;
                if is_moved && (name == *topic || name == sink.config.dead_letter_topic || name == sink.config.topic) {
                    return Err(format!("{name}: the topic is in use already; name a new one"));
                }
                *topic = name;
                // The new checkpoint gets a log of its own with the first bridge.
                sink.refresh_topic = None;
            }
            CheckedSink::Nats(sink) => {
                let base = sink.config.checkpoint.as_deref().unwrap_or_default();
                let base = base.strip_suffix(&format!("shards-{}", self.shards)).unwrap_or(base);
                let base = if base.is_empty() { String::new() } else { format!("{}-", base.trim_end_matches('-')) };
                let name = name.map_or_else(|| format!("{base}shards-{shards}"), ToOwned::to_owned);
                if !is_checkpoint_name(&name) {
                    let most = LONGEST_CHECKPOINT;
                    return Err(format!("{name}: must be letters, digits, `-` and `_`, {most} of them at most"));
                }
                if is_moved && sink.config.checkpoint.as_ref() == Some(&name) {
                    return Err(format!("{name}: the checkpoint has this name already; give a new one"));
                }
                sink.config.checkpoint = Some(name);
            }
            CheckedSink::Console(_) | CheckedSink::File(_) => {
                if let Some(name) = name {
                    return Err(format!("{name}: a local checkpoint stays where it is"));
                }
            }
        }
        Ok(to)
    }

    /// The same checkpoint, opened with this number of shards.
    #[must_use]
    pub fn with_shards(&self, shards: NonZeroU32) -> Self {
        Self { shards, ..self.clone() }
    }

    /// The number of shards.
    #[must_use]
    pub fn shards(&self) -> NonZeroU32 {
        self.shards
    }

    /// What its checkpoint has to be.
    #[must_use]
    pub fn expected(&self) -> Expected {
        Expected { shards: self.shards, deployment: self.deployment.clone() }
    }

    /// The name of the replica in its sessions.
    #[must_use]
    pub fn replica(&self) -> &str {
        &self.replica
    }

    /// Whether the checkpoint is a local file, which is rewritten in place.
    #[must_use]
    pub fn is_local(&self) -> bool {
        matches!(self.of, CheckedSink::Console(_) | CheckedSink::File(_))
    }

    /// The setting that names the checkpoint, as `path: value`.
    #[must_use]
    pub fn checkpoint_setting(&self) -> String {
        match &self.of {
            CheckedSink::Kafka(sink) => format!("sink.kafka.checkpointTopic: {}", sink.config.checkpoint_topic),
            CheckedSink::Nats(sink) => match &sink.config.checkpoint {
                Some(name) => format!("sink.nats.checkpoint: {name}"),
                None => "sink.nats.checkpoint isn't set".to_owned(),
            },
            CheckedSink::Console(sink) => format!("sink.console.checkpoint: {}", sink.checkpoint.display()),
            CheckedSink::File(sink) => format!("sink.file.checkpoint: {}", sink.checkpoint.display()),
        }
    }

    /// The stored checkpoint of each shard, read without owning it.
    ///
    /// # Errors
    /// [`SinkError`]: the checkpoint can't be read.
    ///
    /// # Cancel safety
    /// Cancel safe: dropping the future has no effect.
    pub async fn stored(&self) -> Result<BTreeMap<ShardId, StoredCheckpoint>, SinkError> {
        match &self.of {
            CheckedSink::Kafka(sink) => kafka::offline::stored(&self.kafka(sink)?).await,
            CheckedSink::Nats(sink) => nats::offline::stored(&self.nats(sink)).await,
            CheckedSink::Console(sink) => local::stored(&sink.checkpoint).await,
            CheckedSink::File(sink) => local::stored(&sink.checkpoint).await,
        }
    }

    /// The processes that use the checkpoint, for people.
    ///
    /// # Errors
    /// [`SinkError`]: the sink can't be reached.
    ///
    /// # Cancel safety
    /// Cancel safe: dropping the future has no effect.
    pub async fn users(&self) -> Result<Vec<String>, SinkError> {
        match &self.of {
            CheckedSink::Kafka(sink) => kafka::offline::members(&self.kafka(sink)?, true).await,
            CheckedSink::Nats(sink) => nats::offline::holders(&self.nats(sink), true).await,
            CheckedSink::Console(sink) => local_users(&sink.checkpoint).await,
            CheckedSink::File(sink) => local_users(&sink.checkpoint).await,
        }
    }
}

async fn local_users(checkpoint: &Path) -> Result<Vec<String>, SinkError> {
    let held = local::is_held(checkpoint).await?;
    Ok(held.then(|| format!("a process that uses {}", checkpoint.display())).into_iter().collect())
}

/// The committer of a session on any sink.
#[derive(Debug)]
pub enum AnyCommitter {
    /// Commits to Kafka, in transactions.
    Kafka(Box<KafkaCommitter>),
    /// Commits to JetStream, in atomic batches.
    Nats(Box<NatsCommitter>),
    /// Commits to standard output.
    Console(ConsoleCommitter),
    /// Commits to a file.
    File(FileCommitter),
}

impl AnyCommitter {
    /// Moves a whole checkpoint from this session to that of `new`, a session on the sink `to`, in one commit that only
    /// the owner of both can do.
    ///
    /// # Errors
    /// See [`Committer::commit`]. `Fatal` between sinks of different kinds, and for local sinks.
    ///
    /// # Cancel safety
    /// Not cancel safe, as a commit.
    pub async fn hand_over(
        &mut self,
        new: &mut Self,
        to: &Sink,
        steps: Steps,
        now: DateTime<Utc>,
    ) -> Result<(), CommitError> {
        let Steps { entries, headers, retired, .. } = steps;
        match (self, new, &to.of) {
            (Self::Kafka(old), Self::Kafka(_), CheckedSink::Kafka(sink)) => {
                let written = entries.into_iter().chain(headers).collect();
                kafka::offline::hand_over(old, &sink.config.checkpoint_topic, written, retired, now).await
            }
            (Self::Nats(old), Self::Nats(new), _) => {
                nats::offline::hand_over(old, new, entries, headers, retired).await
            }
            _ => Err(CommitError::Fatal(SinkError::Setup {
                problem: "a checkpoint can't be moved between these sinks".to_owned(),
                remedy: "keep the kind of sink".to_owned(),
            })),
        }
    }
}

impl Committer for AnyCommitter {
    fn batch_limits(&self) -> BatchLimits {
        match self {
            Self::Kafka(it) => it.batch_limits(),
            Self::Nats(it) => it.batch_limits(),
            Self::Console(it) => it.batch_limits(),
            Self::File(it) => it.batch_limits(),
        }
    }

    async fn output_topic(&mut self, topic: &Topic) -> Result<OutputTopic, SinkError> {
        match self {
            Self::Kafka(it) => it.output_topic(topic).await,
            Self::Nats(it) => it.output_topic(topic).await,
            Self::Console(it) => it.output_topic(topic).await,
            Self::File(it) => it.output_topic(topic).await,
        }
    }

    async fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        match self {
            Self::Kafka(it) => it.commit(batch).await,
            Self::Nats(it) => it.commit(batch).await,
            Self::Console(it) => it.commit(batch).await,
            Self::File(it) => it.commit(batch).await,
        }
    }

    fn refresh_log(&mut self) -> RefreshLog {
        match self {
            Self::Kafka(it) => it.refresh_log(),
            Self::Nats(it) => it.refresh_log(),
            Self::Console(it) => it.refresh_log(),
            Self::File(it) => it.refresh_log(),
        }
    }

    async fn close(self) {
        match self {
            Self::Kafka(it) => it.close().await,
            Self::Nats(it) => it.close().await,
            Self::Console(it) => it.close().await,
            Self::File(it) => it.close().await,
        }
    }
}
