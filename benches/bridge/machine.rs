//! What the machine is, and what processes use of it.

use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// What something took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
}

/// A moment from which usage is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(Instant, Duration);

impl Mark {
    pub(crate) fn now() -> Self {
        Self(Instant::now(), cpu("self"))
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage { wall: self.0.elapsed(), cpu: cpu("self").saturating_sub(self.1) }
    }
}

/// CPU time of a process: user and system.
pub(crate) fn cpu(process: &str) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("Linux");
    let after_name = stat.rsplit_once(')').unwrap().1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    // Fields 14 and 15 of proc_pid_stat(5), counted from 1; the first two are before `fields`. In ticks of 10 ms.
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// Peak resident memory of this process, in MiB.
pub(crate) fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// The size of all files below a folder with one of these endings, in bytes.
pub(crate) fn folder_bytes(folder: &Path, endings: &[&str]) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let size = |entry: std::fs::DirEntry| {
        let path = entry.path();
        if path.is_dir() {
            return folder_bytes(&path, endings);
        }
        let counts = path.extension().is_some_and(|ending| endings.iter().any(|known| ending == *known));
        if counts { entry.metadata().map_or(0, |it| it.len()) } else { 0 }
    };
    entries.flatten().map(size).sum()
}

pub(crate) fn describe() -> Value {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib =
        memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().split(' ').next()?.parse::<u64>().ok());
    json!({
        "cores": std::thread::available_parallelism().map_or(1, usize::from),
        "cpu": model.trim_start_matches([' ', '\t', ':']),
        "memory_gib": kib.map(|kib| kib >> 20),
        "kernel": output("uname", &["-sr"]),
    })
}

pub(crate) fn versions() -> Value {
    let (_, librdkafka) = rdkafka::util::get_rdkafka_version();
    json!({
        "asana-event-bridge": env!("CARGO_PKG_VERSION"),
        "librdkafka": librdkafka,
        "rustc": output("rustc", &["--version"]),
    })
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
