//! What becomes of an RPC: the only code that decides between `NOT_SENT`, `REJECTED`,
//! `COMPLETED` and `UNKNOWN`, for one attempt and for the RPC. (`status` defines the
//! values, since it writes them out.)
//!
//! A read whose last attempt has a response is never `UNKNOWN`: it is `REJECTED`, or `COMPLETED` if
//! Polytomic carried it out and the gateway cannot return the response. For a create:
//!
//! | the attempt ended with | the attempt is | the create may exist after it |
//! |---|---|---|
//! | a failure before sending, no connection, no free stream, a refused stream, an open circuit | `NOT_SENT` | as before |
//! | a timeout before its body was read for sending (`upstream/cancel.rs`) | `NOT_SENT` | as before |
//! | 400, 404 or 422 in Polytomic's error format | `REJECTED` | no: if an attempt had taken effect, Polytomic would have replayed its success |
//! | 401, 403, 429, and most other 4xx | `REJECTED` | as before: a proxy or a check of keys may respond before Polytomic looks at the key |
//! | 409 | `UNKNOWN` | yes: another attempt with this key is in progress |
//! | 408, 499 and most 5xx | `UNKNOWN` | yes: proxies respond so to requests that they have passed on, and a recorded 500 may have failed halfway |
//! | a reset, another timeout, a response that cannot be read | `UNKNOWN` | yes |
//!
//! A create that is a retry starts as one that may exist. So does one that a proxy
//! forwards without counting its tries, but not if it fails as each try would.
//!
//! Every attempt of a create carries the same idempotency key, under which Polytomic
//! records the first outcome. An RPC that may exist is `UNKNOWN`, whatever its last
//! attempt ended with. An RPC is `NOT_SENT` only if no attempt was sent. Polytomic's own
//! error responses have a `key`: a proxy without a server behind it responds with 404
//! too.

use http::StatusCode;

use super::idempotency::{Key, Origin};
use crate::{
    auth::{self, CredentialOwner},
    status::{Failure, Outcome, Reason, Retry},
    upstream::{self, CancelHandle, Progress},
};

/// What is known of the effect of an RPC while it runs.
#[derive(Debug)]
pub(super) struct Effect {
    safe: bool,
    attempt: Attempt,
    /// The outcome of the last attempt that was sent.
    sent: Option<Outcome>,
    may_exist: bool,
    /// Whether a proxy may have sent the RPC before without saying so.
    may_be_retry: bool,
}

/// The state of the last attempt.
#[derive(Debug)]
enum Attempt {
    /// Nothing was sent: there was none, or it failed before.
    NotSent,
    /// It is being made. A create can be cancelled until its body is read, or until a
    /// response begins: a server need not read the body before it responds.
    Running(Option<CancelHandle>),
    /// A response has begun.
    Responded,
    /// It failed, and something may have been sent.
    Failed,
}

impl Effect {
    /// Returns the effect of an RPC that is `safe` if it only reads. One that `was_sent`
    /// before may have taken effect: a proxy returns only the last response.
    pub(super) fn new(safe: bool, was_sent: bool) -> Self {
        let may_exist = !safe && was_sent;
        let attempt = Attempt::NotSent;
        Self { safe, attempt, sent: None, may_exist, may_be_retry: false }
    }

    /// Records whether a proxy may have sent the RPC before without saying so. Then the
    /// RPC may have taken effect, unless it fails in a way in which each try fails.
    pub(super) fn of_possible_retry(mut self, may_be_retry: bool) -> Self {
        self.may_be_retry = !self.safe && may_be_retry;
        self
    }

    /// Records that an attempt begins. Returns the handle to cancel it with, if it may
    /// have an effect.
    pub(super) fn begin(&mut self) -> Option<CancelHandle> {
        let cancel = (!self.safe).then(CancelHandle::default);
        self.attempt = Attempt::Running(cancel.clone());
        cancel
    }

    /// Records that a response to the running attempt has begun, so that whatever fails
    /// next, it was sent.
    pub(super) fn respond(&mut self) {
        self.attempt = Attempt::Responded;
    }

    /// Records how the running attempt failed. Without one, nothing changes.
    pub(super) fn fail(&mut self, failure: &Failure) {
        let is_cancelled = match &self.attempt {
            Attempt::NotSent | Attempt::Failed => return,
            Attempt::Responded => false,
            Attempt::Running(cancel) => {
                is_late(failure) && cancel.as_ref().is_some_and(CancelHandle::try_cancel)
            }
        };
        let outcome = self.of_attempt(failure);
        if is_cancelled || outcome == Outcome::NotSent {
            self.attempt = Attempt::NotSent;
            return;
        }
        self.attempt = Attempt::Failed;
        self.sent = Some(outcome);
        if !self.safe {
            self.may_exist = may_exist_after(self.may_exist, failure);
            self.may_be_retry &= !is_settled_by(failure);
        }
    }

    /// Reports whether an earlier attempt or try may have taken effect.
    pub(super) fn may_exist(&self) -> bool {
        self.may_exist || self.may_be_retry
    }

    /// Returns what became of an RPC that fails, and whether its client may retry.
    pub(super) fn conclude(
        &self,
        failure: &Failure,
        key: Option<&Key>,
    ) -> (Outcome, Retry) {
        let outcome = self.outcome(failure);
        (outcome, self.retry(failure, outcome, key))
    }

    fn outcome(&self, failure: &Failure) -> Outcome {
        let is_unsent = matches!(self.attempt, Attempt::NotSent);
        let is_dropped = matches!(failure, Failure::Cancelled | Failure::ConnectionEnded);
        let is_late = is_late(failure) || is_dropped;
        let may_exist = self.may_exist || self.may_be_retry && !is_of_each_try(failure);
        let outcome = if may_exist {
            Outcome::Unknown
        } else if is_unsent && is_late {
            Outcome::NotSent
        } else {
            self.of_attempt(failure)
        };
        // An attempt that was not sent says nothing about those before it.
        self.sent.filter(|_| outcome == Outcome::NotSent).unwrap_or(outcome)
    }

    /// Returns what became of the last attempt, which a failure ends, or ended before.
    fn of_attempt(&self, failure: &Failure) -> Outcome {
        match (of_attempt(failure, self.safe), &self.attempt) {
            (_, Attempt::Failed) if self.safe => self.sent.unwrap_or(Outcome::Unknown),
            (Outcome::Unknown, Attempt::Responded) if self.safe => Outcome::Completed,
            (outcome, _) => outcome,
        }
    }

    fn retry(&self, failure: &Failure, outcome: Outcome, key: Option<&Key>) -> Retry {
        let may_end_better = failure.may_end_better(self.safe);
        let is_repeatable =
            self.safe || key.is_some_and(|key| key.origin == Origin::Given);
        if self.safe || outcome != Outcome::Unknown {
            return match (may_end_better, is_repeatable) {
                (false, _) => Retry::Never,
                (true, true) => Retry::Safe,
                (true, false) => Retry::ByClient,
            };
        }
        if is_recorded(failure) {
            return Retry::ListThenNewKey;
        }
        match (may_end_better, is_repeatable) {
            (false, _) => Retry::SameKeyOnceFixed,
            (true, true) => Retry::SameKey,
            (true, false) => Retry::ReturnedKey,
        }
    }
}

/// Returns what became of an attempt that failed.
fn of_attempt(failure: &Failure, safe: bool) -> Outcome {
    let responded = if safe { Outcome::Completed } else { Outcome::Unknown };
    match failure {
        // A panic may happen at any point, also after sending.
        Failure::Panic
        | Failure::Auth(auth::Error::Internal)
        | Failure::DeadlineExceeded
        | Failure::StreamLimit
        | Failure::Cancelled
        | Failure::ConnectionEnded => Outcome::Unknown,
        Failure::Grpc(_)
        | Failure::Auth(_)
        | Failure::Request(_)
        | Failure::Budget(_) => Outcome::NotSent,
        Failure::Upstream(error) => match error.progress() {
            Progress::NotSent => Outcome::NotSent,
            Progress::MaybeSent => Outcome::Unknown,
            Progress::Responded => responded,
        },
        Failure::Response(_) => responded,
        Failure::ErrorResponse(response) => of_status(response.status(), safe),
    }
}

/// Returns what became of an attempt with this status, which was no success.
fn of_status(status: StatusCode, safe: bool) -> Outcome {
    match status.as_u16() {
        200..=299 if safe => Outcome::Completed,
        _ if safe => Outcome::Rejected,
        // Timeouts and lost connections of proxies, and a create in progress.
        408 | 409 | 444 | 460 | 499 => Outcome::Unknown,
        // Among the rest: not implemented, and proxies that did not reach Polytomic.
        400..=499 | 501 | 511 | 521 | 523 | 525..=527 | 530 | 561 => Outcome::Rejected,
        _ => Outcome::Unknown,
    }
}

/// Reports whether a create may exist after an attempt has failed that was sent, given
/// whether it may have existed `before`.
fn may_exist_after(before: bool, failure: &Failure) -> bool {
    !is_settled_by(failure) && (before || of_attempt(failure, false) == Outcome::Unknown)
}

/// Reports whether the failure says that no create with its key has taken effect.
fn is_settled_by(failure: &Failure) -> bool {
    let Failure::ErrorResponse(response) = failure else { return false };
    let status = response.status();
    matches!(status.as_u16(), 400 | 404 | 422) && response.key().is_some()
}

/// Reports whether each try of a stream fails so, because its message, its metadata or
/// its credentials are rejected. Those are the same in each try. A firewall's 403 may
/// concern one try only.
fn is_of_each_try(failure: &Failure) -> bool {
    match failure {
        Failure::Request(_) => true,
        Failure::Auth(error) => {
            !matches!(error, auth::Error::Unavailable(_) | auth::Error::Internal)
        }
        Failure::ErrorResponse(response) => {
            matches!(response.status().as_u16(), 401 | 403) && !response.is_foreign()
        }
        _ => false,
    }
}

/// Reports whether Polytomic has recorded the failure as the outcome of a create, and
/// replays it: its own failures. After one of a proxy, Polytomic may still carry out the
/// create, and a retry with a new key would be a second one.
fn is_recorded(failure: &Failure) -> bool {
    let Failure::ErrorResponse(response) = failure else { return false };
    let reason = failure.reason(false, CredentialOwner::Caller);
    reason == Reason::UPSTREAM_ERROR
        && response.key().is_some()
        && !failure.may_end_better(false)
}

fn is_late(failure: &Failure) -> bool {
    matches!(
        failure,
        Failure::DeadlineExceeded | Failure::Upstream(upstream::Error::Timeout)
    )
}

#[cfg(test)]
mod tests;
