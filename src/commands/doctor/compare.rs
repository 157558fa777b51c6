//! Compares what the account for crawls (`crawl.account`) sees with what the streams' own account sees.
//!
//! Lists of crawls are read by that account. What it may not see is missing from them, and nothing tells the bridge that
//! something is missing that it never knew. For each stream of the sample both accounts read the first page of what the
//! stream contains. Something that only the streams' own account was shown is requested alone, so that a list that changes
//! meanwhile gives no wrong result.

use super::judge::{self, Sight};
use crate::commands::asker::{AT_ONCE, Asker};
use crate::finding::CheckResult;
use bridge_core::ids::{Gid, StreamId};
use bridge_core::outcome::list::{Item, ListOutcome, Listing, What};
use bridge_core::outcome::poll::Denial;
use futures_util::{StreamExt as _, stream};
use std::collections::BTreeSet;

/// The maximum number of resources of a stream that are requested alone.
const MOST_ALONE: usize = 3;

/// A stream that its own account can read, and the list of what it contains.
#[derive(Clone, Debug)]
pub(super) struct Contents {
    stream: StreamId,
    listing: Listing,
}

impl Contents {
    /// The contents of a stream's resource, which is of this kind.
    pub(super) fn of(stream: &StreamId, what: What) -> Self {
        let what = if what == What::Project { What::Tasks } else { what };
        let what = if what == What::Task { What::Subtasks } else { what };
        Self { stream: stream.clone(), listing: Listing { of: stream.resource.clone(), what } }
    }
}

/// The result for the streams that `own` can read, if it isn't the account for crawls itself.
pub(super) async fn compare(own: &Asker<'_>, crawler: &Asker<'_>, contents: Vec<Contents>) -> CheckResult {
    let looks: Vec<_> = contents.iter().map(|contents| look(own, crawler, &contents.listing)).collect();
    let sights: Vec<_> = stream::iter(looks).buffered(AT_ONCE).collect().await;
    let seen: Vec<_> = contents.into_iter().map(|contents| contents.stream).zip(sights).collect();
    judge::sights(&seen, crawler.name().as_str(), own.name().as_str())
}

async fn look(own: &Asker<'_>, crawler: &Asker<'_>, listing: &Listing) -> Sight {
    let ListOutcome::Page(shown) = own.list(listing).await else { return Sight::Unknown };
    let outcome = crawler.list(listing).await;
    let ListOutcome::Page(seen) = &outcome else {
        return if is_refused(&outcome) { Sight::Refused } else { Sight::Unknown };
    };
    let seen: BTreeSet<_> = seen.items.iter().map(|item| &item.resource.gid).collect();
    let missing = shown.items.into_iter().filter(|item| !seen.contains(&item.resource.gid));
    for alone in missing.filter_map(|item| alone(&item)).take(MOST_ALONE) {
        // It may have been deleted meanwhile.
        if is_refused(&crawler.list(&alone).await) && matches!(own.list(&alone).await, ListOutcome::Page(_)) {
            return Sight::Lacks(alone.of);
        }
    }
    Sight::Same
}

fn is_refused(outcome: &ListOutcome) -> bool {
    matches!(outcome, ListOutcome::Denied(Denial::Forbidden | Denial::NotFound))
}

fn alone(item: &Item) -> Option<Listing> {
    Some(Listing { what: What::alone(&item.resource.resource_type)?, of: Gid::from(item.resource.gid.as_str()) })
}
