//! What a consumer knows from positions alone: missing, duplicate, reordered; source
//! gaps open and healed; complete up to a time.
//!
//! Two counters are followed. *Lane sequences* are for who reads whole lanes: there a record is in
//! order, or something is wrong. *Stream sequences* are for who reads one stream out of
//! a filtered subject. Who reads several lanes at once sees a stream's records
//! interleaved, so that its verdicts by stream mean something only once all lanes are read: see
//! [`Detector::streams`].

use super::ids::Topic;
use super::ranges::Ranges;
use crate::pb::{self, record::Body};
use pbjson_types::Timestamp;
use std::collections::BTreeMap;

/// Follows the positions of records. Its memory grows with the number of lanes,
/// streams, epochs, source gaps and holes, not with the number of records.
#[derive(Clone, Debug)]
pub struct Detector {
    joins: bool,
    lanes: BTreeMap<LaneKey, LaneState>,
    streams: BTreeMap<String, Epochs>,
    gaps: BTreeMap<GapKey, BTreeMap<(Topic, u32), Gap>>,
    unnumbered: u64,
}

/// What one record says about those before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// By lane sequence.
    pub lane: Continuity,
    /// By stream sequence; `None` for a record of the lane itself.
    pub stream: Option<Continuity>,
    /// What else it announces.
    pub news: Option<News>,
}

/// Where a record stands among those seen before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuity {
    /// Next after the greatest.
    InOrder,
    /// So many sequences before it haven't been seen. They may come yet, as `Reordered`.
    Missing(u64),
    /// Seen before.
    Duplicate,
    /// It was missing, or is older than where the reader began.
    Reordered,
    /// It has no position, or one that the wire contract doesn't allow.
    Unnumbered,
}

/// What a record announces beside its own place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// The counters of this shard begin anew in this lane.
    EpochChanged {
        /// The epoch before; 0 where there was none, or it isn't known.
        previous_epoch: u64,
        /// How many records at that epoch's end were not seen, and not known to be missing till now.
        missing: u64,
    },
    /// Asana may have lost events of the stream.
    SourceGapOpened {
        /// Its id.
        gap_id: String,
    },
    /// What a source gap lost is restored, as far as it can be.
    SourceGapHealed {
        /// Its id.
        gap_id: String,
    },
}

/// Counts over the records of a lane or stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All of them, with the duplicates.
    pub read: u64,
    /// Sequences known to exist that haven't been seen.
    pub missing: u64,
    /// Records that were seen before.
    pub duplicates: u64,
    /// Records that came later than a greater sequence.
    pub reordered: u64,
}

/// The counters of one shard in one lane of one topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LaneKey {
    /// The topic.
    pub topic: Topic,
    /// The lane.
    pub lane: u32,
    /// The shard.
    pub shard: u32,
}

/// A source gap.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GapKey {
    /// The stream, as `account/gid`.
    pub stream: String,
    /// Its id.
    pub gap_id: String,
}

/// In one lane. Healed is final, in whatever order the two records come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Gap {
    Open,
    Healed,
}

#[derive(Clone, Debug, Default)]
struct LaneState {
    epochs: Epochs,
    watermark: Option<Timestamp>,
}

impl Detector {
    /// For a reader that begins where the lanes begin: the first sequence is 1.
    #[must_use]
    pub fn from_start() -> Self {
        Self { joins: false, lanes: BTreeMap::new(), streams: BTreeMap::new(), gaps: BTreeMap::new(), unnumbered: 0 }
    }

    /// For a reader that begins in mid-lane: nothing is missing before the first record that it
    /// sees of a lane. For streams that holds only where it reads one lane; with several,
    /// judge by lane.
    #[must_use]
    pub fn joining() -> Self {
        Self { joins: true, ..Self::from_start() }
    }

    /// Takes the next record of a lane of the topic.
    pub fn observe(&mut self, topic: &Topic, record: &pb::Record) -> Verdict {
        let Some(position) =
            record.position.as_ref().filter(|it| it.epoch > 0 && (1..u64::MAX).contains(&it.lane_sequence))
        else {
            self.unnumbered += 1;
            return Verdict { lane: Continuity::Unnumbered, stream: None, news: None };
        };
        let key = LaneKey { topic: topic.clone(), lane: position.lane, shard: position.shard };
        let state = self.lanes.entry(key).or_default();
        let known = !self.joins || !state.epochs.counters.is_empty();
        let lane = state.epochs.observe(position.epoch, position.lane_sequence, self.joins);
        let stream = (!position.stream.is_empty()).then(|| {
            if !(1..u64::MAX).contains(&position.stream_sequence) {
                self.unnumbered += 1;
                return Continuity::Unnumbered;
            }
            let epochs = self.streams.entry(position.stream.clone()).or_default();
            epochs.observe(position.epoch, position.stream_sequence, self.joins)
        });
        let news = match &record.body {
            _ if lane == Continuity::Duplicate => None,
            Some(Body::EpochStart(start)) => {
                let missing = if known { state.epochs.expect(start) } else { 0 };
                Some(News::EpochChanged { previous_epoch: start.previous_epoch, missing })
            }
            Some(Body::Watermark(watermark)) => {
                let time = |it: &Timestamp| (it.seconds, it.nanos);
                if watermark.complete_up_to.as_ref().map(time) > state.watermark.as_ref().map(time) {
                    state.watermark.clone_from(&watermark.complete_up_to);
                }
                None
            }
            Some(Body::SourceGap(gap)) => {
                self.note(topic, position, &gap.gap_id, Gap::Open);
                Some(News::SourceGapOpened { gap_id: gap.gap_id.clone() })
            }
            Some(Body::SourceGapHealed(gap)) => {
                self.note(topic, position, &gap.gap_id, Gap::Healed);
                Some(News::SourceGapHealed { gap_id: gap.gap_id.clone() })
            }
            Some(
                Body::Event(_)
                | Body::StandIn(_)
                | Body::Snapshot(_)
                | Body::SnapshotBegin(_)
                | Body::SnapshotEnd(_)
                | Body::LanesChanged(_),
            )
            | None => None,
        };
        Verdict { lane, stream, news }
    }

    fn note(&mut self, topic: &Topic, position: &pb::Position, gap_id: &str, gap: Gap) {
        let key = GapKey { stream: position.stream.clone(), gap_id: gap_id.to_owned() };
        let lane = self.gaps.entry(key).or_default().entry((topic.clone(), position.lane)).or_insert(gap);
        *lane = gap.max(*lane);
    }

    /// Each lane's counts, by shard.
    pub fn lanes(&self) -> impl Iterator<Item = (&LaneKey, Tally)> {
        self.lanes.iter().map(|(key, state)| (key, state.epochs.tally()))
    }

    /// Each stream's counts. Where several lanes are read, `missing` means something once all
    /// are read to the same time, and `reordered` nothing.
    pub fn streams(&self) -> impl Iterator<Item = (&str, Tally)> {
        self.streams.iter().map(|(stream, epochs)| (stream.as_str(), epochs.tally()))
    }

    /// Each source gap that was seen, and whether it is healed in every lane where it was opened.
    pub fn source_gaps(&self) -> impl Iterator<Item = (&GapKey, bool)> {
        self.gaps.iter().map(|(key, lanes)| (key, lanes.values().all(|gap| *gap == Gap::Healed)))
    }

    /// How many records had no position that could be followed.
    #[must_use]
    pub fn unnumbered(&self) -> u64 {
        self.unnumbered
    }

    /// The time up to which a lane is complete: every shard that wrote to it has said so, nothing is
    /// missing, and no source gap is open. `None` where that isn't known of any time.
    #[must_use]
    pub fn complete_up_to(&self, topic: &Topic, lane: u32) -> Option<Timestamp> {
        let place = (topic.clone(), lane);
        if self.gaps.values().any(|lanes| lanes.get(&place) == Some(&Gap::Open)) {
            return None;
        }
        let mut least: Option<Timestamp> = None;
        for (_, state) in self.lanes.iter().filter(|(key, _)| key.topic == *topic && key.lane == lane) {
            if state.epochs.tally().missing > 0 {
                return None;
            }
            let time = state.watermark?;
            if least.as_ref().is_none_or(|least| (time.seconds, time.nanos) < (least.seconds, least.nanos)) {
                least = Some(time);
            }
        }
        least
    }
}

/// The counters of one lane or stream, by epoch. An epoch that is over keeps its counter, since a late record may
/// still fill a hole.
#[derive(Clone, Debug, Default)]
struct Epochs {
    counters: BTreeMap<u64, Counter>,
}

impl Epochs {
    fn observe(&mut self, epoch: u64, sequence: u64, joins: bool) -> Continuity {
        // Whoever has seen an earlier epoch has seen this one begin.
        let begins = !joins || self.counters.range(..epoch).next().is_some();
        let first = if begins { 1 } else { sequence };
        self.counters.entry(epoch).or_insert_with(|| Counter::new(first)).observe(sequence)
    }

    /// Learns where the previous epoch ended; how many more are missing than was known.
    fn expect(&mut self, start: &pb::EpochStart) -> u64 {
        if start.previous_epoch == 0 || start.previous_lane_sequence == 0 {
            return 0;
        }
        let counter = self.counters.entry(start.previous_epoch).or_insert_with(|| Counter::new(1));
        let missing = start.previous_lane_sequence.min(u64::MAX - 1).saturating_sub(counter.greatest);
        counter.greatest += missing;
        missing
    }

    fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for counter in self.counters.values() {
            tally.read += counter.read;
            tally.missing = tally.missing.saturating_add(counter.missing());
            tally.duplicates += counter.duplicates;
            tally.reordered += counter.reordered;
        }
        tally
    }
}

#[derive(Clone, Debug)]
struct Counter {
    seen: Ranges,
    /// Where the reader began.
    first: u64,
    /// The greatest sequence known to exist.
    greatest: u64,
    read: u64,
    duplicates: u64,
    reordered: u64,
}

impl Counter {
    fn new(first: u64) -> Self {
        Self { seen: Ranges::default(), first, greatest: first - 1, read: 0, duplicates: 0, reordered: 0 }
    }

    fn observe(&mut self, sequence: u64) -> Continuity {
        self.read += 1;
        if !self.seen.insert(sequence) {
            self.duplicates += 1;
            return Continuity::Duplicate;
        }
        if sequence <= self.greatest {
            self.reordered += 1;
            return Continuity::Reordered;
        }
        let missing = sequence - self.greatest - 1;
        self.greatest = sequence;
        if missing == 0 { Continuity::InOrder } else { Continuity::Missing(missing) }
    }

    fn missing(&self) -> u64 {
        // From 1 on, neither sum can leave the range of a u64.
        let seen = |(low, last): (u64, u64)| last + 1 - low.max(self.first).min(last + 1);
        (self.greatest + 1 - self.first) - self.seen.iter().map(seen).sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::Continuity::{Duplicate, InOrder, Missing, Reordered};
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn record(epoch: u64, sequence: u64, body: Option<Body>) -> pb::Record {
        let position = pb::Position {
            shard: 1,
            epoch,
            lane: 0,
            lane_sequence: sequence,
            stream: "a/1".to_owned(),
            stream_sequence: sequence,
        };
        pb::Record { position: Some(position), received_at: None, body }
    }

    fn start(previous_epoch: u64, previous_lane_sequence: u64) -> Body {
        Body::EpochStart(pb::EpochStart { previous_epoch, previous_lane_sequence })
    }

    fn lane(detector: &mut Detector, record: &pb::Record) -> Continuity {
        detector.observe(&"t".into(), record).lane
    }

    fn total(detector: &Detector) -> Tally {
        detector.lanes().next().expect("a lane").1
    }

    #[test]
    fn a_hole_is_missing_until_it_is_filled() {
        let mut detector = Detector::from_start();
        let verdicts = [3, 1, 3, 4, 2].map(|sequence| lane(&mut detector, &record(1, sequence, None)));
        assert_eq!(verdicts, [Missing(2), Reordered, Duplicate, InOrder, Reordered]);
        assert_eq!(total(&detector), Tally { read: 5, missing: 0, duplicates: 1, reordered: 2 });
    }

    #[test]
    fn a_reader_that_joins_misses_nothing_before_its_first_record() {
        let mut detector = Detector::joining();
        assert_eq!(lane(&mut detector, &record(4, 100, None)), InOrder);
        assert_eq!(lane(&mut detector, &record(4, 102, None)), Missing(1));
        assert_eq!(lane(&mut detector, &record(4, 99, None)), Reordered);
        assert_eq!(total(&detector).missing, 1);
        assert_eq!(lane(&mut detector, &record(9, 2, None)), Missing(1));
        let mut joined_at_a_start = Detector::joining();
        let verdict = joined_at_a_start.observe(&"t".into(), &record(5, 1, Some(start(4, 70))));
        assert_eq!(verdict.news, Some(News::EpochChanged { previous_epoch: 4, missing: 0 }));
        assert_eq!(total(&joined_at_a_start).missing, 0);
    }

    #[test]
    fn an_epoch_start_tells_what_the_end_of_the_last_one_lacks() {
        for mut detector in [Detector::from_start(), Detector::joining()] {
            lane(&mut detector, &record(4, 1, Some(start(0, 0))));
            lane(&mut detector, &record(4, 2, None));
            let verdict = detector.observe(&"t".into(), &record(7, 1, Some(start(4, 5))));
            assert_eq!(verdict.news, Some(News::EpochChanged { previous_epoch: 4, missing: 3 }));
            assert_eq!(total(&detector).missing, 3);
            assert_eq!(lane(&mut detector, &record(4, 4, None)), Reordered);
            assert_eq!(total(&detector).missing, 2);
            // An epoch of which nothing was seen at all.
            let verdict = detector.observe(&"t".into(), &record(9, 1, Some(start(8, 10))));
            assert_eq!(verdict.news, Some(News::EpochChanged { previous_epoch: 8, missing: 10 }));
            assert_eq!(total(&detector).missing, 12);
        }
    }

    #[test]
    fn a_source_gap_is_open_until_each_of_its_lanes_has_the_healing() {
        let mut detector = Detector::from_start();
        let gap = || Some(Body::SourceGap(pb::SourceGap { gap_id: "g".to_owned(), ..pb::SourceGap::default() }));
        let healed = || {
            let healed = pb::SourceGapHealed { gap_id: "g".to_owned(), ..pb::SourceGapHealed::default() };
            Some(Body::SourceGapHealed(healed))
        };
        let mut other_lane = record(1, 1, gap());
        other_lane.position.as_mut().expect("a position").lane = 1;
        let state = |detector: &Detector| detector.source_gaps().map(|it| it.1).collect::<Vec<_>>();
        detector.observe(&"t".into(), &record(1, 1, gap()));
        assert_eq!(state(&detector), [false]);
        detector.observe(&"t".into(), &record(1, 2, healed()));
        assert_eq!(state(&detector), [true]);
        detector.observe(&"t".into(), &other_lane);
        assert_eq!(state(&detector), [false]);
        other_lane.body = healed();
        other_lane.position.as_mut().expect("a position").lane_sequence = 2;
        detector.observe(&"t".into(), &other_lane);
        assert_eq!(state(&detector), [true]);
    }

    #[test]
    fn a_lane_is_complete_up_to_the_least_watermark_of_its_shards() {
        let mut detector = Detector::from_start();
        let watermark = |shard, sequence, seconds| {
            let time = Some(Timestamp { seconds, nanos: 0 });
            let mut record =
                record(1, sequence, Some(Body::Watermark(pb::Watermark { complete_up_to: time, shards: 2, lanes: 1 })));
            let position = record.position.as_mut().expect("a position");
            position.shard = shard;
            position.stream.clear();
            record
        };
        let seconds = |detector: &Detector| detector.complete_up_to(&"t".into(), 0).map(|time| time.seconds);
        assert_eq!(seconds(&detector), None);
        lane(&mut detector, &watermark(1, 1, 50));
        lane(&mut detector, &watermark(2, 1, 40));
        assert_eq!(seconds(&detector), Some(40));
        lane(&mut detector, &watermark(2, 3, 60));
        assert_eq!(seconds(&detector), None, "one is missing");
        lane(&mut detector, &watermark(2, 2, 55));
        assert_eq!(seconds(&detector), Some(50));
    }

    #[test]
    fn a_position_that_the_contract_does_not_allow_is_counted() {
        let mut detector = Detector::from_start();
        for record in [pb::Record::default(), record(0, 1, None), record(1, 0, None), record(1, u64::MAX, None)] {
            assert_eq!(lane(&mut detector, &record), Continuity::Unnumbered);
        }
        assert_eq!(detector.unnumbered(), 4);
    }

    proptest! {
        /// Drops, doubles and moves records of a few epochs, and compares each verdict with the truth.
        #[test]
        fn the_verdict_is_the_truth(
            lengths in proptest::collection::vec(1..12_u64, 1..4),
            moves in proptest::collection::vec((0..64_usize, 0..64_usize, 0..3_u8), 0..12),
        ) {
            let mut log = Vec::new();
            let mut previous = (0, 0);
            for (number, length) in lengths.iter().enumerate() {
                let epoch = (number as u64 + 1) * 3;
                for sequence in 1..=*length {
                    log.push(record(epoch, sequence, (sequence == 1).then(|| start(previous.0, previous.1))));
                }
                previous = (epoch, *length);
            }
            let exists: BTreeSet<_> = log.iter().map(place).collect();
            for (from, to, what) in moves {
                if log.is_empty() { break; }
                let record = log[from % log.len()].clone();
                if what != 0 { let at = from % log.len(); log.remove(at); }
                if what != 1 { let at = to % (log.len() + 1); log.insert(at, record); }
            }
            let mut detector = Detector::from_start();
            let mut seen = BTreeSet::new();
            // Known to exist: everything up to the greatest seen, or named by an epoch's start.
            let mut known: BTreeMap<u64, u64> = BTreeMap::new();
            let (mut duplicates, mut reordered) = (0, 0);
            for record in &log {
                let (epoch, sequence) = place(record);
                let greatest = known.get(&epoch).copied().unwrap_or(0);
                let expected = if !seen.insert((epoch, sequence)) { duplicates += 1; Duplicate }
                    else if sequence <= greatest { reordered += 1; Reordered }
                    else if sequence == greatest + 1 { InOrder }
                    else { Missing(sequence - greatest - 1) };
                known.insert(epoch, greatest.max(sequence));
                let told = match &record.body {
                    Some(Body::EpochStart(it)) if expected != Duplicate => {
                        let mut missing = 0;
                        if it.previous_epoch > 0 {
                            let end = known.entry(it.previous_epoch).or_default();
                            missing = it.previous_lane_sequence.saturating_sub(*end);
                            *end += missing;
                        }
                        Some(News::EpochChanged { previous_epoch: it.previous_epoch, missing })
                    }
                    _ => None,
                };
                let verdict = detector.observe(&"t".into(), record);
                prop_assert_eq!((verdict.lane, verdict.news), (expected, told));
            }
            let expected: BTreeSet<_> =
                known.iter().flat_map(|(epoch, end)| (1..=*end).map(|sequence| (*epoch, sequence))).collect();
            prop_assert!(expected.is_subset(&exists));
            let missing = expected.difference(&seen).count() as u64;
            let tally = detector.lanes().map(|it| it.1).next().unwrap_or_default();
            prop_assert_eq!(tally, Tally { read: log.len() as u64, missing, duplicates, reordered });
        }
    }

    fn place(record: &pb::Record) -> (u64, u64) {
        record.position.as_ref().map(|it| (it.epoch, it.lane_sequence)).expect("a position")
    }
}
