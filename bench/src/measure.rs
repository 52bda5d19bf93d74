//! Figures of a process and of its latencies.

use std::{fs, time::Duration};

use crate::Error;

/// A percentile needs this many values beyond it to mean anything.
const BEYOND: f64 = 5.0;

/// Returns a percentile in microseconds, if enough values are beyond it.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count of RPCs is small, and positive"
)]
#[must_use]
pub fn percentile(sorted: &[Duration], part: f64) -> Option<f64> {
    let count = sorted.len() as f64;
    let index = (count * part) as usize;
    (count * (1.0 - part) >= BEYOND).then(|| sorted[index].as_secs_f64() * 1e6)
}

/// Returns the seconds of CPU that a process has used, those of the system included.
///
/// # Errors
///
/// If there is no such process.
pub fn cpu_seconds(pid: u32) -> Result<f64, Error> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name of the program is in brackets, and may have spaces.
    let (_, fields) = stat.rsplit_once(')').ok_or("no name in /proc/<pid>/stat")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks: u32 = fields[11].parse::<u32>()? + fields[12].parse::<u32>()?;
    let per_second = u32::try_from(rustix::param::clock_ticks_per_second())?;
    Ok(f64::from(ticks) / f64::from(per_second))
}
