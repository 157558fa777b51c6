//! `checkpoint` on real buses, as an operator has it: look, refuse beside a bridge, reset, migrate, be killed, go on.

use crate::support::foreign::{Seen, read_kafka, read_lines, read_nats};
use crate::support::program::{Program, Simulator};
use crate::support::scene::rename;
use crate::support::service::Service;
use crate::support::wait_for;
use bridge_contract::pb::{self, record::Body};
use prost::Message as _;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

const STREAMS: usize = 20;
const LANES: u32 = 3;

/// Which shards, and which checkpoint.
#[derive(Clone, Debug)]
struct Settings {
    shards: u64,
    checkpoint: Option<String>,
}

/// A bus, a simulator, and what was offered so far.
struct Site {
    bus: &'static str,
    address: String,
    _service: Option<Service>,
    simulator: Simulator,
    streams: Vec<String>,
    folder: tempfile::TempDir,
    offered: u64,
}

impl Site {
    fn new(bus: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let service = (bus != "file").then(|| Service::start(bus, &[]));
        let file = folder.path().join("records").display().to_string();
        let address = service.as_ref().map_or(file, |service| service.address.clone());
        std::fs::write(folder.path().join("token"), crate::support::program::TOKEN).unwrap();
        let scenario = folder.path().join("scenario.yaml");
        std::fs::write(&scenario, "limits: { rate_per_minute: null, concurrent_reads: null }\n").unwrap();
        let arguments = ["--scenario", scenario.to_str().unwrap()];
        let simulator = Simulator::start(&arguments, &folder.path().join("simulator.log"));
        let streams: Vec<String> = (1..=STREAMS).map(|n| (9_000_000 + n).to_string()).collect();
        for stream in &streams {
            simulator.post("/_sim/events", &json!({ "resource": stream, "events": [] }));
        }
        Self { bus, address, _service: service, simulator, streams, folder, offered: 0 }
    }

    /// The configuration file for these settings.
    fn config(&self, settings: &Settings) -> String {
        let mut sink = match self.bus {
            "kafka" => json!({ "kafka": {
                "bootstrapServers": self.address,
                "topics": { "partitions": LANES, "replicationFactor": 1, "minInsyncReplicas": 1 },
            }}),
            "file" => json!({ "file": { "path": self.address } }),
            _ => json!({ "nats": { "servers": [format!("nats://{}", self.address)], "lanes": LANES } }),
        };
        if let Some(setting) = &settings.checkpoint {
            // Such as `sink.kafka.checkpointTopic: name`.
            let (path, name) = setting.split_once(": ").unwrap();
            let [_, bus, key] = path.split('.').collect::<Vec<_>>()[..] else { panic!("{path}") };
            sink[bus][key] = json!(name);
        }
        let token = self.folder.path().join("token");
        let mut document = self.simulator.config(&token, &sink, &self.streams, settings.shards);
        document["replica"] = json!("bridge");
        let file = self.folder.path().join(format!("config-{}.yaml", settings.shards));
        // JSON is YAML.
        std::fs::write(&file, document.to_string()).unwrap();
        file.to_str().unwrap().to_owned()
    }

    fn start(&self, settings: &Settings) -> Program {
        Program::start(&["run", "--config", &self.config(settings)], &self.folder.path().join("bridge.log"))
    }

    /// What `checkpoint` says on its last line, and its exit code.
    fn checkpoint(&self, verb: &str, settings: &Settings, arguments: &[&str]) -> (Value, Option<i32>, String) {
        let config = self.config(settings);
        let output = program(&[&["checkpoint", verb, "--config", &config, "--output", "json"], arguments].concat());
        let (out, said) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        println!("{}: checkpoint {verb} {arguments:?}: {:?} {out}{said}", self.bus, output.status.code());
        let last = out.lines().last().map_or(Value::Null, |line| serde_json::from_str(line).unwrap());
        (last, output.status.code(), said)
    }

    /// Events on all streams.
    fn offer(&mut self, count: u64) {
        for _ in 0..count {
            let number = self.offered;
            self.offered += 1;
            let event = rename(1_000 + number % 40, number);
            let stream = &self.streams[number as usize % STREAMS];
            self.simulator.post("/_sim/events", &json!({ "resource": stream, "events": [event] }));
        }
    }

    /// Waits until all that was offered is on the bus, once and in order, by the ledger and by the detector, and until
    /// the gap of each reset is healed.
    fn judge(&self, bridge: &mut Program, settings: &Settings, source_gaps: u64) {
        let config = self.config(settings);
        let report = wait_for("all that was offered, on the bus, and gaps healed", Duration::from_secs(120), || {
            bridge.assert_running();
            let output = program(&["verify", "--config", &config, "--ledger", &self.simulator.url, "--output", "json"]);
            let out = String::from_utf8(output.stdout).unwrap();
            let report: Value = serde_json::from_str(out.lines().last()?).unwrap();
            let healed = report["source_gaps_healed"] == source_gaps && report["source_gaps_open"] == 0;
            (report["missing"] == 0 && healed).then_some(report)
        });
        for key in ["duplicates", "reordered", "unexpected", "misplaced", "unnumbered"] {
            assert_eq!(report[key], 0, "{report}");
        }
        assert_eq!(report["read"].as_u64().unwrap() + report["explained"].as_u64().unwrap(), self.offered, "{report}");
        // Only who was reset may lack anything.
        assert!(source_gaps > 0 || report["explained"] == 0, "{report}");
    }

    fn records(&self) -> Vec<pb::Record> {
        let seen: Vec<Seen> = match self.bus {
            "kafka" => read_kafka(&self.address, "asana.events"),
            "file" => read_lines(Path::new(&self.address)),
            _ => read_nats(&self.address, "ASANA", "asana.lane.>"),
        };
        seen.iter().map(|seen| pb::Record::decode(seen.value.as_slice()).unwrap()).collect()
    }

    fn stop(bridge: Program) {
        assert!(bridge.stop().success(), "the bridge ends with 0 when it is asked to");
    }
}

fn program(arguments: &[&str]) -> Output {
    // What should end by itself is not waited for for ever.
    let mut command = Command::new("timeout");
    command.args(["150", env!("CARGO_BIN_EXE_asana-event-bridge")]).args(arguments).output().unwrap()
}

/// 4 shards, reset, to 8, to 3 with crashes: nothing is lost, doubled or passed over in silence.
fn an_operators_day(bus: &'static str) {
    let mut site = Site::new(bus);
    let four = Settings { shards: 4, checkpoint: None };
    let (nothing, code, _) = site.checkpoint("list", &four, &[]);
    assert_eq!((code, &nothing["totals"]["establishing"]), (Some(0), &json!(STREAMS)), "{nothing}");
    let (migration, code, _) = site.checkpoint("migrate", &four, &["--shards", "8"]);
    assert_eq!((code, &migration["state"]), (Some(0), &json!("nothing_to_migrate")), "{migration}");

    let mut bridge = site.start(&four);
    wait_for("all streams to be established", Duration::from_secs(60), || {
        bridge.assert_running();
        let established = site.simulator.get("/_sim/ledger")["established"].as_object().unwrap().len();
        (established >= STREAMS).then_some(())
    });
    site.offer(200);
    site.judge(&mut bridge, &four, 0);
    beside_a_bridge(&site, &four);
    Site::stop(bridge);

    let reset = a_reset(&site, &four);
    let mut bridge = site.start(&four);
    site.offer(100);
    site.judge(&mut bridge, &four, 1);
    announced(&site, &reset);
    Site::stop(bridge);

    site.offer(100);
    let eight = a_migration(&site, &four, 8);
    let mut bridge = site.start(&eight);
    site.offer(100);
    site.judge(&mut bridge, &eight, 1);
    Site::stop(bridge);

    site.offer(100);
    for delay in [0, 20, 100] {
        killed_while_migrating(&site, &eight, "3", Duration::from_millis(delay));
    }
    let three = a_migration(&site, &eight, 3);
    let mut bridge = site.start(&three);
    site.offer(100);
    site.judge(&mut bridge, &three, 1);
    Site::stop(bridge);
    the_epochs_are_linked(&site);
    let (listing, _, _) = site.checkpoint("list", &three, &[]);
    assert_eq!(listing["totals"]["live"], STREAMS, "{listing}");
    assert_eq!(listing["shards"].as_array().unwrap().len(), 3, "{listing}");
    assert_eq!(listing["totals"]["open_gaps"], 0, "{listing}");
}

/// Looking is fine, changing is refused.
fn beside_a_bridge(site: &Site, settings: &Settings) {
    let (listing, code, _) = site.checkpoint("list", settings, &[]);
    assert_eq!(code, Some(0));
    assert_eq!(listing["totals"]["live"], STREAMS, "{listing}");
    let stream = format!("main/{}", site.streams[0]);
    let (detail, code, _) = site.checkpoint("show", settings, &[&stream]);
    assert_eq!((code, &detail["state"], &detail["configured"]), (Some(0), &json!("live"), &json!("yes")), "{detail}");
    assert_eq!(detail["shard_header"]["shards"], settings.shards, "{detail}");
    assert!(detail["last_sequence"].as_u64().unwrap() > 0, "{detail}");
    // Tokens of the simulator are 32 hexadecimal digits, `:` and a number.
    let token = detail["token"].as_str().unwrap();
    assert!(token.len() == 8 && !token.contains(':'), "{detail}");
    let (_, code, _) = site.checkpoint("show", settings, &["main/1"]);
    assert_eq!(code, Some(1));
    for (verb, arguments) in [("reset", ["--all", "--yes"].as_slice()), ("migrate", &["--shards", "8", "--yes"])] {
        let (_, code, said) = site.checkpoint(verb, settings, arguments);
        assert_eq!(code, Some(69), "{said}");
        assert!(said.contains("in use by") && said.contains("nothing was changed"), "{said}");
        assert!(site.bus == "file" || said.contains("bridge"), "who it is: {said}");
    }
}

/// Resets the first stream, with changes that its old token would have brought.
fn a_reset(site: &Site, settings: &Settings) -> String {
    let stream = format!("main/{}", site.streams[0]);
    let (_, code, _) = site.checkpoint("reset", settings, &[&stream, "main/1", "--yes"]);
    assert_eq!(code, Some(1), "one of them isn't there");
    let (plan, code, _) = site.checkpoint("reset", settings, &[&stream]);
    assert_eq!((code, &plan["done"]), (Some(1), &json!(false)), "{plan}");
    let state = || site.checkpoint("show", settings, &[&stream]).0["state"].clone();
    assert_eq!(state(), "live");
    let (reset, code, _) = site.checkpoint("reset", settings, &[&stream, "--yes"]);
    assert_eq!((code, &reset["done"], &reset["streams"][0]["stream"]), (Some(0), &json!(true), &json!(stream)));
    assert_eq!(state(), "reset");
    stream
}

/// A source gap of the stream is in every lane.
fn announced(site: &Site, stream: &str) {
    let lanes: Vec<u32> = site
        .records()
        .into_iter()
        .filter_map(|record| {
            let position = record.position.unwrap();
            let announces = matches!(record.body, Some(Body::SourceGap(_)));
            announces.then(|| {
                assert_eq!(position.stream, stream);
                position.lane
            })
        })
        .collect();
    let wanted = if site.bus == "file" { 1 } else { LANES };
    assert_eq!(lanes.iter().copied().collect::<BTreeSet<_>>(), (0..wanted).collect(), "{lanes:?}");
    assert_eq!(lanes.len(), wanted as usize, "once in each lane");
}

/// Kills a migration some time after it has begun to write.
fn killed_while_migrating(site: &Site, old: &Settings, shards: &str, delay: Duration) {
    let (log, results) = (site.folder.path().join("migrate.log"), site.folder.path().join("migrate.out"));
    let arguments = ["checkpoint", "migrate", "--config", &site.config(old), "--shards", shards, "--yes"];
    let mut migrating = Program::start_into(&arguments, &log, &results);
    let has = |file: &Path, words: &str| std::fs::read_to_string(file).unwrap_or_default().contains(words);
    wait_for("the migration to write", Duration::from_secs(120), || {
        // An earlier one may have come to its end.
        let is_there = has(&log, "migrating") || has(&results, "done before");
        if let Some(status) = migrating.ended().filter(|_| !is_there) {
            // One that was killed may hold its shards for longer than a busy machine waits: the operator runs it again.
            assert_eq!(status.code(), Some(69), "{}", migrating.last_words());
            migrating = Program::start_into(&arguments, &log, &results);
        }
        is_there.then_some(())
    });
    std::thread::sleep(delay);
    migrating.kill();
    println!("{}: killed {delay:?} after it began; done: {}", site.bus, has(&results, "migrated"));
}

/// Migrates, and sees to it that the old settings are refused with the new ones.
fn a_migration(site: &Site, old: &Settings, shards: u64) -> Settings {
    let number = shards.to_string();
    let (plan, _, _) = site.checkpoint("migrate", old, &["--shards", &number]);
    assert!(plan["state"] == "planned" || plan["state"] == "done_before", "{plan}");
    let (done, code, _) = site.checkpoint("migrate", old, &["--shards", &number, "--yes"]);
    assert_eq!(code, Some(0), "{done}");
    assert!(done["state"] == "migrated" || done["state"] == "done_before", "{done}");
    let checkpoint = (site.bus != "file").then(|| done["to"]["checkpoint"].as_str().unwrap().to_owned());
    let new = Settings { shards, checkpoint };
    let (again, code, _) = site.checkpoint("migrate", old, &["--shards", &number, "--yes"]);
    assert_eq!((code, &again["state"]), (Some(0), &json!("done_before")), "{again}");

    let output = program(&["run", "--config", &site.config(old)]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(64), "the old settings are refused: {said}");
    match &new.checkpoint {
        Some(setting) => assert!(said.contains(&format!("shards: {shards}")) && said.contains(setting), "{said}"),
        None => assert!(said.contains("checkpoint migrate"), "{said}"),
    }
    if new.checkpoint.is_some() {
        let (_, code, said) = site.checkpoint("migrate", old, &["--shards", "5", "--to", "elsewhere", "--yes"]);
        assert_eq!(code, Some(1), "it went another way: {said}");
    }
    new
}

/// The first record of a shard that goes on names the last one before.
fn the_epochs_are_linked(site: &Site) {
    let starts = site.records().into_iter().filter_map(|record| match record.body {
        Some(Body::EpochStart(start)) => Some((record.position.unwrap().epoch, start)),
        _ => None,
    });
    let (linked, first): (Vec<_>, Vec<_>) = starts.partition(|(_, start)| start.previous_epoch > 0);
    assert!(!first.is_empty());
    assert!(linked.iter().all(|(epoch, start)| *epoch > start.previous_epoch && start.previous_lane_sequence > 0));
    let epochs: BTreeSet<_> = linked.iter().map(|(epoch, _)| epoch).collect();
    assert_eq!(epochs.len(), 2, "one for each migration: {linked:?}");
}

#[test]
fn kafka_is_looked_at_reset_and_migrated() {
    an_operators_day("kafka");
}

#[test]
fn nats_is_looked_at_reset_and_migrated() {
    an_operators_day("nats");
}

#[test]
fn nats_without_atomic_batches_is_looked_at_reset_and_migrated() {
    an_operators_day("nats-old");
}

#[test]
fn a_file_is_looked_at_reset_and_migrated() {
    an_operators_day("file");
}
