//! Looks up the identity of a key at Polytomic.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header::AUTHORIZATION};
use tokio::time::Instant;

use super::metadata;
use crate::{
    auth::{self, Identity, LookUp, LookUpError, Verdict},
    status::ErrorResponse,
    upstream::{Request, RequestMetrics, Response, Upstream},
};

/// Looks up the identity of keys at Polytomic.
#[derive(Debug)]
pub struct IdentityClient {
    upstream: Upstream,
    /// Without it, Polytomic might respond in the format of another version.
    api_version: HeaderValue,
    requests: Arc<RequestMetrics>,
}

/// The path of the request.
const PATH: &str = "/api/me";

impl IdentityClient {
    /// Returns a client that asks in a version of the API.
    #[must_use]
    pub fn new(upstream: Upstream, api_version: HeaderValue) -> Self {
        let requests = upstream.count_requests(&Method::GET, PATH);
        Self { upstream, api_version, requests }
    }
}

impl LookUp for IdentityClient {
    /// Sends `GET /api/me`, which Polytomic allows for every class of key.
    fn identity(
        &self,
        authorization: HeaderValue,
    ) -> BoxFuture<'_, Result<Verdict, LookUpError>> {
        Box::pin(look_up(self, authorization))
    }
}

async fn look_up(
    IdentityClient { upstream, api_version, requests }: &IdentityClient,
    authorization: HeaderValue,
) -> Result<Verdict, LookUpError> {
    let request = Request {
        method: Method::GET,
        path_and_query: PATH.to_owned(),
        headers: HeaderMap::from_iter([
            (AUTHORIZATION, authorization),
            (metadata::VERSION, api_version.clone()),
        ]),
        body: None,
        cancel: None,
    };
    let until = Instant::now() + auth::LOOK_UP_TIMEOUT;
    let response = upstream
        .send_optional(request, requests, until)
        .await
        .map_err(LookUpError::new)?;
    match response.status {
        StatusCode::OK => Identity::from_json(&response.body)
            .map(Verdict::Known)
            .ok_or_else(|| LookUpError::new("the response is not an identity")),
        StatusCode::UNAUTHORIZED if !is_foreign(&response) => Ok(Verdict::Unknown),
        StatusCode::UNAUTHORIZED => {
            Err(LookUpError::new("a 401 that is not in Polytomic's error format"))
        }
        status => Err(LookUpError::new(format!("Polytomic responded with {status}"))),
    }
}

/// Reports whether a proxy sent the response, which knows nothing of Polytomic's keys.
fn is_foreign(response: &Response) -> bool {
    let Response { status, headers, body } = response;
    // No text of it is kept.
    ErrorResponse::new(*status, headers, body, &str::to_owned).is_foreign()
}
