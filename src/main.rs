//! The program.

mod cli;

use asana_event_bridge::config::{self, Environment, Source};
use clap::Parser as _;
use cli::{CheckConfigArgs, Cli, Command, Exit};
use std::io::Write as _;
use std::process::ExitCode;

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
        Command::CheckConfig(args) => check_config(&args),
        Command::ConfigSchema => {
            let schema = serde_json::to_string_pretty(config::schema())?;
            writeln!(std::io::stdout(), "{schema}")?;
            Ok(Exit::Fine)
        }
    }
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
