//! The wire contract, generated from `proto/`: the one place where lints are relaxed.
#![allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    elided_lifetimes_in_paths,
    clippy::all,
    clippy::pedantic,
    clippy::use_self,
    clippy::or_fun_call,
    clippy::wildcard_enum_match_arm,
    clippy::map_err_ignore,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]

include!("generated/v1.rs");
#[cfg(feature = "json")]
include!("generated/v1.serde.rs");
