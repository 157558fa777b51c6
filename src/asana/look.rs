//! The user of a credential, and single objects: requested by `doctor`, not by the bridge.

use super::http::HttpAnswer;
use super::wire::{Refusal, object, refusal, sent_at};
use bridge_core::ids::Gid;
use chrono::{DateTime, Utc};
use reqwest::StatusCode;
use serde::Deserialize;

/// The object to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// The user that the credential belongs to: `/users/me`.
    Me,
    /// A workspace: `/workspaces/{gid}`.
    Workspace(Gid),
}

/// An object that Asana returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The object's gid.
    pub gid: Gid,
    /// The object's name. Empty if Asana doesn't show one.
    pub name: String,
    /// A user's email address.
    pub email: Option<String>,
    /// The names of the workspaces that a user is in.
    pub workspaces: Vec<String>,
    /// Asana's time of the answer, to the second. Absent if the answer has no `Date` header.
    pub sent_at: Option<DateTime<Utc>>,
    /// The time when the answer was complete, by the host's clock.
    pub received_at: DateTime<Utc>,
}

#[derive(Deserialize)]
struct Body {
    data: Object,
}

#[derive(Deserialize)]
struct Object {
    gid: String,
    name: Option<String>,
    email: Option<String>,
    workspaces: Option<Vec<Named>>,
}

#[derive(Deserialize)]
struct Named {
    name: Option<String>,
}

/// What `answer` says to a look.
pub(super) fn read(answer: HttpAnswer) -> Result<Seen, Refusal> {
    let received_at = answer.received_at;
    if answer.status != StatusCode::OK {
        return Err(refusal(answer, received_at));
    }
    let sent_at = sent_at(&answer.headers);
    let body = answer.body.map_err(Refusal::Failed)?;
    let Body { data } = object(&body, "object").map_err(Refusal::Failed)?;
    let Object { gid, name, email, workspaces } = data;
    Ok(Seen {
        gid: gid.into(),
        name: name.unwrap_or_default(),
        email,
        workspaces: workspaces.unwrap_or_default().into_iter().filter_map(|it| it.name).collect(),
        sent_at,
        received_at,
    })
}
