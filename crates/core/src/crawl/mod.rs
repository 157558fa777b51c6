//! A crawl: reads all resources of a stream, list by list.
//!
//! ```text
//! project ── sections
//!         └─ tasks ─┬─ subtasks ── (as tasks)
//!                   ├─ stories
//!                   └─ attachments
//! ```
//!
//! Each list is read to its end before the next begins, so that its offset doesn't expire. The lists below its items
//! wait in a queue, in durable pieces, one for each page, so that a page's commit writes only its own piece. A list
//! that fails is deferred, and doesn't delay others. A list that fails for good is left out, by name, and read later on
//! its own.
//!
//! When all lists are read, the resources in the index that none of them showed are requested one by one
//! ([`Place::Sweeping`]).

pub mod known;
mod limit;
mod reading;

pub use limit::PageLimit;
pub use reading::{Fate, LeftOut, MOST_TRIES, Reading};

use crate::crawl::known::AbsentFrom;
use crate::ids::{Gid, StreamId, StreamKind, Topic};
use crate::outcome::list::{Item, Listing, What};
use bridge_contract::pb;
use chrono::{DateTime, SecondsFormat, Utc};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// The depth of a crawl. Each level includes the levels before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Projects, sections, and the tasks of projects.
    Tasks,
    /// Subtasks: a request for each task that has some.
    Subtasks,
    /// Stories, comments among them: a request for each task.
    Stories,
    /// Attachments: another request for each task.
    Attachments,
}

/// Why resources are crawled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The stream is new.
    Initial,
    /// Source gaps have to be healed.
    SourceGap,
    /// A reconciliation: finds what the event stream missed.
    Reconciliation,
}

impl Reason {
    /// A constant name, for metrics and logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Initial => "initial",
            Self::SourceGap => "source_gap",
            Self::Reconciliation => "reconciliation",
        }
    }
}

impl From<Reason> for pb::CrawlReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Initial => Self::Initial,
            Reason::SourceGap => Self::SourceGap,
            Reason::Reconciliation => Self::Reconciliation,
        }
    }
}

/// A crawl in progress: its durable state, and the failures of what it reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Crawl {
    /// The id of the crawl, which its records contain.
    pub id: String,
    /// The reason for the crawl.
    pub reason: Reason,
    /// The source gaps that it heals.
    pub gap_ids: Vec<String>,
    /// The time when the crawl started.
    pub begun_at: DateTime<Utc>,
    /// Whether the index was complete when it started, so that its snapshots report how each resource differs.
    pub compared: bool,
    /// The topics that have the record of its start, each with the number of lanes.
    pub topics: BTreeMap<Topic, u32>,
    /// The number of snapshots that it has written.
    pub snapshots: u64,
    /// The resource types of which not everything could be read.
    pub incomplete_types: BTreeSet<String>,
    /// The current step: a list, or the sweep at the end.
    pub place: Place,
    /// The listings that are to be read later. Empty pieces are removed.
    pub queue: VecDeque<Arc<[Listing]>>,
    /// The number of the queue's first piece.
    pub first_piece: u64,
    /// The number of listings in the first piece that are done or being read.
    pub done: usize,
    /// The listings that failed and are retried.
    pub deferred: VecDeque<Reading>,
    /// The listings that failed for good.
    pub left_out: LeftOuts,
    /// Whether lists that returned too few resources were read again.
    pub reread: bool,
    /// The listings that an earlier crawl left out: only these are read. Empty for a crawl of everything.
    pub scope: BTreeSet<Listing>,
}

/// What a crawl is for.
#[derive(Clone, Debug, PartialEq)]
pub struct Purpose {
    /// Why it begins.
    pub reason: Reason,
    /// The source gaps that it heals.
    pub gap_ids: Vec<String>,
    /// The lists and objects that it reads; all, if it is empty.
    pub scope: BTreeSet<Listing>,
    /// The index knows everything that was published, so that resources are compared with it.
    pub compared: bool,
}

impl Purpose {
    /// A crawl of everything that heals no gap, without comparison.
    #[must_use]
    pub fn of(reason: Reason) -> Self {
        Self { reason, gap_ids: Vec::new(), scope: BTreeSet::new(), compared: false }
    }
}

/// The listings that couldn't be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOuts {
    /// The listings by name, up to [`MOST_LEFT_OUT`].
    pub named: Vec<LeftOut>,
    /// The number of further ones.
    pub more: u64,
}

/// The maximum number of unread listings that are remembered by name. If there are more, a whole crawl is started
/// instead.
pub const MOST_LEFT_OUT: usize = 1_000;
/// The maximum number of them that a record names.
const MOST_NAMED: usize = 100;

impl LeftOuts {
    /// Whether everything could be read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.named.is_empty() && self.more == 0
    }

    /// The number of all that were left out.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.named.len() as u64 + self.more
    }

    /// Whether these are the same listings, left out for the same reasons, in any order.
    #[must_use]
    pub fn is_the_same(&self, other: &Self) -> bool {
        let named = |all: &Self| all.named.iter().map(|it| (it.listing.clone(), it.reason.clone())).collect();
        let [these, those]: [BTreeSet<_>; 2] = [named(self), named(other)];
        self.more == other.more && these == those
    }

    /// The listings to read later. Empty if there are too many: then everything is read.
    #[must_use]
    pub fn scope(&self) -> BTreeSet<Listing> {
        let named = self.named.iter().filter(|_| self.more == 0);
        named.map(|it| it.listing.clone()).collect()
    }

    /// The entries for a record.
    #[must_use]
    pub fn records(&self) -> Vec<pb::LeftOut> {
        let named = self.named.iter().take(MOST_NAMED);
        let record = |it: &LeftOut| pb::LeftOut {
            of: it.listing.of.to_string(),
            what: it.listing.what.label().to_owned(),
            reason: it.reason.clone(),
        };
        named.map(record).collect()
    }

    fn push(&mut self, left_out: LeftOut) {
        if self.named.len() < MOST_LEFT_OUT {
            self.named.push(left_out);
        } else {
            self.more += 1;
        }
    }
}

/// The current step of a crawl.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// A list is being read.
    Reading(Reading),
    /// All lists are read. Resources in the index that the crawl didn't see are requested one by one.
    Sweeping,
}

impl Crawl {
    /// A crawl that has read nothing yet, of everything or of the listings that an earlier crawl left out.
    #[must_use]
    pub fn begin(id: &StreamId, kind: StreamKind, purpose: Purpose, now: DateTime<Utc>) -> Self {
        let Purpose { reason, gap_ids, scope, compared } = purpose;
        let time = now.to_rfc3339_opts(SecondsFormat::Millis, true);
        let mut crawl = Self {
            id: format!("{id}@{time}/{}", reason.label()),
            reason,
            gap_ids,
            begun_at: now,
            compared,
            topics: BTreeMap::new(),
            snapshots: 0,
            incomplete_types: BTreeSet::new(),
            place: Place::Sweeping,
            queue: VecDeque::new(),
            first_piece: 0,
            done: 0,
            deferred: VecDeque::new(),
            left_out: LeftOuts::default(),
            reread: !scope.is_empty(),
            scope,
        };
        // An object that was left out is requested alone, like all resources that weren't seen.
        let lists = crawl.scope.iter().filter(|it| !it.what.is_object() || it.of == id.resource).cloned().collect();
        crawl.read_next(if crawl.scope.is_empty() { vec![root(id, kind)] } else { lists });
        crawl
    }

    /// The content of the records of its start.
    #[must_use]
    pub fn begin_record(&self) -> pb::SnapshotBegin {
        let reason = pb::CrawlReason::from(self.reason).into();
        pb::SnapshotBegin { crawl_id: self.id.clone(), reason, gap_ids: self.gap_ids.clone() }
    }

    /// The content of the records of its end.
    #[must_use]
    pub fn end_record(&self, kind: StreamKind, depth: Depth) -> pb::SnapshotEnd {
        let complete_types = if self.only_differences() { Vec::new() } else { self.complete_types(kind, depth) };
        pb::SnapshotEnd {
            crawl_id: self.id.clone(),
            snapshots: self.snapshots,
            complete_types,
            left_out: self.left_out.records(),
            left_out_count: self.left_out.count(),
            compared: self.compared,
        }
    }

    /// Whether its end heals the gap: it was open when the crawl began.
    #[must_use]
    pub fn heals(&self, gap_id: &str) -> bool {
        self.gap_ids.iter().any(|it| it == gap_id)
    }

    /// Whether unchanged resources aren't published.
    #[must_use]
    pub fn only_differences(&self) -> bool {
        self.compared && self.reason == Reason::Reconciliation
    }

    /// The number of the crawl in the index.
    #[must_use]
    pub fn number(&self) -> u64 {
        u64::try_from(self.begun_at.timestamp_millis()).unwrap_or(1)
    }

    /// What counts as missing from this crawl.
    #[must_use]
    pub fn absent_from(&self) -> AbsentFrom {
        let unread = self.left_out.named.iter().map(|it| it.listing.clone()).collect();
        AbsentFrom { crawl: self.number(), scope: self.scope.clone(), unread }
    }

    /// The types of which the crawl lists everything that exists. Tasks may be in no project. No list of a workspace
    /// shows these, nor what belongs to them.
    #[must_use]
    pub fn complete_types(&self, kind: StreamKind, depth: Depth) -> Vec<String> {
        let is_listed = |name: &&&str| kind == StreamKind::Resource || matches!(**name, "project" | "section");
        let types = listed_types(depth).iter().filter(is_listed);
        let types = types.filter(|name| self.scope.is_empty() && !self.incomplete_types.contains(**name));
        types.map(|name| (*name).to_owned()).collect()
    }

    /// The number of lists that are to be read, with those that failed.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let queued: usize = self.queue.iter().map(|piece| piece.len()).sum();
        queued.saturating_sub(self.done) + self.deferred.len()
    }

    /// The resource that contains a listing's items, if it is known.
    #[must_use]
    pub fn parent(listing: &Listing) -> Option<pb::Resource> {
        let of = |resource_type: &str| {
            let resource_type = resource_type.to_owned();
            Some(pb::Resource { gid: listing.of.to_string(), resource_type, ..pb::Resource::default() })
        };
        match listing.what {
            What::Sections | What::SectionsToSplit | What::Tasks => of("project"),
            What::SectionTasks => of("section"),
            What::Subtasks | What::TaskStories | What::Attachments => of("task"),
            What::GoalStories => of("goal"),
            What::WorkspaceProjects | What::TeamsToSplit => of("workspace"),
            What::TeamProjects => of("team"),
            What::Project
            | What::Task
            | What::Goal
            | What::Section
            | What::Story
            | What::Attachment
            | What::PortfolioItems
            | What::WorkspaceGoals => None,
        }
    }

    /// Continues after a page that leads to `next_offset`, and to these lists and objects.
    pub fn advance(&mut self, next_offset: Option<&str>, listings: Vec<Listing>) {
        let Place::Reading(reading) = &mut self.place else { return };
        if !listings.is_empty() {
            self.queue.push_back(listings.into());
        }
        match next_offset {
            Some(offset) => reading.turn(offset.to_owned()),
            None => self.next_listing(),
        }
    }

    /// Reads these before everything that waits.
    pub fn read_next(&mut self, listings: Vec<Listing>) {
        if !listings.is_empty() {
            self.queue.push_back(listings.into());
        }
        if self.place == Place::Sweeping {
            self.next_listing();
        }
    }

    fn next_listing(&mut self) {
        if self.queue.front().is_some_and(|piece| self.done >= piece.len()) {
            self.queue.pop_front();
            self.first_piece += 1;
            self.done = 0;
        }
        let queued = self.queue.front().and_then(|piece| piece.get(self.done));
        self.place = match queued.cloned().map(Reading::new) {
            Some(reading) => Place::Reading(reading),
            None => self.deferred.pop_front().map_or(Place::Sweeping, Place::Reading),
        };
        self.done += usize::from(!self.queue.is_empty());
    }
}

/// The first listing of a crawl of everything.
fn root(id: &StreamId, kind: StreamKind) -> Listing {
    let what = match kind {
        // Only Asana knows which of the three types it is: they are tried one after the other.
        StreamKind::Resource => What::Project,
        StreamKind::Workspace => What::WorkspaceProjects,
    };
    Listing { of: id.resource.clone(), what }
}

/// The types of which a crawl of this depth lists everything that exists. Subtasks are tasks: if subtasks aren't read,
/// not all tasks are.
#[must_use]
pub fn listed_types(depth: Depth) -> &'static [&'static str] {
    match depth {
        Depth::Tasks => &["project", "section"],
        Depth::Subtasks => &["project", "section", "task"],
        Depth::Stories => &["project", "section", "task", "story"],
        Depth::Attachments => &["project", "section", "task", "story", "attachment"],
    }
}

/// The listings below an item of a list.
#[must_use]
pub fn below(what: What, item: &Item, depth: Depth) -> Vec<Listing> {
    let lists = match what {
        What::Project | What::WorkspaceProjects | What::TeamProjects => vec![What::Sections, What::Tasks],
        What::Task | What::Tasks | What::Subtasks | What::SectionTasks => {
            let subtasks = (depth >= Depth::Subtasks && item.num_subtasks > 0).then_some(What::Subtasks);
            let stories = (depth >= Depth::Stories).then_some(What::TaskStories);
            let attachments = (depth >= Depth::Attachments).then_some(What::Attachments);
            subtasks.into_iter().chain(stories).chain(attachments).collect()
        }
        What::Goal if depth >= Depth::Stories => vec![What::GoalStories],
        What::SectionsToSplit => vec![What::SectionTasks],
        What::TeamsToSplit => vec![What::TeamProjects],
        What::Goal
        | What::Sections
        | What::TaskStories
        | What::GoalStories
        | What::Attachments
        | What::Section
        | What::Story
        | What::Attachment
        | What::PortfolioItems
        | What::WorkspaceGoals => Vec::new(),
    };
    lists.into_iter().map(|what| Listing { of: Gid::from(item.resource.gid.as_str()), what }).collect()
}

/// The list that shows a resource, judged by its own fields: the list of the stream's resource if it is directly in
/// there, otherwise the list of what it is a part of.
#[must_use]
pub fn place_of(id: &StreamId, item: &Item) -> Listing {
    let itself = What::alone(&item.resource.resource_type).unwrap_or(What::Task);
    let of_holder = item.part_of.as_ref().filter(|_| !item.within.contains(&id.resource)).and_then(|holder| {
        let what = match (holder.what, itself) {
            (What::Task, What::Task) => What::Subtasks,
            (What::Task, What::Story) => What::TaskStories,
            (What::Goal, What::Story) => What::GoalStories,
            (What::Task | What::Project, What::Attachment) => What::Attachments,
            (What::Project, What::Section) => What::Sections,
            _ => return None,
        };
        Some(Listing { of: holder.of.clone(), what })
    });
    of_holder.unwrap_or_else(|| Listing { of: id.resource.clone(), what: itself })
}

#[cfg(test)]
mod tests;
