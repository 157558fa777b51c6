//! What is generated and committed is up to date. `UPDATE=1` writes it anew.
mod contract;
mod json_schema;

use std::path::{Path, PathBuf};

const PROTOS: [&str; 2] = ["asana_event_bridge/v1/record.proto", "asana_event_bridge/checkpoint/v1/checkpoint.proto"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Compares the file with what it should hold, or writes it under `UPDATE=1`.
fn check(path: &Path, fresh: &str) {
    check_bytes(path, fresh.as_bytes());
}

fn check_bytes(path: &Path, fresh: &[u8]) {
    let committed = std::fs::read(path).unwrap_or_default();
    // What is as it was keeps its time, so that nothing is built anew.
    if committed != fresh && std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, fresh).expect("write the generated file");
        return;
    }
    assert!(committed == fresh, "{} is out of date: run `make generate`", path.display());
}

#[test]
fn the_rust_code_of_the_wire_contract_is_up_to_date() {
    use prost::Message as _;
    let descriptors = protox::compile(PROTOS, [root().join("proto")]).expect("the protos compile");
    let out = tempfile::tempdir().expect("a temporary folder");
    // Each package in a crate of its own, which has its own way to the one time type.
    for (package, time) in [("v1", "crate::Timestamp"), ("checkpoint.v1", "::bridge_contract::Timestamp")] {
        let of_package = |file: &&prost_types::FileDescriptorProto| {
            file.package() == format!("asana_event_bridge.{package}") || file.package().starts_with("google.")
        };
        let file = descriptors.file.iter().filter(of_package).cloned().collect();
        prost_build::Config::new()
            .out_dir(out.path())
            .compile_well_known_types()
            .extern_path(".google.protobuf.Timestamp", time)
            .compile_fds(prost_types::FileDescriptorSet { file })
            .expect("generate messages");
    }
    pbjson_build::Builder::new()
        .out_dir(out.path())
        .register_descriptors(&descriptors.encode_to_vec())
        .expect("descriptors")
        // A newer bridge may write more.
        .ignore_unknown_fields()
        .build(&[".asana_event_bridge.v1"])
        .expect("generate JSON forms");
    let mut names: Vec<PathBuf> = std::fs::read_dir(out.path())
        .expect("list")
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("asana")))
        .collect();
    names.sort();
    assert_eq!(names.len(), 3, "two packages, one with JSON forms: {names:?}");
    for generated in names {
        let fresh = std::fs::read_to_string(&generated).expect("read");
        let name = generated.file_name().expect("name").to_string_lossy().replace("asana_event_bridge.", "");
        let package = if name.starts_with("checkpoint") { "core" } else { "contract" };
        check(&root().join("crates").join(package).join("src/generated").join(name), &fresh);
    }
}

#[test]
fn the_schema_of_the_configuration_is_up_to_date() {
    let schema = serde_json::to_string_pretty(asana_event_bridge::config::schema()).expect("JSON");
    check(&root().join("docs/config.schema.json"), &format!("{schema}\n"));
}

#[test]
fn the_reference_of_the_wire_contract_is_up_to_date() {
    let descriptors = protox::compile([PROTOS[0]], [root().join("proto")]).expect("the protos compile");
    let file = descriptors.file.iter().find(|file| file.name() == PROTOS[0]).expect("the contract");
    check(&root().join("docs/contract.md"), &contract::markdown(file));
}

#[test]
fn the_schema_of_the_json_form_is_up_to_date() {
    let descriptors = protox::compile([PROTOS[0]], [root().join("proto")]).expect("the protos compile");
    let file = descriptors.file.iter().find(|file| file.name() == PROTOS[0]).expect("the contract");
    let schema = serde_json::to_string_pretty(&json_schema::json_schema(file)).expect("JSON");
    check(&root().join("docs/record.schema.json"), &format!("{schema}\n"));
}

#[test]
fn the_descriptors_of_the_contract_are_up_to_date() {
    use prost::Message as _;
    let mut descriptors = protox::compile([PROTOS[0]], [root().join("proto")]).expect("the protos compile");
    // With its imports, and without comments.
    descriptors.file.iter_mut().for_each(|file| file.source_code_info = None);
    check_bytes(&root().join("proto/record.binpb"), &descriptors.encode_to_vec());
}

#[test]
fn the_schemas_of_the_asyncapi_document_are_up_to_date() {
    const BEGIN: &str = "by `make generate`.\n";
    let path = root().join("docs/asyncapi.yaml");
    let committed = std::fs::read_to_string(&path).expect("the document is there");
    let (before, _) = committed.split_once(BEGIN).expect("the mark before the schemas");
    let proto = std::fs::read_to_string(root().join("proto").join(PROTOS[0])).expect("the contract");
    check(&path, &format!("{before}{BEGIN}{}", contract::asyncapi_schemas(&proto)));
}
