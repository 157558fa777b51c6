//! Asana: every answer, lists, crawls, refusals and discovery, against scripted servers and the simulator.
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

mod absence;
mod discovery;
mod fairness;
mod http;
mod lists;
#[path = "../support/scripted_http.rs"]
mod scripted_http;
#[path = "../support/mod.rs"]
mod support;
