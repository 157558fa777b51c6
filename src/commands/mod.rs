//! The commands of the program, each in a place of its own.
//!
//! | place | what it holds |
//! | --- | --- |
//! | `mod` | from the command line to the exit code |
//! | `cli` | the command line: commands, options and help texts |
//! | `exit` | exit codes |
//! | `output` | results for people and for scripts |
//! | `process` | the runtime and signals |
//! | `run` | the bridge: its wiring, its plan, and changes of the configuration while it runs |
//! | `auth` | `auth login`: a refresh token, by a user's consent |
//! | `check` | `check-config` and `config-schema` |
//! | `checkpoint`, `contract`, `demo`, `doctor`, `streams`, `tail`, `verify` | the command of that name |
//! | `pages` | `write-pages`: man pages and completions |
//! | `place` | where `tail` and `verify` find records |
//! | `ledger` | the events that a simulator offered, for `verify` and `demo` |

mod asker;
pub mod auth;
mod check;
pub mod checkpoint;
mod cli;
mod contract;
pub mod demo;
pub mod doctor;
mod exit;
pub mod ledger;
mod output;
mod pages;
pub mod place;
mod process;
mod progress;
pub mod run;
pub mod state;
pub mod streams;
pub mod tail;
pub mod verify;

pub use exit::{Exit, Failure};
pub use output::Output;

use crate::escape::printable;
use crate::one_line::one_line;
use clap::{CommandFactory as _, Parser as _};
use cli::{Cli, Command, with_suggestion};
use std::io::Write as _;
use std::process::ExitCode;

/// Runs the program. Returns its exit code.
#[must_use]
pub fn main() -> ExitCode {
    crate::sink::any::prepare_process();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let error =
                with_suggestion(error, std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()));
            // Help and version are no errors, and a closed output doesn't matter.
            drop(error.print());
            return if error.use_stderr() { Exit::Usage } else { Exit::Ok }.into();
        }
    };
    if let Err(error) = cli.log.start(&cli.command) {
        return report(&error, false).into();
    }
    dispatch(cli.command).unwrap_or_else(|error| report(error.as_ref(), cli.log.is_json())).into()
}

fn dispatch(command: Command) -> Result<Exit, Box<dyn Failure>> {
    match command {
        Command::Run(args) => run::execute(&args.into()),
        Command::Demo(args) => demo::execute(&args),
        Command::Tail(args) => tail::execute(&args),
        Command::Verify(args) => verify::execute(&args),
        Command::State(args) => state::execute(&args.command),
        Command::Streams(args) => streams::execute(&args),
        Command::Doctor(args) => doctor::execute(&args),
        Command::Auth(args) => auth::execute(&args),
        Command::Checkpoint(args) => checkpoint::execute(&args.command),
        Command::Simulate(args) => {
            process::runtime()?.block_on(asana_simulator::run(args))?;
            Ok(Exit::Ok)
        }
        Command::CheckConfig(args) => check::config(args.file(), args.output),
        Command::ConfigSchema => check::schema(),
        Command::Contract(args) => contract::execute(&args),
        Command::WritePages(args) => pages::execute(&args, Cli::command()),
    }
}

/// Writes to standard error why the program ended, as the last line of the log.
fn report(error: &dyn Failure, as_json: bool) -> Exit {
    let exit = error.exit();
    if exit != Exit::Ok {
        let line = one_line(error);
        if as_json && tracing::enabled!(tracing::Level::ERROR) {
            tracing::error!(reason = line, "ended with an error");
        } else {
            // With standard error gone there is nowhere left to say it.
            let lines = line.lines().map(printable).collect::<Vec<_>>().join("\n");
            drop(writeln!(std::io::stderr(), "{lines}"));
        }
    }
    exit
}
