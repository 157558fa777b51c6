//! Lists in order of rank: offsets are places in it, and users drag tasks about.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::Asana;

fn gids(items: &[Value]) -> Vec<String> {
    items.iter().map(|item| item["gid"].as_str().unwrap().to_owned()).collect()
}

async fn listed(asana: &Asana, path: &str) -> Vec<String> {
    gids(&asana.ok(path).await.data())
}

/// One page, and what the next one is asked for with.
async fn page(asana: &Asana, path: &str, offset: Option<&str>) -> (Vec<String>, Option<String>) {
    let offset = offset.map(|offset| format!("&offset={offset}")).unwrap_or_default();
    let got = asana.ok(&format!("{path}?limit=5{offset}")).await;
    (gids(&got.data()), got.json()["next_page"]["offset"].as_str().map(str::to_owned))
}

#[tokio::test]
async fn who_is_dragged_to_the_top_meanwhile_is_on_no_page_and_who_is_dragged_down_on_two() {
    let asana = Asana::still().await;
    let project = asana.project();
    let path = format!("/projects/{project}/tasks");
    let before = listed(&asana, &path).await;
    let sync = asana.establish(&project).await;
    let (first, offset) = page(&asana, &path, None).await;
    let (up, down) = (before[17].clone(), first[0].clone());
    for (task, end) in [(&up, "top"), (&down, "bottom")] {
        let told = asana.post(&format!("/tasks/{task}"), json!({"drag_to": end})).await;
        assert_eq!(told, json!({"events": 0}), "of a drag within a section nothing is told");
    }
    let mut pages = vec![first];
    let mut offset = offset;
    while let Some(from) = offset {
        let (next, further) = page(&asana, &path, Some(&from)).await;
        pages.push(next);
        offset = further;
    }
    let seen = pages.concat();
    assert!(!seen.contains(&up));
    assert_eq!(seen.iter().filter(|gid| **gid == down).count(), 2);
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), before.len() - 1);
    let after = listed(&asana, &path).await;
    assert_eq!((after.first(), after.last()), (Some(&up), Some(&down)));
    assert!(asana.drain(&project, sync).await.0.is_empty());
    let dragged = asana.ok(&format!("/tasks/{up}")).await.json();
    assert_eq!(dragged["data"]["modified_at"], dragged["data"]["created_at"]);
}

#[tokio::test]
async fn a_drag_to_another_section_is_told_by_a_story() {
    let asana = Asana::still().await;
    let project = asana.project();
    asana.post("/clock", json!({"advance": "1h"})).await;
    let sections = listed(&asana, &format!("/projects/{project}/sections")).await;
    let task = listed(&asana, &format!("/projects/{project}/tasks")).await[0].clone();
    let sync = asana.establish(&project).await;
    asana.post(&format!("/tasks/{task}"), json!({"section": sections[1], "drag_to": "top"})).await;
    let (events, _) = asana.drain(&project, sync).await;
    assert_eq!(events.len(), 1);
    assert_eq!(
        (&events[0]["action"], &events[0]["resource"]["resource_subtype"]),
        (&json!("added"), &json!("section_changed"))
    );
    assert_eq!(events[0]["parent"]["gid"], json!(task));
    let record = asana.ok(&format!("/tasks/{task}")).await.json()["data"].clone();
    assert_eq!(record["memberships"][0]["section"]["gid"], json!(sections[1]));
    assert_eq!(record["modified_at"], "2026-01-01T01:00:00.000Z", "as any story does");
    assert_eq!(listed(&asana, &format!("/sections/{}/tasks", sections[1])).await, std::slice::from_ref(&task));
    let whole = listed(&asana, &format!("/projects/{project}/tasks")).await;
    assert_eq!(whole.last(), Some(&task), "the second section is below the first");
}

#[tokio::test]
async fn a_project_lists_its_sections_one_after_the_other_and_a_rank_is_of_one_project() {
    let asana = Asana::still().await;
    asana.post("/actions", json!({"count": 600})).await;
    let mut orders = BTreeSet::new();
    for project in asana.simulator.projects() {
        let mut by_section = Vec::new();
        for section in listed(&asana, &format!("/projects/{project}/sections")).await {
            by_section.extend(listed(&asana, &format!("/sections/{section}/tasks")).await);
        }
        let whole = listed(&asana, &format!("/projects/{project}/tasks")).await;
        assert_eq!(whole, by_section);
        assert_eq!(whole, listed(&asana, &format!("/tasks?project={project}")).await);
        if whole.len() < 5 {
            continue;
        }
        let made: Vec<u64> = whole.iter().map(|gid| gid.parse().unwrap()).collect();
        orders.insert(made.is_sorted());
    }
    assert_eq!(orders, [false].into(), "nowhere in the order of making");
}

#[tokio::test]
async fn other_lists_stay_in_the_order_of_making() {
    let asana = Asana::still().await;
    asana.post("/actions", json!({"count": 600})).await;
    for path in ["/projects".to_owned(), format!("/projects/{}/sections", asana.project())] {
        let numbers: Vec<u64> = listed(&asana, &path).await.iter().map(|gid| gid.parse().unwrap()).collect();
        assert!(numbers.is_sorted(), "{path}");
    }
}

#[tokio::test]
async fn users_drag_tasks_within_sections_and_between_them() {
    let asana = Asana::still().await;
    let path = format!("/projects/{}/tasks", asana.project());
    let before = listed(&asana, &path).await;
    asana.post("/actions", json!({"count": 2_000})).await;
    let after = listed(&asana, &path).await;
    let stayed: Vec<_> = before.iter().filter(|gid| after.contains(gid)).collect();
    let order: Vec<_> = after.iter().filter(|gid| before.contains(gid)).collect();
    assert!(stayed.len() > 5 && stayed != order);
    let events = asana.simulator.ledger(&asana.workspace());
    let moves = events.iter().filter(|event| event["resource"]["resource_subtype"] == "section_changed");
    assert!(moves.count() > 20);
}
