//! Any header with a retry delay gives one that `google.protobuf.Duration` can state.
//! The first byte chooses the header.

#![no_main]

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use polytomic_gateway::status::retry_after;

const HEADERS: [HeaderName; 4] = [
    HeaderName::from_static("retry-after"),
    HeaderName::from_static("retry-after-ms"),
    HeaderName::from_static("x-ratelimit-reset"),
    HeaderName::from_static("ratelimit-reset"),
];

fuzz_target!(|data: &[u8]| {
    let [choice, value @ ..] = data else { return };
    let Ok(value) = HeaderValue::from_bytes(value) else { return };
    let name = HEADERS[usize::from(*choice) % HEADERS.len()].clone();
    let headers = HeaderMap::from_iter([(name, value)]);
    // A fixed moment makes findings reproducible: 2026-01-01.
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
    if let Some(wait) = retry_after(&headers, now) {
        assert!(wait <= Duration::from_secs(315_576_000_000), "{wait:?}");
    }
});
