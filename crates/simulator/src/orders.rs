//! Actions that a script requests by the control interface: on one task or one project.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use super::{
    actions::{Act, Happening, What},
    arena::Id,
    asana::Asana,
    control::{Controlled, posted},
    event::{Change, Gid},
    http::{Answer, ApiError, Request},
    model::{Project, Ref, Task},
    places::End,
    time::Timestamp,
    world::World,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewProject {
    team: Option<String>,
    name: Option<String>,
}

/// The requested changes of a project.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ProjectChange {
    name: Option<String>,
    archived: Option<bool>,
    deleted: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewTask {
    project: Option<String>,
    parent: Option<String>,
}

/// The requested changes of a task, in this order.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TaskChange {
    name: Option<String>,
    add_to: Option<String>,
    take_out_of: Option<String>,
    section: Option<String>,
    drag_to: Option<End>,
    trashed: Option<bool>,
}

impl Asana {
    /// Creates a project, by default in the first team.
    pub(crate) fn make_project(&mut self, request: &Request, now: Timestamp) -> Controlled {
        let NewProject { team, name } = posted(request)?;
        let team = match team {
            None => self.world.teams.nth(0).ok_or_else(|| ApiError::missing("team"))?,
            Some(gid) => match self.world.find(&gid) {
                Some(Ref::Team(team)) => team,
                _ => return Err(ApiError::unknown("team", &gid)),
            },
        };
        let mut act = Act::of(self.world.any_user(), now);
        let project = self.world.create_project_of(team, name, &mut act);
        self.tell(act.happenings, now);
        Ok(Answer::ok(&json!({"gid": *self.world.projects[project].gid})))
    }

    pub(crate) fn change_project(&mut self, gid: &str, request: &Request, now: Timestamp) -> Controlled {
        let change: ProjectChange = posted(request)?;
        let project = self.world.project("project", gid)?;
        let happenings = self.world.change_project(project, change, now);
        Ok(Answer::ok(&json!({"events": self.tell(happenings, now)})))
    }

    /// Creates a task, in *My tasks* if neither a project nor a parent is given.
    pub(crate) fn make_task(&mut self, request: &Request, now: Timestamp) -> Controlled {
        let wanted: NewTask = posted(request)?;
        let (gid, happenings) = self.world.make_task(&wanted, now)?;
        self.tell(happenings, now);
        Ok(Answer::ok(&json!({"gid": *gid})))
    }

    pub(crate) fn change_task(&mut self, gid: &str, request: &Request, now: Timestamp) -> Controlled {
        let change: TaskChange = posted(request)?;
        let task = self.world.task("task", gid)?;
        let mut act = Act::of(self.world.any_user(), now);
        let changed = self.world.change_task(task, change, &mut act);
        let events = self.tell(act.happenings, now);
        changed.map(|()| Answer::ok(&json!({"events": events})))
    }
}

impl World {
    fn project(&self, field: &str, gid: &str) -> Result<Id<Project>, ApiError> {
        match self.find(gid) {
            Some(Ref::Project(project)) => Ok(project),
            _ => Err(ApiError::unknown(field, gid)),
        }
    }

    fn task(&self, field: &str, gid: &str) -> Result<Id<Task>, ApiError> {
        match self.find(gid) {
            Some(Ref::Task(task)) => Ok(task),
            _ => Err(ApiError::unknown(field, gid)),
        }
    }

    fn change_project(&mut self, id: Id<Project>, to: ProjectChange, now: Timestamp) -> Vec<Happening> {
        let mut act = Act::of(self.any_user(), now);
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

    fn make_task(&mut self, wanted: &NewTask, now: Timestamp) -> Result<(Gid, Vec<Happening>), ApiError> {
        let mut act = Act::of(self.any_user(), now);
        let task = match (&wanted.project, &wanted.parent) {
            (Some(gid), _) => {
                let project = self.project("project", gid)?;
                self.create_task_in(&mut act, project)
            }
            (None, Some(gid)) => {
                let parent = self.task("parent", gid)?;
                self.create_subtask_of(&mut act, parent)
            }
            (None, None) => {
                let workspace = self.workspaces.nth(0).ok_or_else(|| ApiError::missing("workspace"))?;
                self.create_task_of_ones_own(&mut act, workspace)
            }
        };
        Ok((Arc::clone(&self.tasks[task].gid), act.happenings))
    }

    fn change_task(&mut self, task: Id<Task>, to: TaskChange, act: &mut Act) -> Result<(), ApiError> {
        if let Some(name) = to.name {
            self.tasks[task].name = name;
            self.changed(act, task, Change::scalar("name"));
        }
        if let Some(gid) = to.add_to {
            let project = self.project("add_to", &gid)?;
            if self.place(task, project).is_none() {
                self.put_and_tell(act, task, project);
            }
        }
        if let Some(gid) = to.take_out_of {
            let project = self.project("take_out_of", &gid)?;
            if self.place(task, project).is_some() {
                self.remove_from(act, task, project);
            }
        }
        if let Some(gid) = to.section {
            let Some(Ref::Section(section)) = self.find(&gid) else {
                return Err(ApiError::unknown("section", &gid));
            };
            let project = self.sections[section].project;
            self.drag_to(act, task, project, section, to.drag_to.unwrap_or(End::Bottom));
        } else if let Some(end) = to.drag_to {
            for place in self.tasks[task].memberships.clone() {
                self.drag_to(act, task, place.project, place.section, end);
            }
        }
        if let Some(trashed) = to.trashed {
            self.set_trashed(act, task, trashed);
        }
        Ok(())
    }
}
