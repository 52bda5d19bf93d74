//! Which connection ends for another at the connection limit.
//!
//! To connect costs a peer nothing, and neither does a request that anybody can send. So
//! peers that do only that must not keep out clients. One order decides which connection
//! ends first:
//!
//! 1. those on which no RPC has started, the oldest first;
//! 2. those on which only RPCs with keys that Polytomic has not confirmed have started,
//!    which may be made up, the oldest first;
//! 3. the others, those without an open stream for longest first, after 5 s of that.
//!
//! A client that connects has its first RPC started within a round trip and a look-up of
//! its key. Within TLS, it takes one or two round trips more, and about 1 ms of processor
//! time for the handshake. So it passes all peers that only seem to be clients, unless so
//! many connect within that time that it is the oldest of them.

mod evictable;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use self::evictable::Activity;
pub(super) use self::evictable::Evictable;

/// Minimum time without an open stream, after which a connection with RPCs of a known
/// client ends for another: a client in the middle of its work takes less between two RPCs.
const IDLE: Duration = Duration::from_secs(5);

/// The open connections, in the order in which they end for others.
#[derive(Debug, Default)]
pub(super) struct EvictionQueue(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    arrived: u64,
    /// By rank when it was last looked at. It only rises, so the rank of no connection
    /// is lower, and an RPC need not move its connection.
    by_rank: BTreeMap<Rank, Arc<Activity>>,
    /// Those that have to end but are still open, the first first.
    ending: VecDeque<Arc<Activity>>,
}

/// The place of a connection in the order. The lowest ends first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    client: Client,
    /// When it arrived or, of a known client, its last stream ended.
    unused_since: Instant,
    number: u64,
}

/// The best client whose RPCs have started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Client {
    None,
    Unconfirmed,
    Known,
}

impl EvictionQueue {
    /// Adds a connection.
    pub(super) fn add(self: &Arc<Self>) -> Evictable {
        let mut queue = self.lock();
        queue.arrived += 1;
        let activity = Arc::new(Activity::new(queue.arrived));
        queue.insert(activity.queued_as(), Arc::clone(&activity));
        drop(queue);
        Evictable::new(Arc::clone(self), activity)
    }

    /// Has the first connection end. Reports whether there is one that may.
    pub(super) fn evict_first(&self) -> bool {
        let now = Instant::now();
        let mut queue = self.lock();
        while let Some(first) = queue.by_rank.first_entry() {
            if !first.key().may_end(now) {
                return false;
            }
            let (seen, activity) = first.remove_entry();
            let rank = activity.rank(now);
            if rank == seen {
                activity.evict();
                queue.ending.push_back(activity);
                return true;
            }
            queue.insert(rank, activity);
        }
        false
    }

    /// Has a connection end at once that has to end: of those with the lowest client the
    /// one that has had the most time, but none of a known client. Reports whether there
    /// is one.
    pub(super) fn end_first(&self) -> bool {
        let mut queue = self.lock();
        let clients = queue.ending.iter().map(|activity| activity.client());
        let first = clients.enumerate().min_by_key(|(_, client)| *client);
        let Some((place, _)) = first.filter(|(_, client)| *client < Client::Known) else {
            return false;
        };
        if let Some(activity) = queue.ending.remove(place) {
            activity.end();
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn insert(&mut self, rank: Rank, activity: Arc<Activity>) {
        activity.queue_as(rank);
        self.by_rank.insert(rank, activity);
    }

    fn remove(&mut self, activity: &Arc<Activity>) {
        if self.by_rank.remove(&activity.queued_as()).is_none() {
            self.ending.retain(|ending| !Arc::ptr_eq(ending, activity));
        }
    }
}

impl Rank {
    fn may_end(&self, now: Instant) -> bool {
        self.client < Client::Known || now.duration_since(self.unused_since) >= IDLE
    }
}

#[cfg(test)]
mod tests;
