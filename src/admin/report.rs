//! The body of `/api/streams`: the whole replica, streams with trouble first. Times are RFC 3339 in UTC, durations whole
//! seconds.

use super::failures::Failure;
use super::watcher::Snapshot;
use bridge_core::engine::schedule::Freshness;
use bridge_core::engine::{AccountStatus, CrawlStatus, Phase, StreamStatus, token_left};
use bridge_core::ids::{ShardId, StreamKind};
use bridge_core::outcome::poll::Denial;
use bridge_core::stream::OpenGap;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// The state of a replica and its streams.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The replica's name, from the configuration.
    pub replica: String,
    /// The program's version.
    pub version: String,
    /// The kind of the sink: `kafka`, `nats`, `file` or `console`.
    pub sink: String,
    /// The time of this report.
    pub at: String,
    /// The time when the process started.
    pub started_at: String,
    /// Whether `/readyz` answers 200.
    pub ready: bool,
    /// The reason why the replica isn't ready. Absent if it is ready.
    pub unready_reason: Option<String>,
    /// Whether a session with the bus is open. While none is open, the report shows the streams as they last were.
    pub session_open: bool,
    /// The reason why the last session ended or couldn't be opened. Absent if that didn't happen.
    pub last_session_end: Option<String>,
    /// The number of all shards. `owned_shards` lists those of this replica.
    pub shards: u32,
    /// The shards that this replica owns, sorted by number.
    pub owned_shards: Vec<ShardReport>,
    /// The accounts of the configuration, sorted by name.
    pub accounts: Vec<AccountReport>,
    /// The records that are waiting for a commit.
    pub pending: PendingReport,
    /// Sums over all streams that this replica owns.
    pub totals: Totals,
    /// The number of owned streams that `search` matches: all of them without it.
    pub matching_streams: usize,
    /// The matching streams: those with trouble first (suspended or expired, failing, with open source gaps, without a token), then
    /// by the time of their last complete poll. `offset` and `limit` may cut the list.
    pub streams: Vec<StreamReport>,
    /// Source gaps that aren't healed, the oldest first. `limit` may cut the list.
    pub open_gaps: Vec<GapReport>,
    /// The latest failures, the newest first, folded by account and kind. At most 50.
    pub failures: Vec<FailureReport>,
}

/// A shard that this replica owns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardReport {
    /// The shard's number, from 0.
    pub shard: u32,
    /// The shard's current epoch. Absent until the shard is in a status of the engine.
    pub epoch: Option<u64>,
    /// The time when the shard's progress was last restored from the bus.
    pub restored_at: Option<String>,
    /// The number of streams in the shard.
    pub streams: usize,
}

/// This replica's part of an account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccountReport {
    /// The account's name, from the configuration.
    pub account: String,
    /// The account's request budget a minute, over all replicas.
    pub requests_per_minute: u32,
    /// The number of the account's streams that this replica owns.
    pub owned_streams: usize,
    /// The number of all streams of the account, over all replicas.
    pub all_streams: usize,
    /// The number of requests that this replica may send at once.
    pub requests_left: u64,
    /// The number of requests that Asana hasn't answered yet.
    pub requests_in_flight: u16,
    /// The remaining pause that Asana demanded with `Retry-After`, in seconds. 0 if there is none.
    pub pause_seconds: u64,
    /// The HTTP status with which Asana refuses the account's credential. Absent if it accepts it. Nothing is polled
    /// meanwhile.
    pub refused_status: Option<u16>,
    /// The minimum offset of the host's clock from Asana's clock, in seconds. Positive if the host's clock is ahead.
    pub clock_offset_seconds: i64,
    /// The age of the oldest overdue poll, in seconds, or the time by which the longest interval that the budget gives exceeds
    /// `polling.maxInterval`.
    pub poll_delay_seconds: u64,
    /// How fresh the budget keeps this replica's streams.
    pub freshness: FreshnessReport,
    /// How fresh twice the budget would keep them.
    pub freshness_of_twice_the_budget: FreshnessReport,
}

/// How fresh a budget keeps streams, by how often they have had events so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FreshnessReport {
    /// The time from an event to the poll that returns it, in seconds: the mean over events.
    pub mean_delay_seconds: f64,
    /// The longest interval between two polls of a stream, in seconds.
    pub longest_interval_seconds: f64,
}

/// The records that are waiting for a commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingReport {
    /// The number of polled pages that aren't committed.
    pub pages: usize,
    /// The size of these pages, in bytes.
    pub bytes: usize,
    /// The limit of `bytes`. Above it, polling pauses.
    pub limit_bytes: usize,
    /// The age of the commit in flight, in seconds. Absent if none is in flight.
    pub commit_age_seconds: Option<u64>,
}

/// Sums over streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// The number of all owned streams.
    pub streams: usize,
    /// Streams without a sync token yet.
    pub establishing: usize,
    /// Streams with a usable sync token.
    pub live: usize,
    /// Streams whose sync token is presumed to be expired.
    pub expired: usize,
    /// Streams that Asana refuses (401, 403, 404).
    pub suspended: usize,
    /// Source gaps that aren't healed.
    pub open_gaps: usize,
    /// Streams with a crawl in progress.
    pub crawls: usize,
    /// The age of the least recent complete poll, in seconds.
    pub staleness_max_seconds: u64,
}

/// The state of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamReport {
    /// The stream, as `account/gid`.
    pub stream: String,
    /// Whether the stream is a whole workspace.
    pub workspace: bool,
    /// The shard that the stream is in.
    pub shard: u32,
    /// `establishing`, `live`, `expired` or `suspended`.
    pub state: String,
    /// The HTTP status with which Asana refuses the stream. Absent if it isn't suspended.
    pub refused_status: Option<u16>,
    /// The time of the last poll after which no more events were waiting.
    pub last_complete_poll_at: Option<String>,
    /// The age of the last complete poll, in seconds.
    pub staleness_seconds: Option<u64>,
    /// The age of the sync token, in seconds.
    pub token_age_seconds: Option<u64>,
    /// The maximum remaining life of the sync token, in seconds. 0 if the token is presumed to be expired.
    pub token_expires_in_seconds: Option<u64>,
    /// The time of the next poll. Absent while a poll is in flight or waits for a commit.
    pub next_poll_at: Option<String>,
    /// The time until the next poll, in seconds. 0 if the poll is overdue.
    pub next_poll_in_seconds: Option<u64>,
    /// The number of consecutive polls without a usable answer.
    pub failures: u32,
    /// The time since the first of these failed polls, in seconds.
    pub failing_seconds: Option<u64>,
    /// The number of events written to the bus since this session got the stream.
    pub events: u64,
    /// The number of source gaps that aren't healed.
    pub open_gaps: usize,
    /// The crawl in progress, if there is one.
    pub crawl: Option<CrawlReport>,
    /// The start of the last complete crawl.
    pub last_crawl_at: Option<String>,
}

/// A crawl in progress: the bridge reads all resources of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrawlReport {
    /// `initial`, `source_gap` or `reconciliation`.
    pub reason: String,
    /// The time when the crawl started.
    pub begun_at: String,
    /// The number of snapshots that the crawl has written.
    pub snapshots: u64,
    /// The list or object being read, such as "tasks of 1204619611402340". Empty while the crawl requests resources
    /// that no list showed.
    pub reading: String,
    /// The number of pages of that list that were read.
    pub pages: u32,
    /// The number of restarts of the current list without progress.
    pub restarts: u32,
    /// The number of known lists that are still to be read.
    pub waiting: usize,
    /// The number of these lists that failed and are retried.
    pub deferred: usize,
    /// The number of lists and objects that couldn't be read.
    pub left_out: u64,
    /// The number of resources that no list showed and that were requested one by one.
    pub asked: u64,
    /// The number of known resources that are still to be requested one by one.
    pub to_ask: usize,
    /// The time for which nothing could be read, in seconds.
    pub stalled_seconds: u64,
}

/// A source gap that isn't healed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapReport {
    /// The stream, as `account/gid`.
    pub stream: String,
    /// The id of the source gap, as in its records.
    pub gap_id: String,
    /// The start of the gap: no event before this time is lost. Absent if it isn't known.
    pub last_complete_poll_at: Option<String>,
    /// The end of the gap: no event after this time is lost.
    pub resumed_at: String,
}

/// A failure that the status page lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureReport {
    /// The time of the latest failure of this kind and account.
    pub at: String,
    /// The time of the first one.
    pub first_at: String,
    /// The number of them.
    pub count: u64,
    /// The account. Absent for failures of the bus and of the configuration.
    pub account: Option<String>,
    /// The stream or account that failed last. Absent for failures of the bus and of the configuration.
    pub of: Option<String>,
    /// The kind of failure, such as `source_gap`.
    pub kind: String,
    /// A description of the latest failure, for people.
    pub text: String,
}

impl Report {
    /// The report of a snapshot, with the streams that are asked for.
    pub(super) fn new(snapshot: &Snapshot, asked: &Asked) -> Self {
        let status = snapshot.status.as_deref();
        let limit = asked.limit.unwrap_or(usize::MAX);
        let all = || snapshot.streams().iter();
        let mut streams: Vec<_> = all().filter(|stream| asked.matches(stream)).collect();
        streams.sort_by_key(|stream| (trouble(stream), stream.last_complete_poll_at));
        let mut gaps: Vec<_> = all().flat_map(|it| it.open_gaps.iter().map(move |gap| (it, gap))).collect();
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
            totals: totals(snapshot.streams(), snapshot.at),
            matching_streams: streams.len(),
            streams: streams.into_iter().skip(asked.offset).take(limit).map(|it| stream(it, snapshot.at)).collect(),
            open_gaps: gaps.into_iter().take(limit).map(gap).collect(),
            failures: snapshot.failures.newest_first().map(failure).collect(),
        }
    }
}

/// Which streams of a replica are asked for.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Asked {
    /// The maximum number of streams and source gaps in the answer. Default: all.
    limit: Option<usize>,
    /// The number of streams to leave out before them.
    #[serde(default)]
    offset: usize,
    /// A part of the streams' `account/gid`, or of their state.
    #[serde(default)]
    search: String,
}

impl Asked {
    fn matches(&self, stream: &StreamStatus) -> bool {
        let search = self.search.trim();
        stream.id.to_string().contains(search) || stream.phase.label().contains(search)
    }
}

/// How much a stream needs somebody: the least value first.
fn trouble(stream: &StreamStatus) -> u8 {
    match stream.phase {
        Phase::Suspended(_) | Phase::Expired => 0,
        Phase::Establishing | Phase::Live if stream.failures > 0 => 1,
        Phase::Establishing | Phase::Live if !stream.open_gaps.is_empty() => 2,
        Phase::Establishing => 3,
        Phase::Live => 4,
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
    let AccountStatus { name, allowance, delay, freshness, freshness_of_twice, refused, clock_offset } = account;
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
        freshness: (*freshness).into(),
        freshness_of_twice_the_budget: (*freshness_of_twice).into(),
    }
}

impl From<Freshness> for FreshnessReport {
    fn from(freshness: Freshness) -> Self {
        let seconds = |time: Duration| (time.as_secs_f64() * 10.0).round() / 10.0;
        Self {
            mean_delay_seconds: seconds(freshness.mean_delay),
            longest_interval_seconds: seconds(freshness.longest_interval),
        }
    }
}

fn totals(streams: &[StreamStatus], now: DateTime<Utc>) -> Totals {
    let stalest = streams.iter().filter_map(|stream| stream.last_complete_poll_at).min();
    let staleness = stalest.and_then(|at| (now - at).to_std().ok()).unwrap_or_default();
    let mut totals = Totals { streams: streams.len(), staleness_max_seconds: staleness.as_secs(), ..Totals::default() };
    for stream in streams {
        totals.open_gaps += stream.open_gaps.len();
        totals.crawls += usize::from(stream.crawl.is_some());
        match stream.phase {
            Phase::Establishing => totals.establishing += 1,
            Phase::Live => totals.live += 1,
            Phase::Expired => totals.expired += 1,
            Phase::Suspended(_) => totals.suspended += 1,
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
        stalled_seconds: crawl.stalled.as_secs(),
    }
}

fn gap((stream, gap): (&StreamStatus, &OpenGap)) -> GapReport {
    GapReport {
        stream: stream.id.to_string(),
        gap_id: gap.id.clone(),
        last_complete_poll_at: gap.last_complete_poll_at.map(time),
        resumed_at: time(gap.resumed_at),
    }
}

fn failure(failure: &Failure) -> FailureReport {
    FailureReport {
        at: time(failure.at),
        first_at: time(failure.first_at),
        count: failure.count,
        account: failure.account.clone(),
        of: failure.of.clone(),
        kind: failure.kind.to_owned(),
        text: failure.text.clone(),
    }
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}
