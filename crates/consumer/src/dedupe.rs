//! Recognises the same change in two streams by its fingerprint.

use super::record::Fingerprint;
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::{BTreeMap, VecDeque};

/// Checks whether a change was seen before in another stream, within a window.
///
/// A task in two watched projects gives each of its events twice: once in each stream, with the same fingerprint. Two
/// equal fingerprints in *one* stream are two changes (Asana's times have milliseconds). So each stream counts separately:
/// the n-th time that a stream has a fingerprint is the n-th change with that content.
///
/// It needs about 150 bytes of memory for each of `changes`.
///
/// ```
/// use asana_event_bridge_consumer::{Dedupe, record::Fingerprint};
/// use chrono::{DateTime, TimeDelta};
/// let mut dedupe = Dedupe::new(100_000, TimeDelta::hours(24));
/// let (print, now) = (Fingerprint([7; 16]), DateTime::UNIX_EPOCH);
/// assert!(dedupe.is_first("main/1", print, now));
/// assert!(!dedupe.is_first("main/2", print, now), "the same change");
/// assert!(dedupe.is_first("main/2", print, now), "the second one like it");
/// assert!(!dedupe.is_first("main/1", print, now), "the second one, through the first stream");
/// ```
#[derive(Clone, Debug)]
pub struct Dedupe {
    changes: usize,
    window: TimeDelta,
    seen: BTreeMap<Fingerprint, Seen>,
    /// The remembered changes, in the order in which they came.
    order: VecDeque<(DateTime<Utc>, Fingerprint)>,
}

/// The number of times that each stream brought a fingerprint.
#[derive(Clone, Debug, Default)]
struct Seen {
    by_stream: Vec<(Box<str>, u64)>,
    /// The number of entries in `order`. When the last one is removed, this is removed, too.
    entries: usize,
}

impl Dedupe {
    /// Remembers at most `changes` changes, each for the time of `window`. A good window is 24 hours, the life of Asana's sync
    /// tokens.
    #[must_use]
    pub fn new(changes: usize, window: TimeDelta) -> Self {
        Self { changes, window, seen: BTreeMap::new(), order: VecDeque::new() }
    }

    /// Whether the change is seen for the first time. `now` is the reader's clock, or `received_at`. It should not go back.
    /// Don't call it for records that are duplicates for the [`Detector`](super::Detector).
    pub fn is_first(&mut self, stream: &str, fingerprint: Fingerprint, now: DateTime<Utc>) -> bool {
        self.forget(now);
        let seen = self.seen.entry(fingerprint).or_default();
        let before = seen.by_stream.iter().map(|(_, count)| *count).max().unwrap_or(0);
        let count = if let Some((_, count)) = seen.by_stream.iter_mut().find(|(known, _)| **known == *stream) {
            *count += 1;
            *count
        } else {
            seen.by_stream.push((stream.into(), 1));
            1
        };
        let is_first = count > before;
        if is_first {
            seen.entries += 1;
            self.order.push_back((now, fingerprint));
        }
        is_first
    }

    fn forget(&mut self, now: DateTime<Utc>) {
        while let Some((time, fingerprint)) = self.order.front().copied() {
            if self.order.len() < self.changes && now - time < self.window {
                break;
            }
            self.order.pop_front();
            if let Some(seen) = self.seen.get_mut(&fingerprint) {
                seen.entries -= 1;
                if seen.entries == 0 {
                    self.seen.remove(&fingerprint);
                }
            }
        }
    }

    /// The number of remembered changes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether no change is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(number: u8) -> Fingerprint {
        Fingerprint([number; 16])
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).expect("a time")
    }

    #[test]
    fn the_window_is_bounded_by_count_and_by_time() {
        let mut dedupe = Dedupe::new(3, TimeDelta::seconds(10));
        for number in 0..5 {
            assert!(dedupe.is_first("a/1", print(number), at(0)));
        }
        assert_eq!((dedupe.len(), dedupe.seen.len()), (3, 3));
        assert!(!dedupe.is_first("b/2", print(4), at(9)));
        assert!(dedupe.is_first("b/2", print(1), at(9)), "forgotten for the count");
        assert!(dedupe.is_first("b/2", print(3), at(10)), "forgotten for the time");
        assert_eq!((dedupe.len(), dedupe.seen.len()), (2, 2));
    }

    #[test]
    fn changes_of_the_same_content_are_told_apart_by_how_often_each_stream_brings_them() {
        let mut dedupe = Dedupe::new(100, TimeDelta::days(1));
        let firsts = ["a", "a", "b", "b", "b", "a", "c"].map(|stream| dedupe.is_first(stream, print(1), at(0)));
        assert_eq!(firsts, [true, true, false, false, true, false, false]);
        assert_eq!(dedupe.len(), 3);
    }
}
