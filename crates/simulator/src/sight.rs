//! What a token can access: trashed objects are found by no token, and others not by all.

use super::{
    arena::Id,
    asana::Asana,
    http::ApiError,
    model::{Attachment, Goal, Portfolio, Project, Ref, Section, Story, Task, Team, User, Workspace},
    pages::Call,
    world::World,
};

macro_rules! reference {
    ($($kind:ident),*) => {
        $(impl From<Id<$kind>> for Ref {
            fn from(id: Id<$kind>) -> Self {
                Self::$kind(id)
            }
        }

        impl TryFrom<Ref> for Id<$kind> {
            type Error = ();

            fn try_from(of: Ref) -> Result<Self, ()> {
                if let Ref::$kind(id) = of { Ok(id) } else { Err(()) }
            }
        })*
    };
}

reference!(Workspace, Team, User, Project, Section, Task, Story, Attachment, Portfolio, Goal);

impl Asana {
    /// The object of this kind (as in a path), if it exists and the token may access it.
    pub(crate) fn found(&self, kind: &str, gid: &str, call: &Call<'_>) -> Result<Ref, ApiError> {
        let field = if kind == "stories" { "story" } else { kind.strip_suffix('s').unwrap_or(kind) };
        match self.world.find(gid) {
            Some(found) if plural(found) == kind => self.named(field, gid, call),
            Some(_) | None => Err(ApiError::unknown(field, gid)),
        }
    }

    /// The object that a field names, if it exists and the token may access it.
    pub(crate) fn named(&self, field: &str, gid: &str, call: &Call<'_>) -> Result<Ref, ApiError> {
        let found = self.world.find(gid).filter(|found| !self.world.trashed(*found));
        let found = found.ok_or_else(|| ApiError::unknown(field, gid))?;
        self.sight(found, call.account)?;
        Ok(found)
    }

    /// Like [`named`](Self::named), for one kind only.
    pub(crate) fn named_as<T>(&self, field: &str, gid: &str, call: &Call<'_>) -> Result<Id<T>, ApiError>
    where
        Id<T>: TryFrom<Ref>,
    {
        let found = self.named(field, gid, call)?;
        Id::try_from(found).map_err(|_another_kind| ApiError::unknown(field, gid))
    }

    /// Whether the token may access an existing object: 401 if its workspace has disabled the app, 403 if it is hidden
    /// from the token.
    pub(crate) fn sight(&self, of: Ref, account: &str) -> Result<(), ApiError> {
        let Some(account) = self.accounts.get(account) else {
            return Ok(());
        };
        let workspace = self.world.place_of(of);
        if workspace.is_some_and(|id| account.unauthorized_workspaces.contains(&id.number())) {
            return Err(ApiError::new(401, "Not Authorized"));
        }
        if self.world.hidden(of, &account.hidden_projects) {
            let kind = plural(of).trim_end_matches('s');
            return Err(ApiError::new(403, format!("You do not have access to this {kind}.")));
        }
        Ok(())
    }
}

/// The kind as in paths.
fn plural(of: Ref) -> &'static str {
    match of {
        Ref::Workspace(_) => "workspaces",
        Ref::Team(_) => "teams",
        Ref::User(_) => "users",
        Ref::UserTaskList(_) => "user_task_lists",
        Ref::Project(_) => "projects",
        Ref::Section(_) => "sections",
        Ref::Task(_) => "tasks",
        Ref::Story(_) => "stories",
        Ref::Attachment(_) => "attachments",
        Ref::Portfolio(_) => "portfolios",
        Ref::Goal(_) => "goals",
    }
}

impl World {
    /// The task that the object belongs to, which may be itself.
    fn task_of(&self, of: Ref) -> Option<Id<Task>> {
        match of {
            Ref::Task(id) => Some(id),
            Ref::Story(id) => Some(self.stories[id].task),
            Ref::Attachment(id) => Some(self.attachments[id].task),
            Ref::Workspace(_)
            | Ref::Team(_)
            | Ref::User(_)
            | Ref::UserTaskList(_)
            | Ref::Project(_)
            | Ref::Section(_)
            | Ref::Portfolio(_)
            | Ref::Goal(_) => None,
        }
    }

    /// Whether the object was removed, or is below a trashed task.
    fn trashed(&self, of: Ref) -> bool {
        let removed = matches!(of, Ref::Story(id) if self.stories[id].removed);
        removed || self.task_of(of).is_some_and(|task| self.gone(task))
    }

    /// Whether the object is in hidden projects, and in no others.
    pub(crate) fn hidden(&self, of: Ref, projects: &[usize]) -> bool {
        let is_hidden = |project: Id<Project>| projects.contains(&project.number());
        match of {
            _ if projects.is_empty() => false,
            Ref::Project(id) => is_hidden(id),
            Ref::Section(id) => is_hidden(self.sections[id].project),
            Ref::Task(_) | Ref::Story(_) | Ref::Attachment(_) => self.task_of(of).is_some_and(|task| {
                let mut places = self.line_of(task).flat_map(|id| &self.tasks[id].memberships).peekable();
                places.peek().is_some() && places.all(|place| is_hidden(place.project))
            }),
            Ref::Workspace(_)
            | Ref::Team(_)
            | Ref::User(_)
            | Ref::UserTaskList(_)
            | Ref::Portfolio(_)
            | Ref::Goal(_) => false,
        }
    }

    /// The workspace of the object; `None` for objects that are in all of them.
    pub(crate) fn place_of(&self, of: Ref) -> Option<Id<Workspace>> {
        match of {
            Ref::Workspace(id) => Some(id),
            Ref::Team(id) => Some(self.teams[id].workspace),
            Ref::Project(id) => Some(self.projects[id].workspace),
            Ref::Section(id) => Some(self.projects[self.sections[id].project].workspace),
            Ref::Portfolio(id) => Some(self.portfolios[id].workspace),
            Ref::Goal(id) => Some(self.goals[id].workspace),
            Ref::Task(_) | Ref::Story(_) | Ref::Attachment(_) => {
                self.task_of(of).map(|task| self.tasks[task].workspace)
            }
            Ref::User(_) | Ref::UserTaskList(_) => None,
        }
    }
}
