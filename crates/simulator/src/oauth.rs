//! The OAuth server: the page that asks a user for consent, and the endpoints that issue and describe tokens.
//!
//! It is strict where RFC 6749 and RFC 7636 are, so that a client that is wrong fails here and not at Asana.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use ring::digest;
use serde_json::{Map, Value, json};
use url::Url;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::{
    accounts::Accounts,
    consent,
    http::{Answer, Request},
    scenario::{OAuth, OUT_OF_BAND},
    time::Timestamp,
};

/// The life of a refresh token: the ten years that Asana's example of an introspection shows.
const REFRESH_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);

/// What a user allowed a client, until it is exchanged.
#[derive(Debug)]
struct Code {
    redirect_uri: String,
    challenge: Option<String>,
    scope: String,
    expires: Timestamp,
    /// The refresh token that it was exchanged for.
    exchanged: Option<String>,
}

/// A refresh token, and the access tokens that it got.
#[derive(Debug)]
struct Grant {
    scope: String,
    expires: Timestamp,
    access: Vec<String>,
}

/// The body of an answer with tokens.
type Tokens = Map<String, Value>;

/// What `POST /-/oauth_token` refuses, as RFC 6749 (section 5.2) names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Refused {
    status: u16,
    error: &'static str,
    description: &'static str,
}

const fn refused(error: &'static str, description: &'static str) -> Refused {
    Refused { status: 400, error, description }
}

impl From<Refused> for Answer {
    fn from(refused: Refused) -> Self {
        let Refused { status, error, description } = refused;
        Self::json(status, &json!({"error": error, "error_description": description})).unstored()
    }
}

/// A form of a request. Each parameter is there at most once.
#[derive(Debug)]
pub(crate) struct Form(BTreeMap<String, String>);

impl Form {
    /// `None` if a parameter is repeated, which RFC 6749 forbids.
    pub(crate) fn of(pairs: impl IntoIterator<Item = (String, String)>) -> Option<Self> {
        let mut form = BTreeMap::new();
        for (name, value) in pairs {
            if form.insert(name, value).is_some() {
                return None;
            }
        }
        Some(Self(form))
    }

    fn posted(request: &Request) -> Option<Self> {
        Self::of(url::form_urlencoded::parse(&request.body).into_owned())
    }

    /// A parameter. An empty one counts as missing, as RFC 6749 says.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// The OAuth server of a simulator.
#[derive(Debug)]
pub(crate) struct OauthServer {
    client: Option<OAuth>,
    codes: BTreeMap<String, Code>,
    grants: BTreeMap<String, Grant>,
    issued: u64,
    seed: u64,
}

/// What a client asked a user for, checked.
#[derive(Debug)]
struct Asked<'a> {
    redirect_uri: &'a str,
    state: &'a str,
    challenge: Option<&'a str>,
    scope: String,
}

/// Why a user isn't asked.
#[derive(Debug)]
enum Unasked<'a> {
    /// The user sees a text, because it isn't certain who would get an answer.
    Shown(String),
    /// The client gets an error by the redirect.
    Told { redirect_uri: &'a str, state: Option<&'a str>, error: &'static str },
}

impl OauthServer {
    pub(crate) fn new(client: Option<OAuth>, seed: u64, now: Timestamp) -> Self {
        let grant = |client: &OAuth| {
            let grant = Grant { scope: client.scopes.join(" "), expires: now.plus(REFRESH_LIFE), access: Vec::new() };
            (client.refresh_token.clone(), grant)
        };
        let grants = client.iter().map(grant).collect();
        Self { client, codes: BTreeMap::new(), grants, issued: 0, seed }
    }

    /// `/-/oauth_authorize`: `GET` shows the page that asks the user, `POST` is the user's click on one of its buttons.
    pub(crate) fn authorize(&mut self, request: &Request, now: Timestamp) -> Answer {
        let form = match request.method.as_str() {
            "GET" => Form::of(request.query.iter().cloned()),
            _ => Form::posted(request),
        };
        let Some(form) = form else {
            return consent::text(400, "invalid_request: a parameter is there twice.");
        };
        let Some(client) = &self.client else {
            return consent::text(400, "invalid_request: no application is registered here.");
        };
        let asked = match asked(client, &form) {
            Ok(asked) => asked,
            Err(Unasked::Shown(text)) => return consent::text(400, &text),
            Err(Unasked::Told { redirect_uri, state, error }) => {
                return redirect(redirect_uri, &[("error", Some(error)), ("state", state)]);
            }
        };
        if request.method == "GET" {
            return consent::page(&client.client_id, &asked.scope, form.0.iter());
        }
        match form.get("decision") {
            Some("allow") => {
                let code = self.code(&asked, now);
                redirect(asked.redirect_uri, &[("code", Some(&code)), ("state", Some(asked.state))])
            }
            Some(_) | None => {
                redirect(asked.redirect_uri, &[("error", Some("access_denied")), ("state", Some(asked.state))])
            }
        }
    }

    fn code(&mut self, asked: &Asked<'_>, now: Timestamp) -> String {
        let life = self.client.as_ref().map_or(Duration::ZERO, |client| client.code_life.0);
        let code = Code {
            redirect_uri: asked.redirect_uri.to_owned(),
            challenge: asked.challenge.map(str::to_owned),
            scope: asked.scope.clone(),
            expires: now.plus(life),
            exchanged: None,
        };
        let name = self.made_up("code");
        self.codes.insert(name.clone(), code);
        name
    }

    /// `POST /-/oauth_token`. `user` is what Asana tells of the user beside the tokens.
    pub(crate) fn token(&mut self, request: &Request, user: Value, accounts: &mut Accounts, now: Timestamp) -> Answer {
        match self.issue(request, accounts, now) {
            Ok(mut body) => {
                body.insert("data".to_owned(), user);
                Answer::ok(&Value::Object(body)).unstored()
            }
            Err(refused) => refused.into(),
        }
    }

    fn issue(&mut self, request: &Request, accounts: &mut Accounts, now: Timestamp) -> Result<Tokens, Refused> {
        let form = Form::posted(request).ok_or(refused("invalid_request", "A parameter is there twice."))?;
        let grant_type = form.get("grant_type").ok_or(refused("invalid_request", "grant_type is missing."))?;
        if !["authorization_code", "refresh_token"].contains(&grant_type) {
            return Err(refused("unsupported_grant_type", "grant_type is neither a code's nor a refresh token's."));
        }
        let client = self.client(&form)?;
        if grant_type == "refresh_token" {
            let token = form.get("refresh_token").ok_or(refused("invalid_request", "refresh_token is missing."))?;
            return self.access(token, &client, accounts, now);
        }
        let token = self.exchange(&form, accounts, now)?;
        let mut body = self.access(&token, &client, accounts, now)?;
        body.insert("refresh_token".to_owned(), Value::String(token));
        Ok(body)
    }

    /// The registered client, if the request proves to be its.
    fn client(&self, form: &Form) -> Result<OAuth, Refused> {
        let unknown = Refused { status: 401, ..refused("invalid_client", "The client or its secret is wrong.") };
        let client = self.client.as_ref().ok_or(unknown)?;
        let secret = client.client_secret.as_deref();
        let is_it = form.get("client_id") == Some(&client.client_id) && form.get("client_secret") == secret;
        if is_it { Ok(client.clone()) } else { Err(unknown) }
    }

    /// A refresh token for a code, once.
    fn exchange(&mut self, form: &Form, accounts: &mut Accounts, now: Timestamp) -> Result<String, Refused> {
        let name = form.get("code").ok_or(refused("invalid_request", "code is missing."))?;
        let code = self.codes.get(name).ok_or(refused("invalid_grant", "The code is unknown."))?;
        if let Some(token) = code.exchanged.clone() {
            // Somebody else may have it: RFC 6749 (section 4.1.2) wants what it was exchanged for to be revoked.
            self.revoke(&token, accounts);
            return Err(refused("invalid_grant", "The code was used before."));
        }
        if now >= code.expires {
            return Err(refused("invalid_grant", "The code is too old."));
        }
        if form.get("redirect_uri") != Some(&code.redirect_uri) {
            return Err(refused("invalid_grant", "redirect_uri isn't the one of the authorization."));
        }
        if !verified(code.challenge.as_deref(), form.get("code_verifier")) {
            return Err(refused("invalid_grant", "code_verifier doesn't match the code_challenge."));
        }
        let scope = code.scope.clone();
        let token = self.made_up("refresh");
        self.grants.insert(token.clone(), Grant { scope, expires: now.plus(REFRESH_LIFE), access: Vec::new() });
        if let Some(code) = self.codes.get_mut(name) {
            code.exchanged = Some(token.clone());
        }
        Ok(token)
    }

    fn access(
        &mut self,
        refresh: &str,
        client: &OAuth,
        accounts: &mut Accounts,
        now: Timestamp,
    ) -> Result<Tokens, Refused> {
        let access = self.made_up("access");
        let grant = self.grants.get_mut(refresh).filter(|grant| now < grant.expires);
        let grant = grant.ok_or(refused("invalid_grant", "The refresh token is unknown, or was revoked."))?;
        grant.access.push(access.clone());
        accounts.admit_access(access.clone(), client.account.clone(), now.plus(client.expires_in.0), now);
        let body = [
            ("access_token", Value::String(access)),
            ("token_type", json!("bearer")),
            ("expires_in", json!(client.expires_in.0.as_secs())),
        ];
        Ok(body.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    fn revoke(&mut self, refresh: &str, accounts: &mut Accounts) {
        let grant = self.grants.remove(refresh);
        for access in grant.into_iter().flat_map(|grant| grant.access) {
            accounts.revoke_access(&access);
        }
    }

    /// `POST /-/token_info`: the scopes and the end of an access or refresh token.
    pub(crate) fn info(&self, request: &Request, accounts: &Accounts, now: Timestamp) -> Answer {
        let Some(token) = Form::posted(request).and_then(|form| form.get("token").map(str::to_owned)) else {
            return refused("invalid_request", "token is missing.").into();
        };
        let client_id = self.client.as_ref().map(|client| &client.client_id);
        let described = |kind: &str, scope: &str, expires: Timestamp| {
            let left = expires.since(now).as_secs();
            let body = json!({
                "token_type": kind, "expires_in": left, "exp": expires.seconds(), "scope": scope, "active": true,
                "client_id": client_id,
            });
            Answer::ok(&body)
        };
        if let Some(grant) = self.grants.get(&token).filter(|grant| now < grant.expires) {
            return described("refresh", &grant.scope, grant.expires).unstored();
        }
        let grant = self.grants.values().find(|grant| grant.access.contains(&token));
        match (grant, accounts.access_until(&token)) {
            (Some(grant), Some(expires)) if now < expires => described("bearer", &grant.scope, expires).unstored(),
            _ => Answer::ok(&json!({"active": false})).unstored(),
        }
    }

    /// The name of the account that tokens stand for.
    pub(crate) fn account(&self) -> Option<&str> {
        self.client.as_ref().map(|client| client.account.as_str())
    }

    /// A text that was never there before, and is the same in each run of the same seed.
    fn made_up(&mut self, what: &str) -> String {
        self.issued += 1;
        let digest = xxh3_128_with_seed(format!("{what} {}", self.issued).as_bytes(), self.seed);
        format!("sim-{what}-{digest:032x}")
    }
}

/// Checks the request of a client in the order that RFC 6749 (section 4.1.2.1) demands: first who gets the answer.
fn asked<'a>(client: &OAuth, form: &'a Form) -> Result<Asked<'a>, Unasked<'a>> {
    let shown = |text: &str| Unasked::Shown(text.to_owned());
    if form.get("client_id") != Some(&client.client_id) {
        return Err(shown("invalid_request: The `client_id` parameter is no application's."));
    }
    let redirect_uri = form.get("redirect_uri").filter(|uri| client.redirect_uris.iter().any(|known| known == uri));
    let Some(redirect_uri) = redirect_uri else {
        let text = "invalid_request: The `redirect_uri` parameter does not match a valid url for the application.";
        return Err(shown(text));
    };
    let state = form.get("state");
    let told = |error| Unasked::Told { redirect_uri, state, error };
    if form.get("response_type") != Some("code") {
        return Err(told("unsupported_response_type"));
    }
    let challenge = form.get("code_challenge");
    let is_hashed = form.get("code_challenge_method") == challenge.map(|_| "S256");
    // 32 bytes in base64url, which is what SHA-256 gives.
    let is_hash = challenge.is_none_or(|challenge| challenge.len() == 43);
    let (Some(state), true, true) = (state, is_hashed, is_hash) else { return Err(told("invalid_request")) };
    let scope = form.get("scope").unwrap_or("default");
    let known: BTreeSet<_> = client.scopes.iter().map(String::as_str).collect();
    let foreign: Vec<_> = scope.split(' ').filter(|scope| !known.contains(scope)).collect();
    if !foreign.is_empty() {
        let foreign = foreign.join(" ");
        return Err(Unasked::Shown(format!(
            "forbidden_scopes: Your app is not allowed to request user authorization for `{foreign}` scopes."
        )));
    }
    Ok(Asked { redirect_uri, state, challenge, scope: scope.to_owned() })
}

/// Whether the client that exchanges a code is the one that asked for it: RFC 7636 with `S256`.
fn verified(challenge: Option<&str>, verifier: Option<&str>) -> bool {
    let is_legal = |verifier: &str| {
        let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        (43..=128).contains(&verifier.len()) && verifier.bytes().all(unreserved)
    };
    match (challenge, verifier) {
        (None, None) => true,
        (Some(challenge), Some(verifier)) if is_legal(verifier) => {
            let hash = digest::digest(&digest::SHA256, verifier.as_bytes());
            BASE64_URL_SAFE_NO_PAD.encode(hash) == challenge
        }
        _ => false,
    }
}

/// Sends the browser back to the client, or shows the code if the client receives no requests.
fn redirect(to: &str, parameters: &[(&str, Option<&str>)]) -> Answer {
    let parameters = parameters.iter().filter_map(|(name, value)| Some((*name, (*value)?)));
    if to == OUT_OF_BAND {
        return consent::result(parameters);
    }
    match Url::parse(to) {
        Ok(mut url) => {
            url.query_pairs_mut().extend_pairs(parameters);
            Answer { headers: vec![("location", url.into())], ..Answer::bytes(302, "") }
        }
        Err(error) => consent::text(500, &format!("{to}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7636, appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    #[test]
    fn a_verifier_belongs_to_one_challenge() {
        assert!(verified(Some(CHALLENGE), Some(VERIFIER)));
        assert!(verified(None, None));
        for (challenge, verifier) in [
            (Some(CHALLENGE), Some(CHALLENGE)),
            (Some(VERIFIER), Some(VERIFIER)),
            (Some(CHALLENGE), None),
            (None, Some(VERIFIER)),
            (Some(CHALLENGE), Some("short")),
        ] {
            assert!(!verified(challenge, verifier), "{challenge:?} {verifier:?}");
        }
    }

    #[test]
    fn a_repeated_parameter_makes_no_form() {
        let pair = |name: &str| (name.to_owned(), "x".to_owned());
        assert!(Form::of([pair("a"), pair("b")]).is_some());
        assert!(Form::of([pair("a"), pair("a")]).is_none());
    }
}
