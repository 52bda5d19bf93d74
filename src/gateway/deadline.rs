//! The deadline of an RPC.
//!
//! It is one moment, set when the RPC arrives. Everything that the gateway does for
//! the RPC must end by then.

use std::{pin::Pin, time::Duration};

use http::{HeaderMap, HeaderName};
use tokio::time::{Instant, timeout_at};

use crate::{status::Failure, transcode::Violation, upstream};

/// The metadata with the client's timeout.
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The longest time that the gateway ends an RPC before the client does, so that a
/// status with details arrives before the client's own timer.
const MARGIN: Duration = Duration::from_millis(100);

/// The moment at which an RPC must have ended, and whether its client set it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    at: Instant,
    is_clients: bool,
    /// Whether it is that of a stream which has begun.
    is_of_stream: bool,
}

impl Deadline {
    /// Reads the client's `grpc-timeout`. An RPC never takes longer than `most`.
    ///
    /// # Errors
    ///
    /// If the `grpc-timeout` does not have gRPC's format, or is sent twice.
    pub(super) fn new(
        metadata: &HeaderMap,
        started: Instant,
        most: Duration,
    ) -> Result<Self, Violation> {
        if !metadata.contains_key(GRPC_TIMEOUT) {
            return Ok(Self::of_gateway(started, most));
        }
        let asked = timeout(metadata).ok_or_else(|| Violation {
            field: format!("metadata.{GRPC_TIMEOUT}"),
            description:
                "must be one to eight digits and one of H, M, S, m, u and n, such as \
                          `500m` for half a second, sent once"
                    .to_owned(),
        })?;
        if asked > most {
            return Ok(Self::of_gateway(started, most));
        }
        let at = started + less_margin(asked);
        Ok(Self { at, is_clients: true, is_of_stream: false })
    }

    /// Returns the deadline of an RPC whose client set none.
    pub(super) fn of_gateway(started: Instant, most: Duration) -> Self {
        Self { at: started + most, is_clients: false, is_of_stream: false }
    }

    /// Makes it the deadline of a stream which has begun: Polytomic is not to blame for it.
    pub(super) fn of_stream(self) -> Self {
        Self { is_of_stream: true, ..self }
    }

    /// Does work of the RPC until the deadline. After the deadline it does not begin.
    /// The work stays where it is pinned: moved here, it would be held several times.
    pub(super) async fn bound<T>(
        self,
        work: Pin<&mut impl Future<Output = Result<T, Failure>>>,
    ) -> Result<T, Failure> {
        if self.left().is_zero() {
            return Err(self.failure());
        }
        match timeout_at(self.at, work).await {
            Ok(outcome) => outcome.map_err(|failure| self.explain(failure)),
            Err(_) => Err(self.failure()),
        }
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
        } else if self.is_of_stream {
            Failure::StreamLimit
        } else {
            upstream::Error::Timeout.into()
        }
    }
}

/// Returns the time that the client of an RPC allows the gateway, if the metadata has
/// it once and in gRPC's format.
#[must_use]
pub fn time_allowed(metadata: &HeaderMap) -> Option<Duration> {
    timeout(metadata).map(less_margin)
}

/// Returns the client's timeout, if the metadata has it once and in gRPC's format.
fn timeout(metadata: &HeaderMap) -> Option<Duration> {
    let mut timeouts = metadata.get_all(GRPC_TIMEOUT).iter();
    let timeout = parse_timeout(timeouts.next()?.as_bytes())?;
    timeouts.next().is_none().then_some(timeout)
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

    use std::pin::pin;

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
            let timeout = timeout.parse().unwrap();
            let metadata = HeaderMap::from_iter([(GRPC_TIMEOUT, timeout)]);
            Deadline::new(&metadata, now, most)
        };
        assert_eq!(until("5S").unwrap().at, now + Duration::from_millis(4900));
        assert_eq!(until("200m").unwrap().at, now + Duration::from_millis(180));
        assert_eq!(until("30S").unwrap().at, now + most - MARGIN);
        assert_eq!(until("1H").unwrap().at, now + most);
        assert_eq!(Deadline::new(&HeaderMap::new(), now, most).unwrap().at, now + most);
        assert_eq!(until("soon").unwrap_err().field, "metadata.grpc-timeout");
        for second in ["5S", "soon"] {
            let both = ["5S", second].map(|one| (GRPC_TIMEOUT, one.parse().unwrap()));
            let mut metadata = HeaderMap::new();
            for (name, value) in both {
                metadata.append(name, value);
            }
            assert!(Deadline::new(&metadata, now, most).is_err(), "{second}");
            assert_eq!(time_allowed(&metadata), None, "{second}");
        }
    }

    #[test]
    fn clients_deadline_and_gateways_timeout_are_different_failures() {
        let now = Instant::now();
        let most = Duration::from_secs(30);
        let metadata = HeaderMap::from_iter([(GRPC_TIMEOUT, "1S".parse().unwrap())]);
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
        let slow = pin!(async {
            tokio::time::sleep(Duration::from_secs(9)).await;
            Ok(())
        });
        assert!(matches!(
            deadline.bound(slow).await,
            Err(Failure::Upstream(upstream::Error::Timeout))
        ));
        assert_eq!(deadline.left(), Duration::ZERO);
        let begun = pin!(async { panic!("begun") });
        let begun = deadline.bound::<()>(begun).await;
        assert!(matches!(begun, Err(Failure::Upstream(upstream::Error::Timeout))));
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
