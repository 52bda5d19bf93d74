//! API versions: the known ones, and the one that serves a request.

use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName};

use super::error_response::ErrorResponse;

/// The header for the requested version, and for the one that served.
pub(super) const HEADER: HeaderName = HeaderName::from_static("x-polytomic-version");

/// The version of requests that name none.
pub(super) const LATEST: Version = Version("2025-09-18");

const KNOWN: [Version; 5] = [
    LATEST,
    Version("2024-02-08"),
    Version("2023-04-25"),
    Version("2022-12-12"),
    Version("2021-05-23"),
];

/// A known version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version(pub(super) &'static str);

/// Returns the version that the headers ask for.
pub(super) fn requested(headers: &HeaderMap) -> Result<Version, ErrorResponse> {
    let Some(wanted) = headers.get(&HEADER) else { return Ok(LATEST) };
    KNOWN
        .into_iter()
        .find(|version| version.0.as_bytes() == wanted.as_bytes())
        .ok_or_else(|| ErrorResponse::bad_request("unknown X-Polytomic-Version"))
}

/// Hides a route from versions older than it.
pub(super) async fn only_latest(request: Request, next: Next) -> Response {
    if request.extensions().get() == Some(&LATEST) {
        return next.run(request).await;
    }
    ErrorResponse::unknown_route().into_response()
}
