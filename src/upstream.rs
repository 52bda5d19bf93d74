//! The only room that sends requests to Polytomic.
//!
//! No other room uses the HTTP client. This room forbids it redirects, proxies from the
//! environment, a referrer and retries. No body exceeds the limit, and no error
//! contains a URL.

mod base_url;
mod breaker;
mod cancel;
mod classify;
mod error;
mod exchange;
#[cfg(feature = "testing")]
mod memory;
mod response;

use std::{sync::Arc, time::Duration};

#[cfg(feature = "testing")]
use bytes::Bytes;
use http::{
    HeaderValue,
    header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, USER_AGENT},
};
use tokio::time::{Instant, timeout_at};

pub use self::{
    base_url::BaseUrl,
    breaker::Holder,
    cancel::CancelHandle,
    error::{BoxError, Circuit, Error, Progress, SetupError},
    exchange::Exchange,
    response::{Request, Response},
};
use self::{
    breaker::{Breaker, Permit},
    exchange::{Limits, Report},
};
use crate::budget::Reserve;

/// How long an unused connection is kept. Below the 60 s after which common
/// load balancers close one, so that a request seldom meets a closing connection.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// How often an HTTP/2 connection with requests on it gets a PING, and how long its
/// response may take. A request that times out leaves the connection open, and the next
/// one would be lost on it too.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// The most headers of a response, and the most bytes of them over HTTP/2. Over
/// HTTP/1 the client's buffer of about 400 KiB bounds the bytes.
const MAX_HEADERS: usize = 100;
const MAX_HEADER_LIST: u32 = 64 * 1024;

/// The most bytes of a response that the gateway reads for itself: an identity has a
/// few hundred.
const OPTIONAL_LIMIT: usize = 64 * 1024;

/// The bytes that Polytomic may send of a response over HTTP/2 before the gateway reads
/// them: enough for 4 MiB per second at a round trip of 30 ms.
const STREAM_WINDOW: u32 = 128 * 1024;

/// The same for all responses of a connection. Those that wait for memory are not read,
/// and must not use up the window of those that are.
const CONNECTION_WINDOW: u32 = 256 * STREAM_WINDOW;

/// What identifies the gateway to Polytomic.
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("polytomic-gateway/", env!("CARGO_PKG_VERSION")));

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Without it, a server may choose any coding (RFC 9110 §12.5.3).
const IDENTITY: HeaderValue = HeaderValue::from_static("identity");

/// A client of one Polytomic.
#[derive(Debug, Clone)]
pub struct Upstream {
    transport: Transport,
    response_limit: usize,
    read_timeout: Duration,
    breaker: Arc<Breaker>,
}

/// How requests reach Polytomic.
#[derive(Debug, Clone)]
enum Transport {
    Http(reqwest::Client, BaseUrl),
    #[cfg(feature = "testing")]
    Memory(memory::Memory),
}

/// The settings of a client.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Maximum bytes of a response body.
    pub answer_limit: usize,
    /// Maximum time to connect, TLS included.
    pub connect_timeout: Duration,
    /// Maximum time between two chunks of a response body.
    pub read_timeout: Duration,
    /// Certificate authorities to trust in addition to the system's, in PEM.
    pub authorities: Option<Vec<u8>>,
}

/// Permission to send one request: no circuit stops it, or it is a probe.
#[derive(Debug)]
pub struct Admission<'a> {
    upstream: &'a Upstream,
    permit: Permit,
}

impl Upstream {
    /// Makes a client.
    ///
    /// # Errors
    ///
    /// If the certificate authorities cannot be used.
    pub fn new(url: BaseUrl, settings: &Settings) -> Result<Self, SetupError> {
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .retry(reqwest::retry::never())
            .connect_timeout(settings.connect_timeout)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .tcp_nodelay(true)
            .http1_max_headers(MAX_HEADERS)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .http2_max_header_list_size(MAX_HEADER_LIST)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .http2_keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
        if !url.is_https() {
            // No certificate is checked, and reading the system's takes a while.
            builder = builder.tls_certs_only([]);
        } else if let Some(pem) = &settings.authorities {
            let authorities = reqwest::Certificate::from_pem_bundle(pem)
                .map_err(|error| SetupError::Authorities(last_cause(&error)))?;
            if authorities.is_empty() {
                return Err(SetupError::Authorities("it has no certificate".to_owned()));
            }
            builder = builder.tls_certs_merge(authorities);
        }
        // The builder rejects bytes that are no certificate.
        let has_authorities = url.is_https() && settings.authorities.is_some();
        let client = builder.build().map_err(|error| {
            if has_authorities {
                return SetupError::Authorities(last_cause(&error));
            }
            SetupError::Client(error.without_url().into())
        })?;
        Ok(Self {
            transport: Transport::Http(client, url),
            response_limit: settings.answer_limit,
            read_timeout: settings.read_timeout,
            breaker: Arc::new(Breaker::new()),
        })
    }

    /// Makes a client of a Polytomic in memory, which takes no time to respond.
    #[cfg(feature = "testing")]
    pub fn in_memory(
        respond: impl Fn(&Request) -> http::Response<Bytes> + Send + Sync + 'static,
        response_limit: usize,
    ) -> Self {
        Self {
            transport: Transport::Memory(memory::Memory::new(respond)),
            response_limit,
            read_timeout: Duration::from_secs(10),
            breaker: Arc::new(Breaker::new()),
        }
    }

    /// Returns permission to send a request for a holder.
    ///
    /// # Errors
    ///
    /// While the holder's requests, or all requests, keep failing:
    /// [`Error::CircuitOpen`].
    pub fn admit(&self, holder: Holder) -> Result<Admission<'_>, Error> {
        let permit = self.breaker.admit(holder)?;
        Ok(Admission { upstream: self, permit })
    }

    /// Sends a request that the gateway can do without, such as `GET /api/me`.
    ///
    /// It is not sent while the circuit of all is open, and the circuit breaker does not
    /// count it: a failing look-up must not shut out the RPCs that would work, and a
    /// working one must not admit those that would fail.
    ///
    /// # Errors
    ///
    /// As [`Admission::send`] and [`Exchange::collect`], and [`Error::CircuitOpen`].
    pub async fn send_optional(
        &self,
        request: Request,
        until: Instant,
    ) -> Result<Response, Error> {
        if !self.breaker.is_closed_for_all() {
            let circuit = Circuit::All;
            return Err(Error::CircuitOpen { circuit, retry_after: Duration::ZERO });
        }
        let limits = self.limits(until, OPTIONAL_LIMIT, ());
        self.exchange(request, limits, Report::new(None)).await?.collect().await
    }

    async fn exchange<R: Reserve>(
        &self,
        request: Request,
        limits: Limits<R>,
        mut report: Report,
    ) -> Result<Exchange<R>, Error> {
        let head = timeout_at(limits.until, self.transport.send(request)).await;
        match head.unwrap_or(Err(Error::Timeout)) {
            Ok(response) => Ok(Exchange::new(response, limits, report)),
            Err(error) => {
                report.send(Err(&error));
                Err(error)
            }
        }
    }

    fn limits<R>(&self, until: Instant, bytes: usize, reserve: R) -> Limits<R> {
        Limits { until, read_timeout: self.read_timeout, bytes, reserve }
    }
}

impl Transport {
    /// Sends a request and waits for the head of its response.
    async fn send(&self, request: Request) -> Result<reqwest::Response, Error> {
        let (client, url) = match self {
            Self::Http(client, url) => (client, url.join(&request.path_and_query)),
            #[cfg(feature = "testing")]
            Self::Memory(memory) => return Ok(memory.send(&request)),
        };
        let mut builder = client
            .request(request.method, url)
            .headers(request.headers)
            .header(ACCEPT, JSON)
            .header(ACCEPT_ENCODING, IDENTITY)
            .header(USER_AGENT, AGENT);
        if let Some(body) = request.body {
            let body = cancel::body(body, request.cancel);
            builder = builder.header(CONTENT_TYPE, JSON).body(body);
        } else if let Some(cancel) = request.cancel {
            cancel.start_sending();
        }
        builder.send().await.map_err(classify::error)
    }
}

impl Admission<'_> {
    /// Sends a request, once, and waits for the head of its response.
    ///
    /// The exchange must end by `until`, and may hold as many bytes of the body as
    /// `reserve` reserves. Dropping the future ends the
    /// request.
    ///
    /// # Errors
    ///
    /// If there is no head of a response in time.
    pub async fn send<R: Reserve>(
        self,
        request: Request,
        until: Instant,
        reserve: R,
    ) -> Result<Exchange<R>, Error> {
        let limits = self.upstream.limits(until, self.upstream.response_limit, reserve);
        self.upstream.exchange(request, limits, Report::new(Some(self.permit))).await
    }
}

/// Returns the innermost cause, which knows the most.
fn last_cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), last_cause)
}
