//! What is read of Asana besides events: one object, or one list of them, page by page.

use crate::format::crawl_listing::What as Number;
use crate::ids::Gid;
use crate::outcome::poll::{Denial, Failure};
use bridge_contract::pb;
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

/// The most items that Asana gives of a list at once (its guide "Pagination").
pub const MOST_ON_A_PAGE: u8 = 100;

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
    /// The section itself: `/sections/{gid}`.
    Section,
    /// The story itself: `/stories/{gid}`.
    Story,
    /// The attachment itself: `/attachments/{gid}`.
    Attachment,
    /// The sections of a project, whose tasks are read section by section, as together they are too many.
    SectionsToSplit,
    /// The tasks of a section: `/sections/{gid}/tasks`.
    SectionTasks,
    /// The teams of a workspace (`/workspaces/{gid}/teams`), whose projects are read team by team, as together they are
    /// too many.
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

    /// The type of the resources that it gives.
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

    /// The wire contract's name of it (`LeftOut.what`), for logs and people, too.
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

    /// What stands for it in the checkpoint and in the index; for those of discovery nothing.
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

    /// What a [`number`](Self::number) stands for, if it is known.
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

/// What a listing returned.
#[derive(Clone, Debug, PartialEq)]
pub enum ListOutcome {
    /// 200.
    Page(ListPage),
    /// 400 to an offset: Asana let it expire, or doesn't know it. The list has to be read from its beginning.
    OffsetExpired,
    /// Another 400 to an offset: the list is longer than what Asana gives of one. It has to be read in parts.
    CutOff,
    /// 429 (or 424): the whole account waits.
    Throttled {
        /// How long, from now.
        retry_after: Duration,
    },
    /// Asana refuses to have it read.
    Denied(Denial),
    /// No usable answer.
    Failed(Failure),
}

impl ListOutcome {
    /// For metrics and logs.
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
    /// In Asana's order.
    pub items: Vec<Item>,
    /// Number of further items without a gid: nothing can be published of them.
    pub unidentified: usize,
    /// Where the next page begins; `None` at the last.
    pub next_offset: Option<String>,
    /// When the answer was complete.
    pub received_at: DateTime<Utc>,
    /// The answer's size in bytes.
    pub bytes: usize,
}

/// One resource, as a listing showed it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Item {
    /// Gid, type, name and subtype.
    pub resource: pb::Resource,
    /// All that Asana returned of it, byte for byte.
    pub state_json: String,
    /// Asana's `modified_at`, where there is one.
    pub modified_at: Option<DateTime<Utc>>,
    /// Asana's `created_at`, where there is one.
    pub created_at: Option<DateTime<Utc>>,
    /// Where it is, for what `modified_at` doesn't contain: of a task its parent, and its projects each with the
    /// section, as Asana returned them; nothing for others.
    pub membership: String,
    /// What it says to lie in directly: its projects, its workspace, and what it is a part of.
    pub within: Vec<Gid>,
    /// The one thing that it is a part of: a subtask of its parent, a section of its project, a story or an attachment
    /// of what it is on.
    pub part_of: Option<Listing>,
    /// How many subtasks it has; 0 where it has none or can't have any.
    pub num_subtasks: u32,
    /// Whether it is archived.
    pub archived: bool,
}
