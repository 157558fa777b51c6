//! What is counted as it happens. What is only looked at when somebody asks is in [`sampled`](super::sampled).

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

/// All names begin with it, besides those of the process.
pub(super) const PREFIX: &str = "asana_event_bridge";

/// From a local file to a bus that is about to time out. In seconds.
const COMMIT_TIMES: [f64; 13] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// Up to the longest request that the configuration's default allows. In seconds.
const REQUEST_TIMES: [f64; 9] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Most of Asana's events come within a minute; the last buckets are for outages. In seconds.
const EVENT_LAGS: [f64; 15] =
    [1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 21_600.0, 86_400.0];
/// Up to the default of `commit.maxRecords`.
const BATCH_MESSAGES: [f64; 9] = [1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10_000.0];
const BATCH_BYTES: [f64; 8] = [1024.0, 4096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0];

/// The values of `outcome` of a commit; there from the start, so that the first failure is an increase.
const COMMIT_OUTCOMES: [&str; 5] = ["committed", "aborted", "unknown", "fenced", "fatal"];
/// The values of `outcome` of a request that alerts look for.
const WATCHED_REQUEST_OUTCOMES: [&str; 3] = ["page", "throttled", "credential"];

type Labels<const N: usize> = [(&'static str, String); N];
type Histograms = Family<Labels<1>, Histogram, fn() -> Histogram>;

/// Counters and histograms. Clones count together.
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
    configuration_refused: Gauge,
    deliveries: Family<Labels<1>, Counter>,
    webhooks: Family<Labels<1>, Gauge>,
    belled_streams: Family<Labels<1>, Gauge>,
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
    /// Counters that nothing was counted with.
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
            configuration_refused: Gauge::default(),
            deliveries: Family::default(),
            webhooks: Family::default(),
            belled_streams: Family::default(),
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

    /// What was lost at the source, and what crawls say.
    fn register_crawls(&self, registry: &mut Registry) {
        let counted = self.clone();
        registry.register("source_gaps", "Source gaps that were opened: dead sync tokens", counted.source_gaps);
        registry.register("source_gaps_healed", "Source gaps that a crawl healed", counted.healed);
        registry.register("crawls", "Crawls that read all of a stream's resources, by why they began", counted.crawls);
        registry.register(
            "crawl_short_lists",
            "Lists that showed a crawl much less than was known to be in them: they were read again, and what they didn't show \
             was asked for one by one",
            counted.short_lists,
        );
        registry.register(
            "crawl_unidentified",
            "Items of lists without a gid, of which nothing can be told",
            counted.unidentified,
        );
        registry.register(
            "missed_changes",
            "Resources that changed and of which Asana sent no event within `crawl.lateEvents`: found by a reconciliation. What lies in others, such as the stories of a project's tasks, doesn't count, since it comes and goes without events",
            counted.missed,
        );
    }

    /// Makes all of it part of `/metrics`.
    pub(super) fn register(&self, registry: &mut Registry) {
        let counted = self.clone();
        registry.register("build", "The program's version", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        registry.register(
            "sessions_ended",
            "Sessions with the bus that ended, or couldn't be opened, by reason",
            counted.sessions_ended,
        );
        registry.register(
            "account_requests",
            "Requests to Asana that were answered or failed, by outcome: `page`, `token_reset` (412), `list_page` (of a \
             crawl), `webhook_list`, `webhook_made`, `webhook_deleted`, `probe` (whether the credential is good), `throttled` (429), or why there was no page. Each counts against the account's budget",
            counted.requests,
        );
        registry.register_with_unit(
            "account_request_duration",
            "How long requests to Asana took",
            Unit::Seconds,
            counted.request_duration,
        );
        registry.register(
            "account_api_change_affected",
            "1 where Asana said since the start that a change of its API affects the account's requests (`Asana-Change` with \
             `affected=true`): the log has the address of what it says about it. Up to 64 changes for each account",
            counted.api_changes,
        );
        self.register_crawls(registry);
        registry.register(
            "dead_letters",
            "Records that were larger than what the bus takes: the dead-letter topic has them, and a stand-in keeps the place of each",
            counted.dead_letters,
        );
        registry.register(
            "discovery_rules_shrunk",
            "Looks at a rule of `discovery` whose lists gave none, or less than half, of its streams. None ends by that: each is asked for alone",
            counted.rules_shrunk,
        );
        registry.register(
            "configuration_refused",
            "1 while the newest configuration is refused and the one before stays in force: a replica that starts now would end at once",
            counted.configuration_refused,
        );
        registry.register(
            "bell_deliveries",
            "Requests to the bell by what became of them: `rung` (the stream is polled), `heartbeat`, `handshake`, `passed_on` \
             (to the replica that has the stream), `refused` (no good signature: 401), `unknown` (nobody's address: 404), \
             `busy`, `unreadable`",
            counted.deliveries,
        );
        registry.register(
            "bell_webhooks",
            "Webhooks that ring at this replica. Fewer than `bell_streams` for long: see the log",
            counted.webhooks,
        );
        registry.register("bell_streams", "Streams of this replica that are to have a webhook", counted.belled_streams);
        registry.register(
            "commits",
            "Commits by outcome. After `aborted` the same records are written again, after the others the bridge starts over \
             from the bus",
            counted.commits,
        );
        registry.register_with_unit(
            "commit_duration",
            "How long commits took, whatever their outcome",
            Unit::Seconds,
            counted.commit_duration,
        );
        registry.register("commit_messages", "Messages in a commit", counted.commit_messages);
        registry.register_with_unit(
            "commit_size",
            "Encoded records in a commit, without keys and headers",
            Unit::Bytes,
            counted.commit_size,
        );
        registry.register("events", "Events on the bus", counted.events);
        registry.register("messages", "Messages of all kinds on the bus", counted.messages);
        registry.register_with_unit(
            "event_lag",
            "From an event's `created_at` at Asana to its commit: what Asana takes, the polling interval and the commit",
            Unit::Seconds,
            counted.event_lag,
        );
        registry.register_with_unit(
            "page_lag",
            "From a page's arrival to its commit: the bridge's own part",
            Unit::Seconds,
            counted.page_lag,
        );
    }

    /// An account is there: what is zero is told, too.
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

    pub(super) fn configured(&self, refused: bool) {
        self.configuration_refused.set(refused.into());
    }

    pub(super) fn rang(&self, outcome: &str) {
        self.deliveries.get_or_create(&[("outcome", outcome.to_owned())]).inc();
    }

    pub(super) fn bells(&self, account: &AccountName, there: usize, wanted: usize) {
        for (family, count) in [(&self.webhooks, there), (&self.belled_streams, wanted)] {
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
