//! Asana's own clients, unchanged, against the simulator: they must take it for
//! the real thing. Needs python3, node and npm; what they install is pinned and
//! kept under `.cache/`.
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

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use asana_simulator::{Options, Scenario, Simulator};
use axum::{Router, extract::State, routing::post};
use serde_json::{Value, json};
use tokio::{net::TcpListener, process::Command, task::JoinSet};

const EVENTS: usize = 250;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a command to its end; its stdout, or a failure that shows all it said.
async fn run(command: &mut Command) -> String {
    let output = command.kill_on_drop(true).output().await;
    let output = output.unwrap_or_else(|error| panic!("this test needs {command:?}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}\n{err}", output.status);
    out.into_owned()
}

/// A folder for what a lock file asks for; `true` if it has been filled already.
fn installed(client: &str, lock: &str) -> (PathBuf, bool) {
    let text = fs::read(root().join("tests/clients").join(client).join(lock)).unwrap();
    let digest = xxhash_rust::xxh3::xxh3_64(&text);
    let folder = root().join(format!("../../.cache/clients/{client}-{digest:016x}"));
    let complete = folder.join("complete").exists();
    fs::create_dir_all(&folder).unwrap();
    (folder, complete)
}

fn mark_complete(folder: &Path) {
    fs::write(folder.join("complete"), "").unwrap();
}

/// The events that the tour will see.
fn events() -> Vec<Value> {
    let event = |n: usize| {
        json!({
            "user": null,
            "created_at": "2026-01-01T00:00:00.000Z",
            "type": "task",
            "action": "deleted",
            "resource": {"gid": n.to_string(), "resource_type": "task", "name": format!("Task {n}")},
            "parent": null,
        })
    };
    (0..EVENTS).map(event).collect()
}

/// A URL to which the tour posts when it has its first sync token.
async fn offer_when_asked(simulator: Arc<Simulator>, project: String, tasks: &mut JoinSet<()>) -> String {
    let offer = async |State((simulator, project)): State<(Arc<Simulator>, String)>| {
        simulator.offer(&project, events());
    };
    let app = Router::new().route("/ready", post(offer)).with_state((simulator, project));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/ready", listener.local_addr().unwrap());
    tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
    url
}

/// Takes the tour and compares what the client saw with what is there.
async fn tour(mut client: Command) {
    let scenario = Scenario::parse("{seed: 3, world: {projects: 10, tasks_per_project: 17}}").unwrap();
    let simulator = Simulator::start(Options { scenario, ..Options::default() }).await.unwrap();
    let simulator = Arc::new(simulator);
    let project = simulator.projects()[0].clone();
    let mut tasks = JoinSet::new();
    let ready = offer_when_asked(Arc::clone(&simulator), project.clone(), &mut tasks).await;
    let base = format!("{}/api/1.0", simulator.url());
    let printed = run(client.args([&base, "simulator", &project, &ready])).await;
    let seen: Value = serde_json::from_str(printed.trim()).unwrap();

    assert_eq!(seen["workspaces"], json!(simulator.workspaces()));
    assert_eq!(seen["projects"], json!(simulator.projects()));
    let tasks_seen = seen["tasks"].as_array().unwrap();
    assert_eq!(tasks_seen.len(), 17);
    assert_eq!(seen["completed"], json!([false, false, false]));
    assert!(seen["me"].as_str().unwrap().contains(' '), "{}", seen["me"]);
    assert!(!seen["project_name"].as_str().unwrap().is_empty());
    assert_eq!(seen["unknown_status"], 404);
    assert_eq!(seen["unknown_message"], "task: Unknown object: 999");
    assert_eq!(seen["first_status"], 412);
    assert_eq!(seen["pages"], json!([100, 100, 50]));
    let offered: Vec<_> = (0..EVENTS).map(|n| n.to_string()).collect();
    assert_eq!(seen["events"], json!(offered));
    assert_eq!(simulator.ledger(&project).len(), EVENTS);
    assert_eq!(seen["quiet"], json!([0]));
    assert_eq!(simulator.stats()["tokens"]["simulator"]["rejected"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_takes_the_simulator_for_asana() {
    let (venv, complete) = installed("python", "requirements.txt");
    let python = venv.join("bin/python");
    if !complete {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv)).await;
        let requirements = root().join("tests/clients/python/requirements.txt");
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
        run(Command::new(&python).args(pip).arg(requirements)).await;
        mark_complete(&venv);
    }
    let mut client = Command::new(python);
    client.arg(root().join("tests/clients/python/tour.py"));
    tour(client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_client_takes_the_simulator_for_asana() {
    let (folder, complete) = installed("node", "package-lock.json");
    if !complete {
        for file in ["package.json", "package-lock.json"] {
            fs::copy(root().join("tests/clients/node").join(file), folder.join(file)).unwrap();
        }
        let npm = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
        run(Command::new("npm").args(npm).current_dir(&folder)).await;
        mark_complete(&folder);
    }
    let mut client = Command::new("node");
    client.arg(root().join("tests/clients/node/tour.js")).env("NODE_PATH", folder.join("node_modules"));
    tour(client).await;
}
