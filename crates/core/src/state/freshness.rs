//! Whether what a crawl has read of a resource is newer than what was written of it.
//!
//! The crawl may be another replica's, and its commit may come late. So the times of both readings are compared, by
//! Asana's clock: the crawl's by a time before which it wasn't, ours by a time after which it wasn't. Nobody knows what
//! an owner before has written, and this owner forgets after a while. Then nothing is certainly newer, and the
//! resource has to be read again.

use crate::ids::{Gid, ShardId};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::{BTreeMap, VecDeque};

/// How long readings are remembered. An entry of a crawl is handled within seconds, if nothing is wrong.
const MEMORY: TimeDelta = TimeDelta::minutes(15);

/// What this owner has read of which resource, and when.
#[derive(Clone, Debug, Default)]
pub struct Freshness {
    /// Nothing that was written of the shard before is known. `None`: Asana's time wasn't known since it came.
    since: BTreeMap<ShardId, Option<DateTime<Utc>>>,
    /// The end of the last reading of each resource.
    read: BTreeMap<Gid, DateTime<Utc>>,
    /// The same in the order in which they were noted.
    order: VecDeque<(DateTime<Utc>, Gid)>,
}

impl Freshness {
    /// The shard has just come here. `now`: a time that certainly isn't before Asana's, if one is known.
    pub fn assign(&mut self, shard: ShardId, now: Option<DateTime<Utc>>) {
        self.since.insert(shard, now);
    }

    /// The shard has another owner.
    pub fn revoke(&mut self, shard: ShardId) {
        self.since.remove(&shard);
    }

    /// The resource was read, and what was found is written next. `until`: a time that certainly isn't before the end
    /// of the reading, if one is known.
    pub fn note(&mut self, shard: ShardId, gid: &Gid, until: Option<DateTime<Utc>>) {
        let Some(until) = until else {
            // It can't be compared with anything: so nothing that was read so far counts as newer.
            self.since.insert(shard, None);
            return;
        };
        let last = self.read.entry(gid.clone()).or_insert(until);
        *last = until.max(*last);
        self.order.push_back((until, gid.clone()));
        while self.order.front().is_some_and(|(at, _)| *at < until - MEMORY) {
            let Some((_, oldest)) = self.order.pop_front() else { break };
            if self.read.get(&oldest).is_some_and(|last| *last < until - MEMORY) {
                self.read.remove(&oldest);
            }
        }
    }

    /// Whether what wasn't read before `read_after` is certainly newer than all that was written of the resource.
    /// `now` as in [`assign`](Self::assign).
    pub fn is_newer(
        &mut self,
        shard: ShardId,
        gid: &Gid,
        read_after: Option<DateTime<Utc>>,
        now: Option<DateTime<Utc>>,
    ) -> bool {
        let Some(since) = self.since.get_mut(&shard) else { return false };
        let (Some(read_after), Some(now)) = (read_after, now) else { return false };
        let known_since = *since.get_or_insert(now);
        let known_since = known_since.max(now - MEMORY / 2);
        read_after > known_since && self.read.get(gid).is_none_or(|until| read_after > *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SHARD: ShardId = ShardId(1);

    fn at(second: i64) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp(1_000_000 + second, 0)
    }

    #[test]
    fn only_what_was_read_later_is_newer() {
        let (mut fresh, gid) = (Freshness::default(), Gid::from("1"));
        fresh.assign(SHARD, at(0));
        assert!(fresh.is_newer(SHARD, &gid, at(1), at(9)));
        fresh.note(SHARD, &gid, at(5));
        let newer = [4, 5, 6].map(|read_after| fresh.is_newer(SHARD, &gid, at(read_after), at(9)));
        assert_eq!(newer, [false, false, true]);
        assert!(fresh.is_newer(SHARD, &Gid::from("2"), at(1), at(9)), "of another nothing was written");
    }

    #[test]
    fn what_was_read_before_the_shard_came_here_is_never_newer() {
        let (mut fresh, gid) = (Freshness::default(), Gid::from("1"));
        assert!(!fresh.is_newer(SHARD, &gid, at(1), at(9)), "the shard isn't here");
        fresh.assign(SHARD, at(10));
        assert!(!fresh.is_newer(SHARD, &gid, at(10), at(12)));
        assert!(fresh.is_newer(SHARD, &gid, at(11), at(12)));
        fresh.revoke(SHARD);
        assert!(!fresh.is_newer(SHARD, &gid, at(13), at(14)));
    }

    #[test]
    fn without_asanas_time_nothing_is_newer() {
        let (mut fresh, gid) = (Freshness::default(), Gid::from("1"));
        fresh.assign(SHARD, None);
        assert!(!fresh.is_newer(SHARD, &gid, at(1), None));
        assert!(!fresh.is_newer(SHARD, &gid, None, at(2)));
        assert!(!fresh.is_newer(SHARD, &gid, at(1), at(2)), "the time became known only now");
        assert!(fresh.is_newer(SHARD, &gid, at(3), at(4)));
        fresh.note(SHARD, &gid, None);
        assert!(!fresh.is_newer(SHARD, &gid, at(5), at(6)));
    }

    #[test]
    fn memory_is_bounded() {
        let mut fresh = Freshness::default();
        fresh.assign(SHARD, at(0));
        for second in 0..10_000 {
            fresh.note(SHARD, &Gid::from(second.to_string()), at(second));
        }
        assert!(fresh.read.len() <= 901 && fresh.order.len() <= 901, "{}", fresh.read.len());
        assert!(!fresh.is_newer(SHARD, &Gid::from("1"), at(2), at(10_000)), "forgotten");
    }

    proptest! {
        /// Writes of one resource by a sequence of owners, each of readings whose true times lie within their bounds:
        /// what counts as newer never was read before the last that was written.
        #[test]
        fn an_older_reading_never_follows_a_newer_one(steps in prop::collection::vec((0..4_u8, 0..40_i64, 0..5_i64), 1..80)) {
            let (mut fresh, gid) = (Freshness::default(), Gid::from("1"));
            let (mut now, mut written) = (0, -1);
            fresh.assign(SHARD, at(now));
            for (kind, back, slack) in steps {
                now += slack;
                match kind {
                    0 => fresh.assign(SHARD, at(now + slack)),
                    1 => {
                        // Read by this owner, just now.
                        written = now;
                        fresh.note(SHARD, &gid, at(now + slack));
                    }
                    _ => {
                        let read = now - back;
                        if fresh.is_newer(SHARD, &gid, at(read - slack), at(now + slack)) {
                            prop_assert!(read >= written, "read at {read}, and {written} was written");
                            written = read;
                            fresh.note(SHARD, &gid, at(read + slack));
                        }
                    }
                }
            }
        }
    }
}
