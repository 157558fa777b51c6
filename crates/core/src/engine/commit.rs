//! From what waits to a batch, and from its commit to the committed state.

use super::{
    ABORTED, Account, Change, CommitSummary, CommittedPage, Engine, Entry, Look, Next, Pending, REFRESH, Settings,
    Shard, StreamSpec,
};
use crate::checkpoint::{write_crawl, write_lanes, write_shard, write_stream};
use crate::crawl::known::Update;
use crate::engine::staging::{ShardWatermark, newest, stage};
use crate::ids::{ShardId, StreamId, Topic};
use crate::now::Now;
use crate::record::batch::{Batch, CheckpointWrite};
use crate::record::placement::shard_of;
use crate::record::trace::Trace;
use crate::stream::{State, Stream};
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// When a watermark is tried again whose topics weren't known.
const WATERMARK_RETRY: Duration = Duration::from_secs(1);

impl Engine {
    pub(super) fn may_commit(&self) -> bool {
        let is_awaited = |(topic, look): (&Topic, &Look)| look.required && self.topics.contains_key(topic);
        self.committing.is_none() && !self.looks.iter().any(is_awaited)
    }

    /// The topics that something that is true of the whole stream concerns: all that its shard wrote and the stream may
    /// have written, or at least one. Where it has to be said in others too, they get it when the stream comes to them.
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
        self.has_looked = false;
        let room = self.batch_messages.min(self.settings.max_records);
        let mut taken = Vec::new();
        let mut messages = 0;
        while let Some(pending) = self.waiting.front() {
            messages += self.weight(pending);
            if messages > room && !taken.is_empty() {
                break;
            }
            let Some(pending) = self.waiting.pop_front() else { break };
            self.waiting_records -= pending.records.len();
            taken.push(pending);
        }
        let watermarks = self.take_watermarks(now, room.saturating_sub(messages));
        let refreshed = self.take_refreshed(now);
        if taken.is_empty() && watermarks.is_empty() && refreshed.is_empty() {
            return None;
        }
        let committed = |pending: &Pending| match self.streams.get(&pending.id) {
            Some(entry) => Some(&entry.committed),
            None => self.shards.get(&pending.shard)?.parked.get(&pending.id),
        };
        let (staged, mut batch) =
            stage(taken, committed, &watermarks, &self.shards, &self.topics, &self.settings, now.wall);
        if !refreshed.is_empty() {
            batch.checkpoints = newest(refreshed.into_iter().chain(batch.checkpoints));
        }
        self.committing = Some(staged);
        Some(batch)
    }

    /// The whole checkpoint of a shard that is due for it, as it is on the bus.
    fn take_refreshed(&mut self, now: Now) -> Vec<CheckpointWrite> {
        let due = self.shards.iter_mut().find(|(_, shard)| shard.refresh_at <= now.monotonic);
        let Some((&id, shard)) = due.filter(|_| !self.draining) else { return Vec::new() };
        shard.refresh_at = now.monotonic + REFRESH.delay(1, &id.to_string());
        let Shard { counters, parked, .. } = &*shard;
        let Settings { shards, replica, .. } = &self.settings;
        let mut writes = vec![write_shard(id, *shards, counters.epoch(), replica)];
        writes.extend(counters.lanes().map(|(topic, lanes)| write_lanes(id, topic, lanes)));
        let polled = self.specs.get(&id).into_iter().flatten();
        let polled = polled.filter_map(|spec| Some((&spec.id, &self.streams.get(&spec.id)?.committed)));
        // One that was never polled has no entry yet.
        for (stream, committed) in polled.chain(parked).filter(|(_, stream)| **stream != Stream::default()) {
            writes.push(write_stream(id, stream, committed));
            writes.extend(write_crawl(id, stream, None, committed.crawl.as_ref()));
        }
        writes
    }

    /// The trace of the commit that is under way.
    #[must_use]
    pub fn commit_trace(&self) -> Option<Trace> {
        self.committing.as_ref().map(|staged| staged.trace)
    }

    /// About how many messages it becomes: its records, what each lane is told, and its checkpoints.
    fn weight(&self, pending: &Pending) -> usize {
        // The stream's checkpoint, its crawl's, and a piece that comes and one that goes.
        let checkpoints = if matches!(pending.change, Change::Crawl(_)) { 4 } else { 1 };
        let lanes = |topic| self.topics.get(topic).map_or(1, |known| known.lanes.get() as usize);
        pending.records.len() + checkpoints + pending.topics.iter().map(lanes).sum::<usize>()
    }

    /// The watermarks that are due and whose topics are known, as many as there is room for, or one.
    fn take_watermarks(&mut self, now: Now, room: usize) -> Vec<ShardWatermark> {
        let is_due = |(_, shard): &(&ShardId, &Shard)| self.watermark_due(shard).is_some_and(|at| at <= now.monotonic);
        let due: Vec<_> = self.shards.iter().filter(is_due).map(|(shard, _)| *shard).collect();
        let (mut watermarks, mut messages) = (Vec::new(), 0);
        for shard in due {
            let topics = self.topics_of(shard);
            if topics.iter().any(|topic| !self.topics.contains_key(topic)) {
                for topic in topics {
                    self.want(now, topic);
                }
                if let Some(shard) = self.shards.get_mut(&shard) {
                    shard.watermark_at = now.monotonic + WATERMARK_RETRY;
                }
                continue;
            }
            let lanes = |topic| self.topics.get(topic).map_or(0, |known| known.lanes.get() as usize);
            messages += topics.iter().map(lanes).sum::<usize>() + topics.len();
            if messages > room && !watermarks.is_empty() {
                break;
            }
            let complete_up_to = self.complete_up_to(now, shard);
            if complete_up_to.is_none() {
                self.want_time(now);
            }
            let wait = if complete_up_to.is_some() { self.settings.watermark_interval } else { WATERMARK_RETRY };
            if let Some(shard) = self.shards.get_mut(&shard) {
                shard.watermark_at = now.monotonic + wait;
            }
            let complete_up_to = complete_up_to.filter(|_| !topics.is_empty());
            watermarks.extend(complete_up_to.map(|complete_up_to| ShardWatermark { shard, complete_up_to, topics }));
        }
        watermarks
    }

    fn watermark_due(&self, shard: &Shard) -> Option<Duration> {
        (!self.draining && !self.settings.watermark_interval.is_zero()).then_some(shard.watermark_at)
    }

    /// The topics that consumers look for the shard's records in.
    fn topics_of(&self, shard: ShardId) -> Vec<Topic> {
        let template = &self.settings.topic;
        let specs = self.specs.get(&shard).map_or(&[][..], Vec::as_slice);
        let written = self.shards.get(&shard).into_iter().flat_map(|shard| shard.counters.topics());
        let written = written.filter(|topic| specs.iter().any(|spec| template.may_give(&spec.id, topic)));
        written.chain(template.only_topic()).cloned().collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The time, by Asana's clock, at or after which each of the shard's streams that can be polled was polled to its
    /// end. What is committed counts, so that all of it is on the bus. Without such a stream, a time that has passed at Asana;
    /// none where no answer told one, or the first token of a stream is under way.
    fn complete_up_to(&self, now: Now, shard: ShardId) -> Option<DateTime<Utc>> {
        let specs = self.specs.get(&shard).into_iter().flatten();
        let specs = specs.filter_map(|spec| Some((spec, self.streams.get(&spec.id)?)));
        let begins =
            |(spec, entry): (&StreamSpec, &Entry)| entry.committed.live().is_none() && !self.is_scheduled(&spec.id);
        if specs.clone().any(begins) {
            return None;
        }
        let polled = specs.filter_map(|(spec, entry)| match &entry.committed.state {
            State::Live(live) => Some(live.last_complete_poll_at),
            // It is asked again just now, or its answer waits for a commit: it may have had events since.
            State::Suspended { live: Some(live), .. } if !self.is_scheduled(&spec.id) => {
                Some(live.last_complete_poll_at)
            }
            State::Establish | State::Suspended { .. } => None,
        });
        // As long as it isn't said that it has ended, whatever was polled before may be again.
        let parked = self.shards.get(&shard).map(|shard| &shard.parked);
        let parked = parked.into_iter().flat_map(BTreeMap::values).filter(|stream| !stream.ended);
        let parked = parked.filter_map(|stream| Some(stream.live()?.last_complete_poll_at));
        polled.chain(parked).min().or_else(|| self.asana_clock.passed(now.monotonic))
    }

    /// Not while it is polled, or what that brought waits for a commit.
    fn is_scheduled(&self, id: &StreamId) -> bool {
        let is_waiting = |account: &Account| account.schedule.due(id).is_some() || account.credential.is_held(id);
        self.accounts.get(&id.account).is_some_and(is_waiting)
    }

    /// When the next batch is to be taken, if there is something for it.
    pub(super) fn batch_due(&self) -> Option<Duration> {
        let at_once = self.draining
            || self.is_full()
            || self.waiting_records >= self.settings.max_records.min(self.batch_messages);
        let linger = if at_once { Duration::ZERO } else { self.settings.linger };
        let pages = self.waiting.front().map(|oldest| oldest.arrived + linger);
        let watermark = self.shards.values().filter_map(|shard| self.watermark_due(shard)).min();
        let refresh = self.shards.values().map(|shard| shard.refresh_at).filter(|_| !self.draining).min();
        let due = pages.into_iter().chain(watermark).chain(refresh).min()?;
        Some(due.max(self.not_before))
    }

    /// The batch is on the bus: its states count, and its streams may be polled again.
    pub fn committed(&mut self, now: Now) -> CommitSummary {
        let Some(staged) = self.committing.take() else { return CommitSummary::default() };
        self.aborts = 0;
        let mut summary =
            CommitSummary { messages: staged.messages, notices: staged.notices, ..CommitSummary::default() };
        for (shard, counters) in staged.counters {
            if let Some(shard) = self.shards.get_mut(&shard) {
                shard.counters = counters;
                shard.header_due = false;
            }
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
            self.pending_bytes -= pending.bytes;
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
        summary
    }

    /// The batch is surely not on the bus: the same pages will be written again, with the same sequences.
    pub fn aborted(&mut self, now: Now) {
        let Some(staged) = self.committing.take() else { return };
        self.aborts += 1;
        self.not_before = now.monotonic + ABORTED.delay(self.aborts, &self.settings.replica);
        for (pending, ..) in staged.pending.into_iter().rev() {
            self.waiting_records += pending.records.len();
            self.waiting.push_front(pending);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::bench::{Bench, MINUTE};
    use crate::outcome::poll::{Failure, PollOutcome, Probed, Verdict};
    use crate::outcome::stamp::Stamp;
    use bridge_contract::pb::{self, record::Body};
    use bridge_contract::time::timestamp;
    use chrono::TimeDelta;
    use prost::Message as _;

    fn bodies(batch: Option<Batch>) -> Vec<Body> {
        let records = batch.unwrap().messages.into_iter().map(|it| pb::Record::decode(it.value.as_slice()).unwrap());
        records.filter_map(|record| record.body).collect()
    }

    #[test]
    fn nothing_is_complete_as_long_as_a_stream_may_be_found_again() {
        let mut bench = Bench::new();
        let settings = Settings { watermark_interval: MINUTE, all_known: false, ..bench.engine.settings.clone() };
        let State::Live(live) = bench.engine.streams[&bench.id].committed.state.clone() else { panic!("it is live") };
        bench.reconfigure(settings, false);
        bench.wait(60 * MINUTE);
        assert_eq!(bench.commit(), None, "the topic isn't known yet");
        bench.wait(MINUTE);
        let watermark = pb::Watermark { complete_up_to: timestamp(live.last_complete_poll_at), shards: 1, lanes: 1 };
        assert!(bodies(bench.commit()).contains(&Body::Watermark(watermark)));
    }

    #[test]
    fn a_shard_without_a_live_stream_says_a_time_that_has_passed_at_asana() {
        let mut bench = Bench::new();
        let settings = Settings { watermark_interval: MINUTE, ..bench.engine.settings.clone() };
        bench.reconfigure(settings, false);
        bench.commit();
        bench.wait(10 * MINUTE);
        let passed = bench.now.wall - TimeDelta::seconds(1);
        bench.now.wall += TimeDelta::days(1);
        let watermark = pb::Watermark { complete_up_to: timestamp(passed), shards: 1, lanes: 1 };
        assert!(bodies(bench.commit()).contains(&Body::Watermark(watermark)));
    }

    #[test]
    fn where_no_answer_told_asanas_time_it_is_asked_for_once_and_nothing_is_said_before() {
        let mut bench = Bench::new();
        bench.restart(MINUTE);
        let settings = bench.engine.settings.clone();
        bench.reconfigure(settings, false);
        let is_watermark = |body: &Body| matches!(body, Body::Watermark(_));
        assert!(!bodies(bench.commit()).iter().any(is_watermark));
        bench.wait(2 * MINUTE);
        assert_eq!(bench.commit(), None);
        let probe = bench.engine.next_probe(bench.now).unwrap();
        for _ in 0..50 {
            bench.wait(MINUTE);
            assert_eq!((bench.commit(), bench.engine.next_probe(bench.now)), (None, None));
        }
        let stamp = Stamp::new(bench.now.wall, Duration::ZERO);
        let probed = Probed { verdict: Verdict::Lives, stamp, received_at: bench.now.wall };
        bench.engine.handle_probe(bench.now, &probe, probed);
        bench.wait(MINUTE);
        assert!(bodies(bench.commit()).iter().any(is_watermark));
    }

    #[test]
    fn a_stream_that_comes_back_says_so_though_its_first_poll_fails() {
        let mut bench = Bench::new();
        let settings = bench.engine.settings.clone();
        bench.reconfigure(settings.clone(), false);
        assert!(bodies(bench.commit()).iter().any(|body| matches!(body, Body::StreamEnded(_))));
        bench.reconfigure(settings, true);
        bench.wait(MINUTE);
        let poll = bench.poll().unwrap();
        bench.answer(&poll, PollOutcome::Failed(Failure::TimedOut));
        bench.wait(10 * MINUTE);
        let poll = bench.poll().unwrap();
        let page = bench.page();
        bench.engine.handle_outcome(bench.now, &poll, bench.polled(page));
        assert!(bodies(bench.commit()).iter().any(|body| matches!(body, Body::StreamResumed(_))));
    }
}
