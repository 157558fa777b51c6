//! What the engine holds at a moment, as plain data: for metrics and for people, never for decisions.

use super::crawls::Crawling;
use super::{Engine, Entry, TOKEN_LIFE};
use crate::crawl::{Crawl, Place, Reading, Reason};
use crate::engine::schedule::Freshness;
use crate::engine::schedule::budget::Allowance;
use crate::ids::{AccountName, ShardId, StreamId, StreamKind};
use crate::now::Now;
use crate::outcome::list::Listing;
use crate::outcome::poll::Denial;
use crate::record::placement::shard_of;
use crate::stream::{OpenGap, State};
use chrono::{DateTime, TimeDelta, Utc};
use std::time::Duration;

/// All of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// The time of this status, by the host's clock.
    pub at: DateTime<Utc>,
    /// The owned shards, by number.
    pub shards: Vec<ShardStatus>,
    /// The accounts, by name.
    pub accounts: Vec<AccountStatus>,
    /// Those of the owned shards, by name.
    pub streams: Vec<StreamStatus>,
    /// Pages that wait for the bus, those of the running commit included.
    pub pending_pages: usize,
    /// Size of these pages, in bytes.
    pub pending_bytes: usize,
    /// Largest size, in bytes. Beyond it nothing is polled.
    pub max_pending_bytes: usize,
}

/// An owned shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardStatus {
    /// The shard.
    pub shard: ShardId,
    /// Its epoch.
    pub epoch: u64,
}

/// This replica's part of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountStatus {
    /// The account.
    pub name: AccountName,
    /// What is left of its budget.
    pub allowance: Allowance,
    /// For how long the stream that is due for longest has been waiting, for the budget or for memory, or the time by which the
    /// longest interval that the budget gives exceeds the configured one. A stream that Asana refuses goes behind all
    /// others, and doesn't count.
    pub delay: Duration,
    /// How fresh this replica's part of the budget keeps its streams, by their event rates so far.
    pub freshness: Freshness,
    /// How fresh twice the budget would keep them.
    pub freshness_of_twice: Freshness,
    /// How Asana rejects its credential, if it does: its streams aren't polled.
    pub refused: Option<Denial>,
    /// The least by which the host's clock is ahead of Asana's, by the latest answer; behind if it is negative, zero if
    /// they may be the same.
    pub clock_offset: TimeDelta,
}

/// A stream of an owned shard.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamStatus {
    /// The stream.
    pub id: StreamId,
    /// Which request polls it.
    pub kind: StreamKind,
    /// The stream's shard.
    pub shard: ShardId,
    /// Where in its life it is.
    pub phase: Phase,
    /// The last poll that left nothing waiting.
    pub last_complete_poll_at: Option<DateTime<Utc>>,
    /// When Asana gave the token.
    pub token_received_at: Option<DateTime<Utc>>,
    /// When it is to be polled; nothing while it is being polled, or waits for a commit.
    pub next_poll_at: Option<DateTime<Utc>>,
    /// Polls without a usable answer, in a row.
    pub failures: u32,
    /// How long ago the first of these was.
    pub failing_for: Option<Duration>,
    /// Events that were published since the stream came to this session.
    pub published: u64,
    /// Source gaps that aren't healed.
    pub open_gaps: Vec<OpenGap>,
    /// The crawl that is under way.
    pub crawl: Option<CrawlStatus>,
    /// When the last complete crawl began.
    pub last_crawl_at: Option<DateTime<Utc>>,
    /// How many lists and objects the last crawl had to leave out.
    pub left_out: u64,
}

/// A crawl under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrawlStatus {
    /// Why it began.
    pub reason: Reason,
    /// When it began.
    pub begun_at: DateTime<Utc>,
    /// How many snapshots it wrote.
    pub snapshots: u64,
    /// The list or object that is read now; nothing while what no list showed is asked for.
    pub reading: Option<Listing>,
    /// How many pages of it were read.
    pub pages: u32,
    /// How often it was read again from its beginning without coming further.
    pub restarts: u32,
    /// How many lists wait to be read, as far as they are known.
    pub waiting: usize,
    /// How many of these have failed, and are tried again.
    pub deferred: usize,
    /// How many lists and objects couldn't be read.
    pub left_out: u64,
    /// How many resources that no list showed were asked for alone.
    pub asked: u64,
    /// How many of these wait to be asked for, as far as they are known.
    pub to_ask: usize,
    /// For how long nothing could be read.
    pub stalled: Duration,
}

/// Where in its life a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It has no sync token yet.
    Establishing,
    /// It has one.
    Live,
    /// It has one that must be presumed dead.
    Expired,
    /// Asana refuses to have it polled.
    Suspended(Denial),
}

impl Phase {
    /// All labels.
    pub const LABELS: [&str; 4] = ["establishing", "live", "expired", "suspended"];

    /// For metrics, logs and scripts.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Establishing => "establishing",
            Self::Live => "live",
            Self::Expired => "expired",
            Self::Suspended(_) => "suspended",
        }
    }
}

/// A stream, and where its progress is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamPlace<'a> {
    /// The stream.
    pub stream: &'a StreamId,
    /// The stream's shard.
    pub shard: ShardId,
    /// The shard's epoch; nothing where the shard isn't owned any more.
    pub epoch: Option<u64>,
}

impl Engine {
    /// How all is now. Takes a time that grows with the number of streams.
    #[must_use]
    pub fn status(&self, now: Now) -> Status {
        let shards = self.shards.iter();
        Status {
            at: now.wall,
            shards: shards.map(|(shard, held)| ShardStatus { shard: *shard, epoch: held.counters.epoch() }).collect(),
            accounts: self.accounts.iter().map(|(name, account)| account.status(now, name)).collect(),
            streams: self.streams.iter().map(|(id, entry)| self.stream_status(now, id, entry)).collect(),
            pending_pages: self.queue.all().count(),
            pending_bytes: self.queue.bytes(),
            max_pending_bytes: self.settings.max_pending_bytes,
        }
    }

    /// Where a stream's progress is.
    #[must_use]
    pub fn place<'a>(&self, stream: &'a StreamId) -> StreamPlace<'a> {
        let shard = shard_of(stream, self.settings.shards);
        StreamPlace { stream, shard, epoch: self.epoch(shard) }
    }

    /// The epoch of a shard that is owned.
    #[must_use]
    pub fn epoch(&self, shard: ShardId) -> Option<u64> {
        self.shards.get(&shard).map(|held| held.counters.epoch())
    }

    fn stream_status(&self, now: Now, id: &StreamId, entry: &Entry) -> StreamStatus {
        let live = entry.committed.live();
        let due = self.accounts.get(&id.account).and_then(|account| account.poll_due(id));
        StreamStatus {
            id: id.clone(),
            kind: entry.kind,
            shard: shard_of(id, self.settings.shards),
            phase: phase(&entry.committed.state, now.wall),
            last_complete_poll_at: live.map(|live| live.last_complete_poll_at),
            token_received_at: live.map(|live| live.token_received_at),
            next_poll_at: due.and_then(|due| wall_at(now, due)),
            failures: entry.pacing.failures(),
            failing_for: entry.pacing.failing_since().map(|since| now.monotonic.saturating_sub(since)),
            published: entry.published,
            open_gaps: entry.committed.open_gaps.clone(),
            crawl: entry.committed.crawl.as_ref().map(|crawl| crawl_status(now, crawl, &entry.crawling)),
            last_crawl_at: entry.committed.last_crawl_at,
            left_out: entry.committed.left_out.count(),
        }
    }
}

fn crawl_status(now: Now, crawl: &Crawl, crawling: &Crawling) -> CrawlStatus {
    let reading = match &crawl.place {
        Place::Reading(reading) => Some(reading),
        Place::Sweeping => None,
    };
    let (pages, restarts) = reading.map(Reading::progress).unwrap_or_default();
    CrawlStatus {
        reason: crawl.reason,
        begun_at: crawl.begun_at,
        snapshots: crawl.snapshots,
        reading: reading.map(|reading| reading.listing.clone()),
        pages,
        restarts,
        waiting: crawl.waiting(),
        deferred: crawl.deferred.len(),
        left_out: crawl.left_out.count(),
        asked: crawling.absences.asked,
        to_ask: crawling.absences.waiting(),
        stalled: now.monotonic.saturating_sub(crawling.progressed_at),
    }
}

fn phase(state: &State, now: DateTime<Utc>) -> Phase {
    match state {
        State::Establish => Phase::Establishing,
        State::Live(live) if token_left(live.token_received_at, now).is_zero() => Phase::Expired,
        State::Live(_) => Phase::Live,
        State::Suspended { denial, .. } => Phase::Suspended(*denial),
    }
}

/// How long a token may still be good: zero where it must be presumed dead.
#[must_use]
pub fn token_left(received_at: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    TOKEN_LIFE.saturating_sub((now - received_at).to_std().unwrap_or_default())
}

fn wall_at(now: Now, monotonic: Duration) -> Option<DateTime<Utc>> {
    let of = |time: Duration| TimeDelta::from_std(time).ok();
    Some(now.wall + (of(monotonic)? - of(now.monotonic)?))
}
