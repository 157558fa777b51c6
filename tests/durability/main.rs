//! Nothing is lost: kills, failing buses and networks, days on an Asana that loses events, chaos.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    reason = "a test may stop at the first surprise, look at the clock, and print"
)]

mod bus_faults;
mod chaos;
mod crawl;
mod healing;
mod kill;
#[path = "../support/mod.rs"]
mod support;
mod times;
