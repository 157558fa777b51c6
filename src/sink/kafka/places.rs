//! What has to be known before records are read: that the cluster answers, and which topics it has.

use super::client::{self, Heard};
use super::error::Obstacle;
use super::{KafkaSettings, SinkError};
use crate::sink::reader::{Others, PlaceError, Where};
use bridge_core::ids::Topic;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, Producer as _};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::task::spawn_blocking;

/// The timeout of the cluster's answer: with what follows it, a command without a bus ends after about 10 s.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(8);

/// Where the records of a configuration are: in topics that may be output topics, and have no other use. `topic` is the only output
/// topic, if there is one: it must exist.
pub(in crate::sink) async fn place(
    settings: KafkaSettings,
    topic: Option<Topic>,
    is_output: impl Fn(&Topic) -> bool + Send + 'static,
) -> Result<Where, PlaceError> {
    let there = names(&settings).await?;
    let (address, properties) = (settings.config.bootstrap_servers.clone(), properties(&settings));
    let template = settings.config.topic.clone();
    let wanted = move |name: &str| !settings.is_other(name) && is_output(&Topic::from(name));
    if topic.is_none() && !there.iter().any(|name| wanted(name)) {
        let topics = Others::new("topics", Some(there.clone()));
        tracing::info!(template, %topics, "no output topic exists yet");
    }
    require(&address, topic.iter().map(Topic::as_str), there)?;
    Ok(Where::Kafka { properties, wanted: Box::new(wanted) })
}

/// Where the states of a configuration are: in its state topic, which must exist.
pub(in crate::sink) async fn state_place(settings: KafkaSettings, topic: String) -> Result<Where, PlaceError> {
    require(&settings.config.bootstrap_servers, [topic.as_str()].into_iter(), names(&settings).await?)?;
    Ok(Where::Kafka { properties: properties(&settings), wanted: Box::new(move |name| *name == topic) })
}

/// The names of the topics.
async fn names(settings: &KafkaSettings) -> Result<Vec<String>, SinkError> {
    let settings = settings.clone();
    let asked = blocking(move || {
        let asker = client::create(&settings, &client::asker(&settings), Heard::default())?;
        topics(&asker, &settings.config.bootstrap_servers, Obstacle::remedy)
    });
    asked.await
}

/// The properties of librdkafka for a reader.
fn properties(settings: &KafkaSettings) -> BTreeMap<String, String> {
    let mut properties = settings.config.properties.clone();
    properties.extend(settings.secret_properties.clone());
    properties.insert("bootstrap.servers".to_owned(), settings.config.bootstrap_servers.clone());
    properties
}

/// Where records are at an address, without a configuration: in these topics, which must exist.
pub(in crate::sink) async fn place_at(
    servers: String,
    wanted: BTreeSet<String>,
    mut properties: BTreeMap<String, String>,
) -> Result<Where, PlaceError> {
    properties.insert("bootstrap.servers".to_owned(), servers.clone());
    let asked = {
        let (servers, mut config) = (servers.clone(), ClientConfig::new());
        for (name, value) in &properties {
            config.set(name, value);
        }
        config.set("allow.auto.create.topics", "false").set_log_level(RDKafkaLogLevel::Info);
        blocking(move || {
            let asker = config.create_with_context(Heard::default()).map_err(refused)?;
            topics(&asker, &servers, Obstacle::remedy_of_options)
        })
    };
    require(&servers, wanted.iter().map(String::as_str), asked.await?)?;
    Ok(Where::Kafka { properties, wanted: Box::new(move |name| wanted.contains(name)) })
}

async fn blocking<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T, SinkError> + Send + 'static,
) -> Result<T, SinkError> {
    let asked = spawn_blocking(ask).await;
    asked.unwrap_or_else(|error| Err(SinkError::unavailable("could not list the topics of Kafka", error)))
}

/// The names of the topics, without those of Kafka itself. Blocks.
fn topics(
    asker: &BaseProducer<Heard>,
    servers: &str,
    remedy: fn(Obstacle) -> &'static str,
) -> Result<Vec<String>, SinkError> {
    let metadata = asker.client().fetch_metadata(None, ANSWER_TIMEOUT).map_err(|error| {
        let trouble = client::heard(asker).unwrap_or_else(|| error.to_string());
        let obstacle = Obstacle::of(&trouble);
        SinkError::unreached(format!("could not connect to Kafka at {servers}"), trouble, remedy(obstacle))
    })?;
    let names = metadata.topics().iter().map(|topic| topic.name().to_owned());
    Ok(names.filter(|name| !name.starts_with("__")).collect())
}

/// Each of the wanted topics is there.
fn require<'a>(at: &str, mut wanted: impl Iterator<Item = &'a str>, there: Vec<String>) -> Result<(), PlaceError> {
    match wanted.find(|wanted| there.iter().all(|name| name != wanted)) {
        None => Ok(()),
        Some(missing) => Err(PlaceError::Missing {
            what: format!("topic {missing}"),
            at: at.to_owned(),
            others: Others::new("topics", Some(there)),
        }),
    }
}

/// A property that librdkafka doesn't accept. Its words may hold the value, which may be a secret.
#[expect(clippy::wildcard_enum_match_arm, reason = "librdkafka's errors are an open set; only two speak of properties")]
fn refused(error: KafkaError) -> SinkError {
    match error {
        KafkaError::ClientConfig(_, words, name, value) => SinkError::Setup {
            problem: format!("librdkafka rejects the property {name}: {}", hidden(&words, &value)),
            remedy: format!("correct `-X {name}=…`"),
        },
        KafkaError::ClientCreation(words) => SinkError::Setup {
            problem: format!("librdkafka rejects the properties: {words}"),
            remedy: "correct the properties in `-X`, or the files that they name".to_owned(),
        },
        error => SinkError::unavailable("could not create a client of Kafka", error),
    }
}

fn hidden(words: &str, value: &str) -> String {
    if value.is_empty() { words.to_owned() } else { words.replace(value, "…") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_property_that_is_none_is_named_without_its_value() {
        for (name, value) in [("security.protocol", "hush-1"), ("no.such.property", "hush-2")] {
            let properties = BTreeMap::from([(name.to_owned(), value.to_owned())]);
            let error = place_at("127.0.0.1:1".to_owned(), BTreeSet::new(), properties).await.unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("-X"), "{error}");
            assert!(!error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn a_topic_that_is_missing_is_told_with_those_that_are_there() {
        let there = || vec!["b".to_owned(), "a".to_owned()];
        assert!(require("k:9092", ["a"].into_iter(), there()).is_ok());
        let error = require("k:9092", ["a", "asana.events"].into_iter(), there()).unwrap_err();
        assert_eq!(error.to_string(), "topic asana.events doesn't exist at k:9092; topics there: a, b");
    }
}
