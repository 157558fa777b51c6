//! A broad tour of the simulator, every answer held against Asana's official
//! API description (`tests/openapi/`).

use std::collections::{BTreeMap, BTreeSet};

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::Asana;
use crate::webhooks::{Target, make};

const DESCRIPTION: &str = include_str!("../openapi/asana-openapi-events.yaml");

/// Where the description is known to be narrower than Asana, each with its
/// reason. Nothing else is relaxed.
const RELAXED: [(&str, &str); 3] = [
    ("/components/schemas/EventResponse/properties/user", "null for changes by the system, as its own text says"),
    ("/components/schemas/EventResponse/properties/parent", "null unless added or removed, as its own text says"),
    (
        "/components/schemas/CustomFieldCompact/properties/date_value/properties/date_time",
        "null where no time is chosen, as its own text says",
    ),
];

/// Answers that the description doesn't list, and whose schema stands in.
/// `/events` describes the 412 that workspace events give too; rate limits,
/// paid features, legal blocks and gateways answer in the error envelope.
const UNLISTED: [(u16, &str); 7] = [
    (412, "/paths/~1events/get/responses/412/content/application~1json/schema"),
    (402, "/components/schemas/ErrorResponse"),
    (429, "/components/schemas/ErrorResponse"),
    (451, "/components/schemas/ErrorResponse"),
    (502, "/components/schemas/ErrorResponse"),
    (503, "/components/schemas/ErrorResponse"),
    (504, "/components/schemas/ErrorResponse"),
];

struct Description {
    whole: Value,
    visited: BTreeSet<String>,
}

impl Description {
    fn read() -> Self {
        let mut whole: Value = serde_saphyr::from_str(DESCRIPTION).unwrap();
        for (place, _reason) in RELAXED {
            let schema = whole.pointer_mut(place).unwrap_or_else(|| panic!("{place} is gone"));
            *schema = json!({"anyOf": [schema.take(), {"type": "null"}]});
        }
        to_json_schema(&mut whole);
        Self { whole, visited: BTreeSet::new() }
    }

    /// Of `GET`, or of the method that stands before the template.
    fn schema(&self, template: &str, status: u16) -> &Value {
        let (method, template) = template.split_once(' ').unwrap_or(("get", template));
        let place = template.replace('~', "~0").replace('/', "~1");
        let place = format!("/paths/{place}/{method}/responses/{status}");
        let mut response = self.whole.pointer(&place);
        if let Some(reference) = response.and_then(|r| r["$ref"].as_str()) {
            response = self.whole.pointer(reference.trim_start_matches('#'));
        }
        if let Some(response) = response {
            return &response["content"]["application/json"]["schema"];
        }
        let stand_in = UNLISTED.iter().find(|(unlisted, _)| *unlisted == status);
        let (_, place) = stand_in.unwrap_or_else(|| panic!("{template} may not answer {status}"));
        self.whole.pointer(place).unwrap()
    }

    fn check(&mut self, template: &str, status: u16, body: &Value) {
        self.visited.insert(template.rsplit(' ').next().unwrap().to_owned());
        let root = json!({"components": self.whole["components"], "allOf": [self.schema(template, status)]});
        let validator = validator(&root);
        let problems: Vec<_> = validator.iter_errors(body).map(|e| format!("{} at {}", e, e.instance_path())).collect();
        assert!(problems.is_empty(), "{template} {status}: {problems:#?}\n{body:#}");
    }

    /// Every property of a compact object is one that the description shows:
    /// it demands nothing and forbids nothing, so this is checked beyond it.
    fn check_compact(&self, template: &str, body: &Value) {
        let schema = self.schema(template, 200);
        let reference = schema["properties"]["data"]["items"]["$ref"].as_str().unwrap();
        let mut shown = BTreeSet::new();
        self.properties(reference, &mut shown);
        for item in body["data"].as_array().unwrap() {
            assert!(item["gid"].is_string() && item["resource_type"].is_string(), "{template}: {item}");
            for key in item.as_object().unwrap().keys() {
                assert!(shown.contains(key), "{template} shows {key}: {item}");
            }
        }
    }

    fn properties(&self, reference: &str, into: &mut BTreeSet<String>) {
        let mut todo = vec![json!({"$ref": reference})];
        while let Some(schema) = todo.pop() {
            if let Some(place) = schema["$ref"].as_str() {
                todo.push(self.whole.pointer(place.trim_start_matches('#')).unwrap().clone());
            }
            for group in ["allOf", "anyOf"] {
                todo.extend(schema[group].as_array().cloned().unwrap_or_default());
            }
            into.extend(schema["properties"].as_object().into_iter().flat_map(|all| all.keys().cloned()));
        }
    }
}

fn validator(root: &Value) -> Validator {
    jsonschema::draft202012::options().should_validate_formats(true).build(root).unwrap()
}

/// OpenAPI 3.0 says `nullable` where JSON Schema says `"null"`. In an `allOf`,
/// one nullable member is meant to make the whole nullable.
fn to_json_schema(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(to_json_schema),
        Value::Object(members) => {
            let of_all = members.get("allOf").and_then(Value::as_array);
            let inherited = of_all.is_some_and(|all| all.iter().any(|member| member["nullable"] == json!(true)));
            let nullable = members.remove("nullable") == Some(json!(true));
            members.remove("example");
            members.values_mut().for_each(to_json_schema);
            if nullable || inherited {
                let strict = schema.take();
                *schema = json!({"anyOf": [strict, {"type": "null"}]});
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A busy world, and a gid for each kind of path parameter.
async fn world() -> (Asana, BTreeMap<&'static str, String>) {
    let asana = Asana::start(
        "{limits: {rate_per_minute: 0}, tokens: [{token: simulator, service_account: true}, {token: user}]}",
    )
    .await;
    asana.post("/actions", json!({"count": 500})).await;
    let first = async |path: String| asana.ok(&path).await.data()[0]["gid"].as_str().unwrap().to_owned();
    let workspace = asana.workspace();
    let project = asana.project();
    let with_stories = asana.simulator.ledger(&project);
    let story = with_stories.iter().find(|event| event["parent"]["resource_type"] == "task").unwrap();
    let user = asana.ok("/users/me").await.json()["data"]["gid"].as_str().unwrap().to_owned();
    let list = asana.ok(&format!("/users/{user}/user_task_list")).await.json()["data"]["gid"].clone();
    let gids = BTreeMap::from([
        ("team_gid", first(format!("/workspaces/{workspace}/teams")).await),
        ("goal_gid", first(format!("/goals?workspace={workspace}")).await),
        ("portfolio_gid", first(format!("/portfolios?workspace={workspace}")).await),
        ("section_gid", first(format!("/projects/{project}/sections")).await),
        ("task_gid", story["parent"]["gid"].as_str().unwrap().to_owned()),
        ("user_task_list_gid", list.as_str().unwrap().to_owned()),
        ("user_gid", user),
        ("project_gid", project),
        ("workspace_gid", workspace),
    ]);
    (asana, gids)
}

/// Puts gids in the place of `{names}`.
fn fill(template: &str, gids: &BTreeMap<&str, String>) -> String {
    gids.iter().fold(template.to_owned(), |path, (name, gid)| path.replace(&format!("{{{name}}}"), gid))
}

/// All lists of the description, with what their query must say.
const LISTS: [(&str, &str); 22] = [
    ("/workspaces", ""),
    ("/workspaces/{workspace_gid}/teams", ""),
    ("/workspaces/{workspace_gid}/projects", "archived=false"),
    ("/teams/{team_gid}/projects", ""),
    ("/projects", "workspace={workspace_gid}"),
    ("/projects/{project_gid}/sections", ""),
    ("/projects/{project_gid}/tasks", "completed_since=now"),
    ("/sections/{section_gid}/tasks", ""),
    ("/tasks", "project={project_gid}&modified_since=2020-01-01T00:00:00Z"),
    ("/tasks/{task_gid}/subtasks", ""),
    ("/tasks/{task_gid}/stories", ""),
    ("/tasks/{task_gid}/projects", ""),
    ("/user_task_lists/{user_task_list_gid}/tasks", ""),
    ("/workspaces/{workspace_gid}/tasks/search", "completed=false&sort_by=created_at"),
    ("/attachments", "parent={task_gid}"),
    ("/portfolios", "workspace={workspace_gid}&owner=me"),
    ("/portfolios/{portfolio_gid}/items", ""),
    ("/goals", "workspace={workspace_gid}"),
    ("/goals/{goal_gid}/stories", ""),
    ("/status_updates", "parent={project_gid}"),
    ("/memberships", "member={team_gid}"),
    ("/tasks", "assignee={user_gid}&workspace={workspace_gid}"),
];

/// The fields that the description lists for `opt_fields` of a path.
fn all_fields(description: &Description, template: &str) -> String {
    let parameters = &description.whole["paths"][template]["get"]["parameters"];
    let mut parameters = parameters.as_array().unwrap().iter();
    let fields = parameters.find(|parameter| parameter["name"] == "opt_fields").unwrap();
    let fields = fields["schema"]["items"]["enum"].as_array().unwrap();
    fields.iter().map(|field| field.as_str().unwrap()).collect::<Vec<_>>().join(",")
}

#[tokio::test]
async fn every_answer_is_as_the_api_description_says() {
    let (asana, gids) = world().await;
    let mut description = Description::read();
    for (template, query) in LISTS {
        let path = fill(&format!("{template}?{query}"), &gids);
        let compact = asana.ok(&path).await.json();
        description.check(template, 200, &compact);
        description.check_compact(template, &compact);
        let fields = all_fields(&description, template);
        let page = asana.ok(&format!("{path}&limit=2&opt_fields={fields}")).await.json();
        description.check(template, 200, &page);
        let bad = asana.get(&format!("{path}&limit=1000")).await;
        assert_eq!(bad.status, 400, "{path}");
        description.check(template, 400, &bad.json());
        let denied = asana.get_as("wrong", &path).await;
        description.check(template, denied.status, &denied.json());
        let hidden = template.replace(['{', '}'], "");
        if hidden != template {
            let missing = asana.get(&hidden).await;
            assert_eq!(missing.status, 404, "{hidden}");
            description.check(template, 404, &missing.json());
        }
    }
    streams(&asana, &gids, &mut description).await;
    webhooks(&asana, &gids, &mut description).await;
    let all: BTreeSet<_> = description.whole["paths"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(description.visited, all, "every path of the description is on the tour");
}

async fn streams(asana: &Asana, gids: &BTreeMap<&str, String>, description: &mut Description) {
    let of = |name: &str| gids[name].clone();
    for gid in [of("project_gid"), of("task_gid"), of("goal_gid")] {
        let first = asana.get(&format!("/events?resource={gid}")).await;
        description.check("/events", first.status, &first.json());
        asana.post("/actions", json!({"count": 300})).await;
        let mut sync = first.sync();
        let fields = all_fields(description, "/events");
        for query in ["", "&opt_pretty", "&opt_fields=action,resource.name", &format!("&opt_fields={fields}")] {
            let page = asana.ok(&format!("/events?resource={gid}&sync={sync}{query}")).await;
            description.check("/events", 200, &page.json());
            sync = page.sync();
        }
    }
    let template = "/workspaces/{workspace_gid}/events";
    let path = fill(template, gids);
    let first = asana.get(&path).await;
    description.check(template, first.status, &first.json());
    asana.post("/actions", json!({"count": 300})).await;
    let page = asana.ok(&format!("{path}?sync={}", first.sync())).await;
    assert!(page.data().len() > 300);
    description.check(template, 200, &page.json());
    let denied = asana.get_as("user", &path).await;
    assert_eq!(denied.status, 403);
    description.check(template, 403, &denied.json());
}

async fn webhooks(asana: &Asana, gids: &BTreeMap<&str, String>, description: &mut Description) {
    let target = Target::start().await;
    let made = make(asana, &gids["project_gid"], &target.url).await;
    description.check("post /webhooks", made.status, &made.json());
    let again = make(asana, &gids["project_gid"], &target.url).await;
    description.check("post /webhooks", again.status, &again.json());
    let fields = all_fields(description, "/webhooks");
    for query in ["", "&limit=1", &format!("&opt_fields={fields}"), &format!("&resource={}", gids["project_gid"])] {
        let list = asana.ok(&format!("/webhooks?workspace={}{query}", gids["workspace_gid"])).await;
        assert_eq!(list.data().len(), 1, "{query}");
        description.check("/webhooks", 200, &list.json());
    }
    let template = "/webhooks/{webhook_gid}";
    let path = format!("/webhooks/{}", made.json()["data"]["gid"].as_str().unwrap());
    description.check(template, 200, &asana.ok(&path).await.json());
    let filters = json!({"data": {"filters": [{"resource_type": "task"}]}});
    for (method, body) in [("put", filters), ("delete", json!({}))] {
        let answer = asana.send(&method.to_uppercase(), &path, &body).await;
        description.check(&format!("{method} {template}"), answer.status, &answer.json());
    }
    let missing = asana.get(&path).await;
    description.check(template, missing.status, &missing.json());
}

#[tokio::test]
async fn every_error_is_as_the_api_description_says() {
    let asana = Asana::still().await;
    let mut description = Description::read();
    for status in [400, 401, 402, 403, 404, 429, 451, 500, 502, 503, 504] {
        asana.fault(json!({"kind": "status", "status": status, "count": 1})).await;
        let got = asana.get(&format!("/events?resource={}", asana.project())).await;
        assert_eq!(got.status, status);
        description.check("/events", status, &got.json());
    }
}

#[test]
fn the_check_itself_can_fail() {
    let refuses = |template: &str, body: Value| {
        let mut description = Description::read();
        let result = std::panic::catch_unwind(move || description.check(template, 200, &body));
        assert!(result.is_err(), "{template} was content");
    };
    refuses("/events", json!({"data": [{"action": 7}]}));
    refuses("/events", json!({"data": [{"created_at": "yesterday"}]}));
    refuses("/events", json!({"data": [{"resource": null}]}));
    refuses("/events", json!({"data": [], "sync": null}));
    refuses("/workspaces", json!({"data": [{"gid": 12}]}));
    refuses("/workspaces", json!({"data": [], "next_page": {"uri": "no uri"}}));
}
