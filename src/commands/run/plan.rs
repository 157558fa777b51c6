//! The configuration in the core's terms, at the start and after each change.

use super::RunError;
use crate::asana::Accounts;
use crate::bridge::Plan;
use crate::config::{Checked, CheckedAccount, CrawlDepth, RefreshConfig, StateConfig};
use crate::discovery::Discovery;
use crate::observe::{BridgeEvent, Observer};
use crate::sink::any::{Naming, Sink};
use bridge_core::crawl::Depth;
use bridge_core::engine::schedule::budget::Limit;
use bridge_core::engine::{AccountSpec, CrawlSettings, Settings, StateSettings};
use bridge_core::ids::{AccountName, Topic};
use bridge_core::state::{Pace, Refreshed};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// A page without events waits for this part of the shortest polling interval: streams without events are polled only
/// a little less often, and share their commits.
const QUIET_WAIT: u32 = 10;

/// Creates a new plan whenever the configuration or the streams from its rules change.
pub(super) async fn replan(
    mut checked: Checked,
    mut discovery: Discovery<Accounts>,
    mut reloads: mpsc::Receiver<Checked>,
    plans: &watch::Sender<Arc<Plan<Accounts>>>,
    observer: &dyn Observer,
) -> Infallible {
    loop {
        tokio::select! {
            Some(next) = reloads.recv() => {
                let before = Arc::clone(&plans.borrow());
                let accounts = match acceptable(&checked, &next, &before.source) {
                    Ok(accounts) => accounts,
                    Err(why) => {
                        observer.notify(&BridgeEvent::Configured { rejected: Some(&why) });
                        continue;
                    }
                };
                observer.notify(&BridgeEvent::Configured { rejected: None });
                checked = next;
                discovery.follow(&checked, Arc::clone(&accounts));
                let plan = plan(&checked, &discovery, accounts);
                say_difference(&before, &plan);
                plans.send_replace(Arc::new(plan));
            }
            () = discovery.changed() => {
                for account in discovery.take_shrunk() {
                    observer.notify(&BridgeEvent::RuleShrank(&account));
                }
                let source = Arc::clone(&plans.borrow().source);
                plans.send_replace(Arc::new(plan(&checked, &discovery, source)));
            }
        }
    }
}

/// The accounts of the next configuration, or why that configuration is rejected.
fn acceptable(before: &Checked, next: &Checked, source: &Accounts) -> Result<Arc<Accounts>, String> {
    let restart = needs_restart(before, next);
    if !restart.is_empty() {
        return Err(format!("another {} needs a restart", restart.join(", ")));
    }
    accounts(source, next).map(Arc::new).map_err(|error| error.to_string())
}

/// The changed keys that need a restart.
fn needs_restart(before: &Checked, after: &Checked) -> Vec<&'static str> {
    let differ = [
        ("sink", before.sink != after.sink),
        ("shards", before.shards != after.shards),
        ("deployment", before.deployment != after.deployment),
        ("checkpoint", before.checkpoint != after.checkpoint),
        ("replica", before.replica != after.replica),
        ("index", before.index != after.index),
        ("admin", before.admin != after.admin),
        ("webhooks", before.webhooks != after.webhooks),
        ("state.refresh", before.state.refresh != after.state.refresh),
    ];
    differ.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
}

fn say_difference(before: &Plan<Accounts>, after: &Plan<Accounts>) {
    let lacks = |plan: &Plan<Accounts>, other: &Plan<Accounts>| {
        let ids: BTreeSet<_> = plan.streams.iter().collect();
        other.streams.iter().filter(|stream| !ids.contains(stream)).count()
    };
    let (added, removed) = (lacks(before, after), lacks(after, before));
    let (streams, accounts) = (after.streams.len(), after.accounts.len());
    tracing::info!(added, removed, streams, accounts, "configuration applied");
}

pub(super) fn accounts(before: &Accounts, checked: &Checked) -> Result<Accounts, RunError> {
    before
        .with(checked.accounts.clone())
        .map_err(|(account, source)| RunError::Account { account: account.to_string(), source })
}

/// The configuration and the streams from its rules, in the core's terms.
pub(super) fn plan(checked: &Checked, discovery: &Discovery<Accounts>, source: Arc<Accounts>) -> Plan<Accounts> {
    let Naming { topic, dead_letter_topic, state_topic, encodings, has_watermarks } = Sink::new(checked).naming();
    let watermark_interval = if has_watermarks { checked.commit.watermark_interval.0 } else { Duration::ZERO };
    let account = |account: &CheckedAccount| {
        let requests_per_minute = checked.left_for_polls(&account.name, account.requests_per_minute);
        let limit = Limit { requests_per_minute, max_in_flight: account.max_in_flight };
        AccountSpec { name: account.name.clone(), limit }
    };
    // If a stream is in the configuration too, the configuration decides how it is polled.
    let mut streams: BTreeMap<_, _> = discovery.streams().map(|spec| (&spec.id, spec)).collect();
    streams.extend(checked.streams.iter().map(|spec| (&spec.id, spec)));
    let crawl = &checked.crawl;
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    Plan {
        settings: Settings {
            shards: checked.shards,
            topic,
            min_interval: checked.polling.min_interval.0,
            max_interval: checked.polling.max_interval.0,
            commit_interval: Duration::from_secs(1) / checked.commit.max_per_second.get(),
            quiet_wait: checked.polling.min_interval.0 / QUIET_WAIT,
            max_records: size(checked.commit.max_records.get().into()),
            max_pending_bytes: size(checked.commit.max_pending.0),
            watermark_interval,
            replica: checked.replica.clone(),
            deployment: checked.deployment.clone(),
            dead_letter_topic,
            crawl: CrawlSettings {
                initial: crawl.initial,
                depth: match crawl.depth {
                    CrawlDepth::Tasks => Depth::Tasks,
                    CrawlDepth::Subtasks => Depth::Subtasks,
                    CrawlDepth::Stories => Depth::Stories,
                    CrawlDepth::Attachments => Depth::Attachments,
                },
                budget_percent: crawl.budget_percent,
                account: crawl.account.as_deref().map(AccountName::from),
                short_percent: crawl.short_list_percent,
                short_count: crawl.short_list_count,
                reconcile_interval: crawl.reconcile_interval.0,
                late_events: crawl.late_events.0,
            },
            all_known: discovery.is_complete(),
            sampling: checked.sampling,
            state: state(&checked.state, state_topic),
            encodings,
        },
        accounts: checked.accounts.iter().map(account).collect(),
        streams: streams.into_values().cloned().collect(),
        source,
    }
}

/// What is read again, in the core's terms.
fn state(config: &StateConfig, topic: Option<Topic>) -> StateSettings {
    let refresh = match config.refresh {
        RefreshConfig::Off => Refreshed::Nothing,
        RefreshConfig::On if config.types.is_empty() => Refreshed::Everything,
        RefreshConfig::On => Refreshed::Types(config.types.iter().cloned().collect()),
    };
    let pace = Pace { quiet: config.quiet_time.0, longest: config.longest_wait.0 };
    StateSettings { refresh, topic, pace, budget_percent: config.budget_percent }
}
