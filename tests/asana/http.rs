//! The Asana edge against a scripted server: each answer to its outcome.

use crate::scripted_http::{Recorded, ScriptedHttp, Step, answer, bytes, head};
use crate::support::tls::Certificates;
use asana_event_bridge::asana::{Client, ClientError};
use asana_event_bridge::config::{CheckedAccount, CheckedOauth, Credential, Secret, SecretSource};
use bridge_core::ids::{StreamId, StreamKind, SyncToken};
use bridge_core::outcome::poll::{Denial, Failure, Page, PollForm, PollOutcome, Polled, Verdict};
use bridge_core::record::event::to_json;
use futures_util::future::join_all;
use std::io::{BufRead as _, BufReader, Write as _};
use std::num::{NonZeroU16, NonZeroU32};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const TOKEN: &str = "1/hunter2:token";
const PAGE: &str = r#"{"data":[],"sync":"after","has_more":false}"#;
const RESET: &str = r#"{"errors":[{"message":"Sync token invalid or too old."}],"sync":"5a888cbb:0"}"#;

fn settings(url: &str, credential: Credential) -> CheckedAccount {
    CheckedAccount {
        name: "main".into(),
        credential,
        base_url: format!("{url}/api/1.0").parse().unwrap(),
        ca_file: None,
        proxy: None,
        request_timeout: Duration::from_secs(20),
        requests_per_minute: NonZeroU32::new(150).unwrap(),
        max_in_flight: NonZeroU16::new(8).unwrap(),
        headers: reqwest::header::HeaderMap::new(),
    }
}

fn text(secret: &str) -> SecretSource {
    SecretSource::Text(Secret::from(secret.to_owned()))
}

fn client(url: &str, credential: Credential) -> Client {
    Client::new(settings(url, credential)).unwrap()
}

async fn poll(client: &Client) -> PollOutcome {
    polled(client).await.outcome
}

async fn polled(client: &Client) -> Polled {
    let (stream, token) = (StreamId::new("main", "1200"), SyncToken::from("before"));
    client.poll(&stream, StreamKind::Resource, Some(&token), PollForm::Full).await
}

/// What a poll makes of one answer.
async fn outcome_of(step: Step) -> PollOutcome {
    let server = ScriptedHttp::start([step]).await;
    let outcome = poll(&client(server.url(), Credential::Token(text(TOKEN)))).await;
    server.finish();
    outcome
}

fn page(outcome: PollOutcome) -> Page {
    let PollOutcome::Page(page) = outcome else { panic!("no page: {outcome:?}") };
    page
}

fn malformed(outcome: PollOutcome) -> String {
    let PollOutcome::Failed(Failure::Malformed(text)) = outcome else { panic!("not malformed: {outcome:?}") };
    text
}

fn credential_failure(outcome: PollOutcome) -> String {
    let PollOutcome::Failed(Failure::Credential(text)) = outcome else { panic!("no credential failure: {outcome:?}") };
    text
}

fn bearers(requests: &[Recorded]) -> Vec<&str> {
    requests.iter().filter_map(|request| request.header("authorization")).collect()
}

fn write(path: &Path, text: &str) {
    std::fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
}

// Requests

#[tokio::test]
async fn a_resource_is_asked_for_with_all_fields_and_its_token() {
    let page = || answer(200, &[], PAGE);
    let server = ScriptedHttp::start([answer(412, &[], RESET), page(), page(), answer(412, &[], RESET)]).await;
    let client = client(server.url(), Credential::Token(text(TOKEN)));
    let stream = StreamId::new("main", "1200");
    client.poll(&stream, StreamKind::Resource, None, PollForm::Full).await;
    let token = SyncToken::from("5a:0&resource=9 +/é");
    client.poll(&stream, StreamKind::Resource, Some(&token), PollForm::Full).await;
    client.poll(&stream, StreamKind::Resource, Some(&token), PollForm::Bare).await;
    client.poll(&stream, StreamKind::Resource, None, PollForm::Fresh).await;

    let requests = server.finish();
    let pairs = requests[0].pairs();
    assert!(requests[0].target().starts_with("/api/1.0/events?"), "{}", requests[0].target());
    assert_eq!(pairs[0], ("resource".to_owned(), "1200".to_owned()));
    let fields: Vec<&str> = pairs[1].1.split(',').collect();
    for field in [
        "action",
        "change.added_value",
        "change.new_value.enum_value.name",
        "created_at",
        "parent.name",
        "resource.resource_subtype",
        "user.name",
    ] {
        assert!(fields.contains(&field), "{field} is missing: {fields:?}");
    }
    assert!(fields.iter().all(|field| !field.contains(char::is_whitespace)));
    assert_eq!(pairs.len(), 2);
    assert_eq!(requests[1].pairs()[2], ("sync".to_owned(), token.as_str().to_owned()));
    assert_eq!(requests[1].pairs().len(), 3);
    let bare = [pairs[0].clone(), requests[1].pairs()[2].clone()];
    assert_eq!((requests[2].pairs(), requests[3].pairs()), (bare.to_vec(), bare[..1].to_vec()));
    assert_eq!(requests[0].header("authorization"), Some("Bearer 1/hunter2:token"));
    assert!(requests[0].header("user-agent").unwrap().starts_with("asana-event-bridge/"));
}

#[tokio::test]
async fn each_request_has_the_headers_of_the_account() {
    let server = ScriptedHttp::start([answer(200, &[], PAGE), answer(200, &[], PAGE)]).await;
    let headers = [("asana-enable", "string_ids,new_sections"), ("asana-disable", "x")];
    let headers = headers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).into_iter().collect();
    let settings = CheckedAccount { headers, ..settings(server.url(), Credential::Token(text(TOKEN))) };
    let client = Client::new(settings).unwrap();
    poll(&client).await;
    poll(&client).await;
    let requests = server.finish();
    for request in &requests {
        assert_eq!(request.header("asana-enable"), Some("string_ids,new_sections"));
        assert_eq!(request.header("asana-disable"), Some("x"));
        assert_eq!(request.header("authorization"), Some("Bearer 1/hunter2:token"));
    }
}

#[tokio::test]
async fn a_workspace_is_asked_for_by_its_own_path_without_fields() {
    let server = ScriptedHttp::start([answer(412, &[], RESET), answer(200, &[], PAGE)]).await;
    let client = client(server.url(), Credential::Token(text(TOKEN)));
    let stream = StreamId::new("main", "77");
    client.poll(&stream, StreamKind::Workspace, None, PollForm::Full).await;
    client.poll(&stream, StreamKind::Workspace, Some(&SyncToken::from("a:0")), PollForm::Full).await;
    let requests = server.finish();
    assert_eq!(requests[0].target(), "/api/1.0/workspaces/77/events");
    assert_eq!(requests[1].target(), "/api/1.0/workspaces/77/events?sync=a%3A0");
}

#[test]
fn a_url_that_cant_be_asked_is_refused_without_naming_it() {
    for url in
        ["ftp://host/", "mailto:me", "https://user:hunter2@host/", "https://host/?key=hunter2", "https://host/#x"]
    {
        let settings = CheckedAccount {
            base_url: url.parse().unwrap(),
            ..settings("http://127.0.0.1:1", Credential::Token(text(TOKEN)))
        };
        let error = Client::new(settings).unwrap_err();
        assert!(matches!(error, ClientError::Url { role: "the base URL" }), "{url}: {error}");
        assert!(!error.to_string().contains("hunter2"));
    }
}

#[test]
fn tls_is_set_up_without_a_panic() {
    let settings = CheckedAccount {
        base_url: "https://app.asana.com/api/1.0".parse().unwrap(),
        ..settings("http://127.0.0.1:1", Credential::Token(text(TOKEN)))
    };
    // Where the machine has no certificates of authorities, the error says so.
    if let Err(error) = Client::new(settings) {
        assert!(error.to_string().contains("CA certificates"), "{error}");
    }
}

// 200

#[tokio::test]
async fn a_page_has_its_events_as_received() {
    let events = [
        r#"{"action":"added","strange":[1e400]}"#,
        r#"{"user":null,"created_at":"2026-11-24T09:00:00.123Z","action":"deleted","resource":{"gid":"5","resource_type":"task"},"parent":null}"#,
        "null",
        r#"[ "not", {"an": "event"} ]"#,
    ];
    let body = format!(r#" {{"data":[{}],"sync":"a:1","has_more":true,"new_key":{{"x":[]}}}} "#, events.join(", "));
    let page = page(outcome_of(answer(200, &[], &body)).await);
    assert_eq!(page.next, SyncToken::from("a:1"));
    assert!(page.has_more);
    assert_eq!(page.bytes, body.len());
    let received = page.events.iter().map(|event| to_json(&event.0)).collect::<Vec<_>>();
    let same = |text: &str| {
        serde_json::from_str::<serde_json::Value>(text).map_err(|unread| (unread.to_string(), text.to_owned()))
    };
    assert_eq!(received.iter().map(|it| same(it)).collect::<Vec<_>>(), events.map(same));
    assert_eq!(page.events[1].gid(), Some("5"));
}

#[tokio::test]
async fn an_absent_has_more_means_the_last_page() {
    for body in [r#"{"data":[],"sync":"b"}"#, r#"{"data":[],"sync":"b","has_more":null}"#, PAGE] {
        let page = page(outcome_of(answer(200, &[], body)).await);
        assert!(!page.has_more && page.events.is_empty());
    }
}

#[tokio::test]
async fn a_packed_page_is_unpacked() {
    // `printf '%s' "$PAGE" | gzip -9n`
    let packed = [
        0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0xab, 0x56, 0x4a, 0x49, 0x2c, 0x49, 0x54, 0xb2,
        0x8a, 0x8e, 0xd5, 0x51, 0x2a, 0xae, 0xcc, 0x4b, 0x56, 0xb2, 0x52, 0x4a, 0x4c, 0x2b, 0x49, 0x2d, 0x52, 0xd2,
        0x51, 0xca, 0x48, 0x2c, 0x8e, 0xcf, 0xcd, 0x2f, 0x4a, 0x55, 0xb2, 0x4a, 0x4b, 0xcc, 0x29, 0x4e, 0xad, 0x05,
        0x00, 0x03, 0x2e, 0xc2, 0x5f, 0x2b, 0x00, 0x00, 0x00,
    ];
    let page = page(outcome_of(answer(200, &[("content-encoding", "gzip")], packed)).await);
    assert_eq!((page.next, page.bytes), (SyncToken::from("after"), PAGE.len()));
}

#[tokio::test]
async fn a_body_that_is_no_page_passes_nothing() {
    for body in [
        "",
        "<html>busy</html>",
        "[]",
        r#"[[],"a",false]"#,
        "null",
        r#"{"sync":"a"}"#,
        r#"{"data":null,"sync":"a"}"#,
        r#"{"data":{},"sync":"a"}"#,
        r#"{"data":[]}"#,
        r#"{"data":[],"sync":null}"#,
        r#"{"data":[],"sync":""}"#,
        r#"{"data":[],"sync":5}"#,
        r#"{"data":[],"sync":"a","has_more":"yes"}"#,
        r#"{"data":[],"sync":"a","sync":"b"}"#,
        r#"{"data":[{"action":"added"},{"act"#,
        r#"{"data":[],"sync":"a"} {}"#,
    ] {
        malformed(outcome_of(answer(200, &[], body)).await);
    }
    malformed(outcome_of(answer(200, &[], b"{\"data\":[\"\xff\"],\"sync\":\"a\"}")).await);
}

#[tokio::test]
async fn an_oversized_body_is_given_up() {
    let text = malformed(outcome_of(answer(200, &[], vec![b' '; (64 << 20) + 1])).await);
    assert!(text.contains("larger than 67108864 bytes"), "{text}");
}

// 412

#[tokio::test]
async fn a_412_is_a_token_reset_and_no_judgement() {
    assert_eq!(outcome_of(answer(412, &[], RESET)).await, PollOutcome::TokenReset(SyncToken::from("5a888cbb:0")));
}

#[tokio::test]
async fn a_412_without_a_token_is_malformed() {
    for body in ["", "{}", r#"{"sync":""}"#, r#"{"sync":null}"#, r#"["a"]"#, r#"{"errors":[]}"#, "gone"] {
        malformed(outcome_of(answer(412, &[], body)).await);
    }
}

// Refusals, waits, faults

#[tokio::test]
async fn each_refusal_has_its_name() {
    for (status, denial) in [
        (400, Denial::BadRequest),
        (401, Denial::Unauthorized),
        (402, Denial::PaymentRequired),
        (403, Denial::Forbidden),
        (404, Denial::NotFound),
        (451, Denial::LegalBlock),
        (405, Denial::OtherStatus(405)),
        (410, Denial::OtherStatus(410)),
    ] {
        // Asana's official Java client has seen a 400 with a `sync` beside it: still a refusal.
        let body = r#"{"errors":[{"message":"no"}],"sync":"x"}"#;
        assert_eq!(outcome_of(answer(status, &[], body)).await, PollOutcome::Denied(denial), "{status}");
    }
}

#[tokio::test]
async fn only_asanas_own_words_are_a_refusal() {
    const HTML: &str = "<html><body><h1>no</h1></body></html>";
    let not_asanas = [
        HTML,
        "",
        "null",
        "[]",
        "{}",
        r#"{"error":"no"}"#,
        r#"{"errors":{}}"#,
        r#"[{"errors":[]}]"#,
        r#"{"errors":[]"#,
    ];
    for status in [400, 401, 402, 403, 404, 405, 410, 424, 451] {
        for body in not_asanas {
            let expected = PollOutcome::Failed(Failure::Gateway { status });
            assert_eq!(outcome_of(answer(status, &[], body)).await, expected, "{status} {body}");
        }
        let cut = outcome_of(Step::Send(head(status, &[], 100))).await;
        assert!(matches!(cut, PollOutcome::Failed(Failure::Connection(_))), "{cut:?}");
    }
    for status in [408, 421, 425, 499] {
        for body in [HTML, r#"{"errors":[{"message":"no"}]}"#] {
            let expected = PollOutcome::Failed(Failure::Gateway { status });
            assert_eq!(outcome_of(answer(status, &[], body)).await, expected, "{status} {body}");
        }
    }
    malformed(outcome_of(answer(412, &[], HTML)).await);
}

#[tokio::test]
async fn an_answer_of_asanas_own_says_when_it_was_given() {
    const DATE: &str = "Tue, 24 Nov 2026 09:00:30 GMT";
    const NO: &str = r#"{"errors":[{"message":"no"}]}"#;
    let date: chrono::DateTime<chrono::Utc> = "2026-11-24T09:00:30Z".parse().unwrap();
    let stamp_of = async |status, date, body| {
        let server = ScriptedHttp::start([answer(status, &[("date", date)], body)]).await;
        polled(&client(server.url(), Credential::Token(text(TOKEN)))).await.stamp
    };
    for (status, body) in [(200, PAGE), (412, RESET), (403, NO)] {
        let stamp = stamp_of(status, DATE, body).await.unwrap();
        assert_eq!(stamp.not_after(), date + Duration::from_secs(1));
        let took = date - Duration::from_secs(1) - stamp.not_before();
        assert!(took >= chrono::TimeDelta::zero() && took < chrono::TimeDelta::seconds(20), "{took}");
        for date in ["", "soon", "2026-11-24T09:00:30Z", "Tue, 24 Nov 0000 09:00:30 GMT"] {
            assert_eq!(stamp_of(status, date, body).await, None, "{date:?}");
        }
    }
    for (status, body) in [(403, "<html>"), (200, "<html>"), (503, NO), (429, NO), (408, NO)] {
        assert_eq!(stamp_of(status, DATE, body).await, None, "{status} {body}");
    }
}

#[tokio::test]
async fn a_bound_allows_for_an_answer_that_was_long_on_its_way() {
    let date = "Tue, 24 Nov 2026 09:00:30 GMT";
    let server = ScriptedHttp::start([Step::SendWhenTold(bytes(200, &[("date", date)], PAGE))]).await;
    let client = client(server.url(), Credential::Token(text(TOKEN)));
    let slow = async {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        server.go_on();
    };
    let (polled, ()) = tokio::join!(polled(&client), slow);
    let bounds = polled.stamp.map(|stamp| stamp.not_after() - stamp.not_before()).unwrap();
    assert!(bounds >= chrono::TimeDelta::milliseconds(3500), "{bounds}");
}

#[tokio::test]
async fn only_asana_says_whether_a_credential_lives() {
    const ME: &str = r#"{"data":{"gid":"7","name":"A","email":"a@b.c","workspaces":[]}}"#;
    const NO: &str = r#"{"errors":[{"message":"no"}]}"#;
    let refused = |denial| Verdict::Refused(denial);
    for (status, body, verdict) in [
        (200, ME, Verdict::Lives),
        (403, NO, Verdict::Lives),
        (401, NO, refused(Denial::Unauthorized)),
        (451, NO, refused(Denial::LegalBlock)),
        (429, "", Verdict::Throttled(Duration::from_secs(60))),
        (200, "<html>log in</html>", Verdict::Unknown),
        (401, "<html>", Verdict::Unknown),
        (403, "<html>", Verdict::Unknown),
        (404, NO, Verdict::Unknown),
        (400, NO, Verdict::Unknown),
        (503, NO, Verdict::Unknown),
    ] {
        let server = ScriptedHttp::start([answer(status, &[], body)]).await;
        let probed = client(server.url(), Credential::Token(text(TOKEN))).probe().await;
        assert_eq!(probed.verdict, verdict, "{status} {body}");
        assert!(server.finish()[0].target().starts_with("/api/1.0/users/me?"));
    }
}

#[tokio::test]
async fn a_wait_is_as_long_as_asana_says() {
    for (status, headers, seconds) in [
        (429, &[("retry-after", "17")][..], 17.0),
        (429, &[("retry-after", "1.5")], 1.5),
        (429, &[("retry-after", "999999")], 3600.0),
        (429, &[("retry-after", "-3")], 60.0),
        (429, &[("retry-after", "soon")], 60.0),
        (429, &[], 60.0),
        (429, &[("retry-after", "Tue, 24 Nov 2026 09:00:30 GMT"), ("date", "Tue, 24 Nov 2026 09:00:00 GMT")], 30.0),
        (424, &[("retry-after", "9")], 9.0),
    ] {
        let expected = PollOutcome::Throttled { retry_after: Duration::from_secs_f64(seconds) };
        let body = r#"{"errors":[{"message":"slower"}]}"#;
        assert_eq!(outcome_of(answer(status, headers, body)).await, expected, "{status} {headers:?}");
        if status == 429 {
            assert_eq!(outcome_of(answer(status, headers, "<html>")).await, expected, "{status} {headers:?}");
        }
    }
}

#[tokio::test]
async fn a_wait_counts_even_if_its_body_is_cut() {
    let outcome = outcome_of(Step::Send(head(429, &[("retry-after", "5")], 100))).await;
    assert_eq!(outcome, PollOutcome::Throttled { retry_after: Duration::from_secs(5) });
}

#[tokio::test]
async fn a_fault_of_the_server_keeps_its_phrase() {
    for (status, body, phrase) in [
        (
            500,
            r#"{"errors":[{"message":"Server Error","phrase":"6 sad squid snuggle softly"}]}"#,
            Some("6 sad squid snuggle softly"),
        ),
        (500, r#"{"errors":[{"message":"Server Error"}]}"#, None),
        (502, "<html>Bad gateway</html>", None),
        (503, "", None),
        (504, "null", None),
    ] {
        let expected = Failure::Server { status, phrase: phrase.map(str::to_owned) };
        assert_eq!(outcome_of(answer(status, &[], body)).await, PollOutcome::Failed(expected));
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = ScriptedHttp::start([]).await;
    for status in [301, 302, 303, 307, 308] {
        let text = malformed(outcome_of(answer(status, &[("location", elsewhere.url())], "")).await);
        assert!(text.contains(&status.to_string()), "{text}");
    }
    assert!(elsewhere.finish().is_empty());
}

#[tokio::test]
async fn another_success_is_no_page() {
    for status in [201, 202, 206] {
        malformed(outcome_of(answer(status, &[], PAGE)).await);
    }
    malformed(outcome_of(Step::Send(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n".to_vec())).await);
}

// Connections

#[tokio::test]
async fn a_cut_connection_is_no_answer() {
    let mut cut_body = head(200, &[], PAGE.len() + 10);
    cut_body.extend_from_slice(PAGE.as_bytes());
    let cut_chunks =
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{PAGE}\r\n", PAGE.len()).into_bytes();
    for bytes in [
        Vec::new(),
        b"HTTP/1.1 20".to_vec(),
        cut_body,
        cut_chunks,
        head(412, &[], RESET.len()),
        b"garbage\r\n\r\n".to_vec(),
    ] {
        let outcome = outcome_of(Step::Send(bytes.clone())).await;
        let PollOutcome::Failed(Failure::Connection(text)) = outcome else {
            panic!("{:?}: {outcome:?}", String::from_utf8_lossy(&bytes))
        };
        assert!(!text.is_empty());
    }
}

#[tokio::test]
async fn nobody_listening_is_a_connection_failure_without_the_url() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let outcome = poll(&client(&url, Credential::Token(text(TOKEN)))).await;
    let PollOutcome::Failed(Failure::Connection(text)) = outcome else { panic!("{outcome:?}") };
    assert!(text.contains("refused") && !text.contains("before") && !text.contains("sync="), "{text}");
}

#[tokio::test]
async fn an_answer_that_takes_too_long_times_out() {
    let mut slow_body = head(200, &[], PAGE.len());
    slow_body.extend_from_slice(&PAGE.as_bytes()[..10]);
    for bytes in [Vec::new(), slow_body] {
        let server = ScriptedHttp::start([Step::SendAndStall(bytes)]).await;
        let settings = CheckedAccount {
            request_timeout: Duration::from_millis(200),
            ..settings(server.url(), Credential::Token(text(TOKEN)))
        };
        assert_eq!(poll(&Client::new(settings).unwrap()).await, PollOutcome::Failed(Failure::TimedOut));
        server.finish();
    }
}

#[tokio::test]
async fn an_account_has_its_own_proxy() {
    let proxy = ScriptedHttp::start([answer(200, &[], PAGE)]).await;
    let settings = CheckedAccount {
        proxy: Some(proxy.url().parse().unwrap()),
        ..settings("http://asana.invalid", Credential::Token(text(TOKEN)))
    };
    page(poll(&Client::new(settings).unwrap()).await);
    let requests = proxy.finish();
    assert!(requests[0].target().starts_with("http://asana.invalid/api/1.0/events?"), "{requests:?}");
}

#[tokio::test]
async fn an_account_trusts_the_authorities_of_its_own_file_only() {
    let folder = tempfile::tempdir().unwrap();
    let made = Certificates::make(folder.path());
    let mut server = Command::new("openssl")
        .args(["s_server", "-accept", "0", "-naccept", "2", "-www", "-cert"])
        .arg(&made.certificate)
        .arg("-key")
        .arg(&made.key)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines().map_while(Result::ok);
    let port = lines.find_map(|line| line.strip_prefix("ACCEPT ")?.rsplit(':').next().map(str::to_owned)).unwrap();
    let asked = async |ca_file: Option<PathBuf>| {
        let url = format!("https://localhost:{port}");
        let settings = CheckedAccount { ca_file, ..settings(&url, Credential::Token(text(TOKEN))) };
        poll(&Client::new(settings).unwrap()).await
    };
    let trusted = asked(Some(made.authority.clone())).await;
    // The server speaks TLS, and isn't Asana.
    assert!(matches!(trusted, PollOutcome::Failed(Failure::Malformed(_))), "{trusted:?}");
    let other = folder.path().join("other");
    std::fs::create_dir(&other).unwrap();
    let untrusted = asked(Some(Certificates::make(&other).authority)).await;
    assert!(matches!(untrusted, PollOutcome::Failed(Failure::Connection(_))), "{untrusted:?}");
    server.kill().ok();
    server.wait().unwrap();
    let missing = CheckedAccount {
        ca_file: Some(folder.path().join("missing.pem")),
        ..settings("https://localhost", Credential::Token(text(TOKEN)))
    };
    assert!(matches!(Client::new(missing).unwrap_err(), ClientError::CaFile { .. }));
}

// Token files

#[tokio::test]
async fn a_token_that_changes_is_used_from_the_next_poll() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let server = ScriptedHttp::start([answer(200, &[], PAGE), answer(200, &[], PAGE)]).await;
    let client = client(server.url(), Credential::Token(SecretSource::File(file.clone())));
    write(&file, " first\n\n");
    poll(&client).await;
    // As Kubernetes does it: the name comes to mean another file.
    let other = folder.path().join("other");
    write(&other, "second");
    std::fs::rename(&other, &file).unwrap();
    poll(&client).await;
    assert_eq!(bearers(&server.finish()), ["Bearer first", "Bearer second"]);
}

#[tokio::test]
async fn after_a_401_a_token_that_changed_meanwhile_is_tried_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    write(&file, "old");
    let server = ScriptedHttp::start([Step::SendWhenTold(bytes(401, &[], "{}")), answer(200, &[], PAGE)]).await;
    let client = client(server.url(), Credential::Token(SecretSource::File(file.clone())));
    // Rotated while the request is on its way: the server answers only after the file changed.
    let rotating = tokio::time::timeout(Duration::from_secs(10), async {
        while server.requests().is_empty() {
            tokio::task::yield_now().await;
        }
        write(&file, "new");
        server.go_on();
    });
    let (outcome, rotated) = tokio::join!(poll(&client), rotating);
    rotated.expect("the request came");
    page(outcome);
    assert_eq!(bearers(&server.finish()), ["Bearer old", "Bearer new"]);
}

#[tokio::test]
async fn a_file_without_a_usable_token_is_named_and_not_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let server = ScriptedHttp::start([]).await;
    let client = client(server.url(), Credential::Token(SecretSource::File(file.clone())));
    let name = file.display().to_string();
    assert!(credential_failure(poll(&client).await).contains(&name));
    let huge = "hunter2".repeat(20_000);
    for content in ["", " \n", "hunter2\nsecond line", "hunter2 x", "hunter2\u{0}", "hünter2", &huge] {
        write(&file, content);
        let text = credential_failure(poll(&client).await);
        assert!(text.contains(&name) && !text.contains("nter2") && !text.contains("second"), "{content:?}: {text}");
    }
    std::fs::write(&file, b"hunter2\xff").unwrap();
    assert!(!credential_failure(poll(&client).await).contains("hunter2"));
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    assert!(credential_failure(poll(&client).await).contains("not a file"));
    assert!(server.finish().is_empty());
}

// OAuth

fn oauth(url: &str) -> Credential {
    Credential::Oauth(CheckedOauth {
        client_id: "app".to_owned(),
        client_secret: Some(text("hunter2&secret")),
        refresh_token: text("1/hunter2:refresh"),
        redirect_uri: "urn:ietf:wg:oauth:2.0:oob".to_owned(),
        token_url: format!("{url}/-/oauth_token").parse().unwrap(),
    })
}

fn access(token: &str, more: &str) -> Step {
    answer(200, &[], format!(r#"{{"access_token":"{token}","token_type":"bearer","data":{{"gid":"1"}}{more}}}"#))
}

fn refresh_tokens(requests: &[Recorded]) -> Vec<String> {
    let posts = requests.iter().filter(|request| request.head.starts_with("POST "));
    posts.flat_map(Recorded::pairs).filter(|(key, _)| key == "refresh_token").map(|it| it.1).collect()
}

#[tokio::test]
async fn an_access_token_is_got_once_and_used_until_near_its_end() {
    for life in [r#","expires_in":3600"#, ""] {
        let server = ScriptedHttp::start([access("a1", life), answer(200, &[], PAGE), answer(200, &[], PAGE)]).await;
        let client = client(server.url(), oauth(server.url()));
        page(poll(&client).await);
        page(poll(&client.clone()).await);
        let requests = server.finish();
        assert_eq!(bearers(&requests), ["Bearer a1", "Bearer a1"]);
        assert!(requests[0].head.starts_with("POST /-/oauth_token HTTP/1.1"));
        assert_eq!(requests[0].header("content-type"), Some("application/x-www-form-urlencoded"));
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            requests[0].pairs(),
            [
                pair("grant_type", "refresh_token"),
                pair("client_id", "app"),
                pair("client_secret", "hunter2&secret"),
                pair("redirect_uri", "urn:ietf:wg:oauth:2.0:oob"),
                pair("refresh_token", "1/hunter2:refresh"),
            ]
        );
    }
}

#[tokio::test]
async fn an_access_token_at_its_end_is_replaced_before_it_is_used() {
    let expired = r#","expires_in":0"#;
    let server = ScriptedHttp::start([
        access("a1", expired),
        answer(200, &[], PAGE),
        access("a2", expired),
        answer(200, &[], PAGE),
    ])
    .await;
    let client = client(server.url(), oauth(server.url()));
    page(poll(&client).await);
    page(poll(&client).await);
    assert_eq!(bearers(&server.finish()), ["Bearer a1", "Bearer a2"]);
}

#[tokio::test]
async fn a_new_refresh_token_is_used_until_the_source_changes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("refresh");
    write(&file, "r1\n");
    let expired = r#","expires_in":0"#;
    let rotated = r#","expires_in":0,"refresh_token":"r2""#;
    let page_step = || answer(200, &[], PAGE);
    let server = ScriptedHttp::start([
        access("a1", rotated),
        page_step(),
        access("a2", expired),
        page_step(),
        access("a3", expired),
        page_step(),
    ])
    .await;
    let Credential::Oauth(source) = oauth(server.url()) else { unreachable!() };
    let source = CheckedOauth { refresh_token: SecretSource::File(file.clone()), ..source };
    let client = client(server.url(), Credential::Oauth(source));
    page(poll(&client).await);
    page(poll(&client).await);
    write(&file, "r3");
    page(poll(&client).await);
    assert_eq!(refresh_tokens(&server.finish()), ["r1", "r2", "r3"]);
}

#[tokio::test]
async fn a_401_refreshes_once_and_asks_once_more() {
    let unauthorized = || answer(401, &[], r#"{"errors":[{"message":"Not Authorized"}]}"#);
    let server =
        ScriptedHttp::start([access("a1", ""), unauthorized(), access("a2", ""), answer(200, &[], PAGE)]).await;
    page(poll(&client(server.url(), oauth(server.url()))).await);
    assert_eq!(bearers(&server.finish()), ["Bearer a1", "Bearer a2"]);

    let server = ScriptedHttp::start([access("a1", ""), unauthorized(), access("a2", ""), unauthorized()]).await;
    let outcome = poll(&client(server.url(), oauth(server.url()))).await;
    assert_eq!(outcome, PollOutcome::Denied(Denial::Unauthorized));
    server.finish();
}

#[tokio::test]
async fn a_refused_refresh_is_a_refusal() {
    for status in [400, 401] {
        let server = ScriptedHttp::start([answer(status, &[], r#"{"error":"invalid_grant"}"#)]).await;
        let outcome = poll(&client(server.url(), oauth(server.url()))).await;
        assert_eq!(outcome, PollOutcome::Denied(Denial::Unauthorized));
        server.finish();
    }
}

#[tokio::test]
async fn a_failed_refresh_is_a_failure_that_quotes_nothing() {
    for step in [
        answer(500, &[], "hunter2"),
        answer(429, &[], ""),
        answer(302, &[("location", "http://127.0.0.1:1/")], ""),
        answer(200, &[], r#"{"access_token":["hunter2"]}"#),
        answer(200, &[], r#"{"access_token":"hunter2 x"}"#),
        answer(200, &[], r#"{"access_token":""}"#),
        Step::Send(Vec::new()),
    ] {
        let server = ScriptedHttp::start([step]).await;
        let text = credential_failure(poll(&client(server.url(), oauth(server.url()))).await);
        assert!(!text.contains("hunter2"), "{text}");
        server.finish();
    }
}

#[tokio::test]
async fn polls_at_once_share_one_refresh() {
    let pages = (0..8).map(|_| answer(200, &[], PAGE));
    let server = ScriptedHttp::start([access("a1", "")].into_iter().chain(pages)).await;
    let client = client(server.url(), oauth(server.url()));
    for outcome in join_all((0..8).map(|_| poll(&client))).await {
        page(outcome);
    }
    assert_eq!(refresh_tokens(&server.finish()).len(), 1);
}

#[tokio::test]
async fn polls_at_once_share_one_failed_refresh_and_the_next_tries_again() {
    let server = ScriptedHttp::start([answer(503, &[], ""), access("a1", ""), answer(200, &[], PAGE)]).await;
    let client = client(server.url(), oauth(server.url()));
    for outcome in join_all((0..8).map(|_| poll(&client))).await {
        credential_failure(outcome);
    }
    assert_eq!(server.requests().len(), 1);
    page(poll(&client).await);
    server.finish();
}

// What is printed

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_secret_is_printed_and_a_change_of_the_api_is_logged_once() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let change = [("asana-change", "name=string_ids;info=https://asa.na/ids;affected=true")];
    let server = ScriptedHttp::start([
        access("hunter2-access", ""),
        answer(200, &change, PAGE),
        answer(200, &change, PAGE),
        answer(200, &change, PAGE),
    ])
    .await;
    let with_oauth = settings(server.url(), oauth(server.url()));
    let with_token = settings(server.url(), Credential::Token(text(TOKEN)));
    let mut printed = vec![format!("{with_oauth:?} {with_token:?}")];
    let with_oauth = Client::new(with_oauth).unwrap();
    for _ in 0..2 {
        printed.push(format!("{:?}", poll(&with_oauth).await));
    }
    let with_token = Client::new(with_token).unwrap();
    printed.push(format!("{:?} {with_oauth:?} {with_token:?}", poll(&with_token).await));
    server.finish();

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    // Once for each of the two accounts' clients.
    assert_eq!(log.matches("string_ids").count(), 2, "{log}");
    assert!(log.contains("https://asa.na/ids"), "{log}");
    assert!(!log.contains("hunter2"), "{log}");
    let printed = printed.concat();
    assert!(!printed.contains("hunter2") && !printed.contains("after"), "{printed}");
}
