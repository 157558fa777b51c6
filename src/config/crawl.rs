//! When and how resources are re-crawled.

use super::HumanDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// When and how a stream's resources are re-crawled: to heal a source gap, when the stream is new, and at intervals to
/// find changes that Asana's event stream missed. The bridge publishes their state as snapshots.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct CrawlConfig {
    /// Whether to crawl the resources of a new stream at once, so that consumers have their state. Set `false` if consumers need
    /// only events.
    pub initial: bool,
    /// The depth of a crawl. More depth costs more requests.
    pub depth: CrawlDepth,
    /// The maximum share of an account's rate that crawls may use, in percent, from 1 to 90. Polls use the rest.
    pub budget_percent: u32,
    /// The name of the account that reads the lists of crawls. Asana's limits are per token, so with another account crawls don't
    /// slow down polls. If no stream is polled by it, crawls have all of its rate. It may see less than the
    /// stream's own account: the stream's own account requests what its lists don't show. `doctor` compares what both see. Default: the
    /// stream's own account.
    #[schemars(example = &"main")]
    pub account: Option<String>,
    /// The share of known resources, in percent, that may be missing from a list. If more are missing, and also more than
    /// `shortListCount`, the list is read again before each missing resource is requested alone.
    pub short_list_percent: u32,
    /// The number of known resources that may be missing from a list. It works together with `shortListPercent`.
    pub short_list_count: u32,
    /// The interval at which a stream's resources are compared with what was published, because Asana doesn't promise every event.
    /// `0s` turns it off. Then the bridge doesn't remember what was published, and no snapshot reports what changed.
    pub reconcile_interval: HumanDuration,
    /// The delay after its change within which an event isn't counted as missed. Asana delivers most events within 10 minutes.
    pub late_events: HumanDuration,
}

impl Default for CrawlConfig {
    fn default() -> Self {
        Self {
            initial: true,
            depth: CrawlDepth::default(),
            budget_percent: 25,
            account: None,
            short_list_percent: 5,
            short_list_count: 20,
            reconcile_interval: HumanDuration(Duration::from_secs(24 * 3600)),
            late_events: HumanDuration(Duration::from_secs(15 * 60)),
        }
    }
}

/// The depth of a crawl. Each level includes the levels before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CrawlDepth {
    /// Projects, their sections, and their tasks. Costs one request for each hundred.
    Tasks,
    /// Also subtasks. Costs one request for each task that has subtasks.
    #[default]
    Subtasks,
    /// Also stories, which include comments. Costs one request for each task.
    Stories,
    /// Also attachments. Costs another request for each task.
    Attachments,
}
