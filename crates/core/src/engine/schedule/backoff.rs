//! How long to wait after failures.

use std::time::Duration;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Doubling delays with a spread, so that what failed together isn't tried again together.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// After the first failure.
    pub first: Duration,
    /// The longest.
    pub longest: Duration,
}

impl Backoff {
    /// The delay after the `failures`-th failure in a row, between half of it and all of it.
    /// The same for the same `who`, so that runs can be repeated.
    #[must_use]
    pub fn delay(self, failures: u32, who: &str) -> Duration {
        let doublings = failures.saturating_sub(1).min(20);
        let full = self.first.saturating_mul(1 << doublings).min(self.longest);
        let spread = xxh3_64_with_seed(who.as_bytes(), u64::from(failures)) % 1000;
        full / 2 + full.mul_f64(f64::from(u32::try_from(spread).unwrap_or_default()) / 2000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_and_are_spread() {
        let backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(60) };
        for (failures, full) in [(1, 1), (2, 2), (4, 8), (7, 60), (u32::MAX, 60)] {
            let delay = backoff.delay(failures, "main/1");
            assert!(delay >= Duration::from_secs(full) / 2 && delay <= Duration::from_secs(full), "{delay:?}");
        }
        assert_ne!(backoff.delay(1, "main/1"), backoff.delay(1, "main/2"));
    }
}
