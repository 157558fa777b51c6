//! The header `Date`: by the simulated clock, in whole seconds, at the end of an answer.

use serde_json::json;

use crate::{Asana, STILL};

async fn date(asana: &Asana, path: &str) -> String {
    asana.get(path).await.date.unwrap()
}

#[tokio::test]
async fn answers_are_dated_by_the_simulated_clock() {
    let asana = Asana::start("{start: '2026-01-01T00:00:00Z', speed: 0}").await;
    let project = asana.project();
    for path in ["/users/me".to_owned(), "/nothing".to_owned(), format!("/events?resource={project}")] {
        assert_eq!(date(&asana, &path).await, "Thu, 01 Jan 2026 00:00:00 GMT", "{path}");
    }
    asana.post("/clock", json!({"advance": "1500ms"})).await;
    assert_eq!(date(&asana, "/users/me").await, "Thu, 01 Jan 2026 00:00:01 GMT", "cut off, not rounded");
}

#[tokio::test]
async fn a_slow_answer_is_dated_at_its_end_by_true_time() {
    let asana = Asana::start("{start: '2026-01-01T00:00:00Z', speed: 0}").await;
    asana.fault(json!({"kind": "slow", "delay": "1s", "count": 1})).await;
    assert_eq!(date(&asana, "/users/me").await, "Thu, 01 Jan 2026 00:00:01 GMT");
    assert_eq!(date(&asana, "/users/me").await, "Thu, 01 Jan 2026 00:00:00 GMT", "nobody wound the clock");
}

#[tokio::test]
async fn a_scenario_may_leave_the_date_out() {
    let asana = Asana::start(&STILL.replace('}', ", date: absent}")).await;
    assert_eq!(asana.get("/users/me").await.date, None);
}
