//! The places of tasks: their projects and sections, and their order there.

use rand::RngExt;
use serde::Deserialize;

use super::{
    actions::{Act, What},
    arena::Id,
    model::{Membership, Project, Section, Task},
    time::Timestamp,
    world::World,
};

/// The distance between two ranks, with room for others.
const GAP: i64 = 1 << 32;

/// Of a section.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum End {
    Top,
    Bottom,
}

/// The position of an item in a list: by section, by rank there, and by the order of creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Border {
    section: usize,
    rank: i64,
    made: usize,
}

impl Border {
    /// The position in a list that is sorted by the order of creation alone.
    pub(crate) fn made(number: usize) -> Self {
        Self { section: 0, rank: 0, made: number }
    }
}

impl World {
    /// The position of the task in the lists of a project and its sections; `None` if it isn't in the project.
    pub(crate) fn border(&self, task: Id<Task>, project: Id<Project>) -> Option<Border> {
        let place = self.place(task, project)?;
        // New sections are added at the end only.
        Some(Border { section: place.section.number(), rank: place.rank, made: task.number() })
    }

    pub(crate) fn place(&self, task: Id<Task>, project: Id<Project>) -> Option<Membership> {
        self.tasks[task].memberships.iter().copied().find(|place| place.project == project)
    }

    /// Adds the task to a project, at the top or the bottom of its first section. The task's `modified_at` doesn't
    /// change: Asana documents that.
    pub(crate) fn put_into(&mut self, task: Id<Task>, project: Id<Project>, now: Timestamp) {
        let section = match self.projects[project].sections.first().copied() {
            Some(section) => section,
            None => self.add_section(project, "Untitled section".to_owned(), now),
        };
        let end = self.any_end();
        let rank = self.rank_at(end, section);
        self.tasks[task].memberships.push(Membership { project, section, rank });
        self.projects[project].tasks.push(task);
        self.loose.retain(|loose| *loose != task);
    }

    /// Removes the task from a project. It may be in none then.
    pub(crate) fn take_out(&mut self, task: Id<Task>, project: Id<Project>) {
        self.projects[project].tasks.retain(|other| *other != task);
        self.leave(task, project);
    }

    fn leave(&mut self, task: Id<Task>, project: Id<Project>) {
        let found = &mut self.tasks[task];
        found.memberships.retain(|place| place.project != project);
        if found.memberships.is_empty() && found.parent.is_none() {
            self.loose.push(task);
        }
    }

    /// Deletes the project: from now on it isn't found, and users don't act in it. Its tasks stay.
    pub(crate) fn delete_project(&mut self, project: Id<Project>) {
        self.projects[project].deleted = true;
        self.by_gid.remove(&self.projects[project].gid);
        for section in std::mem::take(&mut self.projects[project].sections) {
            self.by_gid.remove(&self.sections[section].gid);
        }
        for task in std::mem::take(&mut self.projects[project].tasks) {
            self.leave(task, project);
        }
        self.lively.retain(|lively| *lively != project);
    }

    fn any_end(&mut self) -> End {
        if self.dice.random_range(0..2) == 0 { End::Top } else { End::Bottom }
    }

    fn rank_at(&mut self, end: End, section: Id<Section>) -> i64 {
        let (top, bottom) = &mut self.sections[section].extent;
        match end {
            End::Top => {
                *top -= GAP;
                *top
            }
            End::Bottom => {
                *bottom += GAP;
                *bottom
            }
        }
    }

    /// A rank behind another task of the section, if there is one, or at an end.
    fn rank_anywhere(&mut self, task: Id<Task>, project: Id<Project>, section: Id<Section>) -> i64 {
        let number = self.dice.random_range(0..self.projects[project].tasks.len().max(1));
        let other = self.projects[project].tasks.get(number).copied().filter(|other| *other != task);
        let other = other.and_then(|other| self.place(other, project)).filter(|place| place.section == section);
        let (end, to_the_end) = (self.any_end(), self.dice.random_range(0..2) == 0);
        match other {
            Some(other) if !to_the_end => other.rank + self.dice.random_range(1..GAP / 2),
            Some(_) | None => self.rank_at(end, section),
        }
    }

    /// Drags the task to a place in a section of the project. If it is another section, that adds a story.
    pub(crate) fn drag(&mut self, act: &mut Act, task: Id<Task>, to: Membership) {
        let places = &mut self.tasks[task].memberships;
        let Some(place) = places.iter_mut().find(|place| place.project == to.project) else {
            return;
        };
        let from = std::mem::replace(place, to).section;
        if from != to.section {
            let name = |section| &self.sections[section].name;
            let text = format!("moved this task from {} to {}", name(from), name(to.section));
            self.tell_story(act, task, "section_changed", text);
        }
    }

    /// Drags the task to the top or the bottom of a section.
    pub(crate) fn drag_to(
        &mut self,
        act: &mut Act,
        task: Id<Task>,
        project: Id<Project>,
        section: Id<Section>,
        end: End,
    ) {
        let rank = self.rank_at(end, section);
        self.drag(act, task, Membership { project, section, rank });
    }
}

/// The actions of users on places.
impl World {
    fn another_project(&mut self, task: Id<Task>) -> Option<Id<Project>> {
        let project = self.any_project()?;
        let here = self.tasks[task].memberships.iter().any(|m| m.project == project);
        let near = self.projects[project].workspace == self.tasks[task].workspace;
        (!here && near).then_some(project)
    }

    /// The removal is seen in the old project, the addition in the new one.
    pub(crate) fn move_between_projects(&mut self, act: &mut Act) -> Option<()> {
        let task = self.any_task(|task| !task.memberships.is_empty())?;
        let to = self.another_project(task)?;
        let from = self.tasks[task].memberships.first()?.project;
        self.remove_from(act, task, from);
        self.put_and_tell(act, task, to);
        Some(())
    }

    pub(crate) fn add_to_project(&mut self, act: &mut Act) -> Option<()> {
        let task = self.any_task(|task| task.parent.is_none() && task.memberships.len() < 3)?;
        let project = self.another_project(task)?;
        self.put_and_tell(act, task, project);
        Some(())
    }

    /// Removes a task from a project, which may be its last one.
    pub(crate) fn take_out_of_project(&mut self, act: &mut Act) -> Option<()> {
        let task = self.any_task(|task| !task.memberships.is_empty())?;
        let project = self.tasks[task].memberships.first()?.project;
        self.remove_from(act, task, project);
        Some(())
    }

    /// Removes the task from the project. The event is seen in that project.
    pub(crate) fn remove_from(&mut self, act: &mut Act, task: Id<Task>, project: Id<Project>) {
        self.say_task(act, task, What::Removed(self.compact_project(project)));
        self.take_out(task, project);
    }

    pub(crate) fn put_and_tell(&mut self, act: &mut Act, task: Id<Task>, project: Id<Project>) {
        self.put_into(task, project, act.now);
        self.say_task(act, task, What::Added(self.compact_project(project)));
    }

    /// Drags a task within its section, which Asana doesn't report, or to another section of the project.
    pub(crate) fn drag_around(&mut self, act: &mut Act) -> Option<()> {
        let task = self.any_task(|task| !task.memberships.is_empty())?;
        let places = self.tasks[task].memberships.clone();
        let Membership { project, section, .. } = self.pick(&places)?;
        let sections = self.projects[project].sections.clone();
        let within = self.dice.random_range(0..2) == 0;
        let section = if within { section } else { self.pick(&sections)? };
        let rank = self.rank_anywhere(task, project, section);
        self.drag(act, task, Membership { project, section, rank });
        Some(())
    }
}
