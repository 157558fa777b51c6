//! Sequences that are known to exist and weren't seen, as ranges: they weigh what the holes weigh.

use std::collections::BTreeMap;

/// The holes of one run of sequences.
///
/// ```
/// use asana_event_bridge::core::holes::Holes;
/// let mut holes = Holes::default();
/// holes.open(4, 6);
/// assert!(holes.fill(5) && !holes.fill(5) && !holes.fill(9));
/// assert_eq!(holes.iter().collect::<Vec<_>>(), [(4, 4), (6, 6)]);
/// assert_eq!(holes.missing(), 2);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holes {
    /// First to last, both included; neither overlapping nor touching.
    ranges: BTreeMap<u64, u64>,
    missing: u64,
}

impl Holes {
    /// Adds a hole behind all others.
    pub fn open(&mut self, first: u64, last: u64) {
        self.missing = self.missing.saturating_add(width(first, last));
        self.ranges.insert(first, last);
    }

    /// Takes a sequence out; `false` where it was in no hole.
    pub fn fill(&mut self, sequence: u64) -> bool {
        let Some((first, last)) = self.ranges.range(..=sequence).next_back().map(|(first, last)| (*first, *last))
        else {
            return false;
        };
        if last < sequence {
            return false;
        }
        self.ranges.remove(&first);
        if first < sequence {
            self.ranges.insert(first, sequence - 1);
        }
        if sequence < last {
            self.ranges.insert(sequence + 1, last);
        }
        self.missing -= 1;
        true
    }

    /// Forgets the lowest holes, so many of them; how many sequences those lack, and the last of these.
    pub fn give_up(&mut self, count: usize) -> Option<(u64, u64)> {
        let mut given_up = None;
        for _ in 0..count {
            let Some((first, last)) = self.ranges.pop_first() else { break };
            let (missing, _) = given_up.unwrap_or((0_u64, 0));
            given_up = Some((missing.saturating_add(width(first, last)), last));
        }
        self.missing = self.missing.saturating_sub(given_up.map_or(0, |(missing, _)| missing));
        given_up
    }

    /// The lowest sequence in a hole.
    #[must_use]
    pub fn lowest(&self) -> Option<u64> {
        self.ranges.keys().next().copied()
    }

    /// How many sequences are missing.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// How many holes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether nothing is missing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The holes, first to last, both included.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.ranges.iter().map(|(first, last)| (*first, *last))
    }
}

/// Sequences begin at 1 and end before the greatest number, so that this can't overflow.
fn width(first: u64, last: u64) -> u64 {
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
            opened in proptest::collection::vec((1..5_u64, 0..6_u64), 0..8),
            filled in proptest::collection::vec(0..70_u64, 0..60),
            given_up in 0..4_usize,
        ) {
            let (mut holes, mut model, mut next) = (Holes::default(), BTreeSet::new(), 0);
            for (seen, more) in opened {
                let first = next + seen;
                holes.open(first, first + more);
                model.extend(first..=first + more);
                next = first + more + 1;
            }
            for sequence in filled {
                prop_assert_eq!(holes.fill(sequence), model.remove(&sequence));
            }
            if let Some((missing, last)) = holes.give_up(given_up) {
                let rest = model.split_off(&(last + 1));
                prop_assert_eq!(std::mem::replace(&mut model, rest).len() as u64, missing);
            }
            let listed: Vec<_> = holes.iter().collect();
            prop_assert!(listed.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), "{:?}", listed);
            prop_assert_eq!((holes.missing(), holes.lowest()), (model.len() as u64, model.first().copied()));
            prop_assert_eq!(listed.into_iter().flat_map(|(first, last)| first..=last).collect::<BTreeSet<_>>(), model);
        }
    }
}
