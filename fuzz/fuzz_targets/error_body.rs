//! Any error response of Polytomic's: a status that is printable, small and never OK.
//! The first two bytes are the HTTP status, the rest is the body.

#![no_main]

use http::{HeaderMap, StatusCode};
use libfuzzer_sys::fuzz_target;
use polytomic_gateway::status::{Context, ErrorResponse, Failure, Outcome, Retry};
use tonic::Code;

/// What clients may cap trailers at.
const MOST: usize = 8192;

fuzz_target!(|data: &[u8]| {
    let [first, second, body @ ..] = data else { return };
    let number = 100 + u16::from_le_bytes([*first, *second]) % 900;
    let status = StatusCode::from_u16(number).expect("three digits");
    for safe in [true, false] {
        let response = ErrorResponse::new(status, &HeaderMap::new(), body, &str::to_owned);
        let context = Context {
            safe,
            attempts: 1,
            outcome: Outcome::Unknown,
            retry: if safe { Retry::Safe } else { Retry::ListThenNewKey },
            idempotency_key: (!safe).then_some("a-key-of-its-own"),
            ..Context::new("request-id")
        };
        let made = Failure::ErrorResponse(Box::new(response)).into_status(&context);
        assert_ne!(made.code(), Code::Ok);
        assert!(made.message().len() <= 1024);
        assert!(!made.message().chars().any(char::is_control), "{:?}", made.message());
        assert!(!made.message().contains("://"), "{:?}", made.message());
        let response = made.into_http::<()>();
        let size: usize = response
            .headers()
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + 32)
            .sum();
        assert!(size <= MOST, "{size}");
    }
});
