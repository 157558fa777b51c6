//! The recipes of `docs/recipes`, each against the real thing: what its table has is what the Rust library's has. Those that
//! download much are ignored here, and run by `make recipes`.

use crate::support::blocks::blocks;
use crate::support::foreign::{path_from_script, run};
use crate::support::program::{Program, Simulator, TOKEN};
use crate::support::service::Service;
use crate::support::wait_for;
use bridge_consumer::kafka::KafkaReader;
use bridge_consumer::nats::NatsReader;
use bridge_consumer::{Body, Materializer, ReadFrom, Record, Until};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

const TOPIC: &str = "asana.events";
const LANES: usize = 3;
const TIMEOUT: Duration = Duration::from_secs(180);

/// Of each resource: stream, gid, type, name, parent, state.
type Rows = BTreeSet<[Option<String>; 6]>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn recipe(name: &str) -> PathBuf {
    root().join("docs/recipes").join(name)
}

/// A Python with a client of Kafka and the package of `clients/python`.
fn python() -> Command {
    Command::new(path_from_script("client", &["examples", "python"]).join(".venv/bin/python"))
}

/// One that also has what the larger recipes need.
fn python_with_all() -> Command {
    let packages = "import asana_event_bridge, pathlib; print(pathlib.Path(asana_event_bridge.__file__).parents[1])";
    let package = run(python().args(["-c", packages]));
    let mut python = Command::new(path_from_script("python-env", &[recipe("requirements.txt").to_str().unwrap()]));
    python.env("PYTHONPATH", package.trim());
    python
}

/// A bus with snapshots, events, and resources that are gone and that have left; and the table that these make.
struct Told {
    service: Service,
    rows: Rows,
    /// Of each open task that is due within a week: when, by whom, and its name.
    due: BTreeSet<String>,
}

fn kafka() -> &'static Told {
    static KAFKA: OnceLock<Told> = OnceLock::new();
    KAFKA.get_or_init(|| {
        let service = Service::start("kafka", &[]);
        let sink = json!({ "kafka": {
            "bootstrapServers": service.address,
            "stateTopic": "asana.state",
            "topics": { "partitions": LANES, "replicationFactor": 1, "minInsyncReplicas": 1 },
        }});
        let (rows, due) = tell(&sink, async || read_kafka(&service.address).await);
        Told { service, rows, due }
    })
}

async fn read_kafka(bootstrap: &str) -> Vec<Record> {
    let properties = [("bootstrap.servers".to_owned(), bootstrap.to_owned())].into();
    // Opening it asks the brokers, and waits.
    let open = move || KafkaReader::open(&properties, |name| name == TOPIC, ReadFrom::Start, Until::End);
    let mut reader = tokio::task::spawn_blocking(open).await.unwrap().unwrap();
    let mut read = Vec::new();
    while let Some(received) = reader.next().await.unwrap() {
        read.push(received.record.into());
    }
    read
}

fn nats() -> Told {
    let service = Service::start("nats", &[]);
    let url = format!("nats://{}", service.address);
    let sink = json!({ "nats": { "servers": [url.clone()], "lanes": LANES, "state": true } });
    let (rows, due) = tell(&sink, async || {
        let client = async_nats::connect(&url).await.unwrap();
        let mut reader = NatsReader::open(client, "ASANA", "asana", ReadFrom::Start, Until::End).await.unwrap();
        let mut read = Vec::new();
        while let Some(received) = reader.next().await.unwrap() {
            read.push(received.record.into());
        }
        read
    });
    Told { service, rows, due }
}

/// Runs a bridge on a small company in which things are made, changed, moved and deleted. The rows, and the tasks that are due.
fn tell(sink: &Value, read: impl AsyncFn() -> Vec<Record>) -> (Rows, BTreeSet<String>) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let scenario = json!({
        "seed": 11, "rate": 0,
        "world": { "projects": 3, "tasks_per_project": 12 },
        "limits": { "rate_per_minute": null, "concurrent_reads": null },
    });
    std::fs::write(path("scenario"), scenario.to_string()).unwrap();
    std::fs::write(path("token"), TOKEN).unwrap();
    let simulator = Simulator::start(&["--scenario", &path("scenario")], Path::new(&path("simulator.log")));
    let projects = simulator.projects();
    let mut config = simulator.config(Path::new(&path("token")), sink, &projects, 4);
    config["commit"] = json!({ "watermarkInterval": "1s" });
    config["state"] = json!({ "refresh": "on", "types": ["task"], "quietTime": "200ms" });
    config["index"] = json!({ "path": path("index") });
    std::fs::write(path("config.yaml"), config.to_string()).unwrap();
    let mut bridge = Program::start(&["run", "--config", &path("config.yaml")], Path::new(&path("bridge.log")));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut wait_until = |what: &str, is_there: &dyn Fn(&[Record]) -> bool| {
        wait_for(what, TIMEOUT, || {
            bridge.assert_running();
            let log = std::fs::read_to_string(path("bridge.log")).unwrap_or_default();
            let is_ready = log.contains("all streams established");
            (is_ready && is_there(&runtime.block_on(read()))).then_some(())
        });
    };
    let crawled = |records: &[Record]| records.iter().filter(|it| matches!(it.body, Body::SnapshotEnd(_))).count();
    wait_until("the first crawls", &|records| crawled(records) >= LANES * projects.len());

    simulator.post("/_sim/actions", &json!({ "count": 150 }));
    let make = |project: &String| {
        let answer = simulator.ask("/_sim/tasks", &json!({ "project": project }));
        answer["gid"].as_str().unwrap().to_owned()
    };
    let mut gone = BTreeSet::new();
    for project in &projects {
        for what in [json!({ "trashed": true }), json!({ "take_out_of": project })] {
            let task = make(project);
            simulator.post(&format!("/_sim/tasks/{task}"), &what);
            gone.insert(task);
        }
    }
    // When these are there, all is: each stream has an order.
    let last: BTreeSet<_> = projects.iter().map(make).collect();
    wait_until("the last events", &|records| {
        let resource = |it: &Record| match &it.body {
            Body::Event(event) => event.resource.as_ref().map(|resource| resource.gid.clone()),
            _ => None,
        };
        records.iter().filter_map(resource).collect::<BTreeSet<_>>().is_superset(&last)
    });
    let state = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_asana-event-bridge"));
        command.arg("state").args(arguments).args(["--config", &path("config.yaml")]).output().unwrap()
    };
    let now = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now());
    wait_for("a complete state topic", TIMEOUT, || {
        let listed = String::from_utf8(state(&["list"]).stdout).unwrap();
        let up_to =
            listed.trim_end().rsplit_once("; complete up to ")?.1.parse::<chrono::DateTime<chrono::Utc>>().ok()?;
        (up_to > now).then_some(())
    });
    assert!(bridge.stop().success());

    let mut table = Materializer::default();
    for record in runtime.block_on(read()) {
        table.apply(&record);
    }
    let mut rows = Rows::new();
    for project in &projects {
        for row in table.resources(&format!("main/{project}")).cloned() {
            let (stream, gid, resource_type) = (Some(row.stream), Some(row.gid), Some(row.resource_type));
            rows.insert([stream, gid, resource_type, row.name, row.parent, row.state_json]);
        }
    }
    let gids: BTreeSet<_> = rows.iter().filter_map(|row| row[1].clone()).collect();
    assert!(gids.len() > 50 && gids.is_superset(&last) && gids.is_disjoint(&gone), "{} resources", gids.len());
    assert!(rows.iter().any(|row| row[5].is_some()) && rows.iter().any(|row| row[5].is_none()), "some have a state");
    (rows, due(&simulator, &projects))
}

/// The open tasks that are due within a week, as Asana has them.
fn due(simulator: &Simulator, projects: &[String]) -> BTreeSet<String> {
    let today = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()).date_naive();
    let week = (today + chrono::Days::new(7)).to_string();
    let fields = "name,completed,due_on,assignee.name";
    let mut tasks = Vec::new();
    let mut lists: Vec<_> = projects.iter().map(|project| format!("/tasks?project={project}")).collect();
    while let Some(list) = lists.pop() {
        let listed = simulator.list(&list, fields);
        lists.extend(listed.iter().map(|task| format!("/tasks/{}/subtasks", task["gid"].as_str().unwrap())));
        tasks.extend(listed);
    }
    let line = |task: Value| {
        let due_on = task["due_on"].as_str().filter(|due_on| *due_on <= week.as_str() && task["completed"] == false)?;
        let by = task["assignee"]["name"].as_str().unwrap_or("nobody");
        Some(format!("{due_on}\t{by}\t{}", task["name"].as_str().unwrap()))
    };
    tasks.into_iter().filter_map(line).collect()
}

/// A list of lists in JSON.
fn parse(text: &str) -> Rows {
    serde_json::from_str::<Vec<_>>(text).unwrap_or_else(|error| panic!("{error}: {text}")).into_iter().collect()
}

#[track_caller]
fn compare(name: &str, found: &Rows, wanted: &Rows) {
    let (missing, strange): (Vec<_>, Vec<_>) = (wanted.difference(found).collect(), found.difference(wanted).collect());
    let first = (missing.first(), strange.first());
    assert!(
        missing.is_empty() && strange.is_empty(),
        "{name}: {} missing, {} too many: {first:?}",
        missing.len(),
        strange.len()
    );
    println!("{name}: {} rows, as they should be", found.len());
}

#[test]
fn a_table_in_sqlite_is_complete_after_kills() {
    let told = kafka();
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("resources.db");
    let start = |until_end: &[&str]| {
        let mut command = python();
        command.arg(recipe("to_sqlite.py")).args(["--bootstrap", &told.service.address, "--topic", TOPIC]);
        command.arg("--database").arg(&database).args(until_end).stdin(Stdio::null());
        command
    };
    // Killed at some moment, which is another one each time.
    for milliseconds in [600, 1100, 1700] {
        let mut child = start(&[]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        assert_eq!(child.try_wait().unwrap(), None, "it waits for more");
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let said = start(&["--until-end"]).output().unwrap();
    assert!(said.status.success(), "{said:?}");
    assert_eq!(String::from_utf8_lossy(&said.stderr), "", "nothing is missing");
    let database = rusqlite::Connection::open(&database).unwrap();
    let mut rows = database.prepare("SELECT stream, gid, type, name, parent, state FROM resource").unwrap();
    let rows =
        rows.query_map([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?]));
    compare("SQLite", &rows.unwrap().map(Result::unwrap).collect(), &told.rows);
}

#[test]
fn each_missing_record_is_reported_once() {
    // Holes, tails that only watermarks tell of, and ends of epochs.
    for name in ["lane-epochs", "lane-joint-watermark-tail-lost", "lane-missing-for-good", "lane-random"] {
        let vector = root().join(format!("proto/conformance/{name}.json"));
        let program = "import base64, json, sys\n\
            from asana_event_bridge import Detector, Record\n\
            from rows import row_of_new\n\
            detector = Detector()\n\
            for step in json.load(open(sys.argv[1]))['steps']:\n    \
                row_of_new(detector, Record.FromString(base64.b64decode(step['record'])))";
        let mut command = python();
        command.env("PYTHONPATH", root().join("docs/recipes")).args(["-c", program]).arg(&vector);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {said}");
        let reported = said.lines().map(|line| line.split_once(" records are missing, seen at lane ").expect(line).0);
        let reported: u64 = reported.map(|count| count.parse::<u64>().unwrap()).sum();
        let vector: Value = serde_json::from_str(&std::fs::read_to_string(vector).unwrap()).unwrap();
        let total = |name: &str| vector["after"]["total"][name].as_u64().unwrap();
        // What came after all was missing once.
        assert_eq!(reported, total("missing") + total("reordered"), "{name}: {said}");
    }
}

/// The answer that `docs/consuming.md` gives in thirty lines.
#[test]
fn the_first_answer_of_the_documentation_is_right() {
    let told = kafka();
    let document = std::fs::read_to_string(root().join("docs/consuming.md")).unwrap();
    let mut programs = blocks(&document).into_iter().filter(|block| block.language == "python");
    let program = programs.next().expect("a program in Python").text;
    assert!(program.lines().count() <= 30 && program.contains("localhost:9092"), "{program}");
    let program = program.replace("localhost:9092", &told.service.address);
    let said = run(python().args(["-c", &program]));

    let state = |row: &[Option<String>; 6]| serde_json::from_str::<Value>(row[5].as_deref()?).ok();
    let mut open: BTreeSet<String> = BTreeSet::new();
    let mut closed: BTreeSet<String> = BTreeSet::new();
    for task in told.rows.iter().filter_map(state).filter(|it| it["resource_type"] == "task") {
        let name = task["name"].as_str().unwrap().to_owned();
        if task["completed"] == false {
            open.insert(name)
        } else {
            closed.insert(name)
        };
    }
    let (tasks, end) = said.split_once("records missing: 0 open gaps: []\ncomplete up to: 20").expect(&said);
    assert!(end.ends_with("Z\n"), "{said}");
    let found: BTreeSet<_> = tasks.lines().map(|line| line.split("  ").nth(1).expect(line).to_owned()).collect();
    // A task in two streams has two states, of which one may be older.
    assert!(found.is_subset(&open) && open.difference(&found).all(|it| closed.contains(it)), "{open:?}\n{said}");
    assert!(tasks.contains("changed since: ") && found.len() > 10, "{said}");
}

/// The answer that `docs/consuming.md` gives from the state topic.
#[test]
fn the_answer_from_the_state_topic_is_right() {
    let told = kafka();
    let document = std::fs::read_to_string(root().join("docs/consuming.md")).unwrap();
    let of_states = |text: &str| text.contains("asana.state");
    let program = blocks(&document).into_iter().find(|it| it.language == "python" && of_states(&it.text)).unwrap().text;
    assert!(program.lines().count() <= 30, "{program}");
    let said = run(python().env("TZ", "UTC").args(["-c", &program.replace("localhost:9092", &told.service.address)]));
    let (tasks, end) = said.trim_end().rsplit_once('\n').expect(&said);
    assert!(end.starts_with("Completeness(kind='complete', streams=0, up_to=1"), "{said}");
    assert_eq!(tasks.lines().map(str::to_owned).collect::<BTreeSet<_>>(), told.due, "{said}");
    assert!(!told.due.is_empty());
}

/// Runs a recipe twice, since the second time nothing comes twice, and then a query in Python.
fn twice_and_query(name: &str, query: &str) -> Rows {
    let told = kafka();
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("database");
    for _ in 0..2 {
        let mut command = python_with_all();
        command.arg(recipe(name)).args(["--bootstrap", &told.service.address, "--topic", TOPIC, "--until-end"]);
        run(command.arg("--database").arg(&database));
    }
    parse(&run(python_with_all().args(["-c", query]).arg(&database)))
}

#[test]
#[ignore = "downloads DuckDB: `make recipes` runs it"]
fn a_view_in_duckdb_has_the_latest_of_each_resource() {
    let query = "import duckdb, json, sys\n\
        query = 'SELECT stream, gid, type, name, parent, state FROM resource'\n\
        print(json.dumps(duckdb.connect(sys.argv[1]).execute(query).fetchall()))";
    compare("DuckDB", &twice_and_query("to_duckdb.py", query), &kafka().rows);
}

#[test]
#[ignore = "downloads ClickHouse: `make recipes` runs it"]
fn a_view_in_clickhouse_has_the_latest_of_each_resource() {
    let query = "import json, sys\n\
        from chdb import session\n\
        query = 'SELECT stream, gid, type, name, parent, state FROM asana.resource'\n\
        said = str(session.Session(sys.argv[1]).query(query, 'JSONCompactEachRow'))\n\
        print(json.dumps([json.loads(line) for line in said.splitlines()]))";
    compare("ClickHouse", &twice_and_query("to_clickhouse.py", query), &kafka().rows);
}

#[test]
#[ignore = "`make recipes` runs it"]
fn a_bucket_of_nats_has_the_latest_of_each_resource() {
    let told = nats();
    let start = |arguments: &[&str]| {
        let mut command = python_with_all();
        command.arg(recipe("nats_kv.py")).args(["--server", &format!("nats://{}", told.service.address)]);
        command.args(["--bucket", "resources"]).args(arguments).stdin(Stdio::null());
        command
    };
    let mut child = start(&["fill"]).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    child.kill().unwrap();
    child.wait().unwrap();
    run(&mut start(&["fill", "--until-end"]));
    let said = run(&mut start(&["watch", "--until-end"]));
    let rows = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let row = |row: Value| {
        ["stream", "gid", "type", "name", "parent", "state"].map(|key| row[key].as_str().map(str::to_owned))
    };
    compare("NATS", &rows.filter(|it| it["removed"].is_null()).map(row).collect(), &told.rows);
}
