//! How long the shards of a replica go without an owner after it was told to end, was killed, or froze.
//!
//! Two replicas, each with a token of its own, so that the simulator tells who polled a stream. A round ends when the
//! peer has polled a stream of each shard that was the victim's.

use super::world::{Bus, Replica};
use crate::support::program::Simulator;
use crate::support::service::Service;
use crate::support::wait_for;
use bridge_core::ids::StreamId;
use bridge_core::record::placement::shard_of;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::Path;
use std::time::{Duration, Instant};

const SHARDS: NonZeroU32 = NonZeroU32::new(32).unwrap();
const STREAMS: u32 = 320;
/// Longer than any takeover.
const TIMEOUT: Duration = Duration::from_secs(150);
/// How long a paused replica is paused.
const PAUSE: Duration = Duration::from_secs(60);

/// Two replicas on a bus of one node.
pub(crate) struct Pair {
    replicas: [Replica; 2],
    simulator: Simulator,
    /// The streams of each shard.
    shards: BTreeMap<u32, Vec<String>>,
    _service: Service,
}

/// The streams' counts, as the simulator shows them.
struct Polls(Value);

impl Polls {
    fn millis(&self, stream: &str, token: &str, what: &str) -> Option<u64> {
        self.0["streams"][stream]["tokens"][token][what].as_u64()
    }
}

impl Pair {
    pub(crate) fn start(bus: Bus, folder: &Path) -> Self {
        std::fs::remove_dir_all(folder).ok();
        std::fs::create_dir_all(folder).unwrap();
        let service = Service::start(bus.name(), &[]);
        let replicas = ["one", "two"].map(|name| Replica::new(name, folder));
        let tokens = replicas.each_ref().map(|replica| json!({ "token": replica.name }));
        let scenario = folder.join("scenario.yaml");
        let unlimited = json!({ "rate_per_minute": null, "concurrent_reads": null });
        std::fs::write(&scenario, json!({ "tokens": tokens, "limits": unlimited }).to_string()).unwrap();
        let simulator =
            Simulator::with_own_tokens(&["--scenario", scenario.to_str().unwrap()], &folder.join("simulator.log"));
        let streams: Vec<_> = (0..STREAMS).map(|n| (9_000_000 + n).to_string()).collect();
        let mut shards: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for stream in &streams {
            simulator.post("/_sim/events", &json!({ "resource": stream, "events": [] }));
            let shard = shard_of(&StreamId::new("main", stream.as_str()), SHARDS);
            shards.entry(shard.0).or_default().push(stream.clone());
        }
        assert_eq!(shards.len(), SHARDS.get() as usize, "each shard has a stream");
        for replica in &replicas {
            let token = folder.join(format!("{}.token", replica.name));
            std::fs::write(&token, &replica.name).unwrap();
            let config = json!({
                "accounts": { "main": {
                    "token": { "file": token },
                    "baseUrl": format!("{}/api/1.0", simulator.url),
                    "requestsPerMinute": 600_000,
                } },
                "polling": { "minInterval": "1s", "maxInterval": "2s" },
                "replica": replica.name,
                "shards": SHARDS,
                "sink": bus.sink(&service.address, 1),
                "streams": streams.iter().map(|stream| json!({ "resource": stream })).collect::<Vec<_>>(),
            });
            std::fs::write(&replica.config, config.to_string()).unwrap();
        }
        let mut pair = Self { replicas, simulator, shards, _service: service };
        pair.replicas.iter_mut().for_each(Replica::start);
        pair
    }

    fn polls(&self) -> Polls {
        Polls(self.simulator.get("/_sim/polls"))
    }

    /// Begins the counts anew; the simulator's time.
    fn reset(&self) -> u64 {
        self.simulator.ask("/_sim/polls", &json!({}))["now_ms"].as_u64().unwrap()
    }

    /// Who has each shard, by its last poll, once all streams were polled again.
    fn owners(&self) -> BTreeMap<u32, usize> {
        self.reset();
        let polls = wait_for("each stream's next poll", TIMEOUT, || {
            let polls = self.polls();
            let streams = polls.0["streams"].as_object().unwrap();
            let polled = streams.values().filter(|stream| stream["polls"].as_u64() > Some(0)).count();
            (polled >= STREAMS as usize).then_some(polls)
        });
        let last = |streams: &[String], n: usize| {
            streams.iter().filter_map(|stream| polls.millis(stream, &self.replicas[n].name, "last_ms")).max()
        };
        let owner = |streams: &[String]| usize::from(last(streams, 1) > last(streams, 0));
        self.shards.iter().map(|(shard, streams)| (*shard, owner(streams))).collect()
    }

    /// Waits until both replicas have their part, and nothing moves any more.
    fn balance(&self) -> BTreeMap<u32, usize> {
        let since = Instant::now();
        let mut before = self.owners();
        loop {
            let owners = self.owners();
            let of_first = owners.values().filter(|owner| **owner == 0).count();
            let shared = (owners.len() / 4..=owners.len() * 3 / 4).contains(&of_first);
            if owners == before && shared {
                return owners;
            }
            assert!(
                since.elapsed() < TIMEOUT,
                "the shards aren't shared: {of_first} of {} are the first's",
                owners.len()
            );
            before = owners;
        }
    }

    /// Signals a replica; returns how long it took until the peer had polled streams of all of its shards.
    fn takeover(&self, victim: usize, signal: &str) -> Duration {
        let owners = self.balance();
        let moved: Vec<_> = owners.iter().filter(|(_, owner)| **owner == victim).map(|(shard, _)| *shard).collect();
        let peer = &self.replicas[1 - victim].name;
        let started = self.reset();
        self.replicas[victim].signal(signal);
        let last = wait_for(&format!("the takeover after SIG{signal}"), TIMEOUT, || {
            let polls = self.polls();
            let first = |shard: &u32| {
                self.shards[shard].iter().filter_map(|stream| polls.millis(stream, peer, "first_ms")).min()
            };
            let firsts: Option<Vec<_>> = moved.iter().map(first).collect();
            firsts.and_then(|firsts| firsts.into_iter().max())
        });
        Duration::from_millis(last - started)
    }

    /// SIGTERM: it ends in order, and comes back.
    pub(crate) fn terminate(&mut self, victim: usize) -> Duration {
        let took = self.takeover(victim, "TERM");
        self.replicas[victim].end().unwrap_or_else(|problem| panic!("{problem}"));
        self.replicas[victim].start();
        took
    }

    /// SIGKILL; it comes back under its name after the takeover.
    pub(crate) fn kill(&mut self, victim: usize) -> Duration {
        let took = self.takeover(victim, "KILL");
        self.replicas[victim].kill();
        self.replicas[victim].start();
        took
    }

    /// SIGSTOP for a minute, then SIGCONT: how long the takeover took, how long it took until both had their part
    /// again, and what the woken one said that would wake a person.
    pub(crate) fn pause(&mut self, victim: usize) -> (Duration, Duration, Vec<String>) {
        let (paused, said) = (Instant::now(), self.alarms(victim).len());
        let took = self.takeover(victim, "STOP");
        std::thread::sleep(PAUSE.saturating_sub(paused.elapsed()));
        self.replicas[victim].signal("CONT");
        let awake = Instant::now();
        self.balance();
        (took, awake.elapsed(), self.alarms(victim).split_off(said))
    }

    fn alarms(&self, replica: usize) -> Vec<String> {
        let log = std::fs::read_to_string(&self.replicas[replica].log).unwrap();
        log.lines().filter(|line| line.contains(" ERROR ")).map(ToOwned::to_owned).collect()
    }
}

/// Prints the table, and returns the longest takeovers after SIGTERM, and after SIGKILL and SIGSTOP.
pub(crate) fn measure(bus: Bus, rounds: usize, pause: bool, folder: &Path) -> (Duration, Duration) {
    let mut pair = Pair::start(bus, folder);
    let terminated = series("SIGTERM", rounds, |round| pair.terminate(round % 2));
    let killed = series("SIGKILL", rounds, |round| pair.kill(round % 2));
    let mut rows = vec![("SIGTERM", terminated, "< 2 s"), ("SIGKILL", killed, "<= 12 s")];
    if pause {
        let (took, rejoined, alarms) = pair.pause(0);
        println!("SIGSTOP for {PAUSE:?}, SIGCONT: both have their part again after {:.1} s", rejoined.as_secs_f64());
        println!("alarms in the log: {}", alarms.len());
        for alarm in &alarms {
            println!("  {alarm}");
        }
        rows.push(("SIGSTOP", vec![took], "<= 12 s"));
    }
    println!("\n{} with {SHARDS} shards and {STREAMS} streams, {}", bus.name(), super::machine());
    println!("| signal | rounds | median | maximum | goal |\n| --- | --- | --- | --- | --- |");
    for (signal, times, goal) in &rows {
        let (median, most) = (times[times.len() / 2].as_secs_f64(), times[times.len() - 1].as_secs_f64());
        println!("| {signal} | {} | {median:.2} s | {most:.2} s | {goal} |", times.len());
    }
    (rows[0].1[rounds - 1], rows[1..].iter().filter_map(|row| row.1.last()).copied().max().unwrap())
}

fn series(signal: &str, rounds: usize, mut takeover: impl FnMut(usize) -> Duration) -> Vec<Duration> {
    let mut round = |round: usize| {
        let took = takeover(round);
        println!("{signal} {}: {:.2} s", round + 1, took.as_secs_f64());
        took
    };
    let mut times: Vec<_> = (0..rounds).map(&mut round).collect();
    times.sort_unstable();
    times
}
