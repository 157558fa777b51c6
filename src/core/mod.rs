//! All decisions of the bridge, without IO, clock or runtime.

pub mod backoff;
pub mod batch;
pub mod budget;
pub mod checkpoint;
pub mod detect;
pub mod engine;
pub mod event;
mod fingerprint;
pub mod ids;
pub mod line;
pub mod now;
pub mod page;
pub mod placement;
pub mod ranges;
mod record;
pub mod reshard;
pub mod schedule;
pub mod sequence;
mod staging;
pub mod stream;
pub mod topic;
pub mod trace;
