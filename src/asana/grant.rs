//! What Asana tells of a refresh token: its scopes and its end. No IO.
//!
//! The answer of the token URL has no scopes; the introspection beside it has. Asana documents it with the other addresses of
//! OAuth (developers.asana.com/docs/oauth, "Token introspection endpoint").

use super::credential::{CredentialError, unanswered};
use super::http::HttpAnswer;
use chrono::{DateTime, Utc};
use reqwest::StatusCode;
use serde::Deserialize;
use std::collections::BTreeSet;
use url::Url;

/// The scope that stands for full permissions. Asana has endpoints without a scope of their own, such as the event streams:
/// they need it.
pub const FULL_PERMISSIONS: &str = "default";

/// What a user allowed an OAuth application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Whether the refresh token is valid: it has neither expired nor been revoked.
    pub is_active: bool,
    /// The scopes, such as `default` or `tasks:read`. Empty if Asana doesn't name them.
    pub scopes: BTreeSet<String>,
    /// The time when the refresh token expires, by Asana's clock. Absent if Asana doesn't name it.
    pub until: Option<DateTime<Utc>>,
}

impl Grant {
    /// Whether the application may use all endpoints.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.scopes.contains(FULL_PERMISSIONS)
    }
}

#[derive(Deserialize)]
struct Body {
    active: bool,
    scope: Option<String>,
    exp: Option<i64>,
}

/// The address of the introspection, beside the token URL.
pub(super) fn url(token_url: &Url) -> Url {
    // A relative path without dots joins to any http URL.
    token_url.join("token_info").unwrap_or_else(|_| token_url.clone())
}

/// What `answer` tells.
pub(super) fn read(answer: HttpAnswer) -> Result<Grant, CredentialError> {
    let failed = CredentialError::Refresh;
    if answer.status != StatusCode::OK {
        return Err(failed(format!("the token introspection answered {}", answer.status.as_u16())));
    }
    let body = answer.body.map_err(|failure| unanswered(&failure))?;
    let Body { active, scope, exp } = serde_json::from_slice(&body).map_err(|error| {
        failed(format!("the token introspection's answer is malformed at column {}", error.column()))
    })?;
    Ok(Grant {
        is_active: active,
        scopes: scope.iter().flat_map(|scopes| scopes.split_whitespace()).map(str::to_owned).collect(),
        until: exp.and_then(|seconds| DateTime::from_timestamp(seconds, 0)),
    })
}
