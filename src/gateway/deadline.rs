//! The deadline of an RPC.
//!
//! It is one moment, set when the RPC arrives. Everything that the gateway does for
//! the RPC must end by then.

use std::{future::ready, time::Duration};

use futures_util::{FutureExt, future::Either};
use http::HeaderMap;
use tokio::time::{Instant, timeout_at};

use crate::{status::Failure, transcode::Violation, upstream};

/// The metadata with the client's timeout.
const GRPC_TIMEOUT: &str = "grpc-timeout";

/// The longest time that the gateway ends an RPC before the client does, so that a
/// status with details arrives before the client's own timer.
const MARGIN: Duration = Duration::from_millis(100);

/// The moment at which an RPC must have ended, and whether its client set it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    at: Instant,
    is_clients: bool,
}

impl Deadline {
    /// Reads the client's `grpc-timeout`. An RPC never takes longer than `most`.
    ///
    /// # Errors
    ///
    /// If the `grpc-timeout` does not have gRPC's format.
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

    /// Returns the deadline of an RPC whose client set none.
    pub(super) fn of_gateway(started: Instant, most: Duration) -> Self {
        Self { at: started + most, is_clients: false }
    }

    /// Does work of the RPC until the deadline. After the deadline it does not begin.
    /// (An async function would hold the work twice.)
    pub(super) fn bound<T>(
        self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> impl Future<Output = Result<T, Failure>> {
        if self.left().is_zero() {
            return Either::Left(ready(Err(self.failure())));
        }
        let outcome = timeout_at(self.at, work).map(move |outcome| match outcome {
            Ok(outcome) => outcome.map_err(|failure| self.explain(failure)),
            Err(_) => Err(self.failure()),
        });
        Either::Right(outcome)
    }

    /// Returns the failure, or that of the deadline if time ran out because of it.
    pub(super) fn explain(self, failure: Failure) -> Failure {
        match failure {
            Failure::Upstream(upstream::Error::Timeout) if self.left().is_zero() => {
                self.failure()
            }
            other => other,
        }
    }

    /// Returns the moment.
    pub(super) fn at(&self) -> Instant {
        self.at
    }

    /// Returns how much time is left.
    pub(super) fn left(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// Returns when to abandon the next attempt: after `attempt_timeout`, if as much
    /// time is left for another.
    pub(super) fn of_attempt(&self, attempt_timeout: Duration) -> Instant {
        if self.left() < attempt_timeout * 2 {
            self.at
        } else {
            Instant::now() + attempt_timeout
        }
    }

    /// Returns the failure of an RPC that reached its deadline.
    pub(super) fn failure(&self) -> Failure {
        if self.is_clients {
            Failure::DeadlineExceeded
        } else {
            upstream::Error::Timeout.into()
        }
    }
}

/// Returns the time that the client of an RPC allows the gateway, if the metadata has
/// it in gRPC's format.
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
    fn timeouts_in_another_format_are_rejected() {
        for text in
            ["", "S", "1", "123456789S", "-1S", "+1S", "1.5S", "1 S", "1s", "1h", "१S"]
        {
            assert_eq!(parse_timeout(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn the_shorter_of_both_timeouts_is_the_deadline() {
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
    fn clients_deadline_and_gateways_timeout_are_different_failures() {
        let now = Instant::now();
        let most = Duration::from_secs(30);
        let name = http::HeaderName::from_static(GRPC_TIMEOUT);
        let metadata = HeaderMap::from_iter([(name, "1S".parse().unwrap())]);
        let clients = Deadline::new(&metadata, now, most).unwrap();
        let gateways = Deadline::new(&HeaderMap::new(), now, most).unwrap();
        assert!(matches!(clients.failure(), Failure::DeadlineExceeded));
        assert!(matches!(
            gateways.failure(),
            Failure::Upstream(upstream::Error::Timeout)
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn work_ends_at_the_deadline_and_never_begins_after_it() {
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
    async fn an_attempt_is_abandoned_only_if_another_can_be_as_long() {
        let now = Instant::now();
        let seconds = Duration::from_secs;
        let deadline = Deadline::of_gateway(now, seconds(30));
        assert_eq!(deadline.of_attempt(seconds(10)), now + seconds(10));
        assert_eq!(deadline.of_attempt(seconds(15)), now + seconds(15));
        assert_eq!(deadline.of_attempt(seconds(16)), now + seconds(30));
    }
}
