//! The log: each event that people may want to read, as a line.

use super::folded::Folded;
use super::{BridgeEvent, Observer, SessionEnd};
use crate::sink::{CommitError, SinkError};
use bridge_core::crawl::LeftOut;
use bridge_core::engine::{AccountNotice, StreamPlace};
use bridge_core::ids::{AccountName, ShardId, StreamId};
use bridge_core::outcome::poll::PollOutcome;
use bridge_core::stream::{CrawlNotice, Notice};
use std::time::Duration;

/// So many resources are named in a line of the log.
const MOST_NAMED: usize = 20;

/// What is said of a crawl, which is read beside the polls: in words of its own.
fn crawl_noticed(stream: &StreamId, notice: &CrawlNotice) {
    match notice {
        CrawlNotice::Begun(reason) => {
            tracing::info!(%stream, reason = reason.label(), "re-crawl started");
        }
        CrawlNotice::Ended { reason, snapshots, healed, left_out } => {
            tracing::info!(%stream, reason = reason.label(), snapshots, healed, left_out, "re-crawl finished");
        }
        CrawlNotice::Retries { listing, reason } => {
            let (list, of) = (listing.what.label(), &listing.of);
            tracing::warn!(%stream, list, %of, reason, "crawl list unreadable, retrying");
        }
        CrawlNotice::LeftOut(LeftOut { listing, reason }) => {
            let (list, of) = (listing.what.label(), &listing.of);
            tracing::warn!(%stream, list, %of, reason, hint = "it is read again later",
                "crawl list unreadable, left out");
        }
        CrawlNotice::Splits(listing) => {
            let (list, of) = (listing.what.label(), &listing.of);
            tracing::info!(%stream, list, %of, "crawl list too long, reading it in parts");
        }
        CrawlNotice::CameShort { lists, unseen } => {
            tracing::warn!(%stream, lists, unseen, hint = "what they still don't show is requested one by one",
                "crawl lists much shorter than before, reading again");
        }
        CrawlNotice::Unidentified { listing, count } => {
            let (list, of) = (listing.what.label(), &listing.of);
            tracing::warn!(%stream, list, %of, count, "crawl items without a gid not published");
        }
        CrawlNotice::Throttled(pause) => {
            tracing::warn!(%stream, seconds = pause.as_secs(), "rate limit hit, crawls paused");
        }
    }
}

/// Writes what happens to the log.
#[derive(Debug, Default)]
pub struct LogObserver {
    folded: Folded,
}

impl Observer for LogObserver {
    fn notify(&self, event: &BridgeEvent<'_>) {
        match event {
            BridgeEvent::Configured { rejected: Some(problems) } => {
                tracing::error!(reason = problems, "configuration rejected, keeping the previous one");
            }
            BridgeEvent::Committed(summary) => {
                self.folded.committed();
                tracing::debug!(events = summary.events, messages = summary.messages, "batch committed");
            }
            BridgeEvent::CommitFailed(error) => self.commit_failed(error),
            BridgeEvent::Restarting { end, retry_in } => self.restarting(end, *retry_in),
            BridgeEvent::Polled { poll, outcome, .. } => {
                if !matches!(outcome, PollOutcome::Failed(_)) {
                    self.folded.answered(&poll.stream.id);
                }
            }
            BridgeEvent::Turned(..) => self.folded.tell_over(),
            BridgeEvent::ShardAssigned(shard, epoch) => tracing::debug!(shard = shard.0, epoch, "shard acquired"),
            BridgeEvent::OwnershipChanged { shards, streams } => {
                tracing::info!(shards = shards.len(), streams, "shard ownership changed");
            }
            BridgeEvent::Stream(place, Notice::Failed(failure)) => self.folded.poll_failed(place, failure),
            BridgeEvent::Stream(place, notice) => stream(place, notice),
            BridgeEvent::Account(name, notice) => account(name, *notice),
            // Logged where they happen, or counted only.
            BridgeEvent::Configured { rejected: None }
            | BridgeEvent::RuleShrank(_)
            | BridgeEvent::SessionOpened
            | BridgeEvent::SessionEnded(_)
            | BridgeEvent::Answered { .. }
            | BridgeEvent::ApiChange { .. }
            | BridgeEvent::WebhookDelivered(_)
            | BridgeEvent::Webhooks { .. }
            | BridgeEvent::Committing(..) => {}
        }
    }
}

impl LogObserver {
    fn commit_failed(&self, error: &CommitError) {
        match error {
            CommitError::Fenced(_) => tracing::info!(%error, "commit fenced, shards taken over by another replica"),
            // The end of the session says so.
            CommitError::Fatal(SinkError::ReaderGone | SinkError::Tampered { .. }) => {}
            CommitError::Aborted(_) | CommitError::Unknown(_) | CommitError::Fatal(_) => {
                self.folded.commit_failed(error);
            }
        }
    }

    fn restarting(&self, end: &SessionEnd, retry_in: Duration) {
        if let SessionEnd::Commit(CommitError::Fenced(_)) = end {
            tracing::info!(reason = %end, ?retry_in, "session ended, rejoining");
        } else {
            self.folded.session_failed(end, retry_in);
        }
    }
}

fn stream(place: &StreamPlace<'_>, notice: &Notice) {
    let StreamPlace { stream, shard: ShardId(shard), epoch } = place;
    match notice {
        Notice::Established => {
            tracing::info!(%stream, shard, epoch, "stream established");
        }
        Notice::Resumed => tracing::info!(%stream, shard, epoch, "stream resumed"),
        Notice::SourceGap { gap_id } => {
            tracing::warn!(%stream, shard, epoch, gap_id, hint = "events may be lost",
                "sync token expired, source gap announced");
        }
        Notice::PolledBare => {
            tracing::warn!(%stream, shard, epoch, hint = "events have fewer names until the next session",
                "polling without opt_fields and extra headers after a 400");
        }
        Notice::TokenRepeated => {
            tracing::warn!(%stream, shard, epoch, hint = "the stream is polled with backoff",
                "sync token repeated by Asana, its events not republished");
        }
        Notice::Suspended(denial) => {
            let hint =
                "give the account's user access, or remove the stream from the configuration; it is retried slowly";
            tracing::warn!(%stream, shard, epoch, status = denial.status(), hint,
                "stream suspended, refused by Asana");
        }
        Notice::Throttled(pause) => {
            let account = &stream.account;
            tracing::warn!(%account, seconds = pause.as_secs(), "rate limit hit, polling paused");
        }
        Notice::Ended => tracing::info!(%stream, shard, epoch, "stream ended, no longer polled"),
        Notice::Crawl(notice) => crawl_noticed(stream, notice),
        Notice::DeadLetter { gid, bytes } => {
            tracing::warn!(%stream, shard, epoch, %gid, bytes, hint = "raise the topic's or the server's limit",
                "record too large for the bus, sent as a dead letter");
        }
        Notice::Missed(gids) => {
            let resources = gids.iter().take(MOST_NAMED).map(ToString::to_string).collect::<Vec<_>>().join(" ");
            tracing::warn!(%stream, shard, epoch, count = gids.len(), resources,
                "changes without an event found, snapshots published");
        }
        // Folded.
        Notice::Failed(_) => {}
    }
}

fn account(account: &AccountName, notice: AccountNotice) {
    match notice {
        AccountNotice::Refused(denial) => {
            let status = denial.status();
            let hint = "put a valid token where the configuration says; it is read again";
            tracing::error!(%account, status, hint, "credential rejected by Asana");
        }
        AccountNotice::Accepted => tracing::info!(%account, "credential accepted again by Asana"),
        AccountNotice::ClockOff(ahead) => {
            let seconds = ahead.num_seconds();
            let hint = "positive where the host's clock is ahead; check that NTP sets it";
            tracing::warn!(%account, seconds, hint, "clock differs from Asana's");
        }
        AccountNotice::ClockRight => tracing::info!(%account, "clock agrees with Asana's again"),
    }
}
