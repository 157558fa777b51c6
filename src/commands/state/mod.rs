//! The command `state`: prints what the state topic has, and compares it with Asana.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `mod` | the options, and reading the topic |
//! | `diff` | the comparison with Asana |
//! | `row` | one state, and how complete the topic is, for people and for scripts |

mod diff;
mod row;

use super::place::{PlaceArgs, PlaceError, Records};
use super::process::runtime;
use super::progress::Progress;
use super::{Exit, Failure, Output};
use crate::config::gid::gid;
use crate::config::{self, Environment, Source};
use bridge_consumer::state_table::Completeness;
use bridge_consumer::{ReadError, Record, StateTable};
use bridge_contract::pb::{self, record::Body};
use clap::Subcommand;
pub use diff::{DiffReport, Difference};
use row::{Row, Told};
use serde_json::Value;
use std::io::{self, Write as _};
use std::path::PathBuf;

/// Print what is in the state topic, or compare it with Asana.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  asana-event-bridge state get 1204619611402340 --config bridge.yaml
  asana-event-bridge state list --kafka localhost:9092 --topic asana.state --type task --output json | jq .object.due_on
  asana-event-bridge state list --nats nats://localhost:4222 --project 1204619611402340
  asana-event-bridge state diff --config bridge.yaml --limit 500

The state topic has the latest state of each resource. The bridge keeps it if `state.refresh` is `on` and `sink.kafka.stateTopic`
or `sink.nats.state` is set. Each command reads the topic once, from its beginning to its end.")]
pub struct StateArgs {
    #[command(subcommand)]
    pub(super) command: StateCommand,
}

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub enum StateCommand {
    /// Print the latest state of one resource. Exits with 1 if there is none
    Get(GetArgs),
    /// Print the latest states of many resources
    List(ListArgs),
    /// Request resources from Asana, and report which of them differ from their states. Exits with 1 if any does
    Diff(DiffArgs),
}

/// Options of `get`.
#[derive(Clone, Debug, clap::Args)]
pub struct GetArgs {
    /// The gid of the resource, or the address of its page in Asana
    #[arg(value_name = "GID", value_parser = gid)]
    pub gid: String,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take a doc for help")]
    pub place: PlaceArgs,
    /// The format of the output: text, or one JSON object
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// Options of `list`.
#[derive(Clone, Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take a doc for help")]
    pub place: PlaceArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take a doc for help")]
    pub filter: Filter,
    /// The format of the output: text, or one JSON object for each resource
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// Options of `diff`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
A resource costs one request, at half of the account's rate. What has changed within the last seconds may differ and be right:
the bridge reads it some seconds after its event. What Asana has and the topic doesn't have isn't found by this command.")]
pub struct DiffArgs {
    /// The bridge's configuration (YAML), with the accounts to ask
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take a doc for help")]
    pub filter: Filter,
    /// The maximum number of resources that are requested, spread evenly over all states
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    pub limit: usize,
    /// The format of the output: text, or one JSON object
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// A filter of states. Each given option must match one of its values.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Filters")]
pub struct Filter {
    /// Only resources of this type, such as `task`. Repeat it for more, like the other filters
    #[arg(long = "type", value_name = "TYPE")]
    pub types: Vec<String>,
    /// Only this project, its sections, and tasks that are in it (subtasks are in no project): a gid, or the address of its page
    #[arg(long = "project", value_name = "GID", value_parser = gid)]
    pub projects: Vec<String>,
    /// Only resources that this stream of the bridge shows: ACCOUNT/GID, or the GID alone
    #[arg(long = "asana-stream", value_name = "STREAM", value_parser = crate::config::gid::stream)]
    pub streams: Vec<String>,
}

impl Filter {
    fn wants(&self, gid: &str, state: &pb::State) -> bool {
        let Self { types, projects, streams } = self;
        let resource_type = state.resource.as_ref().map_or("", |resource| resource.resource_type.as_str());
        let is = |wanted: &String, stream: &String| stream == wanted || stream.rsplit('/').next() == Some(wanted);
        (types.is_empty() || types.iter().any(|wanted| wanted == resource_type))
            && (streams.is_empty()
                || streams.iter().any(|wanted| state.streams.iter().any(|stream| is(wanted, stream))))
            && (projects.is_empty() || projects.iter().any(|project| project == gid || is_in(project, state)))
    }
}

/// Whether the resource says that it is in the project.
fn is_in(project: &str, state: &pb::State) -> bool {
    let object: Value = serde_json::from_str(&state.state_json).unwrap_or_default();
    let listed = |key: &str| object.get(key).and_then(Value::as_array).into_iter().flatten();
    let memberships = listed("memberships").filter_map(|membership| membership.get("project"));
    let is_it = |it: &Value| it.get("gid").is_some_and(|gid| gid == project);
    listed("projects").chain(memberships).chain(object.get("project")).any(is_it)
}

/// Why there are no states to print.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The topic isn't there, or can't be reached.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The bus can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The topic has no state of the resource.
    #[error("no state of {gid}: {reason} ({told})")]
    None {
        /// The resource.
        gid: String,
        /// Why that may be.
        reason: &'static str,
        /// How complete the topic is.
        told: String,
    },
    /// The topic has something else.
    #[error("{topic} has records that are no states: name the state topic, such as `--topic asana.state`")]
    NoStates {
        /// The topic that was read.
        topic: String,
    },
}

impl Failure for StateError {
    fn exit(&self) -> Exit {
        match self {
            Self::Place(error) => error.exit(),
            Self::Read(error) => error.exit(),
            Self::None { .. } => Exit::Failed,
            Self::NoStates { .. } => Exit::Usage,
        }
    }
}

/// Runs the command.
pub(super) fn execute(command: &StateCommand) -> Result<Exit, Box<dyn Failure>> {
    match command {
        StateCommand::Get(args) => {
            let records = args.place.states()?;
            let table = runtime()?.block_on(read(records, |gid, _| gid == args.gid))?;
            get(&table, args)
        }
        StateCommand::List(args) => {
            let records = args.place.states()?;
            let table = runtime()?.block_on(read(records, |gid, state| args.filter.wants(gid, state)))?;
            list(&table, args)
        }
        StateCommand::Diff(args) => {
            let (environment, source) = (Environment::of_process(), Source::file(&args.config));
            let checked = config::load(&source, &environment)?;
            let records = Records::Configured(Box::new(config::load_reading(&args.config, &environment)?));
            let report = runtime()?.block_on(async {
                let table = read(records, |gid, state| args.filter.wants(gid, state)).await?;
                diff::compare(&checked, &table, args.limit).await
            })?;
            args.output.show(&report)?;
            Ok(Exit::of(report.is_ok()))
        }
    }
}

/// Reads the topic to its end, and keeps what is wanted, and what the topic says of itself.
///
/// # Errors
/// The topic can't be read, or has something else.
async fn read(records: Records, wants: impl Fn(&str, &pb::State) -> bool) -> Result<StateTable, StateError> {
    let mut reader = records.open_states().await?;
    let mut table = StateTable::default();
    let progress = Progress::new(reader.expected());
    loop {
        match reader.next().await {
            Ok(Some(received)) => {
                let is_wanted = match &received.record.body {
                    Some(Body::State(state)) => wants(&received.key, state),
                    Some(Body::StateProgress(_)) => true,
                    None => false,
                    Some(_) => return Err(StateError::NoStates { topic: received.topic.to_string() }),
                };
                let record = is_wanted.then(|| Record::from(received.record));
                table.apply(&received.key, record.as_ref());
            }
            Ok(None) => return Ok(table),
            Err(ReadError::NoRecord { place, reason }) => tracing::warn!(place, reason, "no record in the state topic"),
            Err(error) => return Err(error.into()),
        }
        progress.step();
    }
}

fn get(table: &StateTable, args: &GetArgs) -> Result<Exit, Box<dyn Failure>> {
    let told = Told(table.completeness());
    let Some(state) = table.get(&args.gid) else {
        let reason = match told.0 {
            Completeness::Complete { .. } => {
                "it was deleted, no stream has shown it, or `state.types` leaves out its type"
            }
            Completeness::Unknown | Completeness::Loading { .. } => "it may not be loaded yet",
        };
        return Err(StateError::None { gid: args.gid.clone(), reason, told: told.to_string() }.into());
    };
    let row = Row::of(&args.gid, state);
    match args.output {
        Output::Text => io::stdout().write_all(row.whole().as_bytes())?,
        Output::Json => args.output.show(&row)?,
    }
    Ok(Exit::Ok)
}

fn list(table: &StateTable, args: &ListArgs) -> Result<Exit, Box<dyn Failure>> {
    let printed = (|| {
        let mut count = 0_u64;
        for (gid, state) in table.iter() {
            args.output.show(&Row::of(gid, state))?;
            count += 1;
        }
        let told = Told(table.completeness());
        if args.output == Output::Text {
            writeln!(io::stdout(), "{count} resources; {told}")?;
        }
        Ok(())
    })();
    match printed {
        Err(error) if io::Error::kind(&error) == io::ErrorKind::BrokenPipe => Ok(Exit::Ok),
        printed => Ok(printed.map(|()| Exit::Ok)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(resource_type: &str, object: &Value, streams: &[&str]) -> pb::State {
        pb::State {
            resource: Some(pb::Resource { resource_type: resource_type.to_owned(), ..pb::Resource::default() }),
            state_json: object.to_string(),
            streams: streams.iter().map(|stream| (*stream).to_owned()).collect(),
            ..pb::State::default()
        }
    }

    fn filter(types: &[&str], projects: &[&str], streams: &[&str]) -> Filter {
        let own = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
        Filter { types: own(types), projects: own(projects), streams: own(streams) }
    }

    #[test]
    fn a_filter_of_projects_takes_the_project_and_what_says_that_it_is_in_it() {
        let wanted = filter(&[], &["12"], &[]);
        let listed = serde_json::json!({ "projects": [{ "gid": "11" }, { "gid": "12" }] });
        let member = serde_json::json!({ "memberships": [{ "project": { "gid": "12" } }] });
        let section = serde_json::json!({ "project": { "gid": "12" } });
        for object in [&listed, &member, &section] {
            assert!(wanted.wants("1", &state("task", object, &[])), "{object}");
        }
        assert!(wanted.wants("12", &state("project", &serde_json::json!({}), &[])));
        assert!(!wanted.wants("1", &state("task", &serde_json::json!({ "projects": [{ "gid": "13" }] }), &[])));
    }

    #[test]
    fn filters_of_types_and_streams_must_match_both() {
        let task = state("task", &serde_json::json!({}), &["main/12"]);
        for (types, streams, expected) in [
            (&[][..], &[][..], true),
            (&["task", "story"], &["main/12"], true),
            (&["task"], &["12"], true),
            (&["task"], &["other/12"], false),
            (&["story"], &["12"], false),
        ] {
            assert_eq!(filter(types, &[], streams).wants("1", &task), expected, "{types:?} {streams:?}");
        }
    }
}
