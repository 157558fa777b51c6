//! Everything that can be read besides event streams: single objects and lists.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    arena::Id,
    asana::Asana,
    event::Gid,
    fields::Selection,
    http::{Answer, ApiError, Request},
    offsets::Offsets,
    time::Timestamp,
    webhooks::{NewFilters, Told, Webhook},
    world::{Project, Ref, Task, Workspace, World},
};

/// Most objects of an answer without `limit`.
const UNPAGED: usize = 1_000;

/// Shown of an object in a list when no fields are asked for.
const COMPACT: [&str; 4] = ["gid", "resource_type", "resource_subtype", "name"];
const COMPACT_STORY: [&str; 6] = ["gid", "resource_type", "resource_subtype", "created_at", "created_by", "text"];
const COMPACT_STATUS: [&str; 4] = ["gid", "resource_type", "resource_subtype", "title"];
const COMPACT_WEBHOOK: [&str; 5] = ["gid", "resource_type", "active", "resource", "target"];
const COMPACT_GOAL: [&str; 4] = ["gid", "resource_type", "name", "owner"];

/// The members of a list in the order of their making, and how to show one.
struct List<'a, T> {
    ids: Vec<Id<T>>,
    show: fn(&World, Id<T>) -> Value,
    compact: &'a [&'a str],
}

impl<T> List<'static, T> {
    fn new(ids: impl Iterator<Item = Id<T>>, show: fn(&World, Id<T>) -> Value) -> Self {
        let mut ids: Vec<_> = ids.collect();
        ids.sort_by_key(|id| id.number());
        Self { ids, show, compact: &COMPACT }
    }
}

type Answered = Result<Answer, ApiError>;

impl Asana {
    /// A `GET` below `/api/1.0` that isn't about events.
    pub(crate) fn read(&mut self, segments: &[&str], request: &Request, account: &str, now: Timestamp) -> Answered {
        match *segments {
            ["users", "me"] => self.me(request, account),
            ["workspaces"] => {
                let list = List::new(self.world.workspaces.ids(), World::workspace_record);
                self.page(list, request, now)
            }
            ["projects"] => self.projects(request, now),
            ["tasks"] => self.tasks(request, now),
            ["users"] => {
                let list = List::new(self.world.users.ids(), World::user_record);
                self.page(list, request, now)
            }
            ["attachments"] => self.attachments(request, now),
            ["portfolios"] => self.portfolios(request, account, now),
            ["goals"] => self.goals(request, now),
            ["status_updates"] => self.status_updates(request, now),
            ["memberships"] => self.memberships(request, now),
            [kind, gid] => self.single(kind, gid, request),
            [kind, gid, of] => {
                let found = self.found(kind, gid)?;
                self.related(found, of, request, now)
            }
            ["workspaces", gid, "tasks", "search"] => self.search(gid, request),
            _ => Err(ApiError::no_route()),
        }
    }

    /// The object of this kind; trashed ones are not found.
    fn found(&self, kind: &str, gid: &str) -> Result<Ref, ApiError> {
        let singular = kind.strip_suffix('s').unwrap_or(kind);
        let unknown = || ApiError::unknown(singular, gid);
        let found = self.world.find(gid).ok_or_else(unknown)?;
        let (is, trashed) = match found {
            Ref::Workspace(_) => ("workspaces", false),
            Ref::Team(_) => ("teams", false),
            Ref::User(_) => ("users", false),
            Ref::UserTaskList(_) => ("user_task_lists", false),
            Ref::Project(_) => ("projects", false),
            Ref::Section(_) => ("sections", false),
            Ref::Task(id) => ("tasks", self.world.tasks[id].trashed),
            Ref::Story(id) => ("stories", self.world.stories[id].removed),
            Ref::Attachment(id) => ("attachments", self.world.attachments[id].trashed),
            Ref::Portfolio(_) => ("portfolios", false),
            Ref::Goal(_) => ("goals", false),
        };
        if is == kind && !trashed { Ok(found) } else { Err(unknown()) }
    }

    fn single(&self, kind: &str, gid: &str, request: &Request) -> Answered {
        let world = &self.world;
        let record = match self.found(kind, gid)? {
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
        Ok(one(&record, request))
    }

    fn me(&self, request: &Request, account: &str) -> Answered {
        let number = self.accounts.get(account).map_or(0, |account| account.user);
        let user = self.world.users.nth(number).ok_or_else(ApiError::no_route)?;
        Ok(one(&self.world.user_record(user), request))
    }

    /// Lists that hang on an object: places first.
    fn related(&mut self, found: Ref, of: &str, request: &Request, now: Timestamp) -> Answered {
        let world = &self.world;
        match (found, of) {
            (Ref::Workspace(workspace), "projects") => {
                let ids = projects_in(world, workspace, archived(request));
                self.page(List::new(ids.into_iter(), World::project_record), request, now)
            }
            (Ref::Workspace(workspace), "teams") => {
                let teams = world.teams.iter().filter(|(_, team)| team.workspace == workspace);
                let list = List::new(teams.map(|(id, _)| id), World::team_record);
                self.page(list, request, now)
            }
            (Ref::Workspace(_), "users") => {
                let list = List::new(world.users.ids(), World::user_record);
                self.page(list, request, now)
            }
            (Ref::Team(team), "projects") => {
                let archived = archived(request);
                let projects = world.projects.iter().filter(|(_, project)| {
                    project.team == Some(team) && !project.deleted && archived.is_none_or(|a| a == project.archived)
                });
                let list = List::new(projects.map(|(id, _)| id), World::project_record);
                self.page(list, request, now)
            }
            (Ref::Project(project), "sections") => {
                let sections = world.projects[project].sections.iter().copied();
                let list = List::new(sections, World::section_record);
                self.page(list, request, now)
            }
            (Ref::Project(project), "tasks") => {
                let tasks = world.projects[project].tasks.clone();
                self.task_page(tasks, request, now)
            }
            (Ref::Section(section), "tasks") => {
                let tasks = tasks_in_section(world, section);
                self.task_page(tasks, request, now)
            }
            (Ref::Portfolio(portfolio), "items") => {
                let items = world.portfolios[portfolio].items.iter().copied();
                let items = items.filter(|id| !world.projects[*id].deleted);
                let list = List::new(items, World::project_record);
                self.page(list, request, now)
            }
            _ => self.related_to_work(found, of, request, now),
        }
    }

    /// Lists that hang on a task, a goal or a user.
    fn related_to_work(&mut self, found: Ref, of: &str, request: &Request, now: Timestamp) -> Answered {
        let world = &self.world;
        match (found, of) {
            (Ref::UserTaskList(user), "tasks") => {
                let tasks = world.tasks.iter().filter(|(_, task)| task.assignee == Some(user));
                let tasks = tasks.map(|(id, _)| id).collect();
                self.task_page(tasks, request, now)
            }
            (Ref::Task(task), "subtasks") => {
                let tasks = world.tasks[task].subtasks.clone();
                self.task_page(tasks, request, now)
            }
            (Ref::Task(task), "projects") => {
                let places = world.tasks[task].memberships.iter();
                let list = List::new(places.map(|place| place.project), World::project_record);
                self.page(list, request, now)
            }
            (Ref::Task(task), "stories") => {
                let stories = world.tasks[task].stories.clone();
                self.story_page(stories, request, now)
            }
            (Ref::Goal(goal), "stories") => {
                let stories = world.goals[goal].stories.clone();
                self.story_page(stories, request, now)
            }
            (Ref::User(user), "user_task_list") => {
                let list = world.users[user].task_list.to_string();
                self.single("user_task_lists", &list, request)
            }
            _ => Err(ApiError::no_route()),
        }
    }

    fn projects(&mut self, request: &Request, now: Timestamp) -> Answered {
        let archived = archived(request);
        let ids = match (request.param("team"), request.param("workspace")) {
            (Some(team), _) => {
                let Ok(Ref::Team(team)) = self.found("teams", team) else {
                    return Err(ApiError::unknown("team", team));
                };
                let all = self.world.projects.iter();
                let of_team = all.filter(|(_, project)| project.team == Some(team));
                of_team.map(|(id, _)| id).collect()
            }
            (None, Some(workspace)) => {
                let workspace = self.workspace(workspace)?;
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
        self.page(List::new(ids, World::project_record), request, now)
    }

    fn workspace(&self, gid: &str) -> Result<Id<Workspace>, ApiError> {
        match self.world.find(gid) {
            Some(Ref::Workspace(id)) => Ok(id),
            _ => Err(ApiError::unknown("workspace", gid)),
        }
    }

    fn tasks(&mut self, request: &Request, now: Timestamp) -> Answered {
        let world = &self.world;
        let project = request.param("project");
        let section = request.param("section");
        let assignee = request.param("assignee").zip(request.param("workspace"));
        let tasks = match (project, section, assignee) {
            (Some(gid), _, _) => match world.find(gid) {
                Some(Ref::Project(project)) => world.projects[project].tasks.clone(),
                _ => return Err(ApiError::unknown("project", gid)),
            },
            (None, Some(gid), _) => match world.find(gid) {
                Some(Ref::Section(section)) => tasks_in_section(world, section),
                _ => return Err(ApiError::unknown("section", gid)),
            },
            (None, None, Some((assignee, workspace))) => {
                let workspace = self.workspace(workspace)?;
                let Some(Ref::User(user)) = world.find(assignee) else {
                    return Err(ApiError::unknown("assignee", assignee));
                };
                let all = world.tasks.iter();
                let theirs = all.filter(|(_, task)| task.assignee == Some(user) && task.workspace == workspace);
                theirs.map(|(id, _)| id).collect()
            }
            (None, None, None) => {
                let message = "You should specify one of workspace, project, tag, section, user_task_list";
                return Err(ApiError::new(400, message));
            }
        };
        self.task_page(tasks, request, now)
    }

    /// Tasks that are not trashed and pass `completed_since` and `modified_since`.
    fn task_page(&mut self, tasks: Vec<Id<Task>>, request: &Request, now: Timestamp) -> Answered {
        let completed_since = match request.param("completed_since") {
            Some("now") => Some(now),
            _ => moment(request, "completed_since")?,
        };
        let modified_since = moment(request, "modified_since")?;
        let world = &self.world;
        let passing = tasks.into_iter().filter(|id| {
            let task = &world.tasks[*id];
            let open = task.completed_at.is_none_or(|at| completed_since.is_none_or(|since| at >= since));
            let modified = modified_since.is_none_or(|since| task.modified_at >= since);
            !task.trashed && open && modified
        });
        self.page(List::new(passing, World::task_record), request, now)
    }

    fn story_page(&mut self, stories: Vec<Id<super::world::Story>>, request: &Request, now: Timestamp) -> Answered {
        let world = &self.world;
        let kept = stories.into_iter().filter(|id| !world.stories[*id].removed);
        let mut list = List::new(kept, World::story_record);
        list.compact = &COMPACT_STORY;
        self.page(list, request, now)
    }

    fn attachments(&mut self, request: &Request, now: Timestamp) -> Answered {
        let parent = request.param("parent").ok_or_else(|| ApiError::missing("parent"))?;
        let world = &self.world;
        let attachments = match world.find(parent) {
            Some(Ref::Task(task)) => world.tasks[task].attachments.clone(),
            Some(Ref::Project(_)) => Vec::new(),
            _ => return Err(ApiError::unknown("parent", parent)),
        };
        let kept = attachments.into_iter().filter(|id| !world.attachments[*id].trashed);
        self.page(List::new(kept, World::attachment_record), request, now)
    }

    /// Needs `workspace` and, unless a service account asks, `owner`.
    fn portfolios(&mut self, request: &Request, account: &str, now: Timestamp) -> Answered {
        let workspace = request.param("workspace").ok_or_else(|| ApiError::missing("workspace"))?;
        let workspace = self.workspace(workspace)?;
        let account = self.accounts.get(account);
        let service = account.is_some_and(|account| account.serves_domain);
        let me = account.and_then(|account| self.world.users.nth(account.user));
        let owner = match request.param("owner") {
            Some("me") => me,
            Some(gid) => match self.world.find(gid) {
                Some(Ref::User(user)) => Some(user),
                _ => return Err(ApiError::unknown("owner", gid)),
            },
            None if service => None,
            None => return Err(ApiError::missing("owner")),
        };
        let portfolios = self.world.portfolios.iter().filter(|(_, portfolio)| {
            portfolio.workspace == workspace && owner.is_none_or(|owner| portfolio.owner == owner)
        });
        let list = List::new(portfolios.map(|(id, _)| id), World::portfolio_record);
        self.page(list, request, now)
    }

    fn goals(&mut self, request: &Request, now: Timestamp) -> Answered {
        let workspace = request.param("workspace").map(|gid| self.workspace(gid)).transpose()?;
        let team = match request.param("team") {
            None => None,
            Some(gid) => match self.world.find(gid) {
                Some(Ref::Team(team)) => Some(team),
                _ => return Err(ApiError::unknown("team", gid)),
            },
        };
        if workspace.is_none() && team.is_none() {
            return Err(ApiError::missing("workspace"));
        }
        let goals = self.world.goals.iter().filter(|(_, goal)| {
            workspace.is_none_or(|workspace| goal.workspace == workspace)
                && team.is_none_or(|team| goal.team == Some(team))
        });
        let mut list = List::new(goals.map(|(id, _)| id), World::goal_record);
        list.compact = &COMPACT_GOAL;
        self.page(list, request, now)
    }

    fn status_updates(&mut self, request: &Request, now: Timestamp) -> Answered {
        let parent = request.param("parent").ok_or_else(|| ApiError::missing("parent"))?;
        let since = moment(request, "created_since")?;
        let world = &self.world;
        let project = match world.find(parent) {
            Some(Ref::Project(project)) => {
                let status = world.projects[project].status.as_ref();
                status.filter(|status| since.is_none_or(|since| status.created_at >= since)).map(|_| project)
            }
            Some(Ref::Goal(_) | Ref::Portfolio(_)) => None,
            _ => return Err(ApiError::unknown("parent", parent)),
        };
        let show = |world: &World, id: Id<Project>| world.status_record(id).unwrap_or_default();
        let mut list = List::new(project.into_iter(), show);
        list.compact = &COMPACT_STATUS;
        self.page(list, request, now)
    }

    /// Only what Asana recommends for discovery: the projects of a team.
    fn memberships(&mut self, request: &Request, now: Timestamp) -> Answered {
        let member = request.param("member").ok_or_else(|| ApiError::missing("member"))?;
        let Some(Ref::Team(team)) = self.world.find(member) else {
            return Err(ApiError::unknown("member", member));
        };
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
        self.page(list, request, now)
    }

    /// Search, as far as it serves reconciliation: newest first, no offsets.
    fn search(&mut self, gid: &str, request: &Request) -> Answered {
        let workspace = self.workspace(gid)?;
        let modified = (moment(request, "modified_at.after")?, moment(request, "modified_at.before")?);
        let created = (moment(request, "created_at.after")?, moment(request, "created_at.before")?);
        let within = |(after, before): (Option<Timestamp>, Option<Timestamp>), at| {
            after.is_none_or(|after| at > after) && before.is_none_or(|before| at < before)
        };
        let projects = request.param("projects.any");
        let completed = request.param("completed").map(|value| value == "true");
        let world = &self.world;
        let found = world.tasks.iter().filter(|(_, task)| {
            let in_project =
                |gid: &str| task.memberships.iter().any(|place| &*world.projects[place.project].gid == gid);
            task.workspace == workspace
                && !task.trashed
                && within(modified, task.modified_at)
                && within(created, task.created_at)
                && completed.is_none_or(|completed| completed == task.completed_at.is_some())
                && projects.is_none_or(|projects| projects.split(',').any(in_project))
        });
        let mut found: Vec<_> = found.map(|(id, _)| id).collect();
        let by_creation = request.param("sort_by") == Some("created_at");
        found.sort_by_key(|id| {
            let task = &world.tasks[*id];
            if by_creation { task.created_at } else { task.modified_at }
        });
        if request.param("sort_ascending") != Some("true") {
            found.reverse();
        }
        found.truncate(limit(request)?.unwrap_or(100));
        let selection = selection(request, &COMPACT);
        let mut body = String::from(r#"{"data":["#);
        write_all(found.iter().map(|id| world.task_record(*id)), &selection, &mut body);
        body.push_str("]}");
        Ok(Answer::bytes(200, body))
    }

    fn page<T>(&mut self, list: List<'_, T>, request: &Request, now: Timestamp) -> Answered {
        let (world, ids) = (&self.world, list.ids.into_iter().map(|id| (id.number(), id)));
        paged(&mut self.offsets, ids, |id| (list.show)(world, *id), list.compact, request, now)
    }

    /// `/webhooks` and what is below it.
    pub(crate) fn webhook(&mut self, below: &[&str], request: &Request, account: &str, now: Timestamp) -> Answered {
        match (request.method.as_str(), below) {
            ("GET", []) => {
                let workspace = request.param("workspace").ok_or_else(|| ApiError::missing("workspace"))?;
                let workspace = self.workspace(workspace)?;
                let (world, of) = (&self.world, request.param("resource"));
                let own = self.webhooks.iter().filter(|(_, it)| {
                    it.account == account
                        && of.is_none_or(|of| *it.resource == *of)
                        && world.workspace_of(&it.resource) == Some(workspace)
                });
                let ids = own.map(|(gid, it)| (gid.parse().unwrap_or_default(), (gid, it)));
                let show = |(gid, it): &(&Gid, &Webhook)| it.record(gid, world);
                paged(&mut self.offsets, ids, show, &COMPACT_WEBHOOK, request, now)
            }
            ("POST", []) => {
                let handshake = self.webhooks.reserve(posted(request)?, account, &self.world, now)?;
                Ok(Answer { handshake: Some(handshake), ..Answer::ok(&json!({})) })
            }
            ("GET", [gid]) => Ok(one(&self.webhooks.of(gid, account)?.record(gid, &self.world), request)),
            ("PUT", [gid]) => {
                self.webhooks.of(gid, account)?;
                let NewFilters { filters } = posted(request)?;
                self.webhooks.set_filters(gid, filters);
                Ok(one(&self.webhooks.of(gid, account)?.record(gid, &self.world), request))
            }
            ("DELETE", [gid]) => {
                self.webhooks.of(gid, account)?;
                self.webhooks.remove(gid);
                Ok(Answer::ok(&json!({"data": {}})))
            }
            _ => Err(ApiError::no_route()),
        }
    }

    /// The answer to who wanted a webhook whose target has answered the handshake.
    pub(crate) fn shaken(&mut self, gid: &str, told: Told) -> Answer {
        let made = self.webhooks.shake(gid, told).map(|secret| {
            let webhook = self.webhooks.iter().find(|(it, _)| ***it == *gid);
            let record = webhook.map(|(gid, it)| it.record(gid, &self.world));
            Answer::json(201, &json!({"data": record, "X-Hook-Secret": secret}))
        });
        made.unwrap_or_else(Answer::from)
    }
}

fn posted<'a, T: Deserialize<'a>>(request: &'a Request) -> Result<T, ApiError> {
    #[derive(Deserialize)]
    struct Posted<T> {
        data: T,
    }
    let posted = serde_json::from_slice(&request.body).map_err(|error| ApiError::new(400, error.to_string()))?;
    let Posted { data } = posted;
    Ok(data)
}

/// One page of what is there, by its numbers, or all of it when no `limit` is given.
fn paged<T>(
    offsets: &mut Offsets,
    numbered: impl Iterator<Item = (usize, T)>,
    show: impl Fn(&T) -> Value,
    compact: &[&str],
    request: &Request,
    now: Timestamp,
) -> Answered {
    let limit = limit(request)?;
    let name = name_of(request);
    let from = match request.param("offset") {
        Some(offset) => offsets.resume(offset, &name, now)?,
        None => 0,
    };
    // Objects keep their number, so one that isn't touched is never missed.
    let rest: Vec<_> = numbered.filter(|(number, _)| *number >= from).collect();
    if limit.is_none() && rest.len() > UNPAGED {
        let message = "The result is too large. You should use pagination (may require specifying a workspace)!";
        return Err(ApiError::new(400, message));
    }
    let shown = rest.iter().take(limit.unwrap_or(UNPAGED));
    let selection = selection(request, compact);
    let mut body = String::from(r#"{"data":["#);
    write_all(shown.map(|(_, item)| show(item)), &selection, &mut body);
    body.push(']');
    if let Some(limit) = limit {
        let next = rest.get(limit).map(|(number, _)| {
            let offset = offsets.issue(&name, *number, now);
            next_page(request, limit, &offset)
        });
        body.push_str(r#","next_page":"#);
        body.push_str(&json!(next).to_string());
    }
    body.push('}');
    Ok(Answer::bytes(200, body))
}

fn one(record: &Value, request: &Request) -> Answer {
    let mut body = String::from(r#"{"data":"#);
    Selection::of(request.param("opt_fields")).write(&record.to_string(), &mut body);
    body.push('}');
    Answer::bytes(200, body)
}

fn selection(request: &Request, compact: &[&str]) -> Selection {
    match request.param("opt_fields") {
        Some(list) => Selection::of(Some(list)),
        None => Selection::compact(compact),
    }
}

fn write_all(records: impl Iterator<Item = Value>, selection: &Selection, body: &mut String) {
    for (number, record) in records.enumerate() {
        if number > 0 {
            body.push(',');
        }
        selection.write(&record.to_string(), body);
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

fn tasks_in_section(world: &World, section: Id<super::world::Section>) -> Vec<Id<Task>> {
    let project = world.sections[section].project;
    let tasks = world.projects[project].tasks.iter().copied();
    let here = tasks.filter(|id| world.tasks[*id].memberships.iter().any(|m| m.section == section));
    here.collect()
}

fn archived(request: &Request) -> Option<bool> {
    request.param("archived").map(|value| value == "true")
}

fn moment(request: &Request, name: &str) -> Result<Option<Timestamp>, ApiError> {
    let Some(text) = request.param(name) else {
        return Ok(None);
    };
    match Timestamp::parse(text) {
        Some(time) => Ok(Some(time)),
        None => Err(ApiError::new(400, format!("{name}: Not a valid date-time: {text}"))),
    }
}

fn limit(request: &Request) -> Result<Option<usize>, ApiError> {
    let Some(text) = request.param("limit") else {
        return Ok(None);
    };
    match text.parse() {
        Ok(limit @ 1..=100) => Ok(Some(limit)),
        _ => Err(ApiError::new(400, format!("limit: Must be between 1 and 100: {text}"))),
    }
}

/// A list's name: path and filters, without what may change from page to page.
fn name_of(request: &Request) -> String {
    let mut filters: Vec<_> =
        request.query.iter().filter(|(key, _)| !key.starts_with("opt_") && key != "limit" && key != "offset").collect();
    filters.sort();
    let mut name = url::form_urlencoded::Serializer::new(format!("{}?", request.path));
    name.extend_pairs(filters);
    name.finish()
}

fn next_page(request: &Request, limit: usize, offset: &str) -> Value {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    let kept = request.query.iter().filter(|(key, _)| key != "limit" && key != "offset");
    query.extend_pairs(kept);
    query.append_pair("limit", &limit.to_string());
    query.append_pair("offset", offset);
    let query = query.finish();
    let path = request.path.strip_prefix("/api/1.0").unwrap_or(&request.path);
    json!({
        "offset": offset,
        "path": format!("{path}?{query}"),
        "uri": format!("http://{}{}?{query}", request.host, request.path),
    })
}
