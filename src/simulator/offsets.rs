//! Pages of lists: offsets are opaque, belong to one list, and expire.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::{http::ApiError, time::Timestamp};

/// Offsets whose expiry is still told apart from nonsense.
const REMEMBERED: usize = 100_000;

#[derive(Debug)]
struct Offset {
    /// The list: path and filters.
    list: String,
    /// Items already given.
    position: usize,
    issued: Timestamp,
    expired: bool,
}

/// All offsets handed out.
#[derive(Debug)]
pub(crate) struct Offsets {
    life: Duration,
    seed: u64,
    issued: u64,
    known: BTreeMap<String, Offset>,
    order: VecDeque<String>,
}

impl Offsets {
    pub(crate) fn new(life: Duration, seed: u64) -> Self {
        Self { life, seed, issued: 0, known: BTreeMap::new(), order: VecDeque::new() }
    }

    pub(crate) fn issue(&mut self, list: &str, position: usize, now: Timestamp) -> String {
        self.issued += 1;
        let digest = xxh3_128_with_seed(format!("{list} {}", self.issued).as_bytes(), self.seed);
        let offset = format!("ey{digest:032x}");
        self.known.insert(offset.clone(), Offset { list: list.to_owned(), position, issued: now, expired: false });
        self.order.push_back(offset.clone());
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        offset
    }

    /// Where the list goes on, or Asana's refusal.
    pub(crate) fn resume(&self, offset: &str, list: &str, now: Timestamp) -> Result<usize, ApiError> {
        match self.known.get(offset) {
            Some(known) if known.list == list => {
                if known.expired || now.has_passed(known.issued, self.life) {
                    let message = "offset: Your pagination token has expired.";
                    return Err(ApiError::new(400, message));
                }
                Ok(known.position)
            }
            _ => Err(ApiError::new(400, "offset: Your pagination token is invalid.")),
        }
    }

    pub(crate) fn expire_all(&mut self) {
        for offset in self.known.values_mut() {
            offset.expired = true;
        }
    }
}
