//! The command line: its commands, options and help texts.

use super::Output;
use super::auth::AuthArgs;
use super::checkpoint::CheckpointArgs;
use super::contract::ContractArgs;
use super::demo::DemoArgs;
use super::doctor::DoctorArgs;
use super::pages::PagesArgs;
use super::state::StateArgs;
use super::streams::StreamsArgs;
use super::tail::TailArgs;
use super::verify::VerifyArgs;
use crate::config::gid::{gid, workspace};
use crate::config::{ConsoleOutput, LocalSink, Source};
use crate::escape::printable;
use anstyle::Style;
use asana_simulator::SimulateArgs;
use clap::error::{ContextKind, ContextValue};
use clap::{ArgGroup, Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use std::path::{Path, PathBuf};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::{FormatFields, format};

const EXIT_CODES: &str = "\
Exit codes:
  0   ok
  1   checks failed
  64  wrong usage or configuration; every problem is listed with its line
  69  a required service can't be reached
  70  internal error

Results go to standard output, logs to standard error.

First steps:
  asana-event-bridge demo                          See it work, without Asana and without a bus
  asana-event-bridge run --resource GID            Poll one project with the token in ASANA_TOKEN
  asana-event-bridge check-config bridge.yaml      Check a configuration
  asana-event-bridge doctor --config bridge.yaml   Check Asana, the bus and all rights
  asana-event-bridge run --config bridge.yaml      Run the bridge";

/// Polls Asana's event streams and publishes each event exactly once to Kafka or NATS JetStream.
/// Losses at the source are announced and healed.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES, arg_required_else_help = true, propagate_version = true)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
    #[command(flatten)]
    pub(super) log: LogArgs,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the bridge: poll Asana and publish to the configured sink
    Run(RunArgs),
    /// Run a simulated Asana, the bridge, a bus and a consumer in one process, and check the result
    Demo(DemoArgs),
    /// Run a simulated Asana, with faults on demand and a ledger of all events
    Simulate(SimulateArgs),
    /// Print records from the bus as they come, decoded, with gaps marked
    Tail(TailArgs),
    /// Read all lanes from the start and report missing, duplicate or reordered records
    Verify(VerifyArgs),
    /// Print what is in the state topic: the latest state of a resource, or of many
    State(StateArgs),
    /// Print the status of a running replica's streams, those with trouble first
    Streams(StreamsArgs),
    /// Show and change the stored progress: list, show, reset, migrate
    Checkpoint(CheckpointArgs),
    /// Check everything that `run` needs (Asana, the bus, rights, this machine), and print what to fix
    Doctor(DoctorArgs),
    /// Log in to Asana as an OAuth application, for an account that has no token of its own
    Auth(AuthArgs),
    /// Check a configuration file without connecting to anything
    CheckConfig(CheckConfigArgs),
    /// Print the JSON Schema of the configuration
    #[command(after_help = "\
Example:
  asana-event-bridge config-schema > config.schema.json

An editor with a YAML language server then completes and checks a file whose first line is
  # yaml-language-server: $schema=config.schema.json")]
    ConfigSchema,
    /// Print the wire contract: the proto, its descriptors, the JSON Schema or the `AsyncAPI` document
    Contract(ContractArgs),
    /// Write man pages and completions to a folder, for packages
    #[command(hide = true)]
    WritePages(PagesArgs),
}

impl Command {
    /// Directives that silence the logs of some parts, unless `--log-level` names these parts. The client of NATS tells in
    /// events what it logs, and these events are logged.
    fn silences(&self) -> &'static str {
        match self {
            // The doctor provokes refusals on purpose, and its own lines report the results.
            Self::Doctor(_) => "librdkafka=off,rdkafka=off,async_nats=off,",
            Self::Run(_)
            | Self::Demo(_)
            | Self::Simulate(_)
            | Self::Tail(_)
            | Self::Verify(_)
            | Self::State(_)
            | Self::Streams(_)
            | Self::Checkpoint(_)
            | Self::Auth(_)
            | Self::CheckConfig(_)
            | Self::ConfigSchema
            | Self::Contract(_)
            | Self::WritePages(_) => "async_nats=off,",
        }
    }
}

const DEFAULT_LEVEL: &str = "info";

/// Options of logging.
#[derive(Args, Debug)]
#[command(next_help_heading = "Logging")]
pub(super) struct LogArgs {
    /// Format of log lines: text for people, or one JSON object per line
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// Minimum level of log lines (error, warn, info, debug, trace), also per part of the
    /// program, such as `info,asana_event_bridge::asana=debug`
    #[arg(long, global = true, env = "RUST_LOG", default_value = DEFAULT_LEVEL, value_name = "LEVEL", value_parser = log_level)]
    log_level: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

/// Rejects a text that isn't a valid level. The filter would take a word that isn't a level for a part of the program, and silence all
/// other parts.
fn log_level(text: &str) -> Result<String, String> {
    const LEVELS: &str =
        "the levels are error, warn, info, debug, trace and off, and for a part of the program PART=LEVEL";
    if text.trim().is_empty() {
        return Ok(DEFAULT_LEVEL.to_owned());
    }
    let words = text.split(',').map(str::trim).filter(|word| !word.contains(['=', '[', ':']));
    if let Some(word) = words.filter(|word| !word.is_empty()).find(|word| word.parse::<LevelFilter>().is_err()) {
        return Err(format!("{word} is no level: {LEVELS}"));
    }
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| format!("{error}: {LEVELS}"))
}

/// Fields as `name=value`. What comes from Asana or a bus can't move the cursor of a terminal, nor begin another line.
fn text_fields() -> impl for<'w> FormatFields<'w> + Send + Sync + 'static {
    format::debug_fn(|writer, field, value| {
        let text = format!("{value:?}");
        let text = printable(&text);
        let style = if writer.has_ansi_escapes() { Style::new().italic() } else { Style::new() };
        match field.name() {
            "message" => write!(writer, "{text}"),
            name => write!(writer, "{style}{name}{style:#}={text}"),
        }
    })
    .delimited(" ")
}

impl LogArgs {
    pub(super) fn is_json(&self) -> bool {
        matches!(self.log_format, LogFormat::Json)
    }

    /// Sends logs to standard error, from now on.
    pub(super) fn start(&self, command: &Command) -> std::io::Result<()> {
        let logs = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new(format!("{}{}", command.silences(), self.log_level)))
            .with_writer(std::io::stderr)
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
        let started = match self.log_format {
            LogFormat::Text => logs.fmt_fields(text_fields()).try_init(),
            // All fields are on the top level of the object, so that `stream` is `stream` in any log store.
            LogFormat::Json => logs.json().flatten_event(true).try_init(),
        };
        started.map_err(|error| std::io::Error::other(format!("can't start logging: {error}")))
    }
}

/// Check a configuration.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  asana-event-bridge check-config bridge.yaml
  ASANA_EVENT_BRIDGE__SINK__KAFKA__TOPIC=test asana-event-bridge check-config bridge.yaml

Works exactly like the start of `run`: fills in variables ${NAME}, overrides keys from the environment,
and reads secrets. Lists every problem with its line, and exits with 64 if there is one.")]
#[command(group = ArgGroup::new("configuration").args(["file", "config"]).required(true).multiple(false))]
pub(super) struct CheckConfigArgs {
    /// The configuration file (YAML)
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The same as FILE, as the other commands have it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// `text` for people, or `json`: one JSON object on the last line, also with the problems
    #[arg(long, value_enum, default_value_t)]
    pub(super) output: Output,
}

impl CheckConfigArgs {
    /// The file, given in one way or the other.
    pub(super) fn file(&self) -> &Path {
        self.file.as_deref().or(self.config.as_deref()).unwrap_or_else(|| Path::new(""))
    }
}

/// The error, with the command that was probably meant if clap has no suggestion: clap doesn't recognise letters in the wrong order.
pub(super) fn with_suggestion(mut error: clap::Error, words: impl IntoIterator<Item = String>) -> clap::Error {
    let is_known = error.get(ContextKind::SuggestedSubcommand).is_some();
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidSubcommand) else { return error };
    if is_known {
        return error;
    }
    let mut parent = Cli::command();
    for word in words {
        let Some(child) = parent.find_subcommand(&word).cloned() else { continue };
        parent = child;
    }
    let names = parent.get_subcommands().map(|command| command.get_name().to_owned());
    let near = names.map(|name| (strsim::osa_distance(typed, &name), name)).min();
    let most = if typed.chars().count() > 4 { 2 } else { 1 };
    if let Some((_, name)) = near.filter(|(distance, _)| *distance <= most) {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(vec![name]));
    }
    error
}

/// Run the bridge.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  Try it with only a token; records are printed:
    ASANA_TOKEN=… asana-event-bridge run --resource https://app.asana.com/0/1204619611402340/list

  The same with `asana-event-bridge simulate` instead of Asana:
    ASANA_TOKEN=simulator ASANA_BASE_URL=http://127.0.0.1:8080/api/1.0 \\
      asana-event-bridge run --resource 1204619611402340

  Run it in production, with a configuration file:
    asana-event-bridge run --config bridge.yaml

Stop it with SIGTERM or Ctrl-C: it commits what it has polled and releases its shards. Without
--config the checkpoint is `asana-event-bridge.checkpoint` in the working directory, and the
next start continues from it. The console sink also ends when its reader does, as in `… | head`.")]
#[command(group = ArgGroup::new("what").args(["config", "resource", "workspace"]).required(true).multiple(true))]
pub(super) struct RunArgs {
    /// The configuration file (YAML). Without it, the bridge uses the token in `ASANA_TOKEN`, Asana
    /// at `ASANA_BASE_URL` (if set), and the console as sink
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write to a local sink instead of the configured one: `console` prints records,
    /// `file` appends them as JSON lines to `asana-events.jsonl`
    #[arg(long, value_enum, value_name = "SINK")]
    sink: Option<LocalSinkArg>,
    /// Form of the console sink's lines: `text` for people, or `json`. Default: text on a terminal, else JSON
    #[arg(long, value_enum, value_name = "FORM")]
    output: Option<Output>,
    /// Poll this task, project or goal instead of the configured streams; repeat it for more.
    /// The gid is the long number in the address of the page in Asana. The whole address is accepted, too
    #[arg(long, value_name = "GID", value_parser = gid)]
    resource: Vec<String>,
    /// Poll this whole workspace (service accounts only) instead of the configured streams;
    /// repeat it for more
    #[arg(long, value_name = "GID", value_parser = workspace)]
    workspace: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LocalSinkArg {
    Console,
    File,
}

impl From<RunArgs> for Source {
    fn from(args: RunArgs) -> Self {
        let sink = args.sink.map(|sink| match sink {
            LocalSinkArg::Console => LocalSink::Console,
            LocalSinkArg::File => LocalSink::File,
        });
        let output = args.output.map(|output| match output {
            Output::Text => ConsoleOutput::Text,
            Output::Json => ConsoleOutput::Json,
        });
        Self { file: args.config, sink, output, resources: args.resource, workspaces: args.workspace, document: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(line.split(' ')).map(|cli| cli.command)
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_word_that_is_no_level_is_rejected() {
        for wrong in ["warning", "verbose", "info,verbose", "asana_event_bridge=verbose", "hyper"] {
            let error = log_level(wrong).unwrap_err();
            assert!(error.contains("error, warn, info, debug, trace"), "{wrong}: {error}");
        }
        for fine in ["warn", "INFO", "off", "info,asana_event_bridge::asana=debug", "asana_event_bridge::asana", "3"] {
            assert_eq!(log_level(fine).as_deref(), Ok(fine));
        }
        assert_eq!(log_level("").as_deref(), Ok("info"));
    }

    /// Keeps what is written.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_text_line_is_one_line_whatever_it_tells() {
        let kept = Kept::default();
        let writer = kept.clone();
        let logs = tracing_subscriber::fmt().fmt_fields(text_fields()).with_ansi(false).without_time();
        let logs = logs.with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(logs, || {
            let hostile = "a\u{1b}[2J\nERROR b\u{202e}c";
            tracing::warn!(name = hostile, stream = %hostile, count = 2, "something happened");
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        let (_, fields) = text.split_once(": ").unwrap();
        assert_eq!(
            fields,
            concat!(
                r#"something happened name="a\u{1b}[2J\nERROR b\u{202e}c" stream=a\u{1b}[2J\nERROR b\u{202e}c count=2"#,
                "\n"
            )
        );
    }

    #[test]
    fn run_needs_a_file_or_something_to_poll() {
        assert!(parse("x run").is_err());
        assert!(parse("x run --sink console").is_err());
        let why = parse("x run").expect_err("nothing to poll").to_string();
        assert!(why.contains("--config <FILE>") && why.contains("--resource <GID>"), "{why}");
        let Ok(Command::Run(args)) = parse("x run --sink file --resource 1 --resource 2 --workspace 3") else {
            panic!("flags are enough")
        };
        let source = Source::from(args);
        assert_eq!((source.file, source.sink), (None, Some(LocalSink::File)));
        assert_eq!((source.resources, source.workspaces), (vec!["1".to_owned(), "2".to_owned()], vec!["3".to_owned()]));
        assert!(matches!(parse("x run --config f.yaml --sink console --output text"), Ok(Command::Run(_))));
        let pasted = "x run --resource https://app.asana.com/0/12/list --workspace https://app.asana.com/1/34/home";
        let Ok(Command::Run(args)) = parse(pasted) else { panic!("addresses are accepted") };
        assert_eq!((args.resource, args.workspace), (vec!["12".to_owned()], vec!["34".to_owned()]));
        assert!(parse("x run --resource Launch").is_err_and(|why| why.to_string().contains("is no gid")));
    }

    #[test]
    fn a_checkpoint_is_named_by_its_configuration() {
        assert!(parse("x checkpoint list").is_err());
        assert!(parse("x checkpoint list --config f.yaml --output json").is_ok());
        assert!(parse("x checkpoint show --config f.yaml main/1").is_ok());
        assert!(parse("x checkpoint show --config f.yaml 1").is_err(), "no stream");
        assert!(parse("x checkpoint reset --config f.yaml").is_err(), "nothing to reset");
        assert!(parse("x checkpoint reset --config f.yaml --all main/1").is_err(), "one or the other");
        assert!(parse("x checkpoint reset --config f.yaml main/1 main/2 --yes").is_ok());
        assert!(parse("x checkpoint migrate --config f.yaml --shards 0").is_err());
        assert!(parse("x checkpoint migrate --config f.yaml --shards 8 --to x").is_ok());
    }

    #[test]
    fn doctor_needs_a_file() {
        assert!(parse("x doctor").is_err());
        assert!(parse("x doctor --config f.yaml --sample all --timeout 30s --output json").is_ok());
        assert!(parse("x doctor --config f.yaml --timeout 0s").is_err());
    }

    #[test]
    fn a_mistyped_command_has_a_suggestion() {
        let said = |line: &str| {
            let words = line.split(' ').skip(1).map(str::to_owned);
            with_suggestion(parse(line).expect_err("no such command"), words).to_string()
        };
        for (line, command) in [
            ("x rnu", "'run'"),
            ("x demmo", "'demo'"),
            ("x veirfy", "'verify'"),
            ("x doctro --config f", "'doctor'"),
            ("x check", "'check-config'"),
            ("x checkpoint sohw", "'show'"),
            ("x checkpoint lits", "'list'"),
        ] {
            assert!(said(line).contains(command), "{line}: {}", said(line));
        }
        assert!(!said("x frobnicate").contains("similar"), "{}", said("x frobnicate"));
    }

    #[test]
    fn a_configuration_is_checked_by_argument_or_option() {
        for line in ["x check-config f.yaml", "x check-config --config f.yaml"] {
            let Ok(Command::CheckConfig(args)) = parse(line) else { panic!("{line}") };
            assert_eq!((args.file(), args.output), (Path::new("f.yaml"), Output::Text));
        }
        assert!(parse("x check-config").is_err());
        assert!(parse("x check-config f.yaml --config g.yaml").is_err());
    }

    #[test]
    fn demo_has_defaults_for_everything() {
        let Ok(Command::Demo(args)) = parse("x demo") else { panic!("no option is required") };
        assert_eq!(args.duration.as_secs(), 30);
        assert!(parse("x demo --for 2min --bus kafka --output json").is_ok());
        assert!(parse("x demo --rate 0").is_err());
    }
}
