//! What a decision costs, and what a stream needs, with very many streams.

use bridge_core::engine::schedule::{Schedule, Terms};
use bridge_core::ids::{AccountName, StreamId};
use bridge_core::stream::rate::EventRate;
use std::time::Duration;

/// What 1 GiB has for each of a million streams.
const MOST_BYTES: f64 = 1073.0;

/// Prints it for a budget of 30,000 requests a minute for a million streams. Returns whether it fits into its memory.
pub(crate) fn streams(count: usize) -> bool {
    let before = resident_bytes();
    let requests = 500.0 * count as f64 / 1e6;
    let mut schedule = Schedule::new(Terms { requests, shortest: 5.0, longest: 60.0 });
    let account = AccountName::from("main");
    let mut rate = EventRate::default();
    for number in 0..count {
        let id = StreamId::new(account.clone(), format!("12{number:014}"));
        schedule.add(id.clone(), &rate);
        schedule.set(&id, Duration::from_secs_f64(number as f64 / requests));
    }
    let bytes = (resident_bytes() - before) / count as f64;
    // Once round, so that every stream has an interval of its own, and then as it goes on.
    let mut turns = |polls: usize| {
        let begun = cpu_seconds();
        for number in 0..polls {
            let now = schedule.next_due().unwrap();
            let id = schedule.pop_due(now).unwrap();
            rate.observe(2.0, (number % 3 == 0).then_some(1.0));
            schedule.set_by_rate(now, &id, &rate, now, None);
        }
        (cpu_seconds() - begun) / polls as f64 * 1e6
    };
    turns(count);
    let micros = turns(count);
    println!(
        "\n{count} streams: {bytes:.0} bytes a stream, {micros:.2} µs of CPU a decision: take the next, learn from its answer, plan it"
    );
    bytes < MOST_BYTES
}

/// Used by this process, from `/proc/self/schedstat`; 0 on systems other than Linux.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|it| it.parse::<f64>().ok()).unwrap_or_default() / 1e9
}

/// From `/proc/self/status`; 0 on systems other than Linux.
fn resident_bytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or_default() * 1024.0
}
