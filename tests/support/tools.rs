//! Kafka's own tools and its Java client, all in one Java process: each process of their own would cost seconds.

use super::foreign::{Seen, seen_in_kafka};
use super::service::script;
use serde::Deserialize;
use serde_json::json;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

const ACLS: &str = "org.apache.kafka.tools.AclCommand";
const CONFIGS: &str = "kafka.admin.ConfigCommand";
/// Of `tests/java`.
const READER: &str = "ReadCommitted";

/// The process, and the cluster that it is for.
#[derive(Debug)]
pub(crate) struct Tools {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    address: String,
}

#[derive(Deserialize)]
struct Answer {
    code: i32,
    output: String,
}

impl Tools {
    /// For the cluster at an address that lets everybody do everything.
    pub(crate) fn start(address: &str) -> Self {
        let mut command = script();
        command.arg("java-tools").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("run scripts/services");
        let (input, output) = (child.stdin.take().expect("its stdin"), child.stdout.take().expect("its stdout"));
        Self { child, input, output: BufReader::new(output), address: address.to_owned() }
    }

    /// `kafka-acls.sh`.
    pub(crate) fn acls(&mut self, arguments: &[String]) -> String {
        let first = ["--bootstrap-server".to_owned(), self.address.clone()];
        self.call(ACLS, &[&first, arguments].concat())
    }

    /// Makes a user with a password by SCRAM, or changes the password.
    pub(crate) fn set_password(&mut self, user: &str, mechanism: &str, password: &str) {
        let credential = format!("{mechanism}=[password={password}]");
        let words = ["--alter", "--add-config", &credential, "--entity-type", "users", "--entity-name", user];
        let words = ["--bootstrap-server", &self.address].into_iter().chain(words).map(str::to_owned);
        self.call(CONFIGS, &words.collect::<Vec<_>>());
    }

    /// All committed records of a topic, by the official Java client.
    pub(crate) fn read(&mut self, topic: &str) -> Vec<Seen> {
        seen_in_kafka(&self.call(READER, &[self.address.clone(), topic.to_owned()]))
    }

    /// What the main class prints for these arguments.
    fn call(&mut self, class: &str, arguments: &[String]) -> String {
        let words = [&[class.to_owned()], arguments].concat();
        writeln!(self.input, "{}", json!(words)).expect("write to the tools");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("read the tools' answer");
        let Answer { code, output } = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        assert_eq!(code, 0, "{words:?}: {output}");
        output
    }
}

impl Drop for Tools {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
