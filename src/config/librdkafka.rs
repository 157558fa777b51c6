//! Checks of the properties that go to librdkafka as they are. It decides which it accepts; this says what to write instead.

use super::check::Check;
use super::problem::Place;
use super::secret::SecretSource;
use super::suggest::{is_same, nearest};
use super::{KafkaConfig, KafkaGroupProtocol};
use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, ProducerContext};
use rdkafka::types::RDKafkaConfRes;
use std::collections::BTreeMap;

/// The properties of librdkafka, one a line, each with its values if it has only some. From its documentation, without callbacks
/// and without what isn't built in (GSSAPI, OIDC).
const PROPERTIES: &str = include_str!("librdkafka.txt");

/// Properties with the mechanisms that are built in. librdkafka notices another one only when it connects.
const MECHANISM: [&str; 2] = ["sasl.mechanism", "sasl.mechanisms"];

const FENCING: &str = "it identifies and fences replicas; the bridge sets it";
const ORDER: &str = "order and idempotence depend on it; the bridge sets it";
const COMMITTED: &str = "progress is only ever committed in the transaction of its records; the bridge sets it";
const SHARDS: &str = "which replica owns which shard depends on it; the bridge sets it";

/// Properties of librdkafka, aliases included, that exactly-once depends on.
const RESERVED: [(&str, &str); 20] = [
    ("bootstrap.servers", "there is `bootstrapServers` for it"),
    ("metadata.broker.list", "there is `bootstrapServers` for it"),
    ("group.id", "there is `groupId` for it"),
    ("group.instance.id", SHARDS),
    ("group.protocol", "there is `groupProtocol` for it"),
    ("partition.assignment.strategy", SHARDS),
    ("transactional.id", FENCING),
    ("enable.idempotence", ORDER),
    ("enable.gapless.guarantee", ORDER),
    ("queuing.strategy", ORDER),
    ("acks", "a commit counts when all replicas in sync have it; the bridge sets `all`"),
    ("request.required.acks", "a commit counts when all replicas in sync have it; the bridge sets `all`"),
    ("isolation.level", "checkpoints of aborted transactions must not be seen; the bridge sets it"),
    ("enable.auto.commit", COMMITTED),
    ("auto.commit.enable", COMMITTED),
    ("enable.auto.offset.store", COMMITTED),
    ("auto.offset.reset", "the bridge reads checkpoints from the start, always"),
    ("enable.partition.eof", "the end of a restore is found with it; the bridge sets it"),
    ("partitioner", "lanes are computed as Java's default partitioner does; the bridge names the partition itself"),
    ("msg_order_cmp", ORDER),
];

/// Properties that KIP-848 moved to the brokers. With KIP-848 librdkafka rejects them.
const CLASSIC: [&str; 3] = ["session.timeout.ms", "heartbeat.interval.ms", "group.protocol.type"];

/// The maximum that librdkafka allows an idempotent producer.
const MOST_IN_FLIGHT: u32 = 5;
const IN_FLIGHT: [&str; 2] = ["max.in.flight.requests.per.connection", "max.in.flight"];

/// Properties whose values are secrets, and must not be in plain text.
const SECRET: [&str; 6] = [
    "sasl.password",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.config",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.password",
];

impl Check<'_> {
    /// The sources of the secret properties.
    pub(super) fn properties(&mut self, config: &KafkaConfig, place: &Place) -> BTreeMap<String, SecretSource> {
        let before = self.problems.len();
        for (key, value) in &config.properties {
            let place = place.key("properties").key(key);
            if self.property(key, value, &place) && key.ends_with(".location") {
                self.readable(Some(value.as_ref()), &place);
            }
            if SECRET.contains(&key.as_str()) {
                self.problem(
                    &place,
                    format!("is a secret: write it under `secretProperties`, as `{key}: {{env: VARIABLE}}`"),
                );
            }
            if IN_FLIGHT.contains(&key.as_str()) && !value.parse().is_ok_and(|most: u32| most <= MOST_IN_FLIGHT) {
                self.problem(&place, "must be at most 5: order and idempotence depend on it");
            }
            if CLASSIC.contains(&key.as_str()) && config.group_protocol == KafkaGroupProtocol::Consumer {
                self.problem(&place, "is set on the brokers with `groupProtocol: consumer`: remove it");
            }
        }
        let mut sources = BTreeMap::new();
        for (key, secret) in &config.secret_properties {
            let place = place.key("secretProperties").key(key);
            if config.properties.contains_key(key) {
                self.problem(&place, "is among `properties` too: keep one");
            }
            let Some(source) = self.secret(secret, &place) else { continue };
            if let Ok(value) = source.read() {
                self.property(key, value.expose(), &place);
            }
            sources.insert(key.clone(), source);
        }
        if self.problems.len() == before {
            self.login(config, place);
        }
        if self.problems.len() == before {
            self.together(config, &sources, &place.key("properties"));
        }
        sources
    }

    /// Whether the property may have this value.
    fn property(&mut self, key: &str, value: &str, place: &Place) -> bool {
        if let Some((_, reason)) = RESERVED.iter().find(|(reserved, _)| *reserved == key) {
            self.problem(place, format!("can't be set: {reason}"));
            return false;
        }
        let choices = values(key);
        if MECHANISM.contains(&key) && !choices.contains(&value) {
            self.problem(place, not_among(&choices, value));
            return false;
        }
        // librdkafka would ignore the unit.
        if key.rsplit_once('.').is_some_and(|(_, unit)| unit == "ms")
            && value.parse::<i64>().is_err()
            && choices.is_empty()
        {
            self.problem(place, "must be a number of milliseconds, without a unit");
            return false;
        }
        match ClientConfig::new().set(key, value).create_native_config() {
            Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
                self.problem(place, unknown(key));
            }
            Err(KafkaError::ClientConfig(_, reason, ..)) if choices.is_empty() => {
                self.problem(place, refused(&reason, value));
            }
            Err(_) => self.problem(place, not_among(&choices, value)),
            Ok(_) => return true,
        }
        false
    }

    /// What SASL needs. librdkafka would take GSSAPI for the default, which isn't built in.
    fn login(&mut self, config: &KafkaConfig, place: &Place) {
        let place = place.key("properties");
        let set = |key: &str| config.properties.contains_key(key) || config.secret_properties.contains_key(key);
        let protocol = config.properties.get("security.protocol").map(|protocol| protocol.to_lowercase());
        let mechanism = MECHANISM.iter().find_map(|key| Some((key, config.properties.get(*key)?)));
        if protocol.is_some_and(|protocol| protocol.starts_with("sasl_")) && mechanism.is_none() {
            let problem = "needs `sasl.mechanism` beside it, such as `sasl.mechanism: SCRAM-SHA-512`";
            self.problem(&place.key("security.protocol"), problem);
        }
        let has_login = set("sasl.username") && set("sasl.password");
        if let Some((key, _)) = mechanism.filter(|(_, mechanism)| *mechanism != "OAUTHBEARER" && !has_login) {
            let problem = "needs a login: `sasl.username` beside it, and `sasl.password` under `secretProperties`";
            self.problem(&place.key(*key), problem);
        }
    }

    /// What librdkafka says to all properties together. Its clients have no address, and connect to nothing.
    fn together(&mut self, config: &KafkaConfig, secrets: &BTreeMap<String, SecretSource>, place: &Place) {
        let mut client = ClientConfig::new();
        let secrets: Vec<_> = secrets.iter().filter_map(|(key, source)| Some((key, source.read().ok()?))).collect();
        let plain = config.properties.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        for (key, value) in plain.chain(secrets.iter().map(|(key, value)| (key.as_str(), value.expose()))) {
            client.set(key, value);
        }
        let mut producer = client.clone();
        let producer = producer.set("enable.idempotence", "true").create_with_context::<_, BaseProducer<Quiet>>(Quiet);
        let consumer = client.set("group.id", "check").create_with_context::<_, BaseConsumer<Quiet>>(Quiet);
        let refused = [producer.err(), consumer.err()]
            .into_iter()
            .flatten()
            .find_map(|error| if let KafkaError::ClientCreation(reason) = error { Some(reason) } else { None });
        if let Some(reason) = refused.filter(|reason| !secrets.iter().any(|(_, value)| reason.contains(value.expose())))
        {
            self.problem(place, format!("don't go together: {reason}"));
        }
    }
}

fn unknown(key: &str) -> String {
    let known = || PROPERTIES.lines().filter_map(|line| line.split(' ').next());
    let near = known().find(|known| is_same(known, key)).or_else(|| nearest(key, known()));
    match near {
        Some(near) => format!("is no property of librdkafka; did you mean `{near}`?"),
        None => "is no property of librdkafka: those of Java's client have other names at times".to_owned(),
    }
}

/// The only values of a property, if it has only some.
fn values(key: &str) -> Vec<&'static str> {
    let line = PROPERTIES
        .lines()
        .map(|line| line.split(' '))
        .find_map(|mut words| (words.next() == Some(key)).then_some(words));
    line.into_iter().flatten().collect()
}

fn not_among(values: &[&str], value: &str) -> String {
    let near =
        values.iter().copied().find(|known| is_same(known, value)).or_else(|| nearest(value, values.iter().copied()));
    let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    let values: Vec<_> = values.iter().map(|value| format!("`{value}`")).collect();
    format!("must be one of {}{hint}", values.join(", "))
}

/// librdkafka's reason, without the value.
fn refused(reason: &str, value: &str) -> String {
    match reason.rsplit_once("allowed range ") {
        Some((_, range)) => match range.trim().split_once("..") {
            Some((least, most)) => format!("must be from {least} to {most}"),
            None => "is out of range".to_owned(),
        },
        None if reason.contains(value) => "has a value that librdkafka doesn't accept".to_owned(),
        None => format!("isn't accepted by librdkafka: {}", reason.trim()),
    }
}

/// Logs nothing.
#[derive(Clone, Copy, Debug)]
struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, _level: RDKafkaLogLevel, _facility: &str, _line: &str) {}

    fn error(&self, _error: KafkaError, _reason: &str) {}
}

impl ConsumerContext for Quiet {}

impl ProducerContext for Quiet {
    type DeliveryOpaque = ();

    fn delivery(&self, _result: &DeliveryResult<'_>, (): ()) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_what_librdkafka_knows() {
        for line in PROPERTIES.lines() {
            let mut words = line.split(' ');
            let key = words.next().unwrap();
            let of = |value: &str| ClientConfig::new().set(key, value).create_native_config();
            for value in words {
                assert!(of(value).is_ok(), "{key}: {value}");
            }
            let unknown = matches!(of("x"), Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)));
            assert!(!unknown, "{key}");
        }
    }
}
