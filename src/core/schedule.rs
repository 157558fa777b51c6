//! Which stream of an account is polled next.

use super::ids::StreamId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// One entry for each stream that waits, ordered by when it is due. A stream that is
/// being polled, or waits for a commit, isn't in it.
#[derive(Clone, Debug, Default)]
pub struct Schedule {
    by_time: BTreeSet<(Duration, StreamId)>,
    by_stream: BTreeMap<StreamId, Duration>,
}

impl Schedule {
    /// Makes the stream due at a time, in place of any earlier entry.
    pub fn set(&mut self, stream: StreamId, due: Duration) {
        self.remove(&stream);
        self.by_time.insert((due, stream.clone()));
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
            self.by_time.remove(&(due, stream.clone()));
        }
    }

    /// When the first stream is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
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
        if self.next_due()? > now {
            return None;
        }
        let (_, stream) = self.by_time.pop_first()?;
        self.by_stream.remove(&stream);
        Some(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_due_goes_first_and_each_stream_once() {
        let mut schedule = Schedule::default();
        let stream = |gid: &str| StreamId::new("main", gid);
        schedule.set(stream("1"), Duration::from_secs(3));
        schedule.set(stream("2"), Duration::from_secs(1));
        schedule.set(stream("1"), Duration::from_secs(2));
        assert_eq!(schedule.next_due(), Some(Duration::from_secs(1)));
        assert_eq!(schedule.pop_due(Duration::ZERO), None);
        assert_eq!(schedule.pop_due(Duration::from_secs(9)), Some(stream("2")));
        assert_eq!(schedule.pop_due(Duration::from_secs(9)), Some(stream("1")));
        assert_eq!(schedule.pop_due(Duration::from_secs(9)), None);
    }
}
