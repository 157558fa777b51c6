//! Polls Asana: status and body become a poll outcome.

use crate::core::ids::{StreamId, StreamKind, SyncToken};
use crate::core::page::PollOutcome;

/// What the bridge needs of Asana.
pub trait Source: Send + Sync {
    /// One poll. Total: whatever happens is an outcome.
    ///
    /// # Cancel safety
    /// A poll that is dropped changed nothing: the same token can be asked again.
    fn poll(
        &self,
        stream: &StreamId,
        kind: StreamKind,
        token: Option<&SyncToken>,
    ) -> impl Future<Output = PollOutcome> + Send;
}
