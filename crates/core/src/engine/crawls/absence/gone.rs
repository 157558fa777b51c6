//! Reports what is gone, with all that lies in it, and what was found by requesting it alone.

use super::Falling;
use crate::crawl::known::{self, Absent};
use crate::crawl::{Crawl, below, place_of};
use crate::engine::Engine;
use crate::engine::crawls::compare::has_event;
use crate::engine::crawls::lists::snapshot_of;
use crate::engine::crawls::{CrawlTurn, Found};
use crate::ids::{Gid, StreamId};
use crate::now::Now;
use crate::outcome::list::{Item, Listing, What};
use crate::stream::Notice;
use bridge_contract::pb::{self, SnapshotChange};

impl Engine {
    /// The same is published of all that lies in a resource, and then of the resource itself.
    pub(super) fn fall(&mut self, now: Now, id: &StreamId, falling: Falling) -> Option<Notice> {
        let absences = &mut self.streams.get_mut(id)?.crawling.absences;
        let lists = falling.lists;
        let falls = |place: &Listing| place.of == falling.of && lists.contains(&place.what);
        absences.waiting.retain(|question| !question.absent.entry.place.as_ref().is_some_and(falls));
        absences.falling = Some(falling);
        absences.has_acted = true;
        self.end_step(now, id);
        None
    }

    pub(in crate::engine::crawls) fn handle_below(
        &mut self,
        turn: CrawlTurn<'_>,
        below: Vec<(Gid, known::Entry)>,
    ) -> Option<Notice> {
        let id = turn.id;
        let crawling = &mut self.streams.get_mut(id)?.crawling;
        let falling = crawling.absences.falling.clone()?;
        let untouched: Vec<_> = below.into_iter().filter(|(gid, _)| !crawling.touched.contains(gid)).collect();
        let mut found = Found::at(turn.now.wall);
        let is_last = untouched.is_empty();
        for (gid, entry) in untouched {
            let absent = Absent { gid, entry, knows_place: true };
            self.report_gone(&turn, &absent, None, falling.change, &mut found);
        }
        if is_last {
            if let Some(itself) = &falling.itself {
                self.report_gone(&turn, itself, None, falling.change, &mut found);
            }
            self.streams.get_mut(id)?.crawling.absences.falling = None;
        }
        self.wait_for_step(turn, found);
        None
    }

    /// A resource that was found by asking for it alone.
    pub(super) fn show_alone(
        &mut self,
        turn: &CrawlTurn<'_>,
        item: &Item,
        entry: Option<&known::Entry>,
        found: &mut Found,
    ) -> Vec<Listing> {
        let what = What::alone(&item.resource.resource_type).unwrap_or(What::Task);
        let before = entry.and_then(|entry| entry.place.clone()).filter(|place| item.within.contains(&place.of));
        let place = before.unwrap_or_else(|| place_of(turn.id, item));
        self.show(turn, item, entry, &place, found);
        below(what, item, self.settings.crawl.depth)
    }

    /// It is gone, from here or altogether.
    pub(super) fn report_gone(
        &mut self,
        turn: &CrawlTurn<'_>,
        absent: &Absent,
        item: Option<&Item>,
        change: SnapshotChange,
        found: &mut Found,
    ) {
        let CrawlTurn { id, crawl, .. } = turn;
        let Absent { gid, entry, .. } = absent;
        let nested = entry.place.as_ref().is_none_or(|place| place.of != id.resource);
        if has_event(change, nested, &entry.resource_type) {
            self.suspect(turn, gid.clone(), Some(entry), None);
        }
        let snapshot = match item {
            Some(item) => snapshot_of(crawl, item, None, change),
            None => stateless(crawl, reference(gid, &entry.resource_type), change),
        };
        self.find(id, snapshot, item, found);
        found.known.push(known::Change::Gone { gid: gid.clone() });
    }

    /// Something became known; if it `leads_on`, lists are read before others are asked for.
    pub(super) fn act(&mut self, id: &StreamId, leads_on: bool) {
        let Some(entry) = self.streams.get_mut(id) else { return };
        if leads_on {
            entry.crawling.absences.reset();
        }
        entry.crawling.absences.has_acted = true;
    }
}

pub(super) fn reference(gid: &Gid, resource_type: &str) -> pb::Resource {
    pb::Resource { gid: gid.to_string(), resource_type: resource_type.to_owned(), ..pb::Resource::default() }
}

pub(super) fn stateless(crawl: &Crawl, resource: pb::Resource, change: SnapshotChange) -> pb::Snapshot {
    pb::Snapshot {
        crawl_id: crawl.id.clone(),
        resource: Some(resource),
        change: change.into(),
        ..pb::Snapshot::default()
    }
}
