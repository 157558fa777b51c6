//! When each stream was polled, and with which token, to find streams that were polled late.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::event::Gid;

/// The maximum number of late polls that are listed. All are counted.
const MOST_LATE: usize = 10_000;

/// The polls of one stream since the counters were reset.
#[derive(Debug)]
pub(crate) struct Polled {
    polls: u64,
    /// The time of the last poll, or of the reset.
    last: Duration,
    longest: Duration,
    by_token: Vec<(String, Visits)>,
}

/// The polls of a stream with one token.
#[derive(Debug)]
struct Visits {
    polls: u64,
    first: Duration,
    last: Duration,
}

impl Polled {
    fn starting_at(elapsed: Duration) -> Self {
        Self { polls: 0, last: elapsed, longest: Duration::ZERO, by_token: Vec::new() }
    }

    /// Counts a poll. Returns the time since the poll before.
    fn count(&mut self, token: &str, elapsed: Duration) -> Duration {
        let gap = elapsed.saturating_sub(self.last);
        self.polls += 1;
        self.last = elapsed;
        self.longest = self.longest.max(gap);
        match self.by_token.iter_mut().find(|(name, _)| name == token) {
            Some((_, visits)) => {
                visits.polls += 1;
                visits.last = elapsed;
            }
            None => self.by_token.push((token.to_owned(), Visits { polls: 1, first: elapsed, last: elapsed })),
        }
        gap
    }

    /// The counters. The time since the last poll counts, too.
    fn show(&self, elapsed: Duration) -> Value {
        let tokens = self.by_token.iter().map(|(name, visits)| {
            let Visits { polls, first, last } = visits;
            (name.clone(), json!({"polls": polls, "first_ms": millis(*first), "last_ms": millis(*last)}))
        });
        json!({
            "polls": self.polls,
            "last_ms": millis(self.last),
            "longest_ms": millis(self.longest.max(elapsed.saturating_sub(self.last))),
            "tokens": tokens.collect::<Map<_, _>>(),
        })
    }
}

/// A time without polls of a stream that is longer than the requested limit.
#[derive(Debug, Serialize)]
struct Late {
    resource: String,
    from_ms: u64,
    to_ms: u64,
}

/// The counters that all streams have in common.
#[derive(Debug, Default)]
pub(crate) struct Polls {
    since: Duration,
    late_after: Option<Duration>,
    late: Vec<Late>,
    late_count: u64,
}

impl Polls {
    /// Resets the counters. Streams that were polled before have to be polled from now on.
    pub(crate) fn reset<'a>(
        &mut self,
        late_after: Option<Duration>,
        elapsed: Duration,
        streams: impl Iterator<Item = &'a mut Option<Polled>>,
    ) {
        *self = Self { since: elapsed, late_after, late: Vec::new(), late_count: 0 };
        for polled in streams.filter_map(Option::as_mut) {
            *polled = Polled::starting_at(elapsed);
        }
    }

    /// Counts a poll.
    pub(crate) fn count(&mut self, gid: &str, polled: &mut Option<Polled>, token: &str, elapsed: Duration) {
        let polled = polled.get_or_insert_with(|| Polled::starting_at(elapsed));
        let gap = polled.count(token, elapsed);
        if self.late_after.is_some_and(|late| gap > late) {
            self.late_count += 1;
            if self.late.len() < MOST_LATE {
                let from_ms = millis(elapsed.saturating_sub(gap));
                self.late.push(Late { resource: gid.to_owned(), from_ms, to_ms: millis(elapsed) });
            }
        }
    }

    pub(crate) fn show<'a>(
        &self,
        elapsed: Duration,
        streams: impl Iterator<Item = (&'a Gid, &'a Option<Polled>)>,
    ) -> Value {
        let streams = streams.filter_map(|(gid, polled)| Some((gid.to_string(), polled.as_ref()?.show(elapsed))));
        json!({
            "since_ms": millis(self.since),
            "now_ms": millis(elapsed),
            "streams": streams.collect::<Map<_, _>>(),
            "late": self.late,
            "late_count": self.late_count,
        })
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_longest_gap_is_that_between_any_two_polls_or_since_the_last() {
        let (mut polls, mut polled) = (Polls::default(), None);
        for (token, second) in [("a", 3), ("b", 5), ("a", 12)] {
            polls.count("7", &mut polled, token, at(second));
        }
        let polled = polled.unwrap();
        assert_eq!(polled.show(at(13))["longest_ms"], 7_000);
        assert_eq!(polled.show(at(20))["longest_ms"], 8_000);
        assert_eq!(polled.show(at(13))["tokens"]["a"], json!({"polls": 2, "first_ms": 3_000, "last_ms": 12_000}));
    }

    #[test]
    fn after_a_reset_a_stream_is_owed_a_poll_from_then_on() {
        let (mut polls, mut polled) = (Polls::default(), None);
        polls.count("7", &mut polled, "a", at(1));
        polls.reset(Some(at(4)), at(10), std::iter::once(&mut polled));
        polls.count("7", &mut polled, "a", at(14));
        polls.count("7", &mut polled, "a", at(19));
        let gid = Gid::from("7");
        let shown = polls.show(at(19), std::iter::once((&gid, &polled)));
        assert_eq!(shown["streams"]["7"]["longest_ms"], 5_000);
        assert_eq!(shown["late"], json!([{"resource": "7", "from_ms": 14_000, "to_ms": 19_000}]));
    }
}
