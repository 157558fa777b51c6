//! What goes wrong, and when: drawn from the seed before anything runs.
//!
//! There are three tracks, for replicas, for the bus, and for Asana and the configuration. On each, one fault
//! follows the other, so that at most three stand at once, and the bus has time to recover.

use super::world::{ACCOUNTS, Bus};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

pub(crate) const REPLICAS: usize = 4;
pub(crate) const NODES: u32 = 3;

/// How long a dead replica keeps its shards: the session time-out on Kafka, the lease on NATS.
const SESSION: Duration = Duration::from_secs(10);
/// What a takeover may last besides.
const TAKEOVER: Duration = Duration::from_secs(2);
/// How long a new process takes to start, at the most, on a busy machine.
const START: Duration = Duration::from_secs(2);
/// How long a bus takes to notice that a node is gone, and to do without it: Kafka's `broker.session.timeout.ms` is 9 s.
const FAILOVER: Duration = Duration::from_secs(10);
/// How often a bridge looks at its configuration file.
const LOOK: Duration = Duration::from_secs(5);
/// What Asana says with a 429.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// The longest pause of a bridge before it tries a bus again that was away.
const REOPEN: Duration = Duration::from_secs(15);

/// The faults of a run, each track in its order.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) replicas: Vec<Fault>,
    pub(crate) bus: Vec<Fault>,
    pub(crate) asana: Vec<Fault>,
}

/// One thing that goes wrong for a while.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    /// After the one before it on its track was mended.
    pub(crate) pause: Duration,
    /// Until it is mended.
    pub(crate) lasts: Duration,
}

/// What goes wrong.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// SIGTERM; it comes back.
    Terminate(usize),
    /// SIGKILL; it comes back, perhaps at once.
    Kill(usize),
    /// SIGSTOP for longer than the session, then SIGCONT.
    Pause(usize),
    /// These streams, by number, are taken out of the configuration, and put back.
    LeaveOut(Vec<usize>, Notice),
    /// An account may use only a part of its budget for a while.
    Lower(usize, Notice),
    /// The configuration has a mistake, and is put right.
    BadFile(Notice),
    /// SIGTERM for one node.
    StopNode(u32),
    /// SIGKILL for nodes: for two of three the bus is away.
    KillNodes(Vec<u32>),
    /// Connections to the bus are reset, and refused.
    Cut,
    /// Nothing comes through to the bus, and no connection ends.
    Freeze,
    /// The output topic gets more partitions.
    AddPartitions(u32),
    /// Asana misbehaves, as the simulator is told.
    Asana(Value),
    /// All sync tokens of these streams die; numbers of streams.
    KillTokens(Vec<usize>),
}

/// How replicas get to know that their configuration has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// They are told by SIGHUP.
    Hangup,
    /// They look at the file every 5 s.
    File,
}

/// What [`Kind::Lower`] leaves of a budget: one part of so many is taken.
pub(crate) const LOWERED_BY: u32 = 3;

impl Kind {
    /// The streams, by number, that are concerned; all, if none is named.
    pub(crate) fn concerns(&self, stream: usize, account: usize) -> bool {
        match self {
            Self::LeaveOut(streams, _) => streams.contains(&stream),
            Self::Lower(lowered, _) => *lowered == account,
            Self::Asana(fault) => fault["token"].as_str().is_none_or(|token| token == ACCOUNTS[account].name),
            Self::Terminate(_)
            | Self::Kill(_)
            | Self::Pause(_)
            | Self::BadFile(_)
            | Self::StopNode(_)
            | Self::KillNodes(_)
            | Self::Cut
            | Self::Freeze
            | Self::AddPartitions(_)
            | Self::KillTokens(_) => true,
        }
    }

    /// Whether shards go to other owners because of it.
    pub(crate) fn moves_shards(&self) -> bool {
        match self {
            Self::Terminate(_) | Self::Kill(_) | Self::Pause(_) | Self::KillNodes(_) | Self::Cut | Self::Freeze => true,
            Self::LeaveOut(..)
            | Self::Lower(..)
            | Self::BadFile(_)
            | Self::StopNode(_)
            | Self::AddPartitions(_)
            | Self::Asana(_)
            | Self::KillTokens(_) => false,
        }
    }

    /// In which times streams may be polled late because of it, if it was there from `began` to `ended`.
    pub(crate) fn disturbs(&self, began: Duration, ended: Duration) -> Vec<Range<Duration>> {
        match self {
            // Its shards move, and move back when it returns.
            Self::Terminate(_) => vec![began..began + TAKEOVER, ended..ended + START + TAKEOVER],
            Self::Kill(_) | Self::Pause(_) => vec![began..began + SESSION + TAKEOVER, ended..ended + START + TAKEOVER],
            Self::LeaveOut(..) | Self::Lower(..) => vec![began..ended + LOOK + TAKEOVER],
            Self::StopNode(_) => vec![began..began + FAILOVER, ended..ended + TAKEOVER],
            Self::KillNodes(nodes) if nodes.len() == 1 => {
                // If it led the group, all members' time-outs may pass before another does.
                vec![began..began + FAILOVER + SESSION + TAKEOVER, ended..ended + TAKEOVER]
            }
            // While the bus is away nothing can be committed, and what isn't committed isn't polled again.
            Self::KillNodes(_) | Self::Cut | Self::Freeze => {
                vec![began..ended + REOPEN + SESSION + TAKEOVER]
            }
            // All of an account waits for what Asana said.
            Self::Asana(fault) if fault["status"] == 429 => vec![began..ended + RETRY_AFTER + TAKEOVER],
            // Others are asked again after a second, two, four: sooner than they are due.
            Self::Asana(_) | Self::AddPartitions(_) | Self::KillTokens(_) | Self::BadFile(_) => Vec::new(),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Terminate(replica) => write!(f, "SIGTERM for replica-{replica}"),
            Self::Kill(replica) => write!(f, "SIGKILL for replica-{replica}"),
            Self::Pause(replica) => write!(f, "SIGSTOP for replica-{replica}"),
            Self::LeaveOut(streams, notice) => {
                write!(f, "{} streams are left out of the configuration ({notice:?})", streams.len())
            }
            Self::Lower(account, notice) => {
                write!(f, "the budget of `{}` is lowered ({notice:?})", ACCOUNTS[*account].name)
            }
            Self::BadFile(notice) => write!(f, "the configuration has a mistake ({notice:?})"),
            Self::StopNode(node) => write!(f, "SIGTERM for node {node} of the bus"),
            Self::KillNodes(nodes) => write!(f, "SIGKILL for {} of the bus: {nodes:?}", nodes_word(nodes.len())),
            Self::Cut => f.write_str("the network to the bus is cut"),
            Self::Freeze => f.write_str("the network to the bus is frozen"),
            Self::AddPartitions(count) => write!(f, "the output topic gets {count} partitions"),
            Self::Asana(fault) => write!(f, "Asana: {fault}"),
            Self::KillTokens(streams) => write!(f, "Asana: the sync tokens of {} streams die", streams.len()),
        }
    }
}

fn nodes_word(count: usize) -> &'static str {
    if count == 1 { "a node" } else { "two nodes" }
}

/// All faults of a run.
pub(crate) fn draw(seed: u64, length: Duration, bus: Bus, streams: usize) -> Plan {
    let mut partitions = super::world::LANES;
    let track = |number: u64| ChaCha8Rng::seed_from_u64(seed.wrapping_mul(3).wrapping_add(number));
    // A short run has no time for long pauses.
    let pauses = |range: Range<u64>| if length < Duration::from_secs(120) { 1_000..4_000 } else { range };
    Plan {
        replicas: follow(&mut track(0), length, pauses(4_000..12_000), |rng| of_replicas(rng, streams)),
        bus: follow(&mut track(1), length, pauses(6_000..20_000), |rng| of_bus(rng, bus, &mut partitions)),
        asana: follow(&mut track(2), length, pauses(3_000..10_000), |rng| of_asana(rng, streams)),
    }
}

/// One fault after the other, with pauses between them, until the time is up.
fn follow(
    rng: &mut ChaCha8Rng,
    length: Duration,
    pauses: Range<u64>,
    mut next: impl FnMut(&mut ChaCha8Rng) -> Vec<(Kind, Duration)>,
) -> Vec<Fault> {
    let (mut faults, mut time) = (Vec::new(), Duration::ZERO);
    loop {
        let mut pause = Duration::from_millis(rng.random_range(pauses.clone()));
        for (kind, lasts) in next(rng) {
            time += pause + lasts;
            if time >= length {
                return faults;
            }
            faults.push(Fault { kind, pause, lasts });
            pause = Duration::from_secs(1);
        }
    }
}

fn seconds(rng: &mut ChaCha8Rng, range: Range<f64>) -> Duration {
    Duration::from_secs_f64(rng.random_range(range))
}

fn of_replicas(rng: &mut ChaCha8Rng, streams: usize) -> Vec<(Kind, Duration)> {
    let replica = rng.random_range(0..REPLICAS);
    let away = seconds(rng, 2.0..15.0);
    let notice = if rng.random_bool(0.5) { Notice::Hangup } else { Notice::File };
    match rng.random_range(0..14) {
        0..3 => vec![(Kind::Terminate(replica), away)],
        3..5 => vec![(Kind::Kill(replica), Duration::ZERO)],
        5..7 => vec![(Kind::Kill(replica), away)],
        7..9 => vec![(Kind::Pause(replica), SESSION + seconds(rng, 2.0..10.0))],
        9..11 => {
            let left_out = (0..streams).filter(|_| rng.random_bool(0.05)).collect();
            vec![(Kind::LeaveOut(left_out, notice), LOOK + away)]
        }
        11 => vec![(Kind::Lower(rng.random_range(0..ACCOUNTS.len()), notice), LOOK + away)],
        12 => vec![(Kind::BadFile(notice), LOOK + Duration::from_secs(1))],
        _ => (0..REPLICAS).map(|replica| (Kind::Terminate(replica), seconds(rng, 1.0..3.0))).collect(),
    }
}

fn of_bus(rng: &mut ChaCha8Rng, bus: Bus, partitions: &mut u32) -> Vec<(Kind, Duration)> {
    let node = rng.random_range(1..=NODES);
    match rng.random_range(0..10) {
        0..3 => vec![(Kind::KillNodes(vec![node]), seconds(rng, 3.0..15.0))],
        3..5 => vec![(Kind::Cut, seconds(rng, 1.0..8.0))],
        5..7 => vec![(Kind::Freeze, seconds(rng, 1.0..15.0))],
        7 => {
            let others = (1..=NODES).filter(|other| *other != node).collect();
            vec![(Kind::KillNodes(others), seconds(rng, 3.0..12.0))]
        }
        8 => (1..=NODES).map(|node| (Kind::StopNode(node), seconds(rng, 1.0..3.0))).collect(),
        _ if bus == Bus::Kafka && *partitions < 3 * super::world::LANES => {
            *partitions += rng.random_range(1..4);
            vec![(Kind::AddPartitions(*partitions), Duration::ZERO)]
        }
        _ => vec![(Kind::Cut, seconds(rng, 1.0..3.0))],
    }
}

fn of_asana(rng: &mut ChaCha8Rng, streams: usize) -> Vec<(Kind, Duration)> {
    let lasts = seconds(rng, 2.0..8.0);
    let text = format!("{}ms", lasts.as_millis());
    let fault = match rng.random_range(0..7) {
        0 => {
            let token = ACCOUNTS[rng.random_range(0..ACCOUNTS.len())].name;
            json!({ "kind": "status", "status": 429, "retry_after": RETRY_AFTER.as_secs(), "token": token, "for": text })
        }
        1 => json!({ "kind": "status", "status": 503, "probability": 0.3, "for": text }),
        2 => json!({ "kind": "slow", "delay": "1500ms", "probability": 0.3, "for": text }),
        3 => json!({ "kind": "cut", "probability": 0.3, "for": text }),
        4 => json!({ "kind": "garbage", "body": "html", "probability": 0.2, "for": text }),
        _ => {
            let dead: BTreeSet<_> = (0..rng.random_range(3..10)).map(|_| rng.random_range(0..streams)).collect();
            return vec![(Kind::KillTokens(dead.into_iter().collect()), Duration::ZERO)];
        }
    };
    vec![(Kind::Asana(fault), lasts)]
}

#[test]
fn equal_seeds_give_equal_plans_and_all_kinds_of_faults_occur() {
    let length = Duration::from_secs(600);
    let plan = |seed| draw(seed, length, Bus::Kafka, 100);
    assert_eq!(format!("{:?}", plan(3)), format!("{:?}", plan(3)));
    assert_ne!(format!("{:?}", plan(3)), format!("{:?}", plan(4)));
    for seed in 0..10 {
        println!("seed {seed}, 30 s: {:?}", draw(seed, Duration::from_secs(30), Bus::Kafka, 20));
    }
    let plans: Vec<_> = (0..10).map(plan).collect();
    let all = plans.iter().flat_map(|plan| [&plan.replicas, &plan.bus, &plan.asana]).flatten();
    let kinds: BTreeSet<_> =
        all.map(|fault| fault.kind.to_string().split(' ').take(3).collect::<Vec<_>>().join(" ")).collect();
    for wanted in [
        "SIGTERM for replica-0",
        "SIGKILL for replica-0",
        "SIGSTOP for replica-0",
        "the configuration has",
        "the budget of",
        "SIGTERM for node",
        "SIGKILL for a",
        "SIGKILL for two",
        "the network to",
        "the output topic",
    ] {
        assert!(kinds.iter().any(|kind| kind.starts_with(wanted)), "{wanted} never occurs: {kinds:?}");
    }
}
