//! How long a stream waits between two polls.

use super::backoff::Backoff;
use crate::stream::Pace;
use std::time::Duration;

/// The delays after polls without a usable answer.
const RETRY: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(300) };
/// The delays after Asana refused a stream. Each is far below the life of a sync token (24 hours).
const SUSPENDED: Backoff = Backoff { first: Duration::from_secs(300), longest: Duration::from_secs(3600) };
/// After a webhook, so many polls without events come sooner than the stream's interval, each interval twice as long as
/// the one before: what the webhook reported isn't always in Asana's stream yet.
const EXPECTANT_POLLS: u32 = 4;

/// The shortest interval between two polls of a stream, and the longest.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Intervals {
    pub(crate) min: Duration,
    pub(crate) max: Duration,
}

/// What makes one stream deviate from the interval that its event rate gives: failures, and a webhook whose events
/// haven't come yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pacing {
    /// Polls without a usable answer, in a row.
    failures: u32,
    /// When the first of these was.
    failing_since: Option<Duration>,
    /// How many of the next polls come sooner, until events come.
    expectant: u32,
}

impl Pacing {
    /// How long the stream waits at the most until its next poll, after one with this result; `None`: for its
    /// interval. `who`: its name, for the jitter.
    pub(crate) fn next(&mut self, now: Duration, pace: Pace, intervals: Intervals, who: &str) -> Option<Duration> {
        self.count(now, pace);
        match pace {
            Pace::AtOnce => Some(Duration::ZERO),
            // Like the others: it may be the one that is throttled each time.
            Pace::AccountPause(_) => None,
            Pace::Active => {
                self.expectant = 0;
                None
            }
            Pace::Idle => {
                let before = EXPECTANT_POLLS - self.expectant;
                self.expectant = self.expectant.checked_sub(1)?;
                Some(intervals.min.saturating_mul(1 << before).min(intervals.max))
            }
            Pace::Retry => Some(RETRY.delay(self.failures, who)),
            Pace::Suspended(denials) => Some(SUSPENDED.delay(denials, who)),
        }
    }

    /// A webhook reported a change.
    pub(crate) fn expect_events(&mut self) {
        self.expectant = EXPECTANT_POLLS;
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

    fn waits(pacing: &mut Pacing, paces: impl IntoIterator<Item = Pace>) -> Vec<Option<u64>> {
        let mut next = |pace| pacing.next(SECOND, pace, INTERVALS, "main/1").map(|wait| wait.as_secs());
        paces.into_iter().map(&mut next).collect()
    }

    #[test]
    fn a_stream_waits_for_its_interval_and_shorter_after_a_webhook_until_events_come() {
        let mut pacing = Pacing::default();
        assert_eq!(waits(&mut pacing, [Pace::Idle, Pace::Active, Pace::AtOnce]), [None, None, Some(0)]);
        pacing.expect_events();
        let waited = waits(&mut pacing, [Pace::Idle; 5]);
        assert_eq!(waited, [Some(10), Some(20), Some(30), Some(30), None], "no longer than the longest");
        pacing.expect_events();
        assert_eq!(waits(&mut pacing, [Pace::Idle, Pace::Active, Pace::Idle]), [Some(10), None, None]);
    }

    #[test]
    fn delays_grow_with_failures_in_a_row() {
        let mut pacing = Pacing::default();
        for (number, longest) in [1, 2, 4, 8].into_iter().enumerate() {
            let now = SECOND * (5 + u32::try_from(number).unwrap());
            let delay = pacing.next(now, Pace::Retry, INTERVALS, "main/1").unwrap();
            assert!(delay >= longest * SECOND / 2 && delay <= longest * SECOND, "{delay:?}");
        }
        assert_eq!(waits(&mut pacing, [Pace::AccountPause(SECOND)]), [None]);
        assert_eq!((pacing.failures(), pacing.failing_since()), (4, Some(5 * SECOND)), "a pause is no news");
        assert_eq!(waits(&mut pacing, [Pace::Idle]), [None]);
        assert_eq!((pacing.failures(), pacing.failing_since()), (0, None));
    }

    #[test]
    fn a_suspended_stream_waits_by_its_denials_in_a_row_and_an_hour_at_most() {
        let mut pacing = Pacing::default();
        for (denials, longest) in [(1, 300), (2, 600), (9, 3600)] {
            let delay = pacing.next(SECOND, Pace::Suspended(denials), INTERVALS, "main/1").unwrap();
            assert!(delay >= longest * SECOND / 2 && delay <= longest * SECOND, "{delay:?}");
        }
        assert_eq!(pacing.failures(), 0);
    }
}
