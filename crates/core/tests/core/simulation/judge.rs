//! Reads the log as a consumer would, and holds it against what Asana had.

use super::asana::{Asana, Log, task};
use super::bus::Bus;
use super::judge_state::{States, judge_states};
use super::world::{LANES, MOST_LANES, SHARDS};
use bridge_consumer::materialize::{Mark, Row};
use bridge_consumer::{Continuity, Detector, Materializer, News, Start, decode};
use bridge_contract::pb::{self, record::Body};
use bridge_core::ids::{Lane, StreamId, Topic};
use bridge_core::record::batch::{Message, Target};
use bridge_core::record::encoding::Encoding;
use bridge_core::record::event::{Event, to_json};
use bridge_core::record::placement::{lane_of, shard_of};
use chrono::{DateTime, TimeDelta, Utc};
use prost::Message as _;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

/// What was found in a log that is as it should be.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) events: usize,
    pub(crate) gaps: usize,
    pub(crate) stand_ins: usize,
    pub(crate) watermarks: usize,
    /// Shards that a watermark called empty.
    pub(crate) empty: usize,
    pub(crate) lane_changes: usize,
    pub(crate) crawls: usize,
    pub(crate) missed: usize,
    /// Events that Asana lost, and a gap's window has.
    pub(crate) lost: usize,
    /// Events behind a watermark.
    pub(crate) bounded: usize,
    /// Tasks that were called deleted.
    pub(crate) deleted: usize,
    /// See [`States`].
    pub(crate) states: usize,
    pub(crate) read_again: usize,
    pub(crate) removed: usize,
    pub(crate) unknown: usize,
    /// How often the state topic has said how complete it is, and the changes that this was held against.
    pub(crate) claims: usize,
    pub(crate) covered: usize,
}

impl Verdict {
    pub(crate) fn add(self, other: Self) -> Self {
        Self {
            events: self.events + other.events,
            gaps: self.gaps + other.gaps,
            stand_ins: self.stand_ins + other.stand_ins,
            watermarks: self.watermarks + other.watermarks,
            empty: self.empty + other.empty,
            lane_changes: self.lane_changes + other.lane_changes,
            crawls: self.crawls + other.crawls,
            missed: self.missed + other.missed,
            lost: self.lost + other.lost,
            bounded: self.bounded + other.bounded,
            deleted: self.deleted + other.deleted,
            states: self.states + other.states,
            read_again: self.read_again + other.read_again,
            removed: self.removed + other.removed,
            unknown: self.unknown + other.unknown,
            claims: self.claims + other.claims,
            covered: self.covered + other.covered,
        }
    }
}

/// The records of a stream, by stream sequence, each with its lane.
type Records = BTreeMap<u64, (Lane, pb::Record)>;
/// The lanes that have the record of a gap, or of its healing.
type GapLanes = BTreeMap<String, BTreeSet<Lane>>;

/// `knows_streams`: the same streams were configured all the time.
pub(crate) fn judge(asana: &Asana, bus: &Bus, missed: usize, knows_streams: bool) -> Verdict {
    let mut verdict = Verdict { missed, ..Verdict::default() };
    let mut by_stream = read_lanes(bus, &mut verdict);
    for (stream, log) in &asana.streams {
        let records = by_stream.remove(stream).unwrap_or_default();
        let sequences: Vec<_> = records.keys().copied().collect();
        assert_eq!(sequences, (1..=records.len() as u64).collect::<Vec<_>>(), "stream {stream}");
        let read = read_stream(stream, log, &records, bus, &mut verdict);
        assert!(read.place.is_none_or(|place| place == log.events.len()), "stream {stream} ends at {:?}", read.place);
        assert!(
            read.expired.len() <= log.kills as usize,
            "{stream}: {} dead tokens, and {:?}",
            log.kills,
            read.expired
        );
        read.gaps.values().for_each(check_lanes);
        assert_eq!(read.healed, read.gaps, "stream {stream}: each gap is healed wherever it is");
        verdict.gaps += read.gaps.len();
    }
    // Where nothing is crawled again, only the state topic has the newest states.
    if !asana.shared.as_ref().is_some_and(|shared| shared.lossless) {
        compare_state(asana, bus);
    }
    if asana.shared.is_some() {
        let States { written: states, read_again, removed, unknown } = judge_states(asana, bus, knows_streams);
        verdict = Verdict { states, read_again, removed, unknown, ..verdict };
    }
    verdict.deleted = judge_deletions(asana, bus);
    let timed = judge_times(asana, bus);
    (verdict.lost, verdict.bounded) = (timed.lost, timed.bounded);
    let lost: usize = asana.streams.values().map(|log| log.lost).sum();
    assert!(missed <= lost, "{missed} changes were missed, and only {lost} were lost");
    assert!(by_stream.is_empty(), "streams that are not Asana's: {by_stream:?}");
    verdict
}

/// Reads all lanes: their sequences are contiguous.
fn read_lanes(bus: &Bus, verdict: &mut Verdict) -> BTreeMap<StreamId, Records> {
    let mut by_stream: BTreeMap<StreamId, Records> = BTreeMap::new();
    for (lane, messages) in &bus.lanes {
        let mut last: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
        let mut of_shard: BTreeMap<u32, LaneOfShard> = BTreeMap::new();
        for message in messages {
            let record = decode::wire(&message.value).expect("a record");
            let position = record.position.clone().expect("a position");
            let (epoch, sequence) = last.entry(position.shard).or_default();
            if position.lane_sequence == 1 {
                assert_eq!(*sequence, 0, "the log is never lost here: one epoch");
                assert!(matches!(record.body, Some(Body::EpochStart(_))), "a lane begins with an epoch");
                *epoch = position.epoch;
            }
            assert_eq!((*epoch, *sequence + 1), (position.epoch, position.lane_sequence), "lane {lane:?}");
            *sequence = position.lane_sequence;
            of_shard.entry(position.shard).or_default().read(lane, message, &record, verdict);
            if let Some(stream) = StreamId::parse(&position.stream) {
                let before =
                    by_stream.entry(stream).or_default().insert(position.stream_sequence, (lane.clone(), record));
                assert!(before.is_none(), "a stream sequence is given twice");
            }
        }
    }
    by_stream
}

/// What was read of one stream.
#[derive(Default)]
struct StreamRead {
    /// Where in Asana's log the stream is; unknown before its first event, and after a gap.
    place: Option<usize>,
    gaps: GapLanes,
    /// Those whose token was dead.
    expired: BTreeSet<String>,
    healed: GapLanes,
}

/// Reads a stream in order: its events are Asana's, without a hole that no gap announces.
fn read_stream(stream: &StreamId, log: &Log, records: &Records, bus: &Bus, verdict: &mut Verdict) -> StreamRead {
    let mut read = StreamRead::default();
    let mut crawl = Crawl::default();
    for (lane, record) in records.values() {
        let event = match record.body.as_ref().expect("a body") {
            Body::Event(event) => event.clone(),
            Body::StandIn(stand_in) => {
                verdict.stand_ins += 1;
                let event = dead_letter(bus, record);
                assert_eq!(event.fingerprint, stand_in.fingerprint);
                event
            }
            Body::SourceGap(gap) => {
                let is_new = read.gaps.entry(gap.gap_id.clone()).or_default().insert(lane.clone());
                assert!(is_new, "a gap twice in a lane");
                // Chance may also refuse a living token (400) until the bridge gives it up.
                if gap.reason() == pb::SourceGapReason::TokenExpired {
                    read.expired.insert(gap.gap_id.clone());
                }
                read.place = None;
                continue;
            }
            Body::SourceGapHealed(gap) => {
                let is_new = read.healed.entry(gap.gap_id.clone()).or_default().insert(lane.clone());
                assert!(is_new, "healed twice in a lane");
                continue;
            }
            Body::Snapshot(_) | Body::SnapshotBegin(_) | Body::SnapshotEnd(_) => {
                verdict.crawls += usize::from(crawl.read(lane, record.body.as_ref().unwrap()));
                continue;
            }
            Body::StreamSuspended(_) | Body::StreamResumed(_) | Body::StreamEnded(_) => continue,
            other => panic!("no such record is written of a stream: {other:?}"),
        };
        verdict.events += 1;
        let at = number(&event);
        assert!(read.place.is_none_or(|place| place == at), "stream {stream}: event {at} after {:?}", read.place);
        assert_eq!(Event(event), log.events[at]);
        read.place = Some(at + 1);
        for (gap, lanes) in &read.gaps {
            let is_healed = read.healed.get(gap) == Some(lanes);
            assert!(is_healed || lanes.contains(lane), "a lane has a later event and not the gap");
        }
    }
    read
}

/// A gap is in all lanes of a topic. Lanes that were added later have it if the stream came to them.
fn check_lanes(lanes: &BTreeSet<Lane>) {
    let mut topics: BTreeMap<_, Vec<u32>> = BTreeMap::new();
    for lane in lanes {
        topics.entry(&lane.topic).or_default().push(lane.partition);
    }
    for lanes in topics.into_values() {
        assert!(lanes.len() >= LANES.get() as usize && lanes.iter().copied().eq(0..lanes.len() as u32));
    }
}

/// What a consumer that applies everything has in the end is what Asana has.
fn compare_state(asana: &Asana, bus: &Bus) {
    // One for each topic, as lanes are the topic's.
    let mut tables: BTreeMap<Topic, Materializer> = BTreeMap::new();
    for message in &bus.all {
        let Target::Lane { topic, .. } = &message.target else { continue };
        let record = decode::wire(&message.value).expect("a record");
        let table = tables.entry(topic.clone()).or_default();
        table.apply(&record.into());
    }
    let blind = blind_crawls(bus);
    for (stream, log) in &asana.streams {
        let of_stream = stream.to_string();
        let rows = tables.values().flat_map(|table| table.resources(&of_stream));
        let tasks = rows.filter(|row| row.resource_type == "task");
        // Where the index was lost, what went before can't be known, and the crawl's end says so.
        let blind_until = blind.get(&of_stream).copied().unwrap_or_default();
        let is_gone = |row: &&Row| !log.tasks.keys().any(|number| task(*number).to_string() == row.gid);
        let tasks = tasks.filter(|row| row.mark > blind_until || !is_gone(row));
        let known: BTreeMap<_, _> = tasks.map(|row| (row.gid.clone(), row.state_json.clone())).collect();
        let has = |(number, changes): (&u32, &u32)| (task(*number).to_string(), Some(changes.to_string()));
        let expected: BTreeMap<_, _> = log.tasks.iter().map(has).collect();
        assert_eq!(known, expected, "stream {stream}");
    }
}

/// Nothing that lives is ever called deleted: around each such record there is a moment at which it didn't.
fn judge_deletions(asana: &Asana, bus: &Bus) -> usize {
    let mut count = 0;
    for message in &bus.all {
        let record = decode::wire(&message.value).expect("a record");
        let received_at = time(record.received_at.as_ref());
        let (Some(position), Some(Body::Snapshot(snapshot))) = (record.position, record.body) else { continue };
        if snapshot.change() != pb::SnapshotChange::Deleted {
            continue;
        }
        if position.stream.is_empty() {
            // Its state was removed in the same commit, and is judged there.
            continue;
        }
        let gid: u32 = snapshot.resource.expect("a resource").gid.parse().expect("a number");
        let (stream, log) = asana.streams.iter().find(|(id, _)| id.to_string() == position.stream).expect("a stream");
        let Some(number) = gid.checked_sub(task(0)).filter(|number| *number < 50) else { continue };
        let at = received_at;
        let (from, to) = (at - TimeDelta::seconds(120), at + TimeDelta::seconds(120));
        assert!(!log.lived(number, from, to), "{stream}: task {number} lived when it was called deleted, at {at}");
        count += 1;
    }
    count
}

/// The end of each stream's last crawl that didn't know what had been published before.
fn blind_crawls(bus: &Bus) -> BTreeMap<String, Mark> {
    let mut blind: BTreeMap<String, Mark> = BTreeMap::new();
    for message in &bus.all {
        let record = decode::wire(&message.value).expect("a record");
        if let (Some(position), Some(Body::SnapshotEnd(end))) = (record.position, record.body)
            && !end.compared
        {
            let mark = Mark { epoch: position.epoch, sequence: position.stream_sequence };
            blind.entry(position.stream).and_modify(|last| *last = mark.max(*last)).or_insert(mark);
        }
    }
    blind
}

/// The crawl that is under way in a stream.
#[derive(Default)]
struct Crawl {
    id: String,
    begun: BTreeSet<Lane>,
    snapshots: u64,
    ended: BTreeSet<Lane>,
}

impl Crawl {
    /// Whether it is the end.
    fn read(&mut self, lane: &Lane, body: &Body) -> bool {
        match body {
            Body::SnapshotBegin(it) => {
                if it.crawl_id != self.id {
                    *self = Self { id: it.crawl_id.clone(), ..Self::default() };
                }
                assert!(self.begun.insert(lane.clone()), "a crawl begins twice in a lane");
            }
            Body::Snapshot(it) => {
                assert_eq!(it.crawl_id, self.id);
                assert!(self.begun.contains(lane), "a snapshot before its crawl begins in the lane");
                self.snapshots += 1;
            }
            Body::SnapshotEnd(it) => {
                assert_eq!((&it.crawl_id, it.snapshots), (&self.id, self.snapshots));
                assert!(self.ended.insert(lane.clone()), "a crawl ends twice in a lane");
                return self.ended == self.begun;
            }
            other => panic!("not of a crawl: {other:?}"),
        }
        false
    }
}

/// What a consumer of a lane knows of one shard.
#[derive(Default)]
struct LaneOfShard {
    /// The numbers of lanes that explain where the keys so far are.
    counts: Option<BTreeSet<u32>>,
}

impl LaneOfShard {
    fn read(&mut self, lane: &Lane, message: &Message, record: &pb::Record, verdict: &mut Verdict) {
        let counts = self.counts.get_or_insert_with(|| (LANES.get()..=MOST_LANES).collect());
        match record.body.as_ref().expect("a body") {
            Body::LanesChanged(change) => {
                verdict.lane_changes += 1;
                // A lane that was added has nothing before it.
                assert!(counts.contains(&change.previous_count), "{lane:?}: {counts:?}, {change:?}");
                *counts = [change.count].into();
            }
            Body::Watermark(it) => {
                verdict.watermarks += 1;
                verdict.empty += it.progress.iter().filter(|progress| progress.empty).count();
            }
            Body::Event(_) | Body::StandIn(_) => {
                let key = message.key.as_str().as_bytes();
                counts.retain(|count| lane_of(key, NonZeroU32::new(*count).unwrap()) == lane.partition);
                assert!(!counts.is_empty(), "a key is in a lane that nothing explains: {lane:?}");
            }
            _ => {}
        }
    }
}

/// What is known of a stream's times, in the order in which all of it came to the bus.
#[derive(Default)]
struct Times {
    /// Consumers were told that it isn't polled.
    is_out: bool,
    /// What watermarks of each topic have stated of its shard since it is polled.
    stated: BTreeMap<Topic, DateTime<Utc>>,
    complete_up_to: Option<DateTime<Utc>>,
    /// The event that is next, once one was seen.
    place: Option<usize>,
    /// By their ids, each with the watermark that was before it.
    gaps: BTreeMap<String, (pb::SourceGap, Option<DateTime<Utc>>)>,
}

impl Times {
    /// An event that never comes must be in a gap's window, and not before a watermark that was before the gap.
    fn lose(&self, stream: &StreamId, at: usize, shown_at: DateTime<Utc>) {
        let is_told = self.gaps.values().any(|(gap, complete_up_to)| {
            let (from, to) = (time(gap.last_complete_poll_at.as_ref()), time(gap.resumed_at.as_ref()));
            (from..=to).contains(&shown_at) && complete_up_to.is_none_or(|bound| bound <= shown_at)
        });
        assert!(is_told, "stream {stream}: event {at} of {shown_at} is lost, and in no window of {:?}", self.gaps);
    }
}

/// Watermarks and gaps, held against when each stream could show its events.
fn judge_times(asana: &Asana, bus: &Bus) -> Verdict {
    let mut verdict = Verdict::default();
    let mut streams: BTreeMap<StreamId, Times> =
        asana.streams.keys().map(|stream| (stream.clone(), Times::default())).collect();
    let mut detector = Detector::by_lane(Start::Beginning);
    for message in &bus.all {
        let Target::Lane { topic, .. } = &message.target else { continue };
        let record = decode::wire(&message.value).expect("a record");
        let position = record.position.clone().expect("a position");
        let read = detector.observe(topic.as_str(), &record);
        assert_eq!(read.continuity, Continuity::InOrder);
        assert!(!matches!(read.news, Some(News::TailMissing { .. })), "nothing is lost here: {record:?}");
        if let Some(Body::Watermark(watermark)) = &record.body {
            let claim = detector.complete_up_to(topic.as_str());
            for (stream, times) in streams.iter_mut().filter(|(_, times)| !times.is_out) {
                let shard = shard_of(stream, SHARDS).0;
                let own = watermark.progress.iter().find(|it| it.shard == shard && it.complete_up_to.is_some());
                let own = own.map(|it| time(it.complete_up_to.as_ref()));
                if let Some(own) = own {
                    times.stated.insert(topic.clone(), own);
                }
                // What was stated of its shard while it wasn't polled says nothing of it.
                let claim = claim.zip(times.stated.get(topic).copied()).map(|(claim, stated)| claim.min(stated));
                times.complete_up_to = times.complete_up_to.max(own).max(claim);
            }
        }
        let Some(stream) = StreamId::parse(&position.stream) else { continue };
        let (times, log) = (streams.get_mut(&stream).expect("a stream"), &asana.streams[&stream]);
        let event = match record.body.clone().expect("a body") {
            Body::StreamSuspended(_) | Body::StreamEnded(_) => {
                times.is_out = true;
                times.stated.clear();
                continue;
            }
            Body::StreamResumed(_) => {
                times.is_out = false;
                continue;
            }
            Body::SourceGap(gap) => {
                let bound = times.complete_up_to;
                times.gaps.entry(gap.gap_id.clone()).or_insert((gap, bound));
                continue;
            }
            Body::Event(event) => event,
            Body::StandIn(_) => dead_letter(bus, &record),
            _ => continue,
        };
        let at = number(&event);
        for lost in times.place.unwrap_or(at)..at {
            times.lose(&stream, lost, log.shown_at[lost]);
            verdict.lost += 1;
        }
        times.place = Some(at + 1);
        if let Some(bound) = times.complete_up_to {
            let shown_at = log.shown_at[at];
            assert!(shown_at >= bound, "stream {stream}: event {at} of {shown_at} comes behind the watermark {bound}");
            verdict.bounded += 1;
        }
    }
    for (stream, times) in &streams {
        let log = &asana.streams[stream];
        for lost in times.place.unwrap_or(log.events.len())..log.events.len() {
            times.lose(stream, lost, log.shown_at[lost]);
            verdict.lost += 1;
        }
    }
    verdict
}

fn time(time: Option<&bridge_contract::Timestamp>) -> DateTime<Utc> {
    let time = time.expect("a time");
    DateTime::from_timestamp(time.seconds, time.nanos.cast_unsigned()).expect("a valid time")
}

fn number(event: &pb::Event) -> usize {
    let json: serde_json::Value = serde_json::from_str(&to_json(event)).expect("JSON");
    json["n"].as_u64().expect("a number") as usize
}

/// The event that a stand-in stands for.
fn dead_letter(bus: &Bus, stand_in: &pb::Record) -> pb::Event {
    let letters = bus.dead_letters.iter().map(|message| match message.attributes.encoding {
        Encoding::Protobuf => pb::DeadLetter::decode(message.value.as_slice()).expect("decodes"),
        Encoding::Json => serde_json::from_slice(&message.value).expect("JSON"),
    });
    let parts: Vec<_> = letters.filter(|letter| letter.position == stand_in.position).collect();
    assert!(parts.iter().enumerate().all(|(at, part)| part.part_index as usize == at));
    assert_eq!(parts.len(), parts[0].part_count as usize);
    let bytes: Vec<_> = parts.into_iter().flat_map(|part| part.part).collect();
    match decode::wire(&bytes).expect("decodes").body {
        Some(Body::Event(event)) => event,
        other => panic!("not an event: {other:?}"),
    }
}
