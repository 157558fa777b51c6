//! Status, headers and body → what a listing returned.
//!
//! Nothing is dropped for its shape: a body of which one item can't be read passes no page.

use super::http::Answer;
use super::wire::{list_page, object, refusal};
use crate::core::listing::{Item, ListOutcome, ListPage, What};
use crate::core::page::Failure;
use crate::pb;
use chrono::{DateTime, Utc};
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::fmt::Write as _;

#[derive(Deserialize)]
struct ObjectBody<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
}

/// What is read of an object; all of it goes on as text.
#[derive(Deserialize)]
struct Object {
    gid: String,
    resource_type: String,
    name: Option<String>,
    resource_subtype: Option<String>,
    modified_at: Option<String>,
    #[serde(default)]
    parent: Option<Reference>,
    memberships: Option<Vec<Membership>>,
    num_subtasks: Option<u32>,
    archived: Option<bool>,
}

#[derive(Deserialize)]
struct Reference {
    gid: String,
}

#[derive(Deserialize)]
struct Membership {
    project: Option<Reference>,
    section: Option<Reference>,
}

/// What `answer` says to a listing of `what` that began at `offset`.
pub(super) fn outcome(what: What, offset: Option<&str>, answer: Answer, received_at: DateTime<Utc>) -> ListOutcome {
    match answer.status {
        StatusCode::OK => answer
            .body
            .and_then(|body| page(what, offset, &body, received_at))
            .map_or_else(ListOutcome::Failed, ListOutcome::Page),
        StatusCode::BAD_REQUEST if offset.is_some() => ListOutcome::OffsetExpired,
        _ => refusal(answer, received_at).into(),
    }
}

fn page(what: What, offset: Option<&str>, body: &[u8], received_at: DateTime<Utc>) -> Result<ListPage, Failure> {
    let (data, next_offset) = if what.is_object() {
        let ObjectBody { data } = object(body, "object")?;
        (vec![data], None)
    } else {
        list_page(body, offset)?
    };
    let items = data.into_iter().map(item).collect::<Result<_, _>>()?;
    Ok(ListPage { items, next_offset, received_at, bytes: body.len() })
}

fn item(raw: &RawValue) -> Result<Item, Failure> {
    let shown: Object = object(raw.get().as_bytes(), "Asana object")?;
    if shown.gid.is_empty() {
        return Err(Failure::Malformed("an object has an empty gid".into()));
    }
    let modified_at = shown.modified_at.as_deref().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    Ok(Item {
        membership: membership(&shown),
        state_json: raw.get().to_owned(),
        modified_at: modified_at.map(|time| time.to_utc()),
        num_subtasks: shown.num_subtasks.unwrap_or(0),
        archived: shown.archived.unwrap_or(false),
        resource: pb::Resource {
            gid: shown.gid,
            resource_type: shown.resource_type,
            name: shown.name,
            resource_subtype: shown.resource_subtype,
        },
    })
}

/// `of <parent> in <project>/<section> …`, by gid and in their order: neither a new name of a project nor another
/// order of the same places moves a task.
fn membership(shown: &Object) -> String {
    let mut text = String::new();
    if shown.resource_type != "task" {
        return text;
    }
    if let Some(parent) = &shown.parent {
        text.push_str("of ");
        text.push_str(&parent.gid);
    }
    let gid = |reference: &Option<Reference>| reference.as_ref().map_or(String::new(), |it| it.gid.clone());
    let memberships = shown.memberships.iter().flatten();
    let mut places: Vec<_> = memberships.map(|place| (gid(&place.project), gid(&place.section))).collect();
    places.sort();
    for (project, section) in places {
        let space = if text.is_empty() { "" } else { " " };
        // Writing to a string can't fail.
        write!(text, "{space}in {project}/{section}").ok();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(what: What, body: &str) -> Result<ListPage, Failure> {
        page(what, None, body.as_bytes(), DateTime::UNIX_EPOCH)
    }

    fn task(rest: &str) -> Item {
        let text = format!(r#"{{"gid":"1","resource_type":"task",{rest}}}"#);
        let mut page = read(What::Task, &format!(r#"{{"data":{text}}}"#)).unwrap();
        assert_eq!(page.items[0].state_json, text);
        page.items.remove(0)
    }

    #[test]
    fn an_item_has_all_that_is_known_of_it() {
        let text = r#"{ "gid":"7", "resource_type":"task","resource_subtype":"milestone","name":"A\u0301 \"b\"",
            "modified_at":"2026-01-02T03:04:05.678Z", "num_subtasks":3,"n":1.0,"big":1e400, "archived":false}"#;
        let page = read(What::Tasks, &format!(r#"{{"data":[{text}],"next_page":{{"offset":"eyJ0","path":"/"}}}}"#));
        let page = page.unwrap();
        assert_eq!(page.next_offset.as_deref(), Some("eyJ0"));
        let item = &page.items[0];
        assert_eq!(item.state_json, text, "byte for byte");
        assert_eq!(item.resource.name.as_deref(), Some("A\u{301} \"b\""));
        assert_eq!(item.resource.resource_subtype.as_deref(), Some("milestone"));
        assert_eq!(item.modified_at.unwrap().to_rfc3339(), "2026-01-02T03:04:05.678+00:00");
        assert_eq!((item.num_subtasks, item.archived, item.membership.as_str()), (3, false, ""));
    }

    #[test]
    fn a_place_is_told_by_gids_alone_and_in_one_order() {
        let here = r#""memberships":[
            {"project":{"gid":"20","name":"B"},"section":{"gid":"21"}},
            {"project":{"gid":"10","name":"A"},"section":null}]"#;
        let renamed = r#""memberships":[
            {"section":null,"project":{"gid":"10","name":"Z"}},
            {"project":{"gid":"20","name":"B"},"section":{"gid":"21"}}]"#;
        assert_eq!(task(here).membership, "in 10/ in 20/21");
        assert_eq!(task(here).membership, task(renamed).membership);
        assert_eq!(task(r#""parent":{"gid":"5","name":"x"}"#).membership, "of 5");
        assert_eq!(task(&format!(r#""parent":{{"gid":"5"}},{here}"#)).membership, "of 5 in 10/ in 20/21");
        assert_eq!(task(r#""parent":null,"memberships":[]"#).membership, "");
        let attachment = r#"{"data":[{"gid":"1","resource_type":"attachment","parent":{"gid":"5"}}]}"#;
        assert_eq!(read(What::Attachments, attachment).unwrap().items[0].membership, "");
    }

    #[test]
    fn the_last_page_has_no_next_and_nothing_leads_to_itself() {
        for last in [r#"{"data":[],"next_page":null}"#, r#"{"data":[]}"#] {
            assert_eq!(read(What::Tasks, last).unwrap().next_offset, None);
        }
        let same = br#"{"data":[],"next_page":{"offset":"a"}}"#;
        assert!(page(What::Tasks, Some("a"), same, DateTime::UNIX_EPOCH).is_err());
        assert!(page(What::Tasks, Some("b"), same, DateTime::UNIX_EPOCH).is_ok());
    }

    #[test]
    fn what_does_not_fit_is_malformed_and_quoted_nowhere() {
        for (what, body) in [
            (What::Tasks, r#"{"data":{"gid":"hunter2","resource_type":"task"}}"#),
            (What::Task, r#"{"data":[{"gid":"hunter2","resource_type":"task"}]}"#),
            (What::Tasks, r#"{"data":[{"gid":"1","resource_type":"task"},{"name":"hunter2","resource_type":"task"}]}"#),
            (What::Tasks, r#"{"data":[{"gid":"","resource_type":"hunter2"}]}"#),
            (What::Tasks, r#"{"data":[{"gid":1,"resource_type":"hunter2"}]}"#),
            (What::Tasks, r#"{"data":[{"gid":"1","name":"hunter2"}]}"#),
            (What::Tasks, r#"{"data":[["hunter2","task"]]}"#),
            (What::Tasks, r#"{"data":["hunter2"]}"#),
            (What::Tasks, r#"{"data":[{"gid":"1","resource_type":"task","memberships":"hunter2"}]}"#),
            (What::Tasks, r#"{"data":[],"next_page":{"path":"hunter2"}}"#),
            (What::Tasks, r#"{"data":[],"next_page":{"offset":""}}"#),
            (What::Tasks, r#"{"next_page":null}"#),
            (What::Tasks, "<html>hunter2"),
            (What::Task, r#"{"data":null}"#),
        ] {
            let Err(Failure::Malformed(text)) = read(what, body) else { panic!("{body} was read") };
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
}
