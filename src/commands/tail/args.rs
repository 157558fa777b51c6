//! What is shown, and how.

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
    /// The bridge's configuration, as YAML: its sink is what is read
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Where to begin; with the oldest record where --since or --until is given, else with the next one
    #[arg(long, value_enum, value_name = "WHERE")]
    pub from: Option<Begin>,
    /// `text` for people, `json` for one JSON line a record, or a template such as `'{time} {action} {resource}'`;
    /// {{ and }} stand for braces
    #[arg(long, default_value = "text", value_name = "FORM")]
    pub output: Form,
    /// End after so many records
    #[arg(long, value_name = "COUNT")]
    pub limit: Option<u64>,
    /// Which records are shown.
    #[command(flatten)]
    pub filter: Filter,
}

/// Which records are shown: those that fit each of the given, one value of each.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Filters")]
pub struct Filter {
    /// A stream, as account/gid or the gid alone; may be given several times, as the others
    #[arg(long = "stream", value_name = "STREAM")]
    pub streams: Vec<String>,
    /// The type of the resource that changed, such as task
    #[arg(long = "type", value_name = "TYPE")]
    pub types: Vec<String>,
    /// The gid of the resource that changed, or of its parent
    #[arg(long = "gid", value_name = "GID")]
    pub gids: Vec<String>,
    /// What happened: added, changed, deleted, removed, undeleted
    #[arg(long = "action", value_name = "ACTION")]
    pub actions: Vec<String>,
    /// Nothing that happened before: a time such as 2026-01-02T03:04:05Z, or how long ago, such as 15min
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<DateTime<Utc>>,
    /// Nothing that happened at this time or later; ends once what there is has been read
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<DateTime<Utc>>,
}

/// Where `tail` begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Begin {
    /// With the next record.
    Now,
    /// With the oldest record.
    Start,
}

/// How a record is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text,
    /// The file sink's line.
    Json,
    /// As the user wants it.
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
    /// Where it begins, said or not.
    #[must_use]
    pub fn begin(&self) -> Begin {
        let wants_past = self.filter.since.is_some() || self.filter.until.is_some();
        self.from.unwrap_or(if wants_past { Begin::Start } else { Begin::Now })
    }

    /// How far it reads.
    #[must_use]
    pub fn until(&self) -> Until {
        if self.filter.until.is_some() { Until::End } else { Until::Stopped }
    }
}

impl Filter {
    /// Whether the record is shown.
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

/// A time, or one that is so long ago.
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
