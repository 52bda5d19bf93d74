//! `Idempotency-Key`: the first outcome of a POST, kept and replayed.
//!
//! The outcome is recorded before the response is sent. A client that lost the
//! response gets it by a retry with the same key.

use std::{
    collections::{HashMap, hash_map},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Extension,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, Method, StatusCode};

use super::{body::Payload, client::Client, error_response::ErrorResponse, wire::Fault};

/// The header that carries the key.
pub(super) const HEADER: HeaderName = HeaderName::from_static("idempotency-key");

/// The outcomes of all keys, kept as long as the state of the sandbox.
#[derive(Default)]
pub(super) struct Outcomes(Mutex<HashMap<Slot, Attempt>>);

/// The scope of a key: within it, the key is unique.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Slot {
    client: &'static str,
    key: String,
    path: String,
}

/// The first use of a key, with `None` for an outcome while it is in flight.
struct Attempt {
    request: Bytes,
    outcome: Option<Outcome>,
}

/// A response that can be sent again.
#[derive(Clone)]
struct Outcome {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    fault: Option<Fault>,
}

/// Handles a POST with a key once, however often it arrives.
pub(super) async fn once(
    State(outcomes): State<Arc<Outcomes>>,
    Extension(client): Extension<Client>,
    Extension(Payload(body)): Extension<Payload>,
    request: Request,
    next: Next,
) -> Response {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    let key = match key_of(request.headers()) {
        Ok(Some(key)) => key.to_owned(),
        Ok(None) => return next.run(request).await,
        Err(error) => return error.into_response(),
    };
    let path = request.uri().path().to_owned();
    let slot = Slot { client: client.name, key, path };
    match outcomes.replay(&slot, &body) {
        Ok(Some(outcome)) => return outcome.into_response(),
        Ok(None) => {}
        Err(error) => return error.into_response(),
    }
    let claim = Claim { outcomes, slot };
    let response = next.run(request).await;
    claim.settle(response).await
}

/// Parses the key: at most one, 8 to 255 of `[A-Za-z0-9_-]`.
fn key_of(headers: &HeaderMap) -> Result<Option<&str>, ErrorResponse> {
    let malformed = || {
        let message = "Idempotency-Key must be 8 to 255 letters, digits, '_' or '-'";
        ErrorResponse::new(StatusCode::BAD_REQUEST, "invalid_idempotency_key", message)
    };
    let mut values = headers.get_all(&HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let key = value.to_str().map_err(|_| malformed())?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let valid = (8..=255).contains(&key.len()) && key.bytes().all(allowed);
    if !valid || values.next().is_some() {
        return Err(malformed());
    }
    Ok(Some(key))
}

impl Outcomes {
    /// Returns the outcome to send again, or claims the slot for the first.
    fn replay(
        &self,
        slot: &Slot,
        request: &Bytes,
    ) -> Result<Option<Outcome>, ErrorResponse> {
        let mut attempts = self.lock();
        let first = match attempts.entry(slot.clone()) {
            hash_map::Entry::Occupied(first) => first.into_mut(),
            hash_map::Entry::Vacant(free) => {
                free.insert(Attempt { request: request.clone(), outcome: None });
                return Ok(None);
            }
        };
        if first.request != *request {
            let message = "this Idempotency-Key was used with another request body";
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            return Err(ErrorResponse::new(status, "idempotency_key_reused", message));
        }
        let Some(outcome) = &first.outcome else {
            let message = "a request with this Idempotency-Key is still in progress";
            return Err(ErrorResponse::new(StatusCode::CONFLICT, "conflict", message));
        };
        Ok(Some(outcome.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Slot, Attempt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The slot of the request in flight, free again if that ends without an outcome.
struct Claim {
    outcomes: Arc<Outcomes>,
    slot: Slot,
}

impl Claim {
    /// Records a response, then passes it on.
    async fn settle(self, mut response: Response) -> Response {
        let fault = response.extensions().get::<Fault>().copied();
        if fault == Some(Fault::Hold) {
            // In flight as long as the response is withheld.
            response.extensions_mut().insert(Arc::new(self));
            return response;
        }
        let (head, body) = response.into_parts();
        let outcome = Outcome {
            status: head.status,
            headers: head.headers,
            // The bodies of the sandbox are all in memory.
            body: to_bytes(body, usize::MAX).await.unwrap_or_default(),
            fault,
        };
        if let Some(attempt) = self.outcomes.lock().get_mut(&self.slot) {
            attempt.outcome = Some(outcome.clone());
        }
        outcome.into_response()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut attempts = self.outcomes.lock();
        if attempts.get(&self.slot).is_some_and(|attempt| attempt.outcome.is_none()) {
            attempts.remove(&self.slot);
        }
    }
}

impl IntoResponse for Outcome {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        if let Some(fault) = self.fault {
            response.extensions_mut().insert(fault);
        }
        response
    }
}
