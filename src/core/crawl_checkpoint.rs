//! The form of a crawl in the checkpoint.

use super::checkpoint::{decode_topics, encode_topics, time};
use super::crawl::{Crawl, Place, Reason};
use super::ids::Gid;
use super::listing::{Listing, What};
use crate::pb::checkpoint as pb;
use crate::pb::checkpoint::crawl_listing::What as Number;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The pieces of a crawl's queue, by number.
pub(super) type Pieces = BTreeMap<u64, Arc<[Listing]>>;

pub(super) fn encode_crawl(crawl: &Crawl) -> pb::CrawlCheckpoint {
    let (current, offset, swept_to) = match &crawl.place {
        Place::Reading { listing, offset, .. } => (Some(encode_listing(listing)), offset.clone(), None),
        Place::Sweeping { after } => (None, None, after.as_ref().map(Gid::to_string)),
    };
    pb::CrawlCheckpoint {
        crawl_id: crawl.id.clone(),
        reason: crate::pb::CrawlReason::from(crawl.reason).into(),
        gap_ids: crawl.gap_ids.clone(),
        begun_at: Some(crawl.begun_at.into()),
        compared: crawl.compared,
        topics: encode_topics(&crawl.topics),
        snapshots: crawl.snapshots,
        current,
        offset: offset.unwrap_or_default(),
        first_queue: crawl.first_piece,
        next_queue: crawl.first_piece + crawl.queue.len() as u64,
        done: u32::try_from(crawl.done).unwrap_or(u32::MAX),
        refused_types: crawl.refused_types.iter().cloned().collect(),
        swept_to: swept_to.unwrap_or_default(),
        ..pb::CrawlCheckpoint::default()
    }
}

/// `None` where it is of a kind that isn't known, or lacks a piece.
pub(super) fn decode_crawl(entry: pb::CrawlCheckpoint, mut pieces: Pieces) -> Option<Crawl> {
    let place = match &entry.current {
        Some(listing) => Place::Reading {
            listing: decode_listing(listing)?,
            offset: Some(entry.offset).filter(|offset| !offset.is_empty()),
            restarts: 0,
        },
        None => Place::Sweeping { after: Some(entry.swept_to).filter(|gid| !gid.is_empty()).map(Gid::from) },
    };
    let reason = match crate::pb::CrawlReason::try_from(entry.reason).ok()? {
        crate::pb::CrawlReason::Initial => Reason::Initial,
        crate::pb::CrawlReason::SourceGap => Reason::SourceGap,
        crate::pb::CrawlReason::Reconciliation => Reason::Reconciliation,
        crate::pb::CrawlReason::Unspecified => return None,
    };
    let queue = (entry.first_queue..entry.next_queue).map(|number| pieces.remove(&number)).collect::<Option<_>>()?;
    Some(Crawl {
        id: entry.crawl_id,
        reason,
        gap_ids: entry.gap_ids,
        begun_at: time(entry.begun_at.as_ref()),
        compared: entry.compared,
        topics: decode_topics(entry.topics),
        snapshots: entry.snapshots,
        refused_types: entry.refused_types.into_iter().collect(),
        place,
        queue,
        first_piece: entry.first_queue,
        done: entry.done as usize,
    })
}

pub(super) fn encode_piece(piece: &[Listing]) -> pb::CrawlQueue {
    pb::CrawlQueue { listings: piece.iter().map(encode_listing).collect() }
}

/// `None` where it has a listing of a kind that isn't known.
pub(super) fn decode_piece(entry: &pb::CrawlQueue) -> Option<Arc<[Listing]>> {
    entry.listings.iter().map(decode_listing).collect()
}

fn encode_listing(listing: &Listing) -> pb::CrawlListing {
    let what = match listing.what {
        What::Project => Number::Project,
        What::Task => Number::Task,
        What::Goal => Number::Goal,
        What::Sections => Number::Sections,
        What::Tasks => Number::Tasks,
        What::Subtasks => Number::Subtasks,
        What::TaskStories => Number::TaskStories,
        What::GoalStories => Number::GoalStories,
        What::Attachments => Number::Attachments,
        What::WorkspaceProjects => Number::WorkspaceProjects,
        // These are for discovery.
        What::TeamProjects | What::PortfolioItems | What::WorkspaceGoals => Number::Unspecified,
    };
    pb::CrawlListing { of: listing.of.to_string(), what: what.into(), ..pb::CrawlListing::default() }
}

fn decode_listing(entry: &pb::CrawlListing) -> Option<Listing> {
    let what = match Number::try_from(entry.what).ok()? {
        Number::Project => What::Project,
        Number::Task => What::Task,
        Number::Goal => What::Goal,
        Number::Sections => What::Sections,
        Number::Tasks => What::Tasks,
        Number::Subtasks => What::Subtasks,
        Number::TaskStories => What::TaskStories,
        Number::GoalStories => What::GoalStories,
        Number::Attachments => What::Attachments,
        Number::WorkspaceProjects => What::WorkspaceProjects,
        Number::Unspecified
        | Number::Section
        | Number::Story
        | Number::Attachment
        | Number::SectionsToSplit
        | Number::SectionTasks
        | Number::TeamsToSplit
        | Number::TeamProjects => return None,
    };
    Some(Listing { of: Gid::from(entry.of.as_str()), what })
}
