//! What is read of Asana besides events: one object, or one list of them, page by page.

use super::ids::Gid;
use super::page::{Denial, Failure};
use crate::pb;
use chrono::{DateTime, Utc};
use std::time::Duration;

/// One object or one list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listing {
    /// What it is of: the project of tasks, the task of stories, the object itself.
    pub of: Gid,
    /// What it lists.
    pub what: What,
}

/// What a listing lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// The project itself: `/projects/{gid}`.
    Project,
    /// The task itself: `/tasks/{gid}`.
    Task,
    /// The goal itself: `/goals/{gid}`.
    Goal,
    /// The sections of a project: `/projects/{gid}/sections`.
    Sections,
    /// The tasks of a project, without subtasks: `/projects/{gid}/tasks`.
    Tasks,
    /// The subtasks of a task: `/tasks/{gid}/subtasks`.
    Subtasks,
    /// The stories of a task: `/tasks/{gid}/stories`.
    TaskStories,
    /// The stories of a goal: `/goals/{gid}/stories`.
    GoalStories,
    /// The attachments of a task: `/attachments?parent={gid}`.
    Attachments,
    /// The projects of a workspace, archived ones too: `/workspaces/{gid}/projects`.
    WorkspaceProjects,
    /// The projects of a team: `/teams/{gid}/projects`.
    TeamProjects,
    /// The projects and portfolios in a portfolio: `/portfolios/{gid}/items`.
    PortfolioItems,
    /// The goals of a workspace: `/goals?workspace={gid}`.
    WorkspaceGoals,
}

impl What {
    /// Whether it is one object, without pages.
    #[must_use]
    pub fn is_object(self) -> bool {
        matches!(self, Self::Project | Self::Task | Self::Goal)
    }
}

/// What a listing returned.
#[derive(Clone, Debug, PartialEq)]
pub enum ListOutcome {
    /// 200.
    Page(ListPage),
    /// 400 to an offset: Asana let it expire, or doesn't know it. The list has to be read from its beginning.
    OffsetExpired,
    /// 429 (or 424): the whole account waits.
    Throttled {
        /// How long, from now.
        retry_after: Duration,
    },
    /// An answer that says that it can't be read.
    Denied(Denial),
    /// No usable answer.
    Failed(Failure),
}

/// A page of a list, or the one object.
#[derive(Clone, Debug, PartialEq)]
pub struct ListPage {
    /// In Asana's order.
    pub items: Vec<Item>,
    /// Where the next page begins; `None` at the last.
    pub next_offset: Option<String>,
    /// When the answer was complete.
    pub received_at: DateTime<Utc>,
    /// The answer's size in bytes.
    pub bytes: usize,
}

/// One resource, as a listing showed it.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Gid, type, name and subtype.
    pub resource: pb::Resource,
    /// All that Asana returned of it, byte for byte.
    pub state_json: String,
    /// Asana's `modified_at`, where there is one.
    pub modified_at: Option<DateTime<Utc>>,
    /// Where it is, for what `modified_at` doesn't tell: of a task its parent, and its projects each with the section,
    /// as Asana returned them; nothing for others.
    pub membership: String,
    /// How many subtasks it has; 0 where it has none or can't have any.
    pub num_subtasks: u32,
    /// Whether it is archived.
    pub archived: bool,
}
