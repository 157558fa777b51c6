//! A run of one account.
use crate::load::{self, Load, Process};
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

#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub streams: usize,
    pub events: f64,
    pub per_minute: u32,
}

pub const SIZES: [Size; 3] = [
    Size { streams: 10_000, events: 20.0, per_minute: 1500 },
    Size { streams: 2_000, events: 5.0, per_minute: 150 },
    Size { streams: 200, events: 5.0, per_minute: 1500 },
];

const ANSWER: f64 = 0.2;
const SHORTEST: f64 = 5.0;
const LONGEST: f64 = 60.0;

#[derive(Clone, Debug)]
pub struct Outcome {
    mean: f64,
    p99: f64,
    longest: f64,
    even: f64,
    known: f64,
    bounded: f64,
    momentary: f64,
    used: f64,
    predicted: f64,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rr = self.even / 2.0 + ANSWER;
        write!(
            f,
            "mean {:6.1} rr {rr:6.1}  /known {:.3} /bounded {:.3} /momentary {:.3}  p99/rr {:.2}  longest/rr {:.2}  used {:.3} predicted {:.1}",
            self.mean,
            self.mean / self.known,
            self.mean / self.bounded,
            self.mean / self.momentary,
            self.p99 / (self.even * 0.99 + ANSWER),
            self.longest / self.even,
            self.used,
            self.predicted
        )
    }
}

/// The mean delay with intervals ∝ 1/√rate that take so many requests a second.
pub fn optimum(rates: &[f64], requests: f64, longest: f64) -> f64 {
    let (mut low, mut high) = (1e-9_f64, 1e9_f64);
    let interval = |scale: f64, rate: f64| (scale / rate.sqrt()).clamp(SHORTEST, longest);
    for _ in 0..100 {
        let scale = (low * high).sqrt();
        let taken: f64 = rates.iter().map(|rate| 1.0 / interval(scale, *rate)).sum();
        if taken > requests { low = scale } else { high = scale }
    }
    let waiting: f64 = rates.iter().map(|rate| rate * interval(high, *rate) / 2.0).sum();
    waiting / rates.iter().sum::<f64>() + ANSWER
}

pub fn run(size: Size, (shape, change): Load, length: f64, warm: f64, seed: u64) -> Outcome {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut processes = load::processes(shape, change, size.streams, size.events, &mut rng);
    let requests = f64::from(size.per_minute) / 60.0 * 0.98;
    let even = (size.streams as f64 / requests).max(SHORTEST);
    let means: Vec<f64> = processes.iter().map(|it| it.mean).collect();
    let limit = Limit {
        requests_per_minute: NonZeroU32::new(size.per_minute).unwrap(),
        max_in_flight: NonZeroU16::new(40).unwrap(),
    };
    let mut budget = Budget::new(limit);
    budget.set(now(0.0), limit, Share { owned: 1, all: 1 });
    let mut schedule = Schedule::new(Terms { requests: budget.per_second(), shortest: SHORTEST, longest: LONGEST });
    let ids: Vec<_> = (0..size.streams).map(|n| StreamId::new("main", n.to_string())).collect();
    let numbers: HashMap<_, _> = ids.iter().cloned().zip(0..).collect();
    for id in &ids {
        schedule.add(id.clone(), &EventRate::default());
        schedule.set(id, Duration::ZERO);
    }
    let (mut at, mut answers): (f64, VecDeque<(f64, usize, f64)>) = (0.0, VecDeque::new());
    let mut events = Vec::new();
    let (mut rates, mut seen) = (vec![EventRate::default(); size.streams], vec![0.0; size.streams]);
    let mut asked = vec![f64::NAN; size.streams];
    let (mut delays, mut longest, mut polls) = (Vec::new(), 0.0_f64, 0);
    let mut momentary = (0.0, 0.0);
    let mut sample = warm;
    while at < length {
        if at >= sample {
            sample += 600.0;
            momentary.0 += snapshot(&processes, at, requests);
            momentary.1 += 1.0;
        }
        while let Some((_, number, sent)) = answers.pop_front_if(|(due, ..)| *due <= at) {
            let process: &mut Process = &mut processes[number];
            events.clear();
            process.run(sent, &mut rng, &mut events);
            let first = asked[number].is_nan();
            if first {
                events.clear();
            }
            if sent >= warm {
                delays.extend(events.iter().map(|event| at - event));
            }
            asked[number] = sent;
            if !first {
                rates[number].observe(at - seen[number], events.iter().map(|event| at - event));
            }
            seen[number] = at;
            schedule.set_by_rate(now(at).monotonic, &ids[number], &rates[number], now(sent).monotonic, None);
            budget.finish();
        }
        while budget.available_at().is_some_and(|due| due <= now(at).monotonic) {
            let Some(id) = schedule.pop_due(now(at).monotonic) else { break };
            budget.take(now(at));
            let number = numbers[&id];
            if at >= warm {
                polls += 1;
                longest = longest.max(at - asked[number]);
            }
            answers.push_back((at + ANSWER, number, at));
        }
        let poll = schedule.next_due().zip(budget.available_at()).map(|(due, free)| due.max(free).as_secs_f64());
        let answer = answers.front().map(|(due, ..)| *due);
        at = poll.into_iter().chain(answer).fold(f64::INFINITY, f64::min).max(at + 1e-6);
    }
    delays.sort_by(f64::total_cmp);
    Outcome {
        mean: delays.iter().sum::<f64>() / delays.len() as f64,
        p99: delays[delays.len() * 99 / 100],
        longest,
        even,
        known: optimum(&means, requests, 1e12),
        bounded: optimum(&means, requests, 1.5 * even),
        momentary: momentary.0 / momentary.1,
        used: f64::from(polls) / (length - warm) / (f64::from(size.per_minute) / 60.0),
        predicted: schedule.freshness(1.0).mean_delay.as_secs_f64(),
    }
}

fn snapshot(processes: &[Process], at: f64, requests: f64) -> f64 {
    let rates: Vec<f64> = processes.iter().map(|it| it.rate(at)).collect();
    optimum(&rates, requests, 1e12)
}

fn now(at: f64) -> Now {
    Now { monotonic: Duration::from_secs_f64(at), wall: DateTime::UNIX_EPOCH }
}
