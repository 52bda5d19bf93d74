//! Looks up the identity of a key at Polytomic.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use http::{HeaderValue, Method, StatusCode};
use tokio::time::Instant;

use super::metadata;
use crate::{
    auth::{self, Identity, LookUp, LookUpError, Verdict},
    status::ErrorResponse,
    upstream::{self, Request, RequestMetrics, Response, Upstream},
};

/// Looks up the identity of keys at Polytomic.
#[derive(Debug)]
pub struct IdentityClient {
    upstream: Upstream,
    /// Without it, Polytomic might respond in the format of another version.
    api_version: HeaderValue,
    timeout: Duration,
    requests: Arc<RequestMetrics>,
}

/// The path of the request.
const PATH: &str = "/api/me";

impl IdentityClient {
    /// Returns a client that asks in a version of the API.
    #[must_use]
    pub fn new(upstream: Upstream, api_version: HeaderValue) -> Self {
        let requests = upstream.count_requests(&Method::GET, PATH);
        Self { upstream, api_version, timeout: auth::LOOK_UP_TIMEOUT, requests }
    }

    /// Returns a client that waits longer than an RPC may.
    #[must_use]
    pub fn within(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Sends `GET /api/me` without a key, to see what responds. Polytomic does so with
    /// 401, which says nothing of any key.
    ///
    /// # Errors
    ///
    /// If nothing does.
    pub async fn reach(&self) -> Result<ErrorResponse, upstream::Error> {
        let Response { status, headers, body } = self.send(None).await?;
        Ok(ErrorResponse::new(status, &headers, &body, &str::to_owned))
    }

    async fn send(
        &self,
        authorization: Option<HeaderValue>,
    ) -> Result<Response, upstream::Error> {
        let request = Request {
            method: Method::GET,
            path_and_query: PATH.to_owned(),
            headers: vec![(metadata::VERSION, self.api_version.clone())],
            authorization,
            body: None,
            cancel: None,
        };
        let until = Instant::now() + self.timeout;
        self.upstream.send_optional(request, &self.requests, until).await
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
    client: &IdentityClient,
    authorization: HeaderValue,
) -> Result<Verdict, LookUpError> {
    let response = client.send(Some(authorization)).await.map_err(LookUpError::new)?;
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
