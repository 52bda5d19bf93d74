//! What the gateway knows about a credential. An entry grants nothing: Polytomic checks
//! a known key on every RPC. So an entry can be wrong only by rejecting, and a key that
//! Polytomic rejected is asked about again after seconds.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use moka::Expiry;
use moka::future::Cache as Moka;
use moka::notification::RemovalCause;
use tokio::time::Instant;

use super::Credentials;
use super::hash::CredentialHash;
use super::stats::Counters;

/// Time after which Polytomic is asked again who owns a key. The identity stays in use
/// until it answers: otherwise whoever makes `/api/me` slow, or uses up the rate of
/// look-ups, would take the identity from every client.
pub(super) const REFRESH_AFTER: Duration = Duration::from_secs(60);

/// Time that an identity is kept after the last look-up of an unused key.
const IDENTITY_IDLE: Duration = Duration::from_secs(3_600);

/// Time that it is kept that a key has no known owner: longer than until the next
/// look-up is due, so that no RPC waits for that.
const UNANSWERED_TTL: Duration = Duration::from_secs(60);

/// Time that a 401 is kept, or that a key is of a class that Polytomic rejects: long
/// enough that a client which loops with such a key does not use up Polytomic's rate
/// limit, and short because only a rejection can be wrong.
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
    /// Polytomic stated the owner.
    Known {
        credentials: Credentials,
        /// When to ask again.
        due: Instant,
        /// Until when a 401 to an RPC is no reason to ask again.
        settled_until: Instant,
    },
    /// Polytomic did not say who the owner is. Holds no credential either: the key may
    /// be made up.
    Unanswered {
        /// When to ask again.
        due: Instant,
    },
    /// Polytomic responded with 401. Holds no credential, so an entry of a wrong key
    /// is small however long the key is.
    Rejected,
}

/// An entry has its own expiry, checked on reading, because a test cannot pause moka's
/// clock. moka's only removes entries that are not read any more.
#[derive(Clone, Debug)]
struct Entry {
    added_at: Instant,
    state: State,
}

/// When moka removes an entry.
#[derive(Debug)]
struct ByState;

impl Expiry<CredentialHash, Entry> for ByState {
    fn expire_after_create(
        &self,
        _hash: &CredentialHash,
        entry: &Entry,
        _created_at: std::time::Instant,
    ) -> Option<Duration> {
        Some(entry.ttl().unwrap_or(IDENTITY_IDLE))
    }

    fn expire_after_update(
        &self,
        _hash: &CredentialHash,
        entry: &Entry,
        _updated_at: std::time::Instant,
        _remaining: Option<Duration>,
    ) -> Option<Duration> {
        Some(entry.ttl().unwrap_or(IDENTITY_IDLE))
    }
}

impl Cache {
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        let removed = Arc::clone(&counters);
        let entries = Moka::builder()
            .name("auth")
            .max_capacity(MAX_ENTRIES)
            .expire_after(ByState)
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

    /// Keeps credentials whose owner Polytomic stated. Until `settled_until`, a 401 to an
    /// RPC is no reason to ask it again.
    pub(super) async fn insert(&self, credentials: &Credentials, settled_until: Instant) {
        let credentials = credentials.clone();
        let hash = credentials.hash();
        let due = Instant::now() + REFRESH_AFTER;
        let state = State::Known { credentials, due, settled_until };
        self.entries.insert(hash, Entry::new(state)).await;
    }

    /// Records that Polytomic did not say who the owner is, and should be asked again
    /// when `due`. An owner that it stated before is kept.
    pub(super) async fn insert_unanswered(&self, hash: CredentialHash, due: Instant) {
        let state = match self.get(&hash).await {
            Some(State::Known { credentials, .. }) => {
                State::Known { credentials, due, settled_until: due }
            }
            _ => State::Unanswered { due },
        };
        self.entries.insert(hash, Entry::new(state)).await;
    }

    /// Records for [`REJECTION_TTL`] that Polytomic does not know a credential.
    pub(super) async fn insert_rejected(&self, hash: CredentialHash) {
        if let Some(State::Known { .. } | State::Unanswered { .. }) =
            self.get(&hash).await
        {
            self.counters.rejected.add();
        }
        self.entries.insert(hash, Entry::new(State::Rejected)).await;
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
    fn new(state: State) -> Self {
        Self { added_at: Instant::now(), state }
    }

    /// Returns how long the entry counts, or `None` if until Polytomic says otherwise.
    fn ttl(&self) -> Option<Duration> {
        match &self.state {
            // Polytomic would reject it, until it says otherwise of the key.
            State::Known { credentials, .. } if credentials.check_partner().is_err() => {
                Some(REJECTION_TTL)
            }
            State::Known { .. } => None,
            State::Unanswered { .. } => Some(UNANSWERED_TTL),
            State::Rejected => Some(REJECTION_TTL),
        }
    }

    fn is_live(&self) -> bool {
        self.ttl().is_none_or(|ttl| self.added_at.elapsed() < ttl)
    }
}

/// Not derived: the derived form would write out every entry.
impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("entries", &self.len()).finish_non_exhaustive()
    }
}
