//! Does what the plan says, while events come.

use super::load;
use super::plan::{Fault, Kind, Notice, Plan};
use super::world::{Change, Configuration, Replica, Stream, World};
use crate::support::program::Simulator;
use crate::support::proxy::Network;
use crate::support::service::Service;
use serde_json::json;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The time since the start, for the output and for the judge.
#[derive(Clone, Copy)]
pub(crate) struct Clock {
    started: Instant,
    /// What the simulator's clock said then.
    simulator: Duration,
}

impl Clock {
    pub(crate) fn start(simulator: &Simulator, late_after: Duration) -> Self {
        let reset = json!({ "late_after": format!("{}ms", late_after.as_millis()) });
        let answer = simulator.ask("/_sim/polls", &reset);
        let simulator = Duration::from_millis(answer["now_ms"].as_u64().unwrap());
        Self { started: Instant::now(), simulator }
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.started.elapsed()
    }

    /// A time of the simulator.
    pub(crate) fn of_simulator(self, millis: u64) -> Duration {
        Duration::from_millis(millis).saturating_sub(self.simulator)
    }

    pub(crate) fn say(self, what: &str) {
        println!("[{:6.1} s] {what}", self.elapsed().as_secs_f64());
    }
}

/// What happened.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) events: u64,
    /// When streams may have been polled late, and why.
    pub(crate) disturbances: Vec<(Range<Duration>, Kind)>,
    /// What must not have happened.
    pub(crate) problems: Vec<String>,
    /// Numbers of the streams whose tokens were killed.
    pub(crate) killed: Vec<usize>,
    pub(crate) partitions_added: usize,
}

/// Until all that was planned is done and mended.
pub(crate) fn perform(world: &mut World, plan: &Plan, seed: u64, length: Duration, clock: Clock) -> Outcome {
    let World { bus, service, network, simulator, streams, replicas, configuration, .. } = world;
    let (bus, service, network, simulator, streams) = (*bus, &*service, &*network, &*simulator, &**streams);
    let (offered, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let mut outcome = Outcome::default();
    std::thread::scope(|scope| {
        scope.spawn(|| load::offer(simulator, streams, seed, &offered, &stop));
        let of_replicas = scope.spawn(|| {
            let mut crew = ReplicaCrew { replicas, configuration, clock, problems: Vec::new() };
            let disturbances = follow(&plan.replicas, clock, length, &mut crew);
            (disturbances, crew.problems)
        });
        let of_bus = scope.spawn(|| follow(&plan.bus, clock, length, &mut BusCrew { service, network, bus, clock }));
        let of_asana = scope.spawn(|| follow(&plan.asana, clock, length, &mut AsanaCrew { simulator, streams }));
        let mut said = Duration::ZERO;
        while !(of_replicas.is_finished() && of_bus.is_finished() && of_asana.is_finished()) || clock.elapsed() < length
        {
            let next = said + Duration::from_secs(10);
            std::thread::sleep(next.saturating_sub(clock.elapsed()));
            said = next;
            clock.say(&format!("    {} events offered", offered.load(Ordering::Relaxed)));
        }
        stop.store(true, Ordering::Relaxed);
        let (disturbances, problems) = of_replicas.join().expect("the replicas' track");
        outcome.problems = problems;
        outcome.disturbances.extend(disturbances);
        outcome.disturbances.extend(of_bus.join().expect("the bus' track"));
        outcome.disturbances.extend(of_asana.join().expect("Asana's track"));
    });
    outcome.events = offered.load(Ordering::Relaxed);
    for fault in plan.bus.iter().chain(&plan.asana) {
        match &fault.kind {
            Kind::KillTokens(streams) => outcome.killed.extend(streams),
            Kind::AddPartitions(_) => outcome.partitions_added += 1,
            _ => {}
        }
    }
    outcome
}

/// Who can begin and mend faults of a track.
trait Crew {
    fn begin(&mut self, kind: &Kind);
    fn mend(&mut self, kind: &Kind);
    /// Called again and again between them.
    fn watch(&mut self) {}
}

fn follow(track: &[Fault], clock: Clock, length: Duration, crew: &mut impl Crew) -> Vec<(Range<Duration>, Kind)> {
    let mut disturbances = Vec::new();
    let wait_until = |time: Duration, crew: &mut dyn Crew| {
        while clock.elapsed() < time {
            crew.watch();
            std::thread::sleep((time.saturating_sub(clock.elapsed())).min(Duration::from_millis(100)));
        }
    };
    for Fault { kind, pause, lasts } in track {
        wait_until(clock.elapsed() + *pause, crew);
        // On a busy machine faults last longer than was planned.
        if clock.elapsed() > length {
            break;
        }
        clock.say(&kind.to_string());
        let began = clock.elapsed();
        crew.begin(kind);
        wait_until(clock.elapsed() + *lasts, crew);
        crew.mend(kind);
        let ended = clock.elapsed();
        if ended > began + Duration::from_millis(500) {
            clock.say(&format!("    mended: {kind}"));
        }
        disturbances.extend(kind.disturbs(began, ended).into_iter().map(|time| (time, kind.clone())));
    }
    disturbances
}

struct ReplicaCrew<'a> {
    replicas: &'a mut [Replica],
    configuration: &'a Configuration,
    clock: Clock,
    problems: Vec<String>,
}

impl ReplicaCrew<'_> {
    fn problem(&mut self, problem: String) {
        self.clock.say(&format!("PROBLEM: {problem}"));
        self.problems.push(problem);
    }

    fn configure(&self, change: &Change<'_>, notice: Notice) {
        for replica in &*self.replicas {
            self.configuration.write(replica, change);
        }
        if notice == Notice::Hangup {
            self.replicas.iter().for_each(|replica| replica.signal("HUP"));
        }
    }
}

impl Crew for ReplicaCrew<'_> {
    fn begin(&mut self, kind: &Kind) {
        match kind {
            Kind::Terminate(n) => self.replicas[*n].signal("TERM"),
            Kind::Kill(n) => self.replicas[*n].kill(),
            Kind::Pause(n) => self.replicas[*n].signal("STOP"),
            Kind::LeaveOut(streams, notice) => self.configure(&Change::LeaveOut(streams), *notice),
            Kind::Lower(account, notice) => self.configure(&Change::Lower(*account), *notice),
            Kind::BadFile(notice) => self.configure(&Change::Mistake, *notice),
            other => unreachable!("not of replicas: {other}"),
        }
    }

    fn mend(&mut self, kind: &Kind) {
        match kind {
            Kind::Terminate(n) => {
                if let Err(problem) = self.replicas[*n].end() {
                    self.problem(problem);
                }
                self.replicas[*n].start();
            }
            Kind::Kill(n) => self.replicas[*n].start(),
            Kind::Pause(n) => self.replicas[*n].signal("CONT"),
            Kind::LeaveOut(_, notice) | Kind::Lower(_, notice) => self.configure(&Change::None, *notice),
            Kind::BadFile(notice) => {
                for n in 0..self.replicas.len() {
                    if !self.replicas[n].refused_a_configuration() {
                        self.problem(format!("{} didn't refuse the bad configuration", self.replicas[n].name));
                    }
                }
                self.configure(&Change::None, *notice);
            }
            other => unreachable!("not of replicas: {other}"),
        }
    }

    /// Nobody ends without an order.
    fn watch(&mut self) {
        for n in 0..self.replicas.len() {
            if let Some(problem) = self.replicas[n].ended_by_itself() {
                self.problem(problem);
                self.replicas[n].start();
            }
        }
    }
}

struct BusCrew<'a> {
    service: &'a Service,
    network: &'a Network,
    bus: super::world::Bus,
    clock: Clock,
}

impl Crew for BusCrew<'_> {
    fn begin(&mut self, kind: &Kind) {
        match kind {
            Kind::StopNode(node) => self.service.stop_node(*node),
            Kind::KillNodes(nodes) => nodes.iter().for_each(|node| self.service.kill_node(*node)),
            Kind::Cut => self.network.cut(),
            Kind::Freeze => self.network.freeze(),
            Kind::AddPartitions(count) => self.bus.add_partitions(&self.service.address, *count),
            other => unreachable!("not of the bus: {other}"),
        }
    }

    fn mend(&mut self, kind: &Kind) {
        match kind {
            Kind::StopNode(node) => self.service.restart_node(*node),
            Kind::KillNodes(nodes) => {
                // Two start together: alone, the first would wait for the second.
                std::thread::scope(|scope| {
                    for node in nodes {
                        scope.spawn(|| self.service.restart_node(*node));
                    }
                });
                self.clock.say("    the nodes are there again");
            }
            Kind::Cut | Kind::Freeze => self.network.mend(),
            Kind::AddPartitions(_) => {}
            other => unreachable!("not of the bus: {other}"),
        }
    }
}

struct AsanaCrew<'a> {
    simulator: &'a Simulator,
    streams: &'a [Stream],
}

impl Crew for AsanaCrew<'_> {
    fn begin(&mut self, kind: &Kind) {
        match kind {
            Kind::Asana(fault) => self.simulator.post("/_sim/faults", fault),
            Kind::KillTokens(streams) => {
                for stream in streams {
                    let gid = &self.streams[*stream].gid;
                    self.simulator.post("/_sim/faults", &json!({ "kind": "kill_tokens", "resource": gid }));
                }
            }
            other => unreachable!("not of Asana: {other}"),
        }
    }

    /// The simulator ends them by itself.
    fn mend(&mut self, _kind: &Kind) {}
}
