//! The objects of the world as the API shows them: in full, and within others.

use serde_json::{Value, json};

use super::{
    arena::Id,
    event::{Compact, Gid},
    model::{Attachment, Goal, Portfolio, Project, Section, Story, Tag, Task, Team, User, Workspace},
    time::Timestamp,
    world::World,
};

fn reference(gid: &Gid, resource_type: &str, name: &str) -> Value {
    json!({"gid": **gid, "resource_type": resource_type, "name": name})
}

fn compact(compact: &Compact) -> Value {
    json!(compact)
}

fn moment(time: Timestamp) -> String {
    time.to_string()
}

impl World {
    pub(crate) fn workspace_record(&self, id: Id<Workspace>) -> Value {
        let workspace = &self.workspaces[id];
        json!({
            "gid": *workspace.gid,
            "resource_type": "workspace",
            "name": workspace.name,
            "is_organization": true,
            "email_domains": ["example.com"],
        })
    }

    fn workspace_reference(&self, id: Id<Workspace>) -> Value {
        let workspace = &self.workspaces[id];
        reference(&workspace.gid, "workspace", &workspace.name)
    }

    pub(crate) fn team_record(&self, id: Id<Team>) -> Value {
        let team = &self.teams[id];
        json!({
            "gid": *team.gid,
            "resource_type": "team",
            "name": team.name,
            "organization": self.workspace_reference(team.workspace),
        })
    }

    pub(crate) fn user_record(&self, id: Id<User>) -> Value {
        let user = &self.users[id];
        let workspaces = self.workspaces.ids().map(|id| self.workspace_reference(id));
        json!({
            "gid": *user.gid,
            "resource_type": "user",
            "name": user.name,
            "email": user.email,
            "workspaces": workspaces.collect::<Vec<_>>(),
        })
    }

    /// What Asana tells of a user beside the tokens, by the user's number.
    pub(crate) fn user_of_tokens(&self, number: usize) -> Value {
        let Some(user) = self.users.nth(number).map(|id| &self.users[id]) else { return Value::Null };
        json!({"gid": *user.gid, "name": user.name, "email": user.email})
    }

    pub(crate) fn project_record(&self, id: Id<Project>) -> Value {
        let project = &self.projects[id];
        let team = project.team.map(|team| {
            let team = &self.teams[team];
            reference(&team.gid, "team", &team.name)
        });
        let status = project.status.as_ref().map(|status| {
            json!({
                "gid": *status.gid,
                "resource_type": "status_update",
                "resource_subtype": "project_status_update",
                "title": status.title,
            })
        });
        json!({
            "gid": *project.gid,
            "resource_type": "project",
            "name": project.name,
            "archived": project.archived,
            "created_at": moment(project.created_at),
            "modified_at": moment(project.modified_at),
            "workspace": self.workspace_reference(project.workspace),
            "team": team,
            "current_status_update": status,
            "notes": "",
        })
    }

    pub(crate) fn section_record(&self, id: Id<Section>) -> Value {
        let section = &self.sections[id];
        json!({
            "gid": *section.gid,
            "resource_type": "section",
            "name": section.name,
            "created_at": moment(section.created_at),
            "project": compact(&self.compact_project(section.project)),
        })
    }

    pub(crate) fn task_record(&self, id: Id<Task>) -> Value {
        let task = &self.tasks[id];
        let user = |id| compact(&self.compact_user(id));
        let memberships = task.memberships.iter().map(|place| {
            json!({
                "project": compact(&self.compact_project(place.project)),
                "section": compact(&self.compact_section(place.section)),
            })
        });
        let projects = task.memberships.iter();
        let projects = projects.map(|place| compact(&self.compact_project(place.project)));
        let subtasks = task.subtasks.iter().filter(|id| !self.tasks[**id].trashed);
        let dependencies = task.dependencies.iter().filter(|id| !self.gone(**id));
        json!({
            "gid": *task.gid,
            "resource_type": "task",
            "resource_subtype": "default_task",
            "name": task.name,
            "notes": task.notes,
            "completed": task.completed_at.is_some(),
            "completed_at": task.completed_at.map(moment),
            "created_at": moment(task.created_at),
            "modified_at": moment(task.modified_at),
            "due_on": task.due_on,
            "assignee": task.assignee.map(user),
            "created_by": user(task.created_by),
            "followers": task.followers.iter().copied().map(user).collect::<Vec<_>>(),
            "tags": task.tags.iter().map(|id| compact(&self.compact_tag(*id))).collect::<Vec<_>>(),
            "dependencies": dependencies.map(|id| compact(&self.compact_task(*id))).collect::<Vec<_>>(),
            "num_likes": task.likes.len(),
            "workspace": self.workspace_reference(task.workspace),
            "parent": task.parent.map(|parent| compact(&self.compact_task(parent))),
            "projects": projects.collect::<Vec<_>>(),
            "memberships": memberships.collect::<Vec<_>>(),
            "num_subtasks": subtasks.count(),
            "custom_fields": self.custom_records(id),
            "permalink_url": format!("https://app.asana.com/0/0/{}", task.gid),
        })
    }

    pub(crate) fn story_record(&self, id: Id<Story>) -> Value {
        let story = &self.stories[id];
        json!({
            "gid": *story.gid,
            "resource_type": "story",
            "resource_subtype": story.subtype,
            "type": if story.subtype == "comment_added" { "comment" } else { "system" },
            "text": story.text,
            "created_at": moment(story.created_at),
            "created_by": compact(&self.compact_user(story.created_by)),
            "target": compact(&self.compact_task(story.task)),
        })
    }

    pub(crate) fn attachment_record(&self, id: Id<Attachment>) -> Value {
        let attachment = &self.attachments[id];
        json!({
            "gid": *attachment.gid,
            "resource_type": "attachment",
            "resource_subtype": "asana",
            "name": attachment.name,
            "parent": compact(&self.compact_task(attachment.task)),
        })
    }

    pub(crate) fn portfolio_record(&self, id: Id<Portfolio>) -> Value {
        let portfolio = &self.portfolios[id];
        json!({
            "gid": *portfolio.gid,
            "resource_type": "portfolio",
            "name": portfolio.name,
            "owner": compact(&self.compact_user(portfolio.owner)),
            "workspace": self.workspace_reference(portfolio.workspace),
        })
    }

    pub(crate) fn goal_record(&self, id: Id<Goal>) -> Value {
        let goal = &self.goals[id];
        let team = goal.team.map(|team| {
            let team = &self.teams[team];
            reference(&team.gid, "team", &team.name)
        });
        json!({
            "gid": *goal.gid,
            "resource_type": "goal",
            "name": goal.name,
            "owner": compact(&self.compact_user(goal.owner)),
            "workspace": self.workspace_reference(goal.workspace),
            "team": team,
            "is_workspace_level": goal.team.is_none(),
        })
    }

    /// The latest status update of a project, if it has any.
    pub(crate) fn status_record(&self, id: Id<Project>) -> Option<Value> {
        let project = &self.projects[id];
        let status = project.status.as_ref()?;
        Some(json!({
            "gid": *status.gid,
            "resource_type": "status_update",
            "resource_subtype": "project_status_update",
            "title": status.title,
            "created_at": moment(status.created_at),
            "parent": compact(&self.compact_project(id)),
        }))
    }
}

/// The compact forms within other objects and events.
impl World {
    pub(crate) fn compact_user(&self, user: Id<User>) -> Compact {
        let user = &self.users[user];
        Compact::new(&user.gid, "user", &*user.name)
    }

    pub(crate) fn compact_task(&self, task: Id<Task>) -> Compact {
        let task = &self.tasks[task];
        Compact { resource_subtype: Some("default_task"), ..Compact::new(&task.gid, "task", &*task.name) }
    }

    pub(crate) fn compact_tag(&self, tag: Id<Tag>) -> Compact {
        let tag = &self.tags[tag];
        Compact::new(&tag.gid, "tag", tag.name)
    }

    pub(crate) fn compact_workspace(&self, workspace: Id<Workspace>) -> Compact {
        let workspace = &self.workspaces[workspace];
        Compact::new(&workspace.gid, "workspace", &*workspace.name)
    }

    pub(crate) fn compact_project(&self, project: Id<Project>) -> Compact {
        let project = &self.projects[project];
        Compact::new(&project.gid, "project", &*project.name)
    }

    pub(crate) fn compact_section(&self, section: Id<Section>) -> Compact {
        let section = &self.sections[section];
        Compact::new(&section.gid, "section", &*section.name)
    }

    /// A story, which has no name.
    pub(crate) fn compact_story(&self, story: Id<Story>) -> Compact {
        let story = &self.stories[story];
        Compact { resource_subtype: Some(story.subtype), name: None, ..Compact::new(&story.gid, "story", "") }
    }
}
