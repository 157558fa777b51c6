//! Who a credential belongs to, and what it says of a workspace: asked by people, not by the bridge.

use super::http::HttpAnswer;
use super::wire::{Refusal, object, refusal, sent_at};
use bridge_core::ids::Gid;
use chrono::{DateTime, Utc};
use reqwest::StatusCode;
use serde::Deserialize;

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// Whose the credential is: `/users/me`.
    Me,
    /// A workspace: `/workspaces/{gid}`.
    Workspace(Gid),
}

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its gid.
    pub gid: Gid,
    /// Its name, where Asana shows one.
    pub name: String,
    /// Of a user.
    pub email: Option<String>,
    /// The names of the workspaces that a user is in.
    pub workspaces: Vec<String>,
    /// Asana's own time when it answered, to the second; its answers needn't say it.
    pub sent_at: Option<DateTime<Utc>>,
    /// Our time when the answer was complete.
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
