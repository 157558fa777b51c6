//! All decisions of the bridge, without IO, clock or runtime.

pub mod event;
mod fingerprint;
pub mod ids;
pub mod now;
pub mod page;
