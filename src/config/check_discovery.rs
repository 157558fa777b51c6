//! Checks of the rules of discovery that the schema can't express.

use super::check::Check;
use super::checked::{CheckedDiscovery, CheckedRule, NamePattern};
use super::gid;
use super::problem::Place;
use super::{AccountConfig, ArchivedConfig, Config, RuleConfig};
use bridge_core::ids::Gid;
use bridge_core::outcome::list::{Listing, What};
use regex::Regex;
use std::collections::BTreeMap;
use std::time::Duration;

/// A shorter interval would be polling by lists.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

impl Check<'_> {
    pub(super) fn discovery(&mut self, config: &Config, place: &Place) -> CheckedDiscovery {
        if config.discovery.interval.0 < SHORTEST_INTERVAL {
            self.problem(&place.key("interval"), "must be at least `1s`");
        }
        let mut rules: Vec<(usize, CheckedRule)> = Vec::with_capacity(config.discovery.rules.len());
        for (index, rule) in config.discovery.rules.iter().enumerate() {
            let place = place.key("rules").item(index);
            let Some(rule) = self.rule(rule, &config.accounts, &place) else { continue };
            match rules.iter().find(|(_, same)| *same == rule) {
                Some((first, _)) => self.problem(&place, format!("is the same as discovery.rules[{first}]")),
                None => rules.push((index, rule)),
            }
        }
        let rules = rules.into_iter().map(|(_, rule)| rule).collect();
        CheckedDiscovery { interval: config.discovery.interval.0, rules }
    }

    fn rule(
        &mut self,
        rule: &RuleConfig,
        accounts: &BTreeMap<String, AccountConfig>,
        place: &Place,
    ) -> Option<CheckedRule> {
        let account = self.account_of(rule.account.as_deref(), accounts, place);
        let name = rule.name.as_deref().map(|pattern| self.pattern(pattern, &place.key("name")));
        let places = [
            ("workspace", &rule.workspace, What::WorkspaceProjects, gid::workspace as fn(&str) -> _),
            ("team", &rule.team, What::TeamProjects, gid::team),
            ("portfolio", &rule.portfolio, What::PortfolioItems, gid::portfolio),
            ("goals", &rule.goals, What::WorkspaceGoals, gid::workspace),
        ];
        self.at_most_one(place, &places.map(|(key, text, ..)| (key, text.is_some())));
        let set =
            |(key, text, what, gid): (_, &Option<String>, _, fn(&str) -> _)| Some((key, what, gid(text.as_ref()?)));
        let Some((key, what, gid)) = places.into_iter().find_map(set) else {
            self.problem(place, "needs one of `workspace`, `team`, `portfolio` and `goals`: where to look, such as `workspace: \"1100000000000001\"`");
            return None;
        };
        let gid = self.gid(gid, &place.key(key))?;
        if what == What::WorkspaceGoals && rule.archived == ArchivedConfig::Only {
            self.problem(&place.key("archived"), "leaves nothing: goals are never archived");
        }
        Some(CheckedRule {
            account: account?.into(),
            listing: Listing { of: Gid::from(gid.as_str()), what },
            // A pattern with a problem leaves no rule.
            name: name.map_or(Some(None), |pattern| pattern.map(Some))?,
            archived: rule.archived,
        })
    }

    fn pattern(&mut self, pattern: &str, place: &Place) -> Option<NamePattern> {
        // The library's message would quote it.
        let regex = Regex::new(pattern).ok();
        if regex.is_none() {
            self.problem(place, "is no regular expression: write one such as `^Team `, with `\\` before a `(`, `[`, `*` or `+` that means itself");
        }
        regex.map(NamePattern)
    }
}
