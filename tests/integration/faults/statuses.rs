//! Statuses that the gateway retries, and statuses that it does not.

use kit::fake::{
    Response,
    Step::{self, Answer, Respond},
};

use super::{BOTH, Case};

fn status(status: u16) -> Vec<Step> {
    with(status, &[])
}

fn with(status: u16, headers: &[(&str, &str)]) -> Vec<Step> {
    vec![Respond(Response::new(status, headers, b""))]
}

/// An error in the format of Polytomic.
fn own(status: u16) -> Vec<Step> {
    let body = format!(r#"{{"key":"some_key","message":"no","status":{status}}}"#);
    vec![Respond(Response::json(status, &body))]
}

fn retry_after(code: u16, value: &str) -> Vec<Step> {
    with(code, &[("retry-after", value)])
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = always();
    cases.extend(at_last());
    cases.extend(in_doubt());
    cases.into_iter().map(|case| case.over(&BOTH)).collect()
}

/// The same status for every attempt.
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn always() -> Vec<Case> {
    let case = |name, steps, list, create| Case::new(name, vec![steps], list, create);
    vec![
        case(
            "500",
            own(500),
            "Internal UPSTREAM_ERROR 1 REJECTED",
            "Internal UPSTREAM_ERROR 1 UNKNOWN",
        ),
        case(
            "502",
            status(502),
            "Unavailable UPSTREAM_UNAVAILABLE 3 REJECTED",
            "Unavailable UPSTREAM_UNAVAILABLE 3 UNKNOWN",
        ),
        case(
            "503",
            status(503),
            "Unavailable UPSTREAM_UNAVAILABLE 3 REJECTED",
            "Unavailable UPSTREAM_UNAVAILABLE 3 UNKNOWN",
        ),
        case(
            "504",
            status(504),
            "DeadlineExceeded UPSTREAM_TIMEOUT 3 REJECTED",
            "DeadlineExceeded UPSTREAM_TIMEOUT 3 UNKNOWN",
        ),
        case(
            "520",
            status(520),
            "Unknown UPSTREAM_ERROR 3 REJECTED",
            "Unknown UPSTREAM_ERROR 3 UNKNOWN",
        ),
        case(
            "521",
            status(521),
            "Unavailable UPSTREAM_UNAVAILABLE 3 REJECTED",
            "Unavailable UPSTREAM_UNAVAILABLE 3 REJECTED",
        ),
        case(
            "522",
            status(522),
            "DeadlineExceeded UPSTREAM_TIMEOUT 3 REJECTED",
            "DeadlineExceeded UPSTREAM_TIMEOUT 3 UNKNOWN",
        ),
        case(
            "529",
            status(529),
            "Unavailable UPSTREAM_OVERLOADED 3 REJECTED",
            "Unavailable UPSTREAM_OVERLOADED 3 UNKNOWN",
        ),
        case(
            "408",
            status(408),
            "DeadlineExceeded UPSTREAM_TIMEOUT 3 REJECTED",
            "DeadlineExceeded UPSTREAM_TIMEOUT 3 UNKNOWN",
        ),
        case(
            "425",
            status(425),
            "Unavailable UPSTREAM_NOT_PROCESSED 3 REJECTED",
            "Unavailable UPSTREAM_NOT_PROCESSED 3 REJECTED",
        ),
        case(
            "429",
            status(429),
            "ResourceExhausted UPSTREAM_RATE_LIMITED 3 REJECTED",
            "ResourceExhausted UPSTREAM_RATE_LIMITED 3 REJECTED",
        ),
        case(
            "499",
            status(499),
            "Unknown UPSTREAM_RESET 3 REJECTED",
            "Unknown UPSTREAM_RESET 3 UNKNOWN",
        ),
        case(
            "401",
            own(401),
            "Unauthenticated CALLER_CREDENTIALS_REJECTED 1 REJECTED",
            "Unauthenticated CALLER_CREDENTIALS_REJECTED 1 REJECTED",
        ),
        case(
            "404",
            own(404),
            "NotFound UPSTREAM_NOT_FOUND 1 REJECTED",
            "NotFound UPSTREAM_NOT_FOUND 1 REJECTED",
        ),
        case(
            "409",
            own(409),
            "Aborted UPSTREAM_CONFLICT 1 REJECTED",
            "Aborted UPSTREAM_CONFLICT * UNKNOWN",
        )
        .flag("--timeout", "3"),
        case(
            "206",
            status(206),
            "Internal UPSTREAM_UNEXPECTED_STATUS 1 COMPLETED",
            "Internal UPSTREAM_UNEXPECTED_STATUS 1 UNKNOWN",
        ),
        case(
            "304",
            status(304),
            "Internal UPSTREAM_UNEXPECTED_STATUS 1 REJECTED",
            "Internal UPSTREAM_UNEXPECTED_STATUS 1 UNKNOWN",
        ),
        case(
            "307",
            with(307, &[("location", "http://127.0.0.1:1/")]),
            "Internal UPSTREAM_REDIRECT 1 REJECTED",
            "Internal UPSTREAM_REDIRECT 1 UNKNOWN",
        ),
        case(
            "503, retry after a minute",
            retry_after(503, "60"),
            "Unavailable UPSTREAM_UNAVAILABLE 1 REJECTED",
            "Unavailable UPSTREAM_UNAVAILABLE 1 UNKNOWN",
        ),
        case(
            "429, retry after a minute",
            retry_after(429, "60"),
            "ResourceExhausted UPSTREAM_RATE_LIMITED 1 REJECTED",
            "ResourceExhausted UPSTREAM_RATE_LIMITED 1 REJECTED",
        ),
        case(
            "429, retry after no number",
            retry_after(429, "soon"),
            "ResourceExhausted UPSTREAM_RATE_LIMITED 3 REJECTED",
            "ResourceExhausted UPSTREAM_RATE_LIMITED 3 REJECTED",
        ),
    ]
}

/// A success after some attempts.
fn at_last() -> Vec<Case> {
    let then_fine =
        |name, steps| Case::new(name, vec![steps, vec![Answer]], "Ok 2", "Ok 2");
    vec![
        then_fine("502, then a response", status(502)),
        then_fine("503, retry now, then a response", retry_after(503, "0")),
        then_fine("429, retry after a second, then a response", retry_after(429, "1")),
        then_fine("425, then a response", status(425)),
        then_fine("504, then a response", status(504)),
        Case::new(
            "409 twice, then a response",
            vec![own(409), own(409), vec![Answer]],
            "Aborted UPSTREAM_CONFLICT 1 REJECTED",
            "Ok 3",
        ),
        Case::new(
            "an unreadable response, then a readable one",
            vec![with(200, &[]), vec![Answer]],
            "Internal UPSTREAM_BAD_RESPONSE 1 COMPLETED",
            "Ok 2",
        ),
    ]
}

/// Attempts after one whose outcome is unknown.
fn in_doubt() -> Vec<Case> {
    let lost_then = |name, steps, list, create| {
        Case::new(name, vec![vec![Step::Reset], steps], list, create)
    };
    vec![
        lost_then(
            "lost, then a recorded rejection",
            own(422),
            "InvalidArgument UPSTREAM_INVALID_REQUEST 2 REJECTED",
            "InvalidArgument UPSTREAM_INVALID_REQUEST 2 REJECTED",
        ),
        lost_then(
            "lost, then a 404 of an ingress",
            status(404),
            "Internal UPSTREAM_FOREIGN_ERROR 2 REJECTED",
            "Internal UPSTREAM_FOREIGN_ERROR 2 UNKNOWN",
        ),
        lost_then(
            "lost, then a revoked key",
            own(401),
            "Unauthenticated CALLER_CREDENTIALS_REJECTED 2 REJECTED",
            "Unauthenticated CALLER_CREDENTIALS_REJECTED 2 UNKNOWN",
        ),
        lost_then(
            "lost, then a rate limit",
            status(429),
            "ResourceExhausted UPSTREAM_RATE_LIMITED 3 REJECTED",
            "ResourceExhausted UPSTREAM_RATE_LIMITED 3 UNKNOWN",
        ),
    ]
}
