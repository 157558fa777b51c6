//! Notifications about what the bridge does while it runs.

use super::session::SessionEnd;
use crate::sink::CommitError;
use bridge_core::crawl::LeftOut;
use bridge_core::engine::{AccountNotice, CommitSummary, Engine, Poll, StreamPlace};
use bridge_core::ids::{AccountName, ShardId, StreamId};
use bridge_core::now::Now;
use bridge_core::outcome::poll::{Failure, PollOutcome};
use bridge_core::record::batch::Batch;
use bridge_core::record::trace::Trace;
use bridge_core::stream::{CrawlNotice, Notice};
use std::sync::Arc;
use std::time::Duration;

/// The maximum number of resources that a log line names.
const MOST_NAMED: usize = 20;

/// Is notified of what happens. Called from the bridge's own task: it must not block.
pub trait Observer: Send + Sync {
    /// A changed configuration is in use, or it was rejected: the problems, each with its path.
    fn configured(&self, _refused: Option<&str>) {}
    /// The lists of one of the account's discovery rules returned less than half of the rule's streams.
    fn rule_shrank(&self, _account: &AccountName) {}
    /// The sink is open, and a session begins.
    fn opened(&self) {}
    /// The session ended, or the sink couldn't be opened.
    fn ended(&self, _end: &SessionEnd) {}
    /// The session's loop ran once. It does so often, at least once a second.
    fn turned(&self, _engine: &Engine, _now: Now) {}
    /// A request to Asana was answered, or failed: the label of its outcome, and its duration.
    fn answered(&self, _account: &AccountName, _outcome: &'static str, _took: Duration) {}
    /// Asana changes its API, and this account's requests are affected. Called once for each change, from any task that
    /// sends requests to Asana.
    fn affected(&self, _account: &AccountName, _change: &str) {}
    /// A poll was answered, or failed: its outcome, and its duration.
    fn polled(&self, _poll: &Poll, _outcome: &PollOutcome, _took: Duration) {}
    /// A batch is being committed, with this trace. [`committed`](Self::committed) or
    /// [`commit_failed`](Self::commit_failed) follows.
    fn committing(&self, _batch: &Batch, _trace: Trace) {}
    /// A request arrived at the webhook endpoint, with this outcome.
    fn webhook_delivered(&self, _outcome: &'static str) {}
    /// The number of the account's webhooks that this replica has registered, and of its streams that need one.
    fn webhooks(&self, _account: &AccountName, _registered: usize, _wanted: usize) {}
    /// This replica became the owner of a shard, and the shard's progress is restored.
    fn assigned(&self, _shard: ShardId, _epoch: Option<u64>) {}
    /// A batch was committed to the bus.
    fn committed(&self, _summary: &CommitSummary) {}
    /// A commit failed. The bridge continues on its own.
    fn commit_failed(&self, _error: &CommitError) {}
    /// A notable event of a stream.
    fn noticed(&self, _place: &StreamPlace<'_>, _notice: &Notice) {}
    /// A notable event of an account.
    fn account_noticed(&self, _account: &AccountName, _notice: AccountNotice) {}
    /// The shards that this replica owns now, and the number of streams in them.
    fn owns(&self, _shards: &[ShardId], _streams: usize) {}
}

/// Notifies all of its observers, in order.
#[derive(Clone)]
pub struct Observers(pub Vec<Arc<dyn Observer>>);

impl std::fmt::Debug for Observers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Observers({})", self.0.len())
    }
}

impl Observer for Observers {
    fn configured(&self, refused: Option<&str>) {
        self.0.iter().for_each(|it| it.configured(refused));
    }

    fn rule_shrank(&self, account: &AccountName) {
        self.0.iter().for_each(|it| it.rule_shrank(account));
    }

    fn opened(&self) {
        self.0.iter().for_each(|it| it.opened());
    }

    fn ended(&self, end: &SessionEnd) {
        self.0.iter().for_each(|it| it.ended(end));
    }

    fn turned(&self, engine: &Engine, now: Now) {
        self.0.iter().for_each(|it| it.turned(engine, now));
    }

    fn answered(&self, account: &AccountName, outcome: &'static str, took: Duration) {
        self.0.iter().for_each(|it| it.answered(account, outcome, took));
    }

    fn affected(&self, account: &AccountName, change: &str) {
        self.0.iter().for_each(|it| it.affected(account, change));
    }

    fn polled(&self, poll: &Poll, outcome: &PollOutcome, took: Duration) {
        self.0.iter().for_each(|it| it.polled(poll, outcome, took));
    }

    fn committing(&self, batch: &Batch, trace: Trace) {
        self.0.iter().for_each(|it| it.committing(batch, trace));
    }

    fn webhook_delivered(&self, outcome: &'static str) {
        self.0.iter().for_each(|it| it.webhook_delivered(outcome));
    }

    fn webhooks(&self, account: &AccountName, registered: usize, wanted: usize) {
        self.0.iter().for_each(|it| it.webhooks(account, registered, wanted));
    }

    fn assigned(&self, shard: ShardId, epoch: Option<u64>) {
        self.0.iter().for_each(|it| it.assigned(shard, epoch));
    }

    fn committed(&self, summary: &CommitSummary) {
        self.0.iter().for_each(|it| it.committed(summary));
    }

    fn commit_failed(&self, error: &CommitError) {
        self.0.iter().for_each(|it| it.commit_failed(error));
    }

    fn noticed(&self, place: &StreamPlace<'_>, notice: &Notice) {
        self.0.iter().for_each(|it| it.noticed(place, notice));
    }

    fn account_noticed(&self, account: &AccountName, notice: AccountNotice) {
        self.0.iter().for_each(|it| it.account_noticed(account, notice));
    }

    fn owns(&self, shards: &[ShardId], streams: usize) {
        self.0.iter().for_each(|it| it.owns(shards, streams));
    }
}

/// Logs a notice of a crawl. Crawls run beside the polls, and have messages of their own.
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

/// Writes all notifications to the log.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogObserver;

impl Observer for LogObserver {
    fn configured(&self, refused: Option<&str>) {
        if let Some(problems) = refused {
            tracing::error!(reason = problems, "configuration rejected, keeping the previous one");
        }
    }

    fn committed(&self, summary: &CommitSummary) {
        tracing::debug!(events = summary.events, messages = summary.messages, "batch committed");
    }

    fn commit_failed(&self, error: &CommitError) {
        match error {
            CommitError::Fenced(_) => tracing::info!(%error, "commit fenced, shards taken over by another replica"),
            CommitError::Aborted(_) => tracing::warn!(%error, "commit aborted, writing the same records again"),
            CommitError::Unknown(_) | CommitError::Fatal(_) => {
                tracing::warn!(%error, "commit failed, restarting from the bus");
            }
        }
    }

    fn assigned(&self, shard: ShardId, epoch: Option<u64>) {
        tracing::debug!(shard = shard.0, epoch, "shard acquired");
    }

    fn noticed(&self, place: &StreamPlace<'_>, notice: &Notice) {
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
            Notice::Failed(Failure::Credential(words)) => {
                let account = &stream.account;
                let hint = "fix what the configuration names for it; it is read again";
                tracing::error!(%account, reason = words, hint, "no usable credential for Asana");
            }
            Notice::Failed(failure) => {
                tracing::warn!(%stream, shard, epoch, reason = failure.label(), detail = ?failure,
                    hint = "check connectivity to Asana", "poll failed, retrying with backoff");
            }
        }
    }

    fn account_noticed(&self, account: &AccountName, notice: AccountNotice) {
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

    fn owns(&self, shards: &[ShardId], streams: usize) {
        tracing::info!(shards = shards.len(), streams, "shard ownership changed");
    }
}
