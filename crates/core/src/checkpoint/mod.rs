//! The stored progress of a shard, written in the same commit as its records.
//!
//! Entries have different keys: the shard itself, the lane counters of each topic, each stream, and its crawl with a
//! piece for each page with listings below it. An entry that can't be understood is an error, never a fresh start.

pub(crate) mod crawl;
pub mod rebuild;
pub mod reshard;

use crate::checkpoint::crawl::{
    Pieces, decode_crawl, decode_left_out, decode_piece, encode_crawl, encode_left_out, encode_piece,
};
use crate::crawl::{Crawl, LeftOuts};
use crate::format as pb;
use crate::format::checkpoint::Kind;
use crate::ids::{Deployment, ShardId, StreamId, SyncToken, Topic};
use crate::outcome::poll::Denial;
use crate::record::batch::{CheckpointWrite, StoredCheckpoint};
use crate::record::sequence::{Counters, LaneCounter, Lanes};
use crate::stream::live::{Live, Served};
use crate::stream::rate::EventRate;
use crate::stream::{OpenGap, State, Stream};
use bridge_contract::Timestamp;
use bridge_contract::pb::SourceGapReason;
use bridge_contract::time::{date_time, timestamp};
use chrono::{DateTime, Utc};
use prost::Message as _;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

/// The format that is written, and the newest one that can be read.
const FORMAT: u32 = 1;

const SHARD_KEY: &str = "shard";

/// Why this program must not continue a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The entry can't be decoded.
    #[error("the checkpoint of shard {shard} has an unreadable entry {key:?}: {problem}")]
    Unreadable {
        /// The shard with the problem.
        shard: ShardId,
        /// The key of the entry.
        key: String,
        /// What is wrong with the entry.
        problem: String,
    },
    /// A newer version wrote the entry.
    #[error("the checkpoint of shard {shard} has format {found}, and this version understands up to {FORMAT}: upgrade")]
    NewerFormat {
        /// The shard with the problem.
        shard: ShardId,
        /// The format of the entry.
        found: u32,
    },
    /// The number of shards was changed: streams would be looked up in the wrong ones.
    #[error(
        "the checkpoint was written with {found} shards, and {configured} are configured: set shards: {found}, \
         and change it with `asana-event-bridge checkpoint migrate`"
    )]
    OtherShards {
        /// The number of shards in the checkpoint.
        found: u32,
        /// The number of shards in the configuration.
        configured: u32,
    },
    /// Entries of streams are missing.
    #[error(
        "the checkpoint of shard {shard} has the entries of {found} streams, and had those of {expected}: some were \
         deleted, or aren't whole; see `asana-event-bridge checkpoint recreate`"
    )]
    Incomplete {
        /// The shard with the problem.
        shard: ShardId,
        /// The number of streams with an entry.
        found: usize,
        /// The number that the header has.
        expected: u32,
    },
    /// The checkpoint belongs to another deployment.
    #[error(
        "the checkpoint belongs to the deployment {found}, and the configured one is {configured}: a second deployment \
         needs a checkpoint of its own (set `deployment`, or name other topics or subjects); if it is the same one \
         under a new name, use `asana-event-bridge checkpoint adopt`"
    )]
    OtherDeployment {
        /// The deployment in the checkpoint.
        found: Deployment,
        /// The deployment in the configuration.
        configured: Deployment,
    },
    /// A migration replaced this checkpoint by another one.
    #[error(
        "this checkpoint was migrated to another at {at}, and nothing goes on from here: \
         set shards: {shards} and {successor}"
    )]
    Retired {
        /// The setting that names the other checkpoint.
        successor: String,
        /// The number of shards of the other checkpoint.
        shards: u32,
        /// The time of the migration.
        at: DateTime<Utc>,
    },
}

/// The content of a shard's checkpoint.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contents {
    /// The shard's header; `None` before the shard's first batch.
    pub header: Option<Header>,
    /// The checkpoint that replaced this one, if it was migrated.
    pub retired: Option<Retired>,
    /// The lane counters of each topic.
    pub lanes: BTreeMap<Topic, Lanes>,
    /// The streams that were ever established, with their state.
    pub streams: BTreeMap<StreamId, Stream>,
}

/// The header of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The number of shards when the header was written.
    pub shards: u32,
    /// The shard's current epoch.
    pub epoch: u64,
    /// The replica that wrote the header.
    pub replica: String,
    /// Whether consumers may have been told that the shard has no streams, and nothing else since. Its streams aren't polled
    /// before they are told otherwise.
    pub empty: bool,
    /// The deployment that the checkpoint belongs to.
    pub deployment: Deployment,
    /// The time when the checkpoint was written in the place of one that was lost.
    pub recreated_at: Option<DateTime<Utc>>,
    /// The number of streams that have an entry.
    pub streams: u32,
}

/// What a checkpoint has to be, so that it can be continued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The number of shards.
    pub shards: NonZeroU32,
    /// The deployment that it belongs to.
    pub deployment: Deployment,
}

impl From<NonZeroU32> for Expected {
    /// A checkpoint with this number of shards, of a deployment without a name.
    fn from(shards: NonZeroU32) -> Self {
        Self { shards, deployment: Deployment::default() }
    }
}

impl Expected {
    /// Checks a header.
    ///
    /// # Errors
    /// [`CheckpointError::OtherDeployment`], [`CheckpointError::OtherShards`].
    pub fn check(&self, header: &Header) -> Result<(), CheckpointError> {
        if header.deployment != self.deployment {
            let (found, configured) = (header.deployment.clone(), self.deployment.clone());
            return Err(CheckpointError::OtherDeployment { found, configured });
        }
        if header.shards != self.shards.get() {
            return Err(CheckpointError::OtherShards { found: header.shards, configured: self.shards.get() });
        }
        Ok(())
    }
}

/// The checkpoint that replaced this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retired {
    /// The setting that names the other checkpoint.
    pub successor: String,
    /// The number of shards of the other checkpoint.
    pub shards: u32,
    /// The time of the migration.
    pub at: DateTime<Utc>,
}

/// The progress of a shard.
#[derive(Clone, Debug, PartialEq)]
pub struct ShardState {
    /// The lane counters, with the epoch.
    pub counters: Counters,
    /// See [`Header::empty`].
    pub empty: bool,
    /// The streams that were ever established, with their state.
    pub streams: BTreeMap<StreamId, Stream>,
    /// The time when the checkpoint was written in the place of one that was lost.
    pub recreated_at: Option<DateTime<Utc>>,
}

/// Reads a stored checkpoint, even if it can't be continued.
///
/// # Errors
/// [`CheckpointError::Unreadable`] or [`CheckpointError::NewerFormat`] if an entry can't be read.
pub fn read(shard: ShardId, stored: &StoredCheckpoint) -> Result<Contents, CheckpointError> {
    let mut contents = Contents::default();
    let mut crawls = BTreeMap::new();
    let mut pieces: BTreeMap<StreamId, Pieces> = BTreeMap::new();
    for (key, value) in stored {
        let unreadable =
            |problem: &str| CheckpointError::Unreadable { shard, key: key.clone(), problem: problem.to_owned() };
        let entry = pb::Checkpoint::decode(value.as_slice()).map_err(|error| unreadable(&error.to_string()))?;
        if entry.format > FORMAT {
            return Err(CheckpointError::NewerFormat { shard, found: entry.format });
        }
        match entry.kind.ok_or_else(|| unreadable("it is of no known kind"))? {
            Kind::Shard(entry) => contents.header = Some(entry.into()),
            Kind::Retired(entry) => {
                let at = time(entry.retired_at.as_ref());
                contents.retired = Some(Retired { successor: entry.successor, shards: entry.shards, at });
                contents.header = entry.before.map(Header::from);
            }
            Kind::Lanes(entry) => {
                let counters = entry.lanes.iter();
                let counters = counters.map(|it| LaneCounter { epoch: it.epoch, last: it.last_sequence }).collect();
                contents.lanes.insert(Topic::from(entry.topic), Lanes { count: entry.count, counters });
            }
            Kind::Stream(entry) => {
                let id = key.strip_prefix("stream/").and_then(StreamId::parse);
                let id = id.ok_or_else(|| unreadable("the key names no stream"))?;
                contents.streams.insert(id, decode_stream(entry));
            }
            Kind::Crawl(entry) => {
                let id = key.strip_prefix("crawl/").and_then(StreamId::parse);
                crawls.insert(id.ok_or_else(|| unreadable("the key names no stream"))?, entry);
            }
            Kind::Queue(entry) => {
                let place = key.strip_prefix("crawl/").and_then(|key| key.rsplit_once('/'));
                let place = place.and_then(|(id, number)| Some((StreamId::parse(id)?, number.parse().ok()?)));
                let (id, number) = place.ok_or_else(|| unreadable("the key names no place in a stream's crawl"))?;
                let piece = decode_piece(&entry).ok_or_else(|| unreadable("it has a listing of no known kind"))?;
                pieces.entry(id).or_default().insert(number, piece);
            }
        }
    }
    for (id, entry) in crawls {
        let crawl = decode_crawl(entry, pieces.remove(&id).unwrap_or_default());
        let crawl = crawl.ok_or_else(|| CheckpointError::Unreadable {
            shard,
            key: format!("crawl/{id}"),
            problem: "it is no crawl of a known kind, or a piece of its queue is missing".to_owned(),
        })?;
        contents.streams.entry(id).or_default().crawl = Some(Arc::new(crawl));
    }
    Ok(contents)
}

/// Reads the checkpoint that a sink restored, in order to continue it.
///
/// A shard without a checkpoint begins an epoch that is derived from the time, which is greater than any earlier one,
/// in case a checkpoint was lost.
///
/// # Errors
/// [`CheckpointError`]: the bridge has to stop, and the operator has to act.
pub fn restore(
    shard: ShardId,
    stored: &StoredCheckpoint,
    expected: impl Into<Expected>,
    now: DateTime<Utc>,
) -> Result<ShardState, CheckpointError> {
    let Contents { header, retired, lanes, streams } = read(shard, stored)?;
    if let Some(Retired { successor, shards, at }) = retired {
        return Err(CheckpointError::Retired { successor, shards, at });
    }
    let count = u32::try_from(streams.len()).unwrap_or(u32::MAX);
    let Some(header) = header else {
        let counters = Counters::new(fresh_epoch(now), lanes, count);
        return if stored.is_empty() {
            Ok(ShardState { counters, empty: false, streams, recreated_at: None })
        } else {
            Err(headless(shard))
        };
    };
    expected.into().check(&header)?;
    if header.streams != count {
        return Err(CheckpointError::Incomplete { shard, found: streams.len(), expected: header.streams });
    }
    let counters = Counters::new(header.epoch, lanes, count);
    Ok(ShardState { counters, empty: header.empty, streams, recreated_at: header.recreated_at })
}

/// The replica that wrote last, by the shard's header, which each owner's first batch renews.
#[must_use]
pub fn last_owner(stored: &StoredCheckpoint) -> Option<String> {
    let replica = match pb::Checkpoint::decode(stored.get(SHARD_KEY)?.as_slice()).ok()?.kind? {
        Kind::Shard(entry) => entry.replica,
        Kind::Retired(entry) => entry.replica,
        Kind::Lanes(_) | Kind::Stream(_) | Kind::Crawl(_) | Kind::Queue(_) => return None,
    };
    Some(replica).filter(|replica| !replica.is_empty())
}

/// The error for entries without a header, which a migration writes last.
pub(crate) fn headless(shard: ShardId) -> CheckpointError {
    CheckpointError::Unreadable {
        shard,
        key: SHARD_KEY.to_owned(),
        problem: "it is missing while others are there; if a `checkpoint migrate` was interrupted, run it again, and \
                  if a part of the checkpoint was deleted, see `checkpoint recreate`"
            .to_owned(),
    }
}

/// An epoch that is derived from the time.
pub(crate) fn fresh_epoch(now: DateTime<Utc>) -> u64 {
    u64::try_from(now.timestamp_millis()).unwrap_or(1)
}

/// The entry with the shard's header.
#[must_use]
pub fn write_shard(shard: ShardId, header: &Header) -> CheckpointWrite {
    write(shard, SHARD_KEY.to_owned(), Kind::Shard(header.into()))
}

/// The entry that ends a shard, in the place of [`write_shard`]'s.
pub(crate) fn write_retired(
    shard: ShardId,
    retired: &Retired,
    before: Option<&Header>,
    replica: &str,
) -> CheckpointWrite {
    let entry = pb::RetiredShard {
        successor: retired.successor.clone(),
        shards: retired.shards,
        retired_at: timestamp(retired.at),
        replica: replica.to_owned(),
        before: before.map(Into::into),
    };
    write(shard, SHARD_KEY.to_owned(), Kind::Retired(entry))
}

/// The entry of a topic's lanes.
pub(crate) fn write_lanes(shard: ShardId, topic: &Topic, lanes: &Lanes) -> CheckpointWrite {
    let counters = lanes.counters.iter().map(|it| pb::LaneCounter { epoch: it.epoch, last_sequence: it.last });
    let entry = pb::LanesCheckpoint { topic: topic.to_string(), lanes: counters.collect(), count: lanes.count };
    write(shard, format!("lanes/{topic}"), Kind::Lanes(entry))
}

/// The entry of a stream.
pub(crate) fn write_stream(shard: ShardId, id: &StreamId, stream: &Stream) -> CheckpointWrite {
    write(shard, format!("stream/{id}"), Kind::Stream(encode_stream(stream)))
}

/// The entries of a stream's crawl that differ from those written before.
pub(crate) fn write_crawl(
    shard: ShardId,
    id: &StreamId,
    before: Option<&Arc<Crawl>>,
    after: Option<&Arc<Crawl>>,
) -> Vec<CheckpointWrite> {
    let pieces = |crawl: Option<&Arc<Crawl>>| {
        crawl.map_or(0..0, |crawl| crawl.first_piece..crawl.first_piece + crawl.queue.len() as u64)
    };
    if match (before, after) {
        (Some(before), Some(after)) => Arc::ptr_eq(before, after),
        (before, after) => before.is_none() && after.is_none(),
    } {
        return Vec::new();
    }
    // Pieces of two crawls are independent, even if their numbers are the same.
    let goes_on = matches!((before, after), (Some(before), Some(after)) if before.id == after.id);
    let (had, has) = (pieces(before), pieces(after));
    let mut writes = Vec::new();
    for number in had.clone().filter(|number| !has.contains(number)) {
        writes.push(CheckpointWrite { shard, key: format!("crawl/{id}/{number}"), value: None });
    }
    if let Some(crawl) = after {
        for (number, piece) in has.zip(&crawl.queue).filter(|(number, _)| !goes_on || !had.contains(number)) {
            writes.push(write(shard, format!("crawl/{id}/{number}"), Kind::Queue(encode_piece(piece))));
        }
        writes.push(write(shard, format!("crawl/{id}"), Kind::Crawl(encode_crawl(crawl))));
    } else {
        writes.push(CheckpointWrite { shard, key: format!("crawl/{id}"), value: None });
    }
    writes
}

/// Replaces the sync token of a stream that was reset. Asana answers it as any invalid token, with a new one. Because
/// the stream had a token, this counts as a source gap.
const RESET_TOKEN: &str = "reset";

/// The entry of a stream that gets a new token at its next poll, and announces everything since its last complete poll
/// as lost. `None` for a stream without a token: it gets one in any case.
#[must_use]
pub fn write_reset(shard: ShardId, id: &StreamId, stream: &Stream) -> Option<CheckpointWrite> {
    let live = Live { token: RESET_TOKEN.into(), served: Served::default(), ..stream.live()?.clone() };
    Some(write_stream(shard, id, &Stream { state: State::Live(live), ..stream.clone() }))
}

/// Whether the stream was reset and not polled since.
#[must_use]
pub fn is_reset(stream: &Stream) -> bool {
    stream.token().is_some_and(|token| token.as_str() == RESET_TOKEN)
}

fn write(shard: ShardId, key: String, kind: Kind) -> CheckpointWrite {
    let value = pb::Checkpoint { format: FORMAT, kind: Some(kind) }.encode_to_vec();
    CheckpointWrite { shard, key, value: Some(value) }
}

fn encode_stream(stream: &Stream) -> pb::StreamCheckpoint {
    let live = stream.live();
    let served = live.map(|live| live.served).filter(|served| *served != Served::default());
    pb::StreamCheckpoint {
        suspended_by: match &stream.state {
            State::Suspended { denial, .. } => denial.status().into(),
            State::Establish | State::Live(_) => 0,
        },
        ended: stream.ended,
        last_crawl_at: stream.last_crawl_at.and_then(timestamp),
        sync_token: live.map(|live| live.token.as_str().to_owned()).unwrap_or_default(),
        token_received_at: live.and_then(|live| timestamp(live.token_received_at)),
        last_complete_poll_at: live.and_then(|live| timestamp(live.last_complete_poll_at)),
        token_given_after: live.and_then(|live| timestamp(live.token_given_after)),
        rate: live
            .map(|live| live.rate)
            .filter(|rate| *rate != EventRate::default())
            .map(|rate| pb::EventRate { observed_seconds: rate.observed, counts: rate.counts.to_vec() }),
        served_events: served.map_or(0, |served| served.events),
        served_hash: served.map(|served| served.hash.to_vec()).unwrap_or_default(),
        epoch: stream.epoch,
        last_sequence: stream.last_sequence,
        open_gaps: stream.open_gaps.iter().map(encode_gap).collect(),
        partly_healed: stream.partly_healed.iter().map(encode_gap).collect(),
        left_out: encode_left_out(&stream.left_out),
        left_out_more: stream.left_out.more,
    }
}

fn encode_gap(gap: &OpenGap) -> pb::OpenGap {
    pb::OpenGap {
        gap_id: gap.id.clone(),
        last_complete_poll_at: gap.last_complete_poll_at.and_then(timestamp),
        resumed_at: timestamp(gap.resumed_at),
        topics: encode_topics(&gap.topics),
        reason: gap.reason.into(),
    }
}

fn decode_gap(gap: pb::OpenGap) -> OpenGap {
    OpenGap {
        reason: gap_reason(gap.reason),
        id: gap.gap_id,
        last_complete_poll_at: gap.last_complete_poll_at.as_ref().and_then(date_time),
        resumed_at: time(gap.resumed_at.as_ref()),
        topics: decode_topics(gap.topics),
    }
}

fn decode_stream(entry: pb::StreamCheckpoint) -> Stream {
    let live = (!entry.sync_token.is_empty()).then(|| Live {
        token: SyncToken::from(entry.sync_token),
        token_received_at: time(entry.token_received_at.as_ref()),
        token_given_after: time(entry.token_given_after.as_ref()),
        last_complete_poll_at: time(entry.last_complete_poll_at.as_ref()),
        served: served(entry.served_events, &entry.served_hash),
        rate: entry.rate.map(decode_rate).unwrap_or_default(),
        // The owner before may have used the token in a poll.
        maybe_asked: true,
    });
    let state = match (u16::try_from(entry.suspended_by).unwrap_or_default(), live) {
        (0, None) => State::Establish,
        (0, Some(live)) => State::Live(live),
        (status, live) => State::Suspended { denial: Denial::of_status(status), denials: 1, live },
    };
    // If a part of this can't be read, a later crawl reads everything.
    let left_out = decode_left_out(&entry.left_out, entry.left_out_more);
    let unknown = LeftOuts { named: Vec::new(), more: entry.left_out.len() as u64 };
    Stream {
        state,
        epoch: entry.epoch,
        last_sequence: entry.last_sequence,
        open_gaps: entry.open_gaps.into_iter().map(decode_gap).collect(),
        partly_healed: entry.partly_healed.into_iter().map(decode_gap).collect(),
        left_out: left_out.unwrap_or(unknown),
        crawl: None,
        last_crawl_at: entry.last_crawl_at.map(|at| time(Some(&at))),
        ended: entry.ended,
        unknown_past: false,
    }
}

/// It is learned again where it can't be read.
fn decode_rate(rate: pb::EventRate) -> EventRate {
    let is_legal = |number: &f32| number.is_finite() && *number >= 0.0;
    let counts = <[f32; 3]>::try_from(rate.counts).ok().filter(|counts| counts.iter().all(is_legal));
    let rate = counts.map(|counts| EventRate { observed: rate.observed_seconds, counts });
    rate.filter(|rate| is_legal(&rate.observed)).unwrap_or_default()
}

fn served(events: u32, hash: &[u8]) -> Served {
    hash.try_into().map_or_else(|_not_one| Served::default(), |hash| Served { events, hash })
}

fn gap_reason(number: i32) -> SourceGapReason {
    match SourceGapReason::try_from(number) {
        Ok(known @ (SourceGapReason::TokenRefused | SourceGapReason::CheckpointLost)) => known,
        Ok(SourceGapReason::TokenExpired | SourceGapReason::Unspecified) | Err(_) => SourceGapReason::TokenExpired,
    }
}

pub(super) fn encode_topics(topics: &BTreeMap<Topic, u32>) -> Vec<pb::AnnouncedTopic> {
    topics.iter().map(|(topic, lanes)| pb::AnnouncedTopic { topic: topic.to_string(), lanes: *lanes }).collect()
}

pub(super) fn decode_topics(topics: Vec<pb::AnnouncedTopic>) -> BTreeMap<Topic, u32> {
    topics.into_iter().map(|it| (Topic::from(it.topic), it.lanes)).collect()
}

impl From<pb::ShardCheckpoint> for Header {
    fn from(entry: pb::ShardCheckpoint) -> Self {
        Self {
            shards: entry.shards,
            epoch: entry.epoch,
            replica: entry.replica,
            deployment: entry.deployment.into(),
            recreated_at: entry.recreated_at.as_ref().and_then(date_time),
            streams: entry.streams,
            empty: entry.empty,
        }
    }
}

impl From<&Header> for pb::ShardCheckpoint {
    fn from(header: &Header) -> Self {
        Self {
            shards: header.shards,
            epoch: header.epoch,
            replica: header.replica.clone(),
            deployment: header.deployment.as_str().to_owned(),
            recreated_at: header.recreated_at.and_then(timestamp),
            streams: header.streams,
            empty: header.empty,
        }
    }
}

pub(super) fn time(time: Option<&Timestamp>) -> DateTime<Utc> {
    time.and_then(date_time).unwrap_or_default()
}

#[cfg(test)]
mod tests;
