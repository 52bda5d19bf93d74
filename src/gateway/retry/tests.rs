#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use http::HeaderMap;

use super::*;
use crate::{status::ErrorResponse, upstream::Error};

const PLENTY: Duration = Duration::from_secs(30);

fn refused(status: u16, headers: &[(&'static str, &str)]) -> Failure {
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| {
            (http::HeaderName::from_static(name), value.parse().unwrap())
        })
        .collect();
    let status = StatusCode::from_u16(status).unwrap();
    Failure::ErrorResponse(Box::new(ErrorResponse::new(status, &headers, b"")))
}

fn timeout() -> Failure {
    Error::Timeout.into()
}

/// The delays before the attempts after the first, all with the same draw.
fn delays(safe: bool, failure: &Failure, draw: f64) -> Vec<u128> {
    let retries = Retries::new(3);
    let mut retry = retries.first(safe);
    std::iter::from_fn(|| retry.delay(failure, PLENTY, draw))
        .map(|delay| delay.as_millis())
        .collect()
}

#[test]
fn there_are_three_attempts_with_growing_random_delays() {
    for failure in [timeout(), Error::Reset("".into()).into(), refused(502, &[])] {
        for safe in [true, false] {
            assert_eq!(delays(safe, &failure, 1.0), [100, 200], "{failure}");
            assert_eq!(delays(safe, &failure, 0.5), [50, 100], "{failure}");
            assert_eq!(delays(safe, &failure, 0.0), [0, 0], "{failure}");
        }
    }
}

#[test]
fn what_would_end_the_same_is_not_repeated() {
    let failures = [
        refused(400, &[]),
        refused(401, &[]),
        refused(404, &[]),
        refused(500, &[]),
        Failure::DeadlineExceeded,
        Error::CircuitOpen { retry_after: Duration::ZERO }.into(),
        Error::TooLarge { limit: 1 }.into(),
        Error::NoMemory.into(),
    ];
    for failure in failures {
        assert!(delays(true, &failure, 0.0).is_empty(), "{failure}");
        assert!(delays(false, &failure, 0.0).is_empty(), "{failure}");
    }
}

#[test]
fn a_create_whose_answer_cannot_be_read_is_asked_for_once_more() {
    let failure = Failure::from(Error::Malformed("half"));
    assert_eq!(delays(false, &failure, 1.0), [100]);
    assert!(delays(true, &failure, 1.0).is_empty());
}

#[test]
fn a_create_in_flight_is_waited_for() {
    let conflict = refused(409, &[]);
    assert_eq!(delays(false, &conflict, 1.0), [100, 200, 400, 800, 1600]);
    assert_eq!(delays(false, &conflict, 0.0), [50, 100, 200, 400, 800]);
    assert!(delays(true, &conflict, 0.0).is_empty());

    let retries = Retries::new(3);
    let mut retry = retries.first(false);
    retry.delay(&conflict, PLENTY, 0.0).unwrap();
    retry.delay(&timeout(), PLENTY, 0.0).unwrap();
    retry.delay(&conflict, PLENTY, 0.0).unwrap();
    retry.delay(&timeout(), PLENTY, 0.0).unwrap();
    assert!(retry.is_last());
    assert_eq!(retry.delay(&timeout(), PLENTY, 0.0), None);
}

#[test]
fn polytomics_own_wait_is_the_least_delay() {
    let short = refused(503, &[("retry-after", "2")]);
    assert_eq!(delays(true, &short, 1.0), [2100, 2200]);
    assert_eq!(delays(true, &short, 0.0), [2000, 2000]);
    let long = refused(429, &[("retry-after", "6")]);
    assert!(delays(true, &long, 0.0).is_empty(), "nobody is held for that long");
    let garbage = refused(429, &[("retry-after", "soon")]);
    assert_eq!(delays(true, &garbage, 1.0), [100, 200]);
}

#[test]
fn a_delay_that_leaves_no_time_is_not_waited_for() {
    let retries = Retries::new(3);
    let mut retry = retries.first(true);
    let left = Duration::from_millis(100);
    assert_eq!(retry.delay(&timeout(), left, 0.95), None);
    assert!(retry.delay(&timeout(), left, 0.85).is_some());
    assert_eq!(retry.delay(&timeout(), Duration::ZERO, 0.0), None);
}

#[test]
fn one_attempt_may_be_all() {
    let retries = Retries::new(1);
    assert_eq!(retries.first(true).delay(&timeout(), PLENTY, 0.0), None);
    let conflict = refused(409, &[]);
    assert_eq!(retries.first(false).delay(&conflict, PLENTY, 0.0), None);
}

#[tokio::test(start_paused = true)]
async fn repeats_are_a_fifth_of_all_calls_at_most() {
    let retries = Retries::new(3);
    let repeats = (0..1000)
        .filter_map(|_| retries.first(true).delay(&timeout(), PLENTY, 0.0))
        .count();
    let floor = BUDGET_FLOOR as usize * 10;
    assert!((200..=200 + floor).contains(&repeats), "{repeats}");
}
