//! Which failures are worth another attempt, and when.
//!
//! A repeat must help more than it harms. It is made only where [`Failure`] says
//! that it is harmless and may end better, few times, after a random delay, in
//! time for the deadline, and while repeats are a small share of all calls: an
//! upstream in trouble gets fewer calls, not thrice as many.

use std::time::Duration;

use http::StatusCode;
use tower::retry::budget::{Budget, TpsBudget};

use crate::status::Failure;

/// The longest first delay, which doubles with every repeat: about as long as an
/// answer takes.
const FIRST_DELAY: Duration = Duration::from_millis(100);

/// The longest wait that an RPC is held for. Who is told to stay away longer is
/// told so at once.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The time that an attempt needs at least: the round trip to a near server.
const LEAST_TIME: Duration = Duration::from_millis(10);

/// How often a create is looked for that another attempt with the same key is
/// still making: about two seconds in all, three at most.
const MOST_WAITS: u32 = 5;

/// The share of repeats among all calls, over [`BUDGET_SPAN`].
const BUDGET_SHARE: f32 = 0.2;

/// The repeats a second that are allowed whatever their share, for a gateway
/// with few calls.
const BUDGET_FLOOR: u32 = 3;

/// See [`BUDGET_SHARE`].
const BUDGET_SPAN: Duration = Duration::from_secs(10);

/// What all RPCs share.
#[derive(Debug)]
pub(super) struct Retries {
    most_attempts: u32,
    budget: TpsBudget,
}

/// The attempts of one RPC.
#[derive(Debug)]
pub(super) struct Retry<'a> {
    all: &'a Retries,
    safe: bool,
    attempts: u32,
    waits: u32,
    asked_again: bool,
}

impl Retries {
    /// Allows each RPC a number of attempts, waits for a create in flight apart.
    pub(super) fn new(most_attempts: u32) -> Self {
        let budget = TpsBudget::new(BUDGET_SPAN, BUDGET_FLOOR, BUDGET_SHARE);
        Self { most_attempts, budget }
    }

    /// Counts the first attempt of an RPC, which is `safe` if it only reads.
    pub(super) fn first(&self, safe: bool) -> Retry<'_> {
        self.budget.deposit();
        Retry { all: self, safe, attempts: 1, waits: 0, asked_again: false }
    }
}

impl Retry<'_> {
    /// Reports whether the attempt under way is the last.
    pub(super) fn is_last(&self) -> bool {
        self.attempts >= self.all.most_attempts
    }

    /// Returns how long to wait before the next attempt, or `None` if there shall
    /// be none. `left` is the time until the deadline, `draw` any number from 0 to 1.
    pub(super) fn delay(
        &mut self,
        failure: &Failure,
        left: Duration,
        draw: f64,
    ) -> Option<Duration> {
        if !failure.is_retryable(self.safe) {
            return None;
        }
        if failure.is_retryable_once(self.safe) && self.asked_again {
            return None;
        }
        let in_flight = !self.safe && is_in_flight(failure);
        let delay = if in_flight {
            // It takes its time: at least half of the delay, not any part of it.
            ceiling(self.waits).mul_f64(0.5 + draw / 2.0)
        } else {
            ceiling(self.attempts - 1).mul_f64(draw)
        };
        let delay = delay + failure.retry_after().unwrap_or_default();
        if delay > LONGEST_WAIT || delay + LEAST_TIME > left {
            return None;
        }
        if in_flight {
            self.waits += 1;
            return (self.waits <= MOST_WAITS && self.all.most_attempts > 1)
                .then_some(delay);
        }
        if self.is_last() || !self.all.budget.withdraw() {
            return None;
        }
        self.attempts += 1;
        self.asked_again |= failure.is_retryable_once(self.safe);
        Some(delay)
    }
}

/// Returns the longest delay after so many repeats.
fn ceiling(repeats: u32) -> Duration {
    FIRST_DELAY.saturating_mul(2_u32.saturating_pow(repeats))
}

/// Tells the answer to a key whose first use has not ended yet.
fn is_in_flight(failure: &Failure) -> bool {
    matches!(failure, Failure::ErrorResponse(response) if response.status() == StatusCode::CONFLICT)
}

#[cfg(test)]
mod tests;
