//! The rate of one account.
//!
//! Asana counts requests in a window of a minute, refused ones too, and doesn't say how
//! many are left. So a tenth of the budget may go in a burst and the rest is
//! spread evenly: over any minute the sum is at most the budget.

use super::now::Now;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

/// What an account may still do. Counts requests when they are sent.
#[derive(Clone, Debug)]
pub struct Budget {
    /// Between two requests at the steady rate.
    spacing: Duration,
    /// How far ahead of the steady rate a burst may run.
    burst: Duration,
    /// When the next request would be due at the steady rate.
    next_at: Duration,
    paused_until: Duration,
    in_flight: u16,
    max_in_flight: u16,
}

const MINUTE: Duration = Duration::from_secs(60);

impl Budget {
    /// A budget of requests a minute, and of requests in flight at once.
    #[must_use]
    pub fn new(requests_per_minute: NonZeroU32, max_in_flight: NonZeroU16) -> Self {
        let burst = requests_per_minute.get() / 10;
        let steady = requests_per_minute.get() - burst;
        let spacing = MINUTE / steady.max(1);
        Self {
            spacing,
            burst: spacing * burst.saturating_sub(1),
            next_at: Duration::ZERO,
            paused_until: Duration::ZERO,
            in_flight: 0,
            max_in_flight: max_in_flight.get(),
        }
    }

    /// When the next request may be sent; `None` while too many are in flight.
    #[must_use]
    pub fn available_at(&self) -> Option<Duration> {
        (self.in_flight < self.max_in_flight).then(|| self.next_at.saturating_sub(self.burst).max(self.paused_until))
    }

    /// Takes one request out of the budget, if there is one now.
    pub fn take(&mut self, now: Now) -> bool {
        let available = self.available_at().is_some_and(|at| at <= now.monotonic);
        if available {
            self.next_at = self.next_at.max(now.monotonic) + self.spacing;
            self.in_flight += 1;
        }
        available
    }

    /// A request that was taken has come back.
    pub fn finish(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Nothing is sent for a while, and no burst after it: Asana said so. Whether that is news: answers to
    /// requests that were in flight together say the same.
    pub fn pause(&mut self, now: Now, pause: Duration) -> bool {
        let is_news = self.paused_until <= now.monotonic;
        self.paused_until = self.paused_until.max(now.monotonic + pause);
        self.next_at = self.next_at.max(self.paused_until + self.burst);
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(millis: u64) -> Now {
        Now { monotonic: Duration::from_millis(millis), wall: chrono::DateTime::UNIX_EPOCH }
    }

    fn budget(per_minute: u32, in_flight: u16) -> Budget {
        Budget::new(NonZeroU32::new(per_minute).unwrap(), NonZeroU16::new(in_flight).unwrap())
    }

    proptest! {
        #[test]
        fn no_minute_has_more_requests_than_the_budget(
            per_minute in 1_u32..400,
            steps in proptest::collection::vec(0_u64..4_000, 1..600),
        ) {
            let mut budget = budget(per_minute, u16::MAX);
            let (mut now, mut sent) = (0, Vec::new());
            for step in steps {
                now += step;
                while budget.take(at(now)) {
                    sent.push(now);
                }
            }
            for (index, start) in sent.iter().enumerate() {
                let in_minute = sent[index..].iter().take_while(|time| **time < start + 60_000).count();
                prop_assert!(in_minute <= per_minute as usize, "{in_minute} of {per_minute} from {start}");
            }
        }
    }

    #[test]
    fn requests_in_flight_are_bounded() {
        let mut budget = budget(6000, 2);
        assert!(budget.take(at(0)) && budget.take(at(0)));
        assert!(!budget.take(at(0)));
        assert_eq!(budget.available_at(), None);
        budget.finish();
        assert!(budget.take(at(0)));
    }

    #[test]
    fn a_pause_holds_everything_back() {
        let mut budget = budget(6000, 9);
        assert!(budget.pause(at(0), Duration::from_secs(30)));
        assert!(!budget.pause(at(1), Duration::from_secs(20)), "known already");
        assert!(!budget.take(at(29_999)));
        assert!(budget.take(at(30_000)));
        assert!(!budget.take(at(30_000)), "no burst");
    }
}
