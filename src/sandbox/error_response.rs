//! Polytomic's error bodies.
//!
//! The shape, `ApiError`, is documented; the values of `key` and `message` are
//! not, so the sandbox has its own.

use std::borrow::Cow;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::Value;

/// A response other than success.
#[derive(Debug)]
pub(super) struct ErrorResponse {
    status: StatusCode,
    key: &'static str,
    message: Cow<'static, str>,
    metadata: Option<Value>,
    retry_after: Option<HeaderValue>,
}

/// `ApiError` as it goes over the wire.
#[derive(Serialize)]
struct Body<'a> {
    key: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a Value>,
    status: u16,
}

impl ErrorResponse {
    pub(super) fn new(
        status: StatusCode,
        key: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { status, key, message: message.into(), metadata: None, retry_after: None }
    }

    pub(super) fn with_metadata(self, metadata: Value) -> Self {
        Self { metadata: Some(metadata), ..self }
    }

    pub(super) fn with_retry_after(self, seconds: u16) -> Self {
        Self { retry_after: Some(seconds.into()), ..self }
    }

    pub(super) fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    pub(super) fn unauthorized() -> Self {
        let message = "invalid or unknown API key";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    pub(super) fn forbidden(message: &'static str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// Returns the error of an unknown path.
    pub(super) fn unknown_route() -> Self {
        Self::not_found("no such endpoint")
    }

    pub(super) fn not_found(message: &'static str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub(super) fn unprocessable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "unprocessable_entity", message)
    }
}

impl IntoResponse for ErrorResponse {
    fn into_response(self) -> Response {
        let body = Body {
            key: self.key,
            message: &self.message,
            metadata: self.metadata.as_ref(),
            status: self.status.as_u16(),
        };
        let mut response = (self.status, Json(&body)).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}
