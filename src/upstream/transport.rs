//! How a request reaches Polytomic, and how the head of its response comes back.

use std::sync::Arc;

use http::{
    HeaderMap, HeaderValue, Response, Uri, Version,
    header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT},
};
use tokio::time::{Instant, timeout_at};

use super::{
    BaseUrl, Error, Request, Settings, SetupError, Snapshot,
    cancel::RequestBody,
    client::Client,
    connect::{Connector, system_resolver},
    exchange::Body,
    http1::{self, SendError},
    http2,
    pool::{Limits, Pool, Slot},
};
use crate::tls::ClientTls;

/// What identifies the gateway to Polytomic.
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("polytomic-gateway/", env!("CARGO_PKG_VERSION")));

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Without it, a server may choose any coding (RFC 9110 §12.5.3).
const IDENTITY: HeaderValue = HeaderValue::from_static("identity");

/// The headers of a request, at most: those that every request has, and those of a
/// create with a trace context.
const MOST_HEADERS: usize = 12;

/// Sends requests over HTTP. It follows no redirect, uses no proxy and retries nothing
/// that may have been sent. Clones share their connections.
#[derive(Debug, Clone)]
pub(super) struct Transport {
    url: BaseUrl,
    /// The `host` of requests over HTTP/1.1.
    host: HeaderValue,
    pool: Pool,
}

impl Transport {
    /// Makes a transport without connections.
    ///
    /// # Errors
    ///
    /// If the certificates and authorities cannot be used.
    pub(super) fn new(
        url: BaseUrl,
        settings: &Settings,
        tls: Option<Arc<ClientTls>>,
    ) -> Result<Self, SetupError> {
        let timeout = settings.connect_timeout;
        let connector = Connector::new(&url, tls, timeout, system_resolver())?;
        let limits =
            Limits { connections: settings.connections, age: settings.connection_age };
        let host = HeaderValue::from_str(url.authority().as_str())
            .expect("an authority is visible ASCII");
        Ok(Self { url, host, pool: Pool::new(connector, limits) })
    }

    /// Returns the state of the connections.
    pub(super) fn snapshot(&self) -> Snapshot {
        self.pool.snapshot()
    }

    /// Sends a request and waits for the head of its response, until the moment `until`;
    /// for a connection, until `unsent_until`.
    pub(super) async fn send(
        &self,
        client: Client,
        request: &Request,
        unsent_until: Instant,
        until: Instant,
    ) -> Result<Response<Body>, Error> {
        loop {
            let (sent, is_reused) = match self.pool.acquire(client, unsent_until).await? {
                Slot::Http2(connection, permit) => {
                    let sending = http2::send(&connection, permit, self.http2(request));
                    return timeout_at(until, sending)
                        .await
                        .unwrap_or(Err(Error::Timeout));
                }
                Slot::Http1(lent) => {
                    let is_reused = lent.is_reused();
                    let sending = http1::send(lent, self.http1(request));
                    (timeout_at(until, sending).await, is_reused)
                }
            };
            match sent.map_err(|_| Error::Timeout)? {
                Ok(response) => return Ok(response),
                Err(SendError::Failed(error)) => return Err(error),
                // Polytomic has closed the connection, which says nothing of others.
                Err(SendError::Unsent(_)) if is_reused => {}
                Err(SendError::Unsent(error)) => {
                    return Err(Error::Connect(error.into()));
                }
            }
        }
    }

    /// Returns a request as a server that is no proxy expects it: with the path and the
    /// query alone, and the host in a header.
    fn http1(&self, request: &Request) -> http::Request<RequestBody> {
        let mut http = to_http(request, self.url.path(&request.path_and_query).into());
        http.headers_mut().insert(HOST, self.host.clone());
        http
    }

    fn http2(&self, request: &Request) -> http::Request<RequestBody> {
        let mut http = to_http(request, self.url.join(&request.path_and_query));
        *http.version_mut() = Version::HTTP_2;
        http
    }
}

/// Returns a request with the headers that every request has.
fn to_http(request: &Request, uri: Uri) -> http::Request<RequestBody> {
    let mut headers = HeaderMap::with_capacity(MOST_HEADERS);
    headers.insert(ACCEPT, JSON);
    headers.insert(ACCEPT_ENCODING, IDENTITY);
    headers.insert(USER_AGENT, AGENT);
    if request.body.is_some() {
        headers.insert(CONTENT_TYPE, JSON);
    }
    if let Some(authorization) = &request.authorization {
        headers.insert(AUTHORIZATION, authorization.clone());
    }
    for (name, value) in &request.headers {
        headers.insert(name, value.clone());
    }
    let body = RequestBody::new(request.body.clone(), request.cancel.clone());
    let mut http = http::Request::new(body);
    *http.method_mut() = request.method.clone();
    *http.uri_mut() = uri;
    *http.headers_mut() = headers;
    http
}
