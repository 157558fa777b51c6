//! What is looked at when `/metrics` is asked for: made anew each time, so that a stream that left has no series.

use super::metrics::number;
use super::watcher::{Snapshot, Watcher};
use bridge_core::engine::{AccountStatus, Phase, Status, StreamStatus, token_left};
use bridge_core::ids::ShardId;
use chrono::{DateTime, Utc};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

type Labels<'a, const N: usize> = [(&'static str, &'a str); N];
/// The rows of a table: labels and a value.
type Rows<'a, const N: usize> = Vec<(Labels<'a, N>, f64)>;

/// Tells what the watcher knows.
#[derive(Debug)]
pub(super) struct Sampled(pub(super) Arc<Watcher>);

impl Collector for Sampled {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let snapshot = self.0.snapshot();
        let mut page = Sheet { encoder };
        session(&mut page, &snapshot)?;
        shards(&mut page, &snapshot)?;
        accounts(&mut page, &snapshot)?;
        writer(&mut page, &snapshot)?;
        streams(&mut page, &snapshot)?;
        let single = snapshot.streams().len() <= self.0.facts().stream_metrics;
        page.one(
            "stream_series_omitted",
            "1 where the replica has more streams than `admin.streamMetrics`, so that no single stream has metrics",
            None,
            flag(!single),
        )?;
        if single { single_streams(&mut page, &snapshot) } else { Ok(()) }
    }
}

fn session(page: &mut Sheet<'_>, snapshot: &Snapshot) -> fmt::Result {
    page.one("ready", "1 where `/readyz` says yes", None, flag(snapshot.ready.is_ok()))?;
    page.one("session_up", "1 while there is a session with the bus", None, flag(snapshot.session_open))?;
    if let Some(took) = snapshot.restore_took {
        page.one(
            "session_restore",
            "From the opening of the session to its first shards, their progress restored",
            Some(&Unit::Seconds),
            took.as_secs_f64(),
        )?;
    }
    Ok(())
}

fn shards(page: &mut Sheet<'_>, snapshot: &Snapshot) -> fmt::Result {
    let names: Vec<_> = (0..snapshot.facts.shards.get()).map(|shard| (ShardId(shard), shard.to_string())).collect();
    let owned = names.iter().map(|(shard, name)| ([("shard", name.as_str())], flag(snapshot.owns(*shard))));
    page.gauge(
        "shard_owned",
        "1 where the shard is this replica's. The sum over replicas is 1: 0 means that nobody polls its streams",
        None,
        owned.collect(),
    )?;
    let restored = names.iter().filter_map(|(shard, name)| {
        Some((
            [("shard", name.as_str())],
            timestamp(*snapshot.restored_at.get(shard).filter(|_| snapshot.owns(*shard))?),
        ))
    });
    page.gauge(
        "shard_restored_timestamp",
        "When the shard's progress was last restored from the bus",
        Some(&Unit::Seconds),
        restored.collect(),
    )
}

fn accounts(page: &mut Sheet<'_>, snapshot: &Snapshot) -> fmt::Result {
    let accounts = || snapshot.status.iter().flat_map(|status| &status.accounts);
    let rows = |value: fn(&AccountStatus) -> f64| -> Rows<'_, 1> {
        accounts().map(|it| ([("account", it.name.as_str())], value(it))).collect()
    };
    page.gauge(
        "account_budget_requests_per_minute",
        "The whole account's budget, over all replicas: `requestsPerMinute`",
        None,
        rows(|it| f64::from(it.allowance.limit.requests_per_minute.get())),
    )?;
    page.gauge(
        "account_share",
        "This replica's part of the account's budget, from 0 to 1: the streams that it has, of all",
        Some(&Unit::Other("ratio".to_owned())),
        rows(|it| number(it.allowance.share.owned) / number(it.allowance.share.all.max(1))),
    )?;
    page.gauge(
        "account_requests_left",
        "Requests that this replica may send at once",
        None,
        rows(|it| number(usize::try_from(it.allowance.left).unwrap_or(usize::MAX))),
    )?;
    page.gauge(
        "account_requests_in_flight",
        "Requests that were sent and aren't answered",
        None,
        rows(|it| f64::from(it.allowance.in_flight)),
    )?;
    page.gauge(
        "account_pause",
        "How long the account still waits: because Asana said so (429), or refuses its credential",
        Some(&Unit::Seconds),
        rows(|it| it.allowance.pause.as_secs_f64()),
    )?;
    page.gauge(
        "account_refused",
        "1 while Asana refuses the account's credential, so that nothing of it is polled. One stream's 401 alone doesn't say so: \
         `/users/me` was asked",
        None,
        rows(|it| flag(it.refused.is_some())),
    )?;
    page.gauge(
        "account_clock_offset",
        "How far the host's clock is ahead of Asana's at the least, by the latest answer; behind if it is negative, 0 where they \
         may be the same",
        Some(&Unit::Seconds),
        rows(|it| it.clock_offset.as_seconds_f64()),
    )?;
    page.gauge(
        "account_poll_delay",
        "How long the stream that is due for longest has been waiting. Where it grows, the budget is too small for the \
         streams, or the bus takes nothing",
        Some(&Unit::Seconds),
        rows(|it| it.delay.as_secs_f64()),
    )
}

fn writer(page: &mut Sheet<'_>, snapshot: &Snapshot) -> fmt::Result {
    page.one("commit_in_flight", "1 while a commit is under way", None, flag(snapshot.commit_age.is_some()))?;
    page.one(
        "commit_age",
        "How long the commit that is under way has been so. Where it grows, the bus doesn't answer",
        Some(&Unit::Seconds),
        snapshot.commit_age.unwrap_or_default().as_secs_f64(),
    )?;
    let of = |value: fn(&Status) -> usize| number(snapshot.status.as_deref().map_or(0, value));
    page.one("pending_pages", "Pages that wait for the bus", None, of(|status| status.pending_pages))?;
    page.one(
        "pending",
        "What the pages that wait for the bus weigh",
        Some(&Unit::Bytes),
        of(|status| status.pending_bytes),
    )?;
    page.one(
        "pending_limit",
        "Past this weight nothing is polled: `commit.maxPending`",
        Some(&Unit::Bytes),
        of(|status| status.max_pending_bytes),
    )
}

fn streams(page: &mut Sheet<'_>, snapshot: &Snapshot) -> fmt::Result {
    let now = snapshot.at;
    let count = |label: &str| number(snapshot.streams().iter().filter(|it| it.phase.label() == label).count());
    let states = Phase::LABELS.map(|label| ([("state", label)], count(label)));
    page.gauge(
        "streams",
        "Streams of this replica by state: `establishing` (no sync token yet), `live`, `expired` (the token is older than 24 \
         hours), `refused` (Asana refuses to have them polled)",
        None,
        states.into(),
    )?;
    page.gauge(
        "streams_refused",
        "Streams that Asana refuses to have polled, by HTTP status: 401 is of an app that the workspace has switched off, \
         where the account's credential is good",
        None,
        refusals(snapshot).iter().map(|(status, count)| ([("status", status.as_str())], number(*count))).collect(),
    )?;
    let failing = snapshot.streams().iter().filter_map(|it| it.failing_for);
    page.one(
        "stream_failing_max",
        "How long the worst stream has had no usable answer: the age of the first of its failures in a row",
        Some(&Unit::Seconds),
        failing.max().unwrap_or_default().as_secs_f64(),
    )?;
    let staleness = snapshot.streams().iter().filter_map(|it| since(it.last_complete_poll_at, now));
    page.one(
        "stream_staleness_max",
        "The worst staleness of a stream: the time since a poll left nothing waiting",
        Some(&Unit::Seconds),
        staleness.max().unwrap_or_default().as_secs_f64(),
    )?;
    let left = snapshot.streams().iter().filter_map(|it| Some(token_left(it.token_received_at?, now)));
    if let Some(least) = left.min() {
        page.one(
            "stream_token_left_min",
            "The least time until a stream's sync token must be presumed dead",
            Some(&Unit::Seconds),
            least.as_secs_f64(),
        )?;
    }
    let crawls = snapshot.streams().iter().filter(|it| it.crawl.is_some());
    page.one("crawls_running", "Streams whose resources are being read anew", None, number(crawls.count()))?;
    let still = snapshot.streams().iter().filter_map(|it| Some(it.crawl.as_ref()?.stands_still));
    page.one(
        "crawl_standstill_max",
        "For how long the crawl that stands still longest has read nothing",
        Some(&Unit::Seconds),
        still.max().unwrap_or_default().as_secs_f64(),
    )?;
    let left_out = snapshot.streams().iter().map(|it| it.crawl.as_ref().map_or(it.left_out, |crawl| crawl.left_out));
    page.one(
        "crawl_left_out",
        "Lists and objects that crawls couldn't read. They are tried again, and their state may be old until then",
        None,
        number(usize::try_from(left_out.sum::<u64>()).unwrap_or(usize::MAX)),
    )?;
    let gaps = || snapshot.streams().iter().flat_map(|it| &it.open_gaps);
    page.one("source_gaps_open", "Source gaps that aren't healed", None, number(gaps().count()))?;
    page.one(
        "source_gap_age_max",
        "How long the oldest source gap has been open",
        Some(&Unit::Seconds),
        gaps().filter_map(|gap| since(Some(gap.resumed_at), now)).max().unwrap_or_default().as_secs_f64(),
    )
}

/// How many streams each status is the answer to.
fn refusals(snapshot: &Snapshot) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for stream in snapshot.streams() {
        if let Phase::Suspended(denial) = stream.phase {
            *counts.entry(denial.status().to_string()).or_default() += 1;
        }
    }
    counts
}

fn single_streams(page: &mut Sheet<'_>, snapshot: &Snapshot) -> fmt::Result {
    let now = snapshot.at;
    let rows = |value: &dyn Fn(&StreamStatus) -> Option<f64>| -> Rows<'_, 2> {
        snapshot.streams().iter().filter_map(|it| Some((labels(it), value(it)?))).collect()
    };
    page.gauge(
        "stream_staleness",
        "The time since a poll left nothing waiting",
        Some(&Unit::Seconds),
        rows(&|it| Some(since(it.last_complete_poll_at, now)?.as_secs_f64())),
    )?;
    page.gauge(
        "stream_last_complete_poll_timestamp",
        "When a poll last left nothing waiting",
        Some(&Unit::Seconds),
        rows(&|it| it.last_complete_poll_at.map(timestamp)),
    )?;
    page.gauge(
        "stream_token_age",
        "How old the sync token is",
        Some(&Unit::Seconds),
        rows(&|it| Some(since(it.token_received_at, now)?.as_secs_f64())),
    )?;
    page.gauge(
        "stream_token_left",
        "How long until the sync token must be presumed dead: 24 hours after it was given",
        Some(&Unit::Seconds),
        rows(&|it| Some(token_left(it.token_received_at?, now).as_secs_f64())),
    )?;
    page.gauge(
        "stream_source_gaps_open",
        "Source gaps of the stream that aren't healed",
        None,
        rows(&|it| Some(number(it.open_gaps.len()))),
    )?;
    page.gauge(
        "stream_poll_failures",
        "Polls without a usable answer, in a row",
        None,
        rows(&|it| Some(f64::from(it.failures))),
    )?;
    page.counter(
        "stream_events",
        "Events of the stream on the bus, since it came to this replica's session",
        snapshot.streams().iter().map(|it| (labels(it), it.published)).collect(),
    )
}

fn labels(stream: &StreamStatus) -> Labels<'_, 2> {
    [("account", stream.id.account.as_str()), ("resource", stream.id.resource.as_str())]
}

fn flag(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

fn since(at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Option<Duration> {
    at.map(|at| (now - at).to_std().unwrap_or_default())
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of this age are exact")]
pub(super) fn timestamp(at: DateTime<Utc>) -> f64 {
    at.timestamp_millis() as f64 / 1000.0
}

/// What the process takes of the machine's memory.
#[derive(Debug)]
pub(super) struct Memory;

impl Collector for Memory {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(bytes) = resident_bytes() else { return Ok(()) };
        let help = "Resident memory of the process";
        Sheet { encoder }.one("process_resident_memory", help, Some(&Unit::Bytes), bytes)
    }
}

/// As proc(5) of Linux tells it; nothing elsewhere.
fn resident_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(number(line.trim().strip_suffix("kB")?.trim().parse().ok()?) * 1024.0)
}

/// What is told, table by table.
struct Sheet<'a> {
    encoder: DescriptorEncoder<'a>,
}

impl Sheet<'_> {
    fn table(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        kind: MetricType,
        fill: impl FnOnce(MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        // As the registry does it: a full stop behind what is said.
        fill(self.encoder.encode_descriptor(name, &format!("{help}."), unit, kind)?)
    }

    fn one(&mut self, name: &str, help: &str, unit: Option<&Unit>, value: f64) -> fmt::Result {
        self.table(name, help, unit, MetricType::Gauge, |table| ConstGauge::new(value).encode(table))
    }

    fn gauge<const N: usize>(&mut self, name: &str, help: &str, unit: Option<&Unit>, rows: Rows<'_, N>) -> fmt::Result {
        self.table(name, help, unit, MetricType::Gauge, |mut table| {
            let mut rows = rows.into_iter();
            rows.try_for_each(|(labels, value)| ConstGauge::new(value).encode(table.encode_family(&labels)?))
        })
    }

    fn counter<const N: usize>(&mut self, name: &str, help: &str, rows: Vec<(Labels<'_, N>, u64)>) -> fmt::Result {
        self.table(name, help, None, MetricType::Counter, |mut table| {
            let mut rows = rows.into_iter();
            rows.try_for_each(|(labels, value)| ConstCounter::new(value).encode(table.encode_family(&labels)?))
        })
    }
}
