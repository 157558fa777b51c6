//! `doctor` with the whole program and real services: each failing condition is caused, and its line read.
mod asana;
mod kafka;
mod nats;

use crate::support::program::{Simulator, TOKEN};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The token of another account.
const CRAWLER: &str = "hush-crawler";

/// A folder with secrets, and a simulator.
struct Bench {
    folder: tempfile::TempDir,
    simulator: Simulator,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // A test may ask faster than Asana would like.
        let scenario = folder.path().join("scenario.yaml");
        std::fs::write(&scenario, "{ limits: { rate_per_minute: 0 } }").unwrap();
        let log = folder.path().join("simulator.log");
        let arguments = ["--scenario", scenario.to_str().unwrap(), "--token", CRAWLER];
        let simulator = Simulator::start(&arguments, &log);
        let secrets = [("token", TOKEN), ("crawler", CRAWLER), ("password", "hush-password"), ("wrong", "hush-wrong")];
        for (name, text) in secrets {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Self { folder, simulator }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn secret(&self, name: &str) -> Value {
        json!({ "file": self.path(name) })
    }

    /// A configuration that is ok as far as Asana goes.
    fn config(&self, sink: &Value) -> Value {
        json!({
            "accounts": { "main": {
                "token": self.secret("token"),
                "baseUrl": format!("{}/api/1.0", self.simulator.url),
                "requestsPerMinute": 1500,
            } },
            "streams": [{ "resource": self.simulator.projects()[0] }],
            "replica": "r1",
            "sink": sink,
        })
    }

    fn write(&self, config: &Value) -> PathBuf {
        let path = self.path("bridge.yaml");
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }

    /// What the doctor finds, and whether nothing failed.
    fn examine(&self, config: &Value, arguments: &[&str]) -> Findings {
        let output = doctor(&self.write(config), &[&["--output", "json"], arguments].concat());
        let report: Value = serde_json::from_str(output.1.lines().last().unwrap_or_default())
            .unwrap_or_else(|error| panic!("{error}: {output:?}"));
        let is_ok = report["is_ok"].as_bool().unwrap();
        assert_eq!(output.0, i32::from(!is_ok), "{output:?}");
        assert!(!output.1.contains("hush-") && !output.2.contains("hush-"), "a secret is told: {output:?}");
        Findings { is_ok, all: report["findings"].as_array().unwrap().clone() }
    }
}

struct Findings {
    is_ok: bool,
    all: Vec<Value>,
}

impl Findings {
    /// The one finding about this has this verdict, and says these words.
    #[track_caller]
    fn assert(&self, what: &str, verdict: &str, words: &[&str]) {
        let of: Vec<_> = self.all.iter().filter(|finding| finding["what"] == what).collect();
        let [finding] = of.as_slice() else { panic!("{} findings about {what}: {:#?}", of.len(), self.all) };
        let said = finding.to_string();
        assert_eq!(finding["verdict"], verdict, "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{words:?} in {said}");
    }

    /// Nothing failed but what is expected to.
    #[track_caller]
    fn assert_failed(&self, expected: &[&str]) {
        let failed = self.all.iter().filter(|finding| finding["verdict"] == "failed");
        let mut failed: Vec<_> = failed.map(|finding| finding["what"].as_str().unwrap()).collect();
        let mut expected = expected.to_vec();
        failed.sort_unstable();
        expected.sort_unstable();
        assert_eq!(failed, expected, "{:#?}", self.all);
        assert_eq!(self.is_ok, expected.is_empty());
    }
}

/// Its exit code, results and log.
fn doctor(config: &Path, arguments: &[&str]) -> (i32, String, String) {
    program(&[&["doctor", "--config", config.to_str().unwrap()], arguments].concat())
}

fn program(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_asana-event-bridge")).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}
