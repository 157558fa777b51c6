//! The program.

mod cli;

use asana_event_bridge::bridge::LogObserver;
use asana_event_bridge::config::{self, Environment, Source};
use asana_event_bridge::{run, simulator};
use clap::Parser as _;
use cli::{CheckConfigArgs, Cli, Command, Exit};
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors, and a reader that is gone doesn't matter.
            drop(error.print());
            return if error.use_stderr() { Exit::Usage } else { Exit::Fine }.into();
        }
    };
    cli.log.start().and_then(|()| dispatch(cli.command)).unwrap_or_else(|error| report(&error)).into()
}

fn dispatch(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Run(args) => run(&args.into()),
        Command::Simulate(args) => {
            runtime()?.block_on(simulator::run(args))?;
            Ok(Exit::Fine)
        }
        Command::CheckConfig(args) => check_config(&args),
        Command::ConfigSchema => {
            let schema = serde_json::to_string_pretty(config::schema())?;
            writeln!(std::io::stdout(), "{schema}")?;
            Ok(Exit::Fine)
        }
    }
}

fn run(source: &Source) -> anyhow::Result<Exit> {
    let checked = config::load(source, &Environment::of_process())?;
    for warning in &checked.warnings {
        tracing::warn!("{warning}");
    }
    runtime()?.block_on(async {
        let stop = stop_on_signal()?;
        run::run(&checked, Arc::new(LogObserver), stop).await?;
        Ok(Exit::Fine)
    })
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
            tracing::info!("stopping: what was polled is committed first");
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
        "{} is fine: {}, {}, sink {}",
        args.file.display(),
        count(checked.streams.len(), "stream"),
        count(checked.accounts.len(), "account"),
        checked.sink.name()
    )?;
    for warning in checked.warnings {
        writeln!(out, "warning: {warning}")?;
    }
    Ok(Exit::Fine)
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Says on standard error why it ended, and finds the exit code for it.
fn report(error: &anyhow::Error) -> Exit {
    let exit = match (error.downcast_ref::<config::Problems>(), error.downcast_ref::<std::io::Error>()) {
        (Some(_), _) => Exit::Usage,
        // Who reads the output has read enough, as in `config-schema | head`.
        (_, Some(io)) if io.kind() == std::io::ErrorKind::BrokenPipe => return Exit::Fine,
        _ => Exit::Internal,
    };
    // With standard error gone there is nowhere left to say it.
    drop(writeln!(std::io::stderr(), "{error:#}"));
    exit
}
