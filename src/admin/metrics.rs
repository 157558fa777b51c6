//! Counters and histograms, updated as things happen. What is computed at each scrape is in [`sampled`](super::sampled).

use bridge_core::engine::CommitSummary;
use bridge_core::ids::AccountName;
use bridge_core::record::batch::Batch;
use bridge_core::stream::{CrawlNotice, Notice};
use chrono::{DateTime, Utc};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;

/// The prefix of all names, except those of the process.
pub(super) const PREFIX: &str = "asana_event_bridge";

/// Buckets in seconds: from a local file to a bus that is close to a timeout.
const COMMIT_TIMES: [f64; 13] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// Buckets in seconds: up to the default of `requestTimeout`.
const REQUEST_TIMES: [f64; 9] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Buckets in seconds: most of Asana's events arrive within a minute. The last buckets are for outages.
const EVENT_LAGS: [f64; 15] =
    [1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 21_600.0, 86_400.0];
/// Buckets in messages: up to the default of `commit.maxRecords`.
const BATCH_MESSAGES: [f64; 9] = [1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10_000.0];
const BATCH_BYTES: [f64; 8] = [1024.0, 4096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0];

/// The values of the label `outcome` of commits. They exist from the start, so that the first failure is an increase.
const COMMIT_OUTCOMES: [&str; 5] = ["committed", "aborted", "unknown", "fenced", "fatal"];
/// The values of the label `outcome` of requests that alerts use.
const WATCHED_REQUEST_OUTCOMES: [&str; 3] = ["page", "throttled", "credential"];

type Labels<const N: usize> = [(&'static str, String); N];
type Histograms = Family<Labels<1>, Histogram, fn() -> Histogram>;

/// Counters and histograms. Clones share their counts.
#[derive(Clone, Debug)]
pub(super) struct Counted {
    requests: Family<Labels<2>, Counter>,
    request_duration: Histograms,
    api_changes: Family<Labels<2>, Gauge>,
    source_gaps: Family<Labels<1>, Counter>,
    healed: Family<Labels<1>, Counter>,
    crawls: Family<Labels<2>, Counter>,
    missed: Family<Labels<1>, Counter>,
    short_lists: Family<Labels<1>, Counter>,
    unidentified: Family<Labels<1>, Counter>,
    dead_letters: Family<Labels<1>, Counter>,
    rules_shrunk: Family<Labels<1>, Counter>,
    configuration_rejected: Gauge,
    deliveries: Family<Labels<1>, Counter>,
    webhooks: Family<Labels<1>, Gauge>,
    webhook_streams: Family<Labels<1>, Gauge>,
    sessions_ended: Family<Labels<1>, Counter>,
    commits: Family<Labels<1>, Counter>,
    commit_duration: Histogram,
    commit_messages: Histogram,
    commit_size: Histogram,
    events: Counter,
    messages: Counter,
    event_lag: Histogram,
    page_lag: Histogram,
}

impl Counted {
    /// Counters that are all zero.
    pub(super) fn new() -> Self {
        let counted = Self {
            requests: Family::default(),
            request_duration: Family::new_with_constructor(|| Histogram::new(REQUEST_TIMES)),
            api_changes: Family::default(),
            source_gaps: Family::default(),
            healed: Family::default(),
            crawls: Family::default(),
            missed: Family::default(),
            short_lists: Family::default(),
            unidentified: Family::default(),
            dead_letters: Family::default(),
            rules_shrunk: Family::default(),
            configuration_rejected: Gauge::default(),
            deliveries: Family::default(),
            webhooks: Family::default(),
            webhook_streams: Family::default(),
            sessions_ended: Family::default(),
            commits: Family::default(),
            commit_duration: Histogram::new(COMMIT_TIMES),
            commit_messages: Histogram::new(BATCH_MESSAGES),
            commit_size: Histogram::new(BATCH_BYTES),
            events: Counter::default(),
            messages: Counter::default(),
            event_lag: Histogram::new(EVENT_LAGS),
            page_lag: Histogram::new(COMMIT_TIMES),
        };
        for outcome in COMMIT_OUTCOMES {
            counted.commits.get_or_create(&[("outcome", outcome.to_owned())]).inc_by(0);
        }
        counted
    }

    /// Registers the metrics of source gaps and crawls.
    fn register_crawls(&self, registry: &mut Registry) {
        let counted = self.clone();
        registry.register(
            "source_gaps",
            "Number of source gaps opened: Asana no longer accepted a sync token, and events may be lost",
            counted.source_gaps,
        );
        registry.register("source_gaps_healed", "Number of source gaps healed by a crawl", counted.healed);
        registry.register(
            "crawls",
            "Number of finished crawls, each of all resources of a stream, by reason: `initial`, `source_gap`, \
             `reconciliation`",
            counted.crawls,
        );
        registry.register(
            "crawl_short_lists",
            "Number of lists that showed a crawl far fewer resources than known. They are read again, and each \
             resource that is still missing is requested individually",
            counted.short_lists,
        );
        registry.register(
            "crawl_items_without_gid",
            "Number of list items without a gid. They can't be published",
            counted.unidentified,
        );
        registry.register(
            "missed_changes",
            "Number of changed resources for which Asana sent no event within `crawl.lateEvents`, found by a \
             reconciliation. Resources within others, such as the stories of a project's tasks, don't count, since \
             they come and go without events",
            counted.missed,
        );
    }

    /// Registers the metrics of webhook deliveries and registrations.
    fn register_webhooks(&self, registry: &mut Registry) {
        let counted = self.clone();
        registry.register(
            "webhook_deliveries",
            "Number of requests to the webhook endpoint, by outcome: `poll_requested` (of the stream), `heartbeat` (a \
             delivery without events), `handshake` (of a new webhook), `forwarded` (to the replica that owns the \
             stream), `unauthorized` (no valid signature, 401), `unknown` (no stream has this address, 404), `busy` \
             (503), `unreadable` (400)",
            counted.deliveries,
        );
        registry.register(
            "webhooks",
            "Number of webhooks registered by this replica. If it stays below `webhook_streams`, the log contains the \
             reason",
            counted.webhooks,
        );
        registry.register(
            "webhook_streams",
            "Number of this replica's streams that need a webhook",
            counted.webhook_streams,
        );
    }

    /// Registers all metrics for `/metrics`.
    pub(super) fn register(&self, registry: &mut Registry) {
        let counted = self.clone();
        registry.register("build", "Version of the program", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        registry.register(
            "sessions_ended",
            "Number of sessions with the bus that ended or could not be opened, by reason: `stopped`, `sink` (the bus \
             failed or could not be reached), `checkpoint` (a checkpoint could not be read), or the outcome of the \
             commit that ended the session",
            counted.sessions_ended,
        );
        registry.register(
            "account_requests",
            "Number of requests to Asana that were answered or failed, by outcome: `page`, `token_reset` (412), \
             `list_page` (of a crawl), `webhook_list`, `webhook_created`, `webhook_deleted`, `probe` (the credential \
             is valid), `throttled` (429), or the kind of refusal or failure. Each counts against the account's budget",
            counted.requests,
        );
        registry.register_with_unit(
            "account_request_duration",
            "Duration of requests to Asana, in seconds",
            Unit::Seconds,
            counted.request_duration,
        );
        registry.register(
            "account_api_change_affected",
            "1 for each change of Asana's API that affects the account's requests (`Asana-Change` with \
             `affected=true`), since the start of the process. The log contains the link to Asana's description. At \
             most 64 changes for each account",
            counted.api_changes,
        );
        self.register_crawls(registry);
        registry.register(
            "dead_letters",
            "Number of records that are larger than the bus accepts. Each is in the dead-letter topic, and a stand-in \
             keeps its place in the output topic",
            counted.dead_letters,
        );
        registry.register(
            "discovery_rules_shrunk",
            "Number of evaluations of a `discovery` rule that returned less than half of its streams, or none. No \
             stream ends because of that alone: each missing stream is requested individually",
            counted.rules_shrunk,
        );
        registry.register(
            "configuration_rejected",
            "1 while the newest configuration is rejected and the previous one stays in force. A replica that starts \
             with the rejected configuration exits at once",
            counted.configuration_rejected,
        );
        self.register_webhooks(registry);
        registry.register(
            "commits",
            "Number of commits, by outcome: `committed`, `aborted` (the same records are written again), or `unknown`, \
             `fenced` and `fatal` (a new session starts from the state on the bus)",
            counted.commits,
        );
        registry.register_with_unit(
            "commit_duration",
            "Duration of commits of any outcome, in seconds",
            Unit::Seconds,
            counted.commit_duration,
        );
        registry.register("commit_messages", "Number of messages per commit", counted.commit_messages);
        registry.register_with_unit(
            "commit_size",
            "Size of the encoded records per commit, in bytes, without keys and headers",
            Unit::Bytes,
            counted.commit_size,
        );
        registry.register("events", "Number of events committed to the bus", counted.events);
        registry.register("messages", "Number of messages of all kinds committed to the bus", counted.messages);
        registry.register_with_unit(
            "event_lag",
            "Time from an event's `created_at` at Asana to its commit, in seconds: Asana's delay, the polling interval \
             and the commit",
            Unit::Seconds,
            counted.event_lag,
        );
        registry.register_with_unit(
            "page_lag",
            "Time from a page's arrival to its commit, in seconds: the bridge's own part of the lag",
            Unit::Seconds,
            counted.page_lag,
        );
    }

    /// Adds the account's series, so that counters start at zero.
    pub(super) fn account(&self, account: &AccountName) {
        let account = || account.as_str().to_owned();
        for outcome in WATCHED_REQUEST_OUTCOMES {
            self.requests.get_or_create(&[("account", account()), ("outcome", outcome.to_owned())]).inc_by(0);
        }
        for family in [&self.source_gaps, &self.healed, &self.missed, &self.dead_letters, &self.rules_shrunk] {
            family.get_or_create(&[("account", account())]).inc_by(0);
        }
    }

    pub(super) fn session_ended(&self, reason: &str) {
        self.sessions_ended.get_or_create(&[("reason", reason.to_owned())]).inc();
    }

    pub(super) fn rule_shrank(&self, account: &AccountName) {
        self.rules_shrunk.get_or_create(&[("account", account.as_str().to_owned())]).inc();
    }

    pub(super) fn configured(&self, rejected: bool) {
        self.configuration_rejected.set(rejected.into());
    }

    pub(super) fn webhook_delivered(&self, outcome: &str) {
        self.deliveries.get_or_create(&[("outcome", outcome.to_owned())]).inc();
    }

    pub(super) fn webhooks(&self, account: &AccountName, registered: usize, wanted: usize) {
        for (family, count) in [(&self.webhooks, registered), (&self.webhook_streams, wanted)] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            family.get_or_create(&[("account", account.as_str().to_owned())]).set(count);
        }
    }

    pub(super) fn answered(&self, account: &AccountName, outcome: &str, took: Duration) {
        let account = || ("account", account.as_str().to_owned());
        self.requests.get_or_create(&[account(), ("outcome", outcome.to_owned())]).inc();
        self.request_duration.get_or_create(&[account()]).observe(took.as_secs_f64());
    }

    pub(super) fn affected(&self, account: &AccountName, change: &str) {
        let labels = [("account", account.as_str().to_owned()), ("change", change.to_owned())];
        self.api_changes.get_or_create(&labels).set(1);
    }

    pub(super) fn noticed(&self, account: &AccountName, notice: &Notice) {
        let labels = [("account", account.as_str().to_owned())];
        match notice {
            Notice::SourceGap { .. } => {
                self.source_gaps.get_or_create(&labels).inc();
            }
            Notice::Crawl(CrawlNotice::Ended { reason, healed, .. }) => {
                self.healed.get_or_create(&labels).inc_by(*healed as u64);
                let [account] = labels;
                self.crawls.get_or_create(&[account, ("reason", reason.label().to_owned())]).inc();
            }
            Notice::Crawl(CrawlNotice::CameShort { lists, .. }) => {
                self.short_lists.get_or_create(&labels).inc_by(*lists as u64);
            }
            Notice::Crawl(CrawlNotice::Unidentified { count, .. }) => {
                self.unidentified.get_or_create(&labels).inc_by(*count as u64);
            }
            Notice::Missed(gids) => {
                self.missed.get_or_create(&labels).inc_by(gids.len() as u64);
            }
            Notice::DeadLetter { .. } => {
                self.dead_letters.get_or_create(&labels).inc();
            }
            // What is counted of these, requests and states tell.
            Notice::Established
            | Notice::PolledBare
            | Notice::TokenRepeated
            | Notice::Suspended(_)
            | Notice::Resumed
            | Notice::Throttled(_)
            | Notice::Failed(_)
            | Notice::Ended
            | Notice::Crawl(
                CrawlNotice::Begun(_)
                | CrawlNotice::Retries { .. }
                | CrawlNotice::LeftOut(_)
                | CrawlNotice::Splits(_)
                | CrawlNotice::Throttled(_),
            ) => {}
        }
    }

    pub(super) fn committing(&self, batch: &Batch) {
        self.commit_messages.observe(number(batch.messages.len()));
        self.commit_size.observe(number(batch.messages.iter().map(|message| message.value.len()).sum()));
    }

    pub(super) fn commit_ended(&self, outcome: &str, took: Duration) {
        self.commits.get_or_create(&[("outcome", outcome.to_owned())]).inc();
        self.commit_duration.observe(took.as_secs_f64());
    }

    pub(super) fn committed(&self, summary: &CommitSummary, now: DateTime<Utc>) {
        self.events.inc_by(summary.events as u64);
        self.messages.inc_by(summary.messages as u64);
        for took in &summary.latencies {
            self.page_lag.observe(took.as_secs_f64());
        }
        for happened_at in &summary.happened_at {
            // Asana's clock may be ahead of ours.
            self.event_lag.observe((now - *happened_at).as_seconds_f64().max(0.0));
        }
    }
}

/// Exact up to 2⁵³, as metrics are.
#[expect(clippy::cast_precision_loss, reason = "metrics are floating-point numbers")]
pub(super) fn number(count: usize) -> f64 {
    count as f64
}
