//! The pace of resets.
//!
//! Servers end a connection on which many streams are reset (CVE-2023-44487): hyper after
//! 20 that its service has not seen yet, nginx, Envoy and Go by limits of their own. Then
//! the requests of all clients on it fail, so that one client which cancels often must
//! not cause many resets.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// Resets that are sent at once.
const BURST: u32 = 8;

/// The time between two resets after them.
const INTERVAL: Duration = Duration::from_millis(100);

/// The pace of one connection.
#[derive(Debug)]
pub(super) struct Pace {
    /// When the next reset would be due if there were no bursts.
    next: Mutex<Instant>,
}

impl Pace {
    /// Completes when another stream may be reset.
    pub(super) async fn wait(&self) {
        sleep_until(self.reserve()).await;
    }

    /// Reserves the next reset, and returns its time.
    fn reserve(&self) -> Instant {
        let now = Instant::now();
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let due = (*next).max(now);
        *next = due + INTERVAL;
        let burst = INTERVAL * (BURST - 1);
        due.checked_sub(burst).map_or(now, |at| at.max(now))
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self { next: Mutex::new(Instant::now()) }
    }
}

#[cfg(test)]
mod tests {
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
}
