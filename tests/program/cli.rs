//! The command line from outside: exit codes, messages, shipped examples.
use std::path::Path;
use std::process::{Command, Output};

fn bridge(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_asana-event-bridge"));
    command.args(arguments).env_clear().env("POD_NAME", "test");
    command
}

#[track_caller]
fn run(command: &mut Command, exit: i32) -> (String, String) {
    let Output { status, stdout, stderr } = command.output().expect("it runs");
    let (stdout, stderr) = (String::from_utf8(stdout).expect("UTF-8"), String::from_utf8(stderr).expect("UTF-8"));
    assert_eq!(status.code(), Some(exit), "{command:?}\n{stdout}\n{stderr}");
    (stdout, stderr)
}

fn example(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/config").join(name).display().to_string()
}

#[test]
fn bad_usage_exits_with_64_and_help_with_0() {
    for arguments in
        [&["frob"][..], &["check-config"], &["config-schema", "x"], &["config-schema", "--log-level", "a=b=c"]]
    {
        let (stdout, stderr) = run(&mut bridge(arguments), 64);
        assert!(stdout.is_empty() && stderr.contains("error: "), "{stderr}");
    }
    let (_, stderr) = run(bridge(&["config-schema"]).env("RUST_LOG", "warning"), 64);
    assert!(stderr.contains("warning is no level: the levels are error, warn, info, debug, trace"), "{stderr}");
    let (stdout, _) = run(&mut bridge(&["--help"]), 0);
    assert!(stdout.contains("check-config") && stdout.contains("64  wrong usage"), "{stdout}");
    let (stdout, _) = run(&mut bridge(&["--version"]), 0);
    assert_eq!(stdout, format!("asana-event-bridge {}\n", env!("CARGO_PKG_VERSION")));
    let (stdout, _) = run(&mut bridge(&["check-config", "--help"]), 0);
    assert!(stdout.contains("Examples:"), "{stdout}");
}

#[test]
fn the_contract_is_printed_in_each_form() {
    use prost::Message as _;
    let print = |option: &str| {
        let mut command = bridge(&["contract"]);
        let output = command.args(Some(option).filter(|it| !it.is_empty())).output().expect("run");
        assert!(output.status.success(), "{option}");
        output.stdout
    };
    let proto = print("");
    assert!(String::from_utf8_lossy(&proto).contains("package asana_event_bridge.v1;"));
    assert_eq!(print("--proto"), proto);
    let descriptors = prost_types::FileDescriptorSet::decode(print("--descriptor-set").as_slice()).expect("decodes");
    let file = descriptors.file.iter().find(|file| file.package() == "asana_event_bridge.v1").expect("the contract");
    assert!(file.message_type.iter().any(|message| message.name() == "Record"));
    assert!(file.dependency.iter().all(|name| descriptors.file.iter().any(|file| file.name() == name)));
    let schema: serde_json::Value = serde_json::from_slice(&print("--json-schema")).expect("JSON");
    jsonschema::validator_for(&schema).expect("a schema");
    assert!(print("--asyncapi").starts_with(b"asyncapi: "));
    let (_, stderr) = run(&mut bridge(&["contract", "--proto", "--asyncapi"]), 64);
    assert!(stderr.contains("cannot be used with"), "{stderr}");
}

#[test]
fn every_shipped_example_is_fine() {
    let secrets = tempfile::tempdir().expect("a folder");
    for name in
        ["asana-token", "kafka-password", "client-secret", "refresh-token", "registry-password", "service-token"]
    {
        std::fs::write(secrets.path().join(name), "hunter2\n").expect("write");
    }
    let expected = [
        ("console.yaml", "1 stream, 1 account, sink console"),
        ("file.yaml", "2 streams, 1 account, sink file"),
        ("kafka-sasl-tls.yaml", "1 stream, 1 account, sink kafka"),
        ("kafka-schema-registry.yaml", "1 stream, 1 account, sink kafka"),
        ("kafka.yaml", "1 stream, 1 account, sink kafka"),
        ("nats.yaml", "1 stream, 1 account, sink nats"),
        ("several-accounts.yaml", "2 streams, 2 accounts, sink kafka"),
    ];
    let mut shipped: Vec<String> = std::fs::read_dir(example(""))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect();
    shipped.sort();
    assert_eq!(shipped, expected.map(|(name, _)| name));
    for (name, summary) in expected {
        let file = example(name);
        let mut command = bridge(&["check-config", &file]);
        command.env("ASANA_TOKEN", "x").env("NATS_PASSWORD", "x").env("KAFKA_SERVERS", "a:9092");
        command.env("CREDENTIALS_DIRECTORY", secrets.path());
        assert_eq!(run(&mut command, 0), (format!("{file} is ok: {summary}\n"), String::new()));
    }
}

#[test]
fn problems_are_listed_and_exit_with_64() {
    let file = example("console.yaml");
    let (stdout, stderr) = run(bridge(&["check-config", &file]).env("ASANA_EVENT_BRIDGE__SINKS", "1"), 64);
    assert_eq!(stdout, "");
    assert_eq!(
        stderr,
        format!(
            "2 problems:\n\
         {file}:5:14: accounts.main.token.env: the environment variable ASANA_TOKEN is not set: set it where the bridge starts\n\
         ASANA_EVENT_BRIDGE__SINKS: overrides no known key; did you mean SINK instead of SINKS?\n"
        )
    );
    let (_, stderr) = run(&mut bridge(&["check-config", "/nowhere.yaml"]), 64);
    assert!(stderr.starts_with("1 problem:\n/nowhere.yaml: the file can't be read: "), "{stderr}");
}

#[test]
fn a_configuration_is_checked_for_scripts_too() {
    let file = example("console.yaml");
    let arguments = ["check-config", "--config", &file, "--output", "json"];
    let (stdout, stderr) = run(bridge(&arguments).env("ASANA_TOKEN", "x"), 0);
    let report: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
    let expected = serde_json::json!({
        "file": file, "is_ok": true, "streams": 1, "accounts": 1, "sink": "console", "warnings": [], "problems": [],
    });
    assert_eq!((report, stderr.as_str()), (expected, ""));
    let (stdout, stderr) = run(&mut bridge(&arguments), 64);
    let report: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
    let message = "the environment variable ASANA_TOKEN is not set: set it where the bridge starts";
    let problem =
        serde_json::json!({ "place": "accounts.main.token.env", "line": 5, "column": 14, "message": message });
    let problems = serde_json::json!([problem]);
    assert_eq!((&report["is_ok"], &report["problems"], stderr.as_str()), (&false.into(), &problems, ""));
}

#[test]
fn what_was_meant_is_suggested() {
    let (_, stderr) = run(&mut bridge(&["rnu"]), 64);
    assert!(stderr.contains("a similar subcommand exists: 'run'"), "{stderr}");
    let (_, stderr) = run(&mut bridge(&["run"]), 64);
    assert!(stderr.contains("--config <FILE>") && stderr.contains("--resource <GID>"), "{stderr}");
    let (_, stderr) = run(&mut bridge(&["run", "--resource", "https://app.asana.com/0/portfolio/12/list"]), 64);
    assert!(stderr.contains("the address of a portfolio"), "{stderr}");
    let arguments = ["run", "--config", &example("file.yaml"), "--output", "text"];
    let (_, stderr) = run(bridge(&arguments).env("ASANA_TOKEN", "x"), 64);
    assert_eq!(stderr, "1 problem:\n--output: is for the console sink: add `--sink console`\n");
    let (_, stderr) = run(&mut bridge(&["streams", "--url", "127.0.0.1:9"]), 69);
    assert!(stderr.contains("no bridge answers at 127.0.0.1:9") && stderr.contains("refused"), "{stderr}");
}

#[test]
fn warnings_are_no_problems() {
    let file = example("file.yaml");
    let mut command = bridge(&["check-config", &file]);
    command.env("ASANA_TOKEN", "x").env("ASANA_EVENT_BRIDGE__ACCOUNTS__MAIN__REQUESTS_PER_MINUTE", "1");
    command.env("ASANA_EVENT_BRIDGE__POLLING__MAX_INTERVAL", "10s");
    let (stdout, _) = run(&mut command, 0);
    let (first, rest) = stdout.split_once('\n').expect("two lines");
    assert!(first.contains(" is ok: "), "{stdout}");
    assert!(rest.starts_with("warning: accounts.main.requestsPerMinute: 1 a minute can't poll 2 streams"), "{stdout}");
}

#[test]
fn the_schema_accepts_what_the_program_accepts() {
    let (stdout, _) = run(&mut bridge(&["config-schema"]), 0);
    let schema: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let text = std::fs::read_to_string(example("kafka.yaml")).expect("readable");
    let mut document: serde_json::Value = serde_saphyr::from_str(&text).expect("YAML");
    assert!(validator.is_valid(&document));
    document["sink"]["kafak"] = serde_json::json!({});
    assert!(!validator.is_valid(&document));
}
