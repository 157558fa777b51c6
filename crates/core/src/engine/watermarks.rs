//! Watermarks: how far each shard is, in as few records as possible.
//!
//! A replica states it for all of its shards that are due in one record for each lane of a topic. The record has its place in
//! the sequence of one of these shards. It is fenced by all of them, because the same commit writes the header of each: a
//! replica that has lost one of them can state nothing. A watermark names the last record of each shard in its lane, so that
//! a consumer sees the loss of any shard's last records. If a sink can't commit several shards at once, each shard has a
//! record of its own.
//!
//! A shard without streams is stated to be *empty*, and holds nothing back from then on. So nothing of it may be polled before
//! the end of that is on the bus: its streams wait for a watermark that no longer says so.

use super::{Engine, Entry, Shard, StreamSpec};
use crate::ids::{ShardId, Topic};
use crate::now::Now;
use crate::stream::State;
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// When a watermark is tried again whose topics weren't known.
pub(super) const WATERMARK_RETRY: Duration = Duration::from_secs(1);
/// An empty shard is stated again after this number of intervals, for consumers that have joined since.
const EMPTY_INTERVALS: u32 = 15;
/// The most shards in one watermark: about 15 KB.
const SHARDS_AT_ONCE: usize = 500;

/// How far a shard is, in these topics.
#[derive(Clone, Debug)]
pub(crate) struct ShardProgress {
    pub(crate) shard: ShardId,
    pub(crate) topics: BTreeSet<Topic>,
    /// `None`: it is empty, or the time isn't known.
    pub(crate) complete_up_to: Option<DateTime<Utc>>,
    /// It has no streams.
    pub(crate) empty: bool,
}

impl Engine {
    /// The shards whose watermarks are due and whose topics are known. Those that are due soon come with them, so that they
    /// stay together. As many as there is room for in a batch, or one.
    pub(super) fn take_progress(&mut self, now: Now, room: usize) -> Vec<ShardProgress> {
        let due = |shard: &Shard| self.watermark_due(shard);
        if self.shards.values().filter_map(due).min().is_none_or(|earliest| earliest > now.monotonic) {
            return Vec::new();
        }
        let soon = now.monotonic + self.settings.watermark_interval / 2;
        let is_due = |(_, shard): &(&ShardId, &Shard)| due(shard).is_some_and(|at| at <= soon);
        let due: Vec<_> = self.shards.iter().filter(is_due).map(|(shard, _)| *shard).collect();
        let (mut taken, mut messages) = (Vec::new(), 0);
        for shard in due {
            let topics = self.topics_of(shard);
            if topics.iter().any(|topic| !self.topics.is_known(topic)) {
                self.want_watermark(now, shard, WATERMARK_RETRY);
                continue;
            }
            messages += self.weight_of(shard, &topics, &taken);
            if messages > room && !taken.is_empty() {
                break;
            }
            let progress = self.progress(now, shard, topics);
            let wait = match &progress {
                Some(progress) if progress.empty => self.settings.watermark_interval.saturating_mul(EMPTY_INTERVALS),
                Some(_) => self.settings.watermark_interval,
                None => WATERMARK_RETRY,
            };
            if let Some(shard) = self.shards.get_mut(&shard) {
                shard.watermark_at = now.monotonic + wait;
            }
            taken.extend(progress.filter(|progress| !progress.topics.is_empty()));
        }
        taken
    }

    /// The most shards in one watermark.
    pub(super) fn shards_at_once(&self) -> usize {
        if self.limits.spans_shards { SHARDS_AT_ONCE } else { 1 }
    }

    /// About how many messages the shard adds to a watermark: its header, its counters, and in each topic the watermark itself
    /// or the beginnings of its lanes.
    fn weight_of(&self, shard: ShardId, topics: &BTreeSet<Topic>, taken: &[ShardProgress]) -> usize {
        let begins = |topic: &Topic| self.shards.get(&shard).is_some_and(|it| it.counters.begins(topic, 0).is_some());
        let shares = |topic: &Topic| self.limits.spans_shards && taken.iter().any(|it| it.topics.contains(topic));
        let lanes = |topic: &Topic| self.topics.lanes(topic).unwrap_or(0);
        let weight = |topic: &Topic| 1 + lanes(topic) * (usize::from(begins(topic)) + usize::from(!shares(topic)));
        1 + topics.iter().map(weight).sum::<usize>()
    }

    /// How far the shard is; `None` if that isn't known.
    fn progress(&mut self, now: Now, shard: ShardId, topics: BTreeSet<Topic>) -> Option<ShardProgress> {
        let progress = ShardProgress { shard, topics, complete_up_to: None, empty: false };
        let complete_up_to = match self.shards.get(&shard)? {
            it if self.settings.all_known && !self.has_streams(shard, it) => {
                return Some(ShardProgress { empty: true, ..progress });
            }
            // Nothing of it was polled yet.
            Shard { empty: true, .. } => {
                let complete_up_to = self.accounts.passed_at_asana(now);
                return Some(ShardProgress { complete_up_to, ..progress });
            }
            _ => self.complete_up_to(now, shard),
        };
        if complete_up_to.is_none() {
            self.accounts.want_time(now);
        }
        complete_up_to.map(|_| ShardProgress { complete_up_to, ..progress })
    }

    /// Whether streams of it are polled, or were and their end isn't published.
    fn has_streams(&self, shard: ShardId, it: &Shard) -> bool {
        self.specs.get(&shard).is_some_and(|specs| !specs.is_empty()) || it.parked.values().any(|stream| !stream.ended)
    }

    /// Whether the shard's streams wait for the watermark that says that it isn't empty any more.
    pub(super) fn is_closed(&self, shard: ShardId) -> bool {
        let has_watermarks = !self.settings.watermark_interval.is_zero();
        has_watermarks && self.shards.get(&shard).is_some_and(|shard| shard.empty)
    }

    /// It is on the bus whether the shard is empty. If it isn't any more, its streams may be polled.
    pub(super) fn stated(&mut self, now: Now, shard: ShardId, empty: bool) {
        let Some(it) = self.shards.get_mut(&shard) else { return };
        if std::mem::replace(&mut it.empty, empty) && !empty {
            for spec in self.specs.get(&shard).cloned().unwrap_or_default() {
                self.schedule_first_poll(now, &spec.id);
            }
        }
    }

    /// An empty shard that has streams says so at once. Without watermarks there is nobody to say it to.
    pub(super) fn hasten_opening(&mut self, now: Now, shard: ShardId) {
        if self.settings.watermark_interval.is_zero() {
            return self.stated(now, shard, false);
        }
        let has_specs = self.specs.get(&shard).is_some_and(|specs| !specs.is_empty());
        if has_specs && self.is_closed(shard) {
            self.want_watermark(now, shard, Duration::ZERO);
        }
    }

    /// The shard's watermark is due after a delay, and its topics have to be known by then.
    fn want_watermark(&mut self, now: Now, shard: ShardId, delay: Duration) {
        for topic in self.topics_of(shard) {
            self.topics.want(now, topic);
        }
        if let Some(shard) = self.shards.get_mut(&shard) {
            shard.watermark_at = now.monotonic + delay;
        }
    }

    pub(super) fn watermark_due(&self, shard: &Shard) -> Option<Duration> {
        (!self.draining && !self.settings.watermark_interval.is_zero()).then_some(shard.watermark_at)
    }

    /// The topics in which consumers find the shard's records.
    fn topics_of(&self, shard: ShardId) -> BTreeSet<Topic> {
        let template = &self.settings.topic;
        let specs = self.specs.get(&shard).map_or(&[][..], Vec::as_slice);
        let written = self.shards.get(&shard).into_iter().flat_map(|shard| shard.counters.topics());
        // What is read again belongs to no stream of the shard.
        let is_on = self.settings.state.is_on();
        let written = written.filter(|topic| is_on || specs.iter().any(|spec| template.may_give(&spec.id, topic)));
        written.chain(template.only_topic()).cloned().collect()
    }

    /// The time, by Asana's clock, at or after which each of the shard's streams that can be polled was polled to its
    /// end. What is committed counts, so that all of it is on the bus. Without such a stream, a time that has passed at
    /// Asana; none if no answer contained one, or the first token of a stream is under way.
    pub(super) fn complete_up_to(&self, now: Now, shard: ShardId) -> Option<DateTime<Utc>> {
        let specs = self.specs.get(&shard).into_iter().flatten();
        let specs = specs.filter_map(|spec| Some((spec, self.streams.get(&spec.id)?)));
        let begins = |(spec, entry): (&StreamSpec, &Entry)| {
            entry.committed.live().is_none() && !self.accounts.is_waiting(&spec.id)
        };
        if specs.clone().any(begins) {
            return None;
        }
        let polled = specs.filter_map(|(spec, entry)| match &entry.committed.state {
            State::Live(live) => Some(live.last_complete_poll_at),
            // It is asked again just now, or its answer waits for a commit: it may have had events since.
            State::Suspended { live: Some(live), .. } if !self.accounts.is_waiting(&spec.id) => {
                Some(live.last_complete_poll_at)
            }
            State::Establish | State::Suspended { .. } => None,
        });
        // Until its end is published, a stream that was polled before may be polled again.
        let parked = self.shards.get(&shard).map(|shard| &shard.parked);
        let parked = parked.into_iter().flat_map(BTreeMap::values).filter(|stream| !stream.ended);
        let parked = parked.filter_map(|stream| Some(stream.live()?.last_complete_poll_at));
        polled.chain(parked).min().or_else(|| self.accounts.passed_at_asana(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint;
    use crate::engine::Settings;
    use crate::engine::bench::{MINUTE, account, settings};
    use crate::engine::settings::StreamSpec;
    use crate::ids::{StreamId, StreamKind};
    use crate::outcome::poll::{Page, PollOutcome, Polled};
    use crate::outcome::stamp::Stamp;
    use crate::record::batch::{BatchLimits, Message, OutputTopic, StoredCheckpoint};
    use crate::record::placement::shard_of;
    use bridge_contract::pb::{self, record::Body};
    use prost::Message as _;
    use std::num::NonZeroU32;

    const SHARDS: NonZeroU32 = NonZeroU32::new(32).unwrap();
    const LANES: NonZeroU32 = NonZeroU32::new(12).unwrap();

    /// A replica with these shards, and when they came.
    fn replica(shards: impl Iterator<Item = ShardId>, id: &StreamId, spans_shards: bool) -> (Engine, Now) {
        let now = Now { monotonic: MINUTE, wall: DateTime::from_timestamp(1_700_000_000, 0).unwrap() };
        let settings = Settings { shards: SHARDS, watermark_interval: MINUTE, max_records: 1_000, ..settings("t") };
        let spec = StreamSpec { id: id.clone(), kind: StreamKind::Resource };
        let limits = BatchLimits { messages: 900, spans_shards };
        let mut engine = Engine::new(settings, limits, &[account(id)], &[spec]);
        for shard in shards {
            let nothing = checkpoint::restore(shard, &StoredCheckpoint::new(), SHARDS, now.wall).unwrap();
            engine.assign(now, shard, nothing);
        }
        (engine, now)
    }

    fn make_topics_known(engine: &mut Engine, now: Now) {
        while let Some(topic) = engine.next_topic_refresh(now) {
            engine.set_topic(now, topic, OutputTopic { lanes: LANES, message_bytes: 1 << 20 });
        }
    }

    /// A day on which nothing happens. How many records the replica writes.
    fn quiet_day(shards: impl Iterator<Item = ShardId>, id: &StreamId) -> usize {
        let (mut engine, mut now) = replica(shards, id, true);
        let end = now.monotonic + Duration::from_secs(24 * 3600);
        let mut records = 0;
        while now.monotonic < end {
            while let Some(poll) = engine.next_poll(now) {
                let page = |next| Page { events: Vec::new(), next, has_more: false, received_at: now.wall, bytes: 0 };
                let outcome = poll
                    .token
                    .clone()
                    .map_or_else(|| PollOutcome::TokenReset("a".into()), |it| PollOutcome::Page(page(it)));
                let stamp = Stamp::new(now.wall, Duration::ZERO);
                engine.handle_outcome(now, &poll, Polled { outcome, stamp, received_at: now.wall });
            }
            make_topics_known(&mut engine, now);
            while let Some(batch) = engine.take_batch(now) {
                records += batch.messages.len();
                engine.committed(now);
            }
            let next = engine.next_deadline().unwrap().max(now.monotonic + Duration::from_millis(1));
            now = now.after(next.saturating_sub(now.monotonic));
        }
        records
    }

    #[test]
    fn a_quiet_project_costs_a_record_in_each_lane_and_minute() {
        let id = StreamId::new("main", "1");
        let own = shard_of(&id, SHARDS).0;
        let shards = |has_stream: bool| (0..32).filter(move |it| (it % 2 == own % 2) == has_stream).map(ShardId);
        let days = [true, false].map(|has_stream| quiet_day(shards(has_stream), &id));
        println!("bookkeeping records of a quiet day: {days:?}");
        assert!(days.iter().sum::<usize>() < 20_000, "{days:?}");
        assert!(days[0] > 17_000 && days[1] > 1_000, "{days:?}");
    }

    #[test]
    fn shards_that_cant_be_committed_together_have_records_of_their_own_in_one_batch() {
        for (spans_shards, records) in [(true, 1), (false, 4)] {
            let (mut engine, now) = replica((0..4).map(ShardId), &StreamId::new("main", "1"), spans_shards);
            // First the topic isn't known.
            let [asked, now] = [1, 2].map(|minutes| now.after(minutes * MINUTE));
            assert_eq!(engine.take_batch(asked), None);
            make_topics_known(&mut engine, asked);
            let batch = engine.take_batch(now).unwrap();
            let decode = |it: Message| pb::Record::decode(it.value.as_slice()).unwrap();
            let of_first_lane =
                batch.messages.into_iter().map(decode).filter(|it| it.position.as_ref().unwrap().lane == 0);
            let named: Vec<_> = of_first_lane
                .filter_map(|it| if let Body::Watermark(it) = it.body? { Some(it.progress.len()) } else { None })
                .collect();
            assert_eq!((named.len(), named.iter().sum()), (records, 4));
        }
    }
}
