//! All decisions of the bridge, without IO, clock or runtime.

pub mod batch;
pub mod event;
mod fingerprint;
pub mod ids;
pub mod now;
pub mod page;
pub mod placement;
