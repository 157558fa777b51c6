//! The actions of users, and the events that Asana makes of them.
//!
//! One action changes the world and yields one or more events with the same `created_at`, as in Asana. Each event has
//! the list of streams that see it.

use std::sync::Arc;

use rand::RngExt;

use super::{
    arena::Id,
    event::{Action, Change, Compact, Event, Gid},
    model::{Project, Task, Team, User},
    time::Timestamp,
    words,
    world::World,
};

/// An event and the streams that it bubbles up to.
#[derive(Debug)]
pub(crate) struct Happening {
    pub(crate) event: Arc<str>,
    /// The event in a workspace's stream, if that differs.
    pub(crate) in_workspace: Option<Arc<str>>,
    pub(crate) streams: Vec<Gid>,
}

#[derive(Debug, Clone, Copy)]
enum Deed {
    CreateTask,
    CreateOwnTask,
    CreateSubtask,
    Complete,
    Reopen,
    Rename,
    Describe,
    Schedule,
    Assign,
    Unassign,
    Comment,
    EditComment,
    RemoveComment,
    Drag,
    Move,
    AddToProject,
    TakeOut,
    Follow,
    Unfollow,
    Tag,
    Depend,
    Like,
    SetCustomField,
    Attach,
    Trash,
    Restore,
    RenameProject,
    CreateSection,
    CreateProject,
    ChangeGoal,
}

/// How often each action is done, relative to the others.
const HABITS: &[(u32, Deed)] = &[
    (9, Deed::CreateTask),
    (2, Deed::CreateOwnTask),
    (5, Deed::CreateSubtask),
    (14, Deed::Complete),
    (3, Deed::Reopen),
    (8, Deed::Rename),
    (6, Deed::Describe),
    (8, Deed::Schedule),
    (10, Deed::Assign),
    (2, Deed::Unassign),
    (16, Deed::Comment),
    (3, Deed::EditComment),
    (2, Deed::RemoveComment),
    (12, Deed::Drag),
    (5, Deed::Move),
    (4, Deed::AddToProject),
    (2, Deed::TakeOut),
    (5, Deed::Follow),
    (2, Deed::Unfollow),
    (4, Deed::Tag),
    (2, Deed::Depend),
    (3, Deed::Like),
    (6, Deed::SetCustomField),
    (3, Deed::Attach),
    (9, Deed::Trash),
    (3, Deed::Restore),
    (1, Deed::RenameProject),
    (1, Deed::CreateSection),
    (1, Deed::CreateProject),
    (3, Deed::ChangeGoal),
];

/// The number of projects beyond which users create no more, so that a long run stays in bounds.
const MOST_PROJECTS: usize = 1_000;

impl Deed {
    /// Whether a rule or automation may do it. Then `user` is null.
    fn may_be_the_systems(self) -> bool {
        match self {
            Self::Schedule | Self::SetCustomField | Self::Drag | Self::Move | Self::AddToProject | Self::Trash => true,
            Self::CreateTask
            | Self::CreateOwnTask
            | Self::CreateSubtask
            | Self::Complete
            | Self::Reopen
            | Self::Rename
            | Self::Describe
            | Self::Assign
            | Self::Unassign
            | Self::Comment
            | Self::EditComment
            | Self::RemoveComment
            | Self::Follow
            | Self::Unfollow
            | Self::TakeOut
            | Self::Tag
            | Self::Depend
            | Self::Like
            | Self::Attach
            | Self::Restore
            | Self::RenameProject
            | Self::CreateSection
            | Self::CreateProject
            | Self::ChangeGoal => false,
        }
    }
}

/// An action in progress: its user, its time, and its events so far.
#[derive(Debug)]
pub(crate) struct Act {
    pub(crate) user: Id<User>,
    by_system: bool,
    pub(crate) now: Timestamp,
    pub(crate) happenings: Vec<Happening>,
}

impl Act {
    pub(crate) fn of(user: Id<User>, now: Timestamp) -> Self {
        Self { user, by_system: false, now, happenings: Vec::new() }
    }
}

impl World {
    /// Lets a random user do something, which makes events or, as with a drag within a section, none.
    pub(crate) fn act(&mut self, now: Timestamp) -> Vec<Happening> {
        let user = self.any_user();
        let deed = self.choose_deed();
        let by_system = deed.may_be_the_systems() && self.dice.random_range(0..4) == 0;
        let mut act = Act { by_system, ..Act::of(user, now) };
        if self.perform(deed, &mut act).is_none() {
            // The action isn't possible in this world. A new task always is.
            self.perform(Deed::CreateTask, &mut act);
        }
        act.happenings
    }

    fn choose_deed(&mut self) -> Deed {
        let total: u32 = HABITS.iter().map(|(weight, _)| weight).sum();
        let mut left = self.dice.random_range(0..total);
        for &(weight, deed) in HABITS {
            if left < weight {
                return deed;
            }
            left -= weight;
        }
        Deed::CreateTask
    }

    fn perform(&mut self, deed: Deed, act: &mut Act) -> Option<()> {
        match deed {
            Deed::CreateTask => self.create_task(act),
            Deed::CreateOwnTask => self.create_own_task(act),
            Deed::CreateSubtask => self.create_subtask(act),
            Deed::Complete => self.complete(act),
            Deed::Reopen => self.reopen(act),
            Deed::Rename => self.rename(act),
            Deed::Describe => self.describe(act),
            Deed::Schedule => self.schedule(act),
            Deed::Assign => self.assign(act),
            Deed::Unassign => self.unassign(act),
            Deed::Comment => self.comment(act),
            Deed::EditComment => self.edit_comment(act),
            Deed::RemoveComment => self.remove_comment(act),
            Deed::Drag => self.drag_around(act),
            Deed::Move => self.move_between_projects(act),
            Deed::AddToProject => self.add_to_project(act),
            Deed::TakeOut => self.take_out_of_project(act),
            Deed::Tag => self.tag(act),
            Deed::Depend => self.depend(),
            Deed::Like => self.like(act),
            Deed::Follow => self.follow(act),
            Deed::Unfollow => self.unfollow(act),
            Deed::SetCustomField => self.set_custom_field(act),
            Deed::Attach => self.attach(act),
            Deed::Trash => self.trash(act),
            Deed::Restore => self.restore(act),
            Deed::RenameProject => self.rename_project(act),
            Deed::CreateSection => self.create_section(act),
            Deed::CreateProject => self.create_project(act),
            Deed::ChangeGoal => self.change_goal(act),
        }
    }

    // --- what all actions need

    pub(crate) fn any_project(&mut self) -> Option<Id<Project>> {
        let number = self.dice.random_range(0..self.lively.len().max(1));
        self.lively.get(number).copied()
    }

    /// A task that isn't trashed, or one of its subtasks.
    pub(crate) fn any_task(&mut self, wanted: impl Fn(&Task) -> bool) -> Option<Id<Task>> {
        // Enough tries to find a wanted task, unless it is very rare.
        for _ in 0..8 {
            let in_no_project = self.dice.random_range(0..10) == 0;
            let project = self.any_project()?;
            let tasks = if in_no_project { &self.loose } else { &self.projects[project].tasks };
            let number = self.dice.random_range(0..tasks.len().max(1));
            let Some(&task) = tasks.get(number) else {
                continue;
            };
            let deeper = self.dice.random_range(0..4) == 0;
            let subtask = self.tasks[task].subtasks.last().copied().filter(|_| deeper);
            let found = subtask.unwrap_or(task);
            if wanted(&self.tasks[found]) && !self.gone(found) {
                return Some(found);
            }
        }
        None
    }

    pub(crate) fn say(&self, act: &mut Act, streams: Vec<Gid>, of: Compact, what: What) {
        let (action, parent, change) = match what {
            What::Added(parent) => (Action::Added, Some(parent), None),
            What::Removed(parent) => (Action::Removed, Some(parent), None),
            What::Changed(change) => (Action::Changed, None, Some(change)),
            What::Deleted => (Action::Deleted, None, None),
            What::Undeleted => (Action::Undeleted, None, None),
        };
        let event = Event {
            user: (!act.by_system).then(|| self.compact_user(act.user)),
            created_at: act.now,
            action,
            resource: of,
            parent,
            change,
        };
        let in_workspace = event.write_bare(self.twin);
        act.happenings.push(Happening { event: event.write(self.twin), in_workspace, streams });
    }

    pub(crate) fn say_task(&self, act: &mut Act, task: Id<Task>, what: What) {
        self.say(act, self.streams_of(task), self.compact_task(task), what);
    }

    /// A change that moves the task's `modified_at`.
    pub(crate) fn changed(&mut self, act: &mut Act, task: Id<Task>, change: Change) {
        self.tasks[task].modified_at = act.now;
        self.say_task(act, task, What::Changed(change));
    }

    pub(crate) fn tell_story(&mut self, act: &mut Act, task: Id<Task>, subtype: &'static str, text: String) {
        let story = self.add_story(task, subtype, text, act.user, act.now);
        let parent = self.compact_task(task);
        let what = What::Added(parent);
        self.say(act, self.streams_of(task), self.compact_story(story), what);
    }

    // --- projects and goals

    fn rename_project(&mut self, act: &mut Act) -> Option<()> {
        let project = self.any_project()?;
        self.projects[project].name = words::project(&mut self.dice);
        self.projects[project].modified_at = act.now;
        let what = What::Changed(Change::scalar("name"));
        let compact = self.compact_project(project);
        self.say(act, self.streams_of_project(project), compact, what);
        Some(())
    }

    fn create_section(&mut self, act: &mut Act) -> Option<()> {
        let project = self.any_project()?;
        if self.projects[project].sections.len() >= 20 {
            return None;
        }
        let name = words::one(&mut self.dice).to_owned();
        let section = self.add_section(project, name, act.now);
        let what = What::Added(self.compact_project(project));
        let compact = self.compact_section(section);
        self.say(act, self.streams_of_project(project), compact, what);
        Some(())
    }

    fn create_project(&mut self, act: &mut Act) -> Option<()> {
        if self.projects.len() >= MOST_PROJECTS {
            return None;
        }
        let number = self.dice.random_range(0..self.teams.len().max(1));
        let team = self.teams.nth(number)?;
        self.create_project_of(team, None, act);
        Some(())
    }

    pub(crate) fn create_project_of(&mut self, team: Id<Team>, name: Option<String>, act: &mut Act) -> Id<Project> {
        let project = self.add_project(team, act.now);
        if let Some(name) = name {
            self.projects[project].name = name;
        }
        let parent = self.compact_workspace(self.projects[project].workspace);
        let compact = self.compact_project(project);
        let what = What::Added(parent);
        self.say(act, self.streams_of_project(project), compact, what);
        project
    }

    fn change_goal(&mut self, act: &mut Act) -> Option<()> {
        let number = self.dice.random_range(0..self.goals.len().max(1));
        let goal = self.goals.nth(number)?;
        self.goals[goal].name = words::goal(&mut self.dice);
        let goal = &self.goals[goal];
        let workspace = &self.workspaces[goal.workspace];
        let streams = vec![Arc::clone(&goal.gid), Arc::clone(&workspace.gid)];
        let compact = Compact::new(&goal.gid, "goal", &*goal.name);
        self.say(act, streams, compact, What::Changed(Change::scalar("name")));
        Some(())
    }
}

/// What happened to a resource, with the details that its event needs.
#[derive(Debug)]
pub(crate) enum What {
    Added(Compact),
    Removed(Compact),
    Changed(Change),
    Deleted,
    Undeleted,
}
