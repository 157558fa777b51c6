//! Readers that aren't ours: Kafka's Java client, and NATS' Python client.

use super::service::script;
use base64::Engine as _;
use bridge_contract::line::Line;
use prost::Message as _;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A record as another client sees it, in the order of its lane.
#[derive(Debug)]
pub(crate) struct Seen {
    /// The partition, or the lane token of the subject.
    pub(crate) lane: String,
    /// The Kafka key, or the gid token of the subject.
    pub(crate) key: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) value: Vec<u8>,
}

/// All committed records of a topic, by the official Java client with `isolation.level=read_committed`.
pub(crate) fn read_kafka(bootstrap: &str, topic: &str) -> Vec<Seen> {
    seen_in_kafka(&run(script().args(["java-read", "--bootstrap", bootstrap, "--topics", topic])))
}

/// The records in what the Java client printed.
pub(crate) fn seen_in_kafka(printed: &str) -> Vec<Seen> {
    #[derive(Deserialize)]
    struct Line {
        partition: u32,
        key: Option<String>,
        value: Option<String>,
        headers: BTreeMap<String, String>,
    }
    let seen = |line: Line| Seen {
        lane: line.partition.to_string(),
        key: line.key.unwrap_or_default(),
        headers: line.headers,
        value: decode(&line.value.expect("a value")),
    };
    parse(printed).into_iter().map(seen).collect()
}

/// All messages on the record subjects of a JetStream stream, by the official Python client.
pub(crate) fn read_nats(address: &str, jetstream: &str, filter: &str) -> Vec<Seen> {
    #[derive(Deserialize)]
    struct Line {
        lane: String,
        key: String,
        value: String,
        headers: BTreeMap<String, String>,
    }
    let script = root().join("tests/foreign/nats_read.py");
    let mut command = Command::new(python());
    let seen = |line: Line| Seen { lane: line.lane, key: line.key, headers: line.headers, value: decode(&line.value) };
    parse(&run(command.arg(script).args([address, jetstream, filter]))).into_iter().map(seen).collect()
}

/// All whole lines of a file sink, by any reader of JSON.
pub(crate) fn read_lines(path: &Path) -> Vec<Seen> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let seen = |line: Line| Seen {
        lane: line.lane.to_string(),
        key: line.key,
        headers: BTreeMap::new(),
        value: line.record.encode_to_vec(),
    };
    parse(whole).into_iter().map(seen).collect()
}

fn parse<T: for<'de> Deserialize<'de>>(text: &str) -> Vec<T> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// A Python with the packages of `tests/foreign/requirements.txt`, made once.
pub(crate) fn python() -> PathBuf {
    path_from_script("python-env", &[])
}

/// Runs a command to its end, and returns what it printed.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}\n{err}", output.status);
    out.into_owned()
}

/// What one of our scripts prints last: a path. Its progress is seen.
#[track_caller]
pub(crate) fn path_from_script(name: &str, arguments: &[&str]) -> PathBuf {
    let mut script = Command::new(root().join("scripts").join(name));
    let printed = run(script.args(arguments).stderr(Stdio::inherit()));
    PathBuf::from(printed.lines().last().unwrap_or_else(|| panic!("{name} prints a path")))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn decode(base64: &str) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(base64).expect("base64")
}
