//! The kubelet's part, played: the pod's command with the pod's files, its probes asked, its `ConfigMap` changed under it.

use crate::support::program::{Program, Simulator, TOKEN};
use crate::support::service::Service;
use crate::support::wait_for;
use crate::{example, object, objects};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// A replica joins an empty group and restores nothing: far less.
const START: Duration = Duration::from_secs(60);
/// What an added stream may take to stream. The kubelet's own delay comes on top in a cluster.
const RELOAD: Duration = Duration::from_secs(60);

/// Lays files out as the kubelet does: in a folder of their own, which a link is turned to at once.
fn project(volume: &Path, version: u32, name: &str, content: &str) {
    let folder = format!("..{version}");
    std::fs::create_dir_all(volume.join(&folder)).unwrap();
    std::fs::write(volume.join(&folder).join(name), content).unwrap();
    symlink(&folder, volume.join("..new")).unwrap();
    std::fs::rename(volume.join("..new"), volume.join("..data")).unwrap();
    if version == 1 {
        symlink(format!("..data/{name}"), volume.join(name)).unwrap();
    }
}

#[test]
fn a_pod_gets_ready_follows_its_configmap_and_ends_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let kafka = Service::start("kafka", &[]);
    let simulator = Simulator::start(&[], &folder.path().join("simulator.log"));
    let projects = simulator.projects();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let admin = format!("http://127.0.0.1:{port}");

    let (config, secret) = (folder.path().join("config"), folder.path().join("asana"));
    let install = |streams: usize| {
        let streams: Vec<_> = projects.iter().take(streams).map(|gid| json!({"resource": gid})).collect();
        let sets = [
            format!("config.streams={}", json!(streams)),
            format!("config.accounts.main.baseUrl={}", json!(format!("{}/api/1.0", simulator.url))),
            format!("config.sink.kafka.bootstrapServers={}", json!(kafka.address)),
            r#"config.sink.kafka.topics={"replicationFactor":1,"minInsyncReplicas":1}"#.to_owned(),
            r#"config.polling.maxInterval="5s""#.to_owned(),
        ];
        let objects = objects(&example("quickstart"), &sets.each_ref().map(String::as_str));
        let file = object(&objects, "ConfigMap")["data"]["bridge.yaml"].as_str().unwrap();
        // Loopback only, and folders that a test may make.
        let file = file.replace("0.0.0.0:8080", &format!("127.0.0.1:{port}"));
        let file = file.replace("/secrets/asana", secret.to_str().unwrap());
        (file, object(&objects, "Deployment")["spec"]["template"].clone())
    };

    let (file, pod) = install(1);
    project(&secret, 1, "token", TOKEN);
    project(&config, 1, "bridge.yaml", &file);
    let container = &pod["spec"]["containers"][0];
    let arguments = container["args"].as_array().unwrap().iter().map(|argument| argument.as_str().unwrap());
    let arguments: Vec<_> =
        arguments.map(|argument| argument.replace("/etc/asana-event-bridge", config.to_str().unwrap())).collect();
    let log = folder.path().join("log");
    let mut program = Program::start(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), &log);

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let status = |path: &str| {
        let url = format!("{admin}{path}");
        runtime.block_on(async { reqwest::get(url).await.ok().map(|answer| answer.status().as_u16()) })
    };
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let path = container[probe]["httpGet"]["path"].as_str().unwrap();
        wait_for(probe, START, || {
            program.assert_running();
            (status(path) == Some(200)).then_some(())
        });
    }
    assert_eq!(status("/metrics"), Some(200));

    let live = || -> Option<usize> {
        let report = simulator.fetch(&format!("{admin}/api/streams")).ok()?;
        let streams = report["streams"].as_array()?;
        Some(streams.iter().filter(|stream| stream["state"] == "live").count())
    };
    wait_for("the first stream", START, || (live() == Some(1)).then_some(()));

    // The doctor's Job, with the files that it has too, beside the pod.
    let doctor = run_job("doctor.enabled=true", &config);
    assert!(doctor.ends_with(", 0 failed\n"), "{doctor}");

    let (file, upgraded) = install(2);
    assert_eq!(upgraded, pod, "a stream more is no other pod");
    project(&config, 2, "bridge.yaml", &file);
    wait_for("the second stream", RELOAD, || (live() == Some(2)).then_some(()));
    program.assert_running();

    let grace = pod["spec"]["terminationGracePeriodSeconds"].as_u64().map(Duration::from_secs).unwrap();
    let told = Instant::now();
    let ended = program.stop();
    assert!(ended.success() && told.elapsed() < grace, "{ended} after {:?}", told.elapsed());
    let said: Vec<Value> =
        std::fs::read_to_string(&log).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!said.is_empty(), "logs are lines of JSON");

    // A Job of docs/operations/checkpoints.md, with the files that it has too, now that no bridge is there.
    let migrated = run_job(r#"job=["checkpoint","migrate","--shards=64","--yes"]"#, &config);
    assert!(migrated.contains("shards: 64"), "{migrated}");
}

/// What the container of the Job says that the quick start has with this value, with the pod's files.
fn run_job(value: &str, config: &Path) -> String {
    let objects = objects(&example("quickstart"), &[value]);
    let container = &object(&objects, "Job")["spec"]["template"]["spec"]["containers"][0];
    let arguments = container["args"].as_array().unwrap().iter().map(|argument| argument.as_str().unwrap());
    let arguments = arguments.map(|argument| argument.replace("/etc/asana-event-bridge", config.to_str().unwrap()));
    let output = Command::new(env!("CARGO_BIN_EXE_asana-event-bridge")).args(arguments).output().unwrap();
    let (said, log) = (crate::text(&output.stdout), crate::text(&output.stderr));
    assert!(output.status.success(), "{said}{log}");
    said
}

/// The simulated world that compose.yaml's bridge polls is the simulator's own, and its file is fine.
#[test]
fn compose_names_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let simulator = Simulator::start(&[], &folder.path().join("log"));
    let world = simulator.get("/_sim/world");
    let compose: Value = serde_saphyr::from_str(&crate::read("compose.yaml")).unwrap();
    let config = compose["configs"]["bridge"]["content"].as_str().unwrap();
    let parsed: Value = serde_saphyr::from_str(config).unwrap();
    assert_eq!(parsed["streams"][0]["workspace"], world["workspaces"][0]);
    let file = folder.path().join("bridge.yaml");
    std::fs::write(&file, config).unwrap();
    let checked = Command::new(env!("CARGO_BIN_EXE_asana-event-bridge"))
        .arg("check-config")
        .arg(&file)
        .env("ASANA_TOKEN", "compose")
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", crate::text(&checked.stderr));
}
