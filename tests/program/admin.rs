//! The admin port of a real process: probes, metrics, streams, the status page, and no secrets in any of it.

use crate::support::program::{Program, Simulator, admin_url, assert_closed, idle_connections};
use crate::support::scene::rename;
use crate::support::wait_for;
use asana_event_bridge::admin::Report;
use asana_event_bridge::config::CheckedFile;
use asana_event_bridge::sink::{OwnershipEvent, file};
use bridge_core::checkpoint;
use bridge_core::ids::SyncToken;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::TcpListener;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;
use tokio::runtime::Runtime;

const TIMEOUT: Duration = Duration::from_secs(60);
const SECRETS: [&str; 2] = ["1/1203:hush-main", "1/1207:hush-other"];

/// A bridge with an admin port that writes to a file.
struct Bench {
    folder: tempfile::TempDir,
    simulator: Simulator,
    bridge: Program,
    admin: String,
    runtime: Runtime,
}

impl Bench {
    /// The streams `1` and `2` of the account `main`, and `3` of `other`. `admin`: further keys of that section.
    fn new(admin: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let scenario = folder.path().join("scenario.yaml");
        std::fs::write(&scenario, "limits: { rate_per_minute: 0, concurrent_reads: 0 }\n").unwrap();
        let [main, other] = SECRETS;
        let arguments = ["--scenario", scenario.to_str().unwrap(), "--token", main, "--token", other];
        let simulator = Simulator::with_own_tokens(&arguments, &folder.path().join("simulator.log"));
        let (path, url) = (folder.path().display(), &simulator.url);
        let mut text = format!(
            "replica: r1\nadmin: {{ listen: '127.0.0.1:0', {admin} }}\n\
             polling: {{ minInterval: 100ms, maxInterval: 300ms }}\n\
             sink: {{ file: {{ path: '{path}/records' }} }}\naccounts:\n"
        );
        for (account, token) in ["main", "other"].iter().zip(SECRETS) {
            std::fs::write(folder.path().join(account), token).unwrap();
            let token = folder.path().join(account);
            writeln!(
                text,
                "  {account}: {{ token: {{ file: '{}' }}, baseUrl: '{url}/api/1.0', requestsPerMinute: 6000 }}",
                token.display()
            )
            .unwrap();
        }
        text.push_str("streams:\n");
        for (resource, account) in [("1", "main"), ("2", "main"), ("3", "other")] {
            simulator.post("/_sim/events", &json!({ "resource": resource, "events": [] }));
            writeln!(text, "  - {{ resource: '{resource}', account: {account} }}").unwrap();
        }
        let config = folder.path().join("bridge.yaml");
        std::fs::write(&config, text).unwrap();
        // All that there is to be said, by us and by what we use.
        let arguments = ["run", "--config", config.to_str().unwrap(), "--log-format", "json", "--log-level", "trace"];
        let log = folder.path().join("bridge.log");
        let bridge = Program::start_into(&arguments, &log, &folder.path().join("bridge.out"));
        let admin = wait_for("the admin port", TIMEOUT, || admin_url(&log));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { folder, simulator, bridge, admin, runtime }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn get(&self, path: &str) -> (u16, String) {
        self.runtime.block_on(get(&format!("{}{path}", self.admin)))
    }

    fn report(&self) -> Report {
        serde_json::from_str(&self.get("/api/streams").1).unwrap()
    }

    fn metrics(&self) -> BTreeMap<String, f64> {
        let (status, text) = self.get("/metrics");
        assert!(status == 200 && text.ends_with("# EOF\n"), "{text}");
        let sample = |line: &str| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.trim_start_matches("asana_event_bridge_").to_owned(), value.parse().unwrap())
        };
        text.lines().filter(|line| !line.starts_with('#')).map(sample).collect()
    }

    /// Waits for a report of which this is true, within the time that a status may be old.
    fn wait(&self, what: &str, holds: impl Fn(&Report) -> bool) -> Report {
        wait_for(what, TIMEOUT, || Some(self.report()).filter(&holds))
    }

    fn offer(&self, resource: &str, events: std::ops::Range<u64>) {
        let events: Vec<_> = events.map(|number| rename(1_000 + number, number)).collect();
        self.simulator.post("/_sim/events", &json!({ "resource": resource, "events": events }));
    }

    /// A gap that stays: the crawl that would heal it can't read anything.
    fn open_gap(&self, resource: &str) {
        let fault = json!({ "kind": "status", "status": 500, "resource": resource, "endpoint": "lists" });
        self.simulator.post("/_sim/faults", &fault);
        self.simulator.post("/_sim/faults", &json!({ "kind": "kill_tokens", "resource": resource }));
    }

    fn wait_until_live(&self) {
        self.wait("all streams to be live", |report| report.totals.live == 3);
    }

    /// The program's other command.
    fn streams(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_asana-event-bridge"));
        command.args(["streams", "--url", &self.admin]).args(arguments).output().unwrap()
    }
}

async fn get(url: &str) -> (u16, String) {
    let answer = reqwest::get(url).await.unwrap_or_else(|error| panic!("{url}: {error}"));
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// As the log tells it.
#[test]
fn a_replica_tells_how_it_is() {
    let bench = Bench::new("");
    bench.wait_until_live();
    assert_eq!(bench.get("/livez"), (200, "ok\n".to_owned()));
    assert_eq!(bench.get("/readyz"), (200, "ok\n".to_owned()));

    bench.offer("1", 0..7);
    bench.wait("seven events", |report| report.streams.iter().any(|it| it.stream == "main/1" && it.events == 7));
    bench.open_gap("2");
    bench.wait("a gap", |report| report.totals.open_gaps == 1);
    bench
        .simulator
        .post("/_sim/faults", &json!({ "kind": "status", "status": 403, "resource": "3", "endpoint": "events" }));
    let report = bench.wait("a refused stream", |report| report.totals.suspended == 1);

    assert_eq!((report.replica.as_str(), report.sink.as_str()), ("r1", "file"));
    assert!(report.ready && report.session_open, "{report:?}");
    assert_eq!(report.owned_shards.len(), 32);
    assert!(report.owned_shards.iter().all(|shard| shard.epoch.is_some() && shard.restored_at.is_some()));
    assert_eq!(report.accounts.iter().map(|it| it.all_streams).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(report.open_gaps[0].stream, "main/2");
    let kinds: Vec<_> = report.failures.iter().map(|it| (it.of.as_deref(), it.kind.as_str())).collect();
    for kind in [(Some("other/3"), "suspended"), (Some("main/2"), "source_gap"), (Some("main/2"), "crawl_retries")] {
        assert!(kinds.contains(&kind), "{kind:?} in {kinds:?}");
    }
    let refused = report.streams.iter().find(|it| it.stream == "other/3").unwrap();
    assert_eq!((refused.state.as_str(), refused.refused_status), ("suspended", Some(403)));
    assert!(refused.token_expires_in_seconds.unwrap() > 86_000, "{refused:?}");
    // It is polled no more, so in time it is the stalest.
    bench.wait("the stalest first", |report| report.streams[0].stream == "other/3");

    let asked =
        |query: &str| -> Report { serde_json::from_str(&bench.get(&format!("/api/streams?{query}")).1).unwrap() };
    let names = |report: &Report| report.streams.iter().map(|it| it.stream.clone()).collect::<Vec<_>>();
    let all = names(&bench.report());
    assert_eq!(all[0], "other/3", "what is suspended comes first");
    assert_eq!((names(&asked("search=suspend")), asked("search=main/").matching_streams), (vec!["other/3".into()], 2));
    assert_eq!(asked("limit=1&offset=2").streams.len(), 1);
    assert_eq!(asked("limit=1&offset=2").matching_streams, 3);

    let metrics = bench.metrics();
    for name in ["process_cpu_seconds_total", "process_open_fds", "process_max_fds", "process_virtual_memory_bytes"] {
        assert!(metrics.get(name).is_some_and(|value| *value > 0.0), "{name}");
    }
    for (name, value) in [
        ("ready", 1.0),
        ("session_up", 1.0),
        ("events_total", 7.0),
        ("event_lag_seconds_count", 7.0),
        ("stream_events_total{account=\"main\",resource=\"1\"}", 7.0),
        ("streams{state=\"live\"}", 2.0),
        ("streams{state=\"suspended\"}", 1.0),
        ("streams_suspended{status=\"403\"}", 1.0),
        ("source_gaps_total{account=\"main\"}", 1.0),
        ("source_gaps_total{account=\"other\"}", 0.0),
        ("source_gaps_open", 1.0),
        ("stream_source_gaps_open{account=\"main\",resource=\"2\"}", 1.0),
        ("account_budget_requests_per_minute{account=\"main\"}", 6000.0),
        ("account_share_ratio{account=\"main\"}", 1.0),
        ("account_requests_total{account=\"other\",outcome=\"forbidden\"}", 1.0),
        ("account_requests_total{account=\"main\",outcome=\"throttled\"}", 0.0),
        ("commits_total{outcome=\"aborted\"}", 0.0),
        ("stream_series_omitted", 0.0),
    ] {
        assert_eq!(metrics.get(name), Some(&value), "{name} in {metrics:#?}");
    }
    let is_owned = |shard| metrics.get(&format!("shard_owned{{shard=\"{shard}\"}}")) == Some(&1.0);
    assert!((0..32).all(is_owned), "{metrics:#?}");
    let least = |name: &str, least: f64| assert!(metrics[name] >= least, "{name}: {}", metrics[name]);
    least("commits_total{outcome=\"committed\"}", 2.0);
    least("account_requests_total{account=\"main\",outcome=\"page\"}", 2.0);
    least("account_request_duration_seconds_count{account=\"main\"}", 4.0);
    least("page_lag_seconds_count", 4.0);
    least("commit_duration_seconds_count", 2.0);
    least("stream_token_left_min_seconds", 86_000.0);
    least("process_resident_memory_bytes", 1e6);

    assert!(bench.bridge.stop().success());
}

#[test]
fn the_command_streams_shows_the_same() {
    let bench = Bench::new("");
    bench.wait("streams without crawls", |report| report.totals.live == 3 && report.totals.crawls == 0);
    let text = bench.streams(&["--limit", "2"]);
    let shown = String::from_utf8(text.stdout).unwrap();
    assert!(text.status.success(), "{shown}");
    for words in ["replica r1", "32 of 32 shards, 3 streams: 3 live, 0 open gaps", "STREAM", "… and 1 more: see `--"]
    {
        assert!(shown.contains(words), "{words} in {shown}");
    }
    let json = bench.streams(&["--output", "json"]);
    let report: Report = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((report.streams.len(), report.totals.live), (3, 3));
    let one = bench.streams(&["--search", "other/"]).stdout;
    let one = String::from_utf8(one).unwrap();
    assert!(one.contains("other/3") && !one.contains("main/1  "), "{one}");

    let Bench { bridge, admin, .. } = bench;
    assert!(bridge.stop().success());
    let mut command = Command::new(env!("CARGO_BIN_EXE_asana-event-bridge"));
    let gone = command.args(["streams", "--url", &admin]).output().unwrap();
    assert_eq!(gone.status.code(), Some(69));
    assert!(String::from_utf8_lossy(&gone.stderr).contains("no bridge answers at http"), "{gone:?}");
}

#[test]
fn nothing_that_is_said_has_a_secret_in_it() {
    let bench = Bench::new("");
    bench.wait_until_live();
    bench.offer("1", 0..7);
    bench.wait("seven events", |report| report.streams.iter().any(|it| it.events == 7));
    // What goes wrong is told in most words.
    bench.simulator.post("/_sim/faults", &json!({ "kind": "kill_tokens", "resource": "2" }));
    for (resource, fault) in [
        ("1", json!({ "kind": "status", "status": 500 })),
        ("2", json!({ "kind": "cut" })),
        ("3", json!({ "kind": "status", "status": 401 })),
    ] {
        let mut fault = fault;
        (fault["resource"], fault["count"]) = (json!(resource), json!(1));
        bench.simulator.post("/_sim/faults", &fault);
    }
    let failed = |report: &Report, kind: &str| report.failures.iter().any(|it| it.kind == kind);
    bench.wait("all of these faults", |report| {
        ["source_gap", "server", "connection", "suspended"].iter().all(|kind| failed(report, kind))
    });
    let mut said = String::new();
    for path in ["/livez", "/readyz", "/metrics", "/api/streams", "/", "/status.css", "/status.js", "/nothing"] {
        said.push_str(&bench.get(path).1);
    }
    for arguments in [&[][..], &["--output", "json"]] {
        let Output { stdout, stderr, .. } = bench.streams(arguments);
        said.push_str(&String::from_utf8_lossy(&[stdout, stderr].concat()));
    }
    let config = CheckedFile { path: bench.file("records"), checkpoint: bench.file("records.checkpoint") };
    let Bench { bridge, runtime, folder, .. } = bench;
    assert!(bridge.stop().success());
    for name in ["bridge.log", "bridge.out", "records"] {
        said.push_str(&std::fs::read_to_string(folder.path().join(name)).unwrap());
    }
    let log = std::fs::read_to_string(folder.path().join("bridge.log")).unwrap();
    assert!(log.contains("\"level\":\"TRACE\""), "all that could be said was to be said");
    let tokens = runtime.block_on(sync_tokens(&config));
    assert_eq!(tokens.len(), 3);
    for secret in SECRETS.iter().copied().chain(tokens.iter().map(SyncToken::as_str)) {
        assert!(!said.contains(secret), "somewhere it says {secret}");
    }
}

/// Those that the bridge had last.
async fn sync_tokens(config: &CheckedFile) -> Vec<SyncToken> {
    let shards = NonZeroU32::new(32).unwrap();
    let (_committer, mut ownership) = file::open(config, shards).await.unwrap();
    let Some(OwnershipEvent::Assigned(stored)) = ownership.recv().await else { panic!("assigned at once") };
    let restore = |(shard, stored)| {
        checkpoint::restore(shard, &stored, shards, std::time::SystemTime::now().into()).unwrap().streams
    };
    stored.into_iter().flat_map(restore).filter_map(|(_, stream)| stream.token().cloned()).collect()
}

#[test]
fn a_log_line_of_a_stream_has_its_shard_and_epoch_beside_the_message() {
    let bench = Bench::new("");
    bench.wait_until_live();
    let report = bench.report();
    let log = std::fs::read_to_string(bench.file("bridge.log")).unwrap();
    let line = log.lines().find(|line| line.contains("stream established") && line.contains("main/1")).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    let stream = report.streams.iter().find(|it| it.stream == "main/1").unwrap();
    let shard = report.owned_shards.iter().find(|it| it.shard == stream.shard).unwrap();
    assert_eq!(line["stream"], "main/1");
    assert_eq!((line["shard"].as_u64(), line["epoch"].as_u64()), (Some(shard.shard.into()), shard.epoch));
    assert_eq!(line["level"], "INFO");
}

#[test]
fn idle_connections_stop_neither_the_admin_port_nor_the_polls() {
    let bench = Bench::new("");
    bench.wait_until_live();
    let address = bench.admin.strip_prefix("http://").unwrap();
    let before = bench.bridge.open_files();
    let mut idle = idle_connections(address, 300);
    assert_eq!(bench.get("/livez").0, 200);
    let more = bench.bridge.open_files().saturating_sub(before);
    assert!(more < 80, "{more} more file descriptors");
    bench.offer("1", 0..7);
    bench.wait("seven events", |report| report.streams.iter().any(|it| it.events == 7));
    // The first made room for others, the last had its time.
    let last = idle.pop().unwrap();
    assert_closed(idle.remove(0), Duration::from_secs(5));
    assert_closed(last, Duration::from_secs(15));
}

#[test]
fn the_status_page_has_to_be_requested_by_a_known_name() {
    let bench = Bench::new("allowedHosts: [bridge.example.com]");
    let ask = |path: &str, host: &str| {
        let request = reqwest::Client::new().get(format!("{}{path}", bench.admin)).header("host", host);
        bench.runtime.block_on(async {
            let answer = request.send().await.unwrap();
            assert_eq!(answer.headers()["x-content-type-options"], "nosniff", "{path}");
            (answer.status().as_u16(), answer.text().await.unwrap())
        })
    };
    for host in ["localhost", "127.0.0.1:8080", "[::1]", "bridge.example.com", "BRIDGE.example.com:80"] {
        assert_eq!(ask("/", host).0, 200, "{host}");
    }
    for path in ["/", "/api/streams", "/status.js"] {
        let (status, text) = ask(path, "rebound.example.org");
        assert!(status == 403 && text.contains("`admin.allowedHosts`"), "{status} {text}");
    }
    for path in ["/livez", "/metrics"] {
        assert_eq!(ask(path, "rebound.example.org").0, 200, "{path}");
    }
    assert_eq!(ask("/nothing", "rebound.example.org").0, 404);
}

#[test]
fn an_outage_of_asana_is_one_line_for_each_account_and_kind_of_failure() {
    let bench = Bench::new("");
    bench.wait_until_live();
    for resource in ["1", "2"] {
        let fault = json!({ "kind": "status", "status": 500, "resource": resource, "endpoint": "events" });
        bench.simulator.post("/_sim/faults", &fault);
    }
    bench.wait("failures", |report| report.failures.iter().any(|it| it.kind == "server" && it.count > 4));
    let report = bench.report();
    let told: Vec<_> = report.failures.iter().filter(|it| it.kind == "server").collect();
    assert_eq!(told.len(), 1, "one for the account and kind: {told:?}");
    assert_eq!(told[0].account.as_deref(), Some("main"));
    assert!(told[0].first_at < told[0].at, "{told:?}");
    assert!(report.streams[0].failures > 0 && report.streams[2].failures == 0, "trouble first: {report:?}");
    let log = std::fs::read_to_string(bench.file("bridge.log")).unwrap();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let failed: Vec<_> = lines.filter(|line| line["message"] == "poll failed, retrying with backoff").collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0]["reason"], "server");
}

#[test]
fn metrics_are_in_the_older_format_if_a_scraper_asks_for_it() {
    let bench = Bench::new("");
    bench.wait_until_live();
    let ask = |accept: &str| {
        bench.runtime.block_on(async {
            let request = reqwest::Client::new().get(format!("{}/metrics", bench.admin)).header("accept", accept);
            let answer = request.send().await.unwrap();
            let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
            (kind, answer.text().await.unwrap())
        })
    };
    let (kind, text) = ask("text/plain;version=0.0.4;q=0.5,*/*;q=0.1");
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    assert!(text.contains("# TYPE asana_event_bridge_events_total counter\n"), "{text}");
    assert!(!text.contains("# EOF") && !text.contains("# UNIT"), "{text}");
    let (kind, text) = ask("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3");
    assert!(kind.starts_with("application/openmetrics-text") && text.ends_with("# EOF\n"), "{kind}");
}

#[test]
fn the_log_begins_with_what_runs() {
    let bench = Bench::new("");
    let log = std::fs::read_to_string(bench.file("bridge.log")).unwrap();
    let first: serde_json::Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    assert_eq!((first["level"].as_str(), first["message"].as_str()), (Some("INFO"), Some("bridge starting")));
    assert_eq!(first["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((first["sink"].as_str(), first["replica"].as_str()), (Some("file"), Some("r1")));
    assert_eq!((first["streams"].as_u64(), first["accounts"].as_u64()), (Some(3), Some(2)));
}

#[test]
fn many_streams_have_no_metrics_of_their_own_and_the_page_can_be_switched_off() {
    let bench = Bench::new("streamMetrics: 2, statusPage: false");
    let metrics = wait_for("three streams", TIMEOUT, || {
        Some(bench.metrics()).filter(|metrics| metrics.get("streams{state=\"live\"}") == Some(&3.0))
    });
    assert_eq!(metrics.get("stream_series_omitted"), Some(&1.0));
    assert!(metrics.contains_key("stream_staleness_max_seconds"));
    assert!(metrics.keys().all(|name| !name.contains("resource=")), "{metrics:#?}");
    for path in ["/", "/api/streams", "/status.js"] {
        assert_eq!(bench.get(path).0, 404, "{path}");
    }
    assert_eq!(bench.get("/readyz").0, 200);
}

/// Runs a bridge that can't reach its bus, and gives its log.
fn without_a_bus(listen: &str) -> (tempfile::TempDir, Program, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("bridge.yaml");
    std::fs::write(folder.path().join("token"), "token").unwrap();
    let text = format!(
        "accounts: {{ main: {{ token: {{ file: '{}/token' }} }} }}\nstreams: [{{ resource: '1' }}]\n\
         sink: {{ kafka: {{ bootstrapServers: '127.0.0.1:1' }} }}\nadmin: {{ listen: '{listen}' }}\n",
        folder.path().display()
    );
    std::fs::write(&config, text).unwrap();
    let log = folder.path().join("bridge.log");
    let program = Program::start(&["run", "--config", config.to_str().unwrap(), "--log-format", "json"], &log);
    (folder, program, log)
}

#[test]
fn a_replica_that_never_reached_its_bus_is_alive_and_not_ready() {
    let (_folder, mut bridge, log) = without_a_bus("127.0.0.1:0");
    let admin = wait_for("the admin port", TIMEOUT, || {
        bridge.assert_running();
        admin_url(&log)
    });
    rustls::crypto::ring::default_provider().install_default().ok();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (status, reason) = runtime.block_on(get(&format!("{admin}/readyz")));
    assert!(status == 503 && reason.starts_with("connecting to the bus: "), "{status} {reason}");
    assert_eq!(runtime.block_on(get(&format!("{admin}/livez"))).0, 200);
    let metrics = runtime.block_on(get(&format!("{admin}/metrics"))).1;
    assert!(metrics.contains("\nasana_event_bridge_session_up 0"), "{metrics}");
    assert!(metrics.contains("\nasana_event_bridge_shard_owned{shard=\"0\"} 0"), "{metrics}");
}

#[test]
fn a_port_that_is_taken_or_not_ours_ends_the_program_with_words() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    // An address of nobody: RFC 5737, section 3.
    for (listen, code) in [(taken.local_addr().unwrap().to_string(), 69), ("192.0.2.1:8080".to_owned(), 64)] {
        let (_folder, mut bridge, log) = without_a_bus(&listen);
        let status = wait_for("its end", TIMEOUT, || bridge.ended());
        let log = std::fs::read_to_string(&log).unwrap();
        assert_eq!(status.code(), Some(code), "{log}");
        assert!(log.contains(&format!("admin.listen: can't listen on {listen}: ")), "{log}");
    }
    let (_folder, mut bridge, log) = without_a_bus("8080");
    let status = wait_for("its end", TIMEOUT, || bridge.ended());
    let log = std::fs::read_to_string(&log).unwrap();
    assert_eq!(status.code(), Some(64), "{log}");
    assert!(log.contains("admin.listen: is no address with a port"), "{log}");
}

/// What a browser makes of the page.
fn rendered(url: &str) -> String {
    let mut command = Command::new("chromium-headless-shell");
    // As root there is no sandbox; virtual time runs until the page has what it asked for.
    command.args(["--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000", "--dump-dom", url]);
    let output = command.output().unwrap_or_else(|error| {
        panic!("this test needs {command:?} (Debian's package chromium-headless-shell): {error}")
    });
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_browser_shows_the_status_page() {
    let bench = Bench::new("");
    bench.wait_until_live();
    bench.offer("1", 0..7);
    bench.open_gap("2");
    bench
        .simulator
        .post("/_sim/faults", &json!({ "kind": "status", "status": 404, "resource": "3", "endpoint": "events" }));
    bench.wait("all of it", |report| {
        let seven = report.streams.iter().any(|it| it.events == 7);
        seven && report.totals.open_gaps == 1 && report.totals.suspended == 1
    });
    let page = rendered(&bench.admin);
    for part in [
        "<title>r1 · asana-event-bridge</title>",
        "class=\"badge good\" role=\"status\">ready<",
        "<b>32 of 32</b>",
        "<b>2</b><span class=\"quiet\">of 3 streams live</span>",
        "<td>main/1</td>",
        "<td data-label=\"events\">7</td>",
        "main/2 <span class=\"state bad\">1 gap</span>",
        "<span class=\"state bad\">suspended (404)</span>",
        "<b>other/3</b> suspended: Asana answers 404 (not_found)",
        "<b>main/2</b> from ",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
    assert!(page.contains("role=\"alert\" hidden"), "no problem is shown: {page}");
}
