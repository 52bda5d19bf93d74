//! Any refusal of Polytomic: a status that is printable, small and never OK.
//! The first two bytes are the HTTP status, the rest is the body.

#![no_main]

use http::{HeaderMap, StatusCode};
use libfuzzer_sys::fuzz_target;
use polytomic_gateway::status::{Context, Failure, Key, ErrorResponse};
use tonic::Code;

/// What clients may cap trailers at.
const MOST: usize = 8192;

fuzz_target!(|data: &[u8]| {
    let [first, second, body @ ..] = data else { return };
    let number = 100 + u16::from_le_bytes([*first, *second]) % 900;
    let status = StatusCode::from_u16(number).expect("three digits");
    for safe in [true, false] {
        let refusal = ErrorResponse::new(status, &HeaderMap::new(), body);
        let context = Context {
            safe,
            attempts: 1,
            idempotency_key: (!safe).then_some(Key { value: "a-key-of-its-own", lasts: false }),
            ..Context::new("request-id")
        };
        let told = Failure::Refused(Box::new(refusal)).into_status(&context);
        assert_ne!(told.code(), Code::Ok);
        assert!(told.message().len() <= 1024);
        assert!(!told.message().chars().any(char::is_control), "{:?}", told.message());
        assert!(!told.message().contains("://"), "{:?}", told.message());
        let response = told.into_http::<()>();
        let size: usize = response
            .headers()
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + 32)
            .sum();
        assert!(size <= MOST, "{size}");
    }
});
