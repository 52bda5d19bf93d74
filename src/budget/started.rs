//! Whether a client has proved itself on a connection.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

/// Whether an RPC of a connection has started. An RPC starts once its client is known:
/// one without a key, or with a key that Polytomic rejects, does not, and neither do
/// health, reflection and unknown paths.
#[derive(Debug, Clone, Default)]
pub struct Started(Arc<AtomicBool>);

impl Started {
    /// Records that one has started.
    pub(crate) fn set(&self) {
        // Most RPCs find it set, and a store would take the cache line from other threads.
        if !self.get() {
            self.0.store(true, Relaxed);
        }
    }

    /// Reports whether one has started.
    pub(crate) fn get(&self) -> bool {
        self.0.load(Relaxed)
    }
}
