//! The OAuth server, as a browser and a client see it.

use std::time::Duration;

use crate::Asana;
use serde_json::{Value, json};

/// The example of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const LOCAL: &str = "http://localhost:8765/callback";
const OUT_OF_BAND: &str = "urn:ietf:wg:oauth:2.0:oob";

const SCENARIO: &str = "{speed: 0, start: '2026-01-01T00:00:00Z', oauth: {client_id: id, client_secret: secret, \
    refresh_token: again, account: simulator, scopes: ['tasks:read', 'projects:read'], code_life: 30s, \
    redirect_uris: ['http://localhost:8765/callback', 'urn:ietf:wg:oauth:2.0:oob']}}";

struct Server {
    asana: Asana,
    http: reqwest::Client,
}

/// An answer without following where it leads.
struct Seen {
    status: u16,
    location: Option<String>,
    text: String,
}

impl Seen {
    async fn of(request: reqwest::RequestBuilder) -> Self {
        let answer = request.send().await.unwrap();
        let location = answer.headers().get("location").map(|value| value.to_str().unwrap().to_owned());
        Self { status: answer.status().as_u16(), location, text: answer.text().await.unwrap() }
    }

    /// What the client gets by the redirect.
    #[track_caller]
    fn parameter(&self, name: &str) -> Option<String> {
        let location = self.location.as_ref().unwrap_or_else(|| panic!("no redirect: {}", self.text));
        let url: url::Url = location.parse().unwrap();
        url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

/// The parameters of a client that does everything right, with some replaced, added (in front) or removed (by `None`).
fn request<'a>(changes: &[(&'a str, Option<&'a str>)]) -> Vec<(&'a str, &'a str)> {
    let usual = [
        ("client_id", "id"),
        ("redirect_uri", LOCAL),
        ("response_type", "code"),
        ("state", "s&1"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("scope", "tasks:read projects:read"),
    ];
    changed(&usual, changes)
}

fn changed<'a>(usual: &[(&'a str, &'a str)], changes: &[(&'a str, Option<&'a str>)]) -> Vec<(&'a str, &'a str)> {
    let kept = usual.iter().copied().filter(|(name, _)| changes.iter().all(|(other, _)| other != name));
    changes.iter().filter_map(|(name, value)| Some((*name, (*value)?))).chain(kept).collect()
}

impl Server {
    async fn start() -> Self {
        let asana = Asana::start(SCENARIO).await;
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { asana, http }
    }

    fn url(&self, name: &str) -> String {
        format!("{}/-/{name}", self.asana.simulator.url())
    }

    async fn open(&self, parameters: &[(&str, &str)]) -> Seen {
        Seen::of(self.http.get(self.url("oauth_authorize")).query(parameters)).await
    }

    /// The user's click.
    async fn decide(&self, parameters: &[(&str, &str)], decision: &str) -> Seen {
        let form = [parameters, &[("decision", decision)]].concat();
        Seen::of(self.http.post(self.url("oauth_authorize")).form(&form)).await
    }

    async fn code(&self) -> String {
        self.decide(&request(&[]), "allow").await.parameter("code").unwrap()
    }

    async fn post(&self, name: &str, form: &[(&str, &str)]) -> (u16, Value) {
        let seen = Seen::of(self.http.post(self.url(name)).form(form)).await;
        (seen.status, serde_json::from_str(&seen.text).unwrap_or_else(|error| panic!("{error}: {}", seen.text)))
    }

    async fn exchange(&self, code: &str, changes: &[(&str, Option<&str>)]) -> (u16, Value) {
        let usual = [
            ("grant_type", "authorization_code"),
            ("client_id", "id"),
            ("client_secret", "secret"),
            ("redirect_uri", LOCAL),
            ("code", code),
            ("code_verifier", VERIFIER),
        ];
        self.post("oauth_token", &changed(&usual, changes)).await
    }

    async fn refresh(&self, token: &str) -> (u16, Value) {
        let client = [("client_id", "id"), ("client_secret", "secret")];
        let form = [&client[..], &[("grant_type", "refresh_token"), ("refresh_token", token)]].concat();
        self.post("oauth_token", &form).await
    }
}

#[tokio::test]
async fn a_user_consents_and_the_client_gets_tokens() {
    let server = Server::start().await;
    let page = server.open(&request(&[])).await;
    assert_eq!((page.status, &page.location), (200, &None));
    assert!(
        page.text.contains("tasks:read projects:read") && page.text.contains(r#"value="s&amp;1""#),
        "{}",
        page.text
    );
    let allowed = server.decide(&request(&[]), "allow").await;
    assert_eq!(allowed.status, 302);
    assert_eq!(allowed.parameter("state").as_deref(), Some("s&1"));
    assert!(allowed.location.as_ref().unwrap().starts_with("http://localhost:8765/callback?code="));
    let (status, tokens) = server.exchange(&allowed.parameter("code").unwrap(), &[]).await;
    assert_eq!((status, &tokens["token_type"], &tokens["expires_in"]), (200, &json!("bearer"), &json!(3_600)));
    let me = server.asana.ok("/users/me").await.json();
    assert_eq!(tokens["data"]["gid"], me["data"]["gid"], "{tokens}");
    let access = tokens["access_token"].as_str().unwrap();
    assert_eq!(server.asana.get_as(access, "/users/me").await.status, 200);
    let refresh = tokens["refresh_token"].as_str().unwrap();
    for _ in 0..2 {
        let (status, again) = server.refresh(refresh).await;
        assert_eq!((status, again.get("refresh_token")), (200, None), "it isn't rotated");
        let access = again["access_token"].as_str().unwrap();
        assert_eq!(server.asana.get_as(access, "/users/me").await.status, 200);
    }
}

#[tokio::test]
async fn who_can_not_be_redirected_safely_sees_a_text() {
    let server = Server::start().await;
    for (change, words) in [
        (("client_id", Some("other")), "client_id"),
        (("redirect_uri", Some("http://localhost:8765/callback/")), "redirect_uri"),
        (("redirect_uri", Some("http://localhost:8766/callback")), "redirect_uri"),
        (("redirect_uri", None), "redirect_uri"),
        (("scope", Some("tasks:read default")), "forbidden_scopes"),
        (("scope", None), "forbidden_scopes"),
    ] {
        let parameters = request(&[change]);
        for seen in [server.open(&parameters).await, server.decide(&parameters, "allow").await] {
            assert_eq!((seen.status, &seen.location), (400, &None), "{change:?}");
            assert!(seen.text.contains(words), "{change:?}: {}", seen.text);
        }
    }
    let twice = [request(&[]), vec![("state", "2")]].concat();
    assert_eq!(server.open(&twice).await.status, 400);
}

#[tokio::test]
async fn other_errors_go_to_the_client() {
    let server = Server::start().await;
    for (change, error) in [
        (("response_type", Some("token")), "unsupported_response_type"),
        (("state", None), "invalid_request"),
        (("code_challenge_method", Some("plain")), "invalid_request"),
        (("code_challenge_method", None), "invalid_request"),
        (("code_challenge", None), "invalid_request"),
        (("code_challenge", Some("short")), "invalid_request"),
    ] {
        let seen = server.open(&request(&[change])).await;
        assert_eq!((seen.status, seen.parameter("error").as_deref()), (302, Some(error)), "{change:?}");
        assert_eq!(seen.parameter("code"), None);
    }
    let declined = server.decide(&request(&[]), "deny").await;
    assert_eq!(declined.parameter("error").as_deref(), Some("access_denied"));
    assert_eq!((declined.parameter("state").as_deref(), declined.parameter("code")), (Some("s&1"), None));
}

#[tokio::test]
async fn out_of_band_the_user_sees_the_code() {
    let server = Server::start().await;
    let allowed = server.decide(&request(&[("redirect_uri", Some(OUT_OF_BAND))]), "allow").await;
    assert_eq!((allowed.status, &allowed.location), (200, &None));
    let (_, rest) = allowed.text.split_once(r#"<code id="code">"#).unwrap();
    let (code, _) = rest.split_once('<').unwrap();
    assert_eq!(server.exchange(code, &[]).await.1["error"], "invalid_grant", "another redirect_uri");
    assert_eq!(server.exchange(code, &[("redirect_uri", Some(OUT_OF_BAND))]).await.0, 200);
}

#[tokio::test]
async fn a_code_is_for_one_exchange_by_the_client_that_asked() {
    let server = Server::start().await;
    for (change, status, error) in [
        (("client_id", Some("other")), 401, "invalid_client"),
        (("client_secret", Some("wrong")), 401, "invalid_client"),
        (("client_secret", None), 401, "invalid_client"),
        (("redirect_uri", Some(OUT_OF_BAND)), 400, "invalid_grant"),
        (("redirect_uri", None), 400, "invalid_grant"),
        (("code", Some("other")), 400, "invalid_grant"),
        (("code", None), 400, "invalid_request"),
        (("code_verifier", Some(CHALLENGE)), 400, "invalid_grant"),
        (("code_verifier", None), 400, "invalid_grant"),
        (("grant_type", Some("password")), 400, "unsupported_grant_type"),
        (("grant_type", None), 400, "invalid_request"),
    ] {
        let code = server.code().await;
        let (found, body) = server.exchange(&code, &[change]).await;
        assert_eq!((found, &body["error"]), (status, &json!(error)), "{change:?}");
        assert!(body.get("access_token").is_none());
        assert_eq!(server.exchange(&code, &[]).await.0, 200, "a refused exchange doesn't use it up: {change:?}");
    }
    let old = server.code().await;
    server.asana.post("/clock", json!({"advance": "30s"})).await;
    assert_eq!(server.exchange(&old, &[]).await.1["error"], "invalid_grant");
}

#[tokio::test]
async fn a_code_that_comes_twice_revokes_what_it_was_exchanged_for() {
    let server = Server::start().await;
    let code = server.code().await;
    let (_, tokens) = server.exchange(&code, &[]).await;
    let text = |name: &str| tokens[name].as_str().unwrap().to_owned();
    assert_eq!(server.exchange(&code, &[]).await.1["error"], "invalid_grant");
    assert_eq!(server.refresh(&text("refresh_token")).await.1["error"], "invalid_grant");
    assert_eq!(server.asana.get_as(&text("access_token"), "/users/me").await.status, 401);
    assert_eq!(server.refresh("again").await.0, 200, "others are as they were");
}

#[tokio::test]
async fn tokens_are_described_with_their_scopes_and_ends() {
    let server = Server::start().await;
    let parameters = request(&[("scope", Some("tasks:read"))]);
    let code = server.decide(&parameters, "allow").await.parameter("code").unwrap();
    let (_, tokens) = server.exchange(&code, &[]).await;
    let info = async |token: &str| server.post("token_info", &[("token", token)]).await.1;
    let access = tokens["access_token"].as_str().unwrap();
    let described = info(access).await;
    let start: i64 = 1_767_225_600;
    let expected = json!({
        "token_type": "bearer", "scope": "tasks:read", "active": true, "client_id": "id", "expires_in": 3_600,
        "exp": start + 3_600,
    });
    assert_eq!(described, expected);
    let years = Duration::from_secs(10 * 365 * 24 * 3_600).as_secs();
    let described = info(tokens["refresh_token"].as_str().unwrap()).await;
    assert_eq!((&described["token_type"], &described["expires_in"]), (&json!("refresh"), &json!(years)));
    assert_eq!(info("again").await["scope"], "tasks:read projects:read");
    server.asana.post("/clock", json!({"advance": "1h"})).await;
    for gone in [access, "other"] {
        assert_eq!(info(gone).await, json!({"active": false}));
    }
    assert_eq!(server.post("token_info", &[]).await.0, 400);
}

#[tokio::test]
async fn answers_with_tokens_are_not_for_caches() {
    let server = Server::start().await;
    let answer = server.http.post(server.url("oauth_token")).send().await.unwrap();
    assert_eq!(answer.headers()["cache-control"], "no-store");
}
