//! What waits for a commit, and the topics that have to be known before.

use super::{Change, Engine, Look, Next, Pending, TOPIC_CHECK_INTERVAL, TOPIC_RETRY};
use crate::ids::{ShardId, StreamId, Topic};
use crate::now::Now;
use crate::record::batch::OutputTopic;
use crate::record::trace::Trace;
use std::collections::BTreeSet;

impl Pending {
    /// Something that becomes of a stream, and nothing to say of it yet.
    pub(super) fn new(now: Now, shard: ShardId, id: StreamId, change: Change, trace: Trace) -> Self {
        Self {
            shard,
            id,
            change,
            topics: BTreeSet::new(),
            announcement: None,
            records: Vec::new(),
            ends_crawl: None,
            received_at: now.wall,
            trace,
            notice: None,
            next: Next::Nothing,
            known: Vec::new(),
            events: 0,
            bytes: 0,
            arrived: now.monotonic,
        }
    }

    fn all_topics(&self) -> impl Iterator<Item = &Topic> {
        self.records.iter().map(|(topic, _)| topic).chain(&self.topics)
    }
}

impl Engine {
    /// Has it committed, once its topics are known.
    pub(super) fn wait(&mut self, now: Now, pending: Pending) {
        self.pending_bytes += pending.bytes;
        for topic in pending.all_topics() {
            self.want(now, topic.clone());
        }
        self.enqueue(pending);
    }

    /// Has a topic looked at that isn't known.
    pub(super) fn want(&mut self, now: Now, topic: Topic) {
        self.looks.entry(topic).or_insert(Look { due: now.monotonic, required: true, failures: 0 });
    }

    /// What waits for a topic doesn't hold other streams up. A stream's own is kept in order.
    fn enqueue(&mut self, pending: Pending) {
        let is_known = pending.all_topics().all(|topic| self.topics.contains_key(topic));
        if is_known && !self.held.contains_key(&pending.id) {
            self.waiting_records += pending.records.len();
            self.waiting.push_back(pending);
        } else {
            self.held.entry(pending.id.clone()).or_default().push_back(pending);
        }
    }

    /// A topic that may have to be looked at now: one before which nothing may be committed, or one that is not known
    /// or may have changed. Of the latter one comes between two batches that are due.
    pub fn topic_to_look_at(&mut self, now: Now) -> Option<Topic> {
        let due = || self.looks.iter().filter(|(_, look)| look.due <= now.monotonic);
        let urgent = due().find(|(topic, look)| look.required && self.topics.contains_key(*topic));
        let is_batch_due = || self.may_commit() && self.batch_due().is_some_and(|due| due <= now.monotonic);
        let other = || due().min_by_key(|(_, look)| look.due).filter(|_| !self.has_looked || !is_batch_due());
        let topic = urgent.or_else(other)?.0.clone();
        (self.is_looking, self.has_looked) = (true, true);
        Some(topic)
    }

    /// Makes a topic known, or known anew. How it was before.
    pub fn set_topic(&mut self, now: Now, topic: Topic, known: OutputTopic) -> Option<OutputTopic> {
        self.is_looking = false;
        let due = now.monotonic + TOPIC_CHECK_INTERVAL;
        self.looks.insert(topic.clone(), Look { due, required: false, failures: 0 });
        let before = self.topics.insert(topic, known);
        if before.is_none() {
            for pending in std::mem::take(&mut self.held).into_values().flatten() {
                self.enqueue(pending);
            }
        }
        before
    }

    /// A topic couldn't be looked at, or isn't as it must be: it is looked at again after a while. Whether it is known from
    /// before; if not, what is for it waits.
    pub fn topic_failed(&mut self, now: Now, topic: &Topic) -> bool {
        self.is_looking = false;
        if let Some(look) = self.looks.get_mut(topic) {
            look.failures += 1;
            // Before one that is known may be written, it may have to be looked at: that is worth to be asked often.
            let failures = if self.topics.contains_key(topic) { 1 } else { look.failures };
            look.due = now.monotonic + TOPIC_RETRY.delay(failures, topic.as_str());
        }
        self.topics.contains_key(topic)
    }

    /// Forgets pages of streams that this replica doesn't have any more.
    pub(super) fn drop_orphans(&mut self) {
        let (streams, shards) = (&self.streams, &self.shards);
        let is_ours = |pending: &Pending| match pending.change {
            Change::Ended => shards.contains_key(&pending.shard) && !streams.contains_key(&pending.id),
            Change::Polled { .. } | Change::Crawl(_) => streams.contains_key(&pending.id),
        };
        self.waiting.retain(is_ours);
        self.held.retain(|_, held| {
            held.retain(is_ours);
            !held.is_empty()
        });
        self.waiting_records = self.waiting.iter().map(|pending| pending.records.len()).sum();
        self.pending_bytes = self.uncommitted().map(|pending| pending.bytes).sum();
    }

    /// All that isn't being committed.
    pub(super) fn uncommitted(&self) -> impl Iterator<Item = &Pending> {
        self.waiting.iter().chain(self.held.values().flatten())
    }

    /// Whether nothing is under way to the bus, but for what waits for topics that can't be had.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        let has_failed = |topic: &Topic| self.looks.get(topic).is_some_and(|look| look.failures > 0);
        let is_stuck = |held: &Pending| held.all_topics().any(has_failed);
        self.committing.is_none() && self.waiting.is_empty() && self.held.values().flatten().all(is_stuck)
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::bench::{Bench, MINUTE};
    use crate::ids::Topic;
    use crate::outcome::poll::{Page, PollOutcome};
    use crate::record::event::Event;
    use std::time::Duration;

    fn page(bench: &Bench, resource_type: &str, next: &str) -> PollOutcome {
        let event =
            serde_json::json!({ "action": "changed", "resource": { "gid": "7", "resource_type": resource_type } });
        let events = vec![Event::parse(&serde_json::value::to_raw_value(&event).unwrap())];
        PollOutcome::Page(Page { events, next: next.into(), has_more: false, received_at: bench.now.wall, bytes: 9 })
    }

    #[test]
    fn what_needs_a_topic_that_cant_be_had_waits_and_is_asked_for_ever_more_slowly() {
        let mut bench = Bench::writing_to("t.{resource_type}");
        bench.wait(MINUTE);
        let poll = bench.poll().unwrap();
        let page = page(&bench, "story", "c");
        bench.engine.handle_outcome(bench.now, &poll, bench.polled(page));
        let mut looks = 0;
        for _ in 0..600 {
            if let Some(topic) = bench.engine.topic_to_look_at(bench.now) {
                assert_eq!(topic, Topic::from("t.story"));
                assert_eq!(bench.engine.next_deadline(), None, "while it is looked at there is nothing to do");
                assert!(!bench.engine.topic_failed(bench.now, &topic));
                looks += 1;
            }
            assert_eq!(bench.engine.take_batch(bench.now), None);
            bench.wait(Duration::from_secs(1));
        }
        assert!((10..30).contains(&looks), "{looks} looks in ten minutes");
        assert!(bench.engine.is_drained(), "nobody waits for it at the end");
        bench.wait(MINUTE);
        assert!(bench.commit().is_some());
        assert!(bench.engine.is_drained());
    }

    /// A stream that an event of is on the bus.
    fn published() -> Bench {
        let mut bench = Bench::new();
        bench.wait(MINUTE);
        let poll = bench.poll().unwrap();
        let page = page(&bench, "task", "c");
        bench.answer(&poll, page);
        bench
    }

    #[test]
    fn watermarks_wait_for_topics_without_haste() {
        let mut bench = published();
        // The next session knows the shard's topics by its checkpoint alone, and can't look at them.
        bench.restart(Duration::from_secs(20));
        let mut turns = 0;
        let end = bench.now.monotonic + 10 * MINUTE;
        while bench.now.monotonic < end {
            turns += 1;
            if let Some(topic) = bench.engine.topic_to_look_at(bench.now) {
                bench.engine.topic_failed(bench.now, &topic);
            }
            assert_eq!(bench.engine.take_batch(bench.now), None);
            while bench.poll().is_some() {}
            let next = bench.engine.next_deadline().unwrap();
            bench.wait(next.saturating_sub(bench.now.monotonic));
        }
        assert!(turns < 3_000, "{turns} turns in ten minutes");
        bench.wait(MINUTE);
        assert!(bench.commit().is_some_and(|batch| !batch.messages.is_empty()), "the watermark");
    }

    #[test]
    fn a_checkpoint_is_written_again_before_a_bus_forgets_it() {
        let mut bench = published();
        let day = 24 * 60;
        let mut keys: Vec<String> = Vec::new();
        for _ in 0..day {
            bench.wait(MINUTE);
            // Each poll finds nothing, which commits nothing.
            while let Some(poll) = bench.poll() {
                let mut page = bench.page();
                if let PollOutcome::Page(page) = &mut page {
                    page.next = "c".into();
                }
                bench.engine.handle_outcome(bench.now, &poll, bench.polled(page));
            }
            keys.extend(bench.commit().into_iter().flat_map(|batch| batch.checkpoints).map(|write| write.key));
        }
        for key in ["shard", "stream/main/1"] {
            let count = keys.iter().filter(|it| *it == key).count();
            assert!((3..=9).contains(&count), "{key} {count} times in {keys:?}");
        }
        assert!(keys.iter().any(|key| key == "lanes/t"), "{keys:?}");
    }
}
