//! Time as an argument.

use chrono::{DateTime, Utc};
use std::time::Duration;

/// The present, read once at the edge and handed down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Since an arbitrary start; never goes back. For waiting and for rates.
    pub monotonic: Duration,
    /// By the wall clock, which may jump. For records.
    pub wall: DateTime<Utc>,
}

impl Now {
    /// The present, `later` from this one.
    #[must_use]
    pub fn after(self, later: Duration) -> Self {
        Self { monotonic: self.monotonic + later, wall: self.wall + later }
    }
}
