//! How long a stream waits between two polls.

use super::backoff::Backoff;
use crate::stream::Pace;
use std::time::Duration;

/// The delays after polls without a usable answer.
const RETRY: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(300) };
/// The delays after Asana refused a stream. Each is far below the life of a sync token (24 hours).
const SUSPENDED: Backoff = Backoff { first: Duration::from_secs(300), longest: Duration::from_secs(3600) };
/// A poll without events makes the interval longer by this factor, up to the longest.
const IDLE_GROWTH: (u32, u32) = (3, 2);

/// The shortest interval between two polls of a stream, and the longest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Intervals {
    pub(crate) min: Duration,
    pub(crate) max: Duration,
}

/// The pace of one stream: its interval grows while no events come, and its delays while polls fail.
#[derive(Clone, Debug)]
pub(crate) struct Pacing {
    interval: Duration,
    /// Polls without a usable answer, in a row.
    failures: u32,
    /// When the first of these was.
    failing_since: Option<Duration>,
}

impl Pacing {
    /// At the shortest interval, without failures.
    pub(crate) fn new(intervals: Intervals) -> Self {
        Self { interval: intervals.min, failures: 0, failing_since: None }
    }

    /// How long the stream waits until its next poll, after one with this result. `who`: its name, for the jitter.
    pub(crate) fn next(&mut self, now: Duration, pace: Pace, intervals: Intervals, who: &str) -> Duration {
        self.count(now, pace);
        match pace {
            Pace::AtOnce => Duration::ZERO,
            // After those that become due while the account pauses: it would have the same answer first again.
            Pace::AccountPause(pause) => pause,
            Pace::Active => {
                self.hasten(intervals);
                self.interval
            }
            Pace::Idle => {
                let (times, by) = IDLE_GROWTH;
                self.interval = (self.interval * times / by).clamp(intervals.min, intervals.max);
                self.interval
            }
            Pace::Retry => RETRY.delay(self.failures, who),
            Pace::Suspended(denials) => SUSPENDED.delay(denials, who),
        }
    }

    /// Counts failures in a row. A pause of the account neither is one nor ends them.
    fn count(&mut self, now: Duration, pace: Pace) {
        match pace {
            Pace::Retry => {
                self.failures += 1;
                self.failing_since.get_or_insert(now);
            }
            Pace::AccountPause(_) => {}
            Pace::AtOnce | Pace::Active | Pace::Idle | Pace::Suspended(_) => {
                (self.failures, self.failing_since) = (0, None);
            }
        }
    }

    /// Back to the shortest interval: events are expected.
    pub(crate) fn hasten(&mut self, intervals: Intervals) {
        self.interval = intervals.min;
    }

    /// Polls without a usable answer, in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// When the first of these was.
    pub(crate) fn failing_since(&self) -> Option<Duration> {
        self.failing_since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const INTERVALS: Intervals = Intervals { min: Duration::from_secs(10), max: Duration::from_secs(30) };

    fn waits(pacing: &mut Pacing, paces: impl IntoIterator<Item = Pace>) -> Vec<u64> {
        paces.into_iter().map(|pace| pacing.next(SECOND, pace, INTERVALS, "main/1").as_secs()).collect()
    }

    #[test]
    fn the_interval_grows_by_half_while_no_events_come_and_is_bounded() {
        let mut pacing = Pacing::new(INTERVALS);
        assert_eq!(waits(&mut pacing, [Pace::Idle; 4]), [15, 22, 30, 30]);
        assert_eq!(waits(&mut pacing, [Pace::AtOnce, Pace::Active, Pace::Idle]), [0, 10, 15]);
        assert_eq!(waits(&mut pacing, [Pace::AccountPause(SECOND), Pace::Idle]), [1, 22], "a pause is no news");
        pacing.hasten(INTERVALS);
        assert_eq!(waits(&mut pacing, [Pace::Idle]), [15]);
        let shorter = Intervals { min: SECOND, max: 5 * SECOND };
        assert_eq!(pacing.next(SECOND, Pace::Idle, shorter, "main/1"), 5 * SECOND, "other settings count at once");
    }

    #[test]
    fn delays_grow_with_failures_in_a_row_and_keep_the_interval() {
        let mut pacing = Pacing::new(INTERVALS);
        for (number, longest) in [1, 2, 4, 8].into_iter().enumerate() {
            let now = SECOND * (5 + u32::try_from(number).unwrap());
            let delay = pacing.next(now, Pace::Retry, INTERVALS, "main/1");
            assert!(delay >= longest * SECOND / 2 && delay <= longest * SECOND, "{delay:?}");
        }
        waits(&mut pacing, [Pace::AccountPause(SECOND)]);
        assert_eq!((pacing.failures(), pacing.failing_since()), (4, Some(5 * SECOND)));
        assert_eq!(waits(&mut pacing, [Pace::Idle]), [15]);
        assert_eq!((pacing.failures(), pacing.failing_since()), (0, None));
    }

    #[test]
    fn a_suspended_stream_waits_by_its_denials_in_a_row_and_an_hour_at_most() {
        let mut pacing = Pacing::new(INTERVALS);
        for (denials, longest) in [(1, 300), (2, 600), (9, 3600)] {
            let delay = pacing.next(SECOND, Pace::Suspended(denials), INTERVALS, "main/1");
            assert!(delay >= longest * SECOND / 2 && delay <= longest * SECOND, "{delay:?}");
        }
        assert_eq!(pacing.failures(), 0);
    }
}
