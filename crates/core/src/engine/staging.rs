//! Gives sequences to what waits, and makes a batch of it.

use super::pending::{Change, Pending};
use super::refresh::Ready;
use super::refresh::progress::Statement;
use super::watermarks::ShardProgress;
use super::{Settings, Shard};
use crate::checkpoint::{Header, write_crawl, write_lanes, write_refresh, write_shard, write_stream};
use crate::crawl::Crawl;
use crate::crawl::known::Mark;
use crate::ids::{Lane, ShardId, StreamId, Topic};
use crate::record::batch::{Batch, CheckpointWrite, Message, OutputTopic};
use crate::record::placement::lane_of;
use crate::record::sequence::Counters;
use crate::record::trace::Trace;
use crate::record::{InStream, Place, Prepared};
use crate::stream::{MOST_PARTLY_HEALED, Notice, Stream};
use bridge_contract::pb::{self, record::Body};
use bridge_contract::time::timestamp;
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The topics that are known.
pub(crate) type Topics = BTreeMap<Topic, OutputTopic>;

/// What takes the place of the committed progress once the batch is on the bus.
#[derive(Debug)]
pub(crate) struct Staged {
    /// Each with the stream's last record before and behind it.
    pub(crate) pending: Vec<(Pending, Mark, Mark)>,
    /// As they will be.
    pub(crate) streams: BTreeMap<StreamId, Stream>,
    pub(crate) counters: BTreeMap<ShardId, Counters>,
    /// What watermarks state of shards.
    pub(crate) progress: Vec<ShardProgress>,
    /// What was read again.
    pub(crate) ready: Vec<Ready>,
    /// How far each shard's refresh log is done.
    pub(crate) places: BTreeMap<ShardId, u64>,
    /// What the state topic says of shards.
    pub(crate) statements: Vec<Statement>,
    pub(crate) messages: usize,
    /// For the log, once it is on the bus.
    pub(crate) notices: Vec<(StreamId, Notice)>,
    /// The trace of the commit itself.
    pub(crate) trace: Trace,
}

impl Staged {
    /// Size of its pages, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.pending.iter().map(|(pending, ..)| pending.bytes).sum()
    }

    /// Drops all of a shard, which has another owner: what the commit makes of it doesn't count here.
    pub(super) fn forget(&mut self, shard: ShardId) {
        self.counters.remove(&shard);
        self.progress.retain(|it| it.shard != shard);
        self.ready.retain(|it| it.ticket.shard != shard);
        self.places.remove(&shard);
        self.statements.retain(|it| it.shard != shard);
        for (pending, ..) in self.pending.extract_if(.., |(pending, ..)| pending.shard == shard) {
            self.streams.remove(&pending.id);
        }
    }
}

/// What a batch is made for: the owned shards, the topics that are known, and the settings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner<'a> {
    pub(crate) shards: &'a BTreeMap<ShardId, Shard>,
    pub(crate) topics: &'a Topics,
    pub(crate) settings: &'a Settings,
    /// The most shards in one watermark.
    pub(crate) shards_at_once: usize,
}

/// What a batch is made of.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) pending: Vec<Pending>,
    pub(crate) progress: Vec<ShardProgress>,
    /// What was read again.
    pub(crate) ready: Vec<Ready>,
    /// How far the refresh log of each of their shards is done with it.
    pub(crate) places: BTreeMap<ShardId, u64>,
    /// What the state topic says of shards.
    pub(crate) statements: Vec<Statement>,
}

/// Stages what waits, in order, then what was read again, and then watermarks and statements. `committed`: a page's stream as it is on the bus.
///
/// # Panics
/// If a shard isn't in `shards` or a topic isn't in `topics`. Nothing is lost then: nothing was committed.
pub(crate) fn stage<'a>(
    owner: Owner<'_>,
    taken: Taken,
    committed: impl Fn(&Pending) -> Option<&'a Stream>,
    now: DateTime<Utc>,
) -> (Staged, Batch) {
    let Owner { shards, topics, settings, shards_at_once } = owner;
    let Taken { pending: taken, progress, ready, mut places, statements } = taken;
    places.extend(statements.iter().map(|it| (it.shard, it.place)));
    let trace = settings.trace(0, now);
    let mut staging = Staging::new(topics, settings, now, trace);
    let mut counters: BTreeMap<ShardId, Counters> = BTreeMap::new();
    let mut checkpoints = Vec::new();
    let stated: BTreeMap<ShardId, bool> = progress.iter().map(|it| (it.shard, it.empty)).collect();
    for shard in taken.iter().map(|it| it.shard).chain(stated.keys().copied()).chain(places.keys().copied()) {
        counters.entry(shard).or_insert_with(|| shards[&shard].counters.clone());
    }
    let mut pending = Vec::with_capacity(taken.len());
    let mut streams: BTreeMap<StreamId, Stream> = BTreeMap::new();
    for one in taken {
        let Some(counters) = counters.get_mut(&one.shard) else { continue };
        let before = streams.get(&one.id).or_else(|| committed(&one)).cloned().unwrap_or_default();
        let next = staging.pending(&one, before.clone(), counters);
        if before.is_new() {
            counters.add_stream();
        }
        checkpoints.extend(write_crawl(one.shard, &one.id, before.crawl.as_ref(), next.crawl.as_ref()));
        checkpoints.push(write_stream(one.shard, &one.id, &next));
        streams.insert(one.id.clone(), next.clone());
        pending.push((one, before.mark(), next.mark()));
    }
    for one in &ready {
        if let Some(counters) = counters.get_mut(&one.ticket.shard) {
            staging.refreshed(one, counters);
        }
    }
    checkpoints.extend(places.iter().map(|(shard, place)| write_refresh(*shard, *place)));
    for progress in progress.chunks(shards_at_once) {
        staging.watermarks(progress, &mut counters);
    }
    for one in &statements {
        let epoch = counters.get(&one.shard).map_or(0, Counters::epoch);
        staging.statement(one, epoch);
    }
    checkpoints.extend(write_shards(owner, &stated, &mut counters));
    let Staging { mut messages, notices, entries, .. } = staging;
    messages.extend(entries.into_values());
    let messages_count = messages.len();
    let staged = Staged {
        pending,
        streams,
        counters,
        progress,
        ready,
        places,
        statements,
        messages: messages_count,
        notices,
        trace,
    };
    (staged, Batch { messages, checkpoints: newest(checkpoints) })
}

/// Each shard's header, if it is due, and its counters that have changed. `stated`: the shards that a watermark names, and
/// whether it says that they are empty.
fn write_shards(
    owner: Owner<'_>,
    stated: &BTreeMap<ShardId, bool>,
    counters: &mut BTreeMap<ShardId, Counters>,
) -> Vec<CheckpointWrite> {
    let mut checkpoints = Vec::new();
    for (shard, counters) in counters {
        let owned = &owner.shards[shard];
        // What a watermark names is fenced by its header.
        let empty = stated.get(shard).copied();
        if owned.header_due || empty.is_some() || owned.counters.streams() != counters.streams() {
            let header = owned.header(owner.settings, counters);
            checkpoints.push(write_shard(*shard, &Header { empty: empty.unwrap_or(header.empty), ..header }));
        }
        let changed = counters.take_changed();
        checkpoints.extend(changed.iter().map(|(topic, lanes)| write_lanes(*shard, topic, lanes)));
    }
    checkpoints
}

/// One write for each key.
pub(crate) fn newest(writes: impl IntoIterator<Item = CheckpointWrite>) -> Vec<CheckpointWrite> {
    let mut newest = BTreeMap::new();
    for write in writes {
        newest.insert((write.shard, write.key.clone()), write);
    }
    newest.into_values().collect()
}

pub(super) struct Staging<'a> {
    pub(super) topics: &'a Topics,
    pub(super) settings: &'a Settings,
    pub(super) now: DateTime<Utc>,
    /// Of what comes from no page.
    pub(super) trace: Trace,
    pub(super) messages: Vec<Message>,
    /// Of the refresh log, by key: the last of each.
    pub(super) entries: BTreeMap<String, Message>,
    notices: Vec<(StreamId, Notice)>,
}

/// A stream while one of its pages is staged.
struct StreamStaging<'a> {
    pending: &'a Pending,
    /// The stream's id.
    text: Arc<str>,
    /// As it will be.
    next: Stream,
    counters: &'a mut Counters,
}

impl<'a> Staging<'a> {
    fn new(topics: &'a Topics, settings: &'a Settings, now: DateTime<Utc>, trace: Trace) -> Self {
        let (messages, notices, entries) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { topics, settings, now, trace, messages, entries, notices }
    }
}

impl Staging<'_> {
    /// What is announced, then the records. Each topic's first record follows what the topic has to know of the stream.
    fn pending(&mut self, pending: &Pending, mut next: Stream, counters: &mut Counters) -> Stream {
        match pending.change.clone() {
            Change::Polled { state, gap } => next.enter(state, gap),
            Change::Crawl(crawl) => {
                // Its topics are those that it was announced in meanwhile.
                let topics = next.crawl.filter(|before| before.id == crawl.id).map(|before| before.topics.clone());
                next.crawl = Some(Arc::new(Crawl { topics: topics.unwrap_or_default(), ..crawl }));
            }
            Change::Ended => next.ended = true,
        }
        let mut stream = StreamStaging { pending, text: pending.id.to_string().into(), next, counters };
        for topic in &pending.topics {
            self.spread(pending.shard, topic, stream.counters);
            if let Some(announcement) = &pending.announcement {
                self.in_each_lane(&mut stream, topic, announcement);
            }
            self.prepare_topic(&mut stream, topic);
        }
        let mut before = None;
        let mut entries = pending.entries.iter().peekable();
        for (number, (topic, prepared)) in pending.records.iter().enumerate() {
            if before.replace(topic) != Some(topic) {
                self.prepare_topic(&mut stream, topic);
            }
            let partition = lane_of(prepared.key.as_str().as_bytes(), self.topics[topic].lanes);
            let place = self.record(&mut stream, Lane { topic: topic.clone(), partition }, prepared);
            let of_record = std::iter::from_fn(|| entries.next_if(|(of, _)| *of == number)).map(|(_, entry)| entry);
            self.log(pending.shard, of_record, &place, prepared.time);
        }
        if let Some(end) = &pending.ends_crawl {
            self.end_crawl(&mut stream, end);
        }
        stream.next
    }

    /// Puts what is to be known of the stream into every lane of a topic that doesn't have it: its open gaps, and the
    /// beginning of its crawl.
    fn prepare_topic(&mut self, stream: &mut StreamStaging<'_>, topic: &Topic) {
        self.spread(stream.pending.shard, topic, stream.counters);
        let lanes = self.topics[topic].lanes.get();
        let missing = |topics: &BTreeMap<Topic, u32>| topics.get(topic).is_none_or(|has_it| *has_it < lanes);
        let mut announced = Vec::new();
        for gap in stream.next.open_gaps.iter_mut().filter(|gap| missing(&gap.topics)) {
            let has_it = gap.topics.insert(topic.clone(), lanes).unwrap_or(0);
            announced.push((Body::SourceGap(gap.record()), has_it));
        }
        // A crawl of what was left out announces itself once it has something to publish.
        let is_crawls = matches!(stream.pending.change, Change::Crawl(_));
        let crawl = stream.next.crawl.as_mut().filter(|crawl| is_crawls || crawl.scope.is_empty());
        if let Some(crawl) = crawl.filter(|crawl| missing(&crawl.topics)) {
            let has_it = Arc::make_mut(crawl).topics.insert(topic.clone(), lanes).unwrap_or(0);
            announced.push((Body::SnapshotBegin(crawl.begin_record()), has_it));
        }
        for (body, has_it) in announced {
            let prepared = self.prepare_of(stream, &body);
            for partition in has_it..lanes {
                self.record(stream, Lane { topic: topic.clone(), partition }, &prepared);
            }
        }
    }

    /// Ends the crawl wherever its beginning is, and then the gaps that it heals wherever they are. What was left out
    /// of the state holds up no gap: it follows when it could be read.
    fn end_crawl(&mut self, stream: &mut StreamStaging<'_>, end: &pb::SnapshotEnd) {
        let Some(crawl) = stream.next.crawl.take() else { return };
        self.announce(stream, &crawl.topics, &Body::SnapshotEnd(end.clone()));
        let gaps = std::mem::take(&mut stream.next.open_gaps).into_iter();
        let (healed, open): (Vec<_>, Vec<_>) = gaps.partition(|gap| crawl.heals(&gap.id));
        stream.next.open_gaps = open;
        let is_whole = crawl.left_out.is_empty();
        let waiting = std::mem::take(&mut stream.next.partly_healed);
        let restored = if is_whole { pb::Restored::State } else { pb::Restored::PartOfState };
        for gap in waiting.iter().filter(|_| is_whole).chain(&healed) {
            let healed = pb::SourceGapHealed {
                gap_id: gap.id.clone(),
                crawl_id: crawl.id.clone(),
                restored: restored.into(),
                left_out: end.left_out.clone(),
                left_out_count: end.left_out_count,
            };
            self.announce(stream, &gap.topics, &Body::SourceGapHealed(healed));
        }
        let next = &mut stream.next;
        if !is_whole {
            next.partly_healed = waiting.into_iter().chain(healed).collect();
            let excess = next.partly_healed.len().saturating_sub(MOST_PARTLY_HEALED);
            next.partly_healed.drain(..excess);
        }
        next.left_out = crawl.left_out.clone();
        if crawl.scope.is_empty() {
            next.last_crawl_at = Some(crawl.begun_at);
            next.in_state |= crawl.feeds_state && !crawl.only_differences();
        }
    }

    /// Puts a record of the stream into every lane of these topics.
    fn announce(&mut self, stream: &mut StreamStaging<'_>, topics: &BTreeMap<Topic, u32>, body: &Body) {
        let prepared = self.prepare_of(stream, body);
        for topic in topics.keys() {
            self.in_each_lane(stream, topic, &prepared);
        }
    }

    fn in_each_lane(&mut self, stream: &mut StreamStaging<'_>, topic: &Topic, prepared: &Prepared) {
        for partition in 0..self.topics[topic].lanes.get() {
            self.record(stream, Lane { topic: topic.clone(), partition }, prepared);
        }
    }

    /// Announces in every lane of a topic that it has another number of lanes, if so.
    pub(super) fn spread(&mut self, shard: ShardId, topic: &Topic, counters: &mut Counters) {
        let count = self.topics[topic].lanes.get();
        if let Some(previous_count) = counters.spread(topic, count) {
            self.of_each_lane(shard, topic, &Body::LanesChanged(pb::LanesChanged { previous_count, count }), counters);
        }
    }

    /// One watermark in each lane of each topic, in the sequence of the first shard that isn't empty.
    fn watermarks(&mut self, progress: &[ShardProgress], counters: &mut BTreeMap<ShardId, Counters>) {
        let topics: BTreeSet<&Topic> = progress.iter().flat_map(|it| &it.topics).collect();
        for topic in topics {
            let named: Vec<_> = progress.iter().filter(|it| it.topics.contains(topic)).collect();
            let Some(carrier) = named.iter().find(|it| !it.empty).or_else(|| named.first()).map(|it| it.shard) else {
                continue;
            };
            for it in &named {
                let Some(counters) = counters.get_mut(&it.shard) else { continue };
                self.spread(it.shard, topic, counters);
                self.begin_lanes(it.shard, topic, counters);
            }
            for partition in 0..self.topics[topic].lanes.get() {
                let lane = Lane { topic: topic.clone(), partition };
                let body = self.watermark(&lane, carrier, &named, counters);
                let Some(counters) = counters.get_mut(&carrier) else { continue };
                self.of_lane(carrier, lane, &self.prepare(&Body::Watermark(body)), counters);
            }
        }
    }

    /// The last record of each shard in a lane, with the watermark itself.
    fn watermark(
        &self,
        lane: &Lane,
        carrier: ShardId,
        named: &[&ShardProgress],
        counters: &BTreeMap<ShardId, Counters>,
    ) -> pb::Watermark {
        let progress = named.iter().filter_map(|it| {
            let counters = counters.get(&it.shard)?;
            let lane_sequence = counters.last(&lane.topic, lane.partition) + u64::from(it.shard == carrier);
            Some(pb::ShardProgress {
                shard: it.shard.0,
                epoch: counters.epoch(),
                lane_sequence,
                complete_up_to: it.complete_up_to.and_then(timestamp),
                empty: it.empty,
            })
        });
        pb::Watermark {
            shards: self.settings.shards.get(),
            lanes: self.topics[&lane.topic].lanes.get(),
            progress: progress.collect(),
        }
    }

    fn of_each_lane(&mut self, shard: ShardId, topic: &Topic, body: &Body, counters: &mut Counters) {
        self.begin_lanes(shard, topic, counters);
        let prepared = self.prepare(body);
        for partition in 0..self.topics[topic].lanes.get() {
            self.of_lane(shard, Lane { topic: topic.clone(), partition }, &prepared, counters);
        }
    }

    fn begin_lanes(&mut self, shard: ShardId, topic: &Topic, counters: &mut Counters) {
        for partition in 0..self.topics[topic].lanes.get() {
            self.begin_lane(shard, &Lane { topic: topic.clone(), partition }, counters);
        }
    }

    /// Gives a record of the stream its place.
    fn record(&mut self, stream: &mut StreamStaging<'_>, lane: Lane, prepared: &Prepared) -> Place {
        let StreamStaging { pending, text, next, counters } = stream;
        self.begin_lane(pending.shard, &lane, counters);
        let epoch = counters.epoch();
        let place = Place {
            shard: pending.shard,
            epoch,
            lane_sequence: counters.next(&lane.topic, lane.partition),
            lane,
            stream: Some(InStream {
                id: pending.id.clone(),
                text: Arc::clone(text),
                sequence: next.next_sequence(epoch),
            }),
            received_at: pending.received_at,
            trace: pending.trace,
        };
        self.push(prepared, &place);
        place
    }

    /// The first record of an epoch in a lane contains the last one before it.
    pub(super) fn begin_lane(&mut self, shard: ShardId, lane: &Lane, counters: &mut Counters) {
        let Some(before) = counters.begins(&lane.topic, lane.partition) else { return };
        let start = pb::EpochStart { previous_epoch: before.epoch, previous_lane_sequence: before.last };
        self.of_lane(shard, lane.clone(), &self.prepare(&Body::EpochStart(start)), counters);
    }

    fn of_lane(&mut self, shard: ShardId, lane: Lane, prepared: &Prepared, counters: &mut Counters) {
        self.without_stream(shard, lane, prepared, (self.now, self.trace), counters);
    }

    /// Gives a record that belongs to no stream its place. `origin`: when it was received, and its trace.
    pub(super) fn without_stream(
        &mut self,
        shard: ShardId,
        lane: Lane,
        prepared: &Prepared,
        origin: (DateTime<Utc>, Trace),
        counters: &mut Counters,
    ) -> Place {
        let (received_at, trace) = origin;
        let place = Place {
            shard,
            epoch: counters.epoch(),
            lane_sequence: counters.next(&lane.topic, lane.partition),
            lane,
            stream: None,
            received_at,
            trace,
        };
        self.push(prepared, &place);
        place
    }

    fn prepare(&self, body: &Body) -> Prepared {
        Prepared::of_lane(body, self.now, self.settings.encodings.events)
    }

    fn prepare_of(&self, stream: &StreamStaging<'_>, body: &Body) -> Prepared {
        let Pending { id, received_at, .. } = stream.pending;
        Prepared::of_stream(body, id, *received_at, self.settings.encodings.events)
    }

    fn push(&mut self, prepared: &Prepared, place: &Place) {
        let message_bytes = self.topics[&place.lane.topic].message_bytes;
        let refused = prepared.messages(place, message_bytes, &self.settings.dead_letter_topic, &mut self.messages);
        if let (Some(bytes), Some(stream)) = (refused, &place.stream) {
            let notice = Notice::DeadLetter { gid: prepared.key.clone(), bytes };
            self.notices.push((stream.id.clone(), notice));
        }
    }
}
