//! Pages that are too much for Asana, lists that come short, and a gateway in front.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::{Asana, Got};

fn gids(got: &Got) -> Vec<String> {
    got.data().iter().map(|item| item["gid"].as_str().unwrap().to_owned()).collect()
}

/// Goes through a list as a client does, and returns what it was shown.
async fn crawl(asana: &Asana, path: &str, limit: usize) -> Vec<String> {
    let (mut all, mut offset) = (Vec::new(), String::new());
    loop {
        let page = asana.ok(&format!("{path}?limit={limit}{offset}")).await;
        all.extend(gids(&page));
        match page.json()["next_page"]["offset"].as_str() {
            Some(next) => offset = format!("&offset={next}"),
            None => return all,
        }
    }
}

#[tokio::test]
async fn a_page_that_weighs_too_much_times_out() {
    let asana = Asana::start("{weight: {most: 25, after: 300ms}}").await;
    let path = format!("/projects/{}/tasks", asana.project());
    #[expect(clippy::disallowed_methods, reason = "the waiting itself is measured")]
    let before = Instant::now();
    let got = asana.get(&format!("{path}?limit=26")).await;
    assert_eq!((got.status, got.message().as_str()), (504, "Gateway Timeout"));
    assert!(before.elapsed() >= Duration::from_millis(300));
    asana.ok(&path).await;
    assert_eq!(crawl(&asana, &path, 7).await.len(), 20);
    asana.ok(&format!("/projects/{}", asana.project())).await;
    asana.post("/weight", json!(null)).await;
    asana.ok(&format!("{path}?limit=100")).await;
}

#[tokio::test]
async fn a_page_may_cost_too_much_and_what_is_listed_weighs_differently() {
    let asana = Asana::start("{weight: {most: 25, per: {tasks: 5}, answer: throttle, after: 3s}}").await;
    let project = asana.project();
    let got = asana.get(&format!("/projects/{project}/tasks?limit=6")).await;
    assert_eq!((got.status, got.retry_after), (429, Some(3)));
    asana.ok(&format!("/projects/{project}/tasks?limit=5")).await;
    asana.ok(&format!("/projects/{project}/sections?limit=25")).await;
    assert_eq!(asana.simulator.stats()["tokens"]["simulator"]["rejected"], 1);
}

#[tokio::test]
async fn a_list_longer_than_asana_goes_through_ends_with_a_400_that_speaks_of_no_offset() {
    let asana = Asana::start("{longest_list: 15}").await;
    let path = format!("/projects/{}/tasks", asana.project());
    let mut offset = String::new();
    for _ in 0..3 {
        let page = asana.ok(&format!("{path}?limit=5{offset}")).await;
        offset = format!("&offset={}", page.json()["next_page"]["offset"].as_str().unwrap());
    }
    let got = asana.get(&format!("{path}?limit=5{offset}")).await;
    assert_eq!(got.status, 400);
    assert!(!got.message().starts_with("offset:"), "{}", got.message());
    let whole = asana.ok(&format!("{path}?limit=100")).await;
    assert_eq!(whole.data().len(), 20, "no offset, no end");
}

#[tokio::test]
async fn a_list_comes_short_at_its_end_as_often_as_told() {
    let asana = Asana::still().await;
    let path = format!("/projects/{}/tasks", asana.project());
    let whole = crawl(&asana, &path, 8).await;
    asana.fault(json!({"kind": "short", "resource": asana.project(), "count": 2})).await;
    asana.ok(&format!("/projects/{}", asana.project())).await;
    assert_eq!(crawl(&asana, &path, 8).await, whole[..8], "as if it ended there");
    assert_eq!(crawl(&asana, &path, 100).await, whole[..10], "of one page its second half is missing");
    assert_eq!(crawl(&asana, &path, 8).await, whole);
}

#[tokio::test]
async fn a_list_comes_short_by_a_page_in_its_middle() {
    let asana = Asana::still().await;
    let path = format!("/projects/{}/tasks", asana.project());
    let whole = crawl(&asana, &path, 5).await;
    let first = asana.ok(&format!("{path}?limit=5")).await;
    let next = first.json()["next_page"]["offset"].as_str().unwrap().to_owned();
    asana.fault(json!({"kind": "short", "part": "middle", "count": 1})).await;
    let second = asana.ok(&format!("{path}?limit=5&offset={next}")).await;
    assert_eq!(gids(&second), whole[10..15], "the page behind it, in its place");
    let next = second.json()["next_page"]["offset"].as_str().unwrap().to_owned();
    assert_eq!(gids(&asana.ok(&format!("{path}?limit=5&offset={next}")).await), whole[15..]);
    assert_eq!(crawl(&asana, &path, 5).await, whole);
}

#[tokio::test]
async fn a_gateway_knows_nothing_of_asanas_envelope() {
    let asana = Asana::still().await;
    let project = asana.project();
    let mut bodies = BTreeSet::new();
    for status in [403, 404, 408, 421, 425, 499, 502, 504] {
        asana.fault(json!({"kind": "gateway", "status": status, "count": 1, "resource": project})).await;
        let got = asana.get(&format!("/events?resource={project}")).await;
        assert_eq!(got.status, status);
        assert!(got.text.starts_with("<html>"), "{}", got.text);
        bodies.insert(got.text);
    }
    assert_eq!(bodies.len(), 8);
    assert_eq!(asana.get(&format!("/events?resource={project}")).await.status, 412);
    let wrong = asana.try_post("/faults", r#"{"kind":"gateway","status":200}"#.to_owned()).await;
    assert_eq!(wrong.status, 400);
}
