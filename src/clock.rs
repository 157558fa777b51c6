//! The one place where the bridge reads a clock.

use bridge_core::now::Now;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// A clock that reads the monotonic time since it was started, and the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the edge that hands time down")]
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// The current time, by both clocks.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the edge that hands time down")]
    pub fn now(&self) -> Now {
        Now { monotonic: self.start.elapsed(), wall: SystemTime::now().into() }
    }

    /// Sleeps until a time of [`Now::monotonic`]. If there is none, sleeps forever.
    ///
    /// # Cancel safety
    /// Safe: it only waits.
    pub async fn sleep_until(&self, monotonic: Option<Duration>) {
        match monotonic {
            Some(monotonic) => tokio::time::sleep_until(self.start + monotonic).await,
            None => std::future::pending().await,
        }
    }
}
