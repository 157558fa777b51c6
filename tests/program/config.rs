//! What is wrong with a configuration is said: all of it, at its place, without secrets.
use asana_event_bridge::config::{
    ArchivedConfig, Checked, CheckedSink, Credential, Environment, LocalSink, NatsLogin, Problems, RegistryLogin,
    SecretSource, Source, SubjectNameStrategy, load,
};
use bridge_core::ids::{StreamId, StreamKind};
use bridge_core::outcome::list::What;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

const FINE: &str = r#"
accounts:
  main: {token: {env: TOKEN}}
streams:
  - resource: "1200"
sink:
  console: {}
"#;

fn environment(more: &[(&str, &str)]) -> Environment {
    Environment::of([("TOKEN", "hunter2")].into_iter().chain(more.iter().copied())).on_host("host-1")
}

fn load_with(yaml: &str, environment: &Environment) -> Result<Checked, Problems> {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), yaml).expect("write");
    load(&Source::file(file.path()), environment)
}

fn load_text(yaml: &str) -> Result<Checked, Problems> {
    load_with(yaml, &environment(&[]))
}

fn fine(yaml: &str) -> Checked {
    load_text(yaml).unwrap_or_else(|problems| panic!("{yaml}\n{problems}"))
}

fn problems_with(yaml: &str, environment: &Environment) -> Vec<String> {
    let problems = load_with(yaml, environment).expect_err("it has problems");
    problems.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn assert_problems(yaml: &str, expected: &[&str]) {
    // Their order is the file's, and `mistakes.txt` has it.
    let (mut found, mut expected) = (problems_with(yaml, &environment(&[])), expected.to_vec());
    found.sort();
    expected.sort_unstable();
    assert_eq!(found, expected, "{yaml}");
}

/// A configuration that is fine but for its sink.
fn with_sink(sink: &str) -> String {
    FINE.replace("console: {}", sink)
}

#[test]
fn defaults_fill_in_what_is_left_out() {
    let checked = fine(FINE);
    let account = &checked.accounts[0];
    assert_eq!(account.name.as_str(), "main");
    assert_eq!(account.base_url.as_str(), "https://app.asana.com/api/1.0");
    assert_eq!((account.requests_per_minute.get(), account.max_in_flight.get()), (140, 40));
    assert_eq!(account.request_timeout, Duration::from_secs(30));
    let Credential::Token(token) = &account.credential else { panic!("a token") };
    assert_eq!(token.read().expect("readable").expose(), "hunter2");
    assert_eq!(checked.streams.len(), 1);
    assert_eq!(
        (&checked.streams[0].id, checked.streams[0].kind),
        (&StreamId::new("main", "1200"), StreamKind::Resource)
    );
    assert_eq!((checked.shards.get(), checked.replica.as_str()), (32, "host-1"));
    assert_eq!(checked.polling.max_interval.0, Duration::from_secs(60));
    assert!(checked.warnings.is_empty());
    assert_eq!(checked.sink.name(), "console");
}

/// What of the fine configuration is replaced by what, and the problems of the result.
const BROKEN: &[(&str, &str, &[&str])] = &[
    // What the schema sees.
    ("sink:", "sinks:", &["sinks: unknown key; did you mean `sink`?"]),
    (
        "sink:",
        "qqq: 1\nsink:",
        &[
            "qqq: unknown key; known here: accounts, admin, checkpoint, commit, crawl, deployment, discovery, index, insecureHosts, polling, replica, shards, sink, state, streams, webhooks",
        ],
    ),
    (
        r#""1200""#,
        "1200",
        &[r#"streams[0].resource: must be text, and without quotes it is a number: write `resource: "1200"`"#],
    ),
    (
        "console: {}",
        "console:",
        &["sink.console: has nothing in it; write `{}` for the defaults, or indent what belongs to it"],
    ),
    ("sink:", "shards: 0\nsink:", &["shards: must be at least 1"]),
    ("sink:", "shards: many\nsink:", &["shards: must be a whole number in digits, such as `shards: 32`"]),
    (
        "sink:",
        "commit: {watermarkInterval: 3}\nsink:",
        &[
            "commit.watermarkInterval: has no unit: write `watermarkInterval: 3s` for seconds; other units are ms, m, h and d",
        ],
    ),
    (
        "sink:",
        "commit: {maxPending: 3MB}\nsink:",
        &[
            "commit.maxPending: is no size: write a number and a unit, such as `64MiB`; the units are B, KiB, MiB and GiB",
        ],
    ),
    (
        "sink:",
        "polling: {minInterval: soon}\nsink:",
        &[
            "polling.minInterval: is no time span: write a number and a unit, such as `500ms`, `30s`, `5m`, `12h` or `7d`",
        ],
    ),
    // Accounts.
    (
        "main: {token: {env: TOKEN}}",
        "{}",
        &["accounts: is empty: name an account, such as `main: {token: {env: ASANA_TOKEN}}`"],
    ),
    ("main:", "a/b:", &[r#"accounts["a/b"]: an account's name may only have letters, digits, `.`, `_` and `-`"#]),
    ("{token: {env: TOKEN}}", "{}", &["accounts.main: needs a credential, such as `token: {env: ASANA_TOKEN}`"]),
    ("{env: TOKEN}", "{}", &["accounts.main.token: needs `file: PATH` or `env: VARIABLE`: where the secret is"]),
    ("{env: TOKEN}", "{env: TOKEN, file: /x}", &["accounts.main.token: has both `file` and `env`: keep one"]),
    (
        "{env: TOKEN}",
        "{env: OTHER}",
        &["accounts.main.token.env: the environment variable OTHER is not set: set it where the bridge starts"],
    ),
    (
        "{env: TOKEN}",
        "{file: /nowhere/token}",
        &["accounts.main.token.file: the secret can't be read: there is no file of this name; write its whole path"],
    ),
    (
        "{env: TOKEN}}",
        "{env: TOKEN}, requestTimeout: 10ms, baseUrl: 'ftp://x'}",
        &[
            "accounts.main.baseUrl: must begin with https:// or http://",
            "accounts.main.requestTimeout: must be at least `1s`",
        ],
    ),
    (
        "{env: TOKEN}}",
        "{env: TOKEN}, baseUrl: 'http://asana.example.com/api/1.0', caFile: /nowhere/ca.pem, proxy: 'socks5://p:1080'}",
        &[
            "accounts.main.baseUrl: would send secrets without encryption: use https://, or list the host if you trust its \
             network: `insecureHosts: [\"asana.example.com\"]`",
            "accounts.main.caFile: the file can't be read: there is no file of this name; write its whole path",
            "accounts.main.proxy: must begin with https:// or http://",
        ],
    ),
    (
        "{token: {env: TOKEN}}",
        "{oauth: {clientId: a, clientSecret: {env: TOKEN}, refreshToken: {env: TOKEN}, tokenUrl: 'http://10.0.0.1/token'}}",
        &[
            "accounts.main.oauth.tokenUrl: would send secrets without encryption: use https://, or list the host if you trust \
             its network: `insecureHosts: [\"10.0.0.1\"]`",
        ],
    ),
    (
        "sink:",
        "insecureHosts: ['http://x', 'y:80']\nadmin: {listen: '127.0.0.1:0', allowedHosts: ['z/']}\nsink:",
        &[
            "admin.allowedHosts[0]: is no host: write a name or an address, without scheme, port and path",
            "insecureHosts[0]: is no host: write a name or an address, without scheme, port and path",
            "insecureHosts[1]: is no host: write a name or an address, without scheme, port and path",
        ],
    ),
    (
        "{env: TOKEN}}",
        "{env: TOKEN}, baseUrl: 'https://me:pw@x'}",
        &["accounts.main.baseUrl: must hold no user or password"],
    ),
    (
        "{env: TOKEN}}",
        r#"{env: TOKEN}, headers: {Authorization: x, Asana-Enable: "a\nb", Asana-Disable: " ", "Asana- Off": x}}"#,
        &[
            r#"accounts.main.headers["Asana- Off"]: is no name of a header: it may have letters, digits and `-`"#,
            "accounts.main.headers.Asana-Disable: is empty",
            "accounts.main.headers.Asana-Enable: is no value of a header: it may have letters, digits and signs of ASCII",
            "accounts.main.headers.Authorization: can't be set: only headers that begin with `Asana-` can, such as `Asana-Enable`",
        ],
    ),
    (
        "{env: TOKEN}}",
        "{env: TOKEN}, headers: {Asana-Enable: a, asana-enable: b}}",
        &["accounts.main.headers.asana-enable: is there twice, once in other letters: names of headers know no case"],
    ),
    // Streams.
    (r#"- resource: "1200""#, "[]", &[r#"streams: is empty: name what to poll, such as `- resource: "GID"`"#]),
    (
        r#"resource: "1200""#,
        "{}",
        &[r#"streams[0]: needs `resource` or `workspace`: what to poll, such as `resource: "1204619611402340"`"#],
    ),
    (
        r#"resource: "1200""#,
        r#"{resource: "1", workspace: "2"}"#,
        &["streams[0]: has both `resource` and `workspace`: keep one, or make it two streams"],
    ),
    (
        r#""1200""#,
        r#""12/00""#,
        &[
            "streams[0].resource: is no gid: expected a number such as 1204619611402340, or the address of a task, project or goal in Asana, such as https://app.asana.com/0/1204619611402340/list",
        ],
    ),
    (r#""1200""#, "\"1\"\n    account: man", &["streams[0].account: there is no such account; did you mean `main`?"]),
    (
        r#"- resource: "1200""#,
        "- resource: \"1\"\n  - {account: main, resource: \"1\"}",
        &["streams[1]: is the same as streams[0]: account and gid are equal"],
    ),
    (
        "main: {token: {env: TOKEN}}",
        "{a: {token: {env: TOKEN}}, b: {token: {env: TOKEN}}}",
        &["streams[0]: needs `account`, as there are several: a, b"],
    ),
    // Pace and budget.
    (
        "sink:",
        "polling: {minInterval: 10ms, maxInterval: 13h}\nsink:",
        &[
            "polling.maxInterval: must be at most `12h`: a sync token dies after 24 hours",
            "polling.minInterval: must be at least `100ms`",
        ],
    ),
    (
        "sink:",
        "polling: {minInterval: 2min}\nsink:",
        &["polling: `minInterval` is above `maxInterval`: raise the one or lower the other"],
    ),
    (
        "sink:",
        "replica: a b\nsink:",
        &[
            "replica: may only have letters, digits, `.`, `_` and `-` (it is the file's, else POD_NAME, else the host's name)",
        ],
    ),
    // Sinks.
    (
        "console: {}",
        "{}",
        &[
            r#"sink: needs one of `kafka`, `nats`, `console` and `file`, such as `kafka: {bootstrapServers: "kafka-1:9092"}`"#,
        ],
    ),
    ("console: {}", "{console: {}, file: {path: x}}", &["sink: has console and file: keep one"]),
    ("console: {}", "file: {path: x, checkpoint: x}", &["sink.file.checkpoint: is the same file as `path`"]),
];

#[test]
fn each_broken_configuration_is_told_its_problem() {
    for (from, to, expected) in BROKEN {
        let yaml = FINE.replacen(from, to, 1);
        assert_ne!(yaml, FINE, "{from:?} is replaced");
        assert_problems(&yaml, expected);
    }
}

#[test]
fn webhooks_need_an_address_a_url_and_a_key_that_nobody_guesses() {
    let with = |webhooks: &str| FINE.replacen("sink:", &format!("webhooks: {webhooks}\nsink:"), 1);
    assert_problems(&with("{listen: '0.0.0.0:1'}"), &["webhooks: needs `publicUrl` and `key`, as there is `listen`"]);
    assert_problems(
        &with("{listen: x, publicUrl: 'https://a', key: {env: TOKEN}}"),
        &[
            "webhooks.listen: is no address with a port: write one such as `0.0.0.0:8081`, or `127.0.0.1:PORT` for this machine alone",
        ],
    );
    assert_problems(
        &with("{listen: '0.0.0.0:1', publicUrl: 'ftp://a', key: {env: TOKEN}, peers: ['a:1', a], interval: 10ms}"),
        &[
            "webhooks.interval: must be at least `1s`",
            "webhooks.key: is too short: it needs 32 characters at least",
            "webhooks.peers[1]: is no address with a port: write it such as `bridge-1:8081`",
            "webhooks.publicUrl: must begin with https:// or http://",
        ],
    );
}

#[test]
fn kafka_is_refused_what_exactly_once_depends_on() {
    let yaml = with_sink(
        "kafka: {bootstrapServers: 'a:1, b:2', properties: {acks: '1', group.id: x, isolation.level: read_uncommitted, \
         enable.idempotence: 'false', max.in.flight: '6', sasl.password: hunter2, linger.ms: '5'}, \
         secretProperties: {transactional.id: {env: TOKEN}}}",
    );
    assert_problems(
        &yaml,
        &[
            "sink.kafka.properties.acks: can't be set: a commit counts when all replicas in sync have it; the bridge sets `all`",
            r#"sink.kafka.properties["enable.idempotence"]: can't be set: order and idempotence depend on it; the bridge sets it"#,
            r#"sink.kafka.properties["group.id"]: can't be set: there is `groupId` for it"#,
            r#"sink.kafka.properties["isolation.level"]: can't be set: checkpoints of aborted transactions must not be seen; the bridge sets it"#,
            r#"sink.kafka.properties["max.in.flight"]: must be at most 5: order and idempotence depend on it"#,
            r#"sink.kafka.properties["sasl.password"]: is a secret: write it under `secretProperties`, as `sasl.password: {env: VARIABLE}`"#,
            r#"sink.kafka.secretProperties["transactional.id"]: can't be set: it identifies and fences replicas; the bridge sets it"#,
        ],
    );
}

#[test]
fn kafka_is_refused_what_the_brokers_decide_with_the_new_group_protocol() {
    let yaml = with_sink(
        "kafka: {bootstrapServers: 'a:1', groupProtocol: consumer, properties: {session.timeout.ms: '6000', group.protocol: x}}",
    );
    assert_problems(
        &yaml,
        &[
            r#"sink.kafka.properties["group.protocol"]: can't be set: there is `groupProtocol` for it"#,
            r#"sink.kafka.properties["session.timeout.ms"]: is set on the brokers with `groupProtocol: consumer`: remove it"#,
        ],
    );
}

#[test]
fn a_schema_registry_has_a_place_and_one_login() {
    let registry = |keys: &str| with_sink(&format!("kafka: {{bootstrapServers: 'a:1', schemaRegistry: {{{keys}}}}}"));
    let place = "sink.kafka.schemaRegistry";
    assert_problems(
        &registry("urls: []"),
        &[&format!("{place}.urls: is empty: write an address, such as `https://registry.example.com`")],
    );
    assert_problems(
        &registry("urls: ['https://r', 'ftp://r'], user: u, token: {env: TOKEN}, caFile: /nowhere/ca.pem"),
        &[
            &format!("{place}: has `token` and `user`: keep one"),
            &format!("{place}: `user` and `password` go together: set both"),
            &format!("{place}.caFile: the file can't be read: there is no file of this name; write its whole path"),
            &format!("{place}.urls[1]: must begin with https:// or http://"),
        ],
    );
    assert_problems(
        &registry("urls: ['http://r'], user: u, password: {env: TOKEN}"),
        &[&format!(
            "{place}.urls[0]: would send secrets without encryption: use https://, or list the host if you trust its network: \
             `insecureHosts: [\"r\"]`"
        )],
    );
    fine(&registry("urls: ['http://r']"));
    let checked = fine(&registry("urls: ['https://r/base'], user: u, password: {env: TOKEN}"));
    let CheckedSink::Kafka(kafka) = &checked.sink else { panic!("Kafka") };
    let registry = kafka.schema_registry.as_ref().expect("there");
    assert_eq!((registry.urls[0].as_str(), registry.register), ("https://r/base", true));
    assert_eq!(registry.subject_name_strategy, SubjectNameStrategy::TopicName);
    assert!(matches!(&registry.login, RegistryLogin::User { user, .. } if user == "u"), "{registry:?}");
    assert!(!format!("{checked:?}").contains("hunter2"), "{checked:?}");
}

#[test]
fn kafka_names_are_legal_and_distinct() {
    let yaml = with_sink(
        "kafka: {bootstrapServers: localhost, topic: 'a.{type}', checkpointTopic: 'a b', deadLetterTopic: '', groupId: ' ', \
         topics: {replicationFactor: 1}}",
    );
    assert_problems(
        &yaml,
        &[
            "sink.kafka.bootstrapServers: has an address without a port: write `host:port`, such as `kafka-1:9092`",
            "sink.kafka.checkpointTopic: may only have the letters a-z, A-Z, 0-9, `.`, `_` and `-`",
            "sink.kafka.deadLetterTopic: is empty",
            "sink.kafka.groupId: is empty: write a name, or remove the key",
            "sink.kafka.topic: knows no other variable than `{resource_type}`, `{workspace}` and `{stream}`",
            "sink.kafka.topics: `minInsyncReplicas` is above `replicationFactor`, and nothing could be written: lower it, such as `minInsyncReplicas: 1`",
        ],
    );
    let same = with_sink("kafka: {bootstrapServers: 'a:1', topic: t, checkpointTopic: t, deadLetterTopic: t}");
    assert_problems(
        &same,
        &[
            "sink.kafka.checkpointTopic: is the same topic as `topic`: write another name",
            "sink.kafka.deadLetterTopic: is the same topic as `topic`: write another name",
            "sink.kafka.deadLetterTopic: is the same topic as `checkpointTopic`: write another name",
        ],
    );
}

#[test]
fn the_workspace_of_a_topic_must_be_known() {
    let yaml = with_sink("kafka: {bootstrapServers: 'a:1', topic: 'asana.{workspace}'}");
    let problems = problems_with(&yaml, &environment(&[]));
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(
        problems[0].starts_with("sink.kafka.topic: `{workspace}` is only known of workspace streams"),
        "{problems:?}"
    );

    let checked = fine(&yaml.replace("resource:", "workspace:"));
    let CheckedSink::Kafka(kafka) = &checked.sink else { panic!("Kafka") };
    let stream = &checked.streams[0];
    assert_eq!(stream.kind, StreamKind::Workspace);
    assert_eq!(kafka.topic.topic(&stream.id, "task").as_str(), "asana.1200");
}

#[test]
fn nats_has_legal_names_and_one_login() {
    let yaml = with_sink(
        "nats: {servers: ['localhost:4222', 'nats://me:hunter2@host', 'nats://host:4222'], stream: a.b, subjectPrefix: 'a..b', \
         maxAge: 1day, duplicateWindow: 2days, replicas: 6, user: me, token: {env: TOKEN}, tls: {certFile: /nowhere}}",
    );
    assert_problems(
        &yaml,
        &[
            "sink.nats: has `token` and `user`: keep one",
            "sink.nats: `user` and `password` go together: set both",
            "sink.nats.duplicateWindow: must not be above `maxAge`",
            "sink.nats.maxAge: must be 2days at least: checkpoints live in the same JetStream stream, and must outlive every sync token",
            "sink.nats.replicas: must be at most 5",
            "sink.nats.servers[0]: must be such as `nats://host:4222`, or with tls://, ws:// or wss://",
            "sink.nats.servers[1]: must hold no user or password: there are `user`, `password` and `token` for it",
            "sink.nats.stream: must be a name without white space and without any of `. * > / \\`",
            "sink.nats.subjectPrefix: must be tokens with points between them, without white space, `*`, `>` or a `$` at the start",
            "sink.nats.tls: `certFile` and `keyFile` go together: set both",
            "sink.nats.tls.certFile: the file can't be read: there is no file of this name; write its whole path",
        ],
    );
    let checked = fine(&with_sink("nats: {servers: ['nats://host:4222'], user: me, password: {env: TOKEN}}"));
    let CheckedSink::Nats(nats) = checked.sink else { panic!("NATS") };
    assert!(matches!(nats.login, NatsLogin::User { user, .. } if user == "me"));
}

#[test]
fn problems_of_every_stage_come_together() {
    let yaml = r#"
accounts:
  main: {token: {env: OTHER}}
streams:
  - resource: "${NOPE}"
  - resorce: "13"
  - resource: "15"
  - resource: "15"
sink:
  kafka: {bootstrapServers: "a:1", properties: {acks: "1"}}
polling: {maxInterval: 20h, minInterval: fast}
"#;
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), yaml).expect("write");
    let environment = environment(&[("ASANA_EVENT_BRIDGE__SINK__KAFAK", "1")]);
    let problems = load(&Source::file(file.path()), &environment).expect_err("many");
    assert_eq!(
        problems.to_string().replace(&file.path().display().to_string(), "bridge.yaml"),
        "8 problems:
bridge.yaml:3:18: accounts.main.token.env: the environment variable OTHER is not set: set it where the bridge starts
bridge.yaml:5:5: streams[0].resource: the environment variable NOPE is not set
bridge.yaml:6:5: streams[1].resorce: unknown key; did you mean `resource`?
bridge.yaml:8:5: streams[3]: is the same as streams[2]: account and gid are equal
bridge.yaml:10:49: sink.kafka.properties.acks: can't be set: a commit counts when all replicas in sync have it; the bridge sets `all`
bridge.yaml:11:11: polling.maxInterval: must be at most `12h`: a sync token dies after 24 hours
bridge.yaml:11:29: polling.minInterval: is no time span: write a number and a unit, such as `500ms`, `30s`, `5m`, `12h` or `7d`
ASANA_EVENT_BRIDGE__SINK__KAFAK: overrides no known key; did you mean KAFKA instead of KAFAK?"
    );
}

#[test]
fn a_file_that_is_no_yaml_is_told_where() {
    let problems = problems_with("accounts: [\n", &environment(&[]));
    assert_eq!(problems.len(), 1);
    assert!(problems[0].starts_with("the file: `{…}` or `[…]` isn't complete"), "{problems:?}");
    assert_problems("", &["the file: is empty: examples/config has some to start from"]);
    let missing = load(&Source::file("/nowhere/bridge.yaml"), &environment(&[])).expect_err("missing");
    assert!(missing.to_string().contains("\n/nowhere/bridge.yaml: the file can't be read: "), "{missing}");
}

#[test]
fn variables_in_texts_are_filled_in() {
    let yaml = with_sink("file: {path: '${A}0${B}$${C}'}");
    let checked = load_with(&yaml, &environment(&[("A", "12"), ("B", "")])).expect("fine");
    let CheckedSink::File(file) = checked.sink else { panic!("a file") };
    assert_eq!(file.path, Path::new("120${C}"));
    for (text, message) in [
        ("${", "`${` without its `}`; write `$${` for a plain `${`"),
        ("${a b}", "`${…}` must hold the name of an environment variable; write `$${` for a plain `${`"),
        ("${NOPE}", "the environment variable NOPE is not set"),
    ] {
        assert_problems(&FINE.replace("1200", text), &[&format!("streams[0].resource: {message}")]);
    }
}

#[test]
fn the_environment_overrides_keys() {
    let kafka = with_sink("kafka: {bootstrapServers: 'a:1', properties: {linger.ms: '5'}}");
    let checked = load_with(
        &kafka,
        &environment(&[
            ("ASANA_EVENT_BRIDGE__SINK__KAFKA__BOOTSTRAP_SERVERS", "b:2"),
            ("ASANA_EVENT_BRIDGE__SINK__KAFKA__TOPICS__REPLICATION_FACTOR", "2"),
            ("ASANA_EVENT_BRIDGE__SINK__KAFKA__TOPICS__CREATE", "false"),
            ("ASANA_EVENT_BRIDGE__SINK__KAFKA__PROPERTIES__LINGER_MS", "7"),
            ("ASANA_EVENT_BRIDGE__ACCOUNTS__MAIN__MAX_IN_FLIGHT", "3"),
            ("ASANA_EVENT_BRIDGE__STREAMS__0__RESOURCE", "77"),
            ("ASANA_EVENT_BRIDGE__STREAMS__1__WORKSPACE", "88"),
            ("ASANA_EVENT_BRIDGE__POLLING", "{maxInterval: 3min}"),
        ]),
    )
    .expect("fine");
    let CheckedSink::Kafka(kafka) = &checked.sink else { panic!("Kafka") };
    assert_eq!(kafka.config.bootstrap_servers, "b:2");
    assert_eq!((kafka.config.topics.replication_factor.get(), kafka.config.topics.create), (2, false));
    assert_eq!(kafka.config.properties["linger.ms"], "7");
    assert_eq!(checked.accounts[0].max_in_flight.get(), 3);
    let ids: Vec<String> = checked.streams.iter().map(|stream| stream.id.to_string()).collect();
    assert_eq!(ids, ["main/77", "main/88"]);
    assert_eq!(checked.polling.max_interval.0, Duration::from_secs(180));
}

#[test]
fn lists_grow_in_the_order_of_their_numbers() {
    let variables: Vec<(String, String)> =
        (1..=11).map(|n| (format!("ASANA_EVENT_BRIDGE__STREAMS__{n}__RESOURCE"), format!("{n}"))).collect();
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, gid)| (name.as_str(), gid.as_str())).collect();
    let checked = load_with(FINE, &environment(&variables)).expect("fine");
    let gids: Vec<&str> = checked.streams.iter().map(|stream| stream.id.resource.as_str()).collect();
    assert_eq!(gids, ["1200", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"]);
}

#[test]
fn an_override_of_nothing_is_a_problem() {
    for (name, message) in [
        ("SHARD", "overrides no known key; did you mean SHARDS instead of SHARD?"),
        (
            "COMMIT__X",
            "overrides no known key; instead of X there can be MAX_PENDING, MAX_PER_SECOND, MAX_RECORDS, WATERMARK_INTERVAL",
        ),
        ("STREAMS__2__RESOURCE", r#""2" is no number from 0 to 1"#),
        ("STREAMS__X__RESOURCE", r#""X" is no number from 0 to 1"#),
        ("SHARDS__X", "overrides no known key"),
        ("COMMIT", "its value is not YAML"),
        (
            "ACCOUNTS__OTHER__MAX_IN_FLIGHT",
            "overrides no known key: the file has no OTHER there; add it, its value may be `${NAME}`",
        ),
    ] {
        let name = format!("ASANA_EVENT_BRIDGE__{name}");
        let problems = problems_with(FINE, &environment(&[(&name, "[")]));
        assert_eq!(problems, [format!("{name}: {message}")]);
    }
}

#[test]
fn secrets_go_without_encryption_to_this_machine_and_to_named_hosts_only() {
    for host in ["localhost:1", "127.9.9.9", "[::1]:8080"] {
        fine(&FINE.replace("{env: TOKEN}}", &format!("{{env: TOKEN}}, baseUrl: 'http://{host}/api/1.0'}}")));
    }
    let yaml = FINE.replace("{env: TOKEN}}", "{env: TOKEN}, baseUrl: 'http://Simulator:8888/api/1.0'}");
    assert_eq!(problems_with(&yaml, &environment(&[])).len(), 1);
    fine(&format!("insecureHosts: [simulator]\n{yaml}"));
    let named = [("ASANA_EVENT_BRIDGE__INSECURE_HOSTS", "[simulator]")];
    assert!(load_with(&yaml, &environment(&named)).is_ok());
}

#[test]
fn a_proxy_that_would_be_ignored_is_a_problem() {
    let problem = "is no address of a proxy: write `http://HOST:PORT` or `http://USER:PASSWORD@HOST:PORT`, with special \
                   characters percent-encoded, or unset the variable";
    let variables = [("HTTPS_PROXY", "http://me:hunter#2@p:3128:1"), ("http_proxy", "socks5://p:1"), ("ALL_PROXY", "")];
    let problems = problems_with(FINE, &environment(&variables));
    assert_eq!(problems, [format!("HTTPS_PROXY: {problem}"), format!("http_proxy: {problem}")]);
    let fine = [("HTTPS_PROXY", "http://me:secret@p:3128"), ("https_proxy", "not read"), ("ALL_PROXY", "p:3128")];
    assert!(load_with(FINE, &environment(&fine)).is_ok());
}

#[test]
fn without_a_file_a_token_is_enough() {
    let source = Source { resources: vec!["1".into()], workspaces: vec!["2".into()], ..Source::default() };
    let variables =
        [("ASANA_TOKEN", "hunter2"), ("ASANA_BASE_URL", "http://127.0.0.1:8080/api/1.0/"), ("POD_NAME", "pod-0")];
    let checked = load(&source, &Environment::of(variables)).expect("fine");
    assert_eq!(checked.accounts[0].base_url.as_str(), "http://127.0.0.1:8080/api/1.0");
    let kinds: Vec<StreamKind> = checked.streams.iter().map(|stream| stream.kind).collect();
    assert_eq!(kinds, [StreamKind::Resource, StreamKind::Workspace]);
    assert_eq!((checked.replica.as_str(), checked.sink.name()), ("pod-0", "console"));

    let problems = load(&source, &Environment::default().on_host("h")).expect_err("no token");
    assert_eq!(
        problems.to_string(),
        "1 problem:\naccounts.main.token.env: the environment variable ASANA_TOKEN is not set: set it where the bridge starts"
    );
}

#[test]
fn flags_stand_in_for_parts_of_the_file() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), FINE).expect("write");
    let source = Source { sink: Some(LocalSink::File), resources: vec!["9".into()], ..Source::file(file.path()) };
    let checked = load(&source, &environment(&[])).expect("fine");
    assert_eq!(checked.streams[0].id, StreamId::new("main", "9"));
    let CheckedSink::File(file) = checked.sink else { panic!("a file") };
    assert_eq!(file.path, Path::new("asana-events.jsonl"));
    assert_eq!(file.checkpoint, Path::new("asana-events.jsonl.checkpoint"));
}

#[test]
fn a_budget_that_is_too_small_is_told() {
    let streams = |count: u32| {
        let mut yaml = FINE.replace("{env: TOKEN}}", "{env: TOKEN}, requestsPerMinute: 1}");
        yaml = yaml.replace("  - resource: \"1200\"\n", "");
        let list = (1..=count).fold(String::new(), |mut list, n| {
            writeln!(list, "  - resource: \"{n}\"").expect("write");
            list
        });
        yaml.replace("streams:\n", &format!("streams:\n{list}"))
    };
    assert!(fine(&streams(1)).warnings.is_empty());
    assert_eq!(
        fine(&streams(2)).warnings,
        [
            "accounts.main.requestsPerMinute: 1 a minute can't poll 2 streams every 1m; they will be polled every 2m on average, quiet ones less often",
        ]
    );
    assert_eq!(fine(&streams(720)).warnings.len(), 1);
    assert_problems(
        &streams(721),
        &["accounts.main.requestsPerMinute: 1 a minute can't poll 721 streams once in 12 hours; use more accounts"],
    );
}

#[test]
fn a_secret_file_is_read_anew() {
    let secret = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(secret.path(), " first\n").expect("write");
    let checked = fine(&FINE.replace("{env: TOKEN}", &format!("{{file: {:?}}}", secret.path())));
    let Credential::Token(source @ SecretSource::File(_)) = &checked.accounts[0].credential else { panic!("a file") };
    assert_eq!(source.read().expect("readable").expose(), "first");
    std::fs::write(secret.path(), "second").expect("write");
    assert_eq!(source.read().expect("readable").expose(), "second");
    std::fs::write(secret.path(), "\n").expect("write");
    assert!(source.read().is_err());
}

#[test]
fn secrets_are_never_printed() {
    let kafka = "kafka: {bootstrapServers: 'a:1', secretProperties: {sasl.password: {env: TOKEN}}}";
    let checked = fine(&with_sink(kafka));
    assert!(!format!("{checked:?}").contains("hunter2"), "{checked:?}");
    assert!(!format!("{:?}", environment(&[])).contains("hunter2"));
    let Credential::Token(token) = &checked.accounts[0].credential else { panic!("a token") };
    assert!(!format!("{}", token.read().expect("readable")).contains("hunter2"));

    // A secret in any wrong place, as it is or through a variable.
    for wrong in ["hunter2/x", "${TOKEN}/x"] {
        for (from, to) in [
            ("{env: TOKEN}", format!("'{wrong}'")),
            ("{env: TOKEN}", format!("{{env: '{wrong}'}}")),
            ("{env: TOKEN}", format!("{{file: '{wrong}'}}")),
            ("{env: TOKEN}", format!("{{env: TOKEN, file: '{wrong}'}}")),
            ("\"1200\"", format!("'{wrong}'")),
            ("console: {}", format!("kafka: {{bootstrapServers: '{wrong}'}}")),
            ("console: {}", format!("nats: {{servers: ['nats://a:{wrong}@b']}}")),
            ("console: {}", format!("kafka: {{bootstrapServers: 'a:1', properties: {{sasl.password: '{wrong}'}}}}")),
            ("sink:", format!("polling: {{minInterval: '{wrong}'}}\nsink:")),
            ("sink:", format!("replica: '{wrong}'\nsink:")),
            ("sink:", format!("shards: '{wrong}'\nsink:")),
            ("\"1200\"", format!("'1'\n    account: '{wrong}'")),
            ("console: {}", format!("nats: {{servers: ['nats://a:1'], credentialsFile: '{wrong}'}}")),
            ("console: {}", format!("console: {wrong}, [")),
            ("sink:", format!("shards: {{x: '{wrong}\nsink:")),
        ] {
            let problems = load_text(&FINE.replacen(from, &to, 1)).expect_err("a secret isn't accepted there");
            assert!(!format!("{problems} {problems:?}").contains("hunter2"), "{to}: {problems}");
        }
    }
}

/// [`FINE`] with rules of discovery instead of streams.
fn with_rules(rules: &str) -> String {
    FINE.replace("streams:\n  - resource: \"1200\"\n", &format!("discovery: {{interval: 2min, rules: [{rules}]}}\n"))
}

#[test]
fn rules_of_discovery_become_lists_to_read() {
    let rules = r#"{workspace: "1"}, {team: "2", name: "^Team ", archived: include}, {portfolio: "3", account: main},
        {goals: "1", name: x}"#;
    let checked = fine(&with_rules(rules));
    assert_eq!((checked.streams.len(), checked.discovery.interval), (0, Duration::from_secs(120)));
    let lists: Vec<_> =
        checked.discovery.rules.iter().map(|rule| (rule.listing.what, rule.listing.of.as_str())).collect();
    let expected = [
        (What::WorkspaceProjects, "1"),
        (What::TeamProjects, "2"),
        (What::PortfolioItems, "3"),
        (What::WorkspaceGoals, "1"),
    ];
    assert_eq!(lists, expected);
    let [first, second, ..] = checked.discovery.rules.as_slice() else { panic!("four rules") };
    assert_eq!((first.archived, second.archived), (ArchivedConfig::Exclude, ArchivedConfig::Include));
    assert!(second.name.as_ref().unwrap().0.is_match("Team A"));
    assert!(checked.discovery.rules.iter().all(|rule| rule.account.as_str() == "main"));
}

#[test]
fn every_problem_of_a_rule_is_told_at_its_place() {
    let rules = r#"{}, {workspace: "1", team: "2"}, {workspace: "1/2"}, {team: "1", name: "("}, {goals: "1", archived: only},
        {workspace: "1", account: mian}, {team: "5"}, {team: "5"}"#;
    assert_problems(
        &with_rules(rules).replace("2min", "1ms"),
        &[
            "discovery.interval: must be at least `1s`",
            "discovery.rules[0]: needs one of `workspace`, `team`, `portfolio` and `goals`: where to look, such as `workspace: \"1100000000000001\"`",
            "discovery.rules[1]: has `team` and `workspace`: keep one",
            "discovery.rules[2].workspace: is no gid: expected a number such as 1100000000000001, or an address in Asana such as https://app.asana.com/1/1100000000000001/home",
            "discovery.rules[3].name: is no regular expression: write one such as `^Team `, with `\\` before a `(`, `[`, `*` or `+` that means itself",
            "discovery.rules[4].archived: leaves nothing: goals are never archived",
            "discovery.rules[5].account: there is no such account; did you mean `main`?",
            "discovery.rules[7]: is the same as discovery.rules[6]",
        ],
    );
    let kafka = r#"kafka: {bootstrapServers: "b:9092", topic: "a.{workspace}"}"#;
    let problems = problems_with(&with_rules(r#"{workspace: "1"}"#).replace("console: {}", kafka), &environment(&[]));
    assert!(
        problems[0].starts_with("sink.kafka.topic: `{workspace}` is only known of workspace streams"),
        "{problems:?}"
    );
}

#[test]
fn discovery_has_a_part_of_the_budget_and_polls_the_rest() {
    let checked = fine(&with_rules(r#"{workspace: "1"}"#));
    let discovery = &checked.discovery;
    for (whole, part, rest) in [(1_400, 70, 1_330), (140, 7, 133), (60, 6, 54), (8, 4, 4), (1, 1, 1)] {
        let whole = whole.try_into().unwrap();
        assert_eq!(discovery.requests_per_minute(&"main".into(), whole).unwrap().get(), part, "of {whole}");
        assert_eq!(checked.left_for_polls(&"main".into(), whole).get(), rest, "of {whole}");
        assert_eq!(discovery.requests_per_minute(&"other".into(), whole), None);
        assert_eq!(checked.left_for_polls(&"other".into(), whole), whole);
    }
}

#[test]
fn streams_named_on_the_command_line_take_the_place_of_rules() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), with_rules(r#"{workspace: "1"}"#)).expect("write");
    let source = Source { resources: vec!["7".to_owned()], ..Source::file(file.path()) };
    let checked = load(&source, &environment(&[])).unwrap();
    assert_eq!((checked.streams.len(), checked.discovery.rules.len()), (1, 0));
}
