//! What the process takes of its machine, by the names that all Prometheus clients use.

use super::metrics::number;
use super::sampled::Sheet;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Unit;
use std::fmt;
use std::fs::{read_dir, read_to_string};

/// Ticks in a second of CPU time in `/proc`: the same on all architectures that the bridge is built for.
const TICKS: f64 = 100.0;

/// CPU time, memory and file descriptors of the process. On systems other than Linux there are none.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Sheet { encoder };
        if let Some(seconds) = cpu_seconds() {
            let help = "CPU time of the process, in user and kernel mode, in seconds";
            page.total("process_cpu", help, Some(&Unit::Seconds), seconds)?;
        }
        let memory = [
            ("process_resident_memory", "Resident memory of the process, in bytes", "VmRSS:"),
            ("process_virtual_memory", "Virtual memory of the process, in bytes", "VmSize:"),
        ];
        for (name, help, field) in memory {
            if let Some(bytes) = memory_bytes(field) {
                page.one(name, help, Some(&Unit::Bytes), bytes)?;
            }
        }
        if let Some(open) = open_descriptors() {
            page.one("process_open_fds", "Number of open file descriptors of the process", None, open)?;
        }
        match max_descriptors() {
            Some(most) => page.one("process_max_fds", "Limit of open file descriptors of the process", None, most),
            None => Ok(()),
        }
    }
}

/// From `/proc/self/stat`: the 14th and 15th field. The second one is the program's name in brackets, and may contain anything.
fn cpu_seconds() -> Option<f64> {
    let stat = read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut times = fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<usize>().ok());
    Some(number(times.next()?? + times.next()??) / TICKS)
}

fn memory_bytes(field: &str) -> Option<f64> {
    let status = read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    Some(number(line.trim().strip_suffix("kB")?.trim().parse().ok()?) * 1024.0)
}

/// Without the one that reads the folder.
fn open_descriptors() -> Option<f64> {
    Some(number(read_dir("/proc/self/fd").ok()?.count().saturating_sub(1)))
}

fn max_descriptors() -> Option<f64> {
    let limits = read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok().map(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_measured_where_there_is_proc() {
        if !std::path::Path::new("/proc/self/stat").exists() {
            return;
        }
        let before = cpu_seconds().unwrap();
        let file = std::fs::File::open("/proc/self/stat").unwrap();
        assert!(open_descriptors().unwrap() >= 1.0 && max_descriptors().unwrap() >= open_descriptors().unwrap());
        drop(file);
        assert!(memory_bytes("VmRSS:").unwrap() > 1e6 && memory_bytes("VmSize:") >= memory_bytes("VmRSS:"));
        assert!(cpu_seconds().unwrap() >= before);
    }
}
