//! The repository is what it says: imports, generated files, log messages, words.
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

mod architecture;
mod documents;
mod generated;
mod log_messages;
mod words;
