//! The only room that sends requests to Polytomic.
//!
//! No other room uses an HTTP client. This one follows no redirect, uses no proxy and
//! retries nothing that may have been sent. No body exceeds the limit, and no error
//! contains a URL.

mod base_url;
mod breaker;
mod cancel;
mod classify;
mod client;
mod connect;
mod error;
mod exchange;
mod expiring;
mod http1;
mod http2;
#[cfg(feature = "testing")]
mod memory;
mod metrics;
mod pool;
mod report;
mod response;
mod snapshot;
mod tls;
mod transport;

use std::{sync::Arc, time::Duration};

#[cfg(feature = "testing")]
use bytes::Bytes;
use http::Method;
use tokio::time::Instant;

pub use self::{
    base_url::BaseUrl,
    breaker::Holder,
    cancel::CancelHandle,
    error::{BoxError, Circuit, Error, Progress, SetupError},
    exchange::Exchange,
    metrics::RequestMetrics,
    response::{Request, Response},
    snapshot::Snapshot,
};
use self::{
    breaker::{Breaker, Permit},
    client::Client,
    exchange::{Body, Limits},
    metrics::Metrics,
    report::Report,
    transport::Transport,
};
use crate::{
    budget::Reserve,
    telemetry,
    tls::{ClientFiles, ClientTls},
};

/// The most bytes of a response that the gateway reads for itself: an identity has a
/// few hundred.
const OPTIONAL_LIMIT: usize = 64 * 1024;

/// A client of one Polytomic.
#[derive(Debug, Clone)]
pub struct Upstream {
    route: Route,
    tls: Option<Arc<ClientTls>>,
    response_limit: usize,
    read_timeout: Duration,
    breaker: Arc<Breaker>,
    metrics: Arc<Metrics>,
}

/// How requests reach Polytomic.
#[derive(Debug, Clone)]
enum Route {
    Http(Transport),
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
    /// The certificate of the gateway, and authorities to trust in addition to the
    /// system's.
    pub tls: ClientFiles,
    /// Maximum HTTP/2 connections.
    pub connections: usize,
    /// The age at which a connection is replaced, give or take a tenth.
    pub connection_age: Duration,
}

/// Permission to send one request: no circuit stops it, or it is a probe.
#[derive(Debug)]
pub struct Admission<'a> {
    upstream: &'a Upstream,
    permit: Permit,
    requests: Option<Arc<RequestMetrics>>,
}

impl Upstream {
    /// Makes a client.
    ///
    /// # Errors
    ///
    /// If the files of certificates cannot be used.
    pub fn new(url: BaseUrl, settings: &Settings) -> Result<Self, SetupError> {
        // Nothing is checked over http, and reading the system's authorities takes a while.
        let tls = url.is_https().then(|| settings.tls.clone().load()).transpose()?;
        Ok(Self {
            route: Route::Http(Transport::new(url, settings, tls.clone())?),
            tls,
            response_limit: settings.answer_limit,
            read_timeout: settings.read_timeout,
            breaker: Arc::new(Breaker::new()),
            metrics: Arc::default(),
        })
    }

    /// Returns the certificates, which can be read again; `None` for a server without TLS.
    #[must_use]
    pub fn tls(&self) -> Option<&Arc<ClientTls>> {
        self.tls.as_ref()
    }

    /// Makes a client of a Polytomic in memory, which takes no time to respond.
    #[cfg(feature = "testing")]
    pub fn in_memory(
        respond: impl Fn(&Request) -> http::Response<Bytes> + Send + Sync + 'static,
        response_limit: usize,
    ) -> Self {
        Self {
            route: Route::Memory(memory::Memory::new(respond)),
            tls: None,
            response_limit,
            read_timeout: Duration::from_secs(10),
            breaker: Arc::new(Breaker::new()),
            metrics: Arc::default(),
        }
    }

    /// Returns what is counted of requests with a method and a path template.
    #[must_use]
    pub fn count_requests(&self, method: &Method, template: &str) -> Arc<RequestMetrics> {
        self.metrics.requests(method, template)
    }

    /// Registers what is counted of requests and circuits.
    pub fn register(&self, metrics: &telemetry::Metrics) {
        self.metrics.register(metrics);
        metrics::register_circuits(&self.breaker, metrics);
    }

    /// Returns permission to send a request for a holder.
    ///
    /// # Errors
    ///
    /// While the holder's requests, or all requests, keep failing:
    /// [`Error::CircuitOpen`].
    pub fn admit(&self, holder: Holder) -> Result<Admission<'_>, Error> {
        let permit = self.breaker.admit(holder)?;
        Ok(Admission { upstream: self, permit, requests: None })
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
        counted: &Arc<RequestMetrics>,
        until: Instant,
    ) -> Result<Response, Error> {
        if !self.breaker.is_closed_for_all() {
            let circuit = Circuit::All;
            return Err(Error::CircuitOpen { circuit, retry_after: Duration::ZERO });
        }
        let limits = self.limits(until, until, OPTIONAL_LIMIT, ());
        let report = Report::new(None).counted(Some(Arc::clone(counted)));
        let sending = self.exchange(Client::LookUp, &request, until, limits, report);
        sending.await?.collect().await
    }

    async fn exchange<R: Reserve>(
        &self,
        client: Client,
        request: &Request,
        unsent_until: Instant,
        limits: Limits<R>,
        mut report: Report,
    ) -> Result<Exchange<R>, Error> {
        match self.route.send(client, request, unsent_until, limits.until).await {
            Ok(response) => Ok(Exchange::new(response, limits, report)),
            Err(error) => {
                report.send(Err(&error));
                Err(error)
            }
        }
    }

    fn limits<R>(
        &self,
        until: Instant,
        deadline: Instant,
        bytes: usize,
        reserve: R,
    ) -> Limits<R> {
        Limits { until, deadline, read_timeout: self.read_timeout, bytes, reserve }
    }
}

impl Route {
    /// Sends a request and waits for the head of its response.
    async fn send(
        &self,
        client: Client,
        request: &Request,
        unsent_until: Instant,
        until: Instant,
    ) -> Result<http::Response<Body>, Error> {
        match self {
            Self::Http(transport) => {
                transport.send(client, request, unsent_until, until).await
            }
            #[cfg(feature = "testing")]
            Self::Memory(memory) => Ok(memory.send(request)),
        }
    }
}

impl Admission<'_> {
    /// Has the request counted.
    #[must_use]
    pub fn counted(self, requests: &Arc<RequestMetrics>) -> Self {
        Self { requests: Some(Arc::clone(requests)), ..self }
    }

    /// Sends a request, once, and waits for the head of its response.
    ///
    /// The request waits for a connection until `unsent_until`. The exchange must end by
    /// `until`, and may hold as many bytes of the body as `reserve` reserves. It may take
    /// longer by the time that it waits for those, up to the `deadline`. Dropping the
    /// future ends the request.
    ///
    /// # Errors
    ///
    /// If there is no head of a response in time.
    pub async fn send<R: Reserve>(
        self,
        request: &Request,
        unsent_until: Instant,
        until: Instant,
        deadline: Instant,
        reserve: R,
    ) -> Result<Exchange<R>, Error> {
        let bytes = self.upstream.response_limit;
        let limits = self.upstream.limits(until, deadline, bytes, reserve);
        let client = self.permit.client();
        let report = Report::new(Some(self.permit)).counted(self.requests);
        self.upstream.exchange(client, request, unsent_until, limits, report).await
    }
}
