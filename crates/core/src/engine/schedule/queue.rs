//! Which stream of an account is polled next.

use crate::ids::StreamId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A stream that yields goes first once it has waited for so long.
const LONGEST_YIELD: Duration = Duration::from_secs(3600);

/// One entry for each stream that waits, ordered by when it is due. A stream that is
/// being polled, or waits for a commit, isn't in it.
#[derive(Clone, Debug, Default)]
pub struct Schedule {
    by_time: BTreeSet<(Duration, StreamId)>,
    /// These go when no other is due.
    yielding: BTreeSet<(Duration, StreamId)>,
    by_stream: BTreeMap<StreamId, Duration>,
}

impl Schedule {
    /// Makes the stream due at a time, in place of any earlier entry.
    pub fn set(&mut self, stream: StreamId, due: Duration) {
        self.remove(&stream);
        self.by_time.insert((due, stream.clone()));
        self.by_stream.insert(stream, due);
    }

    /// The same for a stream that goes when no other is due, or when it has waited for an hour.
    pub fn set_yielding(&mut self, stream: StreamId, due: Duration) {
        self.remove(&stream);
        self.yielding.insert((due, stream.clone()));
        self.by_stream.insert(stream, due);
    }

    /// Makes the stream due at a time, unless it is due earlier.
    pub fn set_earlier(&mut self, stream: StreamId, due: Duration) {
        if self.by_stream.get(&stream).is_none_or(|before| due < *before) {
            self.set(stream, due);
        }
    }

    /// Takes the stream out.
    pub fn remove(&mut self, stream: &StreamId) {
        if let Some(due) = self.by_stream.remove(stream) {
            let entry = (due, stream.clone());
            self.by_time.remove(&entry);
            self.yielding.remove(&entry);
        }
    }

    /// When the first stream is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        self.by_time.first().into_iter().chain(self.yielding.first()).map(|(due, _)| *due).min()
    }

    /// When the first stream is due that doesn't yield.
    #[must_use]
    pub fn next_unyielding(&self) -> Option<Duration> {
        self.by_time.first().map(|(due, _)| *due)
    }

    /// When the stream is due, if it waits.
    #[must_use]
    pub fn due(&self, stream: &StreamId) -> Option<Duration> {
        self.by_stream.get(stream).copied()
    }

    /// The stream that has been due for longest, if any is.
    #[must_use]
    pub fn first_due(&self, now: Duration) -> Option<&StreamId> {
        self.by_time.first().filter(|(due, _)| *due <= now).map(|(_, stream)| stream)
    }

    /// Takes out the stream that has been due for longest, if any is.
    pub fn pop_due(&mut self, now: Duration) -> Option<StreamId> {
        let is_due = |entry: Option<&(Duration, StreamId)>, wait| entry.is_some_and(|(due, _)| *due + wait <= now);
        let has_waited = is_due(self.yielding.first(), LONGEST_YIELD);
        let (_, stream) = if !has_waited && is_due(self.by_time.first(), Duration::ZERO) {
            self.by_time.pop_first()
        } else if is_due(self.yielding.first(), Duration::ZERO) {
            self.yielding.pop_first()
        } else {
            None
        }?;
        self.by_stream.remove(&stream);
        Some(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(gid: &str) -> StreamId {
        StreamId::new("main", gid)
    }

    #[test]
    fn the_longest_due_goes_first_and_each_stream_once() {
        let mut schedule = Schedule::default();
        schedule.set(stream("1"), Duration::from_secs(3));
        schedule.set(stream("2"), Duration::from_secs(1));
        schedule.set(stream("1"), Duration::from_secs(2));
        assert_eq!(schedule.next_due(), Some(Duration::from_secs(1)));
        assert_eq!(schedule.pop_due(Duration::ZERO), None);
        assert_eq!(schedule.pop_due(Duration::from_secs(9)), Some(stream("2")));
        assert_eq!(schedule.pop_due(Duration::from_secs(9)), Some(stream("1")));
        assert_eq!(schedule.pop_due(Duration::from_secs(9)), None);
    }

    #[test]
    fn who_yields_goes_when_no_other_is_due_or_after_an_hour() {
        let mut schedule = Schedule::default();
        schedule.set_yielding(stream("1"), Duration::from_secs(1));
        schedule.set(stream("2"), Duration::from_secs(5));
        assert_eq!(
            (schedule.next_due(), schedule.next_unyielding()),
            (Some(Duration::from_secs(1)), Some(Duration::from_secs(5)))
        );
        assert_eq!(schedule.pop_due(Duration::from_secs(9)), Some(stream("2")));
        assert_eq!(schedule.pop_due(Duration::from_secs(9)), Some(stream("1")));
        schedule.set_yielding(stream("1"), Duration::from_secs(1));
        schedule.set(stream("2"), Duration::from_secs(5));
        assert_eq!(schedule.pop_due(Duration::from_secs(3601)), Some(stream("1")));
        schedule.set_yielding(stream("2"), Duration::from_secs(7));
        schedule.set(stream("2"), Duration::from_secs(8));
        assert_eq!(schedule.pop_due(Duration::from_secs(9)), Some(stream("2")), "one entry for each");
        assert_eq!(schedule.pop_due(Duration::from_secs(9)), None);
    }
}
