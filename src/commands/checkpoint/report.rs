//! The content of a checkpoint, for people and for scripts. A sync token is confidential: only a hash of it is shown.
//! Times are RFC 3339 in UTC.

use bridge_core::checkpoint::reshard::Set;
use bridge_core::checkpoint::{Contents, is_reset};
use bridge_core::ids::{AccountName, ShardId, StreamId, SyncToken};
use bridge_core::record::placement::shard_of;
use bridge_core::stream::{OpenGap, Stream};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::num::NonZeroU32;
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_64;

/// The maximum life of a sync token, by Asana's documentation.
const TOKEN_LIFE: Duration = Duration::from_secs(24 * 3600);

/// The content of a whole checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listing {
    /// The setting that names the checkpoint, as `path: value`.
    pub checkpoint: String,
    /// The shards, sorted by number.
    pub shards: Vec<ShardReport>,
    /// All streams that are stored or configured, sorted by name.
    pub streams: Vec<StreamReport>,
    /// Sums over all streams.
    pub totals: Totals,
}

/// The stored state of a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShardReport {
    /// The shard's number, from 0.
    pub shard: u32,
    /// The number of shards at the last takeover of this shard. Absent before the first record.
    pub shards: Option<u32>,
    /// The shard's current epoch. Absent before the first record.
    pub epoch: Option<u64>,
    /// The replica that took over the shard last and has written to it.
    pub replica: Option<String>,
    /// The number of streams that are stored in the shard.
    pub streams: usize,
    /// The checkpoint that continues this one after a migration. Absent without a migration.
    pub retired: Option<RetiredReport>,
    /// The last record in each lane, by topic.
    pub lanes: BTreeMap<String, Vec<LaneReport>>,
}

/// The checkpoint that continues a shard after a migration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RetiredReport {
    /// The setting that names the other checkpoint, as `path: value`.
    pub successor: String,
    /// The number of shards of the other checkpoint.
    pub shards: u32,
    /// The time of the migration.
    pub at: String,
}

/// The last record of a shard in a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LaneReport {
    /// The record's epoch. 0 if there is no record.
    pub epoch: u64,
    /// The record's lane sequence.
    pub last_sequence: u64,
}

/// The stored state of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StreamReport {
    /// The stream, as `account/gid`.
    pub stream: String,
    /// The shard that the stream is in.
    pub shard: u32,
    /// The stream's state.
    pub state: StreamState,
    /// A hash of the sync token, which shows whether two tokens are the same.
    pub token: Option<String>,
    /// The time when Asana returned the token.
    pub token_received_at: Option<String>,
    /// The age of the token, in seconds.
    pub token_age_seconds: Option<u64>,
    /// The maximum remaining life of the token, in seconds. 0 if it is presumed to be expired.
    pub token_expires_in_seconds: Option<u64>,
    /// The time of the last stored poll after which no more events were waiting.
    pub last_complete_poll_at: Option<String>,
    /// The epoch of the stream's last record.
    pub epoch: u64,
    /// The stream sequence of the stream's last record.
    pub last_sequence: u64,
    /// Source gaps that aren't healed.
    pub open_gaps: Vec<GapReport>,
    /// Whether the stream is in the configuration.
    pub configured: Configured,
}

/// Whether a stream is in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Configured {
    /// It is in `streams`.
    Yes,
    /// A rule in `discovery` of its account may find it.
    Perhaps,
    /// It is in neither.
    No,
}

/// The streams and rules of the configuration.
#[derive(Clone, Debug, Default)]
pub(super) struct Configuration {
    pub(super) streams: BTreeSet<StreamId>,
    /// The accounts that have rules of discovery.
    pub(super) ruled: BTreeSet<AccountName>,
}

impl Configuration {
    fn has(&self, id: &StreamId) -> Configured {
        match (self.streams.contains(id), self.ruled.contains(&id.account)) {
            (true, _) => Configured::Yes,
            (false, true) => Configured::Perhaps,
            (false, false) => Configured::No,
        }
    }
}

impl fmt::Display for Configured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Yes => "yes",
            Self::Perhaps => "perhaps",
            Self::No => "no",
        })
    }
}

/// The stored state of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamState {
    /// It has no sync token yet.
    Establishing,
    /// It has a usable sync token.
    Live,
    /// Its sync token is presumed to be expired.
    Expired,
    /// It gets a new sync token at its next poll.
    Reset,
}

/// A source gap that isn't healed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GapReport {
    /// The id of the source gap, as in its records.
    pub gap_id: String,
    /// The start of the gap: no event before this time is lost. Absent if it isn't known.
    pub last_complete_poll_at: Option<String>,
    /// The end of the gap: no event after this time is lost.
    pub resumed_at: String,
    /// The topics that have the gap's record in every lane.
    pub topics: Vec<String>,
}

/// Sums over streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// The number of all streams.
    pub streams: usize,
    /// Streams without a sync token yet.
    pub establishing: usize,
    /// Streams with a usable sync token.
    pub live: usize,
    /// Streams whose sync token is presumed to be expired.
    pub expired: usize,
    /// Streams that get a new sync token at their next poll.
    pub reset: usize,
    /// Source gaps that aren't healed.
    pub open_gaps: usize,
    /// Streams that are stored but not configured.
    pub not_configured: usize,
}

impl Listing {
    /// Reports the stored entries in `set`, of `shards` shards, and the configured streams that aren't stored.
    pub(super) fn new(
        checkpoint: String,
        set: &Set,
        shards: NonZeroU32,
        configuration: &Configuration,
        now: DateTime<Utc>,
    ) -> Self {
        let mut streams: BTreeMap<&StreamId, (ShardId, Stream)> =
            configuration.streams.iter().map(|id| (id, (shard_of(id, shards), Stream::new()))).collect();
        for (shard, contents) in set {
            streams.extend(contents.streams.iter().map(|(id, stream)| (id, (*shard, stream.clone()))));
        }
        let report = |(id, (shard, stream)): (&StreamId, &(ShardId, Stream))| {
            StreamReport::new(id, *shard, stream, configuration.has(id), now)
        };
        let streams: Vec<_> = streams.iter().map(|(id, of)| report((id, of))).collect();
        let totals = Totals::of(&streams);
        let shards = set.iter().map(|(shard, contents)| ShardReport::new(*shard, contents)).collect();
        Self { checkpoint, shards, streams, totals }
    }

    fn retired(&self) -> Option<&RetiredReport> {
        self.shards.iter().find_map(|shard| shard.retired.as_ref())
    }
}

impl Totals {
    fn of(streams: &[StreamReport]) -> Self {
        let mut totals = Self { streams: streams.len(), ..Self::default() };
        for stream in streams {
            *match stream.state {
                StreamState::Establishing => &mut totals.establishing,
                StreamState::Live => &mut totals.live,
                StreamState::Expired => &mut totals.expired,
                StreamState::Reset => &mut totals.reset,
            } += 1;
            totals.open_gaps += stream.open_gaps.len();
            totals.not_configured += usize::from(stream.configured == Configured::No);
        }
        totals
    }
}

impl ShardReport {
    pub(super) fn new(shard: ShardId, contents: &Contents) -> Self {
        let Contents { header, retired, lanes, streams } = contents;
        let lane = |lane: &bridge_core::record::sequence::LaneCounter| LaneReport {
            epoch: lane.epoch,
            last_sequence: lane.last,
        };
        Self {
            shard: shard.0,
            shards: header.as_ref().map(|header| header.shards),
            epoch: header.as_ref().map(|header| header.epoch),
            replica: header.as_ref().map(|header| header.replica.clone()),
            streams: streams.len(),
            retired: retired.as_ref().map(|retired| RetiredReport {
                successor: retired.successor.clone(),
                shards: retired.shards,
                at: time(retired.at),
            }),
            lanes: lanes
                .iter()
                .map(|(topic, lanes)| (topic.to_string(), lanes.counters.iter().map(lane).collect()))
                .collect(),
        }
    }
}

impl StreamReport {
    fn new(id: &StreamId, shard: ShardId, stream: &Stream, configured: Configured, now: DateTime<Utc>) -> Self {
        // The time of a token that is no longer used means nothing.
        let live = stream.live();
        let token = live.filter(|_| !is_reset(stream));
        let age = token.map(|live| (now - live.token_received_at).to_std().unwrap_or_default());
        let left = age.map(|age| TOKEN_LIFE.saturating_sub(age).as_secs());
        let state = match (live, left) {
            (None, _) => StreamState::Establishing,
            (Some(_), None) => StreamState::Reset,
            (Some(_), Some(0)) => StreamState::Expired,
            (Some(_), Some(_)) => StreamState::Live,
        };
        Self {
            stream: id.to_string(),
            shard: shard.0,
            state,
            token: token.map(|live| hash(&live.token)),
            token_received_at: token.map(|live| time(live.token_received_at)),
            token_age_seconds: age.map(|age| age.as_secs()),
            token_expires_in_seconds: left,
            last_complete_poll_at: live.map(|live| time(live.last_complete_poll_at)),
            epoch: stream.epoch,
            last_sequence: stream.last_sequence,
            open_gaps: stream.open_gaps.iter().map(GapReport::from).collect(),
            configured,
        }
    }

    fn cells(&self) -> [String; 11] {
        let spans = |seconds: Option<u64>| seconds.map_or_else(|| "-".to_owned(), span);
        [
            self.stream.clone(),
            self.shard.to_string(),
            self.state.to_string(),
            self.token.clone().unwrap_or_else(|| "-".to_owned()),
            spans(self.token_age_seconds),
            spans(self.token_expires_in_seconds),
            self.last_complete_poll_at.clone().unwrap_or_else(|| "-".to_owned()),
            self.epoch.to_string(),
            self.last_sequence.to_string(),
            self.open_gaps.len().to_string(),
            self.configured.to_string(),
        ]
    }
}

impl From<&OpenGap> for GapReport {
    fn from(gap: &OpenGap) -> Self {
        Self {
            gap_id: gap.id.clone(),
            last_complete_poll_at: gap.last_complete_poll_at.map(time),
            resumed_at: time(gap.resumed_at),
            topics: gap.topics.keys().map(ToString::to_string).collect(),
        }
    }
}

const HEADINGS: [&str; 11] = [
    "STREAM",
    "SHARD",
    "STATE",
    "TOKEN",
    "AGE",
    "DEAD IN",
    "LAST COMPLETE POLL",
    "EPOCH",
    "SEQUENCE",
    "GAPS",
    "CONFIGURED",
];

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.checkpoint)?;
        if let Some(retired) = self.retired() {
            writeln!(f, "{retired}")?;
        }
        table(f, self.streams.iter().map(StreamReport::cells).collect())?;
        let Totals { streams, establishing, live, expired, reset, open_gaps, not_configured } = self.totals;
        writeln!(
            f,
            "{} shards, {streams} streams: {live} live, {expired} expired, {establishing} establishing, {reset} reset; \
             {open_gaps} open source gaps; {not_configured} not configured",
            self.shards.len()
        )
    }
}

fn table(f: &mut fmt::Formatter<'_>, rows: Vec<[String; 11]>) -> fmt::Result {
    let rows: Vec<_> = std::iter::once(HEADINGS.map(str::to_owned)).chain(rows).collect();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
    for row in &rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            write!(line, "{cell:0$}  ", width(column))?;
        }
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}

/// One stream, and the shard that it is in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Detail {
    /// The state of the stream.
    #[serde(flatten)]
    pub stream: StreamReport,
    /// The state of its shard. Absent before the shard's first record.
    pub shard_header: Option<ShardReport>,
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (heading, cell) in HEADINGS.iter().zip(self.stream.cells()) {
            writeln!(f, "{:20}{cell}", heading.to_lowercase())?;
        }
        for GapReport { gap_id, last_complete_poll_at, resumed_at, topics } in &self.stream.open_gaps {
            let (topics, from) = (topics.join(", "), last_complete_poll_at.as_deref().unwrap_or("unknown"));
            writeln!(f, "{:20}{gap_id}: {from} to {resumed_at}, announced in {topics}", "gap")?;
        }
        let Some(shard) = &self.shard_header else { return writeln!(f, "the shard has written nothing yet") };
        if let (Some(shards), Some(epoch), Some(replica)) = (shard.shards, shard.epoch, &shard.replica) {
            writeln!(
                f,
                "shard {} of {shards}: epoch {epoch}, last taken over by {replica}, {} streams",
                shard.shard, shard.streams
            )?;
        }
        if let Some(retired) = &shard.retired {
            writeln!(f, "{retired}")?;
        }
        for (topic, lanes) in &shard.lanes {
            for (number, LaneReport { epoch, last_sequence }) in lanes.iter().enumerate() {
                writeln!(f, "  {topic}[{number}]: epoch {epoch}, last lane sequence {last_sequence}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for RetiredReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { successor, shards, at } = self;
        write!(f, "migrated at {at}, and can't be continued: set shards: {shards} and {successor}")
    }
}

impl fmt::Display for StreamState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Establishing => "establishing",
            Self::Live => "live",
            Self::Expired => "expired",
            Self::Reset => "reset",
        })
    }
}

/// A hash that distinguishes tokens without showing them.
fn hash(token: &SyncToken) -> String {
    format!("{:016x}", xxh3_64(token.as_str().as_bytes())).chars().take(8).collect()
}

pub(super) fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn span(seconds: u64) -> String {
    let rough = if seconds >= 3600 { seconds - seconds % 60 } else { seconds };
    humantime::format_duration(Duration::from_secs(rough)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bridge_core::stream::State;
    use bridge_core::stream::live::Live;

    fn at(hours: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(hours * 3600, 0).expect("a time")
    }

    fn listing(token: &str, hours: i64) -> Listing {
        let live = Live::given(None, token.into(), at(0), None);
        let stream = Stream { state: State::Live(live), epoch: 9, last_sequence: 4, ..Stream::new() };
        let streams = BTreeMap::from([(StreamId::new("main", "1"), stream)]);
        let contents = Contents { streams, ..Contents::default() };
        let configuration =
            Configuration { streams: BTreeSet::from([StreamId::new("main", "2")]), ruled: BTreeSet::new() };
        Listing::new(
            "x: y".to_owned(),
            &BTreeMap::from([(ShardId(3), contents)]),
            NonZeroU32::MIN,
            &configuration,
            at(hours),
        )
    }

    #[test]
    fn a_listing_has_what_is_stored_and_what_is_configured() {
        let listing = listing("5a888cbb:0", 3);
        let [stored, configured] = listing.streams.as_slice() else { panic!("{listing:?}") };
        assert_eq!((stored.state, stored.shard, stored.configured), (StreamState::Live, 3, Configured::No));
        assert_eq!((stored.token_age_seconds, stored.token_expires_in_seconds), (Some(3 * 3600), Some(21 * 3600)));
        assert_eq!((configured.state, configured.configured), (StreamState::Establishing, Configured::Yes));
        assert_eq!((listing.totals.live, listing.totals.establishing, listing.totals.not_configured), (1, 1, 1));
        let text = listing.to_string();
        assert!(text.contains("main/1") && text.contains("3h") && text.contains("1 not configured"), "{text}");
    }

    #[test]
    fn a_stream_that_a_rule_may_give_is_not_called_unconfigured() {
        let configuration = Configuration { ruled: BTreeSet::from(["main".into()]), ..Configuration::default() };
        assert_eq!(configuration.has(&StreamId::new("main", "1")), Configured::Perhaps);
        assert_eq!(configuration.has(&StreamId::new("other", "1")), Configured::No);
    }

    #[test]
    fn a_token_is_never_shown() {
        let listing = listing("5a888cbb:0", 3);
        let json = serde_json::to_string(&listing).expect("JSON");
        assert!(!listing.to_string().contains("5a888cbb") && !json.contains("5a888cbb"), "{json}");
    }

    #[test]
    fn a_token_of_a_day_is_presumed_dead_and_one_that_was_reset_has_no_age() {
        assert_eq!(listing("t", 24).streams[0].state, StreamState::Expired);
        let reset = &listing("reset", 3).streams[0];
        assert_eq!((reset.state, reset.token_age_seconds), (StreamState::Reset, None));
        assert!(reset.last_complete_poll_at.is_some());
    }
}
