//! A simulated Asana, secrets in files, and bridges whose log is read line by line.

use crate::support::program::{Program, Simulator, TOKEN};
use crate::support::wait_for;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// Each stream has a token, old or new.
pub(crate) const STREAMING: &str = "all streams established, waiting for events";

/// Why a bridge ended by itself.
pub(crate) const ENDED: &str = "ended with an error";

pub(crate) struct Bench {
    folder: tempfile::TempDir,
    pub(crate) simulator: Simulator,
}

impl Bench {
    /// An Asana with these resources, whose streams have no event yet.
    pub(crate) fn new(resources: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let scenario = folder.path().join("scenario.yaml");
        std::fs::write(&scenario, "limits: { rate_per_minute: null, concurrent_reads: null }\n").unwrap();
        std::fs::write(folder.path().join("token"), TOKEN).unwrap();
        let arguments = ["--scenario", scenario.to_str().unwrap()];
        let simulator = Simulator::start(&arguments, &folder.path().join("simulator.log"));
        for resource in resources {
            simulator.post("/_sim/events", &json!({ "resource": resource, "events": [] }));
        }
        Self { folder, simulator }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A secret in a file, as a configuration names it. The file is replaced at once, as Kubernetes does.
    pub(crate) fn secret(&self, name: &str, text: &str) -> Value {
        let (path, next) = (self.path(name), self.path(&format!("{name}.next")));
        std::fs::write(&next, text).unwrap();
        std::fs::rename(next, &path).unwrap();
        json!({ "file": path })
    }

    /// The file with the configuration of a replica.
    pub(crate) fn config(&self, replica: &str, resources: &[&str], sink: &Value) -> PathBuf {
        let config = json!({
            "accounts": { "main": {
                "token": { "file": self.path("token") },
                "baseUrl": format!("{}/api/1.0", self.simulator.url),
                "requestsPerMinute": 60000,
            } },
            "polling": { "minInterval": "100ms", "maxInterval": "200ms" },
            "streams": resources.iter().map(|gid| json!({ "resource": gid })).collect::<Vec<_>>(),
            "shards": 2,
            "state": { "refresh": "on", "quietTime": "100ms" },
            "replica": replica,
            "sink": sink,
        });
        let path = self.path(&format!("{replica}.yaml"));
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }

    /// Something happens to a resource.
    pub(crate) fn offer(&self, resource: &str, name: &str) {
        let event = json!({
            "action": "changed", "resource": { "gid": "7", "resource_type": "task", "name": name }, "parent": null,
            "change": { "field": "name", "action": "changed" }, "user": null, "created_at": "2026-01-01T00:00:00.000Z",
        });
        self.simulator.post("/_sim/events", &json!({ "resource": resource, "events": [event] }));
    }
}

/// `run`, and what it logs.
pub(crate) struct Bridge {
    pub(crate) program: Program,
    log: PathBuf,
    /// The number of lines of earlier runs.
    begin: usize,
}

impl Bridge {
    /// Starts `run`. Its log has the name of the configuration, and goes on where an earlier run left it.
    pub(crate) fn start(config: &Path) -> Self {
        let log = config.with_extension("log");
        let arguments = ["run", "--config", config.to_str().unwrap(), "--log-format", "json"];
        let begin = std::fs::read_to_string(&log).unwrap_or_default().lines().count();
        Self { program: Program::start(&arguments, &log), log, begin }
    }

    /// The whole lines of this run.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.log).unwrap();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines = whole.lines().skip(self.begin);
        lines.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }

    /// The lines that say that something is wrong.
    pub(crate) fn problems(&self) -> Vec<Value> {
        self.lines().into_iter().filter(|line| line["level"] == "WARN" || line["level"] == "ERROR").collect()
    }

    /// Those that aren't librdkafka's, which may tell of a connection that it makes again.
    pub(crate) fn own_problems(&self) -> Vec<Value> {
        self.problems().into_iter().filter(|line| line["target"] != "librdkafka").collect()
    }

    /// Waits for a line that satisfies this.
    #[track_caller]
    pub(crate) fn wait(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let start = std::time::Instant::now();
        loop {
            if let Some(line) = self.lines().into_iter().find(|line| is_it(line)) {
                return line;
            }
            assert!(start.elapsed() < TIMEOUT, "waited in vain for {what}: {}", self.program.last_words());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits for this message.
    #[track_caller]
    pub(crate) fn said(&self, message: &str) -> Value {
        self.wait(message, |line| line["message"] == message)
    }

    /// Waits until it ends by itself because of something that the operator has to do. Its last line.
    #[track_caller]
    pub(crate) fn gave_up(mut self) -> Value {
        let status = wait_for("the program's end", TIMEOUT, || self.program.ended());
        assert_eq!(status.code(), Some(64), "{}", self.program.last_words());
        let last = self.lines().pop().unwrap();
        assert_eq!(last["message"], ENDED, "{last}");
        last
    }

    /// No problem has more than one line, whatever the number of tries.
    #[track_caller]
    pub(crate) fn assert_calm(&self) {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for line in self.problems() {
            *seen.entry(format!("{} {}", line["message"], line["facility"])).or_default() += 1;
        }
        assert!(seen.values().all(|count| *count == 1), "{seen:?}: {}", self.program.last_words());
    }
}

/// The findings of `doctor`, by what they are about: the verdict, and the finding as a whole.
fn doctor(config: &Path) -> BTreeMap<String, (String, String)> {
    let config = config.to_str().unwrap();
    let (_, lines, log) = command(&["doctor", "--config", config, "--output", "json", "--timeout", "5s"]);
    let report: Value = serde_json::from_str(lines.lines().last().unwrap_or_default())
        .unwrap_or_else(|error| panic!("{error}: {lines}{log}"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let findings = report["findings"].as_array().unwrap().iter();
    findings.map(|it| (text(&it["what"]), (text(&it["verdict"]), it.to_string()))).collect()
}

/// What `doctor` found to be wrong.
pub(crate) fn failed(config: &Path) -> BTreeMap<String, String> {
    let found = doctor(config).into_iter();
    found.filter(|(_, (verdict, _))| verdict == "failed").map(|(what, (_, text))| (what, text)).collect()
}

/// Exit code, results and log of a command that ends by itself. None has a secret.
pub(crate) fn command(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_asana-event-bridge")).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (results, log) = (text(output.stdout), text(output.stderr));
    assert!(!results.contains("hush-") && !log.contains("hush-"), "a secret is told: {results}{log}");
    (output.status.code().unwrap(), results, log)
}

/// The commands that only read succeed with this configuration.
#[track_caller]
pub(crate) fn assert_readable(config: &Path) {
    let config = config.to_str().unwrap();
    for arguments in [&["verify"][..], &["tail", "--from", "start", "--limit", "1"], &["checkpoint", "list"]] {
        let (code, results, log) = command(&[arguments, &["--config", config]].concat());
        assert_eq!(code, 0, "{arguments:?}: {results}{log}");
    }
}
