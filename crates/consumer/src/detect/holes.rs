//! Sequences that are known to exist and weren't seen, as ranges. Memory depends on the number of ranges only.

use std::collections::BTreeMap;

/// The holes of one track, in order of epoch and sequence.
///
/// ```
/// use asana_event_bridge_consumer::detect::holes::{Hole, Holes};
/// let mut holes = Holes::default();
/// holes.open((9, 4), 6);
/// assert!(holes.fill((9, 5)) && !holes.fill((9, 5)) && !holes.fill((8, 6)));
/// assert_eq!(holes.missing(), 2);
/// assert_eq!(holes.pop_lowest(), Some(Hole { epoch: 9, first: 4, last: 4 }));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holes {
    /// From (epoch, first sequence) to the last sequence, both included. Ranges neither overlap nor touch.
    ranges: BTreeMap<(u64, u64), u64>,
    missing: u64,
}

/// A range of missing sequences of an epoch, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// The epoch of the sequences.
    pub epoch: u64,
    /// The first missing sequence.
    pub first: u64,
    /// The last missing sequence.
    pub last: u64,
}

impl Holes {
    /// Adds a hole, from an epoch and sequence up to `last`. There must be no hole yet.
    pub fn open(&mut self, from: (u64, u64), last: u64) {
        self.missing = self.missing.saturating_add(width(from.1, last));
        match self.ranges.range_mut(..from).next_back() {
            Some(((epoch, _), end)) if *epoch == from.0 && end.checked_add(1) == Some(from.1) => *end = last,
            _ => drop(self.ranges.insert(from, last)),
        }
    }

    /// Removes a sequence of an epoch from its hole. `false` if it was in no hole.
    pub fn fill(&mut self, at: (u64, u64)) -> bool {
        let (epoch, sequence) = at;
        let below = self.ranges.range(..=at).next_back().map(|(from, last)| (*from, *last));
        let Some(((_, first), last)) = below.filter(|((of, _), last)| *of == epoch && sequence <= *last) else {
            return false;
        };
        self.ranges.remove(&(epoch, first));
        if first < sequence {
            self.ranges.insert((epoch, first), sequence - 1);
        }
        if sequence < last {
            self.ranges.insert((epoch, sequence + 1), last);
        }
        self.missing -= 1;
        true
    }

    /// Removes the hole with the lowest sequences, and returns it.
    pub fn pop_lowest(&mut self) -> Option<Hole> {
        let ((epoch, first), last) = self.ranges.pop_first()?;
        self.missing = self.missing.saturating_sub(width(first, last));
        Some(Hole { epoch, first, last })
    }

    /// The lowest epoch and sequence in a hole.
    #[must_use]
    pub fn lowest(&self) -> Option<(u64, u64)> {
        self.ranges.keys().next().copied()
    }

    /// The number of missing sequences.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// The number of holes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether nothing is missing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The holes of one epoch.
    pub fn of(&self, epoch: u64) -> impl Iterator<Item = Hole> {
        self.ranges.range((epoch, 0)..=(epoch, u64::MAX)).map(|((epoch, first), last)| Hole {
            epoch: *epoch,
            first: *first,
            last: *last,
        })
    }
}

/// Sequences begin at 1 and end before the greatest number, so that this can't overflow.
pub(super) fn width(first: u64, last: u64) -> u64 {
    (last - first).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn holes_are_a_set_and_never_touch(
            opened in proptest::collection::vec((1..4_u64, 1..5_u64, 0..6_u64), 0..12),
            filled in proptest::collection::vec((1..4_u64, 0..40_u64), 0..90),
            given_up in 0..4_usize,
        ) {
            let (mut holes, mut model, mut next) = (Holes::default(), BTreeSet::new(), BTreeMap::new());
            for (epoch, seen, more) in opened {
                let next = next.entry(epoch).or_insert(0);
                let first = *next + seen;
                holes.open((epoch, first), first + more);
                model.extend((first..=first + more).map(|sequence| (epoch, sequence)));
                *next = first + more + 1;
            }
            for at in filled {
                prop_assert_eq!(holes.fill(at), model.remove(&at));
            }
            for _ in 0..given_up {
                if let Some(hole) = holes.pop_lowest() {
                    prop_assert_eq!(model.first(), Some(&(hole.epoch, hole.first)));
                    let rest = model.split_off(&(hole.epoch, hole.last + 1));
                    prop_assert_eq!(std::mem::replace(&mut model, rest).len() as u64, width(hole.first, hole.last));
                }
            }
            prop_assert_eq!((holes.missing(), holes.lowest()), (model.len() as u64, model.first().copied()));
            let listed: Vec<_> = (1..4).flat_map(|epoch| holes.of(epoch)).collect();
            let touch = |pair: &[Hole]| pair[0].epoch == pair[1].epoch && pair[0].last + 1 >= pair[1].first;
            prop_assert!(!listed.windows(2).any(touch), "{:?}", listed);
            let listed = listed.into_iter().flat_map(|it| (it.first..=it.last).map(move |at| (it.epoch, at)));
            prop_assert_eq!(listed.collect::<BTreeSet<_>>(), model);
        }
    }
}
