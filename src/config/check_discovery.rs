//! Checks of the rules of discovery that the schema can't express.

use super::check::{Check, is_gid};
use super::checked::{CheckedDiscovery, CheckedRule, NamePattern};
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
            self.problem(&place.key("interval"), "must be 1s at least");
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
            ("workspace", &rule.workspace, What::WorkspaceProjects),
            ("team", &rule.team, What::TeamProjects),
            ("portfolio", &rule.portfolio, What::PortfolioItems),
            ("goals", &rule.goals, What::WorkspaceGoals),
        ];
        self.at_most_one(place, &places.map(|(key, gid, _)| (key, gid.is_some())));
        let Some((key, gid, what)) = places.into_iter().find_map(|(key, gid, what)| Some((key, gid.as_ref()?, what)))
        else {
            self.problem(place, "needs one of `workspace`, `team`, `portfolio` and `goals`: where to look");
            return None;
        };
        if !is_gid(gid) {
            self.problem(&place.key(key), "is no gid: it is the long number in the address of the page in Asana");
            return None;
        }
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
            self.problem(place, "is no regular expression in the syntax of the Rust crate `regex`");
        }
        regex.map(NamePattern)
    }
}
