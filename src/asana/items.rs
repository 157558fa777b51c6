//! Status, headers and body → what a listing returned.
//!
//! Nothing is dropped for its shape: a typed field that can't be read is left out, and the item's text is published
//! unchanged. An item without a gid can't be published. It is only counted.

use super::http::HttpAnswer;
use super::wire::{list_page, message, object, refusal};
use bridge_contract::pb;
use bridge_contract::time as core_time;
use bridge_core::ids::Gid;
use bridge_core::lenient::{self, string, typed};
use bridge_core::outcome::list::{Item, ListOutcome, ListPage, Listing, What};
use bridge_core::outcome::poll::Failure;
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

/// The fields of an object that the bridge reads, each key on its own. The whole object is published as text.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Object<'a> {
    #[serde(borrow)]
    gid: Option<&'a RawValue>,
    #[serde(borrow)]
    resource_type: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    resource_subtype: Option<&'a RawValue>,
    #[serde(borrow)]
    created_at: Option<&'a RawValue>,
    #[serde(borrow)]
    modified_at: Option<&'a RawValue>,
    #[serde(borrow)]
    parent: Option<&'a RawValue>,
    #[serde(borrow)]
    target: Option<&'a RawValue>,
    #[serde(borrow)]
    project: Option<&'a RawValue>,
    #[serde(borrow)]
    workspace: Option<&'a RawValue>,
    #[serde(borrow)]
    projects: Option<&'a RawValue>,
    #[serde(borrow)]
    memberships: Option<&'a RawValue>,
    #[serde(borrow)]
    num_subtasks: Option<&'a RawValue>,
    #[serde(borrow)]
    archived: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Reference<'a> {
    #[serde(borrow)]
    gid: Option<&'a RawValue>,
    #[serde(borrow)]
    resource_type: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Membership<'a> {
    #[serde(borrow)]
    project: Option<&'a RawValue>,
    #[serde(borrow)]
    section: Option<&'a RawValue>,
}

/// What `answer` says to a listing of `what` that began at `offset`.
pub(super) fn outcome(what: What, offset: Option<&str>, answer: HttpAnswer, received_at: DateTime<Utc>) -> ListOutcome {
    match answer.status {
        StatusCode::OK => answer
            .body
            .and_then(|body| page(what, offset, &body, received_at))
            .map_or_else(ListOutcome::Failed, ListOutcome::Page),
        StatusCode::BAD_REQUEST if offset.is_some() => bad_offset(answer, received_at),
        _ => refusal(answer, received_at).into(),
    }
}

/// Asana has two kinds of 400 for an offset, which differ in their message only: "offset: Your pagination token has
/// expired." (or "is invalid."), and one at the end of a list of tens of thousands (its guide "Errors").
fn bad_offset(answer: HttpAnswer, received_at: DateTime<Utc>) -> ListOutcome {
    match answer.body.as_deref().ok().and_then(message) {
        Some(text) if text.contains("offset") || text.contains("pagination token") => ListOutcome::OffsetExpired,
        Some(_) => ListOutcome::CutOff,
        None => refusal(answer, received_at).into(),
    }
}

fn page(what: What, offset: Option<&str>, body: &[u8], received_at: DateTime<Utc>) -> Result<ListPage, Failure> {
    let (data, next_offset): (Vec<&RawValue>, _) = if what.is_object() {
        let ObjectBody { data } = object(body, "object")?;
        (vec![data], None)
    } else {
        list_page(body, offset)?
    };
    let count = data.len();
    let items: Vec<_> = data.into_iter().filter_map(|raw| item(what, raw)).collect();
    let unidentified = count - items.len();
    if what.is_object() && unidentified > 0 {
        return Err(Failure::Malformed("the object has no gid".into()));
    }
    Ok(ListPage { items, unidentified, next_offset, received_at, bytes: body.len() })
}

/// An item of a list; `None` without a gid.
fn item(what: What, raw: &RawValue) -> Option<Item> {
    let shown: Object<'_> = lenient::object(raw.get())?;
    let gid = gid(shown.gid)?;
    let resource_type = string(shown.resource_type).unwrap_or_else(|| what.resource_type().to_owned());
    let part_of = part_of(&shown, &resource_type);
    Some(Item {
        membership: membership(&shown, &resource_type),
        within: within(&shown, part_of.as_ref()),
        part_of,
        state_json: raw.get().to_owned(),
        modified_at: time(shown.modified_at),
        created_at: time(shown.created_at),
        num_subtasks: typed(shown.num_subtasks).unwrap_or(0),
        archived: typed(shown.archived).unwrap_or(false),
        resource: pb::Resource {
            gid,
            resource_type,
            name: string(shown.name),
            resource_subtype: string(shown.resource_subtype),
        },
    })
}

/// A gid; `None` for an empty text.
fn gid(raw: Option<&RawValue>) -> Option<String> {
    lenient::gid(raw).filter(|gid| !gid.is_empty())
}

fn reference(raw: Option<&RawValue>) -> Option<Gid> {
    let reference: Reference<'_> = lenient::object(raw?.get())?;
    gid(reference.gid).map(Gid::from)
}

fn time(raw: Option<&RawValue>) -> Option<DateTime<Utc>> {
    core_time::parse(&string(raw)?)
}

fn part_of(shown: &Object<'_>, resource_type: &str) -> Option<Listing> {
    let (raw, usual) = match resource_type {
        "task" | "attachment" => (shown.parent, "task"),
        "section" => (shown.project, "project"),
        "story" => (shown.target, "task"),
        _ => return None,
    };
    let named: Reference<'_> = lenient::object(raw?.get())?;
    let resource_type = string(named.resource_type).unwrap_or_else(|| usual.to_owned());
    Some(Listing { of: reference(raw)?, what: What::alone(&resource_type)? })
}

fn within(shown: &Object<'_>, part_of: Option<&Listing>) -> Vec<Gid> {
    let projects: Vec<&RawValue> = typed(shown.projects).unwrap_or_default();
    let places = memberships(shown).into_iter().map(|(project, _)| project);
    let projects = projects.into_iter().map(|raw| reference(Some(raw)));
    let others = [reference(shown.workspace), part_of.map(|listing| listing.of.clone())];
    let mut within: Vec<_> = places.chain(projects).chain(others).flatten().collect();
    within.sort();
    within.dedup();
    within
}

fn memberships(shown: &Object<'_>) -> Vec<(Option<Gid>, Option<Gid>)> {
    let all: Vec<&RawValue> = typed(shown.memberships).unwrap_or_default();
    let read = |raw: &RawValue| {
        let Membership { project, section } = lenient::object(raw.get())?;
        Some((reference(project), reference(section)))
    };
    all.into_iter().filter_map(read).collect()
}

/// `of <parent> in <project>/<section> …`, by gid and in the order of the gids: neither a new name of a project nor
/// another order of the same places counts as a move.
fn membership(shown: &Object<'_>, resource_type: &str) -> String {
    let mut text = String::new();
    if resource_type != "task" {
        return text;
    }
    if let Some(parent) = reference(shown.parent) {
        text.push_str("of ");
        text.push_str(parent.as_str());
    }
    let gid = |gid: Option<Gid>| gid.map_or_else(String::new, |gid| gid.to_string());
    let places = memberships(shown).into_iter();
    let mut places: Vec<_> = places.map(|(project, section)| (gid(project), gid(section))).collect();
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
    fn an_item_that_does_not_fit_travels_as_it_is() {
        for (text, gid, resource_type) in [
            (r#"{"gid":1200,"resource_type":"task"}"#, "1200", "task"),
            (r#"{"gid":"1","name":"x"}"#, "1", "task"),
            (r#"{"gid":"1","resource_type":7,"name":["x"],"parent":"x","projects":{},"num_subtasks":-1}"#, "1", "task"),
            (r#"{"gid":"1","resource_type":"task","memberships":"x","modified_at":3,"archived":"no"}"#, "1", "task"),
            (r#"{"gid":"1","resource_type":"task","name":"\ud800"}"#, "1", "task"),
            (r#"{"gid":"1","resource_type":"strange"}"#, "1", "strange"),
        ] {
            let page = read(What::Tasks, &format!(r#"{{"data":[{text}]}}"#)).unwrap();
            let item = &page.items[0];
            assert_eq!(item.state_json, text);
            assert_eq!((item.resource.gid.as_str(), item.resource.resource_type.as_str()), (gid, resource_type));
        }
    }

    #[test]
    fn an_item_without_a_gid_is_counted_and_holds_up_no_other() {
        for text in [
            r#"{"name":"x"}"#,
            r#"{"gid":""}"#,
            r#"{"gid":null}"#,
            r#"{"gid":-1}"#,
            r#"["1","task"]"#,
            r#""1""#,
            "null",
        ] {
            let page = read(What::Tasks, &format!(r#"{{"data":[{text},{{"gid":"2"}}]}}"#)).unwrap();
            assert_eq!((page.unidentified, page.items.len()), (1, 1), "{text}");
        }
    }

    #[test]
    fn what_an_item_lies_in_is_told_by_gids() {
        let item = task(
            r#""parent":{"gid":"5"},"workspace":{"gid":"3"},"projects":[{"gid":"4"}],"memberships":[{"project":{"gid":"6"}}]"#,
        );
        assert_eq!(item.within, ["3", "4", "5", "6"].map(Gid::from));
        assert_eq!(item.part_of, Some(Listing { of: "5".into(), what: What::Task }));
        for (what, text, of) in [
            (
                What::Story,
                r#"{"gid":"1","resource_type":"story","target":{"gid":"5","resource_type":"goal"}}"#,
                What::Goal,
            ),
            (
                What::Attachment,
                r#"{"gid":"1","resource_type":"attachment","parent":{"gid":"5","resource_type":"project"}}"#,
                What::Project,
            ),
            (What::Section, r#"{"gid":"1","resource_type":"section","project":{"gid":"5"}}"#, What::Project),
        ] {
            let page = read(what, &format!(r#"{{"data":{text}}}"#)).unwrap();
            assert_eq!(page.items[0].part_of, Some(Listing { of: "5".into(), what: of }));
        }
    }

    #[test]
    fn what_does_not_fit_is_malformed_and_quoted_nowhere() {
        for (what, body) in [
            (What::Tasks, r#"{"data":{"gid":"hunter2","resource_type":"task"}}"#),
            (What::Task, r#"{"data":[{"gid":"hunter2","resource_type":"task"}]}"#),
            (What::Task, r#"{"data":{"name":"hunter2"}}"#),
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
