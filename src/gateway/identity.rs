//! Who holds a key, asked of Polytomic.

use std::time::Duration;

use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header::AUTHORIZATION};
use tokio::time::Instant;

use crate::{
    auth::{Identity, LookUp, LookUpError, Verdict},
    upstream::{Call, Upstream},
};

/// The longest that a look-up may take, whoever waits for it.
const LONGEST: Duration = Duration::from_secs(5);

impl LookUp for Upstream {
    /// Calls `GET /api/me`, which every class of key may.
    fn identity(
        &self,
        authorization: HeaderValue,
    ) -> BoxFuture<'_, Result<Verdict, LookUpError>> {
        Box::pin(look_up(self, authorization))
    }
}

async fn look_up(
    upstream: &Upstream,
    authorization: HeaderValue,
) -> Result<Verdict, LookUpError> {
    let call = Call {
        method: Method::GET,
        path_and_query: "/api/me".to_owned(),
        headers: HeaderMap::from_iter([(AUTHORIZATION, authorization)]),
        body: None,
        recall: None,
    };
    let until = Instant::now() + LONGEST;
    let answer = upstream.send_aside(call, until).await.map_err(LookUpError::new)?;
    match answer.status {
        StatusCode::OK => Identity::from_json(&answer.body)
            .map(Verdict::Known)
            .ok_or_else(|| LookUpError::new("the answer is not an identity")),
        StatusCode::UNAUTHORIZED => Ok(Verdict::Unknown),
        status => Err(LookUpError::new(format!("Polytomic answered {status}"))),
    }
}
