//! What `checkpoint` does with a local checkpoint beside the ordinary session: looks without owning.

use super::SinkError;
use super::journal;
use bridge_core::ids::ShardId;
use bridge_core::record::batch::StoredCheckpoint;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tokio::task::spawn_blocking;

/// The checkpoint at `path` as it is now, by those shards that have one; none where the file is missing. A bridge
/// may use it meanwhile.
///
/// # Errors
/// `Setup` where it is damaged, `Unavailable` where the file system fails.
///
/// # Cancel safety
/// May be dropped.
pub async fn stored(path: &Path) -> Result<BTreeMap<ShardId, StoredCheckpoint>, SinkError> {
    on_thread(path, journal::peek).await
}

/// Whether a process uses the checkpoint at `path`.
///
/// # Errors
/// `Unavailable` where the file system fails.
///
/// # Cancel safety
/// May be dropped.
pub async fn is_held(path: &Path) -> Result<bool, SinkError> {
    on_thread(path, journal::is_held).await
}

async fn on_thread<T: Send + 'static>(
    path: &Path,
    look: impl FnOnce(&Path) -> Result<T, SinkError> + Send + 'static,
) -> Result<T, SinkError> {
    let path: PathBuf = path.to_owned();
    let looked = spawn_blocking(move || look(&path)).await;
    looked.unwrap_or_else(|error| Err(SinkError::unavailable("look at the checkpoint", error)))
}
