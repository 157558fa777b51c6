//! Consumers: the Rust adapters on real buses, and the packages in other languages.
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

mod consumer;
mod consumers;
mod packages;
mod recipes;
#[path = "../support/mod.rs"]
mod support;
