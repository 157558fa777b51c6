//! The simulator through its front door: what scripts and the bridge rely on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    reason = "a test may stop at the first surprise, look at the clock, and print"
)]

mod dates;
mod faults;
mod heavy;
mod limits;
mod lists;
mod oauth;
mod openapi;
mod places;
mod ranks;
mod sight;
mod streams;
mod webhooks;
mod world;

use asana_simulator::{Options, Scenario, Simulator};
use serde_json::{Value, json};

/// A running simulator and a client with the default token.
pub(crate) struct Asana {
    pub(crate) simulator: Simulator,
    http: reqwest::Client,
    token: String,
}

/// An answer, read to its end.
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<u64>,
    /// The header `Date`.
    pub(crate) date: Option<String>,
    pub(crate) text: String,
}

impl Got {
    async fn read(response: reqwest::Response) -> reqwest::Result<Self> {
        let header = |name| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let retry_after = header("retry-after").map(|seconds| seconds.parse().unwrap());
        let (status, date) = (response.status().as_u16(), header("date"));
        Ok(Self { status, retry_after, date, text: response.text().await? })
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn message(&self) -> String {
        self.json()["errors"][0]["message"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn sync(&self) -> String {
        self.json()["sync"].as_str().unwrap_or_else(|| panic!("no sync: {}", self.text)).to_owned()
    }

    /// `data` as the text that was sent.
    pub(crate) fn data(&self) -> Vec<Value> {
        self.json()["data"].as_array().unwrap_or_else(|| panic!("no data: {}", self.text)).clone()
    }
}

/// A world whose clock stands still at a known time, and in which nobody acts.
pub(crate) const STILL: &str = "{start: '2026-01-01T00:00:00Z', speed: 0, rate: 0}";

impl Asana {
    pub(crate) async fn start(scenario: &str) -> Self {
        let scenario = Scenario::parse(scenario).unwrap();
        let options = Options { scenario, ..Options::default() };
        // Whoever is first installs it; the others find it there.
        rustls::crypto::ring::default_provider().install_default().ok();
        Self {
            simulator: Simulator::start(options).await.unwrap(),
            http: reqwest::Client::new(),
            token: "simulator".to_owned(),
        }
    }

    pub(crate) async fn still() -> Self {
        Self::start(STILL).await
    }

    /// A `GET` of which reading may fail: below `/api/1.0` with a leading
    /// slash, else the whole path.
    pub(crate) async fn try_get(&self, token: &str, path: &str) -> reqwest::Result<Got> {
        let url = match path.strip_prefix("sim:") {
            Some(path) => format!("{}/_sim{path}", self.simulator.url()),
            None => format!("{}/api/1.0{path}", self.simulator.url()),
        };
        let mut request = self.http.get(url);
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        Got::read(request.send().await?).await
    }

    /// Any other method of the API.
    pub(crate) async fn send(&self, method: &str, path: &str, body: &Value) -> Got {
        let url = format!("{}/api/1.0{path}", self.simulator.url());
        let request = self.http.request(method.parse().unwrap(), url).bearer_auth(&self.token);
        Got::read(request.body(body.to_string()).send().await.unwrap()).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Got {
        self.try_get(&self.token, path).await.unwrap()
    }

    pub(crate) async fn get_as(&self, token: &str, path: &str) -> Got {
        self.try_get(token, path).await.unwrap()
    }

    /// The same, expecting 200.
    pub(crate) async fn ok(&self, path: &str) -> Got {
        let got = self.get(path).await;
        assert_eq!(got.status, 200, "{path}: {}", got.text);
        got
    }

    /// Posts text to the control interface.
    pub(crate) async fn try_post(&self, path: &str, body: String) -> Got {
        let url = format!("{}/_sim{path}", self.simulator.url());
        Got::read(self.http.post(url).body(body).send().await.unwrap()).await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        let got = self.try_post(path, body.to_string()).await;
        assert_eq!(got.status, 200, "{path}: {}", got.text);
        got.json()
    }

    pub(crate) async fn fault(&self, fault: Value) {
        self.post("/faults", fault).await;
    }

    /// Offers events that are told apart by a number.
    pub(crate) async fn offer(&self, resource: &str, numbers: std::ops::Range<usize>) {
        let events: Vec<_> = numbers.map(|n| json!({"n": n})).collect();
        self.post("/events", json!({"resource": resource, "events": events})).await;
    }

    /// The first sync token of a resource.
    pub(crate) async fn establish(&self, resource: &str) -> String {
        let got = self.get(&format!("/events?resource={resource}")).await;
        assert_eq!(got.status, 412, "{}", got.text);
        got.sync()
    }

    pub(crate) async fn poll(&self, resource: &str, sync: &str) -> Got {
        self.get(&format!("/events?resource={resource}&sync={sync}")).await
    }

    /// Follows `has_more` to the end; returns all events and the last token.
    pub(crate) async fn drain(&self, resource: &str, mut sync: String) -> (Vec<Value>, String) {
        let mut events = Vec::new();
        loop {
            let got = self.poll(resource, &sync).await;
            assert_eq!(got.status, 200, "{}", got.text);
            events.extend(got.data());
            sync = got.sync();
            if got.json()["has_more"] == json!(false) {
                return (events, sync);
            }
        }
    }

    pub(crate) async fn ledger(&self, resource: &str) -> Value {
        self.ok(&format!("sim:/ledger?resource={resource}")).await.json()
    }

    pub(crate) fn project(&self) -> String {
        self.simulator.projects()[0].clone()
    }

    pub(crate) fn workspace(&self) -> String {
        self.simulator.workspaces()[0].clone()
    }
}

/// The numbers given by [`Asana::offer`].
pub(crate) fn numbers(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["n"].as_u64().unwrap()).collect()
}
