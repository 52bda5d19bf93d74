//! Classifies failed exchanges: which error it is, and whether Polytomic is down.
//!
//! The HTTP libraries' own kinds of error say little, so their causes are searched. In
//! doubt a request counts as sent.

use std::{error, io, time::Duration};

use http::StatusCode;

use super::Error;

/// Translates an error of HTTP/1.1 before the head of a response.
pub(super) fn http1(error: hyper::Error) -> Error {
    if error.is_canceled() {
        return Error::Connect(error.into());
    }
    after_sending(error)
}

/// Translates an error of HTTP/1.1 after the head of a response, so that the request was
/// sent whatever the error says.
pub(super) fn http1_body(error: hyper::Error) -> Error {
    if cause::<io::Error>(&error).is_some_and(is_framing) {
        return Error::Malformed("its body is not framed as HTTP has it");
    }
    after_sending(error)
}

fn after_sending(error: hyper::Error) -> Error {
    if error.is_parse_too_large() {
        return Error::Malformed("its headers are too many or too large");
    }
    if error.is_parse() {
        return Error::Malformed("it is not HTTP");
    }
    Error::Reset(error.into())
}

/// Translates an error of HTTP/2 before a response has begun.
pub(super) fn http2(error: h2::Error) -> Error {
    if was_not_processed(&error) {
        Error::NotProcessed(error.into())
    } else {
        http2_body(error)
    }
}

/// Translates an error of HTTP/2 after a response has begun.
pub(super) fn http2_body(error: h2::Error) -> Error {
    if is_rejected_here(&error) {
        return Error::Malformed("it is not HTTP/2");
    }
    Error::Reset(error.into())
}

/// Reports whether the HTTP/1 client found a fault in the coding of a body. TLS has
/// errors of the same kinds, such as an alert of the peer's, with their own cause.
fn is_framing(error: &io::Error) -> bool {
    let is_of_tls = matches!(error.get_ref(), Some(cause) if cause.is::<rustls::Error>());
    let kinds = [io::ErrorKind::InvalidInput, io::ErrorKind::InvalidData];
    kinds.contains(&error.kind()) && !is_of_tls
}

/// Reports whether the HTTP/2 client rejected the response and reset its stream. An
/// error of the whole connection is not counted: the fault may lie in another stream.
fn is_rejected_here(error: &h2::Error) -> bool {
    error.is_library()
        && error.is_reset()
        && error.reason() == Some(h2::Reason::PROTOCOL_ERROR)
}

/// Reports whether Polytomic cannot have processed the request: its stream was refused,
/// or the connection ended before it (RFC 9113 §8.7).
fn was_not_processed(error: &h2::Error) -> bool {
    let reason = error.reason();
    error.is_remote()
        && (error.is_reset() && reason == Some(h2::Reason::REFUSED_STREAM)
            || error.is_go_away() && reason == Some(h2::Reason::NO_ERROR))
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

/// Reports whether an exchange shows that Polytomic cannot respond; `None` if it shows
/// nothing.
///
/// Rejections (4xx) and errors about one request (500, 501) are responses too: if they
/// counted, a client with one request that fails could shut out all others.
pub(super) fn is_outage(
    ending: Result<StatusCode, &Error>,
    took: Duration,
) -> Option<bool> {
    match ending {
        // Statuses of proxies, and of servers that have too much load.
        Ok(status) => Some(matches!(
            status.as_u16(),
            502..=504 | 509 | 520..=530 | 598 | 599
        )),
        Err(error) => error.is_outage(took),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn responded(status: u16) -> Option<bool> {
        is_outage(Ok(StatusCode::from_u16(status).unwrap()), Duration::ZERO)
    }

    #[test]
    fn only_statuses_of_outages_count_as_failures() {
        for status in [200, 204, 302, 400, 401, 404, 408, 409, 422, 429, 499, 500, 501] {
            assert_eq!(responded(status), Some(false), "{status}");
        }
        for status in [502, 503, 504, 520, 524, 529] {
            assert_eq!(responded(status), Some(true), "{status}");
        }
        let lost = Error::Reset("gone".into());
        assert_eq!(is_outage(Err(&lost), Duration::ZERO), Some(true));
    }
}
