//! When an RPC must have ended.
//!
//! The deadline is one moment, set when the RPC comes in; whatever is done for
//! the RPC after that spends of the same time.

use std::{future::ready, time::Duration};

use futures_util::{FutureExt, future::Either};
use http::HeaderMap;
use tokio::time::{Instant, timeout_at};

use crate::{status::Failure, transcode::Violation, upstream};

/// The metadata in which a caller says how long it will wait.
const GRPC_TIMEOUT: &str = "grpc-timeout";

/// The most that the gateway stops before its caller would, so that a status with
/// details is there before the caller's own timer goes off.
const MARGIN: Duration = Duration::from_millis(100);

/// The moment at which an RPC must have ended, and whose wish that is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    at: Instant,
    is_clients: bool,
}

impl Deadline {
    /// Reads the caller's `grpc-timeout`. An RPC never takes longer than `most`.
    ///
    /// # Errors
    ///
    /// If the `grpc-timeout` is not of the form that gRPC states.
    pub(super) fn new(
        metadata: &HeaderMap,
        started: Instant,
        most: Duration,
    ) -> Result<Self, Violation> {
        let Some(value) = metadata.get(GRPC_TIMEOUT) else {
            return Ok(Self::of_gateway(started, most));
        };
        let asked = parse_timeout(value.as_bytes()).ok_or_else(|| Violation {
            field: format!("metadata.{GRPC_TIMEOUT}"),
            description:
                "must be one to eight digits and one of H, M, S, m, u and n, such as \
                          `500m` for half a second"
                    .to_owned(),
        })?;
        if asked > most {
            return Ok(Self::of_gateway(started, most));
        }
        Ok(Self { at: started + less_margin(asked), is_clients: true })
    }

    /// Returns the deadline of an RPC whose caller has set none.
    pub(super) fn of_gateway(started: Instant, most: Duration) -> Self {
        Self { at: started + most, is_clients: false }
    }

    /// Does some work of the RPC, until the deadline. If that has passed the work
    /// is not even begun. (An async function would hold the work twice.)
    pub(super) fn bound<T>(
        self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> impl Future<Output = Result<T, Failure>> {
        if self.left().is_zero() {
            return Either::Left(ready(Err(self.failure())));
        }
        let outcome = timeout_at(self.at, work).map(move |outcome| match outcome {
            Ok(Err(Failure::Upstream(upstream::Error::Timeout)))
                if self.left().is_zero() =>
            {
                Err(self.failure())
            }
            Ok(outcome) => outcome,
            Err(_) => Err(self.failure()),
        });
        Either::Right(outcome)
    }

    /// Returns the moment.
    pub(super) fn at(&self) -> Instant {
        self.at
    }

    /// Returns how much time is left.
    pub(super) fn left(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// Returns when to give up the next attempt. One that takes longer than
    /// `patience` is given up if there is as much time again for another.
    pub(super) fn of_attempt(&self, patience: Duration) -> Instant {
        if self.left() < patience * 2 { self.at } else { Instant::now() + patience }
    }

    /// Returns how an RPC fails that has come to its deadline.
    pub(super) fn failure(&self) -> Failure {
        if self.is_clients {
            Failure::DeadlineExceeded
        } else {
            upstream::Error::Timeout.into()
        }
    }
}

/// Returns how long the caller of an RPC allows the gateway for it, if it says so
/// in the form that gRPC states.
#[must_use]
pub fn time_allowed(metadata: &HeaderMap) -> Option<Duration> {
    let value = metadata.get(GRPC_TIMEOUT)?;
    parse_timeout(value.as_bytes()).map(less_margin)
}

/// A tenth is all that a short timeout can spare.
fn less_margin(asked: Duration) -> Duration {
    asked.saturating_sub((asked / 10).min(MARGIN))
}

/// Parses a timeout as gRPC writes it (PROTOCOL-HTTP2, "Timeout").
#[must_use]
pub fn parse_timeout(text: &[u8]) -> Option<Duration> {
    let (unit, digits) = text.split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let amount = digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    match unit {
        b'H' => Some(Duration::from_secs(amount * 3600)),
        b'M' => Some(Duration::from_secs(amount * 60)),
        b'S' => Some(Duration::from_secs(amount)),
        b'm' => Some(Duration::from_millis(amount)),
        b'u' => Some(Duration::from_micros(amount)),
        b'n' => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn timeouts_are_read_in_every_unit() {
        for (text, expected) in [
            ("2H", Duration::from_secs(7200)),
            ("3M", Duration::from_secs(180)),
            ("99999999S", Duration::from_secs(99_999_999)),
            ("500m", Duration::from_millis(500)),
            ("7u", Duration::from_micros(7)),
            ("0n", Duration::ZERO),
        ] {
            assert_eq!(parse_timeout(text.as_bytes()), Some(expected), "{text}");
        }
    }

    #[test]
    fn timeouts_of_another_form_are_refused() {
        for text in
            ["", "S", "1", "123456789S", "-1S", "+1S", "1.5S", "1 S", "1s", "1h", "१S"]
        {
            assert_eq!(parse_timeout(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn the_shorter_of_the_two_limits_counts() {
        let now = Instant::now();
        let most = Duration::from_secs(30);
        let until = |timeout: &str| {
            let name = http::HeaderName::from_static(GRPC_TIMEOUT);
            let metadata = HeaderMap::from_iter([(name, timeout.parse().unwrap())]);
            Deadline::new(&metadata, now, most)
        };
        assert_eq!(until("5S").unwrap().at, now + Duration::from_millis(4900));
        assert_eq!(until("200m").unwrap().at, now + Duration::from_millis(180));
        assert_eq!(until("30S").unwrap().at, now + most - MARGIN);
        assert_eq!(until("1H").unwrap().at, now + most);
        assert_eq!(Deadline::new(&HeaderMap::new(), now, most).unwrap().at, now + most);
        assert_eq!(until("soon").unwrap_err().field, "metadata.grpc-timeout");
    }

    #[test]
    fn the_failure_tells_whose_limit_it_was() {
        let now = Instant::now();
        let most = Duration::from_secs(30);
        let name = http::HeaderName::from_static(GRPC_TIMEOUT);
        let metadata = HeaderMap::from_iter([(name, "1S".parse().unwrap())]);
        let callers = Deadline::new(&metadata, now, most).unwrap();
        let ours = Deadline::new(&HeaderMap::new(), now, most).unwrap();
        assert!(matches!(callers.failure(), Failure::DeadlineExceeded));
        assert!(matches!(ours.failure(), Failure::Upstream(upstream::Error::Timeout)));
    }

    #[tokio::test(start_paused = true)]
    async fn work_ends_at_the_deadline_and_does_not_begin_after_it() {
        let deadline = Deadline::of_gateway(Instant::now(), Duration::from_secs(1));
        let slow = async {
            tokio::time::sleep(Duration::from_secs(9)).await;
            Ok(())
        };
        assert!(matches!(
            deadline.bound(slow).await,
            Err(Failure::Upstream(upstream::Error::Timeout))
        ));
        assert_eq!(deadline.left(), Duration::ZERO);
        let begun = deadline.bound::<()>(async { panic!("begun") });
        assert!(matches!(begun.await, Err(Failure::Upstream(upstream::Error::Timeout))));
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_is_given_up_early_only_if_another_can_be_as_long() {
        let now = Instant::now();
        let seconds = Duration::from_secs;
        let deadline = Deadline::of_gateway(now, seconds(30));
        assert_eq!(deadline.of_attempt(seconds(10)), now + seconds(10));
        assert_eq!(deadline.of_attempt(seconds(15)), now + seconds(15));
        assert_eq!(deadline.of_attempt(seconds(16)), now + seconds(30));
    }
}
