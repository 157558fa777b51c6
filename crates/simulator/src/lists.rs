//! Everything that can be read besides event streams: single objects and lists.

use serde_json::{Value, json};

use super::{
    arena::Id,
    asana::Asana,
    http::{Answer, ApiError},
    model::{Project, Ref, Section, Story, Task, Workspace},
    pages::{Answered, Call, limit, one, paged, selection, write_all},
    places::Border,
    time::Timestamp,
    world::World,
};

/// The fields of an object in a list without `opt_fields`.
const COMPACT: [&str; 4] = ["gid", "resource_type", "resource_subtype", "name"];
const COMPACT_STORY: [&str; 6] = ["gid", "resource_type", "resource_subtype", "created_at", "created_by", "text"];
const COMPACT_STATUS: [&str; 4] = ["gid", "resource_type", "resource_subtype", "title"];
const COMPACT_GOAL: [&str; 4] = ["gid", "resource_type", "name", "owner"];

/// The items of a list with their positions, and the function that shows one.
struct List<'a, T> {
    placed: Vec<(Border, Id<T>)>,
    show: fn(&World, Id<T>) -> Value,
    compact: &'a [&'a str],
}

impl<T> List<'static, T> {
    /// A list in the order of creation.
    fn new(ids: impl Iterator<Item = Id<T>>, show: fn(&World, Id<T>) -> Value) -> Self {
        let placed = ids.map(|id| (Border::made(id.number()), id)).collect();
        Self { placed, show, compact: &COMPACT }
    }
}

impl Asana {
    /// A `GET` below `/api/1.0` that isn't about events.
    pub(crate) fn read(&mut self, segments: &[&str], call: &Call<'_>) -> Answered {
        match *segments {
            ["users", "me"] => self.me(call),
            ["workspaces"] => {
                let list = List::new(self.world.workspaces.ids(), World::workspace_record);
                self.page(list, call)
            }
            ["projects"] => self.projects(call),
            ["tasks"] => self.tasks(call),
            ["users"] => {
                let list = List::new(self.world.users.ids(), World::user_record);
                self.page(list, call)
            }
            ["attachments"] => self.attachments(call),
            ["portfolios"] => self.portfolios(call),
            ["goals"] => self.goals(call),
            ["status_updates"] => self.status_updates(call),
            ["memberships"] => self.memberships(call),
            [kind, gid] => self.single(kind, gid, call),
            [kind, gid, of] => {
                let found = self.found(kind, gid, call)?;
                self.related(found, of, call)
            }
            ["workspaces", gid, "tasks", "search"] => self.search(gid, call),
            _ => Err(ApiError::no_route()),
        }
    }

    fn single(&self, kind: &str, gid: &str, call: &Call<'_>) -> Answered {
        let world = &self.world;
        let record = match self.found(kind, gid, call)? {
            Ref::Workspace(id) => world.workspace_record(id),
            Ref::Team(id) => world.team_record(id),
            Ref::User(id) => world.user_record(id),
            Ref::UserTaskList(id) => {
                let user = &world.users[id];
                json!({"gid": *user.task_list, "resource_type": "user_task_list", "name": "My tasks"})
            }
            Ref::Project(id) => world.project_record(id),
            Ref::Section(id) => world.section_record(id),
            Ref::Task(id) => world.task_record(id),
            Ref::Story(id) => world.story_record(id),
            Ref::Attachment(id) => world.attachment_record(id),
            Ref::Portfolio(id) => world.portfolio_record(id),
            Ref::Goal(id) => world.goal_record(id),
        };
        Ok(one(&record, call.request))
    }

    fn me(&self, call: &Call<'_>) -> Answered {
        let number = self.accounts.get(call.account).map_or(0, |account| account.user);
        let user = self.world.users.nth(number).ok_or_else(ApiError::no_route)?;
        Ok(one(&self.world.user_record(user), call.request))
    }

    /// Lists of an object: places first.
    fn related(&mut self, found: Ref, of: &str, call: &Call<'_>) -> Answered {
        let world = &self.world;
        match (found, of) {
            (Ref::Workspace(workspace), "projects") => {
                let ids = projects_in(world, workspace, archived(call));
                self.page(List::new(ids.into_iter(), World::project_record), call)
            }
            (Ref::Workspace(workspace), "teams") => {
                let teams = world.teams.iter().filter(|(_, team)| team.workspace == workspace);
                let list = List::new(teams.map(|(id, _)| id), World::team_record);
                self.page(list, call)
            }
            (Ref::Workspace(_), "users") => {
                let list = List::new(world.users.ids(), World::user_record);
                self.page(list, call)
            }
            (Ref::Team(team), "projects") => {
                let archived = archived(call);
                let projects = world.projects.iter().filter(|(_, project)| {
                    project.team == Some(team) && !project.deleted && archived.is_none_or(|a| a == project.archived)
                });
                let list = List::new(projects.map(|(id, _)| id), World::project_record);
                self.page(list, call)
            }
            (Ref::Project(project), "sections") => {
                let sections = world.projects[project].sections.iter().copied();
                let list = List::new(sections, World::section_record);
                self.page(list, call)
            }
            (Ref::Project(project), "tasks") => self.tasks_in(project, None, call),
            (Ref::Section(section), "tasks") => self.tasks_in(world.sections[section].project, Some(section), call),
            (Ref::Portfolio(portfolio), "items") => {
                let items = world.portfolios[portfolio].items.iter().copied();
                let items = items.filter(|id| !world.projects[*id].deleted);
                let list = List::new(items, World::project_record);
                self.page(list, call)
            }
            _ => self.related_to_work(found, of, call),
        }
    }

    /// Lists of a task, a goal or a user.
    fn related_to_work(&mut self, found: Ref, of: &str, call: &Call<'_>) -> Answered {
        let world = &self.world;
        match (found, of) {
            (Ref::UserTaskList(user), "tasks") => {
                let tasks = world.tasks.iter().filter(|(_, task)| task.assignee == Some(user));
                let tasks = tasks.map(|(id, _)| (Border::made(id.number()), id)).collect();
                self.task_page(tasks, call)
            }
            (Ref::Task(task), "subtasks") => {
                let tasks = world.tasks[task].subtasks.iter();
                let tasks = tasks.map(|id| (Border::made(id.number()), *id)).collect();
                self.task_page(tasks, call)
            }
            (Ref::Task(task), "projects") => {
                let places = world.tasks[task].memberships.iter();
                let list = List::new(places.map(|place| place.project), World::project_record);
                self.page(list, call)
            }
            (Ref::Task(task), "stories") => {
                let stories = world.tasks[task].stories.clone();
                self.story_page(stories, call)
            }
            (Ref::Goal(goal), "stories") => {
                let stories = world.goals[goal].stories.clone();
                self.story_page(stories, call)
            }
            (Ref::User(user), "user_task_list") => {
                let list = world.users[user].task_list.to_string();
                self.single("user_task_lists", &list, call)
            }
            _ => Err(ApiError::no_route()),
        }
    }

    fn projects(&mut self, call: &Call<'_>) -> Answered {
        let archived = archived(call);
        let ids = match (call.param("team"), call.param("workspace")) {
            (Some(team), _) => {
                let team = self.named_as("team", team, call)?;
                let all = self.world.projects.iter();
                let of_team = all.filter(|(_, project)| project.team == Some(team));
                of_team.map(|(id, _)| id).collect()
            }
            (None, Some(workspace)) => {
                let workspace = self.named_as("workspace", workspace, call)?;
                projects_in(&self.world, workspace, archived)
            }
            (None, None) => self.world.projects.ids().collect(),
        };
        let world = &self.world;
        let ids = ids.into_iter();
        let ids = ids.filter(|id| {
            let project = &world.projects[*id];
            !project.deleted && archived.is_none_or(|a| a == project.archived)
        });
        self.page(List::new(ids, World::project_record), call)
    }

    fn tasks(&mut self, call: &Call<'_>) -> Answered {
        let assignee = call.param("assignee").zip(call.param("workspace"));
        match (call.param("project"), call.param("section"), assignee) {
            (Some(gid), _, _) => {
                let project = self.named_as("project", gid, call)?;
                self.tasks_in(project, None, call)
            }
            (None, Some(gid), _) => {
                let section: Id<Section> = self.named_as("section", gid, call)?;
                self.tasks_in(self.world.sections[section].project, Some(section), call)
            }
            (None, None, Some((assignee, workspace))) => {
                let workspace = self.named_as("workspace", workspace, call)?;
                let user = self.named_as("assignee", assignee, call)?;
                let all = self.world.tasks.iter();
                let theirs = all.filter(|(_, task)| task.assignee == Some(user) && task.workspace == workspace);
                let theirs = theirs.map(|(id, _)| (Border::made(id.number()), id)).collect();
                self.task_page(theirs, call)
            }
            (None, None, None) => {
                let message = "You should specify one of workspace, project, tag, section, user_task_list";
                Err(ApiError::new(400, message))
            }
        }
    }

    /// By rank: a task that is dragged to the top while a client reads the list is on no later page.
    fn tasks_in(&mut self, project: Id<Project>, section: Option<Id<Section>>, call: &Call<'_>) -> Answered {
        let world = &self.world;
        let here = world.projects[project].tasks.iter().filter_map(|task| {
            let (place, border) = (world.place(*task, project)?, world.border(*task, project)?);
            section.is_none_or(|section| section == place.section).then_some((border, *task))
        });
        self.task_page(here.collect(), call)
    }

    /// Tasks that are not trashed and pass `completed_since` and `modified_since`.
    fn task_page(&mut self, tasks: Vec<(Border, Id<Task>)>, call: &Call<'_>) -> Answered {
        let completed_since = match call.param("completed_since") {
            Some("now") => Some(call.now),
            _ => moment(call, "completed_since")?,
        };
        let modified_since = moment(call, "modified_since")?;
        let world = &self.world;
        let passing = tasks.into_iter().filter(|(_, id)| {
            let task = &world.tasks[*id];
            let open = task.completed_at.is_none_or(|at| completed_since.is_none_or(|since| at >= since));
            let modified = modified_since.is_none_or(|since| task.modified_at >= since);
            open && modified && !world.gone(*id)
        });
        let list = List { placed: passing.collect(), show: World::task_record, compact: &COMPACT };
        self.page(list, call)
    }

    fn story_page(&mut self, stories: Vec<Id<Story>>, call: &Call<'_>) -> Answered {
        let world = &self.world;
        let kept = stories.into_iter().filter(|id| !world.stories[*id].removed);
        let mut list = List::new(kept, World::story_record);
        list.compact = &COMPACT_STORY;
        self.page(list, call)
    }

    fn attachments(&mut self, call: &Call<'_>) -> Answered {
        let parent = call.param("parent").ok_or_else(|| ApiError::missing("parent"))?;
        let attachments = if let Ref::Task(task) = self.named("parent", parent, call)? {
            self.world.tasks[task].attachments.clone()
        } else {
            // Other resources with attachments are only projects here, and they have none.
            self.named_as::<Project>("parent", parent, call)?;
            Vec::new()
        };
        self.page(List::new(attachments.into_iter(), World::attachment_record), call)
    }

    /// Requires `workspace` and, except for a service account, `owner`.
    fn portfolios(&mut self, call: &Call<'_>) -> Answered {
        let workspace = call.param("workspace").ok_or_else(|| ApiError::missing("workspace"))?;
        let workspace = self.named_as("workspace", workspace, call)?;
        let account = self.accounts.get(call.account);
        let service = account.is_some_and(|account| account.serves_domain);
        let me = account.and_then(|account| self.world.users.nth(account.user));
        let owner = match call.param("owner") {
            Some("me") => me,
            Some(gid) => Some(self.named_as("owner", gid, call)?),
            None if service => None,
            None => return Err(ApiError::missing("owner")),
        };
        let portfolios = self.world.portfolios.iter().filter(|(_, portfolio)| {
            portfolio.workspace == workspace && owner.is_none_or(|owner| portfolio.owner == owner)
        });
        let list = List::new(portfolios.map(|(id, _)| id), World::portfolio_record);
        self.page(list, call)
    }

    fn goals(&mut self, call: &Call<'_>) -> Answered {
        let workspace = call.param("workspace").map(|gid| self.named_as("workspace", gid, call)).transpose()?;
        let team = call.param("team").map(|gid| self.named_as("team", gid, call)).transpose()?;
        if workspace.is_none() && team.is_none() {
            return Err(ApiError::missing("workspace"));
        }
        let goals = self.world.goals.iter().filter(|(_, goal)| {
            workspace.is_none_or(|workspace| goal.workspace == workspace)
                && team.is_none_or(|team| goal.team == Some(team))
        });
        let mut list = List::new(goals.map(|(id, _)| id), World::goal_record);
        list.compact = &COMPACT_GOAL;
        self.page(list, call)
    }

    fn status_updates(&mut self, call: &Call<'_>) -> Answered {
        let parent = call.param("parent").ok_or_else(|| ApiError::missing("parent"))?;
        let since = moment(call, "created_since")?;
        // Goals and portfolios have no status updates.
        let project = Id::<Project>::try_from(self.named("parent", parent, call)?).ok().filter(|project| {
            let status = self.world.projects[*project].status.as_ref();
            status.is_some_and(|status| since.is_none_or(|since| status.created_at >= since))
        });
        let show = |world: &World, id: Id<Project>| world.status_record(id).unwrap_or_default();
        let mut list = List::new(project.into_iter(), show);
        list.compact = &COMPACT_STATUS;
        self.page(list, call)
    }

    /// Only what Asana recommends for discovery: the projects of a team.
    fn memberships(&mut self, call: &Call<'_>) -> Answered {
        let member = call.param("member").ok_or_else(|| ApiError::missing("member"))?;
        let team = self.named_as("member", member, call)?;
        let projects = self.world.projects.iter();
        let projects = projects.filter(|(_, project)| project.team == Some(team) && !project.deleted);
        let show = |world: &World, id: Id<Project>| {
            let project = &world.projects[id];
            let member = project.team.map(|team| world.team_record(team));
            json!({
                "gid": format!("{}9", project.gid),
                "resource_type": "membership",
                "resource_subtype": "project_membership",
                "parent": world.compact_project(id),
                "member": member,
                "access_level": "editor",
            })
        };
        let mut list = List::new(projects.map(|(id, _)| id), show);
        list.compact = &["gid", "resource_type", "resource_subtype", "parent", "member", "access_level"];
        self.page(list, call)
    }

    /// The search, as far as it is useful for reconciliation: newest first, no offsets.
    fn search(&self, gid: &str, call: &Call<'_>) -> Answered {
        let workspace = self.named_as("workspace", gid, call)?;
        let modified = (moment(call, "modified_at.after")?, moment(call, "modified_at.before")?);
        let created = (moment(call, "created_at.after")?, moment(call, "created_at.before")?);
        let within = |(after, before): (Option<Timestamp>, Option<Timestamp>), at| {
            after.is_none_or(|after| at > after) && before.is_none_or(|before| at < before)
        };
        let projects = call.param("projects.any");
        let completed = call.param("completed").map(|value| value == "true");
        let world = &self.world;
        let found = world.tasks.iter().filter(|(id, task)| {
            let in_project =
                |gid: &str| task.memberships.iter().any(|place| &*world.projects[place.project].gid == gid);
            task.workspace == workspace
                && !world.gone(*id)
                && !self.hides(Ref::Task(*id), call)
                && within(modified, task.modified_at)
                && within(created, task.created_at)
                && completed.is_none_or(|completed| completed == task.completed_at.is_some())
                && projects.is_none_or(|projects| projects.split(',').any(in_project))
        });
        let mut found: Vec<_> = found.map(|(id, _)| id).collect();
        let by_creation = call.param("sort_by") == Some("created_at");
        found.sort_by_key(|id| {
            let task = &world.tasks[*id];
            if by_creation { task.created_at } else { task.modified_at }
        });
        if call.param("sort_ascending") != Some("true") {
            found.reverse();
        }
        found.truncate(limit(call.request)?.unwrap_or(100));
        let selection = selection(call.request, &COMPACT);
        let mut body = String::from(r#"{"data":["#);
        write_all(found.iter().map(|id| world.task_record(*id)), &selection, &mut body);
        body.push_str("]}");
        Ok(Answer::bytes(200, body))
    }

    /// A page of what the token may see.
    fn page<T>(&mut self, list: List<'_, T>, call: &Call<'_>) -> Answered
    where
        Ref: From<Id<T>>,
    {
        let seen: Vec<_> = list.placed.into_iter().filter(|(_, id)| !self.hides(Ref::from(*id), call)).collect();
        let world = &self.world;
        paged(&mut self.offsets, seen.into_iter(), |id| (list.show)(world, *id), list.compact, call)
    }

    fn hides(&self, of: Ref, call: &Call<'_>) -> bool {
        self.accounts.get(call.account).is_some_and(|account| self.world.hidden(of, &account.hidden_projects))
    }
}

fn projects_in(world: &World, workspace: Id<Workspace>, archived: Option<bool>) -> Vec<Id<Project>> {
    let all = world
        .projects
        .iter()
        .filter(|(_, project)| project.workspace == workspace && !project.deleted)
        .filter(|(_, project)| archived.is_none_or(|a| a == project.archived));
    all.map(|(id, _)| id).collect()
}

fn archived(call: &Call<'_>) -> Option<bool> {
    call.param("archived").map(|value| value == "true")
}

fn moment(call: &Call<'_>, name: &str) -> Result<Option<Timestamp>, ApiError> {
    let Some(text) = call.param(name) else {
        return Ok(None);
    };
    match Timestamp::parse(text) {
        Some(time) => Ok(Some(time)),
        None => Err(ApiError::new(400, format!("{name}: Not a valid date-time: {text}"))),
    }
}
