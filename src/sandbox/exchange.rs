//! The life of one request, around what the API makes of it.

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
    journal,
    refusal::ErrorResponse,
    version::{self, Version},
    wire::{self, Fault, Line},
    world::World,
};

/// The largest body that is accepted.
const BODY_LIMIT: usize = 1024 * 1024;

/// The largest body that is read: refusing one unread would reset the connection
/// before the caller could see why.
const READ_LIMIT: usize = 8 * BODY_LIMIT;

/// The whole body of a request, for those who must see it before its handler.
#[derive(Clone, Debug)]
pub(super) struct Payload(pub(super) Bytes);

/// Logs a request, has it answered, and sees the answer off.
pub(super) async fn exchange(
    State(world): State<Arc<World>>,
    Extension(line): Extension<Line>,
    request: Request,
    next: Next,
) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, READ_LIMIT).await.ok();
    let entry = world.journal.arrived(logged(&world, &head, body.clone()));

    // In a task of its own: a request that has arrived takes effect even if its
    // caller hangs up before the answer.
    let under_way = world.faults.under_way();
    let answering = respond(Arc::clone(&world), entry, head, body, next);
    let answering = async move {
        let answer = answering.await;
        drop(under_way);
        answer
    };
    let answer = match tokio::spawn(answering).await {
        Ok(answer) => answer,
        // The sandbox is killed, and this connection is about to be.
        Err(end) if end.is_cancelled() => std::future::pending().await,
        Err(panic) => {
            tracing::error!(%panic, "sandbox handler failed");
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            ErrorResponse::new(status, "internal_error", "internal error").into_response()
        }
    };
    deliver(&world, &line, answer).await
}

/// Has a request answered, in the version that it asks for.
async fn respond(
    world: Arc<World>,
    entry: journal::Entry,
    head: Parts,
    body: Option<Bytes>,
    next: Next,
) -> Response {
    let (method, path) = (head.method.clone(), head.uri.path().to_owned());
    let key = world.directory.caller(&head.headers).map_or("none", |it| it.name);
    let version = version::requested(&head.headers);
    let served_by = *version.as_ref().unwrap_or(&version::LATEST);

    let mut answer = match admit(head, body, version) {
        Ok(request) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    let echo = HeaderValue::from_static(served_by.0);
    answer.headers_mut().insert(version::HEADER, echo);

    let status = status_seen(&answer);
    world.journal.answered(entry, status);
    let status = status.map(|status| status.as_u16());
    tracing::debug!(%method, path, key, status, "sandbox request");
    answer
}

fn logged(world: &World, head: &Parts, body: Option<Bytes>) -> journal::Request {
    let mut headers = head.headers.clone();
    if let header::Entry::Occupied(mut values) = headers.entry(AUTHORIZATION) {
        for value in values.iter_mut() {
            *value = HeaderValue::from_static(world.directory.key_name(value));
        }
    }
    journal::Request {
        method: head.method.clone(),
        path: head.uri.to_string(),
        headers,
        body: body.unwrap_or_default(),
        status: None,
    }
}

/// Refuses what no route could serve.
fn admit(
    mut head: Parts,
    body: Option<Bytes>,
    version: Result<Version, ErrorResponse>,
) -> Result<Request, ErrorResponse> {
    head.extensions.insert(version?);
    // A body that could not be read was larger still, or its caller has gone.
    let Some(body) = body.filter(|body| body.len() <= BODY_LIMIT) else {
        let message = "the request body is larger than 1 MiB";
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        return Err(ErrorResponse::new(status, "request_too_large", message));
    };
    head.extensions.insert(Payload(body.clone()));
    Ok(Request::from_parts(head, Body::from(body)))
}

/// The status that the caller will see, if it will see one.
fn status_seen(answer: &Response) -> Option<StatusCode> {
    match answer.extensions().get::<Fault>() {
        None | Some(Fault::Half) => Some(answer.status()),
        Some(Fault::Reset | Fault::Hold) => None,
    }
}

/// Lets befall an answer what its [`Fault`] says.
async fn deliver(world: &World, line: &Line, answer: Response) -> Response {
    match answer.extensions().get::<Fault>() {
        None => {}
        Some(Fault::Reset) => line.cut(),
        Some(Fault::Hold) => {
            tokio::select! {
                () = world.stopping() => {}
                () = line.gone() => {}
            }
            line.cut();
        }
        Some(Fault::Half) => {
            let (mut head, body) = answer.into_parts();
            let whole = to_bytes(body, usize::MAX).await.unwrap_or_default();
            head.headers.insert(CONTENT_LENGTH, whole.len().into());
            return Response::from_parts(head, wire::half(whole));
        }
    }
    answer
}
