//! Sync tokens, pages, and the ledger.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::{Asana, numbers};

const RESET: &str = "Sync token invalid or too old. If you are attempting to keep resources in sync, you must fetch the full dataset for this query now and use the new sync token for the next sync.";

/// A resource that exists only because events were injected, none so far.
async fn bare(asana: &Asana) -> String {
    asana.offer("77", 0..0).await;
    "77".to_owned()
}

#[tokio::test]
async fn the_first_poll_is_a_412_with_a_token_and_nothing_else() {
    let asana = Asana::still().await;
    let got = asana.get(&format!("/events?resource={}", asana.project())).await;
    assert_eq!(got.status, 412);
    let sync = got.sync();
    assert_eq!(got.json(), json!({"errors": [{"message": RESET}], "sync": sync}));
    let (hex, number) = sync.split_once(':').unwrap();
    assert!(hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit()), "{sync}");
    assert_eq!(number, "0");
}

#[tokio::test]
async fn pages_hold_a_hundred_events_and_has_more_says_if_others_wait() {
    let asana = Asana::still().await;
    let first = asana.establish(&asana.project()).await;
    asana.offer(&asana.project(), 0..250).await;
    let one = asana.poll(&asana.project(), &first).await;
    assert_eq!((one.data().len(), &one.json()["has_more"]), (100, &json!(true)));
    let (events, last) = asana.drain(&asana.project(), first).await;
    assert_eq!(numbers(&events), (0..250).collect::<Vec<_>>());
    let (none, _) = asana.drain(&asana.project(), last).await;
    assert!(none.is_empty());
}

#[tokio::test]
async fn a_page_that_is_exactly_full_has_no_more() {
    let asana = Asana::still().await;
    let first = asana.establish(&asana.project()).await;
    asana.offer(&asana.project(), 0..100).await;
    let got = asana.poll(&asana.project(), &first).await;
    assert_eq!((got.data().len(), &got.json()["has_more"]), (100, &json!(false)));
}

#[tokio::test]
async fn the_current_token_gives_the_same_answer_again() {
    let asana = Asana::still().await;
    let first = asana.establish(&asana.project()).await;
    asana.offer(&asana.project(), 0..3).await;
    let once = asana.poll(&asana.project(), &first).await;
    asana.offer(&asana.project(), 3..5).await;
    let again = asana.poll(&asana.project(), &first).await;
    assert_eq!(once.text, again.text);
    let (rest, _) = asana.drain(&asana.project(), once.sync()).await;
    assert_eq!(numbers(&rest), [3, 4]);
}

#[tokio::test]
async fn a_token_is_refused_once_its_successor_was_used() {
    let asana = Asana::still().await;
    let first = asana.establish(&asana.project()).await;
    let second = asana.poll(&asana.project(), &first).await.sync();
    assert_eq!(asana.poll(&asana.project(), &second).await.status, 200);
    assert_eq!(asana.poll(&asana.project(), &first).await.status, 412);
    assert_eq!(asana.poll(&asana.project(), &second).await.status, 200, "the chain itself is unharmed");
    assert_eq!(asana.ledger(&asana.project()).await["lost"][0]["reason"], "superseded");
}

#[tokio::test]
async fn a_scenario_may_serve_superseded_tokens() {
    let asana = Asana::start("{superseded_tokens: serve}").await;
    let first = asana.establish(&asana.project()).await;
    asana.offer(&asana.project(), 0..2).await;
    let page = asana.poll(&asana.project(), &first).await;
    asana.poll(&asana.project(), &page.sync()).await;
    assert_eq!(asana.poll(&asana.project(), &first).await.text, page.text);
}

#[tokio::test]
async fn a_token_is_good_for_its_own_resource_only() {
    let asana = Asana::still().await;
    let projects = asana.simulator.projects();
    let sync = asana.establish(&projects[0]).await;
    assert_eq!(asana.poll(&projects[1], &sync).await.status, 412);
    assert_eq!(asana.poll(&projects[0], &sync).await.status, 200);
}

#[tokio::test]
async fn a_made_up_token_gets_a_usable_one() {
    let asana = Asana::still().await;
    let got = asana.poll(&asana.project(), "nonsense").await;
    assert_eq!(got.status, 412);
    assert_eq!(asana.poll(&asana.project(), &got.sync()).await.status, 200);
}

#[tokio::test]
async fn a_token_dies_after_24_hours_and_the_window_is_in_the_ledger() {
    let asana = Asana::still().await;
    let sync = asana.establish(&asana.project()).await;
    asana.offer(&asana.project(), 0..7).await;
    asana.post("/clock", json!({"advance": "23h 59m"})).await;
    assert_eq!(asana.poll(&asana.project(), &sync).await.status, 200);
    asana.post("/clock", json!({"advance": "1m"})).await;
    let got = asana.poll(&asana.project(), &sync).await;
    assert_eq!(got.status, 412);
    asana.offer(&asana.project(), 7..9).await;
    let (events, _) = asana.drain(&asana.project(), got.sync()).await;
    assert_eq!(numbers(&events), [7, 8]);
    let ledger = asana.ledger(&asana.project()).await;
    assert_eq!(ledger["lost"], json!([{"from": 0, "to": 7, "reason": "expired"}]));
}

#[tokio::test]
async fn what_came_before_the_first_token_is_told_apart_in_the_ledger() {
    let asana = Asana::still().await;
    asana.offer("77", 0..4).await;
    assert_eq!(asana.ledger("77").await["established_at"], json!(null));
    let sync = asana.establish("77").await;
    asana.offer("77", 4..6).await;
    let (events, _) = asana.drain("77", sync).await;
    assert_eq!(numbers(&events), [4, 5]);
    let ledger = asana.ledger("77").await;
    assert_eq!(ledger["established_at"], 4);
    assert_eq!(numbers(ledger["events"].as_array().unwrap()), [0, 1, 2, 3, 4, 5]);
    let all = asana.ok("sim:/ledger").await.json();
    assert_eq!(all, json!({"resources": {"77": 6}, "established": {"77": 4}, "followed": ["77"]}));
}

#[tokio::test]
async fn asking_for_a_first_token_again_skips_what_came_meanwhile_and_says_so() {
    let asana = Asana::still().await;
    asana.establish(&bare(&asana).await).await;
    asana.offer("77", 0..4).await;
    let sync = asana.establish("77").await;
    let (events, _) = asana.drain("77", sync).await;
    assert!(events.is_empty());
    let lost = &asana.ledger("77").await["lost"];
    assert_eq!(lost, &json!([{"from": 0, "to": 4, "reason": "reestablished"}]));
}

#[tokio::test]
async fn injected_events_come_back_byte_for_byte() {
    let odd = [
        r#"{"b":1.0,"a":1e400,"a":2,"nested":{ "z" : [ ] }}"#,
        "42",
        "null",
        r#""\ud800 lone surrogate""#,
        "123456789012345678901234567890.5E-7",
        r#"{"":"","é\u0000":{"gid":1}}"#,
    ];
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let mut events: Vec<&str> = odd.to_vec();
    events.push(&deep);
    let joined = events.join(",");
    let asana = Asana::still().await;
    let sync = asana.establish(&bare(&asana).await).await;
    let posted = asana.try_post("/events", format!(r#"{{"resource":"77","events":[{joined}]}}"#)).await;
    assert_eq!(posted.status, 200, "{}", posted.text);
    let page = asana.poll("77", &sync).await;
    assert!(page.text.starts_with(&format!(r#"{{"data":[{joined}],"sync":""#)));
    let ledger = asana.get("sim:/ledger?resource=77").await;
    assert!(ledger.text.starts_with(&format!(r#"{{"events":[{joined}],"#)));
    let raw = asana.simulator.ledger_raw("77");
    assert!(raw.iter().map(|text| &**text).eq(events));
}

/// The names of all fields of an event, and of all but the fields of a new value.
fn all_and_bare() -> (String, String) {
    let all = asana_simulator::event_fields();
    let bare: Vec<_> = all.iter().filter(|field| !field.starts_with("change.new_value.")).cloned().collect();
    (all.join(","), bare.join(","))
}

#[tokio::test]
async fn fields_are_cut_down_to_what_was_asked_for() {
    let asana = Asana::still().await;
    let sync = asana.establish(&bare(&asana).await).await;
    let event = json!({"action": "changed", "resource": {"gid": "5", "resource_type": "task", "name": "x"}, "new": 1});
    asana.post("/events", json!({"resource": "77", "events": [event]})).await;
    let (all, bare) = all_and_bare();
    let get =
        async |fields: &str| asana.ok(&format!("/events?resource=77&sync={sync}&opt_fields={fields}")).await.data();
    assert_eq!(
        get("action,resource.name").await,
        [json!({"action": "changed", "resource": {"gid": "5", "name": "x"}})]
    );
    assert_eq!(get(&all).await, std::slice::from_ref(&event), "who names all gets the unknown, too");
    let known = json!({"action": "changed", "resource": {"gid": "5", "resource_type": "task", "name": "x"}});
    assert_eq!(get(&bare).await, [known]);
}

/// Changes of custom fields on the stream of a project, by the fields' subtypes.
async fn custom_values(asana: &Asana, sync: &str, fields: &str) -> BTreeMap<String, Value> {
    let query = if fields.is_empty() { String::new() } else { format!("&opt_fields={fields}") };
    let path = format!("/events?resource={}&sync={sync}{query}", asana.project());
    let values = asana.ok(&path).await.data().into_iter().filter(|event| event["change"]["field"] == "custom_fields");
    values.map(|event| (event["resource"]["name"].to_string(), event["change"]["new_value"].clone())).collect()
}

#[tokio::test]
async fn values_in_changes_are_as_bare_as_asked_for() {
    let asana = Asana::start("{speed: 0, world: {projects: 1}, pages: {resource: 5000}}").await;
    let sync = asana.establish(&asana.project()).await;
    let path = format!("/workspaces/{}/events", asana.workspace());
    let of_workspace = asana.get(&path).await.sync();
    asana.post("/actions", json!({"count": 1_000})).await;
    let whole = custom_values(&asana, &sync, "").await;
    let subtypes: BTreeSet<_> = whole.values().map(|value| value["resource_subtype"].as_str().unwrap()).collect();
    assert_eq!(subtypes, ["date", "enum", "number", "people", "text"].into());
    for value in whole.values() {
        let subtype = value["resource_subtype"].as_str().unwrap();
        let own = &value[format!("{subtype}_value")];
        assert_eq!(value["display_value"].is_null(), own.is_null() || *own == json!([]), "{value}");
        assert_eq!((value["resource_type"].clone(), value["type"].as_str()), (json!("custom_field"), Some(subtype)));
    }
    let (all, bare) = all_and_bare();
    assert_eq!(custom_values(&asana, &sync, &all).await, whole);
    for bare in ["change,resource.name", &bare] {
        let shown = custom_values(&asana, &sync, bare).await;
        assert_eq!(shown.len(), whole.len());
        assert!(
            shown.values().all(|value| value.as_object().unwrap().keys().eq(["gid", "resource_type"])),
            "{shown:?}"
        );
    }
    let events = asana.ok(&format!("{path}?sync={of_workspace}&opt_fields=change.new_value.enum_value")).await.data();
    let values = events.iter().filter(|event| event["change"]["field"] == "custom_fields");
    let values: Vec<_> = values.map(|event| event["change"]["new_value"].as_object().unwrap().keys()).collect();
    assert!(values.len() > 20, "{}", values.len());
    for keys in values {
        assert!(keys.eq(["gid", "name", "resource_subtype", "resource_type"]));
    }
}

#[tokio::test]
async fn a_scalar_has_no_new_value() {
    let asana = Asana::still().await;
    asana.post("/actions", json!({"count": 500})).await;
    let events = asana.simulator.ledger(&asana.workspace());
    for event in events.iter().filter(|event| event["change"].get("new_value").is_some()) {
        assert!(event["change"]["new_value"]["gid"].is_string(), "{event}");
    }
}

#[tokio::test]
async fn opt_pretty_breaks_lines_and_changes_nothing_else() {
    let asana = Asana::still().await;
    let sync = asana.establish(&bare(&asana).await).await;
    asana.offer("77", 0..2).await;
    let plain = asana.poll("77", &sync).await;
    let pretty = asana.ok(&format!("/events?resource=77&sync={sync}&opt_pretty")).await;
    assert!(pretty.text.lines().count() > 5, "{}", pretty.text);
    assert_eq!(pretty.json(), plain.json());
}

#[tokio::test]
async fn each_kind_of_wrong_resource_has_its_own_answer() {
    let asana = Asana::still().await;
    let expect = async |path: String, status: u16, message: &str| {
        let got = asana.get(&path).await;
        assert_eq!((got.status, got.message().as_str()), (status, message), "{path}");
    };
    let project = asana.project();
    let workspace = asana.workspace();
    expect("/events".to_owned(), 400, "resource: Missing input").await;
    expect("/events?resource=999".to_owned(), 404, "resource: Unknown object: 999").await;
    expect("/events?resource=abc".to_owned(), 400, "resource: Not a recognized ID: abc").await;
    let not_one = format!("resource: Not a task, project or goal: {workspace}");
    expect(format!("/events?resource={workspace}"), 400, &not_one).await;
    let hidden = format!("resource: Unknown object: {project}");
    expect(format!("/tasks/{project}/events"), 404, &hidden).await;
    expect(format!("/workspaces/{project}/events"), 404, &format!("workspace: Unknown object: {project}")).await;
}

#[tokio::test]
async fn the_alias_by_path_is_the_same_stream() {
    let asana = Asana::still().await;
    let project = asana.project();
    let sync = asana.get(&format!("/projects/{project}/events")).await.sync();
    asana.offer(&project, 0..2).await;
    let got = asana.ok(&format!("/projects/{project}/events?sync={sync}")).await;
    assert_eq!(got.text, asana.poll(&project, &sync).await.text);
}

#[tokio::test]
async fn a_workspace_stream_has_pages_of_a_thousand_for_service_accounts_only() {
    let asana = Asana::start("{tokens: [{token: simulator, service_account: true}, {token: user}]}").await;
    let path = format!("/workspaces/{}/events", asana.workspace());
    assert_eq!(asana.get_as("user", &path).await.status, 403);
    let first = asana.get(&path).await;
    assert_eq!((first.status, first.message().as_str()), (412, RESET));
    asana.offer(&asana.workspace(), 0..1_001).await;
    let page = asana.ok(&format!("{path}?sync={}", first.sync())).await;
    assert_eq!((page.data().len(), &page.json()["has_more"]), (1_000, &json!(true)));
}

#[tokio::test]
async fn without_a_known_bearer_token_nothing_is_told() {
    let asana = Asana::still().await;
    for token in ["", "wrong"] {
        let got = asana.get_as(token, "/users/me").await;
        assert_eq!((got.status, got.message().as_str()), (401, "Not Authorized"));
    }
    assert_eq!(asana.simulator.stats()["unauthorized"], 2);
}

#[tokio::test]
async fn an_empty_page_uses_the_token_up_and_its_page_stays_empty() {
    let asana = Asana::still().await;
    let first = asana.establish(&asana.project()).await;
    let empty = asana.poll(&asana.project(), &first).await;
    assert_ne!(empty.sync(), first);
    asana.offer(&asana.project(), 0..2).await;
    assert_eq!(asana.poll(&asana.project(), &first).await.text, empty.text, "fixed at the first ask");
    assert_eq!(numbers(&asana.poll(&asana.project(), &empty.sync()).await.data()), [0, 1]);
}

#[tokio::test]
async fn an_empty_page_may_bring_the_token_that_was_sent_which_is_not_used_up_then() {
    let asana = Asana::start("{speed: 0, empty_pages: same_token}").await;
    let first = asana.establish(&asana.project()).await;
    for _ in 0..3 {
        asana.post("/clock", json!({"advance": "12h"})).await;
        let empty = asana.poll(&asana.project(), &first).await;
        assert_eq!((empty.status, empty.data().len(), empty.sync()), (200, 0, first.clone()), "it lives on");
    }
    asana.offer(&asana.project(), 0..2).await;
    let page = asana.poll(&asana.project(), &first).await;
    assert_eq!(numbers(&page.data()), [0, 1]);
    assert_ne!(page.sync(), first);
    asana.offer(&asana.project(), 2..3).await;
    assert_eq!(asana.poll(&asana.project(), &first).await.text, page.text, "fixed once it has events");
}

#[tokio::test]
async fn a_page_with_events_may_bring_the_token_that_was_sent_and_then_it_grows() {
    let asana = Asana::start("{full_pages: same_token, pages: {resource: 5}}").await;
    let first = asana.establish(&asana.project()).await;
    for many in 1..5 {
        asana.offer(&asana.project(), many - 1..many).await;
        let page = asana.poll(&asana.project(), &first).await;
        assert_eq!(page.sync(), first);
        assert_eq!(numbers(&page.data()), (0..many as u64).collect::<Vec<_>>());
    }
    asana.offer(&asana.project(), 4..7).await;
    let full = asana.poll(&asana.project(), &first).await;
    assert_eq!((numbers(&full.data()).len(), full.json()["has_more"].clone()), (5, json!(true)));
    assert_eq!(numbers(&asana.poll(&asana.project(), &full.sync()).await.data()), [5, 6]);
}

#[tokio::test]
async fn the_ledger_says_when_each_event_could_be_seen_first() {
    let asana = Asana::start("{start: '2026-01-01T00:00:00Z', speed: 0, delay: 10s}").await;
    let project = asana.project();
    let visible_at = async || asana.ledger(&project).await["visible_at"].clone();
    asana.offer(&project, 0..1).await;
    assert_eq!(visible_at().await, json!(["2026-01-01T00:00:10.000Z"]), "to come, and expected then");
    asana.post("/clock", json!({"advance": "20s"})).await;
    asana.offer(&project, 1..2).await;
    // Begins when the first was visible and the second isn't yet.
    asana.fault(json!({"kind": "silence", "resource": project, "for": "1h"})).await;
    let expected = json!(["2026-01-01T00:00:10.000Z", "2026-01-01T01:00:20.000Z"]);
    assert_eq!(visible_at().await, expected);
    asana.post("/clock", json!({"advance": "5h"})).await;
    assert_eq!(visible_at().await, expected, "nobody looked for hours");
    asana.fault(json!({"kind": "silence"})).await;
    asana.offer(&project, 2..3).await;
    assert_eq!(visible_at().await[2], json!(null), "a silence without an end");
    assert_eq!(asana.ledger(&project).await["visible"], 2);
    let in_process = asana.simulator.ledger_visible(&project);
    let hour = std::time::Duration::from_secs(3_610);
    assert_eq!(in_process[1].unwrap().duration_since(in_process[0].unwrap()).unwrap(), hour);
    assert_eq!((in_process.len(), in_process[2]), (3, None));
}
