//! Whether each stream was polled in time.
//!
//! A stream is due `polling.maxInterval` after its last poll at the latest. Besides, it may have to wait
//!
//! - until its account's budget has let all other streams of the account pass: one round; and one more for each
//!   time that shards moved meanwhile, since a new owner has them all due at once, but two at the most;
//! - while it can't be polled: until a dead replica's shards have another owner, while the bus is away (what isn't
//!   committed isn't polled again), while Asana refuses. [`Kind::disturbs`](super::plan::Kind::disturbs) says how long
//!   each of these may take, and such times aren't counted.
//!
//! The verdict says how many times between two polls were longer than without any fault, and for how much of the run
//! no fault excused that.

use super::plan::REPLICAS;
use super::run::{Clock, Outcome};
use super::world::{ACCOUNTS, MAX_INTERVAL, World, budget};
use std::ops::Range;
use std::time::Duration;

/// For the request itself, on a busy machine.
const SLACK: Duration = Duration::from_secs(2);

/// A shard seldom moves more often before its streams' turn comes: each fault concerns one replica of several.
const MOST_MOVES: usize = 2;

/// What was found.
pub(crate) struct Attendance {
    /// The longest time between two polls: of the streams' middle one, and of the worst.
    pub(crate) median: Duration,
    pub(crate) longest: Duration,
    /// Which part of the time nothing excused a late poll.
    pub(crate) undisturbed: f64,
    /// Times beyond the bound that something excuses.
    pub(crate) excused: usize,
    /// The longest of them, in words.
    pub(crate) longest_excused: Option<(Duration, String)>,
    pub(crate) problems: Vec<String>,
}

/// How long the budget of an account takes to let all of its streams pass.
fn round(account: usize, streams: usize) -> Duration {
    let of_account = streams.div_ceil(ACCOUNTS.len());
    // A tenth of a budget is for bursts, and a fiftieth is left. What replicas share isn't divided to the last request.
    let per_minute = (budget(account, streams) * 88 / 100).saturating_sub(REPLICAS as u32).max(1);
    Duration::from_secs(60) * u32::try_from(of_account).unwrap() / per_minute
}

/// How long a stream may wait while nothing is wrong.
fn bound(account: usize, streams: usize) -> Duration {
    MAX_INTERVAL + round(account, streams) + SLACK
}

/// What the simulator is to take down as late.
pub(crate) fn late_after(streams: usize) -> Duration {
    (0..ACCOUNTS.len()).map(|account| bound(account, streams)).min().expect("accounts")
}

impl Attendance {
    pub(crate) fn of(world: &World, outcome: &Outcome, clock: Clock) -> Self {
        let polls = world.simulator.get("/_sim/polls");
        let mut longest: Vec<_> = world
            .streams
            .iter()
            .map(|stream| {
                let polled = &polls["streams"][&stream.gid];
                (Duration::from_millis(polled["longest_ms"].as_u64().unwrap_or(u64::MAX)), stream)
            })
            .collect();
        longest.sort_unstable_by_key(|(time, _)| *time);
        let disturbed = |number: usize, account: usize| {
            let concerned = outcome.disturbances.iter().filter(|(_, kind)| kind.concerns(number, account));
            union(concerned.map(|(time, _)| time.clone()).collect())
        };
        let all = union(outcome.disturbances.iter().map(|(time, _)| time.clone()).collect());
        let mut late: Vec<_> = polls["late"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|late| {
                let time = |name: &str| clock.of_simulator(late[name].as_u64().unwrap());
                (late["resource"].as_str().unwrap().to_owned(), time("from_ms")..time("to_ms"))
            })
            .collect();
        // One that still lasts isn't in the list yet.
        let now = polls["now_ms"].as_u64().unwrap();
        for stream in &world.streams {
            let last = polls["streams"][&stream.gid]["last_ms"].as_u64().unwrap_or(0);
            late.push((stream.gid.clone(), clock.of_simulator(last)..clock.of_simulator(now)));
        }
        let mut attendance = Self {
            median: longest[longest.len() / 2].0,
            longest: longest[longest.len() - 1].0,
            undisturbed: 1.0
                - overlap(&all, &(Duration::ZERO..clock.elapsed())).as_secs_f64() / clock.elapsed().as_secs_f64(),
            excused: 0,
            longest_excused: None,
            problems: Vec::new(),
        };
        for (gid, time) in late {
            let Some(number) = world.streams.iter().position(|stream| stream.gid == gid) else { continue };
            let account = world.streams[number].account;
            let (bound, lasted) = (bound(account, world.streams.len()), time.end.saturating_sub(time.start));
            if lasted <= bound {
                continue;
            }
            let meanwhile: Vec<_> = outcome
                .disturbances
                .iter()
                .filter(|(when, kind)| when.start < time.end && time.start < when.end && kind.concerns(number, account))
                .collect();
            let undisturbed = lasted.saturating_sub(overlap(&disturbed(number, account), &time));
            let moves = meanwhile.iter().filter(|(_, kind)| kind.moves_shards()).count().min(MOST_MOVES);
            let rounds = round(account, world.streams.len()) * u32::try_from(moves).unwrap();
            let causes = meanwhile.into_iter().map(|(when, kind)| {
                format!("{kind} ({:.1}-{:.1} s)", when.start.as_secs_f64(), when.end.as_secs_f64())
            });
            let causes: Vec<_> = causes.collect();
            let told = format!(
                "stream {}/{gid} wasn't polled from {:.1} to {:.1} s; {:.1} s of it undisturbed, where {:.1} s are the bound; meanwhile: {}",
                ACCOUNTS[account].name,
                time.start.as_secs_f64(),
                time.end.as_secs_f64(),
                undisturbed.as_secs_f64(),
                (bound + rounds).as_secs_f64(),
                if causes.is_empty() { "nothing".to_owned() } else { causes.join(", ") },
            );
            if undisturbed > bound + rounds {
                attendance.problems.push(told);
                continue;
            }
            attendance.excused += 1;
            if attendance.longest_excused.as_ref().is_none_or(|(longest, _)| *longest < lasted) {
                attendance.longest_excused = Some((lasted, told));
            }
        }
        attendance
    }
}

/// The same times, in order and without overlaps.
fn union(mut times: Vec<Range<Duration>>) -> Vec<Range<Duration>> {
    times.sort_unstable_by_key(|time| time.start);
    let mut union: Vec<Range<Duration>> = Vec::new();
    for time in times {
        match union.last_mut() {
            Some(last) if time.start <= last.end => last.end = last.end.max(time.end),
            _ => union.push(time),
        }
    }
    union
}

fn overlap(union: &[Range<Duration>], time: &Range<Duration>) -> Duration {
    let with = |other: &Range<Duration>| other.end.min(time.end).saturating_sub(other.start.max(time.start));
    union.iter().map(with).sum()
}
