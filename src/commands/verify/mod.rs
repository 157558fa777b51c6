//! The command `verify`: reads all lanes, and reports what is missing, by positions and by a simulator's ledger.

mod ledger;
mod report;

use super::process::runtime;
use super::{Exit, Failure, Output};
use crate::commands::ledger::Ledger;
use crate::commands::place::PlaceArgs;
use crate::commands::progress::Progress;
use crate::sink::reader::Reader;
use bridge_consumer::detect::{Continuity, GapKey, LaneKey, News, Start, Tally};
use bridge_consumer::{Detector, ReadError, ReadFrom, Received, Until};
use bridge_contract::pb::{self, Restored, record::Body};
use bridge_core::ids::Topic;
use bridge_core::record::event;
use chrono::{SecondsFormat, TimeDelta};
use ledger::Kept;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;
use xxhash_rust::xxh3::Xxh3;

pub use report::{LaneReport, PartlyHealed, Report, StreamReport};

/// The maximum number of keys that are followed, to check that each stays in its lane.
const KEYS: usize = 1 << 20;
/// The interval between two rounds of watermarks, unless the configuration has another one.
const WATERMARKS: Duration = Duration::from_secs(60);
/// The time by which watermarks may be late.
const LATE: Duration = Duration::from_secs(30);

/// Read all lanes from the start, and report missing, duplicate and reordered records.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  asana-event-bridge verify --kafka localhost:9092 --topic asana.events
  asana-event-bridge verify --nats nats://localhost:4222 --stream ASANA
  asana-event-bridge verify --config bridge.yaml
  asana-event-bridge verify --config bridge.yaml --ledger http://127.0.0.1:8080 --output json

It needs no Asana token. It exits with 1 if a record is missing, duplicate or out of order. Source gaps are announced
losses: they are counted, and explain what is missing beside them. A file is compared with its checkpoint, which is beside
it: without one, nothing shows whether records are missing at its end.")]
pub struct VerifyArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take a doc for help")]
    pub place: PlaceArgs,
    /// The bridge's `commit.watermarkInterval`: a lane whose watermarks are older than those of other lanes by more than two
    /// intervals has lost its last records. Default: the configuration's, or 60s without a configuration
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub watermark_interval: Option<Duration>,
    /// The address of a simulator, such as `http://127.0.0.1:8080`. Every event of its ledger must have been read
    #[arg(long, value_name = "URL")]
    pub ledger: Option<String>,
    /// The format of the output: text, or one JSON object on the last line
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// Runs the command.
pub(super) fn execute(args: &VerifyArgs) -> Result<Exit, Box<dyn Failure>> {
    let records = args.place.records()?;
    let watermarks = args.watermark_interval.or_else(|| records.watermark_interval()).unwrap_or(WATERMARKS);
    runtime()?.block_on(async {
        let ledger = match &args.ledger {
            Some(url) => Some(Ledger::fetch(url).await?),
            None => None,
        };
        let doubt = records.doubt().await?;
        let place = records.place().await?;
        let file = place.compare().await?;
        let mut reader = Reader::open(place, ReadFrom::Start, Until::End).await?;
        let report = read(&mut reader, ledger.as_ref(), watermarks).await?;
        let report = Report { checkpoint: doubt, file, ..report };
        args.output.show(&report)?;
        Ok(Exit::of(report.is_ok()))
    })
}

/// Checks records that were read from the start of all lanes, in the order of each lane.
#[must_use]
pub fn check(records: impl IntoIterator<Item = Received>, ledger: Option<&Ledger>) -> Report {
    let mut verification = Verification::new(false);
    for received in records {
        verification.take(&received);
    }
    verification.finish(ledger)
}

/// Reads to the reader's end, and checks. Memory grows with the number of lanes, streams and holes, and with the events
/// of the ledger if there is one, but not with the records. `watermarks` is the bridge's interval between them.
///
/// # Errors
/// `Unavailable` if the bus can't be read to the end.
///
/// # Cancel safety
/// Cancel safe: dropping the future has no effect.
pub async fn read(reader: &mut Reader, ledger: Option<&Ledger>, watermarks: Duration) -> Result<Report, ReadError> {
    let mut verification = Verification::new(reader.trimmed()).watermarks_every(watermarks);
    verification.keeps_events = ledger.is_some();
    let progress = Progress::new(reader.expected());
    loop {
        match reader.next().await {
            Ok(Some(received)) => verification.take(&received),
            Ok(None) => break,
            Err(ReadError::NoRecord { .. }) => verification.report.no_record += 1,
            Err(error) => return Err(error),
        }
        progress.step();
    }
    drop(progress);
    Ok(verification.finish(ledger))
}

/// A verification in progress.
#[derive(Debug)]
pub struct Verification {
    detector: Detector,
    report: Report,
    /// Whether events are kept to compare them with a ledger.
    keeps_events: bool,
    streams: BTreeMap<String, StreamSeen>,
    keys: KeySample,
    gaps: BTreeSet<GapKey>,
    /// The healed source gaps, each with its record if a part was left out and not read later.
    healed: BTreeMap<GapKey, Option<pb::SourceGapHealed>>,
    out_of_order: u64,
    /// If a lane is this far behind the other lanes of its shard, its last records are missing.
    tail_grace: Duration,
}

/// What was read of a stream.
#[derive(Debug, Default)]
struct StreamSeen {
    events: u64,
    /// The sequences of each epoch.
    epochs: BTreeMap<u64, Sequences>,
    /// The greatest epoch and sequence in each lane of a topic.
    last: HashMap<(Topic, u32), (u64, u64)>,
    kept: Vec<Kept>,
}

/// The sequences from 1 on, without those that the lanes show to be duplicates. Lanes are read side by side, so a set
/// of ranges would be large. The number, the sum and the greatest sequence show whether all are there.
#[derive(Clone, Copy, Debug, Default)]
struct Sequences {
    count: u64,
    sum: u128,
    greatest: u64,
}

impl Sequences {
    fn insert(&mut self, sequence: u64) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(sequence.into());
        self.greatest = self.greatest.max(sequence);
    }

    /// The minimum number of missing and of duplicate sequences.
    fn faults(self) -> (u64, u64) {
        let greatest = u128::from(self.greatest);
        let all = greatest * (greatest + 1) / 2;
        match (self.greatest.saturating_sub(self.count), self.count.saturating_sub(self.greatest)) {
            (0, 0) if self.sum != all => (1, 1),
            faults => faults,
        }
    }
}

/// The lane of each key, for as many keys as there is room. When the room is full, keys with a hash in the greater half
/// are dropped.
#[derive(Debug)]
struct KeySample {
    lanes: HashMap<u64, u32>,
    below: u64,
    /// The number of lanes to which a shard spreads its keys, as far as a lane's records contain it.
    spread: BTreeMap<LaneKey, u32>,
}

impl KeySample {
    fn new() -> Self {
        Self { lanes: HashMap::new(), below: u64::MAX, spread: BTreeMap::new() }
    }

    /// Notes that the topic has another number of lanes: from here on, the shard's keys may be in other lanes.
    fn respread(&mut self, topic: &str, lane: u32, shard: u32, count: u32) {
        self.spread.insert(LaneKey { topic: topic.to_owned(), lane, shard }, count);
    }

    /// Whether the key was in another lane before.
    fn strayed(&mut self, received: &Received, shard: u32) -> bool {
        let (topic, lane) = (received.topic.as_str(), received.lane);
        let spread = if self.spread.is_empty() {
            0
        } else {
            self.spread.get(&LaneKey { topic: topic.to_owned(), lane, shard }).copied().unwrap_or(0)
        };
        let mut hash = Xxh3::new();
        hash.update(topic.as_bytes());
        hash.update(&spread.to_le_bytes());
        hash.update(&shard.to_le_bytes());
        hash.update(received.key.as_bytes());
        let hash = hash.digest();
        if hash >= self.below {
            return false;
        }
        let strayed = *self.lanes.entry(hash).or_insert(lane) != lane;
        if self.lanes.len() > KEYS {
            self.below /= 2;
            let below = self.below;
            self.lanes.retain(|hash, _| *hash < below);
        }
        strayed
    }
}

impl Verification {
    /// A verification without records yet. `trimmed`: the bus no longer has the oldest records. Events are kept for a
    /// ledger.
    #[must_use]
    pub fn new(trimmed: bool) -> Self {
        Self {
            detector: Detector::by_lane(if trimmed { Start::Middle } else { Start::Beginning }),
            report: Report { trimmed, ..Report::default() },
            keeps_events: true,
            streams: BTreeMap::new(),
            keys: KeySample::new(),
            gaps: BTreeSet::new(),
            healed: BTreeMap::new(),
            out_of_order: 0,
            tail_grace: 2 * WATERMARKS + LATE,
        }
    }

    /// Sets the bridge's interval between watermarks, if it isn't a minute. The bridge asks for the ends of a topic's
    /// lanes one after the other, so that on a busy bridge two rounds of watermarks may be between them.
    #[must_use]
    pub fn watermarks_every(self, interval: Duration) -> Self {
        Self { tail_grace: interval.saturating_mul(2).saturating_add(LATE), ..self }
    }

    /// The number of events that were read, without duplicates.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.report.read
    }

    /// Checks the next record of its lane.
    pub fn take(&mut self, received: &Received) {
        let topic = received.topic.as_str();
        let verdict = self.detector.observe(topic, &received.record);
        let Some(position) = &received.record.position else { return };
        if position.lane != received.lane {
            self.report.misplaced += 1;
        }
        match verdict.news {
            Some(News::LanesChanged { count, .. }) => self.keys.respread(topic, received.lane, position.shard, count),
            Some(News::SourceGapOpened { gap_id }) => {
                self.gaps.insert(GapKey { stream: position.stream.clone(), gap_id });
            }
            Some(News::SourceGapHealed { gap_id }) => {
                let key = GapKey { stream: position.stream.clone(), gap_id };
                self.heal(key, received.record.body.as_ref());
            }
            // What is missing is in the detector's counts.
            Some(News::EpochChanged { .. } | News::TailMissing { .. } | News::CompleteUpTo { .. }) | None => {}
        }
        if verdict.continuity == Continuity::Duplicate || position.stream.is_empty() {
            return;
        }
        if !self.streams.contains_key(&position.stream) {
            self.streams.insert(position.stream.clone(), StreamSeen::default());
        }
        let Some(stream) = self.streams.get_mut(&position.stream) else { return };
        stream.epochs.entry(position.epoch).or_default().insert(position.stream_sequence);
        let place = (position.epoch, position.stream_sequence);
        let last = stream.last.entry((received.topic.clone(), received.lane)).or_insert(place);
        // The detector counts reordering within a lane.
        if place < *last && verdict.continuity != Continuity::Reordered {
            self.out_of_order += 1;
        }
        *last = place.max(*last);
        let (epoch, sequence) = place;
        match &received.record.body {
            Some(Body::Event(event)) => {
                self.report.read += 1;
                stream.events += 1;
                if self.keys.strayed(received, position.shard) {
                    self.report.misplaced += 1;
                }
                if self.keeps_events {
                    stream.kept.push(Kept { epoch, sequence, digest: Kept::digest(&event::to_json(event)) });
                }
            }
            Some(Body::SourceGap(_) | Body::StandIn(_)) if self.keeps_events => {
                stream.kept.push(Kept { epoch, sequence, digest: None });
            }
            Some(
                Body::SourceGap(_)
                | Body::StandIn(_)
                | Body::Snapshot(_)
                | Body::SnapshotBegin(_)
                | Body::SnapshotEnd(_)
                | Body::SourceGapHealed(_)
                | Body::EpochStart(_)
                | Body::Watermark(_)
                | Body::LanesChanged(_)
                | Body::StreamSuspended(_)
                | Body::StreamResumed(_)
                | Body::StreamEnded(_)
                | Body::State(_)
                | Body::StateProgress(_),
            )
            | None => {}
        }
    }

    /// Notes a healing. A gap that was healed completely stays so: lanes are read side by side, and each has all
    /// healings.
    fn heal(&mut self, key: GapKey, body: Option<&Body>) {
        let in_part = match body {
            Some(Body::SourceGapHealed(it)) if it.restored() == Restored::PartOfState => Some(it.clone()),
            _ => None,
        };
        let known = self.healed.entry(key).or_insert_with(|| in_part.clone());
        *known = known.take().and(in_part);
    }

    /// Ends the verification, and returns the report.
    #[must_use]
    pub fn finish(mut self, ledger: Option<&Ledger>) -> Report {
        let lanes = self.count_lanes();
        let mut by_stream: BTreeMap<String, StreamReport> = BTreeMap::new();
        let (mut missing_in_streams, mut doubled_in_streams) = (0, 0);
        for (stream, seen) in &self.streams {
            let faults = seen.epochs.values().map(|sequences| sequences.faults());
            let (missing, doubled) = faults.fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
            // Without the oldest records, a stream's sequences are spread over lanes that begin at different times.
            let (missing, doubled) = if self.report.trimmed { (0, 0) } else { (missing, doubled) };
            missing_in_streams += missing;
            doubled_in_streams += doubled;
            let report = StreamReport { stream: stream.clone(), read: seen.events, missing, ..StreamReport::default() };
            by_stream.insert(stream.clone(), report);
        }
        let kept = |(stream, mut seen): (String, StreamSeen)| {
            seen.kept.sort_unstable();
            (stream, seen.kept)
        };
        let kept: BTreeMap<_, _> = std::mem::take(&mut self.streams).into_iter().map(kept).collect();
        let compared = ledger.map(|ledger| ledger::compare_all(&mut self.report, &kept, ledger, &mut by_stream));
        let compared = compared.unwrap_or_default();
        self.report.missing = lanes.missing.max(missing_in_streams).max(compared.missing);
        self.report.duplicates = lanes.duplicates + doubled_in_streams.max(compared.duplicates);
        self.report.reordered = lanes.reordered + self.out_of_order + compared.reordered;
        self.report.unnumbered = self.detector.unnumbered();
        let open = self.detector.open_gaps();
        self.report.source_gaps_open = open.len() as u64;
        let closed: Vec<_> = self.gaps.iter().filter(|gap| !open.contains(gap)).collect();
        self.report.source_gaps_healed = closed.iter().filter(|gap| self.healed.contains_key(**gap)).count() as u64;
        self.report.healed_in_part = self.healed.iter().filter_map(PartlyHealed::of).collect();
        self.report.source_gaps_ended = closed.len() as u64 - self.report.source_gaps_healed;
        self.report.unknown_ends = self.detector.unknown_ends().into_iter().collect();
        self.report.forgotten = self.detector.forgotten();
        self.report.streams = by_stream.into_values().collect();
        self.judge_tails();
        self.report
    }

    fn judge_tails(&mut self) {
        let topics: BTreeSet<_> = self.report.lanes.iter().map(|lane| lane.topic.clone()).collect();
        for topic in topics {
            let time = self.detector.complete_up_to(&topic);
            let text = time.map(|time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true));
            self.report.complete_up_to.insert(topic, text);
        }
        let grace = TimeDelta::from_std(self.tail_grace).unwrap_or(TimeDelta::MAX);
        self.report.cut_off = self.detector.behind();
        self.report.cut_off.retain(|it| it.watermark.is_none_or(|time| it.others - time > grace));
    }

    fn count_lanes(&mut self) -> Tally {
        let mut lanes: BTreeMap<(String, u32), LaneReport> = BTreeMap::new();
        for (LaneKey { topic, lane, .. }, tally) in self.detector.lanes() {
            let report = lanes.entry((topic.clone(), lane)).or_insert_with(|| LaneReport {
                topic,
                lane,
                read: 0,
                missing: 0,
                duplicates: 0,
                reordered: 0,
            });
            report.read += tally.read;
            report.missing += tally.missing;
            report.duplicates += tally.duplicates;
            report.reordered += tally.reordered;
        }
        self.report.lanes = lanes.into_values().collect();
        // The total also contains what the detector no longer knows by lane.
        self.detector.total()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::ledger::{StreamLedger, digest};
    use bridge_consumer::detect::{Limits, View};
    use bridge_core::record::event::Event;

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
        assert!(report.is_ok(), "{report}");
        assert_eq!((report.offered, report.read, report.lanes.len(), report.streams.len()), (Some(20), 20, 1, 1));
        assert!(check(events(0..20), None).is_ok());
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
        assert!(!check(vec![Received { record: pb::Record::default(), ..events(0..1).remove(0) }], None).is_ok());
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
        assert!(report.is_ok(), "{report}");
        assert_eq!((report.explained, report.source_gaps_open), (5, 1));
        let report = check(read, Some(&ledger(0..12)));
        assert_eq!((report.explained, report.missing), (5, 3));
    }

    #[test]
    fn a_source_gap_of_a_stream_that_ended_is_not_called_healed() {
        let gap = |id: &str| Body::SourceGap(pb::SourceGap { gap_id: id.to_owned(), ..pb::SourceGap::default() });
        let healed = pb::SourceGapHealed { gap_id: "a".to_owned(), ..pb::SourceGapHealed::default() };
        let bodies = [gap("a"), gap("b"), Body::SourceGapHealed(healed), Body::StreamEnded(pb::StreamEnded {})];
        let report = check((1..).zip(bodies).map(|(sequence, body)| received(sequence, body)), None);
        assert!(report.is_ok(), "{report}");
        assert_eq!((report.source_gaps_open, report.source_gaps_healed, report.source_gaps_ended), (0, 1, 1));
    }

    #[test]
    fn what_the_healing_of_a_source_gap_left_out_is_shown_until_it_was_read() {
        let gap = |id: &str| Body::SourceGap(pb::SourceGap { gap_id: id.to_owned(), ..pb::SourceGap::default() });
        let healed = |id: &str, restored: Restored| {
            let left_out = vec![pb::LeftOut { of: "12".into(), what: "stories".into(), reason: "server".into() }];
            let (gap_id, restored) = (id.to_owned(), restored.into());
            Body::SourceGapHealed(pb::SourceGapHealed {
                gap_id,
                restored,
                left_out,
                left_out_count: 4,
                ..Default::default()
            })
        };
        let bodies =
            vec![gap("a"), gap("b"), gap("c"), healed("a", Restored::PartOfState), healed("b", Restored::PartOfState)];
        // Of the last one, the second healing is read first, from another lane.
        let later = [healed("b", Restored::State), healed("c", Restored::State), healed("c", Restored::PartOfState)];
        let all = bodies.into_iter().chain(later);
        let report = check((1..).zip(all).map(|(sequence, body)| received(sequence, body)), None);
        assert!(report.is_ok(), "{report}");
        assert_eq!((report.source_gaps_open, report.source_gaps_healed, report.healed_in_part.len()), (0, 3, 1));
        let said = "source gap a is healed in part; left out: stories of 12 (server) and 3 more";
        assert!(report.to_string().contains(said), "{report}");
    }

    #[test]
    fn the_end_of_an_epoch_whose_counters_were_lost_is_not_vouched_for() {
        let start = || Body::EpochStart(pb::EpochStart::default());
        let mut first = received(1, start());
        let mut second = first.clone();
        for (record, epoch) in [(&mut first, 1), (&mut second, 2)] {
            let position = record.record.position.as_mut().expect("a position");
            (position.epoch, position.stream, position.stream_sequence) = (epoch, String::new(), 0);
        }
        assert!(check([first.clone()], None).is_ok());
        let report = check([first, second], None);
        assert_eq!((report.missing, report.unknown_ends.len()), (0, 1));
        assert!(!report.is_ok() && report.to_string().contains("shard 1"), "{report}");
    }

    #[test]
    fn what_was_forgotten_is_said_and_its_losses_count() {
        let limits = Limits { tracks: 16, ..Limits::default() };
        let mut verification = Verification::new(false);
        verification.detector = Detector::new(View::ByLane, Start::Beginning, limits);
        for (shard, sequence) in (0..17).map(|shard| (shard, 3)).chain([(0, 500)]) {
            let mut record = received(sequence, Body::StandIn(pb::StandIn::default()));
            let position = record.record.position.as_mut().expect("a position");
            (position.shard, position.stream) = (shard, String::new());
            verification.take(&record);
        }
        let report = verification.finish(None);
        // The shard that was forgotten comes again at 500: nothing is missing before it that wasn't.
        assert_eq!((report.missing, report.forgotten), (17 * 2, 2));
        assert!(!report.is_ok() && report.to_string().contains("forgotten: 2"), "{report}");
    }

    #[test]
    fn a_tail_is_cut_off_when_it_is_two_rounds_of_watermarks_behind() {
        let watermark = |lane: u32, sequence: u64, minutes: i64| {
            let complete_up_to = Some(bridge_contract::Timestamp { seconds: minutes * 60, nanos: 0 });
            let mut record = received(sequence, Body::Watermark(pb::Watermark::default()));
            let position = record.record.position.as_mut().expect("a position");
            let pb::Position { shard, epoch, lane_sequence, .. } = *position;
            let own = pb::ShardProgress { shard, epoch, lane_sequence, complete_up_to, empty: false };
            let watermark = pb::Watermark { shards: 2, lanes: 2, progress: vec![own] };
            record.record.body = Some(Body::Watermark(watermark));
            (position.lane, position.stream, position.stream_sequence) = (lane, String::new(), 0);
            Received { lane, ..record }
        };
        for (interval, cut_off) in [(Duration::from_secs(60), 1), (Duration::from_secs(600), 0)] {
            let mut verification = Verification::new(false).watermarks_every(interval);
            for record in [watermark(0, 1, 10), watermark(1, 1, 10), watermark(0, 2, 15)] {
                verification.take(&record);
            }
            assert_eq!(verification.finish(None).cut_off.len(), cut_off, "{interval:?}");
        }
    }

    #[test]
    fn json_that_means_the_same_is_the_same() {
        assert_eq!(digest(r#"{"a":1,"b":{"y":[1,2],"x":null}}"#), digest(r#"{ "b": {"x":null,"y":[1,2]}, "a":1 }"#));
        assert_ne!(digest(r#"{"a":[1,2]}"#), digest(r#"{"a":[2,1]}"#));
        assert_ne!(digest("[1e400]"), digest("[1e401]"));
    }
}
