//! What a consumer knows from the records alone: missing, duplicate, reordered; source
//! gaps open and healed; complete up to a time.
//!
//! A detector follows one of two counters. *Lane sequences* are for who reads whole lanes: there a
//! record is in order, or something is wrong, and watermarks say up to when a lane is complete.
//! *Stream sequences* are for who reads single streams out of a filtered subject; watermarks
//! are no part of a stream, so that the loss of its last records shows with its next record only.
//!
//! # How it works
//! A *track* is a shard in a lane of a topic, or a stream. It keeps the last sequence known of each of its epochs, and the
//! holes before those. A sequence beyond the last one opens a hole (missing), one in a hole
//! fills it (reordered), any other one was seen (duplicate). An `EpochStart` opens a hole at the end of the epoch
//! that it names; where it names none and one was seen, that one's end isn't known. A watermark holds once nothing before it is missing.
//!
//! # What bounds its memory
//! [`Limits`]. Past `holes`, the track with the most gives up the lower half of its own: they stay
//! counted as missing, and a late record of them is `Older`. Past `tracks`, the sixteenth that was quiet the longest is
//! forgotten and counted in [`Detector::forgotten`]; what they counted stays in [`Detector::total`]. From then on any track that
//! isn't known is taken as by a reader that joins, since it may be one of them.
//! Past `gaps` in a lane, further source gaps are told and not kept.
//! A track remembers four epochs.

mod gaps;
pub mod holes;
pub mod sighting;
mod state;
mod track;

use crate::detect::gaps::Gaps;
use crate::detect::sighting::{Sighting, Signal};
use crate::detect::track::{BEGINNING, Seen, Track, Watermark};
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
    /// Of lanes and streams that nothing else is said of.
    start: Start,
    limits: Limits,
    topics: HashMap<String, TopicTracks>,
    streams: HashMap<String, Track>,
    /// By stream; those of lanes are with the lane.
    gaps: Gaps,
    /// Records taken: the detector's clock.
    clock: u64,
    /// Of all tracks.
    holes: usize,
    tracks: usize,
    forgotten: u64,
    /// What the forgotten ones had counted, also those that the reader has accepted.
    gone: Tally,
    unnumbered: u64,
}

/// Which counter is followed.
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
    /// With the first record that there ever was: the first sequence is 1.
    Beginning,
    /// Somewhere: nothing is missing before the first record that it sees.
    Middle,
}

/// What a detector may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Holes of all tracks together, some 30 bytes each. Default: 1,048,576.
    pub holes: usize,
    /// Shards in lanes of topics, or streams, some 300 bytes each. Default: 65,536.
    pub tracks: usize,
    /// Open source gaps in a lane (by stream: in all), some 100 bytes each. Default: 4,096.
    pub gaps: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { holes: 1 << 20, tracks: 1 << 16, gaps: 1 << 12 }
    }
}

/// What one record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Of those before it.
    pub continuity: Continuity,
    /// Beside that; of a duplicate or older record: nothing.
    pub news: Option<News>,
}

/// What a record tells beside its own place.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum News {
    /// The counters begin anew.
    EpochChanged {
        /// The epoch before; 0 where there was none.
        previous_epoch: u64,
        /// How many records at that epoch's end were not seen, and not known to be missing till now. `None` where that can't
        /// be known: by stream, where the `EpochStart` is missing (it may come late), and where the bridge lost its
        /// checkpoint. That last holds back completeness until the reader accepts it: [`Detector::unknown_ends`].
        #[serde(skip_serializing_if = "Option::is_none")]
        missing: Option<u64>,
    },
    /// The shard writes to more lanes of the topic from now on.
    LanesChanged {
        /// How many it wrote to.
        previous_count: u32,
        /// How many it writes to.
        count: u32,
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
    /// Whatever Asana returned of this shard's streams up to a time was seen in this lane.
    CompleteUpTo {
        /// The time.
        #[serde(serialize_with = "text")]
        time: DateTime<Utc>,
    },
}

/// A shard in a lane of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct LaneKey {
    /// The topic.
    pub topic: String,
    /// The lane.
    pub lane: u32,
    /// The shard.
    pub shard: u32,
}

/// A shard in a lane lacks watermarks that the shard's other lanes have: either the
/// lane isn't read as far as they are, or its last records are lost.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Behind {
    /// Which.
    pub key: LaneKey,
    /// The time of its latest watermark, if there is one.
    #[serde(serialize_with = "text_or_null")]
    pub watermark: Option<DateTime<Utc>>,
    /// That of the lane that is ahead of all others.
    #[serde(serialize_with = "text")]
    pub others: DateTime<Utc>,
}

#[derive(Clone, Debug, Default)]
struct TopicTracks {
    lanes: BTreeMap<u32, LaneTracks>,
    /// The latest epoch of a watermark, and how many shards there are by that.
    /// Shards end with a migration, after which all epochs are greater than any before.
    shards: (u64, u32),
    /// By shard.
    spread: BTreeMap<u32, Spread>,
}

/// To how many lanes a shard writes. Each shard learns by itself that there are more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Spread {
    /// The lanes from this one on began while the reader was there; 0 where it didn't see lanes begin.
    began: u32,
    /// By its watermarks; 0 before the first.
    lanes: u32,
}

#[derive(Clone, Debug, Default)]
struct LaneTracks {
    start: Option<Start>,
    shards: BTreeMap<u32, Track>,
    gaps: Gaps,
}

impl Detector {
    /// Follows lanes or streams, which are read from `start`.
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
            holes: 0,
            tracks: 0,
            forgotten: 0,
            gone: Tally::default(),
            unnumbered: 0,
        }
    }

    /// Follows whole lanes.
    #[must_use]
    pub fn by_lane(start: Start) -> Self {
        Self::new(View::ByLane, start, Limits::default())
    }

    /// Follows single streams.
    #[must_use]
    pub fn by_stream(start: Start) -> Self {
        Self::new(View::ByStream, start, Limits::default())
    }

    /// Takes the next record of a lane of the topic. Allocates for new tracks, holes and source gaps only.
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
        // Who has seen a shard's lanes grow has seen the new ones begin.
        let began = topic.spread.get(&record.shard).map_or(0, |spread| spread.began);
        let born = began > 0 && record.lane >= began;
        let lane = topic.lanes.entry(record.lane).or_default();
        let whole = !has_forgotten && (born || lane.start.unwrap_or(self.start) == Start::Beginning);
        let at = (record.epoch, record.lane_sequence);
        let track = lane.shards.entry(record.shard).or_insert_with(|| {
            self.tracks += 1;
            Track::new(if whole { BEGINNING } else { at })
        });
        let holes = track.holes.len();
        track.seen_at = self.clock;
        let seen = track.observe(at);
        let news = if is_new(seen) {
            let mut before = seen.epoch_after.map(|epoch| (epoch, None));
            if let Signal::EpochStart { previous_epoch, previous_lane_sequence } = record.signal {
                before = Some(track.begin(record.epoch, (previous_epoch, previous_lane_sequence)));
            }
            let mut watermark = None;
            if let Signal::Watermark { complete_up_to: Some(time), .. } = record.signal {
                watermark = Some(Watermark { at, time });
            }
            let complete = track.advance(watermark).map(|time| News::CompleteUpTo { time });
            lane.gaps.note(record, !track.holes.is_empty(), self.limits.gaps);
            news(record, before).or(complete)
        } else {
            None
        };
        self.holes = (self.holes + track.holes.len()) - holes;
        Verdict { continuity: seen.continuity, news }
    }

    fn observe_stream(&mut self, record: &Sighting<'_>) -> Verdict {
        let at = (record.epoch, record.stream_sequence);
        let whole = self.start == Start::Beginning && !self.has_forgotten();
        let track = self.streams.entry_ref(record.stream).or_insert_with(|| {
            self.tracks += 1;
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
        self.holes = (self.holes + track.holes.len()) - holes;
        Verdict { continuity: seen.continuity, news }
    }

    /// Says where one lane is read from, if not from where the detector's others are. For a lane that nothing was
    /// seen of yet.
    pub fn begin_lane(&mut self, topic: &str, lane: u32, start: Start) {
        self.topics.entry_ref(topic).or_default().lanes.entry(lane).or_default().start = Some(start);
    }

    /// Forgets a lane that is read no longer, or by somebody else.
    pub fn forget_lane(&mut self, topic: &str, lane: u32) {
        if let Some(gone) = self.topics.get_mut(topic).and_then(|topic| topic.lanes.remove(&lane)) {
            self.tracks -= gone.shards.len();
            self.holes -= gone.shards.values().map(|track| track.holes.len()).sum::<usize>();
        }
    }

    /// The reader knows what is missing, and has dealt with it: it no longer holds back completeness, and stays counted. So it is
    /// with the ends of epochs that aren't known, and with source gaps, which are no longer open in the lanes that
    /// have told of them: for those that nobody heals, as of a stream that the bridge no longer knows.
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
        self.holes = 0;
        self.forgotten = 0;
    }

    fn tracks_mut(&mut self) -> impl Iterator<Item = &mut Track> {
        let lanes = self.topics.values_mut().flat_map(|topic| topic.lanes.values_mut());
        lanes.flat_map(|lane| lane.shards.values_mut()).chain(self.streams.values_mut())
    }

    fn keep_limits(&mut self) {
        while self.holes > self.limits.holes {
            let Some(track) = self.tracks_mut().max_by_key(|track| track.holes.len()) else { break };
            let given_up = track.holes.len().div_ceil(2);
            track.give_up(given_up);
            self.holes -= given_up;
        }
        if self.tracks > self.limits.tracks {
            self.forget_quiet();
        }
    }

    /// Forgets those that were quiet the longest.
    fn forget_quiet(&mut self) {
        let mut times: Vec<_> = self.tracks_mut().map(|track| track.seen_at).collect();
        let count = (self.limits.tracks / 16).max(self.tracks - self.limits.tracks);
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
        self.forgotten += (self.tracks - tracks) as u64;
        (self.tracks, self.holes) = (tracks, holes);
    }
}

/// What is known of completeness, losses and source gaps.
impl Detector {
    /// Which counter is followed.
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

    /// All counts together.
    #[must_use]
    pub fn total(&self) -> Tally {
        let lanes = self.topics.values().flat_map(|topic| topic.lanes.values()).flat_map(|lane| lane.shards.values());
        lanes.chain(self.streams.values()).map(Track::tally).fold(self.gone, Tally::plus)
    }

    /// The shards in lanes of which an epoch's end isn't known, because the bridge lost its counters: whether its last
    /// records are missing can't be said. In order; empty once the reader has accepted its losses.
    #[must_use]
    pub fn unknown_ends(&self) -> BTreeSet<LaneKey> {
        let tracks = self.topics.iter().flat_map(|(topic, tracks)| tracks.keyed(topic));
        tracks.filter(|(_, track)| track.is_cut).map(|(key, _)| key).collect()
    }

    /// Whether there may be tracks that aren't known any more.
    fn has_forgotten(&self) -> bool {
        self.gone.read > 0
    }

    /// The source gaps that are open in any lane, in order, each once.
    #[must_use]
    pub fn open_gaps(&self) -> BTreeSet<&GapKey> {
        let lanes = self.topics.values().flat_map(|topic| topic.lanes.values());
        lanes.flat_map(|lane| lane.gaps.open()).chain(self.gaps.open()).collect()
    }

    /// How many records had no position that could be followed.
    #[must_use]
    pub fn unnumbered(&self) -> u64 {
        self.unnumbered
    }

    /// How many tracks were forgotten for [`Limits::tracks`] since the reader accepted its losses last. While it isn't 0,
    /// nothing is complete.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// The time up to which everything is here that Asana had to tell, in all lanes of the topic: the least over all
    /// shards and lanes that there are, and no later than the beginning of an open source gap. `None` where that isn't
    /// known of any time: a shard has no watermark in one of its lanes, or something is missing before the first one.
    #[must_use]
    pub fn complete_up_to(&self, topic: &str) -> Option<DateTime<Utc>> {
        self.least_complete(topic, |_| true)
    }

    /// The same of one lane: for who reads some lanes of a topic, and takes the least of them.
    #[must_use]
    pub fn lane_complete_up_to(&self, topic: &str, lane: u32) -> Option<DateTime<Utc>> {
        self.least_complete(topic, |it| it == lane)
    }

    fn least_complete(&self, topic: &str, wanted: impl Fn(u32) -> bool) -> Option<DateTime<Utc>> {
        let tracks = self.topics.get(topic).filter(|_| self.forgotten == 0)?;
        let (_, shards) = tracks.shards;
        let mut least = None;
        for shard in 0..shards {
            let lanes = tracks.spread.get(&shard).map(|spread| spread.lanes).filter(|lanes| *lanes > 0)?;
            for lane in (0..lanes).filter(|lane| wanted(*lane)) {
                let complete = tracks.lanes.get(&lane)?.shards.get(&shard)?.complete_up_to?;
                least = Some(least.map_or(complete, |least| complete.min(least)));
            }
        }
        for (_, lane) in tracks.lanes.iter().filter(|(lane, _)| wanted(**lane)) {
            // A shard that has ended holds nothing back, unless some of it was lost.
            for (_, track) in lane.shards.range(shards..).filter(|(_, track)| track.lacks()) {
                least = least.min(track.complete_up_to);
            }
            least = lane.gaps.cap(least?);
        }
        least
    }

    /// Where the tail of a lane may be missing: see [`Behind`]. Each of a shard's watermarks is in all lanes, committed at once; so
    /// whoever has read all lanes up to the same time and finds one here for longer than a few rounds (of a minute, unless
    /// the bridge is configured otherwise) has lost the lane's last records.
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

impl TopicTracks {
    fn keyed(&self, topic: &str) -> impl Iterator<Item = (LaneKey, &Track)> {
        self.lanes.iter().flat_map(move |(lane, tracks)| {
            let key = |shard: u32| LaneKey { topic: topic.to_owned(), lane: *lane, shard };
            tracks.shards.iter().map(move |(shard, track)| (key(*shard), track))
        })
    }

    fn note(&mut self, record: &Sighting<'_>) {
        match record.signal {
            Signal::Watermark { shards, lanes, .. } => {
                if record.epoch >= self.shards.0 {
                    self.shards = (record.epoch, shards);
                }
                let spread = self.spread.entry(record.shard).or_default();
                spread.lanes = spread.lanes.max(lanes);
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
    /// `{"continuity":"missing","missing":2,"news":{"kind":"complete_up_to","time":"…"}}`, the last two where there are any.
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

/// Whether the record was never seen before, so that what it says is news.
fn is_new(seen: Seen) -> bool {
    match seen.continuity {
        Continuity::InOrder | Continuity::Missing(_) | Continuity::Reordered => true,
        Continuity::Duplicate | Continuity::Older | Continuity::Unnumbered | Continuity::NotFollowed => false,
    }
}

/// What the record itself tells; `before`: the epoch before its own, if this is its first one here, and how many of that are missing.
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
