//! Metrics that are computed at each scrape of `/metrics`, so that a stream that was removed has no series.

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
/// The rows of a metric: labels and a value.
type Rows<'a, const N: usize> = Vec<(Labels<'a, N>, f64)>;

/// Exposes what the watcher has observed.
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
            "1 if the replica has more streams than `admin.streamMetrics` and therefore no metrics of single streams",
            None,
            flag(!single),
        )?;
        if single { single_streams(&mut page, &snapshot) } else { Ok(()) }
    }
}

fn session(page: &mut Sheet<'_>, snapshot: &Snapshot) -> fmt::Result {
    page.one("ready", "1 if `/readyz` reports ready", None, flag(snapshot.ready.is_ok()))?;
    page.one("session_up", "1 while the replica has a session with the bus", None, flag(snapshot.session_open))?;
    if let Some(took) = snapshot.restore_took {
        page.one(
            "session_restore",
            "Time from the start of the session until its first shards were restored, in seconds",
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
        "1 if this replica owns the shard. The sum over all replicas is 1; 0 means that the shard's streams aren't \
         polled",
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
        "Time of the last restore of the shard's progress from the bus, in seconds since the Unix epoch",
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
        "Budget of the whole account over all replicas, in requests per minute: `requestsPerMinute`",
        None,
        rows(|it| f64::from(it.allowance.limit.requests_per_minute.get())),
    )?;
    page.gauge(
        "account_share",
        "Share of the account's budget that this replica may use, from 0 to 1: its streams divided by all streams of \
         the account",
        Some(&Unit::Other("ratio".to_owned())),
        rows(|it| number(it.allowance.share.owned) / number(it.allowance.share.all.max(1))),
    )?;
    page.gauge(
        "account_requests_left",
        "Number of requests that this replica may send now",
        None,
        rows(|it| number(usize::try_from(it.allowance.left).unwrap_or(usize::MAX))),
    )?;
    page.gauge(
        "account_requests_in_flight",
        "Number of requests that are sent and not answered yet",
        None,
        rows(|it| f64::from(it.allowance.in_flight)),
    )?;
    page.gauge(
        "account_pause",
        "Remaining pause of the account, in seconds: after a 429, or while Asana rejects its credential",
        Some(&Unit::Seconds),
        rows(|it| it.allowance.pause.as_secs_f64()),
    )?;
    page.gauge(
        "account_credential_rejected",
        "1 while Asana rejects the account's credential, as a request to `/users/me` confirmed. None of the account's \
         streams is polled. A 401 for a single stream doesn't set it",
        None,
        rows(|it| flag(it.refused.is_some())),
    )?;
    page.gauge(
        "account_clock_offset",
        "Least offset of the host's clock from Asana's by the latest answer, in seconds: positive if it is ahead, \
         negative if it is behind, 0 if both may be the same",
        Some(&Unit::Seconds),
        rows(|it| it.clock_offset.as_seconds_f64()),
    )?;
    page.gauge(
        "account_poll_delay",
        "Delay of polls, in seconds: of the most overdue one, or the time by which the longest interval that the budget \
         gives exceeds `polling.maxInterval`. It is high if the budget is too small for the streams, or if the bus accepts \
         nothing",
        Some(&Unit::Seconds),
        rows(|it| it.delay.as_secs_f64()),
    )?;
    page.gauge(
        "account_expected_delay",
        "Mean time from an event to the poll that returns it, in seconds, as the budget gives it to this replica's \
         streams by how often they have had events. Twice the budget about halves it",
        Some(&Unit::Seconds),
        rows(|it| it.freshness.mean_delay.as_secs_f64()),
    )?;
    page.gauge(
        "account_longest_interval",
        "Longest interval between two polls of a stream that the budget gives, in seconds",
        Some(&Unit::Seconds),
        rows(|it| it.freshness.longest_interval.as_secs_f64()),
    )
}

fn writer(page: &mut Sheet<'_>, snapshot: &Snapshot) -> fmt::Result {
    page.one("commit_in_flight", "1 while a commit is in flight", None, flag(snapshot.commit_age.is_some()))?;
    page.one(
        "commit_age",
        "Age of the in-flight commit, in seconds. It grows while the bus doesn't answer",
        Some(&Unit::Seconds),
        snapshot.commit_age.unwrap_or_default().as_secs_f64(),
    )?;
    let of = |value: fn(&Status) -> usize| number(snapshot.status.as_deref().map_or(0, value));
    page.one("pending_pages", "Number of pages that wait for their commit", None, of(|status| status.pending_pages))?;
    page.one(
        "pending",
        "Size of the pages that wait for their commit, in bytes",
        Some(&Unit::Bytes),
        of(|status| status.pending_bytes),
    )?;
    page.one(
        "pending_limit",
        "Limit for `pending_bytes`, in bytes, above which nothing is polled: `commit.maxPending`",
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
        "Number of this replica's streams, by state: `establishing` (no sync token yet), `live`, `expired` (the sync \
         token is older than 24 hours), `suspended` (Asana refuses their polls)",
        None,
        states.into(),
    )?;
    page.gauge(
        "streams_suspended",
        "Number of suspended streams, by the HTTP status of Asana's refusal. With a valid credential, 401 means that \
         the workspace has disabled the app",
        None,
        refusals(snapshot).iter().map(|(status, count)| ([("status", status.as_str())], number(*count))).collect(),
    )?;
    let failing = snapshot.streams().iter().filter_map(|it| it.failing_for);
    page.one(
        "stream_failing_max",
        "Longest time for which a stream has had no usable answer, in seconds: the age of the first of its consecutive \
         failures",
        Some(&Unit::Seconds),
        failing.max().unwrap_or_default().as_secs_f64(),
    )?;
    let staleness = snapshot.streams().iter().filter_map(|it| since(it.last_complete_poll_at, now));
    page.one(
        "stream_staleness_max",
        "Highest staleness of a stream, in seconds: the time since a poll read all waiting events",
        Some(&Unit::Seconds),
        staleness.max().unwrap_or_default().as_secs_f64(),
    )?;
    let left = snapshot.streams().iter().filter_map(|it| Some(token_left(it.token_received_at?, now)));
    if let Some(least) = left.min() {
        page.one(
            "stream_token_left_min",
            "Shortest remaining lifetime of a stream's sync token, in seconds",
            Some(&Unit::Seconds),
            least.as_secs_f64(),
        )?;
    }
    let crawls = snapshot.streams().iter().filter(|it| it.crawl.is_some());
    page.one("crawls_running", "Number of streams whose resources are being re-crawled", None, number(crawls.count()))?;
    let stalled = snapshot.streams().iter().filter_map(|it| Some(it.crawl.as_ref()?.stalled));
    page.one(
        "crawl_stalled_max",
        "Longest time for which a crawl has read nothing, in seconds",
        Some(&Unit::Seconds),
        stalled.max().unwrap_or_default().as_secs_f64(),
    )?;
    let left_out = snapshot.streams().iter().map(|it| it.crawl.as_ref().map_or(it.left_out, |crawl| crawl.left_out));
    page.one(
        "crawl_left_out",
        "Number of lists and objects that crawls couldn't read. They are read again later; until then their state may \
         be outdated",
        None,
        number(usize::try_from(left_out.sum::<u64>()).unwrap_or(usize::MAX)),
    )?;
    let gaps = || snapshot.streams().iter().flat_map(|it| &it.open_gaps);
    page.one("source_gaps_open", "Number of source gaps that aren't healed", None, number(gaps().count()))?;
    page.one(
        "source_gap_age_max",
        "Age of the oldest open source gap, in seconds",
        Some(&Unit::Seconds),
        gaps().filter_map(|gap| since(Some(gap.resumed_at), now)).max().unwrap_or_default().as_secs_f64(),
    )
}

/// The number of suspended streams by HTTP status.
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
        "Staleness of the stream, in seconds: the time since a poll read all waiting events",
        Some(&Unit::Seconds),
        rows(&|it| Some(since(it.last_complete_poll_at, now)?.as_secs_f64())),
    )?;
    page.gauge(
        "stream_last_complete_poll_timestamp",
        "Time of the last poll that read all waiting events, in seconds since the Unix epoch",
        Some(&Unit::Seconds),
        rows(&|it| it.last_complete_poll_at.map(timestamp)),
    )?;
    page.gauge(
        "stream_token_age",
        "Age of the sync token, in seconds",
        Some(&Unit::Seconds),
        rows(&|it| Some(since(it.token_received_at, now)?.as_secs_f64())),
    )?;
    page.gauge(
        "stream_token_left",
        "Remaining lifetime of the sync token, in seconds. It expires 24 hours after Asana issued it",
        Some(&Unit::Seconds),
        rows(&|it| Some(token_left(it.token_received_at?, now).as_secs_f64())),
    )?;
    page.gauge(
        "stream_source_gaps_open",
        "Number of the stream's source gaps that aren't healed",
        None,
        rows(&|it| Some(number(it.open_gaps.len()))),
    )?;
    page.gauge(
        "stream_poll_failures",
        "Number of consecutive polls without a usable answer",
        None,
        rows(&|it| Some(f64::from(it.failures))),
    )?;
    page.counter(
        "stream_events",
        "Number of the stream's events committed to the bus since this replica took the stream over",
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

/// Writes metrics, one family after the other.
pub(super) struct Sheet<'a> {
    pub(super) encoder: DescriptorEncoder<'a>,
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
        // As the registry does it: a full stop at the end of the help.
        fill(self.encoder.encode_descriptor(name, &format!("{help}."), unit, kind)?)
    }

    pub(super) fn one(&mut self, name: &str, help: &str, unit: Option<&Unit>, value: f64) -> fmt::Result {
        self.table(name, help, unit, MetricType::Gauge, |table| ConstGauge::new(value).encode(table))
    }

    fn gauge<const N: usize>(&mut self, name: &str, help: &str, unit: Option<&Unit>, rows: Rows<'_, N>) -> fmt::Result {
        self.table(name, help, unit, MetricType::Gauge, |mut table| {
            let mut rows = rows.into_iter();
            rows.try_for_each(|(labels, value)| ConstGauge::new(value).encode(table.encode_family(&labels)?))
        })
    }

    /// A counter of whole and broken numbers.
    pub(super) fn total(&mut self, name: &str, help: &str, unit: Option<&Unit>, value: f64) -> fmt::Result {
        self.table(name, help, unit, MetricType::Counter, |table| ConstCounter::new(value).encode(table))
    }

    fn counter<const N: usize>(&mut self, name: &str, help: &str, rows: Vec<(Labels<'_, N>, u64)>) -> fmt::Result {
        self.table(name, help, None, MetricType::Counter, |mut table| {
            let mut rows = rows.into_iter();
            rows.try_for_each(|(labels, value)| ConstCounter::new(value).encode(table.encode_family(&labels)?))
        })
    }
}
