//! Streams by rules, with the whole program: found, followed, and let go.

use crate::support::foreign::read_lines;
use crate::support::program::{Program, Simulator};
use crate::support::wait_for;
use axum::http::{StatusCode, Uri};
use axum::{Json, Router};
use bridge_contract::pb::{self, record::Body};
use bridge_core::ids::StreamId;
use prost::Message as _;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(90);

/// An Asana, and a bridge that writes to a file.
struct Bench<A> {
    folder: tempfile::TempDir,
    asana: A,
    base_url: String,
    bridge: Option<Program>,
}

impl Bench<Simulator> {
    /// A world of more projects than three pages hold.
    fn simulated() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let scenario = folder.path().join("scenario.yaml");
        let text = "{ world: { projects: 320, tasks_per_project: 1 }, limits: { rate_per_minute: 0 } }";
        std::fs::write(&scenario, text).unwrap();
        let log = folder.path().join("simulator.log");
        let simulator = Simulator::start(&["--scenario", scenario.to_str().unwrap()], &log);
        let base_url = format!("{}/api/1.0", simulator.url);
        let bench = Self { folder, asana: simulator, base_url, bridge: None };
        let workspace = bench.workspace();
        bench.with_rules(&json!([{ "workspace": workspace }]))
    }

    fn workspace(&self) -> String {
        self.asana.get("/_sim/world")["workspaces"][0].as_str().unwrap().to_owned()
    }

    fn make(&self, name: &str) -> String {
        let made = self.asana.ask("/_sim/projects", &json!({ "name": name }));
        made["gid"].as_str().unwrap().to_owned()
    }

    fn established(&self) -> BTreeSet<String> {
        let ledger = self.asana.get("/_sim/ledger");
        ledger["established"].as_object().unwrap().keys().cloned().collect()
    }

    fn offer(&self, resource: &str, gid: &str) {
        let event = json!({
            "action": "changed", "resource": { "gid": gid, "resource_type": "task" }, "parent": null,
            "change": { "field": "name", "action": "changed" }, "user": null, "created_at": "2026-01-01T00:00:00.000Z",
        });
        self.asana.post("/_sim/events", &json!({ "resource": resource, "events": [event] }));
    }
}

impl<A> Bench<A> {
    fn with_rules(mut self, rules: &Value) -> Self {
        std::fs::write(self.path("token"), crate::support::program::TOKEN).unwrap();
        self.configure(rules);
        self.start();
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn start(&mut self) {
        let config = self.path("config.yaml");
        self.bridge = Some(Program::start(&["run", "--config", config.to_str().unwrap()], &self.path("bridge.log")));
    }

    fn stop(&mut self) {
        assert!(self.bridge.take().unwrap().stop().success());
    }

    /// Replaces the file at once, as Kubernetes does. JSON is YAML.
    fn configure(&self, rules: &Value) {
        let config = json!({
            "accounts": { "main": {
                "token": { "file": self.path("token") },
                "baseUrl": self.base_url,
                "requestsPerMinute": 12_000,
            }},
            "discovery": { "interval": "1s", "rules": rules },
            "polling": { "minInterval": "500ms", "maxInterval": "2s" },
            "crawl": { "initial": false },
            "sink": { "file": { "path": self.path("records"), "checkpoint": self.path("checkpoint") } },
        });
        std::fs::write(self.path("next.yaml"), config.to_string()).unwrap();
        std::fs::rename(self.path("next.yaml"), self.path("config.yaml")).unwrap();
    }

    fn wait<T>(&mut self, what: &str, mut ready: impl FnMut(&Self) -> Option<T>) -> T {
        wait_for(what, TIMEOUT, || {
            if let Some(bridge) = &mut self.bridge {
                bridge.assert_running();
            }
            ready(self)
        })
    }

    /// The bodies of each stream's records, by its gid.
    fn records(&self) -> BTreeMap<String, Vec<Body>> {
        let mut records: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for seen in read_lines(&self.path("records")) {
            let record = pb::Record::decode(seen.value.as_slice()).unwrap();
            if let Some(stream) = StreamId::parse(&record.position.unwrap().stream) {
                records.entry(stream.resource.to_string()).or_default().push(record.body.unwrap());
            }
        }
        records
    }

    fn arrived(&mut self, resource: &str, gid: &str) {
        self.wait(&format!("{gid} of {resource}"), |bench| {
            let records = bench.records();
            let is_it = |body: &Body| matches!(body, Body::Event(event) if event.resource.as_ref().unwrap().gid == gid);
            records.get(resource)?.iter().any(is_it).then_some(())
        });
    }

    fn ended(&mut self, resource: &str) {
        self.wait(&format!("the end of {resource}"), |bench| {
            matches!(bench.records().get(resource)?.last(), Some(Body::StreamEnded(_))).then_some(())
        });
    }

    /// All streams that a `StreamEnded` record was ever written of.
    fn all_ended(&self) -> BTreeSet<String> {
        let has_end = |bodies: &Vec<Body>| bodies.iter().any(|body| matches!(body, Body::StreamEnded(_)));
        self.records().into_iter().filter(|(_, bodies)| has_end(bodies)).map(|(gid, _)| gid).collect()
    }
}

#[test]
fn projects_are_found_followed_and_let_go() {
    let mut bench = Bench::simulated();
    let all: BTreeSet<String> = bench.asana.projects().into_iter().collect();
    assert_eq!(all.len(), 320);
    bench.wait("all projects to be established", |bench| (bench.established() == all).then_some(()));

    // One appears.
    let new = bench.make("A new one");
    bench.wait("the new project to be established", |bench| bench.established().contains(&new).then_some(()));
    bench.offer(&new, "71");
    bench.arrived(&new, "71");
    assert_eq!(bench.all_ended(), BTreeSet::new());

    // One is archived, one is deleted, and others stay as they are.
    let [archived, deleted, stays] = [0, 1, 2].map(|number| all.iter().nth(number).unwrap().clone());
    bench.asana.post(&format!("/_sim/projects/{archived}"), &json!({ "archived": true }));
    bench.asana.post(&format!("/_sim/projects/{deleted}"), &json!({ "deleted": true }));
    bench.ended(&archived);
    bench.ended(&deleted);
    bench.offer(&stays, "72");
    bench.arrived(&stays, "72");
    let gone = BTreeSet::from([archived.clone(), deleted.clone()]);
    assert_eq!(bench.all_ended(), gone);

    // A restart begins with what it finds, page by page: nobody ends by that.
    bench.stop();
    bench.offer(&stays, "73");
    bench.start();
    bench.arrived(&stays, "73");
    bench.offer(&new, "74");
    bench.arrived(&new, "74");
    let bodies = bench.records().remove(&new).unwrap();
    assert!(!bodies.iter().any(|body| matches!(body, Body::SourceGap(_))), "it goes on where it was");

    // Lists that fail take nothing away.
    bench.asana.post("/_sim/faults", &json!({ "kind": "status", "status": 500, "endpoint": "lists", "count": 2 }));
    bench.wait("failures", |bench| {
        bench.asana.get("/_sim/faults")["faults"].as_array().unwrap().is_empty().then_some(())
    });
    bench.offer(&stays, "75");
    bench.arrived(&stays, "75");
    assert_eq!(bench.all_ended(), gone);

    // Another rule takes the place of the first.
    bench.configure(&json!([{ "workspace": bench.workspace(), "name": "^A new" }]));
    bench.bridge.as_ref().unwrap().signal("HUP");
    bench.ended(&stays);
    bench.offer(&new, "76");
    bench.arrived(&new, "76");
    bench.wait("all others to end", |bench| (bench.all_ended() == all).then_some(()));
    bench.stop();
}

/// An Asana that shows what it is told to: `/teams/1/projects`, and projects alone.
struct Scripted {
    told: Arc<Mutex<Told>>,
    _runtime: tokio::runtime::Runtime,
}

#[derive(Default)]
struct Told {
    /// What the list shows.
    shown: Vec<&'static str>,
    /// What it shows instead, each once.
    short: VecDeque<Vec<&'static str>>,
    /// How a project answers that is asked for alone.
    alone: BTreeMap<&'static str, (u16, Value)>,
    /// What was asked for, but events: `list`, or a project's gid.
    asked: Vec<String>,
    /// Whose events were asked for.
    polled: BTreeSet<String>,
}

impl Told {
    fn answer(&mut self, path: &str, query: &str) -> (u16, Value) {
        let error = |text: &str| json!({ "errors": [{ "message": text }] });
        match path.trim_start_matches("/api/1.0").split('/').collect::<Vec<_>>()[..] {
            ["", "events"] => {
                let pairs: BTreeMap<_, _> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
                self.polled.insert(pairs["resource"].clone());
                match pairs.get("sync") {
                    Some(token) => (200, json!({ "data": [], "sync": token, "has_more": false })),
                    None => (412, json!({ "errors": [{ "message": "a new token" }], "sync": "token" })),
                }
            }
            ["", "teams", "1", "projects"] => {
                self.asked.push("list".to_owned());
                let shown = self.short.pop_front().unwrap_or_else(|| self.shown.clone());
                let project = |gid| json!({ "gid": gid, "resource_type": "project", "name": gid, "archived": false });
                (200, json!({ "data": shown.into_iter().map(project).collect::<Vec<_>>(), "next_page": null }))
            }
            ["", "projects", gid] => {
                self.asked.push(gid.to_owned());
                let (status, team) = self.alone.get(gid).cloned().unwrap_or((404, Value::Null));
                let data = json!({ "gid": gid, "resource_type": "project", "archived": false, "team": team });
                if status == 200 { (200, json!({ "data": data })) } else { (status, error("refused")) }
            }
            _ => (404, error("no such place")),
        }
    }

    fn lists(&self) -> usize {
        self.asked.iter().filter(|asked| *asked == "list").count()
    }

    fn asked_alone(&self) -> BTreeSet<&str> {
        self.asked.iter().map(String::as_str).filter(|asked| *asked != "list").collect()
    }
}

impl Bench<Scripted> {
    fn scripted(shown: &[&'static str]) -> Self {
        let told = Arc::new(Mutex::new(Told { shown: shown.to_vec(), ..Told::default() }));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let base_url = format!("http://{}/api/1.0", listener.local_addr().unwrap());
        let answering = Arc::clone(&told);
        let app = Router::new().fallback(move |uri: Uri| {
            let (status, body) = answering.lock().unwrap().answer(uri.path(), uri.query().unwrap_or_default());
            std::future::ready((StatusCode::from_u16(status).unwrap(), Json(body)))
        });
        runtime.spawn(async move { axum::serve(listener, app).await.unwrap() });
        let asana = Scripted { told, _runtime: runtime };
        let folder = tempfile::tempdir().unwrap();
        Self { folder, asana, base_url, bridge: None }.with_rules(&json!([{ "team": "1" }]))
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.asana.told.lock().unwrap()
    }

    /// Until so many more lists were read.
    fn read_on(&mut self, lists: usize) {
        let until = self.told().lists() + lists;
        self.wait("further lists", |bench| (bench.told().lists() >= until).then_some(()));
    }
}

#[test]
fn a_short_list_ends_nothing_and_each_stream_ends_by_its_own_answer() {
    const TOLD: &str = "rule returned fewer than half of its streams";
    let mut bench = Bench::scripted(&["21", "22", "23", "24"]);
    bench.wait("all to be polled", |bench| (bench.told().polled.len() == 4).then_some(()));
    bench.read_on(2);
    let log = |bench: &Bench<Scripted>| std::fs::read_to_string(bench.path("bridge.log")).unwrap();
    assert!(!log(&bench).contains(TOLD));

    // Empty once, and half of it once: it is read again, and nobody is asked for alone.
    for short in [vec![], vec!["21", "22"]] {
        bench.told().short = VecDeque::from([short]);
        bench.read_on(3);
        assert_eq!((bench.all_ended(), bench.told().asked_alone()), (BTreeSet::new(), BTreeSet::new()));
    }
    assert!(log(&bench).contains(TOLD));

    // Empty twice in a row: each is asked for alone, and one of them is gone.
    {
        let mut told = bench.told();
        told.shown = vec!["22", "23", "24"];
        told.short = VecDeque::from([vec![], vec![]]);
        let team = json!({ "gid": "1" });
        told.alone = BTreeMap::from([("22", (403, Value::Null)), ("23", (200, team)), ("24", (200, Value::Null))]);
    }
    bench.ended("21");
    bench.read_on(3);
    assert_eq!(bench.all_ended(), BTreeSet::from(["21".to_owned()]));
    assert_eq!(bench.told().asked_alone(), BTreeSet::from(["21", "22", "23", "24"]));

    // Never shown again: what can't tell ends with the second look, what is refused or says that it is there stays.
    bench.told().asked.clear();
    bench.told().shown = vec![];
    bench.ended("24");
    let looks = bench.told().asked.iter().filter(|asked| *asked == "24").count();
    assert_eq!(looks, 2, "{:?}", bench.told().asked);
    bench.read_on(3);
    assert_eq!(bench.all_ended(), BTreeSet::from(["21".to_owned(), "24".to_owned()]));

    // After a restart, too, one empty list says nothing.
    bench.stop();
    {
        let mut told = bench.told();
        told.shown = vec!["22", "23"];
        told.short = VecDeque::from([vec![]]);
        told.polled.clear();
    }
    bench.start();
    bench.wait("both to be polled again", |bench| (bench.told().polled.len() == 2).then_some(()));
    bench.read_on(3);
    assert_eq!(bench.all_ended(), BTreeSet::from(["21".to_owned(), "24".to_owned()]));
    bench.stop();
}
