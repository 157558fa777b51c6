//! What `/api/streams` says: the whole replica, the stalest streams first.

use super::failures::Failure;
use super::watcher::Snapshot;
use bridge_core::engine::{AccountStatus, CrawlStatus, Phase, StreamStatus, token_left};
use bridge_core::ids::{ShardId, StreamKind};
use bridge_core::outcome::poll::Denial;
use bridge_core::stream::OpenGap;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// A replica, and its streams.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Its name.
    pub replica: String,
    /// The program's version.
    pub version: String,
    /// Where its records go: `kafka`, `nats`, `file` or `console`.
    pub sink: String,
    /// When all of this was so.
    pub at: String,
    /// When the process started.
    pub started_at: String,
    /// Whether `/readyz` says yes.
    pub ready: bool,
    /// Why not.
    pub unready_reason: Option<String>,
    /// Whether there is a session with the bus. While there is none, streams are as they last were.
    pub session_open: bool,
    /// Why the last session ended, or couldn't be opened, if that happened.
    pub last_session_end: Option<String>,
    /// The number of shards, of which `owned_shards` are this replica's.
    pub shards: u32,
    /// By number.
    pub owned_shards: Vec<ShardReport>,
    /// By name.
    pub accounts: Vec<AccountReport>,
    /// What waits for the bus.
    pub pending: PendingReport,
    /// Sums over all streams of the replica.
    pub totals: Totals,
    /// Those without a poll that left nothing waiting first, then the stalest. May be cut by `limit`.
    pub streams: Vec<StreamReport>,
    /// Source gaps that aren't healed, the oldest first. May be cut by `limit`.
    pub open_gaps: Vec<GapReport>,
    /// What went wrong lately, the newest first.
    pub failures: Vec<FailureReport>,
}

/// A shard that this replica has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardReport {
    /// Its number.
    pub shard: u32,
    /// Its epoch.
    pub epoch: Option<u64>,
    /// When its progress was last restored from the bus.
    pub restored_at: Option<String>,
    /// How many streams it has.
    pub streams: usize,
}

/// This replica's part of an account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccountReport {
    /// Its name.
    pub account: String,
    /// The whole account's budget, over all replicas.
    pub requests_per_minute: u32,
    /// Streams of it that this replica has.
    pub owned_streams: usize,
    /// Streams of it that are configured.
    pub all_streams: usize,
    /// Requests that may be sent at once.
    pub requests_left: u64,
    /// Requests that aren't answered.
    pub requests_in_flight: u16,
    /// How long it still waits because Asana said so.
    pub pause_seconds: u64,
    /// The HTTP status with which Asana refuses its credential, if so: nothing of it is polled.
    pub refused_status: Option<u16>,
    /// How far the host's clock is ahead of Asana's at the least; behind if it is negative.
    pub clock_offset_seconds: i64,
    /// How long the stream that is due for longest has been waiting.
    pub poll_delay_seconds: u64,
}

/// What waits for the bus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingReport {
    /// Pages.
    pub pages: usize,
    /// What they weigh.
    pub bytes: usize,
    /// Past this nothing is polled.
    pub limit_bytes: usize,
    /// How long the commit that is under way has been so.
    pub commit_age_seconds: Option<u64>,
}

/// Sums over streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// All.
    pub streams: usize,
    /// Without a token yet.
    pub establishing: usize,
    /// With a token.
    pub live: usize,
    /// With a token that must be presumed dead.
    pub expired: usize,
    /// That Asana refuses to have polled.
    pub refused: usize,
    /// Source gaps that aren't healed.
    pub open_gaps: usize,
    /// Streams whose resources are being read anew.
    pub crawls: usize,
}

/// A stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamReport {
    /// As `account/gid`.
    pub stream: String,
    /// Whether it is a whole workspace.
    pub workspace: bool,
    /// Where it is.
    pub shard: u32,
    /// `establishing`, `live`, `expired` or `refused`.
    pub state: String,
    /// The HTTP status with which Asana refuses it.
    pub refused_status: Option<u16>,
    /// When a poll last left nothing waiting.
    pub last_complete_poll_at: Option<String>,
    /// The time since then.
    pub staleness_seconds: Option<u64>,
    /// How old the sync token is.
    pub token_age_seconds: Option<u64>,
    /// How long the sync token is good at the most: 0 where it must be presumed dead.
    pub token_expires_in_seconds: Option<u64>,
    /// When it is to be polled; nothing while it is being polled, or waits for a commit.
    pub next_poll_at: Option<String>,
    /// How long until then: 0 where it is late.
    pub next_poll_in_seconds: Option<u64>,
    /// Polls without a usable answer, in a row.
    pub failures: u32,
    /// How long ago the first of these was.
    pub failing_seconds: Option<u64>,
    /// Events on the bus since the stream came to this session.
    pub events: u64,
    /// Source gaps that aren't healed.
    pub open_gaps: usize,
    /// The crawl that is under way.
    pub crawl: Option<CrawlReport>,
    /// When the last complete crawl began.
    pub last_crawl_at: Option<String>,
}

/// A crawl under way: a stream's resources are read anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrawlReport {
    /// `initial`, `source_gap` or `reconciliation`.
    pub reason: String,
    /// When it began.
    pub begun_at: String,
    /// How many snapshots it wrote.
    pub snapshots: u64,
    /// What is read now, such as "tasks of 1204619611402340"; empty while what no list showed is asked for.
    pub reading: String,
    /// How many pages of it were read.
    pub pages: u32,
    /// How often it was begun anew without coming further.
    pub restarts: u32,
    /// How many lists wait to be read, as far as they are known.
    pub waiting: usize,
    /// How many of these have failed, and are tried again.
    pub deferred: usize,
    /// How many lists and objects couldn't be read.
    pub left_out: u64,
    /// How many resources that no list showed were asked for alone.
    pub asked: u64,
    /// How many of these wait to be asked for, as far as they are known.
    pub to_ask: usize,
    /// Since when nothing could be read.
    pub stands_still_seconds: u64,
}

/// A source gap that isn't healed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapReport {
    /// The stream, as `account/gid`.
    pub stream: String,
    /// Its id, as in its records.
    pub gap_id: String,
    /// Nothing before is lost.
    pub last_complete_poll_at: String,
    /// Nothing after is lost.
    pub resumed_at: String,
}

/// Something that went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureReport {
    /// When.
    pub at: String,
    /// The stream or account; nothing where it was the bus.
    pub of: Option<String>,
    /// A word for what it is.
    pub kind: String,
    /// More words.
    pub text: String,
}

impl Report {
    /// Of the streams and gaps, so many.
    pub(super) fn new(snapshot: &Snapshot, limit: usize) -> Self {
        let status = snapshot.status.as_deref();
        let mut streams: Vec<_> = snapshot.streams().iter().collect();
        streams.sort_by_key(|stream| stream.last_complete_poll_at);
        let mut gaps: Vec<_> = streams.iter().flat_map(|it| it.open_gaps.iter().map(move |gap| (*it, gap))).collect();
        gaps.sort_by_key(|(_, gap)| gap.resumed_at);
        Self {
            replica: snapshot.facts.replica.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            sink: snapshot.facts.sink.to_owned(),
            at: time(snapshot.at),
            started_at: time(snapshot.facts.started_at),
            ready: snapshot.ready.is_ok(),
            unready_reason: snapshot.ready.clone().err(),
            session_open: snapshot.session_open,
            last_session_end: snapshot.last_end.clone(),
            shards: snapshot.facts.shards.get(),
            owned_shards: shards(snapshot),
            accounts: status.iter().flat_map(|status| &status.accounts).map(account).collect(),
            pending: status.map_or_else(PendingReport::default, |status| PendingReport {
                pages: status.pending_pages,
                bytes: status.pending_bytes,
                limit_bytes: status.max_pending_bytes,
                commit_age_seconds: snapshot.commit_age.map(|age| age.as_secs()),
            }),
            totals: totals(snapshot.streams()),
            streams: streams.into_iter().take(limit).map(|it| stream(it, snapshot.at)).collect(),
            open_gaps: gaps.into_iter().take(limit).map(gap).collect(),
            failures: snapshot.failures.newest_first().map(failure).collect(),
        }
    }
}

fn shards(snapshot: &Snapshot) -> Vec<ShardReport> {
    let known = snapshot.status.iter().flat_map(|status| &status.shards);
    let epochs: BTreeMap<_, _> = known.map(|it| (it.shard, it.epoch)).collect();
    let report = |shard: &ShardId| ShardReport {
        shard: shard.0,
        epoch: epochs.get(shard).copied(),
        restored_at: snapshot.restored_at.get(shard).copied().map(time),
        streams: snapshot.streams().iter().filter(|stream| stream.shard == *shard).count(),
    };
    snapshot.owned.iter().map(report).collect()
}

fn account(account: &AccountStatus) -> AccountReport {
    let AccountStatus { name, allowance, delay, refused, clock_offset } = account;
    AccountReport {
        account: name.to_string(),
        requests_per_minute: allowance.limit.requests_per_minute.get(),
        owned_streams: allowance.share.owned,
        all_streams: allowance.share.all,
        requests_left: allowance.left,
        requests_in_flight: allowance.in_flight,
        pause_seconds: allowance.pause.as_secs(),
        refused_status: refused.map(Denial::status),
        clock_offset_seconds: clock_offset.num_seconds(),
        poll_delay_seconds: delay.as_secs(),
    }
}

fn totals(streams: &[StreamStatus]) -> Totals {
    let mut totals = Totals { streams: streams.len(), ..Totals::default() };
    for stream in streams {
        totals.open_gaps += stream.open_gaps.len();
        totals.crawls += usize::from(stream.crawl.is_some());
        match stream.phase {
            Phase::Establishing => totals.establishing += 1,
            Phase::Live => totals.live += 1,
            Phase::Expired => totals.expired += 1,
            Phase::Suspended(_) => totals.refused += 1,
        }
    }
    totals
}

fn stream(stream: &StreamStatus, now: DateTime<Utc>) -> StreamReport {
    let since = |at: Option<DateTime<Utc>>| at.map(|at| (now - at).to_std().unwrap_or_default().as_secs());
    StreamReport {
        stream: stream.id.to_string(),
        workspace: stream.kind == StreamKind::Workspace,
        shard: stream.shard.0,
        state: stream.phase.label().to_owned(),
        refused_status: match stream.phase {
            Phase::Suspended(denial) => Some(denial.status()),
            Phase::Establishing | Phase::Live | Phase::Expired => None,
        },
        last_complete_poll_at: stream.last_complete_poll_at.map(time),
        staleness_seconds: since(stream.last_complete_poll_at),
        token_age_seconds: since(stream.token_received_at),
        token_expires_in_seconds: stream
            .token_received_at
            .map(|at| token_left(at, now))
            .map(|left: Duration| left.as_secs()),
        next_poll_at: stream.next_poll_at.map(time),
        next_poll_in_seconds: stream.next_poll_at.map(|at| (at - now).to_std().unwrap_or_default().as_secs()),
        failures: stream.failures,
        failing_seconds: stream.failing_for.map(|time| time.as_secs()),
        events: stream.published,
        open_gaps: stream.open_gaps.len(),
        crawl: stream.crawl.as_ref().map(crawl_report),
        last_crawl_at: stream.last_crawl_at.map(time),
    }
}

fn crawl_report(crawl: &CrawlStatus) -> CrawlReport {
    let reading = crawl.reading.as_ref().map(|listing| format!("{} of {}", listing.what.label(), listing.of));
    CrawlReport {
        reason: crawl.reason.label().to_owned(),
        begun_at: time(crawl.begun_at),
        snapshots: crawl.snapshots,
        reading: reading.unwrap_or_default(),
        pages: crawl.pages,
        restarts: crawl.restarts,
        waiting: crawl.waiting,
        deferred: crawl.deferred,
        left_out: crawl.left_out,
        asked: crawl.asked,
        to_ask: crawl.to_ask,
        stands_still_seconds: crawl.stands_still.as_secs(),
    }
}

fn gap((stream, gap): (&StreamStatus, &OpenGap)) -> GapReport {
    GapReport {
        stream: stream.id.to_string(),
        gap_id: gap.id.clone(),
        last_complete_poll_at: time(gap.last_complete_poll_at),
        resumed_at: time(gap.resumed_at),
    }
}

fn failure(failure: &Failure) -> FailureReport {
    FailureReport {
        at: time(failure.at),
        of: failure.of.clone(),
        kind: failure.kind.to_owned(),
        text: failure.text.clone(),
    }
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}
