//! The program from outside: commands, configuration, admin port, webhooks, and the local sinks.
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

mod admin;
mod auth;
mod by_address;
mod checkpoint;
mod cli;
mod config;
mod console;
mod deployments;
mod dist;
mod doctor;
mod end_to_end;
mod file_sink;
mod index;
mod mistakes;
#[cfg(feature = "otlp")]
mod otlp;
mod reload;
mod state;
#[path = "../support/mod.rs"]
mod support;
mod webhooks;
