//! Connections that exist only to fail, each in its own way.

use axum::{
    Json,
    response::{Html, IntoResponse, Redirect, Response},
};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{model::Data, refusal::ErrorResponse, seed, wire::Fault};

/// How long a caller is told to wait, in seconds.
const RETRY_AFTER: u16 = 2;

/// Returns the failure that a connection id stands for, if it stands for one.
pub(super) fn answer(method: &Method, connection: Uuid) -> Option<Response> {
    let id = connection.to_string();
    let number: u16 = id.strip_prefix("00000000-0000-4000-8000-")?.parse().ok()?;
    let refuse = |key, message: &'static str| {
        let status = StatusCode::from_u16(number).ok()?;
        Some(ErrorResponse::new(status, key, message))
    };
    let refusal = match number {
        1 => return Some(faulty(method, &id, Fault::Hold)),
        2 => return Some(faulty(method, &id, Fault::Reset)),
        3 => return Some(faulty(method, &id, Fault::Half)),
        4 => return Some(Json(json!({})).into_response()),
        200 => return Some(page(StatusCode::OK, "Sign in to Polytomic")),
        302 => return Some(found("/sign-in")),
        400 => refuse("bad_request", "the request could not be understood"),
        401 => refuse("unauthorized", "invalid or unknown API key"),
        403 => refuse("forbidden", "this key may not use this connection"),
        404 => refuse("not_found", "connection not found"),
        408 => refuse("request_timeout", "the request took too long"),
        409 => {
            refuse("conflict", "a request with this Idempotency-Key is still in progress")
        }
        422 => refuse("unprocessable_entity", "connection in use")
            .map(|refusal| refusal.with_metadata(used_by())),
        429 => refuse("too_many_requests", "rate limit exceeded")
            .map(|refusal| refusal.with_retry_after(RETRY_AFTER)),
        500 => refuse("internal_error", "something went wrong"),
        502 => return Some(page(StatusCode::BAD_GATEWAY, "502 Bad Gateway")),
        503 => refuse("unavailable", "temporarily unavailable")
            .map(|refusal| refusal.with_retry_after(RETRY_AFTER)),
        504 => refuse("gateway_timeout", "the backend did not answer in time"),
        _ => None,
    };
    refusal.map(ErrorResponse::into_response)
}

/// An answer that would be fine if it arrived.
fn faulty(method: &Method, id: &str, fault: Fault) -> Response {
    let data = match *method {
        Method::GET => json!([{ "id": id, "name": seed::DOCUMENTED_CONNECTION_NAME }]),
        _ => json!({ "id": id }),
    };
    let mut answer = Json(Data { data }).into_response();
    answer.extensions_mut().insert(fault);
    answer
}

fn page(status: StatusCode, title: &str) -> Response {
    let html = format!(
        "<html>\n<head><title>{title}</title></head>\n\
         <body><center><h1>{title}</h1></center></body>\n</html>\n"
    );
    (status, Html(html)).into_response()
}

fn found(path: &str) -> Response {
    let mut answer = Redirect::to(path).into_response();
    *answer.status_mut() = StatusCode::FOUND;
    answer
}

/// What Polytomic tells about a connection that cannot change for being used.
fn used_by() -> Value {
    json!({ "used_by": [
        { "type": "model", "name": "Orders", "id": seed::UNSHARED_CONNECTION },
        { "type": "bulk_sync", "name": "Orders to warehouse", "id": seed::FIRST_COPY },
    ] })
}
