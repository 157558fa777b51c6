//! All decisions of the bridge, without IO, clock or runtime.

pub mod backoff;
pub mod batch;
pub mod budget;
pub mod checkpoint;
pub mod detect;
mod detect_state;
pub mod engine;
pub mod event;
mod fingerprint;
mod gaps;
pub mod holes;
pub mod ids;
pub mod line;
pub mod listing;
pub mod now;
pub mod page;
pub mod placement;
mod record;
pub mod reshard;
pub mod schedule;
pub mod sequence;
pub mod sighting;
mod staging;
pub mod stream;
pub mod topic;
pub mod trace;
mod track;
