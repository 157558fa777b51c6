//! Some days on an Asana that loses events and kills tokens, with the whole program on Kafka, killed in the midst of its
//! crawls: after the last reconciliation the state that a plain consumer has is Asana's.
//!
//! The simulator's clock is fast, so the bridge's intervals are short. By hand, a week on 200 streams: `make healing`.

use crate::support::foreign::read_kafka;
use crate::support::program::{Program, Simulator, admin_url};
use crate::support::service::Service;
use crate::support::times::judge_times;
use crate::support::wait_for;
use bridge_consumer::materialize::Row;
use bridge_consumer::{Body, Continuity, Detector, Materializer, Record, Start, decode};
use bridge_contract::pb::SnapshotChange;
use chrono::{DateTime, Utc};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const LANES: u32 = 3;
const TOPIC: &str = "asana.events";
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Two days on 30 streams, unless `make healing` asks for more.
#[test]
fn after_the_last_reconciliation_the_state_is_asanas() {
    let number = |name: &str, default: u32| {
        std::env::var_os(name).map_or(default, |text| text.to_string_lossy().parse().expect("a number"))
    };
    let (days, speed) = (number("HEALING_DAYS", 2), number("HEALING_SPEED", 2_880));
    let (streams, kills) = (number("HEALING_STREAMS", 30), number("HEALING_KILLS", 4));
    let mut site = Site::new(streams, speed, u64::from(number("HEALING_SEED", 1)));
    // Pages of more than 50 are too heavy.
    site.simulator.post("/_sim/weight", &json!({ "most": 50, "answer": "timeout", "after": "10ms" }));
    site.start();

    println!("a day on which all events come");
    let begun = Instant::now();
    site.simulator.post("/_sim/rate", &json!({ "events_per_second": 60 }));
    site.wait_for_crawls();
    std::thread::sleep(DAY / speed);
    site.wait_for_crawls();
    assert_eq!(site.missed(), BTreeMap::new(), "nothing was lost, so nothing was missed");

    println!("{days} days on which 1 % are lost and tokens die, after {:?}", begun.elapsed());
    for fault in [
        json!({ "kind": "drop", "probability": 0.01 }),
        json!({ "kind": "kill_tokens", "probability": 0.005 }),
        json!({ "kind": "status", "status": 503, "probability": 0.01 }),
        json!({ "kind": "short", "part": "end", "endpoint": "lists", "probability": 0.02 }),
        json!({ "kind": "short", "part": "middle", "endpoint": "lists", "probability": 0.02 }),
        json!({ "kind": "gateway", "status": 502, "probability": 0.005 }),
        json!({ "kind": "gateway", "status": 408, "probability": 0.005 }),
        json!({ "kind": "cut", "probability": 0.002 }),
    ] {
        site.simulator.post("/_sim/faults", &fault);
    }
    for _ in 0..kills {
        site.live_for(days * DAY / speed / kills);
        site.kill_in_mid_crawl();
        site.simulator.post("/_sim/faults", &json!({ "kind": "expire_offsets" }));
    }

    // Whatever chance did so far: changes of which no event comes.
    site.simulator.post("/_sim/faults", &json!({ "kind": "drop", "probability": 1 }));
    site.simulator.post("/_sim/actions", &json!({ "count": 300 }));
    println!("silence, and a last reconciliation, after {:?}", begun.elapsed());
    site.simulator.post("/_sim/rate", &json!({ "events_per_second": 0 }));
    site.simulator.delete("/_sim/faults");
    site.simulator.post("/_sim/weight", &Value::Null);
    site.wait_for_events();
    site.wait_for_crawls();
    assert!(site.bridge.take().unwrap().stop().success());
    site.judge();
}

struct Site {
    folder: tempfile::TempDir,
    kafka: Service,
    simulator: Simulator,
    streams: Vec<String>,
    bridge: Option<Program>,
    /// How often it was started: each has a log of its own.
    starts: usize,
    rng: ChaCha8Rng,
}

impl Site {
    fn new(streams: u32, speed: u32, seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let scenario = json!({
            "seed": seed, "speed": speed, "delay": "2m",
            "world": { "projects": streams, "tasks_per_project": 10 },
            "limits": { "rate_per_minute": 0, "concurrent_reads": 0 },
            "empty_pages": if seed.is_multiple_of(2) { "same_token" } else { "new_token" },
        });
        // JSON is YAML.
        let path = folder.path().join("scenario.yaml");
        std::fs::write(&path, scenario.to_string()).unwrap();
        std::fs::write(folder.path().join("token"), crate::support::program::TOKEN).unwrap();
        let arguments = ["--scenario", path.to_str().unwrap()];
        let simulator = Simulator::start(&arguments, &folder.path().join("simulator.log"));
        let kafka = Service::start("kafka", &[]);
        let streams = simulator.projects();
        let site =
            Self { folder, kafka, simulator, streams, bridge: None, starts: 0, rng: ChaCha8Rng::seed_from_u64(seed) };
        let scaled = |time: Duration| format!("{}ms", (time / speed).as_millis());
        let config = json!({
            "accounts": { "main": {
                "token": { "file": site.path("token") },
                "baseUrl": format!("{}/api/1.0", site.simulator.url),
                "requestsPerMinute": 60_000,
            }},
            "streams": site.streams.iter().map(|gid| json!({ "resource": gid })).collect::<Vec<_>>(),
            "polling": { "minInterval": "200ms", "maxInterval": scaled(DAY / 48) },
            // All types of which there are events, so that all of the state can be compared.
            "crawl": {
                "depth": "attachments",
                "budgetPercent": 50,
                // By Asana's clock. Between two answers the bridge's goes on at its own pace: while it counts a second, Asana's
                // does hours, and no event may be called missed for that.
                "reconcileInterval": "24h",
                "lateEvents": "4h",
            },
            "index": { "path": site.path("index") },
            "admin": { "listen": "127.0.0.1:0" },
            "replica": "bridge",
            "sink": { "kafka": {
                "bootstrapServers": site.kafka.address,
                "topics": { "partitions": LANES, "replicationFactor": 1, "minInsyncReplicas": 1 },
            }},
        });
        std::fs::write(site.path("config.yaml"), config.to_string()).unwrap();
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn start(&mut self) {
        self.starts += 1;
        let log = log(self.starts);
        std::fs::remove_file(&log).ok();
        let config = self.path("config.yaml");
        let arguments = ["run", "--config", config.to_str().unwrap(), "--log-format", "json"];
        self.bridge = Some(Program::start(&arguments, &log));
    }

    fn live_for(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.bridge.as_mut().unwrap().assert_running();
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// How each stream is, once the bridge answers.
    fn status(&mut self) -> Option<Vec<Value>> {
        self.bridge.as_mut().unwrap().assert_running();
        let admin = admin_url(&log(self.starts))?;
        let report = self.simulator.fetch(&format!("{admin}/api/streams?limit=100000")).ok()?;
        let streams = report["streams"].as_array()?;
        (streams.len() == self.streams.len()).then(|| streams.clone())
    }

    fn kill_in_mid_crawl(&mut self) {
        // A few moments later, so that it isn't always at a crawl's beginning.
        let later = Duration::from_millis(self.rng.random_range(0..200));
        let crawls = wait_for("a crawl", Duration::from_secs(120), || {
            let crawls = self.status()?.iter().filter(|stream| stream["crawl"].is_object()).count();
            (crawls > 0).then_some(crawls)
        });
        std::thread::sleep(later);
        self.bridge.take().unwrap().kill();
        println!("killed while {crawls} crawls were under way");
        self.start();
    }

    /// Until each stream's last complete crawl began later than now, and no gap is open.
    fn wait_for_crawls(&mut self) {
        let since: DateTime<Utc> = self.simulator.get("/_sim/clock")["now"].as_str().unwrap().parse().unwrap();
        let is_done = |stream: &Value| {
            let begun = stream["last_crawl_at"].as_str().map(|text| text.parse::<DateTime<Utc>>().unwrap());
            begun.is_some_and(|begun| begun > since) && stream["open_gaps"] == 0
        };
        wait_for("a crawl of each stream", Duration::from_secs(600), || {
            let streams = self.status()?;
            streams.iter().all(is_done).then_some(())
        });
    }

    /// Until all that will come has come: events are delayed.
    fn wait_for_events(&mut self) {
        let is_there = || (self.verify()["missing"] == 0).then_some(());
        wait_for("all events on the bus", Duration::from_secs(120), is_there);
    }

    /// What `verify` says.
    fn verify(&self) -> Value {
        let config = self.path("config.yaml");
        let mut command = Command::new(env!("CARGO_BIN_EXE_asana-event-bridge"));
        command.args(["verify", "--config"]).arg(config).args(["--ledger", &self.simulator.url, "--output", "json"]);
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        serde_json::from_str(text.lines().last().unwrap_or_default())
            .unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr)))
    }

    /// The resources of each stream that changed without an event, as the bridge says: each as often as it says so.
    fn missed(&self) -> BTreeMap<String, Vec<String>> {
        let mut missed = BTreeMap::<_, Vec<_>>::new();
        for line in (1..=self.starts).flat_map(told) {
            if line["message"] == "changes without an event found, snapshots published" {
                let gid = line["stream"].as_str().unwrap().strip_prefix("main/").unwrap().to_owned();
                let resources: Vec<_> = line["resources"].as_str().unwrap().split(' ').map(ToOwned::to_owned).collect();
                assert_eq!(resources.len() as u64, line["count"], "they are few enough to be named: {line}");
                missed.entry(gid).or_default().extend(resources);
            }
        }
        missed
    }

    fn judge(&self) {
        let report = self.verify();
        for key in ["missing", "duplicates", "reordered", "unexpected", "misplaced", "unnumbered", "source_gaps_open"] {
            assert_eq!(report[key], 0, "{key}: {report}");
        }
        let records = self.records();
        let gaps = judge_gaps(&records);
        let ledger = |gid: &String| self.simulator.get(&format!("/_sim/ledger?resource={gid}"));
        judge_times(self.streams.iter().map(|gid| (format!("main/{gid}"), ledger(gid))), &records);
        self.judge_deletions(&records);
        let (mut deaths, mut dropped) = (0, 0);
        let missed = self.missed();
        for gid in &self.streams {
            let ledger = self.simulator.get(&format!("/_sim/ledger?resource={gid}"));
            let lost = ledger["lost"].as_array().unwrap().len();
            let announced = gaps.get(&format!("main/{gid}")).map_or(0, BTreeSet::len);
            // One that the bridge didn't live to announce came twice.
            assert!(announced <= lost && (announced > 0) == (lost > 0), "{gid}: {announced} gaps, {lost} dead tokens");
            let events = ledger["dropped"].as_array().unwrap();
            let gids = |event: &Value| ["resource", "parent"].map(|key| event["event"][key]["gid"].clone());
            let concerned: BTreeSet<_> =
                events.iter().flat_map(gids).filter_map(|gid| Some(gid.as_str()?.to_owned())).collect();
            for resource in missed.get(gid).into_iter().flatten() {
                assert!(
                    concerned.contains(resource),
                    "{resource} of {gid} was called missed, and no event of it was lost:\n{}",
                    history(resource, &ledger, &records)
                );
            }
            (deaths, dropped) = (deaths + lost, dropped + events.len());
        }
        let resources = self.judge_state(&records);
        let missed = missed.values().map(Vec::len).sum::<usize>();
        println!(
            "{} streams, {} records, {dropped} events lost, {deaths} tokens dead, {missed} changes called missed, \
             {resources} resources as in Asana",
            self.streams.len(),
            records.iter().map(Vec::len).sum::<usize>(),
        );
        assert!(
            dropped > 0 && deaths > 0 && missed > 0,
            "a run in which nothing happens would pass, and prove nothing"
        );
    }

    /// Nothing was ever called deleted that never was: what lives now was deleted at some time, and restored.
    fn judge_deletions(&self, lanes: &[Vec<Record>]) {
        let mut deleted = BTreeSet::new();
        for record in lanes.iter().flatten() {
            if let Body::Snapshot(snapshot) = &record.body
                && snapshot.change == SnapshotChange::Deleted
            {
                let resource = snapshot.resource.as_ref().unwrap();
                deleted.insert((resource.resource_type.clone(), resource.gid.clone()));
            }
        }
        let gone = self.simulator.get("/_sim/gone");
        let gone: BTreeSet<_> = gone["gids"].as_array().unwrap().iter().map(|gid| gid.as_str().unwrap()).collect();
        for (resource_type, gid) in &deleted {
            let path = format!("/{}/{gid}", plural(resource_type));
            let lives = self.simulator.status(&path) == 200;
            assert!(!lives || gone.contains(gid.as_str()), "{resource_type} {gid} was called deleted, and never was");
        }
        println!("{} resources called deleted, and none of them lived", deleted.len());
    }

    /// By lane.
    fn records(&self) -> Vec<Vec<Record>> {
        let mut lanes = vec![Vec::new(); LANES as usize];
        let mut detector = Detector::by_lane(Start::Beginning);
        for seen in read_kafka(&self.kafka.address, TOPIC) {
            let record = decode::record(&seen.value).unwrap();
            let verdict = detector.observe(TOPIC, &record);
            assert_eq!(verdict.continuity, Continuity::InOrder, "{:?}", record.position);
            lanes[seen.lane.parse::<usize>().unwrap()].push(record);
        }
        lanes
    }

    /// What a plain consumer has, against what Asana has now. How many resources that is.
    fn judge_state(&self, records: &[Vec<Record>]) -> usize {
        let mut state = Materializer::default();
        for record in records.iter().flatten() {
            state.apply(record);
        }
        let mut resources = 0;
        for gid in &self.streams {
            let stream = format!("main/{gid}");
            let read = |row: &Row| {
                let state_json = row.state_json.as_deref().unwrap_or_else(|| panic!("no snapshot of {row:?}"));
                (row.gid.clone(), essence(&serde_json::from_str(state_json).unwrap()))
            };
            let (read, truth) = (state.resources(&stream).map(read).collect::<BTreeMap<_, _>>(), self.truth(gid));
            for gid in read.keys().chain(truth.keys()) {
                assert_eq!(read.get(gid), truth.get(gid), "{gid}: what a consumer has, and what Asana has");
            }
            resources += truth.len();
        }
        resources
    }

    /// What a project contains now.
    fn truth(&self, project: &str) -> BTreeMap<String, Value> {
        let mut found = BTreeMap::new();
        let mut tasks = Vec::new();
        let mut take = |objects: Vec<Value>| {
            for object in &objects {
                found.insert(object["gid"].as_str().unwrap().to_owned(), essence(object));
            }
            objects
        };
        take(vec![self.simulator.object(&format!("/projects/{project}"), FIELDS)]);
        take(self.simulator.list(&format!("/projects/{project}/sections"), FIELDS));
        tasks.extend(take(self.simulator.list(&format!("/projects/{project}/tasks"), FIELDS)));
        while let Some(task) = tasks.pop() {
            let gid = task["gid"].as_str().unwrap();
            tasks.extend(take(self.simulator.list(&format!("/tasks/{gid}/subtasks"), FIELDS)));
            take(self.simulator.list(&format!("/tasks/{gid}/stories"), FIELDS));
            take(self.simulator.list(&format!("/attachments?parent={gid}"), FIELDS));
        }
        found
    }
}

/// What Asana offered of a resource and when it could be seen first, and what is on the bus of it and of crawls.
fn history(resource: &str, ledger: &Value, lanes: &[Vec<Record>]) -> String {
    let (events, times) = (ledger["events"].as_array().unwrap(), ledger["visible_at"].as_array().unwrap());
    let offered = events.iter().zip(times).map(|(event, at)| format!("visible {at}: {event}"));
    let stream = format!("main/{}", ledger["resource"].as_str().unwrap());
    let of_stream = lanes.iter().flatten().filter(|record| record.position.stream == stream);
    let shown = |record: &Record| {
        let is_of_crawl = matches!(record.body, Body::SnapshotBegin(_) | Body::SnapshotEnd(_) | Body::SourceGap(_));
        let text = format!("{record:?}");
        (is_of_crawl || text.contains(resource)).then_some(text)
    };
    let lines = offered.filter(|line| line.contains(resource)).chain(of_stream.filter_map(shown));
    lines.collect::<Vec<_>>().join("\n")
}

fn plural(resource_type: &str) -> String {
    match resource_type {
        "story" => "stories".to_owned(),
        other => format!("{other}s"),
    }
}

/// The log of the bridge's nth start, which outlives the test.
fn log(start: usize) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("healing-{start}.log"))
}

/// The lines of that log.
fn told(start: usize) -> Vec<Value> {
    let text = std::fs::read_to_string(log(start)).unwrap();
    // The last line may not be whole.
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Each gap is in every lane, and healed in every lane. By stream: their ids.
fn judge_gaps(lanes: &[Vec<Record>]) -> BTreeMap<String, BTreeSet<String>> {
    let mut gaps: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let (mut opened, mut healed) = (BTreeMap::<_, BTreeSet<usize>>::new(), BTreeMap::<_, BTreeSet<usize>>::new());
    for (lane, records) in lanes.iter().enumerate() {
        for record in records {
            match &record.body {
                Body::SourceGap(gap) => {
                    gaps.entry(record.position.stream.clone()).or_default().insert(gap.gap_id.clone());
                    opened.entry(gap.gap_id.clone()).or_default().insert(lane);
                }
                // It may be healed in part first.
                Body::SourceGapHealed(gap) => drop(healed.entry(gap.gap_id.clone()).or_default().insert(lane)),
                _ => {}
            }
        }
    }
    assert!(opened.values().all(|seen| seen.len() == lanes.len()), "a gap that isn't in every lane: {opened:?}");
    assert_eq!(opened, healed, "a gap that isn't healed in every lane");
    gaps
}

const FIELDS: &str =
    "resource_type,name,text,completed,notes,due_on,modified_at,archived,assignee,parent,memberships.section";

/// Of an object what can be compared: no count or name of another, which change without its being touched.
fn essence(object: &Value) -> Value {
    let mut essence = json!({
        "assignee": object["assignee"]["gid"],
        "parent": object["parent"]["gid"],
        "sections": object["memberships"].as_array().map(|all| {
            all.iter().map(|it| it["section"]["gid"].clone()).collect::<Vec<_>>()
        }),
    });
    for key in ["resource_type", "name", "text", "completed", "notes", "due_on", "modified_at", "archived"] {
        essence[key] = object[key].clone();
    }
    essence
}
