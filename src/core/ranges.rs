//! A set of sequences, kept as ranges: it weighs what its holes weigh.

use std::collections::BTreeMap;

/// Sequences that were seen.
///
/// ```
/// use asana_event_bridge::core::ranges::Ranges;
/// let mut seen = Ranges::default();
/// assert!(seen.insert(1) && seen.insert(3) && !seen.insert(3));
/// assert_eq!(seen.iter().collect::<Vec<_>>(), [(1, 1), (3, 3)]);
/// assert!(seen.insert(2));
/// assert_eq!(seen.iter().collect::<Vec<_>>(), [(1, 3)]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    /// First to last, both included; neither overlapping nor touching.
    ranges: BTreeMap<u64, u64>,
}

impl Ranges {
    /// Adds a sequence; `false` where it was there.
    pub fn insert(&mut self, sequence: u64) -> bool {
        let before = self.ranges.range(..=sequence).next_back().map(|(first, last)| (*first, *last));
        if before.is_some_and(|(_, last)| last >= sequence) {
            return false;
        }
        let first = match before {
            Some((first, last)) if last.checked_add(1) == Some(sequence) => first,
            _ => sequence,
        };
        let after = sequence.checked_add(1).and_then(|next| self.ranges.remove(&next));
        self.ranges.insert(first, after.unwrap_or(sequence));
        true
    }

    /// The ranges, first to last, both included.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.ranges.iter().map(|(first, last)| (*first, *last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn ranges_are_a_set_and_never_touch(sequences in proptest::collection::vec(
            prop_oneof![0..40_u64, (u64::MAX - 4)..=u64::MAX], 0..80)) {
            let (mut ranges, mut model) = (Ranges::default(), BTreeSet::new());
            for sequence in sequences {
                prop_assert_eq!(ranges.insert(sequence), model.insert(sequence));
                let listed: Vec<_> = ranges.iter().collect();
                prop_assert!(listed.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), "{:?}", listed);
                prop_assert_eq!(listed.into_iter().flat_map(|(first, last)| first..=last).collect::<BTreeSet<_>>(), model.clone());
            }
        }
    }
}
