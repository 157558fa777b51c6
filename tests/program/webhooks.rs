//! A webhook delivery requests a poll of its stream: with the whole program, and a polling interval of a minute.
//!
//! `make webhooks` prints how long a change takes to its record.

use crate::support::foreign::{Seen, read_lines, read_nats};
use crate::support::judge::compare;
use crate::support::program::{Program, Simulator, idle_connections};
use crate::support::scene::rename;
use crate::support::service::Service;
use crate::support::wait_for;
use bridge_contract::pb::{self, record::Body};
use prost::Message as _;
use ring::hmac;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const STREAMS: usize = 12;
/// For what is to happen long before the next poll, which is a minute away.
const SOON: Duration = Duration::from_secs(20);
/// For what may take a round of looking at all webhooks, and a restart.
const TIMEOUT: Duration = Duration::from_secs(60);

struct Bench {
    folder: tempfile::TempDir,
    simulator: Simulator,
    streams: Vec<String>,
    /// The port to which Asana delivers.
    port: u16,
    events: u64,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let scenario = folder.path().join("scenario.yaml");
        std::fs::write(
            &scenario,
            "tokens: [{ token: hush-webhooks }, { token: hush-plain }]\nlimits: { rate_per_minute: null }\n",
        )
        .unwrap();
        std::fs::write(folder.path().join("key"), "hush-that nobody can guess, of 32\n").unwrap();
        let arguments = ["--scenario", scenario.to_str().unwrap()];
        let simulator = Simulator::with_own_tokens(&arguments, &folder.path().join("simulator.log"));
        let streams: Vec<String> = (1..=STREAMS).map(|n| (9_000_000 + n).to_string()).collect();
        for stream in &streams {
            simulator.post("/_sim/events", &json!({ "resource": stream, "events": [] }));
        }
        Self { folder, simulator, streams, port: free_port(), events: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the configuration of a replica. JSON is YAML.
    fn configure(&self, replica: &str, sink: &Value, webhooks: &Value, polling: &Value, streams: &[String]) {
        let streams: Vec<_> = streams.iter().map(|stream| json!({ "resource": stream })).collect();
        let token = self.path(&format!("{replica}.token"));
        std::fs::write(&token, if replica == "plain" { "hush-plain" } else { "hush-webhooks" }).unwrap();
        let config = json!({
            "accounts": { "main": {
                "token": { "file": token },
                "baseUrl": format!("{}/api/1.0", self.simulator.url),
                "requestsPerMinute": 60_000,
            }},
            "replica": replica, "streams": streams, "polling": polling, "webhooks": webhooks,
            "crawl": { "initial": false },
            "sink": sink,
        });
        std::fs::write(self.path("next.yaml"), config.to_string()).unwrap();
        std::fs::rename(self.path("next.yaml"), self.path(&format!("{replica}.yaml"))).unwrap();
    }

    /// The webhook settings of a replica that listens on a port. Asana always delivers to the same one.
    fn webhooks(&self, listen: u16, peers: &[u16]) -> Value {
        let peers: Vec<_> = peers.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        json!({ "listen": format!("127.0.0.1:{listen}"), "publicUrl": format!("http://127.0.0.1:{}/webhooks", self.port),
                "key": { "file": self.path("key") }, "peers": peers, "interval": "1s" })
    }

    fn file_sink(&self, name: &str) -> Value {
        json!({ "file": { "path": self.path(name) } })
    }

    fn start(&self, replica: &str) -> Program {
        let config = self.path(&format!("{replica}.yaml"));
        Program::start(&["run", "--config", config.to_str().unwrap()], &self.path(&format!("{replica}.log")))
    }

    fn log(&self, replica: &str) -> String {
        std::fs::read_to_string(self.path(&format!("{replica}.log"))).unwrap_or_default()
    }

    fn wait<T>(&self, what: &str, timeout: Duration, bridges: &mut [Program], ready: impl Fn(&Self) -> Option<T>) -> T {
        wait_for(what, timeout, || {
            bridges.iter_mut().for_each(Program::assert_running);
            ready(self)
        })
    }

    /// How many webhooks were ever made, and those that there are.
    fn made(&self) -> (u64, Vec<Value>) {
        let mut shown = self.simulator.get("/_sim/webhooks");
        (shown["made"].as_u64().unwrap(), shown["webhooks"].as_array_mut().unwrap().drain(..).collect())
    }

    /// Waits until each stream has one webhook, made in this turn, and was established. Turns begin at 1.
    fn wait_for_webhooks(&self, streams: usize, turn: u64, bridges: &mut [Program]) {
        self.wait(&format!("{streams} webhooks of turn {turn}"), TIMEOUT, bridges, |bench| {
            let (made, there) = bench.made();
            let established = bench.simulator.get("/_sim/ledger")["established"].as_object().unwrap().len();
            let all = there.iter().filter(|it| it["active"] == true).count() == streams;
            (all && made == turn * STREAMS as u64 && established >= streams).then_some(())
        });
    }

    fn webhook(&self, stream: &str) -> Value {
        self.made()
            .1
            .into_iter()
            .find(|it| it["resource"] == *stream)
            .unwrap_or_else(|| panic!("{stream} has no webhook"))
    }

    fn offer(&mut self, stream: &str) -> String {
        self.events += 1;
        let event = rename(1_000 + self.events % 7, self.events);
        self.simulator.post("/_sim/events", &json!({ "resource": stream, "events": [event] }));
        format!("event {}", self.events)
    }

    /// Offers events one by one, and waits for the record of each. How long each took.
    fn deliver(&mut self, count: usize, bridges: &mut [Program], read: impl Fn() -> Vec<Seen>) -> Vec<Duration> {
        let mut took = Vec::new();
        for number in 0..count {
            let stream = self.streams[number % self.streams.len()].clone();
            let start = Instant::now();
            let name = self.offer(&stream);
            self.wait(&format!("{name} on the bus"), SOON, bridges, |_| names(&read()).contains(&name).then_some(()));
            took.push(start.elapsed());
        }
        took.sort();
        took
    }

    /// The number of polls of the stream by bridges with webhooks.
    fn polls(&self, stream: &str) -> u64 {
        self.simulator.get("/_sim/polls")["streams"][stream]["tokens"]["hush-webhooks"]["polls"].as_u64().unwrap()
    }
}

/// Sends something to an address, and says the status of the answer.
fn send(target: &str, signature: &str, body: &str) -> u16 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let request = reqwest::Client::new().post(target).header("x-hook-signature", signature).body(body.to_owned());
    runtime.block_on(request.send()).unwrap().status().as_u16()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The names of the tasks that changed.
fn names(seen: &[Seen]) -> Vec<String> {
    let name = |seen: &Seen| match pb::Record::decode(seen.value.as_slice()).unwrap().body.unwrap() {
        Body::Event(event) => event.resource.unwrap().name,
        _ => None,
    };
    seen.iter().filter_map(name).collect()
}

fn sign(secret: &str, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    hmac::sign(&key, body.as_bytes()).as_ref().iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn every_minute() -> Value {
    json!({ "minInterval": "60s", "maxInterval": "60s" })
}

fn print_median(what: &str, took: &[Duration]) {
    let (median, worst) = (took[took.len() / 2], took.last().unwrap());
    println!(
        "{what}: {} changes, polled every 60 s: median {median:?}, worst {worst:?} from change to record",
        took.len()
    );
}

#[test]
fn idle_connections_delay_no_delivery() {
    let mut bench = Bench::new();
    let all = bench.streams.clone();
    bench.configure("one", &bench.file_sink("records"), &bench.webhooks(bench.port, &[]), &every_minute(), &all);
    let mut bridges = [bench.start("one")];
    bench.wait_for_webhooks(STREAMS, 1, &mut bridges);
    let before = bridges[0].open_files();
    let _idle = idle_connections(&format!("127.0.0.1:{}", bench.port), 300);
    let records = bench.path("records");
    bench.deliver(2, &mut bridges, || read_lines(&records));
    let more = bridges[0].open_files().saturating_sub(before);
    assert!(more < 80, "{more} more file descriptors");
}

#[test]
fn a_change_is_delivered_and_on_the_bus_long_before_it_would_be_polled() {
    let mut bench = Bench::new();
    let all = bench.streams.clone();
    bench.configure("one", &bench.file_sink("records"), &bench.webhooks(bench.port, &[]), &every_minute(), &all);
    // Another polls quickly and has no webhooks: both are to publish the same.
    let quickly = json!({ "minInterval": "200ms", "maxInterval": "1s" });
    bench.configure("plain", &bench.file_sink("plain"), &json!({}), &quickly, &all);
    let mut bridges = [bench.start("one"), bench.start("plain")];
    bench.wait_for_webhooks(STREAMS, 1, &mut bridges);
    let (records, plain) = (bench.path("records"), bench.path("plain"));
    let took = bench.deliver(2 * STREAMS, &mut bridges, || read_lines(&records));
    print_median("file", &took);

    // What isn't signed with the secret isn't heard. The stream was polled now, so the next poll is a minute away.
    let [forged, genuine] = [0, 1].map(|n| bench.webhook(&all[n]));
    let target = forged["target"].as_str().unwrap().to_owned();
    let secret = forged["secret"].as_str().unwrap();
    bench.deliver(1, &mut bridges, || read_lines(&records));
    let polls = bench.polls(&all[0]);
    let (body, heartbeat, large) = (r#"{"events":[{}]}"#, r#"{"events":[]}"#, "x".repeat(3 << 20));
    for signature in ["", "00", &sign("another secret", body), &sign(secret, "another body")] {
        assert_eq!(send(&target, signature, body), 401, "{signature}");
    }
    assert_eq!(send(&target, &sign(genuine["secret"].as_str().unwrap(), body), body), 401, "of another stream");
    assert_eq!(send(&format!("{target}A"), &sign(secret, body), body), 404);
    assert_eq!(send(&target, &sign(secret, &large), &large), 400);
    assert_eq!(send(&target, &sign(secret, heartbeat), heartbeat), 200);
    let name = bench.offer(&all[1]);
    bench.wait("another stream's event", SOON, &mut bridges, |_| {
        names(&read_lines(&records)).contains(&name).then_some(())
    });
    assert_eq!(bench.polls(&all[0]), polls, "none of these had it polled");
    // A genuine one has, though nothing happened.
    assert_eq!(send(&target, &sign(secret, body), body), 200);
    bench.wait("a poll", SOON, &mut bridges, |bench| (bench.polls(&all[0]) > polls).then_some(()));

    // One that is lost is made again, and only that one.
    bench.simulator.delete(&format!("/_sim/webhooks/{}", forged["gid"].as_str().unwrap()));
    bench.wait("the lost webhook", TIMEOUT, &mut bridges, |bench| {
        let (made, there) = bench.made();
        (made == STREAMS as u64 + 1 && there.len() == STREAMS).then_some(())
    });
    assert_ne!(bench.webhook(&all[0])["gid"], forged["gid"]);
    assert_eq!(bench.webhook(&all[1])["gid"], genuine["gid"]);
    bench.deliver(2, &mut bridges, || read_lines(&records));

    let offered = bench.simulator.offered(&all);
    let wanted: usize = offered.values().map(Vec::len).sum();
    for path in [&records, &plain] {
        bench.wait("all events", SOON, &mut bridges, |_| (names(&read_lines(path)).len() == wanted).then_some(()));
        compare(&offered, &read_lines(path));
    }
    let log = bench.log("one");
    let target = target.rsplit('/').next().unwrap();
    assert!(!log.contains(secret) && !log.contains(target), "no secret is in the log");
    for bridge in bridges {
        assert!(bridge.stop().success());
    }
}

#[test]
fn webhooks_do_not_pile_up_and_go_with_their_streams() {
    let mut bench = Bench::new();
    let all = bench.streams.clone();
    let (sink, webhooks) = (bench.file_sink("records"), bench.webhooks(bench.port, &[]));
    bench.configure("one", &sink, &webhooks, &every_minute(), &all);
    let records = bench.path("records");
    let mut bridges = [bench.start("one")];
    bench.wait_for_webhooks(STREAMS, 1, &mut bridges);
    // Whose secret a crash has forgotten is replaced.
    for turn in 2..=3 {
        bridges[0].kill();
        bridges = [bench.start("one")];
        bench.wait_for_webhooks(STREAMS, turn, &mut bridges);
    }
    bench.deliver(3, &mut bridges, || read_lines(&records));
    let gone = all[STREAMS - 1].clone();
    bench.configure("one", &sink, &webhooks, &every_minute(), &all[..STREAMS - 1]);
    bridges[0].signal("HUP");
    bench.wait("its webhook to go", TIMEOUT, &mut bridges, |bench| {
        let there = bench.made().1;
        (there.len() == STREAMS - 1 && there.iter().all(|it| it["resource"] != *gone)).then_some(())
    });
    bench.streams.pop();
    bench.deliver(3, &mut bridges, || read_lines(&records));
    compare(&bench.simulator.offered(&bench.streams), &read_lines(&records));
}

#[test]
fn a_replica_forwards_what_is_for_another() {
    let service = Service::start("nats", &[]);
    let mut bench = Bench::new();
    let all = bench.streams.clone();
    let sink = json!({ "nats": { "servers": [format!("nats://{}", service.address)], "lanes": 3 } });
    let (ports, names) = ([bench.port, free_port()], ["one", "two"]);
    for (name, port) in names.iter().zip(ports) {
        bench.configure(name, &sink, &bench.webhooks(port, &ports), &every_minute(), &all);
    }
    let mut bridges = names.map(|name| bench.start(name));
    // Shards go from one to the other while they start, and their webhooks are replaced: until each has its own.
    let address = service.address.clone();
    let read = || read_nats(&address, "ASANA", "asana.lane.>");
    bench.wait("a webhook of each stream", TIMEOUT, &mut bridges, |bench| {
        (bench.made().1.iter().filter(|it| it["active"] == true).count() == STREAMS).then_some(())
    });
    wait_for_quiet(&bench);
    let took = bench.deliver(2 * STREAMS, &mut bridges, read);
    print_median("nats, two replicas", &took);
    compare(&bench.simulator.offered(&all), &read());
    for name in names {
        let owns = bench.log(name).lines().rfind(|line| line.contains(": shard ownership changed ")).map(str::to_owned);
        assert!(!owns.as_deref().unwrap_or("streams=0").contains("streams=0"), "both have streams: {name}: {owns:?}");
    }
    for bridge in bridges {
        assert!(bridge.stop().success());
    }
}

/// Until no webhook was made for some seconds.
fn wait_for_quiet(bench: &Bench) {
    let (mut last, mut since) = (bench.made().0, Instant::now());
    wait_for("no more new webhooks", TIMEOUT, || {
        let made = bench.made().0;
        if made != last {
            (last, since) = (made, Instant::now());
        }
        (since.elapsed() > Duration::from_secs(6)).then_some(())
    });
}
