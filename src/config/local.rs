//! The shape of the sinks that need no bus.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Lines on standard output, to try the bridge. If the reader of the output ends, the bridge ends, too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct ConsoleConfig {
    /// The form of the lines: JSON as in a file, or text for people, which leaves out records that only serve the bookkeeping of
    /// consumers. With `auto` it is text on a terminal, and else JSON.
    pub output: ConsoleOutput,
    /// The path of the checkpoint file.
    pub checkpoint: PathBuf,
}

impl Default for ConsoleConfig {
    fn default() -> Self {
        Self { output: ConsoleOutput::default(), checkpoint: "asana-event-bridge.checkpoint".into() }
    }
}

/// The form of the lines on standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ConsoleOutput {
    /// Text on a terminal, and else JSON.
    #[default]
    Auto,
    /// Text for people.
    Text,
    /// JSON objects, one per record.
    Json,
}

/// JSON lines in a file, each record exactly once. After a crash the bridge cuts off unfinished lines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct FileConfig {
    /// The path of the file that records are appended to.
    #[schemars(example = &"events.jsonl")]
    pub path: PathBuf,
    /// The path of the checkpoint file. Default: `path` with `.checkpoint` appended.
    #[serde(default)]
    #[schemars(example = &"events.jsonl.checkpoint")]
    pub checkpoint: Option<PathBuf>,
}
