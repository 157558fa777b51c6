//! What the bridge tells about itself while it runs.

use crate::core::engine::CommitSummary;
use crate::core::ids::{ShardId, StreamId};
use crate::core::stream::Notice;
use crate::sink::CommitError;

/// Is told what happens. Called from the bridge's own task: it must not block.
pub trait Observer: Send + Sync {
    /// A batch is on the bus.
    fn committed(&self, summary: &CommitSummary);
    /// A commit didn't succeed; the bridge goes on by itself.
    fn commit_failed(&self, error: &CommitError);
    /// Something worth knowing happened to a stream.
    fn noticed(&self, stream: &StreamId, notice: &Notice);
    /// The shards that are owned now, and how many streams they hold.
    fn owns(&self, shards: &[ShardId], streams: usize);
}

/// Writes what happens to the log.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogObserver;

impl Observer for LogObserver {
    fn committed(&self, summary: &CommitSummary) {
        tracing::debug!(events = summary.events, messages = summary.messages, "committed");
    }

    fn commit_failed(&self, error: &CommitError) {
        match error {
            CommitError::Fenced(_) => tracing::info!(%error, "lost the shards to another replica"),
            CommitError::Aborted(_) => tracing::warn!(%error, "will write the same records again"),
            CommitError::Unknown(_) | CommitError::Fatal(_) => tracing::warn!(%error, "will start over from the bus"),
        }
    }

    fn noticed(&self, stream: &StreamId, notice: &Notice) {
        match notice {
            Notice::Established => tracing::info!(%stream, "established: events from now on are published"),
            Notice::Resumed => tracing::info!(%stream, "polled again"),
            Notice::SourceGap { gap_id } => {
                tracing::warn!(%stream, gap_id, "the sync token was dead: events may be lost, and a source gap says so");
            }
            Notice::Suspended(denial) => {
                tracing::warn!(%stream, reason = denial.label(), "suspended: Asana refuses; it is asked again, slowly");
            }
            Notice::AccountRefused(denial) => {
                let account = &stream.account;
                tracing::error!(%account, reason = denial.label(), "Asana refuses the account: check its credential");
            }
            Notice::Throttled(pause) => {
                let account = &stream.account;
                tracing::warn!(%account, seconds = pause.as_secs(), "rate limit hit: all streams of the account wait");
            }
            Notice::Ended => tracing::info!(%stream, "ended: it isn't to be polled any more"),
            Notice::CrawlBegun(reason) => {
                tracing::info!(%stream, reason = reason.label(), "its resources are read anew");
            }
            Notice::CrawlEnded { reason, snapshots, healed } => {
                tracing::info!(%stream, reason = reason.label(), snapshots, healed, "its resources were read anew");
            }
            Notice::CrawlRefused(denial) => {
                let reason = denial.label();
                tracing::warn!(%stream, reason, "its resources can't be read: Asana refuses; it is asked again, slowly");
            }
            Notice::Missed(count) => {
                tracing::warn!(%stream, count, "changes that Asana told no event of; their snapshots were published");
            }
            Notice::Failed(failure) => {
                tracing::warn!(%stream, reason = failure.label(), ?failure, "no usable answer; the same token is asked again");
            }
        }
    }

    fn owns(&self, shards: &[ShardId], streams: usize) {
        tracing::info!(shards = shards.len(), streams, "owns");
    }
}
