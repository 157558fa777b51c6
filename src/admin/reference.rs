//! The reference of all metrics in `docs/metrics.md`, generated from the output of `/metrics`.

use super::metrics::Counted;
use super::registry;
use super::watcher::{Facts, Watcher};
use crate::config::reference::check_part;
use crate::observe::{BridgeEvent, Observer as _, SessionEnd};
use bridge_core::crawl::Reason;
use bridge_core::engine::schedule::Freshness;
use bridge_core::engine::schedule::budget::{Allowance, Limit, Share};
use bridge_core::engine::{AccountStatus, CommitSummary, Phase, ShardStatus, Status, StreamPlace, StreamStatus};
use bridge_core::ids::{ShardId, StreamId, StreamKind};
use bridge_core::outcome::list::{Listing, What};
use bridge_core::outcome::poll::Denial;
use bridge_core::record::batch::Batch;
use bridge_core::record::trace::Trace;
use bridge_core::stream::{CrawlNotice, Notice};
use chrono::{DateTime, TimeDelta};
use prometheus_client::encoding::text;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::time::Duration;

/// The description of one metric.
#[derive(Debug, Default)]
struct Entry {
    kind: String,
    help: String,
    labels: BTreeSet<String>,
}

#[test]
fn the_reference_of_the_metrics_is_up_to_date() {
    check_part("docs/metrics.md", &format!("{}\n", markdown()));
}

/// A Markdown table of all metrics: name, type, labels, meaning.
fn markdown() -> String {
    let mut exposition = String::new();
    // Writing to a `String` can't fail.
    text::encode(&mut exposition, &registry(&sample())).unwrap_or_default();
    table(&entries(&exposition)).unwrap_or_default()
}

fn table(entries: &BTreeMap<String, Entry>) -> Result<String, fmt::Error> {
    let mut text = String::from("| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n");
    for (name, Entry { kind, help, labels }) in entries {
        let suffix = match kind.as_str() {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
        writeln!(text, "| `{name}{suffix}` | {kind} | {} | {help} |", labels.join(", "))?;
    }
    Ok(text)
}

/// Reads the text format of `OpenMetrics`, as far as our own metrics go.
fn entries(exposition: &str) -> BTreeMap<String, Entry> {
    let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
    for line in exposition.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(name), Some(help)) => {
                help.clone_into(&mut entries.entry(name.to_owned()).or_default().help);
            }
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                kind.clone_into(&mut entries.entry(name.to_owned()).or_default().kind);
            }
            (Some("#"), ..) => {}
            _ => {
                let Some((name, labels)) = line.split_once('{') else { continue };
                // A sample's name may have a suffix behind the metric's.
                let metric = entries.iter_mut().rev().find(|(metric, _)| name.starts_with(metric.as_str()));
                let names = labels.split_once('}').map_or(labels, |(labels, _)| labels);
                let names = names.split("\",").filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
                if let Some((_, entry)) = metric {
                    entry.labels.extend(names.filter(|label| label != "le"));
                }
            }
        }
    }
    entries
}

/// A replica that exposes each metric at least once.
fn sample() -> Arc<Watcher> {
    let facts = Facts {
        replica: "sample".to_owned(),
        sink: "file",
        shards: NonZeroU32::MIN,
        stream_metrics: 1,
        started_at: DateTime::UNIX_EPOCH,
    };
    let watcher = Arc::new(Watcher::new(facts, Counted::new()));
    let (id, shard) = (StreamId::new("main", "1"), ShardId(0));
    let listing = Listing { of: id.resource.clone(), what: What::Tasks };
    let place = StreamPlace { stream: &id, shard, epoch: None };
    let notices = [
        CrawlNotice::Ended { reason: Reason::Initial, snapshots: 0, healed: 0, left_out: 0 },
        CrawlNotice::CameShort { lists: 1, unseen: 1 },
        CrawlNotice::Unidentified { listing, count: 1 },
    ];
    let notices = notices.map(Notice::Crawl);
    let account = &id.account;
    let events = [
        BridgeEvent::SessionEnded(&SessionEnd::Stopped),
        BridgeEvent::SessionOpened,
        BridgeEvent::ShardAssigned(shard, None),
        BridgeEvent::OwnershipChanged { shards: &[shard], streams: 1 },
        BridgeEvent::Answered { account, outcome: "page", took: Duration::ZERO },
        BridgeEvent::ApiChange { account, change: "a_change" },
        BridgeEvent::WebhookDelivered("poll_requested"),
        BridgeEvent::Webhooks { account, registered: 1, wanted: 1 },
        BridgeEvent::Committing(&Batch::default(), Trace::new("r1", 0, DateTime::UNIX_EPOCH)),
        BridgeEvent::Committed(&CommitSummary::default()),
    ];
    let of_stream = notices.iter().map(|notice| BridgeEvent::Stream(&place, notice));
    for event in events.into_iter().chain(of_stream) {
        watcher.notify(&event);
    }
    watcher.tell(Status {
        at: DateTime::UNIX_EPOCH,
        shards: vec![ShardStatus { shard, epoch: 1 }],
        accounts: vec![AccountStatus {
            name: id.account.clone(),
            allowance: Allowance {
                limit: Limit { requests_per_minute: NonZeroU32::MIN, max_in_flight: NonZeroU16::MIN },
                share: Share { owned: 1, all: 1 },
                left: 0,
                in_flight: 0,
                pause: Duration::ZERO,
            },
            delay: Duration::ZERO,
            freshness: Freshness::default(),
            freshness_of_twice: Freshness::default(),
            refused: Some(Denial::Unauthorized),
            clock_offset: TimeDelta::zero(),
        }],
        streams: vec![StreamStatus {
            id,
            kind: StreamKind::Resource,
            shard,
            phase: Phase::Suspended(Denial::Forbidden),
            last_complete_poll_at: Some(DateTime::UNIX_EPOCH),
            token_received_at: Some(DateTime::UNIX_EPOCH),
            next_poll_at: None,
            failures: 0,
            failing_for: None,
            published: 0,
            open_gaps: Vec::new(),
            crawl: None,
            last_crawl_at: None,
            left_out: 0,
        }],
        pending_pages: 0,
        pending_bytes: 0,
        max_pending_bytes: 0,
    });
    watcher
}
