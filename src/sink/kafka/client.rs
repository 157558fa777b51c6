//! The setup of librdkafka's clients, and their logs.

use super::KafkaSettings;
use crate::config::KafkaGroupProtocol;
use crate::fold::{CALM, Line, Over, SharedFold};
use crate::sink::SinkError;
use bridge_core::ids::ShardId;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::groups::GroupInfo;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, Producer as _, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use std::collections::BTreeSet;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

/// How much librdkafka puts into one request for a partition: its own default for `batch.size`.
pub(super) const BATCH_BYTES: u32 = 1_000_000;

/// A shard's partition of the checkpoint topic.
pub(super) fn partition_of(shard: ShardId) -> i32 {
    i32::try_from(shard.0).unwrap_or(i32::MAX)
}

/// Past this, librdkafka's own wait for an answer ends and ours begins again.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The timeout of listing a group's members: all brokers are asked, and one of them may be down.
const LIST_TIMEOUT: Duration = Duration::from_secs(2);

/// The timeout of a second try to connect, which only serves to get the reason of the failure.
const WHY_TIMEOUT: Duration = Duration::from_secs(3);

/// The broker aborts a transaction that is open for longer, so that the transaction of a crashed replica doesn't delay
/// its successors.
const TRANSACTION_TIMEOUT_MS: &str = "60000";

/// What is tried if the brokers don't allow so long a transaction (`transaction.max.timeout.ms`).
pub(super) const SHORTER_TRANSACTIONS_MS: [&str; 3] = ["30000", "10000", "3000"];

/// librdkafka's default of 10 s, plus half of it as jitter, is longer than the session timeout: a broker's short
/// absence would cost the membership.
const RECONNECT_BACKOFF_MAX_MS: &str = "1000";

/// What librdkafka reports, by its facility or code. All clients of the process together: they lose the same brokers.
static PROBLEMS: LazyLock<SharedFold<String, ()>> = LazyLock::new(|| SharedFold::new(CALM));

/// Forwards librdkafka's logs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Logs;

impl ClientContext for Logs {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        report(&error, reason);
    }
}

impl ConsumerContext for Logs {}

/// Collects the reason why there is no connection: calls only report that there is none.
#[derive(Debug, Default)]
pub(super) struct Heard(Mutex<Option<String>>);

impl ClientContext for Heard {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, line: &str) {
        if facility == "FAIL" {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(cause(line).to_owned());
        }
    }

    fn error(&self, _error: KafkaError, _reason: &str) {}
}

impl ProducerContext for Heard {
    type DeliveryOpaque = ();

    fn delivery(&self, _result: &DeliveryResult<'_>, (): ()) {}
}

/// Why the cluster doesn't answer, in librdkafka's own words; `None` if it answers, or if nothing is logged within a
/// few seconds. Blocks. A client of admin requests doesn't pass on its logs, so another client is used.
pub(super) fn why_no_answer(settings: &KafkaSettings, topic: &str) -> Option<String> {
    let asker: BaseProducer<Heard> = create(settings, &asker(settings), Heard::default()).ok()?;
    asker.client().fetch_metadata(Some(topic), WHY_TIMEOUT).err()?;
    heard(&asker)
}

/// Why a client has no connection, if librdkafka says so within a second.
pub(super) fn heard(asker: &BaseProducer<Heard>) -> Option<String> {
    let heard = || asker.context().0.lock().unwrap_or_else(PoisonError::into_inner).take();
    (0..20).find_map(|_| {
        asker.poll(Duration::from_millis(50));
        heard()
    })
}

/// The cause and the place in `[thrd:…]: host:9092/bootstrap: What happened (after 3ms in state CONNECT)`.
fn cause(line: &str) -> &str {
    let told = line.split_once("]: ").map_or(line, |(_, told)| told);
    told.rsplit_once(" (after ").map_or(told, |(cause, _)| cause).trim_end()
}

/// The cluster does what it should.
pub(in crate::sink) fn bus_works() {
    PROBLEMS.recover(&());
}

/// Writes a line for each of librdkafka's problems that is over.
pub(in crate::sink) fn tell_over() {
    for (facility, Over { count, lasted }) in PROBLEMS.take_over() {
        let seconds = lasted.as_secs();
        tracing::info!(target: "librdkafka", facility, count, seconds, "problem of the Kafka client is over");
    }
}

/// Writes a problem, folded.
pub(super) fn problem(facility: &str, detail: &str) {
    match PROBLEMS.report(facility.to_owned(), ()) {
        Some(Line::Begins) => {
            tracing::warn!(target: "librdkafka", facility, detail, "problem reported by the Kafka client");
        }
        Some(Line::Lasts { count, lasted, .. }) => {
            let seconds = lasted.as_secs();
            tracing::warn!(target: "librdkafka", facility, detail, count, seconds,
                "problem still reported by the Kafka client");
        }
        None => {}
    }
}

/// Writes one line of librdkafka's log.
pub(super) fn log(level: RDKafkaLogLevel, facility: &str, line: &str) {
    match level {
        // The properties go to all clients, and each says which it can't use.
        _ if facility == "CONFWARN" => {
            tracing::debug!(target: "librdkafka", facility, detail = line, "line of the Kafka client");
        }
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(target: "librdkafka", facility, detail = line, "failure of the Kafka client");
        }
        // Mostly a lost connection, which librdkafka opens again by itself.
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => problem(facility, line),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            tracing::info!(target: "librdkafka", facility, detail = line, "line of the Kafka client");
        }
        RDKafkaLogLevel::Debug => {
            tracing::debug!(target: "librdkafka", facility, detail = line, "line of the Kafka client");
        }
    }
}

/// Logs an error of the client as a whole. Errors of calls are returned by the calls.
pub(super) fn report(error: &KafkaError, reason: &str) {
    match error.rdkafka_error_code() {
        // A restore asks for the end of a partition: that is no error.
        Some(RDKafkaErrorCode::PartitionEOF) => {}
        Some(code) => problem(&format!("{code:?}"), reason),
        None => problem("ERROR", reason),
    }
}

/// The configuration of the client that creates and checks topics.
pub(super) fn admin(settings: &KafkaSettings) -> ClientConfig {
    base(settings)
}

/// The configuration of the producer. Everything that exactly-once depends on is set last.
pub(super) fn producer(settings: &KafkaSettings, message_bytes: usize) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        // A commit enqueues all of its messages at once; waiting longer would only delay it.
        .set("linger.ms", "1")
        .set("compression.type", "lz4")
        // While librdkafka (2.12) adds the group's offsets to a transaction, it has no timeout for finding the group's
        // coordinator: it only looks again when a connection opens or closes. If the coordinator crashed and left the
        // cluster, nothing of that happens, so idle connections have to close.
        .set("connections.max.idle.ms", "10000")
        .set("transaction.timeout.ms", TRANSACTION_TIMEOUT_MS);
    passed_through(&mut config, settings);
    last(&mut config, settings);
    config
        .set("transactional.id", format!("{}-{}", settings.config.group_id, settings.replica))
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("message.max.bytes", message_bytes.to_string())
        .set("batch.size", BATCH_BYTES.to_string());
    config
}

/// The configuration of the consumer group's member. It never fetches.
pub(super) fn member(settings: &KafkaSettings) -> ClientConfig {
    let mut config = ClientConfig::new();
    if settings.config.group_protocol == KafkaGroupProtocol::Classic {
        config
            // The time until a crashed replica's shards get another owner. Kafka's own default is 45 s, for consumers
            // whose processing may block their heartbeat. librdkafka sends heartbeats from a thread of its own.
            .set("session.timeout.ms", "10000")
            // The delay until a member learns of a rebalance: 3 s by default.
            .set("heartbeat.interval.ms", "500");
    }
    passed_through(&mut config, settings);
    last(&mut config, settings);
    if settings.config.static_membership {
        config.set("group.instance.id", &settings.replica);
    }
    match settings.config.group_protocol {
        KafkaGroupProtocol::Classic => {
            config.set("group.protocol", "classic").set("partition.assignment.strategy", "cooperative-sticky")
        }
        KafkaGroupProtocol::Consumer => config.set("group.protocol", "consumer"),
    };
    config
        .set("group.id", &settings.config.group_id)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("isolation.level", "read_committed");
    config
}

/// Reads checkpoints and last stable offsets: the last offset of a partition depends on the client's isolation level.
pub(super) fn committed_reader(settings: &KafkaSettings) -> Result<BaseConsumer<Logs>, SinkError> {
    let mut config = reader(settings);
    config.set("isolation.level", "read_committed");
    create(settings, &config, Logs)
}

/// Reads the refresh log, as it grows. If a place is gone, it begins where the log begins.
pub(super) fn log_reader(settings: &KafkaSettings) -> Result<BaseConsumer<Logs>, SinkError> {
    let mut config = reader(settings);
    config.set("isolation.level", "read_committed").set("auto.offset.reset", "earliest");
    // The brokers answer at once if there is something. A partition's end is told only by an answer without anything for it:
    // entries that come more often than this would keep it unknown.
    config.set("fetch.wait.max.ms", "100");
    create(settings, &config, Logs)
}

/// The client ids of the group's members; none if the cluster can't list them, as for KIP-848's groups.
pub(super) fn members(client: &BaseConsumer<Logs>, settings: &KafkaSettings) -> BTreeSet<String> {
    let group = settings.config.group_id.as_str();
    match client.fetch_group_list(Some(group), LIST_TIMEOUT) {
        Ok(groups) => {
            let members = groups.groups().iter().flat_map(GroupInfo::members);
            members.map(|member| member.client_id().to_owned()).collect()
        }
        Err(error) => {
            tracing::warn!(%error, group, "group members unknown");
            BTreeSet::new()
        }
    }
}

/// Reads high watermarks, and also records of open transactions.
pub(super) fn uncommitted_reader(settings: &KafkaSettings) -> Result<BaseConsumer<Logs>, SinkError> {
    let mut config = reader(settings);
    config.set("isolation.level", "read_uncommitted");
    create(settings, &config, Logs)
}

/// The client id of a replica's clients.
pub(super) fn client_id(replica: &str) -> String {
    format!("asana-event-bridge-{replica}")
}

/// A client for anything but records, which tells why it has no connection.
pub(super) fn asker(settings: &KafkaSettings) -> ClientConfig {
    let mut config = admin(settings);
    // At any level of our own logs.
    config.set_log_level(RDKafkaLogLevel::Info);
    config
}

/// Creates a client of librdkafka.
pub(super) fn create<X, C>(settings: &KafkaSettings, config: &ClientConfig, context: X) -> Result<C, SinkError>
where
    C: rdkafka::config::FromClientConfigAndContext<X>,
    X: ClientContext,
{
    config.create_with_context(context).map_err(|error| refused(settings, error))
}

fn reader(settings: &KafkaSettings) -> ClientConfig {
    let mut config = base(settings);
    config
        // Partitions can only be assigned by hand with a group's name, although the client doesn't join the group.
        .set("group.id", &settings.config.group_id)
        .set("group.protocol", "classic")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        // The end of each partition is only known after a fetch that finds nothing.
        .set("fetch.wait.max.ms", "20")
        // The pause when enough is fetched ahead: a second by default.
        .set("fetch.queue.backoff.ms", "10");
    config
}

fn base(settings: &KafkaSettings) -> ClientConfig {
    let mut config = ClientConfig::new();
    passed_through(&mut config, settings);
    last(&mut config, settings);
    config
}

fn passed_through(config: &mut ClientConfig, settings: &KafkaSettings) {
    config.set("client.id", client_id(&settings.replica)).set("reconnect.backoff.max.ms", RECONNECT_BACKOFF_MAX_MS);
    for (name, value) in settings.config.properties.iter().chain(&settings.secret_properties) {
        config.set(name, value);
    }
}

fn last(config: &mut ClientConfig, settings: &KafkaSettings) {
    config
        .set("bootstrap.servers", &settings.config.bootstrap_servers)
        // Only the bridge's own setup creates topics.
        .set("allow.auto.create.topics", "false");
}

#[expect(clippy::wildcard_enum_match_arm, reason = "librdkafka's errors are an open set; only two speak of properties")]
/// librdkafka's message about a property may contain its value: the values of secrets are removed.
fn refused(settings: &KafkaSettings, error: KafkaError) -> SinkError {
    match error {
        KafkaError::ClientConfig(_, words, name, _) => {
            let secret = settings.secret_properties.contains_key(&name);
            let words = if secret { "the value isn't shown".to_owned() } else { words };
            let list = if secret { "secretProperties" } else { "properties" };
            SinkError::Setup {
                problem: format!("librdkafka refuses the property {name}: {words}"),
                remedy: format!("correct `sink.kafka.{list}.{name}`"),
            }
        }
        // Also for a certificate and a key that don't match, such as when only one of them is replaced yet.
        KafkaError::ClientCreation(words) => SinkError::Refused {
            problem: format!("librdkafka refuses the properties: {words}"),
            remedy: "correct `sink.kafka.properties`, or the files that they name".to_owned(),
        },
        error => SinkError::unavailable("making a client of Kafka", error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::kafka::tests::settings;

    #[test]
    fn what_exactly_once_depends_on_is_set_after_what_is_passed_through() {
        let mut settings = settings();
        for name in ["acks", "transactional.id", "group.id", "isolation.level", "enable.auto.commit"] {
            settings.config.properties.insert(name.to_owned(), "overridden".to_owned());
        }
        settings.config.properties.insert("linger.ms".to_owned(), "7".to_owned());
        let producer = producer(&settings, 1_000_000);
        assert_eq!(producer.get("acks"), Some("all"));
        assert_eq!(producer.get("transactional.id"), Some("bridge-r1"));
        assert_eq!(producer.get("linger.ms"), Some("7"));
        let member = member(&settings);
        assert_eq!(member.get("group.id"), Some("bridge"));
        assert_eq!(member.get("isolation.level"), Some("read_committed"));
        assert_eq!(member.get("enable.auto.commit"), Some("false"));
    }

    #[test]
    fn a_lost_connection_is_told_without_its_surroundings() {
        let line =
            "[thrd:ssl://k:9093/bootstrap]: ssl://k:9093/bootstrap: SSL handshake failed: no (after 5ms in state X)";
        assert_eq!(cause(line), "ssl://k:9093/bootstrap: SSL handshake failed: no");
        assert_eq!(cause("anything"), "anything");
    }

    #[test]
    fn what_the_brokers_decide_is_not_set() {
        let mut settings = settings();
        assert_eq!(member(&settings).get("session.timeout.ms"), Some("10000"));
        settings.config.group_protocol = KafkaGroupProtocol::Consumer;
        for name in ["session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy"] {
            assert_eq!(member(&settings).get(name), None, "{name}");
        }
    }

    #[test]
    fn a_refused_secret_is_named_but_not_shown() {
        let mut settings = settings();
        settings.secret_properties.insert("sasl.mechanisms".to_owned(), "hunter2".to_owned());
        settings.secret_properties.insert("security.protocol".to_owned(), "hunter3".to_owned());
        let error = committed_reader(&settings).err().unwrap().to_string();
        assert!(error.contains("secretProperties.security.protocol"), "{error}");
        assert!(!error.contains("hunter"), "{error}");
        settings.secret_properties.clear();
        settings.config.properties.insert("no.such.property".to_owned(), "1".to_owned());
        let error = committed_reader(&settings).err().unwrap().to_string();
        assert!(error.contains("sink.kafka.properties.no.such.property"), "{error}");
    }
}
