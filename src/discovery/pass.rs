//! One reading of all lists of a rule, page by page. No IO.

use crate::config::{ArchivedConfig, CheckedRule};
use bridge_core::engine::StreamSpec;
use bridge_core::ids::{Gid, StreamId, StreamKind};
use bridge_core::outcome::list::{Item, ListPage, Listing, What};
use bridge_core::outcome::poll::Denial;
use std::collections::{BTreeSet, VecDeque};

/// The maximum depth of portfolios within portfolios. Asana's own limit isn't documented.
const DEEPEST: usize = 10;

/// The state of a reading.
#[derive(Clone, Debug)]
pub(super) struct Pass {
    /// The lists that aren't read to their end, each with its depth. The first one is being read.
    open: VecDeque<(Listing, usize)>,
    /// The offset of its next page.
    offset: Option<String>,
    /// Portfolios that are or were in `open`. Portfolios may contain each other.
    portfolios: BTreeSet<Gid>,
    /// The streams that were found so far.
    pub(super) found: BTreeSet<StreamSpec>,
    /// The number of pages that were read.
    pub(super) pages: usize,
    /// The number of portfolios that are too deep.
    pub(super) too_deep: usize,
    /// The number of portfolios within others that the account can't access.
    pub(super) hidden: usize,
}

impl Pass {
    pub(super) fn new(rule: &CheckedRule) -> Self {
        Self {
            open: VecDeque::from([(rule.listing.clone(), 0)]),
            offset: None,
            portfolios: BTreeSet::from([rule.listing.of.clone()]),
            found: BTreeSet::new(),
            pages: 0,
            too_deep: 0,
            hidden: 0,
        }
    }

    /// A second reading. It keeps the streams that this one found.
    pub(super) fn again(self, rule: &CheckedRule) -> Self {
        Self { found: self.found, ..Self::new(rule) }
    }

    /// The next list to read, and its offset; `None` at the end.
    pub(super) fn next(&self) -> Option<(&Listing, Option<&str>)> {
        self.open.front().map(|(listing, _)| (listing, self.offset.as_deref()))
    }

    /// Takes the page that was read.
    pub(super) fn take(&mut self, rule: &CheckedRule, page: ListPage) {
        self.pages += 1;
        let depth = self.open.front().map_or(0, |(_, depth)| *depth);
        for item in page.items {
            if item.resource.resource_type == "portfolio" {
                self.descend(item.resource.gid.into(), depth + 1);
            } else if is_wanted(rule, &item) {
                let id = StreamId::new(rule.account.clone(), item.resource.gid);
                self.found.insert(StreamSpec { id, kind: StreamKind::Resource });
            }
        }
        self.offset = page.next_offset;
        if self.offset.is_none() {
            self.open.pop_front();
        }
    }

    /// Starts the current list again. Its streams so far are kept.
    pub(super) fn restart_list(&mut self) {
        self.offset = None;
    }

    /// Skips the current list, because Asana refused it. Returns whether the others can be read without it, which isn't
    /// so for the rule's own list.
    pub(super) fn leave_out(&mut self, denial: Denial) -> bool {
        let is_of_rule = self.open.front().is_none_or(|(_, depth)| *depth == 0);
        if is_of_rule || denial.may_concern_account() {
            return false;
        }
        self.open.pop_front();
        self.offset = None;
        // A deleted portfolio contains nothing.
        self.hidden += usize::from(denial != Denial::NotFound);
        true
    }

    fn descend(&mut self, portfolio: Gid, depth: usize) {
        if depth > DEEPEST {
            self.too_deep += 1;
        } else if self.portfolios.insert(portfolio.clone()) {
            self.open.push_back((Listing { of: portfolio, what: What::PortfolioItems }, depth));
        }
    }
}

pub(super) fn is_of_type(rule: &CheckedRule, item: &Item) -> bool {
    item.resource.resource_type == if rule.listing.what == What::WorkspaceGoals { "goal" } else { "project" }
}

fn is_wanted(rule: &CheckedRule, item: &Item) -> bool {
    let kept = match rule.archived {
        ArchivedConfig::Exclude => !item.archived,
        ArchivedConfig::Include => true,
        ArchivedConfig::Only => item.archived,
    };
    let name = item.resource.name.as_deref().unwrap_or_default();
    is_of_type(rule, item) && kept && rule.name.as_ref().is_none_or(|pattern| pattern.0.is_match(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NamePattern;
    use bridge_contract::pb;

    fn rule(what: What) -> CheckedRule {
        CheckedRule {
            account: "main".into(),
            listing: Listing { of: "1".into(), what },
            name: None,
            archived: ArchivedConfig::Exclude,
        }
    }

    fn item(kind: &str, gid: &str, name: &str, archived: bool) -> Item {
        let resource = pb::Resource {
            gid: gid.to_owned(),
            resource_type: kind.to_owned(),
            name: Some(name.to_owned()),
            resource_subtype: None,
        };
        Item { resource, archived, ..Item::default() }
    }

    fn page(items: Vec<Item>, next: Option<&str>) -> ListPage {
        let received_at = chrono::DateTime::UNIX_EPOCH;
        ListPage { items, unidentified: 0, next_offset: next.map(str::to_owned), received_at, bytes: 0 }
    }

    fn project(gid: &str) -> Item {
        item("project", gid, gid, false)
    }

    fn portfolio(gid: &str) -> Item {
        item("portfolio", gid, gid, false)
    }

    fn gids(pass: &Pass) -> Vec<&str> {
        pass.found.iter().map(|spec| spec.id.resource.as_str()).collect()
    }

    #[test]
    fn pages_follow_each_other_and_a_list_can_begin_anew() {
        let rule = rule(What::WorkspaceProjects);
        let mut pass = Pass::new(&rule);
        assert_eq!(pass.next(), Some((&rule.listing, None)));
        pass.take(&rule, page(vec![project("10"), project("11")], Some("a")));
        assert_eq!(pass.next(), Some((&rule.listing, Some("a"))));
        pass.restart_list();
        assert_eq!(pass.next(), Some((&rule.listing, None)));
        pass.take(&rule, page(vec![project("11")], Some("b")));
        pass.take(&rule, page(vec![project("12")], None));
        assert_eq!(pass.next(), None);
        assert_eq!((gids(&pass), pass.pages), (vec!["10", "11", "12"], 3));
    }

    #[test]
    fn a_rule_chooses_by_type_name_and_archived() {
        use ArchivedConfig::{Exclude, Include, Only};

        let items = || {
            vec![
                item("project", "10", "Team A", false),
                item("project", "11", "Team B", true),
                item("project", "12", "A Team", false),
                item("goal", "13", "Team goal", false),
                item("project_template", "14", "Team T", false),
            ]
        };
        let found = |what, name: Option<&str>, archived| {
            let name = name.map(|pattern| NamePattern(pattern.parse().unwrap()));
            let rule = CheckedRule { name, archived, ..rule(what) };
            let mut pass = Pass::new(&rule);
            pass.take(&rule, page(items(), None));
            gids(&pass).into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(found(What::WorkspaceProjects, None, Exclude), ["10", "12"]);
        assert_eq!(found(What::TeamProjects, None, Include), ["10", "11", "12"]);
        assert_eq!(found(What::TeamProjects, None, Only), ["11"]);
        assert_eq!(found(What::WorkspaceProjects, Some("^Team"), Include), ["10", "11"]);
        assert_eq!(found(What::WorkspaceGoals, None, Exclude), ["13"]);
        assert_eq!(found(What::WorkspaceGoals, Some("^A"), Exclude), [""; 0]);
    }

    #[test]
    fn portfolios_are_descended_into_once_each() {
        let rule = rule(What::PortfolioItems);
        let mut pass = Pass::new(&rule);
        pass.take(&rule, page(vec![portfolio("2"), project("10")], Some("more")));
        assert_eq!(pass.next(), Some((&rule.listing, Some("more"))), "a list is read to its end first");
        pass.take(&rule, page(vec![portfolio("3"), portfolio("2")], None));
        let mut read = Vec::new();
        while let Some((listing, offset)) = pass.next() {
            assert_eq!((listing.what, offset), (What::PortfolioItems, None));
            let of = listing.of.to_string();
            // Each contains itself, the other, and the first.
            let items = vec![portfolio("1"), portfolio("2"), portfolio("3"), project(&format!("2{of}"))];
            pass.take(&rule, page(items, None));
            read.push(of);
        }
        assert_eq!(read, ["2", "3"]);
        assert_eq!(gids(&pass), ["10", "22", "23"]);
    }

    #[test]
    fn a_portfolio_that_is_refused_hides_only_itself() {
        let rule = rule(What::PortfolioItems);
        let mut pass = Pass::new(&rule);
        assert!(!pass.leave_out(Denial::NotFound), "it is the rule's own");
        pass.take(&rule, page(vec![portfolio("2"), portfolio("3"), portfolio("4")], None));
        assert!(!pass.leave_out(Denial::Unauthorized), "it speaks of the account");
        assert!(pass.leave_out(Denial::Forbidden) && pass.leave_out(Denial::NotFound));
        pass.take(&rule, page(vec![project("40")], None));
        assert_eq!((gids(&pass), pass.next(), pass.hidden), (vec!["40"], None, 1), "what is gone isn't hidden");
        let again = pass.again(&rule);
        assert_eq!((gids(&again), again.next(), again.hidden), (vec!["40"], Some((&rule.listing, None)), 0));
    }

    #[test]
    fn portfolios_have_a_bottom() {
        let rule = rule(What::PortfolioItems);
        let (mut pass, mut read) = (Pass::new(&rule), 0);
        while pass.next().is_some() {
            read += 1;
            pass.take(&rule, page(vec![portfolio(&format!("{}", 100 + read))], None));
        }
        assert_eq!((read, pass.too_deep), (DEEPEST + 1, 1));
    }
}
