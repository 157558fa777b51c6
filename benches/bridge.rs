//! The whole bridge against real Kafka, fed by the simulator, beside what librdkafka's transactional producer
//! does alone with the same bytes. `make bench`; `EVENTS` and `STREAMS` set how much.
//!
//! This process holds the bridge and nothing else while it is measured: the simulator and the broker are
//! processes of their own, and what they use isn't counted.
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
#![allow(clippy::cast_precision_loss, reason = "figures for people")]
#![allow(missing_docs, reason = "a program, not a library")]

#[path = "../tests/support/mod.rs"]
mod support;

use asana_event_bridge::commands::run;
use asana_event_bridge::config::{self, Checked, Environment, Source};
use asana_event_bridge::observe::{BridgeEvent, LogObserver, Observer};
use bridge_core::engine::CommitSummary;
use bridge_core::ids::StreamId;
use bridge_core::stream::Notice;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Headers as _, Message as _, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::program::Simulator;
use support::service::Service;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

const PARTITIONS: i32 = 12;

fn main() {
    let number =
        |name: &str, default| std::env::var_os(name).map_or(default, |it| it.to_string_lossy().parse().unwrap());
    let (events, streams) = (number("EVENTS", 300_000_usize), number("STREAMS", 200_usize));
    println!("machine: {}", machine());
    let service = Service::start("kafka", &[]);
    let folder = tempfile::tempdir().unwrap();
    let scenario = folder.path().join("scenario.yaml");
    let world = format!(
        "limits: {{ rate_per_minute: null, concurrent_reads: null }}\nworld: {{ projects: {streams}, tasks_per_project: 20 }}\n"
    );
    std::fs::write(&scenario, world).unwrap();
    let simulator = Simulator::start(&["--scenario", scenario.to_str().unwrap()], &folder.path().join("log"));
    let projects = simulator.projects();
    assert_eq!(projects.len(), streams);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let checked = configuration(&service.address, &simulator.url, &projects);

    // The streams' first tokens, so that what comes next is seen.
    let watcher = Arc::new(Watcher::default());
    measure(&runtime, &checked, &watcher, || watcher.established.lock().unwrap().len() >= streams);
    let mut offered = 0;
    while offered < events {
        simulator.post("/_sim/actions", &json!({ "count": 5_000 }));
        let resources = simulator.get("/_sim/ledger")["resources"].as_object().unwrap().clone();
        offered = projects.iter().filter_map(|gid| resources.get(gid)?.as_u64()).sum::<u64>() as usize;
    }

    let watcher = Arc::new(Watcher::default());
    let bridge = measure(&runtime, &checked, &watcher, || watcher.totals.lock().unwrap().events >= offered);
    let mut totals = watcher.totals.lock().unwrap();
    totals.latencies.sort_unstable();
    println!(
        "\nbridge: {offered} events of {streams} streams, {} messages in {} commits",
        totals.messages, totals.commits
    );
    print(&bridge, offered, totals.messages);
    let quantile = |q: usize| totals.latencies[(totals.latencies.len() * q / 100).min(totals.latencies.len() - 1)];
    println!("  page received → committed  p50 {:.1?}, p99 {:.1?}", quantile(50), quantile(99));
    let per_commit = (totals.messages / totals.commits).max(1);

    let messages = read(&service.address);
    let producer = produce(&service.address, &messages, per_commit);
    println!("\nlibrdkafka alone: the same {} messages, {per_commit} in a transaction", messages.len());
    print(&producer, offered, messages.len());
    println!(
        "\nthe bridge takes {:.2} times the CPU and {:.2} times the time of librdkafka alone",
        bridge.cpu.as_secs_f64() / producer.cpu.as_secs_f64(),
        bridge.wall.as_secs_f64() / producer.wall.as_secs_f64()
    );
}

struct Usage {
    wall: Duration,
    cpu: Duration,
    peak_kib: u64,
}

fn print(usage: &Usage, events: usize, messages: usize) {
    let millions = events as f64 / 1e6;
    println!(
        "  {:>10.0} events/s   ({:.0} messages/s)",
        events as f64 / usage.wall.as_secs_f64(),
        messages as f64 / usage.wall.as_secs_f64()
    );
    println!("  {:>10.2} CPU-seconds per million events", usage.cpu.as_secs_f64() / millions);
    println!("  {:>10.1} MiB peak memory of the process so far", usage.peak_kib as f64 / 1024.0);
}

/// Runs the bridge in this process until `done`, and says what that took.
fn measure(
    runtime: &tokio::runtime::Runtime,
    checked: &Checked,
    watcher: &Arc<Watcher>,
    done: impl Fn() -> bool,
) -> Usage {
    let stop = CancellationToken::new();
    let (start, cpu) = (Instant::now(), cpu());
    let observer: Arc<dyn Observer> = Arc::<Watcher>::clone(watcher);
    let mut usage = None;
    runtime.block_on(async {
        let (_, no_reloads) = tokio::sync::mpsc::channel(1);
        let running = run::run(checked.clone(), no_reloads, observer, stop.clone());
        let watching = async {
            // Time runs from the moment that there is something to do.
            let (mut start, mut before) = (start, cpu);
            while !watcher.owns.load(Ordering::Relaxed) {
                watcher.changed.notified().await;
                (start, before) = (Instant::now(), self::cpu());
            }
            while !done() {
                watcher.changed.notified().await;
            }
            usage = Some(Usage { wall: start.elapsed(), cpu: self::cpu().saturating_sub(before), peak_kib: peak() });
            stop.cancel();
        };
        let (ended, ()) = tokio::join!(running, watching);
        ended.expect("the bridge runs");
    });
    usage.unwrap()
}

/// Keeps what the bridge tells.
#[derive(Debug, Default)]
struct Watcher {
    totals: Mutex<Totals>,
    established: Mutex<Vec<StreamId>>,
    owns: AtomicBool,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Totals {
    events: usize,
    messages: usize,
    commits: usize,
    latencies: Vec<Duration>,
}

impl Observer for Watcher {
    fn notify(&self, event: &BridgeEvent<'_>) {
        match event {
            BridgeEvent::Committed(summary) => self.committed(summary),
            BridgeEvent::CommitFailed(_) => LogObserver::default().notify(event),
            BridgeEvent::Stream(place, Notice::Established) => {
                self.established.lock().unwrap().push(place.stream.clone());
                self.changed.notify_one();
            }
            BridgeEvent::Stream(place, other) => panic!("{}: {other:?}", place.stream),
            BridgeEvent::OwnershipChanged { streams, .. } => {
                self.owns.store(*streams > 0, Ordering::Relaxed);
                self.changed.notify_one();
            }
            _ => {}
        }
    }
}

impl Watcher {
    fn committed(&self, summary: &CommitSummary) {
        let mut totals = self.totals.lock().unwrap();
        totals.events += summary.events;
        totals.messages += summary.messages;
        totals.commits += usize::from(summary.events > 0);
        if summary.events > 0 {
            totals.latencies.extend_from_slice(&summary.latencies);
        }
        self.changed.notify_one();
    }
}

fn configuration(kafka: &str, simulator: &str, projects: &[String]) -> Checked {
    let streams: Vec<_> = projects.iter().map(|gid| json!({ "resource": gid })).collect();
    let document = json!({
        "accounts": { "main": {
            "token": { "env": "TOKEN" }, "baseUrl": format!("{simulator}/api/1.0"), "requestsPerMinute": 10_000_000,
        }},
        "streams": streams,
        "polling": { "minInterval": "200ms", "maxInterval": "1s" },
        "crawl": { "initial": false, "reconcileInterval": "0s" },
        "replica": "bench",
        "sink": { "kafka": { "bootstrapServers": kafka, "staticMembership": true, "topics": {
            "partitions": PARTITIONS, "replicationFactor": 1, "minInsyncReplicas": 1,
        }}},
    });
    let source = Source { document: Some(document), ..Source::default() };
    config::load(&source, &Environment::of([("TOKEN", support::program::TOKEN)])).expect("a configuration")
}

/// Everything that the bridge wrote to the output topic.
fn read(bootstrap: &str) -> Vec<OwnedMessage> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "bench")
        .set("isolation.level", "read_committed")
        .create()
        .expect("a consumer");
    let mut assignment = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        assignment.add_partition_offset("asana.events", partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let mut messages = Vec::new();
    while let Some(message) = consumer.poll(Duration::from_secs(3)) {
        messages.push(message.expect("a message").detach());
    }
    messages
}

/// Writes the messages in transactions of a size, by the producer's plain use.
fn produce(bootstrap: &str, messages: &[OwnedMessage], per_transaction: usize) -> Usage {
    const ANSWER: Duration = Duration::from_secs(30);
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let admin: AdminClient<_> = config.create().unwrap();
    let topic = NewTopic::new("bare", PARTITIONS, TopicReplication::Fixed(1));
    runtime.block_on(admin.create_topics([&topic], &AdminOptions::new())).unwrap()[0].as_ref().unwrap();
    let producer: ThreadedProducer<_> = config
        .set("transactional.id", "bare")
        .set("linger.ms", "1")
        .set("compression.type", "lz4")
        .create()
        .expect("a producer");
    producer.init_transactions(ANSWER).unwrap();
    let (start, before) = (Instant::now(), cpu());
    for batch in messages.chunks(per_transaction) {
        producer.begin_transaction().unwrap();
        for message in batch {
            let headers = message
                .headers()
                .map(|headers| headers.iter().fold(OwnedHeaders::new(), |headers, header| headers.insert(header)));
            let record =
                BaseRecord::to("bare").partition(message.partition()).payload(message.payload().unwrap_or_default());
            let record = record.key(message.key().unwrap_or_default()).headers(headers.unwrap_or_default());
            producer.send(record).map_err(|(error, _)| error).expect("room in the queue");
        }
        producer.flush(ANSWER).unwrap();
        producer.commit_transaction(ANSWER).unwrap();
    }
    Usage { wall: start.elapsed(), cpu: cpu().saturating_sub(before), peak_kib: peak() }
}

/// CPU time of this process: user and system.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let after_name = stat.rsplit_once(')').unwrap().1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    // Fields 14 and 15 of proc_pid_stat(5), counted from 1; the first two are before `fields`. In ticks of 10 ms.
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// Peak resident memory of this process, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn machine() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{cores} cores,{}", model.trim_start_matches([' ', '\t', ':']).to_owned())
}
