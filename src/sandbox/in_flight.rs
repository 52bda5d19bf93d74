//! The number of requests in flight, for tests that wait until there are none.

use tokio::sync::watch;

/// Counts the requests in flight, whether or not their clients still wait.
#[derive(Clone)]
pub(super) struct InFlight(watch::Sender<usize>);

/// One request in flight, until it is dropped.
pub(super) struct Guard(watch::Sender<usize>);

impl InFlight {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    pub(super) fn enter(&self) -> Guard {
        self.0.send_modify(|count| *count += 1);
        Guard(self.0.clone())
    }

    /// Waits until no request is in flight.
    pub(super) async fn idle(&self) {
        // The sender lives in `self`, so the wait cannot fail.
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}
