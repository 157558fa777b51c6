//! The security of the buses, with the whole program: logins, certificates, and exactly the rights that
//! `docs/operations/doctor.md` lists. What is wrong or missing is named in one line, without a secret.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    reason = "a test may stop at the first surprise, and look at the clock"
)]

mod bench;
mod kafka;
mod nats;
#[path = "../support/mod.rs"]
mod support;
