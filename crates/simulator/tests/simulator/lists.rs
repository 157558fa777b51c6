//! Objects and lists: pages, offsets, filters, and what moves `modified_at`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::Asana;

fn gids(items: &[Value]) -> Vec<String> {
    items.iter().map(|item| item["gid"].as_str().unwrap().to_owned()).collect()
}

/// A whole list by pages.
async fn crawl(asana: &Asana, path: &str, limit: usize) -> Vec<Value> {
    let mut all = Vec::new();
    let mut offset = String::new();
    loop {
        let page = asana.ok(&format!("{path}limit={limit}{offset}")).await;
        assert!(page.data().len() <= limit);
        all.extend(page.data());
        let next = &page.json()["next_page"];
        let Some(next) = next["offset"].as_str() else {
            assert_eq!(next, &json!(null));
            return all;
        };
        offset = format!("&offset={next}");
    }
}

#[tokio::test]
async fn pages_add_up_to_the_list_without_doubles() {
    let asana = Asana::still().await;
    let path = format!("/projects/{}/tasks?", asana.project());
    let whole = asana.ok(&path).await;
    assert!(whole.json().get("next_page").is_none(), "no limit, no next_page");
    assert_eq!(whole.data().len(), 20);
    assert_eq!(crawl(&asana, &path, 7).await, whole.data());
    assert_eq!(crawl(&asana, &path, 20).await, whole.data());
}

#[tokio::test]
async fn the_next_page_can_be_fetched_by_its_uri() {
    let asana = Asana::still().await;
    let path = format!("/projects/{}/tasks?opt_fields=name,completed&limit=15", asana.project());
    let next = &asana.ok(&path).await.json()["next_page"];
    let uri = next["uri"].as_str().unwrap();
    assert!(uri.ends_with(next["path"].as_str().unwrap()));
    let got = reqwest::Client::new().get(uri).bearer_auth("simulator").send().await.unwrap();
    let body: Value = serde_json::from_str(&got.text().await.unwrap()).unwrap();
    assert_eq!(body["data"].as_array().unwrap().len(), 5);
    assert!(body["data"][0]["completed"].is_boolean(), "fields go along");
}

#[tokio::test]
async fn an_offset_expires_and_is_good_for_its_own_list_only() {
    let asana = Asana::still().await;
    let projects = asana.simulator.projects();
    let path = |n: usize| format!("/projects/{}/tasks?limit=5", projects[n]);
    let offset = async || asana.ok(&path(0)).await.json()["next_page"]["offset"].as_str().unwrap().to_owned();
    let expect = async |path: String, message: &str| {
        let got = asana.get(&path).await;
        assert_eq!((got.status, got.message().as_str()), (400, message), "{path}");
    };
    let first = offset().await;
    expect(format!("{}&offset={first}", path(1)), "offset: Your pagination token is invalid.").await;
    expect(format!("{}&offset=0", path(0)), "offset: Your pagination token is invalid.").await;
    asana.post("/clock", json!({"advance": "14m"})).await;
    asana.ok(&format!("{}&offset={first}", path(0))).await;
    asana.post("/clock", json!({"advance": "1m"})).await;
    expect(format!("{}&offset={first}", path(0)), "offset: Your pagination token has expired.").await;
    let second = offset().await;
    asana.fault(json!({"kind": "expire_offsets"})).await;
    expect(format!("{}&offset={second}", path(0)), "offset: Your pagination token has expired.").await;
}

#[tokio::test]
async fn a_limit_is_from_1_to_100() {
    let asana = Asana::still().await;
    for limit in ["0", "101", "x"] {
        assert_eq!(asana.get(&format!("/projects?limit={limit}")).await.status, 400, "{limit}");
    }
    asana.ok("/projects?limit=100").await;
}

#[tokio::test]
async fn more_than_a_thousand_objects_need_pages() {
    let asana = Asana::start("{world: {projects: 1, tasks_per_project: 1001}}").await;
    let path = format!("/projects/{}/tasks?", asana.project());
    let got = asana.get(&path).await;
    assert_eq!(got.status, 400);
    assert!(got.message().starts_with("The result is too large."), "{}", got.message());
    assert_eq!(crawl(&asana, &path, 100).await.len(), 1_001);
}

#[tokio::test]
async fn every_project_is_found_through_workspaces_and_teams() {
    let asana = Asana::start("{world: {workspaces: 2, teams: 4, projects: 9}}").await;
    let mut by_workspace = BTreeSet::new();
    let mut by_team = BTreeSet::new();
    for workspace in gids(&asana.ok("/workspaces").await.data()) {
        let listed = asana.ok(&format!("/workspaces/{workspace}/projects")).await.data();
        assert_eq!(listed, asana.ok(&format!("/projects?workspace={workspace}")).await.data());
        by_workspace.extend(gids(&listed));
        for team in gids(&asana.ok(&format!("/workspaces/{workspace}/teams")).await.data()) {
            by_team.extend(gids(&asana.ok(&format!("/teams/{team}/projects")).await.data()));
            let members = asana.ok(&format!("/memberships?member={team}")).await.data();
            assert!(members.iter().all(|membership| by_team.contains(membership["parent"]["gid"].as_str().unwrap())));
        }
    }
    let all: BTreeSet<_> = asana.simulator.projects().into_iter().collect();
    assert_eq!((&by_workspace, &by_team), (&all, &all));
}

#[tokio::test]
async fn sections_share_out_the_tasks_of_a_project() {
    let asana = Asana::still().await;
    asana.post("/actions", json!({"count": 300})).await;
    let project = asana.project();
    let mut by_section = BTreeSet::new();
    for section in gids(&asana.ok(&format!("/projects/{project}/sections")).await.data()) {
        let tasks = asana.ok(&format!("/sections/{section}/tasks")).await.data();
        assert_eq!(tasks, asana.ok(&format!("/tasks?section={section}")).await.data());
        by_section.extend(gids(&tasks));
    }
    let tasks = gids(&asana.ok(&format!("/projects/{project}/tasks")).await.data());
    assert_eq!(by_section, tasks.into_iter().collect());
}

#[tokio::test]
async fn modified_since_shows_what_changed_and_never_what_was_deleted() {
    let asana = Asana::still().await;
    let project = asana.project();
    asana.post("/clock", json!({"advance": "1h"})).await;
    let since = "2026-01-01T00:30:00Z";
    let path = format!("/tasks?project={project}&modified_since={since}");
    assert!(asana.ok(&path).await.data().is_empty());
    asana.post("/actions", json!({"count": 2_000})).await;
    let changed = asana.ok(&format!("{path}&opt_fields=modified_at")).await.data();
    assert!(!changed.is_empty());
    let listed = gids(&asana.ok(&format!("/projects/{project}/tasks")).await.data());
    let mut deleted = BTreeSet::new();
    for event in asana.simulator.ledger(&project) {
        let gid = event["resource"]["gid"].as_str().unwrap().to_owned();
        if event["action"] == "deleted" {
            deleted.insert(gid);
        } else if event["action"] == "undeleted" {
            deleted.remove(&gid);
        }
    }
    assert!(!deleted.is_empty());
    for task in &changed {
        assert!(listed.contains(&gids(std::slice::from_ref(task))[0]));
        assert!(!deleted.contains(task["gid"].as_str().unwrap()));
        assert!(task["modified_at"].as_str().unwrap() >= since);
    }
    for gid in deleted {
        assert_eq!(asana.get(&format!("/tasks/{gid}")).await.status, 404);
    }
}

#[tokio::test]
async fn a_change_of_project_does_not_move_modified_at() {
    let asana = Asana::still().await;
    asana.post("/clock", json!({"advance": "1h"})).await;
    asana.post("/actions", json!({"count": 400})).await;
    let events = asana.simulator.ledger(&asana.workspace());
    let mut kinds: std::collections::BTreeMap<String, Vec<Value>> = std::collections::BTreeMap::new();
    for event in events {
        let gid = event["resource"]["gid"].as_str().unwrap().to_owned();
        kinds.entry(gid).or_default().push(event);
    }
    let mut moved_only = 0;
    for (gid, events) in kinds {
        let only_places = events
            .iter()
            .all(|event| event["parent"]["resource_type"] == "project" && event["resource"]["resource_type"] == "task");
        let task = asana.get(&format!("/tasks/{gid}")).await;
        if !only_places || task.status != 200 || task.json()["data"]["created_at"] != "2026-01-01T00:00:00.000Z" {
            continue;
        }
        let stories = asana.ok(&format!("/tasks/{gid}/stories")).await.data();
        let task = &task.json()["data"];
        if stories.is_empty() && task["attachments"].is_null() {
            moved_only += 1;
            assert_eq!(task["modified_at"], task["created_at"], "{events:?}");
        }
    }
    assert!(moved_only > 0, "no task was only moved: choose another seed");
}

#[tokio::test]
async fn fields_reach_into_lists_and_objects() {
    let asana = Asana::still().await;
    let path =
        format!("/projects/{}/tasks?limit=1&opt_fields=name,memberships.section.name,created_by", asana.project());
    let task = asana.ok(&path).await.data()[0].clone();
    let keys: Vec<_> = task.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["created_by", "gid", "memberships", "name"]);
    assert_eq!(task["memberships"][0]["section"]["name"], "To do");
    assert!(task["memberships"][0].get("project").is_none());
    assert!(task["created_by"].get("name").is_none());
}

#[tokio::test]
async fn a_task_list_wants_a_scope() {
    let asana = Asana::still().await;
    let got = asana.get("/tasks?limit=5").await;
    assert_eq!(got.status, 400);
    assert_eq!(got.message(), "You should specify one of workspace, project, tag, section, user_task_list");
    let portfolios = asana.get("/portfolios").await;
    assert_eq!((portfolios.status, portfolios.message().as_str()), (400, "workspace: Missing input"));
}

#[tokio::test]
async fn a_private_token_needs_an_owner_for_portfolios() {
    let asana = Asana::start("{tokens: [{token: simulator, service_account: true}, {token: user}]}").await;
    let path = format!("/portfolios?workspace={}", asana.workspace());
    assert_eq!(asana.get_as("user", &path).await.status, 400);
    assert!(!asana.get_as("user", &format!("{path}&owner=me")).await.data().is_empty());
    let portfolio = gids(&asana.ok(&path).await.data())[0].clone();
    assert!(!asana.ok(&format!("/portfolios/{portfolio}/items")).await.data().is_empty());
}
