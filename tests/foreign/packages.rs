//! The packages for consumers: what is in the files that would be published, and that their READMEs work when pasted.
//! `consumers` installs them and uses them.

use crate::support::blocks::{Block, blocks};
use crate::support::foreign::{path_from_script, run};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What `scripts/client` prints: a folder.
fn client(what: &str, language: &str) -> PathBuf {
    path_from_script("client", &[what, language])
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The only block of the package's README in this language.
fn readme(package: &str, language: &str) -> String {
    let found: Vec<_> =
        blocks(&read(format!("{package}/README.md"))).into_iter().filter(|it| it.language == language).collect();
    let [Block { text, .. }] = found.as_slice() else { panic!("{} blocks of {language} in {package}", found.len()) };
    text.clone()
}

/// A file, a part of whose name this is.
fn file(folder: &Path, part: &str) -> PathBuf {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = names.filter(|path| path.file_name().unwrap().to_str().unwrap().contains(part)).collect();
    assert_eq!(found.len(), 1, "{part} in {}", folder.display());
    found.remove(0)
}

/// The records of a vector, and the continuity of each.
fn vector() -> Vec<(String, String)> {
    let vector: Value = serde_json::from_str(&read("proto/conformance/lane-missing.json")).unwrap();
    let steps = vector["steps"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    steps.map(|step| (text(&step["record"]), text(&step["verdict"]["continuity"]))).collect()
}

#[test]
fn every_package_has_a_readme_the_licence_and_the_generated_code() {
    let list = |archive: &Path| {
        let mut command = Command::new(if archive.extension().is_some_and(|it| it == "tgz" || it == "crate") {
            "tar"
        } else {
            "python3"
        });
        if command.get_program() == "tar" {
            command.args(["-tzf"])
        } else {
            command.args(["-m", "zipfile", "-l"])
        };
        run(command.arg(archive))
    };
    let at = "git.example.com/asana-event-bridge/clients/go/@v";
    let packages: [(&str, &str, &str, &[&str]); 7] = [
        ("python", "", ".whl", &["METADATA", "LICENSE", "v1/record_pb2.py", "v1/record_pb2.pyi", "py.typed"]),
        (
            "java",
            "",
            "0.1.0.jar",
            &["META-INF/README.md", "META-INF/LICENSE", "v1/Record.class", "consumer/Detector.class"],
        ),
        ("java", "", "sources.jar", &["v1/Record.java", "consumer/Detector.java"]),
        ("go", at, ".zip", &["README.md", "LICENSE", "bridgev1/record.pb.go", "go.mod", "detector.go"]),
        (
            "typescript",
            "",
            ".tgz",
            &["README.md", "LICENSE", "v1/record_pb.js", "v1/record_pb.d.ts", "dist/index.d.ts"],
        ),
        ("rust", "", "contract", &["README.md", "LICENSE", "src/generated/v1.rs"]),
        ("rust", "", "consumer", &["README.md", "LICENSE", "src/lib.rs"]),
    ];
    for (language, folder, part, wanted) in packages {
        let archive = file(&client("package", language).join(folder), part);
        let listed = list(&archive);
        for wanted in wanted {
            let is_there = listed.lines().any(|line| line.split_whitespace().any(|name| name.ends_with(wanted)));
            assert!(is_there, "{} has no {wanted}:\n{listed}", archive.display());
        }
        let is_of_the_examples = listed.lines().any(|line| line.contains("node_modules") || line.contains("vectors."));
        assert!(!is_of_the_examples, "{}:\n{listed}", archive.display());
    }
}

#[test]
fn all_packages_have_the_version_and_the_licence_of_the_bridge() {
    let version = env!("CARGO_PKG_VERSION");
    let named = [
        ("clients/python/pyproject.toml", format!("\nversion = \"{version}\"\n")),
        (
            "clients/java/pom.xml",
            format!("<artifactId>asana-event-bridge-consumer</artifactId>\n  <version>{version}</version>"),
        ),
        ("clients/java/examples/pom.xml", format!("consumer</artifactId>\n      <version>{version}</version>")),
        ("clients/java/README.md", format!("<version>{version}</version>")),
        ("clients/go/examples/go.mod", format!("clients/go v{version}\n")),
        ("clients/go/README.md", format!("clients/go@v{version}\n")),
        ("clients/typescript/package.json", format!("\"version\": \"{version}\"")),
        ("clients/typescript/README.md", format!("-consumer-{version}.tgz")),
        ("crates/consumer/Cargo.toml", "\nversion.workspace = true\n".to_owned()),
        ("crates/contract/Cargo.toml", "\nversion.workspace = true\n".to_owned()),
        ("scripts/client", format!("version=v{version}\n")),
    ];
    for (path, wanted) in named {
        assert!(read(path).contains(&wanted), "{path} has no {wanted:?}");
    }
    for place in ["clients/python", "clients/java", "clients/typescript", "crates/consumer", "crates/contract"] {
        assert_eq!(read(format!("{place}/LICENSE")), read("LICENSE"), "{place}");
    }
}

#[test]
fn the_generated_code_of_the_packages_is_up_to_date() {
    let fresh = tempfile::tempdir().unwrap();
    run(Command::new(root().join("scripts/generate-clients")).arg(fresh.path()).stderr(Stdio::inherit()));
    for path in [
        "clients/go/bridgev1/record.pb.go",
        "clients/python/src/asana_event_bridge/v1/record_pb2.py",
        "clients/python/src/asana_event_bridge/v1/record_pb2.pyi",
        "clients/typescript/src/gen/asana_event_bridge/v1/record_pb.ts",
    ] {
        let generated = std::fs::read_to_string(fresh.path().join(path)).unwrap();
        assert!(generated == read(path), "{path} is out of date: run `make generate`");
    }
}

#[test]
fn the_readme_of_the_python_package_works_when_pasted() {
    let examples = client("examples", "python");
    let records: Vec<_> = vector().into_iter().map(|(record, _)| record).collect();
    let program = format!(
        "import base64\nmessages = [base64.b64decode(record) for record in {}]\n{}",
        serde_json::to_string(&records).unwrap(),
        readme("clients/python", "python")
    );
    let said = run(Command::new(examples.join(".venv/bin/python")).args(["-c", &program]));
    assert!(said.contains("records are missing before this one\n"), "{said}");
}

#[test]
fn the_readme_of_the_go_package_works_when_pasted() {
    let folder = tempfile::tempdir().unwrap();
    let go = PathBuf::from(run(&mut Command::new(root().join("scripts/go-env"))).trim());
    let checkout = folder.path().join("asana-event-bridge/clients/go");
    std::fs::create_dir_all(checkout.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(root().join("clients/go"), &checkout).unwrap();
    let module = folder.path().join("mine");
    std::fs::create_dir(&module).unwrap();
    std::fs::write(module.join("main.go"), readme("clients/go", "go") + "\nfunc main() { _ = read(nil) }\n").unwrap();
    run(Command::new(&go).args(["mod", "init", "mine"]).current_dir(&module));
    let commands = blocks(&read("clients/go/README.md")).into_iter().find(|it| it.text.contains("-replace")).unwrap();
    for line in commands.text.lines() {
        let arguments = line.strip_prefix("go ").expect("a command of go").split(' ');
        run(Command::new(&go).args(arguments).current_dir(&module));
    }
    run(Command::new(&go).args(["vet", "."]).current_dir(&module));
}

#[test]
fn the_readme_of_the_java_package_works_when_pasted() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("Reader.java");
    std::fs::write(&source, readme("clients/java", "java")).unwrap();
    // The jar as installed, and what it depends on.
    let path = client("examples", "java").join("target/lib/*");
    run(Command::new("javac")
        .args(["-Xlint:all", "-Werror", "-cp"])
        .arg(path)
        .arg("-d")
        .arg(folder.path())
        .arg(source));
}

#[test]
fn the_readme_of_the_typescript_package_works_when_pasted() {
    let examples = client("examples", "typescript");
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(examples.join("node_modules"), folder.path().join("node_modules")).unwrap();
    std::fs::create_dir(folder.path().join("src")).unwrap();
    std::fs::write(folder.path().join("package.json"), r#"{"type":"module"}"#).unwrap();
    std::fs::copy(examples.join("tsconfig.json"), folder.path().join("tsconfig.json")).unwrap();
    std::fs::write(folder.path().join("src/main.ts"), readme("clients/typescript", "ts")).unwrap();
    run(Command::new(examples.join("node_modules/.bin/tsc")).current_dir(folder.path()));
    let records: Vec<_> = vector().into_iter().map(|(record, _)| record).collect();
    let program = format!(
        "import {{ read }} from './dist/main.js'; for (const it of {}) read(Buffer.from(it, 'base64'));",
        serde_json::to_string(&records).unwrap()
    );
    let said = run(Command::new("node").args(["--input-type=module", "--eval", &program]).current_dir(folder.path()));
    assert!(said.contains("records are missing before this one\n"), "{said}");
}

/// The README's own program is a doctest of the library.
#[test]
fn a_program_depends_on_the_rust_package_from_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let package = client("package", "rust");
    for name in ["contract", "consumer"] {
        run(Command::new("tar").arg("-xzf").arg(file(&package, name)).current_dir(folder.path()));
    }
    let version = env!("CARGO_PKG_VERSION");
    let patch =
        |name: &str| format!("asana-event-bridge-{name} = {{ path = \"asana-event-bridge-{name}-{version}\" }}\n");
    let manifest = format!(
        "[package]\nname = \"mine\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\nasana-event-bridge-consumer = \"{version}\"\n\n\
         [patch.crates-io]\n{}{}",
        patch("contract"),
        patch("consumer")
    );
    std::fs::write(at("Cargo.toml"), manifest).unwrap();
    std::fs::copy(root().join("Cargo.lock"), at("Cargo.lock")).unwrap();
    std::fs::create_dir(at("src")).unwrap();
    let program = "use asana_event_bridge_consumer::{Detector, Start, decode};\n\
        fn main() -> Result<(), Box<dyn std::error::Error>> {\n\
            let mut detector = Detector::by_lane(Start::Beginning);\n\
            for path in std::env::args().skip(1) {\n\
                let record = decode::record(&std::fs::read(path)?)?;\n\
                println!(\"{}\", detector.observe(\"asana.events\", &record).continuity.label());\n\
            }\n\
            Ok(())\n\
        }\n";
    std::fs::write(at("src/main.rs"), program).unwrap();
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--quiet", "--offline", "--"]).current_dir(folder.path());
    command.env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("package"));
    let mut wanted = String::new();
    for (number, (record, continuity)) in vector().into_iter().enumerate() {
        use base64::Engine as _;
        let value = base64::engine::general_purpose::STANDARD.decode(record).unwrap();
        std::fs::write(at(&number.to_string()), value).unwrap();
        command.arg(number.to_string());
        wanted += &continuity;
        wanted.push('\n');
    }
    assert_eq!(run(&mut command), wanted);
}
