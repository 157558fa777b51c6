//! Access tokens, renewed by a refresh token.

use super::credential::{CredentialError, Origin, bearer, read, unanswered};
use super::grant::{self, Grant};
use super::http::{HttpAnswer, exchange};
use crate::config::{CheckedOauth, Secret};
use reqwest::header::HeaderValue;
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use url::Url;

/// The life of an access token if the answer doesn't contain it: Asana's usual one.
const DEFAULT_LIFE: Duration = Duration::from_secs(3600);

/// An access token is replaced this long before its end, so that none expires in flight.
const EARLY: Duration = Duration::from_secs(60);

/// The maximum life that is accepted.
const MAX_LIFE: Duration = Duration::from_secs(24 * 3600);

/// One account's access tokens. Concurrent requests for an access token share one refresh, and its failure too.
pub(super) struct Oauth {
    source: CheckedOauth,
    http: Client,
    timeout: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    access: Option<Access>,
    /// The last refresh's failure, for the requests that waited for it.
    failure: Option<(Instant, CredentialError)>,
    replaced: Option<Replaced>,
}

struct Access {
    bearer: HeaderValue,
    usable_until: Instant,
}

/// A refresh token that replaced the configured one in an answer.
struct Replaced {
    own: Secret,
    by: Secret,
}

/// Not `Debug`: all of it is secret.
#[derive(Deserialize)]
struct TokenBody {
    access_token: String,
    expires_in: Option<u64>,
    refresh_token: Option<String>,
}

impl Oauth {
    pub(super) fn new(source: CheckedOauth, http: Client, timeout: Duration) -> Self {
        Self { source, http, timeout, state: Mutex::default() }
    }

    /// The access token. It is renewed if there is none, or if it is near its end.
    ///
    /// *Cancel safety*: a refresh that is dropped half-way is done again by the next caller.
    pub(super) async fn bearer(&self) -> Result<HeaderValue, CredentialError> {
        self.access(None).await
    }

    /// An access token other than the `rejected` one.
    ///
    /// *Cancel safety*: as [`bearer`](Self::bearer).
    pub(super) async fn instead_of(&self, rejected: &HeaderValue) -> Result<HeaderValue, CredentialError> {
        self.access(Some(rejected)).await
    }

    async fn access(&self, rejected: Option<&HeaderValue>) -> Result<HeaderValue, CredentialError> {
        let asked = now();
        let mut state = self.state.lock().await;
        if let Some(access) = &state.access
            && access.usable_until > asked
            && rejected != Some(&access.bearer)
        {
            return Ok(access.bearer.clone());
        }
        if let Some((at, failure)) = &state.failure
            && *at >= asked
        {
            return Err(failure.clone());
        }
        let refreshed = self.refresh(&mut state).await;
        if let Err(error) = &refreshed {
            state.failure = Some((now(), error.clone()));
        }
        refreshed
    }

    async fn refresh(&self, state: &mut State) -> Result<HeaderValue, CredentialError> {
        let client_secret = match &self.source.client_secret {
            Some(source) => Some(read(source).await?),
            None => None,
        };
        let own = read(&self.source.refresh_token).await?;
        let current = state.current(&own);
        let mut form = vec![("grant_type", "refresh_token"), ("client_id", &self.source.client_id)];
        form.extend(client_secret.as_ref().map(|secret| ("client_secret", secret.expose())));
        form.extend([("redirect_uri", self.source.redirect_uri.as_str()), ("refresh_token", current.expose())]);
        // The life counts from before the request, so that it can't be over-estimated.
        let sent = now();
        let answer = self.post(self.source.token_url.clone(), &form).await?;
        let TokenBody { access_token, expires_in, refresh_token } = tokens(answer)?;
        let bearer = bearer(&access_token.into(), Origin::AccessToken)?;
        if let Some(by) = refresh_token.filter(|text| !text.is_empty()) {
            state.replaced = Some(Replaced { own, by: by.into() });
        }
        let life = expires_in.map_or(DEFAULT_LIFE, Duration::from_secs).min(MAX_LIFE);
        // Of a short life, half is used: never so early that no token were usable at all.
        let usable_until = sent + life.saturating_sub(EARLY.min(life / 2));
        state.access = Some(Access { bearer: bearer.clone(), usable_until });
        Ok(bearer)
    }

    /// What Asana tells of the refresh token. It is sent to the sibling of the token URL that Asana's documentation of
    /// OAuth names.
    ///
    /// *Cancel safety*: dropping the future drops the request; nothing is changed by it.
    pub(super) async fn grant(&self) -> Result<Grant, CredentialError> {
        let own = read(&self.source.refresh_token).await?;
        let current = self.state.lock().await.current(&own);
        let url = grant::url(&self.source.token_url);
        grant::read(self.post(url, &[("token", current.expose())]).await?)
    }

    async fn post(&self, url: Url, form: &[(&str, &str)]) -> Result<HttpAnswer, CredentialError> {
        let request =
            self.http.post(url).form(form).build().map_err(|error| {
                CredentialError::Refresh(format!("the request is invalid: {}", error.without_url()))
            })?;
        exchange(&self.http, request, self.timeout).await.map_err(|failure| unanswered(&failure))
    }
}

impl State {
    /// The refresh token to use while the source has `own`.
    fn current(&self, own: &Secret) -> Secret {
        match &self.replaced {
            Some(replaced) if replaced.own == *own => replaced.by.clone(),
            _ => own.clone(),
        }
    }
}

fn tokens(answer: HttpAnswer) -> Result<TokenBody, CredentialError> {
    match answer.status {
        StatusCode::OK => {
            let body = answer.body.map_err(|failure| unanswered(&failure))?;
            // The library's own words would quote the body.
            serde_json::from_slice(&body).map_err(|error| {
                CredentialError::Refresh(format!("the answer is malformed at column {}", error.column()))
            })
        }
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED => Err(CredentialError::Refused),
        other => Err(CredentialError::Refresh(format!("the token URL answered {}", other.as_u16()))),
    }
}

#[expect(clippy::disallowed_methods, reason = "an edge: an access token ends by the clock")]
fn now() -> Instant {
    Instant::now()
}
