//! What the bridge writes and consumers read, in Rust.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`pb`] | the records, generated from `record.proto`, whose comments are the reference |
//! | [`Topic`], [`token`] | names of topics and subjects, written the same way by the bridge and by filters |
//! | [`time`] | protobuf's times, and chrono's |
//! | `line` | a record as a line of JSON (feature `json`) |

#[cfg(feature = "json")]
pub mod line;
pub mod pb;
pub mod time;
pub mod token;
mod topic;

pub use topic::Topic;
