//! Pages of lists: offsets are opaque, belong to one list, and expire.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::{
    http::{Answer, ApiError, Request, message_of, throttled},
    places::Border,
    scenario::{HeavyPage, Scenario, Weight},
    time::Timestamp,
};

/// The maximum number of offsets that are remembered, so that an expired one is recognised.
const REMEMBERED: usize = 100_000;

/// The message on the last page of a list that is longer than Asana returns. Asana's own words aren't known.
const TRUNCATED: &str = "The data set is too large to be listed to its end. Ask for smaller parts of it.";

/// A position in a list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// The last item that was returned. The list continues with all items that are behind it by then.
    pub(crate) behind: Border,
    /// The number of items that were returned.
    pub(crate) given: usize,
}

#[derive(Debug)]
struct Offset {
    /// The name of the list: path and filters.
    list: String,
    place: Place,
    issued: Timestamp,
    expired: bool,
}

/// All offsets that were returned.
#[derive(Debug)]
pub(crate) struct Offsets {
    life: Duration,
    longest: Option<usize>,
    pub(crate) weight: Option<Weight>,
    seed: u64,
    issued: u64,
    known: BTreeMap<String, Offset>,
    order: VecDeque<String>,
}

impl Offsets {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let (life, longest, weight) = (scenario.offset_life.0, scenario.longest_list, scenario.weight.clone());
        let seed = scenario.seed;
        Self { life, longest, weight, seed, issued: 0, known: BTreeMap::new(), order: VecDeque::new() }
    }

    pub(crate) fn issue(&mut self, list: &str, place: Place, now: Timestamp) -> String {
        self.issued += 1;
        let digest = xxh3_128_with_seed(format!("{list} {}", self.issued).as_bytes(), self.seed);
        let offset = format!("ey{digest:032x}");
        self.known.insert(offset.clone(), Offset { list: list.to_owned(), place, issued: now, expired: false });
        self.order.push_back(offset.clone());
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        offset
    }

    /// The position at which the list continues, or Asana's refusal.
    pub(crate) fn resume(&self, offset: &str, list: &str, now: Timestamp) -> Result<Place, ApiError> {
        match self.known.get(offset) {
            Some(known) if known.list == list => {
                if known.expired || now.has_passed(known.issued, self.life) {
                    let message = "offset: Your pagination token has expired.";
                    return Err(ApiError::new(400, message));
                }
                if self.longest.is_some_and(|longest| known.place.given >= longest) {
                    return Err(ApiError::new(400, TRUNCATED));
                }
                Ok(known.place)
            }
            _ => Err(ApiError::new(400, "offset: Your pagination token is invalid.")),
        }
    }

    /// The answer to a page that is too expensive.
    pub(crate) fn too_heavy(&self, request: &Request, size: usize) -> Option<Answer> {
        let weight = self.weight.as_ref()?;
        let of = request.path.rsplit('/').next().and_then(|what| weight.per.get(what)).copied().unwrap_or(1);
        if size.saturating_mul(of) <= weight.most {
            return None;
        }
        let after = weight.after.0;
        Some(match weight.answer {
            HeavyPage::Timeout => Answer { delay: after, ..ApiError::new(504, message_of(504)).into() },
            HeavyPage::Throttle => throttled(after.as_secs().max(1)),
        })
    }

    pub(crate) fn expire_all(&mut self) {
        for offset in self.known.values_mut() {
            offset.expired = true;
        }
    }
}
