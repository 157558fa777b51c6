//! Passwords of the bus are changed under a running bridge, at the bus first or in the file first. It goes on as the same
//! process, and each event is there once.

use super::TIMEOUT;
use crate::support::foreign::{Seen, read_kafka, read_nats};
use crate::support::judge::{compare, events};
use crate::support::program::{Program, Simulator, TOKEN};
use crate::support::service::Service;
use crate::support::tls::Certificates;
use crate::support::wait_for;
use serde_json::{Value, json};
use std::path::PathBuf;

/// A bridge that reads its password for the bus out of a file.
struct Bench {
    folder: tempfile::TempDir,
    simulator: Simulator,
    bridge: Program,
    offered: usize,
}

impl Bench {
    fn new(folder: tempfile::TempDir, sink: impl FnOnce(&Value) -> Value) -> Self {
        let path = |name: &str| folder.path().join(name);
        let simulator = Simulator::start(&[], &path("simulator.log"));
        simulator.post("/_sim/events", &json!({ "resource": "1", "events": [] }));
        std::fs::write(path("token"), TOKEN).unwrap();
        std::fs::write(path("password"), "hush-first").unwrap();
        let config = json!({
            "accounts": { "main": {
                "token": { "file": path("token") },
                "baseUrl": format!("{}/api/1.0", simulator.url),
                "requestsPerMinute": 6000,
            } },
            "polling": { "minInterval": "100ms", "maxInterval": "200ms" },
            "streams": [{ "resource": "1" }],
            "shards": 4,
            "sink": sink(&json!({ "file": path("password") })),
        });
        std::fs::write(path("config.yaml"), config.to_string()).unwrap();
        let bridge = Program::start(&["run", "--config", path("config.yaml").to_str().unwrap()], &path("bridge.log"));
        let mut bench = Self { folder, simulator, bridge, offered: 0 };
        wait_for("the stream", TIMEOUT, || {
            bench.bridge.assert_running();
            bench.simulator.get("/_sim/ledger")["established"].get("1").map(|_| ())
        });
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces a file at once, as Kubernetes does.
    fn change(&self, file: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path("next"), content).unwrap();
        std::fs::rename(self.path("next"), self.path(file)).unwrap();
    }

    fn offer(&mut self) {
        self.offered += 1;
        let event = json!({
            "action": "changed", "resource": { "gid": self.offered.to_string(), "resource_type": "task" }, "parent": null,
            "change": { "field": "name", "action": "changed" }, "user": null, "created_at": "2026-01-01T00:00:00.000Z",
        });
        self.simulator.post("/_sim/events", &json!({ "resource": "1", "events": [event] }));
    }

    /// Waits for all that was offered, through the same process.
    fn arrived(&mut self, read: impl Fn() -> Vec<Seen>) {
        let (bridge, offered) = (&mut self.bridge, self.offered);
        let seen = wait_for("what was offered", TIMEOUT, || {
            bridge.assert_running();
            Some(read()).filter(|seen| events(seen) >= offered)
        });
        compare(&self.simulator.offered(&["1".to_owned()]), &seen);
    }

    /// Waits until the bridge has said this so often.
    fn said(&mut self, words: &str, times: usize) {
        let log = self.path("bridge.log");
        let bridge = &mut self.bridge;
        wait_for(words, TIMEOUT, || {
            bridge.assert_running();
            (std::fs::read_to_string(&log).unwrap().matches(words).count() >= times).then_some(())
        });
    }
}

#[test]
fn a_password_of_nats_is_read_at_each_login() {
    let authorization = |password: &str| {
        let bridge = json!({ "user": "bridge", "password": password });
        let witness = json!({ "user": "witness", "password": "witness" });
        format!("authorization={}", json!({ "users": [bridge, witness] }))
    };
    let nats = Service::start("nats", &["--set", &authorization("hush-first"), "--set", "no_auth_user=witness"]);
    let read = || read_nats(&nats.address, "ASANA", "asana.lane.>");
    let servers = [format!("nats://{}", nats.address)];
    let mut bench = Bench::new(
        tempfile::tempdir().unwrap(),
        |password| json!({ "nats": { "servers": servers, "replicas": 1, "user": "bridge", "password": password } }),
    );
    bench.offer();
    bench.arrived(read);

    // At the server first, which throws the bridge out.
    nats.reload(&authorization("hush-second"));
    bench.said("login rejected by NATS", 1);
    bench.offer();
    bench.change("password", "hush-second");
    bench.arrived(read);

    // In the file first: the connection that is up stays up.
    bench.change("password", "hush-third");
    bench.offer();
    bench.arrived(read);
    nats.reload(&authorization("hush-third"));
    bench.offer();
    bench.arrived(read);
    assert!(bench.bridge.stop().success());
}

#[test]
fn credentials_of_kafka_that_change_begin_a_new_session() {
    let folder = tempfile::tempdir().unwrap();
    let [server, first, second] = ["server", "first", "second"].map(|name| {
        let folder = folder.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        Certificates::make(&folder)
    });
    let trusted = folder.path().join("trusted.pem");
    let authorities = [&first, &second].map(|it| std::fs::read_to_string(&it.authority).unwrap());
    std::fs::write(&trusted, authorities.concat()).unwrap();
    let settings = [
        "listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:SASL_SSL".to_owned(),
        "sasl.enabled.mechanisms=SCRAM-SHA-256".to_owned(),
        "listener.name.proxied.scram-sha-256.sasl.jaas.config=\
         org.apache.kafka.common.security.scram.ScramLoginModule required;"
            .to_owned(),
        // With SASL, only a listener's own setting asks clients for certificates.
        "listener.name.proxied.ssl.client.auth=required".to_owned(),
        "ssl.keystore.type=PEM".to_owned(),
        format!("ssl.keystore.location={}", server.both.display()),
        "ssl.truststore.type=PEM".to_owned(),
        format!("ssl.truststore.location={}", trusted.display()),
    ];
    let arguments: Vec<_> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    let (kafka, network) = Service::start_proxied("kafka", 1, &arguments);
    let allow = |password: &str| {
        let credential = format!("SCRAM-SHA-256=[password={password}]");
        let user = ["--entity-type", "users", "--entity-name", "bridge"];
        kafka.tool("configs", &[&["--alter", "--add-config", &credential], &user[..]].concat());
    };
    allow("hush-first");
    let client = folder.path().join("client.pem");
    std::fs::copy(&first.both, &client).unwrap();
    let read = || read_kafka(&kafka.address, "asana.events");
    let mut bench = Bench::new(folder, |password| {
        json!({ "kafka": {
            "bootstrapServers": network.address(),
            "topics": { "replicationFactor": 1, "minInsyncReplicas": 1 },
            "properties": {
                "security.protocol": "SASL_SSL",
                "sasl.mechanisms": "SCRAM-SHA-256",
                "sasl.username": "bridge",
                "ssl.ca.location": server.authority,
                "ssl.certificate.location": client,
                "ssl.key.location": client,
            },
            "secretProperties": { "sasl.password": password },
        } })
    });
    bench.offer();
    bench.arrived(read);

    // At the brokers first: connections that are up stay up.
    let renewed = "session ended, reopening with changed credentials";
    allow("hush-second");
    bench.offer();
    bench.arrived(read);
    bench.change("password", "hush-second");
    bench.said(renewed, 1);
    bench.offer();
    bench.arrived(read);

    // In the file first: the bridge waits for the brokers, and says why.
    bench.change("password", "hush-third");
    bench.said(renewed, 2);
    bench.offer();
    bench.said("Authentication failed", 1);
    allow("hush-third");
    bench.arrived(read);

    bench.change("client.pem", std::fs::read(&second.both).unwrap());
    bench.said(renewed, 3);
    bench.offer();
    bench.arrived(read);
    assert!(bench.bridge.stop().success());
}
