//! Print records as they come, decoded, with what is wrong marked.

use crate::consumer::{Detector, ReadError, Received};
use crate::core::detect::{Continuity, News, Verdict};
use crate::core::ids::{Gid, Topic};
use crate::core::line::Line;
use crate::pb::{self, record::Body};
use crate::reader::Reader;
use crate::verify::Output;
use anstyle::{AnsiColor, Style};
use chrono::{DateTime, SecondsFormat, Utc};
use pbjson_types::Timestamp;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::PathBuf;

/// Print records as they come.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  asana-event-bridge tail --config bridge.yaml
  asana-event-bridge tail --config bridge.yaml --from start --output json | jq .record.event

Reads committed records only, and in no consumer group: nobody else is disturbed.")]
pub struct TailArgs {
    /// The bridge's configuration, as YAML: its sink is what is read
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Where to begin
    #[arg(long, value_enum, default_value_t, value_name = "WHERE")]
    pub from: Begin,
    /// For people, or the JSON line of each record
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// Where `tail` begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Begin {
    /// With the next record.
    #[default]
    Now,
    /// With the oldest record.
    Start,
}

impl From<Begin> for crate::consumer::From {
    fn from(begin: Begin) -> Self {
        match begin {
            Begin::Now => Self::Now,
            Begin::Start => Self::Start,
        }
    }
}

/// Prints until the reader ends, or who reads `to` has gone.
///
/// # Errors
/// The bus can't be read, or `to` can't be written.
///
/// # Cancel safety
/// May be dropped: a line is printed whole or not at all.
pub async fn print(reader: &mut Reader, begin: Begin, output: Output, to: &mut impl Write) -> Result<(), TailError> {
    let whole = begin == Begin::Start && !reader.trimmed();
    let mut detector = if whole { Detector::from_start() } else { Detector::joining() };
    loop {
        let line = match reader.next().await {
            Ok(Some(received)) => {
                let verdict = detector.observe(&received.topic, &received.record);
                match output {
                    Output::Text => text(&received, &verdict),
                    Output::Json => json(received)?,
                }
            }
            Ok(None) => return Ok(()),
            Err(ReadError::NoRecord { place, reason }) if output == Output::Text => {
                marked(&format!("{place} is no record: {reason}"))
            }
            Err(error) => return Err(error.into()),
        };
        match writeln!(to, "{line}").and_then(|()| to.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
    }
}

/// Why printing ended early.
#[derive(Debug, thiserror::Error)]
pub enum TailError {
    /// The bus can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The line can't be made, or written.
    #[error("could not print a record: {0}")]
    Print(#[from] io::Error),
}

fn json(received: Received) -> io::Result<String> {
    let Received { topic, lane, key, record, .. } = received;
    Ok(serde_json::to_string(&Line { topic, lane, key: Gid::from(key), record })?)
}

/// One line: time, stream, lane and sequence, what happened; then what is wrong, in colour.
/// Colours are stripped by the writer where nobody sees them.
fn text(received: &Received, verdict: &Verdict) -> String {
    let position = received.record.position.clone().unwrap_or_default();
    let happened = match &received.record.body {
        Some(Body::Event(event)) => event.created_at.as_ref(),
        _ => None,
    };
    let time = time(happened.or(received.record.received_at.as_ref()));
    let stream = if position.stream.is_empty() { "-" } else { &position.stream };
    let place = place(&received.topic, received.lane, &position);
    let mut line = format!("{time}  {stream}  {place}  {}", body(received));
    for mark in marks(verdict) {
        // Writing to a string doesn't fail.
        write!(line, "  {}", marked(&mark)).ok();
    }
    line
}

fn time(time: Option<&Timestamp>) -> String {
    let read = |time: &Timestamp| DateTime::<Utc>::from_timestamp(time.seconds, u32::try_from(time.nanos).ok()?);
    let shown = time.and_then(read).map(|time| time.to_rfc3339_opts(SecondsFormat::Millis, true));
    shown.unwrap_or_else(|| "-".repeat(24))
}

fn place(topic: &Topic, lane: u32, position: &pb::Position) -> String {
    format!("{topic}[{lane}]/{}.{}.{}", position.shard, position.epoch, position.lane_sequence)
}

/// What a record says, in a few words.
pub(crate) fn body(received: &Received) -> String {
    match &received.record.body {
        Some(Body::Event(event)) => {
            let resource = event.resource.clone().unwrap_or_default();
            let mut text =
                format!("{} {} {}", or_dash(&event.action), or_dash(&resource.resource_type), or_dash(&resource.gid));
            if let Some(name) = &resource.name {
                // In quotes, and without whatever would move the cursor.
                write!(text, " {name:?}").ok();
            }
            if let Some(change) = &event.change {
                write!(text, " {}", change.field.escape_debug()).ok();
            }
            text
        }
        Some(Body::StandIn(it)) => format!("stand-in: {} ({} bytes)", it.reason.escape_debug(), it.record_bytes),
        Some(Body::Snapshot(it)) => {
            let resource = it.resource.clone().unwrap_or_default();
            format!("snapshot {} {}", or_dash(&resource.resource_type), or_dash(&resource.gid))
        }
        Some(Body::SnapshotBegin(it)) => format!("snapshots of {} begin", or_dash(&it.crawl_id)),
        Some(Body::SnapshotEnd(it)) => format!("snapshots of {} are complete: {}", or_dash(&it.crawl_id), it.snapshots),
        Some(Body::SourceGap(it)) => {
            let (from, to) = (time(it.last_complete_poll_at.as_ref()), time(it.resumed_at.as_ref()));
            format!("source gap {} from {from} to {to}", or_dash(&it.gap_id))
        }
        Some(Body::SourceGapHealed(it)) => format!("source gap {} healed", or_dash(&it.gap_id)),
        Some(Body::EpochStart(it)) => {
            format!("epoch starts, after {} at {}", it.previous_epoch, it.previous_lane_sequence)
        }
        Some(Body::Watermark(it)) => format!("complete up to {}", time(it.complete_up_to.as_ref())),
        Some(Body::LanesChanged(it)) => format!("{} lanes, after {}", it.count, it.previous_count),
        None => "a body that this version doesn't know".to_owned(),
    }
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.escape_debug().to_string() }
}

/// What a person should see. By lane alone: lanes are read side by side, streams run across them.
fn marks(verdict: &Verdict) -> Vec<String> {
    let mut marks = Vec::new();
    match verdict.lane {
        Continuity::InOrder => {}
        Continuity::Missing(count) => marks.push(format!("{count} MISSING before it")),
        Continuity::Duplicate => marks.push("DUPLICATE".to_owned()),
        Continuity::Reordered => marks.push("REORDERED".to_owned()),
        Continuity::Unnumbered => marks.push("NO POSITION".to_owned()),
    }
    match &verdict.news {
        Some(News::EpochChanged { previous_epoch, missing }) if *missing > 0 => {
            marks.push(format!("{missing} MISSING at the end of epoch {previous_epoch}"));
        }
        Some(News::SourceGapOpened { .. }) => marks.push("SOURCE GAP".to_owned()),
        Some(News::EpochChanged { .. } | News::SourceGapHealed { .. }) | None => {}
    }
    marks
}

fn marked(text: &str) -> String {
    let style = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
    format!("{style}{text}{style:#}")
}

/// Standard output: colours on a terminal, unless `NO_COLOR` is set.
#[must_use]
pub fn stdout() -> impl Write {
    anstream::AutoStream::auto(io::stdout())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consumer::Until;
    use crate::consumer::file::FileReader;
    use crate::core::event::Event;

    fn line(sequence: u64, body: Body) -> String {
        let position = pb::Position {
            shard: 2,
            epoch: 1,
            lane: 0,
            lane_sequence: sequence,
            stream: "main/9".to_owned(),
            stream_sequence: sequence,
        };
        let record = pb::Record { position: Some(position), received_at: None, body: Some(body) };
        serde_json::to_string(&Line { topic: "t".into(), lane: 0, key: "1".into(), record }).expect("JSON") + "\n"
    }

    fn event() -> Body {
        let text = r#"{"action":"changed","resource":{"gid":"1","resource_type":"task","name":"A\u001b[2J"},"parent":null,
            "change":{"field":"due_on","action":"changed"},"created_at":"2026-01-02T03:04:05.006Z","user":null}"#;
        let raw: Box<serde_json::value::RawValue> = serde_json::from_str(text).expect("JSON");
        Body::Event(Event::parse(&raw).0)
    }

    async fn printed(lines: &str, output: Output) -> String {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), lines).expect("writes");
        let mut reader = Reader::File(FileReader::open(file.path()).expect("opens"), Until::End);
        let mut to = anstream::StripStream::new(Vec::new());
        print(&mut reader, Begin::Start, output, &mut to).await.expect("prints");
        String::from_utf8(to.into_inner()).expect("text")
    }

    #[tokio::test]
    async fn a_line_says_what_happened_and_what_is_wrong() {
        let gap = Body::SourceGap(pb::SourceGap { gap_id: "g".to_owned(), ..pb::SourceGap::default() });
        let lines = [line(1, event()), line(4, event()), line(4, event()), line(5, gap)].concat() + "{}\n";
        let printed = printed(&lines, Output::Text).await;
        let printed: Vec<_> = printed.lines().collect();
        let event = r#"changed task 1 "A\u{1b}[2J" due_on"#;
        assert_eq!(printed[0], format!("2026-01-02T03:04:05.006Z  main/9  t[0]/2.1.1  {event}"));
        assert_eq!(printed[1], format!("2026-01-02T03:04:05.006Z  main/9  t[0]/2.1.4  {event}  2 MISSING before it"));
        assert!(printed[2].ends_with("  DUPLICATE"), "{}", printed[2]);
        assert!(printed[3].ends_with("  SOURCE GAP"), "{}", printed[3]);
        assert!(printed[4].contains("line 5 is no record"), "{}", printed[4]);
        assert_eq!(printed.len(), 5);
    }

    #[tokio::test]
    async fn json_lines_are_those_of_the_file_sink() {
        let lines = [line(1, event()), line(2, event())].concat();
        assert_eq!(printed(&lines, Output::Json).await, lines);
    }
}
