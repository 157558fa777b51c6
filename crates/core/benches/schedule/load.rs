//! The ways in which streams have events.

use rand::{Rng, RngExt as _};

const HOUR: f64 = 3600.0;
/// In a burst, a stream has so many times as many events as else.
const BURST: f64 = 30.0;
/// In office hours, and outside, so that the mean over a week is about 1.
const OFFICE: (f64, f64) = (3.2, 0.2);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) shape: Shape,
    pub(crate) change: Change,
}

/// How the streams' mean rates differ.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// The n-th has `1/nˢ` of the first's.
    Zipf(f64),
    /// Their logarithms have this standard deviation.
    LogNormal(f64),
}

/// How the rate of one stream changes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    Steady,
    /// Mean durations, in seconds, of bursts and of the times between.
    Bursts {
        on: f64,
        off: f64,
    },
    /// Nine hours on five days of a week, in three time zones.
    Office,
    /// Streams swap their rates so often, in seconds.
    Swap {
        every: f64,
    },
}

/// One stream.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) mean: f64,
    change: Change,
    /// Its events up to this time were returned.
    at: f64,
    in_burst: bool,
    /// When the burst, or the time between two, ends.
    until: f64,
    zone: f64,
    /// The rate that it swaps with.
    other: f64,
}

/// Streams with this number of events a second, in no order that a schedule could profit from.
pub(crate) fn processes(load: Load, streams: usize, events: f64, rng: &mut impl Rng) -> Vec<Process> {
    let mut rate = |number: usize| match load.shape {
        Shape::Zipf(exponent) => 1.0 / ((number + 1) as f64).powf(exponent),
        Shape::LogNormal(deviation) => (deviation * normal(rng)).exp(),
    };
    let mut rates: Vec<f64> = (0..streams).map(&mut rate).collect();
    let all: f64 = rates.iter().sum();
    for rate in &mut rates {
        *rate *= events / all;
    }
    for at in (1..streams).rev() {
        rates.swap(at, rng.random_range(0..=at));
    }
    let others = rates.clone().into_iter().rev();
    rates.iter().zip(others).map(|(mean, other)| Process::new(*mean, other, load.change, rng)).collect()
}

impl Process {
    fn new(mean: f64, other: f64, change: Change, rng: &mut impl Rng) -> Self {
        let in_burst = matches!(change, Change::Bursts { on, off } if rng.random_bool(on / (on + off)));
        let zone = 8.0 * HOUR * f64::from(rng.random_range(0..3));
        let process = Self { mean, change, at: 0.0, in_burst, until: 0.0, zone, other };
        Self { until: process.stay(rng), ..process }
    }

    fn stay(&self, rng: &mut impl Rng) -> f64 {
        match self.change {
            Change::Bursts { on, off } => wait(if self.in_burst { on } else { off }, rng),
            Change::Steady | Change::Office | Change::Swap { .. } => f64::INFINITY,
        }
    }

    /// Its rate at a time at which it is, or soon after.
    pub(crate) fn rate(&self, at: f64) -> f64 {
        match self.change {
            Change::Bursts { on, off } => {
                let quiet = self.mean * (on + off) / (on * BURST + off);
                if self.in_burst { quiet * BURST } else { quiet }
            }
            Change::Office => {
                let local = at + self.zone;
                let (day, hour) = ((local / (24.0 * HOUR)).floor() % 7.0, local / HOUR % 24.0);
                self.mean * if day < 5.0 && (8.0..17.0).contains(&hour) { OFFICE.0 } else { OFFICE.1 }
            }
            Change::Swap { every } if (at / every).floor() % 2.0 > 0.5 => self.other,
            Change::Steady | Change::Swap { .. } => self.mean,
        }
    }

    /// No lower than its rate may become before the burst, or the time between two, ends.
    fn most(&self) -> f64 {
        match self.change {
            Change::Steady | Change::Bursts { .. } => self.rate(self.at),
            Change::Office => self.mean * OFFICE.0,
            Change::Swap { .. } => self.mean.max(self.other),
        }
    }

    /// Adds the times of its events up to a time.
    pub(crate) fn run(&mut self, to: f64, rng: &mut impl Rng, events: &mut Vec<f64>) {
        while self.at < to {
            let (end, most) = (to.min(self.until), self.most());
            let mut at = self.at + wait(1.0 / most, rng);
            while at < end {
                if rng.random::<f64>() * most < self.rate(at) {
                    events.push(at);
                }
                at += wait(1.0 / most, rng);
            }
            self.at = end;
            if end >= self.until {
                self.in_burst = !self.in_burst;
                self.until = end + self.stay(rng);
            }
        }
    }
}

fn wait(mean: f64, rng: &mut impl Rng) -> f64 {
    -mean * (1.0 - rng.random::<f64>()).ln()
}

fn normal(rng: &mut impl Rng) -> f64 {
    let (one, other): (f64, f64) = (rng.random(), rng.random());
    (-2.0 * (1.0 - one).ln()).sqrt() * (other * std::f64::consts::TAU).cos()
}
