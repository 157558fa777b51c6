//! Streams that a rule found and that its lists don't show any more: which are requested one by one, and when they end.
//! No IO.

use super::alone::Verdict;
use bridge_core::engine::StreamSpec;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The maximum number of single requests in one round: as many as Asana lists on a page. The others follow in the next
/// rounds, so that the lists are read in between.
const MOST_ASKED: usize = 100;

/// After this number of consecutive requests without a usable answer, the rest waits for the next round.
const MOST_FAILURES: u32 = 3;

/// An object that doesn't show its membership ends in the second complete round that lacks it.
const ENOUGH_LOOKS: u32 = 2;

/// Many are missing if they are more than this part and this number of the known streams: 5 % and 20.
const MUCH: (usize, usize) = (20, 20);

/// The missing streams, and those of them that are requested in the current round.
#[derive(Debug, Default)]
pub(super) struct Missing {
    streams: BTreeMap<StreamSpec, Absence>,
    /// The number of complete rounds so far.
    looks: u64,
    /// The streams that are still to be requested in the current round.
    queue: VecDeque<StreamSpec>,
    /// The streams that ended in the current round.
    ended: BTreeSet<StreamSpec>,
    /// The number of requests in the current round.
    asked: usize,
    /// The number of consecutive failures.
    failures: u32,
}

#[derive(Debug, Default)]
struct Absence {
    /// The number of complete rounds in which the stream was missing.
    looks: u32,
    /// The round in which it was last requested.
    asked_in: u64,
}

impl Missing {
    /// Whether the lists are read again before any of `missing` is requested alone: if many of the known streams are
    /// newly missing, and if reading takes no more requests than a request for each.
    pub(super) fn wants_another_reading(&self, missing: &BTreeSet<StreamSpec>, known: usize, pages: usize) -> bool {
        let new = missing.iter().filter(|stream| !self.streams.contains_key(stream)).count();
        let (part, number) = MUCH;
        let is_much = new > number && new * part > known;
        new > 0 && (is_much || pages <= new)
    }

    /// Notes the end of a round that lacks only these. Some of them are requested next: those that weren't requested
    /// for longest.
    pub(super) fn looked(&mut self, missing: &BTreeSet<StreamSpec>) {
        self.looks += 1;
        self.streams.retain(|stream, _| missing.contains(stream));
        for stream in missing {
            self.streams.entry(stream.clone()).or_default().looks += 1;
        }
        let mut queue: Vec<_> = self.streams.iter().map(|(stream, absence)| (absence.asked_in, stream)).collect();
        queue.sort();
        self.queue = queue.into_iter().take(MOST_ASKED).map(|(_, stream)| stream.clone()).collect();
        (self.asked, self.failures) = (0, 0);
    }

    /// The next stream to request; `None` at the end of a round.
    pub(super) fn next(&self) -> Option<&StreamSpec> {
        self.queue.front()
    }

    /// The number of requests so far in the current round, and the number of all requests in it.
    pub(super) fn progress(&self) -> (usize, usize) {
        (self.asked, self.asked + self.queue.len())
    }

    /// The number of consecutive failures.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// The number of missing streams.
    pub(super) fn len(&self) -> usize {
        self.streams.len()
    }

    /// Notes the verdict on [`next`](Self::next). Returns whether the stream ends.
    pub(super) fn decide(&mut self, verdict: Verdict) -> bool {
        let Some(stream) = self.queue.pop_front() else { return false };
        let Some(absence) = self.streams.get_mut(&stream) else { return false };
        self.asked += 1;
        absence.asked_in = self.looks;
        self.failures = if verdict == Verdict::Failed { self.failures + 1 } else { 0 };
        if self.failures == MOST_FAILURES {
            self.queue.clear();
        }
        let ends = match verdict {
            Verdict::Ends => true,
            Verdict::CannotTell => absence.looks >= ENOUGH_LOOKS,
            Verdict::Stays | Verdict::Refused | Verdict::Failed => false,
        };
        if ends {
            self.streams.remove(&stream);
            self.ended.insert(stream);
        }
        ends
    }

    /// Takes the streams that ended since the last call.
    pub(super) fn take_ended(&mut self) -> BTreeSet<StreamSpec> {
        std::mem::take(&mut self.ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bridge_core::ids::{StreamId, StreamKind};

    fn streams(numbers: impl IntoIterator<Item = usize>) -> BTreeSet<StreamSpec> {
        let stream = |number: usize| StreamSpec {
            id: StreamId::new("main", format!("{}", 1_000_000 + number)),
            kind: StreamKind::Resource,
        };
        numbers.into_iter().map(stream).collect()
    }

    /// Asks for all that is to be asked for. How many were.
    fn ask(missing: &mut Missing, verdict: Verdict) -> usize {
        let mut asked = 0;
        while missing.next().is_some() {
            missing.decide(verdict);
            asked += 1;
        }
        asked
    }

    #[test]
    fn lists_are_read_again_where_much_is_missing_or_it_is_as_cheap() {
        let missing = Missing::default();
        let wants = |new, known, pages| missing.wants_another_reading(&streams(0..new), known, pages);
        assert!(!wants(0, 10, 1));
        assert!(wants(1, 10, 1) && wants(10, 10, 1), "one request instead of one");
        assert!(!wants(1, 10_000, 100) && !wants(99, 10_000, 100));
        assert!(wants(100, 10_000, 100) && wants(10_000, 10_000, 1));
        // A portfolio of many small ones.
        assert!(!wants(20, 100, 400) && wants(21, 100, 400));
        assert!(!wants(50, 1_000, 400) && wants(51, 1_000, 400));
    }

    #[test]
    fn what_is_missing_for_long_reads_no_list_again() {
        let mut missing = Missing::default();
        missing.looked(&streams(0..30));
        assert!(!missing.wants_another_reading(&streams(0..30), 30, 1));
        assert!(missing.wants_another_reading(&streams(0..31), 31, 1));
    }

    #[test]
    fn a_look_asks_for_so_many_and_the_next_one_for_the_others() {
        let mut missing = Missing::default();
        let all = streams(0..250);
        let mut asked = BTreeSet::new();
        for expected in [100, 200, 250] {
            missing.looked(&all);
            assert_eq!(missing.progress(), (0, MOST_ASKED));
            while let Some(next) = missing.next() {
                asked.insert(next.clone());
                assert!(!missing.decide(Verdict::Refused));
            }
            assert_eq!((asked.len(), missing.progress()), (expected, (MOST_ASKED, MOST_ASKED)));
        }
        assert_eq!((missing.len(), missing.take_ended()), (250, streams([])));
    }

    #[test]
    fn what_cannot_tell_ends_with_the_second_whole_look_in_a_row() {
        let mut missing = Missing::default();
        missing.looked(&streams([1, 2]));
        ask(&mut missing, Verdict::CannotTell);
        missing.looked(&streams([2]));
        ask(&mut missing, Verdict::Refused);
        missing.looked(&streams([1, 2]));
        ask(&mut missing, Verdict::CannotTell);
        assert_eq!(missing.take_ended(), streams([2]), "1 was there meanwhile");
        missing.looked(&streams([1]));
        ask(&mut missing, Verdict::Stays);
        assert_eq!((missing.take_ended(), missing.len()), (streams([]), 1));
    }

    #[test]
    fn failures_in_a_row_end_the_asking_of_a_look_and_others_come_first_in_the_next() {
        let mut missing = Missing::default();
        missing.looked(&streams(0..6));
        assert_eq!(ask(&mut missing, Verdict::Failed), 3);
        missing.looked(&streams(0..6));
        assert_eq!(missing.next(), streams([3]).first());
        assert!(missing.decide(Verdict::Ends));
        assert_eq!(missing.failures(), 0);
        assert_eq!(ask(&mut missing, Verdict::Failed), 3);
        assert_eq!(missing.take_ended(), streams([3]));
    }
}
