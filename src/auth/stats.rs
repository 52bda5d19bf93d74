//! Counters for metrics. None has a label taken from a client: the number of
//! fingerprints and organizations is not bounded.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::telemetry::Counter;

/// The counters of [`Authenticator`](super::Authenticator) since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// RPCs that found an identity in the cache.
    pub hits: u64,
    /// RPCs that found nothing in the cache and started a look-up.
    pub misses: u64,
    /// RPCs rejected from the cache.
    pub negative: u64,
    /// RPCs that waited for the look-up of another RPC.
    pub shared: u64,
    /// Identity look-ups sent.
    pub look_ups: u64,
    /// Identity look-ups that failed or timed out; their RPCs continued without.
    pub look_ups_failed: u64,
    /// RPCs that continued unverified because the limit on look-ups was reached.
    pub look_ups_skipped: u64,
    /// Entries removed from the cache because Polytomic responded with 401.
    pub invalidated_rejected: u64,
    /// Entries removed from the cache because they expired.
    pub invalidated_expired: u64,
    /// Entries removed or kept out of the cache because it was full.
    pub invalidated_evicted: u64,
    /// Entries held, approximately: the cache applies changes in batches.
    pub entries: u64,
    /// The gateway's partner key file, in static mode.
    pub key_file: Option<FileStats>,
    /// The caller token file, in static mode.
    pub token_file: Option<FileStats>,
}

/// The state of a credential file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStats {
    /// Time since it last held a usable credential, or `None` if it never has.
    pub age: Option<Duration>,
    /// Number of times its credential changed.
    pub rotations: u64,
    /// Number of failed reads.
    pub failures: u64,
}

/// A credential file, and whether it can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileState {
    /// The name of the credential.
    pub name: &'static str,
    /// The file.
    pub path: PathBuf,
    /// Why the last read found no usable credential, as a clause; `None` if it found one.
    pub problem: Option<String>,
}

impl fmt::Display for FileStats {
    /// Writes a clause for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.age {
            Some(age) => write!(f, "usable {} s ago", age.as_secs())?,
            None => f.write_str("never usable")?,
        }
        write!(f, ", changed {} times, unusable {} times", self.rotations, self.failures)
    }
}

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
