//! Processes by which streams have events.
use rand::{Rng, RngExt as _};

#[derive(Clone, Copy, Debug)]
pub enum Shape {
    Zipf(f64),
    LogNormal(f64),
}

#[derive(Clone, Copy, Debug)]
pub enum Change {
    Steady,
    Bursts { on: f64, off: f64, times: f64 },
    Office,
    Swap { every: f64 },
}

pub type Load = (Shape, Change);

pub fn all() -> Vec<(&'static str, Load)> {
    vec![
        ("zipf1", (Shape::Zipf(1.0), Change::Steady)),
        ("zipf0.7", (Shape::Zipf(0.7), Change::Steady)),
        ("zipf1.3", (Shape::Zipf(1.3), Change::Steady)),
        ("lognormal2", (Shape::LogNormal(2.0), Change::Steady)),
        ("bursts2m", (Shape::Zipf(1.0), Change::Bursts { on: 120.0, off: 1800.0, times: 30.0 })),
        ("bursts10m", (Shape::Zipf(1.0), Change::Bursts { on: 600.0, off: 6000.0, times: 30.0 })),
        ("bursts1h", (Shape::Zipf(1.0), Change::Bursts { on: 3600.0, off: 36000.0, times: 30.0 })),
        ("office", (Shape::Zipf(1.0), Change::Office)),
        ("swap6h", (Shape::Zipf(1.0), Change::Swap { every: 6.0 * 3600.0 })),
    ]
}

/// One stream.
#[derive(Clone, Debug)]
pub struct Process {
    pub mean: f64,
    change: Change,
    at: f64,
    on: bool,
    until: f64,
    shift: f64,
    other: f64,
}

pub fn processes(shape: Shape, change: Change, streams: usize, events: f64, rng: &mut impl Rng) -> Vec<Process> {
    let mut rates: Vec<f64> = (0..streams)
        .map(|n| match shape {
            Shape::Zipf(s) => 1.0 / ((n + 1) as f64).powf(s),
            Shape::LogNormal(sigma) => (sigma * normal(rng)).exp(),
        })
        .collect();
    let all: f64 = rates.iter().sum();
    for rate in &mut rates {
        *rate *= events / all;
    }
    // No order that a schedule could profit from.
    for at in (1..streams).rev() {
        rates.swap(at, rng.random_range(0..=at));
    }
    let reversed: Vec<f64> = rates.iter().rev().copied().collect();
    rates
        .into_iter()
        .zip(reversed)
        .map(|(mean, other)| {
            let zone = rng.random_range(0..3);
            let on = match change {
                Change::Bursts { on, off, .. } => rng.random_bool(on / (on + off)),
                _ => false,
            };
            let mut process =
                Process { mean, change, at: 0.0, on, until: 0.0, shift: f64::from(zone) * 8.0 * 3600.0, other };
            process.until = process.stay(rng);
            process
        })
        .collect()
}

fn normal(rng: &mut impl Rng) -> f64 {
    let (u, v): (f64, f64) = (rng.random(), rng.random());
    (-2.0 * (1.0 - u).ln()).sqrt() * (v * std::f64::consts::TAU).cos()
}

fn wait(mean: f64, rng: &mut impl Rng) -> f64 {
    -mean * (1.0 - rng.random::<f64>()).ln()
}

impl Process {
    fn stay(&self, rng: &mut impl Rng) -> f64 {
        match self.change {
            Change::Bursts { on, off, .. } => wait(if self.on { on } else { off }, rng),
            Change::Steady | Change::Office | Change::Swap { .. } => f64::INFINITY,
        }
    }

    /// Its rate at a time, up to which it was moved.
    pub fn rate(&self, at: f64) -> f64 {
        match self.change {
            Change::Steady => self.mean,
            Change::Bursts { on, off, times } => {
                let base = self.mean * (on + off) / (on * times + off);
                if self.on { base * times } else { base }
            }
            // Nine hours of the day have nine tenths of the events, and there are weekends.
            Change::Office => {
                let local = at + self.shift;
                let (day, hour) = ((local / 86_400.0).floor() % 7.0, (local % 86_400.0) / 3600.0);
                let works = day < 5.0 && (8.0..17.0).contains(&hour);
                self.mean * if works { 2.4 } else { 0.16 }
            }
            Change::Swap { every } => {
                if (at / every).floor() % 2.0 > 0.5 {
                    self.other
                } else {
                    self.mean
                }
            }
        }
    }

    /// The highest rate that it may have.
    fn most(&self) -> f64 {
        match self.change {
            Change::Steady => self.mean,
            Change::Bursts { .. } => self.rate(0.0),
            Change::Office => self.mean * 2.4,
            Change::Swap { .. } => self.mean.max(self.other),
        }
    }

    /// Adds the times of its events up to a time.
    pub fn run(&mut self, to: f64, rng: &mut impl Rng, events: &mut Vec<f64>) {
        while self.at < to {
            let end = to.min(self.until);
            let most = self.most();
            let mut at = self.at;
            loop {
                at += wait(1.0 / most, rng);
                if at >= end {
                    break;
                }
                if rng.random::<f64>() * most < self.rate(at) {
                    events.push(at);
                }
            }
            self.at = end;
            if end >= self.until {
                self.on = !self.on;
                self.until = end + self.stay(rng);
            }
        }
    }
}
