//! Times of the wire contract. Only this module creates and reads protobuf Timestamps.
//!
//! Protobuf has no second 60, no year 0 and none beyond 9999 (the comments of its `timestamp.proto`); chrono has all
//! of these. A Timestamp that breaks the rule can be encoded, and readers of other languages fail at it.

use chrono::{DateTime, SecondsFormat, Utc};
use std::ops::RangeInclusive;

/// A time as records have it: protobuf's `google.protobuf.Timestamp`. [`timestamp`] and [`date_time`] convert it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Timestamp {
    /// Seconds since 1970-01-01T00:00:00Z.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// Nanoseconds of the second, from 0 on.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// From 0001-01-01T00:00:00Z to 9999-12-31T23:59:59Z.
const SECONDS: RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
const NANOS_OF_A_SECOND: u32 = 1_000_000_000;

/// The time as a protobuf Timestamp. `None` if protobuf has no such time.
#[must_use]
pub fn timestamp(time: DateTime<Utc>) -> Option<Timestamp> {
    let (seconds, nanos) = (time.timestamp(), time.timestamp_subsec_nanos());
    let is_valid = SECONDS.contains(&seconds) && nanos < NANOS_OF_A_SECOND;
    is_valid.then_some(Timestamp { seconds, nanos: nanos.cast_signed() })
}

/// The time of a protobuf Timestamp. `None` if it breaks protobuf's own rules.
#[must_use]
pub fn date_time(timestamp: &Timestamp) -> Option<DateTime<Utc>> {
    let nanos = u32::try_from(timestamp.nanos).ok().filter(|nanos| *nanos < NANOS_OF_A_SECOND)?;
    SECONDS.contains(&timestamp.seconds).then(|| DateTime::from_timestamp(timestamp.seconds, nanos))?
}

/// Reads RFC 3339, with any offset. `None` for anything else, and for a time that protobuf doesn't have.
#[must_use]
pub fn parse(text: &str) -> Option<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc3339(text).ok()?.to_utc();
    timestamp(time).map(|_valid| time)
}

/// Asana's form of a time: UTC, milliseconds, `Z`.
#[must_use]
pub fn asana_form(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Protobuf's JSON form: RFC 3339, in UTC.
#[cfg(feature = "json")]
mod json {
    use super::{Timestamp, date_time, timestamp};
    use chrono::{DateTime, SecondsFormat, Utc};
    use serde::de::Error as _;
    use serde::ser::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    impl Serialize for Timestamp {
        fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            let time = date_time(self).ok_or_else(|| S::Error::custom("the time is out of range"))?;
            to.serialize_str(&time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
        }
    }

    impl<'de> Deserialize<'de> for Timestamp {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            let time = DateTime::parse_from_rfc3339(&String::deserialize(from)?).map_err(D::Error::custom)?;
            timestamp(time.with_timezone(&Utc)).ok_or_else(|| D::Error::custom("the time is out of range"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_protobuf_does_not_have_is_no_timestamp() {
        let first = DateTime::from_timestamp(*SECONDS.start(), 0).expect("a time");
        let last = DateTime::from_timestamp(*SECONDS.end(), 999_999_999).expect("a time");
        assert_eq!(first.to_rfc3339(), "0001-01-01T00:00:00+00:00");
        assert_eq!(last.to_rfc3339(), "9999-12-31T23:59:59.999999999+00:00");
        for time in [first, last, DateTime::UNIX_EPOCH] {
            assert_eq!(timestamp(time).as_ref().and_then(date_time), Some(time));
        }
        let nanosecond = chrono::TimeDelta::nanoseconds(1);
        assert_eq!((timestamp(first - nanosecond), timestamp(last + nanosecond)), (None, None));
        for (seconds, nanos) in [(59, 1_000_000_000), (0, -1), (*SECONDS.end() + 1, 0), (*SECONDS.start() - 1, 0)] {
            assert_eq!(date_time(&Timestamp { seconds, nanos }), None, "{seconds} {nanos}");
        }
        assert_eq!(parse("2016-12-31T23:59:60.000Z"), None);
        assert_eq!(parse("2026-01-02T03:04:05.678+01:00").map(asana_form).as_deref(), Some("2026-01-02T02:04:05.678Z"));
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_made(
            seconds in -100_000_000_000..300_000_000_000_i64, nanos in -100_000_000..1_100_000_000_i32,
        ) {
            let time = date_time(&Timestamp { seconds, nanos });
            prop_assert_eq!(time.and_then(timestamp), time.map(|_valid| Timestamp { seconds, nanos }));
        }
    }
}
