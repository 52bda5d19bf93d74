//! The life of one request, around its handler.

use std::sync::Arc;

use axum::{
    Extension,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{
    HeaderValue, StatusCode,
    header::{self, AUTHORIZATION, CONTENT_LENGTH},
    request::Parts,
};

use super::{
    body::{Payload, half},
    error_response::ErrorResponse,
    request_log,
    state::SandboxState,
    version::{self, Version},
    wire::{ConnectionControl, Fault},
};

/// The largest body that is accepted.
const BODY_LIMIT: usize = 1024 * 1024;

/// The largest body that is read: to reject one unread would reset the connection
/// before the client could see why.
const READ_LIMIT: usize = 8 * BODY_LIMIT;

/// Logs a request, gets its response, and delivers that.
pub(super) async fn exchange(
    State(state): State<Arc<SandboxState>>,
    Extension(control): Extension<ConnectionControl>,
    request: Request,
    next: Next,
) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, READ_LIMIT).await.ok();
    let entry = state.request_log.record(logged(&state, &head, body.clone()));

    // In a task, so that a request takes effect even if its client hangs up before
    // the response.
    let guard = state.in_flight.enter();
    let responding = respond(Arc::clone(&state), entry, head, body, next);
    let responding = async move {
        let response = responding.await;
        drop(guard);
        response
    };
    let response = match tokio::spawn(responding).await {
        Ok(response) => response,
        // The runtime is dropped, and this connection with it.
        Err(end) if end.is_cancelled() => std::future::pending().await,
        Err(panic) => {
            tracing::error!(%panic, "sandbox handler failed");
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            ErrorResponse::new(status, "internal_error", "internal error").into_response()
        }
    };
    deliver(&state, &control, response).await
}

/// Returns the response in the version that the request asks for.
async fn respond(
    state: Arc<SandboxState>,
    entry: request_log::EntryId,
    head: Parts,
    body: Option<Bytes>,
    next: Next,
) -> Response {
    let (method, path) = (head.method.clone(), head.uri.path().to_owned());
    let key = state.directory.client(&head.headers).map_or("none", |it| it.name);
    let version = version::requested(&head.headers);
    let served_by = *version.as_ref().unwrap_or(&version::LATEST);

    let mut response = match admit(head, body, version) {
        Ok(request) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    let echo = HeaderValue::from_static(served_by.0);
    response.headers_mut().insert(version::HEADER, echo);

    let status = status_seen(&response);
    state.request_log.record_status(entry, status);
    let status = status.map(|status| status.as_u16());
    tracing::debug!(%method, path, key, status, "sandbox request");
    response
}

fn logged(
    state: &SandboxState,
    head: &Parts,
    body: Option<Bytes>,
) -> request_log::Request {
    let mut headers = head.headers.clone();
    if let header::Entry::Occupied(mut values) = headers.entry(AUTHORIZATION) {
        for value in values.iter_mut() {
            *value = HeaderValue::from_static(state.directory.key_name(value));
        }
    }
    request_log::Request {
        method: head.method.clone(),
        path: head.uri.to_string(),
        headers,
        body: body.unwrap_or_default(),
        status: None,
    }
}

/// Rejects a request that no route can serve.
fn admit(
    mut head: Parts,
    body: Option<Bytes>,
    version: Result<Version, ErrorResponse>,
) -> Result<Request, ErrorResponse> {
    head.extensions.insert(version?);
    // A body that could not be read was even larger, or its client has gone.
    let Some(body) = body.filter(|body| body.len() <= BODY_LIMIT) else {
        let message = "the request body is larger than 1 MiB";
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        return Err(ErrorResponse::new(status, "request_too_large", message));
    };
    head.extensions.insert(Payload(body.clone()));
    Ok(Request::from_parts(head, Body::from(body)))
}

/// Returns the status that the client will see, if any.
fn status_seen(response: &Response) -> Option<StatusCode> {
    match response.extensions().get::<Fault>() {
        None | Some(Fault::Half) => Some(response.status()),
        Some(Fault::Reset | Fault::Hold) => None,
    }
}

/// Returns the response, with its [`Fault`] if it has one.
async fn deliver(
    state: &SandboxState,
    control: &ConnectionControl,
    response: Response,
) -> Response {
    match response.extensions().get::<Fault>() {
        None => {}
        Some(Fault::Reset) => control.reset(),
        Some(Fault::Hold) => {
            tokio::select! {
                () = state.stopping() => {}
                () = control.client_gone() => {}
            }
            control.reset();
        }
        Some(Fault::Half) => {
            let (mut head, body) = response.into_parts();
            let whole = to_bytes(body, usize::MAX).await.unwrap_or_default();
            head.headers.insert(CONTENT_LENGTH, whole.len().into());
            return Response::from_parts(head, half(whole));
        }
    }
    response
}
