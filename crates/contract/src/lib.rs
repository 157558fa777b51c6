//! The contract between the bridge and its consumers, in Rust.
//!
//! | module | contents |
//! | --- | --- |
//! | [`pb`] | the records, generated from `record.proto`, whose comments are the reference |
//! | [`Action`] | what an event reports |
//! | [`Topic`], [`token`] | names of topics and subjects, the same for the bridge and for filters |
//! | [`state`] | keys of the state topic that aren't gids |
//! | [`time`] | conversions between protobuf's times and chrono's |
//! | `json`, `line` | records as JSON, and as lines of JSON (feature `json`) |

mod action;
#[cfg(feature = "json")]
pub mod json;
#[cfg(feature = "json")]
pub mod line;
pub mod pb;
pub mod state;
pub mod time;
pub mod token;
mod topic;

pub use action::Action;
pub use time::Timestamp;
pub use topic::Topic;
