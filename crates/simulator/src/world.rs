//! The objects of the simulated world and their relations.

use std::{collections::BTreeMap, sync::Arc};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::{
    arena::{Arena, Id},
    event::Gid,
    model::{
        Attachment, Goal, Portfolio, Project, Ref, Section, StatusUpdate, Story, Tag, Task, Team, User, Values,
        Workspace,
    },
    scenario::{Scenario, TypeField, WorldSize},
    time::Timestamp,
    words,
};

/// All that exists, and the dice of its users.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) workspaces: Arena<Workspace>,
    pub(crate) teams: Arena<Team>,
    pub(crate) users: Arena<User>,
    pub(crate) projects: Arena<Project>,
    pub(crate) sections: Arena<Section>,
    pub(crate) tasks: Arena<Task>,
    pub(crate) stories: Arena<Story>,
    pub(crate) attachments: Arena<Attachment>,
    pub(crate) portfolios: Arena<Portfolio>,
    pub(crate) goals: Arena<Goal>,
    pub(crate) tags: Arena<Tag>,
    /// The projects in which users act. Those that were created for injected events have no actions.
    pub(crate) lively: Vec<Id<Project>>,
    /// The tasks that are in no project and that aren't subtasks.
    pub(crate) loose: Vec<Id<Task>>,
    pub(crate) dice: ChaCha8Rng,
    pub(crate) twin: TypeField,
    /// The gid of the first custom field. The gids of the others begin with it.
    pub(crate) custom_fields: Gid,
    pub(crate) by_gid: BTreeMap<Gid, Ref>,
    last_gid: u64,
}

impl World {
    pub(crate) fn new(scenario: &Scenario, now: Timestamp) -> Self {
        let mut dice = ChaCha8Rng::seed_from_u64(scenario.seed);
        // Sixteen digits, as real gids have.
        let last_gid = 1_200_000_000_000_000 + dice.random_range(0..1_000_000_000_u64);
        let mut world = Self {
            workspaces: Arena::default(),
            teams: Arena::default(),
            users: Arena::default(),
            projects: Arena::default(),
            sections: Arena::default(),
            tasks: Arena::default(),
            stories: Arena::default(),
            attachments: Arena::default(),
            portfolios: Arena::default(),
            goals: Arena::default(),
            tags: Arena::default(),
            lively: Vec::new(),
            loose: Vec::new(),
            dice,
            twin: scenario.event_type,
            custom_fields: Arc::from(""),
            by_gid: BTreeMap::new(),
            last_gid,
        };
        world.custom_fields = world.new_gid();
        world.populate(&scenario.world, now);
        world
    }

    fn populate(&mut self, size: &WorldSize, now: Timestamp) {
        for _ in 0..size.workspaces {
            let name = words::company(&mut self.dice);
            let gid = self.new_gid();
            self.add_workspace(gid, name);
        }
        for number in 0..size.teams {
            let Some(workspace) = self.workspaces.nth(number) else {
                break;
            };
            let gid = self.new_gid();
            let name = words::team(&mut self.dice);
            let id = self.teams.push(Team { gid: Arc::clone(&gid), name, workspace });
            self.by_gid.insert(gid, Ref::Team(id));
        }
        for _ in 0..size.users {
            self.add_user();
        }
        for number in 0..size.projects {
            if let Some(team) = self.teams.nth(number) {
                let project = self.add_project(team, now);
                for _ in 0..size.tasks_per_project {
                    self.add_task_in(project, now);
                }
            }
        }
        for _ in 0..size.portfolios {
            self.add_portfolio();
        }
        for _ in 0..size.goals {
            self.add_goal();
        }
        for name in words::TAGS {
            let gid = self.new_gid();
            self.tags.push(Tag { gid, name });
        }
    }

    pub(crate) fn new_gid(&mut self) -> Gid {
        self.last_gid += self.dice.random_range(1..50_u64);
        Arc::from(self.last_gid.to_string())
    }

    /// A random item; `None` if there are none.
    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        let index = self.dice.random_range(0..of.len().max(1));
        of.get(index).copied()
    }

    pub(crate) fn any_user(&mut self) -> Id<User> {
        let number = self.dice.random_range(0..self.users.len().max(1));
        match self.users.nth(number) {
            Some(user) => user,
            None => self.add_user(),
        }
    }

    fn add_workspace(&mut self, gid: Gid, name: String) -> Id<Workspace> {
        let id = self.workspaces.push(Workspace { gid: Arc::clone(&gid), name });
        self.by_gid.insert(gid, Ref::Workspace(id));
        id
    }

    fn add_user(&mut self) -> Id<User> {
        let gid = self.new_gid();
        let task_list = self.new_gid();
        let name = words::person(&mut self.dice);
        let email = format!("{}@example.com", name.to_lowercase().replace(' ', "."));
        let id = self.users.push(User { gid: Arc::clone(&gid), name, email, task_list: Arc::clone(&task_list) });
        self.by_gid.insert(gid, Ref::User(id));
        self.by_gid.insert(task_list, Ref::UserTaskList(id));
        id
    }

    pub(crate) fn add_project(&mut self, team: Id<Team>, now: Timestamp) -> Id<Project> {
        let gid = self.new_gid();
        let name = words::project(&mut self.dice);
        let workspace = self.teams[team].workspace;
        let project = self.push_project(gid, name, workspace, Some(team), now);
        for name in ["To do", "Doing", "Done"] {
            self.add_section(project, name.to_owned(), now);
        }
        let gid = self.new_gid();
        self.projects[project].status =
            Some(StatusUpdate { gid, title: format!("Status of {}", now.date()), created_at: now });
        self.lively.push(project);
        project
    }

    fn push_project(
        &mut self,
        gid: Gid,
        name: String,
        workspace: Id<Workspace>,
        team: Option<Id<Team>>,
        now: Timestamp,
    ) -> Id<Project> {
        let id = self.projects.push(Project {
            gid: Arc::clone(&gid),
            name,
            workspace,
            team,
            sections: Vec::new(),
            tasks: Vec::new(),
            archived: false,
            deleted: false,
            created_at: now,
            modified_at: now,
            status: None,
        });
        self.by_gid.insert(gid, Ref::Project(id));
        id
    }

    /// Adds a project without tasks, so that injected events have a stream.
    pub(crate) fn add_quiet_project(&mut self, gid: &str, now: Timestamp) {
        if let Some(workspace) = self.workspaces.nth(0) {
            let name = format!("Project {gid}");
            self.push_project(Arc::from(gid), name, workspace, None, now);
        }
    }

    pub(crate) fn add_section(&mut self, project: Id<Project>, name: String, now: Timestamp) -> Id<Section> {
        let gid = self.new_gid();
        let id = self.sections.push(Section { gid: Arc::clone(&gid), name, project, created_at: now, extent: (0, 0) });
        self.projects[project].sections.push(id);
        self.by_gid.insert(gid, Ref::Section(id));
        id
    }

    /// Adds a task to a user's *My tasks*, and to no project.
    pub(crate) fn add_loose_task(&mut self, user: Id<User>, workspace: Id<Workspace>, now: Timestamp) -> Id<Task> {
        let task = self.add_task(workspace, None, now);
        self.tasks[task].assignee = Some(user);
        self.loose.push(task);
        task
    }

    /// Adds a task to the first section of a project.
    pub(crate) fn add_task_in(&mut self, project: Id<Project>, now: Timestamp) -> Id<Task> {
        let workspace = self.projects[project].workspace;
        let task = self.add_task(workspace, None, now);
        self.put_into(task, project, now);
        task
    }

    pub(crate) fn add_subtask(&mut self, parent: Id<Task>, now: Timestamp) -> Id<Task> {
        let workspace = self.tasks[parent].workspace;
        let task = self.add_task(workspace, Some(parent), now);
        self.tasks[parent].subtasks.push(task);
        task
    }

    fn add_task(&mut self, workspace: Id<Workspace>, parent: Option<Id<Task>>, now: Timestamp) -> Id<Task> {
        let gid = self.new_gid();
        let created_by = self.any_user();
        let name = words::task(&mut self.dice);
        let id = self.tasks.push(Task {
            gid: Arc::clone(&gid),
            name,
            notes: String::new(),
            workspace,
            parent,
            memberships: Vec::new(),
            subtasks: Vec::new(),
            stories: Vec::new(),
            attachments: Vec::new(),
            followers: vec![created_by],
            tags: Vec::new(),
            dependencies: Vec::new(),
            likes: Vec::new(),
            assignee: None,
            created_by,
            completed_at: None,
            due_on: None,
            custom: Values::default(),
            created_at: now,
            modified_at: now,
            trashed: false,
            was_trashed: false,
        });
        self.by_gid.insert(gid, Ref::Task(id));
        id
    }

    /// Adds a story to a task, which changes the task's `modified_at`.
    pub(crate) fn add_story(
        &mut self,
        task: Id<Task>,
        subtype: &'static str,
        text: String,
        by: Id<User>,
        now: Timestamp,
    ) -> Id<Story> {
        let gid = self.new_gid();
        let id = self.stories.push(Story {
            gid: Arc::clone(&gid),
            task,
            subtype,
            text,
            created_by: by,
            created_at: now,
            removed: false,
        });
        self.by_gid.insert(gid, Ref::Story(id));
        self.tasks[task].stories.push(id);
        self.tasks[task].modified_at = now;
        id
    }

    pub(crate) fn add_attachment(&mut self, task: Id<Task>, now: Timestamp) -> Id<Attachment> {
        let gid = self.new_gid();
        let name = format!("{}.png", words::one(&mut self.dice));
        let id = self.attachments.push(Attachment { gid: Arc::clone(&gid), task, name });
        self.by_gid.insert(gid, Ref::Attachment(id));
        self.tasks[task].attachments.push(id);
        self.tasks[task].modified_at = now;
        id
    }

    fn add_portfolio(&mut self) {
        let Some(workspace) = self.workspaces.nth(self.portfolios.len()) else {
            return;
        };
        let gid = self.new_gid();
        let name = format!("{} portfolio", words::team(&mut self.dice));
        let owner = self.users.nth(0);
        let items = self.projects.iter().filter(|(_, project)| project.workspace == workspace);
        let items = items.map(|(id, _)| id).take(5).collect();
        let Some(owner) = owner else { return };
        let id = self.portfolios.push(Portfolio { gid: Arc::clone(&gid), name, workspace, owner, items });
        self.by_gid.insert(gid, Ref::Portfolio(id));
    }

    fn add_goal(&mut self) {
        let number = self.goals.len();
        let Some(workspace) = self.workspaces.nth(number) else {
            return;
        };
        let gid = self.new_gid();
        let name = words::goal(&mut self.dice);
        let owner = self.any_user();
        let team = self.teams.nth(number).filter(|team| self.teams[*team].workspace == workspace);
        let id = self.goals.push(Goal { gid: Arc::clone(&gid), name, workspace, team, owner, stories: Vec::new() });
        self.by_gid.insert(gid, Ref::Goal(id));
    }

    pub(crate) fn find(&self, gid: &str) -> Option<Ref> {
        self.by_gid.get(gid).copied()
    }

    /// Whether the task or one above it is trashed: then it isn't found, nor are its stories and attachments.
    pub(crate) fn gone(&self, task: Id<Task>) -> bool {
        self.line_of(task).any(|id| self.tasks[id].trashed)
    }

    /// The tasks that were gone at some time, with what is on them. Some are gone now.
    pub(crate) fn once_gone(&self) -> Vec<&Gid> {
        let was_gone = |task: &Id<Task>| self.line_of(*task).any(|id| self.tasks[id].was_trashed);
        let mut gids = Vec::new();
        for (_, task) in self.tasks.iter().filter(|(id, _)| was_gone(id)) {
            gids.push(&task.gid);
            gids.extend(task.stories.iter().map(|id| &self.stories[*id].gid));
            gids.extend(task.attachments.iter().map(|id| &self.attachments[*id].gid));
        }
        gids
    }

    /// The task and its parents, nearest first.
    pub(crate) fn line_of(&self, task: Id<Task>) -> impl Iterator<Item = Id<Task>> {
        std::iter::successors(Some(task), |id| self.tasks[*id].parent)
    }

    /// The streams that see an event on the task: its own, those of its parents, of the projects of all of these, and
    /// of the workspace. Each once.
    pub(crate) fn streams_of(&self, task: Id<Task>) -> Vec<Gid> {
        let mut streams: Vec<Gid> = Vec::new();
        for id in self.line_of(task) {
            streams.push(Arc::clone(&self.tasks[id].gid));
            for place in &self.tasks[id].memberships {
                let gid = &self.projects[place.project].gid;
                if !streams.contains(gid) {
                    streams.push(Arc::clone(gid));
                }
            }
        }
        let workspace = self.tasks[task].workspace;
        streams.push(Arc::clone(&self.workspaces[workspace].gid));
        streams
    }

    /// The streams that see an event on the project itself.
    pub(crate) fn streams_of_project(&self, project: Id<Project>) -> Vec<Gid> {
        let project = &self.projects[project];
        let workspace = &self.workspaces[project.workspace];
        vec![Arc::clone(&project.gid), Arc::clone(&workspace.gid)]
    }

    /// The numbers of objects, for people.
    pub(crate) fn summary(&self) -> Value {
        let gids = |all: Vec<&Gid>| all.into_iter().map(|gid| json!(**gid)).collect::<Value>();
        json!({
            "workspaces": gids(self.workspaces.iter().map(|(_, w)| &w.gid).collect()),
            "teams": self.teams.len(),
            "users": self.users.len(),
            "projects": gids(self.projects.iter().map(|(_, p)| &p.gid).collect()),
            "goals": gids(self.goals.iter().map(|(_, g)| &g.gid).collect()),
            "portfolios": gids(self.portfolios.iter().map(|(_, p)| &p.gid).collect()),
            "sections": self.sections.len(),
            "tasks": self.tasks.len(),
            "trashed_tasks": self.tasks.iter().filter(|(_, t)| t.trashed).count(),
            "stories": self.stories.len(),
        })
    }
}
