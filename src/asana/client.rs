//! One account's requests: which, with what credential, retried when.

use super::changes::Changes;
use super::credential::{CredentialError, Tokens};
use super::http::{Answer, exchange, with_sources};
use super::oauth::Oauth;
use super::{Source, wire};
use crate::config::{CheckedAccount, Credential};
use crate::core::ids::{AccountName, StreamId, StreamKind, SyncToken};
use crate::core::page::{Denial, Failure, PollOutcome};
use chrono::{DateTime, Utc};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use reqwest::{Method, Request, StatusCode, redirect};
use std::fmt;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use url::Url;

/// What is asked of each event: all that Asana's OpenAPI description lists for `/events`
/// (`fc9f8dc`, 2026-06-11), since naming some leaves out the others, and of the objects
/// their types, which it doesn't list but shows in the answer.
///
/// The values of a change are named as a whole only: they may be objects of any type, and
/// naming some of their fields would leave out those we don't know of.
///
/// `/workspaces/{gid}/events` lists no `opt_fields`, so there none is sent.
const OPT_FIELDS: &str = "action,change,change.action,change.added_value,change.field,change.new_value,\
    change.removed_value,created_at,\
    parent,parent.name,parent.resource_subtype,parent.resource_type,\
    resource,resource.name,resource.resource_subtype,resource.resource_type,\
    type,user,user.name,user.resource_type";

const USER_AGENT: &str = concat!("asana-event-bridge/", env!("CARGO_PKG_VERSION"));

/// An HTTP/2 connection that doesn't answer a ping of this interval is given up: else a
/// connection that died silently would fail every poll until the system noticed.
const PING_INTERVAL: Duration = Duration::from_secs(15);

/// Why an account can't be polled at all.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Correct the configuration.
    #[error(
        "{role} is no http or https URL that requests can be made of: it needs a host, and no user, query or fragment"
    )]
    Url {
        /// Which URL: the URL itself may hold a password.
        role: &'static str,
    },
    /// Mostly: the system has no certificates of authorities.
    #[error("TLS can't be set up: {0}")]
    Tls(String),
}

/// Polls Asana for one account. Cheap to clone; clones share connections and access tokens.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    account: AccountName,
    http: reqwest::Client,
    tokens: Tokens,
    base_url: Url,
    request_timeout: Duration,
    changes: Changes,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("account", &self.0.account).finish_non_exhaustive()
    }
}

impl Client {
    /// Makes ready to poll; connects to nothing and reads no secret yet.
    ///
    /// # Errors
    /// Where a URL can't be used, or the system's certificates can't.
    pub fn new(account: CheckedAccount) -> Result<Self, ClientError> {
        let CheckedAccount { name, credential, base_url, request_timeout, max_in_flight, .. } = account;
        check_url(&base_url, "the base URL")?;
        let token_url = match &credential {
            Credential::Oauth(source) => Some(&source.token_url),
            Credential::Token(_) => None,
        };
        token_url.map_or(Ok(()), |url| check_url(url, "the token URL"))?;
        let needs_tls = [Some(&base_url), token_url].into_iter().flatten().any(|url| url.scheme() == "https");
        let http = http_client(needs_tls, max_in_flight)?;
        let tokens = match credential {
            Credential::Token(source) => Tokens::Fixed(source),
            Credential::Oauth(source) => Tokens::Oauth(Box::new(Oauth::new(source, http.clone(), request_timeout))),
        };
        let changes = Changes::default();
        Ok(Self(Arc::new(Inner { account: name, http, tokens, base_url, request_timeout, changes })))
    }

    /// See [`Source::poll`]. Takes at most three times the request's time-out: for the
    /// request, a new access token after a 401, and the request again.
    pub async fn poll(&self, stream: &StreamId, kind: StreamKind, token: Option<&SyncToken>) -> PollOutcome {
        let url = self.0.url(stream, kind, token);
        let answer = match self.0.ask(url).await {
            Ok(answer) => answer,
            Err(Unanswered::Credential(CredentialError::Refused)) => return PollOutcome::Denied(Denial::Unauthorized),
            Err(Unanswered::Credential(error)) => return PollOutcome::Failed(Failure::Credential(error.to_string())),
            Err(Unanswered::Request(failure)) => return PollOutcome::Failed(failure),
        };
        self.0.changes.observe(&self.0.account, &answer.headers);
        wire::outcome(answer, now())
    }
}

impl Source for Client {
    async fn poll(&self, stream: &StreamId, kind: StreamKind, token: Option<&SyncToken>) -> PollOutcome {
        Self::poll(self, stream, kind, token).await
    }
}

/// Why there is no status.
enum Unanswered {
    Credential(CredentialError),
    Request(Failure),
}

impl Inner {
    fn url(&self, stream: &StreamId, kind: StreamKind, token: Option<&SyncToken>) -> Url {
        let mut url = self.base_url.clone();
        // `check_url` has seen that there are segments.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty();
            match kind {
                StreamKind::Resource => path.push("events"),
                StreamKind::Workspace => path.extend(["workspaces", stream.resource.as_str(), "events"]),
            };
        }
        let mut query: Vec<(&str, &str)> = Vec::with_capacity(3);
        if kind == StreamKind::Resource {
            query.push(("resource", stream.resource.as_str()));
            query.push(("opt_fields", OPT_FIELDS));
        }
        query.extend(token.map(|token| ("sync", token.as_str())));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// Asks once; a second time only after a 401 and with another credential.
    async fn ask(&self, url: Url) -> Result<Answer, Unanswered> {
        let bearer = self.tokens.bearer().await.map_err(Unanswered::Credential)?;
        let answer = self.get(url.clone(), bearer.clone()).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        match self.tokens.instead_of(&bearer).await.map_err(Unanswered::Credential)? {
            Some(other) => self.get(url, other).await,
            None => Ok(answer),
        }
    }

    async fn get(&self, url: Url, bearer: HeaderValue) -> Result<Answer, Unanswered> {
        let mut request = Request::new(Method::GET, url);
        request.headers_mut().insert(AUTHORIZATION, bearer);
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        exchange(&self.http, request, self.request_timeout).await.map_err(Unanswered::Request)
    }
}

fn check_url(url: &Url, role: &'static str) -> Result<(), ClientError> {
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    let usable = matches!(url.scheme(), "http" | "https") && url.has_host() && url.fragment().is_none();
    if plain && usable { Ok(()) } else { Err(ClientError::Url { role }) }
}

fn http_client(needs_tls: bool, max_in_flight: NonZeroU16) -> Result<reqwest::Client, ClientError> {
    use rustls::crypto::{CryptoProvider, ring};
    // The HTTP library takes the process's provider. Losing the race to set it is as good as winning.
    if CryptoProvider::get_default().is_none() && ring::default_provider().install_default().is_err() {
        tracing::debug!("a TLS provider was installed meanwhile");
    }
    let builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .redirect(redirect::Policy::none())
        .pool_max_idle_per_host(usize::from(max_in_flight.get()))
        .http2_keep_alive_interval(PING_INTERVAL)
        .http2_keep_alive_timeout(PING_INTERVAL);
    // Without TLS no certificates are looked for, which a bare container doesn't have.
    let builder = if needs_tls { builder } else { builder.tls_certs_only([]) };
    builder.build().map_err(|error| ClientError::Tls(with_sources(&error.without_url())))
}

#[expect(clippy::disallowed_methods, reason = "an edge: when an answer was complete is a fact of the wall clock")]
fn now() -> DateTime<Utc> {
    SystemTime::now().into()
}
