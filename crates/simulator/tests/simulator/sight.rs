//! Tokens that see different parts of the world.

use serde_json::json;

use crate::Asana;

const TWO: &str = "{world: {workspaces: 2, teams: 2, projects: 4}, tokens: [\
    {token: simulator, service_account: true}, \
    {token: narrow, service_account: true, unauthorized_workspaces: [1], hidden_projects: [2]}]}";

async fn first(asana: &Asana, path: &str) -> String {
    asana.ok(path).await.data()[0]["gid"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_workspace_that_has_switched_the_app_off_is_a_401_for_all_below_it() {
    let asana = Asana::start(TWO).await;
    let (workspaces, projects) = (asana.simulator.workspaces(), asana.simulator.projects());
    // Projects go to teams in turn, and these to workspaces.
    let (on, off) = (&projects[0], &projects[1]);
    let section = first(&asana, &format!("/projects/{off}/sections")).await;
    let task = first(&asana, &format!("/projects/{off}/tasks")).await;
    for path in [
        format!("/workspaces/{}", workspaces[1]),
        format!("/workspaces/{}/projects", workspaces[1]),
        format!("/projects?workspace={}", workspaces[1]),
        format!("/workspaces/{}/events", workspaces[1]),
        format!("/events?resource={off}"),
        format!("/projects/{off}/tasks?limit=5"),
        format!("/tasks?project={off}"),
        format!("/sections/{section}/tasks"),
        format!("/tasks/{task}"),
        format!("/attachments?parent={task}"),
    ] {
        let got = asana.get_as("narrow", &path).await;
        assert_eq!((got.status, got.message().as_str()), (401, "Not Authorized"), "{path}");
        assert_ne!(asana.get(&path).await.status, 401, "{path}");
    }
    assert_eq!(asana.get_as("narrow", "/users/me").await.status, 200, "the token itself is fine");
    assert_eq!(asana.get_as("narrow", &format!("/events?resource={on}")).await.status, 412);
}

#[tokio::test]
async fn what_a_token_may_not_see_is_a_403_and_in_no_list() {
    let asana = Asana::start(TWO).await;
    let (workspace, projects) = (asana.workspace(), asana.simulator.projects());
    let hidden = &projects[2];
    let task = first(&asana, &format!("/projects/{hidden}/tasks")).await;
    for (path, message) in [
        (format!("/projects/{hidden}"), "You do not have access to this project."),
        (format!("/projects/{hidden}/tasks?limit=5"), "You do not have access to this project."),
        (format!("/events?resource={hidden}"), "You do not have access to this project."),
        (format!("/tasks/{task}"), "You do not have access to this task."),
        (format!("/events?resource={task}"), "You do not have access to this task."),
    ] {
        let got = asana.get_as("narrow", &path).await;
        assert_eq!((got.status, got.message().as_str()), (403, message), "{path}");
    }
    let path = format!("/workspaces/{workspace}/projects?limit=100");
    assert_eq!(asana.get_as("narrow", &path).await.data().len() + 1, asana.ok(&path).await.data().len());
    asana.post(&format!("/tasks/{task}"), json!({"add_to": projects[0]})).await;
    assert_eq!(asana.get_as("narrow", &format!("/tasks/{task}")).await.status, 200, "seen from another project");
    asana.post("/tokens", json!({"token": "narrow", "hidden_projects": [0, 2]})).await;
    assert_eq!(asana.get_as("narrow", &format!("/tasks/{task}")).await.status, 403);
    asana.post("/tokens", json!({"token": "narrow"})).await;
    assert_eq!(asana.get_as("narrow", &format!("/projects/{hidden}")).await.status, 200);
}

#[tokio::test]
async fn a_resource_may_be_blocked_by_law_for_a_while() {
    let asana = Asana::still().await;
    let project = asana.project();
    asana.fault(json!({"kind": "status", "status": 451, "resource": project, "count": 1})).await;
    assert_eq!(asana.get("/users/me").await.status, 200);
    assert_eq!(asana.get(&format!("/events?resource={project}")).await.status, 451);
    assert_eq!(asana.get(&format!("/events?resource={project}")).await.status, 412);
}
