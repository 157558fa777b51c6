//! The actions of users on tasks.

use rand::RngExt;

use super::{
    actions::{Act, What},
    arena::Id,
    custom::Field,
    event::{Change, Compact},
    model::{Project, Story, Task, Workspace},
    words,
    world::World,
};

impl World {
    pub(crate) fn create_task(&mut self, act: &mut Act) -> Option<()> {
        let project = self.any_project()?;
        self.create_task_in(act, project);
        Some(())
    }

    pub(crate) fn create_task_in(&mut self, act: &mut Act, project: Id<Project>) -> Id<Task> {
        let task = self.add_task_in(project, act.now);
        self.say_task(act, task, What::Added(self.compact_project(project)));
        if let Some(place) = self.place(task, project) {
            self.say_task(act, task, What::Added(self.compact_section(place.section)));
        }
        self.say_task(act, task, What::Changed(Change::scalar("name")));
        task
    }

    pub(crate) fn create_subtask(&mut self, act: &mut Act) -> Option<()> {
        // Asana allows five levels.
        let parent = self.any_task(|task| task.subtasks.len() < 20)?;
        if self.depth(parent) >= 5 {
            return None;
        }
        self.create_subtask_of(act, parent);
        Some(())
    }

    pub(crate) fn create_subtask_of(&mut self, act: &mut Act, parent: Id<Task>) -> Id<Task> {
        let task = self.add_subtask(parent, act.now);
        self.say_task(act, task, What::Added(self.compact_task(parent)));
        task
    }

    pub(crate) fn create_own_task(&mut self, act: &mut Act) -> Option<()> {
        let project = self.any_project()?;
        self.create_task_of_ones_own(act, self.projects[project].workspace);
        Some(())
    }

    /// A task in *My tasks*, and in no project: its own stream and that of the workspace see it.
    pub(crate) fn create_task_of_ones_own(&mut self, act: &mut Act, workspace: Id<Workspace>) -> Id<Task> {
        let task = self.add_loose_task(act.user, workspace, act.now);
        self.say_task(act, task, What::Added(self.compact_workspace(workspace)));
        self.say_task(act, task, What::Changed(Change::scalar("name")));
        task
    }

    fn depth(&self, task: Id<Task>) -> usize {
        std::iter::successors(Some(task), |id| self.tasks[*id].parent).count()
    }

    pub(crate) fn complete(&mut self, act: &mut Act) -> Option<()> {
        let task = self.any_task(|task| task.completed_at.is_none())?;
        self.tasks[task].completed_at = Some(act.now);
        self.changed(act, task, Change::scalar("completed"));
        self.changed(act, task, Change::scalar("completed_at"));
        self.tell_story(act, task, "marked_complete", "completed this task".to_owned());
        Some(())
    }

    pub(crate) fn reopen(&mut self, act: &mut Act) -> Option<()> {
        let task = self.any_task(|task| task.completed_at.is_some())?;
        self.tasks[task].completed_at = None;
        self.changed(act, task, Change::scalar("completed"));
        self.changed(act, task, Change::scalar("completed_at"));
        self.tell_story(act, task, "marked_incomplete", "marked incomplete".to_owned());
        Some(())
    }

    pub(crate) fn rename(&mut self, act: &mut Act) -> Option<()> {
        let task = self.any_task(|_| true)?;
        self.tasks[task].name = words::task(&mut self.dice);
        self.changed(act, task, Change::scalar("name"));
        Some(())
    }

    pub(crate) fn describe(&mut self, act: &mut Act) -> Option<()> {
        let task = self.any_task(|_| true)?;
        self.tasks[task].notes = words::comment(&mut self.dice);
        self.changed(act, task, Change::scalar("notes"));
        Some(())
    }

    pub(crate) fn schedule(&mut self, act: &mut Act) -> Option<()> {
        let task = self.any_task(|_| true)?;
        let days = self.dice.random_range(1..60_u64);
        let due = act.now.plus(std::time::Duration::from_secs(days * 86_400));
        self.tasks[task].due_on = Some(due.date());
        self.changed(act, task, Change::scalar("due_on"));
        Some(())
    }

    pub(crate) fn assign(&mut self, act: &mut Act) -> Option<()> {
        let task = self.any_task(|_| true)?;
        let user = self.any_user();
        self.tasks[task].assignee = Some(user);
        let value = self.compact_user(user);
        let text = format!("assigned to {}", self.users[user].name);
        self.changed(act, task, Change::to("assignee", value));
        self.tell_story(act, task, "assigned", text);
        Some(())
    }

    pub(crate) fn unassign(&mut self, act: &mut Act) -> Option<()> {
        let task = self.any_task(|task| task.assignee.is_some())?;
        self.tasks[task].assignee = None;
        // The new value is nobody, which is no Asana resource.
        self.changed(act, task, Change::scalar("assignee"));
        Some(())
    }

    pub(crate) fn comment(&mut self, act: &mut Act) -> Option<()> {
        let task = self.any_task(|_| true)?;
        let text = words::comment(&mut self.dice);
        self.tell_story(act, task, "comment_added", text);
        Some(())
    }

    pub(crate) fn edit_comment(&mut self, act: &mut Act) -> Option<()> {
        let task = self.any_task(|task| !task.stories.is_empty())?;
        let story = self.last_comment(task)?;
        self.stories[story].text = words::comment(&mut self.dice);
        let what = What::Changed(Change::scalar("text"));
        self.say(act, self.streams_of(task), self.compact_story(story), what);
        Some(())
    }

    pub(crate) fn remove_comment(&mut self, act: &mut Act) -> Option<()> {
        let task = self.any_task(|task| !task.stories.is_empty())?;
        let story = self.last_comment(task)?;
        self.stories[story].removed = true;
        self.tasks[task].modified_at = act.now;
        let what = What::Removed(self.compact_task(task));
        self.say(act, self.streams_of(task), self.compact_story(story), what);
        Some(())
    }

    fn last_comment(&self, task: Id<Task>) -> Option<Id<Story>> {
        let mut newest_first = self.tasks[task].stories.iter().rev().copied();
        newest_first.find(|id| {
            let story = &self.stories[*id];
            story.subtype == "comment_added" && !story.removed
        })
    }

    pub(crate) fn follow(&mut self, act: &mut Act) -> Option<()> {
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

    pub(crate) fn unfollow(&mut self, act: &mut Act) -> Option<()> {
        let task = self.any_task(|task| task.followers.len() > 1)?;
        let user = self.tasks[task].followers.pop()?;
        let change = Change::removing("followers", self.compact_user(user));
        self.say_task(act, task, What::Changed(change));
        Some(())
    }

    /// Adds or removes a tag, which doesn't change `modified_at`. Asana reports only some of these changes.
    pub(crate) fn tag(&mut self, act: &mut Act) -> Option<()> {
        let task = self.any_task(|_| true)?;
        let number = self.dice.random_range(0..self.tags.len().max(1));
        let tag = self.tags.nth(number)?;
        let silent = self.dice.random_range(0..3) == 0;
        let value = self.compact_tag(tag);
        let added = toggle(&mut self.tasks[task].tags, tag);
        if !silent {
            let change = if added { Change::adding("tags", value) } else { Change::removing("tags", value) };
            self.say_task(act, task, What::Changed(change));
        }
        Some(())
    }

    /// Adds or removes a dependency, which causes no event and no new `modified_at`.
    pub(crate) fn depend(&mut self) -> Option<()> {
        let (task, on) = (self.any_task(|_| true)?, self.any_task(|_| true)?);
        if task == on || self.tasks[task].workspace != self.tasks[on].workspace {
            return None;
        }
        toggle(&mut self.tasks[task].dependencies, on);
        Some(())
    }

    /// Adds or removes a like, which causes no event and no new `modified_at`.
    pub(crate) fn like(&mut self, act: &Act) -> Option<()> {
        let task = self.any_task(|_| true)?;
        toggle(&mut self.tasks[task].likes, act.user);
        Some(())
    }

    pub(crate) fn set_custom_field(&mut self, act: &mut Act) -> Option<()> {
        let task = self.any_task(|_| true)?;
        let field = self.pick(&Field::ALL)?;
        self.set_custom(task, field, act.now);
        let value = self.compact_custom(task, field);
        self.changed(act, task, Change::to("custom_fields", value));
        Some(())
    }

    pub(crate) fn attach(&mut self, act: &mut Act) -> Option<()> {
        let task = self.any_task(|_| true)?;
        let attachment = self.add_attachment(task, act.now);
        let attachment = &self.attachments[attachment];
        let value = Compact::new(&attachment.gid, "attachment", &*attachment.name);
        self.changed(act, task, Change::adding("attachments", value));
        Some(())
    }

    pub(crate) fn trash(&mut self, act: &mut Act) -> Option<()> {
        let task = self.any_task(|_| true)?;
        self.set_trashed(act, task, true);
        Some(())
    }

    /// Asana reports the task alone, although everything below it is deleted and restored with it.
    pub(crate) fn set_trashed(&mut self, act: &mut Act, task: Id<Task>, trashed: bool) {
        self.tasks[task].trashed = trashed;
        self.tasks[task].was_trashed |= trashed;
        self.tasks[task].modified_at = act.now;
        self.say_task(act, task, if trashed { What::Deleted } else { What::Undeleted });
    }

    pub(crate) fn restore(&mut self, act: &mut Act) -> Option<()> {
        for _ in 0..8 {
            let in_no_project = self.dice.random_range(0..10) == 0;
            let project = self.any_project()?;
            let tasks = if in_no_project { &self.loose } else { &self.projects[project].tasks };
            let trashed = tasks.iter().rev().copied().find(|id| self.tasks[*id].trashed);
            if let Some(task) = trashed {
                self.set_trashed(act, task, false);
                return Some(());
            }
        }
        None
    }
}

/// Adds the item, or removes it if it is there. Returns whether it is there now.
fn toggle<T: PartialEq>(items: &mut Vec<T>, item: T) -> bool {
    let before = items.len();
    items.retain(|other| *other != item);
    let added = items.len() == before;
    if added {
        items.push(item);
    }
    added
}
