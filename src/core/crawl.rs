//! A crawl: all resources of a stream, read anew, list by list.
//!
//! ```text
//! project ── sections
//!         └─ tasks ─┬─ subtasks ── (as tasks)
//!                   ├─ stories
//!                   └─ attachments
//! ```
//!
//! One list is read to its end before the next begins, so that its offset doesn't grow old. What is below its items
//! waits in a queue, a durable piece for each page, so that a page's commit writes its own piece only.

use super::ids::{Gid, StreamId, StreamKind, Topic};
use super::listing::{Item, ListPage, Listing, What};
use super::page::Denial;
use crate::pb;
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

/// Why resources are read anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The stream is new.
    Initial,
    /// Source gaps are to be healed.
    SourceGap,
    /// What the event stream missed is looked for.
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

/// A crawl under way: what is durable of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Crawl {
    /// The id that its records carry.
    pub id: String,
    /// Why.
    pub reason: Reason,
    /// The source gaps that it heals.
    pub gap_ids: Vec<String>,
    /// When it began.
    pub begun_at: DateTime<Utc>,
    /// The index knew everything when it began, so that it is said how each resource differs from what was known.
    pub compared: bool,
    /// The topics that have its beginning, each in how many lanes.
    pub topics: BTreeMap<Topic, u32>,
    /// How many snapshots it wrote.
    pub snapshots: u64,
    /// Types that Asana refused to list.
    pub refused_types: BTreeSet<String>,
    /// What is to be done next.
    pub place: Place,
    /// What is to be read later. An emptied piece is gone.
    pub queue: VecDeque<Arc<[Listing]>>,
    /// The number of the queue's first piece.
    pub first_piece: u64,
    /// How many listings of the first piece are done, or being read.
    pub done: usize,
}

/// Where a crawl is.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// In a list.
    Reading {
        /// Which.
        listing: Listing,
        /// Where in it; `None` at its beginning.
        offset: Option<String>,
        /// How often this owner began it anew.
        restarts: u32,
    },
    /// All has been read. What the index knows and the crawl didn't see is said to be gone.
    Sweeping {
        /// The last resource that was looked at.
        after: Option<Gid>,
    },
}

/// How often a list is begun anew.
const MOST_RESTARTS: u32 = 3;

impl Crawl {
    /// A crawl that has read nothing yet.
    #[must_use]
    pub fn begin(
        id: &StreamId,
        kind: StreamKind,
        reason: Reason,
        gap_ids: Vec<String>,
        compared: bool,
        now: DateTime<Utc>,
    ) -> Self {
        let what = match kind {
            // Which of the three it is, Asana has to tell: they are tried in turn.
            StreamKind::Resource => What::Project,
            StreamKind::Workspace => What::WorkspaceProjects,
        };
        let time = now.to_rfc3339_opts(SecondsFormat::Millis, true);
        Self {
            id: format!("{id}@{time}/{}", reason.label()),
            reason,
            gap_ids,
            begun_at: now,
            compared,
            topics: BTreeMap::new(),
            snapshots: 0,
            refused_types: BTreeSet::new(),
            place: Place::Reading { listing: Listing { of: id.resource.clone(), what }, offset: None, restarts: 0 },
            queue: VecDeque::new(),
            first_piece: 0,
            done: 0,
        }
    }

    /// What the records of its beginning say.
    #[must_use]
    pub fn begin_record(&self) -> pb::SnapshotBegin {
        let reason = pb::CrawlReason::from(self.reason).into();
        pb::SnapshotBegin { crawl_id: self.id.clone(), reason, gap_ids: self.gap_ids.clone() }
    }

    /// What the records of its end say.
    #[must_use]
    pub fn end_record(&self, depth: Depth) -> pb::SnapshotEnd {
        let complete_types = if self.only_differences() { Vec::new() } else { self.complete_types(depth) };
        pb::SnapshotEnd {
            crawl_id: self.id.clone(),
            snapshots: self.snapshots,
            complete_types,
            compared: self.compared,
            ..pb::SnapshotEnd::default()
        }
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

    /// The types of which it lists everything there is.
    #[must_use]
    pub fn complete_types(&self, depth: Depth) -> Vec<String> {
        let types = listed_types(depth).iter().filter(|name| !self.refused_types.contains(**name));
        types.map(|name| (*name).to_owned()).collect()
    }

    /// The resource that a listing's items are in, if it tells.
    #[must_use]
    pub fn parent(listing: &Listing) -> Option<pb::Resource> {
        let of = |resource_type: &str| {
            let resource_type = resource_type.to_owned();
            Some(pb::Resource { gid: listing.of.to_string(), resource_type, ..pb::Resource::default() })
        };
        match listing.what {
            What::Sections | What::Tasks => of("project"),
            What::Subtasks | What::TaskStories | What::Attachments => of("task"),
            What::GoalStories => of("goal"),
            What::WorkspaceProjects => of("workspace"),
            What::Project
            | What::Task
            | What::Goal
            | What::TeamProjects
            | What::PortfolioItems
            | What::WorkspaceGoals => None,
        }
    }

    /// On behind a page. `again` are resources that are to be read once more on their own.
    pub fn advance(&mut self, page: &ListPage, depth: Depth, again: Vec<Listing>) {
        let Place::Reading { listing, offset, .. } = &mut self.place else { return };
        let what = listing.what;
        let below = page.items.iter().flat_map(|item| below(what, item, depth));
        let piece: Vec<_> = below.chain(again).collect();
        if !piece.is_empty() {
            self.queue.push_back(piece.into());
        }
        if page.next_offset.is_some() {
            offset.clone_from(&page.next_offset);
        } else {
            self.next_listing();
        }
    }

    /// From the list's beginning again: its offset expired. A list that never comes to its end is passed over, and its
    /// type isn't complete: Asana cuts lists of tens of thousands off with the same answer.
    pub fn restart_list(&mut self) {
        let Place::Reading { listing, offset, restarts } = &mut self.place else { return };
        *offset = None;
        *restarts += 1;
        if *restarts > MOST_RESTARTS {
            let refused = type_of(listing.what).to_owned();
            self.refused_types.insert(refused);
            self.next_listing();
        }
    }

    /// Asana refuses what is read now. Whether the crawl can go on without it.
    pub fn refused(&mut self, stream: &StreamId, denial: Denial) -> bool {
        let Place::Reading { listing, .. } = &mut self.place else { return true };
        let missing = matches!(denial, Denial::NotFound | Denial::BadRequest | Denial::Forbidden);
        let is_root = listing.of == stream.resource;
        match listing.what {
            What::Project if is_root && missing => listing.what = What::Task,
            What::Task if is_root && missing => listing.what = What::Goal,
            What::Project | What::Task | What::Goal if is_root => {
                // The next attempt tries all of them again.
                listing.what = What::Project;
                return false;
            }
            // Without these there is nothing to speak of.
            What::WorkspaceProjects => return false,
            What::Tasks if is_root => return false,
            What::Project
            | What::Task
            | What::Goal
            | What::Sections
            | What::Tasks
            | What::Subtasks
            | What::TaskStories
            | What::GoalStories
            | What::Attachments
            | What::TeamProjects
            | What::PortfolioItems
            | What::WorkspaceGoals => {
                // What isn't found was seen a moment ago, and is gone.
                if denial != Denial::NotFound {
                    self.refused_types.insert(type_of(listing.what).to_owned());
                }
                self.next_listing();
            }
        }
        true
    }

    fn next_listing(&mut self) {
        if self.queue.front().is_some_and(|piece| self.done >= piece.len()) {
            self.queue.pop_front();
            self.first_piece += 1;
            self.done = 0;
        }
        self.place = match self.queue.front().and_then(|piece| piece.get(self.done)) {
            Some(listing) => Place::Reading { listing: listing.clone(), offset: None, restarts: 0 },
            None => Place::Sweeping { after: None },
        };
        self.done += usize::from(!self.queue.is_empty());
    }
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

fn type_of(what: What) -> &'static str {
    match what {
        What::Project | What::WorkspaceProjects | What::TeamProjects | What::PortfolioItems => "project",
        What::Task | What::Tasks | What::Subtasks => "task",
        What::Goal | What::WorkspaceGoals => "goal",
        What::Sections => "section",
        What::TaskStories | What::GoalStories => "story",
        What::Attachments => "attachment",
    }
}

/// What is to be read below an item of a list.
fn below(what: What, item: &Item, depth: Depth) -> Vec<Listing> {
    let lists = match what {
        What::Project | What::WorkspaceProjects => vec![What::Sections, What::Tasks],
        What::Task | What::Tasks | What::Subtasks => {
            let subtasks = (depth >= Depth::Subtasks && item.num_subtasks > 0).then_some(What::Subtasks);
            let stories = (depth >= Depth::Stories).then_some(What::TaskStories);
            let attachments = (depth >= Depth::Attachments).then_some(What::Attachments);
            subtasks.into_iter().chain(stories).chain(attachments).collect()
        }
        What::Goal if depth >= Depth::Stories => vec![What::GoalStories],
        What::Goal
        | What::Sections
        | What::TaskStories
        | What::GoalStories
        | What::Attachments
        | What::TeamProjects
        | What::PortfolioItems
        | What::WorkspaceGoals => Vec::new(),
    };
    lists.into_iter().map(|what| Listing { of: Gid::from(item.resource.gid.as_str()), what }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(gid: &str, num_subtasks: u32) -> Item {
        Item {
            resource: pb::Resource { gid: gid.to_owned(), ..pb::Resource::default() },
            state_json: String::new(),
            modified_at: None,
            membership: String::new(),
            num_subtasks,
            archived: false,
        }
    }

    fn page(items: Vec<Item>, next_offset: Option<&str>) -> ListPage {
        let next_offset = next_offset.map(str::to_owned);
        ListPage { items, next_offset, received_at: DateTime::UNIX_EPOCH, bytes: 0 }
    }

    fn crawl(kind: StreamKind) -> Crawl {
        Crawl::begin(&StreamId::new("main", "9"), kind, Reason::Initial, Vec::new(), false, DateTime::UNIX_EPOCH)
    }

    fn reads(crawl: &Crawl) -> Option<(&str, What, Option<&str>)> {
        match &crawl.place {
            Place::Reading { listing, offset, .. } => Some((listing.of.as_str(), listing.what, offset.as_deref())),
            Place::Sweeping { .. } => None,
        }
    }

    #[test]
    fn a_project_is_read_list_by_list_to_its_depth() {
        let mut crawl = crawl(StreamKind::Resource);
        assert_eq!(reads(&crawl), Some(("9", What::Project, None)));
        crawl.advance(&page(vec![item("9", 0)], None), Depth::Stories, Vec::new());
        assert_eq!(reads(&crawl), Some(("9", What::Sections, None)));
        crawl.advance(&page(vec![item("1", 0)], None), Depth::Stories, Vec::new());
        assert_eq!(reads(&crawl), Some(("9", What::Tasks, None)));
        crawl.advance(&page(vec![item("10", 0)], Some("x")), Depth::Stories, Vec::new());
        assert_eq!(reads(&crawl), Some(("9", What::Tasks, Some("x"))), "to the end, before what is below");
        crawl.restart_list();
        assert_eq!(reads(&crawl), Some(("9", What::Tasks, None)));
        let again = Listing { of: "12".into(), what: What::Task };
        crawl.advance(&page(vec![item("11", 1)], None), Depth::Stories, vec![again]);
        let mut read = Vec::new();
        while let Some((of, what, _)) = reads(&crawl) {
            read.push((of.to_owned(), what));
            let items = if what == What::Subtasks { vec![item("111", 0)] } else { Vec::new() };
            crawl.advance(&page(items, None), Depth::Stories, Vec::new());
        }
        let expected = [
            ("10", What::TaskStories),
            ("11", What::Subtasks),
            ("11", What::TaskStories),
            ("12", What::Task),
            ("111", What::TaskStories),
        ];
        assert_eq!(read, expected.map(|(of, what)| (of.to_owned(), what)));
        assert!(crawl.queue.is_empty());
    }

    #[test]
    fn what_a_stream_watches_is_found_by_asking() {
        let stream = StreamId::new("main", "9");
        let mut crawl = crawl(StreamKind::Resource);
        assert!(crawl.refused(&stream, Denial::NotFound));
        assert_eq!(reads(&crawl), Some(("9", What::Task, None)));
        assert!(crawl.refused(&stream, Denial::NotFound));
        assert_eq!(reads(&crawl), Some(("9", What::Goal, None)));
        assert!(!crawl.refused(&stream, Denial::NotFound), "there is nothing to read");
    }

    #[test]
    fn what_is_refused_below_is_not_called_complete() {
        let stream = StreamId::new("main", "9");
        let mut crawl = crawl(StreamKind::Resource);
        crawl.advance(&page(vec![item("9", 0)], None), Depth::Subtasks, Vec::new());
        assert!(crawl.refused(&stream, Denial::Forbidden), "sections need a scope of their own");
        assert_eq!(reads(&crawl), Some(("9", What::Tasks, None)));
        crawl.advance(&page(vec![item("10", 1)], None), Depth::Subtasks, Vec::new());
        assert!(crawl.refused(&stream, Denial::NotFound), "a task that was just deleted");
        assert_eq!(reads(&crawl), None);
        assert_eq!(crawl.end_record(Depth::Subtasks).complete_types, ["project", "task"]);
    }
}
