//! The configuration of a simulator: seed, size of the world, tokens, limits, faults.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;
use url::Url;

use super::{
    faults::Fault,
    time::{Span, Timestamp},
};

/// The redirect address of programs that receive no request: the user copies the code from a page.
pub(crate) const OUT_OF_BAND: &str = "urn:ietf:wg:oauth:2.0:oob";

const HOUR: Duration = Duration::from_secs(3_600);

/// A scenario file (YAML). Every field has a default.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// The seed of all random numbers. Equal seeds give equal worlds, events and tokens.
    pub seed: u64,
    /// The simulated time at the start, in RFC 3339. Default: the real time.
    pub start: Option<String>,
    /// The simulated seconds per real second. 0 stops the simulated clock.
    pub speed: f64,
    /// The number of live events per real second over the whole world. An event counts once, even if several streams
    /// see it.
    pub rate: f64,
    /// The time from a change until its event is visible, by the simulated clock.
    pub delay: Span,
    /// The objects that exist at the start.
    pub world: WorldSize,
    /// The bearer tokens that the API accepts.
    pub tokens: Vec<TokenSpec>,
    /// The OAuth client to which tokens are issued. Default: none.
    pub oauth: Option<OAuth>,
    /// The limits of each token.
    pub limits: Limits,
    /// The maximum number of events per page.
    pub pages: Pages,
    /// The life of a sync token. Asana documents at most 24 hours.
    pub token_life: Span,
    /// The answer to a sync token whose successor was used.
    pub superseded_tokens: SupersededTokens,
    /// The token that comes with a page without events. Asana's behaviour isn't known.
    pub empty_pages: NextToken,
    /// The token that comes with a page of events.
    pub full_pages: NextToken,
    /// The life of a list's offset. Asana's own have `exp` 900 seconds after `iat` inside.
    pub offset_life: Span,
    /// The limit above which a page of a list is too expensive. Default: none.
    pub weight: Option<Weight>,
    /// The maximum number of objects of a list that its pages return. Default: all.
    pub longest_list: Option<usize>,
    /// Whether events have the deprecated field `type`.
    pub event_type: TypeField,
    /// The time for which a new webhook is `active: false`.
    pub webhook_activation: Span,
    /// Whether answers have the header `Date`.
    pub date: DateHeader,
    /// The faults: at a time (`at`), or from the start.
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
    /// Reads the text of a scenario file.
    ///
    /// # Errors
    /// A sentence that names the line or the field.
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
        if let Some(problem) = self.oauth.as_ref().and_then(|oauth| oauth.problem(&self.tokens)) {
            return Some(problem);
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

/// The numbers of objects at the start, over all workspaces.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorldSize {
    /// The number of workspaces.
    pub workspaces: usize,
    /// The number of teams, distributed over the workspaces.
    pub teams: usize,
    /// The number of projects, distributed over the teams.
    pub projects: usize,
    /// The number of tasks in each project.
    pub tasks_per_project: usize,
    /// The number of users. All are in all workspaces.
    pub users: usize,
    /// The number of portfolios.
    pub portfolios: usize,
    /// The number of goals.
    pub goals: usize,
}

impl Default for WorldSize {
    fn default() -> Self {
        Self { workspaces: 1, teams: 2, projects: 10, tasks_per_project: 20, users: 12, portfolios: 2, goals: 3 }
    }
}

/// A bearer token.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSpec {
    /// The text of the token.
    pub token: String,
    /// Whether it is a service account's. Only these may poll workspaces.
    #[serde(default)]
    pub service_account: bool,
    /// The number of the user that it belongs to, from 0.
    #[serde(default)]
    pub user: usize,
    /// The limit instead of `limits.rate_per_minute`. 0 removes it.
    #[serde(default)]
    pub rate_per_minute: Option<u32>,
    /// The numbers (from 0) of workspaces that have disabled the app: 401 for everything in them.
    #[serde(default)]
    pub unauthorized_workspaces: Vec<usize>,
    /// The numbers (from 0) of projects that the token can't access: 403 for them, and for what is only in them.
    #[serde(default)]
    pub hidden_projects: Vec<usize>,
}

impl TokenSpec {
    /// The token of a service account, which may read everything.
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

/// The single OAuth client, an application that is registered.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OAuth {
    /// The `client_id` that requests must have.
    pub client_id: String,
    /// The `client_secret` that requests must have. Default: the client has none, and may send none.
    #[serde(default)]
    pub client_secret: Option<String>,
    /// A refresh token that exists at the start. As those that codes are exchanged for, it may be used any number of
    /// times.
    pub refresh_token: String,
    /// The entry of `tokens` whose rights and budget the access tokens have.
    pub account: String,
    /// The life of an access token, by the simulated clock. Asana's is an hour.
    #[serde(default = "an_hour")]
    pub expires_in: Span,
    /// The registered redirect addresses, compared exactly. Default: the one of programs that receive no requests.
    #[serde(default = "out_of_band")]
    pub redirect_uris: Vec<String>,
    /// The scopes that the client may ask a user for. Default: full permissions.
    #[serde(default = "full_permissions")]
    pub scopes: Vec<String>,
    /// The life of a code, by the simulated clock. Asana's isn't known; RFC 6749 wants 10 minutes at most.
    #[serde(default = "a_minute")]
    pub code_life: Span,
}

impl OAuth {
    fn problem(&self, tokens: &[TokenSpec]) -> Option<String> {
        if !tokens.iter().any(|spec| spec.token == self.account) {
            return Some(format!("oauth.account: no token `{}`", self.account));
        }
        if self.client_secret.as_deref() == Some("") {
            return Some("oauth.client_secret: is empty; leave it out if the client has none".to_owned());
        }
        if self.scopes.iter().any(|scope| scope.is_empty() || scope.contains(' ')) {
            return Some("oauth.scopes: a scope is a word without spaces".to_owned());
        }
        let mut uris = self.redirect_uris.iter();
        uris.find_map(|uri| Some(format!("oauth.redirect_uris: `{uri}`: {}", Url::parse(uri).err()?)))
    }
}

fn an_hour() -> Span {
    Span(HOUR)
}

fn a_minute() -> Span {
    Span(Duration::from_secs(60))
}

fn out_of_band() -> Vec<String> {
    vec![OUT_OF_BAND.to_owned()]
}

fn full_permissions() -> Vec<String> {
    vec!["default".to_owned()]
}

/// The limits of each token. 0 or `null` removes a limit.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The maximum number of requests per minute. Asana allows 150 in free domains, and 1,500 in paid ones.
    pub rate_per_minute: Option<u32>,
    /// The maximum number of `GET`s in flight. Asana allows 50.
    pub concurrent_reads: Option<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { rate_per_minute: Some(1_500), concurrent_reads: Some(50) }
    }
}

impl Limits {
    /// No limits, for benchmarks and demonstrations.
    #[must_use]
    pub fn off() -> Self {
        Self { rate_per_minute: None, concurrent_reads: None }
    }
}

/// The maximum number of events for one sync token.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pages {
    /// For `/events`. Asana has 100.
    pub resource: usize,
    /// For `/workspaces/{gid}/events`. Asana has 1,000.
    pub workspace: usize,
}

impl Default for Pages {
    fn default() -> Self {
        Self { resource: 100, workspace: 1_000 }
    }
}

/// The limit above which pages of lists are too expensive.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weight {
    /// The maximum weight of a page: its `limit` (without one, the number of objects) times the weight of its objects.
    pub most: usize,
    /// The weight of one object, by the last part of the path (`tasks`, `subtasks`, `stories`). Default: 1.
    #[serde(default)]
    pub per: BTreeMap<String, usize>,
    /// The answer to a page that is too expensive.
    #[serde(default)]
    pub answer: HeavyPage,
    /// The real time until a 504, or the `Retry-After` of a 429, in whole seconds, at least one.
    #[serde(default = "two_seconds")]
    pub after: Span,
}

/// The answer to a page that is too expensive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeavyPage {
    /// A 504, after a delay.
    #[default]
    Timeout,
    /// A 429 with `Retry-After`, because of the cost.
    Throttle,
}

fn two_seconds() -> Span {
    Span(Duration::from_secs(2))
}

/// The answer to a sync token whose successor was used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SupersededTokens {
    /// A 412. Asana warns that an older token may fail.
    #[default]
    Refuse,
    /// The same page again.
    Serve,
}

/// The token that comes with a page of events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum NextToken {
    /// A new one. The old token is used up, and its page never changes.
    #[default]
    #[serde(rename = "new_token")]
    New,
    /// The same one, with a new life. Another poll with it also returns what happened since.
    #[serde(rename = "same_token")]
    Same,
}

/// Whether events have `type`, the deprecated copy of `resource.resource_type`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TypeField {
    /// Present, as in the API description.
    #[default]
    Present,
    /// Absent, as in webhook captures since 2021.
    Absent,
}

/// Whether answers have the header `Date`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DateHeader {
    /// Present, by the simulated clock.
    #[default]
    Stamped,
    /// Absent, as if a proxy had removed it.
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
