//! The simulated Asana that the bridge polls.

use super::support::program::{Simulator, TOKEN};
use super::support::scene::rename;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tempfile::TempDir;

/// A simulator without limits, and its projects, which are the streams.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) simulator: Simulator,
    pub(crate) projects: Vec<String>,
    // The last field, since it is dropped last.
    _folder: TempDir,
}

impl World {
    /// With so many projects. Each answer takes `delay` longer.
    pub(crate) fn start(projects: usize, delay: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let scenario = folder.path().join("scenario.yaml");
        let faults = if delay.is_zero() {
            json!([])
        } else {
            json!([{ "kind": "slow", "endpoint": "events", "delay": format!("{}ms", delay.as_millis()) }])
        };
        let document = json!({
            "limits": { "rate_per_minute": null, "concurrent_reads": null },
            "world": { "projects": projects, "tasks_per_project": 20 },
            "faults": faults,
        });
        std::fs::write(&scenario, document.to_string()).unwrap();
        let simulator = Simulator::start(&["--scenario", scenario.to_str().unwrap()], &folder.path().join("log"));
        let found = simulator.projects();
        assert_eq!(found.len(), projects);
        Self { simulator, projects: found, _folder: folder }
    }

    /// Simulated users work until the streams have at least so many events that no poll has returned. Returns how many.
    pub(crate) fn work(&self, events: usize) -> usize {
        let before = self.offered();
        let mut offered = 0;
        while offered < events {
            self.simulator.post("/_sim/actions", &json!({ "count": (events - offered).clamp(100, 5_000) }));
            offered = self.offered() - before;
        }
        offered
    }

    fn offered(&self) -> usize {
        let resources = self.simulator.get("/_sim/ledger")["resources"].clone();
        self.projects.iter().filter_map(|gid| resources[gid].as_u64()).sum::<u64>() as usize
    }

    /// One event on a project.
    pub(crate) fn event(&self, project: &str, number: u64) {
        let events = [rename(1_000 + number % 40, number)];
        self.simulator.post("/_sim/events", &json!({ "resource": project, "events": events }));
    }

    /// A poller of its own, whose chain of tokens the bridge doesn't disturb.
    pub(crate) fn poller(&self) -> Poller<'_> {
        let tokens = self.projects.iter().map(|project| (project.clone(), self.poll(project, None).1)).collect();
        Poller { world: self, tokens }
    }

    /// The body and the next token.
    fn poll(&self, project: &str, token: Option<&str>) -> (String, String) {
        let sync = token.map(|token| format!("&sync={token}")).unwrap_or_default();
        let body = self.simulator.body(&format!("/events?resource={project}{sync}"));
        let token = serde_json::from_str::<Value>(&body).unwrap()["sync"].as_str().unwrap().to_owned();
        (body, token)
    }

    /// The bridge's configuration, but for the parts that a section sets.
    pub(crate) fn configuration(&self, sink: &Value) -> Value {
        let streams: Vec<_> = self.projects.iter().map(|gid| json!({ "resource": gid })).collect();
        json!({
            "accounts": { "main": {
                "token": { "env": "TOKEN" },
                "baseUrl": format!("{}/api/1.0", self.simulator.url),
                "requestsPerMinute": 10_000_000,
            }},
            "streams": streams,
            // An initial crawl would be measured, too.
            "crawl": { "initial": false },
            "replica": "bench",
            "sink": sink,
        })
    }

    pub(crate) fn token() -> &'static str {
        TOKEN
    }
}

/// Reads pages to have their bytes.
#[derive(Debug)]
pub(crate) struct Poller<'w> {
    world: &'w World,
    tokens: BTreeMap<String, String>,
}

impl Poller<'_> {
    /// The bodies of the next pages, up to a number.
    pub(crate) fn pages(mut self, most: usize) -> Vec<String> {
        let mut pages = Vec::new();
        for (project, token) in &mut self.tokens {
            while pages.len() < most {
                let (body, next) = self.world.poll(project, Some(token));
                let has_more = body.contains("\"has_more\":true") || body.contains("\"has_more\": true");
                pages.push(body);
                *token = next;
                if !has_more {
                    break;
                }
            }
        }
        pages
    }
}
