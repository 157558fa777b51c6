//! A real service, started by `scripts/services`, gone when dropped.

use serde::Deserialize;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Kafka, or a nats-server: a process tree that ends with its standard input.
#[derive(Debug)]
pub(crate) struct Service {
    child: Child,
    pub(crate) address: String,
    dir: String,
}

#[derive(Deserialize)]
struct Announcement {
    address: String,
    dir: String,
}

impl Service {
    /// Starts `kafka`, `nats` or `nats-old`, with further arguments for `scripts/services run`.
    pub(crate) fn start(name: &str, arguments: &[&str]) -> Self {
        let mut command = script();
        command.args(["run", name]).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("run scripts/services");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its stdout")).read_line(&mut line).expect("read its stdout");
        let announcement: Announcement =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{name} did not start ({error}): {line:?}"));
        Self { child, address: announcement.address, dir: announcement.dir }
    }

    /// An outage in order. Data and address stay.
    pub(crate) fn stop(&self) {
        self.order("stop");
    }

    /// An outage by SIGKILL.
    pub(crate) fn kill(&self) {
        self.order("kill");
    }

    /// The end of an outage.
    pub(crate) fn restart(&self) {
        self.order("start");
    }

    fn order(&self, verb: &str) {
        let output = script().args([verb, &self.dir]).output().expect("run scripts/services");
        assert!(output.status.success(), "{verb}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().ok();
    }
}

/// `scripts/services`, ready for its verb.
pub(crate) fn script() -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/services"))
}
