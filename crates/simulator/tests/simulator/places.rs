//! Tasks in no project, what is trashed with a task, and changes that move no `modified_at`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::Asana;

async fn status(asana: &Asana, path: &str) -> u16 {
    asana.get(path).await.status
}

async fn listed(asana: &Asana, path: &str) -> Vec<String> {
    asana.ok(path).await.data().iter().map(|item| item["gid"].as_str().unwrap().to_owned()).collect()
}

async fn record(asana: &Asana, path: &str) -> Value {
    asana.ok(path).await.json()["data"].clone()
}

/// Events that a stream has been offered, by action and the parent's type.
fn told(asana: &Asana, stream: &str, task: &str) -> Vec<String> {
    let events = asana.simulator.ledger(stream);
    let of_task = events.iter().filter(|event| event["resource"]["gid"] == *task);
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    of_task.map(|event| format!("{} {}", text(&event["action"]), text(&event["parent"]["resource_type"]))).collect()
}

#[tokio::test]
async fn a_task_taken_out_of_its_last_project_lives_in_the_workspace() {
    let asana = Asana::still().await;
    let (project, workspace) = (asana.project(), asana.workspace());
    let path = format!("/projects/{project}/tasks");
    let task = listed(&asana, &path).await[3].clone();
    asana.post(&format!("/tasks/{task}"), json!({"take_out_of": project})).await;
    assert_eq!(told(&asana, &project, &task), ["removed project"]);
    assert!(!listed(&asana, &path).await.contains(&task));
    let alone = record(&asana, &format!("/tasks/{task}")).await;
    assert_eq!((&alone["memberships"], &alone["projects"]), (&json!([]), &json!([])));
    asana.post(&format!("/tasks/{task}"), json!({"name": "Lonely"})).await;
    assert_eq!(told(&asana, &project, &task).len(), 1, "the project sees no more of it");
    assert_eq!(told(&asana, &workspace, &task), ["removed project", "changed -"]);
    let other = asana.simulator.projects()[1].clone();
    asana.post(&format!("/tasks/{task}"), json!({"add_to": other})).await;
    assert!(listed(&asana, &format!("/projects/{other}/tasks")).await.contains(&task));
}

#[tokio::test]
async fn a_task_of_my_tasks_is_seen_by_its_own_stream_and_the_workspace() {
    let asana = Asana::still().await;
    let task = asana.post("/tasks", json!({})).await["gid"].as_str().unwrap().to_owned();
    assert_eq!(told(&asana, &asana.workspace(), &task), ["added workspace", "changed -"]);
    assert_eq!(told(&asana, &task, &task).len(), 2);
    let record = record(&asana, &format!("/tasks/{task}")).await;
    let assignee = record["assignee"]["gid"].as_str().unwrap();
    let mine = format!("/tasks?assignee={assignee}&workspace={}", asana.workspace());
    assert!(listed(&asana, &mine).await.contains(&task));
    for project in asana.simulator.projects() {
        assert!(told(&asana, &project, &task).is_empty());
    }
}

#[tokio::test]
async fn users_act_on_tasks_in_no_project() {
    let asana = Asana::still().await;
    asana.post("/actions", json!({"count": 2_000})).await;
    let events = asana.simulator.ledger(&asana.workspace());
    let own = events.iter().filter(|event| event["parent"]["resource_type"] == "workspace");
    let own: BTreeSet<_> = own.filter_map(|event| event["resource"]["gid"].as_str()).collect();
    let acted = events.iter().filter(|event| {
        own.contains(event["resource"]["gid"].as_str().unwrap()) && event["change"]["field"] == "completed"
    });
    assert!(own.len() > 10 && acted.count() > 3, "{}", own.len());
}

#[tokio::test]
async fn with_a_task_goes_all_that_is_below_it() {
    let asana = Asana::still().await;
    let project = asana.project();
    let task = listed(&asana, &format!("/projects/{project}/tasks")).await[0].clone();
    let make =
        async |parent: &str| asana.post("/tasks", json!({"parent": parent})).await["gid"].as_str().unwrap().to_owned();
    let child = make(&task).await;
    let grandchild = make(&child).await;
    let sections = listed(&asana, &format!("/projects/{project}/sections")).await;
    asana.post(&format!("/tasks/{task}"), json!({"section": sections[2]})).await;
    let story = listed(&asana, &format!("/tasks/{task}/stories")).await[0].clone();
    let shown = record(&asana, &format!("/stories/{story}")).await;
    let target = &shown["target"];
    assert_eq!((&target["gid"], &target["resource_type"]), (&json!(task), &json!("task")));
    assert!(target["name"].is_string());

    let below = [
        format!("/tasks/{task}"),
        format!("/tasks/{child}"),
        format!("/tasks/{grandchild}"),
        format!("/stories/{story}"),
        format!("/tasks/{task}/stories"),
        format!("/tasks/{grandchild}/subtasks"),
        format!("/attachments?parent={child}"),
    ];
    asana.post(&format!("/tasks/{task}"), json!({"trashed": true})).await;
    for path in &below {
        assert_eq!(status(&asana, path).await, 404, "{path}");
    }
    assert_eq!(told(&asana, &project, &child), ["added task"], "Asana tells of the task alone");
    asana.post(&format!("/tasks/{task}"), json!({"trashed": false})).await;
    for path in &below {
        assert_eq!(status(&asana, path).await, 200, "{path}");
    }
}

#[tokio::test]
async fn an_attachment_is_found_by_itself_and_names_its_task() {
    let asana = Asana::still().await;
    asana.post("/actions", json!({"count": 500})).await;
    let events = asana.simulator.ledger(&asana.workspace());
    let mut found = 0;
    for event in events.iter().filter(|event| event["change"]["field"] == "attachments") {
        let path = format!("/attachments/{}", event["change"]["added_value"]["gid"].as_str().unwrap());
        let task = &event["resource"]["gid"];
        let got = asana.get(&path).await;
        assert_eq!(got.status, status(&asana, &format!("/tasks/{}", task.as_str().unwrap())).await);
        if got.status == 200 {
            found += 1;
            assert_eq!(got.json()["data"]["parent"]["gid"], *task);
        }
    }
    assert!(found > 3, "{found}");
}

#[tokio::test]
async fn a_deleted_project_takes_its_sections_along_and_its_tasks_live_on() {
    let asana = Asana::still().await;
    let project = asana.project();
    let section = listed(&asana, &format!("/projects/{project}/sections")).await[0].clone();
    let task = listed(&asana, &format!("/projects/{project}/tasks")).await[0].clone();
    assert_eq!(status(&asana, &format!("/sections/{section}")).await, 200);
    asana.post(&format!("/projects/{project}"), json!({"deleted": true})).await;
    for path in ["projects", "projects/tasks"]
        .map(|path| format!("/{}", path.replace("projects", &format!("projects/{project}"))))
    {
        assert_eq!(status(&asana, &path).await, 404, "{path}");
    }
    assert_eq!(status(&asana, &format!("/sections/{section}")).await, 404);
    assert_eq!(status(&asana, &format!("/sections/{section}/tasks")).await, 404);
    assert_eq!(record(&asana, &format!("/tasks/{task}")).await["memberships"], json!([]));
}

#[tokio::test]
async fn tags_dependencies_and_likes_move_no_modified_at_and_some_are_told_by_nobody() {
    let asana = Asana::start("{start: '2026-01-01T00:00:00Z', speed: 0, world: {projects: 20}}").await;
    asana.post("/clock", json!({"advance": "1h"})).await;
    asana.post("/actions", json!({"count": 400})).await;
    let events = asana.simulator.ledger(&asana.workspace());
    let changes = |field: &str| events.iter().filter(|event| event["change"]["field"] == field).count();
    assert!(changes("tags") > 3);
    assert_eq!((changes("dependencies"), changes("num_likes"), changes("likes")), (0, 0, 0));
    let named = events.iter().flat_map(|event| [&event["resource"]["gid"], &event["parent"]["gid"]]);
    let told: BTreeSet<_> = named.filter_map(Value::as_str).collect();
    let (mut liked, mut depending, mut tagged, mut silent) = (0, 0, 0, 0);
    for project in asana.simulator.projects() {
        let fields = "created_at,modified_at,num_likes,dependencies,tags,tags.name";
        for task in asana.ok(&format!("/projects/{project}/tasks?opt_fields={fields}")).await.data() {
            let [tags, dependencies] = [&task["tags"], &task["dependencies"]].map(|list| list.as_array().unwrap());
            let likes = task["num_likes"].as_u64().unwrap() > 0;
            liked += usize::from(likes);
            tagged += usize::from(!tags.is_empty());
            depending += usize::from(!dependencies.is_empty());
            assert!(tags.iter().all(|tag| tag["resource_type"] == "tag" && tag["name"].is_string()));
            if (likes || !tags.is_empty() || !dependencies.is_empty()) && !told.contains(task["gid"].as_str().unwrap())
            {
                silent += 1;
                assert_eq!(task["modified_at"], task["created_at"]);
            }
        }
    }
    assert!(liked > 2 && depending > 2 && tagged > 2 && silent > 1, "{liked} {depending} {tagged} {silent}");
}
