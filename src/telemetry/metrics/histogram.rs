//! How long something took.
//!
//! The library's histogram has a lock, which all threads would take for each RPC. This one
//! is a few counters: to observe a duration is two atomic additions.

use std::{
    array,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use super::Counter;

/// The upper bounds of the buckets: those that OpenTelemetry advises for durations of
/// requests, in milliseconds.
const BOUNDS: [u64; 14] =
    [5, 10, 25, 50, 75, 100, 250, 500, 750, 1_000, 2_500, 5_000, 7_500, 10_000];

/// Counts durations by how long they are.
#[derive(Debug, Default)]
pub struct Histogram {
    /// By bound, and those beyond the last.
    buckets: [Counter; BOUNDS.len() + 1],
    /// In nanoseconds, of which there is room for 584 years.
    sum: AtomicU64,
}

impl Histogram {
    /// Counts a duration.
    pub fn observe(&self, took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let is_within = |bound: &u64| nanoseconds <= bound * 1_000_000;
        let bucket = BOUNDS.iter().position(is_within).unwrap_or(BOUNDS.len());
        self.buckets[bucket].add();
        self.sum.fetch_add(nanoseconds, Relaxed);
    }

    /// Returns the sum in seconds and, by upper bound in seconds, how many durations were
    /// within it and not within the one before.
    pub(super) fn snapshot(&self) -> (f64, [(f64, u64); BOUNDS.len() + 1]) {
        let buckets = array::from_fn(|index| {
            let bound = BOUNDS.get(index).map(|bound| Duration::from_millis(*bound));
            let bound = bound.map_or(f64::INFINITY, |bound| bound.as_secs_f64());
            (bound, self.buckets[index].get())
        });
        (Duration::from_nanos(self.sum.load(Relaxed)).as_secs_f64(), buckets)
    }
}
