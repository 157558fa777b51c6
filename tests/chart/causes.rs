//! Each alert, fired by its cause: something is done to a real bridge, and what its metrics say then goes on for an hour
//! before the chart's rules, in promtool.

use crate::support::program::{Program, Simulator, TOKEN, admin_url};
use crate::support::scene::rename;
use crate::support::service::Service;
use crate::support::wait_for;
use crate::{TOOLS, alerts, example, object, objects, text};
use async_nats::jetstream::stream::Config;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

/// A refused credential is tried once a minute.
const TIMEOUT: Duration = Duration::from_secs(150);

/// Thresholds that are passed within seconds; the times that rules wait are the chart's own.
const THRESHOLDS: [&str; 7] = [
    "prometheusRule.crawlSeconds=3",
    "prometheusRule.failingSeconds=3",
    "prometheusRule.staleSeconds=3",
    "prometheusRule.tokenLeftSeconds=86395",
    "prometheusRule.gapSeconds=3",
    "prometheusRule.stateSeconds=3",
    "prometheusRule.pollDelaySeconds=3",
];

/// The samples of one scrape, each by its name with its labels.
struct Scrape {
    at: Instant,
    samples: BTreeMap<String, f64>,
}

/// A bridge that two accounts have a stream each in.
struct Bench {
    folder: tempfile::TempDir,
    simulator: Simulator,
    bridge: Program,
    admin: String,
}

impl Bench {
    fn new(sink: &Value, requests_per_minute: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let scenario = json!({ "limits": { "rate_per_minute": 0, "concurrent_reads": 0 } });
        let path = folder.path().join("scenario.yaml");
        std::fs::write(&path, scenario.to_string()).unwrap();
        let log = folder.path().join("simulator.log");
        let simulator = Simulator::start(&["--scenario", path.to_str().unwrap()], &log);
        let account = |name: &str| {
            let token = folder.path().join(name);
            std::fs::write(&token, TOKEN).unwrap();
            let base_url = format!("{}/api/1.0", simulator.url);
            json!({ "token": { "file": token }, "baseUrl": base_url, "requestsPerMinute": requests_per_minute })
        };
        for resource in ["1", "2", "3"] {
            simulator.post("/_sim/events", &json!({ "resource": resource, "events": [] }));
        }
        let config = json!({
            "accounts": { "main": account("main"), "other": account("other") },
            "streams": [
                { "resource": "1", "account": "main" },
                { "resource": "2", "account": "main" },
                { "resource": "3", "account": "other" },
            ],
            "polling": { "minInterval": "100ms", "maxInterval": "300ms" },
            "state": { "refresh": "on" },
            "replica": "a",
            "admin": { "listen": "127.0.0.1:0" },
            "sink": sink,
        });
        let file = folder.path().join("bridge.yaml");
        std::fs::write(&file, config.to_string()).unwrap();
        let log = folder.path().join("bridge.log");
        let arguments = ["run", "--config", file.to_str().unwrap(), "--log-format", "json"];
        let bridge = Program::start_into(&arguments, &log, &folder.path().join("records"));
        let admin = wait_for("the admin port", TIMEOUT, || admin_url(&log));
        Self { folder, simulator, bridge, admin }
    }

    fn fault(&self, fault: &Value) -> u64 {
        self.simulator.ask("/_sim/faults", fault)["id"].as_u64().unwrap()
    }

    fn end(&self, fault: u64) {
        self.simulator.delete(&format!("/_sim/faults/{fault}"));
    }

    fn scrape(&self) -> Scrape {
        let said = self.simulator.fetch_text(&format!("{}/metrics", self.admin)).unwrap();
        let sample = |line: &str| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        };
        let samples = said.lines().filter(|line| !line.starts_with('#')).map(sample).collect();
        Scrape { at: Instant::now(), samples }
    }

    fn wait(&mut self, what: &str, holds: impl Fn(&Scrape) -> bool) -> Scrape {
        wait_for(what, TIMEOUT, || {
            self.bridge.assert_running();
            Some(self.scrape()).filter(&holds)
        })
    }

    /// A scrape in which that has happened, and another in which it has happened again.
    fn twice(&mut self, what: &str, count: impl Fn(&Scrape) -> f64) -> [Scrape; 2] {
        let before = count(&self.scrape());
        let first = self.wait(what, |scrape| count(scrape) > before);
        let once = count(&first);
        [first, self.wait(what, |scrape| count(scrape) > once)]
    }
}

impl Scrape {
    /// Of all series of the metric that have this label.
    fn sum(&self, metric: &str, label: &str) -> f64 {
        let name = format!("asana_event_bridge_{metric}");
        let is_it = |series: &&String| series.split('{').next() == Some(&name) && series.contains(label);
        self.samples.iter().filter(|(series, _)| is_it(series)).map(|(_, value)| value).sum()
    }
}

/// The chart's rules, and which of them have fired.
struct Rules {
    rules: Value,
    fired: BTreeSet<String>,
}

impl Rules {
    fn new() -> Self {
        let objects = objects(&example("production"), &THRESHOLDS);
        Self { rules: object(&objects, "PrometheusRule")["spec"].clone(), fired: BTreeSet::new() }
    }

    /// These alerts fire, if for an hour counters grow as they did between the scrapes and all else stays as it is in the
    /// second one.
    fn judge(&mut self, [first, second]: &[Scrape; 2], firing: &[&str]) {
        let minutes = (second.at - first.at).as_secs_f64() / 60.0;
        let series = second.samples.iter().map(|(series, value)| {
            let is_counter = series.split('{').next().is_some_and(|name| name.ends_with("_total"));
            let before = first.samples.get(series).filter(|_| is_counter);
            let step = before.map_or(0.0, |before| (value - before) / minutes);
            json!({ "series": labelled(series), "values": format!("{value}+{step}x60") })
        });
        self.evaluate(&series.collect::<Vec<_>>(), firing);
    }

    /// The same for a condition that is there already.
    fn judge_now(&mut self, scrape: Scrape, firing: &[&str]) {
        let again = Scrape { at: scrape.at + Duration::from_secs(60), samples: scrape.samples.clone() };
        self.judge(&[scrape, again], firing);
    }

    /// Of the alerts named these fire; where none is named, none of all fires.
    fn evaluate(&mut self, series: &[Value], firing: &[&str]) {
        let concerned = if firing.is_empty() { ".+".to_owned() } else { firing.join("|") };
        let samples = firing.iter().map(|alert| json!({ "labels": format!("{{alertname=\"{alert}\"}}"), "value": 1 }));
        let expected = json!({
            "expr": format!("count by (alertname) (ALERTS{{alertstate=\"firing\",alertname=~\"{concerned}\"}}) > bool 0"),
            "eval_time": "55m",
            "exp_samples": samples.collect::<Vec<_>>(),
        });
        let test = json!({
            "rule_files": ["alerts.yaml"],
            "evaluation_interval": "1m",
            "tests": [{ "interval": "1m", "input_series": series, "promql_expr_test": [expected] }],
        });
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("alerts.yaml"), self.rules.to_string()).unwrap();
        std::fs::write(folder.path().join("test.yaml"), test.to_string()).unwrap();
        let mut promtool = Command::new(TOOLS.join("promtool"));
        let output = promtool.args(["test", "rules", "test.yaml"]).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{firing:?}: {}{}", text(&output.stdout), text(&output.stderr));
        self.fired.extend(firing.iter().map(|alert| (*alert).to_owned()));
    }
}

/// A series as Prometheus stores it: with the target's labels.
fn labelled(series: &str) -> String {
    let target = r#"job="bridge-asana-event-bridge",namespace="asana",pod="a",instance="a""#;
    match series.split_once('{') {
        Some((name, labels)) => format!("{name}{{{target},{labels}"),
        None => format!("{series}{{{target}}}"),
    }
}

#[test]
fn every_alert_is_fired_by_its_cause() {
    let mut rules = Rules::new();
    asana_refuses(&mut rules);
    there_are_too_few_requests(&mut rules);
    clocks_differ(&mut rules);
    kafka_is_away(&mut rules);
    a_rule_shrinks(&mut rules);
    nats_is_full(&mut rules);
    let names = alerts(&rules.rules).iter().map(|rule| rule["alert"].as_str().unwrap().to_owned());
    assert_eq!(rules.fired, names.collect::<BTreeSet<_>>());
}

fn asana_refuses(rules: &mut Rules) {
    let mut bench = Bench::new(&json!({ "console": {} }), 6_000);
    let healthy = bench.wait("all streams to be live", |scrape| {
        let is_below = |name| scrape.sum(name, "") < 3.0;
        let is_fresh = is_below("stream_staleness_max_seconds") && is_below("state_lag_seconds");
        is_fresh && scrape.sum("streams", r#"state="live""#) >= 3.0
    });
    rules.judge_now(healthy, &[]);

    let file = bench.folder.path().join("bridge.yaml");
    let good = std::fs::read(&file).unwrap();
    std::fs::write(&file, "accounts: {}").unwrap();
    let refused = bench.wait("a rejected configuration", |scrape| scrape.sum("configuration_rejected", "") > 0.0);
    rules.judge_now(refused, &["AsanaEventBridgeConfigurationRejected"]);
    std::fs::write(&file, good).unwrap();
    bench.wait("the good one", |scrape| scrape.sum("configuration_rejected", "") == 0.0);

    let fault = bench.fault(&json!({ "kind": "status", "status": 500, "resource": "1", "endpoint": "events" }));
    let stale = bench.wait("a stale stream", |scrape| {
        let left = scrape.sum("stream_token_left_min_seconds", "");
        let failing = scrape.sum("stream_failing_max_seconds", "") > 4.0;
        failing && scrape.sum("stream_staleness_max_seconds", "") > 5.0 && left < 86_395.0
    });
    let alerts = ["AsanaEventBridgeStreamFailing", "AsanaEventBridgeStreamStale", "AsanaEventBridgeSyncTokenNearEnd"];
    rules.judge_now(stale, &alerts);
    bench.end(fault);

    // A change that can't be read again.
    let fault = bench.fault(&json!({ "kind": "status", "status": 500, "resource": "7", "endpoint": "lists" }));
    let event = json!({ "action": "changed", "resource": { "gid": "7", "resource_type": "task" } });
    bench.simulator.post("/_sim/events", &json!({ "resource": "1", "events": [event] }));
    let behind = bench.wait("an old state", |scrape| scrape.sum("state_lag_seconds", "") > 4.0);
    rules.judge_now(behind, &["AsanaEventBridgeStateBehind"]);
    bench.end(fault);
    bench.wait("the state", |scrape| scrape.sum("state_lag_seconds", "") == 0.0);

    // A gap, and a crawl that can't read anything.
    let fault = bench.fault(&json!({ "kind": "status", "status": 500, "resource": "2", "endpoint": "lists" }));
    bench.simulator.post("/_sim/faults", &json!({ "kind": "kill_tokens", "resource": "2" }));
    let gap = bench.wait("a gap", |scrape| {
        let still = scrape.sum("crawl_stalled_max_seconds", "") > 4.0;
        still && scrape.sum("source_gap_age_max_seconds", "") > 4.0
    });
    rules.judge_now(gap, &["AsanaEventBridgeGapOpen", "AsanaEventBridgeCrawlStalled"]);
    bench.end(fault);

    let fault = bench.fault(&json!({ "kind": "status", "status": 429, "retry_after": 1, "resource": "3" }));
    let answers = |account: &str, outcome: &str| {
        let label = format!(r#"account="{account}",outcome="{outcome}""#);
        move |scrape: &Scrape| scrape.sum("account_requests_total", &label)
    };
    let throttled = bench.twice("429", answers("other", "throttled"));
    rules.judge(&throttled, &["AsanaEventBridgeThrottled"]);
    bench.end(fault);

    bench.fault(&json!({ "kind": "status", "status": 404, "resource": "3" }));
    let refused = bench.wait("a suspended stream", |scrape| scrape.sum("streams", r#"state="suspended""#) > 0.0);
    rules.judge_now(refused, &["AsanaEventBridgeStreamSuspended"]);

    std::fs::write(bench.folder.path().join("main"), "another\n").unwrap();
    let refused = bench
        .wait("a rejected credential", |scrape| scrape.sum("account_credential_rejected", r#"account="main""#) > 0.0);
    rules.judge_now(refused, &["AsanaEventBridgeCredentialRejected"]);
}

fn there_are_too_few_requests(rules: &mut Rules) {
    let mut bench = Bench::new(&json!({ "console": {} }), 6);
    let late = bench.wait("late polls", |scrape| scrape.sum("account_poll_delay_seconds", r#"account="main""#) > 4.0);
    rules.judge_now(late, &["AsanaEventBridgeBudgetExhausted"]);
}

fn clocks_differ(rules: &mut Rules) {
    let mut bench = Bench::new(&json!({ "console": {} }), 6_000);
    let file = bench.folder.path().join("bridge.yaml");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    config["accounts"]["main"]["baseUrl"] = json!(format!("{}/api/1.0", an_asana_of_years_ago()));
    std::fs::write(&file, config.to_string()).unwrap();
    let off = bench
        .wait("a clock that is off", |scrape| scrape.sum("account_clock_offset_seconds", r#"account="main""#) > 60.0);
    rules.judge_now(off, &["AsanaEventBridgeClockOff"]);
}

/// Answers everything with a token reset, and shows a date long past.
fn an_asana_of_years_ago() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let head = BufReader::new(&connection).lines().map_while(Result::ok);
            head.take_while(|line| !line.is_empty()).for_each(drop);
            let body = r#"{"errors":[{"message":"Sync token invalid or too old."}],"sync":"5a888cbb:0"}"#;
            let head = "HTTP/1.1 412 Precondition Failed\r\ndate: Tue, 24 Nov 2020 09:00:00 GMT\r\nconnection: close";
            // Whoever hung up doesn't want it.
            write!(connection, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).ok();
        }
    });
    url
}

fn kafka_is_away(rules: &mut Rules) {
    let mut bench = Bench::new(&json!({ "kafka": { "bootstrapServers": "127.0.0.1:1" } }), 6_000);
    let without = bench.wait("a scrape", |scrape| !scrape.samples.is_empty());
    let series: Vec<_> = without.samples.iter().map(|(series, value)| (labelled(series), *value)).collect();
    rules.judge_now(without, &["AsanaEventBridgeBusUnreachable", "AsanaEventBridgeShardWithoutOwner"]);

    bench.bridge.kill();
    let gone =
        series.into_iter().map(|(series, value)| json!({ "series": series, "values": format!("{value} stale") }));
    rules.evaluate(&gone.collect::<Vec<_>>(), &["AsanaEventBridgeAbsent"]);
}

fn a_rule_shrinks(rules: &mut Rules) {
    let mut bench = Bench::new(&json!({ "console": {} }), 6_000);
    let file = bench.folder.path().join("bridge.yaml");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let workspace = bench.simulator.get("/_sim/world")["workspaces"][0].clone();
    config["discovery"] = json!({ "interval": "1s", "rules": [{ "account": "main", "workspace": workspace }] });
    std::fs::write(&file, config.to_string()).unwrap();
    let projects = bench.simulator.projects();
    // Two of them are in the configuration, too; the third of it is another account's.
    let live = 1.0 + f64::from(u32::try_from(projects.len()).unwrap());
    bench.wait("all projects to be live", |scrape| scrape.sum("streams", r#"state="live""#) >= live);
    // First all but one of them, then this one.
    let parts = [&projects[1..], &projects[..1]];
    let shrunk = parts.map(|part| {
        let before = bench.scrape().sum("discovery_rules_shrunk_total", "");
        for project in part {
            bench.simulator.post(&format!("/_sim/projects/{project}"), &json!({ "archived": true }));
        }
        let shrunk = bench.wait("a rule that shrinks", |it| it.sum("discovery_rules_shrunk_total", "") > before);
        let live = 3.0 + f64::from(u32::try_from(projects.len() - part.len()).unwrap());
        bench.wait("the ends", |it| it.sum("streams", r#"state="live""#) <= live);
        shrunk
    });
    rules.judge(&shrunk, &["AsanaEventBridgeDiscoveryShrunk"]);
}

fn nats_is_full(rules: &mut Rules) {
    let nats = Service::start("nats", &["--set", "max_payload=65536"]);
    let mut bench = Bench::new(&json!({ "nats": { "servers": [format!("nats://{}", nats.address)] } }), 6_000);
    bench.wait("all streams to be live", |scrape| scrape.sum("streams", r#"state="live""#) >= 3.0);
    let offer = |bench: &Bench, event: &Value| {
        bench.simulator.post("/_sim/events", &json!({ "resource": "1", "events": [event] }));
    };
    let mut large = rename(1_000, 1);
    large["padding"] = json!("x".repeat(100_000));
    let dead_letters = [1.0, 2.0].map(|count| {
        offer(&bench, &large);
        bench.wait("a dead letter", |scrape| scrape.sum("dead_letters_total", "") >= count)
    });
    rules.judge(&dead_letters, &["AsanaEventBridgeDeadLetters"]);

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = async_nats::connect(&nats.address).await.unwrap();
        let jetstream = async_nats::jetstream::new(client);
        let info = jetstream.get_stream("ASANA").await.unwrap().get_info().await.unwrap();
        let full = i64::try_from(info.state.messages).unwrap();
        jetstream.update_stream(Config { max_messages: full, ..info.config }).await.unwrap();
    });
    offer(&bench, &rename(1_000, 1));
    let failed = |scrape: &Scrape| {
        let committed = scrape.sum("commits_total", r#"outcome="committed""#);
        scrape.sum("commits_total", "") - committed
    };
    let failing = bench.twice("a failed commit", failed);
    rules.judge(&failing, &["AsanaEventBridgeCommitsFailing"]);
}
