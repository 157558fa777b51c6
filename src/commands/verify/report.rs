//! What a verification found, for a person and for a script.

use crate::record_text::LeftOutLine;
use bridge_consumer::detect::{Behind, GapKey, LaneKey};
use bridge_contract::pb::SourceGapHealed;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

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
    /// Source gaps that nobody will heal: their streams ended.
    pub source_gaps_ended: u64,
    /// Source gaps of which only a part could be restored so far.
    pub healed_in_part: Vec<PartlyHealed>,
    /// The bus no longer had its oldest records: checked from where it begins now, by lanes alone.
    pub trimmed: bool,
    /// By lane, all shards together.
    pub lanes: Vec<LaneReport>,
    /// By stream.
    pub streams: Vec<StreamReport>,
    /// Shards in lanes that lost the end of an epoch, or not: the bridge began to count anew and didn't know how far it was.
    pub unknown_ends: Vec<LaneKey>,
    /// Shards in lanes that were forgotten, because there are too many: of what they lack later, not all is seen.
    pub forgotten: u64,
    /// Shards in lanes whose last records are missing: they lack watermarks that the shard's other lanes have for long.
    pub cut_off: Vec<Behind>,
    /// By topic: when everything is there up to, or null where no time can be said.
    pub complete_up_to: BTreeMap<String, Option<String>>,
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

/// A source gap that was healed but for what Asana didn't let be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartlyHealed {
    /// The stream, as `account/gid`.
    pub stream: String,
    /// The source gap.
    pub gap_id: String,
    /// What was left out: the first ones named, the rest counted.
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
    /// Whether everything is known to be there once and in order. Source gaps are announced, so they don't count.
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
        ];
        faults.into_iter().all(|count| count == 0)
    }
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
        for Behind { key, watermark, others } in &self.cut_off {
            let (topic, lane, shard) = (&key.topic, key.lane, key.shard);
            let end = watermark.map_or_else(|| "nothing".to_owned(), |time| time.to_string());
            writeln!(
                f,
                "{topic}[{lane}]: the tail of shard {shard} is missing: {end} there, {others} in its other lanes"
            )?;
        }
        for LaneKey { topic, lane, shard } in &self.unknown_ends {
            writeln!(f, "{topic}[{lane}]: shard {shard} began to count anew; what is missing before that isn't known")?;
        }
        for PartlyHealed { stream, gap_id, left_out } in &self.healed_in_part {
            writeln!(f, "{stream}: source gap {gap_id} is healed in part; left out: {left_out}")?;
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
        f.write_str(match (self.is_ok(), announced) {
            (true, 0) => "\nevery event accounted for",
            (true, _) => "\nevery event accounted for, but what the source gaps and stand-ins above announce",
            (false, _) => "\nnot every event accounted for",
        })
    }
}
