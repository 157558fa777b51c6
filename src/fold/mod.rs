//! Repeated problems as few lines of the log: one when a problem begins, then at most one a minute with counts while it lasts, and one
//! when it is over. [`Fold`] has no clock and writes nothing; [`SharedFold`] brings its own clock.

mod shared;

pub use shared::SharedFold;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The time between two lines about the same problem.
const INTERVAL: Duration = Duration::from_secs(60);
/// A problem that wasn't reported for so long is over, although nothing says so: what had it may be gone. Longer than the longest
/// backoff (10 minutes), after which something that still fails would have been reported again.
const SILENCE: Duration = Duration::from_secs(15 * 60);

/// A `calm` for problems of which reports come all the time.
pub const CALM: Duration = Duration::from_secs(60);

/// Problems by kind. A kind has a problem as long as somebody is affected.
#[derive(Debug)]
pub struct Fold<K, W> {
    /// So long nobody must be affected before a problem counts as over. Else one that comes and goes would begin and end all the time.
    calm: Duration,
    lasting: BTreeMap<K, Lasting<W>>,
}

#[derive(Debug)]
struct Lasting<W> {
    began: Duration,
    /// The last report.
    reported: Duration,
    /// The last line.
    told: Duration,
    /// Reports since the last line.
    untold: u64,
    all: u64,
    affected: BTreeSet<W>,
    /// Since when nobody is affected.
    calm_since: Option<Duration>,
}

/// The line that a report is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// The problem is new.
    Begins,
    /// It lasts.
    Lasts {
        /// The reports since the last line.
        count: u64,
        /// Who is affected now.
        affected: usize,
        /// The time since it began.
        lasted: Duration,
    },
}

/// A problem that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Over {
    /// All its reports.
    pub count: u64,
    /// The time from the first report to the last one.
    pub lasted: Duration,
}

impl<K: Ord + Clone, W: Ord> Fold<K, W> {
    /// No problems. One is over when nobody was affected for the time `calm`.
    #[must_use]
    pub fn new(calm: Duration) -> Self {
        Self { calm, lasting: BTreeMap::new() }
    }

    /// Somebody has a problem of this kind. The line that is due, if any.
    pub fn report(&mut self, now: Duration, kind: K, who: W) -> Option<Line> {
        let is_new = !self.lasting.contains_key(&kind);
        let it = self.lasting.entry(kind).or_insert_with(|| Lasting {
            began: now,
            reported: now,
            told: now,
            untold: 0,
            all: 0,
            affected: BTreeSet::new(),
            calm_since: None,
        });
        it.affected.insert(who);
        (it.reported, it.calm_since) = (now, None);
        it.all += 1;
        if is_new {
            return Some(Line::Begins);
        }
        it.untold += 1;
        if now.saturating_sub(it.told) < INTERVAL {
            return None;
        }
        it.told = now;
        let count = std::mem::take(&mut it.untold);
        Some(Line::Lasts { count, affected: it.affected.len(), lasted: now.saturating_sub(it.began) })
    }

    /// All is well with somebody.
    pub fn recover(&mut self, now: Duration, who: &W) {
        for it in self.lasting.values_mut() {
            if it.affected.remove(who) && it.affected.is_empty() {
                it.calm_since = Some(now);
            }
        }
    }

    /// The problems that are over, each once.
    pub fn take_over(&mut self, now: Duration) -> Vec<(K, Over)> {
        let since = |time: Duration| now.saturating_sub(time);
        let is_over = |it: &Lasting<W>| {
            since(it.reported) >= SILENCE || it.calm_since.is_some_and(|calm_since| since(calm_since) >= self.calm)
        };
        let over = |it: &Lasting<W>| Over { count: it.all, lasted: it.reported.saturating_sub(it.began) };
        let ended = self.lasting.iter().filter(|(_, it)| is_over(it)).map(|(kind, it)| (kind.clone(), over(it)));
        let ended: Vec<_> = ended.collect();
        for (kind, _) in &ended {
            self.lasting.remove(kind);
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Duration = Duration::ZERO;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_outage_of_many_streams_is_three_lines() {
        let mut fold = Fold::new(NONE);
        let mut lines = Vec::new();
        for second in 0..90 {
            lines.extend((0..100).filter_map(|stream| fold.report(s(second), "timed_out", stream)));
        }
        let lasts = Line::Lasts { count: 6_000, affected: 100, lasted: s(60) };
        assert_eq!(lines, [Line::Begins, lasts]);
        for stream in 0..100 {
            assert!(fold.take_over(s(91)).is_empty(), "{stream} is still affected");
            fold.recover(s(91), &stream);
        }
        assert_eq!(fold.take_over(s(91)), [("timed_out", Over { count: 9_000, lasted: s(89) })]);
        assert!(fold.take_over(s(92)).is_empty());
    }

    #[test]
    fn kinds_are_told_apart_and_one_recovery_ends_all_of_who_recovered() {
        let mut fold = Fold::new(NONE);
        assert_eq!(fold.report(s(0), "a", 1), Some(Line::Begins));
        assert_eq!(fold.report(s(0), "b", 1), Some(Line::Begins));
        assert_eq!(fold.report(s(0), "b", 2), None);
        fold.recover(s(5), &1);
        assert_eq!(fold.take_over(s(5)), [("a", Over { count: 1, lasted: NONE })]);
        fold.recover(s(6), &2);
        assert_eq!(fold.take_over(s(6)), [("b", Over { count: 2, lasted: NONE })]);
        assert_eq!(fold.report(s(7), "b", 2), Some(Line::Begins), "a new one");
    }

    #[test]
    fn what_comes_and_goes_is_one_problem() {
        let mut fold = Fold::new(CALM);
        let mut lines = Vec::new();
        for second in 0..300 {
            lines.extend(fold.report(s(second), "server", ()));
            fold.recover(s(second), &());
            assert!(fold.take_over(s(second)).is_empty());
        }
        assert_eq!(lines.len(), 5, "{lines:?}");
        assert!(fold.take_over(s(358)).is_empty());
        assert_eq!(fold.take_over(s(359)), [("server", Over { count: 300, lasted: s(299) })]);
    }

    #[test]
    fn a_problem_that_is_reported_no_more_is_over() {
        let mut fold = Fold::new(NONE);
        fold.report(s(0), "gone", "a stream of another replica");
        fold.report(s(10), "gone", "the same");
        assert!(fold.take_over(s(909)).is_empty());
        assert_eq!(fold.take_over(s(910)), [("gone", Over { count: 2, lasted: s(10) })]);
    }

    #[test]
    fn counts_are_those_since_the_last_line() {
        let mut fold = Fold::new(NONE);
        let lines: Vec<_> = (0..=12).filter_map(|turn| fold.report(s(turn * 10), "x", turn % 3)).collect();
        let lasts = |minutes: u64| Line::Lasts { count: 6, affected: 3, lasted: s(60 * minutes) };
        assert_eq!(lines, [Line::Begins, lasts(1), lasts(2)]);
    }
}
