//! Mistakes of people who write a configuration: each is answered with its line, what is wrong, and what to write.

use asana_event_bridge::config::{Environment, Source, load};
use std::path::Path;

/// Blocks, with an empty line between them. Each begins with the part of [`FINE`] that its lines replace: `account`, `streams`, `sink`,
/// `more` (another part), or `file` for all of it. The lines with `>` are the problems that are found.
const MISTAKES: &str = include_str!("mistakes.txt");

const FINE: &str = r#"accounts:
  main:
    token:
      env: TOKEN
streams:
  - resource: "1200"
sink:
  console: {}
"#;

/// What is replaced in [`FINE`], and how far what replaces it is indented.
const PARTS: [(&str, &str, &str); 5] = [
    ("account", "    token:\n      env: TOKEN\n", "    "),
    ("streams", "  - resource: \"1200\"\n", "  "),
    ("sink", "  console: {}\n", "  "),
    ("more", "", ""),
    ("file", FINE, ""),
];

#[derive(Debug)]
struct Mistake {
    yaml: String,
    said: Vec<&'static str>,
}

fn mistakes() -> Vec<Mistake> {
    let block = |block: &'static str| {
        let (part, lines) = block.split_once('\n').expect("a part and its lines");
        let (_, fine, indentation) = PARTS.iter().find(|(name, ..)| *name == part).expect(part);
        let written: String = lines
            .lines()
            .filter(|line| !line.starts_with('>'))
            .map(|line| format!("{indentation}{line}\n").replace('→', "\t"))
            .collect();
        let yaml = if fine.is_empty() { format!("{FINE}{written}") } else { FINE.replacen(fine, &written, 1) };
        Mistake { yaml, said: lines.lines().filter_map(|line| line.strip_prefix("> ")).collect() }
    };
    MISTAKES.trim_end().split("\n\n").map(block).collect()
}

/// What is said about the file of a folder.
fn said(folder: &Path, yaml: &str) -> String {
    let file = folder.join("bridge.yaml");
    std::fs::write(&file, yaml).expect("write");
    let variables = [("TOKEN", "hunter2"), ("BEARER", "Bearer hunter2"), ("KEY", "0123456789abcdef0123456789abcdef")];
    match load(&Source::file(&file), &Environment::of(variables).on_host("host-1")) {
        Ok(_) => "no problem".to_owned(),
        Err(problems) => problems.to_string(),
    }
}

#[test]
fn each_mistake_is_answered_with_its_line_and_what_to_write() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("bridge.yaml").display().to_string();
    let all = mistakes();
    assert!(all.len() > 100, "{}", all.len());
    for Mistake { yaml, said: expected } in all {
        let said = said(folder.path(), &yaml);
        let (_, said) = said.split_once('\n').unwrap_or(("", &said));
        let said: Vec<_> = said.lines().map(|line| line.strip_prefix(&format!("{file}:")).unwrap_or(line)).collect();
        assert_eq!(said, expected, "{yaml}");
    }
}

/// Words that only somebody who knows the parser understands.
const NOT_OURS: [&str; 9] = [
    "untagged",
    "variant",
    "expected struct",
    "invalid type",
    "deserialize",
    "scalar",
    "serde",
    "flow mapping",
    "(os error",
];

#[test]
fn no_answer_is_in_the_words_of_a_parser() {
    for Mistake { said, .. } in mistakes() {
        for line in said {
            assert!(!NOT_OURS.iter().any(|word| line.contains(word)), "{line}");
            assert!(!line.contains("hunter2"), "{line}");
        }
    }
}

#[test]
fn anchors_aliases_and_merges_work() {
    let folder = tempfile::tempdir().expect("a folder");
    let yaml = FINE.replacen(
        "accounts:\n  main:\n    token:\n      env: TOKEN\n",
        "x-account: &account\n  token: {env: TOKEN}\n  maxInFlight: 3\naccounts:\n  main:\n    <<: *account\n    maxInFlight: 5\n  other: *account\n",
        1,
    );
    let yaml = yaml.replacen("\"1200\"", "\"1200\"\n    account: main", 1);
    let file = folder.path().join("bridge.yaml");
    std::fs::write(&file, yaml).expect("write");
    let environment = Environment::of([("TOKEN", "hunter2")]).on_host("host-1");
    let checked = load(&Source::file(&file), &environment).expect("fine");
    let most: Vec<_> = checked.accounts.iter().map(|account| account.max_in_flight.get()).collect();
    assert_eq!(most, [5, 3]);
}

#[test]
fn a_value_of_a_variable_is_not_blamed_on_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("bridge.yaml");
    std::fs::write(&file, format!("shards: 8\n{FINE}")).expect("write");
    let variables = [
        ("TOKEN", "hunter2"),
        ("ASANA_EVENT_BRIDGE__SHARDS", "many"),
        ("ASANA_EVENT_BRIDGE__POLLING", "{maxInterval: 20h}"),
    ];
    let environment = Environment::of(variables).on_host("host-1");
    let problems = load(&Source::file(&file), &environment).expect_err("wrong").to_string();
    assert_eq!(
        problems,
        "2 problems:\n\
         ASANA_EVENT_BRIDGE__POLLING: polling.maxInterval: must be at most `12h`: a sync token dies after 24 hours\n\
         ASANA_EVENT_BRIDGE__SHARDS: shards: must be a whole number in digits, such as `shards: 32`"
    );
}

#[test]
fn a_file_that_is_no_text_is_said_so_at_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("bridge.yaml");
    std::fs::write(&file, b"accounts:\n  m\xffn: {}\n").expect("write");
    let problems = load(&Source::file(&file), &Environment::default()).expect_err("no text").to_string();
    assert!(problems.ends_with("bridge.yaml:2:4: is no text in UTF-8: save the file in this encoding"), "{problems}");
}
