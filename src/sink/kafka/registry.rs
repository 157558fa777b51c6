//! The schema registry, with Confluent's interface and wire format, which other registries have, too.
//!
//! The schema of each topic's values is registered, or looked up, before the topic is written. Each value then
//! begins with a zero, the schema's id, and the path to the message within the schema.

use super::topics::Role;
use crate::config::{CheckedSchemaRegistry, RegistryLogin, SecretSource, SubjectNameStrategy};
use crate::finding::CheckResult;
use crate::sink::SinkError;
use bridge_core::record::encoding::{Encoding, Encodings};
use reqwest::{StatusCode, Url, redirect};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The whole contract with its comments, so that they can be read in the registry. Every registry knows its imports.
const PROTO: &str = include_str!("../../../proto/asana_event_bridge/v1/record.proto");

/// The same for the JSON form. Its root refers to `Record`.
const JSON_SCHEMA: &str = include_str!("../../../docs/record.schema.json");

/// The media type of the registry's interface.
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// The timeout of one request. Registering a schema may be slow if the registry stores it in Kafka.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Codes in the body of a 404: the subject doesn't exist, or it doesn't have the schema.
const NO_SUBJECT: u64 = 40401;
const NO_SCHEMA: u64 = 40403;

/// A message of the schema, and its form.
#[derive(Clone, Copy)]
struct MessageType {
    name: &'static str,
    encoding: Encoding,
    /// The path to the message in the schema, as zigzag varints: the length of the path, then the message's index among
    /// its siblings. The path to the first message is a single zero.
    path: &'static [u8],
}

impl MessageType {
    /// The type of a topic's values; `None` for checkpoints, which have no schema.
    fn of(role: Role, encodings: Encodings) -> Option<Self> {
        let Encodings { events, state } = encodings;
        let (name, path, encoding): (_, &[u8], _) = match role {
            Role::Output => ("asana_event_bridge.v1.Record", &[0], events),
            Role::State => ("asana_event_bridge.v1.Record", &[0], state),
            Role::DeadLetter => ("asana_event_bridge.v1.DeadLetter", &[2, 14], events),
            Role::Checkpoint | Role::RefreshLog => return None,
        };
        Some(Self { name, encoding, path })
    }

    /// The registry's word for the kind of schema.
    fn kind(self) -> &'static str {
        match self.encoding {
            Encoding::Protobuf => "PROTOBUF",
            Encoding::Json => "JSON",
        }
    }

    /// Where the schema is in the repository.
    fn file(self) -> &'static str {
        match self.encoding {
            Encoding::Protobuf => "proto/asana_event_bridge/v1/record.proto",
            Encoding::Json => "docs/record.schema.json",
        }
    }

    fn schema(self) -> Cow<'static, str> {
        let message = self.name.rsplit('.').next().unwrap_or_default();
        match self.encoding {
            Encoding::Protobuf => PROTO.into(),
            Encoding::Json => JSON_SCHEMA.replacen("#/$defs/Record", &format!("#/$defs/{message}"), 1).into(),
        }
    }

    /// What each value begins with.
    fn prefix(self, id: u32) -> Vec<u8> {
        let path = match self.encoding {
            Encoding::Protobuf => self.path,
            Encoding::Json => &[],
        };
        [&[0], id.to_be_bytes().as_slice(), path].concat()
    }

    fn subject(self, topic: &str, strategy: SubjectNameStrategy) -> String {
        match strategy {
            SubjectNameStrategy::TopicName => format!("{topic}-value"),
            SubjectNameStrategy::RecordName => self.name.to_owned(),
            SubjectNameStrategy::TopicRecordName => format!("{topic}-{}", self.name),
        }
    }
}

/// The beginning of each topic's values. Without a registry there is none.
#[derive(Debug)]
pub(super) struct Frames {
    registry: Option<SchemaRegistry>,
    encodings: Encodings,
    /// The frame of each topic; `None` for checkpoints, which have no schema.
    known: BTreeMap<String, Option<Frame>>,
}

/// The beginning of a topic's values, and the URI of its schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    prefix: Vec<u8>,
    pub(super) schema: String,
}

impl Frames {
    pub(super) fn new(registry: Option<SchemaRegistry>, encodings: Encodings) -> Self {
        Self { registry, encodings, known: BTreeMap::new() }
    }

    /// Prepares a topic to be written. Returns the size of the frame, in bytes.
    pub(super) async fn prepare(&mut self, topic: &str, role: Role) -> Result<usize, SinkError> {
        let Some(message) = MessageType::of(role, self.encodings) else {
            self.leave_plain(topic);
            return Ok(0);
        };
        let Some(registry) = &self.registry else { return Ok(0) };
        if !self.known.contains_key(topic) {
            let id = registry.id(&message.subject(topic, registry.config.subject_name_strategy), message).await?;
            let frame = Frame { prefix: message.prefix(id), schema: registry.uri(id) };
            self.known.insert(topic.to_owned(), Some(frame));
        }
        Ok(self.of(topic).map_or(0, |frame| frame.prefix.len() + frame.schema.len()))
    }

    /// Notes that the topic is for checkpoints, which have no schema.
    pub(super) fn leave_plain(&mut self, topic: &str) {
        self.known.insert(topic.to_owned(), None);
    }

    /// The frame of a topic; `None` without a registry.
    ///
    /// # Panics
    /// If the topic isn't prepared: a value without its frame would stay on the bus.
    #[expect(clippy::indexing_slicing, reason = "see Panics")]
    pub(super) fn of(&self, topic: &str) -> Option<&Frame> {
        self.registry.as_ref().and_then(|_| self.known[topic].as_ref())
    }
}

impl Frame {
    /// The value with its frame.
    pub(super) fn around<'a>(frame: Option<&Self>, value: &'a [u8]) -> Cow<'a, [u8]> {
        frame.map_or(Cow::Borrowed(value), |frame| Cow::Owned([frame.prefix.as_slice(), value].concat()))
    }
}

/// A schema registry. Clones share connections and the ids that they were given, so that an unreachable registry stops
/// only the first session.
#[derive(Clone, Debug)]
pub struct SchemaRegistry {
    config: CheckedSchemaRegistry,
    client: reqwest::Client,
    ids: Arc<Mutex<BTreeMap<String, u32>>>,
}

struct Answer<'a> {
    registry: &'a Url,
    status: StatusCode,
    body: Value,
}

impl SchemaRegistry {
    /// A client of the registry. Connects to nothing.
    ///
    /// # Errors
    /// [`SinkError::Setup`] if the certificates can't be used.
    pub fn new(config: CheckedSchemaRegistry) -> Result<Self, SinkError> {
        // If a provider is installed already, that one is used.
        rustls::crypto::ring::default_provider().install_default().ok();
        let builder = reqwest::Client::builder()
            .user_agent(concat!("asana-event-bridge/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .timeout(TIMEOUT);
        let builder = match &config.ca_file {
            Some(file) => {
                let pem = std::fs::read(file).map_err(|error| unusable("`caFile`", &error))?;
                let certificates = reqwest::Certificate::from_pem_bundle(&pem);
                builder.tls_certs_only(certificates.map_err(|error| unusable("`caFile`", &error))?)
            }
            // Without TLS no certificates are read, which a minimal container doesn't have.
            None if config.urls.iter().all(|url| url.scheme() == "http") => builder.tls_certs_only([]),
            None => builder,
        };
        let client = builder.build().map_err(|error| unusable("TLS", &error))?;
        Ok(Self { config, client, ids: Arc::default() })
    }

    /// Whether the schema of a topic's values is there. Registers nothing. None for checkpoints, which have none.
    pub(super) async fn examine(&self, topic: &str, role: Role, encodings: Encodings) -> Option<CheckResult> {
        let message = MessageType::of(role, encodings)?;
        let subject = message.subject(topic, self.config.subject_name_strategy);
        let answer = match self.ask(&["subjects", &subject], message).await {
            Ok(answer) => answer,
            Err(error) => return Some(error.into()),
        };
        if answer.status.is_success() {
            return Some(CheckResult::ok(format!("is under the subject {subject} of {}", answer.registry)));
        }
        let code = answer.body.get("error_code").and_then(Value::as_u64).unwrap_or_default();
        let is_missing = answer.status == StatusCode::NOT_FOUND && matches!(code, NO_SUBJECT | NO_SCHEMA);
        if is_missing && self.config.register && !(code == NO_SCHEMA && self.is_incompatible(&subject, message).await) {
            let reason = "isn't there yet: the bridge registers it, and only that shows whether it may";
            return Some(CheckResult::unknown(reason));
        }
        Some(self.refused(&subject, message, &answer).await.into())
    }

    /// The public URI of the schema with this id.
    fn uri(&self, id: u32) -> String {
        self.config
            .urls
            .first()
            .map(|url| below(url, &["schemas", "ids", &id.to_string()]).to_string())
            .unwrap_or_default()
    }

    /// The schema's id, which is the same under every subject.
    async fn id(&self, subject: &str, message: MessageType) -> Result<u32, SinkError> {
        let known = || self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = known().get(subject) {
            return Ok(*id);
        }
        let path: &[&str] =
            if self.config.register { &["subjects", subject, "versions"] } else { &["subjects", subject] };
        let answer = self.ask(path, message).await?;
        let id = answer.body.get("id").and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
        match id.filter(|_| answer.status.is_success()) {
            Some(id) => {
                tracing::info!(subject, id, "schema found in the registry");
                known().insert(subject.to_owned(), id);
                Ok(id)
            }
            None => Err(self.refused(subject, message, &answer).await),
        }
    }

    /// Sends the schema to the first registry that answers.
    async fn ask(&self, path: &[&str], message: MessageType) -> Result<Answer<'_>, SinkError> {
        let mut failure = SinkError::unavailable("asking the schema registry", "none is configured");
        for url in &self.config.urls {
            let action = || format!("asking the schema registry {url}");
            match self.post(url, path, message).await {
                Ok(Ok(answer)) if is_temporary(answer.status) => {
                    failure = SinkError::unavailable(action(), answer.said());
                }
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => failure = SinkError::unavailable(action(), cause(&error)),
                Err(error) => return Err(error),
            }
        }
        Err(failure)
    }

    async fn post<'a>(
        &self,
        url: &'a Url,
        path: &[&str],
        message: MessageType,
    ) -> Result<reqwest::Result<Answer<'a>>, SinkError> {
        let body = json!({ "schemaType": message.kind(), "schema": message.schema() });
        let request =
            self.client.post(below(url, path)).header("accept", MEDIA_TYPE).header("content-type", MEDIA_TYPE);
        let request = match &self.config.login {
            RegistryLogin::Nobody => request,
            RegistryLogin::User { user, password } => request.basic_auth(user, Some(secret(password, "`password`")?)),
            RegistryLogin::Token(token) => request.bearer_auth(secret(token, "`token`")?),
        };
        let exchange = async {
            let response = request.body(body.to_string()).send().await?;
            let status = response.status();
            let body = serde_json::from_slice(&response.bytes().await?).unwrap_or_default();
            Ok(Answer { registry: url, status, body })
        };
        Ok(exchange.await)
    }

    /// The error for an answer that isn't an id, with a remedy.
    async fn refused(&self, subject: &str, message: MessageType, answer: &Answer<'_>) -> SinkError {
        let (registry, said) = (answer.registry, answer.said());
        let incompatible = || SinkError::Setup {
            problem: format!(
                "the schema of this version isn't compatible with what is under the subject {subject} of the schema \
                 registry {registry}: {said}"
            ),
            remedy: "choose another topic or `subjectNameStrategy`, remove what is there if nobody needs it, or lower \
                     the subject's compatibility level"
                .to_owned(),
        };
        let register = format!(
            "register {} there, as {}, or set `sink.kafka.schemaRegistry.register: true`",
            message.file(),
            message.kind()
        );
        let takes = format!(
            "use a registry that takes schemas of the kind {}, and the subject for nothing else",
            message.kind()
        );
        let code = answer.body.get("error_code").and_then(Value::as_u64).unwrap_or_default();
        let (problem, remedy) = match answer.status.as_u16() {
            409 => return incompatible(),
            404 if matches!(code, NO_SUBJECT | NO_SCHEMA) => {
                if code == NO_SCHEMA && self.is_incompatible(subject, message).await {
                    return incompatible();
                }
                (
                    format!(
                        "the schema of this version isn't under the subject {subject} of the schema registry {registry}"
                    ),
                    register.as_str(),
                )
            }
            401 | 403 => (
                format!("the schema registry {registry} refuses the bridge for the subject {subject}: {said}"),
                if self.config.register {
                    "correct `user` and `password` or `token` in `sink.kafka.schemaRegistry`, give that user the right \
                     to write the subject, or set `register: false` there"
                } else {
                    "correct `user` and `password` or `token` in `sink.kafka.schemaRegistry`, or give that user the \
                     right to read the subject"
                },
            ),
            422 => (
                format!("the schema registry {registry} refuses the schema for the subject {subject}: {said}"),
                takes.as_str(),
            ),
            _ => (
                format!("{registry} doesn't answer as a schema registry does: {said}"),
                "correct `sink.kafka.schemaRegistry.urls`; Apicurio's needs `/apis/ccompat/v7` at its end",
            ),
        };
        let remedy = remedy.to_owned();
        match answer.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => SinkError::Refused { problem, remedy },
            _ => SinkError::Setup { problem, remedy },
        }
    }

    async fn is_incompatible(&self, subject: &str, message: MessageType) -> bool {
        let answer = self.ask(&["compatibility", "subjects", subject, "versions", "latest"], message).await;
        answer.is_ok_and(|answer| answer.body.get("is_compatible") == Some(&Value::Bool(false)))
    }
}

impl Answer<'_> {
    fn said(&self) -> String {
        let message = self.body.get("message").and_then(Value::as_str);
        message.map_or_else(|| self.status.to_string(), |message| format!("{}: {message}", self.status))
    }
}

/// Whether a later request, or another registry, may succeed.
fn is_temporary(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
}

fn below(base: &Url, path: &[&str]) -> Url {
    let mut url = base.clone();
    // Only a URL without any path, such as `mailto:`, has none.
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url
}

fn secret(source: &SecretSource, key: &str) -> Result<String, SinkError> {
    source.read().map(|secret| secret.expose().to_owned()).map_err(|error| SinkError::Refused {
        problem: format!("{key} of the schema registry can't be read: {error}"),
        remedy: "correct `sink.kafka.schemaRegistry`".to_owned(),
    })
}

fn unusable(what: &str, error: &(dyn Error + 'static)) -> SinkError {
    SinkError::Setup {
        problem: format!("{what} of the schema registry can't be used: {}", cause(error)),
        remedy: "correct `sink.kafka.schemaRegistry`".to_owned(),
    }
}

/// The innermost error: the HTTP library's own words name only the request.
fn cause(error: &(dyn Error + 'static)) -> String {
    std::iter::successors(Some(error), |&error| error.source()).last().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(encoding: Encoding) -> [MessageType; 2] {
        let encodings = Encodings { events: encoding, state: encoding };
        [Role::Output, Role::DeadLetter].map(|role| MessageType::of(role, encodings).expect("has a schema"))
    }

    #[test]
    fn the_schema_of_json_begins_at_its_message() {
        for (message, root) in types(Encoding::Json).into_iter().zip(["#/$defs/Record", "#/$defs/DeadLetter"]) {
            let schema: Value = serde_json::from_str(&message.schema()).expect("JSON");
            assert_eq!(schema["$ref"], root);
            assert!(schema.pointer(root.trim_start_matches('#')).is_some_and(Value::is_object));
            assert_eq!(message.prefix(7), [0, 0, 0, 0, 7]);
        }
    }

    #[test]
    fn the_paths_lead_to_the_messages() {
        let proto = concat!(env!("CARGO_MANIFEST_DIR"), "/proto");
        let files = protox::compile(["asana_event_bridge/v1/record.proto"], [proto]).expect("compiles").file;
        let file = files.iter().find(|file| file.package() == "asana_event_bridge.v1").expect("there");
        for MessageType { name, path, encoding: _ } in types(Encoding::Protobuf) {
            let place = if path == [0] { 0 } else { usize::from(path[1]) / 2 };
            assert_eq!(name, format!("asana_event_bridge.v1.{}", file.message_type[place].name()));
        }
    }

    #[test]
    fn subjects_are_named_as_confluents_strategies_do() {
        let [record, dead_letter] = types(Encoding::Protobuf);
        let subjects = |strategy| [record.subject("t", strategy), dead_letter.subject("d", strategy)];
        assert_eq!(subjects(SubjectNameStrategy::TopicName), ["t-value", "d-value"]);
        assert_eq!(
            subjects(SubjectNameStrategy::RecordName),
            ["asana_event_bridge.v1.Record", "asana_event_bridge.v1.DeadLetter"]
        );
        assert_eq!(
            subjects(SubjectNameStrategy::TopicRecordName),
            ["t-asana_event_bridge.v1.Record", "d-asana_event_bridge.v1.DeadLetter"]
        );
    }

    #[test]
    fn a_path_goes_below_the_base() {
        let below = |base| below(&Url::parse(base).unwrap(), &["subjects", "a/b-value"]).to_string();
        assert_eq!(below("http://h:8081"), "http://h:8081/subjects/a%2Fb-value");
        assert_eq!(below("http://h/apis/ccompat/v7/"), "http://h/apis/ccompat/v7/subjects/a%2Fb-value");
    }
}
