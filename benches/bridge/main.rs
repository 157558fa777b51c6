//! The whole bridge on real Kafka and real NATS, fed by the simulator, beside the limit: what the bus's plain client
//! does with the same records, and a JSON parser with the same pages.
//!
//! `make bench` runs all sections, `make bench ONLY=catch_up` one of them. `EVENTS`, `SECONDS` and `STREAMS` set how
//! much, and with `LONG` set 10,000 streams are measured, too. The figures are printed, and written as JSON to `target/bench/bridge.json`.
//!
//! This process holds the bridge, or one client, and nothing else while it is measured: the simulator and the servers
//! are processes of their own, and what they use is counted apart. Each section checks a ratio of two figures of the
//! same run, and never a time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a benchmark may stop at the first surprise, look at the clock, and print"
)]
#![allow(clippy::cast_precision_loss, reason = "figures for people")]
#![allow(missing_docs, reason = "a program, not a library")]

mod amounts;
mod backlog;
mod bare_kafka;
mod bare_nats;
mod bus;
mod catch_up;
mod idle;
mod machine;
mod micro;
mod report;
mod run;
mod start;
mod steady;
mod world;

#[path = "../../tests/support/mod.rs"]
mod support;

use amounts::Amounts;
use bus::{Bus, Kind};
use report::Report;

fn main() {
    let amounts = Amounts::read();
    let mut report = Report::new(&amounts);
    let chosen: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let runs = |section: &str| chosen.is_empty() || chosen.iter().any(|name| name == section);
    if runs("micro") {
        micro::measure(&mut report);
    }
    for kind in [Kind::Kafka, Kind::Nats] {
        if runs("backlog") {
            for streams in &amounts.streams {
                backlog::measure(&mut report, &Bus::start(kind), &amounts, *streams);
            }
        }
        if runs("catch_up") {
            catch_up::measure(&mut report, kind, &amounts);
        }
        if runs("steady") {
            for pages_per_second in &amounts.pages_per_second {
                steady::measure(&mut report, &Bus::start(kind), &amounts, *pages_per_second);
            }
        }
        if runs("idle") {
            idle::measure(&mut report, &Bus::start(kind), &amounts);
        }
        if runs("start") {
            start::measure(&mut report, &Bus::start(kind), &amounts);
        }
    }
    report.end();
}
