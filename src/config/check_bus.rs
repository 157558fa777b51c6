//! Checks of the configuration of Kafka and NATS.

use super::check::{Check, unreadable};
use super::checked::{CheckedKafka, CheckedNats, CheckedSchemaRegistry, NatsLogin, RegistryLogin};
use super::problem::Place;
use super::{KafkaConfig, NatsConfig, SchemaRegistryConfig};
use bridge_core::engine::StreamSpec;
use bridge_core::ids::StreamKind;
use bridge_core::record::topic::{TopicTemplate, check_name};
use std::net::Ipv6Addr;
use std::time::Duration;
use url::Url;

/// Checkpoints are in the same stream as records. They must outlive every sync token (24 hours), with a margin of a day.
const SHORTEST_MAX_AGE: Duration = Duration::from_secs(48 * 3600);

/// The longest name of a checkpoint on NATS: room for the name of a deployment and a number of shards.
pub const LONGEST_CHECKPOINT: usize = 160;

/// Asana's gids have 16 digits today; they are numbers of 64 bits at the most.
const LONGEST_GID: usize = 20;

impl Check<'_> {
    /// `discovers`: whether rules will find more streams of resources.
    pub(super) fn kafka(
        &mut self,
        config: KafkaConfig,
        streams: &[StreamSpec],
        discovers: bool,
        place: &Place,
    ) -> Option<CheckedKafka> {
        if let Some(problem) = config.bootstrap_servers.split(',').find_map(|server| broker(server.trim()).err()) {
            self.problem(&place.key("bootstrapServers"), problem);
        }
        let longest_gid = streams.iter().map(|stream| stream.id.resource.as_str().len()).max().unwrap_or_default();
        let longest_gid = if discovers { longest_gid.max(LONGEST_GID) } else { longest_gid };
        let topic = match TopicTemplate::parse(&config.topic, longest_gid) {
            Ok(topic) => Some(topic),
            Err(problem) => {
                self.problem(&place.key("topic"), problem.to_string());
                None
            }
        };
        if topic.as_ref().is_some_and(TopicTemplate::uses_workspace)
            && (discovers || streams.iter().any(|stream| stream.kind != StreamKind::Workspace))
        {
            self.problem(
                &place.key("topic"),
                "`{workspace}` is only known of workspace streams, and some are of a `resource`; use `{stream}`, or run \
                 them apart",
            );
        }
        self.kafka_names(&config, place);
        let secret_properties = self.properties(&config, place);
        if config.topics.min_insync_replicas > config.topics.replication_factor {
            self.problem(
                &place.key("topics"),
                "`minInsyncReplicas` is above `replicationFactor`, and nothing could be written: lower it, such as `minInsyncReplicas: 1`",
            );
        }
        let place = place.key("schemaRegistry");
        let schema_registry = match &config.schema_registry {
            Some(registry) => Some(self.schema_registry(registry, &place)?),
            None => None,
        };
        Some(CheckedKafka { topic: topic?, config, secret_properties, refresh_topic: None, schema_registry })
    }

    fn schema_registry(&mut self, config: &SchemaRegistryConfig, place: &Place) -> Option<CheckedSchemaRegistry> {
        if config.urls.is_empty() {
            self.problem(&place.key("urls"), "is empty: write an address, such as `https://registry.example.com`");
        }
        let has_login = config.user.is_some() || config.token.is_some();
        let url = |(index, url): (usize, &String)| {
            let place = place.key("urls").item(index);
            if has_login { self.secret_url(url, &place) } else { self.url(url, &place) }
        };
        let urls = config.urls.iter().enumerate().map(url).collect::<Option<_>>();
        self.at_most_one(place, &[("user", config.user.is_some()), ("token", config.token.is_some())]);
        if config.user.is_some() != config.password.is_some() {
            self.problem(place, "`user` and `password` go together: set both");
        }
        self.readable(config.ca_file.as_deref(), &place.key("caFile"));
        let password = config.password.as_ref().map(|password| self.secret(password, &place.key("password")));
        let token = config.token.as_ref().map(|token| self.secret(token, &place.key("token")));
        let login = match (config.user.clone().zip(password), token) {
            (Some((user, password)), _) => RegistryLogin::User { user, password: password? },
            (None, Some(token)) => RegistryLogin::Token(token?),
            (None, None) => RegistryLogin::Nobody,
        };
        Some(CheckedSchemaRegistry {
            urls: urls?,
            login,
            ca_file: config.ca_file.clone(),
            register: config.register,
            subject_name_strategy: config.subject_name_strategy,
        })
    }

    fn kafka_names(&mut self, config: &KafkaConfig, place: &Place) {
        for (key, name) in
            [("checkpointTopic", &config.checkpoint_topic), ("deadLetterTopic", &config.dead_letter_topic)]
        {
            match check_name(name) {
                Err(problem) => self.problem(&place.key(key), problem.to_string()),
                Ok(()) if *name == config.topic => {
                    self.problem(&place.key(key), "is the same topic as `topic`: write another name");
                }
                Ok(()) => {}
            }
        }
        if let Some(name) = &config.state_topic {
            let others = [&config.topic, &config.checkpoint_topic, &config.dead_letter_topic];
            match check_name(name) {
                Err(problem) => self.problem(&place.key("stateTopic"), problem.to_string()),
                Ok(()) if others.contains(&name) => {
                    self.problem(&place.key("stateTopic"), "is the same as another topic: write another name");
                }
                Ok(()) => {}
            }
        }
        if config.dead_letter_topic == config.checkpoint_topic {
            self.problem(&place.key("deadLetterTopic"), "is the same topic as `checkpointTopic`: write another name");
        }
        if config.group_id.trim().is_empty() {
            self.problem(&place.key("groupId"), "is empty: write a name, or remove the key");
        }
    }

    pub(super) fn nats(&mut self, config: NatsConfig, place: &Place) -> Option<CheckedNats> {
        // An empty name is none, though a deployment would give it one.
        let config = NatsConfig { checkpoint: config.checkpoint.filter(|name| !name.is_empty()), ..config };
        if config.servers.is_empty() {
            self.problem(&place.key("servers"), "is empty: write an address, such as `nats://nats-1:4222`");
        }
        for (index, server) in config.servers.iter().enumerate() {
            if let Err(problem) = nats_server(server) {
                self.problem(&place.key("servers").item(index), problem);
            }
        }
        // The server's rule for names of JetStream streams.
        if config.stream.is_empty() || config.stream.contains(|c: char| c.is_whitespace() || ".*>/\\".contains(c)) {
            self.problem(&place.key("stream"), "must be a name without white space and without any of `. * > / \\`");
        }
        let is_token =
            |token: &str| !token.is_empty() && !token.contains(|c: char| c.is_whitespace() || c == '*' || c == '>');
        if !config.subject_prefix.split('.').all(is_token) || config.subject_prefix.starts_with('$') {
            self.problem(
                &place.key("subjectPrefix"),
                "must be tokens with points between them, without white space, `*`, `>` or a `$` at the start",
            );
        }
        if config.checkpoint.as_deref().is_some_and(|name| !is_checkpoint_name(name)) {
            self.problem(
                &place.key("checkpoint"),
                format!("must be letters, digits, `-` and `_`, {LONGEST_CHECKPOINT} of them at most"),
            );
        }
        if config.max_age.0 < SHORTEST_MAX_AGE {
            let reason = "must be 2days at least: checkpoints live in the same JetStream stream, and must outlive every sync token";
            self.problem(&place.key("maxAge"), reason);
        }
        if config.duplicate_window.0 > config.max_age.0 {
            self.problem(&place.key("duplicateWindow"), "must not be above `maxAge`");
        }
        // Raft groups of JetStream have five members at most.
        if config.replicas.get() > 5 {
            self.problem(&place.key("replicas"), "must be at most 5");
        }
        if let Some(tls) = &config.tls {
            if tls.cert_file.is_some() != tls.key_file.is_some() {
                self.problem(&place.key("tls"), "`certFile` and `keyFile` go together: set both");
            }
            for (key, file) in [("caFile", &tls.ca_file), ("certFile", &tls.cert_file), ("keyFile", &tls.key_file)] {
                self.readable(file.as_deref(), &place.key("tls").key(key));
            }
        }
        let login = self.nats_login(&config, place)?;
        Some(CheckedNats { config, login, has_refresh_log: false })
    }

    fn nats_login(&mut self, config: &NatsConfig, place: &Place) -> Option<NatsLogin> {
        self.at_most_one(
            place,
            &[
                ("credentialsFile", config.credentials_file.is_some()),
                ("nkeySeed", config.nkey_seed.is_some()),
                ("token", config.token.is_some()),
                ("user", config.user.is_some()),
            ],
        );
        if config.user.is_some() != config.password.is_some() {
            self.problem(place, "`user` and `password` go together: set both");
        }
        self.readable(config.credentials_file.as_deref(), &place.key("credentialsFile"));
        let mut secret =
            |key: &str, secret: Option<&super::SecretConfig>| secret.map(|secret| self.secret(secret, &place.key(key)));
        let nkey_seed = secret("nkeySeed", config.nkey_seed.as_ref());
        let token = secret("token", config.token.as_ref());
        let password = secret("password", config.password.as_ref());
        match (config.credentials_file.clone(), nkey_seed, token, config.user.clone().zip(password)) {
            (Some(file), ..) => Some(NatsLogin::CredentialsFile(file)),
            (None, Some(seed), ..) => seed.map(NatsLogin::NkeySeed),
            (None, None, Some(token), _) => token.map(NatsLogin::Token),
            (None, None, None, Some((user, password))) => password.map(|password| NatsLogin::User { user, password }),
            (None, None, None, None) => Some(NatsLogin::Nobody),
        }
    }

    pub(super) fn readable(&mut self, file: Option<&std::path::Path>, place: &Place) {
        let Some(path) = file else { return };
        if let Err(error) = std::fs::File::open(path) {
            self.problem(place, format!("the file can't be read: {}", unreadable(&error)));
        }
    }
}

fn broker(server: &str) -> Result<(), &'static str> {
    let (protocol, bare) = server.split_once("://").unwrap_or(("", server));
    // librdkafka knows these; a protocol there overrides `security.protocol`.
    let is_known = ["", "plaintext", "ssl", "sasl_plaintext", "sasl_ssl"].contains(&protocol.to_lowercase().as_str());
    if !is_known {
        return Err("must not have a scheme such as `kafka://`: write `host:port`, such as `kafka-1:9092`");
    }
    match bare.rsplit_once(':') {
        _ if server.is_empty() => Err("has an empty address: write `host:port`, or several, separated by commas"),
        _ if bare.contains(char::is_whitespace) => {
            Err("has white space within an address: write `host:port`, or several, separated by commas")
        }
        Some((host, _)) if !is_host(host) => {
            Err("has an address whose host is no name: write `host:port`, or several, separated by commas")
        }
        Some((_, port)) if port.parse().is_ok_and(|port: u16| port > 0) => Ok(()),
        Some(_) => {
            Err("has an address whose port is no number from 1 to 65535: write `host:port`, such as `kafka-1:9092`")
        }
        None => Err("has an address without a port: write `host:port`, such as `kafka-1:9092`"),
    }
}

/// A name, an IPv4 address, or an IPv6 address in brackets.
fn is_host(text: &str) -> bool {
    let is_name = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "-._".contains(c));
    text.strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .map_or_else(|| is_name(text), |text| text.parse::<Ipv6Addr>().is_ok())
}

/// Whether a checkpoint on NATS may have this name, which becomes part of a subject and of the name of a bucket.
#[must_use]
pub fn is_checkpoint_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=LONGEST_CHECKPOINT).contains(&name.len()) && name.bytes().all(legal)
}

fn nats_server(server: &str) -> Result<(), &'static str> {
    match Url::parse(server) {
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            Err("must hold no user or password: there are `user`, `password` and `token` for it")
        }
        Ok(url) if matches!(url.scheme(), "nats" | "tls" | "ws" | "wss") && url.has_host() => Ok(()),
        _ => Err("must be such as `nats://host:4222`, or with tls://, ws:// or wss://"),
    }
}
