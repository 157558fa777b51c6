//! Requests to Asana other than polls: one object, or one list of them, page by page.

use crate::format::crawl_listing::What as Number;
use crate::ids::Gid;
use crate::outcome::poll::{Denial, Failure};
use bridge_contract::pb;
use chrono::{DateTime, Utc};
use std::time::Duration;

/// One object, or one list of objects.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listing {
    /// The gid: the project of tasks, the task of stories, or the object itself.
    pub of: Gid,
    /// The kind of the listing.
    pub what: What,
}

/// The maximum number of items that Asana returns on a page (its guide "Pagination").
pub const MOST_ON_A_PAGE: u8 = 100;

/// The kinds of listings.
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
    /// The section itself: `/sections/{gid}`.
    Section,
    /// The story itself: `/stories/{gid}`.
    Story,
    /// The attachment itself: `/attachments/{gid}`.
    Attachment,
    /// The sections of a project whose tasks are read section by section, because they are too many for one list.
    SectionsToSplit,
    /// The tasks of a section: `/sections/{gid}/tasks`.
    SectionTasks,
    /// The teams of a workspace (`/workspaces/{gid}/teams`) whose projects are read team by team, because they are too
    /// many for one list.
    TeamsToSplit,
}

impl What {
    /// Whether it is one object, without pages.
    #[must_use]
    pub fn is_object(self) -> bool {
        matches!(self, Self::Project | Self::Task | Self::Goal | Self::Section | Self::Story | Self::Attachment)
    }

    /// The request that reads one resource of this type alone, if there is one.
    #[must_use]
    pub fn alone(resource_type: &str) -> Option<Self> {
        match resource_type {
            "project" => Some(Self::Project),
            "task" => Some(Self::Task),
            "goal" => Some(Self::Goal),
            "section" => Some(Self::Section),
            "story" => Some(Self::Story),
            "attachment" => Some(Self::Attachment),
            _ => None,
        }
    }

    /// The type of the resources that it lists.
    #[must_use]
    pub fn resource_type(self) -> &'static str {
        match self {
            Self::Project | Self::WorkspaceProjects | Self::TeamProjects | Self::PortfolioItems => "project",
            Self::Task | Self::Tasks | Self::Subtasks | Self::SectionTasks => "task",
            Self::Goal | Self::WorkspaceGoals => "goal",
            Self::Section | Self::Sections | Self::SectionsToSplit => "section",
            Self::Story | Self::TaskStories | Self::GoalStories => "story",
            Self::Attachment | Self::Attachments => "attachment",
            Self::TeamsToSplit => "team",
        }
    }

    /// The name in the wire contract (`LeftOut.what`), also for logs and people.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Project => "project",
            Self::Task => "task",
            Self::Goal => "goal",
            Self::Section => "section",
            Self::Story => "story",
            Self::Attachment => "attachment",
            Self::Sections | Self::SectionsToSplit => "sections",
            Self::Tasks | Self::SectionTasks => "tasks",
            Self::Subtasks => "subtasks",
            Self::TaskStories | Self::GoalStories => "stories",
            Self::Attachments => "attachments",
            Self::WorkspaceProjects | Self::TeamProjects => "projects",
            Self::PortfolioItems => "items",
            Self::WorkspaceGoals => "goals",
            Self::TeamsToSplit => "teams",
        }
    }

    /// The number in the checkpoint and in the index. `PortfolioItems` and `WorkspaceGoals`, which are never stored,
    /// have 0.
    #[must_use]
    pub fn number(self) -> i32 {
        match self {
            Self::Project => Number::Project,
            Self::Task => Number::Task,
            Self::Goal => Number::Goal,
            Self::Sections => Number::Sections,
            Self::Tasks => Number::Tasks,
            Self::Subtasks => Number::Subtasks,
            Self::TaskStories => Number::TaskStories,
            Self::GoalStories => Number::GoalStories,
            Self::Attachments => Number::Attachments,
            Self::WorkspaceProjects => Number::WorkspaceProjects,
            Self::Section => Number::Section,
            Self::Story => Number::Story,
            Self::Attachment => Number::Attachment,
            Self::SectionsToSplit => Number::SectionsToSplit,
            Self::SectionTasks => Number::SectionTasks,
            Self::TeamsToSplit => Number::TeamsToSplit,
            Self::TeamProjects => Number::TeamProjects,
            Self::PortfolioItems | Self::WorkspaceGoals => Number::Unspecified,
        }
        .into()
    }

    /// The kind with this [`number`](Self::number), if there is one.
    #[must_use]
    pub fn of_number(number: i32) -> Option<Self> {
        Some(match Number::try_from(number).ok()? {
            Number::Project => Self::Project,
            Number::Task => Self::Task,
            Number::Goal => Self::Goal,
            Number::Sections => Self::Sections,
            Number::Tasks => Self::Tasks,
            Number::Subtasks => Self::Subtasks,
            Number::TaskStories => Self::TaskStories,
            Number::GoalStories => Self::GoalStories,
            Number::Attachments => Self::Attachments,
            Number::WorkspaceProjects => Self::WorkspaceProjects,
            Number::Section => Self::Section,
            Number::Story => Self::Story,
            Number::Attachment => Self::Attachment,
            Number::SectionsToSplit => Self::SectionsToSplit,
            Number::SectionTasks => Self::SectionTasks,
            Number::TeamsToSplit => Self::TeamsToSplit,
            Number::TeamProjects => Self::TeamProjects,
            Number::Unspecified => return None,
        })
    }
}

/// The outcome of a listing.
#[derive(Clone, Debug, PartialEq)]
pub enum ListOutcome {
    /// Status 200: a page, or the object.
    Page(ListPage),
    /// Status 400 for an offset: it expired, or Asana doesn't know it. The list has to be read from its beginning.
    OffsetExpired,
    /// Another 400 for an offset: the list is longer than what Asana returns of one. It has to be read in parts.
    CutOff,
    /// Status 429 (or 424): the whole account has to pause.
    Throttled {
        /// The pause, from now.
        retry_after: Duration,
    },
    /// A refusal: it can't be read.
    Denied(Denial),
    /// There was no usable answer.
    Failed(Failure),
}

impl ListOutcome {
    /// A constant name, for metrics and logs.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Page(_) => "list_page",
            Self::OffsetExpired => "offset_expired",
            Self::CutOff => "cut_off",
            Self::Throttled { .. } => "throttled",
            Self::Denied(denial) => denial.label(),
            Self::Failed(failure) => failure.label(),
        }
    }
}

/// A page of a list, or the one object.
#[derive(Clone, Debug, PartialEq)]
pub struct ListPage {
    /// The items, in Asana's order.
    pub items: Vec<Item>,
    /// The number of further items without a gid, which can't be published.
    pub unidentified: usize,
    /// The offset of the next page; `None` on the last one.
    pub next_offset: Option<String>,
    /// The time when the answer was complete, by the host's clock.
    pub received_at: DateTime<Utc>,
    /// The size of the answer in bytes.
    pub bytes: usize,
}

/// One resource, as a listing returned it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Item {
    /// Gid, type, name and subtype.
    pub resource: pb::Resource,
    /// Everything that Asana returned of it, byte for byte.
    pub state_json: String,
    /// Asana's `modified_at`, if there is one.
    pub modified_at: Option<DateTime<Utc>>,
    /// Asana's `created_at`, if there is one.
    pub created_at: Option<DateTime<Utc>>,
    /// The place of a task, for moves that don't change `modified_at`: its parent, and its projects with their
    /// sections, as Asana returned them. Empty for other resources.
    pub membership: String,
    /// The resources that directly contain it: its projects, its workspace, and what it is a part of.
    pub within: Vec<Gid>,
    /// The one resource that it is a part of: the parent of a subtask, the project of a section, the resource of a
    /// story or an attachment.
    pub part_of: Option<Listing>,
    /// The number of its subtasks; 0 if it can't have any.
    pub num_subtasks: u32,
    /// Whether it is archived in Asana.
    pub archived: bool,
}
