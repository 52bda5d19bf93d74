//! What is known about a credential, for a while. Nothing here grants anything: a
//! known key is checked by Polytomic on every call, so an entry can be wrong at most
//! in refusing, and refusals are kept for seconds.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache as Moka;
use moka::notification::RemovalCause;
use moka::ops::compute::Op;
use tokio::time::Instant;

use super::Credentials;
use super::key::Key;
use super::settings::Settings;
use super::stats::Counters;

/// A bounded map from keys to what is known about them.
pub(super) struct Cache {
    entries: Moka<Key, Entry>,
    positive_ttl: Duration,
    negative_ttl: Duration,
    counters: Arc<Counters>,
}

/// What is known about a key.
#[derive(Clone, Debug)]
pub(super) enum State {
    Known(Credentials),
    /// Polytomic answered 401. Holds no credential, so a flood of wrong keys, however
    /// long, costs only these few bytes each.
    Rejected,
}

/// The time is kept here and checked on reading, because moka's own clock cannot be
/// paused; its time to live only clears away what no one reads any more.
#[derive(Clone, Debug)]
struct Entry {
    expires_at: Instant,
    state: State,
}

impl Cache {
    pub(super) fn new(settings: &Settings, counters: Arc<Counters>) -> Self {
        let causes = Arc::clone(&counters);
        let entries = Moka::builder()
            .name("auth")
            .max_capacity(settings.max_entries)
            .time_to_live(settings.positive_ttl.max(settings.negative_ttl))
            .eviction_listener(move |_key, entry: Entry, cause| match cause {
                RemovalCause::Size => causes.evicted.add(),
                RemovalCause::Expired => causes.expired.add(),
                RemovalCause::Replaced if !entry.is_live() => causes.expired.add(),
                RemovalCause::Replaced | RemovalCause::Explicit => {}
            })
            .build();
        let Settings { positive_ttl, negative_ttl, .. } = *settings;
        Self { entries, positive_ttl, negative_ttl, counters }
    }

    /// Returns what is known about `key` now.
    pub(super) async fn get(&self, key: &Key) -> Option<State> {
        let entry = self.entries.get(key).await?;
        entry.is_live().then_some(entry.state)
    }

    /// Keeps credentials for the positive TTL.
    pub(super) async fn keep(&self, credentials: &Credentials) {
        let entry = Entry::new(State::Known(credentials.clone()), self.positive_ttl);
        self.entries.insert(credentials.key(), entry).await;
    }

    /// Remembers, for the negative TTL, that there is no such key.
    pub(super) async fn refuse(&self, key: Key) {
        if !self.negative_ttl.is_zero() {
            self.entries
                .insert(key, Entry::new(State::Rejected, self.negative_ttl))
                .await;
        }
    }

    /// Takes note of a 401 to `credentials`: they leave the cache and their key is
    /// refused for the negative TTL, unless the key has since been verified anew.
    pub(super) async fn reject(&self, credentials: &Credentials) {
        let key = credentials.key();
        let verdict = |held: Option<moka::Entry<Key, Entry>>| {
            let held = held.map(moka::Entry::into_value).filter(Entry::is_live);
            let op = match held.map(|entry| entry.state) {
                Some(State::Rejected) => Op::Nop,
                Some(State::Known(newer))
                    if newer.generation() != credentials.generation() =>
                {
                    Op::Nop
                }
                held => {
                    if held.is_some() {
                        self.counters.rejected.add();
                    }
                    self.rejection()
                }
            };
            std::future::ready(op)
        };
        self.entries.entry_by_ref(&key).and_compute_with(verdict).await;
    }

    fn rejection(&self) -> Op<Entry> {
        if self.negative_ttl.is_zero() {
            return Op::Remove;
        }
        Op::Put(Entry::new(State::Rejected, self.negative_ttl))
    }

    /// Returns the number of entries, without what awaits housekeeping.
    pub(super) fn len(&self) -> u64 {
        self.entries.entry_count()
    }

    /// Does the housekeeping now, so that a test can count.
    #[cfg(test)]
    pub(super) async fn settle(&self) {
        self.entries.run_pending_tasks().await;
    }
}

impl Entry {
    fn new(state: State, ttl: Duration) -> Self {
        Self { expires_at: Instant::now() + ttl, state }
    }

    fn is_live(&self) -> bool {
        Instant::now() < self.expires_at
    }
}

/// Not derived: that would write out every entry.
impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("entries", &self.len()).finish_non_exhaustive()
    }
}
