//! A crawl: all resources of a stream are read again, list by list.
//!
//! ```text
//! project ── sections
//!         └─ tasks ─┬─ subtasks ── (as tasks)
//!                   ├─ stories
//!                   └─ attachments
//! ```
//!
//! One list is read to its end before the next begins, so that its offset doesn't grow old. What is below its items
//! waits in a queue, a durable piece for each page, so that a page's commit writes its own piece only. A list that
//! fails is put off, and holds up no other; one that fails for good is left out, by name, and read later on its own.
//!
//! When all lists are read, what the index knows and none of them showed is asked for alone ([`Place::Sweeping`]).

pub mod known;
mod limit;
mod reading;

pub use limit::PageLimit;
pub use reading::{Fate, LeftOut, MOST_TRIES, Reading};

use crate::crawl::known::AbsentFrom;
use crate::ids::{Gid, StreamId, StreamKind, Topic};
use crate::outcome::list::{Item, Listing, What};
use crate::stream::OpenGap;
use bridge_contract::pb;
use chrono::{DateTime, SecondsFormat, Utc};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// How deep a crawl goes: each includes those before it.
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

/// Why a crawl begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The stream is new.
    Initial,
    /// Source gaps are to be healed.
    SourceGap,
    /// What the event stream missed is to be found.
    Reconciliation,
}

impl Reason {
    /// For metrics and logs.
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

/// A crawl under way: what is durable of it, and how often what it reads has failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Crawl {
    /// The id that its records carry.
    pub id: String,
    /// Why it began.
    pub reason: Reason,
    /// The source gaps that it heals.
    pub gap_ids: Vec<String>,
    /// When it began, by Asana's clock.
    pub begun_at: DateTime<Utc>,
    /// The index knew everything when it began, so that each snapshot contains how its resource differs from what
    /// was known.
    pub compared: bool,
    /// The topics that have its beginning, each in how many lanes.
    pub topics: BTreeMap<Topic, u32>,
    /// How many snapshots it wrote.
    pub snapshots: u64,
    /// Types of which not everything could be read.
    pub incomplete_types: BTreeSet<String>,
    /// What is to be done next.
    pub place: Place,
    /// What is to be read later. An emptied piece is gone.
    pub queue: VecDeque<Arc<[Listing]>>,
    /// The number of the queue's first piece.
    pub first_piece: u64,
    /// How many listings of the first piece are done, or being read.
    pub done: usize,
    /// What failed, and is tried again.
    pub deferred: VecDeque<Reading>,
    /// What failed for good.
    pub left_out: LeftOuts,
    /// Lists that came short were read again.
    pub reread: bool,
    /// What an earlier crawl had to leave out: only this is read; all, where it is empty.
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

/// What couldn't be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOuts {
    /// Up to [`MOST_LEFT_OUT`].
    pub named: Vec<LeftOut>,
    /// Number of further ones.
    pub more: u64,
}

/// The largest number of lists and objects that are remembered by name after they couldn't be read. If there are more,
/// a crawl of everything is tried instead.
pub const MOST_LEFT_OUT: usize = 1_000;
/// The largest number of them that a record names.
const MOST_NAMED: usize = 100;

impl LeftOuts {
    /// Whether everything could be read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.named.is_empty() && self.more == 0
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.named.len() as u64 + self.more
    }

    /// What is to be read to make up for it: nothing in particular where they are too many.
    #[must_use]
    pub fn scope(&self) -> BTreeSet<Listing> {
        let named = self.named.iter().filter(|_| self.more == 0);
        named.map(|it| it.listing.clone()).collect()
    }

    /// What a record contains of it.
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

/// Where a crawl is.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// In a list.
    Reading(Reading),
    /// All has been read. What the index knows and the crawl didn't see is asked for alone.
    Sweeping,
}

impl Crawl {
    /// A crawl that has read nothing yet: of everything, or of what an earlier one had to leave out.
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
        // What was left out as an object is asked for alone, as all that isn't seen.
        let lists = crawl.scope.iter().filter(|it| !it.what.is_object() || it.of == id.resource).cloned().collect();
        crawl.read_next(if crawl.scope.is_empty() { vec![root(id, kind)] } else { lists });
        crawl
    }

    /// The body of the records of its beginning.
    #[must_use]
    pub fn begin_record(&self) -> pb::SnapshotBegin {
        let reason = pb::CrawlReason::from(self.reason).into();
        pb::SnapshotBegin { crawl_id: self.id.clone(), reason, gap_ids: self.gap_ids.clone() }
    }

    /// The body of the records of its end.
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
    pub fn heals(&self, gap: &OpenGap) -> bool {
        self.gap_ids.contains(&gap.id)
    }

    /// Whether what is as it was isn't published.
    #[must_use]
    pub fn only_differences(&self) -> bool {
        self.compared && self.reason == Reason::Reconciliation
    }

    /// What the index calls it.
    #[must_use]
    pub fn number(&self) -> u64 {
        u64::try_from(self.begun_at.timestamp_millis()).unwrap_or(1)
    }

    /// What isn't missing for not being seen.
    #[must_use]
    pub fn absent_from(&self) -> AbsentFrom {
        let unread = self.left_out.named.iter().map(|it| it.listing.clone()).collect();
        AbsentFrom { crawl: self.number(), scope: self.scope.clone(), unread }
    }

    /// The types of which it lists everything there is. Tasks may be in no project, which no list of a workspace
    /// shows, and what is on them as little.
    #[must_use]
    pub fn complete_types(&self, kind: StreamKind, depth: Depth) -> Vec<String> {
        let is_listed = |name: &&&str| kind == StreamKind::Resource || matches!(**name, "project" | "section");
        let types = listed_types(depth).iter().filter(is_listed);
        let types = types.filter(|name| self.scope.is_empty() && !self.incomplete_types.contains(**name));
        types.map(|name| (*name).to_owned()).collect()
    }

    /// How many lists wait to be read, those that failed among them.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let queued: usize = self.queue.iter().map(|piece| piece.len()).sum();
        queued.saturating_sub(self.done) + self.deferred.len()
    }

    /// The resource that a listing's items are in, if the listing determines it.
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

    /// On behind a page that leads to `next_offset`, and to these lists and objects.
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

    /// Reads these next to what waits.
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

/// What a crawl of everything begins with.
fn root(id: &StreamId, kind: StreamKind) -> Listing {
    let what = match kind {
        // Which of the three it is, Asana has to tell: they are tried in turn.
        StreamKind::Resource => What::Project,
        StreamKind::Workspace => What::WorkspaceProjects,
    };
    Listing { of: id.resource.clone(), what }
}

/// The types of which a crawl of this depth lists everything there is. Subtasks are tasks: where they aren't read, not
/// all tasks are.
#[must_use]
pub fn listed_types(depth: Depth) -> &'static [&'static str] {
    match depth {
        Depth::Tasks => &["project", "section"],
        Depth::Subtasks => &["project", "section", "task"],
        Depth::Stories => &["project", "section", "task", "story"],
        Depth::Attachments => &["project", "section", "task", "story", "attachment"],
    }
}

/// What is to be read below an item of a list.
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

/// The list that shows a resource, by what it says of itself: that of the stream's resource if it lies there, else that
/// of what it is a part of.
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
