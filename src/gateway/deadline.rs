//! When an RPC must have ended.

use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

use crate::status::{Failure, Violation};

/// The metadata in which a caller says how long it will wait.
const GRPC_TIMEOUT: &str = "grpc-timeout";

/// The moment at which an RPC must have ended, and whose wish that is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    at: Instant,
    callers: bool,
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
            return Ok(Self { at: started + most, callers: false });
        };
        let asked = parse_timeout(value.as_bytes()).ok_or_else(|| Violation {
            field: format!("metadata.{GRPC_TIMEOUT}"),
            description:
                "must be one to eight digits and one of H, M, S, m, u and n, such as \
                          `500m` for half a second"
                    .to_owned(),
        })?;
        Ok(Self { at: started + asked.min(most), callers: asked <= most })
    }

    /// Returns the moment.
    pub(super) fn at(&self) -> Instant {
        self.at
    }

    /// Returns how an RPC fails that has come to its deadline.
    pub(super) fn failure(&self) -> Failure {
        if self.callers { Failure::DeadlineExceeded } else { Failure::Timeout }
    }
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
        assert_eq!(until("1S").unwrap().at(), now + Duration::from_secs(1));
        assert_eq!(until("1H").unwrap().at(), now + most);
        assert_eq!(Deadline::new(&HeaderMap::new(), now, most).unwrap().at(), now + most);
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
        assert!(matches!(ours.failure(), Failure::Timeout));
    }
}
