//! Reading objects and lists of Asana: against a scripted server, and against the simulator.

use crate::scripted_http::{ScriptedHttp, Step, answer, bytes, head};
use asana_event_bridge::asana::{Accounts, Client, Source};
use asana_event_bridge::config::{CheckedAccount, Credential, Secret, SecretSource};
use asana_simulator::{Options, Scenario, Simulator};
use bridge_core::ids::Gid;
use bridge_core::outcome::list::{Item, ListOutcome, ListPage, Listing, MOST_ON_A_PAGE, What};
use bridge_core::outcome::poll::{Denial, Failure};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

const EMPTY: &str = r#"{"data":[],"next_page":null}"#;

/// Each kind of listing, and its path in Asana's description; an object has the fields of its list.
const ALL: [(What, &str); 13] = [
    (What::Project, "/workspaces/{workspace_gid}/projects"),
    (What::Task, "/projects/{project_gid}/tasks"),
    (What::Goal, "/goals"),
    (What::Sections, "/projects/{project_gid}/sections"),
    (What::Tasks, "/projects/{project_gid}/tasks"),
    (What::Subtasks, "/tasks/{task_gid}/subtasks"),
    (What::TaskStories, "/tasks/{task_gid}/stories"),
    (What::GoalStories, "/goals/{goal_gid}/stories"),
    (What::Attachments, "/attachments"),
    (What::WorkspaceProjects, "/workspaces/{workspace_gid}/projects"),
    (What::TeamProjects, "/teams/{team_gid}/projects"),
    (What::PortfolioItems, "/portfolios/{portfolio_gid}/items"),
    (What::WorkspaceGoals, "/goals"),
];

fn account(url: &str, timeout: Duration) -> CheckedAccount {
    CheckedAccount {
        name: "main".into(),
        credential: Credential::Token(SecretSource::Text(Secret::from("simulator".to_owned()))),
        base_url: format!("{url}/api/1.0").parse().unwrap(),
        ca_file: None,
        proxy: None,
        request_timeout: timeout,
        requests_per_minute: NonZeroU32::new(1500).unwrap(),
        max_in_flight: NonZeroU16::new(8).unwrap(),
        headers: reqwest::header::HeaderMap::new(),
    }
}

fn client(url: &str) -> Client {
    Client::new(account(url, Duration::from_secs(20))).unwrap()
}

fn listing(what: What, of: &str) -> Listing {
    Listing { of: Gid::from(of), what }
}

fn page(outcome: ListOutcome) -> ListPage {
    let ListOutcome::Page(page) = outcome else { panic!("no page: {outcome:?}") };
    page
}

/// What a listing makes of one answer.
async fn outcome_of(step: Step, what: What, offset: Option<&str>) -> ListOutcome {
    let server = ScriptedHttp::start([step]).await;
    let outcome = client(server.url()).list(&listing(what, "12"), offset, MOST_ON_A_PAGE).await;
    server.finish();
    outcome
}

// Requests

#[tokio::test]
async fn each_listing_has_its_path_and_names_the_fields_that_asana_describes() {
    let description = include_str!("../../crates/simulator/tests/openapi/asana-openapi-events.yaml");
    let description: Value = serde_saphyr::from_str(description).unwrap();
    for (what, template) in ALL {
        let server = ScriptedHttp::start([answer(404, &[], "{}")]).await;
        client(server.url()).list(&listing(what, "12"), None, MOST_ON_A_PAGE).await;
        let request = server.finish().remove(0);
        let path = request.target().split('?').next().unwrap().to_owned();
        let mut pairs: BTreeMap<_, _> = request.pairs().into_iter().collect();
        let expected = match what {
            What::Project => "/projects/12".to_owned(),
            What::Task => "/tasks/12".to_owned(),
            What::Goal => "/goals/12".to_owned(),
            _ => template
                .split('/')
                .map(|part| if part.starts_with('{') { "12" } else { part })
                .collect::<Vec<_>>()
                .join("/"),
        };
        assert_eq!(path, format!("/api/1.0{expected}"), "{what:?}");
        let fields = pairs.remove("opt_fields").unwrap();
        let parameters = description["paths"][template]["get"]["parameters"].as_array().unwrap();
        let described = parameters.iter().find(|parameter| parameter["name"] == "opt_fields").unwrap();
        let described = described["schema"]["items"]["enum"].as_array().unwrap();
        let described: BTreeSet<_> = described.iter().map(|field| field.as_str().unwrap()).collect();
        let named: Vec<_> = fields.split(',').collect();
        for field in &named {
            let a_type = field.ends_with("resource_type");
            assert!(a_type || described.contains(field), "{what:?}: {field} isn't described");
        }
        assert!(named.contains(&"resource_type"), "{what:?}");
        assert_eq!(named.len(), named.iter().collect::<BTreeSet<_>>().len(), "{what:?} names a field twice");
        let expected: &[(&str, &str)] = match what {
            What::Project | What::Task | What::Goal => &[],
            What::Attachments => &[("limit", "100"), ("parent", "12")],
            What::WorkspaceGoals => &[("limit", "100"), ("workspace", "12")],
            _ => &[("limit", "100")],
        };
        let expected: BTreeMap<_, _> =
            expected.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        assert_eq!(pairs, expected, "{what:?}");
    }
}

#[tokio::test]
async fn an_offset_arrives_as_it_was_given() {
    let server = ScriptedHttp::start([answer(200, &[], EMPTY)]).await;
    let offset = "eyJ0+/=&limit=1 é%20";
    client(server.url()).list(&listing(What::Tasks, "12"), Some(offset), MOST_ON_A_PAGE).await;
    let request = server.finish().remove(0);
    assert!(request.pairs().contains(&("offset".to_owned(), offset.to_owned())), "{}", request.target());
    assert_eq!(request.header("authorization"), Some("Bearer simulator"));
}

#[tokio::test]
async fn accounts_read_with_their_own_client() {
    let server = ScriptedHttp::start([answer(200, &[], EMPTY)]).await;
    let accounts = Accounts::new([account(server.url(), Duration::from_secs(20))]).unwrap();
    let tasks = listing(What::Tasks, "12");
    assert_eq!(page(accounts.list(&"main".into(), &tasks, None, MOST_ON_A_PAGE).await).items, []);
    let ListOutcome::Failed(Failure::Credential(text)) =
        accounts.list(&"other".into(), &tasks, None, MOST_ON_A_PAGE).await
    else {
        panic!("an account that isn't there")
    };
    assert_eq!(text, "there is no account other");
    server.finish();
}

// Answers

#[tokio::test]
async fn a_page_is_read_byte_for_byte() {
    let text = r#"{ "gid":"1","resource_type":"task" , "strange":1e400}"#;
    let body = format!(r#"{{"data":[{text}],"next_page":{{"offset":"next","path":"p","uri":"u"}}}}"#);
    let page = page(outcome_of(answer(200, &[], &body), What::Tasks, None).await);
    assert_eq!(page.items[0].state_json, text);
    assert_eq!(page.next_offset.as_deref(), Some("next"));
    assert_eq!(page.bytes, body.len());
    assert!(std::time::SystemTime::from(page.received_at).elapsed().unwrap() < Duration::from_secs(60));
}

#[tokio::test]
async fn a_400_is_the_offsets_end_only_where_there_was_one() {
    let expired = r#"{"errors":[{"message":"offset: Your pagination token has expired."}]}"#;
    assert_eq!(outcome_of(answer(400, &[], expired), What::Tasks, Some("old")).await, ListOutcome::OffsetExpired);
    let cut = r#"{"errors":[{"message":"The list is too long: split it."}]}"#;
    assert_eq!(outcome_of(answer(400, &[], cut), What::Tasks, Some("old")).await, ListOutcome::CutOff);
    let gateways = outcome_of(answer(400, &[], "<html>"), What::Tasks, Some("old")).await;
    assert!(matches!(gateways, ListOutcome::Failed(_)), "{gateways:?}");
    let bad = ListOutcome::Denied(Denial::BadRequest);
    assert_eq!(outcome_of(answer(400, &[], expired), What::Tasks, None).await, bad);
}

#[tokio::test]
async fn refusals_are_those_of_a_poll() {
    for (status, denial) in [
        (401, Denial::Unauthorized),
        (402, Denial::PaymentRequired),
        (403, Denial::Forbidden),
        (404, Denial::NotFound),
        (412, Denial::OtherStatus(412)),
        (451, Denial::LegalBlock),
    ] {
        let refusal = r#"{"errors":[{"message":"no"}]}"#;
        let outcome = outcome_of(answer(status, &[], refusal), What::Tasks, Some("next")).await;
        assert_eq!(outcome, ListOutcome::Denied(denial), "{status}");
        let outcome = outcome_of(answer(status, &[], "<html>"), What::Tasks, Some("next")).await;
        assert!(matches!(outcome, ListOutcome::Failed(_)), "a gateway's {status}: {outcome:?}");
    }
    for status in [429, 424] {
        let refusal = r#"{"errors":[{"message":"no"}]}"#;
        let outcome = outcome_of(answer(status, &[("retry-after", "7")], refusal), What::Tasks, None).await;
        assert_eq!(outcome, ListOutcome::Throttled { retry_after: Duration::from_secs(7) }, "{status}");
    }
    let sad = r#"{"errors":[{"message":"Server Error","phrase":"6 sad squid snuggle softly"}]}"#;
    let phrase = Some("6 sad squid snuggle softly".to_owned());
    let outcome = outcome_of(answer(500, &[], sad), What::Tasks, None).await;
    assert_eq!(outcome, ListOutcome::Failed(Failure::Server { status: 500, phrase }));
    let outcome = outcome_of(answer(504, &[], "<html>"), What::Tasks, None).await;
    assert!(
        matches!(outcome, ListOutcome::Failed(Failure::Server { status: 504, .. } | Failure::Gateway { status: 504 })),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn what_is_no_list_is_malformed() {
    for body in ["", "<html>", "[]", r#"{"data":7}"#] {
        let outcome = outcome_of(answer(200, &[], body), What::Tasks, None).await;
        assert!(matches!(outcome, ListOutcome::Failed(Failure::Malformed(_))), "{body}: {outcome:?}");
    }
}

#[tokio::test]
async fn time_and_size_are_bounded() {
    let cut = bytes(200, &[], EMPTY);
    let cut = cut[..cut.len() - 4].to_vec();
    let outcome = outcome_of(Step::Send(cut.clone()), What::Tasks, None).await;
    assert!(matches!(outcome, ListOutcome::Failed(Failure::Connection(_))), "{outcome:?}");

    let server = ScriptedHttp::start([Step::SendAndStall(cut)]).await;
    let hasty = Client::new(account(server.url(), Duration::from_millis(200))).unwrap();
    let outcome = hasty.list(&listing(What::Tasks, "12"), None, MOST_ON_A_PAGE).await;
    assert_eq!(outcome, ListOutcome::Failed(Failure::TimedOut));

    let mut large = head(200, &[], 65 << 20);
    large.resize(large.len() + (65 << 20), b' ');
    let outcome = outcome_of(Step::Send(large), What::Tasks, None).await;
    assert!(matches!(outcome, ListOutcome::Failed(Failure::Malformed(_))), "{outcome:?}");
}

// The simulator

struct World {
    simulator: Simulator,
    client: Client,
    http: reqwest::Client,
}

impl World {
    async fn start(scenario: &str) -> Self {
        let options = Options { scenario: Scenario::parse(scenario).unwrap(), ..Options::default() };
        let simulator = Simulator::start(options).await.unwrap();
        let client = client(&simulator.url());
        Self { simulator, client, http: reqwest::Client::new() }
    }

    async fn post(&self, path: &str, body: Value) {
        let url = format!("{}/_sim{path}", self.simulator.url());
        let response = self.http.post(url).body(body.to_string()).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}: {}", response.text().await.unwrap());
    }

    /// What the simulator shows of one object or list when nothing is left out.
    async fn whole(&self, path: &str) -> Value {
        let url = format!("{}/api/1.0{path}", self.simulator.url());
        let response = self.http.get(url).bearer_auth("simulator").send().await.unwrap();
        let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        body["data"].clone()
    }

    async fn all(&self, listing: &Listing) -> Vec<Item> {
        let mut all = Vec::new();
        let mut offset = None;
        loop {
            let page = page(self.client.list(listing, offset.as_deref(), MOST_ON_A_PAGE).await);
            assert!(page.items.len() <= 100);
            all.extend(page.items);
            match page.next_offset {
                Some(next) => offset = Some(next),
                None => return all,
            }
        }
    }
}

#[tokio::test]
async fn each_listing_shows_all_that_there_is_of_its_objects() {
    let world = World::start("{rate: 0, tokens: [{token: simulator, service_account: true}]}").await;
    world.post("/actions", json!({"count": 2_000})).await;
    let first = async |path: String| world.whole(&path).await[0]["gid"].as_str().unwrap().to_owned();
    let (workspace, project) = (world.simulator.workspaces()[0].clone(), world.simulator.projects()[0].clone());
    let goal = first(format!("/goals?workspace={workspace}")).await;
    let team = first(format!("/workspaces/{workspace}/teams")).await;
    let portfolio = first(format!("/portfolios?workspace={workspace}")).await;
    // Tasks of which something hangs, since an empty list would show nothing.
    let mut with: BTreeMap<&str, String> = BTreeMap::new();
    for task in world.all(&listing(What::Tasks, &project)).await {
        let gid = task.resource.gid;
        for part in
            [format!("/tasks/{gid}/subtasks"), format!("/tasks/{gid}/stories"), format!("/attachments?parent={gid}")]
        {
            if world.whole(&part).await.as_array().is_some_and(|list| !list.is_empty()) {
                with.entry(
                    ["subtasks", "stories", "attachments"].into_iter().find(|name| part.contains(name)).unwrap(),
                )
                .or_insert_with(|| gid.clone());
            }
        }
    }
    for (what, _) in ALL {
        let of = match what {
            What::Project | What::Sections | What::Tasks => &project,
            What::Task | What::Subtasks => &with["subtasks"],
            What::TaskStories => &with["stories"],
            What::Attachments => &with["attachments"],
            What::Goal | What::GoalStories => &goal,
            What::WorkspaceProjects | What::WorkspaceGoals => &workspace,
            What::TeamProjects => &team,
            What::PortfolioItems => &portfolio,
            other => panic!("{other:?} isn't among them"),
        };
        let items = world.all(&listing(what, of)).await;
        assert!(!items.is_empty() || what == What::GoalStories, "{what:?} is empty");
        for item in items {
            let state: Value = serde_json::from_str(&item.state_json).unwrap();
            let kind = match item.resource.resource_type.as_str() {
                "story" => "stories".to_owned(),
                other => format!("{other}s"),
            };
            let whole = world.whole(&format!("/{kind}/{}", item.resource.gid)).await;
            let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
            assert_eq!(keys(&state), keys(&whole), "{what:?}");
            assert_eq!(json!(item.resource.name), whole["name"], "{what:?}");
            assert_eq!(json!(item.resource.resource_subtype), whole["resource_subtype"], "{what:?}");
            assert_eq!(item.archived, whole["archived"] == true, "{what:?}");
            assert_eq!(
                json!(item.num_subtasks),
                whole.get("num_subtasks").cloned().unwrap_or_else(|| json!(0)),
                "{what:?}"
            );
            let modified_at = item.modified_at.map(|at| at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true));
            assert_eq!(json!(modified_at), whole["modified_at"], "{what:?}");
            if kind == "tasks" {
                let parent = whole["parent"]["gid"].as_str().map(|gid| format!("of {gid}"));
                let places = whole["memberships"].as_array().unwrap().iter().map(|place| {
                    let gid = |part: &str| place[part]["gid"].as_str().unwrap().to_owned();
                    format!("in {}/{}", gid("project"), gid("section"))
                });
                let sorted: BTreeSet<_> = places.collect();
                let expected: Vec<_> = parent.into_iter().chain(sorted).collect();
                assert_eq!(item.membership, expected.join(" "));
            } else {
                assert_eq!(item.membership, "", "{what:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_list_of_many_pages_is_whole_and_an_expired_offset_is_told() {
    let world = World::start("{rate: 0, world: {projects: 1, tasks_per_project: 250}}").await;
    let tasks = listing(What::Tasks, &world.simulator.projects()[0]);
    let gids: BTreeSet<_> = world.all(&tasks).await.into_iter().map(|item| item.resource.gid).collect();
    assert_eq!(gids.len(), 250);

    let offset = page(world.client.list(&tasks, None, MOST_ON_A_PAGE).await).next_offset.unwrap();
    world.post("/faults", json!({"kind": "expire_offsets"})).await;
    assert_eq!(world.client.list(&tasks, Some(&offset), MOST_ON_A_PAGE).await, ListOutcome::OffsetExpired);
    assert_eq!(
        page(world.client.list(&tasks, None, MOST_ON_A_PAGE).await).items.len(),
        100,
        "from the beginning it goes on"
    );

    let unknown = listing(What::Tasks, "1");
    assert_eq!(world.client.list(&unknown, None, MOST_ON_A_PAGE).await, ListOutcome::Denied(Denial::NotFound));
}
