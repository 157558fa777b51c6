//! The command `streams`: the status of a running replica's streams.

use super::process::runtime;
use super::{Exit, Failure, Output};
use crate::admin::Report;
use crate::admin::report::{AccountReport, FailureReport, StreamReport, Totals};
use crate::escape::printable;
use crate::one_line::one_line;
use reqwest::StatusCode;
use std::fmt;
use std::time::Duration;

/// Print the status of a running replica's streams.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  asana-event-bridge streams
  asana-event-bridge streams --url bridge-0.bridge:8080 --limit 20
  kubectl port-forward deployment/asana-event-bridge 8080 &
  asana-event-bridge streams --output json | jq '.streams[] | select(.state != \"live\")'

It asks the admin port of one replica (the configuration's `admin.listen`), and each replica
tells of the streams that it has. It may be named by its address, as localhost, or by a name in
`admin.allowedHosts`. Streams with trouble come first (suspended or expired, failing, with open
gaps, without a token), then the stalest:

  STALE   the time since a poll left nothing waiting; `-` where there has been none
  TOKEN   how long the sync token is good at the most: Asana gives it 24 hours
  NEXT    when it is polled; `now` also while it waits for the budget or the bus
  EVENTS  that were published since the replica has the stream
  GAPS    windows in which Asana may have lost events, announced and not healed

Exits with 69 if nobody answers.")]
pub struct StreamsArgs {
    /// The address of the replica's admin port. Without a scheme, as in `bridge-0.bridge:8080`, it is HTTP
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// The maximum number of streams that are printed. The sums count all streams
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    pub limit: usize,
    /// The number of streams to leave out before them
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub offset: usize,
    /// Print only streams whose ACCOUNT/GID or state contains this
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub search: String,
    /// The format of the output
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// The replica doesn't answer, or the address isn't a bridge's.
#[derive(Debug, thiserror::Error)]
#[error("no bridge answers at {url}: {reason}; is this its `admin.listen`, and `admin.statusPage` not false?")]
pub struct StreamsError {
    url: String,
    reason: String,
}

impl Failure for StreamsError {
    fn exit(&self) -> Exit {
        Exit::Unavailable
    }
}

/// Runs the command.
pub(super) fn execute(args: &StreamsArgs) -> Result<Exit, Box<dyn Failure>> {
    let report = runtime()?.block_on(fetch(args))?;
    args.output.show(&report)?;
    Ok(Exit::Ok)
}

/// The timeout of the replica's answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Requests the report of a replica.
///
/// # Errors
/// [`StreamsError`] if the replica doesn't answer as a bridge does.
///
/// # Cancel safety
/// Nothing is left behind.
pub async fn fetch(args: &StreamsArgs) -> Result<Report, StreamsError> {
    // If a provider is installed already, that one is used.
    rustls::crypto::ring::default_provider().install_default().ok();
    let base = if args.url.contains("://") { args.url.clone() } else { format!("http://{}", args.url) };
    let url = format!("{}/api/streams", base.trim_end_matches('/'));
    let (limit, offset) = (args.limit.to_string(), args.offset.to_string());
    let query = [("limit", limit.as_str()), ("offset", &offset), ("search", &args.search)];
    let failed = |reason: String| StreamsError { url: args.url.clone(), reason };
    let asked = async {
        let client = reqwest::Client::builder().timeout(TIMEOUT).build()?;
        let answer = client.get(&url).query(&query).send().await?;
        Ok((answer.status(), answer.bytes().await?))
    };
    let (status, body) = asked.await.map_err(|error: reqwest::Error| failed(one_line(&error.without_url())))?;
    if !status.is_success() {
        let words = String::from_utf8_lossy(&body);
        let words = words.lines().next().filter(|_| status == StatusCode::FORBIDDEN).unwrap_or_default();
        return Err(failed(format!("{status} {}", printable(words)).trim_end().to_owned()));
    }
    serde_json::from_slice(&body).map_err(|error| failed(error.to_string()))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.unready_reason.as_deref().unwrap_or("ready");
        let Self { replica, version, sink, .. } = self;
        writeln!(f, "replica {replica} (asana-event-bridge {version}, sink {sink}): {state}")?;
        let Totals { streams, establishing, live, expired, suspended, open_gaps, crawls, .. } = self.totals;
        let mut states = [
            (live, "live"),
            (establishing, "establishing"),
            (expired, "expired"),
            (suspended, "suspended"),
            (crawls, "crawling"),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, state)| format!("{count} {state}"))
        .collect::<Vec<_>>();
        states.push(format!("{open_gaps} open {}", plural(open_gaps, "gap")));
        writeln!(
            f,
            "{} of {} shards, {streams} {}: {}",
            self.owned_shards.len(),
            self.shards,
            plural(streams, "stream"),
            states.join(", ")
        )?;
        self.accounts.iter().try_for_each(|account| writeln!(f, "{account}"))?;
        if !self.streams.is_empty() {
            writeln!(f)?;
            table(f, &self.streams)?;
            let rest = self.matching_streams.saturating_sub(self.streams.len());
            if rest > 0 {
                writeln!(f, "… and {rest} more: see `--limit`, `--offset` and `--search`")?;
            }
        }
        if !self.failures.is_empty() {
            writeln!(f, "\nlately:")?;
            self.failures.iter().take(SHOWN_FAILURES).try_for_each(|failure| writeln!(f, "  {failure}"))?;
        }
        Ok(())
    }
}

/// The maximum number of failures that are printed for people.
const SHOWN_FAILURES: usize = 10;

impl fmt::Display for AccountReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { account, requests_per_minute, owned_streams, all_streams, .. } = self;
        let Self { requests_left, requests_in_flight, pause_seconds, poll_delay_seconds, refused_status, .. } = self;
        let Self { freshness, freshness_of_twice_the_budget: twice, .. } = self;
        write!(
            f,
            "account {account}: {requests_per_minute} requests a minute for {all_streams} streams, {owned_streams} of them here; \
             {requests_left} may be sent now, {requests_in_flight} in flight; an event waits {:.1} s on average for its \
             poll, and a stream is polled every {:.0} s or more often (with twice the budget {:.1} s and {:.0} s)",
            freshness.mean_delay_seconds,
            freshness.longest_interval_seconds,
            twice.mean_delay_seconds,
            twice.longest_interval_seconds,
        )?;
        if let Some(status) = refused_status {
            write!(f, "; Asana refuses its credential ({status})")?;
        } else if *pause_seconds > 0 {
            write!(f, "; Asana makes it wait for {}", span(*pause_seconds))?;
        }
        if *poll_delay_seconds > 0 {
            write!(f, "; polls are late by {}", span(*poll_delay_seconds))?;
        }
        Ok(())
    }
}

impl fmt::Display for FailureReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, first_at, count, account, of, kind, text } = self;
        match (account, of, count) {
            (Some(account), Some(of), 2..) => {
                write!(f, "{at} {account} {kind}, {count} times since {first_at}, last {of}: {text}")
            }
            (_, _, 2..) => write!(f, "{at} bus {kind}, {count} times since {first_at}: {text}"),
            (_, of, _) => write!(f, "{at} {} {kind}: {text}", of.as_deref().unwrap_or("bus")),
        }
    }
}

fn table(f: &mut fmt::Formatter<'_>, streams: &[StreamReport]) -> fmt::Result {
    let heads = ["STREAM", "STATE", "STALE", "TOKEN", "NEXT", "EVENTS", "GAPS"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(heads).chain(streams.iter().map(row)).collect();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<_> = (0..7).map(|column| width(column).unwrap_or(0)).collect();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

fn row(stream: &StreamReport) -> [String; 7] {
    let age = |seconds: Option<u64>| seconds.map_or_else(|| "-".to_owned(), span);
    let state = match stream.refused_status {
        Some(status) => format!("{} ({status})", stream.state),
        None if stream.failures > 0 => format!("{} ({} failed)", stream.state, stream.failures),
        None => stream.state.clone(),
    };
    let next = stream.next_poll_in_seconds.filter(|seconds| *seconds > 0);
    [
        stream.stream.clone(),
        state,
        age(stream.staleness_seconds),
        age(stream.token_expires_in_seconds),
        next.map_or_else(|| "now".to_owned(), |seconds| format!("in {}", span(seconds))),
        stream.events.to_string(),
        stream.open_gaps.to_string(),
    ]
}

/// A duration in its two largest units.
fn span(seconds: u64) -> String {
    let text = humantime::format_duration(Duration::from_secs(seconds)).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

fn plural(count: usize, noun: &str) -> String {
    format!("{noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_told_by_its_two_largest_units() {
        assert_eq!([0, 59, 61, 86_399, 90_061].map(span), ["0s", "59s", "1m 1s", "23h 59m", "1day 1h"]);
    }
}
