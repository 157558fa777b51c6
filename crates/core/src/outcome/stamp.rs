//! The time of Asana's answers, by its own clock.

use chrono::{DateTime, Datelike as _, TimeDelta, Utc};
use std::time::Duration;

/// The precision of the header `Date`, which has whole seconds (RFC 9110, section 5.6.7), truncated or rounded.
const PRECISION: TimeDelta = TimeDelta::seconds(1);

/// The time for which an observation is used. A monotonic clock may be too fast or too slow by at most a few hundred
/// millionths (`adjtimex(2)` allows NTP 500): in this time that is about a second.
const ANCHOR_LIFE: Duration = Duration::from_secs(1800);

/// The time of an answer by Asana, by its own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    date: DateTime<Utc>,
    took: Duration,
}

impl Stamp {
    /// `date`: the answer's `Date`. `took`: the time from the start of the request to the end of its answer, by a
    /// monotonic clock. `None` for an implausible date: it would stay a bound forever.
    #[must_use]
    pub fn new(date: DateTime<Utc>, took: Duration) -> Option<Self> {
        (1970..=9998).contains(&date.year()).then_some(Self { date, took })
    }

    /// The request reached Asana at this time or later, because `Date` is stamped at the end. The answer contains
    /// everything that Asana could show before.
    #[must_use]
    pub fn not_before(self) -> DateTime<Utc> {
        let took = TimeDelta::from_std(self.took).unwrap_or(TimeDelta::MAX);
        self.date.checked_sub_signed(took).map_or(DateTime::UNIX_EPOCH, |time| time - PRECISION)
    }

    /// Asana had answered at this time at the latest.
    #[must_use]
    pub fn not_after(self) -> DateTime<Utc> {
        self.date + PRECISION
    }

    /// The minimum error of a clock that showed `host` when the answer had arrived: positive if it is ahead of Asana's,
    /// zero if it may be right.
    #[must_use]
    pub fn offset(self, host: DateTime<Utc>) -> TimeDelta {
        let latest = self.not_after() + TimeDelta::from_std(self.took).unwrap_or_default();
        (host - latest).max(TimeDelta::zero()) + (host - (self.date - PRECISION)).min(TimeDelta::zero())
    }
}

/// Asana's current time, between two bounds that advance with a monotonic clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsanaClock {
    /// A time that had passed at Asana, and the monotonic time when that was so.
    passed: Option<(DateTime<Utc>, Duration)>,
    /// A time that hadn't passed at Asana or had just come, and the monotonic time when that was so.
    ahead: Option<(DateTime<Utc>, Duration)>,
}

impl AsanaClock {
    /// Takes the time of an answer to a request that was sent at `asked`. It is `monotonic` now.
    pub fn set(&mut self, asked: Duration, monotonic: Duration, stamp: Stamp) {
        let passed = stamp.date - PRECISION;
        let is_old = |at: Option<(DateTime<Utc>, Duration)>| {
            at.is_none_or(|(_, at)| monotonic.saturating_sub(at) >= ANCHOR_LIFE)
        };
        let (known_passed, known_ahead) = (self.passed(monotonic), self.ahead(monotonic));
        // The clock of a machine that was suspended stood still meanwhile: an answer that contradicts it counts.
        let contradicts = known_passed.is_some_and(|known| known > stamp.not_after())
            || known_ahead.is_some_and(|known| known < passed);
        if contradicts || is_old(self.passed) || known_passed.is_none_or(|known| known < passed) {
            self.passed = Some((passed, monotonic));
        }
        let ahead = (stamp.not_after(), asked);
        if contradicts
            || is_old(self.ahead)
            || known_ahead.is_none_or(|known| gone(ahead, monotonic).is_some_and(|latest| latest < known))
        {
            self.ahead = Some(ahead);
        }
    }

    /// A time that has certainly passed at Asana; `None` before the first answer.
    #[must_use]
    pub fn passed(self, monotonic: Duration) -> Option<DateTime<Utc>> {
        gone(self.passed?, monotonic)
    }

    /// A time that certainly isn't before Asana's; `None` before the first answer.
    #[must_use]
    pub fn ahead(self, monotonic: Duration) -> Option<DateTime<Utc>> {
        gone(self.ahead?, monotonic)
    }

    /// The time since the answer on which the bounds are based.
    #[must_use]
    pub fn age(self, monotonic: Duration) -> Option<Duration> {
        self.passed.map(|(_, at)| monotonic.saturating_sub(at))
    }
}

fn gone((time, at): (DateTime<Utc>, Duration), monotonic: Duration) -> Option<DateTime<Utc>> {
    time.checked_add_signed(TimeDelta::from_std(monotonic.saturating_sub(at)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn stamp(date: i64, took: u64) -> Stamp {
        Stamp::new(at(date), Duration::from_secs(took)).unwrap()
    }

    #[test]
    fn bounds_allow_for_whole_seconds_and_the_time_on_the_way() {
        assert_eq!((stamp(100, 7).not_before(), stamp(100, 7).not_after()), (at(92), at(101)));
        let first = Stamp::new(DateTime::UNIX_EPOCH, Duration::MAX).unwrap();
        assert_eq!(first.not_before(), DateTime::UNIX_EPOCH);
        for year in ["0000", "1969", "9999"] {
            let date = format!("{year}-06-01T00:00:00Z").parse().unwrap();
            assert_eq!(Stamp::new(date, Duration::ZERO), None, "{year}");
        }
    }

    #[test]
    fn a_clock_that_may_be_right_has_no_offset() {
        let stamp = stamp(100, 7);
        for (host, offset) in [(99, 0), (100, 0), (108, 0), (109, 1), (98, -1), (86_508, 86_400)] {
            assert_eq!(stamp.offset(at(host)), TimeDelta::seconds(offset), "{host}");
        }
    }

    #[test]
    fn asanas_time_goes_on_between_its_bounds_and_never_back() {
        let second = Duration::from_secs;
        let mut clock = AsanaClock::default();
        assert_eq!((clock.passed(second(5)), clock.ahead(second(5)), clock.age(second(5))), (None, None, None));
        clock.set(second(1), second(5), stamp(100, 4));
        assert_eq!((clock.passed(second(6)), clock.ahead(second(6))), (Some(at(100)), Some(at(106))));
        clock.set(second(8), second(8), stamp(101, 0));
        assert_eq!((clock.passed(second(8)), clock.age(second(8))), (Some(at(102)), Some(second(3))));
        assert_eq!(clock.ahead(second(8)), Some(at(102)));
        clock.set(second(3610), second(3610), stamp(3000, 0));
        assert_eq!(clock.passed(second(3610)), Some(at(2999)), "what is an hour old is replaced");
        assert_eq!(clock.ahead(second(3610)), Some(at(3001)));
        clock.set(second(3611), second(3611), stamp(9000, 0));
        assert_eq!(clock.ahead(second(3611)), Some(at(9001)), "the machine was suspended");
        let mut clock = AsanaClock::default();
        clock.set(second(9), second(9), stamp(110, 0));
        assert_eq!((clock.passed(second(9)), clock.age(second(9))), (Some(at(109)), Some(Duration::ZERO)));
    }
}
