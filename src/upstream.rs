//! The one way to Polytomic.
//!
//! Nothing else here knows the HTTP client. What it must never do is settled in
//! one place: no redirects, no proxies from the environment, no referrer, no
//! retries of its own, no body beyond the limit, and no URL in an error.

mod base_url;
mod breaker;
mod cancel;
mod classify;
mod error;
mod response;

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{
    HeaderValue,
    header::{ACCEPT, CONTENT_TYPE, USER_AGENT},
};
use tokio::time::{Instant, timeout, timeout_at};

pub use self::{
    base_url::BaseUrl,
    cancel::CancelHandle,
    error::{BoxError, Error, Progress, SetupError},
    response::{Request, Response},
};
use self::{
    breaker::{Breaker, Permit},
    classify::verdict,
};

/// How long an unused connection is kept. Below the 60 s after which common
/// load balancers close one, so that a call seldom meets a closing connection.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// How often an HTTP/2 connection with calls on it is asked whether it still
/// lives, and how long it may take to say so. A call that times out leaves such
/// a connection open, and the next call would be lost on it too.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// The most headers of an answer, and the most bytes of them over HTTP/2. Over
/// HTTP/1 the client's buffer of about 400 KiB bounds the bytes.
const MAX_HEADERS: usize = 100;
const MAX_HEADER_LIST: u32 = 64 * 1024;

/// The most bytes of an answer that the gateway reads for itself: an identity has
/// some hundred.
const OPTIONAL_LIMIT: usize = 64 * 1024;

/// The most bytes that are set aside for a body because its length says so.
const MAX_RESERVED: usize = 1024 * 1024;

/// What identifies the gateway to Polytomic.
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("polytomic-gateway/", env!("CARGO_PKG_VERSION")));

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A client of one Polytomic.
#[derive(Debug, Clone)]
pub struct Upstream {
    client: reqwest::Client,
    url: BaseUrl,
    answer_limit: usize,
    read_timeout: Duration,
    breaker: Arc<Breaker>,
}

/// What a client can be told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The most bytes that the body of an answer may have.
    pub answer_limit: usize,
    /// How long it may take to connect, TLS included.
    pub connect_timeout: Duration,
    /// How long Polytomic may be silent within an answer's body.
    pub read_timeout: Duration,
    /// Certificate authorities to trust beside the system's, in PEM.
    pub authorities: Option<Vec<u8>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            answer_limit: 32 * 1024 * 1024,
            // A connection that takes longer is not coming, and the caller's time
            // is better spent on another.
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(10),
            authorities: None,
        }
    }
}

/// The leave to send one call: the circuit is closed, or this is its probe.
#[derive(Debug)]
pub struct Admission<'a> {
    upstream: &'a Upstream,
    permit: Permit<'a>,
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
            .http2_adaptive_window(true)
            .http2_max_header_list_size(MAX_HEADER_LIST)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .http2_keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
        if !url.is_https() {
            // Nothing is to be trusted, and the system's authorities take a while
            // to read.
            builder = builder.tls_certs_only([]);
        } else if let Some(pem) = &settings.authorities {
            let authorities = reqwest::Certificate::from_pem_bundle(pem)
                .map_err(|error| SetupError::Authorities(last_cause(&error)))?;
            if authorities.is_empty() {
                return Err(SetupError::Authorities("it has no certificate".to_owned()));
            }
            builder = builder.tls_certs_merge(authorities);
        }
        // Bytes that are no certificate are noticed only now.
        let has_authorities = url.is_https() && settings.authorities.is_some();
        let client = builder.build().map_err(|error| {
            if has_authorities {
                return SetupError::Authorities(last_cause(&error));
            }
            SetupError::Client(error.without_url().into())
        })?;
        Ok(Self {
            client,
            url,
            answer_limit: settings.answer_limit,
            read_timeout: settings.read_timeout,
            breaker: Arc::new(Breaker::new()),
        })
    }

    /// Gives leave to send a call.
    ///
    /// # Errors
    ///
    /// While Polytomic keeps failing: [`Error::CircuitOpen`].
    pub fn admit(&self) -> Result<Admission<'_>, Error> {
        match self.breaker.admit() {
            Ok(permit) => Ok(Admission { upstream: self, permit }),
            Err(retry_after) => Err(Error::CircuitOpen { retry_after }),
        }
    }

    /// Sends a call that the gateway could do without, such as `GET /api/me`.
    ///
    /// It is not sent while Polytomic keeps failing, and what becomes of it counts
    /// for nothing: an identity that cannot be looked up must not shut out the RPCs
    /// that would work, nor one that can be let in those that would fail.
    ///
    /// # Errors
    ///
    /// As [`Admission::send`], and [`Error::CircuitOpen`].
    pub async fn send_optional(
        &self,
        call: Request,
        until: Instant,
    ) -> Result<Response, Error> {
        if !self.breaker.is_closed() {
            return Err(Error::CircuitOpen { retry_after: Duration::ZERO });
        }
        self.send(call, until, |bytes| within(OPTIONAL_LIMIT, bytes)).await
    }

    /// Sends a call, and reads its answer for as long as that is `allowed` to have
    /// so many bytes.
    async fn send(
        &self,
        call: Request,
        until: Instant,
        allowed: impl Fn(usize) -> Result<(), Error>,
    ) -> Result<Response, Error> {
        let url = self.url.join(&call.path_and_query);
        let mut request = self
            .client
            .request(call.method, url)
            .headers(call.headers)
            .header(ACCEPT, JSON)
            .header(USER_AGENT, AGENT);
        if let Some(body) = call.body {
            let body = cancel::body(body, call.cancel);
            request = request.header(CONTENT_TYPE, JSON).body(body);
        } else if let Some(cancel) = call.cancel {
            cancel.start_sending();
        }
        let exchange = async {
            let response = request.send().await.map_err(classify::error)?;
            self.read(response, allowed).await
        };
        timeout_at(until, exchange).await.unwrap_or(Err(Error::Timeout))
    }

    async fn read(
        &self,
        mut response: reqwest::Response,
        allowed: impl Fn(usize) -> Result<(), Error>,
    ) -> Result<Response, Error> {
        let stated = response.content_length().unwrap_or(0);
        let stated = usize::try_from(stated).unwrap_or(usize::MAX);
        allowed(stated)?;

        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        // An answer of one part is passed on as it is.
        let mut whole = self.chunk(&mut response).await?.unwrap_or_default();
        allowed(whole.len())?;
        let mut body = BytesMut::new();
        while let Some(chunk) = self.chunk(&mut response).await? {
            if body.is_empty() {
                body.reserve(stated.min(MAX_RESERVED).max(whole.len() + chunk.len()));
                body.extend_from_slice(&std::mem::take(&mut whole));
            }
            allowed(stated.max(body.len() + chunk.len()))?;
            body.extend_from_slice(&chunk);
        }
        if !body.is_empty() {
            whole = body.freeze();
        }
        Ok(Response { status, headers, body: whole })
    }

    /// Reads the next part of a body.
    async fn chunk(
        &self,
        response: &mut reqwest::Response,
    ) -> Result<Option<Bytes>, Error> {
        match timeout(self.read_timeout, response.chunk()).await {
            Ok(chunk) => chunk.map_err(classify::error),
            Err(_) => Err(Error::Timeout),
        }
    }
}

impl Admission<'_> {
    /// Sends a call, once, and reads the whole answer, until the moment given and
    /// while it `has_room` for so many bytes of it.
    ///
    /// Dropping the future ends the call at once.
    ///
    /// # Errors
    ///
    /// If there is no whole answer within the time and the size limit.
    pub async fn send(
        self,
        call: Request,
        until: Instant,
        has_room: impl Fn(usize) -> bool,
    ) -> Result<Response, Error> {
        let started = Instant::now();
        let allowed = |bytes| {
            within(self.upstream.answer_limit, bytes)?;
            if has_room(bytes) { Ok(()) } else { Err(Error::NoMemory) }
        };
        let outcome = self.upstream.send(call, until, allowed).await;
        if let Some(failed) = verdict(&outcome, started.elapsed()) {
            self.permit.record(failed);
        }
        outcome
    }
}

fn within(limit: usize, bytes: usize) -> Result<(), Error> {
    if bytes <= limit { Ok(()) } else { Err(Error::TooLarge { limit }) }
}

/// Returns the innermost cause, which knows the most.
fn last_cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), last_cause)
}
