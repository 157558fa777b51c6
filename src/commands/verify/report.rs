//! The result of a verification, for people and for scripts.

use crate::escape::printable;
use crate::record_text::LeftOutLine;
use crate::sink::file::Comparison;
use bridge_consumer::detect::{Behind, GapKey, LaneKey};
use bridge_contract::pb::SourceGapHealed;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// The result. For `missing`, `duplicates` and `reordered`, positions and the ledger give two numbers each: the greater
/// one counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What is wrong with the checkpoint, if a configuration says where it is.
    pub checkpoint: Option<String>,
    /// The number of events in the ledger that a poller could have seen; `None` without a ledger.
    pub offered: Option<u64>,
    /// The number of events that were read, without duplicates.
    pub read: u64,
    /// The number of records or events that are missing.
    pub missing: u64,
    /// The number of records or events that are there more than once.
    pub duplicates: u64,
    /// The number of records or events that come after one that should follow them.
    pub reordered: u64,
    /// The number of events of the ledger that are missing, with a source gap or a stand-in as the explanation.
    pub explained: u64,
    /// The number of events that aren't in the ledger.
    pub unexpected: u64,
    /// The number of records in another lane than their position says, or of a key with records in several lanes of a
    /// topic.
    pub misplaced: u64,
    /// The number of records without a valid position.
    pub unnumbered: u64,
    /// The number of messages that aren't records.
    pub no_record: u64,
    /// The number of source gaps that aren't healed.
    pub source_gaps_open: u64,
    /// The number of source gaps that are healed.
    pub source_gaps_healed: u64,
    /// The number of source gaps that will never be healed, because their streams ended.
    pub source_gaps_ended: u64,
    /// Source gaps of which only a part could be restored so far.
    pub healed_in_part: Vec<PartlyHealed>,
    /// Whether the bus no longer had its oldest records. Then the check begins with the oldest existing ones, by lanes
    /// only.
    pub trimmed: bool,
    /// One report per lane, all shards together.
    pub lanes: Vec<LaneReport>,
    /// One report per stream.
    pub streams: Vec<StreamReport>,
    /// Shards in lanes that may have lost the end of an epoch: the bridge began a new epoch without knowing the end of
    /// the old one.
    pub unknown_ends: Vec<LaneKey>,
    /// The number of shards in lanes that the detector forgot because there were too many. Later losses there may go
    /// unnoticed.
    pub forgotten: u64,
    /// Shards in lanes whose last records are missing: they lack watermarks that the shard's other lanes have had for
    /// long.
    pub cut_off: Vec<Behind>,
    /// For each topic, the time up to which everything was read. Null if there is none.
    pub complete_up_to: BTreeMap<String, Option<String>>,
    /// Some of the missing events.
    pub examples: Vec<String>,
    /// How the file of the records compares with its checkpoint. Null for a bus.
    pub file: Option<Comparison>,
}

/// A lane's part of the report, by lane sequences.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LaneReport {
    /// The topic's name.
    pub topic: String,
    /// The lane's number.
    pub lane: u32,
    /// The number of records, with duplicates.
    pub read: u64,
    /// The number of sequences that are missing.
    pub missing: u64,
    /// The number of records whose sequence was there before.
    pub duplicates: u64,
    /// The number of records that come after a greater sequence.
    pub reordered: u64,
}

/// A stream's part of the report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StreamReport {
    /// The stream, as `account/gid`. The gid alone if nothing of the stream was read.
    pub stream: String,
    /// The number of events that a poller could have seen; `None` if the ledger doesn't have the stream.
    pub offered: Option<u64>,
    /// The number of events that were read, without duplicates.
    pub read: u64,
    /// The number of missing events, by stream sequences or by the ledger: the greater one.
    pub missing: u64,
}

/// A source gap that was healed, except for what Asana didn't return.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartlyHealed {
    /// The stream, as `account/gid`.
    pub stream: String,
    /// The id of the source gap.
    pub gap_id: String,
    /// What was left out: some of it by name, the rest as a number.
    pub left_out: String,
}

impl PartlyHealed {
    pub(super) fn of((key, healed): (&GapKey, &Option<SourceGapHealed>)) -> Option<Self> {
        let healed = healed.as_ref()?;
        let left_out = LeftOutLine { named: &healed.left_out, count: healed.left_out_count }.to_string();
        Some(Self { stream: key.stream.clone(), gap_id: key.gap_id.clone(), left_out })
    }
}

impl Report {
    /// Whether everything is there once and in order. Source gaps are announced, so they don't count.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        let faults = [
            self.missing,
            self.duplicates,
            self.reordered,
            self.unexpected,
            self.misplaced,
            self.unnumbered,
            self.no_record,
            self.unknown_ends.len() as u64,
            self.forgotten,
            self.cut_off.len() as u64,
            u64::from(self.checkpoint.is_some()),
        ];
        faults.into_iter().all(|count| count == 0) && self.file.as_ref().is_none_or(|file| file.problem.is_none())
    }

    /// Whether records may be missing at the end, without a sign of it.
    fn has_open_end(&self) -> bool {
        self.file.as_ref().is_some_and(|file| file.checkpoint.is_none())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for lane in self.lanes.iter().filter(|lane| lane.missing + lane.duplicates + lane.reordered > 0) {
            let LaneReport { topic, lane, read, missing, duplicates, reordered } = lane;
            let topic = printable(topic);
            writeln!(
                f,
                "{topic}[{lane}]: {read} records, {missing} missing, {duplicates} duplicates, {reordered} reordered"
            )?;
        }
        for stream in self.streams.iter().filter(|stream| stream.missing > 0) {
            writeln!(f, "{}: {} events read, {} missing", printable(&stream.stream), stream.read, stream.missing)?;
        }
        for Behind { key, watermark, others } in &self.cut_off {
            let (topic, lane, shard) = (printable(&key.topic), key.lane, key.shard);
            let end = watermark.map_or_else(|| "nothing".to_owned(), |time| time.to_string());
            writeln!(
                f,
                "{topic}[{lane}]: the tail of shard {shard} is missing: {end} there, {others} in its other lanes"
            )?;
        }
        for LaneKey { topic, lane, shard } in &self.unknown_ends {
            let topic = printable(topic);
            writeln!(
                f,
                "{topic}[{lane}]: shard {shard} started an epoch, and the end of the one before isn't known: \
                 records may be missing there"
            )?;
        }
        for PartlyHealed { stream, gap_id, left_out } in &self.healed_in_part {
            let [stream, gap_id, left_out] = [stream, gap_id, left_out].map(|text| printable(text));
            writeln!(f, "{stream}: source gap {gap_id} is healed in part; left out: {left_out}")?;
        }
        if let Some(problem) = &self.checkpoint {
            writeln!(f, "checkpoint: {}; events may be lost without a record", printable(problem))?;
        }
        for example in &self.examples {
            writeln!(f, "missing: {}", printable(example))?;
        }
        if let Some(problem) = self.file.as_ref().and_then(|file| file.problem.as_ref()) {
            writeln!(f, "{}", printable(problem))?;
        }
        if self.trimmed {
            writeln!(f, "The bus no longer has its oldest records; checked from where its lanes begin now.")?;
        }
        let known = [
            ("source gaps open", self.source_gaps_open),
            ("source gaps healed", self.source_gaps_healed),
            ("source gaps of streams that ended", self.source_gaps_ended),
            ("events explained by a source gap or stand-in", self.explained),
            ("unexpected events", self.unexpected),
            ("misplaced records", self.misplaced),
            ("records without a position", self.unnumbered),
            ("messages that are no record", self.no_record),
            ("lanes of shards that were forgotten", self.forgotten),
        ];
        for (what, count) in known.into_iter().filter(|(_, count)| *count > 0) {
            writeln!(f, "{what}: {count}")?;
        }
        for (topic, time) in &self.complete_up_to {
            let topic = printable(topic);
            match time {
                Some(time) => writeln!(f, "{topic} is complete up to {time}")?,
                None => writeln!(f, "{topic}: no time is known that it is complete up to")?,
            }
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
        let announced = self.explained + self.source_gaps_open + self.source_gaps_healed + self.source_gaps_ended;
        f.write_str(match (self.is_ok(), self.has_open_end(), announced) {
            (true, true, _) => {
                "\nnothing is missing in between; without a checkpoint, the end of the file can't be checked"
            }
            (true, false, 0) => "\nevery event accounted for",
            (true, false, _) => "\nevery event accounted for, but what the source gaps and stand-ins above announce",
            (false, ..) => "\nnot every event accounted for",
        })
    }
}
