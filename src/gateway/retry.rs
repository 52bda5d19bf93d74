//! Which failures are worth another attempt, and when.
//!
//! A retry must help more than it harms. The gateway retries only where [`Failure`]
//! says that a retry is harmless and may end better, up to a limit, after a random
//! delay, before the deadline, and while the retries of its key are a small share of its
//! RPCs ([`budget`]): an overloaded Polytomic must not get three times the load.

mod budget;

use std::time::Duration;

use http::StatusCode;

use self::budget::{Budgets, Purpose};
use crate::{budget::KeyId, status::Failure};

/// The longest first delay, which doubles with every retry: about as long as a
/// response takes.
const FIRST_DELAY: Duration = Duration::from_millis(100);

/// The longest delay. If Polytomic requests a longer one, the RPC fails and returns
/// the wait to its client.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The least time for an attempt: the round trip to a near server.
const LEAST_TIME: Duration = Duration::from_millis(10);

/// The longest delay while another attempt with the same key is in progress. A short one
/// costs requests, a long one the end of a deadline.
const LONGEST_CONFLICT_DELAY: Duration = Duration::from_secs(2);

/// What all RPCs share.
#[derive(Debug)]
pub(super) struct Retries {
    most_attempts: u32,
    budgets: Budgets,
}

/// The attempts of one RPC.
#[derive(Debug)]
pub(super) struct Retry<'a> {
    all: &'a Retries,
    key: Option<KeyId>,
    safe: bool,
    attempts: u32,
    waits: u32,
    retried_once: bool,
    renewed: bool,
}

impl Retries {
    /// Allows each RPC `most_attempts`. A create in progress has more, within its
    /// deadline and the budget.
    pub(super) fn new(most_attempts: u32) -> Self {
        Self { most_attempts, budgets: Budgets::new() }
    }

    /// Counts the first attempt of an RPC, which is `safe` if it only reads. Its `key` pays
    /// for its retries. Clients can make up any number of keys, so those that Polytomic
    /// has not confirmed are none, and have one budget together.
    pub(super) fn first(&self, safe: bool, key: Option<KeyId>) -> Retry<'_> {
        self.budgets.deposit(key);
        Retry {
            all: self,
            key,
            safe,
            attempts: 1,
            waits: 0,
            retried_once: false,
            renewed: false,
        }
    }
}

impl Retry<'_> {
    /// Reports whether the running attempt is the last.
    pub(super) fn is_last(&self) -> bool {
        self.attempts >= self.all.most_attempts
    }

    /// Reports whether newer credentials may follow rejected ones: once, and not if an
    /// attempt may have taken effect. Polytomic may record idempotency keys by
    /// credentials, so that newer ones would create again what the older ones created.
    pub(super) fn may_renew(&self, may_exist: bool) -> bool {
        !self.renewed && !may_exist
    }

    /// Records that the next attempt has newer credentials.
    pub(super) fn renew(&mut self) {
        self.renewed = true;
    }

    /// Returns the delay before the next attempt, or `None` if there must be none.
    /// `left` is the time until the deadline, `draw` any number from 0 to 1.
    pub(super) fn delay(
        &mut self,
        failure: &Failure,
        left: Duration,
        draw: f64,
    ) -> Option<Duration> {
        if !failure.is_retryable(self.safe) {
            return None;
        }
        if failure.is_retryable_once(self.safe) && self.retried_once {
            return None;
        }
        let in_flight = !self.safe && is_in_flight(failure);
        let delay = if in_flight {
            // At least half of the delay: the other attempt needs time to finish.
            let longest = ceiling(self.waits).min(LONGEST_CONFLICT_DELAY);
            longest.mul_f64(0.5 + draw / 2.0)
        } else {
            ceiling(self.attempts - 1).mul_f64(draw)
        };
        let delay = delay + failure.retry_after().unwrap_or_default();
        if delay > LONGEST_WAIT || delay + LEAST_TIME > left {
            return None;
        }
        if in_flight {
            self.waits += 1;
            let may_wait = self.all.most_attempts > 1 && self.pay(Purpose::InProgress);
            return may_wait.then_some(delay);
        }
        if self.is_last() || !self.pay(Purpose::Failed) {
            return None;
        }
        self.attempts += 1;
        self.retried_once |= failure.is_retryable_once(self.safe);
        Some(delay)
    }

    fn pay(&self, purpose: Purpose) -> bool {
        self.all.budgets.withdraw(self.key, purpose)
    }
}

/// Returns the longest delay after this number of retries.
fn ceiling(retries: u32) -> Duration {
    FIRST_DELAY.saturating_mul(2_u32.saturating_pow(retries))
}

/// Reports whether another attempt with the same key is in progress.
fn is_in_flight(failure: &Failure) -> bool {
    matches!(failure, Failure::ErrorResponse(response) if response.status() == StatusCode::CONFLICT)
}

#[cfg(test)]
mod tests;
