//! Whether a create that has failed may have been made all the same.
//!
//! Every attempt of a create carries the same idempotency key, under which
//! Polytomic records the first outcome and replays it. That settles what earlier
//! attempts left open, but only if the answer is the record's: what a proxy or a
//! check of keys says comes from before it. The create may exist:
//!
//! | the attempt ended with | after it |
//! |---|---|
//! | no connection, a refused stream, an open circuit | as before: nothing was sent |
//! | a success that can be read | settled: it exists, once |
//! | 400, 404 or 422 in Polytomic's own form | no: had an attempt taken effect, its success would have been replayed |
//! | 401, 403, 429 and other refusals | as before: this attempt did nothing, and the answer may come from before the record |
//! | 409 | yes: another attempt with this key is under way |
//! | 408, 499 and most 5xx | yes: proxies say so of requests that they have passed on, and a recorded 500 may have failed halfway |
//! | a timeout before its body was asked for (`upstream/recall.rs`) | as before: nothing was sent, nor will be |
//! | a reset, another timeout, an answer that cannot be read | yes |
//!
//! That an unwelcome answer is Polytomic's own is seen by its `key`: an ingress
//! without a server behind it answers 404 too.

use crate::status::{Failure, Outcome};

/// Reports whether a create may exist after an attempt has failed, given whether it
/// may have existed `before`.
pub(super) fn may_exist_after(before: bool, failure: &Failure) -> bool {
    if let Failure::Refused(refusal) = failure {
        let status = refusal.status();
        if matches!(status.as_u16(), 400 | 404 | 422) && refusal.key().is_some() {
            return false;
        }
    }
    before || failure.outcome(false) == Outcome::Unknown
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::Duration;

    use http::{HeaderMap, StatusCode};

    use super::*;
    use crate::status::ErrorResponse;

    fn refused(status: u16, body: &str) -> Failure {
        let status = StatusCode::from_u16(status).unwrap();
        Failure::Refused(Box::new(ErrorResponse::new(
            status,
            &HeaderMap::new(),
            body.as_bytes(),
        )))
    }

    const OWN: &str = r#"{"key":"some_key","message":"no","metadata":{}}"#;

    #[test]
    fn what_was_not_sent_or_refused_leaves_things_as_they_were() {
        let wait = Duration::from_secs(1);
        let failures = [
            Failure::ConnectFailed("refused".into()),
            Failure::CircuitOpen { retry_after: wait },
            refused(401, OWN),
            refused(403, OWN),
            refused(429, OWN),
            refused(404, "<html>no server here</html>"),
        ];
        for failure in &failures {
            assert!(may_exist_after(true, failure), "{failure}");
            assert!(!may_exist_after(false, failure), "{failure}");
        }
    }

    #[test]
    fn what_may_have_acted_is_in_doubt() {
        let failures = [
            Failure::Reset("gone".into()),
            Failure::Timeout,
            Failure::DeadlineExceeded,
            Failure::BadResponse("half".to_owned()),
            Failure::ResponseTooLarge { limit: 1 },
            Failure::NoRoom,
            refused(204, ""),
            refused(302, ""),
            refused(408, ""),
            refused(409, OWN),
            refused(499, ""),
            refused(500, OWN),
            refused(502, ""),
            refused(503, ""),
            refused(504, ""),
        ];
        for failure in &failures {
            assert!(may_exist_after(false, failure), "{failure}");
        }
    }

    #[test]
    fn a_recorded_refusal_settles_it() {
        for status in [400, 404, 422] {
            assert!(!may_exist_after(true, &refused(status, OWN)), "{status}");
        }
    }
}
