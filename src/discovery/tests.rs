//! Tests of rules, with a scripted source and a paused clock.

use super::rule::RETRY;
use super::*;
use crate::config::{self, Environment};
use bridge_contract::pb;
use bridge_core::ids::{Gid, StreamId, StreamKind, SyncToken};
use bridge_core::outcome::list::{Item, Listing};
use bridge_core::outcome::poll::{Denial, Failure, PollForm, Polled, Probed};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Mutex;
use tokio::time::Instant;

/// Answers each list from its own script, and records the time of each request.
#[derive(Debug, Default)]
struct Script {
    answers: Mutex<BTreeMap<Gid, VecDeque<ListOutcome>>>,
    asked: Mutex<Vec<(Instant, Gid, Option<String>)>>,
}

impl Script {
    fn answer(&self, of: &str, answers: impl IntoIterator<Item = ListOutcome>) {
        self.answers.lock().unwrap().entry(of.into()).or_default().extend(answers);
    }

    /// The objects of the requests from number `from` on.
    fn asked_since(&self, from: usize) -> Vec<String> {
        self.asked().into_iter().skip(from).map(|(_, of, _)| of.to_string()).collect()
    }

    fn asked(&self) -> Vec<(Instant, Gid, Option<String>)> {
        self.asked.lock().unwrap().clone()
    }
}

impl Source for Script {
    async fn poll(&self, _: &StreamId, _: StreamKind, _: Option<&SyncToken>, _: PollForm) -> Polled {
        panic!("discovery polls nothing")
    }

    async fn probe(&self, _: &AccountName) -> Probed {
        panic!("discovery doubts nobody")
    }

    async fn modified_tasks(
        &self,
        _: &AccountName,
        _: &Gid,
        _: chrono::DateTime<chrono::Utc>,
        _: Option<&str>,
    ) -> ListOutcome {
        panic!("discovery reads nothing again")
    }

    #[expect(clippy::disallowed_methods, reason = "time stands still in a test, but for who sleeps")]
    async fn list(&self, _: &AccountName, listing: &Listing, offset: Option<&str>, _: u8) -> ListOutcome {
        self.asked.lock().unwrap().push((Instant::now(), listing.of.clone(), offset.map(str::to_owned)));
        let mut answers = self.answers.lock().unwrap();
        let answer = answers.get_mut(&listing.of).and_then(VecDeque::pop_front);
        answer.unwrap_or(ListOutcome::Failed(Failure::TimedOut))
    }
}

fn item(gid: &str, state: &Value) -> Item {
    Item {
        resource: pb::Resource {
            gid: gid.to_owned(),
            resource_type: "project".to_owned(),
            name: None,
            resource_subtype: None,
        },
        state_json: state.to_string(),
        ..Item::default()
    }
}

fn page_of(items: Vec<Item>, next: Option<&str>) -> ListOutcome {
    let received_at = chrono::DateTime::UNIX_EPOCH;
    ListOutcome::Page(ListPage { items, unidentified: 0, next_offset: next.map(str::to_owned), received_at, bytes: 0 })
}

fn page(gids: &[&str], next: Option<&str>) -> ListOutcome {
    page_of(gids.iter().map(|gid| item(gid, &json!({}))).collect(), next)
}

/// The answer with the single project.
fn project(gid: &str, state: &Value) -> ListOutcome {
    page_of(vec![item(gid, state)], None)
}

/// Asana's answer for a deleted object.
const GONE: ListOutcome = ListOutcome::Denied(Denial::NotFound);

fn checked(rules: &Value) -> Checked {
    let document = json!({
        "accounts": { "main": { "token": { "env": "TOKEN" }, "requestsPerMinute": 1200 } },
        "discovery": { "interval": "10min", "rules": rules },
        "sink": { "console": {} },
        "replica": "test",
    });
    let source = config::Source { document: Some(document), ..config::Source::default() };
    config::load(&source, &Environment::of([("TOKEN", "x")])).unwrap()
}

fn gids(discovery: &Discovery<Script>) -> Vec<String> {
    let all: BTreeSet<_> = discovery.streams().map(|spec| spec.id.resource.to_string()).collect();
    all.into_iter().collect()
}

/// Whether nothing changes for this time.
async fn stays(discovery: &mut Discovery<Script>, time: Duration) -> bool {
    tokio::time::timeout(time, discovery.changed()).await.is_err()
}

/// Reads until all rules were read twice.
async fn complete(discovery: &mut Discovery<Script>) {
    while !discovery.is_complete() {
        discovery.changed().await;
    }
}

/// A discovery that has found these streams in workspace 1.
async fn knowing(script: &Arc<Script>, rules: &Value, gids: &[&str]) -> Discovery<Script> {
    let mut discovery = Discovery::new(&checked(rules), Arc::clone(script));
    script.answer("1", [page(gids, None), page(gids, None)]);
    complete(&mut discovery).await;
    discovery
}

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn what_is_found_comes_page_by_page_and_what_is_gone_goes_after_a_whole_look() {
    let script = Arc::new(Script::default());
    let mut discovery = Discovery::new(&checked(&json!([{ "workspace": "1" }])), Arc::clone(&script));
    assert!(!discovery.is_complete());
    script.answer("1", [page(&["10", "11"], Some("a")), page(&["12"], None)]);
    discovery.changed().await;
    assert_eq!((gids(&discovery), discovery.is_complete()), (vec!["10".into(), "11".into()], false));
    discovery.changed().await;
    assert_eq!((gids(&discovery), discovery.is_complete()), (vec!["10".into(), "11".into(), "12".into()], false));

    // 10 is gone, and a page fails meanwhile.
    script.answer("1", [page(&["11"], Some("b")), ListOutcome::Failed(Failure::TimedOut), page(&["12", "13"], None)]);
    script.answer("10", [GONE]);
    discovery.changed().await;
    assert_eq!(gids(&discovery), ["10", "11", "12", "13"]);
    discovery.changed().await;
    assert_eq!(gids(&discovery), ["11", "12", "13"]);
    assert!(discovery.is_complete(), "the second whole look");
    let asked = script.asked();
    let offsets: Vec<_> = asked.iter().map(|(_, _, offset)| offset.clone()).collect();
    let expected = [None, Some("a"), None, Some("b"), Some("b"), None].map(|offset| offset.map(str::to_owned));
    assert_eq!(offsets, expected, "what failed is asked for again");
    assert!(asked[2].0 - asked[1].0 >= 10 * MINUTE, "an interval between two looks");
    assert!(asked[4].0 - asked[3].0 >= RETRY.first / 2, "not at once");
}

#[tokio::test(start_paused = true)]
async fn a_failure_takes_nothing_away_and_an_empty_look_tells_that_it_was_whole() {
    let script = Arc::new(Script::default());
    let rules = json!([{ "workspace": "1" }, { "team": "2" }]);
    let mut discovery = Discovery::new(&checked(&rules), Arc::clone(&script));
    script.answer("1", [page(&["10"], None)]);
    script.answer("2", [ListOutcome::Denied(Denial::Forbidden)]);
    discovery.changed().await;
    assert_eq!((gids(&discovery), discovery.is_complete()), (vec!["10".into()], false));
    assert!(stays(&mut discovery, 24 * 60 * MINUTE).await, "nothing but failures");
    assert_eq!(gids(&discovery), ["10"]);
    let tries = script.asked().len();
    assert!(tries < 2 * (24 * 60 * 60 / 300 * 2 + 40), "{tries} tries in a day");

    script.answer("1", [page(&["10"], None)]);
    script.answer("2", [page(&[], None), page(&[], None)]);
    discovery.changed().await;
    while !discovery.is_complete() {
        discovery.changed().await;
    }
    assert_eq!(gids(&discovery), ["10"], "no other streams, but this is news");
}

#[tokio::test(start_paused = true)]
async fn a_list_that_comes_short_at_the_start_leaves_room_for_what_it_lacks() {
    let script = Arc::new(Script::default());
    let mut discovery = Discovery::new(&checked(&json!([{ "workspace": "1" }])), Arc::clone(&script));
    script.answer("1", [page(&[], None), page(&["10"], None)]);
    discovery.changed().await;
    assert_eq!(gids(&discovery), ["10"], "the first reading was whole, and isn't believed alone");
}

#[tokio::test(start_paused = true)]
async fn one_empty_list_ends_nothing_and_is_told() {
    let script = Arc::new(Script::default());
    let mut discovery = knowing(&script, &json!([{ "workspace": "1" }]), &["10", "11", "12"]).await;
    script.answer("1", [page(&[], None), page(&["10", "11", "12"], None)]);
    discovery.changed().await;
    assert_eq!(discovery.take_shrunk(), ["main".into()]);
    assert!(stays(&mut discovery, 5 * MINUTE).await);
    assert_eq!((gids(&discovery).len(), script.asked_since(2)), (3, vec!["1".to_owned(); 2]), "nobody was asked alone");
    assert_eq!(discovery.take_shrunk(), []);

    // Half of it is enough not to be told, and is read again all the same.
    script.answer("1", [page(&["10", "11"], None), page(&["12"], None)]);
    assert!(stays(&mut discovery, 10 * MINUTE).await);
    assert_eq!((gids(&discovery).len(), script.asked_since(4)), (3, vec!["1".to_owned(); 2]));
}

#[tokio::test(start_paused = true)]
async fn what_two_readings_lack_is_asked_alone_and_ends_by_its_own_answer_only() {
    let script = Arc::new(Script::default());
    let all = ["10", "11", "12", "13", "14", "15"];
    let mut discovery = knowing(&script, &json!([{ "workspace": "1" }]), &all).await;
    script.answer("1", [page(&["15"], None), page(&[], None)]);
    let here = json!({ "workspace": { "gid": "1" }, "archived": false });
    script.answer("10", [GONE]);
    script.answer("11", [project("11", &json!({ "workspace": { "gid": "1" }, "archived": true }))]);
    script.answer("12", [project("12", &here), project("12", &here)]);
    script.answer("13", [ListOutcome::Denied(Denial::Forbidden), GONE]);
    script.answer("14", [ListOutcome::Failed(Failure::TimedOut), project("14", &json!({}))]);
    discovery.changed().await;
    assert_eq!(discovery.take_shrunk().len(), 1);
    discovery.changed().await;
    assert_eq!(gids(&discovery), ["12", "13", "14", "15"]);
    assert_eq!(script.asked_since(2), ["1", "1", "10", "11", "12", "13", "14"]);

    // The next look asks again, without another reading. What can't tell ends only now.
    script.answer("1", [page(&["15"], None)]);
    discovery.changed().await;
    discovery.changed().await;
    assert_eq!(
        (gids(&discovery), script.asked_since(9)),
        (vec!["12".into(), "15".into()], vec!["1".into(), "12".into(), "13".into(), "14".into()])
    );
    let asked = script.asked();
    assert!(asked[9].0 - asked[8].0 >= 10 * MINUTE, "an interval between");
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_that_an_empty_list_lacks_are_asked_for_in_small_numbers() {
    let script = Arc::new(Script::default());
    let mut discovery = Discovery::new(&checked(&json!([{ "workspace": "1" }])), Arc::clone(&script));
    let all: Vec<_> = (100_000..110_000).map(|gid| gid.to_string()).collect();
    let pages = || {
        let pages = all.chunks(100).enumerate();
        pages.map(|(n, some)| page(&some.iter().map(String::as_str).collect::<Vec<_>>(), (n < 99).then_some("next")))
    };
    script.answer("1", pages().chain(pages()));
    complete(&mut discovery).await;
    let before = script.asked().len();
    assert_eq!(before, 200);

    // Twice in a row, and then it is whole again.
    script.answer("1", [page(&[], None), page(&[], None)].into_iter().chain(pages()));
    for gid in &all {
        script.answer(gid, [project(gid, &json!({ "workspace": { "gid": "1" } }))]);
    }
    discovery.changed().await;
    assert!(stays(&mut discovery, 30 * MINUTE).await);
    let asked = script.asked_since(before);
    assert_eq!(asked.iter().filter(|of| *of != "1").count(), 100);
    assert_eq!((&asked[..2], asked[2] == "1", asked[102] == "1"), (&["1".to_owned(), "1".to_owned()][..], false, true));
    assert_eq!(gids(&discovery).len(), 10_000);
}

#[tokio::test(start_paused = true)]
async fn a_portfolio_that_the_account_may_not_see_hides_what_was_in_it() {
    let script = Arc::new(Script::default());
    let mut discovery = Discovery::new(&checked(&json!([{ "portfolio": "1" }])), Arc::clone(&script));
    let portfolio = |gid| {
        let mut portfolio = item(gid, &json!({}));
        portfolio.resource.resource_type = "portfolio".to_owned();
        portfolio
    };
    let top = || page_of(vec![portfolio("2"), portfolio("3"), item("10", &json!({}))], None);
    script.answer("1", (0..6).map(|_| top()));
    script.answer("2", [page(&["20"], None), page(&["20"], None), ListOutcome::Denied(Denial::Forbidden)]);
    script.answer("3", [page(&["30"], None), page(&["30"], None), page(&["30", "31"], None)]);
    complete(&mut discovery).await;
    discovery.changed().await;
    assert_eq!(gids(&discovery), ["10", "20", "30", "31"], "the other one is read");
    assert!(stays(&mut discovery, 5 * MINUTE).await);

    // It is gone: what was in it ends after two looks, as no project knows its portfolios.
    script.answer("2", [GONE, GONE, GONE]);
    script.answer("3", [(); 3].map(|()| page(&["30", "31"], None)));
    script.answer("20", [(); 2].map(|()| project("20", &json!({}))));
    discovery.changed().await;
    assert_eq!(gids(&discovery), ["10", "30", "31"]);
    assert_eq!(script.asked_since(0).iter().filter(|of| *of == "20").count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stream_stays_as_long_as_a_rule_gives_it() {
    let script = Arc::new(Script::default());
    let rules = json!([{ "workspace": "1" }, { "team": "2" }]);
    let mut discovery = Discovery::new(&checked(&rules), Arc::clone(&script));
    let [has, lacks] = [&["10"][..], &[]].map(|gids| move || page(gids, None));
    script.answer("1", [has(), has(), lacks(), lacks(), lacks(), lacks()]);
    script.answer("2", [has(), has(), has(), lacks(), lacks()]);
    complete(&mut discovery).await;
    // First it leaves the workspace, then it is gone.
    script.answer("10", [project("10", &json!({ "workspace": { "gid": "9" } })), GONE]);
    while script.asked_since(0).iter().all(|of| of != "10") {
        discovery.changed().await;
    }
    assert_eq!(gids(&discovery), ["10"], "the team has it");
    while !gids(&discovery).is_empty() {
        discovery.changed().await;
    }
    assert_eq!(script.asked_since(0).iter().filter(|of| *of == "10").count(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_budget_is_kept_and_a_rate_limit_waited_for() {
    let script = Arc::new(Script::default());
    let mut discovery = Discovery::new(&checked(&json!([{ "workspace": "1" }])), Arc::clone(&script));
    let offsets: Vec<_> = (0..300).map(|n| n.to_string()).collect();
    script.answer("1", offsets.iter().map(|offset| page(&[], Some(offset))));
    script.answer("1", [ListOutcome::Throttled { retry_after: 5 * MINUTE }, page(&["10"], None)]);
    discovery.changed().await;
    let asked: Vec<_> = script.asked().into_iter().map(|(at, ..)| at).collect();
    // A twentieth of 1,200.
    let busiest = asked.iter().map(|from| asked.iter().filter(|at| **at >= *from && **at < *from + MINUTE).count());
    let busiest = busiest.max().unwrap();
    assert!((40..=60).contains(&busiest), "{busiest}");
    assert!(asked[301] - asked[300] >= 5 * MINUTE);
}

#[tokio::test(start_paused = true)]
async fn an_expired_offset_begins_the_list_anew() {
    let script = Arc::new(Script::default());
    let mut discovery = Discovery::new(&checked(&json!([{ "workspace": "1" }])), Arc::clone(&script));
    script.answer("1", [page(&["10"], Some("a")), ListOutcome::OffsetExpired, page(&["10", "11"], None)]);
    discovery.changed().await;
    discovery.changed().await;
    assert_eq!(gids(&discovery), ["10", "11"]);
    assert_eq!(script.asked().last().unwrap().2, None);
}

#[tokio::test(start_paused = true)]
async fn a_new_configuration_replaces_the_rules_without_a_gap() {
    let script = Arc::new(Script::default());
    let mut discovery = Discovery::new(&checked(&json!([{ "workspace": "1" }, { "team": "2" }])), Arc::clone(&script));
    script.answer("1", [(); 2].map(|()| page(&["10", "11"], None)));
    script.answer("2", [(); 2].map(|()| page(&["20"], None)));
    complete(&mut discovery).await;

    // A rule goes: so do its streams, at once, and the other one isn't asked again.
    discovery.follow(&checked(&json!([{ "workspace": "1" }])), Arc::clone(&script));
    assert_eq!((gids(&discovery), discovery.is_complete()), (vec!["10".into(), "11".into()], true));
    assert_eq!(script.asked().len(), 4);

    // A rule takes the place of another: what that one gave stays until it had its looks.
    discovery.follow(&checked(&json!([{ "workspace": "1", "archived": "include" }])), Arc::clone(&script));
    assert_eq!((gids(&discovery), discovery.is_complete()), (vec!["10".into(), "11".into()], false));
    script.answer("1", [page(&["11"], Some("a")), page(&["12"], None), page(&["11", "12"], None)]);
    complete(&mut discovery).await;
    assert_eq!(gids(&discovery), ["11", "12"]);
}
