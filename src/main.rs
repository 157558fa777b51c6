//! The program.

mod cli;

use asana_event_bridge::admin::streams::{self, StreamsArgs, StreamsError};
use asana_event_bridge::admin::{Admin, AdminError};
use asana_event_bridge::bridge::{Clock, LogObserver, Observers};
use asana_event_bridge::checkpoints::{self, CheckpointCommand, CheckpointsError};
use asana_event_bridge::config::{self, Environment, Problems, Source};
use asana_event_bridge::demo::{self, DemoArgs, DemoError};
use asana_event_bridge::doctor::{self, DoctorArgs};
use asana_event_bridge::ledger::{Ledger, LedgerError};
use asana_event_bridge::one_line::one_line;
use asana_event_bridge::reader::Reader;
use asana_event_bridge::reload;
use asana_event_bridge::run::{self, RunError};
use asana_event_bridge::tail::{self, TailArgs};
use asana_event_bridge::verify::{self, Output, Report, VerifyArgs};
use asana_simulator::SimulatorError;
use bridge_consumer::{From, ReadError, Until};
use clap::Parser as _;
use cli::{CheckConfigArgs, Cli, Command, Exit};
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors, and a reader that is gone doesn't matter.
            drop(error.print());
            return if error.use_stderr() { Exit::Usage } else { Exit::Ok }.into();
        }
    };
    let ended = cli.log.start(&cli.command).and_then(|()| dispatch(cli.command));
    ended.unwrap_or_else(|error| report(&error, cli.log.is_json())).into()
}

fn dispatch(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Run(args) => run(&args.into()),
        Command::Demo(args) => demo(&args),
        Command::Tail(args) => tail(&args),
        Command::Verify(args) => verify(&args),
        Command::Streams(args) => streams(&args),
        Command::Doctor(args) => doctor(&args),
        Command::Checkpoint(args) => checkpoint(&args.command),
        Command::Simulate(args) => {
            runtime()?.block_on(asana_simulator::run(args))?;
            Ok(Exit::Ok)
        }
        Command::CheckConfig(args) => check_config(&args),
        Command::ConfigSchema => {
            let schema = serde_json::to_string_pretty(config::schema())?;
            writeln!(std::io::stdout(), "{schema}")?;
            Ok(Exit::Ok)
        }
    }
}

fn run(source: &Source) -> anyhow::Result<Exit> {
    let environment = Environment::of_process();
    let checked = config::load(source, &environment)?;
    for warning in &checked.warnings {
        tracing::warn!(reason = %warning, "configuration warning");
    }
    let runtime = runtime()?;
    #[cfg(feature = "otlp")]
    let otlp = asana_event_bridge::otlp::Otlp::start(&checked, &environment, runtime.handle());
    let ended = runtime.block_on(async {
        let stop = stop_on_signal()?;
        let (reloads_to, reloads) = mpsc::channel(1);
        let mut observers = Observers(vec![Arc::new(LogObserver)]);
        let admin = match checked.admin {
            Some(admin) => Some(Admin::listen(admin, &checked).await?),
            None => None,
        };
        observers.0.extend(admin.as_ref().map(Admin::observer));
        #[cfg(feature = "otlp")]
        if let Some(otlp) = otlp.clone() {
            observers.0.push(otlp);
        }
        let observers = Arc::new(observers);
        let running = run::run(checked, reloads, Arc::<Observers>::clone(&observers), stop.clone());
        let serving = async {
            match admin {
                Some(admin) => admin.serve(stop).await,
                None => std::future::pending().await,
            }
        };
        let watching = async {
            reload::watch(source, &environment, reloads_to, observers.as_ref()).await?;
            std::future::pending().await
        };
        tokio::select! {
            ended = running => ended?,
            failed = watching => return failed,
            served = serving => served?,
        }
        Ok(Exit::Ok)
    });
    #[cfg(feature = "otlp")]
    if let Some(otlp) = otlp {
        otlp.end();
    }
    // A client of a bus that is away may still be closing, on a thread that can't be interrupted: the end of
    // the process ends it, and what it would have told the bus, the bus finds out by its time-outs.
    runtime.shutdown_background();
    ended
}

/// With JSON as output, what is shown on the way is no result.
fn demo(args: &DemoArgs) -> anyhow::Result<Exit> {
    runtime()?.block_on(async {
        let stop = stop_on_signal()?;
        let report = match args.output {
            Output::Text => demo::run(args, &stop, &mut std::io::stdout()).await?,
            Output::Json => demo::run(args, &stop, &mut std::io::stderr()).await?,
        };
        print_report(&report, args.output)
    })
}

fn tail(args: &TailArgs) -> anyhow::Result<Exit> {
    let checked = config::load(&Source::file(&args.config), &Environment::of_process())?;
    runtime()?.block_on(async {
        let stop = stop_on_signal()?;
        let mut reader = Reader::open(run::place(&checked).await?, args.begin().into(), args.until()).await?;
        let mut out = tail::stdout();
        let printing = tail::print(&mut reader, args, &mut out);
        stop.run_until_cancelled(printing).await.transpose()?;
        Ok(Exit::Ok)
    })
}

fn verify(args: &VerifyArgs) -> anyhow::Result<Exit> {
    let checked = config::load(&Source::file(&args.config), &Environment::of_process())?;
    runtime()?.block_on(async {
        let ledger = match &args.ledger {
            Some(url) => Some(Ledger::fetch(url).await?),
            None => None,
        };
        let mut reader = Reader::open(run::place(&checked).await?, From::Start, Until::End).await?;
        let watermarks = checked.commit.watermark_interval.0;
        print_report(&verify::read(&mut reader, ledger.as_ref(), watermarks).await?, args.output)
    })
}

fn streams(args: &StreamsArgs) -> anyhow::Result<Exit> {
    let report = runtime()?.block_on(streams::fetch(args))?;
    let mut out = std::io::stdout();
    match args.output {
        Output::Text => write!(out, "{report}")?,
        Output::Json => writeln!(out, "{}", serde_json::to_string(&report)?)?,
    }
    Ok(Exit::Ok)
}

fn doctor(args: &DoctorArgs) -> anyhow::Result<Exit> {
    let checked = config::load(&Source::file(&args.config), &Environment::of_process())?;
    let runtime = runtime()?;
    let mut failure = None;
    let report = runtime.block_on(doctor::run(&checked, args, |finding| {
        let mut out = std::io::stdout();
        if args.output == Output::Text && failure.is_none() {
            failure = writeln!(out, "{finding}").err();
        }
    }));
    // A client may wait on for a bus that doesn't answer.
    runtime.shutdown_background();
    failure.map_or(Ok(()), Err)?;
    match args.output {
        Output::Text => writeln!(std::io::stdout(), "{report}")?,
        Output::Json => writeln!(std::io::stdout(), "{}", report.to_json()?)?,
    }
    Ok(if report.is_ok() { Exit::Ok } else { Exit::Failed })
}

fn checkpoint(command: &CheckpointCommand) -> anyhow::Result<Exit> {
    let checked = config::load(&Source::file(command.config()), &Environment::of_process())?;
    let outcome = runtime()?.block_on(checkpoints::run(&checked, command, Clock::start().now().wall))?;
    let mut out = std::io::stdout();
    match command.output() {
        Output::Text => write!(out, "{outcome}")?,
        Output::Json => writeln!(out, "{}", serde_json::to_string(&outcome)?)?,
    }
    Ok(if outcome.is_ok() { Exit::Ok } else { Exit::Failed })
}

fn print_report(report: &Report, output: Output) -> anyhow::Result<Exit> {
    let mut out = std::io::stdout();
    match output {
        Output::Text => writeln!(out, "{report}")?,
        Output::Json => writeln!(out, "{}", serde_json::to_string(report)?)?,
    }
    Ok(if report.is_ok() { Exit::Ok } else { Exit::Failed })
}

fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

/// Cancelled by SIGINT or SIGTERM; by the second one the process ends at once.
fn stop_on_signal() -> std::io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let token = stop.clone();
    #[expect(clippy::disallowed_methods, reason = "it lives as long as the process, and nothing waits for it")]
    tokio::spawn(async move {
        for order in 1.. {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if order > 1 {
                std::process::exit(130);
            }
            tracing::info!("stopping, committing polled events first");
            token.cancel();
        }
    });
    Ok(stop)
}

fn check_config(args: &CheckConfigArgs) -> anyhow::Result<Exit> {
    let checked = config::load(&Source::file(&args.file), &Environment::of_process())?;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{} is ok: {}, {}, sink {}",
        args.file.display(),
        count(checked.streams.len(), "stream"),
        count(checked.accounts.len(), "account"),
        checked.sink.name()
    )?;
    for warning in checked.warnings {
        writeln!(out, "warning: {warning}")?;
    }
    Ok(Exit::Ok)
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Says on standard error why it ended, as the last line of the log, and finds the exit code for it.
fn report(error: &anyhow::Error, as_json: bool) -> Exit {
    // Who reads the output has read enough, as in `config-schema | head`.
    if error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe) {
        return Exit::Ok;
    }
    let line = one_line(error.as_ref());
    if as_json && tracing::enabled!(tracing::Level::ERROR) {
        tracing::error!(reason = line, "ended with an error");
    } else {
        // With standard error gone there is nowhere left to say it.
        drop(writeln!(std::io::stderr(), "{line}"));
    }
    exit_of(error)
}

fn exit_of(error: &anyhow::Error) -> Exit {
    let of_run = |error: &RunError| if error.is_setup() { Exit::Usage } else { Exit::Unavailable };
    if let Some(error) = error.downcast_ref() {
        return of_run(error);
    }
    match error.downcast_ref() {
        Some(CheckpointsError::Run(error)) => return of_run(error),
        Some(CheckpointsError::Usage(_) | CheckpointsError::Checkpoint(_)) => return Exit::Usage,
        Some(CheckpointsError::Migration(_)) => return Exit::Failed,
        Some(CheckpointsError::Busy { .. } | CheckpointsError::Commit(_)) => return Exit::Unavailable,
        None => {}
    }
    match error.downcast_ref() {
        Some(DemoError::Run(error)) => return of_run(error),
        Some(DemoError::Read(_) | DemoError::Stuck(_)) => return Exit::Unavailable,
        Some(
            DemoError::Simulator(_)
            | DemoError::Embedded(_)
            | DemoError::Config(_)
            | DemoError::BridgeEnded
            | DemoError::Io(_),
        )
        | None => {}
    }
    match error.downcast_ref() {
        Some(SimulatorError::Scenario(_) | SimulatorError::ScenarioFile { .. }) => return Exit::Usage,
        Some(SimulatorError::Listen { .. }) => return Exit::Unavailable,
        Some(SimulatorError::Serve(_)) | None => {}
    }
    if let Some(error) = error.downcast_ref::<AdminError>() {
        return if error.is_setup() { Exit::Usage } else { Exit::Unavailable };
    }
    if error.is::<Problems>() {
        Exit::Usage
    } else if error.is::<ReadError>() || error.is::<LedgerError>() || error.is::<StreamsError>() {
        Exit::Unavailable
    } else {
        Exit::Internal
    }
}
