//! Requests that are not gRPC, and the responses to them.

use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ACCEPT, ALLOW, CONTENT_TYPE},
};
use hyper::body::Incoming;

use super::response::Body;

/// Reports whether the content type is gRPC's with protobuf messages, the only format
/// that the gateway reads (PROTOCOL-HTTP2, "Content-Type").
fn is_grpc(request: &Request<Incoming>) -> bool {
    let content_type =
        request.headers().get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    matches!(essence.trim_ascii(), b"application/grpc" | b"application/grpc+proto")
}

/// Returns the response to a request of plain HTTP. Only POST runs an RPC: caches and
/// link checkers repeat the others.
pub(super) fn not_grpc(request: &Request<Incoming>) -> Option<Response<Body>> {
    let (status, name, value) = if request.method() != Method::POST {
        (StatusCode::METHOD_NOT_ALLOWED, ALLOW, "POST")
    } else if !is_grpc(request) {
        (StatusCode::UNSUPPORTED_MEDIA_TYPE, ACCEPT, "application/grpc")
    } else {
        return None;
    };
    // The response to HEAD has no body.
    let body = if request.method() == Method::HEAD {
        Body::default()
    } else {
        let text = "This server speaks gRPC, and nothing else.\n".to_owned();
        tonic::body::Body::new(text).into()
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(name, HeaderValue::from_static(value));
    Some(response)
}
