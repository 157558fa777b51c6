//! How much is measured.

use std::time::Duration;

/// From the environment, or what fits into some minutes.
#[derive(Debug)]
pub(crate) struct Amounts {
    /// The number of events that wait when a backlog is measured.
    pub(crate) events: usize,
    /// The numbers of streams that have them.
    pub(crate) streams: Vec<usize>,
    /// The rates at which pages come.
    pub(crate) pages_per_second: Vec<usize>,
    /// The interval at which each stream is polled then. It has an event each time.
    pub(crate) interval: Duration,
    /// The times that Asana takes longer for each answer when one stream catches up.
    pub(crate) delays: Vec<Duration>,
    /// How often a start is measured.
    pub(crate) starts: usize,
    /// The time for which a rate, or an idle bridge, is measured.
    pub(crate) time: Duration,
    /// The number of streams without events.
    pub(crate) idle_streams: usize,
    /// The run only shows that the benchmark works: other processes use the machine, and the program isn't optimized.
    pub(crate) is_smoke: bool,
}

impl Amounts {
    pub(crate) fn read() -> Self {
        let number = |name: &str| Some(std::env::var_os(name)?.to_string_lossy().parse::<usize>().expect("a number"));
        let events = number("EVENTS").unwrap_or(300_000);
        let is_smoke = events < 50_000;
        let or_few = |all: &[usize], few: usize| if is_smoke { vec![few] } else { all.to_vec() };
        let all: &[usize] = if std::env::var_os("LONG").is_some() { &[1, 100, 10_000] } else { &[1, 100] };
        Self {
            events,
            streams: number("STREAMS").map_or_else(|| or_few(all, 10), |streams| vec![streams]),
            pages_per_second: or_few(&[1, 10, 50, 200], 10),
            interval: Duration::from_secs(if is_smoke { 1 } else { 5 }),
            delays: if is_smoke { vec![Duration::ZERO] } else { vec![Duration::ZERO, Duration::from_millis(150)] },
            starts: if is_smoke { 1 } else { 5 },
            time: Duration::from_secs(number("SECONDS").unwrap_or(if is_smoke { 2 } else { 30 }) as u64),
            idle_streams: if is_smoke { 20 } else { 500 },
            is_smoke,
        }
    }

    /// A bound for a ratio. A smoke run has a wider one.
    pub(crate) fn bound(&self, ratio: f64, smoke: f64) -> f64 {
        if self.is_smoke { smoke } else { ratio }
    }
}
