//! How an account's requests are shared among its streams, so that an event waits as short as possible on average.
//!
//! With intervals `T` and event rates `r`, the mean delay is `Σ r·T/2 / Σ r`. It is least, for `Σ 1/T` requests a second, when
//! `T` is proportional to `1/√r`. So one number, the scale, gives each stream its interval: `scale/√r` between the shortest
//! and the longest. The scale is the one with which all intervals take just the requests that there are.

use crate::stream::rate::Outlook;
use std::time::Duration;

/// No stream's interval is longer than this many times the interval with which all could be polled alike.
const MOST_UNEVEN: f64 = 1.4;
/// 99 % of events wait no longer than this many times as long as if all streams were polled alike.
const MOST_TAIL: f64 = 1.15;
/// Half of a sync token's life, in seconds: no interval is longer, if the requests suffice for it.
const LONGEST: f64 = 12.0 * 3600.0;
/// So many requests a second are assumed at least, so that intervals are finite.
const LEAST_REQUESTS: f64 = 1e-6;
/// The rates that are told apart, in events a second: from one in two years on, eight to each doubling.
const LEAST_RATE: f64 = 1.0 / 67_108_864.0;
const STEPS: usize = 8 * 36;
const STEPS_A_DOUBLING: f64 = 8.0;

/// The number of streams by their event rates.
#[derive(Clone, Debug)]
pub(super) struct Rates {
    counts: Vec<u32>,
    streams: u32,
    aside: u32,
}

/// A place in [`Rates`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step(u16);

/// What limits the intervals.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Terms {
    /// Requests a second for polls.
    pub requests: f64,
    /// The shortest interval, in seconds.
    pub shortest: f64,
    /// The longest interval, in seconds, if the requests suffice for it.
    pub longest: f64,
}

/// Each stream's interval as a function of its rate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    scale: f64,
    shortest: f64,
    longest: f64,
    /// A stream that wasn't polled for so long goes first.
    pub(super) limit: f64,
    /// The mean rate of all streams.
    pub(super) mean_rate: f64,
}

/// How fresh a number of requests keeps the streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freshness {
    /// From an event to the poll that brings it, on average over events.
    pub mean_delay: Duration,
    /// The longest interval of a stream.
    pub longest_interval: Duration,
}

impl Rates {
    pub(super) fn new() -> Self {
        Self { counts: vec![0; STEPS], streams: 0, aside: 0 }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before")]
    pub(super) fn add(&mut self, rate: f64) -> Step {
        let step = ((rate / LEAST_RATE).log2() * STEPS_A_DOUBLING).clamp(0.0, 287.0) as u16;
        self.change(Step(step), 1);
        Step(step)
    }

    pub(super) fn remove(&mut self, step: Step) {
        self.change(step, -1);
    }

    /// A stream takes no requests for now, and may do so again at any time.
    pub(super) fn add_aside(&mut self) {
        self.aside = self.aside.saturating_add(1);
    }

    pub(super) fn remove_aside(&mut self) {
        self.aside = self.aside.saturating_sub(1);
    }

    fn change(&mut self, Step(step): Step, by: i32) {
        if let Some(count) = self.counts.get_mut(usize::from(step)) {
            *count = count.saturating_add_signed(by);
            self.streams = self.streams.saturating_add_signed(by);
        }
    }

    /// The number of streams that take requests.
    fn streams(&self) -> f64 {
        f64::from(self.streams)
    }

    /// The number of streams that share the requests if all of them take some.
    fn sharers(&self) -> f64 {
        self.streams() + f64::from(self.aside)
    }

    /// Rates, and how many streams have each.
    fn list(&self) -> Vec<(f64, f64)> {
        let present = self.counts.iter().zip(0_u16..).filter(|(count, _)| **count > 0);
        let rate = |step: u16| LEAST_RATE * ((f64::from(step) + 0.5) / STEPS_A_DOUBLING).exp2();
        present.map(|(count, step)| (rate(step), f64::from(*count))).collect()
    }
}

impl Plan {
    /// The plan for streams with these rates, which takes a part of the requests. `mean_rate`: what is assumed where
    /// nothing is known.
    pub(super) fn new(rates: &Rates, terms: Terms, part: f64, mean_rate: f64) -> Self {
        let Terms { requests, shortest, longest } = terms;
        let requests = requests.max(LEAST_REQUESTS);
        let list = rates.list();
        // Otherwise a few streams would go before all others that come back after a failure of Asana.
        let even = (rates.sharers() / requests).max(shortest);
        let limit = if even > longest { MOST_UNEVEN * even } else { longest.min(MOST_UNEVEN * even) };
        let limit = limit.min(even.max(LONGEST));
        let plan = |longest| Self { scale: 0.0, shortest, longest, limit, mean_rate }.scaled(&list, requests * part);
        let even = (even / part).min(limit);
        let tail = MOST_TAIL * 0.99 * even;
        let mut best = plan(limit);
        if best.share_later_than(&list, tail) > 0.01 {
            let (mut low, mut high) = (even, limit);
            for _ in 0..6 {
                let middle = f64::midpoint(low, high);
                best = plan(middle);
                if best.share_later_than(&list, tail) > 0.01 { high = middle } else { low = middle }
            }
            best = plan(low);
        }
        let events: f64 = list.iter().map(|(rate, streams)| rate * streams).sum();
        Self { mean_rate: if list.is_empty() { mean_rate } else { events / rates.streams() }, ..best }
    }

    /// With the scale with which the intervals take all requests.
    fn scaled(mut self, list: &[(f64, f64)], requests: f64) -> Self {
        let (mut low, mut high) = (self.shortest * LEAST_RATE.sqrt() / 2.0, self.longest * 64.0);
        for _ in 0..40 {
            self.scale = (low * high).sqrt();
            let taken: f64 = list.iter().map(|(rate, streams)| streams / self.constant(*rate)).sum();
            if taken > requests { low = self.scale } else { high = self.scale }
        }
        self.scale = high;
        self
    }

    /// The interval of a stream with this rate.
    fn constant(&self, rate: f64) -> f64 {
        (self.scale / rate.sqrt()).clamp(self.shortest, self.longest)
    }

    /// The part of events that wait longer than this, in seconds.
    fn share_later_than(&self, list: &[(f64, f64)], delay: f64) -> f64 {
        let (mut later, mut all) = (0.0, 0.0);
        for (rate, streams) in list {
            all += rate * streams;
            later += rate * streams * (1.0 - delay / self.constant(*rate)).max(0.0);
        }
        later / all.max(f64::MIN_POSITIVE)
    }

    /// The interval of a stream, in seconds, and the constant rate that would lead to it.
    pub(super) fn interval(&self, outlook: &Outlook) -> (f64, f64) {
        let (mut low, mut high) = (self.shortest, self.longest);
        let is_due = |interval: f64| interval * interval * outlook.weight(interval) >= self.scale * self.scale;
        if is_due(low) {
            high = low;
        } else if is_due(high) {
            for _ in 0..12 {
                let middle = (low * high).sqrt();
                if is_due(middle) { high = middle } else { low = middle }
            }
        }
        (high, outlook.weight(high))
    }

    /// How fresh it keeps streams with these rates.
    pub(super) fn freshness(&self, rates: &Rates) -> Freshness {
        let (mut events, mut waiting, mut longest) = (0.0, 0.0, 0.0_f64);
        for (rate, streams) in rates.list() {
            let interval = self.constant(rate);
            events += rate * streams;
            waiting += rate * streams * interval / 2.0;
            longest = longest.max(interval);
        }
        let mean = if events > 0.0 { waiting / events } else { 0.0 };
        Freshness { mean_delay: Duration::from_secs_f64(mean), longest_interval: Duration::from_secs_f64(longest) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// It takes the requests that there are, as far as the shortest interval allows, and keeps its bounds.
        #[test]
        fn it_takes_all_requests(
            rates in proptest::collection::vec(-8.0_f64..2.0, 1..300),
            per_stream in 0.0001_f64..0.3,
            part in 0.75_f64..1.0,
        ) {
            let mut all = Rates::new();
            for rate in &rates {
                all.add(10.0_f64.powf(*rate));
            }
            let requests = all.streams() * per_stream;
            let terms = Terms { requests, shortest: 5.0, longest: 60.0 };
            let plan = Plan::new(&all, terms, part, 1.0);
            let list = all.list();
            let taken: f64 = list.iter().map(|(rate, streams)| streams / plan.constant(*rate)).sum();
            let most = (requests * part).min(all.streams() / 5.0);
            prop_assert!(taken <= most * 1.001 + all.streams() / plan.longest, "{taken} of {most}");
            prop_assert!(taken >= most * 0.999, "{taken} of {most}");
            let even = (1.0 / per_stream).max(5.0);
            prop_assert!(plan.longest <= plan.limit && plan.limit <= even * MOST_UNEVEN * 1.001);
            prop_assert!(plan.limit <= 60.0 || even > 60.0, "the longest interval holds if the requests suffice for it");
            let freshness = plan.freshness(&all);
            prop_assert!(freshness.mean_delay.as_secs_f64() <= even / 2.0 / part * 1.001, "no worse than polled alike");
        }
    }

    #[test]
    fn intervals_are_by_the_root_of_the_rates() {
        let mut all = Rates::new();
        for _ in 0..50 {
            all.add(0.01);
            all.add(0.012);
        }
        let plan = Plan::new(&all, Terms { requests: 1.0, shortest: 5.0, longest: 600.0 }, 1.0, 1.0);
        let ratio = plan.constant(0.01) / plan.constant(0.012);
        assert!((ratio - 1.2_f64.sqrt()).abs() < 1e-6, "{ratio}");
    }
}
