#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use http::HeaderMap;

use super::*;
use crate::{
    budget::Exhausted,
    status::ErrorResponse,
    upstream::{Circuit, Error},
};

const PLENTY: Duration = Duration::from_secs(30);

fn responded(status: u16, headers: &[(&'static str, &str)]) -> Failure {
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| {
            (http::HeaderName::from_static(name), value.parse().unwrap())
        })
        .collect();
    let status = StatusCode::from_u16(status).unwrap();
    Failure::ErrorResponse(Box::new(ErrorResponse::new(
        status,
        &headers,
        b"",
        &str::to_owned,
    )))
}

fn timeout() -> Failure {
    Error::Timeout.into()
}

/// The delays before the attempts after the first, all with the same draw.
fn delays(safe: bool, failure: &Failure, draw: f64) -> Vec<u128> {
    let retries = Retries::new(3);
    let mut retry = retries.first(safe, None);
    std::iter::from_fn(|| retry.delay(failure, PLENTY, draw))
        .map(|delay| delay.as_millis())
        .collect()
}

#[test]
fn there_are_three_attempts_with_growing_random_delays() {
    for failure in [timeout(), Error::Reset("".into()).into(), responded(502, &[])] {
        for safe in [true, false] {
            assert_eq!(delays(safe, &failure, 1.0), [100, 200], "{failure}");
            assert_eq!(delays(safe, &failure, 0.5), [50, 100], "{failure}");
            assert_eq!(delays(safe, &failure, 0.0), [0, 0], "{failure}");
        }
    }
}

#[test]
fn failures_that_would_recur_are_not_retried() {
    let failures = [
        responded(400, &[]),
        responded(401, &[]),
        responded(404, &[]),
        responded(500, &[]),
        Failure::DeadlineExceeded,
        Error::CircuitOpen { circuit: Circuit::All, retry_after: Duration::ZERO }.into(),
        Error::TooLarge { limit: 1 }.into(),
        Error::NoMemory(Exhausted::ResponseMemory).into(),
    ];
    for failure in failures {
        assert!(delays(true, &failure, 0.0).is_empty(), "{failure}");
        assert!(delays(false, &failure, 0.0).is_empty(), "{failure}");
    }
}

#[test]
fn a_create_with_an_unreadable_response_is_retried_once() {
    let failure = Failure::from(Error::Malformed("half"));
    assert_eq!(delays(false, &failure, 1.0), [100]);
    assert!(delays(true, &failure, 1.0).is_empty());
}

#[test]
fn a_create_in_progress_is_retried_with_longer_delays() {
    let conflict = responded(409, &[]);
    let longest = delays(false, &conflict, 1.0);
    assert_eq!(longest[..7], [100, 200, 400, 800, 1600, 2000, 2000]);
    let shortest = delays(false, &conflict, 0.0);
    assert_eq!(shortest[..7], [50, 100, 200, 400, 800, 1000, 1000]);
    assert!(delays(true, &conflict, 0.0).is_empty());

    let retries = Retries::new(3);
    let mut retry = retries.first(false, None);
    retry.delay(&conflict, PLENTY, 0.0).unwrap();
    retry.delay(&timeout(), PLENTY, 0.0).unwrap();
    retry.delay(&conflict, PLENTY, 0.0).unwrap();
    retry.delay(&timeout(), PLENTY, 0.0).unwrap();
    assert!(retry.is_last());
    assert_eq!(retry.delay(&timeout(), PLENTY, 0.0), None);
}

#[tokio::test(start_paused = true)]
async fn creates_that_wait_for_another_share_the_budget_of_their_key() {
    let retries = Retries::new(3);
    let conflict = responded(409, &[]);
    let mut waiting: Vec<_> = (0..100).map(|_| retries.first(false, None)).collect();
    let waits = (0..10)
        .flat_map(|_| 0..100)
        .filter(|at| waiting[*at].delay(&conflict, PLENTY, 0.0).is_some())
        .count();
    assert_eq!(waits, 20 + 30);
}

#[test]
fn the_wait_that_polytomic_requests_is_the_least_delay() {
    let short = responded(503, &[("retry-after", "2")]);
    assert_eq!(delays(true, &short, 1.0), [2100, 2200]);
    assert_eq!(delays(true, &short, 0.0), [2000, 2000]);
    let long = responded(429, &[("retry-after", "6")]);
    assert!(delays(true, &long, 0.0).is_empty(), "the wait is too long for the gateway");
    let garbage = responded(429, &[("retry-after", "soon")]);
    assert_eq!(delays(true, &garbage, 1.0), [100, 200]);
}

#[test]
fn a_retry_that_the_deadline_leaves_no_time_for_is_not_made() {
    let retries = Retries::new(3);
    let mut retry = retries.first(true, None);
    let left = Duration::from_millis(100);
    assert_eq!(retry.delay(&timeout(), left, 0.95), None);
    assert!(retry.delay(&timeout(), left, 0.85).is_some());
    assert_eq!(retry.delay(&timeout(), Duration::ZERO, 0.0), None);
}

#[test]
fn a_limit_of_one_attempt_allows_no_retry() {
    let retries = Retries::new(1);
    assert_eq!(retries.first(true, None).delay(&timeout(), PLENTY, 0.0), None);
    let conflict = responded(409, &[]);
    assert_eq!(retries.first(false, None).delay(&conflict, PLENTY, 0.0), None);
}
