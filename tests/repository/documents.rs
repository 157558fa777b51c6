//! What the documents tell to type: commands, options, files, keys and links exist. Blocks in programming languages are run by
//! `tests/foreign` (packages, documents) and by the doctests of the consumer library.

#[path = "../support/blocks.rs"]
mod blocks;

use blocks::blocks;
use regex::Regex;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Markdown documents that users read, with their text.
fn documents() -> Vec<(PathBuf, String)> {
    let mut open = vec![root().join("README.md")];
    open.extend(["clients", "crates", "docs", "helm", "proto"].map(|folder| root().join(folder)));
    let mut found = Vec::new();
    while let Some(path) = open.pop() {
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !["node_modules", "target", ".venv"].contains(&name) {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|it| it == "md") {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    assert!(found.len() > 20, "the documents are there");
    found.sort();
    found
}

fn name(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

/// The commands of a document: lines of blocks for a shell, and spans of code. Without comments, pipes and variables.
fn commands(markdown: &str) -> Vec<String> {
    let shell = blocks(markdown).into_iter().filter(|block| ["", "sh", "bash"].contains(&block.language.as_str()));
    let lines: Vec<String> = shell
        .flat_map(|block| block.text.replace("\\\n", " ").lines().map(str::to_owned).collect::<Vec<_>>())
        .map(|line| line.split(" #").next().unwrap_or_default().to_owned())
        .collect();
    let fence = Regex::new(r"(?s)```.*?```").unwrap();
    let span = Regex::new(r"`([^`\n]+)`").unwrap();
    let prose = fence.replace_all(markdown, "");
    let spans = span.captures_iter(&prose).map(|found| found[1].to_owned());
    let parts = Regex::new(r" \| | && |; | -- /usr/bin/").unwrap();
    let variables = Regex::new(r"^([A-Z_]+=\S* )+").unwrap();
    let all = lines.into_iter().chain(spans);
    all.flat_map(|line| {
        parts.split(&line).map(|part| variables.replace(part.trim(), "").into_owned()).collect::<Vec<_>>()
    })
    .collect()
}

/// Checks the command, if it is one of ours.
fn check(command: &str) -> Option<Result<(), String>> {
    let words: Vec<_> = command.split_whitespace().collect();
    let (program, arguments) = words.split_first()?;
    let is_there = |path: &str| root().join(path).exists();
    let after = |flag: &str| arguments.iter().skip_while(|it| **it != flag).nth(1);
    let problem = match *program {
        "asana-event-bridge" | "target/release/asana-event-bridge" => {
            // A description of the options, or of a command in general.
            if arguments.is_empty() || command.contains(['[', '…']) && !command.contains("http") {
                return None;
            }
            let arguments = arguments.iter().map(|it| it.trim_matches('"').replace("$GID", "1").replace("GID", "1"));
            // In a text about the command nothing is run: the last option is for help.
            let output = Command::new(env!("CARGO_BIN_EXE_asana-event-bridge"))
                .args(arguments.take_while(|it| it != ">"))
                .arg("--help")
                .output()
                .unwrap();
            (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
        }
        "make" => {
            let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
            let mut targets = arguments.iter().filter(|it| !it.contains(['=', '"']));
            let unknown = targets.find(|it| !makefile.contains(&format!("\n{it}:")));
            unknown.map(|it| format!("the Makefile has no target {it}"))
        }
        "cargo" => {
            let test = after("--test").filter(|it| !is_there(&format!("tests/{it}")));
            let example = after("--example").filter(|it| !is_there(&format!("crates/consumer/examples/{it}.rs")));
            test.or(example).map(|it| format!("no {it}"))
        }
        "helm" | "docker" | "pip" => {
            let mut paths = arguments.iter().filter(|it| it.starts_with("helm/") || it.starts_with("./"));
            paths.find(|it| !is_there(it)).map(|it| format!("no {it}"))
        }
        _ if program.starts_with("scripts/") => (!is_there(program)).then(|| format!("no {program}")),
        _ => return None,
    };
    Some(problem.map_or(Ok(()), Err))
}

#[test]
fn every_command_of_the_documents_has_its_options_and_files() {
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for (path, text) in documents() {
        for command in commands(&text) {
            let Some(result) = check(&command) else { continue };
            checked += 1;
            wrong.extend(result.err().map(|it| format!("{}: {command}: {it}", name(&path))));
        }
    }
    println!("{checked} commands");
    assert!(checked > 60, "{checked} commands");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What `--help` prints for these arguments.
fn help(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_asana-event-bridge"));
    let output = command.args(arguments).arg("--help").output().unwrap();
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_command_of_the_help_has_its_options() {
    let all = help(&[]);
    let (_, list) = all.split_once("\nCommands:\n").unwrap();
    let list = list.split("\n\n").next().unwrap();
    // Descriptions continue in lines that are indented more.
    let names = list.lines().filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    let names = names.filter_map(|line| line.split(' ').next()).filter(|name| *name != "help");
    let texts: Vec<_> = names.map(|name| help(&[name])).chain([all.clone()]).collect();
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for line in texts.iter().flat_map(|text| text.lines()) {
        let Some(command) = line.strip_prefix("  ").filter(|line| line.starts_with("asana-event-bridge ")) else {
            continue;
        };
        // Behind it, in a column of its own, is what it does.
        let command = command.split("   ").next().unwrap_or_default().split(" | ").next().unwrap_or_default();
        checked += 1;
        let result = check(command).expect("a command of ours");
        wrong.extend(result.err().map(|it| format!("{command}: {it}")));
    }
    assert!(checked > 15, "{checked} commands");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_command_that_does_not_exist_is_found() {
    for command in [
        "asana-event-bridge tail --topics x",
        "asana-event-bridge frob x",
        "make frob",
        "cargo test --test frob",
        "scripts/frob",
        "helm install bridge helm/frob",
    ] {
        assert!(check(command).is_some_and(|it| it.is_err()), "{command}");
    }
    let text = "```\nA=1 make frob # x\n```\nand `scripts/frob`\n```python\nmake frob\n```\n";
    assert_eq!(commands(text), ["make frob", "scripts/frob"]);
}

/// The schema of the configuration for a part of one: nothing is required.
fn schema_of_a_part() -> Value {
    fn drop_required(schema: &mut Value) {
        match schema {
            Value::Object(map) => {
                map.retain(|key, value| key != "required" || !value.is_array());
                map.values_mut().for_each(drop_required);
            }
            Value::Array(items) => items.iter_mut().for_each(drop_required),
            _ => {}
        }
    }
    let text = std::fs::read_to_string(root().join("docs/config.schema.json")).unwrap();
    let mut schema = serde_json::from_str(&text).unwrap();
    drop_required(&mut schema);
    schema
}

#[test]
fn every_configuration_of_the_documents_has_keys_that_exist() {
    let schema = schema_of_a_part();
    let keys: Vec<_> = schema["properties"].as_object().unwrap().keys().cloned().collect();
    let validator = jsonschema::validator_for(&schema).unwrap();
    assert!(!validator.is_valid(&serde_json::json!({ "sink": { "kafka": { "bootstrapServer": "x" } } })));
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for (path, text) in documents() {
        for block in blocks(&text).into_iter().filter(|block| block.language == "yaml") {
            let value: Value = serde_saphyr::from_str(&block.text).unwrap_or_default();
            // Values of the chart, and other documents, have other keys.
            if !value.as_object().is_some_and(|map| map.keys().all(|key| keys.contains(key))) {
                continue;
            }
            checked += 1;
            let problems = validator.iter_errors(&value);
            wrong.extend(problems.map(|it| format!("{}:{}: {}: {it}", name(&path), block.line, it.instance_path())));
        }
    }
    assert!(checked >= 4, "{checked} configurations");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_link_of_the_documents_leads_to_a_file_and_a_heading() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let fence = Regex::new(r"(?s)```.*?```").unwrap();
    let anchor = |heading: &str| {
        let kept = heading.trim().to_lowercase();
        let kept: String = kept.chars().filter(|it| it.is_alphanumeric() || " -_".contains(*it)).collect();
        kept.replace(' ', "-")
    };
    let mut wrong = Vec::new();
    for (path, text) in documents() {
        for found in link.captures_iter(&fence.replace_all(&text, "")) {
            let (target, heading) = found[1].split_once('#').unwrap_or((&found[1], ""));
            if target.starts_with("http") || target.starts_with("mailto:") {
                continue;
            }
            let file = if target.is_empty() { path.clone() } else { path.parent().unwrap().join(target) };
            let is_there = file.exists()
                && (heading.is_empty() || {
                    let text = fence.replace_all(&std::fs::read_to_string(&file).unwrap(), "").into_owned();
                    text.lines()
                        .filter_map(|line| line.strip_prefix('#'))
                        .any(|it| anchor(it.trim_start_matches('#')) == heading)
                });
            if !is_there {
                wrong.push(format!("{}: {}", name(&path), &found[1]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
