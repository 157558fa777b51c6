//! A [`Fold`] with its own clock, for problems that several tasks report.

use super::{Fold, Line, Over};
use crate::clock::Clock;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A [`Fold`] that several tasks share, with its own clock.
#[derive(Debug)]
pub struct SharedFold<K, W> {
    clock: Clock,
    fold: Mutex<Fold<K, W>>,
}

impl<K: Ord + Clone, W: Ord> SharedFold<K, W> {
    /// See [`Fold::new`].
    #[must_use]
    pub fn new(calm: Duration) -> Self {
        Self { clock: Clock::start(), fold: Mutex::new(Fold::new(calm)) }
    }

    /// See [`Fold::report`].
    pub fn report(&self, kind: K, who: W) -> Option<Line> {
        self.fold().report(self.clock.now().monotonic, kind, who)
    }

    /// See [`Fold::recover`].
    pub fn recover(&self, who: &W) {
        self.fold().recover(self.clock.now().monotonic, who);
    }

    /// See [`Fold::take_over`].
    pub fn take_over(&self) -> Vec<(K, Over)> {
        self.fold().take_over(self.clock.now().monotonic)
    }

    fn fold(&self) -> MutexGuard<'_, Fold<K, W>> {
        self.fold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
