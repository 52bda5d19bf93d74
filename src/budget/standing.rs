//! What is known about the peer of a connection.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
};

use tokio_util::sync::CancellationToken;

/// Maximum requests of a connection that are rejected for their metadata while no RPC has
/// started on it: a third of its streams. The server keeps state for each stream, and a
/// peer that goes on has it keep that for as long as it is connected.
const MOST_REJECTED: usize = 32;

/// Whether an RPC of a connection has started, and how often its metadata were rejected.
///
/// An RPC starts once its client is known: one without a key, or with a key that Polytomic
/// rejects, does not, and neither do health, reflection and unknown paths.
#[derive(Debug, Clone, Default)]
pub struct Standing(Arc<State>);

#[derive(Debug, Default)]
struct State {
    has_started: AtomicBool,
    rejected: AtomicUsize,
    unwanted: CancellationToken,
}

impl Standing {
    /// Records that an RPC has started.
    pub(crate) fn start(&self) {
        // Most RPCs find it set, and a store would take the cache line from other threads.
        if !self.has_started() {
            self.0.has_started.store(true, Relaxed);
        }
    }

    /// Reports whether an RPC has started.
    pub(crate) fn has_started(&self) -> bool {
        self.0.has_started.load(Relaxed)
    }

    /// Records that a request was rejected for its metadata.
    pub(super) fn reject(&self) {
        let rejected = self.0.rejected.fetch_add(1, Relaxed) + 1;
        if rejected >= MOST_REJECTED && !self.has_started() {
            self.0.unwanted.cancel();
        }
    }

    /// Completes once too many requests have been rejected before an RPC has started.
    pub(crate) async fn unwanted(&self) {
        self.0.unwanted.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn only_a_connection_without_a_started_rpc_is_unwanted() {
        for has_started in [false, true] {
            let standing = Standing::default();
            if has_started {
                standing.start();
            }
            for rejected in 1..=2 * MOST_REJECTED {
                standing.reject();
                let is_unwanted = standing.unwanted().now_or_never().is_some();
                assert_eq!(is_unwanted, !has_started && rejected >= MOST_REJECTED);
            }
        }
    }
}
