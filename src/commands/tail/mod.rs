//! The command `tail`: prints records as they come, decoded, with faults marked.

mod args;
mod template;

use super::process::{runtime, stop_on_signal};
use super::{Exit, Failure, run};
use crate::commands::left_out::LeftOutLine;
use crate::config::{self, Environment, Source};
use crate::escape::printable;
use crate::sink::reader::Reader;
use anstyle::{AnsiColor, Style};
use bridge_consumer::detect::{Continuity, News, Start, Verdict};
use bridge_consumer::{Detector, ReadError, Received};
use bridge_contract::Timestamp;
use bridge_contract::line::Line;
use bridge_contract::pb::{self, Restored, SnapshotChange, record::Body};
use bridge_contract::time::{asana_form, date_time};
use bridge_core::ids::Topic;
use serde::Serialize;
use std::fmt::Write as _;
use std::io::{self, Write};

pub use args::{Begin, Filter, Form, TailArgs};
pub use template::Template;

/// Runs the command, until all existing records are printed or until it is stopped.
pub(super) fn execute(args: &TailArgs) -> Result<Exit, Box<dyn Failure>> {
    let checked = config::load(&Source::file(&args.config), &Environment::of_process())?;
    runtime()?.block_on(async {
        let stop = stop_on_signal()?;
        let mut reader = Reader::open(run::place(&checked).await?, args.begin().into(), args.until()).await?;
        let mut out = stdout();
        let printing = print(&mut reader, args, &mut out);
        stop.run_until_cancelled(printing).await.transpose()?;
        Ok(Exit::Ok)
    })
}

/// Prints until the reader ends, the limit is reached, or the output is closed. Missing, duplicate and reordered
/// records and every source gap are printed, even if the filter doesn't match.
///
/// # Errors
/// The bus can't be read, or `to` can't be written.
///
/// # Cancel safety
/// Cancel safe: a line is printed completely or not at all.
pub async fn print(reader: &mut Reader, args: &TailArgs, to: &mut impl Write) -> Result<(), TailError> {
    let whole = args.begin() == Begin::Start && !reader.trimmed();
    let mut detector = Detector::by_lane(if whole { Start::Beginning } else { Start::Middle });
    let mut left = args.limit.unwrap_or(u64::MAX);
    while left > 0 {
        let text = match reader.next().await {
            Ok(Some(received)) => {
                let verdict = detector.observe(received.topic.as_str(), &received.record);
                let is_wanted = args.filter.wants(&received);
                left -= u64::from(is_wanted);
                shown(&received, &verdict, &args.output, is_wanted)?
            }
            Ok(None) => return Ok(()),
            Err(ReadError::NoRecord { place, reason }) => match args.output {
                Form::Text | Form::Template(_) => Some(marked(&printable(&format!("{place} is no record: {reason}")))),
                Form::Json => Some(serde_json::json!({ "place": place, "no_record": reason }).to_string()),
            },
            Err(error) => return Err(error.into()),
        };
        let Some(text) = text else { continue };
        match writeln!(to, "{text}").and_then(|()| to.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
    }
    Ok(())
}

/// Why printing ended early.
#[derive(Debug, thiserror::Error)]
pub enum TailError {
    /// The bus can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A line couldn't be formatted or written.
    #[error("could not print a record: {0}")]
    Print(#[from] io::Error),
}

impl Failure for TailError {
    fn exit(&self) -> Exit {
        match self {
            Self::Read(error) => error.exit(),
            Self::Print(error) => error.exit(),
        }
    }
}

/// A line of the file sink, with the verdict if that is notable.
#[derive(Serialize)]
struct Judged<'a> {
    #[serde(flatten)]
    line: Line,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<&'a Verdict>,
}

/// The text for a record. `None` if nothing is printed.
fn shown(received: &Received, verdict: &Verdict, form: &Form, is_wanted: bool) -> io::Result<Option<String>> {
    let marks = marks(verdict);
    if !is_wanted && marks.is_empty() {
        return Ok(None);
    }
    let body = |of: &Received| match form {
        Form::Template(template) => template.fill(of, verdict),
        Form::Text | Form::Json => text(of),
    };
    match form {
        Form::Json => {
            let Received { topic, lane, key, record, .. } = received.clone();
            let line = Line { topic, lane, key, record };
            let plain = verdict.continuity == Continuity::InOrder && verdict.news.is_none();
            Ok(Some(serde_json::to_string(&Judged { line, verdict: (!plain).then_some(verdict) })?))
        }
        Form::Text | Form::Template(_) => {
            // Each loss gets a line where the lost records would be.
            let mut lines: Vec<_> = losses(received, verdict).into_iter().map(|loss| marked(&loss)).collect();
            if is_wanted || lines.is_empty() {
                let mut line = if is_wanted { body(received) } else { text(received) };
                for mark in marks {
                    // Writing to a string doesn't fail.
                    write!(line, "  {}", marked(&mark)).ok();
                }
                lines.push(line);
            }
            Ok(Some(lines.join("\n")))
        }
    }
}

/// One line: time, stream, lane, sequence, and what happened. The writer removes colours if the output isn't a
/// terminal.
fn text(received: &Received) -> String {
    let position = received.record.position.clone().unwrap_or_default();
    let time = time(happened(received).as_ref());
    let stream = or_dash(&position.stream);
    let place = place(&received.topic, received.lane, &position);
    let dim = Style::new().dimmed();
    format!("{dim}{time}{dim:#}  {stream}  {dim}{place}{dim:#}  {}", body(received))
}

/// The time of the event, or else the time when the bridge received it.
fn happened(received: &Received) -> Option<Timestamp> {
    let happened = match &received.record.body {
        Some(Body::Event(event)) => event.created_at,
        _ => None,
    };
    happened.or(received.record.received_at)
}

fn time(time: Option<&Timestamp>) -> String {
    let shown = time.and_then(date_time).map(asana_form);
    shown.unwrap_or_else(|| "-".repeat(24))
}

fn place(topic: &Topic, lane: u32, position: &pb::Position) -> String {
    format!("{}[{lane}]/{}.{}.{}", printable(topic.as_str()), position.shard, position.epoch, position.lane_sequence)
}

/// The content of a record, in a few words.
pub(crate) fn body(received: &Received) -> String {
    match &received.record.body {
        Some(Body::Event(event)) => {
            let mut text = format!("{} {}", or_dash(&event.action), resource(event.resource.as_ref()));
            if let Some(change) = &event.change {
                write!(text, " {}", change.field.escape_debug()).ok();
            }
            text
        }
        Some(Body::StandIn(it)) => format!("stand-in: {} ({} bytes)", it.reason.escape_debug(), it.record_bytes),
        Some(Body::Snapshot(it)) => {
            let resource = it.resource.clone().unwrap_or_default();
            let change = match it.change() {
                SnapshotChange::Unspecified => "",
                SnapshotChange::Created => " (new)",
                SnapshotChange::Updated => " (changed)",
                SnapshotChange::Unchanged => " (as it was)",
                SnapshotChange::Deleted => " (deleted)",
                SnapshotChange::Left => " (left the stream)",
                SnapshotChange::NotVisible => " (not visible)",
            };
            format!("snapshot {} {}{change}", or_dash(&resource.resource_type), or_dash(&resource.gid))
        }
        Some(Body::SnapshotBegin(it)) => format!("snapshots of {} begin", or_dash(&it.crawl_id)),
        Some(Body::SnapshotEnd(it)) => {
            let left_out = left_out(&it.left_out, it.left_out_count);
            format!("snapshots of {} are complete: {}{left_out}", or_dash(&it.crawl_id), it.snapshots)
        }
        Some(Body::SourceGap(it)) => {
            let (from, to) = (time(it.last_complete_poll_at.as_ref()), time(it.resumed_at.as_ref()));
            format!("source gap {} from {from} to {to}", or_dash(&it.gap_id))
        }
        Some(Body::SourceGapHealed(it)) => {
            let part = if it.restored() == Restored::PartOfState { " in part" } else { "" };
            format!("source gap {} healed{part}{}", or_dash(&it.gap_id), left_out(&it.left_out, it.left_out_count))
        }
        Some(Body::EpochStart(it)) => {
            format!("epoch starts, after {} at {}", it.previous_epoch, it.previous_lane_sequence)
        }
        Some(Body::Watermark(it)) => format!("complete up to {}", time(it.complete_up_to.as_ref())),
        Some(Body::StreamSuspended(it)) => format!("suspended: Asana answers {}", it.status),
        Some(Body::StreamResumed(_)) => "resumed".to_owned(),
        Some(Body::StreamEnded(_)) => "ended".to_owned(),
        Some(Body::LanesChanged(it)) => format!("{} lanes, after {}", it.count, it.previous_count),
        None => "a body that this version doesn't know".to_owned(),
    }
}

/// What a crawl couldn't read, as an addition to the line.
fn left_out(named: &[pb::LeftOut], count: u64) -> String {
    if named.is_empty() && count == 0 {
        return String::new();
    }
    format!("; left out: {}", LeftOutLine { named, count })
}

/// Type, gid, and the name in quotes, without control characters.
fn resource(resource: Option<&pb::Resource>) -> String {
    let empty = pb::Resource::default();
    let resource = resource.unwrap_or(&empty);
    let mut text = format!("{} {}", or_dash(&resource.resource_type), or_dash(&resource.gid));
    if let Some(name) = &resource.name {
        // Writing to a string doesn't fail.
        write!(text, " {name:?}").ok();
    }
    text
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { printable(text).into_owned() }
}

/// What is missing before the record, by lane only: lanes are read side by side, and streams spread over them.
fn losses(received: &Received, verdict: &Verdict) -> Vec<String> {
    let position = received.record.position.clone().unwrap_or_default();
    let lane = format!("{}[{}]/{}", printable(received.topic.as_str()), received.lane, position.shard);
    let mut losses = Vec::new();
    if let Some(News::EpochChanged { previous_epoch, missing }) = &verdict.news
        && let Some(lost) = lost_at_the_end(*previous_epoch, *missing)
    {
        losses.push(format!("---- {lost} of {lane} ----"));
    }
    if let Continuity::Missing(count) = verdict.continuity {
        let last = position.lane_sequence.saturating_sub(1);
        let first = position.lane_sequence.saturating_sub(count);
        let epoch = position.epoch;
        losses.push(format!("---- {count} MISSING: {lane}.{epoch}.{first} to {last} ----"));
    }
    losses
}

/// What is missing at the end of the epoch before the one that begins here.
fn lost_at_the_end(previous_epoch: u64, missing: Option<u64>) -> Option<String> {
    match missing {
        Some(0) => None,
        Some(missing) => Some(format!("{missing} MISSING at the end of epoch {previous_epoch}")),
        None => Some(format!("UNKNOWN whether any is missing at the end of epoch {previous_epoch}")),
    }
}

/// What is notable about the record itself. What is missing before it has a line of its own.
fn marks(verdict: &Verdict) -> Vec<String> {
    let mut marks = Vec::new();
    match verdict.continuity {
        Continuity::InOrder | Continuity::NotFollowed => {}
        Continuity::Missing(count) => marks.push(format!("{count} MISSING before it")),
        Continuity::Duplicate => marks.push("DUPLICATE".to_owned()),
        Continuity::Reordered => marks.push("REORDERED".to_owned()),
        Continuity::Older => marks.push("OLDER than where reading began".to_owned()),
        Continuity::Unnumbered => marks.push("NO POSITION".to_owned()),
    }
    match &verdict.news {
        Some(News::EpochChanged { previous_epoch, missing }) => {
            marks.extend(lost_at_the_end(*previous_epoch, *missing));
        }
        Some(News::SourceGapOpened { .. }) => marks.push("SOURCE GAP".to_owned()),
        Some(News::SourceGapHealed { .. } | News::LanesChanged { .. } | News::CompleteUpTo { .. }) | None => {}
    }
    marks
}

fn marked(text: &str) -> String {
    let style = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
    format!("{style}{text}{style:#}")
}

/// Standard output, with colours on a terminal unless `NO_COLOR` is set.
#[must_use]
pub fn stdout() -> impl Write {
    anstream::AutoStream::auto(io::stdout())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bridge_consumer::Until;
    use bridge_consumer::file::FileReader;
    use bridge_core::record::event::Event;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        tail: TailArgs,
    }

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

    fn event_of(gid: u32, day: u32) -> Body {
        let text = format!(
            r#"{{"action":"changed","resource":{{"gid":"{gid}","resource_type":"task","name":"A\u001b[2J"}},"parent":null,
            "change":{{"field":"due_on","action":"changed"}},"created_at":"2026-01-{day:02}T03:04:05.006Z","user":null}}"#
        );
        let raw: Box<serde_json::value::RawValue> = serde_json::from_str(&text).expect("JSON");
        Body::Event(Event::parse(&raw).0)
    }

    fn event() -> Body {
        event_of(1, 2)
    }

    fn gap() -> Body {
        Body::SourceGap(pb::SourceGap { gap_id: "g".to_owned(), ..pb::SourceGap::default() })
    }

    async fn printed(lines: &str, arguments: &[&str]) -> String {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), lines).expect("writes");
        let mut reader = Reader::File(FileReader::open(file.path()).expect("opens"), Until::End);
        let mut to = anstream::StripStream::new(Vec::new());
        let given = ["tail", "--config", "x", "--from", "start"].iter().chain(arguments);
        let args = Cli::try_parse_from(given).expect("arguments").tail;
        print(&mut reader, &args, &mut to).await.expect("prints");
        String::from_utf8(to.into_inner()).expect("text")
    }

    #[tokio::test]
    async fn a_line_says_what_happened_and_what_is_wrong() {
        let start = Body::EpochStart(pb::EpochStart { previous_epoch: 1, previous_lane_sequence: 8 });
        let next = line(1, start).replace(r#""epoch":"1""#, r#""epoch":"7""#);
        let lines = [line(1, event()), line(4, event()), line(4, event()), line(5, gap())].concat() + "{}\n" + &next;
        let printed = printed(&lines, &[]).await;
        let printed: Vec<_> = printed.lines().collect();
        let event = r#"changed task 1 "A\u{1b}[2J" due_on"#;
        assert_eq!(printed[0], format!("2026-01-02T03:04:05.006Z  main/9  t[0]/2.1.1  {event}"));
        assert_eq!(printed[1], "---- 2 MISSING: t[0]/2.1.2 to 3 ----");
        assert_eq!(printed[2], format!("2026-01-02T03:04:05.006Z  main/9  t[0]/2.1.4  {event}  2 MISSING before it"));
        assert!(printed[3].ends_with("  DUPLICATE"), "{}", printed[3]);
        assert!(printed[4].ends_with("  SOURCE GAP"), "{}", printed[4]);
        assert!(printed[5].contains("line 5 is no record"), "{}", printed[5]);
        assert_eq!(printed[6], "---- 3 MISSING at the end of epoch 1 of t[0]/2 ----");
        assert!(printed[7].contains("epoch starts, after 1 at 8"), "{}", printed[7]);
        assert_eq!(printed.len(), 8);
    }

    #[tokio::test]
    async fn what_a_crawl_left_out_and_what_became_of_a_resource_is_said() {
        let left_out = vec![pb::LeftOut { of: "12".into(), what: "stories".into(), reason: "server".into() }];
        let healed = |restored: Restored, left_out: Vec<pb::LeftOut>| {
            let left_out_count = left_out.len() as u64;
            let restored = restored.into();
            let gap_id = "g".to_owned();
            Body::SourceGapHealed(pb::SourceGapHealed {
                gap_id,
                restored,
                left_out,
                left_out_count,
                ..Default::default()
            })
        };
        let snapshot =
            |change: SnapshotChange| Body::Snapshot(pb::Snapshot { change: change.into(), ..pb::Snapshot::default() });
        let end = pb::SnapshotEnd { left_out: left_out.clone(), left_out_count: 3, ..pb::SnapshotEnd::default() };
        let lines = [
            line(1, healed(Restored::PartOfState, left_out)),
            line(2, healed(Restored::State, Vec::new())),
            line(3, Body::SnapshotEnd(end)),
            line(4, snapshot(SnapshotChange::Deleted)),
            line(5, snapshot(SnapshotChange::Left)),
            line(6, snapshot(SnapshotChange::NotVisible)),
        ];
        let printed = printed(&lines.concat(), &["--output", "{body}"]).await;
        let expected = [
            "source gap g healed in part; left out: stories of 12 (server)",
            "source gap g healed",
            "snapshots of - are complete: 0; left out: stories of 12 (server) and 2 more",
            "snapshot - - (deleted)",
            "snapshot - - (left the stream)",
            "snapshot - - (not visible)",
        ];
        assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
    }

    #[tokio::test]
    async fn json_lines_are_those_of_the_file_sink_with_a_verdict_where_there_is_one() {
        let lines = [line(1, event()), line(2, event())].concat();
        assert_eq!(printed(&lines, &["--output", "json"]).await, lines);
        let lost = printed(&line(3, event()), &["--output", "json"]).await;
        let lost: serde_json::Value = serde_json::from_str(&lost).expect("JSON");
        assert_eq!(lost["verdict"], serde_json::json!({ "continuity": "missing", "missing": 2 }));
        assert_eq!(lost["record"]["event"]["action"], "changed");
    }

    #[tokio::test]
    async fn a_template_is_filled() {
        let template = "{time} {action} {resource} | {gid} {field} {stream} {verdict} {{x}} {user}";
        assert_eq!(
            printed(&line(1, event()), &["--output", template]).await,
            "2026-01-02T03:04:05.006Z changed task 1 \"A\\u{1b}[2J\" | 1 due_on main/9 in_order {x} -\n"
        );
    }

    #[tokio::test]
    async fn filters_leave_out_records_and_never_what_is_wrong() {
        let lines = [
            line(1, event_of(1, 1)),
            line(2, event_of(2, 2)),
            line(3, event_of(1, 3)),
            line(5, event_of(2, 4)),
            line(6, gap()),
        ]
        .concat();
        let count = async |arguments: &[&str], what: &str| {
            printed(&lines, arguments).await.lines().filter(|line| line.contains(what)).count()
        };
        assert_eq!(count(&["--gid", "1"], "changed").await, 2);
        assert_eq!(count(&["--gid", "1"], "1 MISSING: t[0]/2.1.4 to 4").await, 1);
        assert_eq!(count(&["--gid", "1"], "SOURCE GAP").await, 1);
        assert_eq!(count(&["--stream", "9", "--type", "task", "--action", "changed"], "changed").await, 4);
        assert_eq!(count(&["--stream", "main/9"], "changed").await, 4);
        assert_eq!(count(&["--stream", "other/9"], "changed").await, 0);
        assert_eq!(count(&["--type", "project"], "changed").await, 0);
        assert_eq!(count(&["--action", "added", "--action", "changed"], "changed").await, 4);
        let window = ["--since", "2026-01-02T00:00:00Z", "--until", "2026-01-04T00:00:00Z"];
        assert_eq!(count(&window, "changed").await, 2);
        assert_eq!(count(&["--limit", "2"], "changed").await, 2);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let parse = |arguments: &[&str]| Cli::try_parse_from(["tail", "--config", "x"].iter().chain(arguments));
        let refused = |arguments: &[&str]| parse(arguments).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refused(&["--output", "{nonsense}"]).contains("{stream}"), "the known names are listed");
        assert!(refused(&["--output", "xml"]).contains("text"));
        assert!(refused(&["--since", "yesterday"]).contains("2026"), "an example is given");
        assert!(parse(&["--since", "15min"]).is_ok_and(|cli| cli.tail.begin() == Begin::Start));
        assert!(parse(&[]).is_ok_and(|cli| cli.tail.begin() == Begin::Now));
    }
}
