//! Apache Kafka with TLS, client certificates, SCRAM-SHA-512 and ACLs.

use crate::bench::{Bench, Bridge, STREAMING, TIMEOUT, assert_readable, failed};
use crate::support::judge::{compare, events};
use crate::support::rights::{Acl, OF_BRIDGE, Of, of_kafka};
use crate::support::service::Service;
use crate::support::tls::{Certificates, Valid};
use crate::support::tools::Tools;
use crate::support::wait_for;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

const PASSWORD: &str = "hush-password";

/// A broker with listeners for those who log in, for those with a certificate, and one whose own certificate has expired.
/// Its open listener is for who manages it.
struct Cluster {
    bench: Bench,
    kafka: Service,
    tools: Tools,
    certificates: Certificates,
    /// What was granted to each principal.
    granted: BTreeMap<String, BTreeSet<Acl>>,
}

impl Cluster {
    fn start(resources: &[&str]) -> Self {
        let bench = Bench::new(resources);
        let certificates = Certificates::make(&bench.path("tls"));
        let (_, _, expired) = certificates.issue("localhost", Valid::Once);
        let settings = [
            "sasl.enabled.mechanisms=SCRAM-SHA-512".to_owned(),
            "listener.name.login.scram-sha-512.sasl.jaas.config=\
             org.apache.kafka.common.security.scram.ScramLoginModule required;"
                .to_owned(),
            "listener.name.mutual.ssl.client.auth=required".to_owned(),
            "listener.name.mutual.ssl.principal.mapping.rules=RULE:^CN=([^,]+)$/$1/,DEFAULT".to_owned(),
            format!("listener.name.expired.ssl.keystore.location={}", expired.display()),
            "ssl.keystore.type=PEM".to_owned(),
            format!("ssl.keystore.location={}", certificates.both.display()),
            "ssl.truststore.type=PEM".to_owned(),
            format!("ssl.truststore.location={}", certificates.authority.display()),
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer".to_owned(),
            "super.users=User:ANONYMOUS".to_owned(),
            // A crashed member is missed soon.
            "group.min.session.timeout.ms=1000".to_owned(),
        ];
        let listeners = ["LOGIN=SASL_SSL", "MUTUAL=SSL", "EXPIRED=SSL"];
        let listeners = listeners.into_iter().flat_map(|listener| ["--listener", listener]);
        let settings = settings.iter().flat_map(|setting| ["--set", setting.as_str()]);
        let kafka = Service::start("kafka", &listeners.chain(settings).collect::<Vec<_>>());
        let tools = Tools::start(&kafka.address);
        Self { bench, kafka, tools, certificates, granted: BTreeMap::new() }
    }

    /// Properties of one who logs in with a password.
    fn login(&mut self, user: &str) -> Value {
        self.tools.set_password(user, "SCRAM-SHA-512", PASSWORD);
        self.by_password(user, PASSWORD)
    }

    fn by_password(&self, user: &str, password: &str) -> Value {
        json!({
            "bootstrapServers": self.listener("LOGIN"),
            "properties": {
                "security.protocol": "SASL_SSL",
                "sasl.mechanisms": "SCRAM-SHA-512",
                "sasl.username": user,
                "ssl.ca.location": self.certificates.authority,
            },
            "secretProperties": { "sasl.password": self.bench.secret(&format!("{user}.password"), password) },
        })
    }

    fn listener(&self, name: &str) -> &str {
        &self.kafka.nodes[0].listeners[name]
    }

    /// A configuration with topics, group and transactional ids whose names begin so.
    fn config(&self, replica: &str, resource: &str, names: &str, client: &Value) -> PathBuf {
        let mut kafka = client.clone();
        for (key, value) in [
            ("topic", json!(format!("{names}.events"))),
            ("checkpointTopic", json!(format!("{names}.checkpoints"))),
            ("stateTopic", json!(format!("{names}.state"))),
            ("deadLetterTopic", json!(format!("{names}.dead-letters"))),
            ("groupId", json!(format!("{names}-event-bridge"))),
            ("topics", json!({ "partitions": 2, "replicationFactor": 1, "minInsyncReplicas": 1 })),
        ] {
            kafka[key] = value;
        }
        kafka["properties"]["session.timeout.ms"] = json!("3000");
        self.bench.config(replica, &[resource], &json!({ "kafka": kafka }))
    }

    fn allow(&mut self, principal: &str, acls: impl IntoIterator<Item = Acl>) {
        for acl in acls {
            self.tools.acls(&[vec!["--add".to_owned()], acl.arguments(principal)].concat());
            self.granted.entry(principal.to_owned()).or_default().insert(acl);
        }
        self.settle(principal);
    }

    fn forbid(&mut self, principal: &str, acls: impl IntoIterator<Item = Acl>) {
        for acl in acls {
            self.tools.acls(&[vec!["--remove".to_owned(), "--force".to_owned()], acl.arguments(principal)].concat());
            assert!(self.granted.get_mut(principal).unwrap().remove(&acl), "{acl:?}");
        }
        self.settle(principal);
    }

    /// Waits until the broker itself knows what the controller was told.
    fn settle(&mut self, principal: &str) {
        let (tools, granted) = (&mut self.tools, self.granted[principal].len());
        let words = ["--list", "--principal", &format!("User:{principal}")].map(str::to_owned);
        wait_for("the rights", TIMEOUT, || {
            let listed = tools.acls(&words);
            (listed.matches("operation=").count() == granted).then_some(())
        });
    }

    /// Waits until the bus has as many events as were offered, and judges them.
    fn arrived(&mut self, resource: &str, names: &str, offered: usize) {
        let (tools, topic) = (&mut self.tools, format!("{names}.events"));
        let seen =
            wait_for("what was offered", TIMEOUT, || Some(tools.read(&topic)).filter(|seen| events(seen) >= offered));
        compare(&self.bench.simulator.offered(&[resource.to_owned()]), &seen);
    }
}

#[test]
fn the_listed_acls_are_enough_with_scram_sha_512() {
    let mut cluster = Cluster::start(&["1"]);
    let (bridge, reader) = (cluster.login("bridge"), cluster.login("reader"));
    let [one, two] = ["one", "two"].map(|replica| cluster.config(replica, "1", "asana", &bridge));
    for of in OF_BRIDGE {
        cluster.allow("bridge", of_kafka(of));
    }

    let first = Bridge::start(&one);
    first.said("stream established");
    cluster.bench.offer("1", "created by the bridge");
    cluster.arrived("1", "asana", 1);
    assert!(first.program.stop().success());

    // From now on it may create nothing.
    cluster.forbid("bridge", of_kafka(Of::Creator));
    let mut restarted = Bridge::start(&one);
    restarted.said(STREAMING);
    cluster.bench.offer("1", "after a restart");
    cluster.arrived("1", "asana", 2);
    let successor = Bridge::start(&two);
    successor.said("shard ownership changed");
    restarted.program.kill();
    cluster.bench.offer("1", "after a crash");
    cluster.arrived("1", "asana", 3);

    assert_eq!(failed(&two).keys().collect::<Vec<_>>(), Vec::<&String>::new());
    cluster.allow("reader", of_kafka(Of::Reader));
    assert_readable(&cluster.config("reader", "1", "asana", &reader));
    assert_readable(&two);
    assert_eq!(successor.own_problems(), Vec::<Value>::new());
    assert!(successor.program.stop().success());
}

/// Words by which the log and `doctor` name a right.
fn words(acl: &Acl) -> String {
    match acl.kind.as_str() {
        // A right that includes Describe may be missed when the topic is looked at.
        "--topic" => "on the topic".to_owned(),
        "--group" => format!("{} on the group", acl.operation),
        "--transactional-id" => format!("{} on transactional ids", acl.operation),
        kind => panic!("{kind}"),
    }
}

#[test]
fn each_acl_that_is_taken_away_is_named_and_the_bridge_goes_on_when_it_is_back() {
    let acls: Vec<_> = [Of::Bridge, Of::Refresher].into_iter().flat_map(of_kafka).collect();
    let resources: Vec<_> = (0..acls.len()).map(|number| (100 + number).to_string()).collect();
    let mut cluster = Cluster::start(&resources.iter().map(String::as_str).collect::<Vec<_>>());
    let mut configs = Vec::new();
    for (number, resource) in resources.iter().enumerate() {
        let name = format!("without-{number}");
        let login = cluster.login(&name);
        for of in OF_BRIDGE {
            cluster.allow(&name, of_kafka(of).iter().map(|acl| acl.renamed(&name)));
        }
        configs.push((cluster.config(&name, resource, &name, &login), name));
    }
    let whole: Vec<_> = configs.iter().map(|(config, _)| Bridge::start(config)).collect();
    for (bridge, resource) in whole.iter().zip(&resources) {
        bridge.said("stream established");
        cluster.bench.offer(resource, "first");
    }
    for ((_, name), resource) in configs.iter().zip(&resources) {
        cluster.arrived(resource, name, 1);
    }
    assert!(whole.into_iter().all(|bridge| bridge.program.stop().success()));

    for (acl, (_, name)) in acls.iter().zip(&configs) {
        cluster.forbid(name, of_kafka(Of::Creator).iter().map(|acl| acl.renamed(name)));
        cluster.forbid(name, [acl.renamed(name)]);
    }
    for (acl, (config, _)) in acls.iter().zip(&configs) {
        let failed = failed(config);
        assert!(failed.values().any(|found| found.contains(&words(acl))), "{acl:?}: {failed:?}");
        let bridge = Bridge::start(config);
        let named = |line: &Value| line.to_string().contains(&words(acl));
        bridge.wait(&words(acl), |line| line["level"] != "INFO" && named(line));
        assert!(bridge.problems().iter().filter(|line| named(line)).count() == 1, "{:?}", bridge.problems());
    }
    for (number, (acl, (_, name))) in acls.iter().zip(&configs).enumerate() {
        cluster.allow(name, [acl.renamed(name)]);
        let bridge = Bridge::start(&configs[number].0);
        cluster.bench.offer(&resources[number], "it is back");
        cluster.arrived(&resources[number], name, 2);
        assert!(bridge.program.stop().success());
    }
}

#[test]
fn certificates_and_passwords_that_cant_be_used_are_named() {
    let mut cluster = Cluster::start(&["1", "2"]);
    let certificates = &cluster.certificates;
    let foreign = Certificates::make(&cluster.bench.path("foreign"));
    let (certificate, key, _) = certificates.issue("mutual", Valid::Now);
    let (old_certificate, old_key, _) = certificates.issue("mutual", Valid::Once);
    let by_certificate = |certificate: &PathBuf, key: &PathBuf| {
        json!({
            "bootstrapServers": cluster.listener("MUTUAL"),
            "properties": {
                "security.protocol": "SSL",
                "ssl.ca.location": certificates.authority,
                "ssl.certificate.location": certificate,
                "ssl.key.location": key,
            },
        })
    };
    let (good, expired) = (by_certificate(&certificate, &key), by_certificate(&old_certificate, &old_key));
    let unknown = by_certificate(&foreign.certificate, &foreign.key);
    let login = cluster.login("login");
    for name in ["mutual", "login"] {
        for of in OF_BRIDGE {
            cluster.allow(name, of_kafka(of).iter().map(|acl| acl.renamed(name)));
        }
    }
    let (works, works_too) =
        (cluster.config("mutual", "1", "mutual", &good), cluster.config("login", "2", "login", &login));
    let healthy = [Bridge::start(&works), Bridge::start(&works_too)];
    for bridge in &healthy {
        bridge.said("stream established");
    }

    let mut foreign_authority = login.clone();
    foreign_authority["properties"]["ssl.ca.location"] = json!(foreign.authority);
    let mut expired_server = login.clone();
    expired_server["bootstrapServers"] = json!(cluster.listener("EXPIRED"));
    let wrong = cluster.by_password("wrong", "hush-wrong");
    let attempts = [
        ("foreign-authority", foreign_authority, "ssl.ca.location"),
        ("expired-server", expired_server, "ssl.ca.location"),
        ("wrong-password", wrong, "sasl"),
        ("expired-client", expired, "ssl.certificate.location"),
        ("unknown-client", unknown, "ssl.certificate.location"),
    ];
    for (name, client, hint) in attempts {
        let config = cluster.config(name, "1", name, &client);
        let failed = failed(&config);
        assert!(failed.values().any(|found| found.contains(hint)), "{name}: {failed:?}");
        let bridge = Bridge::start(&config);
        bridge.wait(name, |line| line["level"] != "INFO" && line.to_string().contains(hint));
        bridge.assert_calm();
    }
    for (resource, name) in [("1", "mutual"), ("2", "login")] {
        cluster.bench.offer(resource, "others are unaffected");
        cluster.arrived(resource, name, 1);
    }
    for bridge in healthy {
        assert_eq!(bridge.own_problems(), Vec::<Value>::new());
        assert!(bridge.program.stop().success());
    }
}
