//! One account's requests: their URLs, credentials and retries.

use super::changes::{Changes, Listener};
use super::credential::CredentialError;
use super::grant::Grant;
use super::http::{HttpAnswer, exchange};
use super::look::{self, Look, Seen};
use super::oauth::Oauth;
use super::tokens::Tokens;
use super::wire::Refusal;
use super::{items, requests, wire};
use crate::config::{CheckedAccount, Credential};
use crate::one_line::one_line;
use bridge_core::ids::{AccountName, Gid, StreamId, StreamKind, SyncToken};
use bridge_core::outcome::list::{ListOutcome, Listing, What};
use bridge_core::outcome::poll::{Denial, Failure, PollForm, Polled, Probed};
use chrono::{DateTime, Utc};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Request, StatusCode, redirect};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use url::Url;

const USER_AGENT: &str = concat!("asana-event-bridge/", env!("CARGO_PKG_VERSION"));

/// The interval of HTTP/2 pings. A connection that doesn't answer one is closed. Without them, a connection that failed
/// silently would fail every poll until the operating system noticed.
const PING_INTERVAL: Duration = Duration::from_secs(15);

/// Why an account can't be polled at all.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A URL of the configuration can't be used.
    #[error("{role} is no usable http or https URL: it needs a host, and no user, query or fragment")]
    Url {
        /// Which URL it is. The URL itself isn't shown, because it may contain a password.
        role: &'static str,
    },
    /// The certificates of authorities in `caFile` can't be read or used.
    #[error("caFile {path}: {reason}", path = path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
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
    /// The account's additional headers, sent with each request.
    headers: HeaderMap,
    changes: Changes,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("account", &self.0.account).finish_non_exhaustive()
    }
}

impl Client {
    /// A client for the account. Connects to nothing, and reads no secret yet.
    ///
    /// # Errors
    /// A URL or the system's CA certificates can't be used.
    pub fn new(account: CheckedAccount) -> Result<Self, ClientError> {
        Self::telling(account, None)
    }

    /// Like [`new`](Self::new), and `listener` is informed of changes of Asana's API that affect the account.
    pub(super) fn telling(account: CheckedAccount, listener: Option<Listener>) -> Result<Self, ClientError> {
        check_url(&account.base_url, "the base URL")?;
        let token_url = match &account.credential {
            Credential::Oauth(source) => Some(&source.token_url),
            Credential::Token(_) => None,
        };
        token_url.map_or(Ok(()), |url| check_url(url, "the token URL"))?;
        let urls = [Some(&account.base_url), token_url, account.proxy.as_ref()];
        let needs_tls = urls.into_iter().flatten().any(|url| url.scheme() == "https");
        let http = http_client(&account, needs_tls)?;
        let CheckedAccount { name, credential, base_url, request_timeout, headers, .. } = account;
        let tokens = match credential {
            Credential::Token(source) => Tokens::Fixed(source),
            Credential::Oauth(source) => Tokens::Oauth(Box::new(Oauth::new(source, http.clone(), request_timeout))),
        };
        let changes = Changes::new(listener);
        Ok(Self(Arc::new(Inner { account: name, http, tokens, base_url, request_timeout, headers, changes })))
    }

    /// See [`Source::poll`](super::Source::poll). Takes at most three times the request timeout: for the request, for a
    /// new access token after a 401, and for the second request.
    pub async fn poll(&self, stream: &StreamId, kind: StreamKind, token: Option<&SyncToken>, form: PollForm) -> Polled {
        let url = requests::poll(self.base_url(), stream, kind, token, form);
        let none = HeaderMap::new();
        let headers = if form == PollForm::Full { &self.0.headers } else { &none };
        match self.ask_with(headers, Method::GET, url, None).await {
            Ok(answer) => wire::polled(answer),
            Err(refusal) => Polled { outcome: refusal.into(), stamp: None, received_at: now() },
        }
    }

    /// See [`Source::probe`](super::Source::probe). Takes at most as long as a poll.
    pub async fn probe(&self) -> Probed {
        match self.ask(Method::GET, requests::look(self.base_url(), &Look::Me), None).await {
            Ok(answer) => wire::probed(answer),
            Err(refusal) => Probed { verdict: wire::verdict(&refusal), stamp: None, received_at: now() },
        }
    }

    /// See [`Source::list`](super::Source::list). Takes at most as long as a poll.
    pub async fn list(&self, listing: &Listing, offset: Option<&str>, limit: u8) -> ListOutcome {
        match self.ask(Method::GET, requests::list(self.base_url(), listing, offset, limit), None).await {
            Ok(answer) => {
                let received_at = answer.received_at;
                items::outcome(listing.what, offset, answer, received_at)
            }
            Err(refusal) => refusal.into(),
        }
    }

    /// See [`Source::modified_tasks`](super::Source::modified_tasks). Takes at most as long as a poll.
    pub async fn modified_tasks(&self, project: &Gid, since: DateTime<Utc>, offset: Option<&str>) -> ListOutcome {
        let url = requests::modified_tasks(self.base_url(), project, since, offset);
        match self.ask(Method::GET, url, None).await {
            Ok(answer) => {
                let received_at = answer.received_at;
                items::outcome(What::Tasks, offset, answer, received_at)
            }
            Err(refusal) => refusal.into(),
        }
    }

    /// Reads one object. Takes at most as long as a poll.
    ///
    /// # Errors
    /// Why Asana gave no object.
    ///
    /// *Cancel safety*: dropping the future drops the request; nothing is changed by it.
    pub async fn look(&self, look: &Look) -> Result<Seen, Refusal> {
        look::read(self.ask(Method::GET, requests::look(self.base_url(), look), None).await?)
    }

    /// What Asana tells of the account's refresh token: its scopes, and its end. `None` if the account has none, because
    /// it isn't an OAuth account. Takes at most the request timeout.
    ///
    /// # Errors
    /// Why Asana told nothing.
    ///
    /// *Cancel safety*: dropping the future drops the request; nothing is changed by it.
    pub async fn grant(&self) -> Result<Option<Grant>, Failure> {
        self.0.tokens.grant().await.map_err(|error| Failure::Credential(error.to_string()))
    }

    pub(super) fn base_url(&self) -> &Url {
        &self.0.base_url
    }

    /// Asks once; a second time only after a 401 and with another credential.
    pub(super) async fn ask(&self, method: Method, url: Url, body: Option<String>) -> Result<HttpAnswer, Refusal> {
        self.ask_with(&self.0.headers, method, url, body).await
    }

    async fn ask_with(
        &self,
        headers: &HeaderMap,
        method: Method,
        url: Url,
        body: Option<String>,
    ) -> Result<HttpAnswer, Refusal> {
        let inner = &self.0;
        let bearer = inner.tokens.bearer().await?;
        let mut answer = inner.send(headers, method.clone(), url.clone(), body.clone(), bearer.clone()).await?;
        if answer.status == StatusCode::UNAUTHORIZED
            && let Some(other) = inner.tokens.instead_of(&bearer).await?
        {
            answer = inner.send(headers, method, url, body, other).await?;
        }
        inner.changes.observe(&inner.account, &answer.headers);
        Ok(answer)
    }
}

impl From<CredentialError> for Refusal {
    fn from(error: CredentialError) -> Self {
        match error {
            CredentialError::Refused => Self::Denied(Denial::Unauthorized),
            CredentialError::Unreadable { .. }
            | CredentialError::Empty(_)
            | CredentialError::NotAToken(_)
            | CredentialError::Refresh(_) => Self::Failed(Failure::Credential(error.to_string())),
        }
    }
}

impl Inner {
    async fn send(
        &self,
        headers: &HeaderMap,
        method: Method,
        url: Url,
        body: Option<String>,
        bearer: HeaderValue,
    ) -> Result<HttpAnswer, Refusal> {
        let mut request = Request::new(method, url);
        request.headers_mut().clone_from(headers);
        if let Some(body) = body {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *request.body_mut() = Some(body.into());
        }
        request.headers_mut().insert(AUTHORIZATION, bearer);
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        exchange(&self.http, request, self.request_timeout).await.map_err(Refusal::Failed)
    }
}

pub(super) fn check_url(url: &Url, role: &'static str) -> Result<(), ClientError> {
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    let usable = matches!(url.scheme(), "http" | "https") && url.has_host() && url.fragment().is_none();
    if plain && usable { Ok(()) } else { Err(ClientError::Url { role }) }
}

pub(super) fn http_client(account: &CheckedAccount, needs_tls: bool) -> Result<reqwest::Client, ClientError> {
    use rustls::crypto::{CryptoProvider, ring};
    // The HTTP library takes the process's provider. Losing the race to set it is as good as winning.
    if CryptoProvider::get_default().is_none() && ring::default_provider().install_default().is_err() {
        tracing::debug!("crypto provider already installed");
    }
    let builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .redirect(redirect::Policy::none())
        .pool_max_idle_per_host(usize::from(account.max_in_flight.get()))
        .http2_keep_alive_interval(PING_INTERVAL)
        .http2_keep_alive_timeout(PING_INTERVAL);
    let builder = match &account.ca_file {
        Some(file) => builder.tls_certs_only(authorities(file)?),
        None if needs_tls => builder,
        // Without TLS no certificates are looked for, which a bare container doesn't have.
        None => builder.tls_certs_only([]),
    };
    let unusable = |error: reqwest::Error| ClientError::Tls(one_line(&error.without_url()));
    let builder = match &account.proxy {
        Some(proxy) => builder.proxy(reqwest::Proxy::all(proxy.clone()).map_err(unusable)?),
        None => builder,
    };
    builder.build().map_err(unusable)
}

fn authorities(file: &Path) -> Result<Vec<reqwest::Certificate>, ClientError> {
    let failed = |reason: String| ClientError::CaFile { path: file.to_owned(), reason };
    let pem = std::fs::read(file).map_err(|error| failed(error.to_string()))?;
    reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| failed(one_line(&error)))
}

#[expect(clippy::disallowed_methods, reason = "an edge: when nothing came is a fact of the wall clock")]
pub(super) fn now() -> DateTime<Utc> {
    SystemTime::now().into()
}
