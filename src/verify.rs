//! Read all lanes and say whether anything is missing, by positions and by a simulator's ledger.

use crate::consumer::{Detector, ReadError, Received};
use crate::core::detect::{Continuity, LaneKey, Tally};
use crate::core::event;
use crate::core::ids::Topic;
use crate::ledger::{Ledger, StreamLedger, digest};
use crate::pb::record::Body;
use crate::reader::Reader;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;

/// How many missing events a report shows.
const EXAMPLES: usize = 10;
/// Progress is shown each time that so many records were read.
const PROGRESS: u64 = 10_000;

/// Read all lanes from the start and report what is missing, double or out of order.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  asana-event-bridge verify --config bridge.yaml
  asana-event-bridge verify --config bridge.yaml --ledger http://127.0.0.1:8080 --output json

Exits with 1 if anything is missing, twice or out of order. Source gaps are announced losses:
they are counted, and explain what is missing beside them.")]
pub struct VerifyArgs {
    /// The bridge's configuration, as YAML: its sink is what is read
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// A simulator, such as `http://127.0.0.1:8080`: every event of its ledger must have been read
    #[arg(long, value_name = "URL")]
    pub ledger: Option<String>,
    /// For people, or one JSON object on the last line
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// How results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// As JSON.
    Json,
}

/// What was found. `missing`, `duplicates` and `reordered` are the greatest that
/// positions and ledger show.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Events that the ledger says a poller could have seen; `None` without a ledger.
    pub offered: Option<u64>,
    /// Events that were read, duplicates left out.
    pub read: u64,
    /// Records or events that should be there and are not.
    pub missing: u64,
    /// Records or events that are there more often than they should.
    pub duplicates: u64,
    /// Records or events behind one that should come after them.
    pub reordered: u64,
    /// Events of the ledger that are not there, and a source gap or a stand-in says why.
    pub explained: u64,
    /// Events that the ledger doesn't know.
    pub unexpected: u64,
    /// Records in another lane than they say, or of a key that has records in several lanes of a topic.
    pub misplaced: u64,
    /// Records whose position can't be followed.
    pub unnumbered: u64,
    /// Messages that are no record.
    pub no_record: u64,
    /// Source gaps that are not healed.
    pub source_gaps_open: u64,
    /// Source gaps that are healed.
    pub source_gaps_healed: u64,
    /// The bus no longer had its oldest records: checked from where it begins now, by lanes alone.
    pub trimmed: bool,
    /// By lane, all shards together.
    pub lanes: Vec<LaneReport>,
    /// By stream.
    pub streams: Vec<StreamReport>,
    /// Some of the missing events.
    pub examples: Vec<String>,
}

/// A lane's part of the report, by lane sequences.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LaneReport {
    /// The topic.
    pub topic: String,
    /// The lane.
    pub lane: u32,
    /// Records, with duplicates.
    pub read: u64,
    /// Sequences that are not there.
    pub missing: u64,
    /// Sequences that are there again.
    pub duplicates: u64,
    /// Sequences behind a greater one.
    pub reordered: u64,
}

/// A stream's part of the report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StreamReport {
    /// The stream, as `account/gid`; the gid alone where nothing of it was read.
    pub stream: String,
    /// What a poller could have seen; `None` without a ledger of it.
    pub offered: Option<u64>,
    /// Events that were read, duplicates left out.
    pub read: u64,
    /// By stream sequences, or by the ledger: the greater.
    pub missing: u64,
}

impl Report {
    /// Whether everything is there once and in order. Source gaps are announced, so they don't count.
    #[must_use]
    pub fn is_fine(&self) -> bool {
        let faults = [
            self.missing,
            self.duplicates,
            self.reordered,
            self.unexpected,
            self.misplaced,
            self.unnumbered,
            self.no_record,
        ];
        faults.into_iter().all(|count| count == 0)
    }
}

/// Checks records, in the order of each lane, that were read from the start of all lanes.
#[must_use]
pub fn check(records: impl IntoIterator<Item = Received>, ledger: Option<&Ledger>) -> Report {
    let mut verification = Verification::new(false);
    for received in records {
        verification.take(&received);
    }
    verification.finish(ledger)
}

/// Reads to the reader's end, and checks.
///
/// # Errors
/// `Unavailable` where the bus can't be read to the end.
///
/// # Cancel safety
/// Nothing is left behind.
pub async fn read(reader: &mut Reader, ledger: Option<&Ledger>) -> Result<Report, ReadError> {
    let mut verification = Verification::new(reader.trimmed());
    let mut progress = Progress { shown: std::io::stderr().is_terminal(), records: 0 };
    loop {
        match reader.next().await {
            Ok(Some(received)) => verification.take(&received),
            Ok(None) => break,
            Err(ReadError::NoRecord { .. }) => verification.report.no_record += 1,
            Err(error) => return Err(error),
        }
        progress.step();
    }
    progress.end();
    Ok(verification.finish(ledger))
}

struct Progress {
    shown: bool,
    records: u64,
}

impl Progress {
    fn step(&mut self) {
        self.records += 1;
        if self.shown && self.records.is_multiple_of(PROGRESS) {
            // Who can't be shown progress has no need of it.
            write!(std::io::stderr(), "\r{} records read", self.records).ok();
        }
    }

    fn end(&self) {
        if self.shown && self.records >= PROGRESS {
            writeln!(std::io::stderr(), "\r{} records read", self.records).ok();
        }
    }
}

/// What is kept of a stream's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kept {
    Event(u128),
    /// A source gap, or a stand-in: an event of the ledger may lack here.
    Explanation,
}

/// A verification under way. For each event it keeps some 50 bytes.
#[derive(Debug)]
pub struct Verification {
    detector: Detector,
    report: Report,
    /// By stream: epoch, stream sequence, what.
    streams: BTreeMap<String, Vec<(u64, u64, Kept)>>,
    /// The greatest epoch and stream sequence of a stream in a lane.
    last_in_lane: HashMap<(Topic, u32, String), (u64, u64)>,
    lane_of_key: HashMap<(Topic, String), u32>,
    out_of_order: u64,
}

impl Verification {
    /// Nothing read yet. `trimmed`: the oldest records are gone.
    #[must_use]
    pub fn new(trimmed: bool) -> Self {
        Self {
            detector: if trimmed { Detector::joining() } else { Detector::from_start() },
            report: Report { trimmed, ..Report::default() },
            streams: BTreeMap::new(),
            last_in_lane: HashMap::new(),
            lane_of_key: HashMap::new(),
            out_of_order: 0,
        }
    }

    /// How many events were taken, duplicates left out.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.report.read
    }

    /// Takes the next record of its lane.
    pub fn take(&mut self, received: &Received) {
        let verdict = self.detector.observe(&received.topic, &received.record);
        let Some(position) = &received.record.position else { return };
        if position.lane != received.lane {
            self.report.misplaced += 1;
        }
        if verdict.lane == Continuity::Duplicate || verdict.stream == Some(Continuity::Duplicate) {
            return;
        }
        let kept = match &received.record.body {
            Some(Body::Event(event)) => Some(Kept::Event(digest(&event::to_json(event)))),
            Some(Body::SourceGap(_) | Body::StandIn(_)) => Some(Kept::Explanation),
            Some(
                Body::Snapshot(_)
                | Body::SnapshotBegin(_)
                | Body::SnapshotEnd(_)
                | Body::SourceGapHealed(_)
                | Body::EpochStart(_)
                | Body::Watermark(_)
                | Body::LanesChanged(_),
            )
            | None => None,
        };
        if position.stream.is_empty() {
            return;
        }
        let place = (position.epoch, position.stream_sequence);
        let lane = (received.topic.clone(), received.lane, position.stream.clone());
        let last = self.last_in_lane.entry(lane).or_insert(place);
        // A lane's own reordering is counted by the detector.
        if place < *last && verdict.lane != Continuity::Reordered {
            self.out_of_order += 1;
        }
        *last = place.max(*last);
        let Some(kept) = kept else { return };
        if let Kept::Event(_) = kept {
            let key = (received.topic.clone(), received.key.clone());
            if *self.lane_of_key.entry(key).or_insert(received.lane) != received.lane {
                self.report.misplaced += 1;
            }
            self.report.read += 1;
        }
        self.streams.entry(position.stream.clone()).or_default().push((place.0, place.1, kept));
    }

    /// The report.
    #[must_use]
    pub fn finish(mut self, ledger: Option<&Ledger>) -> Report {
        let lanes = self.count_lanes();
        let mut by_stream: BTreeMap<String, StreamReport> = BTreeMap::new();
        for (stream, tally) in self.detector.streams() {
            // Without the oldest records, a stream's numbers are spread over lanes that begin at different times.
            let missing = if self.report.trimmed { 0 } else { tally.missing };
            by_stream.insert(
                stream.to_owned(),
                StreamReport { missing, stream: stream.to_owned(), ..StreamReport::default() },
            );
        }
        let missing_in_streams = by_stream.values().map(|stream| stream.missing).sum::<u64>();
        for (stream, kept) in &mut self.streams {
            kept.sort_unstable();
            let report = by_stream.entry(stream.clone()).or_default();
            report.read = kept.iter().filter(|it| matches!(it.2, Kept::Event(_))).count() as u64;
        }
        let compared = ledger.map(|ledger| compare_all(&mut self.report, &self.streams, ledger, &mut by_stream));
        let compared = compared.unwrap_or_default();
        self.report.missing = lanes.missing.max(missing_in_streams).max(compared.missing);
        self.report.duplicates = lanes.duplicates + compared.duplicates;
        self.report.reordered = lanes.reordered + self.out_of_order + compared.reordered;
        self.report.unnumbered = self.detector.unnumbered();
        for (_, healed) in self.detector.source_gaps() {
            if healed {
                self.report.source_gaps_healed += 1;
            } else {
                self.report.source_gaps_open += 1;
            }
        }
        self.report.streams = by_stream.into_values().collect();
        self.report
    }

    fn count_lanes(&mut self) -> Tally {
        let mut total = Tally::default();
        let mut lanes: BTreeMap<(&str, u32), LaneReport> = BTreeMap::new();
        for (LaneKey { topic, lane, .. }, tally) in self.detector.lanes() {
            let report = lanes.entry((topic.as_str(), *lane)).or_insert_with(|| LaneReport {
                topic: topic.to_string(),
                lane: *lane,
                read: 0,
                missing: 0,
                duplicates: 0,
                reordered: 0,
            });
            report.read += tally.read;
            report.missing += tally.missing;
            report.duplicates += tally.duplicates;
            report.reordered += tally.reordered;
            total.missing += tally.missing;
            total.duplicates += tally.duplicates;
            total.reordered += tally.reordered;
        }
        self.report.lanes = lanes.into_values().collect();
        total
    }
}

/// Compares every stream that somebody established with what was read of it.
fn compare_all(
    report: &mut Report,
    streams: &BTreeMap<String, Vec<(u64, u64, Kept)>>,
    ledger: &Ledger,
    by_stream: &mut BTreeMap<String, StreamReport>,
) -> Tally {
    let mut total = Tally::default();
    for (gid, expected) in &ledger.streams {
        let named: Vec<_> = by_stream.keys().filter(|stream| stream.rsplit('/').next() == Some(gid)).cloned().collect();
        let named = if named.is_empty() { vec![gid.clone()] } else { named };
        for stream in named {
            let compared = compare(streams.get(&stream).map_or(&[], Vec::as_slice), expected);
            let offered = expected.offered().len() as u64;
            report.offered = Some(report.offered.unwrap_or(0) + offered);
            report.explained += compared.explained;
            report.unexpected += compared.unexpected;
            total.missing += compared.missing.len() as u64;
            total.duplicates += compared.duplicates;
            total.reordered += compared.reordered;
            let room = EXAMPLES.saturating_sub(report.examples.len());
            let examples = compared.missing.iter().filter_map(|at| expected.offered().get(*at)).take(room);
            report.examples.extend(examples.map(|json| format!("{stream}: {json}")));
            let entry = by_stream.entry(stream.clone()).or_default();
            entry.stream = stream;
            entry.offered = Some(offered);
            entry.missing = entry.missing.max(compared.missing.len() as u64);
        }
    }
    report.offered = report.offered.or(Some(0));
    total
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Compared {
    /// Places in the ledger.
    missing: Vec<usize>,
    explained: u64,
    duplicates: u64,
    reordered: u64,
    unexpected: u64,
}

/// Gives each event that was read the first free place of the same content in the ledger.
fn compare(read: &[(u64, u64, Kept)], expected: &StreamLedger) -> Compared {
    let digests: Vec<_> = expected.offered().iter().map(|json| digest(json)).collect();
    let mut places: HashMap<u128, VecDeque<usize>> = HashMap::new();
    for (at, digest) in digests.iter().enumerate() {
        places.entry(*digest).or_default().push_back(at);
    }
    let mut compared = Compared::default();
    let mut found = vec![false; digests.len()];
    let mut next = 0;
    // Where in the ledger something may lack: after the events before an explanation, before the one behind it.
    let mut explained: Vec<(usize, usize)> = Vec::new();
    let mut open: Option<usize> = None;
    for (_, _, kept) in read {
        let Kept::Event(digest) = kept else {
            open.get_or_insert(next);
            continue;
        };
        let Some(free) = places.get_mut(digest) else {
            compared.unexpected += 1;
            continue;
        };
        let Some(at) = free.pop_front() else {
            compared.duplicates += 1;
            continue;
        };
        if let Some(slot) = found.get_mut(at) {
            *slot = true;
        }
        if at < next {
            compared.reordered += 1;
        }
        if let Some(from) = open.take() {
            explained.push((from, at));
        }
        next = next.max(at + 1);
    }
    if let Some(from) = open {
        explained.push((from, digests.len()));
    }
    for (at, _) in found.iter().enumerate().filter(|(_, found)| !**found) {
        if explained.iter().any(|(from, to)| (*from..*to).contains(&at)) {
            compared.explained += 1;
        } else {
            compared.missing.push(at);
        }
    }
    compared
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for lane in self.lanes.iter().filter(|lane| lane.missing + lane.duplicates + lane.reordered > 0) {
            let LaneReport { topic, lane, read, missing, duplicates, reordered } = lane;
            writeln!(
                f,
                "{topic}[{lane}]: {read} records, {missing} missing, {duplicates} duplicates, {reordered} reordered"
            )?;
        }
        for stream in self.streams.iter().filter(|stream| stream.missing > 0) {
            writeln!(f, "{}: {} events read, {} missing", stream.stream, stream.read, stream.missing)?;
        }
        for example in &self.examples {
            writeln!(f, "missing: {example}")?;
        }
        if self.trimmed {
            writeln!(f, "The bus no longer has its oldest records; checked from where its lanes begin now.")?;
        }
        let known = [
            ("source gaps open", self.source_gaps_open),
            ("source gaps healed", self.source_gaps_healed),
            ("events explained by a source gap or stand-in", self.explained),
            ("unexpected events", self.unexpected),
            ("misplaced records", self.misplaced),
            ("records without a position", self.unnumbered),
            ("messages that are no record", self.no_record),
        ];
        for (what, count) in known.into_iter().filter(|(_, count)| *count > 0) {
            writeln!(f, "{what}: {count}")?;
        }
        if let Some(offered) = self.offered {
            write!(f, "{offered} events offered, ")?;
        }
        write!(
            f,
            "{} events read from {} lanes and {} streams: {} missing, {} duplicates, {} reordered",
            self.read,
            self.lanes.len(),
            self.streams.len(),
            self.missing,
            self.duplicates,
            self.reordered
        )?;
        let announced = self.explained + self.source_gaps_open + self.source_gaps_healed;
        f.write_str(match (self.is_fine(), announced) {
            (true, 0) => "\nevery event accounted for",
            (true, _) => "\nevery event accounted for, but what the source gaps and stand-ins above announce",
            (false, _) => "\nnot every event accounted for",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::Event;
    use crate::pb;

    fn event(number: u64) -> String {
        format!(r#"{{"resource":{{"gid":"{}","resource_type":"task"}},"number":{number}}}"#, number % 3)
    }

    fn received(sequence: u64, body: Body) -> Received {
        let position = pb::Position {
            shard: 1,
            epoch: 1,
            lane: 0,
            lane_sequence: sequence,
            stream: "main/9".to_owned(),
            stream_sequence: sequence,
        };
        let key =
            if let Body::Event(event) = &body { event.resource.clone().unwrap_or_default().gid } else { String::new() };
        let record = pb::Record { position: Some(position), received_at: None, body: Some(body) };
        Received { topic: "t".into(), lane: 0, key, offset: sequence, record }
    }

    fn events(numbers: impl IntoIterator<Item = u64>) -> Vec<Received> {
        let body = |number: u64| {
            let raw: Box<serde_json::value::RawValue> = serde_json::from_str(&event(number)).expect("JSON");
            Body::Event(Event::parse(&raw).0)
        };
        numbers.into_iter().zip(1..).map(|(number, sequence)| received(sequence, body(number))).collect()
    }

    fn ledger(numbers: impl IntoIterator<Item = u64>) -> Ledger {
        let events = StreamLedger::new(numbers.into_iter().map(event));
        Ledger { streams: [("9".to_owned(), events)].into() }
    }

    #[test]
    fn all_that_was_offered_and_read_is_fine() {
        let report = check(events(0..20), Some(&ledger(0..20)));
        assert!(report.is_fine(), "{report}");
        assert_eq!((report.offered, report.read, report.lanes.len(), report.streams.len()), (Some(20), 20, 1, 1));
        assert!(check(events(0..20), None).is_fine());
    }

    #[test]
    fn each_fault_is_seen() {
        let mut lost = events(0..9);
        lost.remove(4);
        let report = check(lost, Some(&ledger(0..9)));
        assert_eq!((report.missing, report.duplicates, report.reordered), (1, 0, 0));
        assert_eq!(report.examples, [format!("main/9: {}", event(4))]);

        let mut doubled = events(0..9);
        doubled.push(doubled[2].clone());
        let report = check(doubled, Some(&ledger(0..9)));
        assert_eq!((report.missing, report.duplicates, report.reordered), (0, 1, 0));

        let mut swapped = events(0..9);
        swapped.swap(3, 4);
        let report = check(swapped, Some(&ledger(0..9)));
        assert_eq!((report.missing, report.duplicates, report.reordered), (0, 0, 1));

        // Sequences without a fault, and yet not what was offered.
        let report = check(events([0, 1, 3, 2, 3, 77]), Some(&ledger(0..5)));
        assert_eq!((report.missing, report.duplicates, report.reordered, report.unexpected), (1, 1, 1, 1));

        let mut elsewhere = events(0..9);
        elsewhere[5].lane = 1;
        assert!(check(elsewhere, None).misplaced > 0);
        assert!(!check(vec![Received { record: pb::Record::default(), ..events(0..1).remove(0) }], None).is_fine());
        assert_eq!(check(Vec::new(), Some(&ledger(0..5))).missing, 5);
    }

    #[test]
    fn what_a_source_gap_lost_is_explained_and_nothing_else() {
        let gap = || Body::SourceGap(pb::SourceGap { gap_id: "g".to_owned(), ..pb::SourceGap::default() });
        let mut read = events([0, 1, 7, 8]);
        read.insert(2, received(0, gap()));
        for (record, sequence) in read.iter_mut().zip(1..) {
            let position = record.record.position.as_mut().expect("a position");
            (position.lane_sequence, position.stream_sequence) = (sequence, sequence);
        }
        let report = check(read.clone(), Some(&ledger(0..9)));
        assert!(report.is_fine(), "{report}");
        assert_eq!((report.explained, report.source_gaps_open), (5, 1));
        let report = check(read, Some(&ledger(0..12)));
        assert_eq!((report.explained, report.missing), (5, 3));
    }

    #[test]
    fn json_that_means_the_same_is_the_same() {
        assert_eq!(digest(r#"{"a":1,"b":{"y":[1,2],"x":null}}"#), digest(r#"{ "b": {"x":null,"y":[1,2]}, "a":1 }"#));
        assert_ne!(digest(r#"{"a":[1,2]}"#), digest(r#"{"a":[2,1]}"#));
        assert_ne!(digest("[1e400]"), digest("[1e401]"));
    }
}
