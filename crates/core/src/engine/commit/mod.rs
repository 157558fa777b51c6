//! From what waits to a batch, and from its commit to the committed state.

pub(super) mod summary;

use super::pending::{Change, Next, Pending};
use super::queue::CommitPace;
use super::topics::{OutputTopics, TopicFailure, TopicVerdict};
use super::watermarks::ShardProgress;
use super::{Engine, REFRESH, Settings, Shard};
use crate::checkpoint::{write_crawl, write_lanes, write_refresh, write_shard, write_stream};
use crate::crawl::known::Update;
use crate::engine::staging::{Owner, Taken, newest, stage};
use crate::ids::{ShardId, StreamId, Topic};
use crate::now::Now;
use crate::record::batch::{Batch, CheckpointWrite, OutputTopic};
use crate::record::placement::shard_of;
use crate::record::trace::Trace;
use std::collections::BTreeSet;
use std::time::Duration;
use summary::{CommitSummary, CommittedPage};

impl Engine {
    /// Commits it, as soon as its topics are known.
    pub(super) fn wait(&mut self, now: Now, pending: Pending) {
        for topic in pending.all_topics() {
            self.topics.want(now, topic.clone());
        }
        self.queue.push(pending, &self.topics);
    }

    /// The next output topic to check, if one is due: one that isn't known yet, or that may have changed. The driver
    /// answers by [`set_topic`](Self::set_topic) or [`topic_failed`](Self::topic_failed). One that blocks commits goes
    /// first; of the others, one comes between two batches that are due.
    pub fn next_topic_refresh(&mut self, now: Now) -> Option<Topic> {
        let is_batch_due = self.may_commit() && self.batch_due().is_some_and(|due| due <= now.monotonic);
        self.topics.next_refresh(now, is_batch_due)
    }

    /// A topic is as `known`. Returns what was known of it before.
    pub fn set_topic(&mut self, now: Now, topic: Topic, known: OutputTopic) -> Option<OutputTopic> {
        let before = self.topics.refreshed(now, topic, known);
        if before.is_none() {
            self.queue.release(&self.topics);
        }
        before
    }

    /// A topic couldn't be checked, or can't be used: it is checked again after a delay. Returns whether the session
    /// goes on.
    pub fn topic_failed(&mut self, now: Now, topic: &Topic, failure: TopicFailure) -> TopicVerdict {
        let is_only = self.settings.topic.only_topic().is_some();
        self.topics.failed(now, topic, failure, is_only)
    }

    /// Nothing is under way to the bus, apart from what waits for topics that can't be used.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.queue.is_drained(|held| self.topics.fails_for(held))
    }

    pub(super) fn may_commit(&self) -> bool {
        self.queue.is_idle() && !self.topics.blocks_commits()
    }

    /// The topics that something that is true of the whole stream concerns: all that its shard wrote and the stream may
    /// have written, or at least one. Other topics get it when the stream comes to them.
    pub(super) fn topics_of_stream(&self, id: &StreamId, shard: ShardId) -> BTreeSet<Topic> {
        let template = &self.settings.topic;
        let written = self.shards.get(&shard).into_iter().flat_map(|shard| shard.counters.topics());
        let mut topics: BTreeSet<_> = written.filter(|topic| template.may_give(id, topic)).cloned().collect();
        if topics.is_empty() {
            topics.insert(template.topic(id, ""));
        }
        topics
    }

    /// The next batch, if it is time for one and none is being committed.
    pub fn take_batch(&mut self, now: Now) -> Option<Batch> {
        if !self.may_commit() || self.batch_due()? > now.monotonic {
            return None;
        }
        self.topics.batch_taken();
        let room = self.limits.messages.min(self.settings.max_records);
        let progress = self.take_progress(now, room);
        // Watermarks have a batch of their own: there is always room for them, and no sink has to split one that is about
        // several shards. So have statements of the state topic.
        let statements = if progress.is_empty() { self.take_statements(now, room) } else { Vec::new() };
        let alone = !progress.is_empty() || !statements.is_empty();
        let (taken, refreshed) = if alone {
            (Vec::new(), Vec::new())
        } else {
            (self.queue.take(room, |it| weight(it, &self.topics))?, self.take_refreshed(now))
        };
        let used: usize = taken.iter().map(|it| weight(it, &self.topics)).sum();
        let has_room = !alone && (used == 0 || used + REFRESH_ROOM < room);
        let ready = if has_room { self.take_ready(room.saturating_sub(used)) } else { Vec::new() };
        if taken.is_empty() && !alone && refreshed.is_empty() && ready.is_empty() {
            return None;
        }
        let committed = |pending: &Pending| match self.streams.get(&pending.id) {
            Some(entry) => Some(&entry.committed),
            None => self.shards.get(&pending.shard)?.parked.get(&pending.id),
        };
        let owner = Owner {
            shards: &self.shards,
            topics: self.topics.known(),
            settings: &self.settings,
            shards_at_once: self.shards_at_once(),
        };
        let places = self.places_after(&ready);
        let taken = Taken { pending: taken, progress, ready, places, statements };
        let (staged, mut batch) = stage(owner, taken, committed, now.wall);
        if !refreshed.is_empty() {
            batch.checkpoints = newest(refreshed.into_iter().chain(batch.checkpoints));
        }
        self.queue.begin(now, staged);
        Some(batch)
    }

    /// The checkpoints of these shards were deleted from the bus: all of each is written again with the next batches.
    pub fn rewrite(&mut self, now: Now, shards: &[ShardId]) {
        for shard in shards {
            if let Some(shard) = self.shards.get_mut(shard) {
                shard.refresh_at = now.monotonic;
            }
        }
    }

    /// The whole checkpoint of a shard that is due for it, as it is on the bus.
    fn take_refreshed(&mut self, now: Now) -> Vec<CheckpointWrite> {
        let due = self.shards.iter_mut().find(|(_, shard)| shard.refresh_at <= now.monotonic);
        let Some((&id, shard)) = due.filter(|_| !self.draining) else { return Vec::new() };
        shard.refresh_at = now.monotonic + REFRESH.delay(1, &id.to_string());
        let Shard { counters, parked, .. } = &*shard;
        let mut writes = vec![write_shard(id, &shard.header(&self.settings, counters))];
        writes.extend((shard.refresh_place > 0).then(|| write_refresh(id, shard.refresh_place)));
        writes.extend(counters.lanes().map(|(topic, lanes)| write_lanes(id, topic, lanes)));
        let polled = self.specs.get(&id).into_iter().flatten();
        let polled = polled.filter_map(|spec| Some((&spec.id, &self.streams.get(&spec.id)?.committed)));
        // One that was never polled has no entry yet.
        for (stream, committed) in polled.chain(parked).filter(|(_, stream)| !stream.is_new()) {
            writes.push(write_stream(id, stream, committed));
            writes.extend(write_crawl(id, stream, None, committed.crawl.as_ref()));
        }
        writes
    }

    /// The trace of the commit that is under way.
    #[must_use]
    pub fn commit_trace(&self) -> Option<Trace> {
        self.queue.commit_trace()
    }

    /// When the next batch is to be taken, if there is something for it.
    pub(super) fn batch_due(&self) -> Option<Duration> {
        let at_once = self.draining
            || self.is_full()
            || self.queue.ready_records() >= self.settings.max_records.min(self.limits.messages);
        let Settings { commit_interval: interval, quiet_wait, .. } = self.settings;
        let pace = if at_once { CommitPace::default() } else { CommitPace { interval, quiet_wait } };
        let pages = self.queue.due(pace);
        let read = self.refresh_ready().map(|arrived| self.queue.paced(arrived, pace));
        let watermark = self.shards.values().filter_map(|shard| self.watermark_due(shard)).min();
        let refresh = self.shards.values().map(|shard| shard.refresh_at).filter(|_| !self.draining).min();
        let due = pages.into_iter().chain(read).chain(watermark).chain(refresh).chain(self.statement_due()).min()?;
        Some(due.max(self.queue.not_before()))
    }

    /// The batch is on the bus: its states count, and its streams may be polled again.
    pub fn committed(&mut self, now: Now) -> CommitSummary {
        let Some(staged) = self.queue.committed() else { return CommitSummary::default() };
        let mut summary =
            CommitSummary { messages: staged.messages, notices: staged.notices, ..CommitSummary::default() };
        for (shard, counters) in staged.counters {
            if let Some(shard) = self.shards.get_mut(&shard) {
                shard.counters = counters;
                shard.header_due = false;
            }
        }
        for (shard, place) in staged.places {
            if let Some(shard) = self.shards.get_mut(&shard) {
                shard.refresh_place = place;
            }
        }
        self.refreshed(now, &staged.ready);
        self.statements_committed(staged.statements);
        summary.refreshed = staged.ready.len();
        for ShardProgress { shard, empty, .. } in staged.progress {
            self.stated(now, shard, empty);
        }
        for (id, stream) in staged.streams {
            if let Some(entry) = self.streams.get_mut(&id) {
                entry.committed = stream;
            } else if let Some(parked) =
                self.shards.get_mut(&shard_of(&id, self.settings.shards)).and_then(|shard| shard.parked.get_mut(&id))
            {
                *parked = stream;
            }
        }
        for (pending, from, to) in staged.pending {
            summary.events += pending.events;
            let took = now.monotonic.saturating_sub(pending.arrived);
            summary.latencies.push(took);
            if pending.trace.is_sampled() && !pending.records.is_empty() {
                summary.pages.push(CommittedPage {
                    trace: pending.trace,
                    stream: pending.id.clone(),
                    shard: pending.shard,
                    is_polled: matches!(pending.change, Change::Polled { .. }),
                    records: pending.records.len(),
                    took,
                });
            }
            summary.notices.extend(pending.notice.map(|notice| (pending.id.clone(), notice)));
            summary.happened_at.extend(pending.records.iter().take(pending.events).map(|(_, record)| record.time));
            if let Some(entry) = self.streams.get_mut(&pending.id) {
                entry.published += pending.events as u64;
            }
            if self.settings.crawl.compares() && (from != to || !pending.known.is_empty()) {
                summary.updates.push((pending.id.clone(), Update { from, to, changes: pending.known }));
            }
            match pending.next {
                Next::Poll(pace) => self.reschedule(now, &pending.id, pace),
                Next::CrawlStep => {
                    if pending.ends_crawl.is_some() {
                        self.crawl_ended(now, &pending.id);
                    }
                    self.end_step(now, &pending.id);
                }
                Next::Nothing => {}
            }
            self.schedule_crawl(now, &pending.id);
        }
        self.apply_next_configuration(now);
        summary
    }

    /// The batch is surely not on the bus: the same pages will be written again, with the same sequences.
    pub fn aborted(&mut self, now: Now) {
        let (ready, statements) = self.queue.aborted(now, &self.settings.replica);
        self.ready_again(ready);
        self.statements_aborted(&statements);
        self.apply_next_configuration(now);
    }

    /// No commit is under way any more: the configuration that came meanwhile counts.
    fn apply_next_configuration(&mut self, now: Now) {
        if let Some(configuration) = self.next_configuration.take() {
            self.configure(now, &configuration);
        }
    }
}

/// What was read again waits for the next batch if pages leave less room than this: a few resources.
const REFRESH_ROOM: usize = 20;

/// About how many messages it becomes: its records, one announcement for each lane, and its checkpoints.
fn weight(pending: &Pending, topics: &OutputTopics) -> usize {
    // The stream's checkpoint, its crawl's, and a piece that comes and one that goes.
    let checkpoints = if matches!(pending.change, Change::Crawl(_)) { 4 } else { 1 };
    let lanes = pending.topics.iter().map(|topic| topics.lanes(topic).unwrap_or(1));
    pending.records.len() + pending.entries.len() + checkpoints + lanes.sum::<usize>()
}

#[cfg(test)]
mod tests;
