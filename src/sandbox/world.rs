//! Everything that the requests to one sandbox share.

use tokio::sync::watch;

use super::{directory::Directory, faults, idempotency, journal::Journal};

/// The state of a sandbox.
pub(super) struct World {
    pub(super) directory: Directory,
    pub(super) journal: Journal,
    pub(super) idempotency: idempotency::Store,
    pub(super) faults: faults::Plan,
    stopping: watch::Sender<bool>,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            directory: Directory::seeded(),
            journal: Journal::default(),
            idempotency: idempotency::Store::default(),
            faults: faults::Plan::default(),
            stopping: watch::Sender::new(false),
        }
    }

    /// Forgets that an earlier sandbox with this state was told to stop.
    pub(super) fn start(&self) {
        self.stopping.send_replace(false);
    }

    /// Releases whoever waits in [`World::stopping`].
    pub(super) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Waits until the sandbox is told to stop.
    pub(super) async fn stopping(&self) {
        // The sender lives in `self`, so this cannot end for want of one.
        let _ = self.stopping.subscribe().wait_for(|stopping| *stopping).await;
    }
}
