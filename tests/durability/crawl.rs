//! A project of very many tasks, at the budget of a free domain, where Asana gives 25 at a time. Another replica takes over in
//! the middle. The crawl ends, in bounded memory, and the other streams are polled on time.
//!
//! Asana's clock is fast, and the budget with it: the bridge has 150 requests a minute of that clock. By hand:
//! `make crawl TASKS=50000`.

use crate::support::foreign::read_kafka;
use crate::support::program::{Program, Simulator, admin_url};
use crate::support::service::Service;
use crate::support::wait_for;
use bridge_consumer::{Body, Continuity, Detector, Record, Start, decode};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const TOPIC: &str = "asana.events";
const LANES: u32 = 3;
/// How fast Asana's clock is.
const SPEED: u32 = 20;
const REQUESTS_PER_MINUTE: u32 = 150;
/// Streams of ten tasks each, beside the large one.
const OTHERS: u32 = 10;
/// The longest interval between two polls of a stream, a minute of Asana's clock.
const MAX_INTERVAL: Duration = Duration::from_secs(60 / SPEED as u64);
/// The most memory that a replica may have used. Half of it is the program alone, before any stream.
const MOST_MEMORY: u64 = 128 << 20;

/// 1,500 tasks, unless `make crawl` asks for more.
#[test]
fn a_crawl_of_a_very_large_project_ends_and_holds_up_no_poll() {
    let tasks = std::env::var_os("CRAWL_TASKS").map_or(1_500, |text| text.to_string_lossy().parse().expect("a number"));
    let site = Site::new(tasks);
    let mut first = site.start("first");
    site.wait_until_polled(&mut [&mut first]);
    let begun = Instant::now();
    site.count_polls();
    wait_for("half of the crawl", Duration::from_secs(3_600), || {
        first.assert_running();
        let crawl = site.crawl("first")?;
        (crawl["snapshots"].as_u64()? >= u64::from(tasks) / 2).then_some(())
    });
    Site::judge_memory(&first);
    site.judge_polls("before the takeover");
    println!("killed after {:?}", begun.elapsed());
    first.kill();

    let mut second = site.start("second");
    site.wait_until_polled(&mut [&mut second]);
    println!("taken over after {:?}", begun.elapsed());
    site.count_polls();
    wait_for("the crawl's end", Duration::from_secs(3_600), || {
        second.assert_running();
        let stream = site.stream("second")?;
        (stream["crawl"].is_null() && stream["last_crawl_at"].is_string()).then_some(())
    });
    println!("ended after {:?}", begun.elapsed());
    Site::judge_memory(&second);
    site.judge_polls("after the takeover");
    assert!(second.stop().success());
    site.judge_records(tasks);
}

struct Site {
    folder: tempfile::TempDir,
    kafka: Service,
    simulator: Simulator,
    /// The project of so many tasks.
    large: String,
    others: Vec<String>,
}

impl Site {
    fn new(tasks: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let per_minute = REQUESTS_PER_MINUTE * SPEED;
        let scenario = json!({
            "speed": SPEED,
            "world": { "teams": 1, "projects": 1, "tasks_per_project": tasks, "portfolios": 0, "goals": 0 },
            "limits": { "rate_per_minute": per_minute },
        });
        let path = folder.path().join("scenario.yaml");
        std::fs::write(&path, scenario.to_string()).unwrap();
        std::fs::write(folder.path().join("token"), crate::support::program::TOKEN).unwrap();
        let arguments = ["--scenario", path.to_str().unwrap()];
        let simulator = Simulator::start(&arguments, &folder.path().join("simulator.log"));
        let large = simulator.projects().remove(0);
        let others: Vec<_> = (0..OTHERS).map(|_| project(&simulator)).collect();
        // Some tasks have subtasks.
        for task in simulator.read(&format!("/projects/{large}/tasks?limit=20"))["data"].as_array().unwrap() {
            simulator.post("/_sim/tasks", &json!({ "parent": task["gid"] }));
        }
        simulator.post("/_sim/weight", &json!({ "most": 25, "answer": "timeout", "after": "50ms" }));
        Self { folder, kafka: Service::start("kafka", &[]), simulator, large, others }
    }

    fn log(replica: &str) -> PathBuf {
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("crawl-{replica}.log"))
    }

    fn start(&self, replica: &str) -> Program {
        let streams: Vec<_> = std::iter::once(&self.large).chain(&self.others).collect();
        let config = json!({
            "accounts": { "main": {
                "token": { "file": self.folder.path().join("token") },
                "baseUrl": format!("{}/api/1.0", self.simulator.url),
                "requestsPerMinute": REQUESTS_PER_MINUTE * SPEED,
            }},
            "streams": streams.iter().map(|gid| json!({ "resource": gid })).collect::<Vec<_>>(),
            "polling": { "minInterval": "1s", "maxInterval": format!("{}ms", MAX_INTERVAL.as_millis()) },
            "admin": { "listen": "127.0.0.1:0" },
            "replica": replica,
            "sink": { "kafka": {
                "bootstrapServers": self.kafka.address,
                "topics": { "partitions": LANES, "replicationFactor": 1, "minInsyncReplicas": 1 },
            }},
        });
        let path = self.folder.path().join(format!("{replica}.yaml"));
        std::fs::write(&path, config.to_string()).unwrap();
        std::fs::remove_file(Self::log(replica)).ok();
        Program::start(&["run", "--config", path.to_str().unwrap(), "--log-format", "json"], &Self::log(replica))
    }

    /// What a replica says of the large stream.
    fn stream(&self, replica: &str) -> Option<Value> {
        let admin = admin_url(&Self::log(replica))?;
        let report = self.simulator.fetch(&format!("{admin}/api/streams?limit=100")).ok()?;
        let streams = report["streams"].as_array()?.iter();
        streams.into_iter().find(|stream| stream["stream"] == format!("main/{}", self.large)).cloned()
    }

    fn crawl(&self, replica: &str) -> Option<Value> {
        Some(self.stream(replica)?["crawl"].clone()).filter(Value::is_object)
    }

    /// From now on polls are counted.
    fn count_polls(&self) {
        self.simulator.post("/_sim/polls", &json!({}));
    }

    /// Until each stream was polled by these since now.
    fn wait_until_polled(&self, bridges: &mut [&mut Program]) {
        self.count_polls();
        wait_for("a poll of each stream", Duration::from_secs(120), || {
            for bridge in bridges.iter_mut() {
                bridge.assert_running();
            }
            let polls = self.simulator.get("/_sim/polls");
            let polled = polls["streams"].as_object()?.values().filter(|it| it["polls"].as_u64() > Some(0)).count();
            (polled > self.others.len()).then_some(())
        });
    }

    /// No stream waited much longer than its interval for its next poll.
    fn judge_polls(&self, when: &str) {
        let polls = self.simulator.get("/_sim/polls");
        let polled = polls["streams"].as_object().unwrap().values();
        let of = |key: &'static str| polled.clone().map(move |stream| stream[key].as_u64().unwrap());
        let (longest, least) = (of("longest_ms").max().unwrap(), of("polls").min().unwrap());
        println!("{when}: at least {least} polls of each stream, {longest} ms between two at most");
        // Its own machine may be busy, but a crawl that goes first would hold up polls for minutes.
        assert!(u128::from(longest) < 4 * MAX_INTERVAL.as_millis(), "{when}: {polls}");
    }

    fn judge_memory(bridge: &Program) {
        let peak = bridge.peak_memory();
        println!("a peak of {} MiB", peak >> 20);
        assert!(peak < MOST_MEMORY, "{} MiB", peak >> 20);
    }

    /// One crawl of the large project, from its beginning to its end, with everything in it.
    fn judge_records(&self, tasks: u32) {
        let mut detector = Detector::by_lane(Start::Beginning);
        let (mut shown, mut times) = (BTreeSet::new(), [0; 2]);
        for seen in read_kafka(&self.kafka.address, TOPIC) {
            let record: Record = decode::record(&seen.value).unwrap();
            let verdict = detector.observe(TOPIC, &record);
            assert_eq!(verdict.continuity, Continuity::InOrder, "{:?}", record.position);
            if record.position.stream != format!("main/{}", self.large) {
                continue;
            }
            match record.body {
                Body::SnapshotBegin(_) => times[0] += 1,
                Body::SnapshotEnd(end) => {
                    assert_eq!((end.left_out_count, end.left_out), (0, Vec::new()));
                    times[1] += 1;
                }
                Body::Snapshot(snapshot) => {
                    let is_new = shown.insert(snapshot.resource.unwrap().gid);
                    assert!(is_new, "a resource twice in one crawl");
                }
                _ => {}
            }
        }
        assert_eq!(times, [LANES; 2], "one beginning and one end in each lane");
        self.simulator.post("/_sim/weight", &Value::Null);
        let of_project = self.simulator.list(&format!("/projects/{}/tasks", self.large), "gid");
        let missing = of_project.iter().filter(|task| !shown.contains(task["gid"].as_str().unwrap())).count();
        assert_eq!((of_project.len(), missing), (tasks as usize, 0), "tasks, and those without a snapshot");
        let stats = self.simulator.get("/_sim/stats");
        println!("{} snapshots; {}", shown.len(), stats["tokens"]);
    }
}

/// A new project of ten tasks.
fn project(simulator: &Simulator) -> String {
    let gid = simulator.ask("/_sim/projects", &json!({}))["gid"].as_str().unwrap().to_owned();
    for _ in 0..10 {
        simulator.post("/_sim/tasks", &json!({ "project": gid }));
    }
    gid
}
