//! A heap of slots by time, of which any can be moved or taken out.

use std::time::Duration;

/// Number of children of each place: four are next to each other in memory.
const CHILDREN: usize = 4;
const NOWHERE: u32 = u32::MAX;

/// The earliest first, and among the same the lowest slot. Each slot is in it once at most.
#[derive(Clone, Debug, Default)]
pub(super) struct Heap {
    heap: Vec<(Duration, u32)>,
    /// Of each slot, its place in the heap.
    places: Vec<u32>,
}

impl Heap {
    /// Puts the slot at this time, in place of any earlier entry.
    pub(super) fn set(&mut self, slot: u32, due: Duration) {
        let place = self.place(slot).unwrap_or(self.heap.len());
        if place == self.heap.len() {
            self.heap.push((due, slot));
        }
        self.settle(place, (due, slot));
    }

    /// Takes the slot out.
    pub(super) fn remove(&mut self, slot: u32) {
        let Some(place) = self.place(slot) else { return };
        self.note(slot, NOWHERE);
        if let Some(last) = self.heap.pop().filter(|_| place < self.heap.len()) {
            self.settle(place, last);
        }
    }

    /// The earliest.
    pub(super) fn first(&self) -> Option<(Duration, u32)> {
        self.heap.first().copied()
    }

    /// When the slot is due.
    pub(super) fn due(&self, slot: u32) -> Option<Duration> {
        self.heap.get(self.place(slot)?).map(|(due, _)| *due)
    }

    fn place(&self, slot: u32) -> Option<usize> {
        let place = *self.places.get(index(slot))?;
        (place != NOWHERE).then_some(index(place))
    }

    /// Puts an entry where it belongs, from a place on that is free for it.
    fn settle(&mut self, mut place: usize, entry: (Duration, u32)) {
        while let Some(parent) = place.checked_sub(1).map(|before| before / CHILDREN)
            && let Some(above) = self.heap.get(parent).copied().filter(|above| entry < *above)
        {
            self.put(place, above);
            place = parent;
        }
        while let Some((child, below)) = self.first_child(place).filter(|(_, below)| *below < entry) {
            self.put(place, below);
            place = child;
        }
        self.put(place, entry);
    }

    fn first_child(&self, place: usize) -> Option<(usize, (Duration, u32))> {
        let first = place * CHILDREN + 1;
        let children = self.heap.iter().copied().enumerate().skip(first).take(CHILDREN);
        children.min_by_key(|(_, entry)| *entry)
    }

    fn put(&mut self, place: usize, entry: (Duration, u32)) {
        if let Some(at) = self.heap.get_mut(place) {
            *at = entry;
        }
        self.note(entry.1, u32::try_from(place).unwrap_or(NOWHERE));
    }

    fn note(&mut self, slot: u32, place: u32) {
        let slot = index(slot);
        if slot >= self.places.len() {
            self.places.resize(slot + 1, NOWHERE);
        }
        if let Some(at) = self.places.get_mut(slot) {
            *at = place;
        }
    }
}

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn it_gives_what_a_sorted_map_would(
            steps in proptest::collection::vec((0_u32..40, 0_u64..50, 0_u8..4), 1..400),
        ) {
            let (mut heap, mut map) = (Heap::default(), BTreeMap::new());
            for (slot, due, what) in steps {
                if what == 0 {
                    heap.remove(slot);
                    map.remove(&slot);
                } else {
                    heap.set(slot, Duration::from_secs(due));
                    map.insert(slot, Duration::from_secs(due));
                }
                prop_assert_eq!(heap.first(), map.iter().map(|(slot, due)| (*due, *slot)).min());
                prop_assert_eq!(heap.due(slot), map.get(&slot).copied());
            }
        }
    }
}
