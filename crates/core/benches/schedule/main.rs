//! The schedule beside round robin and beside the optimum with known rates, on streams that have events in known ways; then
//! what a decision costs with many streams. Fails if a ratio is beyond its bound. `make bench-schedule`; `HOURS` sets how
//! long, `SEED` which events, and `SCHEDULE_STREAMS` how many streams there are at most.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    reason = "a test may stop at the first surprise, look at the clock, and print"
)]
#![allow(clippy::cast_precision_loss, reason = "figures for people")]
#![allow(missing_docs, reason = "a program, not a library")]

mod account;
mod load;
mod many;
mod optimum;

use account::{Outcome, Size};
use load::{Change, Load, Shape};
use std::process::ExitCode;

const SIZES: [Size; 3] = [
    Size { streams: 10_000, events: 20.0, per_minute: 1500 },
    Size { streams: 2_000, events: 5.0, per_minute: 150 },
    Size { streams: 200, events: 5.0, per_minute: 1500 },
];

/// Each with the most that its mean delay may be, of the optimum's.
const LOADS: [(&str, Load, f64); 8] = [
    ("Zipf 1", Load { shape: Shape::Zipf(1.0), change: Change::Steady }, 1.15),
    ("Zipf 0.7", Load { shape: Shape::Zipf(0.7), change: Change::Steady }, 1.15),
    ("Zipf 1.3", Load { shape: Shape::Zipf(1.3), change: Change::Steady }, 1.25),
    ("log-normal 2", Load { shape: Shape::LogNormal(2.0), change: Change::Steady }, 1.45),
    ("bursts 2 min", Load { shape: Shape::Zipf(1.0), change: Change::Bursts { on: 120.0, off: 1_800.0 } }, 1.4),
    ("bursts 10 min", Load { shape: Shape::Zipf(1.0), change: Change::Bursts { on: 600.0, off: 6_000.0 } }, 1.4),
    ("office hours", Load { shape: Shape::Zipf(1.0), change: Change::Office }, 1.4),
    ("swapped rates", Load { shape: Shape::Zipf(1.0), change: Change::Swap { every: 6.0 * 3600.0 } }, 1.6),
];

fn main() -> ExitCode {
    let number =
        |name: &str, default: u64| std::env::var_os(name).map_or(default, |it| it.to_string_lossy().parse().unwrap());
    let (hours, seed, most) = (number("HOURS", 6), number("SEED", 1), number("SCHEDULE_STREAMS", 1_000_000));
    println!(
        "{hours} hours after 3 hours of learning, seed {seed}; delays in seconds, from an event to the answer that brings it"
    );
    println!("mean: by the schedule, by round robin, and by the optimum with known mean rates; then its ratio to");
    println!(
        "  known: this optimum;  bounded: with no interval above 1.5 times round robin's;  momentary: each moment's rates known"
    );
    println!("p99, longest: of a delay, and of an interval, each by round robin's;  used: of the budget");
    let mut failed = Vec::new();
    for size in SIZES.iter().filter(|size| size.streams as u64 <= most) {
        println!("\n{size}");
        for (name, load, bound) in LOADS {
            let outcome = account::run(*size, load, hours as f64 * 3600.0, seed);
            let fails = outcome.mean / outcome.known > bound || outcome.is_unfair();
            println!("  {name:<14} {outcome}{}", if fails { "  FAILED" } else { "" });
            failed.extend(fails.then(|| format!("{size}, {name}")));
        }
    }
    if !many::streams(usize::try_from(most).unwrap()) {
        failed.push("memory".to_owned());
    }
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("\nbeyond the bounds: {}", failed.join("; "));
    ExitCode::FAILURE
}

impl Outcome {
    /// Of round robin's: an event in a hundred waits longer than 1.2 times, or a stream longer than 1.5 times.
    fn is_unfair(&self) -> bool {
        self.p99 > 1.2 || self.longest > 1.5
    }
}
