//! What a release consists of: the parts that don't need a build of minutes, with the program that is tested.

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_asana-event-bridge");
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[track_caller]
fn run(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str], folder: &Path) -> String {
    let Output { status, stdout, stderr } =
        Command::new(program).args(arguments).current_dir(folder).output().expect("it runs");
    assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).expect("UTF-8")
}

#[test]
fn a_release_has_the_program_its_pages_the_chart_and_a_list_of_what_is_in_it() {
    let made = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/dist");
    run(script, &["--program", PROGRAM, made.path().to_str().unwrap(), "program", "chart", "sbom"], made.path());
    assert_eq!(run("sha256sum", &["--check", "--strict", "SHA256SUMS"], made.path()).lines().count(), 3);

    let arch = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    let name = format!("asana-event-bridge-{VERSION}-linux-{arch}");
    run("tar", &["--extract", "--file", &format!("{name}.tar.gz")], made.path());
    let unpacked = made.path().join(&name);
    let version = run(unpacked.join("asana-event-bridge"), &["--version"], &unpacked);
    assert_eq!(version, format!("asana-event-bridge {VERSION}\n"));
    let page = std::fs::read_to_string(unpacked.join("man/asana-event-bridge-run.1")).unwrap();
    assert!(page.contains(".TH asana-event-bridge-run") && page.contains(r"\-\-resource"), "{page}");
    assert!(!unpacked.join("man/asana-event-bridge-write-pages.1").exists(), "the command is hidden");
    let completions = unpacked.join("completions");
    run("bash", &["-n", "asana-event-bridge.bash"], &completions);
    let suggested = r#"source ./asana-event-bridge.bash; COMP_WORDS=(asana-event-bridge doc) COMP_CWORD=1
        _asana__event__bridge asana-event-bridge doc asana-event-bridge; echo "${COMPREPLY[@]}""#;
    assert_eq!(run("bash", &["-c", suggested], &completions), "doctor\n");

    let chart = run("tar", &["--list", "--file", &format!("asana-event-bridge-{VERSION}.tgz")], made.path());
    assert!(chart.lines().any(|file| file == "asana-event-bridge/templates/deployment.yaml"), "{chart}");
    let sbom = std::fs::read(made.path().join(format!("asana-event-bridge-{VERSION}.cdx.json"))).unwrap();
    examine(&serde_json::from_slice(&sbom).unwrap());
}

/// Everything is named once, and what is depended on is there.
fn examine(sbom: &Value) {
    assert_eq!((&sbom["bomFormat"], &sbom["specVersion"]), (&"CycloneDX".into(), &"1.6".into()));
    let components = sbom["components"].as_array().unwrap();
    let of = |field: &'static str| components.iter().map(move |it| it[field].as_str().unwrap());
    let mut references: BTreeSet<_> = of("bom-ref").collect();
    assert_eq!(references.len(), components.len());
    references.insert(sbom["metadata"]["component"]["bom-ref"].as_str().unwrap());
    for depends in sbom["dependencies"].as_array().unwrap() {
        let named = depends["dependsOn"].as_array().unwrap().iter().chain([&depends["ref"]]);
        assert!(named.clone().all(|it| references.contains(it.as_str().unwrap())), "{depends}");
    }
    // C libraries in crates count, macros and what only tests use don't.
    let names: BTreeSet<_> = of("name").collect();
    for library in ["librdkafka", "openssl", "sqlite", "zlib", "zstd", "tokio", "asana-event-bridge-core"] {
        assert!(names.contains(library), "{library}");
    }
    for other in ["serde_derive", "proptest", "protox"] {
        assert!(!names.contains(other), "{other}");
    }
    let from_registry =
        |it: &&Value| it["purl"].as_str().unwrap().starts_with("pkg:cargo/") && it["licenses"].is_array();
    let hashed = components.iter().filter(from_registry).filter(|it| it["hashes"][0]["alg"] == "SHA-256").count();
    assert!(hashed > 200, "{hashed} components have a hash");
}
