//! URLs, and the fields that they request.

use super::look::Look;
use bridge_core::ids::{Gid, StreamId, StreamKind, SyncToken};
use bridge_core::outcome::list::{Listing, What};
use bridge_core::outcome::poll::PollForm;
use std::sync::LazyLock;
use url::Url;

/// The fields of each event: all that Asana's OpenAPI description lists for `/events` (`fc9f8dc`, 2026-06-11), because
/// a request for some fields leaves out the others; and the types of the objects, which the description doesn't list
/// but answers have.
///
/// [`event_fields`] adds the fields of [`VALUE`] for each value of a change.
///
/// `/workspaces/{gid}/events` lists no `opt_fields`, so none are sent there.
const EVENT: &str = "action,change,change.action,change.field,created_at,\
    parent,parent.name,parent.resource_subtype,parent.resource_type,\
    resource,resource.name,resource.resource_subtype,resource.resource_type,\
    type,user,user.name,user.resource_type";

/// The keys of a change that have a value.
const VALUES: [&str; 3] = ["change.added_value", "change.new_value", "change.removed_value"];

/// The fields of each value. Without them, a value would have only its gid and type. Values are objects of many types,
/// custom fields among them. The names are those of the compact forms (`CustomFieldCompact`, `EnumOption`, …) in the
/// same description.
const VALUE: &[&str] = &[
    "resource_type",
    "resource_subtype",
    "name",
    "type",
    "display_value",
    "date_value",
    "date_value.date",
    "date_value.date_time",
    "enum_value",
    "enum_value.name",
    "multi_enum_values",
    "multi_enum_values.name",
    "number_value",
    "people_value",
    "people_value.name",
    "reference_value",
    "reference_value.name",
    "text",
    "text_value",
    "title",
];

/// All fields of an event: 2,400 bytes of a URL. Servers commonly accept 8,000.
fn event_fields() -> String {
    let mut fields = EVENT.to_owned();
    for value in VALUES {
        fields.push(',');
        fields.push_str(value);
        for field in VALUE {
            for part in [",", value, ".", field] {
                fields.push_str(part);
            }
        }
    }
    fields
}

// The fields of the objects: those that the same description lists, and always their type, which it doesn't list. Left
// out are fields that depend on the user (`liked`), that change with each request (signed URLs), that are resources of
// their own (the members of a project), that repeat another field in reverse (`dependents`), definitions of custom
// fields, and what Asana calls deprecated.

const TASK: &[&str] = &[
    "resource_type,resource_subtype,name,actual_time_minutes,approval_status,assigned_by,assigned_by.name",
    "assignee,assignee.name,completed,completed_at,completed_by,completed_by.name,created_at,created_by",
    "custom_type,custom_type.name,custom_type_status_option,custom_type_status_option.name,dependencies,due_at,due_on",
    "followers,followers.name,html_notes,is_rendered_as_separator,memberships.project,memberships.project.name",
    "memberships.section,memberships.section.name,modified_at,notes,num_likes,num_subtasks",
    "parent,parent.name,parent.resource_subtype,permalink_url,projects,projects.name,start_at,start_on",
    "tags,tags.name,workspace,workspace.name",
    CUSTOM_FIELDS,
    "custom_fields.people_value,custom_fields.people_value.name,custom_fields.reference_value",
    "custom_fields.reference_value.name,custom_fields.resource_subtype",
];

const CUSTOM_FIELDS: &str = "custom_fields,custom_fields.name,custom_fields.type,custom_fields.display_value,\
    custom_fields.date_value,custom_fields.date_value.date,custom_fields.date_value.date_time,\
    custom_fields.enum_value,custom_fields.enum_value.name,custom_fields.multi_enum_values,\
    custom_fields.multi_enum_values.name,custom_fields.number_value,custom_fields.text_value";

const PROJECT: &[&str] = &[
    "resource_type,name,archived,color,completed,completed_at,completed_by,completed_by.name,created_at",
    "current_status_update,current_status_update.resource_subtype,current_status_update.title,default_view,due_on",
    "html_notes,icon,modified_at,notes,owner,permalink_url,privacy_setting,start_on,team,team.name",
    "workspace,workspace.name",
    CUSTOM_FIELDS,
];

const GOAL: &[&str] = &[
    "resource_type,name,current_status_update,current_status_update.resource_subtype,current_status_update.title",
    "due_on,followers,followers.name,html_notes,is_workspace_level,metric,metric.currency_code",
    "metric.current_display_value,metric.current_number_value,metric.initial_number_value,metric.precision",
    "metric.progress_source,metric.resource_subtype,metric.target_number_value,metric.unit,notes,num_likes",
    "owner,owner.name,privacy_setting,start_on,status,team,team.name,time_period,time_period.display_name",
    "time_period.end_on,time_period.period,time_period.start_on,workspace,workspace.name",
    CUSTOM_FIELDS,
];

const SECTION: &[&str] = &["resource_type,name,created_at,project,project.name"];

const STORY: &[&str] = &[
    "resource_type,resource_subtype,type,text,html_text,created_at,created_by,created_by.name,is_edited,is_pinned",
    "num_likes,source,sticker_name,assignee,assignee.name,dependency,dependency.name,duplicate_of,duplicate_of.name",
    "follower,follower.name,project,project.name,story,story.text,tag,tag.name,task,task.name",
    "target,target.name,target.resource_subtype,target.resource_type",
    "new_approval_status,new_date_value,new_dates,new_dates.due_at,new_dates.due_on,new_dates.start_on,new_enum_value",
    "new_enum_value.name,new_multi_enum_values,new_multi_enum_values.name,new_name,new_number_value,new_people_value",
    "new_people_value.name,new_resource_subtype,new_section,new_section.name,new_text_value",
    "old_approval_status,old_date_value,old_dates,old_dates.due_at,old_dates.due_on,old_dates.start_on,old_enum_value",
    "old_enum_value.name,old_multi_enum_values,old_multi_enum_values.name,old_name,old_number_value,old_people_value",
    "old_people_value.name,old_resource_subtype,old_section,old_section.name,old_text_value",
];

const ATTACHMENT: &[&str] = &[
    "resource_type,resource_subtype,name,created_at,host,parent,parent.name,parent.resource_subtype",
    "parent.resource_type,permanent_url,size",
];

/// The URL of a poll, below `base`.
pub(super) fn poll(base: &Url, stream: &StreamId, kind: StreamKind, token: Option<&SyncToken>, form: PollForm) -> Url {
    static FIELDS: LazyLock<String> = LazyLock::new(event_fields);
    let mut query: Vec<(&str, &str)> = Vec::with_capacity(3);
    let path = match kind {
        StreamKind::Resource => {
            query.push(("resource", stream.resource.as_str()));
            if form == PollForm::Full {
                query.push(("opt_fields", &FIELDS));
            }
            &["events"][..]
        }
        StreamKind::Workspace => &["workspaces", stream.resource.as_str(), "events"],
    };
    query.extend(token.map(|token| ("sync", token.as_str())));
    below(base, path, &query)
}

/// The URL of a page of at most `limit` items of `listing`, below `base`.
pub(super) fn list(base: &Url, listing: &Listing, offset: Option<&str>, limit: u8) -> Url {
    let gid = listing.of.as_str();
    let mut query: Vec<(&str, &str)> = Vec::with_capacity(4);
    let path = match listing.what {
        What::Project => &["projects", gid][..],
        What::Task => &["tasks", gid],
        What::Goal => &["goals", gid],
        What::Sections | What::SectionsToSplit => &["projects", gid, "sections"],
        What::Tasks => &["projects", gid, "tasks"],
        What::Subtasks => &["tasks", gid, "subtasks"],
        What::TaskStories => &["tasks", gid, "stories"],
        What::GoalStories => &["goals", gid, "stories"],
        What::WorkspaceProjects => &["workspaces", gid, "projects"],
        What::Section => &["sections", gid],
        What::Story => &["stories", gid],
        What::Attachment => &["attachments", gid],
        What::SectionTasks => &["sections", gid, "tasks"],
        What::TeamsToSplit => &["workspaces", gid, "teams"],
        What::TeamProjects => &["teams", gid, "projects"],
        What::PortfolioItems => &["portfolios", gid, "items"],
        What::Attachments => {
            query.push(("parent", gid));
            &["attachments"]
        }
        What::WorkspaceGoals => {
            query.push(("workspace", gid));
            &["goals"]
        }
    };
    let (fields, limit) = (fields(listing.what).join(","), limit.to_string());
    query.push(("opt_fields", &fields));
    if !listing.what.is_object() {
        query.push(("limit", &limit));
        query.extend(offset.map(|offset| ("offset", offset)));
    }
    below(base, path, &query)
}

/// The URL of one object for `look`, below `base`.
pub(super) fn look(base: &Url, look: &Look) -> Url {
    match look {
        Look::Me => below(base, &["users", "me"], &[("opt_fields", "name,email,workspaces.name")]),
        Look::Workspace(gid) => below(base, &["workspaces", gid.as_str()], &[("opt_fields", "name")]),
    }
}

/// The URL of a page of the account's workspaces, below `base`.
pub(super) fn workspaces(base: &Url, offset: Option<&str>) -> Url {
    let offset = offset.map(|offset| ("offset", offset));
    below(base, &["workspaces"], &[("limit", "100")].into_iter().chain(offset).collect::<Vec<_>>())
}

/// The URL of a page of the account's webhooks in a workspace, below `base`.
pub(super) fn webhooks(base: &Url, workspace: &Gid, offset: Option<&str>) -> Url {
    let offset = offset.map(|offset| ("offset", offset));
    let query = [("workspace", workspace.as_str()), ("opt_fields", "active,target"), ("limit", "100")];
    below(base, &["webhooks"], &query.into_iter().chain(offset).collect::<Vec<_>>())
}

/// The URL of one webhook, or of the list in which webhooks are created, below `base`.
pub(super) fn webhook(base: &Url, gid: Option<&Gid>) -> Url {
    let path: Vec<_> = std::iter::once("webhooks").chain(gid.map(Gid::as_str)).collect();
    below(base, &path, &[])
}

fn fields(what: What) -> Vec<&'static str> {
    let fields = match what {
        What::Task | What::Tasks | What::Subtasks | What::SectionTasks => TASK,
        What::Project | What::WorkspaceProjects | What::TeamProjects | What::PortfolioItems => PROJECT,
        What::Goal | What::WorkspaceGoals => GOAL,
        What::Section | What::Sections | What::SectionsToSplit => SECTION,
        What::Story | What::TaskStories | What::GoalStories => STORY,
        What::Attachment | What::Attachments => ATTACHMENT,
        What::TeamsToSplit => &["resource_type,name"],
    };
    let mut fields = fields.to_vec();
    // Goals have no stories about custom fields.
    if matches!(what, What::TaskStories | What::Story) {
        fields.push("custom_field,custom_field.name");
    }
    fields
}

fn below(base: &Url, path: &[&str], query: &[(&str, &str)]) -> Url {
    let mut url = base.clone();
    // A base URL has a host, so there are segments.
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(kind: StreamKind, token: Option<&str>) -> (Url, Vec<String>) {
        let base = Url::parse("https://app.asana.com/api/1.0").unwrap();
        let stream = StreamId::new("main", "1234567890123456");
        let url = poll(&base, &stream, kind, token.map(SyncToken::from).as_ref(), PollForm::Full);
        let named = url.query_pairs().find(|(key, _)| key == "opt_fields").map(|(_, value)| value.into_owned());
        let named = named.unwrap_or_default().split(',').map(str::to_owned).collect();
        (url, named)
    }

    #[test]
    fn the_values_of_a_change_are_asked_for_with_what_a_custom_field_holds() {
        let (_, named) = fields(StreamKind::Resource, None);
        let different: std::collections::BTreeSet<_> = named.iter().collect();
        assert_eq!(different.len(), named.len(), "no field is named twice");
        for value in ["change.added_value", "change.new_value", "change.removed_value"] {
            for below in [
                "",
                ".name",
                ".resource_type",
                ".resource_subtype",
                ".enum_value.name",
                ".number_value",
                ".display_value",
            ] {
                assert!(named.contains(&format!("{value}{below}")), "{value}{below}");
            }
        }
        // An object named only by a field below it comes without its type.
        for object in named.iter().filter_map(|field| field.rsplit_once('.')).map(|(object, _)| object) {
            assert!(named.iter().any(|it| it == object), "{object}");
        }
    }

    #[test]
    fn the_url_of_a_poll_is_far_below_what_servers_take() {
        let (url, _) = fields(StreamKind::Resource, Some(&"f".repeat(200)));
        assert!(url.as_str().len() < 3_000, "{} bytes", url.as_str().len());
        let (url, named) = fields(StreamKind::Workspace, Some("t"));
        assert_eq!(named, [""], "whole workspaces know no opt_fields: {url}");
    }
}
