//! The pace of resets.
//!
//! Servers end a connection on which many streams are reset (CVE-2023-44487): hyper after
//! 20 that its service has not seen yet, nginx, Envoy and Go by limits of their own. Then
//! the requests of all clients on it fail, so that one client which cancels often must
//! not cause many resets.

use std::time::Duration;

use tokio::{
    sync::Mutex,
    time::{Instant, sleep_until},
};

/// Resets that are sent at once.
const BURST: u32 = 8;

/// The time between two resets after them.
const INTERVAL: Duration = Duration::from_millis(100);

/// The pace of one connection.
#[derive(Debug)]
pub(super) struct Pace {
    /// When the next reset would be due if there were no bursts. The stream whose turn
    /// it is holds the lock, and the others wait for it in order.
    next: Mutex<Instant>,
}

impl Pace {
    /// Completes when another stream may be reset. Dropped before, it takes no turn: all
    /// streams of a connection, at most 250, wait at most 25 s together.
    pub(super) async fn wait(&self) {
        let mut next = self.next.lock().await;
        if let Some(at) = next.checked_sub(INTERVAL * (BURST - 1)) {
            sleep_until(at).await;
        }
        *next = (*next).max(Instant::now()) + INTERVAL;
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self { next: Mutex::new(Instant::now()) }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn resets_after_a_burst_are_paced() {
        let pace = Pace::default();
        let started = Instant::now();
        for _ in 0..BURST {
            pace.wait().await;
        }
        assert_eq!(started.elapsed(), Duration::ZERO);
        for _ in 0..10 {
            pace.wait().await;
        }
        assert_eq!(started.elapsed(), 10 * INTERVAL);
        tokio::time::advance(INTERVAL * BURST).await;
        let later = Instant::now();
        for _ in 0..BURST {
            pace.wait().await;
        }
        assert_eq!(later.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn stream_that_ends_before_its_turn_takes_no_turn() {
        let pace = Pace::default();
        for _ in 0..BURST {
            pace.wait().await;
        }
        for _ in 0..1000 {
            assert!(pace.wait().now_or_never().is_none());
        }
        let started = Instant::now();
        pace.wait().await;
        assert_eq!(started.elapsed(), INTERVAL);
    }
}
