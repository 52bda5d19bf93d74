//! The state that all requests to one sandbox share.

use std::sync::Arc;

use tokio::sync::watch;

#[cfg(feature = "testing")]
use super::faults::Plan;
use super::{
    directory::Directory, idempotency::Outcomes, in_flight::InFlight,
    request_log::RequestLog,
};

/// The state of a sandbox, which outlives its server.
pub(super) struct SandboxState {
    pub(super) directory: Directory,
    pub(super) request_log: RequestLog,
    pub(super) outcomes: Arc<Outcomes>,
    pub(super) in_flight: InFlight,
    #[cfg(feature = "testing")]
    pub(super) faults: Arc<Plan>,
    stopping: watch::Sender<bool>,
}

impl SandboxState {
    pub(super) fn new() -> Self {
        Self {
            directory: Directory::seeded(),
            request_log: RequestLog::default(),
            outcomes: Arc::default(),
            in_flight: InFlight::new(),
            #[cfg(feature = "testing")]
            faults: Arc::default(),
            stopping: watch::Sender::new(false),
        }
    }

    /// Records that a server runs, also after an earlier one with this state
    /// stopped.
    pub(super) fn start(&self) {
        self.stopping.send_replace(false);
    }

    /// Completes every [`SandboxState::stopping`].
    pub(super) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Waits until the server stops.
    pub(super) async fn stopping(&self) {
        // The sender lives in `self`, so the wait cannot fail.
        let _ = self.stopping.subscribe().wait_for(|stopping| *stopping).await;
    }
}
