//! What is known about the peer of a connection.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU32,
            Ordering::{Relaxed, SeqCst},
        },
    },
    task::Poll,
};

use futures_util::task::AtomicWaker;

/// Maximum requests of a connection that are rejected for their metadata while no RPC of a
/// known client has started on it: a third of its streams. The server keeps state for each stream, and a
/// peer that goes on has it keep that for as long as it is connected.
const MOST_REJECTED: u32 = 32;

/// Whose RPCs have started on a connection, and how often its metadata were rejected.
///
/// An RPC starts once its key has been looked up: one without a key, or with a key that
/// Polytomic rejects, does not, and neither do health, reflection and unknown paths. A key
/// that is not looked up, because too many are or Polytomic does not answer, may be made
/// up. Its RPCs start, but its client is not known.
#[derive(Debug, Clone, Default)]
pub struct Standing(Arc<State>);

#[derive(Debug, Default)]
struct State {
    has_started: AtomicBool,
    is_known: AtomicBool,
    rejected: AtomicU32,
    unwanted: AtomicBool,
    /// The task of the connection.
    task: AtomicWaker,
}

impl Standing {
    /// Records that an RPC has started, perhaps one of a known client.
    pub(crate) fn start(&self, is_known: bool) {
        // Most RPCs find it set, and a store would take the cache line from other threads.
        if !self.has_started() {
            self.0.has_started.store(true, Relaxed);
        }
        if is_known && !self.is_known() {
            self.0.is_known.store(true, Relaxed);
        }
    }

    /// Reports whether an RPC has started, of any client.
    pub(crate) fn has_started(&self) -> bool {
        self.0.has_started.load(Relaxed)
    }

    /// Reports whether an RPC of a known client has started.
    pub(crate) fn is_known(&self) -> bool {
        self.0.is_known.load(Relaxed)
    }

    /// Records that a request was rejected for its metadata.
    pub(super) fn reject(&self) {
        let rejected = self.0.rejected.fetch_add(1, Relaxed) + 1;
        if rejected >= MOST_REJECTED && !self.is_known() {
            self.0.unwanted.store(true, SeqCst);
            self.0.task.wake();
        }
    }

    /// Completes once too many requests have been rejected before an RPC of a known client
    /// has started. Only one task may wait for that.
    pub(crate) async fn unwanted(&self) {
        poll_fn(|context| {
            self.0.task.register(context.waker());
            if self.0.unwanted.load(SeqCst) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn only_a_connection_without_a_known_client_is_unwanted() {
        for started in [None, Some(false), Some(true)] {
            let standing = Standing::default();
            if let Some(is_known) = started {
                standing.start(is_known);
            }
            assert_eq!(standing.has_started(), started.is_some());
            for rejected in 1..=2 * MOST_REJECTED {
                standing.reject();
                let is_unwanted = standing.unwanted().now_or_never().is_some();
                let is_known = started == Some(true);
                assert_eq!(is_unwanted, !is_known && rejected >= MOST_REJECTED);
            }
        }
    }
}
