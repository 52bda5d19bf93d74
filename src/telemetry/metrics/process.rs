//! The process, by the names that every client library of Prometheus uses.
//!
//! The files are those of Linux. Elsewhere their families have no samples.

use std::{fs, time::SystemTime};

use rustix::process::{Resource, getrlimit};

use super::{Family, Metrics, Samples};

/// The unit of processor time in `/proc/self/stat`: the same on every processor for which
/// there are releases.
const TICKS_PER_SECOND: f64 = 100.0;

const BUILD: Family = Family::gauge(
    "gateway_build_info",
    &["version"],
    "1, with the version of the gateway",
);
const START: Family = Family::gauge(
    "process_start_time_seconds",
    &[],
    "When the process started, in seconds since 1970",
);
const CPU: Family = Family::counter(
    "process_cpu_seconds_total",
    &[],
    "Processor time of the process, of all its threads",
);
const RESIDENT: Family = Family::gauge(
    "process_resident_memory_bytes",
    &[],
    "Memory of the process that is in RAM",
);
const VIRTUAL: Family =
    Family::gauge("process_virtual_memory_bytes", &[], "Address space of the process");
const OPEN_FILES: Family =
    Family::gauge("process_open_fds", &[], "Open file descriptors, sockets included");
const MOST_FILES: Family =
    Family::gauge("process_max_fds", &[], "Maximum open file descriptors");

pub(super) fn register(metrics: &Metrics) {
    metrics.register(BUILD, |samples| {
        samples.count(&[env!("CARGO_PKG_VERSION")], 1);
    });
    let started = SystemTime::now();
    metrics.register(START, move |samples| {
        let since = started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        samples.value(&[], since.as_secs_f64());
    });
    metrics.register(CPU, |samples| {
        let stat = fs::read_to_string("/proc/self/stat").ok();
        if let Some(seconds) = stat.as_deref().and_then(processor_seconds) {
            samples.value(&[], seconds);
        }
    });
    metrics.register(RESIDENT, |samples| memory(samples, "VmRSS:"));
    metrics.register(VIRTUAL, |samples| memory(samples, "VmSize:"));
    metrics.register(OPEN_FILES, |samples| {
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            // One of them is the directory, open to be read.
            samples.count(&[], (files.count() as u64).saturating_sub(1));
        }
    });
    metrics.register(MOST_FILES, |samples| {
        if let Some(most) = getrlimit(Resource::Nofile).current {
            samples.count(&[], most);
        }
    });
}

/// Returns the time in user mode and in the system (proc(5), `/proc/pid/stat`).
#[expect(clippy::cast_precision_loss, reason = "it is exact for a million years")]
fn processor_seconds(stat: &str) -> Option<f64> {
    // The name of the program may have spaces, and ends with the last bracket.
    let (_, fields) = stat.rsplit_once(") ")?;
    let ticks = fields.split(' ').skip(11).take(2);
    let ticks: Option<u64> = ticks.map(|ticks| ticks.parse::<u64>().ok()).sum();
    Some(ticks? as f64 / TICKS_PER_SECOND)
}

fn memory(samples: &mut Samples<'_>, field: &str) {
    let Ok(status) = fs::read_to_string("/proc/self/status") else { return };
    let kib = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = kib.and_then(|kib| kib.split_whitespace().next()?.parse::<u64>().ok());
    if let Some(kib) = kib {
        samples.count(&[], kib * 1024);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_counted_for_years() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 1 0 0 0 4294967296 104 0 0 20 0 3";
        assert_eq!(processor_seconds(stat), Some(42_949_674.0));
    }
}
