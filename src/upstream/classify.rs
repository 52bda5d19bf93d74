//! What an exchange that broke off says: of the failure, and of Polytomic.
//!
//! The HTTP client tells little by its own kinds of error, so their causes are
//! looked at. In doubt a request counts as sent.

use std::{error, io, time::Duration};

use http::StatusCode;

use super::{Error, Response};

/// How long Polytomic must have been waited for before silence counts against
/// it. A caller in a hurry must not open the circuit for all others.
const PATIENCE: Duration = Duration::from_secs(5);

/// Translates an error of the HTTP client. The result holds no URL.
pub(super) fn error(error: reqwest::Error) -> Error {
    let error = error.without_url();
    if error.is_connect() || was_not_processed(&error) {
        return Error::Connect(error.into());
    }
    if error.is_timeout() {
        return Error::Timeout;
    }
    if cause::<hyper::Error>(&error).is_some_and(hyper::Error::is_parse_too_large) {
        return Error::Malformed("its headers are too many or too large");
    }
    if cause::<hyper::Error>(&error).is_some_and(hyper::Error::is_parse) {
        return Error::Malformed("it is not HTTP");
    }
    let is_malformed = |error: &io::Error| {
        matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData)
    };
    if cause::<io::Error>(&error).is_some_and(is_malformed) {
        return Error::Malformed("its body is not framed as HTTP has it");
    }
    Error::Reset(error.into())
}

/// Reports whether Polytomic cannot have looked at the request: it was never
/// written, or its HTTP/2 stream was refused (RFC 9113 §8.7).
fn was_not_processed(error: &reqwest::Error) -> bool {
    let is_refused = |error: &h2::Error| {
        let reason = error.reason();
        error.is_remote()
            && (error.is_reset() && reason == Some(h2::Reason::REFUSED_STREAM)
                || error.is_go_away() && reason == Some(h2::Reason::NO_ERROR))
    };
    cause::<hyper::Error>(error).is_some_and(hyper::Error::is_canceled)
        || cause::<h2::Error>(error).is_some_and(is_refused)
}

/// Returns the first cause of a kind.
fn cause<'a, E: error::Error + 'static>(
    error: &'a (dyn error::Error + 'static),
) -> Option<&'a E> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

/// Reports whether an attempt speaks against Polytomic being able to answer;
/// `None` if it says nothing.
///
/// Refusals (4xx) and errors about one request (500, 501) are answers too: were
/// they counted, a caller with one request that fails could shut out all others.
pub(super) fn verdict(outcome: &Result<Response, Error>, took: Duration) -> Option<bool> {
    match outcome {
        Ok(answer) => Some(is_outage(answer.status)),
        Err(Error::TooLarge { .. } | Error::NoMemory) => Some(false),
        Err(Error::Timeout) => (took >= PATIENCE).then_some(true),
        Err(_) => Some(true),
    }
}

/// Tells the statuses that say that Polytomic, or the way to it, is down: those
/// of proxies, and of servers that have too much to do.
fn is_outage(status: StatusCode) -> bool {
    matches!(status.as_u16(), 502..=504 | 509 | 520..=530 | 598 | 599)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;

    fn answered(status: u16) -> Option<bool> {
        let status = StatusCode::from_u16(status).unwrap();
        let answer = Response { status, headers: HeaderMap::new(), body: Bytes::new() };
        verdict(&Ok(answer), Duration::ZERO)
    }

    #[test]
    fn only_outages_speak_against_polytomic() {
        for status in [200, 204, 302, 400, 401, 404, 408, 409, 422, 429, 499, 500, 501] {
            assert_eq!(answered(status), Some(false), "{status}");
        }
        for status in [502, 503, 504, 520, 524, 529] {
            assert_eq!(answered(status), Some(true), "{status}");
        }
        let lost = Error::Reset("gone".into());
        assert_eq!(verdict(&Err(lost), Duration::ZERO), Some(true));
    }

    #[test]
    fn an_answer_that_has_no_room_is_no_outage() {
        for failure in [Error::NoMemory, Error::TooLarge { limit: 1 }] {
            assert_eq!(verdict(&Err(failure), PATIENCE), Some(false));
        }
    }

    #[test]
    fn silence_counts_only_if_it_was_waited_for() {
        assert_eq!(verdict(&Err(Error::Timeout), PATIENCE), Some(true));
        let hurried = Duration::from_millis(100);
        assert_eq!(verdict(&Err(Error::Timeout), hurried), None);
    }
}
