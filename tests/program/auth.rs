//! `auth login` with the whole program: a simulated Asana asks the user, and the test clicks as a browser would.

use crate::support::program::{Program, Simulator};
use crate::support::wait_for;
use regex::Regex;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

const SECRET: &str = "hush-client";
const OUT_OF_BAND: &str = "urn:ietf:wg:oauth:2.0:oob";

/// Parts of what must be in no output: tokens, codes and verifiers.
const HIDDEN: [&str; 5] = ["hush-", "sim-refresh-", "sim-access-", "sim-code-", "code_verifier"];

/// A simulated Asana with an application, whose redirect address has a port that was free a moment ago.
struct Bench {
    folder: tempfile::TempDir,
    simulator: Simulator,
    port: u16,
    browser: Browser,
}

/// A browser that follows no redirect by itself.
struct Browser {
    http: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

struct Page {
    status: u16,
    location: Option<String>,
    text: String,
}

impl Browser {
    fn new() -> Self {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { http, runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap() }
    }

    fn load(&self, request: reqwest::RequestBuilder) -> Page {
        self.runtime.block_on(async {
            let answer = request.send().await.unwrap();
            let location = answer.headers().get("location").map(|it| it.to_str().unwrap().to_owned());
            Page { status: answer.status().as_u16(), location, text: answer.text().await.unwrap() }
        })
    }

    fn open(&self, url: &str) -> Page {
        self.load(self.http.get(url))
    }

    /// Clicks on one of the buttons of the page at this address.
    fn click(&self, url: &str, button: &str) -> Page {
        let page = self.open(url);
        assert_eq!(page.status, 200, "{}", page.text);
        let hidden = Regex::new(r#"<input type="hidden" name="([^"]*)" value="([^"]*)">"#).unwrap();
        let text = |escaped: &str| escaped.replace("&quot;", "\"").replace("&amp;", "&");
        let mut form: Vec<_> = hidden.captures_iter(&page.text).map(|it| (text(&it[1]), text(&it[2]))).collect();
        assert!(page.text.contains(&format!(r#"name="decision" value="{button}""#)), "{}", page.text);
        form.push(("decision".to_owned(), button.to_owned()));
        let action = url::Url::parse(url).unwrap().join("/-/oauth_authorize").unwrap();
        self.load(self.http.post(action).form(&form))
    }
}

/// A running login.
struct Login {
    child: Child,
    stdout: BufReader<ChildStdout>,
    said: String,
    log: PathBuf,
}

/// How a login ended.
#[derive(Debug)]
struct Ended {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Bench {
    fn new() -> Self {
        Self::with("client_secret: hush-client")
    }

    /// With further settings of the application.
    fn with(settings: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let scenario = format!(
            "{{oauth: {{client_id: app, refresh_token: hush-first, account: simulator, {settings}, \
             redirect_uris: ['http://localhost:{port}/callback', '{OUT_OF_BAND}']}}, world: {{projects: 1}}}}"
        );
        std::fs::write(folder.path().join("scenario.yaml"), scenario).unwrap();
        let arguments = ["--scenario", folder.path().join("scenario.yaml").to_str().unwrap()].map(str::to_owned);
        let arguments = arguments.each_ref().map(String::as_str);
        let simulator = Simulator::start(&arguments, &folder.path().join("simulator.log"));
        Self { folder, simulator, port, browser: Browser::new() }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn token(&self) -> PathBuf {
        self.folder.path().join("refresh-token")
    }

    /// A command of the program, with the log of everything.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_asana-event-bridge"));
        command.args(["--log-level", "trace"]).args(arguments);
        command.current_dir(&self.folder).env("ASANA_CLIENT_SECRET", SECRET).env_remove("ASANA_CLIENT_ID");
        command
    }

    /// A login on the bench's port, with further arguments.
    fn login(&self, arguments: &[&str]) -> Command {
        let (base, port) = (format!("{}/api/1.0", self.simulator.url), self.port.to_string());
        let usual = [("--base-url", base.as_str()), ("--port", &port), ("--client-id", "app")];
        let is_changed =
            |option: &str| arguments.contains(&option) || option == "--port" && arguments.contains(&"--no-listen");
        let usual =
            usual.into_iter().filter(|(option, _)| !is_changed(option)).flat_map(|(option, value)| [option, value]);
        let usual: Vec<_> =
            ["auth", "login", "--refresh-token-file", "refresh-token"].into_iter().chain(usual).collect();
        self.command(&[&usual, arguments].concat())
    }

    fn start(&self, arguments: &[&str]) -> Login {
        Login::start(self.login(arguments), self.folder.path().join("login.log"))
    }

    /// A login that ends by itself.
    fn ended(&self, arguments: &[&str]) -> Ended {
        self.start(arguments).end()
    }

    /// A login that the user allows, up to the redirect.
    fn allowed(&self, arguments: &[&str]) -> (Login, String) {
        let mut login = self.start(arguments);
        let answer = self.browser.click(&login.url(), "allow");
        (login, answer.location.unwrap_or(answer.text))
    }

    /// Login and consent, to the end.
    fn done(&self, arguments: &[&str]) -> Ended {
        let (login, location) = self.allowed(arguments);
        let page = self.browser.open(&location);
        assert_eq!((page.status, page.text.as_str()), (200, "Logged in. You may close this page."));
        login.end()
    }
}

impl Login {
    fn start(mut command: Command, log: PathBuf) -> Self {
        let file = std::fs::File::create(&log).unwrap();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(file);
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout, said: String::new(), log }
    }

    /// The address that it prints.
    fn url(&mut self) -> String {
        loop {
            let begun = self.said.len();
            assert_ne!(self.stdout.read_line(&mut self.said).unwrap(), 0, "no address: {}", self.said);
            let line = self.said.get(begun..).unwrap_or_default().trim();
            if line.starts_with("http") {
                return line.to_owned();
            }
        }
    }

    fn paste(&mut self, text: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{text}").unwrap();
    }

    /// Its end. Nothing that it said is secret.
    fn end(mut self) -> Ended {
        drop(self.child.stdin.take());
        self.stdout.read_to_string(&mut self.said).unwrap();
        let code = self.child.wait().unwrap().code().unwrap();
        let ended = Ended { code, stdout: self.said.clone(), stderr: std::fs::read_to_string(&self.log).unwrap() };
        for hidden in HIDDEN {
            let is_told = ended.stdout.contains(hidden) || ended.stderr.contains(hidden);
            assert!(!is_told, "{hidden} is told:\n{}\n{}", ended.stdout, ended.stderr);
        }
        ended
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Ended {
    /// It failed with this exit code, for a reason with these words, and wrote nothing.
    #[track_caller]
    fn assert_failed(&self, bench: &Bench, code: i32, words: &str) {
        assert!(self.code == code && self.stderr.contains(words), "{code}, {words}: {self:#?}");
        assert!(!bench.token().exists(), "a file was written");
    }

    /// The configuration that it printed, with a stream and a file as its sink.
    fn config(&self, bench: &Bench) -> String {
        let lines = self.stdout.split_once("\naccounts:\n").unwrap_or_else(|| panic!("no lines: {}", self.stdout)).1;
        let rest = json!({
            "polling": { "minInterval": "200ms", "maxInterval": "1s" },
            "sink": { "file": { "path": bench.path("events.jsonl") } },
            "streams": [{ "resource": bench.simulator.projects()[0] }],
        });
        let rest: Vec<String> =
            rest.as_object().unwrap().iter().map(|(key, value)| format!("{key}: {value}")).collect();
        let path = bench.path("bridge.yaml");
        std::fs::write(&path, format!("accounts:\n{lines}{}\n", rest.join("\n"))).unwrap();
        path
    }
}

/// What the doctor found of the scopes: its verdict, and its text.
fn scopes_found(bench: &Bench, config: &str) -> (String, String) {
    let output = bench.command(&["doctor", "--config", config, "--output", "json"]).output().unwrap();
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(!HIDDEN.iter().any(|hidden| stdout.contains(hidden) || stderr.contains(hidden)), "{stdout}\n{stderr}");
    let report: Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let scopes: Vec<_> = findings.iter().filter(|finding| finding["what"] == "scopes of account main").collect();
    let [scopes] = scopes[..] else { panic!("{findings:#?}") };
    (scopes["verdict"].as_str().unwrap().to_owned(), scopes.to_string())
}

#[test]
fn a_login_gives_an_account_that_polls() {
    let bench = Bench::new();
    let ended = bench.done(&[]);
    assert_eq!(ended.code, 0, "{ended:#?}");
    for words in [
        "Logged in as ",
        "Scopes: default. These are full permissions.",
        &format!("Refresh token: in {}, valid until ", bench.token().display()),
        "      clientSecret: { env: ASANA_CLIENT_SECRET }\n",
    ] {
        assert!(ended.stdout.contains(words), "{words}: {}", ended.stdout);
    }
    let metadata = std::fs::metadata(bench.token()).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    assert!(std::fs::read_to_string(bench.token()).unwrap().starts_with("sim-refresh-"));

    let config = ended.config(&bench);
    let log = bench.folder.path().join("bridge.log");
    let arguments = ["--log-level", "trace", "run", "--config", &config];
    let mut bridge = Program::start_with(&[("ASANA_CLIENT_SECRET", SECRET)], &arguments, &log);
    wait_for("the first sync token", Duration::from_secs(60), || {
        bridge.assert_running();
        let established = bench.simulator.get("/_sim/ledger")["established"].as_object().unwrap().len();
        (established == 1).then_some(())
    });
    bench.simulator.post("/_sim/actions", &json!({ "count": 5 }));
    wait_for("an event in the file", Duration::from_secs(60), || {
        bridge.assert_running();
        let lines = std::fs::read_to_string(bench.path("events.jsonl")).unwrap_or_default();
        lines.contains("\"event\"").then_some(())
    });
    assert!(bridge.stop().success());
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("TRACE") && !HIDDEN.iter().any(|hidden| log.contains(hidden)), "a secret is in the log");
}

#[test]
fn a_user_who_declines_gives_nothing() {
    let bench = Bench::new();
    let mut login = bench.start(&[]);
    let declined = bench.browser.click(&login.url(), "deny");
    let page = bench.browser.open(&declined.location.unwrap());
    assert_eq!((page.status, page.text.as_str()), (400, "Not logged in: access was declined in Asana\n"));
    login.end().assert_failed(&bench, 1, "access was declined in Asana");
}

#[test]
fn an_answer_to_another_login_is_refused() {
    let bench = Bench::new();
    let (older, location) = bench.allowed(&[]);
    drop(older);
    let mut login = bench.start(&[]);
    login.url();
    assert_eq!(bench.browser.open(&format!("http://localhost:{}/callback", bench.port)).status, 400);
    let page = bench.browser.open(&location);
    assert!(page.status == 400 && page.text.contains("`state` isn't this login's"), "{}", page.text);
    login.end().assert_failed(&bench, 1, "`state` isn't this login's");
}

#[test]
fn nobodys_answer_is_told_with_what_may_be_wrong() {
    let bench = Bench::new();
    let ended = bench.ended(&["--timeout", "1s"]);
    ended.assert_failed(&bench, 69, "no answer within 1s");
    assert!(ended.stderr.contains(&format!("the redirect URL http://localhost:{}/callback exactly", bench.port)));
    // The user of a wrong application sees Asana's error, and the program nothing.
    let other = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    for (arguments, shown) in [(["--port", &other], "redirect_uri"), (["--client-id", "other"], "client_id")] {
        let mut login = bench.start(&[&["--timeout", "2s"], &arguments[..]].concat());
        let page = bench.browser.open(&login.url());
        assert!(page.status == 400 && page.text.contains(shown), "{shown}: {}", page.text);
        login.end().assert_failed(&bench, 69, "the client id must be the application's");
    }
}

#[test]
fn a_wrong_client_secret_is_a_mistake_of_the_command_line() {
    let bench = Bench::new();
    std::fs::write(bench.path("wrong"), "hush-wrong\n").unwrap();
    let (login, location) = bench.allowed(&["--client-secret-file", "wrong"]);
    let page = bench.browser.open(&location);
    assert!(page.status == 400 && page.text.contains("client secret"), "{}", page.text);
    login.end().assert_failed(&bench, 64, "Asana doesn't accept the client id with this client secret");
    bench.ended(&["--client-secret-file", "nowhere"]).assert_failed(&bench, 64, "--client-secret-file");
    // A secret on the command line would be seen by all users of the machine.
    bench.ended(&["--client-secret", "x"]).assert_failed(&bench, 64, "");
}

#[test]
fn a_code_that_came_too_late_is_refused() {
    let bench = Bench::new();
    let (login, location) = bench.allowed(&[]);
    bench.simulator.post("/_sim/clock", &json!({ "advance": "1m" }));
    assert_eq!(bench.browser.open(&location).status, 400);
    login.end().assert_failed(&bench, 1, "Asana doesn't accept the code");
}

#[test]
fn a_port_in_use_is_told_before_anybody_is_asked() {
    let bench = Bench::new();
    let _other = TcpListener::bind(("127.0.0.1", bench.port)).unwrap();
    let ended = bench.ended(&[]);
    ended.assert_failed(&bench, 69, &format!("port {} is in use", bench.port));
    assert_eq!(ended.stdout, "");
}

#[test]
fn an_asana_that_is_away_is_told() {
    let bench = Bench::new();
    let base = format!("{}/api/1.0", bench.simulator.url);
    let (login, location) = bench.allowed(&[]);
    let Bench { simulator, browser, folder, .. } = bench;
    drop(simulator);
    assert_eq!(browser.open(&location).status, 400);
    let ended = login.end();
    assert!(ended.code == 69 && ended.stderr.contains("no token: "), "{base}: {ended:#?}");
    assert!(!folder.path().join("refresh-token").exists());
}

#[test]
fn a_code_can_be_pasted_where_no_browser_is() {
    let bench = Bench::new();
    let (mut login, page) = bench.allowed(&["--no-listen"]);
    let code = Regex::new(r#"<code id="code">([^<]*)</code>"#).unwrap();
    let code = code.captures(&page).unwrap_or_else(|| panic!("{page}"))[1].to_owned();
    login.paste(&format!("  {code} "));
    let ended = login.end();
    assert_eq!(ended.code, 0, "{ended:#?}");
    assert!(ended.stdout.contains(&format!("redirectUri: \"{OUT_OF_BAND}\"\n")), "{}", ended.stdout);
    assert_eq!(scopes_found(&bench, &ended.config(&bench)).0, "ok");

    std::fs::remove_file(bench.token()).unwrap();
    let mut login = bench.start(&["--no-listen"]);
    login.paste(&code);
    login.end().assert_failed(&bench, 1, "Asana doesn't accept the code");
    bench.ended(&["--no-listen"]).assert_failed(&bench, 1, "no code was pasted");
    bench.ended(&["--no-listen", "--port", "8765"]).assert_failed(&bench, 64, "");
}

#[test]
fn a_file_is_replaced_only_on_demand() {
    let bench = Bench::new();
    std::fs::write(bench.token(), "older").unwrap();
    let ended = bench.ended(&[]);
    assert!(ended.code == 64 && ended.stderr.contains("exists: add --replace"), "{ended:#?}");
    assert_eq!((ended.stdout.as_str(), std::fs::read_to_string(bench.token()).unwrap().as_str()), ("", "older"));
    assert_eq!(bench.done(&["--replace"]).code, 0);
    assert!(std::fs::read_to_string(bench.token()).unwrap().starts_with("sim-refresh-"));
    assert_eq!(std::fs::metadata(bench.token()).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn secrets_are_not_sent_without_encryption() {
    let bench = Bench::new();
    let ended = bench.ended(&["--base-url", "http://asana.example.com/api/1.0"]);
    ended.assert_failed(&bench, 64, "--base-url: would send secrets without encryption");
}

#[test]
fn an_application_without_a_secret_needs_none() {
    let bench = Bench::with("scopes: [default]");
    let mut command = bench.login(&[]);
    command.env_remove("ASANA_CLIENT_SECRET");
    let mut login = Login::start(command, bench.folder.path().join("login.log"));
    let allowed = bench.browser.click(&login.url(), "allow");
    assert_eq!(bench.browser.open(&allowed.location.unwrap()).status, 200);
    let ended = login.end();
    assert!(ended.code == 0 && !ended.stdout.contains("clientSecret"), "{ended:#?}");
    assert_eq!(scopes_found(&bench, &ended.config(&bench)).0, "ok");
}

#[test]
fn missing_scopes_are_named_by_the_login_and_the_doctor() {
    let bench =
        Bench::with("client_secret: hush-client, scopes: ['users:read', 'tasks:read', 'projects:read', 'goals:read']");
    let mut login = bench.start(&["--timeout", "2s"]);
    let page = bench.browser.open(&login.url());
    assert!(page.status == 400 && page.text.contains("forbidden_scopes"), "full permissions are off: {}", page.text);
    login.end().assert_failed(&bench, 69, "the requested scopes");

    let few = ["--scope", "users:read", "--scope", "tasks:read"];
    let ended = bench.done(&few);
    assert!(
        ended.stdout.contains("Scopes: tasks:read users:read. Asana has no scope for event streams"),
        "{}",
        ended.stdout
    );
    let (verdict, said) = scopes_found(&bench, &ended.config(&bench));
    assert_eq!(verdict, "failed", "{said}");
    assert!(said.contains("not granted: goals:read (crawls), projects:read (crawls)"), "{said}");
    assert!(said.contains("turn on full permissions"), "{said}");

    let all = [&few[..], &["--scope", "projects:read", "--scope", "goals:read", "--replace"]].concat();
    let (verdict, said) = scopes_found(&bench, &bench.done(&all).config(&bench));
    assert!(verdict == "notice" && said.contains("it documents none for event streams"), "{said}");
}
