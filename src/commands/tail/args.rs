//! The options of `tail`.

use super::{Template, happened};
use bridge_consumer::{Received, Until};
use bridge_contract::pb::record::Body;
use bridge_contract::time::date_time;
use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use std::path::PathBuf;
use std::str::FromStr;

/// Print records as they come.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  asana-event-bridge tail --config bridge.yaml
  asana-event-bridge tail --config bridge.yaml --stream 1204619611402340 --action added
  asana-event-bridge tail --config bridge.yaml --since 15min --output '{time} {action} {resource}'
  asana-event-bridge tail --config bridge.yaml --from start --output json | jq .record.event

Reads committed records only, and in no consumer group: nobody else is disturbed. Topics and partitions that
come later are read from their start. Whatever the filters, what is missing, double or out of order is shown, and so is every
source gap.")]
pub struct TailArgs {
    /// The bridge's configuration file (YAML). The records of its sink are read
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// The place to start. Default: the oldest record if --since or --until is given, otherwise the next record
    #[arg(long, value_enum, value_name = "WHERE")]
    pub from: Option<Begin>,
    /// The format: `text` for people, `json` for one line of JSON per record, or a template such as `'{time} {action}
    /// {resource}'` (write {{ and }} for braces)
    #[arg(long, default_value = "text", value_name = "FORM")]
    pub output: Form,
    /// End after this number of records
    #[arg(long, value_name = "COUNT")]
    pub limit: Option<u64>,
    /// The filter of the records that are printed.
    #[command(flatten)]
    pub filter: Filter,
}

/// A filter of records. Each given option must match one of its values.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Filters")]
pub struct Filter {
    /// A stream, as account/gid or the gid alone. All filters may be repeated
    #[arg(long = "stream", value_name = "STREAM")]
    pub streams: Vec<String>,
    /// The type of the resource that changed, such as task
    #[arg(long = "type", value_name = "TYPE")]
    pub types: Vec<String>,
    /// The gid of the resource that changed, or of its parent
    #[arg(long = "gid", value_name = "GID")]
    pub gids: Vec<String>,
    /// The action: added, changed, deleted, removed, undeleted
    #[arg(long = "action", value_name = "ACTION")]
    pub actions: Vec<String>,
    /// Skip what happened earlier: a time such as 2026-01-02T03:04:05Z, or a duration before now such as 15min
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<DateTime<Utc>>,
    /// Skip what happened at this time or later. Ends when all existing records have been read
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<DateTime<Utc>>,
}

/// The place where `tail` starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Begin {
    /// The next record.
    Now,
    /// The oldest record.
    Start,
}

/// The format in which a record is printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// Text for people.
    Text,
    /// JSON, as the file sink writes it.
    Json,
    /// A template of the user.
    Template(Template),
}

impl FromStr for Form {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            template if template.contains('{') => template.parse().map(Self::Template),
            _ => Err("expected text, json, or a template such as '{time} {action} {resource}'".to_owned()),
        }
    }
}

impl From<Begin> for bridge_consumer::ReadFrom {
    fn from(begin: Begin) -> Self {
        match begin {
            Begin::Now => Self::Now,
            Begin::Start => Self::Start,
        }
    }
}

impl TailArgs {
    /// The place where it starts, from the option or its default.
    #[must_use]
    pub fn begin(&self) -> Begin {
        let wants_past = self.filter.since.is_some() || self.filter.until.is_some();
        self.from.unwrap_or(if wants_past { Begin::Start } else { Begin::Now })
    }

    /// The place where it ends.
    #[must_use]
    pub fn until(&self) -> Until {
        if self.filter.until.is_some() { Until::End } else { Until::Stopped }
    }
}

impl Filter {
    /// Whether the filter matches the record.
    #[must_use]
    pub fn wants(&self, received: &Received) -> bool {
        let Self { streams, types, gids, actions, since, until } = self;
        let record = &received.record;
        let stream = record.position.as_ref().map_or("", |position| position.stream.as_str());
        let of_stream = |wanted: &String| wanted == stream || stream.rsplit('/').next() == Some(wanted);
        let (resource, parent, action) = match &record.body {
            Some(Body::Event(it)) => (it.resource.as_ref(), it.parent.as_ref(), Some(it.action.as_str())),
            Some(Body::Snapshot(it)) => (it.resource.as_ref(), it.parent.as_ref(), None),
            _ => (None, None, None),
        };
        let is = |of: Option<&str>, wanted: &[String]| {
            wanted.is_empty() || of.is_some_and(|of| wanted.iter().any(|wanted| wanted == of))
        };
        let time = || happened(received).as_ref().and_then(date_time);
        (streams.is_empty() || (!stream.is_empty() && streams.iter().any(of_stream)))
            && is(resource.map(|it| it.resource_type.as_str()), types)
            && (is(resource.map(|it| it.gid.as_str()), gids) || is(parent.map(|it| it.gid.as_str()), gids))
            && is(action, actions)
            && since.is_none_or(|since| time().is_some_and(|time| time >= since))
            && until.is_none_or(|until| time().is_some_and(|time| time < until))
    }
}

/// A time, or a duration before now.
#[expect(clippy::disallowed_methods, reason = "the command line is read once, at the edge")]
fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.with_timezone(&Utc));
    }
    let ago = humantime::parse_duration(text).ok().and_then(|ago| TimeDelta::from_std(ago).ok());
    let now = DateTime::<Utc>::from(std::time::SystemTime::now()).trunc_subsecs(3);
    ago.and_then(|ago| now.checked_sub_signed(ago))
        .ok_or_else(|| "expected a time such as 2026-01-02T03:04:05Z, or how long ago, such as 15min".to_owned())
}
