//! How many items a page of a list is asked for.

use crate::outcome::list::MOST_ON_A_PAGE;

/// The sizes that are tried. Asana refuses what costs it too much, by 504, by taking too long, or by a 429 (its guide
/// "Rate limits", "Cost limits"), and doesn't say what a page costs.
const SIZES: [u8; 5] = [MOST_ON_A_PAGE, 50, 25, 10, 1];
/// Number of pages in a row after which a larger one is tried. It doubles each time that the larger one was too heavy.
const GROW_AFTER: u32 = 20;
/// The largest such number.
const MAX_GROW_AFTER: u32 = 40 * GROW_AFTER;

/// It shrinks when Asana finds a page too heavy, and grows again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLimit {
    size: usize,
    good: u32,
    grow_after: u32,
}

impl Default for PageLimit {
    fn default() -> Self {
        Self { size: 0, good: 0, grow_after: GROW_AFTER }
    }
}

impl PageLimit {
    /// How many items to ask for.
    #[must_use]
    pub fn get(self) -> u8 {
        SIZES.get(self.size).copied().unwrap_or(1)
    }

    /// A page came.
    pub fn succeeded(&mut self) {
        self.good += 1;
        if self.good >= self.grow_after && self.size > 0 {
            (self.size, self.good) = (self.size - 1, 0);
        }
    }

    /// A page was too heavy. Whether a smaller one can be tried.
    pub fn shrink(&mut self) -> bool {
        let is_least = self.size + 1 >= SIZES.len();
        if !is_least {
            // It had grown just before.
            if self.good == 0 && self.size > 0 {
                self.grow_after = (2 * self.grow_after).min(MAX_GROW_AFTER);
            }
            self.size += 1;
        }
        self.good = 0;
        !is_least
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_shrinks_to_one_and_grows_ever_more_slowly_where_it_was_too_much() {
        let mut limit = PageLimit::default();
        assert_eq!(limit.get(), 100);
        let sizes: Vec<_> = (0..4).map(|_| (limit.shrink(), limit.get())).collect();
        assert_eq!(sizes, [(true, 50), (true, 25), (true, 10), (true, 1)]);
        assert!(!limit.shrink());
        // Whatever is above 25 is too heavy.
        let mut tried = 0;
        for _ in 0..10_000 {
            if limit.get() > 25 {
                tried += 1;
                limit.shrink();
            } else {
                limit.succeeded();
            }
        }
        assert_eq!(limit.get(), 25);
        assert!((5..30).contains(&tried), "{tried}");
    }
}
