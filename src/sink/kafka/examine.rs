//! What `doctor` checks of Kafka: every right and setting that a session needs, by requests that change nothing.
//!
//! Kafka doesn't list a client's rights, but it checks a request's rights before its contents. So each right is checked
//! with a request whose contents are refused if the right is there:
//!
//! | right | request | why it is refused |
//! | --- | --- | --- |
//! | Create, on the cluster or a topic | `CreateTopics`, to be validated only | it isn't refused |
//! | Write on a topic | `Produce` with two acknowledgements | that number isn't allowed |
//! | Read on an output topic and the refresh log | `Fetch` at its end | it isn't refused |
//! | Read on the group and the checkpoint topic | `OffsetCommit` for the last possible partition | it doesn't exist |
//! | Write on transactional ids | `InitProducerId` with the longest timeout, with its own id | the timeout is too long |
//! | Read on the group, by KIP-848 | `ConsumerGroupHeartbeat` with an assignor without a name | there is none |
//!
//! A running bridge notices nothing: no client joins the group, and the bridge's transactional ids aren't used.

use super::KafkaSettings;
use super::client::{self, Logs};
use super::error::{self, Right};
use super::topics::{Role, Topics};
use crate::config::KafkaGroupProtocol;
use crate::finding::{CheckResult, Finding};
use crate::sink::SinkError;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::{Offset, TopicPartitionList};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::spawn_blocking;

/// The longest timeout that a transaction can request. Brokers allow 15 minutes by default
/// (`transaction.max.timeout.ms`).
const TOO_LONG_MS: &str = "2147483647";

/// Checks everything that a session will need, each check within `timeout`. A topic whose name is a template isn't
/// checked, because its name is known only with the first record.
///
/// # Cancel safety
/// Cancel safe. A request in flight is answered without effect.
pub async fn examine(settings: KafkaSettings, timeout: Duration) -> Vec<Finding> {
    let settings = Arc::new(settings);
    let names = settings.topics();
    let mut findings = Vec::new();
    let cluster = format!("Kafka at {}", settings.config.bootstrap_servers);
    let topics = match reach(&settings, timeout).await {
        Ok((topics, found)) => {
            findings.push(found.of(cluster));
            topics
        }
        Err(failed) => {
            let reason = format!("{cluster} can't be used");
            findings.push(failed.of(cluster));
            let untried = names.iter().map(|(name, _)| format!("topic {name}"));
            let others = [group(&settings), "transactions".to_owned()];
            findings.extend(untried.chain(others).map(|what| CheckResult::not_tried(&reason).of(what)));
            return findings;
        }
    };
    for (name, role) in &names {
        let (verdict, is_there) =
            within(timeout, topics.examine(name, *role)).await.unwrap_or_else(|late| (late, false));
        findings.push(verdict.of(format!("topic {name}")));
        findings.extend(rights(&settings, name, *role, is_there, timeout).await);
    }
    if names.iter().all(|(_, role)| *role != Role::Output) {
        let reason = "the topics depend on the records: grant the rights on them by prefix";
        findings.push(CheckResult::unknown(reason).of(format!("topic {}", settings.config.topic)));
    }
    let name = &settings.config.checkpoint_topic;
    findings.push(blocking(timeout, &settings, name, may_commit).await.of(group(&settings)));
    if settings.config.group_protocol == KafkaGroupProtocol::Consumer {
        let verdict = blocking(timeout, &settings, name, speaks_kip_848).await;
        findings.push(verdict.of("group protocol of KIP-848"));
    }
    findings.push(blocking(timeout, &settings, name, may_transact).await.of("transactions"));
    if let Some(registry) = &settings.schema_registry {
        for (name, role) in &names {
            let looked =
                within(timeout, registry.examine(name, *role, settings.config.encodings())).await.unwrap_or_else(Some);
            findings.extend(looked.map(|verdict| verdict.of(format!("schema of topic {name}"))));
        }
    }
    findings
}

/// The rights on the contents of a topic. A replica that starts reads the last records of output topics, and the refresh log. The right to read
/// checkpoints is needed for the group.
async fn rights(
    settings: &Arc<KafkaSettings>,
    name: &str,
    role: Role,
    is_there: bool,
    timeout: Duration,
) -> Vec<Finding> {
    let untried = || CheckResult::not_tried("the topic isn't there");
    let verdict = if is_there { blocking(timeout, settings, name, may_write).await } else { untried() };
    let mut findings = vec![verdict.of(format!("right to write to topic {name}"))];
    if matches!(role, Role::Output | Role::RefreshLog) {
        let verdict = if is_there { blocking(timeout, settings, name, may_read).await } else { untried() };
        findings.push(verdict.of(format!("right to read topic {name}")));
    }
    findings
}

fn group(settings: &KafkaSettings) -> String {
    format!("group {}", settings.config.group_id)
}

async fn reach(settings: &Arc<KafkaSettings>, timeout: Duration) -> Result<(Topics, CheckResult), CheckResult> {
    let topics = Topics::new(Arc::clone(settings))?;
    let brokers = topics.brokers(timeout).await?;
    let property = |name: &str| settings.config.properties.get(name).cloned();
    let protocol = property("security.protocol").unwrap_or_else(|| "plaintext".to_owned()).to_uppercase();
    let user = property("sasl.username").map(|user| format!(" as {user}")).unwrap_or_default();
    Ok((topics, CheckResult::ok(format!("{brokers} broker(s) answer, by {protocol}{user}"))))
}

async fn within<T>(timeout: Duration, work: impl Future<Output = T>) -> Result<T, CheckResult> {
    tokio::time::timeout(timeout, work).await.map_err(|_elapsed| late(timeout))
}

fn late(timeout: Duration) -> CheckResult {
    CheckResult::failed(format!("no answer in {timeout:?}"), "check that all brokers run, or raise `--timeout`")
}

/// Runs a check with a client of its own, on a thread.
async fn blocking(
    timeout: Duration,
    settings: &Arc<KafkaSettings>,
    topic: &str,
    ask: fn(&KafkaSettings, &str, Duration) -> Result<CheckResult, CheckResult>,
) -> CheckResult {
    let (settings, topic) = (Arc::clone(settings), topic.to_owned());
    let asked = spawn_blocking(move || ask(&settings, &topic, timeout).unwrap_or_else(|failed| failed));
    // A call of librdkafka without a timeout of its own is left alone.
    match within(2 * timeout, asked).await {
        Ok(Ok(verdict)) => verdict,
        Ok(Err(error)) => CheckResult::failed(error.to_string(), "report it: this is a bug of the program"),
        Err(_) => late(timeout),
    }
}

/// What a refusal says: with the code of one that comes after the judgement of rights, all is well. `right` is the one on
/// a topic that the request needs, if any.
fn judge(
    action: &str,
    right: Option<&Right>,
    error: KafkaError,
    expected: RDKafkaErrorCode,
    found: &str,
) -> CheckResult {
    match right {
        _ if error.rdkafka_error_code() == Some(expected) => CheckResult::ok(found),
        Some(right) => error::setup_with(action, right, error).into(),
        None => error::setup(action, error).into(),
    }
}

/// A request that was to be refused, and wasn't.
fn accepted() -> CheckResult {
    CheckResult::unknown("this cluster doesn't answer as Apache Kafka does: only `run` can show it")
}

/// Keeps the outcome of the one message.
#[derive(Default)]
struct Delivery(Mutex<Option<Result<(), KafkaError>>>);

impl ClientContext for Delivery {
    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, line: &str) {
        client::log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        client::report(&error, reason);
    }
}

impl ProducerContext for Delivery {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let told = result.as_ref().map(|_| ()).map_err(|(error, _)| error.clone());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(told);
    }
}

fn may_write(settings: &KafkaSettings, topic: &str, timeout: Duration) -> Result<CheckResult, CheckResult> {
    let action = format!("writing to the topic {topic}");
    let mut config = client::admin(settings);
    // Kafka accepts none, one, and all; and an idempotent producer would have to request all.
    config.set("acks", "2").set("enable.idempotence", "false").set("retries", "0");
    config.set("message.timeout.ms", timeout.as_millis().to_string()).set("linger.ms", "0");
    let producer: BaseProducer<Delivery> = client::create(settings, &config, Delivery::default())?;
    let record = BaseRecord::<str, str>::to(topic).partition(0).key("doctor").payload("");
    producer.send(record).map_err(|(error, _)| CheckResult::from(error::setup(&action, error)))?;
    let told = || producer.context().0.lock().unwrap_or_else(PoisonError::into_inner).take();
    let mut left = timeout + Duration::from_secs(1);
    let answer = loop {
        producer.poll(POLL);
        if let Some(answer) = told() {
            break answer;
        }
        left = left.saturating_sub(POLL);
        if left.is_zero() {
            return Err(late(timeout));
        }
    };
    Ok(match answer {
        Err(error) => {
            judge(&action, Some(&Right::write(topic)), error, RDKafkaErrorCode::InvalidRequiredAcks, "granted")
        }
        Ok(()) => accepted(),
    })
}

fn may_read(settings: &KafkaSettings, topic: &str, timeout: Duration) -> Result<CheckResult, CheckResult> {
    let (action, right) = (format!("reading the topic {topic}"), Right::read(topic));
    let refused = |error| error::setup_with(&action, &right, error);
    let reader = client::committed_reader(settings)?;
    let mut end = TopicPartitionList::new();
    end.add_partition_offset(topic, 0, Offset::End).map_err(refused)?;
    reader.assign(&end).map_err(refused)?;
    let mut left = timeout;
    while !left.is_zero() {
        match reader.poll(POLL) {
            Some(Ok(_) | Err(KafkaError::PartitionEOF(_))) => return Ok(CheckResult::ok("granted")),
            Some(Err(error)) => {
                // After an error that passes the client goes on by itself.
                if let refused @ SinkError::Setup { .. } = refused(error) {
                    return Err(refused.into());
                }
            }
            None => {}
        }
        left = left.saturating_sub(POLL);
    }
    Err(late(timeout))
}

/// The maximum time of one wait for a client.
const POLL: Duration = Duration::from_millis(50);

fn may_commit(settings: &KafkaSettings, topic: &str, timeout: Duration) -> Result<CheckResult, CheckResult> {
    let reader = client::committed_reader(settings)?;
    let mut offsets = TopicPartitionList::new();
    let action = format!("fencing by the group {} with offsets of the topic {topic}", settings.config.group_id);
    let right = Right::read(topic);
    let refused = |error| judge(&action, Some(&right), error, RDKafkaErrorCode::UnknownTopicOrPartition, FENCE);
    offsets.add_partition_offset(topic, i32::MAX, Offset::Offset(0)).map_err(refused)?;
    // librdkafka looks for the group's coordinator forever, and doesn't report a missing right: the call is left alone.
    let (answer_to, answer) = std::sync::mpsc::sync_channel(1);
    let commit = move || {
        // The receiver may not wait for a late answer.
        answer_to.send(reader.commit(&offsets, CommitMode::Sync)).ok();
    };
    let spawned = std::thread::Builder::new().name("kafka-doctor".to_owned()).spawn(commit);
    spawned.map_err(|error| CheckResult::unknown(format!("the system has no thread for it: {error}")))?;
    match answer.recv_timeout(timeout) {
        Ok(answer) => Ok(answer.map_or_else(refused, |()| accepted())),
        Err(_late) => Err(CheckResult::failed(
            format!("no coordinator of it found in {timeout:?}: the right is missing, or there is none"),
            format!("allow Read on the group {}, or check that all brokers run", settings.config.group_id),
        )),
    }
}

const FENCE: &str = "may be joined, and may fence by the checkpoint topic";

fn may_transact(settings: &KafkaSettings, _topic: &str, timeout: Duration) -> Result<CheckResult, CheckResult> {
    let mut config = client::producer(settings, 1_000_000);
    // With the bridge's own id, a cluster that allows any timeout would fence the bridge.
    let id = format!("{}-{}-doctor", settings.config.group_id, settings.replica);
    config.set("transactional.id", id).set("transaction.timeout.ms", TOO_LONG_MS);
    let producer: BaseProducer<Delivery> = client::create(settings, &config, Delivery::default())?;
    let asked = producer.init_transactions(timeout);
    let cause = producer.client().fatal_error().map(|(code, _)| KafkaError::Global(code));
    let answered = |error| {
        let action = "initialising Kafka transactions";
        let expected = RDKafkaErrorCode::InvalidTransactionTimeout;
        judge(action, None, cause.unwrap_or(error), expected, "available and allowed")
    };
    Ok(asked.map_or_else(answered, |()| CheckResult::ok("available and allowed")))
}

fn speaks_kip_848(settings: &KafkaSettings, topic: &str, timeout: Duration) -> Result<CheckResult, CheckResult> {
    let mut settings = settings.clone();
    // A static member's name would be that of a running replica.
    settings.config.static_membership = false;
    let mut config = client::member(&settings);
    config.set("group.remote.assignor", "none-of-this-name");
    let member: BaseConsumer<Logs> = client::create(&settings, &config, Logs)?;
    let action = "joining the group by KIP-848";
    member.subscribe(&[topic]).map_err(|error| CheckResult::from(error::setup(action, error)))?;
    let mut left = timeout;
    while !left.is_zero() {
        let polled = member.poll(POLL);
        let fatal = member.client().fatal_error().map(|(code, _)| KafkaError::Global(code));
        if let Some(error) = fatal.or_else(|| polled.and_then(Result::err)) {
            return Ok(match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::UnsupportedVersion | RDKafkaErrorCode::UnsupportedFeature) => {
                    CheckResult::failed(
                        format!("the cluster doesn't support it: {error}"),
                        "set `sink.kafka.groupProtocol: classic`, or use Kafka 4.0 or newer",
                    )
                }
                _ => judge(action, None, error, RDKafkaErrorCode::UnsupportedAssignor, "supported by the cluster"),
            });
        }
        left = left.saturating_sub(POLL);
    }
    Err(late(timeout))
}
