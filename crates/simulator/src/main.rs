//! `asana-simulator`: the simulated Asana as a program of its own.

use asana_simulator::{SimulateArgs, run};
use clap::Parser;
use std::process::ExitCode;

/// A simulated Asana for tests. Its first line is `listening on http://ADDR`. It serves until SIGINT or SIGTERM.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    args: SimulateArgs,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse().args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "a program says on stderr why it ends")]
            {
                eprintln!("asana-simulator: {error}");
            }
            ExitCode::FAILURE
        }
    }
}
