//! When and how resources are read anew.

use super::HumanDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// When and how a stream's resources are read anew: to heal a source gap, when the stream is new, and to
/// find what Asana's event stream missed. Their state is published as snapshots.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct CrawlConfig {
    /// Whether the resources of a new stream are read at once, so that consumers have their state.
    pub initial: bool,
    /// How deep.
    pub depth: CrawlDepth,
    /// Crawls may use so much of an account's rate, in percent, as far as polls leave it.
    pub budget_percent: u32,
    /// The account that reads the lists of crawls, by its name in `accounts`: Asana's limits are per token, so what crawls
    /// cost then holds up no poll. If no stream is polled by it, crawls have all of its rate. It may see less than the
    /// stream's own account: what its lists don't show is asked for by the stream's own. Default: the stream's own account.
    pub account: Option<String>,
    /// A list that shows so much less than was known to be in it, in percent, and `shortListCount` less, is read again
    /// before what is missing is asked for one by one.
    pub short_list_percent: u32,
    /// See `shortListPercent`.
    pub short_list_count: u32,
    /// How often a stream's resources are compared with what was published, since Asana doesn't promise every event.
    /// `0s`: never; then it isn't kept in mind either what was published, and no snapshot says what changed.
    pub reconcile_interval: HumanDuration,
    /// An event that comes so late after its change isn't counted as missed. Asana delivers most within 10 minutes.
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

/// How deep a crawl goes; each level includes those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CrawlDepth {
    /// Projects, their sections, and their tasks: a request for each hundred.
    Tasks,
    /// Subtasks, too: a request for each task that has some.
    #[default]
    Subtasks,
    /// Stories (comments among them), too: a request for each task.
    Stories,
    /// Attachments, too: another request for each task.
    Attachments,
}
