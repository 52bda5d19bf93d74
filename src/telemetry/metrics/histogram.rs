//! How long something took.
//!
//! The library's histogram has a lock, which all threads would take for each RPC. This one
//! is a few counters: to observe a duration is two atomic additions.

use std::{
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

    /// Returns the sum of the durations.
    #[must_use]
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum.load(Relaxed))
    }

    /// Returns, by upper bound, how many durations were within it and not within the one
    /// before. The last bound is [`Duration::MAX`].
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> {
        let bounds = BOUNDS.into_iter().map(Duration::from_millis);
        bounds.chain([Duration::MAX]).zip(self.buckets.iter().map(Counter::get))
    }
}
