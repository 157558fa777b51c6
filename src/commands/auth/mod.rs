//! The command `auth login`: a refresh token for an OAuth application, by a user's consent.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `mod` | the command: its arguments and its errors |
//! | `login` | the steps of a login |
//! | `answer` | receives the answer: by a redirect to this machine, or pasted |
//! | `file` | writes the refresh token, readable by its owner only |
//! | `report` | the result for people, with the lines of the configuration; no IO |

mod answer;
mod file;
mod login;
mod report;

use super::process::runtime;
use super::{Exit, Failure};
use crate::asana::{ClientError, FULL_PERMISSIONS, LoginError};
use crate::config::Environment;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// The variable with the client secret.
const SECRET_VARIABLE: &str = "ASANA_CLIENT_SECRET";

/// Log in to Asana as an OAuth application.
#[derive(Clone, Debug, clap::Args)]
pub struct AuthArgs {
    /// The action
    #[command(subcommand)]
    pub command: AuthCommand,
}

/// The action of `auth`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum AuthCommand {
    /// Let a user allow an OAuth application access, and write its refresh token to a file
    Login(LoginArgs),
}

/// Let a user allow access.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  1. In Asana's developer console, create an application. Under OAuth, add the redirect URL
       http://localhost:8765/callback
     and turn on full permissions: Asana has no scope of its own for event streams.
  2. ASANA_CLIENT_SECRET=… asana-event-bridge auth login --client-id 1204619611402345 \\
       --refresh-token-file /etc/asana-event-bridge/refresh-token
  3. Open the address that is printed, and allow the access.
  4. Put the printed lines under `accounts` into the configuration, and check it with `doctor`.

On a machine without a browser: register the redirect URL urn:ietf:wg:oauth:2.0:oob instead,
open the address on any other machine, and paste the code that Asana shows:
  asana-event-bridge auth login --client-id 1204619611402345 --client-secret-file secret --no-listen

The refresh token is never printed. Its file can be read by its owner only, and is replaced at
once or not at all. A running bridge uses a new one at its next refresh, without a restart.

Exits with 1 if the user declined or Asana refused, with 64 if the application isn't the one that
is registered, and with 69 if nobody answered in time or Asana can't be reached.")]
pub struct LoginArgs {
    /// The application's client id, from Asana's developer console
    #[arg(long, env = "ASANA_CLIENT_ID", value_name = "ID", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub client_id: String,
    /// A file with the application's client secret. Without it, the secret is the value of the variable
    /// `ASANA_CLIENT_SECRET`. If that isn't set, none is sent
    #[arg(long, value_name = "FILE")]
    pub client_secret_file: Option<PathBuf>,
    /// The file to write the refresh token to
    #[arg(long, value_name = "FILE", default_value = "asana-refresh-token")]
    pub refresh_token_file: PathBuf,
    /// Replace the file if it exists
    #[arg(long)]
    pub replace: bool,
    /// The name of the account in the printed lines of the configuration
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub account: String,
    /// A scope to request; repeat it for more. `default` stands for full permissions, which Asana has turned off or on for an
    /// application: it refuses other scopes with full permissions, and `default` without
    #[arg(long = "scope", value_name = "SCOPE", default_value = FULL_PERMISSIONS, value_parser = scope)]
    pub scopes: Vec<String>,
    /// The port on this machine that receives the answer. It is part of the redirect URL, which Asana compares exactly
    #[arg(long, value_name = "PORT", default_value_t = 8765, value_parser = clap::value_parser!(u16).range(1..), conflicts_with = "no_listen")]
    pub port: u16,
    /// Listen on no port: read the code that Asana shows from standard input
    #[arg(long)]
    pub no_listen: bool,
    /// The time within which the user has to answer
    #[arg(long, value_name = "TIME", default_value = "5min", value_parser = timeout)]
    pub timeout: Duration,
    /// The address of Asana's API. Change it to log in to `simulate`
    #[arg(long, env = "ASANA_BASE_URL", value_name = "URL", default_value = BASE_URL)]
    pub base_url: String,
    /// A PEM file with the certificate authorities that may sign Asana's certificate, for networks whose proxy inspects TLS
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

/// The address of Asana's API.
const BASE_URL: &str = "https://app.asana.com/api/1.0";

/// A scope is one word, because they are separated by spaces.
fn scope(text: &str) -> Result<String, &'static str> {
    let is_word = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
    if is_word {
        Ok(text.to_owned())
    } else {
        Err("must be one scope, such as `tasks:read`; repeat `--scope` for more")
    }
}

fn timeout(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if time < Duration::from_secs(1) { Err("must be 1s at least".to_owned()) } else { Ok(time) }
}

/// Why a login failed. The texts contain no secret.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The address of Asana's API can't be used.
    #[error("--base-url: {0}")]
    BaseUrl(String),
    /// The client secret can't be read.
    #[error("{place}: the client secret can't be read: {source}")]
    ClientSecret {
        /// The option or variable.
        place: &'static str,
        /// The reason.
        source: io::Error,
    },
    /// The file is there already.
    #[error("{path} exists: add --replace, or name another file with --refresh-token-file", path = path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file can't be written. Without a login it is known before the user is asked.
    #[error("{path}: can't be written: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Another program listens on the port.
    #[error(
        "port {port} is in use: end the program that uses it, or choose another one with --port, and register its \
         redirect URL with the application, too"
    )]
    PortInUse {
        /// The port.
        port: u16,
    },
    /// The port can't be opened.
    #[error("port {port} can't be opened: {source}; with --no-listen none is needed")]
    Port {
        /// The port.
        port: u16,
        /// The reason.
        source: io::Error,
    },
    /// The user didn't answer in time.
    #[error(
        "no answer within {}. If Asana showed an error instead of a question: the client id must be the application's, \
         the application needs the redirect URL {redirect_uri} exactly as it stands here and the requested scopes, and it \
         must be distributed to the user's workspace", humantime::format_duration(*timeout)
    )]
    TimedOut {
        /// The timeout.
        timeout: Duration,
        /// The redirect address, exactly as it must be registered.
        redirect_uri: String,
    },
    /// Standard input ended without a code.
    #[error("no code was pasted")]
    NotPasted,
    /// URLs or certificates can't be used.
    #[error(transparent)]
    Setup(#[from] ClientError),
    /// There is no refresh token.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// Standard output or standard input failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Failure for AuthError {
    fn exit(&self) -> Exit {
        match self {
            Self::BaseUrl(_) | Self::ClientSecret { .. } | Self::Exists { .. } | Self::File { .. } | Self::Setup(_) => {
                Exit::Usage
            }
            Self::PortInUse { .. } | Self::Port { .. } | Self::TimedOut { .. } => Exit::Unavailable,
            Self::NotPasted => Exit::Failed,
            Self::Login(error) => match error {
                LoginError::Client(_) => Exit::Usage,
                LoginError::Unanswered(_) => Exit::Unavailable,
                LoginError::Declined
                | LoginError::Refused(_)
                | LoginError::State
                | LoginError::NoCode
                | LoginError::Code(_)
                | LoginError::Exchange(_)
                | LoginError::NoRefreshToken => Exit::Failed,
            },
            Self::Io(error) => error.exit(),
        }
    }
}

/// Runs the command.
pub(super) fn execute(args: &AuthArgs) -> Result<Exit, Box<dyn Failure>> {
    let AuthCommand::Login(args) = &args.command;
    let runtime = runtime()?;
    let done = runtime.block_on(login::run(args, &Environment::of_process()));
    // Reading the terminal can't be interrupted.
    runtime.shutdown_background();
    Ok(done?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_one_word() {
        assert_eq!(scope("tasks:read").as_deref(), Ok("tasks:read"));
        for wrong in ["", "tasks:read projects:read", "tasks:read,projects:read"] {
            assert!(scope(wrong).is_err(), "{wrong}");
        }
    }
}
