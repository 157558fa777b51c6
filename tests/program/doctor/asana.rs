//! Asana, and the machine itself.

use super::{Bench, CRAWLER, doctor};
use crate::support::program::Program;
use crate::support::wait_for;
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

fn console() -> Value {
    json!({ "console": {} })
}

#[test]
fn a_person_reads_one_line_for_each_thing() {
    let bench = Bench::new();
    let mut config = bench.config(&console());
    config["streams"].as_array_mut().unwrap().push(json!({ "resource": "999" }));
    let (code, lines, log) = doctor(&bench.write(&config), &[]);
    assert_eq!((code, log.as_str()), (1, ""), "{lines}");
    let missing = lines.lines().find(|line| line.contains("main/999")).unwrap();
    assert!(missing.starts_with("FAILED    stream main/999: Asana has no object with this gid that "), "{missing}");
    assert!(missing.contains("correct or remove its entry in `streams`"), "{missing}");
    let credential = lines.lines().find(|line| line.contains("credential")).unwrap();
    assert!(credential.starts_with("ok        credential of account main: valid: "), "{credential}");
    assert_eq!(lines.lines().last(), Some("4 ok, 1 failed"));
}

#[test]
fn a_wrong_token_is_found_and_nothing_passes_that_needs_it() {
    let bench = Bench::new();
    let mut config = bench.config(&console());
    config["accounts"]["main"]["token"] = bench.secret("wrong");
    config["discovery"] = json!({ "rules": [{ "workspace": "1" }] });
    let found = bench.examine(&config, &[]);
    found.assert_failed(&["credential of account main"]);
    found.assert("credential of account main", "failed", &["401", "set a valid token"]);
    found.assert("1 stream(s) of account main", "not_tried", &["the credential of account main can't be used"]);
    found.assert("rule for projects of workspace 1, account main", "not_tried", &[]);
    found.assert("budget of account main", "not_tried", &[]);

    // The bridge itself says it in one line, and goes on asking.
    let log = bench.path("bridge.log");
    config["discovery"] = json!({});
    let mut bridge = Program::start(&["run", "--config", bench.write(&config).to_str().unwrap()], &log);
    let line = wait_for("the bridge's word", Duration::from_secs(30), || {
        bridge.assert_running();
        let log = std::fs::read_to_string(&log).unwrap();
        log.lines().find(|line| line.contains("ERROR")).map(str::to_owned)
    });
    assert!(line.contains("put a valid token where the configuration says") && line.contains("account=main"), "{line}");
}

#[test]
fn a_token_that_cant_be_read_is_a_fault_of_the_configuration() {
    let bench = Bench::new();
    let mut config = bench.config(&console());
    config["accounts"]["main"]["token"] = bench.secret("nowhere");
    let (code, lines, log) = doctor(&bench.write(&config), &[]);
    assert_eq!((code, lines.as_str()), (64, ""));
    let last = log.lines().last().unwrap();
    assert!(
        last.contains("bridge.yaml:1:") && last.contains("accounts.main.token.file: the secret can't be read: "),
        "{log}"
    );
}

#[test]
fn who_may_not_see_a_stream_is_told() {
    let bench = Bench::new();
    let mut config = bench.config(&console());
    let gid = config["streams"][0]["resource"].clone();
    bench.simulator.post("/_sim/faults", &json!({ "kind": "status", "status": 403, "resource": gid }));
    let workspace = bench.simulator.get("/_sim/world")["workspaces"][0].clone();
    config["streams"].as_array_mut().unwrap().push(json!({ "workspace": workspace }));
    let found = bench.examine(&config, &[]);
    let stream = format!("stream main/{}", gid.as_str().unwrap());
    found.assert_failed(&[&stream]);
    found.assert(&stream, "failed", &["403", "access to it in Asana"]);
    let workspace = format!("stream main/{}", workspace.as_str().unwrap());
    found.assert(&workspace, "notice", &["service accounts in Enterprise+ domains only"]);
}

#[test]
fn streams_of_every_kind_are_read_and_of_many_only_some() {
    let bench = Bench::new();
    let mut config = bench.config(&console());
    let projects = bench.simulator.projects();
    let list = bench.simulator.read(&format!("/projects/{}/tasks?limit=100", projects[0]));
    let tasks = list["data"].as_array().unwrap().iter().map(|task| task["gid"].as_str().unwrap().to_owned());
    let mut gids: Vec<_> = projects.iter().cloned().chain(tasks).collect();
    gids.truncate(70);
    assert!(gids.len() > 25, "{} streams", gids.len());
    config["streams"] = gids.iter().map(|gid| json!({ "resource": gid })).collect();
    let found = bench.examine(&config, &[]);
    found.assert_failed(&[]);
    found.assert(&format!("{} other stream(s) of account main", gids.len() - 20), "not_tried", &["--sample"]);
    let found = bench.examine(&config, &["--sample", "all"]);
    found.assert_failed(&[]);
    assert!(!found.all.iter().any(|finding| finding["verdict"] == "not_tried"), "{:#?}", found.all);
    // Nobody was given a sync token by it.
    let ledger = bench.simulator.get("/_sim/ledger");
    assert_eq!(ledger["established"], json!({}), "{ledger}");
}

#[test]
fn rules_are_tried_and_their_streams_counted() {
    let bench = Bench::new();
    let mut config = bench.config(&console());
    let workspace = bench.simulator.get("/_sim/world")["workspaces"][0].as_str().unwrap().to_owned();
    config["streams"] = json!([]);
    config["discovery"] = json!({ "rules": [{ "workspace": workspace }, { "team": "999" }] });
    let found = bench.examine(&config, &[]);
    let missing = "rule for projects of team 999, account main";
    found.assert_failed(&[missing]);
    found.assert(missing, "failed", &["404", "correct the rule in `discovery.rules`"]);
    found.assert(&format!("rule for projects of workspace {workspace}, account main"), "ok", &["can be read"]);
    found.assert("budget of account main", "ok", &["at least "]);
}

#[test]
fn what_the_account_for_crawls_doesnt_see_is_told() {
    let bench = Bench::new();
    let mut config = bench.config(&console());
    config["accounts"]["crawler"] = config["accounts"]["main"].clone();
    config["accounts"]["crawler"]["token"] = bench.secret("crawler");
    config["streams"][0]["account"] = json!("main");
    config["crawl"] = json!({ "account": "crawler" });
    let found = bench.examine(&config, &[]);
    found.assert_failed(&[]);
    let crawls = "crawls of account main";
    found.assert(crawls, "ok", &["account crawler sees what account main sees, in 1 of 1 stream(s)"]);

    // It may not read the project itself, and a workspace's list of projects lacks it.
    bench.simulator.post("/_sim/tokens", &json!({ "token": CRAWLER, "hidden_projects": [0] }));
    let found = bench.examine(&config, &[]);
    found.assert_failed(&[]);
    let gid = config["streams"][0]["resource"].as_str().unwrap().to_owned();
    found.assert(crawls, "notice", &[&format!("no access to 1 of 1 stream(s): main/{gid}"), "at its own rate"]);
    let workspace = bench.simulator.get("/_sim/world")["workspaces"][0].clone();
    config["streams"] = json!([{ "workspace": workspace, "account": "main" }]);
    let found = bench.examine(&config, &[]);
    found.assert_failed(&[crawls]);
    found.assert(crawls, "failed", &["doesn't see everything that account main sees", &format!("(without {gid})")]);

    // The streams of rules are compared, too.
    config["streams"] = json!([]);
    config["discovery"] = json!({ "rules": [{ "workspace": workspace, "account": "main" }] });
    let found = bench.examine(&config, &[]);
    found.assert_failed(&[]);
    found.assert(crawls, "notice", &["no access to 1 of 10 stream(s)", &gid]);
}

#[test]
fn a_budget_that_is_too_small_is_held_against_the_streams() {
    let bench = Bench::new();
    let mut config = bench.config(&console());
    config["polling"] = json!({ "minInterval": "5s", "maxInterval": "5s" });
    // Half of it, for each replica, is the doctor's own pace.
    config["accounts"]["main"]["requestsPerMinute"] = json!(100);
    config["streams"] = (1..=20).map(|gid| json!({ "resource": gid.to_string() })).collect();
    let found = bench.examine(&config, &["--sample", "1"]);
    found.assert(
        "budget of account main",
        "failed",
        &["20 stream(s) every 5s take 240 of 100 requests a minute", "set `polling.maxInterval` to 12s or more"],
    );
}

#[test]
fn an_asana_that_isnt_there_is_told() {
    let bench = Bench::new();
    let mut config = bench.config(&console());
    config["accounts"]["main"]["baseUrl"] = json!("http://127.0.0.1:1/api/1.0");
    let found = bench.examine(&config, &[]);
    found.assert("credential of account main", "failed", &["no connection", "network policies"]);
}

/// An Asana of one user and one project that says that it is five minutes earlier.
#[test]
fn a_clock_that_is_wrong_is_told() {
    let bench = Bench::new();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = bench.config(&console());
    config["accounts"]["main"]["baseUrl"] = json!(format!("http://{}/api/1.0", server.local_addr().unwrap()));
    std::thread::spawn(move || {
        for connection in server.incoming() {
            let mut connection = connection.unwrap();
            // One read has all of a request that is so short.
            let _read = connection.read(&mut [0; 8192]).unwrap();
            let body = r#"{"data": {"gid": "1", "name": "Ada", "resource_type": "project"}}"#;
            let date = (chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now())
                - chrono::TimeDelta::seconds(300))
            .format("%a, %d %b %Y %H:%M:%S GMT");
            let length = body.len();
            let head =
                format!("HTTP/1.1 200 OK\r\nconnection: close\r\ndate: {date}\r\ncontent-length: {length}\r\n\r\n");
            connection.write_all(format!("{head}{body}").as_bytes()).unwrap();
        }
    });
    let found = bench.examine(&config, &[]);
    found.assert_failed(&["this machine's clock"]);
    found.assert("this machine's clock", "failed", &["s ahead of Asana's", "NTP"]);
}

#[test]
fn the_machines_own_things_are_tried() {
    let bench = Bench::new();
    let mut config = bench.config(&json!({ "file": { "path": bench.path("token/records.jsonl") } }));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    config["admin"] = json!({ "listen": address.to_string() });
    // A file is no folder.
    let index = bench.path("token/index");
    config["index"] = json!({ "path": index });
    let found = bench.examine(&config, &[]);
    found.assert(&format!("index {}", index.display()), "failed", &["can't be written", "`index.path`"]);
    found.assert(&format!("admin port {address}"), "notice", &["is in use"]);
    found.assert(&format!("file {}", bench.path("token/records.jsonl").display()), "failed", &["`sink.file.path`"]);
}

#[test]
fn results_have_a_fixed_order_and_doubts_fail_if_strict() {
    let bench = Bench::new();
    let mut config = bench.config(&json!({ "file": { "path": bench.path("records") } }));
    config["accounts"]["also"] = config["accounts"]["main"].clone();
    let gid = &bench.simulator.projects()[0];
    config["streams"] = json!([{ "resource": gid, "account": "main" }, { "resource": gid, "account": "also" }]);
    let path = bench.write(&config);
    let (code, first, _) = doctor(&path, &[]);
    assert_eq!(code, 0, "{first}");
    let places = ["account also", "stream also/", "account main", "stream main/", " ok, "];
    let found: Vec<_> =
        places.iter().map(|words| first.find(words).unwrap_or_else(|| panic!("{words} in {first}"))).collect();
    assert!(found.is_sorted(), "{first}");
    for _ in 0..2 {
        let (code, again, _) = doctor(&path, &["--strict"]);
        assert_eq!((code, &again), (0, &first), "nothing is in doubt");
    }

    config["streams"] = json!([{ "resource": gid, "account": "main" }, { "workspace": "1", "account": "main" }]);
    let path = bench.write(&config);
    let (code, said, _) = doctor(&path, &["--sample", "1"]);
    assert!(code == 0 && said.ends_with("; not all could be checked (`--strict` exits with 1)\n"), "{said}");
    assert_eq!(doctor(&path, &["--sample", "1", "--strict"]).0, 1);
}
