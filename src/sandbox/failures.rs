//! Connections that exist only to fail, each in a different way.

use axum::{
    Json,
    response::{Html, IntoResponse, Redirect, Response},
};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{error_response::ErrorResponse, model::Data, seed, wire::Fault};

/// The `Retry-After`, in seconds.
const RETRY_AFTER: u16 = 2;

/// Returns the failure that a connection ID stands for, if it stands for one.
pub(super) fn response(method: &Method, connection: Uuid) -> Option<Response> {
    let id = connection.to_string();
    let number: u16 = id.strip_prefix("00000000-0000-4000-8000-")?.parse().ok()?;
    let error = |key, message: &'static str| {
        let status = StatusCode::from_u16(number).ok()?;
        Some(ErrorResponse::new(status, key, message))
    };
    let response = match number {
        1 => return Some(faulty(method, &id, Fault::Hold)),
        2 => return Some(faulty(method, &id, Fault::Reset)),
        3 => return Some(faulty(method, &id, Fault::Half)),
        4 => return Some(Json(json!({})).into_response()),
        200 => return Some(page(StatusCode::OK, "Sign in to Polytomic")),
        302 => return Some(found("/sign-in")),
        400 => error("bad_request", "the request could not be understood"),
        401 => error("unauthorized", "invalid or unknown API key"),
        403 => error("forbidden", "this key may not use this connection"),
        404 => error("not_found", "connection not found"),
        408 => error("request_timeout", "the request took too long"),
        409 => {
            error("conflict", "a request with this Idempotency-Key is still in progress")
        }
        422 => error("unprocessable_entity", "connection in use")
            .map(|response| response.with_metadata(used_by())),
        429 => error("too_many_requests", "rate limit exceeded")
            .map(|response| response.with_retry_after(RETRY_AFTER)),
        500 => error("internal_error", "something went wrong"),
        502 => return Some(page(StatusCode::BAD_GATEWAY, "502 Bad Gateway")),
        503 => error("unavailable", "temporarily unavailable")
            .map(|response| response.with_retry_after(RETRY_AFTER)),
        504 => error("gateway_timeout", "the backend did not respond in time"),
        _ => None,
    };
    response.map(ErrorResponse::into_response)
}

/// Returns a success that gets a fault on its way.
fn faulty(method: &Method, id: &str, fault: Fault) -> Response {
    let data = match *method {
        Method::GET => json!([{ "id": id, "name": seed::DOCUMENTED_CONNECTION_NAME }]),
        _ => json!({ "id": id }),
    };
    let mut response = Json(Data { data }).into_response();
    response.extensions_mut().insert(fault);
    response
}

fn page(status: StatusCode, title: &str) -> Response {
    let html = format!(
        "<html>\n<head><title>{title}</title></head>\n\
         <body><center><h1>{title}</h1></center></body>\n</html>\n"
    );
    (status, Html(html)).into_response()
}

fn found(path: &str) -> Response {
    let mut response = Redirect::to(path).into_response();
    *response.status_mut() = StatusCode::FOUND;
    response
}

/// Returns the metadata of a connection in use, which cannot change.
fn used_by() -> Value {
    json!({ "used_by": [
        { "type": "model", "name": "Orders", "id": seed::UNSHARED_CONNECTION },
        { "type": "bulk_sync", "name": "Orders to warehouse", "id": seed::FIRST_COPY },
    ] })
}
