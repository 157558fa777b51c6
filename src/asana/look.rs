//! Who a credential belongs to, and what it says of a workspace: asked by people, not by the bridge.

use super::http::Answer;
use super::wire::{Refusal, object, refusal, sent_at};
use crate::core::ids::Gid;
use crate::core::page::{Denial, Failure};
use chrono::{DateTime, Utc};
use reqwest::StatusCode;
use serde::Deserialize;
use std::time::Duration;

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// Whose the credential is: `/users/me`.
    Me,
    /// A workspace: `/workspaces/{gid}`.
    Workspace(Gid),
}

/// What a look returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookOutcome {
    /// 200.
    Seen(Seen),
    /// 429 (or 424): the whole account waits.
    Throttled {
        /// How long, from now.
        retry_after: Duration,
    },
    /// An answer that says that it can't be read.
    Denied(Denial),
    /// No usable answer.
    Failed(Failure),
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

impl From<Refusal> for LookOutcome {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Throttled { retry_after } => Self::Throttled { retry_after },
            Refusal::Denied(denial) => Self::Denied(denial),
            Refusal::Failed(failure) => Self::Failed(failure),
        }
    }
}

/// What `answer` says to a look.
pub(super) fn outcome(answer: Answer, received_at: DateTime<Utc>) -> LookOutcome {
    if answer.status != StatusCode::OK {
        return refusal(answer, received_at).into();
    }
    let sent_at = sent_at(&answer.headers);
    let read = answer.body.and_then(|body| object::<Body>(&body, "object"));
    match read {
        Ok(Body { data: Object { gid, name, email, workspaces } }) => LookOutcome::Seen(Seen {
            gid: gid.into(),
            name: name.unwrap_or_default(),
            email,
            workspaces: workspaces.unwrap_or_default().into_iter().filter_map(|it| it.name).collect(),
            sent_at,
            received_at,
        }),
        Err(failure) => LookOutcome::Failed(failure),
    }
}
