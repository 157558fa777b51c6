//! The options of `tail`.

use crate::commands::Output;
use crate::commands::place::PlaceArgs;
use crate::config::gid::{gid, stream};
use crate::record_text::{happened_at, is_bookkeeping};
use bridge_consumer::{Received, Until};
use bridge_contract::pb::record::Body;
use bridge_contract::time::date_time;
use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};

/// Print records as they come.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  asana-event-bridge tail --kafka localhost:9092 --topic asana.events
  asana-event-bridge tail --nats nats://localhost:4222 --stream ASANA --from start
  asana-event-bridge tail --config bridge.yaml --asana-stream 1204619611402340 --action added
  asana-event-bridge tail --config bridge.yaml --since 15min
  asana-event-bridge tail --file asana-events.jsonl --from start --output json | jq .record.event

It needs no Asana token. It reads committed records only, and joins no consumer group, so no consumer is disturbed.
Topics and partitions that are created later are read from their start. Missing, duplicate and reordered records and
source gaps are always shown, whatever the filters. Text leaves out the records that only serve the bookkeeping of
consumers, such as watermarks; --all shows them.")]
pub struct TailArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take a doc for help")]
    pub place: PlaceArgs,
    /// The place to start. Default: the oldest record if --since or --until is given, otherwise the next record
    #[arg(long, value_enum, value_name = "WHERE")]
    pub from: Option<Begin>,
    /// `text` for people, or `json`: one JSON object per record, as the file sink writes it, with the verdict if something is wrong
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
    /// Show all records in the text, also those that only serve the bookkeeping of consumers: watermarks, starts of epochs,
    /// begin and end of snapshots, changes of lanes and of streams
    #[arg(long)]
    pub all: bool,
    /// End after this number of records
    #[arg(long, value_name = "COUNT")]
    pub limit: Option<u64>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take a doc for help")]
    pub filter: Filter,
}

/// A filter of records. Each given option must match one of its values.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Filters")]
pub struct Filter {
    /// Only records of this stream of the bridge: ACCOUNT/GID, or the GID alone. Repeat it for more, like the other filters
    #[arg(long = "asana-stream", value_name = "STREAM", value_parser = stream)]
    pub streams: Vec<String>,
    /// Only changes of resources of this type, such as `task`
    #[arg(long = "type", value_name = "TYPE")]
    pub types: Vec<String>,
    /// Only changes of this resource, or of a resource whose parent it is: a gid, or the address of a page in Asana
    #[arg(long = "gid", value_name = "GID", value_parser = gid)]
    pub gids: Vec<String>,
    /// Only this action: added, changed, deleted, removed, undeleted
    #[arg(long = "action", value_name = "ACTION")]
    pub actions: Vec<String>,
    /// Only what happened at this time or later: a time such as 2026-01-02T03:04:05Z, or an age such as 15min
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<DateTime<Utc>>,
    /// Only what happened before this time. Ends when all existing records are read
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

impl From<Begin> for bridge_consumer::ReadFrom {
    fn from(begin: Begin) -> Self {
        match begin {
            Begin::Now => Self::Now,
            Begin::Start => Self::Start,
        }
    }
}

impl TailArgs {
    /// Whether the record is shown, if nothing is wrong with it.
    #[must_use]
    pub fn wants(&self, received: &Received) -> bool {
        let is_hidden = self.output == Output::Text && !self.all && is_bookkeeping(&received.record);
        !is_hidden && self.filter.wants(received)
    }

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
        let time = || happened_at(record).as_ref().and_then(date_time);
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
