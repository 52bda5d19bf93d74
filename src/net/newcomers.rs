//! Connections that have carried no RPC yet.
//!
//! Connecting costs a peer nothing. So peers that only connect must not keep out
//! clients: at the connection limit, the oldest such connection ends for a new one. A
//! client that connects sends its first RPC within a round trip, and a pool that connects
//! early connects again.

use std::{
    collections::BTreeMap,
    future::pending,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::timeout};

/// The connections without an RPC, in the order of their arrival.
#[derive(Debug, Default)]
pub(super) struct Newcomers(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    arrived: u64,
    waiting: BTreeMap<u64, Arc<Notify>>,
}

impl Newcomers {
    /// Adds a connection.
    pub(super) fn add(self: &Arc<Self>) -> Newcomer {
        let evicted = Arc::<Notify>::default();
        let mut queue = self.lock();
        queue.arrived += 1;
        let number = queue.arrived;
        queue.waiting.insert(number, Arc::clone(&evicted));
        Newcomer { all: Arc::clone(self), number, evicted, is_used: OnceLock::new() }
    }

    /// Has the oldest connection end. Reports whether there is one.
    pub(super) fn evict_oldest(&self) -> bool {
        let oldest = self.lock().waiting.pop_first();
        oldest.is_some_and(|(_, evicted)| {
            evicted.notify_one();
            true
        })
    }

    /// Reports whether the connection was still there.
    fn remove(&self, number: u64) -> bool {
        self.lock().waiting.remove(&number).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection, until its first RPC or its end.
#[derive(Debug)]
pub(super) struct Newcomer {
    all: Arc<Newcomers>,
    number: u64,
    evicted: Arc<Notify>,
    /// Whether it carries RPCs, once that is decided. An RPC must not begin on a
    /// connection that ends as unused: its client would send it again.
    is_used: OnceLock<bool>,
}

impl Newcomer {
    /// Reports whether the connection may carry an RPC, which decides that it is used.
    pub(super) fn may_serve(&self) -> bool {
        *self.is_used.get_or_init(|| self.all.remove(self.number))
    }

    /// Completes once the connection has to end: because it was evicted, or has carried
    /// no RPC within `limit`. Never completes if it carries RPCs.
    pub(super) async fn unused(&self, limit: Duration) {
        let _ = timeout(limit, self.evicted.notified()).await;
        if *self.is_used.get_or_init(|| false) {
            pending::<()>().await;
        }
    }
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        self.all.remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;
    use tokio::time::Instant;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    fn is_evicted(newcomer: &Newcomer) -> bool {
        pin!(newcomer.unused(LIMIT)).now_or_never().is_some()
    }

    #[tokio::test]
    async fn oldest_connection_without_an_rpc_is_evicted() {
        let all = Arc::<Newcomers>::default();
        let [used, ended, oldest, newest] = [(); 4].map(|()| all.add());
        assert!(used.may_serve());
        drop(ended);
        assert!(all.evict_oldest());
        assert!(is_evicted(&oldest));
        assert!(!oldest.may_serve());
        assert!(newest.may_serve());
        assert!(!all.evict_oldest());
        assert!(used.may_serve());
        assert!(all.lock().waiting.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn connection_without_an_rpc_ends_after_the_limit() {
        let all = Arc::<Newcomers>::default();
        let (unused, used) = (all.add(), all.add());
        assert!(used.may_serve());
        let started = Instant::now();
        unused.unused(LIMIT).await;
        assert!(started.elapsed() >= LIMIT);
        assert!(!unused.may_serve());
        assert!(timeout(2 * LIMIT, used.unused(LIMIT)).await.is_err());
    }

    #[tokio::test]
    async fn rpc_that_arrives_as_its_connection_is_evicted_is_not_served() {
        let all = Arc::<Newcomers>::default();
        let newcomer = all.add();
        assert!(all.evict_oldest());
        assert!(!newcomer.may_serve());
        assert!(is_evicted(&newcomer));
    }
}
