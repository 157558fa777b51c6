//! What several tests need: real services, our own programs, readers that aren't ours.
#![allow(dead_code, reason = "each test uses a part of it")]

pub(crate) mod blocks;
pub(crate) mod clock;
pub(crate) mod foreign;
pub(crate) mod judge;
pub(crate) mod operator;
pub(crate) mod program;
pub(crate) mod proxy;
pub(crate) mod rights;
pub(crate) mod scene;
pub(crate) mod service;
pub(crate) mod times;
pub(crate) mod tls;
pub(crate) mod tools;

use std::time::{Duration, Instant};

/// Asks until the answer is there, or panics after the deadline with what was waited for.
pub(crate) fn wait_for<T>(what: &str, deadline: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < deadline, "waited {deadline:?} in vain for: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
