//! How an attempt ends, as the gateway's own code sees it.

use std::time::Duration;

use http::{HeaderMap, StatusCode};

use super::{scenario::Fault, world::Ending};
use crate::{
    budget::Exhausted,
    gateway::record::Record,
    status::{ErrorResponse, Failure},
    transcode::{RequestError, Violation},
    upstream::{Circuit, Error},
};

/// Polytomic's error format.
const OWN: &str = r#"{"key":"some_key","message":"no","metadata":{}}"#;

/// Records an attempt and how it ended, as `gateway/attempt.rs` does.
pub(super) fn replay(record: &mut Record, ending: Ending, failure: &Failure) {
    use Ending::{
        CircuitOpen, DeadlineUnsent, NoCapacity, NoKey, Refused, TimeoutUnsent,
        Unreadable,
    };

    if !matches!(ending, NoKey | NoCapacity | CircuitOpen) {
        let cancel = record.attempt().unwrap();
        if !matches!(ending, Refused | TimeoutUnsent | DeadlineUnsent) {
            assert!(cancel.start_sending());
        }
    }
    match failure {
        Failure::ErrorResponse(response) => record.responded(response.status()),
        _ if ending == Unreadable => record.responded(StatusCode::OK),
        _ => {}
    }
    record.failed(failure);
}

/// Returns the failure that an attempt ends with.
pub(super) fn failure(ending: Ending, fault: Option<Fault>) -> Failure {
    match ending {
        Ending::Deadline if fault == Some(Fault::TimeoutAsUnsent) => {
            Error::Connect("late".into()).into()
        }
        Ending::InFlight if fault == Some(Fault::ConflictAsRejected) => {
            responded(403, OWN)
        }
        Ending::ProxyFailed if fault == Some(Fault::ProxyFailureAsRecorded) => {
            responded(500, OWN)
        }
        Ending::NoKey => RequestError::Invalid(vec![Violation {
            field: "metadata.idempotency-key".to_owned(),
            description: String::new(),
        }])
        .into(),
        Ending::NoCapacity => Exhausted::InFlight.into(),
        Ending::CircuitOpen => {
            let circuit = Circuit::All;
            Error::CircuitOpen { circuit, retry_after: Duration::ZERO }.into()
        }
        Ending::Refused => Error::Connect("refused".into()).into(),
        Ending::TimeoutUnsent => Error::Timeout.into(),
        Ending::DeadlineUnsent | Ending::Deadline => Failure::DeadlineExceeded,
        Ending::Reset => Error::Reset("gone".into()).into(),
        Ending::Unreadable => Error::Malformed("half").into(),
        Ending::Unauthorized => responded(401, OWN),
        Ending::Forbidden => responded(403, "<html>Forbidden</html>"),
        Ending::RateLimited => responded(429, OWN),
        Ending::InFlight => responded(409, OWN),
        Ending::Rejected => responded(422, OWN),
        Ending::Failed => responded(500, OWN),
        Ending::Unavailable => responded(503, ""),
        Ending::ProxyFailed => responded(500, "<html>Internal Server Error</html>"),
    }
}

fn responded(status: u16, body: &str) -> Failure {
    let status = StatusCode::from_u16(status).unwrap();
    let response =
        ErrorResponse::new(status, &HeaderMap::new(), body.as_bytes(), &str::to_owned);
    Failure::ErrorResponse(Box::new(response))
}
