//! One account, whose schedule and budget are the engine's, and whose requests take 0.2 s.

use crate::load::{self, Load, Process};
use crate::optimum::mean_delay;
use bridge_core::engine::schedule::budget::{Budget, Limit, Share};
use bridge_core::engine::schedule::{Schedule, Terms};
use bridge_core::ids::StreamId;
use bridge_core::now::Now;
use bridge_core::stream::rate::EventRate;
use chrono::DateTime;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

const LEARNING: f64 = 3.0 * 3600.0;
const ANSWER: f64 = 0.2;
const SHORTEST: f64 = 5.0;
const LONGEST: f64 = 60.0;
/// How often the rates are taken for the optimum that knows each moment's.
const SAMPLE: f64 = 600.0;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) streams: usize,
    /// Of all streams, a second.
    pub(crate) events: f64,
    pub(crate) per_minute: u32,
}

/// What was measured. Delays are in seconds.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) mean: f64,
    round_robin: f64,
    pub(crate) known: f64,
    bounded: f64,
    momentary: f64,
    /// The others are parts of round robin's, and of the budget.
    pub(crate) p99: f64,
    pub(crate) longest: f64,
    used: f64,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { streams, events, per_minute } = self;
        write!(f, "{streams} streams, {events} events a second, {per_minute} requests a minute")
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mean, round_robin, known, bounded, momentary, p99, longest, used } = self;
        let [of_known, of_bounded, of_momentary] = [known, bounded, momentary].map(|optimum| mean / optimum);
        write!(f, "mean {mean:6.1} {round_robin:6.1} {known:6.1}  known {of_known:.2}  bounded {of_bounded:.2}  ")?;
        write!(f, "momentary {of_momentary:.2}  p99 {p99:.2}  longest {longest:.2}  used {used:.3}")
    }
}

struct Stream {
    id: StreamId,
    process: Process,
    rate: EventRate,
    sent_at: Option<f64>,
    answered_at: f64,
}

struct Account {
    rng: ChaCha8Rng,
    streams: Vec<Stream>,
    numbers: HashMap<StreamId, usize>,
    budget: Budget,
    schedule: Schedule,
    /// When each answer arrives, and whose it is.
    answers: VecDeque<(f64, usize)>,
    delays: Vec<f64>,
    longest: f64,
    polls: u32,
}

pub(crate) fn run(size: Size, load: Load, length: f64, seed: u64) -> Outcome {
    let mut account = Account::new(size, load, seed);
    let requests = f64::from(size.per_minute) / 60.0 * 0.98;
    let even = (size.streams as f64 / requests).max(SHORTEST);
    let (mut at, mut sample_at, mut samples) = (0.0, LEARNING, Vec::new());
    while at < LEARNING + length {
        if at >= sample_at {
            let rates: Vec<_> = account.streams.iter().map(|it| it.process.rate(at)).collect();
            samples.push(mean_delay(&rates, requests, SHORTEST, f64::INFINITY));
            sample_at += SAMPLE;
        }
        account.answers(at);
        account.polls(at);
        at = account.next().max(at + 1e-6);
    }
    let Account { streams, mut delays, longest, polls, .. } = account;
    delays.sort_by(f64::total_cmp);
    let means: Vec<_> = streams.iter().map(|it| it.process.mean).collect();
    let optimum = |longest| mean_delay(&means, requests, SHORTEST, longest) + ANSWER;
    Outcome {
        mean: delays.iter().sum::<f64>() / delays.len() as f64,
        round_robin: even / 2.0 + ANSWER,
        known: optimum(f64::INFINITY),
        bounded: optimum(1.5 * even),
        momentary: samples.iter().sum::<f64>() / samples.len() as f64 + ANSWER,
        p99: delays[delays.len() * 99 / 100] / (0.99 * even + ANSWER),
        longest: longest / even,
        used: f64::from(polls) / (length * f64::from(size.per_minute) / 60.0),
    }
}

impl Account {
    fn new(size: Size, load: Load, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let limit = Limit {
            requests_per_minute: NonZeroU32::new(size.per_minute).unwrap(),
            max_in_flight: NonZeroU16::new(40).unwrap(),
        };
        let mut budget = Budget::new(limit);
        budget.set(now(0.0), limit, Share { owned: 1, all: 1 });
        let terms = Terms { requests: budget.per_second(), shortest: SHORTEST, longest: LONGEST };
        let mut schedule = Schedule::new(terms);
        let processes = load::processes(load, size.streams, size.events, &mut rng);
        let stream = |(number, process): (usize, Process)| Stream {
            id: StreamId::new("main", number.to_string()),
            process,
            rate: EventRate::default(),
            sent_at: None,
            answered_at: 0.0,
        };
        let streams: Vec<_> = processes.into_iter().enumerate().map(stream).collect();
        for stream in &streams {
            schedule.add(stream.id.clone(), &stream.rate);
            schedule.set(&stream.id, Duration::ZERO);
        }
        let numbers = streams.iter().enumerate().map(|(number, stream)| (stream.id.clone(), number)).collect();
        let (answers, delays) = (VecDeque::new(), Vec::new());
        Self { rng, streams, numbers, budget, schedule, answers, delays, longest: 0.0, polls: 0 }
    }

    /// The answers that have arrived. Each brings what had happened when its poll was sent; the first one a token only.
    fn answers(&mut self, at: f64) {
        while let Some((_, number)) = self.answers.front().copied().filter(|(due, _)| *due <= at) {
            self.answers.pop_front();
            let (stream, sent_at, mut events) = (&mut self.streams[number], at - ANSWER, Vec::new());
            stream.process.run(sent_at, &mut self.rng, &mut events);
            let before = stream.sent_at.replace(sent_at);
            if before.is_some() {
                stream.rate.observe(at - stream.answered_at, events.iter().map(|event| at - event));
            }
            if let Some(before) = before.filter(|before| *before >= LEARNING) {
                self.longest = self.longest.max(sent_at - before);
                self.delays.extend(events.iter().map(|event| at - event));
            }
            stream.answered_at = at;
            self.schedule.set_by_rate(now(at).monotonic, &stream.id, &stream.rate, now(sent_at).monotonic, None);
            self.budget.finish();
        }
    }

    fn polls(&mut self, at: f64) {
        let now = now(at);
        while self.budget.available_at().is_some_and(|free| free <= now.monotonic) {
            let Some(id) = self.schedule.pop_due(now.monotonic) else { break };
            self.budget.take(now);
            self.polls += u32::from(at >= LEARNING);
            self.answers.push_back((at + ANSWER, self.numbers[&id]));
        }
    }

    /// When something happens next.
    fn next(&self) -> f64 {
        let poll = self.schedule.next_due().zip(self.budget.available_at()).map(|(due, free)| due.max(free));
        let answer = self.answers.front().map(|(due, _)| *due);
        poll.map(|at| at.as_secs_f64()).into_iter().chain(answer).fold(f64::INFINITY, f64::min)
    }
}

fn now(seconds: f64) -> Now {
    Now { monotonic: Duration::from_secs_f64(seconds), wall: DateTime::UNIX_EPOCH }
}
