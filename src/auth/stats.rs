//! Plain counters, read by whoever exports metrics. None of them has a label taken
//! from a caller: fingerprints and organizations are unbounded.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A moment's reading of what the room has done since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Requests answered from the cache.
    pub hits: u64,
    /// Requests that found nothing and started the work.
    pub misses: u64,
    /// Requests refused from the cache.
    pub negative: u64,
    /// Requests that waited for work which another had started.
    pub shared: u64,
    /// Identity look-ups sent.
    pub look_ups: u64,
    /// Identity look-ups that failed or took too long; their RPCs went on without.
    pub look_ups_failed: u64,
    /// Requests that went on unverified because too many look-ups were under way.
    pub look_ups_skipped: u64,
    /// Entries that left the cache because Polytomic answered 401.
    pub invalidated_rejected: u64,
    /// Entries that left the cache because their time was over.
    pub invalidated_expired: u64,
    /// Entries that the bound kept out of the cache or made leave it.
    pub invalidated_evicted: u64,
    /// Entries held, approximately: the cache does its housekeeping in batches.
    pub entries: u64,
    /// The file with the gateway's partner key, in static mode.
    pub key_file: Option<FileStats>,
    /// The file with the shared caller token, in static mode.
    pub token_file: Option<FileStats>,
}

/// How a credential file fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileStats {
    /// How long ago it last held a usable credential. `None`: never.
    pub age: Option<Duration>,
    /// How many times another credential took the place of a former one.
    pub rotations: u64,
    /// How many readings failed.
    pub failures: u64,
}

/// A counter that only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

/// The counters behind [`Stats`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) hits: Counter,
    pub(super) misses: Counter,
    pub(super) negative: Counter,
    pub(super) shared: Counter,
    pub(super) look_ups: Counter,
    pub(super) look_ups_failed: Counter,
    pub(super) look_ups_skipped: Counter,
    pub(super) rejected: Counter,
    pub(super) expired: Counter,
    pub(super) evicted: Counter,
}

impl Counter {
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    pub(super) fn snapshot(&self) -> Stats {
        Stats {
            hits: self.hits.get(),
            misses: self.misses.get(),
            negative: self.negative.get(),
            shared: self.shared.get(),
            look_ups: self.look_ups.get(),
            look_ups_failed: self.look_ups_failed.get(),
            look_ups_skipped: self.look_ups_skipped.get(),
            invalidated_rejected: self.rejected.get(),
            invalidated_expired: self.expired.get(),
            invalidated_evicted: self.evicted.get(),
            ..Stats::default()
        }
    }
}
