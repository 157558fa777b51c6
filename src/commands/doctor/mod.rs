//! The command `doctor`: checks everything that `run` will need, changes nothing, and prints what to fix.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `mod` | the checks, all at the same time, and their results in a fixed order |
//! | `asana` | checks Asana: credentials, rules, streams |
//! | `compare` | whether the account for crawls sees what the streams' own accounts see |
//! | `judge` | what an answer means for the bridge; no IO |
//! | `local` | what the bridge needs on its own machine |
//! | `scopes` | which scopes an OAuth account needs; no IO |
//! | `report` | all findings, for people and for scripts |
//!
//! It is safe beside a running bridge: it requests no sync token, which might replace the bridge's (whether Asana keeps
//! more than one isn't documented), joins no group, takes no lease and writes no record.

mod asana;
mod compare;
mod judge;
mod local;
mod report;
mod scopes;

use super::asker::Asker;
use super::process::runtime;
use super::{Exit, Failure, Output};
use crate::asana::Accounts;
use crate::config::{self, Checked, Environment, Source};
use crate::finding::{CheckResult, Finding};
use crate::sink::any::Sink;
use futures_util::future::join_all;
pub use report::Report;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;
use tokio::sync::mpsc;

/// The capacity of a part's channel for findings. A part with more of them waits until those before it are printed.
const WAITING: usize = 64;

/// The interval between two log lines while there is no finding.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// The channel for findings.
type Findings = mpsc::Sender<Finding>;

/// Check everything that `run` will need, and print what to fix.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  asana-event-bridge doctor --config bridge.yaml
  asana-event-bridge doctor --config bridge.yaml --sample all --output json

Nothing is changed, on the bus or in Asana, and a bridge may run at the same time. Each line is one check:
  ok         as the bridge needs it
  notice     the bridge will work, and you should know this
  FAILED     what is wrong; what to do
  unknown    only `run` can show it
  not tried  something that it depends on failed

The order is always the same: this machine, the accounts by name, the bus.

Exits with 1 if anything has failed; with --strict also if anything is unknown or not tried.")]
pub struct DoctorArgs {
    /// The bridge's configuration file (YAML)
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// The number of streams of each account that are read, evenly chosen: a number, or `all`. They are read at half of
    /// the account's `requestsPerMinute`, with one request for a project, two for a task and three for a goal
    #[arg(long, value_name = "N|all", default_value = "20")]
    pub sample: Sample,
    /// The timeout of each check of the bus
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = timeout)]
    pub timeout: Duration,
    /// Fail also if a result is unknown, or a check wasn't tried
    #[arg(long)]
    pub strict: bool,
    /// The format of the output: text, or one JSON object on the last line
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// The number of an account's streams that are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample {
    /// All streams of the account.
    All,
    /// At most this number of streams.
    Most(NonZeroUsize),
}

impl FromStr for Sample {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "all" => Ok(Self::All),
            number => number.parse().map(Self::Most).map_err(|_unparsable| "must be a number from 1 on, or `all`"),
        }
    }
}

fn timeout(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if time < Duration::from_secs(1) { Err("must be 1s at least".to_owned()) } else { Ok(time) }
}

/// The command. Each finding is printed at once.
pub(super) fn execute(args: &DoctorArgs) -> Result<Exit, Box<dyn Failure>> {
    let checked = config::load(&Source::file(&args.config), &Environment::of_process())?;
    let runtime = runtime()?;
    let mut failure = None;
    let report = runtime.block_on(run(&checked, args, |finding| {
        let mut out = std::io::stdout();
        if args.output == Output::Text && failure.is_none() {
            failure = writeln!(out, "{finding}").err();
        }
    }));
    // A client may keep waiting for a bus that doesn't answer.
    runtime.shutdown_background();
    failure.map_or(Ok(()), Err)?;
    match args.output {
        Output::Text => writeln!(std::io::stdout(), "{report}")?,
        Output::Json => writeln!(std::io::stdout(), "{}", report.to_json()?)?,
    }
    Ok(Exit::of(if args.strict { report.is_certain() } else { report.is_ok() }))
}

/// Runs all checks, and passes on each finding as soon as there is one.
///
/// # Cancel safety
/// Cancel safe: nothing is open that would have to be closed.
pub async fn run(checked: &Checked, args: &DoctorArgs, mut tell: impl FnMut(&Finding)) -> Report {
    // Each part has a channel of its own, and they are read one after the other: the order doesn't depend on who is quick.
    let (to_local, of_local) = mpsc::channel(WAITING);
    let (to_accounts, of_accounts): (Vec<_>, Vec<_>) = checked.accounts.iter().map(|_| mpsc::channel(WAITING)).unzip();
    let (to_bus, of_bus) = mpsc::channel(WAITING);
    let local = async {
        let warnings = checked.warnings.iter().map(|warning| CheckResult::notice(warning, "see `check-config`"));
        send(&to_local, warnings.map(|verdict| verdict.of("configuration"))).await;
        send(&to_local, local::examine(checked)).await;
        drop(to_local);
    };
    let trying = async { tokio::join!(local, accounts(checked, args, to_accounts), bus(checked, args, to_bus)) };
    let names = checked.accounts.iter().map(|account| format!("account {}", account.name));
    let parts = [("this machine".to_owned(), of_local)].into_iter().chain(names.zip(of_accounts));
    let parts = parts.chain([(format!("the sink ({})", checked.sink.name()), of_bus)]);
    let gathering = async {
        let mut report = Report::default();
        for (part, mut findings) in parts {
            while let Some(finding) = next(&mut findings, &part).await {
                tell(&finding);
                report.findings.push(finding);
            }
        }
        report
    };
    tokio::join!(trying, gathering).1
}

/// The next finding of a part. While there is none, the log reports what is waited for.
async fn next(findings: &mut mpsc::Receiver<Finding>, part: &str) -> Option<Finding> {
    let mut seconds = 0;
    loop {
        match tokio::time::timeout(PROGRESS_INTERVAL, findings.recv()).await {
            Ok(finding) => return finding,
            Err(_elapsed) => {
                seconds += PROGRESS_INTERVAL.as_secs();
                tracing::info!(part, seconds, "waiting for an answer");
            }
        }
    }
}

/// The receiver stays open until its part ends.
async fn send(to: &Findings, findings: impl IntoIterator<Item = Finding>) {
    for finding in findings {
        to.send(finding).await.ok();
    }
}

/// Each account has a channel.
async fn accounts(checked: &Checked, args: &DoctorArgs, to: Vec<Findings>) {
    let accounts = match Accounts::new(checked.accounts.clone()) {
        Ok(accounts) => accounts,
        Err((name, error)) => {
            let remedy = "correct the account in the configuration";
            let finding = CheckResult::failed(error.to_string(), remedy).of(format!("account {name}"));
            if let Some(to) = to.first() {
                send(to, [finding]).await;
            }
            return;
        }
    };
    let askers: Vec<_> = checked.accounts.iter().map(|account| Asker::new(checked, &accounts, account)).collect();
    let crawler = checked.crawl.account.as_deref();
    let crawler = askers.iter().find(|asker| Some(asker.name().as_str()) == crawler);
    let of = |asker: &Asker<'_>| crawler.filter(|crawler| crawler.name() != asker.name());
    let each = askers.iter().zip(to).map(async |(asker, to)| asker.examine(args.sample, of(asker), &to).await);
    join_all(each).await;
}

async fn bus(checked: &Checked, args: &DoctorArgs, to: Findings) {
    let findings = Sink::new(checked).examine(args.timeout).await;
    send(&to, findings).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_a_number_or_all() {
        assert_eq!("all".parse(), Ok(Sample::All));
        assert_eq!("7".parse(), Ok(Sample::Most(NonZeroUsize::new(7).unwrap())));
        assert!("0".parse::<Sample>().is_err() && "few".parse::<Sample>().is_err());
    }
}
