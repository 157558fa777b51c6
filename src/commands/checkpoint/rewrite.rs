//! Changes a checkpoint as its owner, once no bridge uses it.

use super::CheckpointsError;
use super::own::{Owned, Stored};
use crate::sink::any::Sink;
use bridge_core::record::batch::Batch;
use std::num::NonZeroU32;
use std::time::Duration;

/// The time for which a bridge may still count as running after it was stopped or killed: longer than Kafka's session
/// timeout and NATS' lease, which are 10 s.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(15);
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// Waits until no bridge uses the checkpoint.
///
/// # Errors
/// [`CheckpointsError::Busy`] if one still uses it after [`LEAVE_TIMEOUT`].
pub(super) async fn wait_until_free(sink: &Sink) -> Result<(), CheckpointsError> {
    let mut waited = Duration::ZERO;
    loop {
        let users = sink.users().await?;
        if users.is_empty() {
            return Ok(());
        }
        let who = users.join(", ");
        if waited >= LEAVE_TIMEOUT {
            return Err(CheckpointsError::Busy { who });
        }
        if waited.is_zero() {
            tracing::info!(users = %who, timeout = ?LEAVE_TIMEOUT, "waiting for the bridge to stop");
        }
        tokio::time::sleep(CHECK_INTERVAL).await;
        waited += CHECK_INTERVAL;
    }
}

/// Owns all shards, and commits the changes that `make` returns.
pub(super) async fn rewrite(
    sink: &Sink,
    shards: NonZeroU32,
    make: impl FnOnce(&Stored) -> Result<Batch, CheckpointsError>,
) -> Result<(), CheckpointsError> {
    let owned = Owned::take(sink.with_shards(shards).open().await?, shards).await?;
    match make(&owned.stored) {
        Ok(batch) => owned.commit(&batch).await,
        Err(error) => {
            owned.close().await;
            Err(error)
        }
    }
}
