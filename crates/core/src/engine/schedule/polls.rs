//! Which stream of an account is polled next, and when.
//!
//! Each poll's answer tells more about a stream's event rate ([`EventRate`]). The rates of all streams together give the
//! plan: each stream's interval, so that they take all requests that there are. A stream is due an interval after
//! its last poll; the earliest due goes first. If a stream wasn't polled for longer than the plan allows, it goes before
//! all others, so none starves, whatever is estimated. The plan has no requests for a stream that fails or is suspended:
//! it is polled less often than at its interval, and the others would leave unused what is planned for it.

use super::heap::Heap;
use super::plan::{Freshness, Plan, Rates, Step, Terms};
use crate::ids::StreamId;
use crate::stream::rate::EventRate;
use std::collections::HashMap;
use std::time::Duration;

/// A stream that yields goes first once it has waited for so long.
const LONGEST_YIELD: Duration = Duration::from_secs(3600);
/// How often the plan is made again. It changes slowly: what one answer tells is about one stream.
const PLAN_INTERVAL: Duration = Duration::from_secs(1);
/// What is assumed of streams before anything is known of any, in events a second. Only its proportion to
/// what is observed later counts, and not for long.
const ASSUMED_RATE: f64 = 1.0 / 1800.0;
/// Over which time other requests are counted, in seconds.
const OTHERS_MEMORY: f64 = 60.0;
/// The part of the requests that the plan has at least: more than with which each stream is polled within its limit.
const LEAST_PART: f64 = 0.75;
const NONE: u32 = u32::MAX;

/// The streams of an account. A stream that is being polled, or waits for a commit, has no time at which it is due.
#[derive(Clone, Debug)]
pub struct Schedule {
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_stream: HashMap<StreamId, u32>,
    due: Heap,
    /// These go when no other is due.
    yielding: Heap,
    /// Ends of the list of the streams that wait for an interval to pass, the least recently polled first.
    oldest: u32,
    newest: u32,
    rates: Rates,
    terms: Terms,
    plan: Plan,
    planned_at: Option<Duration>,
    /// Requests besides polls at intervals, each of which is forgotten with [`OTHERS_MEMORY`].
    others: f64,
    others_at: Duration,
}

#[derive(Clone, Debug)]
struct Slot {
    stream: Option<StreamId>,
    part: Part,
    /// In the list of those that wait for an interval to pass, since the last poll was sent.
    listed: bool,
    polled_at: Duration,
    older: u32,
    newer: u32,
}

/// A stream's part in the plan.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// It is polled at intervals, by its rate.
    Takes(Step),
    /// It fails: it is polled at delays of its own, and may be polled at intervals again at any time.
    Aside,
    /// It is suspended.
    Out,
}

impl Schedule {
    /// Without streams.
    #[must_use]
    pub fn new(terms: Terms) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            by_stream: HashMap::new(),
            due: Heap::default(),
            yielding: Heap::default(),
            oldest: NONE,
            newest: NONE,
            rates: Rates::new(),
            terms,
            plan: Plan::new(&Rates::new(), terms, 1.0, ASSUMED_RATE),
            planned_at: None,
            others: 0.0,
            others_at: Duration::ZERO,
        }
    }

    /// From now on the intervals have these terms.
    pub fn set_terms(&mut self, terms: Terms) {
        if self.terms != terms {
            self.terms = terms;
            self.planned_at = None;
        }
    }

    /// The stream is this schedule's, with what is known of its events. It isn't due yet.
    pub fn add(&mut self, stream: StreamId, rate: &EventRate) {
        self.forget(&stream);
        let weight = rate.outlook(self.plan.mean_rate).weight(0.0);
        let slot = Slot {
            stream: Some(stream.clone()),
            part: Part::Takes(self.rates.add(weight)),
            polled_at: Duration::ZERO,
            listed: false,
            older: NONE,
            newer: NONE,
        };
        let number = self.free.pop().unwrap_or_else(|| u32::try_from(self.slots.len()).unwrap_or(NONE));
        match self.slots.get_mut(index(number)) {
            Some(at) => *at = slot,
            None => self.slots.push(slot),
        }
        self.by_stream.insert(stream, number);
    }

    /// The stream isn't this schedule's any more.
    pub fn forget(&mut self, stream: &StreamId) {
        let Some(number) = self.by_stream.remove(stream) else { return };
        self.take_out(number);
        self.set_part(number, Part::Out);
        if let Some(slot) = self.slots.get_mut(index(number)) {
            slot.stream = None;
        }
        self.free.push(number);
    }

    /// The stream is due when its interval has passed since its last poll was sent, or at `latest`.
    pub fn set_by_rate(
        &mut self,
        now: Duration,
        stream: &StreamId,
        rate: &EventRate,
        polled_at: Duration,
        latest: Option<Duration>,
    ) {
        self.refresh(now);
        let Some(number) = self.number(stream) else { return };
        self.take_out(number);
        let (interval, weight) = self.plan.interval(&rate.outlook(self.plan.mean_rate));
        let part = Part::Takes(self.rates.add(weight));
        self.set_part(number, part);
        let Some(slot) = self.slots.get_mut(index(number)) else { return };
        slot.polled_at = polled_at;
        let due = polled_at + Duration::from_secs_f64(interval);
        self.due.set(number, latest.map_or(due, |latest| due.min(latest)));
        self.append(number);
    }

    /// Makes the stream due at a time, in place of any earlier entry.
    pub fn set(&mut self, stream: &StreamId, due: Duration) {
        let Some(number) = self.number(stream) else { return };
        self.take_out(number);
        self.due.set(number, due);
    }

    /// The same for a stream that fails.
    pub fn set_retry(&mut self, stream: &StreamId, due: Duration) {
        let Some(number) = self.number(stream) else { return };
        self.rates.add_aside();
        self.set_part(number, Part::Aside);
        self.set(stream, due);
    }

    /// The same for a suspended stream, which goes when no other is due, or when it has waited for an hour.
    pub fn set_yielding(&mut self, stream: &StreamId, due: Duration) {
        let Some(number) = self.number(stream) else { return };
        self.take_out(number);
        self.set_part(number, Part::Out);
        self.yielding.set(number, due);
    }

    /// Makes the stream due at a time, if it is due later.
    pub fn set_earlier(&mut self, stream: &StreamId, due: Duration) {
        if self.due(stream).is_some_and(|before| due < before) {
            self.set(stream, due);
        }
    }

    /// A request is made besides the polls at intervals, which leaves less for them.
    pub fn note_other(&mut self, now: Duration) {
        self.count_others(now, 1.0);
    }

    /// When the stream is due, if it waits.
    #[must_use]
    pub fn due(&self, stream: &StreamId) -> Option<Duration> {
        let number = self.number(stream)?;
        self.due.due(number).or_else(|| self.yielding.due(number))
    }

    /// When the first stream is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        let yielding = self.yielding.first().map(|(due, _)| due);
        self.next_unyielding().into_iter().chain(yielding).min()
    }

    /// When the first stream is due that doesn't yield.
    #[must_use]
    pub fn next_unyielding(&self) -> Option<Duration> {
        let due = self.due.first().map(|(due, _)| due);
        due.into_iter().chain(self.deadline()).min()
    }

    /// Takes out the stream that is to be polled now, if any is.
    pub fn pop_due(&mut self, now: Duration) -> Option<StreamId> {
        let is_due = |entry: Option<(Duration, u32)>, wait| entry.filter(|(due, _)| *due + wait <= now);
        let starving = is_due(self.yielding.first(), LONGEST_YIELD);
        let overdue = self.deadline().filter(|at| *at <= now).map(|at| (at, self.oldest));
        let due = || is_due(self.due.first(), Duration::ZERO);
        let yielding = || is_due(self.yielding.first(), Duration::ZERO);
        let (_, number) = starving.or(overdue).or_else(due).or_else(yielding)?;
        self.take_out(number);
        self.slots.get(index(number))?.stream.clone()
    }

    /// How fresh the streams are kept with `times` the requests that there are.
    #[must_use]
    pub fn freshness(&self, times: f64) -> Freshness {
        let terms = Terms { requests: self.terms.requests * times, ..self.terms };
        Plan::new(&self.rates, terms, 1.0, self.plan.mean_rate).freshness(&self.rates)
    }

    /// When the least recently polled stream has waited for as long as the plan allows.
    fn deadline(&self) -> Option<Duration> {
        let polled_at = self.slots.get(index(self.oldest))?.polled_at;
        Some(polled_at + Duration::from_secs_f64(self.plan.limit))
    }

    fn refresh(&mut self, now: Duration) {
        if self.planned_at.is_some_and(|at| now < at + PLAN_INTERVAL) {
            return;
        }
        self.count_others(now, 0.0);
        let part = 1.0 - self.others / OTHERS_MEMORY / self.terms.requests;
        self.plan = Plan::new(&self.rates, self.terms, part.max(LEAST_PART), self.plan.mean_rate);
        self.planned_at = Some(now);
    }

    fn count_others(&mut self, now: Duration, count: f64) {
        let passed = now.saturating_sub(self.others_at).as_secs_f64();
        self.others = self.others * (-passed / OTHERS_MEMORY).exp() + count;
        self.others_at = now;
    }

    /// Gives the stream a part, which `rates` has already, in place of the one before.
    fn set_part(&mut self, number: u32, part: Part) {
        let Some(slot) = self.slots.get_mut(index(number)) else { return };
        match std::mem::replace(&mut slot.part, part) {
            Part::Takes(step) => self.rates.remove(step),
            Part::Aside => self.rates.remove_aside(),
            Part::Out => {}
        }
    }

    fn number(&self, stream: &StreamId) -> Option<u32> {
        self.by_stream.get(stream).copied()
    }

    /// It isn't due any more.
    fn take_out(&mut self, number: u32) {
        self.due.remove(number);
        self.yielding.remove(number);
        let Some(slot) = self.slots.get_mut(index(number)).filter(|slot| slot.listed) else { return };
        slot.listed = false;
        let (older, newer) = (slot.older, slot.newer);
        match self.slots.get_mut(index(older)) {
            Some(slot) => slot.newer = newer,
            None => self.oldest = newer,
        }
        match self.slots.get_mut(index(newer)) {
            Some(slot) => slot.older = older,
            None => self.newest = older,
        }
    }

    /// Puts the stream behind all others that wait for an interval to pass.
    fn append(&mut self, number: u32) {
        let older = std::mem::replace(&mut self.newest, number);
        match self.slots.get_mut(index(older)) {
            Some(slot) => slot.newer = number,
            None => self.oldest = number,
        }
        if let Some(slot) = self.slots.get_mut(index(number)) {
            (slot.listed, slot.older, slot.newer) = (true, older, NONE);
        }
    }
}

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stream(number: u32) -> StreamId {
        StreamId::new("main", number.to_string())
    }

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn schedule(streams: u32, requests: f64) -> Schedule {
        let mut schedule = Schedule::new(Terms { requests, shortest: 1.0, longest: 20.0 });
        for number in 0..streams {
            schedule.add(stream(number), &EventRate::default());
        }
        schedule
    }

    #[test]
    fn the_earliest_due_goes_first_and_each_stream_once() {
        let mut schedule = schedule(2, 1.0);
        schedule.set(&stream(0), at(3.0));
        schedule.set(&stream(1), at(1.0));
        schedule.set(&stream(0), at(2.0));
        schedule.set_earlier(&stream(0), at(2.5));
        schedule.set(&stream(7), at(0.0));
        assert_eq!((schedule.next_due(), schedule.due(&stream(0))), (Some(at(1.0)), Some(at(2.0))));
        assert_eq!(schedule.pop_due(at(0.5)), None);
        assert_eq!(schedule.pop_due(at(9.0)), Some(stream(1)));
        assert_eq!(schedule.pop_due(at(9.0)), Some(stream(0)));
        schedule.set_earlier(&stream(0), at(2.5));
        assert_eq!(schedule.pop_due(at(9.0)), None, "it is being polled");
    }

    #[test]
    fn who_yields_goes_when_no_other_is_due_or_after_an_hour() {
        let mut schedule = schedule(2, 1.0);
        schedule.set_yielding(&stream(0), at(1.0));
        schedule.set(&stream(1), at(5.0));
        assert_eq!((schedule.next_due(), schedule.next_unyielding()), (Some(at(1.0)), Some(at(5.0))));
        assert_eq!(schedule.pop_due(at(9.0)), Some(stream(1)));
        assert_eq!(schedule.pop_due(at(9.0)), Some(stream(0)));
        schedule.set_yielding(&stream(0), at(1.0));
        schedule.set(&stream(1), at(5.0));
        assert_eq!(schedule.pop_due(at(3601.0)), Some(stream(0)));
    }

    #[test]
    fn a_busy_stream_is_polled_more_often_and_a_webhook_comes_before_the_interval() {
        let mut schedule = schedule(10, 1.0);
        let mut busy = EventRate::default();
        busy.observe(100.0, (0..100).map(f64::from));
        let mut quiet = EventRate::default();
        quiet.observe(100.0, []);
        for number in 0..10 {
            schedule.set_by_rate(at(0.0), &stream(number), if number == 0 { &busy } else { &quiet }, at(0.0), None);
        }
        schedule.set_by_rate(at(1.0), &stream(0), &busy, at(0.5), None);
        schedule.set_by_rate(at(1.0), &stream(1), &quiet, at(0.5), None);
        schedule.set_by_rate(at(1.0), &stream(2), &quiet, at(0.5), Some(at(2.0)));
        let due = |number| schedule.due(&stream(number)).unwrap();
        assert!(due(0) < at(5.0) && due(1) > at(10.0), "{:?} {:?}", due(0), due(1));
        assert_eq!(due(2), at(2.0));
        let (once, twice) = (schedule.freshness(1.0), schedule.freshness(2.0));
        assert!(once.mean_delay < at(2.5) && once.longest_interval > at(10.0), "{once:?}");
        assert!(twice.mean_delay < once.mean_delay && twice.longest_interval < once.longest_interval, "{twice:?}");
    }

    #[test]
    fn requests_besides_the_polls_make_intervals_longer() {
        let wait = |others| {
            let mut schedule = schedule(10, 1.0);
            (0..others).for_each(|_| schedule.note_other(at(60.0)));
            schedule.set_by_rate(at(60.0), &stream(0), &EventRate::default(), at(60.0), None);
            schedule.due(&stream(0)).unwrap().as_secs_f64() - 60.0
        };
        let (alone, busy, busiest) = (wait(0), wait(12), wait(600));
        assert!(
            alone > 9.0 && alone < 11.0 && busy > 1.15 * alone && busiest < 1.4 * alone,
            "{alone} {busy} {busiest}"
        );
    }

    #[test]
    fn streams_that_fail_or_are_suspended_leave_their_requests_to_the_others() {
        let wait = |set: fn(&mut Schedule, &StreamId, Duration)| {
            let mut schedule = schedule(10, 1.0);
            (5..10).for_each(|number| set(&mut schedule, &stream(number), at(300.0)));
            schedule.set_by_rate(at(60.0), &stream(0), &EventRate::default(), at(60.0), None);
            schedule.set_by_rate(at(62.0), &stream(0), &EventRate::default(), at(62.0), None);
            schedule.due(&stream(0)).unwrap().as_secs_f64() - 62.0
        };
        for (set, expected) in
            [(Schedule::set as fn(&mut _, &_, _), 10.0), (Schedule::set_retry, 5.0), (Schedule::set_yielding, 5.0)]
        {
            let waited = wait(set);
            assert!((waited - expected).abs() < 0.1 * expected, "{waited} in place of {expected}");
        }
    }

    #[test]
    fn whoever_comes_back_first_takes_no_more_than_when_all_are_back() {
        let mut schedule = schedule(10, 1.0);
        (1..10).for_each(|number| schedule.set_retry(&stream(number), at(90.0)));
        schedule.set_by_rate(at(90.0), &stream(0), &EventRate::default(), at(90.0), None);
        assert_eq!(schedule.pop_due(at(95.0)), Some(stream(1)), "it was due before, and nobody is overdue");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Whatever the streams' rates are taken for, and while streams come and go: with a budget that is spent as soon as
        /// something is due, nobody waits much longer than with round robin.
        #[test]
        fn no_stream_starves(
            rates in proptest::collection::vec(0.0_f64..9.0, 5..80),
            news in proptest::collection::vec((0_u32..80, 0_u32..40), 600),
        ) {
            let streams = u32::try_from(rates.len()).unwrap();
            let mut schedule = schedule(streams, 1.0);
            let mut polled = vec![0.0; rates.len()];
            for number in 0..streams {
                schedule.set(&stream(number), at(0.0));
            }
            for (second, (number, events)) in (0_u32..).zip(news) {
                let now = f64::from(second);
                if let Some(id) = schedule.pop_due(at(now)) {
                    let number: usize = id.resource.as_str().parse().unwrap();
                    prop_assert!(now - polled[number] <= 1.5 * f64::from(streams) + 2.0, "{number} at {now}");
                    polled[number] = now;
                    let mut rate = EventRate::default();
                    rate.observe(10.0_f64.powf(rates[number] - 3.0), (0..events).map(f64::from));
                    schedule.set_by_rate(at(now), &id, &rate, at(now), None);
                }
                if number < streams && events == 0 {
                    schedule.add(stream(number), &EventRate::default());
                    schedule.set(&stream(number), at(now));
                    polled[index(number)] = now;
                }
            }
        }
    }
}
