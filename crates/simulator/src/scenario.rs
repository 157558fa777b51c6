//! What a simulator is to be: seed, size of the world, tokens, limits, faults.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;

use super::{
    faults::Fault,
    time::{Span, Timestamp},
};

const HOUR: Duration = Duration::from_secs(3_600);

/// A scenario file (YAML). Every field has a default.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// Equal seeds give equal worlds, events and tokens.
    pub seed: u64,
    /// The simulated clock at the start, RFC 3339; the true time if absent.
    pub start: Option<String>,
    /// Simulated seconds per second; 0 stops the simulated clock.
    pub speed: f64,
    /// Live events per (true) second over the whole world, bubbling not counted.
    pub rate: f64,
    /// From the change to the event's being visible, by the simulated clock.
    pub delay: Span,
    /// What exists at the start.
    pub world: WorldSize,
    /// Who may call.
    pub tokens: Vec<TokenSpec>,
    /// The OAuth client whose refresh tokens are taken; none if absent.
    pub oauth: Option<OAuth>,
    /// Budgets per token.
    pub limits: Limits,
    /// Events per page.
    pub pages: Pages,
    /// Life of a sync token; Asana documents 24 hours at the most.
    pub token_life: Span,
    /// What a sync token is worth once its successor was used.
    pub superseded_tokens: SupersededTokens,
    /// The token that comes with a page without events: not known of Asana.
    pub empty_pages: NextToken,
    /// The token that comes with events.
    pub full_pages: NextToken,
    /// Life of a list offset: Asana's own have `exp` 900 seconds after `iat` inside.
    pub offset_life: Span,
    /// How much a page of a list may ask for; anything if absent.
    pub weight: Option<Weight>,
    /// How many objects of a list its pages go through; all if absent.
    pub longest_list: Option<usize>,
    /// Whether events carry the deprecated `type`.
    pub event_type: TypeField,
    /// How long a webhook is `active: false` once it was made.
    pub webhook_activation: Span,
    /// Whether answers say when they were made.
    pub date: DateHeader,
    /// Faults on a timetable (`at`), or standing from the start.
    pub faults: Vec<Fault>,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            seed: 1,
            start: None,
            speed: 1.0,
            rate: 0.0,
            delay: Span(Duration::ZERO),
            world: WorldSize::default(),
            tokens: vec![TokenSpec::default()],
            oauth: None,
            limits: Limits::default(),
            pages: Pages::default(),
            token_life: Span(24 * HOUR),
            superseded_tokens: SupersededTokens::Refuse,
            empty_pages: NextToken::New,
            full_pages: NextToken::New,
            offset_life: Span(HOUR / 4),
            weight: None,
            longest_list: None,
            event_type: TypeField::Present,
            webhook_activation: Span(Duration::ZERO),
            date: DateHeader::Stamped,
            faults: Vec::new(),
        }
    }
}

impl Scenario {
    /// Reads a scenario file's text.
    ///
    /// # Errors
    /// A sentence that names the line or the field; nothing to retry.
    pub fn parse(yaml: &str) -> Result<Self, String> {
        let scenario: Self = serde_saphyr::from_str(yaml).map_err(|error| error.to_string())?;
        match scenario.problem() {
            None => Ok(scenario),
            Some(problem) => Err(problem),
        }
    }

    pub(crate) fn problem(&self) -> Option<String> {
        if let Some(start) = &self.start
            && Timestamp::parse(start).is_none()
        {
            return Some(format!("start: `{start}` is not an RFC 3339 time"));
        }
        let counts = |number: f64| number.is_finite() && number >= 0.0;
        if !counts(self.speed) || !counts(self.rate) {
            return Some("speed, rate: must be 0 or more".to_owned());
        }
        if self.pages.resource == 0 || self.pages.workspace == 0 {
            return Some("pages: must be 1 or more".to_owned());
        }
        if let Some(oauth) = &self.oauth
            && !self.tokens.iter().any(|spec| spec.token == oauth.account)
        {
            return Some(format!("oauth.account: no token `{}`", oauth.account));
        }
        let world = &self.world;
        if world.workspaces == 0 || world.users == 0 || world.teams == 0 || world.projects == 0 {
            return Some("world: needs a workspace, a team, a project and a user".to_owned());
        }
        if self.longest_list == Some(0) || self.weight.as_ref().is_some_and(|weight| weight.most == 0) {
            return Some("longest_list, weight.most: must be 1 or more".to_owned());
        }
        if let Some(problem) = self.tokens.iter().enumerate().find_map(|(index, spec)| spec.problem(index, world)) {
            return Some(problem);
        }
        self.faults.iter().enumerate().find_map(|(index, fault)| {
            let problem = fault.problem()?;
            Some(format!("faults[{index}].{problem}"))
        })
    }
}

/// What exists at the start, over all workspaces.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorldSize {
    /// Workspaces.
    pub workspaces: usize,
    /// Teams, shared out over the workspaces.
    pub teams: usize,
    /// Projects, shared out over the teams.
    pub projects: usize,
    /// Tasks in each project.
    pub tasks_per_project: usize,
    /// Users; all are in all workspaces.
    pub users: usize,
    /// Portfolios.
    pub portfolios: usize,
    /// Goals.
    pub goals: usize,
}

impl Default for WorldSize {
    fn default() -> Self {
        Self { workspaces: 1, teams: 2, projects: 10, tasks_per_project: 20, users: 12, portfolios: 2, goals: 3 }
    }
}

/// One bearer token.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSpec {
    /// The token itself.
    pub token: String,
    /// Only a service account may read workspace events.
    #[serde(default)]
    pub service_account: bool,
    /// Which of the world's users it belongs to, from 0.
    #[serde(default)]
    pub user: usize,
    /// Instead of `limits.rate_per_minute`; 0 lifts the limit.
    #[serde(default)]
    pub rate_per_minute: Option<u32>,
    /// Workspaces that have switched the app off, by number from 0: 401 for all that is below them.
    #[serde(default)]
    pub unauthorized_workspaces: Vec<usize>,
    /// Projects that it doesn't see, nor what is in them alone, by number from 0: 403.
    #[serde(default)]
    pub hidden_projects: Vec<usize>,
}

impl TokenSpec {
    /// A service account's token, which may read all there is.
    #[must_use]
    pub fn service_account(token: impl Into<String>) -> Self {
        Self {
            token: token.into(),
            service_account: true,
            user: 0,
            rate_per_minute: None,
            unauthorized_workspaces: Vec::new(),
            hidden_projects: Vec::new(),
        }
    }

    fn problem(&self, index: usize, world: &WorldSize) -> Option<String> {
        let numbers = [
            ("unauthorized_workspaces", &self.unauthorized_workspaces, world.workspaces),
            ("hidden_projects", &self.hidden_projects, world.projects),
        ];
        numbers.into_iter().find_map(|(field, numbers, all)| {
            let beyond = numbers.iter().find(|number| **number >= all)?;
            Some(format!("tokens[{index}].{field}: there is no number {beyond}, they begin with 0"))
        })
    }
}

/// The token `simulator`, of a service account.
impl Default for TokenSpec {
    fn default() -> Self {
        Self::service_account("simulator")
    }
}

/// The one OAuth client.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OAuth {
    /// `client_id` to be sent.
    pub client_id: String,
    /// `client_secret` to be sent.
    pub client_secret: String,
    /// The refresh token that is taken, again and again.
    pub refresh_token: String,
    /// Which entry of `tokens` the access tokens stand for: rights and budget.
    pub account: String,
    /// Life of an access token, by the simulated clock; Asana's is an hour.
    #[serde(default = "an_hour")]
    pub expires_in: Span,
}

fn an_hour() -> Span {
    Span(HOUR)
}

/// Budgets per token. 0 or `null` lifts a limit.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests per minute: Asana has 150 for free domains, 1,500 for paid ones.
    pub rate_per_minute: Option<u32>,
    /// `GET`s in flight: Asana has 50.
    pub concurrent_reads: Option<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { rate_per_minute: Some(1_500), concurrent_reads: Some(50) }
    }
}

impl Limits {
    /// No limit at all, for benchmarks and demonstrations.
    #[must_use]
    pub fn off() -> Self {
        Self { rate_per_minute: None, concurrent_reads: None }
    }
}

/// Most events that one sync token gives.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pages {
    /// `/events`: Asana has 100.
    pub resource: usize,
    /// `/workspaces/{gid}/events`: Asana has 1,000.
    pub workspace: usize,
}

impl Default for Pages {
    fn default() -> Self {
        Self { resource: 100, workspace: 1_000 }
    }
}

/// Pages of lists that ask for too much.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weight {
    /// The most that is answered: a page's `limit` (what there is, where none is given) times the weight of what is
    /// listed.
    pub most: usize,
    /// What one object weighs, by the last part of the path (`tasks`, `subtasks`, `stories`); 1 if it isn't here.
    #[serde(default)]
    pub per: BTreeMap<String, usize>,
    /// What becomes of the others.
    #[serde(default)]
    pub answer: HeavyPage,
    /// Until a 504 comes, in true time; what a 429 has in `Retry-After`, in whole seconds, at least one.
    #[serde(default = "two_seconds")]
    pub after: Span,
}

/// What is answered to a page that asks for too much.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeavyPage {
    /// 504, after a while.
    #[default]
    Timeout,
    /// 429 with `Retry-After`, for the cost.
    Throttle,
}

fn two_seconds() -> Span {
    Span(Duration::from_secs(2))
}

/// What a sync token is worth once its successor was used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SupersededTokens {
    /// 412: Asana warns that going back may fail.
    #[default]
    Refuse,
    /// The same page again.
    Serve,
}

/// Which token comes with a page of events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum NextToken {
    /// A new one: the token that was sent is used up, and its page is fixed for ever.
    #[default]
    #[serde(rename = "new_token")]
    New,
    /// The one that was sent, with its life begun anew: asking again shows also what has come since.
    #[serde(rename = "same_token")]
    Same,
}

/// Whether events carry `type`, the deprecated twin of `resource.resource_type`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TypeField {
    /// As the API description has it.
    #[default]
    Present,
    /// As webhook captures since 2021 have it.
    Absent,
}

/// Whether answers carry the header `Date`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DateHeader {
    /// By the simulated clock.
    #[default]
    Stamped,
    /// As if a proxy had taken it away.
    Absent,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_field_is_refused_by_name() {
        let error = Scenario::parse("sede: 3").unwrap_err();
        assert!(error.contains("sede"), "{error}");
    }

    #[test]
    fn a_bad_fault_is_named_by_its_place() {
        let error = Scenario::parse("faults: [{kind: cut}, {kind: slow}]").unwrap_err();
        assert!(error.contains("faults[1]"), "{error}");
    }

    #[test]
    fn a_part_of_the_world_that_is_not_there_cannot_be_hidden() {
        let error =
            Scenario::parse("{world: {projects: 3}, tokens: [{token: a, hidden_projects: [2, 3]}]}").unwrap_err();
        assert!(error.contains("tokens[0].hidden_projects") && error.contains('3'), "{error}");
        assert!(Scenario::parse("{longest_list: 0}").is_err());
    }

    #[test]
    fn every_field_can_be_said() {
        let scenario = Scenario::parse(
            "{seed: 7, speed: 60, rate: 20, delay: 2s, world: {projects: 3}, \
             tokens: [{token: a, rate_per_minute: 150}], limits: {concurrent_reads: 0}, \
             pages: {resource: 5}, token_life: 1h, superseded_tokens: serve, \
             empty_pages: same_token, full_pages: new_token, longest_list: 3, weight: {most: 25, per: {tasks: 4}, answer: throttle}, event_type: absent, webhook_activation: 1m, date: absent, faults: [{kind: silence, at: 10s, for: 3h}]}",
        )
        .unwrap();
        assert_eq!(scenario.world.projects, 3);
        assert_eq!(scenario.token_life.0, HOUR);
        assert_eq!(scenario.limits.rate_per_minute, Some(1_500));
    }
}
