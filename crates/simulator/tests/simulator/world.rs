//! Live events: what users do, who sees it, and that a seed repeats it.

use serde_json::{Value, json};

use crate::Asana;

/// A still world in which users have acted many times at one moment.
async fn lively(seed: u64) -> Asana {
    let asana = Asana::start(&format!(
        "{{seed: {seed}, start: '2026-01-01T00:00:00Z', speed: 0, limits: {{rate_per_minute: 0}}, world: {{projects: 4, tasks_per_project: 8}}}}"
    ))
    .await;
    asana.post("/actions", json!({"count": 2_000})).await;
    asana
}

fn events_of(asana: &Asana, gid: &str) -> Vec<Value> {
    asana.simulator.ledger(gid)
}

/// All events, from the workspace that sees everything.
fn all_events(asana: &Asana) -> Vec<Value> {
    events_of(asana, &asana.workspace())
}

fn gid(of: &Value) -> &str {
    of["gid"].as_str().unwrap()
}

#[tokio::test]
async fn equal_seeds_give_equal_worlds_events_and_tokens() {
    let (one, same, other) = (lively(5).await, lively(5).await, lively(6).await);
    for project in one.simulator.projects() {
        assert_eq!(one.simulator.ledger_raw(&project), same.simulator.ledger_raw(&project));
        assert_eq!(one.establish(&project).await, same.establish(&project).await);
    }
    assert_eq!(one.simulator.projects(), same.simulator.projects());
    assert_ne!(one.simulator.projects(), other.simulator.projects());
    one.offer("1", 0..0).await;
    other.offer("1", 0..0).await;
    assert_ne!(one.establish("1").await, other.establish("1").await);
}

#[tokio::test]
async fn a_comment_is_seen_by_its_task_its_projects_and_the_workspace() {
    let asana = lively(1).await;
    let comments: Vec<_> = all_events(&asana)
        .into_iter()
        .filter(|event| event["resource"]["resource_subtype"] == "comment_added" && event["action"] == "added")
        .collect();
    assert!(comments.len() > 50, "{}", comments.len());
    let (mut in_two_projects, mut in_none) = (0, 0);
    for comment in &comments {
        let task = gid(&comment["parent"]);
        assert!(events_of(&asana, task).contains(comment), "its task");
        let seeing = asana.simulator.projects();
        let seeing = seeing.iter().filter(|project| events_of(&asana, project).contains(comment)).count();
        in_two_projects += usize::from(seeing > 1);
        in_none += usize::from(seeing == 0);
    }
    assert!(in_two_projects > 0 && in_none > 0 && in_none < comments.len() / 3, "{in_two_projects} {in_none}");
}

#[tokio::test]
async fn a_subtask_is_seen_by_its_parent_and_the_parents_project() {
    let asana = lively(2).await;
    let born: Vec<_> = all_events(&asana)
        .into_iter()
        .filter(|event| event["action"] == "added" && event["resource"]["resource_type"] == "task")
        .filter(|event| event["parent"]["resource_type"] == "task")
        .collect();
    assert!(born.len() > 20, "{}", born.len());
    let (mut seen, all) = (0, born.len());
    for event in born {
        assert!(events_of(&asana, gid(&event["resource"])).contains(&event), "itself");
        assert!(events_of(&asana, gid(&event["parent"])).contains(&event), "its parent");
        let projects = asana.simulator.projects();
        seen += usize::from(projects.iter().any(|project| events_of(&asana, project).contains(&event)));
    }
    assert!(seen < all && seen > all / 2, "{seen} of {all}: some parents are in no project");
}

#[tokio::test]
async fn a_move_is_seen_by_the_project_that_is_left_and_the_one_that_is_reached() {
    let asana = lively(3).await;
    let removed: Vec<_> = all_events(&asana)
        .into_iter()
        .filter(|event| event["action"] == "removed" && event["parent"]["resource_type"] == "project")
        .collect();
    assert!(!removed.is_empty());
    for event in removed {
        assert!(events_of(&asana, gid(&event["parent"])).contains(&event));
    }
    let reached: Vec<_> = all_events(&asana)
        .into_iter()
        .filter(|event| event["action"] == "added" && event["parent"]["resource_type"] == "project")
        .collect();
    for event in reached {
        assert!(events_of(&asana, gid(&event["parent"])).contains(&event));
    }
}

#[tokio::test]
async fn completing_a_task_gives_two_changes_of_the_same_moment() {
    let asana = lively(1).await;
    let events = all_events(&asana);
    let twins = events.windows(2).filter(|pair| pair[0]["change"]["field"] == "completed").inspect(|pair| {
        assert_eq!(pair[1]["change"]["field"], "completed_at");
        assert_eq!(pair[0]["created_at"], pair[1]["created_at"]);
        assert_eq!(pair[0]["resource"], pair[1]["resource"]);
    });
    assert!(twins.count() > 50);
}

#[tokio::test]
async fn events_have_the_shapes_that_the_reference_reports() {
    let asana = lively(1).await;
    let events = all_events(&asana);
    let count = |test: &dyn Fn(&Value) -> bool| events.iter().filter(|event| test(event)).count();
    for event in &events {
        let keys: Vec<_> = event.as_object().unwrap().keys().map(String::as_str).collect();
        assert!(keys.contains(&"parent") && keys.contains(&"user"), "explicit nulls: {event}");
        assert_eq!(keys.contains(&"change"), event["action"] == "changed", "{event}");
        assert_eq!(event["type"], event["resource"]["resource_type"]);
        let parented = event["action"] == "added" || event["action"] == "removed";
        assert_eq!(event["parent"].is_object(), parented, "{event}");
    }
    assert!(count(&|event| event["user"].is_null()) > 0);
    for action in ["added", "changed", "removed", "deleted", "undeleted"] {
        assert!(count(&|event| event["action"] == action) > 0, "{action}");
    }
    for part in ["new_value", "added_value", "removed_value"] {
        assert!(count(&|event| event["change"][part].is_object()) > 0, "{part}");
    }
    let of_projects = asana.simulator.projects().into_iter().flat_map(|project| events_of(&asana, &project));
    assert!(of_projects.filter(|event| event["change"]["new_value"]["enum_value"].is_object()).count() > 0);
}

#[tokio::test]
async fn the_deprecated_type_can_be_left_out() {
    let asana = Asana::start("{event_type: absent}").await;
    asana.post("/actions", json!({"count": 50})).await;
    let events = all_events(&asana);
    assert!(events.len() >= 50);
    assert!(events.iter().all(|event| event.get("type").is_none()));
}

#[tokio::test]
async fn live_events_come_at_the_rate_that_was_set() {
    let asana = Asana::start("{rate: 0}").await;
    let sync = asana.establish(&asana.project()).await;
    asana.post("/rate", json!({"events_per_second": 2_000})).await;
    let mut sync = sync;
    let mut seen = 0;
    // Ends by the test's own time limit if nothing ever comes.
    while seen < 100 {
        let got = asana.poll(&asana.project(), &sync).await;
        seen += got.data().len();
        sync = got.sync();
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    asana.simulator.set_rate(0.0);
    let settled = asana.ledger(&asana.workspace()).await["events"].as_array().unwrap().len();
    assert_eq!(asana.ledger(&asana.workspace()).await["events"].as_array().unwrap().len(), settled);
}

#[tokio::test]
async fn the_stream_of_a_watched_task_is_what_its_ledger_says() {
    let asana = lively(4).await;
    let project = asana.project();
    let task = gid(&asana.ok(&format!("/projects/{project}/tasks?limit=1")).await.data()[0]).to_owned();
    let sync = asana.establish(&task).await;
    asana.post("/actions", json!({"count": 1_000})).await;
    let (events, _) = asana.drain(&task, sync).await;
    let ledger = asana.ledger(&task).await;
    let from = usize::try_from(ledger["established_at"].as_u64().unwrap()).unwrap();
    assert_eq!(events, ledger["events"].as_array().unwrap()[from..]);
}

#[tokio::test]
async fn every_shipped_scenario_starts() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/scenarios");
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        let asana = Asana::start(&std::fs::read_to_string(&file).unwrap()).await;
        asana.ok("/workspaces").await;
    }
}

#[tokio::test]
async fn projects_are_made_changed_and_deleted_on_demand() {
    let asana = Asana::still().await;
    let workspace = asana.workspace();
    let listed = async |query: &str| {
        let path = format!("/workspaces/{workspace}/projects?opt_fields=name,archived{query}");
        asana.ok(&path).await.data().iter().map(|project| gid(project).to_owned()).collect::<Vec<_>>()
    };
    let before = listed("").await;
    let team = gid(&asana.ok(&format!("/workspaces/{workspace}/teams")).await.data()[1]).to_owned();
    let made = asana.post("/projects", json!({"name": "Moon", "team": team})).await;
    let new = gid(&made).to_owned();
    assert_eq!(listed("").await.len(), before.len() + 1);
    assert_eq!(asana.ok(&format!("/projects/{new}")).await.json()["data"]["team"]["gid"], team);
    let sync = asana.establish(&new).await;

    let changed = asana.post(&format!("/projects/{new}"), json!({"name": "Mars", "archived": true})).await;
    assert_eq!(changed, json!({"events": 2}));
    assert_eq!(listed("&archived=true").await, [new.as_str()]);
    let (events, sync) = asana.drain(&new, sync).await;
    let fields: Vec<_> = events.iter().map(|event| event["change"]["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["name", "archived"]);
    assert_eq!(events[1]["resource"]["name"], "Mars");

    assert_eq!(asana.post(&format!("/projects/{new}"), json!({"deleted": true})).await, json!({"events": 1}));
    assert_eq!(listed("").await, before);
    assert!(!asana.ok(&format!("/teams/{team}/projects")).await.data().iter().any(|project| gid(project) == new));
    assert_eq!(asana.get(&format!("/projects/{new}")).await.status, 404);
    assert_eq!(asana.poll(&new, &sync).await.status, 404);
    let last = events_of(&asana, &workspace).pop().unwrap();
    assert_eq!((gid(&last["resource"]), &last["action"]), (new.as_str(), &json!("deleted")));

    assert_eq!(asana.try_post("/projects/1", "{}".to_owned()).await.status, 404);
    assert_eq!(asana.try_post("/projects", r#"{"team":"1"}"#.to_owned()).await.status, 404);
    assert_eq!(asana.try_post("/projects", r#"{"teem":"1"}"#.to_owned()).await.status, 400);
}
