//! What a server does at the moment, for those that watch it: probes and people.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// A phase of a server. Each follows the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It serves.
    Serving,
    /// It serves, and load balancers take it out of use.
    LameDuck,
    /// It accepts no connections, and ends those that are open.
    Draining,
}

impl Phase {
    /// All, in their order.
    pub(super) const ALL: [Self; 3] = [Self::Serving, Self::LameDuck, Self::Draining];
}

/// The phase of a server, and the number of its connections. Clones are of the same
/// server.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    /// The index in [`Phase::ALL`].
    phase: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
}

impl Lifecycle {
    /// Returns the current phase.
    #[must_use]
    pub fn phase(&self) -> Phase {
        Phase::ALL[self.phase.load(Relaxed)]
    }

    /// Returns the number of open connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Relaxed)
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.phase.store(phase as usize, Relaxed);
    }

    /// Counts a connection until the returned value is dropped.
    pub(super) fn connection(&self) -> Open {
        self.connections.fetch_add(1, Relaxed);
        Open(Arc::clone(&self.connections))
    }
}

/// A connection that is counted.
#[derive(Debug)]
pub(super) struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
