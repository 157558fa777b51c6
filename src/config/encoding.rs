//! The form of values on a bus.

use bridge_core::record::encoding::{Encoding, Encodings};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The form of values on a bus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum EncodingConfig {
    /// Protobuf's binary form.
    #[default]
    Protobuf,
    /// JSON by `docs/record.schema.json`. Values are larger, and take more time.
    Json,
}

/// What is written in which form. `state`: of states, if they have a setting of their own.
pub(super) fn encodings(events: EncodingConfig, state: Option<EncodingConfig>) -> Encodings {
    Encodings { events: events.into(), state: state.unwrap_or(events).into() }
}

impl From<EncodingConfig> for Encoding {
    fn from(encoding: EncodingConfig) -> Self {
        match encoding {
            EncodingConfig::Protobuf => Self::Protobuf,
            EncodingConfig::Json => Self::Json,
        }
    }
}
