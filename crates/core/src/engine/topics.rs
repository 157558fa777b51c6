//! The output topics: what is known of each, and when each is checked again.
//!
//! A page waits until all its topics are known. Partitions may be added to a topic, so the driver checks it again from
//! time to time: a *refresh*. One refresh is under way at most.

use super::pending::Pending;
use super::schedule::backoff::Backoff;
use super::staging::Topics;
use crate::ids::Topic;
use crate::now::Now;
use crate::record::batch::OutputTopic;
use std::collections::BTreeMap;
use std::time::Duration;

/// Interval between two refreshes of a topic: partitions may be added.
const REFRESH_INTERVAL: Duration = Duration::from_secs(30);
/// The delays after failed refreshes of a topic.
const RETRY: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(60) };

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct OutputTopics {
    known: Topics,
    refreshes: BTreeMap<Topic, TopicRefresh>,
    /// A refresh is under way.
    is_refreshing: bool,
    /// A refresh began since the last batch.
    has_refreshed: bool,
}

/// When a topic is checked again.
#[derive(Clone, Copy, Debug)]
struct TopicRefresh {
    due: Duration,
    /// If the topic is known, nothing is committed before this refresh has succeeded.
    required: bool,
    /// Failed refreshes in a row.
    failures: u32,
}

/// How the sink fails to give access to an output topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicFailure {
    /// The bus doesn't answer, or not now. It may pass without anybody's help.
    Unavailable,
    /// The topic can't be used as it is: somebody has to fix it.
    Unusable,
}

/// What follows from a topic's failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicVerdict {
    /// The topic is known from before: the session goes on with what it knows, and checks it again.
    Continue,
    /// Only streams that write to this topic are blocked, until it can be used. It is checked again, with backoff.
    HoldStreams,
    /// Nothing can be published: the session ends.
    EndSession,
}

impl TopicVerdict {
    /// `is_known`: the topic could be used before. `is_only`: all streams write to it.
    fn of(failure: TopicFailure, is_known: bool, is_only: bool) -> Self {
        match (is_known, failure) {
            (true, TopicFailure::Unavailable) => Self::Continue,
            (true, TopicFailure::Unusable) => Self::EndSession,
            (false, _) if is_only => Self::EndSession,
            (false, _) => Self::HoldStreams,
        }
    }
}

impl OutputTopics {
    /// The topics that are known.
    pub(super) fn known(&self) -> &Topics {
        &self.known
    }

    pub(super) fn is_known(&self, topic: &Topic) -> bool {
        self.known.contains_key(topic)
    }

    pub(super) fn knows_all_of(&self, pending: &Pending) -> bool {
        pending.all_topics().all(|topic| self.is_known(topic))
    }

    /// Number of lanes of a topic that is known.
    pub(super) fn lanes(&self, topic: &Topic) -> Option<usize> {
        self.known.get(topic).map(|known| known.lanes.get() as usize)
    }

    /// Checks a topic now that was never checked.
    pub(super) fn want(&mut self, now: Now, topic: Topic) {
        self.refreshes.entry(topic).or_insert(TopicRefresh { due: now.monotonic, required: true, failures: 0 });
    }

    /// Another replica may know more lanes of the topic: if it is known here, it is checked before the next commit.
    pub(super) fn require(&mut self, now: Now, topic: &Topic) {
        if let Some(refresh) = self.refreshes.get_mut(topic) {
            *refresh = TopicRefresh { due: now.monotonic, required: true, failures: 0 };
        }
    }

    /// Nothing may be committed before a topic that is known was checked.
    pub(super) fn blocks_commits(&self) -> bool {
        self.refreshes.iter().any(|(topic, refresh)| refresh.required && self.is_known(topic))
    }

    /// The next topic to check. One that blocks commits goes first. Of the others, one comes between two batches that
    /// are due.
    pub(super) fn next_refresh(&mut self, now: Now, is_batch_due: bool) -> Option<Topic> {
        let due = || self.refreshes.iter().filter(|(_, refresh)| refresh.due <= now.monotonic);
        let urgent = due().find(|(topic, refresh)| refresh.required && self.is_known(topic));
        let may_wait = || due().min_by_key(|(_, refresh)| refresh.due).filter(|_| !self.has_refreshed || !is_batch_due);
        let topic = urgent.or_else(may_wait)?.0.clone();
        (self.is_refreshing, self.has_refreshed) = (true, true);
        Some(topic)
    }

    /// A refresh has succeeded. Returns what was known of the topic before.
    pub(super) fn refreshed(&mut self, now: Now, topic: Topic, known: OutputTopic) -> Option<OutputTopic> {
        self.is_refreshing = false;
        let due = now.monotonic + REFRESH_INTERVAL;
        self.refreshes.insert(topic.clone(), TopicRefresh { due, required: false, failures: 0 });
        self.known.insert(topic, known)
    }

    /// A refresh has failed: the topic is checked again after a delay. `is_only`: all streams write to this topic.
    pub(super) fn failed(&mut self, now: Now, topic: &Topic, failure: TopicFailure, is_only: bool) -> TopicVerdict {
        self.is_refreshing = false;
        let is_known = self.is_known(topic);
        if let Some(refresh) = self.refreshes.get_mut(topic) {
            refresh.failures += 1;
            // A topic that is known may block all commits: it is checked often.
            let failures = if is_known { 1 } else { refresh.failures };
            refresh.due = now.monotonic + RETRY.delay(failures, topic.as_str());
        }
        TopicVerdict::of(failure, is_known, is_only)
    }

    /// The last refresh of a topic of this page has failed.
    pub(super) fn fails_for(&self, pending: &Pending) -> bool {
        let has_failed = |topic: &Topic| self.refreshes.get(topic).is_some_and(|refresh| refresh.failures > 0);
        pending.all_topics().any(has_failed)
    }

    /// The next batch is being taken.
    pub(super) fn batch_taken(&mut self) {
        self.has_refreshed = false;
    }

    /// A refresh is under way.
    pub(super) fn is_refreshing(&self) -> bool {
        self.is_refreshing
    }

    /// When the next refresh is due.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.refreshes.values().map(|refresh| refresh.due).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use std::num::NonZeroU32;

    const SECOND: Duration = Duration::from_secs(1);

    fn now(seconds: u64) -> Now {
        Now { monotonic: Duration::from_secs(seconds), wall: DateTime::UNIX_EPOCH }
    }

    fn known() -> OutputTopic {
        OutputTopic { lanes: NonZeroU32::MIN, message_bytes: 1000 }
    }

    #[test]
    fn a_failed_topic_ends_the_session_only_if_it_concerns_all_streams_or_was_made_unusable() {
        use {TopicFailure as Failure, TopicVerdict as Verdict};
        for (failure, is_known, is_only, verdict) in [
            (Failure::Unavailable, true, true, Verdict::Continue),
            (Failure::Unavailable, true, false, Verdict::Continue),
            (Failure::Unusable, true, true, Verdict::EndSession),
            (Failure::Unusable, true, false, Verdict::EndSession),
            (Failure::Unavailable, false, true, Verdict::EndSession),
            (Failure::Unusable, false, true, Verdict::EndSession),
            (Failure::Unavailable, false, false, Verdict::HoldStreams),
            (Failure::Unusable, false, false, Verdict::HoldStreams),
        ] {
            assert_eq!(TopicVerdict::of(failure, is_known, is_only), verdict, "{failure:?} {is_known} {is_only}");
        }
    }

    #[test]
    fn a_known_topic_blocks_commits_only_while_its_refresh_is_required() {
        let (mut topics, topic) = (OutputTopics::default(), Topic::from("t"));
        topics.want(now(0), topic.clone());
        assert!(!topics.blocks_commits(), "what needs it waits anyway");
        assert_eq!(topics.next_refresh(now(0), true), Some(topic.clone()));
        assert_eq!(topics.refreshed(now(0), topic.clone(), known()), None);
        assert_eq!((topics.next_due(), topics.next_refresh(now(29), false)), (Some(REFRESH_INTERVAL), None));
        topics.require(now(29), &topic);
        assert!(topics.blocks_commits());
        assert_eq!(topics.next_refresh(now(29), true), Some(topic.clone()));
        assert_eq!(topics.failed(now(29), &topic, TopicFailure::Unavailable, true), TopicVerdict::Continue);
        assert!(topics.blocks_commits(), "until it succeeds");
        assert_eq!(topics.next_refresh(now(30), true), Some(topic.clone()));
        assert_eq!(topics.refreshed(now(30), topic, known()), Some(known()));
        assert!(!topics.blocks_commits());
    }

    #[test]
    fn one_refresh_that_may_wait_comes_between_two_batches() {
        let mut topics = OutputTopics::default();
        for topic in ["a", "b"] {
            topics.want(now(0), topic.into());
        }
        assert_eq!(topics.next_refresh(now(0), true), Some("a".into()));
        topics.refreshed(now(0), "a".into(), known());
        assert_eq!(topics.next_refresh(now(0), true), None, "the batch first");
        topics.batch_taken();
        assert_eq!(topics.next_refresh(now(0), true), Some("b".into()));
        let verdict = topics.failed(now(0), &"b".into(), TopicFailure::Unusable, false);
        assert_eq!(verdict, TopicVerdict::HoldStreams);
        assert!(topics.next_due().is_some_and(|due| due >= SECOND / 2 && due <= SECOND));
    }
}
