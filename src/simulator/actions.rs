//! What users do all day, and the events that Asana makes of it.
//!
//! One action changes the world and yields one or more events with the same
//! `created_at`, as in real life; each event names the streams that see it.

use std::sync::Arc;

use rand::RngExt;
use serde::Deserialize;

use super::{
    arena::Id,
    custom::Field,
    event::{Action, Change, Compact, Event, Gid},
    time::Timestamp,
    words,
    world::{Project, Task, Team, User, World},
};

/// An event and the streams that it bubbles up to.
#[derive(Debug)]
pub(crate) struct Happening {
    pub(crate) event: Arc<str>,
    /// As a workspace's stream has it, if that differs.
    pub(crate) in_workspace: Option<Arc<str>>,
    pub(crate) streams: Vec<Gid>,
}

#[derive(Debug, Clone, Copy)]
enum Deed {
    CreateTask,
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
    Move,
    AddToProject,
    Follow,
    Unfollow,
    SetCustomField,
    Attach,
    Trash,
    Restore,
    RenameProject,
    CreateSection,
    CreateProject,
    ChangeGoal,
}

/// How often each deed is done, relative to the others.
const HABITS: &[(u32, Deed)] = &[
    (10, Deed::CreateTask),
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
    (5, Deed::Move),
    (4, Deed::AddToProject),
    (5, Deed::Follow),
    (2, Deed::Unfollow),
    (6, Deed::SetCustomField),
    (3, Deed::Attach),
    (9, Deed::Trash),
    (3, Deed::Restore),
    (1, Deed::RenameProject),
    (1, Deed::CreateSection),
    (1, Deed::CreateProject),
    (3, Deed::ChangeGoal),
];

/// Projects beyond which nobody makes more, so that a long run stays in bounds.
const MOST_PROJECTS: usize = 1_000;

impl Deed {
    /// Rules and automations do such things too; `user` is null then.
    fn may_be_the_systems(self) -> bool {
        match self {
            Self::Schedule | Self::SetCustomField | Self::Move | Self::AddToProject | Self::Trash => true,
            Self::CreateTask
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
            | Self::Attach
            | Self::Restore
            | Self::RenameProject
            | Self::CreateSection
            | Self::CreateProject
            | Self::ChangeGoal => false,
        }
    }
}

/// One action under way: who, when, and what came of it so far.
struct Act {
    user: Id<User>,
    by_system: bool,
    now: Timestamp,
    happenings: Vec<Happening>,
}

impl World {
    /// Lets a random user do something. Always makes at least one event.
    pub(crate) fn act(&mut self, now: Timestamp) -> Vec<Happening> {
        let user = self.any_user();
        let deed = self.choose_deed();
        let by_system = deed.may_be_the_systems() && self.dice.random_range(0..4) == 0;
        let mut act = Act { user, by_system, now, happenings: Vec::new() };
        if self.perform(deed, &mut act).is_none() || act.happenings.is_empty() {
            // Nobody has done what this deed needs: a new task always works.
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
            Deed::Move => self.move_between_projects(act),
            Deed::AddToProject => self.add_to_project(act),
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

    // --- what all deeds need

    fn any_project(&mut self) -> Option<Id<Project>> {
        let number = self.dice.random_range(0..self.lively.len().max(1));
        self.lively.get(number).copied()
    }

    /// A task that isn't trashed, or one of its subtasks.
    fn any_task(&mut self, wanted: impl Fn(&Task) -> bool) -> Option<Id<Task>> {
        // Enough tries that a wanted task is found if it isn't very rare.
        for _ in 0..8 {
            let project = self.any_project()?;
            let number = self.dice.random_range(0..self.projects[project].tasks.len().max(1));
            let Some(&task) = self.projects[project].tasks.get(number) else {
                continue;
            };
            let deeper = self.dice.random_range(0..4) == 0;
            let subtask = self.tasks[task].subtasks.last().copied().filter(|_| deeper);
            let found = subtask.unwrap_or(task);
            if !self.tasks[found].trashed && wanted(&self.tasks[found]) {
                return Some(found);
            }
        }
        None
    }

    fn say(&self, act: &mut Act, streams: Vec<Gid>, of: Compact, what: What) {
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

    fn say_task(&self, act: &mut Act, task: Id<Task>, what: What) {
        self.say(act, self.streams_of(task), self.compact_task(task), what);
    }

    /// A change that moves the task's `modified_at`.
    fn changed(&mut self, act: &mut Act, task: Id<Task>, change: Change) {
        self.tasks[task].modified_at = act.now;
        self.say_task(act, task, What::Changed(change));
    }

    fn tell_story(&mut self, act: &mut Act, task: Id<Task>, subtype: &'static str, text: String) {
        let story = self.add_story(task, subtype, text, act.user, act.now);
        let parent = self.compact_task(task);
        let what = What::Added(parent);
        self.say(act, self.streams_of(task), self.compact_story(story), what);
    }

    // --- deeds

    fn create_task(&mut self, act: &mut Act) -> Option<()> {
        let project = self.any_project()?;
        let task = self.add_task_in(project, act.now);
        let section = self.tasks[task].memberships.first()?.section;
        self.say_task(act, task, What::Added(self.compact_project(project)));
        self.say_task(act, task, What::Added(self.compact_section(section)));
        self.say_task(act, task, What::Changed(Change::scalar("name")));
        Some(())
    }

    fn create_subtask(&mut self, act: &mut Act) -> Option<()> {
        // Asana allows five levels.
        let parent = self.any_task(|task| task.subtasks.len() < 20)?;
        if self.depth(parent) >= 5 {
            return None;
        }
        let task = self.add_subtask(parent, act.now);
        self.say_task(act, task, What::Added(self.compact_task(parent)));
        Some(())
    }

    fn depth(&self, task: Id<Task>) -> usize {
        std::iter::successors(Some(task), |id| self.tasks[*id].parent).count()
    }

    fn complete(&mut self, act: &mut Act) -> Option<()> {
        let task = self.any_task(|task| task.completed_at.is_none())?;
        self.tasks[task].completed_at = Some(act.now);
        self.changed(act, task, Change::scalar("completed"));
        self.changed(act, task, Change::scalar("completed_at"));
        self.tell_story(act, task, "marked_complete", "completed this task".to_owned());
        Some(())
    }

    fn reopen(&mut self, act: &mut Act) -> Option<()> {
        let task = self.any_task(|task| task.completed_at.is_some())?;
        self.tasks[task].completed_at = None;
        self.changed(act, task, Change::scalar("completed"));
        self.changed(act, task, Change::scalar("completed_at"));
        self.tell_story(act, task, "marked_incomplete", "marked incomplete".to_owned());
        Some(())
    }

    fn rename(&mut self, act: &mut Act) -> Option<()> {
        let task = self.any_task(|_| true)?;
        self.tasks[task].name = words::task(&mut self.dice);
        self.changed(act, task, Change::scalar("name"));
        Some(())
    }

    fn describe(&mut self, act: &mut Act) -> Option<()> {
        let task = self.any_task(|_| true)?;
        self.tasks[task].notes = words::comment(&mut self.dice);
        self.changed(act, task, Change::scalar("notes"));
        Some(())
    }

    fn schedule(&mut self, act: &mut Act) -> Option<()> {
        let task = self.any_task(|_| true)?;
        let days = self.dice.random_range(1..60_u64);
        let due = act.now.plus(std::time::Duration::from_secs(days * 86_400));
        self.tasks[task].due_on = Some(due.date());
        self.changed(act, task, Change::scalar("due_on"));
        Some(())
    }

    fn assign(&mut self, act: &mut Act) -> Option<()> {
        let task = self.any_task(|_| true)?;
        let user = self.any_user();
        self.tasks[task].assignee = Some(user);
        let value = self.compact_user(user);
        let text = format!("assigned to {}", self.users[user].name);
        self.changed(act, task, Change::to("assignee", value));
        self.tell_story(act, task, "assigned", text);
        Some(())
    }

    fn unassign(&mut self, act: &mut Act) -> Option<()> {
        let task = self.any_task(|task| task.assignee.is_some())?;
        self.tasks[task].assignee = None;
        // The new value is nobody, which is no Asana resource.
        self.changed(act, task, Change::scalar("assignee"));
        Some(())
    }

    fn comment(&mut self, act: &mut Act) -> Option<()> {
        let task = self.any_task(|_| true)?;
        let text = words::comment(&mut self.dice);
        self.tell_story(act, task, "comment_added", text);
        Some(())
    }

    fn edit_comment(&mut self, act: &mut Act) -> Option<()> {
        let task = self.any_task(|task| !task.stories.is_empty())?;
        let story = self.last_comment(task)?;
        self.stories[story].text = words::comment(&mut self.dice);
        let what = What::Changed(Change::scalar("text"));
        self.say(act, self.streams_of(task), self.compact_story(story), what);
        Some(())
    }

    fn remove_comment(&mut self, act: &mut Act) -> Option<()> {
        let task = self.any_task(|task| !task.stories.is_empty())?;
        let story = self.last_comment(task)?;
        self.stories[story].removed = true;
        self.tasks[task].modified_at = act.now;
        let what = What::Removed(self.compact_task(task));
        self.say(act, self.streams_of(task), self.compact_story(story), what);
        Some(())
    }

    fn last_comment(&self, task: Id<Task>) -> Option<Id<super::world::Story>> {
        let mut newest_first = self.tasks[task].stories.iter().rev().copied();
        newest_first.find(|id| {
            let story = &self.stories[*id];
            story.subtype == "comment_added" && !story.removed
        })
    }

    fn another_project(&mut self, task: Id<Task>) -> Option<Id<Project>> {
        let project = self.any_project()?;
        let here = self.tasks[task].memberships.iter().any(|m| m.project == project);
        let near = self.projects[project].workspace == self.tasks[task].workspace;
        (!here && near).then_some(project)
    }

    /// Leaving is seen where the task was, arriving where it is now.
    fn move_between_projects(&mut self, act: &mut Act) -> Option<()> {
        let task = self.any_task(|task| !task.memberships.is_empty())?;
        let to = self.another_project(task)?;
        let from = self.tasks[task].memberships.first()?.project;
        self.say_task(act, task, What::Removed(self.compact_project(from)));
        self.take_out(task, from);
        self.put_into(task, to, act.now);
        self.say_task(act, task, What::Added(self.compact_project(to)));
        Some(())
    }

    fn add_to_project(&mut self, act: &mut Act) -> Option<()> {
        let task = self.any_task(|task| matches!(task.memberships.len(), 1..3))?;
        let project = self.another_project(task)?;
        self.put_into(task, project, act.now);
        self.say_task(act, task, What::Added(self.compact_project(project)));
        Some(())
    }

    fn follow(&mut self, act: &mut Act) -> Option<()> {
        let task = self.any_task(|_| true)?;
        let user = self.any_user();
        if self.tasks[task].followers.contains(&user) {
            return None;
        }
        self.tasks[task].followers.push(user);
        let change = Change::adding("followers", self.compact_user(user));
        self.say_task(act, task, What::Changed(change));
        Some(())
    }

    fn unfollow(&mut self, act: &mut Act) -> Option<()> {
        let task = self.any_task(|task| task.followers.len() > 1)?;
        let user = self.tasks[task].followers.pop()?;
        let change = Change::removing("followers", self.compact_user(user));
        self.say_task(act, task, What::Changed(change));
        Some(())
    }

    fn set_custom_field(&mut self, act: &mut Act) -> Option<()> {
        let task = self.any_task(|_| true)?;
        let field = self.pick(&Field::ALL)?;
        self.set_custom(task, field, act.now);
        let value = self.compact_custom(task, field);
        self.changed(act, task, Change::to("custom_fields", value));
        Some(())
    }

    fn attach(&mut self, act: &mut Act) -> Option<()> {
        let task = self.any_task(|_| true)?;
        let attachment = self.add_attachment(task, act.now);
        let attachment = &self.attachments[attachment];
        let value = Compact::new(&attachment.gid, "attachment", &*attachment.name);
        self.changed(act, task, Change::adding("attachments", value));
        Some(())
    }

    fn trash(&mut self, act: &mut Act) -> Option<()> {
        let task = self.any_task(|_| true)?;
        self.tasks[task].trashed = true;
        self.tasks[task].modified_at = act.now;
        self.say_task(act, task, What::Deleted);
        Some(())
    }

    fn restore(&mut self, act: &mut Act) -> Option<()> {
        for _ in 0..8 {
            let project = self.any_project()?;
            let tasks = &self.projects[project].tasks;
            let trashed = tasks.iter().rev().copied().find(|id| self.tasks[*id].trashed);
            if let Some(task) = trashed {
                self.tasks[task].trashed = false;
                self.tasks[task].modified_at = act.now;
                self.say_task(act, task, What::Undeleted);
                return Some(());
            }
        }
        None
    }

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

    fn create_project_of(&mut self, team: Id<Team>, name: Option<String>, act: &mut Act) -> Id<Project> {
        let project = self.add_project(team, act.now);
        if let Some(name) = name {
            self.projects[project].name = name;
        }
        let workspace = &self.workspaces[self.projects[project].workspace];
        let parent = Compact::new(&workspace.gid, "workspace", &*workspace.name);
        let compact = self.compact_project(project);
        let what = What::Added(parent);
        self.say(act, self.streams_of_project(project), compact, what);
        project
    }

    /// A user makes a project in this team; its gid.
    pub(crate) fn make_project(
        &mut self,
        team: Id<Team>,
        name: Option<String>,
        now: Timestamp,
    ) -> (Gid, Vec<Happening>) {
        let mut act = Act { user: self.any_user(), by_system: false, now, happenings: Vec::new() };
        let project = self.create_project_of(team, name, &mut act);
        (Arc::clone(&self.projects[project].gid), act.happenings)
    }

    /// A user changes a project, or deletes it.
    pub(crate) fn change_project(&mut self, id: Id<Project>, to: ProjectChange, now: Timestamp) -> Vec<Happening> {
        let mut act = Act { user: self.any_user(), by_system: false, now, happenings: Vec::new() };
        let streams = self.streams_of_project(id);
        let mut changed = Vec::new();
        if let Some(name) = to.name {
            self.projects[id].name = name;
            changed.push("name");
        }
        if let Some(archived) = to.archived {
            self.projects[id].archived = archived;
            changed.push("archived");
        }
        for field in changed {
            self.projects[id].modified_at = now;
            let compact = self.compact_project(id);
            self.say(&mut act, streams.clone(), compact, What::Changed(Change::scalar(field)));
        }
        if to.deleted {
            let compact = self.compact_project(id);
            self.say(&mut act, streams, compact, What::Deleted);
            self.delete_project(id);
        }
        act.happenings
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

/// What is to become of a project.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ProjectChange {
    name: Option<String>,
    archived: Option<bool>,
    deleted: bool,
}

/// What is said of a resource.
enum What {
    Added(Compact),
    Removed(Compact),
    Changed(Change),
    Deleted,
    Undeleted,
}
