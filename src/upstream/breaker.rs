//! The circuit breaker: stops requests while Polytomic keeps failing.
//!
//! Requests that would fail anyway cost each client a timeout, and hinder Polytomic's
//! recovery. So after enough failures requests fail immediately for a while; then one
//! probe finds out whether Polytomic is back.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Failures in a row that open the circuit, once they have lasted for [`LASTING`]. When
/// one of Polytomic's servers stops, the requests on it fail together; the others serve
/// their retries.
const IN_A_ROW: u32 = 20;

/// See [`IN_A_ROW`].
const LASTING: Duration = Duration::from_secs(1);

/// How long results are counted before the share of failures is checked.
const WINDOW: Duration = Duration::from_secs(10);

/// The fewest results whose share of failures counts.
const FEWEST: u32 = 50;

/// How long the circuit is open the first time. Doubles with each failed probe.
const FIRST_OPEN_FOR: Duration = Duration::from_secs(1);

/// The longest time that the circuit is open before a probe.
const LONGEST_OPEN_FOR: Duration = Duration::from_secs(30);

/// A circuit breaker.
#[derive(Debug)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Debug)]
enum State {
    Closed(Tally),
    Open { until: Instant, open_for: Duration },
    Probing { open_for: Duration },
}

/// Recent results.
#[derive(Debug)]
struct Tally {
    in_a_row: u32,
    row_since: Instant,
    window_since: Instant,
    failed: u32,
    all: u32,
}

/// Permission to send one request. Dropped without a result, for example because the
/// client went away, it counts for nothing.
#[derive(Debug)]
pub(super) struct Permit {
    breaker: Arc<Breaker>,
    is_probe: bool,
}

impl Breaker {
    /// Makes a breaker whose circuit is closed.
    pub(super) fn new() -> Self {
        Self(Mutex::new(State::Closed(Tally::new())))
    }

    /// Reports whether requests are sent.
    pub(super) fn is_closed(&self) -> bool {
        matches!(*self.state(), State::Closed(_))
    }

    /// Returns permission to send a request.
    ///
    /// # Errors
    ///
    /// The time to wait, while the circuit is open.
    pub(super) fn admit(self: &Arc<Self>) -> Result<Permit, Duration> {
        let mut state = self.state();
        match *state {
            State::Closed(_) => Ok(Permit { breaker: Arc::clone(self), is_probe: false }),
            State::Open { until, open_for } => {
                let left = until.saturating_duration_since(Instant::now());
                if !left.is_zero() {
                    return Err(left);
                }
                *state = State::Probing { open_for };
                Ok(Permit { breaker: Arc::clone(self), is_probe: true })
            }
            State::Probing { .. } => Err(FIRST_OPEN_FOR),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Records whether Polytomic was unable to respond.
    pub(super) fn record(mut self, failed: bool) {
        let is_probe = std::mem::take(&mut self.is_probe);
        let mut state = self.breaker.state();
        match &mut *state {
            State::Closed(tally) => {
                if tally.exceeds_limit(failed) {
                    *state = State::open(FIRST_OPEN_FOR);
                }
            }
            State::Probing { open_for } if is_probe => {
                *state = if failed {
                    State::open((*open_for * 2).min(LONGEST_OPEN_FOR))
                } else {
                    State::Closed(Tally::new())
                };
            }
            // A request from before the circuit was opened.
            State::Open { .. } | State::Probing { .. } => {}
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.is_probe {
            let mut state = self.breaker.state();
            if let State::Probing { open_for } = *state {
                *state = State::Open { until: Instant::now(), open_for };
            }
        }
    }
}

impl State {
    fn open(open_for: Duration) -> Self {
        tracing::warn!(rest = ?open_for, "circuit breaker opened");
        Self::Open { until: Instant::now() + open_for, open_for }
    }
}

impl Tally {
    fn new() -> Self {
        let now = Instant::now();
        Self { in_a_row: 0, row_since: now, window_since: now, failed: 0, all: 0 }
    }

    /// Counts a result, and reports whether too many have failed. A success never opens
    /// the circuit, and old results do not count.
    fn exceeds_limit(&mut self, failed: bool) -> bool {
        let now = Instant::now();
        let age = now - self.window_since;
        if age >= WINDOW * 2 {
            (self.window_since, self.failed, self.all) = (now, 0, 0);
        }
        self.all += 1;
        self.failed += u32::from(failed);
        let is_over = (WINDOW..WINDOW * 2).contains(&age);
        let too_often = is_over && self.all >= FEWEST && self.failed * 2 >= self.all;
        if is_over && !too_often {
            (self.window_since, self.failed, self.all) = (now, 0, 0);
        }

        if !failed {
            self.in_a_row = 0;
            return false;
        }
        if self.in_a_row == 0 {
            self.row_since = now;
        }
        self.in_a_row += 1;
        too_often || (self.in_a_row >= IN_A_ROW && now - self.row_since >= LASTING)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use tokio::time::advance;

    use super::*;

    fn record(breaker: &Arc<Breaker>, failed: bool, times: u32) {
        for _ in 0..times {
            breaker.admit().unwrap().record(failed);
        }
    }

    /// A breaker that has just opened.
    async fn open() -> Arc<Breaker> {
        let breaker = Arc::new(Breaker::new());
        record(&breaker, true, IN_A_ROW - 1);
        advance(LASTING).await;
        record(&breaker, true, 1);
        assert!(!breaker.is_closed());
        breaker
    }

    #[tokio::test(start_paused = true)]
    async fn lasting_failures_in_a_row_open_the_circuit() {
        let breaker = Arc::new(Breaker::new());
        record(&breaker, true, 10 * IN_A_ROW);
        assert!(breaker.is_closed(), "all of them came in one moment");
        advance(LASTING).await;
        record(&breaker, false, 1);
        record(&breaker, true, 1);
        assert!(breaker.is_closed(), "one succeeded in between");
        open().await;
    }

    #[tokio::test(start_paused = true)]
    async fn large_share_of_failures_opens_the_circuit() {
        for (failures, successes, is_closed) in
            [(25_u32, 25_u32, false), (24, 26, true), (24, 24, true)]
        {
            let breaker = Arc::new(Breaker::new());
            for _ in 0..failures.min(successes) {
                record(&breaker, true, 1);
                record(&breaker, false, 1);
            }
            record(&breaker, false, successes.saturating_sub(failures));
            advance(WINDOW).await;
            record(&breaker, true, 1);
            assert_eq!(breaker.is_closed(), is_closed, "{failures} and {successes}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn success_or_old_failure_does_not_open_the_circuit() {
        let breaker = Arc::new(Breaker::new());
        record(&breaker, true, 60);
        advance(WINDOW).await;
        record(&breaker, false, 1);
        assert!(breaker.is_closed(), "that was a success");
        advance(WINDOW).await;
        record(&breaker, true, 1);
        assert!(breaker.is_closed(), "the failures are old");
    }

    #[tokio::test(start_paused = true)]
    async fn single_probe_closes_the_circuit_or_keeps_it_open_for_longer() {
        let breaker = open().await;
        assert_eq!(breaker.admit().unwrap_err(), FIRST_OPEN_FOR);
        advance(FIRST_OPEN_FOR).await;
        let probe = breaker.admit().unwrap();
        assert!(breaker.admit().is_err(), "a probe is running");
        probe.record(true);
        assert_eq!(breaker.admit().unwrap_err(), FIRST_OPEN_FOR * 2);
        advance(FIRST_OPEN_FOR * 2).await;
        breaker.admit().unwrap().record(false);
        assert!(breaker.is_closed());
    }

    #[tokio::test(start_paused = true)]
    async fn dropped_probe_is_followed_by_another() {
        let breaker = open().await;
        advance(FIRST_OPEN_FOR).await;
        drop(breaker.admit().unwrap());
        breaker.admit().unwrap().record(false);
        assert!(breaker.is_closed());
    }

    #[tokio::test(start_paused = true)]
    async fn open_time_of_the_circuit_has_a_limit() {
        let breaker = open().await;
        for _ in 0..20 {
            advance(LONGEST_OPEN_FOR).await;
            breaker.admit().unwrap().record(true);
        }
        assert_eq!(breaker.admit().unwrap_err(), LONGEST_OPEN_FOR);
    }

    #[tokio::test(start_paused = true)]
    async fn request_from_before_the_circuit_opened_does_not_count() {
        let breaker = Arc::new(Breaker::new());
        let early = breaker.admit().unwrap();
        record(&breaker, true, IN_A_ROW);
        advance(LASTING).await;
        record(&breaker, true, 1);
        early.record(false);
        assert!(!breaker.is_closed());
    }
}
