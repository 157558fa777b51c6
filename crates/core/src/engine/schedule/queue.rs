//! Which stream of an account is crawled next.

use crate::ids::StreamId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// One entry for each stream that waits, ordered by when it is due.
#[derive(Clone, Debug, Default)]
pub struct DueStreams {
    by_time: BTreeSet<(Duration, StreamId)>,
    by_stream: BTreeMap<StreamId, Duration>,
}

impl DueStreams {
    /// Makes the stream due at a time, unless it is due earlier.
    pub fn set_earlier(&mut self, stream: StreamId, due: Duration) {
        if self.by_stream.get(&stream).is_none_or(|before| due < *before) {
            self.remove(&stream);
            self.by_time.insert((due, stream.clone()));
            self.by_stream.insert(stream, due);
        }
    }

    /// Takes the stream out.
    pub fn remove(&mut self, stream: &StreamId) {
        if let Some(due) = self.by_stream.remove(stream) {
            self.by_time.remove(&(due, stream.clone()));
        }
    }

    /// The stream that is due first, and when.
    #[must_use]
    pub fn first(&self) -> Option<(Duration, &StreamId)> {
        self.by_time.first().map(|(due, stream)| (*due, stream))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_due_goes_first_and_each_stream_once() {
        let stream = |gid: &str| StreamId::new("main", gid);
        let at = Duration::from_secs;
        let mut due = DueStreams::default();
        due.set_earlier(stream("1"), at(3));
        due.set_earlier(stream("2"), at(2));
        due.set_earlier(stream("1"), at(1));
        due.set_earlier(stream("1"), at(9));
        assert_eq!(due.first(), Some((at(1), &stream("1"))));
        due.remove(&stream("1"));
        assert_eq!(due.first(), Some((at(2), &stream("2"))));
        due.remove(&stream("2"));
        assert_eq!(due.first(), None);
    }
}
