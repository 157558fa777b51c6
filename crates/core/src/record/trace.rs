//! One trace for each page, so that a poll can be followed through the bus.

use chrono::{DateTime, Utc};
use std::fmt;
use xxhash_rust::xxh3::Xxh3;

/// A trace, and its span that created a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    id: u128,
    span: u64,
    /// The span of the request to Asana.
    request: u64,
    sampled: bool,
}

/// The sampling of traces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sampling {
    /// A trace is reported if its last 63 bits are below this: 2^63 for all.
    below: u64,
}

impl Sampling {
    /// Reports no traces.
    pub const NONE: Self = Self { below: 0 };
    /// Reports all traces.
    pub const ALL: Self = Self { below: 1 << 63 };

    /// Reports this part of the traces, by their ids, so that all programs decide alike, as OpenTelemetry's
    /// `TraceIdRatioBased`. `None` if the part isn't between 0 and 1.
    #[must_use]
    pub fn ratio(part: f64) -> Option<Self> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "a part of 2^63 is a u64, and its last bits don't matter"
        )]
        let below = (part * Self::ALL.below as f64) as u64;
        (0.0..=1.0).contains(&part).then_some(Self { below })
    }

    fn takes(self, id: u128) -> bool {
        let last = id & u128::from(u64::MAX);
        last >> 1 < u128::from(self.below)
    }
}

impl Trace {
    /// The trace of a page. `poll` is its number within the session, or 0 without a poll.
    #[must_use]
    pub fn new(replica: &str, poll: u64, at: DateTime<Utc>) -> Self {
        let mut hash = Xxh3::new();
        hash.update(&poll.to_be_bytes());
        hash.update(&at.timestamp().to_be_bytes());
        hash.update(&at.timestamp_subsec_nanos().to_be_bytes());
        hash.update(replica.as_bytes());
        let id = hash.digest128();
        hash.update(b"span");
        let span = hash.digest();
        hash.update(b"request");
        // Zero isn't a valid id (Trace Context, sections 3.2.2.3 and 3.2.2.4).
        Self { id: id.max(1), span: span.max(1), request: hash.digest().max(1), sampled: false }
    }

    /// The same trace, with the decision whether it is reported.
    #[must_use]
    pub fn sampled(self, sampling: Sampling) -> Self {
        Self { sampled: sampling.takes(self.id), ..self }
    }

    /// Whether its spans are reported.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.sampled
    }

    /// The id that all of its spans have in common.
    #[must_use]
    pub fn id(&self) -> u128 {
        self.id
    }

    /// The span that created the records.
    #[must_use]
    pub fn span(&self) -> u64 {
        self.span
    }

    /// The span of the request that returned the records. It is the parent of [`span`](Self::span).
    #[must_use]
    pub fn request(&self) -> u64 {
        self.request
    }
}

/// The form of `traceparent` in W3C Trace Context, level 1: version, trace, span, flags.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.id, self.span, u8::from(self.sampled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(replica: &str, poll: u64, nanos: i64) -> Trace {
        Trace::new(replica, poll, DateTime::from_timestamp_nanos(nanos))
    }

    #[test]
    fn a_trace_has_the_form_of_a_traceparent() {
        let text = trace("r1", 1, 0).to_string();
        let parts: Vec<_> = text.split('-').collect();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [2, 32, 16, 2], "{text}");
        assert!(text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f' | '-')), "{text}");
        assert_eq!((parts[0], parts[3]), ("00", "00"));
        let one = Trace { id: 1, span: 0xab, request: 1, sampled: false };
        assert_eq!(one.to_string(), format!("00-{}1-{}ab-00", "0".repeat(31), "0".repeat(14)));
        assert_eq!(one.sampled(Sampling::ALL).to_string(), format!("00-{}1-{}ab-01", "0".repeat(31), "0".repeat(14)));
    }

    #[test]
    fn a_part_of_the_traces_is_sampled() {
        let sampled = |sampling| (0..1000).filter(|poll| trace("r1", *poll, 0).sampled(sampling).is_sampled()).count();
        assert_eq!((sampled(Sampling::NONE), sampled(Sampling::ALL)), (0, 1000));
        assert_eq!((Sampling::ratio(0.0), Sampling::ratio(1.0)), (Some(Sampling::NONE), Some(Sampling::ALL)));
        let quarter = sampled(Sampling::ratio(0.25).unwrap());
        assert!((200..300).contains(&quarter), "{quarter}");
        assert_eq!((Sampling::ratio(-0.1), Sampling::ratio(1.1), Sampling::ratio(f64::NAN)), (None, None, None));
    }

    #[test]
    fn each_page_has_a_trace_of_its_own() {
        let all = [trace("r1", 1, 5), trace("r2", 1, 5), trace("r1", 2, 5), trace("r1", 1, 6), trace("r1", 0, 5)];
        for (index, one) in all.iter().enumerate() {
            assert!(all.iter().skip(index + 1).all(|other| other.id != one.id && other.span != one.span), "{all:?}");
        }
        assert_eq!(trace("r1", 1, 5), trace("r1", 1, 5));
    }
}
