//! Reads a local checkpoint without owning it, for the command `checkpoint`.

use super::SinkError;
use super::journal;
use bridge_core::ids::ShardId;
use bridge_core::record::batch::StoredCheckpoint;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tokio::task::spawn_blocking;

/// The current checkpoint at `path`, for those shards that have one; none if the file is missing. A bridge may use it
/// at the same time.
///
/// # Errors
/// `Setup` if it is damaged, `Unavailable` if the file system fails.
///
/// # Cancel safety
/// Cancel safe: it only reads.
pub async fn stored(path: &Path) -> Result<BTreeMap<ShardId, StoredCheckpoint>, SinkError> {
    on_thread(path, journal::peek).await
}

/// Whether a process uses the checkpoint at `path`.
///
/// # Errors
/// `Unavailable` if the file system fails.
///
/// # Cancel safety
/// Cancel safe: it only reads.
pub async fn is_held(path: &Path) -> Result<bool, SinkError> {
    on_thread(path, journal::is_held).await
}

async fn on_thread<T: Send + 'static>(
    path: &Path,
    look: impl FnOnce(&Path) -> Result<T, SinkError> + Send + 'static,
) -> Result<T, SinkError> {
    let path: PathBuf = path.to_owned();
    let looked = spawn_blocking(move || look(&path)).await;
    looked.unwrap_or_else(|error| Err(SinkError::unavailable("read the checkpoint", error)))
}
