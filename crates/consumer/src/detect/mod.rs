//! The detector. From the records alone it finds missing, duplicate and reordered records, open and healed source
//! gaps, and the time up to which everything is complete.
//!
//! A detector follows one of two counters. *Lane sequences* are for consumers of whole lanes: there a
//! record is in order, or something is wrong, and watermarks show up to which time a lane is complete.
//! *Stream sequences* are for consumers of single streams in a filtered subject. Watermarks
//! don't belong to a stream, so the loss of its last records is noticed only with its next record.
//!
//! # How it works
//! A *track* is a shard in a lane of a topic, or a stream. It keeps the last sequence known of each of its epochs, and the
//! holes before those. A sequence beyond the last one opens a hole (missing), one in a hole
//! fills it (reordered), any other one was seen (duplicate). An `EpochStart` opens a hole at the end of the epoch
//! that it names. If it names no epoch although one was seen, the end of that one isn't known. A watermark names the last
//! record of each shard that it is about: if that one wasn't seen, a hole opens at the shard's end. The time that it states counts when
//! nothing up to that record is missing.
//!
//! # Memory
//! [`Limits`] bounds it.
//!
//! - Beyond `holes`, the track with the most holes forgets the lower half of them. They stay
//!   counted as missing, and a late record of them is `Older`.
//! - Beyond `tracks`, a sixteenth of the tracks, those that were quiet the longest, is forgotten and counted in
//!   [`Detector::forgotten`]. Their counts stay in [`Detector::total`]. From then on an unknown track is treated like one that the
//!   reader joins in the middle, because it may be a forgotten one.
//! - Beyond `gaps` in a lane, more source gaps are reported and not kept.
//! - A track remembers four epochs.

mod gaps;
pub mod holes;
pub mod sighting;
mod state;
mod track;

use crate::detect::gaps::Gaps;
use crate::detect::sighting::{Progress, ShardProgress, Sighting, Signal};
use crate::detect::track::{BEGINNING, Seen, Track};
use chrono::{DateTime, SecondsFormat, Utc};
use hashbrown::HashMap;
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use std::collections::{BTreeMap, BTreeSet};

pub use crate::detect::gaps::GapKey;
pub use crate::detect::state::StateError;
pub use crate::detect::track::{Continuity, Tally};

/// Follows the positions of records.
#[derive(Clone, Debug)]
pub struct Detector {
    view: View,
    /// The default start of lanes and streams.
    start: Start,
    limits: Limits,
    topics: HashMap<String, TopicTracks>,
    streams: HashMap<String, Track>,
    /// Open source gaps by stream. Those by lane are kept with the lane.
    gaps: Gaps,
    /// The number of records observed: the detector's clock.
    clock: u64,
    size: Size,
    forgotten: u64,
    /// The counts of forgotten tracks, also of those whose losses were accepted.
    gone: Tally,
    unnumbered: u64,
}

/// Which counter a detector follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum View {
    /// Lane sequences: the reader reads whole lanes.
    ByLane,
    /// Stream sequences: the reader reads all lanes of single streams.
    ByStream,
}

/// Where a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// At the first record that ever existed: the first sequence is 1.
    Beginning,
    /// Anywhere: nothing counts as missing before the first record that the reader sees.
    Middle,
}

/// The maximum numbers of things that a detector keeps in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Holes, over all tracks, about 30 bytes each. Default: 1,048,576.
    pub holes: usize,
    /// Tracks (shards in lanes of topics, or streams), about 300 bytes each. Default: 65,536.
    pub tracks: usize,
    /// Open source gaps in a lane (by stream: over all streams), about 100 bytes each. Default: 4,096.
    pub gaps: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { holes: 1 << 20, tracks: 1 << 16, gaps: 1 << 12 }
    }
}

/// The detector's verdict about one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The continuity with the records before it.
    pub continuity: Continuity,
    /// News of the record. A duplicate or older record has no news.
    pub news: Option<News>,
}

/// News that a record contains, beside its own place.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum News {
    /// A new epoch: the counters start at 1 again.
    EpochChanged {
        /// The epoch before. 0 if there was none.
        previous_epoch: u64,
        /// The number of records at that epoch's end that were not seen, and not yet known to be missing. `None` if this can't
        /// be known: by stream, if the `EpochStart` is missing (it may come late), and if the bridge lost its
        /// checkpoint. The last case holds back completeness until you accept it: [`Detector::unknown_ends`].
        #[serde(skip_serializing_if = "Option::is_none")]
        missing: Option<u64>,
    },
    /// From now on the shard writes to more lanes of the topic.
    LanesChanged {
        /// The number of lanes before.
        previous_count: u32,
        /// The number of lanes now.
        count: u32,
    },
    /// Asana may have lost events of the stream.
    SourceGapOpened {
        /// The id of the gap, as in its records.
        gap_id: String,
    },
    /// A source gap is healed, as far as possible.
    SourceGapHealed {
        /// The id of the gap, as in its records.
        gap_id: String,
    },
    /// A watermark names records of other shards that weren't seen: the last ones of their shards in this lane. They may
    /// still come.
    TailMissing {
        /// The number of records.
        missing: u64,
    },
    /// Everything that Asana returned up to a time was seen in this lane, of all shards: the lane is complete up to a later
    /// time than before.
    CompleteUpTo {
        /// The time up to which everything was seen.
        #[serde(serialize_with = "text")]
        time: DateTime<Utc>,
    },
}

/// A shard in a lane of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct LaneKey {
    /// The name of the topic.
    pub topic: String,
    /// The number of the lane.
    pub lane: u32,
    /// The number of the shard.
    pub shard: u32,
}

/// A lane that lacks watermarks of a shard that the shard's other lanes have. Either the
/// lane isn't read as far as the others, or its last records are lost.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Behind {
    /// The shard and the lane.
    pub key: LaneKey,
    /// The time of its latest watermark, if there is one.
    #[serde(serialize_with = "text_or_null")]
    pub watermark: Option<DateTime<Utc>>,
    /// The time of the shard's latest watermark in any lane.
    #[serde(serialize_with = "text")]
    pub others: DateTime<Utc>,
}

#[derive(Clone, Debug, Default)]
struct TopicTracks {
    lanes: BTreeMap<u32, LaneTracks>,
    /// The latest epoch with a watermark, and the number of shards in that watermark. After a migration some shards may
    /// end, and all epochs are greater than any before.
    shards: (u64, u32),
    /// The number of lanes that each shard writes to.
    spread: BTreeMap<u32, Spread>,
}

/// The number of lanes that a shard writes to. Each shard notices added lanes by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Spread {
    /// Lanes from this one on began while the reader was present. 0 if it saw no lane begin.
    began: u32,
    /// The number of lanes in the shard's watermarks. 0 before the first one.
    lanes: u32,
}

/// What [`Limits`] bounds, over all lanes and streams.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    tracks: usize,
    holes: usize,
}

#[derive(Clone, Debug, Default)]
struct LaneTracks {
    start: Option<Start>,
    shards: BTreeMap<u32, Track>,
    gaps: Gaps,
}

impl Detector {
    /// A detector that follows lanes or streams, which are read from `start`.
    #[must_use]
    pub fn new(view: View, start: Start, limits: Limits) -> Self {
        Self {
            view,
            start,
            limits,
            topics: HashMap::new(),
            streams: HashMap::new(),
            gaps: Gaps::default(),
            clock: 0,
            size: Size::default(),
            forgotten: 0,
            gone: Tally::default(),
            unnumbered: 0,
        }
    }

    /// A detector for consumers of whole lanes.
    #[must_use]
    pub fn by_lane(start: Start) -> Self {
        Self::new(View::ByLane, start, Limits::default())
    }

    /// A detector for consumers of single streams.
    #[must_use]
    pub fn by_stream(start: Start) -> Self {
        Self::new(View::ByStream, start, Limits::default())
    }

    /// Observes the next record of a lane of the topic, and returns the verdict. It allocates only for new tracks, holes and source gaps.
    pub fn observe<'a>(&mut self, topic: &str, record: impl Into<Sighting<'a>>) -> Verdict {
        let record = record.into();
        let by_lane = self.view == View::ByLane;
        let sequence = if by_lane { record.lane_sequence } else { record.stream_sequence };
        if !by_lane && record.epoch > 0 && record.stream.is_empty() {
            return Verdict { continuity: Continuity::NotFollowed, news: None };
        }
        if record.epoch == 0 || !(1..u64::MAX).contains(&sequence) {
            self.unnumbered += 1;
            return Verdict { continuity: Continuity::Unnumbered, news: None };
        }
        self.clock += 1;
        let verdict = if by_lane { self.observe_lane(topic, &record) } else { self.observe_stream(&record) };
        self.keep_limits();
        verdict
    }

    fn observe_lane(&mut self, topic: &str, record: &Sighting<'_>) -> Verdict {
        let has_forgotten = self.has_forgotten();
        let topic = self.topics.entry_ref(topic).or_default();
        topic.note(record);
        // A reader that has seen the number of a shard's lanes grow has seen the new lanes begin.
        let began = topic.spread.get(&record.shard).map_or(0, |spread| spread.began);
        let born = began > 0 && record.lane >= began;
        let lane = topic.lanes.entry(record.lane).or_default();
        let whole = !has_forgotten && (born || lane.start.unwrap_or(self.start) == Start::Beginning);
        let at = (record.epoch, record.lane_sequence);
        let track = lane.shards.entry(record.shard).or_insert_with(|| {
            self.size.tracks += 1;
            Track::new(if whole { BEGINNING } else { at })
        });
        let holes = track.holes.len();
        track.seen_at = self.clock;
        let seen = track.observe(at);
        let is_new = is_new(seen);
        let mut before = seen.epoch_after.map(|epoch| (epoch, None));
        if let Signal::EpochStart { previous_epoch, previous_lane_sequence } = record.signal
            && is_new
        {
            before = Some(track.begin(record.epoch, (previous_epoch, previous_lane_sequence)));
        }
        self.size.holes = (self.size.holes + track.holes.len()) - holes;
        if !is_new {
            return Verdict { continuity: seen.continuity, news: None };
        }
        lane.gaps.note(record, !track.holes.is_empty(), self.limits.gaps);
        let late = seen.continuity == Continuity::Reordered;
        let told = if late || matches!(record.signal, Signal::Watermark { .. }) {
            let told = topic.apply(record, Reading { late, whole, clock: self.clock }, &mut self.size);
            told.filter(|news| self.forgotten == 0 || !matches!(news, News::CompleteUpTo { .. }))
        } else {
            None
        };
        Verdict { continuity: seen.continuity, news: news(record, before).or(told) }
    }

    fn observe_stream(&mut self, record: &Sighting<'_>) -> Verdict {
        let at = (record.epoch, record.stream_sequence);
        let whole = self.start == Start::Beginning && !self.has_forgotten();
        let track = self.streams.entry_ref(record.stream).or_insert_with(|| {
            self.size.tracks += 1;
            Track::new(if whole { BEGINNING } else { at })
        });
        let holes = track.holes.len();
        track.seen_at = self.clock;
        let seen = track.observe(at);
        let news = if is_new(seen) {
            self.gaps.note(record, !track.holes.is_empty(), self.limits.gaps);
            news(record, seen.epoch_after.map(|epoch| (epoch, None)))
        } else {
            None
        };
        self.size.holes = (self.size.holes + track.holes.len()) - holes;
        Verdict { continuity: seen.continuity, news }
    }

    /// Sets where one lane is read from, if it differs from the detector's other lanes. Only for a lane without records
    /// so far.
    pub fn begin_lane(&mut self, topic: &str, lane: u32, start: Start) {
        self.topics.entry_ref(topic).or_default().lanes.entry(lane).or_default().start = Some(start);
    }

    /// Forgets a lane that is no longer read, or that another reader reads.
    pub fn forget_lane(&mut self, topic: &str, lane: u32) {
        if let Some(gone) = self.topics.get_mut(topic).and_then(|topic| topic.lanes.remove(&lane)) {
            self.size.tracks -= gone.shards.len();
            self.size.holes -= gone.shards.values().map(|track| track.holes.len()).sum::<usize>();
        }
    }

    /// Accepts the current losses. Call it when you know what is missing, and have handled it. The losses stay counted, and no longer hold
    /// back completeness. It also accepts unknown ends of epochs, and closes the source gaps that are open now. Some gaps
    /// would never heal, such as those of a stream that the bridge no longer knows.
    pub fn accept_losses(&mut self) {
        for track in self.tracks_mut() {
            track.accept();
        }
        for topic in self.topics.values_mut() {
            for lane in topic.lanes.values_mut() {
                lane.gaps.accept();
            }
        }
        self.gaps.accept();
        self.size.holes = 0;
        self.forgotten = 0;
    }

    fn tracks_mut(&mut self) -> impl Iterator<Item = &mut Track> {
        let lanes = self.topics.values_mut().flat_map(|topic| topic.lanes.values_mut());
        lanes.flat_map(|lane| lane.shards.values_mut()).chain(self.streams.values_mut())
    }

    fn keep_limits(&mut self) {
        while self.size.holes > self.limits.holes {
            let Some(track) = self.tracks_mut().max_by_key(|track| track.holes.len()) else { break };
            let given_up = track.holes.len().div_ceil(2);
            track.give_up(given_up);
            self.size.holes -= given_up;
        }
        if self.size.tracks > self.limits.tracks {
            self.forget_quiet();
        }
    }

    /// Forgets the tracks that were quiet the longest.
    fn forget_quiet(&mut self) {
        let mut times: Vec<_> = self.tracks_mut().map(|track| track.seen_at).collect();
        let count = (self.limits.tracks / 16).max(self.size.tracks - self.limits.tracks);
        let (_, last, _) = times.select_nth_unstable(count - 1);
        let last = *last;
        let tallies = self.tracks_mut().filter(|track| track.seen_at <= last).map(|track| track.tally());
        let gone = tallies.fold(Tally::default(), Tally::plus);
        self.gone = self.gone.plus(gone);
        for topic in self.topics.values_mut() {
            for lane in topic.lanes.values_mut() {
                lane.shards.retain(|_, track| track.seen_at > last);
            }
            topic.lanes.retain(|_, lane| lane.start.is_some() || !lane.shards.is_empty());
        }
        self.streams.retain(|_, track| track.seen_at > last);
        let (tracks, holes) = self.tracks_mut().fold((0, 0), |(count, holes), it| (count + 1, holes + it.holes.len()));
        self.forgotten += (self.size.tracks - tracks) as u64;
        (self.size.tracks, self.size.holes) = (tracks, holes);
    }
}

/// Completeness, losses and source gaps, as far as they are known.
impl Detector {
    /// Which counter this detector follows.
    #[must_use]
    pub fn view(&self) -> View {
        self.view
    }

    /// Each shard in each lane, with its counts, in order.
    #[must_use]
    pub fn lanes(&self) -> Vec<(LaneKey, Tally)> {
        let tracks = self.topics.iter().flat_map(|(topic, tracks)| tracks.keyed(topic));
        let mut lanes: Vec<_> = tracks.map(|(key, track)| (key, track.tally())).collect();
        lanes.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        lanes
    }

    /// Each stream's counts, in order.
    #[must_use]
    pub fn streams(&self) -> Vec<(&str, Tally)> {
        let mut streams: Vec<_> = self.streams.iter().map(|(stream, track)| (stream.as_str(), track.tally())).collect();
        streams.sort_unstable_by_key(|(stream, _)| *stream);
        streams
    }

    /// The sum of all counts.
    #[must_use]
    pub fn total(&self) -> Tally {
        let lanes = self.topics.values().flat_map(|topic| topic.lanes.values()).flat_map(|lane| lane.shards.values());
        lanes.chain(self.streams.values()).map(Track::tally).fold(self.gone, Tally::plus)
    }

    /// The shards in lanes with an epoch whose end isn't known, because the bridge lost its counters. Nobody can tell whether the last
    /// records of this epoch are missing. Sorted. Empty after [`Detector::accept_losses`].
    #[must_use]
    pub fn unknown_ends(&self) -> BTreeSet<LaneKey> {
        let tracks = self.topics.iter().flat_map(|(topic, tracks)| tracks.keyed(topic));
        tracks.filter(|(_, track)| track.is_cut).map(|(key, _)| key).collect()
    }

    /// Whether the detector may have forgotten tracks.
    fn has_forgotten(&self) -> bool {
        self.gone.read > 0
    }

    /// The source gaps that are open in any lane, sorted, each once.
    #[must_use]
    pub fn open_gaps(&self) -> BTreeSet<&GapKey> {
        let lanes = self.topics.values().flat_map(|topic| topic.lanes.values());
        lanes.flat_map(|lane| lane.gaps.open()).chain(self.gaps.open()).collect()
    }

    /// The number of records without a usable position.
    #[must_use]
    pub fn unnumbered(&self) -> u64 {
        self.unnumbered
    }

    /// The number of tracks that were forgotten because of [`Limits::tracks`], since losses were last accepted. While it isn't 0,
    /// nothing is complete.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// The time up to which everything that Asana returned is here, in all lanes of the topic. It is the minimum over all
    /// shards and lanes, and at most the beginning of an open source gap. `None` if no such time is
    /// known: a shard has no watermark in one of its lanes, or something is missing before the first watermark.
    #[must_use]
    pub fn complete_up_to(&self, topic: &str) -> Option<DateTime<Utc>> {
        self.least_complete(topic, |_| true)
    }

    /// The same for one lane. For consumers of some lanes of a topic, which take the minimum of their lanes.
    #[must_use]
    pub fn lane_complete_up_to(&self, topic: &str, lane: u32) -> Option<DateTime<Utc>> {
        self.least_complete(topic, |it| it == lane)
    }

    fn least_complete(&self, topic: &str, wanted: impl Fn(u32) -> bool) -> Option<DateTime<Utc>> {
        self.topics.get(topic).filter(|_| self.forgotten == 0)?.complete(wanted)
    }

    /// The lanes whose last records may be missing: see [`Behind`]. Each watermark of a shard is in all lanes, in one commit. So if
    /// you have read all lanes up to the same time, and a lane stays here for longer than a few rounds of watermarks (one minute each,
    /// unless the bridge is configured differently), the lane's last records are lost.
    #[must_use]
    pub fn behind(&self) -> Vec<Behind> {
        let mut found = Vec::new();
        for (name, tracks) in self.topics.iter().collect::<BTreeMap<_, _>>() {
            for (shard, spread) in &tracks.spread {
                let shard = *shard;
                let latest = |lane: u32| tracks.lanes.get(&lane)?.shards.get(&shard)?.latest();
                let lanes = 0..spread.lanes.min(u32::try_from(self.limits.tracks).unwrap_or(u32::MAX));
                let Some(others) = lanes.clone().filter_map(latest).max() else { continue };
                for lane in lanes.filter(|lane| latest(*lane) < Some(others)) {
                    let key = LaneKey { topic: name.clone(), lane, shard };
                    found.push(Behind { key, watermark: latest(lane), others });
                }
            }
        }
        found
    }
}

/// How a record was read.
#[derive(Clone, Copy, Debug)]
struct Reading {
    /// It was missing before.
    late: bool,
    /// Its lane is read from the beginning.
    whole: bool,
    /// The detector's clock.
    clock: u64,
}

impl LaneTracks {
    /// Applies a watermark. Returns the number of records that turn out to be missing.
    fn apply(&mut self, progress: Progress<'_>, reading: Reading, size: &mut Size) -> u64 {
        let mut missing = 0;
        let is_valid = |it: &ShardProgress| it.epoch > 0 && (1..u64::MAX).contains(&it.lane_sequence);
        for progress in progress.iter().filter(is_valid) {
            let floor = if reading.whole { BEGINNING } else { (progress.epoch, progress.lane_sequence + 1) };
            let track = self.shards.entry(progress.shard).or_insert_with(|| {
                size.tracks += 1;
                Track::new(floor)
            });
            let holes = track.holes.len();
            track.seen_at = reading.clock;
            missing += track.note(&progress, reading.late);
            size.holes = (size.holes + track.holes.len()) - holes;
        }
        missing
    }
}

impl TopicTracks {
    /// Applies a watermark, and what waited for a late record.
    fn apply(&mut self, record: &Sighting<'_>, reading: Reading, size: &mut Size) -> Option<News> {
        let known = self.complete(|lane| lane == record.lane);
        let lane = self.lanes.get_mut(&record.lane)?;
        let mut missing = 0;
        if let Signal::Watermark { progress, .. } = record.signal {
            missing = lane.apply(progress, reading, size);
        }
        lane.shards.get_mut(&record.shard)?.advance();
        if missing > 0 {
            return Some(News::TailMissing { missing });
        }
        let complete = self.complete(|lane| lane == record.lane).filter(|time| Some(*time) > known);
        complete.map(|time| News::CompleteUpTo { time })
    }

    /// Up to when these lanes are complete.
    fn complete(&self, wanted: impl Fn(u32) -> bool) -> Option<DateTime<Utc>> {
        let (_, shards) = self.shards;
        let mut least = None;
        for shard in 0..shards {
            let lanes = self.spread.get(&shard).map(|spread| spread.lanes).filter(|lanes| *lanes > 0)?;
            for lane in (0..lanes).filter(|lane| wanted(*lane)) {
                let track = self.lanes.get(&lane)?.shards.get(&shard)?;
                if !track.is_empty() {
                    let complete = track.complete_up_to?;
                    least = Some(least.map_or(complete, |least| complete.min(least)));
                }
            }
        }
        for (_, lane) in self.lanes.iter().filter(|(lane, _)| wanted(**lane)) {
            // A shard that has ended holds nothing back, unless some of its records were lost.
            for (_, track) in lane.shards.range(shards..).filter(|(_, track)| track.lacks()) {
                least = least.min(track.complete_up_to);
            }
            least = lane.gaps.cap(least?);
        }
        least
    }

    fn keyed(&self, topic: &str) -> impl Iterator<Item = (LaneKey, &Track)> {
        self.lanes.iter().flat_map(move |(lane, tracks)| {
            let key = |shard: u32| LaneKey { topic: topic.to_owned(), lane: *lane, shard };
            tracks.shards.iter().map(move |(shard, track)| (key(*shard), track))
        })
    }

    fn note(&mut self, record: &Sighting<'_>) {
        match record.signal {
            Signal::Watermark { shards, lanes, progress } => {
                if record.epoch >= self.shards.0 {
                    self.shards = (record.epoch, shards);
                }
                for progress in progress.iter() {
                    let spread = self.spread.entry(progress.shard).or_default();
                    spread.lanes = spread.lanes.max(lanes);
                }
            }
            Signal::LanesChanged { previous_count, .. } => {
                let spread = self.spread.entry(record.shard).or_default();
                spread.began = if spread.began == 0 { previous_count } else { spread.began.min(previous_count) };
            }
            Signal::EpochStart { .. }
            | Signal::SourceGap { .. }
            | Signal::SourceGapHealed { .. }
            | Signal::StreamEnded
            | Signal::None => {}
        }
    }
}

impl Serialize for Verdict {
    /// `{"continuity":"missing","missing":2,"news":{"kind":"complete_up_to","time":"…"}}`, the last two only if they exist.
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("continuity", self.continuity.label())?;
        if let Continuity::Missing(count) = self.continuity {
            map.serialize_entry("missing", &count)?;
        }
        if let Some(news) = &self.news {
            map.serialize_entry("news", news)?;
        }
        map.end()
    }
}

/// Whether the record is seen for the first time, so that it may contain news.
fn is_new(seen: Seen) -> bool {
    match seen.continuity {
        Continuity::InOrder | Continuity::Missing(_) | Continuity::Reordered => true,
        Continuity::Duplicate | Continuity::Older | Continuity::Unnumbered | Continuity::NotFollowed => false,
    }
}

/// The news in the record itself. `before`: the epoch before its own, if this is the first record of its epoch here,
/// and the number of missing records of that epoch.
fn news(record: &Sighting<'_>, before: Option<(u64, Option<u64>)>) -> Option<News> {
    match record.signal {
        Signal::LanesChanged { previous_count, count } => return Some(News::LanesChanged { previous_count, count }),
        Signal::SourceGap { gap_id, .. } => return Some(News::SourceGapOpened { gap_id: gap_id.to_owned() }),
        Signal::SourceGapHealed { gap_id } => return Some(News::SourceGapHealed { gap_id: gap_id.to_owned() }),
        Signal::EpochStart { .. } | Signal::Watermark { .. } | Signal::StreamEnded | Signal::None => {}
    }
    before.map(|(previous_epoch, missing)| News::EpochChanged { previous_epoch, missing })
}

fn text<S: Serializer>(time: &DateTime<Utc>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

#[expect(clippy::ref_option, reason = "serde's own form")]
fn text_or_null<S: Serializer>(time: &Option<DateTime<Utc>>, to: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => text(time, to),
        None => to.serialize_none(),
    }
}
