//! The number of items that a page of a list requests.

use crate::outcome::list::MOST_ON_A_PAGE;

/// The sizes of pages, from the largest. Asana refuses requests that are too expensive, by 504, by taking too long, or
/// by a 429 (its guide "Rate limits", "Cost limits"), and doesn't report what a page costs.
const SIZES: [u8; 5] = [MOST_ON_A_PAGE, 50, 25, 10, 1];
/// The number of consecutive pages after which a larger size is tried. It doubles each time that the larger size was
/// too much.
const PAGES_TO_GROW: u32 = 20;
/// The maximum of that number.
const MOST_PAGES_TO_GROW: u32 = 40 * PAGES_TO_GROW;

/// The page size. It shrinks when Asana refuses a page as too expensive, and grows again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLimit {
    size: usize,
    good: u32,
    pages_to_grow: u32,
}

impl Default for PageLimit {
    fn default() -> Self {
        Self { size: 0, good: 0, pages_to_grow: PAGES_TO_GROW }
    }
}

impl PageLimit {
    /// The number of items to request.
    #[must_use]
    pub fn get(self) -> u8 {
        SIZES.get(self.size).copied().unwrap_or(1)
    }

    /// Notes that a page arrived.
    pub fn succeeded(&mut self) {
        self.good += 1;
        if self.good >= self.pages_to_grow && self.size > 0 {
            (self.size, self.good) = (self.size - 1, 0);
        }
    }

    /// Notes that a page was too expensive. Returns whether a smaller one can be tried.
    pub fn shrink(&mut self) -> bool {
        let is_least = self.size + 1 >= SIZES.len();
        if !is_least {
            // The size had grown just before.
            if self.good == 0 && self.size > 0 {
                self.pages_to_grow = (2 * self.pages_to_grow).min(MOST_PAGES_TO_GROW);
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
