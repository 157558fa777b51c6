//! Time as an argument of functions.

use chrono::{DateTime, Utc};
use std::time::Duration;

/// The current time, read once outside of the core and passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The time since an arbitrary start. It never goes back. Used for waiting and for rates.
    pub monotonic: Duration,
    /// The time of the wall clock, which may jump. Used for records.
    pub wall: DateTime<Utc>,
}

impl Now {
    /// The time that is `later` from this one.
    #[must_use]
    pub fn after(self, later: Duration) -> Self {
        Self { monotonic: self.monotonic + later, wall: self.wall + later }
    }
}
