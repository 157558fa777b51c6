//! Waits until it is quiet, and judges.

use super::attendance::Attendance;
use super::records::{Findings, Ledger};
use super::run::{Clock, Outcome};
use super::world::{ACCOUNTS, LANES, World, budget};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long what is still under way may take to arrive.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A line of the verdict.
struct Row {
    what: &'static str,
    found: String,
    good: bool,
}

/// Prints the verdict, and panics if anything is wrong.
pub(crate) fn reach(mut world: World, outcome: &Outcome, clock: Clock) {
    let (findings, owed) = settle(&world, outcome, clock);
    let attendance = Attendance::of(&world, outcome, clock);
    let elapsed = clock.elapsed();
    let mut problems = outcome.problems.clone();
    for replica in &mut world.replicas {
        match replica.ended_by_itself() {
            Some(problem) => problems.push(problem),
            None => replica.signal("TERM"),
        }
    }
    for replica in world.replicas.iter_mut().filter(|replica| replica.program.is_some()) {
        problems.extend(replica.end().err());
    }
    let mut rows = vec![
        row("missing", findings.missing, &format!("of {owed} events that Asana owed; {} were offered", outcome.events)),
        row("duplicate", findings.duplicate, ""),
        row("reordered", findings.reordered, ""),
        row("broken sequences", findings.broken_sequences, ""),
        row(
            "wrong source gaps",
            findings.wrong_gaps,
            &format!("{} gaps, {} tokens killed", findings.gaps, outcome.killed.len()),
        ),
    ];
    rows.extend(budgets(&world));
    rows.push(row(
        "polled too late",
        attendance.problems.len(),
        &format!(
            "longest time between polls: {:.1} s, of the middle stream {:.1} s; {} late ones excused by faults; no excuse for {:.0} % of the time",
            attendance.longest.as_secs_f64(),
            attendance.median.as_secs_f64(),
            attendance.excused,
            100.0 * attendance.undisturbed,
        ),
    ));
    rows.push(row("replicas that ended wrongly", problems.len(), ""));
    println!();
    for Row { what, found, good } in &rows {
        println!("  {} {what:<28} {found}", if *good { "ok    " } else { "WRONG " });
    }
    let cpu: Duration = world.replicas.iter().map(|replica| replica.cpu).sum();
    let share = |time: Duration| 100.0 * time.as_secs_f64() / elapsed.as_secs_f64();
    println!("  CPU, of one core: replicas {:.0} %, simulator {:.0} %", share(cpu), share(world.simulator.cpu()));
    if let Some((_, told)) = &attendance.longest_excused {
        println!("  the longest time between polls that faults excuse: {told}");
    }
    problems.extend(findings.problems);
    problems.extend(attendance.problems);
    for problem in problems.iter().take(40) {
        println!("  - {problem}");
    }
    assert!(rows.iter().all(|row| row.good), "see above; logs are in {}", world.folder.display());
}

fn row(what: &'static str, count: usize, besides: &str) -> Row {
    let found = if besides.is_empty() { count.to_string() } else { format!("{count} ({besides})") };
    Row { what, found, good: count == 0 }
}

/// Reads the bus until what is owed is there, or nothing comes any more.
fn settle(world: &World, outcome: &Outcome, clock: Clock) -> (Findings, usize) {
    let until = clock.elapsed() + TIMEOUT;
    loop {
        let ledgers: BTreeMap<_, _> = world
            .streams
            .iter()
            .map(|stream| {
                let shown = world.simulator.get(&format!("/_sim/ledger?resource={}", stream.gid));
                (stream.gid.clone(), Ledger::parse(&shown))
            })
            .collect();
        let owed: usize = ledgers.values().map(Ledger::owed).sum();
        let findings = Findings::of(&ledgers, &world.read(), LANES, outcome.partitions_added);
        clock.say(&format!("    {} events are on the bus, {} are missing", findings.events, findings.missing));
        if findings.missing == 0 && findings.wrong_gaps == 0 || clock.elapsed() > until {
            return (findings, owed);
        }
        std::thread::sleep(Duration::from_secs(2));
    }
}

/// What the simulator counted, for each account.
fn budgets(world: &World) -> Vec<Row> {
    let stats = world.simulator.get("/_sim/stats");
    let row = |(number, account): (usize, &super::world::Account)| {
        let token = &stats["tokens"][account.name];
        let count = |name: &str| token[name].as_u64().unwrap();
        let over = count("over_rate") + count("over_concurrency");
        let found = format!(
            "{over} of {} requests of `{}`; at most {} in a minute of {}, {} in flight",
            count("requests"),
            account.name,
            count("most_in_a_minute"),
            budget(number, world.streams.len()),
            count("most_in_flight"),
        );
        Row { what: "over the budget", found, good: over == 0 }
    };
    ACCOUNTS.iter().enumerate().map(row).collect()
}
