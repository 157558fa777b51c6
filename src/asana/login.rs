//! A refresh token for an OAuth application, by a user's consent: the authorization code flow with PKCE.
//!
//! ```text
//! Login::ask ──► Question: an address for the user's browser
//!                   │  the browser, or the user, brings the answer back
//! Question::code ◄──┘      (its state has to be the question's)
//! Login::exchange(question, code) ──► the refresh token
//! ```

use super::client::{ClientError, check_url, http_client};
use super::credential::reason;
use super::http::exchange;
use crate::config::{CheckedAccount, Secret};
use bridge_core::outcome::poll::Failure;
use oauth2::basic::{BasicClient, BasicErrorResponseType, BasicRequestTokenError};
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointNotSet, EndpointSet, HttpRequest,
    HttpResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope, TokenResponse as _,
    TokenUrl,
};
use std::time::Duration;
use url::Url;

/// An application that is registered with Asana.
#[derive(Clone, Debug)]
pub struct Application {
    /// Its client id.
    pub client_id: String,
    /// Its client secret. `None` if it has none.
    pub client_secret: Option<Secret>,
    /// The redirect address, exactly as registered.
    pub redirect_uri: String,
    /// The address at which a user is asked.
    pub authorize_url: Url,
    /// The address that issues tokens.
    pub token_url: Url,
}

/// Why there is no refresh token. The texts contain no secret.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The user declined.
    #[error("access was declined in Asana")]
    Declined,
    /// Asana refused the question.
    #[error("Asana refused the login: {0}")]
    Refused(String),
    /// The answer belongs to another question, or comes from somebody else.
    #[error(
        "the answer's `state` isn't this login's: it belongs to an older login, or somebody else sent it. \
         Start again, and use the new address only"
    )]
    State,
    /// The answer has neither a code nor an error.
    #[error("the answer has no code")]
    NoCode,
    /// Asana doesn't know the client id and the client secret together.
    #[error(
        "Asana doesn't accept the client id with this client secret: compare both with the application's in Asana's developer console{0}"
    )]
    Client(String),
    /// Asana doesn't accept the code.
    #[error(
        "Asana doesn't accept the code: it is valid once, for a short time, and for one redirect address. Start again{0}"
    )]
    Code(String),
    /// Asana refused the exchange for another reason.
    #[error("Asana gave no token: {0}")]
    Exchange(String),
    /// There was no usable answer of the token URL.
    #[error("no token: {0}")]
    Unanswered(String),
    /// The answer has only an access token, which is valid for an hour.
    #[error("Asana's answer has no refresh token")]
    NoRefreshToken,
}

/// Logs a user in for one application.
#[derive(Debug)]
pub struct Login {
    client: BasicClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>,
    http: reqwest::Client,
    timeout: Duration,
}

/// What a user is asked.
#[derive(Debug)]
pub struct Question {
    url: Url,
    state: CsrfToken,
    verifier: PkceCodeVerifier,
}

/// What a user's consent gives. Valid once, and for a short time.
#[derive(Debug)]
pub struct Code(AuthorizationCode);

impl Code {
    /// The code that a user copied from Asana's page, without the white space around it.
    #[must_use]
    pub fn pasted(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(AuthorizationCode::new(text.to_owned())))
    }
}

impl Login {
    /// Connects to nothing. The account's certificates, proxy and timeout are used.
    ///
    /// # Errors
    /// A URL, the redirect address or the certificates can't be used.
    pub fn new(application: Application, account: &CheckedAccount) -> Result<Self, ClientError> {
        let Application { client_id, client_secret, redirect_uri, authorize_url, token_url } = application;
        check_url(&authorize_url, "the authorization URL")?;
        check_url(&token_url, "the token URL")?;
        let redirect =
            RedirectUrl::new(redirect_uri).map_err(|_unparsable| ClientError::Url { role: "the redirect address" })?;
        let http = http_client(account, token_url.scheme() == "https")?;
        let client = BasicClient::new(ClientId::new(client_id))
            .set_auth_uri(AuthUrl::from_url(authorize_url))
            .set_token_uri(TokenUrl::from_url(token_url))
            .set_redirect_uri(redirect)
            // As Asana documents it.
            .set_auth_type(AuthType::RequestBody);
        let client = match client_secret {
            Some(secret) => client.set_client_secret(ClientSecret::new(secret.expose().to_owned())),
            None => client,
        };
        Ok(Self { client, http, timeout: account.request_timeout })
    }

    /// A new question, for these scopes. Each has its own `state` and PKCE verifier.
    #[must_use]
    pub fn ask(&self, scopes: &[String]) -> Question {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let scopes = scopes.iter().cloned().map(Scope::new);
        let request = self.client.authorize_url(CsrfToken::new_random).add_scopes(scopes).set_pkce_challenge(challenge);
        let (url, state) = request.url();
        Question { url, state, verifier }
    }

    /// The refresh token for a code. Takes at most the request timeout.
    ///
    /// # Errors
    /// Why there is none. The code can't be used again then.
    ///
    /// *Cancel safety*: if dropped, the code may be used up.
    pub async fn exchange(&self, question: Question, code: Code) -> Result<Secret, LoginError> {
        let send = async |request| send(&self.http, request, self.timeout).await;
        let request = self.client.exchange_code(code.0).set_pkce_verifier(question.verifier);
        let tokens = request.request_async(&send).await.map_err(failed)?;
        let token = tokens.refresh_token().filter(|token| !token.secret().is_empty());
        Ok(Secret::new(token.ok_or(LoginError::NoRefreshToken)?.secret()))
    }
}

impl Question {
    /// The address to open in the user's browser. It contains no secret.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The code in the query of the redirect. `None` if the query is no answer to any question, such as what browsers request
    /// by themselves.
    ///
    /// # Errors
    /// The user declined, Asana refused, or the answer isn't to this question.
    pub fn code(&self, query: &str) -> Option<Result<Code, LoginError>> {
        let value = |name: &str| {
            let mut pairs = url::form_urlencoded::parse(query.as_bytes());
            pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
        };
        let (code, error, state) = (value("code"), value("error"), value("state"));
        if code.is_none() && error.is_none() && state.is_none() {
            return None;
        }
        // Before anything else: until then it isn't known who answers.
        if state.map(CsrfToken::new).is_none_or(|state| state != self.state) {
            return Some(Err(LoginError::State));
        }
        Some(match (error.as_deref(), code.as_deref().and_then(Code::pasted)) {
            (Some("access_denied"), _) => Err(LoginError::Declined),
            (Some(error), _) => Err(LoginError::Refused(
                value("error_description").map_or_else(|| error.to_owned(), |it| format!("{error}: {it}")),
            )),
            (None, Some(code)) => Ok(code),
            (None, None) => Err(LoginError::NoCode),
        })
    }
}

/// Why a request got no answer, as an error type of its own.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unanswered(String);

/// Sends the library's request in the way of all requests to Asana: limited in time and size.
async fn send(http: &reqwest::Client, request: HttpRequest, timeout: Duration) -> Result<HttpResponse, Unanswered> {
    let request =
        request.try_into().map_err(|_unsendable: reqwest::Error| Unanswered("the request is invalid".to_owned()))?;
    let failed = |failure: Failure| Unanswered(reason(&failure));
    let answer = exchange(http, request, timeout).await.map_err(failed)?;
    let mut response = HttpResponse::new(answer.body.map_err(failed)?);
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    Ok(response)
}

/// What went wrong with an exchange. The body of an answer that can't be read may hold tokens, and isn't quoted.
fn failed(error: BasicRequestTokenError<Unanswered>) -> LoginError {
    match error {
        RequestTokenError::ServerResponse(response) => {
            let description = response.error_description().map(|text| format!(" ({text})")).unwrap_or_default();
            match response.error() {
                BasicErrorResponseType::InvalidClient | BasicErrorResponseType::UnauthorizedClient => {
                    LoginError::Client(description)
                }
                BasicErrorResponseType::InvalidGrant => LoginError::Code(description),
                BasicErrorResponseType::InvalidRequest
                | BasicErrorResponseType::InvalidScope
                | BasicErrorResponseType::UnsupportedGrantType
                | BasicErrorResponseType::Extension(_) => {
                    LoginError::Exchange(format!("{}{description}", response.error().as_ref()))
                }
            }
        }
        RequestTokenError::Request(unanswered) => LoginError::Unanswered(unanswered.0),
        RequestTokenError::Parse(..) | RequestTokenError::Other(_) => {
            LoginError::Unanswered("the token URL's answer isn't one of OAuth".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> Question {
        let (_, verifier) = PkceCodeChallenge::new_random_sha256();
        Question { url: "http://localhost/".parse().unwrap(), state: CsrfToken::new("s+1".to_owned()), verifier }
    }

    fn code(query: &str) -> Option<Result<String, String>> {
        let code = question().code(query)?;
        Some(code.map(|code| code.0.secret().clone()).map_err(|error| error.to_string()))
    }

    #[test]
    fn an_answer_to_the_question_has_its_code() {
        assert_eq!(code("code=a%2Fb&state=s%2B1"), Some(Ok("a/b".to_owned())));
        assert_eq!(code("state=s%2B1&code=a&more=1"), Some(Ok("a".to_owned())));
    }

    #[test]
    fn what_is_no_answer_is_ignored() {
        assert_eq!(code(""), None);
        assert_eq!(code("utm=1"), None);
    }

    #[test]
    fn the_state_is_compared_before_anything_else() {
        for query in
            ["code=a", "code=a&state=", "code=a&state=s%2B2", "error=access_denied&state=x", "error=x", "state=x"]
        {
            let said = code(query).unwrap().unwrap_err();
            assert!(said.contains("`state` isn't this login's"), "{query}: {said}");
        }
    }

    #[test]
    fn refusals_are_told_apart() {
        for (query, words) in [
            ("error=access_denied&state=s%2B1", "access was declined in Asana"),
            ("error=access_denied&code=a&state=s%2B1", "access was declined in Asana"),
            ("error=forbidden_scopes&error_description=not%20these&state=s%2B1", "forbidden_scopes: not these"),
            ("error=server_error&state=s%2B1", "Asana refused the login: server_error"),
            ("code=%20&state=s%2B1", "the answer has no code"),
            ("state=s%2B1", "the answer has no code"),
        ] {
            let said = code(query).unwrap().unwrap_err();
            assert!(said.contains(words), "{query}: {said}");
        }
    }

    #[test]
    fn nothing_of_it_is_printed() {
        let question = question();
        let printed = format!("{question:?} {:?}", Code::pasted(" c0de \n").unwrap());
        assert!(!printed.contains("c0de") && !printed.contains(question.verifier.secret()), "{printed}");
        assert!(Code::pasted(" \n").is_none());
    }
}
