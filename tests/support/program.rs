//! Our own program as a process, and the simulator's control interface.

use super::wait_for;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

/// The token of the account that most tests have.
pub(crate) const TOKEN: &str = "hush-asana";

/// What every secret of a test contains, so that all that the program says can be searched for it.
const SECRET: &str = "hush-";

/// The program under test, killed when dropped. What it logged is searched for secrets then.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts it; its log goes to a file.
    pub(crate) fn start(arguments: &[&str], log: &Path) -> Self {
        Self::start_with(&[], arguments, log)
    }

    /// The same, with further variables.
    pub(crate) fn start_with(variables: &[(&str, &str)], arguments: &[&str], log: &Path) -> Self {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(log).expect("open the log");
        Self::spawn(variables, arguments, log, file, Stdio::piped())
    }

    /// The same, with its results in a file.
    pub(crate) fn start_into(arguments: &[&str], log: &Path, results: &Path) -> Self {
        let (file, results) = (std::fs::File::create(log), std::fs::File::create(results));
        Self::spawn(&[], arguments, log, file.expect("a file"), results.expect("a file").into())
    }

    fn spawn(variables: &[(&str, &str)], arguments: &[&str], log: &Path, file: std::fs::File, results: Stdio) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_asana-event-bridge"));
        command.envs(variables.iter().copied()).args(arguments).stdin(Stdio::null()).stdout(results).stderr(file);
        Self { child: command.spawn().expect("start the program"), log: log.to_owned() }
    }

    /// Its results, to be read by the test.
    pub(crate) fn take_stdout(&mut self) -> ChildStdout {
        self.child.stdout.take().expect("its stdout")
    }

    /// SIGKILL, now.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("kill the program");
        self.child.wait().expect("wait for the program");
    }

    /// SIGTERM, and how it ended.
    pub(crate) fn stop(self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    /// How it ended after SIGTERM.
    pub(crate) fn wait(mut self) -> ExitStatus {
        wait_for("the program's end after SIGTERM", Duration::from_secs(40), || self.ended())
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("its status")
    }

    /// The CPU time that it has used.
    pub(crate) fn cpu(&self) -> Duration {
        let path = format!("/proc/{}/stat", self.child.id());
        // The name, in brackets, may hold anything; user and system time are the 14th and 15th field of proc(5).
        let stat = std::fs::read_to_string(path).unwrap_or_default();
        let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
        let ticks: u64 = fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        // Linux shows 100 ticks a second to programs, whatever its own are.
        Duration::from_millis(10 * ticks)
    }

    /// The most memory that it has used, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("its status");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        1024 * peak.and_then(|number| number.parse::<u64>().ok()).expect("its peak in kB")
    }

    /// The number of its file descriptors.
    pub(crate) fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("its files").count()
    }

    /// SIGSTOP or SIGCONT, say.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Panics if it ended by itself.
    pub(crate) fn assert_running(&mut self) {
        if let Some(status) = self.ended() {
            panic!("the program ended by itself: {status}; its log ends with\n{}", self.last_words());
        }
    }

    /// The end of its log.
    pub(crate) fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines.iter().skip(lines.len().saturating_sub(20)).copied().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        let log = std::fs::read(&self.log).unwrap_or_default();
        let told = String::from_utf8_lossy(&log).lines().find(|line| line.contains(SECRET)).map(str::to_owned);
        if let Some(line) = told.filter(|_| !std::thread::panicking()) {
            panic!("a secret is in the log: {line}");
        }
    }
}

/// Connections that send nothing.
pub(crate) fn idle_connections(address: &str, count: usize) -> Vec<TcpStream> {
    (0..count).map(|_| TcpStream::connect(address).expect("connect")).collect()
}

/// Panics unless the other side closes the connection in time.
pub(crate) fn assert_closed(mut connection: TcpStream, timeout: Duration) {
    connection.set_read_timeout(Some(timeout)).expect("a timeout");
    match connection.read(&mut [0]) {
        Ok(0) => {}
        Ok(_) => panic!("an answer to nothing"),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
    }
}

/// Where the admin port of a program with such a log, in lines of JSON, listens.
pub(crate) fn admin_url(log: &Path) -> Option<String> {
    let log = std::fs::read_to_string(log).ok()?;
    // The last line may not be whole.
    let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let line = lines.find(|line| line["message"] == "admin server listening")?;
    Some(format!("http://{}", line["address"].as_str().expect("an address")))
}

fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().expect("run kill");
    assert!(status.success(), "kill -{name} {pid}");
}

/// A simulator in a process of its own.
#[derive(Debug)]
pub(crate) struct Simulator {
    program: Program,
    pub(crate) url: String,
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl Simulator {
    /// One with the token [`TOKEN`].
    pub(crate) fn start(arguments: &[&str], log: &Path) -> Self {
        Self::with_own_tokens(&[arguments, &["--token", TOKEN]].concat(), log)
    }

    /// One whose tokens are in the arguments, or in the scenario that they name.
    pub(crate) fn with_own_tokens(arguments: &[&str], log: &Path) -> Self {
        // Without a scenario something would happen by itself.
        let quiet: &[&str] = if arguments.contains(&"--scenario") { &[] } else { &["--rate", "0"] };
        let arguments = [&["simulate", "--listen", "127.0.0.1:0"], quiet, arguments].concat();
        let mut program = Program::start(&arguments, log);
        let mut line = String::new();
        BufReader::new(program.take_stdout()).read_line(&mut line).expect("read its stdout");
        let url =
            line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("no address: {line:?}")).to_owned();
        // Whoever comes second is told so, and is fine.
        rustls::crypto::ring::default_provider().install_default().ok();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { program, url, client: reqwest::Client::new(), runtime }
    }

    pub(crate) fn post(&self, path: &str, body: &Value) {
        let request = self.client.post(format!("{}{path}", self.url)).body(body.to_string());
        let answer = self.runtime.block_on(request.send()).expect("the simulator answers");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
    }

    /// What the control interface answers to a body.
    pub(crate) fn ask(&self, path: &str, body: &Value) -> Value {
        let request = self.client.post(format!("{}{path}", self.url)).body(body.to_string());
        let text = self.runtime.block_on(async { request.send().await?.error_for_status()?.text().await });
        serde_json::from_str(&text.expect("the simulator answers")).expect("JSON")
    }

    /// Ends what a resource of the control interface stands for.
    pub(crate) fn delete(&self, path: &str) {
        let request = self.client.delete(format!("{}{path}", self.url));
        let answer = self.runtime.block_on(request.send()).expect("the simulator answers");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
    }

    pub(crate) fn cpu(&self) -> Duration {
        self.program.cpu()
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        self.fetch(&format!("{}{path}", self.url)).expect("the simulator answers")
    }

    /// What Asana's API answers, below its base.
    pub(crate) fn read(&self, path: &str) -> Value {
        let request = self.client.get(format!("{}/api/1.0{path}", self.url)).bearer_auth(TOKEN);
        let text = self.runtime.block_on(async { request.send().await?.error_for_status()?.text().await });
        serde_json::from_str(&text.expect("the simulator answers")).expect("JSON")
    }

    /// With what status Asana's API answers, below its base.
    pub(crate) fn status(&self, path: &str) -> u16 {
        let request = self.client.get(format!("{}/api/1.0{path}", self.url)).bearer_auth(TOKEN);
        self.runtime.block_on(request.send()).expect("the simulator answers").status().as_u16()
    }

    /// JSON from any server.
    pub(crate) fn fetch(&self, url: &str) -> reqwest::Result<Value> {
        Ok(serde_json::from_str(&self.fetch_text(url)?).expect("JSON"))
    }

    /// Text from any server.
    pub(crate) fn fetch_text(&self, url: &str) -> reqwest::Result<String> {
        self.runtime.block_on(async { self.client.get(url).send().await?.error_for_status()?.text().await })
    }

    /// The configuration of a bridge that polls these resources often.
    pub(crate) fn config(&self, token: &Path, sink: &Value, resources: &[String], shards: u64) -> Value {
        json!({
            "accounts": { "main": {
                "token": { "file": token },
                "baseUrl": format!("{}/api/1.0", self.url),
                "requestsPerMinute": 60000,
            }},
            "polling": { "minInterval": "200ms", "maxInterval": "1s" },
            "shards": shards,
            "sink": sink,
            "streams": resources.iter().map(|gid| json!({ "resource": gid })).collect::<Vec<_>>(),
        })
    }

    /// The gids of all projects.
    pub(crate) fn projects(&self) -> Vec<String> {
        let gid = |project: &Value| project["gid"].as_str().expect("a gid").to_owned();
        self.list("/projects", "name").iter().map(gid).collect()
    }

    /// An object, as Asana's API shows it now.
    pub(crate) fn object(&self, path: &str, fields: &str) -> Value {
        self.read(&format!("{path}?opt_fields={fields}"))["data"].take()
    }

    /// All of a list of Asana's API; its path may end with a query.
    pub(crate) fn list(&self, path: &str, fields: &str) -> Vec<Value> {
        let query = if path.contains('?') { '&' } else { '?' };
        let (mut all, mut offset) = (Vec::new(), String::new());
        loop {
            let mut page = self.read(&format!("{path}{query}opt_fields={fields}&limit=100{offset}"));
            all.append(page["data"].as_array_mut().expect("a list"));
            match page["next_page"]["offset"].as_str() {
                Some(next) => offset = format!("&offset={next}"),
                None => return all,
            }
        }
    }

    /// The events that were offered on each stream since its first token, in order.
    pub(crate) fn offered(&self, resources: &[String]) -> BTreeMap<String, Vec<Value>> {
        let offered = |resource: &String| {
            let ledger = self.get(&format!("/_sim/ledger?resource={resource}"));
            let first = ledger["established_at"].as_u64().unwrap_or_else(|| panic!("{resource} was never established"));
            let events = ledger["events"].as_array().expect("events").iter().skip(usize::try_from(first).unwrap());
            (resource.clone(), events.cloned().collect())
        };
        resources.iter().map(offered).collect()
    }
}
