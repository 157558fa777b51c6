//! Budgets per token, concurrency, and OAuth.

use std::time::Duration;

use serde_json::json;

use crate::Asana;

const THROTTLED: &str =
    "You've made too many requests and hit a rate limit. Please retry after the given amount of time.";

#[tokio::test]
async fn beyond_the_budget_calls_are_refused_counted_and_told_when_to_come_back() {
    let asana = Asana::start("{tokens: [{token: simulator, rate_per_minute: 5}, {token: other}]}").await;
    for _ in 0..5 {
        asana.ok("/users/me").await;
    }
    for _ in 0..3 {
        let got = asana.get("/users/me").await;
        assert_eq!((got.status, got.message().as_str()), (429, THROTTLED));
        let wait = got.retry_after.unwrap();
        assert!((50..=60).contains(&wait), "{wait}");
    }
    assert_eq!(asana.get_as("other", "/users/me").await.status, 200, "budgets are apart");
    let tokens = &asana.simulator.stats()["tokens"];
    assert_eq!((&tokens["simulator"]["requests"], &tokens["simulator"]["rejected"]), (&json!(8), &json!(3)));
    assert_eq!((&tokens["simulator"]["over_rate"], &tokens["simulator"]["over_concurrency"]), (&json!(3), &json!(0)));
    assert_eq!(
        (&tokens["simulator"]["most_in_a_minute"], &tokens["other"]["most_in_a_minute"]),
        (&json!(8), &json!(1))
    );
    assert_eq!(tokens["other"]["rejected"], 0);
}

#[tokio::test]
async fn a_budget_can_be_changed_while_it_is_in_use() {
    let asana = Asana::start("{tokens: [{token: simulator, rate_per_minute: 1}]}").await;
    asana.ok("/users/me").await;
    assert_eq!(asana.get("/users/me").await.status, 429);
    asana.post("/limits", json!({"token": "simulator", "rate_per_minute": 3})).await;
    asana.ok("/users/me").await;
    assert_eq!(asana.get("/users/me").await.status, 429);
    let refused = asana.try_post("/limits", json!({"token": "nobody", "rate_per_minute": 3}).to_string()).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
}

#[tokio::test]
async fn who_polls_which_stream_is_counted_and_neglect_shows() {
    let asana = Asana::start("{tokens: [{token: simulator}, {token: other}]}").await;
    let project = asana.project();
    asana.establish(&project).await;
    asana.get_as("other", &format!("/events?resource={project}")).await;
    asana.fault(json!({"kind": "status", "status": 503, "count": 1})).await;
    assert_eq!(asana.get(&format!("/projects/{project}/events")).await.status, 503);
    asana.get("/events?resource=1").await;
    let polls = async || asana.ok("sim:/polls").await.json();
    let shown = polls().await;
    assert_eq!(shown["streams"].as_object().unwrap().len(), 1, "the other isn't there: {shown}");
    let stream = &shown["streams"][&project];
    assert_eq!((&stream["polls"], &stream["tokens"]["simulator"]["polls"]), (&json!(3), &json!(2)));

    let reset = asana.post("/polls", json!({"late_after": "1ms"})).await["now_ms"].as_u64().unwrap();
    assert_eq!(polls().await["streams"][&project]["polls"], 0);
    while polls().await["streams"][&project]["longest_ms"].as_u64().unwrap() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    asana.get(&format!("/events?resource={project}")).await;
    let late = polls().await;
    assert_eq!((&late["late_count"], &late["late"][0]["from_ms"]), (&json!(1), &json!(reset)), "{late}");
}

#[tokio::test]
async fn a_limit_of_nought_is_none() {
    let asana = Asana::start("{limits: {rate_per_minute: 0}}").await;
    for _ in 0..1_600 {
        asana.ok("/users/me").await;
    }
}

#[tokio::test]
async fn too_many_reads_in_flight_are_refused() {
    let asana = Asana::start("{limits: {concurrent_reads: 2}}").await;
    asana.fault(json!({"kind": "slow", "delay": "10m", "endpoint": "lists", "count": 2})).await;
    let stuck = async || asana.get("/workspaces").await;
    let refused = async {
        // Two are in flight as soon as the counters say so.
        while asana.simulator.stats()["tokens"]["simulator"]["in_flight"] != 2 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        asana.get("/workspaces").await
    };
    let got = tokio::select! {
        got = refused => got,
        _ = stuck() => panic!("a slow answer came"),
        _ = stuck() => panic!("a slow answer came"),
    };
    assert_eq!((got.status, got.message().as_str()), (429, THROTTLED));
    assert!(got.retry_after.unwrap() > 0);
    // The clients have hung up: their places are free again.
    while asana.simulator.stats()["tokens"]["simulator"]["in_flight"] != 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(asana.get("/workspaces").await.status, 200);
}

const OAUTH: &str = "{speed: 0, start: '2026-01-01T00:00:00Z', \
    oauth: {client_id: id, client_secret: secret, refresh_token: again, account: simulator}}";

async fn grant(asana: &Asana, refresh_token: &str) -> (u16, serde_json::Value) {
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", "id"),
        ("client_secret", "secret"),
        ("redirect_uri", "urn:ietf:wg:oauth:2.0:oob"),
        ("refresh_token", refresh_token),
    ];
    let url = format!("{}/-/oauth_token", asana.simulator.url());
    let response = reqwest::Client::new().post(url).form(&form).send().await.unwrap();
    (response.status().as_u16(), serde_json::from_str(&response.text().await.unwrap()).unwrap())
}

#[tokio::test]
async fn a_refresh_token_buys_access_for_an_hour() {
    let asana = Asana::start(OAUTH).await;
    let (status, body) = grant(&asana, "again").await;
    assert_eq!((status, &body["expires_in"], &body["token_type"]), (200, &json!(3_600), &json!("bearer")));
    let access = body["access_token"].as_str().unwrap();
    assert_eq!(asana.get_as(access, "/users/me").await.status, 200);
    asana.post("/clock", json!({"advance": "1h"})).await;
    assert_eq!(asana.get_as(access, "/users/me").await.status, 401);
    let (_, fresh) = grant(&asana, "again").await;
    assert_ne!(fresh["access_token"], access);
    assert_eq!(asana.get_as(fresh["access_token"].as_str().unwrap(), "/users/me").await.status, 200);
}

#[tokio::test]
async fn a_wrong_refresh_token_buys_nothing() {
    let asana = Asana::start(OAUTH).await;
    let (status, body) = grant(&asana, "other").await;
    assert_eq!((status, &body["error"]), (400, &json!("invalid_grant")));
}
