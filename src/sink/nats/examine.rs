//! What `doctor` checks of NATS: every right and setting that a session needs, by requests that change nothing.
//!
//! The server reports a user's permissions (`$SYS.REQ.USER.INFO`, nats-server 2.10), so nothing has to be published to
//! check them.

use super::rights::Permissions;
use super::{NatsSettings, bucket, connect, lease, setup, subjects};
use crate::finding::{CheckResult, Finding};
use async_nats::client::Client;
use async_nats::jetstream;
use serde::Deserialize;
use std::time::Duration;

/// The subject of requests for a user's own permissions.
const USER_INFO: &str = "$SYS.REQ.USER.INFO";

#[derive(Deserialize)]
struct UserInfo {
    data: User,
}

#[derive(Deserialize)]
struct User {
    #[serde(rename = "user")]
    name: String,
    account: String,
    #[serde(default)]
    permissions: Option<Permissions>,
}

/// Checks everything that a session will need, each check within `timeout`.
///
/// # Cancel safety
/// Cancel safe: it changes nothing.
pub async fn examine(settings: NatsSettings, timeout: Duration) -> Vec<Finding> {
    let config = &settings.config;
    let server = format!("NATS at {}", config.servers.join(", "));
    let stream = format!("JetStream stream {}", config.stream);
    let leases = format!("key-value bucket {}", bucket(config));
    let rights = "rights on NATS".to_owned();
    let mut findings = Vec::new();
    let client = match within(timeout, connect(&settings)).await {
        Ok(Ok(client)) => client,
        Ok(Err(error)) => return refused(error.into(), server, [stream, leases, rights]),
        Err(late) => return refused(late, server, [stream, leases, rights]),
    };
    findings.push(version(&client).of(server));
    let user = user(&client, timeout).await;
    let jetstream = jetstream::new(client.clone());
    if let Some(verdict) = no_jetstream(&jetstream, user.as_ref().ok(), timeout).await {
        let others = [stream, leases, rights].map(|what| CheckResult::not_tried("JetStream can't be used").of(what));
        findings.push(verdict.of("JetStream"));
        findings.extend(others);
        return findings;
    }
    let names = subjects(config);
    let looked = within(timeout, setup::examine(&client, config, &names)).await;
    let (verdict, of_stream) = looked.unwrap_or_else(|late| (late, None));
    findings.push(verdict.of(&stream));
    let looked = within(timeout, lease::examine(&client, &bucket(config), config)).await;
    let (verdict, of_bucket) = looked.unwrap_or_else(|late| (late, None));
    findings.push(verdict.of(&leases));
    let publish = published(&settings, of_stream, of_bucket);
    findings.push(user.map_or_else(|verdict| verdict, |user| user.judge(&publish)).of(rights));
    findings
}

fn refused(verdict: CheckResult, server: String, others: [String; 3]) -> Vec<Finding> {
    let reason = format!("{server} can't be used");
    let others = others.map(|what| CheckResult::not_tried(&reason).of(what));
    std::iter::once(verdict.of(server)).chain(others).collect()
}

async fn within<T>(timeout: Duration, work: impl Future<Output = T>) -> Result<T, CheckResult> {
    let late = || CheckResult::failed(format!("no answer in {timeout:?}"), "check that the servers run");
    tokio::time::timeout(timeout, work).await.map_err(|_elapsed| late())
}

fn version(client: &Client) -> CheckResult {
    let info = client.server_info();
    let found = format!("nats-server {} answers", info.version);
    if client.is_server_compatible(2, 12, 0) {
        return CheckResult::ok(format!("{found}, with atomic batches"));
    }
    CheckResult::notice(
        format!("{found}, without atomic batches: each page is written ahead of its records"),
        "use nats-server 2.12 or newer for atomic commits",
    )
}

async fn user(client: &Client, timeout: Duration) -> Result<User, CheckResult> {
    let untold = || {
        let reason =
            format!("the server doesn't report it: it must be 2.10 or newer, and allow publishing to {USER_INFO}");
        CheckResult::unknown(reason)
    };
    let asked = within(timeout, client.request(USER_INFO, "".into())).await;
    let answer = asked.map_err(|_late| untold())?.map_err(|_unanswered| untold())?;
    serde_json::from_slice(&answer.payload).map(|UserInfo { data }| data).map_err(|_unreadable| untold())
}

/// Why JetStream can't be used, if so. A user that may not ask about its account may still use it.
async fn no_jetstream(jetstream: &jetstream::Context, user: Option<&User>, timeout: Duration) -> Option<CheckResult> {
    let may_ask = user.is_none_or(|user| user.lacks(&["$JS.API.INFO".to_owned()]).is_empty());
    if !may_ask {
        return None;
    }
    let error = match within(timeout, jetstream.query_account()).await {
        Ok(Ok(_)) => return None,
        Ok(Err(error)) => error.to_string(),
        Err(late) => return Some(late),
    };
    let remedy = "enable JetStream on the servers (`jetstream {}`) and for the account that the bridge logs in to";
    Some(CheckResult::failed(format!("there is none for this account: {error}"), remedy))
}

impl User {
    fn lacks<'a>(&self, publish: &'a [String]) -> Vec<&'a str> {
        self.permissions.as_ref().map(|permissions| permissions.unpublishable(publish)).unwrap_or_default()
    }

    fn judge(&self, publish: &[String]) -> CheckResult {
        let Self { name, account, permissions } = self;
        let who = format!("user {name} of account {account}");
        let inboxes = ["_INBOX.>".to_owned()];
        let deaf = permissions.as_ref().map(|it| it.unsubscribable(&inboxes)).unwrap_or_default();
        let mute = self.lacks(publish);
        if mute.is_empty() && deaf.is_empty() {
            return CheckResult::ok(format!("{who} has all rights that are needed"));
        }
        let list =
            |verb: &str, subjects: &[&str]| (!subjects.is_empty()).then(|| format!("{verb} {}", subjects.join(", ")));
        let lacking = [list("publish to", &mute), list("subscribe to", &deaf)];
        let lacking: Vec<_> = lacking.into_iter().flatten().collect();
        CheckResult::failed(
            format!("{who} may not {}", lacking.join("; nor ")),
            "allow these subjects in the user's permissions",
        )
    }
}

/// The subjects that a session publishes to, as few as possible. With the requests that first create or change the
/// JetStream streams, if any.
fn published(settings: &NatsSettings, of_stream: Option<&str>, of_bucket: Option<&str>) -> Vec<String> {
    let config = &settings.config;
    let (prefix, stream, bucket) = (&config.subject_prefix, &config.stream, bucket(config));
    let subjects = subjects(config);
    let mut api = vec![
        format!("STREAM.INFO.{stream}"),
        format!("STREAM.MSG.GET.{stream}"),
        format!("CONSUMER.CREATE.{stream}"),
        format!("CONSUMER.MSG.NEXT.{stream}.>"),
        format!("CONSUMER.DELETE.{stream}.>"),
        format!("STREAM.INFO.KV_{bucket}"),
        format!("STREAM.MSG.GET.KV_{bucket}"),
        format!("CONSUMER.CREATE.KV_{bucket}"),
    ];
    api.extend(of_stream.map(|verb| format!("STREAM.{verb}.{stream}")));
    // The client queries the account before it creates a bucket.
    api.extend(of_bucket.into_iter().flat_map(|verb| ["INFO".to_owned(), format!("STREAM.{verb}.KV_{bucket}")]));
    let mut records =
        vec![format!("{prefix}.lane.>"), format!("{prefix}.dead-letter.>"), subjects.checkpoint_pattern()];
    records.extend(settings.has_refresh_log.then(|| subjects.refresh_log_pattern()));
    records.extend(config.state.then(|| format!("{prefix}.state.>")));
    let leases = [format!("$KV.{bucket}.>"), format!("$JS.FC.KV_{bucket}.>")];
    records.into_iter().chain(leases).chain(api.into_iter().map(|api| format!("$JS.API.{api}"))).collect()
}
