//! Values in the wire format of a schema registry: against Apicurio, a registry that isn't Confluent's, read by
//! Confluent's Python client, which isn't ours.

use crate::kafka_support::{Session, broker, checkpoint, message, refused, settings};
use crate::scripted_http::{ScriptedHttp, answer};
use crate::support::foreign::{python, read_kafka};
use crate::support::service::Service;
use asana_event_bridge::config::{
    CheckedSchemaRegistry, EncodingConfig, RegistryLogin, Secret, SecretSource, SubjectNameStrategy,
};
use asana_event_bridge::sink::kafka::offline::hand_over;
use asana_event_bridge::sink::kafka::{KafkaSettings, SchemaRegistry, open};
use asana_event_bridge::sink::{Committer as _, SinkError};
use bridge_consumer::kafka::KafkaReader;
use bridge_consumer::{ReadFrom, Until, decode};
use bridge_contract::pb;
use bridge_core::ids::{ShardId, Topic};
use bridge_core::record::batch::{Batch, Message, Target};
use prost::Message as _;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::OnceLock;

/// The base of the interface of the registry that the tests share.
fn registry() -> &'static str {
    static REGISTRY: OnceLock<(Service, String)> = OnceLock::new();
    let start = || {
        let service = Service::start("registry", &[]);
        let url = format!("http://{}/apis/ccompat/v7", service.address);
        (service, url)
    };
    &REGISTRY.get_or_init(start).1
}

fn at(urls: &[&str]) -> CheckedSchemaRegistry {
    CheckedSchemaRegistry {
        urls: urls.iter().map(|url| url.parse().unwrap()).collect(),
        login: RegistryLogin::Nobody,
        ca_file: None,
        register: true,
        subject_name_strategy: SubjectNameStrategy::TopicName,
    }
}

fn with(name: &str, registry: CheckedSchemaRegistry) -> KafkaSettings {
    KafkaSettings { schema_registry: Some(SchemaRegistry::new(registry).unwrap()), ..settings(broker(), name, 1) }
}

/// Asks the registry as anybody would.
async fn ask(method: reqwest::Method, path: &str, body: Value) -> Value {
    let request = reqwest::Client::new().request(method, format!("{}{path}", registry()));
    let answer = request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap();
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

async fn subjects() -> Vec<String> {
    serde_json::from_value(ask(reqwest::Method::GET, "/subjects", Value::Null).await).unwrap()
}

/// Puts a schema that has nothing of ours under a subject, and forbids to change it.
async fn occupy(subject: &str) {
    let schema = "syntax = \"proto3\"; package other; message Order { string id = 1; }";
    let path = format!("/subjects/{subject}/versions");
    ask(reqwest::Method::POST, &path, json!({ "schemaType": "PROTOBUF", "schema": schema })).await;
    ask(reqwest::Method::PUT, &format!("/config/{subject}"), json!({ "compatibility": "FULL" })).await;
}

/// What Confluent's client reads: the schema's id, the headers, and the message as JSON.
fn read(topic: &str, message: &str) -> Vec<Value> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/foreign/registry_read.py");
    let output = Command::new(python()).args([script, broker(), topic, registry(), message]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn record(sequence: u64) -> pb::Record {
    let position = pb::Position { shard: 0, epoch: 1, lane_sequence: sequence, ..pb::Position::default() };
    let event = pb::Event {
        action: "changed".to_owned(),
        resource: Some(pb::Resource { gid: "1200".to_owned(), name: Some("Ärger".to_owned()), ..Default::default() }),
        ..pb::Event::default()
    };
    pb::Record {
        position: Some(position),
        received_at: Some(bridge_contract::Timestamp { seconds: 1_700_000_000, nanos: 0 }),
        body: Some(pb::record::Body::Event(event)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn json_has_a_registered_schema_that_its_values_follow() {
    let mut settings = with("framed-json", at(&[registry()]));
    settings.config.encoding = EncodingConfig::Json;
    let mut session = Session::open(&settings, 1).await;
    let state_json = r#"{"gid":"1200","number_value":1.10}"#.to_owned();
    let snapshot = pb::record::Body::Snapshot(pb::Snapshot { state_json, ..pb::Snapshot::default() });
    let records = [record(1), pb::Record { body: Some(snapshot), ..record(2) }];
    let values = records.iter().map(|record| bridge_contract::json::record(record).unwrap());
    let messages = values.map(|value| Message { value, ..message(&settings, 0, 0, "x") }).collect();
    let checkpoints = vec![checkpoint(0, "stream", Some("1"))];
    session.committer.commit(&Batch { messages, checkpoints }).await.unwrap();
    session.close().await;

    let seen = read_kafka(broker(), "framed-json.events");
    let (head, _) = seen[0].value.split_at(5);
    assert_eq!(head[0], 0);
    let id = u32::from_be_bytes(head[1..].try_into().unwrap());
    let stored = ask(reqwest::Method::GET, &format!("/schemas/ids/{id}"), Value::Null).await;
    assert_eq!(stored["schemaType"], "JSON");
    let schema: Value = serde_json::from_str(stored["schema"].as_str().unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for (seen, record) in seen.iter().zip(&records) {
        let value: Value = serde_json::from_slice(&seen.value[5..]).unwrap();
        validator.validate(&value).unwrap_or_else(|error| panic!("{error}: {value}"));
        assert_eq!(decode::wire(&seen.value).unwrap(), *record);
    }
    assert!(!validator.is_valid(&json!({ "position": { "epoch": 1 } })), "64-bit numbers are text");
    assert!(!validator.is_valid(&json!({ "snapshot": { "object": "{}" } })));
    let dead_letters =
        ask(reqwest::Method::GET, "/subjects/framed-json.dead-letters-value/versions/latest", Value::Null);
    let schema: Value = serde_json::from_str(dead_letters.await["schema"].as_str().unwrap()).unwrap();
    assert_eq!(schema["$ref"], "#/$defs/DeadLetter");
}

#[tokio::test(flavor = "multi_thread")]
async fn confluents_client_reads_records_and_dead_letters_by_their_schema() {
    let settings = with("framed", at(&[registry()]));
    let mut session = Session::open(&settings, 1).await;
    let records: Vec<_> = (1..=50).map(record).collect();
    let letter = pb::DeadLetter { topic: "framed.events".to_owned(), part: vec![1, 2, 3], ..Default::default() };
    let of = |value: Vec<u8>| Message { value, ..message(&settings, 0, 0, "x") };
    let mut messages: Vec<_> = records.iter().map(|record| of(record.encode_to_vec())).collect();
    messages.push(Message { target: Target::DeadLetter, ..of(letter.encode_to_vec()) });
    let checkpoints = vec![checkpoint(0, "stream", Some("1"))];
    session.committer.commit(&Batch { messages, checkpoints }).await.unwrap();
    session.close().await;

    let seen = read("framed.events", "Record");
    let decoded: Vec<pb::Record> =
        seen.iter().map(|seen| serde_json::from_value(seen["message"].clone()).unwrap()).collect();
    assert_eq!(decoded, records);
    let id = seen[0]["schema_id"].as_u64().unwrap();
    let stored = ask(reqwest::Method::GET, &format!("/schemas/ids/{id}"), Value::Null).await;
    assert_eq!(stored["schema"], include_str!("../../proto/asana_event_bridge/v1/record.proto"));
    let traceparent = seen[0]["headers"]["traceparent"].as_str().unwrap();
    assert!(traceparent.len() == 55 && traceparent.starts_with("00-") && traceparent.ends_with("-00"), "{traceparent}");
    assert_eq!(seen[0]["headers"]["ce_partitionkey"], "1200");
    assert_eq!(seen[0]["headers"]["ce_dataschema"], format!("{}/schemas/ids/{id}", registry()));
    let letters = read("framed.dead-letters", "DeadLetter");
    assert_eq!(serde_json::from_value::<pb::DeadLetter>(letters[0]["message"].clone()).unwrap(), letter);

    // Byte for byte: zero, the id, and the place of Record, the first message, or of DeadLetter, the eighth.
    let first = |topic: &str| read_kafka(broker(), topic)[0].value.clone();
    let frame = |path: &[u8]| [&[0], (id as u32).to_be_bytes().as_slice(), path].concat();
    assert_eq!(first("framed.events"), [frame(&[0]), records[0].encode_to_vec()].concat());
    assert_eq!(first("framed.dead-letters"), [frame(&[2, 14]), letter.encode_to_vec()].concat());

    // What `tail` and `verify` read with.
    let properties = BTreeMap::from([("bootstrap.servers".to_owned(), broker().to_owned())]);
    let open = move || KafkaReader::open(&properties, |name| name == "framed.events", ReadFrom::Start, Until::End);
    let mut reader = tokio::task::spawn_blocking(open).await.unwrap().unwrap();
    let mut own = Vec::new();
    while let Some(received) = reader.next().await.unwrap() {
        own.push(received.record);
    }
    assert_eq!(own, records);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_at_the_limit_is_taken_with_its_frame() {
    let mut plain = Session::open(&settings(broker(), "plain-limit", 1), 1).await;
    let settings = with("limit", at(&[registry()]));
    let mut framed = Session::open(&settings, 1).await;
    let limit = async |session: &mut Session, topic: &str| {
        session.committer.output_topic(&Topic::from(topic)).await.unwrap().message_bytes
    };
    let (without, with) = (limit(&mut plain, "plain-limit.events").await, limit(&mut framed, "limit.events").await);
    let id = ask(reqwest::Method::GET, "/subjects/limit.events-value/versions/1", Value::Null).await["id"].clone();
    assert_eq!(without - with, 6 + format!("{}/schemas/ids/{id}", registry()).len());
    let large = Message { value: vec![7; with - 512], ..message(&settings, 0, 0, "x") };
    let batch = Batch { messages: vec![large], checkpoints: vec![checkpoint(0, "stream", Some("1"))] };
    framed.committer.commit(&batch).await.unwrap();
    plain.close().await;
    framed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_strategy_has_its_subjects() {
    for (strategy, name, expected) in [
        (SubjectNameStrategy::TopicName, "by-topic", ["by-topic.events-value", "by-topic.dead-letters-value"]),
        (
            SubjectNameStrategy::RecordName,
            "by-record",
            ["asana_event_bridge.v1.Record", "asana_event_bridge.v1.DeadLetter"],
        ),
        (
            SubjectNameStrategy::TopicRecordName,
            "by-both",
            ["by-both.events-asana_event_bridge.v1.Record", "by-both.dead-letters-asana_event_bridge.v1.DeadLetter"],
        ),
    ] {
        let config = CheckedSchemaRegistry { subject_name_strategy: strategy, ..at(&[registry()]) };
        Session::open(&with(name, config), 1).await.close().await;
        let subjects = subjects().await;
        assert!(expected.iter().all(|name| subjects.iter().any(|it| it == name)), "{expected:?}: {subjects:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incompatible_schema_is_refused() {
    occupy("taken.events-value").await;
    for register in [true, false] {
        let config = CheckedSchemaRegistry { register, ..at(&[registry()]) };
        let settings = with("taken", config);
        if !register {
            // So that it isn't the dead letters' schema that is missed.
            let path = "/subjects/taken.dead-letters-value/versions";
            let schema = include_str!("../../proto/asana_event_bridge/v1/record.proto");
            ask(reqwest::Method::POST, path, json!({ "schemaType": "PROTOBUF", "schema": schema })).await;
        }
        let said = refused(&settings).await;
        assert!(said.contains("isn't compatible with what is under the subject taken.events-value"), "{said}");
        assert!(said.contains("; choose another topic or `subjectNameStrategy`"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_schema_is_refused_where_the_bridge_may_not_register_it() {
    let config = CheckedSchemaRegistry { register: false, ..at(&[registry()]) };
    let said = refused(&with("schemaless", config.clone())).await;
    assert!(said.contains("isn't under the subject schemaless.dead-letters-value"), "{said}");
    assert!(said.contains("set `sink.kafka.schemaRegistry.register: true`"), "{said}");
    assert!(!subjects().await.iter().any(|subject| subject.starts_with("schemaless")), "nothing was registered");
    // With the schema there, it begins.
    Session::open(&with("schemaless", at(&[registry()])), 1).await.close().await;
    Session::open(&with("schemaless", config), 1).await.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_credentials_are_said_and_never_shown() {
    let password = || SecretSource::Text(Secret::new("hunter2"));
    let user = RegistryLogin::User { user: "bridge".to_owned(), password: password() };
    for (login, status, header) in [
        // base64 of `bridge:hunter2`
        (user, 401, "Basic YnJpZGdlOmh1bnRlcjI="),
        (RegistryLogin::Token(password()), 403, "Bearer hunter2"),
    ] {
        let body = json!({ "error_code": status, "message": "not you" }).to_string();
        let double = ScriptedHttp::start([answer(status, &[], body)]).await;
        let settings = with("credentials", CheckedSchemaRegistry { login, ..at(&[double.url()]) });
        let said = refused(&settings).await;
        assert!(said.contains("refuses the bridge for the subject credentials.dead-letters-value"), "{said}");
        assert!(said.contains(": not you") && said.contains("correct `user` and `password` or `token`"), "{said}");
        assert!(!format!("{said} {settings:?}").contains("hunter2"));
        let requests = double.finish();
        assert_eq!(requests[0].header("authorization"), Some(header));
        assert_eq!(requests[0].target(), "/subjects/credentials.dead-letters-value/versions");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_away_is_waited_for_and_another_one_asked() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let closed = format!("http://{closed}");
    let double = ScriptedHttp::start([answer(503, &[], "")]).await;
    let error = open(with("away", at(&[&closed, double.url()]))).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, SinkError::Unavailable { .. }), "{error}");
    let error = open(with("away", at(&[&closed]))).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, SinkError::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("refused"), "the cause is said: {error}");
    Session::open(&with("away", at(&[&closed, registry()])), 1).await.close().await;
    // What isn't a registry at all is told.
    let double = ScriptedHttp::start([answer(200, &[], "<html>")]).await;
    let said = refused(&with("away", at(&[double.url()]))).await;
    assert!(said.contains("doesn't answer as a schema registry does"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_is_handed_over_has_no_frame() {
    let old = with("handed", at(&[registry()]));
    let mut new = with("handed", at(&[registry()]));
    "handed.checkpoints-2".clone_into(&mut new.config.checkpoint_topic);
    "handed-2".clone_into(&mut new.config.group_id);
    Session::open(&new, 1).await.close().await;
    let mut session = Session::open(&old, 1).await;
    let written = vec![checkpoint(0, "stream", Some("token"))];
    let retired = vec![checkpoint(0, "stream", None)];
    let now = chrono::DateTime::UNIX_EPOCH;
    hand_over(&mut session.committer, &new.config.checkpoint_topic, written, retired, now).await.unwrap();
    session.close().await;
    let session = Session::open(&new, 1).await;
    assert_eq!(session.restored[&ShardId(0)]["stream"], b"token");
    session.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_session_does_without_the_registry() {
    let id = || answer(200, &[], r#"{"id":7}"#);
    let double = ScriptedHttp::start([id(), id()]).await;
    let settings = with("later", at(&[double.url()]));
    Session::open(&settings, 1).await.close().await;
    Session::open(&settings, 1).await.close().await;
    double.finish();
}
