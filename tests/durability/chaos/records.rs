//! The ledger against what is on the bus.

use crate::support::foreign::Seen;
use bridge_contract::pb::{self, record::Body};
use bridge_core::ids::StreamId;
use bridge_core::record::event::to_json;
use prost::Message as _;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// What was offered on one stream.
pub(crate) struct Ledger {
    /// From the first sync token on.
    events: Vec<Value>,
    /// What a dead token may have lost.
    lost: Vec<Range<usize>>,
    /// Who crashes before the first sync token is on the bus asks for another: what came between them isn't owed.
    established: usize,
}

impl Ledger {
    /// From what `/_sim/ledger?resource=…` shows.
    pub(crate) fn parse(shown: &Value) -> Self {
        let number = |value: &Value| usize::try_from(value.as_u64().expect("a number")).unwrap();
        let first = number(&shown["established_at"]);
        // What a stale owner meets with a superseded token loses nothing: the newer one is good.
        let lost = |reason: &'static str| {
            let lost = shown["lost"].as_array().expect("a list").iter().filter(move |lost| lost["reason"] == reason);
            lost.map(|lost| number(&lost["from"]).saturating_sub(first)..number(&lost["to"]) - first)
        };
        Self {
            events: shown["events"].as_array().expect("events").iter().skip(first).cloned().collect(),
            established: lost("reestablished").map(|lost| lost.end).max().unwrap_or(0),
            lost: lost("killed").collect(),
        }
    }

    /// Events that must be on the bus.
    pub(crate) fn owed(&self) -> usize {
        (self.established..self.events.len()).filter(|index| !self.may_be_lost(*index)).count()
    }

    fn may_be_lost(&self, index: usize) -> bool {
        self.lost.iter().any(|lost| lost.contains(&index))
    }
}

/// What is wrong with the records, by kind.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) events: usize,
    pub(crate) missing: usize,
    pub(crate) duplicate: usize,
    pub(crate) reordered: usize,
    pub(crate) broken_sequences: usize,
    pub(crate) gaps: usize,
    /// Events that are lost without a source gap, gaps that aren't in every lane, and gaps without a cause.
    pub(crate) wrong_gaps: usize,
    /// Each of them in words; the first of many.
    pub(crate) problems: Vec<String>,
}

/// A place in a stream: epoch and stream sequence.
type Place = (u64, u64);

/// One stream as the bus has it.
#[derive(Default)]
struct Read {
    /// In order, each with its lane.
    events: Vec<(Place, u32, Value)>,
    /// Each gap's places, by lane.
    gaps: BTreeMap<String, BTreeMap<u32, Place>>,
    places: BTreeSet<Place>,
}

impl Findings {
    /// `lanes`: how many there were at the start; `moves`: how often gids may have changed their lanes.
    pub(crate) fn of(ledgers: &BTreeMap<String, Ledger>, seen: &[Seen], lanes: u32, moves: usize) -> Self {
        let mut findings = Self::default();
        let records: Vec<_> =
            seen.iter().map(|seen| (seen, pb::Record::decode(seen.value.as_slice()).expect("a record"))).collect();
        findings.check_lanes(&records);
        findings.check_gids(&records, moves);
        let mut streams = findings.by_stream(records);
        for (gid, ledger) in ledgers {
            let read = streams.remove(gid).unwrap_or_default();
            findings.check_stream(gid, ledger, &read, lanes);
        }
        for (gid, read) in streams {
            findings.duplicate += read.events.len();
            findings.problem(format!("stream {gid} was never offered"));
        }
        findings
    }

    fn problem(&mut self, problem: String) {
        if self.problems.len() < 30 {
            self.problems.push(problem);
        }
    }

    /// Sequences are contiguous by lane, shard and epoch, and an epoch names the one before it.
    fn check_lanes(&mut self, records: &[(&Seen, pb::Record)]) {
        let mut last: BTreeMap<(&str, u32), (u64, u64)> = BTreeMap::new();
        for (seen, record) in records {
            let position = record.position.as_ref().expect("a position");
            let (epoch, sequence) = (position.epoch, position.lane_sequence);
            let before = last.insert((&seen.lane, position.shard), (epoch, sequence));
            let follows = match (before, &record.body) {
                (Some((before, last)), _) if before == epoch => sequence == last + 1,
                (Some((before, last)), Some(Body::EpochStart(start))) => {
                    epoch > before
                        && sequence == 1
                        && (start.previous_epoch, start.previous_lane_sequence) == (before, last)
                }
                (None, Some(Body::EpochStart(_))) => sequence == 1,
                _ => false,
            };
            if !follows {
                self.broken_sequences += 1;
                let (lane, shard) = (&seen.lane, position.shard);
                self.problem(format!("lane {lane}, shard {shard}: {sequence} of {epoch} after {before:?}"));
            }
        }
    }

    /// A gid's events are in order in its lane, and it changes its lane only when lanes are added.
    fn check_gids(&mut self, records: &[(&Seen, pb::Record)], moves: usize) {
        let mut gids: BTreeMap<(&str, &str), BTreeMap<&str, Vec<Place>>> = BTreeMap::new();
        for (seen, record) in records {
            let Some(Body::Event(event)) = &record.body else { continue };
            let position = record.position.as_ref().expect("a position");
            if event.resource.as_ref().is_none_or(|resource| resource.gid != seen.key) {
                self.reordered += 1;
                self.problem(format!("the key of {} isn't the gid of what changed", seen.key));
            }
            let lanes = gids.entry((&position.stream, &seen.key)).or_default();
            lanes.entry(&seen.lane).or_default().push((position.epoch, position.stream_sequence));
        }
        for ((stream, gid), lanes) in gids {
            for (lane, places) in &lanes {
                let backwards = places.windows(2).filter(|pair| pair[0] > pair[1]).count();
                if backwards > 0 {
                    self.reordered += backwards;
                    self.problem(format!("gid {gid} of {stream} in lane {lane}: {backwards} out of order"));
                }
            }
            let mut places: Vec<_> =
                lanes.iter().flat_map(|(lane, places)| places.iter().map(move |place| (*place, *lane))).collect();
            places.sort_unstable();
            // With three numbers of lanes a gid may come back to where it was with the first.
            let moved = places.windows(2).filter(|pair| pair[0].1 != pair[1].1).count();
            if moved > moves {
                self.reordered += 1;
                self.problem(format!("gid {gid} of {stream} moved {moved} times, and lanes were added {moves} times"));
            }
        }
    }

    fn by_stream(&mut self, records: Vec<(&Seen, pb::Record)>) -> BTreeMap<String, Read> {
        let mut streams: BTreeMap<String, Read> = BTreeMap::new();
        for (_, record) in records {
            let position = record.position.expect("a position");
            let Some(stream) = StreamId::parse(&position.stream) else { continue };
            let read = streams.entry(stream.resource.to_string()).or_default();
            let place = (position.epoch, position.stream_sequence);
            if !read.places.insert(place) {
                self.broken_sequences += 1;
                self.problem(format!("stream {stream}: {place:?} is there twice"));
            }
            match record.body {
                Some(Body::Event(event)) => {
                    let event = serde_json::from_str(&to_json(&event)).expect("JSON");
                    read.events.push((place, position.lane, event));
                }
                Some(Body::SourceGap(gap)) => {
                    read.gaps.entry(gap.gap_id).or_default().insert(position.lane, place);
                }
                _ => {}
            }
        }
        for read in streams.values_mut() {
            read.events.sort_by_key(|(place, ..)| *place);
        }
        streams
    }

    fn check_stream(&mut self, gid: &str, ledger: &Ledger, read: &Read, lanes: u32) {
        self.events += read.events.len();
        self.gaps += read.gaps.len();
        let mut before = None;
        for (epoch, sequence) in &read.places {
            let expected = before.filter(|(last, _)| last == epoch).map_or(1, |(_, last)| last + 1);
            if *sequence != expected {
                self.broken_sequences += 1;
                self.problem(format!("stream {gid}: sequence {sequence} where {expected} was to be"));
            }
            before = Some((*epoch, *sequence));
        }
        let indices: BTreeMap<String, usize> =
            ledger.events.iter().enumerate().map(|(index, event)| (event.to_string(), index)).collect();
        let mut places: BTreeMap<usize, Place> = BTreeMap::new();
        let mut furthest = None;
        for (place, _, event) in &read.events {
            let Some(index) = indices.get(&event.to_string()).copied() else {
                self.duplicate += 1;
                self.problem(format!("stream {gid}: never offered, or before its first token: {event}"));
                continue;
            };
            if places.insert(index, *place).is_some() {
                self.duplicate += 1;
                self.problem(format!("stream {gid}: event {index} is there twice"));
            } else if furthest > Some(index) {
                self.reordered += 1;
                self.problem(format!("stream {gid}: event {index} is behind event {furthest:?}"));
            }
            furthest = furthest.max(Some(index));
        }
        self.check_absent(gid, ledger, &places, read, lanes);
        self.check_gaps(gid, ledger, read, lanes);
    }

    /// What isn't there must have been lost by Asana, and a source gap must stand in its place.
    fn check_absent(&mut self, gid: &str, ledger: &Ledger, places: &BTreeMap<usize, Place>, read: &Read, lanes: u32) {
        let first = places.keys().next().copied().unwrap_or(ledger.events.len()).min(ledger.established);
        for index in (first..ledger.events.len()).filter(|index| !places.contains_key(index)) {
            if !ledger.may_be_lost(index) {
                self.missing += 1;
                self.problem(format!("stream {gid}: event {index} of {} is missing", ledger.events.len()));
                continue;
            }
            let after = places.range(..index).next_back().map(|(_, place)| *place);
            let until = places.range(index..).next().map(|(_, place)| *place);
            let between = |place: &Place| Some(*place) > after && until.is_none_or(|until| *place < until);
            if !read.gaps.values().any(|places| places.range(..lanes).all(|(_, place)| between(place))) {
                self.wrong_gaps += 1;
                self.problem(format!("stream {gid}: event {index} was lost, and no source gap says so in its place"));
            }
        }
    }

    fn check_gaps(&mut self, gid: &str, ledger: &Ledger, read: &Read, lanes: u32) {
        if read.gaps.is_empty() != ledger.lost.is_empty() || read.gaps.len() > ledger.lost.len() {
            self.wrong_gaps += 1;
            let (gaps, dead) = (read.gaps.len(), ledger.lost.len());
            self.problem(format!("stream {gid}: {gaps} source gaps, and {dead} dead tokens were used"));
        }
        for (id, places) in &read.gaps {
            let complete = (0..lanes).all(|lane| places.contains_key(&lane));
            let first = places.values().min();
            let last = places.range(..lanes).map(|(_, place)| place).max();
            // A lane that was added after the gap has it before the stream's first event there.
            let until = |lane: &u32| if *lane < lanes { last } else { places.get(lane) };
            let early = |(place, lane, _): &(Place, u32, Value)| {
                Some(place) > first && until(lane).is_none_or(|until| place < until)
            };
            if !complete || read.events.iter().any(early) {
                self.wrong_gaps += 1;
                self.problem(format!("source gap {id} isn't in every lane before the next event: {places:?}"));
            }
        }
    }
}
