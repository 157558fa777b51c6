//! The answer to a request for a single object, and what it means for a rule. No IO.

use super::pass::is_of_type;
use crate::config::{ArchivedConfig, CheckedRule, NamePattern};
use bridge_core::ids::Gid;
use bridge_core::outcome::list::{Item, ListOutcome, Listing, What};
use bridge_core::outcome::poll::Denial;
use serde::Deserialize;

/// What one answer means for one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The object is gone, or shows that the rule doesn't find it any more.
    Ends,
    /// The object shows that the rule still finds it.
    Stays,
    /// The object exists, but only the rule's lists show whether the rule finds it.
    CannotTell,
    /// Asana doesn't show the object to the account: nothing is known.
    Refused,
    /// There was no usable answer.
    Failed,
}

/// The fields that are read of an object, besides its type and name.
#[derive(Deserialize)]
struct Shown {
    archived: Option<bool>,
    workspace: Option<Reference>,
    team: Option<Reference>,
}

#[derive(Deserialize)]
struct Reference {
    gid: String,
}

/// The request for the single object `resource`, which `rule` found earlier.
pub(super) fn listing(rule: &CheckedRule, resource: &Gid) -> Listing {
    let what = if rule.listing.what == What::WorkspaceGoals { What::Goal } else { What::Project };
    Listing { of: resource.clone(), what }
}

/// What `outcome` means for `resource`, which no list of `rule` showed.
pub(super) fn verdict(rule: &CheckedRule, resource: &Gid, outcome: &ListOutcome) -> Verdict {
    match outcome {
        ListOutcome::Page(page) => {
            let asked_for = page.items.iter().find(|item| item.resource.gid == resource.as_str());
            asked_for.map_or(Verdict::Failed, |item| of_item(rule, item))
        }
        ListOutcome::Denied(Denial::NotFound) => Verdict::Ends,
        ListOutcome::Denied(denial) if !denial.may_concern_account() => Verdict::Refused,
        ListOutcome::Denied(_)
        | ListOutcome::OffsetExpired
        | ListOutcome::CutOff
        | ListOutcome::Throttled { .. }
        | ListOutcome::Failed(_) => Verdict::Failed,
    }
}

fn of_item(rule: &CheckedRule, item: &Item) -> Verdict {
    let Ok(shown) = serde_json::from_str::<Shown>(&item.state_json) else { return Verdict::CannotTell };
    if !is_of_type(rule, item) || is_left_out(rule, item, &shown) {
        return Verdict::Ends;
    }
    let is_here = |place: Option<Reference>| place.map(|place| place.gid == rule.listing.of.as_str());
    let lies_here = match rule.listing.what {
        What::WorkspaceProjects | What::WorkspaceGoals => is_here(shown.workspace),
        // A project of another team may be shared with this one.
        What::TeamProjects => is_here(shown.team).filter(|is_here| *is_here),
        What::PortfolioItems
        | What::Project
        | What::Task
        | What::Goal
        | What::Sections
        | What::Tasks
        | What::Subtasks
        | What::TaskStories
        | What::GoalStories
        | What::Attachments
        | What::Section
        | What::Story
        | What::Attachment
        | What::SectionsToSplit
        | What::SectionTasks
        | What::TeamsToSplit => None,
    };
    match lies_here {
        Some(true) => Verdict::Stays,
        Some(false) => Verdict::Ends,
        None => Verdict::CannotTell,
    }
}

/// Whether the rule excludes the object. Fields that the answer doesn't have exclude nothing.
fn is_left_out(rule: &CheckedRule, item: &Item, shown: &Shown) -> bool {
    let archived = match rule.archived {
        ArchivedConfig::Exclude => shown.archived == Some(true),
        ArchivedConfig::Only => shown.archived == Some(false),
        ArchivedConfig::Include => false,
    };
    let matches = |pattern: &NamePattern| item.resource.name.as_deref().is_none_or(|name| pattern.0.is_match(name));
    archived || !rule.name.as_ref().is_none_or(matches)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bridge_contract::pb;
    use bridge_core::outcome::list::ListPage;
    use bridge_core::outcome::poll::Failure;
    use serde_json::{Value, json};
    use std::time::Duration;

    fn rule(what: What) -> CheckedRule {
        CheckedRule {
            account: "main".into(),
            listing: Listing { of: "1".into(), what },
            name: None,
            archived: ArchivedConfig::Exclude,
        }
    }

    /// As Asana returns it, of type project unless it says another.
    fn page(state: &Value) -> ListOutcome {
        let or = |key: &str, default: &str| state[key].as_str().unwrap_or(default).to_owned();
        let resource = pb::Resource {
            gid: or("gid", "10"),
            resource_type: or("resource_type", "project"),
            name: state["name"].as_str().map(str::to_owned),
            resource_subtype: None,
        };
        let item =
            Item { resource, state_json: state.to_string(), archived: state["archived"] == true, ..Item::default() };
        let received_at = chrono::DateTime::UNIX_EPOCH;
        ListOutcome::Page(ListPage { items: vec![item], unidentified: 0, next_offset: None, received_at, bytes: 0 })
    }

    fn of(rule: &CheckedRule, state: &Value) -> Verdict {
        verdict(rule, &"10".into(), &page(state))
    }

    #[test]
    fn only_a_404_or_the_object_itself_ends_a_stream() {
        let rule = rule(What::WorkspaceProjects);
        let verdict = |outcome| verdict(&rule, &"10".into(), &outcome);
        assert_eq!(verdict(ListOutcome::Denied(Denial::NotFound)), Verdict::Ends);
        for denial in [Denial::Forbidden, Denial::PaymentRequired, Denial::BadRequest, Denial::OtherStatus(410)] {
            assert_eq!(verdict(ListOutcome::Denied(denial)), Verdict::Refused, "{denial:?}");
        }
        for outcome in [
            ListOutcome::Denied(Denial::Unauthorized),
            ListOutcome::Denied(Denial::LegalBlock),
            ListOutcome::OffsetExpired,
            ListOutcome::Throttled { retry_after: Duration::ZERO },
            ListOutcome::Failed(Failure::TimedOut),
            page(&json!({ "gid": "11", "workspace": { "gid": "2" } })),
        ] {
            assert_eq!(verdict(outcome.clone()), Verdict::Failed, "{outcome:?}");
        }
    }

    #[test]
    fn a_project_and_a_goal_tell_their_workspace_and_a_project_mostly_its_team() {
        let [here, elsewhere] = ["1", "2"].map(|gid| json!({ "gid": gid }));
        let workspace = rule(What::WorkspaceProjects);
        assert_eq!(of(&workspace, &json!({ "workspace": here })), Verdict::Stays);
        assert_eq!(of(&workspace, &json!({ "workspace": elsewhere })), Verdict::Ends);
        assert_eq!(of(&workspace, &json!({ "team": here })), Verdict::CannotTell, "it doesn't say");
        let goals = rule(What::WorkspaceGoals);
        let goal = |workspace: &Value| json!({ "resource_type": "goal", "workspace": workspace });
        assert_eq!(of(&goals, &goal(&here)), Verdict::Stays);
        assert_eq!(of(&goals, &goal(&elsewhere)), Verdict::Ends);
        let team = rule(What::TeamProjects);
        assert_eq!(of(&team, &json!({ "team": here })), Verdict::Stays);
        assert_eq!(of(&team, &json!({ "team": elsewhere })), Verdict::CannotTell, "it may be shared");
        assert_eq!(of(&team, &json!({ "team": null })), Verdict::CannotTell);
        let portfolio = rule(What::PortfolioItems);
        assert_eq!(of(&portfolio, &json!({ "team": here, "workspace": here })), Verdict::CannotTell);
        assert_eq!(of(&workspace, &json!({ "workspace": "1" })), Verdict::CannotTell, "of another shape");
    }

    #[test]
    fn an_object_says_itself_that_a_rule_leaves_it_out() {
        use ArchivedConfig::{Exclude, Include, Only};

        let here = json!({ "gid": "1" });
        let project = |archived: Option<bool>, name: Option<&str>| json!({ "archived": archived, "name": name, "workspace": here });
        let workspace = |archived| CheckedRule { archived, ..rule(What::WorkspaceProjects) };
        for (kept, archived, expected) in [
            (Exclude, Some(true), Verdict::Ends),
            (Exclude, Some(false), Verdict::Stays),
            (Exclude, None, Verdict::Stays),
            (Only, Some(true), Verdict::Stays),
            (Only, Some(false), Verdict::Ends),
            (Only, None, Verdict::Stays),
            (Include, Some(true), Verdict::Stays),
        ] {
            assert_eq!(of(&workspace(kept), &project(archived, None)), expected, "{kept:?} {archived:?}");
        }
        let named = CheckedRule { name: Some(NamePattern("^Team".parse().unwrap())), ..workspace(Include) };
        assert_eq!(of(&named, &project(None, Some("Team A"))), Verdict::Stays);
        assert_eq!(of(&named, &project(None, Some("A Team"))), Verdict::Ends);
        assert_eq!(of(&named, &project(None, None)), Verdict::Stays);
        let archived = json!({ "archived": true });
        assert_eq!(of(&rule(What::PortfolioItems), &archived), Verdict::Ends, "whatever portfolio it is in");
        assert_eq!(of(&named, &json!({ "resource_type": "goal", "workspace": here })), Verdict::Ends);
    }

    #[test]
    fn each_is_asked_for_as_what_it_is() {
        let resource = Gid::from("10");
        for (what, expected) in [
            (What::WorkspaceProjects, What::Project),
            (What::TeamProjects, What::Project),
            (What::PortfolioItems, What::Project),
            (What::WorkspaceGoals, What::Goal),
        ] {
            assert_eq!(listing(&rule(what), &resource), Listing { of: resource.clone(), what: expected });
        }
    }
}
