//! Which scopes an OAuth account needs for what is configured, and whether they were granted. No IO.
//!
//! The scopes of endpoints are those that Asana's OpenAPI description names (`fc9f8dc`, 2026-06-11). It names none for event
//! streams and for a project's sections: an application needs full permissions for endpoints without a scope. Asana reports a
//! missing scope by a 403 that doesn't name it, so the granted ones are asked for.

use crate::asana::{FULL_PERMISSIONS, Grant};
use crate::config::{Checked, CrawlDepth};
use crate::finding::CheckResult;
use bridge_core::ids::{AccountName, StreamKind};
use bridge_core::outcome::list::What;
use chrono::SecondsFormat;
use std::collections::BTreeMap;

/// The scopes that the account needs, each with what it is for.
pub(super) fn needed(checked: &Checked, account: &AccountName) -> BTreeMap<&'static str, &'static str> {
    let mut needed = BTreeMap::from([("users:read", "the check of the credential")]);
    let rules = checked.discovery.rules.iter().filter(|rule| rule.account == *account);
    // All other rules list projects.
    let others = [(What::PortfolioItems, "portfolios:read"), (What::WorkspaceGoals, "goals:read")];
    needed.extend(rules.clone().map(|rule| {
        let other = others.iter().find(|(what, _)| *what == rule.listing.what);
        (other.map_or("projects:read", |(_, scope)| scope), "discovery")
    }));
    let own = checked.streams.iter().filter(|stream| stream.id.account == *account);
    let polls = own.clone().next().is_some() || rules.clone().next().is_some();
    if polls && checked.webhooks.is_some() {
        let webhooks = ["webhooks:read", "webhooks:write", "webhooks:delete", "workspaces:read"];
        needed.extend(webhooks.map(|scope| (scope, "webhooks")));
    }
    let crawler = checked.crawl.account.as_deref();
    if polls || crawler == Some(account.as_str()) {
        needed.extend(crawled(checked.crawl.depth).iter().map(|scope| (*scope, "crawls")));
    }
    let has_workspace = |name: Option<&str>| {
        let mut streams = checked.streams.iter().filter(|stream| stream.kind == StreamKind::Workspace);
        streams.any(|stream| name.is_none_or(|name| stream.id.account.as_str() == name))
    };
    if has_workspace(Some(account.as_str())) || crawler == Some(account.as_str()) && has_workspace(None) {
        needed.extend(["workspaces:read", "teams:read"].map(|scope| (scope, "workspace streams")));
    }
    needed
}

/// The scopes of what a crawl of this depth reads. Whether a gid is a project, a task or a goal, only its request shows.
fn crawled(depth: CrawlDepth) -> &'static [&'static str] {
    const ALL: [&str; 5] = ["goals:read", "projects:read", "tasks:read", "stories:read", "attachments:read"];
    let count = match depth {
        CrawlDepth::Tasks | CrawlDepth::Subtasks => 3,
        CrawlDepth::Stories => 4,
        CrawlDepth::Attachments => 5,
    };
    ALL.get(..count).unwrap_or(&ALL)
}

/// Whether what was granted is enough. `grant` is what Asana tells of it, or why it told nothing.
pub(super) fn judge(grant: &Result<Grant, String>, needed: &BTreeMap<&'static str, &'static str>) -> CheckResult {
    let grant = match grant {
        Ok(grant) => grant,
        Err(reason) => return CheckResult::unknown(format!("Asana didn't tell which scopes were granted: {reason}")),
    };
    if !grant.is_active {
        return CheckResult::unknown("Asana calls the refresh token not valid, and names no scopes");
    }
    if grant.scopes.is_empty() {
        return CheckResult::unknown("Asana doesn't name the granted scopes");
    }
    let until = grant.until.map(|until| format!("; until {}", until.to_rfc3339_opts(SecondsFormat::Secs, true)));
    let until = until.unwrap_or_default();
    if grant.is_full() {
        return CheckResult::ok(format!("full permissions{until}"));
    }
    let missing: Vec<_> = needed.iter().filter(|(scope, _)| !grant.scopes.contains(**scope)).collect();
    let remedy = format!(
        "turn on full permissions in the application's settings, and log in again with the scope `{FULL_PERMISSIONS}` \
         (`auth login --replace`)"
    );
    if missing.is_empty() {
        let found = "all needed scopes that Asana documents are granted, but it documents none for event streams and for \
                     sections of projects: only `run` shows whether they are refused";
        return CheckResult::notice(format!("{found}{until}"), remedy);
    }
    let missing: Vec<_> = missing.into_iter().map(|(scope, what)| format!("{scope} ({what})")).collect();
    CheckResult::failed(format!("not granted: {}", missing.join(", ")), remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Environment, Source};
    use chrono::DateTime;

    /// What is needed with this configuration.
    fn needed_by(yaml: &str, account: &str) -> Vec<&'static str> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bridge.yaml");
        let accounts = "accounts: {main: {token: {env: T}}, other: {token: {env: T}}}\nsink: {console: {}}\n";
        std::fs::write(&file, format!("{accounts}{yaml}")).unwrap();
        let checked =
            config::load(&Source::file(&file), &Environment::of([("T", "t".repeat(32).as_str()), ("POD_NAME", "r")]))
                .unwrap();
        needed(&checked, &account.into()).into_keys().collect()
    }

    #[test]
    fn what_is_configured_decides_what_is_needed() {
        let streams = "streams: [{resource: '1', account: main}]\n";
        let tasks = ["goals:read", "projects:read", "tasks:read", "users:read"];
        assert_eq!(needed_by(streams, "main"), tasks);
        assert_eq!(needed_by(streams, "other"), ["users:read"]);
        let deep = format!("{streams}crawl: {{depth: attachments, account: other}}\n");
        let all = ["attachments:read", "goals:read", "projects:read", "stories:read", "tasks:read", "users:read"];
        assert_eq!((needed_by(&deep, "main"), needed_by(&deep, "other")), (all.to_vec(), all.to_vec()));
        let workspace = "streams: [{workspace: '1', account: main}]\n";
        let wide = ["goals:read", "projects:read", "tasks:read", "teams:read", "users:read", "workspaces:read"];
        assert_eq!(needed_by(workspace, "main"), wide);
        assert_eq!(needed_by(&format!("{workspace}crawl: {{account: other}}\n"), "other"), wide);
        let rules = "discovery: {rules: [{portfolio: '1', account: other}]}\n";
        assert!(needed_by(&format!("{streams}{rules}"), "other").contains(&"portfolios:read"));
        assert!(!needed_by(&format!("{streams}{rules}"), "main").contains(&"portfolios:read"));
        let webhooks = "webhooks: {listen: '127.0.0.1:0', publicUrl: 'https://w.example.com', key: {env: T}}\n";
        let hooked = needed_by(&format!("{streams}{webhooks}"), "main");
        assert!(
            ["webhooks:delete", "webhooks:read", "webhooks:write"].iter().all(|it| hooked.contains(it)),
            "{hooked:?}"
        );
        assert_eq!(needed_by(&format!("{streams}{webhooks}"), "other"), ["users:read"]);
    }

    fn granted(scopes: &str) -> Grant {
        let scopes = scopes.split_whitespace().map(str::to_owned).collect();
        Grant { is_active: true, scopes, until: DateTime::from_timestamp(2_000_000_000, 0) }
    }

    #[test]
    fn missing_scopes_are_named_with_what_they_are_for() {
        let needed = BTreeMap::from([("tasks:read", "crawls"), ("webhooks:read", "webhooks")]);
        let said = |grant: Result<Grant, String>| judge(&grant, &needed).of("x").to_string();
        let ok = said(Ok(granted("default identity")));
        assert!(ok.starts_with("ok        x: full permissions; until 2033-05-18T03:33:20Z"), "{ok}");
        let failed = said(Ok(granted("tasks:read projects:read")));
        assert!(failed.starts_with("FAILED    x: not granted: webhooks:read (webhooks); turn on full"), "{failed}");
        let notice = said(Ok(granted("tasks:read webhooks:read")));
        assert!(notice.starts_with("notice") && notice.contains("none for event streams"), "{notice}");
        let gone = Grant { is_active: false, ..granted("") };
        for unknown in [Err("503".to_owned()), Ok(granted("")), Ok(gone)] {
            assert!(said(unknown).starts_with("unknown"));
        }
    }
}
