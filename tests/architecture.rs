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

use std::path::{Path, PathBuf};

/// What the files of a place must not name, and why.
const RULES: &[(&str, &[&str])] = &[
    // The core decides; it doesn't look around.
    (
        "src/core",
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
            "crate::asana",
            "crate::admin",
            "crate::bell",
            "crate::bridge",
            "crate::config",
            "crate::consumer",
            "crate::index",
            "crate::sink",
            "crate::simulator",
            "rusqlite",
        ],
    ),
    ("src/pb", &["crate::core", "tokio"]),
    ("src/config", &["tokio", "crate::asana", "crate::bridge", "crate::consumer", "crate::sink", "crate::simulator"]),
    ("src/asana", &["rdkafka", "async_nats", "crate::bridge", "crate::consumer", "crate::sink", "crate::simulator"]),
    ("src/discovery", &["rdkafka", "async_nats", "reqwest", "crate::consumer", "crate::sink", "crate::simulator"]),
    // It says when to poll, and can't publish: it knows neither sinks nor events.
    (
        "src/bell",
        &[
            "rdkafka",
            "async_nats",
            "prometheus_client",
            "core::event",
            "core::engine",
            "crate::admin",
            "crate::consumer",
            "crate::index",
            "crate::pb",
            "crate::sink",
            "crate::simulator",
        ],
    ),
    ("src/sink", &["crate::asana", "crate::bell", "crate::bridge", "crate::consumer", "crate::simulator"]),
    ("src/sink/nats", &["reqwest"]),
    (
        "src/index",
        &["crate::asana", "crate::bridge", "crate::config", "crate::consumer", "crate::sink", "crate::simulator"],
    ),
    (
        "src/bridge",
        &[
            "rdkafka",
            "async_nats",
            "reqwest",
            "rusqlite",
            "prometheus_client",
            "opentelemetry",
            "crate::admin",
            "crate::bell",
            "crate::config",
            "crate::consumer",
            "crate::simulator",
        ],
    ),
    (
        "src/admin",
        &["rdkafka", "async_nats", "crate::asana", "crate::consumer", "crate::simulator", "sink::kafka", "sink::nats"],
    ),
    (
        "src/otlp",
        &["rdkafka", "async_nats", "crate::admin", "crate::consumer", "crate::simulator", "sink::kafka", "sink::nats"],
    ),
    ("src/checkpoints", &["rdkafka", "async_nats", "reqwest", "crate::asana", "crate::bridge", "crate::simulator"]),
    ("src/doctor", &["rdkafka", "async_nats", "reqwest", "crate::consumer", "crate::simulator"]),
    ("src/consumer", &["reqwest", "crate::asana", "crate::bridge", "crate::config", "crate::sink", "crate::simulator"]),
    (
        "src/simulator",
        &["rdkafka", "async_nats", "crate::core", "crate::asana", "crate::bell", "crate::bridge", "crate::sink"],
    ),
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
        } else if path.extension().is_some_and(|extension| extension == "rs") {
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

#[test]
fn dependencies_point_the_way_that_the_architecture_says() {
    let mut wrong = Vec::new();
    for (place, forbidden) in RULES {
        let files = sources(&root().join(place));
        assert!(!files.is_empty(), "{place} is empty: mend the table");
        for file in files {
            let code = code(&file);
            let found = forbidden.iter().filter(|name| code.contains(**name));
            wrong.extend(found.map(|name| format!("{} names {name}", file.display())));
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
