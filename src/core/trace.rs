//! One trace for each page, so that what became of a poll can be followed through the bus.

use chrono::{DateTime, Utc};
use std::fmt;
use xxhash_rust::xxh3::Xxh3;

/// A trace, and the span in it that made a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    id: u128,
    span: u64,
}

impl Trace {
    /// The trace of a page: `poll` is its number within the session. What comes from no poll has number 0.
    #[must_use]
    pub fn new(replica: &str, poll: u64, at: DateTime<Utc>) -> Self {
        let mut hash = Xxh3::new();
        hash.update(&poll.to_be_bytes());
        hash.update(&at.timestamp().to_be_bytes());
        hash.update(&at.timestamp_subsec_nanos().to_be_bytes());
        hash.update(replica.as_bytes());
        let id = hash.digest128();
        hash.update(b"span");
        // Zero is no id (Trace Context, sections 3.2.2.3 and 3.2.2.4).
        Self { id: id.max(1), span: hash.digest().max(1) }
    }
}

/// As W3C Trace Context, level 1, has it in `traceparent`: version, trace, span, flags. Not sampled: the bridge
/// reports the span to nobody.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-00", self.id, self.span)
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
        assert_eq!(Trace { id: 1, span: 0xab }.to_string(), format!("00-{}1-{}ab-00", "0".repeat(31), "0".repeat(14)));
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
