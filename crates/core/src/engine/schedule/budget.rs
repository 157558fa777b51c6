//! One replica's part of an account's rate.
//!
//! Asana counts requests in a window of a minute, refused ones too, and doesn't say how
//! many are left. All replicas that share an account share its rate, each by what it owns: a
//! stream has one owner at a time, so the shares never exceed the whole, and nobody
//! has to be asked. A share is a bucket that refills: its size and a minute's refill are what the
//! share allows. What is gained comes empty, so a stream that moves doesn't bring requests with it.

use crate::now::Now;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

/// What this replica may still do. Counts requests when they are sent.
#[derive(Clone, Debug)]
pub struct Budget {
    limit: Limit,
    share: Share,
    /// What may be sent at `counted_at`, in units of [`REQUEST`].
    credit: u128,
    counted_at: Duration,
    paused_until: Duration,
    in_flight: u16,
    /// Nothing but probes is sent.
    barred: bool,
}

/// What an account allows, over all replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Requests in any minute.
    pub requests_per_minute: NonZeroU32,
    /// Requests in flight at once.
    pub max_in_flight: NonZeroU16,
}

impl Limit {
    /// So much of it, in percent, and at least one request a minute.
    #[must_use]
    pub fn part(self, percent: u32) -> Self {
        let of = |number: u32| (u64::from(number) * u64::from(percent) / 100).max(1);
        let requests = NonZeroU32::new(u32::try_from(of(self.requests_per_minute.get())).unwrap_or(u32::MAX));
        let in_flight = NonZeroU16::new(u16::try_from(of(self.max_in_flight.get().into())).unwrap_or(u16::MAX));
        Self {
            requests_per_minute: requests.unwrap_or(NonZeroU32::MIN),
            max_in_flight: in_flight.unwrap_or(NonZeroU16::MIN),
        }
    }
}

/// How much of an account is this replica's, in streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Of the shards that it owns.
    pub owned: usize,
    /// Configured.
    pub all: usize,
}

/// What is left of a budget at a moment: for people, not for decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// The whole account's.
    pub limit: Limit,
    /// This replica's part.
    pub share: Share,
    /// Requests that may be sent at once.
    pub left: u64,
    /// Requests that are sent and not answered.
    pub in_flight: u16,
    /// How long nothing is sent, because Asana limited the rate.
    pub pause: Duration,
}

/// The shortest pause. A refused request counts, too, so that sending it again at once would only shrink the budget.
const LEAST_PAUSE: Duration = Duration::from_secs(1);
/// One request. The unit is a thousandth of a request a minute, for a nanosecond: a rate in thousandths of requests a
/// minute and a time in nanoseconds multiply to it, without rounding.
const REQUEST: u128 = 1_000 * 60_000_000_000;

impl Budget {
    /// A budget without a share.
    #[must_use]
    pub fn new(limit: Limit) -> Self {
        Self {
            limit,
            share: Share { owned: 0, all: 0 },
            credit: 0,
            counted_at: Duration::ZERO,
            paused_until: Duration::ZERO,
            in_flight: 0,
            barred: false,
        }
    }

    /// From now on nothing but probes is sent, or everything again.
    pub fn bar(&mut self, barred: bool) {
        self.barred = barred;
    }

    /// From now on the limit and the share are these.
    pub fn set(&mut self, now: Now, limit: Limit, share: Share) {
        self.count(now);
        (self.limit, self.share) = (limit, share);
        self.credit = self.credit.min(self.size());
    }

    /// From now on the share is this.
    pub fn set_share(&mut self, now: Now, share: Share) {
        self.set(now, self.limit, share);
    }

    /// This replica's part.
    #[must_use]
    pub fn share(&self) -> Share {
        self.share
    }

    /// When the next request may be sent; `None` without a share, while it is barred, and while too many are in flight.
    #[must_use]
    pub fn available_at(&self) -> Option<Duration> {
        if self.barred || self.share.owned == 0 { None } else { self.probe_available_at() }
    }

    /// When the next probe may be sent; `None` while too many requests are in flight. Without a share they are so rare
    /// that they don't count.
    #[must_use]
    pub fn probe_available_at(&self) -> Option<Duration> {
        if self.share.owned == 0 {
            return Some(self.paused_until);
        }
        let in_flight = self.of_share(self.limit.max_in_flight.get().into()).max(1);
        let missing = REQUEST.saturating_sub(self.credit);
        let wait = missing.div_ceil(self.refill().max(1));
        let wait = Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX));
        let may_send = u64::from(self.in_flight) < in_flight;
        may_send.then(|| (self.counted_at + wait).max(self.paused_until))
    }

    /// How many requests a second this replica may send in the long run.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        u32::try_from(self.refill()).map_or(f64::INFINITY, f64::from) / 60_000.0
    }

    /// What is left of it.
    #[must_use]
    pub fn allowance(&self, now: Now) -> Allowance {
        let mut counted = self.clone();
        counted.count(now);
        let pause = self.paused_until.saturating_sub(now.monotonic);
        let left = if pause.is_zero() { counted.credit / REQUEST } else { 0 };
        Allowance {
            limit: self.limit,
            share: self.share,
            left: u64::try_from(left).unwrap_or(u64::MAX),
            in_flight: self.in_flight,
            pause,
        }
    }

    /// Takes one request out of the budget, if there is one now.
    pub fn take(&mut self, now: Now) -> bool {
        let available = self.available_at().is_some_and(|at| at <= now.monotonic);
        if available {
            self.take_probe(now);
        }
        available
    }

    /// Takes a probe out of the budget, for which there must be time: see
    /// [`probe_available_at`](Self::probe_available_at).
    pub fn take_probe(&mut self, now: Now) {
        self.count(now);
        self.credit = self.credit.saturating_sub(REQUEST);
        self.in_flight += 1;
    }

    /// A request that was taken has come back.
    pub fn finish(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Nothing is sent for a while, a second at least, and no burst after it: Asana limited the rate. Returns
    /// whether that is news: requests that were in flight together get the same answer.
    pub fn pause(&mut self, now: Now, pause: Duration) -> bool {
        let pause = pause.max(LEAST_PAUSE);
        let is_news = self.paused_until <= now.monotonic;
        self.paused_until = self.paused_until.max(now.monotonic + pause);
        self.credit = REQUEST;
        self.counted_at = self.paused_until;
        is_news
    }

    /// Adds what was refilled until now.
    fn count(&mut self, now: Now) {
        let refilled = self.refill() * now.monotonic.saturating_sub(self.counted_at).as_nanos();
        self.credit = (self.credit + refilled).min(self.size());
        self.counted_at = self.counted_at.max(now.monotonic);
    }

    /// The bucket: what the share allows in a second, and room for one request. What it holds is lost to the refill.
    fn size(&self) -> u128 {
        u128::from(self.of_share(self.limit.requests_per_minute.get().into()) / 60).max(1) * REQUEST
    }

    /// In thousandths of requests a minute. A fiftieth is left for requests that take longer on their way than
    /// those after them. A share of a few requests a minute keeps half of it, whatever the bucket takes.
    fn refill(&self) -> u128 {
        let share = u128::from(self.of_share(u64::from(self.limit.requests_per_minute.get()) * 1_000));
        (share * 49 / 50).saturating_sub(self.size() / REQUEST * 1_000).max(share / 2)
    }

    fn of_share(&self, whole: u64) -> u64 {
        let Share { owned, all } = self.share;
        whole * owned as u64 / (all as u64).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(millis: u64) -> Now {
        Now { monotonic: Duration::from_millis(millis), wall: chrono::DateTime::UNIX_EPOCH }
    }

    fn limit(per_minute: u32, in_flight: u16) -> Limit {
        Limit {
            requests_per_minute: NonZeroU32::new(per_minute).unwrap(),
            max_in_flight: NonZeroU16::new(in_flight).unwrap(),
        }
    }

    fn budget(per_minute: u32, in_flight: u16) -> Budget {
        let mut budget = Budget::new(limit(per_minute, in_flight));
        budget.set(at(0), limit(per_minute, in_flight), Share { owned: 1, all: 1 });
        budget
    }

    /// The most in any minute.
    fn busiest(sent: &[u64]) -> usize {
        let minute = |index: usize| sent[index..].iter().take_while(|time| **time < sent[index] + 60_000).count();
        (0..sent.len()).map(minute).max().unwrap_or(0)
    }

    proptest! {
        #[test]
        fn no_minute_has_more_requests_than_the_budget(
            per_minute in 1_u32..400,
            steps in proptest::collection::vec(0_u64..4_000, 1..600),
        ) {
            let mut budget = budget(per_minute, u16::MAX);
            let (mut now, mut sent) = (0, Vec::new());
            for step in steps {
                now += step;
                while budget.take(at(now)) {
                    sent.push(now);
                }
            }
            prop_assert!(busiest(&sent) <= per_minute as usize, "{} of {per_minute}", busiest(&sent));
        }

        /// Streams move all the time, replicas come and go, and all of them send what they may.
        #[test]
        fn no_minute_has_more_requests_than_the_budget_over_all_replicas(
            per_minute in 20_u32..2_000,
            steps in proptest::collection::vec((0_u64..2_000, 0_usize..24, 0_usize..4, any::<bool>()), 1..300),
        ) {
            const STREAMS: usize = 24;
            let limit = limit(per_minute, u16::MAX);
            let mut replicas = vec![Budget::new(limit); 4];
            let mut owners = [None::<usize>; STREAMS];
            let (mut now, mut sent) = (0, Vec::new());
            for (step, stream, to, restarts) in steps {
                now += step;
                if restarts && stream == 0 {
                    replicas[to] = Budget::new(limit);
                    owners.iter_mut().filter(|owner| **owner == Some(to)).for_each(|owner| *owner = None);
                }
                owners[stream] = Some(to);
                for (which, replica) in replicas.iter_mut().enumerate() {
                    let owned = owners.iter().filter(|owner| **owner == Some(which)).count();
                    replica.set(at(now), limit, Share { owned, all: STREAMS });
                    while replica.take(at(now)) {
                        sent.push(now);
                    }
                }
            }
            prop_assert!(busiest(&sent) <= per_minute as usize, "{} of {per_minute}", busiest(&sent));
        }
    }

    #[test]
    fn the_budget_is_used() {
        let (mut budget, mut sent) = (budget(150, 40), 0);
        for tenth in 0..6000 {
            while budget.take(at(tenth * 100)) {
                budget.finish();
                sent += 1;
            }
        }
        assert!(sent > 10 * 143, "{sent} in ten minutes");
    }

    #[test]
    fn nothing_is_sent_without_a_share_and_a_new_one_comes_empty() {
        let mut budget = Budget::new(limit(60, 9));
        assert_eq!(budget.available_at(), None);
        budget.set(at(100_000), limit(60, 9), Share { owned: 1, all: 1 });
        assert!(!budget.take(at(100_000)));
        let at_last = budget.available_at().unwrap();
        assert!(at_last > Duration::from_secs(101) && at_last < Duration::from_secs(102), "{at_last:?}");
        assert!(budget.take(Now { monotonic: at_last, ..at(0) }), "what is said to be available is");
    }

    #[test]
    fn requests_in_flight_are_bounded() {
        let mut budget = budget(6000, 2);
        assert!(budget.take(at(100)) && budget.take(at(100)));
        assert!(!budget.take(at(100)));
        assert_eq!(budget.available_at(), None);
        budget.finish();
        assert!(budget.take(at(100)));
    }

    #[test]
    fn a_pause_holds_everything_back() {
        let mut budget = budget(6000, 9);
        assert!(budget.pause(at(0), Duration::from_secs(30)));
        assert!(!budget.pause(at(1), Duration::from_secs(20)), "known already");
        assert!(!budget.take(at(29_999)));
        assert!(budget.take(at(30_000)));
        assert!(!budget.take(at(30_000)), "no burst");
    }
}
