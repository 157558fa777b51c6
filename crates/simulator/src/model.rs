//! The objects of the simulated domain.

use super::{arena::Id, event::Gid, time::Timestamp};

#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) gid: Gid,
    pub(crate) name: String,
}

#[derive(Debug)]
pub(crate) struct Team {
    pub(crate) gid: Gid,
    pub(crate) name: String,
    pub(crate) workspace: Id<Workspace>,
}

#[derive(Debug)]
pub(crate) struct User {
    pub(crate) gid: Gid,
    pub(crate) name: String,
    pub(crate) email: String,
    /// Gid of the user's "My tasks".
    pub(crate) task_list: Gid,
}

#[derive(Debug)]
pub(crate) struct Project {
    pub(crate) gid: Gid,
    pub(crate) name: String,
    pub(crate) workspace: Id<Workspace>,
    pub(crate) team: Option<Id<Team>>,
    pub(crate) sections: Vec<Id<Section>>,
    /// Tasks that are in the project now, trashed ones included.
    pub(crate) tasks: Vec<Id<Task>>,
    pub(crate) archived: bool,
    /// It can't be found any more.
    pub(crate) deleted: bool,
    pub(crate) created_at: Timestamp,
    pub(crate) modified_at: Timestamp,
    pub(crate) status: Option<StatusUpdate>,
}

#[derive(Debug)]
pub(crate) struct StatusUpdate {
    pub(crate) gid: Gid,
    pub(crate) title: String,
    pub(crate) created_at: Timestamp,
}

#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) gid: Gid,
    pub(crate) name: String,
    pub(crate) project: Id<Project>,
    pub(crate) created_at: Timestamp,
    /// Ranks of the topmost and the lowest task that it ever had.
    pub(crate) extent: (i64, i64),
}

#[derive(Debug)]
pub(crate) struct Tag {
    pub(crate) gid: Gid,
    pub(crate) name: &'static str,
}

#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) gid: Gid,
    pub(crate) name: String,
    pub(crate) notes: String,
    pub(crate) workspace: Id<Workspace>,
    pub(crate) parent: Option<Id<Self>>,
    pub(crate) memberships: Vec<Membership>,
    pub(crate) subtasks: Vec<Id<Self>>,
    pub(crate) stories: Vec<Id<Story>>,
    pub(crate) attachments: Vec<Id<Attachment>>,
    pub(crate) followers: Vec<Id<User>>,
    pub(crate) tags: Vec<Id<Tag>>,
    pub(crate) dependencies: Vec<Id<Self>>,
    pub(crate) likes: Vec<Id<User>>,
    pub(crate) assignee: Option<Id<User>>,
    pub(crate) created_by: Id<User>,
    pub(crate) completed_at: Option<Timestamp>,
    pub(crate) due_on: Option<String>,
    pub(crate) custom: Values,
    pub(crate) created_at: Timestamp,
    pub(crate) modified_at: Timestamp,
    pub(crate) trashed: bool,
    /// It is trashed, or was.
    pub(crate) was_trashed: bool,
}

#[derive(Debug)]
pub(crate) struct Story {
    pub(crate) gid: Gid,
    pub(crate) task: Id<Task>,
    pub(crate) subtype: &'static str,
    pub(crate) text: String,
    pub(crate) created_by: Id<User>,
    pub(crate) created_at: Timestamp,
    pub(crate) removed: bool,
}

#[derive(Debug)]
pub(crate) struct Attachment {
    pub(crate) gid: Gid,
    pub(crate) task: Id<Task>,
    pub(crate) name: String,
}

#[derive(Debug)]
pub(crate) struct Portfolio {
    pub(crate) gid: Gid,
    pub(crate) name: String,
    pub(crate) workspace: Id<Workspace>,
    pub(crate) owner: Id<User>,
    pub(crate) items: Vec<Id<Project>>,
}

#[derive(Debug)]
pub(crate) struct Goal {
    pub(crate) gid: Gid,
    pub(crate) name: String,
    pub(crate) workspace: Id<Workspace>,
    pub(crate) team: Option<Id<Team>>,
    pub(crate) owner: Id<User>,
    pub(crate) stories: Vec<Id<Story>>,
}

/// An object of any kind.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ref {
    Workspace(Id<Workspace>),
    Team(Id<Team>),
    User(Id<User>),
    UserTaskList(Id<User>),
    Project(Id<Project>),
    Section(Id<Section>),
    Task(Id<Task>),
    Story(Id<Story>),
    Attachment(Id<Attachment>),
    Portfolio(Id<Portfolio>),
    Goal(Id<Goal>),
}

/// A task's place in one project.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Membership {
    pub(crate) project: Id<Project>,
    pub(crate) section: Id<Section>,
    /// The lower, the nearer to the top of the section.
    pub(crate) rank: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Priority {
    Low,
    Medium,
    High,
}

impl Priority {
    pub(crate) const ALL: [Self; 3] = [Self::Low, Self::Medium, Self::High];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Low => "Low",
            Self::Medium => "Medium",
            Self::High => "High",
        }
    }

    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Low => "1",
            Self::Medium => "2",
            Self::High => "3",
        }
    }
}

/// A task's values.
#[derive(Debug, Default)]
pub(crate) struct Values {
    pub(crate) priority: Option<Priority>,
    /// In quarters of an hour.
    pub(crate) estimate: Option<u32>,
    pub(crate) customer: Option<String>,
    /// A day.
    pub(crate) launch: Option<String>,
    pub(crate) reviewers: Vec<Id<User>>,
}
