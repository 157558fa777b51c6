//! Real nats-servers, one of which knows users, permissions and TLS.

use super::{Bench, program};
use crate::support::operator::Operator;
use crate::support::program::Program;
use crate::support::rights::{Of, of_nats};
use crate::support::service::Service;
use crate::support::tls::Certificates;
use crate::support::wait_for;
use nkeys::KeyPair;
use serde_json::{Value, json};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(60);

/// What a bridge publishes to that creates what is missing, and whose rights `doctor` can read.
fn published() -> Vec<String> {
    let lists = [Of::Bridge, Of::Creator].map(of_nats);
    lists.into_iter().flatten().chain(["$SYS.REQ.USER.INFO".to_owned()]).collect()
}

fn config(bench: &Bench, nats: &Service) -> Value {
    let servers = [format!("nats://{}", nats.address)];
    bench.config(&json!({ "nats": { "servers": servers, "replicas": 1 } }))
}

fn reach(nats: &Service) -> String {
    format!("NATS at nats://{}", nats.address)
}

#[test]
fn a_user_is_held_against_what_the_bridge_needs() {
    let bench = Bench::new();
    let certificates = Certificates::make(bench.folder.path());
    let user = |name: &str, publish: &[String]| {
        let permissions = json!({ "publish": publish, "subscribe": ["_INBOX.>"] });
        json!({ "user": name, "password": "hush-password", "permissions": permissions })
    };
    let poor: Vec<_> = published().into_iter().filter(|subject| !subject.starts_with("$KV")).collect();
    let admin = json!({ "user": "admin", "password": "admin" });
    let users = json!({ "users": [user("bridge", &published()), user("poor", &poor), admin] });
    let tls = json!({ "cert_file": certificates.certificate, "key_file": certificates.key });
    let settings = [
        format!("authorization={users}"),
        "no_auth_user=admin".into(),
        format!("tls={tls}"),
        "allow_non_tls=true".into(),
    ];
    let nats = Service::start("nats", &settings.iter().flat_map(|setting| ["--set", setting]).collect::<Vec<_>>());
    let config = |user: &str, password: &str| {
        let mut config = config(&bench, &nats);
        config["sink"]["nats"]["user"] = json!(user);
        config["sink"]["nats"]["password"] = bench.secret(password);
        config["sink"]["nats"]["tls"] = json!({ "caFile": certificates.authority });
        config
    };
    let (stream, leases) = ("JetStream stream ASANA", "key-value bucket ASANA_leases");

    let found = bench.examine(&config("bridge", "wrong"), &[]);
    found.assert_failed(&[&reach(&nats)]);
    found.assert(&reach(&nats), "failed", &["doesn't accept the credentials", "sink.nats"]);
    for untried in [stream, leases, "rights on NATS"] {
        found.assert(untried, "not_tried", &["can't be used"]);
    }

    let folder = bench.path("foreign");
    std::fs::create_dir(&folder).unwrap();
    let mut wrong = config("bridge", "password");
    wrong["sink"]["nats"]["tls"]["caFile"] = json!(Certificates::make(&folder).authority);
    bench.examine(&wrong, &[]).assert(&reach(&nats), "failed", &["invalid peer certificate", "sink.nats.tls.caFile"]);
    // The bridge itself says the same.
    let (code, _, log) = program(&["run", "--config", bench.write(&wrong).to_str().unwrap()]);
    assert_eq!(code, 64, "{log}");
    assert!(log.lines().last().unwrap().contains("sink.nats.tls.caFile"), "{log}");

    let found = bench.examine(&config("poor", "password"), &[]);
    found.assert_failed(&["rights on NATS"]);
    found.assert("rights on NATS", "failed", &["user poor", "may not publish to $KV.ASANA_leases.>"]);

    let mut fixed = config("bridge", "password");
    fixed["sink"]["nats"]["create"] = json!(false);
    let found = bench.examine(&fixed, &[]);
    found.assert_failed(&[stream, leases]);
    found.assert(stream, "failed", &["doesn't exist", "sink.nats.create"]);
    found.assert(leases, "failed", &["nats kv add ASANA_leases --ttl 10s"]);
    let (code, _, log) = program(&["run", "--config", bench.write(&fixed).to_str().unwrap()]);
    assert_eq!(code, 64, "{log}");
    assert!(log.lines().last().unwrap().contains("create it, or set sink.nats.create"), "{log}");

    let good = config("bridge", "password");
    let found = bench.examine(&good, &[]);
    found.assert_failed(&[]);
    found.assert(stream, "unknown", &["the bridge creates it"]);
    found.assert("rights on NATS", "ok", &["user bridge"]);
    // What it found to be enough is enough, and it disturbs nobody.
    let (path, log) = (bench.write(&good), bench.path("bridge.log"));
    let mut bridge = Program::start(&["run", "--config", path.to_str().unwrap()], &log);
    wait_for("the bridge", TIMEOUT, || {
        bridge.assert_running();
        std::fs::read_to_string(&log).unwrap().contains("re-crawl finished").then_some(())
    });
    let found = bench.examine(&good, &[]);
    found.assert_failed(&[]);
    found.assert(&reach(&nats), "ok", &["with atomic batches"]);
    found.assert(stream, "ok", &["fits"]);
    found.assert(leases, "ok", &["leases hold for 10s"]);
    bridge.assert_running();
    assert!(bridge.stop().success());
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(!log.contains("commit fenced") && !log.contains("session ended"), "{log}");
    let (code, lines, log) = program(&["verify", "--config", path.to_str().unwrap()]);
    assert!(code == 0 || log.contains("could not"), "no record but the bridge's: {lines}{log}");

    // Who may not take leases hears of it in one line.
    let log = bench.path("poor.log");
    let path = bench.write(&config("poor", "password"));
    let mut bridge = Program::start(&["run", "--config", path.to_str().unwrap()], &log);
    let line = wait_for("the bridge's word", TIMEOUT, || {
        bridge.assert_running();
        let log = std::fs::read_to_string(&log).unwrap();
        log.lines().find(|line| line.contains("permission denied by NATS")).map(str::to_owned)
    });
    assert!(line.contains("$KV.ASANA_leases.") && line.contains("allow it in the user's permissions"), "{line}");
}

#[test]
fn nkeys_and_credentials_files_are_ways_to_log_in() {
    let bench = Bench::new();
    let examine = |nats: &Service, key: &str, value: &Value| {
        let mut config = config(&bench, nats);
        config["sink"]["nats"][key] = value.clone();
        bench.examine(&config, &[])
    };

    let (known, stranger) = (KeyPair::new_user(), KeyPair::new_user());
    for (name, pair) in [("known", &known), ("stranger", &stranger)] {
        std::fs::write(bench.path(name), pair.seed().unwrap()).unwrap();
    }
    let users = json!({ "users": [{ "nkey": known.public_key() }] });
    let nats = Service::start("nats", &["--set", &format!("authorization={users}")]);
    let found = examine(&nats, "nkeySeed", &bench.secret("known"));
    found.assert_failed(&[]);
    found.assert("rights on NATS", "ok", &[&known.public_key()]);
    examine(&nats, "nkeySeed", &bench.secret("stranger")).assert(
        &reach(&nats),
        "failed",
        &["doesn't accept the credentials", "nkeySeed"],
    );
    examine(&nats, "nkeySeed", &bench.secret("password")).assert(
        &reach(&nats),
        "failed",
        &["sink.nats.nkeySeed can't be used"],
    );

    let operator = Operator::new();
    let settings = operator.settings();
    let nats = Service::start("nats", &settings.iter().flat_map(|setting| ["--set", setting]).collect::<Vec<_>>());
    let user = KeyPair::new_user();
    std::fs::write(bench.path("user.creds"), operator.credentials(&user, &json!({}), None)).unwrap();
    let found = examine(&nats, "credentialsFile", &json!(bench.path("user.creds")));
    found.assert_failed(&[]);
    found.assert("rights on NATS", "ok", &[&user.public_key(), &operator.account.public_key()]);
    examine(&nats, "credentialsFile", &json!(bench.path("password"))).assert(
        &reach(&nats),
        "failed",
        &["doesn't hold a JWT and a seed"],
    );
}

#[test]
fn an_old_server_is_noticed_and_a_missing_one_told() {
    let bench = Bench::new();
    let nats = Service::start("nats-old", &[]);
    let config = config(&bench, &nats);
    let found = bench.examine(&config, &[]);
    found.assert_failed(&[]);
    found.assert(&reach(&nats), "notice", &["without atomic batches", "2.12"]);
    found.assert("rights on NATS", "ok", &[]);
    let reach = reach(&nats);
    nats.stop();
    let found = bench.examine(&config, &[]);
    found.assert_failed(&[&reach]);
    found.assert(&reach, "failed", &["refused", "check `sink.nats.servers`"]);
}

#[tokio::test]
async fn a_jetstream_stream_that_doesnt_fit_is_told() {
    let (bench, nats) = tokio::task::spawn_blocking(|| (Bench::new(), Service::start("nats", &[]))).await.unwrap();
    let jetstream = async_nats::jetstream::new(async_nats::connect(&nats.address).await.unwrap());
    let stream = async_nats::jetstream::stream::Config {
        name: "ASANA".to_owned(),
        subjects: vec!["asana.>".to_owned()],
        max_age: Duration::from_secs(3600),
        max_messages_per_subject: 1,
        duplicate_window: Duration::from_secs(120),
        ..Default::default()
    };
    jetstream.create_stream(stream).await.unwrap();
    let bucket = async_nats::jetstream::kv::Config { bucket: "ASANA_leases".to_owned(), ..Default::default() };
    jetstream.create_key_value(bucket).await.unwrap();
    let judge = move || {
        let found = bench.examine(&config(&bench, &nats), &[]);
        found.assert_failed(&["JetStream stream ASANA", "key-value bucket ASANA_leases"]);
        found.assert("JetStream stream ASANA", "failed", &["max_age is", "max_msgs_per_subject", "nats stream edit"]);
        found.assert("key-value bucket ASANA_leases", "failed", &["live for ever", "delete it"]);
    };
    tokio::task::spawn_blocking(judge).await.unwrap();
}
