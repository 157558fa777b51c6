//! The one simulated Asana of a process.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::asana::Asana;

/// The simulated Asana, shared between connections, and the true time.
#[derive(Debug)]
pub(crate) struct Shared {
    asana: Mutex<Asana>,
    started: Instant,
}

impl Shared {
    #[expect(clippy::disallowed_methods, reason = "an edge: the simulated clock starts here")]
    pub(crate) fn new(asana: Asana) -> Self {
        Self { asana: Mutex::new(asana), started: Instant::now() }
    }

    /// A panic of another caller leaves a world that may be odd, but is usable.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Asana> {
        self.asana.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}
