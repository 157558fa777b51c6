//! The program: see [`asana_event_bridge::commands`].

use std::process::ExitCode;

fn main() -> ExitCode {
    asana_event_bridge::commands::main()
}
