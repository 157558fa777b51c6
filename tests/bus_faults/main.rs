//! Two bridges on a bus of three nodes, whose nodes and network fail one after the other under load; then a
//! consumer that isn't ours counts.
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

mod kafka;
mod nats;
mod network;
mod play;
#[path = "../support/mod.rs"]
mod support;
