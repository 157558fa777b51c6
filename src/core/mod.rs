//! All decisions of the bridge, without IO, clock or runtime.
