//! The JetStream sink against real servers.
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

#[path = "../support/nats.rs"]
mod nats_support;
#[path = "../support/nats_worker.rs"]
mod nats_worker;
mod server;
#[path = "../support/mod.rs"]
mod support;
