//! What is read again after events.

use super::HumanDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use std::time::Duration;

/// What comes after the name of the checkpoint topic in the name of the refresh log's topic.
pub const REFRESH_SUFFIX: &str = "-refresh";

/// Whether a resource's state is read again after an event, and published as a snapshot. A state topic needs it, which has the
/// latest state of each resource: `sink.kafka.stateTopic`, or `sink.nats.state`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct StateConfig {
    /// Whether resources are read again. Costs at most a request for each changed resource; many changed tasks of one project
    /// cost one. To switch it needs a restart.
    pub refresh: RefreshConfig,
    /// The types of resources that are read again, and kept in the state topic: `task`, `project`, `section`, `story`,
    /// `attachment`, `goal`. Default: all of these.
    #[schemars(example = ["task", "project"])]
    pub types: Vec<String>,
    /// The time without another change after which a resource is read.
    pub quiet_time: HumanDuration,
    /// The longest time for which changes of a resource are gathered before it is read. At least `quietTime`.
    pub longest_wait: HumanDuration,
    /// The share of an account's rate with which resources are read again, in percent, from 1 to 90. Polls and crawls use the rest.
    pub budget_percent: u32,
}

impl Default for StateConfig {
    fn default() -> Self {
        Self {
            refresh: RefreshConfig::Off,
            types: Vec::new(),
            quiet_time: HumanDuration(Duration::from_secs(2)),
            longest_wait: HumanDuration(Duration::from_secs(30)),
            budget_percent: 20,
        }
    }
}

impl StateConfig {
    /// What reading again leaves of so many requests a minute, for polls and crawls.
    #[must_use]
    pub fn left(&self, of: NonZeroU32) -> NonZeroU32 {
        let percent = match self.refresh {
            RefreshConfig::Off => 0,
            RefreshConfig::On => self.budget_percent.min(100),
        };
        let left = u64::from(of.get()) * u64::from(100 - percent) / 100;
        u32::try_from(left).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN)
    }
}

/// Whether resources are read again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RefreshConfig {
    /// They aren't.
    #[default]
    Off,
    /// After each event.
    On,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_again_leaves_the_rest_of_the_budget_if_it_is_on() {
        let of = NonZeroU32::new(150).unwrap();
        let left = |refresh| StateConfig { refresh, ..StateConfig::default() }.left(of).get();
        assert_eq!((left(RefreshConfig::Off), left(RefreshConfig::On)), (150, 120));
        let most = StateConfig { refresh: RefreshConfig::On, budget_percent: 90, ..StateConfig::default() };
        assert_eq!(most.left(NonZeroU32::MIN), NonZeroU32::MIN);
    }
}
