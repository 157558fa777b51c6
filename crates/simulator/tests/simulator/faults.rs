//! Each fault on demand, and that it ends.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{Asana, numbers};

#[tokio::test]
async fn killed_tokens_are_reset_and_the_ledger_says_what_was_lost() {
    let asana = Asana::still().await;
    let projects = asana.simulator.projects();
    let (mine, other) = (asana.establish(&projects[0]).await, asana.establish(&projects[1]).await);
    asana.offer(&projects[0], 0..4).await;
    asana.fault(json!({"kind": "kill_tokens", "resource": projects[0]})).await;
    let got = asana.poll(&projects[0], &mine).await;
    assert_eq!(got.status, 412);
    assert_eq!(asana.poll(&projects[1], &other).await.status, 200);
    asana.offer(&projects[0], 4..5).await;
    let (events, _) = asana.drain(&projects[0], got.sync()).await;
    assert_eq!(numbers(&events), [4]);
    let ledger = asana.ledger(&projects[0]).await;
    assert_eq!(ledger["lost"], json!([{"from": 0, "to": 4, "reason": "killed"}]));
}

#[tokio::test]
async fn tokens_may_die_one_at_a_poll() {
    let asana = Asana::still().await;
    asana.fault(json!({"kind": "kill_tokens", "count": 1})).await;
    let sync = asana.establish(&asana.project()).await;
    let fresh = asana.poll(&asana.project(), &sync).await;
    assert_eq!(fresh.status, 412, "the first poll had no token, and wasn't hit");
    assert_eq!(asana.poll(&asana.project(), &fresh.sync()).await.status, 200);
}

#[tokio::test]
async fn dropped_events_are_in_the_ledger_but_were_never_offered() {
    let asana = Asana::still().await;
    let workspace = asana.workspace();
    asana.fault(json!({"kind": "drop", "resource": workspace, "count": 5})).await;
    asana.post("/actions", json!({"count": 20})).await;
    let ledger = asana.ledger(&workspace).await;
    let dropped = ledger["dropped"].as_array().unwrap();
    let offered = ledger["events"].as_array().unwrap();
    assert_eq!(dropped.len(), 5);
    assert!(offered.len() >= 15);
    assert!(dropped.iter().all(|each| each["after"] == 0 && !offered.contains(&each["event"])));
}

#[tokio::test]
async fn storms_answer_with_their_status_and_pass() {
    let asana = Asana::still().await;
    for (status, retry_after) in [(429, Some(7)), (500, None), (503, None), (451, None), (402, None)] {
        asana.fault(json!({"kind": "status", "status": status, "count": 2, "retry_after": retry_after})).await;
        for _ in 0..2 {
            let got = asana.get("/workspaces").await;
            assert_eq!((got.status, got.retry_after), (status, retry_after));
            assert!(!got.message().is_empty());
            assert_eq!(got.json()["errors"][0]["phrase"].is_string(), status == 500);
        }
        assert_eq!(asana.get("/workspaces").await.status, 200);
    }
}

#[tokio::test]
async fn a_fault_can_be_for_one_resource_one_token_and_some_time() {
    let asana = Asana::start(
        "{speed: 0, start: '2026-01-01T00:00:00Z', tokens: [{token: simulator, service_account: true}, {token: b}]}",
    )
    .await;
    let projects = asana.simulator.projects();
    let path = |n: usize| format!("/events?resource={}", projects[n]);
    asana.fault(json!({"kind": "status", "status": 403, "resource": projects[0], "token": "b", "for": "1h"})).await;
    assert_eq!(asana.get_as("b", &path(0)).await.status, 403);
    assert_eq!(asana.get(&path(0)).await.status, 412);
    assert_eq!(asana.get_as("b", &path(1)).await.status, 412);
    asana.post("/clock", json!({"advance": "1h"})).await;
    assert_eq!(asana.get_as("b", &path(0)).await.status, 412);
}

#[tokio::test]
async fn a_slow_answer_takes_its_time() {
    let asana = Asana::still().await;
    asana.fault(json!({"kind": "slow", "delay": "150ms", "count": 1})).await;
    #[expect(clippy::disallowed_methods, reason = "the waiting itself is measured")]
    let before = Instant::now();
    asana.ok("/workspaces").await;
    assert!(before.elapsed() >= Duration::from_millis(150));
}

#[tokio::test]
async fn a_cut_off_body_is_an_error_and_the_page_comes_again() {
    let asana = Asana::still().await;
    let project = asana.project();
    let sync = asana.establish(&project).await;
    asana.offer(&project, 0..3).await;
    asana.fault(json!({"kind": "cut", "count": 1})).await;
    let path = format!("/events?resource={project}&sync={sync}");
    let Err(error) = asana.try_get("simulator", &path).await else {
        panic!("a cut-off body was complete");
    };
    assert!(!error.is_request(), "status and headers arrived: {error:?}");
    assert_eq!(numbers(&asana.ok(&path).await.data()), [0, 1, 2]);
}

#[tokio::test]
async fn garbage_comes_with_a_200() {
    let asana = Asana::still().await;
    let whole = asana.ok("/workspaces").await.text;
    for body in ["html", "invalid", "truncated", "empty"] {
        asana.fault(json!({"kind": "garbage", "body": body, "count": 1})).await;
        let got = asana.ok("/workspaces").await;
        assert!(serde_json::from_str::<serde_json::Value>(&got.text).is_err(), "{body}: {}", got.text);
    }
    asana.fault(json!({"kind": "garbage", "body": "shape", "count": 1})).await;
    assert!(asana.ok("/workspaces").await.json()["data"].is_object());
    assert_eq!(asana.ok("/workspaces").await.text, whole);
}

#[tokio::test]
async fn in_a_silence_nothing_is_seen_and_after_it_everything() {
    let asana = Asana::still().await;
    let project = asana.project();
    let sync = asana.establish(&project).await;
    asana.fault(json!({"kind": "silence", "for": "3h"})).await;
    asana.offer(&project, 0..3).await;
    let quiet = asana.poll(&project, &sync).await;
    assert!(quiet.data().is_empty());
    assert_eq!(asana.ledger(&project).await["visible"], 0);
    asana.post("/clock", json!({"advance": "3h"})).await;
    let (events, _) = asana.drain(&project, quiet.sync()).await;
    assert_eq!(numbers(&events), [0, 1, 2]);
}

#[tokio::test]
async fn a_scenario_has_faults_on_a_timetable() {
    let asana = Asana::start(
        "{speed: 0, start: '2026-01-01T00:00:00Z', faults: [{kind: status, status: 503, at: 10m, for: 5m}]}",
    )
    .await;
    for (advance, status) in [("9m", 200), ("1m", 503), ("4m", 503), ("1m", 200)] {
        asana.post("/clock", json!({"advance": advance})).await;
        assert_eq!(asana.get("/workspaces").await.status, status, "after {advance} more");
    }
}

#[tokio::test]
async fn faults_are_listed_ended_and_checked() {
    let asana = Asana::still().await;
    let id = asana.post("/faults", json!({"kind": "cut"})).await["id"].clone();
    asana.fault(json!({"kind": "silence"})).await;
    let listed = asana.ok("sim:/faults").await.json();
    assert_eq!(listed["faults"].as_array().unwrap().len(), 2);
    let http = reqwest::Client::new();
    let base = format!("{}/_sim/faults", asana.simulator.url());
    http.delete(format!("{base}/{id}")).send().await.unwrap().error_for_status().unwrap();
    assert_eq!(http.delete(format!("{base}/{id}")).send().await.unwrap().status(), 404);
    http.delete(&base).send().await.unwrap().error_for_status().unwrap();
    assert_eq!(asana.ok("sim:/faults").await.json(), json!({"faults": []}));
    for wrong in [
        r#"{"kind":"cut","typo":1}"#,
        r#"{"kind":"status"}"#,
        "{}",
        r#"{"kind":"drop","probability":2}"#,
        r#"{"kind":"silence","token":"a"}"#,
    ] {
        let got = asana.try_post("/faults", wrong.to_owned()).await;
        assert_eq!(got.status, 400, "{wrong}");
        assert!(!got.message().is_empty());
    }
}
