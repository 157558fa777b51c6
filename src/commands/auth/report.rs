//! What a login shows to people. No IO.

use super::SECRET_VARIABLE;
use crate::asana::{FULL_PERMISSIONS, Grant, Seen};
use crate::config::{CheckedAccount, CheckedOauth, Credential, SecretSource};
use chrono::SecondsFormat;
use std::fmt;
use std::path::Path;
use std::time::Duration;
use url::Url;

/// What the user has to do.
#[derive(Debug)]
pub(super) struct Question {
    /// The address to open.
    pub(super) url: Url,
    /// The redirect address, exactly as it must be registered.
    pub(super) redirect_uri: String,
    /// The time to answer.
    pub(super) timeout: Duration,
    /// Whether the user pastes the code.
    pub(super) is_pasted: bool,
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, redirect_uri, timeout, is_pasted } = self;
        let timeout = humantime::format_duration(*timeout);
        writeln!(f, "Open this address in a browser, and allow the access:\n\n{url}\n")?;
        writeln!(f, "The application needs the redirect URL {redirect_uri} in Asana's developer console.")?;
        if *is_pasted {
            writeln!(f, "Paste the code that Asana shows within {timeout}, and press Enter:")
        } else {
            writeln!(f, "Waiting {timeout} for the answer.")
        }
    }
}

/// How a login ended.
#[derive(Debug)]
pub(super) struct Report<'a> {
    /// The user, or why Asana doesn't show it.
    pub(super) me: Result<&'a Seen, &'static str>,
    /// What Asana tells of the refresh token.
    pub(super) grant: Result<Option<Grant>, &'static str>,
    /// The requested scopes.
    pub(super) requested: &'a [String],
    /// The file with the refresh token.
    pub(super) file: &'a Path,
    /// The account that uses it.
    pub(super) account: &'a CheckedAccount,
    /// Whether it is the real Asana, whose addresses are the defaults.
    pub(super) is_asana: bool,
}

impl Report<'_> {
    /// Who is logged in.
    fn who(&self) -> String {
        match &self.me {
            Ok(Seen { gid, name, email, workspaces, .. }) => {
                let email = email.as_ref().map(|email| format!(" <{email}>")).unwrap_or_default();
                let places = if workspaces.is_empty() { "no workspace".to_owned() } else { workspaces.join(", ") };
                format!("Logged in as {name}{email}, gid {gid}, in {places}.")
            }
            Err(reason) => format!("Logged in, but Asana doesn't show the user ({reason}): check the scopes."),
        }
    }

    /// Which scopes were granted.
    fn scopes(&self) -> String {
        let requested = self.requested.join(" ");
        let grant = match &self.grant {
            Ok(Some(grant)) if !grant.scopes.is_empty() => grant,
            Ok(_) => return format!("Scopes: {requested} were requested. Asana doesn't name the granted ones."),
            Err(reason) => {
                return format!("Scopes: {requested} were requested. Asana doesn't name the granted ones ({reason}).");
            }
        };
        let granted = grant.scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
        let missing: Vec<_> = self.requested.iter().filter(|scope| !grant.scopes.contains(*scope)).cloned().collect();
        let missing = if missing.is_empty() { String::new() } else { format!(" Not granted: {}.", missing.join(" ")) };
        let advice = if grant.is_full() {
            " These are full permissions.".to_owned()
        } else {
            format!(" Asana has no scope for event streams: they may need `{FULL_PERMISSIONS}`. `doctor` checks it.")
        };
        format!("Scopes: {granted}.{missing}{advice}")
    }

    /// Where the token is, and until when it is valid.
    fn token(&self) -> String {
        let until = match &self.grant {
            Ok(Some(Grant { is_active: false, .. })) => "Asana reports it as not valid".to_owned(),
            Ok(Some(Grant { until: Some(until), .. })) => {
                let until = until.to_rfc3339_opts(SecondsFormat::Secs, true);
                format!("valid until {until}, unless it is revoked")
            }
            Ok(_) | Err(_) => "valid until it is revoked, as far as Asana tells".to_owned(),
        };
        format!("Refresh token: in {}, {until}.", self.file.display())
    }

    /// The lines of the configuration that use the token.
    fn yaml(&self, oauth: &CheckedOauth) -> String {
        let CheckedAccount { name, base_url, .. } = self.account;
        let mut lines = format!("accounts:\n  {name}:\n    oauth:\n      clientId: {}\n", quoted(&oauth.client_id));
        let place = |source: &SecretSource| match source {
            SecretSource::File(path) => format!("{{ file: {} }}", quoted(&path.display().to_string())),
            SecretSource::Text(_) => format!("{{ env: {SECRET_VARIABLE} }}"),
        };
        let mut further = |key: &str, value: &str| lines.extend(["    ", key, ": ", value, "\n"]);
        if let Some(secret) = &oauth.client_secret {
            further("  clientSecret", &place(secret));
        }
        further("  refreshToken", &place(&oauth.refresh_token));
        further("  redirectUri", &quoted(&oauth.redirect_uri));
        if !self.is_asana {
            further("  tokenUrl", &quoted(oauth.token_url.as_str()));
            further("baseUrl", &quoted(base_url.as_str()));
        }
        lines
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{}\n{}\n{}\n", self.who(), self.scopes(), self.token())?;
        match &self.account.credential {
            Credential::Oauth(oauth) => write!(f, "{}", self.yaml(oauth)),
            Credential::Token(_) => Ok(()),
        }
    }
}

/// A text in double quotes, as YAML and JSON have it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
