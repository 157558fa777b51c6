//! The form of a crawl in the checkpoint.

use crate::checkpoint::{decode_topics, encode_topics, time};
use crate::crawl::{Crawl, LeftOut, LeftOuts, Place, Reading, Reason};
use crate::format as pb;
use crate::ids::Gid;
use crate::outcome::list::{Listing, What};
use bridge_contract::time::timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The pieces of a crawl's queue, by number.
pub(crate) type Pieces = BTreeMap<u64, Arc<[Listing]>>;

pub(crate) fn encode_crawl(crawl: &Crawl) -> pb::CrawlCheckpoint {
    let (current, offset) = match &crawl.place {
        Place::Reading(reading) => (Some(encode_listing(&reading.listing)), reading.offset.clone()),
        Place::Sweeping => (None, None),
    };
    pb::CrawlCheckpoint {
        crawl_id: crawl.id.clone(),
        reason: bridge_contract::pb::CrawlReason::from(crawl.reason).into(),
        gap_ids: crawl.gap_ids.clone(),
        begun_at: timestamp(crawl.begun_at),
        compared: crawl.compared,
        topics: encode_topics(&crawl.topics),
        snapshots: crawl.snapshots,
        current,
        offset: offset.unwrap_or_default(),
        first_queue: crawl.first_piece,
        next_queue: crawl.first_piece + crawl.queue.len() as u64,
        done: u32::try_from(crawl.done).unwrap_or(u32::MAX),
        incomplete_types: crawl.incomplete_types.iter().cloned().collect(),
        deferred: crawl.deferred.iter().map(|reading| encode_listing(&reading.listing)).collect(),
        left_out: encode_left_out(&crawl.left_out),
        left_out_more: crawl.left_out.more,
        reread: crawl.reread,
        scope: crawl.scope.iter().map(encode_listing).collect(),
        feeds_state: crawl.feeds_state,
    }
}

/// `None` if it has an unknown kind, or lacks a piece.
pub(crate) fn decode_crawl(entry: pb::CrawlCheckpoint, mut pieces: Pieces) -> Option<Crawl> {
    let place = match &entry.current {
        Some(listing) => {
            let offset = Some(entry.offset).filter(|offset| !offset.is_empty());
            Place::Reading(Reading::new(decode_listing(listing)?).at(offset))
        }
        None => Place::Sweeping,
    };
    let reason = match bridge_contract::pb::CrawlReason::try_from(entry.reason).ok()? {
        bridge_contract::pb::CrawlReason::Initial => Reason::Initial,
        bridge_contract::pb::CrawlReason::SourceGap => Reason::SourceGap,
        bridge_contract::pb::CrawlReason::Reconciliation => Reason::Reconciliation,
        bridge_contract::pb::CrawlReason::Unspecified => return None,
    };
    let queue = (entry.first_queue..entry.next_queue).map(|number| pieces.remove(&number)).collect::<Option<_>>()?;
    let deferred = entry.deferred.iter().map(|listing| decode_listing(listing).map(Reading::new));
    Some(Crawl {
        id: entry.crawl_id,
        reason,
        gap_ids: entry.gap_ids,
        begun_at: time(entry.begun_at.as_ref()),
        compared: entry.compared,
        topics: decode_topics(entry.topics),
        snapshots: entry.snapshots,
        incomplete_types: entry.incomplete_types.into_iter().collect(),
        place,
        queue,
        first_piece: entry.first_queue,
        done: entry.done as usize,
        deferred: deferred.collect::<Option<_>>()?,
        left_out: decode_left_out(&entry.left_out, entry.left_out_more)?,
        reread: entry.reread,
        scope: entry.scope.iter().map(decode_listing).collect::<Option<_>>()?,
        feeds_state: entry.feeds_state,
    })
}

pub(crate) fn encode_piece(piece: &[Listing]) -> pb::CrawlQueue {
    pb::CrawlQueue { listings: piece.iter().map(encode_listing).collect() }
}

/// `None` if it has a listing of an unknown kind.
pub(crate) fn decode_piece(entry: &pb::CrawlQueue) -> Option<Arc<[Listing]>> {
    entry.listings.iter().map(decode_listing).collect()
}

pub(crate) fn encode_left_out(left_out: &LeftOuts) -> Vec<pb::CrawlListing> {
    let encode = |it: &LeftOut| pb::CrawlListing { reason: it.reason.clone(), ..encode_listing(&it.listing) };
    left_out.named.iter().map(encode).collect()
}

/// `None` if it has a listing of an unknown kind.
pub(crate) fn decode_left_out(entries: &[pb::CrawlListing], more: u64) -> Option<LeftOuts> {
    let decode =
        |entry: &pb::CrawlListing| Some(LeftOut { listing: decode_listing(entry)?, reason: entry.reason.clone() });
    Some(LeftOuts { named: entries.iter().map(decode).collect::<Option<_>>()?, more })
}

fn encode_listing(listing: &Listing) -> pb::CrawlListing {
    pb::CrawlListing { of: listing.of.to_string(), what: listing.what.number(), reason: String::new() }
}

fn decode_listing(entry: &pb::CrawlListing) -> Option<Listing> {
    Some(Listing { of: Gid::from(entry.of.as_str()), what: What::of_number(entry.what)? })
}
