//! The shape of how commits are made.

use super::units::{ByteSize, HumanDuration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use std::time::Duration;

/// How records are batched into commits, and how often watermarks are written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct CommitConfig {
    /// The maximum number of commits a second. A page is committed as soon as the bus is free, and pages that arrive meanwhile
    /// share the next commit. Lower it for fewer and larger commits; raise it for less latency while many streams have events.
    /// Commits of streams that have more events waiting at Asana aren't limited.
    pub max_per_second: NonZeroU32,
    /// The maximum number of records of a commit, except that a page is never split. So many records are committed without
    /// further waiting.
    pub max_records: NonZeroU32,
    /// The maximum size of all pages that wait for the sink. Beyond it, polling pauses (backpressure). Lower it if
    /// the replica has little memory.
    pub max_pending: ByteSize,
    /// The interval at which each replica writes a watermark into each lane of the output topics, on Kafka and NATS. With
    /// watermarks, consumers also notice if the last records of a lane are missing. At the same interval the state topic is
    /// told how complete it is. `0s` turns both off.
    pub watermark_interval: HumanDuration,
}

impl Default for CommitConfig {
    fn default() -> Self {
        Self {
            max_per_second: NonZeroU32::MIN.saturating_add(49),
            max_records: NonZeroU32::MIN.saturating_add(9_999),
            max_pending: ByteSize(64 << 20),
            watermark_interval: HumanDuration(Duration::from_secs(60)),
        }
    }
}
