//! Compares the records that were read with a simulator's ledger.

use super::report::{Report, StreamReport};
use crate::commands::ledger::{Ledger, StreamLedger, digest};
use bridge_consumer::detect::Tally;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::num::NonZeroU64;

/// The maximum number of missing events that a report shows.
const EXAMPLES: usize = 10;

/// What is kept of a record for the comparison: 24 bytes. The order is the stream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kept {
    pub(super) epoch: u64,
    pub(super) sequence: u64,
    /// The hash of the event; `None` for a source gap or a stand-in, where an event of the ledger may be missing.
    pub(super) digest: Option<NonZeroU64>,
}

impl Kept {
    /// Half of the digest is enough: among 100,000,000 events, two share one by chance once in 3,700 runs.
    pub(super) fn digest(json: &str) -> Option<NonZeroU64> {
        NonZeroU64::new((digest(json) >> 64) as u64).or(Some(NonZeroU64::MIN))
    }
}

/// Compares each established stream with the records that were read of it.
pub(super) fn compare_all(
    report: &mut Report,
    streams: &BTreeMap<String, Vec<Kept>>,
    ledger: &Ledger,
    by_stream: &mut BTreeMap<String, StreamReport>,
) -> Tally {
    let mut total = Tally::default();
    for (gid, expected) in &ledger.streams {
        let named: Vec<_> = by_stream.keys().filter(|stream| stream.rsplit('/').next() == Some(gid)).cloned().collect();
        let named = if named.is_empty() { vec![gid.clone()] } else { named };
        for stream in named {
            let compared = compare(streams.get(&stream).map_or(&[], Vec::as_slice), expected);
            let offered = expected.offered().len() as u64;
            report.offered = Some(report.offered.unwrap_or(0) + offered);
            report.explained += compared.explained;
            report.unexpected += compared.unexpected;
            total.missing += compared.missing.len() as u64;
            total.duplicates += compared.duplicates;
            total.reordered += compared.reordered;
            let room = EXAMPLES.saturating_sub(report.examples.len());
            let examples = compared.missing.iter().filter_map(|at| expected.offered().get(*at)).take(room);
            report.examples.extend(examples.map(|json| format!("{stream}: {json}")));
            let entry = by_stream.entry(stream.clone()).or_default();
            entry.stream = stream;
            entry.offered = Some(offered);
            entry.missing = entry.missing.max(compared.missing.len() as u64);
        }
    }
    report.offered = report.offered.or(Some(0));
    total
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Compared {
    /// Indexes of events in the ledger.
    missing: Vec<usize>,
    explained: u64,
    duplicates: u64,
    reordered: u64,
    unexpected: u64,
}

/// Assigns each event that was read to the first free entry of the ledger with the same content.
fn compare(read: &[Kept], expected: &StreamLedger) -> Compared {
    let digests: Vec<_> = expected.offered().iter().filter_map(|json| Kept::digest(json)).collect();
    let mut places: HashMap<NonZeroU64, VecDeque<usize>> = HashMap::new();
    for (at, digest) in digests.iter().enumerate() {
        places.entry(*digest).or_default().push_back(at);
    }
    let mut compared = Compared::default();
    let mut found = vec![false; digests.len()];
    let mut next = 0;
    // Ranges of the ledger in which an event may be missing: after the events before an explanation, and before the
    // next event.
    let mut explained: Vec<(usize, usize)> = Vec::new();
    let mut open: Option<usize> = None;
    for Kept { digest, .. } in read {
        let Some(digest) = digest else {
            open.get_or_insert(next);
            continue;
        };
        let Some(free) = places.get_mut(digest) else {
            compared.unexpected += 1;
            continue;
        };
        let Some(at) = free.pop_front() else {
            compared.duplicates += 1;
            continue;
        };
        if let Some(slot) = found.get_mut(at) {
            *slot = true;
        }
        if at < next {
            compared.reordered += 1;
        }
        if let Some(from) = open.take() {
            explained.push((from, at));
        }
        next = next.max(at + 1);
    }
    if let Some(from) = open {
        explained.push((from, digests.len()));
    }
    for (at, _) in found.iter().enumerate().filter(|(_, found)| !**found) {
        if explained.iter().any(|(from, to)| (*from..*to).contains(&at)) {
            compared.explained += 1;
        } else {
            compared.missing.push(at);
        }
    }
    compared
}
