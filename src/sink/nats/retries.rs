//! How long a commit or a restore waits for a server that doesn't answer.

use crate::sink::SinkError;
use std::time::Duration;

/// The pauses add up to half a minute. With the timeouts of the requests themselves, that is a few minutes at most.
/// After that the session ends, and the next one begins by reading.
const PAUSES: [Duration; 9] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(600),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(10),
];

/// The pauses that are left.
#[derive(Debug)]
pub(super) struct Retries {
    pauses: std::array::IntoIter<Duration, { PAUSES.len() }>,
}

impl Retries {
    pub(super) fn new() -> Self {
        Self { pauses: PAUSES.into_iter() }
    }

    /// Waits before the next attempt. Returns the error if no pause is left.
    ///
    /// # Cancel safety
    /// Cancel safe: only the pause is lost.
    pub(super) async fn wait(&mut self, error: SinkError) -> Result<(), SinkError> {
        let Some(pause) = self.pauses.next() else { return Err(error) };
        tracing::debug!(%error, retry_in = ?pause, "request to NATS failed, retrying");
        tokio::time::sleep(pause).await;
        Ok(())
    }
}
