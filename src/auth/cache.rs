//! What the gateway knows about a credential, for a while. An entry grants nothing:
//! Polytomic checks a known key on every RPC. So an entry can be wrong only by
//! rejecting, and rejections last seconds.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache as Moka;
use moka::notification::RemovalCause;
use tokio::time::Instant;

use super::Credentials;
use super::hash::CredentialHash;
use super::stats::Counters;

/// Time that an identity is kept. A revoked key does not wait for its end: Polytomic
/// rejects the next RPC, and that 401 leads to a look-up, which replaces the entry.
pub(super) const IDENTITY_TTL: Duration = Duration::from_secs(60);

/// Time that a 401 is kept: long enough that a client which loops with a dead key does
/// not use up Polytomic's rate limit, and short because only a rejection can be wrong.
pub(super) const REJECTION_TTL: Duration = Duration::from_secs(5);

/// Maximum number of entries. It bounds the memory that a flood of made-up keys takes;
/// `cargo bench --bench auth` prints the bytes per entry.
pub(super) const MAX_ENTRIES: u64 = 10_000;

/// A bounded map from credentials to what is known about them.
pub(super) struct Cache {
    entries: Moka<CredentialHash, Entry>,
    counters: Arc<Counters>,
}

/// What is known about a credential.
#[derive(Clone, Debug)]
pub(super) enum State {
    /// Polytomic stated the owner, or is not asked.
    Known {
        credentials: Credentials,
        /// Until when a 401 to an RPC is no reason to ask again.
        settled_until: Instant,
    },
    /// Polytomic did not say who the owner is.
    Unanswered {
        credentials: Credentials,
        /// When to ask again.
        due: Instant,
    },
    /// Polytomic responded with 401. Holds no credential, so an entry of a wrong key
    /// is small however long the key is.
    Rejected,
}

/// An entry has its own expiry, checked on reading, because a test cannot pause moka's
/// clock. moka's time to live only removes entries that are not read any more.
#[derive(Clone, Debug)]
struct Entry {
    expires_at: Instant,
    state: State,
}

impl Cache {
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        let removed = Arc::clone(&counters);
        let entries = Moka::builder()
            .name("auth")
            .max_capacity(MAX_ENTRIES)
            .time_to_live(IDENTITY_TTL.max(REJECTION_TTL))
            .eviction_listener(move |_hash, entry: Entry, cause| match cause {
                RemovalCause::Size => removed.evicted.add(),
                RemovalCause::Expired => removed.expired.add(),
                RemovalCause::Replaced if !entry.is_live() => removed.expired.add(),
                RemovalCause::Replaced | RemovalCause::Explicit => {}
            })
            .build();
        Self { entries, counters }
    }

    /// Returns what is known about a credential now.
    pub(super) async fn get(&self, hash: &CredentialHash) -> Option<State> {
        let entry = self.entries.get(hash).await?;
        entry.is_live().then_some(entry.state)
    }

    /// Keeps credentials for [`IDENTITY_TTL`]. Until `settled_until`, a 401 to an RPC is
    /// no reason to ask Polytomic again.
    pub(super) async fn insert(&self, credentials: &Credentials, settled_until: Instant) {
        let credentials = credentials.clone();
        let hash = credentials.hash();
        let state = State::Known { credentials, settled_until };
        self.entries.insert(hash, Entry::new(state, IDENTITY_TTL)).await;
    }

    /// Records that Polytomic did not say who the owner is, and should be asked again
    /// when `due`. An owner that it stated before is kept.
    pub(super) async fn insert_unanswered(
        &self,
        credentials: &Credentials,
        due: Instant,
    ) {
        let hash = credentials.hash();
        let held = self.entries.get(&hash).await.filter(Entry::is_live);
        let entry =
            if let Some(Entry { expires_at, state: State::Known { credentials, .. } }) =
                held
            {
                let state = State::Known { credentials, settled_until: due };
                Entry { expires_at, state }
            } else {
                let credentials = credentials.clone();
                Entry::new(State::Unanswered { credentials, due }, IDENTITY_TTL)
            };
        self.entries.insert(hash, entry).await;
    }

    /// Records for [`REJECTION_TTL`] that Polytomic does not know a credential.
    pub(super) async fn insert_rejected(&self, hash: CredentialHash) {
        if let Some(State::Known { .. } | State::Unanswered { .. }) =
            self.get(&hash).await
        {
            self.counters.rejected.add();
        }
        self.entries.insert(hash, Entry::new(State::Rejected, REJECTION_TTL)).await;
    }

    /// Returns the number of entries, without changes that moka has not applied yet.
    pub(super) fn len(&self) -> u64 {
        self.entries.entry_count()
    }

    /// Applies pending changes now, so that a test can count.
    #[cfg(test)]
    pub(super) async fn run_pending_tasks(&self) {
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

/// Not derived: the derived form would write out every entry.
impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("entries", &self.len()).finish_non_exhaustive()
    }
}
