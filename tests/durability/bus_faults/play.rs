//! Two bridges under load, one fault after the other, and the verdict.

use crate::support::foreign::Seen;
use crate::support::judge::{compare, events};
use crate::support::program::Program;
use crate::support::scene::{Load, Scene};
use crate::support::wait_for;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const STREAMS: usize = 50;
const EVENTS_PER_SECOND: u64 = 150;
const REPLICAS: [&str; 2] = ["r1", "r2"];

/// How long all streams may wait for their polls after a fault. Mostly it is a few seconds; a slow machine, a session
/// time-out, a transaction that has to time out, and the bridge's pauses between sessions all take their part.
const RECOVERY: Duration = Duration::from_secs(180);

/// What the faults are made in.
pub(crate) struct Play<'a> {
    bus: &'a str,
    scene: &'a Scene,
    bridges: Vec<Program>,
    start: Instant,
}

/// Plays the faults while events are offered; then `read` must have each of them once.
pub(crate) fn play(bus: &str, sink: &str, faults: impl FnOnce(&mut Play<'_>), read: impl Fn() -> Vec<Seen>) {
    let scene = Scene::start(&format!("faults-{bus}"), STREAMS);
    let bridges = REPLICAS.map(|replica| scene.bridge(replica, sink)).into();
    let mut play = Play { bus, scene: &scene, bridges, start: Instant::now() };
    for replica in REPLICAS {
        play.say(&format!("the log of {replica} is {}", scene.log(replica).display()));
    }
    scene.wait_until_established(&mut play.bridges);
    let ended = AtomicBool::new(false);
    std::thread::scope(|threads| {
        let load = threads.spawn(|| {
            let mut load = Load::new(EVENTS_PER_SECOND);
            load.run_while(|| !ended.load(Ordering::Acquire), &scene, &mut ChaCha8Rng::seed_from_u64(1));
            load.events
        });
        // The load ends, however the faults do.
        let _end = End(&ended);
        play.recovers();
        faults(&mut play);
        ended.store(true, Ordering::Release);
        let events = load.join().unwrap();
        play.say(&format!("{events} events were offered"));
    });
    play.judge(read);
}

struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Play<'_> {
    /// One fault, from its beginning until it is mended; then everything has to be well again.
    pub(crate) fn fault(&mut self, what: &str, happens: impl FnOnce(&mut Self)) {
        self.say(what);
        let ends = self.session_ends();
        self.scene.simulator.post("/_sim/polls", &json!({}));
        happens(self);
        let recovery = self.recovers();
        let polls = self.scene.simulator.get("/_sim/polls");
        let waits = polls["streams"].as_object().unwrap().values().map(|stream| stream["longest_ms"].as_u64().unwrap());
        self.say(&format!(
            "  well again in {recovery:.1?} after it was mended; the longest that a stream wasn't polled: {:.1?}; sessions that ended: {}",
            Duration::from_millis(waits.max().unwrap()),
            self.session_ends() - ends,
        ));
    }

    /// Waits until each stream was polled, and polled again: only what is on the bus is polled on from. How long it took.
    pub(crate) fn recovers(&mut self) -> Duration {
        let start = Instant::now();
        let before = self.polls();
        let mut bridges = std::mem::take(&mut self.bridges);
        wait_for("all streams to be polled on", RECOVERY, || {
            bridges.iter_mut().for_each(Program::assert_running);
            let polls = self.polls();
            let polled_on =
                |stream| polls.get(stream).copied().unwrap_or(0) >= before.get(stream).copied().unwrap_or(0) + 2;
            self.scene.streams.iter().all(polled_on).then_some(())
        });
        self.bridges = bridges;
        start.elapsed()
    }

    /// A fault that lasts.
    pub(crate) fn lasts(&mut self, time: Duration) {
        std::thread::sleep(time);
        self.bridges.iter_mut().for_each(Program::assert_running);
    }

    pub(crate) fn say(&self, what: &str) {
        println!("{} {:6.1} s: {what}", self.bus, self.start.elapsed().as_secs_f32());
    }

    /// What a server says of itself, as JSON.
    pub(crate) fn ask(&self, url: &str) -> Option<serde_json::Value> {
        self.scene.simulator.fetch(url).ok()
    }

    fn polls(&self) -> BTreeMap<String, u64> {
        let polls = self.scene.simulator.get("/_sim/polls");
        let polls = polls["streams"].as_object().unwrap().iter();
        polls.map(|(stream, polled)| (stream.clone(), polled["polls"].as_u64().unwrap())).collect()
    }

    fn session_ends(&self) -> usize {
        let ends = |replica| {
            let log = std::fs::read_to_string(self.scene.log(replica)).unwrap();
            log.lines().filter(|line| line.contains("session ended")).count()
        };
        REPLICAS.map(ends).iter().sum()
    }

    fn judge(mut self, read: impl Fn() -> Vec<Seen>) {
        let offered = self.scene.simulator.offered(&self.scene.streams);
        let wanted: usize = offered.values().map(Vec::len).sum();
        let mut bridges = std::mem::take(&mut self.bridges);
        let seen = wait_for(&format!("{wanted} events on the bus"), RECOVERY, || {
            bridges.iter_mut().for_each(Program::assert_running);
            let seen = read();
            let events = events(&seen);
            self.say(&format!("{events} of {wanted} events are on the bus"));
            (events >= wanted).then_some(seen)
        });
        for bridge in bridges {
            assert!(bridge.stop().success(), "a bridge ends with 0 when it is asked to");
        }
        compare(&offered, &seen);
        self.say("every event once, and in order");
    }
}
