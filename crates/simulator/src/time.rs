//! Two times: the client's seconds, and the simulated clock.
//!
//! Rate limits and the rate of live events count in the client's own seconds (`elapsed`). Everything that Asana dates
//! or that expires (events, sync tokens, offsets, faults) follows the simulated clock, which can be advanced and
//! accelerated.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, de::Error as _};

/// A moment of the simulated clock, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timestamp(i64);

impl Timestamp {
    pub(crate) fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    pub(crate) fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// The time from `earlier` to this moment; none if it is later.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Seconds since the Unix epoch, cut off.
    pub(crate) fn seconds(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Whether all of `duration` has passed between `earlier` and this moment.
    pub(crate) fn has_passed(self, earlier: Self, duration: Duration) -> bool {
        self >= earlier.plus(duration)
    }

    /// Reads an RFC 3339 time, the only form in which Asana returns times.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let parsed = DateTime::parse_from_rfc3339(text).ok()?;
        Some(Self(parsed.timestamp_millis()))
    }

    /// The day alone, as in `due_on`.
    pub(crate) fn date(self) -> String {
        self.utc().format("%Y-%m-%d").to_string()
    }

    /// The form of the header `Date` (RFC 9110, "IMF-fixdate"): parts of a second are cut off.
    pub(crate) fn http(self) -> String {
        self.utc().format("%a, %d %b %Y %H:%M:%S GMT").to_string()
    }

    pub(crate) fn system(self) -> SystemTime {
        self.utc().into()
    }

    fn utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.0).unwrap_or_default()
    }
}

/// UTC with milliseconds and `Z`, as in Asana's own `created_at`.
impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.utc().to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The simulated clock: a line through (`since`, `base`) whose slope is `speed`.
#[derive(Debug)]
pub(crate) struct Clock {
    base: Timestamp,
    since: Duration,
    speed: f64,
}

impl Clock {
    pub(crate) fn starting_at(base: Timestamp, speed: f64) -> Self {
        Self { base, since: Duration::ZERO, speed }
    }

    pub(crate) fn at(&self, elapsed: Duration) -> Timestamp {
        self.base.plus(elapsed.saturating_sub(self.since).mul_f64(self.speed))
    }

    pub(crate) fn speed(&self) -> f64 {
        self.speed
    }

    pub(crate) fn advance(&mut self, elapsed: Duration, by: Duration) {
        self.base = self.at(elapsed).plus(by);
        self.since = elapsed;
    }

    pub(crate) fn set_speed(&mut self, elapsed: Duration, speed: f64) {
        self.advance(elapsed, Duration::ZERO);
        self.speed = speed;
    }
}

/// A duration as people write it: `250ms`, `5m`, `24h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text).map(Self).map_err(|error| D::Error::custom(format!("`{text}`: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_header_has_whole_seconds() {
        let time = Timestamp::parse("2026-11-08T09:05:59.999Z").unwrap();
        assert_eq!(time.http(), "Sun, 08 Nov 2026 09:05:59 GMT");
    }

    #[test]
    fn a_sped_up_clock_runs_ahead_and_an_advance_jumps() {
        let start = Timestamp::parse("2026-01-01T00:00:00.000Z").unwrap();
        let mut clock = Clock::starting_at(start, 1.0);
        let second = Duration::from_secs(1);
        assert_eq!(clock.at(second).to_string(), "2026-01-01T00:00:01.000Z");
        clock.set_speed(second, 60.0);
        assert_eq!(clock.at(2 * second).to_string(), "2026-01-01T00:01:01.000Z");
        clock.advance(2 * second, Duration::from_secs(86_400));
        assert_eq!(clock.at(2 * second).to_string(), "2026-01-02T00:01:01.000Z");
        assert!(clock.at(2 * second).has_passed(start, Duration::from_secs(86_400)));
    }
}
