//! What the state topic says of itself: how complete it is, as far as each shard knows.
//!
//! The owner of a shard says two things, and each is about what others have to complete. Its streams have *published* all up
//! to a time; the gids that changed hash to any shard. And it has *read* all that was committed to its part of the log
//! before a time, by any owner of streams. So a reader believes what was published when every part was read up to the
//! time when it was said. As these times are of the same moment in all records, the last of what was published is never
//! covered yet. Therefore a record also has what was said before.
//!
//! How far its part is read, an owner learns by a mark that it writes there, and that comes back to it (see
//! [`Logged::Mark`](crate::state::Logged)). An owner that is new says nothing before it has read all of what it says itself:
//! the record of the owner before stays true.

use super::Engine;
use crate::engine::watermarks::WATERMARK_RETRY;
use crate::ids::{ShardId, Topic};
use crate::now::Now;
use crate::stream::State;
use bridge_contract::pb;
use bridge_contract::time::timestamp;
use chrono::{DateTime, Utc};
use std::collections::VecDeque;
use std::time::Duration;

/// The most that a record has of what was published. They are at growing distances, so that there is one that is covered even
/// if reading is far behind.
const MOST_PUBLISHED: usize = 10;
/// As long as an owner can't say anything yet, it is tried so many times in an interval.
const BEGINNINGS: u32 = 8;
/// After this number of intervals a mark that hasn't come back is written again. It may have been deleted. The later one takes
/// the place of the earlier one, which therefore isn't replaced sooner.
const MARK_INTERVALS: u32 = 10;

/// What the owner of a shard has said of it.
#[derive(Clone, Debug)]
pub(super) struct Stating {
    /// When the next statement is due.
    due: Duration,
    /// When the mark was written that hasn't come back.
    marked_at: Option<Duration>,
    /// What was published before which time, the newest first.
    published: VecDeque<(DateTime<Utc>, pb::PublishedProgress)>,
    /// How far the log was read, as the record on the bus has it.
    stated: Option<DateTime<Utc>>,
}

/// What a commit says of a shard.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) shard: ShardId,
    /// A time that has passed at Asana, for the log.
    pub(crate) mark: Option<DateTime<Utc>>,
    /// The record, with the time up to which the log is read, and its topic.
    pub(crate) record: Option<(DateTime<Utc>, Topic, pb::StateProgress)>,
    /// Where the log goes on.
    pub(crate) place: u64,
}

impl Stating {
    /// The shard has just come here.
    pub(super) fn new(now: Now) -> Self {
        Self { due: now.monotonic, marked_at: None, published: VecDeque::new(), stated: None }
    }

    /// The mark has come back.
    pub(super) fn mark_read(&mut self) {
        self.marked_at = None;
    }

    /// Of those that are between two others, those are forgotten that are close to both for their age.
    fn push(&mut self, at: DateTime<Utc>, published: pb::PublishedProgress) {
        let all = &mut self.published;
        all.push_front((at, published));
        let mut index = 1;
        while let (Some((later, _)), Some((earlier, _))) = (all.get(index - 1), all.get(index + 1)) {
            if (*later - *earlier) * 2 > at - *earlier {
                index += 1;
            } else {
                all.remove(index);
            }
        }
        all.truncate(MOST_PUBLISHED);
    }
}

impl Engine {
    /// All of the shard's part of the refresh log was given that is there, by [`note_logged`](Self::note_logged). It may be
    /// called whenever that is so. If it never is, the state topic says that it isn't complete.
    pub fn note_log_end(&mut self, shard: ShardId) {
        self.refresh.queue.end(shard);
    }

    fn states_progress(&self) -> bool {
        let Self { settings, draining, .. } = self;
        settings.state.is_on() && settings.state.topic.is_some() && !settings.watermark_interval.is_zero() && !draining
    }

    /// When a shard's next statement is due.
    pub(in crate::engine) fn statement_due(&self) -> Option<Duration> {
        self.refresh.stating.values().map(|it| it.due).filter(|_| self.states_progress()).min()
    }

    /// What is to be said of shards that are due, as many as there is room for, or one. Those that are due soon come with them.
    pub(in crate::engine) fn take_statements(&mut self, now: Now, room: usize) -> Vec<Statement> {
        // A mark, a record, a place in the log, and the shard's header.
        const MESSAGES: usize = 4;
        let Some(topic) = self.settings.state.topic.clone() else { return Vec::new() };
        if self.statement_due().is_none_or(|due| due > now.monotonic) {
            return Vec::new();
        }
        if !self.topics.is_known(&topic) {
            self.topics.want(now, topic);
            self.refresh.stating.values_mut().for_each(|it| it.due = it.due.max(now.monotonic + WATERMARK_RETRY));
            return Vec::new();
        }
        let soon = now.monotonic + self.settings.watermark_interval / 2;
        let due = self.refresh.stating.iter().filter(|(_, it)| it.due <= soon).map(|(shard, _)| *shard);
        let due: Vec<_> = due.collect();
        let mut taken = Vec::new();
        for shard in due {
            if (taken.len() + 1) * MESSAGES > room && !taken.is_empty() {
                break;
            }
            taken.extend(self.statement(now, shard, &topic));
        }
        taken
    }

    /// What is to be said of a shard, if there is something new.
    fn statement(&mut self, now: Now, shard: ShardId, topic: &Topic) -> Option<Statement> {
        let published = self.published(now, shard);
        let interval = self.settings.watermark_interval;
        let (passed, ahead) = (self.accounts.passed_at_asana(now), self.accounts.ahead_of_asana(now));
        let read_up_to = self.refresh.queue.read_up_to(shard);
        let place = self.refresh.queue.place_after(shard, std::iter::empty())?;
        let shards = self.settings.shards.get();
        let stating = self.refresh.stating.get_mut(&shard)?;
        let (Some(passed), Some(ahead), Some(published)) = (passed, ahead, published) else {
            stating.due = now.monotonic + WATERMARK_RETRY;
            self.accounts.want_time(now);
            return None;
        };
        stating.push(ahead, published);
        let is_lost = |at: Duration| at + interval.saturating_mul(MARK_INTERVALS) <= now.monotonic;
        let mark = stating.marked_at.is_none_or(is_lost).then_some(passed);
        if mark.is_some() {
            stating.marked_at = Some(now.monotonic);
        }
        // Before it has read so far, readers would believe less than before.
        let covers = |read: &DateTime<Utc>| stating.published.back().is_some_and(|(at, _)| at <= read);
        let read = read_up_to.filter(|read| stating.stated.map_or_else(|| covers(read), |stated| *read > stated));
        let record = read.map(|read| {
            let published = stating.published.iter().map(|(_, it)| *it).collect();
            let record = pb::StateProgress { shard: shard.0, shards, read_up_to: timestamp(read), published };
            (read, topic.clone(), record)
        });
        let is_beginning = stating.stated.is_none() && record.is_none();
        stating.due = now.monotonic + if is_beginning { interval / BEGINNINGS } else { interval };
        (mark.is_some() || record.is_some()).then_some(Statement { shard, mark, record, place })
    }

    /// What the shard's streams have published by now. `None`: that isn't known.
    fn published(&self, now: Now, shard: ShardId) -> Option<pb::PublishedProgress> {
        if !self.settings.all_known {
            return None;
        }
        let at = timestamp(self.accounts.ahead_of_asana(now)?);
        let owned = self.shards.get(&shard)?;
        let parked = owned.parked.values().filter(|stream| !stream.ended);
        let specs = self.specs.get(&shard).map_or(&[][..], Vec::as_slice);
        let polled = specs.iter().filter_map(|spec| Some(&self.streams.get(&spec.id)?.committed));
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let mut published = pb::PublishedProgress { at, ..pb::PublishedProgress::default() };
        for stream in polled.chain(parked) {
            published.streams += 1;
            published.not_loaded += u32::from(!stream.in_state);
            published.open_source_gaps += count(stream.open_gaps.len());
            published.suspended += u32::from(matches!(stream.state, State::Suspended { .. }));
            published.left_out += stream.left_out.count();
        }
        if published.streams > 0 {
            published.complete_up_to = self.complete_up_to(now, shard).and_then(timestamp);
        }
        Some(published)
    }

    /// These statements are on the bus.
    pub(in crate::engine) fn statements_committed(&mut self, statements: Vec<Statement>) {
        for Statement { shard, record, .. } in statements {
            if let (Some(stating), Some((read, ..))) = (self.refresh.stating.get_mut(&shard), record) {
                stating.stated = Some(read);
            }
        }
    }

    /// The commit of these was aborted: their marks aren't on the bus.
    pub(in crate::engine) fn statements_aborted(&mut self, statements: &[Statement]) {
        for statement in statements.iter().filter(|it| it.mark.is_some()) {
            self.refresh.stating.get_mut(&statement.shard).into_iter().for_each(Stating::mark_read);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    #[test]
    fn what_was_published_is_kept_at_growing_distances() {
        let mut stating = Stating::new(Now { monotonic: Duration::ZERO, wall: DateTime::UNIX_EPOCH });
        let minute = |number| DateTime::UNIX_EPOCH + TimeDelta::minutes(number);
        for number in 0..400 {
            stating.push(minute(number), pb::PublishedProgress::default());
            let ages: Vec<_> = stating.published.iter().map(|(at, _)| (minute(number) - *at).num_minutes()).collect();
            assert!(ages.len() <= MOST_PUBLISHED && ages.is_sorted(), "{ages:?}");
            // However far reading is behind, what it covers is at most about twice as old.
            let covers = ages.windows(2).all(|pair| pair[1] <= 2 * pair[0] + 2);
            assert!(covers && ages.last().is_some_and(|oldest| *oldest >= number.min(30)), "{ages:?}");
        }
    }
}
