//! What the operator configured, in the engine's terms.

use super::schedule::budget::Limit;
use super::schedule::pace::Intervals;
use crate::checkpoint::Expected;
use crate::crawl::Depth;
use crate::ids::{AccountName, Deployment, StreamId, StreamKind, Topic};
use crate::record::encoding::Encodings;
use crate::record::topic::TopicTemplate;
use crate::record::trace::{Sampling, Trace};
use crate::state::{Pace as RefreshPace, Refreshed};
use crate::stream::Stream;
use chrono::{DateTime, Utc};
use std::num::NonZeroU32;
use std::time::Duration;

/// What the operator decided.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The number of shards.
    pub shards: NonZeroU32,
    /// The template of the names of output topics.
    pub topic: TopicTemplate,
    /// Interval between two polls of a stream on which events come.
    pub min_interval: Duration,
    /// Interval between two polls of a stream without events: the interval grows up to this one.
    pub max_interval: Duration,
    /// The shortest interval between the beginnings of two commits, unless a stream has more events waiting. Longer
    /// means fewer commits, and later ones.
    pub commit_interval: Duration,
    /// How long a page without events waits for others that share its commit. Its stream isn't polled meanwhile.
    pub quiet_wait: Duration,
    /// A batch of this number of records is taken at once, and none is larger unless a single page is.
    pub max_records: usize,
    /// Largest size of the pages that wait for their commit, in bytes. Beyond it nothing is polled.
    pub max_pending_bytes: usize,
    /// Interval between two watermarks of a lane; zero: no watermarks.
    pub watermark_interval: Duration,
    /// This replica's name, for the checkpoint.
    pub replica: String,
    /// The deployment that the checkpoint belongs to.
    pub deployment: Deployment,
    /// The topic for records that are too large for the bus. Their stand-ins name it.
    pub dead_letter_topic: String,
    /// When and how resources are crawled.
    pub crawl: CrawlSettings,
    /// The configuration names all streams: one that it doesn't name has ended. False while discovery is still
    /// incomplete.
    pub all_known: bool,
    /// Which traces are reported.
    pub sampling: Sampling,
    /// What is read again after events, and where the latest states go.
    pub state: StateSettings,
    /// The forms of what is written.
    pub encodings: Encodings,
}

impl Settings {
    /// The shortest interval between two polls of a stream, and the longest.
    pub(super) fn intervals(&self) -> Intervals {
        Intervals { min: self.min_interval, max: self.max_interval }
    }

    /// What a checkpoint has to be, so that it can be continued.
    #[must_use]
    pub fn expected(&self) -> Expected {
        Expected { shards: self.shards, deployment: self.deployment.clone() }
    }

    /// A trace; `poll` as in [`Trace::new`].
    pub(crate) fn trace(&self, poll: u64, at: DateTime<Utc>) -> Trace {
        Trace::new(&self.replica, poll, at).sampled(self.sampling)
    }
}

/// What is read again after events, and where the latest states go.
#[derive(Clone, Debug)]
pub struct StateSettings {
    /// The types that are read again after an event, and kept in the state topic.
    pub refresh: Refreshed,
    /// The state topic; `None`: there is none.
    pub topic: Option<Topic>,
    /// How long changes of a resource are gathered.
    pub pace: RefreshPace,
    /// The part of an account's rate with which resources are read again, in percent. Polls and crawls share the rest.
    pub budget_percent: u32,
}

impl Default for StateSettings {
    /// Nothing is read again.
    fn default() -> Self {
        let pace = RefreshPace { quiet: Duration::from_secs(2), longest: Duration::from_secs(30) };
        Self { refresh: Refreshed::Nothing, topic: None, pace, budget_percent: 20 }
    }
}

impl StateSettings {
    /// Whether anything is read again.
    pub(super) fn is_on(&self) -> bool {
        self.refresh != Refreshed::Nothing
    }

    /// Whether the stream has to be crawled, so that all of it comes to the state topic.
    pub(super) fn wants(&self, stream: &Stream) -> bool {
        self.is_on() && self.topic.is_some() && !stream.in_state
    }

    /// The state topic, if resources of this type are kept in it.
    pub(super) fn topic_of(&self, resource_type: &str) -> Option<&Topic> {
        self.topic.as_ref().filter(|_| self.refresh.has(resource_type))
    }
}

/// When and how resources are crawled.
#[derive(Clone, Debug)]
pub struct CrawlSettings {
    /// A new stream is crawled, too.
    pub initial: bool,
    /// How deep a crawl goes.
    pub depth: Depth,
    /// The part of an account's rate that crawls may use, in percent.
    pub budget_percent: u32,
    /// The account that reads the lists of crawls; `None`: the stream's own account.
    pub account: Option<AccountName>,
    /// A list that comes short by more than this, in percent of what was known of it, and by more than
    /// [`short_count`](Self::short_count), is read again before its missing resources are requested one by one.
    pub short_percent: u32,
    /// See [`short_percent`](Self::short_percent).
    pub short_count: u32,
    /// Interval between two crawls that find what the event stream missed; zero: no such crawls.
    pub reconcile_interval: Duration,
    /// How long after a change its event may come. A change without one is reported as missed then.
    pub late_events: Duration,
}

impl Default for CrawlSettings {
    /// Source gaps are healed, and nothing else is crawled.
    fn default() -> Self {
        Self {
            initial: false,
            depth: Depth::Subtasks,
            budget_percent: 25,
            account: None,
            short_percent: 5,
            short_count: 20,
            reconcile_interval: Duration::ZERO,
            late_events: Duration::from_secs(15 * 60),
        }
    }
}

impl CrawlSettings {
    /// Whether the index keeps what was published of each resource.
    pub(super) fn compares(&self) -> bool {
        !self.reconcile_interval.is_zero()
    }
}

/// An account, and its rate.
#[derive(Clone, Debug)]
pub struct AccountSpec {
    /// Its name.
    pub name: AccountName,
    /// For all replicas together.
    pub limit: Limit,
}

/// A stream to poll.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamSpec {
    /// Its identity.
    pub id: StreamId,
    /// Which request polls it.
    pub kind: StreamKind,
}
