//! Which way dependencies point: the table in `docs/architecture.md`, held against the code.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    reason = "a test may stop at the first surprise, look at the clock, and print"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What of ours the files of each folder may name, beside their own: the table in `docs/architecture.md`.
const MAY_USE: &[(&str, &[&str])] = &[
    ("admin", &["bridge", "config", "core", "one_line", "sink", "verify"]),
    ("asana", &["config", "core", "one_line", "pb"]),
    ("bridge", &["asana", "core", "index", "sink"]),
    ("checkpoints", &["config", "core", "run", "sink", "verify"]),
    ("config", &["core"]),
    ("consumer", &["core", "pb"]),
    ("core", &["pb"]),
    ("discovery", &["asana", "bridge", "config", "core"]),
    ("doctor", &["asana", "bridge", "config", "core", "discovery", "run", "sink", "verify"]),
    ("index", &["core"]),
    ("otlp", &["bridge", "config", "core", "one_line", "sink"]),
    ("pb", &[]),
    ("simulator", &[]),
    ("sink", &["config", "core"]),
    ("tail", &["consumer", "core", "pb", "reader"]),
    ("verify", &["consumer", "core", "ledger", "pb", "reader"]),
    // It requests polls and can't publish: it knows neither sinks nor events.
    ("webhooks", &["asana", "bridge", "config", "core"]),
];

/// What of others' they must not name.
const MUST_NOT_NAME: &[(&str, &[&str])] = &[
    // The core decides; it doesn't look around.
    (
        "core",
        &[
            "tokio",
            "tracing",
            "std::fs",
            "std::net",
            "std::env",
            "std::process",
            "std::thread",
            "Instant::now",
            "SystemTime",
            "prometheus_client",
            "opentelemetry",
            "rusqlite",
        ],
    ),
    ("pb", &["tokio"]),
    ("config", &["tokio"]),
    ("asana", &["rdkafka", "async_nats"]),
    ("discovery", &["rdkafka", "async_nats", "reqwest"]),
    ("webhooks", &["rdkafka", "async_nats", "prometheus_client", "core::event", "core::engine"]),
    ("sink/nats", &["reqwest"]),
    ("bridge", &["rdkafka", "async_nats", "reqwest", "rusqlite", "prometheus_client", "opentelemetry"]),
    ("admin", &["rdkafka", "async_nats", "sink::kafka", "sink::nats"]),
    ("otlp", &["rdkafka", "async_nats", "sink::kafka", "sink::nats"]),
    ("checkpoints", &["rdkafka", "async_nats", "reqwest"]),
    ("doctor", &["rdkafka", "async_nats", "reqwest"]),
    ("consumer", &["reqwest"]),
    ("simulator", &["rdkafka", "async_nats"]),
];

/// A file beyond this holds two ideas. Lines, tests included.
const LONGEST_FILE: usize = 700;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The code, without comments and without what stands under `#[cfg(test)]` at the end of the file.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).expect("a source");
    let code = text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or_default();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The modules of ours that the code names, by their path from the crate.
fn named(code: &str) -> BTreeSet<&str> {
    let names = code.split("crate::").skip(1);
    names
        .map(|rest| rest.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').next().unwrap())
        .collect()
}

#[test]
fn dependencies_point_the_way_that_the_architecture_says() {
    let mut wrong = Vec::new();
    for (place, allowed) in MAY_USE {
        let mut used: BTreeSet<String> = BTreeSet::from([(*place).to_owned()]);
        for file in sources(&root().join("src").join(place)) {
            let code = code(&file);
            let strange = named(&code).into_iter().filter(|name| name != place && !allowed.contains(name));
            wrong.extend(strange.map(|name| format!("{} names crate::{name}", file.display())));
            used.extend(named(&code).into_iter().map(str::to_owned));
        }
        let unused = allowed.iter().filter(|name| !used.contains(**name));
        wrong.extend(unused.map(|name| format!("src/{place} doesn't need {name}: take it out of the table")));
    }
    for (place, forbidden) in MUST_NOT_NAME {
        for file in sources(&root().join("src").join(place)) {
            let code = code(&file);
            let found = forbidden.iter().filter(|name| code.contains(**name));
            wrong.extend(found.map(|name| format!("{} names {name}", file.display())));
        }
    }
    let folders = std::fs::read_dir(root().join("src")).unwrap().map(|entry| entry.unwrap().path());
    for folder in folders.filter(|path| path.is_dir()) {
        let name = folder.file_name().unwrap().to_str().unwrap();
        if !MAY_USE.iter().any(|(place, _)| *place == name) {
            wrong.push(format!("src/{name} isn't in the table"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_sinks_do_not_know_each_other() {
    for (sink, others) in [("kafka", ["nats", "file", "console"]), ("nats", ["kafka", "file", "console"])] {
        for file in sources(&root().join("src/sink").join(sink)) {
            for other in others {
                assert!(!code(&file).contains(&format!("sink::{other}")), "{} names sink::{other}", file.display());
            }
        }
    }
}

#[test]
fn no_file_holds_two_ideas() {
    for file in sources(&root().join("src")) {
        let lines = std::fs::read_to_string(&file).expect("a source").lines().count();
        let generated = file.starts_with(root().join("src/pb"));
        assert!(generated || lines <= LONGEST_FILE, "{} has {lines} lines", file.display());
    }
}
