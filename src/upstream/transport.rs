//! How a request reaches Polytomic, and how the head of its response comes back.

use http::{
    HeaderValue, Response,
    header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, USER_AGENT},
};
use tokio::time::{Instant, timeout_at};

use super::{
    BaseUrl, Error, Request, Settings, SetupError,
    cancel::RequestBody,
    client::Client,
    connect::{Connector, system_resolver},
    exchange::Body,
    http1::{self, SendError},
    http2,
    pool::{Limits, Pool, Slot},
};

/// What identifies the gateway to Polytomic.
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("polytomic-gateway/", env!("CARGO_PKG_VERSION")));

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Without it, a server may choose any coding (RFC 9110 §12.5.3).
const IDENTITY: HeaderValue = HeaderValue::from_static("identity");

/// Sends requests over HTTP. It follows no redirect, uses no proxy and retries nothing
/// that may have been sent. Clones share their connections.
#[derive(Debug, Clone)]
pub(super) struct Transport {
    url: BaseUrl,
    pool: Pool,
}

impl Transport {
    /// Makes a transport without connections.
    ///
    /// # Errors
    ///
    /// If the certificate authorities cannot be used.
    pub(super) fn new(url: BaseUrl, settings: &Settings) -> Result<Self, SetupError> {
        let authorities = settings.authorities.as_deref();
        let timeout = settings.connect_timeout;
        let connector = Connector::new(&url, authorities, timeout, system_resolver())?;
        let limits =
            Limits { connections: settings.connections, age: settings.connection_age };
        Ok(Self { url, pool: Pool::new(connector, limits) })
    }

    /// Sends a request and waits for the head of its response, until the moment `until`;
    /// for a connection, until `unsent_until`.
    pub(super) async fn send(
        &self,
        client: Client,
        request: Request,
        unsent_until: Instant,
        until: Instant,
    ) -> Result<Response<Body>, Error> {
        let uri = self.url.join(&request.path_and_query);
        let mut request = to_http(request);
        loop {
            let sent = match self.pool.acquire(client, unsent_until).await? {
                Slot::Http2(connection, permit) => {
                    let sending = http2::send(&connection, permit, uri, request);
                    return timeout_at(until, sending)
                        .await
                        .unwrap_or(Err(Error::Timeout));
                }
                Slot::Http1(lent) => {
                    let is_reused = lent.is_reused();
                    let sending = http1::send(lent, &uri, request);
                    let sent = timeout_at(until, sending).await;
                    sent.map_err(|_| Error::Timeout)?.map_err(|error| (error, is_reused))
                }
            };
            request = match sent {
                Ok(response) => return Ok(response),
                Err((SendError::Failed(error), _)) => return Err(error),
                // Polytomic has closed the connection, which says nothing of others.
                Err((SendError::Unsent(request, _), true)) => *request,
                Err((SendError::Unsent(_, error), false)) => {
                    return Err(Error::Connect(error.into()));
                }
            };
        }
    }
}

/// Returns the request with the headers that every request has, but without its URI.
fn to_http(request: Request) -> http::Request<RequestBody> {
    let mut headers = request.headers;
    headers.insert(ACCEPT, JSON);
    headers.insert(ACCEPT_ENCODING, IDENTITY);
    headers.insert(USER_AGENT, AGENT);
    if request.body.is_some() {
        headers.insert(CONTENT_TYPE, JSON);
    }
    let body = RequestBody::new(request.body, request.cancel);
    let mut http = http::Request::new(body);
    *http.method_mut() = request.method;
    *http.headers_mut() = headers;
    http
}
